"""A model's output is what target and loss ask for, and a head's numbers come out right."""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from skcb._heads import DEFAULT_LOSS, HEADS, check_units, loss_name
from tests.fakes import Y, ideal, learned

HEADS_BY_LOSS = [  # y, loss, units, activation, encoding
    ("binary", None, 1, "sigmoid", "binary"),
    ("binary", "binary_crossentropy", 1, "sigmoid", "binary"),
    ("binary", "binary_focal_crossentropy", 1, "sigmoid", "binary"),
    ("binary", "mse", 1, "sigmoid", "binary"),
    ("binary", "mine", 1, "sigmoid", "binary"),
    ("binary", "categorical_crossentropy", 2, "softmax", "one_hot"),
    ("binary", "categorical_focal_crossentropy", 2, "softmax", "one_hot"),
    ("binary", "kl_divergence", 2, "softmax", "one_hot"),
    ("binary", "categorical_hinge", 2, "softmax", "one_hot"),
    ("binary", "sparse_categorical_crossentropy", 2, "softmax", "integer"),
    ("binary", "hinge", 1, "tanh", "sign"),
    ("binary", "squared_hinge", 1, "tanh", "sign"),
    ("multiclass", None, 3, "softmax", "integer"),
    ("multiclass", "sparse_categorical_crossentropy", 3, "softmax", "integer"),
    ("multiclass", "mine", 3, "softmax", "integer"),
    ("multiclass", "categorical_crossentropy", 3, "softmax", "one_hot"),
    ("multiclass", "categorical_focal_crossentropy", 3, "softmax", "one_hot"),
    ("multiclass", "kl_divergence", 3, "softmax", "one_hot"),
    ("multiclass", "poisson", 3, "softmax", "one_hot"),
    ("multiclass", "mse", 3, "softmax", "one_hot"),
    ("multiclass", "dice", 3, "softmax", "one_hot"),
    ("multiclass", "categorical_hinge", 3, "linear", "one_hot"),
    ("multiclass", "hinge", 3, "tanh", "sign"),
    ("multiclass", "squared_hinge", 3, "tanh", "sign"),
    ("multiclass", "binary_crossentropy", 3, "sigmoid", "one_hot"),
    ("multiclass", "binary_focal_crossentropy", 3, "sigmoid", "one_hot"),
    ("multilabel", None, 3, "sigmoid", "indicator"),
    ("multilabel", "binary_crossentropy", 3, "sigmoid", "indicator"),
    ("multilabel", "mse", 3, "sigmoid", "indicator"),
    ("multilabel", "mine", 3, "sigmoid", "indicator"),
    ("multilabel", "hinge", 3, "tanh", "sign"),
    ("one-hot", "categorical_crossentropy", 3, "softmax", "one_hot"),
    ("one-hot", "categorical_focal_crossentropy", 3, "softmax", "one_hot"),
    ("one-hot", "kl_divergence", 3, "softmax", "one_hot"),
    ("one-hot", "categorical_hinge", 3, "linear", "one_hot"),
    ("one-hot", "sparse_categorical_crossentropy", 3, "softmax", "integer"),
    ("continuous", None, 2, "linear", "float"),
    ("continuous", "mae", 2, "linear", "float"),
    ("continuous", "mine", 2, "linear", "float"),
    ("continuous", "poisson", 2, "exponential", "float"),
    ("continuous", "binary_crossentropy", 2, "sigmoid", "float"),
    ("continuous", "kl_divergence", 2, "softmax", "float"),
]


class Recipe:
    def __init__(self, cls):
        self.cls = cls


class KLDivergence:
    pass


class Weighted(KLDivergence):
    pass


class MyOwnLoss:
    pass


def focal_tversky(y_true, y_pred):
    """Stand for a loss of the user's own."""
    return 0


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        (None, None),
        ("mse", "mean_squared_error"),
        ("MSE", "mean_squared_error"),
        ("mae", "mean_absolute_error"),
        ("mape", "mean_absolute_percentage_error"),
        ("msle", "mean_squared_logarithmic_error"),
        ("bce", "binary_crossentropy"),
        ("BCE", "binary_crossentropy"),
        ("kld", "kl_divergence"),
        ("logcosh", "log_cosh"),
        ("LogCosh", "log_cosh"),
        ("BinaryCrossentropy", "binary_crossentropy"),
        ("SparseCategoricalCrossentropy", "sparse_categorical_crossentropy"),
        (KLDivergence, "kl_divergence"),
        (KLDivergence(), "kl_divergence"),
        (Weighted(), "kl_divergence"),
        (MyOwnLoss, "my_own_loss"),
        (MyOwnLoss(), "my_own_loss"),
        (focal_tversky, "focal_tversky"),
        (partial(focal_tversky, y_pred=1), "focal_tversky"),
        (Recipe(KLDivergence), "kl_divergence"),
    ],
)
def test_a_loss_has_one_name_in_whatever_form_it_is_given(loss, name):
    """Strings, aliases, classes, instances, functions and recipes agree."""
    assert loss_name(loss) == name


