"""How long does a grid search take, side by side with the peers?

Digits, a 64-32-10 net, 3 learning rates x 3 patience x 3 folds and the refit: 28 fits of at most
20 epochs, batch 32, 20 % watched. Building, tracing, fitting and scoring are timed, imports are
not.

Each contender runs in a process of its own, one after the other, round after round. skcb and
MLPClassifier do the whole search in every round. The others take a minute or more for it, so they
do one fold in a round (and the refit with the last): three rounds are one whole search. All times
are seconds a fit. The best mean accuracy of each must be within 0.03 of skcb's on the same folds
(initial weights and orders differ), and skcb's own three ways must agree exactly.

All of it is done twice: with TensorFlow's own choice of threads, and with one thread in each
operation (``tf.config.threading.set_intra_op_parallelism_threads(1)``), which suits small nets.
"""

from _digits import compiled, data, folds, net
from _turns import accuracies, arguments, best_of_both, faster, race, report, share, warm_up

RATES, PATIENCE, FOLDS, EPOCHS, BATCH = (3e-4, 1e-3, 3e-3), (2, 4, 8), 3, 20, 32
TOLERANCE = 0.03


def part(turn):
    """Return the one fold of this turn as a ``cv``, and whether the refit belongs to it."""
    X, y = data()
    fold = turn % FOLDS
    return [list(folds(FOLDS).split(X, y))[fold]], fold == FOLDS - 1


def searched(search, first_fold):
    """Return what a scikit-learn search found: accuracies of all candidates by fold."""
    found, n = search.cv_results_, search.n_splits_
    scores = {first_fold + k: found[f"split{k}_test_score"].tolist() for k in range(n)}
    return {"fits": n * len(found["params"]) + bool(search.refit), "scores": scores}


def skcb(turn, n_jobs=1, **options):
    """Search with skcb."""
    from joblib import parallel_config
    from sklearn.model_selection import GridSearchCV

    from skcb import KerasClassifier
    from skcb.callbacks import EarlyStopping

    X, y = data()
    cv, refit, fold = folds(FOLDS), True, 0
    if "engine" in options:
        (cv, refit), fold = part(turn), turn % FOLDS
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
    search = GridSearchCV(estimator, grid, cv=cv, n_jobs=n_jobs, refit=refit, error_score="raise")
    warm_up()

    def run():
        with parallel_config(backend="threading"):
            return searched(search.fit(X, y), fold)

    return run


def threads(turn):
    """Search with skcb in two threads."""
    return skcb(turn, n_jobs=2)


def keras_road(turn):
    """Search with skcb on Keras' own functions."""
    return skcb(turn, engine="keras")


def scikeras(turn):
    """Search with scikeras, callbacks by the one spelling that it accepts in a grid."""
    import keras
    from scikeras.wrappers import KerasClassifier
    from sklearn.model_selection import GridSearchCV

    X, y = data()
    cv, refit = part(turn)
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
    search = GridSearchCV(
        estimator, grid, cv=cv, scoring="accuracy", refit=refit, error_score="raise"
    )
    warm_up()
    return lambda: searched(search.fit(X, y), turn % FOLDS)


def fit_by_hand(model, X, y, patience):
    """Fit as one does by hand."""
    import keras

    model.fit(
        X,
        y,
        batch_size=BATCH,
        epochs=EPOCHS,
        validation_split=0.2,
        callbacks=[keras.callbacks.EarlyStopping(patience=patience)],
        verbose=0,
    )
    return model


def raw(turn):
    """Search with a hand-written loop over plain Keras."""
    import keras
    import numpy as np

    X, y = data()
    ((train, test),), refit = part(turn)
    candidates = [(rate, patience) for rate in RATES for patience in PATIENCE]
    warm_up()

    def run():
        scores = []
        for rate, patience in candidates:
            keras.utils.set_random_seed(0)
            model = fit_by_hand(compiled(rate=rate), X[train], y[train], patience)
            found = model.predict(X[test], verbose=0).argmax(axis=1)
            scores.append(float(np.mean(found == y[test])))
        if refit:
            rate, patience = candidates[int(np.argmax(scores))]
            rows = np.random.default_rng(0).permutation(len(X))  # Keras watches the last ones
            fit_by_hand(compiled(rate=rate), X[rows], y[rows], patience)
        return {"fits": len(candidates) + refit, "scores": {turn % FOLDS: scores}}

    return run


