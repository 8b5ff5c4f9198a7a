"""The in-memory backend: a deque, two heaps and a few dicts under one lock, by an injected clock. No policy.

Broker time is the clock's monotonic time. Bodies travel encoded, so that what passes here passes elsewhere.
Any thread and any event loop may use one broker at the same time; nothing survives the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import os
import threading
import weakref
from collections import deque
from collections.abc import Sequence

import msgspec

from taskq.backends.base import Capabilities, Clock, DeadLetter, Outgoing, Size
from taskq.backends.memory_stores import MemoryDedup, MemoryLocks, MemoryRateLimiter
from taskq.errors import DuplicateMessageError, MessageTooLarge, ReservationLost
from taskq.message import Reservation, printable
from taskq.options import QueueOptions

__all__ = ["Entry", "Held", "MemoryBackend", "MemoryBroker"]

_brokers: weakref.WeakSet[MemoryBroker] = weakref.WeakSet()
_FOREVER = float("inf")


class Entry(msgspec.Struct, gc=False):
    """One live message.

    `deliveries` counts those since its last outcome, `checked_at` is when its expiry is looked at next, and `copy` tells
    copies of one message apart, which only a simulator makes.
    """

    id: bytes
    body: bytes
    deliveries: int = 0
    expires_at: float = 0.0
    checked_at: float = 0.0
    copy: int = 0


class Held(msgspec.Struct, frozen=True):
    """One message as it lies in memory.

    Attributes:
        id: its id.
        body: its encoded body.
        state: ready, delayed, reserved or dead.
        at: when it becomes due or its reservation expires, by the clock's monotonic time; 0 where nothing is awaited.
        reason: why it is dead.
    """

    id: bytes
    body: bytes
    state: str
    at: float = 0.0
    reason: str = ""


class MemoryBroker:
    """All queues of one app, and their shared dedup names, rate limits and locks."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lock = threading.Lock()
        self.dedup = MemoryDedup(self)
        self.limiter = MemoryRateLimiter(self)
        self.locks = MemoryLocks(self)
        self._queues: dict[str, MemoryBackend] = {}
        _brokers.add(self)

    def queue(self, name: str, options: QueueOptions) -> MemoryBackend:
        """Return the one backend of this queue; its reservations last `options.reservation_timeout` seconds."""
        backend = self._queues.get(name)
        if backend is None:
            backend = self._queues[name] = MemoryBackend(self, options)
        return backend

    async def aclose(self) -> None:
        """Do nothing: the messages live as long as this object."""


