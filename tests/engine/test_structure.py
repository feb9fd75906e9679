"""Models that differ in anything that changes their numbers never share a program."""

import sys
from pathlib import Path

import keras
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import twins
import zoo
from keras_reference import built
from running import by_keras, difference, trained

from skcb.engine import pool
from skcb.engine.structure import NotDescribed, describe

BUILT_IN = [*zoo.LAYERS, "plain", "attention", "two inputs, two outputs", "nested model"]
NOT_DESCRIBED = ["subclassed", "own train_step", "own loss and metric"]


def model_of(case):
    """Build a fresh model of a case with all its variables."""
    x, y = case.x(), case.y()
    return built(case, (x, y))


def described(model):
    """Describe a model, or return None."""
    try:
        return describe(model)
    except NotDescribed:
        return None


@pytest.mark.parametrize("name", BUILT_IN)
def test_models_of_one_structure_are_described_alike(name):
    """Two models built alike are one structure, whatever Keras named their layers."""
    first, second = model_of(zoo.CASES[name]), model_of(zoo.CASES[name])
    assert describe(first) == describe(second)


@pytest.mark.parametrize("name", NOT_DESCRIBED)
def test_code_of_the_users_own_is_not_described(name):
    """What a user's code reads could change without a sign, so it shares nothing."""
    with pytest.raises(NotDescribed):
        describe(model_of(zoo.CASES[name]))


@pytest.mark.parametrize("name", twins.PAIRS)
def test_pairs_are_two_structures(name):
    """Of two models that differ in one thing, descriptions differ or there is none."""
    a, b, x = twins.PAIRS[name]
    epsilon = keras.config.epsilon()
    try:
        first = described(model_of(zoo.Case(a, x=x)))
        second = described(model_of(zoo.Case(b, x=x)))
    finally:
        keras.config.set_epsilon(epsilon)
    assert first is None or first != second


@pytest.fixture(scope="module")
def after_the_other(tmp_path_factory):
    """Train A then B of each pair through the pool, and B alone in a fresh process."""
    pool.clear_programs()
    epsilon = keras.config.epsilon()
    jobs, ours = {}, {}
    try:
        for name, (a, b, x) in twins.PAIRS.items():
            trained(zoo.Case(a, x=x))
            jobs[name, 0, "auto"], ours[name] = trained(zoo.Case(b, x=x))
    finally:
        keras.config.set_epsilon(epsilon)
    return ours, by_keras(jobs, tmp_path_factory.mktemp("twins"))


@pytest.mark.slow
@pytest.mark.parametrize("name", twins.PAIRS)
def test_second_of_a_pair_is_not_touched_by_the_first(after_the_other, name):
    """B trained after A through the pool equals B trained in a fresh process."""
    ours, reference = after_the_other
    assert difference(ours[name], reference[name, 0, "auto"]) == 0.0
