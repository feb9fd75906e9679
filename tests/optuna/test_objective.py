"""A study over cross-validated trials."""

import warnings

import keras
import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcb import KerasClassifier, Tunable
from skcb.callbacks import CSVLogger, EarlyStopping
from skcb.optuna import CrossValObjective
from tests.models import X, Y, perceptron

y = Y["binary"]
SPACE = {
    "optimizer__learning_rate": FloatDistribution(1e-3, 1e-1, log=True),
    "callbacks__stop__patience": IntDistribution(1, 3),
    "batch_size": CategoricalDistribution([8, 16]),
}


@pytest.fixture(autouse=True)
def quiet():
    """Keep Optuna's lines off the screen."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def classifier(**options):
    """Return a classifier that trains in a moment."""
    options = {"callbacks": {"stop": EarlyStopping()}, "validation_split": 0.25, **options}
    return KerasClassifier(perceptron, optimizer="adam", epochs=3, random_state=0, **options)


def study_of(objective, n_trials=3, **options):
    """Run a study."""
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=n_trials, **options)
    return study


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
    trial = study_of(CrossValObjective(classifier(), SPACE, X, y, cv=3), 1).best_trial
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


@pytest.mark.parametrize(
    "error_score, state",
    [("fail", optuna.trial.TrialState.FAIL), ("prune", optuna.trial.TrialState.PRUNED)],
)
def test_trial_that_fails_says_why_and_the_study_goes_on(error_score, state):
    """The reason stands in the trial's user attributes."""

    def broken(meta, sick=False):
        if sick:
            raise ValueError("no such net")
        return perceptron(meta)

    estimator = KerasClassifier(broken, epochs=1, random_state=0)
    space = {"sick": CategoricalDistribution([True, False])}
    objective = CrossValObjective(estimator, space, X, y, cv=2, error_score=error_score)
    sampler = optuna.samplers.GridSampler({"sick": [True, False]}, seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's about NaN
        study.optimize(objective, n_trials=2)
    states = {trial.params["sick"]: trial for trial in study.trials}
    assert states[True].state == state
    assert "no such net" in states[True].user_attrs["error"]
    assert states[False].state == optuna.trial.TrialState.COMPLETE


def test_error_score_may_be_a_number_or_raise():
    """A number is the trial's value; "raise" lets the exception through."""

    def broken():
        raise ValueError("no such net")

    space = {"epochs": IntDistribution(1, 2)}
    objective = CrossValObjective(KerasClassifier(broken), space, X, y, cv=2, error_score=0.25)
    assert study_of(objective, 1).best_value == 0.25
    objective = CrossValObjective(KerasClassifier(broken), space, X, y, cv=2, error_score="raise")
    with pytest.raises(ValueError, match="no such net"):
        study_of(objective, 1)


def test_pruning_by_a_callback_of_the_users_own_ends_the_trial_pruned():
    """TrialPruned comes through as it is."""

    class Prunes(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise optuna.TrialPruned

    estimator = classifier(callbacks={"stop": EarlyStopping(), "prune": Tunable(Prunes)})
    study = study_of(CrossValObjective(estimator, SPACE, X, y, cv=2), 1)
    assert study.trials[0].state == optuna.trial.TrialState.PRUNED


BAD = {
    "no distribution": (
        {"space": {"epochs": 3}},
        TypeError,
        "must be one of optuna.distributions but got 3",
    ),
    "a name that reaches nothing": (
        {"space": {"bach_size": IntDistribution(1, 2)}},
        ValueError,
        "Did you mean `batch_size`",
    ),
    "an empty space": ({"space": {}}, ValueError, "is empty"),
    "lengths": ({"y": y[:5]}, ValueError, "inconsistent numbers of samples"),
    "error_score": ({"error_score": "ignore"}, ValueError, "'fail', 'prune', 'raise' or a number"),
    "too many folds": ({"cv": 40}, ValueError, "n_splits=40"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_when_the_objective_is_made(name):
    """Nothing is trained before it is known to make sense."""
    changed, error, message = BAD[name]
    given = {"estimator": classifier(), "space": SPACE, "X": X, "y": y, **changed}
    with pytest.raises(error, match=message):
        CrossValObjective(**given)


def test_estimator_is_never_changed():
    """Trials work on clones."""
    estimator = classifier()
    before = clone(estimator).get_params()
    study_of(CrossValObjective(estimator, SPACE, X, y, cv=2), 1)
    assert estimator.get_params() == before
