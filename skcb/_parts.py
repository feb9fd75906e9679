"""Optimizer, loss and metrics: from what a user gives to what ``Model.compile`` takes.

Owns names, classes, instances and recipes of these parts and the settings under ``optimizer__``,
``loss__`` and ``metrics__``. Leaves the model and its compiling to ``_build``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from skcb._names import accepted, grouped, suggestion
from skcb.tunable import Recipe, Tunable, built, copied


def optimizer(value: Any, settings: Mapping[str, Any]) -> Any:
    """Build the optimizer of one fit.

    Parameters
    ----------
    value : str, class, recipe or keras.optimizers.Optimizer
        An instance is copied from its config, its state left behind.
    settings : mapping
        What was given under ``optimizer__``.

    Raises
    ------
    ValueError
        An unknown name, or a setting that this optimizer lacks.
    TypeError
        Not an optimizer.
    """
    import keras

    base = keras.optimizers.Optimizer
    recipe = _recipe(value, "optimizer", _by_name(keras.optimizers, base))
    if recipe is not None:
        live = recipe.build(settings, where="optimizer")
    elif isinstance(value, base):
        live = copied(value, settings, where="optimizer")
    else:
        live = value
    if not isinstance(live, base):
        raise TypeError(
            "`optimizer` must be the name, class or instance of one of keras.optimizers, or a "
            f"Tunable, but got {value!r}."
        )
    return live


def holds_schedule(live_optimizer: Any) -> bool:
    """Tell whether an optimizer computes its own learning rate from its step count."""
    return isinstance(live_optimizer.get_config().get("learning_rate"), dict)


def loss(value: Any, settings: Mapping[str, Any], *, from_logits: bool = False) -> Any:
    """Build a loss, or the losses of several heads.

    Parameters
    ----------
    value : str, class, function, recipe, keras.losses.Loss, or list or dict of them
        As the user gave it, or as inferred from the target.
    settings : mapping
        What was given under ``loss__``.
    from_logits : bool, default=False
        Whether a cross-entropy given by name reads logits, because the model ends in a linear
        layer.
    """
    import keras

    if isinstance(value, list | tuple):
        return [loss(v, settings, from_logits=from_logits) for v in value]
    if isinstance(value, dict):
        return {k: loss(v, settings, from_logits=from_logits) for k, v in value.items()}
    classes = _by_name(keras.losses, keras.losses.Loss)
    if isinstance(value, str):
        cls = classes.get(_key(value)) or classes.get(_key(_function_name(value, keras.losses)))
        if from_logits and cls is not None and "from_logits" in accepted(cls).defaults:
            settings = {"from_logits": True, **settings}
        if not settings:
            return _checked_name(value, "loss", keras.losses, classes)
        return Tunable(cls).build(settings, where="loss") if cls else _no_class("loss", value)
    recipe = _recipe(value, "loss", classes)
    if recipe is not None:
        return recipe.build(settings, where="loss")
    if not callable(value):
        raise TypeError(
            "`loss` must be the name, class or instance of one of keras.losses, a function, a "
            f"Tunable, or a list or dict of them, but got {value!r}."
        )
    return copied(value, settings, where="loss") if settings else value


def metrics(value: Any, settings: Mapping[str, Any]) -> Any:
    """Build metrics: objects are copied, so that two fits never share a count.

    Parameters
    ----------
    value : str, class, function, recipe, keras.metrics.Metric, or list or dict of them
        As the user gave it.
    settings : mapping
        What was given under ``metrics__``, by the metric's name in snake case.
    """
    if value is None:
        return None
    if isinstance(value, dict):
        return {k: metrics(v, settings) for k, v in value.items()}
    entries = value if isinstance(value, list | tuple) else [value]
    _, below = grouped(settings)
    names = [metric_name(entry) for entry in entries]
    for name in below:
        if name not in names:
            setting = next(iter(below[name]))
            shown_as = "metrics__{}__" + setting
            raise ValueError(
                f"`metrics__{name}__{setting}`: there is no metric named {name!r}. "
                + suggestion(name, names, shown_as=shown_as)
            )
    return [_metric(e, below.get(n, {}), n) for e, n in zip(entries, names, strict=True)]


def metric_name(value: Any) -> str:
    """Return the name under which a metric's settings are given."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return "metrics"
    source = value.cls if isinstance(value, Tunable) else value
    if not isinstance(source, type) and isinstance(getattr(source, "name", None), str):
        return str(source.name)
    return _snake(getattr(source, "__name__", type(source).__name__))


def _metric(value: Any, settings: Mapping[str, Any], name: str) -> Any:
    import keras

    where = f"metrics__{name}"
    classes = _by_name(keras.metrics, keras.metrics.Metric)
    if isinstance(value, list | tuple):
        return metrics(value, settings)
    if isinstance(value, str):
        if not settings:
            return _checked_name(value, "metrics", keras.metrics, classes)
        cls = classes.get(_key(value))
        return Tunable(cls).build(settings, where=where) if cls else _no_class(where, value)
    recipe = _recipe(value, where, classes)
    if recipe is not None:
        return recipe.build(settings, where=where)
    if isinstance(value, keras.metrics.Metric):
        return copied(value, settings, where=where)
    if not callable(value):
        raise TypeError(
            f"`metrics` must hold names, classes, functions or objects of keras.metrics, but got "
            f"{value!r}."
        )
    return value


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


def _checked_name(name: str, where: str, module: Any, classes: Mapping[str, type]) -> str:
    """Return the name where Keras knows it; else say which is nearest."""
    special = {"accuracy", "acc", "crossentropy", "ce"}
    try:
        if name not in special:
            module.get(name)
    except ValueError as error:
        known = {_snake(cls.__name__) for cls in classes.values()} | special
        raise ValueError(
            f"`{where}={name!r}`: Keras has none of this name. {suggestion(name, known)}"
        ) from error
    return name


def _function_name(name: str, module: Any) -> str:
    """Return the full name of a function given by an alias such as "bce"."""
    found: Callable[..., Any] | None = getattr(module, name, None)
    return getattr(found, "__name__", name)


def _no_class(where: str, name: str) -> Any:
    raise ValueError(
        f"`{where}={name!r}` has no class in Keras, so it takes no settings; give the class or a "
        "Tunable."
    )


def _key(name: str) -> str:
    return name.replace("_", "").lower()


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def argument(value: Any, settings: Mapping[str, Any], *, where: str) -> Any:
    """Build an argument of the build function: recipes are built, the rest goes as given."""
    return built(value, settings, where=where) if settings or isinstance(value, Recipe) else value
