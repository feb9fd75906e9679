"""Scores of scikit-learn's in every epoch, for whoever watches them."""

import gc
import pickle
import weakref

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import is_classifier
from sklearn.metrics import accuracy_score, f1_score, get_scorer, make_scorer
from sklearn.model_selection import GridSearchCV

from skcb import KerasClassifier, KerasRegressor, Tunable
from skcb.callbacks import (
    EarlyStopping,
    EpochScoring,
    ModelCheckpoint,
    ReduceLROnPlateau,
    SwapEMAWeights,
    TerminateOnNaN,
)
from tests.models import X, Y, numbered, perceptron, seeing, untrainable

X_VAL = np.random.default_rng(1).normal(size=(24, 4)).astype("float32")
Y_VAL = {
    "binary": np.where(X_VAL[:, 0] > 0, "yes", "no"),
    "multiclass": np.array(["a", "b", "c"])[np.digitize(X_VAL[:, 0], [-0.5, 0.5])],
    "multilabel": (X_VAL[:, :3] > 0).astype(int),
    "regression": X_VAL[:, 0] + 2 * X_VAL[:, 1],
    "several targets": X_VAL[:, :2] * [1.0, 3.0],
}
WEIGHT = np.linspace(0.1, 2.0, len(X))
WEIGHT_VAL = np.linspace(2.0, 0.1, len(X_VAL))


def estimator(kind="binary", build_fn=perceptron, **params):
    """Make an estimator for one of the ys."""
    cls = KerasRegressor if kind in ("regression", "several targets") else KerasClassifier
    return cls(build_fn, **{"random_state": 0, "epochs": 3, "batch_size": 16, **params})


def fitted(kind="binary", weighted=False, **params):
    """Fit one, and watch rows of its own."""
    watched = {"X_val": X_VAL, "y_val": Y_VAL[kind]}
    if weighted:
        watched |= {"sample_weight": WEIGHT, "sample_weight_val": WEIGHT_VAL}
    return estimator(kind, **params).fit(X, Y[kind], **watched)


class Batches(keras.callbacks.Callback):
    """Needs the batches."""

    def on_train_batch_end(self, batch, logs=None):
        """Look at one."""


class Broken(Exception):
    """An error of the user's own."""


def broken(estimator, X, y):
    """Fail as a scorer may."""
    raise Broken


def own_f1(estimator, X, y, sample_weight=None):
    """Score like a user: by what a fitted classifier has."""
    assert is_classifier(estimator) and list(estimator.classes_) == ["no", "yes"]
    assert np.array_equal(
        estimator.classes_[estimator.predict_proba(X).argmax(axis=1)], estimator.predict(X)
    )
    return f1_score(y, estimator.predict(X), pos_label="yes", sample_weight=sample_weight)


def spoiling(estimator, X, y):
    """Change what it was given."""
    estimator.predict_proba(X)[:] = 1 / 3
    return 1.0


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "kind, scoring",
    [
        ("binary", "roc_auc"),
        ("binary", own_f1),
        ("binary", None),
        ("multiclass", "roc_auc_ovr_weighted"),
        ("multiclass", make_scorer(f1_score, average="macro")),
        ("multilabel", "f1_macro"),
        ("regression", "neg_mean_absolute_error"),
        ("several targets", "r2"),
    ],
)
def test_each_epoch_has_the_score_of_a_fit_that_ends_there(kind, scoring, weighted):
    """On the rows that are watched and on those that train, with their weights."""
    callbacks = [EpochScoring(scoring, name="s"), EpochScoring(scoring, name="s", on="train")]
    history = fitted(kind, weighted, callbacks=callbacks).history_
    scorer = get_scorer(scoring) if isinstance(scoring, str) else scoring
    scorer = scorer or (lambda estimator, *data, **weights: estimator.score(*data, **weights))
    for epochs in (1, 2, 3):
        there = fitted(kind, weighted, epochs=epochs)
        on_train = {"sample_weight": WEIGHT} if weighted else {}
        on_watched = {"sample_weight": WEIGHT_VAL} if weighted else {}
        assert history["s"][epochs - 1] == scorer(there, X, Y[kind], **on_train)
        assert history["val_s"][epochs - 1] == scorer(there, X_VAL, Y_VAL[kind], **on_watched)


