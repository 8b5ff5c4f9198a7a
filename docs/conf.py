"""Sphinx configuration; built with -n -W, so that a broken reference fails."""

project = "taskq"
author = "the taskq authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence"]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
# The standard library has its documentation elsewhere, and a build needs no network.
nitpick_ignore_regex = [
    ("py:class", r"(datetime|collections\.abc)\..*"),
    ("py:(class|exc)", r"Stuck|NotReached|taskq\.core\.retry\..*"),
]