class MemoryBackend:
    """One queue in memory. Everything that changes it holds the broker's lock, and never awaits while it does."""

    capabilities = Capabilities(dedup=True, resolution=1e-6, fifo=True, durable=False)

    def __init__(self, broker: MemoryBroker, options: QueueOptions) -> None:
        self._broker = broker
        self._monotonic = broker.clock.monotonic
        self._timeout = options.reservation_timeout
        self._max_size = options.max_message_size
        self._ready: deque[Entry] = deque()
        self._delayed: list[tuple[float, int, Entry]] = []
        self._reserved: dict[int, Entry] = {}
        self._expiry: list[tuple[float, int, tuple[int, ...]]] = []
        self._dead: dict[int, DeadLetter] = {}
        self._waiters: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()
        self._sequence = 0

    # -- adding

    async def send(self, batch: Sequence[Outgoing]) -> Sequence[Exception | None]:
        """Add messages in order; never waits."""
        return self.send_blocking(batch)

    def send_blocking(self, batch: Sequence[Outgoing]) -> Sequence[Exception | None]:
        """Add messages in order, from any thread."""
        with self._broker.lock:
            answers = [self._add(outgoing) for outgoing in batch]
            woken = self._pop_waiters(len(batch)) if self._waiters else ()
        for waiter in woken:
            _wake(*waiter)
        return answers

    def _add(self, outgoing: Outgoing) -> Exception | None:
        claim = outgoing.claim
        if self._max_size is not None and len(outgoing.body) > self._max_size:
            return MessageTooLarge(len(outgoing.body), self._max_size)
        if claim is not None and not self._broker.dedup.take(claim.key, claim.ttl, self._monotonic()):
            return DuplicateMessageError(claim.key.hex())
        self._put(Entry(outgoing.id, outgoing.body), outgoing.delay)
        return None

    def _put(self, entry: Entry, delay: float) -> None:
        if delay > 0:
            self._sequence += 1
            heapq.heappush(self._delayed, (self._monotonic() + delay, self._sequence, entry))
        else:
            self._ready.append(entry)

    # -- reserving

    async def reserve(self, n: int, wait: float) -> list[Reservation]:
        """Take up to `n` messages, waiting up to `wait` seconds for the first."""
        deadline = self._monotonic() + wait
        while True:
            with self._broker.lock:
                now = self._monotonic()
                taken = self._take(n, now)
                if taken or now >= deadline:
                    return taken
                waiter = (asyncio.get_running_loop(), asyncio.get_running_loop().create_future())
                self._waiters.append(waiter)
                timeout = min(deadline, self._next_change()) - now
            await self._wait(waiter, timeout)

    def _take(self, n: int, now: float) -> list[Reservation]:
        self._promote(now)
        count = min(n, len(self._ready))
        if not count:
            return []
        expires_at = now + self._timeout
        first = self._sequence + 1
        self._sequence += count
        taken = []
        for receipt in range(first, first + count):
            entry = self._ready.popleft()
            entry.deliveries += 1
            entry.expires_at = entry.checked_at = expires_at
            self._reserved[receipt] = entry
            taken.append(Reservation(entry.id, entry.body, receipt, entry.deliveries, expires_at))
        heapq.heappush(self._expiry, (expires_at, first, tuple(range(first, first + count))))
        return taken

    def _promote(self, now: float) -> None:
        """Make due what is due: delayed messages, and those whose reservation expired."""
        while self._delayed and self._delayed[0][0] <= now:
            self._come_due(heapq.heappop(self._delayed)[2])
        while self._expiry and self._expiry[0][0] <= now:
            check, _, receipts = heapq.heappop(self._expiry)
            for receipt in receipts:
                entry = self._reserved.get(receipt)
                if entry is None or entry.checked_at != check:
                    continue
                if entry.expires_at <= now:
                    self._expire(receipt, entry)
                else:  # it was extended meanwhile
                    self._check_at(entry.expires_at, receipt, entry)

    def _come_due(self, entry: Entry) -> None:
        self._ready.append(entry)

    def _expire(self, receipt: int, entry: Entry) -> None:
        del self._reserved[receipt]
        self._ready.append(entry)

    def _check_at(self, time: float, receipt: int, entry: Entry) -> None:
        entry.checked_at = time
        heapq.heappush(self._expiry, (time, receipt, (receipt,)))

    def _next_change(self) -> float:
        delayed = self._delayed[0][0] if self._delayed else _FOREVER
        return min(delayed, self._expiry[0][0]) if self._expiry else delayed

    async def _wait(self, waiter: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]], timeout: float) -> None:
        loop, future = waiter
        timer = loop.call_later(max(0.0, timeout), _resolve, future) if timeout < _FOREVER else None
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():  # the wake-up was ours: hand it on, or a message waits for nobody
                self._wake_one()
            raise
        finally:
            if timer is not None:
                timer.cancel()
            with self._broker.lock:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)

    def _pop_waiters(self, count: int) -> list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]]:
        return [self._waiters.popleft() for _ in range(min(count, len(self._waiters)))]

    def _wake_one(self) -> None:
        with self._broker.lock:
            woken = self._pop_waiters(1)
        for waiter in woken:
            _wake(*waiter)

    # -- settling

    async def ack(self, reservations: Sequence[Reservation]) -> Sequence[bool]:
        """Remove finished messages; False for each that was no longer owned."""
        with self._broker.lock:
            self._promote(self._monotonic())
            return [self._reserved.pop(reservation.receipt, None) is not None for reservation in reservations]

    async def release(self, reservation: Reservation, delay: float) -> None:
        """Give a message back with `reservation.body`, which starts a new count of deliveries."""
        with self._broker.lock:
            entry = self._own(reservation)
            del self._reserved[reservation.receipt]
            self._put(Entry(entry.id, reservation.body, copy=entry.copy), delay)
        self._wake_one()

    async def extend(self, reservation: Reservation, by: float) -> Reservation:
        """Own it until `by` seconds from now."""
        with self._broker.lock:
            entry = self._own(reservation)
            entry.expires_at = self._monotonic() + by
            if entry.expires_at < entry.checked_at:
                self._check_at(entry.expires_at, reservation.receipt, entry)
            return msgspec.structs.replace(reservation, expires_at=entry.expires_at)

    async def dead_letter(self, reservation: Reservation, reason: str) -> None:
        """Put a message aside, intact."""
        with self._broker.lock:
            entry = self._own(reservation)
            del self._reserved[reservation.receipt]
            self._dead[reservation.receipt] = DeadLetter(entry.id, entry.body, reason, reservation.receipt)

    def _own(self, reservation: Reservation) -> Entry:
        self._promote(self._monotonic())
        entry = self._reserved.get(reservation.receipt)
        if entry is None:
            raise ReservationLost(f"message {printable(reservation.id)} is no longer owned; nothing was changed")
        return entry

    # -- looking after

    async def size(self) -> Size:
        """Count the messages by state."""
        with self._broker.lock:
            self._promote(self._monotonic())
            return Size(ready=len(self._ready), delayed=len(self._delayed), reserved=len(self._reserved), dead=len(self._dead))

    def messages(self) -> list[Held]:
        """Return everything that is here and in which state: for tests and for people, who may look at any time."""
        with self._broker.lock:
            self._promote(self._monotonic())
            return [
                *(Held(entry.id, entry.body, "ready") for entry in self._ready),
                *(Held(entry.id, entry.body, "delayed", due) for due, _, entry in sorted(self._delayed, key=lambda row: row[:2])),
                *(Held(entry.id, entry.body, "reserved", entry.expires_at) for entry in self._reserved.values()),
                *(Held(letter.id, letter.body, "dead", reason=letter.reason) for letter in self._dead.values()),
            ]

    async def purge(self) -> int:
        """Drop all ready and delayed messages; reserved ones and dead letters stay."""
        with self._broker.lock:
            count = len(self._ready) + len(self._delayed)
            self._ready.clear()
            self._delayed.clear()
        return count

    async def dead_letters(self, limit: int) -> list[DeadLetter]:
        """Return the oldest dead letters, at most `limit`."""
        with self._broker.lock:
            return [letter for _, letter in zip(range(limit), self._dead.values(), strict=False)]

    async def redrive(self, letters: Sequence[DeadLetter]) -> int:
        """Make these ready again, with `letter.body` as their bodies; return how many still were there."""
        with self._broker.lock:
            found = [letter for letter in letters if self._dead.pop(letter.key, None) is not None]
            for letter in found:
                self._put(Entry(letter.id, letter.body), 0.0)
            woken = self._pop_waiters(len(found))
        for waiter in woken:
            _wake(*waiter)
        return len(found)

    async def discard(self, letters: Sequence[DeadLetter]) -> int:
        """Delete these; return how many still were there."""
        with self._broker.lock:
            return sum(self._dead.pop(letter.key, None) is not None for letter in letters)

    async def aclose(self) -> None:
        """Do nothing: the messages live as long as the broker."""


def _wake(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
    if asyncio._get_running_loop() is loop:  # noqa: SLF001 - the documented form raises where no loop runs
        _resolve(future)
        return
    with contextlib.suppress(RuntimeError):  # the waiter's loop is closed; nobody waits there
        loop.call_soon_threadsafe(_resolve, future)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _renew_locks() -> None:
    """Give a forked child fresh locks: a thread that held one does not exist there."""
    for broker in list(_brokers):
        broker.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)
