"""What a search refuses, before the first trial: with parameter, value, and what would be right.

What test_search.py, test_artifacts.py and the tests of storages refuse is not told again here.
"""

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import GridSampler, TPESampler
from optuna.storages import InMemoryStorage
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcb.callbacks import EarlyStopping
from skcb.optuna import CrossValObjective, OptunaSearchCV
from tests.models import X, Y
from tests.optuna.trials import SPACE, classifier

y = Y["binary"]
CS = {"C": FloatDistribution(1e-3, 1e2, log=True)}


class Counting(InMemoryStorage):
    """A storage that knows how many trials were begun in it."""

    begun = 0

    def create_new_trial(self, *args, **kwargs):
        self.begun += 1
        return super().create_new_trial(*args, **kwargs)


def refused(error, message, *, estimator=None, space=CS, rows=X, targets=y, given=None, **options):
    """Check that a search is refused, and that no trial was begun."""
    storage = Counting()
    options = {"n_trials": 2, "cv": 3, "storage": storage, **options}
    with pytest.raises(error, match=message):
        search = OptunaSearchCV(estimator or LogisticRegression(), space, **options)
        search.fit(rows, targets, **(given or {}))
    assert storage.begun == 0


@pytest.mark.parametrize("n_trials", [-1, "10", 2.0, True, float("nan")])
def test_number_of_trials(n_trials):
    """A positive integer; numpy's are as good."""
    refused(ValueError, "`n_trials` must be a positive integer or None but", n_trials=n_trials)
    search = OptunaSearchCV(LogisticRegression(), CS, n_trials=np.int64(2), cv=2).fit(X, y)
    assert len(search.study_.trials) == 2


@pytest.mark.parametrize("timeout", ["60", 0, float("nan"), True])
def test_timeout(timeout):
    """A positive number of seconds."""
    refused(ValueError, "`timeout` must be a positive number or None but", timeout=timeout)


@pytest.mark.parametrize(
    ("name", "given", "hint"),
    [
        ("sampler", TPESampler, r"Call it: TPESampler\(\)"),
        ("sampler", optuna.pruners.MedianPruner(), "but got"),
        ("pruner", optuna.pruners.MedianPruner, r"Call it: MedianPruner\(\)"),
        ("pruner", TPESampler(), "but got"),
    ],
)
def test_sampler_and_pruner(name, given, hint):
    """One for the other, or a class where one of its objects is wanted."""
    refused(TypeError, rf"`{name}` must be one of optuna.{name}s.*{hint}", **{name: given})


@pytest.mark.parametrize("n_jobs", [0, "two", 1.5, True])
def test_number_of_jobs(n_jobs):
    """As joblib counts them."""
    refused(ValueError, "`n_jobs` must be an integer other than 0, or None", n_jobs=n_jobs)


@pytest.mark.parametrize("random_state", ["x", -1, 2**32, np.random.default_rng(0)])
def test_random_state(random_state):
    """What NumPy's older generator can be seeded with."""
    refused(ValueError, "`random_state` must be an integer from 0", random_state=random_state)


def test_name_of_a_study():
    """A number would become another name in some storages."""
    refused(TypeError, "`study_name` must be a str or None but got 5", study_name=5)


# -- spaces ----------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [None, [CS], "C", 3])
def test_a_space_is_a_dict_or_a_function(space):
    """A list of grids is scikit-learn's."""
    refused(TypeError, "`space` must be a dict of optuna.distributions or a function", space=space)


@pytest.mark.parametrize("entry", [FloatDistribution, (0.1, 1.0), "float", None])
def test_an_entry_is_a_distribution(entry):
    """Not a class, not a range."""
    refused(TypeError, r"`space\['C'\]` must be one of optuna.distributions", space={"C": entry})


def test_a_key_is_a_name():
    """And no position."""
    refused(TypeError, "names of parameters as its keys but got 3", space={3: CS["C"]})


PIPE = make_pipeline(StandardScaler(), LogisticRegression())
KERAS = make_pipeline(StandardScaler(), classifier(callbacks={"stop": EarlyStopping()}))


