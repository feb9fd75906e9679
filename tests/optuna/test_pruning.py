"""OptunaPruning: a study prunes a loop over folds that a user has written."""

import copy
import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib import Parallel, delayed
from optuna.pruners import (
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
    WilcoxonPruner,
)
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FixedTrial, TrialState
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcb import KerasClassifier, Tunable
from skcb.callbacks import EarlyStopping, EpochScoring
from skcb.exceptions import TrainingWarning
from skcb.optuna import CrossValObjective, OptunaPruning
from skcb.optuna._fold_reports import FOLD, Record, by_epoch
from tests.models import Play, X, Y, perceptron, untrainable
from tests.optuna.trials import Counts, classifier, study_of

y = Y["binary"]
ONE_AFTER_THE_OTHER = pytest.mark.filterwarnings("ignore:the folds of a trial")
N_FOLDS, EPOCHS = 3, 4
RATES = [1e-2, 3e-2, 1e-4, 1e-1, 1e-3, 3e-4]

# Good, middling and bad from the beginning; one that is overtaken, one that catches up.
CURVES = [
    [[0.5, 0.4, 0.3, 0.2], [0.6, 0.5, 0.3, 0.3], [0.4, 0.4, 0.4, 0.2]],
    [[0.7, 0.6, 0.5, 0.5], [0.6, 0.6, 0.6, 0.5], [0.7, 0.6, 0.6, 0.4]],
    [[0.9, 0.9, 0.9, 0.9], [0.8, 0.9, 0.9, 0.9], [0.9, 0.8, 0.9, 0.9]],
    [[0.4, 0.4, 0.5, 0.6], [0.5, 0.5, 0.6, 0.7], [0.4, 0.5, 0.7, 0.7]],
    [[0.9, 0.5, 0.2, 0.1], [0.8, 0.5, 0.2, 0.1], [0.7, 0.4, 0.2, 0.1]],
    [[0.5, 0.9, 0.9, 0.9], [0.5, 0.8, 0.9, 0.9], [0.5, 0.9, 0.9, 0.9]],
]


class Loop:
    """An objective with a loop over folds of its own; each fold plays the trial's curve of it."""

    def __init__(self, curves, *, run=map, callbacks=None, **options):
        self.curves, self.run = curves, run
        self.callbacks, self.options = callbacks or {}, options

    def __call__(self, trial):
        curves = self.curves[trial.number]
        folds = [self.fold(trial, fold, curve) for fold, curve in enumerate(curves)]
        list(self.run(lambda clf: clf.fit(X, y), folds))
        return float(np.mean([curve[-1] for curve in curves]))

    def fold(self, trial, fold, curve):
        prune = OptunaPruning(trial, "played", fold=fold, n_folds=len(self.curves[trial.number]))
        return KerasClassifier(
            perceptron,
            epochs=len(curve),
            batch_size=-1,
            random_state=0,
            callbacks={
                "play": Tunable(Play, name="played", values=curve),
                **self.callbacks,
                "prune": prune,
            },
            **self.options,
        )


def study(pruner=None, *, curves=CURVES, objective=None, **options):
    """Run the trials of these curves."""
    study = optuna.create_study(pruner=pruner or NopPruner(), **options)
    study.optimize(objective or Loop(curves), n_trials=len(curves))
    return study


def told(study):
    """Return what the pruner was told in each trial, and what became of the trial."""
    return [(trial.intermediate_values, trial.state.name) for trial in study.trials]


def side_by_side(function, folds):
    """Call a function on every fold, each in a thread of its own."""
    with ThreadPoolExecutor(len(folds)) as pool:
        return list(pool.map(function, folds))


def in_turn(_, folds):
    """Train all folds an epoch at a time."""
    for _ in range(EPOCHS):
        for clf in folds:
            clf.partial_fit(X, y)
    return folds


def running(**options):
    """Return a trial that is running, in memory."""
    return optuna.create_study(**options).ask()


# -- what the pruner is told ---------------------------------------------------------------------


