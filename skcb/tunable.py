"""Recipes: a class and its arguments, kept as parameters and built afresh for every fit.

Owns what a recipe is (settable, cloned, compared by description, built later with the
estimator's overlay on top) and how a live Keras object that the user passed is copied. Leaves
which names exist to ``_names`` and which recipes there are to ``callbacks`` and ``schedules``.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import numbers
import reprlib
import types
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, clone

from skcb._names import Accepted, accepted, grouped, is_keras, suggestion
from skcb._portable import config_of, exclude, is_compiled_part, known, portable, undecayed
from skcb._seeds import untouched

__all__ = ["Recipe", "Tunable"]


class Recipe(BaseEstimator):
    """Base of everything that is described now and built in ``fit``.

    A subclass lists its arguments in ``__init__``, keeps each under its own name and says in
    :meth:`target` which class they are for. Recipes are equal when their type and arguments
    are, recursively.
    """

    def target(self) -> type:
        """Return the class that :meth:`build` calls."""
        raise NotImplementedError

    def arguments(self) -> dict[str, Any]:
        """Return the arguments as they were given, by name."""
        return {str(k): v for k, v in BaseEstimator.get_params(self, deep=False).items()}

    def build(self, settings: Mapping[str, Any] | None = None, *, where: str = "") -> Any:
        """Build the live object.

        Parameters
        ----------
        settings : mapping of str to object, optional
            Values that win over the recipe's own, by argument name; ``a__b`` reaches into the
            argument ``a``. The recipe itself stays as it is.
        where : str, default=""
            Full parameter name of this recipe, for error messages.

        Returns
        -------
        object
            An instance of :meth:`target`; neither it nor what it was made from is shared with
            another build.

        Raises
        ------
        ValueError
            An argument or setting that the class does not take.
        TypeError
            An argument that cannot be copied.
        """
        return construct(self.target(), self.arguments(), settings or {}, where=where)

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        assert isinstance(other, Recipe)
        return same(self.arguments(), other.arguments())

    def __getstate__(self) -> dict[str, Any]:
        return {name: portable(part) for name, part in super().__getstate__().items()}

    def __hash__(self) -> int:
        # Arguments may be lists or dicts, so only their names take part: equal recipes have
        # equal hashes, which is all that a hash must promise.
        return hash((type(self), *sorted(self.arguments())))


class Tunable(Recipe):
    """Any class and its arguments, as a parameter that can be tuned.

    The object is built afresh for every fit; each argument can be set from outside by the name
    under which the recipe stands, as in ``callbacks__mine__threshold``.

    Parameters
    ----------
    cls : type
        The class, or a function that returns the object.
    **params : object
        Arguments for it. A recipe among them is built first.

    Examples
    --------
    >>> from skcb import Tunable
    >>> class Range:
    ...     def __init__(self, low=0, high=1):
    ...         self.low, self.high = low, high
    >>> recipe = Tunable(Range, high=5)
    >>> recipe
    Tunable(Range, high=5)
    >>> recipe.build({"low": 2}).low
    2
    >>> recipe == Tunable(Range, high=5)
    True
    """

    def __init__(self, cls: Any, /, **params: Any) -> None:
        if not callable(cls):
            raise TypeError(
                f"Tunable takes a class and its arguments, but got {cls!r}, which cannot be called."
            )
        self.cls = cls
        self.params = params

    def target(self) -> Any:
        """Return the class (or function) given first."""
        return self.cls

    def arguments(self) -> dict[str, Any]:
        """Return the arguments as they were given, by name."""
        return dict(self.params)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the arguments, and with ``deep`` those of recipes among them."""
        params = dict(self.params)
        if deep:
            for name, value in self.params.items():
                if isinstance(value, Recipe):
                    params |= {f"{name}__{k}": v for k, v in value.get_params().items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set arguments; ``a__b`` reaches into the recipe ``a``."""
        own, below = grouped(params)
        changed = {**self.params, **own}
        for head, settings in below.items():
            part = changed.get(head)
            if not isinstance(part, Recipe):
                raise ValueError(f"`{head}` of {self!r} is not a recipe, so it has no parameters.")
            changed[head] = clone(part).set_params(**settings)
        self.params = changed
        return self

    def __sklearn_clone__(self) -> Tunable:
        return type(self)(self.cls, **{k: cloned(v) for k, v in self.params.items()})

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Tunable) and self.cls is not other.cls:
            return False
        return super().__eq__(other)

    def __hash__(self) -> int:
        return hash((super().__hash__(), self.cls))

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        parts = [getattr(self.cls, "__name__", repr(self.cls))]
        parts += [f"{k}={reprlib.repr(v)}" for k, v in self.params.items()]
        return f"Tunable({', '.join(parts)})"


def construct(
    cls: Any, arguments: Mapping[str, Any], settings: Mapping[str, Any], *, where: str
) -> Any:
    """Call a class with its arguments, the settings on top, recipes among them built first."""
    own, below = grouped(settings)
    legal = legal_names(cls)
    _refuse_unknown({**arguments, **settings}, where, cls, legal)
    merged = {**arguments, **own}
    for name in below.keys() - merged.keys():
        default = legal.defaults.get(name, inspect.Parameter.empty)
        if default is inspect.Parameter.empty:
            raise ValueError(
                f"`{_join(where, name)}__{next(iter(below[name]))}` cannot be set: "
                f"`{_join(where, name)}` was not given."
            )
        merged[name] = default
    missing = [name for name in legal.required if name not in merged]
    if missing and legal.readable and isinstance(cls, type):
        raise ValueError(
            f"`{_join(where, missing[0])}` is missing: {cls.__name__} has no default for it."
        )
    return cls(**{n: built(v, below.get(n, {}), where=_join(where, n)) for n, v in merged.items()})


def built(value: Any, settings: Mapping[str, Any], *, where: str) -> Any:
    """Build what is a recipe, and copy the rest, with settings where it can have some."""
    if isinstance(value, Recipe):
        return value.build(settings, where=where)
    if settings and isinstance(value, type):
        return Tunable(value).build(settings, where=where)
    if settings and value is not None:  # None: switched off, its settings are kept and ignored
        return copied(value, settings, where=where)
    if type(value) in (list, tuple):
        return type(value)(built(v, {}, where=where) for v in value)
    if type(value) is dict:
        return {k: built(v, {}, where=where) for k, v in value.items()}
    try:
        return duplicate(value)
    except Exception as error:
        raise TypeError(
            f"`{where}` is {value!r:.80}, which cannot be copied ({error}), and every fit needs "
            "its own: use skcb.Tunable(...) around what makes it."
        ) from error


def duplicate(value: Any) -> Any:
    """Copy a value deeply; a loss, which a fit only reads, goes as it is."""
    if is_keras(value, "Loss"):
        return value
    with _as_before(value):
        made = copy.deepcopy(value)
    exclude(made, undecayed(value, "optimizer"))
    return made


@contextlib.contextmanager
def _as_before(value: Any) -> Iterator[None]:
    """Leave the generators as they are where a copy may make Keras objects, which draw from them.

    The value is one itself, or has attributes: a partial of a build function may hold a model.
    """
    if not hasattr(value, "__dict__") or isinstance(value, type | types.FunctionType):
        yield
    elif hasattr(value, "__sklearn_clone__"):  # which brings its parts here, one by one
        yield
    else:
        with untouched(), known(value):
            yield


def cloned(value: Any) -> Any:
    """Clone a parameter as scikit-learn does; live losses, metrics and optimizers go as they are.

    No fit changes them, and a copy by Keras may lack what they were made with.
    """
    if type(value) in (list, tuple):
        return type(value)(map(cloned, value))
    if type(value) is dict:
        return {name: cloned(part) for name, part in value.items()}
    if is_compiled_part(value):
        return value
    if is_keras(value, "KerasSaveable"):
        return duplicate(value)
    with _as_before(value):
        return clone(value, safe=False)


def copied(value: Any, settings: Mapping[str, Any], *, where: str) -> Any:
    """Copy a live Keras object from its config, with settings on top.

    Raises
    ------
    ValueError
        The object has no config, or not this setting.
    """
    if not (hasattr(value, "get_config") and hasattr(type(value), "from_config")):
        if not settings:
            return copy.deepcopy(value)
        plain = isinstance(value, str | numbers.Number)
        ways = "Give a class, an object" if plain else f"Use the class {type(value).__name__}"
        raise ValueError(
            f"`{_join(where, next(iter(settings)))}` cannot be set: `{where}` is {value!r}, which "
            f"has no settings that can be changed. {ways}, or skcb.Tunable(cls, ...)."
        )
    own, below = grouped(settings)
    config = config_of(value)
    legal = Accepted(dict.fromkeys([*config, *legal_names(type(value)).defaults]))
    _refuse_unknown(settings, where, type(value), legal)
    for name in below.keys() - own.keys():
        own[name] = _part(value, name, config)
    made = {n: built(v, below.get(n, {}), where=_join(where, n)) for n, v in own.items()}
    with known(value):
        live = type(value).from_config({**config, **made})
    exclude(live, undecayed(value, where))
    return live


def _part(value: Any, name: str, config: Mapping[str, Any]) -> Any:
    """Return what an object holds under a name; from its config where it shows something else."""
    part, described = getattr(value, name, None), config.get(name)
    if hasattr(part, "get_config") or not isinstance(described, dict):
        return part
    import keras

    with known(value):  # the schedule behind a learning rate
        return keras.saving.deserialize_keras_object(described)


def legal_names(cls: Any) -> Accepted:
    """Return the names that a class takes.

    Keras' own classes pass ``**kwargs`` on and drop what nobody wants, so for them only named
    arguments count.
    """
    found = accepted(cls)
    if found.any_name and (getattr(cls, "__module__", "") or "").partition(".")[0] == "keras":
        return found._replace(any_name=False)
    return found


def _refuse_unknown(settings: Mapping[str, Any], where: str, cls: Any, legal: Accepted) -> None:
    for name, value in settings.items():
        if not legal.takes(name.partition("__")[0]):
            raise unknown_setting(where, name, value, cls, legal)


def unknown_setting(
    where: str, name: str, value: Any, cls: Any, legal: Accepted, kinds: bool = True
) -> ValueError:
    """Word the error for a setting (``a``, or ``a__b``) that the present object lacks."""
    owner = getattr(cls, "__name__", repr(cls))
    prefix = f"{where}__" if where else ""
    head, delimiter, rest = name.partition("__")
    text = (
        f"`{prefix}{name}={reprlib.repr(value)}`: {owner} has no parameter `{head}`. "
        + suggestion(head, legal.defaults, shown_as=prefix + "{}" + delimiter + rest)
    )
    if kinds:
        text += (
            f" To search over kinds with different settings in place of {owner}, use a list of "
            "grids."
        )
    return ValueError(text)


def same(a: Any, b: Any) -> bool:
    """Compare two parameter values by description."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, functools.partial):
        return all(map(same, (a.func, a.args, a.keywords), (b.func, b.args, b.keywords)))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)
    if isinstance(a, float) and a != a:
        return bool(b != b)
    return bool(np.all(a == b))


def _join(where: str, name: str) -> str:
    return f"{where}__{name}" if where else name
