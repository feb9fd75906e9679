"""Heads: what each output of a model must look like, and how its target is encoded.

Owns the names of losses, the table of units, activation and encoding under each of them
(``HEADS``), and the arithmetic of a single head: encoding, logits, probabilities. Leaves the kind
of y, its labels and its columns to ``_targets``, and everything that needs Keras (compiling,
finding logits) to ``_build``: losses are known here by their names alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from reprlib import repr as short
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from skcb._names import snake

Array: TypeAlias = NDArray[Any]
Outputs: TypeAlias = Array | Sequence[Array] | Mapping[str, Array]
Shape: TypeAlias = tuple[int | None, ...]

_ALIASES = {
    "bce": "binary_crossentropy",
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "kld": "kl_divergence",
    "kullback_leibler_divergence": "kl_divergence",
    "logcosh": "log_cosh",
    "cosine_proximity": "cosine_similarity",
}

_BINARY = ("binary_crossentropy", "binary_focal_crossentropy")
_CATEGORICAL = ("categorical_crossentropy", "categorical_focal_crossentropy", "kl_divergence")
_SPARSE = ("sparse_categorical_crossentropy", "categorical_generalized_cross_entropy")
_MARGIN = ("hinge", "squared_hinge")
_ELEMENTWISE = (
    *("mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error"),
    *("mean_squared_logarithmic_error", "huber", "log_cosh", "cosine_similarity"),
    *("poisson", "dice", "tversky"),
)


class Row(NamedTuple):
    """One row of ``HEADS``; `losses` is empty where it holds for any loss not named above it."""

    target: str
    losses: tuple[str, ...]
    units: str
    activation: str
    encoding: str


#: What the model's output must look like. K: classes, or columns of y. The first row that fits.
HEADS = (
    Row("binary", _MARGIN, "1", "tanh", "sign"),
    Row("binary", (*_CATEGORICAL, "categorical_hinge"), "K", "softmax", "one_hot"),
    Row("binary", _SPARSE, "K", "softmax", "integer"),
    Row("binary", (), "1", "sigmoid", "binary"),
    Row("multiclass", _MARGIN, "K", "tanh", "sign"),
    Row("multiclass", ("categorical_hinge",), "K", "linear", "one_hot"),
    Row("multiclass", _BINARY, "K", "sigmoid", "one_hot"),
    Row("multiclass", (*_CATEGORICAL, *_ELEMENTWISE), "K", "softmax", "one_hot"),
    Row("multiclass", (), "K", "softmax", "integer"),
    Row("multilabel", _MARGIN, "K", "tanh", "sign"),
    Row("multilabel", ("categorical_hinge",), "K", "linear", "one_hot"),
    Row("multilabel", _CATEGORICAL, "K", "softmax", "one_hot"),
    Row("multilabel", _SPARSE, "K", "softmax", "integer"),
    Row("multilabel", (), "K", "sigmoid", "indicator"),
    Row("continuous", ("poisson",), "K", "exponential", "float"),
    Row("continuous", _BINARY, "K", "sigmoid", "float"),
    Row("continuous", _CATEGORICAL, "K", "softmax", "float"),
    Row("continuous", (), "K", "linear", "float"),
)

#: The loss of a target for which none was given.
DEFAULT_LOSS = {
    "binary": "binary_crossentropy",
    "multiclass": "sparse_categorical_crossentropy",
    "multilabel": "binary_crossentropy",
    "continuous": "mean_squared_error",
}

KNOWN_LOSSES = {name for row in HEADS for name in row.losses}


def loss_name(loss: Any) -> str | None:
    """Return the canonical snake_case name of a loss, in whatever form the user gave it.

    Parameters
    ----------
    loss : str, class, function, instance, recipe (anything with a `cls`) or None
        A class derived from one of Keras' losses goes by the name of that loss.
    """
    if loss is None or isinstance(loss, str):
        return loss and _canonical(loss)
    if isinstance(loss, type):
        return _class_name(loss)
    if isinstance(loss, partial):
        return loss_name(loss.func)
    if hasattr(loss, "cls"):
        return loss_name(loss.cls)
    return _canonical(loss.__name__) if hasattr(loss, "__name__") else _class_name(type(loss))


def _class_name(cls: type) -> str:
    names = [_canonical(base.__name__) for base in cls.__mro__]
    return next((name for name in names if name in KNOWN_LOSSES), names[0])


def _canonical(name: str) -> str:
    plain = snake(name)
    return _ALIASES.get(plain, plain)


@dataclass(frozen=True)
class Head:
    """What one output of the model must look like, and how its target is encoded.

    Attributes
    ----------
    loss : str or None
        Canonical name.
    n_units : int
    activation : {"sigmoid", "softmax", "tanh", "linear", "exponential"}
    encoding : str
        "binary" (0/1, shape (n, 1)), "sign" (-1/1, shape (n, units)), "one_hot" and "indicator"
        (0/1, shape (n, units)), "float" (shape (n, units)), all float32; or "integer" (class
        index, int32, shape (n,)).
    target : {"binary", "multiclass", "multilabel", "continuous"}
    shape : tuple of int or None
        Of a row, where it is more than a row of units; the units come last.
    """

    loss: str | None
    n_units: int
    activation: str
    encoding: str
    target: str
    shape: tuple[int, ...] | None = None

    @property
    def has_probabilities(self) -> bool:
        """Whether the outputs can be read as probabilities of classes."""
        return self.target != "continuous" and self.activation in ("sigmoid", "softmax")


def head_for(target: str, loss: Any, size: int) -> Head:
    """Return the head of one target under a loss; `size` is its number of classes or columns."""
    name = loss_name(loss) or DEFAULT_LOSS[target]
    row = next(r for r in HEADS if r.target == target and (name in r.losses or not r.losses))
    return Head(name, 1 if row.units == "1" else size, row.activation, row.encoding, target)


def check_units(heads: Sequence[Head], shapes: Shape | Sequence[Shape]) -> None:
    """Raise a ValueError unless each output of the model has the units that its head needs.

    Parameters
    ----------
    heads : list of Head
    shapes : tuple, or list of them
        Shapes of the outputs, the rows first, as in `keras.Model.output_shape`.
    """
    many: list[Any] = list(shapes) if isinstance(shapes, list) else [shapes]
    if len(many) != len(heads):
        raise ValueError(f"the model has {len(many)} outputs, but the target needs {len(heads)}")
    for head, shape in zip(heads, many, strict=True):
        wanted = head.shape or (head.n_units,)
        if _fits(shape[1:], wanted) or (len(shape) == head.n_units == 1 and not head.shape):
            continue
        got = f"{shape[1]} units" if len(shape) == 2 else f"the shape {tuple(shape)}"
        if head.shape is not None:
            raise ValueError(
                f"the model's output has {got}, but X has rows of the shape {head.shape}, which it "
                "is to give back (use meta['X_shape_'][1:], or a Reshape of that)"
            )
        raise ValueError(
            f"the model's output has {got}, but a {head.target} target under {head.loss} needs "
            f"{head.n_units} (use meta['n_output_units_'] and meta['output_activation_'])"
        )


def _fits(shape: Sequence[int | None], wanted: Sequence[int]) -> bool:
    return len(shape) == len(wanted) and all(
        got in (None, size) for got, size in zip(shape, wanted, strict=True)
    )


def encode(y: Array, head: Head, classes: Any) -> Array:
    """Encode the columns of y that one head learns; `classes` are the labels of a column."""
    if head.encoding == "float":
        return numbers_of(y)
    members = _members(y, head) if head.target == "multilabel" else None
    codes = codes_of(column_of(y, 0), classes) if members is None else members.argmax(axis=1)
    if head.encoding == "integer":
        return codes.astype(np.int32)
    if members is None and head.n_units == 1:
        members = codes.reshape(-1, 1).astype(np.float32)
    elif members is None:
        members = one_hot(codes, head.n_units)
    return 2 * members - 1 if head.encoding == "sign" else members


def _members(y: Array, head: Head) -> NDArray[np.float32]:
    members = codes_of(y, np.array([0, 1])).astype(np.float32)
    if head.encoding in ("one_hot", "integer") and not (members.sum(axis=1) == 1).all():
        raise ValueError(
            f"{head.loss} needs exactly one 1 in each row of y; for several labels per row use "
            "`loss='binary_crossentropy'`"
        )
    return members


def codes_of(y: Array, classes: Array) -> NDArray[np.int32]:
    """Return the index of each label in `classes`, looked up once per different label."""
    labels, inverse = np.unique(y, return_inverse=True)
    table = {label: code for code, label in enumerate(classes.tolist())}
    unseen = [label for label in labels.tolist() if label not in table]
    if unseen:
        raise ValueError(
            f"y contains previously unseen labels: {short(unseen)} (`classes` are "
            f"{short(classes.tolist())}); a list of all labels goes in the parameter `classes`"
        )
    codes = np.array([table[label] for label in labels.tolist()], dtype=np.int32)
    return codes[inverse].reshape(y.shape)


def one_hot(codes: Array, n: int) -> NDArray[np.float32]:
    """Return a row of n zeros with a 1 at the code, for each code."""
    out = np.zeros((len(codes), n), dtype=np.float32)
    out[np.arange(len(codes)), codes] = 1
    return out


def column_of(y: Array, i: int) -> Array:
    """Return a column of y; one of a mixed y (strings beside numbers) in a dtype of its own."""
    if y.dtype != object:
        return y[:, i]
    labels = y[:, i].tolist()
    kinds = {isinstance(label, str): label for label in labels}
    if len(kinds) > 1:  # NumPy would make strings of all
        raise TypeError(
            f"A column of y holds labels of several kinds, {kinds[True]!r} and {kinds[False]!r}: "
            "they must be all strings or all numbers."
        )
    return np.asarray(labels)


def numbers_of(y: Array) -> Array:
    """Return a float32 copy of y."""
    if y.dtype.kind in "mM":
        raise ValueError(f"y holds dates or times ({y.dtype}), and a model learns numbers.")
    try:
        with np.errstate(over="raise"):
            return np.array(y, dtype=np.float32)
    except FloatingPointError as error:
        raise ValueError(
            # In scikit-learn's words, whose check sees y in its own precision.
            "Input y contains infinity or a value too large for dtype('float32')."
        ) from error
    except TypeError as error:
        raise ValueError(f"could not convert y to numbers: {error}") from error


def activated(
    outputs: Outputs, heads: Sequence[Head], logits: bool | Sequence[bool]
) -> list[tuple[Array, Head]]:
    """Check the outputs and pair them with their heads, as (n, units) arrays and not logits."""
    if isinstance(outputs, Mapping):  # as Keras flattens them, and pairs them with a list of y
        outputs = [outputs[name] for name in sorted(outputs)]
    arrays = [np.asarray(o) for o in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]
    check_units(heads, [a.shape for a in arrays])
    flags = [logits] * len(heads) if isinstance(logits, bool) else list(logits)
    floats = [_floats(a).reshape(-1, h.n_units) for a, h in zip(arrays, heads, strict=True)]
    return [
        (_link(a, h.activation) if flag else a, h)
        for a, h, flag in zip(floats, heads, flags, strict=True)
    ]


def _floats(out: Array) -> Array:
    """Float32 for the half floats of mixed precision, in which rows would not sum to 1."""
    return out if out.dtype in (np.float32, np.float64) else out.astype(np.float32)


def _link(out: Array, activation: str) -> Array:
    if activation == "softmax":
        return np.asarray(softmax(out, axis=1))
    return np.asarray(expit(out)) if activation == "sigmoid" else out


def probabilities(out: Array, head: Head) -> Array:
    """Turn one head's activated outputs into a column for each class."""
    if head.n_units == 1 and head.target == "binary":
        return np.hstack([1 - out, out])
    if (head.activation, head.encoding) != ("sigmoid", "one_hot"):
        return out
    totals = out.sum(axis=1, keepdims=True)  # one class against the rest: made to sum to 1
    even = np.full_like(out, 1 / head.n_units)
    return np.asarray(np.divide(out, totals, out=even, where=totals > 0))
