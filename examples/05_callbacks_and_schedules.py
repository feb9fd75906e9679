"""What happens while a network trains, epoch by epoch, and how a search varies it.

A schedule says what the learning rate is over training. A callback looks at each epoch, and may
act. Here both are described, looked at in one fit, and then searched over.
"""

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcb import KerasClassifier, Tunable, engine_report
from skcb.callbacks import EarlyStopping, EpochScoring, ReduceLROnPlateau
from skcb.schedules import CosineDecay, LinearWarmup, OneCycle, StepDecay

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)


def mlp(meta, hidden=32):
    return keras.Sequential(
        [
            keras.layers.Input((meta["n_features_in_"],)),
            keras.layers.Dense(hidden, activation="relu"),
            keras.layers.Dense(meta["n_output_units_"], activation=meta["output_activation_"]),
        ]
    )


# A schedule can be looked at before anything is trained. Two that are chained: a warm-up over the
# first tenth of training, and from there a drop every five epochs. A float is a fraction of
# training, an integer a number of epochs, and neither depends on the batch size.
EPOCHS, LEARNING_RATE = 20, 0.1
warm_steps = LinearWarmup(0.1).then(StepDecay(drop=0.5, epochs_drop=5), at=0.1)
print("learning rate by epoch")
for name, schedule in {"warm-up, then steps": warm_steps, "one cycle": OneCycle()}.items():
    curve = schedule.simulate(EPOCHS, LEARNING_RATE)
    print(f"  {name:20}" + "".join(f"{rate:8.4f}" for rate in curve[::3]))


# A callback of your own is an ordinary Keras callback. `Tunable` makes its arguments parameters.
class LossHistory(keras.callbacks.Callback):
    """Keeps the loss of every so many batches."""

    def __init__(self, every=1):
        super().__init__()
        self.every = every
        self.losses = []

    def on_train_batch_end(self, batch, logs=None):
        """Note the mean loss of the epoch so far, which is what Keras logs."""
        if batch % self.every == 0:
            self.losses.append(logs["loss"])


# Four callbacks. Macro F1 is no metric of Keras', so one of them lets scikit-learn's scorer look at
# the watched rows after each epoch. What it finds is there for the others to monitor, and they know
# that more of it is better.
clf = KerasClassifier(
    mlp,
    optimizer="sgd",
    optimizer__learning_rate=LEARNING_RATE,
    lr_schedule=warm_steps,
    callbacks={
        "f1": EpochScoring("f1_macro"),
        "stop": EarlyStopping("val_f1_macro", patience=6, restore_best_weights=True),
        "plateau": ReduceLROnPlateau("val_f1_macro", factor=0.5, patience=2),
        "batches": Tunable(LossHistory, every=10),
    },
    epochs=EPOCHS,
    validation_split=0.2,
    random_state=0,
)
pipe = make_pipeline(StandardScaler(), clf).fit(X, y)

# After a fit, `history_` holds what each epoch measured and the learning rate that it had: the
# schedule's, times the factors of the plateaus so far. `callbacks_` holds this fit's callbacks.
net = pipe[-1]
history = net.history_
print(f"\none fit: {net.n_iter_} epochs, the best was {net.best_epoch_}, by {net.engine_}")
print("  epoch   rate     loss  val_f1_macro")
for epoch in range(0, net.n_iter_, 3):
    rate, loss, f1 = (history[name][epoch] for name in ("learning_rate", "loss", "val_f1_macro"))
    print(f"  {epoch:5}  {rate:.4f}  {loss:.4f}  {f1:.4f}")
losses = net.callbacks_["batches"].losses
print(f"  losses noted by LossHistory: {len(losses)}, first {losses[0]:.2f}, last {losses[-1]:.2f}")

# Now a search: two kinds of schedule with settings of their own, so a list of grids, and the
# patience of a callback in each. What looks at batches is switched off, which frees the engine to
# run each epoch in one call; none of the candidates makes it compile anything again.
pipe.set_params(kerasclassifier__callbacks__batches=None)
before = engine_report().traces["train"]
prefix = "kerasclassifier__"
schedule = prefix + "lr_schedule"
patience = prefix + "callbacks__plateau__patience"
grids = [
    {schedule: [warm_steps], f"{schedule}__second__drop": [0.5, 0.2], patience: [1, 4]},
    {schedule: [CosineDecay(), OneCycle(per="batch")], patience: [1, 4]},
]
search = GridSearchCV(pipe, grids, cv=3, scoring="f1_macro").fit(X, y)
print("\na search over schedules and patience, macro F1 in three folds")
results = search.cv_results_
for i in np.argsort(results["rank_test_score"]):
    params = {name.removeprefix(prefix): value for name, value in results["params"][i].items()}
    kind = type(params.pop("lr_schedule")).__name__
    rest = ", ".join(f"{name.split('__', 1)[1]}={value}" for name, value in params.items())
    print(f"  {results['mean_test_score'][i]:.4f}  {kind:12} {rest}")
print(f"  on rows that nobody has seen: {search.score(X_test, y_test):.4f}")
again = engine_report().traces["train"] - before
print(f"  the {len(results['params']) * 3 + 1} fits of the search compiled {again} training steps")
