"""Real inputs: dtypes, frames, missing values, and one table that feeds several inputs."""

import pickle

import keras
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from scipy import sparse
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from skcb import KerasClassifier, KerasRegressor
from skcb._inputs import Inputs
from skcb.callbacks import EpochScoring
from tests.fakes import fresh_process
from tests.models import X, Y, fitted, logits, perceptron, untrainable

y = Y["binary"]
PARAMS = {"random_state": 0, "epochs": 2, "batch_size": 16}
FRAME = pd.DataFrame(X, columns=list("abcd"))


def two(meta, width=3):
    """Build a model of two inputs, whatever columns they have."""
    shapes = meta["X_shape_"]
    parts = {name: keras.Input(shape[1:], name=name) for name, shape in shapes.items()}
    hidden = [layers.Dense(width, activation="relu")(part) for part in parts.values()]
    outputs = layers.Dense(meta["n_output_units_"], activation=meta["output_activation_"])
    return keras.Model(parts, outputs(layers.Concatenate()(hidden)))


SPLIT = {"numbers": ["a", "b"], "text": ["c", "d"]}


# -- arrays and frames -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype",
    ["float16", "float32", "float64", "int8", "int64", "uint8", "uint64", "bool", "object"],
)
def test_arrays_of_any_numeric_dtype_are_taken(dtype):
    """Floats in Keras' precision, integers as they are."""
    rows = (np.abs(X) * 10).astype("uint8").astype(dtype)
    estimator = fitted(perceptron, rows=rows)
    assert np.isfinite(estimator.predict_proba(rows)).all()


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=3))
def test_rows_may_have_any_number_of_dimensions(shape):
    """The build function gets them in `meta`."""

    def flat(meta):
        model = keras.Sequential([layers.Input(meta["X_shape_"][1:]), layers.Flatten()])
        model.add(layers.Dense(1, activation="sigmoid"))
        return model

    rows = np.random.default_rng(0).normal(size=(10, *shape))
    labels = np.arange(10) % 2
    assert KerasClassifier(flat).fit(rows, labels).predict(rows).shape == (10,)


def test_rows_of_another_shape_are_refused():
    """Where the model would take them: to a convolution, any number of columns is an image."""

    def pooled(meta):
        model = keras.Sequential([layers.Input(meta["X_shape_"][1:]), layers.Conv2D(2, 2)])
        model.add(layers.GlobalAveragePooling2D())
        model.add(layers.Dense(1, activation="sigmoid"))
        return model

    images, labels = np.zeros((10, 4, 4, 1)), np.arange(10) % 2
    estimator = KerasClassifier(pooled, **PARAMS).fit(images, labels)
    other = {
        "match": r"rows of the shape \(4, 3, 1\), but KerasClassifier is expecting \(4, 4, 1\)"
    }
    with pytest.raises(ValueError, **other):
        estimator.predict(images[:, :, :3])
    with pytest.raises(ValueError, **other):
        estimator.fit(images, labels, X_val=images[:, :, :3], y_val=labels)
    assert estimator.fit(images[:, :, :3], labels).predict(images[:, :, :3]).shape == (10,)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_frames_are_taken_with_their_names(frame):
    """Pandas' and polars', with the numbers of the array."""
    table = frame({name: FRAME[name].to_numpy() for name in FRAME})
    named, plain = (KerasClassifier(perceptron, **PARAMS).fit(t, y) for t in (table, X))
    assert named.feature_names_in_.tolist() == list("abcd")
    assert np.array_equal(named.predict_proba(table), plain.predict_proba(X))
    with pytest.raises(ValueError, match="Feature names must be in the same order"):
        named.predict(table[list("bacd")])


def test_labels_may_be_a_series_of_polars():
    """As y may be a column of any frame."""
    table = pl.DataFrame({**{n: FRAME[n].to_numpy() for n in FRAME}, "y": y.tolist()})
    estimator = KerasClassifier(perceptron, **PARAMS).fit(table.drop("y"), table["y"])
    assert set(estimator.predict(table.drop("y"))) <= {"no", "yes"}


