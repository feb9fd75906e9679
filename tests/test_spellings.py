"""Old spellings do what they did, say what to write now, and give way to the user's own names."""

import inspect
import pickle
import re
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcb import KerasClassifier, KerasRegressor, Tunable
from skcb._spellings import TABLE
from skcb.callbacks import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from tests.models import X, Y, fitted, perceptron

y = Y["binary"]


def old(text):
    """Expect a warning about an old spelling that says so."""
    return pytest.warns(FutureWarning, match=re.escape(text))


# -- names of parameters ---------------------------------------------------------------------------


def make_model():
    """Build and compile as the wrapper's users did."""
    model = keras.Sequential([layers.Input((4,)), layers.Dense(1, activation="sigmoid")])
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    return model


def test_a_script_for_the_wrapper_of_keras_2_runs_as_written():
    """It trains so many epochs, and the warning points at the script's own line."""
    with old("`nb_epoch` is an old spelling: write `epochs`.") as caught:
        clf = KerasClassifier(build_fn=make_model, nb_epoch=20, batch_size=128, verbose=0)
    assert [w.filename for w in caught] == [__file__]
    clf.fit(X, y)
    assert clf.n_iter_ == len(clf.history_["accuracy"]) == 20
    assert set(clf.predict(X)) <= {"yes", "no"}


NAMES = [  # what else is given, the old name and value, the new name and value
    ({}, "nb_epoch", 3, "epochs", 3),
    ({}, "fit__nb_epoch", 3, "fit__epochs", 3),
    ({"optimizer": "sgd"}, "optimizer__lr", 0.25, "optimizer__learning_rate", 0.25),
    (
        {"callbacks": {"plateau": ReduceLROnPlateau("loss")}},
        *("callbacks__plateau__epsilon", 0.5, "callbacks__plateau__min_delta", 0.5),
    ),
    (
        {"callbacks": {"plateau": "ReduceLROnPlateau"}},
        *("callbacks__plateau__epsilon", 0.5, "callbacks__plateau__min_delta", 0.5),
    ),
    (
        {"callbacks": ModelCheckpoint("best.keras")},
        *("callbacks__model_checkpoint__period", 5),
        *("callbacks__model_checkpoint__save_freq", "5 epochs"),
    ),
    (
        {"callbacks": [Tunable(keras.callbacks.ModelCheckpoint, filepath="best.keras")]},
        *("callbacks__model_checkpoint__period", 1),
        *("callbacks__model_checkpoint__save_freq", "epoch"),
    ),
]


@pytest.mark.parametrize(("others", "name", "value", "new", "now"), NAMES)
def test_an_old_name_is_the_new_one_from_then_on(others, name, value, new, now):
    """By the constructor and by `set_params`; the parameters hold the new name alone."""
    wanted = KerasClassifier(perceptron, **others).set_params(**{new: now})
    with old(f"`{name}` is an old spelling: write `{new}`."):
        made = KerasClassifier(perceptron, **others, **{name: value})
    with old(f"`{name}` is an old spelling: write `{new}`."):
        changed = KerasClassifier(perceptron, **others).set_params(**{name: value})
    for estimator in (made, changed):
        assert estimator.get_params(deep=False) == wanted.get_params(deep=False)
        assert estimator.get_params()[new] == now
        assert name not in estimator.get_params()


def test_copies_do_not_warn_again():
    """Neither `clone`, nor a pickle, nor setting another parameter (warnings are errors here)."""
    with old("`nb_epoch`"):
        clf = KerasClassifier(perceptron, nb_epoch=2)
    with old("`epsilon`"):
        clf.set_params(callbacks={"plateau": ReduceLROnPlateau("loss", epsilon=0.1)})
    for copy in (clone(clf), pickle.loads(pickle.dumps(clf)), clf.set_params(batch_size=8)):
        assert copy.epochs == 2
        assert copy.callbacks["plateau"].min_delta == 0.1
    assert clone(clf).fit(X, y).n_iter_ == 2


