"""Studies: the study that trials belong to.

Owns making it or going on with it, and the check that its trials can be compared with the new ones.
Leaves the trials to ``_candidates``, and what several workers on it need to ``_workers``.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.trial import TrialState

from skcb import _runs
from skcb._fingerprint import fingerprint
from skcb._folds import Folds

_COMPARED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds before looking again: of workers that make a database's tables together one succeeds."""

_WORDS = {"fit_params": "fits with other parameters"}
_HINTS = {
    "cv": " A splitter that shuffles needs a `random_state`, or every fit has folds of its own.",
}


def opened(storage: Any, name: str | None, about: Mapping[str, Any]) -> optuna.Study:
    """Return a study that maximizes: a new one, or one that is there and fits.

    Parameters
    ----------
    storage : str, BaseStorage or None
        None for one in memory, which is always new.
    name : str or None
    about : mapping of str to object
        What must be the same in all of its trials, see :func:`described`.

    Raises
    ------
    TypeError
        A storage that is none.
    ValueError
        A storage that cannot be used, a study of another direction, or about something else.
    """
    if storage is None:
        return optuna.create_study(study_name=name, direction="maximize")
    study = _reached(storage, name)
    if study.directions != [optuna.study.StudyDirection.MAXIMIZE]:
        directions = [direction.name.lower() for direction in study.directions]
        raise ValueError(
            f"`study_name={name!r}` is a study with directions {directions}, and of scores more is "
            "better: give another name."
        )
    agree(study, about, f"`study_name={name!r}`")
    return study


def described(space: Any, folds: Folds, scoring: Any) -> dict[str, Any]:
    """Describe trials by what must be the same for their values to be compared.

    Parameters
    ----------
    space : dict or function
        Of a function nothing is known.
    folds : Folds
    scoring : object
    """
    return {
        # First: whoever reads the others, while a worker writes them, reads this one, too.
        "fit_params": _fit_params(folds),
        "space": _by_name(space),
        "data": fingerprint(folds.X, folds.y),
        "cv": fingerprint(folds.splits),
        "scoring": fingerprint(scoring),
    }


def agree(
    study: optuna.Study, about: Mapping[str, Any], named: str, new: int | None = None
) -> None:
    """Note what a study's trials are about, or find that the new ones are about the same.

    Parameters
    ----------
    study : optuna.Study
    about : mapping of str to object
    named : str
        What the error calls the study.
    new : int, optional
        Number of a trial that is not one of those before.

    Raises
    ------
    ValueError
        They are about something else.
    """
    known = study.user_attrs
    for what, value in about.items():
        before = known.get(f"skcb_{what}")
        if what == "fit_params" and before is None and "skcb_data" in known:
            before = {}  # an older version did not write down that there were none
        if before == value:
            continue
        if before is not None and _has_trials(study, new):
            raise ValueError(
                f"{named} has trials of {_WORDS.get(what, f'another {what}')}: give another name."
                f"{_difference(before, value)}{_HINTS.get(what, '')}"
            )
        study.set_user_attr(f"skcb_{what}", value)


def _reached(storage: Any, name: str | None) -> optuna.Study:
    """Return the study of a storage, or say why the storage cannot be used."""
    if not isinstance(storage, str | BaseStorage):
        raise TypeError(
            "`storage` must be an address such as 'sqlite:///study.db', one of optuna.storages or "
            f"None but got {storage!r}. A file goes into JournalStorage(JournalFileBackend(path))."
        )
    for pause in (*_PAUSES, None):
        try:
            return optuna.create_study(
                storage=storage, study_name=name, direction="maximize", load_if_exists=True
            )
        except Exception as error:
            if pause is not None and _may_be_a_race(error):
                time.sleep(pause)
                continue
            cause: BaseException = error
            while cause.__cause__ is not None:
                cause = cause.__cause__
            reason = " ".join(f"{type(cause).__name__}: {cause}".split()).rstrip(".")
            raise ValueError(
                f"`storage={_shown(storage)}` cannot be used: {reason}. {_advice(storage, error)}"
            ) from error
    raise AssertionError("unreachable")  # pragma: no cover


