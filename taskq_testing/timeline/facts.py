"""What a history says, put together: reservations, runs, spans of trouble, and how many messages were in which state.

Everything else of the timeline reads these values; they are gathered in one pass and decide nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

import msgspec

from taskq_testing.history import NANOSECONDS, Event, History

__all__ = ["STATES", "About", "Facts", "Reservation", "Run", "Span", "gather"]

STATES = ("ready", "delayed", "reserved", "dead")
_BROKERS = frozenset({"due", "expired", "restored", "rolled_back"})  # they name whoever called when the broker noticed
_OF_A_MESSAGE = frozenset({
    "stored", "due", "reserved", "extended", "acked", "released", "dead", "expired", "purged", "redriven", "cloned", "restored",
    "start", "fallback",
})  # fmt: skip
_DAY = 86_400 * NANOSECONDS

Copy = tuple[str, int]
"""Message and number of its copy."""


class Reservation(msgspec.Struct):
    """One process owns one message for a while.

    Attributes:
        process: the owner.
        begin: its `reserved` event, or `restored` after a restart of the broker.
        end: what ended it, or None: it lasts to the end of the record.
        expires: when it runs out, as last extended (ns).
        extended: its extensions.
    """

    process: str
    begin: Event
    end: Event | None
    expires: int
    extended: list[Event]


class Run(msgspec.Struct):
    """One run of a handler or fallback.

    Attributes:
        begin: its `start` or `fallback` event.
        end: what ended it, or the crash that cut it off; None: it goes on at the end of the record.
    """

    begin: Event
    end: Event | None

    @property
    def outcome(self) -> str:
        """Return ok, error, cancelled, cut (by a crash) or open."""
        if self.end is None:
            return "open"
        return "cut" if self.end.kind == "crash" else self.end.outcome or "ok"


class Span(msgspec.Struct):
    """A stretch of a process's time that is not like others.

    Attributes:
        what: suspended, cut, down or paused.
        begin: the event that began it.
        until: when it was over (ns), or None: not before the end of the record.
        end: the event that ended it, if one did.
    """

    what: str
    begin: Event
    until: int | None
    end: Event | None

    def covers(self, t: int) -> bool:
        """Return whether `t` lies in it."""
        return self.begin.t <= t and (self.until is None or t <= self.until)


class About(msgspec.Struct):
    """What concerns one message: its queue and task, and its events, reservations and runs in order."""

    queue: str
    task: str
    events: list[Event]
    reservations: list[Reservation]
    runs: list[Run]


class Facts(msgspec.Struct):
    """A history, put together.

    Attributes:
        events: in order; times begin near 0, and broker's events name no process.
        end: the time of the last one.
        messages: what concerns each message.
        reservations: all of them, as they began.
        runs: all of them, as they began.
        spans: all of them, as they began.
        counts: after the event of an index, how many messages of a queue are ready, delayed, reserved and dead.
        states: each live copy's state at the end, and the event since when.
        by_kind: the events of each kind.
        owners: for each queue the processes that ever reserved from it.
    """

    events: list[Event]
    end: int
    messages: dict[str, About]
    reservations: list[Reservation]
    runs: list[Run]
    spans: list[Span]
    counts: list[tuple[int, str, tuple[int, ...]]]
    states: dict[Copy, tuple[str, Event]]
    by_kind: defaultdict[str, list[Event]]
    owners: defaultdict[str, set[str]]

    def spans_of(self, process: str, begin: int, until: int) -> list[Span]:
        """Return a process's spans of trouble that touch a stretch of time; pauses are none."""
        return [
            span
            for span in self.spans
            if span.begin.process == process
            and span.what != "paused"
            and span.begin.t <= until
            and (span.until is None or span.until >= begin)
        ]


