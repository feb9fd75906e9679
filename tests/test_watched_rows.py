"""Watched rows, by every kind of splitter: told from the rows that reached the model in Keras."""

import numpy as np
import pytest
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
    TimeSeriesSplit,
    cross_validate,
)

from skcb import KerasClassifier, KerasRegressor
from skcb.exceptions import TrainingWarning
from tests.models import X, Y, numbered, seeing

y = Y["binary"]
ROWS = numbered(X)
GROUPS = np.arange(48) // 6
EPOCHS = 3


def rows_seen(estimator):
    """Return which rows trained and which were evaluated, and see that each did once an epoch."""
    seen = estimator.model_.get_layer("seen")
    counts = [np.asarray(seen.trained), np.asarray(seen.watched)]
    assert set(np.concatenate(counts).tolist()) <= {0.0, EPOCHS}
    train, watched = (np.flatnonzero(each).tolist() for each in counts)
    assert not set(train) & set(watched)
    return train, watched


def fit(split, y=y, *, rows=ROWS, estimator=KerasClassifier, groups=None, **params):
    """Fit a model that counts the rows it sees, and return them."""
    params = {"epochs": EPOCHS, "batch_size": 7, "random_state": 0, **params}
    estimator = estimator(seeing, n_rows=len(rows), validation_split=split, **params)
    return rows_seen(estimator.fit(rows, y, groups=groups))


SPLITTERS = [
    KFold(4),
    RepeatedKFold(n_splits=3, n_repeats=1, random_state=1),
    StratifiedKFold(4),
    StratifiedKFold(3, shuffle=True, random_state=2),
    ShuffleSplit(1, test_size=0.25, random_state=3),
    StratifiedShuffleSplit(1, test_size=12, random_state=4),
    PredefinedSplit(np.where(np.arange(48) % 3 == 0, 0, -1)),
    TimeSeriesSplit(3),
    GroupKFold(4),
    GroupShuffleSplit(1, random_state=5),
    LeaveOneGroupOut(),
    StratifiedGroupKFold(2),
]


@pytest.mark.slow
@pytest.mark.parametrize("splitter", SPLITTERS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("engine", ["auto", "keras"])
def test_a_splitter_gives_its_first_split(splitter, engine):
    """Exactly those rows train and are watched, once an epoch; the others are not seen."""
    groups = GROUPS if "Group" in type(splitter).__name__ else None
    train, watched = next(splitter.split(ROWS, y, groups))
    expected = sorted(train.tolist()), sorted(watched.tolist())
    assert fit(splitter, groups=groups, engine=engine) == expected


def test_a_splitter_works_for_a_regressor_too():
    """With a y of several columns."""
    split = KFold(4, shuffle=True, random_state=0)
    train, watched = fit(split, Y["several targets"], estimator=KerasRegressor)
    assert len(train) == 36 and len(watched) == 12


@pytest.mark.parametrize("share", [0.25, 0.5, 0.1, np.float32(0.25)])
@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_both_sides_hold_all_classes_of_a_sorted_y(kind, share):
    """In the shares that they have in y."""
    order = np.argsort(Y[kind], kind="stable")
    labels = Y[kind][order]
    train, watched = fit(share, labels)
    assert len(watched) == np.ceil(share * 48) and len(train) + len(watched) == 48
    for label in np.unique(labels):
        of_all = np.mean(labels == label)
        assert abs(np.mean(labels[train] == label) - of_all) < 0.03
        assert abs(np.mean(labels[watched] == label) - of_all) <= 0.5 / len(watched) + 0.1


def test_a_share_of_a_regressors_rows_is_shuffled():
    """Sorted values do not put the greatest aside."""
    _, watched = fit(0.25, np.sort(Y["regression"]), estimator=KerasRegressor)
    assert min(watched) < 12 and max(watched) >= 36 and len(watched) == 12


def test_a_multilabel_target_is_shuffled():
    """There is no stratum to keep."""
    train, watched = fit(0.25, Y["multilabel"])
    assert (len(train), len(watched)) == (36, 12)


@pytest.mark.parametrize("n_rows", [1, 2])
def test_a_rare_class_trains(n_rows):
    """A class with one row trains, with a warning; one of two is on one side at least."""
    labels = Y["binary"].astype("<U4")
    labels[:n_rows] = "one"
    if n_rows == 1:
        with pytest.warns(TrainingWarning, match="Of class 'one' there is only one row"):
            train, watched = fit(0.25, labels)
    else:
        train, watched = fit(0.25, labels)
    assert "one" in labels[train]
    assert len(watched) == 12


@pytest.mark.filterwarnings("ignore:The least populated class in y has only 2 members")
def test_a_class_with_one_row_in_a_fold_does_not_end_the_fold():
    """The watched rows hold none of it, and the model has its column."""
    labels = Y["binary"].astype("<U4")
    labels[[3, 30]] = "one"
    estimator = KerasClassifier(seeing, validation_split=0.25, batch_size=-1, random_state=0)
    with pytest.warns(TrainingWarning, match="only one row"):
        found = cross_validate(
            estimator, ROWS, labels, cv=StratifiedKFold(2), return_estimator=True
        )
    assert [e.classes_.tolist() for e in found["estimator"]] == [["no", "one", "yes"]] * 2
    assert np.isfinite(found["test_score"]).all()


@pytest.mark.parametrize("form", ["X_val", "validation_data", "fit__validation_split"])
def test_the_other_ways_to_watch_rows(form):
    """Rows that are brought, and Keras' own spelling in the call."""
    watched = (ROWS[40:], y[40:])
    given = {
        "X_val": {"X_val": watched[0], "y_val": watched[1]},
        "validation_data": {"validation_data": watched},
        "fit__validation_split": {"validation_split": 0.25},
    }[form]
    estimator = KerasClassifier(seeing, epochs=EPOCHS, batch_size=7, random_state=0)
    rows = ROWS if form == "fit__validation_split" else ROWS[:40]
    train, seen = rows_seen(estimator.fit(rows, y[: len(rows)], **given))
    assert len(train) + len(seen) == 48
    assert form == "fit__validation_split" or seen == list(range(40, 48))


def test_no_row_is_watched_unless_it_is_asked_for():
    """All rows train."""
    for nothing in (None, 0, 0.0):
        assert fit(nothing) == (list(range(48)), [])
