"""Several processes work on one study, and some of them are killed."""

import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score

from skcb.exceptions import TrainingWarning
from skcb.optuna import _workers
from tests.optuna import worker
from tests.optuna.worker import GRACE, RATE, SPACE, X, y

ROOT = Path(__file__).parents[2]
LINE = re.compile(r"\[Optuna\] trial (\d+): (?:COMPLETE|PRUNED) (\S+)(?: .*)?\n")
FINISHED = [TrialState.COMPLETE, TrialState.PRUNED]
KILLS = 10

# Children are forked from a process that has loaded no Keras, and start in no time.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.optuna.worker", "alembic.command", "psycopg"])


def started(function, *arguments, **options):
    """Return a process that runs a function of `worker`."""
    process = PROCESSES.Process(target=function, args=arguments, kwargs=options, daemon=True)
    process.start()
    return process


def load(place):
    """Return the study of a place."""
    return optuna.load_study(study_name="s", storage=worker.storage_at(place))


def told(log):
    """Return trials and values that a worker has written down, once each."""
    lines = [LINE.fullmatch(line) for line in Path(log).read_text().splitlines(keepends=True)]
    pairs = [(int(line[1]), line[2]) for line in lines if line]
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def wait_for(log, n_trials):
    """Wait until a worker has written down so many trials."""
    deadline = time.monotonic() + 60
    while n_trials and not (log.exists() and len(told(log)) >= n_trials):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def check_nothing_is_lost(study, logs, n_kills):
    """Every finished trial is there, none twice, and the sum is right."""
    workers = [told(log) for log in logs]
    known = Counter(number for each in workers for number in each)
    assert set(known.values()) == {1}
    assert [trial.number for trial in study.trials] == list(range(len(study.trials)))
    finished = {t.number: t for t in study.get_trials(states=FINISHED)}
    for each in workers:
        for number, value in each.items():
            assert f"{finished[number].value:.6g}" == value
    # A worker may be killed when the storage has its trial, and before it has said so.
    assert 0 <= len(finished) - len(known) <= n_kills
    left = study.get_trials(states=[TrialState.RUNNING, TrialState.FAIL])
    assert len(finished) + len(left) == len(study.trials)
    assert len(left) <= n_kills
    return len(left)


def check_retries(study):
    """Trials that were given up were retried with their parameters, as far as they had any.

    Not all: a worker may be killed before its trial's first heartbeat, and who finds a stale trial
    may be killed before he has queued it again.
    """
    failed = {t.number: t for t in study.get_trials(states=[TrialState.FAIL])}
    retried = {t.system_attrs["retry_history"][-1]: t for t in study.trials if _history(t)}
    assert retried.keys() <= failed.keys()
    for number, trial in retried.items():
        assert failed[number].params.items() <= trial.params.items()


def _history(trial):
    return trial.system_attrs.get("retry_history")


def check_no_worker_repeats_another(study, name):
    """A number drawn twice would be a worker that draws what another has drawn."""
    drawn = [t.params[name] for t in study.trials if name in t.params and not _history(t)]
    assert len(set(drawn)) == len(drawn)


def wait_until_stale():
    """Wait until a trial whose worker is gone is one that others give up."""
    time.sleep(GRACE + 1)


# -- killed at any moment --------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("place", ["journal", "sqlite", "postgresql"], indirect=True)
def test_workers_killed_at_random_lose_only_the_trial_they_were_at(place, tmp_path):
    """Ten times: of two workers one is killed, at any moment of its life; the other goes on.

    Their trials take milliseconds, so kills hit the storage's writing as often as the training.
    """
    worker.storage_at(place)  # makes the tables, which two would do at once
    logs, n_trials = [], 6
    for i in range(KILLS):
        names = [tmp_path / f"{i}-{who}.txt" for who in ("victim", "survivor")]
        logs += names
        barrier = PROCESSES.Barrier(3)
        victim = started(worker.run, place, names[0], barrier)
        survivor = started(worker.run, place, names[1], barrier, n_trials)
        barrier.wait(60)
        wait_for(names[0], random.randrange(4))
        time.sleep(random.uniform(0, 0.1))
        victim.kill()
        survivor.join(60)
        victim.join()
        assert (victim.exitcode, survivor.exitcode) == (-9, 0)
        # `n_trials` is each worker's own.
        assert len(told(names[1])) + _n_unfinished(names[1]) == n_trials
    logs = [log for log in logs if log.exists()]
    left = check_nothing_is_lost(load(place), logs, KILLS)
    assert left > 0
    if "://" in place:
        wait_until_stale()
    with_rest = worker.search(worker.storage_at(place), n_trials=left + 2).fit(X, y)

    study = with_rest.study_
    check_no_worker_repeats_another(study, "alpha")
    if "://" in place:
        check_retries(study)
    finished = study.get_trials(states=[TrialState.COMPLETE, TrialState.FAIL])
    assert with_rest.cv_results_["trial_number"].tolist() == [t.number for t in finished]
    assert with_rest.best_score_ == study.best_value
    for trial in random.sample(study.get_trials(states=[TrialState.COMPLETE]), 5):
        again = cross_val_score(Ridge(**trial.params), X, y, cv=3)
        assert trial.user_attrs["fold_scores"] == again.tolist()


