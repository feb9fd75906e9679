"""A recipe describes an object: settable, compared and cloned by description, built afresh."""

import functools
import threading

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from skcb import Tunable
from skcb.callbacks import EarlyStopping
from skcb.tunable import built, same


class Part:
    def __init__(self, x=0):
        self.x = x


class Whole:
    def __init__(self, part=None, y=0):
        self.part, self.y = part, y


class WithDefault:
    def __init__(self, part=Tunable(Part, x=5)):  # noqa: B008
        self.part = part


class Open:
    def __init__(self, **anything):
        self.anything = anything


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)


def test_settings_win_over_arguments_and_leave_the_recipe_alone():
    """`build` takes an overlay; the recipe can be built again as it was."""
    recipe = Tunable(Whole, y=1)
    assert recipe.build({"y": 2}).y == 2
    assert recipe.build().y == 1


def test_settings_reach_as_deep_as_the_recipes_go():
    """`a__b__c` sets an argument of an argument, and no recipe on the way changes."""
    inner = Tunable(Whole, part=Tunable(Part, x=1))
    recipe = Tunable(Whole, part=inner)
    assert recipe.build({"part__part__x": 7, "part__y": 3}).part.part.x == 7
    assert inner == Tunable(Whole, part=Tunable(Part, x=1))


def test_a_replaced_part_takes_the_settings_below_it():
    """The part and its setting may come in one overlay, in either order."""
    for settings in ({"part": Tunable(Part), "part__x": 4}, {"part__x": 4, "part": Tunable(Part)}):
        assert Tunable(Whole).build(settings).part.x == 4


def test_a_setting_reaches_into_a_default():
    """A part that nobody gave is the class' default, and that can be a recipe too."""
    assert Tunable(WithDefault).build({"part__x": 6}).part.x == 6


def test_settings_below_none_are_ignored():
    """None switches a part off; what was set below it waits."""
    assert Tunable(Whole, part=None).build({"part__x": 1}).part is None
    assert Tunable(Whole).build({"part__x": 1}).part is None


def test_a_live_keras_object_takes_settings_as_a_copy():
    """An optimizer among the arguments is copied with the setting; the user's own stays."""
    adam = keras.optimizers.Adam(0.1)
    recipe = Tunable(Whole, part=adam)
    assert float(recipe.build({"part__learning_rate": 0.5}).part.learning_rate) == 0.5
    assert float(adam.learning_rate) == np.float32(0.1)


@pytest.mark.parametrize(
    "recipe, settings, words",
    [
        (Tunable(Whole), {"z": 1}, ["`at__z=1`", "Whole", "Legal names: part, y", "grids"]),
        (Tunable(Whole), {"yy": 1}, ["`at__yy=1`", "Whole", "`at__y`"]),
        (Tunable(Whole), {"prt__x": 1}, ["`at__prt__x=1`", "`prt`", "`at__part__x`"]),
        (Tunable(Whole, part=Tunable(Part)), {"part__q": 1}, ["`at__part__q=1`", "Part"]),
        (Tunable(Whole, yy=3), {}, ["`at__yy=3`", "Whole"]),
        (Tunable(Whole, part=3), {"part__x": 1}, ["`at__part__x`", "Give a class"]),
        (Tunable(Whole, part=Part), {"part__q": 1}, ["`at__part__q=1`", "Part"]),
        (Tunable(Open), {"part__x": 1}, ["`at__part__x`", "`at__part` was not given"]),
        (
            Tunable(keras.callbacks.ReduceLROnPlateau),
            {"patienc": 1},
            ["`at__patienc=1`", "`at__patience`"],
        ),
        (Tunable(keras.callbacks.ReduceLROnPlateau, patienc=1), {}, ["`at__patienc=1`"]),
        (Tunable(Whole, part=keras.optimizers.SGD()), {"part__beta_1": 1}, ["SGD", "beta_1"]),
    ],
)
def test_an_unknown_setting_is_refused_with_its_owner_and_the_nearest_name(recipe, settings, words):
    """The error names parameter, value, owner and what would be legal."""
    with pytest.raises(ValueError) as error:
        recipe.build(settings, where="at")
    assert [word for word in words if word not in str(error.value)] == []


def test_a_class_of_the_users_own_with_kwargs_takes_any_name():
    """Only Keras' classes are known to drop what they do not know."""
    assert Tunable(Open, a=1).build({"b": 2}).anything == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    "value",
    [[1], [[1]], {"a": [1]}, {1, 2}, np.zeros(2), Part(), (Part(),), keras.metrics.AUC()],
    ids=["list", "nested", "dict", "set", "array", "object", "in a tuple", "metric"],
)
def test_two_builds_share_nothing(value):
    """Neither with each other nor with the recipe: two fits must not meet in a list."""
    recipe = Tunable(Whole, part=value)
    first, second = recipe.build().part, recipe.build().part
    assert first is not second and first is not value
    if isinstance(value, tuple):
        assert first[0] is not second[0] and first[0] is not value[0]


