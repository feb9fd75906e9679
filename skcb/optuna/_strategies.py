"""Strategies: in which order the folds of a trial are trained.

Owns folds in lock-step and folds one after the other, and the record of what each fold did. Leaves
the rows to ``_folds``, a fold's fit to ``_pending`` and reports to whoever listens.
"""

from __future__ import annotations

import numbers
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from skcb import _inside, _runs
from skcb._clock import refuse_late
from skcb._folds import Folds, is_watched
from skcb._pending import CannotWait, NoneWaits, PendingFit, prepare
from skcb.optuna._artifacts import Keep

Report = Callable[[int, Sequence[float]], None]
"""Is told epochs trained and the score of each fold; may raise to end the trial."""

NOT_WATCHED = (
    "with `prune=True` a trial is judged by its watched rows, and there are none: give the "
    "estimator `validation_split=0.2`, or `X_val` and `y_val` in `fit_params`, or set "
    "`prune=False` or `strategy='sequential'`."
)


_SPLITS = ("validation_split", "fit__validation_split")


class NotInStep(TypeError):
    """An estimator whose folds cannot be trained in lock-step; no trial of it could go well."""


class NotWatched(ValueError):
    """A trial without watched rows; others of its study may have some."""


def refuse_metadata(folds: Folds, *, instead: str) -> None:
    """Refuse to tell a pruner of watched rows a score that needs what they do not have.

    Parameters
    ----------
    folds : Folds
    instead : str
        What else can be done, for the message.

    Raises
    ------
    ValueError
    """
    names = ", ".join(f"`{name}`" for name in folds.known_by_test_rows_alone)
    if names:
        raise ValueError(
            f"`scoring={folds.scoring!r}` asks for {names}, and the watched rows, by which a trial "
            "is judged, have no metadata but the weights with which the Keras step is fitted: "
            f"{instead}."
        )


def may_watch(estimator: Any, fit_params: Mapping[str, Any], chosen: Iterable[str]) -> bool:
    """Tell whether a trial could have watched rows.

    Parameters
    ----------
    estimator : estimator
        As it was given.
    fit_params : mapping of str to object
    chosen : iterable of str
        Names of the parameters that a trial sets.
    """
    if any(map(is_watched, fit_params)):
        return True
    steps = _inside.described(estimator)
    for prefix in steps:
        splits = {prefix + name for name in _SPLITS}
        # The whole step may be another one in a trial, or what it stands in.
        if any(name in splits or prefix.startswith(f"{name}__") for name in chosen):
            return True
    shares = [step._routed({}).named["validation_split"] for step in steps.values()]
    return any(not (s is None or (isinstance(s, numbers.Real) and s == 0)) for s in shares)


@dataclass
class Record:
    """What each fold did, as far as it came.

    Attributes
    ----------
    fold_scores : list of float
        On the test folds; greater is better.
    fold_epochs, fold_best_epochs : list of int
        Epochs trained, and the best of them, counted from 0; -1 where the estimator says neither.
    seconds : list of float
        Of preparing, training and scoring.
    """

    fold_scores: list[float] = field(default_factory=list)
    fold_epochs: list[int] = field(default_factory=list)
    fold_best_epochs: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def known(self) -> dict[str, list[Any]]:
        """Return what there is something to say about."""
        return {name: values for name, values in asdict(self).items() if values}

    @contextmanager
    def timed(self, fold: int) -> Iterator[None]:
        """Count the time of a block as a fold's own."""
        self.seconds += [0.0] * (fold + 1 - len(self.seconds))
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[fold] += time.perf_counter() - start


class Watched:
    """The score of a fold on its watched rows; of one that a callback has stopped, its best."""

    def __init__(self, fit: PendingFit, folds: Folds) -> None:
        self._fit = fit
        self._folds = folds
        self._scorer = folds.scorer_for(fit.estimator)
        self._weighted = folds.scores_are_weighted
        self._scored: int | None = None
        self._last = self._best = float("nan")

    def score(self) -> float:
        """Return the score after the epochs that have been trained."""
        if self._scored != self._fit.n_epochs:
            self._scored = self._fit.n_epochs
            found = self._fit.score(self._scorer, weighted=self._weighted)
            self._last = self._folds.counted(found)
            self._best = float(np.fmax(self._best, self._last))
        return self._best if self._fit.stopped else self._last


