"""Lending: what the live callbacks of a fit borrow while it runs, and give back.

Owns who gets what: the rows and the estimator for scorers, ``validation_data`` for callbacks of
the user's own. Leaves the building of callbacks to ``_callbacks`` and their use of it to
themselves.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from skcb._data import Data
from skcb._view import View
from skcb.engine.state import Rows, TrainingState, first_array

_OURS = ("keras", "skcb")
"""Packages whose callbacks read no ``validation_data``."""


def in_order(live: Mapping[str, Any]) -> list[Any]:
    """Return the callbacks in the order of their hooks.

    What makes scores comes first, since the others read them. What removes a backup at the end of
    training comes after those that may still fail, and last what raises there on purpose.
    """
    return sorted(live.values(), key=_rank)


def _rank(callback: Any) -> int:
    if hasattr(callback, "borrow"):
        return 0
    if hasattr(callback, "claim"):
        return 2
    return 3 if getattr(callback, "raises_at_the_end", False) else 1


def lend(
    estimator: Any,
    state: TrainingState,
    live: Mapping[str, Any],
    train: Data | None,
    watched: Data | None,
) -> None:
    """Hand the callbacks what they need in a fit.

    Parameters
    ----------
    estimator : BaseKerasEstimator
    state : TrainingState
    live : mapping of str to keras.callbacks.Callback
    train, watched : Data or None
        The rows, not encoded.

    Raises
    ------
    ValueError, TypeError
        Something that cannot be scored, or a score whose name is taken.
    """
    view = View(estimator, state, train, watched)
    taken = _metric_names(state)
    for name, callback in live.items():
        if hasattr(callback, "borrow"):
            callback.borrow(view, where=f"callbacks__{name}")
            _refuse_taken(callback.logged, taken, f"callbacks__{name}")
        elif _reads_rows(callback):
            rows = state.watched
            callback.validation_data = _as_list(rows) if isinstance(rows, Rows) else None


def take_back(live: Mapping[str, Any]) -> None:
    """Take from the callbacks what was lent, so that none holds rows after its fit."""
    for callback in live.values():
        if hasattr(callback, "give_back"):
            callback.give_back()
        elif isinstance(vars(callback).get("validation_data"), Lent):
            callback.validation_data = None


class Lent(list[Any]):
    """``validation_data`` as Keras 2 gave it to callbacks: inputs, targets, weights."""


def _as_list(rows: Rows) -> Lent:
    weight = rows.sample_weight
    outputs = rows.y if isinstance(rows.y, list | tuple | dict) else [rows.y]
    if weight is None:
        weight = np.ones(len(rows), "float32")
    return Lent([*_flat(rows.x), *_flat(rows.y), *[weight] * len(outputs)])


def _flat(values: Any) -> list[Any]:
    if isinstance(values, dict):
        values = list(values.values())
    if isinstance(values, list | tuple):
        return [array for value in values for array in _flat(value)]
    return [first_array(values)]


def _reads_rows(callback: Any) -> bool:
    """Tell whether a callback is the user's own and brings no ``validation_data`` itself."""
    if type(callback).__module__.partition(".")[0] in _OURS:
        return False
    of_class = inspect.getattr_static(type(callback), "validation_data", None)
    return of_class is None and getattr(callback, "validation_data", None) is None


def _metric_names(state: TrainingState) -> dict[str, str]:
    """Return names that the model logs, with what logs them, as far as they are known by now."""
    names = {"loss", *(metric.name for metric in state.model.metrics)}
    try:
        names |= set(state.model.get_metrics_result())
    except ValueError:  # metrics that are built at the first batch
        pass
    names |= {f"val_{name}" for name in names}
    return dict.fromkeys(names, "the model's own metrics")


def _refuse_taken(logged: list[str], taken: dict[str, str], where: str) -> None:
    """Refuse a score under a name that something else logs."""
    for name in logged:
        if name in taken:
            raise ValueError(
                f"`{where}` would log {name!r}, which {taken[name]} log too: give another "
                f"`{where}__name`, or name its scores by a dict of name to scorer."
            )
        taken[name] = f"the scores of `{where}`"
