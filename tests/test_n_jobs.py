"""Workers: threads and processes give the numbers of one job, and share the cores out."""

import os
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
import tensorflow as tf
from sklearn.model_selection import GridSearchCV

from skcb import KerasClassifier, _keras
from tests.models import X, Y, perceptron

ROOT = str(Path(__file__).parents[1])
HEAD = """
import json, multiprocessing, os, sys
import joblib, keras, numpy as np
from keras import layers
from sklearn.model_selection import GridSearchCV
from skcb import KerasClassifier

def build(meta, hidden=4):
    model = keras.Sequential([layers.Input((6, 6, 1)), layers.Conv2D(hidden, 3, activation="relu")])
    model.add(layers.BatchNormalization())
    model.add(layers.Flatten())
    model.add(layers.Dropout(0.2))
    model.add(layers.Dense(1, activation="sigmoid"))
    return model

def threads():
    import tensorflow as tf
    now = tf.config.threading
    return now.get_intra_op_parallelism_threads(), now.get_inter_op_parallelism_threads()

def told(estimator, X, y):
    return float(100 * threads()[0] + threads()[1])

def searched(scoring, n_jobs=2, **how):
    X = np.random.default_rng(0).normal(size=(40, 6, 6, 1))
    y = (X[:, 0, 0, 0] > 0).astype(int)
    estimator = KerasClassifier(build, epochs=2, batch_size=8, random_state=0)
    with joblib.parallel_config(n_jobs=n_jobs, **how):
        search = GridSearchCV(estimator, {"hidden": [2, 3]}, cv=2, scoring=scoring, refit=False)
        found = search.fit(X, y).cv_results_
    return [found[f"split{i}_test_score"].tolist() for i in (0, 1)]
"""


def run(script, tmp_path, **environment):
    """Run a script of its own file, where workers can import from it; return its last line."""
    file = tmp_path / "script.py"
    file.write_text(HEAD + script)
    done = subprocess.run(
        [sys.executable, file],
        env={**os.environ, "PYTHONPATH": ROOT, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


ONE = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}


@pytest.mark.slow
def test_every_backend_gives_the_numbers_of_one_job(tmp_path):
    """Processes and threads, to the bit, where one job has the threads that a worker has.

    TensorFlow's own variables say here how many; then skcb sets nothing in the workers.
    """
    script = """
if __name__ == "__main__":
    multiprocessing.set_start_method("forkserver")
    one = searched("neg_log_loss", n_jobs=1, backend="threading")
    for backend in ("threading", "loky", "multiprocessing"):
        found = searched("neg_log_loss", backend=backend)
        assert found == one, (backend, found, one)
    print(searched(told, backend="loky"))
"""
    assert run(script, tmp_path, **ONE) == "[[0.0, 0.0], [0.0, 0.0]]"


@pytest.mark.slow
def test_workers_share_the_cores(tmp_path):
    """Each has the same number of threads, or as many as asked for; the parent keeps its own."""
    script = """
if __name__ == "__main__":
    share = max(1, joblib.cpu_count() // 2)
    found = searched(told, backend="loky")
    assert np.ravel(found).tolist() == [101.0 * share] * 4, found
    found = searched(told, backend="loky", inner_max_num_threads=3)
    assert np.ravel(found).tolist() == [303.0] * 4, found
    KerasClassifier(build).fit(np.zeros((8, 6, 6, 1)), [0, 1] * 4)
    assert threads() == (0, 0), threads()
    print("done")
"""
    assert run(script, tmp_path) == "done"


@pytest.mark.slow
@pytest.mark.parametrize("start", ["fit", "build({})"])
def test_a_fork_after_tensorflow_started_says_so(start, tmp_path):
    """It would wait for ever; the search says instead what to do."""
    fit = "KerasClassifier(build).fit(np.zeros((8, 6, 6, 1)), [0, 1] * 4)"
    script = f"""
if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    {fit if start == "fit" else start}
    try:
        searched("accuracy", backend="multiprocessing")
    except ValueError as error:
        assert "a fork of one in which TensorFlow had started" in str(error), error
        assert "set_start_method('forkserver')" in str(error), error
        print("told")
"""
    assert run(script, tmp_path) == "told"


@pytest.mark.slow
@pytest.mark.parametrize("asked", [None, "5"])
def test_a_fork_before_tensorflow_starts_works(asked, tmp_path):
    """Nothing of it is there yet; each has its share of the cores, or what the variable says."""
    script = """
if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    print(*sorted(set(np.ravel(searched(told, backend="multiprocessing")))))
"""
    more = {} if asked is None else {"OMP_NUM_THREADS": asked}
    threads = int(asked or max(1, joblib.cpu_count() // 2))
    assert float(run(script, tmp_path, **more)) == 101 * threads


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [2, 3])
def test_threads_give_the_numbers_of_one_job(n_jobs):
    """They share one pool of TensorFlow's, which no number of jobs makes larger."""
    found = []
    for jobs in (1, n_jobs):
        estimator = KerasClassifier(perceptron, epochs=3, random_state=0)
        with joblib.parallel_config("threading", n_jobs=jobs):
            grid = {"hidden": [2, 3], "batch_size": [8, 16]}
            search = GridSearchCV(estimator, grid, cv=3, scoring="neg_log_loss")
            found.append(search.fit(X, Y["binary"]).cv_results_["mean_test_score"])
    assert np.array_equal(*found)


def test_outside_a_worker_nothing_is_set(monkeypatch):
    """Neither by a variable of OpenMP's, nor by what a pickle brings along."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    before = tf.config.threading.get_intra_op_parallelism_threads()
    _keras._arrive(True, 3)
    _keras._take_share()
    assert _keras._threads() is None and _keras._share is None
    assert tf.config.threading.get_intra_op_parallelism_threads() == before


@pytest.mark.parametrize("told", ["", "0", "many"])
def test_a_variable_that_says_nothing_is_passed_over(told, monkeypatch):
    """Then the share that came with the work counts."""
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    monkeypatch.setattr(_keras, "_share", 4)
    monkeypatch.setattr(_keras.multiprocessing, "parent_process", lambda: "a parent")
    assert _keras._threads() == 4
