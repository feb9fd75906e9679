"""The main job: searches over callbacks and training settings, in which every fold is its own."""

import json
import pickle
from collections import Counter

import numpy as np
import pytest
from scipy.stats import loguniform
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    StratifiedKFold,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcb import KerasClassifier, Tunable
from skcb.callbacks import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from skcb.schedules import CosineDecay, StepDecay
from tests.fakes import fresh_process
from tests.models import Record, Witness, X, Y, numbered, perceptron, seeing

y = Y["binary"]


# -- every fold is its own ---------------------------------------------------------------------

SCHEDULES = {"StepDecay": StepDecay(0.5, 2), "CosineDecay": CosineDecay()}
GRID = {
    "callbacks__stop__patience": [1, 4],
    "lr_schedule": list(SCHEDULES.values()),
}
EPOCHS, RATE = 8, 0.3


def recorded(runs):
    """Return an estimator whose callbacks write down what they see, in the fit's directory."""
    return KerasClassifier(
        seeing,
        optimizer="adam",
        optimizer__learning_rate=RATE,
        callbacks={
            "stop": Tunable(Witness, patience=9, restore_best_weights=True),
            "save": ModelCheckpoint(f"{runs}/{{run}}/best.keras", save_best_only=True),
            "record": Tunable(Record, filename=f"{runs}/{{run}}/record.json"),
        },
        epochs=EPOCHS,
        batch_size=8,
        validation_split=0.25,
        random_state=0,
    )


def records(runs):
    """Return what each fit wrote down, by its directory."""
    return {p.parent: json.loads(p.read_text()) for p in sorted(runs.rglob("record.json"))}


def rows_of(epochs):
    """Return the rows that trained and that were watched, and see that each did once an epoch."""
    sides = []
    for side in ("trained", "watched"):
        counts = np.array([epoch[side] for epoch in epochs])
        rows = np.flatnonzero(counts[-1])
        assert (counts[:, rows].T == np.arange(1, len(epochs) + 1)).all()
        sides.append(rows)
    return sides


def schedule_of(epochs):
    """Return the name of the schedule whose curve the learning rates were."""
    rates = np.array([epoch["rate"] for epoch in epochs])
    (name,) = [
        name
        for name, schedule in SCHEDULES.items()
        if np.allclose(schedule.simulate(EPOCHS, RATE)[: len(rates)], rates, rtol=1e-6)
    ]
    return name


def stops_after(losses, patience):
    """Return the epoch after which EarlyStopping ends training."""
    best, wait = np.inf, 0
    for epoch, loss in enumerate(losses):
        wait = 0 if loss < best else wait + 1
        best = min(best, loss)
        if wait >= patience:
            return epoch + 1
    return EPOCHS


def seen_by(epochs):
    """Return patience, schedule and rows of one fit, having checked that they fit together."""
    (patience,) = {epoch["patience"] for epoch in epochs}
    train, watched = rows_of(epochs)
    assert not set(train) & set(watched)
    assert len(watched) == np.ceil(0.25 * (len(train) + len(watched)))
    assert len(epochs) == stops_after([epoch["val_loss"] for epoch in epochs], patience)
    return patience, schedule_of(epochs), tuple(np.union1d(train, watched).tolist())


EVALUATE = """
import json, sys
from pathlib import Path
import keras, numpy as np
import tests.models
from tests.models import X, Y, numbered
rows, y = numbered(X).astype("float32"), (Y["binary"] == "yes").astype("float32")
losses = {}
for path in Path(sys.argv[1]).rglob("best.keras"):
    watched = np.flatnonzero(json.loads((path.parent / "record.json").read_text())[0]["watched"])
    model = keras.models.load_model(path)
    losses[str(path.parent)] = model.evaluate(rows[watched], y[watched], batch_size=8, verbose=0)
print(json.dumps(losses))
"""


def assert_checkpoints_hold_the_best_epoch(runs):
    """Load each file elsewhere and evaluate it on the rows that its own fold watched."""
    stdout, _ = fresh_process(EVALUATE, runs)
    best = {str(run): min(e["val_loss"] for e in epochs) for run, epochs in records(runs).items()}
    assert json.loads(stdout) == {run: pytest.approx(loss, rel=1e-5) for run, loss in best.items()}


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_every_fit_of_a_search_has_its_own_rows_rates_patience_and_files(n_jobs, tmp_path):
    """Four candidates in three folds and a refit: what the callbacks saw is what was asked for."""
    search = GridSearchCV(recorded(tmp_path), GRID, cv=3, n_jobs=n_jobs).fit(numbered(X), y)
    folds = [tuple(train.tolist()) for train, _ in StratifiedKFold(3).split(X, y)]
    expected = Counter(
        (patience, name, fold) for patience in (1, 4) for name in SCHEDULES for fold in folds
    )
    best = search.best_params_
    every_row = tuple(range(len(X)))
    expected[best["callbacks__stop__patience"], type(best["lr_schedule"]).__name__, every_row] += 1
    assert Counter(map(seen_by, records(tmp_path).values())) == expected
    assert len(expected) == len(list(tmp_path.rglob("best.keras"))) == 13
    assert_checkpoints_hold_the_best_epoch(tmp_path)


