"""What callbacks watch is there, and best is the epoch that they would call so."""

import warnings

import keras
import numpy as np
import pytest

from skcb import Tunable
from skcb.callbacks import (
    EarlyStopping,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from skcb.exceptions import TrainingWarning
from skcb.schedules import CosineDecay, ExponentialDecay, StepDecay, TimeBasedDecay
from tests.models import Play, fitted, untrainable


def playing(name, values, **callbacks):
    """Return callbacks of which the first logs a curve for the others to watch."""
    return {"play": Tunable(Play, name=name, values=values), **callbacks}


# -- what can be watched -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "callback",
    [EarlyStopping(), ReduceLROnPlateau(), ModelCheckpoint("best.keras", save_best_only=True)],
    ids=lambda callback: type(callback).__name__,
)
def test_a_monitor_of_watched_rows_needs_them_before_the_first_epoch(
    callback, tmp_path, monkeypatch
):
    """The error names parameter and monitor, and offers two ways out."""
    monkeypatch.chdir(tmp_path)
    message = (
        r"`callbacks__mine__monitor='val_loss'` needs watched rows.*`validation_split=0\.2`"
        r".*monitor 'loss'"
    )
    with pytest.raises(ValueError, match=message):
        fitted(untrainable, callbacks={"mine": callback}, epochs=3)


def test_what_needs_no_watched_rows_does_without(tmp_path):
    """A checkpoint of every epoch compares nothing, and `loss` is always there."""
    callbacks = [ModelCheckpoint(tmp_path / "last.keras"), EarlyStopping(monitor="loss")]
    fitted(callbacks=callbacks, epochs=2)
    assert (tmp_path / "last.keras").exists()


@pytest.mark.parametrize(
    "callback",
    [ReduceLROnPlateau(monitor="loss"), LearningRateScheduler(lambda epoch, lr: lr)],
    ids=lambda callback: type(callback).__name__,
)
def test_a_callback_cannot_set_the_rate_of_a_schedule_object(callback):
    """Keras would raise in mid-training."""
    optimizer = keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 9))
    with pytest.raises(ValueError, match=r"`callbacks__mine`.*schedule object in the optimizer"):
        fitted(untrainable, callbacks={"mine": callback}, optimizer=optimizer, epochs=3)


def test_two_cannot_set_the_learning_rate():
    """By batch the schedule would win, by epoch the callback, and nobody would know."""
    callback = {"mine": LearningRateScheduler(lambda epoch, lr: lr)}
    with pytest.raises(ValueError, match=r"`callbacks__mine`.*`lr_schedule` sets.*then"):
        fitted(untrainable, callbacks=callback, lr_schedule=CosineDecay(), epochs=3)


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"callbacks": EarlyStopping(monitor="loss")}, "`callbacks__early_stopping` with"),
        ({"lr_schedule": CosineDecay()}, "`lr_schedule` with"),
        (
            {"callbacks": EarlyStopping(monitor="loss"), "lr_schedule": CosineDecay()},
            "`callbacks__early_stopping` and `lr_schedule` with",
        ),
    ],
)
def test_one_epoch_makes_callbacks_and_schedules_idle(params, named):
    """There is one warning, and it says what to set."""
    with pytest.warns(TrainingWarning) as caught:
        fitted(**params)
    (warning,) = caught
    assert named in str(warning.message) and "Set `epochs`" in str(warning.message)


def test_two_epochs_are_enough():
    """No warning where something can be compared; nor where nothing is asked for."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(callbacks=EarlyStopping(monitor="loss"), lr_schedule=CosineDecay(), epochs=2)
        fitted()


def test_one_epoch_is_enough_for_what_waits_for_nothing():
    """A search over `epochs` may begin with one, and its loggers log it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted(callbacks={"nan": TerminateOnNaN(), "mine": keras.callbacks.Callback()}, epochs=1)


# -- which epoch was best ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "values", "best"),
    [
        ("max", [0.5, 0.75, 0.7, 0.75], 1),
        ("min", [0.5, 0.4, 0.4, 0.6], 1),
        ("max", [np.nan, 0.1, 0.2, np.nan], 2),
    ],
)
def test_the_best_epoch_is_that_of_the_monitor(mode, values, best):
    """Of equal epochs it is the first, and what is not a number is not the best."""
    stop = EarlyStopping(monitor="score", mode=mode, patience=9)
    estimator = fitted(callbacks=playing("score", values, stop=stop), epochs=4)
    assert estimator.history_["score"] == pytest.approx(values, nan_ok=True)
    assert estimator.best_epoch_ == best


