"""Pairs of models that differ in one thing which changes their numbers; imports Keras alone.

``B`` is always trained after ``A``: a program that took them for one structure would be wrong.
"""

import keras
from zoo import (
    CASES,
    CLASSES,
    OPT,
    Case,
    L,
    compiled,
    mlp,
    sequences,
    squared,
    tokens,
    vectors,
    with_loss,
)

PAIRS = {}


def pair(name, a, b, x=vectors):
    """Register two builders as a pair."""
    PAIRS[name] = (a, b, x)


def net(*layers, **options):
    """Compile a net on vectors."""
    return compiled(list(layers), (6,), **options)


pair("units", lambda: net(L.Dense(8)), lambda: net(L.Dense(9)))
pair("activation", lambda: net(L.Dense(8, "relu")), lambda: net(L.Dense(8, "tanh")))
pair("dropout rate", lambda: net(L.Dropout(0.2)), lambda: net(L.Dropout(0.6)))
pair(
    "l2 strength",
    lambda: net(L.Dense(8, kernel_regularizer=keras.regularizers.L2(0.1))),
    lambda: net(L.Dense(8, kernel_regularizer=keras.regularizers.L2(0.5))),
)
pair("constraint", lambda: net(L.Dense(8)), lambda: net(L.Dense(8, kernel_constraint="unit_norm")))
pair(
    "momentum of a norm",
    lambda: net(L.BatchNormalization(momentum=0.9)),
    lambda: net(L.BatchNormalization(momentum=0.5)),
)
pair("optimizer", lambda: mlp(OPT.SGD(0.1)), lambda: mlp(OPT.SGD(0.1, momentum=0.5)))
pair("optimizer's number", lambda: mlp(OPT.Adam(beta_1=0.9)), lambda: mlp(OPT.Adam(beta_1=0.5)))
pair("clipping", lambda: mlp(OPT.SGD(0.5)), lambda: mlp(OPT.SGD(0.5, clipnorm=0.01)))
pair(
    "schedule object",
    lambda: mlp(OPT.SGD(OPT.schedules.ExponentialDecay(0.5, 1, 0.5))),
    lambda: mlp(OPT.SGD(OPT.schedules.ExponentialDecay(0.5, 1, 0.9))),
)
pair(
    "a loss's number",
    lambda: with_loss(keras.losses.SparseCategoricalCrossentropy(from_logits=True)),
    lambda: with_loss(
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    ),
)
pair("metrics", lambda: mlp(metrics=["accuracy"]), lambda: mlp(metrics=[]))
pair(
    "a metric's number",
    lambda: mlp(metrics=[keras.metrics.SparseTopKCategoricalAccuracy(1, name="top")]),
    lambda: mlp(metrics=[keras.metrics.SparseTopKCategoricalAccuracy(2, name="top")]),
)
pair("dtype policy", lambda: net(L.Dense(8)), lambda: net(L.Dense(8, dtype="mixed_bfloat16")))
pair(
    "return_sequences",
    lambda: compiled([L.GRU(3, return_sequences=True), L.Flatten()], (5, 4)),
    lambda: compiled([L.GRU(3, return_sequences=True, go_backwards=True), L.Flatten()], (5, 4)),
    sequences,
)
pair(
    "mask",
    lambda: compiled([L.Embedding(10, 3), L.LSTM(3)], (6,)),
    lambda: compiled([L.Embedding(10, 3, mask_zero=True), L.LSTM(3)], (6,)),
    tokens,
)


def trainable(flag):
    """Build a net whose first layer trains or not."""
    model = keras.Sequential([L.Input((6,)), L.Dense(8), L.Dense(CLASSES, "softmax")])
    model.layers[0].trainable = flag
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


pair("trainable", lambda: trainable(True), lambda: trainable(False))


def twice(shared):
    """Build a model that uses one layer twice, or two twins once each."""
    first = L.Dense(6, "tanh", name="first")
    second = first if shared else L.Dense(6, "tanh", name="second")
    i = L.Input((6,))
    model = keras.Model(i, L.Dense(CLASSES, "softmax")(second(first(i))))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


pair("a shared layer against two twins", lambda: twice(True), lambda: twice(False))


def order(flip):
    """Build a model whose skip goes around one layer or the other."""
    i = L.Input((6,))
    a, b = L.Dense(6, "tanh"), L.Dense(6, "relu")
    x = a(i)
    y = b(x)
    out = L.Subtract()([y, x] if flip else [x, y])
    model = keras.Model(i, L.Dense(CLASSES, "softmax")(out))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


pair("connections", lambda: order(False), lambda: order(True))


def scaled(factor):
    """Build a layer class of one name and another body each time."""

    class Scale(L.Layer):
        def call(self, x):
            return x * factor

    return net(Scale(), L.Dense(8))


pair("a class of the same name; a closure", lambda: scaled(1.0), lambda: scaled(3.0))


class Patched(L.Layer):
    """A layer whose method is replaced."""

    def call(self, x):
        """Return x as it is."""
        return x


