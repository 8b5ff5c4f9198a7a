"""Where everything of a run is drawn: lanes, bars, marks and arrows, as plain values for the page's scripts. No drawing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from taskq_testing.history import NANOSECONDS, Event
from taskq_testing.outcome import Violation
from taskq_testing.timeline.facts import Facts, Reservation, Run
from taskq_testing.timeline.story import explain
from taskq_testing.timeline.words import describe, duration, owner_of

__all__ = ["paint"]

_BY_PRODUCER = frozenset({"add", "accepted", "duplicate", "refused", "unknown"})
_BY_BROKER = {
    **dict.fromkeys(("queue", "task", "stored", "denied", "cloned", "corrupted"), 0),
    **dict.fromkeys(("due", "expired", "redriven", "restored"), 1),
    **dict.fromkeys(("reserved", "extended"), 2),
    **dict.fromkeys(("acked", "released", "dead", "stale", "purged", "size"), 3),
}
"""On which level of its queue's lane an event of the broker is drawn."""

_BY_WORKER = frozenset({"reserved", "start", "fallback", "buffered", "consumer", "at_rest", "paused"})
_TO_ALL = frozenset({"heal", "rest", "rolled_back"})
_FAULTS = frozenset({"crash", "suspend", "cut", "fault", "rolled_back"})


def paint(facts: Facts, violations: Sequence[Violation]) -> dict[str, Any]:
    """Return everything that the page shows."""
    return _Painter(facts).paint(violations)


