"""The road through ``fit`` and ``partial_fit``, a step at a time.

Owns the order of the steps and the fitted attributes. Leaves what a fit is made of to
``_preparation``, every step to the module that owns it, and predictions to ``_predicting``.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    get_routing_for_object,
)

from skcb import (
    _build,
    _callbacks,
    _inputs,
    _judged,
    _keras,
    _lending,
    _monitors,
    _parts,
    _pending,
    _portable,
    _resuming,
    _runs,
    _seeds,
    _templates,
    _versions,
    schedules,
)
from skcb._clock import Clock, OutOfTime
from skcb._data import Data
from skcb._feeding import FeedingMixin, Steps, refuse_pieces, steps_of
from skcb._names import is_keras
from skcb._predicting import PredictingMixin, predictor_of
from skcb._routing import Routed
from skcb._running import Running, carry_over, give_more_time, show, thaw
from skcb.engine import loop
from skcb.engine.feed import Feed, is_dataset
from skcb.engine.state import TrainingState
from skcb.exceptions import TrainingWarning

Watched = tuple[Any, Any, Any, Any]
"""``X_val``, ``y_val``, ``sample_weight_val`` and ``validation_data`` of a call."""


class BaseKerasEstimator(CallbackSupportMixin, FeedingMixin, PredictingMixin, BaseEstimator):
    """What classifier and regressor share; see there for parameters and attributes."""

    _running: Running | None = None

    def get_metadata_routing(self) -> MetadataRouter:
        """Say which metadata are taken, and which a splitter in ``validation_split`` takes.

        Returns
        -------
        MetadataRouter
        """
        own = self._get_metadata_request()
        router = MetadataRouter(owner=self)
        if _routes(self.validation_split):
            asked = get_routing_for_object(self.validation_split).split.requests.get("groups")
            if own.fit.requests["groups"] is None:  # the user left it to the splitter
                own.fit.add_request(param="groups", alias=asked)
            to_split = MethodMapping().add(caller="fit", callee="split")
            router.add(validation_split=self.validation_split, method_mapping=to_split)
        return router.add_self_request(own)

    @with_callbacks
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
        validation_data: Any = None,
        **fit_params: Any,
    ) -> Self:
        """Build a model and train it.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, ...), or dataset
            Training data. A ``tf.data.Dataset``, a ``keras.utils.PyDataset`` or a generator makes
            batches of (x, y) or (x, y, sample_weight), y as the loss takes it.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets, in the user's own labels; left out where X is a dataset.
        sample_weight : array-like of shape (n_samples,), optional
            Weights as Keras takes them: weight 0 adds nothing to the loss, but the row counts in
            the batch mean and in BatchNormalization.
        groups : array-like of shape (n_samples,), optional
            For a splitter given as ``validation_split``.
        X_val, y_val, sample_weight_val : array-like, optional
            Watched rows; they win over ``validation_split``.
        validation_data : tuple of (X, y) or (X, y, sample_weight), or dataset, optional
            Watched rows, in Keras' spelling; a dataset only where X is one.
        **fit_params : object
            Arguments of ``Model.fit``; they win over those of the estimator. For a dataset,
            ``steps_per_epoch`` and ``validation_steps`` too.

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
        refuse_pieces(X, y)
        steps = steps_of(fit_params) if is_dataset(X) else None
        groups = self._groups(groups, fit_params)
        # A fit that fails leaves no half-fitted estimator behind.
        earlier = self.__dict__.pop("model_", None)
        if not _judged.boolean("warm_start", self.warm_start):
            earlier = None
        self._running = None
        with Clock() as clock, _keras.in_force(self._keras_settings):
            return self._fit(
                Data(X, y, sample_weight),
                groups,
                (X_val, y_val, sample_weight_val, validation_data),
                self._routed(fit_params),
                earlier,
                steps,
                clock,
            )

    def _fit(
        self,
        data: Data,
        groups: Any,
        watched: Watched,
        routed: Routed,
        earlier: Any,
        steps: Steps | None,
        clock: Clock,
    ) -> Self:
        """Go the whole road, as a task of scikit-learn's callbacks."""
        epochs, first = _judged.epochs_of(routed)
        context = self._init_callback_context(max_subtasks=max(epochs - first, 0))
        X, y = data.x, data.y
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        ask, handed_out = _pending.Ask(), False
        try:
            seeds = _seeds.draw(self.random_state)
            before = getattr(self, "classes_", None) if earlier is not None else None
            train: Any
            shown: Any
            if steps is not None:
                others = {"y": y, "sample_weight": data.weight, "groups": groups}
                train, shown = self._fed(X, steps, routed, watched, others)
            else:
                data = self._checked(*data)
                self._learn_target(data.y, before=before)
                train, shown = self._split(routed, data, groups, watched, seeds.split, context)
            state = self._initial_state(
                routed, train, shown, seeds, context, earlier, clock, resumable=True
            )
            handed_out = ask.hand_out(self, state, train, shown)
            if not handed_out:
                self._train(state, context)
        finally:
            ask.end()
            if not handed_out:  # else whoever trains it ends it
                _lending.take_back(getattr(self, "callbacks_", {}))
            context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    @with_callbacks
    def partial_fit(
        self,
        X: Any,
        y: Any,
        *,
        classes: Any = None,
        sample_weight: Any = None,
        groups: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        validation_data: Any = None,
        **fit_params: Any,
    ) -> Self:
        """Train one more epoch.

        After k calls on the same data the estimator is what ``fit`` would be, had it been stopped
        at the end of epoch k: weights, history, learning rates and callbacks included. Callbacks
        begin once and go on from call to call; once one of them has stopped training, further
        calls do nothing. Fractions of training are fractions of ``epochs``; beyond it the last
        learning rate holds. Parameters of the model, the optimizer and the callbacks are those of
        the first call; after a ``fit``, training goes on from its model.

        Parameters
        ----------
        X : array-like of shape (n_samples, ...)
            Training data; may be other rows than before.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        classes : array-like, optional
            All labels that there will be, in the first call of a classifier; without it, those of
            the first ``y``.
        sample_weight, groups, X_val, y_val, sample_weight_val, validation_data : optional
            As in :meth:`fit`.
        **fit_params : object
            Arguments of ``Model.fit``.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            As in :meth:`fit`; also labels that the first call did not know, or another number of
            columns.
        """
        if is_dataset(X):
            raise ValueError(
                "X is a dataset: `partial_fit` takes arrays, `fit` takes datasets too."
            )
        refuse_pieces(X, y)
        watched = (X_val, y_val, sample_weight_val, validation_data)
        groups = self._groups(groups, fit_params)
        with _keras.in_force(self._keras_settings):
            routed = self._routed(fit_params)
            context = self._init_callback_context(max_subtasks=1)
            context.call_on_fit_task_begin(estimator=self, X=X, y=y)
            try:
                data = Data(X, y, sample_weight)
                running = self._running or Running(_seeds.draw(self.random_state))
                with running.clock:
                    self._partial_fit(running, data, classes, groups, watched, routed, context)
            finally:
                _lending.take_back(getattr(self, "callbacks_", {}))
                context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def _partial_fit(
        self,
        running: Running,
        data: Data,
        classes: Any,
        groups: Any,
        watched: Watched,
        routed: Routed,
        context: Any,
    ) -> None:
        """Advance the running state by an epoch, and show where it is."""
        begins = self._running is None
        data = self._checked(*data, reset=begins and not hasattr(self, "model_"))
        if begins and not hasattr(self, "model_"):
            self._learn_target(data.y, classes=classes)
        elif classes is not None:
            self._target.refuse_other(classes)
        train, rows = self._split(routed, data, groups, watched, running.seeds.split, context)
        if begins:
            earlier = getattr(self, "model_", None)
            running.state = self._initial_state(
                routed, train, rows, running.seeds, context, earlier, running.clock, resumable=False
            )
        else:
            running.state = self._continued_state(running, routed, train, rows)
        self._running = running
        if running.state.stopped:
            self._tell_stopped(running)
            return
        running.told = False
        loop.advance(running.state)
        if running.shown is None:
            running.shown = _build.build(self._request(routed, train, running.seeds.weights)).model
        show(running.state, self.callbacks_, running.shown)
        self._keep(running.state, running.shown)

    def _tell_stopped(self, running: Running) -> None:
        """Say once that training is over."""
        if not running.told:
            warnings.warn(
                f"training was stopped in epoch {self.n_iter_} by `{self.stopped_by_}`, so "
                "`partial_fit` does nothing; `fit` starts anew.",
                TrainingWarning,
                stacklevel=4,
            )
        running.told = True

    # -- states ------------------------------------------------------------------------------

    def _initial_state(
        self,
        routed: Routed,
        train: Any,
        watched: Any,
        seeds: _seeds.Seeds,
        context: Any,
        earlier: Any,
        clock: Clock,
        *,
        resumable: bool,
    ) -> TrainingState:
        """Go the road from checked rows to a state that is ready to train."""
        self._resolve_schedule(routed)
        self.run_id_ = _runs.identify(context)
        who = functools.cache(lambda: _resuming.identity(self, routed, train, watched))
        live = self._live_callbacks(routed, lambda: _resuming.place(who()))
        self.callbacks_ = live
        built = _build.build(self._request(routed, train, seeds.weights))
        if self._inputs is not None:
            _inputs.refuse_others(built.model, self._inputs.columns)
        self._heads, self._logits = built.heads, built.logits
        if earlier is not None:
            carry_over(earlier, built.model)
        backup = _resuming.claim(live, who, built.model, resumable=resumable)
        _monitors.check(
            live,
            watched=watched is not None,
            epochs=routed.named["epochs"],
            scheduled=routed.named["lr_schedule"] is not None,
            by_steps=_parts.holds_schedule(built.model.optimizer),
            model=built.model,
        )
        state = self._state(routed, built.model, live, train, watched, seeds.order)
        state.backup, state.clock = backup, clock
        return state

    def _continued_state(
        self, running: Running, routed: Routed, train: Data, watched: Data | None
    ) -> TrainingState:
        """Return the running state, on the rows of this call."""
        self._resolve_schedule(routed)
        if running.state is None:  # it comes from a pickle
            frozen: Any = running.frozen
            model = _build.build(self._request(routed, train, running.seeds.weights)).model
            self.callbacks_ = live = dict(frozen["callbacks"])
            state = self._state(routed, model, live, train, watched, running.seeds.order)
            state.clock = running.clock
            thaw(frozen, state)
            give_more_time(state)
            return state
        state = running.state
        state.steps.drop_rows()
        state.train, state.watched = self._both_rows(routed, train, watched)
        judged = _judged.judge(routed, len(state.train))
        state.batch_size, state.epochs = judged.batch_size, judged.epochs
        state.max_time = judged.max_time
        give_more_time(state)
        _lending.lend(self, state, self.callbacks_, train, watched)
        return state

    def _state(
        self,
        routed: Routed,
        model: Any,
        live: dict[str, Any],
        train: Data | Feed,
        watched: Data | Feed | None,
        order_seed: int,
    ) -> TrainingState:
        """Put the parts of a fit together."""
        from skcb.engine import hooks, roads  # here, because TensorFlow loads with them

        train_rows, watched_rows = self._both_rows(routed, train, watched)
        judged = _judged.judge(routed, len(train_rows))
        fed = isinstance(train_rows, Feed)
        if fed:  # whose batches are its rows
            judged = judged._replace(batch_size=1)
        road = roads.choose(
            model,
            live,
            engine=judged.engine,
            verbose=judged.verbose,
            sparse=train_rows.sparse,
            fed=fed,
        )
        self.engine_ = road.why
        min_lr, reduction = _monitors.lowest_rate(live)
        schedule = routed.named["lr_schedule"]
        ours = schedule is not None and not is_keras(schedule, "LearningRateSchedule")
        callbacks = hooks.Hooks(
            live,
            model,
            order=_lending.in_order(live),
            add_progbar=judged.verbose != 0,
            verbose=judged.verbose,
            epochs=judged.epochs,
            steps=-(-len(train_rows) // judged.batch_size) or None,
        )
        state = TrainingState(
            model=model,
            steps=road.steps,
            by_batch=road.by_batch,
            callbacks=callbacks,
            train=train_rows,
            watched=watched_rows,
            epochs=judged.epochs,
            max_time=judged.max_time,
            initial_epoch=judged.initial_epoch,
            batch_size=judged.batch_size,
            validation_batch_size=judged.validation_batch_size,
            validation_freq=judged.validation_freq,
            order=np.random.default_rng(order_seed) if judged.shuffle else None,
            schedule=schedule if ours else None,
            learning_rate=loop.learning_rate(model),
            min_lr=min_lr,
            reduction=reduction,
            raise_on_nan=not _monitors.ends_on_nan(live),
        )
        self._lend(state, live, train, watched)
        return state

    def _lend(self, state: TrainingState, live: dict[str, Any], train: Any, watched: Any) -> None:
        """Lend the callbacks the rows, which a dataset has none of."""
        rows = [each if isinstance(each, Data) else None for each in (train, watched)]
        _lending.lend(self, state, live, *rows)

    def _resolve_schedule(self, routed: Routed) -> None:
        settings = routed.parts.get("lr_schedule", {})
        routed.named["lr_schedule"] = schedules.resolve(routed.named["lr_schedule"], settings)

    # -- training ----------------------------------------------------------------------------

    def _train(self, state: TrainingState, context: Any) -> None:
        """Drain the epochs, each a subtask of scikit-learn's, and keep what they leave behind.

        An interrupt from the keyboard comes through, as does the end of the time that somebody
        around this fit has, but what was trained until then is kept.
        """
        try:
            self._drain(state, context)
        except (KeyboardInterrupt, OutOfTime) as end:
            if state.learning_rates:
                if state.backup is not None:
                    state.backup.interrupted()
                loop.finish(state, "timeout" if isinstance(end, OutOfTime) else type(end).__name__)
                self._keep(state, state.model)
            raise
        loop.finish(state)
        self._keep(state, state.model)

    def _drain(self, state: TrainingState, context: Any) -> None:
        steps = loop.epochs(state)
        loop.begin(state)  # which may restore a state that is at its end
        while state.epoch < state.epochs and not state.stopped:
            task = context.subcontext(task_name="epoch")
            task.call_on_fit_task_begin(estimator=self)
            next(steps)
            asked_to_stop = task.call_on_fit_task_end(
                estimator=self,
                reconstruction_attributes=lambda: {
                    "model_": state.model,
                    "_predictor": predictor_of(state.model, state.steps),
                },
            )
            if asked_to_stop:
                loop.stop(state, "set_callbacks")

    def _keep(self, state: TrainingState, model: Any) -> None:
        """Set what a fit leaves behind."""
        self.history_ = state.history
        self.n_iter_ = state.epoch - state.initial_epoch
        self.stopped_by_ = state.stopped_by
        self.best_epoch_ = (
            _monitors.best_epoch(self.history_, self.callbacks_, state.watched_epochs)
            if self.n_iter_
            else 0
        )
        self.model_ = model
        self._predictor = predictor_of(model, state.steps if model is state.model else None)

    # -- after fit ---------------------------------------------------------------------------

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __copy__(self) -> Self:
        """Return an estimator that shares everything with this one; by a pickle it could not."""
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        return new

    def __getstate__(self) -> dict[str, Any]:
        state = {name: _portable.portable(part) for name, part in super().__getstate__().items()}
        state.pop("_predictor", None)
        carried = _keras.taken_along(self._keras_settings)
        if carried is not None:
            state["_keras_settings"] = carried
        first = {"_arrival": _keras.Arrival(), "_skcb_version": _versions.here()}
        state = {**first, **state}
        if "callbacks_" in state:
            model = self.__dict__.get("model_")
            state["callbacks_"] = _callbacks.packed(state["callbacks_"], model)
        if self._running is not None and "model_" in state:
            state["_running"] = self._running.beside(self.model_)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state.pop("_arrival", None)
        _versions.refuse_newer(state.pop("_skcb_version", ""))
        super().__setstate__(state)
        if "model_" in state:
            self._predictor = predictor_of(self.model_)
            if self._running is not None:
                self._running.complete(self.model_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self.allow_nan is True
        tags.target_tags.multi_output = not self._has_one_unit()
        return tags

    def _has_one_unit(self) -> bool:
        """Tell whether a template puts out one number a row, whatever the target."""
        return is_keras(self.build_fn, "Model") and _templates.has_one_unit(self.build_fn)


def _routes(splitter: Any) -> bool:
    return hasattr(splitter, "get_metadata_routing") and not isinstance(splitter, type)
