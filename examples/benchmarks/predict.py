"""How long does a prediction take: one row, 1 800 rows, a million rows?

``predict_proba`` of a fitted skcb classifier against ``keras.Model.predict`` of the very same
model, both with their default batch size, by turns in one process. Both have predicted before, so
no tracing is timed. The probabilities must be within 1e-6 of each other.
"""

from _digits import data, net
from _turns import alternate, arguments, faster, report

TOLERANCE = 1e-6
WORKS = {1: (50, 50), 1800: (20, 50), 1_000_000: (2, 3)}
"""Rows, and how many turns and which goal they have."""


def contest(classifier, X, rounds, goal):
    """Predict by turns."""
    import numpy as np

    model = classifier.model_
    seconds, found = alternate(
        {
            "skcb": lambda: classifier.predict_proba(X),
            "keras": lambda: model.predict(X, verbose=0),
        },
        rounds,
    )
    apart = float(np.abs(found["skcb"] - found["keras"]).max())
    ours, theirs = ([1e3 * s for s in seconds[name]] for name in ("skcb", "keras"))
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
    for n, (rounds, goal) in WORKS.items():
        rows = np.resize(X, (n, X.shape[1]))
        lines.append(contest(classifier, rows, rounds if n < 10_000 else options.rounds, goal))
    report(lines, options)


if __name__ == "__main__":
    main()
