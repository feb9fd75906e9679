"""Each recipe has the name, the arguments and the defaults of Keras' callback."""

import inspect

import keras
import pytest
from sklearn.base import clone

from skcb import callbacks
from skcb._names import accepted
from skcb.callbacks import CallbackRecipe, EarlyStopping

NEEDED = {"filepath": "a.keras", "filename": "a.csv", "schedule": abs}
CHANGED = {
    "ModelCheckpoint": {"save_best_only": True},
    "EarlyStopping": {"patience": 3, "restore_best_weights": True},
    "ReduceLROnPlateau": {"factor": 0.5, "min_lr": 1e-6},
    "LearningRateScheduler": {"verbose": 1},
    "CSVLogger": {"append": True},
    "TerminateOnNaN": {"raise_error": True},
}


def recipe(name, **changed):
    """Make the recipe of this name with what it needs and what is given."""
    cls = getattr(callbacks, name)
    needed = {n: NEEDED[n] for n in accepted(cls).required}
    return cls(**needed, **changed)


def arguments(cls):
    """Return names and defaults of a class' arguments, less `**kwargs`."""
    parameters = inspect.signature(cls).parameters.values()
    return [(p.name, p.default) for p in parameters if p.kind is not p.VAR_KEYWORD]


@pytest.mark.parametrize("name", callbacks.__all__)
def test_names_arguments_and_defaults_are_kerass(name):
    """A recipe can be written as its callback is, also by position."""
    assert arguments(getattr(callbacks, name)) == arguments(getattr(keras.callbacks, name))


@pytest.mark.parametrize("name", callbacks.__all__)
def test_a_recipe_builds_kerass_own_callback(name):
    """What is built is the class of `keras.callbacks`, with the arguments given."""
    live = recipe(name, **CHANGED[name]).build()
    assert type(live) is getattr(keras.callbacks, name)
    assert {n: getattr(live, n) for n in CHANGED[name]} == CHANGED[name]


@pytest.mark.parametrize("name", callbacks.__all__)
def test_an_argument_that_keras_does_not_have_is_refused(name):
    """Also by ReduceLROnPlateau, whose `**kwargs` in Keras swallow a typo."""
    with pytest.raises(TypeError, match="patienc"):
        recipe(name, patienc=3)
    with pytest.raises(ValueError, match="has no parameter `patienc`"):
        recipe(name).build({"patienc": 3})


@pytest.mark.parametrize("name", callbacks.__all__)
def test_recipes_are_equal_by_description_and_so_is_a_clone(name):
    """Equal arguments make equal recipes and hashes; one that differs does not."""
    one, other = recipe(name), recipe(name, **CHANGED[name])
    assert one == recipe(name) == clone(one)
    assert hash(one) == hash(recipe(name))
    assert one != other


def test_a_default_is_not_passed_on(monkeypatch):
    """An older Keras that lacks a new argument builds a recipe that leaves it alone."""

    class Older:
        def __init__(self, patience=0):
            self.patience = patience

    monkeypatch.setattr(CallbackRecipe, "target", lambda self: Older)
    assert EarlyStopping(patience=2).build().patience == 2
    with pytest.raises(ValueError, match="Older has no parameter `start_from_epoch`"):
        EarlyStopping(start_from_epoch=1).build()
