"""Optimizer, loss and metrics: every form that a user may give becomes this fit's own object."""

import functools

import keras
import numpy as np
import pytest

from skcb import Tunable, _parts
from tests.models import own_loss, own_metric

EXPONENTIAL = keras.optimizers.schedules.ExponentialDecay


class Doubt(keras.metrics.Metric):
    """A metric whose config does not say what its class takes."""

    def __init__(self, doubt=1.0, name="doubt", **kwargs):
        super().__init__(name=name, **kwargs)
        self.doubt = doubt

    def update_state(self, y_true, y_pred, sample_weight=None):
        pass

    def result(self):
        return self.doubt


class Frank(Doubt):
    """A metric whose config says all."""

    def get_config(self):
        return {**super().get_config(), "doubt": self.doubt}


@pytest.mark.parametrize(
    "given",
    [
        *("adam", "Adam", "ADAM"),
        keras.optimizers.Adam,
        keras.optimizers.Adam(),
        Tunable(keras.optimizers.Adam),
    ],
    ids=["name", "Name", "NAME", "class", "instance", "recipe"],
)
def test_an_optimizer_comes_in_any_form_and_takes_settings(given):
    """Name, class, instance and recipe give Adam, with the settings on top."""
    live = _parts.optimizer(given, {"learning_rate": 0.25})
    assert type(live) is keras.optimizers.Adam
    assert float(live.learning_rate) == 0.25


@pytest.mark.parametrize("settings", [{}, {"momentum": 0.5}])
def test_an_instance_is_copied_without_its_state(settings):
    """The copy has the instance's settings, and has taken no step."""
    given = keras.optimizers.SGD(0.5, momentum=0.25)
    given.build([keras.Variable(np.zeros(2))])
    given.iterations.assign(7)
    live = _parts.optimizer(given, settings)
    assert live is not given and not live.built
    assert (float(live.learning_rate), int(live.iterations)) == (0.5, 0)
    assert (given.momentum, live.momentum) == (0.25, settings.get("momentum", 0.25))


@pytest.mark.parametrize(
    ("given", "settings", "message"),
    [
        ("adm", {}, r"`optimizer='adm'`.*Did you mean `Adam`"),
        ("adam", {"momentum": 0.9}, r"`optimizer__momentum=0\.9`: Adam has no.*list of grids"),
        ("adam", {"learning_rat": 1}, r"Did you mean `optimizer__learning_rate`"),
        (keras.optimizers.Adam(), {"momentum": 0.9}, r"`optimizer__momentum=0\.9`: Adam has no"),
    ],
)
def test_an_optimizer_that_is_not_there_names_the_nearest(given, settings, message):
    """Wrong names of optimizers and of their settings are answered with a right one."""
    with pytest.raises(ValueError, match=message):
        _parts.optimizer(given, settings)


@pytest.mark.parametrize("given", [3, keras.losses.MeanSquaredError, Tunable(dict)])
def test_what_is_no_optimizer_is_refused(given):
    """The error says which forms there are."""
    with pytest.raises(TypeError, match="`optimizer` must be the name, class or instance"):
        _parts.optimizer(given, {})


def test_an_optimizer_with_a_schedule_object_is_recognised():
    """Its learning rate is not a number that a schedule of skcb's could set."""
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    assert _parts.holds_schedule(keras.optimizers.SGD(schedule))
    assert not _parts.holds_schedule(keras.optimizers.SGD(0.1))


@pytest.mark.parametrize(
    "given",
    [
        *("binary_crossentropy", "bce", "BinaryCrossentropy"),
        keras.losses.BinaryCrossentropy,
        keras.losses.BinaryCrossentropy(),
        Tunable(keras.losses.BinaryCrossentropy),
    ],
    ids=["function", "alias", "class name", "class", "instance", "recipe"],
)
def test_a_loss_comes_in_any_form_and_takes_settings(given):
    """Every form gives the class where there are settings for it."""
    live = _parts.loss(given, {"label_smoothing": 0.25})
    assert type(live) is keras.losses.BinaryCrossentropy
    assert live.get_config()["label_smoothing"] == 0.25


@pytest.mark.parametrize("given", ["mse", own_loss, keras.losses.Huber()])
def test_a_loss_without_settings_is_passed_on(given):
    """Names are left to Keras, functions and instances are taken as they are."""
    assert _parts.loss(given, {}) is given


@pytest.mark.parametrize("given", [["bce", "mse"], {"a": "bce", "b": "mse"}])
def test_each_head_has_its_loss(given):
    """A list stays a list and a dict a dict."""
    assert _parts.loss(given, {}) == given


