"""The recipe for scores of scikit-learn's in every epoch.

Owns ``EpochScoring``. Leaves the scoring to ``live_scoring``.
"""

from __future__ import annotations

from typing import Any

from skcb.callbacks.ranges import NONE, TEXT, Ranges, one_of
from skcb.callbacks.recipe import CallbackRecipe


class EpochScoring(CallbackRecipe):
    """Score the estimator at the end of each epoch, by any scorer of scikit-learn's.

    The scores stand in the logs before any other callback sees them, wherever among the callbacks
    this one stands. So they can be monitored, are in ``history_``, and decide ``best_epoch_``
    where an EarlyStopping or ModelCheckpoint monitors them. Scorers are greater-is-better, those
    named ``neg_*`` too, and such a monitor needs no ``mode``. All scorers of a fit share one
    prediction an epoch.

    Parameters
    ----------
    scoring : str, callable, list, dict or None
        As in :class:`sklearn.model_selection.GridSearchCV`: the name of a scorer, a function of
        ``(estimator, X, y)``, a list of names, a dict of name to scorer, or None for the
        estimator's own ``score``.
    name : str, optional
        What a single score is called; by default the scorer's or the function's own name.
    on : {"validation", "train"}, default="validation"
        On which rows. Of those that are watched the log's name is ``val_<name>``, of those that
        train it is ``<name>``. Epochs that ``validation_freq`` leaves out have no ``val_<name>``.

    Notes
    -----
    Rows, labels and sample weights are the user's own, as scikit-learn checked them: X is an
    array where it was a DataFrame, and ``class_weight``, which is for training, takes no part. A
    scorer that takes no ``sample_weight`` scores without. With SwapEMAWeights it is the averaged
    weights that are scored, as they are evaluated.

    A scorer of the user's own may run the model in training mode, and finds ``history_``,
    ``n_iter_`` and ``best_epoch_`` up to this epoch: the variables of model and optimizer are put
    back, so training goes on as without it.

    Examples
    --------
    >>> import keras
    >>> from sklearn.datasets import load_breast_cancer
    >>> from skcb import KerasClassifier
    >>> from skcb.callbacks import EarlyStopping, EpochScoring
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> def logistic(meta):
    ...     return keras.Sequential([
    ...         keras.layers.Input((meta["n_features_in_"],)),
    ...         keras.layers.Normalization(),
    ...         keras.layers.Dense(meta["n_output_units_"], meta["output_activation_"]),
    ...     ])
    >>> clf = KerasClassifier(
    ...     logistic, epochs=5, validation_split=0.2, random_state=0,
    ...     callbacks={"stop": EarlyStopping(monitor="val_roc_auc", patience=3),
    ...                "score": EpochScoring(["roc_auc", "neg_brier_score"])})
    >>> history = clf.fit(X, y).history_
    >>> [len(history[name]) == clf.n_iter_ for name in ("val_roc_auc", "val_neg_brier_score")]
    [True, True]
    >>> clf.callbacks_["stop"].mode
    'max'
    """

    ALLOWED = Ranges(name=TEXT | NONE, on=one_of("validation", "train"))

    def __init__(self, scoring: Any, name: str | None = None, on: str = "validation") -> None:
        self.scoring = scoring
        self.name = name
        self.on = on

    def target(self) -> type:
        """Return the class of the live callback; this imports Keras."""
        from skcb.callbacks import live_scoring  # here, because Keras loads with it

        return live_scoring.EpochScoring
