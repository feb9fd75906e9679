"""From build function, data and recipes to a compiled ``keras.Model`` of this fit's own.

Owns the call of the build function, the copy of a template, the compiling of what is not (or not
as the user asked) and the check that the output fits the target. Leaves optimizer, loss and
metrics to ``_parts`` and the training to ``engine``.
"""

from __future__ import annotations

import copy
import warnings
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from skcb import _parts
from skcb._names import BUILD_EXTRAS, Accepted, is_keras
from skcb._routing import Routed, build_arguments
from skcb._seeds import seeded
from skcb._targets import Head, Target, check_units, loss_name
from skcb.exceptions import TrainingWarning
from skcb.tunable import unknown_setting

_TRAINED: weakref.WeakSet[Any] = weakref.WeakSet()
"""Models that belong to a fit; a build function that returns one again is refused."""


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
    prepared : dict or None
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
    prepared: dict[str, Any] | None = None


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
    with seeded(request.seed):
        model = _from_template(request) if is_keras(request.build_fn, "Model") else _call(request)
        compiled = _compile(model, request)
        _finish(compiled.model, request.sample_x, request.encode(compiled.heads))
        check_units(compiled.heads, _output_shapes(compiled.model, request.sample_x))
    _TRAINED.add(compiled.model)
    return compiled


def _call(request: Request) -> Any:
    """Call the build function with what its signature names."""
    import keras

    routed, accepts = request.routed, request.accepts
    named_loss = routed.named["loss"]
    extras: dict[str, Any] = {"params": request.params}
    if "meta" in accepts.defaults:
        extras["meta"] = {
            **request.data_meta,
            **request.target.meta(request.target.heads(named_loss)),
        }
    if "compile_kwargs" in accepts.defaults:
        extras["compile_kwargs"] = request.prepared = _prepare(request)
    values, below = build_arguments(routed, accepts, extras)
    for name in [*values, *below]:
        if not accepts.takes(name):
            legal = accepts._replace(
                defaults={k: v for k, v in accepts.defaults.items() if k not in BUILD_EXTRAS}
            )
            value = values.get(name, below.get(name))
            raise unknown_setting("", name, value, request.call, legal)
    for name in below.keys() - values.keys():
        values[name] = accepts.defaults.get(name)
    missing = [name for name in accepts.required if name not in values]
    if missing:
        raise TypeError(
            f"`build_fn` {_name(request.call)} needs `{missing[0]}`, which nobody gave: pass "
            f"{missing[0]}=... to the estimator, or give it a default."
        )
    arguments = {
        name: _parts.argument(value, below.get(name, {}), where=f"model__{name}")
        for name, value in values.items()
    }
    model = request.call(**arguments)
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"`build_fn` {_name(request.call)} must return a keras.Model but returned "
            f"{type(model).__name__}: {model!r:.80}."
        )
    if model in _TRAINED:
        raise ValueError(
            f"`build_fn` {_name(request.call)} returned a model that it had returned before; a fit "
            "needs its own. Build a new model at each call, or pass the model itself as "
            "`build_fn`, which is then copied for every fit."
        )
    return model


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _from_template(request: Request) -> Any:
    """Copy a template model with its weights, and see that the copy computes the same."""
    template, routed = request.build_fn, request.routed
    if routed.model:
        name, value = next(iter(routed.model.items()))
        raise ValueError(
            f"`{name}={value!r}` reaches nothing: `build_fn` is a model, which takes no arguments. "
            "Pass a function that builds it."
        )
    try:
        duplicate = copy.deepcopy(template)
        rows = request.sample_x
        equal = _all_equal(template(rows, training=False), duplicate(rows, training=False))
    except Exception as error:
        raise ValueError(_unfaithful(template)) from error
    if not equal:
        raise ValueError(_unfaithful(template))
    return duplicate


def _unfaithful(template: Any) -> str:
    return (
        f"`build_fn` is the model {template.name!r}, which cannot be copied faithfully (it has no "
        "complete config, or holds a function that captures variables): pass a function that "
        "builds it."
    )


def _all_equal(a: Any, b: Any) -> bool:
    import keras

    pairs = zip(keras.tree.flatten(a), keras.tree.flatten(b), strict=True)
    return all(
        np.array_equal(keras.ops.convert_to_numpy(x), keras.ops.convert_to_numpy(y), equal_nan=True)
        for x, y in pairs
    )


def _compile(model: Any, request: Request) -> Built:
    """Compile what is not compiled, and replace the parts that the user gave."""
    previous = _compiled_with(model)
    linear = _linear_outputs(model)
    as_logits = bool(linear) and all(linear)
    prepared = request.prepared and previous.get("optimizer") is request.prepared["optimizer"]
    replaced = {} if prepared else _given(request.routed, previous, as_logits)
    loss = replaced.get("loss", previous.get("loss"))
    if loss is None:
        loss = request.routed.named["loss"] or _inferred_loss(model, request.target)
        settings = request.routed.parts.get("loss", {})
        replaced["loss"] = loss = _parts.loss(loss, settings, from_logits=as_logits)
    heads = request.target.heads(_names(loss))
    if not previous or replaced:
        model.compile(**{"optimizer": "rmsprop", **previous, **replaced})
    _refuse_two_schedules(model.optimizer, request.routed)
    linear = linear if len(linear) == len(heads) else [False] * len(heads)
    logits = [_is_logits(loss, i, head, linear[i]) for i, head in enumerate(heads)]
    return Built(model, heads, logits)


