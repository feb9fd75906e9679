"""Plain Keras on the batches and initial state that skcb chose; never imports skcb.

Run as ``python keras_reference.py CASES.pickle OUT.pickle``: for each case it builds the model,
loads the initial variables and calls ``Model.fit`` once on exactly those batches.
"""

import pickle
import sys

import numpy as np
import tensorflow as tf


def batches(arrays, orders, batch_size):
    """Return a dataset of the batches of all epochs, one after the other."""

    def each():
        for order in orders:
            for start in range(0, len(order), batch_size):
                yield tuple(take(part, order[start : start + batch_size]) for part in arrays)

    def spec(array):
        return tf.TensorSpec([None, *array.shape[1:]], array.dtype)

    signature = tf.nest.map_structure(spec, take(arrays, slice(None)))
    return tf.data.Dataset.from_generator(each, output_signature=signature)


def take(values, rows):
    """Take rows of an array, or of each in a structure."""
    if isinstance(values, dict):
        return {name: take(value, rows) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return tuple(take(value, rows) for value in values)
    return values[rows]


def built(case, arrays):
    """Build a case's model with all its variables."""
    model = case.build()
    sample = (*(take(part, slice(0, 2)) for part in arrays), None)[:3]
    model._symbolic_build(data_batch=sample)
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    return model


def variables_of(model):
    """Return all variables of a model and its optimizer, in order."""
    return [*model.variables, *model.optimizer.variables]


def train(case, job):
    """Train one case as plain Keras does; return history and final variables."""
    model = built(case, job["train"])
    for variable, value in zip(variables_of(model), job["initial"], strict=True):
        variable.assign(value)
    history = model.fit(
        batches(job["train"], job["orders"], case.batch_size),
        steps_per_epoch=-(-len(job["orders"][0]) // case.batch_size),
        epochs=case.epochs,
        shuffle=False,
        validation_data=job["watched"],
        validation_batch_size=case.batch_size,
        validation_freq=case.validation_freq,
        verbose=0,
        callbacks=case.callbacks(),
    ).history
    return {"history": history, "final": [np.asarray(v.value) for v in variables_of(model)]}


def main(jobs_file, out_file):
    """Train all cases and write what came out."""
    with open(jobs_file, "rb") as file:
        directory, jobs = pickle.load(file)
    sys.path.insert(0, directory)
    find = __import__("twins").case_of
    out = {key: train(find(key[0]), job) for key, job in jobs.items()}
    assert "skcb" not in sys.modules
    with open(out_file, "wb") as file:
        pickle.dump(out, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
