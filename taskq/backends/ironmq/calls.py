"""The calls of the service's HTTP interface that we make, for one queue. Values only.

Source: IronMQ v3 API reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

from taskq.backends.ironmq.link import Call

__all__ = ["LONGEST_RESERVATION", "LONGEST_WAIT", "MOST", "Calls", "Draft", "Owned"]

MOST = 100
"""Messages of one call at most."""

LONGEST_WAIT = 30
LONGEST_RESERVATION = 86_400
_SHORTEST_QUEUE_TIMEOUT = 30
_LONGEST_EXPIRATION = 30 * 86_400


class Draft(NamedTuple):
    """A message to be posted.

    Attributes:
        text: of the message.
        delay: whole seconds before it may be reserved.
        size: bytes of the text as JSON, for those who make requests of several.
    """

    text: str
    delay: int = 0
    size: int = 0


class Owned(NamedTuple):
    """A message to be deleted; with no reservation only if nobody has reserved it."""

    id: str
    reservation: str = ""


class Calls:
    """The calls about one queue."""

    def __init__(self, queue: str) -> None:
        self._queue = f"/queues/{quote(queue, safe='')}"

    def describe(self) -> Call:
        """Ask what the queue is set to, and how many messages it holds."""
        return Call("GET", self._queue)

    def create(self, timeout: int) -> Call:
        """Make the queue; its messages live as long as the service allows.

        Args:
            timeout: seconds that whoever names no time reserves for.
        """
        seconds = max(_SHORTEST_QUEUE_TIMEOUT, timeout)
        return Call("PUT", self._queue, {"queue": {"message_timeout": seconds, "message_expiration": _LONGEST_EXPIRATION}})

    def post(self, drafts: Sequence[Draft]) -> Call:
        """Add messages."""
        messages = [{"body": each.text, "delay": each.delay} if each.delay else {"body": each.text} for each in drafts]
        return Call("POST", f"{self._queue}/messages", {"messages": messages})

    def reserve(self, n: int, timeout: int, wait: int) -> Call:
        """Reserve up to `n` messages for `timeout` seconds, waiting for the first one."""
        return Call("POST", f"{self._queue}/reservations", {"n": n, "timeout": timeout, "wait": wait}, wait)

    def peek(self, n: int) -> Call:
        """Look at the first `n` messages."""
        return Call("GET", f"{self._queue}/messages?n={n}")

    def touch(self, owned: Owned, timeout: int) -> Call:
        """Reserve a reserved message anew."""
        content = {"reservation_id": owned.reservation, "timeout": timeout}
        return Call("POST", f"{self._queue}/messages/{owned.id}/touch", content)

    def release(self, owned: Owned, delay: int) -> Call:
        """Give a reserved message back."""
        content = {"reservation_id": owned.reservation, "delay": delay}
        return Call("POST", f"{self._queue}/messages/{owned.id}/release", content)

    def delete(self, owned: Sequence[Owned]) -> Call:
        """Delete messages, at least one: the same call without a list would delete all."""
        assert owned
        ids = [{"id": id_, "reservation_id": reservation} if reservation else {"id": id_} for id_, reservation in owned]
        return Call("DELETE", f"{self._queue}/messages", {"ids": ids})

    def clear(self) -> Call:
        """Delete all messages."""
        return Call("DELETE", f"{self._queue}/messages", {})