@pytest.mark.parametrize(
    ("others", "params", "pair"),
    [
        ({}, {"nb_epoch": 3, "epochs": 4}, ("nb_epoch=3", "epochs=4")),
        ({}, {"nb_epoch": 4, "epochs": 4}, ("nb_epoch=4", "epochs=4")),
        (
            {"optimizer": "sgd"},
            {"optimizer__lr": 0.1, "optimizer__learning_rate": 0.2},
            ("optimizer__lr=0.1", "optimizer__learning_rate=0.2"),
        ),
    ],
)
def test_both_spellings_are_an_error(others, params, pair):
    """In one call there is no telling which is meant; both are named."""
    message = re.escape(f"`{pair[0]}` is an old spelling of") + ".*" + re.escape(f"`{pair[1]}`")
    with pytest.raises(ValueError, match=message):
        KerasClassifier(perceptron, **others, **params)
    estimator = KerasClassifier(perceptron, **others)
    with pytest.raises(ValueError, match=message):
        estimator.set_params(**params)
    assert estimator.get_params() == KerasClassifier(perceptron, **others).get_params()


def test_a_later_call_wins_whatever_its_spelling():
    """`set_params` replaces what was given before."""
    with old("`nb_epoch`"):
        clf = KerasClassifier(perceptron, nb_epoch=5)
    assert clf.set_params(epochs=2).fit(X, y).n_iter_ == 2
    with old("`nb_epoch`"):
        clf.set_params(nb_epoch=3)
    assert clf.fit(X, y).n_iter_ == 3


def in_the_old_words(nb_epoch=1, lr=0.5, decay=0.0, init="zeros"):
    """Build a model with weights that say what was given."""
    total = nb_epoch + lr + decay + len(init)
    layer = layers.Dense(1, "sigmoid", bias_initializer=keras.initializers.Constant(total))
    return keras.Sequential([layers.Input((4,)), layer])


def test_a_name_in_the_build_functions_signature_is_its_own():
    """Whatever it once meant to Keras: nothing is renamed, and nothing warns."""
    params = {"nb_epoch": 2, "lr": 0.25, "decay": 0.125, "init": "ones"}
    clf = KerasClassifier(in_the_old_words, optimizer="sgd", optimizer__learning_rate=0.0, **params)
    assert {name: clf.get_params()[name] for name in params} == params
    clf = clone(clf).set_params(nb_epoch=3).fit(X, y)
    assert clf.n_iter_ == 1
    assert float(clf.model_.get_weights()[1][0]) == 3 + 0.25 + 0.125 + 4


def test_a_name_chosen_together_with_the_build_function_is_judged_by_it():
    """In one call, the new function's signature says whose the name is."""
    clf = KerasClassifier(perceptron).set_params(build_fn=in_the_old_words, nb_epoch=2)
    assert (clf.epochs, clf.get_params()["nb_epoch"]) == (1, 2)
    with old("`nb_epoch`"):
        clf = KerasClassifier(in_the_old_words).set_params(build_fn=perceptron, nb_epoch=2)
    assert clf.epochs == 2


class Slow(keras.optimizers.SGD):
    """An optimizer with old words of its own."""

    def __init__(self, lr=0.5, decay=0.0, **kwargs):
        super().__init__(learning_rate=lr * (1 - decay), **kwargs)