@pytest.mark.slow
def test_every_fit_of_a_cross_validation_has_its_own(tmp_path):
    """The same where no search says which fold it is."""
    estimator = recorded(tmp_path).set_params(
        callbacks__stop__patience=4, lr_schedule="CosineDecay"
    )
    cross_validate(estimator, numbered(X), y, cv=3)
    folds = [tuple(train.tolist()) for train, _ in StratifiedKFold(3).split(X, y)]
    expected = Counter((4, "CosineDecay", fold) for fold in folds)
    assert Counter(map(seen_by, records(tmp_path).values())) == expected
    assert_checkpoints_hold_the_best_epoch(tmp_path)


# -- searches of all kinds ---------------------------------------------------------------------


def pipeline(**params):
    """Return a small classifier behind a scaler."""
    params = {"optimizer": "adam", "epochs": 4, "random_state": 0, **params}
    return make_pipeline(StandardScaler(), KerasClassifier(perceptron, **params))


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.FitFailedWarning")
def test_a_grid_over_kinds_of_schedules_runs_to_its_end():
    """A setting that a kind lacks costs that candidate its score, and nothing else."""
    schedules = [None, StepDecay(0.5, 2), CosineDecay()]
    grid = {
        "kerasclassifier__lr_schedule": schedules,
        "kerasclassifier__lr_schedule__drop": [0.25, 0.75],
    }
    search = GridSearchCV(pipeline(), grid, cv=2).fit(X, y)
    scored = {
        type(params["kerasclassifier__lr_schedule"]).__name__: bool(np.isfinite(score))
        for params, score in zip(
            search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
        )
    }
    assert scored == {"NoneType": True, "StepDecay": True, "CosineDecay": False}


def test_a_grid_over_whole_callbacks_switches_them():
    """None switches one off, another recipe takes its place."""
    clf = pipeline(
        callbacks={"plateau": ReduceLROnPlateau(monitor="loss", min_delta=9, patience=1)},
        optimizer__learning_rate=0.5,
    )
    other = ReduceLROnPlateau(monitor="loss", min_delta=9, patience=1, factor=0.5)
    for value, last in ((None, 0.5), (other, 0.125)):
        grid = {"kerasclassifier__callbacks__plateau": [value]}
        search = GridSearchCV(clf, grid, cv=2).fit(X, y)
        assert search.best_estimator_[-1].history_["learning_rate"][-1] == pytest.approx(last)


def test_a_randomized_search_goes_through_a_pipeline():
    """Distributions reach the optimizer and the callbacks."""
    space = {
        "kerasclassifier__optimizer__learning_rate": loguniform(1e-3, 1e-1),
        "kerasclassifier__callbacks__stop__patience": [1, 2],
    }
    clf = pipeline(callbacks={"stop": EarlyStopping(monitor="loss")})
    search = RandomizedSearchCV(clf, space, n_iter=3, cv=2, random_state=0).fit(X, y)
    best = search.best_estimator_[-1]
    rate = search.best_params_["kerasclassifier__optimizer__learning_rate"]
    assert best.history_["learning_rate"][0] == pytest.approx(rate, rel=1e-6)
    assert best.callbacks_["stop"].patience == best.get_params()["callbacks__stop__patience"]


@pytest.mark.parametrize("piped", [False, True], ids=["alone", "in a pipeline"])
def test_halving_gives_more_epochs_to_fewer_candidates(piped):
    """The number of epochs is the resource."""
    clf = pipeline()
    prefix = "kerasclassifier__" if piped else ""
    search = HalvingGridSearchCV(
        clf if piped else clf[-1].set_params(epochs=1),
        {f"{prefix}optimizer__learning_rate": [1e-4, 1e-3, 1e-2, 1e-1]},
        resource=f"{prefix}epochs",
        min_resources=2,
        max_resources=8,
        factor=2,
        cv=2,
    ).fit(X, y)
    assert search.n_resources_ == [2, 4, 8]
    assert search.n_candidates_ == [4, 2, 1]
    best = search.best_estimator_
    assert (best[-1] if piped else best).n_iter_ == 8


