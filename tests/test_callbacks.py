"""Each recipe has the name, the arguments and the defaults of Keras' callback."""

import importlib.util
import inspect
import re
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.base import clone

from skcb import callbacks
from skcb._names import accepted
from skcb.callbacks import EarlyStopping, LambdaCallback
from skcb.callbacks.recipe import CallbackRecipe
from tests.models import fitted, own_metric, untrainable

OURS = {"EpochScoring"}
NO_CALLBACKS = {
    "Callback": "the base of all callbacks, which does nothing",
    "CallbackList": "holds the callbacks of a fit, and is none itself",
}
NAMES = sorted(set(callbacks.__all__) - OURS)
NEEDED = {
    "filepath": "a.keras",
    "filename": "a.csv",
    "schedule": abs,
    "backup_dir": "a",
    "directory": "a",
}
CHANGED = {
    "BackupAndRestore": {"double_checkpoint": True},
    "CSVLogger": {"append": True},
    "EarlyStopping": {"patience": 3, "restore_best_weights": True},
    "History": {},
    "LambdaCallback": {"on_epoch_end": print},
    "LearningRateScheduler": {"verbose": 1},
    "ModelCheckpoint": {"save_best_only": True},
    "OrbaxCheckpoint": {"max_to_keep": 3},
    "ProgbarLogger": {},
    "ReduceLROnPlateau": {"factor": 0.5, "min_lr": 1e-6},
    "RemoteMonitor": {"field": "logs"},
    "SwapEMAWeights": {"swap_on_epoch": True},
    "TensorBoard": {"histogram_freq": 2},
    "TerminateOnNaN": {"raise_error": True},
}
needs_orbax = pytest.mark.skipif(
    importlib.util.find_spec("orbax") is None, reason="orbax-checkpoint is not installed"
)
BUILT = [pytest.param(n, marks=needs_orbax if n == "OrbaxCheckpoint" else ()) for n in NAMES]


def recipe(name, **changed):
    """Make the recipe of this name with what it needs and what is given."""
    cls = getattr(callbacks, name)
    needed = {n: NEEDED[n] for n in accepted(cls).required}
    return cls(**needed, **changed)


def arguments(cls):
    """Return names and defaults of a class' arguments, less `**kwargs`."""
    parameters = inspect.signature(cls).parameters.values()
    return [(p.name, p.default) for p in parameters if p.kind is not p.VAR_KEYWORD]


def hooks_of_keras():
    """Return the names of all hooks that a callback may have."""
    return {name for name in vars(keras.callbacks.Callback) if name.startswith("on_")}


def test_every_class_of_keras_has_a_recipe():
    """A class that a new Keras brings is missed here."""
    classes = {n for n, c in vars(keras.callbacks).items() if isinstance(c, type)}
    assert classes - NO_CALLBACKS.keys() == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_names_arguments_and_defaults_are_kerass(name):
    """A recipe can be written as its callback is, also by position."""
    ours, theirs = arguments(getattr(callbacks, name)), arguments(getattr(keras.callbacks, name))
    if name == "LambdaCallback":  # the other hooks go by **kwargs in Keras
        others = ours[len(theirs) :]
        assert {n for n, _ in ours} == hooks_of_keras()
        assert {default for _, default in others} == {None}
        ours = ours[: len(theirs)]
    assert ours == theirs


@pytest.mark.parametrize("name", BUILT)
def test_a_recipe_builds_kerass_own_callback(name, tmp_path, monkeypatch):
    """What is built is of the class in `keras.callbacks`, with the arguments given."""
    monkeypatch.chdir(tmp_path)
    live = recipe(name, **CHANGED[name]).build()
    assert isinstance(live, getattr(keras.callbacks, name))
    assert {n: getattr(live, n) for n in CHANGED[name]} == CHANGED[name]


@pytest.mark.parametrize("name", NAMES)
def test_an_argument_that_keras_does_not_have_is_refused(name):
    """Also where Keras' `**kwargs` swallow a typo."""
    with pytest.raises(TypeError, match="patienc"):
        recipe(name, patienc=3)
    with pytest.raises(ValueError, match="has no parameter `patienc`"):
        recipe(name).build({"patienc": 3})


