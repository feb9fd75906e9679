"""Transfer: pretrained weights and frozen layers in a search, then a second, finer training."""

import copy
import pickle

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skcb import KerasClassifier


@pytest.fixture(scope="module")
def digits():
    """Return rows of the digits 0 to 4, and of 5 to 9, which a network has never seen."""
    X, y = load_digits(return_X_y=True)
    X = X / 16.0
    return (X[y < 5], y[y < 5]), (X[y >= 5], y[y >= 5])


@pytest.fixture(scope="module")
def pretrained(digits):
    """Return a network that knows the digits 0 to 4, without its last layer."""
    model = KerasClassifier(network, optimizer="adam", epochs=15, random_state=0)
    trained = model.fit(*digits[0]).model_
    return keras.Sequential([layers.Input((64,)), *trained.layers[:-1]], name="base")


def network(meta):
    """Build a network of two hidden layers."""
    model = keras.Sequential([layers.Input((64,)), layers.Dense(48, activation="relu")])
    model.add(layers.Dense(24, activation="relu"))
    model.add(layers.Dense(meta["n_output_units_"], activation=meta["output_activation_"]))
    return model


def head_on(base):
    """Return a function that puts a new head on a copy of the base."""
    config, weights = base.get_config(), base.get_weights()

    def transferred(meta, frozen=True):
        own = keras.Sequential.from_config(config)
        own.set_weights(weights)
        own.trainable = not frozen
        units, activation = meta["n_output_units_"], meta["output_activation_"]
        return keras.Sequential(
            [layers.Input((64,)), own, layers.Dense(units, activation=activation)]
        )

    return transferred


def base_weights(estimator):
    """Return the weights of the base inside a fitted model."""
    return estimator.model_.get_layer("base").get_weights()


@pytest.mark.slow
def test_a_frozen_base_is_searched_over(digits, pretrained):
    """Pretrained weights beat frozen random ones from few rows, and stay what they were."""
    X, y = digits[1]
    few, rest, labels, other = train_test_split(X, y, train_size=100, random_state=0, stratify=y)
    params = {"optimizer": "adam", "epochs": 60, "random_state": 0}
    pipe = make_pipeline(MinMaxScaler(), KerasClassifier(head_on(pretrained), **params))
    grid = {"kerasclassifier__optimizer__learning_rate": [0.003, 0.03]}
    search = GridSearchCV(pipe, grid, cv=3).fit(few, labels)
    best = search.best_estimator_[-1]
    assert all(map(np.array_equal, base_weights(best), pretrained.get_weights()))
    assert search.score(rest, other) > 0.8


def test_a_template_with_frozen_layers_is_searched_over(digits, pretrained):
    """A model as `build_fn`: each fit trains a copy, of which the base stays."""
    X, y = digits[1]
    template = head_on(pretrained)({"n_output_units_": 5, "output_activation_": "softmax"})
    before = template.get_weights()
    estimator = KerasClassifier(template, optimizer="adam", epochs=2, random_state=0)
    search = GridSearchCV(estimator, {"optimizer__learning_rate": [0.001, 0.1]}, cv=2).fit(X, y)
    assert search.best_params_ == {"optimizer__learning_rate": 0.1}
    base = base_weights(search.best_estimator_)
    assert all(map(np.array_equal, base, pretrained.get_weights()))
    assert all(map(np.array_equal, template.get_weights(), before))


def test_a_second_fit_trains_other_layers(digits, pretrained):
    """`warm_start` carries the weights over; the base moves, and little, at a low rate."""
    X, y = digits[1]
    clf = KerasClassifier(
        head_on(pretrained),
        optimizer="adam",
        optimizer__learning_rate=0.01,
        epochs=5,
        random_state=0,
    ).fit(X, y)
    head = clf.model_.layers[-1].get_weights()
    first = clf.score(X, y)
    clf.set_params(warm_start=True, frozen=False, optimizer__learning_rate=1e-4).fit(X, y)
    assert clf.history_["loss"][0] < 0.9  # it goes on: a new head would begin at about log(5)
    assert clf.score(X, y) >= first
    for now, before in (
        (base_weights(clf), pretrained.get_weights()),
        (clf.model_.layers[-1].get_weights(), head),
    ):
        assert not any(map(np.array_equal, now, before))
        assert max(np.abs(a - b).max() for a, b in zip(now, before, strict=True)) < 0.1


def stacked(base):
    """Put a head on a base as a stack."""
    return keras.Sequential([layers.Input((64,)), base, layers.Dense(5, "softmax")])


def joined(base):
    """Put a head on a base as a graph."""
    inputs = keras.Input((64,))
    return keras.Model(inputs, layers.Dense(5, "softmax")(base(inputs)))


COPIES = {
    "fit": lambda estimator: estimator,
    "pickle": lambda estimator: pickle.loads(pickle.dumps(estimator)),
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("built", [stacked, joined])
def test_what_is_frozen_in_a_template_is_set_free_in_its_copy(built, copied, digits):
    """One word sets the base of a fitted model free, layers and all, as it did on the template."""
    X, y = digits[0]
    base = keras.Sequential([layers.Input((64,)), layers.Dense(8)], name="base")
    base.trainable = False
    template = built(base)
    clf = KerasClassifier(template, optimizer="adam", random_state=0).fit(X, y)
    model = copied(clf).model_
    assert not model.get_layer("base").trainable
    model.get_layer("base").trainable = True
    assert len(model.trainable_variables) == 4
    model.compile(keras.optimizers.Adam(), loss="sparse_categorical_crossentropy")
    tuned = KerasClassifier(model, random_state=0).fit(X, y)
    assert not np.array_equal(base_weights(tuned)[0], base.get_weights()[0])


def test_a_fitted_model_is_a_template_for_the_second_fit(digits, pretrained):
    """Layers are set free on the model, which is compiled anew, as Keras asks."""
    X, y = digits[1]
    clf = KerasClassifier(head_on(pretrained), optimizer="adam", epochs=2, random_state=0).fit(X, y)
    template = clf.model_
    template.get_layer("base").trainable = True
    template.compile(keras.optimizers.Adam(1e-4), loss="sparse_categorical_crossentropy")
    before = clf.predict_proba(X)
    tuned = KerasClassifier(template, epochs=2, random_state=0).fit(X, y)
    assert not any(map(np.array_equal, base_weights(tuned), pretrained.get_weights()))
    assert tuned.history_["loss"][-1] < clf.history_["loss"][-1]
    assert np.array_equal(clf.predict_proba(X), before)
