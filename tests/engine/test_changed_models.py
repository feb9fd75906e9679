"""Models that are changed while they are in use: by a callback, or after the fit.

As in Keras, a function shows the model as it was at the function's first call, and what one
model's owner does to it is no other model's affair.
"""

import sys
import threading
from pathlib import Path

import keras
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import zoo

import skcb
from skcb import KerasClassifier, KerasRegressor
from skcb._seeds import BUILDING
from skcb.engine import pool
from skcb.engine.hooks import Hooks
from skcb.engine.program import Bound
from skcb.engine.state import Rows

pytestmark = pytest.mark.slow

L = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype("float32")
y = X[:, 0]


@pytest.fixture(autouse=True)
def empty_pool():
    """Start from an empty pool."""
    skcb.clear_programs()


def leaky():
    """Build a net with a slope that a model's owner may change."""
    return keras.Sequential([L.Input((4,)), L.Dense(8), L.LeakyReLU(0.3), L.Dense(1)])


class Bend(keras.callbacks.Callback):
    """Changes a layer after the first epoch, in which it trained already."""

    def on_epoch_end(self, epoch, logs=None):
        """Bend what is negative upwards."""
        self.model.layers[1].negative_slope = -1.0


def fitted(**options):
    """Fit so that the first evaluation comes after the callback's change."""
    options = {"epochs": 2, "validation_split": 0.3, "validation_freq": 2, **options}
    return KerasRegressor(leaky, optimizer="adam", random_state=0, **options).fit(X, y)


@pytest.mark.parametrize("bent_first", [True, False])
def test_a_callback_that_changes_a_layer_changes_its_own_fit_alone(bent_first):
    """Whichever of the two is evaluated first, and so would be the one that is traced."""
    alone = {}
    for callbacks in (None, Bend):
        skcb.clear_programs()
        alone[callbacks] = fitted(callbacks=callbacks).history_["val_loss"]
    assert alone[None] != alone[Bend]
    skcb.clear_programs()
    for callbacks in (Bend, None) if bent_first else (None, Bend):
        assert fitted(callbacks=callbacks).history_["val_loss"] == alone[callbacks]


@pytest.mark.parametrize("changed_first", [True, False])
def test_a_model_that_is_changed_after_its_fit_predicts_for_itself(changed_first):
    """And an untouched one of the same structure as it was trained."""
    changed, untouched = fitted(), fitted()
    changed.model_.layers[1].negative_slope = -1.0
    for estimator in (changed, untouched) if changed_first else (untouched, changed):
        expected = estimator.model_.predict(X, verbose=0).ravel()
        np.testing.assert_allclose(estimator.predict(X), expected, rtol=1e-6)


def low_rank(model):
    """Add weights to a layer."""
    model.layers[0].enable_lora(2)
    model.layers[0].lora_kernel_b.assign(np.ones((2, 8)))


def eight_bits(model):
    """Put other weights in the place of a layer's."""
    model.layers[0].quantize("int8")


@pytest.mark.parametrize("alter", [low_rank, eight_bits])
def test_a_model_that_gets_other_variables_predicts_with_them(alter):
    """After a prediction with the old ones, too."""
    estimator = fitted()
    before = estimator.predict(X)
    alter(estimator.model_)
    predicted = estimator.predict(X)
    assert (predicted != before).any()
    expected = estimator.model_.predict(X, verbose=0).ravel()
    np.testing.assert_allclose(predicted, expected, rtol=1e-6)


@pytest.mark.parametrize("name", zoo.LAYERS)
def test_models_that_are_left_alone_share_every_function(name):
    """Though each function looks at the structure anew, when a trace has been through the model."""
    rows, shape, layers = zoo.LAYERS[name]

    def build():
        return keras.Sequential([L.Input(shape), *layers(), L.Dense(3, "softmax")])

    for _ in range(2):
        options = {"optimizer": "adamw", "validation_split": 0.2, "random_state": 0}
        KerasClassifier(build, **options).fit(rows(), zoo.labels()).predict(rows())
    report = skcb.engine_report()
    assert (report.programs, report.fits) == (1, 2)
    assert report.traces == {"train": 1, "evaluate": 1, "predict": 1}


