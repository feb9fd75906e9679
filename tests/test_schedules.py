"""A schedule is a function of training progress, whatever the batch size."""

import functools

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.base import clone

from skcb import Tunable
from skcb.schedules import (
    CosineDecay,
    ExponentialDecay,
    Schedule,
    StepDecay,
    TimeBasedDecay,
    resolve,
)

ALL = [CosineDecay, ExponentialDecay, StepDecay, TimeBasedDecay]


class Warmup(Schedule):
    """A schedule of the user's own: one formula, nothing else."""

    def __init__(self, over=5):
        self.over = over

    def value(self, epoch, lr, epochs):
        return lr * min((epoch + 1) / self.over, 1.0)


def test_time_based_decay_compounds_as_in_kerass_tutorials():
    """The table that users know: lr / (1 + decay * epoch), each epoch from the one before."""
    table = [0.1, 0.0999000999, 0.0997006985, 0.09940249103, 0.09900646517]
    assert_allclose(TimeBasedDecay(decay=0.001).simulate(5, 0.1), table, rtol=0, atol=1e-9)


@given(st.floats(0.01, 1), st.integers(1, 20), st.integers(0, 100))
def test_step_decay_follows_its_formula(drop, every, epoch):
    """The learning rate times drop ** floor((1 + epoch) / epochs_drop), epoch from 0."""
    expected = 0.1 * drop ** np.floor((1 + epoch) / every)
    assert_allclose(StepDecay(drop, every)(epoch, 0.1), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "ours, kerass",
    [
        (CosineDecay(0.1, 8), keras.optimizers.schedules.CosineDecay(0.1, 8, alpha=0.1)),
        (CosineDecay(), keras.optimizers.schedules.CosineDecay(0.1, 10)),
        (ExponentialDecay(0.7, 3), keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.7)),
        (
            ExponentialDecay(0.7, 3, staircase=True),
            keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.7, staircase=True),
        ),
    ],
    ids=["cosine", "cosine of all", "exponential", "staircase"],
)
def test_formulas_are_kerass_with_epochs_in_place_of_steps(ours, kerass):
    """Where the horizons coincide, so do the curves, to float32."""
    expected = [float(kerass(step)) for step in range(10)]
    assert_allclose(ours.simulate(10, 0.1), expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(
    "fraction, epochs",
    [
        (StepDecay(0.5, 0.25), StepDecay(0.5, 5)),
        (CosineDecay(0.1, 0.5), CosineDecay(0.1, 10)),
        (ExponentialDecay(0.5, 0.2), ExponentialDecay(0.5, 4)),
        (CosineDecay(decay_epochs=np.float32(0.5)), CosineDecay(decay_epochs=np.int64(10))),
    ],
)
def test_a_fraction_is_that_share_of_training(fraction, epochs):
    """A float horizon means the same whatever the number of epochs."""
    assert_allclose(fraction.simulate(20, 0.1), epochs.simulate(20, 0.1), rtol=1e-12)


def test_one_is_an_epoch_and_one_point_zero_is_all_of_training():
    """The type tells the two apart."""
    assert StepDecay(0.5, 1)(9, 1.0, 10) == 0.5**10
    assert StepDecay(0.5, 1.0)(9, 1.0, 10) == 0.5


def test_a_fraction_drops_in_the_epoch_it_names():
    """0.07 × 100 is a little more than 7 in floating point, and the drop still comes in time."""
    assert_allclose(StepDecay(0.5, 0.07).simulate(100, 1.0), StepDecay(0.5, 7).simulate(100, 1.0))


@pytest.mark.parametrize(
    "schedule",
    [CosineDecay(), CosineDecay(0.1, 0.5), StepDecay(0.5, 0.3), ExponentialDecay(0.5, 0.2)],
)
def test_beyond_the_end_of_training_a_fraction_holds_its_last_value(schedule):
    """An estimator that trains on does not train at a learning rate of 0."""
    assert schedule(25, 0.1, 10) == schedule(9, 0.1, 10) > 0


@pytest.mark.parametrize(
    "schedule", [StepDecay(epochs_drop=0.5), CosineDecay(), ExponentialDecay(decay_epochs=0.5)]
)
def test_a_fraction_needs_the_number_of_epochs(schedule):
    """A fraction of nothing known is an error that says what to give."""
    with pytest.raises(ValueError, match=r"fraction of training.*epochs"):
        schedule(0, 0.1)


@pytest.mark.parametrize("value", [-1, "x", None, True, float("nan"), float("inf")])
@pytest.mark.parametrize(
    "cls, name",
    [
        (TimeBasedDecay, "decay"),
        (StepDecay, "drop"),
        (StepDecay, "epochs_drop"),
        (ExponentialDecay, "decay_rate"),
        (ExponentialDecay, "decay_epochs"),
        (CosineDecay, "alpha"),
        (CosineDecay, "decay_epochs"),
    ],
)
def test_a_bad_value_is_refused_when_training_starts(cls, name, value):
    """Not when it is set; the error names class, parameter and value."""
    schedule = cls(**{name: value})
    for judge in (lambda: resolve(schedule, {}), lambda: schedule(0, 0.1, 10)):
        with pytest.raises(ValueError) as error:
            judge()
        assert f"`lr_schedule__{name}` of {cls.__name__}" in str(error.value)
        assert repr(value) in str(error.value)


@pytest.mark.parametrize(
    "schedule", [StepDecay(0.0), StepDecay(epochs_drop=0), StepDecay(epochs_drop=1.5), StepDecay(2)]
)
def test_the_ends_of_a_range_are_judged(schedule):
    """A factor of 0, a horizon of 0 epochs or of more than all of training make no schedule."""
    with pytest.raises(ValueError, match=r"StepDecay must be"):
        resolve(schedule, {})


@pytest.mark.parametrize("cls", ALL)
def test_simulate_gives_the_curve_that_training_would_follow(cls):
    """One float64 an epoch, positive and never rising."""
    curve = cls().simulate(12, 0.1)
    assert (curve.shape, curve.dtype) == ((12,), np.float64)
    assert (curve > 0).all() and (np.diff(curve) <= 0).all()
    assert cls().simulate(0, 0.1).shape == (0,)


@pytest.mark.parametrize("cls", ALL)
def test_a_schedule_is_a_recipe(cls):
    """Equal by description, cloned, shown by what was changed."""
    assert cls() == clone(cls()) and hash(cls()) == hash(cls())
    assert repr(cls()) == f"{cls.__name__}()"


def keras_schedule():
    """Return one of Keras' own schedule objects."""
    return keras.optimizers.schedules.CosineDecay(0.1, 5)


@pytest.mark.parametrize(
    "given_as, settings, expected",
    [
        (StepDecay(0.5, 2), {}, 0.05),
        (StepDecay(0.5, 2), {"drop": 0.1}, 0.01),
        ("StepDecay", {"drop": 0.1, "epochs_drop": 1}, 0.001),
        (StepDecay, {"drop": 0.1, "epochs_drop": 1}, 0.001),
        (Tunable(StepDecay, drop=0.1), {"epochs_drop": 2}, 0.01),
        (Warmup(), {"over": 4}, 0.05),
        (lambda epoch: 0.5**epoch, {}, 0.5),
        (lambda epoch, lr: lr / (epoch + 1), {}, 0.05),
        (lambda epoch, lr, /: lr / (epoch + 1), {}, 0.05),
        (lambda epoch, lr=3.0: lr, {}, 0.1),
        (lambda epoch, scale=3.0: scale, {}, 3.0),
        (lambda epoch: np.float32(0.25), {}, 0.25),
        (functools.partial(lambda epoch, lr, by: lr * by, by=3), {}, 0.3),
        (Tunable(lambda by: lambda epoch, lr: lr * by, by=2), {"by": 4}, 0.4),
    ],
)
def test_each_form_becomes_a_function_of_epoch_and_rate(given_as, settings, expected):
    """Schedule, name, class, Tunable and both kinds of function, at epoch 1 from 0.1."""
    assert_allclose(resolve(given_as, settings)(1, 0.1, 10), expected, rtol=1e-6)


def test_kerass_own_schedule_objects_are_taken_as_they_are():
    """They count optimizer steps, and go to the optimizer."""
    schedule = keras_schedule()
    assert resolve(schedule, {}) is schedule
    built = resolve(Tunable(type(schedule), initial_learning_rate=0.1, decay_steps=5), {})
    assert isinstance(built, keras.optimizers.schedules.CosineDecay)


def test_without_a_schedule_its_settings_wait():
    """None is switched off; what is set below it is kept and ignored."""
    assert resolve(None, {"drop": 0.5}) is None


@pytest.mark.parametrize(
    "given_as, settings, error, words",
    [
        ("StepDeca", {}, ValueError, "`lr_schedule='StepDeca'`.*`StepDecay`"),
        (3, {}, TypeError, "`lr_schedule` must be None.*but got 3"),
        (Tunable(int), {}, TypeError, "`lr_schedule` must be None"),
        (abs, {"drop": 1}, ValueError, "`lr_schedule__drop` cannot be set.*skcb.schedules"),
        (CosineDecay(), {"drop": 1}, ValueError, "`lr_schedule__drop=1`: CosineDecay.*grids"),
        (keras_schedule(), {"alpha": 1}, ValueError, "`lr_schedule__alpha` cannot be set"),
    ],
)
def test_what_is_no_schedule_or_lacks_a_setting_is_refused(given_as, settings, error, words):
    """The error names what was given and what would be understood."""
    with pytest.raises(error, match=words):
        resolve(given_as, settings)


@pytest.mark.parametrize("value", [None, "0.1", [0.1], 1j])
def test_a_function_must_return_a_number(value):
    """The error shows the function, what it returned and in which epoch."""
    with pytest.raises(TypeError, match=r"`lr_schedule` must return a float.*epoch 3"):
        resolve(lambda epoch: value, {})(3, 0.1, 10)
