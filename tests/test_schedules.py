"""A schedule is a function of training progress, whatever the batch size."""

import functools
import inspect
import itertools
import pickle

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from skcb import Tunable, schedules
from skcb.schedules import (
    Chained,
    Constant,
    CosineDecay,
    CosineRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    LinearWarmup,
    OneCycle,
    PiecewiseConstant,
    PolynomialDecay,
    Schedule,
    StepDecay,
    TimeBasedDecay,
    resolve,
)

KINDS = [getattr(schedules, name) for name in schedules.__all__ if name != "Schedule"]
ALL = [cls() for cls in KINDS if cls is not Chained] + [LinearWarmup().then(CosineDecay(), at=0.1)]
RELATIVE = [*(s for s in ALL if s.is_relative()), StepDecay(epochs_drop=0.3)]
kerass = keras.optimizers.schedules


def name_of(value):
    """Name a case after its class."""
    return getattr(type(value), "__name__", None) if isinstance(value, Schedule) else None


class Warmup(Schedule):
    """A schedule of the user's own: one formula, nothing else."""

    def __init__(self, over=5):
        self.over = over

    def value(self, epoch, lr, epochs):
        return lr * min((epoch + 1) / self.over, 1.0)


# -- formulas ----------------------------------------------------------------------------------


def test_time_based_decay_compounds_as_in_kerass_tutorials():
    """The table that users know: lr / (1 + decay * epoch), each epoch from the one before."""
    table = [0.1, 0.0999000999, 0.0997006985, 0.09940249103, 0.09900646517]
    assert_allclose(TimeBasedDecay(decay=0.001).simulate(5, 0.1), table, rtol=0, atol=1e-9)


def test_plain_time_based_decay_divides_the_rate_of_the_start():
    """It is Keras' InverseTimeDecay over one epoch."""
    plain = TimeBasedDecay(decay=0.3, compounding=False)
    assert_allclose(plain.simulate(6, 0.1), 0.1 / (1 + 0.3 * np.arange(6)), rtol=1e-12)
    assert_allclose(plain.simulate(6, 0.1, 4), InverseTimeDecay(0.3).simulate(6, 0.1, 4))


@given(st.floats(0.01, 1), st.integers(1, 20), st.integers(0, 100))
def test_step_decay_follows_its_formula(drop, every, epoch):
    """The learning rate times drop ** floor((1 + epoch) / epochs_drop), epoch from 0."""
    expected = 0.1 * drop ** np.floor((1 + epoch) / every)
    assert_allclose(StepDecay(drop, every)(epoch, 0.1), expected, rtol=1e-12)


N = 7  # steps of an epoch
AS_KERAS = [
    (CosineDecay(0.1, 8), lambda n: kerass.CosineDecay(0.1, 8 * n, alpha=0.1)),
    (CosineDecay(), lambda n: kerass.CosineDecay(0.1, 10 * n)),
    (
        CosineDecay(0.1, 8, warmup_epochs=3, warmup_start=0.2),
        lambda n: kerass.CosineDecay(0.02, 5 * n, alpha=0.1, warmup_target=0.1, warmup_steps=3 * n),
    ),
    (CosineRestarts(2), lambda n: kerass.CosineDecayRestarts(0.1, 2 * n)),
    (
        CosineRestarts(0.3, t_mul=1.0, m_mul=0.8, alpha=0.1),
        lambda n: kerass.CosineDecayRestarts(0.1, 3 * n, t_mul=1.0, m_mul=0.8, alpha=0.1),
    ),
    (
        CosineRestarts(2, t_mul=1.5, m_mul=0.5, alpha=0.2),
        lambda n: kerass.CosineDecayRestarts(0.1, 2 * n, t_mul=1.5, m_mul=0.5, alpha=0.2),
    ),
    (ExponentialDecay(0.7, 3), lambda n: kerass.ExponentialDecay(0.1, 3 * n, 0.7)),
    (
        ExponentialDecay(0.7, 3, staircase=True),
        lambda n: kerass.ExponentialDecay(0.1, 3 * n, 0.7, staircase=True),
    ),
    (InverseTimeDecay(0.7, 3), lambda n: kerass.InverseTimeDecay(0.1, 3 * n, 0.7)),
    (
        InverseTimeDecay(0.7, 0.3, staircase=True),
        lambda n: kerass.InverseTimeDecay(0.1, 3 * n, 0.7, staircase=True),
    ),
    (PolynomialDecay(0.1, 8), lambda n: kerass.PolynomialDecay(0.1, 8 * n, 0.01)),
    (
        PolynomialDecay(0.1, 3, power=2.0, cycle=True),
        lambda n: kerass.PolynomialDecay(0.1, 3 * n, 0.01, power=2.0, cycle=True),
    ),
    (
        PiecewiseConstant([3, 6], [1.0, 0.5, 0.1]),
        lambda n: kerass.PiecewiseConstantDecay([3 * n, 6 * n], [0.1, 0.05, 0.01]),
    ),
]


