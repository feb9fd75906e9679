"""Metadata reach `fit` and `score` by name, through searches, cross-validation and pipelines.

The models count the rows that they see, and a callback writes down what a fit was given.
"""

import json

import keras
import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    PredefinedSplit,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skcb import KerasClassifier, KerasRegressor
from tests.models import X, Y, logits, numbered, perceptron, seeing

y = Y["binary"]
ROWS = numbered(X)
WEIGHT = np.linspace(0.5, 2.0, 48)
GROUPS = np.arange(48) // 8


@pytest.fixture(autouse=True)
def routing():
    """Let scikit-learn route metadata."""
    with config_context(enable_metadata_routing=True):
        yield


def weights_of(estimator):
    """Return the weights of the trained model, one after the other."""
    return np.concatenate([w.ravel() for w in estimator.model_.get_weights()])


def rows_seen(estimator):
    """Return which rows trained and which were evaluated, from what reached the model."""
    seen = estimator.model_.get_layer("seen")
    return np.flatnonzero(seen.trained), np.flatnonzero(seen.watched)


# -- fit ---------------------------------------------------------------------------------------

NAMED = {
    "sample_weight": WEIGHT,
    "groups": GROUPS,
    "X_val": X[:9],
    "y_val": y[:9],
    "sample_weight_val": np.full(9, 2.0),
    "validation_data": (X[:9], y[:9]),
}
FITS = [
    {"sample_weight": WEIGHT},
    {"groups": GROUPS},
    {"X_val": X[:9], "y_val": y[:9]},
    {"X_val": X[:9], "y_val": y[:9], "sample_weight_val": np.full(9, 2.0)},
    {"validation_data": (X[:9], y[:9])},
]


def meta_estimators(estimator):
    """Return what an estimator can stand in, and the estimator that was trained in it."""
    pipe = make_pipeline(FunctionTransformer(), estimator)
    return [
        (pipe, lambda p: p[-1]),
        (GridSearchCV(estimator, {"epochs": [2]}, cv=2), lambda s: s.best_estimator_),
        (
            GridSearchCV(pipe, {"kerasclassifier__epochs": [2]}, cv=2),
            lambda s: s.best_estimator_[1],
        ),
    ]


@pytest.mark.parametrize("metadata", FITS, ids=lambda given: "+".join(given))
def test_every_named_argument_of_fit_is_routed(metadata):
    """Through Pipeline, GridSearchCV and both: the result is that of `fit` alone."""
    estimator = KerasClassifier(
        perceptron, batch_size=8, epochs=2, validation_split=GroupKFold(3), random_state=0
    )
    if "groups" not in metadata:
        estimator.set_params(validation_split=0.25)
    direct = clone(estimator).fit(X, y, **metadata)
    estimator.set_fit_request(**{name: True for name in metadata if name != "groups"})
    estimator.set_score_request(sample_weight=True)
    for outer, trained_in in meta_estimators(estimator):
        trained = trained_in(outer.fit(X, y, **metadata))
        assert trained.history_ == direct.history_
        np.testing.assert_array_equal(weights_of(trained), weights_of(direct))


@pytest.mark.parametrize("name", NAMED)
def test_what_was_not_asked_for_is_an_error(name):
    """Scikit-learn says so; asking for it not to be passed leaves it out."""
    estimator = KerasClassifier(perceptron, batch_size=-1, random_state=0)
    pipe = make_pipeline(FunctionTransformer(), estimator)
    with pytest.raises(UnsetMetadataPassedError, match=rf"\[{name}\].* are passed but are not"):
        pipe.fit(X, y, **{name: NAMED[name]})
    estimator.set_fit_request(**{name: True})
    assert estimator.get_metadata_routing().consumes("fit", [name]) == {name}


def test_weights_are_cut_with_the_folds_of_a_cross_validation():
    """Each fold's fit gets the weights of its own rows."""
    estimator = KerasRegressor(logits, batch_size=-1, epochs=2, random_state=0)
    estimator.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    cv = PredefinedSplit(np.arange(48) % 2)
    found = cross_validate(
        estimator,
        X,
        Y["regression"],
        cv=cv,
        params={"sample_weight": WEIGHT},
        return_estimator=True,
    )
    for i, (train, test) in enumerate(cv.split()):
        alone = clone(estimator).fit(X[train], Y["regression"][train], sample_weight=WEIGHT[train])
        np.testing.assert_array_equal(weights_of(found["estimator"][i]), weights_of(alone))
        score = alone.score(X[test], Y["regression"][test], sample_weight=WEIGHT[test])
        assert found["test_score"][i] == score


