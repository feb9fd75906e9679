"""Schedules that go down, or stay: the formulas of Keras, with epochs in place of steps.

Owns their formulas and ranges. Leaves what a horizon is to ``schedule``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from skcb.schedules.schedule import (
    HORIZON,
    Schedule,
    is_horizon,
    is_number,
    is_whole,
    passed,
    whole,
)


class Constant(Schedule):
    """Keep the optimizer's learning rate, or a fixed multiple of it.

    Parameters
    ----------
    factor : float, default=1.0
        What the learning rate is multiplied by; above 0.

    Examples
    --------
    >>> from skcb.schedules import Constant, CosineDecay
    >>> Constant().then(CosineDecay(), at=0.5).simulate(4, 0.1).round(3).tolist()
    [0.1, 0.1, 0.1, 0.05]
    """

    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def value(self, epoch: float, lr: float, epochs: float | None) -> float:
        """Return the multiple of lr."""
        return lr * self.factor

    def check(self, where: str = "lr_schedule") -> None:
        """Raise ValueError where ``factor`` is not above 0."""
        super().check(where)
        self._between(where, "factor", 0.0, math.inf, open_low=True)


class TimeBasedDecay(Schedule):
    """Divide the learning rate by a divisor that grows with the epoch.

    Compounding, each epoch divides the rate of the one before: ``lr = lr / (1 + decay * epoch)``,
    epoch from 0, the rule of the tables that Keras' early tutorials print. Plain, it is
    ``lr / (1 + decay * epoch)`` of the learning rate at the start.

    Parameters
    ----------
    decay : float, default=0.01
        At least 0; 0 leaves the learning rate as it is.
    compounding : bool, default=True
        Whether each epoch starts from the one before.
    per : {"epoch", "batch"}, default="epoch"
        How often the learning rate is set; between two epochs it goes smoothly from one to the
        other.

    Examples
    --------
    >>> from skcb.schedules import TimeBasedDecay
    >>> TimeBasedDecay(decay=0.001).simulate(4, 0.1).round(6).tolist()
    [0.1, 0.0999, 0.099701, 0.099402]
    >>> TimeBasedDecay(decay=1.0, compounding=False).simulate(4, 0.1).round(4).tolist()
    [0.1, 0.05, 0.0333, 0.025]
    """

    def __init__(self, decay: float = 0.01, compounding: bool = True, per: str = "epoch") -> None:
        self.decay = decay
        self.compounding = compounding
        self.per = per

    def value(self, epoch: float, lr: float, epochs: float | None) -> float:
        """Return lr divided by the last factor, or by the product of all up to this epoch."""
        if not self.compounding:
            return lr / (1.0 + self.decay * epoch)
        done = whole(epoch)
        for past in range(1, done + 1):
            lr = lr / (1.0 + self.decay * past)
        # So much of the next epoch's division as has passed of this epoch.
        return float(lr / (1.0 + self.decay * (done + 1)) ** max(epoch - done, 0.0))

    def check(self, where: str = "lr_schedule") -> None:
        """Raise ValueError where ``decay`` is negative."""
        super().check(where)
        self._between(where, "decay", 0.0, math.inf)
        self._one_of(where, "compounding", (True, False))


class StepDecay(Schedule):
    """Drop the learning rate by a factor every so many epochs.

    ``lr * drop ** floor((1 + epoch) / epochs_drop)``, epoch from 0.

    Parameters
    ----------
    drop : float, default=0.5
        Factor in (0, 1].
    epochs_drop : int or float, default=10
        Epochs between two drops, or a fraction of training.
    per : {"epoch", "batch"}, default="epoch"
        Whether a drop that falls inside an epoch waits for the next one.

    Examples
    --------
    >>> from skcb.schedules import StepDecay
    >>> StepDecay(drop=0.5, epochs_drop=2).simulate(5, 0.1).tolist()
    [0.1, 0.05, 0.05, 0.025, 0.025]
    """

    horizons = ("epochs_drop",)

    def __init__(
        self, drop: float = 0.5, epochs_drop: int | float = 10, per: str = "epoch"
    ) -> None:
        self.drop = drop
        self.epochs_drop = epochs_drop
        self.per = per

    def value(self, epoch: float, lr: float, epochs: float | None) -> float:
        """Return lr after the drops so far."""
        return float(lr * self.drop ** whole((1 + epoch) / self.in_epochs("epochs_drop", epochs)))

    def check(self, where: str = "lr_schedule") -> None:
        """Raise ValueError where an argument is out of range."""
        super().check(where)
        self._between(where, "drop", 0.0, 1.0, open_low=True)


class PiecewiseConstant(Schedule):
    """Multiply the learning rate by one factor after the other.

    As ``keras.optimizers.schedules.PiecewiseConstantDecay`` has it, with factors of the
    optimizer's learning rate in place of values. Its rule for the boundaries too: what begins *at*
    a boundary still has the earlier factor, so ``boundaries=[9]`` gives the first ten epochs
    (0 to 9) the first factor.

    Parameters
    ----------
    boundaries : sequence of int or float, default=(0.5, 0.75)
        When the factor changes, in rising order: epochs, or fractions of training.
    factors : sequence of float, default=(1.0, 0.1, 0.01)
        One more than boundaries, none negative.
    per : {"epoch", "batch"}, default="epoch"
        Whether a change that falls inside an epoch waits for the next one.

    Examples
    --------
    >>> from skcb.schedules import PiecewiseConstant
    >>> PiecewiseConstant(boundaries=[1], factors=[1.0, 0.1]).simulate(4, 0.5).tolist()
    [0.5, 0.5, 0.05, 0.05]
    """

    horizons = ("boundaries",)

    def __init__(
        self,
        boundaries: Sequence[int | float] = (0.5, 0.75),
        factors: Sequence[float] = (1.0, 0.1, 0.01),
        per: str = "epoch",
    ) -> None:
        self.boundaries = boundaries
        self.factors = factors
        self.per = per

    def value(self, epoch: float, lr: float, epochs: float | None) -> float:
        """Return lr times the factor whose turn it is."""
        ends = [self._length("boundaries", b, epochs) for b in self.boundaries]
        return float(lr * self.factors[sum(passed(epoch, end) for end in ends)])

    def check(self, where: str = "lr_schedule") -> None:
        """Raise ValueError where an argument is out of range."""
        if not _all_in(self.boundaries, is_horizon) or not _rises(self.boundaries):
            raise self.refusal(where, "boundaries", f"a rising sequence, each {HORIZON},")
        if not _all_in(self.factors, _is_factor) or len(self.factors) != len(self.boundaries) + 1:
            raise self.refusal(
                where,
                "factors",
                f"{len(self.boundaries) + 1} numbers of at least 0, one more than `boundaries`,",
            )
        self._one_of(where, "per", ("epoch", "batch"))


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
    per : {"epoch", "batch"}, default="epoch"
        How often the learning rate is set.

    Examples
    --------
    >>> from skcb.schedules import ExponentialDecay
    >>> ExponentialDecay(decay_rate=0.5).simulate(3, 0.1).tolist()
    [0.1, 0.05, 0.025]
    """

    horizons = ("decay_epochs",)

    def __init__(
        self,
        decay_rate: float = 0.9,
        decay_epochs: int | float = 1,
        staircase: bool = False,
        per: str = "epoch",
    ) -> None:
        self.decay_rate = decay_rate
        self.decay_epochs = decay_epochs
        self.staircase = staircase
        self.per = per

    def value(self, epoch: float, lr: float, epochs: float | None) -> float:
        """Return lr times the rate to the power of the progress."""
        power = epoch / self.in_epochs("decay_epochs", epochs)
        return float(lr * self.decay_rate ** (whole(power) if self.staircase else power))

    def check(self, where: str = "lr_schedule") -> None:
        """Raise ValueError where an argument is out of range."""
        super().check(where)
        self._between(where, "decay_rate", 0.0, 1.0, open_low=True)
        self._one_of(where, "staircase", (True, False))


