"""Pending: a fit that waits before its first epoch, and is trained by whoever asked for it.

Owns the asking, which reaches a Keras step however deep it stands in what is fitted, and one such
fit: its epochs, the score of its watched rows, its end. Leaves the road to the first epoch to
``_base`` and the epochs themselves to ``engine.loop``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Self

from skcb import _keras, _lending
from skcb._data import Data
from skcb._view import View
from skcb.engine import loop
from skcb.engine.state import TrainingState
from skcb.exceptions import TrainingWarning

ENDED_EARLY = "refit"
"""``stopped_by_`` of a fit whose epochs were not over when :meth:`PendingFit.finish` was called."""

_WAITING: ContextVar[list[PendingFit] | None] = ContextVar("skcb_waiting", default=None)


class CannotWait(TypeError):
    """An estimator that needs its trained Keras step while it is fitted, or fits several."""


class NoneWaits(CannotWait):
    """An estimator whose fit is over, and has fitted no Keras step here."""


class PendingFit:
    """A fit of one estimator, prepared and not yet trained; a context that ends it.

    However the context is left, callbacks that have begun are ended, once. Its clock stands still
    between the calls.

    Parameters
    ----------
    estimator : BaseKerasEstimator
        Becomes a fitted estimator by :meth:`finish`.
    state : TrainingState
    train, watched : Data or None
        In the user's own labels.
    """

    def __init__(
        self, estimator: Any, state: TrainingState, train: Data, watched: Data | None
    ) -> None:
        self.estimator = estimator
        self._state = state
        self._watched = watched
        self._view = View(estimator, state, train, watched)
        self._ended = False

    @property
    def n_epochs(self) -> int:
        """Epochs trained so far."""
        return self._state.epoch - self._state.initial_epoch

    @property
    def stopped(self) -> bool:
        """Whether training was stopped, by a callback or by its time."""
        return self._state.stopped

    @property
    def over(self) -> bool:
        """Whether there is no epoch left to train."""
        return self._ended or self.stopped or self._state.epoch >= self._state.epochs

    @property
    def trained(self) -> tuple[dict[str, Any], Any] | None:
        """History and model as they are by now; None before training has begun."""
        return (self._state.history, self._state.model) if self._state.begun else None

    @property
    def n_rows(self) -> int:
        """Number of rows that train."""
        return len(self._state.train)

    @property
    def n_watched(self) -> int:
        """Number of watched rows."""
        return 0 if self._state.watched is None else len(self._state.watched)

    def begin(self) -> None:
        """Begin training; a backup may put it where an earlier run was."""
        with self._state.clock, _keras.in_force(self.estimator._keras_settings):
            loop.begin(self._state)

    def advance(self) -> None:
        """Train one more epoch, if there is one."""
        if not self.over:
            with self._state.clock, _keras.in_force(self.estimator._keras_settings):
                loop.advance(self._state)

    def score(self, scorer: Callable[..., Any], *, weighted: bool = False) -> Any:
        """Return what a scorer says of the model, as it stands, on the watched rows.

        Parameters
        ----------
        scorer : function of (estimator, X, y)
        weighted : bool, default=False
            Whether the rows' weights go to the scorer.
        """
        assert self._watched is not None
        x, y, weight = self._watched
        weights: dict[str, Any] = {}
        if weighted and weight is not None:
            weights["sample_weight"] = weight
        self._view.begin(self._state.epoch)
        with _keras.in_force(self.estimator._keras_settings):
            return self._view.scored(scorer, x, y, **weights)

    def finish(self) -> None:
        """End training, and make the estimator a fitted one."""
        if not self._ended:
            self.begin()  # a fit of no epochs
            self._end()
            self.estimator._keep(self._state, self._state.model)

    def _end(self) -> None:
        self._ended = True
        try:
            if self._state.begun:
                with _keras.in_force(self.estimator._keras_settings):
                    loop.finish(self._state, ENDED_EARLY)
        finally:
            _lending.take_back(self.estimator.callbacks_)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        interrupted = error is not None and not isinstance(error, Exception)
        if interrupted and self._state.backup is not None:
            self._state.backup.interrupted()
        if not self._ended:
            self._end()


def prepare(fit: Callable[[], Any]) -> PendingFit:
    """Run something that fits one Keras step, and return that fit before its first epoch.

    What stands before the step is fitted when this returns. Whatever holds the step becomes
    fitted with it.

    Parameters
    ----------
    fit : function without arguments

    Raises
    ------
    CannotWait
        Several Keras steps were fitted, or the trained one was needed at once.
    NoneWaits
        No Keras step was fitted.
    Exception
        Of the fit.
    """
    waiting: list[PendingFit] = []
    token = _WAITING.set(waiting)
    try:
        fit()
    except Exception as error:
        _drop(waiting)
        # What asks a step that is not trained gets one of these, NotFittedError being its child.
        if not waiting or not isinstance(error, AttributeError):
            raise
        raise CannotWait(f"its fit needs the trained Keras step at once ({error})") from error
    except BaseException:
        _drop(waiting)
        raise
    finally:
        _WAITING.reset(token)
    if not waiting:
        raise NoneWaits("its fit fits a Keras step 0 times")
    if len(waiting) > 1:
        _drop(waiting)
        raise CannotWait(f"its fit fits a Keras step {len(waiting)} times")
    return waiting[0]


def _drop(waiting: list[PendingFit]) -> None:
    for each in waiting:
        with each:
            pass


class Ask:
    """Whether somebody waits for the fit that begins here; fits within it are nobody's."""

    def __init__(self) -> None:
        self._waiting = _WAITING.get()
        self._token = _WAITING.set(None)

    def hand_out(
        self, estimator: Any, state: TrainingState, train: Data, watched: Data | None
    ) -> bool:
        """Hand the prepared fit to whoever waits for it; False where nobody does."""
        if self._waiting is None:
            return False
        # The name is scikit-learn's own, as in `_params`; test_pending.py notices if it goes.
        if getattr(estimator, "_skl_callbacks", None):
            warnings.warn(
                "scikit-learn's callbacks (`set_callbacks`) see no epochs of a fit whose epochs "
                "somebody else trains, as in lock-step; the Keras callbacks in `callbacks` do.",
                TrainingWarning,
                stacklevel=2,
            )
        self._waiting.append(PendingFit(estimator, state, train, watched))
        return True

    def end(self) -> None:
        """End what began with this."""
        _WAITING.reset(self._token)
