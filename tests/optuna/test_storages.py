"""Where studies are kept: in memory, in a file, in a database; and what cannot keep any."""

import json
import multiprocessing
import os
import pickle
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import KFold

from skcb.callbacks import EarlyStopping
from skcb.exceptions import TrainingWarning
from skcb.optuna import CrossValObjective, OptunaSearchCV
from tests.models import perceptron
from tests.optuna import worker
from tests.optuna.trials import classifier
from tests.optuna.worker import RATE, RATES, X, search, y

ROOT = Path(__file__).parents[2]
EVERYWHERE = pytest.mark.parametrize("place", ["journal", "sqlite", "postgresql"], indirect=True)


class Untouched(BaseEstimator):
    """An estimator that must not be trained."""

    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def fit(self, X, y):
        raise AssertionError("trained")

    def score(self, X, y):
        raise AssertionError("scored")


def refusal(storage):
    """Return what a search says of a storage, before it trains anything."""
    with pytest.raises((TypeError, ValueError), match="`storage") as caught:
        search(storage, Untouched(), n_trials=1, error_score="raise").fit(X, y)
    return f"{caught.type.__name__}: {caught.value}"


# -- what keeps studies ----------------------------------------------------------------------


@EVERYWHERE
def test_a_study_is_kept_and_gone_on_with(place):
    """With the numbers that it has in memory; a pickle of the search goes on, too."""
    storage = worker.storage_at(place)
    first = search(storage, n_trials=3).fit(X, y)
    in_memory = search(None, n_trials=3).fit(X, y)
    for name, expected in in_memory.cv_results_.items():
        if "time" not in name:
            np.testing.assert_array_equal(first.cv_results_[name], expected, err_msg=name)
    second = pickle.loads(pickle.dumps(first)).set_params(refit=True).fit(X, y)
    table = second.cv_results_
    assert table["trial_number"].tolist() == list(range(6))
    np.testing.assert_array_equal(
        table["split1_test_score"][:3], first.cv_results_["split1_test_score"]
    )
    assert second.best_score_ == optuna.load_study(study_name="s", storage=storage).best_value
    assert second.predict(X).shape == y.shape


@EVERYWHERE
def test_an_objective_finds_its_trials_again(place):
    """A study of `CrossValObjective`, loaded anew."""
    for n_trials in (1, 2):
        study = optuna.create_study(
            storage=worker.storage_at(place),
            study_name="s",
            direction="maximize",
            load_if_exists=True,
        )
        objective = worker.objective()
        study.optimize(objective, n_trials=1)
        assert len(study.trials) == n_trials
    first = study.trials[0]
    assert first.user_attrs["fold_scores"] == objective.evaluate(first.params)["fold_scores"]
    assert sorted(first.intermediate_values) == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize("place", ["sqlite", "postgresql"], indirect=True)
