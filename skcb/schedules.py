"""Learning-rate schedules: the learning rate as a function of training progress.

Owns the formulas and their horizons, which are given in epochs (an integer) or as a fraction of
training (a float), never in optimizer steps, so that the batch size does not change them. Leaves
setting the optimizer, and combining with ReduceLROnPlateau, to ``engine.loop``.
"""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

from skcb._names import is_keras, suggestion
from skcb.tunable import Recipe, Tunable

__all__ = ["CosineDecay", "ExponentialDecay", "Schedule", "StepDecay", "TimeBasedDecay"]


class Schedule(Recipe):
    """Base of the schedules: ``schedule(epoch, lr)`` is the learning rate of an epoch.

    A schedule is a recipe: it can be searched as ``lr_schedule`` and its arguments as
    ``lr_schedule__x``. Arguments are judged when training starts, not when they are set.
    """

    def target(self) -> type:
        """Return the schedule's own class."""
        return type(self)

    def __call__(self, epoch: int, lr: float, epochs: int | None = None) -> float:
        """Return the learning rate of an epoch.

        Parameters
        ----------
        epoch : int
            Index of the epoch, from 0.
        lr : float
            The optimizer's own learning rate, from which the schedule starts.
        epochs : int, optional
            How many epochs training lasts; needed where a horizon is a fraction of training.

        Returns
        -------
        float
        """
        self.check()
        return self.value(epoch, float(lr), epochs)

    def simulate(self, epochs: int, learning_rate: float) -> np.ndarray:
        """Return the whole curve without training.

        Parameters
        ----------
        epochs : int
            How many epochs training lasts.
        learning_rate : float
            The optimizer's own learning rate.

        Returns
        -------
        ndarray of shape (epochs,), dtype float64
            The learning rate of each epoch.
        """
        return np.array([self(epoch, learning_rate, epochs) for epoch in range(epochs)])

    def value(self, epoch: int, lr: float, epochs: int | None) -> float:
        """Return the formula's value; the arguments have been checked."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise ValueError where an argument is out of range; here all are welcome."""

    def _between(self, name: str, low: float, high: float, *, open_low: bool = False) -> None:
        value = getattr(self, name)
        number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        inside = number and low <= value <= high and not math.isinf(value)
        if not inside or (open_low and value == low):
            left = "(" if open_low else "["
            right = "inf)" if high == math.inf else f"{high:g}]"
            raise ValueError(
                f"`lr_schedule__{name}` of {type(self).__name__} must be a number in "
                f"{left}{low:g}, {right} but got {value!r}."
            )

    def _check_horizon(self, name: str) -> None:
        value = getattr(self, name)
        number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        whole = isinstance(value, numbers.Integral)
        if not number or not (value >= 1 if whole else 0.0 < value <= 1.0):
            raise ValueError(
                f"`lr_schedule__{name}` of {type(self).__name__} must be a number of epochs (an "
                "integer of at least 1) or a fraction of training (a float in (0, 1]) but got "
                f"{value!r}."
            )

    def _progress(self, name: str, epoch: int, epochs: int | None, *, ahead: int = 0) -> float:
        """Return how many horizons have passed at an epoch, or so many epochs ahead of it.

        Where the horizon is a fraction of training, the value of the last epoch holds beyond it.
        """
        value = getattr(self, name)
        if isinstance(value, numbers.Integral):
            return (epoch + ahead) / int(value)
        if epochs is None:
            raise ValueError(
                f"{type(self).__name__}({name}={value!r}) is a fraction of training, so it needs "
                "`epochs`: schedule(epoch, lr, epochs)."
            )
        return float((min(epoch, epochs - 1) + ahead) / (float(value) * epochs))


