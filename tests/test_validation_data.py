"""Callbacks of the user's own read ``validation_data``, as Keras 2 gave it to them."""

import pickle

import keras
import numpy as np
import pytest

from skcb import KerasClassifier, KerasRegressor, Tunable
from skcb.callbacks import EarlyStopping
from tests.models import X, Y, perceptron

WATCHED = {"X_val": X[:8] + 1.0, "y_val": Y["binary"][:8]}


class Reader(keras.callbacks.Callback):
    """Notes what it was given, at each of its hooks."""

    def __init__(self):
        super().__init__()
        self.shapes = []
        self.sums = []
        self.at_end = None

    def _note(self):
        data = self.validation_data
        self.shapes.append(None if data is None else [part.shape for part in data])
        self.sums.append(None if data is None else [float(part.sum()) for part in data])

    def on_train_begin(self, logs=None):
        """Note."""
        self._note()

    def on_epoch_end(self, epoch, logs=None):
        """Note."""
        self._note()

    def on_train_end(self, logs=None):
        """Read once more."""
        self.at_end = None if self.validation_data is None else len(self.validation_data)


class Needy(Reader):
    """Fails where training ends without rows."""

    def on_train_end(self, logs=None):
        """Read."""
        assert len(self.validation_data) == 3


class ActivationLogger(keras.callbacks.Callback):
    """Saves what each layer puts out for a sample of the watched rows, as in Keras 2's days."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def set_model(self, model):
        """Make a model of all layers' outputs."""
        super().set_model(model)
        if model is not None:
            outputs = [layer.output for layer in model.layers]
            self.activations_model = keras.Model(model.inputs, outputs)

    def on_epoch_end(self, epoch, logs=None):
        """Save."""
        if self.validation_data is None:
            raise RuntimeError("Requires validation_data.")
        sample = self.validation_data[0][0:1]
        activations = self.activations_model.predict(sample, verbose=0)
        np.savez(f"{self.folder}/activations_at_epoch_{epoch}.npz", *activations)


class WithProperty(Reader):
    """Brings a property of this name."""

    @property
    def validation_data(self):
        """Give its own."""
        return [np.zeros((2, 2))]


class WithEmptyProperty(Reader):
    """Brings a property that has nothing yet."""

    @property
    def validation_data(self):
        """Give nothing."""
        return None


class WithItsOwn(Reader):
    """Is given rows of its own."""

    def __init__(self, validation_data=None):
        super().__init__()
        self.validation_data = validation_data


class Stopper(keras.callbacks.EarlyStopping, Reader):
    """A subclass of one of Keras' is the user's own too."""

    def __init__(self):
        Reader.__init__(self)
        keras.callbacks.EarlyStopping.__init__(self)

    def on_epoch_end(self, epoch, logs=None):
        """Note."""
        self._note()


def classifier(callback, **params):
    """Make a classifier of two epochs with one callback."""
    params = {"epochs": 2, "random_state": 0, **params}
    return KerasClassifier(perceptron, callbacks={"mine": callback}, **params)


def test_inputs_targets_and_weights_are_a_list():
    """Encoded as the model takes them, before training begins and in every epoch."""
    clf = classifier(Reader()).fit(X, Y["binary"], **WATCHED)
    reader = clf.callbacks_["mine"]
    assert reader.shapes == [[(8, 4), (8, 1), (8,)]] * 3
    inputs, targets, weights = reader.sums[0]
    assert inputs == WATCHED["X_val"].sum()
    assert targets == (WATCHED["y_val"] == "yes").sum()  # the labels as numbers
    assert weights == 8.0
    assert reader.at_end == 3


def test_weights_are_those_that_are_watched():
    """As they were given."""
    weight = np.arange(8.0)
    clf = classifier(Reader()).fit(X, Y["binary"], **WATCHED, sample_weight_val=weight)
    assert clf.callbacks_["mine"].sums[-1][2] == weight.sum()


