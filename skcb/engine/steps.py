"""Steps by Keras' own functions: the road for what no program can do faithfully.

Owns the batches and the calls of ``Model.train_function`` and ``Model.test_function``, the very
functions that ``Model.fit`` calls, so that eager models and XLA are as in Keras. Leaves the order
of rows, epochs and the callbacks' epoch hooks to ``loop``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from skcb import _completion
from skcb.engine import batches
from skcb.engine.state import Rows


class KerasSteps:
    """Trains, evaluates and predicts with one compiled model, batch by batch.

    Parameters
    ----------
    model : keras.Model
        Compiled and built.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

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
        """Train one epoch.

        Parameters
        ----------
        rows : Rows or Feed
        order : ndarray of int
            Row numbers, in the order in which they train.
        batch_size : int
        callbacks : keras.callbacks.CallbackList
            Gets the batch hooks.
        by_batch : bool
            Whether a callback needs the batches; here there is no other way.
        rates : ndarray of shape (number of steps,), dtype float32, or None
            The learning rate of each step; the last one stays. None: the optimizer's own.

        Returns
        -------
        dict
            The epoch's logs, as ``Model.fit`` has them before evaluation.
        """
        del by_batch
        model = self.model
        _completion.complete(model, *rows.batch(slice(0, _completion.SAMPLE_ROWS)))
        model.make_train_function()
        model.reset_metrics()
        logs: Any = {}
        for step, batch in enumerate(rows.batches(order, batch_size)):
            callbacks.on_train_batch_begin(step)
            if rates is not None:
                model.optimizer.learning_rate = rates[step]
            logs = model.train_function(iter([batch]))
            callbacks.on_train_batch_end(step, logs)
            if model.stop_training:
                break
        return self._epoch_logs(logs)

    def evaluate(
        self, rows: Rows, batch_size: int, callbacks: Any, *, by_batch: bool
    ) -> dict[str, Any]:
        """Evaluate all rows in their order; returns logs named as in training."""
        del by_batch
        model = self.model
        model.make_test_function()
        model.reset_metrics()
        callbacks.on_test_begin()
        logs: Any = {}
        for step, batch in enumerate(rows.batches(np.arange(len(rows)), batch_size)):
            callbacks.on_test_batch_begin(step)
            logs = model.test_function(iter([batch]))
            callbacks.on_test_batch_end(step, logs)
        logs = self._epoch_logs(logs)
        callbacks.on_test_end(logs)
        return logs

    def predict(self, x: Any, batch_size: int) -> Any:
        """Return the model's outputs for all rows."""
        return self.model.predict(**batches.prediction_data(x, batch_size), verbose=0)

    def drop_rows(self) -> None:
        """Keep nothing."""

    def _epoch_logs(self, logs: Any) -> dict[str, Any]:
        """Return the metrics' results, or what a custom step returned in their place."""
        results = self.model.get_metrics_result()
        if isinstance(logs, dict) and set(logs) == set(results):
            logs = results
        return {name: _as_number(value) for name, value in logs.items()}


def _as_number(value: Any) -> Any:
    array = np.asarray(value)
    return float(array) if array.ndim == 0 else array
