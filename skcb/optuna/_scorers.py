"""Scorers: one or several, and what ``refit`` says of them.

Owns their names, the check of ``refit`` before the first trial, and who takes weights. Leaves the
scores to ``_candidates``.
"""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Collection, Mapping
from inspect import signature
from typing import Any

from sklearn.metrics import check_scoring, get_scorer_names

from skcb._names import suggestion


def names(scoring: Any) -> list[str]:
    """Return the names of several scorers; of one, none."""
    return list(scoring) if isinstance(scoring, Mapping | list | tuple) else []


def by_name(estimator: Any, scoring: Any) -> dict[str, Any]:
    """Return several scorers by their names; of one, none."""
    known = scoring if isinstance(scoring, Mapping) else {n: n for n in names(scoring)}
    return {name: check_scoring(estimator, each) for name, each in known.items()}


def check_known(scoring: Any) -> None:
    """Refuse a name that scikit-learn has no scorer for, before it lists all that it has.

    Raises
    ------
    ValueError
    TypeError
        A set, whose first scorer is another one in each process.
    """
    if isinstance(scoring, set | frozenset):
        raise TypeError(
            f"`scoring` must not be a set, which has no order, but got {scoring!r}: give a list of "
            "names, or a dict, where there may be several."
        )
    every = scoring.values() if isinstance(scoring, Mapping) else [scoring, *names(scoring)]
    legal = get_scorer_names()
    for name in every:
        if isinstance(name, str) and name not in legal:
            raise ValueError(
                f"`scoring` must be one of scikit-learn's scorers by name, or a function, but got "
                f"{name!r}. {suggestion(name, legal)}"
            )


def check_refit(refit: Any, scoring: Any) -> None:
    """Refuse a ``refit`` that chooses nothing.

    Raises
    ------
    ValueError
        No scorer has this name, or it names none of several.
    TypeError
        Neither a bool, a name nor a function.
    """
    if callable(refit):
        return
    if not isinstance(refit, str | bool):
        raise TypeError(
            f"`refit` must be a bool, the name of a scorer or a function but got {refit!r}."
        )
    if callable(scoring):
        return  # its names are known once it has been called
    several = names(scoring)
    if refit is True and several:
        raise ValueError(
            "`refit=True` does not say which of several scorers decides: name one of "
            f"{', '.join(map(repr, several))}, or give a function or False."
        )
    check_name(refit, several or ["score", *([scoring] if isinstance(scoring, str) else [])])


def check_name(refit: Any, known: Collection[str]) -> None:
    """Refuse the name of a scorer that there is not.

    Raises
    ------
    ValueError
    """
    if isinstance(refit, str) and refit not in known:
        raise ValueError(
            f"`refit` must name one of the scorers {', '.join(map(repr, known))} but got "
            f"{refit!r}. " + suggestion(refit, known)
        )


def take_weights(scorer: Any) -> bool:
    """Tell whether a scorer weighs rows."""
    # How scikit-learn's own searches ask; test_search.py notices if it goes.
    asked = getattr(scorer, "_accept_sample_weight", None)
    return bool(asked()) if asked is not None else "sample_weight" in signature(scorer).parameters


def warn_of_weights(estimator: Any, scoring: Any, scorers: Any, *, stacklevel: int) -> None:
    """Warn of scorers that leave out weights which the fits are given."""
    several = by_name(estimator, scoring)
    without = [f"`{name}`" for name, each in several.items() if not take_weights(each)]
    if not several and not take_weights(scorers):
        without = [f"`scoring={scoring!r}`"]
    if without:
        warnings.warn(
            f"{', '.join(without)} does not take `sample_weight`: fits are weighted, and this "
            "score is not.",
            UserWarning,
            stacklevel=stacklevel + 1,
        )


def checked_index(index: Any, n: int) -> int:
    """Return the row that a function chose.

    Raises
    ------
    TypeError
        No integer.
    IndexError
        No row.
    """
    if not isinstance(index, numbers.Integral):
        raise TypeError(f"`refit` must return the index of a row but returned {index!r}.")
    chosen = int(index)
    if not 0 <= chosen < n:
        raise IndexError(f"`refit` must return an index of {n} rows but returned {chosen}.")
    return chosen
