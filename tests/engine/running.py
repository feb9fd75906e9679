"""Training cases through the engine and by plain Keras in another process."""

import pickle
import subprocess
import sys
from pathlib import Path

import keras
import keras_reference
import numpy as np
import zoo

from skcb.engine import loop, roads
from skcb.engine.hooks import Hooks
from skcb.engine.state import Rows, TrainingState, taken

HERE = Path(__file__).parent
TRAIN, WATCHED = slice(0, 36), slice(36, zoo.N)


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
    callbacks = dict(enumerate(case.callbacks()))
    road = roads.choose(model, callbacks, engine=engine)
    hooks = Hooks(callbacks, model, epochs=case.epochs, verbose=0)
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


def trained(case, seed=0, engine="auto"):
    """Train a case through the engine; return the job for Keras, and what came out."""
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


def by_keras(jobs, directory):
    """Train jobs by plain Keras in a process of its own, which never imports skcb."""
    files = directory / "jobs.pickle", directory / "out.pickle"
    files[0].write_bytes(pickle.dumps((str(HERE), jobs)))
    subprocess.run([sys.executable, HERE / "keras_reference.py", *files], check=True)
    return pickle.loads(files[1].read_bytes())


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