@pytest.mark.parametrize("name", NAMES)
def test_recipes_are_equal_by_description_and_so_is_a_clone(name):
    """Equal arguments make equal recipes and hashes; one that differs does not."""
    one, other = recipe(name), recipe(name, **CHANGED[name])
    assert one == recipe(name) == clone(one)
    assert hash(one) == hash(recipe(name))
    assert (one == other) == (not CHANGED[name])


def test_a_default_is_not_passed_on(monkeypatch):
    """An older Keras that lacks a new argument builds a recipe that leaves it alone."""

    class Older:
        def __init__(self, patience=0):
            self.patience = patience

    monkeypatch.setattr(CallbackRecipe, "target", lambda self: Older)
    assert EarlyStopping(patience=2).build().patience == 2
    with pytest.raises(ValueError, match="Older has no parameter `start_from_epoch`"):
        EarlyStopping(start_from_epoch=1).build()


def test_numbers_of_numpy_are_taken_as_pythons():
    """A grid from `np.arange` is full of them, and Keras refuses some."""
    live = recipe("ModelCheckpoint", save_freq=np.int64(3)).build({"verbose": np.int64(1)})
    assert (type(live.save_freq), type(live.verbose)) == (int, int)


# -- what Keras no longer has, or has only sometimes -------------------------------------------


def test_a_class_that_keras_folded_into_fit_says_what_to_use():
    """By import, by attribute and by name."""
    with pytest.raises(ImportError, match=r"no BaseLogger: Keras 3 averages.*`History`"):
        from skcb.callbacks import BaseLogger  # noqa: F401
    with pytest.raises(ImportError, match="no BaseLogger"):
        _ = callbacks.BaseLogger
    with pytest.raises(
        ValueError, match=r"`callbacks__base_logger='BaseLogger'`.*Keras 3 averages"
    ):
        fitted(untrainable, callbacks="BaseLogger")
    with pytest.raises(AttributeError, match="no attribute 'EarlyStoping'"):
        _ = callbacks.EarlyStoping


@pytest.mark.skipif(importlib.util.find_spec("orbax") is not None, reason="orbax is installed")
def test_without_orbax_its_recipe_says_what_to_install(tmp_path):
    """Before the first epoch; describing it needs nothing."""
    with pytest.raises(ImportError, match=r"`callbacks__orbax_checkpoint`.*orbax-checkpoint"):
        fitted(untrainable, callbacks=callbacks.OrbaxCheckpoint(tmp_path))


def test_without_requests_remote_monitor_says_so_before_the_first_epoch(monkeypatch):
    """Keras would say it after that."""
    monkeypatch.setitem(sys.modules, "requests", None)
    with pytest.raises(ImportError, match=r"`callbacks__remote_monitor`.*requests"):
        fitted(untrainable, callbacks=recipe("RemoteMonitor"))


@pytest.mark.parametrize("name", ["Callback", "CallbackList"])
def test_what_is_no_callback_has_no_name(name):
    """Keras would take the base class and do nothing."""
    with pytest.raises(ValueError, match="Keras has no callback of this name"):
        fitted(untrainable, callbacks=name)


# -- hooks of LambdaCallback -------------------------------------------------------------------


def test_every_hook_of_a_lambda_callback_is_called():
    """Also those for which Keras has no named argument; a fit makes no prediction."""
    called = set()

    def noting(name):
        return lambda *args, **kwargs: called.add(name)

    hooks = {name: noting(name) for name in hooks_of_keras()}
    old = {name: hooks.pop(name) for name in ("on_batch_begin", "on_batch_end")}
    fitted(callbacks=LambdaCallback(**hooks), validation_split=0.25, epochs=2)
    assert called == {name for name in hooks if "predict" not in name}
    called.clear()
    fitted(callbacks=LambdaCallback(**old), epochs=2)
    assert called == old.keys()


# -- next to what every fit has ----------------------------------------------------------------


def test_a_history_among_the_callbacks_is_the_fits_own():
    """As Keras' object; `history_` has the learning rate besides."""
    estimator = fitted(callbacks={"log": "History"}, validation_split=0.25, epochs=3)
    kept = estimator.callbacks_["log"].history
    assert {**kept, "learning_rate": estimator.history_["learning_rate"]} == estimator.history_
    assert len(kept["val_loss"]) == 3
    assert estimator.model_.history is estimator.callbacks_["log"]


