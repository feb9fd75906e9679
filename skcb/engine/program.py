"""Program: the functions that train an epoch, evaluate and predict, for one model.

Owns the batches and the calls of Keras' own ``train_step`` and ``test_step``, so that custom
steps, metrics, weights, regularizers, clipping, EMA and dropout behave as in ``Model.fit``.
Leaves the order of rows, epochs and callbacks' epoch hooks to ``loop``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from skcb.engine.state import Rows


class Program:
    """Trains, evaluates and predicts with one compiled model, batch by batch.

    Parameters
    ----------
    model : keras.Model
        Compiled and built.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    def train_epoch(
        self, rows: Rows, order: np.ndarray, batch_size: int, callbacks: Any
    ) -> dict[str, Any]:
        """Train one epoch.

        Parameters
        ----------
        rows : Rows
        order : ndarray of int
            Row numbers, in the order in which they train.
        batch_size : int
        callbacks : keras.callbacks.CallbackList
            Gets the batch hooks.

        Returns
        -------
        dict
            The epoch's logs, as ``Model.fit`` has them before evaluation.
        """
        model = self.model
        model.make_train_function()
        logs: Any = {}
        for step, start in enumerate(range(0, len(order), batch_size)):
            callbacks.on_train_batch_begin(step)
            batch = rows.batch(order[start : start + batch_size])
            logs = model.train_function(iter([batch]))
            callbacks.on_train_batch_end(step, logs)
            if model.stop_training:
                break
        return self._epoch_logs(logs)

    def evaluate(self, rows: Rows, batch_size: int, callbacks: Any) -> dict[str, Any]:
        """Evaluate all rows in their order; returns logs named as in training."""
        model = self.model
        model.make_test_function()
        model.reset_metrics()
        callbacks.on_test_begin()
        logs: Any = {}
        for step, start in enumerate(range(0, len(rows), batch_size)):
            callbacks.on_test_batch_begin(step)
            logs = model.test_function(iter([rows.batch(slice(start, start + batch_size))]))
            callbacks.on_test_batch_end(step, logs)
        logs = self._epoch_logs(logs)
        callbacks.on_test_end(logs)
        return logs

    def predict(self, x: Any, batch_size: int, **options: Any) -> Any:
        """Return the model's outputs for all rows."""
        return self.model.predict(x, batch_size=batch_size, **options)

    def learning_rate(self) -> float:
        """Return the learning rate of the last step taken."""
        import keras

        optimizer = self.model.optimizer
        rate = optimizer.get_config()["learning_rate"]
        if isinstance(rate, Mapping):
            # A schedule object counts steps; the optimizer has counted the last one already.
            schedule = keras.optimizers.schedules.deserialize(rate)
            done = int(keras.ops.convert_to_numpy(optimizer.iterations))
            return float(keras.ops.convert_to_numpy(schedule(max(done - 1, 0))))
        return float(rate)

    def set_learning_rate(self, rate: float) -> None:
        """Set the learning rate of the steps to come."""
        self.model.optimizer.learning_rate = rate

    def _epoch_logs(self, logs: Any) -> dict[str, Any]:
        """Return the metrics' results, or what a custom step returned in their place."""
        results = self.model.get_metrics_result()
        if isinstance(logs, dict) and set(logs) == set(results):
            logs = results
        return {name: _as_float(value) for name, value in logs.items()}


def _as_float(value: Any) -> Any:
    array = np.asarray(value)
    return float(array) if array.ndim == 0 else array
