"""The workers of a harness: the production consumer of each queue, started on a virtual loop when something is ready.

Nothing polls, so that a day without messages costs nothing. The broker is the in-memory one, with a gate in front of it.
"""

from __future__ import annotations

import asyncio
import heapq
import sys
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from taskq.app import App
from taskq.backends.base import DeadLetter, Outgoing
from taskq.backends.memory import Entry, MemoryBroker
from taskq.consumer import Consumer
from taskq.message import Reservation
from taskq.options import QueueOptions
from taskq.runtime.fetcher import fetch
from taskq.runtime.state import ConsumerState, Wiring
from taskq.runtime.worker import Workshop
from taskq_testing.clock import VirtualClock
from taskq_testing.faults import Disturbing, Undisturbed
from taskq_testing.history import History
from taskq_testing.loop import Domain, VirtualLoop, current_domain
from taskq_testing.loop.handles import SECOND
from taskq_testing.simulator.recorded import RecordedQueue, add_of, answer_to, task_of

__all__ = ["TEST", "WORKER", "Crew", "Gate", "GatedBackend", "GatedBroker"]

FOREVER = float("inf")
TEST, WORKER = "test", "worker"
"""The two processes of a test: the test itself, and all of its consumers."""

_STEPS_OF_A_WORKER = 4
"""Steps of the loop within which a worker that is made or woken takes what is there for it."""


class Gate:
    """Which messages may be taken now.

    Attributes:
        left: how many more, of all queues together.
        only: the ids of those that may, each once; None means all.
        on_change: called when something was added, given back or put aside.
        dead: how many messages were put aside so far.
    """

    def __init__(self) -> None:
        self.left = FOREVER
        self.only: set[bytes] | None = None
        self.on_change: Callable[[], None] = _do_nothing
        self.dead = 0

    def open(self, left: float = FOREVER, only: set[bytes] | None = None) -> None:
        """Say what may be taken from now on."""
        self.left, self.only = left, only

    def admits(self, entry: Entry) -> bool:
        """Return whether a message may be taken."""
        return self.left > 0 and (self.only is None or entry.id in self.only)


class GatedBackend(RecordedQueue):
    """A queue in memory of which only what the gate admits can be reserved."""

    def __init__(self, broker: GatedBroker, name: str, options: QueueOptions) -> None:
        super().__init__(broker, name, options, broker)
        self.gate = broker.gate
        self._gated = broker

    def send_blocking(self, batch: Sequence[Outgoing]) -> Sequence[Exception | None]:
        """Add messages in order, from any thread."""
        answers = self._written(batch) if self._gated.writes else super().send_blocking(batch)
        self.gate.on_change()
        return answers

    def _written(self, batch: Sequence[Outgoing]) -> list[Exception | None]:
        broker = self._gated
        answers: list[Exception | None] = []
        self._note("send_blocking", tuple(batch))
        for outgoing in batch:
            broker.introduce(self.name, task_of(outgoing.body)[0])
            broker.op += 1
            broker.write("add", add_of(self.name, outgoing, broker.op))
            answers += super().send_blocking((outgoing,))
            broker.write(*answer_to(outgoing, broker.op, answers[-1]))
        return answers

    def _note(self, what: str, *args: Any) -> None:
        if self._gated.writes and self._gated.caller() != WORKER:
            self._gated.called(self.name, what, args)

    def _put(self, entry: Entry, delay: float) -> None:
        if delay > 0:
            # To the nanosecond, as the loop counts: sums of floats would be due a little after the moment they name.
            due = round((self._monotonic() + delay) * SECOND) / SECOND
            self._sequence += 1
            heapq.heappush(self._delayed, (due, self._sequence, entry))
        else:
            super()._put(entry, delay)

    def _take(self, n: int, now: float) -> list[Reservation]:
        self._promote(now)
        gate = self.gate
        shut_out: deque[Entry] = deque()
        if gate.only is not None:
            ready, self._ready = self._ready, deque(entry for entry in self._ready if gate.admits(entry))
            shut_out.extend(entry for entry in ready if not gate.admits(entry))
        taken = super()._take(int(min(n, gate.left)), now)
        self._ready.extendleft(reversed(shut_out))
        gate.left -= len(taken)
        if gate.only is not None:
            gate.only.difference_update(reservation.id for reservation in taken)
        return taken

    def _expire(self, receipt: int, entry: Entry) -> None:
        """Keep it reserved: its consumer lives, but a handler that sleeps on the test's thread keeps it from extending."""
        entry.expires_at = self._monotonic() + self._timeout
        self._check_at(entry.expires_at, receipt, entry)

    async def release(self, reservation: Reservation, delay: float) -> None:
        """Give a message back with `reservation.body`."""
        await super().release(reservation, delay)
        self.gate.on_change()

    async def dead_letter(self, reservation: Reservation, reason: str) -> None:
        """Put a message aside, intact."""
        await super().dead_letter(reservation, reason)
        self.gate.dead += 1

    async def purge(self) -> int:
        """Drop all ready and delayed messages."""
        self._note("purge")
        return await super().purge()

    async def redrive(self, letters: Sequence[DeadLetter]) -> int:
        """Make dead letters ready again."""
        self._note("redrive", tuple(letters))
        return await super().redrive(letters)

    async def discard(self, letters: Sequence[DeadLetter]) -> int:
        """Delete dead letters."""
        self._note("discard", tuple(letters))
        return await super().discard(letters)

    def has_work(self) -> bool:
        """Return whether a message may be taken now."""
        self._promote(self._monotonic())
        return any(map(self.gate.admits, self._ready))

    def next_due(self) -> float:
        """Return when the next delayed message is due, by the clock's monotonic time; infinity if none is delayed."""
        return self._delayed[0][0] if self._delayed else FOREVER


