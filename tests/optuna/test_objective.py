"""A study over cross-validated trials."""

import pickle
import re
import threading

import keras
import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcb import KerasClassifier
from skcb.callbacks import CSVLogger, EarlyStopping
from skcb.optuna import CrossValObjective, _studies
from tests.models import X, Y, perceptron, untrainable
from tests.optuna.trials import RATE, study_of

y = Y["binary"]
SPACE = {
    "optimizer__learning_rate": FloatDistribution(1e-3, 1e-1, log=True),
    "callbacks__stop__patience": IntDistribution(1, 3),
    "batch_size": CategoricalDistribution([8, 16]),
}


def classifier(build_fn=perceptron, **options):
    """Return a classifier that trains in a moment."""
    options = {"callbacks": {"stop": EarlyStopping()}, "validation_split": 0.25, **options}
    return KerasClassifier(build_fn, optimizer="adam", epochs=3, random_state=0, **options)


def test_trial_is_the_mean_over_the_folds():
    """Value and fold scores are those of `cross_val_score` with the trial's parameters."""
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    objective = CrossValObjective(classifier(), SPACE, X, y, cv=cv, scoring="roc_auc")
    for trial in study_of(objective, 2).trials:
        estimator = classifier().set_params(**trial.params)
        scores = cross_val_score(estimator, X, y, cv=cv, scoring="roc_auc")
        assert trial.user_attrs["fold_scores"] == scores.tolist()
        assert trial.value == np.mean(scores)


def test_trial_carries_epochs_and_seconds_of_each_fold():
    """User attributes have an entry for every fold."""
    trial = study_of(CrossValObjective(classifier(), SPACE, X, y, cv=3)).best_trial
    assert all(1 <= epochs <= 3 for epochs in trial.user_attrs["fold_epochs"])
    for name in ("fold_scores", "fold_epochs", "fold_best_epochs", "seconds"):
        assert len(trial.user_attrs[name]) == 3


def test_every_trial_sees_the_same_folds():
    """Splits are made once, also by a splitter that would shuffle anew."""
    objective = CrossValObjective(
        classifier(), SPACE, X, y, cv=StratifiedKFold(3, shuffle=True, random_state=None)
    )
    params = {"optimizer__learning_rate": 0.01}
    first, second = objective.evaluate(params), objective.evaluate(params)
    assert first["fold_scores"] == second["fold_scores"]


def test_pipeline_and_ask_and_tell():
    """The Keras step may stand at the end of a pipeline; a trial may be asked for by hand."""
    pipe = make_pipeline(StandardScaler(), classifier())
    space = {f"kerasclassifier__{name}": dist for name, dist in SPACE.items()}
    objective = CrossValObjective(pipe, space, X, y, cv=2)
    study = optuna.create_study(direction="maximize")
    trial = study.ask()
    study.tell(trial, objective(trial))
    assert study.best_trial.user_attrs["fold_epochs"][0] >= 1


def test_space_may_be_a_function():
    """One choice can depend on another."""

    def space(trial):
        optimizer = trial.suggest_categorical("optimizer", ["adam", "sgd"])
        params = {"optimizer": optimizer}
        if optimizer == "sgd":
            params["optimizer__momentum"] = trial.suggest_float("momentum", 0.1, 0.9)
        return params

    study = study_of(CrossValObjective(classifier(), space, X, y, cv=2), 4)
    assert {"optimizer", "momentum"} == {name for t in study.trials for name in t.params}


def test_refit_trains_the_best_on_all_rows():
    """The estimator is a fitted clone with the best parameters; the one given stays as it is."""
    estimator = classifier()
    objective = CrossValObjective(estimator, SPACE, X, y, cv=2)
    study = study_of(objective, 2)
    for source in (study, study.best_trial, study.best_params):
        best = objective.refit(source)
        assert best.get_params()["batch_size"] == study.best_params["batch_size"]
        assert best.predict(X).shape == y.shape
    assert not hasattr(estimator, "model_")


def test_every_fold_of_every_trial_writes_where_it_stands(tmp_path):
    """Directories are named after study, trial and fold."""
    log = CSVLogger(f"{tmp_path}/{{run}}/log.csv")
    estimator = classifier(callbacks={"stop": EarlyStopping(), "log": log})
    study_of(CrossValObjective(estimator, SPACE, X, y, cv=2), 2)
    places = {p.parent.relative_to(tmp_path).parts[1:] for p in tmp_path.rglob("log.csv")}
    assert places == {(f"trial-{t}", f"fold-{f}") for t in range(2) for f in range(2)}


