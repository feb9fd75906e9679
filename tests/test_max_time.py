"""A fit ends after the epoch in which its seconds run out, and says what ended it."""

import math
import pickle
import time
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

import skcb
from skcb import KerasClassifier, KerasRegressor, KerasTransformer, Tunable
from skcb._clock import Clock, Deadline, OutOfTime, in_force, refuse_late
from skcb._pending import prepare
from skcb.callbacks import (
    BackupAndRestore,
    EarlyStopping,
    EpochScoring,
    LambdaCallback,
    TerminateOnNaN,
)
from skcb.exceptions import TrainingWarning
from tests.models import Play, X, Y, logits, perceptron, untrainable

Y_BINARY = Y["binary"]
MOMENT = 1e-9


class Nap(keras.callbacks.Callback):
    """Makes epochs long, and counts its hooks."""

    def __init__(self, seconds=0.2):
        super().__init__()
        self.seconds = seconds
        self.begins = self.epochs = self.ends = 0

    def on_train_begin(self, logs=None):
        self.begins += 1

    def on_epoch_end(self, epoch, logs=None):
        self.epochs += 1
        time.sleep(self.seconds)

    def on_train_end(self, logs=None):
        self.ends += 1


class ByBatch(keras.callbacks.Callback):
    """Looks at batches; stops training in one of them."""

    def __init__(self, epoch=None):
        super().__init__()
        self.epoch, self.now = epoch, 0

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.now == self.epoch:
            self.model.stop_training = True


