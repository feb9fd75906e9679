"""`OptunaSearchCV`: scikit-learn's search interface over a study.

What holds for GridSearchCV's public behaviour is tested here on the same words; where a search of
scikit-learn's own can be the judge, it is.
"""

import pickle

import keras
import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from sklearn import config_context
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.callback import ProgressBar
from sklearn.cluster import KMeans
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    LeaveOneGroupOut,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

import skcb
from skcb.callbacks import CSVLogger
from skcb.exceptions import TrainingWarning
from skcb.optuna import CrossValObjective, OptunaSearchCV, _outcome
from tests.fakes import stable
from tests.models import X, Y, untrainable
from tests.optuna.trials import RATE, Recording, classifier, study_of
from tests.optuna.trials import SPACE as RATES

y = Y["binary"]
SPACE = {"C": FloatDistribution(1e-3, 1e2, log=True)}


def logistic(space=SPACE, **options):
    """Return a search over scikit-learn's own classifier."""
    options = {"n_trials": 4, "cv": 3, "random_state": 0, **options}
    return OptunaSearchCV(LogisticRegression(), space, **options)


def keras_search(**options):
    """Return a search over a Keras classifier."""
    options = {"n_trials": 3, "cv": 3, "random_state": 0, **options}
    estimator = options.pop("estimator", None) or classifier()
    return OptunaSearchCV(estimator, options.pop("space", RATES), **options)


def grid_of(search, **options):
    """Return a GridSearchCV over what a search has tried."""
    values = [params["C"] for params in search.cv_results_["params"]]
    options = {"cv": search.cv, "scoring": search.scoring, "refit": search.refit, **options}
    return GridSearchCV(search.estimator, {"C": values}, **options)


# -- scikit-learn's checks -------------------------------------------------------------------

CHECKS = parametrize_with_checks(
    [
        logistic(n_trials=2, cv=2),
        OptunaSearchCV(
            Ridge(), {"alpha": FloatDistribution(1e-3, 1e2, log=True)}, n_trials=2, cv=2
        ),
    ]
)
NAMES, PAIRS = CHECKS.args


@pytest.mark.slow
# scikit-learn's `check_cv` casts the NaN of a wrong y, before it finds it.
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
@pytest.mark.parametrize(NAMES, list(PAIRS), ids=stable(CHECKS.kwargs["ids"]))
def test_scikit_learns_checks_pass(estimator, check):
    """Of a classifier's and of a regressor's search."""
    check(estimator)


@pytest.mark.slow
def test_scikit_learns_checks_pass_around_a_keras_step():
    """Those that ask what an estimator keeps and gives back; the step has its own test of all."""
    wanted = {
        "check_classifiers_classes",
        "check_dict_unchanged",
        "check_estimators_pickle",
        "check_estimators_unfitted",
        "check_get_params_invariance",
        "check_no_attributes_set_in_init",
        "check_set_params",
        "check_n_features_in",
    }
    estimator = classifier(epochs=8, optimizer__learning_rate=0.05)
    search = OptunaSearchCV(estimator, RATES, n_trials=1, cv=2, random_state=0)
    pairs = parametrize_with_checks([search]).args[1]
    chosen = {getattr(c, "func", c).__name__: (e, c) for e, c in pairs}
    assert wanted <= set(chosen)
    for name in sorted(wanted):
        each, check = chosen[name]
        check(each)


# -- the table and the best ------------------------------------------------------------------


def test_results_are_those_of_a_grid_search_over_the_same_candidates():
    """Every column that GridSearchCV has, with its values and types."""
    search = logistic(scoring="neg_log_loss").fit(X, y)
    grid = grid_of(search).fit(X, y)
    assert set(grid.cv_results_) <= set(search.cv_results_)
    for name, expected in grid.cv_results_.items():
        if "time" not in name:
            np.testing.assert_array_equal(search.cv_results_[name], expected, err_msg=name)
    for name in ("best_index_", "best_params_", "best_score_", "n_splits_", "multimetric_"):
        assert getattr(search, name) == getattr(grid, name)
    np.testing.assert_array_equal(search.predict_proba(X), grid.predict_proba(X))
    assert search.score(X, y) == grid.score(X, y)
    assert search.classes_.tolist() == grid.classes_.tolist()
    assert search.refit_time_ > 0


def test_best_is_the_studys():
    """Both look at the same values."""
    search = logistic().fit(X, y)
    assert search.best_params_ == search.study_.best_params
    assert search.best_score_ == search.study_.best_value
    assert [t.value for t in search.study_.trials] == list(search.cv_results_["mean_test_score"])


