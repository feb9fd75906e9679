"""`OptunaSearchCV` does what a search of scikit-learn's does, over the same candidates.

The judge is GridSearchCV, fitted beside it: the same columns, the same best, the same answers. The
behaviours are those that scikit-learn promises of its searches, as far as they apply to trials.
"""

import functools
import warnings

import numpy as np
import optuna
import pandas as pd
import polars as pl
import pytest
from optuna.distributions import FloatDistribution
from scipy.sparse import coo_array, csr_array, csr_matrix
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone, is_classifier
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, SGDClassifier
from sklearn.metrics import confusion_matrix, f1_score, make_scorer, recall_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    LeaveOneGroupOut,
    LeavePGroupsOut,
    StratifiedShuffleSplit,
    cross_val_score,
    cross_validate,
)
from sklearn.naive_bayes import ComplementNB
from sklearn.neighbors import KernelDensity, KNeighborsClassifier, LocalOutlierFactor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from sklearn.utils import get_tags

from skcb.optuna import OptunaSearchCV
from tests.models import X, Y, numbered, seeing
from tests.optuna.trials import SPACE as RATES
from tests.optuna.trials import classifier

y = Y["binary"]
CODES = (y == "yes").astype(int)
CS = ({"C": 0.01}, {"C": 1.0}, {"C": 100.0})


def _nth(candidates, trial):
    return candidates[trial.number]


def search_over(estimator, candidates=CS, **options):
    """Return a search that tries these parameters, one after the other."""
    options = {"cv": 3, "n_trials": len(candidates), **options}
    return OptunaSearchCV(estimator, functools.partial(_nth, candidates), **options)


def grid_over(estimator, candidates=CS, **options):
    """Return scikit-learn's search over the same."""
    options = {"cv": 3, **options}
    grid = [{name: [value] for name, value in each.items()} for each in candidates]
    return GridSearchCV(estimator, grid, **options)


def both(estimator, candidates=CS, rows=X, targets=y, *, fit=None, **options):
    """Fit both, check that their tables are the same, and return them."""
    pair = (
        search_over(estimator, candidates, **options),
        grid_over(estimator, candidates, **options),
    )
    for each in pair:
        args = (rows,) if targets is None else (rows, targets)
        each.fit(*args, **(fit or {}))
    assert_same(*pair)
    return pair


def assert_same(search, grid):
    """Check every column of a grid search, and what it found."""
    table = search.cv_results_
    assert set(grid.cv_results_) <= set(table)
    for name, expected in grid.cv_results_.items():
        if "time" in name or name == "params":
            continue
        assert table[name].dtype == expected.dtype, name
        if name.startswith("param_"):
            assert np.ma.getmaskarray(table[name]).tolist() == expected.mask.tolist()
            assert list(map(repr, table[name])) == list(map(repr, expected))
        else:
            np.testing.assert_allclose(table[name], expected, rtol=1e-12, err_msg=name)
    for name in ("best_index_", "best_score_", "n_splits_", "multimetric_"):
        assert hasattr(search, name) == hasattr(grid, name)
        if hasattr(grid, name):
            assert getattr(search, name) == pytest.approx(getattr(grid, name))


# -- what is tried ---------------------------------------------------------------------------


def test_a_step_may_be_exchanged_for_another():
    """The estimators among the candidates stay as they are, and stand in the table."""
    steps = [LinearRegression(), Ridge()]
    pipe = Pipeline([("regressor", LinearRegression())])
    candidates = [{"regressor": each} for each in steps]
    search, _ = both(pipe, candidates, X, X[:, 0])
    column = search.cv_results_["param_regressor"]
    assert [type(each) for each in column] == [LinearRegression, Ridge]
    assert not any(hasattr(each, "coef_") for each in [*column, *steps])
    assert search.best_estimator_[0] is not steps[search.best_index_]


def test_a_setting_of_an_exchanged_step_does_not_reach_the_candidate():
    """It is the clone's."""
    candidates = [{"clf": LinearSVC(), "clf__C": 0.01}]
    pipe = Pipeline([("scale", StandardScaler()), ("clf", None)])
    search, _ = both(pipe, candidates, scoring="accuracy")
    assert candidates[0]["clf"].C == 1.0
    assert search.best_estimator_["clf"].C == 0.01


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3],
        [0.5, 2, 7.25],
        [True, False, True],
        ["a", "bc", "d"],
        [None, 0, 1],
        [(1, 1), (1, 2), (2, 2)],
        [[1], [1, 2], []],
        [{"a": 1}, None, {"b": 2}],
        [np.ones(2), np.ones(3), np.zeros(2)],
        [np.ones((2, 2)), np.ones((2, 2)), np.zeros((2, 2))],
        [OneHotEncoder(), OrdinalEncoder(), None],
        [np.float32, np.float64, int],
        [1, "auto", 0.5],
    ],
    ids=repr,
)
def test_columns_of_parameters_hold_any_value(values):
    """In the types that scikit-learn gives them."""

    class Takes(ClassifierMixin, BaseEstimator):
        def __init__(self, value=None):
            self.value = value

        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict(self, X):
            return np.full(len(X), self.classes_[0])

    search, _ = both(Takes(), [{"value": value} for value in values])
    held = search.cv_results_["param_value"]
    assert all(type(got) is type(given) for got, given in zip(held.data, values, strict=True)) or (
        held.dtype != object
    )