def test_only_heads_that_end_in_logits_are_told_so():
    """And of them only those whose loss can read logits."""
    first, *rest = _parts.loss(["bce", "bce", "mse"], {}, from_logits=[True, False, True])
    assert first.get_config()["from_logits"] is True
    assert rest == ["bce", "mse"]


@pytest.mark.parametrize(
    ("from_logits", "settings", "expected"),
    [([True], {}, True), ([True, True], {}, True), ([True], {"from_logits": False}, False)],
)
def test_a_loss_by_name_reads_logits_where_the_model_ends_in_them(from_logits, settings, expected):
    """The user's own setting wins over what the model looks like."""
    live = _parts.loss("bce", settings, from_logits=from_logits)
    assert live.get_config()["from_logits"] is expected


@pytest.mark.parametrize(
    ("given", "settings", "message"),
    [
        ("binary_crossentrop", {}, r"Did you mean `binary_crossentropy`"),
        ("bce", {"smoothing": 1}, r"`loss__smoothing=1`: BinaryCrossentropy has no"),
        (own_loss, {"delta": 3}, r"`loss__delta=3` reaches nothing.*Tunable"),
    ],
)
def test_a_loss_that_is_not_there_names_the_nearest(given, settings, message):
    """Wrong names of losses and of their settings are answered with a way out."""
    with pytest.raises(ValueError, match=message):
        _parts.loss(given, settings)


def test_what_is_no_loss_is_refused():
    """The error says which forms there are."""
    with pytest.raises(TypeError, match=r"`loss` must be the name, class or instance.*got 3"):
        _parts.loss(3, {})


@pytest.mark.parametrize(
    "given",
    ["auc", "AUC", keras.metrics.AUC, keras.metrics.AUC(), Tunable(keras.metrics.AUC)],
    ids=["name", "Name", "class", "instance", "recipe"],
)
def test_a_metric_comes_in_any_form_and_takes_settings(given):
    """Settings go by the metric's name in snake case."""
    (live,) = _parts.metrics([given], {"auc__num_thresholds": 7})
    assert type(live) is keras.metrics.AUC and live.num_thresholds == 7


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, None), ("accuracy", ["accuracy"]), ([own_metric], [own_metric]), ([], [])],
)
def test_metrics_without_settings_are_passed_on(given, expected):
    """Names and functions are left to Keras; one metric is a list of one."""
    assert _parts.metrics(given, {}) == expected


def test_metric_objects_are_copied():
    """Two fits never count in one object."""
    given = Frank(0.5)
    (live,) = _parts.metrics([given], {})
    assert live is not given and (type(live), live.doubt) == (Frank, 0.5)


def test_a_metric_that_a_copy_would_change_is_refused():
    """Where the config lacks an argument, its value would silently be the default."""
    with pytest.raises(TypeError, match=r"`metrics__doubt`.*lacks 'doubt'.*skcb\.Tunable\(Doubt"):
        _parts.metrics([Doubt(0.5)], {})


def test_a_metric_around_a_function_of_the_users_own_is_copied():
    """Keras finds the function by its registration alone, and it has none."""

    def distance(y_true, y_pred):
        return keras.ops.abs(y_true - y_pred)

    given = keras.metrics.MeanMetricWrapper(distance, name="mine")
    (live,) = _parts.metrics([given], {})
    live.update_state(np.ones(2), np.zeros(2))
    assert (live.name, float(live.result()), float(given.result())) == ("mine", 1.0, 0.0)


def test_a_metric_that_keras_cannot_copy_is_refused():
    """A partial function is in no config."""
    given = keras.metrics.MeanMetricWrapper(functools.partial(own_metric), name="mine")
    with pytest.raises(TypeError, match=r"`metrics__mine`.*cannot be copied.*Tunable"):
        _parts.metrics([given], {})


@pytest.mark.parametrize("given", [[["auc"], ["mse"]], {"a": ["auc"], "b": "mse"}])
def test_metrics_of_several_heads_are_found_by_name(given):
    """Settings reach a metric in whatever list or dict it stands."""
    live = _parts.metrics(given, {"auc__num_thresholds": 7, "mse__name": "error"})
    one, two = live.values() if isinstance(live, dict) else live
    assert one[0].num_thresholds == 7
    assert (two[0] if isinstance(two, list) else two).name == "error"


