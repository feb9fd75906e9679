"""Classifier and regressor: labels, probabilities, weights, watched rows and what a fit leaves."""

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.model_selection import PredefinedSplit, cross_val_score

from skcb import KerasClassifier, KerasRegressor, Tunable
from tests.models import X, Y, fitted, logits, numbered, perceptron, seeing

TRAINED = {"epochs": 40, "optimizer": "adam", "optimizer__learning_rate": 0.1, "random_state": 0}


def outputs_of(estimator, rows=X):
    """Return what the trained model itself puts out."""
    return estimator.model_.predict(rows, verbose=0, batch_size=len(rows))


# -- labels, values, probabilities -------------------------------------------------------------


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_predictions_are_the_users_own_labels(kind):
    """Same dtype, same number of dimensions, and learned well."""
    predicted = fitted(kind=kind, **TRAINED).predict(X)
    assert (predicted.dtype, predicted.shape) == (Y[kind].dtype, Y[kind].shape)
    assert accuracy_score(Y[kind], predicted) > 0.85


@pytest.mark.parametrize("kind", ["regression", "several targets"])
def test_a_regressor_predicts_as_many_dimensions_as_y_had(kind):
    """One-dimensional where y was; the score is R²."""
    estimator = fitted(logits, kind, **TRAINED)
    predicted = estimator.predict(X)
    assert (predicted.dtype, predicted.shape) == ("float64", Y[kind].shape)
    assert estimator.score(X, Y[kind]) == r2_score(Y[kind], predicted) > 0.85


def test_scikit_learn_knows_which_is_which():
    """Stratified folds depend on it."""
    assert is_classifier(KerasClassifier()) and is_regressor(KerasRegressor())
    assert not is_regressor(KerasClassifier()) and not is_classifier(KerasRegressor())


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_probabilities_have_a_column_for_each_class(kind):
    """In the order of `classes_`, and the likeliest is the prediction."""
    estimator = fitted(kind=kind, **TRAINED)
    p = estimator.predict_proba(X)
    assert p.shape == (len(X), len(estimator.classes_))
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(estimator.classes_[p.argmax(axis=1)], estimator.predict(X))
    assert log_loss(Y[kind], p) < 0.5


def compiled_logits(meta):
    """Build a model that is compiled for the logits in which it ends."""
    model = logits(meta)
    model.compile(loss=keras.losses.BinaryCrossentropy(from_logits=True))
    return model


def nested_logits(meta):
    """Build a model that ends in a model that ends in logits."""
    return keras.Sequential([layers.Input((4,)), layers.Dense(4), logits(meta)])


@pytest.mark.parametrize(
    ("build", "params"),
    [
        (logits, {}),
        (logits, {"loss": "binary_crossentropy"}),
        (logits, {"loss": keras.losses.BinaryCrossentropy(from_logits=True)}),
        (logits, {"loss": keras.losses.BinaryCrossentropy, "loss__from_logits": True}),
        (logits, {"loss": Tunable(keras.losses.BinaryFocalCrossentropy, from_logits=True)}),
        (compiled_logits, {}),
        (nested_logits, {}),
    ],
    ids=["inferred", "name", "instance", "class", "recipe", "compiled", "nested"],
)
def test_logits_of_two_classes_become_probabilities(build, params):
    """The sigmoid is applied once, in whatever form the loss was given."""
    estimator = fitted(build, **TRAINED, **params)
    p = expit(outputs_of(estimator)[:, 0].astype(float))
    np.testing.assert_allclose(estimator.predict_proba(X)[:, 1], p, atol=1e-6)
    np.testing.assert_array_equal(estimator.predict(X) == "yes", p > 0.5)
    assert p.min() < 0.2 and p.max() > 0.8 and estimator.score(X, Y["binary"]) > 0.9


@pytest.mark.parametrize(
    ("kind", "loss", "link"),
    [
        ("multiclass", None, lambda z: softmax(z, axis=1)),
        ("multiclass", "categorical_crossentropy", lambda z: softmax(z, axis=1)),
        ("multilabel", None, expit),
    ],
)
def test_logits_of_many_classes_become_probabilities(kind, loss, link):
    """The softmax, or a sigmoid for each label."""
    estimator = fitted(logits, kind, loss=loss, **TRAINED)
    expected = link(outputs_of(estimator).astype(float))
    np.testing.assert_allclose(estimator.predict_proba(X), expected, atol=1e-6)
    assert estimator.score(X, Y[kind]) > 0.85


@pytest.mark.parametrize("scoring", ["roc_auc", "neg_log_loss"])
def test_scorers_see_the_same_whether_a_model_ends_in_logits(scoring):
    """A linear end with a loss on logits is the same model as a sigmoid with a loss on p."""

    def ends_in_sigmoid(meta):
        return keras.Sequential([layers.Input((4,)), layers.Dense(1, activation="sigmoid")])

    one, two = (
        cross_val_score(KerasClassifier(build, **TRAINED), X, Y["binary"], cv=2, scoring=scoring)
        for build in (logits, ends_in_sigmoid)
    )
    np.testing.assert_allclose(one, two, atol=1e-3)


