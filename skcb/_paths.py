"""Paths: where the callbacks of a fit write, and that they may.

Owns which arguments of Keras' callbacks are paths, their moving, and the check of all paths of a
fit before it trains. Leaves which path is a fit's own to ``_runs`` and the writing to Keras.
"""

from __future__ import annotations

import glob
import os
import re
import string
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from skcb import _spellings
from skcb._runs import fixed_part, is_remote


class Written(NamedTuple):
    """What a callback writes: at which argument, whether a directory, whether by epoch."""

    argument: str
    is_directory: bool
    by_epoch: bool = False


PATHS = {
    "ModelCheckpoint": Written("filepath", is_directory=False, by_epoch=True),
    "CSVLogger": Written("filename", is_directory=False),
    "TensorBoard": Written("log_dir", is_directory=True),
    "BackupAndRestore": Written("backup_dir", is_directory=True),
    "OrbaxCheckpoint": Written("directory", is_directory=True),
}
"""The callbacks of Keras' that write; subclasses inherit it."""

_FIELD = re.compile(r"\{\w+(:[^{}]*)?\}")


def written_by(cls: Any) -> Written | None:
    """Return what a class of callbacks writes, or None."""
    mro = getattr(cls, "__mro__", ())
    return next((PATHS[base.__name__] for base in mro if base.__name__ in PATHS), None)


def named_now(cls: Any, arguments: Mapping[str, Any], where: str) -> Any:
    """Return the path among a callback's arguments, a checkpoint's with an end that Keras takes.

    A whole model may still be an ``.h5`` file, so that a script finds it under its name.
    """
    written = written_by(cls)
    assert written is not None
    path = arguments[written.argument]
    if written is not PATHS["ModelCheckpoint"] or not isinstance(path, str | os.PathLike):
        return path
    stem, end = os.path.splitext(os.fspath(path))
    row = _spellings.find("file", end)
    weights = bool(arguments.get("save_weights_only", False))
    if row is None or (weights and end == ".h5" and stem.endswith(".weights")):
        return path
    new = f"{stem.removesuffix('.weights')}.weights.h5" if weights else stem + row.new
    kept = end == ".h5" and not weights
    _spellings.warn(
        f"{where}__{written.argument}={os.fspath(path)!r}",
        f"{where}__{written.argument}={new!r}",
        row._replace(note=""),
        more=f"What is written now is {os.path.basename(path if kept else new)!r}.",
    )
    return path if kept else new


def move(live: Any, place: Callable[[Any], str]) -> None:
    """Put a callback's path in its place, and with it those that ``__init__`` made from it."""
    written = written_by(type(live))
    path = None if written is None else getattr(live, written.argument, None)
    if path is None:
        return
    old, new = os.fspath(path), place(path)
    for name, value in list(vars(live).items()):
        if isinstance(value, str | os.PathLike):
            text = os.fspath(value)
            if text == old or text.startswith(os.path.join(old, "")):
                setattr(live, name, new + text[len(old) :])


def fields(path: str) -> list[str]:
    """Return the names of the fields that Keras fills in, as in ``"{epoch:02d}.keras"``."""
    return [str(name) for _, name, _, _ in string.Formatter().parse(path) if name is not None]


class _Target(NamedTuple):
    """One callback's path: its parameter's full name, the text, what is written, and who."""

    where: str
    path: str
    written: Written
    callback: Any

    @property
    def shown(self) -> str:
        return f"`{self.where}={self.path!r}`"


def check(live: Mapping[str, Any]) -> None:
    """Refuse paths of a fit that meet, or that hold what another fit wrote.

    Parameters
    ----------
    live : mapping of str to keras.callbacks.Callback
        Their paths are this fit's own already.

    Raises
    ------
    ValueError
        It names the parameter, the path, and a way out.
    """
    found = [_target(callback, f"callbacks__{name}") for name, callback in live.items()]
    targets = [target for target in found if target is not None]
    _refuse_meetings(targets)
    # What a fit finds that goes on from a backup it has written itself, before it was killed.
    if not any(getattr(callback, "resumes", False) for callback in live.values()):
        for target in targets:
            if not is_remote(target.path):
                _refuse_overwriting(target)


def check_one(callback: Any, where: str) -> None:
    """Refuse a callback's path where it is none that can be written.

    Raises
    ------
    ValueError
        It names the parameter, the path, and what is in the way.
    """
    target = _target(callback, where)
    if target is not None:
        _check_fields(target)
        if not is_remote(target.path):
            _refuse_unwritable(target)


