"""The engine gives the numbers of plain Keras, to the last bit."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import zoo
from running import by_keras, difference, trained

pytestmark = pytest.mark.slow

BY_KERAS = ["plain", "dropout", "lstm", "optimizer: adamw, ema", "own train_step", "early stopping"]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Train everything by the engine, then by plain Keras."""
    runs = {
        (name, seed, engine): trained(zoo.CASES[name], seed, engine)
        for name in zoo.CASES
        for seed, engine in [(0, "auto"), (1, "auto"), (0, "keras")]
        if engine == "auto" or name in BY_KERAS
    }
    jobs = {key: job for key, (job, _) in runs.items() if key[2] == "auto"}
    swapped = dict(jobs["plain", 0, "auto"])
    order = swapped["orders"][0].copy()
    order[[0, 20]] = order[[20, 0]]
    jobs["plain", "swapped", "auto"] = {**swapped, "orders": [order, *swapped["orders"][1:]]}
    reference = by_keras(jobs, tmp_path_factory.mktemp("reference"))
    return {key: result for key, (_, result) in runs.items()}, reference


@pytest.mark.parametrize("name", zoo.CASES)
def test_first_fit_equals_keras(results, name):
    """History and variables are those of Model.fit, to the last bit."""
    ours, reference = results
    assert difference(ours[name, 0, "auto"], reference[name, 0, "auto"]) == 0.0


@pytest.mark.parametrize("name", zoo.CASES)
def test_reused_program_equals_keras(results, name):
    """A second model of the structure, through the same program, is as right as the first."""
    ours, reference = results
    assert difference(ours[name, 1, "auto"], reference[name, 1, "auto"]) == 0.0


@pytest.mark.parametrize("name", BY_KERAS)
def test_keras_road_equals_keras(results, name):
    """Keras' own functions, batch by batch, give the same."""
    ours, reference = results
    assert difference(ours[name, 0, "keras"], reference[name, 0, "auto"]) == 0.0


def test_one_swapped_row_is_noticed(results):
    """Two rows swapped between batches of one epoch change the numbers."""
    ours, reference = results
    assert difference(ours["plain", 0, "auto"], reference["plain", "swapped", "auto"]) > 0.0
