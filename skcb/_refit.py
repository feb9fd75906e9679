"""Refit: the parameters that a search found, trained on all rows.

Owns for how many epochs, whether rows are watched, and the report of what was done. Leaves finding
the parameters to the search and the epochs to ``_pending``.
"""

from __future__ import annotations

import logging
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sklearn.base import clone

from skcb import _callbacks, _inside, _monitors, _pending
from skcb._data import n_rows
from skcb._folds import Folds
from skcb._names import suggestion

__all__ = ["Refit", "refit"]

_CHOICES = {"epochs": ("median_best", "given"), "validation": ("keep", "none")}
_log = logging.getLogger("skcb")


@dataclass(frozen=True)
class Refit:
    """What a refit did; it prints as a sentence.

    Attributes
    ----------
    params : dict
        The parameters that were set.
    n_rows, n_watched : int
        Rows that trained, and rows that were watched.
    epochs : int
        Epochs trained; 0 where the parameters hold no Keras step.
    fold_best_epochs : list of int or None
        Best epoch of each fold, counted from 0; None with ``epochs="given"``.
    left_out : list of str
        Callbacks that were switched off, because nothing is watched.
    """

    params: dict[str, Any]
    n_rows: int
    n_watched: int
    epochs: int
    fold_best_epochs: list[int] | None
    left_out: list[str]

    def __str__(self) -> str:
        why = "as given"
        if self.fold_best_epochs is not None:
            best = ", ".join(str(epoch + 1) for epoch in self.fold_best_epochs)
            why = f"the folds were best after {best}"
        left_out = f"; left out: {', '.join(self.left_out)}" if self.left_out else ""
        return (
            f"{self.n_rows} rows trained for {self.epochs} epochs ({why}), {self.n_watched} rows "
            f"watched{left_out}"
        )


def refit(
    search: Any,
    X: Any,
    y: Any,
    *,
    epochs: str = "median_best",
    validation: str = "keep",
    fit_params: Mapping[str, Any] | None = None,
) -> Any:
    """Train the best parameters of a search on all rows.

    A search's own ``refit`` trains as in the folds: with watched rows and early stopping, which
    may end elsewhere than in any fold. This trains for as long as was best in the folds.

    Parameters
    ----------
    search : fitted search
        GridSearchCV or any other with ``best_params_``, ``estimator`` and ``cv``.
    X, y : array-like
        The rows of the search; it does not keep them.
    epochs : {"median_best", "given"}, default="median_best"
        ``"median_best"`` trains up to the median of the folds' best epochs, at the learning
        rates that the folds had in these; the folds are trained once more to find it.
        ``"given"`` leaves it to ``epochs`` and to early stopping.
    validation : {"keep", "none"}, default="keep"
        ``"keep"`` watches rows as the folds did. ``"none"`` trains on these too, without the
        callbacks that need them.
    fit_params : dict, optional
        Passed to ``fit``.

    Returns
    -------
    estimator
        A fitted clone. Its attribute ``refit_`` says what was done.

    Raises
    ------
    ValueError
        A search that has no best parameters, or an unknown choice.
    TypeError
        An estimator whose Keras step cannot be trained an epoch at a time: it has several, or
        needs the trained one while it is fitted itself.

    Examples
    --------
    >>> import keras, skcb
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> X, y = load_iris(return_X_y=True)
    >>> def softmax(meta):
    ...     return keras.Sequential([
    ...         keras.layers.Input((meta["n_features_in_"],)),
    ...         keras.layers.Dense(meta["n_output_units_"], meta["output_activation_"]),
    ...     ])
    >>> clf = skcb.KerasClassifier(softmax, epochs=4, validation_split=0.2, random_state=0)
    >>> search = GridSearchCV(clf, {"batch_size": [16, 64]}, cv=3, refit=False).fit(X, y)
    >>> best = skcb.refit(search, X, y, validation="none")
    >>> best.refit_.n_rows, best.refit_.n_watched
    (150, 0)
    """
    if not hasattr(search, "best_params_"):
        raise ValueError(
            f"{type(search).__name__} has no `best_params_`: fit it first; one with several "
            "scorers needs `refit` to name the one that decides."
        )
    folds = Folds(search.estimator, X, y, cv=search.cv, fit_params=fit_params)
    return retrained(folds, search.best_params_, epochs=epochs, validation=validation)