@pytest.mark.slow
@ONE_AFTER_THE_OTHER
def test_median_pruner_decides_as_computed_by_hand(breast_cancer):
    """On real folds: a trial ends where its best mean so far is above the median of the others'."""
    X, y = breast_cancer
    splits = list(StratifiedKFold(N_FOLDS).split(X, y))
    curves = {}

    def objective(trial):
        losses = []
        for fold, (train, test) in enumerate(splits):
            clf = classifier(
                optimizer__learning_rate=RATES[trial.number],
                epochs=EPOCHS,
                validation_split=None,
                callbacks={"prune": OptunaPruning(trial, fold=fold, n_folds=N_FOLDS)},
            )
            clf.fit(X[train], y[train], X_val=X[test], y_val=y[test])
            losses.append(clf.history_["val_loss"])
        curves[trial.number] = np.mean(losses, axis=0)
        return curves[trial.number][-1]

    def run(pruner):
        study = optuna.create_study(pruner=pruner)
        study.optimize(objective, n_trials=len(RATES))
        return study.trials

    run(NopPruner())
    means, finished, ends = dict(curves), [], []
    for number, mean in means.items():
        end = next(
            (
                epochs
                for epochs in range(1, EPOCHS + 1)
                if len(finished) >= 2
                and mean[:epochs].min() > np.median([other[epochs - 1] for other in finished])
            ),
            None,
        )
        ends.append(end)
        if end is None:
            finished.append(means[number])
    trials = run(MedianPruner(n_startup_trials=2))
    assert 0 < sum(end is not None for end in ends) < len(RATES) - 2
    assert [None if t.state == TrialState.COMPLETE else t.last_step for t in trials] == ends
    for number, (trial, end) in enumerate(zip(trials, ends, strict=True)):
        expected = dict(enumerate(means[number][:end].tolist(), start=1))
        assert trial.intermediate_values == pytest.approx(expected, rel=1e-12)


@ONE_AFTER_THE_OTHER
@pytest.mark.filterwarnings("ignore:PatientPruner is experimental")
@pytest.mark.parametrize(
    "pruner",
    [
        lambda: MedianPruner(n_startup_trials=1),
        lambda: PercentilePruner(25.0, n_startup_trials=1, n_warmup_steps=2),
        lambda: SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
        lambda: HyperbandPruner(min_resource=1, max_resource=EPOCHS, reduction_factor=2),
        lambda: PatientPruner(MedianPruner(n_startup_trials=1), patience=1),
        lambda: ThresholdPruner(upper=0.85, n_warmup_steps=2),
    ],
    ids=["median", "percentile", "halving", "hyperband", "patient", "threshold"],
)
def test_pruners_of_epochs_decide_as_on_the_mean_over_all_folds(pruner):
    """The study is what it would be, had one model with the folds' mean curve been reported."""

    def on_the_mean(trial):
        means = np.mean(CURVES[trial.number], axis=0)
        for step, value in enumerate(means, start=1):
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return means[-1]

    expected = told(study(pruner(), objective=on_the_mean, study_name="same"))
    assert {state for _, state in expected} == {"COMPLETE", "PRUNED"}
    assert told(study(pruner(), study_name="same")) == expected


@pytest.mark.parametrize("run", [map, side_by_side, in_turn])
@ONE_AFTER_THE_OTHER
def test_the_order_in_which_folds_are_trained_changes_no_decision(run):
    """One after the other, in threads, or an epoch each in turn."""
    pruner = MedianPruner(n_startup_trials=1)
    assert told(study(pruner, objective=Loop(CURVES, run=run))) == told(study(pruner))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_mean_is_told_of_what_all_folds_have_reached(data):
    """Whatever the order of events: each step once, in order, and the same mean."""
    n_folds = data.draw(st.integers(1, 4), label="n_folds")
    number = st.floats(-1e6, 1e6)
    folds = [
        (data.draw(st.lists(number, max_size=5)), data.draw(st.booleans())) for _ in range(n_folds)
    ]
    waiting = [fold for fold, (values, _) in enumerate(folds) for _ in range(len(values) + 2)]
    order = data.draw(st.permutations(waiting), label="order")
    records, seen = {}, {}
    for fold in order:
        values, ends = folds[fold]
        record = records.get(fold)
        if record is None:
            records[fold] = Record("", "", n_folds, [])
        elif len(record.values) < len(values):
            now = values[: len(record.values) + 1]
            records[fold] = record._replace(values=now)
        elif ends:
            records[fold] = record._replace(score=min(values, default=None), over=True)
        steps = dict(by_epoch(records, n_folds))
        assert list(steps) == sorted(steps)
        assert seen.items() <= steps.items()  # what was told once does not change
        seen = steps
    for step in range(1, 6):
        reached = [values[step - 1] if len(values) >= step else None for values, _ in folds]
        scores = [
            min(values, default=None) if value is None and ends else value
            for value, (values, ends) in zip(reached, folds, strict=True)
        ]
        known = all(value is not None for value in scores)
        if known and any(value is not None for value in reached):
            assert seen[step] == np.mean(scores)
        else:
            assert step not in seen