class InverseTimeDecay(Schedule):
    """Divide the learning rate by a divisor that grows evenly.

    ``lr / (1 + decay_rate * epoch / decay_epochs)``, as ``keras.optimizers.schedules`` has it with
    epochs in place of steps; with ``staircase`` the progress is rounded down.

    Parameters
    ----------
    decay_rate : float, default=0.5
        At least 0.
    decay_epochs : int or float, default=1
        Epochs in which the divisor grows by ``decay_rate``, or a fraction of training.
    staircase : bool, default=False
        Whether to decay in steps.
    per : {"epoch", "batch"}, default="epoch"
        How often the learning rate is set.

    Examples
    --------
    >>> from skcb.schedules import InverseTimeDecay
    >>> InverseTimeDecay(decay_rate=1.0).simulate(4, 0.1).round(4).tolist()
    [0.1, 0.05, 0.0333, 0.025]
    """

    horizons = ("decay_epochs",)

    def __init__(
        self,
        decay_rate: float = 0.5,
        decay_epochs: int | float = 1,
        staircase: bool = False,
        per: str = "epoch",
    ) -> None:
        self.decay_rate = decay_rate
        self.decay_epochs = decay_epochs
        self.staircase = staircase
        self.per = per

    def value(self, epoch: float, lr: float, epochs: float | None) -> float:
        """Return lr divided by the divisor."""
        progress = epoch / self.in_epochs("decay_epochs", epochs)
        return lr / (1.0 + self.decay_rate * (whole(progress) if self.staircase else progress))

    def check(self, where: str = "lr_schedule") -> None:
        """Raise ValueError where an argument is out of range."""
        super().check(where)
        self._between(where, "decay_rate", 0.0, math.inf)
        self._one_of(where, "staircase", (True, False))