@pytest.mark.parametrize("steps", [1, N])
@pytest.mark.parametrize("ours, in_steps", AS_KERAS, ids=name_of)
def test_formulas_are_kerass_where_the_horizons_coincide(ours, in_steps, steps):
    """By epoch with a step an epoch, and by batch with seven: to float32, at every step."""
    schedule = ours if steps == 1 else clone(ours).set_params(per="batch")
    expected = [float(in_steps(steps)(step)) for step in range(10 * steps)]
    assert_allclose(schedule.simulate(10, 0.1, steps), expected, rtol=2e-5, atol=1e-8)


def test_every_schedule_of_keras_has_its_twin():
    """So that a new one is not forgotten."""
    names = {name for name, value in vars(kerass).items() if isinstance(value, type)}
    compared = {type(in_steps(1)).__name__ for _, in_steps in AS_KERAS}
    assert names - compared == {"LearningRateSchedule"}


def test_one_cycle_rises_to_the_rate_and_falls_below_its_start():
    """Peak, beginning and end are where the arguments say, on either shape."""
    for shape in ("cosine", "linear"):
        cycle = OneCycle(0.001, 10, warmup_epochs=4, warmup_start=0.1, shape=shape)
        assert_allclose([cycle(e, 1.0) for e in (0, 2, 4, 7, 10, 12)][:3], [0.1, 0.55, 1.0])
        assert_allclose([cycle(e, 1.0) for e in (7, 10, 12)], [0.5005, 0.001, 0.001])


# -- horizons ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fraction, epochs",
    [
        (StepDecay(0.5, 0.25), StepDecay(0.5, 5)),
        (CosineDecay(0.1, 0.5), CosineDecay(0.1, 10)),
        (CosineDecay(0.1, 0.5, 0.1), CosineDecay(0.1, 10, 2)),
        (ExponentialDecay(0.5, 0.2), ExponentialDecay(0.5, 4)),
        (InverseTimeDecay(0.5, 0.2), InverseTimeDecay(0.5, 4)),
        (PolynomialDecay(0.5, 0.7), PolynomialDecay(0.5, 14)),
        (PiecewiseConstant((0.2, 0.7)), PiecewiseConstant((4, 14))),
        (CosineRestarts(0.15), CosineRestarts(3)),
        (OneCycle(), OneCycle(decay_epochs=20, warmup_epochs=6)),
        (LinearWarmup(0.35), LinearWarmup(7)),
        (Constant().then(StepDecay(), at=0.3), Constant().then(StepDecay(), at=6)),
        (CosineDecay(decay_epochs=np.float32(0.5)), CosineDecay(decay_epochs=np.int64(10))),
    ],
    ids=name_of,
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


@pytest.mark.parametrize("schedule", RELATIVE, ids=name_of)
@pytest.mark.parametrize("per", ["epoch", "batch"])
def test_beyond_the_end_of_training_a_fraction_holds_its_last_value(schedule, per):
    """An estimator that trains on does not train at a learning rate of 0."""
    schedule = per_of(schedule, per)
    last = schedule.simulate(10, 0.1, 4)[-1]
    assert_array_equal(schedule.rates(25, 0.1, 10, 4), [last] * 4)
    assert last > 0


