"""What is compiled: the parts that the user gave, and as they were all others."""

import keras
import numpy as np
import pytest
from keras import layers

from skcb import KerasClassifier, Tunable
from tests.models import X, fitted, logits, own_loss, own_metric, perceptron


def compiled(meta):
    """Build a model compiled with parts of the user's own."""
    model = perceptron(meta)
    model.compile(
        keras.optimizers.SGD(0.5, momentum=0.25), own_loss, metrics=[own_metric], loss_weights=2.0
    )
    return model


@pytest.mark.parametrize(
    ("kind", "loss"),
    [
        ("binary", "binary_crossentropy"),
        ("multiclass", "sparse_categorical_crossentropy"),
        ("multilabel", "binary_crossentropy"),
        ("regression", "mean_squared_error"),
        ("several targets", "mean_squared_error"),
    ],
)
def test_what_is_not_compiled_gets_rmsprop_and_the_loss_of_its_target(kind, loss):
    """As Keras' own default, and no metrics."""
    estimator = fitted(kind=kind)
    assert type(estimator.model_.optimizer) is keras.optimizers.RMSprop
    assert estimator.model_.loss == loss
    assert set(estimator.history_) == {"loss", "learning_rate"}


def test_two_classes_may_have_two_units():
    """A model of two softmax units gets the loss that fits it."""

    def build():
        return keras.Sequential([layers.Input((4,)), layers.Dense(2, activation="softmax")])

    estimator = fitted(build)
    assert estimator.model_.loss == "sparse_categorical_crossentropy"
    np.testing.assert_array_equal(
        estimator.predict_proba(X), estimator.model_.predict(X, verbose=0, batch_size=48)
    )


def test_a_compiled_model_is_left_as_it_is():
    """Nothing is recompiled where nothing was given."""
    model = fitted(compiled).model_
    assert (float(model.optimizer.learning_rate), model.optimizer.momentum) == (0.5, 0.25)
    assert model.loss is own_loss


@pytest.mark.parametrize(
    ("given", "optimizer", "loss", "metric"),
    [
        ({"optimizer": "adam"}, ("Adam", 0.001), own_loss, "own_metric"),
        ({"optimizer__learning_rate": 0.1}, ("SGD", 0.1), own_loss, "own_metric"),
        ({"loss": "mse"}, ("SGD", 0.5), "mse", "own_metric"),
        ({"metrics": ["auc"]}, ("SGD", 0.5), own_loss, "auc"),
        ({"compile__run_eagerly": True}, ("SGD", 0.5), own_loss, "own_metric"),
    ],
    ids=["optimizer", "setting", "loss", "metrics", "argument of compile"],
)
def test_a_part_that_is_given_replaces_that_part_alone(given, optimizer, loss, metric):
    """Functions of the user's own stay in the others, and so do the loss weights."""
    model = fitted(compiled, **given).model_
    name, rate = optimizer
    assert type(model.optimizer).__name__ == name
    assert float(model.optimizer.learning_rate) == pytest.approx(rate)
    assert name == "Adam" or model.optimizer.momentum == 0.25
    assert model.loss == loss
    assert metric in model.get_metrics_result()
    assert model.get_compile_config()["loss_weights"] == 2.0
    assert model.run_eagerly is bool(given.get("compile__run_eagerly"))


@pytest.mark.parametrize(
    "optimizer",
    [keras.optimizers.SGD(0.5), Tunable(keras.optimizers.SGD, learning_rate=0.5)],
    ids=["instance", "recipe"],
)
def test_a_setting_wins_over_the_object_and_leaves_it_alone(optimizer):
    """`optimizer__learning_rate` is a layer above what the user passed."""
    model = fitted(optimizer=optimizer, optimizer__learning_rate=0.125).model_
    assert float(model.optimizer.learning_rate) == 0.125
    rate = optimizer.params if isinstance(optimizer, Tunable) else optimizer.get_config()
    assert rate["learning_rate"] == 0.5


