"""Sends that may be repeated: a lane numbers its trips, and the server remembers the last one of each lane with its answers.

So a trip whose answer was lost can be sent again, on any connection, and adds what it carries once (F5). Generators without
I/O, as in `routes`.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence

from taskq.backends.base import Clock, Outgoing
from taskq.backends.redis.errors import passing
from taskq.backends.redis.keys import Keys
from taskq.backends.redis.routes import Pause, Routes, Steps
from taskq.backends.redis.scripts import SEND
from taskq.core.retry import backoff
from taskq.errors import BackendError, DuplicateMessageError

__all__ = ["Lane", "sending", "trips"]

_REMEMBERED = 600_000
"""Milliseconds for which a trip is remembered; no trip is repeated for so long."""

_RETRY, _RETRY_MAX = 0.02, 1.0
_MOST, _BYTES = 500, 1 << 20
"""What one trip carries at most: messages, and about so many bytes, for other clients wait meanwhile."""


class Lane:
    """One sender with one trip under way at a time."""

    def __init__(self, clock: Clock) -> None:
        self.name = clock.new_id()
        self.trips = 0


def trips(batch: Sequence[Outgoing]) -> Generator[Sequence[Outgoing]]:
    """Split a batch into what one trip carries each."""
    start = size = 0
    for index, outgoing in enumerate(batch):
        if index - start == _MOST or (size and size + len(outgoing.body) > _BYTES):
            yield batch[start:index]
            start, size = index, 0
        size += len(outgoing.body)
    if start < len(batch):
        yield batch[start:]


def sending(
    routes: Routes, keys: Keys, lane: Lane, batch: Sequence[Outgoing], clock: Clock, patience: float
) -> Steps[list[Exception | None]]:
    """Send one trip, again and again for `patience` seconds while the server cannot take it."""
    lane.trips += 1
    where: list[bytes] = [keys.stream, keys.delayed, keys.sender(lane.name)]
    words: list[bytes | int] = [lane.trips, _REMEMBERED]
    for outgoing in batch:
        words += outgoing.body, _milliseconds(outgoing.delay) if outgoing.delay else b"", b""
        if outgoing.claim is not None:
            where.append(keys.once(outgoing.claim.key))
            words[-1] = _milliseconds(outgoing.claim.ttl)
    deadline, failed = clock.monotonic() + patience, 0
    while True:
        try:
            answer = yield from routes.run(SEND, tuple(where), tuple(words))
        except Exception as error:
            failed += 1
            pause = backoff(failed, _RETRY, _RETRY_MAX)
            if not passing(error) or clock.monotonic() + pause > deadline:
                raise
            yield Pause(pause)
        else:
            return _answers(answer, batch)


def _answers(text: bytes, batch: Sequence[Outgoing]) -> list[Exception | None]:
    if not text:
        return [None] * len(batch)
    return [_answer(line, outgoing) for line, outgoing in zip(text.split(b"\n"), batch, strict=True)]


def _answer(line: bytes, outgoing: Outgoing) -> Exception | None:
    if not line:
        return None
    if line == b"=" and outgoing.claim is not None:
        return DuplicateMessageError(outgoing.claim.key.hex())
    return BackendError(f"Redis refused the message: {line.decode(errors='replace')}")


def _milliseconds(seconds: float) -> int:
    """Return whole milliseconds, rounded up: nothing is early and no name is free too soon."""
    return math.ceil(round(seconds * 1000, 6))
