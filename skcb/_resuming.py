"""Resuming: a fit that was killed goes on where its last backup was made.

Owns what identifies a fit, what of it is stored and how it is put back, and the directory under
which the next run finds it. Leaves the file to ``callbacks.live_backup``, the model's state to
``_running`` and the epochs to ``engine.loop``.
"""

from __future__ import annotations

import io
import os
import pickle
import platform
import sys
import types
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from skcb import _callbacks
from skcb._data import Data
from skcb._fingerprint import fingerprint
from skcb._routing import Routed
from skcb._running import position, thaw, values
from skcb._runs import is_remote
from skcb.engine.state import TrainingState
from skcb.exceptions import TrainingWarning

Identity = dict[str, str]
"""For each part of a fit, in words, its fingerprint."""

_SEEDED = "whether there is a random_state"
_WEIGHTS = "weights at the start"

# What a fit hands to its callbacks anew. Keras keeps the model under a private name; should that
# go, the model is left out all the same, as what no pickle takes.
_NOT_CARRIED = frozenset({"_model", "model", "params", "validation_data"})
_OPENED_ANEW = frozenset({"csv_file", "writer"})  # by CSVLogger, when training begins


def identity(estimator: Any, routed: Routed, train: Data, watched: Data | None) -> Identity:
    """Say which fit this is, before anything of it is built."""
    return {
        "estimator or parameters": fingerprint(type(estimator), _decisive(routed)),
        "training rows": fingerprint(*train),
        "watched rows": fingerprint(watched and tuple(watched)),
        "versions or Keras settings": fingerprint(_surroundings()),
        _SEEDED: "" if routed.named["random_state"] is None else "yes",
    }


def place(who: Identity) -> str:
    """Return the name of the directory that the next run of the same fit finds again."""
    return f"fit-{fingerprint(who)[:16]}"


def _decisive(routed: Routed) -> list[Any]:
    """Return what decides the numbers of a fit: all but what is shown, predicted or backed up."""
    given = _callbacks.named(routed.named["callbacks"])
    every = {n: routed.callbacks.get(n, {}).get("", c) for n, c in given.items()}
    numbers = {n: c for n, c in every.items() if not _callbacks.backs_up(c)}
    return [
        {k: v for k, v in routed.named.items() if k not in ("callbacks", "verbose")},
        [(n, c, _sorted(routed.callbacks.get(n, {}))) for n, c in numbers.items()],
        {k: v for k, v in _sorted(routed.fit).items() if k != "verbose"},
        *map(_sorted, (routed.model, routed.compile, routed.parts)),
    ]


