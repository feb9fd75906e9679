"""A script that trains with a backup, kills itself where it is told to, and reports.

Arguments: what to run ("fit" or "search"), the directory to run in, and the epoch, counted over
all fits of the process, in whose end it dies (-1: none).
"""

import os
import pickle
import signal
import sys
from typing import ClassVar

import keras
import numpy as np
from sklearn.model_selection import GridSearchCV

from skcb import KerasClassifier
from skcb.callbacks import (
    BackupAndRestore,
    CSVLogger,
    EarlyStopping,
    EpochScoring,
    LambdaCallback,
    ModelCheckpoint,
    ReduceLROnPlateau,
)
from skcb.schedules import CosineDecay

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 5)).astype("float32")
Y = np.array(["no", "yes"])[(X[:, 0] + 0.5 * RNG.normal(size=80) > 0).astype(int)]


class Fatal(keras.callbacks.Callback):
    """Counts the epochs of this process, and ends it in one of them."""

    fits: ClassVar[list[int]] = []
    dies_in = -1

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_begin(self, logs=None):
        """Begin to count."""
        Fatal.fits.append(0)

    def on_epoch_end(self, epoch, logs=None):
        """Count, and die."""
        self.seen.append(epoch)
        Fatal.fits[-1] += 1
        if sum(Fatal.fits) == Fatal.dies_in:
            os.kill(os.getpid(), signal.SIGKILL)


def net(meta, rate=0.3):
    """Build a net with what has a state of its own."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((meta["n_features_in_"],)),
            layers.Dense(8, "relu"),
            layers.BatchNormalization(),
            layers.Dropout(rate),
            layers.Dense(meta["n_output_units_"], meta["output_activation_"]),
        ]
    )


def classifier(**more):
    """Make a classifier in which everything is at work."""
    return KerasClassifier(
        net,
        optimizer="adam",
        optimizer__learning_rate=0.1,
        optimizer__use_ema=True,
        optimizer__ema_momentum=0.8,
        metrics=["accuracy"],
        lr_schedule=CosineDecay(alpha=0.1),
        callbacks={
            "stop": EarlyStopping(patience=7, restore_best_weights=True),
            "backup": BackupAndRestore("backup"),
            "plateau": ReduceLROnPlateau(factor=0.5, patience=0, min_delta=0.05),
            "score": EpochScoring("roc_auc"),
            **more,
            "fatal": Fatal(),  # after what writes
        },
        epochs=14,
        batch_size=16,
        validation_split=0.25,
        random_state=0,
    )


def run_fit():
    """Fit one estimator, with files."""
    clf = classifier(
        table=CSVLogger("history.csv"),
        save=ModelCheckpoint("best.weights.h5", save_best_only=True, save_weights_only=True),
        plain=LambdaCallback(on_epoch_end=lambda epoch, logs: None),
    ).fit(X, Y)
    stop, plateau = clf.callbacks_["stop"], clf.callbacks_["plateau"]
    with open("history.csv") as file:
        table = file.read()
    return {
        "history": clf.history_,
        "variables": [np.asarray(v) for v in clf.model_.variables],
        "optimizer": [np.asarray(v) for v in clf.model_.optimizer.variables],
        "epochs": (clf.n_iter_, clf.best_epoch_),
        "stop": (stop.wait, stop.best, stop.best_epoch, stop.stopped_epoch),
        "plateau": (plateau.wait, plateau.best, plateau.cooldown_counter),
        "best_weights": stop.best_weights,
        "save": clf.callbacks_["save"].best,
        "seen": clf.callbacks_["fatal"].seen,
        "table": table,
        "road": clf.engine_,
    }


def last_loss(clf, X, y):
    """Score by the last epoch."""
    return -clf.history_["loss"][-1]


def run_search():
    """Search, with a fit for each of two candidates and two folds, and the refit."""
    search = GridSearchCV(
        classifier(), {"model__rate": [0.1, 0.3]}, cv=2, scoring=last_loss, error_score="raise"
    ).fit(X, Y)
    return {
        "scores": [search.cv_results_[f"split{i}_test_score"] for i in range(2)],
        "history": search.best_estimator_.history_,
        "variables": [np.asarray(v) for v in search.best_estimator_.model_.variables],
    }


if __name__ == "__main__":
    what, folder, dies_in = sys.argv[1:]
    os.chdir(folder)
    Fatal.dies_in = int(dies_in)
    found = {"fit": run_fit, "search": run_search}[what]()
    with open("report.pickle", "wb") as file:
        pickle.dump({**found, "left": sorted(os.listdir(".")), "fits": Fatal.fits}, file)