def test_groups_and_weights_are_cut_like_the_rows():
    """What has a row for each sample goes to the folds in parts."""
    groups = np.arange(48) // 4
    objective = CrossValObjective(
        classifier(validation_split=GroupKFold(3)),
        SPACE,
        X,
        y,
        cv=GroupKFold(2),
        fit_params={"groups": groups, "sample_weight": np.ones(48)},
    )
    assert len(objective.evaluate({})["fold_scores"]) == 2


def test_estimator_is_never_changed():
    """Trials work on clones."""
    estimator = classifier()
    before = clone(estimator).get_params()
    study_of(CrossValObjective(estimator, SPACE, X, y, cv=2), 1)
    assert estimator.get_params() == before


# -- threads ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_two_jobs_give_what_one_gives():
    """With pruning: each trial keeps to its own folds."""
    objective = CrossValObjective(classifier(), SPACE, X, y, cv=3)
    params = [{"optimizer__learning_rate": 10.0**-k, "batch_size": 16} for k in range(1, 4)]
    params = [{**p, "callbacks__stop__patience": 2} for p in params for _ in range(2)]
    found = []
    for n_jobs in (1, 2):
        study = optuna.create_study(direction="maximize")
        for each in params:
            study.enqueue_trial(each)
        study.optimize(objective, n_trials=len(params), n_jobs=n_jobs)
        found.append([(t.params, t.value, t.intermediate_values) for t in study.trials])
    assert found[0] == found[1]


def test_keras_settings_of_the_maker_hold_in_the_threads_of_a_study():
    """The dtype policy is a thread's own."""
    policies = set()

    def noting(meta):
        policies.add((keras.config.dtype_policy().name, threading.current_thread().name))
        return perceptron(meta)

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        estimator = KerasClassifier(noting, validation_split=0.25, random_state=0)
        objective = CrossValObjective(estimator, {"batch_size": IntDistribution(8, 9)}, X, y, cv=2)
        study_of(objective, 4, n_jobs=2)
    finally:
        keras.config.set_dtype_policy(before)
    assert {policy for policy, _ in policies} == {"mixed_bfloat16"}
    assert threading.current_thread().name not in {thread for _, thread in policies}


# -- what is refused -------------------------------------------------------------------------

