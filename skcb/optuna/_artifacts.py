"""Artifacts: what the folds of a trial have learned, kept in one of Optuna's artifact stores.

Owns the check of a store, the files and when they are uploaded. Leaves what a fold has trained to
``_strategies``, and how a file is kept and found again to Optuna.
"""

from __future__ import annotations

import csv
import io
import itertools
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.artifacts import upload_artifact

from skcb import _inside
from skcb.exceptions import TrainingWarning

Keep = Callable[[int, Any, Sequence[tuple[Mapping[str, Any], Any]]], None]
"""Is given a fold, its estimator, and history and model of each Keras fit in it."""

_MIMETYPES = {
    ".csv": "text/csv",
    ".keras": "application/zip",  # which is what Keras' files are
    ".h5": "application/x-hdf5",
}
_METHODS = ("open_reader", "write", "remove")
"""What Optuna asks of a store; the protocol itself is private there."""


def check(store: Any, estimator: Any) -> Any:
    """Return a store in which an estimator's trials can be kept, or None.

    Raises
    ------
    TypeError
        No store.
    ValueError
        There is no Keras step, and so nothing to keep.
    """
    if store is None:
        return None
    if isinstance(store, type) or not all(callable(getattr(store, n, None)) for n in _METHODS):
        raise TypeError(
            "`artifact_store` must be a store of optuna.artifacts, such as "
            f"FileSystemArtifactStore('artifacts'), or None but got {store!r}."
        )
    if not _inside.described(estimator):
        raise ValueError(
            f"`artifact_store={store!r}` keeps histories and models of Keras steps, and "
            f"{type(estimator).__name__} has none: give `artifact_store=None`."
        )
    return store


class Artifacts:
    """Uploads what the folds of trials have learned.

    Parameters
    ----------
    store : optuna.artifacts store or None
        None keeps nothing.
    fit_params : mapping of str to object
        That every fit gets.
    """

    def __init__(self, store: Any, fit_params: Mapping[str, Any]) -> None:
        self._store = store
        self._fit_params = fit_params
        self._tried = False

    @contextmanager
    def of(self, trial: Any) -> Iterator[Keep | None]:
        """Give what keeps the folds of a trial, and upload all of it when the trial ends.

        Also of one that is pruned or fails, but for an interrupt from the keyboard. A trial of no
        study, such as a FixedTrial, has nothing that files could belong to.

        Raises
        ------
        Exception
            Of the store, before the trial trains if it can be known by then.
        """
        if self._store is None or not isinstance(trial, optuna.Trial):
            yield None
            return
        self._try_out()
        with tempfile.TemporaryDirectory(prefix="skcb-") as folder:
            files = _Files(Path(folder) / f"trial-{trial.number}", self._fit_params)
            try:
                yield files.keep
            except Exception:
                self._upload(files, trial)
                raise
            self._upload(files, trial)

    def _try_out(self) -> None:
        """Write something that is not needed, once: a trial is too dear to learn it afterwards."""
        if self._tried:
            return
        name = f"skcb-{uuid.uuid4()}"
        with _named(self._store, "anything"):
            self._store.write(name, io.BytesIO())
        with suppress(Exception):  # where nothing may be removed, an empty file stays
            self._store.remove(name)
        self._tried = True

    def _upload(self, files: _Files, trial: optuna.Trial) -> None:
        if files.error is not None:
            raise files.error
        for path in files.made:
            with _named(self._store, path.name):
                upload_artifact(
                    artifact_store=self._store,
                    file_path=str(path),
                    study_or_trial=trial,
                    mimetype=_MIMETYPES[path.suffix],
                )


@contextmanager
def _named(store: Any, what: str) -> Iterator[None]:
    """Say of an error that it is the store's."""
    try:
        yield
    except Exception as error:
        error.add_note(f"`artifact_store={store!r}` could not keep {what}.")
        raise


class _Files:
    """The files of a trial.

    Parameters
    ----------
    stem : Path
        How their names begin.
    fit_params : mapping of str to object

    Attributes
    ----------
    made : list of Path
    error : Exception or None
        What went wrong in writing. It is no matter of the candidate, so it waits until the trial
        has its score.
    """

    def __init__(self, stem: Path, fit_params: Mapping[str, Any]) -> None:
        self._stem = stem
        self._fit_params = fit_params
        self.made: list[Path] = []
        self.error: Exception | None = None

    def keep(
        self, fold: int, estimator: Any, trained: Sequence[tuple[Mapping[str, Any], Any]]
    ) -> None:
        """Write history and model of each Keras fit in a fold."""
        if not trained and _inside.described(estimator):
            kind = type(estimator).__name__
            warnings.warn(
                f"`artifact_store` keeps nothing: a fitted {kind} does not show its Keras steps.",
                TrainingWarning,
                stacklevel=2,
            )
        for i, (history, model) in enumerate(trained):
            which = f"_{i}" if len(trained) > 1 else ""
            stem = f"{self._stem}_fold-{fold}{which}"
            try:
                path = Path(f"{stem}_history.csv")
                _write_history(path, history, model.history.epoch, self._watched(estimator))
                self.made += [path, _written(stem, model)]
            except Exception as error:
                self.error = self.error or error

    def _watched(self, estimator: Any) -> Any:
        """Return ``validation_freq``, under whatever prefix it is given."""
        given = {**estimator.get_params(), **self._fit_params}
        found = [v for n, v in given.items() if n.rpartition("__")[2] == "validation_freq"]
        return next((v for v in reversed(found) if v is not None), 1)


def _written(stem: str, model: Any) -> Path:
    """Write a model whole, or only its weights where a layer cannot be described."""
    whole, weights = Path(f"{stem}_model.keras"), Path(f"{stem}_model.weights.h5")
    try:
        model.save(whole)
    except Exception:  # whatever a layer without a config makes Keras raise
        model.save_weights(weights)
        return weights
    return whole


def _write_history(
    path: Path, history: Mapping[str, Sequence[Any]], epochs: Sequence[int], freq: Any
) -> None:
    """Write a history with a row for each epoch, blank where nothing was measured."""
    columns = [[*epochs], *(_spread(values, epochs, freq) for values in history.values())]
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["epoch", *history])
        rows.writerows(itertools.zip_longest(*columns, fillvalue=""))


def _spread(values: Sequence[Any], epochs: Sequence[int], freq: Any) -> list[Any]:
    """Put what was measured in some epochs, by ``validation_freq``, into the rows of these."""
    several = isinstance(freq, list | tuple | set)
    watched = [epoch + 1 in freq if several else (epoch + 1) % freq == 0 for epoch in epochs]
    if len(values) == len(epochs) or len(values) != sum(watched):
        return list(values)
    rest = iter(values)
    return [next(rest) if here else "" for here in watched]
