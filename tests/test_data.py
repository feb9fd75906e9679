"""Rows, their weights and the precision in which Keras takes them."""

import keras
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skcb._data import Data, checked_weights, class_weights, model_input, some


def test_some_rows_are_taken_of_all_parts():
    """Weights go with their rows, and where there are none there are none."""
    data = Data(np.arange(8).reshape(4, 2), np.arange(4), np.arange(4) / 2)
    taken = some(data, np.array([3, 1]))
    assert_array_equal(taken.x, [[6, 7], [2, 3]])
    assert_array_equal(taken.y, [3, 1])
    assert_array_equal(taken.weight, [1.5, 0.5])
    assert some(data._replace(weight=None), np.array([0])).weight is None


@pytest.mark.parametrize(
    "given, dtype",
    [
        (np.zeros(2, np.float64), "float32"),
        (np.zeros(2, np.float16), "float32"),
        (np.zeros(2, bool), "float32"),
        (np.zeros(2, np.int64), "int64"),
        ([0.5, 1.5], "float32"),
    ],
)
def test_floats_come_in_kerass_precision_and_integers_as_they_are(given, dtype):
    """An Embedding needs its integers; everything else is computed in `floatx`."""
    assert model_input(given).dtype == dtype


def test_the_precision_is_that_of_keras_at_the_time():
    """`keras.config.set_floatx` is the user's own choice."""
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    try:
        assert model_input(np.zeros(2, np.float32)).dtype == "float64"
    finally:
        keras.config.set_floatx(before)


@pytest.mark.parametrize(
    "given, expected",
    [
        (None, None),
        ([1, 2, 3], [1.0, 2.0, 3.0]),
        (pd.Series([1, 0, 3], index=[7, 8, 9]), [1.0, 0.0, 3.0]),
        (0.5, [0.5, 0.5, 0.5]),
        (np.float32(2), [2.0, 2.0, 2.0]),
    ],
)
def test_sample_weights_are_one_float_a_row(given, expected):
    """A list, a column of a frame, or one number for every row."""
    weights = checked_weights(given, 3)
    assert (weights is None) if expected is None else weights.tolist() == expected


@pytest.mark.parametrize(
    "given, words",
    [
        ([[1], [2], [3]], "must be 1D"),
        ([1, 2], "has 2 values for 3 rows"),
        ([1, 2, np.nan], "NaN or infinity"),
        ([1, 2, -1], "must not be negative"),
        ([0, 0, 0], "zero for all rows"),
        (float("nan"), "NaN or infinity"),
        (-1, "must not be negative"),
        (0, "zero for all rows"),
    ],
)
def test_weights_that_cannot_be_are_refused(given, words):
    """One number is judged as a column is."""
    with pytest.raises(ValueError, match=words):
        checked_weights(given, 3)


@pytest.mark.parametrize(
    "class_weight, y, expected",
    [
        ({"a": 2, "b": 0.5}, ["a", "b", "a"], [2, 0.5, 2]),
        ({"a": 2}, ["a", "b", "a"], [2, 1, 2]),
        ({0: 3.0}, [0, 1, 0], [3, 1, 3]),
        ({np.int64(0): 0}, [0, 1, 0], [0, 1, 0]),
        ("balanced", ["a", "b", "a"], [0.75, 1.5, 0.75]),
    ],
)
def test_class_weights_become_sample_weights(class_weight, y, expected):
    """By the user's own labels; a label that is not named weighs 1."""
    y = np.array(y)
    assert_allclose(class_weights(class_weight, y, np.unique(y)), expected)


@pytest.mark.parametrize(
    "class_weight, classes, words",
    [
        ({"c": 1}, np.array(["a", "b"]), r"names 'c', which is no class of y: \['a', 'b'\]"),
        ({"a": -1}, np.array(["a", "b"]), "of 'a' must be a number of at least 0 but got -1"),
        ({"a": "x"}, np.array(["a", "b"]), "but got 'x'"),
        ({"a": np.nan}, np.array(["a", "b"]), "but got nan"),
        ("balance", np.array(["a", "b"]), "'balanced' or None but got 'balance'"),
        ({"a": 1}, [np.array(["a"]), np.array(["b"])], "which of 2 targets"),
    ],
)
def test_class_weights_that_cannot_be_are_refused(class_weight, classes, words):
    """The error names label and value, and says what is taken."""
    with pytest.raises(ValueError, match=words):
        class_weights(class_weight, np.array(["a", "b"]), classes)
