"""Pickles: small, whole, and good in another process; copies that share nothing."""

import copy
import csv
import functools
import os
import pickle
import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cloudpickle
import joblib
import keras
import numpy as np
import pytest
from keras import layers
from sklearn.base import clone

from skcb import KerasClassifier, KerasRegressor, Tunable, _versions
from skcb._seeds import BUILDING
from skcb.callbacks import (
    CSVLogger,
    EarlyStopping,
    EpochScoring,
    LambdaCallback,
    SwapEMAWeights,
)
from skcb.schedules import CosineDecay
from tests.fakes import fresh_process
from tests.models import X, Y, fitted, perceptron

y = Y["binary"]


def wide(meta, hidden=200):
    """Build a model whose weights outweigh everything else."""
    model = keras.Sequential([layers.Input((meta["n_features_in_"],))])
    model.add(layers.Dense(hidden, activation="relu"))
    model.add(layers.BatchNormalization())
    model.add(layers.Dense(hidden, activation="relu"))
    model.add(layers.Dense(1, activation="sigmoid"))
    return model


class Holder(keras.callbacks.Callback):
    """A callback of the user's own that keeps the model."""

    def on_train_end(self, logs=None):
        self.kept = self.model
        self.answer = 42


class PartsHolder(Holder):
    """One that keeps the model in pieces."""

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        self.kept = {"layers": [*self.model.layers], "weights": tuple(self.model.weights)}
        self.optimizer = self.model.optimizer


CALLBACKS = {
    "none": {},
    "early stopping": {
        "callbacks": EarlyStopping(patience=1, restore_best_weights=True),
        "validation_split": 0.2,
    },
    "averages": {"callbacks": SwapEMAWeights(), "optimizer__use_ema": True},
    "scores": {"callbacks": EpochScoring("roc_auc"), "validation_split": 0.2},
    "one that holds the model": {"callbacks": Holder},
    "one that holds its parts": {"callbacks": PartsHolder},
}


@pytest.mark.parametrize("params", CALLBACKS.values(), ids=CALLBACKS)
def test_a_pickle_holds_the_model_once_and_no_data(params, tmp_path):
    """Its size is that of Keras' own file, a fifth more at most and 50 kB."""
    rows = np.random.default_rng(0).normal(size=(4000, 40))  # 1.3 MB, a third more than the model
    labels = (rows[:, 0] > 0).astype(int)
    estimator = KerasClassifier(
        wide, epochs=2, batch_size=500, optimizer="adam", random_state=0, **params
    ).fit(rows, labels)
    estimator.model_.save(tmp_path / "model.keras")
    most = 1.2 * os.path.getsize(tmp_path / "model.keras") + 50_000
    joblib.dump(estimator, tmp_path / "model.joblib")
    sizes = [len(pickle.dumps(estimator)), len(cloudpickle.dumps(estimator))]
    assert max(*sizes, os.path.getsize(tmp_path / "model.joblib")) < most
    again = joblib.load(tmp_path / "model.joblib")
    assert np.array_equal(again.predict_proba(rows), estimator.predict_proba(rows))
    assert again.history_ == estimator.history_


def test_a_running_training_is_pickled_once_too(tmp_path):
    """What `partial_fit` goes on from is the model that it shows, where nothing sets them apart."""
    rows = np.random.default_rng(0).normal(size=(200, 40))
    estimator = KerasClassifier(wide, optimizer="adam", random_state=0)
    estimator.partial_fit(rows, rows[:, 0] > 0)
    estimator.model_.save(tmp_path / "model.keras")
    pickled = pickle.dumps(estimator)
    assert len(pickled) < 1.2 * os.path.getsize(tmp_path / "model.keras") + 50_000
    again = pickle.loads(pickled)
    for each in (estimator, again):
        each.partial_fit(rows, rows[:, 0] > 0)
    assert np.array_equal(again.predict_proba(rows), estimator.predict_proba(rows))


DESCRIBED = KerasClassifier(
    perceptron,
    hidden=8,
    optimizer="adam",
    optimizer__learning_rate=0.01,
    callbacks={"stop": EarlyStopping("loss", patience=2)},
    lr_schedule=CosineDecay(),
    epochs=3,
    random_state=0,
)

