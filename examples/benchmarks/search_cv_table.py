"""What can `OptunaSearchCV` of skcb do, and that of optuna-integration with scikeras?

Every cell of the table is the outcome of a run: a number, or the exception that ended it. The first
row asks whether the two agree: the same parameters, enqueued in both studies, on the same folds,
with the same initial weights and the same order of the rows must give the same scores, or the
script ends.

One work-around is needed for scikeras 0.13 on scikit-learn 1.9, and used but where the table says
otherwise: a subclass whose tags say that it is a classifier. Without it, integers for `cv` give
folds that are not stratified.

    python examples/benchmarks/search_cv_table.py > table.md
"""

import importlib.metadata
import logging
import os
import tempfile
import time
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna_integration import OptunaSearchCV as Integration
from scikeras.wrappers import KerasClassifier as Scikeras
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    StratifiedKFold,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils import ClassifierTags

from skcb import KerasClassifier, Tunable
from skcb.callbacks import EarlyStopping
from skcb.optuna import CrossValObjective, OptunaSearchCV

PACKAGES = (
    "skcb",
    "optuna-integration",
    "scikeras",
    "optuna",
    "keras",
    "tensorflow",
    "scikit-learn",
)
X, y = load_breast_cancer(return_X_y=True)
X = scale(X).astype("float32")
FOLDS = StratifiedKFold(3, shuffle=True, random_state=0)
EPOCHS = 6
RATE = "optimizer__learning_rate"
RATES = (0.0005, 0.005, 0.05)
SPACE = {RATE: FloatDistribution(1e-4, 1e-1, log=True)}
WEIGHTS = np.linspace(0.1, 2.0, len(y))


def net():
    """Build a small model that begins with the same weights each time."""
    start = [keras.initializers.GlorotUniform(seed=seed) for seed in (1, 2)]
    return keras.Sequential(
        [
            keras.layers.Input((X.shape[1],)),
            keras.layers.Dense(8, activation="relu", kernel_initializer=start[0]),
            keras.layers.Dense(1, activation="sigmoid", kernel_initializer=start[1]),
        ]
    )


# -- the two sides ---------------------------------------------------------------------------


class Recognised(Scikeras):
    """A scikeras classifier that scikit-learn knows as one."""

    def __sklearn_tags__(self):
        """Say so."""
        tags = super().__sklearn_tags__()
        tags.estimator_type, tags.classifier_tags = "classifier", ClassifierTags()
        return tags


def scikeras(kind=Recognised, **options):
    """Return the classifier of the other side."""
    given = {"loss": "binary_crossentropy", "optimizer": "adam", RATE: 0.01, "epochs": EPOCHS}
    options = {**given, "batch_size": 32, "shuffle": False, "verbose": 0, **options}
    return kind(net, **options)


def theirs(estimator=None, space=SPACE, **options):
    """Return the other search over three trials."""
    estimator = scikeras() if estimator is None else estimator
    options = {"cv": FOLDS, "n_trials": 3, "random_state": 0, "scoring": "neg_log_loss", **options}
    if "study" not in options:
        options["study"] = study(space)
    return Integration(estimator, space, **options)


def skcb(**options):
    """Return skcb's classifier."""
    given = {"loss": "binary_crossentropy", "optimizer": "adam", RATE: 0.01, "epochs": EPOCHS}
    return KerasClassifier(net, **{**given, "batch_size": 32, "shuffle": False, **options})


def ours(estimator=None, space=SPACE, **options):
    """Return skcb's search over three trials."""
    estimator = skcb() if estimator is None else estimator
    options = {"cv": FOLDS, "n_trials": 3, "random_state": 0, "scoring": "neg_log_loss", **options}
    if "storage" not in options:
        storage = InMemoryStorage()
        study(space, storage=storage, study_name="s")
        options |= {"storage": storage, "study_name": "s"}
    return OptunaSearchCV(estimator, space, **options)


def study(space=SPACE, **options):
    """Return a study in which the trials to come are enqueued."""
    new = optuna.create_study(direction="maximize", **options)
    for rate in RATES:
        new.enqueue_trial({name: rate for name in space if name.endswith(RATE)})
    return new


class AtTwo(optuna.pruners.BasePruner):
    """Prunes every trial but the first after two epochs, so that both sides have the same to do."""

    def prune(self, study, trial):
        """Decide."""
        return trial.number > 0 and len(trial.intermediate_values) >= 2


def states(search):
    """Say how the trials of a search ended, and after how many reports."""
    trials = search.study_.trials
    return ", ".join(f"{t.state.name} after {len(t.intermediate_values)}" for t in trials)


# -- rows: what both did, in a function each ---------------------------------------------------

