"""Sparse X: dense a batch at a time, with the numbers of the same rows given dense."""

import keras
import numpy as np
import pytest
from keras import layers
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from skcb import KerasClassifier, KerasRegressor
from skcb.callbacks import EarlyStopping, EpochScoring
from skcb.engine.fits import KerasFits
from skcb.engine.state import Rows
from skcb.schedules import CosineDecay
from tests.models import perceptron


def scattered(n, m, filled):
    """Return a sparse array with numbers in some places."""
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(0, n, filled), rng.integers(0, m, filled)
    return sparse.coo_array((rng.random(filled), (rows, columns)), shape=(n, m)).tocsr()


S = scattered(48, 30, 300)
DENSE = S.toarray()
y = np.where(DENSE.sum(axis=1) > np.median(DENSE.sum(axis=1)), "yes", "no")
PARAMS = {"random_state": 0, "batch_size": 10, "epochs": 3, "metrics": ["accuracy"]}


def dropping(meta):
    """Build a small model with a layer that draws."""
    model = keras.Sequential([layers.Input((meta["n_features_in_"],)), layers.Dropout(0.2)])
    model.add(layers.Dense(meta["n_output_units_"], activation=meta["output_activation_"]))
    return model


def assert_same(a, b):
    """Compare history, weights and predictions to the bit."""
    assert a.history_ == b.history_
    assert all(map(np.array_equal, a.model_.get_weights(), b.model_.get_weights()))
    assert np.array_equal(a.predict_proba(S), b.predict_proba(DENSE))


@pytest.mark.parametrize("engine", ["auto", "keras"])
@pytest.mark.parametrize(
    "params",
    [
        {"validation_split": 0.25, "callbacks": EarlyStopping(patience=1)},
        {"lr_schedule": CosineDecay(per="batch"), "class_weight": "balanced"},
        {"shuffle": False, "callbacks": [keras.callbacks.TerminateOnNaN()]},
    ],
    ids=["watched", "rates by batch", "in order"],
)
def test_sparse_rows_give_the_numbers_of_dense_ones(engine, params):
    """Whatever the road; the report says that it went batch by batch."""
    a, b = (
        KerasClassifier(dropping, engine=engine, **PARAMS, **params).fit(X, y) for X in (S, DENSE)
    )
    assert_same(a, b)
    assert ("sparse rows" in a.engine_) == (engine == "auto")


@pytest.mark.parametrize(
    "form", [sparse.coo_array, sparse.csc_matrix, sparse.lil_array, sparse.dok_array]
)
def test_every_form_of_scipys_is_taken(form):
    """They become CSR, whose rows can be cut."""
    a, b = (KerasClassifier(dropping, **PARAMS).fit(X, y) for X in (form(S), S))
    assert np.array_equal(a.predict_proba(form(S)), b.predict_proba(S))


def test_partial_fit_takes_sparse_rows():
    """And goes on with dense ones, as with any others."""
    a = KerasClassifier(dropping, **PARAMS)
    b = KerasClassifier(dropping, **PARAMS)
    for X in (S, DENSE, S):
        a.partial_fit(X, y)
        b.partial_fit(DENSE, y)
    assert_same(a, b)


def test_scores_of_an_epoch_see_sparse_rows():
    """As they see dense ones."""
    found = [
        KerasClassifier(
            dropping, callbacks=EpochScoring("roc_auc"), validation_split=0.5, **PARAMS
        ).fit(X, y)
        for X in (S, DENSE)
    ]
    assert found[0].history_["val_roc_auc"] == found[1].history_["val_roc_auc"]


class Widest:
    """Counts the rows of sparse matrices that were made dense at once."""

    def __init__(self, monkeypatch):
        self.rows = 0
        dense = sparse.csr_array.toarray

        def counted(matrix, *args, **kwargs):
            self.rows = max(self.rows, matrix.shape[0])
            return dense(matrix, *args, **kwargs)

        monkeypatch.setattr(sparse.csr_array, "toarray", counted)