def by_hand(turn):
    """Search with a ``tf.function`` that is written for this net alone, and traced once.

    No fit builds anything. So this is about the least that any engine needs which takes
    TensorFlow's steps, and no contender but a yardstick.
    """
    import numpy as np
    import tensorflow as tf
    from _by_hand import SHAPES, Net

    X, y = data()
    net, seeds = Net([np.zeros(shape, "float32") for shape in SHAPES]), iter(range(10**6))
    warm_up()

    def fit(rate, patience, rows):
        seed = next(seeds)
        net.begin(seed, rate)
        rng, best, waited = np.random.default_rng(seed), np.inf, 0
        rows = rng.permutation(rows)
        n = round(0.8 * len(rows))
        X_train, X_watched = tf.constant(X[rows[:n]]), tf.constant(X[rows[n:]])
        y_train, y_watched = (tf.constant(y[part], tf.int64) for part in (rows[:n], rows[n:]))
        for _ in range(EPOCHS):
            net.epoch(X_train, y_train, rng.permutation(n), BATCH)
            loss, _ = net.evaluate(X_watched, y_watched, BATCH)
            waited = 0 if loss < best else waited + 1
            best = min(best, loss)
            if waited >= patience:
                break

    def run():
        candidates = [(rate, patience) for rate in RATES for patience in PATIENCE]
        scores = {}
        for fold, (train, test) in enumerate(folds(FOLDS).split(X, y)):
            scores[fold] = []
            for rate, patience in candidates:
                fit(rate, patience, train)
                scores[fold].append(float(np.mean(net.predict(X[test]) == y[test])))
        means = np.mean(list(scores.values()), axis=0)
        fit(*candidates[int(np.argmax(means))], np.arange(len(X)))
        return {"fits": FOLDS * len(candidates) + 1, "scores": scores}

    return run


def mlp_classifier(turn):
    """Search with scikit-learn's own net."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import GridSearchCV
    from sklearn.neural_network import MLPClassifier

    X, y = data()
    estimator = MLPClassifier(
        (64, 32),
        batch_size=BATCH,
        max_iter=EPOCHS,
        early_stopping=True,
        validation_fraction=0.2,
        random_state=0,
    )
    grid = {"learning_rate_init": RATES, "n_iter_no_change": PATIENCE}
    search = GridSearchCV(estimator, grid, cv=folds(FOLDS), error_score="raise")

    def run():
        # It warns of fits that use all their epochs, which most do.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return searched(search.fit(X, y), 0)

    return run


def keras_tuner(turn):
    """Fit as often with KerasTuner, which has no folds and no refit."""
    import tempfile

    import keras_tuner
    import numpy as np

    X, y = data()
    ((train, test),), _ = part(turn)
    scores = []

    class Model(keras_tuner.HyperModel):
        def build(self, hp):
            hp.Choice("patience", list(PATIENCE))
            return compiled(rate=hp.Choice("rate", list(RATES)))

        def fit(self, hp, model, *args, **options):
            fit_by_hand(model, X[train], y[train], hp.get("patience"))
            found = model.predict(X[test], verbose=0).argmax(axis=1)
            scores.append(float(np.mean(found == y[test])))
            return {"score": scores[-1]}

    folder = tempfile.TemporaryDirectory()
    tuner = keras_tuner.GridSearch(
        Model(),
        objective=keras_tuner.Objective("score", "max"),
        directory=folder.name,
        project_name="digits",
        seed=0,
    )
    warm_up()

    def run():
        with folder:
            tuner.search(verbose=0)
        assert len(scores) == len(RATES) * len(PATIENCE)
        return {"fits": len(scores), "scores": {turn % FOLDS: scores}}

    return run


CONTENDERS = {
    "skcb": skcb,
    "skcb, 2 threads": threads,
    "tf.function by hand": by_hand,
    "MLPClassifier": mlp_classifier,
    "raw Keras loop": raw,
    "scikeras": scikeras,
    "KerasTuner": keras_tuner,
    "skcb, engine='keras'": keras_road,
}
USUAL = [name for name in CONTENDERS if "engine" not in name]
GOALS = {"MLPClassifier": 1.2, "raw Keras loop": 18, "scikeras": 20, "KerasTuner": 20}


def compare(name, found, ours, work="digits grid"):
    """Make the line of one contender."""
    seconds, our_seconds = ([r["seconds"] / r["fits"] for r in each] for each in (found, ours))
    theirs, own = accuracies(found), accuracies(ours)
    a, b = best_of_both(own, theirs)
    exact = name.startswith("skcb")
    agrees = all(own[k] == theirs[k] for k in theirs) if exact else abs(a - b) <= TOLERANCE
    note = "accuracies equal" if exact else f"accuracy {a:.3f} and {b:.3f}"
    more = {"note": note, "agrees": agrees}
    if name == "skcb, 2 threads":
        twice = f"{work} in 2 threads"
        return faster(twice, "skcb in one", "s a fit", seconds, our_seconds, 1.6, **more)
    if name == "tf.function by hand":
        return share(work, name, "s a fit", our_seconds, seconds, **more)
    return faster(work, name, "s a fit", our_seconds, seconds, GOALS.get(name), **more)


def main():
    """Run the contenders by turns and print medians and ratios."""
    options = arguments(__doc__, CONTENDERS, only=list(CONTENDERS), usual=USUAL)
    names = ["skcb", *(name for name in options.only if name != "skcb")]
    lines = []
    for one_thread in (False, True):
        results = race(names, options.rounds, one_thread=one_thread)
        ours = results.pop("skcb")
        work = "digits grid" + ", one thread an operation" * one_thread
        lines += [compare(name, found, ours, work) for name, found in results.items()]
    report(lines, options)


if __name__ == "__main__":
    main()
