"""An estimator on whatever backend Keras has here, where TensorFlow cannot be imported.

Run as ``python other_backend.py``; prints what came out as JSON.
"""

import json
import pickle
import sys
import warnings

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcb import KerasClassifier, Tunable
from skcb.callbacks import EarlyStopping
from skcb.schedules import CosineDecay, StepDecay

X, y = load_breast_cancer(return_X_y=True)
XS = StandardScaler().fit_transform(X).astype("float32")
TRAIN, WATCHED = slice(0, 300), slice(300, 400)


def mlp(hidden=8):
    """Build a net whose random numbers are its own."""
    import keras

    layers = keras.layers
    glorot = keras.initializers.GlorotUniform
    return keras.Sequential(
        [
            layers.Input((30,)),
            layers.Dense(hidden, "relu", kernel_initializer=glorot(seed=1)),
            layers.Dropout(0.3, seed=2),
            layers.Dense(1, "sigmoid", kernel_initializer=glorot(seed=3)),
        ]
    )


def settings(averaged):
    """Return optimizer and callbacks: averaged weights, or the best ones of a fit that stops."""
    import keras

    if averaged:
        return keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.9), []
    stop = keras.callbacks.EarlyStopping(patience=1, restore_best_weights=True)
    return keras.optimizers.Adam(0.3), [stop]


def ours(averaged):
    """Describe the training of :func:`by_keras` as an estimator."""
    optimizer, callbacks = settings(averaged)
    return KerasClassifier(
        mlp, optimizer=optimizer, callbacks=callbacks, epochs=6, batch_size=60, shuffle=False
    )


def by_keras(averaged):
    """Train by one call of Model.fit."""
    model = mlp()
    optimizer, callbacks = settings(averaged)
    model.compile(optimizer, "binary_crossentropy")
    target = y.astype("float32")[:, None]
    model.fit(
        XS[TRAIN],
        target[TRAIN],
        epochs=6,
        batch_size=60,
        shuffle=False,
        callbacks=callbacks,
        validation_data=(XS[WATCHED], target[WATCHED]),
        verbose=0,
    )
    return model


def apart(weights, history, others, other_history):
    """Return the largest difference; infinite where the histories have other names."""
    if history.keys() != other_history.keys():
        return np.inf
    pairs = [*zip(weights, others, strict=True)]
    pairs += [(values, other_history[name]) for name, values in history.items()]
    return float(max(np.abs(np.subtract(a, b)).max() for a, b in pairs))


def fits(averaged):
    """Train by ``fit``, by Keras, and by ``partial_fit`` with a pickle after the first call."""
    watched = {"X_val": XS[WATCHED], "y_val": y[WATCHED]}
    clf = ours(averaged).fit(XS[TRAIN], y[TRAIN], **watched)
    weights = clf.model_.get_weights()
    stepped = ours(averaged).partial_fit(XS[TRAIN], y[TRAIN], **watched)
    stepped = pickle.loads(pickle.dumps(stepped))
    for _ in range(clf.n_iter_ - 1):
        stepped.partial_fit(XS[TRAIN], y[TRAIN], **watched)
    plain = by_keras(averaged)
    without_rate = {k: v for k, v in clf.history_.items() if k != "learning_rate"}
    return {
        "apart": apart(weights, without_rate, plain.get_weights(), plain.history.history),
        "apart by partial_fit": apart(
            weights, clf.history_, stepped.model_.get_weights(), stepped.history_
        ),
        "epochs": clf.n_iter_,
        "best": clf.best_epoch_,
        "probabilities": clf.predict_proba(XS[:3]).tolist(),
    }


def search():
    """Search over a callback's patience and schedules."""
    clf = KerasClassifier(
        mlp,
        optimizer="adam",
        optimizer__learning_rate=0.02,
        callbacks={"stop": EarlyStopping(patience=3, restore_best_weights=True)},
        lr_schedule=CosineDecay(),
        epochs=6,
        validation_split=0.2,
        random_state=0,
    )
    grid = [
        {"kerasclassifier__callbacks__stop__patience": [1]},
        {"kerasclassifier__lr_schedule": [StepDecay(drop=0.5, epochs_drop=2)]},
    ]
    found = GridSearchCV(make_pipeline(StandardScaler(), clf), grid, cv=2, error_score="raise")
    found.fit(X, y)
    return {
        "scores": found.cv_results_["mean_test_score"].tolist(),
        "score": found.score(X, y),
        "engine": found.best_estimator_[-1].engine_,
    }


def ended():
    """Return what ended fits: their time, a callback by its batches, their epochs."""
    import keras

    class StopsAtBatch(keras.callbacks.Callback):
        """Ends training in the middle of an epoch."""

        def on_train_batch_end(self, batch, logs=None):
            """Stop."""
            self.model.stop_training = batch == 1

    by = [
        {"max_time": 1e-9},
        {"callbacks": {"other": EarlyStopping("loss"), "stop": Tunable(StopsAtBatch)}},
        {},
    ]
    clfs = [KerasClassifier(mlp, epochs=3, **params).fit(XS, y) for params in by]
    return [(clf.n_iter_, clf.stopped_by_) for clf in clfs]


def halved():
    """Return the learning rates of a schedule that halves them."""
    clf = KerasClassifier(
        mlp, optimizer__learning_rate=0.5, lr_schedule=StepDecay(drop=0.5, epochs_drop=1), epochs=3
    )
    return clf.fit(XS, y).history_["learning_rate"]


def apart_at_rates():
    """Train an epoch with a learning rate for each step, and by Keras a batch at a time."""
    import keras

    from skcb.engine.fits import KerasFits
    from skcb.engine.state import Rows

    rates, target = np.linspace(0.1, 0.001, 5, dtype="float32"), y.astype("float32")[:, None]
    models = [mlp(), mlp()]
    for model in models:
        model.compile("adam", "binary_crossentropy")
    hooks = keras.callbacks.CallbackList([], add_history=True, model=models[0])
    KerasFits(models[0]).train_epoch(
        Rows(XS[:150], target[:150]), np.arange(150), 32, hooks, by_batch=False, rates=rates
    )
    for step, rate in enumerate(rates):
        models[1].optimizer.learning_rate = rate
        batch = slice(32 * step, min(32 * (step + 1), 150))
        models[1].train_on_batch(XS[batch], target[batch])
    return apart(models[0].get_weights(), {}, models[1].get_weights(), {})


if __name__ == "__main__":
    sys.modules["tensorflow"] = None  # importing it fails
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", message="__array__ implementation")
    out = {
        "plain": fits(averaged=False),
        "averaged": fits(averaged=True),
        "search": search(),
        "rates": halved(),
        "ended": ended(),
        "apart at rates": apart_at_rates(),
    }
    print(json.dumps(out))
