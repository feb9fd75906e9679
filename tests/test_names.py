"""Names are those of Keras, signatures are read right, and a typo finds its nearest name."""

import functools
import inspect
import math

import keras
import pytest

from skcb._names import (
    COMPILE_NAMES,
    FIT_NAMES,
    PREDICT_NAMES,
    accepted,
    grouped,
    is_keras,
    nearest,
    suggestion,
)


def plain(a, b=2, *, c=3):
    """Stand for a build function."""


class Callable_:
    def __init__(self, x=1):
        pass

    def __call__(self, meta, hidden=3):
        pass


@pytest.mark.parametrize(
    "names, method, data",
    [
        (FIT_NAMES, keras.Model.fit, {"x", "y"}),
        (PREDICT_NAMES, keras.Model.predict, {"x"}),
        (COMPILE_NAMES, keras.Model.compile, set()),
    ],
    ids=["fit", "predict", "compile"],
)
def test_argument_names_are_those_of_the_installed_keras(names, method, data):
    """The lists are kept by hand, so that judging a name imports no Keras."""
    assert set(names) == set(inspect.signature(method).parameters) - {"self"} - data


@pytest.mark.parametrize(
    "function, takes, refuses, required",
    [
        (plain, ["a", "b", "c"], ["d"], ["a"]),
        (lambda x, **more: 0, ["x", "anything"], [], ["x"]),
        (lambda x, /, *rest: 0, [], ["x", "rest"], []),
        (functools.partial(plain, 1, c=4), ["b", "c"], ["a", "d"], []),
        (Callable_, ["x"], ["hidden"], []),
        (Callable_(), ["meta", "hidden"], ["x", "self"], ["meta"]),
        (math.hypot, ["anything"], [], []),
    ],
    ids=["function", "kwargs", "positional", "partial", "class", "instance", "unreadable"],
)
def test_a_signature_says_what_may_be_given_by_keyword(function, takes, refuses, required):
    """Every kind of callable is read; of what cannot be read nothing is refused."""
    found = accepted(function)
    assert [n for n in takes if not found.takes(n)] == []
    assert [n for n in refuses if found.takes(n)] == []
    assert found.required == required


@pytest.mark.parametrize(
    "name, legal, expected",
    [
        ("patienc", ["patience", "monitor"], "patience"),
        ("learningrate", ["learning_rate", "momentum"], "learning_rate"),
        ("PATIENCE", ["patience"], "patience"),
        ("cosinedecay", ["CosineDecay", "StepDecay"], "CosineDecay"),
        ("zzz", ["patience", "monitor"], None),
        ("x", [], None),
    ],
)
def test_the_nearest_legal_name_is_found(name, legal, expected):
    """Case does not count, and a name that is like none has none."""
    assert nearest(name, legal) == expected


@pytest.mark.parametrize(
    "name, legal, shown_as, expected",
    [
        ("hiden", ["hidden"], "model__{}", "Did you mean `model__hidden`?"),
        ("optimzer", ["optimizer"], "{}__a{b}", "Did you mean `optimizer__a{b}`?"),
        ("zzz", ["b", "a"], "{}", "Legal names: a, b."),
        ("zzz", [], "{}", "Legal names: none."),
    ],
)
def test_a_hint_names_the_nearest_or_all(name, legal, shown_as, expected):
    """The hint shows a full name that can be pasted, whatever characters it holds."""
    assert suggestion(name, legal, shown_as=shown_as) == expected


def test_settings_are_grouped_by_their_first_part():
    """What has a double underscore goes to the part before it, the rest stays."""
    own, below = grouped({"a": 1, "b__c": 2, "b__d__e": 3, "f_": 4})
    assert own == {"a": 1, "f_": 4}
    assert below == {"b": {"c": 2, "d__e": 3}}


def test_kerass_classes_are_told_by_name():
    """Subclasses count; a class of the same name that is not Keras' does not."""

    class Model:
        pass

    class Mine(keras.Model):
        pass

    assert is_keras(Mine(), "Model")
    assert is_keras(keras.Sequential(), "Model")
    assert not is_keras(Model(), "Model")
    assert not is_keras(Mine, "Model")