@pytest.mark.parametrize("position", ["first", "last"])
def test_those_who_monitor_a_score_see_it_wherever_it_stands(position, tmp_path):
    """And know that greater is better, the best epoch too."""
    score = {"score": EpochScoring("neg_log_loss")}
    watchers = {
        "stop": EarlyStopping("val_neg_log_loss", patience=0, restore_best_weights=True),
        "plateau": ReduceLROnPlateau("val_neg_log_loss", patience=0, factor=0.5),
        "save": ModelCheckpoint(
            tmp_path / "best.keras", monitor="val_neg_log_loss", save_best_only=True
        ),
    }
    callbacks = {**score, **watchers} if position == "first" else {**watchers, **score}
    clf = fitted(epochs=30, optimizer="sgd", optimizer__learning_rate=2.0, callbacks=callbacks)
    scores = clf.history_["val_neg_log_loss"]
    assert 1 < clf.n_iter_ < 30 and scores[-1] < scores[-2]  # it was stopped by getting worse
    assert clf.best_epoch_ == np.argmax(scores)
    assert clf.callbacks_["save"].best == max(scores)
    assert clf.callbacks_["plateau"].best == max(scores)
    assert get_scorer("neg_log_loss")(clf, X_VAL, Y_VAL["binary"]) == max(scores)
    assert list(clf.callbacks_) == list(callbacks)


def test_a_checkpoints_path_may_hold_a_score(tmp_path):
    """It is there when the file is named."""
    save = ModelCheckpoint(tmp_path / "{val_roc_auc:.3f}.keras")
    clf = fitted(epochs=2, callbacks=[save, EpochScoring("roc_auc")])
    names = {f"{score:.3f}.keras" for score in clf.history_["val_roc_auc"]}
    assert {file.name for file in tmp_path.iterdir()} == names


def test_all_scorers_of_an_epoch_share_one_prediction():
    """Several in a callback, and several callbacks: the watched rows are looked at once more."""
    callbacks = [EpochScoring(["roc_auc", "accuracy", "neg_log_loss"]), EpochScoring(own_f1)]
    looked_at = []
    for given in (None, callbacks):
        rows = numbered(np.vstack([X, X_VAL]))
        clf = estimator(build_fn=seeing, callbacks=given, model__n_rows=len(rows))
        clf.fit(rows[:48], Y["binary"], X_val=rows[48:], y_val=Y_VAL["binary"])
        looked_at.append(np.asarray(clf.model_.get_layer("seen").watched)[48:])
    assert looked_at[0].tolist() == [3.0] * 24  # evaluated in each of three epochs
    assert looked_at[1].tolist() == [6.0] * 24


def test_a_scorer_that_changes_what_it_gets_harms_no_other():
    """Each gets a copy of the shared outputs."""
    alone = fitted("multiclass", callbacks=EpochScoring("neg_log_loss"))
    scoring = {"spoiling": spoiling, "neg_log_loss": "neg_log_loss"}
    spoiled = fitted("multiclass", callbacks=EpochScoring(scoring))
    assert spoiled.history_["val_neg_log_loss"] == alone.history_["val_neg_log_loss"]


class AlwaysDrops(keras.layers.Dropout):
    """Draws random numbers in predictions too."""

    def call(self, x, training=None):
        return super().call(x, training=True)


def dropping(meta, layer=keras.layers.Dropout):
    """Build a model that draws in training, and keeps moving averages."""
    layers = [keras.layers.Dense(6, "relu"), keras.layers.BatchNormalization(), layer(0.3)]
    head = keras.layers.Dense(meta["n_output_units_"], meta["output_activation_"])
    return keras.Sequential([keras.layers.Input((meta["n_features_in_"],)), *layers, head])


def in_training_mode(estimator, X, y):
    """Run the model as only training does, as for an uncertainty by dropout."""
    return float(np.mean(estimator.model_(X, training=True)))


class Drawn(KerasClassifier):
    """A class of the user's own that does so in its predictions."""

    def predict_proba(self, X, **params):
        found = np.asarray(self.model_(X, training=True))
        return np.hstack([1 - found, found])


