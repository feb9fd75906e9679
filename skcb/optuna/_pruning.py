"""The recipe that lets a study prune a loop over folds that a user has written.

Owns ``OptunaPruning`` and what can be judged of it before a model is built. Leaves the reports to
``_fold_reports`` and the fit to ``_live_pruning``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna

from skcb import _runs
from skcb.callbacks.ranges import MODE, NONE, TEXT, Ranges, integer
from skcb.callbacks.recipe import CallbackRecipe
from skcb.optuna import _trials
from skcb.optuna._fold_reports import OBJECTIVE
from skcb.tunable import same

__all__ = ["OptunaPruning"]


class OptunaPruning(CallbackRecipe):
    """Report the epochs of a fit to an Optuna trial, and end it when the study's pruner says so.

    For those who write their own loop over folds: each fold gets an instance of its own, with
    ``fold`` and ``n_folds``. The folds' reports are kept apart and told to the pruner as one, as
    if the folds were trained in lock-step: the step is the number of epochs trained, the value the
    mean over *all* folds, told as soon as each fold has trained as long or has ended. A fold that
    a callback has stopped counts with its best value from then on. Where the study has a
    WilcoxonPruner, which compares trials fold by fold, it is told each fold's own value when the
    fold has ended, at the index of the fold.

    A trial that is pruned raises ``optuna.TrialPruned`` out of ``fit``, which ends the objective.

    Parameters
    ----------
    trial : optuna.Trial
        The trial that the objective got. A FixedTrial reports to nobody.
    monitor : str, default="val_loss"
        What to report, as in EarlyStopping.
    mode : {"auto", "min", "max"}, default="auto"
        Whether lower or higher is better, where Keras cannot say. The study's direction must be
        the same.
    fold : int, optional
        Which fold this is, counted from 0.
    n_folds : int, optional
        How many folds the trial has. Without both, the trial is a single fit.

    See Also
    --------
    CrossValObjective : The same without a loop of one's own; it needs no OptunaPruning.

    Notes
    -----
    Folds that are trained one after the other leave a pruner of epochs nothing to judge before the
    last of them, and a warning says so. What is sound and saves more: a WilcoxonPruner, or folds
    side by side, in threads, in processes, or an epoch each in turn by ``partial_fit``.

    Reports are in the study's storage, in user attributes ``skcb_fold_0`` and so on. Folds in
    several processes need a study in a JournalStorage or RDBStorage; with one in memory that is an
    error. ``clone`` and ``deepcopy`` share the trial.

    Wherever it stands, its turn comes after all other callbacks', which are so ended as in any
    fit when the trial is pruned. A fold that has failed cannot be tried again in the same trial,
    and BackupAndRestore does not go on with another trial's fold.

    Examples
    --------
    >>> import keras, numpy as np, optuna
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import StratifiedKFold
    >>> from skcb import KerasClassifier
    >>> from skcb.optuna import OptunaPruning
    >>> X, y = load_iris(return_X_y=True)
    >>> def softmax(meta):
    ...     return keras.Sequential([
    ...         keras.layers.Input((meta["n_features_in_"],)),
    ...         keras.layers.Dense(meta["n_output_units_"], meta["output_activation_"]),
    ...     ])
    >>> def objective(trial):
    ...     rate = trial.suggest_float("rate", 1e-3, 1e-1, log=True)
    ...     losses = []
    ...     for fold, (train, test) in enumerate(StratifiedKFold(3).split(X, y)):
    ...         clf = KerasClassifier(
    ...             softmax, optimizer="adam", optimizer__learning_rate=rate, epochs=3,
    ...             callbacks={"prune": OptunaPruning(trial, fold=fold, n_folds=3)},
    ...             random_state=0)
    ...         clf.fit(X[train], y[train], X_val=X[test], y_val=y[test])
    ...         losses.append(clf.history_["val_loss"][-1])
    ...     return np.mean(losses)
    >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
    >>> study = optuna.create_study(pruner=optuna.pruners.NopPruner())
    >>> study.optimize(objective, n_trials=1)
    >>> steps = study.best_trial.intermediate_values
    >>> sorted(steps), steps[3] == study.best_value
    ([1, 2, 3], True)
    """

    ALLOWED = Ranges(monitor=TEXT, mode=MODE, fold=integer(0) | NONE, n_folds=integer(1) | NONE)

    def __init__(
        self,
        trial: Any,
        monitor: str = "val_loss",
        *,
        mode: str = "auto",
        fold: int | None = None,
        n_folds: int | None = None,
    ) -> None:
        self.trial = trial
        self.monitor = monitor
        self.mode = mode
        self.fold = fold
        self.n_folds = n_folds

    def target(self) -> type:
        """Return the class of the live callback; this imports Keras."""
        from skcb.optuna import _live_pruning  # here, because Keras loads with it

        return _live_pruning.OptunaPruning

    def construct(self, given: Mapping[str, Any], settings: Mapping[str, Any], where: str) -> Any:
        """Build the live callback; the trial is the one argument that is not copied."""
        if "trial" in settings:
            raise ValueError(
                f"`{where}__trial` cannot be set by name, since `clone` would copy it: give "
                f"`{where}=OptunaPruning(trial, ...)`."
            )
        arguments = {**given, **settings}
        arguments["trial"] = _trials.arrived(arguments["trial"], where)
        _judge_place(arguments.get("fold"), arguments.get("n_folds"), where)
        _judge_trial(arguments["trial"], arguments.get("n_folds"), where)
        return self.target()(**arguments, where=where)

    def __sklearn_clone__(self) -> OptunaPruning:
        return type(self)(**self.arguments())

    def __deepcopy__(self, memo: Any) -> OptunaPruning:
        return type(self)(**self.arguments())

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "trial": _trials.taken_along(self.trial)}

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        assert isinstance(other, OptunaPruning)
        mine, theirs = self.arguments(), other.arguments()
        for arguments in (mine, theirs):  # a trial that comes out of a pickle is another object
            arguments["trial"] = _trials.named(arguments["trial"])
        return same(mine, theirs)

    __hash__ = CallbackRecipe.__hash__


def _judge_place(fold: int | None, n_folds: int | None, where: str) -> None:
    """Refuse a fold without the number of folds, and one beyond it."""
    if (fold is None) != (n_folds is None):
        given, missing = ("fold", "n_folds") if n_folds is None else ("n_folds", "fold")
        raise ValueError(
            f"`{where}__{missing}` is missing: `{given}` says nothing without it. Each fold of a "
            f"trial gets its own callback, with `fold` and `n_folds`. {OBJECTIVE}"
        )
    if fold is not None and n_folds is not None and fold >= n_folds:
        raise ValueError(
            f"`{where}__fold={fold}` must be below `{where}__n_folds={n_folds}`: folds are counted "
            "from 0."
        )


def _judge_trial(trial: Any, n_folds: int | None, where: str) -> None:
    """Refuse what no reports can go to, or what others report to."""
    if not isinstance(trial, optuna.trial.BaseTrial):
        raise TypeError(
            f"`{where}__trial` must be the optuna.Trial that the objective got, but got {trial!r}."
        )
    if _runs.is_announced():  # a fold of one of skcb's own runners
        raise ValueError(
            f"`{where}`: CrossValObjective and OptunaSearchCV ask the pruner themselves, and the "
            f"second report of a step is dropped: leave the callback out, `{where}=None`."
        )
    study = getattr(trial, "study", None)
    if study is None:
        return
    if len(study.directions) > 1:
        raise ValueError(
            f"`{where}__trial`: its study has {len(study.directions)} directions, and Optuna "
            "prunes by one value."
        )
    if (n_folds or 1) == 1 and isinstance(study.pruner, optuna.pruners.WilcoxonPruner):
        raise ValueError(
            f"`{where}`: the study has a WilcoxonPruner, which compares folds, and this trial has "
            "one: give `fold` and `n_folds`, or the study another pruner."
        )
