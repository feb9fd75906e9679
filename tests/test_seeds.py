"""One random_state becomes the seeds of a fit, and the global generators stay as they were."""

import contextlib
import random
import threading
import time

import keras
import numpy as np
import pytest

from skcb._seeds import BUILDING, draw, seeded, untouched


def globals_now():
    """Return what Python's and NumPy's global generators would draw next."""
    return random.getstate(), np.random.get_state()[1].tolist(), np.random.get_state()[2]


def test_an_integer_gives_the_same_seeds_each_time():
    """And weights, order and split do not share one."""
    assert draw(3) == draw(3) != draw(4)
    assert len(set(draw(3))) == 3


def test_a_random_state_is_advanced():
    """So that two fits with one generator differ, as scikit-learn has it."""
    state = np.random.RandomState(3)
    assert draw(state) == draw(3)
    assert draw(state) != draw(3)


def test_none_draws_from_numpys_global_generator():
    """As in scikit-learn: seeding NumPy makes it repeatable."""
    kept = np.random.get_state()
    np.random.seed(5)
    first, second = draw(None), draw(None)
    np.random.seed(5)
    assert (draw(None) == first) and first != second
    np.random.set_state(kept)


def test_seeds_are_plain_integers():
    """Keras refuses a seed of NumPy's types."""
    assert {type(seed) for seed in draw(0)} == {int}


def test_a_block_is_seeded_and_leaves_no_trace():
    """Inside, both global generators start from the seed; after it they go on as before."""
    before = globals_now()
    with seeded(1):
        first = random.random(), np.random.random()
    with seeded(1):
        assert (random.random(), np.random.random()) == first
    assert globals_now() == before


def test_a_block_that_fails_leaves_no_trace_either():
    """An error in a build function comes through, and the generators are put back."""
    before = globals_now()
    with pytest.raises(KeyError, match="theirs"), seeded(1):
        random.random()
        raise KeyError("theirs")
    assert globals_now() == before
    assert BUILDING.acquire(blocking=False)
    BUILDING.release()


@pytest.mark.parametrize("block", [lambda: seeded(1), untouched], ids=["seeded", "untouched"])
def test_after_a_block_the_generators_go_on_as_before(block):
    """Keras' own among them, whatever is drawn in the block."""

    def draws():
        return random.random(), np.random.random(), float(keras.random.uniform(()))

    kept = random.getstate(), np.random.get_state()
    found = []
    for between in (block, contextlib.nullcontext, block):
        random.seed(3), np.random.seed(3)
        keras.utils.set_random_seed(3)
        draws()  # now Keras has a generator
        with between():
            if between is block:
                draws()
        found.append(draws())
    random.setstate(kept[0]), np.random.set_state(kept[1])
    assert found[0] == found[1] == found[2]


def test_blocks_nest():
    """A build function may build with a seed of its own."""
    with seeded(1):
        random.random()
        expected = random.random()
    with seeded(1):
        random.random()
        with seeded(2):
            random.random()
        assert random.random() == expected


def test_threads_do_not_disturb_each_other():
    """Four threads with fifty blocks each draw what one alone would draw."""
    drawn = {}

    def work(thread):
        for i in range(50):
            seed = 50 * thread + i
            with seeded(seed):
                python = []
                for _ in range(20):
                    time.sleep(0)  # lets another thread run
                    python.append(random.random())
                drawn[seed] = python, np.random.random(20).tolist()

    threads = [threading.Thread(target=work, args=(t,)) for t in range(4)]
    before = globals_now()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert globals_now() == before
    for seed, (python, numpy) in drawn.items():
        alone = random.Random(seed)
        assert python == [alone.random() for _ in range(20)]
        assert numpy == np.random.RandomState(seed).random_sample(20).tolist()
    assert len(drawn) == 200