@pytest.mark.slow
@pytest.mark.parametrize(
    "cls, layer, scoring",
    [
        (KerasClassifier, keras.layers.Dropout, in_training_mode),
        (Drawn, keras.layers.Dropout, "neg_log_loss"),
        (KerasClassifier, AlwaysDrops, "neg_log_loss"),
    ],
    ids=["scorer", "method", "layer"],
)
def test_scorers_that_draw_or_move_averages_leave_training_as_it_was(cls, layer, scoring):
    """To the last bit, whatever in them it is that touches the model."""
    runs = []
    for callbacks in (None, EpochScoring(scoring, name="s")):
        clf = cls(dropping, model__layer=layer, epochs=3, random_state=0, callbacks=callbacks)
        runs.append(clf.fit(X, Y["binary"], **WATCHED))
    plain, scored = runs
    assert len(set(scored.history_.pop("val_s"))) == 3
    assert scored.history_ == plain.history_
    for a, b in zip(scored.model_.variables, plain.model_.variables, strict=True):
        assert np.array_equal(a, b)


def test_scorer_finds_what_a_fit_that_ends_here_leaves_behind():
    """But for its own score, which is not known yet; and nothing of a fit before."""
    found = []

    def look(estimator, X, y):
        found.append((estimator.history_, estimator.n_iter_, estimator.best_epoch_))
        return 0.0

    clf = estimator(callbacks=EpochScoring(look)).fit(X, Y["binary"], **WATCHED)
    clf.fit(X, Y["binary"], **WATCHED)
    for epochs in (1, 2, 3):
        there = fitted(epochs=epochs)
        for history, *numbers in (found[epochs - 1], found[epochs + 2]):
            history.pop("val_look", None)
            assert (history, *numbers) == (there.history_, epochs, there.best_epoch_)


def averaging(**params):
    """Fit with averaged weights in the place of the others where rows are watched."""
    params["callbacks"] = [SwapEMAWeights(), *params.get("callbacks", [])]
    return fitted(
        optimizer="adam", optimizer__use_ema=True, optimizer__ema_momentum=0.5, epochs=12, **params
    )


def test_averaged_weights_are_scored_where_they_are_evaluated():
    """The score says of the watched rows what ``val_loss`` says, and training stays as it was."""
    scored = averaging(callbacks=[EpochScoring("neg_log_loss")])
    plain = averaging()
    losses = scored.history_["val_loss"]
    np.testing.assert_allclose(np.negative(scored.history_["val_neg_log_loss"]), losses, rtol=1e-5)
    assert losses == plain.history_["val_loss"]
    for a, b in zip(scored.model_.variables, plain.model_.variables, strict=True):
        assert np.array_equal(a, b)


