"""Keras: how it is loaded, and the settings that a fit runs under.

Owns the quiet first import, and the caller's settings (dtype policy, floatx, epsilon, image data
format): these are local to a thread or a process, so they are taken along when an estimator is
cloned or pickled, and put in force in the worker that fits it; and the number of threads of a
worker process. Leaves everything else to Keras.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import joblib

_LOADING = threading.Lock()
"""Held while stderr is filtered: two filters at once would put each other's file in its place."""

_CHATTER = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog"
    rb"|I\d{4} [\d:.]+ +\d+ \S+\] "  # information
    rb"|To enable the following instructions: .*rebuild TensorFlow"
    rb"|.*failed call to cuInit: .*\(303\)"  # there is no driver of a GPU
)


class Settings(NamedTuple):
    """Keras' settings in one thread, and the process in which they were read.

    ``dtype_policy`` is None where the thread has none of its own, so that it follows ``floatx``.
    """

    floatx: str
    epsilon: float
    image_data_format: str
    dtype_policy: Any
    process: int


_main: Settings | None = None
"""What was last read in the main thread: its policy counts in threads that have none."""

_started: int | None = None
"""The process in which the backend was started; a fork of it inherits the number."""

_imported = os.getpid()
"""The process in which this module was imported; another one is a fork of it."""

_share: int | None = None
"""In a worker process, the number of cores that is its part, where that came with its work."""


def load() -> None:
    """Import Keras without the lines that its backend writes to stderr as it starts.

    TensorFlow writes them before any setting of its own counts, so they are filtered: everything
    else that is written in the meantime appears as soon as the import is done.
    """
    with _LOADING:
        if "keras" not in sys.modules:
            with _filtered_stderr():
                import keras  # noqa: F401


def _start() -> None:
    """Let the backend look for its devices, which it does at the first tensor, as quietly.

    Raises
    ------
    RuntimeError
        TensorFlow was started before this process was forked: its threads are not here, and it
        would wait for them for ever.
    """
    global _started
    with _LOADING:
        if _started is None:
            import keras

            with _filtered_stderr():
                _take_share()
                keras.ops.convert_to_tensor(0)
            _started = os.getpid()
        elif _started != os.getpid() and "tensorflow" in sys.modules:
            raise _forked()


def _forked() -> RuntimeError:
    return RuntimeError(
        "this process is a fork of one in which TensorFlow had started, and there it does not "
        "run. Use joblib's backend 'loky' or 'threading', or let 'multiprocessing' start its "
        "workers anew: multiprocessing.set_start_method('forkserver')."
    )


def _take_share() -> None:
    """Let TensorFlow use this worker's share of the cores, if this is a worker.

    Each of n workers would start as many threads as there are cores. Numbers that were set by
    TensorFlow's own means, or variables, stay.
    """
    tensorflow = sys.modules.get("tensorflow")
    n = _threads()
    if n is None or tensorflow is None:
        return
    settings = tensorflow.config.threading
    for kind in ("intra", "inter"):
        own = f"TF_NUM_{kind.upper()}OP_THREADS" in os.environ
        if own or getattr(settings, f"get_{kind}_op_parallelism_threads")():
            continue
        try:
            getattr(settings, f"set_{kind}_op_parallelism_threads")(n)
        except RuntimeError:  # TensorFlow has started, by something else than a fit
            if _imported != os.getpid():
                raise _forked() from None
            return


def _threads() -> int | None:
    """Return the number of threads for TensorFlow in a worker process; None in any other.

    Joblib tells its own processes by ``OMP_NUM_THREADS``, which is the number of cores divided by
    ``n_jobs`` or the ``inner_max_num_threads`` that its caller asked for.
    """
    if multiprocessing.parent_process() is None:
        return None
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdigit() and int(told) > 0 else _share


def _share_of_each() -> int | None:
    """Return the share of the cores that each process started from this one has."""
    processes = len(multiprocessing.active_children())
    return max(1, joblib.cpu_count() // processes) if processes else None


@contextmanager
def _filtered_stderr() -> Iterator[None]:
    """Hold back what is written to stderr, and write it at the end, less the chatter."""
    try:
        original = os.dup(2)
    except OSError:  # there is no stderr
        yield
        return
    if sys.stderr is not None:
        sys.stderr.flush()
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        finally:
            if sys.stderr is not None:
                sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)
            kept.seek(0)
            for line in kept:
                if not _CHATTER.match(line):
                    os.write(2, line)


class Arrival:
    """Prepares the process in which it is unpickled; the first thing in an estimator's pickle.

    Where Keras was loaded it is loaded there too, quietly: the build function, which comes next,
    would import it aloud. And a worker learns its share of the cores before TensorFlow starts.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return (_arrive, ("keras" in sys.modules, _share_of_each()))


def _arrive(loaded: bool, share: int | None) -> Arrival:
    global _share
    if multiprocessing.parent_process() is not None:
        _share = share or _share
    if loaded:
        load()
        if _started is None and _imported == os.getpid() and _threads() is not None:
            # A fitted model, which may come next, would start TensorFlow.
            with _LOADING, _filtered_stderr():
                _take_share()
    return Arrival()


def read() -> Settings:
    """Read the settings of this thread."""
    global _main
    import keras

    settings = Settings(
        keras.config.floatx(),
        keras.config.epsilon(),
        keras.config.image_data_format(),
        _state().get_global_attribute(_POLICY),
        os.getpid(),
    )
    if threading.current_thread() is threading.main_thread():
        _main = settings
    return settings


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

    A thread's own policy counts where it has one, and in the main thread of the process that the
    settings were read in. What belongs to the whole process counts in that process, and in
    another wherever it is not Keras' default.
    """
    present = read()
    carried = carried or _main or present
    at_home = carried.process == present.process
    if at_home and threading.current_thread() is threading.main_thread():
        return present
    if at_home or (present.floatx, present.epsilon) != ("float32", 1e-7):
        carried = present._replace(dtype_policy=carried.dtype_policy, process=carried.process)
    own = present.dtype_policy
    if own is not None and own.name != present.floatx:
        carried = carried._replace(dtype_policy=own)
    return carried


@contextmanager
def in_force(carried: Settings | None) -> Iterator[None]:
    """Run a block under the caller's settings, and put this thread's back after it."""
    load()
    _start()
    present, wanted = read(), _in_force(carried)
    put(wanted, present)
    try:
        yield
    finally:
        put(present, wanted)


def put(wanted: Settings, present: Settings) -> None:
    """Set what differs: most settings belong to the whole process."""
    import keras

    if wanted.floatx != present.floatx:
        keras.config.set_floatx(wanted.floatx)
    if wanted.epsilon != present.epsilon:
        keras.config.set_epsilon(wanted.epsilon)
    if wanted.image_data_format != present.image_data_format:
        keras.config.set_image_data_format(wanted.image_data_format)
    _state().set_global_attribute(_POLICY, wanted.dtype_policy)


def _state() -> Any:
    """Return where Keras keeps what belongs to a thread.

    Asking for the policy by the public ``keras.config.dtype_policy`` sets it, so that it would no
    longer follow ``floatx``; test_keras_settings.py notices if the private place goes.
    """
    from keras.src.backend.common import global_state

    return global_state


_POLICY = "dtype_policy"
