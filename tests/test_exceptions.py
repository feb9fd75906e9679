"""The errors say what happened and what to try, and survive a process boundary."""

import pickle

import pytest

from skcb.exceptions import NonFiniteLoss, TrainingWarning

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "error, words",
    [
        (
            NonFiniteLoss(3, 0.5, {"loss": NAN, "acc": 0.1}, {"loss": 0.7}),
            ["loss is nan", "epoch 3", "0.5", "loss=0.7", "`optimizer__learning_rate`"],
        ),
        (NonFiniteLoss(0, 1e-3, {"loss": 1.0, "val_loss": INF}), ["val_loss is inf", "the first"]),
    ],
)
def test_a_loss_that_is_not_finite_says_when_and_what_to_try(error, words):
    """Epoch, learning rate, the last finite values and the next step; not what is finite."""
    assert [word for word in words if word not in str(error)] == []
    assert "acc is" not in str(error)


def test_the_error_carries_its_facts():
    """A search's user reads them off the exception."""
    error = NonFiniteLoss(3, 0.5, {"loss": INF}, {"loss": 0.7})
    assert (error.epoch, error.learning_rate) == (3, 0.5)
    assert (error.logs, error.last_finite) == ({"loss": INF}, {"loss": 0.7})


def test_the_error_comes_back_from_a_worker():
    """Pickled, it is the same error with the same facts."""
    error = pickle.loads(pickle.dumps(NonFiniteLoss(3, 0.5, {"loss": INF}, None)))
    assert type(error) is NonFiniteLoss
    assert (error.epoch, error.last_finite) == (3, None)
    assert "loss is inf" in str(error)


def test_a_training_warning_can_be_filtered_alone():
    """It is a UserWarning of its own kind."""
    assert issubclass(TrainingWarning, UserWarning) and TrainingWarning is not UserWarning
