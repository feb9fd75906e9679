"""Learning-rate schedules: the learning rate as a function of training progress.

Owns the list of schedules. Horizons are given in epochs (an integer) or as a fraction of training
(a float), never in optimizer steps, so that the batch size does not change them. Leaves setting
the optimizer, and combining with ReduceLROnPlateau, to ``engine.loop``.
"""

from collections.abc import Callable

from skcb.schedules.cycles import CosineDecay, CosineRestarts, LinearWarmup, OneCycle
from skcb.schedules.decays import (
    Constant,
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstant,
    PolynomialDecay,
    StepDecay,
    TimeBasedDecay,
)
from skcb.schedules.forms import resolve as resolve
from skcb.schedules.schedule import Chained, Schedule

__all__ = [
    "Chained",
    "Constant",
    "CosineDecay",
    "CosineRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LinearWarmup",
    "OneCycle",
    "PiecewiseConstant",
    "PolynomialDecay",
    "Schedule",
    "StepDecay",
    "TimeBasedDecay",
]

RateOfEpoch = Callable[[int, float, int], float]
"""(epoch, the optimizer's own learning rate, epochs of training) -> learning rate."""
