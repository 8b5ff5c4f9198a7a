"""The simulated broker: the in-memory backend, which writes down what happens to each message, and can fail.

Everything here is the truth as the broker sees it: calls arrive through `network`, which may lose or delay them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar, cast

import msgspec

from taskq.backends.base import DeadLetter
from taskq.backends.memory import Entry, MemoryBroker
from taskq.core.rate_limit import Grant
from taskq.message import Reservation
from taskq.options import QueueOptions, RateLimit
from taskq_testing.clock import VirtualClock
from taskq_testing.faults import Faults
from taskq_testing.history import History
from taskq_testing.loop import VirtualLoop
from taskq_testing.simulator.recorded import RecordedQueue, moment

__all__ = ["CALLER", "SimBroker", "SimQueue", "at_once"]

CALLER: ContextVar[str] = ContextVar("caller", default="broker")
"""The process whose call the broker carries out now."""

T = TypeVar("T")
Row = tuple[str, float, int, Entry]
"""State, when it changes by itself (loop seconds), receipt, and a copy of the entry."""


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that never waits: any of the in-memory backend's but `reserve`."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return cast(T, done.value)
    coroutine.close()
    raise AssertionError("a call of the in-memory backend waited")


class _Saved(msgspec.Struct, frozen=True):
    """What was on disk at one moment."""

    at: int
    queues: dict[str, list[Row]]
    taken: dict[bytes, float]
    expiry: list[tuple[float, bytes]]
    tats: dict[str, float]
    held: dict[str, tuple[str, float]]


class SimBroker(MemoryBroker):
    """All queues of one run, its locks and limits, with their history.

    Attributes:
        history: where it writes.
        faults: the faults of the run.
        op: the number of the producer's operation that is carried out now, or 0.
        down_until: it refuses connections before this moment (loop seconds).
    """

    writes = True
    recovery = 0.0
    """Its clients are told at once what becomes of a call, so that they wait for nothing after the last fault."""

    def __init__(self, loop: VirtualLoop, clock: VirtualClock, history: History, faults: Faults) -> None:
        super().__init__(clock)
        self.loop = loop
        self.history = history
        self.faults = faults
        self.op = 0
        self.down_until = 0.0
        self.queues: dict[str, SimQueue] = {}
        self._emptied: asyncio.Future[None] | None = None
        self._saved: _Saved | None = None

    def queue(self, name: str, options: QueueOptions) -> SimQueue:
        """Return the one queue of this name."""
        if name not in self.queues:
            self.queues[name] = SimQueue(self, name, options)
        return self.queues[name]

    def now(self) -> int:
        """Return the time in nanoseconds."""
        return self.loop.now

    def caller(self) -> str:
        """Return the process whose call is carried out now."""
        return CALLER.get()

    def write(self, kind: str, fields: dict[str, Any]) -> None:
        """Write down what happens now to the caller's call."""
        self.history.add(self.loop.now, kind, CALLER.get(), fields)

    def record(self, kind: str, **fields: object) -> None:
        """Do the same for those who have the fields one by one."""
        self.write(kind, fields)

    @property
    def unfinished(self) -> int:
        """How many messages are neither done nor dead."""
        return sum(queue.unfinished for queue in self.queues.values())

    def when_empty(self) -> asyncio.Future[None]:
        """Return what is done once no message is unfinished."""
        if self._emptied is None or self._emptied.done():
            self._emptied = self.loop.create_future()
        self.settled()
        return self._emptied

    def settled(self) -> None:
        """Tell who waits for it if that was the last unfinished message."""
        if self._emptied is not None and not self._emptied.done() and not self.unfinished:
            self._emptied.set_result(None)

    # -- the small stores

    def take(self, key: str, limit: RateLimit, n: int) -> Grant:
        """Ask the rate limit."""
        grant = at_once(self.limiter.take(key, limit, n))
        self.record("grant", key=key, n=grant.allowed)
        return grant

    def refund(self, key: str, limit: RateLimit, unused: int, grant: Grant) -> None:
        """Give unused grants back."""
        at_once(self.limiter.refund(key, limit, unused, grant))
        self.record("refund", key=key, n=unused, due=moment(grant.granted_at))

    def acquire(self, key: str, owner: str, ttl: float) -> bool:
        """Take or renew a lock."""
        held = at_once(self.locks.acquire(key, owner, ttl))
        expires = self.loop.now + moment(ttl) if held else 0
        self.record("locked" if held else "lock_denied", key=key, owner=owner, expires=expires)
        return held

    def unlock(self, key: str, owner: str) -> None:
        """Free a lock."""
        at_once(self.locks.unlock(key, owner))
        self.record("unlocked", key=key, owner=owner)

    # -- failing

    def save(self) -> None:
        """Remember what is on disk now; `restart` with a rollback goes back to it."""
        rows = {name: queue.dump() for name, queue in self.queues.items()}
        dedup = self.dedup
        self._saved = _Saved(
            self.loop.now, rows, dict(dedup.taken), list(dedup.expiry), dict(self.limiter.tats), dict(self.locks.held)
        )

    def suffer(self, name: str, downtime: float) -> bool:
        """Meet a fault of the broker; return whether it breaks every connection."""
        self.restart(downtime, rollback=name == "broker_rollback")
        return True

    def restart(self, downtime: float, *, rollback: bool) -> None:
        """Break every connection and refuse new ones for a while; with a rollback, forget what came after `save`."""
        self.down_until = self.loop.time() + downtime
        saved = self._saved
        if not rollback or saved is None:
            return
        self.record("rolled_back", due=saved.at)
        for name, queue in self.queues.items():
            queue.load(saved.queues.get(name, []))
        self.dedup.taken, self.dedup.expiry = dict(saved.taken), list(saved.expiry)
        self.limiter.tats, self.locks.held = dict(saved.tats), dict(saved.held)
        self.settled()