def test_a_linear_end_under_a_loss_of_probabilities_is_warned_of():
    """Compiled so, Keras trains as if the outputs were probabilities."""

    def build(meta):
        model = logits(meta)
        model.compile(loss="binary_crossentropy")
        return model

    with pytest.warns(UserWarning, match=r"ends in a linear layer.*`from_logits=True`"):
        estimator = fitted(build)
    np.testing.assert_allclose(
        estimator.predict_proba(X)[:, 1], expit(outputs_of(estimator)[:, 0]), atol=1e-6
    )


def two_heads():
    """Build a model with an output for each column of y, not in alphabetical order."""
    inputs = keras.Input((4,))
    hidden = layers.Dense(8, activation="relu")(inputs)
    low = layers.Dense(1, activation="sigmoid", name="low")(hidden)
    return keras.Model(inputs, [low, layers.Dense(3, activation="softmax", name="high")(hidden)])


def two_named_heads():
    """Build a model with a dict of outputs, which Keras takes in alphabetical order."""
    inputs = keras.Input((4,))
    heads = {name: layers.Dense(1, activation="sigmoid", name=name)(inputs) for name in "ba"}
    return keras.Model(inputs, heads)


LOSSES = {"low": "binary_crossentropy", "high": "sparse_categorical_crossentropy"}


@pytest.mark.parametrize("order", [("low", "high"), ("high", "low")])
def test_losses_by_name_find_their_outputs(order):
    """In whatever order the dict has them; columns of y follow the outputs."""
    y = np.column_stack([Y["binary"], Y["multiclass"]])
    estimator = KerasClassifier(two_heads, loss={n: LOSSES[n] for n in order}, **TRAINED).fit(X, y)
    assert [p.shape for p in estimator.predict_proba(X)] == [(48, 2), (48, 3)]
    assert estimator.score(X, y) == (estimator.predict(X) == y).all(axis=1).mean() > 0.7


@pytest.mark.parametrize("loss", [None, dict.fromkeys("ab", "binary_crossentropy")])
def test_outputs_by_name_are_predicted_as_they_were_trained(loss):
    """The first column of y is that of the first name in the alphabet."""
    y = np.where(X[:, :2] > 0, "yes", "no")
    estimator = KerasClassifier(two_named_heads, loss=loss, **TRAINED).fit(X, y)
    assert estimator.score(X, y) > 0.8


# -- weights -----------------------------------------------------------------------------------


def weights_of(estimator):
    """Return the weights of the trained model, one after the other."""
    return np.concatenate([w.ravel() for w in estimator.model_.get_weights()])


@pytest.mark.parametrize("class_weight", [{"no": 1.0, "yes": 3.0}, {"yes": 3.0}, "balanced"])
def test_class_weights_are_sample_weights_of_the_classes(class_weight):
    """A label that is not named weighs 1; "balanced" weighs by rareness."""
    y = np.where(X[:, 0] > 0.5, "yes", "no")
    weight = {"no": 1.0, "yes": 3.0}
    if class_weight == "balanced":
        weight = {label: len(y) / (2 * np.sum(y == label)) for label in weight}
    sample_weight = np.array([weight[label] for label in y])
    base = KerasClassifier(perceptron, epochs=3, random_state=0)
    by_class = clone(base).set_params(class_weight=class_weight).fit(X, y)
    by_row = clone(base).fit(X, y, sample_weight=sample_weight)
    np.testing.assert_array_equal(weights_of(by_class), weights_of(by_row))
    assert not np.array_equal(weights_of(by_class), weights_of(clone(base).fit(X, y)))


def test_class_and_sample_weights_multiply():
    """And the arrays of the user stay as they are."""
    y, w = Y["binary"].copy(), np.linspace(0.5, 2, 48)
    given = w.copy()
    base = KerasClassifier(perceptron, epochs=2, random_state=0)
    both = clone(base).set_params(class_weight={"yes": 2.0}).fit(X, y, sample_weight=given)
    product = clone(base).fit(X, y, sample_weight=w * np.where(y == "yes", 2.0, 1.0))
    np.testing.assert_array_equal(weights_of(both), weights_of(product))
    np.testing.assert_array_equal(given, w)
    np.testing.assert_array_equal(y, Y["binary"])


def test_a_row_of_weight_zero_counts_in_the_mean():
    """As in Keras: half of the rows at weight 0 halve the loss, they do not leave it."""
    params = {"optimizer": "sgd", "optimizer__learning_rate": 0.0, "shuffle": False}
    half = (np.arange(48) < 24).astype(float)
    y = Y["regression"]
    base = KerasRegressor(logits, random_state=0, batch_size=-1, **params)
    weighted = clone(base).fit(X, y, sample_weight=half).history_["loss"][0]
    without = clone(base).fit(X[:24], y[:24]).history_["loss"][0]
    assert weighted == pytest.approx(without / 2, rel=1e-5)


