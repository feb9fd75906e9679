"""Which rows train and which are watched."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st
from sklearn.model_selection import (
    GroupKFold,
    PredefinedSplit,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)

from skcb._validation import given, split
from skcb.exceptions import TrainingWarning

ROWS = np.arange(20)
SORTED = np.repeat([0, 1], 10)


class Overlapping:
    """A splitter that lets a row do both."""

    def split(self, X, y, groups=None):
        yield np.arange(5), np.arange(4, 8)


def splitted(share, y, *, stratify=True, seed=0, groups=None):
    """Split rows that are numbered."""
    return split(share, np.arange(len(y)), y, stratify=stratify, seed=seed, groups=groups)


@drawn(st.floats(0.01, 0.99), st.integers(2, 60), st.booleans(), st.integers(0, 99))
def test_every_row_trains_or_is_watched_and_none_does_both(share, n, stratify, seed):
    """Sorted row numbers, as many watched as the share says, rounded up."""
    y = np.arange(n) % 2 if n > 3 else np.zeros(n)
    try:
        train, watched = splitted(share, y, stratify=stratify, seed=seed)
    except ValueError as error:
        assert "leaves no rows to train" in str(error) and share * n > n - 1
        return
    assert sorted([*train, *watched]) == list(range(n))
    assert (np.diff(train) > 0).all() and (np.diff(watched) > 0).all()
    if not stratify:
        assert len(watched) == np.ceil(share * n)


@drawn(
    st.lists(st.integers(0, 6), min_size=4, max_size=40).filter(lambda y: len(set(y)) < len(y)),
    st.floats(0.05, 0.9),
    st.integers(0, 99),
)
def test_every_class_has_rows_that_train(y, share, seed):
    """However few rows it has, and however many are watched."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingWarning)
        try:
            train, watched = splitted(share, np.array(y), seed=seed)
        except ValueError as error:
            assert "leaves no rows" in str(error)
            return
    assert set(np.array(y)[train]) == set(y)
    assert len(watched) > 0 and len(train) + len(watched) == len(y)


def test_a_float_is_seeded():
    """The same seed watches the same rows; another one others."""
    one, again, other = (splitted(0.25, SORTED, seed=seed)[1].tolist() for seed in (1, 1, 2))
    assert one == again != other


@pytest.mark.parametrize("labels", [[0, 1], ["no", "yes"], [False, True]])
def test_sorted_classes_are_on_both_sides(labels):
    """Keras watches the last rows: one class. Here both sides keep the shares."""
    y = np.repeat(labels, [16, 4])
    train, watched = splitted(0.25, y)
    assert np.unique(y[train], return_counts=True)[1].tolist() == [12, 3]
    assert np.unique(y[watched], return_counts=True)[1].tolist() == [4, 1]


@pytest.mark.parametrize("y", [np.linspace(0, 1, 20), np.eye(20, 3, dtype=int)])
def test_what_cannot_be_stratified_is_shuffled(y):
    """A regression target, and an indicator of several labels a row."""
    watched = splitted(0.25, y, stratify=y.ndim == 2)[1]
    assert len(watched) == 5 and watched.tolist() != list(range(15, 20))


def test_a_class_of_one_row_trains_with_one_warning():
    """All such classes are named in one sentence."""
    y = np.array([*"aaaaaaaabbbbbbbb", "c", "d"])
    with pytest.warns(TrainingWarning, match="Of class 'c', 'd' there is only one row") as caught:
        train, watched = splitted(0.25, y)
    assert len(caught) == 1
    assert {16, 17} <= set(train) and set(y[watched]) == {"a", "b"}


def test_more_classes_than_watched_rows_are_shuffled_by_the_seed():
    """No stratified split exists; each class still trains."""
    y = np.repeat(np.arange(10), 2)
    train, watched = splitted(0.2, y)
    assert len(watched) == 4 and set(y[train]) == set(range(10))
    assert watched.tolist() == splitted(0.2, y)[1].tolist() != splitted(0.2, y, seed=1)[1].tolist()


