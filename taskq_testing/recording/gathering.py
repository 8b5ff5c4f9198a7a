"""One history of many files: the journals of the processes, and what their server did in truth, in an order that is possible.

Clients' events have the time of the machine's monotonic clock. For what the server did there are bounds: not before the time
that it drew itself, nor before the client's call that it answers; and before whatever a client did with its answer. Its own
order is known for sure. So each of its events is placed at the greatest lower bound so far, which is never too late.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec

from taskq_testing.history import KINDS, NANOSECONDS, Event, History
from taskq_testing.recording.appendonly import transactions
from taskq_testing.recording.journal import Journals
from taskq_testing.recording.ledger import Fact, Ledger

__all__ = ["gather"]

_SETUP = ("queue", "task")
_TRUTH = frozenset({"stored", "due", "reserved", "extended", "acked", "released", "dead", "expired", "purged", "redriven"})
"""What only the server knows for sure; what clients were told of it gives way to what it did."""

_UNSEEN = frozenset({"due", "expired", "size"})
"""What clients are not told of. Nor are they told which messages a purge or redrive concerned: that needs the server's word."""

_ENDS = ("acked", "released", "dead", "expired")
_FAR = 1 << 62


def gather(directory: str | Path, *, server: str | Path | None = None) -> History:
    """Return the history of a fleet.

    Args:
        directory: where its journals are.
        server: the directory of its Redis server, which was started with `appendonly` and `auto-aof-rewrite-percentage 0`
            and had nothing in it; None where the server cannot be looked at, and what its clients were told has to do.

    Raises:
        FileNotFoundError: the server keeps no append-only file.
    """
    events = sorted(Journals(directory).read(), key=_moment)
    setup = _setup(events)
    rest = [event for event in events if event.kind not in _SETUP]
    if server is None:
        told = [*rest, *_stored(rest)]
        told.sort(key=_moment)
        return _history(setup, told, KINDS - _UNSEEN)
    ledger = Ledger({event.queue: round((event.data or {})["reservation_timeout"] * NANOSECONDS) for event in setup["queue"]})
    ledger.read(transactions(Path(server)))
    names = {event.owner: event.process for event in events if event.kind == "queue" and event.owner}
    done = list(_placed(ledger.facts, rest, names))
    merged = [event for event in rest if event.kind not in _TRUTH] + done
    merged.sort(key=_moment)  # stable: at the same moment a client's call comes before what the server made of it
    return _history(setup, merged, KINDS)


def _moment(event: Event) -> int:
    return event.t


def _setup(events: Iterable[Event]) -> dict[str, list[Event]]:
    """Return each policy once; every process states those that it knows."""
    found: dict[tuple[str, str, str], Event] = {}
    for event in events:
        if event.kind in _SETUP:
            found.setdefault((event.kind, event.queue, event.task), event)
    return {kind: [event for event in found.values() if event.kind == kind] for kind in _SETUP}


def _history(setup: dict[str, list[Event]], events: list[Event], records: Iterable[str]) -> History:
    history = History()
    origin = min((event.t for event in events), default=0) - 1
    for event in (*setup["queue"], *setup["task"]):
        data = dict(event.data or {})
        if event.kind == "queue":
            data["records"] = sorted(records)
        history.record(0, event.kind, queue=event.queue, task=event.task, data=data)
    owned: dict[tuple[str, str], set[int]] = {}
    for event in events:
        place = (event.process, event.queue)
        if event.kind == "reserved":
            owned.setdefault(place, set()).add(event.receipt)
        elif event.kind in _ENDS:
            owned.get(place, set()).discard(event.receipt)
        found = event.data
        if event.kind == "at_rest":
            found = {**(event.data or {}), "owned": len(owned.get(place, ()))}
        moved = {name: value - origin for name in ("due", "expires") if (value := getattr(event, name)) > 0}
        seq = len(history)
        history.events.append(msgspec.structs.replace(event, seq=seq, t=event.t - origin, data=found, **moved))
    return history