def test_epochs_go_on_beyond_the_end_of_training():
    """A horizon in epochs does not know where training ends."""
    assert ExponentialDecay(0.5)(12, 1.0, 10) == 0.5**12


def test_a_horizon_longer_than_training_is_cut_off():
    """Halving begins with few epochs; the schedule is the same, and is not seen to its end."""
    assert_array_equal(CosineDecay(decay_epochs=9).simulate(3, 0.1), curve(CosineDecay, 9)[:3])
    assert set(StepDecay(epochs_drop=10).simulate(5, 0.1)) == {0.1}


def curve(cls, epochs):
    """Return the curve of a kind over so many epochs."""
    return cls().simulate(epochs, 0.1)


@pytest.mark.parametrize("schedule", RELATIVE, ids=name_of)
def test_a_fraction_needs_the_number_of_epochs(schedule):
    """A fraction of nothing known is an error that says what to give."""
    with pytest.raises(ValueError, match=r"fraction of training.*epochs"):
        schedule(0, 0.1)


# -- by epoch and by batch ---------------------------------------------------------------------

fractions = st.floats(0.01, 1.0)
horizons = st.one_of(st.integers(1, 30), fractions)
shares = st.floats(0.0, 1.0)
some = st.floats(0.01, 1.0)
flags = st.booleans()
decays = st.one_of(
    st.builds(TimeBasedDecay, st.floats(0, 2), flags),
    st.builds(StepDecay, some, horizons),
    st.builds(ExponentialDecay, some, horizons, flags),
    st.builds(InverseTimeDecay, st.floats(0, 2), horizons, flags),
    st.builds(PolynomialDecay, shares, horizons, st.floats(0.1, 4)),
    st.builds(CosineDecay, shares, horizons),
)
others = st.one_of(
    st.builds(Constant, some),
    st.builds(PolynomialDecay, shares, horizons, cycle=st.just(True)),
    st.builds(CosineDecay, shares, st.just(1.0), st.floats(0.01, 0.9), shares),
    st.builds(CosineRestarts, horizons, st.floats(1, 3), some, shares),
    st.builds(OneCycle, shares, st.just(1.0), st.floats(0.01, 0.9), shares),
    st.builds(LinearWarmup, horizons, shares),
    st.builds(PiecewiseConstant, st.just((0.2, 0.7)), st.tuples(shares, shares, shares)),
)
simple = st.one_of(decays, others)
seams = st.one_of(st.integers(1, 20), st.floats(0.01, 0.99))
chains = st.builds(Chained, simple, simple, seams)
anything = st.one_of(simple, chains, st.builds(Chained, chains, simple, seams))
lengths = st.integers(1, 25)


def per_of(schedule, per):
    """Return a copy by epoch or by batch; of a chain both parts are."""
    copy = clone(schedule)
    if isinstance(schedule, Chained):
        return Chained(per_of(copy.first, per), per_of(copy.second, per), copy.at)
    return copy.set_params(per=per) if "per" in copy.get_params() else copy


@given(anything, lengths, st.integers(1, 12))
def test_the_number_of_steps_does_not_change_the_schedule(schedule, epochs, n_steps):
    """By batch the rate at the beginning of an epoch is what it is by epoch, for any batch."""
    by_epoch = per_of(schedule, "epoch").simulate(epochs, 0.1)
    by_batch = per_of(schedule, "batch").simulate(epochs, 0.1, n_steps)
    assert_allclose(by_batch[::n_steps], by_epoch, rtol=1e-12)


@given(anything, lengths, st.integers(1, 12))
def test_the_rate_stays_between_nothing_and_the_optimizers_own(schedule, epochs, n_steps):
    """No kind leaves [0, learning rate] but by a factor that says so."""
    curve = per_of(schedule, "batch").simulate(epochs, 0.1, n_steps)
    assert curve.shape == (epochs * n_steps,) and curve.dtype == np.float64
    assert (curve >= 0).all() and (curve <= 0.1 * (1 + 1e-12)).all()


