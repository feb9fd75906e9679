"""Running: the state that ``partial_fit`` advances, apart from the model that it shows.

Owns the copy of a running model into the one that is shown, ended as ``fit`` would have ended it,
and the frozen form of a state that is pickled between two calls. Leaves the epoch itself to
``engine.loop``.
"""

from __future__ import annotations

import copy
import io
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skcb import _callbacks
from skcb._clock import Clock
from skcb._seeds import Seeds
from skcb.engine.state import TrainingState

_KEPT = (
    "initial_epoch",
    "learning_rate",
    "plateau_factor",
    "epoch",
    "begun",
    "stopped_by",
    "learning_rates",
    "watched_epochs",
    "logs",
    "order",
)
"""What of a state goes on with it; the rest is made anew from parameters and data."""


@dataclass
class Running:
    """A training that goes on from call to call.

    Attributes
    ----------
    seeds : Seeds
        Drawn once, so that every call splits and builds alike.
    state : TrainingState or None
        None in a pickle; then ``frozen`` holds what it was.
    shown : keras.Model or None
        What ``model_`` is: the running model as it would be had training ended here.
    frozen : dict or None
    told : bool
        Whether the user was told that training has stopped.
    clock : Clock
        Runs within the calls and adds them up; a frozen state holds what it has counted.
    """

    seeds: Seeds
    state: TrainingState | None = None
    shown: Any = None
    frozen: dict[str, Any] | None = None
    told: bool = False
    clock: Clock = field(default_factory=Clock)

    def __getstate__(self) -> dict[str, Any]:
        frozen = self.frozen if self.state is None else freeze(self.state)
        return {"seeds": self.seeds, "frozen": frozen, "told": self.told}

    def beside(self, model: Any) -> Running:
        """Return what is pickled beside a model: values that it has too are left out."""
        frozen = self.frozen if self.state is None else freeze(self.state)
        shown = values(model)
        if frozen is None or len(shown) != len(frozen["variables"]):
            return self  # the user put another model in its place
        saved = _saved_as_they_are(model)
        own = [
            None if id(variable) in saved and np.array_equal(a, b, equal_nan=True) else a
            for variable, a, b in zip(variables(model), frozen["variables"], shown, strict=True)
        ]
        return Running(self.seeds, frozen={**frozen, "variables": own}, told=self.told)

    def complete(self, model: Any) -> None:
        """Take what was left out from the model that it was pickled beside."""
        if self.frozen is not None and any(a is None for a in self.frozen["variables"]):
            pairs = zip(self.frozen["variables"], values(model), strict=True)
            self.frozen["variables"] = [b if a is None else a for a, b in pairs]

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.state = self.shown = None
        self.clock = Clock()
        self.__dict__.update(kept)


def freeze(state: TrainingState) -> dict[str, Any]:
    """Return what a state needs to go on elsewhere: no model, no rows, no compiled function."""
    return {**position(state), "callbacks": _callbacks.detached(state.callbacks.named)}


def position(state: TrainingState) -> dict[str, Any]:
    """Return where a state is, but for its callbacks."""
    history = state.model.history
    return {
        "variables": values(state.model),
        "history": (history.epoch, history.history),
        "seconds": state.clock.seconds,
        "kept": {name: getattr(state, name) for name in _KEPT},
    }


def thaw(frozen: Mapping[str, Any], state: TrainingState) -> None:
    """Put a state that was made anew where the frozen one was."""
    assign(state.model, frozen["variables"])
    state.model.history.epoch, state.model.history.history = frozen["history"]
    for name, value in frozen["kept"].items():
        setattr(state, name, value)
    state.clock.add(frozen["seconds"])
    _callbacks.reopen(state.callbacks.named.values())
    state.model.stop_training = state.stopped


def give_more_time(state: TrainingState) -> None:
    """Let a training go on that ``max_time`` has stopped, where it may take longer by now."""
    if state.stopped_by == "max_time" and not state.out_of_time:
        state.stopped_by = None
        state.model.stop_training = False


