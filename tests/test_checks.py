"""Scikit-learn's own checks of an estimator, for every form of `build_fn`."""

import contextlib
from copy import deepcopy

import keras
import pytest
from keras import layers
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from skcb import KerasClassifier, KerasRegressor
from tests.fakes import fresh_process, stable

REASON = (
    "a row of weight 2 is no two rows: mini-batches are cut by rows, and Keras divides by the "
    "rows of a batch, not by their weights"
)
EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": REASON,
    "check_sample_weight_equivalence_on_sparse_data": REASON,
}
TRAINED = {"optimizer": "adam", "optimizer__learning_rate": 0.02, "epochs": 40, "random_state": 0}


def network(meta, hidden=16):
    """Build a model for whatever data there is."""
    model = keras.Sequential([layers.Input(meta["X_shape_"][1:])])
    model.add(layers.Dense(hidden, activation="relu"))
    model.add(layers.Dense(meta["n_output_units_"], activation=meta["output_activation_"]))
    return model


class Network:
    """An object that builds models."""

    def __call__(self, meta):
        return network(meta)


class NetworkClassifier(KerasClassifier):
    def __call__(self, meta, hidden=16):
        return network(meta, hidden)


class NetworkRegressor(KerasRegressor):
    def __call__(self, meta, hidden=16):
        return network(meta, hidden)


def template(activation):
    """Return a model that was never built: any columns in, one unit out."""
    hidden = layers.Dense(16, activation="relu")
    model = keras.Sequential([hidden, layers.Dense(1, activation=activation)])
    # A check compares parameters with deep copies by their pickles. Keras writes a model that it
    # has read once already as it was, but not one that was just made.
    return deepcopy(model)


ESTIMATORS = [
    KerasClassifier(network, **TRAINED),
    KerasRegressor(network, **TRAINED),
    KerasClassifier(Network(), **TRAINED),
    KerasRegressor(Network(), **TRAINED),
    NetworkClassifier(**TRAINED),
    NetworkRegressor(**TRAINED),
    KerasClassifier(template("sigmoid"), **TRAINED),
    KerasRegressor(template(None), **TRAINED),
]


CHECKS = parametrize_with_checks(ESTIMATORS, expected_failed_checks=lambda _: EXPECTED)
NAMES, PAIRS = CHECKS.args


@pytest.mark.slow
# A list, since scikit-learn 1.9.0 has a generator here, which newer versions of pytest warn of.
@pytest.mark.parametrize(NAMES, list(PAIRS), ids=stable(CHECKS.kwargs["ids"]))
def test_scikit_learns_checks_pass(estimator, check):
    """All but one, which contradicts mini-batches; an expected failure that passes is an error."""
    for _ in range(3 if hashes_models(estimator, check) else 0):
        with contextlib.suppress(AssertionError):
            check(estimator)
            return
    check(estimator)


def hashes_models(estimator, check):
    """Tell whether a check compares hashes of a model's pickles, made one after the other.

    Keras writes the second in which it saves a model into it, so they may differ by that.
    """
    of_parameters = check.func.__name__ == "check_estimators_overwrite_params"
    return of_parameters and isinstance(estimator.build_fn, keras.Model)


def built(*units):
    """Return a model that is built, with an output for each number of units."""
    inputs = keras.Input((4,))
    outputs = [layers.Dense(n)(inputs) for n in units]
    return keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0])


@pytest.mark.parametrize(
    ("build_fn", "several"),
    [
        (network, True),
        (None, True),
        ("no build function", True),
        (template("sigmoid"), False),
        (built(1), False),
        (built(3), True),
        (built(1, 1), True),
        (keras.Sequential([layers.Dense(3)]), True),
        (keras.Sequential([layers.Dense(3), layers.Softmax()]), True),
        (keras.Sequential(), True),
    ],
)
def test_tags_follow_what_a_template_can_do(build_fn, several):
    """One output unit knows two classes or one target; what is not known is not excluded."""
    tags = get_tags(KerasClassifier(build_fn))
    assert tags.classifier_tags.multi_class == tags.classifier_tags.multi_label == several
    assert tags.target_tags.multi_output == several
    assert get_tags(KerasRegressor(build_fn)).target_tags.multi_output == several


@pytest.mark.slow
def test_asking_for_tags_does_not_import_keras():
    """Scikit-learn asks wherever an estimator is shown or searched over."""
    script = """
import sys
from sklearn.utils import get_tags
from skcb import KerasClassifier
get_tags(KerasClassifier(len))
assert "keras" not in sys.modules
"""
    assert fresh_process(script) == ("", [])
