"""Datasets and generators: `fit` and `predict` alone take them, with Keras' own numbers."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from sklearn.model_selection import GridSearchCV, cross_val_score

from skcb import KerasClassifier, KerasRegressor, KerasTransformer
from skcb.callbacks import BackupAndRestore, EarlyStopping, EpochScoring
from skcb.schedules import CosineDecay
from tests.models import X, Y, perceptron, untrainable

codes = (Y["binary"] == "yes").astype(int)
PARAMS = {"epochs": 3, "random_state": 0, "shuffle": False, "metrics": ["accuracy"]}
N = 3
"""Batches of 16 rows."""


def of_tensorflow(*parts):
    """Return a `tf.data` dataset."""
    return tf.data.Dataset.from_tensor_slices(parts or (X, codes)).batch(16)


class Batches(keras.utils.PyDataset):
    """Keras' own kind of dataset."""

    seen = 0

    @property
    def num_batches(self):
        return N

    def __getitem__(self, index):
        rows = slice(16 * index, 16 * index + 16)
        return X[rows], codes[rows]

    def on_epoch_end(self):
        self.seen += 1


def generated(passes=1):
    """Generate batches."""
    for index in range(N * passes):
        yield Batches()[index % N]


@pytest.fixture(scope="module")
def by_arrays():
    """Return a classifier fitted on the same batches as arrays."""
    return KerasClassifier(perceptron, batch_size=16, **PARAMS).fit(
        X, codes, validation_data=(X, codes)
    )


@pytest.mark.parametrize(
    ("make", "more"),
    [(of_tensorflow, {}), (Batches, {}), (lambda: generated(3), {"steps_per_epoch": N})],
    ids=["tf.data", "PyDataset", "generator"],
)
def test_batches_give_the_numbers_of_arrays(make, more, by_arrays):
    """History, weights and predictions, to the bit; what is watched may be a dataset too."""
    estimator = KerasClassifier(perceptron, classes=[0, 1], **PARAMS)
    estimator.fit(make(), validation_data=of_tensorflow(), **more)
    assert estimator.history_ == by_arrays.history_
    weights = estimator.model_.get_weights(), by_arrays.model_.get_weights()
    assert all(map(np.array_equal, *weights))
    assert np.array_equal(estimator.predict(make()), by_arrays.predict(X)) or more
    assert (
        estimator.n_features_in_ == 4 and estimator.engine_ == "keras: a dataset makes the batches"
    )


def test_the_numbers_are_those_of_model_fit():
    """On a dataset of three parts, with weights."""
    data = of_tensorflow(X, codes, np.linspace(0, 1, 48).astype("float32"))
    estimator = KerasClassifier(perceptron, **PARAMS)
    plain = estimator.set_params(epochs=0).fit(data).model_
    history = plain.fit(data, epochs=3, shuffle=False, verbose=0).history
    fitted = estimator.set_params(epochs=3).fit(data)
    assert {name: fitted.history_[name] for name in history} == history
    assert all(map(np.array_equal, plain.get_weights(), fitted.model_.get_weights()))


def test_predictions_of_batches_are_those_of_rows(by_arrays):
    """With targets in the batches or without, from any kind."""
    expected = by_arrays.predict_proba(X)
    only_x = tf.data.Dataset.from_tensor_slices(X).batch(16)
    for batches in (of_tensorflow(), only_x, Batches(), generated()):
        assert np.array_equal(by_arrays.predict_proba(batches), expected)
    endless = itertools.cycle([(X[:16],)])
    assert np.array_equal(by_arrays.predict_proba(endless, steps=2), np.tile(expected[:16], (2, 1)))


def test_callbacks_schedules_and_scores_work_as_with_arrays():
    """The whole road is the same; scores of an epoch see watched arrays."""
    params = {
        "epochs": 6,
        "random_state": 0,
        "lr_schedule": CosineDecay(per="batch"),
        "callbacks": [
            EpochScoring("roc_auc"),
            EarlyStopping("val_roc_auc", patience=1, mode="max"),
        ],
    }
    a = KerasClassifier(perceptron, shuffle=False, **params).fit(
        of_tensorflow(), X_val=X, y_val=codes
    )
    b = KerasClassifier(perceptron, shuffle=False, batch_size=16, **params)
    assert a.history_ == b.fit(X, codes, X_val=X, y_val=codes).history_


