"""View: an estimator as it stands at the end of an epoch, for scorers.

Owns a stand-in that behaves like the fitted estimator while its model still trains, the
predictions that all scorers of an epoch share, and that training goes on as if nobody had scored.
Leaves which scorers there are to ``callbacks.live_scoring``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy.sparse import issparse

from skcb import _monitors
from skcb._data import Data
from skcb._running import assign, values, variables
from skcb.engine import loop
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
        self._state = state
        self._predictor = _Remembering(state)
        self._rows = {"train": train, "validation": watched}
        self._n_epochs: int | None = None
        self.estimator = _stand_in(estimator, state.model, self._predictor)
        if not hasattr(getattr(train, "x", None), "columns"):
            # The rows are arrays by now, and without their names nothing is to be said about them.
            vars(self.estimator).pop("feature_names_in_", None)
        # Those of an earlier fit say nothing of this one.
        for name in ("history_", "n_iter_", "best_epoch_", "stopped_by_"):
            vars(self.estimator).pop(name, None)

    def begin(self, n_epochs: int) -> None:
        """Forget what was predicted when other numbers of epochs were done."""
        if n_epochs != self._n_epochs:
            self._n_epochs = n_epochs
            self._predictor.forget()

    def scored(
        self,
        scorer: Callable[..., Any],
        *data: Any,
        logs: Mapping[str, Any] | None = None,
        **params: Any,
    ) -> Any:
        """Return what a scorer says, and leave training as it was.

        A scorer of the user's own may do with the model what it likes, such as call it in training
        mode: the variables of model and optimizer are put back to the last bit. What it sets on
        layers, on the optimizer or outside of them stays.

        Parameters
        ----------
        scorer : function of (estimator, X, y)
        *data : array-like
            X and y.
        logs : mapping of str to float, optional
            Of an epoch that is not in the history yet.
        **params : object
            More for the scorer.
        """
        # A class of the user's own may do in `predict_proba` what a scorer may.
        ours = type(self.estimator).__module__.partition(".")[0] == "skcb"
        if ours and _only_predicts(scorer):
            return scorer(self.estimator, *data, **params)
        self._set_fitted(dict(logs or {}))
        with _kept(variables(self._state.model)):
            return scorer(self.estimator, *data, **params)

    def _set_fitted(self, logs: dict[str, Any]) -> None:
        """Set what a fit that ended here would leave behind, as far as it is known."""
        state, estimator = self._state, self.estimator
        history = state.history
        if logs:
            logs["learning_rate"] = loop.learning_rate(state.model)
            for name, value in logs.items():
                history.setdefault(name, []).append(value)
        estimator.history_ = history
        estimator.n_iter_ = (self._n_epochs or 0) - state.initial_epoch
        estimator.stopped_by_ = state.stopped_by
        estimator.best_epoch_ = (
            _monitors.best_epoch(history, estimator.callbacks_, state.watched_epochs)
            if estimator.n_iter_
            else 0
        )

    def rows(self, on: str) -> Data | None:
        """Return (X, y, sample_weight) of the rows; None where there are none."""
        return self._rows[on]


def _only_predicts(scorer: Any) -> bool:
    """Tell whether a scorer is scikit-learn's own, which looks at predictions alone."""
    if type(scorer).__module__.partition(".")[0] != "sklearn":
        return False
    # Several in one have no public name; test_search.py notices if this goes.
    return all(map(_only_predicts, getattr(scorer, "_scorers", {}).values()))


@contextmanager
def _kept(found: list[Any]) -> Iterator[None]:
    """Put back, to the bit, the variables that the block changes."""
    before = [np.array(variable.numpy()) for variable in found]
    try:
        yield
    finally:
        for variable, value in zip(found, before, strict=True):
            if np.asarray(variable.numpy()).tobytes() != value.tobytes():
                variable.assign(value)


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
        # Random layers of the user's own may draw in predictions too. Most models have none.
        weights = {id(variable) for variable in state.model.weights}
        self._seeds = [v for v in state.model.variables if id(v) not in weights]

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
        """Predict with the weights with which the watched rows were evaluated.

        Training draws the random numbers that it would have drawn without.
        """
        from skcb.engine import roads  # here, because TensorFlow may load with it

        predictor = roads.for_prediction(self.model, self._state.steps)
        swaps = self._swaps()
        if not swaps:
            with _kept(self._seeds):
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
