"""What pruners and samplers of Optuna's make of a study, and in which direction it is told."""

import importlib.util

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from sklearn.base import clone
from sklearn.metrics import log_loss, make_scorer
from sklearn.model_selection import cross_val_score

from skcb.exceptions import TrainingWarning
from skcb.optuna import CrossValObjective
from tests.models import X
from tests.optuna.trials import RATE, SPACE, Recording, classifier, study_of, y

STATE = optuna.trial.TrialState
N_EPOCHS = 9

# The rates in this order: trials that learn, then trials that do not.
RATES = [0.1, 0.05, 0.08, 1e-7, 1e-6, 1e-8]

P = optuna.pruners
PRUNERS = {
    "median": lambda: P.MedianPruner(n_startup_trials=2),
    "percentile": lambda: P.PercentilePruner(50.0, n_startup_trials=2),
    "halving": lambda: P.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
    "hyperband": lambda: P.HyperbandPruner(1, N_EPOCHS, reduction_factor=3),
    "patient": lambda: P.PatientPruner(P.MedianPruner(n_startup_trials=2), patience=1),
    "threshold": lambda: P.ThresholdPruner(lower=-0.4, n_warmup_steps=5),
}


@pytest.fixture
def objective():
    """Return an objective whose trials take some hundredths of a second."""
    estimator = classifier(epochs=N_EPOCHS, batch_size=8)
    space = {RATE: FloatDistribution(1e-8, 0.2, log=True)}
    return CrossValObjective(estimator, space, X, y, cv=3, scoring="neg_log_loss")


