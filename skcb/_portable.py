"""Live Keras objects that a user passed, taken along whole: into a clone, a copy or a pickle.

Owns what Keras' own way loses there. It copies and pickles a loss by its config, which may lack
arguments (``Huber(0.25)`` comes back with a delta of 1.0), and finds classes and functions of the
user's own by their registration alone, which many lack; of models inside a model it forgets that
they are frozen, and of an optimizer what it excludes from weight decay. Leaves recipes to
``tunable``.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from skcb._names import accepted, is_keras
from skcb._seeds import untouched

_COMPILED = ("Loss", "Metric", "BaseOptimizer")
_NOT_OWN = ("builtins", "keras", "ml_dtypes", "numpy", "tensorflow")


def is_compiled_part(value: Any) -> bool:
    """Tell a live loss, metric or optimizer; a fit makes its own of these, or only reads them."""
    return any(is_keras(value, name) for name in _COMPILED)


def config_of(value: Any) -> dict[str, Any]:
    """Return the config of an object, with the numbers that Keras' own leave out of theirs.

    Arguments of a function that an object wraps are in ``_fn_kwargs``; test_custom_objects.py
    notices if that goes.
    """
    config = dict(value.get_config())
    if not type(value).__module__.startswith("keras."):
        return config
    held = {**vars(value), **vars(value).get("_fn_kwargs", {})}
    lost = [name for name in accepted(type(value)).defaults if name not in config]
    return config | {n: held[n] for n in lost if isinstance(held.get(n), int | float)}


@contextlib.contextmanager
def known(value: Any) -> Iterator[None]:
    """Let Keras find the user's own classes and functions that an object is made of."""
    own = custom_objects(value)
    if not own:
        yield
        return
    import keras

    with keras.saving.custom_object_scope(own):
        yield


def custom_objects(value: Any) -> dict[str, Any]:
    """Return the user's own classes and functions in a Keras object, by the names Keras uses."""
    found: dict[str, Any] = {}
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, types.FunctionType):
            _note(item, found)
        elif isinstance(item, Mapping):
            waiting += item.values()
        elif isinstance(item, list | tuple | set | frozenset):
            waiting += item
        elif isinstance(item, functools.partial):
            waiting += [item.args, item.keywords]
        elif hasattr(type(item), "get_config") or type(item).__module__.startswith("keras."):
            _note(type(item), found)
            waiting += getattr(item, "__dict__", {}).values()
    return found


def _note(item: Any, found: dict[str, Any]) -> None:
    """Add a class or function where it is the user's own and goes by a name."""
    module = item.__module__ or ""
    if module.partition(".")[0] in _NOT_OWN or item.__name__ == "<lambda>":
        return  # Keras writes the code of a lambda into its files
    if isinstance(item, types.FunctionType) and "." in item.__qualname__.rpartition("<locals>.")[2]:
        return  # a method, which comes with its class
    import keras

    name = keras.saving.get_registered_name(item)
    importable = getattr(sys.modules.get(module), item.__qualname__, None) is item
    if importable or keras.saving.get_registered_object(name) is not item:
        found[name] = item


