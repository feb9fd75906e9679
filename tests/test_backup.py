"""A fit that was killed goes on where its backup was made, and ends as if nothing had happened."""

import copy
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import keras
import numpy as np
import pytest
from sklearn.base import clone

from skcb import KerasClassifier, Tunable
from skcb.callbacks import (
    BackupAndRestore,
    EarlyStopping,
    EpochScoring,
    TensorBoard,
    TerminateOnNaN,
    live_backup,
)
from skcb.exceptions import TrainingWarning
from skcb.tunable import same
from tests.models import X, Y, perceptron

ROOT = Path(__file__).parents[1]


def run(what, folder, *, dies_in=-1):
    """Run the script in a process of its own; return its exit code and its report."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.resumed", what, str(folder), str(dies_in)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    report = folder / "report.pickle"
    assert report.exists() == (done.returncode == 0), done.stderr
    return done.returncode, pickle.loads(report.read_bytes()) if report.exists() else None


@pytest.mark.slow
def test_a_killed_fit_goes_on_in_the_next_process(tmp_path):
    """To the bit: weights, optimizer, history, callbacks, tables; twice killed."""
    code, whole = run("fit", tmp_path / "whole")
    assert code == 0 and whole["road"].startswith("whole epochs")
    killed = tmp_path / "killed"
    for dies_in in (4, 3):
        code, _ = run("fit", killed, dies_in=dies_in)
        assert code == -signal.SIGKILL
        assert os.listdir(killed / "backup") == ["training.skcb"]
    code, resumed = run("fit", killed)
    assert code == 0
    assert whole.pop("fits") == [whole["epochs"][0]]
    assert resumed.pop("fits") == [whole["epochs"][0] - 3 - 2]  # the epochs before each death
    assert same(resumed, whole)
    assert "backup" not in resumed["left"]


@pytest.mark.slow
def test_a_killed_search_goes_on_in_the_fit_that_was_killed(tmp_path):
    """Its directory is found again: it is named by parameters and rows."""
    code, whole = run("search", tmp_path / "whole")
    assert code == 0
    first, second, *others = whole["fits"]
    code, _ = run("search", tmp_path / "killed", dies_in=first + 5)
    assert code == -signal.SIGKILL
    code, resumed = run("search", tmp_path / "killed")
    assert code == 0
    assert resumed["fits"] == [first, second - 4, *others]
    for name in ("scores", "history", "variables"):
        assert same(resumed[name], whole[name])


class Stumble(keras.callbacks.Callback):
    """Fails at the end of an epoch, once it is told to."""

    at = -1
    began: ClassVar[list[int]] = []
    error = RuntimeError

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_begin(self, epoch, logs=None):
        """Note."""
        Stumble.began.append(epoch)

    def on_epoch_end(self, epoch, logs=None):
        """Fail."""
        self.seen.append(epoch)
        if epoch == Stumble.at:
            raise Stumble.error("stumbled")


class Batches(keras.callbacks.Callback):
    """Needs the batches, and gathers their losses."""

    def __init__(self):
        super().__init__()
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        """Gather."""
        self.losses.append(logs["loss"])


class Holder(keras.callbacks.Callback):
    """Gathers in something that cannot be pickled."""

    def on_epoch_end(self, epoch, logs=None):
        """Hold a function of this epoch."""
        self.held = lambda: epoch


class OwnBackup(keras.callbacks.BackupAndRestore):
    """A subclass of Keras' own."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Run in a directory of its own, with nobody stumbling."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Stumble, "at", -1)
    monkeypatch.setattr(Stumble, "error", RuntimeError)
    return tmp_path


def classifier(backup=None, callbacks=(), **params):
    """Make a classifier of six epochs of three batches, with a backup."""
    given = {"backup": backup or BackupAndRestore("at"), "stumble": Stumble(), **dict(callbacks)}
    params = {"epochs": 6, "batch_size": 16, "random_state": 0, "build_fn": dropping, **params}
    return KerasClassifier(callbacks=given, **params)


def dropping(meta, hidden=4):
    """Build a model with dropout."""
    model = perceptron(meta, hidden)
    return keras.Sequential([*model.layers[:1], keras.layers.Dropout(0.4), *model.layers[1:]])


def stumbling(clf, at, monkeypatch, error=RuntimeError, **fit):
    """Fit until the end of an epoch, which is not reached."""
    monkeypatch.setattr(Stumble, "at", at)
    monkeypatch.setattr(Stumble, "error", error)
    with pytest.raises(error):
        clf.fit(X, Y["binary"], **fit)
    monkeypatch.setattr(Stumble, "at", -1)


