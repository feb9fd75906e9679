"""Parameters of the estimators: the signature, and the overlay of everything else.

Owns ``get_params``, ``set_params`` and ``clone``, and refuses at once the names that no choice
could make legal. An old spelling becomes the new one here, so that nothing behind it knows of the
two. Leaves what a name reaches to ``_routing``, and values to ``fit``.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

from sklearn.base import BaseEstimator, clone

from skcb import _callbacks, _keras, _metric_names, _spellings
from skcb._names import (
    BUILD_EXTRAS,
    KERAS_NAMES,
    PREFIXES,
    Accepted,
    accepted,
    grouped,
    is_keras,
    suggestion,
)
from skcb.tunable import Recipe, cloned, same


class Judges(NamedTuple):
    """What decides whether a name could ever be legal; by default nothing."""

    build_fn: Any = NotImplemented
    callbacks: Any = None


class ParametersMixin(BaseEstimator):
    """``get_params``, ``set_params`` and ``clone`` over a signature with ``**sk_params``.

    ``sk_params`` are kept as one private dict, the overlay: they win over the settings of the
    object that they are for, stay when it is replaced, and never change it.
    """

    build_fn: Any
    callbacks: Any
    _sk_params: dict[str, Any]
    _cloned: bool = False
    _keras_settings: _keras.Settings | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give ``__init__(..., **kwargs)`` of a subclass its parent's parameters too."""
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__.__signature__ = _merged_signature(cls)  # type: ignore[attr-defined]

    def _remember(self, sk_params: Mapping[str, Any]) -> None:
        """Keep the overlay of a constructor call."""
        old = any(_spellings.find("estimator", name) for name in sk_params)
        given = self._differing() if old else {}
        others = {k: v for k, v in self._renamed({**given, **sk_params}).items() if k not in given}
        for name in others.keys() & set(self._get_param_names()):
            setattr(self, name, others.pop(name))
        self._refuse_unknown(others, [Judges(self.build_fn, self.callbacks)])
        self._sk_params = others

    def _differing(self) -> dict[str, Any]:
        """Return the named parameters that are not at their default."""
        signature = inspect.signature(type(self).__init__).parameters
        values = {name: getattr(self, name, None) for name in self._get_param_names()}
        return {n: v for n, v in values.items() if not same(v, signature[n].default)}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters: the signature and what was given besides.

        Parameters
        ----------
        deep : bool, default=True
            Whether to add every name that can be reached: arguments of recipes, and the build
            function's own defaults.

        Returns
        -------
        dict of str to object
        """
        params = {name: getattr(self, name) for name in self._get_param_names()}
        params |= self._sk_params
        return {**self._reachable(), **params} if deep else params

    def set_params(self, **params: Any) -> Self:
        """Set parameters, all or none, in any order.

        Parameters
        ----------
        **params : object
            Names of the signature, or ``sk_params`` as in the constructor.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            A name that no choice could make legal, or one parameter by its old and its new
            spelling. Values are judged by ``fit``, and so are the
            arguments of a ``build_fn`` and the names of ``callbacks`` that this call sets: they
            are one choice of several where a search calls.
        """
        own = set(self._get_param_names())
        params = self._renamed(params)
        named = {name: value for name, value in params.items() if name in own}
        others = {name: value for name, value in params.items() if name not in own}
        kept = {k: getattr(self, k) for k in Judges._fields if k not in named}
        self._refuse_unknown(others, [Judges(**kept)])
        for name, value in named.items():
            setattr(self, name, value)
        self._sk_params = {**self._sk_params, **others}
        return self

    def __sklearn_clone__(self) -> Self:
        """Make an unfitted estimator that is equal by description.

        A template model is passed on as it is: every fit copies it. The rest is cloned as
        scikit-learn does.

        Raises
        ------
        TypeError
            A parameter that cannot be copied.
        """
        params = {k: _cloned(k, v) for k, v in self.get_params(deep=False).items()}
        own = set(self._get_param_names())
        new = type(self)(**{name: value for name, value in params.items() if name in own})
        new._sk_params = {name: value for name, value in params.items() if name not in own}
        new._cloned = True
        new._keras_settings = _keras.taken_along(getattr(self, "_keras_settings", None))
        # scikit-learn's own clone carries these over and there is no public way to ask it for
        # that alone (test_params.py notices if the names go).
        if hasattr(self, "_metadata_request"):
            new._metadata_request = clone(self._metadata_request)
        if hasattr(self, "_skl_callbacks"):
            new._skl_callbacks = self._skl_callbacks
        return new

    def _build_accepts(self, build_fn: Any) -> Accepted:
        """Read what a build function takes by keyword."""
        if build_fn is None:
            return accepted(self) if callable(self) else Accepted({}, readable=False)
        if is_keras(build_fn, "Model"):
            return Accepted({})
        return accepted(build_fn) if callable(build_fn) else Accepted({}, readable=False)

    def _renamed(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of a call, those of an old spelling under the new one."""
        owners = {n: getattr(self, n, None) for n in ("build_fn", "optimizer", "callbacks")}
        view = {**owners, **getattr(self, "_sk_params", {}), **params}
        return _spellings.renamed(params, lambda name: self._old_spelling(name, view))

    def _old_spelling(
        self, name: str, view: Mapping[str, Any]
    ) -> tuple[str, _spellings.Spelling] | None:
        """Return a name's prefix and meaning where it is an old spelling.

        A name in the signature of what it is for (build function, optimizer, callback) belongs to
        that; ``view`` are the parameters as they will stand.
        """
        head, delimiter, rest = name.partition("__")
        if not delimiter:
            row = _spellings.find("estimator", name)
            own = self._get_param_names() if row else []
            taken = row and (name in own or name in self._build_accepts(view["build_fn"]).defaults)
            return None if row is None or taken else ("", row)
        owner, prefix, cls = head, f"{head}__", None
        if head == "callbacks":
            callback, _, rest = rest.partition("__")
            prefix = f"callbacks__{callback}__"
            owner, cls = _callbacks.kind(callback, view)
        elif head == "optimizer" and not isinstance(view["optimizer"], str):
            cls = getattr(view["optimizer"], "cls", view["optimizer"])
        row = _spellings.of_class(owner, rest, cls)
        return row and (prefix, row)

    def _reachable(self) -> dict[str, Any]:
        """Return every name below the parameters that has a value to show."""
        below = grouped(self._sk_params)[1]
        found: dict[str, Any] = {}
        for name, default in self._build_accepts(self.build_fn).defaults.items():
            if name not in BUILD_EXTRAS and default is not inspect.Parameter.empty:
                if name not in below.get("model", {}):
                    found[name] = default
        for name in ("optimizer", "loss", "lr_schedule"):
            found |= _listed(name, getattr(self, name, None))
        found |= _metric_names.listed(getattr(self, "metrics", None))
        for name in _callbacks.names_of(self.callbacks) or []:
            if name not in below.get("callbacks", {}):
                callback = _callbacks.named(self.callbacks)[name]
                found |= {f"callbacks__{name}": callback, **_listed(f"callbacks__{name}", callback)}
        for name, value in self._sk_params.items():
            plain = "__" not in name and name not in KERAS_NAMES
            found |= _listed(f"model__{name}" if plain else name, value)
        return found

    def _refuse_unknown(self, names: Iterable[str], judges: list[Judges]) -> None:
        for name in names:
            problem = self._problem(name, judges)
            if problem is not None:
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {type(self).__name__}: {problem}"
                )

    def _problem(self, name: str, judges: list[Judges]) -> str | None:
        """Say what makes a name illegal whatever else is set, or None."""
        head, delimiter, rest = name.partition("__")
        if delimiter:
            if "" in name.split("__"):
                return "a part of it is empty."
            if head not in PREFIXES:
                return _unknown_prefix(head, rest, self._plain_names(judges))
            return _unknown_callback(rest, judges) if head == "callbacks" else None
        if name == "sk_params" or name in KERAS_NAMES or name in self._plain_names(judges):
            return None
        if any(self._build_accepts(judge.build_fn).takes(name) for judge in judges):
            return None
        legal = [*self._plain_names(judges), *KERAS_NAMES]
        return f"it reaches nothing. {suggestion(name, legal)}"

    def _plain_names(self, judges: list[Judges]) -> list[str]:
        accepts = [self._build_accepts(judge.build_fn) for judge in judges]
        build = {name for a in accepts for name in a.defaults if name not in BUILD_EXTRAS}
        return [*self._get_param_names(), *build]