@pytest.mark.parametrize(
    "frame",
    [lambda data: pd.DataFrame(data).astype({"kind": "category"}), pl.DataFrame],
    ids=["pandas", "polars"],
)
def test_categories_go_through_a_column_transformer(frame):
    """Words become numbers before the model, in a search like anywhere else."""
    kind = np.where(np.arange(48) % 3 == 0, "odd", "even")
    table = frame({"a": X[:, 0], "kind": kind})
    target = np.where(kind == "odd", 1, 0)
    encode = ColumnTransformer([("k", OneHotEncoder(), ["kind"]), ("n", StandardScaler(), ["a"])])
    model = KerasClassifier(
        perceptron, epochs=40, optimizer="adam", optimizer__learning_rate=0.05, random_state=0
    )
    search = GridSearchCV(make_pipeline(encode, model), {"kerasclassifier__hidden": [4, 8]}, cv=2)
    assert search.fit(table, target).best_score_ > 0.95


WORDS = np.where(np.arange(48) % 2, "odd", "even")
DAYS = np.datetime64("2026-01-01") + np.arange(48)
NOT_NUMBERS = {
    "words": (lambda: FRAME.assign(d=WORDS), "could not convert string to float: '(odd|even)'"),
    "categories": (
        lambda: FRAME.assign(d=pd.Categorical(WORDS)),
        "could not convert string to float: '(odd|even)'",
    ),
    "polars' categories": (
        lambda: pl.DataFrame(FRAME.assign(d=WORDS).to_dict("list")).cast({"d": pl.Categorical}),
        "could not convert string to float: '(odd|even)'",
    ),
    "dates": (lambda: FRAME.apply(lambda column: DAYS), r"X holds dates or times \(datetime64"),
    "durations": (lambda: FRAME.assign(d=pd.Timedelta(1, "s")), "TimeDelta|Timedelta"),
    "complex": (lambda: X.astype(complex), "Complex data not supported"),
    "too large": (lambda: X * np.float64(1e300), "value too large for dtype.'float32'"),
}


@pytest.mark.parametrize(("make", "message"), NOT_NUMBERS.values(), ids=NOT_NUMBERS)
def test_what_holds_no_numbers_is_refused(make, message):
    """Before the model is built, and by `predict` alike."""
    with pytest.raises((ValueError, TypeError), match=message):
        KerasClassifier(untrainable).fit(make(), y)
    estimator = KerasClassifier(perceptron, **PARAMS).fit(
        FRAME if hasattr(make(), "columns") else X, y
    )
    with pytest.raises((ValueError, TypeError), match=message):
        estimator.predict(make())


@pytest.mark.parametrize(
    "convert",
    [
        lambda frame: frame.astype("Int64"),
        lambda frame: frame.astype("Float64"),
        lambda frame: frame.astype({"a": "int8", "b": "Int16", "c": "float16"}),
        lambda frame: frame.astype({"a": "category"}),
        lambda frame: frame.astype(str),
        lambda frame: frame.set_axis(frame.index[::-1], axis=0),
        lambda frame: pl.DataFrame(frame.to_dict("list")).cast({"d": pl.Decimal(10, 2)}),
    ],
    ids=["Int64", "Float64", "mixed", "categories", "words", "index", "Decimal"],
)
@pytest.mark.parametrize("inputs", [None, SPLIT])
def test_numbers_are_numbers_in_whatever_a_frame_keeps_them(convert, inputs):
    """Pandas' nullable types, categories of numbers, decimals: the model is the same."""
    plain = (FRAME * 10).round().astype(int)
    estimators = [
        KerasClassifier(two if inputs else perceptron, inputs=inputs, **PARAMS).fit(table, y)
        for table in (plain, convert(plain))
    ]
    assert estimators[0].history_ == estimators[1].history_
    assert estimators[1].feature_names_in_.tolist() == list("abcd")


@pytest.mark.parametrize("inputs", [None, {"ids": ["a"]}])
def test_nullable_integers_reach_the_model_as_integers(inputs):
    """Beyond 2 ** 24 all of them would be even as floats; `fit` and `predict` take them alike."""

    def parity(meta):
        kind = meta["X_dtype_"] if inputs is None else meta["X_dtype_"]["ids"]
        part = keras.Input((1,), name="ids", dtype=str(kind))
        odd = layers.Lambda(lambda ids: keras.ops.cast(ids % 2, "float32"))(part)
        end = layers.Dense(1, activation="sigmoid")(odd)
        return keras.Model(part if inputs is None else {"ids": part}, end)

    plain = pd.DataFrame({"a": 2**24 + 1 + np.arange(48)})
    whole = plain.astype("Int64")
    a, b = (KerasClassifier(parity, inputs=inputs, **PARAMS).fit(t, y) for t in (plain, whole))
    assert a.history_ == b.history_
    proba = b.predict_proba(whole)[:, 1]
    assert np.array_equal(a.predict_proba(plain)[:, 1], proba)
    assert len(set(proba[::2])) == len(set(proba[1::2])) == 1 and len(set(proba)) == 2


