"""Metrics by name: what each is called in settings, and which form of y it compares with.

Owns the names under ``metrics__`` and the lists of Keras' metrics that read a class index or a
column for each class (kept here so that nothing imports Keras; a test compares them with the
installed Keras). Leaves building metrics to ``_parts`` and what y looks like to ``_heads``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from skcb._heads import Head, loss_name
from skcb._names import snake
from skcb.tunable import Recipe, Tunable

READ_INDEX = frozenset(
    """
    sparse_categorical_accuracy sparse_categorical_crossentropy sparse_top_k_categorical_accuracy
    """.split()
)
"""Metrics that compare a row of outputs with the index of its class."""

READ_COLUMNS = frozenset(
    """
    auc binary_accuracy binary_crossentropy binary_focal_crossentropy binary_io_u
    categorical_accuracy categorical_crossentropy categorical_focal_crossentropy categorical_hinge
    concordance_correlation cosine_similarity f1_score f_beta_score false_negatives false_positives
    hinge huber kl_divergence log_cosh log_cosh_error mean_absolute_error
    mean_absolute_percentage_error mean_squared_error mean_squared_logarithmic_error
    one_hot_io_u one_hot_mean_io_u pearson_correlation poisson precision precision_at_recall
    r2_score recall recall_at_precision root_mean_squared_error sensitivity_at_specificity
    specificity_at_sensitivity squared_hinge top_k_categorical_accuracy true_negatives
    true_positives
    """.split()
)
"""Metrics that compare a row of outputs with as many numbers."""

OF_SEVERAL_CLASSES = frozenset(["categorical_accuracy", "categorical_crossentropy"])
"""Metrics that read columns, and of a single one would say that all is well."""


def entries(metrics: Any) -> Iterator[Any]:
    """Yield the metrics in whatever lists and dicts they stand."""
    if isinstance(metrics, list | tuple | dict):
        for entry in metrics.values() if isinstance(metrics, dict) else metrics:
            yield from entries(entry)
    elif metrics is not None:
        yield metrics


def metric_name(metric: Any) -> str:
    """Return the name under which a metric's settings are given."""
    if isinstance(metric, str):
        return snake(metric)
    source = metric.cls if isinstance(metric, Tunable) else metric
    if not isinstance(source, type) and isinstance(getattr(source, "name", None), str):
        return str(source.name)
    return snake(getattr(source, "__name__", type(source).__name__))


def listed(metrics: Any) -> dict[str, Any]:
    """List the arguments of recipes among metrics under their full names."""
    found: dict[str, Any] = {}
    for metric in entries(metrics):
        if isinstance(metric, Recipe):
            name = metric_name(metric)
            found |= {f"metrics__{name}__{k}": v for k, v in metric.get_params().items()}
    return found


def reads_index(metric: Any) -> bool:
    """Tell whether a metric is known to read the index of a class; none of the user's own is."""
    return _of_keras(metric) in READ_INDEX


def reads_columns(metric: Any) -> bool:
    """Tell whether a metric is known to read a column for each class."""
    return _of_keras(metric) in READ_COLUMNS


def check_readable(metrics: Any, head: Head) -> None:
    """Raise a ValueError for a metric that y, as it is encoded for its loss, does not suit.

    Keras would fail in the first epoch, or compute something from shapes that happen to fit.
    """
    for metric in entries(metrics):
        problem = _problem(_of_keras(metric), head)
        if problem is not None:
            raise ValueError(
                f"`metrics` has {metric_name(metric)!r}, which {problem} (y is encoded for the "
                f"loss, {head.loss})."
            )


def _problem(name: str, head: Head) -> str | None:
    if head.encoding == "integer" and name in READ_COLUMNS:
        return (
            "needs a column for each class, but y holds the index of the class: use "
            "`loss='categorical_crossentropy'` or leave the loss out"
        )
    if head.encoding in ("one_hot", "indicator", "sign") and name in READ_INDEX:
        return (
            "needs the index of the class, but y has a column for each: use "
            f"{name.removeprefix('sparse_')!r}"
        )
    if head.encoding == "binary" and (name in READ_INDEX or name in OF_SEVERAL_CLASSES):
        return (
            "needs an output for each class, but the model has one for both: use "
            f"{'binary_' + name.rpartition('_')[2]!r}"
        )
    return None


def _of_keras(metric: Any) -> str:
    """Return the name of a metric of Keras' own in snake case; empty for all others."""
    source = metric if isinstance(metric, str | type) or hasattr(metric, "__name__") else None
    source = type(metric) if source is None else source
    if not isinstance(source, str) and source.__module__.partition(".")[0] != "keras":
        return ""
    return loss_name(source) or ""
