"""From what a user gives as callbacks to the live Keras callbacks of one fit.

Owns the naming of callbacks, their building and copying, and which of their arguments are paths.
Leaves the running of hooks to ``engine.loop`` and the directory that belongs to a fit to
``_runs``.
"""

from __future__ import annotations

import copy
import io
import os
from collections.abc import Callable, Mapping
from typing import Any

from skcb import callbacks as recipes
from skcb._names import snake, suggestion
from skcb.tunable import Recipe, Tunable


def names_of(callbacks: Any) -> list[str] | None:
    """Return the names under which callbacks can be set, without importing Keras.

    Parameters
    ----------
    callbacks : object
        What a user gave as ``callbacks``.

    Returns
    -------
    list of str or None
        None where nothing can be said: no callbacks, or a value that ``fit`` will refuse.
    """
    try:
        return list(named(callbacks)) or None
    except (TypeError, ValueError):
        return None


def named(callbacks: Any) -> dict[str, Any]:
    """Give each callback its name.

    A dict and a list of pairs say the names; in a plain list, and for a single callback, the
    name is the class name in snake case, with ``_1``, ``_2`` where one comes again.

    Raises
    ------
    TypeError
        Something that is no callback.
    ValueError
        Two callbacks of one name, or a name that cannot be part of a parameter's name.
    """
    pairs = _pairs(callbacks)
    names = [name for name, _ in pairs]
    for name in names:
        if not isinstance(name, str) or not name or "__" in name or name.endswith("_"):
            raise ValueError(
                f"`callbacks` has a callback named {name!r}; a name must be a string, without a "
                "double underscore and without one at its end."
            )
        if names.count(name) > 1:
            raise ValueError(
                f"`callbacks` has {names.count(name)} callbacks named {name!r}; each needs a name "
                "of its own."
            )
    return dict(pairs)


def _pairs(callbacks: Any) -> list[tuple[str, Any]]:
    if callbacks is None:
        return []
    if isinstance(callbacks, Mapping):
        return list(callbacks.items())
    if not isinstance(callbacks, list | tuple):
        callbacks = [callbacks]
    pairs: list[tuple[str, Any]] = []
    seen: dict[str, int] = {}
    for entry in callbacks:
        if isinstance(entry, tuple) and len(entry) == 2:
            pairs.append(entry)
            continue
        name = snake(_class_name(entry))
        count = seen[name] = seen.get(name, -1) + 1
        pairs.append((f"{name}_{count}" if count else name, entry))
    return pairs


def _class_name(callback: Any) -> str:
    if isinstance(callback, str):
        return callback
    if isinstance(callback, Tunable):  # around a class, or a function that makes one
        return str(getattr(callback.cls, "__name__", "tunable"))
    cls = callback if isinstance(callback, type) else type(callback)
    if cls in (bool, int, float, complex, bytes, list, dict, set):
        raise not_a_callback("callbacks", callback)
    return cls.__name__


PATHS = {
    "ModelCheckpoint": "filepath",
    "CSVLogger": "filename",
    "TensorBoard": "log_dir",
    "BackupAndRestore": "backup_dir",
    "OrbaxCheckpoint": "directory",
}
"""Which argument of a Keras callback is a path; subclasses inherit it."""


def build(
    callback: Any,
    settings: Mapping[str, Any],
    *,
    where: str,
    place: Callable[[Any], str] = str,
) -> Any:
    """Build the live Keras callback of one fit.

    Parameters
    ----------
    callback : recipe, class, str or keras.callbacks.Callback
        As the user gave it. An instance is copied.
    settings : mapping
        What was given under its name; wins over the recipe's own.
    where : str
        The callback's full parameter name, for messages.
    place : callable, default=str
        Turns a path as the user wrote it into the path that is this fit's own.

    Raises
    ------
    TypeError
        Not a callback, or one that cannot be copied.
    ValueError
        A setting that it does not take, or an instance that holds a model already.
    """
    import keras

    recipe = _as_recipe(callback, where)
    if recipe is None:
        live = _copy_instance(callback, settings, where)
        _move(live, place)
        return live
    target = recipe.target()
    if isinstance(target, type) and not issubclass(target, keras.callbacks.Callback):
        raise not_a_callback(where, callback)
    path = _path_argument(target)
    given = {**recipe.arguments(), **settings}
    if path in given:
        settings = {**settings, path: place(given[path])}
    live = recipe.build(settings, where=where)
    if not isinstance(live, keras.callbacks.Callback):
        raise not_a_callback(where, callback)
    if path not in given:  # a default, or made up by a function or a subclass
        _move(live, place)
    return live