@pytest.mark.parametrize("engine", ["auto", "keras"])
@pytest.mark.parametrize("verbose", [0, 2])
def test_no_more_than_a_batch_is_dense_at_once(engine, verbose, monkeypatch):
    """In training, in evaluation, and where Keras shows how it predicts."""
    wide = scattered(200, 20_000, 4_000)
    labels = np.arange(200) % 2
    widest = Widest(monkeypatch)
    estimator = KerasClassifier(
        perceptron, batch_size=16, validation_split=0.2, engine=engine, verbose=verbose
    ).fit(wide, labels)
    assert estimator.predict(wide).shape == (200,)
    assert 0 < widest.rows <= 16


def test_a_search_over_a_text_pipeline_stays_sparse(monkeypatch):
    """From the vectorizer to the model, in every fold."""
    words = np.array(["sun rain", "rain wind snow", "goal ball", "ball team goal kick"])
    texts = np.tile(words, 12)
    topics = np.tile([0, 0, 1, 1], 12)
    pipe = make_pipeline(
        TfidfVectorizer(), KerasClassifier(perceptron, epochs=30, random_state=0, optimizer="adam")
    )
    grid = {"kerasclassifier__optimizer__learning_rate": [0.001, 0.1]}
    search = GridSearchCV(pipe, grid, cv=2).fit(texts, topics)
    assert search.best_score_ > 0.9
    assert sparse.issparse(search.best_estimator_[0].transform(texts))


def test_regression_on_sparse_rows():
    """A linear target of sparse columns is learned."""
    target = DENSE[:, 0] - DENSE[:, 1]
    model = KerasRegressor(
        dropping, optimizer="adam", optimizer__learning_rate=0.05, epochs=5, random_state=0
    )
    assert len(cross_val_score(model, S, target, cv=2)) == 2


def test_sparse_columns_feed_several_inputs():
    """`inputs` cuts them as it cuts an array's."""

    def two(meta):
        parts = {n: keras.Input(s[1:], name=n) for n, s in meta["X_shape_"].items()}
        joined = layers.Concatenate()(list(parts.values()))
        return keras.Model(parts, layers.Dense(1, activation="sigmoid")(joined))

    inputs = {"left": slice(0, 10), "right": slice(10, None)}
    a, b = (KerasClassifier(two, inputs=inputs, **PARAMS).fit(X, y) for X in (S, DENSE))
    assert_same(a, b)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(value):
    """In scikit-learn's words, in `fit` and in `predict`."""
    bad = S.copy()
    bad.data[3] = value
    message = "Input X contains " + ("NaN" if np.isnan(value) else "infinity")
    with pytest.raises(ValueError, match=message):
        KerasClassifier(perceptron).fit(bad, y)
    estimator = KerasClassifier(perceptron).fit(S, y)
    with pytest.raises(ValueError, match=message):
        estimator.predict(bad)


def test_sparse_labels_are_dense_ones():
    """As scikit-learn's multilabel estimators take them."""
    labels = (DENSE[:, :3] > 0).astype(int)
    a, b = (
        KerasClassifier(dropping, **PARAMS).fit(S, t) for t in (labels, sparse.csr_array(labels))
    )
    assert a.history_ == b.history_


@pytest.mark.slow
def test_model_fit_gets_dense_batches():
    """On a backend where `Model.fit` trains: the numbers are those of dense rows."""
    found = []
    for rows in (S.astype("float32"), DENSE.astype("float32")):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([layers.Input((30,)), layers.Dense(1, activation="sigmoid")])
        model.compile("adam", "binary_crossentropy")
        steps, none = KerasFits(model), keras.callbacks.CallbackList(add_history=True, model=model)
        target = (y == "yes").astype("float32").reshape(-1, 1)
        order = np.random.default_rng(0).permutation(48)
        state = Rows(rows, target, np.ones(48, "float32"))
        logs = steps.train_epoch(state, order, 10, none, by_batch=False)
        watched = steps.evaluate(state, 10, none, by_batch=False)
        found.append((logs, watched, steps.predict(rows, 10)))
    assert found[0][:2] == found[1][:2]
    assert np.array_equal(found[0][2], found[1][2])