@pytest.mark.parametrize(
    ("given", "settings", "message"),
    [
        ("acuracy", {}, r"`metrics='acuracy'`.*Did you mean `accuracy`"),
        ("auc", {"acu__name": "x"}, r"no metric named 'acu'. Did you mean `metrics__auc__name`"),
        ("auc", {"auc__threshold": 3}, r"Did you mean `metrics__auc__thresholds`"),
        ("accuracy", {"accuracy__name": "x"}, r"`metrics__accuracy__name='x'` reaches nothing"),
        (own_metric, {"own_metric__name": "x"}, r"`metrics__own_metric__name='x'` reaches nothing"),
    ],
)
def test_a_metric_that_is_not_there_names_the_nearest(given, settings, message):
    """Wrong names of metrics and of their settings are answered with a way out."""
    with pytest.raises(ValueError, match=message):
        _parts.metrics([given], settings)


def test_what_is_no_metric_is_refused():
    """The error says which forms there are."""
    with pytest.raises(TypeError, match=r"`metrics` must hold names, classes, functions.*got 3"):
        _parts.metrics([3], {})


INNER = keras.optimizers.SGD(0.25)


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        ("LossScaleOptimizer", {"inner_optimizer": "sgd", "inner_optimizer__learning_rate": 0.25}),
        (keras.optimizers.LossScaleOptimizer, {"inner_optimizer": INNER}),
        (keras.optimizers.LossScaleOptimizer(INNER), {}),
        (Tunable(keras.optimizers.LossScaleOptimizer, inner_optimizer=INNER), {}),
    ],
    ids=["name", "class", "instance", "recipe"],
)
def test_an_optimizer_around_another_takes_settings_of_both(given, settings):
    """Nested names reach the inner one, in whatever form either was given."""
    more = {"initial_scale": 4.0, "inner_optimizer__momentum": 0.5}
    live = _parts.optimizer(given, {**settings, **more})
    inner = live.inner_optimizer
    assert (type(live), type(inner)) == (keras.optimizers.LossScaleOptimizer, keras.optimizers.SGD)
    assert (live.initial_scale, inner.momentum, float(inner.learning_rate)) == (4.0, 0.5, 0.25)
    assert inner is not INNER and INNER.momentum == 0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: _parts.optimizer("LossScaleOptimizer", {}),
            "`optimizer__inner_optimizer` is missing: LossScaleOptimizer",
        ),
        (
            lambda: _parts.metrics("PrecisionAtRecall", {}),
            "`metrics__precision_at_recall__recall` is missing: PrecisionAtRecall",
        ),
    ],
)
def test_an_argument_without_a_default_is_asked_for(build, message):
    """By the name under which it is given."""
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    "rate",
    [
        Tunable(EXPONENTIAL, initial_learning_rate=0.5, decay_steps=1, decay_rate=0.5),
        EXPONENTIAL(0.5, 1, 0.5),
    ],
    ids=["recipe", "object"],
)
def test_a_setting_of_an_instance_may_be_a_recipe_or_have_settings(rate):
    """Also where the instance itself does not show what it was made with."""
    settings = {"learning_rate__decay_rate": 0.25}
    replaced = _parts.optimizer(keras.optimizers.SGD(), {"learning_rate": rate, **settings})
    assert float(replaced.learning_rate) == 0.5
    replaced.iterations.assign(1)
    assert float(replaced.learning_rate) == 0.125


def test_a_setting_reaches_the_schedule_in_an_instance():
    """Whose learning rate is a number when it is looked at."""
    given = keras.optimizers.SGD(EXPONENTIAL(0.5, 1, 0.5))
    live = _parts.optimizer(given, {"learning_rate__decay_rate": 0.25})
    live.iterations.assign(1)
    assert float(live.learning_rate) == 0.125


def test_a_class_that_keras_does_not_find_by_its_name_is_found():
    """A public class goes by its name, whatever Keras lists."""
    name = "CategoricalGeneralizedCrossEntropy"
    assert type(_parts.loss(name, {})) is getattr(keras.losses, name)


def test_the_losses_of_a_dict_have_settings_of_their_own_and_read_their_own_logits():
    """`loss__b__gamma` is for the head "b" alone; `loss__label_smoothing` for both."""
    one, two = _parts.loss(
        {"b": "binary_focal_crossentropy", "a": "bce"},
        {"b__gamma": 3.0, "label_smoothing": 0.25},
        from_logits=[True, False],
        outputs=["a", "b"],
    ).values()
    assert (one.gamma, one.from_logits, one.label_smoothing) == (3.0, False, 0.25)
    assert (two.from_logits, two.label_smoothing) == (True, 0.25)
