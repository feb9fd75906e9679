"""Program: compiled functions that train an epoch, evaluate and predict, for one structure.

Owns the tracing of Keras' own ``train_step`` and ``test_step`` in a loop inside one
``tf.function``, so that custom steps, metrics, weights, regularizers, clipping, EMA and dropout
behave as in ``Model.fit``; and the call of such a function on the variables of any model of the
same structure. Holds no fit's numbers: variables, rows, order and batch size are arguments.
Leaves to ``structure`` which models are the same, and to ``roads`` when to use it.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from skcb import _completion
from skcb._seeds import BUILDING
from skcb.engine.state import first_array, taken
from skcb.engine.structure import Number


class Traced(NamedTuple):
    """One concrete function and where its captured variables stand in a model.

    ``inner`` are the functions that it calls, which live only as long as they are held.
    ``places`` is None where it captured something that is no variable of the model; then it
    computes with that very model only. ``n_bytes`` estimates the memory that it holds: its graph,
    and the variables of the model that it was traced with.
    """

    function: Any
    inner: list[Any]
    places: list[int] | None
    n_bytes: int


class Program:
    """The traced functions of one structure.

    One program serves any number of fits at once: each call passes the variables of its own
    model. Functions are traced when they are first needed.
    """

    def __init__(self) -> None:
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
            traced = _trace(kind, model, data, slots, numbers)
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


class Bound:
    """A program at work on one model: what ``loop`` trains, evaluates and predicts with.

    Parameters
    ----------
    model : keras.Model
        Compiled and built.
    find : callable
        Gives the program for the model, and the numbers to feed it; asked when the first step is
        needed, since callbacks may still change the model in ``on_train_begin``.
    """

    def __init__(self, model: Any, find: Callable[[Any], tuple[Program, list[Number]]]) -> None:
        self.model = model
        self._find = find
        self._program: Program | None = None
        self._numbers: list[Number] = []
        self._fed: Any = None
        self._functions: dict[Any, Traced] = {}
        self._tensors: dict[int, tuple[Any, Any]] = {}
        self._handles: list[Any] | None = None

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
            rates = _NO_RATES
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
        n = first_array(x).shape[0]
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
        traced = self._function(kind, data)
        inputs = [
            tf.constant(order, tf.int32),
            tf.constant(batch_size, tf.int32),
            tf.constant(first),
            self._fed,
        ]
        if rates is not None:
            inputs += [tf.constant(rates, tf.float32), tf.constant(until_nan)]
        logs, done = self._run(traced, data, inputs)
        return {name: _as_number(value) for name, value in logs.items()}, int(done)

    def _run(self, traced: Traced, data: Any, inputs: Sequence[Any] = ()) -> Any:
        """Call a traced function on this model's own variables."""
        function = traced.function
        captured = function.captured_inputs
        if traced.places is not None:
            captured = [self._handles[place] for place in traced.places]  # type: ignore[index]
        # A concrete function called in Python runs on the variables that it was traced with;
        # called as an operation it takes any others of the same shapes as arguments.
        flat = tf.raw_ops.StatefulPartitionedCall(
            args=[*tf.nest.flatten(data), *inputs, *captured],
            Tout=[output.dtype for output in function.outputs],
            f=function,
        )
        return tf.nest.pack_sequence_as(function.structured_outputs, flat)

    def _function(self, kind: str, data: Any) -> Traced:
        key = (kind, _signature(data))
        if key not in self._functions:
            if self._program is None:
                self._program, self._numbers = self._find(self.model)
                self._program.n_fits += 1
                # Read once a fit: Keras, too, reads them when it traces, and not again.
                values = [float(getattr(number.owner, number.name)) for number in self._numbers]
                self._fed = tf.constant(values, tf.float64, [len(values)])
            slots = _slots(self.model)
            if kind != "predict" and not self._program.fits(slots):
                with BUILDING:
                    batch = tf.nest.map_structure(
                        lambda part: part[: _completion.SAMPLE_ROWS], data
                    )
                    _completion.complete(self.model, *batch)
                slots = _slots(self.model)
            self._handles = [variable.handle for variable in slots]
            self._functions[key] = self._program.function(
                kind, self.model, data, slots, self._numbers
            )
        return self._functions[key]

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


def _guards(callbacks: Any) -> list[Any]:
    """Return the callbacks that end an epoch at a loss which is not finite."""
    import keras

    return [c for c in callbacks.callbacks if isinstance(c, keras.callbacks.TerminateOnNaN)]


_NO_RATES = np.zeros(0, np.float32)
"""Says that no step sets the learning rate."""

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


def _shapes_of(slots: list[Any]) -> list[Any]:
    return [(tuple(variable.shape), variable.dtype) for variable in slots]


def _signature(data: Any) -> Any:
    leaves = tuple((str(t.dtype), tuple(t.shape[1:])) for t in tf.nest.flatten(data))
    return (repr(tf.nest.map_structure(lambda _: 0, data)), leaves)


def _as_number(value: Any) -> Any:
    array = value.numpy()
    return float(array) if array.ndim == 0 else array


