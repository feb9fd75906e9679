"""Loop: a fit as a generator of epochs.

Owns the order of what happens in an epoch: learning rate, hooks, training, evaluation, history,
the check for NaN, and what ended training. ``fit`` drains the generator; whoever wants folds in
lock-step takes an epoch from each. Leaves arithmetic to ``program``, ``steps`` and the callbacks'
own behaviour to Keras.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from skcb._clock import refuse_late
from skcb.engine.state import TrainingState
from skcb.exceptions import NonFiniteLoss
from skcb.schedules import Schedule


def epochs(state: TrainingState) -> Iterator[dict[str, float]]:
    """Advance a state, an epoch at a time.

    Yields
    ------
    dict of str to float
        The logs of the epoch that has just ended. The state can be kept, and advanced by a new
        generator later.

    Raises
    ------
    NonFiniteLoss
        The loss is not finite, and no TerminateOnNaN is there to deal with it.
    OutOfTime
        A deadline in force has passed before the next epoch.
    """
    begin(state)
    while state.epoch < state.epochs and not state.stopped:
        yield advance(state)


def begin(state: TrainingState) -> None:
    """Begin training, once."""
    if not state.begun:
        refuse_late()
        state.model.stop_training = False
        state.callbacks.on_train_begin()
        state.begun = True
        if state.backup is not None:
            state.backup.restore(state)


def stop(state: TrainingState, by: str) -> None:
    """Train no further epoch, on behalf of whoever was first to say so."""
    state.stopped_by = state.stopped_by or by
    state.model.stop_training = True


def finish(state: TrainingState, by: str | None = None) -> None:
    """End a fit as Keras ends it: averaged weights put in place, ``on_train_end`` called.

    ``by`` says what ends one that has epochs left and has not been stopped.
    """
    model = state.model
    begin(state)  # of a fit of no epochs
    if state.stopped_by in (None, "max_time"):
        state.stopped_by = "epochs" if state.epoch >= state.epochs else state.stopped_by or by
    if state.epochs > state.initial_epoch:
        model.optimizer.finalize_variable_values(model.trainable_weights)
    state.callbacks.on_train_end(state.logs)
    state.steps.drop_rows()


def learning_rate(model: Any) -> float:
    """Return the learning rate of the last step that a model took."""
    import keras

    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    rate = optimizer.learning_rate
    if not isinstance(rate, keras.Variable):
        # A schedule object counts steps, and the optimizer has counted the last one already. The
        # public `iterations` is no variable where gradients are added up over several steps;
        # test_loop.py notices if the name goes.
        steps = optimizer._iterations
        done = int(steps)
        steps.assign(max(done - 1, 0))
        rate = optimizer.learning_rate
        steps.assign(done)
    return float(rate)


def advance(state: TrainingState) -> dict[str, float]:
    """Train one epoch, be it beyond ``epochs``, and return its logs."""
    begin(state)
    refuse_late()
    steps, model, epoch = state.steps, state.model, state.epoch
    rates = _scheduled(state)
    if rates is not None:
        model.optimizer.learning_rate = float(rates[0])
    state.callbacks.on_epoch_begin(epoch)
    logs = steps.train_epoch(
        state.train,
        _order(state),
        state.batch_size,
        state.callbacks,
        by_batch=state.by_batch,
        rates=None if rates is None or len(rates) == 1 else rates.astype(np.float32),
    )
    rate = learning_rate(model)
    if state.watched is not None and _is_watched(epoch, state.validation_freq):
        found = steps.evaluate(
            state.watched, state.validation_batch_size, state.callbacks, by_batch=state.by_batch
        )
        logs |= {f"val_{name}": value for name, value in found.items()}
        state.watched_epochs.append(epoch - state.initial_epoch)
    _refuse_nan(state, rate, logs)
    state.callbacks.on_epoch_end(epoch, logs)
    _note_plateau(state, rate)
    state.logs = logs
    state.learning_rates.append(rate)
    if model.stop_training:
        stop(state, state.callbacks.stopper(logs))
    elif state.out_of_time:
        stop(state, "max_time")
    state.epoch += 1
    if state.backup is not None:
        state.backup.save(state)
    return logs


def _order(state: TrainingState) -> np.ndarray:
    n = len(state.train)
    return np.arange(n) if state.order is None else state.order.permutation(n)


def _is_watched(epoch: int, freq: Any) -> bool:
    """Tell whether the watched rows are evaluated, by Keras' rule for ``validation_freq``."""
    return (epoch + 1) in freq if isinstance(freq, list | tuple | set) else (epoch + 1) % freq == 0


def _scheduled(state: TrainingState) -> np.ndarray | None:
    """Return the learning rate of the epoch, or those of its steps, where there is a schedule.

    It is the schedule's times the plateaus' factors, not below ``min_lr``.
    """
    schedule = state.schedule
    if schedule is None:
        return None
    now = (state.epoch, state.learning_rate, state.epochs)
    if isinstance(schedule, Schedule) and schedule.by_batch():
        rates = schedule.rates(*now, n_steps=-(-len(state.train) // state.batch_size))
    else:
        rates = np.array([schedule(*now)])
    if state.plateau_factor != 1.0:
        rates = np.maximum(rates * state.plateau_factor, np.minimum(state.min_lr, rates))
    return rates


def _note_plateau(state: TrainingState, before: float) -> None:
    """Keep what the callbacks did to the learning rate at the end of the epoch.

    The schedule sets it anew in the next epoch, so a factor that is not kept would be lost.
    """
    if state.schedule is None:
        return
    after = learning_rate(state.model)
    if after == before or before <= 0.0:
        return
    # Where the lowest rate cut a reduction short, the ratio is not the plateau's factor.
    cut = state.min_lr > 0.0 and math.isclose(after, state.min_lr, rel_tol=1e-6)
    state.plateau_factor *= state.reduction if cut else after / before


def _refuse_nan(state: TrainingState, rate: float, logs: dict[str, Any]) -> None:
    losses = [logs.get("loss"), logs.get("val_loss")]
    if state.raise_on_nan and any(v is not None and not math.isfinite(v) for v in losses):
        raise NonFiniteLoss(state.epoch, rate, _numbers(logs), _numbers(state.logs))


def _numbers(logs: dict[str, Any] | None) -> Any:
    return logs and {name: v for name, v in logs.items() if isinstance(v, float)}
