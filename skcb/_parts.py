"""Optimizer, loss and metrics: from what a user gives to what ``Model.compile`` takes.

Owns names, classes, instances and recipes of these parts and the settings under ``optimizer__``,
``loss__`` and ``metrics__``. Leaves the model and its compiling to ``_build``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skcb import _old_decay, _spellings
from skcb._metric_names import entries, metric_name
from skcb._names import accepted, grouped, nearest, snake, suggestion
from skcb._portable import undecayed
from skcb.tunable import Recipe, Tunable, built, copied, legal_names, unknown_setting


def optimizer(value: Any, settings: Mapping[str, Any], *, where: str = "optimizer") -> Any:
    """Build the optimizer of one fit.

    Parameters
    ----------
    value : str, class, recipe or keras.optimizers.Optimizer
        An instance is copied from its config, its state left behind. The one inside a
        LossScaleOptimizer may be given in all these forms too.
    settings : mapping
        What was given under ``optimizer__``.
    where : str, default="optimizer"
        Full name of the parameter, for error messages.

    Raises
    ------
    ValueError
        An unknown name, or a setting that this optimizer lacks.
    TypeError
        Not an optimizer.
    """
    import keras

    base = keras.optimizers.Optimizer
    wrapper = keras.optimizers.LossScaleOptimizer
    recipe = _recipe(value, where, _by_name(keras.optimizers, base))
    if isinstance(value, wrapper):  # its `from_config` takes no live optimizer
        names = accepted(type(value)).defaults
        recipe = Tunable(type(value), **{n: getattr(value, n) for n in names})
    made_by = type(value) if recipe is None else recipe.target()
    settings, decay = _old_decay.taken_out(made_by, settings, where)
    if recipe is not None:
        if made_by is wrapper:
            settings = _with_inner(recipe, settings, where)
        _refuse_names_of_others(made_by, settings, where)
        live = recipe.build(settings, where=where)
    elif isinstance(value, base):
        undecayed(value, where)  # which refuses what the copy would not know
        _refuse_names_of_others(made_by, settings, where)
        live = _copy(value, settings, where=where)
    else:
        live = value
    if not isinstance(live, base):
        raise TypeError(
            f"`{where}` must be the name, class or instance of one of keras.optimizers, or a "
            f"Tunable, but got {value!r}.{_keras_own(live)}"
        )
    if decay:
        _old_decay.put_in(live, decay, where)
    return live


def _refuse_names_of_others(cls: Any, settings: Mapping[str, Any], where: str) -> None:
    """Refuse a setting that other optimizers have, by naming those; near misses come later."""
    import keras

    legal = legal_names(cls)
    optimizers = _by_name(keras.optimizers, keras.optimizers.Optimizer).values()
    for name, value in settings.items():
        head = name.partition("__")[0]
        if legal.takes(head):
            continue
        owners = {each.__name__ for each in optimizers if head in accepted(each).defaults}
        if owners:
            error = unknown_setting(where, name, value, cls, legal)
            raise ValueError(f"{error} `{head}` is a parameter of {', '.join(sorted(owners))}.")


def _keras_own(foreign: Any) -> str:
    """Say which of Keras' optimizers stands for one of another package's, such as TensorFlow's."""
    import keras

    cls = type(foreign)
    package = cls.__module__.partition(".")[0]
    if not hasattr(foreign, "apply_gradients") and package not in ("tensorflow", "tf_keras"):
        return ""
    own = _by_name(keras.optimizers, keras.optimizers.Optimizer).values()
    named = cls.__name__.removesuffix("Optimizer")
    near = nearest(named, {each.__name__ for each in own}) or "SGD"
    return (
        f" {cls.__name__} comes from {package}, and Keras 3 trains with optimizers of its own "
        f"only: give `{near.lower()!r}` or keras.optimizers.{near}(...)."
    )


