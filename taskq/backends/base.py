"""What a backend is: protocols and the values that cross them. No policy and no I/O.

A `Broker` is one connection to a service; it hands out one `Backend` per queue and the small stores that queues share.
Methods are coroutines, may be called from several event loops, and translate their vendor's errors into taskq's.
Where a call is cancelled, a backend leaves no reservation behind that it cannot expire.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import msgspec

from taskq.core.dedup import Claim
from taskq.core.rate_limit import Grant
from taskq.message import Reservation
from taskq.options import QueueOptions, RateLimit

__all__ = [
    "Backend",
    "BlockingSender",
    "Broker",
    "Capabilities",
    "Chores",
    "Clock",
    "DeadLetter",
    "DeadLetters",
    "DedupStore",
    "LockStore",
    "Machine",
    "Outgoing",
    "RateLimiter",
    "Size",
    "Stores",
    "Threads",
]

T = TypeVar("T")


class Machine(Protocol):
    """What is free where a consumer runs, as shares from 0 to 1."""

    def cpu_free(self, interval: float) -> float:
        """Return the share of one CPU that this process left unused in the last `interval` seconds."""

    def memory_free(self) -> float:
        """Return the share of the memory that is available."""


class Threads(Protocol):
    """The threads of one consumer, where sync handlers run."""

    def submit(self, call: Callable[[], Any]) -> asyncio.Future[BaseException | None]:
        """Run `call` in a thread and return a future of what it raises, or None. To be called on the loop."""

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and return its result. To be called in one of the threads, which waits for it."""

    def close(self) -> None:
        """Let the threads end when they are free."""