def replaced():
    """Replace the method of the class, then build."""
    Patched.call = lambda self, x: -2.0 * x
    return net(Patched(), L.Dense(8))


pair("a method replaced", lambda: net(Patched(), L.Dense(8)), replaced)


def on_instance(patch):
    """Build with a method replaced on one layer of Keras' own."""
    dense = L.Dense(6)
    if patch:
        original = dense.call
        dense.call = lambda x, training=None: 3.0 * original(x)
    return net(dense)


pair("a method of an instance", lambda: on_instance(False), lambda: on_instance(True))

FACTOR = 1.0


class ReadsGlobal(L.Layer):
    """A layer that reads a global of its module."""

    def call(self, x):
        """Return x times the global."""
        return x * FACTOR


def with_global(value):
    """Set the global, then build."""
    global FACTOR
    FACTOR = value
    return net(ReadsGlobal(), L.Dense(8))


pair("a global read in call", lambda: with_global(1.0), lambda: with_global(-3.0))


def loss_of(power):
    """Return a loss that reads a closure."""

    def loss(y_true, y_pred):
        one_hot = keras.ops.one_hot(y_true, CLASSES)
        return keras.ops.mean(keras.ops.abs(one_hot - y_pred) ** power, axis=-1)

    return loss


def with_custom_loss(loss):
    """Compile a net with a loss of the user's."""
    model = keras.Sequential([L.Input((6,)), L.Dense(CLASSES, "softmax")])
    model.compile("sgd", loss)
    return model


pair(
    "a closure read in a loss",
    lambda: with_custom_loss(loss_of(2.0)),
    lambda: with_custom_loss(loss_of(1.0)),
)


def weighted(y_true, y_pred, factor=1.0):
    """Return a loss with a default argument."""
    return factor * squared(y_true, y_pred)


def with_default(value):
    """Change the default of a loss, then compile with it."""
    weighted.__defaults__ = (value,)
    return with_custom_loss(weighted)


pair("a default argument of a loss", lambda: with_default(1.0), lambda: with_default(5.0))


class ReadsAttribute(keras.Sequential):
    """A model whose `train_step` reads an attribute."""

    factor = 1.0

    def train_step(self, data):
        """Take a step on rows times the attribute."""
        x, y = data
        return super().train_step((x * self.factor, y))


def with_attribute(value):
    """Set the attribute, then compile."""
    model = ReadsAttribute([L.Input((6,)), L.Dense(CLASSES, "softmax")])
    model.factor = value
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


pair("an attribute of train_step", lambda: with_attribute(1.0), lambda: with_attribute(2.0))


def changed_attribute(rate):
    """Change a setting of a layer of Keras' after it was built."""
    model = net(L.Dropout(0.1), L.Dense(8))
    model.layers[0].rate = rate
    return model


pair("a setting changed later", lambda: changed_attribute(0.1), lambda: changed_attribute(0.7))


def normalized(scale):
    """Build with a preprocessing layer that holds constants."""
    layer = L.Normalization()
    layer.adapt(scale * vectors())
    return net(layer, L.Dense(8))


pair("constants of a layer", lambda: normalized(1.0), lambda: normalized(5.0))


def with_lambda(factor):
    """Build with a Lambda over a captured value."""
    return net(L.Lambda(lambda x: x * factor), L.Dense(8))


pair("a Lambda's closure", lambda: with_lambda(1.0), lambda: with_lambda(4.0))


def with_epsilon(value):
    """Set Keras' epsilon, then compile a loss that reads it."""
    keras.config.set_epsilon(value)
    return net(L.Dense(8))


pair("Keras' epsilon", lambda: with_epsilon(1e-7), lambda: with_epsilon(0.1))


def named_inputs(*names):
    """Compile a net on two inputs in a list, which rows in a dict find by their names."""
    inputs = [L.Input((6,), name=name) for name in names]
    outputs = L.Dense(CLASSES, "softmax")(inputs[0] * 3.0 - inputs[1])
    model = keras.Model(inputs, outputs)
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def named_rows():
    """Rows for inputs that are found by name."""
    return {"first": vectors(), "second": vectors() ** 2}


pair(
    "names of inputs",
    lambda: named_inputs("first", "second"),
    lambda: named_inputs("second", "first"),
    named_rows,
)


def with_function_in_graph(factor):
    """Compile a net whose graph calls a function of the user's."""

    def scale(rows):
        return rows * factor

    inputs = L.Input((6,))
    model = keras.Model(inputs, L.Dense(CLASSES, "softmax")(keras.ops.map(scale, inputs)))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


pair(
    "a function in the graph",
    lambda: with_function_in_graph(1.0),
    lambda: with_function_in_graph(5.0),
)


def case_of(name):
    """Return a case of the zoo, or the second of a pair."""
    if name in CASES:
        return CASES[name]
    _, second, x = PAIRS[name]
    return Case(second, x=x)
