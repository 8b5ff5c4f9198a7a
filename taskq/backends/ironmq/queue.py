"""The IronMQ backend of one queue: what the runtime asks for as HTTP calls, and their answers in our words.

A message's body cannot be changed where it lies. So whatever gives it another one (a retry counts the attempt there) posts a
copy and deletes the original, in this order: what comes between leaves two, never none.
"""

from __future__ import annotations

import asyncio
import logging
import math
import weakref
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from taskq.backends.base import Capabilities, Clock, DeadLetter, Outgoing, Size
from taskq.backends.ironmq.calls import LONGEST_RESERVATION, LONGEST_WAIT, MOST, Draft, Owned
from taskq.backends.ironmq.dead import discard, listed, redrive
from taskq.backends.ironmq.errors import Lost, Refusal
from taskq.backends.ironmq.link import Links
from taskq.backends.ironmq.mailbox import GONE, OK, Mailbox, patiently, queue_is_missing
from taskq.backends.ironmq.receipt import Receipt, Turns
from taskq.backends.ironmq.sending import Posted, Sender
from taskq.backends.ironmq.text import DeadRecord, counted, size_in_json, text_of, write_dead
from taskq.errors import BackendError, BackendUnavailable, ConfigError, MessageTooLarge, ReservationLost
from taskq.message import Reservation
from taskq.options import QueueOptions

__all__ = ["IronMQBackend"]

T = TypeVar("T")
logger = logging.getLogger("taskq")

_LONGEST_DELAY = 7 * 86_400.0
_GRACE = 0.1
"""Seconds for which a reserve that is cancelled waits for an answer that may be on its way: what it brings is given back."""

_POLL = 0.25
"""Seconds between two looks where the service cannot wait for so short a time."""

_CLOSE = 10.0
"""Seconds that a reservation has to last at least for a copy to be posted without asking first whether it still is ours."""

_NOT_OURS = (403, GONE)
_HEAD = 4096
"""Bytes that a dead letter may have beside the message's text."""


