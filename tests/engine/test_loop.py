"""The loop: what happens in an epoch, in which order, on a fake that records it."""

import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from skcb.engine import loop
from skcb.engine.hooks import Hooks
from skcb.engine.state import Rows, TrainingState
from skcb.exceptions import NonFiniteLoss
from skcb.schedules import PolynomialDecay


class FakeSteps:
    """Logs what it is told to, and records in which order it was asked."""

    def __init__(self, model, losses, seen):
        self.model, self.losses, self.seen = model, iter(losses), seen
        self.orders, self.rates = [], []

    def train_epoch(self, rows, order, batch_size, callbacks, *, by_batch, rates=None):
        """Return the next loss; the last rate stays."""
        self.seen.append("train")
        if rates is not None:
            self.rates.append(rates)
            self.model.optimizer.learning_rate = rates[-1]
        self.orders.append(order)
        return {"loss": next(self.losses)}

    def evaluate(self, rows, batch_size, callbacks, *, by_batch):
        """Return a loss of one."""
        self.seen.append("evaluate")
        return {"loss": 1.0}

    def drop_rows(self):
        """Keep nothing."""


class Recorder(keras.callbacks.Callback):
    """Writes down its epoch hooks."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def on_train_begin(self, logs=None):
        """Record."""
        self.seen.append("train begin")

    def on_epoch_begin(self, epoch, logs=None):
        """Record."""
        self.seen.append(f"begin {epoch}")

    def on_epoch_end(self, epoch, logs=None):
        """Record."""
        self.seen.append(f"end {epoch}")

    def on_train_end(self, logs=None):
        """Record."""
        self.seen.append("train end")


class Lowers(keras.callbacks.Callback):
    """Halves the learning rate at the end of given epochs, as ReduceLROnPlateau does."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def on_epoch_end(self, epoch, logs=None):
        """Halve."""
        if epoch in self.at:
            rate = float(self.model.optimizer.learning_rate.numpy())
            self.model.optimizer.learning_rate = rate / 2


def state_of(losses, *, callbacks=(), **options):
    """Build a state on a fake that logs these losses."""
    seen = options.pop("seen", [])
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    hooks = Hooks(dict(enumerate(callbacks)), model, epochs=len(losses), verbose=0)
    rows = Rows(np.zeros((4, 1)), np.zeros((4, 1)))
    options = {"watched": None, "learning_rate": 0.1, **options}
    return TrainingState(
        model=model,
        steps=FakeSteps(model, losses, seen),
        by_batch=False,
        callbacks=hooks,
        train=rows,
        epochs=len(losses),
        batch_size=2,
        validation_batch_size=2,
        **options,
    )


def drained(state):
    """Run all epochs of a state and end it."""
    for _ in loop.epochs(state):
        pass
    loop.finish(state)
    return state


def test_hooks_and_steps_come_in_keras_order():
    """An epoch begins, trains, is evaluated and ends; training begins and ends once."""
    seen = []
    state = state_of([1.0, 0.5], callbacks=[Recorder(seen)], seen=seen)
    state.watched = state.train
    drained(state)
    epoch = ["begin {}", "train", "evaluate", "end {}"]
    expected = [step.format(e) for e in range(2) for step in epoch]
    assert seen == ["train begin", *expected, "train end"]


def test_generator_can_be_dropped_and_taken_up_again():
    """A state goes on with a new generator where the old one was left."""
    seen = []
    state = state_of([1.0, 0.5, 0.25], callbacks=[Recorder(seen)], seen=seen)
    next(loop.epochs(state))
    assert state.epoch == 1
    assert list(loop.epochs(state)) == [{"loss": 0.5}, {"loss": 0.25}]
    assert seen.count("train begin") == 1


def test_stop_training_ends_after_this_epoch():
    """A callback that stops training ends it at the end of its epoch."""
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(stop.model, "stop_training", epoch == 1)
    )
    assert drained(state_of([1.0] * 5, callbacks=[stop])).epoch == 2


@pytest.mark.parametrize("freq, expected", [(1, [0, 1, 2, 3]), (2, [1, 3]), ([1, 4], [0, 3])])
def test_validation_freq_chooses_the_epochs_that_are_evaluated(freq, expected):
    """An integer means every so many epochs, a list the epochs counted from one."""
    state = state_of([1.0] * 4, validation_freq=freq)
    state.watched = state.train
    assert drained(state).watched_epochs == expected


def test_each_epoch_has_an_order_of_its_own():
    """Orders are permutations, differ between epochs and follow the generator's seed."""
    states = [drained(state_of([1.0] * 3, order=np.random.default_rng(5))) for _ in range(2)]
    orders = states[0].steps.orders
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    np.testing.assert_array_equal(orders, states[1].steps.orders)


