"""Reporting: what a pruner is told, and what becomes of its answer.

Owns the direction in which values are told and the value for each step. Leaves the decision to the
study's pruner and the scores to ``_strategies``.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna

from skcb._folds import Folds
from skcb.exceptions import TrainingWarning


def sign_of(trial: Any, folds: Folds) -> float:
    """Return the factor from scikit-learn's score, where more is better, to the study's value.

    A study that minimizes is told losses: -1 for a score such as ``"neg_log_loss"``.

    Raises
    ------
    ValueError
        A study with several directions, or one that minimizes a score of which more is better.
    """
    study = getattr(trial, "study", None)  # a FixedTrial has none
    if study is None:
        return 1.0
    if len(study.directions) > 1:
        raise ValueError(
            f"the study has {len(study.directions)} directions, and CrossValObjective gives one "
            "value: create it with `direction='maximize'`."
        )
    if study.direction == optuna.study.StudyDirection.MAXIMIZE:
        return 1.0
    if folds.is_loss():
        return -1.0
    raise ValueError(
        f"the study has `direction='minimize'`, and of `scoring={folds.scoring!r}` more is better: "
        "create it with `direction='maximize'`, or take a loss, such as 'neg_log_loss'."
    )


def warn_of_nan(*, stacklevel: int) -> bool:
    """Say that a pruner is not told of a score that is NaN; returns True."""
    warnings.warn(
        "a score by which trials are pruned is NaN, as `roc_auc` is of rows of a single class: the "
        "pruner is told nothing of it, and ends no trial for it. Watch more rows "
        "(`validation_split`), use fewer folds, or take a score that such rows have.",
        TrainingWarning,
        stacklevel=stacklevel + 1,
    )
    return True


class Reporter:
    """Tells a trial's pruner how it stands, and ends the trial if it says so.

    Parameters
    ----------
    trial : optuna.Trial
    sign : float
        See :func:`sign_of`.
    """

    def __init__(self, trial: Any, sign: float) -> None:
        self._trial = trial
        self._sign = sign
        pruner = getattr(getattr(trial, "study", None), "pruner", None)
        self._has_warned = False
        self._pairs_folds = isinstance(pruner, optuna.pruners.WilcoxonPruner)

    def after_epochs(self, n_epochs: int, scores: Sequence[float]) -> None:
        """Report the mean over all folds, at as many epochs as they have trained.

        Nothing is reported where it is undefined: a pruner would take NaN for the worst of scores.

        Raises
        ------
        optuna.TrialPruned
            The pruner says so.
        """
        self._report(float(np.mean(scores)), n_epochs, f"after {n_epochs} epochs of every fold")

    def after_fold(self, scores: Sequence[float]) -> None:
        """Report the scores of the folds so far, at the index of the last.

        WilcoxonPruner compares two trials fold by fold, so it is told each fold's own score;
        other pruners get the mean over the folds so far.

        Raises
        ------
        optuna.TrialPruned
            The pruner says so.
        """
        value = scores[-1] if self._pairs_folds else float(np.mean(scores))
        self._report(value, len(scores) - 1, f"after fold {len(scores) - 1}")

    def _report(self, score: float, step: int, when: str) -> None:
        if math.isnan(score):
            self._has_warned = self._has_warned or warn_of_nan(stacklevel=4)
            return
        self._trial.report(self._sign * score, step)
        if self._trial.should_prune():
            raise optuna.TrialPruned(f"pruned {when}")
