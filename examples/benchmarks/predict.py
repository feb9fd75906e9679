"""How long does a prediction take: one row, 1 800 rows, a million rows?

``predict_proba`` of a fitted skcb classifier against ``keras.Model.predict`` of the very same
model, both with their default batch size, by turns in one process. Both have predicted before, so
no tracing is timed. A turn on few rows is ten predictions, of which the mean is taken: what one
contender leaves behind, threads that end and caches that are cold, would else be the other's time.
The probabilities must be within 1e-6 of each other.
"""

from _digits import data, net
from _turns import alternate, arguments, faster, report

TOLERANCE = 1e-6
WORKS = {1: (20, 10, 50), 1800: (10, 10, 50), 1_000_000: (2, 1, 3)}
"""Rows, and how many turns they have, predictions a turn, and which goal."""


def contest(classifier, X, rounds, calls, goal):
    """Predict by turns."""
    import numpy as np

    model = classifier.model_

    def repeated(predict):
        return lambda: [predict() for _ in range(calls)][-1]

    seconds, found = alternate(
        {
            "skcb": repeated(lambda: classifier.predict_proba(X)),
            "keras": repeated(lambda: model.predict(X, verbose=0)),
        },
        rounds,
    )
    apart = float(np.abs(found["skcb"] - found["keras"]).max())
    ours, theirs = ([1e3 * s / calls for s in seconds[name]] for name in ("skcb", "keras"))
    return faster(
        f"predict {len(X):,} row{'s' * (len(X) > 1)}".replace(",", " "),
        "keras.Model.predict",
        "ms",
        ours,
        theirs,
        goal,
        note=f"largest difference {apart:.1e}",
        agrees=apart <= TOLERANCE,
    )


def main():
    """Predict sets of three sizes."""
    options = arguments(__doc__, rounds=WORKS[1_000_000][0])
    import numpy as np

    from skcb import KerasClassifier

    X, y = data()
    classifier = KerasClassifier(net, optimizer="adam", epochs=5, random_state=0).fit(X, y)
    for n in (1, len(X)):  # traces, in both
        classifier.predict_proba(X[:n])
        classifier.model_.predict(X[:n], verbose=0)
    lines = []
    for n, (rounds, calls, goal) in WORKS.items():
        rows = np.resize(X, (n, X.shape[1]))
        lines.append(
            contest(classifier, rows, rounds if n < 10_000 else options.rounds, calls, goal)
        )
    report(lines, options)


if __name__ == "__main__":
    main()
