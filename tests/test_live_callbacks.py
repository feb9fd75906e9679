"""What a user gives as callbacks becomes this fit's own live Keras callbacks."""

import copy
import functools
import pickle
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.callback import ProgressBar

from skcb import KerasRegressor, Tunable
from skcb._callbacks import build, detached, named, names_of
from skcb.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint, ReduceLROnPlateau

X = np.linspace(-1, 1, 60).reshape(20, 3)
Y = X.sum(axis=1)


class Mine(keras.callbacks.Callback):
    """A callback of the user's own."""

    def __init__(self, threshold=0.5, log=None):
        super().__init__()
        self.threshold, self.log = threshold, log


class Forgetful(keras.callbacks.Callback):
    """One that does not call `super().__init__`."""

    def __init__(self):
        pass


def make_checkpoint(folder="weights"):
    """Return a callback whose path is not among the arguments."""
    return keras.callbacks.ModelCheckpoint(f"{folder}/{{epoch}}.keras")


class OwnCheckpoint(keras.callbacks.ModelCheckpoint):
    """A subclass that makes up its path."""

    def __init__(self, folder="weights"):
        super().__init__(f"{folder}/best.keras")


def linear(meta):
    """Return the smallest model."""
    return keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])


def moved(path):
    """Stand for the rewriting of a path."""
    return f"moved/{path}"


@pytest.mark.parametrize(
    "callbacks, names",
    [
        ({"stop": EarlyStopping(), "off": None}, ["stop", "off"]),
        ([("a", EarlyStopping()), ("b", "CSVLogger")], ["a", "b"]),
        ([EarlyStopping(), EarlyStopping(), Mine], ["early_stopping", "early_stopping_1", "mine"]),
        ((EarlyStopping(), ("a", Mine())), ["early_stopping", "a"]),
        (EarlyStopping(), ["early_stopping"]),
        (keras.callbacks.ReduceLROnPlateau, ["reduce_lr_on_plateau"]),
        ("CSVLogger", ["csv_logger"]),
        ("TerminateOnNaN", ["terminate_on_na_n"]),
        (Tunable(Mine, threshold=1), ["mine"]),
        (Tunable(make_checkpoint), ["make_checkpoint"]),
        (Tunable(functools.partial(make_checkpoint)), ["tunable"]),
        (Mine(), ["mine"]),
        ([], []),
        (None, []),
    ],
)
def test_every_form_gives_each_callback_a_name(callbacks, names):
    """Said by a dict or pairs, else the class' name in snake case, numbered from the second."""
    assert list(named(callbacks)) == names
    assert names_of(callbacks) == (names or None)