def test_mean_is_the_same_to_the_bit_whoever_is_first():
    """Folds that report at the same time may each tell it."""
    records = {fold: Record("", "", 3, [value]) for fold, value in enumerate([0.1, 0.2, 0.3])}
    other = dict(reversed(records.items()))
    assert list(by_epoch(records, 3)) == list(by_epoch(other, 3)) == [(1, np.mean([0.1, 0.2, 0.3]))]
    assert np.mean([0.3, 0.2, 0.1]) != np.mean([0.1, 0.2, 0.3])


@pytest.mark.parametrize("run", [map, side_by_side, in_turn])
@ONE_AFTER_THE_OTHER
def test_fold_that_was_stopped_counts_with_its_best_value(run):
    """From the epoch in which EarlyStopping has ended it, wherever that stands."""
    curves = [[[0.5, 0.2, 0.6, 0.1], [0.4, 0.3, 0.2, 0.1]]]
    stop = {"stop": EarlyStopping("played", mode="min")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingWarning)  # `partial_fit` of a stopped fold
        loop = Loop(curves, run=run, callbacks=stop)
        steps = study(curves=curves, objective=loop).trials[0].intermediate_values
    assert steps == pytest.approx({1: 0.45, 2: 0.25, 3: 0.4, 4: 0.15})


def test_partial_fit_sees_a_stop_by_a_callback_that_stands_behind():
    """A fold that is stopped is over, though `partial_fit` ends no training."""
    trial = running(pruner=NopPruner())
    folds = [Loop([[None] * 2]).fold(trial, fold, [0.5, 0.7, 0.1]) for fold in range(2)]
    folds[0].set_params(
        callbacks={**folds[0].callbacks, "stop": EarlyStopping("played", mode="min")}
    )
    folds[0].partial_fit(X, y).partial_fit(X, y)
    folds[1].fit(X, y)
    assert trial.study.trials[0].intermediate_values == pytest.approx({1: 0.5, 2: 0.7, 3: 0.3})


def test_single_fit_reports_its_own_epochs():
    """Without `fold` and `n_folds` the trial is one fit; steps are epochs trained."""
    trial = running(pruner=NopPruner())
    clf = classifier(callbacks=OptunaPruning(trial)).fit(X, y)
    steps = trial.study.trials[0].intermediate_values
    assert steps == dict(enumerate(clf.history_["val_loss"], start=1))


def test_epochs_that_are_not_watched_are_not_reported():
    """With `validation_freq` only the epochs that have the monitor are steps."""
    trial = running(pruner=NopPruner())
    classifier(callbacks=OptunaPruning(trial), epochs=4, fit__validation_freq=2).fit(X, y)
    assert sorted(trial.study.trials[0].intermediate_values) == [2, 4]


@ONE_AFTER_THE_OTHER
def test_undefined_mean_is_not_told():
    """A pruner would end the trial for it, and each that follows; each fold may say so once."""
    nan = float("nan")
    curves = [[[nan, nan, 0.3], [0.6, 0.5, 0.3]]] * 2
    with pytest.warns(TrainingWarning, match="the pruner is told nothing of it") as caught:
        made = study(MedianPruner(n_startup_trials=1), curves=curves)
    assert told(made) == [({3: 0.3}, "COMPLETE")] * 2
    assert len([w for w in caught if "told nothing" in str(w.message)]) == 2


def test_best_epoch_is_not_judged_by_what_is_reported():
    """But by the first EarlyStopping, as without the callback."""
    stop = {"stop": EarlyStopping("loss")}
    callbacks = {"prune": OptunaPruning(running(pruner=always(9)), "played"), **stop}
    play = Tunable(Play, name="played", values=[0.1, 0.2, 0.3])
    clf = classifier(callbacks={"play": play, **callbacks}).fit(X, y)
    assert clf.best_epoch_ == int(np.argmin(clf.history_["loss"])) > 0