class GatedBroker(MemoryBroker):
    """The in-memory broker of one test. Implements `simulator.recorded.Scribe`.

    Attributes:
        writes: whether it writes down what happens.
        history: where.
        faults: what disturbs.
        called: told of what the test, and no handler, calls a queue to do while it writes: queue, method, arguments.
        introduce: told of the queue and the task of each message, before it is added.
        op: the number of the last message that was added while it wrote.
    """

    def __init__(self, clock: VirtualClock, gate: Gate) -> None:
        super().__init__(clock)
        self.gate = gate
        self.backends: dict[str, GatedBackend] = {}
        self.writes = False
        self.op = 0
        self.history = History()
        self.faults: Disturbing = Undisturbed()
        self.called: Callable[[str, str, tuple[Any, ...]], None] = _nobody_notes
        self.introduce: Callable[[str, str], None] = _nobody_notes
        self.clock: VirtualClock = clock

    def queue(self, name: str, options: QueueOptions) -> GatedBackend:
        """Return the one backend of this queue."""
        if name not in self.backends:
            self.backends[name] = GatedBackend(self, name, options)
        return self.backends[name]

    def now(self) -> int:
        """Return the time in nanoseconds since the test began."""
        return self.clock.loop.now

    def caller(self) -> str:
        """Return "worker" for consumers and handlers, "test" for the test itself."""
        domain = current_domain()
        return domain.name if domain is not None else TEST

    def write(self, kind: str, fields: dict[str, Any]) -> None:
        """Write an event of the caller."""
        self.history.add(self.clock.loop.now, kind, self.caller(), fields)

    def settled(self) -> None:
        """Do nothing: nobody waits for the last message."""


class _TestConsumer(Consumer):
    """The production consumer, told when to look for more instead of looking every few milliseconds."""

    def __init__(self, wiring: Wiring, crew: Crew) -> None:
        super().__init__(wiring)
        self._crew = crew

    def look(self) -> None:
        if self._state is not None:
            self._state.progress.set()

    async def _until_empty(self, state: ConsumerState, shop: Workshop) -> None:
        while True:
            state.progress.clear()
            if self._crew.works and await fetch(state, 0.0):
                continue
            if not state.owned:
                return
            await self._until_taken(state)
            shop.close_batches()
            await state.progress.wait()

    @staticmethod
    async def _until_taken(state: ConsumerState) -> None:
        """Let workers take what they can, or batches would be closed before anything is in them."""
        items, before = state.buffer.items, -1
        while items and len(items) != before:
            before = len(items)
            for _ in range(_STEPS_OF_A_WORKER):
                await asyncio.sleep(0)


