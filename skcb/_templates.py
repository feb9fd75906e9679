"""Templates: a ``keras.Model`` given as ``build_fn``, and the copy of it that a fit trains.

Owns the copying of architecture, weights and compile state, and the check that the copy computes
what the template computes. Leaves replacing compiled parts to ``_compile``.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from skcb import _parts, _portable
from skcb._names import is_keras


def copy_of(template: Any, rows: Any) -> Any:
    """Copy a model with its weights and compile state; the model itself is left as it is.

    Parameters
    ----------
    template : keras.Model
    rows : array, or list or dict of arrays
        Some rows, on which both must compute the same.

    Raises
    ------
    ValueError
        The copy would not be faithful.
    """
    if any(map(_captures_variables, layers_of(template))):
        raise ValueError(_unfaithful(template, "a Lambda of it captures variables"))
    try:
        duplicate = _rebuilt(template)
        _portable.freeze(duplicate, _portable.frozen(template))
        if template.built:
            difference = _with_weights(template, duplicate, rows)
        else:
            difference = None  # no weights yet: those of the fit's own seed
        if template.compiled:
            _compile_like(template, duplicate)
    except Exception as error:
        raise ValueError(_unfaithful(template, "it has no complete config")) from error
    if difference is not None:
        raise ValueError(_unfaithful(template, difference))
    return duplicate


def layers_of(model: Any) -> Iterator[Any]:
    """Yield the layers of a model, those of models inside it too."""
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from layers_of(layer)


def has_one_unit(model: Any) -> bool:
    """Tell whether a model is known to put out one number a row; asks without importing Keras."""
    outputs = getattr(model, "outputs", None)
    if outputs:
        return len(outputs) == 1 and tuple(outputs[0].shape[1:]) == (1,)
    layers = model.layers if is_keras(model, "Sequential") else []
    return bool(layers) and getattr(layers[-1], "units", None) == 1


def compiled_with(model: Any) -> dict[str, Any]:
    """Return the objects that a model was compiled with; empty where it is not compiled.

    Keras gives them back only serialized (``get_compile_config``), which loses functions of the
    user's; ``_compile_config`` holds the objects themselves. test_compile.py notices if it goes.
    """
    if not model.compiled:
        return {}
    return dict(model._compile_config.config)


def _unfaithful(template: Any, reason: str) -> str:
    return (
        f"`build_fn` is the model {template.name!r}, which cannot be copied faithfully ({reason}): "
        "pass a function that builds it."
    )


def _captures_variables(layer: Any) -> bool:
    """Tell whether a Lambda computes with variables that a copy of it would share."""
    import keras

    if not isinstance(layer, keras.layers.Lambda):
        return False
    try:
        captured = inspect.getclosurevars(layer.function)
    except TypeError:  # no Python function
        return False
    values = [*captured.nonlocals.values(), *captured.globals.values()]
    return any(hasattr(v, "assign") or isinstance(v, keras.layers.Layer) for v in values)


def _rebuilt(template: Any) -> Any:
    """Build the architecture anew from its config, with weights of its own."""
    import keras

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the compile state, which is not taken from here
        config = keras.saving.serialize_keras_object(template)
    config.pop("compile_config", None)
    classes = {type(layer).__name__: type(layer) for layer in (template, *layers_of(template))}
    # Not from a file, but from the user's own object: its functions are safe to take over.
    return keras.saving.deserialize_keras_object(config, custom_objects=classes, safe_mode=False)


def _with_weights(template: Any, duplicate: Any, rows: Any) -> str | None:
    """Give a copy the template's weights; return what still differs, or None."""
    expected = template(rows, training=False)
    duplicate(rows, training=False)
    if _shapes(template) != _shapes(duplicate):
        return "a copy has other weights, or other ones of them train"
    duplicate.set_weights(template.get_weights())
    same = _all_equal(expected, duplicate(rows, training=False))
    return None if same else "a copy computes something else"


def _shapes(model: Any) -> list[tuple[Any, bool]]:
    training = {id(variable) for variable in model.trainable_variables}
    return [(tuple(w.shape), id(w) in training) for w in model.weights]


def _all_equal(a: Any, b: Any) -> bool:
    import keras

    pairs = zip(keras.tree.flatten(a), keras.tree.flatten(b), strict=True)
    return all(
        np.array_equal(keras.ops.convert_to_numpy(x), keras.ops.convert_to_numpy(y), equal_nan=True)
        for x, y in pairs
    )


def _compile_like(template: Any, duplicate: Any) -> None:
    """Compile a copy with copies of the template's optimizer, state included, and metrics."""
    compiled = compiled_with(template)
    compiled["optimizer"] = _parts.optimizer(compiled["optimizer"], {})
    for name in ("metrics", "weighted_metrics"):
        compiled[name] = _parts.metrics(compiled[name], {})
    duplicate.compile(**compiled)
    if template.optimizer.built:
        duplicate.optimizer.build(duplicate.trainable_variables)
        pairs = zip(template.optimizer.variables, duplicate.optimizer.variables, strict=True)
        for old, new in pairs:
            new.assign(old)
