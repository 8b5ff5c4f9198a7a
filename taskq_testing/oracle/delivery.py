"""Invariants of delivery: nothing is lost, nothing runs that nobody added, and nothing runs twice without a licence."""

from __future__ import annotations

from collections.abc import Iterator

from taskq.core.pause import EVERYTHING
from taskq_testing.history import Event
from taskq_testing.oracle.invariant import at, broken, invariant, named
from taskq_testing.oracle.model import FOREVER, Message, Model, Pair, Queue, Run, nanoseconds
from taskq_testing.outcome import Violation

__all__ = ["at_least_once", "duplicate_licence", "extension", "no_loss", "no_phantom", "single_runner"]

_LIVE = ("delayed", "ready", "reserved")


# -- 1


@invariant(
    1,
    "no loss",
    "At rest every accepted message is done, dead or purged, and only one of them.",
    "rest; accepted acked dead purged rolled_back restored",
    "A rollback may forget what was added at or after the moment it goes back to. What is left in the broker is no loss "
    "unless faults ended (`heal`), its `delay` passed, and a consumer of its queue ran all that time unpaused. Where only "
    "clients were recorded, a run that ended well may have been acknowledged.",
)
def no_loss(model: Model) -> Iterator[Violation]:
    """Yield accepted messages that came to nothing, and those that came to two ends."""
    if model.rest is None:
        return
    for message in model.messages.values():
        copies = message.copies
        if len(copies) == 1 and len(copies[0].outcomes) == 1:
            continue
        if message.accepted is not None:
            sentence = _fate(model, message)
            if sentence:
                last = message.copies[0].outcomes[-1] if message.copies and message.copies[0].outcomes else None
                yield broken(1, sentence, message.name, message.accepted, last, model.rest)


def _fate(model: Model, message: Message) -> str:
    """Say what is wrong with the end of an accepted message; nothing if all is well."""
    assert message.accepted is not None
    begin = f"message {message.name} was accepted at {at(message.accepted.t)}"
    copies = message.copies
    for copy in copies:
        ends = {end.kind: end for end in copy.outcomes}
        if len(ends) > 1:
            return f"{begin} and came to two ends: " + ", ".join(f"{kind} at {at(end.t)}" for kind, end in ends.items())
    if any(copy.outcomes or copy.undone for copy in copies):
        return ""
    if not model.complete:
        unseen = not any(copy.ok is not None for copy in copies) and _had_time(model, *_asked_for(model, message))
        return f"{begin} and at rest nobody has finished it" if unseen else ""
    live = next((copy for copy in copies if copy.state in _LIVE), None)
    if live is None:
        return f"{begin} and lost: at rest it is neither in the broker nor done, dead or purged"
    due = live.due if live.state == "delayed" else 0
    overdue = _had_time(model, live.queue, model.taker(live.queue, message), due)
    return f"{begin} and at rest is still {live.state}" if overdue else ""


def _asked_for(model: Model, message: Message) -> tuple[Queue, str, int]:
    """Return the queue of a message, its task, and when it is due, as its producer asked for it."""
    add = message.ops[0].add
    if add is None:
        return model.queue(""), message.task, 0
    queue = model.queue(add.queue)
    return queue, model.taker(queue, message), add.t + nanoseconds(max(0.0, add.delay))


def _had_time(model: Model, queue: Queue, task: str, due: int) -> bool:
    """Return whether a message that is left should have been finished."""
    healed, rest = model.healed, model.rest
    if healed is None or rest is None or healed.delay < 0:
        return False
    until = healed.t + nanoseconds(healed.delay)
    if rest.t < until or due > until:
        return False
    return any(
        name == queue.name
        and any(begin <= healed.t + queue.poll and end >= until for begin, end in model.serving.of((process, name)))
        and not any(model.standing.touches((process, name, part), until, until) for part in (task, EVERYTHING))
        for process, name in model.serving.owners()
    )


# -- 5, 6


@invariant(
    5,
    "no phantom",
    "Every run has an add that was accepted or whose answer was lost, and one add makes at most one message.",
    "start stored; add accepted unknown duplicate refused rolled_back",
    "An add that a rollback undid may be made again.",
)
def no_phantom(model: Model) -> Iterator[Violation]:
    """Yield runs that nobody asked for, and adds that were made twice."""
    for message in model.messages.values():
        started = message.started
        if started is not None and not any(op.hopeful or op.answered is None for op in message.ops):
            answers = [op.answered for op in message.ops if op.answered is not None]
            why = f"its add was answered with {answers[-1].kind} at {at(answers[-1].t)}" if answers else "nobody added it"
            sentence = f"message {message.name} ran on {started.process} at {at(started.t)}, but {why}"
            yield broken(5, sentence, message.name, started, *answers)
    for op, stores in model.stores.items():
        if len(stores) > 1:
            first, second = stores[:2]
            sentence = f"add {op} of message {first.message} was carried out at {at(first.t)} and again at {at(second.t)}"
            yield broken(5, sentence, first.message, first, second)


