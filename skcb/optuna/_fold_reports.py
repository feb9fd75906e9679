"""Fold reports: what the folds of one trial say, kept apart in its storage and told as one.

Owns the record of each fold among the trial's user attributes, and the combination that a pruner
can be told. Leaves the values to ``_live_pruning``, the trial in other processes to ``_trials`` and
the decision to the study's pruner.
"""

from __future__ import annotations

import math
import secrets
import threading
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.trial import TrialState

from skcb.optuna import _trials
from skcb.optuna._reporting import warn_of_nan

FOLD = "skcb_fold_{}"
"""The user attribute in which a fold keeps its record."""

PRUNED = "skcb_pruned"
"""The user attribute that says, to all folds of a trial, that and when it was pruned."""

OBJECTIVE = (
    "Under `cross_val_score` and scikit-learn's searches, where one estimator is cloned for all "
    "folds and none knows which it is, use skcb.optuna.CrossValObjective, which asks the pruner "
    "itself."
)

_ONE_AT_A_TIME = threading.RLock()  # folds in threads may share one trial


class Record(NamedTuple):
    """What one fold has said so far.

    Attributes
    ----------
    run : str
        Which fit wrote it.
    monitor : str
    n_folds : int
    values : list of float or None
        Of the monitor, an entry for each epoch; None for one in which nothing was watched.
    score : float or None
        What the fold counts with once it is over; None before, and where nothing was watched.
    over : bool
        Whether it trains no more.
    """

    run: str
    monitor: str
    n_folds: int
    values: list[float | None]
    score: float | None = None
    over: bool = False

    def at(self, n_epochs: int) -> float | None:
        """Return what the fold counts with after so many epochs; None where it has not come there.

        What it was once it stays.
        """
        return self.values[n_epochs - 1] if len(self.values) >= n_epochs else self.score


