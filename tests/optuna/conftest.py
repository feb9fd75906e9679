"""Every test of a study: quiet, and with nothing counted yet."""

import optuna
import pytest

from tests.optuna.trials import Counts


@pytest.fixture(autouse=True)
def quiet():
    """Keep Optuna's lines off the screen, and what earlier tests counted out of this one."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    Counts.made.clear()
