"""Every test of a study: quiet, and with nothing counted yet. And a PostgreSQL of its own."""

import importlib.util
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import optuna
import pytest

from tests.optuna.trials import Counts

NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def quiet():
    """Keep Optuna's lines off the screen, and what earlier tests counted out of this one."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    Counts.made.clear()


def programs():
    """Return the folder of PostgreSQL's programs; Debian keeps them off the PATH."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("initdb")
    places += [Path(on_path).resolve().parent] if on_path else []
    return next((place for place in places if (place / "initdb").exists()), None)


def missing(what):
    """Skip; but not where these tests are known to have what they need."""
    if os.environ.get("SKCB_CI"):
        pytest.fail(f"needs {what}")
    pytest.skip(f"needs {what}")


@pytest.fixture(scope="session")
def server():
    """Start a PostgreSQL that listens on loopback, and give its address; stop it at the end."""
    if importlib.util.find_spec("psycopg") is None:
        missing("psycopg")
    place = programs()
    if place is None:
        missing("PostgreSQL's server (Debian: postgresql)")
    # It refuses to run as root, and cannot look into pytest's folders if it is somebody else.
    user = "postgres" if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="skcb-"))
    if user is not None:
        shutil.chown(folder, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def call(program, *arguments):
        command = [place / program, "-D", folder / "data", *arguments]
        # Its output goes to a file: the server would keep a pipe open.
        with (folder / "output").open("ab") as output:
            done = subprocess.run(
                command, user=user, cwd=folder, stdout=output, stderr=output, check=False
            )
        assert done.returncode == 0, (folder / "output").read_text()

    try:
        call("initdb", "--auth=trust", "--username=skcb", "--no-sync", "--encoding=UTF8")
        options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
        call("pg_ctl", "start", "--wait", "-o", options)
        try:
            yield f"postgresql+psycopg://skcb@127.0.0.1:{port}"
        finally:
            call("pg_ctl", "stop", "--wait", "--mode=immediate")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgresql(server):
    """Return the address of an empty database."""
    import psycopg

    name = f"skcb_{os.getpid()}_{next(NUMBERS)}"
    plain = server.replace("+psycopg", "")
    with psycopg.connect(f"{plain}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{server}/{name}"


@pytest.fixture
def place(request, tmp_path):
    """Return where workers meet: a Journal file, or the address of a database."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgresql")
    return f"sqlite:///{tmp_path}/study.db" if request.param == "sqlite" else f"{tmp_path}/log"