def test_columns_are_masked_where_a_candidate_has_no_such_parameter():
    """Kernels with parameters of their own."""
    candidates = [
        {"kernel": "rbf", "C": 1, "gamma": 0.1},
        {"kernel": "rbf", "C": 10, "gamma": 1.0},
        {"kernel": "poly", "degree": 1},
        {"kernel": "poly", "degree": 2},
    ]
    search, _ = both(SVC(), candidates)
    assert search.cv_results_["param_degree"].mask.tolist() == [True, True, False, False]


def test_equal_means_share_a_rank_and_the_first_is_best():
    """The least of the ranks that they would have."""
    candidates = [{"foo": foo} for foo in (1, 3, 3, 1)]
    search, _ = both(Checking(lambda *_: True), candidates)
    assert search.cv_results_["rank_test_score"].tolist() == [3, 1, 1, 3]
    assert search.best_index_ == 1


def test_a_best_estimator_is_the_estimator_with_the_best_parameters():
    """Fitted on all rows, once: a clone that nobody has fitted before."""

    class Once(LogisticRegression):
        def fit(self, X, y):
            assert not hasattr(self, "coef_")
            return super().fit(X, y)

    search, _ = both(Once())
    alone = LogisticRegression(**search.best_params_).fit(X, y)
    np.testing.assert_array_equal(search.best_estimator_.coef_, alone.coef_)


# -- rows of every kind ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [csr_matrix, csr_array, coo_array])
def test_sparse_rows(kind):
    """The same scores as dense ones, by a scorer of the user's own too."""
    loss = make_scorer(lambda a, b: 1 - f1_score(a, b), greater_is_better=False)
    for scoring in (None, "f1", loss):
        search, grid = both(LinearSVC(random_state=0), CS, kind(X), CODES, scoring=scoring)
        np.testing.assert_array_equal(search.predict(kind(X)), grid.predict(X))


class Checking(ClassifierMixin, BaseEstimator):
    """A classifier that checks what it is fitted with."""

    def __init__(self, check=None, foo=0):
        self.check = check
        self.foo = foo

    def fit(self, X, y, **params):
        assert self.check(X, y, params)
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])

    def score(self, X, y):
        return float(self.foo)


FOOS = [{"foo": foo} for foo in (1, 2, 3)]


def _lists(X, y, params):
    return isinstance(X, list) and isinstance(y, list) and len(X) == len(y)


def _frames(X, y, params):
    return isinstance(X, pd.DataFrame) and isinstance(y, pd.Series) and list(X) == list("abcd")


def _polars(X, y, params):
    return isinstance(X, pl.DataFrame) and isinstance(y, pl.Series)


def _many_dimensions(X, y, params):
    return X.shape[1:] == (5, 3, 2) and y.shape[1:] == (7, 11)


@pytest.mark.parametrize(
    ("check", "rows", "targets"),
    [
        (_lists, X.tolist(), y.tolist()),
        (_frames, pd.DataFrame(X, columns=list("abcd")), pd.Series(y)),
        (_polars, pl.DataFrame(X), pl.Series(y)),
        (_many_dimensions, np.zeros((10, 5, 3, 2)), np.zeros((10, 7, 11))),
    ],
    ids=["lists", "pandas", "polars", "many dimensions"],
)
def test_rows_reach_the_estimator_as_what_they_are(check, rows, targets):
    """Cut, not converted; in every fold and in the last fit."""
    search, _ = both(Checking(check), FOOS, rows, targets, cv=KFold(3), error_score="raise")
    assert search.best_params_ == {"foo": 3}


def test_text():
    """A list of strings is rows."""
    pipe = make_pipeline(TfidfVectorizer(), ComplementNB())
    candidates = [{"tfidfvectorizer__ngram_range": each} for each in ((1, 1), (1, 2))]
    words = ["one", "two", "one two", "four", "one four", "two two"]
    both(pipe, candidates, words, [0, 0, 1, 0, 1, 1])


def test_rows_with_holes():
    """Whether they are allowed is the pipeline's affair."""
    rows = np.where(X > 1.5, np.nan, X)
    pipe = make_pipeline(SimpleImputer(), LogisticRegression())
    candidates = [{"logisticregression__C": 0.1}, {"logisticregression__C": 1.0}]
    both(pipe, candidates, rows)


@pytest.mark.parametrize("tree", [DecisionTreeClassifier, DecisionTreeRegressor])
def test_several_targets(tree):
    """Of a classifier and of a regressor."""
    candidates = [{"max_depth": depth} for depth in (1, 2, 3)]
    search, grid = both(tree(random_state=0), candidates, X, Y["multilabel"], cv=KFold(3))
    np.testing.assert_array_equal(search.predict(X), grid.predict(X))


