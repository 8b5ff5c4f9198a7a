"""Invariants of a message's policy: deduplication, attempts, backoff, delay."""

from __future__ import annotations

from collections.abc import Iterator

from taskq_testing.history import Event
from taskq_testing.oracle.invariant import at, broken, invariant, lasting, named
from taskq_testing.oracle.model import Model, Run, nanoseconds
from taskq_testing.outcome import Violation

__all__ = ["attempts", "backoff", "deduplication", "delay", "duplicates", "monotone_attempt"]

_ROUNDING = 1e-6


@invariant(
    12,
    "deduplication",
    "Of the adds with one key at most one is accepted within its window, by the broker's time.",
    "stored; rolled_back add unknown",
    "A claim at or after the moment that a rollback goes back to is undone. Where claim and add are two steps (`atomic` is "
    "false) an add whose answer was lost does not count.",
)
def deduplication(model: Model) -> Iterator[Violation]:
    """Yield messages that were added although their key was taken."""
    for key, claims in model.claims.items():
        holder: Event | None = None
        until = 0
        for stored in claims:
            queue = model.queue(stored.queue)
            op = model.ops.get(stored.op or stored.message)
            if not queue.atomic and op is not None and op.lost:
                continue
            if any(stored.seq < back.seq and stored.t >= back.due for back in model.rollbacks):
                continue
            if holder is not None and stored.t + queue.resolution < until:
                sentence = (
                    f"message {stored.message} was added at {at(stored.t)} though message {holder.message} had taken its key "
                    f"{key} at {at(holder.t)} until {at(until)}"
                )
                yield broken(12, sentence, stored.message, holder, stored)
            if stored.t + nanoseconds(stored.ttl) > until:
                holder, until = stored, stored.t + nanoseconds(stored.ttl)


@invariant(
    13,
    "honest duplicates",
    "Whoever is told that a key is taken can rely on an accepted message with that key; a failed add leaves no key.",
    "denied duplicate; stored add rolled_back",
    "Where claim and add are two steps (`atomic` is false), an add under way, unanswered or with a lost answer may hold the key.",
)
def duplicates(model: Model) -> Iterator[Violation]:
    """Yield adds that were denied for nothing."""
    for event in model.noticed.unfounded:
        op = model.ops.get(event.op or event.message)
        key = event.key or (op.add.key if op is not None and op.add is not None else "")
        if not model.queue(event.queue).atomic and _may_be_held(model, key, event):
            continue
        verb = "denied" if event.kind == "denied" else "told that it is a duplicate"
        sentence = f"message {event.message} was {verb} at {at(event.t)} though no message held its key {key}"
        yield broken(13, sentence, event.message, op.add if op is not None else None, event)


def _may_be_held(model: Model, key: str, event: Event) -> bool:
    """Return whether another add with the key was under way then, or was never answered for sure."""
    return any(
        op.add is not None
        and op.add.key == key
        and op.add.message != event.message
        and op.add.seq < event.seq
        and op.add.t + nanoseconds(op.add.ttl) >= event.t
        and (op.answered is None or op.lost or op.answered.seq > event.seq)
        for op in model.ops.values()
    )


@invariant(
    14,
    "attempts",
    "A message fails at most max_attempts times, and runs at most poison_limit times without any outcome.",
    "end start; reserved released dead acked expired rolled_back restored redriven",
    "An error counts when its run's owner settled the message; one of a run that was interrupted and given back does not. "
    "A redrive and a rollback start new counts.",
)
def attempts(model: Model) -> Iterator[Violation]:
    """Yield what was tried too often."""
    for copy, errors, end in model.noticed.excess:
        task = model.task(copy)
        assert task is not None
        sentence = f"{named(copy)} failed at {at(end.t)} for the {errors}th time though max_attempts is {task.max_attempts}"
        yield broken(14, sentence, copy.message.name, end)
    for lease, start in model.noticed.poisoned:
        sentence = (
            f"{named(lease.copy)} ran on {start.process} at {at(start.t)} in its {lease.number}th delivery without an outcome "
            f"though poison_limit is {lease.copy.queue.poison_limit}"
        )
        yield broken(14, sentence, lease.copy.message.name, lease.event, start)


@invariant(
    15,
    "monotone attempt",
    "The number of a message's attempt never goes back, over crashes and releases.",
    "start; reserved released expired rolled_back restored redriven corrupted",
    "A late run under a reservation that was lost; a rollback, a redrive, a damaged body.",
)
def monotone_attempt(model: Model) -> Iterator[Violation]:
    """Yield attempts that are lower than one before."""
    for (floor, since), start, copy in model.noticed.regressions:
        sentence = (
            f"{named(copy)} began attempt {start.attempt} on {start.process} at {at(start.t)} though it was at attempt {floor} "
            f"at {at(since.t)} already"
        )
        yield broken(15, sentence, copy.message.name, since, start)


@invariant(
    16,
    "backoff",
    "After a failure the next run comes no earlier than the task's backoff, or than its Retry asked for.",
    "released settled; start end reserved task rolled_back restored",
    "A run that was interrupted and given back as it was. A rollback of the release.",
)
def backoff(model: Model) -> Iterator[Violation]:
    """Yield retries that came too early, and decisions outside of what the policy allows."""
    for (until, released, run), start in model.noticed.hasty:
        assert run.end is not None
        sentence = (
            f"{named(run.copy)} ran on {start.process} at {at(start.t)} though it had failed at {at(run.end.t)} in attempt "
            f"{run.event.attempt} and could not run again before {at(until)}"
        )
        yield broken(16, sentence, run.copy.message.name, run.end, released, start)
    for run in model.runs.values():
        settled = run.settled
        if settled is not None and settled.outcome == "release":
            bounds = _bounds(model, run)
            if bounds is not None and not bounds[0] - _ROUNDING <= settled.delay <= bounds[1] + _ROUNDING:
                sentence = (
                    f"{named(run.copy)} was to wait {settled.delay:.3f} s after attempt {run.event.attempt}, and its policy says "
                    f"{bounds[0]:.3f} s to {bounds[1]:.3f} s"
                )
                yield broken(16, sentence, run.copy.message.name, run.end, settled)


def _bounds(model: Model, run: Run) -> tuple[float, float] | None:
    """Return the shortest and longest wait after a failed run, in seconds; None if that is not known."""
    end, task = run.end, model.task(run.copy)
    if end is None or end.outcome != "error":
        return None
    if end.delay >= 0:
        return end.delay, end.delay
    if task is None:
        return None
    least = task.backoff(run.event.attempt)
    return least, max(least, min(least * (1.0 + task.jitter), task.max_backoff))


@invariant(
    17,
    "delay",
    "No message runs before its delay is over.",
    "start; stored add",
    "A copy made by a fault is ready at once.",
)
def delay(model: Model) -> Iterator[Violation]:
    """Yield runs before their time."""
    for copy, start in model.noticed.early:
        sentence = (
            f"{named(copy)} ran on {start.process} at {at(start.t)}, {lasting(copy.earliest - start.t)} before it was due at "
            f"{at(copy.earliest)}"
        )
        yield broken(17, sentence, copy.message.name, copy.born, start)
