"""The errors and warnings of skcb's own. Everything else is a ValueError or TypeError."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["NonFiniteLoss", "TrainingWarning"]


class TrainingWarning(UserWarning):
    """Training can go on, but probably not as its author meant it."""


class NonFiniteLoss(ArithmeticError):
    """The loss became NaN or infinite.

    Raised at the end of the epoch in which it happened, so that a search scores the candidate
    by its ``error_score`` and goes on. With :class:`skcb.callbacks.TerminateOnNaN` among the
    callbacks training ends as Keras ends it, and nothing is raised.

    Parameters
    ----------
    epoch : int
        Index of the epoch, from 0.
    learning_rate : float
        Learning rate of the epoch's last step.
    logs : mapping of str to float
        What the epoch logged.
    last_finite : mapping of str to float or None
        What the last epoch before it logged; None where it was the first.

    Examples
    --------
    >>> from skcb.exceptions import NonFiniteLoss
    >>> print(NonFiniteLoss(3, 0.5, {"loss": float("nan")}, {"loss": 0.7}))
    loss is nan in epoch 3 (from 0) at learning rate 0.5; the epoch before had loss=0.7. \
Try a smaller `optimizer__learning_rate`, or clip gradients with `optimizer__clipnorm`.
    """

    def __init__(
        self,
        epoch: int,
        learning_rate: float,
        logs: Mapping[str, float],
        last_finite: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(epoch, learning_rate, logs, last_finite)
        self.epoch = epoch
        self.learning_rate = learning_rate
        self.logs = dict(logs)
        self.last_finite = None if last_finite is None else dict(last_finite)

    def __str__(self) -> str:
        broken = ", ".join(f"{k} is {v}" for k, v in self.logs.items() if not _finite(v))
        before = (
            "it was the first"
            if self.last_finite is None
            else "the epoch before had "
            + ", ".join(f"{k}={v:.6g}" for k, v in self.last_finite.items())
        )
        return (
            f"{broken} in epoch {self.epoch} (from 0) at learning rate {self.learning_rate:g}; "
            f"{before}. Try a smaller `optimizer__learning_rate`, or clip gradients with "
            "`optimizer__clipnorm`."
        )


def _finite(value: Any) -> bool:
    return value - value == 0