def test_classes_of_one_row_each_leave_nothing_to_watch():
    """An error that says so, not one of a splitter below."""
    with (
        pytest.warns(TrainingWarning),
        pytest.raises(ValueError, match=r"`validation_split=0\.5` leaves no rows to watch"),
    ):
        splitted(0.5, np.array([0, 1]))


@pytest.mark.parametrize("nothing", [None, 0, 0.0])
def test_without_a_split_all_rows_train(nothing):
    """And nothing is watched."""
    train, watched = splitted(nothing, SORTED)
    assert train.tolist() == ROWS.tolist() and watched is None


@pytest.mark.parametrize(
    "splitter, groups",
    [
        (ShuffleSplit(test_size=0.3, random_state=0), None),
        (StratifiedKFold(4, shuffle=True, random_state=0), None),
        (GroupKFold(4), ROWS // 3),
        (PredefinedSplit(np.where(ROWS < 15, -1, 0)), None),
        (TimeSeriesSplit(3), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_splitter_gives_its_first_split(splitter, groups):
    """Sorted, with groups where it wants them."""
    expected = next(iter(splitter.split(ROWS, SORTED, groups)))
    train, watched = splitted(splitter, SORTED, groups=groups)
    assert (train.tolist(), watched.tolist()) == tuple(sorted(rows.tolist()) for rows in expected)


@pytest.mark.parametrize(
    "value, error, words",
    [
        (1.0, ValueError, r"must be in \[0, 1\) but got 1.0"),
        (-0.1, ValueError, "but got -0.1"),
        (5, ValueError, "but got 5"),
        (float("nan"), ValueError, "but got nan"),
        (True, TypeError, "but got True"),
        ("0.2", TypeError, "but got '0.2'"),
        ([0.2], TypeError, "a splitter of scikit-learn's"),
        (ShuffleSplit, TypeError, "a splitter of scikit-learn's"),
        (0.99, ValueError, "`validation_split=0.99` leaves no rows to train"),
        (PredefinedSplit([-1] * 20), ValueError, "leaves no rows to train"),
        (Overlapping(), ValueError, "lets row 4 both train and be watched"),
    ],
)
def test_a_bad_split_is_refused(value, error, words):
    """The error names the parameter, the value and what would be taken."""
    with pytest.raises(error, match=words):
        splitted(value, SORTED)


FRAME = pd.DataFrame({"a": [1.0]})


@pytest.mark.parametrize(
    "brought, expected",
    [
        ((None, None, None, None), None),
        (("X", "y", None, None), ("X", "y", None)),
        ((FRAME, "y", "w", None), (FRAME, "y", "w")),
        ((None, None, None, ("X", "y")), ("X", "y", None)),
        ((None, None, None, ["X", "y", "w"]), ("X", "y", "w")),
    ],
)
def test_watched_rows_are_understood_in_both_spellings(brought, expected):
    """scikit-learn's `X_val` and `y_val`, and Keras' `validation_data`."""
    found = given(*brought)
    assert found is expected or all(a is b for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    "brought, words",
    [
        (("X", None, None, None), "`y_val` is missing"),
        ((None, "y", None, None), "`X_val` is missing"),
        ((None, None, "w", None), "`sample_weight_val` weighs"),
        (("X", "y", None, ("X", "y")), "not both"),
        ((None, None, "w", ("X", "y")), "not both"),
        ((None, None, None, ("X",)), r"\(X, y\) or \(X, y, sample_weight\) but got tuple of 1"),
        ((None, None, None, ("X", "y", "w", 4)), "tuple of 4"),
        ((None, None, None, np.zeros(2)), "ndarray of 2"),
        ((None, None, None, 3), "but got int."),
    ],
)
def test_half_of_watched_rows_or_both_spellings_are_refused(brought, words):
    """The error says what is missing or what to give."""
    with pytest.raises(ValueError, match=words):
        given(*brought)
