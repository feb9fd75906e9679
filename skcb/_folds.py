"""Folds: an estimator's cross-validation, its splits made once.

Owns which rows, and what of the fit parameters goes with them, reach the fit and the score of each
fold. Leaves the order in which folds are trained to others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import sklearn
from sklearn.base import clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import StratifiedKFold, check_cv
from sklearn.utils import Bunch, _safe_indexing, indexable  # the way to cut frames and arrays alike
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    get_routing_for_object,
    process_routing,
)
from sklearn.utils.validation import has_fit_parameter

from skcb import _inside
from skcb._names import suggestion
from skcb.engine.feed import refuse_dataset

WATCHED = ("X_val", "y_val", "sample_weight_val", "validation_data")
"""Watched rows of the user's own: the same for every fold, however many they are."""


class Folds:
    """What each fold of a cross-validation is fitted and scored on.

    Parameters
    ----------
    estimator : estimator
        Cloned; the one given stays as it is.
    X, y : array-like
        All rows.
    cv : int, splitter or iterable
        As in scikit-learn.
    scoring : str, callable or None
        One scorer.
    fit_params : mapping of str to object
        What has an entry for each row is cut like the rows. With metadata routing it reaches
        estimator, splitter and scorer as they request it, as in ``cross_validate``; without, it
        goes to ``fit``, and ``groups`` to the splitter.

    Raises
    ------
    ValueError
        A dataset, X and y of different lengths, no folds, or too many for a class.
    """

    def __init__(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        cv: Any = 5,
        scoring: Any = None,
        fit_params: Mapping[str, Any] | None = None,
    ) -> None:
        refuse_dataset(X, "a cross-validation")
        self.X, self.y = indexable(X, y)
        self.scoring = scoring
        self._prototype = clone(estimator)
        self._fit_params = dict(fit_params or {})
        # Both are a thread's own, and a study with `n_jobs` has threads of its own.
        self._config = sklearn.get_config()
        self._scorer = _one_scorer(estimator, scoring)
        splitter = check_cv(cv, y, classifier=is_classifier(estimator))
        _refuse_rare_classes(splitter, y)
        self.routed = _routed(estimator, splitter, self._scorer, dict(self._fit_params))
        self.splits = list(splitter.split(self.X, self.y, **self.routed.splitter.split))
        if not self.splits:
            raise ValueError(
                "`cv` gives no folds: a list of splits must not be empty, nor a generator of them "
                "used up."
            )

    def __len__(self) -> int:
        return len(self.splits)

    def settings(self) -> AbstractContextManager[None]:
        """Put scikit-learn's settings in force as they were when the folds were made."""
        context: AbstractContextManager[None] = sklearn.config_context(**self._config)
        return context

    def candidate(self, params: Mapping[str, Any]) -> Any:
        """Return an unfitted estimator with other parameters, which it shares with no other.

        Raises
        ------
        ValueError
            A name that reaches nothing.
        """
        own = {name: clone(value, safe=False) for name, value in params.items()}
        estimator = clone(self._prototype)
        try:
            return estimator.set_params(**own)
        except ValueError as error:
            raise _with_hint(error, own, estimator) from error

    def fit(self, estimator: Any, fold: int) -> Any:
        """Fit on the training rows of a fold."""
        rows = self.splits[fold][0]
        return estimator.fit(*self._rows(rows), **self._cut(self.routed.estimator.fit, rows))

    def fit_all(self, estimator: Any, *, watched: bool = True) -> Any:
        """Fit on all rows; without ``watched``, the user's own watched rows are left out."""
        params = self.routed.estimator.fit
        if not watched:
            params = {name: v for name, v in params.items() if not is_watched(name)}
        return estimator.fit(self.X, self.y, **params)

    def score(self, estimator: Any, fold: int) -> float:
        """Score a fitted estimator on the test rows of a fold; greater is better."""
        rows = self.splits[fold][1]
        params = self._cut(self.routed.scorer.score, rows)
        return float(self._scorer(estimator, *self._rows(rows), **params))

    def scorer_for(self, estimator: Any) -> Callable[..., Any]:
        """Return the scorer for another estimator, such as a step of this one."""
        scorer: Callable[..., Any] = check_scoring(estimator, self.scoring)
        return scorer

    def counted(self, scored: Any) -> float:
        """Return, of what such a scorer has returned, the score that counts."""
        return float(scored)

    @property
    def scores_are_weighted(self) -> bool:
        """Whether the scorer asks for the rows' weights."""
        return "sample_weight" in self.routed.scorer.score

    @property
    def known_by_test_rows_alone(self) -> list[str]:
        """Names of metadata that the scorer asks for, and that no watched row has.

        These have the weights that the Keras step is fitted with, or what the user brings with
        them, and nothing else.
        """
        score = self.routed.scorer.score
        asked = [name for name, value in score.items() if value is not None]
        brought = any(map(is_watched, self.routed.estimator.fit))
        if brought or self._weigh_steps(score.get("sample_weight")):
            asked = [name for name in asked if name != "sample_weight"]
        return asked

    def _weigh_steps(self, weights: Any) -> bool:
        """Tell whether these weights get as far as the Keras steps."""
        names = {name for name, value in self._fit_params.items() if value is weights}
        if not self._config["enable_metadata_routing"]:
            return "sample_weight" in names
        routers = map(get_routing_for_object, _inside.described(self._prototype).values())
        return all(router.consumes("fit", names) for router in routers)

    def is_loss(self) -> bool:
        """Tell whether the score is a loss with its sign changed, such as ``"neg_log_loss"``."""
        # `make_scorer` keeps `greater_is_better` in this name alone; test_folds.py notices if it
        # goes.
        return bool(getattr(self._scorer, "_sign", 1) < 0)

    def _rows(self, rows: np.ndarray) -> tuple[Any, Any]:
        return _safe_indexing(self.X, rows), _safe_indexing(self.y, rows)

    def _cut(self, params: Mapping[str, Any], rows: np.ndarray) -> dict[str, Any]:
        """Return what belongs to some rows of what has an entry for each."""
        n = _n_rows(self.X)
        return {
            name: _safe_indexing(value, rows) if _is_per_row(name, value, n) else value
            for name, value in params.items()
        }


