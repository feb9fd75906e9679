"""Which learning-rate schedule suits a regression?

A schedule is an object that can be looked at before it is used: `simulate` gives the whole curve
without training. Then each goes to the same network as `lr_schedule`.
"""

import keras
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcb import KerasRegressor
from skcb.schedules import CosineDecay, ExponentialDecay, StepDecay, TimeBasedDecay

EPOCHS, LEARNING_RATE = 40, 0.01

schedules = {
    "constant": None,
    "time-based": TimeBasedDecay(decay=0.002),
    "step": StepDecay(drop=0.5, epochs_drop=0.25),
    "exponential": ExponentialDecay(decay_rate=0.9),
    "cosine": CosineDecay(),
}

# An integer horizon counts epochs, a float is a fraction of training: `epochs_drop=0.25` drops
# four times, however many epochs there are.
shown = range(0, EPOCHS, 6)
print(f"learning rate, from {LEARNING_RATE}, in epoch")
print(f"  {'':12}" + "".join(f"{epoch:>9}" for epoch in shown))
for name, schedule in schedules.items():
    if schedule is not None:
        curve = schedule.simulate(EPOCHS, LEARNING_RATE)
        print(f"  {name:12}" + "".join(f"{curve[epoch]:9.5f}" for epoch in shown))


def mlp(meta):
    return keras.Sequential(
        [
            keras.layers.Input((meta["n_features_in_"],)),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(meta["n_output_units_"]),
        ]
    )


# A network wants its target on a scale of about one; scikit-learn has an estimator for that, and
# it takes ours like any other.
def on_scale(regressor):
    return TransformedTargetRegressor(
        make_pipeline(StandardScaler(), regressor), transformer=StandardScaler()
    )


X, y = load_diabetes(return_X_y=True)
cv = KFold(5, shuffle=True, random_state=0)

print("\ncross-validated R2, mean and standard deviation over five folds")
for name, schedule in schedules.items():
    net = KerasRegressor(
        mlp,
        optimizer="sgd",
        optimizer__learning_rate=LEARNING_RATE,
        lr_schedule=schedule,
        epochs=EPOCHS,
        batch_size=32,
        random_state=0,
    )
    scores = cross_val_score(on_scale(net), X, y, cv=cv, scoring="r2", error_score="raise")
    print(f"  {name:12} {scores.mean():.3f}  {scores.std():.3f}")

scores = cross_val_score(on_scale(Ridge()), X, y, cv=cv, scoring="r2")
print(f"  {'Ridge':12} {scores.mean():.3f}  {scores.std():.3f}")
