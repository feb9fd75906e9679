"""Every kind of target through the estimators, and every row of the table of heads, trained."""

import re
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from scipy.special import softmax
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_validate

from skcb import KerasClassifier, KerasRegressor
from skcb._heads import DEFAULT_LOSS, HEADS
from tests.models import X, Y, own_loss

TRAINED = {"optimizer": "adam", "optimizer__learning_rate": 0.1, "epochs": 25, "random_state": 0}
CODES = np.digitize(X[:, 0], [-0.5, 0.5])
TWO = (X[:, 0] > 0).astype(int)


def network(meta):
    """Build a model that ends as `meta` says, with an output for each head."""
    units, activations = meta["n_output_units_"], meta["output_activation_"]
    inputs = keras.Input((meta["n_features_in_"],))
    hidden = layers.Dense(8, activation="relu")(inputs)
    if not isinstance(units, list):
        return keras.Model(inputs, layers.Dense(units, activation=activations)(hidden))
    ends = zip(units, activations, strict=True)
    return keras.Model(inputs, [layers.Dense(n, activation=a)(hidden) for n, a in ends])


# -- the table ---------------------------------------------------------------------------------

TARGETS = {
    "binary": Y["binary"],
    "multiclass": Y["multiclass"],
    "multilabel": Y["multilabel"],
    "one-hot": np.eye(3, dtype=int)[CODES],
    "continuous": Y["several targets"],
    "positive": np.exp(X[:, :2]),
    "shares": softmax(X[:, :3], axis=1),
}
ONE_LABEL = ("one_hot", "integer", "linear")
CASES = [
    pytest.param(row, loss, id=f"{row.target}-{loss if isinstance(loss, str) else 'own'}")
    for row in HEADS
    for loss in row.losses or (DEFAULT_LOSS[row.target], own_loss)
    if not (row.target == "multiclass" and loss is own_loss)  # sees class numbers
]


def target_for(row):
    """Return a y that fits a row."""
    if row.target == "multilabel" and row.encoding in ("one_hot", "integer"):
        return TARGETS["one-hot"]
    by_activation = {"exponential": "positive", "sigmoid": "shares", "softmax": "shares"}
    if row.target == "continuous":
        return TARGETS[by_activation.get(row.activation, "continuous")]
    return TARGETS[row.target]


@pytest.mark.slow
@pytest.mark.parametrize(("row", "loss"), CASES)
def test_each_row_of_the_table_trains(row, loss):
    """A model that ends as `meta` says fits the loss, learns, and predicts in the user's y."""
    y = target_for(row)
    estimator = (KerasRegressor if row.target == "continuous" else KerasClassifier)(
        network, loss=loss, **TRAINED
    ).fit(X, y)
    end = estimator.model_.layers[-1]
    n_classes = {"binary": 2, "multiclass": 3}.get(row.target, y.shape[-1])
    assert end.units == (1 if row.units == "1" else n_classes)
    assert end.activation.__name__ == row.activation
    predicted = estimator.predict(X)
    assert predicted.shape == y.shape
    assert estimator.history_["loss"][-1] < estimator.history_["loss"][0]
    if row.target != "continuous":
        assert predicted.dtype == y.dtype
        assert np.mean(predicted == y) > 0.7


def test_the_documented_table_is_the_codes():
    """`docs/targets.md` has the rows of HEADS, in their order."""
    page = (Path(__file__).parents[1] / "docs" / "targets.md").read_text("utf-8")
    lines = [line for line in page.splitlines() if re.match(r"\| (binary|multi|continuous)", line)]
    documented = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    assert documented[: len(HEADS)] == [
        (
            row.target,
            ", ".join(f"`{name}`" for name in row.losses) or "any other",
            row.units,
            row.activation,
            row.encoding,
        )
        for row in HEADS
    ]
    for target, loss in DEFAULT_LOSS.items():
        assert f"| {target} | `{loss}` |" in page


# -- labels ------------------------------------------------------------------------------------

LABELS = {
    "0 and 1": TWO,
    "-1 and 1": 2 * TWO - 1,
    "booleans": TWO.astype(bool),
    "strings": Y["binary"],
    "floats": TWO.astype(float),
    "numbers with gaps": np.array([2, 30, 7])[CODES],
    "three strings": Y["multiclass"],
    "objects": Y["multiclass"].astype(object),
    "a list": Y["multiclass"].tolist(),
    "a series": pd.Series(Y["multiclass"], index=range(100, 148)),
    "categories": pd.Series(pd.Categorical(Y["multiclass"], categories=["c", "b", "a", "never"])),
}


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
def test_labels_come_back_as_they_were(y):
    """Predictions are the user's labels, columns are in the order of `classes_`."""
    estimator = KerasClassifier(network, **TRAINED).fit(X, y)
    labels = np.asarray(y)
    np.testing.assert_array_equal(estimator.classes_, np.unique(labels))
    predicted, p = estimator.predict(X), estimator.predict_proba(X)
    assert predicted.dtype == labels.dtype
    assert p.shape == (48, len(estimator.classes_)) and estimator.n_classes_ == p.shape[1]
    np.testing.assert_array_equal(estimator.classes_[p.argmax(axis=1)], predicted)
    assert estimator.score(X, y) == np.mean(predicted == labels) > 0.85