def test_scores_of_scikit_learn_are_monitored():
    """EpochScoring's scores are there, more is better, and the study must maximize."""
    callbacks = {"score": EpochScoring("roc_auc")}
    trial = running(direction="maximize", pruner=NopPruner())
    callbacks["prune"] = OptunaPruning(trial, "val_roc_auc")
    clf = classifier(callbacks=callbacks).fit(X, y)
    assert list(trial.study.trials[0].intermediate_values.values()) == clf.history_["val_roc_auc"]


@pytest.mark.filterwarnings("ignore:WilcoxonPruner is experimental")
@pytest.mark.filterwarnings("ignore:Sample size too small")  # SciPy 1.14, of which Optuna asks it
def test_wilcoxon_pruner_is_told_each_fold_s_own_score():
    """At the index of the fold; with a threshold of 0.15 three worse folds are enough."""
    good = [[0.5, 0.2], [0.6, 0.3], [0.7, 0.1], [0.6, 0.2]]
    bad = [[0.1, 0.4], [0.1, 0.6], [0.1, 0.7], [0.1, 0.9]]  # well begun, but that does not count
    trials = told(study(WilcoxonPruner(p_threshold=0.15), curves=[good, bad, good]))
    whole = {0: 0.2, 1: 0.3, 2: 0.1, 3: 0.2}
    assert trials == [
        (whole, "COMPLETE"),
        ({0: 0.4, 1: 0.6, 2: 0.7}, "PRUNED"),
        (whole, "COMPLETE"),
    ]


# -- the end of a pruned trial -------------------------------------------------------------------


def always(n_epochs=0):
    """Return a pruner that prunes every trial that has come so far."""
    return ThresholdPruner(upper=-1.0, n_warmup_steps=n_epochs)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("engine", ["auto", "keras"])
def test_pruned_fit_ends_its_callbacks_and_raises(engine, order):
    """After the epoch that was judged; the other callbacks are ended once, wherever they stand."""
    trial = running(pruner=always(2))
    callbacks = dict([("counts", Counts), ("prune", OptunaPruning(trial))][::order])
    clf = classifier(callbacks=callbacks, epochs=5, engine=engine)
    with pytest.raises(optuna.TrialPruned, match="trial 0 was pruned after 2 epochs"):
        make_pipeline(StandardScaler(), clf).fit(X, y)
    (counts,) = Counts.made
    assert (counts.epochs, counts.ended) == (2, 1)
    assert trial.study.trials[0].state == TrialState.RUNNING  # that is the objective's to say


def test_partial_fit_raises_when_its_trial_is_pruned():
    """In the call that trained the last fold as long as the others."""
    trial = running(pruner=always(2))
    folds = [Loop([[None] * 2]).fold(trial, fold, [0.5, 0.7, 0.1]) for fold in range(2)]
    for clf in (*folds, folds[0]):
        clf.partial_fit(X, y)
    with pytest.raises(optuna.TrialPruned, match="after 2 epochs of every fold"):
        folds[1].partial_fit(X, y)


def test_other_folds_learn_that_their_trial_is_pruned():
    """One that trains ends after its epoch, one that begins before its first."""
    trial = running(pruner=always())
    folds = [Loop([[None] * 2]).fold(trial, fold, [0.5, 0.7, 0.1]) for fold in range(2)]
    folds[0].partial_fit(X, y)
    with pytest.raises(optuna.TrialPruned):
        folds[1].fit(X, y)
    with pytest.raises(optuna.TrialPruned):
        folds[0].partial_fit(X, y)
    trial = running(pruner=always())
    with pytest.raises(optuna.TrialPruned):
        classifier(callbacks=OptunaPruning(trial)).fit(X, y)
    with pytest.raises(optuna.TrialPruned):
        classifier(untrainable, callbacks=OptunaPruning(trial)).fit(X, y)


def test_folds_one_after_the_other_get_a_warning():
    """Once in a study, and only where the pruner had to wait."""
    with pytest.warns(TrainingWarning, match="a MedianPruner can judge no less") as caught:
        study(MedianPruner(), curves=CURVES[:2])
    assert len([w for w in caught if w.category is TrainingWarning]) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        study(NopPruner(), curves=CURVES[:1])
        study(MedianPruner(), curves=CURVES[:1], objective=Loop(CURVES, run=in_turn))


