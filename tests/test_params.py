"""Everything about training is a parameter: what may be set, when it is judged, how it is shown."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV

from skcb import KerasClassifier, KerasRegressor, Tunable
from skcb.callbacks import EarlyStopping, ReduceLROnPlateau
from skcb.schedules import CosineDecay, StepDecay
from skcb.tunable import same

ROOT = Path(__file__).parents[1]
X = np.linspace(-1, 1, 60).reshape(20, 3)
Y = (X[:, 0] > 0).astype(int)


def net(meta, hidden=3, activation="relu"):
    """Return a small net."""
    return keras.Sequential(
        [
            keras.layers.Input((meta["n_features_in_"],)),
            keras.layers.Dense(hidden, activation=activation),
            keras.layers.Dense(meta["n_output_units_"], meta["output_activation_"]),
        ]
    )


def narrow(meta):
    """Return a net with nothing to choose."""
    return net(meta, 2)


def anything(meta, **options):
    """Return a net; the signature knows every name."""
    return net(meta, options["width"])


def full(**changed):
    """Return an estimator with callbacks, a schedule and settings on top."""
    return KerasClassifier(
        net,
        **{
            "optimizer": "adam",
            "optimizer__learning_rate": 0.1,
            "callbacks": {"stop": EarlyStopping(patience=5), "plateau": ReduceLROnPlateau()},
            "lr_schedule": StepDecay(),
            **changed,
        },
    )


UNKNOWN = [  # name, what the message must hold
    ("hiden", ["'hiden'", "`hidden`"]),
    ("epohcs", ["`epochs`"]),
    ("optimiser__learning_rate", ["`optimiser__`", "`optimizer__learning_rate`"]),
    ("callback__stop__patience", ["`callbacks__stop__patience`"]),
    ("callbacks__stopp__patience", ["'stopp'", "`callbacks__stop__patience`"]),
    ("callbacks__platau", ["`callbacks__plateau`"]),
    ("hidden__units", ["`model__hidden__units`"]),
    ("epochs__x", ["`epochs` is a parameter itself"]),
    ("callbacks__stop__", ["is empty"]),
    ("optimizer__", ["is empty"]),
    ("zzz", ["Legal names"]),
]


@pytest.mark.parametrize("name, words", UNKNOWN)
def test_a_name_that_no_choice_makes_legal_is_refused_at_once(name, words):
    """By constructor and `set_params`, with the nearest legal name in full."""
    for judge in (lambda: full(**{name: 1}), lambda: full().set_params(**{name: 1})):
        with pytest.raises(ValueError) as error:
            judge()
        assert f"Invalid parameter '{name}' for estimator KerasClassifier" in str(error.value)
        assert [word for word in words if word not in str(error.value)] == []


@pytest.mark.parametrize(
    "name",
    "hidden model__any optimizer__any loss__any metrics__auc__curve lr_schedule__any "
    "callbacks__stop callbacks__stop__any fit__any predict__any compile__any steps_per_epoch "
    "jit_compile loss_weights sk_params epochs".split(),
)
@pytest.mark.parametrize("value", [-1, "helloworld", [], {}, None, object()])
def test_everything_else_is_judged_by_fit(name, value):
    """A search sets parameters outside `error_score`: what is refused there ends it."""
    assert full().set_params(**{name: value}).get_params()[name] is value
    assert full(**{name: value}).get_params()[name] is value


@pytest.mark.parametrize(
    "build_fn, name",
    [(anything, "width"), (None, "width"), (3, "width"), (dict, "width")],
    ids=["kwargs", "not said yet", "nonsense", "unreadable"],
)
def test_a_plain_name_passes_where_no_signature_can_be_read(build_fn, name):
    """Nothing can be said about it before `fit`."""
    assert KerasClassifier(build_fn, **{name: 3}).get_params()[name] == 3


def test_without_callbacks_any_callback_name_passes():
    """The callbacks may be chosen later."""
    clf = KerasClassifier(net, callbacks__later__patience=3)
    assert clf.get_params()["callbacks__later__patience"] == 3


def test_a_failing_call_changes_nothing():
    """All or none: also what stands before the unknown name."""
    clf = full()
    before = clf.get_params()
    with pytest.raises(ValueError):
        clf.set_params(epochs=9, hidden=9, callbacks=None, nonsense=1)
    assert same(clf.get_params(), before)


ANY_ORDER = [
    {"build_fn": anything, "width": 5},
    {"callbacks": {"new": EarlyStopping()}, "callbacks__new__patience": 4},
    {"callbacks__stop": ReduceLROnPlateau(), "callbacks__stop__factor": 0.3},
    {"optimizer": "sgd", "optimizer__momentum": 0.9},
    {"lr_schedule": CosineDecay(), "lr_schedule__alpha": 0.1},
]


@pytest.mark.parametrize("params", ANY_ORDER)
def test_names_may_come_in_any_order(params):
    """Parents and children, and a build function and its arguments, in one call."""
    backwards = dict(reversed(params.items()))
    one, other = full().set_params(**params), full().set_params(**backwards)
    assert same(one.get_params(), other.get_params())
    assert {name: one.get_params()[name] for name in params} == params


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "epochs": st.integers(1, 9),
        "hidden": st.integers(1, 9),
        "model__hidden": st.integers(1, 9),
        "optimizer": st.sampled_from(["adam", "sgd", None]),
        "optimizer__learning_rate": st.floats(0.1, 1),
        "callbacks__stop__patience": st.integers(0, 9),
        "callbacks__stop": st.sampled_from([None, EarlyStopping(patience=1)]),
        "lr_schedule": st.sampled_from([None, StepDecay(), CosineDecay()]),
        "lr_schedule__drop": st.floats(0.1, 1),
        "batch_size": st.none() | st.integers(1, 9),
        "fit__batch_size": st.integers(1, 9),
    },
)


@given(st.lists(CHANGES, max_size=4))
def test_any_sequence_of_calls_equals_one_merged_call(calls):
    """The last value of each name counts, whichever calls it came in."""
    merged, stepwise = {}, full()
    for params in calls:
        merged |= params
        stepwise.set_params(**params)
    once = full().set_params(**merged)
    for deep in (False, True):
        assert same(stepwise.get_params(deep), once.get_params(deep))


def test_what_the_user_passed_is_never_changed():
    """Recipes, dicts and lists stay as they were, through `set_params`, `clone` and `fit`."""
    stop, schedule = EarlyStopping("loss", patience=5), StepDecay()
    callbacks, metrics = {"stop": stop}, ["accuracy"]
    clf = full(callbacks=callbacks, lr_schedule=schedule, metrics=metrics, epochs=2)
    clf.set_params(callbacks__stop__patience=1, lr_schedule__drop=0.1, optimizer__beta_1=0.8)
    clone(clf).fit(X, Y)
    clf.set_params(callbacks__stop=None, metrics=None).fit(X, Y)
    assert (stop, schedule) == (EarlyStopping("loss", patience=5), StepDecay())
    assert callbacks == {"stop": stop} and callbacks["stop"] is stop
    assert metrics == ["accuracy"]


def test_a_setting_stays_when_its_object_is_replaced():
    """The overlay is the estimator's own, not the object's."""
    clf = full(callbacks={"stop": EarlyStopping("loss")}, epochs=2)
    clf.set_params(callbacks__stop__patience=7, lr_schedule__drop=0.2)
    clf.set_params(
        callbacks={"stop": EarlyStopping("loss", patience=1)}, lr_schedule=StepDecay(0.9)
    )
    assert clf.get_params()["callbacks__stop__patience"] == 7
    assert clf.get_params()["lr_schedule__drop"] == 0.2
    clf.fit(X, Y)
    assert clf.callbacks_["stop"].patience == 7
    assert clf.history_["learning_rate"] == pytest.approx([0.1, 0.1])


def test_none_switches_off_and_settings_wait():
    """What is set below a part that is off is kept, ignored, and there when it is back."""
    clf = full(callbacks={"stop": EarlyStopping("loss")}, epochs=2)
    clf.set_params(callbacks__stop__patience=7, callbacks__stop=None, lr_schedule=None)
    clf.set_params(lr_schedule__drop=0.2)
    assert clf.fit(X, Y).callbacks_ == {}
    clf.set_params(callbacks__stop=EarlyStopping("loss"))
    assert clf.fit(X, Y).callbacks_["stop"].patience == 7


@pytest.mark.parametrize("first", [net, narrow, None])
def test_a_grid_over_build_functions_is_judged_by_fit(first):
    """Where one lacks an argument, that candidate fails and the search goes on."""
    search = GridSearchCV(
        KerasClassifier(first, random_state=0),
        {"build_fn": [net, narrow], "hidden": [2]},
        cv=2,
        refit=False,
    )
    failed = pytest.warns(FitFailedWarning, match="has no parameter `hidden`")
    with failed, pytest.warns(match="test scores are non-finite"):
        search.fit(X, Y)
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [False, True]


def test_deep_parameters_are_all_that_can_be_reached():
    """Recipe arguments and the build function's defaults; what was given wins; all settable."""
    clf = full(
        hidden=7,
        callbacks__stop__patience=2,
        callbacks__plateau=EarlyStopping(),
        activation=Tunable(dict, a=1),
        loss=Tunable(keras.losses.Huber, delta=2.0),
    )
    shallow, deep = clf.get_params(deep=False), clf.get_params()
    assert shallow.items() <= deep.items()
    assert "callbacks__stop__monitor" not in shallow
    expected = {
        "hidden": 7,
        "model__activation__a": 1,
        "callbacks__stop": EarlyStopping(patience=5),
        "callbacks__stop__patience": 2,
        "callbacks__stop__monitor": "val_loss",
        "callbacks__plateau": EarlyStopping(),
        "callbacks__plateau__patience": 0,
        "lr_schedule__epochs_drop": 10,
        "loss__delta": 2.0,
    }
    assert {name: deep.get(name) for name in expected} == expected
    assert KerasClassifier(net).get_params()["hidden"] == 3
    assert not {"meta", "callbacks__plateau__factor"} & set(deep)
    again = KerasClassifier(net).set_params(**deep)
    assert same(again.get_params(), deep)