PIPE = make_pipeline(StandardScaler(), classifier())
RARE = np.where(np.arange(48) < 3, "no", "yes")
BAD = {
    "a name that reaches nothing": (
        {"space": {"bach_size": IntDistribution(1, 2)}},
        ValueError,
        "'bach_size'.*Did you mean `batch_size`",
    ),
    "below a pipeline": (
        {"estimator": PIPE, "space": {"kerasclassifier__bach_size": IntDistribution(1, 2)}},
        ValueError,
        "'bach_size'.*Did you mean `batch_size`",
    ),
    "a step that is not there": (
        {"estimator": PIPE, "space": {"kerasclasifier__epochs": IntDistribution(1, 2)}},
        ValueError,
        "(?s)'kerasclasifier'.*Did you mean `kerasclassifier`",
    ),
    "a callback that is not there": (
        {"space": {"callbacks__stp__patience": IntDistribution(1, 2)}},
        ValueError,
        "stp.*Did you mean `callbacks__stop",
    ),
    "no distribution": (
        {"space": {"epochs": 3}},
        TypeError,
        r"`space\['epochs'\]` must be one of optuna.distributions but got 3",
    ),
    "an empty space": ({"space": {}}, ValueError, "`space` is empty"),
    "no space": ({"space": [1]}, TypeError, "`space` must be a dict .* or a function"),
    "lengths": ({"y": y[:5]}, ValueError, r"inconsistent numbers of samples: \[48, 5\]"),
    "too many folds for every class": ({"cv": 40}, ValueError, "n_splits=40"),
    "too many folds for one class": (
        {"cv": 4, "y": RARE},
        ValueError,
        "n_splits=4, and class 'no' has 3 rows only: give `cv=3`",
    ),
    "no Keras step": (
        {"estimator": make_pipeline(StandardScaler(), LogisticRegression())},
        TypeError,
        "`estimator` must be a KerasClassifier or KerasRegressor, or hold one",
    ),
    "a class": ({"estimator": KerasClassifier}, TypeError, "but got <class"),
    "no estimator": ({"estimator": None}, TypeError, "but got None"),
    "nothing watched": (
        {"estimator": classifier(validation_split=None, callbacks={"stop": EarlyStopping("loss")})},
        ValueError,
        "there are none: give the estimator `validation_split=0.2`",
    ),
    "two scorers": ({"scoring": ["roc_auc", "accuracy"]}, ValueError, "must be one scorer"),
    "report_every": ({"report_every": 0}, ValueError, "`report_every` .* at least 1 but got 0"),
    "a share of an epoch": ({"report_every": 0.5}, ValueError, "integer of at least 1"),
    "prune": ({"prune": "yes"}, (TypeError, ValueError), "`prune` must be"),
    "strategy": ({"strategy": "lock-step"}, ValueError, "Did you mean `lockstep`"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_when_the_objective_is_made(case):
    """Nothing is trained before it is known to make sense."""
    changed, error, message = BAD[case]
    given = {"estimator": classifier(), "space": SPACE, "X": X, "y": y, **changed}
    with pytest.raises(error, match=message):
        CrossValObjective(**given)


@pytest.mark.parametrize(
    "where",
    [
        {"space": {"validation_split": FloatDistribution(0.1, 0.3)}},
        {"fit_params": {"X_val": X[:9], "y_val": y[:9]}},
        {"fit_params": {"validation_data": (X[:9], y[:9])}},
    ],
    ids=["the space", "fit_params", "fit_params in Keras' spelling"],
)
def test_watched_rows_may_come_from(where):
    """A trial is told about them as of any others."""
    estimator = KerasClassifier(perceptron, epochs=2, random_state=0)
    given = {"space": {"batch_size": IntDistribution(8, 9)}, **where}
    trial = study_of(CrossValObjective(estimator, X=X, y=y, cv=2, **given)).trials[0]
    assert sorted(trial.intermediate_values) == [1, 2]


def test_trial_that_watches_nothing_fails():
    """A space may switch off what the estimator would watch."""

    def space(trial):
        return {"validation_split": trial.suggest_float("share", 0.0, 0.0)}

    estimator = classifier(untrainable, callbacks=None)
    objective = CrossValObjective(estimator, space, X, y, cv=2, error_score=-1.0)
    trial = study_of(objective).trials[0]
    assert trial.value == -1.0
    assert "there are none: give the estimator" in trial.user_attrs["error"]


def test_illegal_value_fails_its_trial_before_the_first_epoch():
    """The reason names the parameter and what is allowed."""
    space = {"batch_size": IntDistribution(-7, -5)}
    objective = CrossValObjective(classifier(untrainable), space, X, y, cv=2)
    with pytest.warns(UserWarning, match="nan is not acceptable"):
        study = optuna.create_study(direction="maximize")
        trial = study.ask()
        study.tell(trial, objective(trial))
    assert study.trials[0].state == optuna.trial.TrialState.FAIL
    assert "`batch_size`" in study.trials[0].user_attrs["error"]


def test_estimator_that_fits_several_models_is_sent_to_the_other_strategy():
    """The first trial says so, whatever `error_score`."""
    estimator = CalibratedClassifierCV(classifier(), cv=2)
    space = {"estimator__batch_size": IntDistribution(8, 9)}
    with pytest.raises(TypeError, match="Give `strategy='sequential'`"):
        study_of(CrossValObjective(estimator, space, X, y, cv=2))
    objective = CrossValObjective(estimator, space, X, y, cv=2, strategy="sequential")
    trial = study_of(objective).trials[0]
    scores = cross_val_score(clone(estimator).set_params(**trial.params), X, y, cv=2)
    assert trial.user_attrs["fold_scores"] == scores.tolist()


def test_space_that_returns_no_dict_ends_the_study():
    """It is the function that is wrong, not a trial."""
    with pytest.raises(TypeError, match="must return a dict of parameters but returned None"):
        study_of(CrossValObjective(classifier(), lambda trial: None, X, y, cv=2))


@pytest.mark.slow
def test_refit_sets_what_the_trial_set():
    """Its number too, and what a function has drawn; of a pickled objective what it says again."""
    drawn = []

    def space(trial):
        drawn.append(np.random.default_rng().random())
        rate = trial.suggest_float("rate", 1e-3, 1e-1)
        return {RATE: rate, "random_state": trial.number, "optimizer__beta_1": drawn[-1]}

    estimator = classifier(callbacks=None, validation_split=None).set_params(epochs=1)
    objective = CrossValObjective(estimator, space, X, y, cv=2, prune=False)
    trials = [*study_of(objective, 2).trials, study_of(objective).best_trial]
    for trial, beta_1 in zip(trials, list(drawn), strict=True):
        best = objective.refit(trial, epochs="given").get_params()
        assert (best["random_state"], best["optimizer__beta_1"]) == (trial.number, beta_1)
    assert len(drawn) == 3
    elsewhere = pickle.loads(pickle.dumps(objective._answers))
    assert elsewhere.again(space, trials[1])["random_state"] == 1 and len(drawn) == 4


def test_studies_of_other_names_have_other_directories():
    """Also where no path could hold the name; a plain name is the directory's."""
    names = ["my study", "my_study", "my-study", "my/study", "My-study", "a"]
    places = [_studies.place(name) for name in names]
    assert len(set(places)) == len(names)
    assert (places[2], places[-1]) == ("my-study", "a")
    assert all(re.fullmatch("[a-z0-9-]+", place) for place in places)
