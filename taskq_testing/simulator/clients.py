"""The broker as simulated processes reach it: the protocols of `taskq.backends.base`, each call over the network."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from taskq.backends.base import Capabilities, Outgoing, Size
from taskq.core.rate_limit import Grant
from taskq.errors import BackendError, BackendUnavailable
from taskq.message import Reservation
from taskq.options import QueueOptions, RateLimit
from taskq_testing.simulator.broker import CALLER, SimQueue, at_once
from taskq_testing.simulator.network import Network
from taskq_testing.simulator.recorded import add_of, answer_to, printable
from taskq_testing.simulator.waiting import Waiting

__all__ = ["NetworkBroker"]

T = TypeVar("T")


class NetworkBroker:
    """A `Broker` whose calls travel.

    Args:
        network: carries them.
        capabilities: what its queues claim to do.
    """

    def __init__(self, network: Network, capabilities: Capabilities) -> None:
        self.network = network
        self.dedup = _Dedup(network)
        self.limiter = _Limiter(network)
        self.locks = _Locks(network)
        self._capabilities = capabilities
        self._queues: dict[str, _Queue] = {}

    def queue(self, name: str, options: QueueOptions) -> _Queue:
        """Return the queue of this name."""
        if name not in self._queues:
            self._queues[name] = _Queue(self.network, self.network.broker.queue(name, options), self._capabilities)
        return self._queues[name]

    async def aclose(self) -> None:
        """Do nothing: the run closes its broker."""


class _Dedup:
    def __init__(self, network: Network) -> None:
        self._network = network

    async def claim(self, key: bytes, ttl: float) -> bool:
        store = self._network.broker.dedup
        return await self._network.call("claim", lambda: at_once(store.claim(key, ttl)), key.hex())

    async def unclaim(self, key: bytes) -> None:
        store = self._network.broker.dedup
        await self._network.call("unclaim", lambda: at_once(store.unclaim(key)), key.hex())


class _Limiter:
    def __init__(self, network: Network) -> None:
        self._network = network

    async def take(self, key: str, limit: RateLimit, n: int) -> Grant:
        return await self._network.call("take", lambda: self._network.broker.take(key, limit, n))

    async def refund(self, key: str, limit: RateLimit, unused: int, grant: Grant) -> None:
        await self._network.call("refund", lambda: self._network.broker.refund(key, limit, unused, grant))


class _Locks:
    def __init__(self, network: Network) -> None:
        self._network = network

    async def acquire(self, key: str, owner: str, ttl: float) -> bool:
        return await self._network.call("acquire", lambda: self._network.broker.acquire(key, owner, ttl))

    async def unlock(self, key: str, owner: str) -> None:
        await self._network.call("unlock", lambda: self._network.broker.unlock(key, owner))


class _Queue:
    """One queue; a `Backend` and a `BlockingSender`."""

    def __init__(self, network: Network, queue: SimQueue, capabilities: Capabilities) -> None:
        self.capabilities = capabilities
        self._network = network
        self._queue = queue

    # -- adding

    async def send(self, batch: Sequence[Outgoing]) -> Sequence[Exception | None]:
        """Add messages."""
        ops = self._begin(batch)
        try:
            answers = await self._network.call("send", lambda: self._add(batch, ops), _subject(batch))
        except BackendUnavailable as error:
            self._failed(batch, ops, error)
            raise
        self._ended(batch, ops, answers)
        return answers

    def send_blocking(self, batch: Sequence[Outgoing]) -> Sequence[Exception | None]:
        """Add messages at once, from code that cannot wait; the network may still lose the call or its answer."""
        network, ops = self._network, self._begin(batch)
        try:
            answers = network.call_blocking("send", lambda: self._add(batch, ops), _subject(batch))
        except BackendUnavailable as error:
            self._failed(batch, ops, error)
            raise
        self._ended(batch, ops, answers)
        return answers

    def _begin(self, batch: Sequence[Outgoing]) -> list[int]:
        process, ops = self._network.link().process, []
        for outgoing in batch:
            self._network.operations += 1
            ops.append(self._network.operations)
            self._network.record("add", process, **add_of(self._queue.name, outgoing, ops[-1]))
        return ops

    def _add(self, batch: Sequence[Outgoing], ops: list[int]) -> list[Exception | None]:
        answers: list[Exception | None] = []
        for outgoing, op in zip(batch, ops, strict=True):
            self._network.broker.op = op
            answers.extend(self._queue.send_blocking((outgoing,)))
        return answers

    def _ended(self, batch: Sequence[Outgoing], ops: list[int], answers: Sequence[Exception | None]) -> None:
        process = self._network.link().process
        for outgoing, op, answer in zip(batch, ops, answers, strict=True):
            kind, fields = answer_to(outgoing, op, answer)
            self._network.record(kind, process, **fields)

    def _failed(self, batch: Sequence[Outgoing], ops: list[int], error: BackendError) -> None:
        process = self._network.link().process
        for outgoing, op in zip(batch, ops, strict=True):
            self._network.record("unknown", process, op=op, message=printable(outgoing.id), reason=str(error))

    # -- reserving

    async def reserve(self, n: int, wait: float) -> list[Reservation]:
        """Take messages; one that is cancelled while its answer is under way gives back what that brings."""
        network = self._network
        trip = network.send("reserve", lambda: self._grab(n, wait), "")
        try:
            return list(await trip.answer)
        except asyncio.CancelledError:
            network.hang_up(trip)
            await self._give_back(await trip.late())
            raise
        finally:
            del trip  # as in `Network.call`

    def _grab(self, n: int, wait: float) -> list[Reservation] | Waiting:
        taken = self._queue.look(n)
        return taken if taken or wait <= 0 else Waiting(self._queue, n, self._network.loop.time() + wait)

    async def _give_back(self, late: object) -> None:
        with contextlib.suppress(BackendError):  # what cannot be given back comes back by itself when its time is over
            for reservation in late if isinstance(late, list) else ():
                await self.release(reservation, 0.0)

    # -- settling

    async def ack(self, reservations: Sequence[Reservation]) -> Sequence[bool]:
        """Remove finished messages."""
        subject = printable(reservations[0].id) if reservations else ""
        return await self._network.call("ack", lambda: at_once(self._queue.ack(reservations)), subject)

    async def release(self, reservation: Reservation, delay: float) -> None:
        """Give a message back."""
        await self._settle("release", reservation, lambda: at_once(self._queue.release(reservation, delay)))

    async def extend(self, reservation: Reservation, by: float) -> Reservation:
        """Own it longer; from the moment the call was sent, for that is what a client knows of the broker's time."""
        sent = self._network.loop.time()
        extended = await self._settle("extend", reservation, lambda: at_once(self._queue.extend(reservation, by)))
        return msgspec.structs.replace(extended, expires_at=min(extended.expires_at, sent + by))

    async def dead_letter(self, reservation: Reservation, reason: str) -> None:
        """Put a message aside."""
        await self._settle("dead_letter", reservation, lambda: at_once(self._queue.dead_letter(reservation, reason)))

    async def _settle(self, what: str, reservation: Reservation, effect: Callable[[], T]) -> T:
        return await self._network.call(what, effect, f"{printable(reservation.id)}#{reservation.deliveries}")

    # -- looking after

    async def size(self) -> Size:
        """Count the messages by state."""
        return await self._network.call("size", self._size)

    def _size(self) -> Size:
        size = at_once(self._queue.size())
        self._network.record("size", CALLER.get(), queue=self._queue.name, data=msgspec.structs.asdict(size))
        return size

    async def purge(self) -> int:
        """Drop what is ready or delayed."""
        return await self._network.call("purge", lambda: at_once(self._queue.purge()))

    async def aclose(self) -> None:
        """Do nothing: the run closes its broker."""


def _subject(batch: Sequence[Outgoing]) -> str:
    return printable(batch[0].id) if batch else ""
