"""One simulated worker process: an app's production consumers in a domain of their own, which can crash, stand still, stop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from functools import lru_cache
from typing import Any, Protocol, TypeVar

import msgspec

import taskq
from taskq.consumer import Consumer
from taskq.hooks.base import Hooks
from taskq.options import QueueOptions
from taskq.runtime.state import Wiring
from taskq_testing.clock import VirtualClock
from taskq_testing.faults import Fault, Faults
from taskq_testing.history import History
from taskq_testing.loop import Domain, VirtualLoop
from taskq_testing.simulator.handlers import Recorder, RecordingHook, instrumented
from taskq_testing.simulator.parts import SimulatedNetwork

__all__ = ["Fleet", "Process"]

T = TypeVar("T")

_MAX_WORKERS, _MAX_FETCHERS = 8, 2
"""Their defaults depend on the machine's processors, and a seed must mean the same on every machine."""


class Fleet(Recorder, Protocol):
    """What a process belongs to; the simulator."""

    app: taskq.App
    loop: VirtualLoop
    network: SimulatedNetwork
    faults: Faults
    history: History
    wirings: dict[str, Wiring]

    def domain(self, process: str) -> Domain:
        """Return a new domain for a process that begins."""

    def broke(self, error: BaseException) -> None:
        """Take an error that ended the consumers of a process."""


@lru_cache(maxsize=64)
def _everywhere(options: QueueOptions) -> QueueOptions:
    """Return options with numbers that do not depend on the machine."""
    return msgspec.structs.replace(
        options,
        max_workers=max(options.min_workers, min(options.max_workers, _MAX_WORKERS)),
        max_fetchers=min(options.max_fetchers, _MAX_FETCHERS),
    )


def observed(wiring: Wiring, recorder: Recorder) -> Wiring:
    """Return what a consumer is made from with everything written down, and the same on every machine."""
    options = _everywhere(wiring.options)
    hooks = Hooks((*wiring.hooks.listed, RecordingHook(recorder)))
    registry = instrumented(wiring.registry, wiring.queue, recorder)
    return msgspec.structs.replace(wiring, options=options, hooks=hooks, registry=registry)


