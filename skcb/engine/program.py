"""Program: compiled functions that train an epoch, evaluate and predict, for one structure.

Owns the tracing of Keras' own ``train_step`` and ``test_step`` in a loop inside one
``tf.function``, so that custom steps, metrics, weights, regularizers, clipping, EMA and dropout
behave as in ``Model.fit``; and the call of such a function on the variables of any model of the
same structure. Holds no fit's numbers: variables, rows, order and batch size are arguments.
Leaves to ``structure`` which models are the same, and to ``roads`` when to use it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from skcb._seeds import BUILDING


class Traced(NamedTuple):
    """One concrete function and where its captured variables stand in a model.

    ``places`` is None where it captured something that is no variable of the model; then it
    computes with that very model only. ``n_bytes`` estimates the memory that it holds: its graph,
    and the variables of the model that it was traced with.
    """

    function: Any
    places: list[int] | None
    n_bytes: int


class Program:
    """The traced functions of one structure.

    One program serves any number of fits at once: each call passes the variables of its own
    model. Functions are traced when they are first needed.
    """

    def __init__(self) -> None:
        self._traced: dict[Any, Traced] = {}
        self._lock = threading.Lock()
        self.n_traces = {"train": 0, "evaluate": 0, "predict": 0}
        self.n_fits = 0

    def function(self, kind: str, model: Any, data: Any, slots: list[Any]) -> Traced:
        """Return the function of a kind for data like these, traced if need be.

        Parameters
        ----------
        kind : {"train", "evaluate", "predict"}
        model : keras.Model
            Traced where there is no function yet.
        data : tuple of nested tensors
            Rows; their number is left open.
        slots : list of tf.Variable
            The model's variables in their order.
        """
        key = (kind, _signature(data))
        with self._lock:
            found = self._traced.get(key)
        if found is not None:
            return found
        with BUILDING:  # tracing is Python and uses Keras' global state
            traced = _trace(kind, model, data, slots)
        with self._lock:
            self.n_traces[kind] += 1
            if traced.places is None:
                return traced  # of this model alone: whoever asks next gets its own
            return self._traced.setdefault(key, traced)

    @property
    def n_bytes(self) -> int:
        """Estimate of the memory held."""
        with self._lock:
            return sum(traced.n_bytes for traced in self._traced.values())


class Bound:
    """A program at work on one model: what ``loop`` trains, evaluates and predicts with.

    Parameters
    ----------
    model : keras.Model
        Compiled and built.
    find : callable
        Gives the program for the model; asked when the first step is needed, since callbacks may
        still change the model in ``on_train_begin``.
    """

    def __init__(self, model: Any, find: Callable[[Any], Program]) -> None:
        self.model = model
        self._find = find
        self._program: Program | None = None
        self._functions: dict[Any, Traced] = {}
        self._tensors: dict[int, tuple[Any, Any]] = {}
        self._handles: list[Any] | None = None

    def train_epoch(
        self, rows: Any, order: np.ndarray, batch_size: int, callbacks: Any, *, by_batch: bool
    ) -> dict[str, Any]:
        """Train one epoch; see :class:`skcb.engine.steps.KerasSteps` for the parameters.

        With ``by_batch`` the same function runs once for each batch, and callbacks get the batch
        hooks.
        """
        data = self._rows(rows)
        if not by_batch:
            return self._call("train", data, order, batch_size)
        logs: dict[str, Any] = {}
        for step, start in enumerate(range(0, len(order), batch_size)):
            callbacks.on_train_batch_begin(step)
            part = order[start : start + batch_size]
            logs = self._call("train", data, part, batch_size, first=start == 0)
            callbacks.on_train_batch_end(step, logs)
            if self.model.stop_training:
                break
        return logs

    def evaluate(
        self, rows: Any, batch_size: int, callbacks: Any, *, by_batch: bool
    ) -> dict[str, Any]:
        """Evaluate all rows in their order; returns logs named as in training."""
        data, order = self._rows(rows), np.arange(len(rows))
        callbacks.on_test_begin()
        logs: dict[str, Any] = {}
        if not by_batch:
            logs = self._call("evaluate", data, order, batch_size)
        else:
            for step, start in enumerate(range(0, len(order), batch_size)):
                callbacks.on_test_batch_begin(step)
                part = order[start : start + batch_size]
                logs = self._call("evaluate", data, part, batch_size, first=start == 0)
                callbacks.on_test_batch_end(step, logs)
        callbacks.on_test_end(logs)
        return logs

    def predict(self, x: Any, batch_size: int) -> Any:
        """Return the model's outputs for all rows, computed in parts that keep memory flat."""
        first = tf.nest.flatten(x)[0]
        a_row = max(1, sum(int(np.prod(part.shape[1:])) for part in tf.nest.flatten(x)))
        rows = max(batch_size, _ELEMENTS_AT_ONCE // a_row)
        parts = []
        for start in range(0, len(first), rows):
            part = tf.nest.map_structure(lambda a, s=start: tf.constant(a[s : s + rows]), x)
            parts.append(self._outputs(self._run("predict", (part,))))
        if len(parts) == 1:
            return parts[0]
        return tf.nest.map_structure(lambda *arrays: np.concatenate(arrays), *parts)

    def _outputs(self, tensors: Any) -> Any:
        return tf.nest.map_structure(lambda tensor: tensor.numpy(), tensors)

    def _call(
        self, kind: str, data: Any, order: np.ndarray, batch_size: int, *, first: bool = True
    ) -> dict[str, Any]:
        """Run batches; ``first`` says that they begin an epoch, so metrics start from nothing."""
        numbers = (
            tf.constant(order, tf.int32),
            tf.constant(batch_size, tf.int32),
            tf.constant(first),
        )
        logs = self._run(kind, data, numbers)
        return {name: _as_number(value) for name, value in logs.items()}

    def _run(self, kind: str, data: Any, numbers: tuple[Any, ...] = ()) -> Any:
        """Call a traced function on this model's own variables."""
        traced = self._function(kind, data)
        function = traced.function
        captured = function.captured_inputs
        if traced.places is not None:
            captured = [self._handles[place] for place in traced.places]  # type: ignore[index]
        # A concrete function called in Python runs on the variables that it was traced with;
        # called as an operation it takes any others of the same shapes as arguments.
        flat = tf.raw_ops.StatefulPartitionedCall(
            args=[*tf.nest.flatten(data), *numbers, *captured],
            Tout=[output.dtype for output in function.outputs],
            f=function,
        )
        return tf.nest.pack_sequence_as(function.structured_outputs, flat)

    def _function(self, kind: str, data: Any) -> Traced:
        key = (kind, _signature(data))
        if key not in self._functions:
            if self._program is None:
                self._program = self._find(self.model)
                self._program.n_fits += 1
            slots = _slots(self.model)
            self._handles = [variable.handle for variable in slots]
            self._functions[key] = self._program.function(kind, self.model, data, slots)
        return self._functions[key]

    def _rows(self, rows: Any) -> Any:
        """Return the rows as tensors; they are converted once a fit."""
        if id(rows) not in self._tensors:
            tensors = tf.nest.map_structure(tf.constant, rows.batch(slice(None)))
            self._tensors[id(rows)] = (rows, tensors)
        return self._tensors[id(rows)][1]

    def drop_rows(self) -> None:
        """Forget the rows, when the fit is over."""
        self._tensors.clear()


_ELEMENTS_AT_ONCE = 1 << 18
"""Numbers in the rows that are predicted by one call: 1 MB of float32."""


def predicts_as_keras(model: Any) -> bool:
    """Tell whether the model's prediction is Keras' own, row by row."""
    return _is_keras_own(model, "predict_step")


def runs_eagerly() -> bool:
    """Tell whether TensorFlow was told to run functions without tracing them."""
    return bool(tf.config.functions_run_eagerly())


def _slots(model: Any) -> list[Any]:
    """Return the variables of a model, its optimizer and its metrics, each once."""
    keras_variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return [v.value for v in {id(v): v for v in keras_variables}.values()]


def _signature(data: Any) -> Any:
    leaves = tuple((str(t.dtype), tuple(t.shape[1:])) for t in tf.nest.flatten(data))
    return (repr(tf.nest.map_structure(lambda _: 0, data)), leaves)


def _as_number(value: Any) -> Any:
    array = value.numpy()
    return float(array) if array.ndim == 0 else array


def _trace(kind: str, model: Any, data: Any, slots: list[Any]) -> Traced:
    """Trace a function for rows like these, and find its variables among the model's."""
    rows = tf.nest.map_structure(lambda t: tf.TensorSpec([None, *t.shape[1:]], t.dtype), data)
    order, size = tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.int32)
    first = tf.TensorSpec([], tf.bool)
    if kind == "predict":
        concrete = _concrete(tf.function(model.predict_step, autograph=False), rows)
    else:
        step = model.train_step if kind == "train" else model.test_step
        own = _is_keras_own(model, step.__name__)
        loop = _loop_over_batches(model, step, None if own else _logs_of(step, rows))
        concrete = _concrete(tf.function(loop, autograph=False), rows, order, size, first)
    handles = {id(variable.handle): place for place, variable in enumerate(slots)}
    places = [handles.get(id(captured)) for captured in concrete.captured_inputs]
    n_bytes = len(concrete.graph.get_operations()) * _BYTES_AN_OPERATION
    n_bytes += sum(v.shape.num_elements() * v.dtype.size for v in slots)
    if any(place is None for place in places):
        return Traced(concrete, None, n_bytes)
    return Traced(concrete, [place for place in places if place is not None], n_bytes)


