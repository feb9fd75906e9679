"""How long until the first result: the import, and the first fit of a new structure?

The import is ``from skcb import KerasClassifier`` in a process that has imported what a search
with scikit-learn imports (``sklearn.model_selection`` and ``sklearn.pipeline``): what comes on
top. It must not load TensorFlow, Keras or Optuna. The time of scikit-learn's own import stands
beside it.

A first fit is that of a structure that this process has not seen: build, compile, one epoch of
digits with 20 % watched. Each process fits three small MLPs of different sizes, after one fit of
something else, and its number is their median. Both end with an accuracy that must be within 0.25
of the other's (one epoch from other initial weights).

Each contender runs in a process of its own, one after the other, round after round.
"""

import statistics
import time

from _digits import compiled, data, net
from _turns import arguments, race, report, share, value, warm_up

SIZES = [(64 + k, 32) for k in range(3)]
GUESTS = ("tensorflow", "keras", "optuna")
TOLERANCE = 0.25


def import_sklearn(turn):
    """Import what a search with scikit-learn imports."""

    def run():
        import sklearn.model_selection
        import sklearn.pipeline  # noqa: F401

        return {}

    return run


def import_skcb(turn):
    """Import the estimator after that."""
    import sys

    import_sklearn(turn)()

    def run():
        from skcb import KerasClassifier  # noqa: F401

        loaded = [guest for guest in GUESTS if guest in sys.modules]
        assert not loaded, f"importing skcb loaded {loaded}"
        return {}

    return run


def each(fit):
    """Time the first fit of each size; return seconds, and the median accuracy."""

    def run():
        seconds, scores = [], []
        for hidden in SIZES:
            start = time.perf_counter()
            scores.append(fit(hidden))
            seconds.append(time.perf_counter() - start)
        return {"fit": statistics.median(seconds), "score": float(statistics.median(scores))}

    return run


def fit_skcb(turn):
    """Fit with skcb."""
    from functools import partial

    from skcb import KerasClassifier

    X, y = data()
    warm_up()

    def fit(hidden):
        classifier = KerasClassifier(
            partial(net, hidden),
            optimizer="adam",
            metrics=["accuracy"],
            validation_split=0.2,
            random_state=0,
        ).fit(X, y)
        return classifier.history_["val_accuracy"][-1]

    return each(fit)


def fit_raw(turn):
    """Fit with plain Keras."""
    X, y = data()
    warm_up()

    def fit(hidden):
        history = compiled(hidden).fit(X, y, validation_split=0.2, verbose=0)
        return history.history["val_accuracy"][-1]

    return each(fit)


CONTENDERS = {
    "import skcb": import_skcb,
    "import scikit-learn": import_sklearn,
    "first fit by skcb": fit_skcb,
    "first fit by raw Keras": fit_raw,
}


def main():
    """Run the contenders by turns."""
    options = arguments(__doc__, CONTENDERS, rounds=3)
    results = race(list(CONTENDERS), options.rounds)
    ours, sklearn = (
        [result["seconds"] for result in results[name]]
        for name in ("import skcb", "import scikit-learn")
    )
    ours_fit, raw_fit = (
        [result["fit"] for result in results[name]]
        for name in ("first fit by skcb", "first fit by raw Keras")
    )
    scores = [
        statistics.median(result["score"] for result in results[name])
        for name in ("first fit by skcb", "first fit by raw Keras")
    ]
    imported = value(
        "from skcb import KerasClassifier, beyond scikit-learn",
        *("scikit-learn's own import", "s", ours, sklearn),
        *("≤ 0.1 s, no TensorFlow", statistics.median(ours) <= 0.1),
        note="no TensorFlow, Keras or Optuna loaded",
    )
    fitted = share(
        "first fit of a new structure, one epoch",
        *("raw Keras", "s", ours_fit, raw_fit, 1),
        note=f"accuracy {scores[0]:.2f} and {scores[1]:.2f}",
        agrees=abs(scores[0] - scores[1]) <= TOLERANCE,
    )
    report([imported, fitted], options)


if __name__ == "__main__":
    main()
