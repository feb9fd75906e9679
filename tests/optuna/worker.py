"""A worker on a study, in a process of its own; some of them are killed.

As a script it is a worker with Keras estimators. Arguments: a storage, and a file by which it is
told to stop. Functions are workers with scikit-learn's, which start in no time: nothing here loads
Keras before it is needed.
"""

import os
import signal
import sys
import time
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage, RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from sklearn.linear_model import Ridge

from skcb.optuna import CrossValObjective, OptunaSearchCV

GRACE = 4
"""Seconds after which others give up a trial, or a lock, whose worker was killed."""
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype("float32")
y = (X[:, 0] + RNG.normal(size=60) > 0).astype(int)
SPACE = {"alpha": FloatDistribution(1e-3, 1e2, log=True)}
RATE = "optimizer__learning_rate"
RATES = {RATE: FloatDistribution(1e-3, 1e-1, log=True)}


def storage_at(place):
    """Return the storage of an address, or of a file; what its workers do not finish is retried."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if "://" not in place:
        lock = JournalFileSymlinkLock(place, grace_period=GRACE)
        return JournalStorage(JournalFileBackend(place, lock_obj=lock))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return RDBStorage(
            place,
            heartbeat_interval=1,
            grace_period=GRACE,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=9),
        )


def search(storage, estimator=None, **options):
    """Return a search; all of them have the same `random_state`."""
    options = {"cv": 3, "random_state": 0, "study_name": "s", "refit": False, **options}
    return OptunaSearchCV(estimator or Ridge(), SPACE, storage=storage, **options)


def run(place, log, barrier, n_trials=None):
    """Begin when all do, work on a study, and write a line for each trial that the storage has."""
    with Path(log).open("a", buffering=1) as lines, redirect_stdout(lines):
        barrier.wait(60)
        search(storage_at(place), n_trials=n_trials, timeout=60, verbose=1).fit(X, y)


def begin(address, barrier):
    """Begin when all do, and do one trial; the search makes the storage itself."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    barrier.wait(60)
    search(address, n_trials=1).fit(X, y)


class Interrupted(Ridge):
    """Sends its process a signal in its n-th fit, some heartbeats after the trial has begun."""

    fits = 0
    signal_in = -1
    signal = signal.SIGKILL
    before = None

    def fit(self, X, y, sample_weight=None):
        """Count, and fit, if there is a process still."""
        Interrupted.fits += 1
        if Interrupted.fits == Interrupted.signal_in:
            time.sleep(1.5)
            if Interrupted.before is not None:
                Interrupted.before.set()
            os.kill(os.getpid(), Interrupted.signal)
        return super().fit(X, y, sample_weight)


def run_and_signal(place, signal_in, number, before=None):
    """Work on a study, and be killed or stopped in the n-th fit."""
    Interrupted.signal_in, Interrupted.signal, Interrupted.before = signal_in, number, before
    search(storage_at(place), Interrupted(), n_trials=9).fit(X, y)


def lock_and_wait(path, locked):
    """Take the lock of a Journal file, as a write does, and never give it back."""
    JournalFileSymlinkLock(path).acquire()
    locked.set()
    time.sleep(60)


def objective(**options):
    """Return three folds of a small Keras classifier."""
    from tests.optuna.trials import classifier

    return CrossValObjective(classifier(), RATES, X, y, cv=3, **options)


def main(place, stop):
    """Work on a study until there is a file called `stop`."""

    def tell(study, trial):
        print(f"[Optuna] trial {trial.number}: {trial.state.name} {trial.value:.6g}", flush=True)
        if Path(stop).exists():
            study.stop()

    study = optuna.create_study(
        storage=storage_at(place), study_name="s", direction="maximize", load_if_exists=True
    )
    study.optimize(objective(), callbacks=[tell])


if __name__ == "__main__":
    main(*sys.argv[1:])
