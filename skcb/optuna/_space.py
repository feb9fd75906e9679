"""Space: from distributions, or a function of the trial, to parameters.

Owns the suggestions and the check of a space before any trial. Leaves values to ``fit``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from skcb._names import nearest

Space = Mapping[str, BaseDistribution] | Callable[[optuna.Trial], Mapping[str, Any]]


def suggest(space: Space, trial: Any) -> dict[str, Any]:
    """Return the parameters that a trial suggests.

    Raises
    ------
    TypeError
        A function that returns no dict.
    """
    if isinstance(space, Mapping):
        return {name: _suggested(trial, name, dist) for name, dist in space.items()}
    params = space(trial)
    if not isinstance(params, Mapping):
        raise TypeError(
            f"`space` must return a dict of parameters but returned {params!r} for trial "
            f"{trial.number}."
        )
    return dict(params)


def _suggested(trial: Any, name: str, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, FloatDistribution):
        return trial.suggest_float(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(
            name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    assert isinstance(distribution, CategoricalDistribution)
    return trial.suggest_categorical(name, distribution.choices)


def check(space: Any, candidate: Callable[[Mapping[str, Any]], Any]) -> None:
    """Refuse a space in which no trial could go well.

    Parameters
    ----------
    space : dict or function
        Of a function nothing is known before it is called.
    candidate : function
        Sets parameters on a clone, and raises a ValueError for a name that reaches nothing.

    Raises
    ------
    ValueError
        An empty space, or a name that reaches nothing.
    TypeError
        Neither a dict nor a function, a key that is no name, or an entry that is no distribution.
    """
    if not isinstance(space, Mapping):
        if not callable(space):
            raise TypeError(
                "`space` must be a dict of optuna.distributions or a function `trial -> dict` but "
                f"got {space!r}."
            )
        return
    if not space:
        raise ValueError("`space` is empty: there is nothing to search.")
    for name, distribution in space.items():
        if not isinstance(name, str):
            raise TypeError(f"`space` must have names of parameters as its keys but got {name!r}.")
        if not isinstance(distribution, BaseDistribution):
            raise TypeError(
                f"`space[{name!r}]` must be one of optuna.distributions but got {distribution!r}."
            )
    # All at once: one name may need another, as a callback's setting needs the callback.
    values = {name: _any_value(distribution) for name, distribution in space.items()}
    try:
        candidate(values)
    except ValueError as error:
        hint = "" if "Did you mean" in str(error) else _hint(space, candidate({}))
        raise ValueError(f"`space`: {error}{hint}") from error


def _hint(space: Mapping[str, Any], estimator: Any) -> str:
    """Offer a whole name where the error speaks of a part of it, or of one without its prefix."""
    known = sorted(estimator.get_params(deep=True))
    for name in (name for name in space if name not in known):
        inner = [each for each in known if each.endswith(f"__{name}")]
        near = min(inner, key=len) if inner else nearest(name, known)
        if near is not None:
            return f" Did you mean `{near}`?"
    return ""


def _any_value(distribution: Any) -> Any:
    choices = getattr(distribution, "choices", None)
    return choices[0] if choices else distribution.low