LOAD = """
import pickle, sys
import numpy as np
search, X = pickle.load(open(sys.argv[1], "rb"))
np.save(sys.argv[2], search.predict_proba(X))
"""


@pytest.mark.slow
def test_a_fitted_search_predicts_the_same_in_a_fresh_process(tmp_path):
    """A GridSearchCV over a Pipeline, with callbacks that held the model."""
    stop = EarlyStopping(monitor="loss", restore_best_weights=True)
    clf = pipeline(callbacks={"stop": stop}, lr_schedule=CosineDecay())
    grid = {"kerasclassifier__callbacks__stop__patience": [1, 2]}
    search = GridSearchCV(clf, grid, cv=2).fit(X, y)
    (tmp_path / "search.pickle").write_bytes(pickle.dumps((search, X)))
    assert fresh_process(LOAD, tmp_path / "search.pickle", tmp_path / "p.npy") == ("", [])
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), search.predict_proba(X))


# -- the scripts -------------------------------------------------------------------------------

GRID_SEARCH = """
import keras
from sklearn.datasets import load_breast_cancer
X, y = load_breast_cancer(return_X_y=True)

from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skcb import KerasClassifier
from skcb.callbacks import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from skcb.schedules import CosineDecay, StepDecay

def mlp(meta, hidden=32, dropout=0.0):
    model = keras.Sequential([keras.layers.Input((meta["n_features_in_"],))])
    model.add(keras.layers.Dense(hidden, activation="relu"))
    model.add(keras.layers.Dropout(dropout))
    model.add(keras.layers.Dense(meta["n_output_units_"], activation=meta["output_activation_"]))
    return model

clf = KerasClassifier(
    mlp, hidden=64, optimizer="adam", optimizer__learning_rate=1e-3,
    callbacks={"stop": EarlyStopping(patience=5, restore_best_weights=True),
               "plateau": ReduceLROnPlateau(factor=0.5),
               "save": ModelCheckpoint("runs/{run}/best.keras", save_best_only=True)},
    epochs=100, batch_size=32, validation_split=0.2, random_state=0,
)
"""
THE_SEARCH = """
search = GridSearchCV(make_pipeline(StandardScaler(), clf), {
    "kerasclassifier__callbacks__stop__patience": [3, 10],
    "kerasclassifier__callbacks__plateau": [None, ReduceLROnPlateau(factor=0.2)],
    "kerasclassifier__lr_schedule": [StepDecay(drop=0.5, epochs_drop=10), CosineDecay()],
    "kerasclassifier__optimizer__learning_rate": [1e-2],
    "kerasclassifier__batch_size": [64],
    "kerasclassifier__hidden": [32],
}, cv=5, scoring="roc_auc").fit(X, y)

from pathlib import Path
print(search.best_score_, len(list(Path("runs").rglob("best.keras"))))
"""
THE_STUDY = """
import optuna
from optuna.distributions import FloatDistribution, IntDistribution
from skcb.optuna import CrossValObjective
optuna.logging.set_verbosity(optuna.logging.WARNING)
X = StandardScaler().fit_transform(X)
objective = CrossValObjective(clf, {
    "optimizer__learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
    "callbacks__stop__patience": IntDistribution(2, 20),
    "batch_size": IntDistribution(8, 128, log=True)}, X, y, cv=5, scoring="roc_auc")
study = optuna.create_study(
    direction="maximize", pruner=optuna.pruners.HyperbandPruner(max_resource=100)
)
study.optimize(objective, n_trials=10)
best = objective.refit(study)
print(study.best_value, len(study.trials), best.score(X, y))
"""


@pytest.mark.slow
def test_the_grid_search_of_the_design_runs_as_written(tmp_path, monkeypatch):
    """Eight candidates in five folds and a refit, each with a checkpoint of its own."""
    monkeypatch.chdir(tmp_path)
    stdout, stderr = fresh_process(GRID_SEARCH + THE_SEARCH)
    score, files = stdout.split()
    assert float(score) > 0.98 and int(files) == 41 and stderr == []


@pytest.mark.slow
def test_the_study_of_the_design_runs_as_written(tmp_path, monkeypatch):
    """Ten trials, and a refit with the best."""
    monkeypatch.chdir(tmp_path)
    stdout, stderr = fresh_process(GRID_SEARCH + THE_STUDY)
    value, trials, score = map(float, stdout.split())
    assert value > 0.98 and trials == 10 and score > 0.95 and stderr == []
