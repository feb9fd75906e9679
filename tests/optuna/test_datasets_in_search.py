"""Datasets and generators have no rows to cut, so what cuts rows refuses them before a trial."""

import keras
import pytest
import tensorflow as tf

from skcb.optuna import CrossValObjective, OptunaSearchCV
from tests.models import X, untrainable
from tests.optuna.trials import SPACE, classifier, y

codes = (y == "yes").astype(int)


class Batches(keras.utils.PyDataset):
    """Keras' own kind; scikit-learn would take its three batches for rows."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        rows = slice(16 * index, 16 * index + 16)
        return X[rows], codes[rows]


KINDS = {
    "_BatchDataset": lambda: tf.data.Dataset.from_tensor_slices((X, codes)).batch(16),
    "Batches": Batches,
    "generator": lambda: (each for each in [(X, codes)]),
}
ESTIMATOR = classifier(untrainable, classes=[0, 1])


@pytest.mark.parametrize("target", [None, codes], ids=["no y", "y"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_objective_refuses_a_dataset(kind, target):
    """When it is made: it says what it got and what takes a dataset."""
    with pytest.raises(ValueError, match=rf"X is a dataset \({kind}\).*give arrays.*`fit`"):
        CrossValObjective(ESTIMATOR, SPACE, KINDS[kind](), target, cv=3)


@pytest.mark.parametrize("target", [None, codes], ids=["no y", "y"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_search_refuses_a_dataset(kind, target):
    """Before the study is made, and not for the y that is missing."""
    search = OptunaSearchCV(ESTIMATOR, SPACE, n_trials=1, cv=3)
    with pytest.raises(ValueError, match=rf"X is a dataset \({kind}\).*give arrays.*`fit`"):
        search.fit(KINDS[kind](), target)
    assert not hasattr(search, "study_")
