"""Outcome: what is said of a search's trials when the last has ended.

Owns the error where none has come to its end, or the best is not known, and the warnings of those
that failed or have no finite score. Leaves the table to ``_cv_results``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from sklearn.exceptions import FitFailedWarning

from skcb.optuna._cv_results import not_finite
from skcb.optuna._failures import reason
from skcb.optuna._timeouts import was_cut

_STATE = optuna.trial.TrialState


def check(trials: Sequence[Any], first_error: Exception | None, timeout: float | None) -> None:
    """Warn of trials that failed; where none came to its end, raise what the first raised."""
    failed = [t for t in trials if t.user_attrs.get("error")]
    reasons = "\n".join(dict.fromkeys(t.user_attrs["error"] for t in failed))
    if not any(t.state is _STATE.COMPLETE and t not in failed for t in trials):
        outcome = f"{_worded(trials, failed, timeout)}.\n{reasons}"
        if first_error is None:
            raise ValueError(outcome)
        first_error.add_note(outcome)
        raise first_error
    if failed:
        warnings.warn(
            f"{len(failed)} of {len(trials)} trials failed; `cv_results_['trial_error']` says "
            f"which.\n{reasons}",
            FitFailedWarning,
            stacklevel=5,
        )


def _worded(trials: Sequence[Any], failed: Sequence[Any], timeout: float | None) -> str:
    if not trials:
        return f"No trial has begun: `timeout={timeout!r}` had passed before. Give more seconds"
    n_cut = sum(map(was_cut, trials))
    n_pruned = sum(t.state is _STATE.PRUNED and t not in failed for t in trials) - n_cut
    n_other = len(trials) - len(failed) - n_pruned - n_cut
    outcome = (
        f"None of {len(trials)} trials has come to its end: {len(failed)} failed, {n_pruned} were "
        "pruned"
    )
    if n_other:
        outcome += f", {n_other} have no score that is a finite number"
    if n_cut:
        outcome += (
            f", {n_cut} had no time left. `timeout={timeout!r}` is too short for one trial: give "
            "more seconds, fewer folds or fewer epochs"
        )
    return outcome


def warn_of_unknown(unknown: Mapping[int, Exception]) -> None:
    """Warn of trials of other processes whose parameters the space does not say again."""
    if unknown:
        number, error = next(iter(unknown.items()))
        warnings.warn(
            f"`space` was asked once more about the trials {', '.join(map(str, unknown))}, which "
            "another process or fit has made, and has raised; their rows have no parameters. Of "
            f"trial {number}: {reason(error)}. A function must follow from the trial's "
            "suggestions, number and user attributes alone.",
            UserWarning,
            stacklevel=5,
        )


def refuse_unknown(number: int, unknown: Mapping[int, Exception]) -> None:
    """Refuse a best trial whose parameters nobody knows.

    Raises
    ------
    ValueError
    """
    if number in unknown:
        raise ValueError(
            f"trial {number} is the best, and its parameters are not known: another process or fit "
            f"has made it, and `space`, asked once more, raises {reason(unknown[number])}."
        ) from unknown[number]


def warn_of_scores(
    results: Mapping[str, Any], trials: Sequence[Any], names: Sequence[str], n_splits: int
) -> None:
    """Warn of scores that are no finite numbers, though nothing has failed."""
    for name in names:
        numbers = not_finite(trials, results[f"mean_test_{name}"], n_splits)
        if numbers:
            warnings.warn(
                f"some test scores are not finite: `mean_test_{name}` of the trials "
                f"{', '.join(map(str, numbers))}.",
                UserWarning,
                stacklevel=5,
            )
