"""Workers: what several processes on one study trip over.

Owns the default sampler, which begins anew in each of them, and the warnings of a study that only
one process sees, of trials that repeat another worker's and of a lock that would never be released.
"""

from __future__ import annotations

import numbers
import os
import warnings
from typing import Any

import numpy as np
import optuna
from optuna.distributions import FloatDistribution
from optuna.storages.journal import JournalFileSymlinkLock
from sklearn.utils import check_random_state

from skcb.exceptions import TrainingWarning

_HOME = os.getpid()
_QUEUED = ("fixed_params", "retry_history")
"""System attributes of trials whose parameters come from a queue."""


class OwnStart(optuna.samplers.TPESampler):
    """A TPESampler that begins anew for each worker on a study.

    Its seed follows from the given one and from the number of the first trial that it is asked
    about, which a storage gives to one worker only. A study's very first worker has the given seed.

    Parameters
    ----------
    seed : int or None
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(seed=seed)
        self._first_seed = seed

    def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        """Take the seed that is this worker's own, before the first trial."""
        seed, self._first_seed = self._first_seed, None
        if seed is not None and trial.number:
            own = np.random.SeedSequence([seed, trial.number]).generate_state(1)[0]
            super().__init__(seed=int(own))
        super().before_trial(study, trial)


def sampler(random_state: Any) -> optuna.samplers.BaseSampler:
    """Return the default sampler.

    Parameters
    ----------
    random_state : int, RandomState or None
    """
    seed = random_state
    if seed is not None and not isinstance(seed, numbers.Integral):
        seed = check_random_state(seed).randint(2**31)
    return OwnStart(seed=None if seed is None else int(seed))


def forked() -> bool:
    """Tell whether this process is a fork of one that had skcb loaded."""
    return os.getpid() != _HOME


def warn_of_lock(storage: Any) -> None:
    """Warn of a Journal file whose lock no worker could release after another was killed.

    JournalFileSymlinkLock links to the path as it was given. A link from ``runs/study.log.lock`` to
    ``runs/study.log`` points to nothing; waiting for it then never ends, and uses a whole core.
    """
    # Optuna has no public name for either (test_storages.py notices if these go).
    backend = getattr(storage, "_backend", None)
    path = str(getattr(backend, "_file_path", ""))
    if os.path.isabs(path) or not os.path.dirname(path):
        return
    if isinstance(getattr(backend, "_lock", None), JournalFileSymlinkLock):
        warnings.warn(
            f"`storage` is a Journal file with a relative path, {path!r}: a worker that is killed "
            "while it writes would make all others wait for ever. Give "
            f"JournalFileBackend({os.path.abspath(path)!r}).",
            TrainingWarning,
            stacklevel=5,
        )


def warn_of_memory(study: optuna.Study, trial: optuna.Trial) -> None:
    """Warn of a study in memory, where a trial's objective came from another process."""
    if isinstance(trial.storage, optuna.storages.InMemoryStorage):
        warnings.warn(
            f"the study {study.study_name!r} is in memory, and the objective was made in another "
            "process: if the study was made there too, this process works on a copy of it. It sees "
            "no trials of others, and nobody sees its own. Create the study with "
            "`storage=JournalStorage(JournalFileBackend(path))`.",
            TrainingWarning,
            stacklevel=5,
        )


def warn_of_repetition(trial: Any) -> None:
    """Warn if a trial has another one's parameters, as two samplers with one seed suggest them.

    Asked of a worker's first trial. A number without steps is the same twice by no chance.
    """
    study, params = getattr(trial, "study", None), trial.params
    kinds = trial.distributions.values()
    if study is None or not any(isinstance(d, FloatDistribution) and not d.step for d in kinds):
        return
    trials = {each.number: each for each in study.get_trials(deepcopy=False)}
    if any(name in trials[trial.number].system_attrs for name in _QUEUED):
        return
    for number, other in trials.items():
        if number != trial.number and other.params == params:
            warnings.warn(
                f"trial {trial.number} has the parameters of trial {number}, to the last digit: "
                "their samplers have the same seed, and what follows may repeat as well. Give "
                "every worker, and every run on this study, a sampler with another seed.",
                TrainingWarning,
                stacklevel=5,
            )
            return
