"""The parameters that a search found, trained on all rows."""

import keras
import numpy as np
import optuna
import pytest
from optuna.distributions import IntDistribution
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skcb
from skcb import KerasClassifier, Tunable
from skcb.callbacks import EarlyStopping, EpochScoring, ModelCheckpoint, ReduceLROnPlateau
from skcb.optuna import CrossValObjective
from skcb.schedules import CosineDecay
from tests.models import Play, X, Y, numbered, perceptron, seeing

y = Y["binary"]
GRID = {"kerasclassifier__batch_size": [8, 16]}
SPACE = {"kerasclassifier__batch_size": IntDistribution(8, 16)}


def pipeline(build_fn=perceptron, **options):
    """Return a pipeline that trains in a moment, and stops early."""
    stop = EarlyStopping(patience=2, restore_best_weights=True)
    options = {"epochs": 8, "validation_split": 0.25, "callbacks": {"stop": stop}, **options}
    clf = KerasClassifier(build_fn, optimizer="adam", random_state=0, **options)
    return make_pipeline(StandardScaler(), clf)


def best_at(epoch):
    """Return callbacks by which each fold is best in this epoch, from 0, and stops soon."""
    curve = [-abs(k - epoch) for k in range(20)]
    stop = EarlyStopping(monitor="played", mode="max", patience=1)
    return {"play": Tunable(Play, name="played", values=curve), "stop": stop}


def searched(estimator, search=GridSearchCV):
    """Return a fitted search that refits nothing itself."""
    return search(estimator, GRID, cv=3, refit=False).fit(X, y)


@pytest.mark.slow
@pytest.mark.parametrize("search", [GridSearchCV, RandomizedSearchCV])
@pytest.mark.parametrize("validation", ["keep", "none"])
def test_search_is_refitted_for_the_median_of_the_folds_best_epochs(search, validation):
    """Of the epochs that the folds have with the best parameters."""
    options = {} if search is GridSearchCV else {"n_iter": 2, "random_state": 0}
    estimator = pipeline(optimizer__learning_rate=0.2, epochs=12)
    found = search(estimator, GRID, cv=3, refit=False, **options).fit(X, y)
    best = skcb.refit(found, X, y, validation=validation)
    given = estimator.set_params(**found.best_params_)
    folds = cross_validate(given, X, y, cv=3, return_estimator=True)["estimator"]
    epochs = [fold[-1].best_epoch_ for fold in folds]
    assert len(set(epochs)) > 1
    assert best.refit_.fold_best_epochs == epochs
    assert best.refit_.params == found.best_params_
    if validation == "none":
        assert best[-1].n_iter_ == sorted(epochs)[1] + 1
        assert (best.refit_.n_rows, best.refit_.n_watched) == (48, 0)
        assert best.refit_.left_out == ["stop"]
        assert "val_loss" not in best[-1].history_
    else:
        assert best[-1].n_iter_ <= sorted(epochs)[1] + 1
        assert (best.refit_.n_rows, best.refit_.n_watched) == (36, 12)
        assert best.refit_.left_out == []
        assert "val_loss" in best[-1].history_
    assert best.refit_.epochs == best[-1].n_iter_
    assert best.predict(X).shape == y.shape


def test_given_epochs_are_an_ordinary_fit():
    """With early stopping, to the bit."""
    found = searched(pipeline())
    best = skcb.refit(found, X, y, epochs="given")
    plain = pipeline().set_params(**found.best_params_).fit(X, y)
    assert best[-1].history_ == plain[-1].history_
    np.testing.assert_array_equal(best.predict_proba(X), plain.predict_proba(X))
    assert best.refit_.fold_best_epochs is None
    assert str(best.refit_).startswith(f"36 rows trained for {plain[-1].n_iter_} epochs (as given)")


def test_schedule_keeps_its_horizon():
    """The learning rates are those of the folds' first epochs, and not a shorter schedule's."""
    estimator = pipeline(callbacks=best_at(2), lr_schedule=CosineDecay(), epochs=10)
    best = skcb.refit(searched(estimator), X, y, validation="none")
    rates = best[-1].history_["learning_rate"]
    assert rates == pytest.approx(CosineDecay().simulate(10, 0.001)[: len(rates)])
    assert len(rates) == 3
    assert "the folds were best after 3, 3, 3" in str(best.refit_)


@pytest.mark.slow
def test_rows_that_were_watched_train_too_without_validation():
    """Told from the rows that reached the model; also where they would have come with the call."""
    estimator = pipeline(seeing, callbacks=best_at(1))[-1]
    for options in ({}, {"fit_params": {"X_val": numbered(X)[:9], "y_val": y[:9]}}):
        search = GridSearchCV(estimator, {"batch_size": [7]}, cv=3, refit=False)
        search.fit(numbered(X), y)
        best = skcb.refit(search, numbered(X), y, validation="none", **options)
        seen = best.model_.get_layer("seen")
        np.testing.assert_array_equal(seen.trained, np.full(48, 2.0))
        np.testing.assert_array_equal(seen.watched, np.zeros(48))


