"""Bad input ends in a clear error before the first epoch: parameter, value, way out.

Every case is fitted with a model that fails the test when it takes a step of training.
"""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GroupKFold, PredefinedSplit

from skcb import KerasClassifier, KerasRegressor
from skcb.callbacks import EarlyStopping
from tests.models import X, Y, fitted, logits, own_loss, perceptron, untrainable

y = Y["binary"]


def with_value(array, value):
    """Return a copy with one value replaced."""
    copy = np.array(array, dtype=object if isinstance(value, str) else None)
    copy.reshape(-1)[7] = value
    return copy


def test_the_model_of_these_tests_would_notice_an_epoch():
    """Else they would show nothing."""
    with pytest.raises(pytest.fail.Exception, match="an epoch was trained"):
        fitted(untrainable)


# -- parameters --------------------------------------------------------------------------------

SCHEDULE = keras.optimizers.schedules.CosineDecay(0.1, 9)

NAMES = [  # refused at once: no choice could make them legal
    ({"epoch": 3}, r"Invalid parameter 'epoch'.*Did you mean `epochs`"),
    ({"hiden": 3}, r"Invalid parameter 'hiden'.*Did you mean `hidden`"),
    ({"optimiser__learning_rate": 1}, r"Did you mean `optimizer__learning_rate`"),
    (
        {"callbacks": {"stop": EarlyStopping()}, "callbacks__stp__patience": 3},
        r"no callback named 'stp'. Did you mean `callbacks__stop__patience`",
    ),
]
VALUES = [  # refused by fit
    ({"model__hidden": 3}, r"hidden=3`: untrainable has no parameter `hidden`"),
    ({"optimizer__learning_rat": 1}, r"Did you mean `optimizer__learning_rate`"),
    ({"optimizer": "adam", "optimizer__momentum": 0.9}, r"`optimizer__momentum=0\.9`: Adam has no"),
    (
        {"callbacks": {"stop": EarlyStopping()}, "callbacks__stop__patienc": 3},
        r"`callbacks__stop__patienc=3`.*Did you mean `callbacks__stop__patience`",
    ),
    (
        {"lr_schedule": "CosineDecay", "lr_schedule__drop": 0.5},
        r"`lr_schedule__drop=0\.5`: CosineDecay has no.*use a list of grids",
    ),
    ({"callbacks": [EarlyStopping(), 3]}, r"`callbacks` must be a recipe.*but got 3"),
    ({"callbacks": {"mine": 3}}, r"`callbacks__mine` must be a recipe.*but got 3"),
    ({"callbacks": {"mine": dict}}, r"`callbacks__mine` must be a recipe.*dict"),
    ({"callbacks": "EarlyStoping"}, r"Did you mean `EarlyStopping`"),
    (
        {"callbacks": [("stop", EarlyStopping()), ("stop", EarlyStopping())]},
        r"2 callbacks named 'stop'; each needs a name of its own",
    ),
    (
        {"callbacks": {"stop": EarlyStopping()}},
        r"`callbacks__stop__monitor='val_loss'`.*`validation_split=0\.2`",
    ),
    ({"validation_split": 1.0}, r"`validation_split` must be in \[0, 1\) but got 1\.0"),
    ({"validation_split": -0.1}, r"`validation_split` must be in \[0, 1\) but got -0\.1"),
    ({"validation_split": "0.2"}, r"`validation_split` must be a number.*but got '0\.2'"),
    ({"epochs": 0.5}, r"`epochs` must be an integer of at least 0 but got 0\.5"),
    ({"batch_size": 0}, r"`batch_size` must be a positive integer, -1 .* but got 0"),
    ({"predict__batch_size": 0}, r"`predict__batch_size` must be a positive integer.* but got 0"),
    ({"predict__callbacks": [3]}, r"`predict__callbacks` must be an instance of.* but got 3"),
    ({"predict__verbose": "loud"}, r"`predict__verbose` must be 0, 1, 2 or 'auto' but got 'loud'"),
    ({"shuffle": "batch"}, r"`shuffle` must be True or False but got 'batch'"),
    ({"verbose": 3}, r"`verbose` must be 0, 1, 2 or 'auto' but got 3"),
    ({"random_state": "zero"}, r"'zero' cannot be used to seed"),
    ({"loss": "binary_crossentrop"}, r"Did you mean `binary_crossentropy`"),
    ({"metrics": ["acuracy"]}, r"Did you mean `accuracy`"),
    ({"optimizer": "adm"}, r"Did you mean `Adam`"),
    ({"lr_schedule": "CosinDecay"}, r"Did you mean `CosineDecay`"),
    (
        {"lr_schedule": "CosineDecay", "optimizer": keras.optimizers.SGD(SCHEDULE)},
        r"`lr_schedule=.*schedule object both.*`optimizer__learning_rate=1e-3`",
    ),
    (
        {"lr_schedule": "CosineDecay", "optimizer__learning_rate": SCHEDULE},
        r"`lr_schedule=.*schedule object both.*`optimizer__learning_rate=1e-3`",
    ),
    (
        {"lr_schedule": SCHEDULE, "optimizer__learning_rate": 0.5},
        r"`optimizer__learning_rate=0\.5` reaches nothing",
    ),
    ({"class_weight": {"maybe": 2.0}}, r"`class_weight` names 'maybe', which is no class of y"),
    ({"class_weight": "even"}, r"`class_weight` must be a dict.*but got 'even'"),
    ({"fit__steps_per_epoch": 3}, r"`steps_per_epoch=3` is not taken: .*choose `batch_size`"),
    ({"fit__bach_size": 3}, r"Did you mean `fit__batch_size`"),
]


