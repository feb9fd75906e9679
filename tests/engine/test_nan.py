"""With TerminateOnNaN an epoch ends at the first loss that is not finite."""

import keras
import numpy as np
import pytest

from skcb import KerasRegressor
from skcb.callbacks import EarlyStopping, TerminateOnNaN

ROWS, BATCH = 70, 16


def data(bad):
    """Return rows of which one, in the third batch, has this number."""
    X = np.random.default_rng(0).normal(size=(ROWS, 4)).astype("float32")
    y = X.sum(axis=1)
    X[40] = bad
    return X, y


def net():
    """Build a small net, on ten times the rows."""
    layers = [keras.layers.Input((4,)), keras.layers.Rescaling(10.0), keras.layers.Dense(1)]
    return keras.Sequential(layers)


def regressor(**params):
    """Make a regressor that trains in the rows' own order."""
    params = {"optimizer": "adam", "batch_size": BATCH, "shuffle": False, "epochs": 3, **params}
    return KerasRegressor(net, random_state=0, **params)


def fitted(bad, **params):
    """Fit one."""
    return regressor(**params).fit(*data(bad))


def numbers(model):
    """Return all variables."""
    return [v.numpy() for v in [*model.weights, *model.optimizer.variables]]


@pytest.mark.parametrize("bad, loss", [(1e30, np.inf), (3e38, np.nan)])
def test_the_epoch_ends_as_in_keras(bad, loss, capsys):
    """Same weights, same count of steps, same history, same message as Model.fit."""
    ours = fitted(bad, callbacks=TerminateOnNaN())
    said = capsys.readouterr().out
    assert ours.engine_.startswith("whole epochs")
    assert int(ours.model_.optimizer.iterations) == 3
    np.testing.assert_equal(ours.history_["loss"], [loss])

    X, y = data(bad)
    initial = regressor(epochs=0).fit(X, y).model_
    history = initial.fit(
        *(X, y[:, None], BATCH, 3, 0),
        shuffle=False,
        callbacks=[keras.callbacks.TerminateOnNaN()],
    )
    assert capsys.readouterr().out == said and "Batch 2" in said
    np.testing.assert_equal(numbers(ours.model_), numbers(initial))
    np.testing.assert_equal(ours.history_["loss"], history.history["loss"])


def test_every_road_ends_it_alike():
    """Batch by batch and by Keras' own functions too."""
    whole = fitted(1e30, callbacks=TerminateOnNaN())
    seen = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    by_batch = fitted(1e30, callbacks=[TerminateOnNaN(), seen])
    keras_road = fitted(1e30, callbacks=TerminateOnNaN(), engine="keras")
    assert by_batch.engine_.startswith("batch by batch")
    for other in (by_batch, keras_road):
        np.testing.assert_equal(numbers(other.model_), numbers(whole.model_))
        assert other.n_iter_ == whole.n_iter_ == 1


def test_it_may_be_an_error():
    """Keras' own, with the batch."""
    with pytest.raises(RuntimeError, match="batch 2"):
        fitted(1e30, callbacks=TerminateOnNaN(raise_error=True))


def test_finite_losses_end_nothing():
    """All steps of all epochs are taken."""
    stop = EarlyStopping(monitor="loss", patience=5)
    model = fitted(1.0, callbacks=[TerminateOnNaN(), stop]).model_
    assert int(model.optimizer.iterations) == 3 * -(-ROWS // BATCH)
