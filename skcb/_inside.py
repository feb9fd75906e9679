"""Inside: where Keras steps stand in an estimator.

Owns the way from a Pipeline, or anything else around a Keras step, to that step, before and after a
fit. Leaves what is done with it to others.
"""

from __future__ import annotations

from typing import Any

from skcb._base import BaseKerasEstimator


def described(estimator: Any) -> dict[str, BaseKerasEstimator]:
    """Return the Keras steps among the parameters, by the prefix that their names have.

    For an estimator of skcb's own the prefix is empty; in a Pipeline it is, say,
    ``"kerasclassifier__"``.
    """
    if isinstance(estimator, BaseKerasEstimator):
        return {"": estimator}
    params = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    return {f"{n}__": v for n, v in params.items() if isinstance(v, BaseKerasEstimator)}


def trained(estimator: Any) -> list[BaseKerasEstimator]:
    """Return the fitted Keras steps of a fitted estimator."""
    if isinstance(estimator, BaseKerasEstimator):
        return [estimator] if hasattr(estimator, "model_") else []
    if isinstance(estimator, list | tuple):
        return [step for each in estimator for step in trained(each)]
    if not hasattr(estimator, "get_params") or isinstance(estimator, type):
        return []
    fitted = [value for name, value in vars(estimator).items() if name.endswith("_")]
    return trained([fitted, [step for _, step in getattr(estimator, "steps", [])]])