# -- a recipe ------------------------------------------------------------------------------------


def test_clones_and_copies_share_the_trial():
    """Their reports are the trial's, though its study is in memory."""
    trial = running(pruner=NopPruner())
    recipe = OptunaPruning(trial, fold=1, n_folds=2)
    clf = classifier(callbacks={"prune": recipe})
    for same in (clone(clf), copy.deepcopy(clf), clone(make_pipeline(clf))[0]):
        assert same.callbacks["prune"] == recipe
        assert same.callbacks["prune"].trial is trial
    clone(clf).set_params(callbacks__prune__fold=0).fit(X, y)
    copy.deepcopy(clf).fit(X, y)
    assert len(trial.study.trials[0].intermediate_values) == 3
    assert recipe != OptunaPruning(trial, fold=0, n_folds=2)
    assert recipe != OptunaPruning(trial.study.ask(), fold=1, n_folds=2)
    assert recipe.get_params()["trial"] is trial


def test_fixed_trial_reports_to_nobody():
    """An objective can be called with parameters of one's own."""
    clf = classifier(callbacks=OptunaPruning(FixedTrial({}))).fit(X, y)
    assert clf.n_iter_ == 3


@pytest.fixture(params=["journal", "sqlite"])
def storage(request, tmp_path):
    """Return a storage that processes share."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/studies.db"
    return JournalStorage(JournalFileBackend(str(tmp_path / "journal.log")))


def test_pickle_goes_on_reporting(storage):
    """Between two calls of `partial_fit`, too; the recipe is equal to what it was."""
    trial = running(storage=storage, pruner=NopPruner())
    clf = classifier(callbacks={"prune": OptunaPruning(trial)}).partial_fit(X, y)
    again = pickle.loads(pickle.dumps(clf))
    assert again.callbacks == clf.callbacks
    again.partial_fit(X, y)
    steps = trial.study.trials[0].intermediate_values
    assert steps == dict(enumerate(again.history_["val_loss"], start=1))
    later = pickle.loads(pickle.dumps(OptunaPruning(trial.study.ask())))
    classifier(callbacks=clone(later)).fit(X, y)
    assert len(trial.study.trials[1].intermediate_values) == 3


def test_fitted_estimator_is_loaded_without_its_storage(tmp_path):
    """A pickle opens no file and no database before something is reported."""
    url = f"sqlite:///{tmp_path}/gone/studies.db"
    (tmp_path / "gone").mkdir()
    trial = running(storage=url, pruner=NopPruner())
    clf = classifier(callbacks=OptunaPruning(trial)).fit(X, y)
    content = pickle.dumps(clf)
    (tmp_path / "gone").rename(tmp_path / "elsewhere")
    assert np.array_equal(pickle.loads(content).predict(X), clf.predict(X))
    assert not (tmp_path / "gone").exists()


# -- several processes ---------------------------------------------------------------------------


def fold_in_worker(trial, fold):
    """Train one fold in another process, and return its error: raised there it ends the workers."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        Loop(CURVES).fold(trial, fold, CURVES[trial.number][fold]).fit(X, y)
    except Exception as error:
        return error
    return None


def in_processes(trial):
    """Train the folds of a trial in two processes."""
    folds = (delayed(fold_in_worker)(trial, fold) for fold in range(N_FOLDS))
    for error in filter(None, Parallel(n_jobs=2)(folds)):
        raise error
    return float(np.mean([curve[-1] for curve in CURVES[trial.number]]))


@pytest.mark.slow
@ONE_AFTER_THE_OTHER
def test_folds_in_processes_are_judged_as_in_one(storage):
    """With a storage that they share; TrialPruned comes home from a worker."""
    pruner, curves = MedianPruner(n_startup_trials=2), CURVES[:3]
    expected = told(study(pruner, curves=curves))
    assert [state for _, state in expected] == ["COMPLETE", "COMPLETE", "PRUNED"]
    there = study(pruner, curves=curves, objective=in_processes, storage=storage)
    assert told(there) == expected


