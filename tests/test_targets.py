"""Every loss gets the y that it wants, and every user gets their own labels back."""

import copy
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_matrix
from sklearn.exceptions import DataConversionWarning

from skcb._targets import Target
from tests.fakes import Y, ideal, learned


@pytest.mark.parametrize(
    "y",
    [
        [0, 1, 1],
        [-1, 1, -1],
        [True, False, True],
        [1.0, 2.0, 1.0],
        ["b", "a", "b"],
        np.array(["b", "a", "b"], dtype=object),
        pd.Series(pd.Categorical(["b", "a", "b"])),
        pd.Series([True, False, True], dtype="boolean"),
        pd.Series(["b", "a", "b"], index=[5, 6, 7]),
        np.array([3, 9, 3], dtype=np.uint8),
    ],
)
def test_labels_of_any_kind_keep_kind_and_dtype(y):
    """Predicted labels are the user's own, in the dtype of `classes_`."""
    target = Target.learn(y, classifier=True)
    heads = target.heads()
    predicted = target.predictions(target.encode(y, heads), heads)
    assert target.type_ == "binary"
    assert predicted.dtype == target.classes_.dtype == np.asarray(y).dtype
    assert predicted.tolist() == list(y)


@st.composite
def label_lists(draw):
    """Lists of at least two different labels of one kind."""
    kind = draw(
        st.sampled_from([st.integers(-(10**6), 10**6), st.text("abc", max_size=4), st.booleans()])
    )
    classes = draw(st.lists(kind, min_size=2, max_size=6, unique=True))
    return classes + draw(st.lists(st.sampled_from(classes), max_size=10))


@given(
    label_lists(), st.sampled_from([None, "categorical_crossentropy", "hinge", "bce", "poisson"])
)
def test_any_labels_survive_the_way_there_and_back(y, loss):
    """Integers with gaps, strings and bools come back from perfect outputs."""
    target = Target.learn(y, classifier=True)
    heads = target.heads(loss)
    outputs = ideal(target.encode(y, heads), heads[0])
    assert target.predictions(outputs, heads).tolist() == y
    assert target.classes_.tolist() == sorted(set(y))


@given(label_lists(), st.sampled_from([None, "categorical_crossentropy", "bce"]), st.booleans())
def test_columns_of_probabilities_are_those_of_classes(y, loss, logits):
    """The likeliest column is the prediction, and rows sum to 1."""
    target = Target.learn(y, classifier=True)
    heads = target.heads(loss)
    outputs = ideal(target.encode(y, heads), heads[0]).astype(np.float32)
    outputs = (outputs - 0.5) * 8 if logits else outputs
    p = target.probabilities(outputs, heads, logits=logits)
    assert p.shape == (len(y), len(target.classes_))
    assert_allclose(p.sum(axis=1), 1, atol=1e-6)
    assert target.classes_[p.argmax(axis=1)].tolist() == y


@pytest.mark.parametrize("dtype", ["int64", "bool", "float32"])
@pytest.mark.parametrize("loss", [None, "hinge", "categorical_crossentropy", "scce"])
def test_an_indicator_comes_back_as_it_was(loss, dtype):
    """A 0/1 matrix is predicted as a matrix of its own dtype."""
    loss = "sparse_categorical_crossentropy" if loss == "scce" else loss
    y = Y["one-hot"].astype(dtype)
    target = Target.learn(y, classifier=True)
    heads = target.heads(loss)
    predicted = target.predictions(ideal(target.encode(y, heads), heads[0]), heads)
    assert target.type_ == "multilabel-indicator"
    assert_array_equal(predicted, y, strict=True)


def test_a_sparse_indicator_is_a_matrix_like_any_other():
    """A y in scipy's sparse form is encoded as if it were dense."""
    target = Target.learn(csr_matrix(Y["multilabel"]), classifier=True)
    encoded = target.encode(csr_matrix(Y["multilabel"]), target.heads())
    assert_array_equal(encoded, Y["multilabel"])


