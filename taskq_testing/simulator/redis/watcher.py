"""What happens to the messages of one queue, told from what its keys in the server held before and after each command.

Nothing of the adapter is believed: an entry that is gone was acknowledged only if it is gone. What cannot be told from the
keys alone is which operation did it, and for whom; that is in the command.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from taskq.backends.memory import Held
from taskq.backends.redis.keys import Keys
from taskq.message import printable
from taskq.options import QueueOptions
from taskq_testing.simulator.recorded import moment, task_of
from taskq_testing.simulator.redis.commands import Command
from taskq_testing.simulator.redis.pictures import (
    DEAD,
    DELAYED,
    EMPTY,
    STREAM,
    Arrival,
    Picture,
    Place,
    arrivals,
    departures,
    name_in,
)

__all__ = ["Watched", "Watcher"]


class Watched(msgspec.Struct, frozen=True):
    """One copy of a message: the message's name, and which copy it is."""

    message: str
    copy: int = 0


class Scribe(Protocol):
    """What a watcher writes to, and looks through; the server."""

    def execute(self, *words: bytes) -> Any:
        """Carry out a command of nobody, which changes nothing."""

    def record(self, kind: str, process: str, **fields: object) -> None:
        """Write an event."""

    def now(self) -> int:
        """Return nanoseconds since the run began."""

    def operation_of(self, message: str) -> int:
        """Return the number of the producer's operation that adds a message, or 0."""


