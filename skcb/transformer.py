"""KerasTransformer: a model that learns to give back its input, and what one of its layers makes.

Owns the target that is X itself, and the part of a model that ends at a layer. Leaves the road
through ``fit`` to ``_base``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import validate_data

from skcb import _keras
from skcb._base import BaseKerasEstimator
from skcb._data import Data, checked_weights, model_input, with_plain_integers
from skcb._heads import Head
from skcb._names import suggestion
from skcb._targets import Target
from skcb.engine.state import TrainingState
from skcb.estimators import documented

__all__ = ["KerasTransformer"]


@dataclass(frozen=True, eq=False)
class _Itself(Target):
    """X as the target; it may be sparse, and its rows may have several dimensions."""

    row_shape: tuple[int, ...] = ()

    @classmethod
    def of(cls, X: Any) -> _Itself:
        n = X.shape[-1]
        type_ = "continuous" if n == 1 else "continuous-multioutput"
        return cls(type_, None, None, n, X.ndim, X.dtype, X.shape[1:])

    def heads(self, loss: Any = None) -> list[Head]:
        shape = self.row_shape if len(self.row_shape) > 1 else None
        return [replace(head, shape=shape) for head in super().heads(loss)]

    def encode(self, y: Any, heads: Sequence[Head]) -> Any:
        del heads
        return model_input(y).astype(np.float32)


@documented
class KerasTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseKerasEstimator):
    """A Keras model as a scikit-learn transformer: an autoencoder, say.

    The model learns to give back its input, so it ends in as many units as X has columns, or
    images have channels (``meta["n_output_units_"]``). ``transform`` returns what it, or one of
    its layers, makes of X.

    {parameters}
    layer : str, int or None, default=None
        Name or index of the layer whose output ``transform`` returns, a row of numbers for each
        row of X; None: the model's own output.
    {more}

    Examples
    --------
    >>> import keras
    >>> from sklearn.datasets import load_iris
    >>> from skcb import KerasTransformer
    >>> X, y = load_iris(return_X_y=True)
    >>> def autoencoder(meta, code=2):
    ...     return keras.Sequential([
    ...         keras.layers.Input((meta["n_features_in_"],)),
    ...         keras.layers.Dense(code, name="code"),
    ...         keras.layers.Dense(meta["n_output_units_"]),
    ...     ])
    >>> coder = KerasTransformer(autoencoder, layer="code", optimizer="adam", epochs=5,
    ...                          random_state=0).fit(X)
    >>> coder.transform(X).shape
    (150, 2)
    >>> coder.get_feature_names_out()
    array(['kerastransformer0', 'kerastransformer1'], dtype=object)
    """

    _ends_at: Any = None

    def __init__(
        self,
        build_fn: Any = None,
        *,
        layer: Any = None,
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
        allow_nan: bool = False,
        engine: str = "auto",
        verbose: Any = 0,
        **sk_params: Any,
    ) -> None:
        self.build_fn = build_fn
        self.layer = layer
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
        self.allow_nan = allow_nan
        self.engine = engine
        self.verbose = verbose
        self._remember(sk_params)

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        groups: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        **fit_params: Any,
    ) -> Self:
        """Build a model and train it to give back X.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
        y, y_val : object
            Ignored; here because a ``Pipeline``, or a script for other estimators, passes them.
        sample_weight : array-like of shape (n_samples,), optional
        groups : array-like of shape (n_samples,), optional
            For a splitter given as ``validation_split``.
        X_val, sample_weight_val : array-like, optional
            Watched rows; they win over ``validation_split``.
        **fit_params : object
            Arguments of ``Model.fit``; they win over those of the estimator.

        Returns
        -------
        self
        """
        super().fit(
            X,
            None,
            sample_weight=sample_weight,
            groups=groups,
            X_val=X_val,
            y_val=X_val,
            sample_weight_val=sample_weight_val,
            **fit_params,
        )
        return self

    def partial_fit(
        self,
        X: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        groups: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        **fit_params: Any,
    ) -> Self:
        """Train one more epoch, on the same rows or others.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)
        y, y_val : object
            Ignored.
        sample_weight, groups, X_val, sample_weight_val : optional
            As in :meth:`fit`.
        **fit_params : object
            Arguments of ``Model.fit``.

        Returns
        -------
        self
        """
        super().partial_fit(
            X,
            None,
            sample_weight=sample_weight,
            groups=groups,
            X_val=X_val,
            y_val=X_val,
            sample_weight_val=sample_weight_val,
            **fit_params,
        )
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Return what the model, or the layer, makes of X.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...)

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
            In Keras' precision; an output of several dimensions as one row.
        """
        outputs = self._outputs(X, {})
        return np.asarray(outputs).reshape(len(outputs), -1)

    # -- what differs on the road through fit ----------------------------------------------

    def _checked(self, X: Any, y: Any, sample_weight: Any, *, reset: bool = True) -> Data:
        """Check rows, which are their own targets."""
        X = validate_data(self, with_plain_integers(X), reset=reset, **self._checks())
        X = self._checked_rows(X, reset=reset)
        return Data(X, X, checked_weights(sample_weight, X.shape[0]))

    def _learn_target(self, y: Any, *, classes: Any = None, before: Any = None) -> None:
        self._target = _Itself.of(y)
        self.n_outputs_ = self._target.n_outputs_

    def _fed(self, *call: Any) -> Any:
        raise ValueError("X is a dataset: KerasTransformer takes arrays.")

    def _state(self, routed: Any, model: Any, *parts: Any) -> TrainingState:
        _up_to(model, self.layer)  # for its errors, before the first epoch
        return super()._state(routed, model, *parts)

    def _keep(self, state: TrainingState, model: Any) -> None:
        super()._keep(state, model)
        self._ends_at = None
        self._current_predictor()  # made here, so that `transform` changes nothing

    @property
    def _n_features_out(self) -> int:
        """Number of columns, which scikit-learn's mixin numbers; of the layer as it is set now."""
        return int(np.prod(self._current_predictor().model.output_shape[1:]))

    def _current_predictor(self) -> Any:
        """Return what predicts up to the layer; it shares the model's variables."""
        if self.layer is None:
            return super()._current_predictor()
        kept = self._ends_at
        if kept is None or kept[:2] != (self.layer, self.model_):
            with _keras.in_force(self._keras_settings):
                part = _up_to(self.model_, self.layer)
            kept = self._ends_at = (self.layer, self.model_, self._new_predictor(part))
        return kept[2]

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state.pop("_ends_at", None)
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def _up_to(model: Any, layer: Any) -> Any:
    """Return the part of a model that ends at a layer; it shares the layers before it."""
    import keras

    if layer is None:
        _refuse_open(model.output_shape, layer)
        return model
    last = _layer(model, layer)
    if not getattr(model, "inputs", None):
        raise ValueError(
            f"`layer={layer!r}` needs a Sequential or functional model: what the layers of "
            f"{type(model).__name__} are given is known to its `call` alone."
        )
    end = _end_of_stack(model, last) if _is_stack(model) else _end_in_graph(model, last)
    _refuse_open(end.shape, layer)
    part = keras.Model(model.inputs[0] if _is_stack(model) else model.input, end)
    part.compile(loss="mean_squared_error")  # programs are kept for compiled models
    return part


