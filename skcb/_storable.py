"""Storable: what of a value a pickle can hold.

Owns finding that out, for whichever pickler writes in the end. Leaves Keras objects, which have a
better form there than Keras' own, to ``_portable``.
"""

from __future__ import annotations

import pickle
import types
from typing import Any


def storable(value: Any) -> Any:
    """Return a value with None for what no pickle can hold.

    An open file, a lock, a generator, a module, and any object that holds such; of plain lists,
    tuples and dicts the rest stays.
    """
    if is_storable(value):
        return value
    if type(value) in (list, tuple):
        return type(value)(map(storable, value))
    if type(value) is dict:
        return {name: storable(part) for name, part in value.items()}
    return None


def is_storable(value: Any) -> bool:
    """Tell whether a pickle can hold a value."""
    try:
        _Trial(_Nowhere(), pickle.HIGHEST_PROTOCOL).dump(value)
    except Exception:  # whatever a class of the user's own raises
        return False
    return True


class _Trial(pickle.Pickler):
    """Lets all functions and classes pass: those without a name go by cloudpickle."""

    def reducer_override(self, value: Any) -> Any:
        """Write something else in their place."""
        return (len, ()) if isinstance(value, type | types.FunctionType) else NotImplemented


class _Nowhere:
    """A file that keeps nothing."""

    def write(self, data: Any) -> int:
        """Take some bytes."""
        return len(data)
