"""Random numbers: one ``random_state`` becomes the integers that a fit needs.

Owns the seeds of weights, order and split, and the process-wide lock under which models are
built: initializers and Dropout draw their seeds from Python's own generator, so it is seeded for
the build and put back afterwards. Leaves the permutation of an epoch to ``engine.loop``.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state

BUILDING = threading.RLock()
"""Held while a model is built: building reads and writes generators that all threads share."""

_BELOW = 2**31 - 1


class Seeds(NamedTuple):
    """What the random parts of one fit start from."""

    weights: int
    order: int
    split: int


def draw(random_state: Any) -> Seeds:
    """Draw the seeds of one fit.

    Parameters
    ----------
    random_state : int, RandomState or None
        As in scikit-learn: an integer gives the same seeds at every call, a RandomState is
        advanced, None draws from NumPy's global generator.
    """
    integers = check_random_state(random_state).randint(_BELOW, size=len(Seeds._fields))
    return Seeds(*map(int, integers))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed Python's and NumPy's global generators for a block, and put them back after it."""
    with BUILDING:
        python, numpy = random.getstate(), np.random.get_state()
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
