"""A grid search over what happens during training.

Patience, the kind of learning-rate schedule, the learning rate and the batch size are parameters
like any other, so scikit-learn's GridSearchCV varies them together. Every fold stops on its own,
and keeps its best model and its history in a directory of its own.
"""

import csv
import tempfile
import time
from pathlib import Path

import keras
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcb import KerasClassifier
from skcb.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint
from skcb.schedules import CosineDecay, StepDecay

X, y = load_breast_cancer(return_X_y=True)
cv = StratifiedKFold(3, shuffle=True, random_state=0)
runs = Path(tempfile.mkdtemp(prefix="skcb-")) / "runs"


def mlp(meta, hidden=32):
    return keras.Sequential(
        [
            keras.layers.Input((meta["n_features_in_"],)),
            keras.layers.Dense(hidden, activation="relu"),
            keras.layers.Dense(meta["n_output_units_"], activation=meta["output_activation_"]),
        ]
    )


# The callbacks are described here and built afresh for every fit. `{run}` is the place of one fit
# within the search, so no fold writes over another's files.
clf = KerasClassifier(
    mlp,
    optimizer="adam",
    callbacks={
        "stop": EarlyStopping(patience=5, restore_best_weights=True),
        "save": ModelCheckpoint(f"{runs}/{{run}}/best.keras", save_best_only=True),
        "log": CSVLogger(f"{runs}/{{run}}/history.csv"),
    },
    epochs=40,
    validation_split=0.2,
    random_state=0,
)

# Two questions in one search. With a constant learning rate, which rate and which batch size? And
# from a high rate, which way down, and how much patience does it need? A schedule's horizon counts
# epochs, or is a fraction of training as in CosineDecay, never optimizer steps: it stays what it
# is whatever the batch size.
patience = "kerasclassifier__callbacks__stop__patience"
schedule = "kerasclassifier__lr_schedule"
rate = "kerasclassifier__optimizer__learning_rate"
batch = "kerasclassifier__batch_size"
grids = [
    {patience: [3], schedule: [None], rate: [1e-3, 1e-2], batch: [16, 64]},
    {
        patience: [3, 10],
        schedule: [StepDecay(drop=0.5, epochs_drop=10), CosineDecay()],
        rate: [1e-2],
        batch: [64],
    },
]
start = time.perf_counter()
search = GridSearchCV(make_pipeline(StandardScaler(), clf), grids, cv=cv, scoring="roc_auc")
search.fit(X, y)
seconds = time.perf_counter() - start

candidates, folds = search.cv_results_["params"], cv.get_n_splits()
fits = len(candidates) * folds + 1
print(f"{len(candidates)} candidates x {folds} folds + refit: {fits} fits, {seconds:.0f} s")

print("\nbest parameters")
for name, value in search.best_params_.items():
    print(f"  {name.removeprefix('kerasclassifier__'):26} {value}")

# The same folds for two of scikit-learn's own. The search reports the best of its candidates,
# which flatters it a little; the default candidates had no such choice.
print("\ncross-validated ROC AUC")
print(f"  {'KerasClassifier, best of eight':36} {search.best_score_:.4f}")
for baseline in (MLPClassifier(max_iter=1000, random_state=0), LogisticRegression()):
    scores = cross_val_score(
        make_pipeline(StandardScaler(), baseline), X, y, cv=cv, scoring="roc_auc"
    )
    print(f"  {type(baseline).__name__ + ', defaults':36} {scores.mean():.4f}")


# GridSearchCV throws the folds' estimators away; what their callbacks wrote is still there.
def epochs_run(log):
    with log.open(newline="") as rows:
        return len(list(csv.DictReader(rows)))


logs = sorted(runs.rglob("history.csv"), key=lambda log: log.stat().st_mtime_ns)
epochs = [epochs_run(log) for log in logs]
print(f"\nepochs that each fold ran, of at most {clf.epochs}")
print("  patience  rate   batch  folds        schedule")
for i, p in enumerate(candidates):
    ran = " ".join(f"{n:3d}" for n in epochs[i * folds : (i + 1) * folds])
    print(f"  {p[patience]:8}  {p[rate]:.3f}  {p[batch]:5}  {ran}  {p[schedule] or 'constant'}")
print(f"  and the refit {epochs[-1]}")

saved = list(runs.rglob("best.keras"))
print(f"\n{len(saved)} checkpoints, one for each fit, under {runs}")
print(f"  the first: {logs[0].relative_to(runs).with_name('best.keras')}")
