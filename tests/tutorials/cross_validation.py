"""A script of Keras' first years: five folds, and the number of epochs by its first name."""

import numpy
from keras.layers import Dense, Input
from keras.models import Sequential
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.preprocessing import scale

from skcb import KerasClassifier


def create_model():
    """Build the network and compile it."""
    model = Sequential()
    model.add(Input(shape=(30,)))
    model.add(Dense(12, kernel_initializer="uniform", activation="relu"))
    model.add(Dense(8, kernel_initializer="uniform", activation="relu"))
    model.add(Dense(1, kernel_initializer="uniform", activation="sigmoid"))
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model


seed = 7
numpy.random.seed(seed)
X, Y = load_breast_cancer(return_X_y=True)
X = scale(X)

model = KerasClassifier(build_fn=create_model, nb_epoch=15, batch_size=10, verbose=0)
kfold = StratifiedKFold(n_splits=5, shuffle=True, random_state=seed)
results = cross_val_score(model, X, Y, cv=kfold)

print(f"{results.mean():.2%} ({results.std():.2%})")
