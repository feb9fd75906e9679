"""The live callback of ``OptunaPruning``: a fold's epochs to its trial, and the end of training.

Owns what of a fit is reported, and how the fit ends when the trial is pruned. Leaves the folds of
the trial to ``_fold_reports``. It imports Keras at its top, so it is itself imported only where
callbacks are built.
"""

from __future__ import annotations

import warnings
from typing import Any

import keras
import optuna

from skcb import _monitors
from skcb.exceptions import TrainingWarning
from skcb.optuna._fold_reports import FoldReports


class OptunaPruning(keras.callbacks.EarlyStopping):
    """Ends training, like its parent, by what it monitors; when, the study's pruner says.

    Being an EarlyStopping, its monitor and mode are judged as those of any other. In an epoch after
    which its trial is pruned it only stops training; it raises at the end, when the other
    callbacks are ended.

    Parameters
    ----------
    trial, monitor, mode, fold, n_folds
        See :class:`skcb.optuna.OptunaPruning`.
    where : str
        Full parameter name, for messages.
    """

    raises_at_the_end = True

    def __init__(
        self,
        trial: Any,
        monitor: str = "val_loss",
        mode: str = "auto",
        fold: int | None = None,
        n_folds: int | None = None,
        where: str = "callbacks",
    ) -> None:
        super().__init__(monitor=monitor, mode=mode)
        self._where = where
        self._reports: FoldReports | None = None
        if hasattr(trial, "study"):  # a FixedTrial has none, and nobody to report to
            self._reports = FoldReports(trial, int(fold or 0), int(n_folds or 1), where)
        self._pruned: str | None = None
        self._n_epochs = 0
        self._is_shown = False

    def set_model(self, model: Any) -> None:
        """Take a model: to train it, or the one that ``partial_fit`` shows, on a copy of this."""
        super().set_model(model)
        self._is_shown = True  # until training goes on

    def on_train_begin(self, logs: Any = None) -> None:
        """Take the fold's place in its trial.

        Raises
        ------
        ValueError
            The study optimizes in the other direction, or the place is taken.
        optuna.TrialPruned
            The trial was pruned in another fold.
        """
        super().on_train_begin(logs)
        self._is_shown = False
        if self._reports is not None:
            self._refuse_other_direction(self._reports)
            self._reports.begin(self.monitor)
            _warn_of_waiting(self._reports)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Note that training goes on."""
        self._is_shown = False

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Report the epoch, and stop training if the trial is pruned."""
        self._n_epochs = epoch + 1
        if self._reports is not None and self._pruned is None:
            self._pruned = self._reports.add(self._value(logs or {}))
        if self._pruned is not None:
            self.model.stop_training = True

    def on_train_end(self, logs: Any = None) -> None:
        """Report the end of the fold.

        Raises
        ------
        optuna.TrialPruned
            The pruner says so.
        """
        if self._reports is not None and self._pruned is None and not self._is_shown:
            early = self._n_epochs < (self.params or {}).get("epochs", 0)
            self._pruned = self._reports.end(stopped=early or self.model.stop_training)
        if self._pruned is not None:
            raise optuna.TrialPruned(self._pruned)

    def give_back(self) -> None:
        """Note, after an epoch of ``partial_fit``, which ends no training, that it has stopped."""
        stopped = self.model is not None and self.model.stop_training
        if self._reports is not None and self._pruned is None and stopped:
            self._reports.end(stopped=True, ask=False)

    def _value(self, logs: dict[str, float]) -> float | None:
        """Return what the epoch is reported with; None where no rows were watched in it."""
        if self.monitor in logs:
            return float(logs[self.monitor])
        if self.monitor.startswith("val_") and not any(name.startswith("val_") for name in logs):
            return None
        raise ValueError(
            f"`{self._where}__monitor={self.monitor!r}`: nothing in this fit is called "
            f"{self.monitor!r}. The epoch logged {', '.join(sorted(logs))}."
        )

    def _refuse_other_direction(self, reports: FoldReports) -> None:
        better: str | None = self.mode
        if better == "auto":
            better = _monitors.direction_of(self.monitor, self.model)
        asked = "max" if reports.greater_is_better else "min"
        if better in (None, asked):  # what nobody knows is taken as the study takes it
            return
        worded = {"max": ("higher", "maximize"), "min": ("lower", "minimize")}
        raise ValueError(
            f"`{self._where}__monitor={self.monitor!r}`: a {worded[str(better)][0]} value is "
            f"better, and the study has `direction={worded[asked][1]!r}`: create it with "
            f"`direction={worded[str(better)][1]!r}`, or monitor something else."
        )


def _warn_of_waiting(reports: FoldReports) -> None:
    """Say, once in a study, that a pruner of epochs had to wait for the last fold."""
    if reports.judged_late():
        warnings.warn(
            "the folds of a trial are trained one after the other, and a "
            f"{type(reports.study.pruner).__name__} can judge no less than the mean over all of "
            "them: it saves epochs of the last fold alone. Take a WilcoxonPruner, train the folds "
            "side by side (`partial_fit`, threads, processes), or use CrossValObjective.",
            TrainingWarning,
            stacklevel=3,
        )