def test_two_numbers_that_are_not_0_and_1_are_labels_of_each_column():
    """A matrix of -1 and 1 is no indicator: each column is a target of its own."""
    y = np.array([[-1, 1], [1, -1], [1, 1]])
    target = Target.learn(y, classifier=True)
    heads = target.heads()
    assert target.type_ == "multiclass-multioutput"
    assert_array_equal(target.predictions(target.encode(y, heads), heads), y, strict=True)


def test_one_column_is_one_dimension():
    """A classifier's y of shape (n, 1) is flattened with scikit-learn's warning."""
    y = np.array([["a"], ["b"], ["a"]])
    with pytest.warns(DataConversionWarning):
        target = Target.learn(y, classifier=True)
    heads = target.heads()
    assert target.predictions(target.encode(y, heads), heads).tolist() == ["a", "b", "a"]


TABLE = pd.DataFrame({"size": [1, 2, 3, 1], "name": ["x", "y", "y", "x"]})


def test_every_column_of_labels_gets_a_head():
    """Columns of labels have their own rules, encodings and probabilities."""
    target = Target.learn(TABLE, classifier=True)
    heads = target.heads()
    assert target.default_loss() == ["sparse_categorical_crossentropy", "binary_crossentropy"]
    assert target.n_classes_ == [3, 2]
    encoded = target.encode(TABLE, heads)
    assert [e.shape for e in encoded] == [(4,), (4, 1)]
    outputs = [ideal(e, h) for e, h in zip(encoded, heads, strict=True)]
    assert target.predictions(outputs, heads).tolist() == TABLE.to_numpy().tolist()
    assert [p.shape for p in target.probabilities(outputs, heads)] == [(4, 3), (4, 2)]


@pytest.mark.parametrize(
    "loss", [["hinge", "kld"], ("hinge", "kld"), {"size": "hinge", "name": "kld"}]
)
def test_every_head_can_have_its_loss(loss):
    """A list, or a dict in the order of the columns, names one loss per head."""
    heads = Target.learn(TABLE, classifier=True).heads(loss)
    assert [(h.loss, h.n_units) for h in heads] == [("hinge", 3), ("kl_divergence", 2)]


def test_one_loss_serves_all_heads():
    """A single loss holds for each column, in its own row of the table."""
    heads = Target.learn(TABLE, classifier=True).heads("binary_crossentropy")
    assert [h.encoding for h in heads] == ["one_hot", "binary"]


def test_outputs_and_logits_of_several_heads_may_be_told_apart():
    """Outputs come as a dict too, and each head says whether it gives logits."""
    target = Target.learn(np.array([["a", "c"], ["b", "d"], ["a", "d"]]), classifier=True)
    outputs = {"one": np.array([[0.3]]), "two": np.array([[0.3]])}
    predicted = target.predictions(outputs, target.heads(), logits=[True, False])
    assert predicted.tolist() == [["b", "c"]]


@pytest.mark.parametrize(
    ("kind", "loss"), [("binary", ["bce", "bce"]), ("continuous", ["mse"] * 3)]
)
def test_a_number_of_losses_that_fits_no_head_is_refused(kind, loss):
    """The error counts the losses that were given."""
    with pytest.raises(ValueError, match=f"`loss` has {len(loss)} entries"):
        learned(kind).heads(loss)


@pytest.mark.parametrize("y", [["a", "a"], [1.0, 1.0], np.ones((3, 2)) * [1, 2]])
def test_a_single_class_cannot_be_learned(y):
    """One class is refused with a message that names it."""
    with pytest.raises(ValueError, match=r"at least 2 classes.*only one class: ('a'|1\.0)"):
        Target.learn(y, classifier=True)


def test_classes_may_be_more_than_the_data_has():
    """With `classes`, a y that lacks some has all columns, sorted and once each."""
    target = Target.learn(["b", "b"], classifier=True, classes=["c", "a", "b", "a"])
    assert target.classes_.tolist() == ["a", "b", "c"]
    assert target.type_ == "multiclass"
    assert target.encode(["b"], target.heads("kld")).tolist() == [[0, 1, 0]]


