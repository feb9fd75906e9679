"""What does a search gain on other nets: convolutions, recurrent, wide, many structures?

Each work is a search over a few candidates and three folds, by skcb (GridSearchCV) and by a
hand-written loop over plain Keras that builds, compiles, fits and predicts. Batch 32 unless a
candidate says otherwise, no watched rows, no refit.

- CNN: convolutions, BatchNorm and Dropout on 8 x 8 digits; 3 learning rates x 2 batch sizes.
- LSTM: the rows of the digits as a sequence of 8; the same candidates.
- wide MLP: 512-512 on 20 000 x 100 rows, where arithmetic dominates; one candidate.
- hidden sizes: 20 structures of a small MLP, each of which must be traced.

Each contender runs in a process of its own, one after the other, round after round; skcb does the
whole search in each, the loop one fold: three rounds are one whole search. Seconds a fit. The best
mean accuracies must be within 0.05 of each other (initial weights and orders differ).
"""

from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import _digits
from _turns import accuracies, arguments, best_of_both, faster, race, report, warm_up

FOLDS, BATCH, TOLERANCE = 3, 32, 0.05


class Work(NamedTuple):
    """A search: rows, net, candidates, epochs, and how many times faster it should be."""

    data: Callable[[], Any]
    net: Callable[..., Any]
    candidates: list[dict[str, Any]]
    epochs: int
    goal: float


def images():
    """Return the digits as images."""
    X, y = _digits.data()
    return X.reshape(-1, 8, 8, 1), y


def sequences():
    """Return the digits as sequences of eight rows."""
    X, y = _digits.data()
    return X.reshape(-1, 8, 8), y


def many_rows():
    """Return 20 000 rows of 100 numbers in five classes."""
    from sklearn.datasets import make_classification

    X, y = make_classification(
        20_000, 100, n_informative=30, n_classes=5, class_sep=2.0, random_state=0
    )
    return X.astype("float32"), y


def cnn():
    """Build two convolutions, BatchNorm and Dropout."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(10, "softmax"),
        ]
    )


def lstm():
    """Build one LSTM."""
    import keras

    layers = keras.layers
    return keras.Sequential([layers.Input((8, 8)), layers.LSTM(32), layers.Dense(10, "softmax")])


def wide():
    """Build two layers of 512."""
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((100,)),
            layers.Dense(512, "relu"),
            layers.Dense(512, "relu"),
            layers.Dense(5, "softmax"),
        ]
    )


NUMBERS = [
    {"optimizer__learning_rate": rate, "batch_size": batch}
    for rate in (1e-3, 3e-3, 1e-2)
    for batch in (32, 64)
]
SIZES = [{"model__hidden": sizes} for sizes in product((16, 32, 48, 64, 96), (8, 16, 24, 32))]
WORKS = {
    "CNN": Work(images, cnn, NUMBERS, 5, 5),
    "LSTM": Work(sequences, lstm, NUMBERS, 5, 3),
    "wide MLP": Work(many_rows, wide, [{}], 2, 1.3),
    "hidden sizes": Work(_digits.data, _digits.net, SIZES, 5, 4),
}


def skcb(turn, work):
    """Search with skcb."""
    from sklearn.model_selection import GridSearchCV

    from skcb import KerasClassifier

    X, y = work.data()
    estimator = KerasClassifier(
        work.net,
        optimizer="adam",
        metrics=["accuracy"],
        epochs=work.epochs,
        batch_size=BATCH,
        random_state=0,
    )
    grid = [{name: [value] for name, value in each.items()} for each in work.candidates]
    search = GridSearchCV(
        estimator, grid, cv=_digits.folds(FOLDS), refit=False, error_score="raise"
    )
    warm_up()

    def run():
        found = search.fit(X, y).cv_results_
        scores = {k: found[f"split{k}_test_score"].tolist() for k in range(FOLDS)}
        return {"fits": FOLDS * len(grid), "scores": scores}

    return run


def raw(turn, work):
    """Search with a hand-written loop over plain Keras."""
    import keras
    import numpy as np

    X, y = work.data()
    train, test = list(_digits.folds(FOLDS).split(X, y))[turn % FOLDS]
    warm_up()

    def score(candidate):
        given = dict(candidate)
        adam = keras.optimizers.Adam(given.pop("optimizer__learning_rate", 1e-3))
        batch = given.pop("batch_size", BATCH)
        keras.utils.set_random_seed(0)
        model = work.net(**{name.removeprefix("model__"): v for name, v in given.items()})
        model.compile(adam, "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(X[train], y[train], batch_size=batch, epochs=work.epochs, verbose=0)
        found = model.predict(X[test], verbose=0).argmax(axis=1)
        return float(np.mean(found == y[test]))

    def run():
        scores = [score(candidate) for candidate in work.candidates]
        return {"fits": len(scores), "scores": {turn % FOLDS: scores}}

    return run


CONTENDERS = {
    f"{name}: {who}": partial(contender, work=work)
    for name, work in WORKS.items()
    for who, contender in {"skcb": skcb, "raw Keras loop": raw}.items()
}


def compare(name, results):
    """Make the line of one work."""
    found = [results[f"{name}: {who}"] for who in ("skcb", "raw Keras loop")]
    ours, theirs = ([r["seconds"] / r["fits"] for r in each] for each in found)
    own, others = map(accuracies, found)
    a, b = best_of_both(own, others)
    more = {"note": f"accuracy {a:.3f} and {b:.3f}", "agrees": abs(a - b) <= TOLERANCE}
    return faster(name, "raw Keras loop", "s a fit", ours, theirs, WORKS[name].goal, **more)


def main():
    """Run the contenders by turns and print medians and ratios."""
    options = arguments(__doc__, CONTENDERS, only=list(WORKS))
    names = [name for name in CONTENDERS if name.partition(":")[0] in options.only]
    results = race(names, options.rounds)
    report([compare(name, results) for name in options.only], options)


if __name__ == "__main__":
    main()
