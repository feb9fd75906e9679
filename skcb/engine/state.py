"""State: all that a running fit is.

Owns the rows that train and are watched, and the numbers that change from epoch to epoch. Leaves
advancing it to ``loop`` and the arithmetic of an epoch to ``program``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.sparse import issparse

from skcb._clock import Clock
from skcb.engine.feed import Feed
from skcb.schedules import RateOfEpoch


@dataclass(frozen=True)
class Rows:
    """Rows as the model sees them.

    Attributes
    ----------
    x, y : ndarray or CSR matrix, or list or dict of them
        Inputs and encoded targets; first axis is rows. What is sparse becomes dense a batch at a
        time.
    sample_weight : ndarray of shape (n,) or None
    """

    x: Any
    y: Any
    sample_weight: np.ndarray | None = None

    def __len__(self) -> int:
        return int(first_array(self.x).shape[0])

    @property
    def sparse(self) -> bool:
        """Whether any part is sparse."""
        return is_sparse((self.x, self.y))

    def batch(self, rows: Any) -> tuple[Any, ...]:
        """Return (x, y) or (x, y, sample_weight) of some rows, as ``train_step`` takes them."""
        parts = (self.x, self.y, self.sample_weight)[: 2 if self.sample_weight is None else 3]
        return tuple(taken(part, rows) for part in parts)

    def batches(self, order: np.ndarray, batch_size: int) -> Iterator[tuple[Any, ...]]:
        """Yield the batches of an epoch."""
        for start in range(0, len(order), batch_size):
            yield self.batch(order[start : start + batch_size])


def first_array(values: Any) -> Any:
    """Return the first array of a structure."""
    while isinstance(values, dict | list | tuple):
        values = next(iter(values.values())) if isinstance(values, dict) else values[0]
    return values


def taken(values: Any, rows: Any) -> Any:
    """Take rows of each array of a structure; they are dense."""
    if isinstance(values, dict):
        return {name: taken(value, rows) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return type(values)(taken(value, rows) for value in values)
    part = values[rows]
    return part.toarray() if issparse(part) else part


def is_sparse(values: Any) -> bool:
    """Tell whether any array of a structure is sparse."""
    if isinstance(values, dict):
        values = list(values.values())
    if isinstance(values, list | tuple):
        return any(map(is_sparse, values))
    return bool(issparse(values))


@dataclass
class TrainingState:
    """All that a running fit is; advanced by ``loop.epochs``, an epoch at a time.

    Attributes
    ----------
    model : keras.Model
        This fit's own.
    steps : Bound or KerasSteps
        What trains and evaluates it.
    by_batch : bool
        Whether a callback needs the batches.
    callbacks : Hooks
        The live callbacks of this fit.
    train, watched : Rows, Feed or None
        Of a feed, a batch counts as a row.
    epochs, initial_epoch : int
    max_time : float or None
        Seconds of this fit after which no epoch is begun.
    batch_size, validation_batch_size : int
    validation_freq : int or list of int
        As in ``Model.fit``.
    order : numpy.random.Generator or None
        Draws the order of each epoch; None keeps the rows as they are.
    schedule : function of (epoch, lr, epochs), or None
        A :class:`skcb.schedules.Schedule` may give each step of an epoch a rate of its own.
    learning_rate : float
        The optimizer's own, from which the schedule starts.
    plateau_factor : float
        Product of the factors by which callbacks lowered the learning rate so far.
    min_lr, reduction : float
        Lowest learning rate of schedule and plateaus together, and the factor of the plateau
        that has it.
    raise_on_nan : bool
        False where TerminateOnNaN is among the callbacks.
    epoch : int
        Epochs done, counted from ``initial_epoch``; index of the next one.
    begun : bool
    stopped_by : str or None
        Which parameter has ended training; None while it goes on.
    learning_rates : list of float
        Of the last step of each epoch.
    watched_epochs : list of int
        Position in the history of the epochs that were evaluated.
    logs : dict
        Of the last epoch.
    backup : object or None
        What restores a killed fit when this one begins, and saves it after each epoch.
    clock : Clock
        Runs while this fit is at work.
    """

    model: Any
    steps: Any
    by_batch: bool
    callbacks: Any
    train: Rows | Feed
    watched: Rows | Feed | None
    epochs: int
    batch_size: int
    validation_batch_size: int
    initial_epoch: int = 0
    max_time: float | None = None
    validation_freq: Any = 1
    order: np.random.Generator | None = None
    schedule: RateOfEpoch | None = None
    learning_rate: float = 0.0
    plateau_factor: float = 1.0
    min_lr: float = 0.0
    reduction: float = 1.0
    raise_on_nan: bool = True
    epoch: int = 0
    begun: bool = False
    stopped_by: str | None = None
    learning_rates: list[float] = field(default_factory=list)
    watched_epochs: list[int] = field(default_factory=list)
    logs: dict[str, float] | None = None
    backup: Any = None
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.epoch = self.initial_epoch

    @property
    def stopped(self) -> bool:
        """Whether no further epoch is trained, however many there are."""
        return self.stopped_by is not None

    @property
    def out_of_time(self) -> bool:
        """Whether this fit has taken as long as it may."""
        return self.max_time is not None and self.clock.seconds >= self.max_time

    @property
    def history(self) -> dict[str, list[float]]:
        """Keras' history, with what callbacks logged, and ``learning_rate``."""
        kept = {name: list(values) for name, values in self.model.history.history.items()}
        return {**kept, "learning_rate": list(self.learning_rates)}
