"""Noticing that this process stood still: a machine with too much to do excuses what nothing else does."""

from __future__ import annotations

import threading
import time

from taskq_testing.recording.journal import Journal

__all__ = ["Stalls"]

_SHARE = 4


class Stalls:
    """A thread that looks at the time, and writes down a `fault` ("stall") for each look that came far too late.

    A handler that blocks the event loop is no stall: threads go on beside it.

    Args:
        journal: where it writes.
        limit: seconds that a look may be late.
    """

    def __init__(self, journal: Journal, limit: float) -> None:
        self._journal = journal
        self._limit = limit
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="recording-stalls", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        period = self._limit / _SHARE
        before = time.monotonic_ns()
        while not self._over.wait(period):
            now = time.monotonic_ns()
            late = (now - before) / 1e9 - period
            if late > self._limit:
                self._journal.write("fault", t=before, outcome="stall", delay=late + period)
            before = now

    def close(self) -> None:
        """End the thread."""
        self._over.set()
        self._thread.join()
