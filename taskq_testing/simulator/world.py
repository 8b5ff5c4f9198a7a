"""What a scenario sees of the world that it plays in."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any, Protocol

import taskq
from taskq_testing.faults import Faults
from taskq_testing.history import History
from taskq_testing.loop import Domain, VirtualLoop
from taskq_testing.simulator.parts import SimulatedNetwork
from taskq_testing.simulator.process import Process
from taskq_testing.tape import Tape

__all__ = ["World"]


class Stage(Protocol):
    """What a world is a view of; the simulator."""

    app: taskq.App
    loop: VirtualLoop
    network: SimulatedNetwork
    history: History
    faults: Faults
    processes: dict[str, Process]
    tape: Tape

    async def drained(self) -> None:
        """Wait until every message is finished."""

    def domain(self, process: str) -> Domain:
        """Return a new domain for a process that begins."""


class World:
    """The world of one run, for its scenario.

    Attributes:
        app: the app under test.
        processes: the worker processes by name: `crash`, `suspend` or `stop` one.
    """

    def __init__(self, stage: Stage) -> None:
        self.app = stage.app
        self.processes = stage.processes
        self._stage = stage

    @property
    def now(self) -> float:
        """Seconds of virtual time since the run began."""
        return self._stage.loop.time()

    @property
    def history(self) -> History:
        """What happened so far."""
        return self._stage.history

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(seconds)

    async def drained(self) -> None:
        """Wait until no message is ready, delayed or reserved, or longer than that can take."""
        await self._stage.drained()

    def producer(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine as a process of its own, whose calls may fail as a worker's do (`BackendUnavailable`)."""
        self._stage.network.connect(name)
        return self._stage.domain(name).create_task(work, name=name)

    def performed(self, task: taskq.Task[Any] | str, outcome: str = "ok") -> int:
        """Return how many runs of a task ended so."""
        name = task if isinstance(task, str) else task.name
        runs = {event.run for event in self.history.of("start") if event.task == name}
        return sum(event.run in runs and event.outcome == outcome for event in self.history.of("end"))

    def sometimes(self, mark: str, condition: bool = True) -> None:
        """Note that something was reached; an exploration reports marks that no seed ever reached."""
        if condition:
            self._stage.faults.fired[mark] += 1

    def choose(self, label: str, n: int) -> int:
        """Draw a number below `n` for the scenario's own use; 0 is the boring one."""
        return self._stage.tape.draw(f"scenario.{label}", n)

    def tally(self) -> Counter[str]:
        """Return how many runs ended in each way."""
        return Counter(event.outcome for event in self.history.of("end"))
