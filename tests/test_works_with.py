"""The page "Works with" names tests that are there."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "works_with.md").read_text("utf-8")


def test_every_test_that_the_page_names_is_there():
    """And every test of the meta-estimators stands on the page."""
    source = "\n".join(file.read_text("utf-8") for file in TESTS.rglob("test_*.py"))
    there = set(re.findall(r"def (test_\w+)", source))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 50 and named <= there, named - there
    meta = (TESTS / "test_meta_estimators.py").read_text("utf-8")
    assert set(re.findall(r"def (test_\w+)", meta)) <= named