class _Painter:
    """Knows which lane is whose, and which event has which index."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._index = {event.seq: index for index, event in enumerate(facts.events)}
        producers = {event.process for event in facts.events if event.kind in _BY_PRODUCER and event.process}
        workers = {event.process for event in facts.events if event.kind in _BY_WORKER and event.process}
        workers |= {reservation.process for reservation in facts.reservations if reservation.process}
        others = {event.process for event in facts.events if event.kind not in _BY_BROKER} - producers - {""}
        queues = {about.queue for about in facts.messages.values()} | {event.queue for event in facts.by_kind["queue"]}
        names = [("producer", producers), ("queue", queues - {""}), ("worker", workers | others)]
        self._lanes = [{"role": role, "name": name} for role, some in names for name in sorted(some, key=_natural)]
        self._lane = {(lane["role"], lane["name"]): index for index, lane in enumerate(self._lanes)}

    def paint(self, violations: Sequence[Violation]) -> dict[str, Any]:
        runs, owned = self._runs(), self._owned()
        rows: defaultdict[tuple[str, int], int] = defaultdict(int)
        for what, bars in (("runs", runs), ("owned", owned)):
            for bar in bars:
                rows[what, bar["lane"]] = max(rows[what, bar["lane"]], bar["row"] + 1)
        lanes = [{**lane, "runs": rows["runs", index], "owned": rows["owned", index]} for index, lane in enumerate(self._lanes)]
        return {
            "end": self._facts.end,
            "summary": self._summary(),
            "lanes": lanes,
            "events": [self._event(event) for event in self._facts.events],
            "runs": runs,
            "owned": owned,
            "arrows": self._arrows(owned),
            "spans": self._spans(),
            "counts": self._counts(),
            "messages": {
                name: {"task": about.task, "queue": about.queue, "why": explain(self._facts, name)}
                for name, about in self._facts.messages.items()
            },
            "violations": [self._violation(violation) for violation in violations],
        }

    def _summary(self) -> str:
        faults = sum(event.kind in _FAULTS for event in self._facts.events)
        parts = [(len(self._facts.events), "event"), (len(self._facts.messages), "message"), (faults, "fault")]
        counted = [f"{count:,} {name}{'' if count == 1 else 's'}" for count, name in parts]
        return " · ".join([*counted, duration(self._facts.end / NANOSECONDS)])

    # -- events

    def _event(self, event: Event) -> dict[str, Any]:
        lane, level = self._place(event)
        told = ("seq", "t", "kind", "process", "message")
        fields = {name: value for name, value in msgspec.to_builtins(event).items() if name not in told}
        return {
            "t": event.t,
            "kind": event.kind,
            "who": owner_of(event),
            "message": event.message,
            "copy": event.copy,
            "text": describe(event),
            "lane": lane,
            "level": level,
            "fields": fields,
        }

    def _place(self, event: Event) -> tuple[int, int]:
        """Return the lane of an event, -1 where it concerns all, and its level there."""
        if event.kind in _TO_ALL:
            return -1, 0
        if event.kind in _BY_PRODUCER:
            return self._lane.get(("producer", event.process), -1), int(event.kind != "add")
        if event.kind in _BY_BROKER or (event.kind == "fault" and not event.process):
            about = self._facts.messages.get(event.message)
            queue = about.queue if about is not None else event.queue
            return self._lane.get(("queue", queue), -1), _BY_BROKER.get(event.kind, 0)
        worker = self._lane.get(("worker", event.process))
        return (self._lane.get(("producer", event.process), -1) if worker is None else worker), 0

    def _lanes_of(self, process: str) -> list[int]:
        return [self._lane[key] for key in (("producer", process), ("worker", process)) if key in self._lane]

    # -- bars

    def _runs(self) -> list[dict[str, Any]]:
        rows = _Rows()
        bars = []
        for run in self._facts.runs:
            until = run.end.t if run.end is not None else self._facts.end
            lane = self._lane.get(("worker", run.begin.process), -1)
            row = rows.take(lane, run.begin.t, until, run.begin.worker)
            bars.append({**self._bar(run, until), "lane": lane, "row": row, "outcome": run.outcome, "label": _label(run)})
        return bars

    def _owned(self) -> list[dict[str, Any]]:
        rows = _Rows()
        bars = []
        for reservation in self._facts.reservations:
            end = reservation.end
            until = end.t if end is not None else max(self._facts.end, reservation.begin.t)
            if end is not None and end.kind == "expired":
                until = max(reservation.begin.t, min(until, reservation.expires))
            lane = self._lane.get(("worker", reservation.process), -1)
            bar = self._bar(reservation, until)
            bar["lane"], bar["row"] = lane, rows.take(lane, reservation.begin.t, until)
            bar["outcome"] = end.kind if end is not None else "open"
            bar["expires"] = reservation.expires
            bar["extended"] = [self._index[event.seq] for event in reservation.extended]
            bars.append(bar)
        return bars

    def _bar(self, thing: Run | Reservation, until: int) -> dict[str, Any]:
        begin, end = thing.begin, thing.end
        return {
            "from": begin.t,
            "to": until,
            "begin": self._index[begin.seq],
            "end": self._index[end.seq] if end is not None else -1,
            "message": begin.message,
        }

    def _arrows(self, owned: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return one arrow from each reservation that did not settle its message to the next one of the same copy."""
        last: dict[tuple[str, int], int] = {}
        arrows = []
        for index, bar in enumerate(owned):
            copy = (bar["message"], self._facts.events[bar["begin"]].copy)
            before = last.get(copy)
            if before is not None and owned[before]["outcome"] in ("released", "expired", "rolled_back"):
                arrows.append({"from": before, "to": index, "why": owned[before]["outcome"]})
            last[copy] = index
        return arrows

    # -- the rest

    def _spans(self) -> list[dict[str, Any]]:
        labels = {"suspended": "suspended", "down": "down", "cut": "cut off", "paused": "paused"}
        return [
            {
                "what": span.what,
                "label": labels[span.what] + (f": {span.begin.outcome}" if span.what == "cut" and span.begin.outcome else ""),
                "from": span.begin.t,
                "to": span.until,
                "begin": self._index[span.begin.seq],
                "end": self._index[span.end.seq] if span.end is not None else -1,
                "process": span.begin.process,
                "lanes": self._lanes_of(span.begin.process),
            }
            for span in self._facts.spans
        ]

    def _counts(self) -> dict[str, list[list[int]]]:
        """Return for each queue rows of: index of an event, and how many are ready, delayed, reserved, dead after it."""
        counts: dict[str, list[list[int]]] = {lane["name"]: [] for lane in self._lanes if lane["role"] == "queue"}
        for index, queue, sizes in self._facts.counts:
            counts.setdefault(queue, []).append([index, *sizes])
        return counts

    def _violation(self, violation: Violation) -> dict[str, Any]:
        return {
            "invariant": violation.invariant,
            "sentence": violation.sentence,
            "message": violation.message,
            "events": [self._index[seq] for seq in violation.events if seq in self._index],
        }


class _Rows:
    """Finds a row for each bar of a lane such that no two bars lie over each other."""

    def __init__(self) -> None:
        self._free: defaultdict[int, list[int]] = defaultdict(list)
        self._last: dict[tuple[int, int], int] = {}

    def take(self, lane: int, begin: int, end: int, worker: int = -1) -> int:
        """Return the row that this worker had before if that is free, else the first free one."""
        free = self._free[lane]
        own = self._last.get((lane, worker), -1) if worker >= 0 else -1
        candidates: Iterable[int] = (own, *range(len(free))) if own >= 0 else range(len(free))
        row = next((row for row in candidates if free[row] <= begin), len(free))
        if row == len(free):
            free.append(0)
        free[row] = max(end, begin + 1)
        self._last[lane, worker] = row
        return row


def _label(run: Run) -> str:
    if run.begin.kind == "fallback":
        return f"{run.begin.task} fallback"
    return f"{run.begin.task} #{run.begin.attempt}" if run.begin.attempt > 1 else run.begin.task


def _natural(name: str) -> list[tuple[int, str]]:
    """Return what sorts `worker-10` after `worker-9`."""
    digits = "".join(c if c.isdigit() and c.isascii() else " " for c in name).split()
    letters = "".join(" " if c.isdigit() and c.isascii() else c for c in name)
    return [(0, letters), *((int(number), "") for number in digits)]
