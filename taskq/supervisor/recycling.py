"""When a process has done enough, or taken too much memory, and is replaced. Decisions, and the figures they need."""

from __future__ import annotations

import asyncio
import math
import os
import sys
from pathlib import Path

from taskq.errors import ConfigError
from taskq.hooks.base import Hook
from taskq.hooks.events import Settled

__all__ = ["MB", "SPREAD", "RunLimit", "check_memory_limit", "lowered", "resident_memory"]

SPREAD = 0.1
"""The share by which the limits of a process lie below what was asked for at most, so that not all reach theirs at once."""

MB = 1024 * 1024


def lowered(limit: float, draw: float) -> float:
    """Return the limit of one process: up to a tenth below the one that was asked for.

    Args:
        limit: what was asked for.
        draw: a random draw from [0, 1).
    """
    return limit * (1.0 - SPREAD * draw)


class RunLimit(Hook):
    """Counts the runs of a process, on its event loop.

    Attributes:
        limit: how many it may do.
        reached: set once it has done them.
    """

    def __init__(self, limit: float) -> None:
        self.limit = math.ceil(limit)
        self.reached = asyncio.Event()
        self._count = 0

    def on_settle(self, event: Settled) -> None:  # noqa: ARG002 - one run is like another
        """Count a run."""
        self._count += 1
        if self._count >= self.limit:
            self.reached.set()


def check_memory_limit(megabytes: int, memory: int) -> None:
    """Refuse a limit that a process reaches before its first message.

    Args:
        megabytes: what was asked for.
        memory: bytes that the process takes now.

    Raises:
        ConfigError: every process would be replaced at once.
    """
    if memory >= lowered(megabytes * MB, 1.0):
        least = math.ceil(memory / MB / (1.0 - SPREAD)) + 1
        raise ConfigError(
            f"--max-memory {megabytes} is too small: the app takes {memory / MB:.0f} MB before its first message; "
            f"give at least {least}"
        )


def resident_memory() -> int:
    """Return the bytes of memory that this process takes; where there is no /proc, the most that it ever took."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource  # noqa: PLC0415 - POSIX only

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
