"""Data: rows as scikit-learn checked them, their weights, and the precision that Keras takes.

Owns the checks of sample and class weights, and what scikit-learn's check of X leaves open: objects
and precision. Leaves the rest of X and y to ``validate_data``, and encoding to ``_targets``.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array
from sklearn.utils.class_weight import compute_sample_weight


class Data(NamedTuple):
    """One set of rows as scikit-learn checked them: y not yet encoded.

    ``x`` is an array or a sparse matrix, or the user's own table where `inputs` cuts it.
    """

    x: Any
    y: Any
    weight: np.ndarray | None


def some(data: Data, rows: np.ndarray) -> Data:
    """Return some rows of a set."""
    weight = None if data.weight is None else data.weight[rows]
    return Data(some_rows(data.x, rows), some_rows(data.y, rows), weight)


def n_rows(values: Any) -> int:
    """Return the number of rows of an array, a sparse matrix, a frame or a list."""
    return int(values.shape[0]) if hasattr(values, "shape") else len(values)


def some_rows(table: Any, rows: Any) -> Any:
    """Return some rows of an array, a sparse matrix or a frame."""
    return table.iloc[rows] if hasattr(table, "iloc") else table[rows]


def with_plain_integers(table: Any) -> Any:
    """Return a frame of pandas with its nullable integers as NumPy's, where none is missing.

    scikit-learn's check makes floats of them, which rounds large ones.
    """
    if not hasattr(table, "isetitem"):
        return table
    plain = {}  # by position: names may be there twice
    for i, dtype in enumerate(table.dtypes):
        own = getattr(dtype, "numpy_dtype", None)  # of an extension type; NumPy's have none
        if getattr(own, "kind", None) in ("i", "u") and not table.iloc[:, i].isna().any():
            plain[i] = table.iloc[:, i].to_numpy(own)
    if plain:
        table = table.copy(deep=False)
    for i, column in plain.items():
        table.isetitem(i, column)
    return table


def as_numbers(x: Any, **checks: Any) -> Any:
    """Return checked rows as numbers, which scikit-learn's check leaves to whoever computes.

    It lets objects pass where the columns of a frame have no common dtype, and dates.
    """
    if x.dtype.kind in "mM":
        raise ValueError(f"X holds dates or times ({x.dtype}), and a model takes numbers.")
    return check_array(x, dtype=float, **checks) if x.dtype.kind == "O" else x


def model_input(x: Any) -> Any:
    """Give floats the precision that Keras computes in, as ``Model.fit`` does."""
    import keras

    x = x if issparse(x) else np.asarray(x)
    if x.dtype.kind not in "fb":
        return x
    try:
        with np.errstate(over="raise"):
            return x.astype(keras.config.floatx())
    except FloatingPointError as error:
        raise ValueError(
            # In scikit-learn's words, whose check sees the rows in their own precision.
            f"Input X contains infinity or a value too large for dtype({keras.config.floatx()!r})."
        ) from error


def checked_weights(sample_weight: Any, n: int) -> np.ndarray | None:
    """Check sample weights; one number weighs every row."""
    if sample_weight is None:
        return None
    weight = np.asarray(sample_weight, dtype=float)
    if isinstance(sample_weight, numbers.Real):
        weight = np.full(n, float(sample_weight))
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


def loss_weights(
    sample_weight: np.ndarray | None, by_class: np.ndarray | None, rows: str
) -> np.ndarray | None:
    """Return checked weights in the precision of a loss, those of the classes multiplied in.

    Parameters
    ----------
    sample_weight, by_class : ndarray of shape (n_samples,) or None
    rows : str
        What errors call these rows, which may be a part of those that the weights came with.

    Raises
    ------
    ValueError
        Too large for float32, or zero for all of these rows.
    """
    given = {"`sample_weight`": sample_weight, "`class_weight`": by_class}
    weights = {name: weight for name, weight in given.items() if weight is not None}
    if not weights:
        return None
    what = " times ".join(weights)
    try:
        with np.errstate(over="raise"):
            weight = np.prod(list(weights.values()), axis=0).astype(np.float32)
    except FloatingPointError as error:
        raise ValueError(f"{what} has a value too large for dtype('float32').") from error
    if not weight.any():
        raise ValueError(f"{what} is zero (in float32) for all {rows}.")
    return weight


def class_weights(class_weight: Any, y: np.ndarray, classes: Any) -> np.ndarray:
    """Turn class weights into sample weights.

    Parameters
    ----------
    class_weight : dict of label to float, or "balanced"
        Labels that a dict does not name weigh 1.
    y : ndarray
        The rows' labels.
    classes : ndarray, or list of ndarray for several heads
        All labels that there are.
    """
    if isinstance(class_weight, Mapping):
        if isinstance(classes, list):
            raise ValueError(
                f"`class_weight={class_weight!r}` does not say which of {len(classes)} targets it "
                "weighs: give 'balanced', or `sample_weight` to `fit`."
            )
        known = np.asarray(classes).tolist()
        for label, weight in class_weight.items():
            if label not in known:
                raise ValueError(
                    f"`class_weight` names {label!r}, which is no class of y: {known}."
                )
            if not isinstance(weight, numbers.Real) or not 0 <= float(weight) < np.inf:
                raise ValueError(
                    f"`class_weight` of {label!r} must be a number of at least 0 but got "
                    f"{weight!r}."
                )
        if np.size(y) == len(y):
            # scikit-learn refuses names of which these rows, those of a fold say, have none.
            labels, codes = np.unique(np.ravel(y), return_inverse=True)
            by_label = [float(class_weight.get(label, 1)) for label in labels.tolist()]
            return np.asarray(by_label)[codes]
    elif not isinstance(class_weight, str) or class_weight != "balanced":
        raise ValueError(
            "`class_weight` must be a dict of labels, 'balanced' or None but got "
            f"{class_weight!r:.80}."
        )
    return np.asarray(compute_sample_weight(class_weight, y))
