"""What does an epoch cost over the least that TensorFlow allows for the same arithmetic?

One epoch of a 64-32-10 net on digits, batch 32, against a ``tf.function`` written by hand for
this net alone: a loop over the batches in the graph, Keras' formula of Adam with what all
variables share computed once a step, the mean loss and the accuracy. Both start from the same
weights and take the rows in their order, by turns in one process. What is timed on skcb's side is
the whole of an epoch in ``fit``, from one ``on_epoch_end`` to the next; by hand, the order made in
NumPy, the call, and loss and accuracy read.

Losses, accuracies and final weights must be within 1e-5 of each other.
"""

import time

from _digits import data, net
from _turns import arguments, report, share

EPOCHS, BATCH, TOLERANCE = 50, 32, 1e-5


def by_hand(weights, X, y):
    """Return a function that trains an epoch and returns loss and accuracy, and the variables."""
    import numpy as np
    import tensorflow as tf

    X, y = tf.constant(X), tf.constant(y, tf.int64)
    variables = [tf.Variable(w) for w in weights]
    means, squares = ([tf.Variable(tf.zeros_like(v)) for v in variables] for _ in range(2))
    count, one, rate, epsilon = tf.Variable(0, dtype=tf.int64), 1.0, 1e-3, 1e-7
    beta_1, beta_2 = 0.9, 0.999

    def logits_of(rows):
        (w1, b1, w2, b2, w3, b3) = variables
        hidden = tf.nn.relu(tf.nn.bias_add(tf.matmul(rows, w1), b1))
        hidden = tf.nn.relu(tf.nn.bias_add(tf.matmul(hidden, w2), b2))
        return tf.nn.bias_add(tf.matmul(hidden, w3), b3)

    def adam(gradients):
        step = tf.cast(count + 1, tf.float32)
        alpha = rate * tf.sqrt(one - tf.pow(beta_2, step)) / (one - tf.pow(beta_1, step))
        for variable, m, v, g in zip(variables, means, squares, gradients, strict=True):
            new_m = m.assign_add((g - m) * (one - beta_1), read_value=True)
            new_v = v.assign_add((tf.square(g) - v) * (one - beta_2), read_value=True)
            variable.assign_sub(new_m * alpha / (tf.sqrt(new_v) + epsilon))
        count.assign_add(1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.int32)])
    def epoch(order, batch_size):
        n = tf.size(order)
        start, loss, right = tf.constant(0), tf.constant(0.0), tf.constant(0.0)
        while start < n:
            batch = order[start : tf.minimum(start + batch_size, n)]
            rows, labels = tf.gather(X, batch), tf.gather(y, batch)
            with tf.GradientTape() as tape:
                logits = logits_of(rows)
                mean = tf.reduce_mean(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
                )
            adam(tape.gradient(mean, variables))
            hits = tf.cast(tf.argmax(tf.nn.softmax(logits), axis=-1) == labels, tf.float32)
            loss += mean * tf.cast(tf.size(batch), tf.float32)
            right += tf.reduce_sum(hits)
            start += batch_size
        return loss / tf.cast(n, tf.float32), right / tf.cast(n, tf.float32)

    def run():
        order = tf.constant(np.arange(len(X)), tf.int32)
        loss, accuracy = epoch(order, tf.constant(BATCH))
        return float(loss), float(accuracy)

    return run, variables


def clock():
    """Return a Keras callback that keeps the first weights and the time of each epoch's end."""
    import keras

    class Clock(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.weights = self.model.get_weights()
            self.ends = []

        def on_epoch_end(self, epoch, logs=None):
            self.ends.append(time.perf_counter())

    return Clock


def turn_of_skcb(clock, X, y, epochs):
    """Fit, and return seconds of an epoch, the first weights and the classifier."""
    import numpy as np

    from skcb import KerasClassifier

    classifier = KerasClassifier(
        net,
        optimizer="adam",
        metrics=["accuracy"],
        callbacks={"clock": clock},
        epochs=epochs,
        batch_size=BATCH,
        shuffle=False,
        random_state=0,
    ).fit(X, y)
    kept = classifier.callbacks_["clock"]
    return float(np.median(np.diff(kept.ends))), kept.weights, classifier


def turn_by_hand(weights, X, y, epochs):
    """Train, and return seconds of an epoch, the history and the variables."""
    import numpy as np

    run, variables = by_hand(weights, X, y)
    ends, history = [], []
    for _ in range(epochs):
        history.append(run())
        ends.append(time.perf_counter())
    return float(np.median(np.diff(ends))), np.array(history).T, variables


def main():
    """Train by turns, and compare times and numbers."""
    options = arguments(__doc__, rounds=7)
    import numpy as np

    (X, y), kind, epochs = data(), clock(), 10 if options.quick else EPOCHS
    rounds = options.rounds if not options.quick else 3
    turn_of_skcb(kind, X, y, 2)  # traces; by hand the first epoch does, and does not count
    ours, theirs, apart = [], [], 0.0
    for _ in range(rounds):
        seconds, weights, classifier = turn_of_skcb(kind, X, y, epochs)
        ours.append(1e3 * seconds)
        seconds, (losses, accuracies), variables = turn_by_hand(weights, X, y, epochs)
        theirs.append(1e3 * seconds)
        history = classifier.history_
        pairs = [(history["loss"], losses), (history["accuracy"], accuracies)]
        pairs += list(zip(classifier.model_.get_weights(), variables, strict=True))
        apart = max(apart, *(float(np.abs(np.subtract(a, b)).max()) for a, b in pairs))
    line = share(
        "one epoch, small MLP",
        "tf.function by hand",
        "ms",
        ours,
        theirs,
        1.3,
        note=f"largest difference {apart:.1e} after {epochs} epochs",
        agrees=apart <= TOLERANCE,
    )
    report([line], options)


if __name__ == "__main__":
    main()
