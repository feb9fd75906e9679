"""Predicting: what a trained model puts out for rows.

Owns the arguments of a prediction and the call of what predicts. Leaves what outputs mean to the
estimators, and the checks of rows to ``_preparation``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skcb import _judged, _keras
from skcb._names import PREDICT_NAMES, suggestion
from skcb._preparation import PreparationMixin
from skcb._routing import refuse_unsupported
from skcb.engine.feed import inputs_of, is_dataset
from skcb.engine.state import first_array, taken


class PredictingMixin(PreparationMixin):
    """From rows and parameters to outputs."""

    model_: Any
    _predictor: Any

    def _outputs(self, X: Any, predict_params: Mapping[str, Any]) -> Any:
        """Return what the model puts out for some rows."""
        check_is_fitted(self)
        fed = is_dataset(X)
        options, asked = self._predict_options(predict_params, fed=fed)
        if fed:
            with _keras.in_force(self._keras_settings):
                return self._outputs_fed(X, options)
        X = self._checked_x(X)
        batch_size = _judged.batch_size("batch_size", options.pop("batch_size"), X.shape[0])
        with _keras.in_force(self._keras_settings):
            x = self._model_input(X)
            if any(options.values()):  # a progress bar or callbacks: Keras' own prediction
                return self.model_.predict(**_prediction_data(x, batch_size), **options)
            predictor = self._current_predictor()
            if "batch_size" not in asked:
                return predictor.predict(x, batch_size)
            # Batches of just that size, which a model that looks across rows depends on.
            starts = range(0, X.shape[0], batch_size)
            parts = [taken(x, slice(start, start + batch_size)) for start in starts]
            return _one([predictor.predict(part, batch_size) for part in parts])

    def _outputs_fed(self, X: Any, options: dict[str, Any]) -> Any:
        """Return what the model puts out for the batches of a dataset."""
        del options["batch_size"]
        steps = options.pop("steps", None)
        if any(options.values()):
            return self.model_.predict(X, steps=steps, **options)
        predictor = self._current_predictor()
        return _one([predictor.predict(x, first_array(x).shape[0]) for x in inputs_of(X, steps)])

    def _current_predictor(self) -> Any:
        predictor = self._predictor
        if predictor.model is not self.model_:  # the user put another model in its place
            predictor = self._new_predictor(self.model_)
        return predictor

    def _new_predictor(self, model: Any) -> Any:
        return predictor_of(model)

    def _predict_options(
        self, predict_params: Mapping[str, Any], *, fed: bool = False
    ) -> tuple[dict[str, Any], set[str]]:
        """Say which arguments ``Model.predict`` gets: call, prefixed name, plain name.

        And which of them are meant for predictions: the first two.
        """
        for name, value in predict_params.items():
            if not fed:
                refuse_unsupported(name, value)
            if name not in PREDICT_NAMES:
                raise TypeError(
                    f"predict() got an unexpected argument {name!r}. "
                    + suggestion(name, PREDICT_NAMES)
                )
        plain = {name: getattr(self, name) for name in ("batch_size", "verbose")}
        # A prediction takes half a millisecond, and routing nothing a tenth.
        prefixed = self._route().predict if self._sk_params else {}
        asked = {**prefixed, **predict_params}
        _judged.predict_callbacks("callbacks", asked.get("callbacks"))
        return {**plain, **asked}, set(asked)


def predictor_of(model: Any, trained_by: Any = None) -> Any:
    """Return what predicts with a trained model; what trained it, where that can."""
    from skcb.engine import roads  # here, because TensorFlow loads with it

    return roads.for_prediction(model, trained_by)


def _one(parts: list[Any]) -> Any:
    """Join the outputs of several batches."""
    import keras

    return keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *parts)


def _prediction_data(x: Any, batch_size: int) -> dict[str, Any]:
    from skcb.engine import batches  # here, because Keras loads with it

    return batches.prediction_data(x, batch_size)