def test_deep_parameters_survive_callbacks_that_fit_will_refuse():
    """Showing an estimator never fails."""
    clf = KerasClassifier(net, callbacks=[("a", EarlyStopping()), ("a", EarlyStopping())])
    assert "callbacks" in clf.get_params()
    assert "callbacks=" in repr(clf)


@pytest.mark.slow
def test_parameters_and_clones_need_no_tensorflow():
    """A search over thousands of candidates describes them in a process without Keras."""
    script = """
import sys
from sklearn.base import clone
from skcb import KerasClassifier, Tunable
from skcb.callbacks import EarlyStopping
clf = KerasClassifier(lambda meta, h=1: None, callbacks=["CSVLogger", EarlyStopping()])
clf.set_params(callbacks__early_stopping__patience=3, optimizer__x=1, h=2)
assert clone(clf).get_params(deep=True)["callbacks__early_stopping__patience"] == 3
repr(clf), clf._repr_html_()
print({"keras", "tensorflow"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("set()", "")


@pytest.mark.parametrize(
    "changed, shown",
    [
        ({}, "KerasRegressor()"),
        ({"epochs": 1}, "KerasRegressor()"),
        ({"epochs": 3, "fit__verbose": 0}, "KerasRegressor(epochs=3, fit__verbose=0)"),
        (
            {"callbacks": {"a": EarlyStopping(patience=2)}},
            "KerasRegressor(callbacks={'a': EarlyStopping(patience=2)})",
        ),
    ],
)
def test_only_changed_parameters_are_shown(changed, shown):
    """In text and in a notebook."""
    reg = KerasRegressor(**changed)
    assert repr(reg) == shown
    assert "KerasRegressor" in reg._repr_html_()
