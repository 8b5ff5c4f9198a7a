"""Why a message is where it is: the chain of cause and effect, in sentences.

Each kind of event has one method that tells it; what others did meanwhile (crashes, suspensions, lost connections, pauses)
is looked up in the facts where it explains something.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable

from taskq_testing.history import NANOSECONDS, Event
from taskq_testing.timeline.facts import Facts, Reservation, Run, Span
from taskq_testing.timeline.words import TOLD_BY_EVENTS, clock, describe, duration, join, name_of, on_one_line, owner_of, short

__all__ = ["explain"]

_UNTOLD = frozenset({"accepted", "hook", "settled", "extended", "end", "fallback_end", "duplicate", "fault"})
_LONG = NANOSECONDS  # a wait that is worth a reason


def explain(facts: Facts, message: str) -> list[str]:
    """Return the sentences about one message.

    Raises:
        ValueError: the history has no such message. The text lists near names.
    """
    if message not in facts.messages:
        near = difflib.get_close_matches(message, facts.messages, n=5, cutoff=0.4)
        hint = f"near names are: {', '.join(near)}" if near else f"it has {len(facts.messages)} messages, none with a near name"
        raise ValueError(f"the history has no message {message!r}; {hint}")
    return _Teller(facts, message).tell()


class _Teller:
    """Tells the events of one message in order."""

    def __init__(self, facts: Facts, message: str) -> None:
        self._facts = facts
        self._message = message
        self._about = facts.messages[message]
        self._ready_since: dict[int, int] = {}
        self._kinds = {event.kind for event in self._about.events}
        self._telling: dict[str, Callable[[Event], str]] = {
            "add": self._add,
            "accepted": self._accepted,
            "refused": self._refused,
            "unknown": self._unknown,
            "denied": self._denied,
            "stored": self._stored,
            "due": self._due,
            "reserved": self._reserved,
            "start": self._start,
            "fallback": self._start,
            "end": self._end,
            "fallback_end": self._end,
            "acked": self._acked,
            "released": self._released,
            "dead": self._dead,
            "expired": self._expired,
            "stale": self._stale,
            "fault": self._fault,
            "rolled_back": self._rolled_back,
            "restored": self._restored,
        }

    def tell(self) -> list[str]:
        """Return all sentences, and where the message is at the end."""
        events = sorted([*self._about.events, *self._facts.by_kind["rolled_back"]], key=lambda event: event.seq)
        task = f"task {self._about.task}" if self._about.task else "of no known task"
        sentences = [f"{self._message}: {task}, queue {self._about.queue or '(none known)'}."]
        for event in events:
            told = self._telling.get(event.kind, self._plain)(event)
            if told:
                sentences.append(told)
        return [on_one_line(sentence) for sentence in (*sentences, *self._ending())]

    def _plain(self, event: Event) -> str:
        if event.kind in _UNTOLD:
            return ""
        if event.kind in ("cloned", "corrupted"):
            return f"At {clock(event.t)} {describe(event)}."
        return f"At {clock(event.t)} {event.process or 'the broker'} {describe(event, 'it')}."

    # -- how it came in

    def _add(self, event: Event) -> str:
        delay = f" with a delay of {duration(event.delay)}" if event.delay > 0 else ""
        window = f" for {duration(event.ttl)}" if event.ttl > 0 else ""
        key = f", once per key {short(event.key)}{window}" if event.key else ""
        return f"At {clock(event.t)} {owner_of(event)} enqueued it{delay}{key}."

    def _accepted(self, event: Event) -> str:
        if "stored" in self._kinds:
            return ""
        return f"At {clock(event.t)} {owner_of(event)} was told that it is accepted, but the broker never stored it."

    def _refused(self, event: Event) -> str:
        return f"At {clock(event.t)} the enqueue failed and nothing was added{_why(event.reason)}."

    def _unknown(self, event: Event) -> str:
        truth = "the broker had stored it" if "stored" in self._kinds else "the broker never stored it"
        got = f" ({event.reason})" if event.reason else ""
        return f"At {clock(event.t)} {owner_of(event)} got no answer{got} and cannot know whether it was added; {truth}."

    def _denied(self, event: Event) -> str:
        holders = [other for other in self._facts.by_kind["stored"] if other.key == event.key and other.message != self._message]
        before = [other for other in holders if other.seq < event.seq]
        holder = f" by {before[-1].message} since {clock(before[-1].t)}" if before else ""
        return f"At {clock(event.t)} the broker denied it as a duplicate, because its key {short(event.key)} was taken{holder}."

    def _stored(self, event: Event) -> str:
        again = "" if self._first("stored") is event else " once more"
        if event.due > event.t:
            return f"At {clock(event.t)} the broker stored it{again}, delayed until {clock(event.due)}."
        self._ready_since[event.copy] = event.t
        return f"At {clock(event.t)} the broker stored it{again}, ready at once."

    def _due(self, event: Event) -> str:
        self._ready_since[event.copy] = event.t
        return f"At {clock(event.t)} its delay was over and it became ready."

    # -- who took it

    def _reserved(self, event: Event) -> str:
        since = self._ready_since.pop(event.copy, event.t)
        waited = ""
        if event.t - since >= _LONG:
            waited = f", after it had been ready for {duration((event.t - since) / NANOSECONDS)}{self._held_up(since, event.t)}"
        reservation = self._reservation(event)
        extended = ""
        if reservation is not None and reservation.extended:
            count = len(reservation.extended)
            times = "once" if count == 1 else f"{count} times"
            extended = f", and extended that {times}, at last until {clock(reservation.expires)}"
        return (
            f"At {clock(event.t)} {owner_of(event)} reserved {self._it(event)} until {clock(event.expires)}{extended} "
            f"(delivery {event.n}){waited}."
        )

    def _held_up(self, since: int, until: int) -> str:
        """Return why nobody took a ready message for so long, as far as the history tells."""
        pauses = [
            span
            for span in self._facts.spans
            if span.what == "paused"
            and span.begin.queue == self._about.queue
            and span.begin.task in ("", self._about.task)
            and span.begin.t <= until
            and (span.until is None or span.until > since)
        ]
        if pauses:
            return f", because {pauses[0].begin.process} had paused {pauses[0].begin.task.strip('*') or 'the queue'}"
        workers = sorted(self._facts.owners[self._about.queue])
        held = [(name, self._spans_over(name, since, until)) for name in workers]
        stuck = [f"{name} was {_trouble(spans[0])}" for name, spans in held if spans]
        return f", because {join(stuck)}" if stuck and len(stuck) == len(held) else ""

    def _spans_over(self, process: str, since: int, until: int) -> list[Span]:
        """Return what kept a process from taking anything for most of a stretch of time."""
        most = (until - since) // 2
        spans = self._facts.spans_of(process, since, until)
        return [
            span for span in spans if min(until, until if span.until is None else span.until) - max(since, span.begin.t) > most
        ]

    # -- what became of its runs

    def _start(self, event: Event) -> str:
        run = self._run(event)
        what = "its fallback" if event.kind == "fallback" else f"attempt {event.attempt}"
        began = f"At {clock(event.t)} {owner_of(event)} began {what}"
        if run is None or run.end is None:
            return f"{began}, which still runs at the end of the record."
        if run.outcome == "cut":
            return f"{began}, and crashed at {clock(run.end.t)} in the middle of it: nothing of it was settled."
        if self._next(event) is not run.end:
            return f"{began}."
        took = run.end.t - event.t
        return f"{began}, which {_result(run, f' after {duration(took / NANOSECONDS)}' if took else ' at once')}."

    def _end(self, event: Event) -> str:
        run = next((run for run in self._about.runs if run.end is event), None)
        if run is None or self._next(run.begin) is event:
            return ""
        what = "the fallback" if event.kind == "fallback_end" else f"attempt {run.begin.attempt}"
        return f"At {clock(event.t)} {what} on {owner_of(event)}, begun at {clock(run.begin.t)}, {_result(run)}."

    def _acked(self, event: Event) -> str:
        done = f"At {clock(event.t)} {owner_of(event)} acknowledged {self._it(event)}: it is done"
        owner = self._reservation(event)
        if owner is not None and owner.process != event.process:
            return f"{done}, although the reservation belonged to {owner.process}."
        return f"{done}."

    def _released(self, event: Event) -> str:
        self._ready_since[event.copy] = max(event.t, event.due)
        run = self._last_run(event)
        when = f"at {clock(event.due)}" if event.due > event.t else "at once"
        again = f"; attempt {event.attempt} may begin {when}" if event.attempt else f"; it may be reserved again {when}"
        gave = f"At {clock(event.t)} {owner_of(event)} gave {self._it(event)} back"
        if run is None or run.end is None:
            return f"{gave} without running it{self._stopping(event)}{again}."
        if run.outcome == "error":
            pause = duration((event.due - event.t) / NANOSECONDS) if event.due > event.t else ""
            wait = f", after {'the retry asked for' if run.end.delay >= 0 else 'a backoff'} of {pause}" if pause else ""
            return f"{gave}, because attempt {run.begin.attempt} failed ({run.end.reason or 'no reason given'}){again}{wait}."
        return f"{gave}, because attempt {run.begin.attempt} {_result(run)}{again}."

    def _stopping(self, event: Event) -> str:
        consumers = [e for e in self._facts.by_kind["consumer"] if e.process == event.process and e.seq < event.seq]
        if consumers and consumers[-1].outcome != "running":
            return f", because its consumer was {consumers[-1].outcome}"
        for span in self._facts.spans:
            if span.what == "paused" and span.begin.process == event.process and span.covers(event.t):
                return f", because it had paused {span.begin.task.strip('*') or 'the queue'}"
        return ""

    def _dead(self, event: Event) -> str:
        return f"At {clock(event.t)} {owner_of(event)} put {self._it(event)} aside as a dead letter{_why(event.reason)}."

    # -- what went wrong

    def _expired(self, event: Event) -> str:
        self._ready_since[event.copy] = event.t
        reservation = self._reservation(event)
        if reservation is None:
            return f"At {clock(event.t)} a reservation of {self._it(event)} ran out and it was ready again."
        noticed = f" (the broker saw it at {clock(event.t)})" if event.t - reservation.expires >= NANOSECONDS // 1000 else ""
        return (
            f"At {clock(reservation.expires)} the reservation of {reservation.process} ran out{noticed}, "
            f"{self._guilty(reservation)}; {self._it(event)} was ready again."
        )

    def _guilty(self, reservation: Reservation) -> str:
        """Return why a reservation was neither settled nor extended in time."""
        process, expires = reservation.process, reservation.expires
        spans = self._facts.spans_of(process, reservation.begin.t, expires)
        for span in spans:
            if span.what == "down":
                return f"because {process} crashed at {clock(span.begin.t)}"
            if span.covers(expires):
                return f"because {process} was {_trouble(span)}, past that moment"
        if spans:
            return f"after {process} had been {_trouble(spans[-1])}, and no extension came in time"
        return f"although {process} was alive and could reach the broker: it was neither settled nor extended in time"

    def _stale(self, event: Event) -> str:
        lost = [r for r in self._about.reservations if r.begin.receipt == event.receipt and r.end is not None]
        late = f"At {clock(event.t)} a late {event.outcome.replace('_', ' ')} from {owner_of(event)} changed nothing"
        if not lost or lost[-1].end is None:
            return f"{late}, because it owned nothing."
        end = lost[-1].end
        cause = {
            "expired": f"its reservation had run out at {clock(lost[-1].expires)}",
            "acked": f"{owner_of(end)} had acknowledged it at {clock(end.t)}",
            "released": f"{owner_of(end)} had given it back at {clock(end.t)}",
            "dead": f"{owner_of(end)} had put it aside at {clock(end.t)}",
            "rolled_back": f"the broker had restarted at {clock(end.t)}",
        }
        return f"{late}, because {cause.get(end.kind, f'the reservation had ended at {clock(end.t)} ({end.kind})')}."

    def _fault(self, event: Event) -> str:
        if event.outcome in TOLD_BY_EVENTS:
            return ""
        what = (
            f" on the {event.reason} of {owner_of(event)}" if event.reason else f" on {owner_of(event)}" if event.process else ""
        )
        took = f", {duration(event.delay)} long" if event.delay > 0 else ""
        return f"At {clock(event.t)} a fault hit it: {event.outcome.replace('_', ' ')}{what}{took}."

    def _rolled_back(self, event: Event) -> str:
        stored = [other for other in self._about.events if other.kind == "stored" and other.seq < event.seq]
        if not stored:
            return ""
        kept = any(other.kind == "restored" and other.seq > event.seq for other in self._about.events)
        known = "" if kept else ", and knew nothing of it afterwards"
        return f"At {clock(event.t)} the broker restarted without its writes after {clock(event.due)}{known}."

    def _restored(self, event: Event) -> str:
        if event.outcome == "ready":
            self._ready_since[event.copy] = event.t
        until = f" until {clock(event.due or event.expires)}" if event.outcome in ("delayed", "reserved") else ""
        return f"The restarted broker had {self._it(event)} as {event.outcome}{until}."

    # -- where it is

    def _ending(self) -> list[str]:
        end = clock(self._facts.end)
        told = []
        for (message, copy), (state, event) in self._facts.states.items():
            if message == self._message:
                name = f"copy {copy} of it" if copy else "it"
                told.append(f"At the end of the record, {end}, {name} {self._where(state, event)}.")
        if not told and "stored" in self._kinds and not self._kinds & {"acked", "purged"}:
            told.append(f"At the end of the record, {end}, nothing is left of it: it is lost.")
        if not self._kinds & {"stored", "denied", "refused", "restored"}:
            told.append("The broker never had it.")
        return told

    def _where(self, state: str, event: Event) -> str:
        if state == "delayed":
            return f"is delayed until {clock(event.due)}"
        if state == "dead":
            return "lies with the dead letters, until it is redriven or looked at"
        if state == "reserved":
            return self._whose(event)
        return f"is ready since {clock(event.t)} and waits for a worker{self._held_up(event.t, self._facts.end)}"

    def _whose(self, event: Event) -> str:
        reservation = self._reservation(event)
        if reservation is None:
            return "is reserved"
        process = reservation.process
        owned = f"is still owned by {process} until {clock(reservation.expires)}"
        trouble = self._facts.spans_of(process, self._facts.end, self._facts.end)
        if trouble:
            return f"{owned}, which is {_trouble(trouble[-1])}"
        running = [run for run in self._about.runs if run.end is None and run.begin.process == process]
        return f"{owned}, {'whose run goes on' if running else 'where it waits for its run or its settling'}"

    # -- looking up

    def _it(self, event: Event) -> str:
        return name_of(event) if event.copy else "it"

    def _first(self, kind: str) -> Event | None:
        return next((event for event in self._about.events if event.kind == kind), None)

    def _run(self, event: Event) -> Run | None:
        return next((run for run in self._about.runs if run.begin is event), None)

    def _last_run(self, event: Event) -> Run | None:
        """Return the last run of a process under the reservation that it settles now."""
        reservation = self._reservation(event)
        since = reservation.begin.seq if reservation is not None else 0
        runs = [r for r in self._about.runs if r.begin.process == event.process and since < r.begin.seq < event.seq]
        return runs[-1] if runs else None

    def _reservation(self, event: Event) -> Reservation | None:
        """Return the reservation that an event is about."""
        for reservation in reversed(self._about.reservations):
            begin = reservation.begin
            if begin.receipt == event.receipt and begin.copy == event.copy and begin.seq <= event.seq:
                return reservation
        return None

    def _next(self, event: Event) -> Event | None:
        """Return the event that is told after this one."""
        later = (e for e in self._about.events if e.seq > event.seq and e.kind not in ("hook", "settled", "extended", "fault"))
        return next(later, None)


def _why(reason: str) -> str:
    return f": {reason}" if reason else ""


def _trouble(span: Span) -> str:
    """Return what was wrong with a process, and from when to when."""
    begin = clock(span.begin.t)
    until = f" to {clock(span.until)}" if span.until is not None else " on"
    if span.what == "down":
        return f"down from {begin}{until}"
    if span.what == "cut":
        lost = "requests and replies" if span.begin.outcome == "both" else span.begin.outcome or "messages"
        return f"cut off from {begin}{until} ({lost} lost)"
    return f"suspended from {begin}{until}"


def _result(run: Run, after: str = "") -> str:
    assert run.end is not None
    if run.outcome == "error":
        return f"failed{after} with {run.end.reason}" if run.end.reason else f"failed{after}"
    return f"was cancelled{after}" if run.outcome == "cancelled" else f"ended well{after}"
