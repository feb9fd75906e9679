"""What every test may use: Keras on TensorFlow, and three small data sets of scikit-learn."""

import os

# Before anything can import Keras, which reads both once. Subprocesses inherit them.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.preprocessing import StandardScaler


@pytest.fixture
def breast_cancer():
    """Return (X, y): two classes, 569 rows, 30 scaled columns."""
    X, y = load_breast_cancer(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture
def iris():
    """Return (X, y): three classes, 150 rows *sorted by class*, 4 scaled columns."""
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), y


@pytest.fixture
def diabetes():
    """Return (X, y): regression, 442 rows, 10 scaled columns, y scaled too."""
    X, y = load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X), (y - y.mean()) / y.std()
