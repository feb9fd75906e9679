"""The tables of "What can be tuned", made from skcb and the installed Keras.

Owns the tables and the marks by which a page asks for them: `<!-- table: optimizers -->`. Sphinx
reads every page through `expanded`, and so does the test that holds the page to be complete. The
names of settings are not written here but read from signatures.
"""

import inspect
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras

from skcb import KerasClassifier, KerasRegressor, callbacks, schedules
from skcb._metric_names import metric_name
from skcb._names import COMPILE_NAMES, FIT_NAMES, PREDICT_NAMES, accepted, snake
from skcb._routing import _UNSUPPORTED
from skcb._spellings import TABLE as OLD_SPELLINGS

METHODS = {"fit": FIT_NAMES, "predict": PREDICT_NAMES, "compile": COMPILE_NAMES}
MARK = re.compile(r"<!-- table: (\w+) -->")

NOT_TUNED = {
    keras.optimizers.MultiOptimizer: "it has no learning rate of its own",
    keras.losses.CTC: "it compares sequences, and a row has one target",
    keras.metrics.Mean: "it averages a number, not predictions",
    keras.metrics.Sum: "it adds a number, not predictions",
}
"""Public classes that cannot be given to an estimator, and why."""

DATA = ("sample_weight", "validation_data")
"""Arguments of `Model.fit` that `fit` takes itself, so that they are no settings."""


# -- one table for each mark -------------------------------------------------------------------


def named() -> str:
    """List the parameters of the estimators' signatures."""
    both = accepted(KerasRegressor).defaults
    rows = described("{}", KerasClassifier)
    return table(
        ["parameter", "default", "meaning"],
        [
            [n, d, text if n.strip("`") in both else f"Of the classifier. {text}"]
            for n, d, text in rows
        ],
    )


def methods() -> str:
    """List the arguments of Keras' methods that are no named parameters."""
    own = accepted(KerasClassifier).defaults
    every = dict.fromkeys(name for names in METHODS.values() for name in names)
    rows = []
    for name in sorted(every):
        by = [method for method, names in METHODS.items() if name in names]
        spelled = ", ".join(code(spelling) for spelling in [name, *(f"{m}__{name}" for m in by)])
        defaults = accepted(getattr(keras.Model, by[0])).defaults
        default = "a named parameter" if name in own else shown(defaults[name])
        rows.append([spelled, default, not_taken(name, by="a regressor" if name in own else "")])
    return table(["spelling", "default", "taken"], rows)


def not_taken(name: str, *, by: str = "") -> str:
    """Say why skcb does not take an argument of Keras' methods, or that it does."""
    why = "it is data, which the call of `fit` brings" if name in DATA else _UNSUPPORTED.get(name)
    if why is None:
        return "yes"
    return escaped(f"not by {by}: {why}" if by else f"no: {why}")


def optimizers() -> str:
    """List the settings of the optimizers."""
    classes = public(keras.optimizers, keras.optimizers.Optimizer)
    names = {name.lower(): cls for name, cls in classes.items()}
    return by_name(names) + by_setting("optimizer__{}", classes)


def losses() -> str:
    """List the settings of the losses."""
    classes = public(keras.losses, keras.losses.Loss)
    names = {snake(name): cls for name, cls in classes.items()}
    return by_name(names) + by_setting("loss__{}", classes)


def metrics() -> str:
    """List the settings of the metrics, which stand under the metric's name."""
    classes = public(keras.metrics, keras.metrics.Metric)
    names = {metric_name(cls): cls for cls in classes.values()}
    return by_name(names) + by_setting("metrics__NAME__{}", names)


def kinds() -> str:
    """List the settings of the schedules."""
    recipes = [getattr(schedules, name) for name in schedules.__all__]
    found = [cls for cls in recipes if cls is not schedules.Schedule]
    return "\n".join(section(cls, "schedules", "lr_schedule__{}") for cls in found)


def keras_kinds() -> str:
    """List the settings of Keras' own schedule objects."""
    module = keras.optimizers.schedules
    return by_setting("lr_schedule__{}", public(module, module.LearningRateSchedule))


def recipes() -> str:
    """List the settings of the callbacks."""
    found = [getattr(callbacks, name) for name in callbacks.__all__]
    return "\n".join(section(cls, "callbacks", "callbacks__NAME__{}") for cls in found)


def initializers() -> str:
    """List the initializers and their settings."""
    return parts(keras.initializers, keras.initializers.Initializer)


def regularizers() -> str:
    """List the regularizers and their settings."""
    return parts(keras.regularizers, keras.regularizers.Regularizer)


def constraints() -> str:
    """List the constraints and their settings."""
    return parts(keras.constraints, keras.constraints.Constraint)


def activations() -> str:
    """List the activations by name."""
    own = ("get", "serialize", "deserialize")
    return by_name({n: f for n, f in vars(keras.activations).items() if callable(f)}, leave=own)


def old_spellings() -> str:
    """List what names of older Keras mean now."""
    return table(
        ["of", "then", "now", ""],
        [
            [row.owner, code(row.old), code(row.new) if row.new else "", escaped(row.note)]
            for row in OLD_SPELLINGS
        ],
    )


