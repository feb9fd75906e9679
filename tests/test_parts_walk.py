"""Every public optimizer, loss, metric, initializer, regularizer, constraint and activation.

Each is given by name, class, object and `Tunable` to a real `GridSearchCV` on real rows, which
varies one of its arguments; the values are read from the live objects of the fits. What is walked
is compared with what the installed Keras has. The models have one layer and the fits one epoch:
nearly all of the time goes into compiling, so metrics of one kind share a search.
"""

import functools
import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import scale

from skcb import KerasClassifier, KerasRegressor, Tunable, _parts
from skcb._names import snake

# -- rows and models ---------------------------------------------------------------------------

FLOWERS, SPECIES = (part[::5] for part in load_iris(return_X_y=True))
PATIENTS, PROGRESS = (part[:30] for part in load_diabetes(return_X_y=True))
PROGRESS = np.column_stack([PROGRESS / 100, PATIENTS[:, 2] * 10 + 2])
ONE_SPLIT = [(np.arange(30), np.arange(5))]
DATA = {
    "binary": (FLOWERS, SPECIES == 2),
    "columns": (FLOWERS, np.array(["setosa", "versicolor", "virginica"])[SPECIES]),
    "index": (FLOWERS, SPECIES),
    "numbers": (scale(PATIENTS), PROGRESS),
}
LOSS = {"columns": "categorical_crossentropy", "index": "sparse_categorical_crossentropy"}


def lone(meta, initializer="glorot_uniform", regularizer=None, constraint=None):
    """Build a model of one layer."""
    return keras.Sequential(
        [
            layers.Input((meta["n_features_in_"],)),
            layers.Dense(
                meta["n_output_units_"],
                activation=meta["output_activation_"],
                kernel_initializer=initializer,
                kernel_regularizer=regularizer,
                kernel_constraint=constraint,
            ),
        ]
    )


