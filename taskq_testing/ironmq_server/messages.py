"""One queue's messages: which can be reserved, which are hidden until when, which are gone. `now` comes from the caller.

A message is ready, delayed (posted or released with a delay) or reserved. What is due is moved at the next look, in the order
of time, as if somebody had looked at each moment.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Message", "Messages", "State"]

State = Literal["ready", "delayed", "reserved"]
_FOREVER = float("inf")


@dataclass(slots=True, eq=False)
class Message:
    """One message.

    Attributes:
        id: a decimal string.
        number: its place in the order of arrival.
        body: text.
        expires_at: when it vanishes.
        push_headers: what an endpoint is sent beside it.
        state: where it is.
        until: when a delay or a reservation ends.
        returned: whether it was reserved before.
        reserved_count: how often it was reserved or touched.
        reservation: the id of the last reservation; empty before the first one and after its end.
        mark: changes with each state, so that an outdated entry in an order is known.
    """

    id: str
    number: int
    body: str
    expires_at: float
    push_headers: dict[str, str] = field(default_factory=dict)
    state: State = "ready"
    until: float = 0.0
    returned: bool = False
    reserved_count: int = 0
    reservation: str = ""
    mark: int = 0


class Messages:
    """The messages of one queue, in their order.

    Args:
        front: whether what comes back comes before all others, in the order of arrival.
    """

    def __init__(self, *, front: bool) -> None:
        self.by_id: dict[str, Message] = {}
        self._front = front
        self._new: deque[tuple[int, Message]] = deque()
        self._returned: list[tuple[int, int, Message]] = []
        self._hidden: list[tuple[float, int, int, Message]] = []
        self._expiry: list[tuple[float, int, Message]] = []

    def add(self, message: Message, delay: float, now: float) -> None:
        """Take a new message in, ready or delayed."""
        self.by_id[message.id] = message
        heapq.heappush(self._expiry, (message.expires_at, message.number, message))
        self.put(message, delay, now)

    def put(self, message: Message, delay: float, now: float) -> None:
        """Make a message ready, after a delay if there is one."""
        if delay > 0:
            self.hide(message, "delayed", now + delay)
        else:
            self._make_ready(message)

    def hide(self, message: Message, state: State, until: float) -> None:
        """Let nobody reserve a message until a moment."""
        message.state, message.until = state, until
        message.mark += 1
        heapq.heappush(self._hidden, (until, message.number, message.mark, message))

    def remove(self, message: Message) -> None:
        """Let a message be gone."""
        message.mark += 1
        del self.by_id[message.id]

    def clear(self, *, reserved: bool) -> None:
        """Remove all messages, or all that are not reserved."""
        for message in list(self.by_id.values()):
            if reserved or message.state != "reserved":
                self.remove(message)

    def advance(self, now: float) -> None:
        """Make ready what is due, and let what has expired be gone."""
        while True:
            due = self._hidden[0][0] if self._hidden else _FOREVER
            expired = self._expiry[0][0] if self._expiry else _FOREVER
            if min(due, expired) > now:
                return
            if expired <= due:
                message = heapq.heappop(self._expiry)[2]
                if self.by_id.get(message.id) is message:
                    self.remove(message)
                continue
            _, _, mark, message = heapq.heappop(self._hidden)
            if message.mark == mark:
                self._make_ready(message)

    def next_due(self) -> float:
        """Return when the next hidden message is ready, as far as is known."""
        while self._hidden and self._hidden[0][3].mark != self._hidden[0][2]:
            heapq.heappop(self._hidden)
        return self._hidden[0][0] if self._hidden else _FOREVER

    def first(self) -> Message | None:
        """Return the first ready message, which stays."""
        while self._returned and self._returned[0][2].mark != self._returned[0][1]:
            heapq.heappop(self._returned)
        if self._returned:
            return self._returned[0][2]
        while self._new and self._new[0][1].mark != self._new[0][0]:
            self._new.popleft()
        return self._new[0][1] if self._new else None

    def ready(self) -> Iterator[Message]:
        """Return the ready messages, the first one first."""
        for _, mark, message in sorted(self._returned, key=lambda entry: entry[:2]):
            if message.mark == mark:
                yield message
        for mark, message in self._new:
            if message.mark == mark:
                yield message

    def count(self, *, delayed: bool) -> int:
        """Return how many messages there are, delayed ones included or not."""
        if delayed:
            return len(self.by_id)
        return sum(message.state != "delayed" for message in self.by_id.values())

    def _make_ready(self, message: Message) -> None:
        message.state, message.until, message.reservation = "ready", 0.0, ""
        message.mark += 1
        if message.returned and self._front:
            heapq.heappush(self._returned, (message.number, message.mark, message))
        else:
            self._new.append((message.mark, message))