def is_watched(name: str) -> bool:
    """Tell whether a fit parameter, under whatever prefix, brings watched rows."""
    return name.rpartition("__")[2] in WATCHED


def _one_scorer(estimator: Any, scoring: Any) -> Any:
    if isinstance(scoring, Mapping | list | tuple | set):
        raise ValueError(f"`scoring` must be one scorer but got {scoring!r}.")
    return check_scoring(estimator, scoring)


def _refuse_rare_classes(splitter: Any, y: Any) -> None:
    """Refuse more folds than a class has rows: one of them would be scored without that class."""
    if not isinstance(splitter, StratifiedKFold):
        return
    labels, counts = np.unique(np.asarray(y), return_counts=True)
    least = int(np.argmin(counts))
    if counts[least] < splitter.n_splits:
        raise ValueError(
            f"`cv` has n_splits={splitter.n_splits}, and class {labels.tolist()[least]!r} has "
            f"{counts[least]} rows only: give `cv={max(counts[least], 2)}` or fewer folds, or a "
            "KFold, which leaves the shares of classes to chance."
        )


def _routed(estimator: Any, splitter: Any, scorer: Any, params: dict[str, Any]) -> Bunch:
    """Say what of the fit parameters reaches estimator, splitter and scorer."""
    if sklearn.get_config()["enable_metadata_routing"]:
        to_split = MethodMapping().add(caller="fit", callee="split")
        to_fit = MethodMapping().add(caller="fit", callee="fit")
        to_score = MethodMapping().add(caller="fit", callee="score")
        router = (
            MetadataRouter(owner="CrossValObjective")
            .add(splitter=splitter, method_mapping=to_split)
            .add(estimator=estimator, method_mapping=to_fit)
            .add(scorer=scorer, method_mapping=to_score)
        )
        routed = process_routing(router, "fit", **params)
        return Bunch(
            splitter=Bunch(split=routed.splitter.split),
            estimator=Bunch(fit=routed.estimator.fit),
            scorer=Bunch(score=routed.scorer.score),
        )
    groups = params.get("groups")
    if not has_fit_parameter(estimator, "groups"):
        params.pop("groups", None)
    return Bunch(
        splitter=Bunch(split={"groups": groups}),
        estimator=Bunch(fit=params),
        scorer=Bunch(score={}),
    )


def _with_hint(error: ValueError, params: Mapping[str, Any], estimator: Any) -> ValueError:
    """Add the nearest legal name where scikit-learn's message about a wrong one has none."""
    text = str(error)
    wrong = [name for name in params if repr(name.partition("__")[0]) in text]
    if "Did you mean" in text or not wrong:
        return error
    known = {name.partition("__")[0] for name in estimator.get_params(deep=True)}
    return ValueError(f"{text} {suggestion(wrong[0].partition('__')[0], known)}")


def _is_per_row(name: str, value: Any, n: int) -> bool:
    if is_watched(name) or isinstance(value, str | Mapping):
        return False
    return (hasattr(value, "shape") or hasattr(value, "__len__")) and _n_rows(value) == n


def _n_rows(value: Any) -> int:
    shape = getattr(value, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) else 0
    return len(value)
