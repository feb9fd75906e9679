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
from scipy.sparse import issparse
from sklearn.base import is_classifier
from sklearn.utils import check_X_y
from sklearn.utils.validation import validate_data

from skcb import _build, _callbacks, _inputs, _judged, _runs, _validation
from skcb._completion import SAMPLE_ROWS
from skcb._data import (
    Data,
    as_numbers,
    checked_weights,
    class_weights,
    loss_weights,
    model_input,
    n_rows,
    some,
    some_rows,
    with_plain_integers,
)
from skcb._heads import Head
from skcb._names import FIT_NAMES, is_keras, suggestion
from skcb._params import Judges, ParametersMixin
from skcb._routing import Routed, refuse_unsupported, route
from skcb._targets import Target
from skcb.engine.feed import Feed
from skcb.engine.state import Rows, taken
from skcb.exceptions import TrainingWarning
from skcb.tunable import same

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class PreparationMixin(ParametersMixin):
    """From parameters and data to the parts of a fit."""

    inputs: Any = None
    allow_nan: bool = False
    validation_split: Any
    run_id_: str
    n_features_in_: int
    _target: Target
    _heads: list[Head]
    _inputs: _inputs.Inputs | None = None
    _row_shape: tuple[int, ...] | None = None

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

    def _request(self, routed: Routed, train: Data | Feed, seed: int) -> _build.Request:
        """Collect what building a model needs to know."""
        template = is_keras(self.build_fn, "Model")
        call = self._build_call() if not template else self.build_fn
        sample, meta, encode = self._sample(train)
        return _build.Request(
            build_fn=self.build_fn,
            call=call,
            accepts=self._build_accepts(self.build_fn),
            routed=routed,
            target=self._target,
            data_meta={"n_features_in_": getattr(self, "n_features_in_", None), **meta},
            params=self.get_params(deep=True),
            sample_x=sample,
            encode=encode,
            seed=seed,
        )

    def _sample(self, train: Data | Feed) -> tuple[Any, dict[str, Any], Callable[..., Any]]:
        """Return some rows for the model, what is known of X, and what encodes their targets."""
        first = slice(0, SAMPLE_ROWS)
        if isinstance(train, Feed):
            x, y = train.batch(first)[:2]
            return x, _x_meta(None, x), lambda heads: y
        x = taken(self._model_input(some_rows(train.x, first)), first)
        if self._inputs is None:
            meta = {"X_shape_": train.x.shape, "X_dtype_": train.x.dtype}
        else:
            meta = _x_meta(train.x.shape[0], x)
        return x, meta, lambda heads: taken(self._target.encode(train.y[first], heads), first)

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
        of_y = {
            "multi_output": not self._has_one_unit(),
            "y_numeric": not is_classifier(self),
        }
        if reset:
            self._inputs = None
        X = with_plain_integers(X)
        if self.inputs is None:
            X, y = validate_data(self, X, y, reset=reset, **self._checks(), **of_y)
            X = self._checked_rows(X, reset=reset)
        else:
            X = self._checked_table(X, reset=reset)
            first = next(iter(self._cut(X).values()))
            _, y = check_X_y(first, y, **self._checks(), **of_y, estimator=self)
        y = y.toarray() if issparse(y) else y
        return Data(X, y, checked_weights(sample_weight, len(y)))

    def _checked_x(self, X: Any) -> Any:
        """Check rows to predict."""
        X = with_plain_integers(X)
        if self._inputs is None:
            X = validate_data(self, X, reset=False, **self._checks())
            return self._checked_rows(X, reset=False)
        return self._checked_table(X, reset=False)

    def _checked_rows(self, X: Any, *, reset: bool) -> Any:
        """Check of rows what scikit-learn leaves open: objects, and the shape of a row."""
        self._check_shape(X, reset=reset)
        return as_numbers(X, **self._checks(), estimator=self, input_name="X")

    def _check_shape(self, X: Any, *, reset: bool) -> None:
        """Refuse rows of another shape; scikit-learn compares the first dimension alone."""
        if reset:
            self._row_shape = X.shape[1:]
        elif self._row_shape is not None and self._row_shape != X.shape[1:]:
            raise ValueError(
                f"X has rows of the shape {X.shape[1:]}, but {type(self).__name__} is expecting "
                f"{self._row_shape} as input."
            )

    def _checked_table(self, X: Any, *, reset: bool) -> Any:
        """Check the names and the number of a table's columns, and find those of each input."""
        X = _inputs.table(X)
        X = validate_data(self, X, reset=reset, skip_check_array=True)
        self._check_shape(X, reset=reset)
        if reset:
            names = getattr(self, "feature_names_in_", None)
            self._inputs = _inputs.Inputs.learn(self.inputs, X, names, **self._cut_checks())
        return X

    def _checks(self) -> dict[str, Any]:
        return {"accept_sparse": "csr", "allow_nd": True, **self._finite()}

    def _finite(self) -> dict[str, Any]:
        return {"ensure_all_finite": not _judged.boolean("allow_nan", self.allow_nan)}

    def _model_input(self, x: Any) -> Any:
        """Return checked rows as the model takes them: an array, or one for each input."""
        return model_input(x) if self._inputs is None else self._cut(x)

    def _cut(self, X: Any) -> dict[str, Any]:
        assert self._inputs is not None
        return self._inputs.cut(X, **self._cut_checks())

    def _cut_checks(self) -> dict[str, Any]:
        return {"estimator": self, "input_name": "X", **self._finite()}

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
        self,
        routed: Routed,
        data: Data,
        groups: Any,
        brought: tuple[Any, Any, Any, Any],
        seed: int,
        context: Any,
    ) -> tuple[Data, Data | None]:
        """Say which rows train and which are watched."""
        shown = _validation.given(*brought)
        if shown is not None:
            self._warn_of_cut_rows(context, n_rows(data.y), brought)
            return data, self._checked(*shown, reset=False)
        n = n_rows(data.y)
        if groups is not None and len(groups) != n:
            raise ValueError(f"`groups` has {len(groups)} values for {n} rows.")
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
        """Warn where a search will have cut the watched rows like the training rows.

        It passes ``validation_data`` whole, which is a tuple of another length.
        """
        y_val = brought[1]
        if context.parent is not None and y_val is not None and n_rows(y_val) == n:
            warnings.warn(
                "X_val has as many rows as X, and scikit-learn's searches cut every fit argument "
                "of that length like X: the watched rows are probably not those that were given.",
                TrainingWarning,
                stacklevel=2,
            )

    def _both_rows(
        self, routed: Routed, train: Data | Feed, watched: Data | Feed | None
    ) -> tuple[Rows | Feed, Rows | Feed | None]:
        """Encode the rows that train, with class weights, and those that are watched."""
        by_class = routed.named.get("class_weight")
        return (
            self._rows(train, "training rows", by_class) if isinstance(train, Data) else train,
            self._rows(watched, "watched rows") if isinstance(watched, Data) else watched,
        )

    def _rows(self, data: Data, called: str, class_weight: Any = None) -> Rows:
        """Encode a set of rows for the model."""
        by_class = None
        if class_weight is not None:
            by_class = class_weights(class_weight, data.y, self.classes_)
        y = self._target.encode(data.y, self._heads)
        x = self._model_input(data.x)
        return Rows(x, y, loss_weights(data.weight, by_class, called))


def _x_meta(n: int | None, x: Any) -> dict[str, Any]:
    """Return shape and dtype of X, or of each of several inputs."""
    if isinstance(x, dict):
        each = {name: _x_meta(n, part) for name, part in x.items()}
        return {key: {name: m[key] for name, m in each.items()} for key in ("X_shape_", "X_dtype_")}
    return {"X_shape_": (n, *x.shape[1:]), "X_dtype_": x.dtype}