def test_several_scorers():
    """One decides; each has its columns."""
    scoring = {"auc": "roc_auc", "loss": "neg_log_loss"}
    search = logistic(scoring=scoring, refit="loss").fit(X, y)
    grid = grid_of(search).fit(X, y)
    for name, expected in grid.cv_results_.items():
        if "time" not in name:
            np.testing.assert_array_equal(search.cv_results_[name], expected, err_msg=name)
    assert search.study_.best_value == search.best_score_ == grid.best_score_
    assert search.score(X, y) == grid.score(X, y)
    assert set(search.scorer_) == set(scoring)
    assert search.multimetric_


def test_a_function_may_give_several_scores():
    """As in scikit-learn, the names are those of its dict."""

    def scores(estimator, X, y):
        return {"accuracy": estimator.score(X, y), "size": -abs(estimator.C)}

    search = logistic(scoring=scores, refit="size").fit(X, y)
    assert search.best_params_["C"] == min(t.params["C"] for t in search.study_.trials)
    assert search.score(X, y) == -search.best_params_["C"]


def test_refit_may_be_a_function():
    """It chooses a row; which score that is, nobody can say."""
    search = logistic(refit=lambda results: int(np.argmin(results["mean_test_score"])))
    search.fit(X, y)
    assert search.best_index_ == np.argmin(search.cv_results_["mean_test_score"])
    assert search.best_estimator_.C == search.best_params_["C"]
    assert not hasattr(search, "best_score_")


@pytest.mark.parametrize(("index", "error"), [(99, IndexError), ("first", TypeError)])
def test_a_function_that_chooses_no_row_is_an_error(index, error):
    """It says what was returned."""
    with pytest.raises(error, match="`refit` must return"):
        logistic(refit=lambda results: index).fit(X, y)


def test_without_refit_there_is_no_prediction():
    """The best parameters are known all the same."""
    search = logistic(refit=False).fit(X, y)
    assert "C" in search.best_params_
    for name in ("best_estimator_", "predict", "predict_proba", "classes_"):
        assert not hasattr(search, name)
    with pytest.raises(AttributeError, match="refit=False"):
        search.score(X, y)


def test_several_scorers_without_refit_have_no_best():
    """No scorer is said to decide."""
    search = logistic(scoring=["accuracy", "roc_auc"], refit=False).fit(X, y)
    assert not hasattr(search, "best_index_")
    assert {"mean_test_accuracy", "mean_test_roc_auc"} <= set(search.cv_results_)


def test_methods_are_the_estimators():
    """What it lacks, the search lacks, before and after the fit."""
    search = OptunaSearchCV(LinearSVC(), SPACE, n_trials=1, cv=2)
    assert hasattr(search, "decision_function")
    assert not hasattr(search, "predict_proba")
    with pytest.raises(NotFittedError):
        search.predict(X)
    assert not hasattr(search, "n_features_in_")
    search.fit(pd.DataFrame(X, columns=list("abcd")), y)
    assert search.n_features_in_ == 4
    assert search.feature_names_in_.tolist() == list("abcd")


def test_kind_is_the_estimators():
    """Folds are stratified for a classifier."""
    assert is_classifier(logistic())
    assert is_regressor(OptunaSearchCV(Ridge(), {"alpha": FloatDistribution(0.1, 1)}))


def test_no_targets_and_precomputed_kernels():
    """A clustering has no y; of a kernel both sides are cut."""
    space = {"n_clusters": IntDistribution(2, 4)}
    search = OptunaSearchCV(KMeans(random_state=0, n_init=1), space, n_trials=2, cv=2).fit(X)
    assert search.transform(X).shape == (48, search.best_params_["n_clusters"])
    kernel = OptunaSearchCV(SVC(kernel="precomputed"), SPACE, n_trials=2, cv=2, random_state=0)
    plain = OptunaSearchCV(SVC(kernel="linear"), SPACE, n_trials=2, cv=2, random_state=0)
    scores = [
        search.fit(rows, y).cv_results_["mean_test_score"]
        for search, rows in ((kernel, X @ X.T), (plain, X))
    ]
    np.testing.assert_array_equal(*scores)
    outer = [
        cross_val_score(search, rows, y, cv=2) for search, rows in ((kernel, X @ X.T), (plain, X))
    ]
    np.testing.assert_array_equal(*outer)


def test_a_space_may_be_a_function():
    """The table has the parameters that it returns, masked where a trial has not set them."""

    def space(trial):
        power = trial.suggest_int("power", -2, 2)
        return {"C": 10.0**power} | ({"tol": 1e-2} if power < 0 else {})

    sampler = optuna.samplers.GridSampler({"power": [-2, -1, 0, 1]}, seed=0)
    search = logistic(space, sampler=sampler).fit(X, y)
    powers = [trial.params["power"] for trial in search.study_.trials]
    assert [params["C"] for params in search.cv_results_["params"]] == [10.0**p for p in powers]
    assert search.cv_results_["param_tol"].mask.tolist() == [p >= 0 for p in powers]
    assert search.best_estimator_.C == search.best_params_["C"]


