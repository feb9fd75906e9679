"""KerasTransformer: learns to give back X, and hands on what a layer makes of it."""

import copy
import pickle

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skcb import KerasTransformer
from skcb.callbacks import EarlyStopping
from tests.fakes import stable
from tests.models import Untrainable, X, untrainable
from tests.test_checks import EXPECTED


def stack(meta, code=3):
    """Build an autoencoder as one stack of layers."""
    model = keras.Sequential([layers.Input((meta["n_features_in_"],))])
    model.add(layers.Dense(code, activation="tanh", name="code"))
    model.add(layers.Dense(meta["n_output_units_"]))
    return model


def nested(meta, code=3):
    """Build an autoencoder of two models, the first of which is called `code`."""
    n = meta["n_features_in_"]
    encoder = keras.Sequential([layers.Input((n,)), layers.Dense(code, "tanh")], name="code")
    decoder = keras.Sequential([layers.Input((code,)), layers.Dense(n)], name="back")
    return keras.Sequential([layers.Input((n,)), encoder, decoder])


def graph(meta, code=3):
    """Build the same as a graph."""
    parts = nested(meta, code).layers
    inputs = keras.Input((meta["n_features_in_"],))
    return keras.Model(inputs, parts[1](parts[0](inputs)))


def images(meta, code=2):
    """Build an autoencoder of images."""
    model = keras.Sequential([layers.Input(meta["X_shape_"][1:])])
    model.add(layers.Conv2D(code, 3, 2, padding="same", activation="relu", name="code"))
    units, activation = meta["n_output_units_"], meta["output_activation_"]
    model.add(layers.Conv2DTranspose(units, 3, 2, padding="same", activation=activation))
    return model


def narrow(meta):
    """Build a model that cannot give X back."""
    return untrainable({**meta, "n_output_units_": 2})


PARAMS = {"layer": "code", "epochs": 3, "random_state": 0}
CHECKS = parametrize_with_checks(
    [KerasTransformer(stack, **PARAMS), KerasTransformer(graph, epochs=2, random_state=0)],
    expected_failed_checks=lambda _: EXPECTED,
)
NAMES, PAIRS = CHECKS.args


@pytest.mark.slow
@pytest.mark.parametrize(NAMES, list(PAIRS), ids=stable(CHECKS.kwargs["ids"]))
def test_scikit_learns_checks_pass(estimator, check):
    """Those of transformers among them."""
    check(estimator)


@pytest.mark.parametrize("build", [stack, nested, graph])
def test_transform_returns_what_the_layer_makes(build):
    """Be it a layer or a model inside the model."""
    coder = KerasTransformer(build, **PARAMS).fit(X)
    expected = np.asarray(coder.model_.get_layer("code")(X))
    np.testing.assert_allclose(coder.transform(X), expected, rtol=1e-5)
    assert coder.get_feature_names_out().tolist() == [f"kerastransformer{i}" for i in range(3)]


def test_without_a_layer_it_is_the_models_own_output():
    """The rows as the model gives them back, and a loss that says how well."""
    coder = KerasTransformer(
        stack, code=4, epochs=60, optimizer="adam", optimizer__learning_rate=0.03, random_state=0
    ).fit(X)
    back = coder.transform(X)
    assert back.shape == X.shape
    assert ((back - X) ** 2).mean() < 0.2 * X.var()
    assert coder.history_["loss"][-1] < 0.3 * coder.history_["loss"][0]


def test_layers_are_known_by_index_too():
    """As in Keras' `get_layer`."""
    a, b = (KerasTransformer(stack, **{**PARAMS, "layer": n}).fit(X) for n in ("code", 0))
    assert np.array_equal(a.transform(X), b.transform(X))