# -- score -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_weights_reach_the_score_of_a_search(kind):
    """`set_score_request` alone: training stays without weights."""
    estimator = KerasClassifier if kind == "binary" else KerasRegressor
    build = perceptron if kind == "binary" else logits
    estimator = estimator(build, batch_size=-1, epochs=3, random_state=0)
    estimator.set_fit_request(sample_weight=False).set_score_request(sample_weight=True)
    cv = PredefinedSplit(np.where(np.arange(48) < 24, 0, -1))
    search = GridSearchCV(estimator, {"epochs": [3]}, cv=cv).fit(X, Y[kind], sample_weight=WEIGHT)
    ((train, test),) = cv.split()
    alone = clone(estimator).fit(X[train], Y[kind][train])
    weighted = alone.score(X[test], Y[kind][test], sample_weight=WEIGHT[test])
    assert search.best_score_ == weighted != alone.score(X[test], Y[kind][test])
    pipe = make_pipeline(FunctionTransformer(), estimator)
    assert cross_val_score(pipe, X, Y[kind], cv=cv, params={"sample_weight": WEIGHT}) == [weighted]


# -- the estimator as a router -----------------------------------------------------------------


@pytest.mark.slow
def test_groups_go_to_the_splitter_that_asks_for_them():
    """No group is on both sides, of the search's folds nor of the watched rows."""
    estimator = KerasClassifier(seeing, batch_size=8, validation_split=GroupKFold(2))
    scored = []

    def groups_are_whole(estimator, rows, y):
        sides = (*rows_seen(estimator), rows[:, 0].astype(int))
        sides = [set(GROUPS[side].tolist()) for side in sides]
        assert sum(map(len, sides)) == len(set.union(*sides)) == 6
        scored.append(sides)
        return 0.0

    search = GridSearchCV(estimator, {"epochs": [1]}, cv=GroupKFold(3), scoring=groups_are_whole)
    search.fit(ROWS, y, groups=GROUPS)
    assert len(scored) == 3


def test_a_splitter_that_takes_no_groups_is_not_asked_for_any():
    """The router knows what its splitter consumes."""
    grouped = KerasClassifier(perceptron, validation_split=GroupKFold(2)).get_metadata_routing()
    plain = KerasClassifier(perceptron, validation_split=0.2).get_metadata_routing()
    assert grouped.consumes("fit", ["groups"]) == {"groups"}
    assert plain.consumes("fit", ["groups"]) == set()


def test_groups_under_an_alias_reach_the_splitter():
    """As for every consumer, the name can be another."""
    splitter = GroupKFold(3).set_split_request(groups="patient")
    estimator = KerasClassifier(seeing, validation_split=splitter)
    pipe = make_pipeline(FunctionTransformer(), estimator).fit(ROWS, y, patient=GROUPS)
    train, watched = rows_seen(pipe[-1])
    assert len(watched) == 16 and not set(GROUPS[train]) & set(GROUPS[watched])


# -- watched rows and weights ------------------------------------------------------------------


def test_watched_rows_go_through_the_steps_before():
    """`transform_input` scales `X_val` as it scales X."""
    estimator = KerasClassifier(perceptron, epochs=2, batch_size=-1, random_state=0)
    estimator.set_fit_request(X_val=True, y_val=True)
    raw, watched = 100 + 10 * X, 100 + 10 * X[:16]
    pipe = make_pipeline(StandardScaler(), clone(estimator), transform_input=["X_val"])
    pipe.fit(raw, y, X_val=watched, y_val=y[:16])
    scaler = StandardScaler().fit(raw)
    alone = estimator.fit(scaler.transform(raw), y, X_val=scaler.transform(watched), y_val=y[:16])
    assert pipe[-1].history_ == alone.history_


def test_weights_are_cut_with_the_watched_rows():
    """Each side has the weights of its own rows, told by what Keras makes of them."""

    class Written(keras.callbacks.Callback):
        """Keeps the sides of the fit in which it is."""

        def on_train_end(self, logs=None):
            seen = self.model.get_layer("seen")
            sides = [np.flatnonzero(side).tolist() for side in (seen.trained, seen.watched)]
            written.append(json.dumps([sides, logs]))

    written = []

    def build(meta):
        model = seeing(meta)
        model.compile(keras.optimizers.SGD(0.0), keras.losses.MeanSquaredError())
        return model

    estimator = KerasRegressor(build, batch_size=-1, validation_split=0.25, epochs=2)
    estimator.set_params(callbacks={"write": Written}).set_fit_request(sample_weight=True)
    pipe = make_pipeline(FunctionTransformer(), estimator)
    pipe.fit(ROWS, Y["regression"], sample_weight=WEIGHT)
    (train, watched), logs = json.loads(written[0])
    predicted = pipe[-1].model_.predict(ROWS, verbose=0)[:, 0]
    losses = WEIGHT * (predicted - Y["regression"]) ** 2
    assert logs["loss"] == pytest.approx(losses[train].mean(), rel=1e-4)
    assert logs["val_loss"] == pytest.approx(losses[watched].mean(), rel=1e-4)
    assert (len(train), len(watched)) == (36, 12)
