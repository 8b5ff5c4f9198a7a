"""A clock that is each process's own: whoever asks it is answered by the clock of the process that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from taskq.backends.base import Machine, Threads
from taskq_testing.clock import VirtualClock
from taskq_testing.loop import current_domain
from taskq_testing.simulator.network import TEST

__all__ = ["RoutedClock"]


class RoutedClock:
    """The `Clock` of an app that all processes of a run share."""

    def __init__(self, clock_of: Callable[[str], VirtualClock]) -> None:
        self._clock_of = clock_of

    @property
    def own(self) -> VirtualClock:
        """The clock of the process that runs now."""
        domain = current_domain()
        return self._clock_of(domain.name if domain is not None else TEST)

    def now(self) -> float:
        """Return unix seconds."""
        return self.own.now()

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self.own.monotonic()

    def random(self) -> float:
        """Return a draw from [0, 1)."""
        return self.own.random()

    def new_id(self) -> bytes:
        """Return an identifier that no other process makes."""
        return self.own.new_id()

    def beside(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> Callable[[], Coroutine[Any, Any, None]]:
        """Run a coroutine beside."""
        return self.own.beside(work, name)

    def threads(self, loop: asyncio.AbstractEventLoop, name: str) -> Threads:
        """Return threads for sync handlers."""
        return self.own.threads(loop, name)

    def machine(self) -> Machine:
        """Return what measures what is free."""
        return self.own.machine()
