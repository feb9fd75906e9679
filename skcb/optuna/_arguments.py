"""Arguments: what OptunaSearchCV's parameters may be, judged before the first trial.

Leaves the space, scorers, failures and artifacts to their own modules.
"""

from __future__ import annotations

import numbers
from typing import Any

import optuna
from sklearn.utils import check_random_state

from skcb.optuna import _artifacts, _failures, _scorers

_KINDS = {"sampler": optuna.samplers.BaseSampler, "pruner": optuna.pruners.BasePruner}


def check(search: Any) -> None:
    """Judge a search's parameters one by one.

    Raises
    ------
    ValueError
        A number out of range, an unknown scorer, nothing that would end the study.
    TypeError
        What is none of what it should be.
    """
    if search.n_trials is None and search.timeout is None:
        raise ValueError("`n_trials` and `timeout` are both None: nothing would end the study.")
    _check_positive("n_trials", search.n_trials, numbers.Integral)
    _check_positive("timeout", search.timeout, numbers.Real)
    _failures.check(search.error_score)
    if not hasattr(search.estimator, "fit") or isinstance(search.estimator, type):
        raise TypeError(f"`estimator` must be an estimator but got {search.estimator!r}.")
    for name, kind in _KINDS.items():
        _check_kind(name, getattr(search, name), kind)
    if search.study_name is not None and not isinstance(search.study_name, str):
        raise TypeError(f"`study_name` must be a str or None but got {search.study_name!r}.")
    _check_jobs(search.n_jobs)
    _check_seed(search.random_state)
    _scorers.check_known(search.scoring)
    _scorers.check_refit(search.refit, search.scoring)
    _artifacts.check(search.artifact_store, search.estimator)


def _check_positive(name: str, value: Any, kind: Any) -> None:
    if value is None:
        return
    if not isinstance(value, kind) or isinstance(value, bool) or not value > 0:
        what = "a positive integer" if kind is numbers.Integral else "a positive number"
        raise ValueError(f"`{name}` must be {what} or None but got {value!r}.")


def _check_kind(name: str, given: Any, kind: Any) -> None:
    if given is not None and not isinstance(given, kind):
        call = f" Call it: {given.__name__}()." if isinstance(given, type) else ""
        raise TypeError(f"`{name}` must be one of optuna.{name}s or None but got {given!r}.{call}")


def _check_jobs(n_jobs: Any) -> None:
    whole = isinstance(n_jobs, numbers.Integral) and not isinstance(n_jobs, bool)
    if n_jobs is not None and not (whole and n_jobs):
        raise ValueError(f"`n_jobs` must be an integer other than 0, or None, but got {n_jobs!r}.")


def _check_seed(random_state: Any) -> None:
    try:
        check_random_state(random_state)
    except ValueError as error:
        raise ValueError(
            "`random_state` must be an integer from 0 to 2**32 - 1, a RandomState or None but got "
            f"{random_state!r}."
        ) from error
