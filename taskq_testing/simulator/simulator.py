"""One run of a fleet in virtual time: production consumers and producers, a broker and a network that fail, a judge.

`scenario` turns a coroutine function into a `Run`: a function from a tape of choices to an `Outcome`. Each call builds a new
world, plays the scenario in it, heals what faults left broken, waits until every message is finished, stops the workers,
and has the history judged.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Collection
from types import TracebackType
from typing import Any, Self

import msgspec

import taskq
from taskq.backends.base import Capabilities
from taskq.core.retry import backoff
from taskq.options import QueueOptions, TaskOptions
from taskq.runtime.state import Wiring
from taskq_testing.clock import VirtualClock
from taskq_testing.faults import Fault, Faults, choose, faults_of
from taskq_testing.history import Event, History
from taskq_testing.loop import Domain, VirtualLoop, current_domain, garbage
from taskq_testing.oracle import judge
from taskq_testing.outcome import Outcome, Run
from taskq_testing.simulator.coverage import met
from taskq_testing.simulator.network import TEST
from taskq_testing.simulator.process import Process
from taskq_testing.simulator.routing import RoutedClock
from taskq_testing.simulator.services import service_of
from taskq_testing.simulator.world import World
from taskq_testing.tape import Quiet, Tape

__all__ = ["Simulator", "scenario"]

Body = Callable[[World], Awaitable[None]]

_STOP_TIMEOUT = 30.0

LIMIT = 3600.0
"""Virtual seconds within which a scenario has to end unless it says otherwise."""

_MAX_RATIO = 10.0


_ANY = TaskOptions()


class Simulator:
    """The world of one run; a context manager.

    Args:
        app: the user's app, which is bound to this world meanwhile and else left as it is.
        tape: every choice; None means that nothing out of the ordinary happens.
        faults: which faults may happen (see `faults.choose`).
        workers: how many worker processes there are.
        limit: virtual seconds within which a scenario has to end.
        backend: what the broker is: "memory", or "redis" for the production adapter on a simulated server.

    Attributes:
        loop: its virtual time.
        history: what happened.
        processes: its worker processes by name.
        wirings: what the consumers of each queue are made from, but for their clocks.
        network: the links between them and the broker.
    """

    def __init__(
        self,
        app: taskq.App,
        *,
        tape: Tape | None = None,
        faults: str | Collection[str] = "none",
        workers: int = 1,
        limit: float = LIMIT,
        backend: str = "memory",
    ) -> None:
        kind = service_of(backend)
        self.app = app
        self.tape = tape if tape is not None else Tape(0, Quiet())
        self._domains: list[Domain] = []
        self.loop = VirtualLoop(self.tape)
        self.history = History()
        self.tape.position = self.history.__len__
        self.faults = Faults(self.tape, choose(faults, faults_of(kind.places)), _boundaries(app), kind.places)
        self.clocks: dict[str, VirtualClock] = {}
        self.wirings: dict[str, Wiring] = {}
        self.patience = min((queue.options.reservation_timeout for queue in app.queues.values()), default=1.0) / 5
        self.clock_of_all = RoutedClock(self.clock)
        self.service = kind(self)
        self.network = self.service.network
        self.broker = self.network.broker
        self.processes = {name: Process(self, name, self.clock(name)) for name in (f"worker-{n + 1}" for n in range(workers))}
        self._runs = 0
        self._longest: float | None = None
        self._broken: BaseException | None = None
        self._limit = limit
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._stack.callback(self.loop.close)
        self._stack.enter_context(self.app.rebound(self.service.clients, self.clock_of_all))
        self._describe(self.service.capabilities)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.history = History()  # what dead coroutines say when they are closed is no part of the run
        for domain in self._domains:
            if domain.tasks():
                domain.kill()
        self._stack.close()
        # Without these circles all of the run is freed at once, and the collector, which takes longer for it, finds little.
        self.processes = {}
        self.wirings.clear()
        del self.service, self.network, self.broker

    def clock(self, process: str) -> VirtualClock:
        """Return the clock of a process."""
        clock = self.clocks.get(process)
        if clock is None:
            clock = self.clocks[process] = VirtualClock(self.loop, process, seed=self.tape.seed)
        return clock

    def domain(self, process: str) -> Domain:
        """Return a new domain for a process that begins."""
        domain = self.loop.domain(process)
        self._domains.append(domain)
        return domain

    def broke(self, error: BaseException) -> None:
        """Take an error that ended the consumers of a process: whatever the scenario says, the run failed."""
        self._broken = self._broken or error

    # -- what handlers and hooks write to

    def record(self, kind: str, **fields: Any) -> None:
        """Write an event of the process that runs now."""
        domain, events = current_domain(), self.history.events
        # As `History.add` does, without the call: most events of a run come this way.
        events.append(Event(len(events), self.loop.now, kind, domain.name if domain is not None else TEST, **fields))

    def next_run(self) -> int:
        """Return the number of the run that begins."""
        self._runs += 1
        return self._runs

    def delivery(self, queue: str, receipt: Any) -> tuple[int, int]:
        """Return the number of a receipt in the history, and which copy of its message it is for."""
        return self.broker.queues[queue].delivery(receipt, self.network.link().process)

    def buffered(self, queue: str) -> int:
        """Return how many messages of a queue wait in the process that runs now."""
        process = self.processes.get(self.network.link().process)
        return process.buffered(queue) if process is not None else 0

    def happens(self, fault: Fault, message: str) -> None:
        """Let a fault hit the process that runs now."""
        name = self.network.link().process
        process = self.processes.get(name)
        if process is None:
            return
        self.faults.fired[fault.name] += 1
        self.record("fault", outcome=fault.name, message=message, delay=fault.seconds)
        if fault.name == "suspend":
            self.network.later(0.0, process.suspend, fault.seconds)
        elif fault.name == "crash":
            self.network.later(fault.seconds if fault.variant else 0.0, process.crash, fault)

    # -- a run

    def play(self, body: Body) -> Outcome:
        """Play a scenario to its end and return what came of it."""
        error: BaseException | None = None
        try:
            self.loop.run_until_complete(self._play(body))
        except Exception as raised:  # noqa: BLE001 - whatever went wrong in it is the outcome
            error = raised
        error = error or self._broken
        history = self.history
        return Outcome(
            seed=self.tape.seed,
            entries=self.tape.entries,
            draws=self.tape.draws,
            history=history,
            violations=judge(history),
            error=error,
            trace=hashlib.blake2b(msgspec.msgpack.encode(history.events), digest_size=16).hexdigest(),
            virtual=self.loop.time(),
            fired=dict(self.faults.fired),
            coverage=met(history) if self.faults.fired else frozenset(),
        )

    async def _play(self, body: Body) -> None:
        for process in self.processes.values():
            process.start()
        self._plan_the_brokers_end()
        world = World(self)
        try:
            async with asyncio.timeout(self._limit) as patience:
                await self.domain(TEST).create_task(_awaited(body(world)), name="scenario")
        except TimeoutError:
            if patience.expired():
                raise TimeoutError(f"the scenario did not end within {self._limit:g} s of virtual time; raise limit=") from None
            raise
        finally:
            self._heal()
        self.history.record(self.loop.now, "heal", delay=self.bound())
        await self.drained()
        for process in self.processes.values():
            await process.stop(_STOP_TIMEOUT)
        for queue in self.app.queues.values():
            await queue.size()
        self.history.record(self.loop.now, "rest")

    def _plan_the_brokers_end(self) -> None:
        """Draw whether the broker restarts, when, and what it forgets."""
        fault = self.faults.at("broker", "")
        if fault is None:
            return
        rollback = fault.name == "broker_rollback"
        if rollback:
            self.network.later(fault.seconds, self.broker.save)
        lost = (0.01, 0.1, 1.0)[fault.variant] * fault.seconds if rollback else 0.0
        self.network.later(fault.seconds + lost, self._restart_broker, fault)

    def _restart_broker(self, fault: Fault) -> None:
        if self.faults.quiet:
            return
        self.faults.fired[fault.name] += 1
        self.history.record(self.loop.now, "fault", process="broker", outcome=fault.name)
        if self.broker.suffer(fault.name, self.patience):
            self.network.break_all()

    def _heal(self) -> None:
        self.faults.quiet = True
        self.broker.down_until = 0.0
        self.network.heal()
        for process in self.processes.values():
            process.heal()

    async def drained(self) -> None:
        """Wait until every message is finished, as long as that may take; that one is left is for the judge to say."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.bound()):
                await self.broker.when_empty()

    def bound(self) -> float:
        """Return the virtual seconds within which everything that is left has to be done if no fault comes in the way."""
        if self._longest is None:
            self._longest = max((_chain(queue) for queue in self.app.queues.values()), default=0.0)
        due = max((held.at for queue in self.broker.queues.values() for held in queue.messages()), default=0.0)
        slowest = 1.0 + max((queue.options.reservation_timeout for queue in self.app.queues.values()), default=0.0)
        return self.broker.recovery + max(0.0, due - self.loop.time()) + self._longest + slowest * (1 + self.broker.unfinished)

    def _describe(self, capabilities: Capabilities) -> None:
        for queue in self.app.queues.values():
            self.broker.queue(queue.name, queue.options)
            self.history.record(0, "queue", queue=queue.name, data=_queue_policy(queue.options, capabilities))
            for name in queue.tasks.names:
                task = queue.tasks.find(name)
                assert task is not None
                data = _task_policy(task.options, fallback=task.fallback_handler is not None)
                self.history.record(0, "task", queue=queue.name, task=name, data=data)


