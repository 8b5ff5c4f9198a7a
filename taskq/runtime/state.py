"""What the parts of one consumer share: its deliveries, their buffer, the outbox. State and waiting, no policy."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from taskq.backends.base import Backend, Broker, Clock
from taskq.core.pause import Pause
from taskq.core.retry import Decision
from taskq.core.stats import Recorder
from taskq.hooks.base import Hooks
from taskq.message import Message, Reservation
from taskq.options import QueueOptions
from taskq.task import Registry, Task

__all__ = ["Buffer", "ConsumerState", "Delivery", "Outbox", "Wiring"]


class Delivery:
    """One reserved message on its way through the consumer; the `Run` behind a handler's `Context`."""

    __slots__ = ("cancelled", "interrupted", "lost", "message", "reservation", "runner", "state", "task", "worker")

    def __init__(self, reservation: Reservation, state: ConsumerState) -> None:
        self.reservation = reservation
        self.state = state
        self.message: Message = _NOTHING
        self.task: Task[Any] | None = None
        self.worker = -1
        self.runner: asyncio.Task[Any] | None = None
        self.cancelled = False
        self.interrupted = False
        self.lost = False

    def cancel(self) -> None:
        """Cancel the run: an async handler is interrupted, one in a thread sees `Context.cancelled`."""
        if self.cancelled:
            return
        self.cancelled = True
        if self.runner is not None:
            self.interrupted = True
            self.runner.cancel()

    async def extend(self, by: float | None) -> None:
        """Own the message until `by` seconds from now."""
        seconds = self.state.options.reservation_timeout if by is None else by
        self.reservation = await self.state.backend.extend(self.reservation, seconds)

    def extend_blocking(self, by: float | None) -> None:
        """Do the same from a handler's thread."""
        self.state.threads.wait(self.extend(by))


_NOTHING = Message(task="")