# -- missing values ----------------------------------------------------------------------------


def masked(meta):
    """Build a model that reads NaN as zero."""
    model = keras.Sequential([layers.Input((4,)), layers.Lambda(keras.ops.nan_to_num)])
    model.add(layers.Dense(1, activation="sigmoid"))
    return model


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinity")])
@pytest.mark.parametrize("inputs", [None, {"numbers": slice(None)}])
def test_nan_and_infinity_are_refused_in_scikit_learns_words(value, word, inputs):
    """By `fit`, by `predict`, and for watched rows."""
    bad = X.copy()
    bad[3, 1] = value
    with pytest.raises(ValueError, match=f"Input X contains {word}"):
        KerasClassifier(untrainable, inputs=inputs).fit(bad, y)
    estimator = KerasClassifier(two if inputs else perceptron, inputs=inputs).fit(X, y)
    with pytest.raises(ValueError, match=f"Input X contains {word}"):
        estimator.predict(bad)
    with pytest.raises(ValueError, match=f"Input X contains {word}"):
        estimator.fit(X, y, X_val=bad, y_val=y)


HOLES = {
    "Int64": lambda frame: frame.astype("Int64"),
    "Float64": lambda frame: frame.astype("Float64"),
    "boolean": lambda frame: frame.astype("boolean"),
    "objects": lambda frame: frame.astype(object).where(frame.notna(), None),
    "polars": lambda frame: pl.DataFrame(frame.to_dict("list")),
}


@pytest.mark.parametrize("inputs", [None, SPLIT])
@pytest.mark.parametrize("convert", HOLES.values(), ids=HOLES)
def test_what_is_not_available_is_missing(convert, inputs):
    """`pd.NA`, None and null are NaN: refused in these words, and taken by `allow_nan=True`."""
    holes = (FRAME > 0).astype(int).astype("Int64")
    holes.loc[3, "b"] = pd.NA
    table = convert(holes)
    with pytest.raises(ValueError, match=r"^Input X contains NaN"):
        KerasClassifier(untrainable, inputs=inputs).fit(table, y)
    if inputs is None:
        estimators = [
            KerasClassifier(masked, allow_nan=True, **PARAMS).fit(t, y)
            for t in (table, holes.to_numpy(float, na_value=np.nan))
        ]
        assert estimators[0].history_ == estimators[1].history_


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_allow_nan_hands_them_to_the_model(value):
    """It reads them as zero, or as a large number; the tags say that they are taken."""
    bad = X.copy()
    bad[3, 1] = value
    estimator = KerasClassifier(masked, allow_nan=True, **PARAMS).fit(bad, y)
    assert np.isfinite(estimator.predict_proba(bad)).all()
    assert estimator.__sklearn_tags__().input_tags.allow_nan
    assert not KerasClassifier(masked).__sklearn_tags__().input_tags.allow_nan


def test_nan_that_comes_out_is_no_class():
    """A model that passes NaN on would otherwise say "no" for these rows."""
    bad = X.copy()
    bad[3, 1] = np.nan
    classifier = KerasClassifier(logits, allow_nan=True, **PARAMS).fit(X, y)
    for method in (classifier.predict, classifier.predict_proba):
        with pytest.raises(ValueError, match="puts out NaN for 1 of 48 rows"):
            method(bad)
    regressor = KerasRegressor(logits, allow_nan=True, **PARAMS).fit(X, X[:, 0])
    assert np.flatnonzero(np.isnan(regressor.predict(bad))).tolist() == [3]


def test_allow_nan_is_a_flag():
    """Anything else is an error that says so."""
    with pytest.raises(ValueError, match="`allow_nan` must be True or False but got 'yes'"):
        KerasClassifier(untrainable, allow_nan="yes").fit(X, y)


