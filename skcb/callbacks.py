"""Recipes for Keras' callbacks: same name, arguments and defaults as in ``keras.callbacks``.

Owns one recipe a class. Leaves names, building and what else a user may give as a callback to
``_callbacks``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from skcb._names import accepted
from skcb.tunable import Recipe, construct, same

__all__ = [
    "CSVLogger",
    "EarlyStopping",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]


class CallbackRecipe(Recipe):
    """Base of the recipes whose class stands in ``keras.callbacks`` under the same name."""

    def target(self) -> type:
        """Return Keras' class; this imports Keras."""
        import keras

        return getattr(keras.callbacks, type(self).__name__)

    def build(self, settings: Mapping[str, Any] | None = None, *, where: str = "") -> Any:
        """Build Keras' callback; see :meth:`skcb.tunable.Recipe.build`.

        Only what differs from the default is passed, so that an argument which the installed
        Keras does not have yet is missed only where it was given.
        """
        defaults = accepted(type(self)).defaults
        given = {n: v for n, v in self.arguments().items() if not same(v, defaults[n])}
        return construct(self.target(), given, settings or {}, where=where)


class EarlyStopping(CallbackRecipe):
    """Stop when a watched quantity no longer improves: ``keras.callbacks.EarlyStopping``.

    Parameters
    ----------
    monitor : str, default="val_loss"
        What to watch. ``val_*`` needs watched rows: ``validation_split=0.2``, say.
    min_delta : float, default=0
        Smallest change that counts as an improvement.
    patience : int, default=0
        Epochs without improvement after which training stops.
    verbose : int, default=0
        1 prints a line when it stops.
    mode : {"auto", "min", "max"}, default="auto"
        Whether lower or higher is better; "auto" reads it off the metric.
    baseline : float, optional
        Stop where this value is not reached within ``patience`` epochs.
    restore_best_weights : bool, default=False
        Whether the model ends with the weights of its best epoch. Weights are this fold's own.
    start_from_epoch : int, default=0
        Epochs to wait before watching.

    Examples
    --------
    >>> from skcb.callbacks import EarlyStopping
    >>> EarlyStopping(patience=5, restore_best_weights=True)
    EarlyStopping(patience=5, restore_best_weights=True)
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        self.monitor = monitor
        self.min_delta = min_delta
        self.patience = patience
        self.verbose = verbose
        self.mode = mode
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch


class ModelCheckpoint(CallbackRecipe):
    """Save the model or its weights as training goes on: ``keras.callbacks.ModelCheckpoint``.

    Parameters
    ----------
    filepath : str or path
        Where to save; ends in ".keras", or in ".weights.h5" with ``save_weights_only``. Keras
        fills in ``{epoch:02d}``, ``{val_loss:.2f}`` and the like; skcb fills in ``{run}``, the
        place of this fit. Below a search every fit writes in a directory of its own, whether or
        not ``{run}`` stands in the path.
    monitor : str, default="val_loss"
        What decides which model is best.
    verbose : int, default=0
        1 prints a line for each save.
    save_best_only : bool, default=False
        Whether to save only when the monitor improves.
    save_weights_only : bool, default=False
        Whether to leave out architecture and optimizer.
    mode : {"auto", "min", "max"}, default="auto"
        Whether lower or higher is better.
    save_freq : "epoch" or int, default="epoch"
        An integer counts batches.
    initial_value_threshold : float, optional
        The value that the first save must beat.

    Examples
    --------
    >>> from skcb.callbacks import ModelCheckpoint
    >>> ModelCheckpoint("runs/{run}/best.keras", save_best_only=True)
    ModelCheckpoint(filepath='runs/{run}/best.keras', save_best_only=True)
    """

    def __init__(
        self,
        filepath: Any,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        self.filepath = filepath
        self.monitor = monitor
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.mode = mode
        self.save_freq = save_freq
        self.initial_value_threshold = initial_value_threshold


class ReduceLROnPlateau(CallbackRecipe):
    """Lower the learning rate when progress stalls: ``keras.callbacks.ReduceLROnPlateau``.

    Together with ``lr_schedule`` the learning rate is the schedule's value times the factors of
    all plateaus so far, not below ``min_lr``.

    Parameters
    ----------
    monitor : str, default="val_loss"
        What to watch.
    factor : float, default=0.1
        What the learning rate is multiplied by; below 1.
    patience : int, default=10
        Epochs without improvement before that.
    verbose : int, default=0
        1 prints a line for each change.
    mode : {"auto", "min", "max"}, default="auto"
        Whether lower or higher is better.
    min_delta : float, default=1e-4
        Smallest change that counts as an improvement.
    cooldown : int, default=0
        Epochs to wait after a change before watching again.
    min_lr : float, default=0.0
        Lowest learning rate.

    Examples
    --------
    >>> from skcb.callbacks import ReduceLROnPlateau
    >>> ReduceLROnPlateau(factor=0.5, patience=2)
    ReduceLROnPlateau(factor=0.5, patience=2)
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        self.monitor = monitor
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.mode = mode
        self.min_delta = min_delta
        self.cooldown = cooldown
        self.min_lr = min_lr


class LearningRateScheduler(CallbackRecipe):
    """Set the learning rate by a function each epoch: ``keras.callbacks.LearningRateScheduler``.

    ``lr_schedule`` does the same with settings that a search can vary.

    Parameters
    ----------
    schedule : callable
        ``(epoch, lr) -> lr`` or ``epoch -> lr``; ``lr`` is the optimizer's present learning rate.
    verbose : int, default=0
        1 prints a line an epoch.

    Examples
    --------
    >>> from skcb.callbacks import LearningRateScheduler
    >>> recipe = LearningRateScheduler(lambda epoch, lr: lr * 0.9)
    >>> recipe.verbose
    0
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        self.schedule = schedule
        self.verbose = verbose


class CSVLogger(CallbackRecipe):
    """Write each epoch's logs as a line of a CSV file: ``keras.callbacks.CSVLogger``.

    Parameters
    ----------
    filename : str or path
        The file; ``{run}`` and directories as in :class:`ModelCheckpoint`.
    separator : str, default=","
        Between two values.
    append : bool, default=False
        Whether to go on in a file that is there.

    Examples
    --------
    >>> from skcb.callbacks import CSVLogger
    >>> CSVLogger("runs/{run}/history.csv")
    CSVLogger(filename='runs/{run}/history.csv')
    """

    def __init__(self, filename: Any, separator: str = ",", append: bool = False) -> None:
        self.filename = filename
        self.separator = separator
        self.append = append


class TerminateOnNaN(CallbackRecipe):
    """End training when the loss is NaN or infinite: ``keras.callbacks.TerminateOnNaN``.

    Without it such a fit raises :class:`skcb.exceptions.NonFiniteLoss`.

    Parameters
    ----------
    raise_error : bool, default=False
        Whether Keras raises its own RuntimeError instead of ending quietly.

    Examples
    --------
    >>> from skcb.callbacks import TerminateOnNaN
    >>> TerminateOnNaN()
    TerminateOnNaN()
    """

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = raise_error
