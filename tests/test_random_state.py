"""One seed gives one result, wherever and after whatever; global generators stay as they were."""

import random
import threading

import joblib
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skcb import KerasClassifier
from skcb.callbacks import EarlyStopping
from tests.models import X, Y, fitted, numbered, perceptron, seeing

y = Y["binary"]


def dropping(meta, hidden=4):
    """Build a model with two random layers, whose seeds nobody gives."""
    model = keras.Sequential([layers.Input((meta["n_features_in_"],))])
    model.add(layers.Dense(hidden, activation="relu"))
    model.add(layers.Dropout(0.5))
    model.add(layers.GaussianNoise(0.1))
    model.add(layers.Dense(meta["n_output_units_"], activation=meta["output_activation_"]))
    return model


def result(estimator):
    """Return all that a fit computed: the history and every number of the model."""
    return estimator.history_, [np.asarray(v).tolist() for v in estimator.model_.variables]


def fit(random_state=0, build_fn=dropping, **params):
    """Return what a small fit computes."""
    params = {"epochs": 2, "batch_size": 16, "validation_split": 0.25, **params}
    return result(fitted(build_fn, random_state=random_state, **params))


# -- everywhere the same -----------------------------------------------------------------------

SEARCHED = KerasClassifier(
    dropping,
    optimizer="adam",
    callbacks={"stop": EarlyStopping(patience=1)},
    epochs=3,
    batch_size=16,
    validation_split=0.25,
    random_state=0,
)
GRID = {"optimizer__learning_rate": [0.01, 0.1], "hidden": [3, 4]}


def scores(n_jobs=1, backend="loky"):
    """Return every score of a small search."""
    with joblib.parallel_config(backend=backend):
        search = GridSearchCV(SEARCHED, GRID, cv=2, n_jobs=n_jobs, scoring="neg_log_loss")
        found = search.fit(X, y).cv_results_
    return {k: v.tolist() for k, v in found.items() if "_test_score" in k}


@pytest.mark.slow
def test_a_search_gives_the_same_scores_on_one_and_two_jobs_in_threads_and_processes():
    """To the bit."""
    alone = scores()
    assert len(set(alone["split0_test_score"])) == 4
    assert scores(2, "threading") == alone
    assert scores(2, "loky") == alone


@pytest.mark.slow
def test_a_fit_does_not_depend_on_what_ran_before():
    """Other fits, other models, other random numbers, a used program."""
    first = fit()
    fit(3, hidden=7)
    random.seed(7), np.random.seed(7), keras.utils.set_random_seed(7), tf.random.set_seed(7)
    keras.random.uniform((3,)), tf.random.uniform((3,)), perceptron_elsewhere()
    assert fit() == first
    keras.backend.clear_session()
    assert fit() == first


