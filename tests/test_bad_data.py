"""Data that cannot be learned from: one real case of each kind, with what the error says.

Parameters, models and the shapes of X are in test_bad_input.py.
"""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from scipy import sparse
from sklearn.model_selection import GroupKFold, LeaveOneGroupOut, PredefinedSplit

from skcb import KerasClassifier, KerasRegressor
from tests.models import X, Y, fitted, logits, perceptron, untrainable

y, values = Y["binary"], Y["regression"]
FRAME = pd.DataFrame(X, columns=list("abcd"))


DAYS = np.datetime64("2026-01-01") + np.arange(48)


def with_value(array, value, dtype=None):
    """Return a copy with one value replaced."""
    copy = np.array(array, dtype=dtype)
    copy.reshape(-1)[7] = value
    return copy


HUGE = np.full(48, 1e60)
FIRST = PredefinedSplit(np.where(np.arange(48) < 9, 0, -1))
CLASSIFIED = [
    ("one row", X[:1], y[:1], {}, "only one class: 'yes'|only one class: 'no'"),
    ("no columns", X[:, :0], y, {}, r"Found array with 0 feature\(s\)"),
    ("objects", with_value(X, {"a": 1}, object), y, {}, "argument must be .* real number"),
    ("a column of words", FRAME.assign(b="word"), y, {}, "could not convert string to float"),
    ("complex y", X, values + 1j, {}, "Complex data not supported|Unknown label type"),
    ("sparse NaN", sparse.csr_array(with_value(X, np.nan)), y, {}, "Input X contains NaN"),
    ("a list of texts", ["a", "b"], y[:2], {}, "Expected 2D array, got 1D array"),
    (
        "y of mixed types",
        X,
        with_value(y, 3, object),
        {},
        "'<' not supported between|mixed|uniform",
    ),
    (
        "a column of mixed types",
        X,
        np.column_stack([with_value(y, 3, object), y]),
        {},
        "labels of several kinds, '(yes|no)' and 3",
    ),
    ("NaN in labels", X, with_value(y, np.nan, object), {}, "contains NaN"),
    ("negative weight", X, y, {"sample_weight": -np.ones(48)}, "must not be negative"),
    ("inf in weights", X, y, {"sample_weight": np.full(48, np.inf)}, "NaN or infinity"),
    ("words as weights", X, y, {"sample_weight": ["a"] * 48}, "could not convert string to float"),
    ("weights too large", X, y, {"sample_weight": HUGE}, "`sample_weight` has a value too large"),
    (
        "weights in watched rows alone",
        X,
        y,
        {"sample_weight": np.arange(48) < 9, "validation_split": FIRST},
        "`sample_weight` is zero .* for all training rows",
    ),
    (
        "weights in training rows alone",
        X,
        y,
        {"sample_weight": np.arange(48) >= 9, "validation_split": FIRST},
        "`sample_weight` is zero .* for all watched rows",
    ),
    (
        "weights of classes",
        X,
        y,
        {"class_weight": {"yes": 0, "no": 0}},
        "`class_weight` is zero .* for all training rows",
    ),
    (
        "weights of rows by those of classes",
        X,
        y,
        {"sample_weight": y == "yes", "class_weight": {"yes": 0.0}},
        "`sample_weight` times `class_weight` is zero .* for all training rows",
    ),
    (
        "NaN in watched X",
        X,
        y,
        {"X_val": np.full((9, 4), np.nan), "y_val": y[:9]},
        "Input X contains NaN",
    ),
    ("no watched row", X, y, {"X_val": X[:0], "y_val": y[:0]}, "Found array with 0 sample"),
    (
        "watched weights",
        X,
        y,
        {"X_val": X[:9], "y_val": y[:9], "sample_weight_val": np.ones(4)},
        "`sample_weight` has 4 values for 9 rows",
    ),
    (
        "watched weights alone",
        X,
        y,
        {"sample_weight_val": np.ones(4)},
        "`sample_weight_val` weighs `X_val` and `y_val`, which are missing",
    ),
    (
        "both forms",
        X,
        y,
        {"X_val": X, "y_val": y, "validation_data": (X, y)},
        "Give either `X_val`.* or `validation_data`, not both",
    ),
]


@pytest.mark.parametrize(
    ("X", "y", "more", "message"), [c[1:] for c in CLASSIFIED], ids=[c[0] for c in CLASSIFIED]
)
def test_data_that_cannot_be_classified_is_refused(X, y, more, message):
    """Before the first epoch."""
    with pytest.raises((ValueError, TypeError), match=message):
        KerasClassifier(untrainable, validation_split=more.pop("validation_split", 0)).fit(
            X, y, **more
        )


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (HUGE, "^Input y contains infinity or a value too large for dtype.'float32'"),
        (DAYS, r"^y holds dates or times \(datetime64"),
        (DAYS - DAYS[0], r"^y holds dates or times \(timedelta64"),
        (pd.Series(DAYS), r"^y holds dates or times \(datetime64"),
        (np.column_stack([DAYS, DAYS]), r"^y holds dates or times \(datetime64"),
        (with_value(values, np.nan), "contains NaN"),
        (values + 1j, "Complex data not supported"),
        (np.zeros((48, 2, 2)), "dim 3|3-D|Found array with dim"),
        (values[:40], "inconsistent numbers of samples"),
        ([], "Found array with 0 sample|inconsistent numbers of samples"),
    ],
    ids=[
        "too large",
        "dates",
        "durations",
        "a column of dates",
        "columns of dates",
        "nan",
        "complex",
        "three dimensions",
        "fewer rows",
        "none",
    ],
)
def test_values_that_cannot_be_learned_are_refused(y, message):
    """Before the first epoch."""
    with pytest.raises((ValueError, TypeError), match=message):
        KerasRegressor(untrainable).fit(X, y)