TABLE = {}


def row(title):
    """Enter a function into the table; its first argument says which side it is for."""

    def enter(function):
        TABLE[title] = function
        return function

    return enter


@row("the same three trials, nine fits: scores")
def same_scores(side):
    found = {}
    for name, search in (("skcb", ours(refit=False)), ("integration", theirs(refit=False))):
        begin = time.perf_counter()
        search.fit(X, y)
        seconds = time.perf_counter() - begin
        trials = search.study_.trials
        per_fold = [
            t.user_attrs.get("fold_scores")
            or [t.user_attrs[f"split{i}_test_score"] for i in range(3)]
            for t in trials
        ]
        found[name] = np.array(per_fold), seconds
    apart = np.abs(found["skcb"][0] - found["integration"][0]).max()
    assert apart < 1e-6, f"scores differ by {apart}"
    scores, seconds = found[side]
    means = ", ".join(f"{mean:.6f}" for mean in scores.mean(axis=1))
    return f"{means}; {seconds:.1f} s. Largest difference of any fold: {apart:.1e}"


@row("`cv=3` of a classifier, scikeras without a work-around: rows of class 1 in a fold")
def stratified(side):
    order = np.argsort(y, kind="stable")
    rows, targets, shares = X[order], y[order], []

    def scoring(estimator, X, y):
        shares.append(np.mean(y))
        return 0.5

    options = {"cv": 3, "scoring": scoring, "refit": False, "n_trials": 1}
    search = ours(**options) if side == "skcb" else theirs(scikeras(Scikeras), **options)
    search.fit(rows, targets)
    return " / ".join(f"{share:.0%}" for share in shares)


@row("pruning")
def pruning(side):
    if side == "skcb":
        search = ours(skcb(validation_split=0.2), pruner=AtTwo(), refit=False)
    else:
        todo = study(pruner=AtTwo())
        search = theirs(study=todo, enable_pruning=True, max_iter=EPOCHS, refit=False)
    return states(search.fit(X, y))


@row("pruning in a Pipeline")
def pruning_in_a_pipeline(side):
    name = {"skcb": "kerasclassifier", "integration": "recognised"}[side]
    space = {f"{name}__{RATE}": SPACE[RATE]}
    if side == "skcb":
        pipe = make_pipeline(StandardScaler(), skcb(validation_split=0.2))
        search = ours(pipe, space, pruner=AtTwo(), refit=False)
    else:
        pipe = make_pipeline(StandardScaler(), scikeras())
        options = {"enable_pruning": True, "max_iter": EPOCHS, "refit": False}
        search = theirs(pipe, space, study=study(space, pruner=AtTwo()), **options)
    return states(search.fit(X, y))


class Remembering(KFold):
    """Three folds, drawn anew by each call, that are written down."""

    def __init__(self):
        super().__init__(3, shuffle=True)
        self.trained, self.tested = {}, {}

    def split(self, X, y=None, groups=None):
        """Draw the folds."""
        for fold, (train, test) in enumerate(super().split(X, y)):
            self.trained.setdefault(fold, set()).update(train)
            self.tested[fold] = set(test)
            yield train, test


@row("pruning with folds that are drawn at random: test rows that a fold has trained on")
def leaks(side):
    folds = Remembering()
    if side == "skcb":
        search = ours(skcb(validation_split=0.2), pruner=AtTwo(), cv=folds, n_trials=1, refit=False)
    else:
        options = {"enable_pruning": True, "max_iter": EPOCHS, "refit": False, "n_trials": 1}
        search = theirs(study=study(pruner=AtTwo()), cv=folds, **options)
    search.fit(X, y)
    shared = [len(folds.trained[fold] & folds.tested[fold]) for fold in range(3)]
    return " / ".join(f"{n} of {len(folds.tested[fold])}" for fold, n in enumerate(shared))


class Counting(keras.callbacks.Callback):
    """Counts how often training begins."""

    begun = 0

    def on_train_begin(self, logs=None):
        """Count."""
        type(self).begun += 1


@row("callbacks in a pruned search: `on_train_begin` in 3 folds of 6 epochs")
def callbacks_alive(side):
    Counting.begun = 0
    if side == "skcb":
        estimator = skcb(validation_split=0.2, callbacks={"count": Tunable(Counting)})
        search = ours(estimator, pruner=AtTwo(), n_trials=1, refit=False)
    else:
        options = {"enable_pruning": True, "max_iter": EPOCHS, "refit": False, "n_trials": 1}
        search = theirs(scikeras(callbacks=[Counting]), study=study(pruner=AtTwo()), **options)
    search.fit(X, y)
    return f"{Counting.begun} times"


