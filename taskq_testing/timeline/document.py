"""The page: one HTML file with its styles, scripts and data inside, which may load nothing from anywhere.

It needs a browser of 2024 or later (Chrome 123, Firefox 120, Safari 17.5).
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from string import Template

import msgspec

from taskq_testing.outcome import Violation
from taskq_testing.timeline.facts import Facts
from taskq_testing.timeline.picture import paint

__all__ = ["document"]

_SCRIPTS = ("axis.js", "glyphs.js", "layout.js", "painter.js", "panel.js", "page.js")


def document(facts: Facts, title: str, violations: Sequence[Violation], seed: int | None) -> str:
    """Return the page; nothing in the history can become markup or script."""
    style = _asset("page.css")
    scripts = [_asset(name) for name in _SCRIPTS]
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {' '.join(map(_digest, scripts))}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return Template(_asset("page.html")).substitute(
        policy=policy,
        title=html.escape(title or "Timeline"),
        seed="" if seed is None else f"<span class='chip'>seed {seed}</span>",
        style=f"<style>{style}</style>",
        data=f"<script type='application/json' id='run'>{_embedded(paint(facts, violations))}</script>",
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
    )


@cache
def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


@cache
def _digest(source: str) -> str:
    """Return the one inline style or script that the page's policy allows by this."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def _embedded(data: object) -> str:
    """Return JSON in which no character can end a script element, open a comment or break a line of script."""
    text = msgspec.json.encode(data).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
