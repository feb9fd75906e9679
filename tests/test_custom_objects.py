"""Losses, metrics, layers and schedules of the user's own go wherever an estimator goes."""

import copy
import pickle

import keras
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_validate

from skcb import KerasClassifier, KerasRegressor, Tunable
from skcb._portable import custom_objects
from skcb.callbacks import ModelCheckpoint
from tests import models
from tests.fakes import fresh_process
from tests.models import X, Y, own_loss, own_metric

ROWS = Y["binary"]
PREDICT = """
import pickle, sys
import numpy as np
with open(sys.argv[1], "rb") as file:
    estimator, X = pickle.load(file)
np.save(sys.argv[2], estimator.predict_proba(X))
print(estimator.loss.by if hasattr(estimator.loss, "by") else estimator.loss)
"""


def given(form, prefix, **params):
    """Return an estimator of one's own objects, given as recipes, as objects or as functions."""
    loss, above, scaled, falling = (
        getattr(models, prefix + name) for name in ("Stretched", "Above", "Scaled", "Falling")
    )
    sgd = keras.optimizers.SGD
    parts = {
        "recipes": {
            "loss": Tunable(loss, by=2.0),
            "metrics": [Tunable(above, at=0.25)],
            "optimizer": Tunable(sgd, learning_rate=Tunable(falling, start=0.2)),
        },
        "objects": {
            "loss": loss(2.0),
            "metrics": [above(0.25)],
            "optimizer": sgd(falling(0.2)),
        },
        "functions": {"loss": own_loss, "metrics": [own_metric], "lr_schedule": falling(0.2)},
    }[form]
    return KerasClassifier(
        models.scaled, layer=scaled, epochs=2, batch_size=-1, random_state=0, **parts, **params
    )


FORMS = [(f, p) for f in ("recipes", "objects", "functions") for p in ("", "Registered")]


@pytest.mark.parametrize(("form", "prefix"), FORMS)
def test_a_clone_trains_as_the_original(form, prefix):
    """Also where Keras could not copy the objects."""
    estimator = given(form, prefix)
    history = clone(estimator).fit(X, ROWS).history_
    assert history == estimator.fit(X, ROWS).history_
    assert history["learning_rate"] == pytest.approx([0.2, 0.1])


@pytest.mark.parametrize(("form", "prefix"), FORMS)
def test_a_pickle_is_the_same_here(form, prefix):
    """Outputs, settings and the history of another fit."""
    estimator = given(form, prefix).fit(X, ROWS)
    other = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(other.predict_proba(X), estimator.predict_proba(X))
    assert other.fit(X, ROWS).history_ == estimator.history_
    deep = copy.deepcopy(estimator)
    np.testing.assert_array_equal(deep.predict_proba(X), estimator.predict_proba(X))


@pytest.mark.slow
@pytest.mark.parametrize(("form", "prefix"), [("objects", ""), ("functions", "Registered")])
def test_a_pickle_predicts_the_same_in_a_fresh_process(form, prefix, tmp_path):
    """The module of the user's classes is imported there by the pickle itself."""
    estimator = given(form, prefix).fit(X, ROWS)
    (tmp_path / "fitted.pickle").write_bytes(pickle.dumps((estimator, X)))
    stdout, stderr = fresh_process(PREDICT, tmp_path / "fitted.pickle", tmp_path / "p.npy")
    assert stderr == []
    assert stdout.startswith("2.0" if form == "objects" else "<function own_loss")
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy"), estimator.predict_proba(X))


@pytest.mark.slow
@pytest.mark.parametrize(("form", "prefix"), [("objects", ""), ("recipes", "Registered")])
def test_two_processes_train_what_one_does(form, prefix):
    """They get the objects as they were given, and hand back fitted estimators."""
    one, two = (
        cross_validate(
            given(form, prefix),
            X,
            ROWS,
            cv=2,
            n_jobs=jobs,
            return_estimator=True,
            error_score="raise",
        )["estimator"]
        for jobs in (1, 2)
    )
    for here, there in zip(one, two, strict=True):
        assert here.history_["loss"] == pytest.approx(there.history_["loss"], rel=1e-5)
        np.testing.assert_allclose(here.predict_proba(X), there.predict_proba(X), rtol=1e-5)