def test_two_fits_never_share_an_optimizer():
    """Each has its own count of steps; the instance that the user passed has none."""
    given = keras.optimizers.Adam()
    one, two = (fitted(optimizer=given, batch_size=16).model_.optimizer for _ in range(2))
    assert len({id(one), id(two), id(given)}) == 3
    assert [int(o.iterations) for o in (one, two, given)] == [3, 3, 0]
    assert not given.built


def test_settings_reach_loss_and_metrics_by_name():
    """`loss__x` and `metrics__NAME__x`."""
    model = fitted(
        loss="binary_crossentropy",
        loss__label_smoothing=0.25,
        metrics=["accuracy", "auc"],
        metrics__auc__name="area",
    ).model_
    assert model.loss.get_config()["label_smoothing"] == 0.25
    assert set(model.get_metrics_result()) == {"loss", "accuracy", "area"}


def test_a_setting_of_an_inferred_loss_is_applied():
    """The inferred loss takes `loss__x` like one that was given."""
    assert fitted(loss__label_smoothing=0.25).model_.loss.get_config()["label_smoothing"] == 0.25


@pytest.mark.parametrize("metric", ["f1_score", keras.metrics.AUC, Tunable(keras.metrics.Recall)])
def test_the_inferred_loss_encodes_classes_as_the_metrics_need(metric):
    """The same cross-entropy, of columns in place of indices, where a metric reads columns."""
    plain = fitted(kind="multiclass")
    measured = fitted(kind="multiclass", metrics=["accuracy", metric])
    assert plain.model_.loss == "sparse_categorical_crossentropy"
    assert measured.model_.loss == "categorical_crossentropy"
    assert measured.history_["loss"] == pytest.approx(plain.history_["loss"])
    assert len(measured.history_) == 4


def test_a_metric_that_the_given_loss_leaves_no_labels_for_is_refused():
    """Before the first epoch, where Keras would fail in it."""
    with pytest.raises(ValueError, match=r"`metrics` has 'auc', which needs a column"):
        fitted(kind="multiclass", loss="sparse_categorical_crossentropy", metrics=["auc"])


@pytest.mark.slow
def test_logs_bear_the_names_of_this_fits_metrics():
    """Two metrics that differ only in name compute alike, but are not called alike."""
    for name in ("first", "second"):
        history = fitted(metrics=["auc"], metrics__auc__name=name).history_
        assert set(history) == {"loss", name, "learning_rate"}


@pytest.mark.parametrize(
    "metrics",
    [
        [["accuracy"], ["auc", "f1_score"]],
        {"second": ["auc", "f1_score"], "first": "accuracy"},
    ],
    ids=["list", "dict"],
)
@pytest.mark.parametrize(
    ("loss", "weights"),
    [
        (None, None),
        (["sparse_categorical_crossentropy", "categorical_crossentropy"], [1.0, 0.5]),
        (
            {"second": "categorical_crossentropy", "first": "sparse_categorical_crossentropy"},
            {"first": 1.0, "second": 0.5},
        ),
    ],
    ids=["inferred", "list", "dict"],
)
def test_each_head_has_its_loss_its_weight_and_its_metrics(metrics, loss, weights):
    """Lists go by the order of the outputs, dicts by their names."""

    def build(meta):
        inputs = keras.Input((4,))
        pairs = zip(meta["n_output_units_"], meta["output_activation_"], strict=True)
        names = ("first", "second")
        outputs = [
            layers.Dense(n, activation=activation, name=name)(inputs)
            for name, (n, activation) in zip(names, pairs, strict=True)
        ]
        return keras.Model(inputs, outputs)

    y = np.column_stack([np.arange(48) % 3, np.arange(48) % 4])
    estimator = KerasClassifier(
        build, loss=loss, metrics=metrics, loss_weights=weights, batch_size=-1, random_state=0
    ).fit(X, y)
    logs = {k: v[0] for k, v in estimator.history_.items()}
    assert {"first_accuracy", "second_auc", "second_f1_score"} < set(logs)
    assert "second_accuracy" not in logs
    weight = 1.0 if weights is None else 0.5
    assert logs["loss"] == pytest.approx(logs["first_loss"] + weight * logs["second_loss"])
    assert estimator.predict(X).shape == y.shape