def test_score_takes_weights():
    """`sample_weight` reaches the metric."""
    estimator = fitted(**TRAINED)
    wrong = estimator.predict(X)
    wrong[:24] = np.where(wrong[:24] == "yes", "no", "yes")
    assert estimator.score(X, wrong) == 0.5
    assert estimator.score(X, wrong, sample_weight=np.arange(48) < 24) == 0.0


def by_column(meta):
    """Build a model with an end for each column of labels."""
    inputs = keras.Input((4,))
    ends = zip(meta["n_output_units_"], meta["output_activation_"], strict=True)
    return keras.Model(inputs, [layers.Dense(units, link)(inputs) for units, link in ends])


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("several targets", sparse.csr_array),
        ("multilabel", sparse.csr_array),
        ("multilabel", lambda y: pd.DataFrame(y == 1, dtype="boolean")),
        ("multilabel", lambda y: pd.DataFrame(y, dtype="Int64")),
        ("multilabel", lambda y: y.astype(object)),
        ("two labels", lambda y: pd.DataFrame(y, dtype="Int64")),
        ("two labels", sparse.csr_array),
        ("one label", lambda y: pd.Series(y == 1, dtype="boolean")),
        ("one label", lambda y: pd.DataFrame(y == 1, dtype="boolean").rename(columns={0: "a"})),
    ],
)
@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
def test_whatever_can_be_fitted_can_be_scored(kind, form):
    """With the score of the same y as a plain array."""
    digits = np.digitize(X[:, :2], [-0.5, 0.5])
    plain = {**Y, "two labels": digits, "one label": Y["multilabel"][:, 0]}[kind]
    cls = KerasRegressor if kind == "several targets" else KerasClassifier
    build = by_column if kind == "two labels" else perceptron
    scores = [cls(build, random_state=0).fit(X, y).score(X, y) for y in (plain, form(plain))]
    assert scores[0] == scores[1]


# -- watched rows ------------------------------------------------------------------------------


def rows_seen(estimator):
    """Return which rows trained and which were evaluated, from what reached the model."""
    seen = estimator.model_.get_layer("seen")
    return np.flatnonzero(seen.trained), np.flatnonzero(seen.watched)


@pytest.mark.parametrize(
    "split",
    [0.25, PredefinedSplit(np.where(np.arange(48) % 3 == 0, 0, -1))],
    ids=["share", "splitter"],
)
def test_watched_rows_never_train(split):
    """Told from the rows that reached the model: each trains once an epoch, or is watched."""
    estimator = fitted(seeing, rows=numbered(X), epochs=3, validation_split=split, batch_size=8)
    train, watched = rows_seen(estimator)
    assert sorted([*train, *watched]) == list(range(48))
    counts = np.asarray(estimator.model_.get_layer("seen").trained)
    assert set(counts[train]) == {3.0}
    if not isinstance(split, float):
        np.testing.assert_array_equal(watched, np.arange(0, 48, 3))
    else:
        assert len(watched) == 12 and set(Y["binary"][watched]) == {"no", "yes"}


@pytest.mark.parametrize("form", ["X_val", "validation_data"])
def test_watched_rows_that_are_brought_are_watched(form):
    """All rows of X train; `validation_split` steps back."""
    rows, y = numbered(X), Y["binary"]
    watched = (rows[40:], y[40:])
    brought = {"validation_data": watched}
    if form == "X_val":
        brought = {"X_val": watched[0], "y_val": watched[1]}
    estimator = KerasClassifier(seeing, validation_split=0.5).fit(rows[:40], y[:40], **brought)
    train, seen = rows_seen(estimator)
    assert (train.tolist(), seen.tolist()) == (list(range(40)), list(range(40, 48)))
    assert len(estimator.history_["val_loss"]) == 1


def test_weights_of_watched_rows_are_theirs():
    """The third of `validation_data`, or `sample_weight_val`, weighs the watched loss."""
    y = Y["regression"]
    still = KerasRegressor(logits, optimizer="sgd", optimizer__learning_rate=0.0, random_state=0)
    double = np.full(8, 2.0)
    plain = clone(still).fit(X[:40], y[:40], validation_data=(X[40:], y[40:]))
    tuple_ = clone(still).fit(X[:40], y[:40], validation_data=(X[40:], y[40:], double))
    named = clone(still).fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:], sample_weight_val=double)
    (expected,) = plain.history_["val_loss"]
    assert tuple_.history_["val_loss"] == named.history_["val_loss"]
    assert named.history_["val_loss"] == [pytest.approx(2 * expected)]
