"""Completion: the variables that Keras creates only when it sees a first batch.

Owns the building of what is still missing (layers, metrics, loss, optimizer) before a fit starts.
Keras does this in ``Model.fit`` by private methods, and no public one leaves the model untrained;
test_completion.py notices if they go.
"""

from __future__ import annotations

from typing import Any

SAMPLE_ROWS = 2
"""Rows that a model sees while it is built."""


def complete(model: Any, x: Any, y: Any, sample_weight: Any = None) -> None:
    """Build all that is missing, by running rows through the model symbolically.

    Parameters
    ----------
    model : keras.Model
        Compiled.
    x, y, sample_weight : array, or structure of arrays
        Some rows, y as the loss takes it.
    """
    model._symbolic_build(data_batch=(x, y, sample_weight))
    _build_optimizer(model)


def complete_by_shapes(model: Any, x: Any, y: Any) -> bool:
    """Build what is missing where shapes alone tell how: a twentieth of the time.

    Only for a functional model with one input and one output. A metric of Keras' that makes its
    variables at its first batch, and says so by ``_built`` (F1, R2), sees zeros. One of the
    user's still lacks them then; who traces the model finds that out.

    Returns
    -------
    bool
        Whether it could be done.
    """
    import keras

    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    simple = inputs and outputs and len(inputs) == len(outputs) == 1 and hasattr(x, "shape")
    simple = simple and None not in outputs[0].shape[1:]  # type: ignore[index]
    if not (simple and model.built and _fits(x.shape, inputs[0].shape)):  # type: ignore[index]
        return False
    target = keras.KerasTensor((None, *y.shape[1:]), str(y.dtype))
    for part in (model._compile_metrics, model._compile_loss):
        if part is not None and not part.built:
            part.build(target, outputs[0])  # type: ignore[index]
    for metric in getattr(model._compile_metrics, "metrics", ()):
        if vars(metric).get("_built") is False:
            metric.update_state(y, keras.ops.zeros((len(y), *outputs[0].shape[1:])))  # type: ignore[index]
            metric.reset_state()
    _build_optimizer(model)
    return True


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected) and all(
        wanted in (None, size) for size, wanted in zip(shape[1:], expected[1:], strict=True)
    )


def _build_optimizer(model: Any) -> None:
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
