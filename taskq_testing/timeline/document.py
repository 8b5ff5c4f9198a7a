"""The timeline as a page: the run as data, and what draws it."""

from __future__ import annotations

import html
from collections.abc import Sequence
from string import Template

from taskq_testing.outcome import Violation
from taskq_testing.page import asset, page
from taskq_testing.timeline.facts import Facts
from taskq_testing.timeline.picture import paint

__all__ = ["document"]

_SCRIPTS = ("axis.js", "glyphs.js", "layout.js", "painter.js", "panel.js", "page.js")


def document(facts: Facts, title: str, violations: Sequence[Violation], seed: int | None) -> str:
    """Return the page; nothing in the history can become markup or script."""
    title = title or "Timeline"
    body = Template(asset(__package__, "page.html")).substitute(
        title=html.escape(title), seed="" if seed is None else f"<span class='chip'>seed {seed}</span>"
    )
    scripts = [asset(__package__, name) for name in _SCRIPTS]
    return page(body, paint(facts, violations), title=title, style=asset(__package__, "page.css"), scripts=scripts)
