"""Training by `Model.fit`, for Keras on another backend than TensorFlow."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import zoo
from keras_reference import variables_of
from running import state_of

from skcb.engine import loop
from skcb.engine.fits import KerasFits
from skcb.engine.hooks import Hooks

HERE = Path(__file__).parent

ROAD = [
    "plain",
    "dropout",
    "sample weights",
    "validation_freq",
    "early stopping",
    "optimizer: adamw, ema",
    "own train_step",
    "two inputs, two outputs",
]
"""Cases of the zoo that differ in what an epoch is given or leaves behind."""

# -- on JAX, in a process where TensorFlow cannot be imported ------------------------------------


@pytest.fixture(scope="module")
def on_jax():
    """Run the script on JAX; return what it printed."""
    if importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is not installed here; `make jax` runs these tests where it is")
    path = os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, HERE / "other_backend.py"],
        env={**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["plain", "averaged"])
def test_fit_on_jax_equals_keras(on_jax, case):
    """With best weights restored and with averaged ones; a pickle between epochs changes none."""
    found = on_jax[case]
    assert found["apart"] == found["apart by partial_fit"] == 0.0
    probabilities = np.array(found["probabilities"])
    assert probabilities.shape == (3, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-6)


@pytest.mark.slow
def test_callbacks_stop_on_jax(on_jax):
    """EarlyStopping ends a fit before its time, one epoch after the best."""
    assert on_jax["plain"]["epochs"] == on_jax["plain"]["best"] + 2 < 6


@pytest.mark.slow
def test_what_ended_a_fit_on_jax(on_jax):
    """Time, or a callback that looks at batches, both after one epoch; or the epochs."""
    assert on_jax["ended"] == [[1, "max_time"], [1, "callbacks__stop"], [3, "epochs"]]


@pytest.mark.slow
def test_search_on_jax(on_jax):
    """A grid over a callback and schedules learns, and the estimator says which road it took."""
    search = on_jax["search"]
    assert len(search["scores"]) == 2 and min([*search["scores"], search["score"]]) > 0.9
    assert search["engine"] == "keras: the backend is 'jax'"


@pytest.mark.slow
def test_schedules_on_jax(on_jax):
    """A schedule sets the learning rate of each epoch, or of each step."""
    assert on_jax["rates"] == [0.25, 0.125, 0.0625]
    assert on_jax["apart at rates"] == 0.0


# -- the same road on TensorFlow -----------------------------------------------------------------


class Diary(keras.callbacks.Callback):
    """Notes every hook, and stops training at (hook, epoch from 1, batch or epoch from 0)."""

    def __init__(self, stops_at):
        super().__init__()
        self.notes, self._stops_at = [], stops_at


def noting(hook):
    """Return a hook that notes its call and what it was told."""

    def note(self, *args, **named):
        *place, logs = [*args, *named.values()]
        history = {name: len(values) for name, values in self.model.history.history.items()}
        self.notes.append((hook, *place, logs or {}, history))
        epochs = sum(note[0] == "on_epoch_begin" for note in self.notes)
        if (hook, epochs, *place) == self._stops_at:
            self.model.stop_training = True

    return note


for _what in ("train", "test", "epoch", "train_batch", "test_batch"):
    for _when in ("begin", "end"):
        _hook = f"on_{_what}_{_when}"
        setattr(Diary, _hook, noting(_hook))


def trained(name, callbacks=()):
    """Train a case by an epoch of Model.fit after another; return it and its initial variables."""
    case = zoo.CASES[name]
    state = state_of(case, 0)
    model, state.order = state.model, None
    initial = [np.array(v) for v in variables_of(model)]
    live = [*case.callbacks(), *callbacks]
    state.callbacks = Hooks(dict(enumerate(live)), model)
    state.steps, state.by_batch = KerasFits(model), bool(callbacks)
    for _ in loop.epochs(state):
        pass
    loop.finish(state)
    return state, initial


def by_keras(name, state, initial, callbacks=()):
    """Train a case by one call of Model.fit on the same rows, from the same variables."""
    case = zoo.CASES[name]
    model = state_of(case, 0).model
    for variable, value in zip(variables_of(model), initial, strict=True):
        variable.assign(value)
    x, y, *weight = state.train.batch(slice(None))
    model.fit(
        x,
        y,
        sample_weight=weight[0] if weight else None,
        batch_size=case.batch_size,
        epochs=case.epochs,
        validation_data=state.watched.batch(slice(None)),
        validation_batch_size=case.batch_size,
        validation_freq=case.validation_freq,
        callbacks=[*case.callbacks(), *callbacks],
        shuffle=False,
        verbose=0,
    )
    return model


@pytest.mark.slow
@pytest.mark.parametrize("name", ROAD)
def test_epochs_by_fit_are_one_fit(name):
    """A Model.fit for each epoch gives the history and the variables of one for all of them."""
    state, initial = trained(name)
    model = by_keras(name, state, initial)
    assert state.model.history.history == model.history.history
    for ours, theirs in zip(variables_of(state.model), variables_of(model), strict=True):
        np.testing.assert_array_equal(np.array(ours), np.array(theirs))


STOPS = [
    None,
    ("on_train_begin", 0),
    ("on_epoch_begin", 2, 1),
    ("on_train_batch_end", 2, 1),
    ("on_test_batch_end", 2, 0),
    ("on_epoch_end", 2, 1),
]


@pytest.mark.slow
@pytest.mark.parametrize("stops_at", STOPS)
def test_callbacks_hear_what_keras_tells_them(stops_at):
    """Every hook, its place, logs and history, wherever a callback stops training."""
    ours, theirs = Diary(stops_at), Diary(stops_at)
    state, initial = trained("sample weights", [ours])
    by_keras("sample weights", state, initial, [theirs])
    assert ours.notes == theirs.notes


class Interrupts(keras.callbacks.Callback):
    """Is Ctrl-C in the third epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_restored_backup_does_not_end_training(tmp_path):
    """Keras would begin its next fit at a later epoch; each epoch here is a fit of its own."""
    with pytest.raises(KeyboardInterrupt):
        trained("plain", [keras.callbacks.BackupAndRestore(tmp_path), Interrupts()])
    state, _ = trained("plain", [keras.callbacks.BackupAndRestore(tmp_path)])
    assert len(state.model.history.history["loss"]) == zoo.CASES["plain"].epochs