def test_a_function_is_not_asked_again_what_was_set():
    """It may look at the study, and draw numbers; a trial that it ends itself has set nothing."""
    given = []

    def space(trial):
        exponent = trial.suggest_float("exponent", -2, 2)
        if trial.number == 1:
            raise optuna.TrialPruned
        drawn = len(trial.study.trials) + np.random.default_rng().random()
        given.append({"C": 10**exponent, "tol": drawn * 1e-4})
        return given[-1]

    search = logistic(space).fit(X, y)
    rows = list(search.cv_results_["params"])
    assert rows.pop(1) == {} and rows == given and len(given) == 3
    assert "param_exponent" not in search.cv_results_
    best = search.best_estimator_.get_params()
    assert {name: best[name] for name in ("C", "tol")} == search.best_params_


SCORES = []


def next_score(estimator, X, y):
    """Return what the test has laid out; a study does not look at it, as it would at a closure."""
    return SCORES.pop(0)


@pytest.mark.parametrize("best", ["earlier", "own"])
def test_a_function_of_more_than_the_trial_is_not_guessed_at(tmp_path, best):
    """Of a trial of another fit nobody knows what it set; its suggestions are no parameters."""

    def space(trial):
        size = trial.study.user_attrs["size"]
        return {"C": size * trial.suggest_float("share", 0.1, 1), "tol": trial.number * 1e-3 + 1e-4}

    study = optuna.create_study(storage=journal(tmp_path), study_name="s", direction="maximize")
    study.set_user_attr("size", 3.0)
    SCORES[:] = [1.0, 0.0] if best == "earlier" else [0.0, 1.0]
    options = {"study_name": "s", "n_trials": 1, "cv": [(np.arange(40), np.arange(40, 48))]}

    def search():
        return logistic(space, storage=journal(tmp_path), scoring=next_score, **options)

    search().fit(X, y)
    second = search()
    with pytest.warns(
        UserWarning, match="asked once more about the trials 0.*no attribute 'study'"
    ) as caught:
        if best == "earlier":
            with pytest.raises(ValueError, match="trial 0 is the best, and its parameters are not"):
                second.fit(X, y)
            return
        second.fit(X, y)
    assert caught[0].filename == __file__
    assert second.cv_results_["params"][0] == {}
    assert second.best_params_ == second.cv_results_["params"][1] != {}


def test_a_function_of_the_trial_alone_is_asked_again(tmp_path):
    """What it makes of suggestions, number and attributes is the same in another fit."""

    def space(trial):
        trial.set_user_attr("seen", True)
        number = trial.number if trial.user_attrs["seen"] else None
        return {"C": 2 * trial.suggest_float("half", 0.1, 1), "random_state": number}

    first, second = (
        logistic(space, storage=journal(tmp_path), study_name="s", n_trials=2).fit(X, y)
        for _ in range(2)
    )
    rows = second.cv_results_["params"]
    assert rows[:2] == first.cv_results_["params"]
    assert [row["random_state"] for row in rows] == [0, 1, 2, 3]


def test_objects_in_a_space_are_cloned():
    """An estimator among the choices is never fitted itself."""
    choices = [StandardScaler(), StandardScaler(with_mean=False)]
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    with pytest.warns(UserWarning, match="Choices for a categorical distribution"):
        space = {"standardscaler": CategoricalDistribution(choices)}
    with pytest.warns(UserWarning, match="Choices for a categorical distribution"):
        OptunaSearchCV(pipe, space, n_trials=2, cv=2).fit(X, y)
    assert not any(hasattr(choice, "mean_") for choice in choices)


# -- seeds, samplers, clones -----------------------------------------------------------------


def test_random_state_seeds_the_sampler():
    """The same choices again, from an integer or from equal generators."""

    def tried(random_state):
        search = logistic(random_state=random_state).fit(X, y)
        return [params["C"] for params in search.cv_results_["params"]]

    assert tried(0) == tried(0) != tried(1)
    assert tried(np.random.RandomState(3)) == tried(np.random.RandomState(3))


def test_numbers_are_those_of_a_plain_study():
    """A TPESampler with that seed, and a CrossValObjective."""
    search = keras_search(n_trials=2).fit(X, y)
    objective = CrossValObjective(classifier(), RATES, X, y, cv=3, prune=False)
    study = study_of(objective, 2, sampler=optuna.samplers.TPESampler(seed=0))
    assert [t.params for t in search.study_.trials] == [t.params for t in study.trials]
    assert [t.value for t in search.study_.trials] == [t.value for t in study.trials]
    for name in ("fold_scores", "fold_epochs", "fold_best_epochs"):
        assert search.study_.best_trial.user_attrs[name] == study.best_trial.user_attrs[name]


