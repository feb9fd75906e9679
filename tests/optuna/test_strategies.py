"""Folds in lock-step: what each has trained when the pruner is asked, and what it is told."""

import itertools

import keras
import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import VotingClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skcb
from skcb import KerasRegressor, Tunable
from skcb.callbacks import EarlyStopping, EpochScoring, ReduceLROnPlateau, SwapEMAWeights
from skcb.optuna import CrossValObjective
from skcb.schedules import CosineDecay
from tests.models import X, Y, numbered, perceptron, seeing, untrainable
from tests.optuna.trials import (
    RATE,
    SPACE,
    Counts,
    Recording,
    classifier,
    curves,
    stops_by,
    study_of,
    y,
)

COUNTS = {"count": Tunable(Counts)}
STATE = optuna.trial.TrialState


def in_pipeline(estimator):
    """Put an estimator behind two steps, the second in a pipeline of its own."""
    return make_pipeline(StandardScaler(), make_pipeline(SelectKBest(k=3), estimator))


SHAPES = {
    "alone": (lambda e: e, ""),
    "pipeline": (lambda e: make_pipeline(StandardScaler(), e), "kerasclassifier__"),
    "pipelines in each other": (in_pipeline, "pipeline__kerasclassifier__"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape, engine", [*((shape, "auto") for shape in SHAPES), ("pipeline", "keras")]
)
def test_every_fold_has_trained_as_long_as_the_step_says(shape, engine):
    """At each report, counted in a callback of each fold."""
    around, prefix = SHAPES[shape]
    estimator = around(classifier(callbacks=COUNTS, epochs=4, engine=engine))
    pruner = Recording(3)
    space = {prefix + RATE: SPACE[RATE]}
    study_of(CrossValObjective(estimator, space, X, y, cv=3), 2, pruner=pruner)
    assert pruner.steps == [1, 2, 3, 4] * 2
    assert pruner.epochs == [[step] * 3 for step in pruner.steps]


@pytest.mark.parametrize("shape", SHAPES)
def test_trial_pruned_at_3_has_trained_exactly_3_epochs_in_every_fold(shape):
    """Training has begun and ended once in each, and the trial says what it did."""
    around, prefix = SHAPES[shape]
    estimator = around(classifier(callbacks=COUNTS, epochs=6))
    space = {prefix + RATE: SPACE[RATE]}
    study = study_of(CrossValObjective(estimator, space, X, y, cv=3), pruner=Recording(3, at=3))
    trial = study.trials[0]
    assert trial.state == STATE.PRUNED
    assert sorted(trial.intermediate_values) == [1, 2, 3]
    assert trial.user_attrs["fold_epochs"] == [3, 3, 3]
    assert "fold_scores" not in trial.user_attrs
    assert [(c.epochs, c.begun, c.ended) for c in Counts.made] == [(3, 1, 1)] * 3


def test_folds_that_stop_early_end_at_epochs_of_their_own():
    """The others go on; what has stopped stays where it is, and ends once."""
    callbacks = {
        "play": curves([5, 4, 3, 2, 1, 0], [1, 2, 0, 0, 0, 0], [1, 2, 3, 4, 5, 6]),
        "stop": stops_by(patience=1, restore_best_weights=True),
        **COUNTS,
    }
    pruner = Recording(3)
    objective = CrossValObjective(classifier(callbacks=callbacks, epochs=6), SPACE, X, y, cv=3)
    trial = study_of(objective, pruner=pruner).trials[0]
    assert pruner.steps == [1, 2, 3, 4, 5, 6]
    assert pruner.epochs == [[min(s, 2), min(s, 3), s] for s in pruner.steps]
    assert trial.user_attrs["fold_epochs"] == [2, 3, 6]
    assert trial.user_attrs["fold_best_epochs"] == [0, 1, 5]
    assert [count.ended for count in Counts.made] == [1, 1, 1]


def test_plateau_lowers_the_rate_in_each_fold_by_its_own_evidence():
    """No state of a fold reaches another."""
    plateau = ReduceLROnPlateau(monitor="played", mode="max", patience=1, factor=0.5)
    callbacks = {
        "play": curves([3, 2, 1, 0], [1, 2, 1, 0], [1, 2, 3, 4]),
        "plateau": plateau,
        **COUNTS,
    }
    estimator = classifier(callbacks=callbacks, epochs=4, optimizer="sgd")
    pruner = Recording(3)
    objective = CrossValObjective(estimator, SPACE, X, y, cv=3)
    rate = study_of(objective, pruner=pruner).trials[0].params[RATE]
    assert pruner.epochs == [[step] * 3 for step in [1, 2, 3, 4]]
    lowered = [np.array(count.rates) / rate for count in Counts.made]
    expected = [[1, 0.5, 0.25, 0.125], [1, 1, 0.5, 0.25], [1, 1, 1, 1]]
    np.testing.assert_allclose(lowered, expected, rtol=1e-6)


def test_report_every_lets_folds_go_some_epochs_between_reports():
    """Also where the last report comes before a whole stretch is over."""
    pruner = Recording(2)
    estimator = classifier(callbacks=COUNTS, epochs=7)
    objective = CrossValObjective(estimator, SPACE, X, y, cv=2, report_every=3)
    study_of(objective, pruner=pruner)
    assert pruner.steps == [3, 6, 7]
    assert pruner.epochs == [[3, 3], [6, 6], [7, 7]]


class StopsAfter(keras.callbacks.Callback):
    """Ends training after so many epochs, in each fold after another number."""

    def __init__(self, n_epochs):
        super().__init__()
        self.n_epochs = n_epochs

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = epoch + 1 == self.n_epochs


@pytest.mark.slow
@given(
    ends=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    every=st.integers(1, 7),
    at=st.none() | st.integers(1, 6),
)
@settings(max_examples=25, deadline=None)
def test_wherever_folds_end_all_others_have_trained_as_long_as_the_step_says(ends, every, at):
    """By any stretch between reports; pruned or not, each is ended once."""
    Counts.made.clear()
    turns = itertools.cycle(ends)
    stop = Tunable(lambda: StopsAfter(next(turns)))
    estimator = classifier(callbacks={"stop": stop, **COUNTS}, epochs=6, batch_size=-1)
    n = len(ends)
    objective = CrossValObjective(estimator, SPACE, X, y, cv=n, report_every=every)
    pruner = Recording(n, at=at)
    trial = study_of(objective, pruner=pruner).trials[0]
    expected = []
    for by_then in range(every, 6 + every, every):
        expected.append([min(end, by_then) for end in ends])
        if max(expected[-1]) in (at, max(ends)):
            break
    assert pruner.epochs == expected
    assert pruner.steps == [max(epochs) for epochs in expected]
    assert trial.user_attrs["fold_epochs"] == expected[-1]
    assert trial.state == (STATE.PRUNED if pruner.steps[-1] == at else STATE.COMPLETE)
    assert [(count.begun, count.ended) for count in Counts.made] == [(1, 1)] * n


# -- what is reported ------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scoring", ["roc_auc", "neg_log_loss"])
def test_reported_is_the_mean_over_the_folds_of_the_score_on_watched_rows(shape, scoring):
    """As EpochScoring finds it in folds that scikit-learn trains one after the other."""
    around, _ = SHAPES[shape]
    callbacks = {"score": EpochScoring(scoring, name="it")}
    estimator = around(classifier(callbacks=callbacks, epochs=4))
    cv = StratifiedKFold(3, shuffle=True, random_state=1)
    objective = CrossValObjective(estimator, lambda trial: {}, X, y, cv=cv, scoring=scoring)
    trial = study_of(objective).trials[0]
    fitted = cross_validate(estimator, X, y, cv=cv, return_estimator=True)["estimator"]
    alone = [skcb._inside.trained(e)[0].history_["val_it"] for e in fitted]
    assert list(trial.intermediate_values.values()) == np.mean(alone, axis=0).tolist()


def test_fold_that_has_stopped_counts_with_its_best_score():
    """The others with the score of the step."""
    noise = np.roll(y, 7)  # what is learned of it is worth less with every epoch
    falling, rising = [5, 4, 3, 2, 1], [1, 2, 3, 4, 5]
    callbacks = {
        "score": EpochScoring("neg_log_loss", name="it"),
        "play": curves(falling, rising),
        "stop": stops_by(patience=2),
    }
    estimator = classifier(callbacks=callbacks, epochs=5, optimizer__learning_rate=0.3)
    cv = KFold(2, shuffle=True, random_state=3)
    objective = CrossValObjective(estimator, lambda _: {}, X, noise, cv=cv, scoring="neg_log_loss")
    told = list(study_of(objective).trials[0].intermediate_values.values())
    fitted = cross_validate(estimator, X, noise, cv=cv, return_estimator=True)["estimator"]
    stopped, whole = (each.history_["val_it"] for each in fitted)
    assert (len(stopped), len(whole)) == (3, 5)
    assert max(stopped) > stopped[-1]
    of_stopped = [*stopped[:2], max(stopped), max(stopped), max(stopped)]
    assert told == [(a + b) / 2 for a, b in zip(of_stopped, whole, strict=True)]


def test_validation_score_can_be_reported():
    """It reads the history of the running fit."""
    objective = CrossValObjective(
        classifier(), SPACE, X, y, cv=2, scoring=skcb.validation_score, error_score="raise"
    )
    trial = study_of(objective).trials[0]
    assert trial.value == trial.intermediate_values[3]


def test_weights_reach_a_scorer_that_asks_for_them():
    """By metadata routing: those of the watched rows, and those of the test rows."""
    weighed = []

    def accuracy(y_true, y_pred, sample_weight=None):
        weighed.append((len(y_true), sample_weight))
        return float(np.average(y_true == y_pred, weights=sample_weight))

    weights = np.random.default_rng(0).uniform(size=48)
    with config_context(enable_metadata_routing=True):
        scorer = make_scorer(accuracy).set_score_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        last = classifier(epochs=1).set_fit_request(sample_weight=True)
        space = {f"kerasclassifier__{RATE}": SPACE[RATE]}
        objective = CrossValObjective(
            make_pipeline(scaler, last),
            space,
            X,
            y,
            cv=2,
            scoring=scorer,
            fit_params={"sample_weight": weights},
        )
    study_of(objective)  # out of that block: the objective remembers the setting
    assert [n for n, _ in weighed] == [6, 6, 24, 24]
    of_tests = [weight for n, weight in weighed if n == 24]
    for weight, (_, test) in zip(of_tests, objective.splits, strict=True):
        np.testing.assert_array_equal(weight, weights[test])
    for (_, weight), (train, _) in zip(weighed[:2], objective.splits, strict=True):
        assert set(weight) < set(weights[train])


WEIGHTS = np.linspace(0.1, 1.0, 48)


def utility(y_true, y_pred, amount=1.0, sample_weight=None):
    """Score by what only the user knows of the rows."""
    return float(np.average(amount * (y_true == y_pred), weights=sample_weight))


def asking(**requests):
    """Return a scorer that asks for metadata."""
    return make_scorer(utility).set_score_request(**requests)


ASKED = {
    "another name": (
        lambda: asking(amount=True),
        lambda: classifier(untrainable),
        {"amount": WEIGHTS},
        "`amount`",
    ),
    "another name, and watched rows of the user's own": (
        lambda: asking(amount=True),
        lambda: classifier(untrainable).set_fit_request(X_val=True, y_val=True),
        {"amount": WEIGHTS, "X_val": X[:9], "y_val": y[:9]},
        "`amount`",
    ),
    "weights for the scorer alone": (
        lambda: asking(sample_weight=True),
        lambda: classifier(untrainable).set_fit_request(sample_weight=False),
        {"sample_weight": WEIGHTS},
        "`sample_weight`",
    ),
    "other weights than those of the fit": (
        lambda: asking(sample_weight="of_score"),
        lambda: classifier(untrainable).set_fit_request(sample_weight="of_fit"),
        {"of_score": WEIGHTS, "of_fit": WEIGHTS[::-1]},
        "`sample_weight`",
    ),
    "weights for a step before": (
        lambda: asking(sample_weight=True),
        lambda: make_pipeline(
            StandardScaler().set_fit_request(sample_weight=True),
            classifier(untrainable).set_fit_request(sample_weight=False),
        ),
        {"sample_weight": WEIGHTS},
        "`sample_weight`",
    ),
    "the weights of the fit": (
        lambda: asking(sample_weight="w"),
        lambda: make_pipeline(
            StandardScaler().set_fit_request(sample_weight=False),
            classifier(untrainable).set_fit_request(sample_weight="w"),
        ),
        {"w": WEIGHTS},
        None,
    ),
    "weights, and watched rows of the user's own": (
        lambda: asking(sample_weight=True),
        lambda: classifier(untrainable).set_fit_request(
            sample_weight=False, X_val=True, y_val=True
        ),
        {"sample_weight": WEIGHTS, "X_val": X[:9], "y_val": y[:9]},
        None,
    ),
}


@pytest.mark.parametrize("case", ASKED)
@config_context(enable_metadata_routing=True)
def test_metadata_that_watched_rows_do_not_have_are_refused(case):
    """The pruner would be told another score than the trial's; who is told of test rows is not."""
    scorer, estimator, fit_params, refused = ASKED[case]
    given = {
        "estimator": estimator(),
        "space": lambda trial: {},
        "X": X,
        "y": y,
        "cv": 2,
        "scoring": scorer(),
        "fit_params": fit_params,
    }
    if refused is None:
        CrossValObjective(**given)
        return
    instead = "set `prune=False` or `strategy='sequential'`"
    with pytest.raises(ValueError, match=rf"`scoring=.*asks for {refused}, .*{instead}"):
        CrossValObjective(**given)
    CrossValObjective(prune=False, **given)
    CrossValObjective(strategy="sequential", **given)


# -- nothing changes but the order of the work -----------------------------------------------


def dropping(meta, rate=0.3):
    """Build a model that draws random numbers in training."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((meta["n_features_in_"],)),
            layers.Dense(6, "relu"),
            layers.BatchNormalization(),
            layers.Dropout(rate),
            layers.Dense(meta["n_output_units_"], meta["output_activation_"]),
        ]
    )


class OfBatches(keras.callbacks.Callback):
    """Needs the batches."""

    def on_train_batch_end(self, batch, logs=None):
        pass


CASES = {
    "plain": {},
    "early stopping": {"callbacks": EarlyStopping(patience=1, restore_best_weights=True)},
    "plateau and schedule": {
        "callbacks": ReduceLROnPlateau(patience=1),
        "lr_schedule": CosineDecay(),
    },
    "averaged weights": {
        "callbacks": SwapEMAWeights(),
        "optimizer__use_ema": True,
    },
    "random layers": {"build_fn": dropping},
    "Keras' own functions": {"engine": "keras", "build_fn": dropping, "epochs": 2},
    "batch by batch": {"callbacks": Tunable(OfBatches)},
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_trial_that_is_not_pruned_scores_as_cross_val_score_does(case):
    """Difference 0.0, though it was asked about after every epoch."""
    estimator = classifier(**{"epochs": 4, "batch_size": 7, **CASES[case]})
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    objective = CrossValObjective(estimator, SPACE, X, y, cv=cv, scoring="neg_log_loss")
    trial = study_of(objective, pruner=optuna.pruners.ThresholdPruner(lower=-1e9)).trials[0]
    assert trial.intermediate_values
    same = clone(estimator).set_params(**trial.params)
    scores = cross_val_score(same, X, y, cv=cv, scoring="neg_log_loss")
    assert trial.user_attrs["fold_scores"] == scores.tolist()
    assert trial.value == np.mean(scores)


def in_training_mode(estimator, X, y):
    """Score as no prediction does: dropout draws, averages move."""
    return float(np.mean(estimator.model_(X, training=True)))


def test_scorer_that_runs_the_model_in_training_mode_changes_no_score():
    """It is asked after every epoch here, and under `cross_val_score` once."""
    estimator = classifier(dropping, epochs=2)
    objective = CrossValObjective(estimator, lambda trial: {}, X, y, cv=2, scoring=in_training_mode)
    trial = study_of(objective).trials[0]
    assert len(trial.intermediate_values) == 2
    scores = cross_val_score(estimator, X, y, cv=2, scoring=in_training_mode)
    assert trial.user_attrs["fold_scores"] == scores.tolist()


def test_fold_whose_trial_has_chosen_another_kind_of_step_is_simply_fitted():
    """Nothing is told of it, and trials of the Keras step are judged as ever."""
    pipe = make_pipeline(StandardScaler(), classifier(epochs=2))
    kinds = {"keras": pipe[-1], "linear": LogisticRegression()}

    def space(trial):
        return {"kerasclassifier": kinds[trial.suggest_categorical("kind", list(kinds))]}

    sampler = optuna.samplers.GridSampler({"kind": list(kinds)}, seed=0)
    median = optuna.pruners.MedianPruner(n_startup_trials=0)
    objective = CrossValObjective(pipe, space, X, y, cv=2)
    for trial in study_of(objective, 2, sampler=sampler, pruner=median).trials:
        is_keras = trial.params["kind"] == "keras"
        assert (objective.refit(trial).refit_.epochs > 0) == is_keras
        same = clone(pipe).set_params(kerasclassifier=clone(kinds[trial.params["kind"]]))
        assert trial.user_attrs["fold_scores"] == cross_val_score(same, X, y, cv=2).tolist()
        assert trial.user_attrs["fold_epochs"] == ([2, 2] if is_keras else [-1, -1])
        assert sorted(trial.intermediate_values) == ([1, 2] if is_keras else [])


def test_failure_of_another_part_is_the_trials_own():
    """Though the Keras step has been fitted by then."""
    linear = LogisticRegression()
    estimator = VotingClassifier([("keras", classifier(epochs=1)), ("linear", linear)])
    space = {"linear__C": optuna.distributions.CategoricalDistribution([-1.0, 1.0])}
    sampler = optuna.samplers.GridSampler({"linear__C": [-1.0, 1.0]}, seed=0)
    trials = study_of(CrossValObjective(estimator, space, X, y, cv=2), 2, sampler=sampler).trials
    found = {trial.params["linear__C"]: trial for trial in trials}
    assert [found[c].state for c in (-1.0, 1.0)] == [STATE.FAIL, STATE.COMPLETE]
    assert "'C' parameter" in found[-1.0].user_attrs["error"]


@pytest.mark.parametrize("strategy", ["lockstep", "sequential"])
def test_without_pruning_nothing_is_reported_and_scores_are_the_same(strategy):
    """Also without watched rows."""
    estimator = classifier(validation_split=None)
    objective = CrossValObjective(estimator, SPACE, X, y, cv=3, prune=False, strategy=strategy)
    for trial in study_of(objective, 2).trials:
        assert trial.intermediate_values == {}
        scores = cross_val_score(clone(estimator).set_params(**trial.params), X, y, cv=3)
        assert trial.user_attrs["fold_scores"] == scores.tolist()


def test_transformed_target_is_trained_in_lock_step_too():
    """The Keras step stands below something that is no pipeline."""
    keras_step = KerasRegressor(perceptron, epochs=3, validation_split=0.25, random_state=0)
    estimator = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), keras_step.set_params(callbacks=COUNTS)),
        transformer=StandardScaler(),
    )
    name = "regressor__kerasregressor__batch_size"
    space = {name: optuna.distributions.IntDistribution(4, 16)}
    pruner = Recording(2)
    target = Y["regression"]
    study = study_of(CrossValObjective(estimator, space, X, target, cv=2), pruner=pruner)
    assert pruner.epochs == [[1, 1], [2, 2], [3, 3]]
    estimator.set_params(**study.best_params)
    scores = cross_val_score(estimator, X, target, cv=2)
    assert study.best_trial.user_attrs["fold_scores"] == scores.tolist()


def test_steps_before_the_keras_step_are_fitted_once_in_each_fold():
    """On the training rows of the fold."""
    fitted = []

    class Scaler(StandardScaler):
        def fit(self, X, y=None, sample_weight=None):
            fitted.append(len(X))
            return super().fit(X, y, sample_weight)

    estimator = make_pipeline(Scaler(), classifier())
    space = {f"kerasclassifier__{RATE}": SPACE[RATE]}
    study_of(CrossValObjective(estimator, space, X, y, cv=3))
    assert fitted == [32, 32, 32]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["lockstep", "sequential"])
@pytest.mark.parametrize("engine", ["auto", "keras"])
def test_no_row_of_a_test_fold_trains_or_is_watched(strategy, engine):
    """Told from the rows that reached the model in Keras, until the test fold was scored."""
    reached = []

    class Reached(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            seen = self.model.get_layer("seen")
            reached.append([np.flatnonzero(np.asarray(c)) for c in (seen.trained, seen.watched)])

    estimator = classifier(seeing, callbacks={"seen": Tunable(Reached)}, engine=engine)
    cv = StratifiedKFold(3, shuffle=True, random_state=None)
    objective = CrossValObjective(estimator, SPACE, numbered(X), y, cv=cv, strategy=strategy)
    study_of(objective, 2)
    for (trained, watched), (train, test) in zip(reached, objective.splits * 2, strict=True):
        assert sorted([*trained, *watched]) == sorted(train)
        assert not set(test) & {*trained, *watched}
        assert len(watched) == 8
    assert len(reached) == 6
