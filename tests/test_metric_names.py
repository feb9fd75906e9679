"""What metrics are called in settings, and which form of y each reads."""

import keras
import pytest

from skcb import KerasClassifier, Tunable
from skcb._heads import head_for, loss_name
from skcb._metric_names import READ_COLUMNS, READ_INDEX, check_readable, metric_name
from tests.models import own_metric

EITHER = {  # by the shapes, by numbers as they are, or by nothing of y
    *("accuracy", "io_u", "mean_io_u"),
    *("metric", "mean", "sum", "mean_metric_wrapper"),
}


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("auc", "auc"),
        ("AUC", "auc"),
        (keras.metrics.AUC, "auc"),
        (keras.metrics.AUC(name="area"), "area"),
        (Tunable(keras.metrics.TruePositives), "true_positives"),
        (own_metric, "own_metric"),
    ],
)
def test_a_metric_has_one_name(given, name):
    """The name under which its settings are given."""
    assert metric_name(given) == name


def test_arguments_of_recipes_among_metrics_are_parameters():
    """In whatever lists and dicts they stand."""
    auc = Tunable(keras.metrics.AUC, num_thresholds=7)
    for metrics in ([auc], ["accuracy", auc], {"a": "accuracy", "b": [auc]}):
        params = KerasClassifier(metrics=metrics).get_params()
        assert params["metrics__auc__num_thresholds"] == 7


def test_every_metric_of_keras_is_known():
    """Each public class of the installed Keras reads an index, columns, or either."""
    found = {loss_name(c) for c in vars(keras.metrics).values() if isinstance(c, type)}
    assert found <= READ_INDEX | READ_COLUMNS | EITHER
    assert READ_INDEX <= found and EITHER <= found


@pytest.mark.parametrize(
    ("metric", "target", "loss", "message"),
    [
        ("auc", "multiclass", "sparse_categorical_crossentropy", "needs a column for each class"),
        (
            keras.metrics.SparseCategoricalAccuracy(),
            "multiclass",
            "categorical_crossentropy",
            "use 'categorical_accuracy'",
        ),
        ("categorical_accuracy", "binary", "binary_crossentropy", "use 'binary_accuracy'"),
        (
            keras.metrics.sparse_categorical_accuracy,
            "binary",
            "binary_crossentropy",
            "use 'binary_accuracy'",
        ),
    ],
)
def test_a_metric_that_y_does_not_suit_is_refused(metric, target, loss, message):
    """Keras would fail in mid-training, or call every row right."""
    with pytest.raises(ValueError, match=message):
        check_readable(["accuracy", [metric]], head_for(target, loss, 3))


@pytest.mark.parametrize("metric", ["accuracy", own_metric, keras.metrics.MeanIoU(3)])
def test_a_metric_that_may_read_any_y_is_not_refused(metric):
    """Nothing is said of the user's own, nor where Keras chooses by the shapes."""
    for loss in ("sparse_categorical_crossentropy", "categorical_crossentropy"):
        check_readable([metric], head_for("multiclass", loss, 3))
