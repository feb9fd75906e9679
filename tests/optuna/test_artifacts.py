"""What a trial leaves in an artifact store: found by Optuna's API, read by Keras and csv alone."""

import csv
import gc
import pickle
import tempfile
import weakref
from pathlib import Path

import keras
import numpy as np
import optuna
import pytest
from keras import layers
from optuna.artifacts import FileSystemArtifactStore, download_artifact, get_all_artifact_meta
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import InMemoryStorage
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcb import Tunable
from skcb.callbacks import EarlyStopping
from skcb.exceptions import TrainingWarning
from skcb.optuna import CrossValObjective, OptunaSearchCV
from tests.models import X, perceptron
from tests.optuna.trials import RATE, SPACE, Recording, classifier, curves, stops_by, y

STATE = optuna.trial.TrialState
STRATEGIES = ("lockstep", "sequential")


@pytest.fixture
def store(tmp_path):
    """Return a store on disk, empty."""
    path = tmp_path / "store"
    path.mkdir()
    return FileSystemArtifactStore(path)


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path, monkeypatch):
    """Check after every test that no temporary file is."""
    path = tmp_path / "temporary"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    yield
    assert [file.name for file in path.rglob("*") if "skcb" in file.name] == []


def studied(objective, n_trials=1, *, pruner=None, sampler=None, **options):
    """Run a study in a storage of its own."""
    study = optuna.create_study(
        direction="maximize",
        storage=InMemoryStorage(),
        sampler=sampler or optuna.samplers.RandomSampler(seed=0),
        pruner=pruner or optuna.pruners.NopPruner(),
    )
    study.optimize(objective, n_trials=n_trials, **options)
    return study


def artifacts(trial, study):
    """Return what Optuna says of a trial's artifacts, by file name."""
    # A study made without a storage has one all the same, and no public name for it.
    return {a.filename: a for a in get_all_artifact_meta(trial, storage=study._storage)}


def fetched(store, found, folder, *ends):
    """Download artifacts, and return their paths in the order of their names."""
    paths = []
    for name in sorted(n for n in found if n.endswith(ends or "")):
        path = Path(folder) / name
        download_artifact(
            artifact_store=store, artifact_id=found[name].artifact_id, file_path=str(path)
        )
        paths.append(path)
    return paths


def read(path):
    """Return a history as a dict of columns; blanks are left out."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(r[name]) for r in rows if r[name] != ""] for name in rows[0]}


def fold_by_hand(params, fold, estimator=None, cv=3):
    """Fit one fold as `cross_val_score` would."""
    estimator = classifier() if estimator is None else estimator
    rows, _ = list(StratifiedKFold(cv).split(X, y))[fold]
    return clone(estimator).set_params(**params).fit(X[rows], y[rows])


# -- what is kept ----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_fold_leaves_its_history_and_its_model(store, tmp_path, strategy):
    """Those of the fold's own fit: numbers to the last digit, predictions of the plain model."""
    objective = CrossValObjective(
        classifier(), SPACE, X, y, cv=3, strategy=strategy, artifact_store=store
    )
    study = studied(objective, 2)
    for trial in study.trials:
        found = artifacts(trial, study)
        stems = [f"trial-{trial.number}_fold-{fold}" for fold in range(3)]
        assert sorted(found) == sorted(
            f"{stem}_{end}" for stem in stems for end in ("history.csv", "model.keras")
        )
        kinds = {name.rpartition(".")[2]: each.mimetype for name, each in found.items()}
        assert kinds == {"csv": "text/csv", "keras": "application/zip"}
        histories = fetched(store, found, tmp_path, ".csv")
        models = fetched(store, found, tmp_path, ".keras")
        for fold, (history, model) in enumerate(zip(histories, models, strict=True)):
            expected = fold_by_hand(trial.params, fold)
            columns = read(history)
            assert columns.pop("epoch") == [0, 1, 2]
            assert columns == expected.history_
            plain = keras.saving.load_model(model)
            np.testing.assert_array_equal(
                plain.predict(X, verbose=0), expected.model_.predict(X, verbose=0)
            )