class SimQueue(RecordedQueue):
    """One queue of the simulated broker.

    Attributes:
        loop: its time.
    """

    def __init__(self, broker: SimBroker, name: str, options: QueueOptions) -> None:
        super().__init__(broker, name, options, broker)
        self.loop = broker.loop

    @property
    def unfinished(self) -> int:
        """How many messages are ready, delayed or reserved."""
        return len(self._ready) + len(self._delayed) + len(self._reserved)

    # -- waiting

    def look(self, n: int) -> list[Reservation]:
        """Take up to `n` messages now."""
        return self._take(n, self._monotonic())

    def join(self, waker: asyncio.Future[None]) -> float:
        """Have a future resolved when a message comes; return the loop's time at which one may be ready without that."""
        self._waiters.append((self.loop, waker))
        return self._next_change()

    def leave(self, waker: asyncio.Future[None]) -> None:
        """Wait no more."""
        waiter = (self.loop, waker)
        if waiter in self._waiters:
            self._waiters.remove(waiter)

    def wake_another(self) -> None:
        """Tell the next who waits: a message is there, and who was told of it has left."""
        self._wake_one()

    # -- failing

    def dump(self) -> list[Row]:
        """Return copies of everything that is here and its state."""
        copied = msgspec.structs.replace
        return [
            *(("ready", 0.0, 0, copied(entry)) for entry in self._ready),
            *(("delayed", due, 0, copied(entry)) for due, _, entry in sorted(self._delayed, key=lambda row: row[:2])),
            *(("reserved", entry.expires_at, receipt, copied(entry)) for receipt, entry in self._reserved.items()),
            *(
                ("dead", 0.0, receipt, Entry(letter.id, letter.body, copy=self.copies[receipt]))
                for receipt, letter in self._dead.items()
            ),
        ]

    def load(self, rows: list[Row]) -> None:
        """Become what `dump` returned; receipts given out since then own nothing."""
        reasons = {receipt: letter.reason for receipt, letter in self._dead.items()}
        self._ready.clear()
        self._delayed.clear()
        self._reserved.clear()
        self._expiry.clear()
        self._dead.clear()
        for state, at, receipt, saved in rows:
            entry = msgspec.structs.replace(saved)
            if state == "ready":
                self._ready.append(entry)
            elif state == "delayed":
                self._put(entry, max(1e-9, at - self._monotonic()))
            elif state == "reserved":
                self._reserved[receipt] = entry
                self._check_at(entry.expires_at, receipt, entry)
            else:
                self._dead[receipt] = DeadLetter(entry.id, entry.body, reasons.get(receipt, ""), receipt)
            due, expires = (moment(at), 0) if state == "delayed" else (0, moment(at))
            self._record("restored", entry.id, entry.copy, outcome=state, receipt=receipt, due=due, expires=expires)
