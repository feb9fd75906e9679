"""How much memory do many fits take in one process?

Resident memory after each fit and prediction of a small MLP (one epoch of 320 digits): 1 000 fits
of one structure and 200 fits of 200 structures by skcb, and 40 fits by plain Keras that builds,
compiles, fits and predicts. Every fitted model is dropped at once. The slope is that of a straight
line through the second half of the curve, in MB per 100 fits: what is loaded and traced at the
start is not in it.

The structures differ in their hidden sizes, and skcb keeps the programs of a limited number. What
TensorFlow keeps of a shape that it has once computed with is not skcb's to free, so the first half
of the structures comes a second time, when their programs are long gone: then memory must grow by
less than a tenth of what the first time took. All fits of one structure have one seed, and must
give the same probabilities to the last bit.
"""

import gc
import os
import resource
import sys
from pathlib import Path

from _digits import compiled, data, net
from _turns import arguments, race, report, say, value, warm_up

ROWS = 320


def resident():
    """Return the resident memory of this process in MB; outside Linux its highest so far."""
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 2**20
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


def curve(fit, n):
    """Fit n times and return the memory before the first and after each."""
    kept = [resident()]
    for i in range(n):
        fit(i)
        if i % 10 == 9:
            gc.collect()  # models refer to themselves; in a long run Python does this now and then
        kept.append(resident())
    return {"curve": kept}


def classifier(hidden):
    """Return an skcb classifier."""
    from skcb import KerasClassifier

    return KerasClassifier(
        net, optimizer="adam", metrics=["accuracy"], random_state=0, model__hidden=hidden
    )


def one_structure(n):
    """Fit one structure with skcb, and see that nothing changes from fit to fit."""
    import numpy as np

    X, y = (rows[:ROWS] for rows in data())
    warm_up()
    first = classifier((64, 32)).fit(X, y).predict_proba(X)

    def fit(_):
        assert np.array_equal(classifier((64, 32)).fit(X, y).predict_proba(X), first)

    return lambda: curve(fit, n)


def many_structures(n):
    """Fit many structures with skcb, each once, and then the first half of them again."""
    X, y = (rows[:ROWS] for rows in data())
    warm_up()
    return lambda: curve(
        lambda i: classifier((16 + i % n, 16)).fit(X, y).predict_proba(X), n + n // 2
    )


def raw(n):
    """Fit one structure with plain Keras."""
    X, y = (rows[:ROWS] for rows in data())
    warm_up()

    def fit(_):
        model = compiled()
        model.fit(X, y, verbose=0)
        model.predict(X, verbose=0)

    return lambda: curve(fit, n)


# A turn's number is the number of fits here.
CONTENDERS = {
    "skcb, one structure": one_structure,
    "skcb, many structures": many_structures,
    "raw Keras": raw,
}
FITS, QUICK = (1000, 200, 40), (200, 130, 20)
"""Fits of each; the pool keeps 64 programs, so that half of 130 are gone when they come again."""


def slope(kept):
    """Return MB per 100 fits, over the second half."""
    import numpy as np

    half = kept[len(kept) // 2 :]
    return float(100 * np.polyfit(np.arange(len(half)), half, 1)[0])


def print_curve(name, kept):
    """Print the memory at ten places of a curve, at least 100 fits apart where there are many."""
    step = max(1, (len(kept) - 1) // 10)
    every = ", ".join(f"{i}: {kept[i]:.0f}" for i in range(0, len(kept), step))
    print(f"{name}, MB after so many fits: {every}")


def compare(curves):
    """Make the lines of the table."""
    one, many, plain = (curves[name] for name in CONTENDERS)
    n_structures = 2 * (len(many) - 1) // 3
    early, late = many[n_structures] - many[0], many[-1] - many[n_structures]
    note = f"{one[0]:.0f} to {one[-1]:.0f} MB; probabilities of all fits equal"
    kept = f"{many[0]:.0f} MB, {many[n_structures]:.0f} after all, {many[-1]:.0f} after half again"
    against, unit, raw_slope = f"raw Keras, {len(plain) - 1} fits", "MB per 100 fits", slope(plain)
    ours, bounded = slope(one), late <= 0.1 * early
    return [
        value(
            f"{len(one) - 1} fits of one structure",
            *(against, unit, [ours], [raw_slope], "≤ 2 MB per 100 fits", ours <= 2),
            note=note,
        ),
        value(
            f"{n_structures} fits of as many structures, and half of them again",
            *(against, unit, [100 * late / (n_structures // 2)], [raw_slope], "bounded", bounded),
            note=kept,
        ),
    ]


def plot(curves, path):
    """Draw the curves, where matplotlib is installed."""
    try:
        import matplotlib
    except ImportError:
        say("no picture, for want of matplotlib. Run pip install 'skcb[benchmarks]'")
        return
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for name, kept in curves.items():
        axes.plot(kept, label=name)
    axes.set(xlabel="fits", ylabel="resident memory, MB")
    axes.legend()
    figure.savefig(path, dpi=120)


def add(parser):
    """Add what only this benchmark takes."""
    parser.add_argument(
        "--fits",
        type=int,
        help="fits of one structure (default 1000); the others are scaled alike",
    )
    parser.add_argument("--plot", type=Path, help="draw the curves into this PNG")


def main():
    """Take the three curves."""
    options = arguments(__doc__, CONTENDERS, rounds=1, add=add)
    fits = QUICK if options.quick else FITS
    if options.fits:
        fits = [max(20, n * options.fits // FITS[0]) for n in FITS]
    curves = {}
    for name, n in zip(CONTENDERS, fits, strict=True):
        curves[name] = race([name], 1, first=n)[name][0]["curve"]
        print_curve(name, curves[name])
    if options.plot:
        plot(curves, options.plot)
    report(compare(curves), options)


if __name__ == "__main__":
    main()