@pytest.mark.parametrize("verbose", [0, 1, 2])
@pytest.mark.parametrize("callback", [None, callbacks.ProgbarLogger()])
def test_a_progress_bar_among_the_callbacks_is_the_only_one(callback, verbose, capsys):
    """It shows what `verbose` shows without it."""
    fitted(callbacks={"bar": callback}, verbose=verbose, epochs=2)
    assert capsys.readouterr().out.count("Epoch 1/2") == (verbose > 0)


# -- values ------------------------------------------------------------------------------------

WRONG = {
    "BackupAndRestore": {"save_freq": 0, "double_checkpoint": 1, "delete_checkpoint": "yes"},
    "CSVLogger": {"separator": ", ", "append": "a"},
    "EarlyStopping": {
        "monitor": None,
        "min_delta": float("nan"),
        "patience": -1,
        "verbose": 2,
        "mode": "maximum",
        "baseline": "0.5",
        "restore_best_weights": "no",
        "start_from_epoch": 1.5,
    },
    "LambdaCallback": {"on_epoch_end": 3, "on_test_begin": "print"},
    "LearningRateScheduler": {"schedule": 0.1, "verbose": "yes"},
    "ModelCheckpoint": {
        "monitor": 3,
        "verbose": -1,
        "save_best_only": 1,
        "save_weights_only": None,
        "mode": "best",
        "save_freq": "batch",
        "initial_value_threshold": float("inf"),
    },
    "OrbaxCheckpoint": {
        "monitor": 3,
        "verbose": 3,
        "save_best_only": 1,
        "mode": "best",
        "save_freq": 0,
        "initial_value_threshold": "1",
        "max_to_keep": 0,
        "save_on_background": 1,
        "save_weights_only": 1,
    },
    "ReduceLROnPlateau": {
        "monitor": 1,
        "factor": 1.0,
        "patience": True,
        "verbose": "1",
        "mode": "up",
        "min_delta": None,
        "cooldown": -1,
        "min_lr": -0.1,
    },
    "RemoteMonitor": {
        "root": 9000,
        "path": None,
        "field": 1,
        "headers": "X-Token",
        "send_as_json": 1,
    },
    "SwapEMAWeights": {"swap_on_epoch": 1},
    "TensorBoard": {
        "histogram_freq": -1,
        "write_graph": 1,
        "write_images": "yes",
        "write_steps_per_second": 1,
        "update_freq": 0,
        "profile_batch": (3, 2),
        "embeddings_freq": 0.5,
        "embeddings_metadata": 3,
    },
    "TerminateOnNaN": {"raise_error": "yes"},
}
CASES = [(name, argument, WRONG[name][argument]) for name in WRONG for argument in WRONG[name]]


def test_every_argument_has_a_wrong_value_here():
    """Paths are judged in test_callback_paths.py; a new argument is missed here."""
    paths = {"filepath", "filename", "log_dir", "backup_dir", "directory"}
    for name in WRONG.keys() - {"LambdaCallback"}:
        assert accepted(getattr(callbacks, name)).defaults.keys() - paths == WRONG[name].keys()


@pytest.mark.parametrize(("name", "argument", "value"), CASES)
def test_a_value_out_of_range_is_an_error_before_the_first_epoch(name, argument, value):
    """It names parameter and value, and says what is allowed; by whatever road it came."""
    message = rf"^`callbacks__mine__{argument}` must be .* but got "
    needed = {f"callbacks__mine__{n}": NEEDED[n] for n in recipe(name).get_params() if n in NEEDED}
    given = {**needed, f"callbacks__mine__{argument}": value}
    for callback in (recipe(name), name, getattr(keras.callbacks, name)):
        with pytest.raises(ValueError, match=message):
            fitted(untrainable, callbacks={"mine": callback}, **given)


@pytest.mark.parametrize("value", [0, 3, (1, 2), [1, 1], "2", "2,4"])
def test_batches_to_profile_are_given_as_in_keras(value):
    """One, or the first and the last."""
    callbacks.TensorBoard.ALLOWED.judge({"profile_batch": value}, where="")