@pytest.mark.parametrize(
    ("estimator", "name", "legal"),
    [
        (LogisticRegression(), "c", "C"),
        (PIPE, "logisticregresion__C", "logisticregression"),
        (PIPE, "logisticregression__c", "logisticregression__C"),
        (PIPE, "C", "logisticregression__C"),
        (classifier(), "optimiser__learning_rate", "optimizer"),
        (KERAS, "callbacks__stop__patience", "kerasclassifier__callbacks__stop__patience"),
        (KERAS, "kerasclasifier__batch_size", "kerasclassifier"),
    ],
)
def test_an_unknown_name_gets_the_nearest_legal_one(estimator, name, legal):
    """However deep it stands, and where only its prefix is missing; of an objective too."""
    space = {name: FloatDistribution(0.1, 1.0)}
    message = rf"(?s)`space`.*Did you mean `{legal}(__|`)"
    refused(ValueError, message, estimator=estimator, space=space)
    if estimator is KERAS:
        with pytest.raises(ValueError, match=message):
            CrossValObjective(estimator, space, X, y, cv=3)


@pytest.mark.parametrize(
    ("name", "legal"),
    [
        ("kerasclassifier__optimizer__learning_rat", "optimizer__learning_rate"),
        ("kerasclassifier__callbacks__stop__patence", "callbacks__stop__patience"),
    ],
)
def test_a_name_that_another_choice_could_make_legal_is_judged_by_the_fit(name, legal):
    """Another optimizer, or callback, might have it; the first error comes through."""
    space = {name: FloatDistribution(0.1, 1.0)}
    with pytest.raises(ValueError, match=rf"Did you mean .*`{legal}`"):
        OptunaSearchCV(KERAS, space, n_trials=1, cv=2).fit(X, y)


def test_a_function_that_returns_no_parameters():
    """It is known at the first trial, which ends the search; the message says for which."""
    search = OptunaSearchCV(LogisticRegression(), lambda trial: [1], n_trials=2, cv=2)
    with pytest.raises(TypeError, match=r"must return a dict .* returned \[1\] for trial 0"):
        search.fit(X, y)
    assert len(search.study_.trials) == 1


def test_a_sampler_that_cannot_run_is_no_candidates_failure():
    """Its error ends the search at once, and the trials before it stay; so of an objective."""

    class Broken(TPESampler):
        def sample_independent(self, study, trial, name, distribution):
            if trial.number == 1:
                raise ModuleNotFoundError("No module named 'torch'")
            return 0.01

    search = OptunaSearchCV(LogisticRegression(), CS, n_trials=4, cv=2, sampler=Broken())
    study = optuna.create_study(direction="maximize", sampler=Broken())
    with pytest.raises(ModuleNotFoundError, match="torch"):
        search.fit(X, y)
    with pytest.raises(ModuleNotFoundError, match="torch"):
        study.optimize(CrossValObjective(classifier(), SPACE, X, y, cv=2), n_trials=4)
    for each in (search.study_, study):
        assert [trial.state.name for trial in each.trials] == ["COMPLETE", "FAIL"]
    assert "torch" in search.study_.trials[1].user_attrs["error"]


# -- scores and folds ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scoring", "legal"),
    [
        ("acuracy", "accuracy"),
        (["accuracy", "roc_auk"], "roc_auc"),
        ({"a": "f1_makro"}, "f1_macro"),
    ],
)
def test_an_unknown_scorer_gets_the_nearest_name(scoring, legal):
    """Scikit-learn would list all that it has."""
    message = rf"`scoring` must be .*Did you mean `{legal}`\?$"
    refused(ValueError, message, scoring=scoring, refit=False)
    if isinstance(scoring, str):
        with pytest.raises(ValueError, match=message):
            CrossValObjective(classifier(), SPACE, X, y, scoring=scoring)


