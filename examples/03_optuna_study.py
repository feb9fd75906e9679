"""An Optuna study over the same names that GridSearchCV would vary.

CrossValObjective turns an estimator, the distributions of some of its parameters and the data
into an objective: each trial is one cross-validation.
"""

import keras
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcb import KerasClassifier
from skcb.callbacks import EarlyStopping
from skcb.optuna import CrossValObjective

optuna.logging.set_verbosity(optuna.logging.WARNING)

# The study sees the training rows alone; the test rows are for the very end.
X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)


def mlp(meta, hidden=32):
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
    callbacks={"stop": EarlyStopping(patience=5, restore_best_weights=True)},
    epochs=30,
    validation_split=0.2,
    random_state=0,
)

# The scaler is fitted within each fold, so what is tuned is the whole pipeline. The names are the
# ones that GridSearchCV would take.
pipeline = make_pipeline(StandardScaler(), clf)
hidden = "kerasclassifier__hidden"
rate = "kerasclassifier__optimizer__learning_rate"
patience = "kerasclassifier__callbacks__stop__patience"
batch = "kerasclassifier__batch_size"
objective = CrossValObjective(
    pipeline,
    {
        hidden: CategoricalDistribution([16, 64]),
        rate: FloatDistribution(1e-4, 1e-1, log=True),
        patience: IntDistribution(2, 10),
        batch: IntDistribution(8, 128, log=True),
    },
    X_train,
    y_train,
    cv=3,
    scoring="roc_auc",
    prune=False,  # 06_optuna_pruned_cv.py ends bad trials early
)
study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
study.optimize(objective, n_trials=10)

print("trial  ROC AUC  hidden  learning rate  patience  batch size")
for trial in study.trials:
    p = trial.params
    print(
        f"{trial.number:5}  {trial.value:.4f}   {p[hidden]:6}  {p[rate]:13.5f}  "
        f"{p[patience]:8}  {p[batch]:10}"
    )
print(f"\nbest trial: {study.best_trial.number}, ROC AUC {study.best_value:.4f}")

# What the study found is a set of parameters, so the last step needs nothing of Optuna.
pipeline.set_params(**study.best_params).fit(X_train, y_train)
score = roc_auc_score(y_test, pipeline.predict_proba(X_test)[:, 1])
print(f"fitted anew with its parameters, on rows the study never saw: {score:.4f}")