class Worse(keras.callbacks.Callback):
    """Logs a number that is least in the first epoch of a fold; counts epochs of all folds."""

    epochs = 0

    def on_epoch_end(self, epoch, logs=None):
        """Log and count."""
        logs["played"] = float(epoch)
        type(self).epochs += 1


@row("EarlyStopping in a pruned search, `patience=1` on what gets worse at once: epochs of a fold")
def early_stopping(side):
    if side == "skcb":
        stop = EarlyStopping("played", mode="min", patience=1)
        callbacks = {"play": Tunable(Worse), "stop": stop}
        estimator = skcb(validation_split=0.2, callbacks=callbacks)
        search = ours(estimator, pruner=AtTwo(), n_trials=1, refit=False)
    else:
        stop = keras.callbacks.EarlyStopping("played", mode="min", patience=1)
        options = {"enable_pruning": True, "max_iter": EPOCHS, "refit": False, "n_trials": 1}
        estimator = scikeras(callbacks=[Worse(), stop])
        search = theirs(estimator, study=study(pruner=AtTwo()), **options)
    Worse.epochs = 0
    search.fit(X, y)
    return f"{Worse.epochs / 3:g} of {EPOCHS}"


@row("a callback's setting is searched: patience")
def callback_settings(side):
    space = {"callbacks__stop__patience": CategoricalDistribution([1, 2])}
    if side == "skcb":
        estimator = skcb(validation_split=0.2, callbacks={"stop": EarlyStopping()})
        search = ours(estimator, space, refit=False)
    else:
        estimator = scikeras(
            validation_split=0.2, callbacks={"stop": keras.callbacks.EarlyStopping()}
        )
        search = theirs(estimator, space, study=optuna.create_study(direction="maximize"))
    search.fit(X, y)
    return f"{len(search.study_.trials)} trials"


def weighted_by_hand(estimator, rate):
    """Return the scores of weighted fits."""
    estimator.set_params(**{RATE: rate})
    found = cross_validate(
        estimator, X, y, cv=FOLDS, scoring="neg_log_loss", params={"sample_weight": WEIGHTS}
    )
    return found["test_score"].mean()


@row("`sample_weight`: difference from weighted fits by hand")
def weights(side):
    options = {"n_trials": 1, "refit": False}
    if side == "skcb":
        # Scores are weighted, too, as in scikit-learn's searches; by a plain scorer they are not.
        search = ours(scoring=plain_log_loss, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            search.fit(X, y, sample_weight=WEIGHTS)
        expected = weighted_by_hand(skcb(), RATES[0])
    else:
        search = theirs(**options).fit(X, y, sample_weight=WEIGHTS)
        expected = weighted_by_hand(scikeras(), RATES[0])
    return f"{abs(search.study_.trials[0].value - expected):.1e}"


def plain_log_loss(estimator, X, y):
    """Score without weights."""
    from sklearn.metrics import log_loss

    return -log_loss(y, estimator.predict_proba(X))


@row("`sample_weight` in a pruned search")
def pruned_weights(side):
    if side == "skcb":
        search = ours(skcb(validation_split=0.2), pruner=AtTwo(), refit=False)
    else:
        options = {"enable_pruning": True, "max_iter": EPOCHS, "refit": False}
        options |= {"error_score": "raise"}
        search = theirs(study=study(pruner=AtTwo()), **options)
    return states(search.fit(X, y, sample_weight=WEIGHTS))


@row("several scorers")
def several_scorers(side):
    scoring = ["accuracy", "roc_auc"]
    if side == "skcb":
        search = ours(scoring=scoring, refit="roc_auc").fit(X, y)
    else:
        search = theirs(scoring=scoring).fit(X, y)
    table = search.cv_results_
    return ", ".join(f"{name} {np.max(table[f'mean_test_{name}']):.3f}" for name in scoring)


@row("a study that minimizes")
def minimizes(side):
    options = {"direction": "minimize", "study_name": "s"}
    if side == "skcb":
        try:
            storage = InMemoryStorage()
            optuna.create_study(storage=storage, **options)
            ours(storage=storage, study_name="s").fit(X, y)
        except ValueError as error:
            refusal = type(error).__name__
        objective = CrossValObjective(
            skcb(), SPACE, X, y, cv=FOLDS, scoring="neg_log_loss", prune=False
        )
        down = optuna.create_study(**options)
        down.enqueue_trial({RATE: RATES[1]})
        down.optimize(objective, n_trials=1)
        return f"`{refusal}`; by `CrossValObjective` {down.best_value:.6f}"
    search = theirs(study=optuna.create_study(**options)).fit(X, y)
    return f"{search.best_score_:.6f}"


@row("a study goes on, from a file: trials after a second fit")
def resumes(side, rows=X):
    with tempfile.TemporaryDirectory() as folder:
        for n_trials, data in ((2, X), (1, rows)):
            storage = JournalStorage(JournalFileBackend(f"{folder}/journal"))
            options = {"refit": False, "n_trials": n_trials}
            if side == "skcb":
                search = ours(storage=storage, study_name="s", **options)
            else:
                kept = optuna.create_study(
                    storage=storage, study_name="s", direction="maximize", load_if_exists=True
                )
                search = theirs(study=kept, **options)
            search.fit(data, y)
        return f"{len(search.study_.trials)}"


@row("a study goes on with other data")
def mixes(side):
    return f"{resumes(side, X + 1)} trials in one study"


@row("nested, the study in a file: trials that each of three outer folds finds there")
def nested(side):
    numbers = []
    with tempfile.TemporaryDirectory() as folder:
        storage = JournalStorage(JournalFileBackend(f"{folder}/journal"))
        options = {"n_trials": 1}
        if side == "skcb":
            search = ours(storage=storage, study_name="s", **options)
        else:
            kept = optuna.create_study(storage=storage, study_name="s", direction="maximize")
            options |= {"callbacks": [lambda study, trial: numbers.append(trial.number)]}
            search = theirs(study=kept, **options)
        found = cross_validate(search, X, y, cv=3, return_estimator=True, error_score="raise")
        if side == "skcb":
            numbers = [int(each.cv_results_["trial_number"][0]) for each in found["estimator"]]
    return " / ".join(map(str, numbers))


@row("`cv_results_`: columns of GridSearchCV that are missing")
def columns(side):
    space = {"C": FloatDistribution(0.1, 1.0)}
    grid = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=FOLDS).fit(X, y)
    if side == "skcb":
        search = OptunaSearchCV(LogisticRegression(), space, n_trials=2, cv=FOLDS).fit(X, y)
    else:
        search = Integration(LogisticRegression(), space, n_trials=2, cv=FOLDS).fit(X, y)
    missing = set(grid.cv_results_) - set(search.cv_results_)
    return f"{len(missing)} of {len(grid.cv_results_)}"