def test_distances_instead_of_rows():
    """Both sides are cut, the tags say so, and other forms are errors."""
    distances = np.linalg.norm(X[:, None] - X[None], axis=2)
    near = [{"n_neighbors": n} for n in (1, 5)]
    search, _ = both(KNeighborsClassifier(metric="precomputed"), near, distances)
    plain, _ = both(KNeighborsClassifier(), near)
    np.testing.assert_array_equal(search.predict(distances), plain.predict(X))
    assert get_tags(search).input_tags.pairwise
    assert not get_tags(plain).input_tags.pairwise
    for wrong in (distances.tolist(), distances[:, :20]):
        with pytest.raises(ValueError, match=r"(?i)precomputed|square"):
            clone(search).fit(wrong, y)


# -- without targets, scores or predictions --------------------------------------------------


def test_clusters():
    """With targets that only the scorers see, and with none."""
    blobs = np.concatenate([X[:16], X[16:32] + 9, X[32:] - 9])
    which = np.repeat([0, 1, 2], 16)
    means = KMeans(random_state=0, init="random", n_init=1)
    candidates = [{"n_clusters": n} for n in (2, 3, 4)]
    scoring = ["adjusted_rand_score", "fowlkes_mallows_score"]
    for refit in scoring:
        search, _ = both(
            means,
            candidates,
            blobs,
            which,
            scoring=scoring,
            refit=refit,
            cv=KFold(3, shuffle=True, random_state=0),
        )
        assert search.best_params_ == {"n_clusters": 3}
    both(means, candidates, blobs, None)


def test_an_estimator_that_predicts_nothing():
    """A scorer of (estimator, X) is enough."""

    def near(estimator, X):
        return -abs(estimator.bandwidth - 0.1)

    candidates = [{"bandwidth": b} for b in (0.01, 0.1, 1.0)]
    search, _ = both(KernelDensity(), candidates, X, None, scoring=near)
    assert search.best_params_ == {"bandwidth": 0.1}
    assert not hasattr(search, "predict")
    np.testing.assert_array_equal(search.score_samples(X), search.best_estimator_.score_samples(X))


class NoScore(LinearSVC):
    """An estimator that cannot score itself."""

    @property
    def score(self):
        raise AttributeError("no score")


def test_an_estimator_that_does_not_score_itself():
    """Needs `scoring`; then `score` is by that."""
    search, grid = both(NoScore(random_state=0), scoring="f1", targets=CODES)
    assert search.score(X, CODES) == grid.score(X, CODES) == f1_score(CODES, search.predict(X))
    with pytest.raises(TypeError, match="no scoring"):
        search_over(NoScore()).fit(X, CODES)


def test_a_detector_of_outliers_gives_its_samples_scores():
    """By the best estimator."""
    candidates = [{"n_neighbors": n} for n in (5, 10)]
    targets = np.where(np.arange(48) % 8, 1, -1)
    search, grid = both(
        LocalOutlierFactor(novelty=True), candidates, X, targets, scoring="accuracy"
    )
    np.testing.assert_array_equal(search.score_samples(X), grid.score_samples(X))


# -- what a search has, and when -------------------------------------------------------------

METHODS = (
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "transform",
    "inverse_transform",
    "score_samples",
)
INNER = {
    "classifier": LogisticRegression(),
    "without probabilities": LinearSVC(),
    "regressor": Ridge(),
    "clusters": KMeans(n_clusters=2, n_init=1),
    "components": PCA(n_components=2),
    "pipeline": make_pipeline(StandardScaler(), PCA(n_components=2)),
    "density": KernelDensity(),
    "outliers": LocalOutlierFactor(novelty=True),
}


@pytest.mark.parametrize("name", INNER)
@pytest.mark.parametrize("refit", [True, False])
def test_has_what_scikit_learns_search_has(name, refit):
    """Each method and attribute, before and after the fit; each gives the same."""
    inner = INNER[name]
    targets = X[:, 0] if name == "regressor" else CODES
    scoring = None if hasattr(inner, "score") else lambda estimator, X, y: 1.0
    options = {"refit": refit, "scoring": scoring}
    pair = search_over(inner, [{}], **options), grid_over(inner, [{}], **options)
    told = (*METHODS, "classes_", "n_features_in_", "feature_names_in_", "best_estimator_")
    for fitted in (False, True):
        if fitted:
            for each in pair:
                each.fit(X, targets)
        for attribute in told:
            assert hasattr(pair[0], attribute) == hasattr(pair[1], attribute), attribute
    for method in METHODS if refit else ():
        if hasattr(pair[1], method):
            rows = pair[1].transform(X) if method == "inverse_transform" else X
            got, expected = (getattr(each, method)(rows) for each in pair)
            if name != "clusters":  # no seed
                np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("method", METHODS)
