"""What is different where SQS keeps order: one message of a group at a time, and nobody passes one that comes back.

A message that was sent anew would come behind the others of its group, so a release makes the old one visible again, later.
Nothing can be written into it then: SQS's count of deliveries is the attempt. SQS delays no single messages of such a queue
either: they wait when they are received, and their group with them.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import msgspec

from taskq.backends.sqs.polls import Found
from taskq.backends.sqs.queue import LONGEST_VISIBILITY, SqsBackend
from taskq.backends.sqs.texts import group_of, text_of, whole_seconds
from taskq.backends.sqs.trips import Outbound
from taskq.core.delay import remaining, rest_of
from taskq.errors import DecodeError
from taskq.message import Reservation
from taskq.wire import envelope

__all__ = ["FifoSqsBackend"]

_HOP = LONGEST_VISIBILITY - 60
"""Seconds that a message waits invisible at a time, so short of SQS's limit that it may have been received a while ago."""


class FifoSqsBackend(SqsBackend):
    """A queue that keeps the order of each group."""

    capabilities = msgspec.structs.replace(SqsBackend.capabilities, max_delay=0.0, fifo=True)
    at_once = 1

    def _outbound(self, identifier: bytes, body: bytes, delay: float, until: float) -> Outbound:  # noqa: ARG002 - there is none
        name = hashlib.sha256(identifier).hexdigest()
        return Outbound(text_of(body), 0, until, None, group_of(body, self._service.settings.group, name))

    def _reservation(self, message: dict[str, Any], found: Found) -> Reservation:
        reservation = super()._reservation(message, found)
        receipt = reservation.receipt
        try:
            decoded = envelope.decode(reservation.body)
        except DecodeError:
            return reservation
        attributes = message["Attributes"]
        waits = 0
        if rest := rest_of(decoded):
            due = float(attributes["SentTimestamp"]) / 1000 + rest
            waits = max(0, math.ceil((due - float(attributes["ApproximateFirstReceiveTimestamp"]) / 1000) / _HOP))
        deliveries = max(1, receipt.deliveries - waits)
        decoded = msgspec.structs.replace(decoded, attempt=max(1, decoded.attempt) + deliveries - 1)
        receipt.body = envelope.encode(decoded)
        return msgspec.structs.replace(reservation, body=receipt.body, deliveries=deliveries)

    async def release(self, reservation: Reservation, delay: float) -> None:
        """Make a message visible again, after what it has to wait; its group waits with it."""
        receipt = self._own(reservation)
        if reservation.body is receipt.body:  # not merely equal: what has to wait on looks the same
            await self._show(receipt, whole_seconds(delay))
            return
        wait = delay + rest_of(envelope.decode(reservation.body))
        now = self._monotonic()
        if wait <= receipt.ends_at - now - 1 and receipt.state == "held":
            await self._show(receipt, whole_seconds(wait))
        elif remaining(envelope.decode(receipt.body), reservation.available_at, now) > 0:
            await self._show(receipt, min(_HOP, int(receipt.ends_at - now - 1)))
        else:
            order = {"MessageGroupId": receipt.group, "MessageDeduplicationId": f"{receipt.message_id}-{receipt.deliveries}"}
            await self._replace(receipt, self._lane.sends, Outbound(text_of(reservation.body), 0, now, None, order))
