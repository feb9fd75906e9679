"""Roads: how a fit's epochs are run, and why so.

Owns the choice between a compiled call an epoch, the same program batch by batch, and Keras' own
functions. Leaves the running to ``program``, ``steps`` and ``fits``. TensorFlow is loaded here only
where Keras runs on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras

from skcb.engine import fits
from skcb.engine.steps import KerasSteps

_BATCH_HOOKS = (
    "on_batch_begin",
    "on_batch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_batch_begin",
    "on_test_batch_end",
)


class Road(NamedTuple):
    """What runs the epochs: ``steps``, whether batch by batch, and the reason in one line."""

    steps: Any
    by_batch: bool
    why: str


def choose(
    model: Any,
    callbacks: Mapping[str, Any],
    *,
    engine: str,
    verbose: Any = 0,
    sparse: bool = False,
    fed: bool = False,
) -> Road:
    """Choose the fastest road that gives Keras' own numbers.

    Parameters
    ----------
    model : keras.Model
        Compiled and built.
    callbacks : mapping of str to keras.callbacks.Callback
    engine : {"auto", "keras"}
    verbose : int
        A progress bar wants its batches.
    sparse : bool, default=False
        Whether rows are sparse, which become dense a batch at a time.
    fed : bool, default=False
        Whether a dataset makes the batches.

    Raises
    ------
    ValueError
        A dataset, and no TensorFlow.
    """
    reason = 'engine="keras"' if engine == "keras" else None
    needs_batches = _needs_batches(callbacks, verbose)
    if sparse:
        needs_batches = needs_batches or "sparse rows become dense a batch at a time"
    if fed:
        reason = "a dataset makes the batches"
    if not _on_tensorflow():
        if fed:
            raise ValueError(
                f"datasets and generators train on TensorFlow alone, and the backend is "
                f"{keras.config.backend()!r}: give arrays."
            )
        reason = reason or f"the backend is {keras.config.backend()!r}"
        return Road(fits.KerasFits(model), needs_batches is not None, f"keras: {reason}")
    from skcb.engine import pool, program  # here, because TensorFlow loads with them

    reason = reason or _needs_keras(model)
    if reason is not None:
        road = Road(KerasSteps(model), True, f"keras: {reason}")
    elif needs_batches is not None:
        bound = program.Bound(model, pool.borrow)
        road = Road(bound, True, f"batch by batch: {needs_batches}")
    else:
        bound = program.Bound(model, pool.borrow)
        road = Road(bound, False, "whole epochs: no callback needs batches")
    pool.note_road(road.why.partition(":")[0])
    return road


def for_prediction(model: Any, trained_by: Any = None) -> Any:
    """Return what predicts with a trained model; what trained it, where that can."""
    if not _on_tensorflow():
        return trained_by or fits.KerasFits(model)
    from skcb.engine import pool, program

    if _needs_keras(model) is not None or not program.predicts_as_keras(model):
        return KerasSteps(model)
    if isinstance(trained_by, program.Bound):
        return trained_by
    return program.Bound(model, pool.borrow)


def _on_tensorflow() -> bool:
    return bool(keras.config.backend() == "tensorflow")


def _needs_keras(model: Any) -> str | None:
    """Say what a program cannot do faithfully, or None."""
    from skcb.engine import program

    if model.run_eagerly or program.runs_eagerly():
        return "the model runs eagerly"
    if model.jit_compile:
        return "jit_compile=True"
    for name in ("make_train_function", "make_test_function", "fit", "evaluate"):
        if getattr(type(model), name) is not getattr(keras.Model, name) or name in vars(model):
            return f"the model has a `{name}` of its own"
    if type(model.distribute_strategy).__name__ != "_DefaultDistributionStrategy":
        return "a distribution strategy"
    return None


def _needs_batches(callbacks: Mapping[str, Any], verbose: Any) -> str | None:
    """Say what needs the batches, or None."""
    for name, callback in callbacks.items():
        hook = _batch_hook(callback)
        if hook is not None:
            return f"callback {name!r} has `{hook}`"
    return "verbose=1 shows them" if verbose == 1 else None


def _batch_hook(callback: Any) -> str | None:
    """Return the batch hook that a callback needs, or None."""
    kinds = keras.callbacks
    for name in _BATCH_HOOKS:
        hook = getattr(callback, name)
        hook = getattr(hook, "__func__", hook)
        if hook is getattr(kinds.Callback, name):
            continue
        saves = (kinds.ModelCheckpoint, kinds.BackupAndRestore)
        if any(hook is getattr(kind, name) for kind in saves) and callback.save_freq == "epoch":
            continue
        if hook is getattr(kinds.TerminateOnNaN, name):  # the program looks for it
            continue
        if hook is getattr(kinds.TensorBoard, name) and _counts_epochs(callback):
            continue
        return name
    return None


def _counts_epochs(board: Any) -> bool:
    """Tell whether a TensorBoard looks at epochs only: no batches written, nothing profiled.

    Whether it was told to profile it keeps in ``_should_trace`` alone; test_roads.py notices if
    that goes.
    """
    by_batch = board._should_trace or board.write_steps_per_second
    return board.update_freq == "epoch" and not by_batch
