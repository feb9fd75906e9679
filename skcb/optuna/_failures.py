"""Failures: what becomes of a trial whose fit raised.

Owns ``error_score`` and the reason in the trial's user attributes. Leaves ending the folds to
``_strategies`` and recording the trial to Optuna.
"""

from __future__ import annotations

import numbers
from typing import Any

import optuna

_WORDS = ("fail", "prune", "raise")


def check(error_score: Any) -> Any:
    """Return ``error_score`` if it can be used.

    Raises
    ------
    ValueError
        Neither one of the words nor a number.
    """
    is_number = isinstance(error_score, numbers.Real) and not isinstance(error_score, bool)
    if is_number or (isinstance(error_score, str) and error_score in _WORDS):
        return error_score
    raise ValueError(
        f"`error_score` must be 'fail', 'prune', 'raise' or a number but got {error_score!r}."
    )


def reason(error: BaseException) -> str:
    """Word why a trial ended without a score."""
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def forget(trial: Any) -> None:
    """Take back the reason that a trial has from a worker that was killed as it failed.

    Optuna's retry of a stale trial inherits its user attributes.
    """
    if trial.user_attrs.get("error"):
        trial.set_user_attr("error", "")


def outcome(error: Exception, error_score: Any) -> float:
    """Return the value of a trial whose fit raised, or end it otherwise.

    Raises
    ------
    optuna.TrialPruned
        With ``error_score="prune"``.
    Exception
        What the fit raised, with ``error_score="raise"``.
    """
    if error_score == "prune":
        raise optuna.TrialPruned(reason(error)) from error
    if error_score == "raise":
        raise error
    # NaN is how an objective tells Optuna that its trial has failed and the study goes on.
    return float("nan") if error_score == "fail" else float(error_score)
