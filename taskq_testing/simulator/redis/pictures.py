"""What lies in one queue of a Redis server at one moment, read by plain commands; and which of it went where since another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from taskq.backends.redis.keys import GROUP, Keys
from taskq.errors import DecodeError
from taskq.message import printable
from taskq.wire import envelope
from taskq_testing.simulator.redis.fake import EPOCH_MS

__all__ = ["DEAD", "DELAYED", "STREAM", "Arrival", "Picture", "Place", "arrivals", "departures", "name_in"]

STREAM, DELAYED, DEAD = "stream", "delayed", "dead"
_ALL = b"1000000"

Place = tuple[str, bytes]
"""Where a message is: in the stream or among the dead by its entry, or among the delayed by its body."""

_NO_FIELDS: tuple[bytes, ...] = ()


class Picture(NamedTuple):
    """One queue.

    Attributes:
        stream: the fields of each entry.
        pending: of those that are reserved the consumer, and the moment of the reservation (ns of the loop, whole ms).
        delayed: when each body is due (ns of the loop, whole ms).
        dead: the fields of each dead letter.
    """

    stream: dict[bytes, Sequence[bytes]]
    pending: dict[bytes, tuple[bytes, int]]
    delayed: dict[bytes, int]
    dead: dict[bytes, Sequence[bytes]]

    @classmethod
    def taken(cls, execute: Callable[..., Any], keys: Keys, now: int) -> Picture:
        """Look at a queue now."""
        stream = {key: fields or _NO_FIELDS for key, fields in execute(b"XRANGE", keys.stream, b"-", b"+")}
        answer = execute(b"XPENDING", keys.stream, GROUP, b"-", b"+", _ALL) if stream else []
        pending = {} if isinstance(answer, Exception) else {key: (owner, _ago(now, idle)) for key, owner, idle, _ in answer}
        scores = execute(b"ZRANGE", keys.delayed, b"0", b"-1", b"WITHSCORES")
        delayed = {body: _moment(int(float(score))) for body, score in zip(scores[::2], scores[1::2], strict=True)}
        dead = {key: fields for key, fields in execute(b"XRANGE", keys.dead, b"-", b"+")}  # noqa: C416 - lists of two
        return cls(stream, pending, delayed, dead)

    def body(self, place: Place) -> bytes | None:
        """Return the body of what is at a place; None for an entry without one."""
        where, key = place
        if where == DELAYED:
            return key
        fields = (self.stream if where == STREAM else self.dead)[key]
        return next((value for name, value in zip(fields[::2], fields[1::2], strict=True) if name == b"body"), None)

    def places(self) -> list[Place]:
        """Return every place where something is."""
        return [
            *((STREAM, key) for key in self.stream),
            *((DELAYED, body) for body in self.delayed),
            *((DEAD, key) for key in self.dead),
        ]


EMPTY = Picture({}, {}, {}, {})


def _moment(milliseconds: int) -> int:
    return (milliseconds - EPOCH_MS) * 1_000_000


def _ago(now: int, milliseconds: int) -> int:
    return (now // 1_000_000 - milliseconds) * 1_000_000


def name_in(body: bytes | None) -> str:
    """Return the id of the message in a body; empty if there is none."""
    if body is None:
        return ""
    try:
        return printable(envelope.decode(body).id)
    except DecodeError:
        return ""


class Arrival(NamedTuple):
    """What is somewhere since a command."""

    place: Place
    body: bytes | None
    message: str


def departures(before: Picture, after: Picture) -> list[Place]:
    """Return the places from which something went."""
    return [
        *((STREAM, key) for key in before.stream if key not in after.stream),
        *((DELAYED, body) for body in before.delayed if body not in after.delayed),
        *((DEAD, key) for key in before.dead if key not in after.dead),
    ]


def arrivals(before: Picture, after: Picture) -> list[Arrival]:
    """Return what came, or got another time."""
    places: list[Place] = [
        *((STREAM, key) for key in after.stream if key not in before.stream),
        *((DELAYED, body) for body, due in after.delayed.items() if before.delayed.get(body) != due),
        *((DEAD, key) for key in after.dead if key not in before.dead),
    ]
    found = []
    for place in places:
        body = after.body(place)
        found.append(Arrival(place, body, name_in(body)))
    return found
