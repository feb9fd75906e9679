"""A number to be predicted, with the scaling inside the folds."""

import numpy
from keras.layers import Dense, Input
from keras.models import Sequential
from sklearn.datasets import load_diabetes
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skcb import KerasRegressor


def baseline_model():
    """Build the network and compile it."""
    model = Sequential()
    model.add(Input(shape=(10,)))
    model.add(Dense(10, kernel_initializer="normal", activation="relu"))
    model.add(Dense(1, kernel_initializer="normal"))
    model.compile(loss="mean_squared_error", optimizer="adam")
    return model


seed = 7
numpy.random.seed(seed)
X, Y = load_diabetes(return_X_y=True)

estimators = []
estimators.append(("standardize", StandardScaler()))
estimators.append(
    ("mlp", KerasRegressor(build_fn=baseline_model, epochs=100, batch_size=5, verbose=0))
)
pipeline = Pipeline(estimators)
kfold = KFold(n_splits=3, shuffle=True, random_state=seed)
results = cross_val_score(pipeline, X, Y, cv=kfold)

print(f"R2: {results.mean():.2f} ({results.std():.2f})")
