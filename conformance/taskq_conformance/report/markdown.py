"""The matrix as a table in Markdown, for a README or a comment."""

from __future__ import annotations

import re
from collections.abc import Iterator

from taskq_conformance.report.cells import cell, guarantees, tally
from taskq_conformance.results import Result, Run

__all__ = ["markdown"]


def markdown(run: Run) -> str:
    """Return the table, what failed and why, and what could not be run."""
    return "\n".join(_lines(run)) + "\n"


def _lines(run: Run) -> Iterator[str]:
    about = run.environment
    yield "# Conformance"
    yield ""
    yield f"taskq {about.taskq}, {about.python}, {about.platform}, {about.at}" + (f", {run.seeds} seeds" if run.seeds else "")
    yield ""
    yield "| guarantee | " + " | ".join(_escaped(target.name) for target in run.targets) + " |"
    yield "|---|" + "---|" * len(run.targets)
    for guarantee in guarantees(run):
        cells = [cell([each for each in target.results if each.guarantee == guarantee.number]) for target in run.targets]
        if any(each.of for each in cells):
            row = " | ".join(each.text for each in cells)
            yield f"| **{guarantee.number}** {_escaped(guarantee.sentence)} | {row} |"
    yield "| | " + " | ".join(tally(target) for target in run.targets) + " |"
    yield ""
    yield "`✓ 3/3 of 4`: three of three passed, and of four one was not run, for a capability that it needs is not claimed."
    for target in run.targets:
        yield from _listed(f"{target.name}: failed", [_told(each) for each in target.results if each.status == "failed"])
        expected = [_told(each) for each in target.results if each.status == "expected failure"]
        yield from _listed(f"{target.name}: expected to fail", expected)
        yield from _listed(f"{target.name}: seems to do more than it claims", [each.text for each in target.underclaimed])
    yield from _listed("Not run", [f"{each.name}: {each.reason}" for each in run.missing])


def _told(result: Result) -> str:
    return f"{result.scenario} ({result.guarantee}): {result.reason}"


def _listed(title: str, items: list[str]) -> Iterator[str]:
    if items:
        yield ""
        yield f"## {title}"
        yield ""
        yield from (f"- {_escaped(item)}" for item in items)


def _escaped(text: str) -> str:
    """Return text that neither ends a cell nor becomes markup."""
    return re.sub(r"([|<\[\\])", r"\\\1", " ".join(text.split()))