def show(state: TrainingState, live: Mapping[str, Any], shown: Any) -> None:
    """Bring the shown model to where the running one is, and end it as ``fit`` does.

    Averaged weights are put in place and best weights restored on the copy; the running model and
    its callbacks go on as if nothing had been looked at.
    """
    assign(shown, values(state.model))
    shown.optimizer.finalize_variable_values(shown.trainable_weights)
    for callback in live.values():
        ender = _copy_that_ends(callback)
        if ender is not None:
            ender.set_model(shown)
            ender.on_train_end(state.logs)


def _copy_that_ends(callback: Any) -> Any:
    """Copy a callback that may change the model at the end of training; None for others.

    Keras' other callbacks close files or remove backups there, which a running training needs.
    """
    import keras

    kinds = keras.callbacks
    hook = getattr(callback.on_train_end, "__func__", callback.on_train_end)
    if hook is kinds.Callback.on_train_end:
        return None
    if isinstance(callback, kinds.EarlyStopping | kinds.SwapEMAWeights):
        return _callbacks.detached({"": callback})[""]
    if type(callback).__module__.partition(".")[0] in ("keras", "skcb"):
        return None
    shared = [getattr(callback, "validation_data", None)]  # lent: the copy reads the same
    shared += [part for part in vars(callback).values() if _may_be_shared(part)]
    try:
        return copy.deepcopy(
            _callbacks.without_model(callback), {id(part): part for part in shared}
        )
    except Exception:  # what cannot be copied, such as an open file, cannot be ended twice
        return None


def _may_be_shared(part: Any) -> bool:
    """Tell what cannot be copied and suffers no harm from a callback's end: what is over."""
    return isinstance(part, types.ModuleType) or (isinstance(part, io.IOBase) and part.closed)


def carry_over(source: Any, target: Any) -> None:
    """Start a model from the weights of another, and its optimizer's state where it is alike.

    The learning rate stays the target's own: it is a parameter, and a plateau may have lowered
    that of the source.

    Raises
    ------
    ValueError
        The models have other weights.
    """
    if [tuple(w.shape) for w in source.weights] != [tuple(w.shape) for w in target.weights]:
        raise ValueError(
            "training cannot go on from the fitted model: the model that `build_fn` builds now has "
            "other weights. Set `warm_start=False`, or give the parameters of the first fit."
        )
    for old, new in zip(source.variables, target.variables, strict=True):
        new.assign(old)
    old_state, new_state = source.optimizer.variables, target.optimizer.variables
    alike = type(source.optimizer) is type(target.optimizer) and len(old_state) == len(new_state)
    if not alike:
        return
    rate = np.array(target.optimizer.learning_rate)
    for old, new in zip(old_state, new_state, strict=True):
        new.assign(old)
    if any(variable is target.optimizer.learning_rate for variable in new_state):
        target.optimizer.learning_rate.assign(rate)


def values(model: Any) -> list[Any]:
    """Return copies of all variables of a model and its optimizer."""
    return [np.array(v.numpy()) for v in variables(model)]


def assign(model: Any, found: list[Any]) -> None:
    """Give all variables of a model and its optimizer other values."""
    for variable, value in zip(variables(model), found, strict=True):
        variable.assign(value)


def _saved_as_they_are(model: Any) -> set[int]:
    """Return the ids of the variables that come back from Keras' file with the same values.

    Keras saves weights and the optimizer's variables, but no seeds. Of a layer that is adapted at
    low rank it saves the kernel with the other parts merged into it, and zeros in their place. The
    layer may be inside one of the user's own, so that the names of the parts alone tell.
    """
    if any(weight.name.startswith("lora_") for weight in model.weights):
        return set()
    return {id(variable) for variable in (*model.weights, *model.optimizer.variables)}


def variables(model: Any) -> list[Any]:
    """Return all variables of a model and its optimizer, in one order."""
    return [*model.variables, *model.optimizer.variables]
