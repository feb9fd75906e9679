"""The road through `fit`, and what a fit leaves behind."""

import pickle
import random

import keras
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.model_selection import GridSearchCV

from skcb import KerasClassifier, KerasRegressor, Tunable
from skcb.callbacks import EarlyStopping, TerminateOnNaN
from skcb.exceptions import NonFiniteLoss, TrainingWarning
from tests.fakes import fresh_process
from tests.models import Play, X, Y, fitted, logits, perceptron

EXPLODING = {
    "kind": "regression",
    "build_fn": logits,
    "optimizer": "sgd",
    "optimizer__learning_rate": 1e18,
    "epochs": 9,
    "batch_size": 16,
}


def same_weights(one, two):
    """Tell whether two fitted estimators have equal weights, to the bit."""
    pairs = zip(one.model_.get_weights(), two.model_.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


# -- what a fit leaves -------------------------------------------------------------------------


def test_the_history_has_the_keys_of_keras_and_the_learning_rate():
    """A value for each epoch under every key."""
    estimator = fitted(
        epochs=3, metrics=["accuracy"], validation_split=0.25, optimizer__learning_rate=0.125
    )
    keys = {"loss", "accuracy", "val_loss", "val_accuracy", "learning_rate"}
    assert set(estimator.history_) == keys
    assert {len(values) for values in estimator.history_.values()} == {3}
    assert {type(v) for values in estimator.history_.values() for v in values} == {float}
    assert estimator.history_["learning_rate"] == [0.125] * 3


def test_the_model_is_an_ordinary_compiled_keras_model(tmp_path):
    """It evaluates, saves and loads, and trains on."""
    estimator = fitted()
    model = estimator.model_
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(X), model(X))
    before = model.get_weights()
    model.fit(X, (Y["binary"] == "yes").astype("float32"), verbose=0)
    assert not np.array_equal(before[0], model.get_weights()[0])


def test_the_epochs_that_ran_are_counted():
    """Early stopping ends after `patience` epochs without improvement."""
    curve = Tunable(Play, name="score", values=[3.0, 2.0, 2.0, 2.0, 2.0])
    stop = EarlyStopping(monitor="score", mode="min", patience=2)
    estimator = fitted(callbacks={"play": curve, "stop": stop}, epochs=5)
    assert estimator.n_iter_ == len(estimator.history_["loss"]) == 4
    assert estimator.callbacks_["stop"].stopped_epoch == 3
    assert isinstance(estimator.callbacks_["play"], Play)


@pytest.mark.parametrize(("batch_size", "steps"), [(None, 2), (-1, 1), (16, 3), (20, 3), (99, 1)])
def test_a_batch_size_of_none_is_32_and_of_minus_one_all_rows(batch_size, steps):
    """The last batch of an epoch may be smaller."""
    assert int(fitted(batch_size=batch_size).model_.optimizer.iterations) == steps


@pytest.mark.parametrize(
    ("given", "call", "epochs"),
    [({"epochs": 2}, {}, 2), ({"epochs": 2}, {"epochs": 3}, 3), ({"fit__epochs": 4}, {}, 4)],
)
def test_the_keyword_of_a_call_wins(given, call, epochs):
    """Over the prefixed name and the plain one, for this call alone."""
    estimator = KerasClassifier(perceptron, batch_size=-1, **given).fit(X, Y["binary"], **call)
    assert estimator.n_iter_ == epochs
    assert estimator.get_params(deep=False) == KerasClassifier(
        perceptron, batch_size=-1, **given
    ).get_params(deep=False)


def test_a_fit_that_fails_leaves_nothing_fitted():
    """Not even the model of the fit before."""
    estimator = fitted()
    estimator.set_params(loss="no such loss")
    with pytest.raises(ValueError, match="no such loss"):
        estimator.fit(X, Y["binary"])
    with pytest.raises(NotFittedError):
        estimator.predict(X)


# -- a loss that is not finite -----------------------------------------------------------------


def test_a_loss_that_is_not_finite_is_an_error():
    """It says in which epoch, at which learning rate, and what to try."""
    with pytest.raises(NonFiniteLoss, match=r"learning rate 1e\+18.*optimizer__learning_rate") as e:
        fitted(**EXPLODING)
    assert e.value.learning_rate == pytest.approx(1e18)
    assert not np.isfinite(e.value.logs["loss"])
    assert e.value.epoch < 9


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
@pytest.mark.parametrize("error_score", [np.nan, -7.0])
def test_a_search_scores_a_loss_that_is_not_finite_by_its_error_score(error_score):
    """And the other candidates are searched."""
    base = KerasRegressor(logits, optimizer="sgd", epochs=9, random_state=0)
    grid = {"optimizer__learning_rate": [1e18, 1e-3]}
    with pytest.warns(FitFailedWarning, match="NonFiniteLoss"):
        search = GridSearchCV(base, grid, cv=2, error_score=error_score).fit(X, Y["regression"])
    broken, sound = search.cv_results_["mean_test_score"]
    np.testing.assert_equal(broken, error_score)
    assert np.isfinite(sound) and search.best_params_ == {"optimizer__learning_rate": 1e-3}


