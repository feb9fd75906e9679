"""Preparation: what a fit is made of, before anything is trained.

Owns the reading of the call and of the parameters, the checks of the data, the split and the
live callbacks. Leaves the order of these steps, and the training, to ``_base``.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import validate_data

from skcb import _build, _callbacks, _runs, _validation
from skcb._completion import SAMPLE_ROWS
from skcb._data import Data, checked_weights, class_weights, model_input, some
from skcb._heads import Head
from skcb._names import FIT_NAMES, is_keras, suggestion
from skcb._params import Judges, ParametersMixin
from skcb._routing import Routed, refuse_unsupported, route
from skcb._targets import Target
from skcb.engine.state import Rows, taken
from skcb.exceptions import TrainingWarning
from skcb.tunable import same

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class PreparationMixin(ParametersMixin):
    """From parameters and data to the parts of a fit."""

    validation_split: Any
    run_id_: str
    n_features_in_: int
    _target: Target
    _heads: list[Head]

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

    def _groups(self, groups: Any, fit_params: dict[str, Any]) -> Any:
        """Return the groups, taken from under the name by which the splitter asks for them."""
        splitter = self.validation_split
        if hasattr(splitter, "get_metadata_routing") and not isinstance(splitter, type):
            alias = splitter.get_metadata_routing().split.requests.get("groups")
            if isinstance(alias, str):
                return fit_params.pop(alias, groups)
        return groups

    def _route(self) -> Routed:
        defaults = self._named()
        named = {name: getattr(self, name) for name in defaults}
        accepts = self._build_accepts(self.build_fn)
        return route(named, defaults, self._sk_params, accepts)

    def _named(self) -> dict[str, Any]:
        """Return names and defaults of the signatures of all classes up to skcb's own."""
        names: dict[str, Any] = {}
        for cls in type(self).__mro__:
            if issubclass(cls, ParametersMixin) and "__init__" in vars(cls):
                parameters = inspect.signature(cls.__init__).parameters.values()
                own = {p.name: p.default for p in parameters if p.kind in _BY_NAME}
                names = {**own, **names}
        names.pop("self", None)
        return names

    def _live_callbacks(self, routed: Routed, found_again: Callable[[], str]) -> dict[str, Any]:
        """Build this fit's own Keras callbacks, under their names.

        ``found_again`` names the directory of a backup, as the next run will name it.
        """
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
                run = found_again() if _callbacks.backs_up(callback) else self.run_id_
                live[name] = _callbacks.build(
                    callback, settings, where=where, place=self._placed(where, run)
                )
        return live

    def _placed(self, where: str, run: str) -> Callable[[Any], str]:
        return lambda path: _runs.own_path(path, run, cloned=self._cloned, where=where)

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
            sample_x=taken(x, slice(0, SAMPLE_ROWS)),
            encode=lambda heads: self._target.encode(train.y[:SAMPLE_ROWS], heads),
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

    def _learn_target(self, y: np.ndarray, *, classes: Any = None, before: Any = None) -> None:
        """Learn what y is; ``before`` are the classes of a fit that this one goes on from."""
        classes = getattr(self, "classes", None) if classes is None else classes
        target = Target.learn(y, classifier=is_classifier(self), classes=classes)
        if target.type_ == "multiclass" and self._has_one_unit():
            raise ValueError(
                "Only binary classification is supported. The type of the target is multiclass, "
                "and the model given as `build_fn` ends in one unit: pass one that ends in "
                f"{target.n_classes_}, or a function that builds what `meta` asks for."
            )
        if target.classes_ is not None:
            self.classes_, self.n_classes_ = target.classes_, target.n_classes_
        if before is not None and not same(before, target.classes_):
            raise ValueError(
                "warm_start can only be used where `classes_` is the same as in the previous call "
                f"to fit. Previously got {before}, `y` has {target.classes_}."
            )
        self.n_outputs_ = target.n_outputs_
        self._target = target

    def _split(
        self, routed: Routed, data: Data, groups: Any, brought: Any, seed: int, context: Any
    ) -> tuple[Data, Data | None]:
        """Say which rows train and which are watched."""
        if brought is not None:
            self._warn_of_cut_rows(context, len(data.y), brought)
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

    def _warn_of_cut_rows(self, context: Any, n: int, brought: Any) -> None:
        """Warn where a search will have cut the watched rows like the training rows."""
        if context.parent is not None and len(brought[1]) == n:
            warnings.warn(
                "X_val has as many rows as X, and scikit-learn's searches cut every fit argument "
                "of that length like X: the watched rows are probably not those that were given.",
                TrainingWarning,
                stacklevel=2,
            )

    def _both_rows(
        self, routed: Routed, train: Data, watched: Data | None
    ) -> tuple[Rows, Rows | None]:
        """Encode the rows that train, with class weights, and those that are watched."""
        class_weight = routed.named.get("class_weight")
        shown = None if watched is None else self._rows(watched, None)
        return self._rows(train, class_weight), shown

    def _rows(self, data: Data, class_weight: Any) -> Rows:
        """Encode a set of rows for the model."""
        weight = data.weight
        if class_weight is not None:
            by_class = class_weights(class_weight, data.y, self.classes_)
            weight = by_class if weight is None else weight * by_class
        y = self._target.encode(data.y, self._heads)
        return Rows(model_input(data.x), y, None if weight is None else weight.astype(np.float32))