def test_without_a_refit_a_method_says_why_it_is_missing(method):
    """The message names it and `refit`."""
    inner = INNER["pipeline"] if "transform" in method else LogisticRegression()
    search = search_over(inner, [{}], refit=False, scoring=lambda *_: 1.0).fit(X, y)
    with pytest.raises(AttributeError, match=f"no attribute '{method}'") as caught:
        getattr(search, method)(X)
    assert "`refit=False`" in str(caught.value.__cause__)


def test_a_method_that_the_estimator_lacks_says_whose_it_is():
    """As scikit-learn's does."""
    search = search_over(DecisionTreeClassifier(), [{}]).fit(X, y)
    with pytest.raises(AttributeError, match="'OptunaSearchCV' has no attribute 'score_samp") as e:
        search.score_samples(X)
    assert str(e.value.__cause__).startswith("'DecisionTreeClassifier' object has no attribute")


def test_methods_follow_what_was_found():
    """The best parameters may bring a method, or take it away."""
    for loss, has in (("log_loss", True), ("hinge", False)):
        search = search_over(SGDClassifier(loss="hinge", random_state=0), [{"loss": loss}])
        assert not hasattr(search, "predict_proba")
        assert hasattr(search.fit(X, y), "predict_proba") == has


def test_what_was_transformed_can_be_transformed_back():
    """Both by the best estimator."""
    candidates = [{"with_mean": True}, {"with_mean": False}]
    search = search_over(StandardScaler(), candidates, scoring=lambda e, X: float(e.with_mean))
    search.fit(X)
    np.testing.assert_allclose(search.inverse_transform(search.transform(X)), X, atol=1e-6)


def test_repr_and_display():
    """An unfitted and a fitted search can be shown, with the estimator in it."""
    search = search_over(make_pipeline(StandardScaler(), DummyClassifier()), [{}])
    assert repr(search).startswith("OptunaSearchCV(")
    for each in (search, search.fit(X, y)):
        assert "<div>DummyClassifier</div>" in each._repr_html_()


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_tags_are_the_estimators(kind):
    """In all that scikit-learn's own search passes on, and in what rows and targets it takes."""
    inner = {"classifier": RandomForestClassifier(), "regressor": Ridge()}[kind]
    got, expected, own = map(get_tags, (search_over(inner), grid_over(inner), inner))
    for name in ("estimator_type", "classifier_tags", "regressor_tags", "transformer_tags"):
        assert getattr(got, name) == getattr(expected, name)
    assert (got.input_tags, got.target_tags) == (own.input_tags, own.target_tags)


class Minimal:
    """What scikit-learn asks of an estimator at least; no base class of its own."""

    def __init__(self, param=None):
        self.param = param

    def get_params(self, deep=True):
        return {"param": self.param}

    def set_params(self, **params):
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self):
        return get_tags(BaseEstimator())


class MinimalTransformer(Minimal):
    def fit(self, X, y=None):
        self.is_fitted_ = True
        return self

    def transform(self, X):
        return X


class MinimalRegressor(RegressorMixin, Minimal):
    def __sklearn_tags__(self):
        tags = Minimal.__sklearn_tags__(self)
        tags.estimator_type = "regressor"
        return tags

    def fit(self, X, y):
        self.is_fitted_, self._mean = True, np.mean(y)
        return self

    def predict(self, X):
        return np.full(len(X), self._mean + (self.param or 0))


def test_estimators_without_scikit_learns_base_class():
    """Those of other libraries, in a Pipeline too."""
    pipe = Pipeline([("transformer", MinimalTransformer()), ("predictor", MinimalRegressor())])
    candidates = [{"transformer__param": t, "predictor__param": p} for t in (1, 2) for p in (0, 1)]
    search, grid = both(pipe, candidates, X, X[:, 0], error_score="raise")
    np.testing.assert_array_equal(search.predict(X), grid.predict(X))
    assert not is_classifier(search)


# -- scores ----------------------------------------------------------------------------------


def _hits(estimator, X, y):
    predicted = estimator.predict(X)
    return {"recall": recall_score(y, predicted), "accuracy": np.mean(predicted == y)}


def test_a_function_of_several_scores_is_as_good_as_their_names():
    """In the table, and in `score`."""
    options = {"refit": "recall", "targets": CODES}
    one, _ = both(LinearSVC(random_state=0), scoring=_hits, **options)
    other, _ = both(LinearSVC(random_state=0), scoring=["recall", "accuracy"], **options)
    for name in ("mean_test_recall", "rank_test_accuracy", "split1_test_recall"):
        np.testing.assert_array_equal(one.cv_results_[name], other.cv_results_[name])
    assert one.score(X, CODES) == other.score(X, CODES)


