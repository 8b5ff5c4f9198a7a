"""Carries requests to a service on an event loop: long polls wait there, by a clock that is told or by the loop's own time."""

from __future__ import annotations

import asyncio
from typing import Protocol

from taskq_testing.ironmq_server.service import Poll, Service
from taskq_testing.ironmq_server.values import Answer, Request

__all__ = ["Clock", "Driver", "LoopClock", "ManualClock"]

_FOREVER = float("inf")


class Clock(Protocol):
    """What time it is for a service."""

    manual: bool

    def now(self) -> float:
        """Return seconds from an arbitrary origin."""


class LoopClock:
    """The time of the event loop that runs, real or virtual."""

    manual = False

    def now(self) -> float:
        """Return the loop's time."""
        return asyncio.get_running_loop().time()


class ManualClock:
    """Time that stands still until it is told to pass; `Driver.advance` lets it pass.

    Attributes:
        time: seconds.
    """

    manual = True

    def __init__(self, time: float = 0.0) -> None:
        self.time = time

    def now(self) -> float:
        """Return `time`."""
        return self.time


class Driver:
    """One service on one event loop."""

    def __init__(self, service: Service, clock: Clock | None = None) -> None:
        self.service = service
        self.clock: Clock = clock or LoopClock()
        self._waiting: dict[Poll, asyncio.Future[Answer]] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def request(self, request: Request) -> Answer:
        """Return the answer to a request; if the caller is cancelled while it waits, nothing is reserved for it any more."""
        outcome = self.begin(request)
        return outcome if isinstance(outcome, Answer) else await outcome

    def begin(self, request: Request) -> Answer | asyncio.Future[Answer]:
        """Return the answer, or a future of it where the client waits for a message; cancel that if it does so no more."""
        outcome = self.service.handle(request, self.clock.now())
        if isinstance(outcome, Answer):
            self._settle()
            return outcome
        future = self._waiting[outcome] = asyncio.get_running_loop().create_future()
        future.add_done_callback(self._heard)
        self._settle()
        return future

    def _heard(self, future: asyncio.Future[Answer]) -> None:
        if future.cancelled():
            self._settle()

    def advance(self, seconds: float) -> None:
        """Let time pass, and each poll be answered at its moment; for a manual clock."""
        assert isinstance(self.clock, ManualClock)
        target = self.clock.time + seconds
        while (moment := self.service.next_change()) <= target:
            self.clock.time = max(self.clock.time, moment)
            self._settle()
        self.clock.time = target
        self._settle()

    def close(self) -> None:
        """Let nothing happen any more by itself."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _settle(self) -> None:
        # Also those whose callback is still to come: a message may be there in the same moment.
        for poll in [poll for poll, future in self._waiting.items() if future.cancelled()]:
            del self._waiting[poll]
            self.service.abandon(poll)
        for poll in self.service.settle(self.clock.now()):
            assert poll.answer is not None
            self._waiting.pop(poll).set_result(poll.answer)
        self._set_timer()

    def _set_timer(self) -> None:
        self.close()
        moment = self.service.next_change()
        if moment < _FOREVER and not self.clock.manual:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, moment - self.clock.now()), self._settle)
