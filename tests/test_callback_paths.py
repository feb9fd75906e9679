"""Callbacks write where their paths say, each fit at its own, and never over another's files."""

import os
from pathlib import Path

import keras
import pandas as pd
import pytest
from sklearn.base import clone
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from skcb import KerasClassifier, Tunable
from skcb._paths import PATHS
from skcb._runs import own_path
from skcb.callbacks import (
    BackupAndRestore,
    CSVLogger,
    EarlyStopping,
    ModelCheckpoint,
    TensorBoard,
)
from tests.models import X, Y, fitted, perceptron


def written(folder):
    """Return the files below a directory, relative to it."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


class NoEpoch(keras.callbacks.Callback):
    """Fails the test when an epoch begins."""

    def on_epoch_begin(self, epoch, logs=None):
        pytest.fail("an epoch began")


def refused(message, **callbacks):
    """Check that a fit with these callbacks ends with a message before its first epoch."""
    callbacks = {"none": NoEpoch(), **callbacks}
    with pytest.raises((ValueError, TypeError), match=message):
        fitted(callbacks=callbacks, epochs=2, validation_split=0.25)


def test_the_callback_of_these_tests_would_notice_an_epoch():
    """Else they would show nothing."""
    with pytest.raises(pytest.fail.Exception, match="an epoch began"):
        fitted(callbacks=NoEpoch(), epochs=2)


# -- what may stand in a path ------------------------------------------------------------------


def test_fields_are_filled_in_by_who_knows_them(tmp_path):
    """`{run}` by skcb, epochs and logs by Keras; directories are made."""
    path = tmp_path / "{run}" / "deep" / "{epoch:02d}-{val_loss:.2f}.weights.h5"
    save = ModelCheckpoint(path, save_weights_only=True)
    estimator = fitted(callbacks=save, epochs=2, validation_split=0.25)
    losses = estimator.history_["val_loss"]
    assert written(tmp_path) == [
        f"{estimator.run_id_}/deep/{epoch:02d}-{loss:.2f}.weights.h5"
        for epoch, loss in enumerate(losses, 1)
    ]


def test_fields_of_metrics_and_batches_are_filled_in_too(tmp_path):
    """Whatever the logs hold."""
    save = ModelCheckpoint(tmp_path / "{epoch}-{batch}-{accuracy:.1f}.keras", save_freq=1)
    fitted(callbacks=save, metrics=["accuracy"], batch_size=24, epochs=2, validation_split=0.25)
    starts = [name[:4] for name in written(tmp_path)]
    assert starts == ["1-1-", "1-2-", "2-1-", "2-2-"]


def test_every_callback_that_writes_takes_a_run(tmp_path):
    """One directory holds what a fit wrote; a backup's is named so that the next run finds it."""
    at = tmp_path / "{run}"
    estimator = fitted(
        callbacks=[
            ModelCheckpoint(at / "best.keras", monitor="loss", save_best_only=True),
            CSVLogger(at / "log.csv"),
            TensorBoard(at / "board"),
            BackupAndRestore(tmp_path / "backups" / "{run}", delete_checkpoint=False),
        ],
        epochs=2,
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == [estimator.run_id_, "backups"]
    here = tmp_path / estimator.run_id_
    assert sorted(p.name for p in here.iterdir()) == ["best.keras", "board", "log.csv"]
    assert keras.models.load_model(here / "best.keras").count_params() > 0
    (backup,) = (tmp_path / "backups").iterdir()
    assert any(backup.iterdir())


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (
            CSVLogger("{epoch}.csv"),
            r"`callbacks__a__filename=.*CSVLogger has one path.*`\{epoch\}`",
        ),
        (TensorBoard("{val_loss:.2f}"), r"`callbacks__a__log_dir=.*`\{val_loss:\.2f\}`"),
        (BackupAndRestore("{epoch}"), r"`callbacks__a__backup_dir=.*only `\{run\}` is"),
        (ModelCheckpoint("{val_lss}.keras"), r"`callbacks__a__filepath=.*Did you mean `val_loss`"),
        (ModelCheckpoint("{batch}.keras"), r"`\{batch\}` is known only with .*`save_freq`"),
        (ModelCheckpoint("{epoch.keras"), r"`callbacks__a__filepath=.*broken field"),
    ],
    ids=["csv", "board", "backup", "no such log", "batch", "broken"],
)
def test_a_field_that_nobody_fills_in_is_refused(callback, message, tmp_path, monkeypatch):
    """Keras would write to a path with braces, or end with a KeyError after an epoch."""
    monkeypatch.chdir(tmp_path)
    refused(message, a=callback)


