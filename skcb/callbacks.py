"""Recipes for Keras' callbacks, and the step from what a user gives to live callbacks.

Owns one recipe a class (same name, arguments and defaults as in ``keras.callbacks``), the
naming of callbacks and their building. Leaves the running of hooks to ``engine.loop`` and the
directory that belongs to a fit to ``_runs``.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any

from skcb._names import suggestion
from skcb.tunable import Recipe, Tunable

__all__ = [
    "CSVLogger",
    "EarlyStopping",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]


class CallbackRecipe(Recipe):
    """Base of the recipes whose class stands in ``keras.callbacks`` under the same name."""

    def target(self) -> type:
        """Return Keras' class; this imports Keras."""
        import keras

        return getattr(keras.callbacks, type(self).__name__)


class EarlyStopping(CallbackRecipe):
    """Stop when a watched quantity no longer improves: ``keras.callbacks.EarlyStopping``.

    Parameters
    ----------
    monitor : str, default="val_loss"
        What to watch. ``val_*`` needs watched rows: ``validation_split=0.2``, say.
    min_delta : float, default=0
        Smallest change that counts as an improvement.
    patience : int, default=0
        Epochs without improvement after which training stops.
    verbose : int, default=0
        1 prints a line when it stops.
    mode : {"auto", "min", "max"}, default="auto"
        Whether lower or higher is better; "auto" reads it off the metric.
    baseline : float, optional
        Stop where this value is not reached within ``patience`` epochs.
    restore_best_weights : bool, default=False
        Whether the model ends with the weights of its best epoch. Weights are this fold's own.
    start_from_epoch : int, default=0
        Epochs to wait before watching.

    Examples
    --------
    >>> from skcb.callbacks import EarlyStopping
    >>> EarlyStopping(patience=5, restore_best_weights=True)
    EarlyStopping(patience=5, restore_best_weights=True)
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        self.monitor = monitor
        self.min_delta = min_delta
        self.patience = patience
        self.verbose = verbose
        self.mode = mode
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch


class ModelCheckpoint(CallbackRecipe):
    """Save the model or its weights as training goes on: ``keras.callbacks.ModelCheckpoint``.

    Parameters
    ----------
    filepath : str or path
        Where to save; ends in ".keras", or in ".weights.h5" with ``save_weights_only``. Keras
        fills in ``{epoch:02d}``, ``{val_loss:.2f}`` and the like; skcb fills in ``{run}``, the
        place of this fit. Below a search every fit writes in a directory of its own, whether or
        not ``{run}`` stands in the path.
    monitor : str, default="val_loss"
        What decides which model is best.
    verbose : int, default=0
        1 prints a line for each save.
    save_best_only : bool, default=False
        Whether to save only when the monitor improves.
    save_weights_only : bool, default=False
        Whether to leave out architecture and optimizer.
    mode : {"auto", "min", "max"}, default="auto"
        Whether lower or higher is better.
    save_freq : "epoch" or int, default="epoch"
        An integer counts batches.
    initial_value_threshold : float, optional
        The value that the first save must beat.

    Examples
    --------
    >>> from skcb.callbacks import ModelCheckpoint
    >>> ModelCheckpoint("runs/{run}/best.keras", save_best_only=True)
    ModelCheckpoint(filepath='runs/{run}/best.keras', save_best_only=True)
    """

    def __init__(
        self,
        filepath: Any,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        self.filepath = filepath
        self.monitor = monitor
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.mode = mode
        self.save_freq = save_freq
        self.initial_value_threshold = initial_value_threshold


class ReduceLROnPlateau(CallbackRecipe):
    """Lower the learning rate when progress stalls: ``keras.callbacks.ReduceLROnPlateau``.

    Together with ``lr_schedule`` the learning rate is the schedule's value times the factors of
    all plateaus so far, not below ``min_lr``.

    Parameters
    ----------
    monitor : str, default="val_loss"
        What to watch.
    factor : float, default=0.1
        What the learning rate is multiplied by; below 1.
    patience : int, default=10
        Epochs without improvement before that.
    verbose : int, default=0
        1 prints a line for each change.
    mode : {"auto", "min", "max"}, default="auto"
        Whether lower or higher is better.
    min_delta : float, default=1e-4
        Smallest change that counts as an improvement.
    cooldown : int, default=0
        Epochs to wait after a change before watching again.
    min_lr : float, default=0.0
        Lowest learning rate.

    Examples
    --------
    >>> from skcb.callbacks import ReduceLROnPlateau
    >>> ReduceLROnPlateau(factor=0.5, patience=2)
    ReduceLROnPlateau(factor=0.5, patience=2)
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        self.monitor = monitor
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.mode = mode
        self.min_delta = min_delta
        self.cooldown = cooldown
        self.min_lr = min_lr


