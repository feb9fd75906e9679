"""Recipes for the callbacks that steer training: stop it, lower its rate, average its weights.

Owns one recipe a class, with what its values may be. Leaves building to ``recipe``.
"""

from __future__ import annotations

from collections.abc import Callable

from skcb._spellings import understood
from skcb.callbacks.ranges import (
    AT_LEAST_0,
    BOOLEAN,
    CALLABLE,
    FACTOR,
    FINITE,
    MODE,
    NONE,
    TEXT,
    VERBOSE,
    Ranges,
    integer,
)
from skcb.callbacks.recipe import CallbackRecipe


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

    ALLOWED = Ranges(
        monitor=TEXT,
        min_delta=FINITE,
        patience=integer(0),
        verbose=VERBOSE,
        mode=MODE,
        baseline=FINITE | NONE,
        restore_best_weights=BOOLEAN,
        start_from_epoch=integer(0),
    )

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

    ALLOWED = Ranges(
        monitor=TEXT,
        factor=FACTOR,
        patience=integer(0),
        verbose=VERBOSE,
        mode=MODE,
        min_delta=FINITE,
        cooldown=integer(0),
        min_lr=AT_LEAST_0,
    )

    @understood
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

    ALLOWED = Ranges(schedule=CALLABLE, verbose=VERBOSE)

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        self.schedule = schedule
        self.verbose = verbose


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

    ALLOWED = Ranges(raise_error=BOOLEAN)

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = raise_error


class SwapEMAWeights(CallbackRecipe):
    """Evaluate with averaged weights: ``keras.callbacks.SwapEMAWeights``.

    The average is the optimizer's: set ``optimizer__use_ema=True``. Watched rows are evaluated with
    it in any case; stand before a :class:`ModelCheckpoint` that shall save it.

    Parameters
    ----------
    swap_on_epoch : bool, default=False
        Whether the averaged weights are in place at the end of each epoch too, for the callbacks
        that come after.

    Examples
    --------
    >>> from skcb.callbacks import SwapEMAWeights
    >>> SwapEMAWeights(swap_on_epoch=True)
    SwapEMAWeights(swap_on_epoch=True)
    """

    ALLOWED = Ranges(swap_on_epoch=BOOLEAN)

    def __init__(self, swap_on_epoch: bool = False) -> None:
        self.swap_on_epoch = swap_on_epoch