def test_one_score_by_name_by_list_and_by_function():
    """The same search."""

    def recall(estimator, X, y):
        return recall_score(y, estimator.predict(X))

    svc, options = LinearSVC(random_state=0), {"targets": CODES}
    searches = [
        both(svc, scoring="recall", refit="recall", **options)[0],
        both(svc, scoring=["recall"], refit="recall", **options)[0],
        both(svc, scoring=recall, **options)[0],
    ]
    assert len({each.best_score_ for each in searches}) == 1
    assert len({each.score(X, CODES) for each in searches}) == 1


def test_scores_may_be_counts():
    """The cells of a confusion matrix, say."""

    def cells(estimator, X, y):
        (a, b), (c, d) = confusion_matrix(y, estimator.predict(X))
        return {"tn": a, "fp": b, "fn": c, "tp": d}

    search, _ = both(LinearSVC(random_state=0), scoring=cells, refit="fp", targets=CODES)
    assert search.score(X, CODES) == confusion_matrix(CODES, search.predict(X))[0, 1]


@pytest.mark.parametrize("scoring", ["precision", {"acc": "accuracy", "prec": "precision"}])
def test_a_function_chooses_among_all_columns(scoring):
    """It sees the whole table; a row from the end is none."""
    seen = []

    def least(results):
        seen.append(set(results))
        return results[next(name for name in results if name.startswith("mean_test"))].argmin()

    search, grid = both(SVC(), scoring=scoring, refit=least, targets=CODES)
    assert seen[1] <= seen[0]
    assert search.best_params_ == grid.best_params_
    with pytest.raises(IndexError, match="returned -1"):
        search_over(SVC(), refit=lambda results: -1).fit(X, y)
    with pytest.raises(TypeError, match="returned None"):
        search_over(SVC(), refit=lambda results: None).fit(X, y)


class SometimesNaN:
    """A scorer that finds no number each time that it is asked for the fourth."""

    def __init__(self, bad):
        self.bad, self.asked = bad, 0

    def __call__(self, estimator, X, y):
        self.asked += 1
        return self.bad if self.asked == 4 else 1.0 / self.asked


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_a_score_that_is_no_number_warns_and_is_ranked_last(bad):
    """Fits and scorers did not fail, so no error is counted; the folds' scores are all there."""
    search = search_over(SVC(), scoring=SometimesNaN(bad), refit=False)
    with pytest.warns(UserWarning, match="`mean_test_score` of the trials 1") as caught:
        search.fit(X, y)
    assert caught[0].filename == __file__
    grid = grid_over(SVC(), scoring=SometimesNaN(bad), refit=False)
    with pytest.warns(UserWarning, match="non-finite"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "invalid value", RuntimeWarning)
        grid.fit(X, y)
    table = search.cv_results_
    assert table["rank_test_score"].tolist() == grid.cv_results_["rank_test_score"].tolist()
    for name in ("split0_test_score", "split1_test_score", "mean_test_score"):
        np.testing.assert_array_equal(table[name], grid.cv_results_[name])
    assert search.best_index_ == 0


def test_when_no_score_is_a_number_there_is_no_best():
    """And no error of a fit that could be raised instead."""
    search = search_over(SVC(), scoring=lambda *_: np.nan)
    with pytest.raises(ValueError, match="3 have no score that is a finite number"):
        search.fit(X, y)


def test_a_trial_that_was_interrupted_is_not_taken_for_one_without_a_number(tmp_path):
    """A study that goes on after Ctrl-C warns of nothing."""
    asked = []

    def scoring(estimator, X, y):
        asked.append(1)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return 1.0

    def search():
        options = {"storage": f"sqlite:///{tmp_path}/s.db", "study_name": "s", "refit": False}
        return search_over(SVC(), [{}, {}], n_trials=1, scoring=scoring, **options)

    with pytest.raises(KeyboardInterrupt):
        search().fit(X, y)
    table = search().fit(X, y).cv_results_
    assert table["trial_state"].tolist() == ["FAIL", "COMPLETE"]
    assert np.isnan(table["mean_test_score"]).tolist() == [True, False]


def test_a_score_beside_the_deciding_one_that_is_no_number_warns():
    """It does not decide, and is in the table as it is."""
    scoring = {"good": "accuracy", "bad": SometimesNaN(np.nan)}
    search = search_over(SVC(), scoring=scoring, refit="good")
    with pytest.warns(UserWarning, match="`mean_test_bad` of the trials 1"):
        search.fit(X, y)
    assert np.isnan(search.cv_results_["mean_test_bad"]).tolist() == [False, True, False]
    assert np.isfinite(search.cv_results_["mean_test_good"]).all()


# -- weights, groups and other parameters of a fit -------------------------------------------