def _given(routed: Routed, previous: Mapping[str, Any], as_logits: bool) -> dict[str, Any]:
    """Build the compile arguments that the user gave, on top of what is compiled."""
    parts = {name: dict(routed.parts.get(name, {})) for name in ("optimizer", "loss", "metrics")}
    schedule = routed.named["lr_schedule"]
    if is_keras(schedule, "LearningRateSchedule"):
        parts["optimizer"]["learning_rate"] = schedule
    fallback = {"optimizer": "rmsprop", **{k: v for k, v in previous.items() if v is not None}}
    makers: dict[str, Callable[[Any, Any], Any]] = {
        "optimizer": _parts.optimizer,
        "loss": lambda value, settings: _parts.loss(value, settings, from_logits=as_logits),
        "metrics": _parts.metrics,
    }
    arguments = dict(routed.compile)
    for name, make in makers.items():
        value = routed.named[name]
        if value is None and parts[name]:
            value = fallback.get(name)
        if value is not None:
            arguments[name] = make(value, parts[name])
    return arguments


def _prepare(request: Request) -> dict[str, Any]:
    """Build ``compile_kwargs``: what ``model.compile`` needs, before there is a model."""
    arguments = _given(request.routed, {}, as_logits=False)
    settings = request.routed.parts.get("loss", {})
    if "optimizer" not in arguments:
        arguments["optimizer"] = _parts.optimizer("rmsprop", {})
    if "loss" not in arguments:
        arguments["loss"] = _parts.loss(request.target.default_loss(), settings)
    return arguments


def _inferred_loss(model: Any, target: Target) -> Any:
    """Infer the loss from the target, and from the output where the target allows two."""
    outputs = getattr(model, "outputs", None) or []
    if target.type_ == "binary" and len(outputs) == 1 and outputs[0].shape[-1] == 2:
        return "sparse_categorical_crossentropy"
    return target.default_loss()


def _is_logits(loss: Any, i: int, head: Head, linear: bool) -> bool:
    """Tell whether an output still lacks its sigmoid or softmax."""
    if _reads_logits(loss, i):
        return True
    if not (linear and head.loss is not None and "crossentropy" in head.loss):
        return False
    warnings.warn(
        f"the model ends in a linear layer, but {head.loss} was made without `from_logits=True`, "
        "so Keras trains on the outputs as if they were probabilities. Give the loss by name, "
        "leave it out, or make it with `from_logits=True`.",
        TrainingWarning,
        stacklevel=2,
    )
    return True


def _compiled_with(model: Any) -> dict[str, Any]:
    """Return the objects that a model was compiled with; empty where it is not compiled.

    Keras gives them back only serialized (``get_compile_config``), which loses functions of the
    user's; ``_compile_config`` holds the objects themselves. test_build.py notices if it goes.
    """
    if not model.compiled:
        return {}
    return dict(model._compile_config.config)


def _names(losses: Any) -> Any:
    if isinstance(losses, list | tuple):
        return [loss_name(x) for x in losses]
    if isinstance(losses, dict):
        return {k: loss_name(x) for k, x in losses.items()}
    return loss_name(losses)


def _reads_logits(loss: Any, i: int) -> bool:
    """Tell whether the loss of one head was made with ``from_logits=True``."""
    if isinstance(loss, dict):
        loss = list(loss.values())
    if isinstance(loss, list | tuple):
        loss = loss[i]
    config = loss.get_config() if hasattr(loss, "get_config") else {}
    return bool(getattr(loss, "from_logits", False) or config.get("from_logits", False))


def _linear_outputs(model: Any) -> list[bool]:
    """Tell which outputs come straight from a layer with a linear activation."""
    outputs = getattr(model, "outputs", None) or []
    return [_is_linear(_producer(model, output)) for output in outputs]


def _producer(model: Any, output: Any) -> Any:
    for layer in reversed(model.layers):
        try:
            made = layer.output
        except (AttributeError, ValueError):  # a layer called several times, or not yet
            continue
        if made is output:
            return layer
    return None


def _is_linear(layer: Any) -> bool:
    import keras

    if isinstance(layer, keras.Model):
        return _linear_outputs(layer) == [True]
    weighted = hasattr(layer, "kernel") or hasattr(layer, "kernel_initializer")
    return weighted and getattr(layer, "activation", None) is keras.activations.linear


def _refuse_two_schedules(optimizer: Any, routed: Routed) -> None:
    schedule = routed.named["lr_schedule"]
    if schedule is None or is_keras(schedule, "LearningRateSchedule"):
        return
    if _parts.holds_schedule(optimizer):
        raise ValueError(
            f"`lr_schedule={schedule!r}` and the optimizer's own schedule object both set the "
            "learning rate: give the optimizer a number (`optimizer__learning_rate=1e-3`), or "
            "`lr_schedule=None`."
        )


def _finish(model: Any, x: Any, y: Any) -> None:
    """Build what Keras builds at the first batch: variables of layers, metrics and optimizer.

    ``Model.fit`` does this by the same private method; there is no public one that leaves the
    model untrained (test_build.py notices if it goes).
    """
    try:
        model._symbolic_build(data_batch=(x, y, None))
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"the model does not fit the data: rows of X have shape {_shape(x)}, targets "
            f"{_shape(y)}. Keras says: {error}"
        ) from error
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def _shape(values: Any) -> str:
    if isinstance(values, dict):
        return str({k: v.shape[1:] for k, v in values.items()})
    if isinstance(values, list | tuple):
        return str([v.shape[1:] for v in values])
    return str(values.shape[1:])


def _output_shapes(model: Any, x: Any) -> list[tuple[int | None, ...]]:
    """Return the shape of each output, without the training of anything."""
    import keras

    outputs = getattr(model, "outputs", None) or keras.tree.flatten(model(x, training=False))
    return [tuple(output.shape) for output in outputs]
