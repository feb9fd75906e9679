"""The Sphinx site: pages in Markdown, the reference from docstrings. Builds without a network."""

import os
import sys
from pathlib import Path

# Read once by Keras and TensorFlow, which autodoc may import.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

sys.path.insert(0, str(Path(__file__).parent))  # where Sphinx itself finds no module

import settings

import skcb

project = "skcb"
author = "the skcb developers"
copyright = "2026, the skcb developers"
release = skcb.__version__

extensions = [
    "matplotlib.sphinxext.plot_directive",
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]

# The curves of schedules.md; curves.py draws them from the schedules themselves.
plot_formats = ["svg"]
plot_html_show_formats = False
plot_html_show_source_link = False

html_theme = "furo"
html_title = f"skcb {release}"

# The reference is one page that lists its members itself (api.rst).
autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say it, and in words
numpydoc_show_class_members = False

myst_heading_anchors = 3


def setup(app):
    """Let Sphinx read tunable.md with its tables in their places."""

    def put_tables(app, page, source):
        source[0] = settings.expanded(source[0])

    app.connect("source-read", put_tables)