def left_out() -> str:
    """List the public classes that cannot be given, with the reason."""
    rows = [[code(f"{cls.__name__}"), why] for cls, why in NOT_TUNED.items()]
    return table(["class", "why"], rows)


TABLES: dict[str, Callable[[], str]] = {
    make.__name__: make
    for make in (
        named,
        methods,
        optimizers,
        losses,
        metrics,
        kinds,
        keras_kinds,
        recipes,
        initializers,
        regularizers,
        constraints,
        activations,
        old_spellings,
        left_out,
    )
}
"""What a mark may ask for."""


def expanded(page: str) -> str:
    """Put the tables in the places of their marks."""
    return MARK.sub(lambda mark: TABLES[mark[1]](), page)


# -- what the tables are made of ---------------------------------------------------------------


def public(module: Any, base: type) -> dict[str, type]:
    """Return the classes of one of Keras' modules that can be given, each under its own name."""
    classes = {cls for cls in vars(module).values() if isinstance(cls, type)}
    found = {c for c in classes if issubclass(c, base) and c is not base and c not in NOT_TUNED}
    return {cls.__name__: cls for cls in sorted(found, key=lambda cls: cls.__name__)}


def parts(module: Any, base: type) -> str:
    """List what a build function can be given as one of its arguments, here `ARG`."""
    classes = public(module, base)
    names = [text_for(cls, module) for cls in classes.values()]
    return by_name(filter(None, names)) + by_setting("model__ARG__{}", classes)


def text_for(cls: type, module: Any) -> str | None:
    """Return the text from which Keras makes an object of a class, or None."""
    for text in (snake(cls.__name__), cls.__name__.lower()):
        try:
            if isinstance(module.get(text), cls):
                return text
        except (KeyError, TypeError, ValueError):  # another text, or it needs an argument
            continue
    return None


def by_name(found: Iterable[str], leave: Iterable[str] = ()) -> str:
    """Say the names under which something can be given as a string."""
    return f"By name: {', '.join(code(n) for n in sorted(set(found) - set(leave)))}.\n\n"


def by_setting(spelling: str, classes: Mapping[str, Any]) -> str:
    """List each setting once, with the classes that have it; what most of them have comes first."""
    owners: dict[str, dict[str, Any]] = {}
    for name, cls in classes.items():
        for setting, default in accepted(cls).defaults.items():
            owners.setdefault(setting, {})[name] = default
    order = sorted(owners, key=lambda n: (n in ("dtype", "name"), -len(owners[n]), n))
    rows = [
        [code(spelling.format(n)), several(owners[n]), those(owners[n], classes)] for n in order
    ]
    return table(["setting", "default", "of"], rows)


def several(defaults: Mapping[str, Any]) -> str:
    """Show the default that most classes have, and after it the others."""
    texts = {name: shown(default) for name, default in defaults.items()}
    (usual, _), *others = Counter(texts.values()).most_common()
    if len(others) > 3:
        return "each its own"
    more = [f"{text} ({', '.join(n for n in texts if texts[n] == text)})" for text, _ in others]
    return "; ".join([usual, *more])


def those(owners: Iterable[str], classes: Iterable[str]) -> str:
    """Name the classes that have a setting, or those that lack it where these are fewer."""
    having, lacking = list(owners), sorted(set(classes) - set(owners))
    if not lacking:
        return "all"
    few = len(lacking) < len(having)
    return f"all but {', '.join(lacking)}" if few else ", ".join(sorted(having))


def section(cls: type, module: str, spelling: str) -> str:
    """List the settings of one recipe under a link to its reference."""
    rows = described(spelling, cls)
    title = f"{{class}}`~skcb.{module}.{cls.__name__}`"
    if not rows:
        return f"{title} has no settings.\n"
    return f"{title}\n\n{table(['setting', 'default', 'meaning'], rows)}"


def described(spelling: str, cls: type) -> list[list[str]]:
    """Return each argument of a class: its spelling, its default, what its docstring says."""
    texts = documented(cls)
    defaults = accepted(cls).defaults
    return [[code(spelling.format(n)), shown(d), texts[n]] for n, d in defaults.items()]


def documented(cls: type) -> dict[str, str]:
    """Read what a class' docstring says of each of its parameters: the type, and the meaning."""
    text = inspect.getdoc(cls) or ""
    found = re.search(r"^Parameters\n-+\n(.*?)(?=\n\n\S+\n-+\n|\Z)", text, re.DOTALL | re.MULTILINE)
    entries = re.split(r"\n(?=\S)", found[1]) if found else []
    texts = {}
    for entry in entries:
        head, _, meaning = entry.partition("\n")
        names, _, kind = head.partition(" : ")
        kind = re.sub(r", (default=.*|optional)$", "", kind)
        line = escaped(f"{kind}. {' '.join(meaning.split())}")
        texts |= {name.strip(): line for name in names.split(",")}
    return texts


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """Lay out a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def code(text: str) -> str:
    """Show a text as code."""
    return f"`{text}`"


def shown(default: Any) -> str:
    """Show a default as it would be written."""
    if default is inspect.Parameter.empty:
        return "needed"
    return code(f'"{default}"' if isinstance(default, str) else repr(default))


def escaped(text: str) -> str:
    """Turn a docstring's markup into Markdown's, for a cell of a table."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`")
    return text.replace("|", "\\|")
