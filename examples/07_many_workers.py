"""Several processes work on one Optuna study; one of them is killed, and only its trial is lost.

The workers meet in a Journal file: whoever opens it, at any time, goes on with the same study. A
worker is an ordinary script, here this one with a name as its argument; `n_trials` is its own.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keras
import optuna
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import TrialState
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcb import KerasClassifier
from skcb.callbacks import EarlyStopping
from skcb.optuna import CrossValObjective

optuna.logging.set_verbosity(optuna.logging.WARNING)

X, y = load_breast_cancer(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)


def mlp(meta, hidden=16):
    return keras.Sequential(
        [
            keras.layers.Input((meta["n_features_in_"],)),
            keras.layers.Dense(hidden, activation="relu"),
            keras.layers.Dense(meta["n_output_units_"], activation=meta["output_activation_"]),
        ]
    )


clf = KerasClassifier(
    mlp,
    optimizer="adam",
    callbacks={"stop": EarlyStopping(patience=4, restore_best_weights=True)},
    epochs=20,
    validation_split=0.2,
    random_state=0,
)

# Every worker makes the same objective. Had one of them another space, other folds or other data,
# its trials would be refused: their values could not be compared.
objective = CrossValObjective(
    make_pipeline(StandardScaler(), clf),
    {
        "kerasclassifier__optimizer__learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
        "kerasclassifier__callbacks__stop__patience": IntDistribution(2, 8),
        "kerasclassifier__batch_size": IntDistribution(16, 128, log=True),
    },
    X,
    y,
    cv=3,
    scoring="roc_auc",
)


# The path is absolute: the lock of a relative one could not be taken from a worker that was killed
# while it wrote. The samplers have no seed, or they would all suggest the same.
def opened(path):
    return optuna.create_study(
        study_name="breast cancer",
        storage=JournalStorage(JournalFileBackend(path)),
        load_if_exists=True,
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=3),
    )


def work(path, name, n_trials):
    def trial_of_this_worker(trial):
        trial.set_user_attr("worker", name)
        return objective(trial)

    opened(path).optimize(trial_of_this_worker, n_trials=n_trials)


if len(sys.argv) > 1:
    work(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    sys.exit()

folder = tempfile.TemporaryDirectory()
path = str(Path(folder.name).resolve() / "study.log")
study = opened(path)


def start(name, n_trials):
    return subprocess.Popen([sys.executable, __file__, path, name, str(n_trials)])


# The first does eight trials. The second would do a hundred, but is killed in the middle of its
# third, or of a later one. It is killed while nobody writes, which holds as long as we have the
# file's lock: who is killed as he writes leaves the lock behind, and the others wait 30 seconds
# before they take it from him.
first, second = start("worker 1", 8), start("worker 2", 100)
lock = JournalFileSymlinkLock(path)
while second.poll() is None:
    time.sleep(0.02)
    lock.acquire()
    of_second = [trial for trial in study.trials if trial.user_attrs.get("worker") == "worker 2"]
    if len(of_second) >= 3 and of_second[-1].state == TrialState.RUNNING:
        second.kill()
        second.wait()
    lock.release()
first.wait()


# Nobody can tell from a file that a worker is gone: its last trial seems to be running. We know,
# give it up, and have its parameters tried again. (A database with `heartbeat_interval` finds out
# itself.)
for trial in study.get_trials(states=[TrialState.RUNNING]):
    print(f"trial {trial.number} was left behind by {trial.user_attrs['worker']}")
    study.tell(trial.number, state=TrialState.FAIL)
    study.enqueue_trial(trial.params)
work(path, "this script", 2)

print("\nworker       complete  pruned  failed")
for name in ("worker 1", "worker 2", "this script"):
    states = [trial.state for trial in study.trials if trial.user_attrs["worker"] == name]
    counts = [states.count(s) for s in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)]
    print("{:11} {:9} {:7} {:7}".format(name, *counts))

best = study.best_trial
print(f"\nbest: trial {best.number} of {best.user_attrs['worker']}, ROC AUC {best.value:.4f}")
for name, value in best.params.items():
    print(f"  {name:44} {value:.4g}")
final = objective.refit(study)
print(f"accuracy on rows that the study never saw: {final.score(X_test, y_test):.4f}")
folder.cleanup()
