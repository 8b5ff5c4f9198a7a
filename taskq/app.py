"""The app: queues on one backend, and the consumers that serve them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self, Unpack

from taskq.backends import connect
from taskq.backends.base import Broker, Clock, Stores
from taskq.consumer import Consumer
from taskq.errors import ConfigError, TaskqError
from taskq.hooks.base import Hook, Hooks
from taskq.hooks.logging import LoggingHook
from taskq.options import QueueOptions, QueueSettings, build
from taskq.queue import Queue
from taskq.runtime.clock import SystemClock
from taskq.runtime.portal import Portal
from taskq.runtime.state import Wiring

__all__ = ["App"]


class App:
    """Everything of one program that shares a backend. Making one does no I/O.

    Args:
        url: where messages live; "memory://" keeps them in this process.
        hooks: observers, in order; None means failures and pauses are logged.
        clock: time and randomness; None means real ones.
        client: an existing client of the service (redis-py's), whose server and credentials are used instead of the URL's.
        store: where names, rate limits and worker limits are shared if the service keeps none (SQS, IronMQ), such as
            "redis://..."; None means in this process alone.

    Raises:
        ConfigError: the URL cannot be read or nothing serves its scheme.
    """

    def __init__(
        self,
        url: str = "memory://",
        *,
        hooks: Iterable[Hook] | None = None,
        clock: Clock | None = None,
        client: Any = None,
        store: str | Stores | None = None,
    ) -> None:
        self.clock: Clock = clock if clock is not None else SystemClock()
        self.broker: Broker = connect(url, self.clock, client, store)
        self.hooks = Hooks((LoggingHook(),) if hooks is None else hooks)
        self.portal = Portal()
        self.queues: dict[str, Queue] = {}
        self.closed = False
        self.ignores_delay = False
        self.runs_inline = False
        self._consumers: dict[str, Consumer] = {}
        self._inline: set[str] = set()

    def queue(self, name: str, **options: Unpack[QueueSettings]) -> Queue:
        """Make a queue of this app.

        Args:
            name: its name on the backend.
            options: see `QueueOptions`.

        Raises:
            ConfigError: the name is taken, an option is unknown or out of range.
        """
        if name in self.queues:
            raise ConfigError(f"queue {name!r} exists in this app already; keep the object that app.queue returned")
        queue = self.queues[name] = Queue(name, build(QueueOptions, dict(options)), self)
        return queue

    def consumer(self, queue: Queue | str) -> Consumer:
        """Return the consumer of one of this app's queues.

        Raises:
            ConfigError: the app has no such queue.
        """
        name = queue if isinstance(queue, str) else queue.name
        if name not in self.queues:
            known = ", ".join(sorted(self.queues)) or "none"
            raise ConfigError(f"this app has no queue {name!r}; its queues are: {known}")
        if name not in self._consumers:
            self._consumers[name] = Consumer(self.wiring(self.queues[name]))
        return self._consumers[name]

    def wiring(self, queue: Queue) -> Wiring:
        """Return what a consumer of this queue is made from, for those who make consumers of their own."""
        return Wiring(
            queue=queue.name,
            options=queue.options,
            backend=queue.backend,
            broker=self.broker,
            registry=queue.tasks,
            hooks=self.hooks,
            clock=self.clock,
        )

    async def run(self, queues: Iterable[str] | None = None, *, signals: bool = False) -> None:
        """Consume until `stop` is called, or until cancelled.

        Args:
            queues: names of the queues to consume; None means all.
            signals: whether SIGINT and SIGTERM stop it (the first drains, the second interrupts).

        Raises:
            ConfigError: a queue is unknown, or there is none.
        """
        consumers = [self.consumer(name) for name in (self.queues if queues is None else queues)]
        if not consumers:
            raise ConfigError("this app has no queue to consume; make one with app.queue(name)")
        with self._signals() if signals else contextlib.nullcontext():
            async with asyncio.TaskGroup() as group:
                for consumer in consumers:
                    group.create_task(consumer.run())

    async def stop(self, timeout: float | None = None) -> int:
        """Stop all consumers side by side; see `Consumer.stop`. Returns how many messages were given back."""
        return sum(await asyncio.gather(*(consumer.stop(timeout) for consumer in self._consumers.values())))

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        main = asyncio.current_task()
        stopping: list[asyncio.Task[int]] = []

        def on_signal() -> None:
            if stopping and main is not None:
                main.cancel()
            else:
                stopping.append(loop.create_task(self.stop()))

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    # -- testing modes

    @contextlib.contextmanager
    def rebound(self, broker: Broker, clock: Clock) -> Iterator[App]:
        """Serve everything from another broker and clock for a while: the app stays as it is, its own backend is left alone.

        Consumers made before are forgotten meanwhile; those made meanwhile afterwards.

        Raises:
            TaskqError: one of the app's consumers runs.
        """
        if any(consumer.running for consumer in self._consumers.values()):
            raise TaskqError("a consumer of this app runs; stop it before the app is bound to another broker")
        before = (self.broker, self.clock, self._consumers)
        backends = {name: queue.backend for name, queue in self.queues.items()}
        self.broker, self.clock, self._consumers = broker, clock, {}
        for queue in self.queues.values():
            queue.backend = broker.queue(queue.name, queue.options)
        try:
            yield self
        finally:
            self.broker, self.clock, self._consumers = before
            for name, queue in self.queues.items():
                queue.backend = backends.get(name) or self.broker.queue(name, queue.options)

    @contextlib.contextmanager
    def inline(self) -> Iterator[App]:
        """Run every message inside the `enqueue` that adds it (Go: synchronous mode), with the consumer's own code."""
        self.runs_inline = True
        try:
            yield self
        finally:
            self.runs_inline = False

    @contextlib.contextmanager
    def no_delay(self) -> Iterator[App]:
        """Add every message without its delay (Go: no-delay mode)."""
        self.ignores_delay = True
        try:
            yield self
        finally:
            self.ignores_delay = False

    async def process_inline(self, queue: Queue) -> None:
        """Run what is ready on a queue; a message enqueued by one that runs here is left to the run around it."""
        if queue.name in self._inline:
            return
        self._inline.add(queue.name)
        try:
            await Consumer(self.wiring(queue)).process_all()
        finally:
            self._inline.discard(queue.name)

    # -- closing

    async def aclose(self) -> None:
        """Stop the consumers and let the backend go. Enqueueing afterwards raises TaskqError."""
        if self.closed:
            return
        await self.stop()
        self.closed = True
        for queue in self.queues.values():
            await queue.backend.aclose()
        await self.broker.aclose()
        await asyncio.to_thread(self.portal.close)

    def close(self) -> None:
        """Do what `aclose` does, from sync code.

        Raises:
            TaskqError: an event loop runs in this thread.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(self.aclose())
            return
        raise TaskqError("an event loop runs in this thread; use `await app.aclose()`")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
