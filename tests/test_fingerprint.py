"""One text for what a value is, the same in every process."""

import collections
import dataclasses
import datetime
import decimal
import fractions
import functools
import operator
import os
import re
import subprocess
import sys
import threading
from pathlib import Path, PurePosixPath

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, make_scorer

from skcb import Tunable
from skcb._fingerprint import fingerprint
from skcb.callbacks import EarlyStopping
from skcb.schedules import CosineDecay
from tests.models import perceptron


class Own:
    """A class of the user's own."""

    def __init__(self, value):
        self.value = value
        self.itself = self

    def __call__(self, x):
        """Use a set, whose order differs from process to process."""
        return x in {"a", "b", "c", "d"}


@dataclasses.dataclass(slots=True, frozen=True)
class Slotted:
    """A class whose objects have no ``__dict__``."""

    value: object


class Both(Slotted):
    """One whose objects have slots and attributes."""

    def __init__(self, value, other):
        object.__setattr__(self, "value", value)
        self.__dict__["other"] = other


def path(text):
    """Make a path that remembers its own hash, another one in each process."""
    made = PurePosixPath(text)
    hash(made), str(made)
    return made


def frame(*names):
    """Make a table with these columns; of its index nothing is said."""
    return pd.DataFrame([[1.0, "x"], [2.0, "y"]], columns=list(names), index=[7, 5])


def power(exponent):
    """Make a function that remembers."""
    return lambda base: base**exponent


def generator(seed, drawn=0):
    """Make a random generator that has drawn so often."""
    rng = np.random.default_rng(seed)
    rng.random(drawn)
    return rng


def without_decay(name):
    """Make an optimizer that leaves a variable out of weight decay."""
    optimizer = keras.optimizers.AdamW()
    optimizer.exclude_from_weight_decay(var_names=[name])
    return optimizer


MAKERS = {
    "huber": lambda: keras.losses.Huber(),
    "other huber": lambda: keras.losses.Huber(0.25),  # which its `get_config` does not say
    "decays": lambda: keras.optimizers.AdamW(),
    "decays no bias": lambda: without_decay("bias"),
    "decays no kernel": lambda: without_decay("kernel"),
    "none": lambda: None,
    "false": lambda: False,
    "zero": lambda: 0,
    "float zero": lambda: 0.0,
    "text": lambda: "0",
    "bytes": lambda: b"0",
    "nan": lambda: float("nan"),
    "list": lambda: [1, [2]],
    "flat list": lambda: [1, 2],
    "tuple": lambda: (1, [2]),
    "split texts": lambda: ["a", "bc"],
    "other split": lambda: ["ab", "c"],
    "dict": lambda: {"a": 1, "b": 2},
    "set": lambda: {"some", "words", "here"},
    "array": lambda: np.arange(6.0),
    "shaped array": lambda: np.arange(6.0).reshape(2, 3),
    "float32 array": lambda: np.arange(6.0, dtype="float32"),
    "labels": lambda: np.array(["x", "yes"], dtype=object),
    "other labels": lambda: np.array(["x", "no"], dtype=object),
    "numpy number": lambda: np.float64(0.0),
    "generator": lambda: generator(0),
    "other generator": lambda: generator(1),
    "generator later on": lambda: generator(0, 1),
    "old generator": lambda: np.random.RandomState(0),
    "function": lambda: perceptron,
    "closure": lambda: power(2),
    "other closure": lambda: power(3),
    "partial": lambda: functools.partial(perceptron, hidden=3),
    "other partial": lambda: functools.partial(perceptron, hidden=4),
    "method": lambda: Own(1).__call__,
    "class": lambda: Own,
    "object": lambda: Own(1),
    "other object": lambda: Own(2),
    "scorer": lambda: make_scorer(f1_score, average="macro"),
    "other scorer": lambda: make_scorer(f1_score, average="micro"),
    "recipe": lambda: EarlyStopping(patience=3),
    "other recipe": lambda: EarlyStopping(patience=4),
    "schedule": lambda: CosineDecay(),
    "tunable": lambda: Tunable(Own, value=3),
    "optimizer": lambda: keras.optimizers.Adam(0.1),
    "other optimizer": lambda: keras.optimizers.Adam(0.2),
    "Keras' schedule": lambda: keras.optimizers.schedules.CosineDecay(0.1, 30),
    "Keras' callback": lambda: keras.callbacks.EarlyStopping(patience=3),
    "layer": lambda: keras.layers.Dense(3, name="a"),
    "frame": lambda: frame("a", "b"),
    "frame with other names": lambda: frame("b", "a"),
    "object with slots": lambda: Slotted({"some", "words"}),
    "other object with slots": lambda: Slotted({"other", "words"}),
    "object with both": lambda: Both(1, 2),
    "object with another slot": lambda: Both(2, 2),
    "object with another attribute": lambda: Both(1, 3),
    "slice": lambda: slice(0, 2),
    "other slice": lambda: slice(2, 4),
    "range": lambda: range(3),
    "other range": lambda: range(4),
    "date": lambda: datetime.date(2026, 1, 1),
    "other date": lambda: datetime.date(2026, 1, 2),
    "time": lambda: pd.Timestamp("2026-01-01"),
    "other time": lambda: pd.Timestamp("2026-01-02"),
    "getter": lambda: operator.itemgetter(0),
    "other getter": lambda: operator.itemgetter(1),
    "decimal": lambda: decimal.Decimal(1),
    "other decimal": lambda: decimal.Decimal(2),
    "fraction": lambda: fractions.Fraction(1, 2),
    "other fraction": lambda: fractions.Fraction(1, 3),
    "path": lambda: path("a/b"),
    "other path": lambda: path("a/c"),
    "pattern": lambda: re.compile("a"),
    "other pattern": lambda: re.compile("b"),
    "method of a class": lambda: str.lower,
    "other method of a class": lambda: str.upper,
    "method of an array's function": lambda: np.add.reduce,
    "method of another one": lambda: np.maximum.reduce,
    "queue": lambda: collections.deque([1, 2], maxlen=3),
    "other queue": lambda: collections.deque([1, 2], maxlen=4),
    "bytes that change": lambda: bytearray(b"a"),
    "other bytes that change": lambda: bytearray(b"b"),
}


def test_equal_values_share_a_fingerprint():
    """Made twice, each has the same."""
    for name, make in MAKERS.items():
        assert fingerprint(make()) == fingerprint(make()), name


def test_different_values_have_different_ones():
    """All of them, pair by pair."""
    found = {name: fingerprint(make()) for name, make in MAKERS.items()}
    assert len(set(found.values())) == len(MAKERS)


def test_changed_code_has_another():
    """The name is the same, what it does is not."""
    first, second = {}, {}
    exec("def f(x):\n    return x + 1", first)
    exec("def f(x):\n    return x + 2", second)
    assert fingerprint(first["f"]) != fingerprint(second["f"])


@pytest.mark.slow
def test_another_process_has_the_same():
    """Though its sets and dicts of texts are in another order, and its objects elsewhere."""
    code = (
        "from tests.test_fingerprint import MAKERS, fingerprint\n"
        "print(*(fingerprint(make()) for make in MAKERS.values()))"
    )
    here = [fingerprint(make()) for make in MAKERS.values()]
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(__file__).parents[1],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == here


def test_what_cannot_be_taken_apart_counts_by_its_class():
    """And what is used up as it is looked at stays whole."""
    assert fingerprint(threading.Lock()) == fingerprint(threading.Lock())
    drawn = iter([1, 2])
    fingerprint(drawn)
    assert list(drawn) == [1, 2]