def _path_argument(cls: Any) -> str:
    """Return the argument that is a path; "" where there is none."""
    mro = getattr(cls, "__mro__", ())
    return next((PATHS[base.__name__] for base in mro if base.__name__ in PATHS), "")


def _move(live: Any, place: Callable[[Any], str]) -> None:
    """Put a callback's path in its place, and with it those that ``__init__`` made from it."""
    path = getattr(live, _path_argument(type(live)), None)
    if path is None:
        return
    old, new = os.fspath(path), place(path)
    for name, value in list(vars(live).items()):
        if isinstance(value, str | os.PathLike):
            text = os.fspath(value)
            if text == old or text.startswith(os.path.join(old, "")):
                setattr(live, name, new + text[len(old) :])


def _as_recipe(callback: Any, where: str) -> Recipe | None:
    import keras

    if isinstance(callback, Recipe):
        return callback
    if isinstance(callback, type):
        return Tunable(callback)
    if isinstance(callback, str):
        known = {n for n, c in vars(keras.callbacks).items() if isinstance(c, type)}
        if callback not in known:
            raise ValueError(
                f"`{where}={callback!r}`: Keras has no callback of this name. "
                + suggestion(callback, known)
            )
        return Tunable(getattr(keras.callbacks, callback))
    if isinstance(callback, keras.callbacks.Callback):
        return None
    raise not_a_callback(where, callback)


def _copy_instance(callback: Any, settings: Mapping[str, Any], where: str) -> Any:
    cls = type(callback).__name__
    if settings:
        name = next(iter(settings))
        recipe = (
            f"skcb.callbacks.{cls}(...)" if cls in recipes.__all__ else f"skcb.Tunable({cls}, ...)"
        )
        raise ValueError(
            f"`{where}__{name}` cannot be set on an instance of {type(callback).__module__}.{cls}: "
            f"use `{recipe}`, whose arguments are parameters, or replace `{where}` whole."
        )
    if getattr(callback, "model", None) is not None:
        raise ValueError(
            f"`{where}` is a {cls} that already holds a model: give a fresh instance, or a recipe."
        )
    try:
        return copy.deepcopy(callback)
    except Exception as error:
        raise TypeError(
            f"`{where}` is a {cls} that cannot be copied ({error}), and every fit needs its own: "
            f"use skcb.Tunable({cls}, ...), which builds it afresh."
        ) from error


def not_a_callback(where: str, value: Any) -> TypeError:
    """Word the error for something that is no Keras callback."""
    hint = ""
    cls = value if isinstance(value, type) else type(value)
    if cls.__module__.startswith("sklearn."):
        hint = " scikit-learn's own callbacks go in `set_callbacks`."
    return TypeError(
        f"`{where}` must be a recipe of skcb.callbacks, a subclass of keras.callbacks.Callback, "
        f"its name, a Tunable or an instance, but got {value!r}.{hint}"
    )


def detached(live: Mapping[str, Any]) -> dict[str, Any]:
    """Copy live callbacks without the model and the files that they hold, for a pickle."""
    import keras

    copies = {name: copy.copy(callback) for name, callback in live.items()}
    for callback in copies.values():
        keras.callbacks.Callback.set_model(callback, None)
        for name, value in list(vars(callback).items()):
            if isinstance(value, io.IOBase):
                setattr(callback, name, None)
    return copies
