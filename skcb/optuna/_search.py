"""OptunaSearchCV: a study behind scikit-learn's search interface.

Owns the parameters, the road through ``fit`` and the best trial. Leaves to ``_arguments`` what
parameters may be, the study to ``_studies``, a trial to ``_candidates``, the table to
``_cv_results``, to ``_outcome`` what is said of failed trials, and answers after the fit to
``_found``.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Self

import numpy as np
import optuna
import sklearn
from joblib import effective_n_jobs
from sklearn.base import clone, is_classifier
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

from skcb import _inside
from skcb._clock import Deadline
from skcb._fingerprint import fingerprint
from skcb.engine.feed import refuse_dataset
from skcb.exceptions import TrainingWarning
from skcb.optuna import _arguments, _artifacts, _outcome, _scorers, _space, _studies, _workers
from skcb.optuna._candidates import Candidates, CannotPrune, Objective, weights_of
from skcb.optuna._cv_results import FINISHED, cv_results
from skcb.optuna._found import Found

__all__ = ["OptunaSearchCV"]

_NOT_IN_NAME = ("storage", "study_name", "verbose", "artifact_store")
"""Parameters that make no other study of a clone."""


class OptunaSearchCV(CallbackSupportMixin, Found):
    """Search over parameters by an Optuna study, with cross-validation.

    It is used as GridSearchCV is: ``fit``, then ``best_params_``, ``best_score_``,
    ``cv_results_``, and ``predict`` with the best estimator, trained on all rows. Which parameters
    are tried next is the sampler's choice, and with a pruner a trial of a Keras estimator ends
    early on the evidence of all its folds, as in :class:`CrossValObjective`.

    Parameters
    ----------
    estimator : estimator
        Any of scikit-learn's, a KerasClassifier or KerasRegressor, or a Pipeline around one. It
        is cloned and never fitted itself.
    space : dict of str to optuna.distributions.BaseDistribution, or function
        Distributions by parameter name; or a function ``trial -> dict`` for spaces in which one
        choice depends on another, and nothing on anything but the trial.
    n_trials : int or None, default=10
        Trials of one ``fit``; None for as many as ``timeout`` allows.
    timeout : float, optional
        Seconds after which no trial is begun, and no epoch of one that runs: it is pruned, and its
        user attribute ``stopped_by`` is ``"timeout"``. Of an estimator that is not Keras the fold
        is fitted to its end. The refit is not counted.
    sampler : optuna.samplers.BaseSampler, optional
        Every fit works with a copy. None for a TPESampler that ``random_state`` seeds.
    pruner : optuna.pruners.BasePruner, optional
        None prunes nothing. A pruner is asked after each epoch of all folds, in lock-step, which
        needs watched rows (``validation_split``); a WilcoxonPruner after each fold, of any
        estimator. Other pruners do not end trials of estimators that are not Keras.
    storage : str or optuna.storages.BaseStorage, optional
        Where studies are kept, and where several processes meet; None keeps the study of each fit
        in memory. Clones share it.
    study_name : str, optional
        With a storage, a fit goes on with the study of this name if there is one. A clone, such
        as a fold of an outer cross-validation has, works on a study of its own: the name, and a
        digest of its parameters and data after a slash.
    cv : int, splitter or iterable, default=None
        As in scikit-learn: None for 5 folds, an integer is stratified for a classifier. Splits
        are made once, so every trial sees the same folds.
    scoring : str, callable, list, tuple, dict or None, default=None
        One scorer or several, as in scikit-learn; greater is better.
    refit : bool, str or callable, default=True
        Whether the best parameters are trained on all rows. With several scorers the name of the
        one that decides; or a function that chooses a row of ``cv_results_``. Where it names none,
        the study maximizes the first.
    n_jobs : int, optional
        Trials at the same time, in threads. With more than one the sampler's choices depend on
        which trial ends first.
    random_state : int, RandomState or None, default=None
        Seeds the default sampler, together with the number of this fit's first trial, so that
        several workers on one study may share it. A sampler of your own has its own seed.
    error_score : {"fail", "prune", "raise"} or float, default=nan
        What a fit that raises makes of its trial: failed (NaN means the same), pruned, the
        exception, or this value.
    verbose : int, default=0
        Above 0, a line for each trial. Optuna's own lines are its logger's affair.
    artifact_store : optuna.artifacts store, optional
        Keeps history and model of every fold of a trial, as in :class:`CrossValObjective`. Clones
        share it.

    Attributes
    ----------
    study_ : optuna.Study
        Everything that Optuna knows of the trials.
    cv_results_ : dict
        A row for each trial that has ended: GridSearchCV's columns, and ``trial_number``,
        ``trial_state`` (``"COMPLETE"``, ``"PRUNED"``, ``"FAIL"``) and ``trial_error``.
    best_index_, best_params_, best_score_
        Row, parameters and mean score of the best trial. ``best_score_`` is missing with a
        callable ``refit``.
    best_estimator_ : estimator
        Trained on all rows.
    refit_time_ : float
        Seconds that took.
    n_splits_ : int
    scorer_ : callable or dict of them
    multimetric_ : bool
    classes_, n_features_in_, feature_names_in_
        Those of the best estimator.

    Notes
    -----
    A study in a storage grows by ``n_trials`` with each fit, whichever process it is in. It is
    refused for another space, estimator, ``cv`` or ``scoring`` and for other data or parameters of
    the fit: its trials would be compared with what they cannot be compared with. A trial that
    ``study.add_trial`` brought in has no scores by fold: its row is NaN, and it is not the best.

    Examples
    --------
    >>> import optuna
    >>> from optuna.distributions import FloatDistribution
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skcb.optuna import OptunaSearchCV
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> X, y = load_iris(return_X_y=True)
    >>> search = OptunaSearchCV(
    ...     LogisticRegression(max_iter=1000),
    ...     {"C": FloatDistribution(1e-2, 1e2, log=True)},
    ...     n_trials=3, cv=3, random_state=0).fit(X, y)
    >>> list(search.best_params_), len(search.cv_results_["params"])
    (['C'], 3)
    >>> search.predict(X).shape
    (150,)
    """

    _cloned = False
    _unpickled = False

    def __init__(
        self,
        estimator: Any,
        space: Any,
        *,
        n_trials: int | None = 10,
        timeout: float | None = None,
        sampler: Any = None,
        pruner: Any = None,
        storage: Any = None,
        study_name: str | None = None,
        cv: Any = None,
        scoring: Any = None,
        refit: Any = True,
        n_jobs: int | None = None,
        random_state: Any = None,
        error_score: Any = np.nan,
        verbose: int = 0,
        artifact_store: Any = None,
    ) -> None:
        self.estimator = estimator
        self.space = space
        self.n_trials = n_trials
        self.timeout = timeout
        self.sampler = sampler
        self.pruner = pruner
        self.storage = storage
        self.study_name = study_name
        self.cv = cv
        self.scoring = scoring
        self.refit = refit
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.error_score = error_score
        self.verbose = verbose
        self.artifact_store = artifact_store

    def __sklearn_clone__(self) -> Self:
        """Make an unfitted search that is equal by description and shares storage and store.

        A copy of a storage in memory would collect studies that nobody sees.
        """
        params = self.get_params(deep=False)
        shared = ("storage", "artifact_store")
        params |= {k: clone(v, safe=False) for k, v in params.items() if k not in shared}
        new = type(self)(**params)
        new._cloned = True
        # scikit-learn's own clone carries these over and there is no public way to ask it for
        # that alone (test_search.py notices if the name goes).
        if hasattr(self, "_skl_callbacks"):
            new._skl_callbacks = self._skl_callbacks
        return new

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._unpickled = True

    def get_metadata_routing(self) -> MetadataRouter:
        """Say what reaches estimator, scorer and splitter.

        Returns
        -------
        MetadataRouter
        """
        to_fit = MethodMapping().add(caller="fit", callee="fit")
        to_split = MethodMapping().add(caller="fit", callee="split")
        to_score = MethodMapping().add(caller="fit", callee="score")
        to_score = to_score.add(caller="score", callee="score")
        return (
            MetadataRouter(owner=self)
            .add(estimator=self.estimator, method_mapping=to_fit)
            .add(scorer=self._all_scorers(), method_mapping=to_score)
            .add(splitter=self.cv, method_mapping=to_split)
        )

    @with_callbacks
    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:
        """Run the study, and train the best parameters on all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), optional
        **params : object
            For the estimator's ``fit``, the splitter and the scorer; what has an entry for each
            row is cut like the rows. With metadata routing each goes where it is requested;
            without, ``groups`` goes to the splitter, ``sample_weight`` to scorers that take it,
            and the rest to ``fit``.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            A dataset, a parameter out of range, a name that the estimator does not have, a study
            that is not about the same, a pruner for an estimator that cannot be trained in
            lock-step or watches no rows, or trials that were all pruned or had no time left.
        TypeError
            A space, sampler, pruner or estimator that is none, a choice that the storage cannot
            keep, or a set as ``scoring``.
        Exception
            What the first trial raised, where none has come to its end; what the sampler, or
            ``space`` as a function, raises in any trial, other than ``optuna.TrialPruned``.
        """
        _arguments.check(self)
        refuse_dataset(X, "a search")
        if y is None and get_tags(self).target_tags.required:
            raise ValueError(
                # In the words that scikit-learn's checks look for.
                f"{type(self.estimator).__name__} requires y to be passed, but the target y is "
                "None."
            )
        scorers = self._all_scorers()
        context = self._init_callback_context(max_subtasks=1 + (self.refit is not False))
        told = weights_of(params)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y, metadata=told)
        candidates = self._candidates(X, y, params, scorers, context)
        self.n_splits_ = len(candidates)
        self.study_ = self._study(candidates)
        objective = self._run(candidates, context)
        self.scorer_ = _scorers.by_name(self.estimator, self.scoring) or scorers
        self._choose(objective)
        if self.refit:
            self._refit(candidates, context)
        context.call_on_fit_task_end(estimator=self, X=X, y=y, metadata=told)
        return self

    # -- before the first trial ---------------------------------------------------------------

    def _all_scorers(self) -> Any:
        """Return one function for all scores."""
        return check_scoring(self.estimator, self.scoring)

    def _candidates(
        self, X: Any, y: Any, params: dict[str, Any], scorers: Any, context: Any
    ) -> Candidates:
        """Return the folds, once the space has been found in order."""
        if sklearn.get_config()["enable_metadata_routing"]:
            to_scorers = dict(process_routing(self, "fit", **params).scorer.score)
        else:
            weight = params.get("sample_weight")
            weighted = weight is not None and _scorers.take_weights(scorers)
            to_scorers = {"sample_weight": weight} if weighted else {}
            if weight is not None:
                _scorers.warn_of_weights(self.estimator, self.scoring, scorers, stacklevel=4)
        candidates = Candidates(
            self.estimator,
            X,
            y,
            cv=check_cv(self.cv, y, classifier=is_classifier(self.estimator)),
            scorers=scorers,
            decisive=self.refit if isinstance(self.refit, str) else None,
            fit_params=params,
            score_params=to_scorers,
            context=context,
            owner=self,
        )
        _space.check(self.space, candidates.candidate)
        if not _space.keeps_objects(self.storage):
            _space.check_kept(self.space)
        return candidates

    def _reports(self) -> str | None:
        """Say after what the pruner is asked."""
        if self.pruner is None or isinstance(self.pruner, optuna.pruners.NopPruner):
            return None
        if isinstance(self.pruner, optuna.pruners.WilcoxonPruner):
            return "folds"
        if _inside.described(self.estimator):
            return "epochs"
        warnings.warn(
            f"`pruner={self.pruner!r}` prunes nothing: {type(self.estimator).__name__} has no "
            "Keras step whose epochs it could judge.",
            TrainingWarning,
            stacklevel=5,
        )
        return None

    # -- the study ----------------------------------------------------------------------------

    def _study(self, candidates: Candidates) -> optuna.Study:
        """Return the study of this fit: a new one, or the one that it goes on with."""
        _workers.warn_of_lock(self.storage)
        copied = self._unpickled or _workers.forked()
        if copied and isinstance(self.storage, optuna.storages.InMemoryStorage):
            warnings.warn(
                "`storage` is in memory, and this is a copy that came by a pickle or a fork, as to "
                "another process: nobody else will see its trials. Give a JournalStorage on a "
                "file, or None.",
                TrainingWarning,
                stacklevel=4,
            )
        name, about = self.study_name, {}
        if self.storage is not None:
            about = {
                **_studies.described(self.space, candidates, (self.scoring, candidates.decisive)),
                "estimator": fingerprint(type(self.estimator), self.estimator.get_params()),
            }
            if name is not None and self._cloned:
                params = self.get_params(deep=False)
                own = {k: v for k, v in params.items() if k not in _NOT_IN_NAME}
                given = [about["fit_params"]] if about["fit_params"] else []
                name = f"{name}/{fingerprint(own, about['data'], *given)}"
        study = _studies.opened(self.storage, name, about)
        study.pruner = deepcopy(self.pruner) or optuna.pruners.NopPruner()
        study.sampler = deepcopy(self.sampler) or _workers.sampler(self.random_state)
        return study

    def _run(self, candidates: Candidates, context: Any) -> Objective:
        """Run the trials as one task, and return what knows of them."""
        artifacts = _artifacts.Artifacts(self.artifact_store, candidates.routed.estimator.fit)
        deadline = None if self.timeout is None else Deadline(self.timeout)
        objective = Objective(
            candidates, self.space, self._reports(), self.error_score, artifacts, deadline
        )
        candidates.context = search = context.subcontext(
            task_name="search",
            max_subtasks=self.n_trials and self.n_trials * self.n_splits_,
            sequential_subtasks=False,
        )
        search.call_on_fit_task_begin(estimator=self)
        try:
            self.study_.optimize(
                objective,
                n_trials=self.n_trials,
                timeout=self.timeout,
                n_jobs=effective_n_jobs(self.n_jobs),
                callbacks=[_tell] if self.verbose else None,
            )
        except CannotPrune as error:
            raise ValueError(
                f"`pruner={self.pruner!r}` cannot be asked about {type(self.estimator).__name__}: "
                f"{error}. Or give `pruner=None`."
            ) from error
        search.call_on_fit_task_end(estimator=self)
        return objective

    # -- after the last trial -----------------------------------------------------------------

    def _choose(self, objective: Objective) -> None:
        """Make the table, and choose the best row."""
        trials = self.study_.get_trials(deepcopy=False, states=FINISHED)
        _outcome.check(trials, objective.first_error, self.timeout)
        scored = (t.user_attrs["scores"] for t in trials if t.user_attrs.get("scores"))
        names = _scorers.names(self.scoring) or list(next(scored, ["score"]))
        self.multimetric_ = names != ["score"]
        if self.multimetric_:
            _scorers.check_name(self.refit, names)
        decisive = self.refit if self.refit in names else names[0]
        unknown: dict[int, Exception] = {}
        params = [self._params_of(trial, objective, unknown) for trial in trials]
        _outcome.warn_of_unknown(unknown)
        self.cv_results_ = cv_results(trials, params, names, decisive, self.n_splits_)
        _outcome.warn_of_scores(self.cv_results_, trials, names, self.n_splits_)
        if self.multimetric_ and not self.refit:
            return
        if callable(self.refit):
            self.best_index_ = _scorers.checked_index(self.refit(self.cv_results_), len(trials))
        else:
            self.best_index_ = int(self.cv_results_[f"rank_test_{decisive}"].argmin())
            self.best_score_ = float(self.cv_results_[f"mean_test_{decisive}"][self.best_index_])
        _outcome.refuse_unknown(trials[self.best_index_].number, unknown)
        self.best_params_ = self.cv_results_["params"][self.best_index_]

    def _params_of(
        self, trial: optuna.trial.FrozenTrial, objective: Objective, unknown: dict[int, Exception]
    ) -> dict[str, Any]:
        """Return what was set on the estimator, which a function may have made of the trial.

        Nothing was set where the function itself ended the trial. Where it has a score, and the
        function cannot be asked once more, it is noted among those that are unknown.
        """
        space = self.space
        if isinstance(space, Mapping):  # not all of it, if the trial was killed in between
            space = {name: each for name, each in space.items() if name in trial.params}
        try:
            return objective.answers.again(space, trial)
        except Exception as error:
            is_complete = trial.state is optuna.trial.TrialState.COMPLETE
            if is_complete and not trial.user_attrs.get("error"):
                unknown[trial.number] = error
            return {}

    def _refit(self, candidates: Candidates, context: Any) -> None:
        start = time.perf_counter()
        self.best_estimator_ = candidates.candidate(self.best_params_)
        candidates.refit(self.best_estimator_, context)
        self.refit_time_ = time.perf_counter() - start
        if hasattr(self.best_estimator_, "feature_names_in_"):
            self.feature_names_in_ = self.best_estimator_.feature_names_in_


def _tell(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
    value = "" if trial.value is None else f" {trial.value:.6g}"
    print(f"[Optuna] trial {trial.number}: {trial.state.name}{value} {trial.params}")
