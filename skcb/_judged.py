"""Judged: the values that say how a fit trains, checked before the first epoch.

Owns the ranges of epochs, batch sizes, frequencies and flags, and what may be given for
predictions. Leaves which value wins to ``_routing``.
"""

from __future__ import annotations

import numbers
from typing import Any, NamedTuple

import numpy as np

from skcb._routing import Routed


class Judged(NamedTuple):
    """How a fit trains.

    Attributes
    ----------
    epochs, initial_epoch : int
    max_time : float or None
    batch_size, validation_batch_size : int
        Resolved: never None or -1.
    validation_freq : int or list of int
    shuffle : bool
    engine : str
    verbose : int
    """

    epochs: int
    initial_epoch: int
    max_time: float | None
    batch_size: int
    validation_batch_size: int
    validation_freq: Any
    shuffle: bool
    engine: str
    verbose: int


def judge(routed: Routed, n_rows: int) -> Judged:
    """Check the values of a fit on so many rows.

    Raises
    ------
    ValueError
        A value out of range; the message names it and says the range.
    """
    named, fit = routed.named, routed.fit
    epochs, first = epochs_of(routed)
    size = batch_size("batch_size", fit.get("batch_size", named["batch_size"]), n_rows)
    batch_size("predict__batch_size", routed.predict.get("batch_size"), n_rows)
    predict_callbacks("predict__callbacks", routed.predict.get("callbacks"))
    _verbose("predict__verbose", routed.predict.get("verbose", 0))
    watched_size = fit.get("validation_batch_size") or size
    return Judged(
        epochs=epochs,
        initial_epoch=first,
        max_time=seconds("max_time", named["max_time"]),
        batch_size=size,
        validation_batch_size=integer("validation_batch_size", watched_size, 1),
        validation_freq=_frequency(fit.get("validation_freq", 1)),
        shuffle=boolean("shuffle", named["shuffle"]),
        engine=_engine(named["engine"]),
        verbose=_verbose("verbose", fit.get("verbose", named["verbose"])),
    )


def epochs_of(routed: Routed) -> tuple[int, int]:
    """Return how many epochs there are, and the index of the first."""
    return (
        integer("epochs", routed.named["epochs"], 0),
        integer("initial_epoch", routed.fit.get("initial_epoch", 0), 0),
    )


def integer(name: str, value: Any, least: int) -> int:
    """Return an integer of at least so much."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"`{name}` must be an integer of at least {least} but got {value!r}.")
    return int(value)


def seconds(name: str, value: Any) -> float | None:
    """Return a number of seconds; None is no limit, and infinity is none either."""
    if value is None:
        return None
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not value > 0:
        raise ValueError(
            f"`{name}` must be a positive number (of seconds) or None but got {value!r}."
        )
    return float(value)


def batch_size(name: str, value: Any, n: int) -> int:
    """Resolve a batch size: None is Keras' 32, -1 all rows."""
    if value is None:
        return 32
    if isinstance(value, numbers.Integral) and value == -1:
        return max(n, 1)
    try:
        return integer(name, value, 1)
    except ValueError as error:
        raise ValueError(
            f"`{name}` must be a positive integer, -1 (all rows) or None (32) but got {value!r}."
        ) from error


def _frequency(value: Any) -> Any:
    """Check ``validation_freq``: every so many epochs, or a list of epochs counted from 1."""
    if isinstance(value, list | tuple | set):
        return [integer("validation_freq", epoch, 1) for epoch in value]
    return integer("validation_freq", value, 1)


def _engine(value: Any) -> str:
    if value not in ("auto", "keras"):
        raise ValueError(f"`engine` must be 'auto' or 'keras' but got {value!r}.")
    return str(value)


def boolean(name: str, value: Any) -> bool:
    """Return a flag."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"`{name}` must be True or False but got {value!r}.")
    return bool(value)


def predict_callbacks(name: str, value: Any) -> None:
    """Check the callbacks of a prediction, which Keras takes live."""
    if value is None:
        return
    import keras

    for each in keras.tree.flatten(value):
        if not isinstance(each, keras.callbacks.Callback):
            raise ValueError(
                f"`{name}` must be an instance of keras.callbacks.Callback, or a list of them, but "
                f"got {each!r}."
            )


def _verbose(name: str, value: Any) -> int:
    if isinstance(value, str) and value == "auto":
        return 1
    if value not in (0, 1, 2):
        raise ValueError(f"`{name}` must be 0, 1, 2 or 'auto' but got {value!r}.")
    return int(value)
