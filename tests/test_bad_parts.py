"""Optimizers, losses, metrics and parts that cannot train a model are refused before it trains.

Every case is fitted with a model that fails the test when it takes a step of training.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from skcb import KerasClassifier, Tunable
from skcb._misfits import _COMPUTED
from tests.models import Untrainable, X, Y, fitted, own_metric, perceptron, untrainable

y = Y["binary"]


def compiled(**params):
    """Return a function that builds an untrainable model, compiled with these."""

    def build(meta):
        model = untrainable(meta)
        model.compile(**{"optimizer": "sgd", "loss": "binary_crossentropy", **params})
        return model

    return build


def dense(**params):
    """Return a function that builds an untrainable model whose layer has these."""

    def build(meta, kernel_regularizer=None, kernel_constraint=None):
        given = {"kernel_regularizer": kernel_regularizer, "kernel_constraint": kernel_constraint}
        inputs = keras.Input((meta["n_features_in_"],))
        hidden = layers.Dense(3, name="hidden", **{**given, **params})(inputs)
        outputs = layers.Dense(meta["n_output_units_"], meta["output_activation_"])(hidden)
        return Untrainable(inputs, outputs)

    return build


def owned():
    """Return an optimizer that has trained another model."""
    other = keras.Sequential([layers.Input((4,)), layers.Dense(1)])
    optimizer = keras.optimizers.Adam()
    other.compile(optimizer, "mse")
    other.fit(X, Y["regression"], batch_size=16, verbose=0)
    return optimizer


# -- optimizers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adam", keras.optimizers.Adam, keras.optimizers.Adam()])
def test_a_setting_of_other_optimizers_names_them(optimizer):
    """The parameter, its value, the owner, who has it, and what a search would do."""
    message = (
        r"`optimizer__momentum=0\.9`: Adam has no parameter `momentum`\..*use a list of grids\. "
        r"`momentum` is a parameter of .*RMSprop, SGD\."
    )
    with pytest.raises(ValueError, match=message):
        fitted(untrainable, optimizer=optimizer, optimizer__momentum=0.9)


@pytest.mark.parametrize(
    ("make", "stands_for"),
    [
        (lambda: tf.compat.v1.train.AdamOptimizer(), "Adam"),
        (lambda: tf.compat.v1.train.GradientDescentOptimizer(0.1), "SGD"),
        (lambda: tf.compat.v1.train.RMSPropOptimizer(0.1), "RMSprop"),
    ],
    ids=["Adam", "GradientDescent", "RMSProp"],
)
def test_an_optimizer_of_bare_tensorflow_is_answered(make, stands_for):
    """Keras 3 cannot train with one; the error says with what it can."""
    message = (
        r"`optimizer` must be the name, class or instance of one of keras\.optimizers.*comes from "
        rf"tensorflow.*give `'{stands_for.lower()}'` or keras\.optimizers\.{stands_for}\(\.\.\.\)"
    )
    with pytest.raises(TypeError, match=message):
        fitted(untrainable, optimizer=make())


def test_the_optimizers_that_tensorflow_takes_from_keras_train():
    """`tf.optimizers` is Keras' own module by another name."""
    assert fitted(optimizer=tf.optimizers.SGD(0.1)).n_iter_ == 1


def test_an_optimizer_that_another_model_owns_is_refused():
    """Given as a parameter it would begin without its steps, and nobody would know."""
    message = r"`optimizer=<.*Adam.*` belongs to a model already: it has taken 3 steps there"
    with pytest.raises(ValueError, match=message):
        fitted(untrainable, optimizer=owned())


def test_a_build_function_that_compiles_with_it_is_refused():
    """Keras would find unknown variables in the first step."""
    message = "compiled its model with an optimizer that another model already owns: Adam 'adam"
    with pytest.raises(ValueError, match=message):
        fitted(compiled(optimizer=owned()))


def test_one_optimizer_for_all_fits_is_refused_at_the_second():
    """A global in the build function's module trains the first fold's model only."""
    shared = keras.optimizers.SGD()

    def build(meta):
        model = perceptron(meta)
        model.compile(shared, "binary_crossentropy")
        return model

    assert fitted(build).n_iter_ == 1
    with pytest.raises(ValueError, match=r"a part \('sgd.*'\) that had been"):
        fitted(build)


def test_an_optimizer_built_for_this_model_trains():
    """Built is not owned by another."""

    def build(meta):
        model = perceptron(meta)
        model.compile("sgd", "binary_crossentropy")
        model.optimizer.build(model.trainable_variables)
        return model

    assert fitted(build).n_iter_ == 1


# -- losses ----------------------------------------------------------------------------------------


def shapeless(y_true, y_pred):
    """Stand for a loss that was written for three outputs."""
    return keras.ops.mean(keras.ops.reshape(y_pred, (-1, 3)) - y_true)


@pytest.mark.parametrize(
    ("kind", "loss", "message"),
    [
        # the target
        ("regression", "sparse_categorical_crossentropy", "reads classes.*use KerasClassifier"),
        ("regression", "categorical_crossentropy", "reads classes, but the target is continuous"),
        ("regression", keras.losses.SparseCategoricalCrossentropy(True), "reads classes"),
        # the output
        ("multilabel", "sparse_categorical_crossentropy", "exactly one 1 in each row of y"),
        ("binary", shapeless, r"`loss=<function shapeless.*cannot be computed from outputs of"),
        ("binary", "categorical_crossentropi", "Did you mean `categorical_crossentropy`"),
        ("binary", 3, "`loss` must be the name, class or instance.*but got 3"),
    ],
)
def test_a_loss_that_does_not_fit_is_refused(kind, loss, message):
    """It fits neither the target nor the output, or is no loss at all."""
    with pytest.raises((ValueError, TypeError), match=message):
        fitted(untrainable, kind, loss=loss)


