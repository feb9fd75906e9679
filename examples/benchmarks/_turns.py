"""Contenders by turns, so that a machine that slows down slows all of them.

Owns the turns (each contender in a process of its own, or functions in this one), the command line
that all benchmarks share, and the lines of the table. Leaves to each benchmark what is timed, what
is compared and which results must agree.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

NEEDS = {"scikeras": ["scikeras"], "KerasTuner": ["keras_tuner", "tensorboard"]}
"""What some contenders import and skcb does not need."""

MARK = "result: "

ONE_THREAD = "SKCB_BENCHMARK_ONE_THREAD"
"""Variable that tells a contender's process to use one thread in each operation of TensorFlow's."""


@dataclass
class Line:
    """One line of the table.

    ``ours`` and ``theirs`` hold a number for each turn, in ``unit``. ``ratio`` is what ``goal``
    speaks of, and ``met`` whether it is reached. ``agrees`` is False where results that must
    agree do not; ``note`` says what was compared.
    """

    work: str
    against: str
    unit: str
    ours: list[float]
    theirs: list[float]
    ratio: float
    goal: str
    met: bool | None
    note: str = ""
    agrees: bool = True
    label: str = field(default="")

    def cells(self) -> list[str]:
        """Return what stands in the columns."""
        met = {True: "yes", False: "no", None: ""}[self.met]
        note = self.note if self.agrees else f"**DISAGREE** {self.note}"
        times = (spread(self.ours, self.unit), spread(self.theirs, self.unit))
        return [self.work, self.against, *times, self.label, self.goal, met, note]


HEAD = ["work", "against", "skcb: median (min–max)", "the other", "ratio", "goal", "met", "results"]


def faster(work, against, unit, ours, theirs, at_least=None, **more) -> Line:
    """Return the line of a contest that asks how many times faster skcb is."""
    ratio = _ratio(theirs, ours)
    goal = "" if at_least is None else f"≥ {at_least:g}× faster"
    met = None if at_least is None else ratio >= at_least
    label = f"{ratio:.3g}× faster"
    return Line(work, against, unit, ours, theirs, ratio, goal, met, label=label, **more)


def share(work, against, unit, ours, theirs, at_most=None, **more) -> Line:
    """Return the line of a contest that asks which share of the other's time skcb takes."""
    ratio = _ratio(ours, theirs)
    goal = "" if at_most is None else f"≤ {at_most:g}× its time"
    met = None if at_most is None else ratio <= at_most
    label = f"{ratio:.3g}× its time"
    return Line(work, against, unit, ours, theirs, ratio, goal, met, label=label, **more)


def value(work, against, unit, ours, theirs, goal, met, **more) -> Line:
    """Return the line of something that has no ratio."""
    return Line(work, against, unit, ours, theirs, statistics.median(ours), goal, met, **more)


def _ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """Return the median of the ratios turn by turn, or of the medians where turns do not pair."""
    if len(over) == len(under):
        return statistics.median(o / u for o, u in zip(over, under, strict=True))
    return statistics.median(over) / statistics.median(under)


def spread(values: Sequence[float], unit: str) -> str:
    """Write median, least and greatest."""
    if not values:
        return "–"
    if len(values) == 1:
        return f"{values[0]:.3g} {unit}"
    return f"{statistics.median(values):.3g} ({min(values):.3g}–{max(values):.3g}) {unit}"


# -- turns -----------------------------------------------------------------------------------


def race(
    names: Sequence[str], rounds: int, *, first: int = 0, one_thread: bool = False
) -> dict[str, list[dict[str, Any]]]:
    """Run contenders of the script that was started, each turn in a process of its own.

    Turns are numbered from ``first``. A result is what the contender returned, with ``seconds``.
    With ``one_thread`` all of them run under ``set_intra_op_parallelism_threads(1)``.
    """
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in names if _is_there(name)}
    script = str(Path(sys.argv[0]).resolve())
    for turn in range(rounds):
        for name, found in results.items():
            command = [sys.executable, script, "--one", name, "--turn", str(first + turn)]
            env = {**environment(), ONE_THREAD: str(int(one_thread))}
            done = subprocess.run(command, capture_output=True, text=True, env=env)
            if done.returncode:
                sys.exit(f"{name} failed:\n{done.stderr[-4000:]}")
            line = next(s for s in reversed(done.stdout.splitlines()) if s.startswith(MARK))
            found.append(json.loads(line.removeprefix(MARK)))
            say(f"round {turn + 1} of {rounds}, {name}: {found[-1]['seconds']:.2f} s")
    return results


