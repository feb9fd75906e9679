"""The 64-32-10 net written by hand for TensorFlow: what an epoch costs at the very least.

Nothing here is general: one net, Keras' formula of Adam with what all variables share computed
once a step, the mean loss and the accuracy. A loop over the batches runs in one ``tf.function``,
and a new fit sets the variables that are there to new values.
"""

SHAPES = [(64, 64), (64,), (64, 32), (32,), (32, 10), (10,)]


class Net:
    """Variables of net and optimizer, and the functions that train and evaluate.

    Parameters
    ----------
    weights : list of ndarray
        In Keras' order.
    """

    def __init__(self, weights):
        import tensorflow as tf

        self.weights = [tf.Variable(w) for w in weights]
        self._means, self._squares = (
            [tf.Variable(tf.zeros_like(w)) for w in self.weights] for _ in range(2)
        )
        self._count = tf.Variable(0, dtype=tf.int64)
        self._rate = tf.Variable(1e-3)
        index, number = tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.int32)
        rows = [tf.TensorSpec([None, 64], tf.float32), tf.TensorSpec([None], tf.int64)]
        self._epoch = tf.function(self._train, input_signature=[*rows, index, number])
        self._evaluate = tf.function(self._test, input_signature=[*rows, number])
        self._predict = tf.function(self._logits, input_signature=rows[:1])

    def begin(self, seed, rate):
        """Begin a fit with new weights, by Keras' rule for Dense layers."""
        import numpy as np

        rng = np.random.default_rng(seed)
        for variable in self.weights:
            shape = variable.shape
            limit = np.sqrt(6 / sum(shape)) if len(shape) == 2 else 0.0
            variable.assign(rng.uniform(-limit, limit, shape).astype("float32"))
        for variable in (*self._means, *self._squares, self._count):
            variable.assign(variable * 0)
        self._rate.assign(rate)

    def epoch(self, X, y, order, batch_size):
        """Train an epoch; return loss and accuracy."""
        import tensorflow as tf

        found = self._epoch(X, y, tf.constant(order, tf.int32), tf.constant(batch_size))
        return tuple(float(number) for number in found)

    def evaluate(self, X, y, batch_size):
        """Return loss and accuracy of rows."""
        import tensorflow as tf

        return tuple(float(number) for number in self._evaluate(X, y, tf.constant(batch_size)))

    def predict(self, X):
        """Return the class of each row."""
        return self._predict(X).numpy().argmax(axis=1)

    def _logits(self, rows):
        import tensorflow as tf

        (w1, b1, w2, b2, w3, b3) = self.weights
        hidden = tf.nn.relu(tf.nn.bias_add(tf.matmul(rows, w1), b1))
        hidden = tf.nn.relu(tf.nn.bias_add(tf.matmul(hidden, w2), b2))
        return tf.nn.bias_add(tf.matmul(hidden, w3), b3)

    def _loss_and_hits(self, rows, labels):
        import tensorflow as tf

        logits = self._logits(rows)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        hits = tf.argmax(tf.nn.softmax(logits), axis=-1) == labels
        return tf.reduce_mean(loss), tf.reduce_sum(tf.cast(hits, tf.float32))

    def _train(self, X, y, order, batch_size):
        import tensorflow as tf

        n = tf.size(order)
        start, loss, right = tf.constant(0), tf.constant(0.0), tf.constant(0.0)
        while start < n:
            batch = order[start : tf.minimum(start + batch_size, n)]
            with tf.GradientTape() as tape:
                mean, hits = self._loss_and_hits(tf.gather(X, batch), tf.gather(y, batch))
            self._adam(tape.gradient(mean, self.weights))
            loss += mean * tf.cast(tf.size(batch), tf.float32)
            right += hits
            start += batch_size
        return loss / tf.cast(n, tf.float32), right / tf.cast(n, tf.float32)

    def _test(self, X, y, batch_size):
        import tensorflow as tf

        n = tf.size(y)
        start, loss, right = tf.constant(0), tf.constant(0.0), tf.constant(0.0)
        while start < n:
            end = tf.minimum(start + batch_size, n)
            mean, hits = self._loss_and_hits(X[start:end], y[start:end])
            loss += mean * tf.cast(end - start, tf.float32)
            right += hits
            start = end
        return loss / tf.cast(n, tf.float32), right / tf.cast(n, tf.float32)

    def _adam(self, gradients):
        import tensorflow as tf

        beta_1, beta_2, epsilon = 0.9, 0.999, 1e-7
        step = tf.cast(self._count + 1, tf.float32)
        alpha = self._rate * tf.sqrt(1.0 - tf.pow(beta_2, step)) / (1.0 - tf.pow(beta_1, step))
        slots = zip(self.weights, self._means, self._squares, gradients, strict=True)
        for variable, m, v, g in slots:
            new_m = m.assign_add((g - m) * (1.0 - beta_1), read_value=True)
            new_v = v.assign_add((tf.square(g) - v) * (1.0 - beta_2), read_value=True)
            variable.assign_sub(new_m * alpha / (tf.sqrt(new_v) + epsilon))
        self._count.assign_add(1)
