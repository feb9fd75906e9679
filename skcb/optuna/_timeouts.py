"""Timeouts: what becomes of a trial that is under way when the time of its study has run out.

Owns ending it and the study. Leaves the moment to ``_clock`` and the epochs to ``engine.loop``,
which begins none after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import optuna

from skcb._clock import Deadline, OutOfTime, in_force

ATTRIBUTE, TIMEOUT = "stopped_by", "timeout"
"""The user attribute of a trial that was cut short, and its value."""


@contextmanager
def until(deadline: Deadline | None, trial: Any) -> Iterator[None]:
    """End a trial when a deadline passes, and begin no other in this study.

    The deadline of a search around this one ends the trial too, and comes through.

    Parameters
    ----------
    deadline : Deadline or None
    trial : optuna.Trial

    Raises
    ------
    optuna.TrialPruned
        The deadline has passed: what the trial has reported is true, and its value unknown.
    """
    study = getattr(trial, "study", None)  # a FixedTrial has none
    try:
        with nullcontext() if deadline is None else in_force(deadline):
            yield
    except OutOfTime as end:
        trial.set_user_attr(ATTRIBUTE, TIMEOUT)
        if end.deadline is deadline:
            raise optuna.TrialPruned("the time of the study has run out") from None
        if study is not None:  # Optuna leaves a trial open that ends by no `Exception`
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        raise
    finally:
        if study is not None and deadline is not None and deadline.over:
            with suppress(RuntimeError):  # with `ask` and `tell` there is no loop to stop
                study.stop()


def was_cut(trial: Any) -> bool:
    """Tell whether a trial ended because there was no time left."""
    return bool(trial.user_attrs.get(ATTRIBUTE) == TIMEOUT)
