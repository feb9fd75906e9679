"""Optimizer, first weights, epochs and batch size in one grid."""

import numpy
from keras.layers import Dense, Input
from keras.models import Sequential
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import scale

from skcb import KerasClassifier


def create_model(optimizer="rmsprop", init="glorot_uniform"):
    """Build the network and compile it."""
    model = Sequential()
    model.add(Input(shape=(4,)))
    model.add(Dense(12, kernel_initializer=init, activation="relu"))
    model.add(Dense(8, kernel_initializer=init, activation="relu"))
    model.add(Dense(3, kernel_initializer=init, activation="softmax"))
    model.compile(loss="categorical_crossentropy", optimizer=optimizer, metrics=["accuracy"])
    return model


seed = 7
numpy.random.seed(seed)
X, Y = load_iris(return_X_y=True)
X = scale(X)

model = KerasClassifier(build_fn=create_model, verbose=0)
optimizers = ["rmsprop", "adam"]
inits = ["glorot_uniform", "uniform"]
param_grid = dict(optimizer=optimizers, epochs=[15, 30], batch_size=[5, 10], init=inits)
grid = GridSearchCV(estimator=model, param_grid=param_grid, cv=3)
grid_result = grid.fit(X, Y)

print(f"Best: {grid_result.best_score_:f} using {grid_result.best_params_}")
