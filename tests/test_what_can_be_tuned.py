"""The page "What can be tuned" names every setting, and every name on it is one.

What Keras and skcb take is read here from their signatures, apart from the code that makes the
page, so that an argument which one of them gains and the page lacks fails a test.
"""

import inspect
import re
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import keras
import pytest
from keras import layers

from docs import settings
from skcb import KerasClassifier, KerasRegressor, Tunable, _parts, callbacks, schedules
from skcb._metric_names import metric_name
from skcb._names import PREFIXES
from tests.models import X, Y, fitted, own_metric

DOCS = Path(__file__).parents[1] / "docs"
PAGE = settings.expanded((DOCS / "tunable.md").read_text("utf-8"))
CODE = re.compile(r"`([^`]+)`")


def network(meta, ARG=None, activation="relu", constraint=None):
    """Build a model with an argument that is called as on the page."""
    kinds = {
        keras.initializers.Initializer: "kernel_initializer",
        keras.regularizers.Regularizer: "kernel_regularizer",
    }
    given = {name: ARG for kind, name in kinds.items() if isinstance(ARG, kind)}
    ends = {"units": meta["n_output_units_"], "activation": meta["output_activation_"]}
    hidden = layers.Dense(4, activation=activation, kernel_constraint=constraint, **given)
    return keras.Sequential([layers.Input((meta["n_features_in_"],)), hidden, layers.Dense(**ends)])


class Row(NamedTuple):
    """A line of a table: the spellings in its first cell, and its other cells."""

    spellings: list[str]
    default: str
    last: str


def rows(text):
    """Read the lines of tables, less their heads."""
    cells = [
        re.split(r" (?<!\\)\| ", line.strip("| ")) for line in text.splitlines() if "|" in line
    ]
    return [Row(CODE.findall(c[0]), c[1], c[-1]) for c in cells if c[0].startswith("`")]


def taken_by(name, table):
    """Return the settings that a table gives a class, as their last parts."""
    found = set()
    for row in rows(settings.TABLES[table]()):
        but, owners = row.last.startswith("all but "), row.last.removeprefix("all but ").split(", ")
        if row.last == "all" or (name in owners) != but:
            found.add(row.spellings[0].rpartition("__")[2])
    return found


def keywords(function):
    """Return what a class or function can be given by keyword."""
    by_keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    found = inspect.signature(function).parameters.values()
    return {p.name for p in found if p.kind in by_keyword} - {"self"}


# -- everything is on the page -----------------------------------------------------------------

FROM_KERAS = {
    "optimizers": (keras.optimizers, keras.optimizers.Optimizer),
    "losses": (keras.losses, keras.losses.Loss),
    "metrics": (keras.metrics, keras.metrics.Metric),
    "keras_kinds": (
        keras.optimizers.schedules,
        keras.optimizers.schedules.LearningRateSchedule,
    ),
    "initializers": (keras.initializers, keras.initializers.Initializer),
    "regularizers": (keras.regularizers, keras.regularizers.Regularizer),
    "constraints": (keras.constraints, keras.constraints.Constraint),
}
CLASSES = [
    pytest.param(table, cls, id=f"{table}-{cls.__name__}")
    for table, (module, base) in FROM_KERAS.items()
    for cls in sorted({c for c in vars(module).values() if isinstance(c, type)}, key=str)
    if issubclass(cls, base) and cls is not base and cls not in settings.NOT_TUNED
]


@pytest.mark.parametrize(("table", "cls"), CLASSES)
def test_a_class_of_keras_has_the_settings_that_the_page_gives_it(table, cls):
    """All of its arguments, and no others."""
    name = metric_name(cls) if table == "metrics" else cls.__name__
    assert taken_by(name, table) == keywords(cls)