class Watcher:
    """One queue.

    Attributes:
        name: its name.
        keys: where it is in the server.
        picture: what was there when it was last looked at.
    """

    def __init__(self, scribe: Scribe, name: str, options: QueueOptions) -> None:
        self.name = name
        self.keys = Keys(name)
        self.picture = self._before = EMPTY
        self._scribe = scribe
        self._timeout = moment(options.reservation_timeout)
        self._here: dict[Place, Watched] = {}
        self._given: dict[bytes, Watched] = {}
        self._numbers: dict[tuple[bytes, str], int] = {}
        self._owners: dict[bytes, str] = {}
        self._clones: dict[str, int] = {}
        self._damaged: set[Watched] = set()
        self._done: set[bytes] = set()

    # -- for others to know

    @property
    def unfinished(self) -> int:
        """How many messages are ready, delayed or reserved."""
        return len(self.picture.stream) + len(self.picture.delayed) - len(self._done)

    def owned_by(self, process: str) -> int:
        """How many messages a process owns."""
        return sum(self._owners.get(owner) == process for owner, _ in self.picture.pending.values())

    def messages(self) -> list[Held]:
        """Return what changes by itself, and when (seconds of the loop's time)."""
        picture = self.picture
        delayed = [Held(b"", body, DELAYED, due / 1e9) for body, due in picture.delayed.items()]
        return [*delayed, *(Held(b"", b"", "reserved", self._expiry(key) / 1e9) for key in picture.pending)]

    def number(self, entry: bytes, process: str) -> int:
        """Return the receipt in the history of an entry that was given to a process."""
        return self._numbers.setdefault((entry, process), len(self._numbers) + 1)

    def delivery(self, receipt: bytes, process: str) -> tuple[int, int]:
        """Return the receipt in the history of an entry that was given to a process, and which copy of its message it is for."""
        watched = self._given.get(receipt)
        return self.number(receipt, process), watched.copy if watched is not None else 0

    def next_ready(self) -> bytes | None:
        """Return the entry that would be given out next."""
        return next((key for key in self.picture.stream if key not in self.picture.pending), None)

    def watched(self, entry: bytes) -> Watched:
        """Return what an entry of the stream is of."""
        return self._here[STREAM, entry]

    def deliveries(self, entry: bytes) -> int:
        """Return how often an entry's message was given out before without an outcome."""
        fields = self.picture.stream[entry]
        found = dict(zip(fields[::2], fields[1::2], strict=True)).get(b"deliveries", b"0")
        return int(found) if found.isdigit() else 0

    def subject(self, command: Command) -> str:
        """Return the message that a command is about, the first one; empty if it is about none that is known."""
        if command.operation == "send":
            return next((name_in(body) for body, _, _ in triples(command.args)), "")
        given = (self._given.get(receipt) for receipt in command.receipts)
        return next((watched.message for watched in given if watched is not None), "")

    # -- looking

    def look(self, command: Command, process: str) -> bool:
        """Write down what a command did; return whether something may be ready that was not."""
        before = self._before = self.picture
        after = Picture.taken(self._scribe.execute, self.keys, self._scribe.now())
        self._refused(command, process, before)
        if after == before:
            return False
        self.picture = after
        come = arrivals(before, after)
        alone = len(come) == 1
        for place in departures(before, after):
            arrival = self._find(self._here[place], before.body(place), come, alone=alone)
            if arrival is None and command.operation == "release":
                arrival = self._joined(self._here[place])
            if arrival is not None and arrival in come:
                come.remove(arrival)
            self._moved(command, process, place, arrival)
        for arrival in come:
            self._appeared(command, process, arrival)
        self._owned(command, process, before, after)
        self._done &= after.stream.keys()
        return any(key not in before.stream for key in after.stream)

    def _find(self, watched: Watched, body: bytes | None, come: list[Arrival], *, alone: bool) -> Arrival | None:
        """Return where something went: to the same body, else to the same message, else to the only place there is."""
        same = [arrival for arrival in come if arrival.body == body]
        same = same or [arrival for arrival in come if arrival.message == watched.message]
        return same[0] if same else come[0] if come and alone and not come[0].message else None

    def _joined(self, watched: Watched) -> Arrival | None:
        """Return where a message went if another copy with the same body waits there for the same moment."""
        bodies = [body for body in self.picture.delayed if name_in(body) == watched.message]
        return Arrival((DELAYED, bodies[0]), bodies[0], watched.message) if bodies else None

    def _refused(self, command: Command, process: str, before: Picture) -> None:
        """Write down receipts that own nothing."""
        for receipt in command.receipts:
            if receipt in before.pending or (command.operation == "ack" and receipt in before.stream):
                continue
            message = self._given[receipt].message if receipt in self._given else ""
            self._write("stale", process, message, receipt=self.number(receipt, process), outcome=command.operation)

    def _moved(self, command: Command, process: str, place: Place, arrival: Arrival | None) -> None:
        """Write down how something left its place."""
        where, key = place
        watched = self._here.pop(place)
        if arrival is not None:
            self._settle_in(arrival, watched, process)
        if where == STREAM and key in self._before.pending:
            self._left_its_owner(command, process, key, watched, arrival)
        elif arrival is None:
            if command.operation in ("purge", "ack"):
                reason = "" if command.operation == "purge" else "acknowledged though the reservation was lost with its group"
                self._write("purged", process, watched.message, watched.copy, reason=reason)
        elif where == DELAYED:
            self._write("due", process, watched.message, watched.copy)
        elif where == DEAD:
            self._write("redriven", process, watched.message, watched.copy)

    def _left_its_owner(self, command: Command, process: str, entry: bytes, watched: Watched, arrival: Arrival | None) -> None:
        """Write down how something that was reserved is so no more."""
        fields = {"receipt": self._receipt_of(command, process, entry)}
        if arrival is None:
            kind = {"ack": "acked", "purge": "purged"}.get(command.operation)
            if kind is not None:
                self._write(kind, process, watched.message, watched.copy, **fields)
        elif arrival.place[0] == DEAD:
            self._write("dead", process, watched.message, watched.copy, reason=self._reason(arrival), **fields)
        elif command.operation == "recover" and command.args[1] != b"ids":
            self._write("expired", process, watched.message, watched.copy, **fields)
        else:
            self._released(process, watched, arrival, fields)

    def _released(self, process: str, watched: Watched, arrival: Arrival, fields: dict[str, Any]) -> None:
        due = self.picture.delayed[arrival.place[1]] if arrival.place[0] == DELAYED else 0
        attempt = task_of(arrival.body or b"")[1]
        self._write("released", process, watched.message, watched.copy, due=due, attempt=attempt, **fields)

    def _reason(self, arrival: Arrival) -> str:
        fields = self.picture.dead[arrival.place[1]]
        return dict(zip(fields[::2], fields[1::2], strict=True)).get(b"reason", b"").decode(errors="replace")

    def _settle_in(self, arrival: Arrival, watched: Watched, process: str) -> None:
        """Note what is at a place now. Two copies of a message with one body cannot wait both: the delayed set is one."""
        merged = self._here.get(arrival.place)
        if merged is not None and merged != watched:
            self._write("purged", process, merged.message, merged.copy, reason="another copy with the same body took its place")
        self._here[arrival.place] = watched

    def _appeared(self, command: Command, process: str, arrival: Arrival) -> None:
        """Write down what came from nowhere: it was added, or should not be."""
        place, receipts = arrival.place, command.receipts
        if receipts and receipts[0] in self._given:
            watched = self._given[receipts[0]]
            self._settle_in(arrival, watched, process)
            fields = {"receipt": self.number(receipts[0], process)}
            if place[0] == DEAD:
                self._write("dead", process, watched.message, watched.copy, reason=self._reason(arrival), **fields)
            else:
                self._released(process, watched, arrival, fields)
        elif command.operation == "promote" and (stays := self._here.get((DELAYED, arrival.body or b""))) is not None:
            self._here[place] = stays
            self._write("due", process, stays.message, stays.copy)
        else:
            message = arrival.message or f"entry {printable(place[1])}"
            self._here[place] = Watched(message)
            self._stored(command, process, arrival, message)

    def _stored(self, command: Command, process: str, arrival: Arrival, message: str) -> None:
        where, key = arrival.place
        due = self.picture.delayed[key] if where == DELAYED else 0
        task = task_of(arrival.body or b"")[0]
        op = self._scribe.operation_of(message)
        name, ttl = self._claim(command, arrival.body)
        self._write("stored", process, message, task=task, op=op, due=due, key=name, ttl=ttl)

    def _claim(self, command: Command, body: bytes | None) -> tuple[str, float]:
        """Return the name that an add claimed with a body, and for how many seconds, as they were sent."""
        if command.operation != "send":
            return "", 0.0
        names = list(command.keys[3:])
        for sent, _, ttl in triples(command.args):
            name = names.pop(0) if ttl else b""
            if sent == body:
                return self.name_of(name), int(ttl or 0) / 1000
        return "", 0.0

    def name_of(self, key: bytes) -> str:
        """Return the dedup name that a key of the server holds, as producers call it."""
        return key.removeprefix(self.keys.once(b"")).hex()

    def _owned(self, command: Command, process: str, before: Picture, after: Picture) -> None:
        """Write down who owns what since now, and until when."""
        for entry, (owner, _) in after.pending.items():
            was = before.pending.get(entry)
            if was == after.pending[entry] or (STREAM, entry) not in self._here:
                continue
            watched = self._here[STREAM, entry]
            fields = {"receipt": self.number(entry, process), "expires": self._expiry(entry)}
            if was is None:
                self._given[entry] = watched
                self._owners[owner] = process
                count = self.deliveries(entry) + 1
                self._write("reserved", process, watched.message, watched.copy, n=count, **fields)
            else:
                self._write("extended", process, watched.message, watched.copy, **fields)
        if command.operation == "ack":
            for entry in before.pending:
                if entry in after.stream and entry not in after.pending:  # and it stays there, which a count will show
                    watched = self._here[STREAM, entry]
                    receipt = self._receipt_of(command, process, entry)
                    self._done.add(entry)
                    self._write("acked", process, watched.message, watched.copy, receipt=receipt)

    def _receipt_of(self, command: Command, process: str, entry: bytes) -> int:
        """Return the receipt under which a reservation ended: that of whoever ended it, or that of the owner."""
        owner = self._owners.get(self._before.pending[entry][0], "")
        return self.number(entry, process if entry in command.receipts else owner)

    def _expiry(self, entry: bytes) -> int:
        return self.picture.pending[entry][1] + self._timeout

    def _write(self, kind: str, process: str, message: str, copy: int = 0, **fields: object) -> None:
        self._scribe.record(kind, process, queue=self.name, message=message, copy=copy, **fields)

    # -- what others than the adapter do

    def body(self, entry: bytes) -> bytes | None:
        """Return the body of an entry of the stream, None if it has none."""
        return self.picture.body((STREAM, entry))

    def put(self, entry: bytes, watched: Watched, *, instead_of: bytes = b"") -> None:
        """Take note of what a new entry is of, and that it came instead of another."""
        self._here.pop((STREAM, instead_of), None)
        self._here[STREAM, entry] = watched
        self.refresh()

    def next_copy(self, watched: Watched) -> Watched:
        """Return what another copy of a message is called."""
        count = self._clones[watched.message] = self._clones.get(watched.message, 0) + 1
        return Watched(watched.message, count)

    def damage(self, watched: Watched) -> None:
        """Take note that the body of a copy is damaged."""
        self._damaged.add(watched)

    def is_damaged(self, watched: Watched) -> bool:
        """Return whether the body of a copy was damaged."""
        return watched in self._damaged

    def refresh(self) -> None:
        """Look, and say nothing."""
        self.picture = Picture.taken(self._scribe.execute, self.keys, self._scribe.now())

    def dump(self) -> dict[Place, Watched]:
        """Return what is where."""
        return dict(self._here)

    def load(self, here: dict[Place, Watched]) -> None:
        """Take note that the server holds again what it held when `here` was dumped; write down what there is."""
        self.refresh()
        picture = self.picture
        self._here = {place: here[place] for place in picture.places()}
        for (where, key), watched in self._here.items():
            fields: dict[str, object] = {"outcome": where}
            if where == STREAM:
                owned = key in picture.pending
                fields["outcome"] = "reserved" if owned else "ready"
                if owned:
                    owner = self._owners.get(picture.pending[key][0], "")
                    fields |= {"receipt": self.number(key, owner), "expires": self._expiry(key)}
            elif where == DELAYED:
                fields["due"] = picture.delayed[key]
            self._write("restored", "broker", watched.message, watched.copy, **fields)


def triples(args: Sequence[bytes]) -> list[tuple[bytes, bytes, bytes]]:
    """Return body, delay and time to live of each message that a trip carries."""
    rest = args[2:]
    return list(zip(rest[::3], rest[1::3], rest[2::3], strict=True))
