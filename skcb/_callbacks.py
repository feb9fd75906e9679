"""From what a user gives as callbacks to the live Keras callbacks of one fit.

Owns the naming of callbacks, their building, copying and detaching. Leaves the running of hooks to
``engine.loop``, values to the recipes and paths to ``_paths``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from skcb import _paths, _portable, _spellings
from skcb import callbacks as recipes
from skcb._names import accepted, snake, suggestion
from skcb._storable import is_storable, storable
from skcb.tunable import Recipe, Tunable, legal_names, unknown_setting


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


def kind(name: str, params: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the class of the callback of a name: how it is called, and itself where that is known.

    Parameters
    ----------
    name : str
    params : mapping of str to object
        Of the estimator: ``callbacks``, and ``callbacks__NAME`` where one is replaced.
    """
    callbacks = params["callbacks"]
    given = named(callbacks) if names_of(callbacks) else {}
    callback = params.get(f"callbacks__{name}", given.get(name))
    if callback is None or isinstance(callback, str):
        return callback or "", None
    cls = getattr(callback, "cls", callback)
    cls = cls if isinstance(cls, type) else type(cls)
    return cls.__name__, cls


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
        A setting that it does not take, an instance that holds a model already, or a path that
        cannot be written.
    """
    live = _built(callback, settings, where, place)
    _paths.check_one(live, where)
    return live


def _built(
    callback: Any, settings: Mapping[str, Any], where: str, place: Callable[[Any], str]
) -> Any:
    import keras

    recipe = _as_recipe(callback, settings, where)
    if recipe is None:
        live = _copy_instance(callback, settings, where)
        _paths.move(live, place)
        return _resumable(live)
    target = recipe.target()
    if isinstance(target, type) and not issubclass(target, keras.callbacks.Callback):
        raise not_a_callback(where, callback)
    settings = _spellings.arguments(
        getattr(target, "__name__", ""), settings, type(recipe), where=where
    )
    _refuse_names_of_others(recipe, settings, where)
    written = _paths.written_by(target)
    path = "" if written is None else written.argument
    given = {**recipe.arguments(), **settings}
    if path in given:
        settings = {**settings, path: place(_paths.named_now(target, given, where))}
    live = recipe.build(settings, where=where)
    if not isinstance(live, keras.callbacks.Callback):
        raise not_a_callback(where, callback)
    if path not in given:  # a default, or made up by a function or a subclass
        _paths.move(live, place)
    return live


def _resumable(live: Any) -> Any:
    """Put skcb's own in the place of Keras' BackupAndRestore, which cannot go on to the bit."""
    import keras

    if type(live) is not keras.callbacks.BackupAndRestore:
        return live
    from skcb.callbacks import live_backup  # here, because Keras loads with it

    return live_backup.BackupAndRestore.like(live)


def backs_up(callback: Any) -> bool:
    """Tell whether what a user gave is a BackupAndRestore, in any form."""
    import keras

    if isinstance(callback, str):
        return callback == "BackupAndRestore"
    if isinstance(callback, Recipe):
        callback = callback.target()
    cls = callback if isinstance(callback, type) else type(callback)
    return issubclass(cls, keras.callbacks.BackupAndRestore | recipes.BackupAndRestore)


def _refuse_names_of_others(recipe: Recipe, settings: Mapping[str, Any], where: str) -> None:
    """Refuse a setting that another callback has, by that one's name; near misses come later."""
    cls = recipe.target()
    legal = legal_names(cls) if isinstance(recipe, Tunable) else accepted(type(recipe))
    for name, value in settings.items():
        if legal.takes(name.partition("__")[0]):
            continue
        owners = [n for n in recipes.__all__ if name in accepted(getattr(recipes, n)).defaults]
        if owners:
            error = unknown_setting(where, name, value, cls, legal)
            raise ValueError(f"{error} `{name}` is a parameter of {', '.join(owners)}.")


def _as_recipe(callback: Any, settings: Mapping[str, Any], where: str) -> Recipe | None:
    """Return the recipe for what a user gave; None for an instance, which is copied."""
    import keras

    if isinstance(callback, str):
        callback = _by_name(callback, where)
    if isinstance(callback, Tunable):
        return _own_recipe(callback.cls, callback.params, settings, where) or callback
    if isinstance(callback, Recipe):
        return callback
    if isinstance(callback, type):
        return _own_recipe(callback, {}, settings, where) or Tunable(callback)
    if isinstance(callback, keras.callbacks.Callback):
        return None
    raise not_a_callback(where, callback)


