"""KerasClassifier and KerasRegressor: signatures, docs, labels, probabilities and score.

Owns what differs between the two. Leaves the road through ``fit`` to ``_base``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score

from skcb._base import BaseKerasEstimator

__all__ = ["KerasClassifier", "KerasRegressor"]

_PARAMETERS = """
    Parameters
    ----------
    build_fn : callable, keras.Model or None, default=None
        Builds one Keras model, compiled or not. A function (or ``functools.partial``), an object
        with ``__call__``, or None in a subclass that implements ``__call__``. It is called with
        those of ``sk_params`` and of the named parameters that stand in its signature, as they
        were given and only if given, and with ``meta``, ``compile_kwargs`` and ``params`` where
        its signature names them. A model is a template: every fit trains a copy with its weights.
    optimizer : str, class, keras.optimizers.Optimizer, Tunable or None, default=None
        None: that of a compiled model, else RMSprop. An instance is copied for every fit.
    loss : str, class, function, keras.losses.Loss, Tunable, list or dict, default=None
        None: that of a compiled model, else inferred from the target.
    metrics : list, dict or one of str, class, function, keras.metrics.Metric, default=None
        None: those of a compiled model.
    lr_schedule : Schedule, str, class, Tunable, function or None, default=None
        The learning rate over training; see :mod:`skcb.schedules`. A function takes ``epoch`` or
        ``(epoch, lr)``.
    callbacks : dict, list or one of recipe, class, str, keras.callbacks.Callback, default=None
        Callbacks by name; see :mod:`skcb.callbacks`. Every fit builds its own.
    epochs : int, default=1
        Passes over the training rows.
    max_time : float or None, default=None
        Seconds of a fit, building included: training ends after the epoch in which they run out,
        as if a callback had stopped it. One epoch is always trained. Calls of ``partial_fit`` add
        up.
    batch_size : int or None, default=None
        Rows a step; None is 32, -1 all rows.
    validation_split : float, splitter or None, default=0.0
        Rows that are watched and never train: a share in [0, 1) (shuffled, seeded, for a
        classifier stratified), or the first split of a scikit-learn splitter.
    shuffle : bool, default=True
        Whether each epoch has an order of its own."""

_MORE = """
    warm_start : bool, default=False
        Whether ``fit`` starts from the weights and the optimizer's state of the fit before.
    random_state : int, RandomState or None, default=None
        Seeds weights, order, dropout and split.
    inputs : dict of str to columns, default=None
        Columns of X for each input of a model that has several, by the input's name: names or
        positions, a slice or a mask of them, or a function of X that returns one, as
        ``make_column_selector`` makes. Columns that no input names are left out.
    allow_nan : bool, default=False
        Whether X may hold NaN and infinity, for a model that can deal with them.
    engine : {"auto", "keras"}, default="auto"
        "auto" compiles a whole epoch where that gives Keras' own numbers; "keras" runs Keras' own
        functions, batch by batch. ``engine_`` says which road was taken, and why.
    verbose : {0, 1, 2, "auto"}, default=0
        As in ``Model.fit``.
    **sk_params : object
        Arguments of ``build_fn``, of ``Model.fit``, ``predict`` and ``compile``, and prefixed
        names: ``model__x``, ``optimizer__x``, ``loss__x``, ``metrics__NAME__x``,
        ``lr_schedule__x``, ``callbacks__NAME``, ``callbacks__NAME__x``, ``fit__x``,
        ``predict__x``, ``compile__x``.

    Attributes
    ----------
    model_ : keras.Model
        The trained model, this estimator's own.
    history_ : dict of str to list of float
        Keras' keys, and ``learning_rate``: that of each epoch's last step.
    callbacks_ : dict of str to keras.callbacks.Callback
        The live callbacks of this fit.
    n_iter_ : int
        Epochs run.
    stopped_by_ : str or None
        The parameter that ended training: ``"epochs"``, ``"max_time"``, ``"callbacks__NAME"``;
        ``"build_fn"`` where the model stopped itself, ``"set_callbacks"`` where one of
        scikit-learn's callbacks did. Else ``"refit"``, ``"timeout"`` of a search around this fit,
        or ``"KeyboardInterrupt"``. None while ``partial_fit`` can go on.
    best_epoch_ : int
        Index into ``history_`` by the monitor of the first EarlyStopping or ModelCheckpoint, else
        by ``val_loss``, else by ``loss``.
    engine_ : str
        How the epochs were run, and why.
    run_id_ : str
        This fit's place in what called it; ``{run}`` in a callback's path.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of str
        Names of the columns, where X has them.
    n_outputs_ : int
        Columns of y."""


def documented(cls: type) -> type:
    """Put the shared parts of the docstring in their places."""
    assert cls.__doc__ is not None
    cls.__doc__ = cls.__doc__.replace("{parameters}", _PARAMETERS.strip()).replace(
        "{more}", _MORE.strip()
    )
    return cls


@documented
class KerasClassifier(ClassifierMixin, BaseKerasEstimator):
    """A Keras model as a scikit-learn classifier.

    {parameters}
    class_weight : dict, "balanced" or None, default=None
        Weights of the user's own labels; they multiply ``sample_weight``.
    classes : array-like or None, default=None
        All labels that there are, for data that may lack some.
    {more}
    classes_ : ndarray, or list of ndarray for several heads
        The labels, in the order of the columns of ``predict_proba``.
    n_classes_ : int or list of int
        How many.

    Examples
    --------
    >>> import keras
    >>> from sklearn.datasets import load_iris
    >>> from skcb import KerasClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> def mlp(meta, hidden=16):
    ...     return keras.Sequential([
    ...         keras.layers.Input((meta["n_features_in_"],)),
    ...         keras.layers.Dense(hidden, activation="relu"),
    ...         keras.layers.Dense(meta["n_output_units_"], meta["output_activation_"]),
    ...     ])
    >>> clf = KerasClassifier(mlp, optimizer="adam", optimizer__learning_rate=0.01, epochs=20,
    ...                       random_state=0).fit(X, y)
    >>> clf.predict_proba(X).shape
    (150, 3)
    >>> clf.score(X, y) > 0.9
    True
    """

    def __init__(
        self,
        build_fn: Any = None,
        *,
        optimizer: Any = None,
        loss: Any = None,
        metrics: Any = None,
        lr_schedule: Any = None,
        callbacks: Any = None,
        epochs: int = 1,
        max_time: float | None = None,
        batch_size: int | None = None,
        validation_split: Any = 0.0,
        shuffle: bool = True,
        class_weight: Any = None,
        classes: Any = None,
        warm_start: bool = False,
        random_state: Any = None,
        inputs: Any = None,
        allow_nan: bool = False,
        engine: str = "auto",
        verbose: Any = 0,
        **sk_params: Any,
    ) -> None:
        self.build_fn = build_fn
        self.optimizer = optimizer
        self.loss = loss
        self.metrics = metrics
        self.lr_schedule = lr_schedule
        self.callbacks = callbacks
        self.epochs = epochs
        self.max_time = max_time
        self.batch_size = batch_size
        self.validation_split = validation_split
        self.shuffle = shuffle
        self.class_weight = class_weight
        self.classes = classes
        self.warm_start = warm_start
        self.random_state = random_state
        self.inputs = inputs
        self.allow_nan = allow_nan
        self.engine = engine
        self.verbose = verbose
        self._remember(sk_params)

    def predict(self, X: Any, **predict_params: Any) -> np.ndarray:
        """Predict labels.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
        **predict_params : object
            Arguments of ``Model.predict``.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In the user's own labels.
        """
        outputs = self._outputs(X, predict_params)
        return self._target.predictions(outputs, self._heads, self._logits)

    def predict_proba(self, X: Any, **predict_params: Any) -> Any:
        """Predict the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
        **predict_params : object
            Arguments of ``Model.predict``.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or a list of them for several heads
            Columns as ``classes_``.

        Raises
        ------
        ValueError
            The model's outputs are no probabilities: the loss is a margin, or they are not within
            [0, 1], or a row does not sum to 1.
        """
        outputs = self._outputs(X, predict_params)
        found = self._target.probabilities(outputs, self._heads, self._logits)
        for each, head in zip(
            found if isinstance(found, list) else [found], self._heads, strict=True
        ):
            _check_probabilities(each, sums=head.encoding != "indicator")
        return found

    def score(self, X: Any, y: Any, sample_weight: Any = None, **predict_params: Any) -> float:
        """Return the accuracy: the share of rows whose labels are all predicted.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Labels that are in ``classes_``.
        sample_weight : array-like of shape (n_samples,), optional
        **predict_params : object
            Arguments of ``Model.predict``.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            A label that is not in ``classes_``.
        """
        predicted = self.predict(X, **predict_params)
        self._target.encode(y, self._heads)  # for its errors: labels unseen, columns that differ
        y = self._target.compared(y)
        if isinstance(self.classes_, list):  # accuracy_score does not take several columns
            right = (np.asarray(y) == predicted).all(axis=1)
            return float(np.average(right, weights=sample_weight))
        return float(accuracy_score(y, predicted, sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        several = not self._has_one_unit()
        tags.classifier_tags.multi_class = tags.classifier_tags.multi_label = several
        return tags


@documented
class KerasRegressor(RegressorMixin, BaseKerasEstimator):
    """A Keras model as a scikit-learn regressor.

    {parameters}
    {more}

    Examples
    --------
    >>> import keras
    >>> from sklearn.datasets import load_diabetes
    >>> from skcb import KerasRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> def linear(meta):
    ...     return keras.Sequential([
    ...         keras.layers.Input((meta["n_features_in_"],)),
    ...         keras.layers.Dense(meta["n_output_units_"]),
    ...     ])
    >>> reg = KerasRegressor(linear, optimizer="adam", optimizer__learning_rate=1.0, epochs=30,
    ...                      random_state=0).fit(X, y)
    >>> reg.predict(X).shape
    (442,)
    """

    def __init__(
        self,
        build_fn: Any = None,
        *,
        optimizer: Any = None,
        loss: Any = None,
        metrics: Any = None,
        lr_schedule: Any = None,
        callbacks: Any = None,
        epochs: int = 1,
        max_time: float | None = None,
        batch_size: int | None = None,
        validation_split: Any = 0.0,
        shuffle: bool = True,
        warm_start: bool = False,
        random_state: Any = None,
        inputs: Any = None,
        allow_nan: bool = False,
        engine: str = "auto",
        verbose: Any = 0,
        **sk_params: Any,
    ) -> None:
        self.build_fn = build_fn
        self.optimizer = optimizer
        self.loss = loss
        self.metrics = metrics
        self.lr_schedule = lr_schedule
        self.callbacks = callbacks
        self.epochs = epochs
        self.max_time = max_time
        self.batch_size = batch_size
        self.validation_split = validation_split
        self.shuffle = shuffle
        self.warm_start = warm_start
        self.random_state = random_state
        self.inputs = inputs
        self.allow_nan = allow_nan
        self.engine = engine
        self.verbose = verbose
        self._remember(sk_params)

    def predict(self, X: Any, **predict_params: Any) -> np.ndarray:
        """Predict values.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
        **predict_params : object
            Arguments of ``Model.predict``.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            One-dimensional where y was.
        """
        outputs = self._outputs(X, predict_params)
        return self._target.predictions(outputs, self._heads).astype(np.float64)

    def score(self, X: Any, y: Any, sample_weight: Any = None, **predict_params: Any) -> float:
        """Return the coefficient of determination, the mean over the columns of y.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array-like of shape (n_samples,), optional
        **predict_params : object
            Arguments of ``Model.predict``.

        Returns
        -------
        float
        """
        predicted = self.predict(X, **predict_params)
        y = self._target.compared(y)
        return float(r2_score(y, predicted, sample_weight=sample_weight))


def _check_probabilities(found: np.ndarray, *, sums: bool) -> None:
    """Refuse outputs that cannot be probabilities."""
    if len(found) == 0:
        return
    low, high = float(found.min()), float(found.max())
    if low < -1e-6 or high > 1 + 1e-6 or not np.isfinite([low, high]).all():
        raise ValueError(
            f"the model's outputs are no probabilities: they reach from {low:g} to {high:g}. End "
            "the model in meta['output_activation_'], or in logits under a cross-entropy with "
            "`from_logits=True`."
        )
    totals = found.sum(axis=1)
    if sums and np.abs(totals - 1).max() > 1e-3:
        raise ValueError(
            f"the model's outputs are no probabilities: a row sums to {totals.max():g} instead of "
            "1. End the model in meta['output_activation_']."
        )