def _may_be_a_race(error: Exception) -> bool:
    """Tell whether another worker may have made the same tables, so that they are there now."""
    # By name: SQLAlchemy is Optuna's affair, and loaded only for a database.
    name = type(error).__name__
    if name == "OperationalError":  # SQLite's word for nearly everything
        return re.search("already exists|no such table|locked", str(error)) is not None
    return name in ("IntegrityError", "ProgrammingError")


def _shown(storage: Any) -> str:
    """Word a storage, without a password."""
    url = getattr(storage, "url", None) if isinstance(storage, RDBStorage) else storage
    if isinstance(url, str):
        shown = repr(re.sub(r"(//[^:/@]*):[^@]*@", r"\1:***@", url))
        return shown if storage is url else f"RDBStorage({shown})"
    return type(storage).__name__


def _advice(storage: Any, error: Exception) -> str:
    if isinstance(error, ImportError):
        return (
            "Install the driver that this address names, such as psycopg for "
            "'postgresql+psycopg://user@host/database'."
        )
    if isinstance(storage, JournalStorage):
        if isinstance(error, ValueError):
            return (
                "A line of its file is damaged, as a full disk or a machine that went down in the "
                "middle of a write leaves it: stop all workers and remove that line."
            )
        return "Its file must be in a folder that exists, where this process may create files."
    if str(getattr(storage, "url", storage)).startswith("sqlite"):
        return (
            "It must be an SQLite file, or a new one in a folder that exists, where this process "
            "may write; three slashes begin a relative path, four an absolute one."
        )
    return "Does its server run and listen at this address, for this user and database?"


def _has_trials(study: optuna.Study, new: int | None) -> bool:
    trials = study.get_trials(deepcopy=False, states=_COMPARED)
    return any(trial.number != new for trial in trials)


def place(name: str) -> str:
    """Return the directory of a study's runs, which no study of another name has."""
    slug = _runs.slug(name)
    return slug if slug == name else f"{slug}-{fingerprint(name)[:8]}"


def _fit_params(folds: Folds) -> dict[str, str]:
    """Describe what fits and scorers are given beside the data; of groups the folds say it."""
    given = {
        **folds.routed.estimator.fit,
        **{f"{name} of the scorer": v for name, v in folds.routed.scorer.score.items()},
    }
    return {
        name: fingerprint(value)
        for name, value in given.items()
        if value is not None and name.rpartition("__")[2] != "verbose"
    }


def _by_name(space: Any) -> dict[str, str] | None:
    """Return a space in a form that a storage keeps."""
    if not isinstance(space, Mapping):
        return None
    return {name: _in_json(distribution) for name, distribution in space.items()}


def _in_json(distribution: Any) -> str:
    try:
        return optuna.distributions.distribution_to_json(distribution)
    except TypeError:  # choices that are objects, which a study in memory may have
        choices = [f"{type(each).__name__} {fingerprint(each)}" for each in distribution.choices]
        return json.dumps({"name": type(distribution).__name__, "attributes": {"choices": choices}})


def _difference(known: Any, value: Any) -> str:
    """Say in which names two described spaces, or parameters of a fit, differ."""
    if not (isinstance(known, dict) and isinstance(value, dict)):
        return ""
    words = [
        f"`{name}` was {_worded(known.get(name))} and is "
        f"{_worded(value.get(name), 'another' if name in known else 'there')}"
        for name in sorted({*known, *value})
        if known.get(name) != value.get(name)
    ]
    return f" {'; '.join(words)}."


def _worded(described: str | None, digest: str = "there") -> str:
    """Word a distribution, or a fingerprint, which says nothing to people."""
    if described is None:
        return "not there"
    if not described.startswith("{"):
        return digest
    parts = json.loads(described)
    settings = ", ".join(f"{name}={value!r}" for name, value in parts["attributes"].items())
    return f"{parts['name']}({settings})"