def test_weights_that_a_scorer_does_not_take_warn():
    """The scores are not weighted, where the fits are."""
    plain = make_scorer(lambda a, b: 0.5)
    weights = {"sample_weight": np.ones(48)}
    message = "does not take `sample_weight`"
    for scoring in (plain, lambda e, X, y: 0.5):
        with pytest.warns(UserWarning, match=message) as caught:
            search_over(LogisticRegression(), scoring=scoring).fit(X, y, **weights)
        assert caught[0].filename == __file__
    scoring = {"plain": plain, "accuracy": "accuracy"}
    with pytest.warns(UserWarning, match=f"`plain` {message}") as caught:
        search_over(LogisticRegression(), scoring=scoring, refit=False).fit(X, y, **weights)
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("inner", "candidates", "targets"),
    [
        (LogisticRegression(), CS, CODES),
        (Ridge(), [{"alpha": alpha} for alpha in (0.01, 0.1, 1.0)], X[:, 0] + X[:, 1] ** 2),
    ],
)
def test_weights_mean_repetition(inner, candidates, targets):
    """Rows with weight 2 count as if they were there twice, in fits and in scores."""
    weights = np.random.default_rng(0).integers(0, 4, 48)
    groups = np.arange(48) % 4
    given = [
        (X, targets, groups),
        tuple(np.repeat(each, weights, axis=0) for each in (X, targets, groups)),
    ]
    splits = [list(LeaveOneGroupOut().split(rows, groups=each)) for rows, _, each in given]
    weighted = search_over(inner, candidates, cv=splits[0])
    weighted.fit(X, targets, sample_weight=weights)
    repeated = search_over(inner, candidates, cv=splits[1]).fit(*given[1][:2])
    for name in repeated.cv_results_:
        if name.endswith("score"):
            np.testing.assert_allclose(
                weighted.cv_results_[name], repeated.cv_results_[name], rtol=1e-4, err_msg=name
            )
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-4)


TREE = DecisionTreeClassifier(random_state=0)
DEPTHS = [{"max_depth": depth} for depth in (1, 2, 3)]


@pytest.mark.parametrize(
    "cv",
    [LeaveOneGroupOut(), LeavePGroupsOut(2), GroupKFold(3), GroupShuffleSplit(3, random_state=0)],
)
def test_splitters_that_need_groups(cv):
    """Without them they say so."""
    both(TREE, DEPTHS, cv=cv, fit={"groups": np.arange(48) % 4})
    with pytest.raises(ValueError, match="'groups' parameter should not be None"):
        search_over(TREE, DEPTHS, cv=cv).fit(X, y)


def test_splits_are_made_once():
    """A generator of them is as good as the splitter, and so is one that splits only once."""
    folds = StratifiedShuffleSplit(4, random_state=0)
    plain, _ = both(TREE, DEPTHS, cv=folds)
    drawn = search_over(TREE, DEPTHS, cv=folds.split(X, y)).fit(X, y)

    class Once:
        def __init__(self):
            self.splits = folds.split(X, y)

        def split(self, X=None, y=None, groups=None):
            yield from self.splits

        def get_n_splits(self, X=None, y=None, groups=None):
            return 4

    once = search_over(TREE, DEPTHS, cv=Once()).fit(X, y)
    random = KFold(3, shuffle=True)
    twice = search_over(TREE, [DEPTHS[1], DEPTHS[1]], cv=random).fit(X, y)
    for name in ("split0_test_score", "split3_test_score"):
        np.testing.assert_array_equal(drawn.cv_results_[name], plain.cv_results_[name])
        np.testing.assert_array_equal(once.cv_results_[name], plain.cv_results_[name])
    assert twice.cv_results_["rank_test_score"].tolist() == [1, 1]


def test_parameters_of_the_fit_are_cut_like_rows_or_passed_on():
    """What has an entry for each row is cut; numbers, functions and tuples are not."""
    given = {"per_row": np.arange(48), "number": 42, "function": len, "pair": (X[:9], y[:9])}

    def check(X, y, params):
        return (
            len(params["per_row"]) == len(X)
            and [len(each) for each in params["pair"]] == [9, 9]
            and (params["number"], params["function"]) == (42, len)
            and {len(params.get(name, range(48))) for name in whole} == {48}
        )

    # Scikit-learn's search would take letters and entries for rows.
    whole = {"text": "x" * 48, "names": {i: i for i in range(48)}}
    both(Checking(check), FOOS, fit=given, error_score="raise")
    search_over(Checking(check), FOOS, error_score="raise").fit(X, y, **given, **whole)


def test_an_assertion_in_the_estimator_comes_through():
    """With `error_score="raise"`, from the first fit."""
    search = search_over(Checking(lambda X, y, params: "eggs" in params), FOOS, error_score="raise")
    with pytest.raises(AssertionError):
        search.fit(X, y, spam=np.ones(48))


@config_context(enable_metadata_routing=True)
def test_each_scorer_gets_what_it_requests():
    """By its own name for it, cut to the test rows, in `fit` and in `score`."""
    seen = []

    def noting(y_true, y_pred, sample_weight=None, note=None):
        seen.append((sample_weight, note))
        return float(np.mean(y_true == y_pred))

    mine = make_scorer(noting).set_score_request(sample_weight="importance", note="note")
    scoring = {"mine": mine, "accuracy": "accuracy"}
    given = {"importance": np.arange(48.0), "note": np.arange(48) * 2}
    search = search_over(LinearSVC(), scoring=scoring, refit="accuracy")
    search.fit(X, y, **given)
    assert len(seen) == 9
    for weights, notes in seen:
        assert len(weights) == 16
        np.testing.assert_array_equal(notes, weights * 2)


