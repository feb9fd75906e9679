"""Trials in pickles and in worker processes.

Owns how a trial is taken along, and the refusal of one whose reports nobody would see. Leaves what
is reported to ``_fold_reports``.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
from typing import Any, NamedTuple

import optuna

_HERE = os.getpid()  # of the process that imported this; a fork has it too, and another id


class Away(NamedTuple):
    """A trial in a pickle, by its study's name and its number.

    It is opened when it is needed, so that a fitted estimator can be loaded where the study's
    storage cannot be reached. Of a study in memory there is nothing to open: a pickle would hold a
    copy of it.
    """

    study: str
    number: int
    content: bytes | None


def named(trial: Any) -> Any:
    """Return what a trial is known by in every process."""
    if isinstance(trial, Away):
        return trial[:2]
    study = getattr(trial, "study", None)  # a FixedTrial has none
    return trial if study is None else (study.study_name, trial.number)


def taken_along(trial: Any) -> Any:
    """Return what stands in a pickle for a trial."""
    if getattr(trial, "study", None) is None or isinstance(trial, Away):
        return trial
    if _is_in_memory(trial):
        return Away(trial.study.study_name, trial.number, None)
    try:
        return Away(trial.study.study_name, trial.number, pickle.dumps(trial))
    except Exception:  # a sampler with a lambda in it; a worker's pickle may know how
        return trial


def arrived(trial: Any, where: str) -> Any:
    """Return the trial itself.

    Parameters
    ----------
    trial : optuna.Trial or Away
    where : str
        Full parameter name of the callback that reports to it, for messages.

    Raises
    ------
    ValueError
        It is, or would be, a copy, since its study is in the memory of another process.
    """
    if isinstance(trial, Away) and trial.content is not None:
        return pickle.loads(trial.content)
    if isinstance(trial, Away) or (_is_in_memory(trial) and _is_of_other_process(trial)):
        raise ValueError(
            f"`{where}__trial`: its study is in memory, and this is another process, or came out "
            "of a pickle: reports would go to a copy that nobody reads. Create the study with a "
            "storage that processes share, JournalStorage or RDBStorage, or use threads."
        )
    return trial


def _is_in_memory(trial: Any) -> bool:
    # `storage` is not among a trial's documented attributes; test_pruning.py notices if it goes.
    return isinstance(getattr(trial, "storage", None), optuna.storages.InMemoryStorage)


def _is_of_other_process(trial: Any) -> bool:
    """Tell whether a trial in memory may be a copy of one in another process.

    A worker cannot know where a trial was made, but for one that it is optimizing itself.
    """
    if os.getpid() != _HERE:
        return True
    # No copy has this, and no public name leads to it; test_pruning.py notices if it goes.
    optimizing = getattr(getattr(trial.study, "_thread_local", None), "in_optimize_loop", False)
    return multiprocessing.parent_process() is not None and not optimizing
