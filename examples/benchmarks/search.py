"""How long one grid search takes, side by side with the peers.

Question: digits, a 64-32-10 net, 3 learning rates x 3 patience x 3 folds and the refit: 28 fits of
at most 20 epochs, batch 32, 20 % watched. How many seconds a fit, and do the scores agree?

Each contender runs in a process of its own, one after the other, round after round, so that a
machine that slows down slows all of them. Imports are not counted; building, tracing, fitting and
scoring are. Run ``python examples/benchmarks/search.py`` (``--rounds 5``, ``--only skcb raw``).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

RATES, PATIENCE, FOLDS, EPOCHS, BATCH = (3e-4, 1e-3, 3e-3), (2, 4, 8), 3, 20, 32


def data():
    """Return digits, scaled, and the folds."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import StratifiedKFold

    X, y = load_digits(return_X_y=True)
    return (X / 16).astype("float32"), y, StratifiedKFold(FOLDS, shuffle=True, random_state=0)


def net():
    """Build the net."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((64,)),
            layers.Dense(64, "relu"),
            layers.Dense(32, "relu"),
            layers.Dense(10, "softmax"),
        ]
    )


def skcb(n_jobs=1, **options):
    """Search with skcb."""
    from joblib import parallel_config
    from sklearn.model_selection import GridSearchCV

    from skcb import KerasClassifier
    from skcb.callbacks import EarlyStopping

    X, y, cv = data()
    estimator = KerasClassifier(
        net,
        optimizer="adam",
        metrics=["accuracy"],
        callbacks={"stop": EarlyStopping()},
        epochs=EPOCHS,
        batch_size=BATCH,
        validation_split=0.2,
        random_state=0,
        **options,
    )
    grid = {"optimizer__learning_rate": RATES, "callbacks__stop__patience": PATIENCE}
    search = GridSearchCV(estimator, grid, cv=cv, n_jobs=n_jobs)

    def run():
        with parallel_config(backend="threading"):
            return search.fit(X, y).best_score_

    return run


def threads():
    """Search with skcb in two threads."""
    return skcb(n_jobs=2)


def keras_road():
    """Search with skcb on Keras' own functions."""
    return skcb(engine="keras")


def scikeras():
    """Search with scikeras, callbacks by the one spelling that it accepts in a grid."""
    import keras
    from scikeras.wrappers import KerasClassifier
    from sklearn.model_selection import GridSearchCV

    X, y, cv = data()
    estimator = KerasClassifier(
        net,
        loss="sparse_categorical_crossentropy",
        optimizer="adam",
        metrics=["accuracy"],
        epochs=EPOCHS,
        batch_size=BATCH,
        validation_split=0.2,
        random_state=0,
        verbose=0,
        fit__callbacks={"stop": keras.callbacks.EarlyStopping},
        fit__callbacks__stop__patience=2,
    )
    grid = {"optimizer__learning_rate": RATES, "fit__callbacks__stop__patience": PATIENCE}
    search = GridSearchCV(estimator, grid, cv=cv, scoring="accuracy")
    return lambda: search.fit(X, y).best_score_


def raw():
    """Search with a hand-written loop over plain Keras."""
    import keras
    import numpy as np

    X, y, cv = data()

    def fit(rows, rate, patience):
        model = net()
        model.compile(
            keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
        )
        stop = keras.callbacks.EarlyStopping(patience=patience)
        model.fit(
            X[rows],
            y[rows],
            batch_size=BATCH,
            epochs=EPOCHS,
            validation_split=0.2,
            callbacks=[stop],
            verbose=0,
        )
        return model

    def score(rate, patience):
        keras.utils.set_random_seed(0)
        scores = []
        for train, test in cv.split(X, y):
            found = fit(train, rate, patience).predict(X[test], verbose=0).argmax(axis=1)
            scores.append(np.mean(found == y[test]))
        return np.mean(scores)

    def run():
        scores = {(r, p): score(r, p) for r in RATES for p in PATIENCE}
        best = max(scores, key=scores.get)
        fit(np.random.default_rng(0).permutation(len(X)), *best)
        return scores[best]

    return run