def _sorted(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in one order, whichever they were given in."""
    return {name: settings[name] for name in sorted(settings)}


def _surroundings() -> list[Any]:
    import keras

    backend = keras.config.backend()
    return [
        platform.python_version_tuple()[:2],
        *(version(name) for name in ("skcb", "keras", "numpy", "scikit-learn")),
        (backend, getattr(sys.modules.get(backend), "__version__", "")),
        (keras.config.floatx(), keras.config.image_data_format(), keras.config.dtype_policy().name),
    ]


class Backup:
    """The backup of one fit: what ``loop`` restores once and saves after every epoch.

    Parameters
    ----------
    live : mapping of str to keras.callbacks.Callback
    name : str
        Which of them is the BackupAndRestore.
    who : dict
        This fit's identity.
    """

    def __init__(self, live: Mapping[str, Any], name: str, who: Identity) -> None:
        self._live = live
        self._file = live[name]
        self._who = who
        self._batches = 0
        self._begun: dict[str, dict[str, Any]] = {}
        self._warned = False
        self._stored = self._found(f"callbacks__{name}__backup_dir")
        if self._stored is not None:
            self._file.resumes = True
            self._reopen_tables(self._stored["files"])

    def _found(self, where: str) -> dict[str, Any] | None:
        """Return what an earlier run of this very fit stored, or None."""
        content = self._file.read()
        if content is None:
            return None
        outer = pickle.loads(content)
        differs = [part for part in self._who if outer["who"].get(part) != self._who[part]]
        if differs:
            shown = f"`{where}={self._file.backup_dir!r}`"
            if not self._who[_SEEDED]:
                warnings.warn(
                    f"{shown} holds a backup, and with `random_state=None` no fit is the one that "
                    "it is of: training starts anew.",
                    TrainingWarning,
                    stacklevel=2,
                )
                return None
            raise ValueError(
                f"{shown} holds the backup of another fit, which differs in {', '.join(differs)}. "
                "Remove it to start anew, or give another directory."
            )
        stored: dict[str, Any] = pickle.loads(outer["stored"])
        return stored

    def _reopen_tables(self, sizes: Mapping[str, int]) -> None:
        """Let a CSVLogger go on behind the last line that belongs to the backup."""
        for name, size in sizes.items():
            table = self._live[name]
            table.append = True
            if os.path.exists(table.filename) and os.path.getsize(table.filename) > size:
                os.truncate(table.filename, size)

    def restore(self, state: TrainingState) -> None:
        """Put a fit that has just begun where the stored one was."""
        self._begun = {name: _contents(callback) for name, callback in self._live.items()}
        if self._stored is None:
            return
        thaw(self._stored["position"], state)
        for name, kept in self._stored["memory"].items():
            vars(self._live[name]).update(kept)
        self._stored = None

    def save(self, state: TrainingState) -> None:
        """Store the fit at the end of an epoch; with ``save_freq`` in batches, of some epochs."""
        self._batches += -(-len(state.train) // state.batch_size)
        if self._file.save_freq != "epoch" and self._batches < self._file.save_freq:
            return
        self._batches = 0
        stored = {
            "position": position(state),
            "memory": {name: self._memory(name) for name in self._live},
            "files": _sizes(self._live),
        }
        self._file.write(pickle.dumps({"who": self._who, "stored": pickle.dumps(stored)}))

    def interrupted(self) -> None:
        """Keep the backup when training ends: it ends too early."""
        self._file.interrupted = True

    def _memory(self, name: str) -> dict[str, Any]:
        """Return what a callback has gathered since training began."""
        callback, begun = self._live[name], self._begun[name]
        if _is_ours(callback):
            return {}
        memory = {}
        for attribute, now in _contents(callback).items():
            if attribute in begun and now == begun[attribute]:
                continue
            if isinstance(now, bytes):
                memory[attribute] = vars(callback)[attribute]
            else:
                self._warn_of_loss(name, attribute)
        return memory

    def _warn_of_loss(self, name: str, attribute: str) -> None:
        """Say once what of a user's own callback cannot be stored."""
        keras_own = type(self._live[name]).__module__.partition(".")[0] == "keras"
        if self._warned or keras_own or attribute in _OPENED_ANEW:
            return
        self._warned = True
        warnings.warn(
            f"`callbacks__{name}` has changed its attribute `{attribute}`, which cannot be stored: "
            "a fit that goes on from this backup begins with a new one.",
            TrainingWarning,
            stacklevel=2,
        )


def claim(
    live: Mapping[str, Any], who: Callable[[], Identity], model: Any, *, resumable: bool
) -> Backup | None:
    """Take the backup of a fit that is about to train, where it has one.

    Parameters
    ----------
    live : mapping of str to keras.callbacks.Callback
    who : function
        Gives what :func:`identity` says; asked only where there is a backup to make.
    model : keras.Model
        As it will begin to train.
    resumable : bool
        False where the caller holds the epochs, and nothing is backed up.

    Raises
    ------
    ValueError
        There is a backup of another fit, or a damaged one; or more than one BackupAndRestore, one
        of a user's own subclass, or one on no local path.
    """
    name = _only(live)
    if name is None:
        return None
    if not resumable:
        warnings.warn(
            f"`callbacks__{name}` does nothing in `partial_fit`: go on from a pickle of the "
            "estimator.",
            TrainingWarning,
            stacklevel=2,
        )
        return None
    callback = live[name]
    if is_remote(str(callback.backup_dir)):
        raise ValueError(
            f"`callbacks__{name}__backup_dir={callback.backup_dir!r}` must be a directory of this "
            "machine's: a backup is put in its place in one step, which an address does not know."
        )
    if not callback.claim():
        warnings.warn(
            f"`callbacks__{name}__backup_dir={callback.backup_dir!r}` is in use by another fit "
            "that runs now, so this one goes without a backup.",
            TrainingWarning,
            stacklevel=2,
        )
        return None
    return Backup(live, name, {**who(), _WEIGHTS: fingerprint(values(model))})


def _only(live: Mapping[str, Any]) -> str | None:
    """Return the name of the one callback that backs up, or None."""
    import keras

    kind = keras.callbacks.BackupAndRestore
    names = [name for name, callback in live.items() if isinstance(callback, kind)]
    if len(names) > 1:
        raise ValueError(
            f"`callbacks__{names[0]}` and `callbacks__{names[1]}` both back up the fit: one is "
            f"enough. Switch off `callbacks__{names[1]}=None`."
        )
    if names and not _is_ours(live[names[0]]):
        raise ValueError(
            f"`callbacks__{names[0]}` is a subclass of Keras' BackupAndRestore, which keeps "
            "weights and the epoch's number: too little to go on from. Use "
            "`skcb.callbacks.BackupAndRestore(...)`."
        )
    return names[0] if names else None


def _is_ours(callback: Any) -> bool:
    return type(callback).__module__.partition(".")[0] == "skcb"


def _sizes(live: Mapping[str, Any]) -> dict[str, int]:
    """Return how long the tables are that CSVLoggers have written so far."""
    import keras

    tables = {n: c for n, c in live.items() if isinstance(c, keras.callbacks.CSVLogger)}
    return {name: os.path.getsize(table.filename) for name, table in tables.items()}


def _contents(callback: Any) -> dict[str, Any]:
    """Return each attribute pickled, or as it is where that cannot be."""
    if _is_ours(callback):
        return {}
    return {
        name: _pickled(value) for name, value in vars(callback).items() if name not in _NOT_CARRIED
    }


class _Same:
    """Stands for an attribute that cannot be pickled; equal to itself alone."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    __hash__ = None  # type: ignore[assignment]


def _pickled(value: Any) -> bytes | _Same:
    file = io.BytesIO()
    try:
        _DataPickler(file).dump(value)
    except Exception:  # a pickle may fail in any way that a class of the user's own likes
        return _Same(value)
    return file.getvalue()


class _DataPickler(pickle.Pickler):
    """Pickles data, and nothing that belongs to a living model."""

    def reducer_override(self, value: Any) -> Any:
        import keras

        if isinstance(value, type | types.FunctionType):
            return NotImplemented
        kinds = (keras.layers.Layer, keras.Variable, keras.optimizers.Optimizer, keras.KerasTensor)
        if isinstance(value, kinds) or type(value).__module__.startswith("tensorflow"):
            raise pickle.PicklingError("part of a model")
        return NotImplemented
