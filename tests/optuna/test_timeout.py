"""The time of a study has run out: no epoch begins any more, and the trial that ran is pruned."""

import time
from typing import ClassVar

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import BaggingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcb import Tunable
from skcb._clock import Deadline, OutOfTime, in_force
from skcb.callbacks import BackupAndRestore
from skcb.optuna import CrossValObjective, OptunaSearchCV
from tests.models import X
from tests.optuna.trials import RATE, SPACE, Counts, classifier, study_of, y

pytestmark = pytest.mark.slow  # each waits for a second to pass

STATE = optuna.trial.TrialState
NEVER_PRUNES = optuna.pruners.ThresholdPruner(lower=-1e9)  # it is asked, and so there are reports
TIMEOUT = 1.0
NAP = 0.2


class Begins(Counts):
    """Writes down when each epoch of any fold begins, and makes it long."""

    at: ClassVar[list] = []

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.at.append(time.monotonic())

    def on_epoch_begin(self, epoch, logs=None):
        self.at.append(time.monotonic())
        time.sleep(NAP)


@pytest.fixture(autouse=True)
def nothing_begun():
    """Forget what began in earlier tests."""
    Begins.at.clear()


def slow(**options):
    """Return a classifier that could not come to its end before the timeout."""
    return classifier(callbacks={"begins": Tunable(Begins)}, **{"epochs": 40, **options})


def searched(estimator=None, space=SPACE, **options):
    """Return a search that has been fitted on a few rows, in which nothing has come to its end."""
    options = {"n_trials": 3, "cv": 2, "timeout": TIMEOUT, "refit": False, **options}
    search = OptunaSearchCV(
        slow() if estimator is None else estimator, space, random_state=0, **options
    )
    with pytest.raises(ValueError, match="had no time left") as error:
        search.fit(X, y)
    return search, str(error.value)


def assert_met():
    """No epoch has begun after the timeout, which itself began before the first of them."""
    assert max(Begins.at, default=0) <= min(Begins.at, default=0) + TIMEOUT


def assert_cut(trial):
    """The trial says why it has no value of its own."""
    assert trial.state == STATE.PRUNED
    assert trial.user_attrs["stopped_by"] == "timeout"
    assert "error" not in trial.user_attrs
    assert "fold_scores" not in trial.user_attrs or len(trial.user_attrs["fold_scores"]) < 2


@pytest.mark.parametrize("pruner", [None, NEVER_PRUNES], ids=["sequential", "lockstep"])
@pytest.mark.parametrize("engine", ["auto", "keras"])
def test_a_search_meets_its_timeout_within_an_epoch(pruner, engine):
    """Whether folds go together or one after the other; callbacks are ended once in each."""
    search, message = searched(slow(engine=engine), pruner=pruner)
    assert_met()
    [trial] = search.study_.trials
    assert_cut(trial)
    assert all(count.begun == count.ended for count in Counts.made)
    assert "None of 1 trials has come to its end: 0 failed, 0 were pruned, 1 had no time" in message
    assert f"`timeout={TIMEOUT}` is too short for one trial" in message


def test_what_a_cut_trial_has_reported_stays():
    """It is true: each report is of all folds, after as many epochs as its step says."""
    search, _ = searched(pruner=NEVER_PRUNES)
    trial = search.study_.trials[0]
    first, second = trial.user_attrs.get("fold_epochs", [0, 0])
    assert first - second in (0, 1)
    assert sorted(trial.intermediate_values) == list(range(1, second + 1))


def test_in_a_pipeline_too():
    """The Keras step is reached wherever it stands."""
    space = {f"kerasclassifier__{name}": value for name, value in SPACE.items()}
    search, _ = searched(make_pipeline(StandardScaler(), slow()), space)
    assert_met()
    assert_cut(search.study_.trials[0])


def test_in_what_fits_several_keras_models():
    """Those that have not begun do not begin."""
    estimator = BaggingClassifier(slow(), n_estimators=5, random_state=0)
    search, _ = searched(estimator, {"max_samples": FloatDistribution(0.5, 1.0)})
    assert_met()
    assert_cut(search.study_.trials[0])


@pytest.mark.parametrize("pruner", [None, NEVER_PRUNES], ids=["sequential", "lockstep"])
def test_all_running_trials_end(pruner):
    """Of two at the same time, each within its own epoch."""
    search, _ = searched(n_jobs=2, n_trials=6, pruner=pruner)
    assert_met()
    assert len(search.study_.trials) >= 2
    for trial in search.study_.trials:
        assert_cut(trial)


class Sleeper(ClassifierMixin, BaseEstimator):
    """No Keras, and takes its time."""

    fits: ClassVar[list] = []

    def __init__(self, c=1.0):
        self.c = c

    def fit(self, X, y):
        self.fits.append(time.monotonic())
        time.sleep(0.5)
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


def test_without_keras_the_fold_comes_to_its_end():
    """And the next is not begun."""
    Sleeper.fits.clear()
    search, _ = searched(Sleeper(), {"c": FloatDistribution(0, 1)}, cv=4)
    assert max(Sleeper.fits) <= min(Sleeper.fits) + TIMEOUT
    [trial] = search.study_.trials
    assert trial.state == STATE.PRUNED and trial.user_attrs["stopped_by"] == "timeout"
    assert len(trial.user_attrs["fold_scores"]) == len(Sleeper.fits) < 4


