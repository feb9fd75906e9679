"""An Optuna study that prunes inside cross-validation, and says which settings matter.

The folds of a trial train together, an epoch at a time. After each epoch the study's pruner is told
the mean of their scores on the rows that they watch, so a bad trial ends on the evidence of all its
folds, after a few epochs.
"""

import importlib.util
import tempfile
import warnings
from pathlib import Path

import keras
import optuna
from sklearn.datasets import load_digits
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcb import KerasClassifier
from skcb.callbacks import EarlyStopping, ReduceLROnPlateau
from skcb.optuna import CrossValObjective
from skcb.schedules import CosineDecay

optuna.logging.set_verbosity(optuna.logging.WARNING)

# The study sees the training rows alone; the test rows are for the very end.
X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
EPOCHS, FOLDS = 30, 3


def mlp(meta, hidden=32, dropout=0.0):
    return keras.Sequential(
        [
            keras.layers.Input((meta["n_features_in_"],)),
            keras.layers.Dense(hidden, activation="relu"),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(meta["n_output_units_"], activation=meta["output_activation_"]),
        ]
    )


clf = KerasClassifier(
    mlp,
    callbacks={
        "stop": EarlyStopping(patience=5, restore_best_weights=True),
        "plateau": ReduceLROnPlateau(patience=2),
    },
    epochs=EPOCHS,
    validation_split=0.2,
    random_state=0,
)
pipeline = make_pipeline(StandardScaler(), clf)


# A space in which one choice depends on another is a function of the trial. What it suggests has
# names of its own; what it returns are names of parameters. SGD alone has a momentum, the cosine
# alone a warm-up, and a plateau that is switched off has no factor.
def space(trial):
    params = {
        "hidden": trial.suggest_categorical("hidden", [32, 128]),
        "dropout": trial.suggest_categorical("dropout", [0.0, 0.3]),
        "batch_size": trial.suggest_int("batch size", 16, 128, log=True),
        "optimizer": trial.suggest_categorical("optimizer", ["adam", "sgd"]),
        "optimizer__learning_rate": trial.suggest_float("learning rate", 1e-4, 0.3, log=True),
        "callbacks__stop__patience": trial.suggest_int("stop: patience", 2, 12),
    }
    if params["optimizer"] == "sgd":
        params["optimizer__momentum"] = trial.suggest_float("momentum", 0.0, 0.95)
    if trial.suggest_categorical("schedule", ["none", "cosine"]) == "cosine":
        warm_up = trial.suggest_float("warm-up", 0.05, 0.3)
        params["lr_schedule"] = CosineDecay(warmup_epochs=warm_up)
    if trial.suggest_categorical("plateau", [True, False]):
        params["callbacks__plateau__factor"] = trial.suggest_float("plateau: factor", 0.1, 0.8)
    else:
        params["callbacks__plateau"] = None
    return {f"kerasclassifier__{name}": value for name, value in params.items()}


objective = CrossValObjective(pipeline, space, X, y, cv=FOLDS, scoring="f1_macro")
study = optuna.create_study(
    direction="maximize",
    sampler=optuna.samplers.TPESampler(seed=0),
    pruner=optuna.pruners.HyperbandPruner(max_resource=EPOCHS),
    study_name="digits",
)
study.optimize(objective, n_trials=40)

# A pruned trial has trained each of its folds as long as the others, and no fold longer.
states = optuna.trial.TrialState
pruned = study.get_trials(states=[states.PRUNED])
trained = sum(sum(trial.user_attrs["fold_epochs"]) for trial in study.trials)
print(f"{len(study.trials)} trials, {len(pruned)} of them pruned")
print(f"epochs trained: {trained} of {len(study.trials) * FOLDS * EPOCHS} at most")
print("\nsome that were pruned: epochs of each fold, and the watched rows' mean F1 by then")
for trial in pruned[:5]:
    epochs, score = trial.user_attrs["fold_epochs"], trial.intermediate_values[trial.last_step]
    print(f"  trial {trial.number:2}  {epochs}  {score:.3f}")

best = study.best_trial
print(f"\nbest trial: {best.number}, F1 {best.value:.4f} on the test folds")
print(f"  folds {[round(score, 4) for score in best.user_attrs['fold_scores']]}")
print(f"  best epochs {best.user_attrs['fold_best_epochs']}")
for name, value in best.params.items():
    print(f"  {name:16} {value:.4g}" if isinstance(value, float) else f"  {name:16} {value}")

# Which settings matter? Optuna judges by the trials that were finished, and warns where those with
# a setting are few.
warnings.filterwarnings("ignore", "Some regimes for parameter")
importances = optuna.importance.get_param_importances(study)
print("\nwhat matters, by Optuna's importances")
for name, share in importances.items():
    print(f"  {name:16} {share:5.1%}")
of_callbacks = sum(share for name, share in importances.items() if name[:4] in ("stop", "plat"))
print(f"  all settings of callbacks together: {of_callbacks:.1%}")

# The best parameters on all rows, those that were watched too, for as long as was best in the
# folds. The estimator says what was done.
final = objective.refit(study, validation="none")
print(f"\nrefit: {final.refit_}")
f1 = f1_score(y_test, final.predict(X_test), average="macro")
print(f"F1 on rows that the study never saw: {f1:.4f}")

# Optuna's plots show the curves by which trials were judged, and the importances.
if importlib.util.find_spec("matplotlib") is not None:
    import matplotlib

    matplotlib.use("Agg")  # a script has no window
    from optuna.visualization import matplotlib as plots

    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    warnings.filterwarnings("ignore", "Tight layout not applied")  # many names on one axis
    folder = Path(tempfile.mkdtemp())
    for name in ("plot_intermediate_values", "plot_param_importances"):
        axes = getattr(plots, name)(study)
        axes.figure.savefig(folder / f"{name}.png", bbox_inches="tight")
    print(f"plots: {', '.join(sorted(path.name for path in folder.iterdir()))}")
