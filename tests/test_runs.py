"""Every fit knows its place, and no two fits write one file."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skcb import KerasRegressor
from skcb._runs import announced, own_path, slug
from skcb.callbacks import CSVLogger

X = np.linspace(-1, 1, 72).reshape(24, 3)
Y = X.sum(axis=1)


def linear(meta):
    """Return the smallest model."""
    return keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])


def logging_to(path):
    """Return an estimator that writes a line an epoch."""
    return KerasRegressor(linear, callbacks={"log": CSVLogger(path)}, epochs=2)


def written(folder):
    """Return the directories in which a log lies, relative to a folder."""
    return sorted(str(f.parent.relative_to(folder)) for f in Path(folder).rglob("log.csv"))


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("in_pipeline", [False, True])
def test_each_fit_of_a_search_has_a_place_of_its_own(tmp_path, n_jobs, in_pipeline):
    """Four candidates, three folds and the refit: thirteen places under one root."""
    reg = logging_to(tmp_path / "{run}" / "log.csv")
    estimator = make_pipeline(StandardScaler(), reg) if in_pipeline else reg
    prefix = "kerasregressor__" if in_pipeline else ""
    grid = {f"{prefix}optimizer__learning_rate": [1e-4, 1e-3, 1e-2, 1e-1]}
    search = GridSearchCV(estimator, grid, cv=3, n_jobs=n_jobs).fit(X, Y)
    places = written(tmp_path)
    assert len(places) == 13
    assert len({place.split("/")[0] for place in places}) == 1
    best = search.best_estimator_
    assert (best[-1] if in_pipeline else best).run_id_ in places


def test_two_searches_never_meet(tmp_path):
    """The root carries the search's own id."""
    reg = logging_to(tmp_path / "{run}" / "log.csv")
    for _ in range(2):
        GridSearchCV(reg, {"batch_size": [8]}, cv=2).fit(X, Y)
    assert len(written(tmp_path)) == 6


def test_cross_validate_and_a_pipeline_alone_have_places_too(tmp_path):
    """Whether or not the caller says who it is, each fit has an id of its own."""
    reg = logging_to(tmp_path / "{run}" / "log.csv")
    cross_validate(reg, X, Y, cv=3)
    make_pipeline(StandardScaler(), reg).fit(X, Y)
    reg.fit(X, Y)
    reg.fit(X, Y)
    assert len(written(tmp_path)) == 6


def test_a_fit_that_nobody_called_is_named_by_its_time():
    """Date, time and four letters; the random generators of the user are left alone."""
    np.random.seed(0)
    first = KerasRegressor(linear, random_state=0).fit(X, Y).run_id_
    np.random.seed(0)
    second = KerasRegressor(linear, random_state=0).fit(X, Y).run_id_
    assert re.fullmatch(r"\d{8}-\d{6}-[a-z]{4}", first)
    assert first != second


def test_what_a_runner_announces_is_the_place():
    """Within the block, also where it fails; after it, no more."""
    reg = KerasRegressor(linear)
    with announced("study/trial-3/fold-1"):
        assert reg.fit(X, Y).run_id_ == "study/trial-3/fold-1"
        with announced("inner"):
            assert reg.fit(X, Y).run_id_ == "inner"
        assert reg.fit(X, Y).run_id_ == "study/trial-3/fold-1"
    with pytest.raises(KeyError), announced("study"):
        raise KeyError
    assert reg.fit(X, Y).run_id_ != "study"


def test_a_constructed_estimator_writes_where_the_path_says(tmp_path):
    """A clone writes below a directory of its own, whether or not `{run}` is in the path."""
    reg = logging_to(tmp_path / "sub" / "log.csv").fit(X, Y)
    assert written(tmp_path) == ["sub"]
    again = clone(reg).fit(X, Y)
    assert written(tmp_path) == ["sub", f"sub/{again.run_id_}"]
    lines = (tmp_path / "sub" / "log.csv").read_text().splitlines()
    assert len(lines) == 3


@pytest.mark.parametrize(
    "path, cloned, expected, made",
    [
        ("a/b.keras", False, "a/b.keras", "a"),
        ("a/b.keras", True, "a/R/1/b.keras", "a/R/1"),
        ("b.keras", True, "R/1/b.keras", "R/1"),
        ("a/{run}/b.keras", False, "a/R/1/b.keras", "a/R/1"),
        ("a/{run}/b.keras", True, "a/R/1/b.keras", "a/R/1"),
        ("a/{epoch:02d}-{val_loss:.2f}.keras", False, "a/{epoch:02d}-{val_loss:.2f}.keras", "a"),
        ("a/{epoch}/{run}/b.keras", False, "a/{epoch}/R/1/b.keras", "a"),
        ("a/{epoch}.keras", True, "a/R/1/{epoch}.keras", "a/R/1"),
        ("logs/", True, "R/1/logs", "R/1"),
        (Path("a/b"), False, "a/b", "a"),
    ],
)
def test_a_path_becomes_the_fits_own(tmp_path, monkeypatch, path, cloned, expected, made):
    """`{run}` is filled in, Keras' fields stay for Keras, and the directory is there."""
    monkeypatch.chdir(tmp_path)
    assert own_path(path, "R/1", cloned=cloned, where="w") == expected
    assert Path(made).is_dir()
    assert [p for p in tmp_path.rglob("*") if "{" in p.name] == []


@pytest.mark.parametrize("path", ["file/a.keras", "file/{run}/b/c.keras"])
def test_a_directory_that_cannot_be_made_is_an_error_before_the_first_epoch(tmp_path, path):
    """It names the parameter and the path."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match=r"`callbacks__log=.*file.*` cannot be written"):
        logging_to(tmp_path / path).fit(X, Y)


@pytest.mark.parametrize("path", [None, 3, ["a"]])
def test_what_is_no_path_is_refused(path):
    """With the parameter's name and the value."""
    with pytest.raises(TypeError, match="`w` must be a path but got"):
        own_path(path, "R", cloned=False, where="w")


@pytest.mark.parametrize(
    "name, expected",
    [("split (0 / 3)", "split-0-3"), ("../Etc", "etc"), ("", "task"), ("//", "task")],
)
def test_a_slug_holds_nothing_that_a_path_could_not(name, expected):
    """Letters, digits and single hyphens."""
    assert slug(name) == expected
