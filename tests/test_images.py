"""Images: networks of convolutions in a search, and what Keras shows of the fitted model."""

import importlib.util
import shutil

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from skcb import KerasClassifier

DIGITS, LABELS = (part[:40] for part in load_digits(return_X_y=True))
DIGITS = DIGITS.reshape(-1, 8, 8, 1).astype("float32") / 16


def enlarged(images, times, border):
    """Return images in which each pixel is a square, with a border around."""
    large = images.repeat(times, axis=1).repeat(times, axis=2)
    return np.pad(large, ((0, 0), (border, border), (border, border), (0, 0)))


def convolved(meta, filters=32):
    """Build a convolution and its normalization on 28 x 28 pixels of one channel."""
    return keras.Sequential(
        [
            layers.Input(meta["X_shape_"][1:]),
            layers.Conv2D(filters, 3, activation="relu", name="convolution"),
            layers.BatchNormalization(name="normalization"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(meta["n_output_units_"], activation=meta["output_activation_"]),
        ]
    )


def separable(meta, pooling=layers.GlobalAveragePooling2D):
    """Build six separable convolutions on 64 x 64 pixels of three channels."""
    model = keras.Sequential([layers.Input(meta["X_shape_"][1:])])
    for i, filters in enumerate([32, 64, 64, 128, 64, 128]):
        model.add(layers.SeparableConv2D(filters, 3, activation="relu"))
        if i in (1, 3):
            model.add(layers.MaxPooling2D(2))
    model.add(pooling())
    model.add(layers.Dense(32, activation="relu"))
    model.add(layers.Dense(meta["n_output_units_"], activation=meta["output_activation_"]))
    return model


@pytest.fixture(scope="module")
def fitted():
    """Return a classifier of 28 x 28 pixels that was fitted once."""
    X = enlarged(DIGITS, 3, 2)
    return KerasClassifier(convolved, epochs=2, batch_size=8, random_state=0).fit(X, LABELS)


def test_a_convolution_and_its_normalization_have_the_parameters_that_keras_counts(fitted):
    """Nine weights and a bias for each of 32 filters, and four numbers to normalize each by."""
    assert fitted.model_.get_layer("convolution").count_params() == 320
    assert fitted.model_.get_layer("normalization").count_params() == 128
    moved = fitted.model_.get_layer("normalization").moving_mean
    assert np.any(keras.ops.convert_to_numpy(moved) != 0)
    assert fitted.engine_.startswith("whole epochs")


@pytest.mark.slow
def test_a_search_varies_convolutions():
    """The filters, and numbers of the training beside them, on images that the folds share out."""
    X = enlarged(DIGITS, 3, 2)
    search = GridSearchCV(
        KerasClassifier(convolved, epochs=5, batch_size=8, random_state=0, optimizer="adam"),
        {"filters": [8, 32], "optimizer__learning_rate": [1e-4, 1e-2]},
        cv=2,
        error_score="raise",
    ).fit(X, LABELS)
    best = search.best_estimator_.model_
    assert best.get_layer("convolution").filters == search.best_params_["filters"]
    assert search.best_params_["optimizer__learning_rate"] == 1e-2
    assert search.predict(X).shape == LABELS.shape


@pytest.mark.slow
def test_a_search_varies_a_stack_of_separable_convolutions():
    """Both ways to pool, in a network of 38 949 parameters."""
    X = enlarged(DIGITS, 8, 0).repeat(3, axis=3)
    counts = []

    def count(fitted, X, y):
        counts.append(fitted.model_.count_params())
        return fitted.score(X, y)

    search = GridSearchCV(
        KerasClassifier(separable, batch_size=10, random_state=0),
        {"pooling": [layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D]},
        cv=2,
        scoring=count,
        error_score="raise",
    ).fit(X, LABELS)
    assert counts == [38_949] * 4
    pooled = [type(layer) for layer in search.best_estimator_.model_.layers]
    assert search.best_params_["pooling"] in pooled


def test_a_fitted_model_prints_its_summary(fitted):
    """Keras' own, with every layer and its parameters."""
    lines = []
    fitted.model_.summary(print_fn=lambda text, **_: lines.append(text))
    text = "\n".join(lines)
    assert all(layer.name in text for layer in fitted.model_.layers)
    assert "320" in text and "128" in text


@pytest.mark.skipif(
    importlib.util.find_spec("pydot") is None or shutil.which("dot") is None,
    reason="needs pydot, and dot of the system's package graphviz",
)
def test_a_fitted_model_can_be_drawn(fitted, tmp_path):
    """By Keras' `plot_model`, as any model of Keras'."""
    path = tmp_path / "model.png"
    keras.utils.plot_model(fitted.model_, path, show_shapes=True, show_layer_names=True)
    assert path.read_bytes().startswith(b"\x89PNG")