def _with_inner(recipe: Recipe, settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Build the optimizer inside a LossScaleOptimizer; return its settings with that among them."""
    name = "inner_optimizer"
    inner = settings.get(name, recipe.arguments().get(name))
    if inner is None:
        return dict(settings)
    below = grouped(settings)[1].get(name, {})
    rest = {k: v for k, v in settings.items() if not k.startswith(f"{name}__")}
    return {**rest, name: optimizer(inner, below, where=f"{where}__{name}")}


def holds_schedule(live_optimizer: Any) -> bool:
    """Tell whether an optimizer computes its own learning rate from its step count."""
    import keras

    plain = getattr(live_optimizer, "inner_optimizer", live_optimizer)
    return not isinstance(plain.learning_rate, keras.Variable)


def loss(
    value: Any,
    settings: Mapping[str, Any],
    *,
    from_logits: Sequence[bool] = (),
    outputs: Sequence[str] = (),
) -> Any:
    """Build a loss, or the losses of several heads.

    Parameters
    ----------
    value : str, class, function, recipe, keras.losses.Loss, or list or dict of them
        As the user gave it, or as inferred from the target.
    settings : mapping
        What was given under ``loss__``: for all heads, or under the name of one where ``value``
        is a dict.
    from_logits : sequence of bool, default=()
        For each output whether a cross-entropy given by name reads logits, because the model ends
        in a linear layer; one loss for several outputs does where all end so.
    outputs : sequence of str, default=()
        Names of the outputs, to find those of a dict.
    """
    if isinstance(value, dict):
        flags = dict(zip(outputs, from_logits, strict=False))
        return {
            name: _loss(each, _of_head(name, value, settings), flags.get(name, False))
            for name, each in value.items()
        }
    if isinstance(value, list | tuple):
        each_flag = from_logits if len(from_logits) == len(value) else [False] * len(value)
        return [_loss(v, settings, flag) for v, flag in zip(value, each_flag, strict=True)]
    return _loss(value, settings, bool(from_logits) and all(from_logits))


def _of_head(name: str, heads: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of one head: those for all, and on top those under its name."""
    common = {k: v for k, v in settings.items() if k.partition("__")[0] not in heads}
    return {**common, **grouped(settings)[1].get(name, {})}


def _loss(value: Any, settings: Mapping[str, Any], from_logits: bool) -> Any:
    import keras

    if value is None:  # a head that is not trained
        return None
    classes = _by_name(keras.losses, keras.losses.Loss)
    if isinstance(value, str):
        value = _spellings.value_of("loss", value, where="loss")
        cls = _class_of(value, keras.losses, classes)
        if from_logits and cls is not None and "from_logits" in accepted(cls).defaults:
            settings = {"from_logits": True, **settings}
        return _named(value, settings, "loss", keras.losses, classes)
    recipe = _recipe(value, "loss", classes)
    if recipe is not None:
        return recipe.build(settings, where="loss")
    if not callable(value):
        raise TypeError(
            "`loss` must be the name, class or instance of one of keras.losses, a function, a "
            f"Tunable, or a list or dict of them, but got {value!r}."
        )
    return _copy(value, settings, where="loss") if settings else value


def metrics(value: Any, settings: Mapping[str, Any]) -> Any:
    """Build metrics: objects are copied, so that two fits never share a count.

    Parameters
    ----------
    value : str, class, function, recipe, keras.metrics.Metric, or list or dict of them
        As the user gave it; lists and dicts may hold lists, one for each head.
    settings : mapping
        What was given under ``metrics__``, by the metric's name in snake case.
    """
    if value is None:
        return None
    _, below = grouped(settings)
    names = [metric_name(entry) for entry in entries(value)]
    for name in below:
        if name not in names:
            setting = next(iter(below[name]))
            shown_as = "metrics__{}__" + setting
            raise ValueError(
                f"`metrics__{name}__{setting}`: there is no metric named {name!r}. "
                + suggestion(name, names, shown_as=shown_as)
            )
    return _metrics(value if isinstance(value, list | tuple | dict) else [value], below)


def _metrics(value: Any, below: Mapping[str, Mapping[str, Any]]) -> Any:
    """Build metrics in the lists and dicts in which they stand."""
    if isinstance(value, dict):
        return {k: _metrics(v, below) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_metrics(v, below) for v in value]
    if value is None:
        return None
    name = metric_name(value)
    return _metric(value, below.get(name, {}), name)


def _metric(value: Any, settings: Mapping[str, Any], name: str) -> Any:
    import keras

    where = f"metrics__{name}"
    classes = _by_name(keras.metrics, keras.metrics.Metric)
    if isinstance(value, str):
        value = _spellings.value_of("metrics", value, where="metrics")
        return _named(value, settings, where, keras.metrics, classes)
    recipe = _recipe(value, where, classes)
    if recipe is not None:
        return recipe.build(settings, where=where)
    if isinstance(value, keras.metrics.Metric):
        return _copy(value, settings, where=where)
    if not callable(value):
        raise TypeError(
            f"`metrics` must hold names, classes, functions or objects of keras.metrics, but got "
            f"{value!r}."
        )
    return _copy(value, settings, where=where) if settings else value


def _copy(value: Any, settings: Mapping[str, Any], *, where: str) -> Any:
    """Copy an object from its config, where the config says all that its class takes."""
    cls = type(value)
    hint = f"Use skcb.Tunable({cls.__name__}, ...), which builds it afresh for every fit."
    if not hasattr(value, "get_config"):
        name = next(iter(settings))
        raise ValueError(
            f"`{where}__{name}={settings[name]!r}` reaches nothing: `{where}` is {value!r}, which "
            "has no settings. Use a class, or skcb.Tunable(...)."
        )
    if cls.__module__.partition(".")[0] != "keras":
        lost = accepted(cls).defaults.keys() - value.get_config().keys() - {"name", "dtype"}
        if lost:
            raise TypeError(
                f"`{where}` is a {cls.__name__}, and every fit needs its own, but its `get_config` "
                f"lacks {', '.join(sorted(map(repr, lost)))}. {hint}"
            )
    try:
        return copied(value, settings, where=where)
    except (TypeError, ValueError) as error:
        if settings:
            raise
        raise TypeError(f"`{where}` is {value!r}, which cannot be copied. {hint}") from error


def _recipe(value: Any, where: str, classes: Mapping[str, type]) -> Recipe | None:
    if isinstance(value, Recipe):
        return value
    if isinstance(value, type):
        return Tunable(value)
    if not isinstance(value, str):
        return None
    if _key(value) not in classes:
        names = {cls.__name__ for cls in classes.values()}
        raise ValueError(
            f"`{where}={value!r}`: Keras has none of this name. {suggestion(value, names)}"
        )
    return Tunable(classes[_key(value)])


def _by_name(module: Any, base: type) -> dict[str, type]:
    """Return the public classes of one of Keras' modules by their name without case."""
    return {
        _key(name): cls
        for name, cls in vars(module).items()
        if isinstance(cls, type) and issubclass(cls, base) and cls is not base
    }


_BY_SHAPE = {"metrics": ("accuracy", "acc"), "losses": ("crossentropy", "ce")}
"""Names whose class Keras chooses when it sees the outputs, by the module."""


def _named(
    name: str,
    settings: Mapping[str, Any],
    where: str,
    module: Any,
    classes: Mapping[str, type],
) -> Any:
    """Pass on a name that Keras knows; build its class where there are settings."""
    cls = _class_of(name, module, classes)
    if settings and cls is None:
        setting = next(iter(settings))
        raise ValueError(
            f"`{where}__{setting}={settings[setting]!r}` reaches nothing: {name!r} is no class of "
            f"{module.__name__}. Give a class or a Tunable in its place."
        )
    if settings:
        return Tunable(cls).build(settings, where=where)
    if name.lower() in _by_shape(module):
        return name
    if cls is not None and accepted(cls).required:
        return Tunable(cls).build(where=where)  # which says what is missing
    try:
        module.get(name)
    except ValueError as error:
        if cls is not None:  # a public class that Keras does not find by its name
            return cls()
        known = {snake(cls.__name__) for cls in classes.values()} | {*_by_shape(module)}
        raise ValueError(
            f"`{where.partition('__')[0]}={name!r}`: Keras has none of this name. "
            + suggestion(name, known)
        ) from error
    return name


def _class_of(name: str, module: Any, classes: Mapping[str, type]) -> type | None:
    """Return Keras' class of this name or alias ("bce"), or None."""
    if name.lower() in _by_shape(module):
        return None
    if _key(name) in classes:
        return classes[_key(name)]
    try:
        found = module.get(name)
    except ValueError:
        return None
    return classes.get(_key(getattr(found, "__name__", type(found).__name__)))


def _by_shape(module: Any) -> tuple[str, ...]:
    return _BY_SHAPE[module.__name__.rpartition(".")[2]]


def _key(name: str) -> str:
    return name.replace("_", "").lower()


def argument(value: Any, settings: Mapping[str, Any], *, where: str) -> Any:
    """Build an argument of the build function: recipes are built, the rest goes as given."""
    return built(value, settings, where=where) if settings or isinstance(value, Recipe) else value