class ReduceLR(keras.callbacks.ReduceLROnPlateau):
    def __init__(self, epsilon=0.5, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon


def test_a_name_in_the_signature_of_a_part_is_its_own():
    """Of the user's own optimizer and callback."""
    clf = fitted(
        optimizer=Tunable(Slow),
        optimizer__lr=0.25,
        optimizer__decay=0.5,
        callbacks={"mine": Tunable(ReduceLR, monitor="loss")},
        callbacks__mine__epsilon=0.125,
        epochs=2,
    )
    assert clf.history_["learning_rate"] == [0.125, 0.125]
    assert clf.callbacks_["mine"].epsilon == 0.125


@pytest.mark.filterwarnings("default::FutureWarning")
def test_a_search_over_an_old_name_works_and_warns_once():
    """Under the pipeline's prefix too; every candidate trains as it was told."""
    pipe = make_pipeline(StandardScaler(), KerasClassifier(perceptron, random_state=0))
    grid = {
        "kerasclassifier__nb_epoch": [1, 3],
        "kerasclassifier__optimizer__lr": [0.1, 0.2],
        "kerasclassifier__optimizer": ["sgd"],
    }
    with warnings.catch_warnings(record=True) as caught:
        search = GridSearchCV(pipe, grid, cv=2, error_score="raise").fit(X, y)
    told = [str(w.message) for w in caught if w.category is FutureWarning]
    assert len(told) == len(set(told)) == 2
    assert search.best_params_.keys() == grid.keys()
    best = search.best_estimator_[-1]
    assert best.n_iter_ == search.best_params_["kerasclassifier__nb_epoch"]
    rate = search.best_params_["kerasclassifier__optimizer__lr"]
    assert best.history_["learning_rate"][-1] == pytest.approx(rate)


# -- the decay of Keras 2's optimizers ------------------------------------------------------------


def decaying(decay, **params):
    """Fit with a decay; the warning says what it counts."""
    with old("counts optimizer steps, lr / (1 + decay * iterations)"):
        clf = KerasClassifier(perceptron, random_state=0, epochs=3, **params)
        clf.set_params(optimizer__decay=decay)
    return clf.fit(X, y)


@pytest.mark.parametrize("batch_size", [8, 16, 48])
@pytest.mark.parametrize("optimizer", ["sgd", keras.optimizers.SGD, keras.optimizers.SGD(0.5)])
def test_the_decay_counts_optimizer_steps(optimizer, batch_size):
    """The rate of an epoch's last step follows from the steps before it."""
    params = {"optimizer": optimizer, "batch_size": batch_size, "optimizer__learning_rate": 0.5}
    rates = decaying(0.25, **params).history_["learning_rate"]
    steps = -(-len(X) // batch_size)
    last = np.array([steps * (epoch + 1) - 1 for epoch in range(3)])
    np.testing.assert_allclose(rates, 0.5 / (1 + 0.25 * last), rtol=1e-6)


def test_the_decay_is_keras_inverse_time_decay_to_the_bit():
    """The same weights and history as with Keras' schedule object of the same numbers."""
    schedule = keras.optimizers.schedules.InverseTimeDecay(0.5, 1, 0.25)
    plain = KerasClassifier(perceptron, random_state=0, epochs=3, optimizer="adam")
    plain.set_params(optimizer__learning_rate=schedule).fit(X, y)
    clf = decaying(0.25, optimizer="adam", optimizer__learning_rate=0.5)
    assert clf.history_ == plain.history_
    for a, b in zip(clf.model_.get_weights(), plain.model_.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def compiled(meta):
    """Build a model with an optimizer of its own."""
    model = perceptron(meta)
    model.compile(optimizer=keras.optimizers.SGD(0.5), loss="binary_crossentropy")
    return model


def test_the_decay_reaches_the_build_functions_own_optimizer():
    """From the learning rate that it was compiled with."""
    with old("optimizer steps"):
        clf = fitted(compiled, optimizer__decay=1.0, epochs=3)
    np.testing.assert_allclose(clf.history_["learning_rate"], [0.5, 0.25, 0.5 / 3], rtol=1e-6)


def test_no_decay_leaves_the_rate_a_number():
    """So that a grid may hold 0.0 beside others, and a schedule may stand beside it."""
    clf = decaying(0.0, optimizer="sgd", lr_schedule=lambda epoch: 0.125)
    assert clf.history_["learning_rate"] == [0.125] * 3


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"lr_schedule": "CosineDecay"}, r"`optimizer__decay=0\.5` and `lr_schedule='Cosine"),
        (
            {"callbacks": {"plateau": ReduceLROnPlateau("loss")}},
            r"`callbacks__plateau` is a ReduceLROnPlateau.*`optimizer__decay` makes one",
        ),
        (
            {"optimizer": keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 9))},
            r"`optimizer__decay=0\.5` and the optimizer's own schedule object",
        ),
    ],
)
def test_a_second_owner_of_the_rate_is_refused(params, message):
    """Before the first epoch."""
    with pytest.raises(ValueError, match=message):
        decaying(0.5, **{"optimizer": "sgd", **params})


@pytest.mark.parametrize("decay", [-0.1, "slow", float("nan"), None, True])
def test_a_decay_must_be_a_number(decay):
    """The error names it."""
    with pytest.raises(ValueError, match=r"`optimizer__decay` must be a number of at least 0 but"):
        decaying(decay, optimizer="sgd")


# -- callbacks -------------------------------------------------------------------------------------


def test_recipes_take_old_arguments():
    """The recipe is that of the new spelling."""
    with old("`epsilon` is an old spelling: write `min_delta`."):
        assert ReduceLROnPlateau(epsilon=0.1) == ReduceLROnPlateau(min_delta=0.1)
    with old("`period` is an old spelling: write `save_freq`."):
        recipe = ModelCheckpoint("best.keras", period=5)
    assert recipe == ModelCheckpoint("best.keras", save_freq="5 epochs")
    with old("`period`"):
        assert ModelCheckpoint("best.keras", period=1) == ModelCheckpoint("best.keras")
    with pytest.raises(ValueError, match=r"`epsilon=0\.1` is an old spelling of `min_delta`"):
        ReduceLROnPlateau(epsilon=0.1, min_delta=0.2)


