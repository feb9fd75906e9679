"""What a schedule is: a learning rate for each moment of training, and how two are chained.

Owns the base class, the meaning of horizons (an integer is epochs, a float a fraction of
training, nothing is optimizer steps), the checks that all kinds share, and ``then``. Leaves the
formulas to ``decays`` and ``cycles`` and setting the optimizer to ``engine.loop``.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from skcb.tunable import Recipe

_CLOSE = 1e-9
"""A moment so close before a horizon counts as there: 0.07 × 100 is a little more than 7."""


class Schedule(Recipe):
    """Base of the schedules: ``schedule(epoch, lr)`` is the learning rate of an epoch.

    A schedule is a recipe: it can be searched as ``lr_schedule`` and its arguments as
    ``lr_schedule__x``. Arguments are judged when training starts, not when they are set.

    A subclass implements :meth:`value`, lists in ``horizons`` which of its arguments are
    horizons, and may have an argument ``per``.

    Attributes
    ----------
    per : {"epoch", "batch"}
        How often the learning rate is set.
    horizons : tuple of str
        Names of the arguments that are horizons: an integer is a number of epochs, a float a
        fraction of training.

    Examples
    --------
    >>> from skcb.schedules import Schedule
    >>> class Triangle(Schedule):
    ...     horizons = ("peak",)
    ...
    ...     def __init__(self, peak=0.5):
    ...         self.peak = peak
    ...
    ...     def value(self, epoch, lr, epochs):
    ...         peak = self.in_epochs("peak", epochs)
    ...         return lr * min(epoch / peak, (epochs - epoch) / (epochs - peak))
    >>> Triangle().simulate(4, 0.1).tolist()
    [0.0, 0.05, 0.1, 0.05]
    """

    per: str = "epoch"
    horizons: ClassVar[tuple[str, ...]] = ()

    def target(self) -> type:
        """Return the schedule's own class."""
        return type(self)

    def __call__(self, epoch: float, lr: float, epochs: int | None = None) -> float:
        """Return the learning rate of an epoch.

        Parameters
        ----------
        epoch : int or float
            Index of the epoch, from 0; 2.5 is the middle of the third.
        lr : float
            The optimizer's own learning rate, from which the schedule starts.
        epochs : int, optional
            How many epochs training lasts; needed where a horizon is a fraction of training.

        Returns
        -------
        float
        """
        self.check()
        if epochs is not None and epoch >= epochs and self.is_relative():
            epoch = max(epochs - 1, 0)
        return checked_rate(self.value(epoch, float(lr), epochs), self, epoch)

    def rates(self, epoch: int, lr: float, epochs: int | None, n_steps: int) -> np.ndarray:
        """Return the learning rate of each step of an epoch.

        Parameters
        ----------
        epoch : int
            Index of the epoch, from 0.
        lr : float
            The optimizer's own learning rate.
        epochs : int or None
            How many epochs training lasts.
        n_steps : int
            How many steps the epoch has.

        Returns
        -------
        ndarray of shape (n_steps,), dtype float64
            All equal where the learning rate is set by epoch.
        """
        if not self.by_batch():
            return np.full(n_steps, self(epoch, lr, epochs))
        self.check()
        times = [epoch + step / n_steps for step in range(n_steps)]
        if epochs is not None and epoch >= epochs and self.is_relative():
            times = [max(epochs, 1) - 1 / n_steps] * n_steps
        return np.array([checked_rate(self.value(t, float(lr), epochs), self, t) for t in times])

    def simulate(self, epochs: int, learning_rate: float, steps_per_epoch: int = 1) -> np.ndarray:
        """Return the whole curve without training.

        Parameters
        ----------
        epochs : int
            How many epochs training lasts.
        learning_rate : float
            The optimizer's own learning rate.
        steps_per_epoch : int, default=1
            How many values an epoch has; they differ with ``per="batch"``.

        Returns
        -------
        ndarray of shape (epochs * steps_per_epoch,), dtype float64
            The learning rate of each step.
        """
        rates = [self.rates(e, learning_rate, epochs, steps_per_epoch) for e in range(epochs)]
        return np.concatenate(rates) if rates else np.empty(0)

    def then(self, second: Schedule, at: int | float) -> Chained:
        """Return a schedule that follows this one up to a moment, and another from there.

        Parameters
        ----------
        second : Schedule
            What follows, as if training began at ``at``.
        at : int or float
            When: an epoch, or a fraction of training.

        Returns
        -------
        Chained
        """
        return Chained(self, second, at)

    def value(self, epoch: float, lr: float, epochs: float | None) -> float:
        """Return the formula's value; the arguments have been checked."""
        raise NotImplementedError

    def by_batch(self) -> bool:
        """Tell whether the learning rate changes within an epoch."""
        return self.per == "batch"

    def is_relative(self) -> bool:
        """Tell whether a horizon is a fraction of training, so that the curve ends with it."""
        return any(not is_whole(h) for name in self.horizons for h in _each(getattr(self, name)))

    def in_epochs(self, name: str, epochs: float | None) -> float:
        """Return a horizon in epochs, where training lasts so many."""
        return self._length(name, getattr(self, name), epochs)

    def check(self, where: str = "lr_schedule") -> None:
        """Raise ValueError where an argument is out of range.

        Parameters
        ----------
        where : str, default="lr_schedule"
            Under which parameter name the schedule stands.
        """
        for name in self.horizons:
            if not is_horizon(getattr(self, name)):
                raise self.refusal(where, name, HORIZON)
        self._one_of(where, "per", ("epoch", "batch"))

    def refusal(self, where: str, name: str, allowed: str) -> ValueError:
        """Word the error for an argument that is out of range."""
        return ValueError(
            f"`{where}__{name}` of {type(self).__name__} must be {allowed} but got "
            f"{getattr(self, name)!r}."
        )

    def _length(self, name: str, horizon: Any, epochs: float | None) -> float:
        if is_whole(horizon):
            return float(horizon)
        if epochs is None:
            raise ValueError(
                f"{type(self).__name__}({name}={getattr(self, name)!r}) is a fraction of "
                "training, so it needs `epochs`: schedule(epoch, lr, epochs)."
            )
        return float(horizon) * max(epochs, 1)

    def _between(
        self, where: str, name: str, low: float, high: float, *, open_low: bool = False
    ) -> None:
        value = getattr(self, name)
        inside = is_number(value) and low <= value <= high and not math.isinf(value)
        if not inside or (open_low and value == low):
            left = "(" if open_low else "["
            right = "inf)" if high == math.inf else f"{high:g}]"
            raise self.refusal(where, name, f"a number in {left}{low:g}, {right}")

    def _one_of(self, where: str, name: str, choices: Sequence[Any]) -> None:
        value = getattr(self, name)
        if not any(type(value) is type(choice) and value == choice for choice in choices):
            raise self.refusal(where, name, " or ".join(map(repr, choices)))


