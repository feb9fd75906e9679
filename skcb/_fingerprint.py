"""Fingerprint: one text for what a value is, the same in every process.

Owns the walk over parameters, functions, arrays and Keras objects. What it cannot look into counts
by its class alone. Leaves what a fit is made of to ``_resuming``.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import sys
import types
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from skcb._names import is_keras
from skcb.tunable import Recipe

_PLAIN = (type(None), bool, int, float, complex, str, bytes)
_KNOWN = frozenset([*sys.stdlib_module_names, "keras", "numpy", "scipy", "skcb", "sklearn"])
"""Packages whose classes are what their name says; their versions are compared elsewhere."""


def fingerprint(*values: Any) -> str:
    """Return 32 hexadecimal digits that equal values share.

    Parameters
    ----------
    *values : object
        Parameters and data: plain values and containers, arrays, recipes, functions (by their
        code), random generators, objects of Keras' (by their config) and of any class (by their
        attributes).
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
            config = dict(value.get_config())
            if is_keras(value, "Optimizer"):
                config.pop("name", None)  # Keras counts them: the third Adam is "adam_2"
            return config, weights
        except Exception:  # NotImplementedError, or whatever a user's own class raises
            return None
    if hasattr(value, "__array__"):
        return np.asarray(value)
    return dict(getattr(value, "__dict__", {}))
