"""Watched rows: which rows train and which are only looked at.

Owns the split of a fit's rows by ``validation_split`` and the reading of watched rows that the
user brings. Leaves weights and encoding of what comes out to ``_base``.
"""

from __future__ import annotations

import math
import numbers
import warnings
from typing import Any

import numpy as np
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from sklearn.utils.multiclass import type_of_target

from skcb._data import n_rows
from skcb.exceptions import TrainingWarning


def split(
    validation_split: Any,
    X: Any,
    y: Any,
    *,
    stratify: bool,
    groups: Any = None,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Split rows into those that train and those that are watched.

    Parameters
    ----------
    validation_split : float in [0, 1), splitter or None
        A float watches that share of the rows, shuffled; a splitter of scikit-learn's gives its
        first split; 0 or None watches nothing.
    X, y : array-like
        The rows; a splitter may look at them.
    stratify : bool
        Whether both sides keep the shares of the classes in ``y``. A class too rare to be split
        trains.
    groups : array-like of shape (n_samples,), optional
        Passed to the splitter.
    seed : int, default=0
        For the shuffle of a float.

    Returns
    -------
    train : ndarray of int
        Sorted row numbers.
    watched : ndarray of int, or None
        Sorted row numbers; None where nothing is watched.

    Raises
    ------
    ValueError
        A share outside [0, 1), a split that leaves no row on one side, or one whose sides share
        a row.
    TypeError
        Neither a share nor a splitter.
    """
    n = n_rows(y)
    if validation_split is None:
        return np.arange(n), None
    if callable(getattr(validation_split, "split", None)) and not isinstance(
        validation_split, str | type
    ):
        train, watched = next(iter(validation_split.split(X, y, groups)), ([], []))
        return _both_sides(np.sort(train), np.sort(watched), validation_split)
    share = _share(validation_split)
    if share == 0.0:
        return np.arange(n), None
    n_watched = math.ceil(share * n)
    if n_watched >= n:
        return _both_sides(np.arange(0), np.arange(n), validation_split)
    watched = _stratified(y, n_watched, seed) if stratify else _shuffled(n, n_watched, seed)
    return _both_sides(np.setdiff1d(np.arange(n), watched), np.sort(watched), validation_split)


def _share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            "`validation_split` must be a number in [0, 1), a splitter of scikit-learn's (an "
            f"object with a `split` method) or None but got {value!r}."
        )
    share = float(value)
    if not 0.0 <= share < 1.0:
        raise ValueError(f"`validation_split` must be in [0, 1) but got {value!r}.")
    return share


def _both_sides(train: Any, watched: Any, validation_split: Any) -> tuple[Any, Any]:
    for side, rows in (("train", train), ("watch", watched)):
        if len(rows) == 0:
            raise ValueError(
                f"`validation_split={validation_split!r}` leaves no rows to {side}: "
                f"{len(train)} train and {len(watched)} are watched."
            )
    both = np.intersect1d(train, watched)
    if len(both) > 0:
        raise ValueError(
            f"`validation_split={validation_split!r}` lets row {both[0]} both train and be watched."
        )
    return train, watched


def _shuffled(n: int, n_watched: int, seed: int) -> np.ndarray:
    rule = ShuffleSplit(n_splits=1, test_size=n_watched, random_state=seed)
    return np.asarray(next(rule.split(np.zeros(n)))[1])


def _stratified(y: Any, n_watched: int, seed: int) -> np.ndarray:
    """Return rows to watch with the shares of the classes; every class has rows that train."""
    y = np.asarray(y)
    if type_of_target(y) not in ("binary", "multiclass"):
        return _shuffled(len(y), n_watched, seed)
    labels, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    codes = codes.reshape(-1)
    rare = counts < 2
    if rare.any():
        warnings.warn(
            f"Of class {', '.join(map(repr, labels[rare].tolist()))} there is only one row, which "
            "trains: the watched rows hold none of it.",
            TrainingWarning,
            stacklevel=2,
        )
    rows = np.flatnonzero(~rare[codes])
    n_classes = len(labels) - rare.sum()
    if n_classes <= n_watched <= len(rows) - n_classes:
        rule = StratifiedShuffleSplit(n_splits=1, test_size=n_watched, random_state=seed)
        train, watched = next(rule.split(rows, codes[rows]))
        if len(np.unique(codes[rows[train]])) == n_classes:
            return np.asarray(rows[watched])
    # No stratified split leaves each class rows that train: one of each stays, the rest is mixed.
    order = np.random.RandomState(seed).permutation(rows)
    staying = np.unique(codes[order], return_index=True)[1]
    return np.delete(order, staying)[:n_watched]


def given(
    X_val: Any, y_val: Any, sample_weight_val: Any, validation_data: Any
) -> tuple[Any, Any, Any] | None:
    """Read the watched rows that the user brings.

    Returns
    -------
    tuple of (X, y, sample_weight or None), or None where none were brought

    Raises
    ------
    ValueError
        Half of a pair, both forms at once, or a tuple of another length.
    """
    if validation_data is not None:
        if not (X_val is None and y_val is None and sample_weight_val is None):
            raise ValueError(
                "Give either `X_val`, `y_val` and `sample_weight_val` or `validation_data`, not "
                "both."
            )
        if not isinstance(validation_data, list | tuple) or len(validation_data) not in (2, 3):
            length = f" of {len(validation_data)}" if hasattr(validation_data, "__len__") else ""
            raise ValueError(
                "`validation_data` must be (X, y) or (X, y, sample_weight) but got "
                f"{type(validation_data).__name__}{length}."
            )
        return (*validation_data, None)[:3]
    if (X_val is None) != (y_val is None):
        missing = "X_val" if X_val is None else "y_val"
        raise ValueError(f"`X_val` and `y_val` go together, but `{missing}` is missing.")
    if X_val is None and sample_weight_val is not None:
        raise ValueError("`sample_weight_val` weighs `X_val` and `y_val`, which are missing.")
    return None if X_val is None else (X_val, y_val, sample_weight_val)