def _trace(
    kind: str, model: Any, data: Any, slots: list[Any], numbers: Sequence[Number] = ()
) -> Traced:
    """Trace a function for rows like these, and find its variables among the model's."""
    _clear_kernels()
    rows = tf.nest.map_structure(lambda t: tf.TensorSpec([None, *t.shape[1:]], t.dtype), data)
    inner: list[Any] = []
    if kind == "predict":
        concrete = _concrete(model.predict_step, *rows)
    else:
        step = model.train_step if kind == "train" else model.test_step
        carries = not _is_keras_own(model, step.__name__)
        step = _with_shapes(_fed_with(numbers, step), slots)
        concrete, inner = _trace_epoch(
            model, step, rows, len(numbers), trains=kind == "train", carries=carries
        )
    _forget_gradients([concrete, *inner])
    weakref.finalize(concrete, _gone.append, kind)
    handles = {id(variable.handle): place for place, variable in enumerate(slots)}
    places = [handles.get(id(captured)) for captured in concrete.captured_inputs]
    operations = sum(len(f.graph.get_operations()) for f in [concrete, *inner])
    n_bytes = operations * _BYTES_AN_OPERATION
    n_bytes += sum(v.shape.num_elements() * v.dtype.size for v in slots)
    if any(place is None for place in places):
        return Traced(concrete, inner, None, n_bytes)
    return Traced(concrete, inner, [place for place in places if place is not None], n_bytes)


_BYTES_AN_OPERATION = 20_000
"""What an operation of a traced function costs: 15 MB in all for a small network's 750."""


_gone: list[str] = []
"""The kinds of the functions that were dropped since kernels were last cleared."""


def _clear_kernels() -> None:
    """Free the kernels of functions that are gone.

    TensorFlow keeps the kernel of a function that is called as an operation, and with it all that
    was compiled for it (1.3 MB for a training step), until it is told to clear all kernels. Those
    in use stay until their call is over; the others are made again when they are needed, which
    takes far less than a trace. There is no public door; test_pool.py notices if it goes.
    """
    if _gone:
        from tensorflow.python.eager import context

        _gone.clear()
        context.context().clear_kernel_cache()


def _forget_gradients(functions: list[Any]) -> None:
    """Drop the gradients that TensorFlow registered for what was traced.

    It never drops one itself, and each holds the whole graph. Nobody derives a step once more.
    The registry has no public door; test_pool.py notices if it goes.
    """
    from tensorflow.python.framework.ops import gradient_registry

    for function in functions:
        for operation in function.graph.get_operations():
            name = operation.node_def.attr["_gradient_op_type"].s.decode()
            gradient_registry._registry.pop(name, None)


def _concrete(function: Any, *specs: Any, **attributes: Any) -> Any:
    """Trace a function as Keras traces a step: without AutoGraph."""
    traced = tf.function(function, autograph=False, experimental_attributes=attributes or None)
    return traced.get_concrete_function(*specs)


def _is_keras_own(model: Any, step: str) -> bool:
    """Tell whether a step is Keras' own, whose logs are the metrics' results."""
    import keras

    return getattr(type(model), step) is getattr(keras.Model, step) and step not in vars(model)


