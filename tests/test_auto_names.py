"""Layers are named as in the first model of a process, and names never clash for users."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_iris

from skcb import KerasClassifier, KerasRegressor

X, Y = load_iris(return_X_y=True)


def net(meta):
    """Two layers that Keras numbers."""
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(5)])
    model.add(keras.layers.Dense(meta["n_output_units_"], activation=meta["output_activation_"]))
    return model


def fitted(**params):
    """Fit for an epoch."""
    return KerasClassifier(net, **params).fit(X, Y)


def names(model):
    """Return the names of its layers."""
    return [layer.name for layer in model.layers]


def test_layers_have_the_same_names_in_every_fit():
    """So a callback that asks for a layer by name works in every fold."""
    keras.layers.Dense(3)  # counts in the process, not in the fits
    first, second = fitted(), fitted()
    assert names(first.model_) == names(second.model_) == ["dense", "dense_1"]


def test_a_metric_given_as_a_class_has_the_same_name_in_every_fit():
    """Keras would count `auc` up, and no monitor would find it."""
    watched = KerasClassifier(net, metrics=[keras.metrics.AUC])
    keys = [set(watched.fit(X, Y == 1).history_) for _ in range(2)]
    assert "auc" in keys[0] and keys[0] == keys[1]


def test_models_of_several_fits_can_be_joined():
    """Their own names differ, as Keras' would."""
    models = [fitted().model_ for _ in range(3)]
    assert len({model.name for model in models}) == 3
    x = keras.Input((4,))
    joined = keras.Model(x, keras.layers.average([model(x) for model in models]))
    each = [model.predict(X[:3], verbose=0) for model in models]
    np.testing.assert_allclose(joined.predict(X[:3], verbose=0), np.mean(each, 0), rtol=1e-6)


def test_new_layers_go_on_top_of_a_fitted_model():
    """Their names do not meet those of its layers."""
    base = fitted().model_
    head = keras.layers.Dense(2)
    model = keras.Model(base.inputs[0], head(base.layers[0].output))
    assert head.name not in names(base)
    assert model(X[:2]).shape == (2, 2)


def test_a_build_function_may_take_layers_that_were_there_before():
    """Names that clash are given as Keras would have given them."""
    frozen = keras.layers.Dense(6, trainable=False)
    frozen.build((None, 4))
    assert frozen.name.startswith("dense")
    same = keras.layers.Dense(6, trainable=False, name="dense")

    def on_top():
        x = keras.Input((4,))
        return keras.Model(x, keras.layers.Dense(3, activation="softmax")(same(x)))

    model = KerasClassifier(on_top).fit(X, Y).model_
    assert len(set(names(model))) == len(names(model))


def test_a_name_that_the_user_gave_stays():
    """Of a model too."""

    def named():
        return keras.Sequential([keras.layers.Dense(3, activation="softmax")], name="mine")

    assert KerasClassifier(named).fit(X, Y).model_.name == "mine"


def test_the_users_own_errors_come_through():
    """Names given twice by the build function are Keras' error."""

    def clashes():
        dense = [keras.layers.Dense(3, name="a"), keras.layers.Dense(3, name="a")]
        return keras.Sequential(dense)

    with pytest.raises(ValueError, match="unique"):
        KerasRegressor(clashes).fit(X, Y)


def test_the_counters_of_the_process_never_go_back():
    """What is made next has a name that nothing had before."""
    before = keras.layers.Dense(2).name
    fitted()
    after = keras.layers.Dense(2).name
    assert int(after.rpartition("_")[2]) > (
        int(before.rpartition("_")[2]) if before != "dense" else 0
    )
