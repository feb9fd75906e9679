"""Joined: an optimizer's small variables updated as one vector, by Keras' own formula.

On a small net most of a step is Adam: two dozen operations for each variable, each of which takes
longer to start than to compute. All of them go number by number, so it makes no difference to a
number whether it is updated in its own variable or in a vector with others.

Owns which variables may be joined, their slots as vectors for the time of an epoch, and the
stand-in for the optimizer whose update step works on such vectors. Leaves the formula, and all
else that an optimizer does, to Keras; and the loop that carries the vectors to ``tracing``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

_SLOTS = {"Adam": ("_momentums", "_velocities"), "AdamW": ("_momentums", "_velocities")}
"""Slots by optimizer, each a list with a variable for each trainable variable.

Private names, as are ``_trainable_variables``, ``_get_variable_index`` and
``_backend_update_step``, which Keras has for backends that update all variables at once. Without
them nothing is joined, and test_joined.py notices. RMSprop is left out: `rsqrt` of a number
depends on where in a vector it stands.
"""

_SMALL = 1 << 13
"""Numbers in a variable that is worth joining; a larger one costs more to copy than to start."""

_TOTAL = 1 << 15
"""Numbers that are joined in all: beyond it TensorFlow spreads an operation over threads."""


class CannotJoin(Exception):
    """The step does not update its variables as expected; it is traced as it stands."""


def joined(model: Any) -> Joined | None:
    """Return what of a model's optimizer can be joined, or None."""
    optimizer = model.optimizer
    names = _SLOTS.get(type(optimizer).__name__, ())
    if not names or not _is_plain(optimizer) or position_matters():
        return None
    try:
        variables = optimizer._trainable_variables
        slots = [getattr(optimizer, name) for name in names]
    except AttributeError:
        return None
    places, total = [], 0
    for place in sorted(range(len(variables)), key=lambda i: _size(variables[i])):
        one = [variables[place], *(slot[place] for slot in slots)]
        total += _size(one[0])
        if _size(one[0]) > _SMALL or total > _TOTAL:
            break
        if all(v is not None and v.dtype == "float32" and v.shape == one[0].shape for v in one):
            places.append(place)
    return Joined(optimizer, names, sorted(places)) if len(places) > 1 else None


def _is_plain(optimizer: Any) -> bool:
    """Tell whether it is Keras' own class and does nothing across the numbers of a variable."""
    import keras

    return (
        type(optimizer) is getattr(keras.optimizers, type(optimizer).__name__, None)
        and not getattr(optimizer, "amsgrad", False)
        and not (optimizer.clipnorm or optimizer.global_clipnorm or optimizer.clipvalue)
        and not (optimizer.use_ema or optimizer.gradient_accumulation_steps)
        and not tf.distribute.has_strategy()
    )


def _size(variable: Any) -> int:
    return int(np.prod(variable.shape))


@cache
def position_matters() -> bool:
    """Tell whether a number's root or quotient depends on where in a vector it stands.

    IEEE 754 says that it must not, but a processor has instructions for many numbers at once that
    round differently from those for one.
    """
    return any(map(depends_on_position, [tf.sqrt, lambda x: x / (x + 1e-7), tf.square]))


def depends_on_position(function: Callable[[Any], Any]) -> bool:
    """Tell whether a function gives a number another value in another place of a vector."""
    numbers = tf.constant(np.geomspace(1e-12, 1e3, 67), tf.float32)
    whole = function(numbers).numpy()
    for start in range(1, 17):
        parts = [function(numbers[:start]).numpy(), function(numbers[start:]).numpy()]
        if np.concatenate(parts).tobytes() != whole.tobytes():
            return True
    return False


