"""How the handlers of every peer report that they ran: a few numbers in shared memory.

A process owns the slot `pid % SLOTS` and keeps three numbers there: jobs done, start of its first job, end of its last one
(CLOCK_MONOTONIC nanoseconds, which all processes of a machine share). So a report costs less than a microsecond, needs no
trip to the server, and works for threads, forked children and several processes alike.

Imported by the runner too; standard library only.
"""

from __future__ import annotations

import mmap
import os
import threading
from pathlib import Path
from time import monotonic_ns as now

__all__ = ["URL", "Probe", "done", "now", "probe"]

SLOTS = 4096
_SIZE = 3 * SLOTS * 8

URL = os.environ.get("TASKQ_BENCH_URL", "")
"""The server; empty where a peer is only imported."""


class Probe:
    """The numbers, as the handlers write and the runner reads them."""

    def __init__(self, path: str | Path) -> None:
        with Path(path).open("r+b") as file:
            file.truncate(_SIZE)
            self._map = mmap.mmap(file.fileno(), _SIZE)
        numbers = memoryview(self._map).cast("q")
        self._count = numbers[:SLOTS]
        self._first = numbers[SLOTS : 2 * SLOTS]
        self._last = numbers[2 * SLOTS :]
        self._own_slot()
        os.register_at_fork(after_in_child=self._own_slot)

    def _own_slot(self) -> None:
        self._slot = os.getpid() % SLOTS
        self._mine = self._count[self._slot]
        self._lock = threading.Lock()

    def done(self, started: int | None = None) -> None:
        """Note that a handler ended; `started` is when it began, where that is not the same instant."""
        ended = now()
        with self._lock:
            if self._mine == 0:
                self._first[self._slot] = started or ended
            self._mine += 1
            self._last[self._slot] = ended
            self._count[self._slot] = self._mine

    def reset(self) -> None:
        """Forget everything; no worker may run meanwhile."""
        self._map[:] = bytes(_SIZE)

    def total(self) -> int:
        """Return how many jobs ended."""
        return sum(self._count)

    def first_start(self) -> int:
        """Return when the first job began."""
        return min(filter(None, self._first))

    def last_end(self) -> int:
        """Return when the last job ended."""
        return max(self._last)


if path := os.environ.get("TASKQ_BENCH_PROBE"):  # in a worker or a producer
    probe = Probe(path)
    done = probe.done
