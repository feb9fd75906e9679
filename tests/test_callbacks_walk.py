"""Every argument of every callback is a parameter of a search, and reaches the live object.

Each case is a real `GridSearchCV` of two values on two folds; what the live callbacks of the
fits had is read from the estimators themselves. All fit one structure, so a case costs little.
"""

import importlib.util
import inspect
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import keras
import pytest
from sklearn.model_selection import GridSearchCV

from skcb import KerasRegressor, callbacks
from tests.models import X, Y, perceptron

ROWS, TARGET = X[:16], Y["regression"][:16]


class Walked(NamedTuple):
    """Two values of an argument; what else it needs; where Keras keeps it, and as what."""

    values: tuple[Any, Any]
    others: Mapping[str, Any] = {}
    kept_as: str = ""
    kept: Any = None  # the two values as Keras keeps them, where that is something else
    params: Mapping[str, Any] = {}


BEST = {"save_best_only": True}
SAVES = {
    "monitor": Walked(("loss", "val_loss"), BEST),
    "verbose": Walked((0, 1)),
    "save_best_only": Walked((False, True)),
    "mode": Walked(("auto", "min"), BEST),
    "save_freq": Walked(("epoch", 2)),
    "initial_value_threshold": Walked((0.5, 100.0), BEST, "best", params={"epochs": 0}),
    "save_weights_only": Walked((False, True)),
}


def first(*args, **kwargs):
    """Do nothing."""


def second(*args, **kwargs):
    """Do nothing, and be another function."""


def constant(epoch, lr):
    """Leave the learning rate as it is."""
    return lr


def halved(epoch, lr):
    """Halve it."""
    return lr / 2


WALK: dict[str, dict[str, Walked]] = {
    "BackupAndRestore": {
        "backup_dir": Walked(("one/{run}", "two/{run}")),
        "save_freq": Walked(("epoch", 2)),
        "double_checkpoint": Walked((False, True)),
        "delete_checkpoint": Walked((False, True)),
    },
    "CSVLogger": {
        "filename": Walked(("one/{run}.csv", "two/{run}.csv")),
        "separator": Walked((",", ";"), kept_as="sep"),
        "append": Walked((False, True)),
    },
    "EarlyStopping": {
        "monitor": Walked(("loss", "val_loss")),
        "min_delta": Walked((0.5, 0.25), kept=(-0.5, -0.25)),  # less is better
        "patience": Walked((1, 2)),
        "verbose": Walked((0, 1)),
        "mode": Walked(("auto", "min")),
        "baseline": Walked((1.0, 100.0)),
        "restore_best_weights": Walked((False, True)),
        "start_from_epoch": Walked((0, 1)),
    },
    "LambdaCallback": {
        name: Walked((first, second))
        for name in inspect.signature(callbacks.LambdaCallback).parameters
    },
    "LearningRateScheduler": {
        "schedule": Walked((constant, halved)),
        "verbose": Walked((0, 1)),
    },
    "ModelCheckpoint": {
        "filepath": Walked(("one/{run}.keras", "two/{run}.keras")),
        **SAVES,
    },
    "OrbaxCheckpoint": {
        "directory": Walked(("one/{run}", "two/{run}")),
        **SAVES,
        "max_to_keep": Walked((1, None)),
        "save_on_background": Walked((False, True)),
    },
    "ReduceLROnPlateau": {
        "monitor": Walked(("loss", "val_loss")),
        "factor": Walked((0.5, 0.25)),
        "patience": Walked((0, 1)),
        "verbose": Walked((0, 1)),
        "mode": Walked(("auto", "min")),
        "min_delta": Walked((0.5, 0.25), kept=(-0.5, -0.25)),
        "cooldown": Walked((0, 1)),
        "min_lr": Walked((0.0, 1e-4)),
    },
    "RemoteMonitor": {
        "root": Walked(("{server}", "{server}/sub")),
        "path": Walked(("/a/", "/b/"), {"root": "{server}"}),
        "field": Walked(("data", "logs"), {"root": "{server}"}),
        "headers": Walked((None, {"X-Token": "t"}), {"root": "{server}"}),
        "send_as_json": Walked((False, True), {"root": "{server}"}),
    },
    "SwapEMAWeights": {
        "swap_on_epoch": Walked((False, True), params={"optimizer__use_ema": True}),
    },
    "TensorBoard": {
        "log_dir": Walked(("one/{run}", "two/{run}")),
        "histogram_freq": Walked((0, 1)),
        "write_graph": Walked((False, True)),
        "write_images": Walked((False, True), {"histogram_freq": 1}),
        "write_steps_per_second": Walked((False, True)),
        "update_freq": Walked(("epoch", 2)),
        "embeddings_freq": Walked((0, 1)),
        "embeddings_metadata": Walked((None, "labels.tsv"), {"embeddings_freq": 1}),
    },
    "TerminateOnNaN": {"raise_error": Walked((False, True))},
}
LEFT_OUT = {
    "Callback": "the base of all callbacks, which does nothing",
    "CallbackList": "holds the callbacks of a fit, and is none itself",
    "History": "takes no argument",
    "ProgbarLogger": "takes no argument",
    "TensorBoard.profile_batch": "starts TensorFlow's profiler, of which a process has one; what "
    "Keras makes of the value is tested in test_callbacks.py",
}
NEEDED = {"filepath": "a.keras", "filename": "a.csv", "schedule": constant, "root": "{server}"}
NEEDED |= {"backup_dir": "at", "directory": "at"}
CASES = [(name, argument) for name in WALK for argument in WALK[name]]


