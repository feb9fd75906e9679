"""Rows, their weights and the precision in which Keras takes them."""

import keras
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skcb._data import (
    Data,
    checked_weights,
    class_weights,
    loss_weights,
    model_input,
    some,
    with_plain_integers,
)


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


def test_class_weights_may_name_a_class_that_these_rows_lack():
    """As those of a fold may; rows in a column are rows too."""
    y, classes = np.array(["a", "b", "a"]), np.array(["a", "b", "c"])
    for rows in (y, y[:, None], y.astype(object)):
        assert class_weights({"c": 9, "a": 2}, rows, classes).tolist() == [2, 1, 2]


ONE, HUGE = np.ones(3), np.full(3, 1e30)
TURNS = [np.array([0, 0, 1.0]), np.array([1.0, 1, 0])]


@pytest.mark.parametrize(
    "sample_weight, by_class, words",
    [
        (HUGE * HUGE, None, "^`sample_weight` has a value too large for dtype.'float32'"),
        (None, HUGE * HUGE, "^`class_weight` has a value too large"),
        (HUGE, HUGE, "^`sample_weight` times `class_weight` has a value too large"),
        (ONE * 1e200, ONE * 1e200, "^`sample_weight` times `class_weight` has a value too large"),
        (0 * ONE, None, r"^`sample_weight` is zero \(in float32\) for all watched rows"),
        (ONE / HUGE / HUGE, None, "^`sample_weight` is zero"),
        (None, 0 * ONE, "^`class_weight` is zero"),
        (*TURNS, "^`sample_weight` times `class_weight` is zero"),
    ],
)
def test_weights_that_a_loss_cannot_use_are_refused(sample_weight, by_class, words):
    """Those of rows and classes together, by the name of what was given."""
    with pytest.raises(ValueError, match=words):
        loss_weights(sample_weight, by_class, "watched rows")


def test_weights_of_rows_and_classes_multiply_in_the_precision_of_a_loss():
    """Or are those of which there are some, or none."""
    assert loss_weights(None, None, "rows") is None
    assert_array_equal(loss_weights(ONE, None, "rows"), ONE.astype("float32"), strict=True)
    assert_array_equal(loss_weights(TURNS[1], 3 * ONE, "rows"), [3, 3, 0])


LARGE = [2**24 + 1, 2**53 + 1, 7]
FRAMES = {
    "Int64": pd.DataFrame({"a": pd.array(LARGE, "Int64"), "b": LARGE}),
    "of 64 bits, without a sign": pd.DataFrame({"a": pd.array(LARGE, "UInt64"), "b": LARGE}),
    "names twice": pd.DataFrame({"a": pd.array(LARGE, "Int64"), "b": LARGE}).set_axis(
        ["a", "a"], axis=1
    ),
    "names of two levels": pd.DataFrame(
        {("a", "x"): pd.array(LARGE, "Int64"), ("a", "y"): pd.array(LARGE, "Int64")}
    ),
    "a row index": pd.DataFrame({"a": pd.array(LARGE, "Int64"), "b": LARGE}, index=[2, 0, 0]),
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_nullable_integers_become_numpys(frame):
    """Not by way of floats; names and rows stay, and the frame that was given as it is."""
    before = frame.copy()
    plain = with_plain_integers(frame)
    assert [dtype.kind for dtype in plain.dtypes] == [str(d)[0].lower() for d in frame.dtypes]
    assert plain.to_numpy(object).tolist() == [[n, n] for n in LARGE]
    assert plain.columns.equals(frame.columns) and plain.index.equals(frame.index)
    pd.testing.assert_frame_equal(frame, before)


def test_nullable_integers_of_arrow_become_numpys():
    """As pandas reads them by `dtype_backend="pyarrow"`."""
    pytest.importorskip("pyarrow")
    plain = with_plain_integers(pd.DataFrame({"a": LARGE}, dtype="int64[pyarrow]"))
    assert plain["a"].dtype == np.int64 and plain["a"].tolist() == LARGE


@pytest.mark.parametrize(
    "table",
    [
        np.array([LARGE]),
        [LARGE],
        pd.Series(LARGE, dtype="Int64"),
        pl.DataFrame({"a": LARGE}),
        pd.DataFrame({"a": pd.array([1, None, 3], "Int64"), "b": pd.array([1.5, 2, 3], "Float64")}),
        pd.DataFrame({"a": [True, False], "b": ["x", "y"], "c": pd.array([True, None], "boolean")}),
        pd.DataFrame({"a": pd.Categorical([1, 2]), "b": pd.arrays.SparseArray([0, 1])}),
        pd.DataFrame(index=[1, 2]),
    ],
    ids=["array", "list", "series", "polars", "missing", "no integers", "categories", "no column"],
)
def test_whatever_holds_no_nullable_integers_stays_as_it_is(table):
    """The object itself, so that scikit-learn's checks see what was given."""
    assert with_plain_integers(table) is table


@pytest.mark.parametrize(
    "class_weight, classes, words",
    [
        ({"c": 1}, np.array(["a", "b"]), r"names 'c', which is no class of y: \['a', 'b'\]"),
        ({"a": -1}, np.array(["a", "b"]), "of 'a' must be a number of at least 0 but got -1"),
        ({"a": "x"}, np.array(["a", "b"]), "but got 'x'"),
        ({"a": np.nan}, np.array(["a", "b"]), "but got nan"),
        ("balance", np.array(["a", "b"]), "'balanced' or None but got 'balance'"),
        (pd.Series({"a": 1.0}), np.array(["a", "b"]), "'balanced' or None but got a"),
        (np.ones(2), np.array(["a", "b"]), "'balanced' or None but got array"),
        ({"a": 1}, [np.array(["a"]), np.array(["b"])], "which of 2 targets"),
    ],
)
def test_class_weights_that_cannot_be_are_refused(class_weight, classes, words):
    """The error names label and value, and says what is taken."""
    with pytest.raises(ValueError, match=words):
        class_weights(class_weight, np.array(["a", "b"]), classes)
