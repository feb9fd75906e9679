"""An epoch at a time is the same training as all at once."""

import pickle

import keras
import numpy as np
import pytest
from sklearn.base import clone

from skcb import KerasClassifier, KerasRegressor, Tunable
from skcb.callbacks import EarlyStopping, ReduceLROnPlateau
from skcb.exceptions import TrainingWarning
from skcb.schedules import CosineDecay

N = 10
RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 5)).astype("float32")
Y = np.array(["no", "yes"])[(X[:, 0] + 0.5 * RNG.normal(size=80) > 0).astype(int)]


class StopAfter(keras.callbacks.Callback):
    """Ends training after so many epochs."""

    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs

    def on_epoch_end(self, epoch, logs=None):
        """Stop."""
        if epoch + 1 == self.epochs:
            self.model.stop_training = True


class Counter(keras.callbacks.Callback):
    """Counts its hooks."""

    def __init__(self):
        super().__init__()
        self.begins = self.ends = self.epochs = 0

    def on_train_begin(self, logs=None):
        """Count."""
        self.begins += 1

    def on_epoch_end(self, epoch, logs=None):
        """Count."""
        self.epochs += 1

    def on_train_end(self, logs=None):
        """Count."""
        self.ends += 1


def net(meta):
    """Build a net with what has a state of its own."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((meta["n_features_in_"],)),
            layers.Dense(8, "relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(meta["n_output_units_"], meta["output_activation_"]),
        ]
    )


def classifier(*, patience=2, **callbacks):
    """Make a classifier in which everything is at work."""
    return KerasClassifier(
        net,
        optimizer="adam",
        optimizer__learning_rate=0.3,
        optimizer__use_ema=True,
        optimizer__ema_momentum=0.8,
        metrics=["accuracy"],
        lr_schedule=CosineDecay(alpha=0.1),
        callbacks={
            "stop": EarlyStopping(patience=patience, restore_best_weights=True),
            "plateau": ReduceLROnPlateau(factor=0.5, patience=0, min_delta=0.05),
            **callbacks,
        },
        epochs=N,
        batch_size=16,
        validation_split=0.25,
        random_state=3,
    )


def assert_same(a, b):
    """Compare weights, history, rates and predictions of two estimators."""
    assert a.history_ == b.history_
    assert (a.n_iter_, a.best_epoch_) == (b.n_iter_, b.best_epoch_)
    for ours, theirs in zip(a.model_.get_weights(), b.model_.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X))


@pytest.mark.slow
@pytest.mark.parametrize("pickled", [False, True])
def test_each_call_equals_fit_stopped_there(pickled):
    """After every k calls everything is as after a fit that ended at epoch k."""
    step = classifier(patience=20)
    for k in range(1, N + 1):
        if pickled:
            step = pickle.loads(pickle.dumps(step))
        step.partial_fit(X, Y)
        whole = classifier(patience=20, end=Tunable(StopAfter, epochs=k)).fit(X, Y)
        assert step.n_iter_ == k
        assert_same(step, whole)


class Around(keras.layers.Layer):
    """A layer with another one inside, which is adapted at low rank."""

    def __init__(self, policy, **kwargs):
        super().__init__(**kwargs)
        self.policy = policy
        self.inner = keras.layers.Dense(8, lora_rank=2, dtype=policy)

    def build(self, shape):
        """Build it."""
        self.inner.build(shape)

    def call(self, x):
        """Return what the inner one makes of x."""
        return self.inner(x)

    def get_config(self):
        """Say what it was made with."""
        return {**super().get_config(), "policy": self.policy}


def adapted(policy):
    """Build a net with such a layer."""
    return keras.Sequential([keras.layers.Input((5,)), Around(policy), keras.layers.Dense(1)])


@pytest.mark.parametrize(
    "policy", ["float32", pytest.param("int8_from_float32", marks=pytest.mark.slow)]
)
def test_weights_that_keras_saves_in_another_form_go_on_as_they_were(policy):
    """Its file holds zeros for the parts of low rank, and a kernel with them merged into it."""
    options = {"policy": policy, "optimizer": "adam", "batch_size": 16, "random_state": 0}
    whole = KerasRegressor(adapted, epochs=2, **options).fit(X, X[:, 0])
    step = KerasRegressor(adapted, **options)
    for _ in range(2):
        step = pickle.loads(pickle.dumps(step))
        assert not hasattr(step, "model_") or not np.any(step.model_.layers[0].inner.lora_kernel_b)
        step.partial_fit(X, X[:, 0])
    assert step.history_ == whole.history_
    for ours, theirs in zip(step.model_.get_weights(), whole.model_.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("pickled", [False, True])
def test_early_stopping_fires_where_it_does_in_fit(pickled):
    """Once it has fired further calls do nothing, and say so once."""
    whole = classifier(patience=1).fit(X, Y)
    assert 1 < whole.n_iter_ < N
    step = classifier(patience=1)
    for _ in range(whole.n_iter_):
        step.partial_fit(X, Y)
    assert_same(step, whole)
    with pytest.warns(TrainingWarning, match="stopped in epoch") as told:
        for _ in range(3):
            step.partial_fit(X, Y)
            if pickled:
                step = pickle.loads(pickle.dumps(step))
    assert [w.category for w in told].count(TrainingWarning) == 1
    assert_same(step, whole)


def test_callbacks_begin_once_and_never_end():
    """A running training is not ended by being looked at."""
    step = classifier(count=Tunable(Counter))
    for _ in range(3):
        step.partial_fit(X, Y)
    count = step.callbacks_["count"]
    assert (count.begins, count.epochs, count.ends) == (1, 3, 0)


def test_beyond_epochs_the_last_learning_rate_holds():
    """Training may go on; the schedule has no more to say."""
    step = KerasClassifier(net, lr_schedule=CosineDecay(alpha=0.2), epochs=2, random_state=0)
    for _ in range(5):
        step.partial_fit(X, Y)
    rates = step.history_["learning_rate"]
    assert step.n_iter_ == 5
    assert rates[0] > rates[1] == rates[2] == rates[4]


def test_classes_of_the_first_call_hold_for_the_others():
    """A first batch may lack a class that `classes` names; a label that it does not is refused."""
    step = KerasClassifier(net, random_state=0)
    step.partial_fit(X[Y == "no"], Y[Y == "no"], classes=["no", "yes"])
    assert step.predict_proba(X).shape == (80, 2)
    step.partial_fit(X, Y)
    with pytest.raises(ValueError, match=r"previously unseen labels.*maybe"):
        step.partial_fit(X[:4], ["yes", "no", "maybe", "no"])


def test_other_classes_in_a_later_call_are_refused():
    """After a `fit` too; the same ones are not, and may name one that all rows lack."""
    step = KerasClassifier(net, class_weight={"maybe": 2.0}, random_state=0)
    known = ["yes", "no", "maybe"]
    step.partial_fit(X, Y, classes=known).partial_fit(X, Y, classes=np.array(known[::-1]))
    for classes in (["yes", "no"], ["yes", "no", "perhaps"]):
        with pytest.raises(ValueError, match=r"not the same .* was: \['maybe', 'no', 'yes'\]"):
            step.partial_fit(X, Y, classes=classes)
    whole = KerasClassifier(net, random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match=r"not the same as .* was: \['no', 'yes'\]"):
        whole.partial_fit(X, Y, classes=known)


def test_other_columns_are_refused():
    """The number of columns is that of the first call, in scikit-learn's words."""
    step = KerasClassifier(net, random_state=0).partial_fit(X, Y)
    with pytest.raises(ValueError, match="X has 3 features, but KerasClassifier is expecting 5"):
        step.partial_fit(X[:, :3], Y)