def gather(history: History) -> Facts:
    """Put a history together; a history that starts later than a day by its clock is moved to begin at 0."""
    events = [_shared(event) if event.kind in _BROKERS or event.process == "broker" else event for event in history]
    origin = events[0].t if events and events[0].t > _DAY else 0
    if origin:
        events = [_moved(event, origin) for event in events]
    reader = _Reader()
    for event in events:
        reader.read(event)
    by_kind: defaultdict[str, list[Event]] = defaultdict(list)
    for event in reader.events:
        by_kind[event.kind].append(event)
    owners: defaultdict[str, set[str]] = defaultdict(set)
    for reservation in reader.reservations:
        owners[reader.messages[reservation.begin.message].queue].add(reservation.process)
    return Facts(
        events=reader.events,
        end=max((event.t for event in reader.events), default=0),
        messages=reader.messages,
        reservations=reader.reservations,
        runs=reader.runs,
        spans=reader.spans,
        counts=reader.counts,
        states=reader.states,
        by_kind=by_kind,
        owners=owners,
    )


def _shared(event: Event) -> Event:
    return msgspec.structs.replace(event, process="")


def _moved(event: Event, origin: int) -> Event:
    later = {name: max(0, value - origin) for name in ("due", "expires") if (value := getattr(event, name))}
    return msgspec.structs.replace(event, t=event.t - origin, **later)