def test_weights_go_into_a_model_of_the_same_shape(store, tmp_path):
    """Built by the user's own function, without skcb."""
    study = studied(CrossValObjective(classifier(), SPACE, X, y, cv=2, artifact_store=store))
    path = fetched(store, artifacts(study.best_trial, study), tmp_path, "fold-1_model.keras")[0]
    model = perceptron({"n_features_in_": 4, "n_output_units_": 1, "output_activation_": "sigmoid"})
    model.load_weights(path)
    expected = fold_by_hand(study.best_params, 1, cv=2)
    np.testing.assert_array_equal(
        model.predict(X, verbose=0)[:, 0], expected.predict_proba(X)[:, 1]
    )


def test_weights_are_the_restored_ones(store, tmp_path):
    """Where EarlyStopping puts the best back, these; the history has all epochs."""
    play, stop = curves([2, 1, 0, 0, 0, 0]), stops_by(patience=2, restore_best_weights=True)
    estimator = classifier(callbacks={"play": play, "stop": stop}, epochs=6)
    study = studied(CrossValObjective(estimator, SPACE, X, y, cv=2, artifact_store=store))
    found = artifacts(study.best_trial, study)
    assert read(fetched(store, found, tmp_path, "0_history.csv")[0])["epoch"] == [0, 1, 2]
    model = keras.saving.load_model(fetched(store, found, tmp_path, "0_model.keras")[0])
    one = fold_by_hand(study.best_params, 0, classifier(epochs=1), cv=2)
    for got, expected in zip(model.get_weights(), one.model_.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_pruned_trial_leaves_what_it_came_to(store, tmp_path):
    """All folds, trained as long as the step of the report says."""
    objective = CrossValObjective(classifier(epochs=5), SPACE, X, y, cv=3, artifact_store=store)
    study = studied(objective, pruner=Recording(3, at=2))
    trial = study.trials[0]
    assert trial.state == STATE.PRUNED
    found = artifacts(trial, study)
    assert len(found) == 6
    short = fold_by_hand(trial.params, 2, classifier(epochs=2))
    columns = read(fetched(store, found, tmp_path, "fold-2_history.csv")[0])
    assert columns.pop("epoch") == [0, 1]
    assert columns == short.history_
    model = keras.saving.load_model(fetched(store, found, tmp_path, "fold-2_model.keras")[0])
    for got, expected in zip(model.get_weights(), short.model_.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_pruned_fold_after_fold_the_folds_that_are_through_are_kept(store):
    """The others have not begun."""
    objective = CrossValObjective(
        classifier(), SPACE, X, y, cv=3, strategy="sequential", artifact_store=store
    )
    study = studied(objective, pruner=Recording(3, at=1))
    assert {name[:14] for name in artifacts(study.trials[0], study)} == {
        "trial-0_fold-0",
        "trial-0_fold-1",
    }


class Fails(keras.callbacks.Callback):
    """Raises in the second epoch of its fit."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise RuntimeError("the cable is out")


def test_a_failed_trial_leaves_what_it_came_to(store, tmp_path):
    """Its whole epochs, of the fold that failed too: that is the one to be looked into."""
    estimator = classifier(callbacks={"fails": Tunable(Fails)})
    objective = CrossValObjective(estimator, SPACE, X, y, cv=2, artifact_store=store)
    study = studied(objective)
    assert study.trials[0].state == STATE.FAIL
    paths = fetched(store, artifacts(study.trials[0], study), tmp_path, ".csv")
    assert [len(read(path)["loss"]) for path in paths] == [1, 1]


def test_an_interrupt_uploads_nothing(store, tmp_path):
    """Who has pressed Ctrl-C waits for no upload."""

    class Interrupts(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    estimator = classifier(callbacks={"stop": Tunable(Interrupts)})
    objective = CrossValObjective(estimator, SPACE, X, y, cv=2, artifact_store=store)
    with pytest.raises(KeyboardInterrupt):
        studied(objective)
    assert kept_in(tmp_path) == []


def kept_in(tmp_path):
    """Return the names of all that is in the store."""
    return sorted(path.name for path in (tmp_path / "store").iterdir())


def around(ensemble, store):
    """Return an objective whose folds hold several Keras fits each."""
    space = {f"estimator__{RATE}": SPACE[RATE]}
    return CrossValObjective(
        ensemble, space, X, y, cv=2, strategy="sequential", artifact_store=store
    )


def test_several_keras_fits_in_a_fold_are_numbered(store, tmp_path):
    """As in a bagging, fold after fold."""
    bagging = BaggingClassifier(classifier(), n_estimators=2, bootstrap=False, random_state=0)
    study = studied(around(bagging, store))
    found = artifacts(study.trials[0], study)
    assert {f"trial-0_fold-1_{i}_model.keras" for i in (0, 1)} < set(found)
    assert len(found) == 8
    path = fetched(store, found, tmp_path, "fold-1_1_model.keras")[0]
    expected = fold_by_hand(study.trials[0].params, 1, bagging, cv=2).estimators_[1]
    np.testing.assert_array_equal(
        keras.saving.load_model(path).predict(X, verbose=0), expected.model_.predict(X, verbose=0)
    )


def test_fits_that_do_not_show_warn(store):
    """Scikit-learn's calibration keeps its fitted estimators where nobody can ask for them."""
    with pytest.warns(TrainingWarning, match="keeps nothing: a fitted Calibrated"):
        studied(around(CalibratedClassifierCV(classifier(), cv=2), store))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("given", ["parameter", "prefix", "call"])
def test_epochs_that_were_not_watched_are_blank(store, tmp_path, strategy, given):
    """A row is an epoch, whatever was measured in it."""
    options = {"parameter": {"validation_freq": 2}, "prefix": {"fit__validation_freq": 2}}
    objective = CrossValObjective(
        classifier(epochs=5, **options.get(given, {})),
        SPACE,
        X,
        y,
        cv=2,
        strategy=strategy,
        prune=False,
        fit_params={"validation_freq": 2} if given == "call" else None,
        artifact_store=store,
    )
    study = studied(objective)
    path = fetched(store, artifacts(study.trials[0], study), tmp_path, "fold-0_history.csv")[0]
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["val_loss"] != "" for row in rows] == [False, True, False, True, False]
    assert all(row["loss"] != "" for row in rows)


def test_a_fit_that_fails_at_once_leaves_nothing(store):
    """There is no model."""

    def broken(meta):
        raise RuntimeError("no such layer")

    study = studied(CrossValObjective(classifier(broken), SPACE, X, y, cv=2, artifact_store=store))
    assert artifacts(study.trials[0], study) == {}


class Undescribed(layers.Layer):
    """A layer whose arguments Keras cannot know."""

    def __init__(self, table):
        super().__init__()
        self.table = table

    def call(self, inputs):
        return inputs * self.table.factor


@pytest.mark.slow
def test_a_model_that_cannot_be_written_whole_leaves_its_weights(store, tmp_path):
    """They go into a model that the user builds."""

    class Table:
        factor = 2.0

    def build(meta):
        return keras.Sequential(
            [
                layers.Input((meta["n_features_in_"],)),
                Undescribed(Table()),
                layers.Dense(1, activation="sigmoid"),
            ]
        )

    study = studied(CrossValObjective(classifier(build), SPACE, X, y, cv=2, artifact_store=store))
    found = artifacts(study.best_trial, study)
    assert found["trial-0_fold-0_model.weights.h5"].mimetype == "application/x-hdf5"
    model = build({"n_features_in_": 4})
    model.load_weights(fetched(store, found, tmp_path, "fold-0_model.weights.h5")[0])
    expected = fold_by_hand(study.best_params, 0, classifier(build), cv=2)
    np.testing.assert_array_equal(
        model.predict(X, verbose=0)[:, 0], expected.predict_proba(X)[:, 1]
    )


# -- in studies and searches -----------------------------------------------------------------


@pytest.mark.slow
def test_keeping_changes_no_number(store):
    """Scores, curves and suggestions are those of a study that keeps nothing."""
    space = {**SPACE, "hidden": CategoricalDistribution([3, 5])}
    estimator = classifier(callbacks={"stop": EarlyStopping(patience=1)})

    def told(artifact_store):
        objective = CrossValObjective(estimator, space, X, y, cv=3, artifact_store=artifact_store)
        trials = studied(objective, 3).trials
        return [
            (t.params, t.values, t.intermediate_values, t.user_attrs["fold_scores"]) for t in trials
        ]

    assert told(store) == told(None)


@pytest.mark.parametrize("pruner", [None, optuna.pruners.MedianPruner()], ids=["none", "median"])
def test_a_search_keeps_them_too(store, tmp_path, pruner):
    """Of a step in a Pipeline: the model is that of the fold, on what stands before it."""
    pipe = make_pipeline(StandardScaler(), classifier())
    space = {f"kerasclassifier__{RATE}": SPACE[RATE]}
    storage = InMemoryStorage()
    search = OptunaSearchCV(
        pipe,
        space,
        n_trials=2,
        cv=3,
        random_state=0,
        pruner=pruner,
        storage=storage,
        artifact_store=store,
    ).fit(X, y)
    found = {
        a.filename: a
        for trial in search.study_.trials
        for a in get_all_artifact_meta(trial, storage=storage)
    }
    assert len(found) == 12
    path = fetched(store, found, tmp_path, "trial-1_fold-2_model.keras")[0]
    expected = fold_by_hand(search.study_.trials[1].params, 2, pipe)
    got = keras.saving.load_model(path).predict(expected[0].transform(X), verbose=0)
    np.testing.assert_array_equal(got[:, 0], expected.predict_proba(X)[:, 1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["objective", "search"])
def test_trials_at_the_same_time_share_no_file(store, tmp_path, kind):
    """Each in its thread, each with what its own folds have learned."""
    sampler = optuna.samplers.RandomSampler(seed=0)
    if kind == "search":
        options = {"n_trials": 6, "n_jobs": 2, "cv": 2, "sampler": sampler}
        search = OptunaSearchCV(classifier(), SPACE, artifact_store=store, **options).fit(X, y)
        study = search.study_
    else:
        objective = CrossValObjective(classifier(), SPACE, X, y, cv=2, artifact_store=store)
        study = studied(objective, 6, n_jobs=2, sampler=sampler)
    for trial in study.trials:
        found = artifacts(trial, study)
        assert {name.partition("_")[0] for name in found} == {f"trial-{trial.number}"}
        for fold, path in enumerate(fetched(store, found, tmp_path, ".csv")):
            columns = read(path)
            del columns["epoch"]
            assert columns == fold_by_hand(trial.params, fold, cv=2).history_


def test_clones_share_the_store_and_pickles_take_it_along(store, tmp_path):
    """As they do with a storage; outer folds keep their trials in it."""
    search = OptunaSearchCV(classifier(), SPACE, n_trials=1, cv=2, artifact_store=store)
    assert clone(search).artifact_store is store
    cross_val_score(search, X, y, cv=2)
    assert len(kept_in(tmp_path)) == 2 * 2 * 2
    back = pickle.loads(pickle.dumps(search)).fit(X, y)
    assert len(kept_in(tmp_path)) == 3 * 2 * 2
    assert len(artifacts(back.study_.best_trial, back.study_)) == 4


def test_another_store_makes_no_other_study(store):
    """A clone goes on with its study where it keeps things elsewhere."""
    storage = InMemoryStorage()
    options = {"n_trials": 1, "cv": 2, "storage": storage, "study_name": "s", "random_state": 0}
    for each in (None, store):
        clone(OptunaSearchCV(classifier(), SPACE, artifact_store=each, **options)).fit(X, y)
    assert len(storage.get_all_studies()) == 1


def test_what_belongs_to_no_trial_is_not_kept(store, tmp_path):
    """`evaluate`, and a trial without a study."""
    objective = CrossValObjective(classifier(), SPACE, X, y, cv=2, artifact_store=store)
    objective.evaluate({RATE: 0.01})
    objective(optuna.trial.FixedTrial({RATE: 0.01}))
    assert kept_in(tmp_path) == []


# -- what goes wrong -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", ["artifacts", Path("artifacts"), FileSystemArtifactStore, InMemoryStorage(), 3]
)
@pytest.mark.parametrize("kind", ["objective", "search"])
def test_what_is_no_store_is_refused(wrong, kind):
    """With what would be one."""
    with pytest.raises(TypeError, match=r"`artifact_store` must be .* FileSystemArtifactStore\("):
        if kind == "objective":
            CrossValObjective(classifier(), SPACE, X, y, artifact_store=wrong)
        else:
            OptunaSearchCV(classifier(), SPACE, artifact_store=wrong).fit(X, y)


def test_an_estimator_without_a_keras_step_is_refused(store):
    """It has no history, and to keep nothing without a word would be found out too late."""
    space = {"C": FloatDistribution(0.1, 1.0)}
    search = OptunaSearchCV(LogisticRegression(), space, artifact_store=store)
    with pytest.raises(ValueError, match="LogisticRegression has none: give `artifact_store=None`"):
        search.fit(X, y)
    assert not hasattr(search, "study_")


@pytest.mark.parametrize("error_score", ["fail", "prune", -1.0])
@pytest.mark.parametrize("kind", ["objective", "search"])
def test_a_store_that_cannot_be_written_ends_the_study_before_the_first_epoch(
    tmp_path, error_score, kind
):
    """Its own error, with a note whose it is; no candidate is to blame."""
    trained = []

    class Trains(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            trained.append(1)

    estimator = classifier(callbacks={"trains": Tunable(Trains)})
    options = {"artifact_store": FileSystemArtifactStore(tmp_path / "missing")}
    options |= {"error_score": error_score, "cv": 2}
    with pytest.raises(FileNotFoundError) as caught:
        if kind == "objective":
            studied(CrossValObjective(estimator, SPACE, X, y, **options), 2)
        else:
            OptunaSearchCV(estimator, SPACE, n_trials=2, **options).fit(X, y)
    assert "`artifact_store=" in caught.value.__notes__[0]
    assert trained == []


class Full(FileSystemArtifactStore):
    """A store that has room for three files."""

    room = 3

    def write(self, artifact_id, content_body):
        if hasattr(content_body, "name"):  # a file, and not the empty one that is tried out
            self.room -= 1
        if self.room < 0:
            raise OSError(28, "No space left on device")
        super().write(artifact_id, content_body)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("at", [None, 1])
def test_a_store_that_fails_in_the_end_ends_the_study_too(store, strategy, at, tmp_path):
    """Pruned or not; the note names the file."""
    objective = CrossValObjective(
        classifier(),
        SPACE,
        X,
        y,
        cv=3,
        strategy=strategy,
        error_score="prune",
        artifact_store=Full(tmp_path / "store"),
    )
    with pytest.raises(OSError, match="No space left") as caught:
        studied(objective, 2, pruner=Recording(3, at=at))
    assert "could not keep trial-0_fold-1_model.keras" in caught.value.__notes__[0]


class Unwritable(layers.Dense):
    """A layer whose weights cannot be written."""

    def save_own_variables(self, store):
        raise OSError("the weights are elsewhere")


def test_a_model_that_cannot_be_written_is_no_matter_of_the_candidate(store):
    """Keras' error ends the study, once the trial's folds have been scored."""

    def build(meta):
        return keras.Sequential(
            [layers.Input((meta["n_features_in_"],)), Unwritable(1, activation="sigmoid")]
        )

    storage = InMemoryStorage()
    study = optuna.create_study(direction="maximize", storage=storage)
    objective = CrossValObjective(
        classifier(build), SPACE, X, y, cv=2, artifact_store=store, error_score=-1.0
    )
    with pytest.raises(OSError, match="the weights are elsewhere"):
        study.optimize(objective, n_trials=2)
    assert [len(t.user_attrs["fold_scores"]) for t in study.trials] == [2]


@pytest.mark.slow
def test_nothing_holds_on_to_the_models(store):
    """Not after the trial, for a study may have thousands."""
    alive = []

    def build(meta):
        model = perceptron(meta)
        alive.append(weakref.ref(model))
        return model

    def after(artifact_store):
        alive.clear()
        objective = CrossValObjective(
            classifier(build), SPACE, X, y, cv=2, artifact_store=artifact_store
        )
        studied(objective, 3)
        gc.collect()
        return sum(ref() is not None for ref in alive)

    assert after(store) <= after(None)
