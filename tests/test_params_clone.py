"""A clone is equal by description, unfitted, and shares nothing that a fit could change."""

import functools
import inspect
import threading

import keras
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn import config_context
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.model_selection import ShuffleSplit
from sklearn.utils.metadata_routing import get_routing_for_object

from skcb import KerasClassifier, KerasRegressor, Tunable
from skcb.callbacks import EarlyStopping
from skcb.schedules import CosineDecay
from skcb.tunable import same

X = np.linspace(-1, 1, 60).reshape(20, 3)
Y = (X[:, 0] > 0).astype(int)


def net(meta, hidden=3, sizes=None):
    """Return a small net."""
    return keras.Sequential(
        [
            keras.layers.Input((meta["n_features_in_"],)),
            keras.layers.Dense(hidden, activation="relu"),
            keras.layers.Dense(meta["n_output_units_"], meta["output_activation_"]),
        ]
    )


def template():
    """Return a model that a clone must pass on."""
    return keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1, "sigmoid")])


class Own(KerasClassifier):
    """Builds its own model; the rest of the parameters come through `**kwargs`."""

    def __init__(self, hidden=4, **kwargs):
        self.hidden = hidden
        super().__init__(**kwargs)

    def __call__(self, meta, hidden):
        """Return the model."""
        return net(meta, hidden)


class Closed(KerasClassifier):
    """Has two parameters and no more."""

    def __init__(self, hidden=4, epochs=2):
        self.hidden = hidden
        super().__init__(net, epochs=epochs, shuffle=False, optimizer="sgd")

    def __call__(self, meta, hidden):
        """Never called: `build_fn` is given."""


GIVEN = {
    "build_fn": functools.partial(net, hidden=2),
    "optimizer": Tunable(keras.optimizers.SGD, learning_rate=0.1),
    "loss": "mse",
    "metrics": ["accuracy", Tunable(keras.metrics.AUC, curve="PR")],
    "lr_schedule": CosineDecay(alpha=0.1),
    "callbacks": {"stop": EarlyStopping("loss", patience=3), "off": None},
    "epochs": 2,
    "max_time": 600.0,
    "batch_size": 8,
    "validation_split": 0.25,
    "shuffle": False,
    "class_weight": {0: 1.0, 1: 2.0},
    "classes": np.array([0, 1]),
    "random_state": 3,
    "verbose": 2,
    "engine": "keras",
    "warm_start": True,
    "memory": "cache",
    "inputs": {"numbers": [0, 1], "text": ["word"]},
    "allow_nan": True,
}
OVERLAY = {
    "hidden": 5,
    "model__sizes": [1, [2]],
    "optimizer__momentum": 0.9,
    "loss__reduction": "sum",
    "metrics__auc__num_thresholds": 5,
    "lr_schedule__decay_epochs": 0.5,
    "callbacks__stop": EarlyStopping("loss", patience=3),
    "callbacks__stop__patience": 9,
    "fit__batch_size": 4,
    "predict__batch_size": 4,
    "compile__jit_compile": False,
    "jit_compile": False,
    "sk_params": 3,
}
SIGNATURE = [
    (cls, name)
    for cls in (KerasClassifier, KerasRegressor)
    for name, parameter in inspect.signature(cls).parameters.items()
    if parameter.kind is not inspect.Parameter.VAR_KEYWORD
]


@pytest.mark.parametrize("cls, name", SIGNATURE)
def test_a_clone_is_equal_in_every_argument(cls, name):
    """By description: type and parameters, recursively; nothing mutable is shared."""
    estimator = cls(**{name: GIVEN[name]})
    again = clone(estimator)
    assert type(again) is cls
    assert same(again.get_params(), estimator.get_params())
    assert same(again.get_params()[name], GIVEN[name])
    if isinstance(GIVEN[name], dict | list):
        assert again.get_params()[name] is not GIVEN[name]


@pytest.mark.parametrize("name", OVERLAY)
def test_a_clone_is_equal_in_every_setting(name):
    """Whatever kind of name was given besides the signature."""
    clf = KerasClassifier(net, callbacks=GIVEN["callbacks"], **{name: OVERLAY[name]})
    assert same(clone(clf).get_params(), clf.get_params())
    assert same(clone(clf).get_params(deep=False)[name], OVERLAY[name])


