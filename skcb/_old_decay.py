"""The decay that Keras 2's optimizers had: lr / (1 + decay * iterations).

Owns what ``optimizer__decay`` does, the one horizon of skcb's that is counted in optimizer steps.
Leaves its warning to ``_spellings``, and horizons in epochs to ``schedules``.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

from skcb import _spellings


def taken_out(cls: Any, settings: Mapping[str, Any], where: str) -> tuple[dict[str, Any], float]:
    """Return an optimizer's settings without the decay, and the decay; 0 where there is none.

    Parameters
    ----------
    cls : class or function
        What makes the optimizer; a ``decay`` in its signature is its own.
    settings : mapping of str to object
    where : str
        Full name of the parameter, for messages.

    Raises
    ------
    ValueError
        The decay is no number of at least 0.
    """
    rest = dict(settings)
    if "decay" not in rest or _spellings.of_class("optimizer", "decay", cls) is None:
        return rest, 0.0
    decay = rest.pop("decay")
    is_number = isinstance(decay, numbers.Real) and not isinstance(decay, bool)
    if not (is_number and math.isfinite(decay) and decay >= 0):
        raise ValueError(f"`{where}__decay` must be a number of at least 0 but got {decay!r}.")
    return rest, float(decay)


def put_in(optimizer: Any, decay: float, where: str) -> None:
    """Give an optimizer the decay.

    Raises
    ------
    ValueError
        Its learning rate is a schedule object already.
    """
    import keras

    if not isinstance(optimizer.learning_rate, keras.Variable):
        raise ValueError(
            f"`{where}__decay={decay!r}` and the optimizer's own schedule object both set the "
            "learning rate: give one of them."
        )
    rate = float(optimizer.learning_rate)
    optimizer.learning_rate = keras.optimizers.schedules.InverseTimeDecay(rate, 1, decay)
