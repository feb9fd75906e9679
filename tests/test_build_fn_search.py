"""A search over build functions: each has its own arguments, and `fit` judges what it lacks."""

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcb import KerasClassifier
from tests.models import X, Y, untrainable

y = Y["binary"]


def mlp(meta, hidden=3):
    """Build a perceptron."""
    model = keras.Sequential([layers.Input((meta["n_features_in_"],)), layers.Dense(hidden)])
    model.add(layers.Dense(meta["n_output_units_"], activation=meta["output_activation_"]))
    return model


def cnn(meta, filters=2, size=2):
    """Build a convolution over the columns."""
    model = keras.Sequential([layers.Input((meta["n_features_in_"],)), layers.Reshape((-1, 1))])
    model.add(layers.Conv1D(filters, size))
    model.add(layers.GlobalAveragePooling1D())
    model.add(layers.Dense(meta["n_output_units_"], activation=meta["output_activation_"]))
    return model


def anything(meta, **settings):
    """Build a perceptron, whatever else is given."""
    return mlp(meta, settings.get("hidden", 5))


def searched(grid, **params):
    """Run a search; every candidate must be fitted."""
    clf = KerasClassifier(mlp, random_state=0, **params)
    return GridSearchCV(clf, grid, cv=2, error_score="raise").fit(X, y)


@pytest.mark.slow
def test_build_functions_are_candidates():
    """Each candidate trains the model of its own function."""
    search = searched({"build_fn": [mlp, cnn]})
    tried = [p["build_fn"] for p in search.cv_results_["params"]]
    assert tried == [mlp, cnn]
    for build_fn, width in ((mlp, "Dense"), (cnn, "Conv1D")):
        model = clone(search.estimator).set_params(build_fn=build_fn).fit(X, y).model_
        assert width in [type(layer).__name__ for layer in model.layers]
    assert search.best_estimator_.build_fn is search.best_params_["build_fn"]


@pytest.mark.slow
def test_a_list_of_grids_gives_each_function_its_own_arguments():
    """The names of one are never seen by the other."""
    grids = [
        {"build_fn": [mlp], "hidden": [2, 4]},
        {"build_fn": [cnn], "filters": [2], "model__size": [2, 3]},
    ]
    search = searched(grids)
    assert len(search.cv_results_["params"]) == 4
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_arguments_reach_the_model_of_the_function_that_is_chosen_with_them():
    """In whatever order the names come."""
    for names in (("build_fn", "filters"), ("filters", "build_fn")):
        values = {"build_fn": cnn, "filters": 7}
        clf = KerasClassifier(mlp, random_state=0).set_params(**{n: values[n] for n in names})
        assert clf.fit(X, y).model_.layers[1].filters == 7


@pytest.mark.parametrize("name", ["hidden", "model__hidden"])
def test_an_argument_that_the_present_function_lacks_costs_its_candidate_alone(name):
    """`set_params` lets it pass; `fit` says whose it is not, and the search goes on."""
    clf = KerasClassifier(mlp, random_state=0)
    search = GridSearchCV(clf, {"build_fn": [mlp, cnn], name: [3]}, cv=2, error_score=np.nan)
    with pytest.warns(Warning) as caught:
        search.fit(X, y)
    told = " ".join(str(w.message) for w in caught)
    assert "hidden=3`: cnn has no parameter `hidden`" in told
    assert "use a list of grids" in told
    finite = np.isfinite(search.cv_results_["mean_test_score"])
    assert finite.tolist() == [True, False]
    assert search.best_params_ == {"build_fn": mlp, name: 3}


def test_what_was_given_before_is_judged_by_the_new_function_at_fit():
    """An argument of the old function stays, and is an error of `fit`, not of `set_params`."""
    clf = KerasClassifier(mlp, hidden=4).set_params(build_fn=untrainable)
    assert clf.get_params()["hidden"] == 4
    with pytest.raises(ValueError, match="`hidden=4`: untrainable has no parameter `hidden`"):
        clf.fit(X, y)
    assert clf.set_params(build_fn=mlp).fit(X, y).model_.layers[0].units == 4


def test_a_name_that_no_function_of_the_call_could_have_is_still_refused_alone():
    """Without a new function in the call, the present signature says at once what is unknown."""
    with pytest.raises(ValueError, match="Invalid parameter 'filters'"):
        KerasClassifier(mlp).set_params(filters=3)


def test_a_function_that_takes_any_name_takes_those_of_the_others():
    """`**kwargs` leave nothing to judge."""
    search = searched({"build_fn": [mlp, anything], "hidden": [3, 6]})
    assert len(search.cv_results_["params"]) == 4
    best = clone(search.estimator).set_params(build_fn=anything, hidden=6).fit(X, y)
    assert best.model_.layers[0].units == 6


class Builder:
    """A build function with a state of its own."""

    def __init__(self, units):
        self.units = units

    def __call__(self, meta, hidden=2):
        return mlp(meta, hidden=hidden + self.units)


def test_objects_and_templates_are_candidates_too():
    """Whatever may be a build function may be searched, and is named by no one else's arguments."""
    template = mlp({"n_features_in_": 4, "n_output_units_": 1, "output_activation_": "sigmoid"})
    before = template.get_weights()
    search = searched({"build_fn": [Builder(3), template, mlp]}, loss="binary_crossentropy")
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    for a, b in zip(before, template.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_it_works_below_a_pipeline_and_in_two_processes():
    """Functions and their arguments travel to the workers."""
    pipe = make_pipeline(StandardScaler(), KerasClassifier(mlp, random_state=0))
    step = "kerasclassifier__"
    grids = [{f"{step}build_fn": [mlp], f"{step}hidden": [2]}, {f"{step}build_fn": [cnn]}]
    alone = GridSearchCV(pipe, grids, cv=2, error_score="raise").fit(X, y)
    shared = GridSearchCV(pipe, grids, cv=2, error_score="raise", n_jobs=2).fit(X, y)
    np.testing.assert_array_equal(
        alone.cv_results_["mean_test_score"], shared.cv_results_["mean_test_score"]
    )


def test_default_arguments_are_those_of_the_function_that_is_there():
    """`get_params` follows the function."""
    clf = KerasClassifier(mlp)
    assert clf.get_params()["hidden"] == 3
    clf.set_params(build_fn=cnn)
    assert "hidden" not in clf.get_params()
    assert clf.get_params()["filters"] == 2
