"""The live callback that saves a model every so many epochs.

Owns the counting of epochs between saves, which Keras' own did as ``period`` and no longer does.
Leaves the saving to Keras.
"""

from __future__ import annotations

from typing import Any

import keras


class ModelCheckpoint(keras.callbacks.ModelCheckpoint):
    """Keras' ModelCheckpoint, which looks up every ``every`` epochs, counted from the first."""

    def __init__(self, *, every: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.every = every
        self._waited = 0

    def on_train_begin(self, logs: Any = None) -> None:
        """Count anew."""
        super().on_train_begin(logs)
        self._waited = 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save, where it is time, what Keras would save."""
        self._waited += 1
        if self._waited >= self.every:
            self._waited = 0
            super().on_epoch_end(epoch, logs)
