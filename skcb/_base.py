"""The road through ``fit``, a step at a time, and the way back from outputs.

Owns the order of the steps, the checks of what stands in the call, and the fitted attributes.
Leaves every step to the module that owns it.
"""

from __future__ import annotations

import inspect
import numbers
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, is_classifier
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.validation import check_is_fitted, validate_data

from skcb import (
    _build,
    _callbacks,
    _keras,
    _monitors,
    _parts,
    _runs,
    _seeds,
    _templates,
    _validation,
    schedules,
)
from skcb._data import Data, checked_weights, class_weights, model_input, some
from skcb._names import FIT_NAMES, PREDICT_NAMES, is_keras, suggestion
from skcb._params import Judges, ParametersMixin
from skcb._routing import Routed, refuse_unsupported, route
from skcb._targets import Target
from skcb.engine import loop
from skcb.engine.state import Rows, TrainingState, taken
from skcb.exceptions import TrainingWarning

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_SAMPLE_ROWS = 2
"""Rows that a model sees while it is built."""


class BaseKerasEstimator(CallbackSupportMixin, ParametersMixin, BaseEstimator):
    """What classifier and regressor share; see there for parameters and attributes."""

    def get_metadata_routing(self) -> MetadataRouter:
        """Say which metadata are taken, and which a splitter in ``validation_split`` takes.

        Returns
        -------
        MetadataRouter
        """
        router = MetadataRouter(owner=self).add_self_request(self)
        splitter = self.validation_split
        if hasattr(splitter, "get_metadata_routing") and not isinstance(splitter, type):
            to_split = MethodMapping().add(caller="fit", callee="split")
            router.add(validation_split=splitter, method_mapping=to_split)
        return router

    @with_callbacks
    def fit(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        groups: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        validation_data: Any = None,
        **fit_params: Any,
    ) -> Self:
        """Build a model and train it.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Training data.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets, in the user's own labels.
        sample_weight : array-like of shape (n_samples,), optional
            Weights as Keras takes them: weight 0 adds nothing to the loss, but the row counts in
            the batch mean and in BatchNormalization.
        groups : array-like of shape (n_samples,), optional
            For a splitter given as ``validation_split``.
        X_val, y_val, sample_weight_val : array-like, optional
            Watched rows; they win over ``validation_split``.
        validation_data : tuple of (X, y) or (X, y, sample_weight), optional
            Watched rows, in Keras' spelling.
        **fit_params : object
            Arguments of ``Model.fit``; they win over those of the estimator.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            A parameter or data that cannot be used; raised before the first epoch.
        NonFiniteLoss
            The loss became NaN or infinite.
        """
        self.__dict__.pop("model_", None)  # a fit that fails leaves no half-fitted estimator
        with _keras.in_force(self._keras_settings):
            return self._fit(
                Data(X, y, sample_weight),
                groups,
                (X_val, y_val, sample_weight_val, validation_data),
                fit_params,
            )

    def _fit(
        self,
        data: Data,
        groups: Any,
        watched: tuple[Any, Any, Any, Any],
        fit_params: Mapping[str, Any],
    ) -> Self:
        """Go the whole road, as a task of scikit-learn's callbacks."""
        routed = self._routed(fit_params)
        epochs = _integer("epochs", routed.named["epochs"], 0)
        first = _integer("initial_epoch", routed.fit.get("initial_epoch", 0), 0)
        context = self._init_callback_context(max_subtasks=max(epochs - first, 0))
        context.call_on_fit_task_begin(estimator=self, X=data.x, y=data.y)
        try:
            brought = _validation.given(*watched)
            state = self._initial_state(routed, self._checked(*data), groups, brought, context)
            self._train(state, context)
            self._keep(state)
        finally:
            context.call_on_fit_task_end(estimator=self, X=data.x, y=data.y)
        return self

    def _initial_state(
        self, routed: Routed, data: Data, groups: Any, brought: Any, context: Any
    ) -> TrainingState:
        """Go the road from checked data to a state that is ready to train."""
        seeds = _seeds.draw(self.random_state)
        self._target = self._learn_target(data.y)
        train, watched = self._split(routed, data, groups, brought, seeds.split)
        self._refuse_fixed_validation(context, len(data.y), brought)
        routed.named["lr_schedule"] = schedules.resolve(
            routed.named["lr_schedule"], routed.parts.get("lr_schedule", {})
        )
        self.run_id_ = _runs.identify(context)
        live = self._live_callbacks(routed)
        built = _build.build(self._request(routed, train, seeds.weights))
        self._heads, self._logits = built.heads, built.logits
        scheduled = routed.named["lr_schedule"] is not None
        epochs = routed.named["epochs"]
        _monitors.check(
            live,
            watched=watched is not None,
            epochs=epochs,
            scheduled=scheduled,
            by_steps=_parts.holds_schedule(built.model.optimizer),
        )
        self.callbacks_ = live
        return self._state(routed, built.model, live, train, watched, seeds.order)

    def _state(
        self,
        routed: Routed,
        model: Any,
        live: dict[str, Any],
        train: Data,
        watched: Data | None,
        order_seed: int,
    ) -> TrainingState:
        import keras

        from skcb.engine import roads  # here, because TensorFlow loads with it

        engine = _engine(routed.named["engine"])
        verbose = _verbose(routed.fit.get("verbose", routed.named["verbose"]))
        road = roads.choose(model, live, engine=engine, verbose=verbose)
        self.engine_ = road.why
        train_rows = self._rows(train, routed.named.get("class_weight"))
        batch_size = _batch_size(
            "batch_size", routed.fit.get("batch_size", routed.named["batch_size"]), len(train_rows)
        )
        validation_batch_size = routed.fit.get("validation_batch_size") or batch_size
        min_lr, reduction = _monitors.lowest_rate(live)
        schedule = routed.named["lr_schedule"]
        ours = schedule is not None and not is_keras(schedule, "LearningRateSchedule")
        shuffle = _boolean("shuffle", routed.named["shuffle"])
        hooks = keras.callbacks.CallbackList(
            list(live.values()),
            add_history=True,
            add_progbar=verbose != 0,
            verbose=verbose,
            epochs=routed.named["epochs"],
            steps=-(-len(train_rows) // batch_size),
            model=model,
        )
        return TrainingState(
            model=model,
            steps=road.steps,
            by_batch=road.by_batch,
            callbacks=hooks,
            train=train_rows,
            watched=None if watched is None else self._rows(watched, None),
            epochs=int(routed.named["epochs"]),
            initial_epoch=int(routed.fit.get("initial_epoch", 0)),
            batch_size=batch_size,
            validation_batch_size=_integer("validation_batch_size", validation_batch_size, 1),
            validation_freq=_frequency(routed.fit.get("validation_freq", 1)),
            order=np.random.default_rng(order_seed) if shuffle else None,
            schedule=schedule if ours else None,
            learning_rate=loop.learning_rate(model),
            min_lr=min_lr,
            reduction=reduction,
            raise_on_nan=not _monitors.ends_on_nan(live),
        )

    def _train(self, state: TrainingState, context: Any) -> None:
        """Drain the epochs; each is a subtask for scikit-learn's callbacks."""
        steps = loop.epochs(state)
        while state.epoch < state.epochs and not state.stopped:
            task = context.subcontext(task_name="epoch")
            task.call_on_fit_task_begin(estimator=self)
            next(steps)
            asked_to_stop = task.call_on_fit_task_end(
                estimator=self,
                reconstruction_attributes=lambda: {"model_": state.model},
            )
            state.stopped = state.stopped or asked_to_stop
        loop.finish(state)

    def _keep(self, state: TrainingState) -> None:
        """Set what a fit leaves behind."""
        self.history_ = state.history
        self.n_iter_ = state.epoch - state.initial_epoch
        self.best_epoch_ = (
            _monitors.best_epoch(self.history_, self.callbacks_, state.watched_epochs)
            if self.n_iter_
            else 0
        )
        self.model_ = state.model
        self._predictor = _predictor(state.model, state.steps)

    # -- what the call and the parameters say ----------------------------------------------

    def _routed(self, fit_params: Mapping[str, Any]) -> Routed:
        """Say what each object is given in this fit; the call's own keywords win."""
        routed = self._route()
        for name, value in fit_params.items():
            if name not in FIT_NAMES:
                raise TypeError(
                    f"fit() got an unexpected argument {name!r}. {suggestion(name, FIT_NAMES)}"
                )
            if name in routed.named:
                routed.named[name] = value
                routed.given.add(name)
            else:
                refuse_unsupported(name, value)
            routed.fit[name] = value
        for name in ("sample_weight", "validation_data"):
            if name in routed.fit:
                raise ValueError(f"`{name}` is data: give it to `fit`, not to the estimator.")
        return routed

    def _route(self) -> Routed:
        defaults = self._named()
        named = {name: getattr(self, name) for name in defaults}
        accepts = self._build_accepts(self.build_fn)
        return route(named, defaults, self._sk_params, accepts)

    def _named(self) -> dict[str, Any]:
        """Return names and defaults of the signatures of all classes up to skcb's own."""
        names: dict[str, Any] = {}
        for cls in type(self).__mro__:
            if issubclass(cls, BaseKerasEstimator) and "__init__" in vars(cls):
                parameters = inspect.signature(cls.__init__).parameters.values()
                own = {p.name: p.default for p in parameters if p.kind in _BY_NAME}
                names = {**own, **names}
        names.pop("self", None)
        return names

    def _live_callbacks(self, routed: Routed) -> dict[str, Any]:
        """Build this fit's own Keras callbacks, under their names."""
        given = _callbacks.named(routed.named["callbacks"])
        if given:
            self._refuse_unknown(
                [f"callbacks__{name}" for name in routed.callbacks],
                [Judges(self.build_fn, routed.named["callbacks"])],
            )
        live = {}
        for name, callback in given.items():
            settings = dict(routed.callbacks.get(name, {}))
            callback = settings.pop("", callback)
            if callback is not None:
                where = f"callbacks__{name}"
                live[name] = _callbacks.build(
                    callback, settings, where=where, place=self._placed(where)
                )
        return live

    def _placed(self, where: str) -> Callable[[Any], str]:
        return lambda path: _runs.own_path(path, self.run_id_, cloned=self._cloned, where=where)

    def _request(self, routed: Routed, train: Data, seed: int) -> _build.Request:
        """Collect what building a model needs to know."""
        template = is_keras(self.build_fn, "Model")
        call = self._build_call() if not template else self.build_fn
        x = model_input(train.x)
        return _build.Request(
            build_fn=self.build_fn,
            call=call,
            accepts=self._build_accepts(self.build_fn),
            routed=routed,
            target=self._target,
            data_meta={
                "n_features_in_": self.n_features_in_,
                "X_shape_": train.x.shape,
                "X_dtype_": train.x.dtype,
            },
            params=self.get_params(deep=True),
            sample_x=taken(x, slice(0, _SAMPLE_ROWS)),
            encode=lambda heads: self._target.encode(train.y[:_SAMPLE_ROWS], heads),
            seed=seed,
        )

    def _build_call(self) -> Callable[..., Any]:
        call = self if self.build_fn is None else self.build_fn
        if not callable(call):
            raise TypeError(
                "`build_fn` must be a function that returns a keras.Model, an object with "
                "`__call__`, a keras.Model, or None in a subclass that implements `__call__`, but "
                f"got {self.build_fn!r}."
            )
        return call

    # -- data --------------------------------------------------------------------------------

    def _checked(self, X: Any, y: Any, sample_weight: Any, *, reset: bool = True) -> Data:
        """Check a set of rows as scikit-learn does."""
        X, y = validate_data(
            self,
            X,
            y,
            reset=reset,
            allow_nd=True,
            multi_output=not self._has_one_unit(),
            y_numeric=not is_classifier(self),
        )
        return Data(X, y, checked_weights(sample_weight, len(y)))

    def _learn_target(self, y: np.ndarray) -> Target:
        classes = getattr(self, "classes", None)
        target = Target.learn(y, classifier=is_classifier(self), classes=classes)
        if target.type_ == "multiclass" and self._has_one_unit():
            raise ValueError(
                "Only binary classification is supported. The type of the target is multiclass, "
                "and the model given as `build_fn` ends in one unit: pass one that ends in "
                f"{target.n_classes_}, or a function that builds what `meta` asks for."
            )
        if target.classes_ is not None:
            self.classes_, self.n_classes_ = target.classes_, target.n_classes_
        self.n_outputs_ = target.n_outputs_
        return target

    def _split(
        self, routed: Routed, data: Data, groups: Any, brought: Any, seed: int
    ) -> tuple[Data, Data | None]:
        """Say which rows train and which are watched."""
        if brought is not None:
            return data, self._checked(*brought, reset=False)
        if groups is not None and len(groups) != len(data.y):
            raise ValueError(f"`groups` has {len(groups)} values for {len(data.y)} rows.")
        train, watched = _validation.split(
            routed.named["validation_split"],
            data.x,
            data.y,
            stratify=is_classifier(self),
            groups=groups,
            seed=seed,
        )
        return some(data, train), None if watched is None else some(data, watched)

    def _refuse_fixed_validation(self, context: Any, n: int, brought: Any) -> None:
        """Warn where a search will have cut the watched rows like the training rows."""
        if brought is not None and context.parent is not None and len(brought[1]) == n:
            warnings.warn(
                "X_val has as many rows as X, and scikit-learn's searches cut every fit argument "
                "of that length like X: the watched rows are probably not those that were given.",
                TrainingWarning,
                stacklevel=2,
            )

    def _rows(self, data: Data, class_weight: Any) -> Rows:
        """Encode a set of rows for the model."""
        weight = data.weight
        if class_weight is not None:
            by_class = class_weights(class_weight, data.y, self.classes_)
            weight = by_class if weight is None else weight * by_class
        y = self._target.encode(data.y, self._heads)
        return Rows(model_input(data.x), y, None if weight is None else weight.astype(np.float32))

    # -- after fit ---------------------------------------------------------------------------

    def _outputs(self, X: Any, predict_params: Mapping[str, Any]) -> Any:
        """Return what the model puts out for some rows."""
        check_is_fitted(self)
        options = self._predict_options(predict_params)
        X = validate_data(self, X, reset=False, allow_nd=True)
        batch_size = _batch_size("batch_size", options.pop("batch_size"), len(X))
        with _keras.in_force(self._keras_settings):
            x = model_input(X)
            if any(options.values()):  # a progress bar or callbacks: Keras' own prediction
                return self.model_.predict(x, batch_size=batch_size, **options)
            predictor = self._predictor
            if predictor.model is not self.model_:  # the user put another model in its place
                predictor = _predictor(self.model_)
            return predictor.predict(x, batch_size)

    def _predict_options(self, predict_params: Mapping[str, Any]) -> dict[str, Any]:
        """Say which arguments ``Model.predict`` gets: call, prefixed name, plain name."""
        for name, value in predict_params.items():
            refuse_unsupported(name, value)
            if name not in PREDICT_NAMES:
                raise TypeError(
                    f"predict() got an unexpected argument {name!r}. "
                    + suggestion(name, PREDICT_NAMES)
                )
        routed = self._route()
        plain = {name: routed.named[name] for name in ("batch_size", "verbose")}
        return {**plain, **routed.predict, **predict_params}

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = dict(super().__getstate__())
        state.pop("_predictor", None)
        carried = _keras.taken_along(self._keras_settings)
        if carried is not None:  # first of all: what is unpickled next may import Keras
            state = {"_keras_loaded": _keras.Loaded(), **state, "_keras_settings": carried}
        if "callbacks_" in state:
            state["callbacks_"] = _callbacks.detached(state["callbacks_"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state.pop("_keras_loaded", None)
        super().__setstate__(state)
        if "model_" in state:
            self._predictor = _predictor(self.model_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = not self._has_one_unit()
        return tags

    def _has_one_unit(self) -> bool:
        """Tell whether a template puts out one number a row, whatever the target."""
        return is_keras(self.build_fn, "Model") and _templates.has_one_unit(self.build_fn)


def _predictor(model: Any, trained_by: Any = None) -> Any:
    """Return what predicts with a trained model."""
    from skcb.engine import roads  # here, because TensorFlow loads with it

    return roads.for_prediction(model, trained_by)


def _integer(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"`{name}` must be an integer of at least {least} but got {value!r}.")
    return int(value)


def _frequency(value: Any) -> Any:
    """Check ``validation_freq``: every so many epochs, or a list of epochs counted from 1."""
    if isinstance(value, list | tuple | set):
        return [_integer("validation_freq", epoch, 1) for epoch in value]
    return _integer("validation_freq", value, 1)


def _batch_size(name: str, value: Any, n: int) -> int:
    """Resolve a batch size: None is Keras' 32, -1 all rows."""
    if value is None:
        return 32
    if isinstance(value, numbers.Integral) and value == -1:
        return max(n, 1)
    try:
        return _integer(name, value, 1)
    except ValueError as error:
        raise ValueError(
            f"`{name}` must be a positive integer, -1 (all rows) or None (32) but got {value!r}."
        ) from error


def _engine(value: Any) -> str:
    if value not in ("auto", "keras"):
        raise ValueError(f"`engine` must be 'auto' or 'keras' but got {value!r}.")
    return str(value)


def _boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"`{name}` must be True or False but got {value!r}.")
    return bool(value)


def _verbose(value: Any) -> Any:
    if value == "auto":
        return 1
    if value not in (0, 1, 2):
        raise ValueError(f"`verbose` must be 0, 1, 2 or 'auto' but got {value!r}.")
    return int(value)
