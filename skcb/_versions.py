"""Versions: which skcb wrote a pickle, and whether this one can read it.

Owns the number in a pickle and the comparison. Leaves scikit-learn's and Keras' to them.
"""

from __future__ import annotations

import functools
import importlib.metadata
import re


@functools.cache
def here() -> str:
    """Return the version of skcb that is installed; empty where it is used without that."""
    try:
        return importlib.metadata.version("skcb")
    except importlib.metadata.PackageNotFoundError:
        return ""


def refuse_newer(written: str) -> None:
    """Refuse what a newer skcb wrote, which may hold things that nothing here knows of.

    Parameters
    ----------
    written : str
        Version that wrote a pickle; empty where it did not say.

    Raises
    ------
    ValueError
    """
    if written and here() and _numbers(written) > _numbers(here()):
        raise ValueError(
            f"this pickle was written by skcb {written}, and this is skcb {here()}, which may not "
            f"know all that is in it: install skcb {written} or later to read it."
        )


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a release; a development version counts as the release it leads to."""
    return tuple(int(number) for number in re.findall(r"\d+", version.partition(".dev")[0])[:3])