class Joined:
    """Some variables of an optimizer that are updated as one vector.

    Parameters
    ----------
    optimizer : keras.optimizers.Optimizer
        Built.
    names : sequence of str
        The attributes that hold its slots.
    places : list of int
        The variables, by their places among the optimizer's.
    """

    def __init__(self, optimizer: Any, names: Sequence[str], places: list[int]) -> None:
        self._optimizer = optimizer
        self._variables = [optimizer._trainable_variables[place] for place in places]
        self._slots = {
            name: [getattr(optimizer, name)[place] for place in places] for name in names
        }

    @property
    def specs(self) -> list[Any]:
        """Say what the vectors are, one for each kind of slot."""
        size = sum(map(_size, self._variables))
        return [tf.TensorSpec([size], tf.float32) for _ in self._slots]

    def read(self) -> list[Any]:
        """Return the slots as vectors."""
        return [_joined([slot.value for slot in slots]) for slots in self._slots.values()]

    def write(self, vectors: Sequence[Any]) -> None:
        """Put vectors into the slots."""
        for slots, vector in zip(self._slots.values(), vectors, strict=True):
            for slot, part in zip(slots, _parts(vector, slots), strict=True):
                slot.value.assign(part)

    def owns(self, handles: Sequence[Any]) -> bool:
        """Tell whether any of these handles is a slot's, which a step then reads behind us."""
        own = {id(slot.value.handle) for slots in self._slots.values() for slot in slots}
        return not own.isdisjoint(map(id, handles))

    def call(self, model: Any, step: Callable[[], Any], vectors: Sequence[Any]) -> Any:
        """Take a step with the slots in vectors; return what it returns, and the new vectors.

        For that time the model's optimizer is a stand-in, which shares everything with the
        optimizer but its update step.

        Raises
        ------
        CannotJoin
            Some variable has no gradient or a sparse one, or the formula does what is not
            expected.
        """
        slots = [_Vector(vector) for vector in vectors]
        kept = model.optimizer
        # Past Keras' own `__setattr__`, which would keep track of the stand-in.
        object.__setattr__(model, "optimizer", self._stand_in(slots))
        try:
            result = step()
        finally:
            object.__setattr__(model, "optimizer", kept)
        return result, [slot.value for slot in slots]

    def _stand_in(self, slots: list[_Vector]) -> Any:
        join = self

        class StandIn(type(self._optimizer)):  # type: ignore[misc]
            def _backend_update_step(
                self, grads: list[Any], trainable_variables: list[Any], learning_rate: Any
            ) -> None:
                found = {id(v): g for v, g in zip(trainable_variables, grads, strict=True)}
                own = [found.pop(id(variable), None) for variable in join._variables]
                join._update(own, slots, learning_rate)
                rest = [v for v in trainable_variables if id(v) in found]
                if rest:
                    super()._backend_update_step([found[id(v)] for v in rest], rest, learning_rate)

        stand_in = object.__new__(StandIn)
        object.__setattr__(stand_in, "__dict__", vars(self._optimizer))
        return stand_in

    def _update(self, gradients: list[Any], slots: list[_Vector], learning_rate: Any) -> None:
        """Run Keras' formula once, for all of them."""
        if any(g is None or isinstance(g, tf.IndexedSlices) for g in gradients):
            raise CannotJoin

        class OnVectors(type(self._optimizer)):  # type: ignore[misc]
            def _get_variable_index(self, variable: Any) -> Any:
                return _THE_ONE  # which no list takes for an index

            def assign(self, variable: Any, value: Any) -> None:
                variable.assign(value)

            def assign_add(self, variable: Any, value: Any) -> None:
                variable.assign(variable.value + value)

            def assign_sub(self, variable: Any, value: Any) -> None:
                variable.assign_sub(value)

        on_vectors = object.__new__(OnVectors)
        kinds = {name: _Only(slot) for name, slot in zip(self._slots, slots, strict=True)}
        object.__setattr__(on_vectors, "__dict__", {**vars(self._optimizer), **kinds})
        try:
            on_vectors.update_step(_joined(gradients), _Weights(self._variables), learning_rate)
        except (AttributeError, TypeError) as error:
            raise CannotJoin from error


def _joined(parts: Sequence[Any]) -> Any:
    return tf.concat([tf.reshape(part, [-1]) for part in parts], axis=0)


def _parts(vector: Any, variables: Sequence[Any]) -> list[Any]:
    parts = tf.split(vector, [_size(variable) for variable in variables])
    return [tf.reshape(part, v.shape) for part, v in zip(parts, variables, strict=True)]


_THE_ONE = object()
"""The index of all joined variables."""


class _Only:
    """A list of slots that holds one, that of all joined variables."""

    def __init__(self, slot: _Vector) -> None:
        self._slot = slot

    def __getitem__(self, index: Any) -> _Vector:
        if index is not _THE_ONE:
            raise TypeError("a slot was asked for by number")
        return self._slot


class _Vector:
    """A slot of all joined variables: a tensor that can be assigned."""

    dtype = "float32"

    def __init__(self, value: Any) -> None:
        self.value = value

    def assign(self, value: Any) -> None:
        self.value = value

    def __tf_tensor__(self, dtype: Any = None, name: Any = None) -> Any:
        return self.value


class _Weights:
    """The joined variables themselves, which a formula can only subtract from."""

    dtype = "float32"

    def __init__(self, variables: list[Any]) -> None:
        self._variables = variables

    def assign_sub(self, value: Any) -> None:
        parts = _parts(value, self._variables)
        for variable, part in zip(self._variables, parts, strict=True):
            variable.value.assign_sub(part)
