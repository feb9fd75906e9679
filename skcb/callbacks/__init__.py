"""Recipes for Keras' callbacks: same name, arguments and defaults as in ``keras.callbacks``.

Owns what the modules below it make public, and the answer to names that Keras no longer has.
Leaves names, building and what else a user may give as a callback to ``_callbacks``.
"""

from __future__ import annotations

from typing import Any

from skcb.callbacks.backup import BackupAndRestore
from skcb.callbacks.epoch_scoring import EpochScoring
from skcb.callbacks.saving import ModelCheckpoint, OrbaxCheckpoint
from skcb.callbacks.steering import (
    EarlyStopping,
    LearningRateScheduler,
    ReduceLROnPlateau,
    SwapEMAWeights,
    TerminateOnNaN,
)
from skcb.callbacks.telling import (
    CSVLogger,
    History,
    LambdaCallback,
    ProgbarLogger,
    RemoteMonitor,
    TensorBoard,
)

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "EarlyStopping",
    "EpochScoring",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "OrbaxCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "RemoteMonitor",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
]

GONE = {
    "BaseLogger": "Keras 3 averages metrics over an epoch by itself, so nothing is needed in its "
    "place: leave it out, and read the averages in `history_` or `History`."
}
"""Classes that Keras had, and what to use instead."""


def __getattr__(name: str) -> Any:
    if name in GONE:
        # No AttributeError: Python drops its message in `from skcb.callbacks import …`.
        raise ImportError(f"skcb.callbacks has no {name}: {GONE[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