class StopAfter(keras.callbacks.Callback):
    """Says after each epoch whether training is to stop."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch + 1 == self.epochs


def classifier(build_fn=perceptron, **params):
    """Make a classifier whose program other tests have compiled, most likely."""
    params = {"optimizer": "adam", "epochs": 40, "batch_size": 16, "random_state": 0, **params}
    return KerasClassifier(build_fn, **params)


def napping(**params):
    """Make one that has time for three epochs at most, whatever the machine."""
    callbacks = {"nap": Tunable(Nap), **params.pop("callbacks", {})}
    return classifier(callbacks=callbacks, max_time=0.5, **params)


def batches():
    """Return a dataset of the rows."""
    codes = (Y_BINARY == "yes").astype("float32")[:, None]
    return tf.data.Dataset.from_tensor_slices((X, codes)).batch(16)


def same_weights(a, b):
    """Tell whether two estimators have learned the same, to the bit."""
    pairs = zip(a.model_.get_weights(), b.model_.get_weights(), strict=True)
    return all(np.array_equal(ours, theirs) for ours, theirs in pairs)


# -- max_time --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "params, road",
    [
        ({}, "whole epochs"),
        ({"callbacks": {"batches": Tunable(ByBatch)}}, "batch by batch"),
        ({"engine": "keras"}, "keras"),
        ({"validation_split": 0.25}, "whole epochs"),
    ],
)
def test_fit_ends_after_the_epoch_in_which_its_time_runs_out(params, road):
    """On every road: with epochs left, ended once, and a history as long as it trained."""
    fitted = napping(**params).fit(X, Y_BINARY)
    assert fitted.engine_.startswith(road)
    assert 1 <= fitted.n_iter_ <= 3
    assert fitted.stopped_by_ == "max_time"
    nap = fitted.callbacks_["nap"]
    assert (nap.epochs, nap.ends) == (fitted.n_iter_, 1)
    assert len(fitted.history_["loss"]) == fitted.n_iter_
    assert fitted.model_.stop_training


@pytest.mark.parametrize(
    "estimator, data",
    [
        (KerasClassifier, lambda: (batches(),)),
        (KerasRegressor, lambda: (X, Y["regression"])),
        (KerasTransformer, lambda: (X,)),
    ],
    ids=["a dataset", "regressor", "transformer"],
)
def test_every_estimator_takes_it(estimator, data):
    """One epoch is trained, however little time there is."""
    fitted = estimator(perceptron if estimator is KerasClassifier else logits)
    fitted.set_params(epochs=3, max_time=MOMENT, random_state=0).fit(*data())
    assert (fitted.n_iter_, fitted.stopped_by_) == (1, "max_time")


def test_building_counts():
    """A user waits for the whole fit."""

    def slow(meta):
        time.sleep(0.5)
        return perceptron(meta)

    classifier(epochs=1).fit(X, Y_BINARY)  # compiles
    assert classifier(slow, max_time=0.5).fit(X, Y_BINARY).n_iter_ == 1


def test_it_ends_as_if_a_callback_had_stopped_it():
    """Best weights are restored, averages put in place, everything is to the bit the same."""
    options = {"optimizer__use_ema": True, "optimizer__ema_momentum": 0.8}
    callbacks = {
        "play": Tunable(Play, name="played", values=list(range(40, 0, -1))),
        "best": EarlyStopping(monitor="played", mode="max", patience=20, restore_best_weights=True),
    }
    cut = napping(callbacks=callbacks, **options).fit(X, Y_BINARY)
    stop = {"stop": Tunable(StopAfter, epochs=cut.n_iter_)}
    stopped = classifier(callbacks={**callbacks, **stop}, **options).fit(X, Y_BINARY)
    assert (cut.stopped_by_, stopped.stopped_by_) == ("max_time", "callbacks__stop")
    assert cut.history_ == stopped.history_ and cut.best_epoch_ == stopped.best_epoch_ == 0
    assert same_weights(cut, stopped)


def test_a_fit_that_has_time_is_not_touched():
    """Nor by infinity; and what is over when the time runs out is over by its epochs."""
    plain = classifier(epochs=2).fit(X, Y_BINARY)
    for limit in (math.inf, 3600, np.float32(3600)):
        limited = classifier(epochs=2, max_time=limit).fit(X, Y_BINARY)
        assert limited.history_ == plain.history_ and same_weights(limited, plain)
        assert (limited.n_iter_, limited.stopped_by_) == (2, "epochs")
    last = classifier(epochs=1, max_time=MOMENT).fit(X, Y_BINARY)
    assert last.stopped_by_ == "epochs"


@pytest.mark.parametrize("value", [0, -1, 0.0, math.nan, -math.inf, True, np.True_, "60", [1], 1j])
def test_what_is_no_number_of_seconds_is_refused_before_the_first_epoch(value):
    """In the words of the parameter."""
    estimator = KerasClassifier(untrainable, max_time=value)
    with pytest.raises(ValueError, match=r"`max_time` must be a positive number .* or None but"):
        estimator.fit(X, Y_BINARY)
    with pytest.raises(ValueError, match="`max_time` must be"):
        estimator.partial_fit(X, Y_BINARY)


def test_it_is_a_parameter_like_any_other():
    """A grid varies it; clone, pickle, set_params and repr know it."""
    search = GridSearchCV(
        classifier(epochs=3), {"max_time": [None, MOMENT]}, cv=2, error_score="raise"
    ).fit(X, Y_BINARY)
    best = search.best_estimator_
    assert best.n_iter_ == (3 if best.max_time is None else 1)
    limited = classifier().set_params(max_time=2.5)
    assert clone(limited).max_time == pickle.loads(pickle.dumps(limited)).max_time == 2.5
    assert "max_time=2.5" in repr(limited)


# -- partial_fit -----------------------------------------------------------------------------


@pytest.mark.parametrize("pickled", [False, True])
def test_calls_of_partial_fit_add_up(pickled):
    """Once the time has run out further calls do nothing, and say why, once."""
    step = napping()
    while step.partial_fit(X, Y_BINARY).stopped_by_ is None:
        if pickled:
            step = pickle.loads(pickle.dumps(step))
        assert step.n_iter_ < 3
    n_epochs = step.n_iter_
    assert step.stopped_by_ == "max_time"
    if pickled:
        step = pickle.loads(pickle.dumps(step))
    with pytest.warns(TrainingWarning, match=f"in epoch {n_epochs} by `max_time`") as told:
        step.partial_fit(X, Y_BINARY).partial_fit(X, Y_BINARY)
    assert len(told) == 1 and step.n_iter_ == n_epochs


@pytest.mark.parametrize("pickled", [False, True])
def test_more_time_lets_partial_fit_go_on(pickled):
    """As if there had been enough from the start."""
    whole = classifier()
    step = classifier(max_time=MOMENT).partial_fit(X, Y_BINARY)
    assert step.stopped_by_ == "max_time"
    if pickled:
        step = pickle.loads(pickle.dumps(step))
    step.set_params(max_time=None)
    for _ in range(2):
        step.partial_fit(X, Y_BINARY)
    for _ in range(3):
        whole.partial_fit(X, Y_BINARY)
    assert (step.n_iter_, step.stopped_by_) == (3, None)
    assert step.history_ == whole.history_ and same_weights(step, whole)


def test_a_fit_has_its_time_anew():
    """Whether it goes on from the weights of the one before or not."""
    estimator = classifier(epochs=2, max_time=3600, warm_start=True).fit(X, Y_BINARY)
    estimator.set_params(max_time=MOMENT).fit(X, Y_BINARY)
    assert (estimator.n_iter_, estimator.stopped_by_) == (1, "max_time")
    estimator.set_params(max_time=3600).fit(X, Y_BINARY)
    assert (estimator.n_iter_, estimator.stopped_by_) == (2, "epochs")


# -- fits that wait, and fits that go on -----------------------------------------------------


def test_a_fit_that_waits_for_others_spends_no_time():
    """In lock-step the other folds' epochs are not its own; its own are."""
    estimator = classifier(max_time=3600)
    with prepare(lambda: estimator.fit(X, Y_BINARY)) as fit:
        clock = fit._state.clock
        spent = [clock.seconds]
        for _ in range(2):
            time.sleep(0.01)
            assert clock.seconds == spent[-1]
            fit.advance()
            spent.append(clock.seconds)
    assert 0 < spent[0] < spent[1] < spent[2]