def outcome(clf):
    """Return what must be equal to the bit."""
    variables = [*clf.model_.variables, *clf.model_.optimizer.variables]
    return [clf.history_, clf.n_iter_, clf.best_epoch_, [np.asarray(v) for v in variables]]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"engine": "keras"},
        {"callbacks": {"batches": Batches()}},
        {"shuffle": False, "fit__initial_epoch": 1},
        {"random_state": np.random.RandomState(3)},
        {"class_weight": "balanced", "callbacks": {"board": TensorBoard("board")}},
        {"backup": keras.callbacks.BackupAndRestore("at")},
        {"backup": keras.callbacks.BackupAndRestore, "callbacks__backup__backup_dir": "at"},
        {"backup": "BackupAndRestore", "callbacks__backup__backup_dir": "at"},
        {"backup": Tunable(keras.callbacks.BackupAndRestore, backup_dir="at")},
        {"lr_schedule": keras.optimizers.schedules.CosineDecay(0.1, 30), "optimizer": "sgd"},
    ],
)
def test_an_interrupted_fit_ends_like_one_that_was_not(params, folder, monkeypatch):
    """On every road, in every form of the callback."""
    whole, killed, resumed = (classifier(**copy.deepcopy(params)) for _ in range(3))
    whole.set_params(callbacks__backup=None).fit(X, Y["binary"])
    stumbling(killed, 3, monkeypatch)
    resumed.fit(X, Y["binary"])
    assert same(outcome(resumed), outcome(whole))
    assert resumed.callbacks_["stumble"].seen == whole.callbacks_["stumble"].seen
    if "batches" in resumed.callbacks_:
        assert resumed.callbacks_["batches"].losses == whole.callbacks_["batches"].losses
    assert resumed.engine_.partition(":")[0] == whole.engine_.partition(":")[0]
    assert not (folder / "at").exists()


@pytest.mark.parametrize(
    "change, fit, part",
    [
        ({"batch_size": 8}, {}, "estimator or parameters"),
        ({"epochs": 7}, {}, "estimator or parameters"),
        ({"optimizer__learning_rate": 0.5}, {}, "estimator or parameters"),
        ({"callbacks__stop__patience": 3}, {}, "estimator or parameters"),
        ({"hidden": 5}, {}, "estimator or parameters, weights at the start"),
        ({"random_state": 1}, {}, "estimator or parameters, weights at the start"),
        ({}, {"X": X + 1e-6}, "training rows"),
        ({}, {"y": Y["binary"][::-1]}, "training rows"),
        ({}, {"sample_weight": np.linspace(1, 2, len(X))}, "training rows"),
        ({}, {"X_val": X[:9], "y_val": Y["binary"][:9]}, "watched rows"),
        ({}, {"batch_size": 8}, "estimator or parameters"),
    ],
)
def test_the_backup_of_another_fit_is_refused(change, fit, part, folder, monkeypatch):
    """Before the first epoch, in words; the backup stays for whom it belongs to."""
    stop = {"stop": EarlyStopping("loss", patience=9)}
    watched = {"X_val": X[:8], "y_val": Y["binary"][:8]}
    whole = classifier(BackupAndRestore("else"), stop).fit(X, Y["binary"], **watched)
    stumbling(classifier(callbacks=stop), 3, monkeypatch, **watched)
    other = classifier(callbacks=stop).set_params(**change)
    words = f"`callbacks__backup__backup_dir='at'` holds the backup of another fit.*in {part}"
    with pytest.raises(ValueError, match=words):
        other.fit(**{"X": X, "y": Y["binary"], **watched, **fit})
    assert same(outcome(classifier(callbacks=stop).fit(X, Y["binary"], **watched)), outcome(whole))


def test_what_is_shown_and_how_it_is_backed_up_may_change(folder, monkeypatch):
    """They are no part of the numbers."""
    whole = classifier(BackupAndRestore("else")).fit(X, Y["binary"])
    stumbling(classifier(), 3, monkeypatch)
    resumed = classifier(BackupAndRestore("at", double_checkpoint=True), predict__batch_size=5)
    assert same(outcome(resumed.fit(X, Y["binary"])), outcome(whole))


def test_a_backup_that_is_kept_ends_the_next_fit_at_once(folder):
    """It has nothing left to train."""
    backup = BackupAndRestore("at", delete_checkpoint=False)
    first = classifier(backup).fit(X, Y["binary"])
    assert os.listdir("at") == ["training.skcb"]
    again = classifier(backup).fit(X, Y["binary"])
    assert again.callbacks_["backup"].resumes
    assert same(outcome(again), outcome(first))


def test_a_damaged_backup_is_refused_or_the_one_before_taken(folder, monkeypatch):
    """The latter where there is one."""
    whole = classifier(BackupAndRestore("else")).fit(X, Y["binary"])
    for double in (False, True):
        backup = BackupAndRestore("at", double_checkpoint=double)
        stumbling(classifier(backup), 3, monkeypatch)
        file = folder / "at" / "training.skcb"
        file.write_bytes(file.read_bytes()[:-9])
        if double:
            assert same(outcome(classifier(backup).fit(X, Y["binary"])), outcome(whole))
            continue
        with pytest.raises(ValueError, match="backup in 'at' is damaged"):
            classifier(backup).fit(X, Y["binary"])
        file.unlink()


