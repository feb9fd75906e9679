"""Monitors: what the callbacks of a fit watch, and which epoch was best by it.

Owns the check of a fit's callbacks against its model: that what they watch will be there, and in
which direction; the lowest learning rate that plateaus allow; and what the best epoch is judged
by. Leaves the watching itself to Keras' callbacks.
"""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from skcb import _paths, _spellings
from skcb._names import suggestion
from skcb.exceptions import TrainingWarning

_ALWAYS = ("loss", "epoch", "batch")
"""Names that are there in every fit; the last two Keras fills into paths."""


def check(
    live: Mapping[str, Any],
    *,
    watched: bool,
    epochs: int,
    scheduled: bool,
    by_steps: bool,
    model: Any = None,
) -> None:
    """Refuse what callbacks cannot do in this fit, and warn where one epoch makes all idle.

    Parameters
    ----------
    live : mapping of str to keras.callbacks.Callback
        One that logs scores says their names in ``logged``; greater is better in all of them, and
        who watches one with ``mode="auto"`` is told so here.
    watched : bool
        Whether there are watched rows.
    epochs : int
    scheduled : bool
        Whether there is a learning-rate schedule.
    by_steps : bool
        Whether the optimizer holds a schedule object, so that nobody else can set its rate.
    model : keras.Model, optional
        Compiled, with all its metrics; without it names of metrics are not judged.

    Raises
    ------
    ValueError
        A callback watches what is not there, or in the wrong direction, writes where it must not,
        or sets a learning rate that `lr_schedule` or the optimizer's schedule object sets.
    """
    import keras

    _paths.check(live)
    for name, callback in live.items():
        monitor = monitored(callback)
        if monitor is not None and monitor.startswith("val_") and not watched:
            raise ValueError(
                f"`callbacks__{name}__monitor={monitor!r}` needs watched rows, and there are none: "
                f"give `validation_split=0.2`, or `X_val` and `y_val`, or monitor "
                f"{monitor.removeprefix('val_')!r}."
            )
        if model is not None:
            _check_names(name, live, model, watched)
        setters = keras.callbacks.ReduceLROnPlateau | keras.callbacks.LearningRateScheduler
        if by_steps and isinstance(callback, setters):
            raise ValueError(
                f"`callbacks__{name}` is a {type(callback).__name__}, which sets the learning "
                "rate, and so does the schedule object in the optimizer (`optimizer__decay` makes "
                "one): give the optimizer a number and use one of skcb.schedules, or switch off "
                f"`callbacks__{name}=None`."
            )
        if scheduled and isinstance(callback, keras.callbacks.LearningRateScheduler):
            raise ValueError(
                f"`callbacks__{name}` is a LearningRateScheduler, and `lr_schedule` sets the "
                f"learning rate too: switch one off, `callbacks__{name}=None` or "
                "`lr_schedule=None`. Two schedules are joined by `a.then(b, at=0.3)`."
            )
    waits = keras.callbacks.EarlyStopping | keras.callbacks.ReduceLROnPlateau
    idle = [
        f"`callbacks__{name}`" for name, callback in live.items() if isinstance(callback, waits)
    ]
    idle += ["`lr_schedule`"] if scheduled else []
    if epochs == 1 and idle:
        warnings.warn(
            f"{' and '.join(idle)} with `epochs=1`: there is one epoch only, so nothing can be "
            "stopped, lowered or compared. Set `epochs`.",
            TrainingWarning,
            stacklevel=2,
        )


def _check_names(name: str, live: Mapping[str, Any], model: Any, watched: bool) -> None:
    """Refuse a monitor, or a field of a path, that nothing will log, and a wrong ``mode``."""
    callback = live[name]
    asked = [("monitor", monitored(callback))] if monitored(callback) else []
    asked += [("filepath", field) for field in _fields(callback)]
    always = (*_ALWAYS, "val_loss") if watched else _ALWAYS
    unsure = [(argument, wanted) for argument, wanted in asked if wanted not in always]
    known = logged(model, live, watched, for_=callback) if unsure else []
    for argument, wanted in unsure:
        if known is not None and wanted not in known:
            if _renamed(callback, argument, str(wanted), known, f"callbacks__{name}"):
                continue
            longer = [n for n in known if n.startswith(str(wanted))]  # "val_acc", as it once was
            raise ValueError(
                f"`callbacks__{name}__{argument}={getattr(callback, argument)!r}`: nothing in this "
                f"fit is called {wanted!r}. {suggestion(str(wanted), longer or known)} There will "
                f"be: {', '.join(known)}."
            )
    if _is_monitor(callback):
        score = callback.monitor in _scores(live)
        if score and callback.mode == "auto":
            callback.mode = "max"
        direction = "max" if score else direction_of(callback.monitor, model)
        _check_mode(name, callback, direction, certain=known is not None)


