"""Models on which the engine must give Keras' own numbers; imports Keras alone."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

L = keras.layers
N, CLASSES = 45, 3


def vectors():
    """Rows of six numbers."""
    return np.random.default_rng(0).normal(size=(N, 6)).astype("float32")


def images():
    """Small grey images."""
    return np.random.default_rng(1).normal(size=(N, 8, 8, 1)).astype("float32")


def sequences():
    """Sequences of five steps of four numbers."""
    return np.random.default_rng(2).normal(size=(N, 5, 4)).astype("float32")


def tokens():
    """Sequences of six words."""
    return np.random.default_rng(3).integers(0, 10, size=(N, 6)).astype("int32")


def two_inputs():
    """Numbers and words of the same rows."""
    return {"numbers": vectors(), "words": tokens()}


def labels():
    """Class indices."""
    return np.random.default_rng(4).integers(0, CLASSES, N).astype("int32")


def two_targets():
    """A class and a number for each row."""
    return [labels(), np.random.default_rng(5).normal(size=(N, 1)).astype("float32")]


def weights():
    """Sample weights, some of them zero."""
    return np.random.default_rng(6).integers(0, 4, N).astype("float32")


def no_callbacks():
    """Return no callbacks."""
    return []


@dataclass
class Case:
    """A model, its data and the way it is trained."""

    build: Callable[[], Any]
    x: Callable[[], Any] = vectors
    y: Callable[[], Any] = labels
    weight: Callable[[], Any] | None = None
    callbacks: Callable[[], list] = no_callbacks
    batch_size: int = 16
    epochs: int = 3
    validation_freq: Any = 1
    fit: dict = field(default_factory=dict)


CASES: dict[str, Case] = {}


def case(name, **options):
    """Register a function that builds a model as a case."""

    def register(build):
        CASES[name] = Case(build, **options)
        return build

    return register


def compiled(layers, shape, optimizer="adam", **options):
    """Compile a Sequential of these layers that ends in a softmax."""
    model = keras.Sequential([L.Input(shape), *layers, L.Dense(CLASSES, "softmax")])
    options.setdefault("metrics", ["accuracy"])
    model.compile(optimizer, "sparse_categorical_crossentropy", **options)
    return model


def mlp(optimizer="adam", **options):
    """Build a plain net."""
    return compiled([L.Dense(8, "relu")], (6,), optimizer, **options)


LAYERS = {
    "dropout": (vectors, (6,), lambda: [L.Dense(8, "relu"), L.Dropout(0.4)]),
    "noise": (vectors, (6,), lambda: [L.GaussianNoise(0.1), L.Dense(8), L.GaussianDropout(0.2)]),
    "batch norm": (vectors, (6,), lambda: [L.Dense(8), L.BatchNormalization(), L.ReLU()]),
    "layer norm": (vectors, (6,), lambda: [L.Dense(8), L.LayerNormalization(), L.ReLU()]),
    "regularizers": (
        vectors,
        (6,),
        lambda: [
            L.Dense(
                8,
                kernel_regularizer=keras.regularizers.L1L2(1e-2, 1e-2),
                activity_regularizer="l2",
                kernel_constraint=keras.constraints.MaxNorm(1.0),
                bias_constraint="non_neg",
            )
        ],
    ),
    "regularized convolution": (
        images,
        (8, 8, 1),
        lambda: [L.Conv2D(4, 3, kernel_regularizer=keras.regularizers.L2(0.0137)), L.Flatten()],
    ),
    "regularized lstm": (
        sequences,
        (5, 4),
        lambda: [
            L.LSTM(
                4,
                kernel_regularizer=keras.regularizers.L1(0.0137),
                recurrent_regularizer=keras.regularizers.L2(0.3),
            )
        ],
    ),
    "convolution": (images, (8, 8, 1), lambda: [L.Conv2D(4, 3), L.MaxPooling2D(), L.Flatten()]),
    "separable": (
        images,
        (8, 8, 1),
        lambda: [L.SeparableConv2D(4, 3), L.BatchNormalization(), L.GlobalAveragePooling2D()],
    ),
    "lstm": (sequences, (5, 4), lambda: [L.LSTM(4, dropout=0.2)]),
    "gru": (sequences, (5, 4), lambda: [L.GRU(4, recurrent_dropout=0.2)]),
    "bidirectional": (sequences, (5, 4), lambda: [L.Bidirectional(L.LSTM(3))]),
    "embedding": (tokens, (6,), lambda: [L.Embedding(10, 4), L.GlobalAveragePooling1D()]),
    "masking": (tokens, (6,), lambda: [L.Embedding(10, 4, mask_zero=True), L.LSTM(3)]),
}
for _name, (_x, _shape, _layers) in LAYERS.items():
    CASES[_name] = Case(lambda s=_shape, b=_layers: compiled(b(), s), x=_x)

OPT = keras.optimizers
OPTIMIZERS = {
    "sgd": lambda: OPT.SGD(0.05, momentum=0.9, nesterov=True, global_clipnorm=0.5),
    "adamw, ema": lambda: OPT.AdamW(0.01, use_ema=True, ema_momentum=0.9, weight_decay=0.01),
    "rmsprop": lambda: OPT.RMSprop(0.01, rho=0.8, clipnorm=0.3),
    "accumulation": lambda: OPT.Adam(0.01, gradient_accumulation_steps=2, clipvalue=0.1),
    "adamw": lambda: OPT.AdamW(0.01, weight_decay=0.02),
    "adam, clipnorm": lambda: OPT.Adam(0.01, clipnorm=0.1),
    "schedule object": lambda: OPT.Adam(OPT.schedules.CosineDecay(0.05, 6)),
    "schedule, accumulation": lambda: OPT.Adam(
        OPT.schedules.CosineDecay(0.05, 9), gradient_accumulation_steps=2
    ),
    "lion": lambda: OPT.Lion(0.01),
    "ftrl": lambda: OPT.Ftrl(0.05),
    "loss scale": lambda: OPT.LossScaleOptimizer(OPT.SGD(0.05)),
}
for _name, _make in OPTIMIZERS.items():
    CASES[f"optimizer: {_name}"] = Case(lambda m=_make: mlp(m()))

CASES["plain"] = Case(mlp)
# A large variable among small ones, which alone are updated together; 13 and 7 leave remainders.
CASES["large and small"] = Case(
    lambda: compiled(
        [L.Dense(1400, "relu"), L.Dense(13), L.Dense(7, kernel_constraint="unit_norm")], (6,)
    )
)
CASES["many small"] = Case(
    lambda: compiled([part for _ in range(5) for part in (L.Dense(7, "tanh"), L.PReLU())], (6,))
)
CASES["sample weights"] = Case(lambda: mlp(weighted_metrics=["accuracy"]), weight=weights)
CASES["validation_freq"] = Case(mlp, validation_freq=2, epochs=4)
CASES["one batch"] = Case(mlp, batch_size=100)
CASES["early stopping"] = Case(
    lambda: mlp(OPT.SGD(0.5)),
    epochs=8,
    callbacks=lambda: [
        keras.callbacks.EarlyStopping(patience=1, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau(factor=0.3, patience=0),
    ],
)
CASES["many metrics"] = Case(
    lambda: mlp(metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2, name="top")])
)
CASES["from logits"] = Case(
    lambda: with_loss(keras.losses.SparseCategoricalCrossentropy(from_logits=True))
)


def with_loss(loss):
    """Compile a linear net with a loss object."""
    model = keras.Sequential([L.Input((6,)), L.Dense(CLASSES)])
    model.compile("adam", loss)
    return model


def strong(l1, l2, weight_decay):
    """Compile a net whose weights are held down in three ways."""
    regularizers = keras.regularizers
    layers = [
        L.Dense(8, "relu", kernel_regularizer=regularizers.L2(l2), bias_regularizer="l2"),
        L.BatchNormalization(),
        L.Dense(5, kernel_regularizer=regularizers.L1(l1)),
    ]
    return compiled(layers, (6,), OPT.AdamW(0.01, weight_decay=weight_decay))


CASES["strengths"] = Case(lambda: strong(0.0137, 0.3, 0.0371), weight=weights)
CASES["other strengths"] = Case(lambda: strong(0.1, 0.0, 1e-4), weight=weights)


@case("attention", x=sequences)
def attention():
    """Build a functional model with attention and a skip."""
    i = L.Input((5, 4))
    x = L.Add()([i, L.MultiHeadAttention(2, 3, dropout=0.1)(i, i)])
    x = keras.ops.mean(x, axis=1)
    model = keras.Model(i, L.Dense(CLASSES, "softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@case("two inputs, two outputs", x=two_inputs, y=two_targets)
def two_heads():
    """Build a model with two inputs and two outputs."""
    numbers, words = L.Input((6,), name="numbers"), L.Input((6,), name="words", dtype="int32")
    x = L.Concatenate()([L.Dense(4)(numbers), L.Flatten()(L.Embedding(10, 2)(words))])
    kind, size = L.Dense(CLASSES, "softmax", name="kind")(x), L.Dense(1, name="size")(x)
    model = keras.Model({"numbers": numbers, "words": words}, [kind, size])
    model.compile(
        "adam",
        ["sparse_categorical_crossentropy", "mse"],
        loss_weights=[1.0, 0.3],
        metrics=[["accuracy"], ["mae"]],
    )
    return model


@case("frozen layers")
def frozen():
    """Build a net whose first layer does not train."""
    model = keras.Sequential([L.Input((6,)), L.Dense(8), L.Dense(CLASSES, "softmax")])
    model.layers[0].trainable = False
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@case("mixed precision")
def mixed():
    """Build a net that computes in bfloat16."""
    layers = [L.Dense(8, "relu", dtype="mixed_bfloat16"), L.Dense(8, dtype="mixed_bfloat16")]
    return compiled(layers, (6,))


@case("shared layer", x=sequences)
def shared():
    """Build a model that uses one layer twice."""
    i, dense = L.Input((5, 4)), L.Dense(4, "tanh")
    model = keras.Model(i, L.Dense(CLASSES, "softmax")(L.Flatten()(dense(dense(i)))))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


@case("nested model")
def nested():
    """Build a model that holds another."""
    inner = keras.Sequential([L.Input((6,)), L.Dense(5, "relu"), L.Dropout(0.2)])
    return compiled([inner, L.Dense(4)], (6,))


class Subclassed(keras.Model):
    """A model with a `call` of its own."""

    def __init__(self):
        super().__init__()
        self.hidden, self.drop = L.Dense(8, "relu"), L.Dropout(0.3)
        self.last = L.Dense(CLASSES, "softmax")

    def call(self, x, training=False):
        """Compute the outputs."""
        return self.last(self.drop(self.hidden(x), training=training))


@case("subclassed")
def subclassed():
    """Build a subclassed model."""
    model = Subclassed()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class OwnStep(keras.Model):
    """A model with a `train_step` of its own, which logs what it likes."""

    def train_step(self, data):
        """Take a step of plain gradient descent."""
        import tensorflow as tf

        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(y=y, y_pred=self(x, training=True))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"my_loss": loss, "norm": tf.linalg.global_norm(gradients)}


@case("own train_step")
def own_step():
    """Build a functional model with its own step."""
    i = L.Input((6,))
    model = OwnStep(i, L.Dense(CLASSES, "softmax")(L.Dense(8, "relu")(i)))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def squared(y_true, y_pred):
    """Return a loss of the user's own."""
    return keras.ops.mean(keras.ops.square(keras.ops.one_hot(y_true, CLASSES) - y_pred), axis=-1)


@case("own loss and metric")
def own_loss():
    """Build a net with a loss function and a metric function of the user's."""
    model = keras.Sequential([L.Input((6,)), L.Dense(8, "relu"), L.Dense(CLASSES, "softmax")])
    model.compile("adam", squared, metrics=[squared])
    return model
