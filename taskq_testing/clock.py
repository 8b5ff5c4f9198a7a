"""The clock of one simulated process: virtual time, seeded randomness, and everything on one loop."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine
from typing import Any

from taskq_testing.loop import VirtualLoop
from taskq_testing.loop.handles import SECOND
from taskq_testing.loop.threads import VirtualThreads

__all__ = ["EPOCH", "VirtualClock", "VirtualMachine"]

EPOCH = 1_767_225_600.0
"""2026-01-01 00:00 UTC."""


class VirtualMachine:
    """A machine whose load is what a test says.

    Attributes:
        cpu: the share of one CPU that is free.
        memory: the share of the memory that is free.
    """

    def __init__(self) -> None:
        self.cpu = 1.0
        self.memory = 1.0

    def cpu_free(self, interval: float) -> float:  # noqa: ARG002 - the load is what it is
        """Return `cpu`."""
        return self.cpu

    def memory_free(self) -> float:
        """Return `memory`."""
        return self.memory


class VirtualClock:
    """Implements `taskq.backends.base.Clock` for one simulated process; it survives restarts of that process.

    Args:
        loop: whose time it shows.
        name: of the process; ids begin with it, and its randomness is its own.
        seed: where randomness begins.
        epoch: unix seconds at the loop's time 0.

    Attributes:
        skew: seconds by which the wall clock is ahead; `monotonic` knows nothing of it.
        ids: how many ids it has given out.
    """

    def __init__(self, loop: VirtualLoop, name: str = "", *, seed: int = 0, epoch: float = EPOCH) -> None:
        self.loop = loop
        self.name = name
        self.epoch = epoch
        self.skew = 0.0
        self._seed = f"{seed}:{name}"
        self._random: random.Random | None = None
        self.ids = 0
        self._machine = VirtualMachine()

    def now(self) -> float:
        """Return unix seconds, wrong by the skew."""
        return self.epoch + self.skew + self.loop.now / SECOND

    def monotonic(self) -> float:
        """Return seconds since the loop was made, which are right and never go back."""
        return self.loop.now / SECOND

    def random(self) -> float:
        """Return a draw from [0, 1)."""
        if self._random is None:  # most processes of most runs never ask
            self._random = random.Random(self._seed)  # noqa: S311 - reproducible by intent
        return self._random.random()

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward, or back if negative."""
        self.skew += seconds

    def new_id(self) -> bytes:
        """Return the name and the number of this id: readable, and unique as long as names are."""
        self.ids += 1
        return f"{self.name}:{self.ids}".encode()

    def beside(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> Callable[[], Coroutine[Any, Any, None]]:
        """Run a coroutine as a task of the same process; return what cancels it and waits for its end."""
        task = self.loop.create_task(work(), name=name)

        async def cancel() -> None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        return cancel

    def threads(self, loop: asyncio.AbstractEventLoop, name: str) -> VirtualThreads:
        """Return threads that take turns with the loop."""
        assert isinstance(loop, VirtualLoop)
        return VirtualThreads(loop, name)

    def machine(self) -> VirtualMachine:
        """Return the one machine of this process, whose load can be set."""
        return self._machine
