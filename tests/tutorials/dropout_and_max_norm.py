"""Two ways to hold a network back, side by side."""

import numpy
from keras.constraints import MaxNorm
from keras.layers import Dense, Dropout, Input
from keras.models import Sequential
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import scale

from skcb import KerasClassifier


def create_model(dropout_rate=0.0, weight_constraint=0):
    """Build the network and compile it."""
    model = Sequential()
    model.add(Input(shape=(30,)))
    model.add(Dense(12, activation="relu", kernel_constraint=MaxNorm(weight_constraint)))
    model.add(Dropout(dropout_rate))
    model.add(Dense(1, activation="sigmoid"))
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model


numpy.random.seed(7)
X, Y = load_breast_cancer(return_X_y=True)
X = scale(X)

model = KerasClassifier(build_fn=create_model, epochs=10, batch_size=20, verbose=0)
weight_constraint = [1, 4]
dropout_rate = [0.0, 0.4]
param_grid = dict(dropout_rate=dropout_rate, weight_constraint=weight_constraint)
grid = GridSearchCV(estimator=model, param_grid=param_grid, cv=3)
grid_result = grid.fit(X, Y)

print(f"Best: {grid_result.best_score_:f} using {grid_result.best_params_}")