def scenario(
    body: Body,
    *,
    app: taskq.App,
    workers: int = 3,
    faults: str | Collection[str] = "all",
    limit: float = LIMIT,
    backend: str = "memory",
) -> Run:
    """Return a scenario as a function from a tape to an outcome.

    Args:
        body: an async function of a `World`; it enqueues, waits, checks. It is called anew for each run.
        app: the app whose consumers run.
        workers: how many worker processes there are.
        faults: which faults may happen (see `faults.choose`).
        limit: virtual seconds within which a run of it has to end.
        backend: what the broker is: "memory", or "redis" for the production adapter on a simulated server.

    Raises:
        ConfigError: a fault or the backend is unknown, or what simulates it is not installed.
    """
    choose(faults, faults_of(service_of(backend).places))

    def run(tape: Tape) -> Outcome:
        with garbage.held():
            with Simulator(app, tape=tape, faults=faults, workers=workers, limit=limit, backend=backend) as simulator:
                outcome = simulator.play(body)
            del simulator  # before the collector may look at what it is made of
            return outcome

    return run


async def _awaited(awaitable: Awaitable[None]) -> None:
    await awaitable


def _boundaries(app: taskq.App) -> list[float]:
    """Return the times at which the app's queues change their minds, those far beyond a reservation left out."""
    edges: list[float] = []
    for queue in app.queues.values():
        edges += [queue.options.reservation_timeout, queue.options.pause_period, queue.options.dedup_window]
        for name in queue.tasks.names:
            task = queue.tasks.find(name)
            assert task is not None
            edges += [task.options.min_backoff, task.options.min_backoff * 2]
    longest = max((queue.options.reservation_timeout for queue in app.queues.values()), default=1.0) * _MAX_RATIO
    return [edge for edge in edges if edge <= longest]


