"""Feed: batches that a dataset or a generator makes, epoch after epoch.

Owns the reading of ``tf.data`` datasets, Keras' ``PyDataset``, data loaders and generators, and
what their first batch looks like. Stands in for :class:`skcb.engine.state.Rows`, with a batch in
the place of a row. Leaves the training on the batches to ``steps``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from skcb._names import is_keras


def is_dataset(value: Any) -> bool:
    """Tell whether a value makes batches, as ``Model.fit`` takes them; imports nothing for it."""
    return is_keras(value, "PyDataset") or is_iterator(value) or _is_loader(value)


def refuse_dataset(X: Any, who: str) -> None:
    """Refuse a dataset where rows are cut into folds.

    Raises
    ------
    ValueError
    """
    if is_dataset(X):
        raise ValueError(
            f"X is a dataset ({type(X).__name__}), which has no rows that {who} could cut into "
            "folds: give arrays. `fit` and `predict` of the estimator alone take a dataset, with "
            "`validation_data` for the watched rows."
        )


def is_iterator(value: Any) -> bool:
    """Tell whether a value makes its batches but once, as a generator does."""
    return hasattr(value, "__next__")


def _is_loader(value: Any) -> bool:
    kinds = {("DatasetV2", "tensorflow"), ("DataLoader", "torch")}
    return any((b.__name__, b.__module__.partition(".")[0]) in kinds for b in type(value).__mro__)


class Feed:
    """The batches of a dataset or generator.

    Parameters
    ----------
    source : dataset or generator
        Makes (x, y) or (x, y, sample_weight), y as the loss takes it.
    steps : int or None
        Batches an epoch; None: all that there are.
    name : str
        Of the argument, for messages.

    Attributes
    ----------
    n_batches : int or None
        Batches an epoch; None where nobody knows before they are made.
    first : tuple
        The first batch, as NumPy arrays.
    """

    sparse = False
    sample_weight = None

    def __init__(self, source: Any, steps: int | None, name: str = "X") -> None:
        self._name = name
        self._steps = steps
        self._source = source
        if is_iterator(source):
            first = next(source, None)
            self._source = itertools.chain([] if first is None else [first], source)
        else:
            first = next(self._pass(None), None)
        self.first = self._checked(first)
        self._open: Iterator[Any] | None = None
        self.n_batches = steps if steps is not None else self._length()

    def __len__(self) -> int:
        return self.n_batches or 0

    @property
    def x(self) -> Any:
        """Inputs of the first batch."""
        return self.first[0]

    @property
    def y(self) -> Any:
        """Targets of the first batch."""
        return self.first[1]

    @property
    def again(self) -> bool:
        """Whether the batches can be made a second time."""
        return not is_iterator(self._source)

    @property
    def finite(self) -> bool:
        """Whether a pass over the source is known to end."""
        return self._length() is not None

    def batch(self, rows: Any) -> tuple[Any, ...]:
        """Return some rows of the first batch, to build a model with."""
        import keras

        return tuple(keras.tree.map_structure(lambda part: part[rows], p) for p in self.first)

    def batches(self, order: np.ndarray, batch_size: int) -> Iterator[tuple[Any, ...]]:
        """Yield the batches of an epoch; only a ``PyDataset`` can make them in any order."""
        del batch_size
        if self._steps is None:
            yield from self._pass(order)
        else:
            yield from (self._next(order) for _ in range(self._steps))
        if hasattr(self._source, "on_epoch_end"):
            self._source.on_epoch_end()

    def targets(self) -> Iterator[np.ndarray]:
        """Yield the targets of all batches."""
        yield from (_as_array(batch[1]) for batch in self._pass(None))

    def _pass(self, order: np.ndarray | None) -> Iterator[Any]:
        return _pass_over(self._source, order)

    def _next(self, order: np.ndarray) -> Any:
        """Return the next batch; a source that can is begun again at its end."""
        for _ in range(2):
            if self._open is None:
                self._open = self._pass(order)
            batch = next(self._open, None)
            if batch is not None:
                return batch
            self._open = None
        raise ValueError(
            f"the batches of `{self._name}` ended within an epoch: there are not {self._steps} of "
            "them for each."
        )

    def _length(self) -> int | None:
        """Return the number of batches in one pass, where it is known."""
        if is_keras(self._source, "PyDataset"):
            return self._source.num_batches
        try:
            return len(self._source)
        except TypeError:  # infinite, not known, or a generator
            return None

    def _checked(self, batch: Any) -> tuple[Any, ...]:
        if batch is None:
            raise ValueError(f"`{self._name}` makes no batch.")
        if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
            raise ValueError(
                f"`{self._name}` must make batches of (x, y) or (x, y, sample_weight), but its "
                f"first is {type(batch).__name__}: {batch!r:.80}."
            )
        arrays = _as_arrays(batch)
        if isinstance(arrays[1], np.ndarray) and arrays[1].ndim == 0:
            raise ValueError(
                f"`{self._name}` makes single rows, and batches are wanted: give "
                f"`{self._name}.batch(32)`, say."
            )
        return arrays


def inputs_of(source: Any, steps: int | None = None) -> Iterator[Any]:
    """Yield the inputs of each batch of a dataset that predicts, targets or none with them."""
    import keras

    for batch in itertools.islice(_pass_over(source), steps):
        x = batch[0] if isinstance(batch, tuple | list) else batch
        yield keras.tree.map_structure(_as_array, x)


def _pass_over(source: Any, order: np.ndarray | None = None) -> Iterator[Any]:
    """Yield each batch of a source once."""
    if not is_keras(source, "PyDataset"):
        yield from source
        return
    n = source.num_batches
    known: Any = itertools.count() if n is None else range(n)
    for index in known if order is None or len(order) != n else order:
        yield source[int(index)]


def _as_arrays(batch: Any) -> tuple[Any, ...]:
    import keras

    return tuple(keras.tree.map_structure(_as_array, part) for part in batch)


def _as_array(value: Any) -> np.ndarray:
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)