# -- several inputs ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "inputs",
    [
        SPLIT,
        {"numbers": [0, 1], "text": [-2, -1]},
        {"numbers": slice(0, 2), "text": slice(2, None)},
        {"numbers": slice("a", "b"), "text": slice("c", None)},
        {"numbers": [True, True, False, False], "text": np.array([False, False, True, True])},
        {"numbers": {"b", "a"}, "text": {3, 2}},
        {"numbers": pd.Index(["a", "b"]), "text": lambda frame: ["c", "d"]},
        {"numbers": make_column_selector("[ab]"), "text": make_column_selector("[cd]")},
    ],
    ids=["names", "positions", "slices", "slices of names", "masks", "sets", "mixed", "selectors"],
)
def test_columns_feed_the_inputs_that_name_them(inputs):
    """In whichever way they are named, the numbers are those of Keras on a dict of arrays."""
    estimator = KerasClassifier(two, inputs=inputs, **PARAMS).fit(FRAME, y)
    assert estimator.n_features_in_ == 4
    assert estimator.feature_names_in_.tolist() == list("abcd")
    fed = {"numbers": X[:, :2], "text": X[:, 2:]}
    expected = estimator.model_.predict(fed, verbose=0)[:, 0]
    np.testing.assert_allclose(estimator.predict_proba(FRAME)[:, 1], expected, rtol=1e-5)


@pytest.mark.parametrize("table", [X, pl.DataFrame(X, schema=list("abcd")), X.tolist()])
def test_any_table_can_be_cut(table):
    """By positions, with the numbers of the frame."""
    inputs = {"numbers": slice(0, 2), "text": [2, 3]}
    a, b = (KerasClassifier(two, inputs=inputs, **PARAMS).fit(t, y) for t in (table, FRAME))
    assert a.history_ == b.history_
    assert np.array_equal(a.predict_proba(table), b.predict_proba(FRAME))


def test_rows_of_several_dimensions_are_cut_along_their_first():
    """Two channels of a series, an input each."""
    series = np.random.default_rng(0).normal(size=(20, 2, 5))

    def each(meta):
        parts = {n: keras.Input(s[1:], name=n) for n, s in meta["X_shape_"].items()}
        flat = [layers.Flatten()(part) for part in parts.values()]
        return keras.Model(parts, layers.Dense(1, "sigmoid")(layers.Concatenate()(flat)))

    estimator = KerasClassifier(each, inputs={"left": 0, "right": 1}, **PARAMS)
    model = estimator.fit(series, np.arange(20) % 2).model_
    expected = model.predict({"left": series[:, :1], "right": series[:, 1:]}, verbose=0)[:, 0]
    np.testing.assert_allclose(estimator.predict_proba(series)[:, 1], expected, rtol=1e-5)


@pytest.mark.slow
def test_inputs_are_searched_inside_a_pipeline():
    """Frames all the way, watched rows and an epoch's scores too."""
    pipe = make_pipeline(
        StandardScaler().set_output(transform="pandas"),
        KerasClassifier(
            two,
            inputs=SPLIT,
            validation_split=0.2,
            callbacks=EpochScoring("roc_auc"),
            **PARAMS,
        ),
    )
    grid = {
        "kerasclassifier__width": [2, 3],
        "kerasclassifier__inputs": [SPLIT, {"numbers": ["a"], "text": ["b", "c"]}],
    }
    search = GridSearchCV(pipe, grid, cv=2, error_score="raise").fit(FRAME, y)
    fitted_model = search.best_estimator_[-1]
    assert fitted_model.feature_names_in_.tolist() == list("abcd")
    assert "val_roc_auc" in fitted_model.history_


def test_partial_fit_knows_the_inputs():
    """Each call cuts its rows alike."""
    whole = KerasRegressor(two, inputs=SPLIT, **PARAMS).fit(FRAME, X[:, 0])
    parts = KerasRegressor(two, inputs=SPLIT, **PARAMS)
    for _ in range(PARAMS["epochs"]):
        parts.partial_fit(FRAME, X[:, 0])
    assert np.array_equal(whole.predict(FRAME), parts.predict(FRAME))