def _unknown_prefix(head: str, rest: str, plain: list[str]) -> str:
    if head in plain:
        return f"`{head}` is a parameter itself; write `model__{head}__{rest}` to reach into it."
    return f"there is no prefix `{head}__`. {suggestion(head, PREFIXES, shown_as='{}__' + rest)}"


def _unknown_callback(rest: str, judges: list[Judges]) -> str | None:
    """Say that no callback has this name, where the names are known."""
    listed = [_callbacks.names_of(judge.callbacks) for judge in judges]
    if any(names is None for names in listed):
        return None
    known = {name for names in listed for name in names or []}
    name, delimiter, below = rest.partition("__")
    if name in known:
        return None
    shown_as = "callbacks__{}" + delimiter + below
    return f"there is no callback named {name!r}. {suggestion(name, known, shown_as=shown_as)}"


def _listed(prefix: str, value: Any) -> dict[str, Any]:
    """List a recipe's arguments under their full names."""
    if not isinstance(value, Recipe):
        return {}
    return {f"{prefix}__{name}": v for name, v in value.get_params().items()}


def _cloned(name: str, value: Any) -> Any:
    if name == "build_fn" and is_keras(value, "Model"):
        return value
    try:
        return cloned(value)
    except Exception as error:
        raise TypeError(
            f"`{name}={value!r:.80}` cannot be cloned: {error}. Where an object cannot be copied, "
            "give a recipe (`skcb.Tunable(cls, ...)`), which makes it in `fit`."
        ) from error


def _merged_signature(cls: type) -> inspect.Signature:
    """Return the signature of ``__init__``, with the parent's names in place of ``**kwargs``."""
    init = cls.__init__  # type: ignore[misc]
    own = inspect.signature(init)
    rest = [p for p in own.parameters.values() if p.kind is inspect.Parameter.VAR_KEYWORD]
    parent = next(vars(base)["__init__"] for base in cls.__mro__[1:] if "__init__" in vars(base))
    if not rest or parent is object.__init__:
        return own
    kept = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    names = {p.name for p in kept}
    inherited = [
        p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for p in inspect.signature(parent).parameters.values()
        if p.name not in names and p.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    return own.replace(parameters=[*kept, *inherited, *rest])
