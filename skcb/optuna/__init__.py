"""Optuna: trial-driven search. The only room in which Optuna is imported."""

from __future__ import annotations

from skcb.optuna._objective import CrossValObjective

__all__ = ["CrossValObjective"]