def test_a_fit_that_waits_ends_when_its_own_time_runs_out():
    """And the estimator says so."""
    estimator = classifier(max_time=MOMENT)
    with prepare(lambda: estimator.fit(X, Y_BINARY)) as fit:
        assert not fit.over
        fit.advance()
        assert fit.over and fit.stopped
        fit.finish()
    assert (estimator.n_iter_, estimator.stopped_by_) == (1, "max_time")


class Interrupt(Nap):
    """Presses Ctrl-C at the end of the second epoch."""

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        if epoch == 1:
            raise KeyboardInterrupt


def test_what_a_killed_fit_has_spent_counts_when_it_goes_on(tmp_path):
    """The seconds of one fit, whichever process they were spent in."""
    backup = BackupAndRestore(str(tmp_path / "backup"))
    callbacks = {"nap": Tunable(Interrupt), "backup": backup}
    estimator = classifier(callbacks=callbacks, max_time=3600)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X, Y_BINARY)
    assert (estimator.n_iter_, estimator.stopped_by_) == (1, "KeyboardInterrupt")
    with prepare(lambda: estimator.fit(X, Y_BINARY)) as fit:
        spent = fit._state.clock.seconds
        fit.begin()
        assert fit.n_epochs == 1
        assert fit._state.clock.seconds >= spent + 0.2  # an epoch's nap


# -- stopped_by_ -----------------------------------------------------------------------------


def test_the_callback_that_stopped_training_is_named():
    """By the parameter that it is, whatever the form in which it was given."""
    ends = {
        "callbacks__stop": {"stop": EarlyStopping("loss", min_delta=100, patience=1)},
        "callbacks__early_stopping": [EarlyStopping("loss", min_delta=100, patience=1)],
        "callbacks__stop_after_1": [Tunable(StopAfter, epochs=9), Tunable(StopAfter, epochs=2)],
    }
    for name, callbacks in ends.items():
        fitted = classifier(callbacks=callbacks).fit(X, Y_BINARY)
        assert (fitted.n_iter_, fitted.stopped_by_) == (2, name)