def test_a_class_is_read_anew_when_it_changes():
    """An argument that a class of Keras' gains stands in the table, and only beside that class."""

    class Gained(keras.optimizers.SGD):
        def __init__(self, learning_rate=0.5, novelty=3):
            pass

    found = rows(settings.by_setting("optimizer__{}", {"SGD": keras.optimizers.SGD, "G": Gained}))
    by_name = {row.spellings[0]: row for row in found}
    assert by_name["optimizer__novelty"][1:] == ("`3`", "G")
    assert by_name["optimizer__momentum"].last == "SGD"
    assert by_name["optimizer__learning_rate"][1:] == ("`0.01`; `0.5` (G)", "all")


NOT_CALLBACKS = (keras.callbacks.Callback, keras.callbacks.CallbackList)  # the base, and the list
OF_KERAS = {n: c for n, c in vars(keras.callbacks).items() if isinstance(c, type)}
RECIPES = sorted({*callbacks.__all__, *(n for n, c in OF_KERAS.items() if c not in NOT_CALLBACKS)})


def section(of):
    """Return the part of the page on one recipe."""
    start = PAGE.index(f"{{class}}`~skcb.{of}`")
    ends = [PAGE.find(mark, start + 1) for mark in ("{class}`", "```python", "\n#", "\nKeras'")]
    return PAGE[start : min(end for end in ends if end > 0)]


@pytest.mark.parametrize("name", RECIPES)
def test_a_callback_has_a_section_with_all_its_settings(name):
    """What Keras' class takes, and what the recipe takes."""
    found = {row.spellings[0] for row in rows(section(f"callbacks.{name}"))}
    both = keywords(getattr(callbacks, name)) | keywords(OF_KERAS.get(name, lambda: None))
    assert found == {f"callbacks__NAME__{argument}" for argument in both}


KINDS = [name for name in schedules.__all__ if name != "Schedule"]


@pytest.mark.parametrize("name", KINDS)
def test_a_schedule_has_a_section_with_all_its_settings(name):
    """All arguments of its signature, with what they mean."""
    found = {row.spellings[0]: row.last for row in rows(section(f"schedules.{name}"))}
    takes = keywords(getattr(schedules, name))
    assert found.keys() == {f"lr_schedule__{argument}" for argument in takes}
    assert all(len(meaning.split()) > 2 for meaning in found.values())


@pytest.mark.parametrize("estimator", [KerasClassifier, KerasRegressor])
def test_each_parameter_of_the_signature_is_on_the_page(estimator):
    """With its default and the docstring's words."""
    by_name = {row.spellings[0]: row for row in rows(settings.named())}
    for parameter in inspect.signature(estimator).parameters.values():
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            row = by_name[parameter.name]
            assert row.default == settings.shown(parameter.default) and len(row.last) > 10


@pytest.mark.parametrize("method", ["fit", "predict", "compile"])
def test_each_argument_of_keras_methods_is_on_the_page(method):
    """Plain and prefixed, whether it is taken or not."""
    found = {spelling for row in rows(settings.methods()) for spelling in row.spellings}
    takes = keywords(getattr(keras.Model, method)) - {"x", "y"}
    assert takes | {f"{method}__{argument}" for argument in takes} <= found


def test_each_prefix_is_explained():
    """All that skcb knows."""
    explained = PAGE[PAGE.index("## Spelling") : PAGE.index("## Named")]
    assert [p for p in PREFIXES if not re.search(rf"`{p}__\w+`", explained)] == []


def full(cls):
    """Return a `Tunable` with every argument of a class."""
    return Tunable(cls, **dict.fromkeys(keywords(cls)))


def given(cls):
    """Return one of skcb's recipes, what has no default as None."""
    return cls(**dict.fromkeys(settings.accepted(cls).required))