def test_terminate_on_nan_ends_as_keras_ends():
    """Training stops, nothing is raised, and the history shows it."""
    estimator = fitted(**EXPLODING, callbacks=TerminateOnNaN())
    assert estimator.n_iter_ < 9
    assert not np.isfinite(estimator.history_["loss"][-1])


# -- randomness --------------------------------------------------------------------------------


def test_one_seed_gives_one_result_whatever_ran_before():
    """Weights, order, dropout and split follow `random_state`."""

    def build(meta):
        model = perceptron(meta)
        model.add(keras.layers.Dropout(0.5))
        return model

    params = {"epochs": 3, "batch_size": 8, "validation_split": 0.25, "loss": "mse"}
    first = fitted(build, **params)
    random.random(), np.random.random(), fitted(hidden=3)
    keras.utils.set_random_seed(7)
    second, other = fitted(build, **params), fitted(build, **params, random_state=1)
    assert first.history_ == second.history_ and same_weights(first, second)
    assert first.history_ != other.history_


def test_a_generator_goes_on_and_a_seed_does_not():
    """A RandomState gives other numbers at the next fit, and the same from the same state."""
    rng = np.random.RandomState(0)
    one, two = fitted(random_state=rng), fitted(random_state=rng)
    again = fitted(random_state=np.random.RandomState(0))
    assert same_weights(one, again) and not same_weights(one, two)


def test_without_a_seed_numpys_own_is_asked():
    """As everywhere in scikit-learn."""
    fits = []
    for seed in (3, 3, 4):
        np.random.seed(seed)
        fits.append(fitted(random_state=None))
    assert same_weights(fits[0], fits[1]) and not same_weights(fits[0], fits[2])


def test_the_generators_of_the_process_are_as_they_were():
    """Python's and NumPy's, after a fit with a seed of its own."""
    random.seed(5), np.random.seed(5)
    python, numpy = random.getstate(), np.random.get_state()
    fitted(random_state=0)
    assert random.getstate() == python
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), numpy, strict=True))


# -- inside a search ---------------------------------------------------------------------------


def test_watched_rows_as_long_as_x_are_suspicious_in_a_search():
    """The search cuts them like X."""
    estimator = KerasClassifier(perceptron, batch_size=-1)
    watched = {"X_val": X, "y_val": Y["binary"]}
    with pytest.warns(TrainingWarning, match="X_val has as many rows as X"):
        GridSearchCV(estimator, {"epochs": [1]}, cv=2).fit(X, Y["binary"], **watched)
    clone(estimator).fit(X, Y["binary"], **watched)
    # A pair has another length, and stays whole.
    search = GridSearchCV(estimator, {"epochs": [1]}, cv=2)
    search.fit(X, Y["binary"], validation_data=(X, Y["binary"]))


# -- elsewhere ---------------------------------------------------------------------------------

PREDICT = """
import pickle, sys
import numpy as np
estimator, X = pickle.load(open(sys.argv[1], "rb"))
np.save(sys.argv[2], estimator.predict_proba(X))
print(sorted(estimator.callbacks_), estimator.callbacks_["stop"].model)
"""


@pytest.mark.slow
def test_a_pickle_predicts_the_same_in_a_fresh_process(tmp_path):
    """Callbacks come along, without the model that they held."""
    stop = EarlyStopping(monitor="loss", restore_best_weights=True)
    estimator = fitted(callbacks={"stop": stop}, epochs=3, metrics=["accuracy"])
    (tmp_path / "fitted.pickle").write_bytes(pickle.dumps((estimator, X)))
    stdout, stderr = fresh_process(PREDICT, tmp_path / "fitted.pickle", tmp_path / "p.npy")
    assert (stdout, stderr) == ("['stop'] None\n", [])
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), estimator.predict_proba(X))


SILENT = """
from tests.models import X, Y, fitted
from skcb.callbacks import EarlyStopping
for hidden in range(1, 9):
    estimator = fitted(hidden=hidden, epochs=2, validation_split=0.25, callbacks=EarlyStopping())
    estimator.predict(X), estimator.predict_proba(X), estimator.score(X, Y["binary"])
"""


@pytest.mark.slow
def test_nothing_is_printed_at_verbose_0():
    """Neither by fits of many structures nor by predictions."""
    assert fresh_process(SILENT) == ("", [])


@pytest.mark.parametrize("verbose", [1, 2])
def test_keras_own_lines_are_printed_where_they_are_asked_for(verbose, capfd):
    """`verbose` is Keras' own."""
    fitted(epochs=2, verbose=verbose)
    assert "Epoch 2/2" in capfd.readouterr().out