@row("a fit that raises, `error_score='raise'`: what comes out of `ValueError: no such layer`")
def raises(side):
    def broken():
        raise ValueError("no such layer")

    if side == "skcb":
        search = ours(skcb().set_params(build_fn=broken), error_score="raise")
    else:
        search = theirs(scikeras().set_params(model=broken), error_score="raise")
    search.fit(X, y)
    return "nothing"


@row("epochs of the refit, after a pruned search in which the folds were given 6")
def refit_epochs(side):
    if side == "skcb":
        search = ours(skcb(validation_split=0.2), pruner=AtTwo(), n_trials=1).fit(X, y)
        return str(search.best_estimator_.n_iter_)
    options = {"enable_pruning": True, "max_iter": EPOCHS, "n_trials": 1}
    search = theirs(scikeras(epochs=1), study=study(pruner=AtTwo()), **options).fit(X, y)
    return str(len(search.best_estimator_.history_["loss"]))


@row("histories and models of the folds in an artifact store")
def artifacts(side):
    from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta

    with tempfile.TemporaryDirectory() as folder:
        options = {"artifact_store": FileSystemArtifactStore(folder), "n_trials": 1}
        storage = InMemoryStorage()
        if side == "skcb":
            search = ours(storage=storage, study_name="s", refit=False, **options)
        else:
            search = theirs(refit=False, **options)
        search.fit(X, y)
        found = get_all_artifact_meta(search.study_.trials[0], storage=storage)
        return f"{len(found)} files of a trial"


# -- the table ---------------------------------------------------------------------------------


def error_of(error):
    """Word an exception for a cell."""
    text = " ".join(str(error).split())
    return f"`{type(error).__name__}`: {text if len(text) <= 110 else text[:107] + '…'}"


def cell(function, side):
    """Run one side of a row."""
    keras.utils.set_random_seed(0)
    try:
        return function(side)
    except AssertionError:  # scores that do not agree
        raise
    except Exception as error:  # a side that cannot do it: its words are the cell
        return error_of(error)


def main():
    """Print the table."""
    warnings.simplefilter("ignore")  # that the other search is experimental, and the like
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # traces anew in every fit of scikeras
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    print(f"Versions: {versions}.\n")
    print("| what | skcb | optuna-integration with scikeras |")
    print("| --- | --- | --- |")
    for title, function in TABLE.items():
        cells = [cell(function, side).replace("|", "\\|") for side in ("skcb", "integration")]
        print(f"| {title} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()