class Portable:
    """Stands for a Keras object in a pickle, out of which the object itself comes."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __reduce__(self) -> tuple[Any, ...]:
        value = self._value
        if is_keras(value, "Loss"):
            return _restored, (type(value), portable(vars(value)))
        own = custom_objects(value)
        if is_compiled_part(value):
            names = undecayed(value, "optimizer")
            return _made_undecayed, (names, own, type(value).from_config, config_of(value))
        function, arguments = value.__reduce__()  # a model or a layer, as Keras writes it
        kept = (frozen(value), *_undecayed_in(value))
        return _made_like, (kept, own, function, *arguments)


def _restored(cls: type, attributes: Mapping[str, Any]) -> Any:
    """Make a loss as it was, by its attributes."""
    value: Any = object.__new__(cls)
    vars(value).update(attributes)
    return value


def frozen(model: Any) -> list[bool]:
    """Return of a model, and of each layer and model inside it, whether it is frozen."""
    return [not each.trainable for each in within(model)]


def freeze(model: Any, flags: list[bool]) -> None:
    """Freeze what is frozen in the model of which this one is a copy.

    The config of a Sequential says so of its layers, but not of itself. Setting the copy free
    would do nothing then, since it calls itself free already.
    """
    parts = list(within(model))
    if len(parts) == len(flags):  # else some are made at the first call, as its author says
        for each, flag in zip(parts, flags, strict=True):
            if each.trainable == flag:
                each.trainable = not flag


def within(model: Any) -> Iterator[Any]:
    """Yield a model, and all layers and models inside it, the outer ones first."""
    yield model
    layers = getattr(model, "layers", None)  # of a layer of the user's own it may be anything
    for layer in layers if isinstance(layers, list | tuple) else ():
        if is_keras(layer, "Layer"):
            yield from within(layer)


def undecayed(optimizer: Any, where: str) -> list[str]:
    """Return the names of variables that an optimizer excludes from weight decay.

    Keras keeps them, and the ids of single variables, in attributes without a public name;
    test_custom_objects.py notices if those go. Of another object there are none.

    Raises
    ------
    ValueError
        It excludes single variables, which a copy would not know.
    """
    names, ids = _excluded(_inner(optimizer))
    if ids:
        raise ValueError(
            f"`{where}` is an {type(optimizer).__name__} that excludes variables of one model from "
            "weight decay, and its copy, for another fit or with another setting, would not know "
            "them: name them, as in `exclude_from_weight_decay(var_names=[...])`."
        )
    return names


def exclude(optimizer: Any, names: list[str], variables: Sequence[Any] = ()) -> None:
    """Exclude from weight decay in the copy of an optimizer what that did."""
    if names or variables:
        _inner(optimizer).exclude_from_weight_decay(var_list=variables, var_names=names)


def _excluded(optimizer: Any) -> tuple[list[str], set[Any]]:
    """Return names, as one pattern, and ids of single variables."""
    held = getattr(optimizer, "__dict__", {})
    pattern = held.get("_exclude_from_weight_decay_pattern")
    return (
        [] if pattern is None else [pattern.pattern],
        held.get("_exclude_from_weight_decay") or set(),
    )


def _inner(optimizer: Any) -> Any:
    """Return the optimizer that trains, of one around another."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _undecayed_in(model: Any) -> tuple[list[str], list[int]]:
    """Return what a model's optimizer excludes from weight decay: names, and places of variables.

    Keras' file has neither. The ids of variables are Keras' own, as in :func:`undecayed`.
    """
    optimizer = _inner(getattr(model, "optimizer", None))
    names, ids = _excluded(optimizer)
    own = model.trainable_variables if ids else []
    return names, [i for i, variable in enumerate(own) if optimizer._var_key(variable) in ids]


def _made_undecayed(names: list[str], *made: Any) -> Any:
    """Make an optimizer that excludes the same names from weight decay."""
    value = _made(*made)
    exclude(value, names)
    return value


def _made_like(kept: tuple[list[bool], list[str], list[int]], *made: Any) -> Any:
    """Make a model or a layer, as frozen as it was, and what it excluded from weight decay too."""
    value = _made(*made)
    flags, names, places = kept
    freeze(value, flags)
    if getattr(value, "optimizer", None) is not None:  # else it was not compiled again
        exclude(value.optimizer, names, [value.trainable_variables[i] for i in places])
    return value


def _made(own: dict[str, Any], function: Callable[..., Any], *arguments: Any) -> Any:
    """Call what makes an object while Keras knows the user's own classes and functions."""
    import keras

    with untouched(), keras.saving.custom_object_scope(own):
        return function(*arguments)


def portable(value: Any) -> Any:
    """Return a value for a pickle, Keras objects in it replaced by what stands for them."""
    if type(value) in (list, tuple):
        return type(value)(map(portable, value))
    if type(value) is dict:
        return {name: portable(part) for name, part in value.items()}
    if type(value) is functools.partial:  # of a build function, with a pretrained model say
        return functools.partial(value.func, *portable(value.args), **portable(value.keywords))
    if is_compiled_part(value) or is_keras(value, "Layer"):
        return Portable(value)
    return value