def test_large_integers_stay_what_they_are():
    """As float32, 16777217 would be 16777216; an input of integers is one, whatever the others."""
    ids = np.array([16_777_216, 16_777_217] * 10)
    table = pd.DataFrame({"id": ids, "x": np.zeros(20)})

    def odd(meta):
        assert meta["X_dtype_"]["id"].kind == "i"
        inputs = {"id": keras.Input((1,), name="id", dtype="int64")}
        inputs["x"] = keras.Input((1,), name="x")
        rest = keras.ops.cast(inputs["id"] % 2, "float32")
        return keras.Model(inputs, layers.Dense(1, "sigmoid")(rest + inputs["x"]))

    model = KerasClassifier(
        odd,
        inputs={"id": "id", "x": "x"},
        optimizer="adam",
        optimizer__learning_rate=0.3,
        epochs=20,
    )
    assert model.fit(table, ids % 2).score(table, ids % 2) == 1.0
    floats = table.astype({"id": float})
    assert np.array_equal(model.predict(floats), model.predict(table))
    with pytest.raises(ValueError, match=r"`inputs\['id'\]` was trained on integers"):
        model.predict(floats + 0.5)


def test_a_column_that_no_input_names_is_left_out():
    """Words in it do no harm, as in a ColumnTransformer."""
    table = FRAME.assign(c="word")
    estimator = KerasClassifier(two, inputs={"numbers": ["a"], "text": ["d"]}, **PARAMS)
    assert estimator.fit(table, y).predict(table).shape == (48,)


BAD = [
    ({"numbers": ["a", "height"], "text": "c"}, "names column 'height', which is not there"),
    ({"numbers": ["aa"], "text": "c"}, "Did you mean `a`"),
    ({"numbers": ["a", "b"], "text": ["b"]}, r"'b' is used twice, in `inputs\['numbers'\]` and"),
    ({"numbers": ["a", "a"], "text": ["b"]}, r"'a' is used twice, in `inputs\['numbers'\]`:"),
    ({"numbers": ["a", "word"], "text": "c"}, "takes column 'word', which does not hold numbers"),
    ({"numbers": ["a", "kind"], "text": "c"}, "takes column 'kind', which does not hold numbers"),
    ({"numbers": ["a", "day"], "text": "c"}, "takes column 'day', which does not hold numbers"),
    ({"numbers": ["day"], "text": "c"}, r"takes column 'day'.*holds dates or times"),
    ({"numbers": 9, "text": 1}, "has position 9, but there are 7 columns"),
    ({"numbers": [True, False], "text": 1}, "is a mask of 2 for 7 columns"),
    ({"numbers": [], "text": 1}, "takes no column"),
    ({"numbers": slice(9, None), "text": 1}, "takes no column"),
    ({"numbers": 1.5, "text": 1}, "must be names, positions, a slice, a mask"),
    ({"numbers": b"a", "text": 1}, "neither a name nor a position"),
    ({"numbers": [1.5], "text": 1}, "neither a name nor a position"),
    ({"numbers": "a", 3: "b"}, "keys are the names of a model's inputs"),
    (["a", "b"], "`inputs` must be a dict"),
    ({}, "`inputs` must be a dict"),
]


@pytest.mark.parametrize(("inputs", "message"), BAD)
def test_inputs_that_cannot_be_cut_are_refused(inputs, message):
    """By `fit`, before the model is built."""
    table = FRAME.assign(word="x", kind=pd.Categorical(WORDS), day=DAYS)
    with pytest.raises((ValueError, TypeError), match=message):
        KerasClassifier(untrainable, inputs=inputs).fit(table, y)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("numbers", "txet"), 'Missing data for input "text"'),
        (("numbers", "text", "more"), "names 'more', and the model has no input of that name"),
        (("numbers",), "does not fit the data"),
    ],
    ids=["another", "too many", "too few"],
)
@pytest.mark.filterwarnings("ignore:The structure of `inputs`")
def test_inputs_must_be_those_of_the_model(names, message):
    """Keras would pass over what it does not know."""

    def fixed():
        parts = [keras.Input((1,), name=name) for name in ("numbers", "text")]
        return keras.Model(parts, layers.Dense(1, "sigmoid")(layers.Concatenate()(parts)))

    inputs = dict(zip(names, "abc", strict=False))
    with pytest.raises(ValueError, match=message):
        KerasClassifier(fixed, inputs=inputs).fit(FRAME, y)