class Crew:
    """Starts a consumer for each queue that has work, whenever that changes.

    Args:
        app: whose queues are served.
        domain: the process on the virtual loop that it works in.
        broker: where the messages lie while the app is bound to it.

    Attributes:
        works: whether it takes messages; what runs goes on in any case.
        rounds: how often it has looked for work.
        wired: changes what a consumer is made from before it is made.
    """

    def __init__(self, app: App, domain: Domain, broker: GatedBroker) -> None:
        self.works = False
        self._app = app
        self._domain = domain
        self._loop: VirtualLoop = domain.loop
        self._broker = broker
        self._consumers: dict[str, _TestConsumer] = {}
        self._running: dict[str, asyncio.Task[int]] = {}
        self._errors: list[BaseException] = []
        self._changed = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self.rounds = 0
        self.wired: Callable[[Wiring], Wiring] = _as_it_is
        self._serving = domain.create_task(self._serve(), name="taskq-crew")

    def look(self) -> None:
        """Look for work again. To be called on the loop, or while it stands still."""
        self._changed.set()

    async def _serve(self) -> None:
        while True:
            self._changed.clear()
            if self.works:
                self._start_ready()
            self.rounds += 1
            waiting, self._waiting = self._waiting, []
            for future in waiting:
                _resolve(future)
            due = self.next_due() if self.works else FOREVER
            timer = self._loop.call_at(due, self.look) if due < FOREVER else None
            await self._changed.wait()
            if timer is not None:
                timer.cancel()

    def _start_ready(self) -> None:
        for name, backend in self._broker.backends.items():
            if not backend.has_work() or name not in self._app.queues:
                continue
            if name in self._running:
                self._consumers[name].look()
                continue
            if name not in self._consumers:
                self._consumers[name] = _TestConsumer(self.wired(self._app.wiring(self._app.queues[name])), self)
            task = self._running[name] = self._domain.create_task(self._consumers[name].process_all(), name=f"taskq-{name}")
            task.add_done_callback(partial(self._ended, name))

    def _ended(self, name: str, task: asyncio.Task[int]) -> None:
        del self._running[name]
        if not task.cancelled() and (error := task.exception()) is not None:
            self._errors.append(error)
        self.look()

    def buffered(self, queue: str) -> int:
        """Return how many messages of a queue wait for a worker."""
        return self._consumers[queue].buffered

    @property
    def busy(self) -> list[str]:
        """A line for each consumer that runs."""
        return [f"the consumer of queue {name!r} runs: {self._consumers[name].stats()}" for name in self._running]

    def next_due(self) -> float:
        """Return when the next delayed message is due, in the loop's seconds; infinity if none is delayed."""
        return min((backend.next_due() for backend in self._broker.backends.values()), default=FOREVER)

    def _has_work(self, until: float) -> bool:
        if self._running:
            return True
        return any(backend.has_work() for backend in self._broker.backends.values()) or self._is_due(until)

    def _is_due(self, until: float) -> bool:
        return self._broker.gate.left > 0 and self.next_due() <= min(until, sys.float_info.max)

    async def quiet(self, until: float) -> None:
        """Wait until nothing runs, is ready, or becomes due until then (in the loop's seconds)."""
        while self._has_work(until) and not self._errors:
            self._waiting.append(self._loop.create_future())
            await self._waiting[-1]

    def raise_errors(self) -> None:
        """Raise what a consumer itself raised, which is never a handler's error."""
        if self._errors:
            raise self._errors.pop(0)

    def kill(self) -> None:
        """End whatever is left of it."""
        self._domain.kill()

    async def stop(self) -> None:
        """Interrupt the consumers, which give back what they own."""
        tasks = [self._serving, *self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _do_nothing() -> None:
    """Stand in until somebody wants to know."""


def _nobody_notes(*_: object) -> None:
    """Stand in until somebody keeps a diary."""


def _as_it_is(wiring: Wiring) -> Wiring:
    """Return the same."""
    return wiring