def perceptron_elsewhere():
    """Train a model that has nothing to do with skcb."""
    model = keras.Sequential([layers.Input((4,)), layers.Dropout(0.5), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, X[:, 0], verbose=0)


# -- what a seed may be ------------------------------------------------------------------------


def test_an_integer_gives_the_same_result_at_every_fit():
    """Of the same estimator and of its clones."""
    estimator = KerasClassifier(dropping, random_state=1)
    first = result(estimator.fit(X, y))
    assert result(estimator.fit(X, y)) == result(clone(estimator).fit(X, y)) == first
    assert fit(1) != fit(2)


def test_a_random_state_goes_on_and_can_be_repeated():
    """Two fits from one generator differ; from an equal generator they are the same two."""
    generator, equal = np.random.RandomState(5), np.random.RandomState(5)
    one, two = fit(generator), fit(generator)
    assert one != two
    assert [fit(equal), fit(equal)] == [one, two]


def test_none_draws_from_numpys_global_generator():
    """As everywhere in scikit-learn: unlike each time, and repeatable by `np.random.seed`."""
    before = np.random.get_state()
    np.random.seed(3)
    one, two = fit(None), fit(None)
    np.random.seed(3)
    again = fit(None)
    np.random.set_state(before)
    assert one != two and again == one


# -- what follows it ---------------------------------------------------------------------------


def initial_weights(seed):
    """Return the weights that a fit starts from."""
    still = {"optimizer": "sgd", "optimizer__learning_rate": 0.0}
    return fitted(perceptron, random_state=seed, **still).model_.get_weights()[0].tolist()


def watched_rows(seed):
    """Return the rows that a fit watches."""
    estimator = fitted(seeing, rows=numbered(X), validation_split=0.25, random_state=seed)
    return np.flatnonzero(estimator.model_.get_layer("seen").watched).tolist()


@keras.saving.register_keras_serializable("tests")
class Zeros(layers.Dense):
    """A layer that starts from zero whatever the seed."""

    def __init__(self, units, **kwargs):
        super().__init__(units, **{**kwargs, "kernel_initializer": "zeros"})


def from_zero(meta, rate=0.0):
    """Build a model in which nothing is random but the order of the rows, or its dropout."""
    return keras.Sequential(
        [layers.Input((4,)), layers.Dropout(rate), Zeros(1, activation="sigmoid")]
    )


def order(seed):
    """Return weights that depend on the order of the rows alone."""
    params = {"batch_size": 7, "optimizer": "sgd", "random_state": seed}
    return fitted(from_zero, **params).model_.get_weights()[0].tolist()


def dropout(seed):
    """Return weights that depend on the units that were dropped alone."""
    return fitted(from_zero, rate=0.5, random_state=seed).model_.get_weights()[0].tolist()


@pytest.mark.slow
@pytest.mark.parametrize("part", [initial_weights, watched_rows, order, dropout])
def test_every_random_part_of_a_fit_follows_the_seed(part):
    """Each on its own is equal for equal seeds, and not for others."""
    assert part(0) == part(0)
    assert part(0) != part(1)


def unseeded(meta):
    """Build a model with numbers from every global generator."""
    scale = random.random() + np.random.rand() + float(keras.random.uniform(()))
    return keras.Sequential(
        [layers.Input((4,)), layers.Rescaling(scale), layers.Dense(1, activation="sigmoid")]
    )


@pytest.mark.parametrize(
    "draw",
    [random.random, np.random.rand, lambda: float(keras.random.uniform(()))],
    ids=["Python's", "NumPy's", "Keras'"],
)
def test_random_numbers_of_a_build_function_follow_the_seed(draw):
    """Though nobody seeded them, and whatever was drawn before."""
    drawn = []

    def build(meta):
        drawn.append(draw())
        return unseeded(meta)

    results = []
    for seed in (0, 0, 1):
        draw()
        results.append(fit(seed, build))
    assert results[0] == results[1] != results[2]
    assert drawn[0] == drawn[1] != drawn[2]


# -- global generators -------------------------------------------------------------------------


def next_numbers():
    """Draw from every global generator."""
    return [random.random(), np.random.rand(), *keras.random.uniform((3,)).numpy().tolist()]


def seed_everything():
    """Start every global generator from the same place, TensorFlow's too."""
    keras.utils.set_random_seed(11)


def test_global_generators_are_as_they_were():
    """What a script draws after a fit does not depend on the fit, nor a prediction."""
    seed_everything()
    expected = [*next_numbers(), *tf.random.uniform((3,)).numpy().tolist()]
    seed_everything()
    fit(), fit(0, unseeded), fitted(dropping).predict(X)
    assert [*next_numbers(), *tf.random.uniform((3,)).numpy().tolist()] == expected


def test_global_generators_are_as_they_were_after_a_failure():
    """A build function that raises puts nothing out of step."""

    def failing(meta):
        next_numbers()
        raise KeyError("mine")

    seed_everything()
    expected = next_numbers()
    seed_everything()
    with pytest.raises(KeyError):
        fitted(failing)
    assert next_numbers() == expected


# -- threads -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_builds_in_four_threads_at_once_stay_reproducible():
    """Fifty seeds in each, and another thread's random numbers in between."""
    expected = {}
    found = [{} for _ in range(4)]

    def build_all(into, seeds):
        for seed in seeds:
            into[seed] = result(untrained(seed))

    build_all(expected, range(50))
    orders = [np.random.RandomState(i).permutation(50).tolist() for i in range(4)]
    threads = [
        threading.Thread(target=build_all, args=pair) for pair in zip(found, orders, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(each == expected for each in found)
    assert len({str(weights) for _, weights in expected.values()}) == 50


def untrained(seed):
    """Build a model, and train no epoch."""
    return fitted(unseeded, random_state=seed, epochs=0)