def optimized_in_worker():
    """Run a study in memory, all of it in this process, and return its states."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingWarning)
        return told(study(MedianPruner(n_startup_trials=2), curves=CURVES[:3]))


@pytest.mark.slow
def test_study_in_memory_is_refused_in_a_worker():
    """Whether the worker gets the trial or the recipe; a study of the worker's own is fine."""
    with pytest.raises(ValueError, match="its study is in memory, and this is another process"):
        in_processes(running())
    (there,) = Parallel(n_jobs=2)([delayed(optimized_in_worker)()])
    assert there == optimized_in_worker()


def test_study_in_memory_is_refused_out_of_a_pickle():
    """Which does not hold a copy of the study."""
    trial = running()
    clf = classifier(untrainable, callbacks={"prune": OptunaPruning(trial)})
    with pytest.raises(ValueError, match="`callbacks__prune__trial`: its study is in memory"):
        pickle.loads(pickle.dumps(clf)).fit(X, y)
    trained = classifier(callbacks={"prune": OptunaPruning(trial)}).partial_fit(X, y)
    with pytest.raises(ValueError, match="its study is in memory"):
        pickle.loads(pickle.dumps(trained)).partial_fit(X, y)
    assert InMemoryStorage.__name__.encode() not in pickle.dumps(clf)


FORK = """
import os, sys, optuna
from skcb.optuna import OptunaPruning
trial = optuna.create_study().ask()
child = os.fork()
if not child:
    try:
        OptunaPruning(trial).build(where="callbacks__prune")
    except ValueError as error:
        os._exit(7 if "its study is in memory" in str(error) else 8)
    os._exit(9)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_study_in_memory_is_refused_in_a_fork():
    """Which has the trial without any pickle."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "7"


def test_what_tells_a_study_in_memory_is_still_there():
    """Two names of Optuna's that are not documented: a trial's storage, and a running loop."""
    seen = []

    def objective(trial):
        seen.append((type(trial.storage), trial.study._thread_local.in_optimize_loop))
        return 0.0

    study_of(objective)
    assert seen == [(InMemoryStorage, True)]
    assert not optuna.create_study()._thread_local.in_optimize_loop


# -- what is refused before the first epoch ------------------------------------------------------


def refused(recipe, match, kind=ValueError, build_fn=untrainable, **options):
    """Fit a model that must not train."""
    with pytest.raises(kind, match=match):
        classifier(build_fn, callbacks={"prune": recipe}, **options).fit(X, y)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"fold": 0}, "`callbacks__prune__n_folds` is missing.*CrossValObjective"),
        ({"n_folds": 3}, "`callbacks__prune__fold` is missing.*CrossValObjective"),
        ({"fold": 3, "n_folds": 3}, "`callbacks__prune__fold=3` must be below"),
        ({"fold": -1, "n_folds": 3}, "`callbacks__prune__fold` must be an integer of at least 0"),
        ({"fold": 0, "n_folds": 0}, "`callbacks__prune__n_folds` must be an integer of at least 1"),
        ({"monitor": "loss", "mode": "max"}, "`callbacks__prune__mode='max'`: a lower 'loss'"),
        ({"mode": "least"}, "`callbacks__prune__mode` must be 'auto', 'min' or 'max'"),
    ],
)
def test_bad_arguments_are_refused(arguments, match):
    """With the parameter's full name, and what is allowed."""
    refused(OptunaPruning(running(), **arguments), match)


def test_monitor_is_judged_as_that_of_early_stopping():
    """One that nothing logs, with the nearest that is; and one that needs watched rows."""
    recipe = OptunaPruning(running(), "val_los")
    refused(recipe, "`callbacks__prune__monitor='val_los'`.*`val_loss`", build_fn=perceptron)
    assert not recipe.trial.study.trials[0].user_attrs  # no fit has begun
    refused(OptunaPruning(running()), "needs watched rows", validation_split=None)


@pytest.mark.parametrize(
    ("direction", "monitor", "match"),
    [
        ("maximize", "val_loss", "a lower value is better.*`direction='minimize'`"),
        ("minimize", "val_accuracy", "a higher value is better.*`direction='maximize'`"),
    ],
)
def test_study_of_the_other_direction_is_refused(direction, monitor, match):
    """Where it is known which values are better."""
    recipe = OptunaPruning(running(direction=direction), monitor)
    refused(recipe, match, metrics=["accuracy"])


