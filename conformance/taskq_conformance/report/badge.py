"""A badge for a README: one line of SVG, without a font or a picture from anywhere."""

from __future__ import annotations

import html

from taskq_conformance.report.cells import verdict
from taskq_conformance.results import Run

__all__ = ["badge"]

_COLOURS = {"passed": "#1a7f4b", "failed": "#b3261e", "not run": "#6b6b6b"}
_LABEL = "taskq conformance"
_WIDTH = 6.6
"""Pixels that a character takes, about; the text is stretched to what is there."""


def badge(run: Run) -> str:
    """Return the badge."""
    state, text = verdict(run)
    left, right = (round(len(each) * _WIDTH + 14) for each in (_LABEL, text))
    told = html.escape(f"{_LABEL}: {text}", quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" aria-label="{told}">'
        f"<title>{told}</title>"
        f'<rect width="{left + right}" height="20" rx="3" fill="#3c4043"/>'
        f'<path d="M{left} 0h{right - 3}a3 3 0 0 1 3 3v14a3 3 0 0 1 -3 3h-{right - 3}z" fill="{_COLOURS[state]}"/>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f'<text x="7" y="14" textLength="{left - 14}" lengthAdjust="spacingAndGlyphs">{html.escape(_LABEL)}</text>'
        f'<text x="{left + 7}" y="14" textLength="{right - 14}" lengthAdjust="spacingAndGlyphs">{html.escape(text)}</text>'
        "</g></svg>\n"
    )
