"""Automatic names: Keras counts the layers of a process, skcb those of a model.

Owns the counters behind "dense_1": in every build they start from nothing, so a layer has the
same name in each fold of a search, and TensorFlow, which keeps a kernel for every name of a
variable it has met, meets no new ones (0.7 MB and 10 ms a fit of a small network). Leaves the
build itself to ``_build``.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from skcb._names import snake


@contextmanager
def named_afresh() -> Iterator[dict[str, int]]:
    """Name what is built in a block as if it were the first of the process.

    Names that are given after the block stand above those given in it, as they would without, so
    that new layers may be put on top of the model.

    Yields
    ------
    dict of str to int
        How far the process had counted before the block; for :func:`count_on`.
    """
    outer, own = _counters(), defaultdict[str, int](int)
    _set_counters(own)
    try:
        yield dict(outer)
    finally:
        for name, number in own.items():
            outer[name] = max(outer[name], number)
        _set_counters(outer)


def is_clash(error: ValueError) -> bool:
    """Tell whether Keras refused two layers of one name.

    A build that joins layers which were there before to new ones needs the names that Keras would
    have given.
    """
    return any(words in str(error) for words in ("should be unique", "should have unique names"))


def count_on(model: Any, before: dict[str, int]) -> None:
    """Give a model a name of its own, so that those of several fits can be joined into one.

    A name that the user gave stays.
    """
    base = snake(type(model).__name__)
    automatic = re.fullmatch(rf"{base}(?:_(\d+))?", model.name)
    if automatic is not None:
        number = before.get(base, 0) + int(automatic[1] or 0)
        model.name = f"{base}_{number}" if number else base
        counters = _counters()
        counters[base] = max(counters[base], number + 1)


# Keras keeps the counters of a thread in `global_state`, which has no public door: of the public
# functions `get_uid` counts up and `clear_session` forgets more. test_auto_names.py notices if
# they go.
_KERAS_COUNTERS = "object_name_uids"


def _counters() -> Any:
    from keras.src.backend.common import global_state

    return global_state.get_global_attribute(_KERAS_COUNTERS, defaultdict(int), True)


def _set_counters(counters: Any) -> None:
    from keras.src.backend.common import global_state

    global_state.set_global_attribute(_KERAS_COUNTERS, counters)