def test_classes_name_the_codes_of_a_dataset():
    """As image folders do: numbers in the batches, names in the predictions."""
    estimator = KerasClassifier(perceptron, classes=["cat", "dog"], **PARAMS).fit(of_tensorflow())
    assert set(estimator.predict(X)) <= {"cat", "dog"}
    assert estimator.classes_.tolist() == ["cat", "dog"]


def test_without_classes_a_dataset_is_read_once_for_them():
    """Three classes, of which the first batch may lack some."""
    codes = np.sort(np.arange(48) % 3)
    estimator = KerasClassifier(perceptron, **PARAMS).fit(of_tensorflow(X, codes))
    assert estimator.classes_.tolist() == [0, 1, 2]
    assert estimator.predict_proba(X).shape == (48, 3)


def test_regressors_take_several_targets():
    """As columns."""
    data = of_tensorflow(X, X[:, :2])
    estimator = KerasRegressor(perceptron, epochs=1).fit(data)
    assert estimator.predict(data).shape == (48, 2)


def test_a_dataset_of_dicts_feeds_several_inputs():
    """By the names of the inputs; `meta` has the shape of each."""

    def two(meta):
        parts = {n: keras.Input(s[1:], name=n) for n, s in meta["X_shape_"].items()}
        return keras.Model(
            parts, layers.Dense(1, "sigmoid")(layers.Concatenate()(list(parts.values())))
        )

    data = tf.data.Dataset.from_tensor_slices(({"a": X[:, :1], "b": X[:, 1:]}, codes)).batch(16)
    assert KerasClassifier(two, epochs=1).fit(data).predict(data).shape == (48,)


def test_a_pydataset_is_shuffled_by_the_fits_own_seed():
    """And told that an epoch has ended."""
    data = Batches()
    runs = [
        KerasClassifier(perceptron, epochs=2, random_state=seed).fit(data).history_["loss"]
        for seed in (0, 0, 1)
    ]
    assert runs[0] == runs[1] != runs[2]
    assert data.seen == 6


def test_steps_cut_an_endless_dataset():
    """Which goes on in the next epoch where it was."""
    endless = of_tensorflow().repeat()
    estimator = KerasClassifier(perceptron, classes=[0, 1], **PARAMS)
    a = estimator.fit(endless, steps_per_epoch=N).history_
    assert a == KerasClassifier(perceptron, batch_size=16, **PARAMS).fit(X, codes).history_
    short = KerasClassifier(perceptron, classes=[0, 1], **PARAMS).fit(endless, steps_per_epoch=2)
    assert short.history_["loss"] != a["loss"]


BAD = [
    ("labels", lambda: generated(9), {}, {"steps_per_epoch": N}, "give them as `classes`"),
    ("epochs", generated, {"classes": [0, 1]}, {}, "a generator is read once, and `epochs=3`"),
    ("nothing", lambda: iter([]), {"classes": [0, 1]}, {}, "`X` makes no batch"),
    ("no targets", lambda: of_tensorflow(X), {}, {}, r"must make batches of \(x, y\)"),
    ("y", of_tensorflow, {}, {"y": codes}, "`y` is for arrays"),
    ("weights", of_tensorflow, {}, {"sample_weight": np.ones(48)}, "`sample_weight` is for arrays"),
    ("groups", of_tensorflow, {}, {"groups": codes}, "`groups` is for arrays"),
    ("split", of_tensorflow, {"validation_split": 0.2}, {}, "cannot split a dataset"),
    ("class weights", of_tensorflow, {"class_weight": "balanced"}, {}, "`class_weight='balanced'`"),
    ("inputs", of_tensorflow, {"inputs": {"a": 0}}, {}, "let it make dicts"),
    (
        "order",
        of_tensorflow,
        {"classes": ["dog", "cat"]},
        {},
        "must be sorted where X is a dataset",
    ),
    (
        "single rows",
        lambda: tf.data.Dataset.from_tensor_slices((X, codes)),
        {},
        {},
        r"makes single rows.*`X.batch\(32\)`",
    ),
    ("gaps", lambda: of_tensorflow(X, codes + 1), {}, {}, "numbered from 0 on without a gap"),
    ("words", lambda: of_tensorflow(X, Y["binary"]), {}, {}, "they must be numbers"),
    (
        "watched",
        of_tensorflow,
        {},
        {"validation_data": generated()},
        "`validation_data` is a gener",
    ),
    ("steps", of_tensorflow, {}, {"steps_per_epoch": 0}, "`steps_per_epoch` must be an integer of"),
    (
        "by batch",
        lambda: of_tensorflow().filter(lambda x, y: True),
        {"classes": [0, 1], "lr_schedule": CosineDecay(per="batch")},
        {},
        "how many there are is not known",
    ),
]