def retrained(
    folds: Folds,
    params: Mapping[str, Any],
    *,
    epochs: str,
    validation: str,
    best_epochs: Sequence[int] | None = None,
) -> Any:
    """Train parameters on all rows of some folds.

    Parameters
    ----------
    folds : Folds
    params : mapping of str to object
    epochs, validation : str
        See :func:`refit`.
    best_epochs : sequence of int, optional
        Best epoch of each fold, from 0. Where it is missing, the folds are trained for it.
    """
    _check_choice("epochs", epochs)
    _check_choice("validation", validation)
    estimator = folds.candidate(params)
    if not _inside.described(estimator):  # a trial may choose a step of another kind
        folds.fit_all(estimator, watched=validation == "keep")
        estimator.refit_ = Refit(dict(params), n_rows(folds.y), 0, 0, None, [])
        return estimator
    left_out = _unwatched(estimator) if validation == "none" else []
    best: list[int] | None = None
    most = sys.maxsize
    if epochs == "median_best":
        best = list(best_epochs or [])
        best = best if best and min(best) >= 0 else _best_epochs(folds, params)
        most = statistics.median_high(best) + 1
    with _prepared(folds, estimator, watched=validation == "keep") as fit:
        fit.begin()
        while not fit.over and fit.n_epochs < most:
            fit.advance()
        fit.finish()
    estimator.refit_ = Refit(dict(params), fit.n_rows, fit.n_watched, fit.n_epochs, best, left_out)
    _log.info("refit: %s", estimator.refit_)
    return estimator


def _check_choice(name: str, value: Any) -> None:
    if value not in _CHOICES[name]:
        raise ValueError(
            f"`{name}` must be one of {', '.join(map(repr, _CHOICES[name]))} but got {value!r}. "
            + suggestion(str(value), _CHOICES[name])
        )


def _prepared(folds: Folds, estimator: Any, *, watched: bool) -> _pending.PendingFit:
    try:
        return _pending.prepare(lambda: folds.fit_all(estimator, watched=watched))
    except _pending.CannotWait as error:
        raise TypeError(
            f"{type(estimator).__name__} cannot be refitted an epoch at a time: {error}. Fit it "
            "with the parameters by its own `fit`."
        ) from error


def _best_epochs(folds: Folds, params: Mapping[str, Any]) -> list[int]:
    """Train the folds, and return the best epoch of each."""
    found = []
    for fold in range(len(folds)):
        steps = _inside.trained(folds.fit(folds.candidate(params), fold))
        found += [step.best_epoch_ for step in steps]
    if len(found) != len(folds):
        raise TypeError(
            f"{len(found)} Keras steps were trained in {len(folds)} folds, so their best epochs "
            "say nothing."
        )
    return found


def _unwatched(estimator: Any) -> list[str]:
    """Let all rows train: switch off the split, and the callbacks that need watched rows."""
    left_out = []
    for step in _inside.described(estimator).values():
        routed = step._routed({})
        off: dict[str, None] = {"validation_split": None}
        if "fit__validation_split" in step.get_params(deep=False):
            off["fit__validation_split"] = None
        for name, callback in _callbacks.named(routed.named["callbacks"]).items():
            settings = dict(routed.callbacks.get(name, {}))
            callback = settings.pop("", callback)
            if callback is not None and _needs_watched(callback, settings, name):
                off[f"callbacks__{name}"] = None
                left_out.append(name)
        step.set_params(**off)
    return left_out


def _needs_watched(callback: Any, settings: Mapping[str, Any], name: str) -> bool:
    """Tell whether a callback looks at watched rows, from one that is built to be looked at."""
    live = _callbacks.build(
        clone(callback, safe=False),
        settings,
        where=f"callbacks__{name}",
        place=lambda path: str(path).replace("{run}", "run"),
    )
    watched = [_monitors.monitored(live) or "", *getattr(live, "logged", ())]
    return any(name.startswith("val_") for name in watched)