@pytest.mark.slow
def test_the_best_of_those_that_came_to_their_end_is_refitted():
    """The refit is not counted; the table marks what was cut."""

    def short_then_long(trial):
        rate = trial.suggest_float(RATE, 1e-3, 1e-1)
        return {RATE: rate, "epochs": 1 if trial.number == 0 else 100}

    search = OptunaSearchCV(
        slow(), short_then_long, n_trials=9, cv=2, timeout=2 * TIMEOUT, random_state=0
    )
    search.fit(X, y)
    assert list(search.cv_results_["trial_state"]) == ["COMPLETE", "PRUNED"]
    assert search.best_index_ == 0
    assert np.isnan(search.cv_results_["mean_test_score"][1])
    assert_cut(search.study_.trials[1])
    best = search.best_estimator_
    assert (best.n_iter_, best.stopped_by_) == (1, "epochs")
    assert best.predict(X).shape == y.shape


def test_a_search_that_has_time_is_not_touched():
    """Its trials are those without a timeout."""
    found = [
        OptunaSearchCV(
            classifier(), SPACE, n_trials=2, cv=2, timeout=t, random_state=0, pruner=NEVER_PRUNES
        ).fit(X, y)
        for t in (None, 3600)
    ]
    values = [[trial.intermediate_values for trial in s.study_.trials] for s in found]
    assert values[0] == values[1]
    assert found[0].best_score_ == found[1].best_score_
    assert not any("stopped_by" in trial.user_attrs for trial in found[1].study_.trials)


# -- the objective of a study ------------------------------------------------------------------


def objective_of(estimator=None, **options):
    """Return an objective on two folds."""
    return CrossValObjective(estimator or slow(), SPACE, X, y, cv=2, **options)


@pytest.mark.parametrize("strategy", ["lockstep", "sequential"])
def test_an_objective_within_a_time_ends_trial_and_study(strategy):
    """The study needs no timeout of its own."""
    study = study_of(objective_of(strategy=strategy).within(TIMEOUT), 9)
    assert_met()
    [trial] = study.trials
    assert_cut(trial)


def test_two_running_trials_of_a_study_end():
    """In threads."""
    study = study_of(objective_of().within(TIMEOUT), 9, n_jobs=2)
    assert_met()
    assert len(study.trials) >= 2
    for trial in study.trials:
        assert_cut(trial)


def test_the_time_counts_from_where_it_is_given():
    """The objective itself has no limit before and after, and no limit is None."""
    objective = objective_of(classifier(epochs=2))
    cut = objective.within(1e-9)
    study = study_of(objective, 1)
    study.optimize(cut, n_trials=3)
    study.optimize(objective.within(3600), n_trials=1)
    study.optimize(cut.within(None), n_trials=1)
    states = [trial.state for trial in study.trials]
    assert states == [STATE.COMPLETE, STATE.PRUNED, STATE.COMPLETE, STATE.COMPLETE]
    assert cut.evaluate({})["fold_epochs"] == [2, 2]
    assert objective.refit(study, epochs="given").n_iter_ == 2


def test_with_ask_and_tell_the_trial_raises():
    """There is no study to end."""
    study = optuna.create_study(direction="maximize")
    trial = study.ask()
    with pytest.raises(optuna.TrialPruned, match="time of the study has run out"):
        objective_of().within(1e-9)(trial)
    study.tell(trial, state=STATE.PRUNED)
    assert_cut(study.trials[0])
    assert not Begins.at


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), True, "60"])
def test_what_is_no_number_of_seconds_is_refused(value):
    """At once."""
    with pytest.raises(ValueError, match=r"`timeout` must be a positive number .* or None but"):
        objective_of().within(value)


@pytest.mark.slow
def test_a_cut_fold_goes_on_from_its_backup(tmp_path):
    """When the same parameters come again, as after an interrupt from the keyboard."""
    backup = BackupAndRestore(str(tmp_path / "backup" / "{run}"))
    callbacks = {"begins": Tunable(Begins), "backup": backup}
    objective = objective_of(classifier(callbacks=callbacks, epochs=6))
    study = study_of(objective.within(TIMEOUT))
    cut = study.trials[0]
    assert_cut(cut)
    study.enqueue_trial(cut.params)
    study.optimize(objective, n_trials=1)
    assert study.trials[1].user_attrs["fold_epochs"] == [6, 6]
    begun = sum(count.begun for count in Counts.made)
    assert len(Begins.at) - begun == 6 + 6


def test_the_time_of_a_search_around_it_ends_an_inner_study_too():
    """Its trial is closed, and nothing takes the end of time for a failed fit."""
    objective = objective_of(classifier(epochs=2))
    study = optuna.create_study(direction="maximize")
    outer = Deadline(1e-9)
    with in_force(outer), pytest.raises(OutOfTime) as end:
        study.optimize(objective.within(3600), n_trials=3)
    assert end.value.deadline is outer
    [trial] = study.trials
    assert_cut(trial)