@pytest.mark.parametrize("prefix", ["", "Registered"])
def test_a_checkpoint_is_read_by_keras(prefix, tmp_path):
    """By itself where the classes are registered, else with what `custom_objects` finds."""
    path = tmp_path / "last.keras"
    estimator = given("recipes", prefix, callbacks={"save": ModelCheckpoint(path)}).fit(X, ROWS)
    own = {} if prefix else custom_objects(estimator.model_)
    restored = keras.saving.load_model(path, custom_objects=own)
    expected = estimator.model_.predict(X, verbose=0)
    np.testing.assert_array_equal(restored.predict(X, verbose=0), expected)
    assert restored.loss.by == 2.0


def test_the_users_own_classes_and_functions_are_found():
    """In layers, loss, metrics and schedule; nothing of Keras' is among them."""
    model = given("objects", "").set_params(metrics=[own_metric]).fit(X, ROWS).model_
    assert custom_objects(model) == {
        "Stretched": models.Stretched,
        "own_metric": own_metric,
        "Scaled": models.Scaled,
        "Falling": models.Falling,
    }


WAYS = {
    "clone": clone,
    "pickle": lambda estimator: pickle.loads(pickle.dumps(estimator)),
    "deepcopy": copy.deepcopy,
    "clone of a recipe": lambda estimator: clone(Tunable(KerasRegressor, loss=estimator.loss)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("loss", "argument"),
    [
        (keras.losses.Huber(0.25), "delta"),
        (keras.losses.CosineSimilarity(axis=0), "axis"),
    ],
    ids=["Huber", "CosineSimilarity"],
)
def test_a_loss_keeps_what_its_config_does_not_say(way, loss, argument):
    """Keras' own copy of Huber(0.25) has a delta of 1.0; if not, `_portable` can be simpler."""
    assert argument not in loss.get_config()
    taken = WAYS[way](KerasRegressor(loss=loss))
    taken = taken.params["loss"] if isinstance(taken, Tunable) else taken.loss
    assert vars(taken)["_fn_kwargs"] == vars(loss)["_fn_kwargs"]


class Silent(keras.losses.Loss):
    """A loss that does not tell its config what it was made with."""

    def __init__(self, by=1.0):
        super().__init__()
        self.by = by

    def call(self, y_true, y_pred):
        return self.by * keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


@pytest.mark.parametrize("way", ["clone", "pickle", "deepcopy"])
def test_a_loss_without_a_config_of_its_own_stays_as_it_was(way):
    """Keras would make it anew with the default."""
    assert WAYS[way](KerasRegressor(loss=Silent(2.0))).loss.by == 2.0


def test_a_setting_leaves_the_rest_of_a_loss_as_it_was():
    """`loss__reduction` on Huber(0.25) keeps the delta of 0.25, in the loss that trains."""
    estimator = KerasRegressor(
        models.perceptron, loss=keras.losses.Huber(0.25), loss__reduction="sum", random_state=0
    )
    live = estimator.fit(X, Y["regression"]).model_.loss
    assert (live.reduction, vars(live)["_fn_kwargs"]) == ("sum", {"delta": 0.25})


def undecayed(**names):
    """Make an optimizer with weight decay, from which what is named is excluded."""
    optimizer = keras.optimizers.AdamW(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(**names)
    return optimizer


ALL = {"var_names": ["kernel", "bias"]}


def line(meta):
    """Build a model whose kernel is one, not compiled."""
    one = keras.layers.Dense(1, kernel_initializer="ones")
    return keras.Sequential([keras.layers.Input((4,)), one])


def compiled_line(meta):
    """Build one with an optimizer that excludes all variables by name."""
    model = line(meta)
    model.compile(undecayed(**ALL), "mse")
    return model


def listed_line(meta):
    """Build one with an optimizer that excludes them by themselves."""
    model = line(meta)
    model.compile(undecayed(var_list=model.trainable_variables), "mse")
    return model


def prepared_line(meta, compile_kwargs):
    """Build one that does so with the optimizer that skcb makes."""
    model = line(meta)
    compile_kwargs["optimizer"].exclude_from_weight_decay(var_list=model.trainable_variables)
    model.compile(**compile_kwargs)
    return model


def built(model):
    """Make what the optimizer keeps, as Keras wants it of a model that goes into a file."""
    model.optimizer.build(model.trainable_variables)
    return model


def of(optimizer):
    """Return an estimator with an optimizer as a parameter."""
    return KerasRegressor(line, optimizer=optimizer)


AROUND = keras.optimizers.LossScaleOptimizer
RATE = {"optimizer__learning_rate": 0.1}
UNDECAYED = {
    "parameter": lambda: of(undecayed(**ALL)),
    "parameter and setting": lambda: of(undecayed(**ALL)).set_params(**RATE),
    "clone": lambda: clone(of(undecayed(**ALL))),
    "pickle": lambda: pickle.loads(pickle.dumps(of(undecayed(**ALL)))),
    "compiled and setting": lambda: KerasRegressor(compiled_line, **RATE),
    "compiled by variables": lambda: KerasRegressor(listed_line),
    "prepared and setting": lambda: KerasRegressor(prepared_line, optimizer__weight_decay=0.5),
    "recipe around it": lambda: of(Tunable(AROUND, inner_optimizer=undecayed(**ALL))),
    "pickle of one around it": lambda: pickle.loads(pickle.dumps(of(AROUND(undecayed(**ALL))))),
    "template": lambda: KerasRegressor(compiled_line({})),
    "deepcopy of a template": lambda: copy.deepcopy(KerasRegressor(built(compiled_line({})))),
}


@pytest.mark.parametrize("form", UNDECAYED)
def test_what_is_excluded_from_weight_decay_stays_so(form):
    """Keras says it in no config, but in attributes without public names; if those go, this fails.

    Zeros for zeros teach nothing, so that weight decay alone would change the kernel.
    """
    model = UNDECAYED[form]().fit(np.zeros((8, 4)), np.zeros(8)).model_
    np.testing.assert_array_equal(model.get_weights()[0], np.ones((4, 1)))
    assert vars(getattr(model.optimizer, "inner_optimizer", model.optimizer))["weight_decay"] == 0.5


@pytest.mark.parametrize(
    "estimator",
    [
        lambda: KerasRegressor(line, optimizer=undecayed(var_list=line({}).trainable_variables)),
        lambda: KerasRegressor(listed_line, **RATE),
        lambda: KerasRegressor(built(listed_line({}))),
        lambda: pickle.loads(pickle.dumps(KerasRegressor(built(listed_line({}))))),
    ],
    ids=["parameter", "compiled and setting", "template", "pickle of a template"],
)
def test_variables_of_one_model_cannot_be_excluded_from_the_decay_of_another(estimator):
    """Where a copy would lose them without a word, the error says how to name them."""
    with pytest.raises(ValueError) as error:
        estimator().fit(X, Y["regression"])
    said = f"{error.value} {error.value.__cause__}"
    assert "`optimizer`" in said and "exclude_from_weight_decay(var_names=[...])" in said


def test_a_pickle_of_variables_excluded_by_themselves_is_refused():
    """It would be of an optimizer that knows nothing of them."""
    estimator = KerasRegressor(line, optimizer=undecayed(var_list=line({}).trainable_variables))
    with pytest.raises(ValueError, match=r"exclude_from_weight_decay\(var_names"):
        pickle.dumps(estimator)
    fitted = KerasRegressor(listed_line, random_state=0).fit(X, Y["regression"])
    assert len(pickle.loads(pickle.dumps(fitted)).predict(X)) == len(X)
