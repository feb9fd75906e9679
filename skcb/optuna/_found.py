"""Found: what a search answers after its fit, by the estimator that it found.

Owns the methods and attributes that a search passes on, its tags and its score. Leaves finding to
``_search``.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import sklearn
from sklearn.base import BaseEstimator, MetaEstimatorMixin
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted


def _of_the_best(method: str) -> Callable[[Any], bool]:
    """Return the check that the estimator of a search has a method, for ``available_if``."""

    def check(search: Any) -> bool:
        _refuse_without_refit(search, method)
        getattr(getattr(search, "best_estimator_", search.estimator), method)
        return True

    return check


def _refuse_without_refit(search: Any, method: str) -> None:
    if not search.refit:
        raise AttributeError(
            f"`{method}` needs the refitted estimator, and this search has `refit=False`: set "
            "`refit=True`, or fit a clone of `estimator` with `best_params_`."
        )


class Found(MetaEstimatorMixin, BaseEstimator):
    """The half of a search that answers: everything is the best estimator's."""

    estimator: Any
    refit: Any
    best_estimator_: Any
    scorer_: Any

    def __sklearn_tags__(self) -> Any:
        tags, inner = super().__sklearn_tags__(), get_tags(self.estimator)
        tags.estimator_type = inner.estimator_type
        tags.classifier_tags = deepcopy(inner.classifier_tags)
        tags.regressor_tags = deepcopy(inner.regressor_tags)
        tags.input_tags = deepcopy(inner.input_tags)
        tags.target_tags = deepcopy(inner.target_tags)
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "cv_results_") and (not self.refit or hasattr(self, "best_estimator_"))

    def score(self, X: Any, y: Any = None, **params: Any) -> float:
        """Score the best estimator by the scorer that decided.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), optional
        **params : object
            For the scorer, by metadata routing.

        Returns
        -------
        float

        Raises
        ------
        AttributeError
            With ``refit=False`` there is no best estimator.
        """
        _refuse_without_refit(self, "score")
        check_is_fitted(self)
        if sklearn.get_config()["enable_metadata_routing"]:
            params = process_routing(self, "score", **params).scorer.score
        elif params:
            raise ValueError(
                f"`score` takes {sorted(params)} only with metadata routing: "
                "`sklearn.set_config(enable_metadata_routing=True)`."
            )
        scorer = self.scorer_
        if isinstance(scorer, dict):
            if not isinstance(self.refit, str):
                raise ValueError(
                    f"`score` needs one scorer, and `refit={self.refit!r}` names none of "
                    f"{sorted(scorer)}."
                )
            scorer = scorer[self.refit]
        score = scorer(self.best_estimator_, X, y, **params)
        return float(score[self.refit] if isinstance(score, dict) else score)

    def _ask_best(self, method: str, X: Any) -> Any:
        check_is_fitted(self)
        return getattr(self.best_estimator_, method)(X)

    @available_if(_of_the_best("predict"))
    def predict(self, X: Any) -> Any:
        """Predict with the best estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)

        Returns
        -------
        ndarray
        """
        return self._ask_best("predict", X)

    @available_if(_of_the_best("predict_proba"))
    def predict_proba(self, X: Any) -> Any:
        """Predict probabilities with the best estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)

        Returns
        -------
        ndarray
            A column for each of ``classes_``.
        """
        return self._ask_best("predict_proba", X)

    @available_if(_of_the_best("predict_log_proba"))
    def predict_log_proba(self, X: Any) -> Any:
        """Predict logarithms of probabilities with the best estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)

        Returns
        -------
        ndarray
        """
        return self._ask_best("predict_log_proba", X)

    @available_if(_of_the_best("decision_function"))
    def decision_function(self, X: Any) -> Any:
        """Call ``decision_function`` of the best estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)

        Returns
        -------
        ndarray
        """
        return self._ask_best("decision_function", X)

    @available_if(_of_the_best("score_samples"))
    def score_samples(self, X: Any) -> Any:
        """Call ``score_samples`` of the best estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)

        Returns
        -------
        ndarray
        """
        return self._ask_best("score_samples", X)

    @available_if(_of_the_best("transform"))
    def transform(self, X: Any) -> Any:
        """Transform with the best estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)

        Returns
        -------
        ndarray or DataFrame
        """
        return self._ask_best("transform", X)

    @available_if(_of_the_best("inverse_transform"))
    def inverse_transform(self, X: Any) -> Any:
        """Transform back with the best estimator.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)

        Returns
        -------
        ndarray or DataFrame
        """
        return self._ask_best("inverse_transform", X)

    @property
    def classes_(self) -> Any:
        """Classes of the best estimator."""
        return self._known("classes_")

    @property
    def n_features_in_(self) -> int:
        """Number of columns that the best estimator has seen."""
        return int(self._known("n_features_in_"))

    def _known(self, name: str) -> Any:
        # An AttributeError, for `hasattr` must say no before the fit.
        if not hasattr(self, "best_estimator_"):
            raise AttributeError(f"{type(self).__name__} has no `{name}` without a refit.")
        return getattr(self.best_estimator_, name)