def two_heads(meta):
    """Build a model with an output for each target."""
    inputs = keras.Input((meta["n_features_in_"],))
    return keras.Model(inputs, [keras.layers.Dense(1, name=name)(inputs) for name in "ab"])


def test_each_head_has_its_targets_and_weights():
    """All arrays in one flat list: inputs, targets, weights."""
    reg = KerasRegressor(two_heads, loss=["mse", "mse"], callbacks=Reader(), epochs=2)
    reg.fit(X, Y["several targets"], X_val=X[:8], y_val=Y["several targets"][:8])
    assert [len(shapes) for shapes in reg.callbacks_["reader"].shapes] == [5, 5, 5]


def test_without_watched_rows_there_is_none():
    """None, and not an attribute that is missing."""
    assert classifier(Reader()).fit(X, Y["binary"]).callbacks_["mine"].shapes == [None] * 3


def test_an_activation_logger_saves_the_outputs_of_every_layer(tmp_path):
    """Of the first watched row, in each epoch; the last are those of the trained model."""
    clf = classifier(Tunable(ActivationLogger, folder=str(tmp_path))).fit(X, Y["binary"], **WATCHED)
    names = [f"activations_at_epoch_{epoch}.npz" for epoch in range(2)]
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    first, last = (list(np.load(tmp_path / name).values()) for name in names)
    assert [part.shape for part in last] == [(1, 4), (1, 1)]
    assert not np.array_equal(first[1], last[1])
    probability = clf.predict_proba(WATCHED["X_val"][:1])[0, 1]
    np.testing.assert_allclose(last[1][0, 0], probability, rtol=1e-6)


@pytest.mark.parametrize(
    "callback, shapes",
    [
        (WithProperty(), [(2, 2)]),
        (WithEmptyProperty(), None),
        (WithItsOwn([np.ones((3, 3))]), [(3, 3)]),
        (WithItsOwn(), [(8, 4), (8, 1), (8,)]),  # Keras 2's own default was None
        (Stopper(), [(8, 4), (8, 1), (8,)]),
    ],
)
def test_what_a_callback_brings_itself_stays(callback, shapes):
    """A property, or rows that it was made with."""
    clf = classifier(callback).fit(X, Y["binary"], **WATCHED)
    assert clf.callbacks_["mine"].shapes[-1] == shapes
    if isinstance(callback, WithItsOwn) and callback.validation_data is not None:
        assert clf.callbacks_["mine"].validation_data[0].shape == (3, 3)


def test_keras_own_callbacks_get_nothing():
    """They read none."""
    clf = classifier(EarlyStopping(patience=2)).fit(X, Y["binary"], **WATCHED)
    assert not hasattr(clf.callbacks_["mine"], "validation_data")


def test_no_rows_stay_with_a_callback_after_its_fit():
    """Nor in a pickle of the estimator."""
    rows = np.random.default_rng(0).normal(size=(4000, 4)).astype("float32")
    labels = np.where(rows[:, 0] > 0, "yes", "no")
    clf = classifier(Reader()).fit(X, Y["binary"], X_val=rows, y_val=labels)
    assert clf.callbacks_["mine"].shapes[-1][0] == (4000, 4)
    assert clf.callbacks_["mine"].validation_data is None
    assert len(pickle.dumps(clf)) < rows.nbytes


@pytest.mark.parametrize("pickled", [False, True])
def test_each_call_of_partial_fit_lends_its_own_rows(pickled):
    """And takes them back; the end of training that is shown reads them too."""
    clf = classifier(Needy())
    for n in (8, 6, 4):
        clf.partial_fit(X, Y["binary"], X_val=X[:n], y_val=Y["binary"][:n])
        assert clf.callbacks_["mine"].validation_data is None
        clf = pickle.loads(pickle.dumps(clf)) if pickled else clf
    assert [shapes[0] for shapes in clf.callbacks_["mine"].shapes] == [
        (8, 4),
        (8, 4),
        (6, 4),
        (4, 4),
    ]
