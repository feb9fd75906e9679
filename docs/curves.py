"""The figures of "Learning-rate schedules", drawn from `simulate` when the site is built."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np

from skcb.schedules import (
    Constant,
    CosineDecay,
    CosineRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    LinearWarmup,
    OneCycle,
    PiecewiseConstant,
    PolynomialDecay,
    Schedule,
    StepDecay,
    TimeBasedDecay,
)

EPOCHS, LEARNING_RATE = 20, 0.1


def draw(panels: Mapping[str, Schedule], *, columns: int = 3, steps: int = 1) -> None:
    """Draw a curve a panel: a level for each epoch, or for each of its steps."""
    rows = -(-len(panels) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.5 * columns, 2.1 * rows), sharex=True, sharey=True, squeeze=False
    )
    edges = np.arange(EPOCHS * steps + 1) / steps
    for axis, (title, schedule) in zip(axes.flat, panels.items(), strict=True):
        axis.stairs(schedule.simulate(EPOCHS, LEARNING_RATE, steps), edges, baseline=None, lw=1.8)
        axis.set_title(title, fontsize=8.5)
        axis.set_ylim(0, 1.1 * LEARNING_RATE)
        axis.set_xticks(range(0, EPOCHS + 1, 5))
        axis.grid(alpha=0.3)
    for axis in axes[-1]:
        axis.set_xlabel("epoch")
    for axis in axes[:, 0]:
        axis.set_ylabel("learning rate")
    figure.tight_layout()


def decays() -> None:
    """Draw those that go down."""
    draw(
        {
            "TimeBasedDecay(0.01)": TimeBasedDecay(0.01),
            "TimeBasedDecay(0.1, compounding=False)": TimeBasedDecay(0.1, compounding=False),
            "StepDecay(0.5, 5)": StepDecay(0.5, 5),
            "PiecewiseConstant()": PiecewiseConstant(),
            "ExponentialDecay(0.9)": ExponentialDecay(0.9),
            "ExponentialDecay(0.5, 5, staircase=True)": ExponentialDecay(0.5, 5, staircase=True),
            "InverseTimeDecay(0.5)": InverseTimeDecay(0.5),
            "PolynomialDecay()": PolynomialDecay(),
            "PolynomialDecay(power=3)": PolynomialDecay(power=3),
        }
    )


def cycles() -> None:
    """Draw those that warm up, follow a cosine, or start again."""
    draw(
        {
            "CosineDecay()": CosineDecay(),
            "CosineDecay(0.1, 0.75)": CosineDecay(0.1, 0.75),
            "CosineDecay(warmup_epochs=0.2)": CosineDecay(warmup_epochs=0.2),
            "CosineRestarts(3)": CosineRestarts(3),
            "CosineRestarts(5, t_mul=1.0, m_mul=0.5)": CosineRestarts(5, t_mul=1.0, m_mul=0.5),
            "PolynomialDecay(0, 4, cycle=True)": PolynomialDecay(0, 4, cycle=True),
            "OneCycle()": OneCycle(),
            'OneCycle(shape="linear")': OneCycle(shape="linear"),
            "LinearWarmup(0.25)": LinearWarmup(0.25),
        }
    )


def chains() -> None:
    """Draw what `then` makes."""
    draw(
        {
            "LinearWarmup(0.2).then(\n    StepDecay(0.5, 4), at=0.2)": LinearWarmup(0.2).then(
                StepDecay(0.5, 4), at=0.2
            ),
            "Constant().then(\n    CosineDecay(), at=0.5)": Constant().then(CosineDecay(), at=0.5),
            "CosineDecay().then(\n    Constant(0.2), at=10)": CosineDecay().then(
                Constant(0.2), at=10
            ),
        }
    )


def often() -> None:
    """Draw one schedule by epoch and by batch."""
    short = {"warmup_epochs": 3, "decay_epochs": 8}
    draw(
        {
            'OneCycle(..., per="epoch")': OneCycle(**short),
            'OneCycle(..., per="batch")': OneCycle(**short, per="batch"),
        },
        columns=2,
        steps=25,
    )