def test_workers_may_begin_on_an_empty_database_together(place):
    """All but one find the tables half made, and look again."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.optuna.worker", "alembic.command", "psycopg"])
    barrier = processes.Barrier(5)
    workers = [processes.Process(target=worker.begin, args=(place, barrier)) for _ in range(5)]
    for each in workers:
        each.start()
    for each in workers:
        each.join(60)
    assert [each.exitcode for each in workers] == [0] * 5
    assert len(optuna.load_study(study_name="s", storage=place).trials) == 5


class Tuples(ClassifierMixin, BaseEstimator):
    """Takes tuples alone."""

    def __init__(self, sizes=(1,), share=0.0):
        self.sizes = sizes
        self.share = share

    def fit(self, X, y):
        assert type(self.sizes) is tuple and type(self.sizes[-1]) is tuple
        self.classes_ = np.unique(y)
        return self

    def score(self, X, y):
        return len(self.sizes) + self.share


SIZES = [(1, (2,)), (1, 1, (3, 4)), ((5,),)]


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution:UserWarning")
@pytest.mark.filterwarnings("ignore:sizes contains a value:UserWarning")
@pytest.mark.parametrize(
    ("place", "kind"),
    [("journal", "dict"), ("sqlite", "dict"), ("journal", "function")],
    indirect=["place"],
)
def test_tuples_are_tuples_again(place, kind):
    """A storage makes lists of them; samplers that look at earlier trials, and a queue, go on.

    With a function not all do: it is Optuna itself that it asks.
    """
    samplers = [optuna.samplers.GridSampler({"sizes": SIZES, "share": [0.5]}, seed=0)]
    space = {"sizes": CategoricalDistribution(SIZES), "share": FloatDistribution(0, 1)}
    if kind == "dict":
        samplers.append(optuna.samplers.TPESampler(seed=0, multivariate=True, n_startup_trials=2))
    else:

        def space(trial):
            sizes = trial.suggest_categorical("sizes", SIZES)
            return {"sizes": sizes, "share": trial.suggest_float("share", 0, 1)}

    for number, sampler in enumerate(samplers):
        storage = worker.storage_at(place)
        options = {"storage": storage, "study_name": f"s{number}", "sampler": sampler, "cv": 2}
        if number == 1:
            study = optuna.create_study(
                storage=storage, study_name="s1", direction="maximize", sampler=sampler
            )
            study.enqueue_trial({"sizes": SIZES[0]})
        done = OptunaSearchCV(Tuples(), space, n_trials=3, **options).fit(X, y)
        again = OptunaSearchCV(Tuples(), space, n_trials=1, **options).fit(X, y)
        for each in (done, again):
            assert each.best_params_["sizes"] == each.best_estimator_.sizes
            assert all(row["sizes"] in SIZES for row in each.cv_results_["params"])
        if number == 0:
            assert again.best_params_["sizes"] == SIZES[1]


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution:UserWarning")
def test_an_objective_refits_with_a_tuple(tmp_path):
    """Which it has trained with; of a trial that it has not run itself, too."""

    def build(meta, sizes=(2,)):
        return perceptron(meta, hidden=sizes[0] if type(sizes) is tuple else 9)

    def objective():
        estimator = classifier(build, epochs=1, validation_split=None)
        space = {"sizes": CategoricalDistribution([(2,), (3,)])}
        return CrossValObjective(estimator, space, X, y, cv=2, prune=False)

    study = plain_study(worker.storage_at(f"{tmp_path}/log"))
    first = objective()
    study.optimize(first, n_trials=1)
    for each in (first, objective()):
        best = each.refit(study)
        assert best.get_params()["sizes"] == tuple(study.best_params["sizes"])
        assert each(study.best_trial) == study.best_value


# -- what does not ---------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution:UserWarning")
@pytest.mark.parametrize("choice", [EarlyStopping(), np.int64(16)], ids=["recipe", "numpy"])
def test_choices_that_a_storage_cannot_keep(tmp_path, choice):
    """They are no candidates' failures: said before the first trial, with the parameter's name."""
    storage = worker.storage_at(f"{tmp_path}/log")
    space = {"alpha": CategoricalDistribution([1.0, choice])}
    said = r"`space\['\w+'\]` has the choice .*, a \w+, which no storage keeps but one in memory"
    with pytest.raises(TypeError, match=said):
        OptunaSearchCV(Untouched(), space, storage=storage, study_name="s", cv=2).fit(X, y)
    assert not storage.get_all_studies()
    study = plain_study(storage)
    objective = objective_over({"callbacks": CategoricalDistribution([None, choice])})
    with pytest.raises(TypeError, match=said):
        study.optimize(objective, n_trials=2)
    assert [trial.state.name for trial in study.trials] == ["FAIL"]


def test_a_server_that_does_not_answer():
    """The address is said, its password is not."""
    with socket.socket() as nobody:  # bound, but nobody listens
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        said = refusal(f"postgresql+psycopg://skcb:secret@127.0.0.1:{port}/studies")
    assert f"postgresql+psycopg://skcb:***@127.0.0.1:{port}/studies" in said
    assert "refused" in said and "Does its server run" in said
    assert "secret" not in said


def test_a_server_that_went_away(tmp_path):
    """A storage that was there when it was made."""
    folder = tmp_path / "gone"
    folder.mkdir()
    storage = worker.storage_at(f"sqlite:///{folder}/study.db")
    storage.engine.dispose()
    shutil.rmtree(folder)
    said = refusal(storage)
    assert f"RDBStorage('sqlite:///{folder}/study.db')" in said
    assert "unable to open database file" in said


def test_a_file_that_is_no_database(tmp_path):
    """SQLite says so, and the advice says what it must be."""
    (tmp_path / "notes.txt").write_text("This is no database. " * 100)
    said = refusal(f"sqlite:///{tmp_path}/notes.txt")
    assert "file is not a database" in said and "It must be an SQLite file" in said
    assert (tmp_path / "notes.txt").read_text() == "This is no database. " * 100


def test_a_folder_that_is_not_there(tmp_path):
    """Of a database, and of a Journal whose folder was removed."""
    assert "in a folder that exists" in refusal(f"sqlite:///{tmp_path}/missing/study.db")
    folder = tmp_path / "gone"
    folder.mkdir()
    storage = worker.storage_at(f"{folder}/log")
    shutil.rmtree(folder)
    said = refusal(storage)
    assert f"{folder}/log" in said and "in a folder that exists" in said
    with pytest.raises(FileNotFoundError, match="gone/log"):  # Optuna's own, before any search
        worker.storage_at(f"{folder}/log")


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="a system without users")
def test_a_folder_in_which_nothing_may_be_written():
    """A Journal that can be read, but not be locked."""
    folder = Path(tempfile.mkdtemp())
    try:
        storage = worker.storage_at(f"{folder}/log")
        folder.chmod(0o555)
        with _without_rights():
            said = refusal(storage)
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)
    assert "PermissionError" in said and "may create files" in said


class _without_rights:
    """Be nobody for a while, where the tests run as root, who may write everywhere."""

    def __enter__(self):
        if os.geteuid() == 0:
            os.seteuid(65534)

    def __exit__(self, *_):
        if os.getuid() == 0:
            os.seteuid(0)


def test_a_damaged_line_in_a_journal(tmp_path):
    """As half a line and a whole one after it, which a full disk leaves."""
    path = tmp_path / "log"
    search(worker.storage_at(str(path)), n_trials=1).fit(X, y)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], lines[3][:9], *lines[3:]]))
    with pytest.raises(json.JSONDecodeError):  # Optuna reads a file when its storage is made
        worker.storage_at(str(path))
    path.write_bytes(b"".join(lines[:2]))
    storage = worker.storage_at(str(path))
    path.write_bytes(b"".join([*lines[:3], lines[3][:9], *lines[3:]]))
    said = refusal(storage)
    assert "remove that line" in said
    path.write_bytes(b"".join(lines))
    assert len(search(worker.storage_at(str(path)), n_trials=1).fit(X, y).study_.trials) == 2


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        (Path("log"), "TypeError.*JournalStorage"),
        (42, "TypeError.*None but got 42"),
        ("log", "ValueError: `storage='log'` cannot be used.*Could not parse"),
        ("oracle://user@host/database", "ValueError.*Install the driver that this address names"),
    ],
    ids=["path", "number", "no address", "no driver"],
)
def test_what_is_no_storage(storage, message):
    """The message says what could be one."""
    with pytest.raises((TypeError, ValueError)) as caught:
        search(storage, Untouched(), n_trials=1).fit(X, y)
    assert re.search(message, f"{caught.type.__name__}: {caught.value}")


# -- what several processes would not see ----------------------------------------------------


def in_a_script(code):
    """Return what a script says on stderr; its imports cost seconds."""
    head = "from tests.optuna.worker import *\n"
    done = subprocess.run(
        [sys.executable, "-W", "always::skcb.exceptions.TrainingWarning", "-c", head + code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr


NESTED = """
from sklearn.model_selection import cross_val_score
optuna.logging.set_verbosity(optuna.logging.ERROR)
storage = {storage}
scores = cross_val_score(search(storage, n_trials=1, refit=True), X, y, cv=2, n_jobs=2)
assert len(scores) == 2 and min(scores) > 0
"""


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["None", "optuna.storages.InMemoryStorage()"])
def test_outer_folds_in_processes(storage):
    """Each has a study of its own, in memory. One storage in memory for all would be empty."""
    warned = "`storage` is in memory" in in_a_script(NESTED.format(storage=storage))
    assert warned == (storage != "None")


FORK = """
import multiprocessing
optuna.logging.set_verbosity(optuna.logging.ERROR)
mine = search(optuna.storages.InMemoryStorage(), n_trials=1)
fork = multiprocessing.get_context("fork").Process(target=lambda: mine.fit(X, y))
fork.start(); fork.join()
assert fork.exitcode == 0
mine.fit(X, y)
assert len(mine.study_.trials) == 1
"""


@pytest.mark.slow
def test_a_fork_with_a_study_in_memory_warns():
    """Nobody sees its trials; in the process of its own, nothing is said."""
    assert in_a_script(FORK).count("TrainingWarning: `storage` is in memory") == 1


@pytest.mark.slow
def test_an_objective_warns_of_a_study_in_memory():
    """In a process that is not the objective's own; a file is seen by all."""
    objective = worker.objective()
    study = optuna.create_study(direction="maximize")
    study.optimize(objective, n_trials=1)
    # What another process gets.
    state = pickle.dumps((study, objective))
    script = "import pickle, sys, os; study, objective = pickle.load(sys.stdin.buffer)"
    done = subprocess.run(
        [sys.executable, "-c", f"{script}; study.optimize(objective, n_trials=1)"],
        cwd=ROOT,
        input=state,
        capture_output=True,
        check=True,
    )
    assert b"the study" in done.stderr and b"is in memory" in done.stderr