def test_schedule_sets_the_rate_before_each_epoch():
    """The history holds the schedule's values."""
    state = drained(state_of([1.0] * 3, schedule=lambda epoch, lr, epochs: lr / (1 + epoch)))
    np.testing.assert_allclose(state.learning_rates, [0.1, 0.05, 0.1 / 3], rtol=1e-6)


def test_schedule_and_plateau_multiply():
    """A rate that a callback halved stays halved while the schedule goes on."""
    state = state_of(
        [1.0] * 4, callbacks=[Lowers({0, 2})], schedule=lambda epoch, lr, epochs: lr / (1 + epoch)
    )
    rates = drained(state).learning_rates
    expected = [0.1, 0.1 / 2 / 2, 0.1 / 3 / 2, 0.1 / 4 / 4]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)


def test_min_lr_holds_for_the_product():
    """Schedule and plateaus together do not go below the lowest rate."""
    state = state_of(
        [1.0] * 3,
        callbacks=[Lowers({0})],
        schedule=lambda epoch, lr, epochs: lr / (1 + epoch),
        min_lr=0.02,
    )
    np.testing.assert_allclose(drained(state).learning_rates, [0.1, 0.025, 0.02], rtol=1e-6)


def falling(lr, done):
    """Return what a straight line from lr to 0 is after some of 6 steps."""
    return lr * (1 - np.asarray(done) / 6)


def test_schedule_by_batch_gives_each_step_a_rate():
    """Three epochs of two steps; the optimizer has the first rate when an epoch begins."""
    seen = []
    note = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(loop.learning_rate(note.model))
    )
    state = drained(state_of([1.0] * 3, callbacks=[note], schedule=PolynomialDecay(per="batch")))
    np.testing.assert_allclose(state.steps.rates, falling(0.1, [[0, 1], [2, 3], [4, 5]]), rtol=1e-6)
    assert {rates.dtype for rates in state.steps.rates} == {np.dtype("float32")}
    np.testing.assert_allclose(state.learning_rates, falling(0.1, [1, 3, 5]), rtol=1e-6)
    np.testing.assert_allclose(seen, falling(0.1, [0, 2, 4]), rtol=1e-6)


def test_schedule_by_epoch_gives_the_steps_no_rates():
    """The optimizer has one rate for all of them."""
    assert drained(state_of([1.0] * 3, schedule=PolynomialDecay())).steps.rates == []


def test_plateau_and_lowest_rate_hold_for_each_step():
    """From the second epoch on every step has half the schedule's rate, or the lowest."""
    state = state_of(
        [1.0] * 3, callbacks=[Lowers({0})], schedule=PolynomialDecay(per="batch"), min_lr=0.02
    )
    halved = np.maximum(falling(0.1, [[2, 3], [4, 5]]) / 2, 0.02)
    halved[1, 1] = falling(0.1, 5)  # the schedule itself is below the lowest
    np.testing.assert_allclose(drained(state).steps.rates[1:], halved, rtol=1e-6)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_loss_that_is_not_finite_is_an_error_with_its_epoch(loss):
    """The error has epoch, learning rate and the last finite values."""
    with pytest.raises(NonFiniteLoss, match="epoch 1") as error:
        drained(state_of([0.5, loss, 0.5]))
    assert error.value.last_finite == {"loss": 0.5}
    assert error.value.learning_rate == pytest.approx(0.1)


def test_loss_that_is_not_finite_can_be_left_to_a_callback():
    """With TerminateOnNaN the loop lets it pass."""
    assert drained(state_of([math.nan, 1.0], raise_on_nan=False)).epoch == 2


def test_history_has_keras_keys_and_the_rate():
    """The history is Keras' own, with the learning rate of each epoch."""
    history = drained(state_of([1.0, 0.5])).history
    assert history["loss"] == [1.0, 0.5]
    assert len(history["learning_rate"]) == 2


@pytest.mark.parametrize("accumulated", [None, 2])
def test_rate_of_a_schedule_object_is_that_of_the_last_step(accumulated):
    """An optimizer that holds a schedule has counted the last step already.

    Its `iterations` leave out the steps that only add up gradients, but the schedule counts them.
    """
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    optimizer = keras.optimizers.SGD(schedule, gradient_accumulation_steps=accumulated)
    optimizer.build([])
    optimizer._iterations.assign(3)
    model = SimpleNamespace(optimizer=optimizer)
    assert loop.learning_rate(model) == pytest.approx(0.1 * 0.5**2)
    assert int(optimizer._iterations) == 3
