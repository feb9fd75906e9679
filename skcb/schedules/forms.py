"""From what a user gives as ``lr_schedule`` to the live schedule of one fit.

Owns the forms that are understood: schedules, names, classes, recipes, functions and Keras' own
schedule objects. Leaves the formulas to ``decays`` and ``cycles``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from skcb._names import is_keras, suggestion
from skcb.schedules import cycles, decays
from skcb.schedules.schedule import Schedule, checked_rate
from skcb.tunable import Recipe, Tunable, copied

BY_NAME = {
    cls.__name__: cls
    for cls in (
        decays.Constant,
        decays.TimeBasedDecay,
        decays.StepDecay,
        decays.PiecewiseConstant,
        decays.ExponentialDecay,
        decays.InverseTimeDecay,
        decays.PolynomialDecay,
        cycles.CosineDecay,
        cycles.CosineRestarts,
        cycles.OneCycle,
        cycles.LinearWarmup,
    )
}
"""The schedules that can be given by their name."""


class OfFunction(Schedule):
    """A function of the user's as a schedule.

    ``lr`` is what the function returned for the epoch before, as Keras' LearningRateScheduler has
    it, so a rule written for that compounds here as it does there. The factors of a plateau are
    no part of it.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._arguments = _arguments(function)
        self._last = (-1, 0.0, 0.0)  # epoch, the optimizer's own rate, and what came of them

    def value(self, epoch: float, lr: float, epochs: float | None) -> float:
        """Return what the function returns, called for each epoch up to this one."""
        if self._arguments == 1:
            return checked_rate(self.function(epoch), self.function, epoch)
        last, start, rate = self._last
        if start != lr or last > epoch:
            last, rate = -1, lr
        for past in range(last + 1, int(epoch) + 1):
            rate = checked_rate(self.function(past, rate), self.function, past)
        self._last = (int(epoch), lr, rate)
        return rate


def resolve(lr_schedule: Any, settings: Mapping[str, Any]) -> Any:
    """Turn what a user may give as ``lr_schedule`` into a live schedule.

    Parameters
    ----------
    lr_schedule : Schedule, str, class, Tunable, function, Keras schedule or None
        A function takes ``epoch`` or ``(epoch, lr)``.
    settings : mapping
        What was given under ``lr_schedule__``.

    Returns
    -------
    Schedule, Keras schedule or None
        Checked, and shared with no other fit.

    Raises
    ------
    ValueError, TypeError
        An unknown name, a setting that the schedule lacks, a value out of range.
    """
    if lr_schedule is None:
        return None
    recipe = _as_recipe(lr_schedule)
    if recipe is not None:
        return _live(recipe.build(settings, where="lr_schedule"), lr_schedule)
    if is_keras(lr_schedule, "LearningRateSchedule"):
        return copied(lr_schedule, settings, where="lr_schedule") if settings else lr_schedule
    if settings:
        raise ValueError(
            f"`lr_schedule__{next(iter(settings))}` cannot be set: `lr_schedule` is "
            f"{lr_schedule!r}, which is no recipe. Use one of skcb.schedules or skcb.Tunable(...)."
        )
    return _live(lr_schedule, lr_schedule)


def _as_recipe(lr_schedule: Any) -> Recipe | None:
    if isinstance(lr_schedule, Recipe):
        return lr_schedule
    if isinstance(lr_schedule, str):
        if lr_schedule not in BY_NAME:
            raise ValueError(
                f"`lr_schedule={lr_schedule!r}`: there is no schedule of this name. "
                + suggestion(lr_schedule, BY_NAME)
            )
        return Tunable(BY_NAME[lr_schedule])
    return Tunable(lr_schedule) if isinstance(lr_schedule, type) else None


def _live(value: Any, given: Any) -> Any:
    """Check what was built, and wrap what is a function."""
    if isinstance(value, Schedule):
        value.check()
        return value
    if is_keras(value, "LearningRateSchedule"):
        return value
    if callable(value):
        return OfFunction(value)
    raise TypeError(
        "`lr_schedule` must be None, a schedule of skcb.schedules, a name, a class, a Tunable, a "
        f"function of (epoch) or (epoch, lr), or a Keras schedule object, but got {given!r}."
    )


def _arguments(function: Callable[..., Any]) -> int:
    """Tell ``(epoch, lr)`` from ``epoch``: two arguments without default, or one named lr.

    Raises
    ------
    TypeError
        The function can be called neither with one argument nor with two.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C, and does not say
        return 1
    parameters = signature.parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p for p in parameters if p.kind in positional and p.default is p.empty]
    named = any(p.name == "lr" and p.kind in positional for p in parameters)
    count = 2 if len(needed) > 1 or named else 1
    try:
        signature.bind(*range(count))
    except TypeError as error:
        raise TypeError(
            f"`lr_schedule` must be a function of (epoch) or (epoch, lr), but {function!r} takes "
            f"{signature} ({error})."
        ) from error
    return count