# -- a study of something else ---------------------------------------------------------------


def objective_over(space, **options):
    """Return an objective that trains in a moment."""
    options = {"cv": 3, "prune": False, **options}
    estimator = classifier(epochs=2, validation_split=None)
    return CrossValObjective(estimator, space, X, y, **options)


def plain_study(storage=None):
    """Return a user's own study."""
    return optuna.create_study(
        storage=storage, study_name="mine", direction="maximize", load_if_exists=True
    )


@pytest.mark.parametrize("kept", [False, True])
def test_an_objective_refuses_a_study_of_another_space(tmp_path, kept):
    """With the difference, before it trains; the trial that was asked for has failed."""
    place = f"{tmp_path}/log"
    study = plain_study(worker.storage_at(place) if kept else None)
    study.optimize(objective_over(RATES), n_trials=1)
    study = plain_study(worker.storage_at(place)) if kept else study
    other = {RATE: FloatDistribution(1e-3, 1.0), "batch_size": CategoricalDistribution([16, 32])}
    with pytest.raises(ValueError, match="the study 'mine' has trials of another space") as caught:
        study.optimize(objective_over(other), n_trials=1)
    said = str(caught.value)
    assert "`batch_size` was not there and is CategoricalDistribution(choices=[16, 32])" in said
    assert f"`{RATE}` was FloatDistribution(step=None, low=0.001, high=0.1, log=True) and" in said
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL"]
    study.optimize(objective_over(RATES), n_trials=1)
    assert study.trials[-1].state.name == "COMPLETE"


