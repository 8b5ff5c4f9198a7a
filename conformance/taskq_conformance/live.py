"""Progress and result of the suite in a terminal, with rich; the only importer of it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from taskq_conformance.results import Result

__all__ = ["Live"]


class Live:
    """A progress bar that moves, then a table for each target."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=self._console, transient=True,
        )  # fmt: skip
        self._bar: TaskID | None = None
        self._target = ""
        self._failed = 0

    def begin(self, target: str, total: int) -> None:
        """Begin a bar."""
        if self._bar is not None:
            self._progress.remove_task(self._bar)
        self._target, self._failed = target, 0
        self._bar = self._progress.add_task(target, total=total)
        self._progress.start()

    def result(self, result: Result) -> None:
        """Move the bar."""
        assert self._bar is not None
        if result.status == "failed":
            self._failed += 1
            self.line(f"failed: {result.guarantee} {result.scenario}")
        text = f"{self._target}: {self._failed} failed" if self._failed else self._target
        self._progress.update(self._bar, advance=1, description=text)

    def table(self, title: str, rows: Sequence[Sequence[str]]) -> None:
        """Print a table."""
        table = Table(title=escape(title), title_style="bold")
        for number, name in enumerate(rows[0]):
            table.add_column(name, justify="right" if number else "left", style=None if number else "cyan")
        for row in rows[1:]:
            table.add_row(*map(escape, row))
        self._console.print(table)

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """End the bar and give the cursor back."""
        self._progress.stop()
