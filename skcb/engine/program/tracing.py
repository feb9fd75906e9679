"""Tracing: Keras' own steps in a loop over the batches, as functions of TensorFlow.

Owns what is traced and how: ``train_step``, ``test_step`` and ``predict_step`` of a model, so that
custom steps, metrics, weights, regularizers, clipping, EMA and dropout behave as in
``Model.fit``; what TensorFlow would keep of a trace and must not; and where the variables that a
function captured stand in a model. Leaves calls to ``bound``, and to ``joined`` which variables
an optimizer may update at once.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from skcb.engine.program.joined import CannotJoin, Joined, joined
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


NO_RATES = np.zeros(0, np.float32)
"""Says that no step sets the learning rate."""


def predicts_as_keras(model: Any) -> bool:
    """Tell whether the model's prediction is Keras' own, row by row."""
    return _is_keras_own(model, "predict_step")


def slots_of(model: Any) -> list[Any]:
    """Return the variables of a model, its optimizer and its metrics, each once."""
    keras_variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return [v.value for v in {id(v): v for v in keras_variables}.values()]


def trace(
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
        own = _is_keras_own(model, step.__name__)
        step = _with_shapes(_fed_with(numbers, step), slots)
        how = {"trains": kind == "train", "carries": not own}
        together = joined(model) if own and kind == "train" else None
        try:
            concrete, inner = _trace_epoch(model, step, rows, len(numbers), together, **how)
        except CannotJoin:
            concrete, inner = _trace_epoch(model, step, rows, len(numbers), None, **how)
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
    model: Any,
    step: Any,
    rows: Any,
    n_fed: int,
    together: Joined | None,
    *,
    trains: bool,
    carries: bool,
) -> tuple[Any, list[Any]]:
    """Trace a function that takes a step for each batch and returns the epoch's logs.

    The loop is one `While` operation that calls the step as a function. `tf.while_loop` would
    spread both over one graph: the same kernels in the same order, but 30 steps of a small net
    take 6.3 ms there and 3.7 ms here.

    Parameters
    ----------
    step : callable
        Takes a batch and the numbers that it is fed, ``n_fed`` of them.
    together : Joined or None
        The variables that are updated as one; their slots go from step to step as vectors.
    trains : bool
        Whether the step is a training step; then the function takes learning rates too, one for
        each step, or none, and whether a loss that is not finite ends the epoch.
    carries : bool
        Whether the step returns logs of its own, of which the last are the epoch's.

    Returns
    -------
    concrete function, list of the functions that it calls

    Raises
    ------
    CannotJoin
        The step does not update its variables as ``together`` expects.
    """

    def step_with_vectors(data: Any, fed: Any, vectors: Any) -> Any:
        if together is None:
            return step(data, fed), []
        return together.call(model, lambda: step(data, fed), vectors)

    fed = tf.TensorSpec([n_fed], tf.float64)
    vectors = [] if together is None else together.specs
    one_step = _concrete(step_with_vectors, rows, fed, vectors, _noinline=True)
    if together is not None and together.owns(one_step.captured_inputs):
        raise CannotJoin
    structure, _ = one_step.structured_outputs
    n_all_logs, n_vectors = len(one_step.outputs) - len(vectors), len(vectors)
    n_data, n_logs = len(tf.nest.flatten(rows)), n_all_logs if carries else 0
    loss = _place_of_loss(structure) if trains else None
    captured, taken = list(one_step.captured_inputs), len(one_step.captured_inputs)
    rate: Any = _rate_variable(model) if trains else None
    if rate is not None and _place(rate, captured) is None:
        captured.append(rate.handle)

    def more(values: Any) -> Any:
        start, end, *_ = values
        return start < end

    def take_step(values: Any) -> Any:
        start, end, order, size, fed, rates, until_nan, *others = values
        data, others = others[:n_data], others[n_data + n_logs :]
        vectors, variables = others[:n_vectors], others[n_vectors:]
        after = start + size
        batch = order[start : tf.minimum(after, end)]
        outputs = tf.raw_ops.StatefulPartitionedCall(
            args=[*(tf.gather(part, batch) for part in data), fed, *vectors, *variables[:taken]],
            Tout=[output.dtype for output in one_step.outputs],
            f=one_step,
        )
        if loss is not None:
            ends = tf.logical_and(until_nan, tf.logical_not(tf.math.is_finite(outputs[loss])))
            end = tf.where(ends, after, end)
        given = [order, size, fed, rates, until_nan, *data]
        return [after, end, *given, *outputs[:n_logs], *outputs[n_all_logs:], *variables]

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
    specs += [*tf.nest.flatten(rows), *logs, *vectors, *variables]
    condition, plain = _concrete(more, specs), _concrete(take_step, specs)
    rated = plain if rate is None else _concrete(take_step_at_its_rate, specs)

    def epoch(data: Any, order: Any, size: Any, first: Any, fed: Any, *given: Any) -> Any:
        # In the graph: from Python it costs 0.3 ms an epoch for a loss and one metric.
        tf.cond(first, model.reset_metrics, lambda: None)
        rates, until_nan = given or (tf.constant(NO_RATES), tf.constant(False))
        start = [
            *(tf.constant(0), tf.size(order), order, size, fed, rates, until_nan),
            *tf.nest.flatten(data),
            *(tf.zeros([size or 0 for size in spec.shape], spec.dtype) for spec in logs),
            *([] if together is None else together.read()),
            *captured,
        ]

        def run(body: Any) -> Any:
            last = tf.raw_ops.While(input=start, cond=condition, body=body)
            return [last[1], *last[before : before + n_logs + n_vectors]]

        if rated is plain:
            done, *last = run(plain)
        else:
            done, *last = tf.cond(tf.size(rates) > 0, lambda: run(rated), lambda: run(plain))
        if together is not None:
            together.write(last[n_logs:])
        results = model.get_metrics_result()
        if carries:
            own = tf.nest.pack_sequence_as(structure, last[:n_logs])
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