class IronMQBackend:
    """One queue on IronMQ, for any number of event loops.

    Args:
        links: the way to the service.
        clock: time.
        name: of the queue.
        options: its policy.

    Raises:
        ConfigError: the service cannot keep a reservation for so long.
    """

    def __init__(self, links: Links, clock: Clock, name: str, options: QueueOptions) -> None:
        if options.reservation_timeout > LONGEST_RESERVATION:
            raise ConfigError(
                f"reservation_timeout={options.reservation_timeout!r} is too long for IronMQ; give at most {LONGEST_RESERVATION}"
            )
        self._room = links.settings.request_limit - _HEAD
        self.capabilities = Capabilities(
            dedup=False,
            max_delay=_LONGEST_DELAY,
            resolution=1.0,
            max_message_size=self._room * 4 // 5,
            max_batch=MOST,
            together=16,
        )
        self._clock = clock
        self._options = options
        self._name = name
        self._timeout = max(1, math.ceil(options.reservation_timeout))
        self._live = Mailbox(links, name, self._timeout)
        self._dead = Mailbox(links, f"{name}-dead", self._timeout)
        self._limit = links.settings.request_limit
        self._turns = Turns()
        self._senders: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Sender] = weakref.WeakKeyDictionary()
        self._work: set[asyncio.Task[Any]] = set()

    # -- adding

    async def send(self, batch: Sequence[Outgoing]) -> Sequence[Exception | None]:
        """Add messages in order; while the service cannot take them, try again for the queue's `send_timeout`.

        One whose answer was lost is not sent again, for that could add it twice.
        """
        loop = asyncio.get_running_loop()
        sender = self._senders.get(loop)
        if sender is None:
            sender = self._senders[loop] = Sender(self._post_one_trip, self._limit)
        refused: dict[int, MessageTooLarge] = {}
        posted = iter(await sender.send(self._written(batch, refused)))
        return [refused[index] if index in refused else _refused(next(posted)) for index in range(len(batch))]

    def _written(self, batch: Sequence[Outgoing], refused: dict[int, MessageTooLarge]) -> Iterator[list[Draft]]:
        """Write messages, as many at a time as one request takes, and note those that are too large for any."""
        for start in range(0, len(batch), MOST):
            drafts = []
            for index, outgoing in enumerate(batch[start : start + MOST], start):
                text = text_of(outgoing.body)
                size = size_in_json(text)
                if size > self._room:
                    refused[index] = MessageTooLarge(size, self._room)
                else:
                    drafts.append(Draft(text, _whole(outgoing.delay), size))
            yield drafts

    async def _post_one_trip(self, drafts: Sequence[Draft]) -> Posted:
        return await patiently(lambda: self._live.post(drafts), self._clock, self._options.send_timeout)

    # -- reserving

    async def reserve(self, n: int, wait: float) -> list[Reservation]:
        """Take up to `n` messages (100 at most), waiting up to `wait` seconds for the first."""
        task = asyncio.create_task(self._reserve(min(n, MOST), wait))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await self._abandon(task)
            raise

    async def _abandon(self, task: asyncio.Task[list[Reservation]]) -> None:
        """End a reserve; what an answer brings that was on its way is given back, for the service would keep it hidden."""
        try:
            await asyncio.wait((task,), timeout=_GRACE)
        finally:
            task.cancel()
        await asyncio.wait((task,))
        if task.cancelled() or task.exception() is not None:
            return
        taken = task.result()
        size = self.capabilities.together
        for start in range(0, len(taken), size):
            releases = (self.release(reservation, 0.0) for reservation in taken[start : start + size])
            await asyncio.gather(*releases, return_exceptions=True)  # what fails comes back when its time is over

    async def _reserve(self, n: int, wait: float) -> list[Reservation]:
        deadline, left = self._clock.monotonic() + wait, wait
        counting = True
        while True:
            taken, again = await self._take(n, int(min(left, LONGEST_WAIT)))
            if again and not counting:  # once a call, so that it ends whatever the service counts
                taken, again = taken + again, []
            elif again:
                counting = False
                taken += await self._to_its_end(self._count_again(again))
            left = max(0.0, deadline - self._clock.monotonic())
            if taken or not (left or again):
                return taken
            if not again:
                await asyncio.sleep(min(left, _POLL))

    async def _take(self, n: int, seconds: int) -> tuple[list[Reservation], list[Reservation]]:
        """Reserve once; return the messages that nobody has reserved before, and those that somebody has."""
        await self._live.ensure()
        began = self._clock.monotonic()
        try:
            content = await self._live.do(self._live.calls.reserve(n, self._timeout, seconds))
        except Refusal as refusal:
            if refusal.status != GONE:
                raise
            if queue_is_missing(refusal):
                self._live.forget()
            return [], []
        try:
            found = msgspec.convert(content.get("messages"), list[_Delivered], strict=False)
        except msgspec.ValidationError as error:
            raise BackendError(f"IronMQ answered with something else than messages of queue {self._name!r}: {error}") from None
        expires_at = min(self._clock.monotonic(), began + seconds) + self._timeout
        new: list[Reservation] = []
        old: list[Reservation] = []
        for each in found:
            receipt = Receipt(Owned(str(each.id), each.reservation_id), each.body, each.reserved_count, expires_at)
            reservation = Reservation(receipt.id.encode(), receipt.body, receipt, receipt.deliveries, expires_at)
            (new if each.reserved_count <= 1 or not receipt.readable else old).append(reservation)
        return new, old

    async def _count_again(self, reservations: Sequence[Reservation]) -> list[Reservation]:
        """Put back, with one delivery more on their count, messages whose deliveries cannot be told from their extensions.

        The service counts both alike, so that a long job whose worker died would look like one that kills its workers.

        Returns:
            Those that could not be put back.
        """
        receipts = [reservation.receipt for reservation in reservations]
        drafts = [Draft(counted(receipt.text, receipt.before + 1)) for receipt in receipts]
        try:
            posted = await self._live.post(drafts)
        except BackendUnavailable:
            return list(reservations)
        pairs = [(receipt, copy) for receipt, copy in zip(receipts, posted, strict=True) if isinstance(copy, str)]
        await patiently(
            lambda: self._replace(self._live, [receipt for receipt, _ in pairs], [copy for _, copy in pairs]),
            self._clock,
            self._options.send_timeout,
            repeatable=True,
        )
        return [each for each, copy in zip(reservations, posted, strict=True) if not isinstance(copy, str)]

    # -- settling

    async def ack(self, reservations: Sequence[Reservation]) -> Sequence[bool]:
        """Remove finished messages; False for each that was no longer owned."""
        receipts = [reservation.receipt for reservation in reservations]
        async with self._turns.of(receipts):
            owned = [receipt for receipt in receipts if not receipt.gone]
            removed = set()
            for start in range(0, len(owned), MOST):
                part = owned[start : start + MOST]
                removed |= {id(receipt) for receipt, ok in zip(part, await self._delete(part), strict=True) if ok}
            for receipt in owned:
                receipt.gone = id(receipt) in removed
            return [id(receipt) in removed or self._was_unheard(receipt) for receipt in receipts]

    async def release(self, reservation: Reservation, delay: float) -> None:
        """Give a message back with `reservation.body`, which starts a new count of deliveries."""
        receipt, seconds = reservation.receipt, _whole(delay)

        async def release() -> None:
            if reservation.body != receipt.body:
                await self._move(receipt, self._live, Draft(text_of(reservation.body), seconds))
            elif receipt.deliveries * 2 > self._options.poison_limit:  # so many times given back that it must not count
                await self._move(receipt, self._live, Draft(counted(receipt.text, 0), seconds))
            else:
                await self._do_owned(receipt, lambda: self._live.do(self._live.calls.release(receipt.owned, seconds)))

        await self._settle(receipt, release)

    async def dead_letter(self, reservation: Reservation, reason: str) -> None:
        """Put a message aside, intact."""
        receipt = reservation.receipt
        draft = Draft(write_dead(DeadRecord(receipt.text, receipt.id, reason)))
        await self._settle(receipt, lambda: self._move(receipt, self._dead, draft))

    async def extend(self, reservation: Reservation, by: float) -> Reservation:
        """Own it until `by` seconds from now, in whole ones, a day at most."""
        receipt = reservation.receipt

        async def extend() -> None:
            async with self._turns.of((receipt,)):
                if receipt.gone:
                    raise _lost(receipt)
                await self._touch(receipt, min(max(1, math.ceil(by)), LONGEST_RESERVATION))

        await self._to_its_end(extend())  # one that is cut off costs the reservation: nobody hears what it is called now
        return msgspec.structs.replace(reservation, expires_at=receipt.expires_at)

    async def _settle(self, receipt: Receipt, settle: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Settle one message to the end; one that is given up already can be settled by those who have not heard of it."""

        async def alone() -> None:
            async with self._turns.of((receipt,)):
                if receipt.gone and not self._was_unheard(receipt):
                    raise _lost(receipt)
                if not receipt.gone:
                    await settle()
                    receipt.gone = True

        try:
            await self._to_its_end(alone())
        except asyncio.CancelledError:
            receipt.unheard = True
            raise

    @staticmethod
    def _was_unheard(receipt: Receipt) -> bool:
        was, receipt.unheard = receipt.unheard and receipt.gone, False
        return was

    async def _move(self, receipt: Receipt, target: Mailbox, draft: Draft) -> None:
        """Let a copy with another text take a message's place; what is tried again does not post it again."""
        if receipt.expires_at - self._clock.monotonic() < min(_CLOSE, self._timeout / 3):
            await self._touch(receipt, self._timeout)
        if receipt.copy is None:
            (answer,) = await target.post([draft])
            if isinstance(answer, BackendError):
                raise answer
            receipt.copy = answer
        (ours,) = await self._replace(target, [receipt], [receipt.copy])
        if not ours:
            receipt.copy = None
            raise _lost(receipt)

    async def _replace(self, target: Mailbox, receipts: Sequence[Receipt], copies: Sequence[str]) -> list[bool]:
        """Delete messages whose copies are posted; take those copies back whose messages were no longer owned."""
        ours = await self._delete(receipts)
        await target.delete([Owned(copy) for copy, ok in zip(copies, ours, strict=True) if not ok])
        return ours

    async def _delete(self, receipts: Sequence[Receipt]) -> list[bool]:
        """Delete messages; False for each that was no longer owned.

        One that is gone within its time was deleted by a call of ours, whose answer was lost or which was refused for another.
        """
        try:
            statuses = await self._live.delete([receipt.owned for receipt in receipts])
        except BaseException:
            for receipt in receipts:
                receipt.tried = True
            raise
        now = self._clock.monotonic()
        refused = len(receipts) > 1 and set(statuses) != {OK}
        return [
            status == OK or (status == GONE and (refused or receipt.tried) and now < receipt.expires_at)
            for receipt, status in zip(receipts, statuses, strict=True)
        ]

    async def _touch(self, receipt: Receipt, seconds: int) -> None:
        began = self._clock.monotonic()
        content = await self._do_owned(receipt, lambda: self._live.do(self._live.calls.touch(receipt.owned, seconds)))
        reservation = content.get("reservation_id")
        if not reservation:
            raise Lost(f"IronMQ did not say what the reservation of message {receipt.id} is called now")
        receipt.reservation, receipt.expires_at = str(reservation), began + seconds

    async def _do_owned(self, receipt: Receipt, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            return await call()
        except Refusal as refusal:
            if refusal.status in _NOT_OURS:
                raise _lost(receipt) from None
            raise

    async def _to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for something that goes on although the caller is cancelled."""
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return await asyncio.shield(task)

    # -- looking after

    async def size(self) -> Size:
        """Count the messages. The service does not tell ready, delayed and reserved ones apart: all count as ready."""
        return Size(ready=await self._live.size() or 0, dead=await self._dead.size() or 0)

    async def purge(self) -> int:
        """Drop all messages but dead letters. The service drops reserved ones too: what runs now is not tried again."""
        count = await self._live.size()
        if count is None:
            return 0
        await self._live.do(self._live.calls.clear())
        return count

    async def dead_letters(self, limit: int) -> list[DeadLetter]:
        """Return the oldest dead letters, at most `limit`, and at most 100: the service shows no more."""
        return await listed(self._dead, limit)

    async def redrive(self, letters: Sequence[DeadLetter]) -> int:
        """Make these ready again, with `letter.body` as their bodies; return how many still were there."""
        return await redrive(self._dead, self._live, letters)

    async def discard(self, letters: Sequence[DeadLetter]) -> int:
        """Delete these; return how many still were there."""
        return await discard(self._dead, letters)

    async def aclose(self) -> None:
        """Wait for what is under way on this event loop; messages stay."""
        loop = asyncio.get_running_loop()
        under_way = [task for task in self._work if task.get_loop() is loop]
        await asyncio.gather(*under_way, return_exceptions=True)


class _Delivered(msgspec.Struct):
    """A reserved message as the service describes it."""

    id: str | int
    body: str
    reservation_id: str = ""
    reserved_count: int = 1


def _whole(seconds: float) -> int:
    """Return whole seconds, rounded up: nothing is early, and no delay is none."""
    return max(1, math.ceil(round(seconds, 6))) if seconds > 0 else 0


def _refused(answer: str | BackendError) -> BackendError | None:
    return answer if isinstance(answer, BackendError) else None


def _lost(receipt: Receipt) -> ReservationLost:
    return ReservationLost(f"message {receipt.id} is no longer owned; nothing was changed")