def test_every_name_that_keras_has_for_a_loss_is_understood():
    """Keras' class and its function or alias have the same canonical name."""
    losses = pytest.importorskip("keras").losses
    pairs = [("BinaryCrossentropy", "binary_crossentropy"), ("KLDivergence", "kl_divergence")]
    pairs += [("Poisson", "poisson"), ("MeanSquaredError", "mean_squared_error")]
    pairs += [("SquaredHinge", "squared_hinge"), ("Huber", "huber")]
    for cls, function in pairs:
        cls, function = getattr(losses, cls), losses.get(function)
        assert loss_name(cls) == loss_name(cls()) == loss_name(function) == function.__name__


@pytest.mark.parametrize(("kind", "loss", "units", "activation", "encoding"), HEADS_BY_LOSS)
def test_target_and_loss_say_what_the_model_ends_in(kind, loss, units, activation, encoding):
    """Units, activation and encoding are those of the table."""
    (head,) = learned(kind).heads(loss)
    assert (head.n_units, head.activation, head.encoding) == (units, activation, encoding)


@pytest.mark.parametrize(("kind", "loss"), [row[:2] for row in HEADS_BY_LOSS])
def test_perfect_outputs_give_back_the_y_they_were_trained_on(kind, loss):
    """Encoding and prediction are each other's inverse in every row of the table."""
    target = learned(kind)
    heads = target.heads(loss)
    encoded = target.encode(Y[kind], heads)
    predicted = target.predictions(ideal(encoded, heads[0]), heads)
    assert_array_equal(predicted, Y[kind])
    assert predicted.ndim == Y[kind].ndim


def test_every_row_of_the_table_is_tested():
    """No row of HEADS is left out of this file's table."""
    tested = {(k.replace("one-hot", "multilabel"), a, e) for k, _, _, a, e in HEADS_BY_LOSS}
    assert tested == {(row.target, row.activation, row.encoding) for row in HEADS}


@pytest.mark.parametrize(
    ("loss", "dtype", "encoded"),
    [
        ("binary_crossentropy", "float32", [[0], [1], [0], [1]]),
        ("hinge", "float32", [[-1], [1], [-1], [1]]),
        ("categorical_crossentropy", "float32", [[1, 0], [0, 1], [1, 0], [0, 1]]),
        ("sparse_categorical_crossentropy", "int32", [0, 1, 0, 1]),
    ],
)
def test_two_classes_are_encoded_as_the_loss_wants(loss, dtype, encoded):
    """A y of two classes becomes numbers of the documented shape and dtype."""
    target = learned("binary")
    got = target.encode(Y["binary"], target.heads(loss))
    assert got.dtype == dtype
    assert_array_equal(got, encoded, strict=False)
    assert got.shape == np.shape(encoded)


def test_many_classes_under_a_hinge_are_each_against_the_rest():
    """A hinge sees 1 for the class of the row and -1 for all others."""
    target = learned("multiclass")
    got = target.encode([5, 7], target.heads("hinge"))
    assert_array_equal(got, [[-1, 1, -1], [-1, -1, 1]])


def test_one_unit_gives_two_columns():
    """The single output is the probability of the greater class."""
    target = learned("binary")
    p = target.probabilities(np.array([[0.25], [0.75]]), target.heads())
    assert_array_equal(p, [[0.75, 0.25], [0.25, 0.75]])


@pytest.mark.parametrize(("kind", "expected"), [("binary", "yes"), ("multilabel", [1, 1, 0])])
def test_margins_are_cut_at_zero(kind, expected):
    """Under a hinge the sign decides."""
    target = learned(kind)
    outputs = np.array([[0.1, 0.2, -0.1]])[:, : 1 if kind == "binary" else 3]
    assert target.predictions(outputs, target.heads("hinge")).tolist() == [expected]


@pytest.mark.parametrize(("p", "label"), [(0.5, "no"), (0.500001, "yes"), (0.499999, "no")])
def test_a_tie_goes_to_the_first_class_as_argmax_says(p, label):
    """The prediction is the argmax of the probabilities, at one half too."""
    target = learned("binary")
    assert target.predictions(np.array([[p]]), target.heads()) == [label]