def test_the_walk_is_complete():
    """Every class and argument of the installed Keras is walked, or left out with a reason."""
    left = set()
    for name, cls in vars(keras.callbacks).items():
        if not isinstance(cls, type) or name in LEFT_OUT:
            continue
        for parameter in inspect.signature(cls).parameters.values():
            full = f"{name}.{parameter.name}"
            named = parameter.kind is not parameter.VAR_KEYWORD and full not in LEFT_OUT
            if named and parameter.name not in WALK.get(name, {}):
                left.add(full)
    assert left == set()
    assert set(WALK).isdisjoint(LEFT_OUT)


@pytest.fixture(scope="module")
def server():
    """Serve on loopback; keep what was posted."""

    class Keeping(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.server.posts.append((self.path, dict(self.headers), body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Keeping) as http:
        http.posts = []
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield http
        http.shutdown()
        thread.join()


def address(http):
    """Return a server's root."""
    return f"http://127.0.0.1:{http.server_address[1]}"


def filled(value, http):
    """Put the server's address where it is meant."""
    return value.replace("{server}", address(http)) if isinstance(value, str) else value


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "argument"),
    [
        pytest.param(
            *case,
            marks=pytest.mark.skipif(
                case[0] == "OrbaxCheckpoint" and importlib.util.find_spec("orbax") is None,
                reason="orbax-checkpoint is not installed",
            ),
        )
        for case in CASES
    ],
)
def test_a_search_varies_the_argument(name, argument, server, tmp_path, monkeypatch, capfd):
    """Both values are in the live objects of both folds, and no other value is."""
    monkeypatch.chdir(tmp_path)
    case = WALK[name][argument]
    recipe = getattr(callbacks, name)
    needed = {n: v for n, v in NEEDED.items() if n in inspect.signature(recipe).parameters}
    given = {n: filled(v, server) for n, v in {**needed, **case.others}.items()}
    estimator = KerasRegressor(
        perceptron,
        callbacks={"walked": recipe(**given)},
        **{"epochs": 2, "batch_size": 4, "validation_split": 0.5, "random_state": 0, **case.params},
    )
    live = []

    def read(fitted, X, y):
        live.append(fitted.callbacks_["walked"])
        return 0.0

    values = [filled(value, server) for value in case.values]
    grid = [{f"callbacks__walked__{argument}": [value]} for value in values]
    if (name, argument) == ("ModelCheckpoint", "save_weights_only"):  # the ending goes with it
        grid[1]["callbacks__walked__filepath"] = ["a.weights.h5"]
    GridSearchCV(estimator, grid, cv=2, scoring=read, refit=False, error_score="raise").fit(
        ROWS, TARGET
    )
    assert all(isinstance(each, getattr(keras.callbacks, name)) for each in live)
    assert len({id(each) for each in live}) == 4
    found = [getattr(each, case.kept_as or argument) for each in live]
    expected = [value for value in case.kept or values for _ in range(2)]
    if isinstance(expected[0], str) and "{run}" in expected[0]:
        found = [path.split("/")[0] for path in found]
        expected = [path.split("/")[0] for path in expected]
    assert found == expected


def test_the_server_got_every_epoch_of_every_fit(server, tmp_path):
    """As a form and as JSON, under the path and with the headers that were set."""
    server.posts.clear()
    monitor = callbacks.RemoteMonitor(address(server), "/here/", "logs", {"X-Token": "t"})
    estimator = KerasRegressor(perceptron, callbacks={"remote": monitor}, epochs=2)
    history = estimator.fit(ROWS, TARGET).history_
    as_json = estimator.set_params(callbacks__remote__send_as_json=True).fit(ROWS, TARGET).history_
    assert [(path, headers["X-Token"]) for path, headers, _ in server.posts] == [
        ("/here/", "t")
    ] * 4
    bodies = [body for _, _, body in server.posts]
    assert len(bodies) == 4
    sent = [json.loads(parse_qs(body)["logs"][0]) for body in bodies[:2]]
    assert [logs["loss"] for logs in sent] == history["loss"]
    assert [json.loads(body)["loss"] for body in bodies[2:]] == as_json["loss"]
    assert [logs["epoch"] for logs in sent] == [0, 1]


def test_a_server_that_is_away_is_a_warning(tmp_path):
    """Training goes on, as in Keras."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as http:
        root = address(http)  # nobody listens there once this block has ended
    monitor = callbacks.RemoteMonitor(root)
    with pytest.warns(UserWarning, match="Could not reach RemoteMonitor root server"):
        estimator = KerasRegressor(perceptron, callbacks=monitor, epochs=2).fit(ROWS, TARGET)
    assert estimator.n_iter_ == 2