@pytest.mark.parametrize("save_freq, first", [("epoch", 4), (1, 4), (6, 4), (7, 3), (100, 0)])
def test_a_frequency_in_batches_is_rounded_up_to_epochs(save_freq, first, folder, monkeypatch):
    """Three batches an epoch; the fit goes on with the first epoch that is in no backup."""
    backup = BackupAndRestore("at", save_freq=save_freq)
    whole = classifier(BackupAndRestore("else")).fit(X, Y["binary"])
    stumbling(classifier(backup), 4, monkeypatch)
    resumed = classifier(backup)
    monkeypatch.setattr(Stumble, "began", [])
    resumed.fit(X, Y["binary"])
    assert Stumble.began[0] == first
    assert same(outcome(resumed), outcome(whole))
    assert resumed.engine_.startswith("whole epochs")


def test_an_interrupt_keeps_the_backup(folder, monkeypatch):
    """The estimator is usable, and the next fit goes on."""
    whole = classifier(BackupAndRestore("else")).fit(X, Y["binary"])
    clf = classifier()
    stumbling(clf, 3, monkeypatch, KeyboardInterrupt)
    assert clf.n_iter_ == 3 and os.listdir("at") == ["training.skcb"]
    assert same(outcome(clf.fit(X, Y["binary"])), outcome(whole))


def test_two_fits_at_once_do_not_share_a_backup(folder):
    """The second goes without, and says so."""
    held = live_backup.BackupAndRestore("at")
    assert held.claim()
    with pytest.warns(TrainingWarning, match="`callbacks__backup__backup_dir='at'` is in use"):
        classifier().fit(X, Y["binary"])
    assert os.listdir("at") == []
    held.give_back()
    classifier().fit(X, Y["binary"])
    assert not Path("at").exists()


def test_a_fit_that_fails_leaves_its_directory_to_others(folder, monkeypatch):
    """Also one that is refused before it trains."""
    stumbling(classifier(), 2, monkeypatch)
    with pytest.raises(ValueError, match="needs watched rows"):
        classifier(BackupAndRestore("other"), {"score": EpochScoring("f1")}).fit(X, Y["binary"])
    for name in ("at", "other"):
        held = live_backup.BackupAndRestore(name)
        assert held.claim()
        held.give_back()


def test_without_a_random_state_training_starts_anew(folder, monkeypatch):
    """No fit is the one that was interrupted, and a warning says so."""
    stumbling(classifier(random_state=None), 3, monkeypatch)
    with pytest.warns(TrainingWarning, match="`random_state=None`.*starts anew"):
        clf = classifier(random_state=None).fit(X, Y["binary"])
    assert clf.callbacks_["stumble"].seen == list(range(6))


def test_clones_are_found_again_by_what_they_train_on(folder, monkeypatch):
    """One directory for equal parameters and rows, others for others, whatever the run."""
    places = set()
    for change, rows in [({}, 48), ({}, 48), ({"batch_size": 8}, 48), ({}, 40)]:
        clf = clone(classifier(BackupAndRestore("at/{run}"))).set_params(**change)
        monkeypatch.setattr(Stumble, "at", 2)
        with pytest.raises(RuntimeError):
            clf.fit(X[:rows], Y["binary"][:rows])
        places |= {str(path.parent) for path in folder.rglob("training.skcb")}
        monkeypatch.setattr(Stumble, "at", -1)
    assert len(places) == 3


def test_what_of_a_callback_cannot_be_stored_is_said(folder):
    """Once, and of callbacks of the user's own alone."""
    callbacks = {"held": Holder(), "nan": TerminateOnNaN(), "board": TensorBoard("board")}
    with pytest.warns(TrainingWarning, match="`callbacks__held`.*`held`") as said:
        classifier(callbacks=callbacks).fit(X, Y["binary"])
    assert [w.category for w in said].count(TrainingWarning) == 1


@pytest.mark.parametrize(
    "callbacks, words",
    [
        (
            {"a": BackupAndRestore("a"), "b": BackupAndRestore("b")},
            "__a` and `callbacks__b`",
        ),
        ({"a": OwnBackup("a")}, r"`callbacks__a` is a subclass.*skcb.callbacks.BackupAndRestore"),
        ({"a": BackupAndRestore("gs://a/b")}, "`callbacks__a__backup_dir='gs://a/b'`.*this"),
    ],
)
def test_a_backup_that_could_not_restore_is_refused(callbacks, words, folder):
    """Before it is needed."""
    with pytest.raises(ValueError, match=words):
        KerasClassifier(perceptron, callbacks=callbacks, epochs=2).fit(X, Y["binary"])


def test_partial_fit_leaves_backups_to_pickles(folder):
    """A warning says so, once."""
    clf = classifier()
    with pytest.warns(TrainingWarning, match="`callbacks__backup` does nothing in `partial_fit`"):
        clf.partial_fit(X, Y["binary"])
    clf.partial_fit(X, Y["binary"])
    assert not Path("at").exists()
