"""The code that readers copy runs: README, the pages of docs/ and the docstrings' examples."""

import doctest
import importlib
import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
SKIP = re.compile(r"<!-- skip: \S.* -->")
FENCE = re.compile(r"(?P<ticks>`{3,})(?P<info>.*)")


class Block(NamedTuple):
    """A ```python block: its code and the index of its first line in the page."""

    code: str
    start: int


def python_blocks(page: str) -> list[Block]:
    """Find the blocks to run: those fenced as python, less those under `<!-- skip: reason -->`."""
    blocks, lines = [], page.splitlines()
    i, above = 0, ""  # above: the last line that was not empty
    while i < len(lines):
        fence = FENCE.fullmatch(lines[i].strip())
        if fence:
            start = i = i + 1
            while i < len(lines) and lines[i].strip() != fence["ticks"]:
                i += 1
            if fence["info"].strip() == "python" and not SKIP.fullmatch(above):
                blocks.append(Block("\n".join(lines[start:i]), start))
        above = lines[i].strip() if i < len(lines) and lines[i].strip() else above
        i += 1
    return blocks


def pages() -> list[str]:
    """Return the pages with code, by their place in the project."""
    every = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    return [str(p.relative_to(ROOT)) for p in every if python_blocks(p.read_text("utf-8"))]


def modules() -> list[str]:
    """Return the name of every module of the package, without importing any."""
    files = sorted((ROOT / "skcb").rglob("*.py"))
    names = [".".join(f.relative_to(ROOT).with_suffix("").parts) for f in files]
    return [name.removesuffix(".__init__") for name in names]


@pytest.mark.slow
@pytest.mark.parametrize("page", pages())
def test_code_of_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    """A page's blocks run in order in one namespace, and raise or warn of nothing."""
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for code, start in python_blocks((ROOT / page).read_text("utf-8")):
        # The empty lines make a traceback name the line of the page.
        exec(compile("\n" * start + code, ROOT / page, "exec"), namespace)


@pytest.mark.parametrize("module", modules())
def test_examples_in_docstrings_print_what_they_say(module, tmp_path, monkeypatch):
    """Every `>>>` of a module gives the output that is written below it."""
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert found.failed == 0


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("```python\na = 1\n```", [Block("a = 1", 1)]),
        ("text\n\n```python\na\n\nb\n```\n```python\nc\n```", [Block("a\n\nb", 3), Block("c", 8)]),
        ("```\na\n```\n```bash\nb\n```\n```pycon\nc\n```", []),
        ("<!-- skip: needs a GPU -->\n\n```python\na\n```", []),
        ("<!-- skip: -->\n```python\na\n```", [Block("a", 2)]),
        ("<!-- skip: this one -->\n```python\na\n```\n```python\nb\n```", [Block("b", 5)]),
        ("````text\n```python\na\n```\n````", []),
    ],
    ids=["one", "two", "not python", "skipped", "no reason", "next one runs", "quoted fence"],
)
def test_blocks_are_found_as_a_reader_sees_them(page, expected):
    """Fences are matched by their length, and a skip needs a reason and covers one block."""
    assert python_blocks(page) == expected
