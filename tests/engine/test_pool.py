"""Programs are shared by fits of one structure, bounded, and forgotten when told so."""

import gc
import threading
import weakref

import keras
import numpy as np
import pytest
from keras.regularizers import L2
from sklearn.model_selection import GridSearchCV

import skcb
from skcb import KerasClassifier
from skcb.callbacks import EarlyStopping
from skcb.engine import pool
from skcb.engine.program import tracing
from skcb.schedules import CosineDecay

X = np.random.default_rng(0).normal(size=(60, 4)).astype("float32")
Y = (X[:, 0] > 0).astype(int)


@pytest.fixture(autouse=True)
def empty_pool():
    """Start from an empty pool."""
    pool.clear_programs()


def mlp(meta, hidden=4, dropout=0.1):
    """Build a small net."""
    return keras.Sequential(
        [
            keras.layers.Input((meta["n_features_in_"],)),
            keras.layers.Dense(hidden, "relu"),
            keras.layers.Dropout(dropout),
            keras.layers.Dense(meta["n_output_units_"], meta["output_activation_"]),
        ]
    )


def classifier(**options):
    """Make a classifier that trains in a moment."""
    options = {"optimizer": "adam", "epochs": 2, "random_state": 0, **options}
    return KerasClassifier(mlp, **options)


@pytest.mark.slow
def test_search_over_numbers_traces_each_function_once():
    """Twelve candidates and three folds: one trace to train, to evaluate and to predict."""
    estimator = classifier(validation_split=0.2, callbacks={"stop": EarlyStopping()})
    grid = {
        "optimizer__learning_rate": [1e-3, 1e-2],
        "callbacks__stop__patience": [1, 2],
        "batch_size": [8, 16, 64],
        "lr_schedule": [None, CosineDecay()],
    }
    grid = [{**grid, "lr_schedule": [None]}, {**grid, "batch_size": [5], "epochs": [3]}]
    search = GridSearchCV(estimator, grid, cv=3, error_score="raise").fit(X, Y)
    report = skcb.engine_report()
    assert len(search.cv_results_["params"]) == 20
    assert report.programs == 1
    assert report.traces == {"train": 1, "evaluate": 1, "predict": 1}
    assert report.fits == 20 * 3 + 1


def test_search_over_strengths_traces_each_function_once():
    """What holds weights down is fed to the program."""

    def build(meta, l2=0.1):
        layers = [keras.layers.Input((4,)), keras.layers.Dense(3, kernel_regularizer=L2(l2))]
        return keras.Sequential([*layers, keras.layers.Dense(1, "sigmoid")])

    estimator = KerasClassifier(build, optimizer="adamw", validation_split=0.2, random_state=0)
    grid = {"l2": [0.0, 0.01, 0.5], "optimizer__weight_decay": [0.004, 0.1]}
    search = GridSearchCV(estimator, grid, cv=3, scoring="neg_log_loss").fit(X, Y)
    assert skcb.engine_report().traces == {"train": 1, "evaluate": 1, "predict": 1}
    assert len(set(search.cv_results_["mean_test_score"])) == 6


@pytest.mark.slow
def test_pool_forgets_what_was_not_used_for_longest(monkeypatch):
    """No more programs are held than the bound says, and the last used stay."""
    monkeypatch.setattr(pool, "MOST_PROGRAMS", 2)
    for hidden in (2, 3, 4, 2):
        classifier(hidden=hidden, epochs=1).fit(X, Y)
    assert skcb.engine_report().programs == 2
    classifier(hidden=4, epochs=1).fit(X, Y)
    assert skcb.engine_report().traces["train"] == 2


@pytest.mark.slow
def test_pool_is_bounded_by_bytes(monkeypatch):
    """Where programs are too large together, the oldest go."""
    monkeypatch.setattr(pool, "MOST_BYTES", 1)
    for hidden in (2, 3, 4):
        classifier(hidden=hidden, epochs=1).fit(X, Y)
    assert skcb.engine_report().programs == 1


def test_custom_code_shares_nothing_and_the_report_says_why():
    """A layer of the user's own has a program of its own."""

    class Mine(keras.layers.Layer):
        def call(self, x):
            return x

    def build(meta):
        return keras.Sequential([keras.layers.Input((4,)), Mine(), keras.layers.Dense(1)])

    for _ in range(2):
        KerasClassifier(build, epochs=1).fit(X, Y)
    report = skcb.engine_report()
    assert report.programs == 0
    assert any("Mine" in why for why in report.alone)
    assert "Mine" in str(report)


@pytest.mark.slow
def test_tensorflow_keeps_nothing_of_a_trace_but_the_functions():
    """Its registry of gradients, which never forgets, would hold the graph of every trace."""
    from tensorflow.python.framework.ops import gradient_registry

    classifier(hidden=3, epochs=1).fit(X, Y)
    before = set(gradient_registry.list())
    for hidden in (4, 5):
        classifier(hidden=hidden, epochs=1).fit(X, Y)
    assert set(gradient_registry.list()) == before


@pytest.mark.slow
def test_functions_that_are_gone_take_their_kernels_along():
    """What is left of a program is freed at the next trace, and fits go on as before."""
    alive = classifier(hidden=3, epochs=1).fit(X, Y)
    expected = alive.predict_proba(X)
    classifier(hidden=4, epochs=1).fit(X, Y)
    skcb.clear_programs()
    gc.collect()
    assert tracing._gone
    classifier(hidden=5, epochs=1).fit(X, Y)
    assert not tracing._gone
    np.testing.assert_array_equal(alive.predict_proba(X), expected)


def test_models_are_freed_with_their_estimators():
    """Neither pool nor program keeps a fitted model alive."""
    estimator = classifier().fit(X, Y)
    second = classifier().fit(X, Y)
    models = [weakref.ref(estimator.model_), weakref.ref(second.model_)]
    del estimator, second
    gc.collect()
    assert [model() for model in models] == [None, None]


def test_fitted_estimators_live_side_by_side():
    """Another fit through the same program does not touch an earlier model."""
    first = classifier(random_state=1).fit(X, Y)
    before = first.predict_proba(X)
    weights = first.model_.get_weights()
    classifier(random_state=2).fit(X, Y)
    np.testing.assert_array_equal(first.predict_proba(X), before)
    for a, b in zip(first.model_.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_threads_share_a_program_and_give_the_same_numbers():
    """Four fits at once equal the same four one after the other."""
    seeds = range(4)
    alone = [classifier(random_state=s, epochs=4).fit(X, Y).predict_proba(X) for s in seeds]
    found = {}

    def fit(seed):
        found[seed] = classifier(random_state=seed, epochs=4).fit(X, Y).predict_proba(X)

    threads = [threading.Thread(target=fit, args=(seed,)) for seed in seeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in seeds:
        np.testing.assert_array_equal(found[seed], alone[seed])
    assert skcb.engine_report().traces["train"] == 1
