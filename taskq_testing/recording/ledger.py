"""What a Redis server did to the messages of its queues, read from its append-only file: the truth, whoever was told of it.

It knows the effects of taskq's scripts, not the scripts: an entry that is taken from its owner and added again with a count of
deliveries was recovered, with another body or none was released, and so on. So a script that does something else shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from taskq_testing.recording.appendonly import Words
from taskq_testing.recording.receipts import name_of, number_of

__all__ = ["Fact", "Ledger"]

_MILLISECOND = 1_000_000
_EVERYWHERE = (b"FLUSHALL", b"FLUSHDB")
_TRIP = 600_000
"""Milliseconds for which the server remembers a trip of a sender; its expiry tells when the trip arrived."""


class Fact(NamedTuple):
    """One thing that a server did.

    Attributes:
        kind: as in `history.KINDS`.
        at: unix nanoseconds; it happened then or a little later. 0 if the file does not tell.
        owner: the consumer that did it, or to whom it happened, as the server knows it.
        fields: as in `history.Event`, with `due` and `expires` in unix nanoseconds.
    """

    kind: str
    at: int
    owner: str
    fields: dict[str, Any]


class _Entry:
    """One message where it is now."""

    __slots__ = ("body", "expires", "id", "message", "owner", "queue", "task")

    def __init__(self, queue: str, identifier: bytes, body: bytes) -> None:
        self.queue = queue
        self.id = identifier
        self.body = body
        self.message, self.task, _ = name_of(body, identifier)
        self.owner = ""
        self.expires = 0


class _Queue:
    """The entries of one queue."""

    def __init__(self) -> None:
        self.stream: dict[bytes, _Entry] = {}
        self.delayed: dict[bytes, tuple[_Entry, int]] = {}
        self.dead: dict[bytes, _Entry] = {}


class Ledger:
    """Follows the messages of all queues through the commands of a server.

    Args:
        timeouts: the reservation timeout of each queue, in nanoseconds; other queues are passed over.

    Attributes:
        facts: what happened, in order.
    """

    def __init__(self, timeouts: Mapping[str, int]) -> None:
        self.facts: list[Fact] = []
        self._timeouts = timeouts
        self._queues: dict[str, _Queue] = {name: _Queue() for name in timeouts}
        self._now = 0
        self._taken: list[_Entry] = []  # in this transaction, from their owners
        self._raised: list[_Entry] = []  # in this transaction, from the dead
        self._readers: dict[bytes, Callable[[Words], None]] = {
            b"XADD": self._xadd,
            b"ZADD": self._zadd,
            b"ZREM": self._zrem,
            b"XCLAIM": self._xclaim,
            b"XACK": self._xack,
            b"XDEL": self._xdel,
            b"DEL": self._del,
            b"UNLINK": self._del,
            b"XGROUP": self._xgroup,
            b"SET": self._set,
        }

    def read(self, transactions: Iterable[Sequence[Words]]) -> None:
        """Follow what was done."""
        for transaction in transactions:
            self._taken, self._raised = [], []
            for words in transaction:
                if words[0].upper() in _EVERYWHERE:
                    self._forget_everything()
                elif (read := self._readers.get(words[0].upper())) is not None:
                    read(words)
            for entry in self._taken:
                self._tell("acked", entry, receipt=entry.id)
            for entry in self._raised:
                self._tell("purged", entry)

    # -- telling

    def _tell(self, kind: str, entry: _Entry, **fields: Any) -> None:
        if "receipt" in fields:
            fields["receipt"] = number_of(fields["receipt"])
        self.facts.append(Fact(kind, self._now, entry.owner, {"queue": entry.queue, "message": entry.message, **fields}))

    def _at(self, milliseconds: bytes) -> int:
        """Take note of a time that the server drew."""
        self._now = int(milliseconds) * _MILLISECOND
        return self._now

    def _place(self, key: bytes) -> tuple[str, _Queue, bytes] | None:
        """Return the queue that a key belongs to, and what the key is for."""
        head, brace, rest = key.partition(b"{")
        name, close, suffix = rest.rpartition(b"}:")
        queue = self._queues.get(name.decode(errors="surrogateescape")) if brace and close else None
        return None if head != b"taskq:" or queue is None else (name.decode(errors="surrogateescape"), queue, suffix)

    # -- commands

    def _xadd(self, words: Words) -> None:
        place = self._place(words[1])
        if place is None:
            return
        name, queue, suffix = place
        self._at(words[2].partition(b"-")[0])
        fields = dict(zip(words[3::2], words[4::2], strict=False))
        entry = _Entry(name, words[2], fields.get(b"body", b""))
        if suffix == b"dead":
            queue.dead[entry.id] = entry
            if self._taken:
                taken = self._taken.pop(0)
                self._tell("dead", taken, receipt=taken.id, reason=fields.get(b"reason", b"").decode(errors="replace"))
        elif suffix == b"stream":
            queue.stream[entry.id] = entry
            self._made_ready(queue, entry, b"deliveries" in fields)

    def _made_ready(self, queue: _Queue, entry: _Entry, counted: bool) -> None:
        """Tell why there is a new entry in the stream."""
        if entry.body in queue.delayed:
            self._tell("due", entry)
        elif self._raised:
            self._raised.pop(0)
            self._tell("redriven", entry)
        elif not self._taken:
            self._tell("stored", entry, task=entry.task, op=number_of(entry.message.encode()))
        elif counted and self._now >= self._taken[0].expires:
            taken = self._taken.pop(0)
            self._tell("expired", taken, receipt=taken.id)
        else:
            self._released(self._taken.pop(0), entry, 0)

    def _released(self, taken: _Entry, entry: _Entry, due: int) -> None:
        """Tell that something was given back; also what its owner never received, and noticed."""
        attempt = name_of(entry.body, entry.id)[2]
        self._tell("released", taken, receipt=taken.id, due=due, attempt=attempt)

    def _zadd(self, words: Words) -> None:
        place = self._place(words[1])
        if place is None or place[2] != b"zset":
            return
        name, queue, _ = place
        for score, body in zip(words[2::2], words[3::2], strict=False):
            due = int(float(score)) * _MILLISECOND
            entry = _Entry(name, b"delayed", body)
            queue.delayed[body] = entry, due
            if self._taken:
                self._released(self._taken.pop(0), entry, due)
            else:
                self._tell("stored", entry, task=entry.task, op=number_of(entry.message.encode()), due=due)

    def _zrem(self, words: Words) -> None:
        place = self._place(words[1])
        if place is not None and place[2] == b"zset":
            for body in words[2:]:
                place[1].delayed.pop(body, None)

    def _xclaim(self, words: Words) -> None:
        place = self._place(words[1])
        entry = place[1].stream.get(words[5]) if place is not None else None
        if entry is None:
            return
        options = dict(zip(words[6:10:2], words[7:11:2], strict=False))
        entry.expires = self._at(options[b"TIME"]) + self._timeouts[entry.queue]
        owner = words[3].decode()
        if entry.owner == owner:
            self._tell("extended", entry, receipt=entry.id, expires=entry.expires)
            return
        entry.owner = owner
        self._tell("reserved", entry, receipt=entry.id, expires=entry.expires, n=int(options[b"RETRYCOUNT"]))

    def _xack(self, words: Words) -> None:
        place = self._place(words[1])
        if place is not None:
            self._taken += [entry for key in words[3:] if (entry := place[1].stream.get(key)) is not None and entry.owner]

    def _xdel(self, words: Words) -> None:
        place = self._place(words[1])
        if place is None:
            return
        _, queue, suffix = place
        for key in words[2:]:
            if suffix == b"dead":
                self._raised += [entry] if (entry := queue.dead.pop(key, None)) is not None else []
            elif (entry := queue.stream.pop(key, None)) is not None and entry not in self._taken:
                self._tell("purged", entry)

    def _del(self, words: Words) -> None:
        for key in words[1:]:
            place = self._place(key)
            if place is None:
                continue
            _, queue, suffix = place
            if suffix == b"zset":
                for entry, _ in queue.delayed.values():
                    self._tell("purged", entry)
                queue.delayed.clear()
            elif suffix == b"stream":
                for entry in queue.stream.values():
                    self._tell("purged", entry)
                queue.stream.clear()

    def _xgroup(self, words: Words) -> None:
        place = self._place(words[2])
        if place is not None and words[1].upper() == b"DESTROY":
            for entry in place[1].stream.values():
                entry.owner = ""
            self._go_back(self._now)

    # -- what happens to everything

    def _forget_everything(self) -> None:
        self._queues = {name: _Queue() for name in self._queues}
        self._go_back(0)

    def _go_back(self, due: int) -> None:
        """Tell that the server forgot something, and what it has still."""
        self.facts.append(Fact("rolled_back", self._now, "", {"due": due}))
        for queue in self._queues.values():
            for entry in queue.stream.values():
                state = "reserved" if entry.owner else "ready"
                self._tell("restored", entry, outcome=state, receipt=entry.id if entry.owner else 0, expires=entry.expires)
            for entry, moment in queue.delayed.values():
                self._tell("restored", entry, outcome="delayed", due=moment)
            for entry in queue.dead.values():
                self._tell("restored", entry, outcome="dead")

    def _set(self, words: Words) -> None:
        place = self._place(words[1])
        if place is not None and place[2].startswith(b"sender:") and words[3].upper() == b"PXAT":
            self._at(str(int(words[4]) - _TRIP).encode())