def test_partial_fit_goes_on_from_a_fit():
    """After a fit the next epoch starts from its weights; a new fit starts anew."""
    kwargs = {"optimizer": "sgd", "optimizer__learning_rate": 0.0, "random_state": 0}
    fitted = KerasRegressor(net, epochs=2, **kwargs).fit(X, X[:, 0])
    kernels = [w for w in fitted.model_.get_weights() if w.ndim == 2]
    fitted.set_params(random_state=7).partial_fit(X, X[:, 0])
    for before, after in zip(kernels, fitted.model_.get_weights()[:1], strict=False):
        np.testing.assert_array_equal(before, after)
    fitted.fit(X, X[:, 0])
    assert not np.array_equal(kernels[0], fitted.model_.get_weights()[0])


def test_warm_start_goes_on_from_the_fit_before():
    """Two warm fits of one epoch end lower than one; a cold one starts anew."""
    options = {"optimizer": "adam", "batch_size": 8, "shuffle": False, "random_state": 0}
    warm = KerasRegressor(net, warm_start=True, epochs=5, **options).fit(X, X[:, 0])
    first = warm.history_["loss"]
    steps = int(warm.model_.optimizer.iterations)
    second = warm.fit(X, X[:, 0]).history_["loss"]
    assert second[0] < first[0]
    assert int(warm.model_.optimizer.iterations) == 2 * steps
    cold = clone(warm).set_params(warm_start=False)
    assert cold.fit(X, X[:, 0]).history_["loss"] == cold.fit(X, X[:, 0]).history_["loss"]


