"""Meta-estimators and tools, one real run each: their scores, attributes and epochs trained."""

from collections import Counter

import keras
import numpy as np
import pandas as pd
import pytest
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import SequentialFeatureSelector
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import balanced_accuracy_score, brier_score_loss, r2_score, recall_score
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_validate,
    learning_curve,
    train_test_split,
    validation_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

from skcb import KerasClassifier, KerasRegressor
from tests.models import perceptron

EPOCHS = 12


class Tally(keras.callbacks.Callback):
    """Notes of each fit how many epochs the optimizer took steps for, and how many steps each."""

    fits: list = []  # noqa: RUF012  (one list for all fits: that is what it is for)

    def on_train_end(self, logs=None):
        taken, steps = int(self.model.optimizer.iterations), self.params["steps"]
        Tally.fits.append((taken / steps, steps))


@pytest.fixture
def tally():
    """Return a function that says how many fits trained how many epochs since it was last asked."""

    def epochs_of_fits():
        found = Counter(epochs for epochs, _ in Tally.fits)
        Tally.fits.clear()
        return found

    Tally.fits.clear()
    return epochs_of_fits


def network(estimator=KerasClassifier, **params):
    """Return an estimator that learns small tables quickly."""
    params = {
        "hidden": 8,
        "optimizer": "adam",
        "optimizer__learning_rate": 0.03,
        "callbacks": {"tally": Tally},
        "epochs": EPOCHS,
        "random_state": 0,
        **params,
    }
    return estimator(perceptron, **params)


def scaled(last=None, **params):
    """Put a StandardScaler before an estimator."""
    return make_pipeline(StandardScaler(), network(**params) if last is None else last)


def names(bunch):
    """Return the targets of a data set by their names."""
    return bunch.target_names[bunch.target]


@pytest.fixture
def iris():
    """Return train and test rows of three species, by name."""
    bunch = load_iris()
    y = names(bunch)
    return train_test_split(bunch.data, y, test_size=0.3, stratify=y, random_state=0)


@pytest.fixture
def wine():
    """Return train and test rows of three cultivars, by name."""
    bunch = load_wine()
    y = names(bunch)
    return train_test_split(bunch.data, y, test_size=0.3, stratify=y, random_state=0)


@pytest.fixture
def cancer():
    """Return train and test rows of two classes, by name."""
    bunch = load_breast_cancer()
    y = names(bunch)
    return train_test_split(bunch.data, y, test_size=0.3, stratify=y, random_state=0)


@pytest.fixture
def diabetes():
    """Return train and test rows of a regression, y of mean 0 and deviation 1."""
    X, y = load_diabetes(return_X_y=True)
    return train_test_split(X, (y - y.mean()) / y.std(), test_size=0.3, random_state=0)


@pytest.fixture
def petals():
    """Return train and test rows of two targets: the petals' length and width, by the sepals'."""
    X, species = load_iris(return_X_y=True)
    y = StandardScaler().fit_transform(X[:, 2:])
    return train_test_split(X[:, :2], y, test_size=0.3, stratify=species, random_state=0)


# -- pipelines ---------------------------------------------------------------------------------


def test_pipeline(iris, tally):
    """It shows the network's classes and probabilities, and sets its parameters through it."""
    X, X_test, y, y_test = iris
    pipeline = Pipeline([("scale", StandardScaler()), ("net", network())])
    pipeline.set_params(net__epochs=20, net__optimizer__learning_rate=0.02).fit(X, y)
    assert tally() == {20: 1}
    assert pipeline.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert pipeline.n_features_in_ == 4
    assert pipeline.score(X_test, y_test) > 0.9
    best = pipeline.predict_proba(X_test).argmax(axis=1)
    assert (pipeline.classes_[best] == pipeline.predict(X_test)).all()