def test_an_output_of_several_dimensions_becomes_a_row():
    """What comes next in a Pipeline takes tables."""

    def folded(meta):
        model = keras.Sequential([layers.Input((4,)), layers.Reshape((2, 2), name="fold")])
        model.add(layers.Flatten())
        model.add(layers.Dense(4))
        return model

    coder = KerasTransformer(folded, layer="fold").fit(X)
    assert np.array_equal(coder.transform(X), X)


def test_y_is_ignored_and_watched_rows_are_watched():
    """A Pipeline passes y; `X_val` needs no `y_val`, which is ignored as y is."""
    y_val = np.full(18, "word")
    a = KerasTransformer(stack, **PARAMS).fit(X[:30], np.arange(30), X_val=X[30:], y_val=y_val)
    b = KerasTransformer(stack, **PARAMS).fit(X[:30], X_val=X[30:])
    assert a.history_ == b.history_ and len(a.history_["val_loss"]) == 3


def test_early_stopping_stops_it():
    """Everything about training is a parameter here too."""
    coder = KerasTransformer(
        stack,
        epochs=50,
        validation_split=0.3,
        callbacks={"stop": EarlyStopping(patience=1, min_delta=10.0)},
    ).fit(X)
    assert coder.n_iter_ == 2


@pytest.mark.parametrize("loss", [None, "binary_crossentropy"])
def test_images_are_given_back_as_images(loss):
    """The codes, maps of features here, are a row each; another loss has another activation."""
    digits = load_digits().images[:200, ..., None] / 16
    coder = KerasTransformer(
        images,
        layer="code",
        optimizer=keras.optimizers.Adam(0.02),
        loss=loss,
        epochs=30,
        random_state=0,
    ).fit(digits)
    assert coder.transform(digits).shape == (200, 4 * 4 * 2)
    assert np.array_equal(
        pickle.loads(pickle.dumps(coder)).transform(digits), coder.transform(digits)
    )
    assert len(coder.get_feature_names_out()) == 4 * 4 * 2
    back = coder.set_params(layer=None).transform(digits).reshape(digits.shape)
    assert len(coder.get_feature_names_out()) == 8 * 8
    nearer = ((back - digits) ** 2).mean() / ((digits.mean(axis=0) - digits) ** 2).mean()
    assert nearer < (0.5 if loss is None else 1.0)
    assert (back.min() >= 0) == (loss is not None)  # by the sigmoid that `meta` names then


def test_watched_images_of_another_shape_are_refused():
    """The convolution would take them."""
    with pytest.raises(ValueError, match=r"rows of the shape \(8, 4, 1\), but KerasTransformer"):
        KerasTransformer(images).fit(np.zeros((6, 8, 8, 1)), X_val=np.zeros((6, 8, 4, 1)))


@pytest.mark.slow
def test_series_are_given_back_as_series():
    """From a code that is one row of numbers."""

    def recurrent(meta):
        model = keras.Sequential([layers.Input(meta["X_shape_"][1:]), layers.GRU(3, name="code")])
        model.add(layers.RepeatVector(meta["X_shape_"][1]))
        model.add(layers.GRU(meta["n_output_units_"], return_sequences=True))
        return model

    series = X.reshape(24, 4, 2)
    coder = KerasTransformer(recurrent, layer="code", validation_split=0.2).fit(series)
    assert coder.transform(series).shape == (24, 3) and "val_loss" in coder.history_


def test_an_output_of_another_shape_is_refused():
    """A row of 64 units is no image; the message says what gives one."""

    def flat(meta):
        inputs = keras.Input(meta["X_shape_"][1:])
        return Untrainable(inputs, layers.Dense(64)(layers.Flatten()(inputs)))

    with pytest.raises(
        ValueError, match=r"64 units, but X has rows of the shape \(8, 8, 1\).*Reshape"
    ):
        KerasTransformer(flat).fit(np.zeros((10, 8, 8, 1)))


