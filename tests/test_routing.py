"""Each name reaches one object, and one thing said twice must be said alike."""

import keras
import numpy as np
import pytest

from skcb import KerasClassifier, KerasRegressor
from skcb._names import Accepted, accepted
from skcb._routing import build_arguments, route

DEFAULTS = {
    "build_fn": None,
    "optimizer": None,
    "callbacks": None,
    "epochs": 1,
    "batch_size": None,
    "verbose": 0,
    "random_state": None,
}
X = np.linspace(-1, 1, 60).reshape(20, 3)
Y = (X[:, 0] > 0).astype(int)


def build(meta, hidden=3, optimizer="adam"):
    """Stand for a build function."""


def routed(named=(), build_fn=build, **overlay):
    """Route an overlay, with some named parameters given."""
    return route({**DEFAULTS, **dict(named)}, DEFAULTS, overlay, accepted(build_fn))


def net(meta, hidden=3):
    """Return a small net."""
    return keras.Sequential(
        [
            keras.layers.Input((meta["n_features_in_"],)),
            keras.layers.Dense(hidden, activation="relu"),
            keras.layers.Dense(meta["n_output_units_"], meta["output_activation_"]),
        ]
    )


class Steps(keras.callbacks.Callback):
    """Keeps how many steps an epoch has, as Keras tells it."""

    def on_train_begin(self, logs=None):
        self.steps = self.params["steps"]


@pytest.mark.parametrize(
    "name, part, key",
    [
        ("hidden", "model", "hidden"),
        ("nobody_knows", "model", "nobody_knows"),
        ("model__hidden", "model", "hidden"),
        ("model__hidden__l2", "model", "hidden__l2"),
        ("initial_epoch", "fit", "initial_epoch"),
        ("fit__initial_epoch", "fit", "initial_epoch"),
        ("fit__batch_size", "fit", "batch_size"),
        ("predict__batch_size", "predict", "batch_size"),
        ("compile__jit_compile", "compile", "jit_compile"),
        ("loss_weights", "compile", "loss_weights"),
        ("fit__epochs", "named", "epochs"),
        ("compile__optimizer", "named", "optimizer"),
        ("fit__callbacks", "named", "callbacks"),
    ],
)
def test_a_name_reaches_its_object(name, part, key):
    """Plain or prefixed, it ends in one place and in no other."""
    found = routed(**{name: 7})
    assert getattr(found, part)[key] == 7
    others = {"model", "fit", "predict", "compile", "parts", "callbacks"} - {part}
    assert [other for other in others if getattr(found, other)] == []


@pytest.mark.parametrize(
    "name, part, expected",
    [
        ("optimizer__learning_rate", "parts", {"optimizer": {"learning_rate": 7}}),
        ("compile__optimizer__learning_rate", "parts", {"optimizer": {"learning_rate": 7}}),
        ("optimizer__a__b", "parts", {"optimizer": {"a__b": 7}}),
        ("lr_schedule__drop", "parts", {"lr_schedule": {"drop": 7}}),
        ("callbacks__stop__patience", "callbacks", {"stop": {"patience": 7}}),
        ("fit__callbacks__stop__patience", "callbacks", {"stop": {"patience": 7}}),
        ("callbacks__stop", "callbacks", {"stop": {"": 7}}),
    ],
)
def test_a_setting_reaches_the_part_that_it_is_for(name, part, expected):
    """By the part's name; under the empty name stands what replaces a callback."""
    assert getattr(routed(**{name: 7}), part) == expected


@pytest.mark.parametrize(
    "named, overlay",
    [
        ({"epochs": 5}, {"fit__epochs": 7}),
        ({"optimizer": "sgd"}, {"compile__optimizer": "adam"}),
        ({}, {"hidden": 3, "model__hidden": 4}),
        ({}, {"initial_epoch": 1, "fit__initial_epoch": 2}),
        ({}, {"jit_compile": True, "compile__jit_compile": False}),
        ({}, {"optimizer__x": 1, "compile__optimizer__x": 2}),
        ({}, {"callbacks__a__x": 1, "fit__callbacks__a__x": 2}),
    ],
)
def test_one_thing_said_twice_must_be_said_alike(named, overlay):
    """Two values are an error that names both spellings, in any order; one value is none."""
    for one in (overlay, dict(reversed(overlay.items()))):
        with pytest.raises(ValueError) as error:
            routed(named, **one)
        spellings = [f"`{name}={value!r}`" for name, value in {**named, **one}.items()]
        assert [s for s in spellings if s not in str(error.value)] == []
    value = next(iter({**named, **overlay}.values()))
    routed(dict.fromkeys(named, value), **dict.fromkeys(overlay, value))


def test_a_default_of_the_signature_is_nothing_said():
    """`fit__epochs` with `epochs` left alone is no contradiction."""
    assert routed(fit__epochs=7).named["epochs"] == 7


def test_a_name_on_top_of_itself_wins():
    """A subclass fixes `epochs`; what is set from outside under the same name is on top."""
    assert routed({"epochs": 5}, epochs=7).named["epochs"] == 7