COMMON = {
    "weight_decay": 0.25,
    "clipnorm": 0.25,
    "clipvalue": 0.25,
    "global_clipnorm": 0.25,
    "use_ema": True,
    "gradient_accumulation_steps": 2,
    "nesterov": True,
    "momentum": 0.75,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMON)
def test_a_setting_reaches_the_optimizer_that_the_build_function_compiled(name):
    """It stays the function's own in everything else."""
    optimizer = fitted(compiled, **{f"optimizer__{name}": COMMON[name]}).model_.optimizer
    config = optimizer.get_config()
    others = {"learning_rate": 0.5, "momentum": 0.25} | {name: COMMON[name]}
    assert {key: config[key] for key in others} == others


def test_an_optimizer_without_a_learning_rate_is_refused():
    """A MultiOptimizer has several; skcb records one, and says so before Keras fails."""
    sgd = keras.optimizers.SGD()
    several = keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(sgd))

    def build(meta):
        model = perceptron(meta)
        model.compile(several, "binary_crossentropy")
        return model

    with pytest.raises(ValueError, match=r"MultiOptimizer, which has no learning rate of its own"):
        fitted(build)


@pytest.mark.parametrize("accumulated", [None, 2])
def test_a_keras_schedule_is_taken_as_it_is(accumulated):
    """It becomes the optimizer's learning rate and counts steps; recorded is Keras' last one."""
    schedule = keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5)
    estimator = fitted(
        optimizer="sgd",
        optimizer__gradient_accumulation_steps=accumulated,
        lr_schedule=schedule,
        epochs=3,
        batch_size=24,
    )
    rates = []
    note = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: rates.append(float(optimizer.learning_rate))
    )
    optimizer = keras.optimizers.SGD(schedule, gradient_accumulation_steps=accumulated)
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    model.fit(X[:, :1], X[:, 1], batch_size=24, epochs=3, callbacks=[note], verbose=0)
    assert estimator.history_["learning_rate"] == rates[1::2] == [0.5, 0.125, 0.03125]


def test_compile_kwargs_are_ready_to_compile():
    """They hold built objects, the inferred loss among them."""

    def build(meta, compile_kwargs):
        model = perceptron(meta)
        model.compile(**compile_kwargs)
        return model

    model = fitted(
        build, optimizer="sgd", optimizer__learning_rate=0.25, metrics=["auc"], run_eagerly=False
    ).model_
    assert type(model.optimizer) is keras.optimizers.SGD
    assert float(model.optimizer.learning_rate) == 0.25
    assert model.loss == "binary_crossentropy"
    assert "auc" in model.get_metrics_result()


def test_parts_that_a_function_does_not_take_from_compile_kwargs_still_reach_the_model():
    """Using the optimizer alone does not lose the loss that was given."""

    def build(meta, compile_kwargs):
        model = perceptron(meta)
        model.compile(compile_kwargs["optimizer"], own_loss)
        return model

    assert fitted(build).model_.loss is own_loss
    assert fitted(build, loss="mse").model_.loss == "mse"


def test_a_prepared_loss_reads_the_logits_in_which_the_model_ends():
    """It was made before there was a model."""

    def build(meta, compile_kwargs):
        model = logits(meta)
        model.compile(**compile_kwargs)
        return model

    for given in ({}, {"loss": "binary_focal_crossentropy"}):
        loss = fitted(build, optimizer="adam", **given).model_.loss
        assert loss.get_config()["from_logits"] is True


def test_the_private_names_of_keras_that_building_uses_are_there():
    """`_compile_config` holds the objects themselves; `_symbolic_build` trains nothing."""
    model = compiled({"n_features_in_": 4, "n_output_units_": 1, "output_activation_": "sigmoid"})
    assert model._compile_config.config["loss"] is own_loss
    assert model._compile_config.config["metrics"] == [own_metric]
    before = model.get_weights()
    model._symbolic_build(data_batch=(X[:2], np.ones((2, 1)), None))
    assert "own_metric" in model.get_metrics_result()
    assert int(model.optimizer.iterations) == 0
    assert all(map(np.array_equal, before, model.get_weights()))