@given(decays, lengths, st.integers(1, 12))
def test_a_decay_never_rises(schedule, epochs, n_steps):
    """Neither from step to step nor from epoch to epoch."""
    curve = per_of(schedule, "batch").simulate(epochs, 0.1, n_steps)
    assert (np.diff(curve) <= 1e-15).all()


@given(simple, st.integers(1, 20), st.integers(1, 4))
def test_fractions_follow_the_number_of_epochs(schedule, epochs, times):
    """So many times as many epochs: the same curve, so many times as fine."""
    fixed = [name for name in schedule.horizons if isinstance(getattr(schedule, name), int)]
    if fixed or isinstance(schedule, TimeBasedDecay | StepDecay):  # whose formula counts 1 + epoch
        return
    longer = schedule.simulate(epochs * times, 0.1)
    assert_allclose(longer[::times], schedule.simulate(epochs, 0.1), rtol=1e-9, atol=1e-12)


def test_by_epoch_all_steps_have_one_rate():
    """By batch each has its own, and the value of the epoch at its beginning."""
    assert set(CosineDecay().rates(2, 0.1, 4, 5)) == {CosineDecay()(2, 0.1, 4)}
    rates = CosineDecay(per="batch").rates(2, 0.1, 4, 5)
    assert rates[0] == CosineDecay()(2, 0.1, 4) and (np.diff(rates) < 0).all()


def test_compounding_goes_smoothly_from_one_epoch_to_the_next():
    """By batch each step of an epoch is divided by the same number."""
    rates = TimeBasedDecay(decay=0.5, per="batch").simulate(3, 0.1, 4)
    ratios = (rates[1:] / rates[:-1]).reshape(-1)
    assert_allclose(ratios[:4], 1.5 ** (-1 / 4))
    assert_allclose(ratios[4:8], 2.0 ** (-1 / 4))


# -- chains ------------------------------------------------------------------------------------


@given(simple, simple, seams, st.integers(1, 20), st.integers(1, 6))
def test_the_second_of_a_chain_begins_as_if_training_began(first, second, at, epochs, n_steps):
    """Before the seam the first, from there the second over the epochs that are left."""
    chain = per_of(first.then(second, at), "batch")
    n_steps = n_steps if chain.by_batch() else 1  # two Constants change between epochs alone
    curve = chain.simulate(epochs, 0.1, n_steps)
    seam = at if isinstance(at, int) else at * epochs
    times = np.arange(epochs * n_steps) / n_steps
    for time, rate in zip(times, curve, strict=True):
        if abs(time - seam) < 1e-8:
            expected = second.value(0.0, 0.1, epochs - seam)
        elif time < seam:
            expected = first.value(time, 0.1, epochs)
        else:
            expected = second.value(time - seam, 0.1, epochs - seam)
        assert_allclose(rate, expected, rtol=1e-6, atol=1e-12)


@given(decays, st.floats(0.05, 0.9), shares)
def test_a_warm_up_leads_to_where_a_decay_begins(decay, at, start):
    """Both start from the optimizer's rate, so the curve has no jump at the seam."""
    chain = LinearWarmup(at, start).then(decay, at)
    before, after = (chain(at * 100 + apart, 0.1, 100) for apart in (-1e-6, 0.0))
    assert_allclose(after, decay(0, 0.1, 100 * (1 - at)), rtol=1e-6)
    assert_allclose(before, 0.1, rtol=1e-6)


def test_a_chain_of_chains_has_its_moments_in_order():
    """`at` counts from the beginning of training in each `then`."""
    chain = Constant(0.1).then(Constant(0.5), at=0.2).then(Constant(), at=0.6)
    assert_allclose(chain.simulate(5, 1.0), [0.1, 0.5, 0.5, 1.0, 1.0])