@pytest.mark.parametrize(
    ("options", "what"),
    [({"cv": 2}, "cv"), ({"scoring": "neg_log_loss"}, "scoring")],
)
def test_an_objective_refuses_trials_that_do_not_compare(options, what):
    """Values of other folds, or of another score."""
    study = plain_study()
    study.optimize(objective_over(RATES), n_trials=1)
    with pytest.raises(ValueError, match=f"trials of another {what}"):
        study.optimize(objective_over(RATES, **options), n_trials=1)


def test_folds_that_differ_from_worker_to_worker_are_refused(tmp_path):
    """A splitter that shuffles without a seed cuts others in each process."""
    storage = worker.storage_at(f"{tmp_path}/log")
    shuffled = {"cv": KFold(3, shuffle=True), "n_trials": 1}
    search(storage, **shuffled).fit(X, y)
    with pytest.raises(ValueError, match=r"another cv.*shuffles needs a `random_state`"):
        search(storage, **shuffled).fit(X, y)
    seeded = {"cv": KFold(3, shuffle=True, random_state=0), "study_name": "t", "n_trials": 1}
    for _ in range(2):
        last = search(storage, **seeded).fit(X, y)
    assert len(last.study_.trials) == 2


def test_a_study_without_results_may_become_another(tmp_path):
    """A space that no trial came to the end with binds nobody."""
    study = plain_study()
    with pytest.raises(ZeroDivisionError):
        study.optimize(objective_over(lambda trial: {RATE: 1 / 0}), n_trials=1)
    study.optimize(objective_over({"epochs": IntDistribution(-2, -1)}), n_trials=1)
    assert {trial.state.name for trial in study.trials} == {"FAIL"}
    study.optimize(objective_over(RATES), n_trials=1)
    assert study.trials[-1].state.name == "COMPLETE"


