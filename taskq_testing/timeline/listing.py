"""A run as lines of text, for the terminal and for failure messages: what matters, in order, in aligned columns."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from taskq_testing.history import NANOSECONDS, Event
from taskq_testing.outcome import Violation
from taskq_testing.timeline.facts import Facts
from taskq_testing.timeline.words import TOLD_BY_EVENTS, clock, describe, duration, name_of, on_one_line, owner_of

__all__ = ["listing"]

_UNTOLD = frozenset({"hook", "settled"})
_TOLD_BY = {"add": "stored", "accepted": "stored", "duplicate": "denied"}
_WITHOUT_MESSAGE = frozenset({
    "crash", "spawn", "suspend", "wake", "cut", "mended", "rolled_back", "heal", "rest", "fault", "paused", "resumed",
})  # fmt: skip


def listing(
    facts: Facts, violations: Sequence[Violation], *, width: int, messages: Collection[str] | None, limit: int | None
) -> str:
    """Return the lines; see `taskq_testing.timeline.text`."""
    marked = {seq for violation in violations for seq in violation.events}
    wanted = set(facts.messages) if messages is None else set(messages)
    if messages is None and violations:
        wanted = _concerned(facts, violations, marked) or wanted
    touching = {event.process for message in wanted & facts.messages.keys() for event in facts.messages[message].events}
    events = [event for event in facts.events if event.seq in marked or _matters(facts, event, wanted, touching)]
    rows = _rows(facts, events, marked)
    head = [_cut(f"✗ {on_one_line(violation.sentence)}", width) for violation in violations]
    return "\n".join([*head, *_lines(rows, _kept(rows, limit), width)])


class _Row:
    """One line: a moment, who, what; and whether a violation points at it."""

    __slots__ = ("key", "marked", "t", "what", "who")

    def __init__(self, event: Event, who: str, what: str, *, marked: bool) -> None:
        self.t = event.t
        self.who = on_one_line(who)
        self.what = what
        self.marked = marked
        self.key = (clock(event.t), who, event.message, event.copy)


def _concerned(facts: Facts, violations: Sequence[Violation], marked: set[int]) -> set[str]:
    named = {violation.message for violation in violations}
    return (named | {event.message for event in facts.events if event.seq in marked}) & facts.messages.keys()


def _matters(facts: Facts, event: Event, wanted: set[str], touching: set[str]) -> bool:
    """Return whether an event is told although no violation points at it; `touching` are the processes of what is wanted."""
    if event.kind == "fault" and event.outcome in TOLD_BY_EVENTS:
        return False
    if not event.message:
        mine = event.process in touching or not event.process
        return event.kind in _WITHOUT_MESSAGE and mine and (event.kind != "spawn" or event.t > 0)
    if event.message not in wanted or event.kind in _UNTOLD:
        return False
    told_by = _TOLD_BY.get(event.kind)
    return told_by is None or all(other.kind != told_by for other in facts.messages[event.message].events)


def _rows(facts: Facts, events: list[Event], marked: set[int]) -> list[_Row]:
    """Return the lines; what one process does to one message at one moment shares a line."""
    rows: list[_Row] = []
    for event in events:
        row = _Row(event, *_told(facts, event), marked=event.seq in marked)
        if (
            rows
            and rows[-1].key == row.key
            and event.message
            and event.kind != "fault"
            and len(rows[-1].what) + len(row.what) < 90
        ):
            rows[-1].what += ", " + describe(event, "it")
            rows[-1].marked |= row.marked
        else:
            rows.append(row)
    return rows


def _told(facts: Facts, event: Event) -> tuple[str, str]:
    """Return who and what. A message that was stored is told by its producer, as enqueued."""
    if event.kind != "stored":
        return owner_of(event), describe(event)
    adds = [other for other in facts.messages[event.message].events if other.kind == "add" and other.seq < event.seq]
    if not adds:
        return owner_of(event), describe(event)
    task = f" ({event.task})" if event.task else ""
    return owner_of(adds[-1]), "enqueued" + describe(event, name_of(event) + task).removeprefix("stored")


def _kept(rows: list[_Row], limit: int | None) -> set[int]:
    """Return which lines to show: all that are marked, then those nearest to a mark (without marks: both ends)."""
    if limit is None or len(rows) <= limit:
        return set(range(len(rows)))
    marks = [index for index, row in enumerate(rows) if row.marked]
    if not marks:
        half = limit // 2
        return {*range(limit - half), *range(len(rows) - half, len(rows))}
    distance = [min(abs(index - mark) for mark in marks) for index in range(len(rows))]
    return set(sorted(range(len(rows)), key=lambda index: (distance[index], index))[:limit])


def _lines(rows: list[_Row], kept: set[int], width: int) -> Iterator[str]:
    shown = [rows[index] for index in sorted(kept)]
    times = max((len(clock(row.t)) for row in shown), default=0)
    names = max((len(row.who) for row in shown), default=0)
    quiet = max(NANOSECONDS, (shown[-1].t - shown[0].t) // 20) if shown else 0
    before, left_out = None, 0
    for index, row in enumerate(rows):
        if index not in kept:
            left_out += 1
            continue
        if left_out:
            yield _cut(f"{'':{times + 4}}... {left_out} more", width)
        elif before is not None and row.t - before >= quiet:
            yield _cut(f"{'':{times + 4}}... {duration((row.t - before) / NANOSECONDS)} pass", width)
        yield _cut(f"{'✗' if row.marked else ' '} {clock(row.t):>{times}}  {row.who:<{names}}  {row.what}", width)
        before, left_out = row.t, 0
    if left_out:
        yield _cut(f"{'':{times + 4}}... {left_out} more", width)


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 1] + "…"