class LearningRateScheduler(CallbackRecipe):
    """Set the learning rate by a function each epoch: ``keras.callbacks.LearningRateScheduler``.

    ``lr_schedule`` does the same with settings that a search can vary.

    Parameters
    ----------
    schedule : callable
        ``(epoch, lr) -> lr`` or ``epoch -> lr``; ``lr`` is the optimizer's present learning rate.
    verbose : int, default=0
        1 prints a line an epoch.

    Examples
    --------
    >>> from skcb.callbacks import LearningRateScheduler
    >>> recipe = LearningRateScheduler(lambda epoch, lr: lr * 0.9)
    >>> recipe.verbose
    0
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        self.schedule = schedule
        self.verbose = verbose


class CSVLogger(CallbackRecipe):
    """Write each epoch's logs as a line of a CSV file: ``keras.callbacks.CSVLogger``.

    Parameters
    ----------
    filename : str or path
        The file; ``{run}`` and directories as in :class:`ModelCheckpoint`.
    separator : str, default=","
        Between two values.
    append : bool, default=False
        Whether to go on in a file that is there.

    Examples
    --------
    >>> from skcb.callbacks import CSVLogger
    >>> CSVLogger("runs/{run}/history.csv")
    CSVLogger(filename='runs/{run}/history.csv')
    """

    def __init__(self, filename: Any, separator: str = ",", append: bool = False) -> None:
        self.filename = filename
        self.separator = separator
        self.append = append


class TerminateOnNaN(CallbackRecipe):
    """End training when the loss is NaN or infinite: ``keras.callbacks.TerminateOnNaN``.

    Without it such a fit raises :class:`skcb.exceptions.NonFiniteLoss`.

    Parameters
    ----------
    raise_error : bool, default=False
        Whether Keras raises its own RuntimeError instead of ending quietly.

    Examples
    --------
    >>> from skcb.callbacks import TerminateOnNaN
    >>> TerminateOnNaN()
    TerminateOnNaN()
    """

    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = raise_error


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
        return [name for name, _ in _pairs(callbacks)] or None
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
        if names.count(name) > 1:
            raise ValueError(
                f"`callbacks` has {names.count(name)} callbacks named {name!r}; each needs a name "
                "of its own."
            )
        if not isinstance(name, str) or not name or "__" in name:
            raise ValueError(
                f"`callbacks` has a callback named {name!r}; a name must be a string without a "
                "double underscore."
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
        name = _snake(_class_name(entry))
        count = seen[name] = seen.get(name, -1) + 1
        pairs.append((f"{name}_{count}" if count else name, entry))
    return pairs


def _class_name(callback: Any) -> str:
    if isinstance(callback, str):
        return callback
    if isinstance(callback, Tunable):
        callback = callback.cls
    cls = callback if isinstance(callback, type) else type(callback)
    if cls in (bool, int, float, complex, bytes, list, dict, set):
        raise not_a_callback("callbacks", callback)
    return cls.__name__


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


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
        path = _path_argument(type(live))
        if path is not None:
            setattr(live, path, place(getattr(live, path)))
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
    return live


def _path_argument(cls: Any) -> str | None:
    mro = getattr(cls, "__mro__", ())
    return next((PATHS[base.__name__] for base in mro if base.__name__ in PATHS), None)


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
        recipe = f"skcb.callbacks.{cls}(...)" if cls in __all__ else f"skcb.Tunable({cls}, ...)"
        raise ValueError(
            f"`{where}__{name}` cannot be set on an instance of {type(callback).__module__}.{cls}: "
            f"use `{recipe}`, whose arguments are parameters, or replace `{where}` whole."
        )
    if callback.model is not None:
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
    if type(value).__module__.startswith("sklearn."):
        hint = " scikit-learn's own callbacks go in `set_callbacks`."
    return TypeError(
        f"`{where}` must be a recipe of skcb.callbacks, a subclass of keras.callbacks.Callback, "
        f"its name, a Tunable or an instance, but got {value!r}.{hint}"
    )


def detached(live: Mapping[str, Any]) -> dict[str, Any]:
    """Copy live callbacks without the model that they hold, for a pickle."""
    import keras

    copies = {name: copy.copy(callback) for name, callback in live.items()}
    for callback in copies.values():
        keras.callbacks.Callback.set_model(callback, None)
    return copies
