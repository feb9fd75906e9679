"""The live callback of ``EpochScoring``: scores in an epoch's logs.

Owns which scorers there are, under which names, and what they are asked. Leaves the rows, and the
estimator that predicts on them, to whoever lends a ``Stage``. It imports Keras at its top, so it is
itself imported only where callbacks are built.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import keras
from sklearn.metrics import check_scoring, get_scorer, get_scorer_names

from skcb._names import accepted, suggestion


class Stage(Protocol):
    """What is lent for a fit: the estimator as it stands, and rows to score it on."""

    def begin(self, n_epochs: int) -> None:
        """Forget what was predicted when other numbers of epochs were done."""

    @property
    def estimator(self) -> Any:
        """Behaves like the estimator, fitted up to this epoch."""

    def scored(self, scorer: Any, *data: Any, logs: Any = None, **params: Any) -> Any:
        """Return what a scorer says of the estimator, and leave training as it was."""

    def rows(self, on: str) -> tuple[Any, Any, Any] | None:
        """Return (X, y, sample_weight) in the user's own terms; None where there are no rows."""


class _Loan(NamedTuple):
    stage: Stage
    scorers: dict[str, Any]


class EpochScoring(keras.callbacks.Callback):
    """Puts scores into the logs at the end of each epoch.

    It must stand before every callback that reads them.

    Parameters
    ----------
    scoring, name, on
        See :class:`skcb.callbacks.EpochScoring`.
    """

    def __init__(self, scoring: Any, name: str | None = None, on: str = "validation") -> None:
        super().__init__()
        self.scoring = scoring
        self.name = name
        self.on = on
        self._loan: _Loan | None = None
        self._evaluated = False

    @property
    def logged(self) -> list[str]:
        """Names under which the scores stand in the logs; greater is better in all of them."""
        prefix = "val_" if self.on == "validation" else ""
        return [prefix + name for name in _named(self.scoring, self.name)]

    def borrow(self, stage: Stage, *, where: str) -> None:
        """Take what scoring needs for a fit, and refuse what could not be scored.

        Parameters
        ----------
        stage : Stage
        where : str
            Full parameter name of this callback, for messages.
        """
        if self.name is not None and not isinstance(self.scoring, str) and _is_several(self):
            raise ValueError(
                f"`{where}__name={self.name!r}` names one score, and `{where}__scoring` has "
                f"{len(self.scoring)}: name them by a dict of name to scorer."
            )
        if stage.rows(self.on) is None:
            raise ValueError(
                f"`{where}__on={self.on!r}` needs watched rows, and there are none: give "
                f"`validation_split=0.2`, or `X_val` and `y_val`, or set `{where}__on='train'`."
            )
        named = _named(self.scoring, self.name).values()
        scorers = [_scorer(scoring, stage.estimator, f"{where}__scoring") for scoring in named]
        self._loan = _Loan(stage, dict(zip(self.logged, scorers, strict=True)))

    def give_back(self) -> None:
        """Let go of what was lent."""
        self._loan = None

    def on_test_end(self, logs: Any = None) -> None:
        """Note that the watched rows were looked at; not every epoch does."""
        self._evaluated = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Score, and put the scores among the logs."""
        evaluated, self._evaluated = self._evaluated, False
        if self._loan is None or not (evaluated or self.on == "train"):
            return
        stage, scorers = self._loan
        stage.begin(epoch + 1)
        X, y, weight = stage.rows(self.on)  # type: ignore[misc]
        for name, scorer in scorers.items():
            weighted = weight is not None and _takes_weights(scorer)
            weights = {"sample_weight": weight} if weighted else {}
            logs[name] = _number(stage.scored(scorer, X, y, logs=logs, **weights), name)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loan": None}


def _is_several(callback: EpochScoring) -> bool:
    return isinstance(callback.scoring, Mapping | list | tuple | set)


def _named(scoring: Any, name: str | None) -> dict[str, Any]:
    """Give each scorer its name."""
    if isinstance(scoring, Mapping):
        return dict(scoring)
    if isinstance(scoring, list | tuple | set):
        return {str(each): each for each in scoring}
    return {name or _own_name(scoring): scoring}


def _own_name(scoring: Any) -> str:
    """Return what a scorer is called where nobody said."""
    if scoring is None or isinstance(scoring, str):
        return scoring or "score"
    # Scikit-learn's scorers have no public name; test_epoch_scoring.py notices if this goes.
    metric = getattr(scoring, "_score_func", scoring)
    return str(getattr(metric, "__name__", "score"))


def _scorer(scoring: Any, estimator: Any, where: str) -> Any:
    """Return the function of (estimator, X, y) that a scoring stands for."""
    if isinstance(scoring, str):
        if scoring not in get_scorer_names():
            raise ValueError(
                f"`{where}` holds {scoring!r}, and scikit-learn has no scorer of this name. "
                + suggestion(scoring, get_scorer_names())
            )
        return get_scorer(scoring)
    if scoring is not None and not callable(scoring):
        raise TypeError(
            f"`{where}` must be a scorer's name, a function of (estimator, X, y), a list of names, "
            f"a dict of name to scorer, or None, but got {scoring!r}."
        )
    try:
        return check_scoring(estimator, scoring=scoring)
    except ValueError as error:  # a metric where a scorer is meant
        raise ValueError(f"`{where}`: {error}") from error


def _takes_weights(scorer: Any) -> bool:
    """Tell whether a scorer weighs rows."""
    if _refuses_weights(scorer):
        return False
    # How scikit-learn's own searches ask; test_epoch_scoring.py notices if it goes.
    asked = getattr(scorer, "_accept_sample_weight", None)
    return bool(asked()) if asked is not None else accepted(scorer).takes("sample_weight")


def _refuses_weights(scorer: Any) -> bool:
    """Tell whether the user has said so by ``set_score_request``."""
    routing: Any = getattr(scorer, "get_metadata_routing", dict)()
    return hasattr(routing, "score") and routing.score.requests.get("sample_weight") is False


def _number(score: Any, name: str) -> float:
    try:
        return float(score)
    except (TypeError, ValueError):
        raise TypeError(
            f"the scorer of `{name}` must return one number but returned {score!r:.80}. For "
            "several scores of one epoch give a list or a dict of scorers."
        ) from None