@invariant(
    6,
    "at least once",
    "A message is done only after a run of it, or its fallback, ended well.",
    "acked; start end fallback_end",
    "None.",
)
def at_least_once(model: Model) -> Iterator[Violation]:
    """Yield what was acknowledged without having been run."""
    for event in model.noticed.unearned:
        by = f" by {event.process}" if event.process else ""
        sentence = f"message {event.message} was acknowledged{by} at {at(event.t)} though no run of it had ended well"
        yield broken(6, sentence, event.message, event)


# -- 7, 10


def _is_over(model: Model, pair: Pair) -> bool:
    """Return whether the earlier of two reservations was lost, in a way that allows another run."""
    lease, over = pair.before.lease, pair.over
    assert lease is not None
    if pair.expires <= pair.at.t + lease.copy.queue.resolution:
        return True
    if over is None:
        return False
    if over.kind == "rolled_back" or any(lease.event.seq < crash.seq < pair.at.seq for crash in model.crashes[lease.process]):
        return True
    return over.kind == "released" and (lease.given_back or _in_trouble(model, lease.process, pair.before.event.t, over.t))


def _in_trouble(model: Model, process: str, begin: int, end: int) -> bool:
    """Return whether a process was hit by something between two moments, alone or with everybody."""
    return model.trouble.touches(process, begin, end) or model.trouble.touches("", begin, end)


def _until(pair: Pair) -> str:
    """Say how long the earlier reservation lasted."""
    lease, over = pair.before.lease, pair.over
    assert lease is not None
    if over is not None:
        return f"{lease.process}'s reservation of it ended at {at(over.t)} ({over.kind})"
    return f"{lease.process}'s reservation of it lasted until {at(pair.expires)}"


def _asked(run: Run, by: Event) -> bool:
    """Return whether a run's end asked for another."""
    end = run.end
    return end is not None and end.seq < by.seq and end.outcome in ("error", "cancelled")


@invariant(
    7,
    "duplicate licence",
    "A message runs again only if its last run asked for it, or lost its reservation, or its owner died.",
    "start; end reserved released extended crash rolled_back restored redriven",
    "A run that failed or was cancelled asks for another. A reservation is lost when its time is over, when a rollback undid "
    "it, when its owner died and it ended, and when a stopping or cut-off consumer gave it back. A redriven message runs "
    "again. Another copy (`cloned`) is another message.",
)
def duplicate_licence(model: Model) -> Iterator[Violation]:
    """Yield runs that nothing allowed."""
    for pair in model.noticed.repeats:
        before, after = pair.before, pair.after
        if _asked(before, after.event) or _is_over(model, pair):
            continue
        end = before.end
        went = f"ended with {end.outcome} at {at(end.t)}" if end is not None else f"began at {at(before.event.t)}"
        sentence = (
            f"{named(after.copy)} ran on {after.event.process} at {at(after.event.t)} though its run on "
            f"{before.event.process} {went} and {_until(pair)}"
        )
        lease = before.lease.event if before.lease is not None else None
        yield broken(7, sentence, after.copy.message.name, lease, before.event, before.end, after.event)


@invariant(
    10,
    "single runner",
    "Two runs of a message overlap only if the earlier reservation was lost while its run went on.",
    "start; end reserved released extended crash rolled_back restored",
    "As for the duplicate licence, but that a run's own wish is none. A run whose consumer stopped and gave the message back "
    "is over.",
)
def single_runner(model: Model) -> Iterator[Violation]:
    """Yield runs at the same time that nothing allowed."""
    for pair in model.noticed.overlaps:
        if not _is_over(model, pair):
            before, after = pair.before, pair.after
            sentence = (
                f"{named(after.copy)} ran on {after.event.process} from {at(after.event.t)} while it ran on "
                f"{before.event.process} since {at(before.event.t)} and {_until(pair)}"
            )
            lease = before.lease.event if before.lease is not None else None
            yield broken(10, sentence, after.copy.message.name, lease, before.event, after.event)


# -- 11


@invariant(
    11,
    "extension",
    "While a process is alive and reaches the broker, what it owns does not expire.",
    "reserved; expired extended consumer crash suspend wake cut mended fault",
    "A process that was dead, stood still, was cut off or hit by a fault at any time since the reservation was last extended; "
    "a consumer that was not running all that time; an extension by the handler to less than the queue's timeout; a queue "
    "that does not extend.",
)
def extension(model: Model) -> Iterator[Violation]:
    """Yield reservations that ran out under a living owner."""
    for lease, expires, renewed, event in model.noticed.lapses:
        queue, process = lease.copy.queue, lease.process
        until = max(renewed.t, expires)
        if not queue.extends or not queue.reservation or expires >= FOREVER or expires > event.t + queue.resolution:
            continue
        if renewed.kind == "extended" and renewed.expires - renewed.t + queue.resolution < queue.reservation:
            continue
        if _in_trouble(model, process, renewed.t, until):
            continue
        if model.serving.covers((process, queue.name), renewed.t, until):
            sentence = (
                f"{process} owned {named(lease.copy)} from {at(lease.event.t)} and let its reservation run out at {at(expires)} "
                f"though it was alive and reached the broker"
            )
            yield broken(11, sentence, lease.copy.message.name, renewed, event)