def test_arguments_of_a_chain_are_parameters():
    """By `first__` and `second__`, as deep as it goes; the chain itself stays as it was."""
    chain = Constant().then(StepDecay(), at=0.2).then(CosineDecay(), at=0.5)
    settings = {"first__second__drop": 0.1, "second__alpha": 0.3, "at": 0.6, "first__at": 2}
    live = resolve(chain, settings)
    assert live == Constant().then(StepDecay(0.1), at=2).then(CosineDecay(0.3), at=0.6)
    assert settings.keys() <= chain.get_params().keys()
    assert chain.first.second.drop == 0.5


def test_a_part_of_a_chain_may_be_any_recipe_of_a_schedule():
    """A Tunable is built before the chain is."""
    chain = Constant().then(Tunable(Warmup, over=4), at=2)
    assert_allclose(resolve(chain, {"second__over": 2})(2, 0.1), 0.05)


def test_a_chain_goes_by_batch_where_a_part_does():
    """The rate is set as often as the finer part asks for."""
    by_batch = LinearWarmup(2, 0.5, per="batch").then(Constant(), at=2)
    assert by_batch.by_batch() and Constant().then(by_batch, at=2).by_batch()
    assert not Constant().then(Constant(), at=2).by_batch()
    assert_allclose(by_batch.simulate(3, 0.1, 2), [0.05, 0.0625, 0.075, 0.0875, 0.1, 0.1])


# -- as recipes --------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ALL, ids=name_of)
def test_simulate_gives_one_value_a_step(schedule):
    """And none of no epochs."""
    assert schedule.simulate(12, 0.1).shape == (12,)
    assert schedule.simulate(0, 0.1).shape == (0,)
    assert_array_equal(schedule.simulate(3, 0.1), [schedule(e, 0.1, 3) for e in range(3)])


@pytest.mark.parametrize("schedule", ALL, ids=name_of)
def test_a_schedule_is_a_recipe(schedule):
    """Equal by description, cloned, pickled, built, and shown by what was changed."""
    copies = (clone(schedule), pickle.loads(pickle.dumps(schedule)), schedule.build())
    for copy in copies:
        assert copy == schedule and hash(copy) == hash(schedule) and copy is not schedule
    if not isinstance(schedule, Chained):
        assert repr(schedule) == f"{type(schedule).__name__}()"


@pytest.mark.parametrize("schedule", ALL, ids=name_of)
def test_every_argument_makes_a_difference_to_equality(schedule):
    """Two schedules are equal only if all arguments are."""
    for name in inspect.signature(type(schedule)).parameters:
        assert clone(schedule).set_params(**{name: "another"}) != schedule


def keras_schedule():
    """Return one of Keras' own schedule objects."""
    return kerass.CosineDecay(0.1, 5)


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
        (functools.partial(lambda epoch, lr, by: lr * by, by=3), {}, 0.9),
        (Tunable(lambda by: lambda epoch, lr: lr * by, by=2), {"by": 4}, 1.6),
    ],
)
def test_each_form_becomes_a_function_of_epoch_and_rate(given_as, settings, expected):
    """Schedule, name, class, Tunable and both kinds of function, at epoch 1 from 0.1."""
    assert_allclose(resolve(given_as, settings)(1, 0.1, 10), expected, rtol=1e-6)


@pytest.mark.parametrize("cls", [cls for cls in KINDS if cls is not Chained])
def test_each_kind_can_be_given_by_name(cls):
    """A chain cannot: it is made of others."""
    assert resolve(cls.__name__, {}) == cls()


def test_a_function_gets_the_rate_of_the_epoch_before():
    """As from Keras' LearningRateScheduler: the tutorials' table by the tutorials' function."""
    live = resolve(lambda epoch, lr: lr / (1 + 0.001 * epoch), {})
    expected = TimeBasedDecay(0.001).simulate(8, 0.1)
    assert_allclose(live.simulate(8, 0.1), expected, rtol=1e-12)
    for epoch in (7, 2, 5):  # out of order too: training may be taken up again from a pickle
        assert_allclose(live(epoch, 0.1), expected[epoch], rtol=1e-12)
    assert_allclose(live(3, 0.5), 5 * expected[3], rtol=1e-12)