@pytest.mark.parametrize(("params", "message"), NAMES)
def test_a_name_that_reaches_nothing_is_refused_at_once(params, message):
    """By the constructor and by `set_params`."""
    with pytest.raises(ValueError, match=message):
        KerasClassifier(perceptron, **params)
    *others, name = params
    estimator = KerasClassifier(perceptron, **{other: params[other] for other in others})
    with pytest.raises(ValueError, match=message):
        estimator.set_params(**{name: params[name]})


@pytest.mark.parametrize(("params", "message"), VALUES)
def test_a_value_is_judged_before_the_first_epoch(params, message):
    """By `fit`, so that a search can score it by `error_score`."""
    estimator = KerasClassifier(untrainable, epochs=3).set_params(**params)
    with pytest.raises((ValueError, TypeError), match=message):
        estimator.fit(X, y)


# -- models ------------------------------------------------------------------------------------


def raising(meta):
    """Fail as a user's code may."""
    raise KeyError("my own mistake")


def ending_in(units):
    """Return a function that builds an untrainable model with these units."""
    meta = {"n_features_in_": 4, "n_output_units_": units, "output_activation_": "sigmoid"}
    return lambda: untrainable(meta)


def needs_width(meta, width):
    """Build nothing without a width."""


@pytest.mark.parametrize(
    ("build_fn", "message"),
    [
        (3, r"`build_fn` must be a function that returns a keras\.Model.*but got 3"),
        (None, r"`build_fn` must be a function.*or None in a subclass.*but got None"),
        (lambda: None, r"must return a keras\.Model but returned NoneType"),
        (lambda: (1, 2), r"must return a keras\.Model but returned tuple: \(1, 2\)"),
        (needs_width, r"`build_fn` needs_width needs `width`, which nobody gave: pass width="),
    ],
    ids=["a number", "nothing", "returns None", "returns a tuple", "an argument is missing"],
)
def test_what_builds_no_model_is_refused(build_fn, message):
    """The error names the function, what came of it, and what is missing."""
    with pytest.raises(TypeError, match=message):
        KerasClassifier(build_fn).fit(X, y)


def test_the_users_own_error_comes_through():
    """As it was raised, from where it was raised."""
    with pytest.raises(KeyError, match="my own mistake") as caught:
        KerasClassifier(raising).fit(X, y)
    assert caught.traceback[-1].name == "raising"