class Clock(Protocol):
    """Time, randomness, and where things run, as everything above the core sees them; `runtime.clock` implements it."""

    def now(self) -> float:
        """Return unix seconds."""

    def monotonic(self) -> float:
        """Return seconds that never go back, from an arbitrary origin."""

    def random(self) -> float:
        """Return a draw from [0, 1)."""

    def new_id(self) -> bytes:
        """Return an identifier that no other process makes."""

    def beside(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> Callable[[], Coroutine[Any, Any, None]]:
        """Run a coroutine where a blocked event loop cannot starve it; return what cancels it and waits for its end."""

    def threads(self, loop: asyncio.AbstractEventLoop, name: str) -> Threads:
        """Return threads for the sync handlers of one consumer."""

    def machine(self) -> Machine:
        """Return what measures what is free here."""


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a backend promises; the rest of taskq asks this, never which backend it is.

    Attributes:
        dedup: `send` claims and adds atomically; otherwise the queue claims first and gives the claim back on failure.
        max_delay: the longest delay in seconds that one `send` or `release` keeps, and is given; None means no limit. The rest
            of a longer one travels in the message (`core.delay`).
        resolution: the smallest difference in time, in seconds, that it tells apart.
        max_message_size: bytes of an encoded message; None means no limit.
        max_batch: messages of one `send` or `ack`; None means no limit.
        extend: reservations can be prolonged.
        fifo: one consumer without retries and delays sees messages in the order they were added.
        durable: accepted messages survive a restart of this process.
        wait: seconds for which a reserve waits for messages unless the queue says otherwise.
        together: how many calls of `release`, `extend` or `dead_letter` are best made at one time, for they share trips.
    """

    dedup: bool
    max_delay: float | None = None
    resolution: float = 0.001
    max_message_size: int | None = None
    max_batch: int | None = None
    extend: bool = True
    fifo: bool = False
    durable: bool = True
    wait: float = 10.0
    together: int = 1


class Outgoing(msgspec.Struct, frozen=True):
    """One encoded message on its way to a backend.

    Attributes:
        id: what identifies it; a send repeated with the same id adds once where the backend can tell.
        body: the encoded message.
        delay: seconds before it may be reserved.
        claim: its dedup key and how long that stays taken; None means no deduplication.
    """

    id: bytes
    body: bytes
    delay: float = 0.0
    claim: Claim | None = None


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How many messages of a queue are in which state."""

    ready: int = 0
    delayed: int = 0
    reserved: int = 0
    dead: int = 0


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that was given up, intact, with the reason.

    Attributes:
        id: its id.
        body: its encoded body as it was received.
        reason: one sentence.
        key: what the backend finds it by.
    """

    id: bytes
    body: bytes
    reason: str
    key: Any = None


class Backend(Protocol):
    """One queue of a service."""

    capabilities: Capabilities

    async def send(self, batch: Sequence[Outgoing]) -> Sequence[Exception | None]:
        """Add messages in order and return one answer for each.

        None means accepted; a `DuplicateMessageError` that its key is taken and nothing was added; another exception
        why this one was refused.

        Raises:
            BackendUnavailable: nothing of the batch is known to be added.
        """

    async def reserve(self, n: int, wait: float) -> list[Reservation]:
        """Take up to `n` messages, waiting up to `wait` seconds for the first."""

    async def ack(self, reservations: Sequence[Reservation]) -> Sequence[bool]:
        """Remove finished messages; False for each that was no longer owned (which changed nothing)."""

    async def release(self, reservation: Reservation, delay: float) -> None:
        """Give a message back, with `reservation.body` as its body, to be reserved after `delay` seconds.

        Raises:
            ReservationLost: it was no longer owned; nothing changed.
        """

    async def extend(self, reservation: Reservation, by: float) -> Reservation:
        """Own it until `by` seconds from now; return the reservation with its new `expires_at`.

        Raises:
            ReservationLost: it was no longer owned; nothing changed.
        """

    async def dead_letter(self, reservation: Reservation, reason: str) -> None:
        """Put a message aside, intact.

        Raises:
            ReservationLost: it was no longer owned; nothing changed.
        """

    async def size(self) -> Size:
        """Count the messages by state."""

    async def purge(self) -> int:
        """Drop all ready and delayed messages and return how many; reserved ones and dead letters stay."""

    async def aclose(self) -> None:
        """Let go of what this queue holds on the connection; messages stay."""


@runtime_checkable
class BlockingSender(Protocol):
    """A backend whose send needs no event loop, so that synchronous producers pay no hop."""

    def send_blocking(self, batch: Sequence[Outgoing]) -> Sequence[Exception | None]:
        """Do what `send` does, from any thread."""


@runtime_checkable
class DeadLetters(Protocol):
    """A backend whose dead letters can be looked at, put back and dropped."""

    async def dead_letters(self, limit: int) -> list[DeadLetter]:
        """Return the oldest dead letters, at most `limit`."""

    async def redrive(self, letters: Sequence[DeadLetter]) -> int:
        """Make these ready again, with `letter.body` as their bodies; return how many still were there."""

    async def discard(self, letters: Sequence[DeadLetter]) -> int:
        """Delete these; return how many still were there."""


@runtime_checkable
class Chores(Protocol):
    """A backend that needs housekeeping now and then, such as recovering what dead consumers owned."""

    async def chores(self) -> float:
        """Do one round; return the seconds until the next one."""


class DedupStore(Protocol):
    """Remembers names, for backends that cannot claim and add in one step."""

    async def claim(self, key: bytes, ttl: float) -> bool:
        """Take a key for `ttl` seconds; False if it is taken. Errors of the store are raised, never an answer."""

    async def unclaim(self, key: bytes) -> None:
        """Free a key whose message was not added."""


class RateLimiter(Protocol):
    """A rate limit that all processes share."""

    async def take(self, key: str, limit: RateLimit, n: int) -> Grant:
        """Ask to start up to `n` messages now."""

    async def refund(self, key: str, limit: RateLimit, unused: int, grant: Grant) -> None:
        """Give back what was granted and not used; how much that still is worth is `core.rate_limit.refund`'s to say."""


class LockStore(Protocol):
    """Named locks with an owner and a time to live, which all processes share."""

    async def acquire(self, key: str, owner: str, ttl: float) -> bool:
        """Take the lock for `ttl` seconds; False if another owner holds it. Renews one's own."""

    async def unlock(self, key: str, owner: str) -> None:
        """Free the lock if `owner` still holds it."""


class Stores(Protocol):
    """What the queues of an app share. A broker of Redis has it all, and so has any object of a user's own."""

    @property
    def dedup(self) -> DedupStore:
        """Remembers names."""

    @property
    def limiter(self) -> RateLimiter:
        """Limits rates."""

    @property
    def locks(self) -> LockStore:
        """Holds locks."""

    async def aclose(self) -> None:
        """Let go of what they hold."""


class Broker(Stores, Protocol):
    """One connection to a service."""

    def queue(self, name: str, options: QueueOptions) -> Backend:
        """Return the backend of one queue; no I/O happens here."""

    async def aclose(self) -> None:
        """Close the connection. Messages stay where they are durable."""
