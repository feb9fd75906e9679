"""Misfits: parts that are each in order, but cannot train this model.

Owns what can be told of a compiled model before its first step: an optimizer that belongs to
another model, a regularizer in the place of a constraint, a loss for another kind of target, and a
loss or a metric that fails on the outputs. Leaves names and settings to ``_parts``, and numbers of
units to ``_heads``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skcb._heads import Head
from skcb._names import is_keras
from skcb._routing import Routed
from skcb._templates import compiled_with
from skcb.tunable import Recipe

_BOUND = 512
_COMPUTED: dict[str, None] = {}
"""What Keras' own losses and metrics have been computed on already, so that a search does it once:
loss, metrics and shapes, the oldest first; at most ``_BOUND`` of them."""

_OF_CLASSES = ("sparse_categorical_crossentropy", "categorical_crossentropy", "categorical_hinge")
"""Losses that read which of several classes a row is of."""


def check(
    model: Any, routed: Routed, heads: Sequence[Head], y: Any, *, is_template: bool = False
) -> None:
    """Refuse what would fail in the first step, or train something else than was meant.

    Parameters
    ----------
    model : keras.Model
        Compiled.
    routed : Routed
    heads : list of Head
    y : array, or structure of arrays
        Some targets, as the loss takes them.
    is_template : bool, default=False
        Whether the model is a copy, whose optimizer was made for it.

    Raises
    ------
    ValueError
        It names the part, what it was meant for, and a way out.
    """
    if not is_template:
        _refuse_owned(model, routed.named["optimizer"])
    _refuse_swapped(model, routed.model)
    for head in heads:
        _refuse_other_target(head)
    _refuse_incomputable(model, routed, y)


def _refuse_owned(model: Any, given: Any) -> None:
    """Refuse an optimizer that was built for the variables of another model."""
    if is_keras(given, "Optimizer") and given.built:
        raise ValueError(
            f"`optimizer={given!r}` belongs to a model already: it has taken "
            f"{int(given.iterations)} steps there, and a fit begins without them. Give its name, "
            f"its class, or a fresh keras.optimizers.{type(given).__name__}(...)."
        )
    compiled = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    # There is no public way to ask an optimizer for the variables that it trains;
    # test_bad_parts.py notices if the name goes.
    trains = getattr(compiled, "_trainable_variables", [])
    own = {id(variable) for variable in model.variables}
    if compiled.built and any(id(variable) not in own for variable in trains):
        raise ValueError(
            f"`build_fn` compiled its model with an optimizer that another model already owns: "
            f"{type(compiled).__name__} {compiled.name!r} was built for the variables of that. "
            "Make the optimizer inside the function, or give it as `optimizer`."
        )


def _refuse_swapped(model: Any, arguments: Mapping[str, Any]) -> None:
    """Refuse a regularizer in the place of a constraint, and a constraint in that of one."""
    import keras

    kinds = {"regularizer": keras.Regularizer, "constraint": keras.constraints.Constraint}
    for variable in model.variables:
        for place, other in (("constraint", "regularizer"), ("regularizer", "constraint")):
            part = getattr(variable, place, None)
            if isinstance(part, kinds[other]) and not isinstance(part, kinds[place]):
                given = _given_as(part, arguments)
                raise ValueError(
                    f"{given}{type(part).__name__} is a {other}, but it stands as the {place} of "
                    f"{variable.path!r}: give it as the layer's `{variable.name}_{other}`, or one "
                    f"of keras.{place}s in its place."
                )


def _given_as(part: Any, arguments: Mapping[str, Any]) -> str:
    """Name the argument of the build function from which a part came, where it can be told."""
    for name, value in arguments.items():
        made = value.target() if isinstance(value, Recipe) else None
        if value is part or made is type(part):
            return f"`{name}={value!r}`: "
    return ""


def _refuse_other_target(head: Head) -> None:
    if head.target == "continuous" and head.loss in _OF_CLASSES:
        if head.loss == _OF_CLASSES[0] or head.n_units == 1:
            raise ValueError(
                f"`loss={head.loss!r}` reads classes, but the target is continuous: use "
                "KerasClassifier, or a loss of numbers such as 'mean_squared_error'."
            )


def _refuse_incomputable(model: Any, routed: Routed, y: Any) -> None:
    """Compute loss and metrics on outputs of the right shape, before there are real ones.

    Only where the shape is known and there is one output: else Keras itself runs a batch through
    the model before training.
    """
    import keras

    outputs = getattr(model, "outputs", None) or []
    if len(outputs) != 1 or not hasattr(y, "shape") or None in outputs[0].shape[1:]:
        return
    compiled = compiled_with(model)
    parts = [compiled.get(name) for name in ("loss", "metrics", "weighted_metrics")]
    key = _described(parts, y, outputs[0])
    if key in _COMPUTED:
        return
    shape = (len(y), *outputs[0].shape[1:])
    dtype = "float32" if outputs[0].dtype in ("bfloat16", "float16") else str(outputs[0].dtype)
    out = np.full(shape, 1.0 / max(shape[-1], 2), dtype)
    seen = f"outputs of shape {shape[1:]} and targets of shape {y.shape[1:]}"
    y, out = keras.ops.convert_to_tensor(y), keras.ops.convert_to_tensor(out)
    try:
        # What Keras computes in a step; `_completion` builds the same parts by the same names.
        model._compile_loss(y, out)
    except Exception as error:
        shown = routed.named["loss"] if "loss" in routed.given else compiled.get("loss")
        raise ValueError(f"`loss={shown!r}` cannot be computed from {seen}: {error}") from error
    _compute_metrics(model._compile_metrics, y, out, seen)
    if key is not None:
        _COMPUTED[key] = None
        while len(_COMPUTED) > _BOUND:
            _COMPUTED.pop(next(iter(_COMPUTED)), None)


def _compute_metrics(metrics: Any, y: Any, out: Any, seen: str) -> None:
    """Compute metrics on one batch, and forget it."""
    if metrics is None:
        return
    try:
        metrics.update_state(y, out)
        metrics.result()
    except Exception as error:
        raise ValueError(
            f"`metrics`: {_failing(metrics, y, out)} cannot be computed from {seen}: {error}"
        ) from error
    metrics.reset_state()


def _failing(metrics: Any, y: Any, out: Any) -> str:
    """Return the name of the first metric that fails."""
    for metric in metrics.metrics:
        try:
            metric.update_state(y, out)
            metric.result()
        except Exception:
            return repr(metric.name)
    return "they"


def _described(parts: Sequence[Any], y: Any, output: Any) -> str | None:
    """Describe loss, metrics and shapes; None where a part is not Keras' own."""
    import keras

    described: list[Any] = []
    for part in keras.tree.flatten(parts):
        kind = part if isinstance(part, type) or hasattr(part, "__name__") else type(part)
        if part is None or isinstance(part, str):
            described.append(part)
        elif str(kind.__module__).partition(".")[0] != "keras":
            return None
        else:
            config = part.get_config() if kind is type(part) else {}
            described.append([kind.__name__, json.dumps(config, default=repr, sort_keys=True)])
    return json.dumps([described, y.shape[1:], str(y.dtype), output.shape, output.dtype])