def test_callbacks_that_need_watched_rows_are_left_out_and_no_others(tmp_path):
    """In whatever form they were given, and by what they watch in the end."""
    callbacks = {
        "recipe": EarlyStopping(),
        "by_class": ReduceLROnPlateau,
        "instance": keras.callbacks.EarlyStopping(),
        "score": EpochScoring("accuracy", name="other"),
        "save_best": ModelCheckpoint(str(tmp_path / "{run}/a.keras"), save_best_only=True),
        "train": EarlyStopping(monitor="loss"),
        "set_so": EarlyStopping(),
        "score_train": EpochScoring("accuracy", on="train", name="it"),
        "save": ModelCheckpoint(str(tmp_path / "{run}/b.keras")),
        "off": None,
    }
    estimator = pipeline(callbacks=callbacks, callbacks__set_so__monitor="loss", epochs=2)
    search = searched(estimator)
    best = skcb.refit(search, X, y, epochs="given", validation="none")
    assert best.refit_.left_out == ["recipe", "by_class", "instance", "score", "save_best"]
    assert list(best[-1].callbacks_) == ["train", "set_so", "score_train", "save"]
    assert estimator[-1].callbacks is callbacks


# -- studies ---------------------------------------------------------------------------------


@pytest.fixture
def study():
    """Return an objective and its study."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    objective = CrossValObjective(pipeline(), SPACE, X, y, cv=3)
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=2)
    return objective, study


@pytest.mark.parametrize("source", ["study", "trial", "params"])
def test_study_trial_or_parameters_can_be_refitted(study, source):
    """All three are the same estimator, trained for the same number of epochs."""
    objective, study = study
    given = {"study": study, "trial": study.best_trial, "params": study.best_params}[source]
    best = objective.refit(given, validation="none")
    epochs = study.best_trial.user_attrs["fold_best_epochs"]
    assert best.refit_.params == study.best_params
    assert best.refit_.fold_best_epochs == epochs
    assert best[-1].n_iter_ == sorted(epochs)[1] + 1
    assert not hasattr(objective.estimator[-1], "model_")


def test_conditional_space_is_asked_again_for_what_a_trial_chose():
    """Names of the trial need not be names of parameters."""

    def space(trial):
        kind = trial.suggest_categorical("kind", ["plain", "heavy"])
        momentum = {"optimizer__momentum": trial.suggest_float("m", 0.1, 0.9)}
        return {"optimizer": "sgd", **(momentum if kind == "heavy" else {})}

    objective = CrossValObjective(pipeline()[-1], space, X, y, cv=2)
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial({"kind": "heavy", "m": 0.7})
    study.optimize(objective, n_trials=1)
    best = objective.refit(study)
    assert float(best.model_.optimizer.momentum) == 0.7


def test_pruned_trial_is_refitted_by_folds_trained_anew(study):
    """It has no best epochs of its own."""
    objective, study = study

    class AtOnce(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            return True

    study.pruner = AtOnce()
    study.optimize(objective, n_trials=1)
    pruned = study.trials[-1]
    assert "fold_best_epochs" not in pruned.user_attrs
    assert len(objective.refit(pruned).refit_.fold_best_epochs) == 3


# -- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, message",
    [
        ({"epochs": "median"}, "`epochs` must be one of .*Did you mean `median_best`"),
        ({"epochs": 3}, "`epochs` must be one of 'median_best', 'given' but got 3"),
        ({"validation": "drop"}, "`validation` must be one of 'keep', 'none' but got 'drop'"),
    ],
)
def test_unknown_choice_is_refused(options, message):
    """Before anything is trained."""
    with pytest.raises(ValueError, match=message):
        skcb.refit(searched(pipeline(epochs=1, callbacks=None)), X, y, **options)


def test_search_without_best_parameters_is_refused():
    """One that is not fitted."""
    with pytest.raises(ValueError, match="GridSearchCV has no `best_params_`"):
        skcb.refit(GridSearchCV(pipeline(), GRID), X, y)


def test_estimator_of_several_keras_steps_is_refused():
    """There is no one number of epochs."""
    estimator = CalibratedClassifierCV(pipeline(epochs=1, callbacks=None), cv=2)
    grid = {"estimator__kerasclassifier__batch_size": [8]}
    search = GridSearchCV(estimator, grid, cv=2, refit=False).fit(X, y)
    with pytest.raises(TypeError, match="cannot be refitted an epoch at a time"):
        skcb.refit(search, X, y, epochs="given")