@pytest.mark.parametrize(
    ("kind", "units", "loss", "message"),
    [
        ("binary", 3, None, "3 units, but a binary target under binary_crossentropy needs 1"),
        ("multiclass", 1, None, "1 units, but a multiclass target under sparse_cat.* needs 3"),
        ("multilabel", 2, None, "2 units, but a multilabel target under binary_cross.* needs 3"),
        ("several targets", 1, None, "1 units, but a continuous target under mean_sq.* needs 2"),
        ("binary", 1, "categorical_crossentropy", "1 units.* categorical_crossentropy needs 2"),
        ("binary", 2, "hinge", "2 units, but a binary target under hinge needs 1"),
        ("binary", 1, ["mse", "mse"], "`loss` has 2 entries, but a binary target"),
    ],
)
def test_an_output_that_does_not_fit_target_and_loss_says_what_would(kind, units, loss, message):
    """The error gives both numbers and where the right one comes from."""
    with pytest.raises(ValueError, match=message) as caught:
        fitted(ending_in(units), kind, loss=loss)
    assert "meta['n_output_units_']" in str(caught.value) or "entries" in message


def test_a_model_of_other_inputs_is_refused():
    """The error gives the shape of the rows, and what Keras says."""

    def build():
        return keras.Sequential([layers.Input((9,)), layers.Dense(1, activation="sigmoid")])

    with pytest.raises(ValueError, match=r"rows of X have shape \(4,\).*Keras says"):
        KerasClassifier(build).fit(X, y)


# -- data --------------------------------------------------------------------------------------

WEIGHTS = np.ones(48)
DATA = [  # X, y, further arguments of fit, message
    (X[:, 0], y, {}, "Expected 2D array, got 1D array instead"),
    (X[:0], y[:0], {}, "Found array with 0 sample"),
    (X[:1], y[:1], {}, "1 sample|only one class"),
    (X, y[:40], {}, "inconsistent numbers of samples"),
    (with_value(X, np.nan), y, {}, "Input X contains NaN"),
    (with_value(X, np.inf), y, {}, "Input X contains infinity"),
    (with_value(X, "seven"), y, {}, "could not convert string to float: .*seven"),
    (X + 1j, y, {}, "Complex data not supported"),
    (X, None, {}, "requires y to be passed"),
    (X, np.full(48, "yes"), {}, "at least 2 classes.*only one class: 'yes'"),
    (X, X[:, 0], {}, "Unknown label type: .*continuous"),
    (X, np.zeros((48, 2, 2)), {}, "dim 3|3-D|Found array with dim"),
    (X, with_value(np.zeros(48), np.nan), {}, "Input y contains NaN"),
    (X, y, {"sample_weight": WEIGHTS[:40]}, "`sample_weight` has 40 values for 48 rows"),
    (X, y, {"sample_weight": np.ones((48, 2))}, "must be 1D|one-dimensional|1-D"),
    (X, y, {"sample_weight": with_value(WEIGHTS, np.nan)}, "`sample_weight` contains NaN or inf"),
    (X, y, {"sample_weight": with_value(WEIGHTS, -1)}, "`sample_weight` must not be negative"),
    (X, y, {"sample_weight": 0 * WEIGHTS}, "`sample_weight` is zero for all rows"),
    (X, y, {"X_val": X[:9]}, "`X_val` and `y_val` go together, but `y_val` is missing"),
    (X, y, {"X_val": X[:9, :3], "y_val": y[:9]}, "X has 3 features, but .* 4 features"),
    (X, y, {"X_val": X[:9], "y_val": y[:8]}, "inconsistent numbers of samples"),
    (X, y, {"X_val": X[:9], "y_val": ["maybe"] * 9}, "previously unseen labels: .'maybe'"),
    (X, y, {"validation_data": X}, r"`validation_data` must be \(X, y\) or"),
    (X, y, {"steps_per_epoch": 3}, "`steps_per_epoch=3` is not taken"),
    (X, y, {"epoch": 3}, r"fit\(\) got an unexpected argument 'epoch'. Did you mean `epochs`"),
]


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
@pytest.mark.parametrize(("X", "y", "more", "message"), DATA, ids=[case[3] for case in DATA])
def test_data_that_cannot_be_trained_on_is_refused(X, y, more, message):
    """In scikit-learn's words where it has some."""
    with pytest.raises((ValueError, TypeError), match=message):
        KerasClassifier(untrainable).fit(X, y, **more)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (with_value(Y["regression"], np.inf), "Input y contains infinity"),
        (with_value(Y["regression"], np.nan), "Input y contains NaN"),
        (y, "could not convert string to float"),
    ],
)
def test_values_that_cannot_be_learned_are_refused(y, message):
    """A regressor's y is numbers, all of them."""
    with pytest.raises(ValueError, match=message):
        KerasRegressor(untrainable).fit(X, y)


