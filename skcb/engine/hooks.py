"""Hooks: the live callbacks of a fit, and which of them has stopped it.

Owns watching ``stop_training`` from callback to callback. Leaves when hooks are called to ``loop``
and to what trains, and the calls themselves to Keras.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras

THE_MODEL = "build_fn"
"""Stands for a model that stops its own training, in a step of its own."""

_NOBODY = object()
"""Stands for whoever stops training between two hooks."""


class Hooks(keras.callbacks.CallbackList):
    """Keras' list of callbacks, which also knows who set ``stop_training``.

    Parameters
    ----------
    named : mapping of str to keras.callbacks.Callback
    model : keras.Model
    order : sequence of keras.callbacks.Callback, optional
        In which the hooks are called; None: as they are named.
    **options : object
        For Keras' list.

    Attributes
    ----------
    named : dict of str to keras.callbacks.Callback
    """

    callbacks: list[Any]

    def __init__(
        self,
        named: Mapping[str, Any],
        model: Any,
        *,
        order: Sequence[Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            list(named.values() if order is None else order),
            add_history=True,
            model=model,
            **options,
        )
        self.named = dict(named)
        self._trained = model  # `self.model` would bring the variables home each time, on JAX
        self._stopper: Any = None
        self.callbacks = _Asked(self.callbacks, self._note)

    def stopper(self, logs: Mapping[str, Any]) -> str:
        """Say which parameter has stopped training in an epoch with these logs.

        Returns
        -------
        str
            ``callbacks__NAME`` of the first callback that did, ``build_fn`` where none did.
        """
        for name, callback in self.named.items():
            if callback is self._stopper or self._is_guard(callback, logs):
                return f"callbacks__{name}"
        return THE_MODEL

    def _is_guard(self, callback: Any, logs: Mapping[str, Any]) -> bool:
        """Tell a TerminateOnNaN that the program has asked itself, within a whole epoch."""
        if self._stopper is not _NOBODY or not isinstance(callback, keras.callbacks.TerminateOnNaN):
            return False
        return not math.isfinite(logs.get("loss", 0.0))

    def _note(self, callback: Any) -> None:
        """Note who is the first to stop training; a later one may let it go on."""
        if not self._trained.stop_training:
            self._stopper = None
        elif self._stopper is None:
            self._stopper = callback


class _Asked(list[Any]):
    """A list that says, each time that it is gone through, which one has had its turn.

    Keras' list calls every hook by going through its callbacks.
    """

    def __init__(self, callbacks: Sequence[Any], had_its_turn: Callable[[Any], None]) -> None:
        super().__init__(callbacks)
        self._had_its_turn = had_its_turn

    def __iter__(self) -> Iterator[Any]:
        self._had_its_turn(_NOBODY)
        for callback in super().__iter__():
            yield callback
            self._had_its_turn(callback)
