"""Clock: the seconds of a fit, and the moment after which no epoch begins.

Owns counting seconds while a fit is at work and not while it waits, and the deadline that whoever
calls a fit may set around it. Leaves asking them, after and before each epoch, to ``engine.loop``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self

_IN_FORCE: ContextVar[tuple[Deadline, ...]] = ContextVar("skcb_deadlines", default=())


class Clock:
    """Counts the seconds that one fit has worked; a context within which it runs.

    It goes by a clock that nobody can set. A pickle holds what has been counted so far.
    """

    def __init__(self) -> None:
        self._counted = 0.0
        self._since: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds counted so far."""
        running = 0.0 if self._since is None else time.monotonic() - self._since
        return self._counted + running

    def add(self, seconds: float) -> None:
        """Count what an earlier process has spent on the same fit."""
        self._counted += seconds

    def __enter__(self) -> Self:
        self._since = time.monotonic()
        return self

    def __exit__(self, *error: object) -> None:
        self._counted, self._since = self.seconds, None


class Deadline:
    """A moment so many seconds from now, after which no epoch begins.

    Parameters
    ----------
    seconds : float
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def over(self) -> bool:
        """Whether it has passed."""
        return time.monotonic() >= self._end

    def __getstate__(self) -> dict[str, Any]:
        return {"left": self._end - time.monotonic()}  # another machine counts from elsewhere

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._end = time.monotonic() + state["left"]


class OutOfTime(BaseException):
    """A deadline has passed, and what is under way ends.

    No ``Exception``, so that what scores a failed fit and goes on, as scikit-learn's searches do,
    lets it through.
    """

    def __init__(self, deadline: Deadline) -> None:
        super().__init__("the deadline has passed")
        self.deadline = deadline


@contextmanager
def in_force(deadline: Deadline) -> Iterator[None]:
    """Let no epoch of a fit within begin after a deadline, nor after those around it."""
    token = _IN_FORCE.set((*_IN_FORCE.get(), deadline))
    try:
        yield
    finally:
        _IN_FORCE.reset(token)


def refuse_late() -> None:
    """Go on where no deadline in force has passed.

    Raises
    ------
    OutOfTime
        Of the outermost that has.
    """
    for deadline in _IN_FORCE.get():
        if deadline.over:
            raise OutOfTime(deadline)