def test_warm_start_keeps_the_learning_rate_that_is_asked_for():
    """The rate is a parameter of the new fit and not a remainder of the old one."""
    warm = KerasRegressor(net, optimizer="adam", warm_start=True, random_state=0)
    warm.fit(X, X[:, 0])
    warm.set_params(optimizer__learning_rate=0.25).fit(X, X[:, 0])
    assert warm.history_["learning_rate"] == [0.25]


def test_warm_start_refuses_other_classes_and_other_weights():
    """Both errors say what was before and what is now."""
    warm = KerasClassifier(net, warm_start=True, random_state=0).fit(X, Y)
    with pytest.raises(ValueError, match="`classes_` is the same as in the previous"):
        warm.fit(X, np.where(Y == "no", "a", "b"))

    def sized(meta, hidden=3):
        layers = keras.layers
        return keras.Sequential([layers.Input((5,)), layers.Dense(hidden), layers.Dense(1)])

    warm = KerasRegressor(sized, warm_start=True).fit(X, X[:, 0])
    with pytest.raises(ValueError, match="other weights"):
        warm.set_params(hidden=4).fit(X, X[:, 0])


def test_interrupt_comes_through_and_leaves_a_usable_estimator():
    """Ctrl-C in the fourth epoch keeps three."""

    class Interrupts(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 3:
                raise KeyboardInterrupt

    clf = KerasClassifier(net, callbacks=Tunable(Interrupts), epochs=6, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, Y)
    assert clf.n_iter_ == 3
    assert len(clf.history_["loss"]) == 3
    assert clf.predict(X).shape == (80,)


def test_three_states_by_turns_give_the_numbers_of_three_fits():
    """Trainings of one structure can be advanced by turns without touching each other."""
    seeds = (1, 2, 3)
    steps = [classifier(patience=20).set_params(random_state=seed) for seed in seeds]
    for _ in range(3):
        for step in steps:
            step.partial_fit(X, Y)
    for step, seed in zip(steps, seeds, strict=True):
        end = {"end": Tunable(StopAfter, epochs=3)}
        assert_same(step, classifier(patience=20, **end).set_params(random_state=seed).fit(X, Y))


def test_warm_start_is_a_flag():
    """Anything else is an error that says so."""
    with pytest.raises(ValueError, match="`warm_start` must be True or False but got 'yes'"):
        KerasClassifier(net, warm_start="yes").fit(X, Y)


def test_averaged_weights_are_shown_and_not_trained_on():
    """With EMA and nothing that restores weights, each call shows the averages of `fit`."""
    options = {
        "optimizer": "adam",
        "optimizer__use_ema": True,
        "optimizer__ema_momentum": 0.9,
        "epochs": 4,
        "random_state": 0,
    }
    step = KerasClassifier(net, **options)
    for k in range(1, 4):
        step.partial_fit(X, Y)
        end = Tunable(StopAfter, epochs=k)
        assert_same(step, KerasClassifier(net, callbacks=end, **options).fit(X, Y))