class Process:
    """A worker process.

    Attributes:
        name: its name, which it keeps over restarts.
        alive: whether it runs, or stands still.
        domain: where its code runs; another after each start.
        clock: its own.
    """

    def __init__(self, fleet: Fleet, name: str, clock: VirtualClock) -> None:
        self.name = name
        self.alive = False
        self.clock = clock
        self.domain: Domain | None = None
        self._fleet = fleet
        self._consumers: dict[str, Consumer] = {}
        self._running: asyncio.Task[None] | None = None
        self._stopped: asyncio.Future[None] | None = None
        self._starts = 0

    def start(self) -> None:
        """Begin, for the first time or again."""
        fleet = self._fleet
        self.alive = True
        self._starts += 1
        self.domain = fleet.domain(self.name)
        link = fleet.network.connect(self.name)
        link.crash = self.crash
        self._record("spawn")
        fault = fleet.faults.at("spawn", f"{self.name}#{self._starts}")
        if fault is not None:
            self._wrong_from_the_start(fault)
        self._consumers = {name: Consumer(self._wiring(queue)) for name, queue in fleet.app.queues.items()}
        self._running = self.domain.create_task(self._run(), name=self.name)
        self._running.add_done_callback(self._ended)

    def _wiring(self, queue: taskq.Queue) -> Wiring:
        wirings = self._fleet.wirings
        if queue.name not in wirings:
            wirings[queue.name] = observed(self._fleet.app.wiring(queue), self._fleet)
        return msgspec.structs.replace(wirings[queue.name], clock=self.clock)

    async def _run(self) -> None:
        await _together([self._consume(queue, consumer) for queue, consumer in self._consumers.items()])

    def _ended(self, running: asyncio.Task[None]) -> None:
        """Take note if the consumers ended by an error of their own, which ends the process and fails the run."""
        error = None if running.cancelled() else running.exception()
        if error is not None and self.alive:
            self._fleet.broke(error)
            self.kill()

    async def _consume(self, queue: str, consumer: Consumer) -> None:
        self._record("consumer", queue=queue, outcome="running")
        await consumer.run()

    def _record(self, kind: str, **fields: object) -> None:
        self._fleet.history.add(self._fleet.loop.now, kind, self.name, fields)

    # -- what can happen to it

    def crash(self, fault: Fault) -> None:
        """Die: nothing of it runs on. It comes back after `fault.seconds`."""
        if not self.alive or self.domain is None:
            return
        self.kill(noticed=fault.variant != 2)
        self._fleet.network.later(fault.seconds, self._come_back)

    def kill(self, *, noticed: bool = True) -> None:
        """Die for good.

        Args:
            noticed: whether the broker sees at once that the connection is gone; else it answers what was asked.
        """
        assert self.domain is not None
        self.alive = False
        self._record("crash")
        self.domain.kill()
        self._fleet.network.disconnect(self.name, noticed=noticed)
        self._is_over()

    def _is_over(self) -> None:
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_result(None)

    def buffered(self, queue: str) -> int:
        """Return how many messages of a queue it owns that wait for a worker."""
        return self._consumers[queue].buffered

    def _come_back(self) -> None:
        if not self.alive:
            self.start()

    def suspend(self, seconds: float) -> None:
        """Stand still for a while; the world goes on."""
        domain = self.domain
        if not self.alive or domain is None or domain.state != "running":
            return
        self._record("suspend", delay=seconds)
        domain.suspend()
        self._fleet.network.later(seconds, self._wake, domain)

    def _wake(self, domain: Domain) -> None:
        if domain is self.domain and domain.state == "suspended":
            self._record("wake")
            domain.wake()

    def _wrong_from_the_start(self, fault: Fault) -> None:
        self._fleet.faults.fired[fault.name] += 1
        self._record("fault", outcome=fault.name, delay=fault.seconds)
        sign = -1.0 if fault.variant == 1 else 1.0
        if fault.name == "clock_skew":
            self.clock.skew = sign * fault.seconds
        elif fault.name == "clock_jump":
            self._fleet.network.later(fault.seconds, self.clock.jump, sign * fault.seconds)
        else:
            self.clock.machine().memory = 0.01
            self._fleet.network.later(fault.seconds, self._memory_comes_back)

    def _memory_comes_back(self) -> None:
        self.clock.machine().memory = 1.0

    # -- ending

    def heal(self) -> None:
        """Run on, whatever stood in the way."""
        if not self.alive:
            self.start()
        elif self.domain is not None:
            self._wake(self.domain)
        self._memory_comes_back()

    async def restart(self, timeout: float | None = None) -> None:
        """Stop as on SIGTERM, and begin again, as a deployment does."""
        await self.stop(timeout)
        if not self.alive:
            self.start()

    async def stop(self, timeout: float | None = None) -> None:
        """Stop as on SIGTERM, and write down what is left; over when it has stopped, or died meanwhile."""
        domain = self.domain
        if not self.alive or domain is None:
            return
        self._stopped = self._fleet.loop.create_future()
        domain.create_task(self._stop(timeout), name=f"{self.name} stops")
        await self._stopped

    async def _stop(self, timeout: float | None) -> None:
        for queue in self._consumers:
            self._record("consumer", queue=queue, outcome="stopping")
        left = await _together([consumer.stop(timeout) for consumer in self._consumers.values()])
        assert self._running is not None
        await asyncio.wait((self._running,))
        for backend in [queue.backend for queue in self._fleet.app.queues.values()]:
            await backend.aclose()
        assert self.domain is not None
        left_over = len(self.domain.tasks()) - 1  # this very task is one
        for (queue, consumer), count in zip(self._consumers.items(), left, strict=True):
            self._record("consumer", queue=queue, outcome="stopped", n=count)
            owned = self._fleet.network.broker.queues[queue].owned_by(self.name)
            self._record("at_rest", queue=queue, data={"owned": owned, "in_flight": consumer.in_flight, "tasks": left_over})
        self.alive = False
        self._is_over()


async def _together(coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Return the results of coroutines that run side by side; a single one, which is the rule, needs no task of its own."""
    if len(coroutines) == 1:
        return [await coroutines[0]]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
    return [task.result() for task in tasks]