def _is_stack(model: Any) -> bool:
    import keras

    return isinstance(model, keras.Sequential)


def _layer(model: Any, layer: Any) -> Any:
    names = [each.name for each in model.layers]
    if isinstance(layer, int | np.integer):
        if -len(names) <= layer < len(names):
            return model.layers[layer]
        raise ValueError(f"`layer={layer!r}`: the model has {len(names)} layers.")
    if layer not in names:
        hint = suggestion(str(layer), names)
        raise ValueError(f"`layer={layer!r}`: the model has no layer of that name. {hint}")
    return model.get_layer(layer)


def _end_of_stack(model: Any, last: Any) -> Any:
    """Call the layers one after the other: the `output` of a model inside would be its own."""
    x = model.inputs[0]
    for layer in model.layers:
        x = layer(x)
        if layer is last:
            break
    return x


def _end_in_graph(model: Any, last: Any) -> Any:
    """Go through the graph once more, by Keras' own way to do so, and note what the layer makes."""
    import keras

    made: list[Any] = []

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        outputs = layer(*args, **kwargs)
        if layer is last:
            made.append(outputs)
        return outputs

    keras.models.clone_model(
        model,
        input_tensors=model.input,
        clone_function=lambda layer: layer,
        call_function=call,
    )
    return made[-1] if made else last.output


def _refuse_open(shape: Any, layer: Any) -> None:
    if not isinstance(shape, tuple) or None in shape[1:]:
        raise ValueError(
            f"`layer={layer!r}` makes outputs of shape {shape}, and a transformer's rows have a "
            "fixed number of columns: choose a layer with one output of a fixed shape."
        )
