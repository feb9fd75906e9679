"""A fit that waits before its first epoch, and is trained by whoever asked for it."""

from typing import ClassVar

import keras
import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.callback import ProgressBar
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcb import KerasClassifier, Tunable
from skcb._pending import CannotWait, prepare
from skcb.callbacks import CSVLogger, EarlyStopping
from skcb.exceptions import TrainingWarning
from tests.models import X, Y, perceptron

y = Y["binary"]


def classifier(**options):
    """Return a classifier that trains in a moment."""
    options = {"epochs": 4, "validation_split": 0.25, **options}
    return KerasClassifier(perceptron, random_state=0, **options)


class Hooks(keras.callbacks.Callback):
    """Writes down which of its hooks were called."""

    calls: ClassVar[list] = []

    def on_train_begin(self, logs=None):
        self.calls[:] = ["begin"]

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(epoch)

    def on_train_end(self, logs=None):
        self.calls.append("end")


def test_fit_that_is_trained_by_others_is_the_same_fit():
    """Weights and history, to the bit; behind a step that is fitted when it is handed out."""
    stop = EarlyStopping(patience=1, restore_best_weights=True)
    pipe = make_pipeline(StandardScaler(), classifier(callbacks=stop, epochs=8))
    with prepare(lambda: pipe.fit(X, y)) as fit:
        assert hasattr(pipe[0], "mean_")
        assert not hasattr(pipe[1], "model_")
        while not fit.over:
            fit.advance()
        fit.finish()
    plain = make_pipeline(StandardScaler(), classifier(callbacks=stop, epochs=8)).fit(X, y)
    assert pipe[1].history_ == plain[1].history_
    assert pipe[1].best_epoch_ == plain[1].best_epoch_
    np.testing.assert_array_equal(pipe.predict_proba(X), plain.predict_proba(X))


def test_fit_may_end_before_its_last_epoch():
    """It is then what a callback would have left that stopped it there."""

    class StopsAt2(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    estimator = classifier()
    with prepare(lambda: estimator.fit(X, y)) as fit:
        fit.advance()
        fit.advance()
        assert (fit.n_epochs, fit.over, fit.stopped) == (2, False, False)
        fit.finish()
    stopped = classifier(callbacks=Tunable(StopsAt2)).fit(X, y)
    assert estimator.history_ == stopped.history_
    np.testing.assert_array_equal(estimator.predict_proba(X), stopped.predict_proba(X))


@pytest.mark.parametrize("error", [None, RuntimeError(), KeyboardInterrupt()])
def test_leaving_the_block_ends_callbacks_that_have_begun_once(error):
    """Whether the fit was finished, given up or broken off."""
    estimator = classifier(callbacks=Tunable(Hooks))
    try:
        with prepare(lambda: estimator.fit(X, y)) as fit:
            fit.advance()
            if error is not None:
                raise error
            fit.finish()
    except (RuntimeError, KeyboardInterrupt):
        pass
    assert Hooks.calls == ["begin", 0, "end"]
    assert fit.over
    assert hasattr(estimator, "model_") == (error is None)


def test_fit_that_has_not_begun_is_left_without_a_trace(tmp_path):
    """Nothing is written, and nothing ended."""
    path = tmp_path / "log.csv"
    estimator = classifier(callbacks=CSVLogger(str(path)))
    with prepare(lambda: estimator.fit(X, y)):
        pass
    assert not path.exists()


def test_error_before_the_first_epoch_comes_through():
    """As from any fit."""
    with pytest.raises(ValueError, match="batch_size"):
        prepare(lambda: classifier(batch_size=-3).fit(X, y))
    assert classifier().fit(X, y).n_iter_ == 4  # nobody waits any more


@pytest.mark.parametrize(
    "estimator, why",
    [
        (LogisticRegression(), "0 times"),
        (CalibratedClassifierCV(classifier(), cv=2), "needs the trained Keras step at once"),
    ],
    ids=["none", "used at once"],
)
def test_what_cannot_wait_says_why(estimator, why):
    """There must be one fit, at the end of all others."""
    with pytest.raises(CannotWait, match=why):
        prepare(lambda: estimator.fit(X, y))


def test_what_fails_after_the_keras_step_was_fitted_comes_through():
    """It is no sign of something that cannot wait, which no other parameters could mend."""
    others = VotingClassifier([("keras", classifier()), ("linear", LogisticRegression(C=-1.0))])
    with pytest.raises(ValueError, match="'C' parameter"):
        prepare(lambda: others.fit(X, y))


def test_scorer_finds_what_a_fit_that_ends_here_leaves_behind():
    """In every epoch: history, number of epochs, the best of them; nothing has stopped it."""
    names = ["history_", "n_iter_", "best_epoch_"]

    def look(estimator, X, y):
        return {name: getattr(estimator, name) for name in ["stopped_by_", *names]}

    with prepare(lambda: classifier().fit(X, y)) as fit:
        for epochs in (1, 2, 3):
            fit.advance()
            there = classifier(epochs=epochs).fit(X, y)
            assert fit.score(look) == {
                "stopped_by_": None,
                **{name: getattr(there, name) for name in names},
            }


def test_fits_within_the_one_that_waits_are_ordinary():
    """As in a build function that trains something before it returns its model."""
    inner = []

    def pretrained(meta):
        inner.append(classifier(epochs=2).fit(X, y))
        return perceptron(meta)

    estimator = KerasClassifier(pretrained, epochs=1)
    with prepare(lambda: estimator.fit(X, y)) as fit:
        assert [each.n_iter_ for each in inner] == [2]
        fit.advance()
        fit.finish()
    assert estimator.n_iter_ == 1


def test_scikit_learns_callbacks_are_said_to_see_no_epochs():
    """Their fit is over before the first one."""
    estimator = classifier().set_callbacks(ProgressBar())
    with pytest.warns(TrainingWarning, match="see no epochs"):
        fit = prepare(lambda: estimator.fit(X, y))
    with fit:
        fit.advance()
        fit.finish()
    assert estimator.n_iter_ == 1
