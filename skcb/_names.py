"""Names: which exist, what a function takes, and which legal name a wrong one was meant to be.

Owns the fixed lists of prefixes and of Keras' argument names (kept here so that judging a name
never imports Keras; a test compares them with the installed Keras), the reading of signatures
and the wording of "did you mean". Leaves what a name does to ``_routing``.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

PREFIXES = (
    "model",
    "optimizer",
    "loss",
    "metrics",
    "lr_schedule",
    "callbacks",
    "fit",
    "predict",
    "compile",
)
"""First parts of a prefixed name; each reaches one object."""

FIT_NAMES = (
    "batch_size",
    "epochs",
    "verbose",
    "callbacks",
    "validation_split",
    "validation_data",
    "shuffle",
    "class_weight",
    "sample_weight",
    "initial_epoch",
    "steps_per_epoch",
    "validation_steps",
    "validation_batch_size",
    "validation_freq",
)
"""Arguments of ``keras.Model.fit``, less the data."""

PREDICT_NAMES = ("batch_size", "verbose", "steps", "callbacks")
"""Arguments of ``keras.Model.predict``, less the data."""

COMPILE_NAMES = (
    "optimizer",
    "loss",
    "loss_weights",
    "metrics",
    "weighted_metrics",
    "run_eagerly",
    "steps_per_execution",
    "jit_compile",
    "auto_scale_loss",
)
"""Arguments of ``keras.Model.compile``."""

KERAS_NAMES = frozenset(FIT_NAMES) | frozenset(PREDICT_NAMES) | frozenset(COMPILE_NAMES)

BUILD_EXTRAS = ("meta", "compile_kwargs", "params")
"""What a build function is given when its signature names it."""


class Accepted(NamedTuple):
    """What a callable takes by keyword.

    ``defaults`` maps each name to its default (``inspect.Parameter.empty`` where it has none);
    ``any_name`` is True where it takes ``**kwargs``; ``readable`` is False where Python cannot
    read the signature, so that nothing can be said about a name.
    """

    defaults: dict[str, Any]
    any_name: bool = False
    readable: bool = True

    def takes(self, name: str) -> bool:
        """Whether a call with this keyword could succeed."""
        return name in self.defaults or self.any_name or not self.readable

    @property
    def required(self) -> list[str]:
        """Names without a default."""
        return [n for n, d in self.defaults.items() if d is inspect.Parameter.empty]


def accepted(function: Any) -> Accepted:
    """Read the keywords that a function, class or callable object takes."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return Accepted({}, readable=False)
    by_keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return Accepted(
        {p.name: p.default for p in parameters if p.kind in by_keyword},
        any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters),
    )


def nearest(name: str, legal: Iterable[str]) -> str | None:
    """Return the legal name that this one was most likely meant to be, or None."""
    by_case = {candidate.lower(): candidate for candidate in legal}
    match = difflib.get_close_matches(name.lower(), by_case, n=1, cutoff=0.6)
    return by_case[match[0]] if match else None


def suggestion(name: str, legal: Iterable[str], *, shown_as: str = "{}") -> str:
    """Word the hint that ends an error about an unknown name."""
    legal = sorted(legal)
    near = nearest(name, legal)
    if near is not None:
        return f"Did you mean `{shown_as.replace('{}', near, 1)}`?"
    return f"Legal names: {', '.join(legal) or 'none'}."


def grouped(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Split ``{"a": 1, "b__c": 2}`` into own values and settings of the parts below.

    Returns
    -------
    own : dict
        Names without a double underscore.
    below : dict of dict
        For each first part, the rest of the name and its value.
    """
    own: dict[str, Any] = {}
    below: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        head, delimiter, rest = name.partition("__")
        if delimiter:
            below.setdefault(head, {})[rest] = value
        else:
            own[name] = value
    return own, below


def is_keras(value: Any, name: str) -> bool:
    """Tell an instance of one of Keras' classes without importing Keras."""
    return any(
        base.__name__ == name and base.__module__.partition(".")[0] == "keras"
        for base in type(value).__mro__
    )


def snake(name: str) -> str:
    """Return a class name in snake case: ``AUC`` is "auc", ``EarlyStopping`` "early_stopping"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