def test_fits_with_other_parameters_are_refused(tmp_path):
    """Their values are of other fits; a study from before, which says nothing, had none."""
    storage, weights = worker.storage_at(f"{tmp_path}/log"), np.ones(len(X))
    with_weights = {"sample_weight": weights}
    for name, first, others in [
        ("without", {}, [(with_weights, "not there and is there")]),
        ("with", with_weights, [({"sample_weight": 2 * weights}, "there and is another")]),
        ("with, then without", with_weights, [({}, "there and is not there")]),
    ]:
        for given in (first, first):
            search(storage, study_name=name, n_trials=1).fit(X, y, **given)
        for given, how in others:
            with pytest.raises(ValueError, match=f"other parameters.*`sample_weight` was {how}"):
                search(storage, study_name=name, n_trials=1).fit(X, y, **given)
        assert len(optuna.load_study(study_name=name, storage=storage).trials) == 2
    study = plain_study()
    study.optimize(objective_over(RATES), n_trials=1)
    # As an older version has left it.
    study.set_user_attr("skcb_fit_params", None)
    study.optimize(objective_over(RATES), n_trials=1)
    watched = {"X_val": X[:9], "y_val": y[:9]}
    with pytest.raises(ValueError, match=r"other parameters.*`X_val` was not there and is there"):
        study.optimize(objective_over(RATES, fit_params=watched), n_trials=1)


def test_clones_with_other_weights_have_other_studies():
    """As those of two outer searches."""
    storage = InMemoryStorage()
    mine = search(storage, n_trials=1)
    for weights in (None, np.ones(len(X)), 2 * np.ones(len(X))):
        given = {} if weights is None else {"sample_weight": weights}
        clone(mine).fit(X, y, **given)
    assert len(storage.get_all_studies()) == 3


def test_objects_in_a_space_are_told_apart():
    """A study in memory may have choices that no storage keeps."""
    study = plain_study()
    for patience in (3, 3, 4):
        recipes = (None, EarlyStopping(monitor="loss", patience=patience))
        with pytest.warns(UserWarning, match="persistent storage"):
            objective = objective_over({"callbacks": CategoricalDistribution(recipes)})
            if patience == 3:
                study.optimize(objective, n_trials=1)
                continue
            with pytest.raises(ValueError, match=r"another space.*EarlyStopping"):
                study.optimize(objective, n_trials=1)


# -- a lock that would never be released -----------------------------------------------------


def test_a_relative_path_to_a_journal_warns(tmp_path, monkeypatch):
    """Its lock points to nothing; an absolute path, or another lock, is in order."""
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    relative = JournalStorage(JournalFileBackend("runs/log"))
    with pytest.warns(TrainingWarning, match="relative path, 'runs/log'") as caught:
        search(relative, n_trials=1).fit(X, y)
    assert caught[0].filename == __file__
    with pytest.warns(TrainingWarning, match="relative path"):
        plain_study(relative).optimize(objective_over(RATES), n_trials=1)
    # Why: nobody could tell how old this lock is.
    os.symlink("runs/log", "runs/log.lock")
    assert not Path("runs/log.lock").exists() and os.path.islink("runs/log.lock")
    os.unlink("runs/log.lock")
    other_lock = JournalFileBackend("runs/other", lock_obj=JournalFileOpenLock("runs/other"))
    for backend in (JournalFileBackend(str(tmp_path / "log")), other_lock, "here"):
        backend = JournalFileBackend("here") if backend == "here" else backend
        search(JournalStorage(backend), n_trials=1).fit(X, y)


def test_a_storage_in_memory_is_seen_by_its_own_process():
    """No warning, whatever the number of fits."""
    storage = InMemoryStorage()
    for _ in range(2):
        search(storage, n_trials=1).fit(X, y)
    assert len(storage.get_all_studies()) == 1
