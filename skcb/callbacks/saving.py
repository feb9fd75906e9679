"""Recipes for the callbacks that save a model as training goes on.

Owns one recipe a class, with what its values may be. Leaves building to ``recipe``, and the backup
from which a training goes on to ``backup``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from skcb._spellings import understood
from skcb.callbacks.ranges import (
    BOOLEAN,
    FINITE,
    MODE,
    NONE,
    SAVE_FREQ,
    TEXT,
    VERBOSE,
    Allowed,
    Ranges,
    integer,
)
from skcb.callbacks.recipe import CallbackRecipe

_EPOCHS = re.compile(r"([1-9]\d*) epochs")
_SOME_EPOCHS = Allowed("'5 epochs'", lambda v: isinstance(v, str) and bool(_EPOCHS.fullmatch(v)))


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
    save_freq : "epoch", "N epochs" or int, default="epoch"
        "5 epochs" looks up after every fifth; an integer counts batches.
    initial_value_threshold : float, optional
        The value that the first save must beat.

    Examples
    --------
    >>> from skcb.callbacks import ModelCheckpoint
    >>> ModelCheckpoint("runs/{run}/best.keras", save_best_only=True)
    ModelCheckpoint(filepath='runs/{run}/best.keras', save_best_only=True)
    """

    ALLOWED = Ranges(
        monitor=TEXT,
        verbose=VERBOSE,
        save_best_only=BOOLEAN,
        save_weights_only=BOOLEAN,
        mode=MODE,
        save_freq=SAVE_FREQ | _SOME_EPOCHS,
        initial_value_threshold=FINITE | NONE,
    )

    @understood
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

    def construct(self, given: Mapping[str, Any], settings: Mapping[str, Any], where: str) -> Any:
        """Call Keras' class, or the one that counts epochs."""
        arguments = {**given, **settings}
        some = _EPOCHS.fullmatch(str(arguments.get("save_freq")))
        if some is None:
            return super().construct(given, settings, where)
        from skcb.callbacks import live_saving  # here, because Keras loads with it

        return live_saving.ModelCheckpoint(
            every=int(some[1]), **{**arguments, "save_freq": "epoch"}
        )


class OrbaxCheckpoint(CallbackRecipe):
    """Save the training state in the background: ``keras.callbacks.OrbaxCheckpoint``.

    Needs the package ``orbax-checkpoint``; without it ``fit`` raises ImportError.

    Parameters
    ----------
    directory : str or path
        Where to save; ``{run}`` as in :class:`ModelCheckpoint`.
    monitor : str, default="val_loss"
        What decides which model is best.
    verbose : int, default=0
        Whether Keras tells of each save.
    save_best_only : bool, default=False
        Whether to save only when the monitor improves.
    mode : {"auto", "min", "max"}, default="auto"
        Whether lower or higher is better.
    save_freq : "epoch" or int, default="epoch"
        An integer counts batches.
    initial_value_threshold : float, optional
        The value that the first save must beat.
    max_to_keep : int or None, default=1
        How many of the last checkpoints stay; None keeps all.
    save_on_background : bool, default=True
        Whether training goes on while a checkpoint is written.
    save_weights_only : bool, default=False
        Whether to leave out the optimizer's state.

    Examples
    --------
    >>> from skcb.callbacks import OrbaxCheckpoint
    >>> OrbaxCheckpoint("runs/{run}/orbax", max_to_keep=3)
    OrbaxCheckpoint(directory='runs/{run}/orbax', max_to_keep=3)
    """

    NEEDS = ("orbax-checkpoint", "orbax")
    ALLOWED = Ranges(
        monitor=TEXT,
        verbose=VERBOSE,
        save_best_only=BOOLEAN,
        mode=MODE,
        save_freq=SAVE_FREQ,
        initial_value_threshold=FINITE | NONE,
        max_to_keep=integer(1) | NONE,
        save_on_background=BOOLEAN,
        save_weights_only=BOOLEAN,
    )

    def __init__(
        self,
        directory: Any,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
        max_to_keep: int | None = 1,
        save_on_background: bool = True,
        save_weights_only: bool = False,
    ) -> None:
        self.directory = directory
        self.monitor = monitor
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.mode = mode
        self.save_freq = save_freq
        self.initial_value_threshold = initial_value_threshold
        self.max_to_keep = max_to_keep
        self.save_on_background = save_on_background
        self.save_weights_only = save_weights_only