def test_a_sampler_is_not_used_up():
    """Each fit begins with the sampler as it was given."""
    sampler = optuna.samplers.RandomSampler(seed=3)
    search = logistic(sampler=sampler, n_trials=2).fit(X, y)
    first = search.study_.trials[0].params
    assert search.fit(X, y).study_.trials[0].params == first
    assert clone(search).fit(X, y).study_.trials[0].params == first
    assert search.study_.sampler is not sampler


def test_clone_shares_nothing_but_the_storage():
    """Parameters are equal, results stay behind; requests and callbacks come along."""
    storage = InMemoryStorage()
    bar = ProgressBar()
    with config_context(enable_metadata_routing=True):
        inner = LogisticRegression().set_fit_request(sample_weight=True)
        search = OptunaSearchCV(
            inner, SPACE, sampler=optuna.samplers.RandomSampler(), storage=storage, n_trials=3
        ).set_callbacks(bar)
        new = clone(search)
        assert new.estimator.get_metadata_routing().fit.requests["sample_weight"] is True
    assert new.storage is storage
    assert new.sampler is not search.sampler and new.estimator is not search.estimator
    assert (new.n_trials, new.space) == (3, search.space)
    assert new._skl_callbacks == [bar]


def test_pickle():
    """A fitted search comes back with its study."""
    search = keras_search(n_trials=1).fit(X, y)
    back = pickle.loads(pickle.dumps(search))
    np.testing.assert_array_equal(back.predict_proba(X), search.predict_proba(X))
    assert back.study_.best_value == search.best_score_


def test_inner_estimator_is_never_fitted():
    """Work is done on clones."""
    search = logistic().fit(X, y)
    assert not hasattr(search.estimator, "coef_")


# -- nesting and storages --------------------------------------------------------------------


def journal(path):
    """Return a storage in a file."""
    return JournalStorage(JournalFileBackend(str(path / "journal.log")))


def test_each_outer_fold_has_a_study_of_its_own(tmp_path):
    """Also where storage and name are given: no trial of one is known to another."""
    storage = journal(tmp_path)
    search = logistic(storage=storage, study_name="nested", n_trials=2)
    done = cross_validate(search, X, y, cv=3, return_estimator=True)
    studies = [each.study_ for each in done["estimator"]]
    assert len({study.study_name for study in studies}) == 3
    assert all(study.study_name.startswith("nested/") for study in studies)
    assert [len(study.trials) for study in studies] == [2, 2, 2]
    assert sorted(optuna.get_all_study_names(storage)) == sorted(s.study_name for s in studies)
    plain = cross_val_score(logistic(n_trials=2), X, y, cv=3)
    np.testing.assert_array_equal(done["test_score"], plain)


def test_nested_search_never_sees_the_outer_test_rows():
    """What the inner folds are fitted and scored on are rows of the outer training part."""
    seen = []

    class Noting(LogisticRegression):
        def fit(self, X, y):
            seen.append(set(X[:, 0]))
            return super().fit(X, y)

        def score(self, X, y):
            seen.append(set(X[:, 0]))
            return super().score(X, y)

    rows = np.c_[np.arange(48.0), X]
    train, test = next(StratifiedKFold(3).split(rows, y))
    cross_val_score(
        OptunaSearchCV(Noting(max_iter=10_000), SPACE, n_trials=2, cv=2),
        rows,
        y,
        cv=[(train, test)],
        scoring=lambda search, X, y: 0.0,
    )
    assert set.union(*seen) == set(rows[train, 0])


def test_a_study_goes_on(tmp_path):
    """Another fit, in another process perhaps, adds trials to it, and other ones."""
    first = logistic(storage=journal(tmp_path), study_name="s", n_trials=2).fit(X, y)
    again = logistic(storage=journal(tmp_path), study_name="s", n_trials=3).fit(X, y)
    tried = [params["C"] for params in again.cv_results_["params"]]
    assert tried[:2] == [params["C"] for params in first.cv_results_["params"]]
    assert len(set(tried)) == 5
    assert again.cv_results_["split0_test_score"][0] == first.cv_results_["split0_test_score"][0]


