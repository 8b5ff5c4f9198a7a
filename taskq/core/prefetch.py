"""How many messages to have reserved in advance: as many as keep the workers busy, few enough to leave others theirs."""

from __future__ import annotations

import math

__all__ = ["LEAST", "prefetch"]

HORIZON = 0.25
"""Seconds of work that may wait; a trip to the backend takes some thousandths."""

LEAST = 10
"""Messages that may wait however long each takes, unless the queue's limit is lower (Go: always 10)."""


def prefetch(limit: int, running: int, mean_s: float) -> int:
    """Return how many reserved messages may wait for a worker.

    Args:
        limit: the queue's buffer size.
        running: handlers that run now.
        mean_s: seconds that a handler took lately; 0 if none has ended yet.
    """
    if not mean_s:
        return min(limit, LEAST)
    return min(limit, max(LEAST, math.ceil(min(limit, max(1, running) * HORIZON / mean_s))))
