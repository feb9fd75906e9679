"""Pool: equal structure, same program, whichever fold, candidate or thread asks.

Owns the programs of the process, bounded by number and bytes, least recently used gone first.
Leaves to ``structure`` what is equal.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Hashable
from typing import Any

from skcb.engine.program import Program
from skcb.engine.structure import describe

MOST_PROGRAMS = 64
MOST_BYTES = 512 * 1024 * 1024

_lock = threading.Lock()
_programs: OrderedDict[Hashable, Program] = OrderedDict()
_counts: Counter[str] = Counter()


def borrow(model: Any) -> Program:
    """Return the program for a model: one that others use too, or its own."""
    key = describe(model)
    with _lock:
        _counts["fits"] += 1
        if key is None:
            _counts["programs of their own"] += 1
            return Program()
        program = _programs.get(key)
        if program is None:
            _counts["programs shared"] += 1
            program = _programs[key] = Program()
        _programs.move_to_end(key)
    _shrink()
    return program


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
        _counts.clear()