@pytest.mark.parametrize("engine", ["auto", "keras"])
def test_of_several_the_first_is_named(engine):
    """Also of one that says so in the middle of an epoch; not one that is overruled."""
    both = {"a": Tunable(StopAfter, epochs=2), "b": Tunable(ByBatch, epoch=1)}
    fitted = classifier(callbacks={"b": both["b"]}, engine=engine).fit(X, Y_BINARY)
    assert (fitted.n_iter_, fitted.stopped_by_) == (2, "callbacks__b")
    fitted = classifier(callbacks=both, engine=engine).fit(X, Y_BINARY)
    assert (fitted.n_iter_, fitted.stopped_by_) == (2, "callbacks__b")
    overruled = {"a": Tunable(StopAfter, epochs=1), "b": Tunable(StopAfter, epochs=2)}
    fitted = classifier(callbacks=overruled, engine=engine).fit(X, Y_BINARY)
    assert (fitted.n_iter_, fitted.stopped_by_) == (2, "callbacks__b")


@pytest.mark.parametrize("engine", ["auto", "keras"])
@pytest.mark.parametrize("by_batch", [False, True])
def test_terminate_on_nan_is_named(engine, by_batch, capsys):
    """Where it is asked within a whole epoch too."""
    bad = X.copy()
    bad[20] = 1e38
    callbacks = {
        "first": EarlyStopping("loss", patience=5),
        **({"batches": Tunable(ByBatch)} if by_batch else {}),
        "nan": TerminateOnNaN(),
    }
    y = Y["regression"]
    fitted = KerasRegressor(logits, callbacks=callbacks, epochs=3, engine=engine).fit(bad, y)
    assert (fitted.n_iter_, fitted.stopped_by_) == (1, "callbacks__nan")
    assert "Invalid loss" in capsys.readouterr().out


class Content(keras.Model):
    """Stops itself, beside a TerminateOnNaN that has nothing to say."""

    def train_step(self, *args):
        self.stop_training = True
        return super().train_step(*args)


def test_a_model_that_stops_itself_is_named_as_what_built_it():
    """No callback is blamed."""

    def content(meta):
        inputs = keras.Input((meta["n_features_in_"],))
        outputs = keras.layers.Dense(1, "sigmoid")(inputs)
        model = Content(inputs, outputs)
        model.compile("adam", "binary_crossentropy", run_eagerly=True)
        return model

    callbacks = {"stop": EarlyStopping("loss", patience=9), "nan": TerminateOnNaN()}
    fitted = classifier(content, callbacks=callbacks).fit(X, Y_BINARY)
    assert (fitted.n_iter_, fitted.stopped_by_) == (1, "build_fn")


class Enough:
    """A callback of scikit-learn's that has seen enough after two epochs."""

    max_estimator_depth = None

    def __init__(self):
        self.epochs = 0

    def setup(self, estimator, context):
        """Do nothing."""

    def on_fit_task_begin(self, estimator, context):
        """Do nothing."""

    def on_fit_task_end(self, estimator, context):
        self.epochs += context.task_name == "epoch"
        return self.epochs == 2

    def teardown(self, estimator, context):
        """Do nothing."""


def test_a_callback_of_scikit_learns_is_named():
    """By the method that gave it."""
    fitted = classifier().set_callbacks(Enough()).fit(X, Y_BINARY)
    assert (fitted.n_iter_, fitted.stopped_by_) == (2, "set_callbacks")


