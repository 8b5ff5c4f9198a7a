"""A queue in memory that writes down what happens to each message, and can be disturbed where it hands one out.

It is the truth as the broker sees it. The simulator's broker and the harness's are made of it; who writes, for whom, and what
disturbs is said by a `Scribe`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

import msgspec

from taskq.backends.base import DeadLetter, Outgoing
from taskq.backends.memory import Entry, MemoryBackend, MemoryBroker
from taskq.errors import DecodeError, DuplicateMessageError
from taskq.message import Reservation
from taskq.message import printable as _printable
from taskq.options import QueueOptions
from taskq.wire import envelope
from taskq_testing.faults import Disturbing

__all__ = ["RecordedQueue", "Scribe", "add_of", "answer_to", "moment", "printable", "task_of"]


class Scribe(Protocol):
    """Who writes.

    Attributes:
        writes: whether anything is written now.
        op: the number of the producer's operation that is carried out now, or 0.
    """

    writes: bool
    op: int

    @property
    def faults(self) -> Disturbing:
        """What disturbs."""

    def now(self) -> int:
        """Return the time in nanoseconds."""

    def caller(self) -> str:
        """Return the name of the process whose call is carried out now."""

    def write(self, kind: str, fields: dict[str, Any]) -> None:
        """Write an event of the caller."""

    def settled(self) -> None:
        """Take note that a message may be finished."""


printable = lru_cache(maxsize=1024)(_printable)
"""An id as text; each is written many times."""


def moment(seconds: float) -> int:
    """Return a moment of the loop's time, or a stretch of it, as integer nanoseconds."""
    return round(seconds * 1e9)


@lru_cache(maxsize=256)
def task_of(body: bytes) -> tuple[str, int]:
    """Return the task that an encoded message is for, and its count of attempts."""
    try:
        message = envelope.decode(body)
    except DecodeError:
        return "", 1
    return message.task, max(1, message.attempt)


def add_of(queue: str, outgoing: Outgoing, op: int) -> dict[str, Any]:
    """Return the fields of the event with which an enqueue begins."""
    claim = outgoing.claim
    return {
        "op": op,
        "queue": queue,
        "message": printable(outgoing.id),
        "task": task_of(outgoing.body)[0],
        "delay": outgoing.delay,
        "key": claim.key.hex() if claim is not None else "",
        "ttl": claim.ttl if claim is not None else 0.0,
    }


def answer_to(outgoing: Outgoing, op: int, answer: Exception | None) -> tuple[str, dict[str, Any]]:
    """Return the kind and the fields of the event with which an enqueue ends that was answered."""
    fields: dict[str, Any] = {"op": op, "message": printable(outgoing.id)}
    if answer is None:
        return "accepted", fields
    if isinstance(answer, DuplicateMessageError):
        return "duplicate", fields | {"key": outgoing.claim.key.hex() if outgoing.claim is not None else ""}
    return "refused", fields | {"reason": str(answer)}


