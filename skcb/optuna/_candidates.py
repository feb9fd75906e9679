"""Candidates: one trial of a search, cross-validated with several scorers.

Owns what a trial's folds are fitted with in scikit-learn's terms (callback contexts, precomputed
kernels, no targets), its scores by name and what is written into the trial. Leaves the folds' order
to ``_strategies``, the pruner to ``_reporting`` and the table to ``_cv_results``.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

import numpy as np
import optuna
from sklearn.utils.metaestimators import _safe_split  # cuts kernels on both sides, and y=None

from skcb import _runs
from skcb._clock import Deadline
from skcb._folds import Folds
from skcb.optuna import _failures, _space, _workers
from skcb.optuna._artifacts import Artifacts, Keep
from skcb.optuna._reporting import Reporter
from skcb.optuna._strategies import (
    NotInStep,
    NotWatched,
    Record,
    lockstep,
    may_watch,
    refuse_metadata,
    sequential,
)
from skcb.optuna._timeouts import until


class CannotPrune(Exception):
    """A pruner for what cannot be pruned: no trial of the search could go well."""


class Candidates(Folds):
    """The folds of a search, and its scores by name.

    Parameters
    ----------
    estimator, X, y, cv, fit_params
        As for Folds.
    scorers : callable
        Returns one score, or a dict of them.
    decisive : str or None
        The score that counts; None for the first.
    score_params : mapping of str to object
        Go to the scorers, cut like the rows.
    context : sklearn.callback.CallbackContext
        Of the search; every fit is a task below it.
    owner : estimator
        The search, as scikit-learn's callbacks see it.
    """

    def __init__(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        cv: Any,
        scorers: Callable[..., Any],
        decisive: str | None,
        fit_params: Mapping[str, Any],
        score_params: Mapping[str, Any],
        context: Any,
        owner: Any,
    ) -> None:
        _refuse_more_folds_than_rows(cv, y)
        super().__init__(estimator, X, y, cv=cv, scoring=scorers, fit_params=fit_params)
        self.routed.scorer.score = dict(score_params)
        self.decisive = decisive
        self.context = context
        self.place = _runs.identify(context)
        self._scorers = scorers
        self._owner = owner
        self._number = 0
        self.scores: dict[str, list[float]] = {}
        self.score_seconds: list[float] = []

    def of_trial(self, number: int) -> Self:
        """Return the same folds with a record of their own."""
        new = copy.copy(self)
        new._number, new.scores, new.score_seconds = number, {}, []
        return new

    def fit(self, estimator: Any, fold: int) -> Any:
        """Fit on the training rows of a fold, as a task of the search."""
        rows = self.splits[fold][0]
        X, y = _safe_split(estimator, self.X, self.y, rows)
        task = self.context.subcontext(
            task_name="candidate-split-evaluation", task_id=self._number * len(self) + fold
        )
        params = self._cut(self.routed.estimator.fit, rows)
        return self._fit_as(task, estimator, X, y, params)

    def refit(self, estimator: Any, context: Any) -> Any:
        """Fit on all rows, as a task of the search."""
        task = context.subcontext(task_name="refit-with-best-params")
        return self._fit_as(task, estimator, self.X, self.y, self.routed.estimator.fit)

    def _fit_as(self, task: Any, estimator: Any, X: Any, y: Any, params: Mapping[str, Any]) -> Any:
        told = {"estimator": self._owner, "X": X, "y": y, "metadata": weights_of(params)}
        with task.propagate_callback_context(estimator):
            task.call_on_fit_task_begin(**told)
            try:
                return estimator.fit(X, **params) if y is None else estimator.fit(X, y, **params)
            finally:
                task.call_on_fit_task_end(**told)

    def score(self, estimator: Any, fold: int) -> float:
        """Score by every scorer on the test rows of a fold, and return the score that counts."""
        train, rows = self.splits[fold]
        X, y = _safe_split(estimator, self.X, self.y, rows, train)
        start = time.perf_counter()
        params = self._cut(self.routed.scorer.score, rows)
        targets = () if y is None else (y,)
        scores = _by_name(self._scorers(estimator, X, *targets, **params))
        self.score_seconds.append(time.perf_counter() - start)
        for name, score in scores.items():
            self.scores.setdefault(name, []).append(score)
        return scores[self._chosen(scores)]

    def scorer_for(self, estimator: Any) -> Callable[..., Any]:
        """Return the scorers, which take a step of the estimator too."""
        return self._scorers

    def counted(self, scored: Any) -> float:
        """Return, of what the scorers have returned, the score that counts."""
        scores = _by_name(scored)
        return scores[self._chosen(scores)]

    def may_watch(self, chosen: Iterable[str]) -> bool:
        """Tell whether a trial that sets these parameters could have watched rows."""
        return may_watch(self._prototype, self.routed.estimator.fit, chosen)

    def _chosen(self, scores: Mapping[str, float]) -> str:
        return next((name for name in scores if name == self.decisive), next(iter(scores)))


def _refuse_more_folds_than_rows(splitter: Any, y: Any) -> None:
    n_splits, shape = getattr(splitter, "n_splits", 0), np.asarray(y).shape
    if shape and shape[0] < n_splits:
        raise ValueError(f"`cv` has n_splits={n_splits}, and there are only n_samples={shape[0]}.")


def _by_name(scores: Any) -> dict[str, float]:
    """Return scores by name, of one scorer or of several."""
    if not isinstance(scores, Mapping):
        scores = {"score": scores}
    return {str(name): float(score) for name, score in scores.items()}


def weights_of(params: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what scikit-learn's searches tell callbacks of a fit's parameters."""
    weights = params.get("sample_weight")
    return None if weights is None else {"sample_weight": weights}