def test_scoring_averaged_weights_leaves_training_as_it_was():
    """Keras swaps weights by adding, which costs a last bit where nothing is evaluated."""
    params = {"optimizer__use_ema": True, "optimizer__ema_momentum": 0.5, "optimizer": "adam"}
    runs = []
    for scores in ([], [EpochScoring("neg_log_loss", on="train")]):
        clf = estimator(callbacks=[SwapEMAWeights(), *scores], epochs=8, **params)
        runs.append(clf.fit(X, Y["binary"]))
    plain, scored = runs
    assert scored.history_["loss"] == plain.history_["loss"]
    for a, b in zip(scored.model_.variables, plain.model_.variables, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize(
    "params, road",
    [
        ({}, "whole epochs"),
        ({"engine": "keras"}, "keras"),
        ({"callbacks": [Batches()]}, "batch by batch"),
    ],
)
def test_every_road_gives_the_same_scores(params, road):
    """Scoring alone keeps the whole-epoch road."""
    scoring = EpochScoring(["roc_auc", "neg_log_loss"])
    callbacks = [*params.pop("callbacks", []), scoring]
    clf = fitted(callbacks=callbacks, **params)
    assert clf.engine_.startswith(road)
    reference = fitted(callbacks=scoring)
    for name in ("val_roc_auc", "val_neg_log_loss", "loss"):
        assert clf.history_[name] == reference.history_[name]


@pytest.mark.parametrize("pickled", [False, True])
def test_partial_fit_scores_each_epoch(pickled):
    """As ``fit`` does, and on the rows of each call."""
    callbacks = [EpochScoring(["roc_auc"]), EpochScoring(own_f1, on="train")]
    clf = estimator(callbacks=callbacks)
    for _ in range(3):
        clf.partial_fit(X, Y["binary"], X_val=X_VAL, y_val=Y_VAL["binary"])
        clf = pickle.loads(pickle.dumps(clf)) if pickled else clf
    assert clf.history_ == fitted(callbacks=callbacks).history_
    clf.partial_fit(X, Y["binary"], X_val=X_VAL[:12], y_val=Y_VAL["binary"][:12])
    expected = get_scorer("roc_auc")(clf, X_VAL[:12], Y_VAL["binary"][:12])
    assert clf.history_["val_roc_auc"][-1] == expected


def last_score(search_estimator, X, y):
    """Give the last score that training logged; fails where another was asked for."""
    scoring = search_estimator.get_params()["callbacks__score__scoring"]
    return search_estimator.history_[f"val_{scoring}"][-1]


def test_a_search_varies_the_scoring():
    """Each candidate logs its own."""
    clf = estimator(callbacks={"score": EpochScoring("roc_auc")}, validation_split=0.25)
    names = ["roc_auc", "accuracy", "neg_log_loss"]
    search = GridSearchCV(
        clf, {"callbacks__score__scoring": names}, cv=2, scoring=last_score, error_score="raise"
    ).fit(X, Y["binary"])
    found = dict(zip(names, search.cv_results_["mean_test_score"], strict=True))
    assert found["neg_log_loss"] < 0 <= min(found["roc_auc"], found["accuracy"])


def test_epochs_that_are_not_watched_have_no_score():
    """As they have no ``val_loss``; the best epoch still counts all."""
    stop = EarlyStopping("val_roc_auc", patience=9)
    with pytest.warns(UserWarning, match="metric `val_roc_auc`"):  # Keras', as for val_loss
        clf = fitted(epochs=6, fit__validation_freq=3, callbacks=[stop, EpochScoring("roc_auc")])
    scores = clf.history_["val_roc_auc"]
    assert len(scores) == len(clf.history_["val_loss"]) == 2
    assert clf.best_epoch_ == [2, 5][np.argmax(scores)]


@pytest.mark.parametrize(
    "scoring, name",
    [
        (make_scorer(accuracy_score), "val_accuracy_score"),
        (own_f1, "val_own_f1"),
        (None, "val_score"),
        (lambda estimator, X, y: 1, "val_<lambda>"),
    ],
)
def test_a_scorer_without_a_name_has_that_of_its_function(scoring, name):
    """Scikit-learn's scorers keep it under a private name; here it is noticed if that goes."""
    assert name in fitted(callbacks=EpochScoring(scoring)).history_


def test_a_scorer_that_takes_no_weights_scores_without():
    """Scikit-learn tells which do by a private method; here it is noticed if that goes."""
    clf = fitted("regression", weighted=True, callbacks=EpochScoring("neg_max_error"))
    expected = get_scorer("neg_max_error")(clf, X_VAL, Y_VAL["regression"])
    assert clf.history_["val_neg_max_error"][-1] == expected


def test_a_scorer_may_refuse_weights():
    """By ``set_score_request``, where metadata are routed."""
    with config_context(enable_metadata_routing=True):
        scorer = make_scorer(accuracy_score).set_score_request(sample_weight=False)
        clf = fitted(weighted=True, callbacks=EpochScoring(scorer, name="s"))
    assert clf.history_["val_s"][-1] == clf.score(X_VAL, Y_VAL["binary"])


def test_a_table_may_have_names():
    """Rows are arrays by then, and nobody warns that their names are gone."""
    table = pd.DataFrame(X, columns=list("abcd"))
    clf = estimator(callbacks=EpochScoring("roc_auc"), validation_split=0.25)
    assert len(clf.fit(table, Y["binary"]).history_["val_roc_auc"]) == 3


def test_the_users_own_error_comes_through():
    """As it was raised."""
    with pytest.raises(Broken):
        fitted(callbacks=EpochScoring(broken))


@pytest.mark.parametrize("returned", [{"a": 1.0}, "text", [1.0, 2.0]])
def test_a_score_is_one_number(returned):
    """The error says which scorer, and how to have several."""
    with pytest.raises(TypeError, match=r"scorer of `val_s` must return one number.*several"):
        fitted(callbacks=EpochScoring(lambda estimator, X, y: returned, name="s"))


WATCHED = {"X_val": X_VAL, "y_val": Y_VAL["binary"]}


@pytest.mark.parametrize(
    "callbacks, watched, error, words",
    [
        (
            {"s": EpochScoring("roc_auc")},
            {},
            ValueError,
            "`callbacks__s__on='validation'` needs watched rows.*`callbacks__s__on='train'`",
        ),
        ({"s": EpochScoring("roc_ac")}, WATCHED, ValueError, "__scoring`.*'roc_ac'.*`roc_auc`"),
        ({"s": EpochScoring(["f1", "rocauc"])}, WATCHED, ValueError, "'rocauc'.*`roc_auc`"),
        ({"s": EpochScoring(accuracy_score)}, WATCHED, ValueError, "`callbacks__s__scoring`: "),
        ({"s": EpochScoring(3)}, WATCHED, TypeError, "`callbacks__s__scoring` must be.*got 3"),
        ({"s": EpochScoring("f1", on="test")}, WATCHED, ValueError, "`callbacks__s__on` must be"),
        ({"s": EpochScoring("f1", name=3)}, WATCHED, ValueError, "`callbacks__s__name` must be"),
        (
            {"s": EpochScoring(["f1", "roc_auc"], name="both")},
            WATCHED,
            ValueError,
            "`callbacks__s__name='both'` names one score.*has 2",
        ),
        (
            {"s": EpochScoring("accuracy")},
            WATCHED,
            ValueError,
            "`callbacks__s` would log 'val_accuracy', which the model's own metrics log too",
        ),
        (
            {"a": EpochScoring("roc_auc"), "b": EpochScoring("f1", name="roc_auc")},
            WATCHED,
            ValueError,
            "`callbacks__b` would log 'val_roc_auc', which the scores of `callbacks__a` log too",
        ),
        (
            {"s": EpochScoring("roc_auc"), "stop": EarlyStopping("val_roc_auc", mode="min")},
            WATCHED,
            ValueError,
            "`callbacks__stop__mode='min'`.*val_roc_auc",
        ),
        (
            {"s": EpochScoring("roc_auc"), "stop": EarlyStopping("val_roc_acu")},
            WATCHED,
            ValueError,
            "`callbacks__stop__monitor='val_roc_acu'`.*`val_roc_auc`",
        ),
    ],
)
def test_what_cannot_be_scored_is_refused_before_the_first_epoch(callbacks, watched, error, words):
    """The model fails the test if it ever trains."""
    clf = estimator(build_fn=untrainable if "stop" not in callbacks else perceptron)
    clf.set_params(callbacks=callbacks, metrics=["accuracy"])
    with pytest.raises(error, match=words):
        clf.fit(X, Y["binary"], **watched)
    assert not hasattr(clf, "history_")


def test_a_metric_that_is_built_at_the_first_batch_is_no_hindrance():
    """Keras' R2Score knows no result before."""
    history = fitted("regression", metrics=["r2_score"], callbacks=EpochScoring("r2")).history_
    assert {"val_r2", "val_r2_score"} <= set(history)


def test_rows_and_model_are_let_go_after_the_fit():
    """The watched rows die with the caller's last reference, and a pickle holds none of them."""
    rows = np.random.default_rng(2).normal(size=(3000, 4))
    alive = weakref.ref(rows)
    clf = estimator(callbacks=[EpochScoring("roc_auc"), TerminateOnNaN()])
    clf.fit(X, Y["binary"], X_val=rows, y_val=np.where(rows[:, 0] > 0, "yes", "no"))
    del rows
    gc.collect()
    assert alive() is None
    pickled = pickle.dumps(clf)
    assert len(pickled) < 3000 * 4 * 8
    assert pickle.loads(pickled).callbacks_["epoch_scoring"].scoring == "roc_auc"


def test_rows_are_let_go_where_a_fit_fails():
    """By an error of a callback, too."""
    rows = np.random.default_rng(2).normal(size=(30, 4))
    alive = weakref.ref(rows)
    clf = estimator(callbacks=EpochScoring(broken))
    try:
        clf.fit(X, Y["binary"], X_val=rows, y_val=np.where(rows[:, 0] > 0, "yes", "no"))
    except Broken:
        pass
    del rows
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize(
    "given", ["EpochScoring", EpochScoring, Tunable(EpochScoring, scoring="roc_auc")]
)
def test_every_form_of_a_callback_scores(given):
    """Name, class and Tunable of the recipe."""
    clf = fitted(callbacks={"s": given}, callbacks__s__scoring="roc_auc")
    assert len(clf.history_["val_roc_auc"]) == 3
