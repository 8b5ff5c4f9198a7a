"""One queue as one process of a scenario has it: a task that notes its runs, a consumer, and the backend itself."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import taskq
from taskq.backends.base import Backend, Broker, Chores, Clock, DeadLetter, Outgoing, Size
from taskq.consumer import Consumer
from taskq.core.dedup import Claim
from taskq.message import Enqueued, Reservation
from taskq.options import QueueOptions
from taskq.wire import args as wire_args
from taskq.wire import envelope
from taskq_conformance.check import Broken, holds
from taskq_conformance.gate import Gate

__all__ = ["Behaviour", "Place", "Process", "Ran", "gaps"]

Behaviour = Callable[["Ran"], Any]
"""What a handler does; a coroutine that it returns is awaited."""


@dataclass(kw_only=True)
class Ran:
    """One run of a handler.

    Attributes:
        at: when it began, by the loop.
        args: its arguments.
        attempt: its number, from 1.
        process: where it ran.
        kind: `work`, or `fallback`.
        message: what it was given.
        context: its context; None in a fallback.
        ended: when it ended, whatever its outcome; None while it runs.
    """

    at: float
    args: tuple[Any, ...]
    attempt: int
    process: str
    kind: str
    message: taskq.Message
    context: taskq.Context | None = None
    ended: float | None = None


@dataclass(kw_only=True)
class Process:
    """One process of a scenario: an app on a broker of its own.

    Attributes:
        name: its name.
        app: its app.
        gate: the way to its backends.
        places: its queues.
        dead: it was cut off for good.
    """

    name: str
    app: taskq.App
    gate: Gate
    places: list[Place] = field(default_factory=list)
    dead: bool = False

    @property
    def broker(self) -> Broker:
        """Its broker."""
        return self.app.broker

    @property
    def clock(self) -> Clock:
        """Its clock."""
        return self.app.clock

    async def die(self) -> None:
        """Be killed: nothing that it does from now on gets through to its backends, and it says no goodbye."""
        self.gate.open = False
        self.dead = True
        for place in self.places:
            await place.interrupt()


class Log(Protocol):
    """Where runs are noted; the bench."""

    tick: float
    patience: float

    def now(self) -> float:
        """Return seconds by the loop."""

    def tell(self) -> None:
        """Wake who waits for something to happen."""

    async def sleep(self, ticks: float) -> None:
        """Let time pass."""


class Place:
    """A queue of a process.

    Attributes:
        queue: the queue.
        task: its task `work`, which notes its runs and then does as the scenario says.
        runs: the runs of all places of this queue, in the order in which they began.
        process: whose it is.
        foreign: bodies were made by hand, so that a record of the queue cannot tell which message is which.
    """

    def __init__(self, log: Log, process: Process, name: str, runs: list[Ran], options: dict[str, Any]) -> None:
        self.process = process
        self.runs = runs
        self.foreign = False
        self._log = log
        self.queue = process.app.queue(name, **options)
        self.task: taskq.Task[...]
        self._running: asyncio.Task[None] | None = None
        process.places.append(self)

    def register(self, behave: Behaviour | None, options: dict[str, Any], fallback: Behaviour | None) -> None:
        """Register the task `work`."""

        async def work(context: taskq.Context, message: taskq.Message) -> None:
            await self._note("work", message, context, behave)

        self.task = self.queue.task(name="work", **options)(work)
        if fallback is not None:

            async def fall_back(message: taskq.Message) -> None:
                await self._note("fallback", message, None, fallback)

            self.task.fallback(fall_back)

    async def _note(self, kind: str, message: taskq.Message, context: taskq.Context | None, behave: Behaviour | None) -> None:
        ran = Ran(
            at=self._log.now(), args=message.args, attempt=message.attempt, process=self.process.name,
            kind=kind, message=message, context=context,
        )  # fmt: skip
        self.runs.append(ran)
        self._log.tell()
        try:
            done = behave(ran) if behave is not None else None
            if inspect.isawaitable(done):
                await done
        finally:
            ran.ended = self._log.now()
            self._log.tell()

    # -- adding

    @property
    def options(self) -> QueueOptions:
        """The options of the queue."""
        return self.queue.options

    @property
    def backend(self) -> Backend:
        """The backend of the queue, as this process has it."""
        return self.queue.backend

    async def add(self, *args: Any, delay: float = 0.0, name: str | None = None) -> Enqueued:
        """Enqueue one message for the task."""
        message = self.task.message(*args)
        message = message.delayed(delay) if delay else message
        return await self.queue.enqueue_async(message.named(name) if name is not None else message)

    async def add_many(self, count: int) -> list[Enqueued]:
        """Enqueue messages with the numbers from 0 on, in one batch; all of them have to be accepted."""
        results = await self.queue.enqueue_many_async([self.task.message(number) for number in range(count)])
        holds(all(result.accepted for result in results), "every message of a plain batch is accepted")
        return results

    def outgoing(self, *args: Any, delay: float = 0.0, claim: Claim | None = None, task: str = "work") -> Outgoing:
        """Return an encoded message, as a queue would send it."""
        self.foreign = True
        identifier = self.process.clock.new_id()
        message = taskq.Message(task=task, args_bytes=wire_args.encode(args), id=identifier)
        return Outgoing(identifier, envelope.encode(message, compress_from=None), delay, claim)

    async def send_body(self, body: bytes) -> None:
        """Send a body of any kind, as a foreign program may."""
        self.foreign = True
        (answer,) = await self.backend.send([Outgoing(self.process.clock.new_id(), body)])
        holds(answer is None, f"a body of {len(body)} bytes is accepted, whatever it says: {answer!r}")

    # -- taking by hand

    async def take(self, n: int = 1, *, patience: float | None = None) -> list[Reservation]:
        """Reserve `n` messages, as a consumer would that does nothing with them.

        Args:
            n: how many.
            patience: ticks; None means very many.

        Raises:
            Broken: they do not come.
        """
        log = self._log
        deadline = log.now() + (patience * log.tick if patience is not None else log.patience)
        taken: list[Reservation] = []
        while True:
            await self.look_after()
            taken += await self.backend.reserve(n - len(taken), 0.0)
            if len(taken) >= n:
                return taken
            if log.now() >= deadline:
                raise Broken(f"{n} messages can be reserved: {len(taken)} came")
            await log.sleep(0.25)

    async def look_after(self) -> None:
        """Do the backend's chores, as any consumer does."""
        if isinstance(self.backend, Chores):
            await self.backend.chores()

    async def nothing_comes(self, what: str, ticks: float = 0.0) -> None:
        """Insist that no message can be reserved for a while."""
        until = self._log.now() + ticks * self._log.tick
        while True:
            await self.look_after()
            taken = await self.backend.reserve(1, 0.0)
            holds(not taken, f"{what}: nothing can be reserved")
            if self._log.now() >= until:
                return
            await self._log.sleep(0.25)

    async def size(self) -> Size:
        """Count its messages."""
        await self.look_after()
        return await self.queue.size()

    async def letters(self, limit: int = 100) -> list[DeadLetter]:
        """Return its dead letters, and let a moment pass: to look at them may hide them for as long."""
        found = await self.queue.dead_letters(limit)
        await self._log.sleep(0.01)
        return found

    async def put_back(self, letters: Sequence[DeadLetter]) -> int:
        """Put dead letters back, and let a moment pass; return how many were there."""
        count = await self.queue.redrive(letters)
        await self._log.sleep(0.01)
        return count

    async def drop(self, letters: Sequence[DeadLetter]) -> int:
        """Drop dead letters, and let a moment pass; return how many were there."""
        count = await self.queue.discard(letters)
        await self._log.sleep(0.01)
        return count

    # -- consuming

    @property
    def consumer(self) -> Consumer:
        """The consumer."""
        return self.process.app.consumer(self.queue)

    @contextlib.asynccontextmanager
    async def consuming(self) -> AsyncIterator[Consumer]:
        """Consume while the block runs."""
        await self.begin()
        try:
            yield self.consumer
        finally:
            await self.end()

    async def begin(self) -> None:
        """Begin to consume."""
        self._running = asyncio.get_running_loop().create_task(self.consumer.run())
        while not self.consumer.running and not self._running.done():  # noqa: ASYNC110 - a few steps of the loop
            await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def end(self, timeout: float | None = None) -> int:
        """Stop the consumer as its owner does; return how many messages it gave back unfinished."""
        running, self._running = self._running, None
        if running is None:
            return 0
        left = await self.consumer.stop(timeout)
        await running
        return left

    async def interrupt(self) -> None:
        """Cancel the consumer, if it runs."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.wait([running])
            if not running.cancelled() and (error := running.exception()) is not None:
                raise error

    async def process_all(self) -> int:
        """Process what is ready, and return how many messages were settled."""
        await self.look_after()
        return await self.consumer.process_all()

    def of(self, *args: Any) -> list[Ran]:
        """Return the runs with these arguments."""
        return [ran for ran in self.runs if ran.args == args]

    def numbers(self, kind: str = "work") -> list[Any]:
        """Return the first argument of each run."""
        return [ran.args[0] for ran in self.runs if ran.kind == kind]

    @property
    def attempts(self) -> list[int]:
        """The attempts of all runs."""
        return [ran.attempt for ran in self.runs if ran.kind == "work"]


def gaps(moments: Sequence[float]) -> list[float]:
    """Return the time between each moment and the next."""
    return [later - sooner for sooner, later in itertools.pairwise(moments)]