def estimators():
    """Yield estimators that hold each part in the form that lists most names."""
    kinds = [given(getattr(schedules, name)) for name in KINDS if name != "Chained"]
    for name in callbacks.__all__:
        yield {"callbacks": {"NAME": given(getattr(callbacks, name))}}
    for kind in kinds:
        yield {"lr_schedule": kind}
        yield {"lr_schedule": kind.then(kind.then(kind, at=0.5), at=0.5)}
    for case in CLASSES:
        table, cls = case.values
        one = {"optimizers": "optimizer", "losses": "loss", "keras_kinds": "lr_schedule"}
        if table in one:
            yield {one[table]: full(cls)}
        elif table == "metrics":
            yield {"metrics": [full(cls)]}
        else:
            yield {"ARG": full(cls)}


def on_page(listed):
    """Return a name that `get_params` lists as the page has it."""
    inner = re.sub(r"^lr_schedule__(?:(first|second)__)+", "lr_schedule__", listed)
    if listed.startswith("metrics__"):
        return "metrics__NAME__" + listed.rpartition("__")[2]
    return inner


def test_every_name_that_get_params_lists_is_on_the_page():
    """For estimators with every callback, schedule, optimizer, loss, metric and part."""
    listed = set()
    for params in estimators():
        listed |= KerasClassifier(network, **params).get_params(deep=True).keys()
    own = {"activation", "constraint"}  # of the build function here
    missing = {name for name in listed - own if f"`{on_page(name)}`" not in PAGE}
    assert missing == set() and len(listed) > 300
    assert "`lr_schedule__first__x`" in PAGE and "`lr_schedule__second__x`" in PAGE


def test_each_table_stands_on_the_page_once():
    """A mark that asks for nothing would be an error when the page is read."""
    marks = settings.MARK.findall((DOCS / "tunable.md").read_text("utf-8"))
    assert sorted(marks) == sorted(settings.TABLES)
    with pytest.raises(KeyError, match="no_such"):
        settings.expanded("<!-- table: no_such -->")


# -- everything on the page is a setting -------------------------------------------------------


def test_set_params_takes_every_spelling_of_the_page():
    """All at once, and each is kept."""
    clf = KerasClassifier(network, callbacks={"NAME": callbacks.EarlyStopping()})
    tables = [name for name in settings.TABLES if name not in ("old_spellings", "left_out")]
    spelled = {s for name in tables for row in rows(settings.TABLES[name]()) for s in row.spellings}
    spelled -= {"build_fn", "callbacks", "callbacks__NAME"}  # which say what the others mean
    clf.set_params(**dict.fromkeys(spelled, 1))
    assert {s: clf.get_params()[s] for s in spelled} == dict.fromkeys(spelled, 1)


NEEDED = {
    **{"inner_optimizer": "adam", "num_classes": 2, "target_class_ids": [0], "fn": own_metric},
    **dict.fromkeys(("precision", "recall", "sensitivity", "specificity"), 0.5),
}


def built(table, cls, name):
    """Build what stands on the page under a name, given as text; what it needs is set."""
    needed = {n: NEEDED[n] for n in settings.accepted(cls).required}
    if table == "optimizers":
        return _parts.optimizer(name, needed)
    if table == "losses":
        return _parts.loss(name, {"reduction": "sum"})
    if table == "metrics":
        return _parts.metrics([name], {f"{name}__{n}": v for n, v in needed.items()})[0]
    return getattr(keras, table).get(name)


NOT_BY_NAME = {keras.initializers.Constant}  # Keras itself finds no value for it


@pytest.mark.parametrize("table", [name for name in FROM_KERAS if name != "keras_kinds"])
def test_each_class_can_be_given_by_a_name_on_the_page(table):
    """And each name on the page is that of a class."""
    line = next(x for x in settings.TABLES[table]().splitlines() if x.startswith("By name: "))
    names = {name.replace("_", ""): name for name in CODE.findall(line)}
    found = {case.values[1] for case in CLASSES if case.values[0] == table} - NOT_BY_NAME
    classes = {cls.__name__.lower(): cls for cls in found}
    assert names.keys() == classes.keys()
    for key, cls in classes.items():
        made = built(table, cls, names[key])
        assert type(made) is cls or keras.metrics.get(made) is not None  # a text that Keras reads


