"""CrossValObjective: an estimator, a space and data as an objective that a study can optimize.

Owns the road of a trial: parameters, folds, value. Leaves suggestions to ``_space``, the folds'
order to ``_strategies``, the pruner to ``_reporting`` and what raised to ``_failures``.
"""

from __future__ import annotations

import copy
import numbers
import os
import secrets
from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import optuna

from skcb import _inside
from skcb._clock import Deadline, OutOfTime
from skcb._folds import Folds
from skcb._judged import boolean, seconds
from skcb._names import suggestion
from skcb._refit import retrained
from skcb.optuna import _artifacts, _failures, _scorers, _space, _studies, _workers
from skcb.optuna._reporting import Reporter, sign_of
from skcb.optuna._space import Space
from skcb.optuna._strategies import (
    NOT_WATCHED,
    NotInStep,
    Record,
    lockstep,
    may_watch,
    refuse_metadata,
    sequential,
)
from skcb.optuna._timeouts import until

__all__ = ["CrossValObjective"]

_STRATEGIES = ("lockstep", "sequential")
_REMEMBERED = 1000
"""Trials whose parameters are known without asking the space once more."""


class CrossValObjective:
    """The mean cross-validated score of an estimator, as an objective for a study.

    The folds of a trial are trained together, an epoch at a time, and after each the study's
    pruner is told the mean of their scores on watched rows: a trial ends early on the evidence of
    all its folds, with callbacks and schedules alive in each.

    Parameters
    ----------
    estimator : estimator
        A KerasClassifier or KerasRegressor, or a Pipeline or other estimator around it. It is
        cloned for every fold and never fitted itself. What stands before the Keras step is fitted
        once in each fold.
    space : dict of str to optuna.distributions.BaseDistribution, or function
        Distributions by parameter name; or a function ``trial -> dict`` for spaces in which one
        choice depends on another, and nothing on anything but the trial.
    X : array-like of shape (n_samples, ...)
        Data.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
    cv : int or splitter, default=5
        As in scikit-learn: an integer is stratified for a classifier. Splits are made once, so
        every trial sees the same folds.
    scoring : str, callable or None, default=None
        One scorer, greater is better; None takes the estimator's own ``score``. A study that
        minimizes needs a loss, such as ``"neg_log_loss"``, and gets it without the sign.
    fit_params : dict, optional
        Passed to ``fit``; arrays with a row for each sample are cut like X, but for the user's own
        watched rows (``X_val`` and the like). ``groups`` reaches the splitter too. With metadata
        routing each goes where it is requested.
    prune : bool, default=True
        Whether the study's pruner is asked.
    report_every : int, default=1
        Epochs between two reports in lock-step.
    strategy : {"lockstep", "sequential"}, default="lockstep"
        ``"sequential"`` trains one fold after the other and reports after each, for the
        WilcoxonPruner and for estimators that need several Keras fits.
    error_score : {"fail", "prune", "raise"} or float, default="fail"
        What a fit that raises makes of its trial: failed, pruned, the exception, or this value.
        The reason stands in the trial's user attribute ``error``.
    artifact_store : optuna.artifacts store, optional
        Keeps two files for each fold of a trial, by Optuna's artifact API: its history, as CSV with
        a row for each epoch, and its model as training left it, as Keras saves it.

    Raises
    ------
    ValueError
        An empty space, a name that the estimator does not have, X and y of different lengths, more
        folds than a class has rows, nothing to prune by, or a scorer that asks for metadata which
        watched rows do not have.
    TypeError
        Something in the space that is no distribution, an estimator without a Keras step, or a
        store that is none.

    Notes
    -----
    A trial's value is the mean score on the test folds. Its user attributes are ``fold_scores``,
    ``fold_epochs``, ``fold_best_epochs`` (counted from 0) and ``seconds``, a list each; of a trial
    that has ended early, what there is.

    In lock-step the step of a report is the number of epochs trained, and its value the mean over
    the folds of the score that ``scoring`` gives on the rows that the Keras step watches; the test
    fold is not looked at. A fold that EarlyStopping has ended counts with the best of its scores.
    Behind a TransformedTargetRegressor these scores are those of the transformed target.

    A study is told what its trials are about, in its user attributes, and refused for another
    space, ``cv`` or ``scoring`` and for other data or ``fit_params``, unless none of its trials has
    a value yet.

    With ``"sequential"`` the step is the index of the fold and the value the mean of the test
    scores so far; for a WilcoxonPruner, which compares trials fold by fold, the fold's own.

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
    >>> clf = KerasClassifier(
    ...     softmax, optimizer="adam", epochs=3, validation_split=0.2, random_state=0)
    >>> objective = CrossValObjective(
    ...     clf, {"optimizer__learning_rate": FloatDistribution(1e-3, 1e-1, log=True)}, X, y, cv=3)
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> study = optuna.create_study(direction="maximize", pruner=optuna.pruners.MedianPruner())
    >>> study.optimize(objective, n_trials=2)
    >>> len(study.best_trial.user_attrs["fold_scores"])
    3
    >>> sorted(study.best_trial.intermediate_values)
    [1, 2, 3]
    """

    _deadline: Deadline | None = None

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
        prune: bool = True,
        report_every: int = 1,
        strategy: str = "lockstep",
        error_score: Any = "fail",
        artifact_store: Any = None,
    ) -> None:
        self.estimator = estimator
        self.space = space
        self.X, self.y = X, y
        self.cv = cv
        self.scoring = scoring
        self.fit_params = dict(fit_params or {})
        self.prune = boolean("prune", prune)
        self.report_every = _positive("report_every", report_every)
        self.strategy = _checked_strategy(strategy)
        self.error_score = _failures.check(error_score)
        _check_estimator(estimator)
        _scorers.check_known(scoring)
        self.artifact_store = _artifacts.check(artifact_store, estimator)
        self._folds = Folds(estimator, X, y, cv=cv, scoring=scoring, fit_params=self.fit_params)
        _space.check(space, self._folds.candidate)
        if self.prune and strategy == "lockstep":
            chosen = space if isinstance(space, Mapping) else ()
            if not may_watch(estimator, self.fit_params, chosen):
                raise ValueError(NOT_WATCHED)
            refuse_metadata(self._folds, instead="set `prune=False` or `strategy='sequential'`")
        self._artifacts = _artifacts.Artifacts(artifact_store, self.fit_params)
        self._about: dict[str, Any] | None = None
        self._answers = _space.Answers(_REMEMBERED)
        self._made_in = os.getpid()
        self._met: set[tuple[int, str]] = set()

    @property
    def splits(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Training and test rows of each fold, the same in every trial."""
        return self._folds.splits

    def __call__(self, trial: Any) -> float:
        """Return the mean score over the folds, for parameters that the trial suggests.

        Parameters
        ----------
        trial : optuna.Trial
            Of ``study.optimize`` or of ``study.ask``.

        Returns
        -------
        float

        Raises
        ------
        optuna.TrialPruned
            The pruner ends the trial, a callback of the user's own does, the time of
            :meth:`within` is over, or the fit raised and ``error_score="prune"``.
        ValueError
            A study whose direction does not go with the scorer, or that has trials of another
            space, ``cv`` or ``scoring`` or of other data.
        TypeError
            An estimator that cannot be trained in lock-step, or a choice that the study's storage
            cannot keep.
        Exception
            Of the artifact store, where it cannot be written; whatever ``error_score`` says.
        """
        with self._artifacts.of(trial) as keep, until(self._deadline, trial):
            return self._value(trial, keep)

    def _value(self, trial: Any, keep: _artifacts.Keep | None) -> float:
        sign = sign_of(trial, self._folds)
        is_first = self._meet(trial)
        params = self._answers.first(self.space, trial)
        if is_first:
            _workers.warn_of_repetition(trial)
        _failures.forget(trial)
        record = Record()
        try:
            study = getattr(getattr(trial, "study", None), "study_name", "study")
            place = f"{_studies.place(study)}/trial-{trial.number}"
            reporter = Reporter(trial, sign) if self.prune else None
            self._train(params, record, place, reporter, keep)
        except (optuna.TrialPruned, NotInStep, OutOfTime):
            raise
        except Exception as error:
            trial.set_user_attr("error", _failures.reason(error))
            return _failures.outcome(error, self.error_score)
        except BaseException as error:  # Ctrl-C: the study ends, with the trials that are finished
            trial.set_user_attr("error", _failures.reason(error))
            raise
        finally:
            for name, values in record.known().items():
                trial.set_user_attr(name, values)
        return sign * float(np.mean(record.fold_scores))

    def within(self, timeout: float | None) -> Self:
        """Return the same objective with a time limit that counts from now.

        ``study.optimize(objective, timeout=600)`` begins no trial after ten minutes, but lets the
        one that runs go on. ``study.optimize(objective.within(600))`` ends it too: no fold begins
        another epoch. Such a trial is pruned, its user attribute ``stopped_by`` is ``"timeout"``,
        and the study begins no other.

        Parameters
        ----------
        timeout : float or None
            Seconds; None for no limit.

        Returns
        -------
        CrossValObjective
            Shares everything else with this one, which has no limit still.

        Raises
        ------
        ValueError
            No positive number.
        """
        limit = seconds("timeout", timeout)
        new = copy.copy(self)
        new._deadline = None if limit is None else Deadline(limit)
        return new

    def evaluate(self, params: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Score parameters without a trial, and without pruning.

        Parameters
        ----------
        params : mapping of str to object
            As for ``set_params``.

        Returns
        -------
        dict
            ``fold_scores``, ``fold_epochs``, ``fold_best_epochs`` and ``seconds``, a list each
            with an entry for every fold.
        """
        record = Record()
        self._train(params, record, f"evaluate-{secrets.token_hex(4)}", None)
        return record.known()

    def suggest(self, trial: Any) -> dict[str, Any]:
        """Return the parameters that a trial suggests from the space.

        Parameters
        ----------
        trial : optuna.Trial

        Returns
        -------
        dict of str to object
        """
        return _space.suggest(self.space, trial)

    def refit(self, source: Any, *, epochs: str = "median_best", validation: str = "keep") -> Any:
        """Train on all rows with the best parameters.

        Parameters
        ----------
        source : optuna.Study, trial, or mapping of str to object
            A study gives its best trial.
        epochs : {"median_best", "given"}, default="median_best"
            ``"median_best"`` trains up to the median of the folds' best epochs, at the learning
            rates that the folds had in these. They are in the trial; for a mapping, or a trial
            without them, the folds are trained once more. ``"given"`` leaves it to ``epochs`` and
            to early stopping.
        validation : {"keep", "none"}, default="keep"
            ``"keep"`` watches rows as the folds did. ``"none"`` trains on these too, without the
            callbacks that need them.

        Returns
        -------
        estimator
            A fitted clone. Its attribute ``refit_`` says what was done.

        Raises
        ------
        ValueError
            An unknown choice, or a study without a finished trial.
        Exception
            What a function as ``space`` raises when it is asked once more about a trial of another
            process: it knows its suggestions, number and user attributes, and no study.
        """
        best_epochs = None
        if isinstance(source, Mapping):
            params = dict(source)
        else:
            trial = source.best_trial if isinstance(source, optuna.Study) else source
            params = self._answers.again(self.space, trial)
            best_epochs = trial.user_attrs.get("fold_best_epochs")
            if best_epochs is not None and len(best_epochs) < len(self._folds):
                best_epochs = None
        with self._folds.settings():
            return retrained(
                self._folds,
                params,
                epochs=epochs,
                validation=validation,
                best_epochs=best_epochs,
            )

    def _meet(self, trial: Any) -> bool:
        """Look at a trial's study, and tell whether this process has not met it before."""
        study = getattr(trial, "study", None)  # a FixedTrial has none
        if study is None:
            return False
        if self._about is None:
            self._about = _studies.described(self.space, self._folds, (self.scoring, None))
        name = study.study_name
        if not _space.keeps_objects(trial.storage):
            _space.check_kept(self.space)
        _studies.agree(study, self._about, f"the study {name!r}", new=trial.number)
        place = (os.getpid(), name)
        if place in self._met:
            return False
        self._met.add(place)
        _workers.warn_of_lock(trial.storage)
        if self._made_in != os.getpid():
            _workers.warn_of_memory(study, trial)
        return True

    def _train(
        self,
        params: Mapping[str, Any],
        record: Record,
        place: str,
        reporter: Reporter | None,
        keep: _artifacts.Keep | None = None,
    ) -> None:
        with self._folds.settings():
            if self.strategy == "sequential":
                after_fold = None if reporter is None else reporter.after_fold
                sequential(self._folds, params, record, place=place, report=after_fold, keep=keep)
                return
            after_epochs = None if reporter is None else reporter.after_epochs
            lockstep(
                self._folds,
                params,
                record,
                place=place,
                report=after_epochs,
                every=self.report_every,
                keep=keep,
            )


def _check_estimator(estimator: Any) -> None:
    if isinstance(estimator, type) or not _inside.described(estimator):
        raise TypeError(
            "`estimator` must be a KerasClassifier or KerasRegressor, or hold one as a Pipeline "
            f"does, but got {estimator!r}."
        )


def _checked_strategy(strategy: Any) -> str:
    if strategy not in _STRATEGIES:
        raise ValueError(
            f"`strategy` must be one of {', '.join(map(repr, _STRATEGIES))} but got {strategy!r}. "
            + suggestion(str(strategy), _STRATEGIES)
        )
    return str(strategy)


def _positive(name: str, value: Any) -> int:
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < 1:
        raise ValueError(f"`{name}` must be an integer of at least 1 but got {value!r}.")
    return int(value)
