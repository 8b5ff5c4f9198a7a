"""The SQS backend of one queue: what the runtime asks for as trips of lanes, and what came of them in our words.

A release sends the message anew before it deletes the old one, so that nothing is lost between the two; what is given back
unchanged is made visible at once. Rejected for the wait of a delay: to keep the message invisible instead. Each wait would
count as a delivery, against a redrive policy too; what waits would be among the 120,000 that may be in flight; and its time to
live would run on.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec

from taskq.backends.base import Capabilities, DeadLetter, Outgoing, Size
from taskq.backends.sqs.lanes import Lane
from taskq.backends.sqs.letters import Letters
from taskq.backends.sqs.places import Place
from taskq.backends.sqs.polls import Found, Polls
from taskq.backends.sqs.receipts import Receipt
from taskq.backends.sqs.service import Service
from taskq.backends.sqs.settings import dead_name
from taskq.backends.sqs.texts import (
    LONGEST_DELAY,
    UNTIL,
    body_of,
    text_of,
    whole_seconds,
    with_rest_of_go,
    with_until,
)
from taskq.backends.sqs.trips import Again, Outbound, Visibility, change_visibility, delete, send
from taskq.core.retry import backoff
from taskq.errors import BackendUnavailable, ConfigError, ReservationLost
from taskq.message import Reservation, printable
from taskq.options import QueueOptions

__all__ = ["LONGEST_VISIBILITY", "SqsBackend"]

T = TypeVar("T")

LONGEST_VISIBILITY = 12 * 3600
"""Seconds for which SQS lets anybody own a message, from its delivery on."""

_TRANSIT = 5
"""Seconds less that are asked for, because SQS began to count before the message arrived."""

_LARGEST = 1024 * 1024 * 4 // 5 - 2048
"""Bytes of a message that fit into SQS's 1 MiB as ascii85, with room for what stands beside."""

_TRIPS = 8
_RETRY, _RETRY_MAX = 0.1, 2.0


class _Lanes:
    """The calls of one event loop that share trips."""

    def __init__(self, backend: SqsBackend) -> None:
        self.sends: Lane[Outbound] = backend.lane_for(backend.place)
        self.burials: Lane[Outbound] = backend.lane_for(backend.dead)
        self.deletions: Lane[Visibility] = Lane(partial(backend.in_thread, delete), _TRIPS)
        self.changes: Lane[Visibility] = Lane(partial(backend.in_thread, change_visibility), _TRIPS)


