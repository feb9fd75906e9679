"""Every schedule and every argument, through searches and fits, at the live learning rate."""

import inspect
import pickle

import keras
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV

import skcb
from skcb import KerasClassifier, Tunable, schedules
from skcb.callbacks import LearningRateScheduler, ReduceLROnPlateau
from skcb.schedules import (
    Chained,
    Constant,
    CosineDecay,
    ExponentialDecay,
    LinearWarmup,
    OneCycle,
    PiecewiseConstant,
    PolynomialDecay,
    StepDecay,
)
from tests.models import Play, X, Y, fitted, perceptron, untrainable

y = Y["binary"]
LR, EPOCHS, ROWS = 0.125, 6, len(X)  # exact in float32, as Keras keeps it


def classifier(build_fn=perceptron, **params):
    """Describe a small classifier trained by SGD."""
    given = {"optimizer": "sgd", "optimizer__learning_rate": LR, "epochs": EPOCHS}
    return KerasClassifier(build_fn, **{**given, "batch_size": 8, "random_state": 0, **params})


def rates_of(**params):
    """Fit a classifier and return the learning rates of its history."""
    return classifier(**params).fit(X, y).history_["learning_rate"]


def expected(schedule, *, epochs=EPOCHS, rows=ROWS, batch_size=8, lr=LR):
    """Return the rate of the last step of each epoch, by simulation."""
    steps = -(-rows // batch_size)
    return schedule.simulate(epochs, lr, steps)[steps - 1 :: steps]


# -- every argument of every schedule ----------------------------------------------------------

WARM = LinearWarmup(2)
ARGUMENTS = {  # for each kind two values of each argument, and what else must be set to see them
    "Chained": (
        {"at": [1, 0.5], "first": [Constant(), WARM], "second": [Constant(), CosineDecay()]},
        {"first": Constant(0.1), "second": ExponentialDecay(0.5), "at": 2},
    ),
    "Constant": ({"factor": [0.5, 1]}, {}),
    "CosineDecay": (
        {
            "alpha": [0.0, 0.1],
            "decay_epochs": [3, 0.75],
            "warmup_epochs": [0, 2],
            "warmup_start": [0.1, 0.5],
            "per": ["epoch", "batch"],
        },
        {"warmup_epochs": 2},
    ),
    "CosineRestarts": (
        {
            "first_decay_epochs": [2, 0.5],
            "t_mul": [1.0, 2.0],
            "m_mul": [1.0, 0.5],
            "alpha": [0.0, 0.1],
            "per": ["epoch", "batch"],
        },
        {"first_decay_epochs": 2},
    ),
    "ExponentialDecay": (
        {
            "decay_rate": [0.9, 0.5],
            "decay_epochs": [2, 0.75],
            "staircase": [False, True],
            "per": ["epoch", "batch"],
        },
        {"decay_epochs": 2},
    ),
    "InverseTimeDecay": (
        {
            "decay_rate": [0.9, 0.5],
            "decay_epochs": [2, 0.75],
            "staircase": [False, True],
            "per": ["epoch", "batch"],
        },
        {"decay_epochs": 2},
    ),
    "LinearWarmup": (
        {"warmup_epochs": [3, 0.75], "warmup_start": [0.1, 0.5], "per": ["epoch", "batch"]},
        {"warmup_epochs": 3},
    ),
    "OneCycle": (
        {
            "alpha": [0.0, 0.1],
            "decay_epochs": [4, 1.0],
            "warmup_epochs": [2, 0.5],
            "warmup_start": [0.1, 0.5],
            "shape": ["cosine", "linear"],
            "per": ["epoch", "batch"],
        },
        {"warmup_epochs": 3, "decay_epochs": 5},
    ),
    "PiecewiseConstant": (
        {
            "boundaries": [[1, 3], (0.1, 0.4)],
            "factors": [[1.0, 0.5, 0.1], (0.1, 1.0, 0.5)],
            "per": ["epoch", "batch"],
        },
        {},
    ),
    "PolynomialDecay": (
        {
            "alpha": [0.0, 0.1],
            "decay_epochs": [2, 0.75],
            "power": [1.0, 2.0],
            "cycle": [False, True],
            "per": ["epoch", "batch"],
        },
        {"decay_epochs": 4, "power": 2.0},
    ),
    "StepDecay": (
        {"drop": [0.5, 0.1], "epochs_drop": [2, 0.5], "per": ["epoch", "batch"]},
        {"epochs_drop": 0.25},
    ),
    "TimeBasedDecay": (
        {"decay": [0.1, 0.5], "compounding": [True, False], "per": ["epoch", "batch"]},
        {"decay": 0.3},
    ),
}
LEFT_OUT = {"Schedule": "the base of all others"}


def test_no_schedule_and_no_argument_is_left_out():
    """Whatever `skcb.schedules` shows is in the table, or in the list with its reason."""
    assert {*ARGUMENTS, *LEFT_OUT} == set(schedules.__all__)
    for name, (arguments, _) in ARGUMENTS.items():
        assert set(arguments) == set(inspect.signature(getattr(schedules, name)).parameters)
        assert all(len(values) == 2 for values in arguments.values())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ARGUMENTS)