@pytest.mark.parametrize(
    ("make", "params", "call", "message"), [c[1:] for c in BAD], ids=[c[0] for c in BAD]
)
def test_what_a_dataset_cannot_do_is_refused(make, params, call, message):
    """Before the first epoch, with a way out."""
    with pytest.raises(ValueError, match=message):
        KerasClassifier(untrainable, **{"epochs": 3, **params}).fit(make(), **call)


def test_a_backup_of_a_dataset_is_refused(tmp_path):
    """Nobody could say whether the next run has the same data."""
    backup = BackupAndRestore(str(tmp_path / "backup"))
    with pytest.raises(ValueError, match="cannot tell whether another fit has the same data"):
        KerasClassifier(untrainable, callbacks=backup).fit(of_tensorflow())


def test_a_generator_that_ends_early_says_so():
    """In the epoch where it does."""
    with pytest.raises(ValueError, match="ended within an epoch: there are not 3"):
        KerasClassifier(perceptron, classes=[0, 1], **PARAMS).fit(generated(2), steps_per_epoch=N)


def test_arrays_have_no_steps():
    """An epoch is all rows."""
    with pytest.raises(ValueError, match="`steps_per_epoch=2` is not taken"):
        KerasClassifier(untrainable).fit(X, codes, steps_per_epoch=2)


def test_other_estimators_and_methods_take_arrays():
    """They say so."""
    with pytest.raises(ValueError, match="`partial_fit` takes arrays"):
        KerasClassifier(untrainable).partial_fit(of_tensorflow(), None)
    with pytest.raises(ValueError, match="KerasTransformer takes arrays"):
        KerasTransformer(untrainable).fit(of_tensorflow())


class Countable(Batches):
    """A dataset with a length, which a search takes for rows."""

    def __init__(self, pack=tuple):
        super().__init__()
        self.pack = pack

    def __len__(self):
        return N

    def __getitem__(self, index):
        return self.pack(super().__getitem__(index))


def searched(X):
    """Search over X as its users do."""
    GridSearchCV(KerasClassifier(untrainable, classes=[0, 1]), {"epochs": [1, 2]}, cv=2).fit(X)


def scored(X):
    """Cross-validate on X as its users do."""
    cross_val_score(KerasClassifier(untrainable, classes=[0, 1]), X, cv=2)


REFUSED = {
    "generator": (generated, "got scalar `array.<generator|must be an array-like.*<generator"),
    "tf.data": (of_tensorflow, "got scalar `array.<_BatchDataset"),
    "tf.data of unknown length": (
        lambda: of_tensorflow().filter(lambda x, y: True),
        "got scalar `array.<_FilterDataset",
    ),
    "PyDataset": (Batches, "got .*Batches"),
}


@pytest.mark.parametrize("search", [searched, scored])
@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_scikit_learns_searches_refuse_what_has_no_rows(make, message, search):
    """Before any estimator is asked, and naming what they got."""
    with pytest.raises((TypeError, ValueError), match=f"(?i){message}"):
        search(make())


PACKED = {
    "tuples": tuple,
    "lists": list,
    "dicts": lambda batch: ({"a": batch[0]}, batch[1]),
    "tensors": lambda batch: tuple(map(tf.constant, batch)),
}


@pytest.mark.filterwarnings("ignore:Scoring failed")
@pytest.mark.parametrize("search", [searched, scored])
@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED)
def test_a_search_over_a_dataset_of_a_length_is_refused(pack, search):
    """Scikit-learn takes the batches for rows and cuts them; skcb says so where it is asked."""
    with pytest.raises(ValueError, match=r"a search has cut a dataset.*Search over arrays"):
        search(Countable(pack))


def test_rows_may_be_tuples_of_arrays():
    """With a y they are rows, however they are written down."""
    rows = [(row[:2], row[2:]) for row in X]

    def flat(meta):
        model = keras.Sequential([layers.Input(meta["X_shape_"][1:]), layers.Flatten()])
        model.add(layers.Dense(1, activation="sigmoid"))
        return model

    fitted = [KerasClassifier(flat, **PARAMS).fit(x, codes) for x in (rows, X.reshape(48, 2, 2))]
    assert fitted[0].history_ == fitted[1].history_