@pytest.mark.parametrize(
    ("options", "rows", "message"),
    [
        ({"space": {"C": FloatDistribution(1, 2)}}, X, r"another space.*`C` was.*low=0.001.*low=1"),
        ({}, X + 1, "another data"),
        ({"estimator": LogisticRegression(tol=1e-3)}, X, "another estimator"),
        ({"cv": 4}, X, "another cv"),
        ({"scoring": "roc_auc"}, X, "another scoring"),
    ],
)
def test_a_study_of_something_else_is_refused(tmp_path, options, rows, message):
    """Its trials cannot be compared; nothing is added to it."""
    logistic(storage=journal(tmp_path), study_name="s", n_trials=1).fit(X, y)
    with pytest.raises(ValueError, match=message):
        search = logistic(storage=journal(tmp_path), study_name="s").set_params(**options)
        search.fit(rows, y)
    assert len(optuna.load_study(study_name="s", storage=journal(tmp_path)).trials) == 1


def test_a_study_of_the_other_direction_is_refused(tmp_path):
    """Of scores more is better."""
    optuna.create_study(storage=journal(tmp_path), study_name="s", direction="minimize")
    with pytest.raises(ValueError, match=r"directions \['minimize'\]"):
        logistic(storage=journal(tmp_path), study_name="s").fit(X, y)


def test_a_storage_in_memory_that_was_pickled_warns():
    """As in a worker process, its trials are seen by nobody else; in one process they are."""
    storage = InMemoryStorage()
    search = logistic(storage=storage, n_trials=1)
    cross_val_score(search, X, y, cv=2)
    assert len(storage.get_all_studies()) == 2
    with pytest.warns(TrainingWarning, match="`storage` is in memory") as caught:
        pickle.loads(pickle.dumps(search)).fit(X, y)
    assert caught[0].filename == __file__
    assert len(storage.get_all_studies()) == 2


def test_sqlite(tmp_path):
    """An address is as good as a storage, and the table is read from it."""
    search = logistic(storage=f"sqlite:///{tmp_path}/s.db", n_trials=2, scoring="roc_auc")
    search.fit(X, y)
    plain = logistic(n_trials=2, scoring="roc_auc").fit(X, y)
    np.testing.assert_array_equal(
        search.cv_results_["split2_test_score"], plain.cv_results_["split2_test_score"]
    )


# -- pruning ---------------------------------------------------------------------------------


def test_pruner_judges_all_folds_after_each_epoch():
    """Steps are epochs; pruned trials are marked, have no scores and the last rank."""
    search = keras_search(n_trials=2, pruner=_AtSecondTrial()).fit(X, y)
    table = search.cv_results_
    assert table["trial_state"].tolist() == ["COMPLETE", "PRUNED"]
    assert sorted(search.study_.trials[0].intermediate_values) == [1, 2, 3]
    assert search.study_.trials[1].user_attrs["fold_epochs"] == [2, 2, 2]
    assert np.isnan(table["mean_test_score"]).tolist() == [False, True]
    assert table["rank_test_score"].tolist() == [1, 2]
    assert search.best_index_ == 0


class _AtSecondTrial(optuna.pruners.BasePruner):
    """Prunes every trial but the first, after two epochs."""

    def prune(self, study, trial):
        return trial.number > 0 and trial.last_step >= 2


def test_without_a_pruner_nothing_is_reported():
    """And no watched rows are needed."""
    search = keras_search(estimator=classifier(validation_split=None), n_trials=1).fit(X, y)
    assert search.study_.trials[0].intermediate_values == {}


def dropping(meta):
    """Build a model that draws random numbers in training."""
    layers = [keras.layers.Input((meta["n_features_in_"],)), keras.layers.Dropout(0.3)]
    head = keras.layers.Dense(meta["n_output_units_"], meta["output_activation_"])
    return keras.Sequential([*layers, head])


def in_training_mode(estimator, X, y):
    """Score as no prediction does."""
    return float(np.mean(estimator.model_(X, training=True)))


def test_a_pruned_search_has_the_scores_of_one_that_is_not():
    """Lock-step changes no number; several scorers are looked at in each fold."""
    scoring = {"roc_auc": "roc_auc", "accuracy": "accuracy", "drawn": in_training_mode}
    options = {"scoring": scoring, "refit": "roc_auc", "n_trials": 2}
    options["estimator"] = classifier(dropping)
    asked = keras_search(pruner=Recording(3), **options).fit(X, y)
    plain = keras_search(**options).fit(X, y)
    for name, expected in plain.cv_results_.items():
        if "time" not in name:
            np.testing.assert_array_equal(asked.cv_results_[name], expected, err_msg=name)


def test_watched_rows_may_come_with_the_call():
    """They are the same for every fold, however many, and are not cut."""
    search = keras_search(
        estimator=classifier(validation_split=None), pruner=optuna.pruners.MedianPruner()
    )
    search.fit(X, y, X_val=X[:9], y_val=y[:9])
    assert sorted(search.study_.trials[0].intermediate_values) == [1, 2, 3]
    assert "val_loss" in search.best_estimator_.history_


