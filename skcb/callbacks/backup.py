"""The recipe for the backup from which an interrupted training goes on.

Owns ``BackupAndRestore``. Leaves building to ``recipe``.
"""

from __future__ import annotations

from typing import Any

from skcb.callbacks.ranges import BOOLEAN, SAVE_FREQ, Ranges
from skcb.callbacks.recipe import CallbackRecipe


class BackupAndRestore(CallbackRecipe):
    """Back up training, to go on after an interruption: ``keras.callbacks.BackupAndRestore``.

    Where a fit was killed, the next run of the same estimator on the same data goes on after the
    last backup, and ends equal to a fit that nobody interrupted: weights, optimizer, order of rows,
    dropout, learning rates, history, and what the callbacks had gathered. (Keras' own restores
    weights and counts epochs from there.) It needs ``random_state``.

    Parameters
    ----------
    backup_dir : str or path
        A directory of the backup's own. ``{run}``, and below a search a directory of each fit's
        own, stand for a digest of parameters and rows and not for this run, so that a search that
        is started again finds the backup of each of its fits.
    save_freq : "epoch" or int, default="epoch"
        An integer counts batches; the backup is then made at the end of the epoch in which so many
        have been counted, since in the middle of one nothing could go on equal.
    double_checkpoint : bool, default=False
        Whether the backup before the last is kept too.
    delete_checkpoint : bool, default=True
        Whether the backup is removed when training has ended.

    Notes
    -----
    A backup of another fit (of other parameters, rows, weights at the start, or versions of the
    packages) is an error before the first epoch. Of callbacks of the user's own, attributes that
    can be pickled are stored; what is kept on a class or in a global variable is not. Other
    callbacks' files with ``{run}`` in their path are those of the new run. The file is a pickle:
    open a backup only where you trust who wrote it. In ``partial_fit`` the callback does nothing.

    Examples
    --------
    >>> from skcb.callbacks import BackupAndRestore
    >>> BackupAndRestore("runs/backup", delete_checkpoint=False)
    BackupAndRestore(backup_dir='runs/backup', delete_checkpoint=False)
    """

    ALLOWED = Ranges(
        save_freq=SAVE_FREQ,
        double_checkpoint=BOOLEAN,
        delete_checkpoint=BOOLEAN,
    )

    def __init__(
        self,
        backup_dir: Any,
        save_freq: str | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        self.backup_dir = backup_dir
        self.save_freq = save_freq
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint

    def target(self) -> type:
        """Return the class of the live callback; this imports Keras."""
        from skcb.callbacks import live_backup  # here, because Keras loads with it

        return live_backup.BackupAndRestore