def _chain(queue: taskq.Queue) -> float:
    """Return the longest time that one message of a queue can take over all its attempts."""
    options = queue.options
    policies = [_ANY]
    for name in queue.tasks.names:
        task = queue.tasks.find(name)
        assert task is not None
        policies.append(task.options)
    longest = max(
        sum(
            backoff(attempt, policy.min_backoff, policy.max_backoff) * (1 + policy.jitter)
            for attempt in range(1, policy.max_attempts)
        )
        for policy in policies[1:] or policies
    )
    waits = (options.reserve_wait or 10.0) + options.pause_period + options.reservation_timeout * 2
    rate = options.rate_limit
    return longest + waits * (1 + options.poison_limit) + (100 * rate.per / rate.rate if rate is not None else 0.0)


def _queue_policy(options: QueueOptions, capabilities: Capabilities) -> dict[str, Any]:
    rate = options.rate_limit
    return {
        "reservation_timeout": options.reservation_timeout,
        "buffer": options.buffer,
        "rate": {"rate": rate.rate, "per": rate.per, "burst": rate.capacity} if rate is not None else None,
        "worker_limit": options.worker_limit,
        "pause_threshold": options.pause_threshold,
        "pause_period": options.pause_period,
        "pause_scope": options.pause_scope,
        "poison_limit": options.poison_limit,
        "dedup_window": options.dedup_window,
        "fifo": capabilities.fifo,
        "resolution": capabilities.resolution,
        "poll": options.reserve_wait if options.reserve_wait is not None else 10.0,
    }


def _task_policy(options: TaskOptions, *, fallback: bool) -> dict[str, Any]:
    return {
        "max_attempts": options.max_attempts,
        "min_backoff": options.min_backoff,
        "max_backoff": options.max_backoff,
        "jitter": options.jitter,
        "fallback": fallback,
        "batch": options.batch is not None,
    }