def test_a_clone_of_a_splitter_splits_alike():
    """An object that is no recipe is copied whole."""
    clf = KerasClassifier(net, validation_split=ShuffleSplit(test_size=0.3, random_state=1))
    again = clone(clf).validation_split
    assert again is not clf.validation_split and repr(again) == repr(clf.validation_split)


def test_a_fitted_estimators_clone_is_unfitted_and_equal():
    """Nothing trained is carried over, and the parameters are those before the fit."""
    clf = KerasClassifier(
        net, epochs=2, callbacks=GIVEN["callbacks"], lr_schedule=CosineDecay(), random_state=0
    )
    before = clf.get_params()
    clf.fit(X, Y)
    assert same(clf.get_params(), before)
    again = clone(clf)
    assert same(again.get_params(), before)
    assert [name for name in vars(again) if name.endswith("_")] == []
    assert_array_equal(again.fit(X, Y).predict_proba(X), clf.predict_proba(X))


def test_a_clone_keeps_a_setting_that_no_longer_fits():
    """It was legal when it was set; whether it is now is for `fit` to say."""
    clf = KerasClassifier(net, callbacks={"stop": EarlyStopping()}, callbacks__stop__patience=3)
    clf.set_params(callbacks={"other": EarlyStopping()})
    assert same(clone(clf).get_params(), clf.get_params())
    with pytest.raises(ValueError, match="no callback named 'stop'"):
        clone(clf).fit(X, Y)


def test_a_template_is_passed_on_and_other_models_are_copied():
    """Every fit copies its template; a model among the build arguments could be trained."""
    model, base = template(), template()
    assert clone(KerasClassifier(model)).build_fn is model
    again = clone(KerasClassifier(lambda meta, base: base, base=base))
    assert again.get_params()["base"] is not base
    assert_array_equal(again.get_params()["base"].get_weights()[0], base.get_weights()[0])


def test_what_cannot_be_cloned_is_named():
    """The error says which parameter, and what to give in its place."""
    clf = KerasClassifier(net, callbacks={"a": Tunable(dict, lock=threading.Lock())})
    with pytest.raises(TypeError, match=r"`callbacks=.*cannot be cloned.*skcb\.Tunable"):
        clone(clf)


def test_metadata_requests_survive():
    """Notices if scikit-learn moves the attribute under which it keeps them."""
    with config_context(enable_metadata_routing=True):
        clf = KerasClassifier(net).set_fit_request(sample_weight=True, X_val=True)
        routing = get_routing_for_object(clone(clf))
    names = ["sample_weight", "X_val", "groups"]
    assert routing.consumes("fit", names) == {"sample_weight", "X_val"}


def test_scikit_learns_callbacks_survive():
    """Notices if scikit-learn moves the attribute under which it keeps them."""
    monitor = ScoringMonitor(scoring="accuracy")
    clf = clone(KerasClassifier(net, epochs=2).set_callbacks(monitor))
    clf.fit(X, Y)
    assert len(monitor.get_logs().data) > 0


def test_a_subclass_with_kwargs_has_its_parents_parameters_too():
    """Its own first; both are set, shown, cloned and given to the model."""
    own = Own(hidden=6, epochs=2, optimizer__learning_rate=0.1)
    assert {"hidden", "epochs", "callbacks", "optimizer__learning_rate"} <= set(own.get_params())
    own.set_params(hidden=5, batch_size=7)
    again = clone(own)
    assert same(again.get_params(), own.get_params())
    assert again.fit(X, Y).model_.layers[0].units == 5
    assert again.n_iter_ == 2
    assert repr(Own(hidden=5)) == "Own(hidden=5)"
    with pytest.raises(ValueError, match="`hidden`"):
        own.set_params(hiden=3)


def test_a_subclass_without_kwargs_has_its_own_parameters_alone():
    """What its `__init__` fixes stays fixed, and names of Keras' are settings on top."""
    closed = Closed(hidden=6)
    assert set(closed.get_params(deep=False)) == {"hidden", "epochs"}
    again = clone(closed.set_params(epochs=3, shuffle=True))
    assert same(again.get_params(), closed.get_params())
    assert (again.epochs, again.get_params()["shuffle"], again.optimizer) == (3, True, "sgd")
    assert again.fit(X, Y).n_iter_ == 3
    assert again.model_.layers[0].units == 6
