"""Bound: a program at work on one model.

Owns the program of a structure, which is its traced functions, and their call on the variables
of any model of that structure. Holds no fit's numbers: variables, rows, order and batch size are
arguments. Leaves what is traced to ``tracing``, to ``structure`` which models are the same, and
to ``roads`` when to use it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from skcb import _completion
from skcb._seeds import BUILDING
from skcb.engine.program.tracing import (
    NO_RATES,
    Traced,
    slots_of,
    trace,
)
from skcb.engine.state import first_array, taken
from skcb.engine.structure import Number


class Program:
    """The traced functions of one structure.

    One program serves any number of fits at once: each call passes the variables of its own
    model. Functions are traced when they are first needed.

    Parameters
    ----------
    of_one : bool, default=False
        Whether it is the program of one model alone.
    """

    def __init__(self, *, of_one: bool = False) -> None:
        self.of_one = of_one
        self._traced: dict[Any, Traced] = {}
        self._shapes: list[Any] | None = None
        self._lock = threading.Lock()
        self.n_traces = {"train": 0, "evaluate": 0, "predict": 0}
        self.n_fits = 0

    def function(
        self, kind: str, model: Any, data: Any, slots: list[Any], numbers: Sequence[Number] = ()
    ) -> Traced:
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
        numbers : sequence of Number
            What is fed to the function in place of being traced.
        """
        key = (kind, _signature(data))
        with self._lock:
            found = self._traced.get(key)
        if found is not None:
            return found
        with BUILDING:  # tracing is Python and uses Keras' global state
            traced = trace(kind, model, data, slots, numbers)
        with self._lock:
            if kind != "predict":  # which needs no metrics, so theirs may be missing
                self._shapes = _shapes_of(slots)
            self.n_traces[kind] += 1
            if traced.places is None:
                return traced  # of this model alone: whoever asks next gets its own
            return self._traced.setdefault(key, traced)

    def fits(self, slots: list[Any]) -> bool:
        """Tell whether these variables are those of the models traced so far."""
        with self._lock:
            return self._shapes == _shapes_of(slots)

    @property
    def n_bytes(self) -> int:
        """Estimate of the memory held."""
        with self._lock:
            return sum(traced.n_bytes for traced in self._traced.values())


class _Ready(NamedTuple):
    """A traced function, and what every call passes to it: this model's variables and numbers."""

    traced: Traced
    captured: list[Any]
    fed: Any


