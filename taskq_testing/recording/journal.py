"""Files of events: written by one process each, in lines that a kill -9 leaves whole, and read by whoever waits for them."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from taskq_testing.history import Event

__all__ = ["Journal", "Journals"]

T = TypeVar("T")

_SUFFIX = ".jsonl"
_PATIENCE = 30.0
_POLL, _POLL_MAX = 0.002, 0.02
_ENCODE = msgspec.json.Encoder().encode
_DECODE_LINES = msgspec.json.Decoder(Event).decode_lines


class Journal:
    """The events of one process, each written as it happens. Safe for threads; it needs no end.

    Times are nanoseconds of the machine's monotonic clock, which all its processes share.

    Args:
        directory: where the journals of the fleet are.
        process: the name that the process has in the history; each process needs one of its own.
    """

    def __init__(self, directory: str | Path, process: str) -> None:
        self.process = process
        path = Path(directory) / f"{process}{_SUFFIX}"
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def write(self, kind: str, *, t: int | None = None, process: str | None = None, **fields: Any) -> None:
        """Write an event.

        Args:
            kind: one of `history.KINDS`.
            t: when it happened; None means now.
            process: who did it, or to whom it happened; None means the journal's own process.
            fields: see `history.Event`.
        """
        moment = time.monotonic_ns() if t is None else t
        event = Event(0, moment, kind, process=self.process if process is None else process, **fields)
        os.write(self._file, _ENCODE(event) + b"\n")  # one write for each line: other threads' do not come between

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


class Journals:
    """All journals of a directory, read as they grow.

    Attributes:
        events: what has been read so far; the events of one process are in order.
        counts: how many of each kind.
    """

    def __init__(self, directory: str | Path) -> None:
        self._directory = Path(directory)
        self._read: dict[str, int] = {}
        self.events: list[Event] = []
        self.counts: Counter[str] = Counter()

    def read(self) -> list[Event]:
        """Read what has been written since, and return all events."""
        for entry in os.scandir(self._directory):
            done = self._read.get(entry.path, 0)
            if entry.name.endswith(_SUFFIX) and entry.stat().st_size > done:
                with open(entry.path, "rb") as file:  # noqa: PTH123 - there may be hundreds, hundreds of times a second
                    file.seek(done)
                    data = file.read()
                whole = data[: data.rfind(b"\n") + 1]  # the rest is being written, or was when its process was killed
                self._read[entry.path] = done + len(whole)
                fresh = _DECODE_LINES(whole)
                self.events += fresh
                self.counts.update(event.kind for event in fresh)
        return self.events

    def of(self, *kinds: str, since: int = 0, **fields: Any) -> list[Event]:
        """Return the events of some kinds with these fields, among those that have been read.

        Args:
            kinds: some of `history.KINDS`.
            since: how many of the events read first are passed over.
            fields: what an event has to have, as in `history.Event`.
        """
        return [
            event
            for event in self.events[since:]
            if event.kind in kinds and all(getattr(event, name) == value for name, value in fields.items())
        ]

    def wait(self, condition: Callable[[], T], *, timeout: float = _PATIENCE) -> T:
        """Read again and again until a condition holds, and return what it returned.

        Raises:
            TimeoutError: it does not within `timeout` seconds; the last events are in the text.
        """
        deadline = time.monotonic() + timeout
        poll = _POLL
        while True:
            late = time.monotonic() > deadline
            self.read()
            if found := condition():
                return found
            if late:
                raise TimeoutError(f"it has not come about in {timeout:g} s; the last events are:\n{_told(self.events[-20:])}")
            time.sleep(poll)
            poll = min(poll * 1.2, _POLL_MAX)

    def wait_for(self, kind: str, *, times: int = 1, timeout: float = _PATIENCE, since: int = 0, **fields: Any) -> list[Event]:
        """Wait until so many events of a kind with these fields are there, and return them; see `of`.

        Raises:
            TimeoutError: they do not come.
        """
        found: list[Event] = []
        seen = since

        def there() -> bool:
            nonlocal seen
            found.extend(self.of(kind, since=seen, **fields))
            seen = len(self.events)
            return len(found) >= times

        self.wait(there, timeout=timeout)
        return found


def _told(events: Sequence[Event]) -> str:
    return "\n".join(_ENCODE(event).decode() for event in events) or "(none)"
