"""The engine gives the numbers of plain Keras, to the last bit."""

import pickle
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import keras_reference
import zoo

from skcb.engine import loop, roads
from skcb.engine.state import Rows, TrainingState, taken

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
TRAIN, WATCHED = slice(0, 36), slice(36, zoo.N)
BY_KERAS = ["plain", "dropout", "lstm", "optimizer: adamw, ema", "own train_step", "early stopping"]


def state_of(case, seed, engine="auto"):
    """Build a state that is ready to train, its orders drawn from the seed."""
    keras.utils.set_random_seed(seed)
    x, y = case.x(), case.y()
    weight = None if case.weight is None else case.weight()
    rows = [
        Rows(taken(x, part), taken(y, part), None if weight is None else weight[part])
        for part in (TRAIN, WATCHED)
    ]
    model = keras_reference.built(case, rows[0].batch(slice(None)))
    callbacks = case.callbacks()
    road = roads.choose(model, dict(enumerate(callbacks)), engine=engine)
    hooks = keras.callbacks.CallbackList(
        callbacks, add_history=True, model=model, epochs=case.epochs, verbose=0
    )
    return TrainingState(
        model=model,
        steps=road.steps,
        by_batch=road.by_batch,
        callbacks=hooks,
        train=rows[0],
        watched=rows[1],
        epochs=case.epochs,
        batch_size=case.batch_size,
        validation_batch_size=case.batch_size,
        validation_freq=case.validation_freq,
        order=np.random.default_rng(seed),
        learning_rate=loop.learning_rate(model),
    )


def trained(name, seed, engine):
    """Train a case through the engine; return the job for Keras, and what came out."""
    case = zoo.CASES[name]
    state = state_of(case, seed, engine)
    parts = [rows.batch(slice(None)) for rows in (state.train, state.watched)]
    draws = np.random.default_rng(seed)
    job = {
        "train": parts[0],
        "watched": parts[1],
        "initial": [np.asarray(v.value) for v in keras_reference.variables_of(state.model)],
        "orders": [draws.permutation(len(state.train)) for _ in range(case.epochs)],
    }
    for _ in loop.epochs(state):
        pass
    loop.finish(state)
    final = [np.asarray(v.value) for v in keras_reference.variables_of(state.model)]
    return job, {"history": state.history, "final": final}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Train everything by the engine, then by plain Keras in a process of its own."""
    directory = tmp_path_factory.mktemp("reference")
    runs = {
        (name, seed, engine): trained(name, seed, engine)
        for name in zoo.CASES
        for seed, engine in [(0, "auto"), (1, "auto"), (0, "keras")]
        if engine == "auto" or name in BY_KERAS
    }
    jobs = {key: job for key, (job, _) in runs.items() if key[2] == "auto"}
    swapped = dict(jobs["plain", 0, "auto"])
    order = swapped["orders"][0].copy()
    order[[0, 20]] = order[[20, 0]]
    jobs["plain", "swapped", "auto"] = {**swapped, "orders": [order, *swapped["orders"][1:]]}
    (directory / "jobs.pickle").write_bytes(pickle.dumps((str(HERE), jobs)))
    out = directory / "out.pickle"
    subprocess.run(
        [sys.executable, HERE / "keras_reference.py", directory / "jobs.pickle", out], check=True
    )
    return {key: result for key, (_, result) in runs.items()}, pickle.loads(out.read_bytes())


def difference(ours, reference):
    """Return the largest difference in history and variables; infinite where keys differ."""
    history = dict(ours["history"])
    history.pop("learning_rate")
    expected = {k: v for k, v in reference["history"].items() if k != "learning_rate"}
    if history.keys() != expected.keys():
        return np.inf
    pairs = [(history[k], expected[k]) for k in expected]
    pairs += list(zip(ours["final"], reference["final"], strict=True))
    apart = [
        np.abs(np.subtract(a, b, dtype="float64")).max() if np.shape(a) == np.shape(b) else np.inf
        for a, b in pairs
        if np.size(a)
    ]
    return max(apart)


@pytest.mark.parametrize("name", zoo.CASES)
def test_first_fit_equals_keras(results, name):
    """History and variables are those of Model.fit, to the last bit."""
    ours, reference = results
    assert difference(ours[name, 0, "auto"], reference[name, 0, "auto"]) == 0.0


@pytest.mark.parametrize("name", zoo.CASES)
def test_reused_program_equals_keras(results, name):
    """A second model of the structure, through the same program, is as right as the first."""
    ours, reference = results
    assert difference(ours[name, 1, "auto"], reference[name, 1, "auto"]) == 0.0


@pytest.mark.parametrize("name", BY_KERAS)
def test_keras_road_equals_keras(results, name):
    """Keras' own functions, batch by batch, give the same."""
    ours, reference = results
    assert difference(ours[name, 0, "keras"], reference[name, 0, "auto"]) == 0.0


def test_one_swapped_row_is_noticed(results):
    """Two rows swapped between batches of one epoch change the numbers."""
    ours, reference = results
    assert difference(ours["plain", 0, "auto"], reference["plain", "swapped", "auto"]) > 0.0