def test_column_transformer(tally):
    """Numbers and categories of a frame, each in its own way, chosen by the kind of column."""
    frame = load_diabetes(as_frame=True, scaled=False).frame
    frame["sex"] = frame["sex"].map({1.0: "first", 2.0: "second"}).astype("category")
    y = frame.pop("target")
    X, X_test, y, y_test = train_test_split(frame, y / y.std(), test_size=0.3, random_state=0)
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), make_column_selector(dtype_include="number")),
            ("kinds", OneHotEncoder(), make_column_selector(dtype_include="category")),
        ]
    )
    pipeline = make_pipeline(columns, network(KerasRegressor)).fit(X, y)
    assert tally() == {EPOCHS: 1}
    assert pipeline.feature_names_in_.tolist() == list(frame)
    assert pipeline[-1].n_features_in_ == 11
    assert pipeline.score(X_test, y_test) > 0.3


@pytest.mark.parametrize("transform", ["pandas", "polars"])
def test_set_output(iris, transform):
    """The frames of the steps before bring their column names, and nothing else changes."""
    pytest.importorskip(transform)
    X, X_test, y, y_test = iris
    X = pd.DataFrame(X, columns=load_iris().feature_names)
    X_test = pd.DataFrame(X_test, columns=X.columns)
    plain = scaled(epochs=20).fit(X, y)
    pipeline = scaled(epochs=20).set_output(transform=transform).fit(X, y)
    assert not hasattr(plain[-1], "feature_names_in_")
    assert pipeline[-1].feature_names_in_.tolist() == list(X.columns)
    assert pipeline.score(X_test, y_test) > 0.85
    assert np.array_equal(pipeline.predict_proba(X_test), plain.predict_proba(X_test))


@pytest.mark.slow
def test_sequential_feature_selector(iris, tally):
    """It builds a network as wide as the columns in question, and keeps one of the petals'."""
    X, X_test, y, y_test = iris
    chosen = SequentialFeatureSelector(network(), n_features_to_select=2, cv=3)
    pipeline = make_pipeline(StandardScaler(), chosen, network(epochs=20))
    pipeline.fit(pd.DataFrame(X, columns=["sl", "sw", "pl", "pw"]), y)
    assert tally() == {EPOCHS: (4 + 3) * 3, 20: 1}
    assert set(pipeline[:-1].get_feature_names_out()) & {"pl", "pw"}
    assert pipeline[-1].n_features_in_ == 2
    X_test = pd.DataFrame(X_test, columns=["sl", "sw", "pl", "pw"])
    assert pipeline.score(X_test, y_test) > 0.9


def test_transformed_target_regressor(tally):
    """A y far from zero is learned as one of mean 0 and deviation 1, and comes back."""
    X, X_test, y, y_test = train_test_split(*load_diabetes(return_X_y=True), random_state=0)
    plain = scaled(estimator=KerasRegressor)
    regressor = TransformedTargetRegressor(plain, transformer=StandardScaler()).fit(X, y)
    assert tally() == {EPOCHS: 1}
    assert regressor.predict(X_test).shape == y_test.shape
    assert abs(regressor.predict(X).mean() - y.mean()) < 0.1 * y.mean()
    assert regressor.score(X_test, y_test) > max(0.25, plain.fit(X, y).score(X_test, y_test))


# -- searches ----------------------------------------------------------------------------------


def test_grid_search(wine, tally):
    """Every fold trains for the epochs of its candidate, and the best trains again."""
    X, X_test, y, y_test = wine
    grid = {
        "kerasclassifier__epochs": [2, EPOCHS],
        "kerasclassifier__optimizer__learning_rate": [1e-4, 0.03],
    }
    search = GridSearchCV(scaled(), grid, cv=3).fit(X, y)
    assert search.best_params_ == {name: values[-1] for name, values in grid.items()}
    assert tally() == {2: 2 * 3, EPOCHS: 2 * 3 + 1}
    assert search.classes_.tolist() == np.unique(y).tolist()
    assert search.best_score_ > 0.9
    assert search.score(X_test, y_test) > 0.9