class Buffer:
    """Reserved messages that wait for a worker, and workers that wait for messages.

    Adding wakes one worker; a worker whose handler suspends wakes the next. So handlers that never wait run one after
    another without a switch between them, and those that do run side by side.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.items: deque[Delivery | list[Delivery]] = deque()
        self.fetching = False
        self._limit = size
        self._lent = self._asked = 0
        self.grow: Callable[[], None] = _do_nothing
        self._idle: deque[asyncio.Future[None]] = deque()
        self._fetchers: deque[asyncio.Future[None]] = deque()

    def put(self, items: Iterable[Delivery | list[Delivery]]) -> None:
        """Add items and wake a worker for them."""
        self.items.extend(items)
        self.hand_over()

    def hand_over(self) -> None:
        """Wake an idle worker, or ask for one more, if something waits."""
        if self.items and not _wake_first(self._idle):
            self.grow()

    def take(self) -> Delivery | list[Delivery] | None:
        """Return the next item, or None if there is none now."""
        if not self.items:
            return None
        item = self.items.popleft()
        self._call_fetcher()
        return item

    def borrow(self) -> Delivery | None:
        """Return the next message, if it is a single one; its place stays taken until it is put back, or spent."""
        if not self.items or isinstance(self.items[0], list):
            return None
        self._lent += 1
        item = self.items.popleft()
        assert isinstance(item, Delivery)
        return item

    def put_back(self, deliveries: list[Delivery]) -> None:
        """Take messages that were borrowed back to the front, in order."""
        if deliveries:
            self._lent -= len(deliveries)
            self.items.extendleft(reversed(deliveries))
            self.hand_over()

    def spend(self, count: int) -> None:
        """Free the places of borrowed messages that do not come back."""
        self._lent -= count
        self._call_fetcher()

    def _call_fetcher(self) -> None:
        if self._fetchers and self._has_room():
            self.fetching = _wake_first(self._fetchers)

    def _has_room(self) -> bool:
        held = len(self.items) + self._lent
        return held * 2 <= self.size and held + self._asked < self._limit

    async def wait(self) -> None:
        """Wait until there is something to take, or a reason to look whether one is needed at all."""
        if not self.items:
            await _join(self._idle)

    async def room(self, most: int) -> int:
        """Wait until at least half of the buffer is free, keep places for at most so many messages, and return how many."""
        while not self._has_room():
            await _join(self._fetchers)
        held = len(self.items) + self._lent
        count = min(most, self.size - held, self._limit - held - self._asked)
        self._asked += count
        return count

    def free(self, count: int) -> None:
        """Give up places that were kept for messages: they have come by now, or do not come."""
        self._asked -= count
        self._call_fetcher()

    def wake_idle(self) -> None:
        """Wake one idle worker so that it can see that it is not needed."""
        _wake_first(self._idle)


async def _join(waiting: deque[asyncio.Future[None]]) -> None:
    future = asyncio.get_running_loop().create_future()
    waiting.append(future)
    try:
        await future
    except asyncio.CancelledError:
        if future.done() and not future.cancelled():
            _wake_first(waiting)  # the wake-up was for somebody who leaves: hand it on
        raise
    finally:
        if future in waiting:
            waiting.remove(future)


def _wake_first(waiting: deque[asyncio.Future[None]]) -> bool:
    while waiting:
        future = waiting.popleft()
        if not future.done():
            future.set_result(None)
            return True
    return False


class Outbox:
    """Outcomes that wait for the settler."""

    def __init__(self) -> None:
        self.acks: list[Delivery] = []
        self.others: list[tuple[Delivery, Decision]] = []
        self.filled = asyncio.Event()

    def ack(self, delivery: Delivery) -> None:
        """Leave a finished message."""
        if not self.acks:
            self.filled.set()
        self.acks.append(delivery)

    def leave(self, delivery: Delivery, decision: Decision) -> None:
        """Leave any other outcome."""
        self.others.append((delivery, decision))
        self.filled.set()

    def empty(self) -> tuple[list[Delivery], list[tuple[Delivery, Decision]]]:
        """Take everything out."""
        acks, self.acks = self.acks, []
        others, self.others = self.others, []
        self.filled.clear()
        return acks, others


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """What a consumer is given: one queue and what it hangs on."""

    queue: str
    options: QueueOptions
    backend: Backend
    broker: Broker
    registry: Registry
    hooks: Hooks
    clock: Clock


class ConsumerState:
    """Everything the parts of one running consumer share. Made on the loop that it belongs to."""

    def __init__(self, wiring: Wiring, pause: Pause, recorder: Recorder) -> None:
        self.queue = wiring.queue
        self.options = wiring.options
        self.backend = wiring.backend
        self.broker = wiring.broker
        self.registry = wiring.registry
        self.hooks = wiring.hooks
        self.clock = wiring.clock
        self.monotonic = wiring.clock.monotonic
        self.pause = pause
        self.recorder = recorder
        self.loop = asyncio.get_running_loop()
        self.threads = wiring.clock.threads(self.loop, f"taskq-{wiring.queue}")
        self.buffer = Buffer(wiring.options.buffer)
        self.outbox = Outbox()
        self.owned: dict[int, Delivery] = {}
        self.progress = asyncio.Event()
        self.draining = False
        self.aborting = False
        self.reserve_calls = self.reserved = self.full_reserves = 0

    def own(self, reservations: list[Reservation]) -> list[Delivery]:
        """Return the deliveries of what was just reserved; they are extended from now on."""
        deliveries = [Delivery(reservation, self) for reservation in reservations]
        for delivery in deliveries:
            self.owned[id(delivery)] = delivery
        return deliveries

    def disown(self, delivery: Delivery) -> None:
        """Forget a delivery that is settled or lost."""
        self.owned.pop(id(delivery), None)
        self.progress.set()


def _do_nothing() -> None:
    """Stand in until the consumer says how it grows."""