class _Reader:
    """Reads events one by one; knows what is open."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.messages: dict[str, About] = {}
        self.reservations: list[Reservation] = []
        self.runs: list[Run] = []
        self.spans: list[Span] = []
        self.counts: list[tuple[int, str, tuple[int, ...]]] = []
        self.states: dict[Copy, tuple[str, Event]] = {}
        self._sizes: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._owned: dict[tuple[str, int, int], Reservation] = {}
        self._forgotten: dict[tuple[str, int, int], Reservation] = {}
        self._running: defaultdict[tuple[str, int], list[Run]] = defaultdict(list)
        self._workers: dict[tuple[str, int], int] = {}
        self._trouble: dict[tuple[str, str], Span] = {}
        self._steps: dict[str, Callable[[Event], None]] = {
            "reserved": self._reserve,
            "extended": self._extend,
            "rolled_back": self._roll_back,
            "restored": self._restore,
            "start": self._start,
            "fallback": self._start,
            "end": self._end,
            "fallback_end": self._end,
            "crash": self._crash,
            "suspend": self._begin_trouble,
            "cut": self._begin_trouble,
            "spawn": self._end_trouble,
            "wake": self._end_trouble,
            "mended": self._end_trouble,
            "heal": self._heal,
            "paused": self._pause,
            "resumed": self._resume,
            **dict.fromkeys(("acked", "released", "dead", "expired", "purged"), self._let_go),
        }

    def read(self, event: Event) -> None:
        """Take one event in."""
        if event.kind in ("end", "fallback_end", "fallback"):
            event = self._completed(event)
        elif event.kind == "fault" and event.message not in self.messages:
            event = self._aimed(event)
        self.events.append(event)
        if event.message:
            self._about(event).events.append(event)
        step = self._steps.get(event.kind)
        if step is not None and (event.message or event.kind not in _OF_A_MESSAGE):
            step(event)
        for queue in self._count(event):
            sizes = self._sizes[queue]
            self.counts.append((len(self.events) - 1, queue, tuple(sizes[state] for state in STATES)))

    def _completed(self, event: Event) -> Event:
        """Return what ends a run, or is its fallback, with the message and the worker that its start named."""
        key = (event.process, event.run)
        if event.kind == "fallback":
            return msgspec.structs.replace(event, worker=self._workers.get(key, event.worker))
        runs = self._running.get(key, ())
        if len(runs) != 1:  # a batch's end is nobody's own
            return event
        begin = runs[0].begin
        return msgspec.structs.replace(
            event, message=begin.message, copy=begin.copy, task=begin.task, worker=begin.worker, attempt=begin.attempt
        )

    def _aimed(self, event: Event) -> Event:
        """Return a fault with the message that its subject names (`id#delivery`, or something else than a message)."""
        message = event.message.partition("#")[0]
        return msgspec.structs.replace(event, message=message if message in self.messages else "", key=event.message)

    def _about(self, event: Event) -> About:
        about = self.messages.get(event.message)
        if about is None:
            about = self.messages[event.message] = About(event.queue, event.task, [], [], [])
        about.queue = about.queue or event.queue
        about.task = about.task or event.task
        return about

    # -- states

    def _count(self, event: Event) -> Iterable[str]:
        """Follow the messages' states; return the queues whose counts changed."""
        if event.kind == "rolled_back":
            self.states.clear()
            self._sizes = defaultdict(Counter, {queue: Counter() for queue in self._sizes})
            return list(self._sizes)
        after = _state_after(event)
        if after is None:
            return ()
        key = (event.message, event.copy)
        sizes = self._sizes[self.messages[event.message].queue]
        before = self.states.pop(key, None)
        if before is not None:
            sizes[before[0]] -= 1
        if after in STATES:
            self.states[key] = (after, event)
            sizes[after] += 1
        return (self.messages[event.message].queue,)

    # -- reservations

    def _reserve(self, event: Event, process: str = "") -> None:
        reservation = Reservation(process or event.process, event, None, event.expires, [])
        self._owned[event.message, event.copy, event.receipt] = reservation
        self.reservations.append(reservation)
        self.messages[event.message].reservations.append(reservation)

    def _extend(self, event: Event) -> None:
        reservation = self._owned.get((event.message, event.copy, event.receipt))
        if reservation is not None:
            reservation.expires = event.expires
            reservation.extended.append(event)

    def _let_go(self, event: Event) -> None:
        reservation = self._owned.pop((event.message, event.copy, event.receipt), None)
        if reservation is not None:
            reservation.end = event

    def _roll_back(self, event: Event) -> None:
        for reservation in self._owned.values():
            reservation.end = event
        self._forgotten, self._owned = self._owned, {}

    def _restore(self, event: Event) -> None:
        if event.outcome == "reserved":
            before = self._forgotten.get((event.message, event.copy, event.receipt))
            self._reserve(event, before.process if before is not None else "")

    # -- runs

    def _start(self, event: Event) -> None:
        run = Run(event, None)
        key = (event.process, event.run)
        self._running[key].append(run)
        self._workers[key] = event.worker
        self.runs.append(run)
        if event.message:
            self.messages[event.message].runs.append(run)

    def _end(self, event: Event) -> None:
        runs = self._running.pop((event.process, event.run), ())
        for run in runs:
            run.end = event
            if not event.message:
                self.messages[run.begin.message].events.append(event)

    # -- processes

    def _crash(self, event: Event) -> None:
        for key in [key for key in self._running if key[0] == event.process]:
            for run in self._running.pop(key):
                run.end = event
        for what in ("suspended", "cut"):
            self._close(what, event)
        self._open("down", event)

    def _begin_trouble(self, event: Event) -> None:
        self._open("suspended" if event.kind == "suspend" else "cut", event)

    def _end_trouble(self, event: Event) -> None:
        self._close({"spawn": "down", "wake": "suspended", "mended": "cut"}[event.kind], event)

    def _heal(self, event: Event) -> None:
        for what, process in list(self._trouble):
            if what == "cut":
                self._close(what, msgspec.structs.replace(event, process=process))

    def _pause(self, event: Event) -> None:
        until = event.t + round(max(event.delay, 0.0) * NANOSECONDS)
        self._trouble[f"paused {event.queue} {event.task}", event.process] = span = Span("paused", event, until, None)
        self.spans.append(span)

    def _resume(self, event: Event) -> None:
        self._close(f"paused {event.queue} {event.task}", event)

    def _open(self, what: str, event: Event) -> None:
        self._close(what, event)
        self._trouble[what, event.process] = span = Span(what, event, None, None)
        self.spans.append(span)

    def _close(self, what: str, event: Event) -> None:
        span = self._trouble.pop((what, event.process), None)
        if span is not None:
            span.until = event.t if span.until is None else min(span.until, event.t)
            span.end = event


_AFTER = {
    "due": "ready",
    "reserved": "reserved",
    "acked": "done",
    "dead": "dead",
    "expired": "ready",
    "purged": "done",
    "redriven": "ready",
    "cloned": "ready",
}


def _state_after(event: Event) -> str | None:
    """Return the state that an event leaves its message in; None if it changes none."""
    if not event.message:
        return None
    if event.kind in ("stored", "released"):
        return "delayed" if event.due > event.t else "ready"
    if event.kind == "restored":
        return event.outcome
    return _AFTER.get(event.kind)