@pytest.mark.slow
def test_randomized_search(wine, tally):
    """Distributions are drawn from, for settings of the optimizer too."""
    X, X_test, y, y_test = wine
    drawn = {
        "kerasclassifier__optimizer__learning_rate": loguniform(1e-4, 1e-1),
        "kerasclassifier__batch_size": [16, 32, 64],
    }
    search = RandomizedSearchCV(scaled(), drawn, n_iter=5, cv=3, random_state=0).fit(X, y)
    assert tally() == {EPOCHS: 5 * 3 + 1}
    assert search.score(X_test, y_test) > 0.9
    net = search.best_estimator_[-1]
    rate = search.best_params_["kerasclassifier__optimizer__learning_rate"]
    assert float(net.model_.optimizer.learning_rate) == pytest.approx(rate)


RATES = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "piped"), [(HalvingGridSearchCV, False), (HalvingRandomSearchCV, True)]
)
def test_halving_search_over_epochs(kind, piped, wine, tally):
    """The survivors of a round train anew, for three times the epochs; so does the best."""
    X, X_test, y, y_test = wine
    prefix, estimator = ("kerasclassifier__", scaled()) if piped else ("", network())
    if not piped:
        scale = StandardScaler().fit(X)
        X, X_test = scale.transform(X), scale.transform(X_test)
    search = kind(
        estimator,
        {f"{prefix}optimizer__learning_rate": RATES},
        **({"n_candidates": 6} if kind is HalvingRandomSearchCV else {}),
        resource=f"{prefix}epochs",
        min_resources=2,
        max_resources=6,
        factor=3,
        cv=3,
        random_state=0,
    ).fit(X, y)
    assert search.n_resources_ == [2, 6]
    assert search.n_candidates_ == [6, 2]
    assert tally() == {2: 6 * 3, 6: 2 * 3 + 1}
    assert search.best_params_[f"{prefix}epochs"] == 6
    assert search.best_params_[f"{prefix}optimizer__learning_rate"] > 1e-3
    assert search.score(X_test, y_test) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("kind", [HalvingGridSearchCV, HalvingRandomSearchCV])
