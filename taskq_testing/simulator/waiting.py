"""A reserve that waits at the simulated broker: callbacks, no task that would have to be begun and woken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from taskq.message import Reservation

__all__ = ["Shelf", "Waiting"]


class Shelf(Protocol):
    """Where messages are waited for; the simulated queue."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Whose time it goes by."""

    def look(self, n: int) -> list[Reservation]:
        """Take up to `n` messages now."""

    def join(self, waker: asyncio.Future[None]) -> float:
        """Have a future resolved when a message comes; return the loop's time at which one may be ready without that."""

    def leave(self, waker: asyncio.Future[None]) -> None:
        """Wait no more."""

    def wake_another(self) -> None:
        """Resolve the next waiting future: a message is there, and who was told of it has left."""


class Waiting:
    """Up to `n` messages that are waited for until a deadline, in seconds of the loop's time.

    Args:
        shelf: where they are waited for.
        n: how many at most.
        deadline: when to give up.

    Attributes:
        answered: called once with what came, none after the deadline, and with None when it was cancelled; set by who asked.
    """

    __slots__ = ("_deadline", "_n", "_shelf", "_timer", "_waker", "answered")

    def __init__(self, shelf: Shelf, n: int, deadline: float) -> None:
        self._shelf = shelf
        self._n = n
        self._deadline = deadline
        self.answered: Callable[[list[Reservation] | None], object] = _unasked
        self._waker: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wait()

    def _wait(self) -> None:
        loop = self._shelf.loop
        self._waker = waker = asyncio.Future[None](loop=loop)
        waker.add_done_callback(self._look)
        self._timer = loop.call_at(min(self._deadline, self._shelf.join(waker)), self._look, waker)

    def _look(self, waker: asyncio.Future[None]) -> None:
        if waker is not self._waker:
            return  # the message and the time came together: the other of the two callbacks was first
        self._leave()
        taken = self._shelf.look(self._n)
        if taken or self._shelf.loop.time() >= self._deadline:
            self.answered(taken)
        else:
            self._wait()

    def _leave(self) -> None:
        assert self._waker is not None
        assert self._timer is not None
        self._shelf.leave(self._waker)
        self._timer.cancel()
        self._waker = self._timer = None

    def cancel(self) -> None:
        """Give up; a message that it was told of is for another."""
        waker = self._waker
        if waker is None:
            return
        self._leave()
        if waker.done():
            self._shelf.wake_another()
        self.answered(None)


def _unasked(_: object) -> None:
    """Stand in until somebody asks."""