@pytest.mark.parametrize("value", [-1, (2, 1), (1, 2, 3), "a", "1,", 1.5, (), True, None])
def test_batches_that_cannot_be_profiled_are_refused(value):
    """With the two forms that can."""
    with pytest.raises(ValueError, match="`profile_batch` must be an integer of at least 0, or"):
        callbacks.TensorBoard.ALLOWED.judge({"profile_batch": value}, where="")


def test_a_setting_of_another_callback_says_whose_it_is():
    """The error names the class that it was meant for."""
    message = (
        r"`callbacks__stop__factor=0\.5`: EarlyStopping has no parameter `factor`.*"
        r"`factor` is a parameter of ReduceLROnPlateau\."
    )
    with pytest.raises(ValueError, match=message):
        fitted(untrainable, callbacks={"stop": EarlyStopping()}, callbacks__stop__factor=0.5)


@pytest.mark.parametrize("callback", ["CSVLogger", keras.callbacks.CSVLogger])
def test_what_a_class_needs_and_nobody_gave_is_named(callback):
    """By its parameter, before anything is built."""
    with pytest.raises(ValueError, match="`callbacks__log__filename` is missing, and CSVLogger"):
        fitted(untrainable, callbacks={"log": callback})


# -- monitors ----------------------------------------------------------------------------------


class NoEpoch(keras.callbacks.Callback):
    """Fails the test when an epoch begins."""

    def on_epoch_begin(self, epoch, logs=None):
        pytest.fail("an epoch began")


class Logs(keras.callbacks.Callback):
    """Logs something of its own."""

    def on_epoch_end(self, epoch, logs=None):
        logs["own"] = 1.0 / (1 + epoch)


class OwnStep(keras.Sequential):
    """A model that logs what it likes."""

    def train_step(self, data):
        logs = super().train_step(data)
        return {**logs, "own": logs["loss"]}


WATCHERS = [EarlyStopping, callbacks.ReduceLROnPlateau, callbacks.ModelCheckpoint]


def watcher(cls, **settings):
    """Return a callback that watches."""
    if cls is callbacks.ModelCheckpoint:
        return cls("never.keras", save_best_only=True, **settings)
    return cls(**settings)


def watching(callback, *before, **params):
    """Fit with accuracy, AUC and watched rows."""
    params = {"metrics": ["accuracy", "AUC"], "validation_split": 0.25, "epochs": 2, **params}
    own = {f"own_{i}": c for i, c in enumerate(before)}
    return fitted(callbacks={**own, "mine": callback}, **params)


@pytest.mark.parametrize("cls", WATCHERS)
def test_a_monitor_that_nothing_logs_is_refused(cls, tmp_path, monkeypatch):
    """The error gives the nearest name, and all that there will be."""
    monkeypatch.chdir(tmp_path)
    message = (
        r"`callbacks__mine__monitor='val_accu'`: nothing in this fit is called 'val_accu'\. "
        r"Did you mean `val_accuracy`\? There will be: loss, accuracy, AUC, val_loss, "
        r"val_accuracy, val_AUC"
    )
    with pytest.raises(ValueError, match=message):
        watching(watcher(cls, monitor="val_accu"), NoEpoch())


