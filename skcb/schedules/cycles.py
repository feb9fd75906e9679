"""Schedules that warm up, follow a cosine, or start again.

Owns their formulas and ranges. Leaves what a horizon is to ``schedule``.
"""

from __future__ import annotations

import math

from skcb.schedules.schedule import HORIZON, Schedule, is_horizon, is_number, is_whole, passed


class LinearWarmup(Schedule):
    """Rise on a straight line from a fraction of the learning rate to all of it, and stay.

    Large steps from random weights can do harm; Goyal et al., "Accurate, Large Minibatch SGD",
    2017. Usually the first of a chain: ``LinearWarmup(0.1).then(StepDecay(), at=0.1)``.

    Parameters
    ----------
    warmup_epochs : int or float, default=0.1
        Length of the rise in epochs, or as a fraction of training.
    warmup_start : float, default=0.1
        Fraction of the learning rate at the beginning, in [0, 1]. By epoch, 0 would train nothing
        in the first.
    per : {"epoch", "batch"}, default="epoch"
        How often the learning rate is set.

    Examples
    --------
    >>> from skcb.schedules import LinearWarmup
    >>> LinearWarmup(warmup_epochs=3, warmup_start=0.25).simulate(5, 0.4).round(4).tolist()
    [0.1, 0.2, 0.3, 0.4, 0.4]
    """

    horizons = ("warmup_epochs",)

    def __init__(
        self,
        warmup_epochs: int | float = 0.1,
        warmup_start: float = 0.1,
        per: str = "epoch",
    ) -> None:
        self.warmup_epochs = warmup_epochs
        self.warmup_start = warmup_start
        self.per = per

    def value(self, epoch: float, lr: float, epochs: float | None) -> float:
        """Return lr on the line."""
        progress = min(epoch / self.in_epochs("warmup_epochs", epochs), 1.0)
        return lr * (self.warmup_start + (1.0 - self.warmup_start) * progress)

    def check(self, where: str = "lr_schedule") -> None:
        """Raise ValueError where an argument is out of range."""
        super().check(where)
        self._between(where, "warmup_start", 0.0, 1.0)


class CosineDecay(Schedule):
    """Follow half a cosine from the learning rate down to a fraction of it.

    ``lr * ((1 - alpha) * (1 + cos(pi * progress)) / 2 + alpha)`` with
    ``progress = min(epoch / decay_epochs, 1)``: Loshchilov and Hutter, "SGDR: Stochastic Gradient
    Descent with Warm Restarts", 2017, as ``keras.optimizers.schedules`` has it. A warm-up comes
    first, on a straight line, and shortens the decay: both together last ``decay_epochs`` (where
    Keras' ``decay_steps`` begin after its ``warmup_steps``).

    Parameters
    ----------
    alpha : float, default=0.0
        Fraction of the learning rate that is left at the end, in [0, 1].
    decay_epochs : int or float, default=1.0
        When the decay ends: an epoch, or a fraction of training; after it the last value holds.
    warmup_epochs : int or float, default=0
        Length of the warm-up in epochs, or as a fraction of training; 0 for none.
    warmup_start : float, default=0.1
        Fraction of the learning rate at the beginning of the warm-up, in [0, 1].
    per : {"epoch", "batch"}, default="epoch"
        How often the learning rate is set.

    Examples
    --------
    >>> from skcb.schedules import CosineDecay
    >>> CosineDecay().simulate(4, 0.1).round(4).tolist()
    [0.1, 0.0854, 0.05, 0.0146]
    >>> CosineDecay(warmup_epochs=2).simulate(6, 0.1).round(4).tolist()
    [0.01, 0.055, 0.1, 0.0854, 0.05, 0.0146]
    """

    horizons = ("decay_epochs", "warmup_epochs")

    def __init__(
        self,
        alpha: float = 0.0,
        decay_epochs: int | float = 1.0,
        warmup_epochs: int | float = 0,
        warmup_start: float = 0.1,
        per: str = "epoch",
    ) -> None:
        self.alpha = alpha
        self.decay_epochs = decay_epochs
        self.warmup_epochs = warmup_epochs
        self.warmup_start = warmup_start
        self.per = per

    def value(self, epoch: float, lr: float, epochs: float | None) -> float:
        """Return lr on the line of the warm-up or on the cosine."""
        warm, end = (self.in_epochs(n, epochs) for n in ("warmup_epochs", "decay_epochs"))
        if epoch < warm:
            return lr * _mix(self.warmup_start, 1.0, epoch / warm)
        return lr * _mix(self.alpha, 1.0, _falling_cosine(_share(epoch, warm, end)))

    def check(self, where: str = "lr_schedule") -> None:
        """Raise ValueError where an argument is out of range."""
        _check_warmup(self, where, none=True)
        self._between(where, "alpha", 0.0, 1.0)
        self._between(where, "warmup_start", 0.0, 1.0)
        self._one_of(where, "per", ("epoch", "batch"))


