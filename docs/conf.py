"""Sphinx configuration; built with -n -W, so that a broken reference fails."""

from pathlib import Path

project = "taskq"
author = "the taskq authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
# What `nox -s docs` makes before: the report of the conformance suite.
html_extra_path = [name for name in ("_extra",) if Path(__file__).with_name(name).is_dir()]
exclude_patterns = ["_build", "_extra"]
myst_enable_extensions = ["colon_fence"]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
# The standard library has its documentation elsewhere, and a build needs no network.
nitpick_ignore_regex = [
    ("py:class", r"(datetime|collections\.abc)\..*"),
    ("py:(class|exc)", r"Stuck|NotReached|taskq\.core\.retry\..*"),
]
