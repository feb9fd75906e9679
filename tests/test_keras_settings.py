"""The caller's Keras settings are what trains, in every worker; and Keras is loaded quietly."""

import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import joblib
import keras
import pytest
from keras import layers
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_validate

from skcb import KerasClassifier, _keras
from tests.models import X, Y

y = Y["binary"]
NAMES = ["float32", "float64", "mixed_bfloat16"]


def small(meta):
    """Build a model whose layers take the policy that is in force."""
    return keras.Sequential([layers.Input((4,)), layers.Dense(1, activation="sigmoid")])


def policy_of(estimator, X=None, y=None):
    """Score an estimator by the place of its model's policy in NAMES."""
    estimator.predict(X)
    return NAMES.index(estimator.model_.layers[-1].dtype_policy.name)


@pytest.fixture(autouse=True)
def settings_as_they_were():
    """Let a test change Keras' settings."""
    before = _keras.read()
    yield
    _keras.put(before, _keras.read())


def searched(name, **how):
    """Return the policies of all fits of a search and of a cross-validation."""
    keras.config.set_dtype_policy(name)
    estimator = KerasClassifier(small, batch_size=-1)
    with joblib.parallel_config(**how):
        search = GridSearchCV(estimator, {"epochs": [1, 2, 3]}, cv=2, scoring=policy_of).fit(X, y)
        folds = cross_validate(estimator, X, y, cv=6, scoring=policy_of)["test_score"]
    columns = [search.cv_results_[f"split{i}_test_score"] for i in (0, 1)]
    places = {policy_of(search.best_estimator_, X), *map(int, [*columns[0], *columns[1], *folds])}
    assert keras.config.dtype_policy().name == name
    return {NAMES[place] for place in places}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["float64", "mixed_bfloat16"])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_callers_dtype_policy_trains_in_threads(name, n_jobs):
    """Keras keeps it for each thread alone; a fold that is handed out late has it too."""
    assert searched(name, backend="threading", n_jobs=n_jobs) == {name}


@pytest.mark.slow
def test_the_callers_dtype_policy_trains_in_processes():
    """And a worker that is used again goes by the settings of its new caller."""
    for name in ("mixed_bfloat16", "float64", "float32"):
        assert searched(name, backend="loky", n_jobs=2) == {name}


def in_thread(function):
    """Return what a function returns in a new thread."""
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def test_a_policy_that_a_thread_sets_itself_counts_there():
    """As in Keras: who asks for float64 in a thread gets it."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    estimator = clone(KerasClassifier(small))

    def fit():
        keras.config.set_dtype_policy("float64")
        return estimator.fit(X, y).model_.layers[-1].dtype_policy.name

    assert in_thread(fit) == "float64"
    assert estimator.fit(X, y).model_.layers[-1].dtype_policy.name == "mixed_bfloat16"


def test_settings_of_another_process_come_along_and_go():
    """What was pickled under other settings is fitted under them; the process keeps its own."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    keras.config.set_epsilon(1e-5)
    estimator = KerasClassifier(small)
    pickled = pickle.dumps(estimator)
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    keras.config.set_epsilon(1e-7)
    elsewhere = pickle.loads(pickled)
    elsewhere._keras_settings = elsewhere._keras_settings._replace(process=-1)
    seen = {}

    def build(meta):
        seen.update(floatx=keras.config.floatx(), epsilon=keras.config.epsilon())
        return small(meta)

    elsewhere.set_params(build_fn=build).fit(X, y)
    assert seen == {"floatx": "float64", "epsilon": 1e-5}
    assert elsewhere.model_.layers[-1].dtype_policy.name == "float64"
    assert (keras.config.floatx(), keras.config.epsilon()) == ("float32", 1e-7)
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("fails", [False, True])
def test_the_threads_own_settings_come_back(fails):
    """After a fit that raises too."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    build = (lambda: 3) if fails else small
    estimator = clone(KerasClassifier(build))

    def fit():
        before = _keras.read()
        try:
            estimator.fit(X, y)
        except TypeError:
            assert fails
        return before == _keras.read()

    assert in_thread(fit)


def test_cloning_leaves_the_settings_alone():
    """A default policy goes on following `floatx`, which may be set later."""

    def policy():
        clone(KerasClassifier(small)).set_params(epochs=0).fit(X, y)
        before = keras.config.floatx()
        keras.config.set_floatx("float64")
        name = keras.config.dtype_policy().name
        keras.config.set_floatx(before)
        return name

    assert in_thread(policy) == "float64"


# -- silence -----------------------------------------------------------------------------------

SCRIPT = """
import sys, threading
import joblib, numpy as np
from sklearn.model_selection import GridSearchCV
from skcb import KerasClassifier