def test_each_activation_on_the_page_is_one_of_keras():
    """And each of Keras' is on the page."""
    names = CODE.findall(settings.activations())
    functions = {name for name, f in vars(keras.activations).items() if inspect.isfunction(f)}
    assert set(names) == functions - {"get", "serialize", "deserialize"}
    assert all(keras.activations.get(name).__name__ for name in names)


class Spot(NamedTuple):
    """A setting, what else the fit needs, and where its value is to be read."""

    table: str
    spelling: str
    values: tuple[Any, Any]
    others: Mapping[str, Any]
    read: Any


def first_layer(name, *rest):
    """Return a reader of an attribute of the first layer's part."""

    def read(estimator):
        value = getattr(estimator.model_.layers[0], name)
        for attribute in rest:
            value = getattr(value, attribute)
        return value if isinstance(value, str) or callable(value) else float(value)

    return read


HALVED = Tunable(
    keras.optimizers.schedules.ExponentialDecay, initial_learning_rate=0.5, decay_steps=1
)
SPOTS = [
    Spot("named", "epochs", (1, 2), {}, lambda e: e.n_iter_),
    Spot(
        "optimizers",
        "optimizer__momentum",
        (0.25, 0.5),
        {"optimizer": "sgd"},
        lambda e: e.model_.optimizer.momentum,
    ),
    Spot(
        "losses",
        "loss__label_smoothing",
        (0.0, 0.25),
        {"loss": "binary_crossentropy"},
        lambda e: e.model_.loss.get_config()["label_smoothing"],
    ),
    Spot(
        "metrics",
        "metrics__NAME__num_thresholds",
        (50, 100),
        {"metrics": ["auc"]},
        lambda e: e.model_.metrics[1].metrics[0].num_thresholds,
    ),
    Spot(
        "kinds",
        "lr_schedule__factor",
        (0.25, 0.5),
        {"lr_schedule": "Constant", "optimizer__learning_rate": 1.0, "epochs": 2},
        lambda e: e.history_["learning_rate"][-1],
    ),
    Spot(
        "keras_kinds",
        "lr_schedule__decay_rate",
        (0.25, 0.5),
        {"lr_schedule": HALVED, "epochs": 2},
        lambda e: e.model_.optimizer.get_config()["learning_rate"]["config"]["decay_rate"],
    ),
    Spot(
        "recipes",
        "callbacks__NAME__patience",
        (1, 2),
        {"callbacks": {"NAME": callbacks.EarlyStopping("loss")}, "epochs": 2},
        lambda e: e.callbacks_["NAME"].patience,
    ),
    Spot(
        "initializers",
        "model__ARG__stddev",
        (0.25, 0.5),
        {"ARG": Tunable(keras.initializers.RandomNormal)},
        first_layer("kernel_initializer", "stddev"),
    ),
    Spot(
        "regularizers",
        "model__ARG__l2",
        (0.25, 0.5),
        {"ARG": Tunable(keras.regularizers.L2)},
        first_layer("kernel_regularizer", "l2"),
    ),
    Spot(
        "constraints",
        "model__ARG__max_value",
        (0.25, 0.5),
        {"constraint": Tunable(keras.constraints.MaxNorm)},
        first_layer("kernel_constraint", "max_value"),
    ),
    Spot("activations", "activation", ("celu", "elu"), {}, first_layer("activation", "__name__")),
    Spot(
        "old_spellings",
        "optimizer__lr",
        (0.25, 0.5),
        {"optimizer": "sgd"},
        lambda e: float(e.model_.optimizer.learning_rate),
    ),
]
STANDS_FOR = {"metrics": ("NAME", "auc"), "constraints": ("ARG", "constraint")}