def test_a_function_is_called_once_an_epoch():
    """The epochs before are not computed again."""
    calls = []
    resolve(lambda epoch, lr: calls.append(epoch) or lr, {}).simulate(5, 0.1)
    assert calls == [0, 1, 2, 3, 4]


def test_kerass_own_schedule_objects_are_taken_as_they_are():
    """They count optimizer steps, and go to the optimizer."""
    schedule = keras_schedule()
    assert resolve(schedule, {}) is schedule
    recipe = Tunable(type(schedule), initial_learning_rate=0.1, decay_steps=5)
    built = resolve(recipe, {"alpha": 0.5})
    assert isinstance(built, kerass.CosineDecay) and built.alpha == 0.5


def test_settings_of_a_keras_schedule_object_make_a_copy():
    """The object that the user passed stays as it is."""
    schedule = keras_schedule()
    changed = resolve(schedule, {"alpha": 0.5, "decay_steps": 9})
    assert (changed.alpha, changed.decay_steps) == (0.5, 9)
    assert (schedule.alpha, schedule.decay_steps) == (0.0, 5)


def test_without_a_schedule_its_settings_wait():
    """None is switched off; what is set below it is kept and ignored."""
    assert resolve(None, {"drop": 0.5}) is None


# -- bad input ---------------------------------------------------------------------------------

IN_UNIT = [-1, 2, "x", None, True, float("nan"), float("inf")]
POSITIVE = [-1, 0, "x", None, True, float("nan"), float("inf")]
AT_LEAST_0 = [-1, "x", None, True, float("nan"), float("inf")]
HORIZON = [-1, 0, 0.0, 1.5, 10.0, "x", None, True, float("nan"), float("inf"), [3]]
WARMUP = [-1, 1.5, 10.0, 1.0, "x", None, True, float("nan"), float("inf"), [3]]
FLAG = [1, 0, "x", None]
PER = ["step", "Epoch", None, 1, True]
WRONG = {
    "drop": [0, *IN_UNIT],
    "epochs_drop": HORIZON,
    "decay": AT_LEAST_0,
    "compounding": FLAG,
    "staircase": FLAG,
    "cycle": FLAG,
    "alpha": IN_UNIT,
    "warmup_start": IN_UNIT,
    "decay_epochs": HORIZON,
    "first_decay_epochs": HORIZON,
    "warmup_epochs": WARMUP,
    "factor": POSITIVE,
    "power": POSITIVE,
    "t_mul": [0.5, *AT_LEAST_0],
    "m_mul": [0, *IN_UNIT],
    "shape": ["square", None, 1],
    "per": PER,
    "boundaries": [3, (), [0], [5, 5], [0.7, 0.2], [1.5, 2.0], "ab", None, [True, 3]],
    "factors": [1.0, [1.0], [1.0, -0.1, 0.1], [1, "x", 1], [1.0, float("nan"), 1.0], None],
    "at": [1.0, *HORIZON],
}
RANGES = {
    (InverseTimeDecay, "decay_rate"): AT_LEAST_0,
    (ExponentialDecay, "decay_rate"): [0, *IN_UNIT],
    (LinearWarmup, "warmup_epochs"): HORIZON,
    (OneCycle, "warmup_epochs"): [0, *WARMUP],
}
CHAIN = {"first": Constant(), "second": Constant(), "at": 2}
BAD = [
    (cls, name, value)
    for cls in KINDS
    for name in inspect.signature(cls).parameters
    if not (cls is Chained and name in ("first", "second"))
    for value in RANGES.get((cls, name)) or WRONG[name]
]


@pytest.mark.parametrize("cls, name, value", BAD)
def test_a_bad_value_is_refused_when_training_starts(cls, name, value):
    """Not when it is set; the error names class, parameter and value, for every argument."""
    schedule = cls(**{**(CHAIN if cls is Chained else {}), name: value})
    for judge in (lambda: resolve(schedule, {}), lambda: schedule(0, 0.1, 10)):
        with pytest.raises(ValueError) as error:
            judge()
        assert f"`lr_schedule__{name}` of {cls.__name__}" in str(error.value)
        assert repr(value) in str(error.value)