def test_wilcoxon_pruner_is_told_each_fold():
    """Of any estimator."""
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        pruner = optuna.pruners.WilcoxonPruner(p_threshold=0.1)
    search = logistic(pruner=pruner, n_trials=1).fit(X, y)
    told = search.study_.trials[0].intermediate_values
    assert told == {i: search.cv_results_[f"split{i}_test_score"][0] for i in range(3)}


def test_a_pruner_that_has_nothing_to_judge_warns():
    """An estimator that is not Keras has no epochs here."""
    with pytest.warns(TrainingWarning, match="prunes nothing") as caught:
        logistic(pruner=optuna.pruners.MedianPruner(), n_trials=1).fit(X, y)
    assert caught[0].filename == __file__


def test_pruning_without_watched_rows_is_an_error():
    """Before the first epoch, and whatever `error_score` says."""
    search = keras_search(
        estimator=classifier(validation_split=None), pruner=optuna.pruners.MedianPruner()
    )
    with pytest.raises(ValueError, match="no watched rows"):
        search.fit(X, y)


@pytest.mark.parametrize(
    "space",
    [
        {"validation_split": CategoricalDistribution([0.0, 0.25])},
        lambda trial: {"validation_split": trial.suggest_categorical("share", [0.0, 0.25])},
    ],
    ids=["dict", "function"],
)
def test_pruning_fails_a_trial_that_has_chosen_to_watch_nothing(space):
    """Others have watched rows."""
    name = "share" if callable(space) else "validation_split"
    sampler = optuna.samplers.GridSampler({name: [0.0, 0.25]}, seed=0)
    options = {"estimator": classifier(epochs=1), "sampler": sampler, "n_trials": 2, "cv": 2}
    search = keras_search(space=space, pruner=optuna.pruners.MedianPruner(), **options)
    with pytest.warns(FitFailedWarning, match="1 of 2 trials failed"):
        search.fit(X, y)
    table = search.cv_results_
    shares = [next(iter(params.values())) for params in table["params"]]
    found = {share: row for row, share in enumerate(shares)}
    assert table["trial_state"][[found[0.0], found[0.25]]].tolist() == ["FAIL", "COMPLETE"]
    assert "there are no watched rows to judge by" in table["trial_error"][found[0.0]]


def test_pruning_leaves_trials_alone_that_have_chosen_no_keras_step():
    """They have no epochs."""
    steps = {"keras": classifier(epochs=1), "linear": LogisticRegression()}

    def space(trial):
        return {"kerasclassifier": steps[trial.suggest_categorical("kind", list(steps))]}

    search = keras_search(
        estimator=make_pipeline(StandardScaler(), steps["keras"]),
        space=space,
        sampler=optuna.samplers.GridSampler({"kind": list(steps)}, seed=0),
        pruner=optuna.pruners.MedianPruner(),
        n_trials=2,
        cv=2,
    )
    search.fit(X, y)
    assert search.cv_results_["trial_state"].tolist() == ["COMPLETE"] * 2
    told = {trial.user_attrs["fold_epochs"][0]: trial for trial in search.study_.trials}
    assert sorted(told[1].intermediate_values) == [1]
    assert told[-1].intermediate_values == {}


@config_context(enable_metadata_routing=True)
def test_pruning_by_metadata_that_watched_rows_do_not_have_is_an_error():
    """Before the first epoch, in words of the search."""

    def utility(y_true, y_pred, amount=1.0):
        return float(np.mean(amount * (y_true == y_pred)))

    scorer = make_scorer(utility).set_score_request(amount=True)
    search = keras_search(
        estimator=classifier(untrainable), scoring=scorer, pruner=optuna.pruners.MedianPruner()
    )
    with pytest.raises(ValueError, match=r"asks for `amount`, .* give `pruner=None`"):
        search.fit(X, y, amount=np.ones(len(y)))


def test_pruning_what_cannot_wait_is_an_error():
    """It needs trained steps while it is fitted."""
    search = keras_search(
        estimator=CalibratedClassifierCV(classifier(), cv=2),
        space={f"estimator__{RATE}": RATES[RATE]},
        pruner=optuna.pruners.MedianPruner(),
    )
    with pytest.raises(ValueError, match=r"`pruner=.*CalibratedClassifierCV"):
        search.fit(X, y)
    assert search.set_params(pruner=None, n_trials=1).fit(X, y).best_score_ > 0


@pytest.mark.slow
def test_pipeline_and_threads():
    """Trials at the same time have the scores of trials one after the other."""
    pipe = make_pipeline(StandardScaler(), classifier())
    space = {f"kerasclassifier__{name}": each for name, each in RATES.items()}
    options = {"sampler": optuna.samplers.RandomSampler(seed=0), "n_trials": 4}
    threads = keras_search(estimator=pipe, space=space, n_jobs=2, **options).fit(X, y)
    for trial in threads.study_.trials:
        expected = cross_val_score(clone(pipe).set_params(**trial.params), X, y, cv=3)
        assert trial.user_attrs["fold_scores"] == expected.tolist()


