"""Structure: a description of a compiled model that is equal only where the arithmetic is.

Owns the walk over a model, its optimizer, loss and metrics. What decides the trace of a step goes
into the description: classes and their methods, settings, how layers are shared, shapes, dtypes
and what is trainable. What a step reads from variables (weights, seeds, counts, learning rate)
does not, nor do the numbers that a program is fed at each call: the strengths of L1 and L2 on
weights, and weight decay. Where anything is of the user's own making (a layer, a loss, a
function), or is an object of a kind that is not known here, there is no description, and the model
shares nothing: whatever such code reads could change between two fits without a sign. Leaves the
use of it to ``pool``.
"""

from __future__ import annotations

import enum
import types
from collections.abc import Hashable, Mapping
from typing import Any, NamedTuple

import numpy as np

_PLAIN = (type(None), bool, int, float, complex, str, bytes, np.generic, np.dtype, enum.Enum)
_METHODS = types.FunctionType | property | staticmethod | classmethod
_CONTAINERS = ("keras", "tensorflow", "builtins", "collections")
_MOST_BYTES = 1 << 20

# Not part of the arithmetic: names, initializers (weights are read from variables), bookkeeping
# of Keras and TensorFlow, and what is described on its own (graph, compile settings).
_SKIPPED = frozenset(
    """
    name _name path _path _parent_path build quantize stop_training history
    _tracker _tracked _lock _auto_config _call_signature _call_has_context_arg _call_context_args
    call_signature_parameters _inbound_nodes _outbound_nodes _losses _loss_ids _losses_override
    _metrics _build_shapes_dict _nodes _nodes_by_depth _operations _operations_by_depth _inputs
    _inputs_struct _outputs _outputs_struct _input_tensor _functional _compile_config _compile_loss
    _compile_metrics _compiled_trainable_state _loss_tracker optimizer loss train_function
    test_function predict_function _distribute_strategy _distribution_strategy
    _eval_epoch_iterator _trainable_variables_indices output_names input_names _initializer
    _init_seed _initial_seed _exclude_from_weight_decay_cache _called _dropout_mask
    _recurrent_dropout_mask
    """.split()
)


class NotDescribed(Exception):
    """A model holds something that cannot be described; the message names it."""


class Number(NamedTuple):
    """A number that a step reads from an attribute of a model's part while it is traced."""

    owner: Any
    name: str


def describe(model: Any) -> tuple[Hashable, list[Number]]:
    """Describe a compiled and built model.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    hashable
        Equal for two models only if one trace serves both, once it is fed their numbers.
    list of Number
        The numbers that are not in the description, in an order that it decides.

    Raises
    ------
    NotDescribed
        The model holds something whose behaviour could change without a sign.
    """
    try:
        return _described(model, _Walk(feeds=_is_single(model)))
    except _Constant:
        return _described(model, _Walk(feeds=False))


def _described(model: Any, walk: _Walk) -> tuple[Hashable, list[Number]]:
    import keras

    compiled = model._compile_config.config  # the objects; test_build.py notices if it goes
    key = (
        keras.config.backend(),
        keras.config.floatx(),
        keras.config.epsilon(),
        keras.config.image_data_format(),
        walk(model),
        walk(model.optimizer),
        walk({k: v for k, v in compiled.items() if k != "optimizer"}),
        tuple(walk(v) for v in [*model.variables, *model.optimizer.variables]),
        _names_of_logs(model),
    )
    return key, walk.numbers


class _Constant(Exception):
    """A strength is used in a way in which feeding it would change the last bit."""


def _is_single(model: Any) -> bool:
    """Tell whether all weights are float32: a strength is rounded to it as a constant is."""
    return all(str(variable.dtype) == "float32" for variable in model.weights)


def _names_of_logs(model: Any) -> Hashable:
    """Return the names that a step gives to its logs: of metrics, and of several outputs."""
    outputs = tuple(getattr(model, "output_names", None) or ())
    groups = [getattr(metric, "metrics", [metric]) for metric in model.metrics]
    metrics = tuple(metric.name for group in groups for metric in group)
    return metrics, outputs if len(outputs) > 1 else None