def test_names_need_a_frame():
    """An array has positions."""
    with pytest.raises(ValueError, match="names column 'a', but the columns have no names"):
        KerasClassifier(untrainable, inputs=SPLIT).fit(X, y)


def test_a_table_of_other_columns_is_refused():
    """In scikit-learn's words, as without `inputs`."""
    estimator = KerasClassifier(two, inputs=SPLIT, **PARAMS).fit(FRAME, y)
    with pytest.raises(ValueError, match="Feature names must be in the same order"):
        estimator.predict(FRAME[list("bacd")])
    with pytest.raises(ValueError, match="feature names should match"):
        estimator.predict(FRAME.assign(e=1.0))
    with pytest.raises(ValueError, match="Found array with 0 sample"):
        estimator.predict(FRAME[:0])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        estimator.fit(FRAME, y[:-1])


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 6), st.data())
def test_every_column_arrives_where_it_belongs(n, data):
    """Whatever the cut, each input holds its columns in the order that was asked for."""
    order = data.draw(st.permutations(range(n)))
    at = data.draw(st.integers(0, n - 1))
    cut = {"one": order[: at + 1]} | ({"two": order[at + 1 :]} if at + 1 < n else {})
    table = np.arange(3 * n, dtype=float).reshape(3, n)
    for rows in (table, pd.DataFrame(table), pl.DataFrame(table), sparse.csr_array(table)):
        parts = Inputs.learn(cut, rows, None).cut(rows)
        arrays = [part.toarray() if sparse.issparse(part) else part for part in parts.values()]
        assert np.array_equal(np.concatenate(arrays, axis=1), table[:, order])


# -- a mixed table, all the way ----------------------------------------------------------------

TABLE = """
import numpy as np, pandas as pd, keras
from keras import layers
def table():
    rng = np.random.default_rng(0)
    n = 240
    age, income = rng.normal(40, 12, n), rng.lognormal(3, 0.5, n)
    town = rng.choice(["north", "south", "east"], n)
    job = rng.choice(["clerk", "smith"], n).astype(object)
    y = np.where((age > 40) ^ (town == "north"), "buys", "leaves")
    age[::11], income[::7] = np.nan, np.nan
    job[::5] = np.nan
    return pd.DataFrame({"age": age, "town": town, "income": income, "job": job}), y
"""


def wide_and_deep(meta, width=8):
    """Build a model of numbers on one side and codes of words on the other."""
    parts = {name: keras.Input(s[1:], name=name) for name, s in meta["X_shape_"].items()}
    words = layers.Flatten()(layers.Embedding(8, 3)(parts["words"]))
    hidden = layers.Dense(width, activation="relu")(layers.Concatenate()([parts["numbers"], words]))
    hidden = layers.Dense(width, activation="relu")(hidden)
    return keras.Model(parts, layers.Dense(1, activation="sigmoid")(hidden))


@pytest.mark.slow
def test_a_mixed_table_goes_all_the_way(tmp_path):
    """Imputed, encoded, searched, calibrated, pickled, loaded elsewhere: predicting the same."""
    found: dict = {}
    exec(TABLE, found)
    frame, target = found["table"]()
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    words = make_pipeline(SimpleImputer(strategy="constant", fill_value="none"), OrdinalEncoder())
    encode = ColumnTransformer(
        [("numbers", numbers, ["age", "income"]), ("words", words, ["town", "job"])]
    ).set_output(transform="pandas")
    model = KerasClassifier(
        wide_and_deep,
        inputs={"numbers": slice(0, 2), "words": slice(2, None)},
        optimizer="adam",
        optimizer__learning_rate=0.01,
        epochs=60,
        random_state=0,
    )
    grid = {"kerasclassifier__width": [2, 8]}
    search = GridSearchCV(make_pipeline(encode, model), grid, cv=2).fit(frame, target)
    assert search.best_score_ > 0.75
    calibrated = CalibratedClassifierCV(search.best_estimator_, cv=2).fit(frame, target)
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(calibrated))
    script = (
        TABLE
        + """
import pickle, sys
model = pickle.load(open(sys.argv[1], "rb"))
np.save(sys.argv[2], model.predict_proba(table()[0]))
"""
    )
    fresh_process(script, tmp_path / "model.pkl", tmp_path / "found.npy")
    assert np.array_equal(np.load(tmp_path / "found.npy"), calibrated.predict_proba(frame))
