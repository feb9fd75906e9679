"""Spellings: what a name that older Keras used means now.

Owns the one table of them, the translation of parameters, arguments and values by it, and the
warning. Leaves where each is understood to the module that takes the name: names of parameters to
``_params``, arguments to the recipes, values to those who judge them in ``fit``.
"""

from __future__ import annotations

import functools
import inspect
import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, ParamSpec, TypeVar

from skcb._names import accepted

P = ParamSpec("P")
R = TypeVar("R")


class Spelling(NamedTuple):
    """One old spelling.

    Attributes
    ----------
    owner : str
        What takes the name: "estimator", "fit", "optimizer", the class of a callback, "loss" and
        "metrics" for values of these, "monitor" for what a callback watches, "file" for the end
        of a checkpoint's name.
    old, new : str
        ``new`` is empty where Keras has no other name for it, and the note says what there is.
    note : str
        What the new name alone does not say.
    convert : callable
        From the old value to the new one.
    """

    owner: str
    old: str
    new: str
    note: str = ""
    convert: Callable[[Any], Any] = lambda value: value


def _every(epochs: Any) -> str:
    return "epoch" if epochs == 1 else f"{epochs} epochs"


_IN_STEPS = (
    "It counts optimizer steps, lr / (1 + decay * iterations), so that `batch_size` changes it. In "
    "epochs: `lr_schedule=skcb.schedules.InverseTimeDecay(...)`; in steps: "
    "`lr_schedule=keras.optimizers.schedules.InverseTimeDecay(lr, 1, decay)`."
)
_WEIGHTS = "With `save_weights_only` the file ends in `.weights.h5`."

TABLE = (
    Spelling("estimator", "nb_epoch", "epochs"),
    Spelling("fit", "nb_epoch", "epochs"),
    Spelling("optimizer", "lr", "learning_rate"),
    Spelling("optimizer", "decay", "", _IN_STEPS),
    Spelling(
        "ModelCheckpoint",
        "period",
        "save_freq",
        "Every fifth epoch is `save_freq='5 epochs'`; an integer counts batches.",
        _every,
    ),
    Spelling("ReduceLROnPlateau", "epsilon", "min_delta"),
    Spelling("monitor", "acc", "accuracy"),
    Spelling("monitor", "val_acc", "val_accuracy"),
    Spelling("file", ".h5", ".keras", _WEIGHTS),
    Spelling("file", ".hdf5", ".keras", _WEIGHTS),
    Spelling("loss", "kullback_leibler_divergence", "kl_divergence"),
    Spelling("metrics", "kullback_leibler_divergence", "kl_divergence"),
    Spelling("loss", "cosine_proximity", "cosine_similarity"),
    Spelling(
        "metrics",
        "cosine_proximity",
        "cosine_similarity",
        "The metric's sign is turned: 1 is the best, where Keras 2 had -1.",
    ),
)
"""Every old spelling that is understood."""


def find(owner: str, old: str) -> Spelling | None:
    """Return what an old spelling means now, or None where it is none."""
    return next((row for row in TABLE if (row.owner, row.old) == (owner, old)), None)


def renamed(
    params: Mapping[str, Any], meaning: Callable[[str], tuple[str, Spelling] | None]
) -> dict[str, Any]:
    """Return parameters under the names that they have now, and warn of each that had another.

    Parameters
    ----------
    params : mapping of str to object
        By full name, as given in one call.
    meaning : callable
        For a full name what stands before the old one in it, and the old spelling itself; None
        for any other name.

    Raises
    ------
    ValueError
        Both spellings of one parameter.
    """
    found: dict[str, Any] = {}
    for name, value in params.items():
        old = meaning(name)
        if old is None:
            found[name] = value
            continue
        prefix, row = old
        new = prefix + (row.new or row.old)
        if row.new and new in params:
            raise ValueError(
                f"`{name}={value!r}` is an old spelling of `{new}`, and `{new}={params[new]!r}` is "
                "given too; give that alone."
            )
        warn(name, new if row.new else "", row)
        found[new] = row.convert(value)
    return found


def arguments(owner: str, given: Mapping[str, Any], cls: Any, *, where: str = "") -> dict[str, Any]:
    """Return arguments of a class by the names that they have now.

    Parameters
    ----------
    owner : str
        As in the table.
    given : mapping of str to object
    cls : class or function
        What takes them; a name in its signature is its own.
    where : str, default=""
        Full parameter name of the object, for messages.

    Raises
    ------
    ValueError
        Both spellings of one argument.
    """
    prefix = f"{where}__" if where else ""

    def meaning(name: str) -> tuple[str, Spelling] | None:
        row = of_class(owner, name.removeprefix(prefix), cls)
        return row and (prefix, row)

    full = renamed({prefix + name: value for name, value in given.items()}, meaning)
    return {name.removeprefix(prefix): value for name, value in full.items()}


def of_class(owner: str, name: str, cls: Any) -> Spelling | None:
    """Return the meaning of an argument's old name, unless the class itself has that name."""
    row = find(owner, name)
    if row is None or cls is None:
        return row
    return None if name in accepted(cls if callable(cls) else type(cls)).defaults else row


def understood(init: Callable[P, R]) -> Callable[P, R]:
    """Let a class' ``__init__`` take the old spellings of its arguments too."""
    owner = init.__qualname__.partition(".")[0]

    @functools.wraps(init)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if any(find(owner, name) for name in kwargs):
            kwargs = arguments(owner, kwargs, None)  # type: ignore[assignment]
        return init(*args, **kwargs)

    return wrapper


def value_of(owner: str, value: str, *, where: str) -> str:
    """Return the name that stands for an old one as the value of a parameter, with a warning."""
    row = find(owner, value)
    if row is None:
        return value
    warn(f"{where}={value!r}", f"{where}={row.new!r}", row)
    return row.new


def warn(old: str, new: str, row: Spelling, *, more: str = "") -> None:
    """Say what to write now, at the line that called skcb or scikit-learn.

    The text holds no values that a search varies, so that it is said once for a search.
    """
    write = f": write `{new}`." if new else "."
    text = " ".join(filter(None, [f"`{old}` is an old spelling{write}", row.note, more]))
    level, place = _outside()
    if (text, *place) in _SAID and _action(text, place) == "default":
        return
    _SAID[(text, *place)] = None
    while len(_SAID) > _BOUND:
        _SAID.pop(next(iter(_SAID)), None)
    warnings.warn(text, FutureWarning, stacklevel=level + 1)


_BOUND = 256
_SAID: dict[tuple[str, str, int], None] = {}
"""What was said where, at most ``_BOUND`` of them. Python keeps the same ("default" is once a
place), but forgets it whenever filters are touched, which scikit-learn does for every candidate."""


def _outside() -> tuple[int, tuple[str, int]]:
    """Return how many frames above the caller the user's own is, its module and its line."""
    frame, level = inspect.currentframe(), -1
    while frame is not None and frame.f_back is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in ("skcb", "sklearn", "joblib", "functools", "contextlib"):
            break
        frame, level = frame.f_back, level + 1
    assert frame is not None
    return level, (str(frame.f_globals.get("__name__", "")), frame.f_lineno)


def _action(text: str, place: tuple[str, int]) -> str:
    """Return what Python would do with the warning: the first filter that fits says it."""
    module, line = place
    for action, message, category, where, number in warnings.filters:
        fits = issubclass(FutureWarning, category) and number in (0, line)
        named = [(message, text), (where, module)]
        if fits and all(p is None or re.match(p, value) for p, value in named):
            return str(action)
    return "default"
