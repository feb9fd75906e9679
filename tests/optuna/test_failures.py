"""Trials that fail, are pruned or interrupted: how they end, and how their folds do."""

import warnings
from typing import ClassVar

import keras
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution

from skcb import KerasClassifier, KerasRegressor, Tunable
from skcb.callbacks import BackupAndRestore
from skcb.optuna import CrossValObjective
from tests.models import X, Y, perceptron
from tests.optuna.trials import (
    RATE,
    SPACE,
    Counts,
    Recording,
    classifier,
    study_of,
    y,
)

STATE = optuna.trial.TrialState
COUNTS = {"count": Tunable(Counts)}


def sick(meta, kind="well"):
    """Build a model, or fail in one of the ways in which building and training fail."""
    if kind == "broken":
        raise ValueError("no such net")
    model = perceptron(meta, hidden=2**40 if kind == "too large" else 3)
    return model


class Poison(keras.callbacks.Callback):
    """Raises after the second epoch of the second fold that there is."""

    made = 0
    epochs: ClassVar[list] = []

    def __init__(self, error):
        super().__init__()
        type(self).made += 1
        self.error = error if type(self).made == 2 else None

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(epoch)
        if self.error is not None and epoch == 1:
            raise self.error


@pytest.fixture
def poison():
    """Return a recipe for a callback that raises in the second of three folds."""
    Poison.made = 0
    Poison.epochs.clear()
    return lambda error: {"count": Tunable(Counts), "poison": Tunable(Poison, error=error)}


def ends(objective, n_trials=2, **options):
    """Run a study in which trials fail, and return them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The value nan is not acceptable")
        return study_of(objective, n_trials, **options).trials


@pytest.mark.parametrize("error_score, state", [("fail", STATE.FAIL), ("prune", STATE.PRUNED)])
@pytest.mark.parametrize("strategy", ["lockstep", "sequential"])
def test_trial_that_cannot_be_built_says_why_and_the_study_goes_on(error_score, state, strategy):
    """An error of the user's own function."""
    space = {"kind": CategoricalDistribution(["broken", "well"])}
    objective = CrossValObjective(
        classifier(sick), space, X, y, cv=2, strategy=strategy, error_score=error_score
    )
    sampler = optuna.samplers.GridSampler({"kind": ["broken", "well"]}, seed=0)
    trials = {trial.params["kind"]: trial for trial in ends(objective, sampler=sampler)}
    assert trials["broken"].state == state
    assert trials["broken"].user_attrs["error"] == "ValueError: no such net"
    assert trials["well"].state == STATE.COMPLETE
    assert "error" not in trials["well"].user_attrs


@pytest.mark.slow
def test_model_for_which_there_is_no_memory_fails_its_trial():
    """TensorFlow waits ten seconds for memory before it says so."""
    space = {"kind": CategoricalDistribution(["too large", "well"])}
    objective = CrossValObjective(classifier(sick), space, X, y, cv=2)
    sampler = optuna.samplers.GridSampler({"kind": ["too large", "well"]}, seed=0)
    trials = {trial.params["kind"]: trial for trial in ends(objective, sampler=sampler)}
    assert trials["too large"].state == STATE.FAIL
    assert trials["too large"].user_attrs["error"].startswith("ResourceExhaustedError")
    assert trials["well"].state == STATE.COMPLETE


def test_loss_that_is_not_finite_fails_the_trial():
    """With the epoch and the learning rate in its reason."""
    estimator = KerasRegressor(
        perceptron, optimizer="sgd", callbacks=COUNTS, epochs=5, validation_split=0.25
    )
    space = {"optimizer__learning_rate": CategoricalDistribution([1e30])}
    (trial,) = ends(CrossValObjective(estimator, space, X, Y["regression"], cv=3), 1)
    assert trial.state == STATE.FAIL
    assert trial.user_attrs["error"].startswith("NonFiniteLoss")
    assert "learning rate 1e+30" in trial.user_attrs["error"]
    assert [count.ended for count in Counts.made] == [1, 1, 1]


def test_error_score_may_be_a_number_or_raise():
    """A number is the trial's value; "raise" lets the exception through."""
    estimator = KerasClassifier(sick, kind="broken", validation_split=0.25)
    space = {"epochs": IntDistribution(1, 2)}
    objective = CrossValObjective(estimator, space, X, y, cv=2, error_score=0.25)
    assert study_of(objective).best_value == 0.25
    objective = CrossValObjective(estimator, space, X, y, cv=2, error_score="raise")
    with pytest.raises(ValueError, match="no such net"):
        study_of(objective)


