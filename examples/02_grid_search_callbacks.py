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

# A schedule's horizon counts epochs, or fractions of training as in CosineDecay, never optimizer
# steps. So the batch size can be varied beside it and the schedule stays what it was.
grid = {
    "kerasclassifier__callbacks__stop__patience": [3, 10],
    "kerasclassifier__lr_schedule": [None, StepDecay(drop=0.5, epochs_drop=10), CosineDecay()],
    "kerasclassifier__optimizer__learning_rate": [1e-3, 1e-2],
    "kerasclassifier__batch_size": [16, 64],
}
start = time.perf_counter()
search = GridSearchCV(make_pipeline(StandardScaler(), clf), grid, cv=cv, scoring="roc_auc")
search.fit(X, y)
seconds = time.perf_counter() - start

candidates = len(search.cv_results_["params"])
fits = candidates * cv.get_n_splits() + 1
print(f"{candidates} candidates x {cv.get_n_splits()} folds + refit: {fits} fits, {seconds:.0f} s")

print("\nbest parameters")
for name, value in search.best_params_.items():
    print(f"  {name.removeprefix('kerasclassifier__'):26} {value}")

# The same folds for two of scikit-learn's own. The search reports the best of its candidates,
# which flatters it a little; the default candidates had no such choice.
print("\ncross-validated ROC AUC")
print(f"  {'KerasClassifier, best of the grid':36} {search.best_score_:.4f}")
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
print(f"\nepochs that each fit ran, of at most {clf.epochs}; one line a candidate, then the refit")
width = cv.get_n_splits()
for i in range(0, len(epochs), width):
    print("  " + " ".join(f"{n:3d}" for n in epochs[i : i + width]))

saved = sorted(runs.rglob("best.keras"))
print(f"\n{len(saved)} checkpoints, one for each fit, under {runs}")
print(f"  the first: {saved[0].relative_to(runs)}")