def test_watched_values_that_no_loss_can_take_are_refused():
    """As those that train, before the first epoch."""
    with pytest.raises(ValueError, match=r"Input y contains .* too large for dtype.'float32'"):
        KerasRegressor(untrainable).fit(X, values, X_val=X, y_val=HUGE)


def test_one_row_can_be_regressed():
    """A mean of one row is a mean; nothing more can be asked of it."""
    assert KerasRegressor(logits).fit(X[:1], values[:1]).predict(X).shape == (48,)


def test_one_row_cannot_be_split():
    """The error counts the rows."""
    with pytest.raises(ValueError, match="leaves no rows to train: 0 train and 1 are watched"):
        KerasRegressor(untrainable, validation_split=0.5).fit(X[:1], values[:1])


def test_a_loss_that_does_not_fit_the_target_is_refused():
    """Several labels a row, under a loss that has one."""
    message = "categorical_crossentropy needs exactly one 1 in each row.*binary_crossentropy"
    with pytest.raises(ValueError, match=message):
        fitted(untrainable, "multilabel", loss="categorical_crossentropy")


def test_a_splitter_says_what_it_cannot_do():
    """Scikit-learn's own error comes through."""
    with pytest.raises(ValueError, match="Cannot have number of splits n_splits=9 greater"):
        KerasClassifier(untrainable, validation_split=GroupKFold(9)).fit(
            X, y, groups=np.arange(48) % 3
        )
    with pytest.raises(ValueError, match="LeaveOneGroupOut expects at least 2"):
        KerasClassifier(untrainable, validation_split=LeaveOneGroupOut()).fit(
            X, y, groups=np.zeros(48)
        )


def test_a_splitter_whose_sides_overlap_is_refused():
    """A row that trains is not watched."""

    class Both:
        def split(self, X, y=None, groups=None):
            yield np.arange(48), np.arange(5, 9)

    with pytest.raises(ValueError, match="lets row 5 both train and be watched"):
        KerasClassifier(untrainable, validation_split=Both()).fit(X, y)


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ({"maybe": 1.0}, "names 'maybe', which is no class of y"),
        ({0: 1.0, 1: 2.0}, "names 0, which is no class of y"),
        ({"yes": -1.0}, "of 'yes' must be a number of at least 0 but got -1.0"),
        ({"yes": np.nan}, "of 'yes' must be a number of at least 0 but got nan"),
        ({"yes": "much"}, "of 'yes' must be a number of at least 0 but got 'much'"),
        ([1.0, 2.0], "must be a dict of labels, 'balanced' or None"),
        (pd.Series({"yes": 1.0}), "must be a dict of labels, 'balanced' or None"),
        (np.ones(2), "must be a dict of labels, 'balanced' or None"),
    ],
)
def test_class_weights_that_weigh_nothing_are_refused(class_weight, message):
    """Labels are the user's own, not numbers of classes."""
    with pytest.raises(ValueError, match=message):
        KerasClassifier(untrainable, class_weight=class_weight).fit(X, y)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["no", "maybe"], "previously unseen labels: .'yes'"),
        ("yes", "`classes`|unseen labels"),
        ([0, 1], "unseen labels"),
        (["yes"], "unseen labels|at least 2 classes"),
    ],
)
def test_classes_that_lack_a_label_are_refused(classes, message):
    """The error names what is missing."""
    with pytest.raises((ValueError, TypeError), match=message):
        KerasClassifier(untrainable, classes=classes).fit(X, y)


def test_a_template_with_one_unit_says_what_it_cannot_learn():
    """Three classes and two targets need a function, or a model with more units."""
    model = keras.Sequential([layers.Dense(1)])
    with pytest.raises(ValueError, match=r"Only binary classification is supported.*ends in 3"):
        KerasClassifier(model).fit(X, Y["multiclass"])
    with pytest.raises(
        ValueError, match=r"y should be a 1d array, got an array of shape \(48, 2\)"
    ):
        KerasRegressor(model).fit(X, Y["several targets"])


@pytest.fixture(scope="module")
def trained():
    """Return a classifier fitted on a frame."""
    return fitted(perceptron, rows=FRAME)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (FRAME.assign(e=1.0), r"feature names should match.*[\s\S]*unseen at fit time"),
        (FRAME.assign(a=np.inf), "Input X contains infinity"),
        (FRAME.assign(a="word"), "could not convert string to float"),
        (FRAME[:0], "Found array with 0 sample"),
    ],
    ids=["another column", "inf", "words", "no rows"],
)
def test_rows_that_cannot_be_predicted_are_refused(trained, rows, message):
    """By every method that predicts."""
    for method in (trained.predict, trained.predict_proba):
        with pytest.raises(ValueError, match=message):
            method(rows)


@pytest.mark.parametrize(
    ("labels", "weight", "message"),
    [
        (y[:40], None, "inconsistent numbers of samples"),
        (y, np.ones(40), "inconsistent numbers of samples|40"),
        (np.where(y == "yes", "maybe", y), None, "previously unseen labels: .'maybe'"),
    ],
    ids=["fewer labels", "fewer weights", "an unknown label"],
)
def test_scores_of_what_does_not_fit_are_refused(trained, labels, weight, message):
    """Lengths and labels."""
    with pytest.raises(ValueError, match=message):
        trained.score(FRAME, labels, sample_weight=weight)