# -- metadata --------------------------------------------------------------------------------


def test_groups_reach_the_splitter_and_weights_are_cut():
    """Without routing: as in GridSearchCV, weights also reach scorers that take them."""
    groups, weights = np.arange(48) // 8, np.linspace(0.1, 3, 48)
    search = logistic(cv=GroupKFold(3), n_trials=2).fit(X, y, groups=groups, sample_weight=weights)
    grid = grid_of(search).fit(X, y, groups=groups, sample_weight=weights)
    for fold in range(3):
        name = f"split{fold}_test_score"
        np.testing.assert_array_equal(search.cv_results_[name], grid.cv_results_[name])
    bare = logistic(cv=GroupKFold(3), n_trials=2).fit(X, y, groups=groups)
    assert not np.array_equal(
        bare.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"]
    )


def test_metadata_routing():
    """Each name goes where it is requested, in `fit` and in `score`."""
    groups, weights = np.arange(48) // 8, np.linspace(0.1, 3, 48)
    with config_context(enable_metadata_routing=True):
        scorer = make_scorer(_weighted).set_score_request(sample_weight="importance")
        search = OptunaSearchCV(
            LogisticRegression().set_fit_request(sample_weight=False),
            SPACE,
            cv=LeaveOneGroupOut(),
            scoring=scorer,
            n_trials=2,
            random_state=0,
        )
        given = {"groups": groups, "importance": weights}
        search.fit(X, y, **given)
        grid = grid_of(search).fit(X, y, **given)
        np.testing.assert_array_equal(
            search.cv_results_["mean_test_score"], grid.cv_results_["mean_test_score"]
        )
        assert search.score(X, y, importance=weights) == grid.score(X, y, importance=weights)
        with pytest.raises(TypeError, match="stranger"):
            search.fit(X, y, stranger=weights)
    with pytest.raises(ValueError, match="metadata routing"):
        logistic(n_trials=1).fit(X, y).score(X, y, sample_weight=weights)


def _weighted(y_true, y_pred, sample_weight):
    return np.average(y_true == y_pred, weights=sample_weight)


# -- scikit-learn's callbacks ----------------------------------------------------------------


class Tasks:
    """A callback of scikit-learn's that writes down which tasks begin and end."""

    def __init__(self):
        self.begun, self.ended, self.over = [], [], 0

    def setup(self, estimator, context):
        self.begun, self.ended = [], []

    def on_fit_task_begin(self, estimator, context):
        self.begun.append((context.task_name, context.task_id))

    def on_fit_task_end(self, estimator, context):
        self.ended.append((context.task_name, context.task_id))

    def teardown(self, estimator, context):
        self.over += 1


def test_callbacks_see_every_fit():
    """The search, each fold of each trial, and the refit; each begins and ends."""
    tasks = Tasks()
    logistic(n_trials=2).set_callbacks(tasks).fit(X, y)
    assert sorted(tasks.begun) == sorted(tasks.ended)
    names = [name for name, _ in tasks.begun]
    assert names[0] == "fit" and names[1] == "search"
    folds = sorted(i for name, i in tasks.begun if name == "candidate-split-evaluation")
    assert folds == [0, 1, 2, 3, 4, 5]
    assert names[-1] == "refit-with-best-params"
    assert tasks.over == 1


def test_every_fit_writes_where_it_stands(tmp_path):
    """Nested searches share no path; each outer fold has its trials, folds and refit."""
    log = CSVLogger(f"{tmp_path}/{{run}}/log.csv")
    search = keras_search(estimator=classifier(callbacks={"log": log}), n_trials=2, cv=2)
    cross_val_score(search, X, y, cv=2)
    places = [path.parent.relative_to(tmp_path).parts for path in tmp_path.rglob("log.csv")]
    inner = sorted(place[-2:] for place in places if place[-1].startswith("fold-"))
    assert inner == sorted(2 * [(f"trial-{t}", f"fold-{f}") for t in range(2) for f in range(2)])
    assert sum("refit" in place[-1] for place in places) == 2


# -- what goes wrong -------------------------------------------------------------------------


def failing(**options):
    """Return a search whose second choice cannot be fitted."""
    space = {"C": CategoricalDistribution([1.0, -1.0])}
    sampler = optuna.samplers.GridSampler({"C": [1.0, -1.0]}, seed=0)
    return logistic(space, sampler=sampler, n_trials=2, **options)


