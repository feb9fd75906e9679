"""An optimizer's small variables are updated as one vector, where that changes no number.

That it changes none is what test_equality.py shows; here is what is joined, and what is not.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import skcb
from skcb import KerasClassifier
from skcb.engine.program import joined as module
from skcb.engine.program.joined import joined

OPT = keras.optimizers
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 6)).astype("float32"), np.arange(40) % 3


def net(optimizer, *layers):
    """Build and compile a net whose optimizer has its slots."""
    model = keras.Sequential([keras.layers.Input((6,)), *layers, keras.layers.Dense(3, "softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy")
    optimizer.build(model.trainable_variables)
    return model


def n_joined(model):
    """Count the variables that are joined."""
    found = joined(model)
    return 0 if found is None else len(found._variables)


@pytest.mark.parametrize("make", [OPT.Adam, OPT.AdamW])
def test_adam_is_joined(make):
    """Where Keras renames what the join relies on, nothing is, and this fails."""
    assert n_joined(net(make(), keras.layers.Dense(5))) == 4


class MyAdam(OPT.Adam):
    """May do anything."""


@pytest.mark.parametrize(
    "make",
    [
        OPT.SGD,
        OPT.RMSprop,
        MyAdam,
        lambda: OPT.Adam(amsgrad=True),
        lambda: OPT.Adam(clipnorm=1.0),
        lambda: OPT.Adam(global_clipnorm=1.0),
        lambda: OPT.Adam(clipvalue=1.0),
        lambda: OPT.Adam(use_ema=True),
        lambda: OPT.Adam(gradient_accumulation_steps=2),
        lambda: OPT.LossScaleOptimizer(OPT.Adam()),
    ],
)
def test_whatever_else_an_optimizer_does_is_left_to_it(make):
    """Where another formula or a step across variables may be at work, nothing is joined."""
    assert n_joined(net(make(), keras.layers.Dense(5))) == 0


def test_large_variables_stand_alone():
    """They cost more to copy than to start."""
    large = keras.layers.Dense(3000)  # 18 000 and 9 000 numbers, and a bias of 3 000
    assert n_joined(net(OPT.Adam(), keras.layers.Dense(6), large)) == 4


def test_no_more_is_joined_than_one_thread_computes():
    """Beyond that, TensorFlow spreads an operation over threads."""
    layers = [keras.layers.Dense(80) for _ in range(12)]  # 6 400 numbers each
    found = joined(net(OPT.Adam(), *layers))
    assert 0 < found.specs[0].shape[0] <= module._TOTAL


def test_nothing_is_joined_where_roots_depend_on_their_place(monkeypatch):
    """On such a processor a vector would change the last bit."""
    monkeypatch.setattr(module, "position_matters", lambda: True)
    assert n_joined(net(OPT.Adam(), keras.layers.Dense(5))) == 0


def test_position_is_found_to_matter_where_it_does():
    """The probe notices a root that rounds otherwise in the first place of a vector."""

    def root(x):
        return tf.sqrt(x) * (1 + tf.concat([[1e-6], tf.zeros(tf.size(x) - 1)], 0))

    assert module.depends_on_position(root)
    assert not module.depends_on_position(tf.identity)


def numbers_of_a_fit(build, **options):
    """Train; return the losses, and all variables of model and optimizer."""
    fitted = KerasClassifier(build, epochs=3, batch_size=16, random_state=0, **options).fit(X, Y)
    variables = [*fitted.model_.variables, *fitted.model_.optimizer.variables]
    return [np.array(fitted.history_["loss"]), *map(np.asarray, variables)]


class Watcher(keras.layers.Layer):
    """Adds a loss that reads a slot of the optimizer while a step runs."""

    owner = None

    def call(self, x):
        if self.owner is not None and self.owner.optimizer.built:
            (slot, *_) = self.owner.optimizer._momentums
            self.add_loss(keras.ops.sum(slot))
        return x


def watching(meta):
    """Build a model one of whose layers looks into the optimizer."""
    watcher = Watcher()
    model = keras.Sequential(
        [keras.layers.Input((6,)), keras.layers.Dense(5), watcher, keras.layers.Dense(3, "softmax")]
    )
    object.__setattr__(watcher, "owner", model)
    return model


def sparse(meta):
    """Build a model with a layer of which every step uses some rows."""
    return keras.Sequential(
        [
            keras.layers.Input((6,)),
            keras.layers.Rescaling(0.0),
            keras.layers.Embedding(4, 3),
            keras.layers.Flatten(),
            keras.layers.Dense(3, "softmax"),
        ]
    )


@pytest.mark.parametrize("build", [watching, sparse])
def test_a_step_that_cannot_be_joined_is_traced_as_it_stands(build):
    """Slots that are read behind the optimizer's back are up to date; sparse gradients work."""
    ours = numbers_of_a_fit(build, optimizer="adam")
    theirs = numbers_of_a_fit(build, optimizer="adam", engine="keras")
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_the_optimizer_is_itself_after_training():
    """Neither the stand-in nor anything of it stays behind, in `fit` or in a callback."""

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((type(self.model.optimizer), sorted(vars(self.model.optimizer))))

    def build(meta):
        return keras.Sequential([keras.layers.Input((6,)), keras.layers.Dense(3, "softmax")])

    seen, options = [], {"optimizer": "adam", "epochs": 2, "callbacks": {"look": Look}}
    skcb.clear_programs()
    fitted = KerasClassifier(build, **options).fit(X, Y)
    plain = KerasClassifier(build, engine="keras", **options).fit(X, Y)
    assert [kind for kind, _ in seen] == [OPT.Adam] * 4
    assert seen[0] == seen[-1]
    assert type(fitted.model_.optimizer) is type(plain.model_.optimizer)


def test_callbacks_see_the_slots_of_the_epoch():
    """Between epochs the vectors are in the optimizer's own variables."""

    class Slots(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            norms.append(float(keras.ops.norm(self.model.optimizer.variables[2])))

    def build(meta):
        return keras.Sequential([keras.layers.Input((6,)), keras.layers.Dense(3, "softmax")])

    norms = []
    for engine in ("auto", "keras"):
        KerasClassifier(
            build, optimizer="adam", epochs=3, callbacks={"s": Slots}, engine=engine, random_state=0
        ).fit(X, Y)
    assert norms[:3] == norms[3:] and len(set(norms)) == 3 and min(norms) > 0.0