_BYTES_AN_OPERATION = 4096


def _concrete(function: Any, *specs: Any) -> Any:
    return function.get_concrete_function(*specs)


def _is_keras_own(model: Any, step: str) -> bool:
    """Tell whether a step is Keras' own, whose logs are the metrics' results."""
    import keras

    return getattr(type(model), step) is getattr(keras.Model, step) and step not in vars(model)


def _logs_of(step: Any, rows: Any) -> Any:
    """Return zeros shaped as the logs that a custom step returns."""
    found = _concrete(tf.function(step, autograph=False), rows).structured_outputs
    return tf.nest.map_structure(lambda t: tf.zeros(t.shape, t.dtype), found)


def _loop_over_batches(model: Any, step: Any, empty_logs: Any) -> Any:
    """Return a function that takes a step for each batch and returns the epoch's logs.

    Parameters
    ----------
    empty_logs : structure of tensors or None
        What a custom step returns; its last logs are carried through the loop.
    """

    def epoch(data: Any, order: Any, batch_size: Any, first: Any) -> Any:
        n = tf.shape(order)[0]
        # In the graph: from Python it costs 0.3 ms an epoch for a loss and one metric.
        tf.cond(first, model.reset_metrics, lambda: None)

        def more(start: Any, _: Any) -> Any:
            return start < n

        def take_step(start: Any, logs: Any) -> Any:
            rows = order[start : tf.minimum(start + batch_size, n)]
            found = step(tf.nest.map_structure(lambda t: tf.gather(t, rows), data))
            return start + batch_size, logs if empty_logs is None else found

        start = tf.constant(0)
        carried = () if empty_logs is None else empty_logs
        # One batch after the other: the next one reads the weights that this one writes.
        _, last = tf.while_loop(more, take_step, [start, carried], parallel_iterations=1)
        results = model.get_metrics_result()
        same = isinstance(last, dict) and set(last) == set(results)
        return results if empty_logs is None or same else last

    return epoch