def _by_name(name: str, where: str) -> type:
    """Return the class of this name: Keras' own, or the recipe that Keras has no class for."""
    import keras

    classes = {n: c for n, c in vars(keras.callbacks).items() if isinstance(c, type)}
    del classes["Callback"], classes["CallbackList"]  # the base, and what holds them all
    known = {**{n: getattr(recipes, n) for n in recipes.__all__}, **classes}
    if name in known:
        return known[name]
    hint = recipes.GONE.get(name) or suggestion(name, known)
    raise ValueError(f"`{where}={name!r}`: Keras has no callback of this name. {hint}")


def _own_recipe(
    cls: Any, params: Mapping[str, Any], settings: Mapping[str, Any], where: str
) -> Recipe | None:
    """Return skcb's recipe for one of Keras' own classes, so that its values are judged too."""
    import keras

    name = getattr(cls, "__name__", "")
    recipe = getattr(recipes, name) if name in recipes.__all__ else None
    if recipe is None or cls not in (recipe, getattr(keras.callbacks, name, recipe)):
        return None
    legal = accepted(recipe)
    params = _spellings.arguments(name, params, recipe, where=where)
    if not params.keys() <= legal.defaults.keys():
        return None  # building it says which is wrong
    given = {**{n: v for n, v in settings.items() if n in legal.required}, **params}
    missing = [n for n in legal.required if n not in given]
    if missing:
        raise ValueError(
            f"`{where}__{missing[0]}` is missing, and {name} needs it: set it, or give "
            f"`{where}=skcb.callbacks.{name}({missing[0]}=...)`."
        )
    return recipe(**given)


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


def without_model(callback: Any) -> Any:
    """Copy a live callback without the model that it holds, what else it holds shared."""
    import keras

    copied = copy.copy(callback)
    keras.callbacks.Callback.set_model(copied, None)
    return copied


def detached(live: Mapping[str, Any]) -> dict[str, Any]:
    """Copy live callbacks for a pickle: without the model, and what no pickle can hold."""
    copies = {name: without_model(callback) for name, callback in live.items()}
    for callback in copies.values():
        _leave_out_unstorable(callback)
    return copies


def packed(live: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """Copy the callbacks of a fit for its pickle, also without the weights of its model."""
    import keras

    copies = {name: without_model(callback) for name, callback in live.items()}
    parts = {id(part) for part in _parts_of(model)}
    for callback in copies.values():
        vars(callback).update(_without(parts, vars(callback)))
        if isinstance(callback, keras.callbacks.EarlyStopping):
            callback.best_weights = None
        _leave_out_unstorable(callback)
    return copies


def _leave_out_unstorable(callback: Any) -> None:
    """Put None in the place of open files, locks and the like, in a copy of a callback."""
    import keras

    if isinstance(callback, keras.callbacks.TensorBoard):
        # It opens them anew where it has none. The name is Keras' own, and no public one leads
        # to them; test_live_callbacks.py notices if it goes.
        callback._writers = {}
    if not is_storable(callback):  # else it may have a way of its own, as a trial's has
        vars(callback).update(storable(vars(callback)))


def reopen(live: Iterable[Any]) -> None:
    """Let Keras' callbacks that came back without their files go on writing to them."""
    import keras

    logger = keras.callbacks.CSVLogger
    for callback in live:
        if isinstance(callback, logger) and callback.csv_file is None:
            append = callback.append
            callback.append = True
            logger.on_train_begin(callback)
            callback.append = append


def _parts_of(model: Any) -> Iterator[Any]:
    """Yield a model and what stands in its pickle, which a callback may have kept too."""
    if model is None:
        return
    yield from _portable.within(model)
    yield from model.variables
    yield model.optimizer


def _without(parts: set[int], value: Any) -> Any:
    """Return a value with None for each part of a model, in plain containers too."""
    if value is None or id(value) in parts:
        return None
    if type(value) in (list, tuple):
        return type(value)(_without(parts, each) for each in value)
    if type(value) is dict:
        return {name: _without(parts, each) for name, each in value.items()}
    return value
