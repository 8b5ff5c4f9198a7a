"""When to stop running a task, or a queue, that only fails. State and decisions; the caller brings the time."""

from __future__ import annotations

from collections.abc import Collection

from taskq.options import QueueOptions

__all__ = ["EVERYTHING", "Pause"]

EVERYTHING = ""
"""Stands for the whole queue; no task has this name."""


class Pause:
    """Counts consecutive failures per task (or over the queue) and knows what is paused until when.

    A pause that runs out starts a new count at 0, as in Go; one by hand ends by `resume`. What fails during a pause was
    running when it began: it neither counts nor prolongs it.
    """

    __slots__ = ("_failures", "_per_task", "_period", "_threshold", "_until")

    def __init__(self, options: QueueOptions) -> None:
        self._threshold = options.pause_threshold
        self._period = options.pause_period
        self._per_task = options.pause_scope == "task"
        self._failures: dict[str, int] = {}
        self._until: dict[str, float] = {}

    def succeeded(self, task: str) -> None:
        """Count a success: the failures before it are forgotten."""
        if self._failures:
            self._failures.pop(task if self._per_task else EVERYTHING, None)

    def failed(self, task: str, now: float) -> float:
        """Count a failure and return the seconds of the pause that begins with it, or 0."""
        if not self._threshold:
            return 0.0
        scope = task if self._per_task else EVERYTHING
        if self._until and self._left(scope, now):
            return 0.0
        count = self._failures.get(scope, 0) + 1
        if count < self._threshold:
            self._failures[scope] = count
            return 0.0
        self._failures.pop(scope, None)
        self._until[scope] = now + self._period
        return self._period

    def remaining(self, task: str, now: float) -> float:
        """Return the seconds that a task stays paused, or 0."""
        if not self._until:
            return 0.0
        return max(self._left(task, now), self._left(EVERYTHING, now))

    def fetch_remaining(self, tasks: Collection[str], now: float) -> float:
        """Return the seconds for which nothing may run at all: the queue is paused, or each of its tasks is."""
        if not self._until:
            return 0.0
        whole = self._left(EVERYTHING, now)
        each = min((self._left(task, now) for task in tasks), default=0.0)
        return max(whole, each)

    def pause(self, now: float, period: float = float("inf"), task: str = EVERYTHING) -> None:
        """Pause a task, or everything, by hand for `period` seconds."""
        self._until[task] = now + period

    def resume(self, task: str = EVERYTHING) -> None:
        """End the pause of a task, or with no task given every pause."""
        if task == EVERYTHING:
            self._until.clear()
            self._failures.clear()
        else:
            self._until.pop(task, None)
            self._failures.pop(task, None)

    def paused(self, now: float) -> dict[str, float]:
        """Return what is paused and for how many seconds more."""
        return {task: left for task in list(self._until) if (left := self._left(task, now)) > 0}

    def _left(self, task: str, now: float) -> float:
        until = self._until.get(task)
        if until is None:
            return 0.0
        if until <= now:
            del self._until[task]
            return 0.0
        return until - now
