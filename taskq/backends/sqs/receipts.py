"""Who owns a message: the token in a `Reservation`, and what became of it. State, no I/O.

SQS itself does not tell a stale receipt from a fresh one for certain, so that ownership ends here, by the consumer's own
clock, before it ends there.
"""

from __future__ import annotations

import asyncio
from typing import Any, Literal

__all__ = ["Receipt"]


class Receipt:
    """One delivery of one message.

    Attributes:
        handle: SQS's own token.
        message_id: SQS's own id of the message, the same at each delivery.
        text: its body as it came.
        body: the encoded message in it.
        group: the group of a FIFO message; empty for others.
        deliveries: how often SQS has delivered it.
        expires_at: when others may get it, by the consumer's monotonic clock.
        ends_at: when SQS takes it away in any case, twelve hours after the delivery, by the same clock.
        state: "held"; "replaced" once the message was sent anew, so that this one only has to go; "deleted" once it is gone;
            "over" when nothing can be done with it any more.
        sending: the trip that sends the message anew, while it is under way.
    """

    __slots__ = ("body", "deliveries", "ends_at", "expires_at", "group", "handle", "message_id", "sending", "state", "text")

    def __init__(self, handle: str, message_id: str, text: str, body: bytes) -> None:
        self.handle = handle
        self.message_id = message_id
        self.text = text
        self.body = body
        self.group = ""
        self.deliveries = 1
        self.expires_at = self.ends_at = float("inf")
        self.state: Literal["held", "replaced", "deleted", "over"] = "held"
        self.sending: asyncio.Future[Any] | None = None

    def owned(self, now: float) -> bool:
        """Return whether it is ours still; one that has run out never is again."""
        if now >= self.expires_at:
            self.end()
        return self.state in ("held", "replaced")

    def end(self) -> None:
        """Note that nothing can be done with it any more."""
        self.state = "over"