class _Walk:
    """One walk over objects that refer to each other."""

    def __init__(self, *, feeds: bool) -> None:
        self.numbers: list[Number] = []
        self._feeds = feeds
        self._seen: dict[int, int] = {}
        self._classes: dict[type, Hashable] = {}
        self._alive: list[Any] = []  # so that no id is used again during the walk

    def __call__(self, value: Any) -> Hashable:
        if isinstance(value, _PLAIN):
            return (type(value), repr(value))
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.FunctionType | types.BuiltinFunctionType):
            return _function(value)
        if isinstance(value, np.ndarray):
            return _array(value)
        if isinstance(value, types.ModuleType) and value.__name__.startswith("keras."):
            return ("module", value.__name__)
        if id(value) in self._seen:
            return ("seen", self._seen[id(value)])
        self._seen[id(value)] = len(self._seen)
        self._alive.append(value)
        return self._container(value) or self._object(value)

    def _container(self, value: Any) -> Hashable | None:
        if type(value).__module__.partition(".")[0] not in _CONTAINERS:
            return None
        if isinstance(value, Mapping):
            return ("dict", *((repr(k), self(v)) for k, v in value.items()))
        if isinstance(value, list | tuple):
            return ("list", *map(self, value))
        if isinstance(value, set | frozenset):
            return ("set", *sorted(map(repr, map(self, value))))
        return None

    def _object(self, value: Any) -> Hashable:
        import keras

        if isinstance(value, keras.Variable):
            return self._variable(value)
        if keras.ops.is_tensor(value):
            return _array(keras.ops.convert_to_numpy(value))
        if getattr(value, "_exclude_from_weight_decay", None):
            raise NotDescribed("variables left out of weight decay")  # told by ids, which recur
        described = self._class(type(value))
        if isinstance(value, keras.KerasTensor):
            return ("tensor", value.shape, value.dtype)
        number = self._number(value)
        parts = tuple(
            (name, self(part))
            for name, part in sorted(vars(value).items(), key=_first)
            if not _is_skipped(name) and name != number
        )
        if isinstance(value, keras.Model) and not isinstance(value, keras.Sequential):
            return (described, parts, self._graph(value))
        return (described, parts)

    def _number(self, value: Any) -> str | None:
        """Return the attribute of a part that is fed to the program, and note it.

        These are used as they are: neither does Keras decide anything by them while it is traced
        (as it does by a momentum of 0, or a Dropout's rate), nor do they meet another constant
        with which TensorFlow would multiply them beforehand.
        """
        import keras

        if not self._feeds:
            return None
        if getattr(value, "activity_regularizer", None) is not None:
            raise _Constant  # it is divided by the number of rows
        kinds = {keras.regularizers.L1: "l1", keras.regularizers.L2: "l2"}
        kinds |= {kind: "weight_decay" for kind in _decaying()}
        name = kinds.get(type(value))
        strength = getattr(value, name) if name else None
        if name is None or not (type(strength) is float or keras.ops.is_tensor(strength)):
            return None
        self.numbers.append(Number(value, name))
        return name

    def _variable(self, variable: Any) -> Hashable:
        return (
            "variable",
            tuple(variable.shape),
            str(variable.dtype),
            bool(variable.trainable),
            self(variable.regularizer),
            self(variable.constraint),
            bool(getattr(variable, "overwrite_with_gradient", False)),
            bool(getattr(variable, "autocast", True)),
        )

    def _class(self, cls: type) -> Hashable:
        """Describe a class of Keras' by its methods, so that a replaced one is another class."""
        if cls.__module__.partition(".")[0] != "keras":
            raise NotDescribed(f"{cls.__module__}.{cls.__qualname__}")
        if cls not in self._classes:
            parts = [part for base in cls.__mro__ for part in vars(base).values()]
            methods = [part for part in parts if isinstance(part, _METHODS)]
            for method in methods:
                for function in _functions_of(method):
                    if _of_user(function):
                        raise NotDescribed(f"{cls.__qualname__} with a {function.__name__} put in")
            self._classes[cls] = (cls, *methods)
        return self._classes[cls]

    def _graph(self, model: Any) -> Hashable:
        """Describe how the layers of a functional model are connected, names left out."""
        import keras

        if type(model) is keras.Model or not hasattr(model, "operations"):
            raise NotDescribed("a model with a `call` of its own")
        order = {layer.name: i for i, layer in enumerate(model.operations)}
        config = model.get_config()
        nodes = [layer["inbound_nodes"] for layer in config["layers"]]
        ends = [config["input_layers"], config["output_layers"]]
        # Rows in a dict find the inputs of a list by their names.
        names = tuple(tensor.name for tensor in model.inputs) if len(model.inputs) > 1 else ()
        return (
            tuple(self(layer) for layer in model.operations),
            _plain([nodes, ends], order),
            names,
        )


def _decaying() -> list[type]:
    """Return the optimizers whose weight decay is Keras' common one."""
    import keras

    kinds = keras.optimizers
    return [kinds.SGD, kinds.Adam, kinds.AdamW, kinds.RMSprop, kinds.Nadam, kinds.Adagrad]


def _first(item: tuple[str, Any]) -> str:
    return item[0]


def _is_skipped(name: str) -> bool:
    return name in _SKIPPED or name.startswith("_self_") or name.endswith("_initializer")


def _functions_of(method: Any) -> list[types.FunctionType]:
    """Return the functions behind a method, a property or the like."""
    if isinstance(method, property):
        found = [method.fget, method.fset, method.fdel]
    else:
        found = [getattr(method, "__func__", method)]
    return [function for function in found if isinstance(function, types.FunctionType)]


def _of_user(function: Any) -> bool:
    """Tell whether a function is neither Keras' nor TensorFlow's, so that it may read anything."""
    return (function.__module__ or "").partition(".")[0] not in ("keras", "tensorflow")


def _function(function: Any) -> Hashable:
    """Describe a function of Keras' or TensorFlow's by what it is."""
    if _of_user(function):
        raise NotDescribed(f"the function {function.__qualname__}")
    if getattr(function, "__closure__", None):
        raise NotDescribed(f"what {function.__qualname__} captures")
    return ("function", function)


def _array(array: np.ndarray) -> Hashable:
    if array.dtype.hasobject or array.nbytes > _MOST_BYTES:
        raise NotDescribed("a large array")
    return ("array", array.shape, str(array.dtype), array.tobytes())


def _plain(config: Any, order: Mapping[str, int]) -> Hashable:
    """Turn a config into something hashable, layers by their place in place of their name."""
    if isinstance(config, Mapping):
        if config.get("class_name") in ("function", "__lambda__"):  # told by its name alone
            raise NotDescribed(f"a function in the graph, {config.get('config')!r:.60}")
        return ("dict", *((k, _plain(v, order)) for k, v in sorted(config.items(), key=_first)))
    if isinstance(config, list | tuple):
        return ("list", *(_plain(v, order) for v in config))
    if isinstance(config, str) and config in order:
        return ("layer", order[config])
    if isinstance(config, _PLAIN):
        return (type(config), repr(config))
    raise NotDescribed(f"{config!r:.60}")
