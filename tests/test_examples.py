"""The scripts of examples/ run as a user runs them: alone, offline, from any directory."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("[0-9]*.py"))

# What may stand on stderr: TensorFlow names its CPU kernels (severity I, information) when it is
# imported, before its log settings count.
EXPECTED = re.compile(
    r"WARNING: All log messages before absl::InitializeLog\(\) is called are written to STDERR"
    r"|I0000 .*\.cc:\d+\] .*"
)


def surprises(stderr: str) -> list[str]:
    """Return the lines that no example should print."""
    return [line for line in stderr.splitlines() if line and not EXPECTED.fullmatch(line)]


@pytest.mark.slow
@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.name)
def test_example_runs_and_prints_what_it_shows(script, tmp_path):
    """It ends well, says something on stdout and nothing unexpected on stderr."""
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert surprises(done.stderr) == []


def test_a_warning_on_stderr_is_a_surprise():
    """Only the listed lines are let through."""
    kernels = "I0000 00:00:1.2    3993 port.cc:153] oneDNN custom operations are on."
    warning = "script.py:3: UserWarning: this should be seen"
    assert surprises(f"{kernels}\n{warning}\n") == [warning]
