"""Scoring by what training has already measured."""

from __future__ import annotations

from typing import Any

from skcb import _inside, _monitors

__all__ = ["validation_score"]


def validation_score(estimator: Any, X: Any = None, y: Any = None) -> float:
    """Score a fitted estimator by its watched metric at the best epoch, without predicting.

    Usable as ``scoring=skcb.validation_score``. The metric is the monitor of the first
    EarlyStopping or ModelCheckpoint, else ``val_loss``; the epoch is ``best_epoch_``.

    Parameters
    ----------
    estimator : estimator
        A fitted KerasClassifier or KerasRegressor, or a Pipeline or the like around one.
    X, y : ignored
        Scikit-learn passes the test fold, which is not looked at.

    Returns
    -------
    float
        Greater is better: a metric for which less is better comes with its sign changed.

    Raises
    ------
    ValueError
        Nothing was watched in the fit, or there is not one Keras step in the estimator.

    Examples
    --------
    >>> import keras, skcb
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> def softmax(meta):
    ...     return keras.Sequential([
    ...         keras.layers.Input((meta["n_features_in_"],)),
    ...         keras.layers.Dense(meta["n_output_units_"], meta["output_activation_"]),
    ...     ])
    >>> clf = skcb.KerasClassifier(softmax, epochs=3, validation_split=0.2, random_state=0)
    >>> skcb.validation_score(clf.fit(X, y)) == -min(clf.history_["val_loss"])
    True
    """
    estimator = _keras_step(estimator)
    history = estimator.history_
    name, greater = _monitors.criterion(history, estimator.callbacks_)
    if not name.startswith("val_"):
        raise ValueError(
            "`validation_score` needs a watched metric, but the best epoch was judged by "
            f"{name!r}: give `validation_split=0.2`, or `X_val` and `y_val`."
        )
    values = history[name]
    best = (max if greater else min)(values)
    return best if greater else -best


def _keras_step(estimator: Any) -> Any:
    if hasattr(estimator, "history_"):
        return estimator
    steps = _inside.trained(estimator)
    if len(steps) != 1:
        raise ValueError(
            f"`validation_score` reads the history of one fitted Keras step, and "
            f"{type(estimator).__name__} holds {len(steps)}."
        )
    return steps[0]
