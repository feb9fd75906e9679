"""Scorers: every name that fits the problem, several at once, and the one that skcb brings."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import get_scorer, get_scorer_names, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skcb
from skcb import KerasClassifier, KerasRegressor
from skcb.callbacks import EarlyStopping
from tests.models import X, Y, logits, perceptron

CLUSTERS = {  # compare groupings, not predictions
    "adjusted_mutual_info_score",
    "adjusted_rand_score",
    "completeness_score",
    "fowlkes_mallows_score",
    "homogeneity_score",
    "mutual_info_score",
    "normalized_mutual_info_score",
    "rand_score",
    "v_measure_score",
}
REGRESSION = {
    name
    for name in get_scorer_names()
    if name.startswith(("neg_mean_", "neg_root_", "neg_median_", "neg_max_", "d2_absolute"))
} | {"r2", "explained_variance"}
POSITIVE = {  # take positive values only
    "neg_mean_gamma_deviance",
    "neg_mean_poisson_deviance",
    "neg_mean_squared_log_error",
    "neg_root_mean_squared_log_error",
}
BINARY = set(get_scorer_names()) - REGRESSION - CLUSTERS
TWO_ONLY = {"precision", "recall", "f1", "jaccard", "average_precision", "roc_auc"}
TWO_ONLY |= {"neg_brier_score", "positive_likelihood_ratio", "neg_negative_likelihood_ratio"}
SAMPLES = {name for name in BINARY if name.endswith("_samples")}
MULTICLASS = BINARY - TWO_ONLY - SAMPLES | {"neg_brier_score", "average_precision"}
PER_LABEL = ("precision_", "recall_", "f1_", "jaccard_")
MULTILABEL = {name for name in BINARY if name.startswith(PER_LABEL)}
MULTILABEL |= {"accuracy", "roc_auc", "average_precision", "roc_auc_ovr"}

TRAINED = {"optimizer": "adam", "optimizer__learning_rate": 0.1, "epochs": 8, "random_state": 0}


def of(kind):
    """Return an estimator, y and the scorers of a problem."""
    if kind == "regression":
        return KerasRegressor(logits, **TRAINED), Y[kind], REGRESSION - POSITIVE
    if kind == "several targets":
        names = REGRESSION - POSITIVE - {"neg_max_error"}
        return KerasRegressor(logits, **TRAINED), Y[kind], names
    if kind == "positive":
        estimator = KerasRegressor(perceptron, loss="poisson", **TRAINED)
        return estimator, np.exp(X[:, 0]), REGRESSION
    names = {"binary": BINARY - SAMPLES, "multiclass": MULTICLASS, "multilabel": MULTILABEL}[kind]
    y = (Y[kind] == "yes").astype(int) if kind == "binary" else Y[kind]
    return KerasClassifier(perceptron, **TRAINED), y, names


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize(
    "kind", ["binary", "multiclass", "multilabel", "regression", "several targets", "positive"]
)
def test_every_scorer_that_fits_the_problem_scores_all_at_once(kind):
    """Each gives a number, and none an error."""
    estimator, y, names = of(kind)
    found = cross_validate(estimator, X, y, cv=2, scoring=sorted(names), error_score="raise")
    scores = {name: found[f"test_{name}"] for name in names}
    wrong = {name for name, values in scores.items() if not np.isfinite(values).all()}
    assert wrong <= {"positive_likelihood_ratio", "neg_negative_likelihood_ratio"}


def test_no_scorer_is_left_out():
    """Whatever name scikit-learn has is a problem's of this file."""
    assert BINARY | REGRESSION | CLUSTERS == set(get_scorer_names())
    assert len(REGRESSION) > 10 and len(BINARY) > 30


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_scores_are_better_than_chance(kind):
    """The scorer looks at what was learned, with labels and columns in the right places."""
    estimator, y, _ = of(kind)
    estimator.set_params(epochs=40).fit(X, y)
    names = {"multiclass": "roc_auc_ovo", "regression": "r2"}
    assert get_scorer(names.get(kind, "roc_auc"))(estimator, X, y) > 0.9
    assert estimator.score(X, y) > 0.8


@pytest.mark.parametrize("labels", [(0, 1), (-1, 1), (False, True), ("no", "yes"), ("b", "a")])
def test_the_positive_class_is_the_last_of_classes(labels):
    """Whatever the labels are called, as in scikit-learn."""
    y = np.array(labels)[(X[:, 0] > 0).astype(int)]
    estimator = KerasClassifier(perceptron, **{**TRAINED, "epochs": 40}).fit(X, y)
    second = estimator.classes_[1]
    auc = roc_auc_score(y == second, estimator.predict_proba(X)[:, 1])
    assert get_scorer("roc_auc")(estimator, X, y) == auc > 0.9


# -- skcb.validation_score ---------------------------------------------------------------------

WATCHING = KerasClassifier(perceptron, **TRAINED, validation_split=0.25)


class Unpredictable(KerasClassifier):
    def _outputs(self, X, predict_params):
        pytest.fail("somebody predicted")


@pytest.mark.parametrize("piped", [False, True], ids=["alone", "in a pipeline"])
def test_a_search_can_go_by_what_was_watched(piped):
    """The score is the watched loss at the best epoch, sign changed, and nothing is predicted."""
    estimator = Unpredictable(**WATCHING.get_params(deep=False))
    prefix = "unpredictable__" if piped else ""
    outer = make_pipeline(StandardScaler(), estimator) if piped else estimator
    grid = {f"{prefix}optimizer__learning_rate": [0.001, 0.1]}
    search = GridSearchCV(outer, grid, cv=2, scoring=skcb.validation_score).fit(X, Y["binary"])
    best = search.best_estimator_[-1] if piped else search.best_estimator_
    assert search.best_params_ == {f"{prefix}optimizer__learning_rate": 0.1}
    assert skcb.validation_score(search.best_estimator_) == -min(best.history_["val_loss"])
    assert search.best_score_ > search.cv_results_["mean_test_score"].min()


def test_the_metric_is_the_one_that_early_stopping_watches():
    """Greater is better, so its sign stays."""
    stop = EarlyStopping(monitor="val_accuracy", patience=9)
    estimator = clone(WATCHING).set_params(metrics=["accuracy"], callbacks={"stop": stop})
    estimator.fit(X, Y["binary"])
    score = skcb.validation_score(estimator)
    assert score == max(estimator.history_["val_accuracy"])
    assert score == estimator.history_["val_accuracy"][estimator.best_epoch_]


def test_it_stands_beside_other_scorers():
    """As one of several, and as `refit`."""
    scoring = {"watched": skcb.validation_score, "accuracy": "accuracy"}
    search = GridSearchCV(WATCHING, {"epochs": [2, 8]}, cv=2, scoring=scoring, refit="watched")
    search.fit(X, Y["binary"])
    assert np.isfinite(search.cv_results_["mean_test_accuracy"]).all()
    assert search.best_params_ == {"epochs": 8}


def test_without_watched_rows_it_says_what_to_do():
    """The error names the parameter."""
    estimator = clone(WATCHING).set_params(validation_split=0.0).fit(X, Y["binary"])
    with pytest.raises(ValueError, match=r"needs a watched metric.*`validation_split=0\.2`"):
        skcb.validation_score(estimator)