@pytest.mark.parametrize("first", ["stop", "save"])
def test_the_first_of_two_monitors_decides(first, tmp_path):
    """EarlyStopping or ModelCheckpoint, in the order of the callbacks."""
    watchers = {
        "stop": EarlyStopping(monitor="score", mode="max", patience=9),
        "save": ModelCheckpoint(
            tmp_path / "best.keras", monitor="score", mode="min", save_best_only=True
        ),
    }
    order = sorted(watchers, key=lambda name: name != first)
    callbacks = playing("score", [0.2, 0.1, 0.3], **{name: watchers[name] for name in order})
    assert fitted(callbacks=callbacks, epochs=3).best_epoch_ == {"stop": 2, "save": 1}[first]


def test_without_a_monitor_the_watched_loss_decides_else_the_loss():
    """`val_loss` where there are watched rows."""
    callbacks = playing("val_loss", [0.3, 0.1, 0.2])
    assert fitted(callbacks=callbacks, epochs=3, validation_split=0.25).best_epoch_ == 1
    assert fitted(callbacks=playing("loss", [0.3, 0.2, 0.1]), epochs=3).best_epoch_ == 2


def test_the_best_epoch_counts_epochs_that_were_not_watched():
    """With `validation_freq=2` the history of `val_loss` has a value for every second epoch."""
    estimator = fitted(epochs=6, validation_split=0.25, fit__validation_freq=2, optimizer="adam")
    values = estimator.history_["val_loss"]
    assert len(values) == 3
    assert estimator.best_epoch_ == 2 * int(np.argmin(values)) + 1 == 5


def test_a_fit_of_nothing_but_nan_has_a_best_epoch():
    """Where all are equally bad it is the first."""
    estimator = fitted(
        kind="regression",
        optimizer="sgd",
        optimizer__learning_rate=float("nan"),
        callbacks=TerminateOnNaN(),
        epochs=3,
        batch_size=24,
    )
    assert estimator.best_epoch_ == 0
    assert np.isnan(estimator.history_["loss"]).all()


# -- the learning rate that plateaus leave -----------------------------------------------------


def plateau(**settings):
    """Return a plateau on a curve that never improves: it lowers the rate from epoch 2 on."""
    recipe = ReduceLROnPlateau(monitor="score", mode="min", factor=0.5, patience=1, **settings)
    return playing("score", [1.0] * 9, plateau=recipe)


def rates(epochs=6, **params):
    """Return the learning rate of each epoch."""
    params = {"optimizer": "sgd", "optimizer__learning_rate": 0.5, **params}
    return np.array(fitted(epochs=epochs, **params).history_["learning_rate"])


@pytest.mark.parametrize(
    "schedule",
    [CosineDecay(), StepDecay(0.5, 2), TimeBasedDecay(0.1), ExponentialDecay(0.7)],
    ids=lambda schedule: type(schedule).__name__,
)
def test_the_rates_are_those_of_the_simulation(schedule):
    """To the last bit of float32."""
    simulated = schedule.simulate(6, 0.5).astype("float32")
    np.testing.assert_array_equal(rates(lr_schedule=schedule).astype("float32"), simulated)


def test_plateaus_without_a_schedule_are_keras_own():
    """Each halves the rate that is there."""
    assert rates(callbacks=plateau()).tolist() == [0.5, 0.5, 0.25, 0.125, 0.0625, 0.03125]


def test_a_schedule_and_a_plateau_multiply():
    """The rate is the schedule's value times the factors so far."""
    factors = 0.5 ** np.array([0, 0, 1, 2, 3, 4])
    expected = StepDecay(0.5, 3).simulate(6, 0.5) * factors
    got = rates(lr_schedule=StepDecay(0.5, 3), callbacks=plateau())
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_the_lowest_rate_holds_for_the_product():
    """`min_lr` bounds schedule times factors, but does not lift a schedule that is below it."""
    expected = StepDecay(0.5, 3).simulate(6, 0.5) * 0.5 ** np.array([0, 0, 1, 2, 3, 4])
    got = rates(lr_schedule=StepDecay(0.5, 3), callbacks=plateau(min_lr=0.1))
    np.testing.assert_allclose(got, np.maximum(expected, 0.1), rtol=1e-6)
    low = rates(lr_schedule=lambda epoch: 0.05, callbacks=plateau(min_lr=0.1))
    np.testing.assert_allclose(low, 0.05, rtol=1e-6)


def test_factors_are_not_lost_where_the_lowest_rate_was_met():
    """A schedule that rises again is multiplied by whole factors."""

    def warm(epoch):
        return 0.5 if epoch < 3 else 4.0

    factors = 0.5 ** np.array([0, 0, 1, 2, 3])
    expected = np.maximum([warm(e) for e in range(5)] * factors, 0.2)
    got = rates(lr_schedule=warm, callbacks=plateau(min_lr=0.2), epochs=5)
    np.testing.assert_allclose(got, expected, rtol=1e-6)