class PolynomialDecay(Schedule):
    """Follow a power of the progress from the learning rate down to a fraction of it.

    ``lr * ((1 - alpha) * (1 - progress) ** power + alpha)`` with
    ``progress = min(epoch / decay_epochs, 1)``, as ``keras.optimizers.schedules`` has it with
    epochs in place of steps. ``power=1`` is a straight line.

    Parameters
    ----------
    alpha : float, default=0.0
        Fraction of the learning rate that is left at the end, in [0, 1].
    decay_epochs : int or float, default=1.0
        Length of the decay in epochs, or as a fraction of training; after it the last value
        holds.
    power : float, default=1.0
        Above 0.
    cycle : bool, default=False
        Whether the decay starts again where it ended, twice as long, three times as long, and so
        on, each time from where it then is.
    per : {"epoch", "batch"}, default="epoch"
        How often the learning rate is set.

    Examples
    --------
    >>> from skcb.schedules import PolynomialDecay
    >>> PolynomialDecay(alpha=0.2).simulate(4, 0.1).round(4).tolist()
    [0.1, 0.08, 0.06, 0.04]
    """

    horizons = ("decay_epochs",)

    def __init__(
        self,
        alpha: float = 0.0,
        decay_epochs: int | float = 1.0,
        power: float = 1.0,
        cycle: bool = False,
        per: str = "epoch",
    ) -> None:
        self.alpha = alpha
        self.decay_epochs = decay_epochs
        self.power = power
        self.cycle = cycle
        self.per = per

    def value(self, epoch: float, lr: float, epochs: float | None) -> float:
        """Return lr on the polynomial."""
        progress = epoch / self.in_epochs("decay_epochs", epochs)
        if self.cycle:  # the n-th time, it is as if the decay had always been n times as long
            progress = progress / max(-whole(-progress), 1)
        left = max(1.0 - progress, 0.0) ** self.power
        return float(lr * ((1.0 - self.alpha) * left + self.alpha))

    def check(self, where: str = "lr_schedule") -> None:
        """Raise ValueError where an argument is out of range."""
        super().check(where)
        self._between(where, "alpha", 0.0, 1.0)
        self._between(where, "power", 0.0, math.inf, open_low=True)
        self._one_of(where, "cycle", (True, False))


def _all_in(values: Any, allowed: Callable[[Any], bool]) -> bool:
    """Tell whether these are several values, all of a kind."""
    return isinstance(values, list | tuple) and len(values) > 0 and all(map(allowed, values))


def _is_factor(value: Any) -> bool:
    return is_number(value) and bool(0.0 <= value < math.inf)


def _rises(horizons: Sequence[int | float]) -> bool:
    """Tell whether each is after the one before; an epoch and a fraction cannot be compared."""
    return all(a < b for a, b in itertools.pairwise(horizons) if is_whole(a) == is_whole(b))
