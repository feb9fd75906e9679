"""What Keras builds at the first batch is there before it."""

import keras
import numpy as np
import pytest

from skcb._completion import complete, complete_by_shapes

X = np.zeros((2, 4), "float32")
Y = np.zeros(2, "int32")
L = keras.layers


def compiled(metrics, cls=keras.Sequential):
    """Compile a model with these metrics."""
    model = cls([L.Input((4,)), L.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=metrics)
    return model


def shapes(model):
    """Return the shapes of all variables."""
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return [tuple(v.shape) for v in variables]


@pytest.mark.parametrize(
    "metrics", [None, ["accuracy"], [keras.metrics.SparseTopKCategoricalAccuracy(2)]]
)
def test_shapes_alone_build_what_rows_build(metrics):
    """Both ways leave the same variables, and weights as they were."""
    by_rows, by_shapes = compiled(metrics), compiled(metrics)
    weights = by_shapes.get_weights()
    complete(by_rows, X, Y)
    assert complete_by_shapes(by_shapes, X, Y)
    assert shapes(by_rows) == shapes(by_shapes)
    for before, after in zip(weights, by_shapes.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_nothing_is_left_for_the_first_step():
    """Training adds no variable."""
    model = compiled(["accuracy"])
    complete(model, X, Y)
    before = shapes(model)
    model.train_on_batch(X, Y)
    assert shapes(model) == before


def test_shapes_do_not_serve_a_model_that_is_not_built_or_does_not_fit():
    """A lazy model and rows of another width need the other way, which says what is wrong."""
    lazy = keras.Sequential([L.Dense(3, "softmax")])
    lazy.compile("adam", "sparse_categorical_crossentropy")
    assert not complete_by_shapes(lazy, X, Y)
    assert not complete_by_shapes(compiled(None), np.zeros((2, 5), "float32"), Y)


def test_metric_that_makes_variables_at_its_first_batch_trains():
    """A metric that is complete only after rows were seen works on first and later fits."""
    from skcb import KerasClassifier

    def build():
        model = keras.Sequential([L.Input((4,)), L.Dense(3, "softmax")])
        f1 = keras.metrics.F1Score("macro", name="f1")
        model.compile("adam", "categorical_crossentropy", metrics=[f1])
        return model

    rows = np.random.default_rng(0).normal(size=(30, 4))
    for _ in range(2):
        found = KerasClassifier(build, random_state=0, epochs=2).fit(rows, np.arange(30) % 3)
        assert 0 < found.history_["f1"][-1] <= 1