def test_sparse_rows_are_their_own_targets():
    """Both dense a batch at a time, with the numbers of dense rows."""
    rows = sparse.csr_array(np.tile(np.where(X > 0.5, X, 0), 9))  # of a width that is new to Keras
    a, b = (
        KerasTransformer(stack, validation_split=0.25, **PARAMS).fit(r)
        for r in (rows, rows.toarray())
    )
    assert a.history_ == b.history_
    assert np.array_equal(a.transform(rows), b.transform(rows.toarray()))


@pytest.mark.parametrize("again", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_a_copy_transforms_alike(again):
    """The part up to the layer is made anew."""
    coder = KerasTransformer(nested, **PARAMS).fit(X)
    coder.transform(X)
    assert np.array_equal(again(coder).transform(X), coder.transform(X))


def test_frames_in_and_frames_out():
    """`set_output` names the columns."""
    frame = pd.DataFrame(X, columns=list("abcd"))
    out = KerasTransformer(stack, **PARAMS).set_output(transform="pandas").fit_transform(frame)
    assert out.columns.tolist() == [f"kerastransformer{i}" for i in range(3)]


def test_nullable_integers_reach_the_layers_as_integers():
    """As floats of 32 bits all of them would be even."""

    def parity(meta):
        model = keras.Sequential([layers.Input((1,), dtype=str(meta["X_dtype_"]))])
        model.add(layers.Lambda(lambda ids: keras.ops.cast(ids % 2, "float32"), name="odd"))
        model.add(layers.Dense(1))
        return model

    frame = pd.DataFrame({"ids": pd.array(2**24 + np.arange(48), "Int64")})
    coder = KerasTransformer(parity, layer="odd").fit(frame)
    assert coder.transform(frame)[:, 0].tolist() == [0.0, 1.0] * 24


def test_partial_fit_is_fit_stopped_there():
    """An epoch a call."""
    whole, parts = KerasTransformer(stack, **PARAMS).fit(X), KerasTransformer(stack, **PARAMS)
    for _ in range(3):
        parts.partial_fit(X)
    assert np.array_equal(whole.transform(X), parts.transform(X))


@pytest.mark.slow
def test_codes_before_another_estimator_are_searched():
    """Digits from codes of 4 or 16 numbers: the longer code is the better one."""
    digits, labels = load_digits(return_X_y=True)
    pipe = make_pipeline(
        MinMaxScaler(),
        KerasTransformer(
            stack, layer="code", optimizer="adam", epochs=30, validation_split=0.1, random_state=0
        ),
        LogisticRegression(max_iter=2000),
    )
    grid = {
        "kerastransformer__code": [4, 16],
        "kerastransformer__optimizer__learning_rate": [0.003],
    }
    search = GridSearchCV(pipe, grid, cv=3).fit(digits, labels)
    assert search.best_params_["kerastransformer__code"] == 16
    assert search.best_score_ > 0.85


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"layer": "cod"}, "has no layer of that name. Did you mean `code`"),
        ({"layer": 5}, "`layer=5`: the model has 2 layers"),
        (
            {"layer": None, "build_fn": lambda meta: untrainable({**meta, "n_output_units_": 2})},
            "4",
        ),
    ],
    ids=["a name", "an index", "units"],
)
def test_a_layer_that_is_not_there_is_refused(params, message):
    """Before the first epoch, as is a model that cannot give X back."""
    with pytest.raises(ValueError, match=message):
        KerasTransformer(**{"build_fn": stack, **params}).fit(X)


def test_a_subclassed_model_has_no_layers_to_stop_at():
    """The error says what has."""

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.code = layers.Dense(4, name="code")

        def call(self, x):
            return self.code(x)

    with pytest.raises(ValueError, match="needs a Sequential or functional model"):
        KerasTransformer(lambda: Own(), layer="code").fit(X)


def test_a_clone_is_equal_and_not_fitted():
    """`layer` is a parameter like any other."""
    coder = KerasTransformer(stack, **PARAMS).fit(X)
    assert clone(coder).get_params()["layer"] == "code"
    assert not hasattr(clone(coder), "model_")