def _n_unfinished(log):
    """Return how many lines of a log are of trials that did not come to their end."""
    return sum(not LINE.fullmatch(line) for line in log.read_text().splitlines(keepends=True))


@pytest.mark.slow
@pytest.mark.parametrize("place", ["journal", "postgresql"], indirect=True)
def test_keras_workers_killed_at_random_lose_only_the_trial_they_were_at(place, tmp_path):
    """Two are at work all the time; five times one of them is killed and another one begins."""
    stop, logs = tmp_path / "stop", []
    command = [sys.executable, "-m", "tests.optuna.worker", place, str(stop)]

    def begin():
        logs.append(tmp_path / f"{len(logs)}.txt")
        with logs[-1].open("wb") as log, logs[-1].with_suffix(".err").open("wb") as errors:
            return subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=errors)

    worker.storage_at(place)
    began, workers = time.monotonic(), [begin(), begin()]
    try:
        for log in logs:
            wait_for(log, 1)
        start = time.monotonic() - began
        for _ in range(KILLS // 2):
            time.sleep(random.uniform(0, min(1.6 * start, 5)))
            victim = workers.pop(random.randrange(2))
            assert victim.poll() is None, logs[-1].with_suffix(".err").read_text()
            victim.kill()
            victim.wait()
            workers.append(begin())
        wait_for(logs[-1], 1)
        if "://" in place:
            time.sleep(GRACE + 1)
        stop.touch()
        assert [each.wait(60) for each in workers] == [0, 0]
    finally:
        for each in workers:
            each.kill()
    study = load(place)
    left = check_nothing_is_lost(study, logs, KILLS // 2)
    check_no_worker_repeats_another(study, RATE)
    if "://" in place:
        check_retries(study)
    print(f"{place}: {len(study.trials)} trials, {left} of them left behind")
    objective = worker.objective()
    for trial in random.sample(study.get_trials(states=[TrialState.COMPLETE]), 2):
        assert objective.evaluate(trial.params)["fold_scores"] == trial.user_attrs["fold_scores"]
    n_before = len(study.trials)
    study.optimize(objective, n_trials=1)
    assert study.trials[n_before].state in FINISHED
    assert objective.refit(study).predict(X).shape == y.shape


# -- equal first trials ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("place", ["journal"], indirect=True)
def test_workers_with_one_random_state_do_not_repeat_each_other(place, tmp_path):
    """They begin at the same moment, on a study that does not exist."""
    barrier, logs = PROCESSES.Barrier(2), [tmp_path / name for name in "ab"]
    both = [started(worker.run, place, log, barrier, 5) for log in logs]
    for process in both:
        process.join(60)
    study = load(place)
    assert sorted(told(logs[0]) | told(logs[1])) == list(range(10))
    check_no_worker_repeats_another(study, "alpha")
    # The number of its first trial is what a worker's numbers follow from.
    for log in logs:
        first = min(told(log))
        alone = optuna.create_study(sampler=_workers.sampler(0), direction="maximize")
        for _ in range(first):
            alone.add_trial(optuna.create_trial(value=0.0))
        assert alone.ask(SPACE).params == study.trials[first].params


def test_one_worker_gets_the_same_numbers_again(tmp_path):
    """Those of a plain study with that seed, and going on with it, others."""
    runs = []
    for name in "ab":
        storage = worker.storage_at(f"{tmp_path}/{name}")
        for _ in range(2):
            study = worker.search(storage, n_trials=3).fit(X, y).study_
        runs.append([trial.params for trial in study.trials])
    assert runs[0] == runs[1]
    check_no_worker_repeats_another(study, "alpha")
    plain = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0), direction="maximize")
    assert [plain.ask(SPACE).params for _ in range(3)] == runs[0][:3]


def test_samplers_with_one_seed_warn(tmp_path):
    """A sampler of the user's own begins each run anew: the second repeats the first."""
    storage = worker.storage_at(f"{tmp_path}/log")
    sampler = optuna.samplers.TPESampler(seed=0)
    worker.search(storage, n_trials=2, sampler=sampler).fit(X, y)
    with pytest.warns(TrainingWarning, match="trial 2 has the parameters of trial 0"):
        worker.search(storage, n_trials=2, sampler=sampler).fit(X, y)


def test_an_objective_warns_of_samplers_with_one_seed():
    """As it does where two processes give their studies one seed."""
    objective = worker.objective(prune=False)
    storage = optuna.storages.InMemoryStorage()
    for _ in range(2):
        sampler = optuna.samplers.RandomSampler(seed=0)
        options = {"storage": storage, "study_name": "s", "load_if_exists": True}
        study = optuna.create_study(direction="maximize", sampler=sampler, **options)
        caught = _warnings_of(lambda study=study: study.optimize(worker.objective(), n_trials=1))
    assert [str(each.message) for each in caught if "trial 0" in str(each.message)]
    study.enqueue_trial(study.trials[0].params)
    assert _warnings_of(lambda: study.optimize(objective, n_trials=1)) == []