def lockstep(
    folds: Folds,
    params: Mapping[str, Any],
    record: Record,
    *,
    place: str,
    report: Report | None = None,
    every: int = 1,
    keep: Keep | None = None,
) -> None:
    """Train all folds together, some epochs at a time, and score them.

    However it ends, callbacks that have begun are ended once in each fold. A fold without a Keras
    step is simply fitted: there is nothing to report of a trial that has one.

    Parameters
    ----------
    folds : Folds
    params : mapping of str to object
    record : Record
        Filled as far as training comes.
    place : str
        What the runs of these folds are called.
    report : function, optional
        Told of the scores on the watched rows each time that all folds have trained as long.
    every : int, default=1
        Epochs between two reports.
    keep : function, optional
        Is given what the folds have learned when all of them have ended, however they did.

    Raises
    ------
    NotInStep
        An estimator whose fit cannot be handed out.
    NotWatched
        There are no watched rows to report on.
    OutOfTime
        A deadline in force has passed before the next epoch, of whichever fold.
    """
    with ExitStack() as ends:
        estimators: list[Any] = []
        fits: list[PendingFit | None] = []
        if keep is not None:
            ends.callback(_keep_all, estimators, fits, keep)  # the first in is the last out
        for fold in range(len(folds)):
            refuse_late()
            with record.timed(fold), _runs.announced(f"{place}/fold-{fold}"):
                estimators.append(folds.candidate(params))
                fit = _prepared(folds, estimators[fold], fold)
                fits.append(None if fit is None else ends.enter_context(fit))
            if report is not None and fit is not None and not fit.n_watched:
                raise NotWatched(NOT_WATCHED)
        try:
            _train_together(folds, fits, record, report, every)
        finally:
            record.fold_epochs = [-1 if fit is None else fit.n_epochs for fit in fits]
        for fold, fit in enumerate(fits):
            with record.timed(fold):
                best = -1
                if fit is not None:
                    fit.finish()
                    best = int(fit.estimator.best_epoch_)
                record.fold_best_epochs.append(best)
                record.fold_scores.append(folds.score(estimators[fold], fold))


def _keep_all(estimators: list[Any], fits: list[PendingFit | None], keep: Keep) -> None:
    for fold, fit in enumerate(fits):
        # Not the fitted estimator's: of a trial that has ended early it is none.
        if fit is not None and fit.trained is not None:
            keep(fold, estimators[fold], [fit.trained])


def _prepared(folds: Folds, estimator: Any, fold: int) -> PendingFit | None:
    """Return a fold's fit before its first epoch; None where it has none, and is over."""
    try:
        return prepare(lambda: folds.fit(estimator, fold))
    except CannotWait as error:
        if isinstance(error, NoneWaits) and not _inside.described(estimator):
            return None
        raise NotInStep(
            f"{type(estimator).__name__} cannot be trained with its folds in lock-step: {error}. "
            "Give `strategy='sequential'`."
        ) from error


def _train_together(
    folds: Folds,
    every_fold: list[PendingFit | None],
    record: Record,
    report: Report | None,
    every: int,
) -> None:
    fits = {fold: fit for fold, fit in enumerate(every_fold) if fit is not None}
    for fold, fit in fits.items():
        with record.timed(fold):
            fit.begin()
    # The mean over all folds is told, or nothing.
    report = report if len(fits) == len(every_fold) else None
    watched = [Watched(fit, folds) for fit in fits.values()] if report is not None else []
    step = 0
    while not all(fit.over for fit in fits.values()):
        step += every
        for fold, fit in fits.items():
            with record.timed(fold):
                while not fit.over and fit.n_epochs < step:
                    fit.advance()
        trained = max(fit.n_epochs for fit in fits.values())
        # A fold that goes on from a backup may be ahead: there is no common step to report at.
        if report is not None and trained <= step:
            scores = []
            for fold, each in enumerate(watched):
                with record.timed(fold):
                    scores.append(each.score())
            report(trained, scores)


def sequential(
    folds: Folds,
    params: Mapping[str, Any],
    record: Record,
    *,
    place: str,
    report: Callable[[Sequence[float]], None] | None = None,
    keep: Keep | None = None,
) -> None:
    """Train and score the folds one after the other.

    Parameters
    ----------
    folds, params, record, place
        As in :func:`lockstep`.
    report : function, optional
        Told of the scores on the test folds after each.
    keep : function, optional
        Is given what a fold has learned once it is fitted.

    Raises
    ------
    OutOfTime
        A deadline in force has passed before the next epoch of a Keras step, or the next fold.
    """
    for fold in range(len(folds)):
        refuse_late()
        with record.timed(fold):
            estimator = folds.candidate(params)
            with _runs.announced(f"{place}/fold-{fold}"):
                folds.fit(estimator, fold)
        steps = _inside.trained(estimator)
        if keep is not None:
            keep(fold, estimator, [(step.history_, step.model_) for step in steps])
        with record.timed(fold):
            record.fold_scores.append(folds.score(estimator, fold))
        one = steps[0] if len(steps) == 1 else None
        record.fold_epochs.append(-1 if one is None else int(one.n_iter_))
        record.fold_best_epochs.append(-1 if one is None else int(one.best_epoch_))
        if report is not None:
            report(record.fold_scores)