@pytest.mark.slow
@pytest.mark.parametrize("spot", SPOTS, ids=lambda spot: spot.table)
def test_a_spelling_of_each_table_reaches_the_live_object(spot):
    """Its value is read from the object that trained."""
    name = spot.spelling.replace(*STANDS_FOR.get(spot.table, ("", "")))
    for value in spot.values:
        is_old = spot.table == "old_spellings"
        with pytest.warns(FutureWarning, match="old spelling") if is_old else nullcontext():
            estimator = fitted(network, **spot.others, **{name: value})
        assert spot.read(estimator) == value


def test_a_spelling_of_each_table_is_tried():
    """Each of the page's tables has its spot, on the page."""
    assert {spot.table for spot in SPOTS} == settings.TABLES.keys() - {"methods", "left_out"}
    for spot in SPOTS:
        shown = spot.spelling.removeprefix("optimizer__") if "old" in spot.table else spot.spelling
        assert f"`{shown}`" in settings.TABLES[spot.table]() or spot.table == "activations"


# -- arguments of Keras' methods ---------------------------------------------------------------


class Tried(NamedTuple):
    """A value, what else the fit needs, and whether the value was seen.

    ``seen`` gets the estimator and what it printed; None where the page says "no".
    """

    value: Any
    seen: Any
    others: Mapping[str, Any] = {}


def half(meta):
    """Build a model in whose precision Keras would scale the loss."""
    model = network(meta)
    model.dtype_policy = keras.DTypePolicy("mixed_float16")
    return model


def losses(shuffle):
    """Return the losses of a fit in batches."""
    return fitted(network, epochs=4, batch_size=24, shuffle=shuffle).history_["loss"]


COUNTED: list[str] = []
WATCHED = {"validation_split": 0.5}
COUNTING = {
    "callbacks": callbacks.LambdaCallback(on_test_batch_end=lambda *_, **__: COUNTED.append("test"))
}
PREDICTS = keras.callbacks.LambdaCallback(on_predict_end=lambda logs: COUNTED.append("predict"))

