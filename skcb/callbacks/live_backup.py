"""The live callback of ``BackupAndRestore``: one file from which a fit can go on.

Owns the file: written whole or not at all, checked when it is read, removed in the end, and used by
one fit at a time. Leaves what is in it, and when it is written, to ``_resuming``. It imports Keras
at its top, so it is itself imported only where callbacks are built.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from typing import Any

import keras

if sys.platform != "win32":
    import fcntl

_FILE = "training.skcb"
_HEAD = b"skcb backup 1\n"


class BackupAndRestore(keras.callbacks.BackupAndRestore):
    """Keeps the whole of a running fit, where Keras' keeps weights and the number of the epoch.

    Parameters
    ----------
    backup_dir, save_freq, double_checkpoint, delete_checkpoint
        See :class:`skcb.callbacks.BackupAndRestore`.
    """

    # Nothing is stored within an epoch, so the batches are not needed.
    on_train_batch_end = keras.callbacks.Callback.on_train_batch_end

    resumes = False
    """Whether this fit goes on from a backup."""

    interrupted = False
    """Whether the fit ended before its end, so that the backup is still needed."""

    _lock: _Lock | None = None

    @classmethod
    def like(cls, other: keras.callbacks.BackupAndRestore) -> BackupAndRestore:
        """Take over the settings of Keras' own callback."""
        return cls(
            other.backup_dir, other.save_freq, other.double_checkpoint, other.delete_checkpoint
        )

    def on_train_begin(self, logs: Any = None) -> None:
        """Do nothing: what there is to restore is more than this callback's."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Do nothing: the epoch is not at its end yet."""

    def on_train_end(self, logs: Any = None) -> None:
        """Remove the backup of a fit that has come to its end."""
        if self.delete_checkpoint and not self.interrupted:
            for path in (self._path, self._before, self._draft):
                with contextlib.suppress(FileNotFoundError):
                    os.remove(path)

    def claim(self) -> bool:
        """Make the directory this fit's own; False where a running fit has it."""
        os.makedirs(self.backup_dir, exist_ok=True)
        lock = _Lock(self.backup_dir)
        self._lock = lock if lock.taken else None
        return lock.taken

    def give_back(self) -> None:
        """Leave the directory to others, and nothing where nothing is kept."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None
            with contextlib.suppress(OSError):  # there is a backup in it
                os.rmdir(self.backup_dir)

    def read(self) -> bytes | None:
        """Return what was written last; None where there is no backup.

        Raises
        ------
        ValueError
            There is one, and it is damaged.
        """
        there = [path for path in (self._path, self._before) if os.path.exists(path)]
        for path in there:
            with open(path, "rb") as file:
                head, digest, content = file.read(len(_HEAD)), file.read(64), file.read()
            if head == _HEAD and digest.decode("latin1") == hashlib.sha256(content).hexdigest():
                return content
        if there:
            raise ValueError(f"the backup in {self.backup_dir!r} is damaged: remove it.")
        return None

    def write(self, content: bytes) -> None:
        """Put a backup in the place of the one before, in one step."""
        os.makedirs(self.backup_dir, exist_ok=True)
        with open(self._draft, "wb") as file:
            file.write(_HEAD + hashlib.sha256(content).hexdigest().encode() + content)
        if self.double_checkpoint and os.path.exists(self._path):
            os.replace(self._path, self._before)
        os.replace(self._draft, self._path)

    @property
    def _path(self) -> str:
        return os.path.join(self.backup_dir, _FILE)

    @property
    def _before(self) -> str:
        return f"{self._path}.bkp"

    @property
    def _draft(self) -> str:
        return f"{self._path}.tmp"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None}


class _Lock:
    """A lock on a directory, which the system takes back when the process dies."""

    def __init__(self, directory: str) -> None:
        self.taken = True
        self._handle: int | None = None
        if sys.platform == "win32":  # a directory cannot be locked there
            return
        self._handle = os.open(directory, os.O_RDONLY)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.taken = False
            self.release()
        except OSError:  # a file system without locks
            self.release()

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __del__(self) -> None:
        self.release()