@pytest.mark.parametrize("scoring", [{"accuracy", "f1"}, frozenset({"accuracy"})])
def test_a_set_of_scorers_has_no_first(scoring):
    """Which of them the study maximizes would be another one in each process."""
    refused(TypeError, "`scoring` must not be a set.*list", scoring=scoring, refit=False)


@pytest.mark.parametrize("cv", [[], iter([]), (s for s in ())])
def test_no_folds(cv):
    """A generator of splits that was used up scores nothing, and says so."""
    refused(ValueError, "`cv` gives no folds", cv=cv)
    with pytest.raises(ValueError, match="`cv` gives no folds"):
        CrossValObjective(classifier(), SPACE, X, y, cv=cv)


@pytest.mark.parametrize(
    ("cv", "message"), [(1, "n_splits=1"), ("five", "`cv` as an integer"), (2.5, "`cv` as an int")]
)
def test_folds_that_cannot_be_made(cv, message):
    """In scikit-learn's words."""
    refused(ValueError, message, cv=cv)


def test_rows_and_targets_of_different_lengths():
    """In scikit-learn's words."""
    refused(ValueError, r"inconsistent numbers of samples: \[48, 47\]", targets=y[:-1])


def test_refit_that_is_neither_true_nor_false():
    """None is neither."""
    refused(TypeError, "`refit` must be a bool, the name of a scorer or a function", refit=None)


def test_refit_by_a_name_that_a_function_did_not_return():
    """Its names are known after the first trial; the message has them all the same."""
    search = OptunaSearchCV(
        LogisticRegression(),
        CS,
        n_trials=1,
        cv=2,
        scoring=lambda estimator, X, y: {"hits": 1.0, "misses": 0.0},
        refit="hit",
    )
    with pytest.raises(ValueError, match=r"'hits', 'misses' but got 'hit'. Did you mean `hits`"):
        search.fit(X, y)


# -- studies ---------------------------------------------------------------------------------


@pytest.mark.parametrize("directions", [["minimize"], ["maximize", "minimize"]])
def test_a_study_of_other_directions(directions):
    """One value, of which more is better."""
    storage = Counting()
    optuna.create_study(storage=storage, study_name="s", directions=directions)
    with pytest.raises(ValueError, match=rf"directions \['{directions[0]}'.*another name"):
        OptunaSearchCV(LogisticRegression(), CS, storage=storage, study_name="s", cv=2).fit(X, y)
    assert storage.begun == 0


def test_a_sampler_for_another_space():
    """Optuna's error comes through."""
    search = OptunaSearchCV(LogisticRegression(), CS, sampler=GridSampler({"D": [1]}), cv=2)
    with pytest.raises(ValueError, match="parameter name, C, is not found in the given grid"):
        search.fit(X, y)


@pytest.mark.parametrize("estimator", [LogisticRegression, "logistic", None])
def test_an_estimator_that_is_none(estimator):
    """A class is not one."""
    with pytest.raises(TypeError, match="`estimator` must be an estimator but got"):
        OptunaSearchCV(estimator, CS, n_trials=1).fit(X, y)


def test_a_good_space_after_a_bad_one():
    """What was refused leaves nothing behind."""
    search = OptunaSearchCV(LogisticRegression(), {"c": CS["C"]}, n_trials=1, cv=KFold(2))
    with pytest.raises(ValueError, match="Did you mean"):
        search.fit(X, y)
    assert search.set_params(space=CS).fit(X, y).best_params_.keys() == CS.keys()


@pytest.mark.parametrize(
    "space",
    [
        {"epochs": IntDistribution(-3, -1)},
        {"batch_size": IntDistribution(-5, -2)},
        {"optimizer": CategoricalDistribution(["adamm"])},
    ],
)
def test_values_that_are_out_of_range_fail_their_trial(space):
    """They are judged by `fit`, and where all fail, the first error comes through."""
    search = OptunaSearchCV(classifier(), space, n_trials=1, cv=2)
    with pytest.raises(ValueError, match=next(iter(space)).rpartition("__")[2]):
        search.fit(X, y)