def test_what_cannot_be_copied_is_refused_clearly():
    """A lock cannot be two fits' own; the error names it and the way out."""
    with pytest.raises(TypeError, match=r"`at__part` is <.*lock.*cannot be copied.*Tunable"):
        Tunable(Whole, part=threading.Lock()).build(where="at")


def double(x, by=2):
    """Stand for a function of the user's."""
    return x * by


EQUAL = [
    (lambda: Tunable(Part), lambda: Tunable(Part)),
    (lambda: Tunable(Part, x=[{"a": np.ones(2)}]), lambda: Tunable(Part, x=[{"a": np.ones(2)}])),
    (lambda: Tunable(Part, x=float("nan")), lambda: Tunable(Part, x=float("nan"))),
    (lambda: Tunable(Part, x=Tunable(Part)), lambda: Tunable(Part, x=Tunable(Part))),
    (
        lambda: Tunable(Part, x=functools.partial(double, by=3)),
        lambda: Tunable(Part, x=functools.partial(double, by=3)),
    ),
    (lambda: EarlyStopping(patience=2), lambda: EarlyStopping("val_loss", 0, 2)),
]
DIFFERENT = [
    (Tunable(Part), Tunable(Whole)),
    (Tunable(Part, x=1), Tunable(Part, x=2)),
    (Tunable(Part, x=1), Tunable(Part, x=True)),
    (Tunable(Part, x=1), Tunable(Part)),
    (Tunable(Part, x=[1]), Tunable(Part, x=[1, 2])),
    (Tunable(Part, x=[1]), Tunable(Part, x=(1,))),
    (Tunable(Part, x={"a": 1}), Tunable(Part, x={"b": 1})),
    (Tunable(Part, x=np.ones(2)), Tunable(Part, x=np.ones(3))),
    (Tunable(Part, x=np.ones(2)), Tunable(Part, x=np.ones(2, int))),
    (Tunable(Part, x=Tunable(Part)), Tunable(Part, x=Tunable(Part, x=1))),
    (
        Tunable(Part, x=functools.partial(double, by=3)),
        Tunable(Part, x=functools.partial(double, by=4)),
    ),
    (EarlyStopping(patience=2), EarlyStopping(patience=3)),
    (EarlyStopping(), Tunable(keras.callbacks.EarlyStopping)),
    (Tunable(Part), "Tunable(Part)"),
]


@pytest.mark.parametrize("make, make_again", EQUAL)
def test_recipes_are_equal_by_description(make, make_again):
    """Type and arguments count, recursively, and equal recipes have equal hashes."""
    a, b = make(), make_again()
    assert a == b
    assert hash(a) == hash(b)


@pytest.mark.parametrize("a, b", DIFFERENT)
def test_recipes_differ_where_their_description_does(a, b):
    """Another type, name, value or type of value makes another recipe."""
    assert a != b


@given(VALUES)
def test_a_clone_is_equal_and_its_own(value):
    """Whatever the arguments, a clone is equal to its original and not it."""
    recipe = Tunable(Part, x=value)
    again = clone(recipe)
    assert again == recipe and again is not recipe
    assert same(again.get_params(), recipe.get_params())


def test_setting_a_parameter_of_a_part_leaves_the_users_part_alone():
    """`set_params` on a recipe replaces the part below by a changed copy."""
    part = Tunable(Part, x=1)
    recipe = Tunable(Whole, part=part).set_params(part__x=2, y=3)
    assert (recipe.get_params()["part__x"], recipe.get_params()["y"]) == (2, 3)
    assert part == Tunable(Part, x=1)


def test_setting_below_what_is_no_recipe_is_refused():
    """An argument that is no recipe has no parameters."""
    with pytest.raises(ValueError, match=r"`part` of .* is not a recipe"):
        Tunable(Whole, part=3).set_params(part__x=2)


@pytest.mark.parametrize(
    "recipe, expected",
    [
        (EarlyStopping(), "EarlyStopping()"),
        (EarlyStopping(patience=5), "EarlyStopping(patience=5)"),
        (Tunable(Part, x=1), "Tunable(Part, x=1)"),
        (Tunable(functools.partial(double, by=3)), "Tunable(functools.partial("),
    ],
)
def test_a_recipe_shows_what_was_changed(recipe, expected):
    """In text only what differs from the defaults, in a notebook a table."""
    assert repr(recipe).startswith(expected)
    assert "<div" in recipe._repr_html_()


def test_only_what_can_be_called_makes_a_tunable():
    """A value in place of a class is refused where it was written."""
    with pytest.raises(TypeError, match="takes a class and its arguments, but got 3"):
        Tunable(3)


def test_a_class_takes_settings_as_an_object_does():
    """As the optimizer may be given by its class, so may a part of the model."""
    live = built(keras.regularizers.L2, {"l2": 0.3}, where="model__reg")
    assert live.l2 == pytest.approx(0.3)


@pytest.mark.parametrize("value", ["l2", 0.1])
def test_settings_of_a_plain_value_say_what_has_them(value):
    """A text or a number names no class that could be built."""
    with pytest.raises(ValueError, match=r"`model__reg__l2` cannot be set.*Give a class"):
        built(value, {"l2": 0.3}, where="model__reg")
