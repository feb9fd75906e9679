"""A model given as `build_fn` is a template: every fit trains a faithful copy of it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from sklearn.base import clone

from skcb import KerasClassifier
from tests.models import Untrainable, X, Y, own_loss, own_metric

y = Y["binary"]


class Twice(layers.Layer):
    """A layer that nobody registered."""

    def call(self, x):
        return 2 * x


def template():
    """Build a model with parts of the user's own, and train it a little."""
    model = keras.Sequential([layers.Input((4,)), Twice(), layers.Dense(3, trainable=False)])
    model.add(layers.Dense(1, activation="sigmoid"))
    model.compile(keras.optimizers.SGD(0.5, momentum=0.5), own_loss, metrics=[own_metric])
    model.train_on_batch(X[:8], np.ones((8, 1)))
    return model


class Subclassed(keras.Model):
    """A model without a config of its own."""

    def __init__(self, units=1):
        super().__init__()
        self.dense = layers.Dense(units, activation="sigmoid")

    def call(self, x):
        return self.dense(x)


class Described(Subclassed):
    """The same, with one."""

    def get_config(self):
        return {"units": self.dense.units}


class Misdescribed(Subclassed):
    """The same, with one that forgets an argument."""

    def get_config(self):
        return {}


def variables_of(model):
    """Return copies of all numbers that training changes."""
    return [v.numpy().copy() for v in [*model.variables, *model.optimizer.variables]]


def test_a_fit_goes_on_from_the_weights_and_the_compiled_parts():
    """Loss, metrics, settings and steps of the template are those of the copy."""
    model = template()
    fitted = KerasClassifier(model, optimizer__learning_rate=0.0, batch_size=-1).fit(X, y).model_
    assert all(map(np.array_equal, fitted.get_weights(), model.get_weights()))
    assert fitted.loss is own_loss and "own_metric" in fitted.get_metrics_result()
    assert fitted.optimizer.momentum == 0.5
    fitted = KerasClassifier(model, batch_size=-1).fit(X, y).model_
    assert [int(m.optimizer.iterations) for m in (model, fitted)] == [1, 2]
    assert not np.array_equal(fitted.layers[-1].kernel, model.layers[-1].kernel)


def test_a_function_without_a_name_is_kept():
    """Keras could not serialize it, but it is the same function in the copy."""
    model = keras.Sequential([layers.Input((4,)), layers.Dense(1, activation="sigmoid")])
    model.compile(loss=lambda a, b: keras.ops.mean(keras.ops.abs(a - b)))
    assert KerasClassifier(model).fit(X, y).model_.loss is model.loss


def test_what_is_frozen_stays_frozen():
    """The point of transfer learning."""
    model = template()
    fitted = KerasClassifier(model, epochs=2).fit(X, y).model_
    np.testing.assert_array_equal(fitted.layers[1].kernel, model.layers[1].kernel)
    assert len(fitted.trainable_variables) == 2


def test_a_template_is_never_trained_itself():
    """Nor is anything in it changed by fits, which do not learn from each other."""
    model = template()
    before = variables_of(model)
    first, second = (KerasClassifier(model, random_state=0).fit(X, y).model_ for _ in range(2))
    assert all(map(np.array_equal, variables_of(model), before))
    assert first is not second
    assert all(map(np.array_equal, variables_of(first), variables_of(second)))


def test_a_clone_passes_the_template_on():
    """Copying a large model for each candidate of a search would be waste."""
    model = template()
    assert clone(KerasClassifier(model)).build_fn is model


def test_a_template_without_weights_gets_those_of_the_fits_seed():
    """A model that was never built stays so."""
    model = keras.Sequential([layers.Dense(3), layers.Dense(1, activation="sigmoid")])
    one, two = (
        KerasClassifier(model, random_state=seed).fit(X, y).model_.get_weights() for seed in (0, 1)
    )
    assert not model.built
    assert not np.array_equal(one[0], two[0])


def test_a_template_keeps_its_class():
    """A `train_step` of the user's own is in the copy too."""
    inputs = keras.Input((4,))
    model = Untrainable(inputs, layers.Dense(1, activation="sigmoid")(inputs))
    with pytest.raises(pytest.fail.Exception, match="an epoch was trained"):
        KerasClassifier(model).fit(X, y)


def test_a_described_subclass_is_copied():
    """`get_config` is all that it takes."""
    model = Described()
    model(X[:1])
    fitted = KerasClassifier(model, optimizer="sgd", optimizer__learning_rate=0.0).fit(X, y).model_
    assert type(fitted) is Described
    np.testing.assert_array_equal(fitted(X), model(X))


def with_captured_variable():
    """Build a model around a variable that no layer owns."""
    scale = tf.Variable(2.0)
    return keras.Sequential(
        [layers.Input((4,)), layers.Lambda(lambda x: x * scale), layers.Dense(1)]
    )


def called(model):
    """Build a model by calling it."""
    model(X[:1])
    return model


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: called(Subclassed()), "no complete config"),
        (lambda: called(Misdescribed(units=2)), "other weights"),
        (with_captured_variable, "a Lambda of it captures variables"),
    ],
    ids=["no config", "a config that lies", "a captured variable"],
)
def test_a_template_that_cannot_be_copied_faithfully_is_refused(build, reason):
    """The error says why, and that a function can do what a template cannot."""
    with pytest.raises(ValueError, match=rf"cannot be copied faithfully \(.*{reason}.*pass a f"):
        KerasClassifier(build()).fit(X, y)


def test_a_template_takes_no_arguments():
    """`hidden` can reach nothing."""
    with pytest.raises(ValueError, match=r"`hidden=3` reaches nothing: `build_fn` is a model"):
        KerasClassifier(template(), model__hidden=3).fit(X, y)
