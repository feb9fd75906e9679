"""skcb: Keras models as scikit-learn estimators, with everything about training a parameter.

Names load on first use: ``import skcb`` imports neither TensorFlow, Keras nor Optuna.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skcb._refit import refit
    from skcb.engine.pool import clear_programs, engine_report
    from skcb.estimators import KerasClassifier, KerasRegressor
    from skcb.scoring import validation_score
    from skcb.transformer import KerasTransformer
    from skcb.tunable import Tunable

__version__ = "0.1.0.dev0"

__all__ = [
    "KerasClassifier",
    "KerasRegressor",
    "KerasTransformer",
    "Tunable",
    "__version__",
    "clear_programs",
    "engine_report",
    "refit",
    "validation_score",
]

_HOME = {
    "KerasClassifier": "skcb.estimators",
    "KerasRegressor": "skcb.estimators",
    "KerasTransformer": "skcb.transformer",
    "Tunable": "skcb.tunable",
    "clear_programs": "skcb.engine.pool",
    "engine_report": "skcb.engine.pool",
    "refit": "skcb._refit",
    "validation_score": "skcb.scoring",
}
_MODULES = ("callbacks", "exceptions", "optuna", "schedules")


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _MODULES:
        return import_module(f"skcb.{name}")
    raise AttributeError(f"module 'skcb' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
