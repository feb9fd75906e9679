"""Random numbers: one ``random_state`` becomes the integers that a fit needs.

Owns the seeds of weights, order and split, and the process-wide lock under which models are
built and copied: initializers and Dropout draw their seeds from Python's own generator, so it is
seeded for a build, and put back after a build or a copy. Leaves the permutation of an epoch to
``engine.loop``.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import check_random_state

BUILDING = threading.RLock()
"""Held while a model is built or copied: both read and write generators that all threads share."""

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
    """Seed Python's, NumPy's and Keras' global generators for a block; put them back after it."""
    with untouched():
        random.seed(seed)
        np.random.seed(seed)
        yield


@contextmanager
def untouched() -> Iterator[None]:
    """Leave these generators as they were, after a block that makes or copies Keras objects.

    Initializers draw a seed each, also where the weights are there already, as in a copy. A model
    that another thread builds meanwhile would get the seeds after those.
    """
    with BUILDING:
        python, numpy = random.getstate(), np.random.get_state()
        keras_own = _swap_keras_generator(None)  # Keras makes a new one, seeded by Python's
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
            _swap_keras_generator(keras_own)


def _swap_keras_generator(generator: Any) -> Any:
    """Put another generator in the place of Keras' global one and return the old one.

    ``keras.random`` draws from it where no seed is given. Keras keeps it in ``global_state``,
    which has no public door; test_seeds.py notices if it goes.
    """
    if "keras" not in sys.modules:
        return None
    from keras.src.backend.common import global_state

    old = global_state.get_global_attribute(_KERAS_GENERATOR)
    global_state.set_global_attribute(_KERAS_GENERATOR, generator)
    return old


_KERAS_GENERATOR = "global_seed_generator"