@pytest.mark.parametrize("cls", WATCHERS)
@pytest.mark.parametrize(
    ("monitor", "mode", "better"),
    [
        ("val_accuracy", "min", "a higher 'val_accuracy' is better: give 'max'"),
        ("AUC", "min", "a higher 'AUC' is better: give 'max'"),
        ("val_loss", "max", "a lower 'val_loss' is better: give 'min'"),
    ],
)
def test_a_mode_that_contradicts_the_metric_is_refused(
    cls, monitor, mode, better, tmp_path, monkeypatch
):
    """Keras would keep the worst epoch."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=rf"`callbacks__mine__mode='{mode}'`: {better}, or leave"):
        watching(watcher(cls, monitor=monitor, mode=mode), NoEpoch())


def test_a_metric_whose_direction_nobody_knows_needs_a_mode():
    """Keras says so after the first epoch; with a mode it is watched."""
    given = {"metrics": [own_metric], "validation_split": 0.25}
    message = r"`callbacks__mine__mode='auto'`: Keras cannot say .*'val_own_metric' is better"
    with pytest.raises(ValueError, match=message):
        watching(EarlyStopping("val_own_metric"), NoEpoch(), **given)
    for mode in ("min", "max"):
        stop = watching(EarlyStopping("val_own_metric", mode=mode), **given).callbacks_["mine"]
        assert stop.best is not None


@pytest.mark.parametrize(
    ("monitor", "better"), [("accuracy", 1), ("val_AUC", 1), ("loss", -1), ("val_loss", -1)]
)
def test_a_monitor_that_is_there_is_watched_in_its_direction(monitor, better):
    """With the mode left to Keras, or said as Keras would."""
    for mode in ("auto", "max" if better > 0 else "min"):
        stop = watching(EarlyStopping(monitor, mode=mode, patience=9)).callbacks_["mine"]
        assert bool(stop.monitor_op(2.0, 1.0)) == (better > 0)


def test_what_the_users_own_code_logs_may_be_watched():
    """Callbacks that come before, and a training step."""
    watch = EarlyStopping("own", mode="min")
    assert watching(watch, Logs()).callbacks_["mine"].best == 0.5
    own = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(own=0.25))
    assert watching(watch, own).callbacks_["mine"].best == 0.25

    def build(meta):
        return OwnStep([keras.layers.Input((4,)), keras.layers.Dense(1, activation="sigmoid")])

    assert watching(watch, build_fn=build).callbacks_["mine"].best is not None
    with pytest.raises(ValueError, match="nothing in this fit is called 'own'"):
        fitted(callbacks=[NoEpoch(), watch, Logs()], epochs=2)


def test_the_learning_rate_can_be_watched_where_a_callback_logs_it():
    """As in Keras."""
    plateau = callbacks.ReduceLROnPlateau("loss")
    watching(EarlyStopping("learning_rate", mode="min"), plateau)
    with pytest.raises(ValueError, match="nothing in this fit is called 'learning_rate'"):
        watching(EarlyStopping("learning_rate", mode="min"), NoEpoch())


def test_a_checkpoint_of_every_epoch_needs_no_metric_of_its_name(tmp_path):
    """But Keras asks for its direction all the same, after an epoch."""
    save = callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras", monitor="val_acc")
    with pytest.raises(ValueError, match=r"Keras cannot say whether .*'val_acc'"):
        watching(save, NoEpoch())
    watching(save, callbacks__mine__mode="max")


# -- the table of roads ------------------------------------------------------------------------

PAGE = (Path(__file__).parents[1] / "docs" / "callbacks.md").read_text("utf-8")
LINES = PAGE.partition("(roads-by-callback)=")[2].splitlines()
ROWS = [line.replace("`", "", 2).strip("| ").split(" |") for line in LINES if "| `" in line[:3]]
ROADS = [
    pytest.param(code, by_batch, marks=needs_orbax if name == "OrbaxCheckpoint" else ())
    for name, *columns in ROWS
    for by_batch, column in enumerate(columns)
    for code in re.findall("`(.+?)`", column)
]


def test_the_table_of_roads_has_every_callback():
    """Once, in the order of the alphabet, with at least one road."""
    assert [name for name, *_ in ROWS] == sorted(callbacks.__all__)
    assert all(any("`" in column for column in columns) for _, *columns in ROWS)


@pytest.mark.parametrize(("code", "by_batch"), ROADS)
def test_the_table_of_roads_is_what_the_engine_does(code, by_batch, tmp_path, monkeypatch):
    """As chosen for a fit with this callback alone."""
    monkeypatch.chdir(tmp_path)
    callback = eval(code, {**vars(callbacks), "f": lambda *args, **kwargs: 0.1})
    given = {"optimizer__use_ema": True} if "EMA" in code else {}
    if "RemoteMonitor" in code:
        given |= {"epochs": 0}  # there is no server
    estimator = fitted(
        callbacks={"it": callback},
        **{"epochs": 2, "validation_split": 0.25, "random_state": 0, **given},
    )
    assert estimator.engine_.startswith("batch by batch" if by_batch else "whole epochs")
