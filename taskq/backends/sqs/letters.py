"""Dead letters and counting, as far as SQS allows: it lists nothing. To look at messages is to receive them and let them go.

All of it happens in threads. What is looked at is invisible to others meanwhile, for a minute at most.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from taskq.backends.base import DeadLetter, Size
from taskq.backends.sqs.lanes import MOST
from taskq.backends.sqs.places import Place
from taskq.backends.sqs.receipts import Receipt
from taskq.backends.sqs.service import Service
from taskq.backends.sqs.texts import REASON, Attributes, attribute, body_of, group_of, reason_of, size_of, text_of
from taskq.backends.sqs.trips import Outbound, send

__all__ = ["Letters"]

logger = logging.getLogger("taskq")

_HIDDEN = 60
"""Seconds for which what is looked at is invisible at most."""

_READY, _RESERVED, _DELAYED = (f"ApproximateNumberOfMessages{kind}" for kind in ("", "NotVisible", "Delayed"))

Messages = list[dict[str, Any]]


class Letters:
    """The dead letters of one queue.

    Args:
        service: what carries calls.
        place: the queue.
        dead: that of its dead letters.
    """

    def __init__(self, service: Service, place: Place, dead: Place) -> None:
        self._service = service
        self._place = place
        self._dead = dead

    def burial(self, receipt: Receipt, body: bytes, reason: str, until: float) -> Outbound:
        """Return a message as it goes into the queue of dead letters: as it came, with the reason if there is room for it."""
        text = receipt.text if body == receipt.body else text_of(body)
        attributes: Attributes = {REASON: attribute(reason_of(reason))}
        if size_of(text, attributes) > self._place.largest:
            attributes = {}
        name = receipt.message_id  # each in a group of its own: looking at one hides no other
        order = {"MessageGroupId": name, "MessageDeduplicationId": name} if self._dead.fifo else {}
        return Outbound(text, 0, until, attributes, order)

    def find(self, limit: int) -> list[DeadLetter]:
        """Return what a look finds, at most `limit`, and let it go."""
        if limit < 1 or self._dead.find_if_made() is None:
            return []
        messages = self._receive(self._dead, limit)
        self._let_go(messages)
        messages.sort(key=lambda each: int(each["Attributes"]["SentTimestamp"]))
        return [_letter(each) for each in messages[:limit]]

    def redrive(self, letters: Sequence[DeadLetter]) -> int:
        """Send these anew, and delete each that was sent; return how many."""
        wanted = {letter.key: letter for letter in letters}
        found = self._pick(wanted)
        loads = [self._anew(message, wanted[message["MessageId"]]) for message in found]
        sent: Messages = []
        errors: list[Exception] = []
        for batch in _batches(loads, self._place.roomiest):
            messages = found[batch]
            answers = send(self._place, loads[batch])
            sent += [message for message, answer in zip(messages, answers, strict=True) if answer is None]
            self._let_go([message for message, answer in zip(messages, answers, strict=True) if answer is not None])
            errors += [answer for answer in answers if answer is not None]
        self._delete(self._dead, sent)
        if errors:
            raise errors[0]
        return len(sent)

    def discard(self, letters: Sequence[DeadLetter]) -> int:
        """Delete these; return how many were there."""
        found = self._pick({letter.key for letter in letters})
        self._delete(self._dead, found)
        return len(found)

    def _anew(self, message: dict[str, Any], letter: DeadLetter) -> Outbound:
        text = message["Body"] if letter.body == body_of(message["Body"]) else text_of(letter.body)
        group = self._service.settings.group
        order = group_of(letter.body, group, message["MessageId"]) if self._place.fifo else {}
        return Outbound(text, 0, float("-inf"), None, order)

    # -- counting and clearing

    def size(self) -> Size:
        """Count; a queue that does not exist is empty."""
        ready, delayed, reserved = self._count(self._place)
        return Size(ready=ready, delayed=delayed, reserved=reserved, dead=sum(self._count(self._dead)))

    def _count(self, place: Place) -> tuple[int, int, int]:
        if place.find_if_made() is None:
            return 0, 0, 0
        names = (_READY, _DELAYED, _RESERVED)
        facts = place.ask("get_queue_attributes", AttributeNames=list(names))["Attributes"]
        ready, delayed, reserved = (int(facts[name]) for name in names)
        return ready, delayed, reserved

    def purge(self) -> int:
        """Delete what is ready, one by one, and what is delayed by SQS's own purge, which spares nothing that is reserved."""
        if self._place.find_if_made() is None:
            return 0
        count = 0
        while messages := self._receive(self._place, MOST):
            self._delete(self._place, messages)
            count += len(messages)
        _, delayed, reserved = self._count(self._place)
        if delayed and reserved:
            logger.warning("%s keeps %d delayed messages: SQS drops them only together with the %d that are reserved; purge it "
                           "again when nothing is", self._place.where, delayed, reserved)  # fmt: skip
        elif delayed:
            self._place.ask("purge_queue")
            count += delayed
        return count

    # -- receiving

    def _receive(self, place: Place, limit: int, wanted: Collection[str] = ()) -> Messages:
        """Take up to `limit` messages, or until all that are wanted are among them."""
        messages: Messages = []
        missing = set(wanted)
        while len(messages) < limit:
            reply = place.ask(
                "receive_message",
                MaxNumberOfMessages=min(MOST, limit - len(messages)),
                WaitTimeSeconds=1 if self._service.settings.long_poll else 0,  # without it SQS asks some of its servers only
                VisibilityTimeout=_HIDDEN,
                AttributeNames=["SentTimestamp"],
                MessageAttributeNames=[REASON],
            )
            found = reply.get("Messages", [])
            messages += found
            missing.difference_update(each["MessageId"] for each in found)
            if not found or (wanted and not missing):
                break
        return messages

    def _pick(self, wanted: Collection[str]) -> Messages:
        """Take those that are wanted, and let the others go."""
        if not wanted or self._dead.find_if_made() is None:
            return []
        messages = self._receive(self._dead, sum(self._count(self._dead)) + MOST, wanted)
        self._let_go([message for message in messages if message["MessageId"] not in wanted])
        return [message for message in messages if message["MessageId"] in wanted]

    def _let_go(self, messages: Messages) -> None:
        for entries in _entries(messages):
            self._dead.ask("change_message_visibility_batch", Entries=[{**entry, "VisibilityTimeout": 0} for entry in entries])

    def _delete(self, place: Place, messages: Messages) -> None:
        for entries in _entries(messages):
            place.ask("delete_message_batch", Entries=entries)


def _letter(message: dict[str, Any]) -> DeadLetter:
    reason = message.get("MessageAttributes", {}).get(REASON, {}).get("StringValue", "")
    return DeadLetter(message["MessageId"].encode(), body_of(message["Body"]), reason, message["MessageId"])


def _entries(messages: Messages) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(messages), MOST):
        batch = messages[start : start + MOST]
        yield [{"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]} for number, message in enumerate(batch)]


def _batches(loads: Sequence[Outbound], room: int) -> Iterator[slice]:
    """Say which loads one trip carries each."""
    start = size = 0
    for index, load in enumerate(loads):
        if index > start and (index - start == MOST or size + load.size > room):
            yield slice(start, index)
            start, size = index, 0
        size += load.size
    if start < len(loads):
        yield slice(start, len(loads))
