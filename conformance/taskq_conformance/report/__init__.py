"""What is written beside a run's JSON: a page, a table in Markdown, and a badge. Made from the values of `results` alone.

`cells` says what stands in the matrix, guarantee by target; `document` makes the page, `markdown` the table, `badge` the badge.
"""

from __future__ import annotations

from pathlib import Path

from taskq_conformance.report.badge import badge
from taskq_conformance.report.document import document
from taskq_conformance.report.markdown import markdown
from taskq_conformance.results import Run

__all__ = ["badge", "document", "markdown", "write_beside"]


def write_beside(run: Run, folder: Path) -> None:
    """Write `conformance.html`, `conformance.md` and `badge.svg` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("conformance.html", document(run)), ("conformance.md", markdown(run)), ("badge.svg", badge(run))):
        (folder / name).write_text(text, encoding="utf-8")