@pytest.mark.parametrize("kind", ["multilabel", "one-hot"])
def test_columns_of_zeros_and_ones_come_back_as_such(kind):
    """Several labels a row, or one where the loss says so."""
    loss = "categorical_crossentropy" if kind == "one-hot" else None
    estimator = KerasClassifier(network, loss=loss, **TRAINED).fit(X, TARGETS[kind])
    predicted, p = estimator.predict(X), estimator.predict_proba(X)
    assert predicted.shape == p.shape == (48, 3) and predicted.dtype == TARGETS[kind].dtype
    assert set(np.unique(predicted)) == {0, 1}
    if kind == "one-hot":
        assert set(predicted.sum(axis=1)) == {1}
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)
    assert estimator.score(X, TARGETS[kind]) > 0.7


def test_one_class_only_is_no_classification():
    """The error names the class."""
    with pytest.raises(ValueError, match=r"at least 2 classes.*only one class: 'a'"):
        KerasClassifier(network).fit(X, ["a"] * 48)


# -- several heads -----------------------------------------------------------------------------

COLUMNS = np.column_stack([Y["binary"], Y["multiclass"]])
LOSS = ["binary_crossentropy", "sparse_categorical_crossentropy"]


@pytest.mark.parametrize("loss", [None, LOSS, ["hinge", "categorical_crossentropy"]])
def test_each_column_of_labels_has_a_head_of_its_own(loss):
    """`meta` has lists, `predict` columns, and `classes_` a list of labels."""
    estimator = KerasClassifier(network, loss=loss, **TRAINED).fit(X, COLUMNS)
    assert [labels.tolist() for labels in estimator.classes_] == [["no", "yes"], ["a", "b", "c"]]
    assert estimator.n_classes_ == [2, 3] and estimator.n_outputs_ == 2
    assert [end.units for end in estimator.model_.layers[-2:]] == [1, 3]
    predicted = estimator.predict(X)
    assert predicted.shape == (48, 2)
    assert estimator.score(X, COLUMNS) == (predicted == COLUMNS).all(axis=1).mean() > 0.7
    if loss is None:
        assert [p.shape for p in estimator.predict_proba(X)] == [(48, 2), (48, 3)]


def two_values(meta):
    """Build a model with two named outputs of one unit."""
    inputs = keras.Input((4,))
    return keras.Model(inputs, [layers.Dense(1, name=name)(inputs) for name in ("low", "high")])


@pytest.mark.parametrize(
    "loss", [["mse", "mae"], {"low": "mse", "high": "mae"}, {"high": "mae", "low": "mse"}]
)
def test_each_column_of_values_may_have_a_head_of_its_own(loss):
    """By list in the order of the outputs, or by their names."""
    estimator = KerasRegressor(two_values, loss=loss, **TRAINED).fit(X, Y["several targets"])
    predicted = estimator.predict(X)
    assert predicted.shape == (48, 2) and estimator.score(X, Y["several targets"]) > 0.8
    errors = np.abs(predicted - Y["several targets"])
    expected = np.mean(errors[:, 0] ** 2) + np.mean(errors[:, 1])
    measured = estimator.model_.evaluate(X, list(Y["several targets"].T), verbose=0)
    assert measured[0] == pytest.approx(expected, rel=1e-3)


# -- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(48,), (48, 1), (48, 2)])
def test_values_have_the_dimensions_that_they_had(shape):
    """1-D in, 1-D out; and two dimensions stay two."""
    y = (Y["several targets"] if shape == (48, 2) else Y["regression"]).reshape(shape)
    estimator = KerasRegressor(network, **TRAINED).fit(X, y)
    assert estimator.predict(X).shape == shape and estimator.score(X, y) > 0.8


def test_a_column_of_labels_becomes_flat_with_a_warning():
    """As everywhere in scikit-learn."""
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        estimator = KerasClassifier(network).fit(X, TWO[:, None])
    assert estimator.predict(X).shape == (48,)


# -- the parameter `classes` -------------------------------------------------------------------

SORTED = np.sort(Y["multiclass"])
SEEING_ALL = KerasClassifier(network, classes=["a", "b", "c"], epochs=2, random_state=0)


def test_a_fold_that_misses_a_class_still_has_its_column():
    """Without shuffling, each of three folds of a sorted y lacks most of a class."""
    numbers = np.sort(CODES)  # what scikit-learn makes of labels before it asks for probabilities
    estimator = clone(SEEING_ALL).set_params(classes=[0, 1, 2])
    p = cross_val_predict(estimator, X, numbers, cv=KFold(3), method="predict_proba")
    assert p.shape == (48, 3) and (p > 0).all()
    found = cross_validate(SEEING_ALL, X, SORTED, cv=KFold(2), return_estimator=True)
    assert [e.classes_.tolist() for e in found["estimator"]] == [["a", "b", "c"]] * 2


def test_a_search_scores_folds_that_miss_a_class():
    """A label that the fold never saw is not an error where `classes` names it."""
    folds = [(np.flatnonzero(SORTED != label), np.flatnonzero(SORTED == label)) for label in "abc"]
    search = GridSearchCV(SEEING_ALL, {"epochs": [1, 2]}, cv=folds, error_score="raise")
    assert np.isfinite(search.fit(X, SORTED).best_score_)
    alone = clone(SEEING_ALL).fit(X[folds[0][0]], SORTED[folds[0][0]])
    assert alone.predict_proba(X).shape == (48, 3)


def test_two_of_three_classes_are_no_binary_target():
    """What `meta` says goes by `classes`, not by the labels that happen to be there."""
    few = SORTED != "c"
    estimator = clone(SEEING_ALL).fit(X[few], SORTED[few])
    assert estimator.model_.layers[-1].units == 3
