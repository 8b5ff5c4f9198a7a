"""One line that says how far an exploration is: rewritten in place on a terminal, printed now and then anywhere else."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from typing import Protocol, TextIO

from taskq.runtime.clock import SystemClock

__all__ = ["Progress", "ProgressLine", "progress_text"]

_ON_TERMINAL = 0.1  # seconds between two updates
_IN_FILE = 5.0


class Progress(Protocol):
    """What an exploration tells while it goes on."""

    def update(self, done: int, total: int | None, fired: Mapping[str, int]) -> None:
        """Tell how many seeds are done, of how many if that is known, and how often each fault fired so far."""

    def note(self, text: str) -> None:
        """Tell something else that takes time."""

    def close(self) -> None:
        """Tell the last that is known, and end."""


class ProgressLine:
    """Progress on a stream.

    Args:
        stream: where it is written, such as sys.stderr.
        monotonic: seconds from an arbitrary origin, in real time.
    """

    def __init__(self, stream: TextIO, monotonic: Callable[[], float] = SystemClock.monotonic) -> None:
        self._stream = stream
        self._monotonic = monotonic
        self._terminal = stream.isatty()
        self._began = self._shown = monotonic()
        self._text: Callable[[], str] | None = None

    def update(self, done: int, total: int | None, fired: Mapping[str, int]) -> None:
        """Show the numbers, if it is time."""
        now = self._monotonic()
        self._text = lambda: progress_text(done, total, now - self._began, fired)
        if now - self._shown >= (_ON_TERMINAL if self._terminal else _IN_FILE):
            self._shown = now
            self._write(self._text())

    def note(self, text: str) -> None:
        """Show a text, if it is time."""
        now = self._monotonic()
        if now - self._shown >= (_ON_TERMINAL if self._terminal else _IN_FILE):
            self._shown = now
            self._write(text)

    def close(self) -> None:
        """Show the last numbers; later output begins on a line of its own."""
        if self._text is not None:
            self._write(self._text())
            if self._terminal:
                self._stream.write("\n")
        self._stream.flush()

    def _write(self, text: str) -> None:
        if self._terminal:
            width = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r{text[:width]}\x1b[K")
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()


def progress_text(done: int, total: int | None, seconds: float, fired: Mapping[str, int]) -> str:
    """Return the line: seeds, seeds per second, and the faults that fired, the most frequent first."""
    of = f"/{total:,}" if total is not None else ""
    rate = f"{done / seconds:,.0f}/s" if seconds > 0 else "-/s"
    faults = ", ".join(
        f"{name.replace('_', ' ')} {count:,}" for name, count in sorted(fired.items(), key=lambda item: (-item[1], item[0]))
    )
    return f"simulate  {done:,}{of} seeds  {rate}" + (f"  faults: {faults}" if faults else "")