READ = """
import pickle, sys
import numpy as np
from tests.models import X, Y
estimator = pickle.load(open(sys.argv[1], "rb"))
if len(sys.argv) > 3:
    estimator.fit(X, Y["binary"])
np.save(sys.argv[2], estimator.predict_proba(X))
"""


@pytest.mark.slow
@pytest.mark.parametrize("before", [True, False], ids=["before fit", "after fit"])
def test_another_process_reads_a_pickle(before, tmp_path):
    """It fits to the same numbers, or predicts them."""
    estimator = copy.deepcopy(DESCRIBED)
    expected = copy.deepcopy(estimator).fit(X, y)
    pickled = pickle.dumps(estimator if before else expected)
    (tmp_path / "model.pkl").write_bytes(pickled)
    more = ["fit"] if before else []
    fresh_process(READ, tmp_path / "model.pkl", tmp_path / "found.npy", *more)
    assert np.array_equal(np.load(tmp_path / "found.npy"), expected.predict_proba(X))


@pytest.mark.slow
def test_reading_what_is_not_fitted_loads_no_keras(tmp_path):
    """Where the process that wrote it had none."""
    script = """
import pickle, sys
from skcb import KerasClassifier
from skcb.callbacks import EarlyStopping
pickle.loads(pickle.dumps(KerasClassifier(len, callbacks=EarlyStopping())))
assert "keras" not in sys.modules
"""
    assert fresh_process(script) == ("", [])


