"""The target: y, what the loss wants of it, and back to y in the user's own labels.

Owns what is known of y (its kind, labels and columns), its encoding for the heads of a model, and
the way from outputs to labels and probabilities. Leaves a single head to ``_heads``, lengths, NaN
and infinity to scikit-learn's checks in ``_base``, and the choice of rows to ``_validation``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from reprlib import repr as short
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from skcb import _heads
from skcb._heads import DEFAULT_LOSS, Array, Head, Outputs


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
        if _heads.numbers_of(y).ndim not in (1, 2):
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
        known = [_classes(_heads.column_of(y, i), given[i]) for i in range(m)]
        if all(set(labels.tolist()) <= {0, 1} for labels in known):
            # A frame of nullable booleans is an array of objects, which nothing can score.
            dtype = np.asarray(y.tolist()).dtype if y.dtype == object else y.dtype
            return cls("multilabel-indicator", np.arange(m), m, m, 2, dtype)
        for labels in known:
            _check_two(labels)
        return cls("multiclass-multioutput", known, [len(c) for c in known], m, 2, y.dtype)

    def refuse_other(self, classes: Any) -> None:
        """Raise a ValueError for other `classes` than those that are known, in any order.

        As in `learn`, a column's None says nothing of it.
        """
        if self.classes_ is None:
            return
        if self.type_ == "multilabel-indicator":
            known: list[Any] = [[0, 1]] * self.n_outputs_
        else:
            known = [self._labels(i).tolist() for i in range(len(self._kinds()))]
        given = list(classes) if self.ndim == 2 else [classes]
        same = len(given) == len(known) and all(
            each is None or set(np.ravel(each).tolist()) == set(labels)
            for each, labels in zip(given, known, strict=True)
        )
        if not same:
            # In scikit-learn's words.
            raise ValueError(
                f"`classes={classes!r:.80}` is not the same as on last call to partial_fit, was: "
                f"{short(known if self.ndim == 2 else known[0])}"
            )

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
        return [
            _heads.head_for(kind, each, size)
            for (kind, size), each in zip(kinds, losses, strict=True)
        ]

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
            return _heads.encode(y, heads[0], self.classes_)
        return [_heads.encode(y[:, [i]], h, self._labels(i)) for i, h in enumerate(heads)]

    def _labels(self, i: int) -> Any:
        return self.classes_[i] if isinstance(self.classes_, list) else self.classes_

    def compared(self, y: Any) -> Any:
        """Return y as scores compare it: dense, and an indicator as it is predicted."""
        if self.type_ == "multilabel-indicator":
            return _array(y).astype(self.dtype)
        return y.toarray() if issparse(y) else y

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
            for i, (out, head) in enumerate(_heads.activated(outputs, heads, logits))
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
        _refuse_nan(out)
        if head.target == "binary" and head.n_units == 1:
            return np.asarray(labels[(out[:, 0] > threshold).astype(int)])
        if head.encoding == "indicator" or (head.target, head.encoding) == ("multilabel", "sign"):
            return (out > threshold).astype(self.dtype)
        codes = out.argmax(axis=1)
        if head.target == "multilabel":
            return _heads.one_hot(codes, head.n_units).astype(self.dtype)
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
        each = []
        for out, head in _heads.activated(outputs, heads, logits):
            _refuse_nan(out)
            each.append(_heads.probabilities(out, head))
        return each[0] if len(each) == 1 else each


def _refuse_nan(out: Array) -> None:
    """Refuse outputs that are NaN: compared with a threshold, they would be the first class."""
    lost = int(np.isnan(out).any(axis=tuple(range(1, out.ndim))).sum())
    if lost:
        raise ValueError(
            f"the model puts out NaN for {lost} of {len(out)} rows, which have no class then: "
            "under `allow_nan=True` it must replace the missing values of X itself."
        )


def _array(y: Any) -> Array:
    return np.asarray(y.toarray() if issparse(y) else y)


def _classes(y: Array, given: Any) -> Array:
    check_classification_targets(y)
    if given is None:
        return np.unique(y)
    classes = np.unique(np.asarray(given, dtype=object if y.dtype == object else None))
    _heads.codes_of(y, classes)
    return classes


def _check_two(classes: Array) -> None:
    if len(classes) < 2:
        raise ValueError(
            "KerasClassifier needs samples of at least 2 classes in the data, but the data (or a "
            f"column of y) contains only one class: {short(classes.tolist()[0])}"
        )


def _kind(classes: Array) -> str:
    return "binary" if len(classes) == 2 else "multiclass"
