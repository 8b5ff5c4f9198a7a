"""Sync handlers that run one after another in one trip to a thread, where each is so short that a trip of its own costs more."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextvars import Context as ContextVars
from typing import Any

from taskq.runtime.state import Delivery
from taskq.task import Task

__all__ = ["Entry", "Series", "length"]

_WORK = 0.001
"""Seconds of work that one trip may take along."""

_MOST = 64


class Entry:
    """One message of a series, and what became of it.

    Attributes:
        call: its handler with its arguments bound.
        error: what its handler raised, if it did.
        seconds: how long that took.
        finished: whether its handler returned.
    """

    __slots__ = ("call", "context", "delivery", "error", "finished", "seconds", "task")

    def __init__(self, delivery: Delivery, task: Task[Any], context: ContextVars) -> None:
        self.delivery = delivery
        self.task = task
        self.context = context
        self.call: Callable[[], Any] = _nothing
        self.error: BaseException | None = None
        self.seconds = 0.0
        self.finished = False


class Series:
    """Handlers for one thread. The loop adds them and may take back those that wait; the thread begins them in order.

    Attributes:
        waiting: handlers that have not begun.
        begun: those that have, or never can.
        borrowed: messages that were taken from the buffer beside the first one, and not given back.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.waiting: deque[Entry] = deque()
        self.begun: list[Entry] = []
        self.borrowed = 0
        self._monotonic = monotonic

    def run(self) -> None:
        """Run what waits until one fails: what comes after a failure is to be looked at anew. To be called in a thread."""
        while self.waiting:
            try:
                entry = self.waiting.popleft()
            except IndexError:  # the loop was faster
                return
            self.begun.append(entry)
            if entry.delivery.cancelled:
                continue
            began = self._monotonic()
            try:
                entry.context.run(entry.call)
                entry.finished = True
            except Exception as error:  # noqa: BLE001 - it is the handler's outcome
                entry.error = error
                return
            except BaseException as error:
                entry.error = error
                raise
            finally:
                entry.seconds = self._monotonic() - began

    def take_back(self) -> list[Delivery]:
        """Return, in order, the messages whose handlers have not begun; they are no part of the series any more."""
        taken: list[Delivery] = []
        while self.waiting:
            try:
                taken.append(self.waiting.pop().delivery)
            except IndexError:  # the thread was faster
                break
        return taken[::-1]


def length(mean_s: float | None) -> int:
    """Return how many handlers one trip takes along, if one takes `mean_s` seconds; None if that is not known yet."""
    if mean_s is None:
        return 1
    return max(1, min(_MOST, int(_WORK / mean_s))) if mean_s > 0 else _MOST


def _nothing() -> None:
    """Stand in until a handler is bound."""