def _warnings_of(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [each for each in caught if each.category is TrainingWarning]


def test_trials_that_may_be_equal_by_chance_do_not_warn(tmp_path):
    """A space with few choices is used up at once."""
    search = worker.search(worker.storage_at(f"{tmp_path}/log"), n_trials=1)
    search.set_params(space={"alpha": IntDistribution(1, 1)})
    assert _warnings_of(lambda: search.fit(X, y).fit(X, y)) == []
    assert [trial.params for trial in search.study_.trials] == [{"alpha": 1}, {"alpha": 1}]


# -- killed at a certain moment --------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("place", ["sqlite", "postgresql"], indirect=True)
def test_a_stale_trial_is_retried_with_its_parameters(place):
    """It is one of the trials of the worker that finds it."""
    victim = started(worker.run_and_signal, place, 5, signal.SIGKILL)
    victim.join(60)
    assert victim.exitcode == -9
    killed = load(place).trials[1]
    assert (killed.state, list(killed.params)) == (TrialState.RUNNING, ["alpha"])
    wait_until_stale()
    search = worker.search(worker.storage_at(place), worker.Interrupted(), n_trials=1).fit(X, y)
    trials = search.study_.trials
    states = [trial.state.name for trial in trials]
    assert states == ["COMPLETE", "FAIL", "COMPLETE"]
    assert trials[2].params == killed.params
    assert search.cv_results_["trial_state"].tolist() == states
    assert search.cv_results_["mean_test_score"][2] == trials[2].value
    assert np.isnan(search.cv_results_["mean_test_score"][1])


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_a_worker_that_slept_too_long_counts_nothing_twice(place):
    """Others have given its trial up; it ends with an error, and what it had finished is there."""
    storage = worker.storage_at(place)
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    asleep = PROCESSES.Event()
    sleeper = started(worker.run_and_signal, place, 5, signal.SIGSTOP, asleep)
    try:
        assert asleep.wait(30)
        wait_until_stale()
        worker.search(storage, worker.Interrupted(), n_trials=1).fit(X, y)
        os.kill(sleeper.pid, signal.SIGCONT)
        sleeper.join(30)
        assert sleeper.exitcode == 1
    finally:
        sleeper.kill()
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    check_retries(study)


@pytest.mark.slow
def test_what_a_killed_worker_leaves_in_a_journal_disturbs_nobody(tmp_path):
    """The trial runs for ever; tables, the best and later fits pass it by."""
    place = f"{tmp_path}/log"
    victim = started(worker.run_and_signal, place, 5, signal.SIGKILL)
    victim.join(60)
    assert load(place).trials[1].state is TrialState.RUNNING
    search = worker.search(worker.storage_at(place), worker.Interrupted(), n_trials=2, refit=True)
    search.fit(X, y)
    assert search.cv_results_["trial_number"].tolist() == [0, 2, 3]
    assert search.best_score_ == search.study_.best_value
    # As the docs say: given up by hand, and tried once more.
    study = load(place)
    (left,) = study.get_trials(states=[TrialState.RUNNING])
    study.tell(left.number, state=TrialState.FAIL)
    study.enqueue_trial(left.params)
    search.set_params(storage=worker.storage_at(place), n_trials=1).fit(X, y)
    assert search.study_.trials[-1].params == left.params
    assert search.cv_results_["trial_state"].tolist()[1] == "FAIL"


@pytest.mark.slow
def test_a_lock_that_a_killed_worker_holds_is_taken_from_it(tmp_path):
    """After the lock's grace period."""
    place = f"{tmp_path}/log"
    worker.search(worker.storage_at(place), n_trials=1).fit(X, y)
    locked = PROCESSES.Event()
    victim = started(worker.lock_and_wait, place, locked)
    assert locked.wait(60)
    victim.kill()
    victim.join()
    began = time.monotonic()
    worker.search(worker.storage_at(place), n_trials=1).fit(X, y)
    assert time.monotonic() - began > GRACE
    assert len(load(place).trials) == 2


def test_a_retried_trial_forgets_why_it_failed(tmp_path):
    """Optuna's retry inherits user attributes; the scores count, not an old error."""
    storage = worker.storage_at(f"{tmp_path}/log")
    study = optuna.create_study(storage=storage, study_name="s", direction="maximize")
    study.add_trial(_retried({"alpha": 0.01}, SPACE))
    search = worker.search(storage, n_trials=1).fit(X, y)
    assert search.best_params_ == {"alpha": 0.01}
    assert search.cv_results_["trial_error"].tolist() == [""]
    assert search.cv_results_["split0_test_score"][0] != search.best_score_
    study = optuna.create_study(direction="maximize")
    study.add_trial(_retried({RATE: 0.01}, worker.RATES))
    study.optimize(worker.objective(), n_trials=1)
    assert study.best_params == {RATE: 0.01}
    assert study.best_trial.user_attrs["error"] == ""


def _retried(params, space):
    return optuna.create_trial(
        state=TrialState.WAITING,
        params=params,
        distributions=space,
        user_attrs={"error": "ValueError: of a worker that was killed as it wrote this"},
    )
