"""Which rows, and what goes with them, reach the fit and the score of each fold."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GroupKFold, KFold, ShuffleSplit, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcb._folds import Folds

X = np.arange(24.0).reshape(12, 2)
y = np.array(["no", "yes"] * 6)


class Remembers(ClassifierMixin, BaseEstimator):
    """Keeps what its fit was given."""

    def __init__(self, part=None):
        self.part = part

    def fit(self, X, y, **params):
        self.given_ = {"X": X, "y": y, **params}
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.repeat(self.classes_[:1], X.shape[0])


class Weighed(Remembers):
    """Names what it takes, so that it can be requested."""

    def fit(self, X, y, sample_weight=None, groups=None):
        return super().fit(X, y, sample_weight=sample_weight, groups=groups)


def given(folds, fold=0):
    """Return what the fit of a fold was given."""
    return folds.fit(folds.candidate({}), fold).given_


@pytest.mark.parametrize(
    "rows", [X, X.tolist(), pd.DataFrame(X, columns=["a", "b"]), sparse.csr_array(X)]
)
def test_rows_are_cut_whatever_they_are_kept_in(rows):
    """The kind stays, and every row is in one test fold."""
    folds = Folds(Remembers(), rows, y, cv=KFold(3))
    for k, (train, _) in enumerate(folds.splits):
        cut = given(folds, k)
        assert type(cut["X"]) is type(rows)
        dense = cut["X"].toarray() if sparse.issparse(rows) else np.asarray(cut["X"])
        np.testing.assert_array_equal(dense, X[train])
        np.testing.assert_array_equal(cut["y"], y[train])
    tests = [row for _, test in folds.splits for row in test]
    assert sorted(tests) == list(range(12))


def test_splits_are_made_once():
    """Also by a splitter that would shuffle anew."""
    folds = Folds(Remembers(), X, y, cv=ShuffleSplit(2, random_state=None))
    first = [given(folds, k)["X"].tolist() for k in range(2)]
    assert first == [given(folds, k)["X"].tolist() for k in range(2)]


def test_what_has_an_entry_for_each_row_is_cut_but_for_watched_rows():
    """Watched rows are the same in every fold, even as many as there are rows."""
    params = {
        "sample_weight": np.arange(12),
        "step__sample_weight": pd.Series(range(12)),
        "note": "of 12 letters",
        "class_weight": {k: 1 for k in range(12)},
        "scale": np.float64(3),
        "X_val": X,
        "step__y_val": y,
        "validation_data": (X, y),
    }
    folds = Folds(Remembers(), X, y, cv=KFold(3), fit_params=params)
    train = folds.splits[1][0]
    cut = given(folds, 1)
    np.testing.assert_array_equal(cut["sample_weight"], train)
    np.testing.assert_array_equal(cut["step__sample_weight"], train)
    for name in ("note", "class_weight", "scale", "X_val", "step__y_val", "validation_data"):
        assert cut[name] is params[name]


def test_groups_reach_the_splitter_and_a_fit_that_takes_them():
    """Without metadata routing by their name."""
    groups = np.arange(12) // 4
    for estimator, taken in (
        (Weighed(), True),
        (make_pipeline(StandardScaler(), Weighed()), False),
    ):
        folds = Folds(estimator, X, y, cv=GroupKFold(3), fit_params={"groups": groups})
        for train, test in folds.splits:
            assert not set(groups[train]) & set(groups[test])
        fitted = folds.fit(folds.candidate({}), 0)
        last = fitted[-1] if hasattr(fitted, "steps") else fitted
        assert (last.given_["groups"] is not None) == taken


def test_metadata_routing_brings_each_where_it_is_requested():
    """To the splitter, the fit and the scorer, and remembers that it was on."""
    weighed = []

    def weighing(y_true, y_pred, sample_weight=None):
        weighed.append(sample_weight)
        return accuracy_score(y_true, y_pred)

    weights, groups = np.arange(12.0), np.arange(12) // 4
    with config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        last = Weighed().set_fit_request(sample_weight=True, groups=False)
        folds = Folds(
            make_pipeline(scaler, last),
            X,
            y,
            cv=GroupKFold(3),
            scoring=make_scorer(weighing).set_score_request(sample_weight=True),
            fit_params={"sample_weight": weights, "groups": groups},
        )
    train, test = folds.splits[0]
    assert not set(groups[train]) & set(groups[test])
    with folds.settings():
        fitted = folds.fit(folds.candidate({}), 0)
        folds.score(fitted, 0)
    np.testing.assert_array_equal(fitted[-1].given_["sample_weight"], weights[train])
    assert fitted[-1].given_["groups"] is None
    np.testing.assert_array_equal(weighed[0], weights[test])
    assert folds.scores_are_weighted


def test_candidates_share_nothing_with_each_other_or_with_what_was_given():
    """Not even an estimator among the parameters, which would be fitted in place."""
    estimator, scaler = Remembers(), StandardScaler()
    folds = Folds(estimator, X, y)
    first, second = (folds.candidate({"part": scaler}) for _ in range(2))
    assert len({id(scaler), id(first.part), id(second.part)}) == 3
    estimator.part = 3
    assert folds.candidate({}).part is None


@pytest.mark.parametrize("cv", [7, StratifiedKFold(9)])
@pytest.mark.parametrize(
    "labels, least",
    [(y, "'no'"), (y.tolist(), "'no'"), (pd.Series(y), "'no'"), (y.astype(object), "'no'")],
)
def test_more_folds_than_a_class_has_rows_are_refused(cv, labels, least):
    """scikit-learn would warn, and score a fold without the class."""
    with pytest.raises(ValueError, match=f"class {least} has 6 rows only"):
        Folds(Remembers(), X, labels, cv=cv)


@pytest.mark.parametrize(
    "scoring, is_loss",
    [
        (None, False),
        ("accuracy", False),
        ("neg_log_loss", True),
        (make_scorer(accuracy_score, greater_is_better=False), True),
        (lambda estimator, X, y: 1.0, False),
    ],
)
def test_losses_are_told_from_scores(scoring, is_loss):
    """By what scikit-learn keeps of `greater_is_better`."""
    assert Folds(Remembers(), X, y, scoring=scoring).is_loss() is is_loss
