"""One queue: what can be done to its messages, and what is refused. `now` and ids come from the caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from taskq_testing.ironmq_server.messages import Message, Messages
from taskq_testing.ironmq_server.options import Options
from taskq_testing.ironmq_server.settings import Settings
from taskq_testing.ironmq_server.values import Refused, not_found

__all__ = ["Doomed", "Draft", "IronQueue"]

Draft = tuple[str, int, dict[str, str]]
"""Body, delay and push headers of a message that is posted."""

Doomed = Callable[[Message], None]
"""Takes a message that was reserved too often."""


class IronQueue:
    """A queue by its name.

    Attributes:
        settings: what it is set to.
        total: how many messages were ever posted to it.
        deleted: whether it is gone, for those who wait on it.
    """

    def __init__(self, name: str, settings: Settings, options: Options) -> None:
        self.name = name
        self.settings = settings
        self.total = 0
        self.deleted = False
        self.messages = Messages(front=options.front)
        self._options = options
        self._numbers = 0

    def content(self, project: str, *, counts: bool) -> dict[str, Any]:
        """Return it as JSON, with or without its numbers of messages."""
        found: dict[str, Any] = {"project_id": project, "name": self.name}
        if counts:
            found["size"] = self.messages.count(delayed=self._options.size_counts_delayed)
            found["total_messages"] = self.total
        return found | self.settings.content()

    # -- adding

    def post(self, draft: Draft, message_id: str, now: float) -> Message:
        """Add a message."""
        body, delay, headers = draft
        begins = now if self._options.delay_expires else now + delay
        message = Message(message_id, self._next(), body, begins + self.settings.message_expiration, headers)
        self.messages.add(message, delay, now)
        self.total += 1
        return message

    def bury(self, message: Message, now: float) -> None:
        """Add a message of another queue that was reserved too often there: id, body and count stay, its time begins anew."""
        expires_at = now + self.settings.message_expiration
        moved = Message(message.id, self._next(), message.body, expires_at, reserved_count=message.reserved_count)
        self.messages.add(moved, 0.0, now)
        self.total += 1

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    # -- reserving

    def reserve(self, n: int, timeout: int, new_id: Callable[[], str], doomed: Doomed, now: float) -> list[Message]:
        """Reserve up to `n` messages; those that were reserved too often go to `doomed` instead."""
        taken: list[Message] = []
        dead_letter = self.settings.dead_letter
        while len(taken) < n and (message := self.messages.first()) is not None:
            if dead_letter is not None and message.reserved_count >= dead_letter.max_reservations:
                self.messages.remove(message)
                doomed(message)
                continue
            message.reserved_count += 1
            message.returned = True
            self._own(message, new_id(), timeout, now)
            taken.append(message)
        return taken

    def _own(self, message: Message, reservation: str, timeout: int, now: float) -> None:
        message.reservation = reservation
        self.messages.hide(message, "reserved", now + (timeout or self.settings.message_timeout))

    def touch(self, message_id: str, reservation: str, timeout: int, new_id: Callable[[], str], now: float) -> str:
        """Reserve a reserved message anew and return the new reservation; the old one is void."""
        message = self._owned(message_id, reservation)
        if self._options.touch_counts:
            message.reserved_count += 1
        self._own(message, new_id(), timeout, now)
        return message.reservation

    def release(self, message_id: str, reservation: str, delay: int, now: float) -> None:
        """Give a reserved message back."""
        message = self._owned(message_id, reservation)
        if self._options.release_counts:
            message.reserved_count -= 1
        message.reservation = ""
        self.messages.put(message, delay, now)

    # -- deleting

    def delete(self, message_id: str, reservation: str) -> None:
        """Delete one message."""
        self.messages.remove(self._deletable(message_id, reservation))

    def delete_many(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Delete several; if one is refused so are all, or those behind it."""
        if self._options.atomic_delete:
            for pair in pairs:
                self._deletable(*pair)
        for pair in dict.fromkeys(pairs):
            self.delete(*pair)

    def _deletable(self, message_id: str, reservation: str) -> Message:
        message = self._find(message_id)
        if reservation:
            return self._owned(message_id, reservation)
        if message.state == "reserved":
            raise Refused(400, "A reservation_id is required")
        return message

    # -- looking

    def get(self, message_id: str) -> Message:
        """Return a message by its id."""
        message = self._find(message_id)
        hidden = (message.state == "reserved" and not self._options.get_finds_reserved) or (
            message.state == "delayed" and not self._options.get_finds_delayed
        )
        if hidden:
            raise not_found("Message")
        return message

    def peek(self, n: int) -> list[Message]:
        """Return the first messages, which stay as they are."""
        found = [message for _, message in zip(range(n), self.messages.ready(), strict=False)]
        if self._options.peek_shows_delayed and len(found) < n:
            delayed = [message for message in self.messages.by_id.values() if message.state == "delayed"]
            found += sorted(delayed, key=lambda message: (message.until, message.number))[: n - len(found)]
        return found

    def _find(self, message_id: str) -> Message:
        message = self.messages.by_id.get(message_id)
        if message is None:
            raise not_found("Message")
        return message

    def _owned(self, message_id: str, reservation: str) -> Message:
        message = self._find(message_id)
        if not reservation or message.reservation != reservation:
            raise Refused(403, "Reservation timed out")
        return message