def test_fold_that_fails_ends_the_others_in_their_epoch(poison):
    """`on_train_end` runs once in each; no fold trains on."""
    estimator = classifier(callbacks=poison(RuntimeError("spilt")), epochs=5)
    (trial,) = ends(CrossValObjective(estimator, SPACE, X, y, cv=3), 1)
    assert trial.user_attrs["error"] == "RuntimeError: spilt"
    assert [count.epochs for count in Counts.made] == [2, 2, 1]
    assert [(count.begun, count.ended) for count in Counts.made] == [(1, 1)] * 3


def test_pruning_by_a_callback_of_the_users_own_ends_the_trial_pruned(poison):
    """TrialPruned comes through as it is, and the other folds are ended."""
    estimator = classifier(callbacks=poison(optuna.TrialPruned("enough")), epochs=5)
    study = study_of(CrossValObjective(estimator, SPACE, X, y, cv=3))
    assert study.trials[0].state == STATE.PRUNED
    assert "error" not in study.trials[0].user_attrs
    assert [(count.begun, count.ended) for count in Counts.made] == [(1, 1)] * 3


@pytest.mark.parametrize("strategy", ["lockstep", "sequential"])
def test_interrupt_ends_the_study_with_the_trials_that_are_finished(poison, strategy):
    """The interrupted trial fails, with its reason; the best of the others can be refitted."""
    estimator = classifier(callbacks=COUNTS, epochs=5)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(CrossValObjective(estimator, SPACE, X, y, cv=3, strategy=strategy), n_trials=1)
    Counts.made.clear()
    estimator = classifier(callbacks=poison(KeyboardInterrupt()), epochs=5)
    objective = CrossValObjective(estimator, SPACE, X, y, cv=3, strategy=strategy)
    with pytest.raises(KeyboardInterrupt):
        study.optimize(objective, n_trials=3)
    finished, interrupted = study.trials
    assert finished.state == STATE.COMPLETE
    assert interrupted.state == STATE.FAIL
    assert interrupted.user_attrs["error"] == "KeyboardInterrupt"
    n_begun = 3 if strategy == "lockstep" else 2
    assert [(count.begun, count.ended) for count in Counts.made] == [(1, 1)] * n_begun
    Counts.made.clear()
    assert CrossValObjective(classifier(), SPACE, X, y, cv=3).refit(study).predict(X).shape


def test_interrupted_folds_go_on_from_their_backups(tmp_path, poison):
    """The next run of the same parameters ends where an uninterrupted one does."""

    def evaluated(folder):
        backup = BackupAndRestore(str(tmp_path / folder / "{run}"))
        callbacks = {**poison(KeyboardInterrupt()), "backup": backup}
        estimator = classifier(callbacks=callbacks, epochs=5)
        return CrossValObjective(estimator, SPACE, X, y, cv=3).evaluate({RATE: 0.01})

    with pytest.raises(KeyboardInterrupt):
        evaluated("a")
    assert len(list(tmp_path.rglob("training.skcb"))) == 3
    Poison.epochs.clear()
    resumed = evaluated("a")
    assert sorted(Poison.epochs) == sorted([2, 3, 4] + [1, 2, 3, 4] * 2)
    whole = evaluated("b")
    for name in ("fold_scores", "fold_epochs", "fold_best_epochs"):
        assert resumed[name] == whole[name]


def test_on_train_end_that_fails_leaves_no_fold_behind():
    """Each fold is ended, and the trial says what happened."""

    class Ends(Counts):
        def on_train_end(self, logs=None):
            super().on_train_end(logs)
            raise RuntimeError("late")

    estimator = classifier(callbacks={"ends": Tunable(Ends)})
    study = study_of(
        CrossValObjective(estimator, SPACE, X, y, cv=3, error_score="prune"),
        pruner=Recording(3, at=2),
    )
    assert study.trials[0].user_attrs["error"] == "RuntimeError: late"
    assert [(count.epochs, count.ended) for count in Counts.made] == [(2, 1)] * 3


def test_failed_trial_of_ask_and_tell():
    """`tell` takes the value as `optimize` does."""
    objective = CrossValObjective(classifier(sick, kind="broken"), SPACE, X, y, cv=2)
    study = optuna.create_study(direction="maximize")
    trial = study.ask()
    with pytest.warns(UserWarning, match="nan is not acceptable"):
        study.tell(trial, objective(trial))
    assert study.trials[0].state == STATE.FAIL


@pytest.mark.parametrize("value", ["ignore", True, None, [0.0]])
def test_error_score_is_a_word_or_a_number(value):
    """Said when the objective is made."""
    with pytest.raises(ValueError, match="'fail', 'prune', 'raise' or a number"):
        CrossValObjective(classifier(), SPACE, X, y, error_score=value)