# -- fits that fail --------------------------------------------------------------------------


class Failing(ClassifierMixin, BaseEstimator):
    """A classifier that cannot be fitted with one of its parameters."""

    def __init__(self, parameter=None):
        self.parameter = parameter

    def fit(self, X, y):
        if self.parameter == 2:
            raise ValueError("it failed as it was told to")
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])


THREE = [{"parameter": i} for i in range(3)]


@pytest.mark.parametrize("error_score", [0.0, np.nan])
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_failed_fits_have_the_error_score(error_score, order):
    """Whichever comes first, with one scorer, several, or a function of several."""

    def scores(estimator, X, y):
        return {"accuracy": estimator.score(X, y), "one": 1.0}

    candidates = [THREE[i] for i in order]
    for scoring in ("accuracy", ["accuracy", "recall_macro"], scores):
        with pytest.warns(FitFailedWarning, match="1 of 3 trials failed(?s:.*)as it was told to"):
            search = search_over(
                Failing(), candidates, scoring=scoring, refit=False, error_score=error_score
            ).fit(X, y)
        with pytest.warns(), warnings.catch_warnings():
            grid = grid_over(
                Failing(), candidates, scoring=scoring, refit=False, error_score=error_score
            ).fit(X, y)
        for name in grid.cv_results_:
            if "_test_" in name:
                np.testing.assert_array_equal(search.cv_results_[name], grid.cv_results_[name])
        bad = order.index(2)
        table = search.cv_results_
        assert table["mean_score_time"][bad] == 0.0 < table["mean_score_time"][bad - 1]


@pytest.mark.parametrize("error_score", [0.1, np.nan, "prune"])
@pytest.mark.parametrize("scoring", ["accuracy", _hits], ids=["one", "several"])
def test_when_every_fit_fails_the_search_does(error_score, scoring):
    """Whatever a failed one would have counted: there is nothing to choose from."""
    search = search_over(
        Failing(), [THREE[2]] * 3, error_score=error_score, scoring=scoring, refit=False
    )
    with pytest.raises(ValueError, match="as it was told to") as caught:
        search.fit(X, y)
    assert "None of 3 trials" in caught.value.__notes__[0]


def test_a_refit_that_fails_raises():
    """`error_score` is for candidates."""

    class OnAllRows(LogisticRegression):
        def fit(self, X, y):
            if len(X) == 48:
                raise MemoryError("too many rows")
            return super().fit(X, y)

    with pytest.raises(MemoryError, match="too many rows"):
        search_over(OnAllRows(), error_score=0.0).fit(X, y)


def test_times_are_counted():
    """Of fits and of scores; of the refit."""
    search = search_over(LogisticRegression(), scoring="roc_auc").fit(X, y)
    for kind in ("fit", "score"):
        assert (search.cv_results_[f"mean_{kind}_time"] > 0).all()
        assert (search.cv_results_[f"std_{kind}_time"] >= 0).all()
    assert isinstance(search.refit_time_, float)


# -- scikit-learn's callbacks ----------------------------------------------------------------


class Records:
    """A callback that writes down every call."""

    def __init__(self):
        self.calls = []

    def setup(self, estimator, context):
        self.calls.append(("setup", estimator, context, {}))

    def on_fit_task_begin(self, estimator, context, *, metadata=None):
        self.calls.append(("begin", estimator, context, metadata or {}))

    def on_fit_task_end(self, estimator, context, *, metadata=None):
        self.calls.append(("end", estimator, context, metadata or {}))

    def teardown(self, estimator, context):
        self.calls.append(("teardown", estimator, context, {}))

    def told(self):
        return [
            (when, context.task_name, context.task_id, sorted(metadata))
            for when, _, context, metadata in self.calls
        ]


