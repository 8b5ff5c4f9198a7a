"""Pages: one HTML file with its styles, scripts and data inside, which may load nothing from anywhere.

A page needs a browser of 2024 or later (Chrome 123, Firefox 120, Safari 17.5). Each has a button `theme` and, as `run`, its data.
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

__all__ = ["asset", "page"]


def page(body: str, data: object, *, title: str, style: str, scripts: Sequence[str]) -> str:
    """Return a page; nothing in its title or its data can become markup or script.

    Args:
        body: markup of what is shown.
        data: what the scripts find as `run`; anything that JSON can hold.
        title: plain text, for the browser's tab.
        style: rules beside those that all pages share.
        scripts: sources, run in their order after the one that all pages share.
    """
    styles, sources = [asset(__name__, "page.css"), style], [asset(__name__, "page.js"), *scripts]
    policy = (
        f"default-src 'none'; style-src {_digests(styles)}; script-src {_digests(sources)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return Template(asset(__name__, "page.html")).substitute(
        policy=policy,
        title=html.escape(title),
        styles="\n".join(f"<style>{each}</style>" for each in styles),
        body=body,
        data=f"<script type='application/json' id='run'>{_embedded(data)}</script>",
        scripts="\n".join(f"<script>{each}</script>" for each in sources),
    )


@cache
def asset(package: str, name: str) -> str:
    """Return the text of a file that lies in a package."""
    return files(package).joinpath(name).read_text("utf-8")


def _digests(sources: Sequence[str]) -> str:
    """Return the only inline styles or scripts that the page's policy allows by this."""
    return " ".join(map(_digest, sources))


@cache
def _digest(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def _embedded(data: object) -> str:
    """Return JSON in which no character can end a script element, open a comment or break a line of script."""
    text = msgspec.json.encode(data).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