def waves(meta, initializer):
    """Build a model whose first layer has a kernel as a Fourier transform makes it."""
    n = meta["n_features_in_"]
    return keras.Sequential(
        [
            layers.Input((n,)),
            layers.Reshape((n, 1)),
            layers.Conv1D(n // 2 + 1, n, kernel_initializer=initializer),
            layers.Flatten(),
            layers.Dense(meta["n_output_units_"], activation=meta["output_activation_"]),
        ]
    )


def bent(meta, activation):
    """Build a model whose first layer has an activation."""
    return keras.Sequential(
        [
            layers.Input((meta["n_features_in_"],)),
            layers.Dense(2, activation=activation),
            layers.Dense(meta["n_output_units_"]),
        ]
    )


def searched(grids, read, data="binary", build_fn=lone, **params):
    """Run a search; return what `read` finds in the estimators, in the order of the grids."""
    found = []

    def score(fitted, X, y):
        assert fitted.engine_.startswith("whole epochs") and np.isfinite(fitted.history_["loss"])
        found.append(read(fitted))
        return 0.0

    kind = KerasRegressor if data == "numbers" else KerasClassifier
    params = {"loss": LOSS.get(data), **params}
    estimator = kind(build_fn, batch_size=-1, random_state=0, **params)
    one_each = [{name: [value] for name, value in grid.items()} for grid in grids]
    GridSearchCV(
        estimator, one_each, cv=ONE_SPLIT, scoring=score, refit=False, error_score="raise"
    ).fit(*DATA[data])
    return found


class Walked(NamedTuple):
    """One argument, two values of it, what else the class needs, and the rows it is for."""

    argument: str
    values: tuple[Any, Any]
    data: str = "binary"
    others: Mapping[str, Any] = {}


def forms(cls, needed):
    """Return a class in all forms; its settings come from outside, but an object needs some."""
    return [cls.__name__, cls, Tunable(cls), cls(**needed)]


def classes_of(module):
    """Return the public classes of a module, each with all names that it has there."""
    found = {}
    for name, value in vars(module).items():
        if isinstance(value, type):
            found.setdefault(value, []).append(name)
    return found


def value_of(live, argument):
    """Return what a live object has for an argument; Keras keeps a function's apart."""
    held = [vars(live), vars(live).get("_fn_kwargs", {}), live.get_config()]
    return next(place[argument] for place in held if argument in place)


def cases(table, quick):
    """Return the names of a table as parameters of a test, all slow but one."""
    return [n if n == quick else pytest.param(n, marks=pytest.mark.slow) for n in table]


# -- what is walked ----------------------------------------------------------------------------

SGD = Tunable(keras.optimizers.SGD)
OPTIMIZERS = {
    "Adadelta": Walked("rho", (0.9, 0.8)),
    "Adafactor": Walked("beta_2_decay", (-0.7, -0.6)),
    "Adagrad": Walked("initial_accumulator_value", (0.2, 0.3)),
    "Adam": Walked("beta_1", (0.8, 0.7)),
    "AdamW": Walked("weight_decay", (0.01, 0.02)),
    "Adamax": Walked("beta_2", (0.99, 0.98)),
    "Ftrl": Walked("l1_regularization_strength", (0.1, 0.2)),
    "Lamb": Walked("epsilon", (1e-6, 1e-5)),
    "Lion": Walked("beta_1", (0.8, 0.7)),
    "LossScaleOptimizer": Walked("initial_scale", (2.0, 4.0), others={"inner_optimizer": SGD}),
    "Muon": Walked("momentum", (0.9, 0.8)),
    "Nadam": Walked("clipnorm", (1.0, 2.0)),
    "RMSprop": Walked("centered", (False, True)),
    "SGD": Walked("nesterov", (False, True), others={"momentum": 0.5}),
    "ScheduleFreeAdamW": Walked("warmup_steps", (1, 2)),
}
REDUCTION = ("reduction", ("sum", "mean"))
LOSSES = {
    "BinaryCrossentropy": Walked("label_smoothing", (0.1, 0.2)),
    "BinaryFocalCrossentropy": Walked("gamma", (1.0, 3.0)),
    "CategoricalCrossentropy": Walked("label_smoothing", (0.1, 0.2), "columns"),
    "CategoricalFocalCrossentropy": Walked("gamma", (1.0, 3.0), "columns"),
    "CategoricalGeneralizedCrossEntropy": Walked("q", (0.4, 0.6), "index"),
    "CategoricalHinge": Walked(*REDUCTION, "columns"),
    "Circle": Walked("margin", (0.3, 0.5), "index"),
    "CosineSimilarity": Walked("axis", (-1, 1), "numbers"),
    "Dice": Walked("axis", (0, 1), "columns"),
    "Hinge": Walked(*REDUCTION),
    "Huber": Walked("delta", (0.5, 2.0), "numbers"),
    "KLDivergence": Walked(*REDUCTION, "columns"),
    "LogCosh": Walked(*REDUCTION, "numbers"),
    "MeanAbsoluteError": Walked(*REDUCTION, "numbers"),
    "MeanAbsolutePercentageError": Walked(*REDUCTION, "numbers"),
    "MeanSquaredError": Walked(*REDUCTION, "numbers"),
    "MeanSquaredLogarithmicError": Walked(*REDUCTION, "numbers"),
    "Poisson": Walked(*REDUCTION, "numbers"),
    "SparseCategoricalCrossentropy": Walked("ignore_class", (0, 1), "index"),
    "SquaredHinge": Walked(*REDUCTION),
    "Tversky": Walked("alpha", (0.4, 0.6), "columns"),
}
NAME = ("name", ("first", "second"))
THRESHOLDS = ("thresholds", (0.25, 0.75))
METRICS = {
    "AUC": Walked("num_thresholds", (20, 30)),
    "Accuracy": Walked(*NAME),
    "BinaryAccuracy": Walked("threshold", (0.25, 0.75)),
    "BinaryCrossentropy": Walked("label_smoothing", (0.1, 0.2)),
    "BinaryIoU": Walked("threshold", (0.25, 0.75)),
    "CategoricalAccuracy": Walked(*NAME, "columns"),
    "CategoricalCrossentropy": Walked("label_smoothing", (0.1, 0.2), "columns"),
    "CategoricalHinge": Walked(*NAME, "columns"),
    "ConcordanceCorrelation": Walked("axis", (0, -1), "numbers"),
    "CosineSimilarity": Walked("axis", (-1, 1), "numbers"),
    "F1Score": Walked("average", ("macro", "weighted"), "columns"),
    "FBetaScore": Walked("beta", (0.5, 2.0), "columns"),
    "FalseNegatives": Walked(*THRESHOLDS),
    "FalsePositives": Walked(*THRESHOLDS),
    "Hinge": Walked(*NAME),
    "IoU": Walked("target_class_ids", ((0,), (1,)), others={"num_classes": 2}),
    "KLDivergence": Walked(*NAME, "columns"),
    "LogCoshError": Walked(*NAME, "numbers"),
    "MeanAbsoluteError": Walked(*NAME, "numbers"),
    "MeanAbsolutePercentageError": Walked(*NAME, "numbers"),
    "MeanIoU": Walked("num_classes", (2, 3)),
    "MeanMetricWrapper": Walked(*NAME, "numbers", {"fn": keras.losses.mean_squared_error}),
    "MeanSquaredError": Walked(*NAME, "numbers"),
    "MeanSquaredLogarithmicError": Walked(*NAME, "numbers"),
    "OneHotIoU": Walked("target_class_ids", ((0,), (1,)), "columns", {"num_classes": 3}),
    "OneHotMeanIoU": Walked("num_classes", (3, 4), "columns"),
    "PearsonCorrelation": Walked("axis", (0, -1), "numbers"),
    "Poisson": Walked(*NAME, "columns"),
    "Precision": Walked(*THRESHOLDS),
    "PrecisionAtRecall": Walked("recall", (0.25, 0.75)),
    "R2Score": Walked(
        "class_aggregation", ("uniform_average", "variance_weighted_average"), "numbers"
    ),
    "Recall": Walked(*THRESHOLDS),
    "RecallAtPrecision": Walked("precision", (0.25, 0.75)),
    "RootMeanSquaredError": Walked(*NAME, "numbers"),
    "SensitivityAtSpecificity": Walked("specificity", (0.25, 0.75)),
    "SparseCategoricalAccuracy": Walked(*NAME, "index"),
    "SparseCategoricalCrossentropy": Walked("ignore_class", (0, 1), "index"),
    "SparseTopKCategoricalAccuracy": Walked("k", (1, 2), "index"),
    "SpecificityAtSensitivity": Walked("sensitivity", (0.25, 0.75)),
    "SquaredHinge": Walked(*NAME),
    "TopKCategoricalAccuracy": Walked("k", (1, 2), "columns"),
    "TrueNegatives": Walked(*THRESHOLDS),
    "TruePositives": Walked(*THRESHOLDS),
}
SEED = ("seed", (1, 2))
INITIALIZERS = {
    "Constant": Walked("value", (0.1, 0.2)),
    "GlorotNormal": Walked(*SEED),
    "GlorotUniform": Walked(*SEED),
    "HeNormal": Walked(*SEED),
    "HeUniform": Walked(*SEED),
    "Identity": Walked("gain", (0.5, 2.0)),
    "LecunNormal": Walked(*SEED),
    "LecunUniform": Walked(*SEED),
    "Ones": None,
    "Orthogonal": Walked("gain", (0.5, 2.0)),
    "RandomNormal": Walked("stddev", (0.1, 0.2)),
    "RandomUniform": Walked("maxval", (0.1, 0.2)),
    "STFT": Walked("side", ("real", "imag")),
    "TruncatedNormal": Walked("mean", (0.1, 0.2)),
    "VarianceScaling": Walked("mode", ("fan_out", "fan_avg")),
    "Zeros": None,
}
REGULARIZERS = {
    "L1": Walked("l1", (0.1, 0.2)),
    "L1L2": Walked("l2", (0.1, 0.2)),
    "L2": Walked("l2", (0.1, 0.2)),
    "OrthogonalRegularizer": Walked("mode", ("rows", "columns")),
}
CONSTRAINTS = {
    "MaxNorm": Walked("max_value", (1.0, 3.0)),
    "MinMaxNorm": Walked("rate", (0.5, 1.0)),
    "NonNeg": None,
    "UnitNorm": Walked("axis", (0, 1)),
}
PARTS = {
    "initializer": (keras.initializers, INITIALIZERS),
    "regularizer": (keras.regularizers, REGULARIZERS),
    "constraint": (keras.constraints, CONSTRAINTS),
}
UNKNOWN = ("Constant", "constant", "l1_l2")
"""Names that Keras itself makes nothing of."""

SHRINK = Walked("threshold", (0.25, 0.75))
ARGUMENTS = {
    "celu": Walked("alpha", (0.5, 2.0)),
    "elu": Walked("alpha", (0.5, 2.0)),
    "gelu": Walked("approximate", (False, True)),
    "hard_shrink": SHRINK,
    "leaky_relu": Walked("negative_slope", (0.1, 0.3)),
    "log_softmax": Walked("axis", (-1, 1)),
    "relu": Walked("max_value", (1.0, 2.0)),
    "soft_shrink": SHRINK,
    "softmax": Walked("axis", (-1, 1)),
    "sparsemax": Walked("axis", (-1, 1)),
    "squareplus": Walked("b", (2, 3)),
    "threshold": Walked("threshold", (0.25, 0.75), others={"default_value": 0.0}),
}
ACTIVATIONS = [
    name
    for name, value in vars(keras.activations).items()
    if callable(value) and name not in ("deserialize", "get", "glu", "serialize")
]

LEFT_OUT = {
    "optimizers.Optimizer": "the base of all",
    "optimizers.MultiOptimizer": "has no learning rate, and is refused; see test_compile.py",
    "optimizers.OptimizerMap": "an argument of MultiOptimizer, and no optimizer itself",
    "losses.Loss": "the base of all",
    "losses.CTC": "takes sequences of labels as the target, which scikit-learn has no form for",
    "metrics.Metric": "the base of all",
    "metrics.Mean": "takes values in place of targets and outputs, so nothing can compile it",
    "metrics.Sum": "the same",
    "initializers.Initializer": "the base of all",
    "regularizers.Regularizer": "the base of all",
    "constraints.Constraint": "the base of all",
    "activations.glu": "halves the last axis, which no layer with an activation reckons with",
}
TABLES = {
    "optimizers": OPTIMIZERS,
    "losses": LOSSES,
    "metrics": METRICS,
    "initializers": INITIALIZERS,
    "regularizers": REGULARIZERS,
    "constraints": CONSTRAINTS,
}


@pytest.mark.parametrize("module", TABLES)
def test_the_walk_is_complete(module):
    """Every public class of the installed Keras is walked, or left out with a reason."""
    where, table = getattr(keras, module), TABLES[module]
    left_out = {name.partition(".")[2] for name in LEFT_OUT if name.startswith(module + ".")}
    walked = {getattr(where, name) for name in {*table, *left_out}}
    assert classes_of(where).keys() == walked
    assert left_out.isdisjoint(table)


def test_a_name_is_unknown_only_where_keras_does_not_take_it():
    """Every other public name of a part is walked."""
    found = set()
    for module, table in PARTS.values():
        for name in [n for cls in table for n in classes_of(module)[getattr(module, cls)]]:
            try:
                module.get(name)
            except (KeyError, ValueError):
                found.add(name)
    assert found == set(UNKNOWN)


def test_every_argument_of_an_activation_has_its_values():
    """A function that takes more than x has two values of something in the table."""
    functions = {name: getattr(keras.activations, name) for name in ACTIVATIONS}
    several = {n for n, f in functions.items() if len(inspect.signature(f).parameters) > 1}
    assert several == ARGUMENTS.keys()


@pytest.mark.parametrize("part", PARTS)
def test_a_class_without_values_takes_no_argument(part):
    """That is the reason why none is varied."""
    module, table = PARTS[part]
    without = {name for name, case in table.items() if case is None}
    assert without == {n for n in table if not inspect.signature(getattr(module, n)).parameters}


# -- optimizers --------------------------------------------------------------------------------

GIVEN = {  # in place of None
    "clipnorm": 0.5,
    "clipvalue": 0.5,
    "ema_overwrite_frequency": 3,
    "exclude_layers": ["head"],
    "global_clipnorm": 0.5,
    "gradient_accumulation_steps": 2,
    "loss_scale_factor": 2.0,
    "name": "other",
    "weight_decay": 0.5,
}


@pytest.mark.parametrize("name", cases(OPTIMIZERS, "SGD"))
def test_a_search_varies_an_optimizer(name):
    """In every form, with both values of an argument."""
    cls, case = getattr(keras.optimizers, name), OPTIMIZERS[name]
    needed = {k: v.build() if isinstance(v, Tunable) else v for k, v in case.others.items()}
    others = {f"optimizer__{k}": v for k, v in case.others.items()}
    given = [(form, value) for form in forms(cls, needed) for value in case.values]
    grids = [{**others, "optimizer": f, f"optimizer__{case.argument}": v} for f, v in given]
    found = searched(grids, lambda fitted: (type(fitted.model_.optimizer), fitted.model_.optimizer))
    assert [kind for kind, _ in found] == [cls] * len(given)
    assert [getattr(live, case.argument) for _, live in found] == [value for _, value in given]
    assert len({id(live) for _, live in found}) == len(given)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_argument_of_an_optimizer_is_a_setting(name):
    """Another value than the default, one at a time, is in the live optimizer's config."""
    cls, case = getattr(keras.optimizers, name), OPTIMIZERS[name]
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD or parameter.name in case.others:
            continue
        default = parameter.default
        if isinstance(default, bool):
            value = not default
        elif isinstance(default, int):
            value = default + 1
        elif isinstance(default, float):
            value = default / 2 or 0.5
        else:
            value = GIVEN[parameter.name]
        live = _parts.optimizer(name, {**case.others, parameter.name: value})
        found = live.get_config()[parameter.name]
        assert found != default
        assert found == (
            pytest.approx(value, rel=1e-6, abs=0) if isinstance(value, float) else value
        )


# -- losses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", cases(LOSSES, "Huber"))
def test_a_search_varies_a_loss(name):
    """In every form, with both values of an argument, and by name alone."""
    cls, case = getattr(keras.losses, name), LOSSES[name]
    given = [(form, value) for form in forms(cls, case.others) for value in case.values]
    grids = [{"loss": form, f"loss__{case.argument}": value} for form, value in given]
    *found, by_name = searched(
        [*grids, {"loss": snake(name)}], lambda fitted: fitted.model_.loss, case.data
    )
    assert [type(live) for live in found] == [cls] * len(given)
    assert [value_of(live, case.argument) for live in found] == [value for _, value in given]
    assert by_name == snake(name) or type(by_name) is cls


# -- metrics -----------------------------------------------------------------------------------


@functools.cache
def searched_metrics(data):
    """Search over all metrics for one kind of rows; return each one's live objects by class."""
    group = {name: case for name, case in METRICS.items() if case.data == data}
    classes = {name: getattr(keras.metrics, name) for name in group}
    objects = [
        classes[name](**{"name": snake(name), **needed(classes[name], case)})
        for name, case in group.items()
    ]
    # "Accuracy" is the name of another: Keras then chooses by the shape of the outputs.
    names = [cls if name == "Accuracy" else name for name, cls in classes.items()]
    recipes = [Tunable(cls) for cls in classes.values()]
    grids = []
    for form in (names, list(classes.values()), recipes, objects):
        for i in (0, 1):
            grid = {"metrics": form}
            for name, case in group.items():
                others = {} if form is objects else case.others
                values = {**others, case.argument: case.values[i]}
                grid |= {f"metrics__{snake(name)}__{k}": v for k, v in values.items()}
            grids.append(grid)
    plain = [snake(n) for n, case in group.items() if not needed(classes[n], case)]
    return searched([*grids, {"metrics": plain}], live_metrics, data)


def needed(cls, case):
    """Return what a metric cannot be made without."""
    values = {**case.others, case.argument: case.values[0]}
    return {
        name: values[name]
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    }


def live_metrics(fitted):
    """Return a fit's metrics by class, and its history."""
    groups = [getattr(metric, "metrics", [metric]) for metric in fitted.model_.metrics]
    return {type(metric): metric for group in groups for metric in group}, fitted.history_


@pytest.mark.parametrize(
    "name",
    [
        n if case.data == "index" else pytest.param(n, marks=pytest.mark.slow)
        for n, case in METRICS.items()
    ],
)
def test_a_search_varies_a_metric(name):
    """In every form, with both values of an argument, and by name alone."""
    cls, case = getattr(keras.metrics, name), METRICS[name]
    *found, (_, history) = searched_metrics(case.data)
    lives = [metrics[cls] for metrics, _ in found]
    values = [
        live.name if case.argument == "name" else value_of(live, case.argument) for live in lives
    ]
    assert [np.ravel(value).tolist() for value in values] == [
        np.ravel(value).tolist() for value in case.values
    ] * 4
    assert len({id(live) for live in lives}) == 8
    assert all(live.name in logs for live, (_, logs) in zip(lives, found, strict=True))
    assert needed(cls, case) or snake(name) in history


# -- parts of a model --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "name"),
    [
        pytest.param(part, name, marks=[] if name in ("HeNormal", "L2", "MaxNorm") else slow)
        for slow in [pytest.mark.slow]
        for part, (_, table) in PARTS.items()
        for name in table
    ],
)
def test_a_search_varies_a_part_of_a_layer(part, name):
    """By all names of its class, the class, object and `Tunable`, with both values."""
    module, table = PARTS[part]
    cls, case = getattr(module, name), table[name]
    names = [n for n in classes_of(module)[cls] if n not in UNKNOWN]
    plain = [*names, cls, cls(), Tunable(cls)]
    grids = [{part: form} for form in plain]
    if case:
        setting = f"model__{part}__{case.argument}"
        grids += [{part: f, setting: v} for f in (cls(), Tunable(cls)) for v in case.values]

    def read(fitted):
        kernels = [layer for layer in fitted.model_.layers if hasattr(layer, "kernel")]
        return getattr(kernels[0], f"kernel_{part}")

    build_fn = waves if name == "STFT" else lone
    found = searched(grids, read, "columns", build_fn)
    assert [type(live) for live in found] == [cls] * len(grids)
    if case:
        values = [value_of(live, case.argument) for live in found[len(plain) :]]
        assert values == [*case.values, *case.values]


@pytest.mark.parametrize("name", cases(ACTIVATIONS, "relu"))
def test_a_search_varies_an_activation(name):
    """By name, as a function, and with both values of an argument by `Tunable` of a layer."""
    function, case = getattr(keras.activations, name), ARGUMENTS.get(name)
    grids = [{"activation": name}, {"activation": function}]
    if name == "threshold":  # needs arguments
        grids = []
    values = [{**case.others, case.argument: value} for value in case.values] if case else []
    recipe = Tunable(layers.Lambda, function=function)
    grids += [{"activation": recipe, "model__activation__arguments": value} for value in values]
    found = searched(grids, lambda fitted: fitted.model_.layers[0].activation, "numbers", bent)
    plain = found[: len(grids) - len(values)]
    assert all(live is function for live in plain)
    assert [(live.function, live.arguments) for live in found[len(plain) :]] == [
        (function, value) for value in values
    ]