@pytest.mark.parametrize(
    "name, words",
    [
        ("fit__epoch", "Model.fit has no argument `epoch`.*`fit__epochs`"),
        ("fit__model__hidden", "Model.fit has no argument `model`"),
        ("fit__optimizer", "Model.fit has no argument `optimizer`"),
        ("fit__epochs__x", "`fit__epochs` has no settings"),
        ("predict__epochs", "Model.predict has no argument `epochs`"),
        ("predict__callbacks__a", "`predict__callbacks` has no settings"),
        ("compile__jitcompile", "Model.compile has no argument.*`compile__jit_compile`"),
        ("steps_per_epoch", "`steps_per_epoch=7` is not taken.*`batch_size`"),
        ("fit__steps_per_epoch", "`steps_per_epoch=7` is not taken"),
        ("validation_steps", "not taken.*`validation_split`"),
        ("steps", "not taken.*`predict__batch_size`"),
        ("predict__steps", "not taken.*`predict__batch_size`"),
        ("class_weight", "not taken.*`sample_weight`"),
    ],
)
def test_what_keras_or_skcb_does_not_take_is_refused(name, words):
    """Nothing given is dropped in silence; the error says what to give instead."""
    with pytest.raises(ValueError, match=words):
        routed(**{name: 7})


@pytest.mark.parametrize("name", ["steps_per_epoch", "validation_steps", "steps"])
def test_none_is_kerass_default_and_harmless(name):
    """A script that says `steps_per_epoch=None` says nothing."""
    routed(**{name: None})


def test_sk_params_is_no_parameter():
    """Whatever its value, `fit` says to give each by its own name."""
    with pytest.raises(TypeError, match=r"by their own names. Got sk_params=\{'hidden': 3\}"):
        routed(sk_params={"hidden": 3})


@pytest.mark.parametrize(
    "build_fn, named, overlay, expected",
    [
        (lambda: 0, {"optimizer": "sgd"}, {}, {}),
        (build, {}, {}, {"meta": "M"}),
        (build, {"optimizer": "sgd", "epochs": 3}, {}, {"meta": "M", "optimizer": "sgd"}),
        (build, {}, {"hidden": 5}, {"meta": "M", "hidden": 5}),
        (build, {}, {"model__hidden": 5}, {"meta": "M", "hidden": 5}),
        (lambda epochs: 0, {"epochs": 3}, {}, {"epochs": 3}),
        (lambda initial_epoch=0: 0, {}, {"initial_epoch": 3}, {"initial_epoch": 3}),
        (lambda **more: 0, {"epochs": 3}, {"width": 5}, {"width": 5}),
        (lambda params, compile_kwargs: 0, {}, {}, {"params": "P", "compile_kwargs": "C"}),
        (lambda params=None: 0, {}, {"params": "mine"}, {"params": "mine"}),
        (lambda build_fn=0: 0, {"build_fn": build}, {}, {}),
    ],
)
def test_the_build_function_gets_what_its_signature_names(build_fn, named, overlay, expected):
    """As the user gave it and only if given, so that its own defaults stay."""
    extras = {"meta": "M", "params": "P", "compile_kwargs": "C"}
    found = routed(named, build_fn, **overlay)
    assert build_arguments(found, accepted(build_fn), extras) == (expected, {})


def test_settings_below_a_build_argument_are_kept_apart():
    """`model__regularizer__l2` reaches into the argument `regularizer`."""
    found = routed(model__a__b=1, model__a__c__d=2, hidden=3)
    assert build_arguments(found, Accepted({"a": 0}), {}) == (
        {"hidden": 3},
        {"a": {"b": 1, "c__d": 2}},
    )


@pytest.mark.parametrize(
    "params, call, steps",
    [
        ({}, {}, 1),
        ({"batch_size": 10}, {}, 2),
        ({"batch_size": 10, "fit__batch_size": 4}, {}, 5),
        ({"batch_size": 10, "fit__batch_size": 4}, {"batch_size": 1}, 20),
        ({"batch_size": 10}, {"batch_size": 1}, 20),
        ({"fit__batch_size": 4}, {}, 5),
        ({"batch_size": 10, "predict__batch_size": 4}, {}, 2),
    ],
)
def test_call_beats_prefixed_beats_plain_beats_default(params, call, steps):
    """Seen by Keras: 20 rows make so many steps an epoch."""
    clf = KerasClassifier(net, callbacks=Steps(), epochs=2, **params).fit(X, Y, **call)
    assert clf.callbacks_["steps"].steps == steps


@pytest.mark.parametrize(
    "cls, params, words",
    [
        (KerasRegressor, {"class_weight": {0: 1}}, "`class_weight={0: 1}` is not taken"),
        (KerasClassifier, {"fit__epoch": 3}, "`fit__epoch=3`"),
        (KerasClassifier, {"steps_per_epoch": 3}, "`steps_per_epoch=3` is not taken"),
        (KerasClassifier, {"hidden": 3, "model__hidden": 4}, "`hidden=3` and `model__hidden=4`"),
    ],
)
def test_fit_judges_before_the_first_epoch(cls, params, words):
    """The routing's errors reach the user of `fit`."""
    with pytest.raises(ValueError, match=words):
        cls(net, **params).fit(X, Y)
