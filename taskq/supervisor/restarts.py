"""How long to wait before a process that died is started again. A decision; the caller brings the time."""

from __future__ import annotations

from taskq.core.retry import backoff

__all__ = ["STEADY", "Restarts"]

STEADY = 60.0
"""Seconds after which a process counts as one that works: the next death is the first again."""

_FIRST, _LONGEST = 0.5, 30.0


class Restarts:
    """The deaths in a row at one place."""

    def __init__(self) -> None:
        self._deaths = 0

    def after(self, lived: float) -> float:
        """Return the seconds to wait after the death of a process that lived for `lived` seconds: 0.5, doubled up to 30."""
        self._deaths = 1 if lived >= STEADY else self._deaths + 1
        return backoff(self._deaths, _FIRST, _LONGEST)
