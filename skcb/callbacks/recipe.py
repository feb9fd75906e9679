"""What every recipe for a callback of Keras' has in common.

Owns the way from arguments to Keras' callback: names, values, the class. Leaves which arguments
there are to the modules of recipes beside it, and what else a user may give as a callback to
``_callbacks``.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

import numpy as np

from skcb._names import accepted
from skcb.callbacks.ranges import Ranges
from skcb.tunable import Recipe, construct, same, unknown_setting


class CallbackRecipe(Recipe):
    """Base of the recipes whose class stands in ``keras.callbacks`` under the same name."""

    ALLOWED = Ranges()
    """What a value may be, by argument; Keras itself looks at few of them."""

    NEEDS = ("", "")
    """A package that is not among Keras' own needs: how it is installed, how imported."""

    def target(self) -> type:
        """Return Keras' class; this imports Keras."""
        import keras

        return getattr(keras.callbacks, type(self).__name__)

    def build(self, settings: Mapping[str, Any] | None = None, *, where: str = "") -> Any:
        """Build Keras' callback; see :meth:`skcb.tunable.Recipe.build`.

        Only what differs from the default is passed, so that an argument which the installed
        Keras does not have yet is missed only where it was given.

        Raises
        ------
        ImportError
            A package is missing that this callback needs.
        """
        legal = accepted(type(self))
        settings = {name: plain(value) for name, value in (settings or {}).items()}
        for name, value in settings.items():
            if not legal.takes(name.partition("__")[0]):
                raise unknown_setting(where, name, value, type(self), legal)
        arguments = {name: plain(value) for name, value in self.arguments().items()}
        self.ALLOWED.judge({**arguments, **settings}, where=where)
        package, module = self.NEEDS
        if module and importlib.util.find_spec(module) is None:
            raise ImportError(
                f"`{where}`: {type(self).__name__} needs the package {package}; install it."
            )
        given = {n: v for n, v in arguments.items() if not same(v, legal.defaults[n])}
        return self.construct(given, settings, where)

    def construct(self, given: Mapping[str, Any], settings: Mapping[str, Any], where: str) -> Any:
        """Call the class with what was given, the settings on top."""
        return construct(self.target(), given, settings, where=where)


def plain(value: Any) -> Any:
    """Return a number of NumPy's, which grids are full of, as Python's, which Keras asks for."""
    return value.item() if isinstance(value, np.generic) else value
