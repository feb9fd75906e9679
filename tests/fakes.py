"""Small data and fakes that several test files use."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from skcb._targets import Target

Y = {
    "binary": np.array(["no", "yes", "no", "yes"]),
    "multiclass": np.array([7, 2, 5, 2]),
    "multilabel": np.array([[0, 1, 1], [1, 0, 1], [0, 0, 0], [1, 1, 1]]),
    "one-hot": np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1], [1, 0, 0]]),
    "continuous": np.array([[0.5, 1.0], [2.5, 3.0], [0.0, 1.5], [1.0, 2.0]]),
}


def ideal(encoded, head):
    """Outputs of a model that has learned its target perfectly."""
    return np.eye(head.n_units)[encoded] if head.encoding == "integer" else encoded


def learned(kind):
    """Target learned from one of the ys above."""
    return Target.learn(Y[kind], classifier=kind != "continuous")


# TensorFlow names its CPU kernels (severity I, information) when it is imported, before its log
# settings count.
OF_TENSORFLOW = re.compile(
    r"WARNING: All log messages before absl::InitializeLog\(\) is called are written to STDERR"
    r"|I0000 .*\.cc:\d+\] .*"
)


def fresh_process(code, *arguments):
    """Run a script in a new interpreter; return its stdout, and what skcb put on stderr."""
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = [x for x in done.stderr.splitlines() if x and not OF_TENSORFLOW.fullmatch(x)]
    return done.stdout, lines


def stable(ids):
    """Return a function that names test cases without addresses, which differ by process."""
    return lambda value: re.sub(r"at\s*0x[0-9a-f]+", "", ids(value) or "") or None
