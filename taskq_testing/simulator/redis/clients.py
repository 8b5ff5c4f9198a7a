"""The production Redis broker as an app has it whose processes all share one Python process: each has a broker of its own.

Which process calls is seen from the domain that runs. A process that begins again, begins with a new broker, as in real life:
with another consumer name, other connections, and nothing remembered. Only sends are written down here, for what a producer
is told is nothing that a server knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from taskq.backends.base import Clock, DeadLetter, Outgoing, Size
from taskq.backends.redis import RedisBroker
from taskq.backends.redis.queue import BlockingRedisBackend
from taskq.core.rate_limit import Grant
from taskq.errors import BackendError, DuplicateMessageError
from taskq.message import Reservation, printable
from taskq.options import QueueOptions, RateLimit
from taskq_testing.loop import Domain, current_domain
from taskq_testing.simulator.recorded import task_of
from taskq_testing.simulator.redis.connections import connector_of, links_of
from taskq_testing.simulator.redis.wires import Wires

__all__ = ["RedisClients"]


class RedisClients:
    """A `Broker` that is each process's own.

    Args:
        wires: the way to the server.
        clock: of the process that runs.
    """

    def __init__(self, wires: Wires, clock: Clock) -> None:
        self.wires = wires
        self.dedup = _Dedup(self)
        self.limiter = _Limiter(self)
        self.locks = _Locks(self)
        self._clock = clock
        self._brokers: dict[Domain | None, RedisBroker] = {}
        self._queues: dict[str, _Queue] = {}

    @property
    def own(self) -> RedisBroker:
        """The broker of the process that runs now."""
        domain = current_domain()
        broker = self._brokers.get(domain)
        if broker is None:
            wires = self.wires
            broker = self._brokers[domain] = RedisBroker(connector_of(wires, wires.link()), self._clock, links_of(wires))
        return broker

    def queue(self, name: str, options: QueueOptions) -> _Queue:
        """Return the queue of this name."""
        if name not in self._queues:
            self._queues[name] = _Queue(self, name, options)
        return self._queues[name]

    async def aclose(self) -> None:
        """Close the connections of the process that runs now."""
        await self.own.aclose()


class _Dedup:
    def __init__(self, clients: RedisClients) -> None:
        self._clients = clients

    async def claim(self, key: bytes, ttl: float) -> bool:
        return await self._clients.own.dedup.claim(key, ttl)

    async def unclaim(self, key: bytes) -> None:
        await self._clients.own.dedup.unclaim(key)


class _Limiter:
    def __init__(self, clients: RedisClients) -> None:
        self._clients = clients

    async def take(self, key: str, limit: RateLimit, n: int) -> Grant:
        return await self._clients.own.limiter.take(key, limit, n)

    async def refund(self, key: str, limit: RateLimit, unused: int, grant: Grant) -> None:
        wires = self._clients.wires
        with wires.broker.limits.refunding(wires.link().process, key, unused, grant):
            await self._clients.own.limiter.refund(key, limit, unused, grant)


class _Locks:
    def __init__(self, clients: RedisClients) -> None:
        self._clients = clients

    async def acquire(self, key: str, owner: str, ttl: float) -> bool:
        return await self._clients.own.locks.acquire(key, owner, ttl)

    async def unlock(self, key: str, owner: str) -> None:
        await self._clients.own.locks.unlock(key, owner)


class _Queue:
    """One queue: a `Backend`, a `BlockingSender`, with `Chores` and `DeadLetters`."""

    def __init__(self, clients: RedisClients, name: str, options: QueueOptions) -> None:
        self.capabilities = BlockingRedisBackend.capabilities
        self._clients = clients
        self._name = name
        self._options = options

    @property
    def _own(self) -> BlockingRedisBackend:
        backend = self._clients.own.queue(self._name, self._options)
        assert isinstance(backend, BlockingRedisBackend)
        return backend

    # -- adding

    async def send(self, batch: Sequence[Outgoing]) -> Sequence[Exception | None]:
        """Add messages."""
        sending = _Sending(self._clients.wires, self._name, batch)
        try:
            return sending.answered(await self._own.send(batch))
        except BackendError as error:
            sending.failed(error)
            raise

    def send_blocking(self, batch: Sequence[Outgoing]) -> Sequence[Exception | None]:
        """Add messages from sync code: a handler's thread waits in virtual time, code on the loop has one try."""
        sending = _Sending(self._clients.wires, self._name, batch)
        try:
            return sending.answered(self._own.send_blocking(batch))
        except BackendError as error:
            sending.failed(error)
            raise

    # -- everything else

    async def reserve(self, n: int, wait: float) -> list[Reservation]:
        """Take messages."""
        return await self._own.reserve(n, wait)

    async def ack(self, reservations: Sequence[Reservation]) -> Sequence[bool]:
        """Remove finished messages."""
        return await self._own.ack(reservations)

    async def release(self, reservation: Reservation, delay: float) -> None:
        """Give a message back."""
        await self._own.release(reservation, delay)

    async def extend(self, reservation: Reservation, by: float) -> Reservation:
        """Own it longer."""
        return await self._own.extend(reservation, by)

    async def dead_letter(self, reservation: Reservation, reason: str) -> None:
        """Put a message aside."""
        await self._own.dead_letter(reservation, reason)

    async def size(self) -> Size:
        """Count the messages by state."""
        return await self._own.size()

    async def purge(self) -> int:
        """Drop what is ready or delayed."""
        return await self._own.purge()

    async def chores(self) -> float:
        """Do one round of housekeeping."""
        return await self._own.chores()

    async def dead_letters(self, limit: int) -> list[DeadLetter]:
        """Return the oldest dead letters."""
        return await self._own.dead_letters(limit)

    async def redrive(self, letters: Sequence[DeadLetter]) -> int:
        """Make dead letters ready again."""
        return await self._own.redrive(letters)

    async def discard(self, letters: Sequence[DeadLetter]) -> int:
        """Delete dead letters."""
        return await self._own.discard(letters)

    async def aclose(self) -> None:
        """Sign this process's consumer off."""
        await self._own.aclose()


