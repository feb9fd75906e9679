"""How long to train, and on how many rows at a time."""

import numpy
from keras.layers import Dense, Input
from keras.models import Sequential
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import scale

from skcb import KerasClassifier


def create_model():
    """Build the network and compile it."""
    model = Sequential()
    model.add(Input(shape=(30,)))
    model.add(Dense(12, activation="relu"))
    model.add(Dense(1, activation="sigmoid"))
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model


numpy.random.seed(7)
X, Y = load_breast_cancer(return_X_y=True)
X = scale(X)

model = KerasClassifier(build_fn=create_model, verbose=0)
param_grid = dict(batch_size=[10, 40], epochs=[5, 15])
grid = GridSearchCV(estimator=model, param_grid=param_grid, cv=3)
grid_result = grid.fit(X, Y)

print(f"Best: {grid_result.best_score_:f} using {grid_result.best_params_}")
means = grid_result.cv_results_["mean_test_score"]
for mean, params in zip(means, grid_result.cv_results_["params"], strict=True):
    print(f"{mean:f} with: {params!r}")