def test_what_a_refit_ended_says_so():
    """Its epochs are those that were best in the folds; `refit_` tells which."""
    callbacks = {
        "play": Tunable(Play, name="played", values=[1, 2, 1, 1, 1]),
        "best": EarlyStopping(monitor="played", mode="max", patience=9),
    }
    estimator = classifier(epochs=5, callbacks=callbacks)
    search = GridSearchCV(estimator, {"batch_size": [16]}, cv=2, refit=False).fit(X, Y_BINARY)
    best = skcb.refit(search, X, Y_BINARY)
    assert (best.n_iter_, best.stopped_by_) == (2, "refit")
    assert skcb.refit(search, X, Y_BINARY, epochs="given").stopped_by_ == "epochs"


def test_fits_of_no_epochs_are_over():
    """There was nothing to stop."""
    assert classifier(epochs=0, max_time=MOMENT).fit(X, Y_BINARY).stopped_by_ == "epochs"


@pytest.mark.parametrize("pickled", [False, True])
def test_partial_fit_names_the_callback_that_stopped_it(pickled):
    """Scores come before what watches them, and a pickle keeps each under its own name."""
    callbacks = {
        "stop": EarlyStopping("val_accuracy", min_delta=100, patience=1),
        "score": EpochScoring("accuracy"),
    }
    step = classifier(callbacks=callbacks, validation_split=0.25)
    for _ in range(2):
        step.partial_fit(X, Y_BINARY)
        step = pickle.loads(pickle.dumps(step)) if pickled else step
    assert step.stopped_by_ == "callbacks__stop"
    with pytest.warns(TrainingWarning, match="in epoch 2 by `callbacks__stop`"):
        step.partial_fit(X, Y_BINARY)
    assert isinstance(step.callbacks_["stop"], keras.callbacks.EarlyStopping)


# -- the clock -------------------------------------------------------------------------------


def test_a_clock_counts_while_it_runs():
    """And what came before it; a copy goes on from there."""
    clock = Clock()
    with clock:
        time.sleep(0.01)
        running = clock.seconds
    held = clock.seconds
    assert 0.01 <= running <= held == clock.seconds
    clock.add(1.0)
    assert clock.seconds == held + 1.0


def test_no_epoch_begins_after_a_deadline():
    """The outermost that has passed is the one that says so; a pickle takes along what is left."""
    late, ample = Deadline(MOMENT), Deadline(3600)
    refuse_late()
    with in_force(ample):
        refuse_late()
        with in_force(late), pytest.raises(OutOfTime) as end:
            refuse_late()
        refuse_late()
    assert end.value.deadline is late
    outer = Deadline(MOMENT)
    with in_force(outer), in_force(late), pytest.raises(OutOfTime) as end:
        refuse_late()
    assert end.value.deadline is outer
    assert pickle.loads(pickle.dumps(late)).over and not pickle.loads(pickle.dumps(ample)).over


def test_a_fit_after_a_deadline_begins_nothing():
    """No callback is begun that nobody would end."""
    callbacks = {"nap": Tunable(Nap)}
    estimator = classifier(callbacks=callbacks)
    with in_force(Deadline(MOMENT)), pytest.raises(OutOfTime), warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator.fit(X, Y_BINARY)
    assert not hasattr(estimator, "model_")
    nap = estimator.callbacks_["nap"]
    assert (nap.begins, nap.epochs, nap.ends) == (0, 0, 0)


class Switch(Deadline):
    """A deadline that passes when it is told to."""

    over = False


def test_a_fit_that_a_deadline_cuts_is_ended_and_kept():
    """As after an interrupt from the keyboard."""
    switch = Switch(3600)

    def turn(epoch, logs):
        switch.over = epoch == 1

    callbacks = {"nap": Tunable(Nap, seconds=0), "turn": LambdaCallback(on_epoch_end=turn)}
    estimator = classifier(callbacks=callbacks)
    with in_force(switch), pytest.raises(OutOfTime):
        estimator.fit(X, Y_BINARY)
    nap = estimator.callbacks_["nap"]
    assert (nap.epochs, nap.ends) == (2, 1)
    assert (estimator.n_iter_, estimator.stopped_by_) == (2, "timeout")
