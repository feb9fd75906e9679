"""Data: rows as scikit-learn checked them, their weights, and the precision that Keras takes.

Owns the checks of sample and class weights. Leaves X and y themselves to scikit-learn's
``validate_data`` and encoding to ``_targets``.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.class_weight import compute_sample_weight


class Data(NamedTuple):
    """One set of rows as scikit-learn checked them: y not yet encoded."""

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None


def some(data: Data, rows: np.ndarray) -> Data:
    """Return some rows of a set."""
    return Data(data.x[rows], data.y[rows], None if data.weight is None else data.weight[rows])


def model_input(x: Any) -> Any:
    """Give floats the precision that Keras computes in, as ``Model.fit`` does."""
    import keras

    x = np.asarray(x)
    return x.astype(keras.config.floatx()) if x.dtype.kind in "fb" else x


def checked_weights(sample_weight: Any, n: int) -> np.ndarray | None:
    """Check sample weights."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, numbers.Real):
        return np.full(n, float(sample_weight))
    weight = np.asarray(sample_weight, dtype=float)
    if weight.ndim != 1:
        raise ValueError("Sample weights must be 1D array or scalar")
    if len(weight) != n:
        raise ValueError(f"`sample_weight` has {len(weight)} values for {n} rows.")
    if not np.isfinite(weight).all():
        raise ValueError("`sample_weight` contains NaN or infinity.")
    if (weight < 0).any():
        raise ValueError("`sample_weight` must not be negative.")
    if not weight.any():
        raise ValueError("`sample_weight` is zero for all rows, so there is nothing to learn.")
    return weight


def class_weights(class_weight: Any, y: np.ndarray, classes: Any) -> np.ndarray:
    """Turn class weights into sample weights."""
    if isinstance(class_weight, Mapping):
        known = set(np.asarray(classes).tolist()) if not isinstance(classes, list) else set()
        unknown = [label for label in class_weight if label not in known]
        if unknown:
            raise ValueError(
                f"`class_weight` names {unknown[0]!r}, which is no class of y: {sorted(known)}."
            )
    elif class_weight != "balanced":
        raise ValueError(
            f"`class_weight` must be a dict of labels, 'balanced' or None but got {class_weight!r}."
        )
    return np.asarray(compute_sample_weight(class_weight, y))
