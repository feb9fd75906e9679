"""Space: from distributions, or a function of the trial, to parameters.

Owns the suggestions, what is known of them when a trial is over, and the check of a space before
any trial. Leaves values to ``fit``.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
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

_KEPT = (type(None), bool, int, float, str)
"""Types of choices that come out of every storage as they went in."""


def suggest(space: Space, trial: Any) -> dict[str, Any]:
    """Return the parameters that a trial suggests.

    Raises
    ------
    TypeError
        A function that returns no dict.
    """
    if isinstance(trial, optuna.trial.FrozenTrial):
        return again(space, trial)
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
    choices = distribution.choices
    storage = getattr(trial, "storage", None)  # a FixedTrial has none
    if all(type(choice) in _KEPT for choice in choices) or keeps_objects(storage):
        return trial.suggest_categorical(name, choices)
    # Samplers compare the choices with those of earlier trials, as the storage gives them back.
    value = trial.suggest_categorical(name, [_as_kept(choice) for choice in choices])
    return choices[int(trial.distributions[name].to_internal_repr(value))]


def keeps_objects(storage: Any) -> bool:
    """Tell whether a storage is memory, which gives back the objects that it was given."""
    return storage is None or isinstance(storage, optuna.storages.InMemoryStorage)


def _as_kept(choice: Any) -> Any:
    """Return what every storage but memory makes of a choice, by way of JSON."""
    if type(choice) in _KEPT:
        return choice
    kept = json.loads(json.dumps(choice))
    return _Kept(kept) if isinstance(choice, tuple) else kept


class _Kept(tuple[Any, ...]):
    """A tuple that equals the list that a storage makes of it.

    A sampler may have the one, as in a GridSampler's grid, and finds the other in earlier trials.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list | tuple) and list(self) == json.loads(json.dumps(other))

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = tuple.__hash__


def check_kept(space: Any) -> None:
    """Refuse choices that a storage could not keep, unless it is memory.

    Raises
    ------
    TypeError
        A choice that is more than plain values. Of a function nothing is known.
    """
    for name, distribution in space.items() if isinstance(space, Mapping) else ():
        for choice in getattr(distribution, "choices", ()):
            try:
                json.dumps(choice)
            except (TypeError, ValueError) as error:
                raise TypeError(
                    f"`space[{name!r}]` has the choice {choice!r}, a {type(choice).__name__}, "
                    "which no storage keeps but one in memory. Give plain values (None, bool, int, "
                    "float, str or tuples of them); or a function as `space`, which suggests the "
                    "name of a choice and returns the object."
                ) from error


def again(space: Space, trial: Any) -> dict[str, Any]:
    """Return the parameters of a trial that is over, by asking the space once more.

    Raises
    ------
    ValueError
        A trial that lacks one of the parameters.
    Exception
        Whatever a function raises: it knows the trial's suggestions, number and user attributes,
        and no study.
    """
    if not isinstance(space, Mapping):
        return suggest(space, _Past(trial))
    missing = [name for name in space if name not in trial.params]
    if missing:
        raise ValueError(f"trial {trial.number} has no value of `{missing[0]}`.")
    return {name: _chosen(trial, name, distribution) for name, distribution in space.items()}


def _chosen(trial: Any, name: str, distribution: BaseDistribution) -> Any:
    """Return the value of a trial as the space has it, where a storage made a list of a tuple."""
    value, kept = trial.params[name], trial.distributions.get(name)
    if not isinstance(distribution, CategoricalDistribution):
        return value
    if not isinstance(kept, CategoricalDistribution):  # a FixedTrial that was not asked yet
        return value
    choices = distribution.choices
    is_same = len(kept.choices) == len(choices)
    return choices[int(kept.to_internal_repr(value))] if is_same else value


class _Past(optuna.trial.FixedTrial):
    """A trial that is over, as a function of the space sees it again."""

    def __init__(self, trial: Any) -> None:
        self._suggestions = dict(trial.params)
        super().__init__(self._suggestions, number=trial.number)
        self._trial = trial
        for name, value in trial.user_attrs.items():
            self.set_user_attr(name, value)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return the choice itself, and not what a storage has made of it."""
        if name in self._suggestions:
            distribution = CategoricalDistribution(choices)
            self._suggestions[name] = _chosen(self._trial, name, distribution)
        return super().suggest_categorical(name, choices)


class Answers:
    """What a space gave for the trials of this process.

    A function may look at the study, or draw a number: asked once more, it may say something else.

    Parameters
    ----------
    most : int, optional
        Trials to remember; the oldest is forgotten first.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._known: OrderedDict[Any, dict[str, Any]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        # Elsewhere nothing is known: what a function made may not go into a pickle.
        return {**vars(self), "_known": OrderedDict()}

    def first(self, space: Space, trial: Any) -> dict[str, Any]:
        """Return the parameters that a trial suggests, and remember them."""
        if isinstance(trial, optuna.trial.FrozenTrial):
            return self.again(space, trial)
        params = suggest(space, trial)
        self._known[_key(trial)] = params
        if self._most is not None and len(self._known) > self._most:
            self._known.popitem(last=False)
        return dict(params)

    def again(self, space: Space, trial: Any) -> dict[str, Any]:
        """Return what was set in a trial; for one of another process, ask the space once more.

        Raises
        ------
        Exception
            See :func:`again`.
        """
        known = self._known.get(_key(trial))
        return again(space, trial) if known is None else dict(known)


def _key(trial: Any) -> Any:
    """Return what tells a trial from those of other studies, which begin to count at 0, too."""
    return trial.number, trial.datetime_start


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