class _Sending:
    """What a producer is told of one send."""

    def __init__(self, wires: Wires, queue: str, batch: Sequence[Outgoing]) -> None:
        self._wires = wires
        self._batch = batch
        self._process = wires.link().process
        self._numbers = [self._begin(queue, outgoing) for outgoing in batch]

    def _begin(self, queue: str, outgoing: Outgoing) -> int:
        wires, claim, message = self._wires, outgoing.claim, printable(outgoing.id)
        wires.operations += 1
        wires.broker.operations[message] = wires.operations
        key, ttl = (claim.key.hex(), claim.ttl) if claim is not None else ("", 0.0)
        wires.record(
            "add", self._process, op=wires.operations, queue=queue, message=message, task=task_of(outgoing.body)[0],
            delay=outgoing.delay, key=key, ttl=ttl,
        )  # fmt: skip
        return wires.operations

    def answered(self, answers: Sequence[Exception | None]) -> Sequence[Exception | None]:
        """Write down each answer."""
        for (op, outgoing), answer in zip(self._each(), answers, strict=True):
            message = printable(outgoing.id)
            if answer is None:
                self._wires.record("accepted", self._process, op=op, message=message)
            elif isinstance(answer, DuplicateMessageError):
                key = outgoing.claim.key.hex() if outgoing.claim is not None else ""
                self._wires.record("duplicate", self._process, op=op, message=message, key=key)
            else:
                self._wires.record("refused", self._process, op=op, message=message, reason=str(answer))
        return answers

    def failed(self, error: BackendError) -> None:
        """Write down that nobody knows."""
        for op, outgoing in self._each():
            self._wires.record("unknown", self._process, op=op, message=printable(outgoing.id), reason=str(error))

    def _each(self) -> Iterator[tuple[int, Outgoing]]:
        return zip(self._numbers, self._batch, strict=True)