VALUES = {
    "fit": {
        "batch_size": Tried(24, lambda e, out: int(e.model_.optimizer.iterations) == 2 * 4),
        "epochs": Tried(3, lambda e, out: e.n_iter_ == 3),
        "verbose": Tried(2, lambda e, out: "Epoch 4/4" in out),
        "callbacks": Tried(
            {"stop": callbacks.EarlyStopping("loss")},
            lambda e, out: list(e.callbacks_) == ["stop"],
        ),
        "validation_split": Tried(0.5, lambda e, out: len(e.history_["val_loss"]) == 4),
        "validation_data": Tried((X, X), None),
        "shuffle": Tried(
            False,
            lambda e, out: e.history_["loss"] == losses(False) != losses(True),
            {"batch_size": 24},
        ),
        "class_weight": Tried(
            {"yes": 2.0, "no": 2.0},
            lambda e, out: (
                e.history_["loss"][0]
                == 2 * fitted(network, epochs=1, batch_size=-1).history_["loss"][0]
            ),
        ),
        "sample_weight": Tried(X[:, 0], None),
        "initial_epoch": Tried(3, lambda e, out: e.n_iter_ == 1),
        "steps_per_epoch": Tried(1, None),
        "validation_steps": Tried(1, None),
        "validation_batch_size": Tried(
            8, lambda e, out: COUNTED == ["test"] * 4 * 3, {**WATCHED, **COUNTING}
        ),
        "validation_freq": Tried(2, lambda e, out: len(e.history_["val_loss"]) == 2, WATCHED),
    },
    "predict": {
        "batch_size": Tried(8, lambda e, out: "6/6" in out, {"predict__verbose": 2}),
        "verbose": Tried(2, lambda e, out: "1/1" in out),
        "steps": Tried(1, None),
        "callbacks": Tried([PREDICTS], lambda e, out: COUNTED == ["predict"]),
    },
    "compile": {
        "optimizer": Tried("sgd", lambda e, out: type(e.model_.optimizer) is keras.optimizers.SGD),
        "loss": Tried("hinge", lambda e, out: e.model_.loss == "hinge"),
        "loss_weights": Tried([0.0], lambda e, out: e.history_["loss"] == [0.0] * 4),
        "metrics": Tried(["auc"], lambda e, out: "auc" in e.history_),
        "weighted_metrics": Tried(["auc"], lambda e, out: "auc" in e.history_),
        "run_eagerly": Tried(True, lambda e, out: e.model_.run_eagerly),
        "steps_per_execution": Tried(2, lambda e, out: e.model_.steps_per_execution == 2),
        "jit_compile": Tried(True, lambda e, out: e.model_.jit_compile),
        "auto_scale_loss": Tried(
            False,
            lambda e, out: type(e.model_.optimizer) is keras.optimizers.RMSprop,
            {"build_fn": half},
        ),
    },
}
CASES = [(method, name) for method, names in VALUES.items() for name in names]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "name"), CASES)
def test_an_argument_of_a_method_is_taken_as_the_page_says(method, name, capsys):
    """Prefixed and plain: with effect, or refused with the reason that the page gives."""
    value, seen, others = VALUES[method][name]
    row = next(row for row in rows(settings.methods()) if row.spellings[0] == name)
    assert (seen is None) == row.last.startswith("no: ")
    plain = [name] if method != "predict" or name == "steps" else []  # they are those of `fit`
    for spelling in (f"{method}__{name}", *plain):
        COUNTED.clear()
        params = {"build_fn": network, "random_state": 0, **others, spelling: value}
        if not spelling.endswith("epochs"):
            params["epochs"] = 4
        if not spelling.endswith("batch_size"):
            params.setdefault("batch_size", -1)
        estimator = KerasClassifier(**params)
        if seen is None:
            with pytest.raises(ValueError, match=rf"`{name}.*(is data|is not taken)"):
                estimator.fit(X, Y["binary"])
            continue
        estimator.fit(X, Y["binary"]).predict(X)
        assert seen(estimator, capsys.readouterr().out)


@pytest.mark.parametrize("method", VALUES)
def test_each_argument_of_a_method_is_tried(method):
    """An argument that Keras gains has to be said to be taken or not."""
    assert VALUES[method].keys() == keywords(getattr(keras.Model, method)) - {"x", "y"}


# -- what is left out --------------------------------------------------------------------------

LEFT_OUT = {
    keras.optimizers.MultiOptimizer: {
        "optimizer": "multioptimizer",
        "optimizer__optimizer_map": [("a", keras.optimizers.SGD())],
    },
    keras.losses.CTC: {"loss": "ctc"},
    keras.metrics.Mean: {"metrics": ["mean"]},
    keras.metrics.Sum: {"metrics": [keras.metrics.Sum]},
}


@pytest.mark.slow
@pytest.mark.parametrize("cls", settings.NOT_TUNED, ids=lambda cls: cls.__name__)
def test_what_the_page_leaves_out_cannot_be_given(cls):
    """A class for which this fails belongs into the tables."""
    with pytest.raises(ValueError, match=r"`(optimizer|loss|metrics)"):
        fitted(network, **LEFT_OUT[cls])


# -- the site ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_sphinx_puts_the_tables_into_the_page(tmp_path):
    """A mark becomes a table in the HTML."""
    for package in ("sphinx", "furo", "myst_parser", "numpydoc"):
        pytest.importorskip(package)
    source, built = tmp_path / "source", tmp_path / "built"
    source.mkdir()
    (source / "index.md").write_text("# A page\n\n<!-- table: constraints -->\n")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-c", str(DOCS), str(source), str(built)]
    subprocess.run(command, check=True, capture_output=True)
    html = re.sub("<[^>]+>", "", (built / "index.html").read_text("utf-8"))
    assert "model__ARG__max_value" in html and "table: constraints" not in html
