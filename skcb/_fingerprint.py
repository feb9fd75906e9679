"""Fingerprint: one text for what a value is, the same in every process.

Owns the walk over parameters, functions, arrays and Keras objects. What it cannot look into counts
by its class alone. Leaves what a fit is made of to ``_resuming``.
"""

from __future__ import annotations

import copyreg
import enum
import functools
import hashlib
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from skcb._names import is_keras
from skcb._portable import config_of, undecayed
from skcb.tunable import Recipe

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_KNOWN = frozenset(
    [*sys.stdlib_module_names, "keras", "numpy", "pandas", "scipy", "skcb", "sklearn"]
)
"""Packages whose classes are what their name says; versions that matter are compared elsewhere."""


def fingerprint(*values: Any) -> str:
    """Return 32 hexadecimal digits that equal values share.

    Parameters
    ----------
    *values : object
        Parameters and data: plain values and containers, arrays, recipes, functions (by their
        code), random generators, tables (by their columns' names, too, but not by their index),
        objects of Keras' (by their config) and of any class (by what a pickle would hold of them).
    """
    walk = _Walk()
    walk(values)
    return walk.digest()


class _Walk:
    """Feeds a value, part by part, into one digest."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._above: list[int] = []

    def digest(self) -> str:
        return self._hash.hexdigest()

    def __call__(self, value: Any) -> None:
        if isinstance(value, _PLAIN):
            self._put(type(value).__name__, repr(value))
        elif id(value) in self._above:
            self._put("above", str(self._above.index(id(value))))
        else:
            self._above.append(id(value))
            self._open(value)
            self._above.pop()

    def _put(self, *texts: str) -> None:
        for text in texts:
            data = text.encode("utf-8", "surrogatepass")
            self._hash.update(f"{len(data)}:".encode() + data)

    def _parts(self, kind: str, parts: Iterable[Any]) -> None:
        self._put("(", kind)
        for part in parts:
            self(part)
        self._put(")")

    def _open(self, value: Any) -> None:
        """Take a value that has parts."""
        match value:
            case np.ndarray() if value.dtype.hasobject:
                self._parts("objects", [value.shape, value.ravel().tolist()])
            case np.ndarray() | np.generic():
                self._put("array", str(value.dtype), str(value.shape))
                self._hash.update(np.ascontiguousarray(value).tobytes())
            case np.random.RandomState():
                self._parts("generator", [value.get_state(legacy=False)])
            case np.random.Generator():
                self._parts("generator", [value.bit_generator.state])
            case Mapping():
                self._parts(_name(value), [part for item in value.items() for part in item])
            case set() | frozenset():
                self._parts("set", sorted(map(fingerprint, value)))
            case list() | tuple():
                self._parts(_name(value), value)
            case type():
                self._class(value)
            case _:
                self._object(value)

    def _class(self, cls: type) -> None:
        self._put("class", f"{cls.__module__}.{cls.__qualname__}")
        if cls.__module__.partition(".")[0] not in _KNOWN:
            self._parts("methods", [f for f in vars(cls).values() if callable(f)])
            self._parts("bases", cls.__bases__)

    def _object(self, value: Any) -> None:
        match value:
            case types.FunctionType():
                self._put("function", f"{value.__module__}.{value.__qualname__}")
                cells = [_content(cell) for cell in value.__closure__ or ()]
                parts = [value.__code__, value.__defaults__, value.__kwdefaults__, cells]
                self._parts("code", parts)
            case types.CodeType():
                # Constants may be sets, whose order differs from process to process.
                self._parts("code", [value.co_code, list(value.co_consts), value.co_names])
            case types.MethodType():
                self._parts("method", [value.__func__, value.__self__])
            case types.BuiltinFunctionType() | types.ModuleType():
                self._put("name", str(getattr(value, "__module__", "")), value.__name__)
                owner = getattr(value, "__self__", None)
                # No other owner: `np.random.rand` has a generator, another after each draw.
                if isinstance(owner, np.ufunc):
                    self(owner)
            case functools.partial():
                self._parts("partial", [value.func, value.args, value.keywords])
            case enum.Enum():
                self._parts("enum", [type(value), value.name])
            case Recipe():
                self._parts("recipe", [type(value), value.arguments()])
            case _:
                self._parts("object", [type(value), _state(value)])


def _name(value: Any) -> str:
    return type(value).__qualname__


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None


def _state(value: Any) -> Any:
    """Return what makes an object what it is, as far as it can be seen."""
    if hasattr(value, "get_config") and not isinstance(value, type):
        try:
            weights = value.get_weights() if hasattr(value, "get_weights") else None
            config = config_of(value)
            if is_keras(value, "Optimizer"):
                config.pop("name", None)  # Keras counts them: the third Adam is "adam_2"
                config["exclude_from_weight_decay"] = undecayed(value, "optimizer")
            return config, weights
        except Exception:  # NotImplementedError, or whatever a user's own class raises
            return None
    if hasattr(value, "__array__"):
        return _columns(value) if hasattr(value, "columns") else np.asarray(value)
    try:
        reduced = _reduced(value)
    except Exception:  # a lock, or what only its author could take apart
        reduced = None
    return reduced or object.__getstate__(value) or {}


def _columns(table: Any) -> Any:
    """Return the names and values of a table's columns; one by one, dates are numbers still."""
    if hasattr(table, "items"):  # pandas
        return [(name, np.asarray(column)) for name, column in table.items()]
    return list(table.columns), np.asarray(table)


def _reduced(value: Any) -> Any:
    """Return what a class of its own accord gives for a pickle, or None.

    Before its attributes: those in slots may be caches, such as the hash that a path remembers,
    which is another in each process.
    """
    cls: Any = type(value)
    reduce = copyreg.dispatch_table.get(cls)
    if reduce is not None:
        made = reduce(value)
    elif cls.__reduce_ex__ is object.__reduce_ex__ and cls.__reduce__ is object.__reduce__:
        return None
    else:
        made = value.__reduce_ex__(2)
    return made if isinstance(made, str) else [_listed(part) for part in made]


def _listed(part: Any) -> Any:
    """Return what is in an iterator made for a pickle."""
    return list(part) if isinstance(part, Iterator) else part
