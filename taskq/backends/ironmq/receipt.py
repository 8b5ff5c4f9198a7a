"""Who owns a message, and who does something about it now. Any thread, any event loop.

A touch makes the reservation before it void, so that two calls about one message would foil each other: the consumer's loop
extends, the thread behind it does, and a worker settles. They take turns.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future

from taskq.backends.ironmq.calls import Owned
from taskq.backends.ironmq.text import deliveries_in, read

__all__ = ["Receipt", "Turns"]


class Receipt:
    """The ownership of one message from its delivery to its outcome.

    Attributes:
        id: of the message.
        reservation: the service's token of ownership, another one after each touch.
        text: of the message, as it came.
        body: what that text says.
        readable: whether it is the text of a message at all.
        before: how often it was delivered before this copy was made, since its last outcome.
        deliveries: how often it was delivered since its last outcome, at least.
        expires_at: when others may take it, by the consumer's monotonic clock.
        copy: the id of a copy with another text that is to take its place, once that is posted.
        tried: whether it was to be deleted, and it is not known whether that was done.
        gone: whether it was given up: deleted, or released.
        unheard: whether that was done for somebody who did not wait for it, and may ask again.
    """

    __slots__ = (
        "before",
        "body",
        "copy",
        "deliveries",
        "expires_at",
        "gone",
        "id",
        "readable",
        "reservation",
        "text",
        "tried",
        "unheard",
    )

    def __init__(self, owned: Owned, text: str, reserved: int, expires_at: float) -> None:
        self.id, self.reservation = owned
        self.text = text
        body = read(text)
        self.readable = body is not None
        self.body = text.encode(errors="surrogatepass") if body is None else body
        self.before = deliveries_in(text) if self.readable else 0
        self.deliveries = self.before + min(reserved, 2)
        self.expires_at = expires_at
        self.copy: str | None = None
        self.tried = False
        self.gone = False
        self.unheard = False

    @property
    def owned(self) -> Owned:
        """What the service is told."""
        return Owned(self.id, self.reservation)

    def __repr__(self) -> str:
        """Leave the message's text out."""
        return f"<Receipt of {self.id}>"


class Turns:
    """Lets one call at a time do something about a message."""

    def __init__(self) -> None:
        self._busy: dict[str, Future[None]] = {}

    @contextlib.asynccontextmanager
    async def of(self, receipts: Sequence[Receipt]) -> AsyncIterator[None]:
        """Wait until nobody else does something about these messages, and keep others waiting for the time of the block."""
        mine = await self._take(receipts)
        try:
            yield
        finally:
            self._leave(receipts, mine)

    async def _take(self, receipts: Sequence[Receipt]) -> Future[None]:
        while True:
            mine: Future[None] = Future()
            for index, receipt in enumerate(receipts):
                other = self._busy.setdefault(receipt.id, mine)  # one step, whatever other threads do
                if other is not mine:
                    self._leave(receipts[:index], mine)
                    await asyncio.shield(asyncio.wrap_future(other))
                    break
            else:
                return mine

    def _leave(self, receipts: Sequence[Receipt], mine: Future[None]) -> None:
        for receipt in receipts:
            if self._busy.get(receipt.id) is mine:
                del self._busy[receipt.id]
        mine.set_result(None)
