"""What does an epoch cost over the least that TensorFlow allows for the same arithmetic?

One epoch of a 64-32-10 net on digits, batch 32, against a ``tf.function`` written by hand for
this net alone (``_by_hand.py``). Both start from the same weights and take the rows in their
order, by turns in one process. What is timed on skcb's side is the whole of an epoch in ``fit``,
from one ``on_epoch_end`` to the next; by hand, the order handed over, the call, and loss and
accuracy read.

Losses, accuracies and final weights must be within 1e-5 of each other.
"""

import time

from _by_hand import Net
from _digits import data, net
from _turns import arguments, report, share

EPOCHS, BATCH, TOLERANCE = 50, 32, 1e-5


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
    import tensorflow as tf

    hand, order = Net(weights), np.arange(len(X))
    X, y = tf.constant(X), tf.constant(y, tf.int64)
    ends, history = [], []
    for _ in range(epochs):
        history.append(hand.epoch(X, y, order, BATCH))
        ends.append(time.perf_counter())
    return float(np.median(np.diff(ends))), np.array(history).T, hand.weights


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