def test_a_model_that_shares_nothing_is_counted_once():
    """It trains, evaluates and predicts with one program of its own."""
    for _ in range(2):
        fitted(loss=lambda y_true, y_pred: (y_true - y_pred) ** 2).predict(X)
    assert list(skcb.engine_report().alone.values()) == [2]


def test_a_number_is_not_read_while_a_trace_has_a_tensor_in_its_place():
    """Models of several threads may share a regularizer."""
    shared = keras.regularizers.L2(0.01)
    model = keras.Sequential([L.Input((4,)), L.Dense(1, kernel_regularizer=shared)])
    model.compile("sgd", "mse")
    bound, rows, failures = Bound(model, pool.borrow), Rows(X, y, None), []
    hooks = Hooks({}, model, epochs=1, verbose=0)

    def train():
        try:
            bound.train_epoch(rows, np.arange(60), 16, hooks, by_batch=False)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=train)
    with BUILDING:
        shared.l2 = "a tensor"
        thread.start()
        thread.join(0.5)
        shared.l2 = 0.01
    thread.join(60)
    assert not failures and bound.model.optimizer.iterations == 4


class LastOutputs(keras.Model):
    """A model whose training step logs a number for each row."""

    def train_step(self, data):
        """Train, and log what it puts out now."""
        logs = super().train_step(data)
        return {**logs, "outputs": self(data[0])[:, 0]}


def last_outputs():
    """Build a model with a step of its own."""
    inputs = L.Input((4,))
    return LastOutputs(inputs, L.Dense(1)(inputs))


def test_a_step_may_log_as_many_numbers_as_it_has_rows():
    """The history has those of each epoch's last batch."""
    found = [
        KerasRegressor(last_outputs, epochs=2, batch_size=32, engine=engine, random_state=0)
        .fit(X, y)
        .history_["outputs"]
        for engine in ("auto", "keras")
    ]
    assert np.shape(found[0]) == (2, 28)
    np.testing.assert_array_equal(*found)


def across_rows():
    """Build a net whose outputs depend on the other rows of a batch."""
    inputs = L.Input((4,))
    return keras.Model(inputs, L.Dense(1)(inputs - keras.ops.mean(inputs, axis=0, keepdims=True)))


@pytest.mark.parametrize("by", ["parameter", "argument"])
def test_a_batch_size_that_is_asked_for_is_the_one_predicted_with(by):
    """A model that looks across rows depends on it."""
    options = {"predict__batch_size": 25} if by == "parameter" else {}
    estimator = KerasRegressor(across_rows, random_state=0, **options).fit(X, y)
    predicted = estimator.predict(X, **({} if options else {"batch_size": 25}))
    expected = estimator.model_.predict(X, batch_size=25, verbose=0).ravel()
    np.testing.assert_allclose(predicted, expected, rtol=1e-6)


def stateful():
    """Build a net that takes batches of twelve rows and remembers the last one."""
    layers = [L.Input(batch_shape=(12, 4, 1)), L.LSTM(3, stateful=True), L.Dense(1)]
    return keras.Sequential(layers)


def test_a_model_of_one_batch_size_predicts_in_batches_of_it():
    """In the order of the rows, as Keras does."""
    rows = X.reshape(60, 4, 1)
    estimator = KerasRegressor(stateful, batch_size=12, random_state=0).fit(rows, y)
    found = []
    for predict in (estimator.predict, lambda x: estimator.model_.predict(x, 12, verbose=0)):
        estimator.model_.layers[0].reset_state()
        found.append(np.ravel(predict(rows)))
    np.testing.assert_allclose(*found, rtol=1e-6)