# -- without the server's word


def _stored(events: Sequence[Event]) -> Iterator[Event]:
    """Yield that messages were stored: those whose producer was told so, or that somebody got, at the moment of their add."""
    there = {event.message for event in events if event.kind in ("accepted", "reserved", "start")}
    for event in events:
        if event.kind == "add" and event.message in there:
            due = event.t + round(event.delay * NANOSECONDS) if event.delay > 0 else 0
            yield msgspec.structs.replace(event, kind="stored", due=due, delay=-1.0)


# -- with it


def _placed(facts: Sequence[Fact], events: Sequence[Event], names: dict[str, str]) -> Iterator[Event]:
    """Yield what the server did, each at a moment that fits what its clients did."""
    shift = time.time_ns() - time.monotonic_ns()
    bounds = _Bounds(events)
    uppers = [bounds.upper(fact) for fact in facts]
    limits = list(accumulate(reversed(uppers), min))[::-1]  # nor after anything that it did later
    now = -_FAR
    for fact, limit in zip(facts, limits, strict=True):
        lower = fact.at - shift if fact.at else now
        now = max(now, lower, bounds.lower(fact))
        now = min(now, limit - 1)
        add = bounds.adds.get(fact.fields.get("op", 0))
        yield _event(fact, now, shift, names, add)


def _event(fact: Fact, now: int, shift: int, names: dict[str, str], add: Event | None) -> Event:
    fields: dict[str, Any] = dict(fact.fields)
    for name in ("due", "expires"):
        if fields.get(name):
            fields[name] -= shift
    process = names.get(fact.owner, fact.owner)
    if fact.kind == "stored" and add is not None:
        fields |= {"key": add.key, "ttl": add.ttl}
        process = add.process
    return Event(0, now, fact.kind, process=process, **fields)


class _Bounds:
    """What clients did, and when, by what they did it to."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.adds: dict[int, Event] = {}
        self._accepted: dict[int, int] = {}
        self._got: dict[int, int] = {}
        self._given: dict[int, int] = {}
        self._refused: dict[int, list[int]] = {}
        runs: dict[int, int] = {}
        for event in events:
            kind = event.kind
            if kind == "add":
                self.adds[event.op] = event
            elif kind == "accepted":
                self._accepted[event.op] = event.t
            elif kind in ("reserved", "start"):
                self._got[event.receipt] = min(event.t, self._got.get(event.receipt, _FAR))
                runs[event.run] = event.receipt
            elif kind == "stale":
                self._refused.setdefault(event.receipt, []).append(event.t)
            elif kind in ("end", "fallback_end", "acked", "released", "dead"):
                receipt = event.receipt or runs.get(event.run, 0)
                self._given[receipt] = max(event.t, self._given.get(receipt, -_FAR))

    def lower(self, fact: Fact) -> int:
        """Return the moment before which it cannot have happened."""
        if fact.kind == "stored":
            add = self.adds.get(fact.fields["op"])
            return add.t if add is not None else -_FAR
        return self._given.get(fact.fields["receipt"], -_FAR) if fact.kind in ("acked", "released", "dead") else -_FAR

    def upper(self, fact: Fact) -> int:
        """Return the moment before which it must have happened. To be asked once for each fact, in their order."""
        if fact.kind == "stored":
            return self._accepted.get(fact.fields["op"], _FAR)
        if fact.kind in ("acked", "released", "dead"):  # before anybody was told that it had been done already
            receipt = fact.fields["receipt"]
            return min((t for t in self._refused.get(receipt, ()) if t > self._given.get(receipt, -_FAR)), default=_FAR)
        # A server that lost its group gives the same receipt out again, and nobody knows which time a client saw first.
        return self._got.pop(fact.fields["receipt"], _FAR) if fact.kind == "reserved" else _FAR