def test_a_field_of_watched_rows_needs_them(tmp_path, monkeypatch):
    """As a monitor does."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"nothing in this fit is called 'val_loss'.*be: loss"):
        fitted(perceptron, callbacks=ModelCheckpoint("{val_loss}.keras"), epochs=2)


# -- what is already there ---------------------------------------------------------------------

THERE = {
    "checkpoint": (ModelCheckpoint("at/best.keras"), "at/best.keras", "filepath"),
    "checkpoints": (ModelCheckpoint("at/{epoch:02d}.keras"), "at/01.keras", "filepath"),
    "by loss": (ModelCheckpoint("{loss:.2f}/a.keras"), "0.69/a.keras", "filepath"),
    "log": (CSVLogger("log.csv"), "log.csv", "filename"),
    "projector": (TensorBoard("at", embeddings_freq=1), "at/projector_config.pbtxt", "log_dir"),
}


@pytest.mark.parametrize("case", THERE)
def test_what_another_wrote_is_not_overwritten(case, tmp_path, monkeypatch):
    """The error names parameter and file, and suggests `{run}`; the file stays as it was."""
    monkeypatch.chdir(tmp_path)
    callback, file, argument = THERE[case]
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).write_text("dear")
    refused(rf"`callbacks__a__{argument}=.*{file}' is already there.*`{{run}}`", a=callback)
    assert Path(file).read_text() == "dear"


@pytest.mark.parametrize(
    "callback",
    [CSVLogger("log.csv"), ModelCheckpoint("a.keras", monitor="loss", save_best_only=True)],
    ids=lambda callback: type(callback).__name__,
)
def test_a_second_fit_does_not_overwrite_the_first(callback, tmp_path, monkeypatch):
    """Neither of the same estimator nor of one like it; with `{run}` both have their files."""
    monkeypatch.chdir(tmp_path)
    estimator = fitted(callbacks={"a": callback}, epochs=2)
    (file,) = written(tmp_path)
    before = Path(file).read_bytes()
    with pytest.raises(ValueError, match="already there"):
        estimator.fit(X, Y["binary"])
    with pytest.raises(ValueError, match="already there"):
        fitted(callbacks={"a": callback}, epochs=2)
    assert Path(file).read_bytes() == before
    clone(estimator).fit(X, Y["binary"])  # has a directory of its own
    assert len(written(tmp_path)) == 2


def test_a_log_that_is_told_to_append_goes_on(tmp_path):
    """So two fits stand in one file, under one header."""
    for _ in range(2):
        fitted(callbacks=CSVLogger(tmp_path / "log.csv", append=True), epochs=2)
    assert pd.read_csv(tmp_path / "log.csv")["epoch"].tolist() == [0, 1, 0, 1]


def test_tensorboard_adds_its_files_to_what_is_there(tmp_path):
    """Their names are unique, so nothing is lost."""
    for _ in range(2):
        fitted(callbacks=TensorBoard(tmp_path), epochs=2)
    assert len(written(tmp_path / "train")) == 2


def test_files_of_another_name_are_in_nobodys_way(tmp_path):
    """Only what the path could name."""
    for name in ("best.keras", "1.keras.bak", "x1.keras"):
        (tmp_path / name).write_text("")
    fitted(callbacks=ModelCheckpoint(tmp_path / "{epoch}.keras"), epochs=2)
    assert {"1.keras", "2.keras"} <= set(written(tmp_path))


# -- two callbacks of one fit ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (CSVLogger("log.csv"), CSVLogger("sub/../log.csv", separator=";")),
        (ModelCheckpoint("a.keras"), keras.callbacks.ModelCheckpoint("a.keras")),
        (TensorBoard("at"), BackupAndRestore("at")),
        (CSVLogger("{run}/log.csv"), CSVLogger("{run}/log.csv")),
    ],
    ids=["two spellings", "two forms", "two kinds", "below one run"],
)
def test_two_callbacks_on_one_path_are_refused(first, second, tmp_path, monkeypatch):
    """The error names both."""
    monkeypatch.chdir(tmp_path)
    refused(r"`callbacks__b__\w+=.*is where `callbacks__a__\w+` writes too", a=first, b=second)


def test_a_file_inside_a_backup_is_refused(tmp_path):
    """The backup is removed when training ends, and the file with it."""
    backup = BackupAndRestore(tmp_path / "at")
    inside = ModelCheckpoint(tmp_path / "at" / "best.keras", monitor="loss")
    refused(r"`callbacks__a__filepath=.*lies in `callbacks__b__backup_dir=", a=inside, b=backup)
    backup = BackupAndRestore(tmp_path / "at", delete_checkpoint=False)
    fitted(callbacks={"a": inside, "b": backup}, epochs=2)
    assert "at/best.keras" in written(tmp_path)


# -- what cannot be written --------------------------------------------------------------------


def test_something_else_in_the_place_is_an_error_before_the_first_epoch(tmp_path):
    """A directory where a file should be, and a file where a directory should be."""
    (tmp_path / "a.keras").mkdir()
    (tmp_path / "file").write_text("")
    for callback in (ModelCheckpoint(tmp_path / "a.keras"), CSVLogger(tmp_path / "a.keras")):
        refused(r"`callbacks__a__file\w+=.*cannot be written: there is a directory", a=callback)
    for callback in (TensorBoard(tmp_path / "file"), BackupAndRestore(tmp_path / "file")):
        refused(r"`callbacks__a__\w+_dir=.*cannot be written: there is a file", a=callback)
    refused("cannot be written", a=TensorBoard(tmp_path / "file" / "logs"))


def test_a_directory_that_may_not_be_written_is_an_error_before_the_first_epoch(tmp_path):
    """Also a file to which nothing may be appended."""
    (tmp_path / "log.csv").write_text("")
    (tmp_path / "log.csv").chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        if os.access(tmp_path, os.W_OK):
            pytest.skip("this user may write everywhere")
        refused("nothing may be written in", a=CSVLogger(tmp_path / "new.csv"))
        refused("may not be written", a=CSVLogger(tmp_path / "log.csv", append=True))
    finally:
        tmp_path.chmod(0o755)


@pytest.mark.parametrize("path", ["", None, 3])
@pytest.mark.parametrize("cls", [CSVLogger, TensorBoard, BackupAndRestore, ModelCheckpoint])
def test_what_is_no_path_is_refused(cls, path):
    """With the parameter and the value."""
    refused("`callbacks__a` must be a path but got", a=cls(path))


def test_an_address_is_left_to_keras(tmp_path, monkeypatch):
    """No directory named after its scheme is made here."""
    monkeypatch.chdir(tmp_path)
    for cloned, expected in ((False, "gs://bucket/a/b"), (True, "gs://bucket/a/R/1/b")):
        assert own_path("gs://bucket/a/b", "R/1", cloned=cloned, where="w") == expected
    assert list(tmp_path.iterdir()) == []


# -- all forms ---------------------------------------------------------------------------------


def make_log(path):
    """Return a callback whose path is not among its arguments."""
    return keras.callbacks.CSVLogger(path)


@pytest.mark.parametrize(
    "make",
    [CSVLogger, keras.callbacks.CSVLogger, lambda path: Tunable(make_log, path=str(path))],
    ids=["recipe", "instance", "function"],
)
def test_every_form_of_a_callback_is_judged(make, tmp_path):
    """However the callback is given, what is there stays."""
    (tmp_path / "log.csv").write_text("dear")
    refused(r"`callbacks__a__filename=.*already there", a=make(tmp_path / "log.csv"))


def test_the_paths_are_those_of_kerass_classes():
    """Each named argument is one of the class and is kept on the object under its name."""
    made = {name: getattr(keras.callbacks, name) for name in PATHS if name != "OrbaxCheckpoint"}
    for name, cls in made.items():
        path = f"{name}.keras"
        live = cls(**{PATHS[name].argument: path})
        assert getattr(live, PATHS[name].argument) == path


# -- what they wrote can be read ---------------------------------------------------------------


def test_the_csv_file_holds_the_history(tmp_path):
    """Read by pandas, with the separator given."""
    log = CSVLogger(tmp_path / "log.csv", separator=";")
    estimator = fitted(callbacks=log, epochs=3, validation_split=0.25, metrics=["accuracy"])
    frame = pd.read_csv(tmp_path / "log.csv", sep=";")
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert frame[name].tolist() == pytest.approx(estimator.history_[name], abs=1e-7)
    assert frame["epoch"].tolist() == [0, 1, 2]


def test_the_event_files_hold_the_history(tmp_path):
    """Read by TensorBoard: loss of training and of the watched rows, histograms of weights."""
    board = TensorBoard(tmp_path, histogram_freq=1)
    estimator = fitted(callbacks=board, epochs=3, validation_split=0.25)
    for side, name in (("train", "loss"), ("validation", "val_loss")):
        events = EventAccumulator(str(tmp_path / side), {"tensors": 0}).Reload()
        values = [float(make_ndarray(event.tensor_proto)) for event in events.Tensors("epoch_loss")]
        assert values == pytest.approx(estimator.history_[name], rel=1e-6)
    train = EventAccumulator(str(tmp_path / "train")).Reload()
    assert any("histogram" in tag for tag in train.Tags()["tensors"])


def test_the_best_checkpoint_is_the_best_epoch(tmp_path):
    """Loaded, it predicts as the fit that stopped and restored does."""
    estimator = KerasClassifier(
        perceptron,
        optimizer="sgd",
        optimizer__learning_rate=5.0,
        callbacks=[
            ModelCheckpoint(tmp_path / "best.keras", save_best_only=True),
            EarlyStopping(patience=3, restore_best_weights=True),
        ],
        epochs=8,
        validation_split=0.25,
        random_state=0,
    ).fit(X, Y["binary"])
    saved = keras.models.load_model(tmp_path / "best.keras")
    for ours, theirs in zip(estimator.model_.get_weights(), saved.get_weights(), strict=True):
        assert (ours == theirs).all()