def alternate(
    contenders: Mapping[str, Callable[[], Any]], rounds: int
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Call functions by turns in this process; return seconds of each turn, and last results."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    results: dict[str, Any] = {}
    for _ in range(rounds):
        for name, run in contenders.items():
            start = time.perf_counter()
            results[name] = run()
            seconds[name].append(time.perf_counter() - start)
    return seconds, results


def environment() -> dict[str, str]:
    """Return what the processes run under: quiet, on the CPU, of which the goals speak."""
    return {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


def warm_up() -> None:
    """Fit a net that is in no benchmark, so that nobody's time holds what Keras loads lazily."""
    import keras
    import numpy as np

    model = keras.Sequential([keras.layers.Input((5,)), keras.layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    X, y = np.zeros((40, 5), "float32"), np.zeros(40, "int64")
    model.fit(X, y, validation_split=0.2, verbose=0)
    model.predict(X, verbose=0)


def _is_there(name: str) -> bool:
    missing = [module for module in NEEDS.get(name, []) if not importlib.util.find_spec(module)]
    if missing:
        say(f"left out: {name}, for want of {missing[0]}. Run pip install 'skcb[benchmarks]'")
    return not missing


def say(text: str) -> None:
    """Write a line of progress."""
    print(f"  {text}", file=sys.stderr, flush=True)


# -- scores of searches ----------------------------------------------------------------------


def accuracies(found: Sequence[Mapping[str, Any]]) -> dict[int, list[float]]:
    """Collect the accuracies of all candidates by fold, from all rounds of a contender."""
    return {int(k): scores for result in found for k, scores in result["scores"].items()}


def best_of_both(
    ours: Mapping[int, list[float]], theirs: Mapping[int, list[float]]
) -> tuple[float, float]:
    """Return each one's best mean accuracy over the folds that both have."""
    folds = sorted(ours.keys() & theirs.keys())
    means = (
        [statistics.fmean(s) for s in zip(*(each[k] for k in folds), strict=True)]
        for each in (ours, theirs)
    )
    return tuple(map(max, means))


# -- command line and report -----------------------------------------------------------------


def arguments(
    doc: str,
    contenders: Mapping[str, Callable[[int], Callable[[], dict[str, Any]]]] | None = None,
    *,
    rounds: int = 3,
    only: Sequence[str] | None = None,
    usual: Sequence[str] | None = None,
    add: Callable[[argparse.ArgumentParser], Any] | None = None,
) -> argparse.Namespace:
    """Read the command line that all benchmarks share.

    A process that was started for one turn of one contender runs it here, and ends. A contender
    is called with the number of the turn and returns what is timed.
    """
    os.environ.update(environment())
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, help=f"turns of each contender (default {rounds})")
    parser.add_argument("--quick", action="store_true", help="one round, and less of what is long")
    parser.add_argument("--json", type=Path, help="write the lines of the table to this file too")
    if only is not None:
        parser.add_argument("--only", nargs="+", choices=only, default=usual or only)
    if add is not None:
        add(parser)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--turn", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        assert contenders is not None
        _play(contenders[options.one], options.turn)
        sys.exit()
    if options.rounds is None:
        options.rounds = 1 if options.quick else rounds
    return options


def _play(contender: Callable[[int], Callable[[], dict[str, Any]]], turn: int) -> None:
    if os.environ.get(ONE_THREAD) == "1":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
    run = contender(turn)
    start = time.perf_counter()
    result = run()
    print(MARK + json.dumps({"seconds": time.perf_counter() - start, **result}))


def report(lines: Sequence[Line], options: argparse.Namespace) -> None:
    """Print the lines; end with an error where results that must agree do not."""
    for line in lines:
        work, against, ours, theirs, label, goal, met, note = line.cells()
        print(f"{work}, against {against}" if against else work)
        print(f"    skcb {ours}" + (f", the other {theirs}" if line.theirs else ""))
        for said in (label, f"goal {goal}: {met}" if goal else "", note):
            if said:
                print(f"    {said}")
    if options.json:
        options.json.write_text(json.dumps([asdict(line) for line in lines]), "utf-8")
    if not all(line.agrees for line in lines):
        sys.exit("results that must agree do not")


def table(lines: Sequence[Line]) -> str:
    """Write lines as a table in Markdown."""
    rows = [HEAD, ["---"] * len(HEAD), *(line.cells() for line in lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
