"""Batches: rows for Keras' own functions, sparse ones dense a batch at a time.

Owns the data set that hands over such rows. Leaves which rows they are, and their order, to
whoever makes it.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from skcb.engine.state import Rows, is_sparse, taken


class DenseBatches(keras.utils.PyDataset):
    """Batches of rows, made dense when they are asked for.

    Parameters
    ----------
    parts : tuple
        (x,), (x, y) or (x, y, sample_weight).
    order : ndarray of int
    batch_size : int
    """

    def __init__(self, parts: tuple[Any, ...], order: np.ndarray, batch_size: int) -> None:
        super().__init__()
        self._parts = parts
        self._order = order
        self._batch_size = batch_size

    @property
    def num_batches(self) -> int:
        """Number of batches."""
        return -(-len(self._order) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        start = index * self._batch_size
        rows = self._order[start : start + self._batch_size]
        return tuple(taken(part, rows) for part in self._parts)


def training_data(rows: Rows, order: np.ndarray | None, batch_size: int) -> dict[str, Any]:
    """Return the arguments by which ``fit`` and ``evaluate`` take rows; None: as they are."""
    if rows.sparse:
        parts = (rows.x, rows.y, rows.sample_weight)[: 2 if rows.sample_weight is None else 3]
        order = np.arange(len(rows)) if order is None else order
        return {"x": DenseBatches(parts, order, batch_size)}
    batch = rows.batch(slice(None) if order is None else order)
    return {**dict(zip(("x", "y", "sample_weight"), batch, strict=False)), "batch_size": batch_size}


def prediction_data(x: Any, batch_size: int) -> dict[str, Any]:
    """Return the arguments by which ``Model.predict`` takes rows."""
    if is_sparse(x):
        return {"x": DenseBatches((x,), np.arange(len(Rows(x, None))), batch_size)}
    return {"x": x, "batch_size": batch_size}