def test_study_that_cannot_prune_so_is_refused():
    """Several directions; one fold for a pruner that compares folds; a trial that has ended."""
    refused(OptunaPruning(running(directions=["minimize"] * 2)), "its study has 2 directions")
    with pytest.warns(match="WilcoxonPruner is experimental"):
        pruner = WilcoxonPruner()
    refused(OptunaPruning(running(pruner=pruner)), "WilcoxonPruner, which compares folds")
    trial = running()
    trial.study.tell(trial, 1.0)
    refused(OptunaPruning(trial), "trial 0 of the study has ended")
    refused(OptunaPruning(trial.study), "must be the optuna.Trial", TypeError)


def test_trial_is_not_set_by_name():
    """A clone of the estimator would copy it, and a study in memory with it."""
    trial = running()
    clf = classifier(untrainable, callbacks={"prune": OptunaPruning(trial)})
    with pytest.raises(ValueError, match=r"give `callbacks__prune=OptunaPruning\(trial, ...\)`"):
        clf.set_params(callbacks__prune__trial=trial).fit(X, y)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"fold": 0, "n_folds": 2}, "another fit has reported this fold.*from 0 to 1"),
        ({"fold": 1, "n_folds": 3}, "`callbacks__prune__n_folds=3`: fold 0 of trial 0 has"),
        ({"fold": 1, "n_folds": 2, "monitor": "loss"}, "`callbacks__prune__monitor='loss'`"),
    ],
    ids=["fold", "number of folds", "monitor"],
)
def test_folds_that_do_not_go_together_are_refused(arguments, match):
    """Twice the same one, of another division, of another monitor."""
    trial = running()
    classifier(callbacks=OptunaPruning(trial, fold=0, n_folds=2)).fit(X, y)
    refused(OptunaPruning(trial, **arguments), match)


def test_fold_that_two_fits_take_at_once_is_given_to_one():
    """The other is refused as soon as it reports, in whichever process it is."""
    trial = running()
    first = classifier(callbacks=OptunaPruning(trial)).partial_fit(X, y)
    trial.set_user_attr(FOLD.format(0), Record("rival", "val_loss", 1, [])._asdict())
    with pytest.raises(ValueError, match="another fit has reported this fold"):
        first.partial_fit(X, y)


def test_somebody_else_s_reports_are_refused():
    """The second report of a step is dropped, so the trial would be a mixture."""
    trial = running()
    trial.report(0.5, 1)
    refused(OptunaPruning(trial), "somebody else reports to trial 0")


@pytest.mark.parametrize("strategy", ["lockstep", "sequential"])
def test_cross_val_objective_refuses_it(strategy):
    """It asks the pruner itself."""

    def space(trial):
        return {"callbacks": {"prune": OptunaPruning(trial)}}

    objective = CrossValObjective(
        classifier(), space, X, y, cv=2, error_score="raise", strategy=strategy
    )
    with pytest.raises(ValueError, match="CrossValObjective and OptunaSearchCV ask the pruner"):
        study_of(objective)


@pytest.mark.parametrize("search", [cross_val_score, GridSearchCV])
def test_under_cross_validation_it_names_cross_val_objective(search):
    """No fold knows itself there, and the first has taken the place of all."""
    clf = classifier(callbacks={"prune": OptunaPruning(running())})
    with pytest.raises(
        ValueError, match=r"another fit has reported.*skcb.optuna.CrossValObjective"
    ):
        if search is cross_val_score:
            cross_val_score(clf, X, y, cv=2, error_score="raise")
        else:
            GridSearchCV(clf, {"batch_size": [8]}, cv=2, error_score="raise").fit(X, y)


def test_monitor_that_a_model_of_one_s_own_does_not_log_is_an_error():
    """Where nothing could be said of it before, after the first epoch."""

    class Own(keras.Model):
        def train_step(self, data):
            return {"loss": super().train_step(data)["loss"]}

    def build(meta):
        inputs = keras.Input((meta["n_features_in_"],))
        units, activation = meta["n_output_units_"], meta["output_activation_"]
        return Own(inputs, keras.layers.Dense(units, activation=activation)(inputs))

    clf = classifier(build, callbacks={"prune": OptunaPruning(running(), "val_auc")})
    with pytest.raises(ValueError, match=r"in this fit is called 'val_auc'\. The epoch logged"):
        clf.fit(X, y)
