"""Which road a fit takes, and why."""

import keras
import numpy as np
import pytest

from skcb.engine import roads
from skcb.engine.fits import KerasFits

K = keras.callbacks


class Overrides(K.Callback):
    """A callback with a batch hook."""

    def on_train_batch_end(self, batch, logs=None):
        """Do nothing."""


class OldName(K.Callback):
    """A callback with the hook's old name."""

    def on_batch_end(self, batch, logs=None):
        """Do nothing."""


class OwnCheckpoint(K.ModelCheckpoint):
    """A checkpoint that looks at batches all the same."""

    def on_train_batch_end(self, batch, logs=None):
        """Do nothing."""


class OwnFit(keras.Sequential):
    """A model that trains in its own way."""

    def make_train_function(self, force=False):
        """Do as Keras does."""
        return super().make_train_function(force)


def model_of(cls=keras.Sequential, **options):
    """Compile a small model."""
    model = cls([keras.layers.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", **options)
    return model


WHOLE = {
    "none": lambda: [],
    "early stopping": lambda: [K.EarlyStopping()],
    "plateau": lambda: [K.ReduceLROnPlateau()],
    "checkpoint": lambda: [K.ModelCheckpoint("x.keras")],
    "logger": lambda: [K.CSVLogger("x.csv")],
    "terminate": lambda: [K.TerminateOnNaN()],
    "scheduler": lambda: [K.LearningRateScheduler(lambda epoch: 0.1)],
    "tensorboard": lambda: [K.TensorBoard("x")],
    "backup": lambda: [K.BackupAndRestore("x")],
    "lambda on epochs": lambda: [K.LambdaCallback(on_epoch_end=print)],
}
BATCHES = {
    "a batch hook": lambda: [Overrides()],
    "the old name": lambda: [OldName()],
    "checkpoint by batch": lambda: [K.ModelCheckpoint("x.keras", save_freq=3)],
    "own checkpoint": lambda: [OwnCheckpoint("x.keras")],
    "tensorboard by batch": lambda: [K.TensorBoard("x", update_freq=2)],
    "tensorboard with a profile": lambda: [K.TensorBoard("x", profile_batch=2)],
    "tensorboard with speed": lambda: [K.TensorBoard("x", write_steps_per_second=True)],
    "backup by batch": lambda: [K.BackupAndRestore("x", save_freq=3)],
    "lambda on batches": lambda: [K.LambdaCallback(on_train_batch_end=print)],
}


def chosen(callbacks, model=None, **options):
    """Choose a road for callbacks."""
    model = model or model_of()
    options = {"engine": "auto", **options}
    return roads.choose(model, {type(c).__name__: c for c in callbacks}, **options)


@pytest.mark.parametrize("name", WHOLE)
def test_callbacks_without_batches_keep_whole_epochs(name):
    """An epoch is one call where nobody looks at batches."""
    road = chosen(WHOLE[name]())
    assert not road.by_batch
    assert road.why.startswith("whole epochs")


@pytest.mark.parametrize("name", BATCHES)
def test_callbacks_with_batches_get_them(name):
    """The reason names the callback and the hook."""
    road = chosen(BATCHES[name]())
    assert road.by_batch
    assert "on_" in road.why and road.why.startswith("batch by batch")


def test_progress_bar_gets_batches():
    """A progress bar shows batches."""
    assert chosen([], verbose=1).by_batch


@pytest.mark.parametrize(
    "model, reason",
    [
        (lambda: model_of(run_eagerly=True), "eagerly"),
        (lambda: model_of(jit_compile=True), "jit_compile"),
        (lambda: model_of(OwnFit), "make_train_function"),
    ],
)
def test_what_no_program_can_do_goes_to_keras(model, reason):
    """Eager models, XLA and models that train in their own way take Keras' road."""
    assert reason in chosen([], model()).why


def test_engine_keras_forces_the_road():
    """The user's word is the reason."""
    assert chosen([], engine="keras").why == 'keras: engine="keras"'


@pytest.mark.parametrize(
    "engine, reason", [("auto", "the backend is 'jax'"), ("keras", 'engine="keras"')]
)
@pytest.mark.parametrize("callbacks, by_batch", [([], False), ([Overrides()], True)])
def test_another_backend_trains_by_fit(monkeypatch, engine, reason, callbacks, by_batch):
    """The reason names the backend; callbacks still get the batches that they need."""
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    road = chosen(callbacks, engine=engine)
    assert isinstance(road.steps, KerasFits)
    assert (road.by_batch, road.why) == (by_batch, f"keras: {reason}")


def test_another_backend_predicts_by_keras(monkeypatch):
    """By what trained the model, or what is made for one that comes from a pickle."""
    model = model_of()
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    fits = roads.for_prediction(model)
    x = np.ones((3, 2), "float32")
    np.testing.assert_array_equal(fits.predict(x, 2), model.predict(x, batch_size=2, verbose=0))
    assert roads.for_prediction(model, fits) is fits