def test_a_regressor_has_no_class_weights():
    """Neither as a parameter nor in the call."""
    message = r"`class_weight={0: 1}` is not taken.*`sample_weight`"
    for given, call in (({"class_weight": {0: 1}}, {}), ({}, {"class_weight": {0: 1}})):
        with pytest.raises(ValueError, match=message):
            KerasRegressor(untrainable, **given).fit(X, Y["regression"], **call)


class WatchesNothing:
    def split(self, X, y=None, groups=None):
        yield np.arange(len(X)), np.arange(0)


@pytest.mark.parametrize(
    ("split", "groups", "message"),
    [
        (0.99, None, r"`validation_split=0\.99` leaves no rows to train: 0 train and 48 are"),
        (PredefinedSplit(np.zeros(48)), None, "leaves no rows to train"),
        (WatchesNothing(), None, "leaves no rows to watch: 48 train and 0 are watched"),
        (GroupKFold(3), np.arange(40), "`groups` has 40 values for 48 rows"),
        (GroupKFold(3), None, "'groups' parameter should not be None"),
    ],
    ids=[
        "no row to train",
        "none by a splitter",
        "no row to watch",
        "groups of another length",
        "no groups",
    ],
)
def test_a_split_that_cannot_be_made_is_refused(split, groups, message):
    """The error counts the rows on both sides."""
    with pytest.raises(ValueError, match=message):
        KerasClassifier(untrainable, validation_split=split).fit(X, y, groups=groups)


# -- after fit ---------------------------------------------------------------------------------

FRAME = pd.DataFrame(X, columns=list("abcd"))


@pytest.fixture(scope="module")
def trained():
    """Return a classifier fitted on a frame."""
    return fitted(rows=FRAME)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score"])
def test_what_is_not_fitted_says_so(method):
    """With scikit-learn's own error."""
    more = [y] if method == "score" else []
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        getattr(KerasClassifier(perceptron), method)(X, *more)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (FRAME[["a", "b", "c"]], "feature names should match.*[\\s\\S]*missing"),
        (FRAME[["b", "a", "c", "d"]], "feature names should match.*[\\s\\S]*same order"),
        (X[:, :3], "X has 3 features, but KerasClassifier is expecting 4"),
        (with_value(X, np.nan), "Input X contains NaN"),
        (X[0], "Expected 2D array, got 1D"),
    ],
    ids=["fewer columns", "another order", "fewer features", "nan", "one row, flat"],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_rows_of_another_kind_are_not_predicted(trained, rows, message):
    """Number, names and order of the columns are those of `fit`."""
    with pytest.raises(ValueError, match=message):
        trained.predict(rows)


def test_a_label_that_was_never_seen_is_not_scored(trained):
    """The error names it, the labels that there are, and the parameter that takes all."""
    message = r"previously unseen labels: .*'maybe'.*\['no', 'yes'\]\).*`classes`"
    with pytest.raises(ValueError, match=message):
        trained.score(FRAME, with_value(y, "maybe"))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"steps": 1}, r"`steps=1` is not taken: all rows are predicted"),
        ({"batch_sise": 1}, r"predict\(\) got an unexpected argument.*Did you mean `batch_size`"),
        ({"batch_size": 0}, r"`batch_size` must be a positive integer"),
    ],
)
@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_an_argument_that_prediction_does_not_take_is_refused(trained, method, params, message):
    """Rows are never left out without a word."""
    with pytest.raises((ValueError, TypeError), match=message):
        getattr(trained, method)(FRAME, **params)


def test_outputs_that_are_no_probabilities_are_not_passed_off_as_some():
    """Margins, and whatever a loss of the user's own leads to."""
    with pytest.raises(ValueError, match="a binary target under hinge gives no probabilities"):
        fitted(loss="hinge").predict_proba(X)
    with pytest.raises(ValueError, match=r"no probabilities: they reach from .* to"):
        fitted(logits, loss=own_loss).predict_proba(100 * X)
    with pytest.raises(ValueError, match=r"no probabilities: a row sums to .* instead of 1"):
        model = keras.Sequential([layers.Input((4,)), layers.Dense(3, activation="sigmoid")])
        fitted(model, "multiclass").predict_proba(X)