def test_classes_of_columns_are_lists():
    """Each column has its own `classes`, which can turn a 0/1 matrix into labels."""
    y = np.array([[0, 1], [1, 0]])
    target = Target.learn(y, classifier=True, classes=[[0, 1, 2], [0, 1]])
    assert target.type_ == "multiclass-multioutput"
    assert target.n_classes_ == [3, 2]
    with pytest.raises(ValueError, match="one list per column"):
        Target.learn(y, classifier=True, classes=[0, 1])


MIXED = pd.DataFrame({"a": [1, "neg", 1], "b": ["p", "q", "q"]})


def test_labels_of_several_kinds_in_a_column_are_refused():
    """NumPy would make strings of the numbers; a later y is judged as the first is."""
    named = r"A column of y holds labels of several kinds, 'neg' and (1|None)"
    for wrong in (MIXED, MIXED.replace({1: None})):
        with pytest.raises(TypeError, match=named):
            Target.learn(wrong, classifier=True)
    target = Target.learn(MIXED.astype(str), classifier=True)
    with pytest.raises(TypeError, match=named):
        target.encode(MIXED, target.heads())


OTHER_CLASSES = {  # y, the classes that it was learned with, the same ones, others
    "labels": (["a", "b"], ["a", "b", "c"], [["c", "a", "b"], np.array(["a", "b", "c"])], ["x"]),
    "numbers": ([1, 2], None, [[2, 1], np.array([1.0, 2.0])], [0, 1, 2]),
    "columns": (
        [[0, 1], [1, 0]],
        [[0, 1, 2], None],
        [[[2, 1, 0], [1, 0]], [None, [0, 1]], [None, None]],
        [[0, 1, 2], [0, 2]],
    ),
    "columns, one list": ([[0, 5], [1, 0]], None, [[[0, 1], [0, 5]]], [0, 1]),
    "several labels": ([[0, 1], [1, 0]], None, [[[0, 1], [0, 1]], [[1, 0], None]], [[0, 1]]),
    "numbers of labels": ([[0, 1], [1, 0]], None, [np.array([[0, 1]] * 2)], [0, 1]),
}


@pytest.mark.parametrize(
    ("y", "classes", "same", "other"), OTHER_CLASSES.values(), ids=OTHER_CLASSES
)
def test_other_classes_than_those_known_are_refused(y, classes, same, other):
    """In scikit-learn's words; the same in another order, or in another container, are not."""
    target = Target.learn(y, classifier=True, classes=classes)
    for each in same:
        target.refuse_other(each)
    with pytest.raises(ValueError, match="is not the same as on last call to partial_fit, was: "):
        target.refuse_other(other)


def test_a_regressor_has_no_classes_to_differ():
    """It is told none."""
    learned("continuous").refuse_other([1, 2])


@pytest.mark.parametrize(
    ("y", "classes", "named"), [(["a", "z"], ["a", "b"], "z"), ([1, 2.5], None, "Unknown label")]
)
def test_labels_outside_of_classes_are_named(y, classes, named):
    """A y with labels that `classes` lacks, or with no labels at all, is refused."""
    with pytest.raises(ValueError, match=named):
        Target.learn(y, classifier=True, classes=classes)


@pytest.mark.parametrize(
    ("y", "unseen"), [(["ab"], "'ab'"), ([3], "3"), (["no", "maybe"], "'maybe'")]
)
def test_unseen_labels_are_refused_as_scikit_learn_does(y, unseen):
    """A later label is never cut, cast or rounded to a known one."""
    target = Target.learn(["no", "a", "b"], classifier=True)
    with pytest.raises(ValueError, match=rf"y contains previously unseen labels: \[{unseen}\]"):
        target.encode(y, target.heads())


def test_fractions_are_not_rounded_to_a_class():
    """1.5 is unseen where the classes are 1 and 2."""
    target = Target.learn([1, 2], classifier=True)
    with pytest.raises(ValueError, match="unseen labels"):
        target.encode([1.5], target.heads())


