"""The target: y, what the loss wants of it, and back to y in the user's own labels.

Owns the names of losses, the table of what a model's output must look like under each of them
(``HEADS``), the encoding of y, and the way from outputs to labels and probabilities. Leaves
lengths, NaN and infinity to scikit-learn's checks in ``_base``, the choice of rows to
``_validation``, and everything that needs Keras (compiling, finding logits) to ``_build``: losses
are known here by their names alone.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from reprlib import repr as short
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from scipy.special import expit, softmax
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

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
_SPARSE = ("sparse_categorical_crossentropy",)
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

_KNOWN_LOSSES = {name for row in HEADS for name in row.losses}


def loss_name(loss: Any) -> str | None:
    """Canonical snake_case name of a loss, in whatever form the user gave it.

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
    return next((name for name in names if name in _KNOWN_LOSSES), names[0])


def _canonical(name: str) -> str:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    return _ALIASES.get(snake, snake)


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
    """

    loss: str | None
    n_units: int
    activation: str
    encoding: str
    target: str

    @property
    def has_probabilities(self) -> bool:
        """Whether the outputs can be read as probabilities of classes."""
        return self.target != "continuous" and self.activation in ("sigmoid", "softmax")


def _head(target: str, loss: Any, size: int) -> Head:
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
        if tuple(shape[1:]) in ((head.n_units,), (None,)) or (len(shape) == head.n_units == 1):
            continue
        got = f"{shape[1]} units" if len(shape) == 2 else f"the shape {tuple(shape)}"
        raise ValueError(
            f"the model's output has {got}, but a {head.target} target under {head.loss} needs "
            f"{head.n_units} (use meta['n_output_units_'] and meta['output_activation_'])"
        )


@dataclass(frozen=True, eq=False)
class Target:
    """What is known of y: encodes any later y, and decodes what a model puts out.

    Attributes
    ----------
    type_ : str
        In scikit-learn's words. By `classes_`, not by the values that one fold happens to have; a
        regressor's is "continuous" or "continuous-multioutput" whatever its y.
    classes_ : ndarray, list of ndarray (several heads) or None (regressor)
        Sorted; the numbers of the columns for a multilabel target.
    n_classes_ : int, list of int or None
    n_outputs_ : int
        Columns of y.
    ndim, dtype
        Of the y it was learned from.
    """

    type_: str
    classes_: Any
    n_classes_: int | list[int] | None
    n_outputs_: int
    ndim: int
    dtype: np.dtype[Any]

    @classmethod
    def learn(cls, y: ArrayLike, *, classifier: bool, classes: Any = None) -> "Target":
        """Learn a target from the y of training.

        Parameters
        ----------
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Not changed.
        classifier : bool
        classes : array-like or list of array-like, default=None
            All labels that there are, where y may lack some; one list per column of a 2-D y.
        """
        y = _array(y)
        if classifier:
            wide = y.ndim == 2 and y.shape[1] > 1
            return cls._learn_columns(y, classes) if wide else cls._learn_labels(y, classes)
        if _numbers(y).ndim not in (1, 2):
            raise ValueError(f"y must be 1-D or 2-D but got an array of shape {y.shape}")
        m = 1 if y.ndim == 1 else y.shape[1]
        type_ = "continuous" if m == 1 else "continuous-multioutput"
        return cls(type_, None, None, m, y.ndim, y.dtype)

    @classmethod
    def _learn_labels(cls, y: Array, classes: Any) -> "Target":
        y = column_or_1d(y, warn=True)
        known = _classes(y, classes)
        _check_two(known)
        return cls(_kind(known), known, len(known), 1, 1, y.dtype)

    @classmethod
    def _learn_columns(cls, y: Array, classes: Any) -> "Target":
        m = y.shape[1]
        given: list[Any] = [None] * m if classes is None else list(classes)
        if len(given) != m or any(c is not None and np.ndim(c) != 1 for c in given):
            raise ValueError(f"`classes` must hold one list per column of y ({m}) but got {given}")
        known = [_classes(_column(y, i), given[i]) for i in range(m)]
        if all(set(labels.tolist()) <= {0, 1} for labels in known):
            return cls("multilabel-indicator", np.arange(m), m, m, 2, y.dtype)
        for labels in known:
            _check_two(labels)
        return cls("multiclass-multioutput", known, [len(c) for c in known], m, 2, y.dtype)

    def default_loss(self) -> str | list[str]:
        """Loss that follows from the target alone; a list where it takes several heads."""
        losses = [DEFAULT_LOSS[kind] for kind, _ in self._kinds()]
        return losses[0] if len(losses) == 1 else losses

    def heads(self, loss: Any = None) -> list[Head]:
        """Heads that the model must have under a loss.

        Parameters
        ----------
        loss : whatever `loss_name` takes, or a list or dict of them, default=None
            One for all heads, or one per head in the order of y's columns. None: `default_loss`.
        """
        if isinstance(loss, Mapping):
            loss = list(loss.values())
        kinds = self._kinds()
        losses = list(loss) if isinstance(loss, (list, tuple)) else [loss] * len(kinds)
        if self.classes_ is None and len(losses) == self.n_outputs_ > 1:
            kinds = [("continuous", 1)] * self.n_outputs_
        if len(losses) != len(kinds):
            raise ValueError(
                f"`loss` has {len(losses)} entries, but a {self.type_} target with "
                f"{self.n_outputs_} columns takes one for all or {len(kinds)}"
            )
        return [_head(kind, each, size) for (kind, size), each in zip(kinds, losses, strict=True)]

    def _kinds(self) -> list[tuple[str, int]]:
        """Kind of target and size (classes or columns) of each head."""
        if self.classes_ is None:
            return [("continuous", self.n_outputs_)]
        if self.type_ == "multilabel-indicator":
            return [("multilabel", self.n_outputs_)]
        known = self.classes_ if isinstance(self.classes_, list) else [self.classes_]
        return [(_kind(labels), len(labels)) for labels in known]

    def meta(self, heads: Sequence[Head]) -> dict[str, Any]:
        """Tell a build function what is known of y; lists where there are several heads."""
        units, activations = [h.n_units for h in heads], [h.activation for h in heads]
        one = len(heads) == 1
        return {
            "target_type_": self.type_,
            "classes_": self.classes_,
            "n_classes_": self.n_classes_,
            "n_outputs_": self.n_outputs_,
            "n_output_units_": units[0] if one else units,
            "output_activation_": activations[0] if one else activations,
        }

    def encode(self, y: ArrayLike, heads: Sequence[Head]) -> Array | list[Array]:
        """Encode y as the losses want it.

        Returns
        -------
        encoded : ndarray, or list of ndarray for several heads
            Shape and dtype as `Head.encoding` says; never y itself.
        """
        y = _array(y)
        y = y.reshape(-1, 1) if y.ndim == 1 else y
        if y.ndim != 2 or y.shape[1] != self.n_outputs_:
            raise ValueError(f"y has the shape {y.shape}, but {self.n_outputs_} columns are known")
        if len(heads) == 1:
            return _encode(y, heads[0], self.classes_)
        return [_encode(y[:, [i]], h, self._labels(i)) for i, h in enumerate(heads)]

    def _labels(self, i: int) -> Any:
        return self.classes_[i] if isinstance(self.classes_, list) else self.classes_

    def predictions(
        self, outputs: Outputs, heads: Sequence[Head], logits: bool | Sequence[bool] = False
    ) -> Array:
        """Turn what the model puts out into labels, or values, of the learned y's dimensions.

        Parameters
        ----------
        outputs : ndarray, or list or dict of ndarray for several heads
        heads : list of Head
        logits : bool or list of bool, default=False
            Whether the outputs still lack the sigmoid or softmax of their head.
        """
        decoded = [
            self._decode(out, head, self._labels(i))
            for i, (out, head) in enumerate(_activated(outputs, heads, logits))
        ]
        if len(decoded) == 1:
            return decoded[0]
        if self.dtype == object:
            decoded = [column.astype(object) for column in decoded]
        return np.column_stack(decoded)

    def _decode(self, out: Array, head: Head, labels: Any) -> Array:
        threshold = 0.0 if head.encoding == "sign" else 0.5
        if head.target == "continuous":
            return out[:, 0] if self.ndim == 1 else out
        if head.target == "binary" and head.n_units == 1:
            return np.asarray(labels[(out[:, 0] > threshold).astype(int)])
        if head.encoding == "indicator" or (head.target, head.encoding) == ("multilabel", "sign"):
            return (out > threshold).astype(self.dtype)
        codes = out.argmax(axis=1)
        if head.target == "multilabel":
            return _one_hot(codes, head.n_units).astype(self.dtype)
        return np.asarray(labels[codes])

    def probabilities(
        self, outputs: Outputs, heads: Sequence[Head], logits: bool | Sequence[bool] = False
    ) -> Array | list[Array]:
        """Turn outputs, as in `predictions`, into probabilities with columns as in `classes_`."""
        for head in heads:
            if not head.has_probabilities:
                raise ValueError(
                    f"a {head.target} target under {head.loss} gives no probabilities; use "
                    "`predict`, or a cross-entropy as `loss`"
                )
        each = [_probabilities(out, head) for out, head in _activated(outputs, heads, logits)]
        return each[0] if len(each) == 1 else each


def _array(y: Any) -> Array:
    return np.asarray(y.toarray() if issparse(y) else y)


def _numbers(y: Array) -> Array:
    try:
        return np.array(y, dtype=np.float32)
    except TypeError as error:
        raise ValueError(f"could not convert y to numbers: {error}") from error


def _column(y: Array, i: int) -> Array:
    """Column of a y; one of a mixed y (strings beside numbers) gets back the dtype of its own."""
    return np.asarray(y[:, i].tolist()) if y.dtype == object else y[:, i]


def _classes(y: Array, given: Any) -> Array:
    check_classification_targets(y)
    if given is None:
        return np.unique(y)
    classes = np.unique(np.asarray(given, dtype=object if y.dtype == object else None))
    _codes(y, classes)
    return classes


def _check_two(classes: Array) -> None:
    if len(classes) < 2:
        raise ValueError(
            "KerasClassifier needs samples of at least 2 classes in the data, but the data (or a "
            f"column of y) contains only one class: {short(classes.tolist()[0])}"
        )


def _kind(classes: Array) -> str:
    return "binary" if len(classes) == 2 else "multiclass"


def _codes(y: Array, classes: Array) -> NDArray[np.int32]:
    """Index of each label in `classes`, looked up once per different label."""
    labels, inverse = np.unique(y, return_inverse=True)
    table = {label: code for code, label in enumerate(classes.tolist())}
    unseen = [label for label in labels.tolist() if label not in table]
    if unseen:
        raise ValueError(
            f"y contains previously unseen labels: {short(unseen)} (`classes` are "
            f"{short(classes.tolist())})"
        )
    codes = np.array([table[label] for label in labels.tolist()], dtype=np.int32)
    return codes[inverse].reshape(y.shape)


def _one_hot(codes: Array, n: int) -> NDArray[np.float32]:
    out = np.zeros((len(codes), n), dtype=np.float32)
    out[np.arange(len(codes)), codes] = 1
    return out


def _encode(y: Array, head: Head, classes: Any) -> Array:
    if head.encoding == "float":
        return _numbers(y)
    members = _members(y, head) if head.target == "multilabel" else None
    codes = _codes(_column(y, 0), classes) if members is None else members.argmax(axis=1)
    if head.encoding == "integer":
        return codes.astype(np.int32)
    if members is None and head.n_units == 1:
        members = codes.reshape(-1, 1).astype(np.float32)
    elif members is None:
        members = _one_hot(codes, head.n_units)
    return 2 * members - 1 if head.encoding == "sign" else members


def _members(y: Array, head: Head) -> NDArray[np.float32]:
    members = _codes(y, np.array([0, 1])).astype(np.float32)
    if head.encoding in ("one_hot", "integer") and not (members.sum(axis=1) == 1).all():
        raise ValueError(
            f"{head.loss} needs exactly one 1 in each row of y; for several labels per row use "
            "`loss='binary_crossentropy'`"
        )
    return members


def _activated(
    outputs: Outputs, heads: Sequence[Head], logits: bool | Sequence[bool]
) -> list[tuple[Array, Head]]:
    """Check the outputs and pair them with their heads, as (n, units) arrays and not logits."""
    if isinstance(outputs, Mapping):
        outputs = list(outputs.values())
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


def _probabilities(out: Array, head: Head) -> Array:
    if head.n_units == 1 and head.target == "binary":
        return np.hstack([1 - out, out])
    if (head.activation, head.encoding) != ("sigmoid", "one_hot"):
        return out
    totals = out.sum(axis=1, keepdims=True)  # one class against the rest: made to sum to 1
    even = np.full_like(out, 1 / head.n_units)
    return np.asarray(np.divide(out, totals, out=even, where=totals > 0))
