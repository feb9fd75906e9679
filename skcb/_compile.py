"""Compiling: optimizer, loss and metrics meet the model, and the outputs get their meaning.

Owns what is compiled and what stays as it was, the loss that follows from the target, and the
outputs that are logits. Leaves making the parts to ``_parts`` and the model to ``_build``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from skcb import _metric_names, _parts, _templates
from skcb._heads import KNOWN_LOSSES, Head, loss_name
from skcb._names import is_keras
from skcb._routing import Routed
from skcb._targets import Target
from skcb.exceptions import TrainingWarning


def compile_model(
    model: Any, routed: Routed, target: Target, prepared: Mapping[str, Any]
) -> tuple[list[Head], list[bool]]:
    """Compile what is not compiled, and replace the parts that the user gave.

    Parameters
    ----------
    model : keras.Model
    routed : Routed
    target : Target
    prepared : mapping
        ``compile_kwargs`` of :func:`prepare`, where the build function took them.

    Returns
    -------
    heads : list of Head
        What each output means, under the loss that is compiled.
    logits : list of bool
        Which outputs are logits.
    """
    previous = _templates.compiled_with(model)
    linear = _linear_outputs(model)
    names = getattr(model, "output_names", None) or []
    if any(linear) and previous.get("loss") is prepared.get("loss"):
        previous["loss"] = None  # prepared before it was known that the model ends in logits
    kept = {n for n, part in previous.items() if part is not None and part is prepared.get(n)}
    replaced = _given(routed, previous, linear, names, kept)
    loss = replaced.get("loss", previous.get("loss"))
    kinds = [replaced.get(name, previous.get(name)) for name in ("metrics", "weighted_metrics")]
    metrics = _by_head(kinds, model)
    if loss is None:
        settings = routed.parts.get("loss", {})
        inferred = _inferred_loss(model, target, metrics)
        replaced["loss"] = loss = _parts.loss(inferred, settings, from_logits=linear)
    losses = _in_order(loss, model)
    heads = target.heads(
        [loss_name(x) for x in losses] if isinstance(losses, list) else loss_name(losses)
    )
    for of_head, head in zip(metrics, heads, strict=False):  # their numbers are checked later
        _metric_names.check_readable(of_head, head)
    if not previous or replaced:
        model.compile(**{"optimizer": "rmsprop", **previous, **replaced})
    _refuse_no_rate(model.optimizer)
    _refuse_two_schedules(model.optimizer, routed)
    linear = linear if len(linear) == len(heads) else [False] * len(heads)
    logits = [_is_logits(losses, i, head, linear[i]) for i, head in enumerate(heads)]
    return heads, logits


def prepare(routed: Routed, target: Target) -> dict[str, Any]:
    """Build ``compile_kwargs``: what ``model.compile`` needs, before there is a model."""
    arguments = _given(routed, {}, [])
    settings = routed.parts.get("loss", {})
    if "optimizer" not in arguments:
        arguments["optimizer"] = _parts.optimizer("rmsprop", {})
    if "loss" not in arguments:
        inferred = _readable(target.default_loss(), [arguments.get("metrics")])
        arguments["loss"] = _parts.loss(inferred, settings)
    return arguments


def _given(
    routed: Routed,
    previous: Mapping[str, Any],
    linear: list[bool],
    names: Sequence[str] = (),
    kept: Collection[str] = (),
) -> dict[str, Any]:
    """Build the compile arguments that the user gave, on top of what is compiled and not kept."""
    parts = {name: dict(routed.parts.get(name, {})) for name in ("optimizer", "loss", "metrics")}
    schedule = routed.named["lr_schedule"]
    if is_keras(schedule, "LearningRateSchedule"):
        _refuse_given_rate(schedule, parts["optimizer"])
        parts["optimizer"]["learning_rate"] = schedule
    fallback = {"optimizer": "rmsprop", **{k: v for k, v in previous.items() if v is not None}}
    makers: dict[str, Callable[[Any, Any], Any]] = {
        "optimizer": _parts.optimizer,
        "loss": lambda value, settings: _parts.loss(
            value, settings, from_logits=linear, outputs=names
        ),
        "metrics": _parts.metrics,
    }
    arguments = {name: value for name, value in routed.compile.items() if name not in kept}
    for name, make in makers.items():
        if name in kept:
            continue
        value = routed.named[name]
        if value is None and parts[name]:
            value = fallback.get(name)
        if value is not None:
            arguments[name] = make(value, parts[name])
    return arguments


def _refuse_given_rate(schedule: Any, settings: Mapping[str, Any]) -> None:
    if "learning_rate" in settings:
        raise ValueError(
            f"`optimizer__learning_rate={settings['learning_rate']!r}` reaches nothing: "
            f"`lr_schedule={schedule!r}` has an initial learning rate of its own. Use one of "
            "skcb.schedules, which start from the optimizer's, or give one of the two."
        )


def _inferred_loss(model: Any, target: Target, metrics: list[Any]) -> Any:
    """Infer the loss from the target, and from the output where the target allows two."""
    outputs = getattr(model, "outputs", None) or []
    two = target.type_ == "binary" and len(outputs) == 1 and outputs[0].shape[-1] == 2
    return _readable("sparse_categorical_crossentropy" if two else target.default_loss(), metrics)


def _readable(losses: Any, metrics: list[Any]) -> Any:
    """Encode classes as columns where a metric needs them; the cross-entropy is the same."""
    if isinstance(losses, list):
        each = metrics if len(metrics) == len(losses) else [None] * len(losses)
        return [_readable(loss, [of_head]) for loss, of_head in zip(losses, each, strict=True)]
    needs_columns = any(map(_metric_names.reads_columns, _metric_names.entries(metrics)))
    sparse = losses == "sparse_categorical_crossentropy"
    return "categorical_crossentropy" if sparse and needs_columns else losses


def _by_head(kinds: list[Any], model: Any) -> list[list[Any]]:
    """Return for each output its metrics and its weighted metrics, as far as that is said."""
    names = getattr(model, "output_names", None) or [""]
    if len(names) == 1:
        return [kinds]
    lists = [
        [kind.get(name) for name in names] if isinstance(kind, dict) else list(kind or [])
        for kind in kinds
    ]
    return [[each[i] for each in lists if len(each) == len(names)] for i in range(len(names))]


def _is_logits(losses: Any, i: int, head: Head, linear: bool) -> bool:
    """Tell whether an output still lacks its sigmoid or softmax."""
    if _reads_logits(losses, i):
        return True
    if not (linear and head.loss is not None and "crossentropy" in head.loss):
        return False
    if head.loss in KNOWN_LOSSES:
        warnings.warn(
            f"the model ends in a linear layer, but {head.loss} was made without "
            "`from_logits=True`, so Keras trains on the outputs as if they were probabilities. "
            "Give the loss by name, leave it out, or make it with `from_logits=True`.",
            TrainingWarning,
            stacklevel=2,
        )
    return True


def _in_order(loss: Any, model: Any) -> Any:
    """Return losses by output as a list in the order of the outputs; one loss as it is."""
    if isinstance(loss, dict):
        return [loss.get(name) for name in getattr(model, "output_names", loss)]
    return list(loss) if isinstance(loss, tuple) else loss


def _reads_logits(losses: Any, i: int) -> bool:
    """Tell whether the loss of one head was made with ``from_logits=True``."""
    loss = losses[i] if isinstance(losses, list) else losses
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


def _refuse_no_rate(optimizer: Any) -> None:
    if is_keras(optimizer, "MultiOptimizer"):
        raise ValueError(
            f"`optimizer` is a {type(optimizer).__name__}, which has no learning rate of its own, "
            "and skcb records one for every epoch. Use a single optimizer."
        )


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
