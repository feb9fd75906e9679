"""A build function, in any form, gives each fit a compiled model of its own."""

import functools

import keras
import pytest
from keras import layers

from skcb import KerasClassifier, Tunable
from tests.models import X, Y, fitted, perceptron


class Builder:
    def __call__(self, meta, hidden=4):
        return perceptron(meta, hidden)


class Subclass(KerasClassifier):
    def __call__(self, meta, hidden=4):
        return perceptron(meta, hidden)


# -- what builds, and what it is called with ---------------------------------------------------


@pytest.mark.parametrize(
    "estimator",
    [
        KerasClassifier(perceptron, hidden=7),
        KerasClassifier(functools.partial(perceptron, hidden=7)),
        KerasClassifier(functools.partial(perceptron, hidden=3), hidden=7),
        KerasClassifier(Builder(), hidden=7),
        KerasClassifier(Builder(), model__hidden=7),
        Subclass(hidden=7),
    ],
    ids=["function", "partial", "partial and argument", "object", "prefixed name", "subclass"],
)
def test_a_model_is_built_in_any_of_the_three_forms(estimator):
    """And its arguments are the estimator's parameters."""
    assert estimator.fit(X, Y["binary"]).model_.layers[0].units == 7


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"optimizer": "adam", "hidden": 3, "epochs": 9, "init": "zeros"}),
        ({"hidden": 5}, {"optimizer": "adam", "hidden": 5, "epochs": 9, "init": "zeros"}),
        (
            {"optimizer": "sgd", "epochs": 2, "model__init": "ones"},
            {"optimizer": "sgd", "hidden": 3, "epochs": 2, "init": "ones"},
        ),
    ],
)
def test_a_build_function_is_called_with_what_was_given_and_nothing_else(given, expected):
    """Where nothing was given, a tutorial's function keeps its own defaults."""
    seen = {}

    def create_model(optimizer="adam", hidden=3, epochs=9, init="zeros"):
        seen.update(locals())
        model = perceptron({"n_features_in_": 4, "n_output_units_": 1, "output_activation_": None})
        model.compile(optimizer, keras.losses.BinaryCrossentropy(from_logits=True))
        return model

    fitted(create_model, **given)
    assert {name: seen[name] for name in expected} == expected


def test_the_default_optimizer_of_a_tutorial_stays():
    """`def create_model(optimizer="adam")` compiles with Adam until somebody says otherwise."""

    def create_model(meta, optimizer="adam"):
        model = perceptron(meta)
        model.compile(optimizer, "binary_crossentropy")
        return model

    assert type(fitted(create_model).model_.optimizer) is keras.optimizers.Adam
    assert type(fitted(create_model, optimizer="sgd").model_.optimizer) is keras.optimizers.SGD


def test_any_name_goes_to_a_function_that_takes_any():
    """`**kwargs` receives the arguments that are no parameter of skcb's or Keras'."""
    seen = {}

    def build(meta, **kwargs):
        seen.update(kwargs)
        return perceptron(meta)

    fitted(build, depth=3, epochs=2, model__width=4)
    assert seen == {"depth": 3, "width": 4}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("binary", ("binary", ["no", "yes"], 2, 1, 1, "sigmoid")),
        ("multiclass", ("multiclass", ["a", "b", "c"], 3, 1, 3, "softmax")),
        ("multilabel", ("multilabel-indicator", [0, 1, 2], 3, 3, 3, "sigmoid")),
        ("regression", ("continuous", None, None, 1, 1, "linear")),
        ("several targets", ("continuous-multioutput", None, None, 2, 2, "linear")),
    ],
)
def test_meta_tells_what_is_known_of_the_data(kind, expected):
    """A function that asks for `meta` gets these keys and no others."""
    seen = {}

    def build(meta):
        seen.update(meta)
        return perceptron(meta)

    fitted(build, kind)
    names = ("target_type_", "classes_", "n_classes_", "n_outputs_")
    names += ("n_output_units_", "output_activation_")
    classes = seen["classes_"]
    seen["classes_"] = classes if classes is None else list(classes)
    assert tuple(seen[name] for name in names) == expected
    assert (seen["n_features_in_"], seen["X_shape_"], seen["X_dtype_"]) == (4, (48, 4), "float32")
    assert len(seen) == 9


def takes_penalty(meta, penalty):
    """Need an argument."""


def takes_anything(meta, **kwargs):
    """Need nothing."""


@pytest.mark.parametrize(
    ("build", "params"),
    [
        (takes_penalty, {}),
        (takes_penalty, {"model__penalty__l2": 0.5}),
        (takes_anything, {"model__penalty__l2": 0.5}),
    ],
)
def test_an_argument_that_nobody_gave_is_asked_for(build, params):
    """Also where only a setting of it was given."""
    with pytest.raises(TypeError, match=r"needs `penalty`.*pass penalty=\.\.\. to the estimator"):
        fitted(build, **params)


def test_a_setting_reaches_into_an_argument():
    """Whether the object was given, or is the function's own default."""
    seen = []

    def build(meta, penalty=keras.regularizers.L2(0.5)):  # noqa: B008
        seen.append(float(penalty.l2))
        return perceptron(meta)

    fitted(build), fitted(build, model__penalty__l2=0.25)
    fitted(build, penalty=Tunable(keras.regularizers.L2), model__penalty__l2=0.125)
    assert seen == [0.5, 0.25, 0.125]


def test_params_are_all_parameters():
    """A function that asks for `params` gets what `get_params` gives."""
    seen = {}

    def build(meta, params, hidden=3):
        seen.update(params)
        return perceptron(meta, hidden)

    estimator = fitted(build, hidden=5, optimizer__learning_rate=0.5)
    assert seen == estimator.get_params(deep=True)
    assert (seen["hidden"], seen["optimizer__learning_rate"]) == (5, 0.5)


# -- models of a fit's own ---------------------------------------------------------------------

KEPT = keras.Sequential([layers.Input((4,)), layers.Dense(1, activation="sigmoid")])
KEPT_LAYER = layers.Dense(1, activation="sigmoid")
FROZEN = layers.Dense(3, trainable=False)
OPTIMIZER = keras.optimizers.SGD()


def with_shared_optimizer(meta):
    """Compile every model with one optimizer."""
    model = perceptron(meta)
    model.compile(OPTIMIZER, "binary_crossentropy")
    return model


@pytest.mark.parametrize(
    "build",
    [
        lambda: KEPT,
        lambda: keras.Sequential([layers.Input((4,)), KEPT_LAYER]),
        with_shared_optimizer,
    ],
    ids=["model", "layer", "optimizer"],
)
def test_a_model_that_was_trained_before_is_refused(build):
    """A second fit would go on from the weights, or the steps, of the first."""
    fitted(build)
    with pytest.raises(ValueError, match="that had been trained before; a fit needs its own"):
        fitted(build)


def test_layers_that_do_not_train_may_be_shared():
    """A frozen layer is the same before and after."""

    def build(meta):
        return keras.Sequential(
            [layers.Input((4,)), FROZEN, layers.Dense(1, activation=meta["output_activation_"])]
        )

    assert fitted(build).model_.layers[0] is fitted(build).model_.layers[0] is FROZEN