@pytest.mark.parametrize(
    "callbacks, error, words",
    [
        ([("a", EarlyStopping()), ("a", Mine())], ValueError, "2 callbacks named 'a'"),
        ([("mine", EarlyStopping()), Mine()], ValueError, "2 callbacks named 'mine'"),
        ({"a__b": EarlyStopping()}, ValueError, "named 'a__b'.*double underscore"),
        ({"a_": EarlyStopping()}, ValueError, "named 'a_'"),
        ({"": EarlyStopping()}, ValueError, "named ''"),
        ({1: EarlyStopping()}, ValueError, "named 1"),
        (3, TypeError, "`callbacks` must be a recipe.*but got 3"),
        ([True], TypeError, "but got True"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused(callbacks, error, words):
    """By `fit`; whoever only asks for names hears that nothing can be said."""
    with pytest.raises(error, match=words):
        named(callbacks)
    assert names_of(callbacks) is None


@pytest.mark.parametrize(
    "callback, settings, kind, expected",
    [
        (EarlyStopping(patience=3), {"patience": 4}, "EarlyStopping", {"patience": 4}),
        (keras.callbacks.EarlyStopping, {"patience": 4}, "EarlyStopping", {"patience": 4}),
        ("EarlyStopping", {"patience": 4}, "EarlyStopping", {"patience": 4}),
        (Tunable(Mine, threshold=1), {}, "Mine", {"threshold": 1}),
        (Tunable(Mine, threshold=1), {"threshold": 2}, "Mine", {"threshold": 2}),
        (Mine(threshold=3), {}, "Mine", {"threshold": 3}),
    ],
)
def test_every_form_becomes_a_live_callback(callback, settings, kind, expected):
    """Recipe, class, name, Tunable and instance; settings win where there can be some."""
    live = build(callback, settings, where="callbacks__a")
    assert type(live).__name__ == kind
    assert {name: getattr(live, name) for name in expected} == expected


@pytest.mark.parametrize("callback", [Mine(log=[]), Tunable(Mine, log=[]), EarlyStopping()])
def test_two_fits_never_share_a_callback(callback):
    """Nor what it holds: each build is a new object, and the user's stays as it was."""
    first, second = (build(callback, {}, where="callbacks__a") for _ in range(2))
    assert first is not second and first is not callback
    if hasattr(first, "log"):
        first.log.append(1)
        assert second.log == []


@pytest.mark.parametrize(
    "callback, settings, error, words",
    [
        (3, {}, TypeError, "`callbacks__a` must be a recipe.*but got 3"),
        (dict, {}, TypeError, "`callbacks__a` must be a recipe"),
        (Tunable(int), {}, TypeError, "`callbacks__a` must be a recipe"),
        (Tunable(lambda: 3), {}, TypeError, "`callbacks__a` must be a recipe"),
        ("EarlyStoping", {}, ValueError, "`callbacks__a='EarlyStoping'`.*`EarlyStopping`"),
        (ProgressBar(), {}, TypeError, "scikit-learn's own callbacks go in `set_callbacks`"),
        (ProgressBar, {}, TypeError, "scikit-learn's own callbacks go in `set_callbacks`"),
        (EarlyStopping(), {"patienc": 1}, ValueError, "`callbacks__a__patience`"),
        (
            ReduceLROnPlateau(),
            {"restore_best_weights": True},
            ValueError,
            "ReduceLROnPlateau has no parameter.*use a list of grids",
        ),
        (
            keras.callbacks.EarlyStopping(),
            {"patience": 1},
            ValueError,
            r"`callbacks__a__patience`.*instance.*`skcb.callbacks.EarlyStopping\(...\)`",
        ),
        (Mine(), {"threshold": 1}, ValueError, r"`skcb.Tunable\(Mine, ...\)`"),
        (Mine(log=threading.Lock()), {}, TypeError, r"`callbacks__a` is a Mine.*Tunable\(Mine"),
        (Tunable(Mine, log=threading.Lock()), {}, TypeError, "`callbacks__a__log`.*copied"),
    ],
)
def test_what_is_no_callback_or_lacks_a_setting_is_refused(callback, settings, error, words):
    """The error names the callback's parameter and what to write in its place."""
    with pytest.raises(error, match=words):
        build(callback, settings, where="callbacks__a")


def test_an_instance_that_holds_a_model_is_refused():
    """It has served a fit; its copy would drag the model along."""
    used = keras.callbacks.EarlyStopping()
    used.set_model(linear({}))
    with pytest.raises(ValueError, match="`callbacks__a` is a EarlyStopping that already holds"):
        build(used, {}, where="callbacks__a")


def test_an_instance_that_skipped_its_parents_init_is_taken():
    """Keras takes it too."""
    assert isinstance(build(Forgetful(), {}, where="callbacks__a"), Forgetful)


@pytest.mark.parametrize(
    "callback, attribute, expected",
    [
        (ModelCheckpoint("a/b.keras"), "filepath", "moved/a/b.keras"),
        (CSVLogger(Path("a.csv")), "filename", "moved/a.csv"),
        (Tunable(keras.callbacks.CSVLogger, filename="a.csv"), "filename", "moved/a.csv"),
        (keras.callbacks.CSVLogger("a.csv"), "filename", "moved/a.csv"),
        ("TensorBoard", "log_dir", "moved/logs"),
        (keras.callbacks.TensorBoard("t"), "log_dir", "moved/t"),
        (keras.callbacks.BackupAndRestore("k"), "backup_dir", "moved/k"),
        (keras.callbacks.BackupAndRestore("k"), "_weights_path", "moved/k/latest.weights.h5"),
        (Tunable(make_checkpoint), "filepath", "moved/weights/{epoch}.keras"),
        (Tunable(OwnCheckpoint, folder="w"), "filepath", "moved/w/best.keras"),
        (OwnCheckpoint, "filepath", "moved/weights/best.keras"),
    ],
)
def test_every_path_goes_to_its_place_once(callback, attribute, expected):
    """Given, by default, made from another argument or by a function: nobody writes elsewhere."""
    live = build(callback, {}, where="callbacks__a", place=moved)
    assert getattr(live, attribute) == expected


def test_a_path_that_is_set_from_outside_goes_to_its_place():
    """The overlay's path wins over the recipe's, and is placed."""
    live = build(CSVLogger("a.csv"), {"filename": "b.csv"}, where="callbacks__a", place=moved)
    assert live.filename == "moved/b.csv"


def test_a_pickle_leaves_model_and_files_behind(tmp_path):
    """The copies are detached; the live callbacks keep what they hold."""
    live = {"stop": keras.callbacks.EarlyStopping(), "log": keras.callbacks.CSVLogger("x")}
    model = linear({})
    for callback in live.values():
        callback.set_model(model)
    live["log"].csv_file = open(tmp_path / "x", "w")
    live["log"].csv_file.close()
    copies = pickle.loads(pickle.dumps(detached(live)))
    assert [c.model for c in copies.values()] == [None, None]
    assert all(c.model is model for c in live.values())
    assert live["log"].csv_file.closed


def test_an_estimator_with_a_tensorboard_survives_pickling(tmp_path):
    """Its open event files stay behind; the copy opens its own where it is used."""
    board = keras.callbacks.TensorBoard(tmp_path / "board")
    reg = KerasRegressor(linear, callbacks={"board": board}, epochs=2).fit(X, Y)
    assert reg.callbacks_["board"]._writers
    again = pickle.loads(pickle.dumps(reg)).callbacks_["board"]
    assert again._writers == {}
    assert again.log_dir == reg.callbacks_["board"].log_dir


def test_a_fit_leaves_its_live_callbacks_and_the_recipes_as_they_were(tmp_path):
    """`callbacks_` holds this fit's own by name; it survives pickling and copying."""
    given = {
        "stop": EarlyStopping("loss", patience=9),
        "log": CSVLogger(tmp_path / "log.csv"),
        "off": None,
    }
    kept = clone(given, safe=False)
    reg = KerasRegressor(
        linear, callbacks=given, callbacks__stop__patience=1, callbacks__off__x=3, epochs=2
    ).fit(X, Y)
    assert list(reg.callbacks_) == ["stop", "log"]
    assert reg.callbacks_["stop"].patience == 1
    assert reg.callbacks_["stop"].model is reg.model_
    assert given == kept
    for again in (pickle.loads(pickle.dumps(reg)), copy.deepcopy(reg)):
        assert again.callbacks_["stop"].model is None
        np.testing.assert_array_equal(again.predict(X), reg.predict(X))


def test_a_whole_callback_can_be_replaced_and_keeps_its_settings():
    """`callbacks__NAME` replaces, and what was set below the name stays on top."""
    reg = KerasRegressor(linear, callbacks={"a": EarlyStopping("loss")}, epochs=2)
    reg.set_params(callbacks__a__factor=0.3, callbacks__a=ReduceLROnPlateau("loss", factor=0.9))
    assert reg.fit(X, Y).callbacks_["a"].factor == 0.3
    reg.set_params(callbacks__a=None)
    assert reg.fit(X, Y).callbacks_ == {}
