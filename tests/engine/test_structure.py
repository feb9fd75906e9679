"""Models that differ in anything that changes their numbers never share a program."""

import sys
from pathlib import Path

import keras
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import twins
import zoo
from keras_reference import built
from running import by_keras, difference, trained

from skcb.engine import pool
from skcb.engine.structure import NotDescribed, describe

L = keras.layers
BUILT_IN = [*zoo.LAYERS, "plain", "attention", "two inputs, two outputs", "nested model"]
NOT_DESCRIBED = ["subclassed", "own train_step", "own loss and metric"]


def model_of(case):
    """Build a fresh model of a case with all its variables."""
    x, y = case.x(), case.y()
    return built(case, (x, y))


def described(model):
    """Describe a model and say what its program is fed, or return None."""
    try:
        return describe(model)[0], strengths(model)
    except NotDescribed:
        return None


def strengths(model):
    """Return the numbers that the program of a model is fed, by name."""
    return [
        (number.name, float(getattr(number.owner, number.name))) for number in describe(model)[1]
    ]


@pytest.mark.parametrize("name", BUILT_IN)
def test_models_of_one_structure_are_described_alike(name):
    """Two models built alike are one structure, whatever Keras named their layers."""
    first, second = model_of(zoo.CASES[name]), model_of(zoo.CASES[name])
    assert describe(first)[0] == describe(second)[0]


@pytest.mark.parametrize("name", NOT_DESCRIBED)
def test_code_of_the_users_own_is_not_described(name):
    """What a user's code reads could change without a sign, so it shares nothing."""
    with pytest.raises(NotDescribed):
        describe(model_of(zoo.CASES[name]))


def test_a_method_put_into_a_class_of_keras_is_the_users_own(monkeypatch):
    """It may read what it likes."""
    model = model_of(zoo.CASES["plain"])
    original = L.Dense.call
    monkeypatch.setattr(L.Dense, "call", lambda self, x, training=None: original(self, x))
    with pytest.raises(NotDescribed, match="Dense"):
        describe(model)


def test_variables_left_out_of_weight_decay_are_not_described():
    """Keras knows them by ids, which another model's variables may have later."""
    model = zoo.mlp(keras.optimizers.AdamW())
    model.optimizer.exclude_from_weight_decay(var_list=[model.layers[0].bias])
    with pytest.raises(NotDescribed, match="weight decay"):
        describe(model)


@pytest.mark.parametrize("name", twins.PAIRS)
def test_pairs_are_two_structures(name):
    """Of two models that differ in one thing, description or numbers differ, or there is none."""
    a, b, x = twins.PAIRS[name]
    epsilon = keras.config.epsilon()
    try:
        first = described(model_of(zoo.Case(a, x=x)))
        second = described(model_of(zoo.Case(b, x=x)))
    finally:
        keras.config.set_epsilon(epsilon)
    assert first is None or first != second


@pytest.fixture(scope="module")
def after_the_other(tmp_path_factory):
    """Train A then B of each pair through the pool, and B alone in a fresh process."""
    pool.clear_programs()
    epsilon = keras.config.epsilon()
    jobs, ours = {}, {}
    try:
        for name, (a, b, x) in twins.PAIRS.items():
            trained(zoo.Case(a, x=x))
            jobs[name, 0, "auto"], ours[name] = trained(zoo.Case(b, x=x))
    finally:
        keras.config.set_epsilon(epsilon)
    return ours, by_keras(jobs, tmp_path_factory.mktemp("twins"))


@pytest.mark.slow
@pytest.mark.parametrize("name", twins.PAIRS)
def test_second_of_a_pair_is_not_touched_by_the_first(after_the_other, name):
    """B trained after A through the pool equals B trained in a fresh process."""
    ours, reference = after_the_other
    assert difference(ours[name], reference[name, 0, "auto"]) == 0.0


def test_strengths_of_weights_are_fed_and_not_described():
    """So a search over them does not trace again."""
    cases = [zoo.CASES["strengths"], zoo.CASES["other strengths"]]
    first, second = (model_of(case) for case in cases)
    assert describe(first)[0] == describe(second)[0]
    assert sorted(name for name, _ in strengths(first)) == ["l1", "l2", "l2", "weight_decay"]
    assert strengths(first) != strengths(second)


def test_a_shared_regularizer_is_fed_once():
    """And a model where two layers share one differs from a model where each has its own."""
    regularizer = keras.regularizers.L2(0.1)

    def build(*regularizers):
        layers = [L.Dense(6, kernel_regularizer=each) for each in regularizers]
        return zoo.compiled(layers, (6,))

    shared = build(regularizer, regularizer)
    apart = build(regularizer, keras.regularizers.L2(0.1))
    for model in (shared, apart):
        model.optimizer.build(model.trainable_variables)
    assert len(strengths(shared)) == 1 and len(strengths(apart)) == 2
    assert describe(shared)[0] != describe(apart)[0]


@pytest.mark.parametrize(
    "options",
    [{"activity_regularizer": "l2"}, {"dtype": "float64"}],
    ids=["a regularizer of outputs", "weights that are not float32"],
)
def test_strengths_stay_constants_where_the_last_bit_is_in_doubt(options):
    """Then models that differ in them share nothing."""
    model = zoo.compiled([L.Dense(6, kernel_regularizer="l2", **options)], (6,))
    model.optimizer.build(model.trainable_variables)
    assert strengths(model) == []