class TimeBasedDecay(Schedule):
    """Each epoch divides the learning rate of the one before by ``1 + decay * epoch``.

    This is the compounding rule of the tables that Keras' early tutorials print:
    ``lr = lr / (1 + decay * epoch)``, epoch from 0.

    Parameters
    ----------
    decay : float, default=0.01
        At least 0; 0 leaves the learning rate as it is.

    Examples
    --------
    >>> from skcb.schedules import TimeBasedDecay
    >>> TimeBasedDecay(decay=0.001).simulate(4, 0.1).round(6).tolist()
    [0.1, 0.0999, 0.099701, 0.099402]
    """

    def __init__(self, decay: float = 0.01) -> None:
        self.decay = decay

    def value(self, epoch: int, lr: float, epochs: int | None) -> float:
        """Return lr divided by the product of all factors up to this epoch."""
        for past in range(1, epoch + 1):
            lr = lr / (1.0 + self.decay * past)
        return lr

    def check(self) -> None:
        """Raise ValueError where ``decay`` is negative."""
        self._between("decay", 0.0, math.inf)


class StepDecay(Schedule):
    """Drop the learning rate by a factor every so many epochs.

    ``lr * drop ** floor((1 + epoch) / epochs_drop)``, epoch from 0.

    Parameters
    ----------
    drop : float, default=0.5
        Factor in (0, 1].
    epochs_drop : int or float, default=10
        Epochs between two drops, or a fraction of training.

    Examples
    --------
    >>> from skcb.schedules import StepDecay
    >>> StepDecay(drop=0.5, epochs_drop=2).simulate(5, 0.1).tolist()
    [0.1, 0.05, 0.05, 0.025, 0.025]
    """

    def __init__(self, drop: float = 0.5, epochs_drop: int | float = 10) -> None:
        self.drop = drop
        self.epochs_drop = epochs_drop

    def value(self, epoch: int, lr: float, epochs: int | None) -> float:
        """Return lr after the drops so far."""
        drops = _whole(self._progress("epochs_drop", epoch, epochs, ahead=1))
        return float(lr * self.drop**drops)

    def check(self) -> None:
        """Raise ValueError where an argument is out of range."""
        self._between("drop", 0.0, 1.0, open_low=True)
        self._check_horizon("epochs_drop")


class ExponentialDecay(Schedule):
    """Multiply the learning rate by a rate, smoothly, every so many epochs.

    ``lr * decay_rate ** (epoch / decay_epochs)``, as ``keras.optimizers.schedules`` has it with
    epochs in place of steps; with ``staircase`` the exponent is rounded down.

    Parameters
    ----------
    decay_rate : float, default=0.9
        Factor in (0, 1].
    decay_epochs : int or float, default=1
        Epochs in which the factor is applied once, or a fraction of training.
    staircase : bool, default=False
        Whether to decay in steps.

    Examples
    --------
    >>> from skcb.schedules import ExponentialDecay
    >>> ExponentialDecay(decay_rate=0.5).simulate(3, 0.1).tolist()
    [0.1, 0.05, 0.025]
    """

    def __init__(
        self, decay_rate: float = 0.9, decay_epochs: int | float = 1, staircase: bool = False
    ) -> None:
        self.decay_rate = decay_rate
        self.decay_epochs = decay_epochs
        self.staircase = staircase

    def value(self, epoch: int, lr: float, epochs: int | None) -> float:
        """Return lr times the rate to the power of the progress."""
        power = self._progress("decay_epochs", epoch, epochs)
        return float(lr * self.decay_rate ** (_whole(power) if self.staircase else power))

    def check(self) -> None:
        """Raise ValueError where an argument is out of range."""
        self._between("decay_rate", 0.0, 1.0, open_low=True)
        self._check_horizon("decay_epochs")


class CosineDecay(Schedule):
    """Follow half a cosine from the learning rate down to a fraction of it.

    ``lr * ((1 - alpha) * (1 + cos(pi * progress)) / 2 + alpha)`` with
    ``progress = min(epoch / decay_epochs, 1)``: Loshchilov and Hutter, "SGDR: Stochastic Gradient
    Descent with Warm Restarts", 2017, as ``keras.optimizers.schedules`` has it.

    Parameters
    ----------
    alpha : float, default=0.0
        Fraction of the learning rate that is left at the end, in [0, 1].
    decay_epochs : int or float, default=1.0
        Length of the decay in epochs, or as a fraction of training; after it the last value
        holds.

    Examples
    --------
    >>> from skcb.schedules import CosineDecay
    >>> CosineDecay().simulate(4, 0.1).round(4).tolist()
    [0.1, 0.0854, 0.05, 0.0146]
    """

    def __init__(self, alpha: float = 0.0, decay_epochs: int | float = 1.0) -> None:
        self.alpha = alpha
        self.decay_epochs = decay_epochs

    def value(self, epoch: int, lr: float, epochs: int | None) -> float:
        """Return lr on the cosine."""
        progress = min(self._progress("decay_epochs", epoch, epochs), 1.0)
        cosine = (1.0 + math.cos(math.pi * progress)) / 2.0
        return float(lr * ((1.0 - self.alpha) * cosine + self.alpha))

    def check(self) -> None:
        """Raise ValueError where an argument is out of range."""
        self._between("alpha", 0.0, 1.0)
        self._check_horizon("decay_epochs")