def test_another_number_of_columns_is_refused():
    """A later y has the columns that were learned."""
    target = learned("multilabel")
    with pytest.raises(ValueError, match="3 columns"):
        target.encode([[0, 1], [1, 0]], target.heads())


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 3)])
def test_a_regressor_keeps_the_shape_of_y(shape):
    """Values come back in as many dimensions as they had, in float32."""
    y = np.arange(np.prod(shape), dtype=float).reshape(shape) / 4
    target = Target.learn(y, classifier=False)
    heads = target.heads()
    encoded = target.encode(y, heads)
    assert encoded.shape == (4, heads[0].n_units)
    assert_array_equal(target.predictions(encoded, heads), y.astype("float32"), strict=True)
    assert target.classes_ is None and target.default_loss() == "mean_squared_error"


@pytest.mark.parametrize("y", [[0, 1, 1], [1, 2, 3], [0.5, 1.5, 2.0], [True, False, True]])
def test_a_regressor_does_not_guess_classes_from_values(y):
    """Whole numbers are values like any other."""
    target = Target.learn(y, classifier=False)
    assert target.type_ == "continuous"
    assert target.heads()[0].activation == "linear"


def test_a_regressor_may_have_a_head_for_each_column():
    """A list of losses makes as many heads of one unit."""
    target = learned("continuous")
    heads = target.heads(["mse", "poisson"])
    assert [(h.n_units, h.activation) for h in heads] == [(1, "linear"), (1, "exponential")]
    encoded = target.encode(Y["continuous"], heads)
    assert [e.shape for e in encoded] == [(4, 1), (4, 1)]
    assert_array_equal(target.predictions(encoded, heads), Y["continuous"])


@pytest.mark.parametrize("y", [["a", "b"], [{}, {}], np.ones((2, 2, 2))])
def test_a_regressor_refuses_what_is_not_numbers(y):
    """Strings, objects and y of three dimensions end in a ValueError."""
    with pytest.raises(ValueError, match=r"could not convert|1-D or 2-D"):
        Target.learn(y, classifier=False)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "continuous"])
def test_y_stays_as_the_user_gave_it(kind):
    """Neither learning nor encoding writes to y, nor hands out its memory."""
    y = Y[kind].astype("float32") if kind == "continuous" else Y[kind].copy()
    before = y.copy()
    target = Target.learn(y, classifier=kind != "continuous")
    encoded = target.encode(y, target.heads())
    encoded[:] = 9
    assert_array_equal(y, before)


def test_meta_tells_a_build_function_what_to_end_in():
    """One head gives scalars, several give lists."""
    target = learned("multiclass")
    meta = target.meta(target.heads())
    assert meta.pop("classes_").tolist() == [2, 5, 7]
    assert meta == {
        "target_type_": "multiclass",
        "n_classes_": 3,
        "n_outputs_": 1,
        "n_output_units_": 3,
        "output_activation_": "softmax",
    }
    target = Target.learn(TABLE, classifier=True)
    meta = target.meta(target.heads())
    assert meta["n_output_units_"] == [3, 1]
    assert meta["output_activation_"] == ["softmax", "sigmoid"]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_a_copy_decodes_as_the_original(copied):
    """Targets go through pickle and deepcopy."""
    target = learned("binary")
    again = copied(target)
    assert again.predictions(np.ones((1, 1)), again.heads()) == ["yes"]


def test_scikit_learn_still_warns_of_too_many_classes():
    """A y that looks like a regression problem gets scikit-learn's warning, once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        target = Target.learn(np.arange(30), classifier=True)
        target.encode(np.arange(30), target.heads())
    assert ["could represent a regression" in str(w.message) for w in caught] == [True]


def test_targets_are_known_without_keras():
    """Importing the module imports neither Keras nor TensorFlow."""
    code = "import sys, skcb._targets; sys.exit(bool({'keras', 'tensorflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
