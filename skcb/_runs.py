"""Runs: who this fit is, and the paths that are its own.

Owns ``run_id_`` (read from scikit-learn's callback context, or from the place that a runner of
skcb's announces) and the rewriting of paths, so that no two folds write one file. Leaves the
writing to the callbacks.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path
from typing import Any

_ANNOUNCED: ContextVar[str | None] = ContextVar("skcb_run", default=None)


@contextmanager
def announced(place: str) -> Iterator[None]:
    """Say, for fits within the block, which trial and fold they are."""
    token = _ANNOUNCED.set(place)
    try:
        yield
    finally:
        _ANNOUNCED.reset(token)


def is_announced() -> bool:
    """Tell whether a runner of skcb's is at work, which judges its folds itself."""
    return _ANNOUNCED.get() is not None


def identify(context: Any) -> str:
    """Return the id of the fit that this callback context belongs to.

    Parameters
    ----------
    context : sklearn.callback.CallbackContext
        The fit's own root context, merged with its caller's where there is one.

    Returns
    -------
    str
        What was announced; else ``<root>-<uuid>/<task ids below the root>``, which is unique
        because scikit-learn numbers tasks among siblings only; else date, time, four letters.
    """
    announced_place = _ANNOUNCED.get()
    if announced_place is not None:
        return announced_place
    if context.parent is None:
        letters = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(4))
        return f"{datetime.now():%Y%m%d-%H%M%S}-{letters}"
    path = _path(context)
    root = path[0]
    tasks = [f"{slug(c.source_task_name or c.task_name)}-{c.task_id}" for c in path[1:]]
    return "/".join([f"{root.estimator_name.lower()}-{root.root_uuid.hex[:12]}", *tasks])


def _path(context: Any) -> list[Any]:
    path = []
    while context is not None:
        path.append(context)
        context = context.parent
    return path[::-1]


def slug(name: str) -> str:
    """Return a name with nothing in it that a path could not hold."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "task"


def own_path(path: Any, run_id: str, *, cloned: bool, where: str) -> str:
    """Return the path under which this fit writes, its directory made.

    Parameters
    ----------
    path : str or path
        As the user wrote it; ``{run}`` stands for ``run_id``, other fields are Keras'.
    run_id : str
        The fit's id.
    cloned : bool
        Whether the estimator was made by ``clone``; then the file lies in a directory of the
        run's own even where ``{run}`` is not in the path.
    where : str
        Full name of the parameter, for messages.

    Raises
    ------
    TypeError
        Not a path.
    ValueError
        An empty path, or a directory that cannot be made.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"`{where}` must be a path but got {path!r}.")
    text = os.fspath(path)
    if not text:
        raise ValueError(f"`{where}` must be a path but got an empty one.")
    if "{run}" in text:
        text = text.replace("{run}", run_id)
    elif cloned and is_remote(text):
        head, _, name = text.rstrip("/").rpartition("/")
        text = f"{head}/{run_id}/{name}"
    elif cloned:
        text = str(Path(text).parent / run_id / Path(text).name)
    if is_remote(text):
        return text
    try:
        fixed_part(Path(text)).mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise ValueError(f"`{where}={os.fspath(path)!r}` cannot be written: {error}") from error
    return text


def is_remote(path: str) -> bool:
    """Tell an address, such as ``gs://bucket/logs``, from a path of this machine's."""
    return re.match(r"[a-z][a-z0-9+.-]+://", path) is not None


def fixed_part(path: Path) -> Path:
    """Return the directory of a path, up to the first part that holds a field."""
    fixed = Path(path.anchor)
    for part in path.relative_to(path.anchor).parts[:-1]:
        if "{" in part:
            break
        fixed = fixed / part
    return fixed
