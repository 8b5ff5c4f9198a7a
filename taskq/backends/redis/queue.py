"""The Redis backend of one queue: what the runtime asks for, as scripts and commands, and their answers in our words."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import weakref
from collections.abc import Sequence
from typing import Any

import msgspec

from taskq.backends.base import Capabilities, DeadLetter, Outgoing, Size
from taskq.backends.redis.deployment import Deployment
from taskq.backends.redis.errors import code_of
from taskq.backends.redis.keys import GROUP, Keys
from taskq.backends.redis.links import Link, Rescued
from taskq.backends.redis.routes import Steps
from taskq.backends.redis.scripts import ACK, BURY, EXTEND, LEAVE, PROMOTE, PURGE, RECOVER, REDRIVE, RELEASE, SIZE, SWEEP
from taskq.backends.redis.sending import Lane, sending, trips
from taskq.errors import BackendError, ReservationLost
from taskq.message import Reservation, printable
from taskq.options import QueueOptions

__all__ = ["BlockingRedisBackend", "RedisBackend"]

logger = logging.getLogger("taskq")

_POLL = 0.5
"""Seconds at most between two looks for delayed messages that are due."""

_BREATH = 0.005
"""Seconds at least between them."""

_SWEEP = 3600.0
_AWAY = 6 * 3600.0
"""Seconds between two looks for consumers that went away, and after which one that owns nothing counts as such (Go: 6 h)."""

_STRAY = 3.0
"""Seconds after which what the server gave this consumer and never arrived is not on its way any more."""

_SUSPICION = 10.0
"""Seconds for which such messages are looked for after a trip that failed."""

_FAREWELL = 0.2
"""Seconds that signing off may take."""

_MANY = 1000
_LONG_AGO = float("-inf")


class RedisBackend:
    """One queue on Redis, for any number of event loops."""

    capabilities = Capabilities(dedup=True, resolution=0.001, fifo=True, max_batch=_MANY, wait=1.0)

    def __init__(self, deployment: Deployment, name: str, options: QueueOptions) -> None:
        self._deployment = deployment
        self._clock = deployment.clock
        self._options = options
        self._name = name
        self.keys = Keys(name)
        self._begin()
        if options.dedup_compatible and deployment.connector.is_cluster:
            # Go's dedup keys lie in slots of their own: the name is taken first and given back if the message is not added.
            self.capabilities = msgspec.structs.replace(self.capabilities, dedup=False)
        self._senders: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Sender] = weakref.WeakKeyDictionary()
        self._recover_at = self._sweep_at = self._suspect_until = _LONG_AGO

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._consumer = self._deployment.consumer_name()
        self._owned: dict[bytes, float] = {}

    @property
    def consumer(self) -> bytes:
        """The name of this process's consumer; a forked child is another one, and owns nothing yet."""
        if self._pid != os.getpid():
            self._begin()
        return self._consumer

    # -- adding

    async def send(self, batch: Sequence[Outgoing]) -> Sequence[Exception | None]:
        """Add messages in order; while the server is away, try again for the queue's `send_timeout`."""
        loop = asyncio.get_running_loop()
        sender = self._senders.get(loop)
        if sender is None:
            sender = self._senders[loop] = _Sender(self, self._deployment.link(), self._deployment.new_lane())
        return await sender.send(batch)

    def trip(self, link: Any, lane: Lane, batch: Sequence[Outgoing]) -> Steps[list[Exception | None]]:
        """Return the steps of one trip of a lane."""
        return sending(link.routes, self.keys, lane, batch, self._clock, self._options.send_timeout)

    # -- reserving

    async def reserve(self, n: int, wait: float) -> list[Reservation]:
        """Take up to `n` messages, waiting up to `wait` seconds for the first."""
        try:
            return await self._reserve(n, wait)
        except BackendError as error:
            if not _group_is_missing(error):
                self._suspect()
                raise
        await self._make_group()
        return await self._reserve(n, wait)

    async def _reserve(self, n: int, wait: float) -> list[Reservation]:
        began = self._clock.monotonic()
        block = (b"BLOCK", max(1, int(wait * 1000))) if wait > 0 else ()
        words = (b"XREADGROUP", b"GROUP", GROUP, self.consumer, b"COUNT", n, *block, b"STREAMS", self.keys.stream, b">")
        try:
            answer = await self._deployment.call(self.keys.stream, *words, wait=wait)
            if not answer:
                return []
            return await self._reservations(answer, min(self._clock.monotonic(), began + wait))
        except Rescued as rescued:
            await self._give_back(rescued.answer, began)
            raise
        except asyncio.CancelledError:
            self._suspect()
            raise

    async def _give_back(self, answer: Any, since: float) -> None:
        """Release what came to somebody who has left; what cannot be released is treated as if it had not arrived."""
        try:
            for reservation in await self._reservations(answer, since):
                await self.release(reservation, 0.0)
        except (BackendError, asyncio.CancelledError):
            for receipt, _ in answer[0][1]:
                self._owned.pop(receipt, None)
            self._suspect()

    async def _reservations(self, answer: Any, since: float) -> list[Reservation]:
        expires_at = since + self._options.reservation_timeout
        taken = []
        for receipt, fields in answer[0][1]:
            if receipt in self._owned and self._owned[receipt] > since:
                continue  # the server lost its group and gives out again what is here already
            if fields and fields[0] == b"body" and len(fields) == 2:
                taken.append(Reservation(receipt, fields[1], receipt, 1, expires_at))
            else:
                found = dict(zip(fields[::2], fields[1::2], strict=True))
                if b"body" not in found:
                    await self._quarantine(receipt, fields)
                    continue
                deliveries = _count(found.get(b"deliveries"))
                taken.append(Reservation(receipt, found[b"body"], receipt, deliveries + 1, expires_at))
        for reservation in taken:
            self._owned[reservation.receipt] = expires_at
        return taken

    async def _quarantine(self, receipt: bytes, fields: Sequence[bytes]) -> None:
        """Put an entry that is no message among the dead letters as it is."""
        logger.error("entry %s of queue %r has no body and was put with the dead letters", printable(receipt), self._name)
        reason = b"it has no body: nobody but taskq may write to this stream"
        keys = self.keys.stream, self.keys.dead
        await self._deployment.run(BURY, keys, GROUP, self.consumer, receipt, b"reason", reason, *fields)

    async def _make_group(self) -> None:
        words = (b"XGROUP", b"CREATE", self.keys.stream, GROUP, b"0", b"MKSTREAM")
        with contextlib.suppress(BackendError):  # it exists by now, or the next command tells what is wrong
            await self._deployment.call(self.keys.stream, *words)
            logger.info("queue %r was set up on Redis at %s", self._name, self._deployment.connector.where)

    # -- settling

    async def ack(self, reservations: Sequence[Reservation]) -> Sequence[bool]:
        """Remove finished messages; False for each that was no longer owned."""
        if not reservations:
            return []
        receipts = [reservation.receipt for reservation in reservations]
        lost = set(await self._deployment.run(ACK, (self.keys.stream,), GROUP, *receipts))
        for receipt in receipts:
            self._owned.pop(receipt, None)
        return [receipt not in lost for receipt in receipts]

    async def release(self, reservation: Reservation, delay: float) -> None:
        """Give a message back with `reservation.body`, which starts a new count of deliveries."""
        receipt, milliseconds = reservation.receipt, -int(-delay * 1000 // 1)
        keys = self.keys.stream, self.keys.delayed
        answer = await self._deployment.run(RELEASE, keys, GROUP, self.consumer, receipt, reservation.body, milliseconds)
        self._settled(reservation, answer)

    async def dead_letter(self, reservation: Reservation, reason: str) -> None:
        """Put a message aside, intact."""
        fields = (b"reason", reason.encode(errors="replace"), b"body", reservation.body)
        keys = self.keys.stream, self.keys.dead
        answer = await self._deployment.run(BURY, keys, GROUP, self.consumer, reservation.receipt, *fields)
        self._settled(reservation, answer)

    async def extend(self, reservation: Reservation, by: float) -> Reservation:
        """Own it until `by` seconds from now, at most until a whole reservation timeout from now."""
        now = self._clock.monotonic()
        timeout = self._options.reservation_timeout
        idle = max(0, int((timeout - by) * 1000))
        if not await self._deployment.run(EXTEND, (self.keys.stream,), GROUP, self.consumer, reservation.receipt, idle):
            raise self._lost(reservation)
        expires_at = now + min(by, timeout)
        self._owned[reservation.receipt] = expires_at
        return msgspec.structs.replace(reservation, expires_at=expires_at)

    def _settled(self, reservation: Reservation, answer: int) -> None:
        if not answer:
            raise self._lost(reservation)
        self._owned.pop(reservation.receipt, None)

    def _lost(self, reservation: Reservation) -> ReservationLost:
        self._owned.pop(reservation.receipt, None)
        return ReservationLost(f"message {printable(reservation.id)} is no longer owned; nothing was changed")

    # -- housekeeping

    async def chores(self) -> float:
        """Make due what is due, recover what dead consumers owned; return the seconds until there may be more to do."""
        now = self._clock.monotonic()
        moved, wait = _MANY, -1
        while moved == _MANY:
            keys = (self.keys.stream, self.keys.delayed)
            locks = () if self._deployment.connector.is_cluster else (self.keys.scheduler_lock,)
            moved, wait = await self._deployment.run(PROMOTE, keys + locks, _MANY)
        if now >= self._recover_at:
            await self._recover(now)
        if now >= self._sweep_at:
            await self._deployment.inspect()
            await self._deployment.run(SWEEP, (self.keys.stream,), GROUP, int(_AWAY * 1000))
            self._sweep_at = now + _SWEEP
        return max(_BREATH, min(_POLL, wait / 1000 if wait >= 0 else _POLL, self._recover_at - now))

    async def _recover(self, now: float) -> None:
        timeout = self._options.reservation_timeout
        while await self._deployment.run(RECOVER, (self.keys.stream,), GROUP, int(timeout * 1000), _MANY) == _MANY:
            pass
        self._owned = {receipt: until for receipt, until in self._owned.items() if until + timeout > now}
        suspicious = now < self._suspect_until
        if suspicious:
            await self._recover_strays()
        self._recover_at = now + min(1.0 if suspicious else 5.0, max(0.1, timeout / 20))

    def _suspect(self) -> None:
        """Look, for a while, whether messages were on their way to us in an answer that was lost."""
        self._suspect_until = self._clock.monotonic() + _SUSPICION
        self._recover_at = _LONG_AGO

    async def _recover_strays(self) -> None:
        """Make ready what the server gave to this consumer in an answer that was lost."""
        age = int(_STRAY * 1000)
        words = (b"XPENDING", self.keys.stream, GROUP, b"IDLE", age, b"-", b"+", _MANY, self.consumer)
        try:
            pending = await self._deployment.call(self.keys.stream, *words)
        except BackendError as error:
            if _group_is_missing(error):
                return
            raise
        strays = [receipt for receipt, *_ in pending if receipt not in self._owned]
        if strays:
            await self._deployment.run(RECOVER, (self.keys.stream,), GROUP, b"ids", *strays)
            logger.info("%d messages of queue %r had not arrived and are ready again", len(strays), self._name)

    # -- looking after

    async def size(self) -> Size:
        """Count the messages by state."""
        keys = (self.keys.stream, self.keys.delayed, self.keys.dead)
        ready, delayed, reserved, dead = await self._deployment.run(SIZE, keys, GROUP)
        return Size(ready=max(0, ready), delayed=delayed, reserved=reserved, dead=dead)

    async def purge(self) -> int:
        """Drop all ready and delayed messages; reserved ones and dead letters stay."""
        dropped, more = 0, 1
        while more:
            count, more = await self._deployment.run(PURGE, (self.keys.stream, self.keys.delayed), GROUP, _MANY)
            dropped += count
        return dropped

    async def dead_letters(self, limit: int) -> list[DeadLetter]:
        """Return the oldest dead letters, at most `limit`."""
        if limit < 1:
            return []
        words = (b"XRANGE", self.keys.dead, b"-", b"+", b"COUNT", limit)
        return [_letter(key, fields) for key, fields in await self._deployment.call(self.keys.dead, *words)]

    async def redrive(self, letters: Sequence[DeadLetter]) -> int:
        """Make these ready again, with `letter.body` as their bodies; return how many still were there."""
        words = [word for letter in letters for word in (letter.key, letter.body)]
        return int(await self._deployment.run(REDRIVE, (self.keys.dead, self.keys.stream), *words))

    async def discard(self, letters: Sequence[DeadLetter]) -> int:
        """Delete these; return how many still were there."""
        if not letters:
            return 0
        words = (b"XDEL", self.keys.dead, *(letter.key for letter in letters))
        return int(await self._deployment.call(self.keys.dead, *words))

    async def aclose(self) -> None:
        """Sign this consumer off, if it owns nothing; messages stay. A server that is away forgets it by itself, later."""
        with contextlib.suppress(BackendError, TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                await self._deployment.run(LEAVE, (self.keys.stream,), GROUP, self.consumer)


class BlockingRedisBackend(RedisBackend):
    """The same, and producers in threads send without an event loop."""

    def send_blocking(self, batch: Sequence[Outgoing]) -> Sequence[Exception | None]:
        """Add messages in order, from any thread."""
        link = self._deployment.blocking_link()
        lane = self._deployment.borrow_lane()
        try:
            return [answer for part in trips(batch) for answer in link.do(self.trip(link, lane, part))]
        finally:
            self._deployment.return_lane(lane)


class _Sender:
    """Sends of one event loop: those that come while a trip is under way share the next one."""

    def __init__(self, backend: RedisBackend, link: Link, lane: Lane) -> None:
        self._backend = backend
        self._link = link
        self._lane = lane
        self._waiting: list[tuple[Sequence[Outgoing], asyncio.Future[list[Exception | None]]]] = []
        self._busy = False
        self._follower: asyncio.Task[None] | None = None

    async def send(self, batch: Sequence[Outgoing]) -> list[Exception | None]:
        if self._busy:
            future: asyncio.Future[list[Exception | None]] = asyncio.get_running_loop().create_future()
            self._waiting.append((batch, future))
            return await future
        self._busy = True
        try:
            return await self._travel(batch)
        finally:
            if self._waiting:
                self._follower = asyncio.create_task(self._follow())
            else:
                self._busy = False

    async def _travel(self, batch: Sequence[Outgoing]) -> list[Exception | None]:
        answers: list[Exception | None] = []
        for part in trips(batch):
            answers += await self._link.do(self._backend.trip(self._link, self._lane, part))
        return answers

    async def _follow(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = [each for each in self._waiting if not each[1].done()], []
                try:
                    answers = await self._travel([outgoing for batch, _ in waiting for outgoing in batch])
                except BackendError as error:
                    for _, future in waiting:
                        _fail(future, error)
                    continue
                for batch, future in waiting:
                    mine, answers = answers[: len(batch)], answers[len(batch) :]
                    if not future.done():
                        future.set_result(mine)
        finally:
            self._busy = False
            for _, future in self._waiting:
                future.cancel()


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _group_is_missing(error: BackendError) -> bool:
    cause = error.__cause__
    return isinstance(cause, Exception) and code_of(cause) == "NOGROUP"


def _count(text: bytes | None) -> int:
    return int(text) if text is not None and text.isdigit() else 0


def _letter(key: bytes, fields: Sequence[bytes]) -> DeadLetter:
    found = dict(zip(fields[::2], fields[1::2], strict=True))
    reason = found.get(b"reason", b"").decode(errors="replace")
    return DeadLetter(key, found.get(b"body", b""), reason, key)