@pytest.mark.slow
@pytest.mark.parametrize("name", PRUNERS)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_pruner_ends_trials_that_learn_nothing(objective, name):
    """Before the last epoch, each fold after as many; the best trial is one that learns."""
    study = optuna.create_study(
        direction="maximize",
        pruner=PRUNERS[name](),
        study_name=f"by {name}",  # Hyperband deals trials to brackets by it
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    for rate in RATES:
        study.enqueue_trial({RATE: rate})
    study.optimize(objective, n_trials=len(RATES))
    pruned = [t for t in study.trials if t.state == STATE.PRUNED]
    idle = [t for t in pruned if t.params[RATE] < 1e-5]
    assert idle
    for trial in pruned:
        assert trial.user_attrs["fold_epochs"] == [trial.last_step] * 3
        assert trial.last_step < N_EPOCHS
    assert study.best_params[RATE] > 1e-2


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_wilcoxon_ends_trials_after_some_folds():
    """It compares fold by fold; folds that were not trained are saved."""
    space = {RATE: FloatDistribution(1e-8, 0.2, log=True)}
    estimator = classifier(epochs=6, batch_size=8, validation_split=None)
    objective = CrossValObjective(
        estimator, space, X, y, cv=6, scoring="neg_log_loss", strategy="sequential"
    )
    pruner = P.WilcoxonPruner(p_threshold=0.1)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    for rate in [0.1, 1e-7]:
        study.enqueue_trial({RATE: rate})
    study.optimize(objective, n_trials=2)
    best, pruned = study.trials
    assert list(best.intermediate_values.values()) == best.user_attrs["fold_scores"]
    assert pruned.state == STATE.PRUNED
    n_folds = len(pruned.user_attrs["fold_scores"])
    assert 2 <= n_folds < 6
    assert list(pruned.intermediate_values.values()) == pruned.user_attrs["fold_scores"]
    same = clone(estimator).set_params(**pruned.params)
    scores = cross_val_score(same, X, y, cv=6, scoring="neg_log_loss")
    assert pruned.user_attrs["fold_scores"] == scores[:n_folds].tolist()


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_wilcoxon_would_take_means_so_far_for_evidence():
    """Why it is told scores: of two equally good candidates it would prune one far too often."""
    rng = np.random.default_rng(0)
    pairs = rng.normal(size=(150, 2, 5))  # the scores of five folds, independent of each other

    def share_pruned(told):
        n_pruned = 0
        for first, second in told:
            study = optuna.create_study(direction="maximize", pruner=P.WilcoxonPruner())
            best = study.ask()
            for fold, value in enumerate(first):
                best.report(value, fold)
            study.tell(best, float(np.mean(first)))
            trial = study.ask()
            for fold, value in enumerate(second):
                trial.report(value, fold)
                if trial.should_prune():
                    n_pruned += 1
                    break
        return n_pruned / len(told)

    by_scores = share_pruned(pairs)
    by_means = share_pruned(np.cumsum(pairs, axis=2) / np.arange(1, 6))
    assert by_means > 2 * by_scores > 0


def test_sequential_folds_tell_other_pruners_the_mean_so_far():
    """At the index of the fold; the last is the trial's value."""
    objective = CrossValObjective(classifier(), SPACE, X, y, cv=4, strategy="sequential")
    pruner = Recording(1)
    trial = study_of(objective, pruner=pruner).trials[0]
    scores = trial.user_attrs["fold_scores"]
    so_far = [float(np.mean(scores[: k + 1])) for k in range(4)]
    assert trial.intermediate_values == dict(enumerate(so_far))
    assert trial.value == so_far[-1]


def test_undefined_score_is_not_told():
    """A pruner would end this trial for it, and each that follows; each says so once."""

    def undefined_at_first(estimator, X, y):
        return float("nan") if estimator.n_iter_ < 3 else estimator.score(X, y)

    objective = CrossValObjective(classifier(), SPACE, X, y, cv=2, scoring=undefined_at_first)
    with pytest.warns(TrainingWarning, match="the pruner is told nothing of it") as caught:
        trials = study_of(objective, 3, pruner=P.PercentilePruner(99.0, 1)).trials
    assert [(trial.state, list(trial.intermediate_values)) for trial in trials] == [
        (STATE.COMPLETE, [3])
    ] * 3
    assert len(caught) == 3


# -- samplers --------------------------------------------------------------------------------

GRID = {RATE: [0.1, 1e-7, 1e-6, 0.05, 1e-8, 0.08]}
SAMPLERS = {
    "TPE": (lambda: optuna.samplers.TPESampler(seed=0, n_startup_trials=4), None),
    "random": (lambda: optuna.samplers.RandomSampler(seed=0), None),
    "grid": (lambda: optuna.samplers.GridSampler(GRID, seed=0), None),
    "QMC": (lambda: optuna.samplers.QMCSampler(seed=0), None),
    "CMA-ES": (lambda: optuna.samplers.CmaEsSampler(seed=0, n_startup_trials=4), "cmaes"),
    "GP": (lambda: optuna.samplers.GPSampler(seed=0, n_startup_trials=4), "torch"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_sampler_finds_trials_and_the_pruner_ends_some(objective, name):
    """In a real small study, with a median pruner."""
    make, needs = SAMPLERS[name]
    if needs and importlib.util.find_spec(needs) is None:
        pytest.skip(f"Optuna's sampler needs {needs}")
    pruner = P.MedianPruner(n_startup_trials=2)
    study = optuna.create_study(direction="maximize", sampler=make(), pruner=pruner)
    if name != "grid":
        study.enqueue_trial({RATE: 0.1})
    study.optimize(objective, n_trials=6 if name == "grid" else 14)
    states = [trial.state for trial in study.trials]
    assert set(states) == {STATE.COMPLETE, STATE.PRUNED}
    assert len({trial.params[RATE] for trial in study.trials}) == len(states)
    assert study.best_params[RATE] > 1e-2


# -- direction -------------------------------------------------------------------------------


def test_study_that_minimizes_is_told_the_loss(objective):
    """Value and reports are positive; the scores of the folds are scikit-learn's."""
    trial = study_of(objective, direction="minimize").trials[0]
    assert trial.value == -np.mean(trial.user_attrs["fold_scores"]) > 0
    other = study_of(objective).trials[0]
    assert trial.params == other.params
    assert trial.intermediate_values == {k: -v for k, v in other.intermediate_values.items()}


def test_loss_of_the_users_own_is_known_as_one():
    """By `greater_is_better=False`."""
    loss = make_scorer(log_loss, greater_is_better=False, response_method="predict_proba")
    objective = CrossValObjective(classifier(), SPACE, X, y, cv=2, scoring=loss)
    assert study_of(objective, direction="minimize").best_value > 0


@pytest.mark.parametrize("scoring", [None, "roc_auc", lambda estimator, X, y: 0.5])
def test_direction_against_the_scorer_ends_the_study_before_an_epoch(scoring):
    """More is better of every score that is not said to be a loss."""
    objective = CrossValObjective(classifier(), SPACE, X, y, cv=2, scoring=scoring)
    with pytest.raises(ValueError, match=r"`direction='minimize'`.* more is better"):
        study_of(objective, direction="minimize")


def test_study_with_two_directions_is_refused():
    """One objective gives one value."""
    study = optuna.create_study(directions=["maximize", "maximize"])
    with pytest.raises(ValueError, match="2 directions"):
        study.optimize(CrossValObjective(classifier(), SPACE, X, y, cv=2), n_trials=1)


def test_fixed_trial_needs_no_study():
    """As in Optuna's own way to run an objective once."""
    objective = CrossValObjective(classifier(), SPACE, X, y, cv=2)
    value = objective(optuna.trial.FixedTrial({RATE: 0.01}))
    assert value == np.mean(objective.evaluate({RATE: 0.01})["fold_scores"])