def mlp_classifier():
    """Search with scikit-learn's own net."""
    from sklearn.model_selection import GridSearchCV
    from sklearn.neural_network import MLPClassifier

    X, y, cv = data()
    estimator = MLPClassifier(
        (64, 32),
        batch_size=BATCH,
        max_iter=EPOCHS,
        early_stopping=True,
        validation_fraction=0.2,
        random_state=0,
    )
    grid = {"learning_rate_init": RATES, "n_iter_no_change": PATIENCE}

    def run():
        import warnings

        warnings.simplefilter("ignore")  # most fits use all their epochs, and it warns of that
        return GridSearchCV(estimator, grid, cv=cv).fit(X, y).best_score_

    return run


def keras_tuner():
    """Fit as often with KerasTuner: it has no folds, so each fold is an execution."""
    import tempfile

    import keras
    import keras_tuner
    import numpy as np

    X, y, cv = data()

    class Model(keras_tuner.HyperModel):
        def build(self, hp):
            model = net()
            rate = hp.Choice("rate", list(RATES))
            model.compile(
                keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
            )
            return model

        def fit(self, hp, model, *args, **options):
            patience = hp.Choice("patience", list(PATIENCE))
            scores = []
            for train, test in cv.split(X, y):
                fresh = self.build(hp)
                stop = keras.callbacks.EarlyStopping(patience=patience)
                fresh.fit(
                    X[train],
                    y[train],
                    batch_size=BATCH,
                    epochs=EPOCHS,
                    validation_split=0.2,
                    callbacks=[stop],
                    verbose=0,
                )
                found = fresh.predict(X[test], verbose=0).argmax(axis=1)
                scores.append(np.mean(found == y[test]))
            return {"score": float(np.mean(scores))}

    tuner = keras_tuner.GridSearch(
        Model(),
        objective=keras_tuner.Objective("score", "max"),
        directory=tempfile.mkdtemp(),
        project_name="digits",
    )

    def run():
        tuner.search(verbose=0)
        return tuner.oracle.get_best_trials()[0].score

    return run


CONTENDERS = {
    "skcb": skcb,
    "skcb, 2 threads": threads,
    "skcb, engine='keras'": keras_road,
    "scikeras": scikeras,
    "raw Keras loop": raw,
    "MLPClassifier": mlp_classifier,
    "KerasTuner": keras_tuner,
}


def main():
    """Run the contenders by turns and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=list(CONTENDERS))
    parser.add_argument("--one", help="run one contender here and print its result as JSON")
    options = parser.parse_args()
    if options.one:
        run = CONTENDERS[options.one]()
        start = time.perf_counter()
        score = run()
        print(json.dumps({"seconds": time.perf_counter() - start, "score": float(score)}))
        return
    results = {name: [] for name in options.only}
    for _ in range(options.rounds):
        for name in options.only:
            command = [sys.executable, __file__, "--one", name]
            quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
            done = subprocess.run(command, capture_output=True, text=True, env=quiet, check=True)
            results[name].append(json.loads(done.stdout.splitlines()[-1]))
    fits = len(RATES) * len(PATIENCE) * FOLDS + 1
    ours = [result["seconds"] for result in results[options.only[0]]]
    print(
        f"{'':24} {'s a fit':>8} {'min':>7} {'max':>7}  {'times ' + options.only[0]:>12}  accuracy"
    )
    for name, found in results.items():
        seconds = [result["seconds"] for result in found]
        ratio = statistics.median(s / o for s, o in zip(seconds, ours, strict=True))
        each = [f"{value / fits:7.3f}" for value in (min(seconds), max(seconds))]
        score = statistics.median(result["score"] for result in found)
        median = statistics.median(seconds) / fits
        print(f"{name:24} {median:8.3f} {' '.join(each)}  {ratio:11.2f}x  {score:.4f}")


if __name__ == "__main__":
    main()