class CosineRestarts(Schedule):
    """Follow one half cosine after the other, each from high to low.

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, as
    ``keras.optimizers.schedules.CosineDecayRestarts`` has it with epochs in place of steps.

    Parameters
    ----------
    first_decay_epochs : int or float, default=0.25
        Length of the first decay in epochs, or as a fraction of training.
    t_mul : float, default=2.0
        How many times as long as the one before each decay is; at least 1.
    m_mul : float, default=1.0
        How many times as high as the one before each starts; in (0, 1].
    alpha : float, default=0.0
        Fraction of the learning rate that is left at the end of each, in [0, 1].
    per : {"epoch", "batch"}, default="epoch"
        How often the learning rate is set.

    Examples
    --------
    >>> from skcb.schedules import CosineRestarts
    >>> CosineRestarts(first_decay_epochs=2, m_mul=0.5).simulate(6, 0.1).round(4).tolist()
    [0.1, 0.05, 0.05, 0.0427, 0.025, 0.0073]
    """

    horizons = ("first_decay_epochs",)

    def __init__(
        self,
        first_decay_epochs: int | float = 0.25,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        per: str = "epoch",
    ) -> None:
        self.first_decay_epochs = first_decay_epochs
        self.t_mul = t_mul
        self.m_mul = m_mul
        self.alpha = alpha
        self.per = per

    def value(self, epoch: float, lr: float, epochs: float | None) -> float:
        """Return lr on the cosine whose turn it is."""
        length = self.in_epochs("first_decay_epochs", epochs)
        begin, height = 0.0, 1.0
        while not passed(begin + length, epoch):
            begin, length, height = begin + length, length * self.t_mul, height * self.m_mul
        cosine = _falling_cosine(_share(epoch, begin, begin + length))
        return lr * _mix(self.alpha, 1.0, height * cosine)

    def check(self, where: str = "lr_schedule") -> None:
        """Raise ValueError where an argument is out of range."""
        super().check(where)
        self._between(where, "t_mul", 1.0, math.inf)
        self._between(where, "m_mul", 0.0, 1.0, open_low=True)
        self._between(where, "alpha", 0.0, 1.0)


class OneCycle(Schedule):
    """Rise to the learning rate and fall far below where it began, once.

    Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning
    Rates", 2018. The optimizer's learning rate is the peak. Momentum stays as it is.

    Parameters
    ----------
    alpha : float, default=4e-6
        Fraction of the learning rate that is left at the end, in [0, 1].
    decay_epochs : int or float, default=1.0
        When the cycle ends: an epoch, or a fraction of training; after it the last value holds.
    warmup_epochs : int or float, default=0.3
        When the peak is reached: an epoch, or a fraction of training.
    warmup_start : float, default=0.04
        Fraction of the learning rate at the beginning, in [0, 1].
    shape : {"cosine", "linear"}, default="cosine"
        Of the rise and of the fall.
    per : {"epoch", "batch"}, default="epoch"
        How often the learning rate is set.

    Examples
    --------
    >>> from skcb.schedules import OneCycle
    >>> OneCycle(warmup_epochs=2, shape="linear").simulate(6, 0.1).round(4).tolist()
    [0.004, 0.052, 0.1, 0.075, 0.05, 0.025]
    """

    horizons = ("decay_epochs", "warmup_epochs")

    def __init__(
        self,
        alpha: float = 4e-6,
        decay_epochs: int | float = 1.0,
        warmup_epochs: int | float = 0.3,
        warmup_start: float = 0.04,
        shape: str = "cosine",
        per: str = "epoch",
    ) -> None:
        self.alpha = alpha
        self.decay_epochs = decay_epochs
        self.warmup_epochs = warmup_epochs
        self.warmup_start = warmup_start
        self.shape = shape
        self.per = per

    def value(self, epoch: float, lr: float, epochs: float | None) -> float:
        """Return lr on the way up or down."""
        peak, end = (self.in_epochs(n, epochs) for n in ("warmup_epochs", "decay_epochs"))
        rises = epoch < peak
        progress = epoch / peak if rises else _share(epoch, peak, end)
        fallen = _falling_cosine(progress) if self.shape == "cosine" else 1.0 - progress
        low = self.warmup_start if rises else self.alpha
        return lr * _mix(low, 1.0, 1.0 - fallen if rises else fallen)

    def check(self, where: str = "lr_schedule") -> None:
        """Raise ValueError where an argument is out of range."""
        _check_warmup(self, where, none=False)
        self._between(where, "alpha", 0.0, 1.0)
        self._between(where, "warmup_start", 0.0, 1.0)
        self._one_of(where, "shape", ("cosine", "linear"))
        self._one_of(where, "per", ("epoch", "batch"))


def _check_warmup(schedule: CosineDecay | OneCycle, where: str, *, none: bool) -> None:
    """Check the two horizons; the warm-up ends before the decay, where they can be compared."""
    warm, end = schedule.warmup_epochs, schedule.decay_epochs
    if not is_horizon(end):
        raise schedule.refusal(where, "decay_epochs", HORIZON)
    is_none = none and is_number(warm) and warm == 0
    if not is_none and not is_horizon(warm):
        raise schedule.refusal(where, "warmup_epochs", HORIZON + (", or 0," if none else ""))
    if is_whole(warm) == is_whole(end) and warm >= end:
        raise schedule.refusal(where, "warmup_epochs", f"less than `decay_epochs={end!r}`")


def _mix(low: float, high: float, share: float) -> float:
    """Return the point between two that a share of the way leads to."""
    return low + (high - low) * share


def _falling_cosine(progress: float) -> float:
    """Return half a cosine, from 1 to 0."""
    return (1.0 + math.cos(math.pi * progress)) / 2.0


def _share(epoch: float, begin: float, end: float) -> float:
    """Return how much of a stretch has passed, in [0, 1]."""
    if end <= begin:  # a warm-up in epochs that outlasts a decay in a fraction of a short training
        return 1.0
    return min(max((epoch - begin) / (end - begin), 0.0), 1.0)