class RecordedQueue(MemoryBackend):
    """One queue.

    Args:
        broker: whose it is.
        name: its name.
        options: its policy.
        scribe: who writes down what happens.

    Attributes:
        name: its name.
        copies: which copy of its message each receipt is, or was, for.
    """

    def __init__(self, broker: MemoryBroker, name: str, options: QueueOptions, scribe: Scribe) -> None:
        super().__init__(broker, options)
        self.name = name
        self.copies: dict[int, int] = {}
        self._scribe = scribe
        self._owners: dict[int, str] = {}
        self._clones: dict[bytes, int] = {}
        self._damaged: set[tuple[bytes, int]] = set()

    def _record(self, kind: str, message: bytes, copy: int = 0, **fields: object) -> None:
        if self._scribe.writes:
            fields |= {"queue": self.name, "message": printable(message), "copy": copy}
            self._scribe.write(kind, fields)

    def delivery(self, receipt: Any, process: str) -> tuple[int, int]:  # noqa: ARG002 - a receipt is given out once
        """Return the number in the history of a receipt of a process, and which copy of its message it is, or was, for."""
        return receipt, self.copies.get(receipt, 0)

    def owned_by(self, process: str) -> int:
        """How many messages a process owns."""
        return sum(self._owners[receipt] == process for receipt in self._reserved)

    # -- adding

    def _add(self, outgoing: Outgoing) -> Exception | None:
        answer = super()._add(outgoing)
        if not self._scribe.writes:
            return answer
        key = outgoing.claim.key.hex() if outgoing.claim is not None else ""
        if isinstance(answer, DuplicateMessageError):
            self._record("denied", outgoing.id, key=key)
        elif answer is None:
            due, ttl = self._due(outgoing.delay), outgoing.claim.ttl if outgoing.claim is not None else 0.0
            self._record("stored", outgoing.id, task=task_of(outgoing.body)[0], op=self._scribe.op, due=due, key=key, ttl=ttl)
        return answer

    def _due(self, delay: float) -> int:
        return self._scribe.now() + moment(delay) if delay > 0 else 0

    # -- reserving

    def _come_due(self, entry: Entry) -> None:
        super()._come_due(entry)
        self._record("due", entry.id, entry.copy)

    def _expire(self, receipt: int, entry: Entry) -> None:
        super()._expire(receipt, entry)
        self._record("expired", entry.id, entry.copy, receipt=receipt)

    def _take(self, n: int, now: float) -> list[Reservation]:
        self._promote(now)
        if n and self._ready:
            self._disturb()
        taken = super()._take(n, now)
        for reservation in taken:
            receipt, entry = reservation.receipt, self._reserved[reservation.receipt]
            self._owners[receipt] = self._scribe.caller()
            self.copies[receipt] = entry.copy
            expires = moment(reservation.expires_at)
            self._record("reserved", entry.id, entry.copy, receipt=receipt, expires=expires, n=reservation.deliveries)
        return taken

    def _disturb(self) -> None:
        """Let a fault hit the message that is next."""
        entry, faults = self._ready[0], self._scribe.faults
        fault = faults.at("delivery", f"{printable(entry.id)}/{entry.copy}#{entry.deliveries}")
        if fault is None:
            return
        hit = [entry]
        if fault.name == "reorder" and len(self._ready) > 1:
            hit = list(self._ready)[: 1 + fault.variant]
            self._ready.rotate(-1 - fault.variant)
        elif fault.name == "duplicate":
            copy = self._clones[entry.id] = self._clones.get(entry.id, 0) + 1
            self._ready.append(msgspec.structs.replace(entry, copy=copy))
            self._record("cloned", entry.id, copy)
            if (entry.id, entry.copy) in self._damaged:
                self._damage(entry.id, copy)
        elif fault.name == "corrupt":
            entry.body = entry.body[: len(entry.body) // 2]
            self._damage(entry.id, entry.copy)
        else:
            return
        faults.fired[fault.name] += 1
        for each in hit:
            self._record("fault", each.id, each.copy, outcome=fault.name)

    def _damage(self, message: bytes, copy: int) -> None:
        self._damaged.add((message, copy))
        self._record("corrupted", message, copy)

    # -- settling

    async def ack(self, reservations: Sequence[Reservation]) -> Sequence[bool]:
        """Remove finished messages; False for each that was no longer owned."""
        owned = await super().ack(reservations)
        for reservation, was_owned in zip(reservations, owned, strict=True):
            if was_owned:
                self._record("acked", reservation.id, self.copies.get(reservation.receipt, 0), receipt=reservation.receipt)
            else:
                self._record("stale", reservation.id, receipt=reservation.receipt, outcome="ack")
        self._scribe.settled()
        return owned

    async def release(self, reservation: Reservation, delay: float) -> None:
        """Give a message back with `reservation.body`."""
        copy = self._copy(reservation, "release")
        await super().release(reservation, delay)
        due, attempt = self._due(delay), task_of(reservation.body)[1]
        self._record("released", reservation.id, copy, receipt=reservation.receipt, due=due, attempt=attempt)

    async def extend(self, reservation: Reservation, by: float) -> Reservation:
        """Own it until `by` seconds from now."""
        copy = self._copy(reservation, "extend")
        extended = await super().extend(reservation, by)
        self._record("extended", reservation.id, copy, receipt=reservation.receipt, expires=moment(extended.expires_at))
        return extended

    async def dead_letter(self, reservation: Reservation, reason: str) -> None:
        """Put a message aside, intact."""
        copy = self._copy(reservation, "dead_letter")
        await super().dead_letter(reservation, reason)
        self._record("dead", reservation.id, copy, receipt=reservation.receipt, reason=reason)
        self._scribe.settled()

    def _copy(self, reservation: Reservation, what: str) -> int:
        self._promote(self._monotonic())
        entry = self._reserved.get(reservation.receipt)
        if entry is None:
            self._record("stale", reservation.id, receipt=reservation.receipt, outcome=what)
            return 0
        return entry.copy

    # -- looking after

    async def purge(self) -> int:
        """Drop all ready and delayed messages."""
        gone = [*self._ready, *(entry for _, _, entry in self._delayed)]
        count = await super().purge()
        for entry in gone:
            self._record("purged", entry.id, entry.copy)
        self._scribe.settled()
        return count

    async def redrive(self, letters: Sequence[DeadLetter]) -> int:
        """Make dead letters ready again."""
        known = [letter for letter in letters if letter.key in self._dead]
        count = await super().redrive(letters)
        for letter in known:
            self._record("redriven", letter.id, self.copies.get(letter.key, 0))
        return count

    async def discard(self, letters: Sequence[DeadLetter]) -> int:
        """Delete dead letters."""
        known = [letter for letter in letters if letter.key in self._dead]
        count = await super().discard(letters)
        for letter in known:
            self._record("purged", letter.id, self.copies.get(letter.key, 0))
        return count
