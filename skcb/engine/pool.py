"""Pool: equal structure, same program, whichever fold, candidate or thread asks.

Owns the programs of the process, bounded by number and bytes, least recently used gone first.
Leaves to ``structure`` what is equal.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skcb.engine.structure import NotDescribed, Number, describe

if TYPE_CHECKING:
    from skcb.engine.program import Program

MOST_PROGRAMS = 64
MOST_BYTES = 1024 * 1024 * 1024

_lock = threading.Lock()
_programs: OrderedDict[Hashable, Program] = OrderedDict()
_alone: Counter[str] = Counter()
_roads: Counter[str] = Counter()


@dataclass(frozen=True)
class EngineReport:
    """What the engine of this process has done since it was started or cleared.

    Attributes
    ----------
    programs : int
        Shared programs that are held now.
    traces : dict of str to int
        How often these traced a function, by kind: "train", "evaluate", "predict".
    fits : int
        Models that these programs have served.
    alone : dict of str to int
        Models that share nothing, by the reason.
    roads : dict of str to int
        Fits by the road that they took.
    n_bytes : int
        Estimate of the memory that the programs hold.
    """

    programs: int
    traces: dict[str, int]
    fits: int
    alone: dict[str, int]
    roads: dict[str, int]
    n_bytes: int

    def __str__(self) -> str:
        lines = [
            f"{self.programs} programs, {self.n_bytes / 2**20:.1f} MB, for {self.fits} models",
            "traces: " + ", ".join(f"{n} {kind}" for kind, n in self.traces.items()),
        ]
        lines += [f"{n} fits by {road}" for road, n in self.roads.items()]
        lines += [f"{n} models share nothing: {why}" for why, n in self.alone.items()]
        return "\n".join(lines)


def borrow(model: Any, own: Program | None = None) -> tuple[Program, list[Number]]:
    """Return the program for a model as it is now, and the numbers that it is fed.

    Parameters
    ----------
    model : keras.Model
    own : Program, optional
        That of this model alone, which it got where it could not be described before.
    """
    from skcb.engine.program import Program  # here, because TensorFlow loads with it

    try:
        key, numbers = describe(model)
    except NotDescribed as why:
        if own is not None:
            return own, []
        with _lock:
            _alone[str(why)] += 1
        return Program(of_one=True), []
    with _lock:
        program = _programs.setdefault(key, Program())
        _programs.move_to_end(key)
    _shrink()
    return program, numbers


def _shrink() -> None:
    """Drop what was not used for longest while there is too much."""
    with _lock:
        while len(_programs) > MOST_PROGRAMS:
            _programs.popitem(last=False)
        total = sum(program.n_bytes for program in _programs.values())
        while total > MOST_BYTES and len(_programs) > 1:
            _, dropped = _programs.popitem(last=False)
            total -= dropped.n_bytes


def clear_programs() -> None:
    """Forget all compiled programs; fits that run keep theirs until they end.

    Examples
    --------
    >>> import skcb
    >>> skcb.clear_programs()
    """
    with _lock:
        _programs.clear()
        _alone.clear()
        _roads.clear()


def note_road(road: str) -> None:
    """Count a fit that took this road."""
    with _lock:
        _roads[road] += 1


def engine_report() -> EngineReport:
    """Report programs, traces, fits and roads of this process.

    Returns
    -------
    EngineReport

    Examples
    --------
    >>> import skcb
    >>> skcb.clear_programs()
    >>> skcb.engine_report().fits
    0
    """
    with _lock:
        programs = list(_programs.values())
        alone, roads = dict(_alone), dict(_roads)
    kinds = ("train", "evaluate", "predict")
    return EngineReport(
        programs=len(programs),
        traces={kind: sum(p.n_traces[kind] for p in programs) for kind in kinds},
        fits=sum(p.n_fits for p in programs),
        alone=alone,
        roads=roads,
        n_bytes=sum(p.n_bytes for p in programs),
    )
