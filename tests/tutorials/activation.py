"""What the neurons of the hidden layer do with their sum."""

import numpy
from keras.layers import Dense, Input
from keras.models import Sequential
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import scale

from skcb import KerasClassifier


def create_model(activation="relu"):
    """Build the network and compile it."""
    model = Sequential()
    model.add(Input(shape=(30,)))
    model.add(Dense(12, kernel_initializer="uniform", activation=activation))
    model.add(Dense(1, kernel_initializer="uniform", activation="sigmoid"))
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model


numpy.random.seed(7)
X, Y = load_breast_cancer(return_X_y=True)
X = scale(X)

model = KerasClassifier(build_fn=create_model, epochs=10, batch_size=20, verbose=0)
activation = ["softmax", "softplus", "relu", "tanh", "sigmoid", "linear"]
param_grid = dict(activation=activation)
grid = GridSearchCV(estimator=model, param_grid=param_grid, cv=3)
grid_result = grid.fit(X, Y)

print(f"Best: {grid_result.best_score_:f} using {grid_result.best_params_}")