def _target(callback: Any, where: str) -> _Target | None:
    """Return where a callback writes, or None."""
    written = written_by(type(callback))
    path = None if written is None else getattr(callback, written.argument, None)
    if written is None or not isinstance(path, str | os.PathLike):
        return None
    return _Target(f"{where}__{written.argument}", str(os.fspath(path)), written, callback)


def _check_fields(target: _Target) -> None:
    """Refuse fields where nobody fills them in, and what Keras could not format."""
    if not target.written.by_epoch:
        field = _FIELD.search(target.path)
        if field is not None:
            raise ValueError(
                f"{target.shown}: a {type(target.callback).__name__} has one path for the whole "
                f"fit, so nothing fills in `{field[0]}`: only `{{run}}` is. The fields of an epoch "
                "are for ModelCheckpoint."
            )
        return
    try:
        named = fields(target.path)
    except ValueError as error:
        raise ValueError(f"{target.shown}: the path has a broken field: {error}.") from error
    if "batch" in named and target.callback.save_freq == "epoch":
        raise ValueError(
            f"{target.shown}: `{{batch}}` is known only with an integer as `save_freq`."
        )


def _refuse_meetings(targets: list[_Target]) -> None:
    """Refuse two callbacks on one path, and a backup whose removal takes another's files along."""
    seen: dict[str, _Target] = {}
    for target in targets:
        other = seen.setdefault(os.path.abspath(target.path), target)
        if other is not target:
            raise ValueError(
                f"{target.shown} is where `{other.where}` writes too: give each callback a path "
                "of its own."
            )
    for backup in targets:
        if not getattr(backup.callback, "delete_checkpoint", False):
            continue
        inside = os.path.join(os.path.abspath(backup.path), "")
        for target in targets:
            if os.path.abspath(target.path).startswith(inside):
                raise ValueError(
                    f"{target.shown} lies in `{backup.where}={backup.path!r}`, which is removed "
                    "when training ends: give the backup a directory of its own."
                )


def _refuse_unwritable(target: _Target) -> None:
    path = Path(target.path)
    folder = fixed_part(path)
    reason = ""
    if target.written.is_directory and path.exists() and not path.is_dir():
        reason = "there is a file in its place"
    elif not target.written.is_directory and path.is_dir():
        reason = "there is a directory in its place"
    elif path.exists() and not os.access(path, os.W_OK):
        reason = "it is there, and may not be written"
    elif folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
        reason = f"nothing may be written in {str(folder)!r}"
    if reason:
        raise ValueError(f"{target.shown} cannot be written: {reason}.")


def _refuse_overwriting(target: _Target) -> None:
    """Refuse to write over what an earlier fit left.

    Keras adds to what is there where it is told to append, where a backup waits to be restored,
    and in a TensorBoard's directory, whose event files have names of their own.
    """
    found = _in_the_way(target)
    if found is None:
        return
    where, _, _ = target.where.rpartition("__")
    ways = [f"put `{{run}}` in the path, as in {_with_run(target.path)!r}"]
    if hasattr(target.callback, "append"):
        ways.append(f"set `{where}__append=True`")
    raise ValueError(
        f"{target.shown}: {found!r} is already there, and a fit does not overwrite what another "
        f"wrote: {', '.join(ways)}, or remove it."
    )


def _in_the_way(target: _Target) -> str | None:
    """Return what this callback would write over, or None."""
    path, callback = target.path, target.callback
    if target.written.by_epoch:
        return _matching(path)
    if not target.written.is_directory:
        return path if os.path.lexists(path) and not callback.append else None
    if target.written is PATHS["OrbaxCheckpoint"]:  # it removes all but the last ones
        return path if os.path.isdir(path) and os.listdir(path) else None
    if getattr(callback, "embeddings_freq", 0):
        projector = os.path.join(path, "projector_config.pbtxt")
        return projector if os.path.exists(projector) else None
    return None


def _matching(path: str) -> str | None:
    """Return a file that a path with fields could name, or None."""
    pattern, rule = "", ""
    for literal, name, _, _ in string.Formatter().parse(path):
        pattern += glob.escape(literal)
        rule += re.escape(literal)
        if name is not None:
            pattern += "*"
            rule += r" *\d+" if name in ("epoch", "batch") else r"[^/\\]+"
    return next((f for f in sorted(glob.glob(pattern)) if re.fullmatch(rule, f)), None)


def _with_run(path: str) -> str:
    """Return a path with ``{run}`` before its last part."""
    head, tail = os.path.split(path.rstrip("/\\"))
    return os.path.join(head, "{run}", tail)
