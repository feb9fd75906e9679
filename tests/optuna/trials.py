"""What the tests of studies share: a small estimator, callbacks that count, pruners that record."""

import itertools
from typing import ClassVar

import keras
import optuna
from optuna.distributions import FloatDistribution

from skcb import KerasClassifier, Tunable
from skcb.callbacks import EarlyStopping
from tests.models import Play, Y, perceptron

y = Y["binary"]
RATE = "optimizer__learning_rate"
SPACE = {RATE: FloatDistribution(1e-3, 1e-1, log=True)}


def classifier(build_fn=perceptron, **options):
    """Return a classifier that trains in a moment."""
    options = {"optimizer": "adam", "epochs": 3, "validation_split": 0.25, **options}
    return KerasClassifier(build_fn, random_state=0, **options)


def study_of(objective, n_trials=1, *, sampler=None, pruner=None, direction="maximize", **options):
    """Run a study; without a pruner nothing is pruned."""
    sampler = sampler or optuna.samplers.RandomSampler(seed=0)
    pruner = pruner or optuna.pruners.NopPruner()
    study = optuna.create_study(direction=direction, sampler=sampler, pruner=pruner)
    study.optimize(objective, n_trials=n_trials, **options)
    return study


class Counts(keras.callbacks.Callback):
    """Counts what really happened in one fold, and at which learning rates."""

    made: ClassVar[list] = []

    def __init__(self):
        super().__init__()
        self.begun = self.ended = 0
        self.rates = []
        self.made.append(self)

    @property
    def epochs(self):
        return len(self.rates)

    def on_train_begin(self, logs=None):
        self.begun += 1

    def on_epoch_end(self, epoch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))

    def on_train_end(self, logs=None):
        self.ended += 1


class Recording(optuna.pruners.BasePruner):
    """Writes down the epochs of each fold at each report; prunes at one step."""

    def __init__(self, n_folds, at=None):
        self.n_folds, self.at = n_folds, at
        self.steps, self.epochs = [], []

    def prune(self, study, trial):
        self.steps.append(trial.last_step)
        self.epochs.append([count.epochs for count in Counts.made[-self.n_folds :]])
        return trial.last_step == self.at


def curves(*values):
    """Return a recipe whose callback logs "played": in each fold another curve, in turn."""
    turns = itertools.cycle(values)
    return Tunable(lambda: Play("played", next(turns)))


def stops_by(**options):
    """Return an EarlyStopping on what is played."""
    return EarlyStopping(monitor="played", mode="max", **options)