def test_a_failed_trial_is_marked():
    """The search goes on; a warning and the table say why."""
    with pytest.warns(FitFailedWarning, match="1 of 2 trials failed(?s:.)*'C' param") as caught:
        search = failing().fit(X, y)
    assert caught[0].filename == __file__
    table = search.cv_results_
    bad = int(np.flatnonzero(table["param_C"] == -1.0)[0])
    assert table["trial_state"][bad] == "FAIL"
    assert "C" in table["trial_error"][bad] and table["trial_error"][1 - bad] == ""
    assert np.isnan(table["mean_test_score"][bad])
    assert table["rank_test_score"][bad] == 2
    assert search.best_params_ == {"C": 1.0}


def test_error_score():
    """A number is the score; "prune" marks it; "raise" gives the user's own error."""
    with pytest.warns(FitFailedWarning):
        table = failing(error_score=-5.0).fit(X, y).cv_results_
    assert sorted(table["mean_test_score"])[0] == -5.0
    with pytest.warns(FitFailedWarning):
        assert "PRUNED" in failing(error_score="prune").fit(X, y).cv_results_["trial_state"]
    with pytest.raises(ValueError, match="'C' parameter of LogisticRegression"):
        failing(error_score="raise").fit(X, y)


def test_when_every_trial_fails_the_error_comes_through():
    """With a note of how many there were."""
    search = logistic({"C": FloatDistribution(-2, -1)}, n_trials=2)
    with pytest.raises(ValueError, match="'C' parameter") as caught:
        search.fit(X, y)
    assert "None of 2 trials" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_trials": None}, ValueError, "`n_trials` and `timeout` are both None"),
        ({"n_trials": 0}, ValueError, "`n_trials` must be a positive integer"),
        ({"timeout": -1.0}, ValueError, "`timeout` must be a positive number"),
        ({"sampler": "tpe"}, TypeError, "`sampler` must be one of optuna.samplers"),
        ({"pruner": "median"}, TypeError, "`pruner` must be one of optuna.pruners"),
        ({"error_score": "ignore"}, ValueError, "`error_score` must be"),
        ({"space": {}}, ValueError, "`space` is empty"),
        ({"space": {"c": FloatDistribution(0, 1)}}, ValueError, "Did you mean.*C"),
        ({"space": {"C": [0, 1]}}, TypeError, "must be one of optuna.distributions"),
        ({"refit": "f1"}, ValueError, "`refit` must name one of the scorers 'score'"),
        ({"refit": 3}, TypeError, "`refit` must be a bool"),
        (
            {"scoring": ["accuracy", "f1"], "refit": "acuracy"},
            ValueError,
            "Did you mean.*'?accuracy",
        ),
        ({"scoring": ["accuracy", "f1"]}, ValueError, "which of several scorers decides"),
        ({"cv": 49}, ValueError, "n_splits=49"),
    ],
)
def test_bad_input_is_refused_before_the_first_trial(options, error, message):
    """The message names the parameter, the value and what is allowed."""
    search = logistic(options.pop("space", SPACE), **options)
    with pytest.raises(error, match=message):
        search.fit(X, y)
    assert not hasattr(search, "study_")


def test_a_storage_that_cannot_be_reached(tmp_path):
    """Its own error comes through, before any fit."""
    search = logistic(storage=f"sqlite:///{tmp_path}/missing/s.db", n_trials=1)
    with pytest.raises(Exception, match="unable to open database file"):
        search.fit(X, y)


def test_verbose_says_each_trial(capsys):
    """A line each, and silence without."""
    logistic(n_trials=2, verbose=1).fit(X, y)
    assert len(capsys.readouterr().out.splitlines()) == 2
    logistic(n_trials=2).fit(X, y)
    assert capsys.readouterr().out == ""


def test_timeout_begins_no_further_trial():
    """The trial that runs is finished."""
    search = logistic(n_trials=None, timeout=0.2).fit(X, y)
    assert len(search.cv_results_["params"]) >= 1


def test_a_timeout_that_is_over_before_the_first_trial():
    """The message names it, though there may be no trial to speak of."""
    with pytest.raises(ValueError, match="`timeout=1e-09`"):
        logistic(timeout=1e-9).fit(X, y)
    with pytest.raises(ValueError, match="No trial has begun: `timeout=1e-09` had passed"):
        _outcome.check([], None, 1e-9)


def test_best_may_be_refitted_for_as_long_as_the_folds_were_best():
    """`skcb.refit` takes it like any search of scikit-learn's."""
    search = keras_search(n_trials=1, refit=False).fit(X, y)
    best = skcb.refit(search, X, y)
    epochs = search.study_.best_trial.user_attrs["fold_best_epochs"]
    assert best.refit_.fold_best_epochs == epochs
    assert best.get_params()[RATE] == search.best_params_[RATE]