class Bound:
    """A program at work on one model: what ``loop`` trains, evaluates and predicts with.

    Parameters
    ----------
    model : keras.Model
        Compiled and built.
    find : callable
        Gives the program for the model, and the numbers to feed it; takes the model, and its own
        program if it has one. Asked when a function is first needed and not before, since
        callbacks and users may change the model: as in Keras, where each function is traced at
        its first call and shows the model as it was then.
    """

    def __init__(
        self, model: Any, find: Callable[[Any, Program | None], tuple[Program, list[Number]]]
    ) -> None:
        self.model = model
        self._find = find
        self._program: Program | None = None
        self._functions: dict[Any, _Ready] = {}
        self._tensors: dict[int, tuple[Any, Any]] = {}
        self._predicts_with: list[int] = []

    def train_epoch(
        self,
        rows: Any,
        order: np.ndarray,
        batch_size: int,
        callbacks: Any,
        *,
        by_batch: bool,
        rates: np.ndarray | None = None,
    ) -> dict[str, Any]:
        """Train one epoch; see :class:`skcb.engine.steps.KerasSteps` for the parameters.

        With ``by_batch``, and for sparse rows, the same function runs once for each batch, and
        callbacks get the batch hooks. Without it the epoch still ends at the first loss that is
        not finite if there is a TerminateOnNaN, whose hook is then called for that batch.
        """
        if rates is None:
            rates = NO_RATES
        if not by_batch and not rows.sparse:
            guards = _guards(callbacks)
            logs, done = self._call(
                "train", self._rows(rows), order, batch_size, rates=rates, until_nan=bool(guards)
            )
            for guard in guards:
                guard.on_batch_end((done - 1) // batch_size, logs)
            return logs
        logs = {}
        for step, start in enumerate(range(0, len(order), batch_size)):
            callbacks.on_train_batch_begin(step)
            data, part = self._part(rows, order[start : start + batch_size])
            logs, _ = self._call(
                "train", data, part, batch_size, first=start == 0, rates=rates[step : step + 1]
            )
            callbacks.on_train_batch_end(step, logs)
            if self.model.stop_training:
                break
        return logs

    def evaluate(
        self, rows: Any, batch_size: int, callbacks: Any, *, by_batch: bool
    ) -> dict[str, Any]:
        """Evaluate all rows in their order; returns logs named as in training."""
        order = np.arange(len(rows))
        callbacks.on_test_begin()
        logs: dict[str, Any] = {}
        if not by_batch and not rows.sparse:
            logs, _ = self._call("evaluate", self._rows(rows), order, batch_size)
        else:
            for step, start in enumerate(range(0, len(order), batch_size)):
                callbacks.on_test_batch_begin(step)
                data, part = self._part(rows, order[start : start + batch_size])
                logs, _ = self._call("evaluate", data, part, batch_size, first=start == 0)
                callbacks.on_test_batch_end(step, logs)
        callbacks.on_test_end(logs)
        return logs

    def predict(self, x: Any, batch_size: int) -> Any:
        """Return the model's outputs for all rows, computed in parts that keep memory flat."""
        self._forget_other_variables()
        n = first_array(x).shape[0]
        rows = batch_size
        if not _has_fixed_batch(self.model):
            a_row = max(1, sum(int(np.prod(part.shape[1:])) for part in tf.nest.flatten(x)))
            rows = max(batch_size, _ELEMENTS_AT_ONCE // a_row)
        parts = []
        for start in range(0, n, rows):
            part = tf.nest.map_structure(tf.constant, taken(x, slice(start, start + rows)))
            parts.append(self._outputs(self._run(self._function("predict", (part,)), (part,))))
        if len(parts) == 1:
            return parts[0]
        return tf.nest.map_structure(lambda *arrays: np.concatenate(arrays), *parts)

    def _outputs(self, tensors: Any) -> Any:
        return tf.nest.map_structure(lambda tensor: tensor.numpy(), tensors)

    def _call(
        self,
        kind: str,
        data: Any,
        order: np.ndarray,
        batch_size: int,
        *,
        first: bool = True,
        rates: np.ndarray | None = None,
        until_nan: bool = False,
    ) -> tuple[dict[str, Any], int]:
        """Run batches; return their logs, and how many rows were reached.

        ``first`` says that they begin an epoch, so metrics start from nothing; ``until_nan`` that
        a loss which is not finite ends it.
        """
        ready = self._function(kind, data)
        inputs = [
            tf.constant(order, tf.int32),
            tf.constant(batch_size, tf.int32),
            tf.constant(first),
            ready.fed,
        ]
        if rates is not None:
            inputs += [tf.constant(rates, tf.float32), tf.constant(until_nan)]
        logs, done = self._run(ready, data, inputs)
        return {name: _as_number(value) for name, value in logs.items()}, int(done)

    def _run(self, ready: _Ready, data: Any, inputs: Sequence[Any] = ()) -> Any:
        """Call a traced function on this model's own variables."""
        function = ready.traced.function
        # A concrete function called in Python runs on the variables that it was traced with;
        # called as an operation it takes any others of the same shapes as arguments.
        flat = tf.raw_ops.StatefulPartitionedCall(
            args=[*tf.nest.flatten(data), *inputs, *ready.captured],
            Tout=[output.dtype for output in function.outputs],
            f=function,
        )
        return tf.nest.pack_sequence_as(function.structured_outputs, flat)

    def _function(self, kind: str, data: Any) -> _Ready:
        key = (kind, _signature(data))
        if key not in self._functions:
            self._functions[key] = self._found(kind, data)
        return self._functions[key]

    def _found(self, kind: str, data: Any) -> _Ready:
        """Find the function for the model as it is now, and for data like these."""
        # Where numbers are fed, a trace puts a tensor in their place for its time, and models of
        # other threads may share their owner.
        with BUILDING:
            own = self._program if self._program is not None and self._program.of_one else None
            program, numbers = self._find(self.model, own)
            # Read once: Keras, too, reads them when it traces, and not again.
            values = [float(getattr(number.owner, number.name)) for number in numbers]
        if self._program is None:
            program.n_fits += 1
        self._program = program
        slots = slots_of(self.model)
        if kind != "predict" and not program.fits(slots):
            with BUILDING:
                batch = tf.nest.map_structure(lambda part: part[: _completion.SAMPLE_ROWS], data)
                _completion.complete(self.model, *batch)
            slots = slots_of(self.model)
        traced = program.function(kind, self.model, data, slots, numbers)
        if kind == "predict":
            self._predicts_with = _ids_of_variables(self.model)
        captured = traced.function.captured_inputs
        if traced.places is not None:
            captured = [slots[place].handle for place in traced.places]
        return _Ready(traced, captured, tf.constant(values, tf.float64, [len(values)]))

    def _forget_other_variables(self) -> None:
        """Find everything anew where the model has other variables: one quantized, say."""
        if self._predicts_with and self._predicts_with != _ids_of_variables(self.model):
            self._program, self._functions = None, {}

    def _rows(self, rows: Any) -> Any:
        """Return the rows as tensors; they are converted once a fit."""
        if id(rows) not in self._tensors:
            tensors = tf.nest.map_structure(tf.constant, rows.batch(slice(None)))
            self._tensors[id(rows)] = (rows, tensors)
        return self._tensors[id(rows)][1]

    def _part(self, rows: Any, order: np.ndarray) -> tuple[Any, np.ndarray]:
        """Return tensors and where some rows stand in them; sparse ones are dense, and alone."""
        if not rows.sparse:
            return self._rows(rows), order
        return tf.nest.map_structure(tf.constant, rows.batch(order)), np.arange(len(order))

    def drop_rows(self) -> None:
        """Forget the rows, when the fit is over."""
        self._tensors.clear()


def _ids_of_variables(model: Any) -> list[int]:
    return [id(variable) for variable in model.variables]


def _has_fixed_batch(model: Any) -> bool:
    """Tell whether a model takes batches of one size alone, as a stateful recurrent one does."""
    return any(part.shape[0] is not None for part in getattr(model, "inputs", None) or ())


def _guards(callbacks: Any) -> list[Any]:
    """Return the callbacks that end an epoch at a loss which is not finite."""
    import keras

    return [c for c in callbacks.callbacks if isinstance(c, keras.callbacks.TerminateOnNaN)]


_ELEMENTS_AT_ONCE = 1 << 18
"""Numbers in the rows that are predicted by one call: 1 MB of float32."""


def runs_eagerly() -> bool:
    """Tell whether TensorFlow was told to run functions without tracing them."""
    return bool(tf.config.functions_run_eagerly())


def _shapes_of(slots: list[Any]) -> list[Any]:
    return [(tuple(variable.shape), variable.dtype) for variable in slots]


def _signature(data: Any) -> Any:
    """Describe rows by structure, dtypes and shapes, but for their number."""
    leaves = tuple((part.dtype, tuple(part.shape[1:])) for part in tf.nest.flatten(data))
    if all(isinstance(part, tf.Tensor) for part in data):
        return (len(data), leaves)
    return (repr(tf.nest.map_structure(lambda _: 0, data)), leaves)


def _as_number(value: Any) -> Any:
    array = value.numpy()
    return float(array) if array.ndim == 0 else array