@pytest.mark.parametrize("part", ["first", "second"])
def test_an_error_in_a_chain_says_where(part):
    """With the parameter's full name."""
    chain = Chained(**{**CHAIN, part: StepDecay(drop=2).then(Constant(), at=3)})
    with pytest.raises(ValueError, match=rf"`lr_schedule__{part}__first__drop` of StepDecay"):
        resolve(chain, {})
    with pytest.raises(ValueError, match=rf"`lr_schedule__{part}__first__dro=1`.*`lr_.*__drop`"):
        resolve(chain, {f"{part}__first__dro": 1})
    with pytest.raises(TypeError, match=rf"`lr_schedule__{part}` must be a schedule.* but got 3"):
        resolve(Chained(**{**CHAIN, part: 3}), {})


@pytest.mark.parametrize("cls", [CosineDecay, OneCycle])
def test_a_warm_up_ends_before_the_decay(cls):
    """Where the two can be compared; else a short training may still cut the decay off."""
    for warm, end in itertools.product((3, 0.3), repeat=2):
        cls(decay_epochs=end * 2, warmup_epochs=warm).check()
        if type(warm) is type(end):
            with pytest.raises(ValueError, match=r"`lr_schedule__warmup_epochs`.*less than"):
                resolve(cls(decay_epochs=end, warmup_epochs=warm), {})
    cut = cls(0.5, decay_epochs=0.5, warmup_epochs=4, warmup_start=0.0)
    ends = cut.simulate(6, 0.1)
    assert_allclose(ends[[0, 2, 4, 5]], [0.0, 0.05, 0.05, 0.05])


@pytest.mark.parametrize(
    "given_as, settings, error, words",
    [
        ("StepDeca", {}, ValueError, "`lr_schedule='StepDeca'`.*`StepDecay`"),
        (3, {}, TypeError, "`lr_schedule` must be None.*but got 3"),
        (Tunable(int), {}, TypeError, "`lr_schedule` must be None"),
        (abs, {"drop": 1}, ValueError, "`lr_schedule__drop` cannot be set.*skcb.schedules"),
        (CosineDecay(), {"drop": 1}, ValueError, "`lr_schedule__drop=1`: CosineDecay.*grids"),
        (CosineDecay(), {"alfa": 1}, ValueError, "CosineDecay has no.*Did you mean `lr.*alpha"),
        (
            keras_schedule(),
            {"alfa": 1},
            ValueError,
            "CosineDecay has no.*Did you mean `lr.*alpha",
        ),
        (
            lambda: 0.1,
            {},
            TypeError,
            r"of \(epoch\) or \(epoch, lr\), but .* takes \(\)",
        ),
        (lambda a, b, c: 0.1, {}, TypeError, r"takes \(a, b, c\)"),
    ],
)
def test_what_is_no_schedule_or_lacks_a_setting_is_refused(given_as, settings, error, words):
    """The error names what was given and what would be understood."""
    with pytest.raises(error, match=words):
        resolve(given_as, settings)


@pytest.mark.parametrize("value", [None, "0.1", [0.1], 1j, True])
def test_a_function_must_return_a_number(value):
    """The error shows the function, what it returned and in which epoch."""
    for function in (lambda epoch: value, lambda epoch, lr: value if epoch == 3 else lr):
        with pytest.raises(TypeError, match=r"`lr_schedule` must return a float.*epoch 3"):
            resolve(function, {})(3, 0.1, 10)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_function_must_return_a_learning_rate(value):
    """And so must a schedule of the user's own."""

    class Own(Schedule):
        def value(self, epoch, lr, epochs):
            return value

    for schedule in (lambda epoch: value, Own()):
        with pytest.raises(ValueError, match=r"finite learning rate of at least 0.*epoch 3"):
            resolve(schedule, {})(3, 0.1, 10)
