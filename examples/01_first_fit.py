"""A Keras model as a scikit-learn classifier.

We write a function that builds a network, hand it to KerasClassifier, and from then on it is an
estimator like any other: it fits, predicts, scores and stands at the end of a pipeline.
"""

import keras
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcb import KerasClassifier
from skcb.callbacks import EarlyStopping

X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)


# What the network must know of the data comes in `meta`, so nothing is written down twice: how
# many columns there are, how many units the target needs, and which activation they end in.
def mlp(meta, hidden=32, dropout=0.0):
    return keras.Sequential(
        [
            keras.layers.Input((meta["n_features_in_"],)),
            keras.layers.Dense(hidden, activation="relu"),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(meta["n_output_units_"], activation=meta["output_activation_"]),
        ]
    )


# A fifth of the training rows is watched, never trained on. Training ends when the loss on them
# has not improved for five epochs, and the weights of the best epoch are kept. The function's own
# arguments (`hidden`) and the optimizer's (`optimizer__learning_rate`) stand beside the rest.
clf = KerasClassifier(
    mlp,
    hidden=64,
    optimizer="adam",
    optimizer__learning_rate=3e-3,
    callbacks={"stop": EarlyStopping(patience=5, restore_best_weights=True)},
    epochs=100,
    batch_size=32,
    validation_split=0.2,
    random_state=0,
)
pipeline = make_pipeline(StandardScaler(), clf).fit(X_train, y_train)
fitted = pipeline[-1]

print(f"epochs run       {fitted.n_iter_} of at most {clf.epochs}")
print(f"best epoch       {fitted.best_epoch_} (counted from 0)")
print(f"loss there       {fitted.history_['loss'][fitted.best_epoch_]:.4f} on the training rows")
print(f"                 {fitted.history_['val_loss'][fitted.best_epoch_]:.4f} on the watched rows")
print(f"test accuracy    {pipeline.score(X_test, y_test):.3f}")

# `predict_proba` follows scikit-learn: one column a class, in the order of `classes_`.
malignant, benign = pipeline.predict_proba(X_test[:1])[0]
print(f"classes          {fitted.classes_.tolist()}")
print(f"first test row   {malignant:.3f} and {benign:.3f}")

# `model_` is an ordinary compiled Keras model.
print(f"the Keras model  {fitted.model_.count_params()} weights")

# Whatever a search could vary has a name, down to the arguments of a callback.
names = list(clf.get_params())
print(f"parameters       {len(names)}, among them")
for name in ("hidden", "dropout", "optimizer__learning_rate", "callbacks__stop__patience"):
    print(f"                 {name} = {clf.get_params()[name]}")
