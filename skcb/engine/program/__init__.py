"""Program: compiled functions that train an epoch, evaluate and predict, for one structure.

The one place that imports TensorFlow.
"""

from skcb.engine.program.bound import Bound, Program, runs_eagerly
from skcb.engine.program.tracing import predicts_as_keras

__all__ = ["Bound", "Program", "predicts_as_keras", "runs_eagerly"]
