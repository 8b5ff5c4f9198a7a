"""Progress and result of the demo in a terminal, with rich; the only importer of it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

__all__ = ["Live"]


class Live:
    """A progress bar that moves, then a table."""

    every = 0.1

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=self._console,
        )  # fmt: skip
        self._bar = self._progress.add_task("starting", total=None)

    def __call__(self, done: int, total: int, text: str) -> None:
        """Move the bar."""
        self._progress.start()
        self._progress.update(self._bar, completed=done, total=total, description=text)

    def table(self, rows: Sequence[tuple[str, str]]) -> None:
        """End the bar and print the result."""
        self.close()
        table = Table(title="taskq demo", show_header=False, title_style="bold")
        table.add_column(style="cyan")
        table.add_column(justify="right")
        for name, value in rows:
            table.add_row(name, value)
        self._console.print(table)

    def close(self) -> None:
        """End the bar and give the cursor back."""
        self._progress.stop()
