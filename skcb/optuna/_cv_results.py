"""Results: the trials of a study as scikit-learn's ``cv_results_``.

Owns the columns. Reads what ``_candidates`` wrote into the trials, so a trial of another process or
of an earlier day has its row too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import rankdata

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


def cv_results(
    trials: Sequence[FrozenTrial],
    params: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    decisive: str,
    n_splits: int,
) -> dict[str, Any]:
    """Return a row for every trial.

    Parameters
    ----------
    trials : sequence of FrozenTrial
        That have ended.
    params : sequence of mapping of str to object
        What was set for each.
    names : sequence of str
        Scorers; ``"score"`` where there is one without a name.
    decisive : str
        The scorer whose mean is a trial's value.
    n_splits : int

    Returns
    -------
    dict
        The columns of GridSearchCV, and ``trial_number``, ``trial_state`` and ``trial_error``.
        What a trial that was pruned or failed has not got is NaN, and its rank the last.
    """
    scoring = [_seconds(trial, "score_seconds", n_splits) for trial in trials]
    whole = [_seconds(trial, "seconds", n_splits) for trial in trials]
    results: dict[str, Any] = {
        **_moments("fit_time", np.subtract(whole, scoring)),
        **_moments("score_time", np.array(scoring)),
        **_masked(params),
        "params": [dict(each) for each in params],
        "trial_number": np.array([trial.number for trial in trials]),
        "trial_state": np.array([trial.state.name for trial in trials], dtype=object),
        "trial_error": np.array([_error(trial) for trial in trials], dtype=object),
    }
    for name in names:
        scores = np.array([_scores(t, name, decisive, n_splits) for t in trials], dtype=float)
        results |= {f"split{i}_test_{name}": column for i, column in enumerate(scores.T)}
        results |= _moments(f"test_{name}", scores)
        results[f"rank_test_{name}"] = _ranks(results[f"mean_test_{name}"])
    return results


def _error(trial: FrozenTrial) -> str:
    return str(trial.user_attrs.get("error", ""))


def _scores(trial: FrozenTrial, name: str, decisive: str, n_splits: int) -> list[float]:
    """Return the score of each fold; of a trial that did not come to its end, NaN."""
    missing = [np.nan] * n_splits
    if trial.state is TrialState.PRUNED:
        return missing
    if _error(trial):
        is_scored = trial.state is TrialState.COMPLETE  # by `error_score`
        return [float(trial.values[0])] * n_splits if is_scored else missing
    by_name = trial.user_attrs.get("scores", {})
    own = trial.user_attrs.get("fold_scores") if name == decisive else None
    found: list[float] = by_name.get(name, own) or missing
    return found if len(found) == n_splits else missing


def not_finite(trials: Sequence[FrozenTrial], means: Sequence[float], n_splits: int) -> list[int]:
    """Return the numbers of trials that were scored in every fold, with a mean that is not finite.

    Not of those that were pruned, have failed or were killed: their means are NaN for a reason that
    is known.
    """
    return [
        trial.number
        for trial, mean in zip(trials, means, strict=True)
        if not np.isfinite(mean)
        and trial.state is not TrialState.PRUNED
        and not _error(trial)
        and len(trial.user_attrs.get("score_seconds", [])) == n_splits
    ]


def _seconds(trial: FrozenTrial, name: str, n_splits: int) -> list[float]:
    """Return the seconds of each fold, 0 for one that it did not come to."""
    known = list(trial.user_attrs.get(name, []))[:n_splits]
    return known + [0.0] * (n_splits - len(known))


def _moments(name: str, rows: np.ndarray) -> dict[str, np.ndarray]:
    with np.errstate(invalid="ignore"):  # the spread of infinite scores
        return {f"mean_{name}": rows.mean(axis=1), f"std_{name}": rows.std(axis=1)}


def _ranks(means: np.ndarray) -> np.ndarray:
    """Rank from 1; what has no score shares the last rank."""
    if np.isnan(means).all():
        return np.ones(len(means), dtype=np.int32)
    worst = np.nanmin(means) - 1
    ranks: np.ndarray = rankdata(-np.where(np.isnan(means), worst, means), method="min")
    return ranks.astype(np.int32)


def _masked(params: Sequence[Mapping[str, Any]]) -> dict[str, np.ma.MaskedArray]:
    """Return a column for each parameter, masked where a trial did not set it."""
    columns = {}
    for name in dict.fromkeys(name for each in params for name in each):
        values = [each[name] for each in params if name in each]
        numeric = all(isinstance(v, bool | np.bool_) for v in values) or all(
            isinstance(v, int | float | np.number) and not isinstance(v, bool) for v in values
        )
        column = np.ma.MaskedArray(
            np.empty(len(params), dtype=np.array(values).dtype if numeric else object), mask=True
        )
        for row, each in enumerate(params):
            if name in each:
                column[row] = each[name]
        columns[f"param_{name}"] = column
    return columns
