"""Routing: which object each parameter of an estimator reaches in this fit.

Owns the precedence between spellings of one thing and the error for a thing said twice. Leaves
the judging of names as they are set to ``_params``, and the building to ``_build``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from skcb._names import (
    COMPILE_NAMES,
    FIT_NAMES,
    KERAS_NAMES,
    PREDICT_NAMES,
    PREFIXES,
    Accepted,
    grouped,
    suggestion,
)
from skcb.tunable import same

_ARGUMENTS = {"fit": FIT_NAMES, "predict": PREDICT_NAMES, "compile": COMPILE_NAMES}
_UNSUPPORTED = {
    "class_weight": "classes have weights in a classifier; give `sample_weight` to `fit`",
    "steps_per_epoch": "an epoch is all training rows; choose `batch_size` and `epochs`",
    "validation_steps": "all watched rows are evaluated; choose `validation_split`",
    "steps": "all rows are predicted; choose `predict__batch_size`",
}
_BOTH = ("batch_size", "verbose", "callbacks")
"""Plain names that Keras' ``fit`` and ``predict`` both know."""


@dataclass
class Routed:
    """What each object is given in one fit.

    Attributes
    ----------
    named : dict
        The estimator's named parameters, overlay applied.
    given : set of str
        Those of ``named`` that differ from their default.
    model, fit, predict, compile : dict
        Arguments of the build function (nested ones still flat), ``Model.fit``,
        ``Model.predict`` and ``Model.compile``.
    parts : dict of dict
        Settings under ``optimizer``, ``loss``, ``metrics`` and ``lr_schedule``.
    callbacks : dict of dict
        For each callback its settings; under the empty name what replaces it.
    """

    named: dict[str, Any]
    given: set[str]
    model: dict[str, Any] = field(default_factory=dict)
    fit: dict[str, Any] = field(default_factory=dict)
    predict: dict[str, Any] = field(default_factory=dict)
    compile: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    callbacks: dict[str, dict[str, Any]] = field(default_factory=dict)


def route(
    named: Mapping[str, Any],
    defaults: Mapping[str, Any],
    overlay: Mapping[str, Any],
    build: Accepted,
) -> Routed:
    """Say what each object is given.

    Parameters
    ----------
    named : mapping
        Values of the estimator's signature.
    defaults : mapping
        Their defaults; a value equal to its default counts as not given.
    overlay : mapping
        ``sk_params`` as they were given.
    build : Accepted
        What the build function takes.

    Raises
    ------
    ValueError
        One thing given twice with different values, an argument that Keras does not have, or one
        that skcb replaces.
    TypeError
        A value for ``sk_params`` itself.
    """
    if "sk_params" in overlay:
        raise TypeError(
            "`sk_params` is the name of all parameters that the signature does not list; give "
            f"them by their own names. Got sk_params={overlay['sk_params']!r}."
        )
    given = {name for name, value in named.items() if not same(value, defaults.get(name))}
    routed = Routed(dict(named), given)
    for name, value in _canonical(overlay, named, given, build).items():
        _send(routed, name, value)
    _refuse_two_decays(routed)
    return routed


def _refuse_two_decays(routed: Routed) -> None:
    """Refuse the decay of Keras 2's optimizers beside a schedule: one rate has one owner."""
    decay = routed.parts.get("optimizer", {}).get("decay")
    schedule = routed.named.get("lr_schedule")
    if decay and schedule is not None:
        raise ValueError(
            f"`optimizer__decay={decay!r}` and `lr_schedule={schedule!r}` both set the learning "
            "rate: give one of them."
        )


def _canonical(
    overlay: Mapping[str, Any], named: Mapping[str, Any], given: set[str], build: Accepted
) -> dict[str, Any]:
    """Bring each name to one spelling, so that a thing said twice meets itself."""
    values: dict[str, Any] = {name: named[name] for name in given}
    spelled = {name: name for name in given}
    found: dict[str, Any] = {}
    for name, value in overlay.items():
        _refuse_unknown(name, value)
        key = _one_spelling(name, named, build)
        if key in values and spelled[key] != name and not same(values[key], value):
            raise ValueError(
                f"`{spelled[key]}={values[key]!r}` and `{name}={value!r}` are two spellings of one "
                "parameter with different values; give one of them."
            )
        values[key], spelled[key] = value, name
        found[key] = value
    return found


def _refuse_unknown(name: str, value: Any) -> None:
    """Refuse what ``Model.fit``, ``predict`` and ``compile`` do not take."""
    head, _, rest = name.partition("__")
    part, nested, _ = rest.partition("__")
    legal = _ARGUMENTS.get(head)
    if not rest or legal is None:
        return
    if part not in legal:
        hint = suggestion(part, legal, shown_as=head + "__{}")
        raise ValueError(f"`{name}={value!r}`: Model.{head} has no argument `{part}`. {hint}")
    if nested and (head == "predict" or part not in PREFIXES):
        raise ValueError(f"`{name}={value!r}`: `{head}__{part}` has no settings.")


def _one_spelling(name: str, named: Mapping[str, Any], build: Accepted) -> str:
    head, delimiter, rest = name.partition("__")
    part = rest.partition("__")[0]
    if not delimiter:
        belongs_to_build = name in build.defaults or name not in KERAS_NAMES
        return f"model__{name}" if belongs_to_build and name not in named else name
    if head == "compile" or (head == "fit" and (part not in _BOTH or part == "callbacks")):
        return rest
    return rest if head == "predict" and part == "steps" else name


def _send(routed: Routed, name: str, value: Any) -> None:
    head, delimiter, rest = name.partition("__")
    if not delimiter:
        _send_plain(routed, name, value)
    elif head == "callbacks":
        callback, _, setting = rest.partition("__")
        routed.callbacks.setdefault(callback, {})[setting] = value
    elif head in ("model", "fit", "predict", "compile"):
        getattr(routed, head)[rest] = value
    elif head in PREFIXES:
        routed.parts.setdefault(head, {})[rest] = value


def _send_plain(routed: Routed, name: str, value: Any) -> None:
    if name in routed.named:
        routed.named[name] = value
        routed.given.add(name)
        return
    refuse_unsupported(name, value)
    for head, names in _ARGUMENTS.items():
        if name in names:
            getattr(routed, head)[name] = value


def refuse_unsupported(name: str, value: Any) -> None:
    """Refuse an argument of Keras' that skcb replaces by another."""
    if name in _UNSUPPORTED and value is not None:
        raise ValueError(f"`{name}={value!r}` is not taken: {_UNSUPPORTED[name]}.")


def build_arguments(
    routed: Routed, build: Accepted, extras: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Collect what the build function is called with.

    Returns
    -------
    values : dict
        Its arguments as the user gave them: ``sk_params``, named parameters that stand in its
        signature and were given, and of ``extras`` what its signature names and nobody gave.
    below : dict of dict
        Settings that reach into an argument (``model__regularizer__l2``).
    """
    own, below = grouped(routed.model)
    named = {
        name: routed.named[name]
        for name in build.defaults
        if name in routed.given and name != "build_fn"
    }
    wanted = {name: value for name, value in extras.items() if name in build.defaults}
    return {**wanted, **named, **own}, below