class SqsBackend:
    """One queue on SQS, for any number of event loops.

    Attributes:
        place: the queue in SQS.
        dead: that of its dead letters.
    """

    capabilities = Capabilities(
        dedup=False,
        max_delay=float(LONGEST_DELAY),
        resolution=1.0,
        max_message_size=_LARGEST,
        wait=5.0,
        together=100,
    )
    at_once = 10
    """Messages that one call may bring."""

    def __init__(self, service: Service, name: str, options: QueueOptions) -> None:
        if options.reservation_timeout > LONGEST_VISIBILITY:
            raise ConfigError(
                f"reservation_timeout={options.reservation_timeout} of queue {name!r} is more than the "
                f"{LONGEST_VISIBILITY} seconds for which SQS lets anybody own a message; lower it"
            )
        self._service = service
        self._options = options
        self._now = service.clock.now
        self._monotonic = service.clock.monotonic
        visibility = whole_seconds(options.reservation_timeout)
        full = service.settings.queue_name(name)
        self.place = Place(service, full, visibility)
        self.dead = Place(service, dead_name(full), visibility)
        self._polls = Polls(service, self.place, visibility, self.at_once)
        self._letters = Letters(service, self.place, self.dead)
        self._lanes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Lanes] = weakref.WeakKeyDictionary()

    # -- trips

    @property
    def _lane(self) -> _Lanes:
        loop = asyncio.get_running_loop()
        lanes = self._lanes.get(loop)
        if lanes is None:
            lanes = self._lanes[loop] = _Lanes(self)
        return lanes

    def lane_for(self, place: Place) -> Lane[Outbound]:
        """Return a lane for messages to a queue; where order is kept, one trip follows the other."""
        return Lane(partial(self._carry, place), 1 if place.fifo else _TRIPS, lambda: place.roomiest)

    async def in_thread(self, trip: Callable[[Place, Sequence[T]], list[Exception | None]], loads: Sequence[T]) -> Any:
        """Do one trip to the queue."""
        return await self._service.run(self.place.where, trip, self.place, loads)

    async def _carry(self, place: Place, loads: Sequence[Outbound]) -> Sequence[Exception | None]:
        """Send, and send again what SQS certainly did not take and may take later."""
        answers: dict[Outbound, Exception | None] = {}
        waiting, failed = list(loads), 0
        while waiting:
            answers.update(zip(waiting, await self._service.run(place.where, send, place, waiting), strict=True))
            failed += 1
            again = self._monotonic() + (pause := backoff(failed, _RETRY, _RETRY_MAX))
            waiting = [load for load in waiting if isinstance(answers[load], Again) and again <= load.until]
            if waiting:
                await asyncio.sleep(pause)
        return [answers[load] for load in loads]

    # -- adding

    async def send(self, batch: Sequence[Outgoing]) -> Sequence[Exception | None]:
        """Add messages; while SQS cannot be reached or is busy, try again for the queue's `send_timeout`.

        A message whose answer was lost is not sent again, for SQS would add it twice.
        """
        until = self._monotonic() + self._options.send_timeout
        answers = await self._lane.sends.send([self._outbound(each.id, each.body, each.delay, until) for each in batch])
        if batch and all(isinstance(answer, BackendUnavailable) for answer in answers):
            raise _first(answers)
        return answers

    def _outbound(self, identifier: bytes, body: bytes, delay: float, until: float) -> Outbound:  # noqa: ARG002 - for FIFO queues
        return Outbound(text_of(body), whole_seconds(delay), until, with_until(body, delay, self._now()))

    # -- reserving

    async def reserve(self, n: int, wait: float) -> list[Reservation]:
        """Take up to `n` messages, waiting up to `wait` seconds for the first."""
        found = await self._polls.take(n, wait)
        taken = [self._reservation(message, each) for each in found for message in each.messages]
        now = self._monotonic()
        return [each for each in taken if each.expires_at > now]  # or this process was stopped meanwhile

    def _reservation(self, message: dict[str, Any], found: Found) -> Reservation:
        attributes = message.get("Attributes", {})
        sent_at = float(attributes.get("SentTimestamp", 0)) / 1000
        body = body_of(message["Body"])
        until = message.get("MessageAttributes", {}).get(UNTIL)
        if until is not None:
            body = with_rest_of_go(body, until.get("StringValue", ""), sent_at)
        receipt = Receipt(message["ReceiptHandle"], message["MessageId"], message["Body"], body)
        receipt.deliveries = int(attributes.get("ApproximateReceiveCount", 1))
        receipt.group = attributes.get("MessageGroupId", "")
        receipt.expires_at = found.asked + self._options.reservation_timeout
        receipt.ends_at = found.asked + LONGEST_VISIBILITY - _TRANSIT
        # The service's own time, as far as it is known, tells for how long this could have been here: no clock of ours does.
        now = max(float(attributes.get("ApproximateFirstReceiveTimestamp", 0)) / 1000, found.date or 0.0)
        longest = self.capabilities.max_delay or 0.0
        return Reservation(
            receipt.message_id.encode(),
            body,
            receipt,
            receipt.deliveries,
            receipt.expires_at,
            found.at - max(0.0, now - sent_at - longest) if sent_at else None,
        )

    # -- settling

    async def ack(self, reservations: Sequence[Reservation]) -> Sequence[bool]:
        """Delete finished messages; False for each that was no longer owned."""
        now = self._monotonic()
        receipts: list[Receipt] = [each.receipt for each in reservations]
        await self._delete([receipt for receipt in receipts if receipt.state == "held" and receipt.owned(now)])
        owned = [receipt.state == "deleted" for receipt in receipts]
        for receipt in receipts:
            receipt.end()
        return owned

    async def _delete(self, receipts: Sequence[Receipt]) -> None:
        answers = await self._lane.deletions.send([Visibility(receipt, 0) for receipt in receipts])
        _raise_first(answer for answer in answers if not isinstance(answer, ReservationLost))

    async def release(self, reservation: Reservation, delay: float) -> None:
        """Give a message back: unchanged and at once by making it visible, otherwise by sending it anew.

        A message that was sent anew starts a new count of deliveries; one that was made visible goes on with its own. So that
        those who give back do not make it look like poison, it is sent anew the second time, unless it would lose its place.
        """
        receipt = self._own(reservation)
        shown = receipt.deliveries == 1 or bool(receipt.group)
        if receipt.state == "held" and reservation.body == receipt.body and delay <= 0 and shown:
            await self._show(receipt, 0)
        else:
            await self._replace(receipt, self._lane.sends, self._outbound(b"", reservation.body, delay, self._monotonic()))

    async def _replace(self, receipt: Receipt, lane: Lane[Outbound], outbound: Outbound) -> None:
        """Send a message anew and delete it then, never the other way round; a second try goes on where the first one ended."""
        if receipt.state == "held":
            if receipt.sending is None:
                receipt.sending = asyncio.ensure_future(lane.send([outbound]))
            answers = await asyncio.shield(receipt.sending)  # whoever asks again after a cancellation waits for the same trip
            receipt.sending = None
            _raise_first(answers)
            receipt.state = "replaced"
        await self._delete([receipt])
        receipt.end()

    async def _show(self, receipt: Receipt, seconds: int) -> None:
        """Let others have a message after so many seconds."""
        await self._change(receipt, seconds)
        receipt.end()

    async def extend(self, reservation: Reservation, by: float) -> Reservation:
        """Own it until `by` seconds from now, but no longer than twelve hours after its delivery."""
        receipt = self._own(reservation)
        now = self._monotonic()
        left = receipt.ends_at - now
        if left < 1.0:
            receipt.end()
            name = printable(reservation.id)
            raise ReservationLost(
                f"message {name} was owned for twelve hours, and SQS lets nobody own one for longer; split the work"
            )
        await self._change(receipt, min(max(1, whole_seconds(by)), int(left)))
        receipt.expires_at = now + min(by, left)
        return msgspec.structs.replace(reservation, expires_at=receipt.expires_at)

    async def _change(self, receipt: Receipt, seconds: int) -> None:
        _raise_first(await self._lane.changes.send([Visibility(receipt, seconds)]))

    async def dead_letter(self, reservation: Reservation, reason: str) -> None:
        """Put a message into the queue of dead letters, as it came, and delete it then."""
        receipt = self._own(reservation)
        await self._replace(
            receipt, self._lane.burials, self._letters.burial(receipt, reservation.body, reason, self._monotonic())
        )

    def _own(self, reservation: Reservation) -> Receipt:
        receipt: Receipt = reservation.receipt
        if not receipt.owned(self._monotonic()):
            raise ReservationLost(f"message {printable(reservation.id)} is no longer owned; nothing was changed")
        return receipt

    # -- looking after

    async def size(self) -> Size:
        """Count the messages by state, as far as SQS knows: its figures may be a minute old."""
        return await self._service.run(self.place.where, self._letters.size)

    async def purge(self) -> int:
        """Drop all ready messages, and the delayed ones if nothing is reserved: SQS drops those only with what is."""
        return await self._service.run(self.place.where, self._letters.purge)

    async def dead_letters(self, limit: int) -> list[DeadLetter]:
        """Return dead letters, at most `limit`, as far as SQS finds them; the older ones first."""
        return await self._service.run(self.dead.where, self._letters.find, limit)

    async def redrive(self, letters: Sequence[DeadLetter]) -> int:
        """Make these ready again, with `letter.body` as their bodies; return how many still were there."""
        return await self._service.run(self.dead.where, self._letters.redrive, letters)

    async def discard(self, letters: Sequence[DeadLetter]) -> int:
        """Delete these; return how many still were there."""
        return await self._service.run(self.dead.where, self._letters.discard, letters)

    async def aclose(self) -> None:
        """Do nothing: what a poll still brings is given back by its thread, and the threads end with the broker."""


def _first(answers: Any) -> Exception:
    error: Exception = next(answer for answer in answers if answer is not None)
    return error


def _raise_first(answers: Any) -> None:
    for answer in answers:
        if answer is not None:
            raise answer