class FoldReports:
    """The reports of one fold, and their combination with those of the others.

    All is in the study's storage, so that folds may be in threads or, with a storage that they
    share, in processes: whoever makes a combination complete tells the pruner.

    Parameters
    ----------
    trial : optuna.Trial
    fold, n_folds : int
    where : str
        Full parameter name of the callback, for messages.
    """

    def __init__(self, trial: Any, fold: int, n_folds: int, where: str) -> None:
        self._trial = trial
        self._fold = fold
        self._where = where
        self._record = Record(secrets.token_hex(8), "", n_folds, [])
        self._has_warned = False

    @property
    def study(self) -> optuna.Study:
        """The study of the trial."""
        study: optuna.Study = self._trial.study
        return study

    @property
    def by_fold(self) -> bool:
        """Whether the pruner is told of folds, and not of epochs: WilcoxonPruner pairs them."""
        return isinstance(self.study.pruner, optuna.pruners.WilcoxonPruner)

    @property
    def greater_is_better(self) -> bool:
        """Whether the study maximizes."""
        return self.study.direction == optuna.study.StudyDirection.MAXIMIZE

    def begin(self, monitor: str) -> None:
        """Take this fold's place among the folds of the trial.

        Raises
        ------
        ValueError
            The fold is taken, other folds are of another division or monitor, or somebody else
            reports to this trial.
        optuna.TrialPruned
            The trial was pruned in another fold.
        """
        self._record = self._record._replace(monitor=monitor)
        with _ONE_AT_A_TIME:
            trial = self._latest()
            if PRUNED in trial.user_attrs:
                raise optuna.TrialPruned(trial.user_attrs[PRUNED])
            records = _records(trial.user_attrs)
            if self._fold in records:
                raise self._taken()
            if trial.intermediate_values and not records:
                raise ValueError(
                    f"`{self._where}`: somebody else reports to trial {trial.number} too, and the "
                    "second report of a step is dropped: leave `trial.report` to the callback."
                )
            for fold, other in records.items():
                self._refuse_other(fold, other)
            self._write()
            self._refuse_rival(self._latest())

    def judged_late(self) -> bool:
        """Tell whether a pruner of epochs has had nothing to judge before the last fold.

        It is told of the first trial in which that is so, and not again.
        """
        trials = self.study.get_trials(deepcopy=False)[: self._trial.number + 1]
        others = _records(trials.pop().user_attrs)
        others.pop(self._fold, None)
        idle = self.by_fold or isinstance(self.study.pruner, optuna.pruners.NopPruner)
        if idle or not others or len(others) < self._record.n_folds - 1:
            return False
        known = any(_records(trial.user_attrs) for trial in trials)
        return all(record.over for record in others.values()) and not known

    def add(self, value: float | None) -> str | None:
        """Report an epoch of this fold; return why the trial is pruned, if it is."""
        return self._put(self._record._replace(values=[*self._record.values, value]))

    def end(self, *, stopped: bool, ask: bool = True) -> str | None:
        """Report that this fold trains no more; return why the trial is pruned, if it is.

        A fold that a callback has stopped counts with its best value, another one with its last.
        """
        if self._record.over:
            return None
        values = [value for value in self._record.values if value is not None]
        score = values[-1] if values else None
        if stopped:
            numbers = [value for value in values if not math.isnan(value)]
            best = max if self.greater_is_better else min
            score = best(numbers, default=score)
        return self._put(self._record._replace(score=score, over=True), ask=ask)

    def _put(self, record: Record, *, ask: bool = True) -> str | None:
        """Keep a record; then tell the pruner what is complete, and ask it."""
        with _ONE_AT_A_TIME:
            self._refuse_rival(self._latest())
            self._record = record
            self._write()
            return self._ask() if ask else None

    def _ask(self) -> str | None:
        """Tell the pruner what it was not told yet, a step at a time."""
        trial = self._latest()
        if PRUNED in trial.user_attrs:
            return str(trial.user_attrs[PRUNED])
        records = _records(trial.user_attrs)
        told = trial.intermediate_values
        combined = by_fold(records) if self.by_fold else by_epoch(records, self._record.n_folds)
        for step, value in combined:
            if step in told:
                continue
            if math.isnan(value):
                self._has_warned = self._has_warned or warn_of_nan(stacklevel=4)
                continue
            self._trial.report(value, step)
            if self._trial.should_prune():
                when = f"fold {step}" if self.by_fold else f"{step} epochs of every fold"
                why = f"trial {trial.number} was pruned after {when}"
                self._trial.set_user_attr(PRUNED, why)
                return why
        return None

    def _latest(self) -> optuna.trial.FrozenTrial:
        """Return the trial as it stands in the storage; the trial itself remembers what it saw."""
        self._trial = _trials.arrived(self._trial, self._where)
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        for trial in running:
            if trial.number == self._trial.number:
                return trial
        raise ValueError(
            f"`{self._where}__trial`: trial {self._trial.number} of the study has ended, and takes "
            "no more reports: make an OptunaPruning for each trial, within its objective."
        )

    def _write(self) -> None:
        self._trial.set_user_attr(FOLD.format(self._fold), self._record._asdict())

    def _refuse_rival(self, trial: optuna.trial.FrozenTrial) -> None:
        """Refuse to go on where another fit has taken this fold at the same time."""
        if _records(trial.user_attrs)[self._fold].run != self._record.run:
            raise self._taken()

    def _refuse_other(self, fold: int, other: Record) -> None:
        for name in ("n_folds", "monitor"):
            mine, theirs = getattr(self._record, name), getattr(other, name)
            if mine != theirs:
                raise ValueError(
                    f"`{self._where}__{name}={mine!r}`: fold {fold} of trial "
                    f"{self._trial.number} has {name}={theirs!r}, and reports of different {name} "
                    "cannot be combined."
                )

    def _taken(self) -> ValueError:
        n_folds = self._record.n_folds
        ways = (
            f"Give the callback of each fold its own `fold`, from 0 to {n_folds - 1}."
            if n_folds > 1
            else "Where a trial has several folds, give each `fold` and `n_folds`."
        )
        return ValueError(
            f"`{self._where}__fold={self._fold}`: another fit has reported this fold of trial "
            f"{self._trial.number}, and the second report of a step is dropped. {ways} {OBJECTIVE}"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_trial": _trials.taken_along(self._trial)}


def by_epoch(records: Mapping[int, Record], n_folds: int) -> Iterator[tuple[int, float]]:
    """Yield epochs trained and the mean over all folds, as far as each has come.

    These are the reports of folds in lock-step, whatever the order in which folds are trained. A
    fold that is over counts with its score.
    """
    if len(records) < n_folds:
        return
    folds = [records[fold] for fold in range(n_folds)]  # in one order, for the mean's last bit
    for n_epochs in range(1, max(len(fold.values) for fold in folds) + 1):
        values = [fold.at(n_epochs) for fold in folds]
        if None not in values:
            yield n_epochs, float(np.mean(values))  # type: ignore[arg-type]


def by_fold(records: Mapping[int, Record]) -> Iterator[tuple[int, float]]:
    """Yield the index and the score of each fold that is over."""
    for fold, record in sorted(records.items()):
        if record.over and record.score is not None:
            yield fold, record.score


def _records(attributes: Mapping[str, Any]) -> dict[int, Record]:
    """Return the records among a trial's user attributes, by fold."""
    prefix = FOLD.format("")
    return {
        int(name.removeprefix(prefix)): Record(**kept)
        for name, kept in attributes.items()
        if name.startswith(prefix)
    }
