"""Keras: how it is loaded, and the settings that a fit runs under.

Owns the quiet first import, and the caller's settings (dtype policy, floatx, epsilon, image data
format): these are local to a thread or a process, so they are taken along when an estimator is
cloned or pickled, and put in force in the worker that fits it. Leaves everything else to Keras.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

_CHATTER = b"WARNING: All log messages before absl::InitializeLog"
_CHATTER_PARTS = (b"port.cc:", b"cpu_feature_guard.cc:", b"in other operations, rebuild TensorFlow")


class Settings(NamedTuple):
    """Keras' settings of one thread, and the process in which they were read."""

    floatx: str
    epsilon: float
    image_data_format: str
    dtype_policy: Any
    process: int


def load() -> None:
    """Import Keras without the lines that its backend writes to stderr as it starts.

    TensorFlow writes them before any setting of its own counts, so they are filtered: everything
    else that is written in the meantime appears as soon as the import is done.
    """
    if "keras" in sys.modules:
        return
    with _filtered_stderr():
        import keras  # noqa: F401


@contextmanager
def _filtered_stderr() -> Iterator[None]:
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept:
        original = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(original, 2)
            os.close(original)
            kept.seek(0)
            for line in kept:
                if not _is_chatter(line):
                    os.write(2, line)


def _is_chatter(line: bytes) -> bool:
    starts = line.startswith(_CHATTER)
    return starts or any(part in line for part in _CHATTER_PARTS)


class Loaded:
    """Loads Keras, quietly, where it is unpickled.

    An estimator that is pickled where Keras is loaded puts one of these before its build function,
    whose unpickling would import Keras aloud.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return (_load, ())


def _load() -> Loaded:
    load()
    return Loaded()


def read() -> Settings:
    """Read the settings of this thread."""
    import keras

    return Settings(
        keras.config.floatx(),
        keras.config.epsilon(),
        keras.config.image_data_format(),
        keras.config.dtype_policy(),
        os.getpid(),
    )


def taken_along(earlier: Settings | None) -> Settings | None:
    """Return the settings that a copy of an estimator should carry.

    Parameters
    ----------
    earlier : Settings or None
        What the estimator carries itself.
    """
    return _in_force(earlier) if "keras" in sys.modules else earlier


def _in_force(carried: Settings | None) -> Settings:
    """Choose between this thread's settings and those that came along.

    This thread's own count where someone may have set them: in the main thread of the process
    that they were read in, and wherever they are not Keras' defaults.
    """
    present = read()
    if carried is None or not _are_defaults(present):
        return present
    at_home = carried.process == os.getpid()
    if at_home and threading.current_thread() is threading.main_thread():
        return present
    return carried


def _are_defaults(settings: Settings) -> bool:
    plain = settings.floatx == "float32" and settings.epsilon == 1e-7
    return plain and settings.dtype_policy.name == "float32"


@contextmanager
def in_force(carried: Settings | None) -> Iterator[None]:
    """Run a block under the caller's settings, and put this thread's back after it."""
    load()
    present, wanted = read(), _in_force(carried)
    _set(wanted, present)
    try:
        yield
    finally:
        _set(present, wanted)


def _set(wanted: Settings, present: Settings) -> None:
    """Set what differs: most settings belong to the whole process."""
    import keras

    if wanted.floatx != present.floatx:
        keras.config.set_floatx(wanted.floatx)
    if wanted.epsilon != present.epsilon:
        keras.config.set_epsilon(wanted.epsilon)
    if wanted.image_data_format != present.image_data_format:
        keras.config.set_image_data_format(wanted.image_data_format)
    if wanted.dtype_policy != present.dtype_policy:
        keras.config.set_dtype_policy(wanted.dtype_policy)