def test_the_classes_of_one_against_the_rest_sum_to_one():
    """Sigmoids of many classes are normalised; where all are 0, all classes are as likely."""
    target = learned("multiclass")
    p = target.probabilities(np.array([[0.2, 0.2, 0.4], [0, 0, 0]], "float32"), target.heads("bce"))
    assert_allclose(p, [[0.25, 0.25, 0.5], [1 / 3] * 3], rtol=1e-6)


def test_labels_that_do_not_exclude_each_other_are_not_normalised():
    """Multilabel probabilities are the sigmoids themselves, and are cut at one half."""
    target = learned("multilabel")
    outputs = np.array([[0.9, 0.8, 0.1]])
    assert_array_equal(target.probabilities(outputs, target.heads()), outputs)
    assert_array_equal(target.predictions(outputs, target.heads()), [[1, 1, 0]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1e4, -1e4])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_huge_logits_do_not_overflow(kind, size, dtype):
    """Sigmoid and softmax of great numbers are finite, without a warning."""
    target = learned(kind)
    heads = target.heads()
    outputs = np.zeros((2, heads[0].n_units), dtype)
    outputs[:, 0] = size
    p = target.probabilities(outputs, heads, logits=True)
    assert np.isfinite(p).all() and p.dtype == dtype
    if kind != "multilabel":
        assert_allclose(p.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "output", "expected"),
    [("binary", [-0.3], "no"), ("binary", [0.3], "yes"), ("multiclass", [-3.0, 2.0, 1.0], 5)],
)
def test_logits_are_understood_in_predictions(kind, output, expected):
    """The cut of a logit lies at 0, not at one half."""
    target = learned(kind)
    assert target.predictions(np.array([output]), target.heads(), logits=True) == [expected]


@pytest.mark.parametrize(
    ("kind", "loss"),
    [
        ("binary", "hinge"),
        ("multiclass", "squared_hinge"),
        ("multiclass", "categorical_hinge"),
        ("multilabel", "hinge"),
        ("continuous", None),
    ],
)
def test_what_is_no_probability_is_not_passed_off_as_one(kind, loss):
    """Margins and values have predictions, but no probabilities."""
    target = learned(kind)
    heads = target.heads(loss)
    assert not heads[0].has_probabilities
    with pytest.raises(ValueError, match="no probabilities"):
        target.probabilities(np.zeros((1, heads[0].n_units)), heads)


def test_half_floats_come_out_as_floats():
    """Outputs of a model in mixed precision give probabilities in float32."""
    target = learned("binary")
    p = target.probabilities(np.array([[0.1]], "float16"), target.heads())
    assert p.dtype == np.float32
    assert_allclose(p.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_several_ones_in_a_row_are_refused_where_the_loss_has_one_label(loss):
    """The error says which loss takes several labels."""
    target = learned("multilabel")
    with pytest.raises(ValueError, match=r"exactly one 1 in each row.*binary_crossentropy"):
        target.encode(Y["multilabel"], target.heads(loss))


@pytest.mark.parametrize("shapes", [(None, 3), [(None, 3)], (4, 3), (None, 1, 1)])
def test_an_output_that_does_not_fit_says_what_would(shapes):
    """The error names target, loss, units and the way out."""
    message = r"binary target under binary_crossentropy needs 1 .*meta\['n_output_units_'\]"
    with pytest.raises(ValueError, match=message):
        check_units(learned("binary").heads(), shapes)


@pytest.mark.parametrize("shapes", [(None, 1), [(None, 1)], (7, 1), (7,), (None, None)])
def test_an_output_that_fits_passes(shapes):
    """One unit may come as a column or flat, and an unknown number is left alone."""
    check_units(learned("binary").heads(), shapes)


def test_the_number_of_outputs_is_checked():
    """A model with one output does not fit two heads."""
    with pytest.raises(ValueError, match="1 outputs, but the target needs 2"):
        check_units(learned("continuous").heads(["mse", "mse"]), [(None, 3)])


def test_predictions_check_the_units():
    """Outputs with too many units do not become labels."""
    target = learned("binary")
    with pytest.raises(ValueError, match="has 2 units"):
        target.predictions(np.zeros((4, 2)), target.heads())


def test_the_default_loss_of_each_target_is_that_of_the_table():
    """Giving the default loss by name changes nothing."""
    for kind, loss in DEFAULT_LOSS.items():
        target = learned(kind)
        assert target.default_loss() == loss
        assert target.heads() == target.heads(loss) == target.heads([loss])