def test_halving_search_over_rows(kind, wine, tally):
    """More rows in each round, and all the epochs in every one."""
    X, X_test, y, y_test = wine
    grid = {"kerasclassifier__optimizer__learning_rate": RATES}
    more = {"n_candidates": 6} if kind is HalvingRandomSearchCV else {}
    search = kind(
        scaled(batch_size=4),
        grid,
        **more,
        cv=3,
        factor=3,
        random_state=0,
        min_resources=39,
        resource="n_samples",
    )
    search.fit(X, y)
    assert search.n_resources_ == [39, 117]
    assert search.n_candidates_ == [6, 2]
    steps = Counter(steps for _, steps in Tally.fits)
    assert set(steps) == {-(-26 // 4), -(-78 // 4), -(-len(X) // 4)}
    assert tally() == {EPOCHS: (6 + 2) * 3 + 1}
    assert search.best_params_["kerasclassifier__optimizer__learning_rate"] > 1e-4
    assert search.score(X_test, y_test) > 0.9


# -- cross-validation and curves ---------------------------------------------------------------


def test_cross_validate(cancer, tally):
    """Several scorers, probabilities among them, and the estimators of the folds."""
    X, _, y, _ = cancer
    found = cross_validate(
        scaled(),
        X,
        y,
        cv=3,
        scoring=["accuracy", "roc_auc", "neg_log_loss"],
        return_train_score=True,
        return_estimator=True,
    )
    assert tally() == {EPOCHS: 3}
    assert found["test_accuracy"].min() > 0.9
    assert found["test_roc_auc"].min() > 0.97
    assert found["test_neg_log_loss"].min() > -0.3
    assert found["train_accuracy"].mean() > 0.95
    nets = [each[-1] for each in found["estimator"]]
    assert [each.n_iter_ for each in nets] == [EPOCHS] * 3
    assert len({each.history_["loss"][-1] for each in nets}) == 3


def test_cross_val_predict(iris, tally):
    """Probabilities of rows that the network which gives them did not see, columns by class."""
    X, _, y, _ = iris
    found = cross_val_predict(scaled(), X, y, cv=3, method="predict_proba")
    assert tally() == {EPOCHS: 3}
    assert found.shape == (len(X), 3)
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)
    assert (np.unique(y)[found.argmax(axis=1)] == y).mean() > 0.85


@pytest.mark.parametrize("incremental", [False, True])
def test_learning_curve(cancer, tally, incremental):
    """More rows score higher, by fits anew or by an epoch more with `partial_fit`."""
    X, _, y, _ = cancer
    X = StandardScaler().fit_transform(X)
    sizes, trained, scores = learning_curve(
        network(batch_size=8),
        X,
        y,
        train_sizes=[8, 100, 250],
        cv=3,
        shuffle=True,
        random_state=0,
        exploit_incremental_learning=incremental,
        error_score="raise",
    )
    if incremental:  # steps over 8 rows, then 92 more, then 150 more; the first part's was one
        assert tally() == {1: 3, 1 + 12: 3, 1 + 12 + 19: 3}
    else:
        assert tally() == {EPOCHS: 3 * 3}
    assert sizes.tolist() == [8, 100, 250]
    assert trained.shape == scores.shape == (3, 3)
    assert scores[-1].mean() > 0.93
    assert scores[-1].mean() > scores[0].mean()


def test_validation_curve(wine, tally):
    """The epochs of a step of a pipeline: 25 score higher than two."""
    X, _, y, _ = wine
    grid = {"param_name": "kerasclassifier__epochs", "param_range": [2, 6, 25]}
    slow = scaled(optimizer__learning_rate=0.01)
    trained, scores = validation_curve(slow, X, y, **grid, cv=3)
    assert tally() == {2: 3, 6: 3, 25: 3}
    assert trained.shape == (3, 3)
    assert scores[-1].mean() > 0.9
    assert scores[-1].mean() > scores[0].mean() + 0.1


# -- what a fitted network knows ---------------------------------------------------------------


def test_permutation_importance(iris, tally):
    """Petals tell the species, sepals hardly."""
    X, X_test, y, y_test = iris
    pipeline = scaled(epochs=25).fit(X, y)
    found = permutation_importance(pipeline, X_test, y_test, n_repeats=5, random_state=0)
    assert tally() == {25: 1}
    assert pipeline.score(X_test, y_test) > 0.9
    assert found.importances_mean[2:].min() > found.importances_mean[:2].max()
    assert found.importances_mean[2:].min() > 0.05


def test_partial_dependence(diabetes, iris):
    """Diabetes goes on faster with a higher body mass index; larger petals are a virginica's."""
    X, X_test, y, y_test = diabetes
    regressor = scaled(estimator=KerasRegressor).fit(X, y)
    assert regressor.score(X_test, y_test) > 0.3
    [averages] = partial_dependence(regressor, X, features=[2], kind="average")["average"]
    assert averages[-1] > averages[0] + 0.5

    X, X_test, y, y_test = iris
    classifier = scaled(epochs=20).fit(X, y)
    assert classifier.score(X_test, y_test) > 0.85
    setosa, _, virginica = partial_dependence(classifier, X, features=[2])["average"]
    assert setosa[0] > setosa[-1] + 0.1
    assert virginica[-1] > virginica[0] + 0.1


# -- calibration and thresholds ----------------------------------------------------------------


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
@pytest.mark.parametrize("ensemble", [True, False])
def test_calibrated_classifier(cancer, tally, method, ensemble):
    """A pipeline calibrated over three folds: probabilities that say what they mean."""
    X, X_test, y, y_test = cancer
    calibrated = CalibratedClassifierCV(scaled(), method=method, ensemble=ensemble, cv=3).fit(X, y)
    assert tally() == {EPOCHS: 3 if ensemble else 4}
    assert calibrated.classes_.tolist() == ["benign", "malignant"]
    assert len(calibrated.calibrated_classifiers_) == (3 if ensemble else 1)
    probabilities = calibrated.predict_proba(X_test)
    assert brier_score_loss(y_test, probabilities[:, 1], pos_label="malignant") < 0.08
    assert calibrated.score(X_test, y_test) > 0.9


def test_a_pipeline_calibrated_by_isotonic_regression(cancer, tally):
    """A frozen pipeline's probabilities are mapped by a rising function, on rows of their own."""
    X, X_test, y, y_test = cancer
    X, X_held, y, y_held = train_test_split(X, y, stratify=y, random_state=0)
    pipeline = scaled().fit(X, y)
    calibrated = CalibratedClassifierCV(FrozenEstimator(pipeline), method="isotonic")
    calibrated.fit(X_held, y_held)
    assert tally() == {EPOCHS: 1}  # the pipeline's own, and none by the calibration
    [one] = calibrated.calibrated_classifiers_
    [isotonic] = one.calibrators
    assert isinstance(isotonic, IsotonicRegression)
    before, after = (each.predict_proba(X_test)[:, 1] for each in (pipeline, calibrated))
    assert (np.diff(after[np.argsort(before)]) >= 0).all()
    assert np.array_equal(after, isotonic.predict(before))
    assert brier_score_loss(y_test, after, pos_label="malignant") < 0.08


def test_frozen_estimator(cancer, tally):
    """A fitted network stays as it is, in clones and fits; the threshold on top of it is found."""
    X, X_test, y, y_test = cancer
    scale = StandardScaler().fit(X)
    net = network().fit(scale.transform(X), y)
    before = net.model_.get_weights()
    frozen = FrozenEstimator(net)
    assert clone(frozen).fit(X[:9], y[:9]).estimator is net
    tuned = TunedThresholdClassifierCV(frozen, cv="prefit", refit=False)
    tuned.fit(scale.transform(X), y)
    assert tally() == {EPOCHS: 1}  # its own, before it was frozen
    assert all(map(np.array_equal, before, net.model_.get_weights()))
    assert tuned.score(scale.transform(X_test), y_test) > 0.9


def test_tuned_threshold_classifier(cancer, tally):
    """The threshold for the measure asked for, by cross-validation; then a fit on all rows."""
    X, X_test, y, y_test = cancer
    rare = (y == "malignant").nonzero()[0][20:]  # leaves twenty of them
    X, y = np.delete(X, rare, axis=0), np.delete(y, rare)
    tuned = TunedThresholdClassifierCV(
        scaled(), scoring="balanced_accuracy", cv=3, store_cv_results=True
    ).fit(X, y)
    assert tally() == {EPOCHS: 3 + 1}
    assert tuned.classes_.tolist() == ["benign", "malignant"]
    assert tuned.best_score_ == max(tuned.cv_results_["scores"]) > 0.9
    found = tuned.predict(X_test)
    above = tuned.predict_proba(X_test)[:, 1] >= tuned.best_threshold_
    assert np.array_equal(found == "malignant", above)
    assert balanced_accuracy_score(y_test, found) > 0.85


def test_fixed_threshold_classifier(cancer, tally):
    """A lower threshold finds more of what is looked for, and goes by the probabilities."""
    X, X_test, y, y_test = cancer
    fixed = FixedThresholdClassifier(scaled(), threshold=0.1, pos_label="malignant").fit(X, y)
    assert tally() == {EPOCHS: 1}
    found = fixed.predict(X_test)
    assert np.array_equal(found == "malignant", fixed.predict_proba(X_test)[:, 1] >= 0.1)
    assert recall_score(y_test, found, pos_label="malignant") > 0.9
    assert fixed.score(X_test, y_test) > 0.85


# -- ensembles ---------------------------------------------------------------------------------


def test_voting_classifier(wine, tally):
    """Probabilities of networks and of a linear model, averaged."""
    X, X_test, y, y_test = wine
    voters = [("wide", network(hidden=16)), ("net", network()), ("line", LogisticRegression())]
    voting = scaled(VotingClassifier(voters, voting="soft")).fit(X, y)
    assert tally() == {EPOCHS: 2}
    assert voting.classes_.tolist() == np.unique(y).tolist()
    each = [voter.predict_proba(voting[0].transform(X_test)) for voter in voting[-1].estimators_]
    assert np.allclose(voting.predict_proba(X_test), np.mean(each, axis=0))
    assert voting.score(X_test, y_test) > 0.93


def test_voting_regressor(diabetes, tally):
    """The mean of networks and of a linear model."""
    X, X_test, y, y_test = diabetes
    voters = [("net", network(KerasRegressor)), ("line", RidgeCV())]
    voting = scaled(VotingRegressor(voters)).fit(X, y)
    assert tally() == {EPOCHS: 1}
    assert voting.score(X_test, y_test) > 0.3


def test_stacking_classifier(wine, tally):
    """A model on top learns from what networks say of rows that they did not see."""
    X, X_test, y, y_test = wine
    below = [("net", network()), ("line", LogisticRegression())]
    stacked = scaled(StackingClassifier(below, LogisticRegression(), cv=3)).fit(X, y)
    assert tally() == {EPOCHS: 3 + 1}
    assert stacked.classes_.tolist() == np.unique(y).tolist()
    assert stacked[-1].stack_method_ == ["predict_proba", "predict_proba"]
    assert stacked.score(X_test, y_test) > 0.93


def test_a_network_on_top_of_a_stack(wine, tally):
    """The other way round: it learns from the probabilities of two other models."""
    X, X_test, y, y_test = wine
    below = [("line", LogisticRegression()), ("other", LogisticRegression(C=0.01))]
    stacked = scaled(StackingClassifier(below, network(epochs=25), cv=3)).fit(X, y)
    assert tally() == {25: 1}
    assert stacked[-1].final_estimator_.n_features_in_ == 6
    assert stacked.score(X_test, y_test) > 0.9


def test_stacking_regressor(diabetes, tally):
    """A regression on what a network and a linear model predict."""
    X, X_test, y, y_test = diabetes
    below = [("net", network(KerasRegressor)), ("line", RidgeCV())]
    stacked = scaled(StackingRegressor(below, RidgeCV(), cv=3)).fit(X, y)
    assert tally() == {EPOCHS: 3 + 1}
    assert stacked.score(X_test, y_test) > 0.3


@pytest.mark.slow
def test_bagging_classifier(wine, tally):
    """Networks on rows drawn anew, seeded each by its own, judged by the rows not drawn."""
    X, X_test, y, y_test = wine
    bagging = BaggingClassifier(network(random_state=None), 20, oob_score=True, random_state=0)
    pipeline = scaled(bagging).fit(X, y)
    assert tally() == {EPOCHS: 20}
    assert pipeline.classes_.tolist() == np.unique(y).tolist()
    assert len({each.random_state for each in bagging.estimators_}) == 20
    assert bagging.oob_score_ > 0.9
    assert pipeline.score(X_test, y_test) > 0.93
    again = scaled(clone(bagging)).fit(X, y)
    assert np.array_equal(again.predict_proba(X_test), pipeline.predict_proba(X_test))


def test_bagging_regressor(diabetes, tally):
    """The same for values; half of the rows for each."""
    X, X_test, y, y_test = diabetes
    bagging = BaggingRegressor(network(KerasRegressor), 5, max_samples=0.5, random_state=0)
    pipeline = scaled(bagging).fit(X, y)
    assert tally() == {EPOCHS: 5}
    assert pipeline.score(X_test, y_test) > 0.3


def test_adaboost_classifier(iris, tally):
    """Each network trains on the weights that the one before left: equal to a fit by hand."""
    X, X_test, y, y_test = iris
    scale = StandardScaler().fit(X)
    X, X_test = scale.transform(X), scale.transform(X_test)
    boosting = AdaBoostClassifier(network(), n_estimators=3, random_state=0).fit(X, y)
    assert tally() == {EPOCHS: 3}
    assert boosting.classes_.tolist() == np.unique(y).tolist()
    assert boosting.score(X_test, y_test) > 0.85
    weights = np.full(len(X), 1 / len(X))
    for net, share in zip(boosting.estimators_, boosting.estimator_weights_, strict=True):
        by_hand = clone(net).fit(X, y, sample_weight=weights)
        assert np.array_equal(net.predict_proba(X_test), by_hand.predict_proba(X_test))
        weights = weights * np.exp(share * (net.predict(X) != y))
        weights /= weights.sum()
    unweighted = clone(boosting.estimators_[-1]).fit(X, y)
    assert not np.allclose(
        unweighted.predict_proba(X_test), boosting.estimators_[-1].predict_proba(X_test)
    )


def test_adaboost_regressor(diabetes, tally):
    """Each network trains on rows drawn by the errors of the one before."""
    X, X_test, y, y_test = diabetes
    boosting = AdaBoostRegressor(network(KerasRegressor), n_estimators=4, random_state=0)
    pipeline = scaled(boosting).fit(X, y)
    assert tally() == {EPOCHS: 4}
    assert len(boosting.estimators_) == 4
    assert pipeline.score(X_test, y_test) > 0.25


@pytest.mark.parametrize(
    "ensemble",
    [
        VotingClassifier([("net", network()), ("other", network(hidden=16))]),
        StackingClassifier([("net", network())], LogisticRegression(), cv=3),
        BaggingClassifier(network(), 3, random_state=0),
        AdaBoostClassifier(network(), n_estimators=2, random_state=0),
        CalibratedClassifierCV(network(), cv=3),
    ],
    ids=lambda ensemble: type(ensemble).__name__,
)
def test_sample_weight_comes_through(ensemble, cancer, tally):
    """Two thirds of the rows say the opposite of the truth, and weigh nothing."""
    X, X_test, y, y_test = cancer
    wrong = np.random.default_rng(0).random(len(y)) < 0.67
    y = np.where(wrong, np.where(y == "benign", "malignant", "benign"), y)
    scale = StandardScaler().fit(X)
    ensemble = clone(ensemble).fit(scale.transform(X), y, sample_weight=(~wrong).astype(float))
    assert set(tally()) == {EPOCHS}
    assert ensemble.score(scale.transform(X_test), y_test) > 0.88


# -- several classes, several targets ----------------------------------------------------------


@pytest.mark.parametrize("kind", [OneVsRestClassifier, OneVsOneClassifier])
def test_one_against_others(kind, wine, tally):
    """One network of two classes for each of three classes, or for each of their three pairs."""
    X, X_test, y, y_test = wine
    pipeline = scaled(kind(network())).fit(X, y)
    assert tally() == {EPOCHS: 3}
    assert pipeline.classes_.tolist() == np.unique(y).tolist()
    assert [net.n_classes_ for net in pipeline[-1].estimators_] == [2] * 3
    assert pipeline.score(X_test, y_test) > 0.9


@pytest.fixture
def questions():
    """Return train and test rows of three yes-or-no questions, the last made of two parts."""
    X, cultivar = load_wine(return_X_y=True)
    strong, dark = X[:, 0] > 13, X[:, 9] > 5
    y = np.column_stack([cultivar == 0, strong, strong & dark]).astype(int)
    return train_test_split(X, y, test_size=0.3, stratify=cultivar, random_state=0)


@pytest.mark.slow
def test_classifier_chain(questions, tally):
    """Each network also sees the answers to the questions before its own."""
    X, X_test, y, y_test = questions
    chain = ClassifierChain(network(), order=[0, 1, 2], cv=3)
    pipeline = scaled(chain).fit(X, y)
    assert tally() == {EPOCHS: 3 + 2 * 3}  # the answers of two come from cross-validation
    assert [net.n_features_in_ for net in chain.estimators_] == [13, 14, 15]
    assert (pipeline.predict(X_test) == y_test).all(axis=1).mean() > 0.8


def test_multi_output_classifier(iris, tally):
    """Columns of names, of two and of three classes, a network each."""
    X, X_test, y, y_test = iris
    y, y_test = (
        np.column_stack([names, np.where(rows[:, 3] > 1, "wide", "narrow")]).astype(object)
        for names, rows in ((y, X), (y_test, X_test))
    )
    pipeline = scaled(MultiOutputClassifier(network(epochs=20))).fit(X, y)
    assert tally() == {20: 2}
    assert [len(each) for each in pipeline.classes_] == [3, 2]
    assert [each.shape for each in pipeline.predict_proba(X_test)] == [(45, 3), (45, 2)]
    assert (pipeline.predict(X_test) == y_test).mean(axis=0).min() > 0.85


def test_multi_output_regressor(petals, tally):
    """A network for each column of y."""
    X, X_test, y, y_test = petals
    pipeline = scaled(MultiOutputRegressor(network(KerasRegressor))).fit(X, y)
    assert tally() == {EPOCHS: 2}
    assert len(pipeline[-1].estimators_) == 2
    assert r2_score(y_test, pipeline.predict(X_test), multioutput="raw_values").min() > 0.6


# -- few labels, rare classes ------------------------------------------------------------------


def test_self_training_classifier(cancer, tally):
    """From twenty labels, the network labels most other rows itself and learns from them."""
    X, X_test, y, y_test = cancer
    known = np.random.default_rng(0).permutation(len(y))[:20]
    labels = np.full(len(y), -1)
    labels[known] = y[known] == "malignant"
    training = SelfTrainingClassifier(network(), threshold=0.95, max_iter=4)
    pipeline = scaled(training).fit(X, labels)
    assert tally() == {EPOCHS: training.n_iter_ + 1}
    assert training.classes_.tolist() == [0, 1]
    assert (training.labeled_iter_ > 0).sum() > 200
    assert pipeline.score(X_test, (y_test == "malignant").astype(int)) > 0.88


@pytest.mark.slow
def test_imbalanced_learn_pipeline(cancer, tally):
    """The sampler changes the rows that train, in every fold of a search, and no others."""
    imblearn = pytest.importorskip("imblearn", reason="imbalanced-learn is not installed")
    from imblearn.over_sampling import RandomOverSampler
    from imblearn.under_sampling import RandomUnderSampler

    X, X_test, y, y_test = cancer
    rare = (y == "malignant").nonzero()[0][15:]  # leaves fifteen of them
    X, y = np.delete(X, rare, axis=0), np.delete(y, rare)
    steps = [("scale", StandardScaler()), ("sample", "passthrough"), ("net", network(batch_size=5))]
    samplers = [RandomOverSampler(random_state=0), RandomUnderSampler(random_state=0)]
    pipeline = imblearn.pipeline.Pipeline(steps)
    grid = {"sample": samplers, "net__epochs": [2, EPOCHS]}
    folds = StratifiedKFold(3)
    search = GridSearchCV(pipeline, grid, scoring="balanced_accuracy", cv=folds).fit(X, y)
    common, rows = (y == "benign").sum(), Counter(steps for _, steps in Tally.fits)
    assert min(rows) == 20 / 5  # ten of fifteen stay in a fold, and ten of the others
    assert max(rows) in {-(-2 * common // 5), -(-2 * (common - common // 3) // 5)}
    assert tally() == Counter({2: 2 * 3, EPOCHS: 2 * 3}) + Counter(
        [search.best_params_["net__epochs"]]
    )
    assert balanced_accuracy_score(y_test, search.predict(X_test)) > 0.8
