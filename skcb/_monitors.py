"""Monitors: what the callbacks of a fit watch, and which epoch was best by it.

Owns the check that a monitor can be there at all, the lowest learning rate that plateaus allow,
and what the best epoch is judged by. Leaves the watching itself to Keras' callbacks.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from skcb.exceptions import TrainingWarning


def check(
    live: Mapping[str, Any], *, watched: bool, epochs: int, scheduled: bool, by_steps: bool
) -> None:
    """Refuse what callbacks cannot do in this fit, and warn where one epoch makes all idle.

    Parameters
    ----------
    live : mapping of str to keras.callbacks.Callback
    watched : bool
        Whether there are watched rows.
    epochs : int
    scheduled : bool
        Whether there is a learning-rate schedule.
    by_steps : bool
        Whether the optimizer holds a schedule object, so that nobody else can set its rate.

    Raises
    ------
    ValueError
        A callback watches ``val_*`` and nothing is watched, or sets a learning rate that the
        optimizer's schedule object sets.
    """
    import keras

    for name, callback in live.items():
        monitor = monitored(callback)
        if monitor is not None and monitor.startswith("val_") and not watched:
            raise ValueError(
                f"`callbacks__{name}__monitor={monitor!r}` needs watched rows, and there are none: "
                f"give `validation_split=0.2`, or `X_val` and `y_val`, or monitor "
                f"{monitor.removeprefix('val_')!r}."
            )
        setters = keras.callbacks.ReduceLROnPlateau | keras.callbacks.LearningRateScheduler
        if by_steps and isinstance(callback, setters):
            raise ValueError(
                f"`callbacks__{name}` is a {type(callback).__name__}, which sets the learning "
                "rate, and so does the schedule object in the optimizer: give the optimizer a "
                f"number and use one of skcb.schedules, or switch off `callbacks__{name}=None`."
            )
    idle = [*(["`callbacks`"] if live else []), *(["`lr_schedule`"] if scheduled else [])]
    if epochs == 1 and idle:
        warnings.warn(
            f"{' and '.join(idle)} with `epochs=1`: there is one epoch only, so nothing can be "
            "stopped, lowered or compared. Set `epochs`.",
            TrainingWarning,
            stacklevel=2,
        )


def monitored(callback: Any) -> str | None:
    """Return what one of Keras' own callbacks watches, or None where it watches nothing."""
    import keras

    kinds = (
        keras.callbacks.EarlyStopping,
        keras.callbacks.ReduceLROnPlateau,
        keras.callbacks.ModelCheckpoint,
    )
    if not isinstance(callback, kinds):
        return None
    if isinstance(callback, keras.callbacks.ModelCheckpoint) and not callback.save_best_only:
        return None
    return str(callback.monitor)


def lowest_rate(live: Mapping[str, Any]) -> tuple[float, float]:
    """Return the lowest learning rate that plateaus may reach, and the factor of that plateau."""
    import keras

    plateaus = [c for c in live.values() if isinstance(c, keras.callbacks.ReduceLROnPlateau)]
    return max(((float(c.min_lr), float(c.factor)) for c in plateaus), default=(0.0, 1.0))


def ends_on_nan(live: Mapping[str, Any]) -> bool:
    """Tell whether a TerminateOnNaN deals with a loss that is not finite."""
    import keras

    return any(isinstance(c, keras.callbacks.TerminateOnNaN) for c in live.values())


def best_epoch(
    history: Mapping[str, list[float]], live: Mapping[str, Any], watched_epochs: list[int]
) -> int:
    """Return the best epoch's index into the history.

    Judged by the monitor of the first EarlyStopping or ModelCheckpoint, else by ``val_loss``,
    else by ``loss``; of equal epochs the first.
    """
    name, greater = criterion(history, live)
    values = np.asarray(history[name], dtype=float)
    if np.isnan(values).all():
        return 0
    best = int(np.nanargmax(values) if greater else np.nanargmin(values))
    skipped = name.startswith("val_") and len(watched_epochs) == len(values)
    return watched_epochs[best] if skipped else best


def criterion(history: Mapping[str, Any], live: Mapping[str, Any]) -> tuple[str, bool]:
    """Return by which of the history's names the best epoch is judged, and if greater is better."""
    import keras

    for callback in live.values():
        if not isinstance(
            callback, keras.callbacks.EarlyStopping | keras.callbacks.ModelCheckpoint
        ):
            continue
        name = monitored(callback)
        if name in history and callback.monitor_op is not None:
            return str(name), bool(callback.monitor_op(2.0, 1.0))
    return ("val_loss" if "val_loss" in history else "loss"), False
