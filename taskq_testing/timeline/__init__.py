"""One run to look at: a page in the browser, lines in the terminal, and the reasons why a message is where it is.

Everything reads a `History` (and the oracle's `Violation`s), so it shows simulated runs and recorded ones alike.
`python -m taskq_testing.timeline HISTORY.jsonl` does the same from the command line.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from taskq_testing.history import History
from taskq_testing.outcome import Violation
from taskq_testing.timeline.document import document
from taskq_testing.timeline.facts import gather
from taskq_testing.timeline.listing import listing
from taskq_testing.timeline.story import explain

__all__ = ["html", "page", "text", "why"]


def html(history: History, *, title: str = "", violations: Sequence[Violation] = (), seed: int | None = None) -> str:
    """Return a self-contained page of one run: it loads nothing, and forbids itself to.

    Args:
        history: the run. A history that starts later than a day by its clock is shown from 0.
        title: what the page is called; it is shown as text.
        violations: what the oracle found; their events are marked.
        seed: shown beside the title.
    """
    return document(gather(history), title, violations, seed)


def page(
    history: History, path: str | Path, *, title: str = "", violations: Sequence[Violation] = (), seed: int | None = None
) -> None:
    """Write `html(history, ...)` to a file.

    Raises:
        OSError: the file cannot be written.
    """
    Path(path).write_text(html(history, title=title, violations=violations, seed=seed), encoding="utf-8")


def text(
    history: History,
    *,
    violations: Sequence[Violation] = (),
    width: int = 100,
    messages: Collection[str] | None = None,
    limit: int | None = 60,
) -> str:
    """Return the run as lines of text: who did what when, and the violations first.

    Args:
        history: the run.
        violations: what the oracle found. Their sentences come first, their events are marked with a cross.
        width: characters of a line; longer ones end with an ellipsis.
        messages: whose events to tell; None means those that the violations are about, or all without violations.
        limit: lines of events at most, the nearest to the marked ones; None means all.
    """
    return listing(gather(history), violations, width=width, messages=messages, limit=limit)


def why(history: History, message: str) -> str:
    """Return the causal chain of one message in sentences, one a line: from its enqueue to its end or to what it waits for.

    Raises:
        ValueError: the history has no such message. The text lists near names.
    """
    return "\n".join(explain(gather(history), message))