# Keras warns of whoever else might load a lambda.
@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`")
def test_lambdas_and_closures_go_by_cloudpickle():
    """As loky takes them: the build function, its loss, a schedule, a callback's hooks."""
    width, scale = 5, 0.5

    def build(meta):
        model = perceptron(meta, hidden=width)
        model.compile("adam", loss=lambda a, b: scale * keras.ops.mean(keras.ops.square(a - b)))
        return model

    estimator = KerasClassifier(
        build,
        lr_schedule=lambda epoch, lr: lr * scale,
        callbacks={"log": LambdaCallback(on_epoch_end=lambda epoch, logs: None)},
        random_state=0,
        epochs=2,
    )
    again = pickle.loads(cloudpickle.dumps(estimator)).fit(X, y)
    estimator.fit(X, y)
    assert again.history_ == estimator.history_
    after = pickle.loads(cloudpickle.dumps(estimator))
    assert np.array_equal(after.predict_proba(X), estimator.predict_proba(X))


SCRIPT = """
import sys
import keras, numpy as np
from keras import layers
from sklearn.model_selection import GridSearchCV
from skcb import KerasClassifier

FACTOR = 2

class Twice(layers.Layer):
    def call(self, x):
        return FACTOR * x

def own_loss(a, b):
    return keras.ops.mean(keras.ops.square(a - b))

def build(meta, hidden=4):
    model = keras.Sequential([layers.Input((4,)), Twice(), layers.Dense(hidden, activation="relu")])
    model.add(layers.Dense(1, activation="sigmoid"))
    return model

if __name__ == "__main__":
    X = np.random.default_rng(0).normal(size=(40, 4))
    y = (X[:, 0] > 0).astype(int)
    found = []
    for n_jobs in (2, 2, 1):  # a second search finds the workers of the first
        estimator = KerasClassifier(build, loss=own_loss, epochs=2, random_state=0)
        search = GridSearchCV(estimator, {"hidden": [3, 4]}, cv=2, n_jobs=n_jobs).fit(X, y)
        found.append(search.cv_results_["mean_test_score"].tolist())
        search.predict(X)
    fitted = [search.best_estimator_] * 2
    from joblib import Parallel, delayed
    predicted = Parallel(n_jobs=2)(delayed(type(e).predict)(e, X) for e in fitted)
    assert np.array_equal(predicted[0], search.predict(X))
    assert found[0] == found[1] == found[2], found
    print("done")
"""


@pytest.mark.slow
def test_what_stands_in_main_goes_to_workers_twice(tmp_path):
    """A build function, a layer and a loss of the script's own, and models that come back."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    # One thread everywhere: two workers on two cores have one each.
    one = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, script],
        env={**os.environ, **one, "PYTHONPATH": root},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_a_deep_copy_is_independent():
    """Training one leaves the other as it was, whichever is trained."""
    one = fitted(epochs=2)
    two = copy.deepcopy(one)
    before = one.predict_proba(X)
    assert np.array_equal(two.predict_proba(X), before)
    assert two.model_ is not one.model_
    two.partial_fit(X, y)
    assert np.array_equal(one.predict_proba(X), before)
    assert not np.array_equal(two.predict_proba(X), before)
    two.history_["loss"].append(0.0)
    two.set_params(callbacks=EarlyStopping())
    assert len(one.history_["loss"]) == 2 and one.callbacks is None


FREE = []
"""Whether another thread could have begun to build a model when a layer below was made."""


def others_may_build():
    """Tell whether the lock under which models are built can be had."""
    free = BUILDING.acquire(blocking=False)
    if free:
        BUILDING.release()
    return free


class Noted(layers.Dense):
    """A layer that notes how it was made; as any Dense, it draws seeds for its weights."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        with ThreadPoolExecutor(1) as another:
            FREE.append(another.submit(others_may_build).result())


def around(meta, base=None):
    """Build a model around a part that is a parameter, or one like it."""
    base = base[0] if isinstance(base, list) else base or Noted(3)
    return keras.Sequential([layers.Input((4,)), base, layers.Dense(1, activation="sigmoid")])


def noted():
    """Return a small model that is built, as a pretrained one is."""
    return keras.Sequential([layers.Input((4,)), Noted(3)])


HOLDERS = {
    "fitted": lambda: KerasClassifier(around, random_state=0).fit(X, y),
    "a model": lambda: KerasClassifier(around, base=noted()),
    "layers in a list": lambda: KerasClassifier(around, base=[Noted(3)]),
    "a model in a recipe": lambda: KerasClassifier(around, base=Tunable(lambda a: a, a=noted())),
    "a model in a partial": lambda: KerasClassifier(functools.partial(around, base=noted())),
}
COPIES = {
    "pickle": lambda estimator: pickle.loads(cloudpickle.dumps(estimator)),
    "deepcopy": copy.deepcopy,
    "clone": clone,
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("make", HOLDERS.values(), ids=HOLDERS)
def test_a_copy_keeps_out_of_the_way_of_who_builds(make, copied):
    """It draws no random number, and no other thread builds meanwhile, which may draw some."""
    estimator = make()
    FREE.clear()
    before = random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2]
    copied(estimator)
    after = random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2]
    assert after == before
    # A clone of a fitted estimator has no model yet.
    assert set(FREE) == (set() if make is HOLDERS["fitted"] and copied is clone else {False})


def test_what_a_callback_measured_is_kept():
    """Its counters and names, without the weights that the model has."""
    params = CALLBACKS["early stopping"] | {"epochs": 3}
    estimator = fitted(**params)
    stop = pickle.loads(pickle.dumps(estimator)).callbacks_["early_stopping"]
    assert stop.best == estimator.callbacks_["early_stopping"].best
    assert stop.best_weights is None and stop.model is None
    assert estimator.callbacks_["early_stopping"].best_weights is not None


def test_what_a_callback_keeps_of_its_own_is_kept():
    """And its live self still has the model."""
    estimator = fitted(callbacks=PartsHolder)
    live, kept = (e.callbacks_["parts_holder"] for e in (estimator, copy.deepcopy(estimator)))
    assert kept.answer == 42 and kept.optimizer is None
    assert kept.kept == {"layers": [None, None], "weights": (None,) * 4}
    assert live.optimizer is estimator.model_.optimizer


class Writer(keras.callbacks.Callback):
    """Writes a table, and opens it again where it has none."""

    rows = None

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        if self.rows is None:
            self.file = open(self.path, "a", newline="")
            self.rows = csv.writer(self.file)
            self.kept = {"lock": threading.Lock(), "letters": (n for n in "ab"), "epoch": epoch}
        self.rows.writerow([epoch])
        self.file.flush()

    def on_train_end(self, logs=None):
        self.file.close()


class Text(Writer):
    """Writes without a writer."""

    file = None

    def on_epoch_end(self, epoch, logs=None):
        if self.file is None:
            self.file = open(self.path, "a")
        print(epoch, file=self.file, flush=True)


@pytest.mark.parametrize("taken", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_what_no_pickle_can_hold_stays_behind(taken, tmp_path):
    """Of what a callback keeps when training has ended; its live self has it still."""
    estimator = fitted(callbacks={"log": Tunable(Writer, path=tmp_path / "log.csv")}, epochs=2)
    live, kept = (e.callbacks_["log"] for e in (estimator, taken(estimator)))
    assert (kept.file, kept.rows) == (None, None)
    assert kept.kept == {"lock": None, "letters": None, "epoch": 0}
    assert live.file.closed and live.rows is not None and live.kept["lock"] is not None


@pytest.mark.parametrize("cls", [Writer, Text, CSVLogger])
@pytest.mark.parametrize("pickled", [False, True])
def test_what_writes_goes_on_from_call_to_call(cls, pickled, tmp_path):
    """Keras' own opens its file anew after a pickle, and so does one that looks whether it has it.

    Where it is open, it is not closed by the end of training in the model that is shown.
    """
    path = tmp_path / "log.csv"
    log = CSVLogger(path) if cls is CSVLogger else Tunable(cls, path=path)
    estimator = KerasClassifier(perceptron, callbacks={"log": log}, random_state=0)
    for _ in range(3):
        estimator.partial_fit(X, y)
        if pickled:
            left, estimator = estimator, pickle.loads(pickle.dumps(estimator))
            left.callbacks_["log"].on_train_end()  # closes the file
    if not pickled:
        estimator.callbacks_["log"].on_train_end()
    rows = [row[0] for row in csv.reader(path.read_text().splitlines())]
    assert rows == [*(["epoch"] if cls is CSVLogger else []), "0", "1", "2"]


@pytest.mark.parametrize("optimizer", ["adam", keras.optimizers.Adam()])
def test_a_shallow_copy_shares_the_model(optimizer):
    """As of any estimator; a parameter set on one, or a new fit of it, leaves the other alone."""
    one = fitted(optimizer=optimizer, hidden=3)
    before = one.predict_proba(X)
    two = copy.copy(one)
    assert two.model_ is one.model_ and two.optimizer is one.optimizer
    assert np.array_equal(two.predict_proba(X), before)
    two.set_params(hidden=5, optimizer__learning_rate=0.5).fit(X, y)
    assert one.get_params()["hidden"] == 3 and "optimizer__learning_rate" not in one._sk_params
    assert np.array_equal(one.predict_proba(X), before)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_each_kind_of_target_comes_back(kind):
    """With its labels."""
    estimator = fitted(kind=kind)
    again = pickle.loads(pickle.dumps(estimator))
    assert type(again) is type(estimator)
    assert np.array_equal(again.predict(X), estimator.predict(X))


def test_a_template_and_a_fitted_model_are_both_there():
    """The template is a parameter: a copy can be fitted anew from it."""
    template = keras.Sequential([layers.Input((4,)), layers.Dense(1)])
    estimator = KerasRegressor(template, epochs=2, random_state=0).fit(X, Y["regression"])
    again = pickle.loads(pickle.dumps(estimator))
    assert np.array_equal(again.build_fn.get_weights()[0], template.get_weights()[0])
    assert again.fit(X, Y["regression"]).history_ == estimator.history_


@pytest.mark.parametrize("fit", [True, False])
def test_a_pickle_of_a_newer_version_is_refused(fit, monkeypatch):
    """The error says which version reads it; one of this version or an older one is read."""
    estimator = fitted() if fit else DESCRIBED
    for written, newer in (("9.8.7", True), ("0.0.9", False), ("0.1.0.dev9", False)):
        with monkeypatch.context() as there:
            there.setattr(_versions, "here", lambda written=written: written)
            pickled = pickle.dumps(estimator)
        if newer:
            with pytest.raises(ValueError, match=r"by skcb 9\.8\.7, and this is .* install"):
                pickle.loads(pickled)
        else:
            assert type(pickle.loads(pickled)) is KerasClassifier


def test_a_copy_holds_nothing_of_the_pickles_own():
    """The version and the rest of what a pickle needs are no attributes."""
    again = pickle.loads(pickle.dumps(fitted()))
    assert not {"_arrival", "_skcb_version"} & set(vars(again))