def build(meta):
    import keras
    return keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1, "sigmoid")])

if __name__ == "__main__":
    assert "keras" not in sys.modules
    X = np.random.default_rng(0).normal(size=(40, 4))
    y = (X[:, 0] > 0).astype(int)
    with joblib.parallel_config(backend=sys.argv[1], n_jobs=int(sys.argv[2])):
        search = GridSearchCV(KerasClassifier(build), {"epochs": [1, 2]}, cv=2).fit(X, y)
    search.predict(X), search.predict_proba(X), search.score(X, y)
    print("mine", file=sys.stderr)
"""


def run(script, *arguments):
    """Run a script as its user would: with no setting of TensorFlow's log level."""
    hidden = ("TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, script, *arguments], env=environment, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "n_jobs"), [("loky", 1), ("loky", 2), ("threading", 2)])
def test_nothing_is_printed_but_what_the_script_prints(backend, n_jobs, tmp_path):
    """By fits and predictions, here and in workers, which load Keras and TensorFlow themselves."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    assert run(script, backend, str(n_jobs)) == (0, "", "mine\n")


LOUD = """
import os, sys
print("a warning of mine", file=sys.stderr)
if "closed" not in sys.argv:
    os.write(2, b"W0000 00:00:1.2 33 mine.cc:1] a warning\\n")
    os.write(2, b"E0000 00:00:1.2 33 mine.cc:1] an error\\n")
    os.write(2, b"I0000 00:00:1.2 33 mine.cc:1] information\\n")
    os.write(2, b"no line\\n")
if "fail" in sys.argv:
    raise ImportError("no keras here")
"""
KEPT = "a warning of mine\nW0000 00:00:1.2 33 mine.cc:1] a warning\n"
KEPT += "E0000 00:00:1.2 33 mine.cc:1] an error\nno line\n"
LOAD = """
import os, sys
if "closed" in sys.argv:
    os.close(2)
    sys.stderr = None
from skcb import _keras
_keras.load()
"""


@pytest.fixture
def with_loud_keras(tmp_path):
    """Return what runs a script where another `keras` is imported, one that writes to stderr."""
    (tmp_path / "keras.py").write_text(LOUD)

    def run_there(code, *arguments):
        (tmp_path / "script.py").write_text(code)
        return run(tmp_path / "script.py", *arguments)

    return run_there


def test_warnings_and_errors_of_an_import_are_kept(with_loud_keras):
    """Only what is information, and tells nothing about the user's work, is left out."""
    assert with_loud_keras(LOAD) == (0, "", KEPT)
    code, _, stderr = with_loud_keras(LOAD, "fail")
    assert code == 1 and stderr.startswith(KEPT) and "ImportError: no keras here" in stderr


def test_keras_loads_where_there_is_no_stderr(with_loud_keras):
    """As in a service, or a program without a console."""
    assert with_loud_keras(LOAD, "closed") == (0, "a warning of mine\n", "")


RACE = """
import sys, threading, time
from skcb import _keras

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "keras":
            time.sleep(0.2)

sys.meta_path.insert(0, Slow())
barrier = threading.Barrier(4)

def load():
    barrier.wait()
    _keras.load()

threads = [threading.Thread(target=load) for _ in range(4)]
[t.start() for t in threads], [t.join() for t in threads]
print("mine", file=sys.stderr, flush=True)
"""


def test_threads_that_load_keras_at_once_leave_stderr_as_it_was(with_loud_keras):
    """A line that is written afterwards appears."""
    assert with_loud_keras(RACE) == (0, "", KEPT + "mine\n")