def test_a_tunable_of_keras_class_takes_old_arguments():
    """At `fit`, where it becomes Keras' callback."""
    recipe = Tunable(keras.callbacks.ReduceLROnPlateau, monitor="loss", epsilon=0.125)
    with old("`callbacks__mine__epsilon` is an old spelling"):
        clf = fitted(callbacks={"mine": recipe}, epochs=2)
    assert abs(clf.callbacks_["mine"].min_delta) == 0.125


@pytest.mark.parametrize("engine", ["auto", "keras"])
@pytest.mark.parametrize(
    ("period", "saved"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4]), (5, [5]), (6, [])]
)
def test_a_period_counts_epochs(period, saved, engine, tmp_path):
    """The files that are there, whatever the road, and no batches are looked at for it."""
    with old("`period`"):
        save = ModelCheckpoint(tmp_path / "{epoch}.keras", period=period)
    clf = fitted(callbacks=save, epochs=5, engine=engine)
    assert sorted(int(path.stem) for path in tmp_path.iterdir()) == saved
    assert "ModelCheckpoint" not in clf.engine_


def test_a_period_is_counted_across_partial_fit_and_pickles(tmp_path):
    """Five single epochs save what a fit of five does."""
    save = ModelCheckpoint(tmp_path / "{epoch}.keras", save_freq="2 epochs")
    clf = KerasClassifier(perceptron, callbacks=save, epochs=5, random_state=0)
    for _ in range(5):
        clf = pickle.loads(pickle.dumps(clf.partial_fit(X, y)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2.keras", "4.keras"]


@pytest.mark.parametrize("value", ["0 epochs", "five epochs", "5 batches", -1, 2.5])
def test_a_save_freq_is_judged(value):
    """Values are judged by `fit`."""
    with pytest.raises(ValueError, match="`callbacks__save__save_freq` must be 'epoch'"):
        fitted(callbacks={"save": ModelCheckpoint("never.keras", save_freq=value)}, epochs=2)


WATCHED = {"metrics": ["accuracy"], "validation_split": 0.25, "epochs": 3}


@pytest.mark.parametrize(("monitor", "now"), [("acc", "accuracy"), ("val_acc", "val_accuracy")])
@pytest.mark.parametrize("cls", [EarlyStopping, ReduceLROnPlateau])
def test_acc_is_what_the_logs_call_accuracy(cls, monitor, now):
    """The live callback watches it, and in its direction."""
    text = f"`callbacks__mine__monitor='{monitor}'` is an old spelling: write"
    with old(text):
        clf = fitted(callbacks={"mine": cls(monitor=monitor, patience=9)}, **WATCHED)
    assert clf.callbacks_["mine"].monitor == now
    assert clf.callbacks_["mine"].best == max(clf.history_[now])
    with old(text), pytest.raises(ValueError, match=f"a higher '{now}' is better: give 'max'"):
        fitted(callbacks={"mine": cls(monitor=monitor, mode="min")}, **WATCHED)


def test_a_metric_that_is_called_acc_is_watched_under_its_name():
    """Keras calls a metric as the user did."""
    clf = fitted(callbacks={"mine": EarlyStopping("val_acc")}, **{**WATCHED, "metrics": ["acc"]})
    assert clf.callbacks_["mine"].monitor == "val_acc"


def test_acc_without_an_accuracy_is_an_error():
    """It is not put in the place of something else."""
    with pytest.raises(ValueError, match="nothing in this fit is called 'val_acc'"):
        fitted(callbacks={"mine": EarlyStopping("val_acc")}, **{**WATCHED, "metrics": ["AUC"]})


FILES = [  # as given, weights alone, as written
    ("best.h5", False, "best.h5"),
    ("best.hdf5", False, "best.keras"),
    ("best.h5", True, "best.weights.h5"),
    ("best.hdf5", True, "best.weights.h5"),
    ("best.weights.hdf5", True, "best.weights.h5"),
]


@pytest.mark.parametrize(("given", "weights_only", "written"), FILES)
def test_old_file_names_say_which_file_is_written(given, weights_only, written, tmp_path):
    """A whole model may stay an .h5 file; Keras takes no .hdf5 any more."""
    save = ModelCheckpoint(tmp_path / given, "loss", save_weights_only=weights_only)
    with old(f"What is written now is {written!r}."):
        clf = fitted(callbacks={"save": save}, epochs=2)
    assert [path.name for path in tmp_path.iterdir()] == [written]
    if weights_only:
        clf.model_.load_weights(tmp_path / written)
    else:
        loaded = keras.models.load_model(tmp_path / written, compile=False)
        np.testing.assert_array_equal(loaded(X), clf.model_(X))


def test_the_fields_of_a_file_name_may_say_acc(tmp_path):
    """The tutorials' own file name, letter by letter."""
    name = "weights-improvement-{epoch:02d}-{val_acc:.2f}.hdf5"
    save = ModelCheckpoint(tmp_path / name, monitor="val_acc", save_best_only=True, mode="max")
    with pytest.warns(FutureWarning) as caught:
        clf = fitted(callbacks={"save": save}, **WATCHED)
    told = [w for w in caught if w.category is FutureWarning]
    assert len(told) == 3  # the monitor, the field, the end of the name
    first = clf.history_["val_accuracy"][0]
    assert (tmp_path / f"weights-improvement-01-{first:.2f}.keras").exists()


# -- losses and metrics ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "now"),
    [
        ("kullback_leibler_divergence", "kl_divergence"),
        ("cosine_proximity", "cosine_similarity"),
    ],
)
def test_old_names_of_losses_and_metrics(name, now):
    """They train and measure what the new names do."""
    params = {"kind": "multiclass", "epochs": 2}
    with pytest.warns(FutureWarning) as caught:
        clf = fitted(loss=name, metrics=[name], **params)
    told = " ".join(str(w.message) for w in caught)
    assert f"write `loss={now!r}`" in told
    assert f"write `metrics={now!r}`" in told
    assert clf.history_ == fitted(loss=now, metrics=[now], **params).history_


def test_the_cosine_has_the_sign_that_the_warning_says():
    """As a loss -1 is the best, as it was; as a metric 1 is, where Keras 2 had -1."""
    with pytest.warns(FutureWarning) as caught:
        reg = fitted(
            kind="several targets",
            loss="cosine_proximity",
            metrics=["cosine_proximity"],
            epochs=1,
        )
    assert "sign is turned: 1 is the best" in str(caught[-1].message)
    found = {name: values[0] for name, values in reg.history_.items()}
    assert found["loss"] == pytest.approx(-found["cosine_similarity"], rel=1e-5)


# -- the page --------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[1] / "docs" / "migrating.md"
KINDS = {
    "estimator": "parameter",
    "fit": "`fit__`",
    "optimizer": "`optimizer__`",
    "monitor": "`monitor` of a callback",
    "file": "end of `filepath`",
    "loss": "`loss`",
    "metrics": "`metrics`",
}


def rows():
    """Return the rows of the page's table, as the code has them."""
    for row in TABLE:
        kind = KINDS.get(row.owner, f"`{row.owner}`")
        new = f"`{row.new}`" if row.new else ""
        yield f"| {kind} | `{row.old}` | " + ". ".join(filter(None, [new, row.note])) + " |"


def test_the_page_lists_what_the_code_understands():
    """All of it, in its order, and nothing else."""
    text = PAGE.read_text("utf-8")
    table = re.search(r"\| where \| written then \| written now \|\n\| --- .*\n((?:\|.*\n)+)", text)
    assert table is not None
    assert table[1].splitlines() == list(rows())


def test_every_old_spelling_is_tried_here():
    """A row of the table that no test of this file names is a promise without proof."""
    text = Path(__file__).read_text("utf-8")
    assert [row.old for row in TABLE if row.old not in text] == []


def test_keras_itself_no_longer_knows_them():
    """Else the row would stand in the way of Keras' own meaning."""
    for row in TABLE:
        if row.owner in ("loss", "metrics"):
            with pytest.raises(ValueError):
                getattr(keras, {"loss": "losses"}.get(row.owner, "metrics")).get(row.old)
        elif hasattr(keras.callbacks, row.owner):
            cls = getattr(keras.callbacks, row.owner)
            assert row.old not in inspect.signature(cls).parameters
    with pytest.warns(UserWarning, match="no longer supported and will be ignored"):
        keras.optimizers.SGD(decay=0.1)
    with pytest.raises((TypeError, ValueError)):
        keras.optimizers.SGD(lr=0.1)


def test_a_regressor_understands_them_too():
    """The names are the same."""
    with old("`nb_epoch`"):
        assert KerasRegressor(perceptron, nb_epoch=2).fit(X, Y["regression"]).n_iter_ == 2