def _whole(progress: float) -> int:
    """Round down; a fraction of training may miss a whole number (0.07 × 100 > 7)."""
    return math.floor(progress + 1e-9)


RateOfEpoch = Callable[[int, float, int], float]
"""(epoch, the optimizer's own learning rate, epochs of training) -> learning rate."""


def resolve(lr_schedule: Any, settings: dict[str, Any]) -> Any:
    """Turn what a user may give as ``lr_schedule`` into a live schedule.

    Parameters
    ----------
    lr_schedule : Schedule, str, class, Tunable, function, Keras schedule or None
        A function takes ``epoch`` or ``(epoch, lr)``.
    settings : dict
        What was given under ``lr_schedule__``.

    Returns
    -------
    function, Keras schedule or None
        A function of (epoch, lr, epochs), checked; or the Keras schedule as it is.

    Raises
    ------
    ValueError, TypeError
        An unknown name, a setting that the schedule lacks, a value out of range.
    """
    if lr_schedule is None:
        return None
    recipe = _as_recipe(lr_schedule)
    if recipe is None:
        if settings:
            name = next(iter(settings))
            raise ValueError(
                f"`lr_schedule__{name}` cannot be set: `lr_schedule` is {lr_schedule!r}, which is "
                "no recipe. Use one of skcb.schedules or skcb.Tunable(...)."
            )
        return _of_function(lr_schedule) if callable(lr_schedule) else _refuse(lr_schedule)
    live = recipe.build(settings, where="lr_schedule")
    if isinstance(live, Schedule):
        live.check()
        return live
    return _of_function(live) if callable(live) else _refuse(lr_schedule)


def _as_recipe(lr_schedule: Any) -> Recipe | None:
    if isinstance(lr_schedule, Recipe):
        return lr_schedule
    if isinstance(lr_schedule, str):
        return Tunable(_by_name(lr_schedule))
    return Tunable(lr_schedule) if isinstance(lr_schedule, type) else None


def _by_name(name: str) -> type:
    known = {cls.__name__: cls for cls in Schedule.__subclasses__() if cls.__module__ == __name__}
    if name not in known:
        raise ValueError(
            f"`lr_schedule={name!r}`: there is no schedule of this name. {suggestion(name, known)}"
        )
    return known[name]


def _of_function(function: Callable[..., Any]) -> Any:
    """Wrap a function of the user's; a Keras schedule object is passed on as it is."""
    if is_keras(function, "LearningRateSchedule"):
        return function
    takes_rate = _takes_rate(function)

    def rate(epoch: int, lr: float, epochs: int) -> float:
        value = function(epoch, lr) if takes_rate else function(epoch)
        if not isinstance(value, numbers.Real):
            raise TypeError(
                f"`lr_schedule` must return a float, but {function!r} returned {value!r} for "
                f"epoch {epoch}."
            )
        return float(value)

    return rate


def _takes_rate(function: Callable[..., Any]) -> bool:
    """Tell ``(epoch, lr)`` from ``epoch``: two arguments without default, or one named lr."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p for p in parameters if p.kind in positional and p.default is p.empty]
    return len(needed) > 1 or any(p.name == "lr" for p in parameters)


def _refuse(value: Any) -> Any:
    raise TypeError(
        f"`lr_schedule` must be None, a schedule of skcb.schedules, a name, a class, a Tunable, a "
        f"function of (epoch) or (epoch, lr), or a Keras schedule object, but got {value!r}."
    )
