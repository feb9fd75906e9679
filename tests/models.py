"""Small Keras models that several test files fit, and data for them."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from skcb import KerasClassifier, KerasRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 4)).astype("float32")
Y = {
    "binary": np.where(X[:, 0] > 0, "yes", "no"),
    "multiclass": np.array(["a", "b", "c"])[np.digitize(X[:, 0], [-0.5, 0.5])],
    "multilabel": (X[:, :3] > 0).astype(int),
    "regression": X[:, 0] + 2 * X[:, 1],
    "several targets": X[:, :2] * [1.0, 3.0],
}


def perceptron(meta, hidden=4):
    """Build a small model, not compiled."""
    model = keras.Sequential([layers.Input((meta["n_features_in_"],))])
    model.add(layers.Dense(hidden, activation="relu"))
    model.add(layers.Dense(meta["n_output_units_"], activation=meta["output_activation_"]))
    return model


def fitted(build_fn=perceptron, kind="binary", rows=X, **params):
    """Fit an estimator for one of the ys, all rows in a batch where nothing else is said."""
    estimator = KerasRegressor if kind in ("regression", "several targets") else KerasClassifier
    params = {"random_state": 0, "batch_size": -1, **params}
    return estimator(build_fn, **params).fit(rows, Y[kind])


def own_loss(y_true, y_pred):
    """Stand for a loss of the user's own."""
    return keras.ops.mean(keras.ops.square(y_true - y_pred))


def own_metric(y_true, y_pred):
    """Stand for a metric of the user's own."""
    return keras.ops.mean(y_pred)


def logits(meta):
    """Build a small model without an activation at its end."""
    return keras.Sequential(
        [layers.Input((meta["n_features_in_"],)), layers.Dense(meta["n_output_units_"])]
    )


class Untrainable(keras.Model):
    """A model that fails the test when a step of training is taken."""

    def train_step(self, data):
        pytest.fail("an epoch was trained")


def untrainable(meta):
    """Build a model that must not reach its first epoch."""
    inputs = keras.Input((meta["n_features_in_"],))
    outputs = layers.Dense(meta["n_output_units_"], activation=meta["output_activation_"])(inputs)
    return Untrainable(inputs, outputs)


@keras.saving.register_keras_serializable("tests")
class Seen(layers.Layer):
    """Counts how often each row trained and was looked at, by the row number in column 0."""

    def __init__(self, n_rows, **kwargs):
        super().__init__(**kwargs)
        self.n_rows = n_rows

    def build(self, input_shape):
        self.trained = self.add_weight(shape=(self.n_rows,), initializer="zeros", trainable=False)
        self.watched = self.add_weight(shape=(self.n_rows,), initializer="zeros", trainable=False)

    def call(self, x, training=None):
        rows = keras.ops.cast(keras.ops.round(x[:, 0]), "int32")
        counts = self.trained if training else self.watched
        counts.assign_add(keras.ops.sum(keras.ops.one_hot(rows, self.n_rows), axis=0))
        return x[:, 1:]

    def get_config(self):
        return {**super().get_config(), "n_rows": self.n_rows}


def seeing(meta, n_rows=48):
    """Build a model whose first layer counts the rows that it sees; column 0 is their number."""
    model = keras.Sequential([layers.Input((meta["n_features_in_"],)), Seen(n_rows, name="seen")])
    model.add(layers.Dense(meta["n_output_units_"], activation=meta["output_activation_"]))
    return model


def numbered(X):
    """Put the row numbers before the columns of X."""
    return np.column_stack([np.arange(len(X)), X])


class Play(keras.callbacks.Callback):
    """Logs a curve as if it had been measured."""

    def __init__(self, name, values):
        super().__init__()
        self.name, self.values = name, values

    def on_epoch_end(self, epoch, logs=None):
        logs[self.name] = self.values[epoch]


class Witness(keras.callbacks.EarlyStopping):
    """An EarlyStopping that logs the patience that it has."""

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        logs["patience"] = self.patience


class Record(keras.callbacks.CSVLogger):
    """Writes down what each epoch really had, as JSON; its `filename` is this fit's own."""

    def on_train_begin(self, logs=None):
        self.epochs = []

    def on_epoch_end(self, epoch, logs=None):
        seen = self.model.get_layer("seen")
        self.epochs.append(
            {
                "rate": float(self.model.optimizer.learning_rate),
                "patience": logs["patience"],
                "val_loss": logs["val_loss"],
                "trained": np.asarray(seen.trained).tolist(),
                "watched": np.asarray(seen.watched).tolist(),
            }
        )

    def on_train_end(self, logs=None):
        Path(self.filename).write_text(json.dumps(self.epochs))


class Stretched(keras.losses.Loss):
    """A loss of the user's own, as a class."""

    def __init__(self, by=1.0, name="stretched", **kwargs):
        super().__init__(name=name, **kwargs)
        self.by = by

    def call(self, y_true, y_pred):
        return self.by * keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)

    def get_config(self):
        return {**super().get_config(), "by": self.by}


class Above(keras.metrics.Metric):
    """A metric of the user's own, as a class: the share of outputs above a number."""

    def __init__(self, at=0.5, name="above", **kwargs):
        super().__init__(name=name, **kwargs)
        self.at = at
        self.found = self.add_weight(initializer="zeros", name="found")
        self.rows = self.add_weight(initializer="zeros", name="rows")

    def update_state(self, y_true, y_pred, sample_weight=None):
        above = keras.ops.cast(y_pred > self.at, "float32")
        self.found.assign_add(keras.ops.sum(above))
        self.rows.assign_add(keras.ops.cast(keras.ops.size(above), "float32"))

    def result(self):
        return self.found / self.rows

    def get_config(self):
        return {**super().get_config(), "at": self.at}


class Scaled(layers.Layer):
    """A layer of the user's own."""

    def __init__(self, by=1.0, **kwargs):
        super().__init__(**kwargs)
        self.by = by

    def build(self, input_shape):
        self.weight = self.add_weight(shape=(input_shape[-1],), initializer="ones")

    def call(self, x):
        return x * self.weight * self.by

    def get_config(self):
        return {**super().get_config(), "by": self.by}


class Falling(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule of the user's own."""

    def __init__(self, start=0.1):
        self.start = start

    def __call__(self, step):
        return self.start / (1 + keras.ops.cast(step, "float32"))

    def get_config(self):
        return {"start": self.start}


registered = keras.saving.register_keras_serializable("tests")


@registered
class RegisteredStretched(Stretched):
    """The same, registered."""


@registered
class RegisteredAbove(Above):
    """The same, registered."""


@registered
class RegisteredScaled(Scaled):
    """The same, registered."""


@registered
class RegisteredFalling(Falling):
    """The same, registered."""


def scaled(meta, layer=Scaled, by=2.0):
    """Build a small model with a layer of the user's own."""
    return keras.Sequential(
        [
            layers.Input((meta["n_features_in_"],)),
            layer(by),
            layers.Dense(meta["n_output_units_"], activation=meta["output_activation_"]),
        ]
    )