def test_a_loss_that_the_build_function_compiled_is_judged_too():
    """The error says what Keras says of it."""
    with pytest.raises(ValueError, match=r"`loss=<function shapeless.*cannot be computed from"):
        fitted(compiled(loss=shapeless))


# -- metrics ---------------------------------------------------------------------------------------


def broken(y_true, y_pred):
    """Stand for a metric with a mistake in it."""
    raise KeyError("my own mistake")


@pytest.mark.parametrize(
    ("kind", "metrics", "message"),
    [
        ("binary", [own_metric, broken], r"`metrics`: 'broken' cannot be computed.*my own mistake"),
        (
            "multilabel",  # there are three labels
            ["binary_accuracy", keras.metrics.AUC(multi_label=True, num_labels=2, name="each")],
            r"`metrics`: 'each' cannot be computed from outputs of shape \(3,\) and targets of",
        ),
        ("binary", ["sparse_categorical_accuracy"], "needs an output for each class"),
        ("binary", ["acuracy"], "`metrics='acuracy'`: Keras has none.*Did you mean `accuracy`"),
        ("binary", [3], "`metrics` must hold names.*but got 3"),
    ],
)
def test_a_metric_that_cannot_be_computed_is_refused(kind, metrics, message):
    """The error names it, and what it was given to read."""
    with pytest.raises((ValueError, TypeError), match=message):
        fitted(untrainable, kind, metrics=metrics)


@pytest.mark.slow
def test_what_was_computed_beforehand_is_forgotten():
    """Metrics begin at zero, whether this is the first fit of its kind or not."""
    _COMPUTED.clear()
    params = {"metrics": ["AUC", own_metric, "accuracy"], "epochs": 2}
    first = fitted(**params)
    assert first.history_ == fitted(**params).history_
    _COMPUTED.clear()
    untrained = fitted(metrics=["AUC"], epochs=0).model_
    assert [float(np.abs(v).max()) for v in untrained.metrics_variables] == [0.0] * 6
    _COMPUTED.clear()
    of_keras = fitted(metrics=["AUC", "accuracy"], epochs=2)
    assert len(_COMPUTED) == 1
    again = fitted(metrics=["AUC", "accuracy"], epochs=2)
    assert len(_COMPUTED) == 1
    assert of_keras.history_ == again.history_
    assert all(first.history_[name] == values for name, values in again.history_.items())


# -- parts -----------------------------------------------------------------------------------------

L2, MAX_NORM = keras.regularizers.L2(0.1), keras.constraints.MaxNorm(3)


@pytest.mark.parametrize(
    ("build", "params", "message"),
    [
        (
            dense(),
            {"kernel_constraint": L2},
            r"`kernel_constraint=<.*L2.*>`: L2 is a regularizer, but it stands as the constraint "
            r"of 'hidden/kernel': give it as the layer's `kernel_regularizer`, or one of "
            r"keras\.constraints",
        ),
        (
            dense(),
            {"kernel_regularizer": Tunable(keras.constraints.MaxNorm, max_value=2)},
            r"`kernel_regularizer=Tunable\(MaxNorm.*MaxNorm is a constraint, but it stands as the "
            r"regularizer of 'hidden/kernel': give it as the layer's `kernel_constraint`",
        ),
        (dense(bias_constraint=L2), {}, r"^L2 is a regularizer.*`bias_regularizer`"),
        (dense(bias_regularizer=MAX_NORM), {}, r"^MaxNorm is a constraint.*`bias_constraint`"),
    ],
    ids=["constraint", "regularizer, Tunable", "inside: constraint", "inside: regularizer"],
)
def test_a_part_in_the_place_of_another_is_refused(build, params, message):
    """Keras takes anything that can be called; what comes of it is no training."""
    with pytest.raises(ValueError, match=message):
        fitted(build, **params)


def test_parts_in_their_own_places_train():
    """Both at once, and a function of the user's own as either."""

    def own(weights):
        return keras.ops.clip(weights, -1.0, 1.0)

    def build(meta):
        model = keras.Sequential([layers.Input((meta["n_features_in_"],))])
        model.add(layers.Dense(3, kernel_regularizer=L2, kernel_constraint=MAX_NORM))
        model.add(layers.Dense(1, "sigmoid", kernel_constraint=own))
        return model

    clf = fitted(build, optimizer="sgd", optimizer__learning_rate=9.0, epochs=2)
    assert np.abs(clf.model_.layers[-1].get_weights()[0]).max() <= 1.0


def test_an_unknown_name_inside_the_build_function_is_keras_own_error():
    """The user's own code raises as it would without skcb, and says what was wrong."""
    with pytest.raises(ValueError, match="glorot_unifrom"):
        fitted(dense(kernel_initializer="glorot_unifrom"))


def test_a_search_scores_a_misfit_by_its_error_score():
    """All of this is judged by `fit`, never by `set_params`."""
    clf = KerasClassifier(perceptron)
    bad = {"optimizer": owned(), "loss": shapeless, "metrics": [broken]}
    for name, value in bad.items():
        assert clf.set_params(**{name: value}).get_params()[name] is value
