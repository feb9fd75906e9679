"""CrossValObjective: an estimator, a space and data as an objective that a study can optimize.

Owns the step from a trial to parameters and from parameters to a cross-validated score. Leaves
sampling, pruning and storing to Optuna.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from sklearn.base import clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing, indexable  # the only way to cut frames and arrays alike

from skcb import _runs
from skcb.scoring import last_step

__all__ = ["CrossValObjective"]

Space = Mapping[str, BaseDistribution] | Callable[[optuna.Trial], Mapping[str, Any]]
_ERROR_SCORES = ("fail", "prune", "raise")


class CrossValObjective:
    """The mean cross-validated score of an estimator, as an objective for a study.

    Parameters
    ----------
    estimator : estimator
        A KerasClassifier or KerasRegressor, or a Pipeline or other estimator around it. It is
        cloned for every fold and never fitted itself.
    space : dict of str to optuna.distributions.BaseDistribution, or function
        Distributions by parameter name; or a function ``trial -> dict`` for spaces in which one
        choice depends on another.
    X : array-like of shape (n_samples, ...)
        Data.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
    cv : int or splitter, default=5
        As in scikit-learn: an integer is stratified for a classifier. Splits are made once, so
        every trial sees the same folds.
    scoring : str, callable or None, default=None
        A scorer, greater is better; None takes the estimator's own ``score``.
    fit_params : dict, optional
        Passed to ``fit``; arrays with a row for each sample are cut like X.
    error_score : {"fail", "prune", "raise"} or float, default="fail"
        What a fit that raises makes of its trial: failed, pruned, the exception, or this score.
        The reason stands in the trial's user attribute ``error``.

    Raises
    ------
    ValueError
        An empty space, a name that the estimator does not have, X and y of different lengths.
    TypeError
        Something in the space that is no distribution.

    Examples
    --------
    >>> import keras, optuna
    >>> from optuna.distributions import FloatDistribution
    >>> from sklearn.datasets import load_iris
    >>> from skcb import KerasClassifier
    >>> from skcb.optuna import CrossValObjective
    >>> X, y = load_iris(return_X_y=True)
    >>> def softmax(meta):
    ...     return keras.Sequential([
    ...         keras.layers.Input((meta["n_features_in_"],)),
    ...         keras.layers.Dense(meta["n_output_units_"], meta["output_activation_"]),
    ...     ])
    >>> objective = CrossValObjective(
    ...     KerasClassifier(softmax, optimizer="adam", epochs=3, random_state=0),
    ...     {"optimizer__learning_rate": FloatDistribution(1e-3, 1e-1, log=True)}, X, y, cv=3)
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> study = optuna.create_study(direction="maximize")
    >>> study.optimize(objective, n_trials=2)
    >>> len(study.best_trial.user_attrs["fold_scores"])
    3
    """

    def __init__(
        self,
        estimator: Any,
        space: Space,
        X: Any,
        y: Any,
        *,
        cv: Any = 5,
        scoring: Any = None,
        fit_params: Mapping[str, Any] | None = None,
        error_score: Any = "fail",
    ) -> None:
        self.estimator = estimator
        self.space = space
        self.X, self.y = indexable(X, y)
        self.cv = cv
        self.scoring = scoring
        self.fit_params = dict(fit_params or {})
        self.error_score = _checked_error_score(error_score)
        if isinstance(space, Mapping):
            _check_space(space, estimator)
        self._scorer = check_scoring(estimator, scoring)
        splitter = check_cv(cv, y, classifier=is_classifier(estimator))
        self.splits = list(splitter.split(self.X, self.y, self.fit_params.get("groups")))

    def __call__(self, trial: Any) -> float:
        """Return the mean score over the folds, for parameters that the trial suggests.

        Parameters
        ----------
        trial : optuna.Trial
            Of ``study.optimize`` or of ``study.ask``. Its user attributes get ``fold_scores``,
            ``fold_epochs``, ``fold_best_epochs`` and ``seconds``.

        Returns
        -------
        float
        """
        params = self.suggest(trial)
        try:
            result = self._evaluate(params, f"trial-{trial.number}", trial.study.study_name)
        except optuna.TrialPruned:
            raise
        except Exception as error:
            trial.set_user_attr("error", f"{type(error).__name__}: {error}")
            return self._after_error(error)
        for name, value in result.items():
            trial.set_user_attr(name, value)
        return float(np.mean(result["fold_scores"]))

    def evaluate(self, params: Mapping[str, Any]) -> dict[str, list[float]]:
        """Score parameters without a trial.

        Parameters
        ----------
        params : mapping of str to object
            As for ``set_params``.

        Returns
        -------
        dict
            ``fold_scores``, ``fold_epochs``, ``fold_best_epochs`` and ``seconds``, a list each
            with an entry for every fold. Epochs are -1 where the estimator has none.
        """
        return self._evaluate(params, "evaluate", "params")

    def suggest(self, trial: Any) -> dict[str, Any]:
        """Return the parameters that a trial suggests from the space."""
        if isinstance(self.space, Mapping):
            return {name: _suggest(trial, name, dist) for name, dist in self.space.items()}
        return dict(self.space(trial))

    def refit(self, source: Any) -> Any:
        """Train on all rows with the best parameters.

        Parameters
        ----------
        source : optuna.Study, trial, or mapping of str to object
            A study gives its best trial.

        Returns
        -------
        estimator
            A fitted clone. Callbacks, watched rows and ``epochs`` are as in the folds.
        """
        if isinstance(source, Mapping):
            params = dict(source)
        else:
            trial = source.best_trial if isinstance(source, optuna.Study) else source
            params = self.suggest(optuna.trial.FixedTrial(trial.params))
        best = clone(self.estimator).set_params(**params)
        best.fit(self.X, self.y, **self.fit_params)
        return best

    def _evaluate(self, params: Mapping[str, Any], place: str, root: str) -> dict[str, list[float]]:
        result: dict[str, list[float]] = {
            name: [] for name in ("fold_scores", "fold_epochs", "fold_best_epochs", "seconds")
        }
        for fold, (train, test) in enumerate(self.splits):
            started = time.perf_counter()
            estimator = clone(self.estimator).set_params(**params)
            with _runs.announced(f"{_runs.slug(root)}/{place}/fold-{fold}"):
                estimator.fit(
                    _safe_indexing(self.X, train),
                    _safe_indexing(self.y, train),
                    **self._cut_fit_params(train),
                )
            score = self._scorer(
                estimator, _safe_indexing(self.X, test), _safe_indexing(self.y, test)
            )
            trained = last_step(estimator)
            result["fold_scores"].append(float(score))
            result["fold_epochs"].append(int(getattr(trained, "n_iter_", -1)))
            result["fold_best_epochs"].append(int(getattr(trained, "best_epoch_", -1)))
            result["seconds"].append(time.perf_counter() - started)
        return result

    def _cut_fit_params(self, rows: np.ndarray) -> dict[str, Any]:
        n = len(self.splits[0][0]) + len(self.splits[0][1])
        return {
            name: _safe_indexing(value, rows) if _is_per_row(value, n) else value
            for name, value in self.fit_params.items()
        }

    def _after_error(self, error: Exception) -> float:
        if self.error_score == "prune":
            raise optuna.TrialPruned(str(error)) from error
        if self.error_score == "raise":
            raise error
        # NaN is how an objective tells Optuna that a trial has failed while the study goes on.
        return float("nan") if self.error_score == "fail" else float(self.error_score)


def _suggest(trial: Any, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, optuna.distributions.FloatDistribution):
        return trial.suggest_float(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    if isinstance(distribution, optuna.distributions.IntDistribution):
        return trial.suggest_int(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    assert isinstance(distribution, optuna.distributions.CategoricalDistribution)
    return trial.suggest_categorical(name, distribution.choices)


def _check_space(space: Mapping[str, Any], estimator: Any) -> None:
    if not space:
        raise ValueError("`space` is empty: there is nothing to search.")
    for name, distribution in space.items():
        if not isinstance(distribution, BaseDistribution):
            raise TypeError(
                f"`space[{name!r}]` must be one of optuna.distributions but got {distribution!r}."
            )
        value = _any_value(distribution)
        try:
            clone(estimator).set_params(**{name: value})
        except ValueError as error:
            raise ValueError(f"`space` has {name!r}: {error}") from error


def _any_value(distribution: Any) -> Any:
    choices = getattr(distribution, "choices", None)
    return choices[0] if choices else distribution.low


def _checked_error_score(value: Any) -> Any:
    if value in _ERROR_SCORES or (isinstance(value, float | int) and not isinstance(value, bool)):
        return value
    raise ValueError(
        f"`error_score` must be 'fail', 'prune', 'raise' or a number but got {value!r}."
    )


def _is_per_row(value: Any, n: int) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str | dict) and len(value) == n
