"""Callbacks of the user's own, as people write them, gather what they would in plain Keras."""

import functools
import json
import threading

import keras
import numpy as np
import pytest

from skcb import Tunable
from skcb.callbacks import LambdaCallback
from tests.models import fitted, untrainable


class LossOfEpochs(keras.callbacks.Callback):
    """Lists each epoch's loss."""

    def on_train_begin(self, logs=None):
        self.losses = []

    def on_epoch_end(self, epoch, logs=None):
        self.losses.append(logs["loss"])


class LossHistory(LossOfEpochs):
    """Lists each batch's loss, by the hook's old name."""

    def on_epoch_end(self, epoch, logs=None):
        """Do nothing."""

    def on_batch_end(self, batch, logs=None):
        self.losses.append(logs.get("loss"))


class TrainLossHistory(LossHistory):
    """Lists each batch's loss, by the hook's present name."""

    def on_batch_end(self, batch, logs=None):
        """Do nothing."""

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs.get("loss"))


class Halving(keras.callbacks.Callback):
    """Halves the learning rate in every epoch but the first."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch:
            optimizer = self.model.optimizer
            optimizer.learning_rate = float(optimizer.learning_rate) / 2


class OldHalving(keras.callbacks.Callback):
    """Does so as in Keras 2."""

    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.lr = float(self.model.optimizer.lr) / 2


class OfAll(keras.callbacks.Callback):
    """Gathers in a list that belongs to the class."""

    seen = []  # noqa: RUF012

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append((epoch, logs["loss"]))


class Holding(keras.callbacks.Callback):
    """Holds something that cannot be copied."""

    def __init__(self, held=None):
        super().__init__()
        self.held = threading.Lock() if held is None else held

    def on_epoch_end(self, epoch, logs=None):
        logs["held"] = 1.0

    def on_train_end(self, logs=None):
        if hasattr(self.held, "close"):
            self.held.close()


FORMS = {
    "class": lambda cls: cls,
    "instance": lambda cls: cls(),
    "Tunable": Tunable,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("cls", "per_epoch"), [(LossOfEpochs, 1), (LossHistory, 3), (TrainLossHistory, 3)]
)
def test_losses_are_gathered(cls, per_epoch, form):
    """An entry for each epoch, or each of the three batches; the last one is the epoch's loss."""
    estimator = fitted(callbacks={"log": FORMS[form](cls)}, epochs=2, batch_size=16)
    losses = estimator.callbacks_["log"].losses
    assert len(losses) == 2 * per_epoch
    assert losses[per_epoch - 1 :: per_epoch] == estimator.history_["loss"]
    assert len(set(losses)) == len(losses)


def test_a_schedule_of_the_users_own_is_followed():
    """The rates that it set are in the history."""
    given = {"optimizer": "sgd", "optimizer__learning_rate": 0.5}
    estimator = fitted(callbacks=Halving, epochs=4, **given)
    assert estimator.history_["learning_rate"] == [0.5, 0.25, 0.125, 0.0625]


def test_the_old_name_of_the_rate_fails_as_in_keras():
    """Keras 3 has no `lr`; the user's own error comes through, with Keras' words."""
    with pytest.raises(AttributeError, match="lr") as ours:
        fitted(callbacks=OldHalving, epochs=2)
    assert ours.traceback[-1].name == "on_epoch_begin"
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile("rmsprop", "mse")
    with pytest.raises(AttributeError) as theirs:
        model.fit(np.zeros((2, 1)), np.zeros(2), callbacks=[OldHalving()], verbose=0)
    assert str(ours.value) == str(theirs.value)


def test_a_lambda_callback_writes_json_lines_and_closes_its_file(tmp_path):
    """A line an epoch; as in Keras' own documentation."""
    log = open(tmp_path / "log.json", "w", buffering=1)
    estimator = fitted(
        callbacks=LambdaCallback(
            on_epoch_end=lambda epoch, logs: log.write(
                json.dumps({"epoch": epoch, "loss": logs["loss"]}) + "\n"
            ),
            on_train_end=lambda logs: log.close(),
        ),
        epochs=3,
    )
    assert log.closed
    lines = [json.loads(line) for line in (tmp_path / "log.json").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    assert [line["loss"] for line in lines] == estimator.history_["loss"]
    assert estimator.engine_.startswith("whole epochs")


def test_a_list_of_the_class_is_the_classs():
    """Python shares it among all instances, here as in Keras; each fit's logs are in it."""
    OfAll.seen.clear()
    for instance in (OfAll, OfAll()):
        fitted(callbacks={"all": instance}, epochs=2)
    assert [epoch for epoch, _ in OfAll.seen] == [0, 1, 0, 1]


def test_what_cannot_be_copied_is_refused_with_a_way_out():
    """An instance that holds a lock, before the first epoch; a recipe makes each fit its own."""
    message = (
        r"`callbacks__mine` is a Holding that cannot be copied.*skcb\.Tunable\(Holding, \.\.\.\)"
    )
    with pytest.raises(TypeError, match=message):
        fitted(untrainable, callbacks={"mine": Holding()})
    for callback in (Holding, Tunable(Holding)):
        estimator = fitted(callbacks={"mine": callback}, epochs=2)
        assert estimator.history_["held"] == [1.0, 1.0]


def test_an_open_file_is_refused_with_a_way_out(tmp_path):
    """As an argument of a recipe it cannot be copied either; a function that opens it can."""
    with open(tmp_path / "log", "w") as file:
        with pytest.raises(TypeError, match=r"`callbacks__mine` is a Holding that cannot"):
            fitted(untrainable, callbacks={"mine": Holding(file)})
        with pytest.raises(TypeError, match=r"`callbacks__mine__held`.*cannot be copied.*Tunable"):
            fitted(untrainable, callbacks={"mine": Tunable(Holding, held=file)})
    opened = functools.partial(open, tmp_path / "log", "a")
    fitted(callbacks={"mine": Tunable(Holding, held=Tunable(opened))}, epochs=2)


def test_an_instance_stays_as_it_was_given():
    """What is gathered stands on the copy in `callbacks_`."""
    given = LossOfEpochs()
    first = fitted(callbacks={"log": given}, epochs=2).callbacks_["log"]
    second = fitted(callbacks={"log": given}, epochs=3).callbacks_["log"]
    assert not hasattr(given, "losses")
    assert (len(first.losses), len(second.losses)) == (2, 3)
