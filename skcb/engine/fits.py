"""Fits: the epochs of a fit by ``Model.fit`` itself, for Keras on any backend.

Owns the calls of the public ``fit``, ``evaluate`` and ``predict``, an epoch at a time, and what
must be undone after each, since such a call takes itself for a whole training. Leaves the order
of rows, epochs and the callbacks' epoch hooks to ``loop``.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

import keras
import numpy as np

from skcb.engine import batches
from skcb.engine.state import Rows


class KerasFits:
    """Trains, evaluates and predicts with one compiled model, an epoch a call.

    Stands in for :class:`skcb.engine.steps.KerasSteps`, which see for the parameters of its
    methods, where ``Model.fit`` alone knows how the backend keeps a model's state.

    Parameters
    ----------
    model : keras.Model
        Compiled and built.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._predicting = threading.Lock()

    def train_epoch(
        self,
        rows: Rows,
        order: np.ndarray,
        batch_size: int,
        callbacks: Any,
        *,
        by_batch: bool,
        rates: np.ndarray | None = None,
    ) -> dict[str, Any]:
        """Train one epoch; callbacks get the batch hooks where they need them."""
        model = self.model
        epoch = _OneEpoch(model)
        setters = [] if rates is None else [_Rates(rates)]
        try:
            model.fit(
                **batches.training_data(rows, order, batch_size),
                epochs=sys.maxsize,  # not 1: a restored backup may have moved the first epoch
                shuffle=False,
                callbacks=[epoch, *_hooks(callbacks, by_batch), *setters],
                verbose=0,
            )
        finally:
            epoch.undo()
        return _numbers(epoch.logs)

    def evaluate(
        self, rows: Rows, batch_size: int, callbacks: Any, *, by_batch: bool
    ) -> dict[str, Any]:
        """Evaluate all rows in their order; returns logs named as in training."""
        callbacks.on_test_begin()
        logs = self.model.evaluate(
            **batches.training_data(rows, None, batch_size),
            callbacks=_hooks(callbacks, by_batch),
            verbose=0,
            return_dict=True,
        )
        callbacks.on_test_end(logs)
        return _numbers(logs)

    def predict(self, x: Any, batch_size: int) -> Any:
        """Return the model's outputs for all rows."""
        with self._predicting:  # on JAX the variables leave the model while it predicts
            return self.model.predict(**batches.prediction_data(x, batch_size), verbose=0)

    def drop_rows(self) -> None:
        """Keep nothing."""


class _OneEpoch(keras.callbacks.Callback):
    """Makes of a call of ``Model.fit`` one epoch of a longer training.

    ``fit`` begins with a new history and a cleared ``stop_training``, and ends with averaged
    weights in the place of those that train on. All three become again what they were.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.logs: dict[str, Any] = {}
        self._trained = model
        self._history, self._stop = model.history, model.stop_training
        self._weights: list[Any] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self._trained.history, self._trained.stop_training = self._history, self._stop

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        model = self._trained
        self.logs = dict(logs or {})
        self._weights = [keras.ops.copy(weight) for weight in model.trainable_weights]
        self._stop, model.stop_training = model.stop_training, True

    def undo(self) -> None:
        """Put back what the end of ``fit`` changed; weights only if the epoch was trained."""
        model = self._trained
        model.history, model.stop_training = self._history, self._stop
        for weight, value in zip(model.trainable_weights, self._weights, strict=False):
            weight.assign(value)


class _BatchHooks(keras.callbacks.Callback):
    """Passes the batch hooks on, past the list that would hand them to a thread of its own."""

    def __init__(self, callbacks: list[Any]) -> None:
        super().__init__()
        self._callbacks = callbacks

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        for callback in self._callbacks:
            callback.on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        for callback in self._callbacks:
            callback.on_train_batch_end(batch, logs)

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        for callback in self._callbacks:
            callback.on_test_batch_begin(batch, logs)

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        for callback in self._callbacks:
            callback.on_test_batch_end(batch, logs)


class _Rates(keras.callbacks.Callback):
    """Sets the learning rate of each step."""

    def __init__(self, rates: np.ndarray) -> None:
        super().__init__()
        self._rates = rates

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        # `self.model` first brings the variables back to the model, where JAX has taken them away.
        self.model.optimizer.learning_rate = self._rates[batch]


def _hooks(callbacks: Any, by_batch: bool) -> list[Any]:
    return [_BatchHooks(callbacks.callbacks)] if by_batch else []


def _numbers(logs: dict[str, Any]) -> dict[str, Any]:
    return {name: _as_number(value) for name, value in logs.items()}


def _as_number(value: Any) -> Any:
    array = np.asarray(value)
    return float(array) if array.ndim == 0 else array
