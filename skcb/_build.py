"""From build function, data and recipes to a compiled ``keras.Model`` of this fit's own.

Owns the call of the build function, what it is called with, and the check that the output fits
the target. Leaves copies of templates to ``_templates``, compiling to ``_compile`` and the
training to ``engine``.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from skcb import _compile, _completion, _misfits, _parts, _templates
from skcb._auto_names import count_on, is_clash, named_afresh
from skcb._heads import Head, check_units
from skcb._names import BUILD_EXTRAS, Accepted, is_keras
from skcb._routing import Routed, build_arguments
from skcb._seeds import seeded
from skcb._targets import Target
from skcb.tunable import unknown_setting

_TRAINED: weakref.WeakSet[Any] = weakref.WeakSet()
"""Models, layers and optimizers of all fits; a build function that returns one again is refused."""


@dataclass
class Built:
    """A compiled model of one fit's own, and how to read its outputs.

    Attributes
    ----------
    model : keras.Model
    heads : list of Head
        What each output means, under the loss that is compiled.
    logits : list of bool
        Which outputs are logits.
    """

    model: Any
    heads: list[Head]
    logits: list[bool]


@dataclass
class Request:
    """Everything that building needs to know.

    Attributes
    ----------
    build_fn : callable, keras.Model or None
    call : callable
        What makes the model: the build function, or the estimator itself.
    accepts : Accepted
        What ``call`` takes by keyword.
    routed : Routed
    target : Target
    data_meta : dict
        What is known of X.
    params : dict
        All of ``get_params``.
    sample_x : array, or list or dict of arrays
        Some rows as the model will see them.
    encode : callable
        Gives the targets of those rows, encoded for the heads that it is given.
    seed : int
    prepared : dict
        ``compile_kwargs``, where the build function took them.
    """

    build_fn: Any
    call: Callable[..., Any]
    accepts: Accepted
    routed: Routed
    target: Target
    data_meta: dict[str, Any]
    params: dict[str, Any]
    sample_x: Any
    encode: Callable[[list[Head]], Any]
    seed: int
    prepared: dict[str, Any] = field(default_factory=dict)


def build(request: Request) -> Built:
    """Build, compile and check one model.

    Returns
    -------
    Built

    Raises
    ------
    TypeError
        ``build_fn`` cannot be called, needs an argument that nobody gave, or returns no model.
    ValueError
        A setting that an object lacks, a template that cannot be copied, a model that was
        trained before, or an output that does not fit the target.
    """
    try:
        with named_afresh() as before:
            built = _build(request)
        count_on(built.model, before)
    except ValueError as error:
        if not is_clash(error):
            raise
        built = _build(request)
    _TRAINED.update(_trained(built.model))
    return built


def _build(request: Request) -> Built:
    """Build under the request's seed."""
    with seeded(request.seed):
        model = _from_template(request) if is_keras(request.build_fn, "Model") else _call(request)
        heads, logits = _compile.compile_model(
            model, request.routed, request.target, request.prepared
        )
        if getattr(model, "outputs", None):  # else Keras would say it first, and less clearly
            check_units(heads, _shapes(model.outputs))
        is_template = is_keras(request.build_fn, "Model")
        y = request.encode(heads)
        _misfits.check(model, request.routed, heads, y, is_template=is_template)
        _finish(model, request.sample_x, y)
        check_units(heads, _output_shapes(model, request.sample_x))
    return Built(model, heads, logits)


def _call(request: Request) -> Any:
    """Call the build function, and see that what it returns is a model of this fit's own."""
    import keras

    model = request.call(**_arguments(request))
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"`build_fn` {_name(request.call)} must return a keras.Model but returned "
            f"{type(model).__name__}: {model!r:.80}."
        )
    used = next((part for part in _trained(model) if part in _TRAINED), None)
    if used is not None:
        what = "a model" if used is model else f"a model with a part ({used.name!r})"
        raise ValueError(
            f"`build_fn` {_name(request.call)} returned {what} that had been trained before; a fit "
            "needs its own. Build all of it at each call, or pass the model itself as `build_fn`, "
            "which is then copied for every fit."
        )
    return model


def _arguments(request: Request) -> dict[str, Any]:
    """Return the arguments of the build function: what was given and what it asks for."""
    accepts = request.accepts
    values, below = build_arguments(request.routed, accepts, _extras(request))
    for name in [*values, *below]:
        if not accepts.takes(name):
            legal = accepts._replace(
                defaults={k: v for k, v in accepts.defaults.items() if k not in BUILD_EXTRAS}
            )
            value = values.get(name, below.get(name))
            raise unknown_setting("", name, value, request.call, legal)
    optional = {k: v for k, v in accepts.defaults.items() if k not in accepts.required}
    values |= {name: optional[name] for name in below if name in optional and name not in values}
    missing = [name for name in (*accepts.required, *below) if name not in values]
    if missing:
        raise TypeError(
            f"`build_fn` {_name(request.call)} needs `{missing[0]}`, which nobody gave: pass "
            f"{missing[0]}=... to the estimator, or give it a default."
        )
    return {
        name: _parts.argument(value, below.get(name, {}), where=f"model__{name}")
        for name, value in values.items()
    }


def _extras(request: Request) -> dict[str, Any]:
    """Return what a build function gets where its signature names it."""
    extras: dict[str, Any] = {"params": request.params}
    if "meta" in request.accepts.defaults:
        heads = request.target.heads(request.routed.named["loss"])
        extras["meta"] = {**request.data_meta, **request.target.meta(heads)}
    if "compile_kwargs" in request.accepts.defaults:
        extras["compile_kwargs"] = request.prepared = _compile.prepare(
            request.routed, request.target
        )
    return extras


def _trained(model: Any) -> list[Any]:
    """Return a model and those of its layers that training changes, and its optimizer."""
    layers = [layer for layer in _templates.layers_of(model) if layer.trainable_variables]
    return [model, *layers, *([model.optimizer] if model.compiled else [])]


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _from_template(request: Request) -> Any:
    """Copy a template model, which takes no arguments."""
    if request.routed.model:
        name, value = next(iter(request.routed.model.items()))
        raise ValueError(
            f"`{name}={value!r}` reaches nothing: `build_fn` is a model, which takes no arguments. "
            "Pass a function that builds it."
        )
    return _templates.copy_of(request.build_fn, request.sample_x)


def _finish(model: Any, x: Any, y: Any) -> None:
    """Build what Keras builds at the first batch: variables of layers, metrics and optimizer."""
    try:
        if not _completion.complete_by_shapes(model, x, y):
            _completion.complete(model, x, y)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"the model does not fit the data: rows of X have shape {_shape(x)}, targets "
            f"{_shape(y)}. Keras says: {error}"
        ) from error


def _shape(values: Any) -> str:
    if isinstance(values, dict):
        return str({k: v.shape[1:] for k, v in values.items()})
    if isinstance(values, list | tuple):
        return str([v.shape[1:] for v in values])
    return str(values.shape[1:])


def _output_shapes(model: Any, x: Any) -> list[tuple[int | None, ...]]:
    """Return the shape of each output, without the training of anything."""
    return _shapes(getattr(model, "outputs", None) or model(x, training=False))


def _shapes(outputs: Any) -> list[tuple[int | None, ...]]:
    import keras

    return [tuple(output.shape) for output in keras.tree.flatten(outputs)]
