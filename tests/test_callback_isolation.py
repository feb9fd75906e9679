"""Nothing crosses from one fit to another: no state, no file, no learning rate."""

import json
import os

import joblib
import keras
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, cross_validate

from skcb import KerasClassifier, Tunable
from skcb.callbacks import CSVLogger, EarlyStopping, LearningRateScheduler, ReduceLROnPlateau
from tests.models import X, Y, perceptron

EPOCHS = 3
RATES = [0.5, 0.125]


class Diary(keras.callbacks.CSVLogger):
    """Writes down, at the end of a fit, what it found at its beginning and what it gathered."""

    def __init__(self, filename, gathered=None):
        super().__init__(filename)
        self.gathered = [] if gathered is None else gathered

    def on_train_begin(self, logs=None):
        self.found = len(self.gathered)

    def on_epoch_end(self, epoch, logs=None):
        self.gathered.append(
            [float(self.model.optimizer.learning_rate), logs["loss"], logs["val_loss"]]
        )

    def on_train_end(self, logs=None):
        kept = {"found": self.found, "gathered": self.gathered, "process": os.getpid()}
        with open(self.filename, "x") as file:  # fails where another fit has written
            json.dump(kept, file)


def halved(epoch, lr):
    """Halve the learning rate in every epoch but the first."""
    return lr / 2 if epoch else lr


def estimator(folder):
    """Return a classifier whose callbacks keep state, write files and set learning rates."""
    return KerasClassifier(
        perceptron,
        optimizer="sgd",
        callbacks={
            "rate": LearningRateScheduler(halved),
            "plateau": ReduceLROnPlateau(min_delta=100.0, patience=1, factor=0.5),
            "stop": EarlyStopping(patience=9),
            "diary": Tunable(Diary, filename=folder / "diary.json", gathered=[]),
            "log": CSVLogger(folder / "log.csv"),
        },
        epochs=EPOCHS,
        validation_split=0.25,
        random_state=0,
    )


def diaries(folder):
    """Read what the fits wrote, in an order that does not depend on who ran when."""
    kept = [json.loads(path.read_text()) for path in folder.rglob("diary.json")]
    assert len(kept) == len(list(folder.rglob("log.csv")))
    return sorted(kept, key=lambda diary: diary["gathered"])


def expected_rates(first):
    """Return the rates of an undisturbed fit: from the second epoch on both callbacks halve."""
    return [first, first / 4, first / 16]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Return the diaries of a search without workers."""
    folder = tmp_path_factory.mktemp("alone")
    search(folder, n_jobs=1)
    return diaries(folder)


def search(folder, **options):
    """Run a search of two candidates on three folds."""
    grid = {"optimizer__learning_rate": RATES}
    return GridSearchCV(estimator(folder), grid, cv=3, refit=False, **options).fit(X, Y["binary"])


def check(kept, rates):
    """Check that each fit began with nothing and saw its own rates only."""
    assert [diary["found"] for diary in kept] == [0] * len(kept)
    seen = sorted([[line[0] for line in diary["gathered"]] for diary in kept])
    assert seen == sorted(map(expected_rates, rates))


def test_fits_of_a_search_share_nothing(alone):
    """Six fits, six diaries: each has its own rates, and no two are alike."""
    check(alone, np.repeat(RATES, 3).tolist())
    assert len({json.dumps(diary["gathered"]) for diary in alone}) == 6


@pytest.mark.parametrize("backend", ["threading", pytest.param("loky", marks=pytest.mark.slow)])
def test_workers_change_nothing(backend, alone, tmp_path):
    """Two at a time, in threads and in processes: the same diaries, to the last bit of the loss."""
    with joblib.parallel_backend(backend, n_jobs=2):
        search(tmp_path, n_jobs=2)
    kept = diaries(tmp_path)
    check(kept, np.repeat(RATES, 3).tolist())
    if backend == "threading":
        assert kept == alone
    else:
        assert {diary["process"] for diary in kept}.isdisjoint({os.getpid()})
        losses = [[d["gathered"] for d in diaries_] for diaries_ in (kept, alone)]
        np.testing.assert_allclose(*losses, rtol=1e-5)  # other processes may use other threads


def test_cross_validation_shares_nothing(tmp_path):
    """Each fold's estimator has live callbacks of its own, as it left them."""
    given = estimator(tmp_path).set_params(optimizer__learning_rate=0.5)
    found = cross_validate(given, X, Y["binary"], cv=3, return_estimator=True)["estimator"]
    check(diaries(tmp_path), [0.5] * 3)
    for name in given.callbacks:
        assert len({id(each.callbacks_[name]) for each in found}) == 3
    logged = [each.callbacks_["diary"].gathered for each in found]
    assert [len(lines) for lines in logged] == [EPOCHS] * 3
    assert [[line[1] for line in lines] for lines in logged] == [
        each.history_["loss"] for each in found
    ]
    assert given.callbacks["diary"].params["gathered"] == []


def test_one_estimator_fitted_again_begins_anew(tmp_path):
    """State and learning rate of the first fit are gone; its files stay."""
    paths = {"callbacks__diary__filename": tmp_path / "{run}" / "diary.json"}
    paths["callbacks__log__filename"] = tmp_path / "{run}" / "log.csv"
    again = estimator(tmp_path).set_params(optimizer__learning_rate=0.5, **paths)
    first = again.fit(X, Y["binary"]).history_
    assert again.fit(X, Y["binary"]).history_ == first
    check(diaries(tmp_path), [0.5] * 2)