@pytest.mark.parametrize("refit", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_callbacks_are_told_what_a_grid_search_tells_them(refit, weighted):
    """Every task, in order, with weights where there are any; and whose it is."""
    inner, candidates = LogisticRegression(), CS[:2]
    given = {"sample_weight": np.arange(48.0)} if weighted else {}
    told = []
    for make in (search_over, grid_over):
        records = Records()
        search = make(inner, candidates, refit=refit, error_score=0.0).set_callbacks(records)
        search.fit(X, CODES, **given)
        assert all(estimator is search for _, estimator, _, _ in records.calls)
        told.append(records.told())
    assert told[0] == told[1]


def test_what_begins_for_callbacks_ends_where_fits_fail():
    """A trial ends with the first of its folds that fails, so the others do not begin."""
    records = Records()
    search = search_over(Failing(), THREE, refit=False, error_score=0.0).set_callbacks(records)
    with pytest.warns(FitFailedWarning):
        search.fit(X, y)
    begun, ended = (
        sorted(task[1:3] for task in records.told() if task[0] == when) for when in ("begin", "end")
    )
    assert begun == ended
    assert [i for name, i in begun if name == "candidate-split-evaluation"] == [0, 1, 2, 3, 4, 5, 6]


# -- nested ----------------------------------------------------------------------------------


class Log:
    """Which rows were given to what, in order; shared by clones, as a list is not."""

    def __init__(self):
        self.entries = []

    def __deepcopy__(self, memo):
        return self


class NotingScaler(StandardScaler):
    """A scaler that writes down the rows that it was fitted on, and has transformed."""

    def __init__(self, log=None):
        super().__init__()
        self.log = log

    def fit(self, X, y=None, sample_weight=None):
        self.log.entries.append(("scaler fit", frozenset(X[:, 0])))
        return super().fit(X, y)

    def transform(self, X, copy=None):
        self.log.entries.append(("scaler transform", frozenset(X[:, 0])))
        return super().transform(X, copy)


class NotingClassifier(LogisticRegression):
    """A classifier that writes down the targets that it was fitted on."""

    def __init__(self, log=None, C=1.0):
        super().__init__(C=C, max_iter=10_000)
        self.log = log

    def fit(self, X, y):
        self.log.entries.append(("classifier fit", frozenset(y)))
        return super().fit(X, y % 2)


@pytest.mark.parametrize("outer", ["cross_val_score", "cross_validate"])
def test_nothing_of_an_outer_test_fold_reaches_an_inner_fit(outer):
    """Neither the scaler nor the classifier, in no fold of no trial, nor in the refit."""
    log, n_trials, inner_folds = Log(), 3, 2
    rows, targets = numbered(X), np.arange(48)  # a target is its row's number
    pipe = make_pipeline(NotingScaler(log), NotingClassifier(log))
    splits = list(KFold(3, shuffle=True, random_state=0).split(rows))
    fits_each = n_trials * inner_folds + 1
    for train, test in splits:
        log.entries.clear()
        search = search_over(
            pipe,
            [{"notingclassifier__C": C} for C in (0.1, 1.0, 10.0)],
            cv=KFold(inner_folds),
            scoring=lambda search, X, y: float(len(search.predict(X))),
        )
        run = {"cross_val_score": cross_val_score, "cross_validate": cross_validate}[outer]
        run(search, rows, targets, cv=[(train, test)], scoring=lambda search, X, y: 1.0)
        fitted = [seen for what, seen in log.entries if what.endswith("fit")]
        assert len(fitted) == 2 * fits_each
        assert not any(seen & set(test) for seen in fitted)
        transformed = [seen for what, seen in log.entries if what.endswith("transform")]
        assert not any(seen & set(test) for seen in transformed)
        # Within: the scaler knows the inner training rows alone, and the refit all outer ones.
        by_scaler = [seen for what, seen in log.entries if what == "scaler fit"]
        inner = [set(train[part]) for part, _ in KFold(inner_folds).split(train)]
        assert [set(seen) for seen in by_scaler] == inner * n_trials + [set(train)]


@pytest.mark.slow
@pytest.mark.parametrize("pruner", [None, optuna.pruners.MedianPruner()], ids=["none", "median"])
def test_a_keras_step_trains_on_outer_training_rows_alone(pruner):
    """Each model counts, in a layer, the rows that it trained on and those that it looked at."""
    rows = numbered(X)
    outer = KFold(2, shuffle=True, random_state=0)
    search = OptunaSearchCV(
        classifier(seeing),
        RATES,
        n_trials=2,
        cv=KFold(2),
        pruner=pruner,
        random_state=0,
        scoring=_counted,
    )
    train, test = next(outer.split(rows))
    SEEN.clear()
    cross_val_score(search, rows, y, cv=[(train, test)], scoring=lambda *_: 1.0)
    assert len(SEEN) >= 4
    for trained, watched in SEEN:
        assert trained and watched
        assert not (trained | watched) & set(test)
        assert not trained & watched


SEEN: list = []


def _counted(estimator, X, y):
    """Score, and note which rows the model has trained on and watched during training."""
    if hasattr(estimator, "history_") and hasattr(estimator, "model_"):
        layer = estimator.model_.get_layer("seen")
        trained = set(np.flatnonzero(np.array(layer.trained.value)))
        SEEN.append((trained, set(np.flatnonzero(np.array(layer.watched.value)))))
    return float(estimator.score(X, y))


def test_a_nested_search_has_the_scores_of_one_by_hand():
    """Each outer fold: a search on its training rows, scored on its test rows."""
    space = {"C": FloatDistribution(1e-3, 1e2, log=True)}
    search = OptunaSearchCV(LogisticRegression(), space, n_trials=3, cv=2, random_state=0)
    outer = KFold(3)
    expected = [
        clone(search).fit(X[train], y[train]).score(X[test], y[test])
        for train, test in outer.split(X)
    ]
    np.testing.assert_array_equal(cross_val_score(search, X, y, cv=outer), expected)
