"""Real data of every kind of target: a floor, and scikit-learn's own model beside it.

The split, the scaling and the size of the network are the same for both. The margin allows for the
chance of one split; a network that learned nothing would be far below it.
"""

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_linnerud,
    load_wine,
)
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import cross_val_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcb import KerasClassifier, KerasRegressor
from skcb.callbacks import EarlyStopping

pytestmark = pytest.mark.slow


def mlp(meta, hidden=32, l2=0.0):
    """Build a network of one hidden layer."""
    penalty = keras.regularizers.L2(l2)
    model = keras.Sequential([layers.Input((meta["n_features_in_"],))])
    model.add(layers.Dense(hidden, activation="relu", kernel_regularizer=penalty))
    ends = {"activation": meta["output_activation_"], "kernel_regularizer": penalty}
    model.add(layers.Dense(meta["n_output_units_"], **ends))
    return model


PARAMS = {
    "optimizer": "adam",
    "optimizer__learning_rate": 0.01,
    "callbacks": {"stop": EarlyStopping(patience=10, restore_best_weights=True)},
    "epochs": 100,
    "validation_split": 0.2,
    "random_state": 0,
}


def binary():
    """Two classes."""
    X, y = load_breast_cancer(return_X_y=True)
    return X, y, KerasClassifier(mlp, **PARAMS), LogisticRegression(), "roc_auc"


def strings():
    """Three classes, by name."""
    wine = load_wine()
    y = wine.target_names[wine.target]
    return wine.data, y, KerasClassifier(mlp, **PARAMS), LogisticRegression(), "accuracy"


def labels():
    """Four yes-or-no questions about a digit."""
    X, digit = load_digits(return_X_y=True)
    asked = [digit % 2 == 0, digit > 4, np.isin(digit, [2, 3, 5, 7]), np.isin(digit, [0, 6, 8, 9])]
    y = np.column_stack(asked).astype(int)
    beside = MultiOutputClassifier(LogisticRegression(max_iter=1000))
    return X, y, KerasClassifier(mlp, **PARAMS), beside, "f1_macro"


def one_value():
    """One regression target, scaled for both."""
    X, y = load_diabetes(return_X_y=True)
    network = KerasRegressor(mlp, l2=0.01, **PARAMS)
    return X, y, scaled(network), scaled(RidgeCV(np.logspace(-3, 3, 13))), "r2"


def three_values():
    """Three of them, from twenty rows: there is little to learn, so errors are compared."""
    X, y = load_linnerud(return_X_y=True)
    network = KerasRegressor(mlp, l2=0.1, **{**PARAMS, "optimizer__learning_rate": 0.003})
    beside = scaled(RidgeCV(np.logspace(-3, 3, 13)))
    return X, y, scaled(network), beside, "neg_mean_absolute_percentage_error"


def scaled(regressor):
    """Let a regressor learn a y of mean 0 and deviation 1."""
    return TransformedTargetRegressor(regressor, transformer=StandardScaler())


@pytest.mark.parametrize(
    ("problem", "floor", "margin"),
    [
        (binary, 0.98, 0.01),
        (strings, 0.94, 0.03),
        (labels, 0.9, 0.0),
        (one_value, 0.4, 0.06),
        (three_values, -0.25, 0.05),
    ],
)
def test_a_network_learns_real_data_as_well_as_a_linear_model(problem, floor, margin):
    """The mean of five folds."""
    X, y, network, beside, scoring = problem()
    scores = [
        cross_val_score(make_pipeline(StandardScaler(), each), X, y, cv=5, scoring=scoring).mean()
        for each in (network, beside)
    ]
    print(f"{problem.__name__}: {scoring} {scores[0]:.3f}, scikit-learn {scores[1]:.3f}")
    assert scores[0] > floor
    assert scores[0] > scores[1] - margin