def test_a_grid_over_every_argument_reaches_the_learning_rate(kind):
    """Two values, two folds: each fit trained at the rates of its own value, and they differ."""
    arguments, base = ARGUMENTS[kind]
    cls = getattr(schedules, kind)
    seen = {}

    def note(estimator, X_test, y_test):
        name, value = next(
            (n, v) for n, v in estimator._sk_params.items() if n.startswith("lr_schedule__")
        )
        rates = estimator.history_["learning_rate"]
        seen.setdefault((name, str(value)), []).append(rates)
        schedule = cls(**{**base, name.removeprefix("lr_schedule__"): value})
        assert_allclose(rates, expected(schedule, rows=ROWS // 2), rtol=1e-6, atol=1e-12)
        return 0.0

    grids = [{f"lr_schedule__{name}": values} for name, values in arguments.items()]
    search = GridSearchCV(
        classifier(lr_schedule=cls(**base)), grids, cv=2, scoring=note, refit=False
    )
    search.set_params(error_score="raise").fit(X, y)
    for name, values in arguments.items():
        first, second = (seen[f"lr_schedule__{name}", str(value)] for value in values)
        assert len(first) == len(second) == 2  # folds
        assert not np.allclose(first[0], second[0], rtol=1e-3)


def scores_of(grids, **params):
    """Search; return the learning rate of the last epoch by candidate."""
    score = {"last": lambda estimator, X, y: estimator.history_["learning_rate"][-1]}
    search = GridSearchCV(classifier(**params), grids, cv=2, scoring=score, refit=False)
    return search.fit(X, y).cv_results_["mean_test_last"]


def test_kinds_and_settings_in_one_search():
    """A list of grids, each a kind with settings of its own."""
    grids = [
        {"lr_schedule": [None]},
        {"lr_schedule": [StepDecay(epochs_drop=2)], "lr_schedule__drop": [0.5, 0.1]},
        {"lr_schedule": ["PolynomialDecay"], "lr_schedule__alpha": [0.4]},
    ]
    found = scores_of(grids)
    assert_allclose(found, [LR, LR / 8, LR / 1000, LR * (0.4 + 0.6 / 6)], rtol=1e-6)


def test_settings_that_kinds_share_need_no_list():
    """`alpha` and `per` are the same thing in several kinds."""
    kinds = [CosineDecay(), PolynomialDecay(), OneCycle()]
    grid = {"lr_schedule": kinds, "lr_schedule__alpha": [0.5, 1.0], "lr_schedule__per": ["batch"]}
    values = [
        expected(type(kind)(alpha=alpha, per="batch"), rows=ROWS // 2)[-1]
        for kind in kinds
        for alpha in (0.5, 1.0)
    ]
    # A grid varies its keys in alphabetical order, the last fastest.
    assert_allclose(scores_of(grid), values, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
def test_a_setting_that_one_kind_lacks_is_scored_as_an_error():
    """The candidate fails, with the way out in its message; the search goes on."""
    grid = {"lr_schedule": [CosineDecay(), StepDecay()], "lr_schedule__drop": [0.5]}
    with pytest.warns(
        FitFailedWarning, match=r"CosineDecay has no parameter `drop`[\s\S]*list of grids"
    ):
        found = scores_of(grid)
    assert_array_equal(np.isnan(found), [True, False])


def test_settings_deep_in_a_chain_are_searched():
    """The names say which part is meant."""
    chain = LinearWarmup(2).then(StepDecay(epochs_drop=1), at=2)
    grid = {"lr_schedule__second__drop": [0.5, 0.1], "lr_schedule__at": [2, 4]}
    assert_allclose(
        scores_of(grid, lr_schedule=chain),
        [LR * drop ** (EPOCHS - at) for at in (2, 4) for drop in (0.5, 0.1)],
        rtol=1e-6,
    )
    assert "lr_schedule__first__warmup_start" in classifier(lr_schedule=chain).get_params()


def keras_schedule():
    """Return one of Keras' own schedule objects, which counts steps."""
    return keras.optimizers.schedules.ExponentialDecay(0.2, 3, 0.5)


@pytest.mark.parametrize(
    "schedule",
    [
        keras_schedule(),
        Tunable(
            keras.optimizers.schedules.ExponentialDecay,
            initial_learning_rate=0.2,
            decay_steps=3,
            decay_rate=0.5,
        ),
    ],
    ids=["object", "tunable"],
)
def test_a_schedule_of_keras_and_its_settings_are_searched(schedule):
    """Object or Tunable: the rate of the last step of 3 × 6 stands in the history."""
    net = KerasClassifier(
        perceptron, optimizer="sgd", epochs=EPOCHS, batch_size=8, lr_schedule=schedule
    )
    score = {"last": lambda estimator, X, y: estimator.history_["learning_rate"][-1]}
    grid = {"lr_schedule__decay_rate": [0.5, 0.25]}
    found = GridSearchCV(net, grid, cv=2, scoring=score, refit=False).fit(X, y).cv_results_
    assert_allclose(found["mean_test_last"], [0.2 * r ** (17 / 3) for r in (0.5, 0.25)], rtol=1e-5)


# -- batch sizes and numbers of epochs ---------------------------------------------------------


def test_the_batch_size_does_not_change_the_schedule():
    """By epoch the same rates to the bit; by batch the same curve, sampled more or less finely."""
    sizes = (8, 32, 128)
    curves = [rates_of(lr_schedule=CosineDecay(alpha=0.1), batch_size=size) for size in sizes]
    assert curves[0] == curves[1] == curves[2]
    for size in sizes:
        rates = rates_of(lr_schedule=CosineDecay(0.1, 0.5, per="batch"), batch_size=size)
        assert_allclose(rates[-3:], [LR / 10] * 3, rtol=1e-6)  # the end of the curve, whatever size
        steps = -(-ROWS // size)
        last = (np.arange(1, 4) * steps - 1) / steps / 3
        assert_allclose(rates[:3], LR * (0.45 * (1 + np.cos(np.pi * last)) + 0.1), rtol=1e-6)


@pytest.mark.parametrize("per", ["epoch", "batch"])
def test_fractions_follow_the_epochs_that_halving_picks(per):
    """Every candidate of every rung sees the whole curve, and ends at the same rate."""
    seen = []

    def note(estimator, X_test, y_test):
        seen.append(estimator.history_["learning_rate"])
        return float(estimator.lr_schedule.alpha)

    net = classifier(lr_schedule=CosineDecay(decay_epochs=0.5, per=per))
    alphas = [CosineDecay(alpha, 0.5, per=per) for alpha in (0.1, 0.2, 0.3, 0.4)]
    HalvingGridSearchCV(
        net,
        {"lr_schedule": alphas},
        cv=2,
        factor=2,
        resource="epochs",
        min_resources=2,
        max_resources=8,
        scoring=note,
        refit=False,
        random_state=0,
        error_score="raise",
    ).fit(X, y)
    assert {len(rates) for rates in seen} == {2, 4, 8}
    for rates in seen:
        ends = rates[len(rates) // 2 :]
        alpha = round(ends[-1] / LR, 6)
        assert alpha in (0.1, 0.2, 0.3, 0.4)
        assert_allclose(ends, LR * alpha, rtol=1e-6)
        whole = CosineDecay(alpha, 0.5, per=per)
        assert_allclose(rates, expected(whole, epochs=len(rates), rows=24), rtol=1e-6)


@pytest.mark.parametrize("per", ["epoch", "batch"])
def test_history_shows_what_simulate_shows(per):
    """The rate of the last step of each epoch, a short last batch included."""
    schedule = CosineDecay(warmup_epochs=0.3, per=per)
    rates = rates_of(lr_schedule=schedule, batch_size=7)
    assert_allclose(rates, expected(schedule, batch_size=7), rtol=1e-6)


# -- Keras' own numbers ------------------------------------------------------------------------


class SetsRates(keras.callbacks.Callback):
    """Sets the learning rate of each step of plain Keras."""

    def __init__(self, rates):
        super().__init__()
        self.rates = iter(rates.astype("float32"))

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate = next(self.rates)


class SeesBatches(keras.callbacks.Callback):
    """Wants the batches; notes the rate that each was trained at."""

    def on_train_begin(self, logs=None):
        self.rates = []

    def on_train_batch_end(self, batch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))


def adam():
    """Return an optimizer with a state of its own."""
    return keras.optimizers.Adam(LR)


def scaled():
    """Return an optimizer around another."""
    return keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(LR, momentum=0.9))


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", [adam, scaled])
@pytest.mark.parametrize("road", ["whole epochs", "batch by batch", "keras"])
def test_a_rate_for_each_step_gives_kerass_numbers(road, optimizer):
    """History and weights of `Model.fit` with a callback that sets the rates: difference 0.0."""
    schedule = OneCycle(per="batch")
    rates = schedule.simulate(EPOCHS, LR, -(-ROWS // 9))
    net = KerasClassifier(
        perceptron,
        optimizer=Tunable(optimizer),
        batch_size=9,
        shuffle=False,
        random_state=0,
        engine="keras" if road == "keras" else "auto",
        callbacks=SeesBatches() if road == "batch by batch" else None,
    )
    model = clone(net).set_params(epochs=0).fit(X, y).model_
    net.set_params(epochs=EPOCHS, lr_schedule=schedule).fit(X, y)
    codes = np.unique(y, return_inverse=True)[1].astype("float32")
    history = model.fit(
        X,
        codes,
        batch_size=9,
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
        callbacks=[SetsRates(rates)],
    ).history
    assert net.engine_.startswith(road)
    assert net.history_["loss"] == history["loss"]
    for ours, kerass in zip(net.model_.get_weights(), model.get_weights(), strict=True):
        assert_array_equal(ours, kerass)
    if road == "batch by batch":
        assert_allclose(net.callbacks_["sees_batches"].rates, rates, rtol=1e-6)


def test_a_function_means_what_it_means_to_keras():
    """The same rates as from Keras' LearningRateScheduler, which hands on the present rate."""
    for function in (
        lambda epoch: 0.1 / (1 + epoch),
        lambda epoch, lr: lr if epoch < 2 else lr * 0.7,
    ):
        ours = rates_of(lr_schedule=function)
        kerass = rates_of(callbacks=LearningRateScheduler(function))
        assert_allclose(ours, kerass, rtol=1e-6)


def test_no_schedule_traces_a_program_again():
    """Numbers flow into what is compiled, by epoch and by batch."""
    skcb.clear_programs()
    kinds = [None, CosineDecay(), CosineDecay(per="batch"), StepDecay(), OneCycle(per="batch")]
    for schedule in [*kinds, lambda epoch: 0.1, LinearWarmup(per="batch").then(Constant(), 2)]:
        rates_of(lr_schedule=schedule)
        rates_of(lr_schedule=schedule, batch_size=20, epochs=2)
    report = skcb.engine_report()
    assert report.programs == 1 and report.traces["train"] == 1


# -- together with plateaus, and going on ------------------------------------------------------


@pytest.mark.parametrize("per", ["epoch", "batch"])
def test_schedule_and_plateau_multiply(per):
    """Each plateau halves all that the schedule still gives; `min_lr` holds for the product."""
    schedule = PolynomialDecay(per=per)
    stalls = [1.0, 0.5, 0.6, 0.4, 0.5, 0.5]  # lowered after epochs 2 and 4
    found = rates_of(
        lr_schedule=schedule,
        callbacks={
            "play": Play("val_stall", stalls),
            "plateau": ReduceLROnPlateau("val_stall", 0.5, patience=1, mode="min", min_lr=0.012),
        },
        validation_split=0.25,
    )
    alone = expected(schedule, rows=36)
    factors = np.array([1, 1, 1, 0.5, 0.5, 0.25])
    product = np.maximum(alone * factors, np.minimum(0.012, alone))
    assert_allclose(found, product, rtol=1e-5)


@pytest.mark.parametrize("per", ["epoch", "batch"])
def test_partial_fit_goes_along_the_curve_and_holds_its_end(per):
    """Epoch after epoch as `fit`, across a pickle too; beyond `epochs` the last value."""
    net = classifier(lr_schedule=CosineDecay(per=per), epochs=3)
    whole = classifier(lr_schedule=CosineDecay(per=per), epochs=3).fit(X, y)
    for call in range(5):
        net.partial_fit(X, y)
        if call == 0:
            net = pickle.loads(pickle.dumps(net))
        if call == 2:
            assert net.history_ == whole.history_
    rates = net.history_["learning_rate"]
    assert rates[3] == rates[4] == pytest.approx(rates[2], rel=1e-6) and rates[2] > 0


def test_a_function_goes_on_from_a_pickle():
    """The rate of the epoch before is computed again where it is not known."""
    net = classifier(lr_schedule=halved, epochs=3)
    for _ in range(3):
        net = pickle.loads(pickle.dumps(net.partial_fit(X, y)))
    assert_allclose(net.history_["learning_rate"], LR / np.array([2, 4, 8]), rtol=1e-6)


def halved(epoch, lr):
    """Halve the rate of the epoch before."""
    return lr / 2


# -- bad input ---------------------------------------------------------------------------------

BY_STEPS = keras.optimizers.schedules.CosineDecay(0.1, 9)
REFUSED = [
    (
        {"lr_schedule": CosineDecay(), "lr_schedule__alfa": 0.1},
        r"`lr_schedule__alfa=0\.1`: CosineDecay has no.*`lr_schedule__alpha`",
    ),
    (
        {"lr_schedule": OneCycle(), "lr_schedule__drop": 0.1},
        r"OneCycle has no parameter `drop`.*use a list of grids",
    ),
    (
        {"lr_schedule": WARM.then(StepDecay(), at=2), "lr_schedule__second__dorp": 0.1},
        r"`lr_schedule__second__dorp=0\.1`: StepDecay.*`lr_schedule__second__drop`",
    ),
    (
        {"lr_schedule": WARM.then(StepDecay(), at=2), "lr_schedule__drop": 0.1},
        r"`lr_schedule__drop=0\.1`: Chained has no parameter `drop`",
    ),
    (
        {"lr_schedule": StepDecay(drop="half")},
        r"`lr_schedule__drop` of StepDecay.*\(0, 1\].*'half'",
    ),
    ({"lr_schedule": StepDecay(), "lr_schedule__drop": 2.0}, r"number in \(0, 1\] but got 2\.0"),
    ({"lr_schedule": StepDecay(epochs_drop=0)}, r"`lr_schedule__epochs_drop`.*at least 1.*got 0"),
    ({"lr_schedule": CosineDecay(decay_epochs=1.5)}, r"fraction of training.*\(0, 1\].*got 1\.5"),
    ({"lr_schedule": CosineDecay(decay_epochs=-0.5)}, r"\(0, 1\]\) but got -0\.5"),
    ({"lr_schedule": CosineDecay(decay_epochs=float("nan"))}, r"\(0, 1\]\) but got nan"),
    ({"lr_schedule": WARM.then(Constant(), at=1.0)}, r"`lr_schedule__at` of Chained.*\(0, 1\)"),
    ({"lr_schedule": PiecewiseConstant([0.5], [1.0])}, r"`lr_schedule__factors`.*2 numbers"),
    ({"lr_schedule": CosineDecay(per="step")}, r"`lr_schedule__per`.*'epoch' or 'batch'.*'step'"),
    ({"lr_schedule": lambda epoch: "fast"}, r"must return a float.*returned 'fast' for epoch 0"),
    ({"lr_schedule": lambda epoch: None}, r"must return a float.*returned None for epoch 0"),
    ({"lr_schedule": lambda epoch: float("nan")}, r"finite learning rate.*returned nan"),
    ({"lr_schedule": lambda: 0.1}, r"function of \(epoch\) or \(epoch, lr\)"),
    (
        {"lr_schedule": OneCycle(per="batch"), "optimizer": keras.optimizers.SGD(BY_STEPS)},
        r"`lr_schedule=OneCycle\(.*schedule object both.*`optimizer__learning_rate=1e-3`",
    ),
    ({"lr_schedule": 0.1}, r"`lr_schedule` must be None.*but got 0\.1"),
    ({"lr_schedule": "StepDecaj"}, r"Did you mean `StepDecay`"),
]


@pytest.mark.parametrize(("params", "message"), REFUSED)
def test_a_schedule_is_judged_before_the_first_epoch(params, message):
    """By `fit`, with a model that fails the test when a step is taken."""
    estimator = KerasClassifier(untrainable, epochs=3).set_params(**params)
    with pytest.raises((ValueError, TypeError), match=message):
        estimator.fit(X, y)


def test_the_model_of_these_tests_would_notice_an_epoch():
    """Else they would show nothing."""
    with pytest.raises(pytest.fail.Exception, match="an epoch was trained"):
        fitted(untrainable, lr_schedule=CosineDecay(), epochs=2)


def test_a_chain_is_part_of_what_is_cloned():
    """A search's candidates do not share their schedules."""
    net = classifier(lr_schedule=Chained(Constant(), StepDecay(), at=2))
    copy = clone(net).set_params(lr_schedule__second__drop=0.1)
    assert copy.lr_schedule == net.lr_schedule
    assert copy.lr_schedule.second is not net.lr_schedule.second