def _trace_epoch(
    model: Any, step: Any, rows: Any, n_fed: int, *, trains: bool, carries: bool
) -> tuple[Any, list[Any]]:
    """Trace a function that takes a step for each batch and returns the epoch's logs.

    The loop is one `While` operation that calls the step as a function. `tf.while_loop` would
    spread both over one graph: the same kernels in the same order, but 30 steps of a small net
    take 6.3 ms there and 3.7 ms here.

    Parameters
    ----------
    step : callable
        Takes a batch and the numbers that it is fed, ``n_fed`` of them.
    trains : bool
        Whether the step is a training step; then the function takes learning rates too, one for
        each step, or none, and whether a loss that is not finite ends the epoch.
    carries : bool
        Whether the step returns logs of its own, of which the last are the epoch's.

    Returns
    -------
    concrete function, list of the functions that it calls
    """
    fed = tf.TensorSpec([n_fed], tf.float64)
    one_step = _concrete(step, rows, fed, _noinline=True)
    n_data, n_logs = len(tf.nest.flatten(rows)), len(one_step.outputs) if carries else 0
    loss = _place_of_loss(one_step.structured_outputs) if trains else None
    captured, taken = list(one_step.captured_inputs), len(one_step.captured_inputs)
    rate: Any = _rate_variable(model) if trains else None
    if rate is not None and _place(rate, captured) is None:
        captured.append(rate.handle)

    def more(values: Any) -> Any:
        start, end, *_ = values
        return start < end

    def take_step(values: Any) -> Any:
        start, end, order, size, fed, rates, until_nan, *others = values
        data, variables = others[:n_data], others[n_data + n_logs :]
        after = start + size
        batch = order[start : tf.minimum(after, end)]
        logs = tf.raw_ops.StatefulPartitionedCall(
            args=[*(tf.gather(part, batch) for part in data), fed, *variables[:taken]],
            Tout=[output.dtype for output in one_step.outputs],
            f=one_step,
        )
        if loss is not None:
            ends = tf.logical_and(until_nan, tf.logical_not(tf.math.is_finite(logs[loss])))
            end = tf.where(ends, after, end)
        rest = [order, size, fed, rates, until_nan, *data, *logs[:n_logs], *variables]
        return [after, end, *rest]

    def take_step_at_its_rate(values: Any) -> Any:
        start, _, _, size, _, rates, *_ = values
        now = tf.cast(rates[start // size], rate.dtype)
        # Through the very argument that the step reads it by: TensorFlow keeps the two in order
        # only where it sees that they are one variable.
        handle = values[-len(captured) :][_place(rate, captured)]
        tf.raw_ops.AssignVariableOp(resource=handle, value=now)
        return take_step(values)

    number, order = tf.TensorSpec([], tf.int32), tf.TensorSpec([None], tf.int32)
    rates, flag = tf.TensorSpec([None], tf.float32), tf.TensorSpec([], tf.bool)
    logs = [tf.TensorSpec(o.shape, o.dtype) for o in one_step.outputs[:n_logs]]
    variables = [tf.TensorSpec([], handle.dtype) for handle in captured]
    specs = [number, number, order, number, fed, rates, flag]
    before = len(specs) + n_data
    specs += [*tf.nest.flatten(rows), *logs, *variables]
    condition, plain = _concrete(more, specs), _concrete(take_step, specs)
    rated = plain if rate is None else _concrete(take_step_at_its_rate, specs)

    def epoch(data: Any, order: Any, size: Any, first: Any, fed: Any, *given: Any) -> Any:
        # In the graph: from Python it costs 0.3 ms an epoch for a loss and one metric.
        tf.cond(first, model.reset_metrics, lambda: None)
        rates, until_nan = given or (tf.constant(_NO_RATES), tf.constant(False))
        start = [
            *(tf.constant(0), tf.size(order), order, size, fed, rates, until_nan),
            *tf.nest.flatten(data),
            *(tf.zeros(spec.shape, spec.dtype) for spec in logs),
            *captured,
        ]

        def run(body: Any) -> Any:
            last = tf.raw_ops.While(input=start, cond=condition, body=body)
            return [last[1], *last[before : before + n_logs]]

        if rated is plain:
            done, *last = run(plain)
        else:
            done, *last = tf.cond(tf.size(rates) > 0, lambda: run(rated), lambda: run(plain))
        results = model.get_metrics_result()
        if carries:
            own = tf.nest.pack_sequence_as(one_step.structured_outputs, last)
            if not (isinstance(own, dict) and set(own) == set(results)):
                results = own
        return results, done

    signature = [rows, order, number, flag, fed]
    whole = _concrete(epoch, *signature, *([rates, flag] if trains else []))
    return whole, [one_step, condition, plain, rated]


def _place_of_loss(outputs: Any) -> int | None:
    """Return where the loss stands among the flat logs of a step, or None."""
    if not isinstance(outputs, dict) or "loss" not in outputs:
        return None
    places = tf.nest.pack_sequence_as(outputs, list(range(len(tf.nest.flatten(outputs)))))
    return int(places["loss"])


def _rate_variable(model: Any) -> Any:
    """Return the variable that holds the learning rate; None where a schedule object is it."""
    import keras

    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    rate = optimizer.learning_rate
    return rate.value if isinstance(rate, keras.Variable) else None


def _place(variable: Any, handles: list[Any]) -> Any:
    """Return where a variable's handle stands in a list, or None."""
    return next((i for i, handle in enumerate(handles) if handle is variable.handle), None)


def _fed_with(numbers: Sequence[Number], step: Any) -> Any:
    """Return a step that, when traced, reads some numbers of its model from a tensor."""

    def fed_step(data: Any, fed: Any) -> Any:
        kept = [getattr(number.owner, number.name) for number in numbers]
        try:
            for place, number in enumerate(numbers):
                setattr(number.owner, number.name, fed[place])
            return step(data)
        finally:
            for number, value in zip(numbers, kept, strict=True):
                setattr(number.owner, number.name, value)

    return fed_step


def _with_shapes(step: Any, slots: list[Any]) -> Any:
    """Return a step that, when traced, notes the shapes of the variables that it captures.

    TensorFlow simplifies a function by the shapes that it knows: under `global_clipnorm` it
    multiplies in another order where those of the variables are missing, and the last bit
    changes. Inside `Model.fit` it knows them; in a function called by another one they must be
    said, as attributes that only `Operation._set_attr` can set (test_equality.py notices if that
    goes).
    """
    variables = {id(variable.handle): variable for variable in slots}

    def noted(data: Any, fed: Any) -> Any:
        logs = step(data, fed)
        for outside, inside in tf.compat.v1.get_default_graph().captures:
            variable = variables.get(id(outside))
            if variable is not None:
                shape, dtype = tf.compat.v1.AttrValue(), tf.compat.v1.AttrValue()
                shape.list.shape.add().CopyFrom(variable.shape.as_proto())
                dtype.list.type.append(variable.dtype.as_datatype_enum)
                inside.op._set_attr("_handle_shapes", shape)
                inside.op._set_attr("_handle_dtypes", dtype)
        return logs

    return noted
