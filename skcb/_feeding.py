"""Feeding: a fit on a dataset or a generator in the place of arrays.

Owns what such a call may say, and what is learned of X and y from batches. Leaves the batches
themselves to ``engine.feed``, and the road of the fit to ``_base``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from skcb import _callbacks, _judged, _validation
from skcb._preparation import PreparationMixin
from skcb._routing import Routed
from skcb._targets import Target
from skcb.engine.feed import Feed, is_dataset, is_iterator
from skcb.schedules import Schedule


class Steps(NamedTuple):
    """Batches an epoch, and batches of an evaluation, where the call says so."""

    train: int | None = None
    watched: int | None = None


def steps_of(fit_params: dict[str, Any]) -> Steps:
    """Take the numbers of batches out of the arguments of a call."""
    given = (fit_params.pop(name, None) for name in ("steps_per_epoch", "validation_steps"))
    named = zip(("steps_per_epoch", "validation_steps"), given, strict=True)
    return Steps(*(None if n is None else _judged.integer(name, n, 1) for name, n in named))


def refuse_pieces(X: Any, y: Any) -> None:
    """Refuse the batches into which a search has cut a dataset; rows come with their y."""
    if y is not None or not isinstance(X, list) or not X:
        return
    if isinstance(X[0], tuple | list) and any(_is_array(part) for part in X[0]):
        raise ValueError(
            "X is a list of batches: a search has cut a dataset, which has no rows to cut. "
            "Search over arrays; `fit` and `predict` alone take a dataset."
        )


def _is_array(part: Any) -> bool:
    """Tell an array from a number, in a batch's inputs by name too."""
    parts = part.values() if isinstance(part, Mapping) else [part]
    return any(getattr(each, "ndim", 0) > 0 for each in parts)


class FeedingMixin(PreparationMixin):
    """From a dataset and parameters to the parts of a fit."""

    class_weight: Any = None
    classes: Any = None

    def _fed(
        self,
        X: Any,
        steps: Steps,
        routed: Routed,
        watched: tuple[Any, Any, Any, Any],
        others: Mapping[str, Any],
    ) -> tuple[Feed, Any]:
        """Check a call with a dataset, and return what trains and what is watched."""
        self._refuse_beside_a_dataset(routed, others)
        train = Feed(X, steps.train)
        self._refuse_endless(train, routed)
        self._learn_fed(train)
        X_val, y_val, weights, pair = watched
        for name, value in (("validation_data", pair), ("X_val", X_val)):
            if is_dataset(value):
                if is_iterator(value):
                    raise ValueError(
                        f"`{name}` is a generator, which can be read but once, and watched rows "
                        "are evaluated in each epoch: give arrays or a dataset."
                    )
                return train, Feed(value, steps.watched, name)
        brought = _validation.given(X_val, y_val, weights, pair)
        return train, None if brought is None else self._checked(*brought, reset=False)

    def _refuse_beside_a_dataset(self, routed: Routed, others: Mapping[str, Any]) -> None:
        for name, value in others.items():
            if value is not None:
                raise ValueError(
                    f"`{name}` is for arrays: X is a dataset, which makes batches of it."
                )
        for name in ("class_weight", "inputs"):
            if routed.named.get(name) is not None:
                raise ValueError(
                    f"`{name}={routed.named[name]!r}` is for arrays, and X is a dataset: let it "
                    + ("make (x, y, sample_weight)." if name == "class_weight" else "make dicts.")
                )
        if routed.named["validation_split"]:
            raise ValueError(
                f"`validation_split={routed.named['validation_split']!r}` cannot split a dataset: "
                "give `validation_data`."
            )
        given = _callbacks.named(routed.named["callbacks"])
        for name, callback in given.items():
            if _callbacks.backs_up(routed.callbacks.get(name, {}).get("", callback)):
                raise ValueError(
                    f"`callbacks__{name}` cannot tell whether another fit has the same data where "
                    "X is a dataset: give arrays, or leave it out."
                )

    def _refuse_endless(self, train: Feed, routed: Routed) -> None:
        """Refuse epochs that have no end, and more of them than a generator has."""
        epochs, first = _judged.epochs_of(routed)
        if train.n_batches is not None:
            return
        if not train.again and epochs - first > 1:
            raise ValueError(
                f"a generator is read once, and `epochs={epochs}`: give `steps_per_epoch` to "
                "`fit`, or a dataset that can be read again."
            )
        schedule = routed.named["lr_schedule"]
        if isinstance(schedule, Schedule) and schedule.by_batch():
            raise ValueError(
                f"`lr_schedule={schedule!r}` goes by the batch, and how many there are is not "
                "known: give `steps_per_epoch` to `fit`."
            )

    def _learn_fed(self, train: Feed) -> None:
        """Learn from batches what X and y are."""
        for name in ("n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)
        self._inputs = self._row_shape = None
        if getattr(train.x, "ndim", 0) > 1:
            self.n_features_in_ = train.x.shape[1]
        y = train.y
        if not isinstance(y, np.ndarray):
            raise ValueError("a dataset with several targets is not taken: stack them as columns.")
        if y.dtype.kind not in "biuf":
            raise ValueError(
                "the targets of a dataset go to the loss as they are, so they must be numbers, but "
                f"they are {y.dtype}. Number the labels, and name them by `classes`."
            )
        if is_classifier(self) and (y.ndim == 1 or y.shape[1:] == (1,)):
            labels = self._labels_fed(train)
            self._target = Target.learn(labels, classifier=True, classes=labels)
        else:
            self._target = Target.learn(y, classifier=is_classifier(self))
        if self._target.classes_ is not None:
            self.classes_, self.n_classes_ = self._target.classes_, self._target.n_classes_
        self.n_outputs_ = self._target.n_outputs_

    def _labels_fed(self, train: Feed) -> np.ndarray:
        """Return the label of each code that a dataset's targets may have."""
        if self.classes is not None:
            labels = np.asarray(self.classes)
            if list(labels) != list(np.unique(labels)):
                raise ValueError(
                    f"`classes={self.classes!r}` must be sorted where X is a dataset: its targets "
                    "are their places in the sorted classes."
                )
            return labels
        if not (train.again and train.finite):
            raise ValueError(
                "the labels of a generator, or of a dataset without an end, are not known before "
                "it is read: give them as `classes`."
            )
        codes = np.unique(np.concatenate([np.unique(y) for y in train.targets()]))
        if not np.array_equal(codes, np.arange(len(codes))):
            raise ValueError(
                "the targets of a dataset go to the loss as they are, so classes must be numbered "
                f"from 0 on without a gap, but they are {codes.tolist()}. Number them, or name "
                "those that are missing by `classes`."
            )
        return codes.astype(int)
