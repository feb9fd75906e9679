"""Studies: the study that a search works on.

Owns making it or going on with it, the check that its trials can be compared with the new ones, and
the default sampler. Leaves the trials to ``_candidates``.
"""

from __future__ import annotations

import json
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from sklearn.utils import check_random_state


def opened(storage: Any, name: str | None, about: Mapping[str, Any]) -> optuna.Study:
    """Return a study that maximizes: a new one, or one that is there and fits.

    Parameters
    ----------
    storage : str, BaseStorage or None
        None for one in memory, which is always new.
    name : str or None
    about : mapping of str to object
        What must be the same in all of its trials: the space as :func:`described`, digests of the
        rest.

    Raises
    ------
    ValueError
        A study of another direction, or about something else.
    """
    study = optuna.create_study(
        storage=storage, study_name=name, direction="maximize", load_if_exists=True
    )
    if storage is None:
        return study
    if study.directions != [optuna.study.StudyDirection.MAXIMIZE]:
        directions = [direction.name.lower() for direction in study.directions]
        raise ValueError(
            f"`study_name={name!r}` is a study with directions {directions}, and of scores more is "
            "better: give another name."
        )
    for what, value in about.items():
        known = study.user_attrs.get(f"skcb_{what}")
        if known is None:
            study.set_user_attr(f"skcb_{what}", value)
        elif known != value:
            raise ValueError(
                f"`study_name={name!r}` has trials of another {what}: give another name."
                f"{_difference(known, value)}"
            )
    return study


def sampler(random_state: Any, n_before: int) -> optuna.samplers.BaseSampler:
    """Return the default sampler; one that goes on with a study must not begin as that did.

    Parameters
    ----------
    random_state : int, RandomState or None
    n_before : int
        Trials that the study has already.
    """
    seed = random_state
    if seed is not None and not isinstance(seed, numbers.Integral):
        seed = check_random_state(seed).randint(2**31)
    if seed is not None and n_before:
        seed = np.random.SeedSequence([int(seed), n_before]).generate_state(1)[0]
    return optuna.samplers.TPESampler(seed=None if seed is None else int(seed))


def described(space: Any) -> dict[str, str] | None:
    """Return a space in a form that a storage keeps; of a function nothing is known."""
    if not isinstance(space, Mapping):
        return None
    to_json = optuna.distributions.distribution_to_json
    return {name: to_json(distribution) for name, distribution in space.items()}


def _difference(known: Any, value: Any) -> str:
    """Say in which names two described spaces differ."""
    if not (isinstance(known, dict) and isinstance(value, dict)):
        return ""
    words = [
        f"`{name}` was {_worded(known.get(name))} and is {_worded(value.get(name))}"
        for name in sorted({*known, *value})
        if known.get(name) != value.get(name)
    ]
    return f" {'; '.join(words)}."


def _worded(described: str | None) -> str:
    if described is None:
        return "not there"
    parts = json.loads(described)
    settings = ", ".join(f"{name}={value!r}" for name, value in parts["attributes"].items())
    return f"{parts['name']}({settings})"