def _renamed(callback: Any, argument: str, wanted: str, known: list[str], where: str) -> bool:
    """Put what the logs are called now in the place of an old spelling, if it is one of them."""
    row = _spellings.find("monitor", wanted)
    if row is None or row.new not in known:
        return False
    if argument == "monitor":
        callback.monitor = row.new
        _spellings.warn(f"{where}__monitor={wanted!r}", f"{where}__monitor={row.new!r}", row)
    else:
        callback.filepath = re.sub(rf"\{{{wanted}(?=[!:}}])", "{" + row.new, callback.filepath)
        _spellings.warn(f"{{{wanted}}} in {where}__filepath", f"{{{row.new}}}", row)
    return True


def _check_mode(name: str, callback: Any, direction: str | None, *, certain: bool) -> None:
    """Refuse the wrong direction, and "auto" where nobody knows the right one."""
    shown = f"`callbacks__{name}__mode={callback.mode!r}`"
    if callback.mode == "auto" and direction is None and certain:
        raise ValueError(
            f"{shown}: Keras cannot say whether a higher or a lower {callback.monitor!r} is "
            "better: give 'min' or 'max'."
        )
    if callback.mode != "auto" and direction not in (None, callback.mode):
        better = {"min": "lower", "max": "higher"}[str(direction)]
        raise ValueError(
            f"{shown}: a {better} {callback.monitor!r} is better: give {direction!r}, or leave it "
            "to 'auto'."
        )


def direction_of(monitor: str, model: Any) -> str | None:
    """Return whether Keras would call "min" or "max" of a monitor better; None if it cannot say.

    A callback that is shown one epoch decides as those of the fit will.
    """
    import keras

    probe = keras.callbacks.EarlyStopping(monitor)
    probe.set_model(model)
    probe.on_train_begin()
    try:
        probe.on_epoch_end(0, {monitor: 0.0})
    except ValueError:
        return None
    return "max" if bool(probe.monitor_op(2.0, 1.0)) else "min"


def logged(model: Any, live: Mapping[str, Any], watched: bool, *, for_: Any) -> list[str] | None:
    """Return the names that will be in the logs when a callback gets them.

    None where that cannot be said: the model, or a callback before this one, is the user's own
    and may log what it likes.
    """
    import keras

    hooks = ("train_step", "test_step", "compute_metrics", "get_metrics_result")
    if any(getattr(type(model), hook) is not getattr(keras.Model, hook) for hook in hooks):
        return None
    if any(map(_may_log, itertools.takewhile(lambda other: other is not for_, live.values()))):
        return None
    try:
        names = list(model.get_metrics_result())
    except Exception:  # what a metric says before its first batch is its own affair
        return None
    names += [f"val_{name}" for name in names if watched]
    setters = keras.callbacks.ReduceLROnPlateau | keras.callbacks.LearningRateScheduler
    if any(isinstance(callback, setters) for callback in live.values()):
        names.append("learning_rate")
    return [*names, *_scores(live)]


def _scores(live: Mapping[str, Any]) -> list[str]:
    """Return the names of the scores that EpochScoring puts into the logs."""
    return [name for callback in live.values() for name in getattr(callback, "logged", ())]


def _may_log(callback: Any) -> bool:
    """Tell whether a callback may put something into an epoch's logs for those after it."""
    import keras

    hook = getattr(callback.on_epoch_end, "__func__", callback.on_epoch_end)
    module = getattr(hook, "__module__", None) or ""
    return hook is not keras.callbacks.Callback.on_epoch_end and (
        module.partition(".")[0] not in ("keras", "skcb")
    )


def _fields(callback: Any) -> list[str]:
    import keras

    checkpoint = isinstance(callback, keras.callbacks.ModelCheckpoint)
    return _paths.fields(callback.filepath) if checkpoint else []


def _is_monitor(callback: Any) -> bool:
    import keras

    kinds = ("EarlyStopping", "ReduceLROnPlateau", "ModelCheckpoint", "OrbaxCheckpoint")
    return isinstance(callback, tuple(getattr(keras.callbacks, kind) for kind in kinds))


def monitored(callback: Any) -> str | None:
    """Return what one of Keras' own callbacks watches, or None where it watches nothing."""
    if not _is_monitor(callback) or not getattr(callback, "save_best_only", True):
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