class Objective:
    """The mean score over the folds of a trial.

    Parameters
    ----------
    candidates : Candidates
    space : dict or function
    reports : {"epochs", "folds", None}
        After what the pruner is asked.
    error_score : str or float
    artifacts : Artifacts
    deadline : Deadline or None
        After which no epoch of a trial begins.

    Attributes
    ----------
    first_error : Exception or None
        What the first trial that failed has raised.
    answers : Answers
        What was set in the trials.
    """

    def __init__(
        self,
        candidates: Candidates,
        space: Any,
        reports: str | None,
        error_score: Any,
        artifacts: Artifacts,
        deadline: Deadline | None,
    ) -> None:
        self._candidates = candidates
        self._space = space
        if reports == "epochs":
            refuse_metadata(candidates, instead="give `pruner=None`, or a WilcoxonPruner")
        self._reports = reports
        self._error_score = error_score
        self._artifacts = artifacts
        self._deadline = deadline
        self.first_error: Exception | None = None
        self.answers = _space.Answers()
        self._has_begun = False

    def __call__(self, trial: optuna.Trial) -> float:
        """Return the mean score, and write into the trial what its row in the table needs."""
        with self._artifacts.of(trial) as keep, until(self._deadline, trial):
            return self._value(trial, keep)

    def _value(self, trial: optuna.Trial, keep: Keep | None) -> float:
        folds, record = self._candidates.of_trial(trial.number), Record()
        _failures.forget(trial)
        with folds.settings():
            params = self._suggested(trial)
        try:
            with folds.settings():
                self._train(folds, params, record, trial, keep)
        except (optuna.TrialPruned, CannotPrune):
            raise
        except Exception as error:
            self.first_error = self.first_error or error
            trial.set_user_attr("error", _failures.reason(error))
            return _failures.outcome(error, self._error_score)
        finally:
            for name, values in record.known().items():
                trial.set_user_attr(name, values)
            trial.set_user_attr("scores", folds.scores)
            trial.set_user_attr("score_seconds", folds.score_seconds)
        return float(np.mean(record.fold_scores))

    def _suggested(self, trial: optuna.Trial) -> dict[str, Any]:
        """Return the trial's parameters; what the sampler or the space raises ends the search.

        It is no candidate's failure, and would be that of every other one, too.
        """
        try:
            params = self.answers.first(self._space, trial)
        except optuna.TrialPruned:
            raise
        except Exception as error:
            trial.set_user_attr("error", _failures.reason(error))
            raise
        if not self._has_begun:
            self._has_begun = True
            _workers.warn_of_repetition(trial)
        return params

    def _train(
        self,
        folds: Candidates,
        params: Mapping[str, Any],
        record: Record,
        trial: optuna.Trial,
        keep: Keep | None,
    ) -> None:
        place = f"{folds.place}/trial-{trial.number}"
        reporter = Reporter(trial, 1.0)
        if self._reports != "epochs":
            report = reporter.after_fold if self._reports else None
            sequential(folds, params, record, place=place, report=report, keep=keep)
            return
        try:
            lockstep(folds, params, record, place=place, report=reporter.after_epochs, keep=keep)
        except NotInStep as error:
            raise CannotPrune(error.__cause__ or error) from error
        except NotWatched as error:
            why = (
                "there are no watched rows to judge by: give the estimator "
                "`validation_split=0.2`, or `X_val` and `y_val` to `fit`"
            )
            if folds.may_watch(self._space if isinstance(self._space, Mapping) else params):
                raise NotWatched(f"{why}.") from error
            raise CannotPrune(why) from error
