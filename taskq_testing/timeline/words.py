"""Each event in words, and times as people write them. Text only: what an event means is said here and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

from taskq_testing.history import NANOSECONDS, Event

__all__ = ["TOLD_BY_EVENTS", "clock", "describe", "duration", "join", "name_of", "on_one_line", "owner_of", "short"]


TOLD_BY_EVENTS = frozenset({"crash", "suspend", "partition", "broker_rollback", "duplicate", "corrupt"})
"""The faults that events of their own follow, which say more."""


def clock(t: int) -> str:
    """Return a moment, given in nanoseconds, as seconds: `0.250s`."""
    return f"{t / NANOSECONDS:.3f}s"


def duration(seconds: float) -> str:
    """Return a length of time in the units that fit: `250 ms`, `3.2 s`, `2 min 5 s`, `1 h 3 min`."""
    if seconds < 59.95:
        for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
            if seconds >= size * 0.9995:
                return f"{float(f'{seconds / size:.3g}'):g} {unit}"
        return f"{round(seconds * NANOSECONDS)} ns" if seconds > 0 else "0 s"
    sizes = [("d", 86_400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)]
    large, size, small, part = next((row for row in sizes if round(seconds) >= row[1]), sizes[-1])
    count, rest = divmod(round(seconds), size)
    return f"{count} {large} {rest // part} {small}" if rest // part else f"{count} {large}"


def join(names: list[str]) -> str:
    """Return names as a sentence lists them: `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def name_of(event: Event) -> str:
    """Return the name of an event's message, and which copy it is unless it is the original."""
    return f"{event.message} (copy {event.copy})" if event.copy else event.message


def on_one_line(text: str) -> str:
    """Return a text on one line, without what would move a terminal's cursor."""
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))


def short(key: str) -> str:
    """Return a key, or the beginning of one that is too long to be read."""
    return key if len(key) <= 24 else f"{key[:8]}…"


def owner_of(event: Event) -> str:
    """Return who does what the event says."""
    return "run" if event.kind in ("heal", "rest") else event.process or "broker"


def describe(event: Event, it: str = "") -> str:
    """Return what happened, as a clause whose subject is `owner_of(event)`; `it` stands in for the message's name."""
    words = _WORDS[event.kind]
    if callable(words):
        return on_one_line(words(event, it or name_of(event)))
    fields = {
        "it": it or name_of(event),
        "until": clock(event.expires),
        "took": f", which took {duration(event.delay)}" if event.delay > 0 else "",
        "why": f": {event.reason}" if event.reason else "",
    }
    fields.update({name: getattr(event, name) for name in ("queue", "task", "n", "owner", "outcome", "attempt", "copy")})
    fields["key"] = short(event.key)
    return on_one_line(words.format_map(fields))


def _readiness(event: Event) -> str:
    return f"due at {clock(event.due)}" if event.due > event.t else "ready at once"


def _add(event: Event, it: str) -> str:
    words = [f"enqueued {it}"]
    if event.task:
        words.append(f"task {event.task}")
    if event.delay > 0:
        words.append(f"to run in {duration(event.delay)}")
    if event.key:
        words.append(f"once per key {short(event.key)}" + (f" for {duration(event.ttl)}" if event.ttl > 0 else ""))
    return ", ".join(words)


def _released(event: Event, it: str) -> str:
    attempt = f" for attempt {event.attempt}" if event.attempt else ""
    return f"gave {it} back{attempt}, {_readiness(event)}"


def _ended(event: Event, it: str) -> str:
    what = "the fallback" if event.kind == "fallback_end" else "the run"
    whose = f"{what} of {it}" if it not in ("", "it") else what
    if event.outcome == "error":
        asked = f" (asks for a retry in {duration(event.delay)})" if event.delay >= 0 else ""
        return f"{whose} failed: {event.reason or 'no reason given'}{asked}"
    if event.outcome == "cancelled":
        return f"{whose} was cancelled" + (f": {event.reason}" if event.reason else "")
    return f"{whose} ended well"


def _settled(event: Event, it: str) -> str:
    decision = {
        "ack": "is done",
        "release": f"is to be tried again in {duration(max(event.delay, 0.0))}",
        "fallback": "is given up; its fallback runs",
        "dead": "is to be put aside",
    }.get(event.outcome, event.outcome)
    return f"decided that {it} {decision}" + (f": {event.reason}" if event.reason else "")


def _sizes(event: Event, it: str) -> str:  # noqa: ARG001 - one signature for all
    data = event.data or {}
    return f"{event.queue} holds " + ", ".join(f"{name} {value}" for name, value in data.items())


def _cut(event: Event, it: str) -> str:  # noqa: ARG001 - one signature for all
    lost = "requests and replies are" if event.outcome == "both" else f"{event.outcome or 'messages'} are"
    return f"is cut off from the broker: {lost} lost"


def _paused(event: Event, it: str) -> str:  # noqa: ARG001 - one signature for all
    what = f"queue {event.queue}" if not event.task else f"task {event.task}"
    return f"paused {what} for {duration(event.delay)}" if event.kind == "paused" else f"resumed {what}"


def _consumer(event: Event, it: str) -> str:  # noqa: ARG001 - one signature for all
    gave = f", {event.n} given back" if event.outcome == "stopped" and event.n else ""
    return f"its consumer of {event.queue} is {event.outcome}{gave}"


def _fault(event: Event, it: str) -> str:
    what = f" on its {event.reason}" if event.reason else ""
    whom = f" of {it}" if event.message else ""
    took = f", {duration(event.delay)}" if event.delay > 0 else ""
    return f"fault: {event.outcome.replace('_', ' ')}{what}{whom}{took}"


def _restored(event: Event, it: str) -> str:
    when = f" until {clock(event.due or event.expires)}" if event.due or event.expires else ""
    return f"still has {it}, {event.outcome}{when}"


_WORDS: dict[str, str | Callable[[Event, str], str]] = {
    "queue": "queue {queue} is set up",
    "task": "task {task} is set up",
    "add": _add,
    "accepted": "was told that {it} is accepted",
    "duplicate": "was told that {it} is a duplicate (key {key})",
    "refused": "could not enqueue {it}{why}",
    "unknown": "does not know whether {it} was added{why}",
    "stored": lambda event, it: f"stored {it}, {_readiness(event)}",
    "denied": "denied {it}: key {key} is taken",
    "due": "{it} is due: it is ready",
    "reserved": "reserved {it} until {until} (delivery {n})",
    "extended": "extended its reservation of {it} until {until}",
    "acked": "acknowledged {it}: done",
    "released": _released,
    "dead": "put {it} aside as a dead letter{why}",
    "expired": "the reservation of {it} ran out: it is ready again",
    "stale": "its {outcome} of {it} came too late and changed nothing",
    "purged": "purged {it}",
    "redriven": "made the dead letter {it} ready again",
    "cloned": "a fault made another copy: {it}",
    "corrupted": "a fault damaged the body of {it}",
    "rolled_back": lambda event, it: f"restarted without what it wrote after {clock(event.due)}",  # noqa: ARG005
    "restored": _restored,
    "size": _sizes,
    "grant": "was allowed {n} starts by the rate limit {key}",
    "refund": "gave {n} unused starts back to the rate limit {key}",
    "locked": "{owner} holds the lock {key} until {until}",
    "lock_denied": "{owner} did not get the lock {key}: another holds it",
    "unlocked": "{owner} freed the lock {key}",
    "start": "began attempt {attempt} of {it}",
    "end": _ended,
    "fallback": lambda event, it: "began its fallback" if it == "it" else f"began the fallback of {it}",  # noqa: ARG005
    "fallback_end": _ended,
    "hook": "told its hooks about the {outcome} of {it}",
    "settled": _settled,
    "paused": _paused,
    "resumed": _paused,
    "buffered": "has {n} messages of {queue} in its buffer",
    "consumer": _consumer,
    "at_rest": _sizes,
    "crash": "crashed",
    "spawn": "starts",
    "suspend": "is suspended: it stands still",
    "wake": "goes on",
    "cut": _cut,
    "mended": "reaches the broker again",
    "fault": _fault,
    "heal": lambda event, it: f"no faults from here on; what is left must drain in {duration(max(event.delay, 0.0))}",  # noqa: ARG005
    "rest": "the run is over",
}