class Chained(Schedule):
    """Follow one schedule up to a moment of training, and another from there.

    What ``first.then(second, at=0.3)`` makes. The first goes its way and is cut off at ``at``;
    the second starts there *as if training began*: its epochs count from ``at``, and its
    fractions are fractions of what is left. Both start from the optimizer's learning rate, so the
    curve is continuous where the first has come back to it, as a warm-up has, and jumps where it
    has not. The learning rate is set by batch if it is in one of the two.

    Parameters
    ----------
    first, second : Schedule
        Their arguments are parameters too: ``lr_schedule__first__x``, ``lr_schedule__second__x``.
    at : int or float
        The first epoch of the second, or the fraction of training, in (0, 1), that has passed
        when it begins.

    Examples
    --------
    >>> from skcb.schedules import CosineDecay, LinearWarmup
    >>> warm = LinearWarmup(warmup_epochs=2, warmup_start=0.5).then(CosineDecay(), at=2)
    >>> warm.simulate(6, 0.1).round(4).tolist()
    [0.05, 0.075, 0.1, 0.0854, 0.05, 0.0146]
    >>> warm.set_params(first__warmup_start=0.1).simulate(6, 0.1).round(4)[:2].tolist()
    [0.01, 0.055]
    """

    horizons = ("at",)

    def __init__(self, first: Schedule, second: Schedule, at: int | float) -> None:
        self.first = first
        self.second = second
        self.at = at

    def value(self, epoch: float, lr: float, epochs: float | None) -> float:
        """Return the value of the schedule whose turn it is."""
        seam = self.in_epochs("at", epochs)
        if epoch < seam - _CLOSE:
            return self.first.value(epoch, lr, epochs)
        left = None if epochs is None else epochs - seam
        return self.second.value(max(epoch - seam, 0.0), lr, left)

    def by_batch(self) -> bool:
        """Tell whether one of the two changes within an epoch."""
        return self.first.by_batch() or self.second.by_batch()

    def is_relative(self) -> bool:
        """Tell whether one of the two, or the moment between them, is a fraction of training."""
        return super().is_relative() or self.first.is_relative() or self.second.is_relative()

    def check(self, where: str = "lr_schedule") -> None:
        """Raise ValueError or TypeError where one of the two is wrong, or the moment."""
        for name in ("first", "second"):
            part = getattr(self, name)
            if not isinstance(part, Schedule):
                raise TypeError(
                    f"`{where}__{name}` must be a schedule of skcb.schedules but got {part!r}."
                )
            part.check(f"{where}__{name}")
        super().check(where)
        if not is_whole(self.at) and self.at == 1.0:
            raise self.refusal(where, "at", "an epoch, or a fraction of training in (0, 1),")


HORIZON = (
    "a number of epochs (an integer of at least 1) or a fraction of training (a float in (0, 1])"
)


def is_number(value: Any) -> bool:
    """Tell a real number; True and False are none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def is_whole(value: Any) -> bool:
    """Tell a number of epochs from a fraction of training, by its type."""
    return isinstance(value, numbers.Integral)


def is_horizon(value: Any) -> bool:
    """Tell whether a value is a number of epochs or a fraction of training."""
    return is_number(value) and bool(value >= 1 if is_whole(value) else 0.0 < value <= 1.0)


def whole(progress: float) -> int:
    """Round down, over what floating point lost."""
    return math.floor(progress + _CLOSE)


def passed(epoch: float, horizon: float) -> bool:
    """Tell whether a moment lies after a horizon, over what floating point lost."""
    return epoch > horizon + _CLOSE


def checked_rate(value: Any, source: Any, epoch: float) -> float:
    """Return a learning rate that a formula or function gave, as a float.

    Raises
    ------
    TypeError
        It is no number.
    ValueError
        It is NaN, infinite or negative.
    """
    if not is_number(value):
        raise TypeError(
            f"`lr_schedule` must return a float, but {source!r} returned {value!r} for epoch "
            f"{epoch:g}."
        )
    rate = float(value)
    if not (math.isfinite(rate) and rate >= 0.0):
        raise ValueError(
            f"`lr_schedule` must return a finite learning rate of at least 0, but {source!r} "
            f"returned {value!r} for epoch {epoch:g}."
        )
    return rate


def _each(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else (value,)
