"""View: an estimator as it stands at the end of an epoch, for scorers.

Owns a stand-in that behaves like the fitted estimator while its model still trains, and the
predictions that all scorers of an epoch share. Leaves the scoring to
``callbacks.live_scoring``.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from scipy.sparse import issparse

from skcb._data import Data
from skcb._running import assign, values
from skcb.engine.state import TrainingState


class View:
    """The estimator of a running fit, and the rows on which it is scored.

    Parameters
    ----------
    estimator : BaseKerasEstimator
    state : TrainingState
    train, watched : Data or None
        In the user's own labels.
    """

    def __init__(
        self, estimator: Any, state: TrainingState, train: Data | None, watched: Data | None
    ) -> None:
        self._predictor = _Remembering(state)
        self._rows = {"train": train, "validation": watched}
        self._epoch: int | None = None
        self.estimator = _stand_in(estimator, state.model, self._predictor)
        if not hasattr(getattr(train, "x", None), "columns"):
            # The rows are arrays by now, and without their names nothing is to be said about them.
            vars(self.estimator).pop("feature_names_in_", None)

    def begin(self, epoch: int) -> None:
        """Forget what was predicted in earlier epochs."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._predictor.forget()

    def rows(self, on: str) -> Data | None:
        """Return (X, y, sample_weight) of the rows; None where there are none."""
        return self._rows[on]


def _stand_in(estimator: Any, model: Any, predictor: Any) -> Any:
    """Return an estimator of the same class and attributes that predicts with the model."""
    stand_in = object.__new__(type(estimator))
    # No progress bar for a prediction that nobody asked for.
    vars(stand_in).update(vars(estimator), model_=model, _predictor=predictor, verbose=0)
    return stand_in


class _Remembering:
    """Predicts with the model of a state, once for equal rows of an epoch."""

    def __init__(self, state: TrainingState) -> None:
        self.model = state.model
        self._state = state
        self._known: list[tuple[Any, Any]] = []

    def forget(self) -> None:
        self._known.clear()

    def predict(self, x: Any, batch_size: int) -> Any:
        """Return the model's outputs; a copy, since a scorer may change what it gets."""
        for rows, outputs in self._known:
            if _equal(rows, x):
                return copy.deepcopy(outputs)
        outputs = self._predicted(x, batch_size)
        self._known.append((x, outputs))
        return copy.deepcopy(outputs)

    def _predicted(self, x: Any, batch_size: int) -> Any:
        """Predict with the weights with which the watched rows were evaluated."""
        from skcb.engine import roads  # here, because TensorFlow may load with it

        predictor = roads.for_prediction(self.model, self._state.steps)
        swaps = self._swaps()
        if not swaps:
            return predictor.predict(x, batch_size)
        before = values(self.model)  # Keras swaps by adding, which may cost the last bit
        for swap in swaps:
            swap.on_test_begin()
        try:
            return predictor.predict(x, batch_size)
        finally:
            for swap in swaps:
                swap.on_test_end()
            assign(self.model, before)

    def _swaps(self) -> list[Any]:
        import keras

        kind = keras.callbacks.SwapEMAWeights
        return [c for c in self._state.callbacks.callbacks if isinstance(c, kind)]


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[name], b[name]) for name in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    if a is b or not (a.shape == b.shape and a.dtype == b.dtype):
        return a is b
    if issparse(a) or issparse(b):
        return issparse(a) and issparse(b) and (a != b).nnz == 0
    return np.array_equal(a, b)
