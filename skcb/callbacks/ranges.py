"""Ranges: what the value of a callback's argument may be.

Owns the kinds of values and the words for them. Leaves which argument takes which to the recipes.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Allowed(NamedTuple):
    """A kind of value: how it is called, and what belongs to it."""

    words: str
    holds: Callable[[Any], bool]

    def __or__(self, other: object) -> Allowed:
        """Return what belongs to either kind."""
        assert isinstance(other, Allowed)
        return Allowed(f"{self.words} or {other.words}", lambda v: self.holds(v) or other.holds(v))


def integer(least: int) -> Allowed:
    """Allow integers of at least so much."""
    return Allowed(f"an integer of at least {least}", lambda v: is_integer(v) and v >= least)


def one_of(*values: Any) -> Allowed:
    """Allow these values; 1 is not True."""
    *others, last = map(repr, values)
    listed = f"{', '.join(others)} or {last}" if others else last
    return Allowed(listed, lambda v: any(type(v) is type(a) and v == a for a in values))


def is_integer(value: Any) -> bool:
    """Tell an integer; True is none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return real and math.isfinite(value)


FINITE = Allowed("a finite number", _is_finite)
AT_LEAST_0 = Allowed("a finite number of at least 0", lambda v: _is_finite(v) and v >= 0)
FACTOR = Allowed("a number above 0 and below 1", lambda v: _is_finite(v) and 0 < v < 1)
BOOLEAN = Allowed("True or False", lambda v: isinstance(v, bool))
TEXT = Allowed("a string", lambda v: isinstance(v, str))
CALLABLE = Allowed("a function", callable)
NONE = Allowed("None", lambda v: v is None)
MAPPING = Allowed("a dict", lambda v: isinstance(v, Mapping))
VERBOSE = one_of(0, 1) | BOOLEAN
MODE = one_of("auto", "min", "max")
SAVE_FREQ = one_of("epoch") | integer(1)


class Ranges:
    """What each argument of a class takes; one that is not named takes anything.

    Parameters
    ----------
    **kinds : Allowed
    """

    def __init__(self, **kinds: Allowed) -> None:
        self._kinds = kinds

    def judge(self, values: Mapping[str, Any], *, where: str) -> None:
        """Refuse values out of range.

        Raises
        ------
        ValueError
            It names the parameter, the value and what is allowed.
        """
        for name, value in values.items():
            kind = self._kinds.get(name)
            if kind is not None and not kind.holds(value):
                full = f"{where}__{name}" if where else name
                raise ValueError(f"`{full}` must be {kind.words} but got {value!r}.")
