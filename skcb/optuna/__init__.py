"""Optuna: trial-driven search. The only room in which Optuna is imported."""

from __future__ import annotations

from skcb.optuna._objective import CrossValObjective
from skcb.optuna._pruning import OptunaPruning
from skcb.optuna._search import OptunaSearchCV

__all__ = ["CrossValObjective", "OptunaPruning", "OptunaSearchCV"]
