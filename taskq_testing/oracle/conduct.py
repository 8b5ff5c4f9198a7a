"""Invariants of a consumer's conduct: fallbacks, hooks, what it says of itself, how it stops, and that messages stay apart."""

from __future__ import annotations

from collections.abc import Iterator

from taskq_testing.history import Event
from taskq_testing.oracle.invariant import at, broken, invariant, named
from taskq_testing.oracle.model import Model, Run
from taskq_testing.outcome import Violation

__all__ = ["fallback", "hooks", "in_flight", "independence", "stop"]

_KEEPS = ("tasks", "threads", "sockets", "workers")


# -- 25


@invariant(
    25,
    "fallback",
    "A task's fallback is called once for each permanent failure, never after a success, and its own failure is a dead letter.",
    "fallback dead; start end fallback_end acked released task",
    "A crash or a lost reservation, after which the failure happens again. Arguments or a body that cannot be read have no "
    "fallback. A stopping or cut-off consumer may give back what it interrupted.",
)
def fallback(model: Model) -> Iterator[Violation]:
    """Yield fallbacks that should not be, failures without one, and fallbacks whose failure was swallowed."""
    for event, run in model.noticed.fallbacks:
        why = _no_fallback(model, event, run)
        if why:
            sentence = f"the fallback of {named(run.copy)} was called on {event.process} at {at(event.t)} {why}"
            yield broken(25, sentence, run.copy.message.name, run.event, run.end, event)
    for run, over in model.noticed.given_up:
        sentence = _after_failure(model, run, over)
        if sentence:
            yield broken(25, sentence, run.copy.message.name, run.event, run.end, run.fallback_end, over)


def _no_fallback(model: Model, event: Event, run: Run) -> str:
    """Say why a fallback should not have been called; nothing if all is well."""
    end, task = run.end, model.task(run.copy)
    if end is None or end.seq > event.seq:
        return "while the handler ran"
    if end.outcome == "ok":
        return f"though the handler had ended well at {at(end.t)}"
    if run.fallbacks[0] is not event:
        return f"though it had been called for the same failure at {at(run.fallbacks[0].t)}"
    if task is not None and run.event.attempt and run.event.attempt < task.max_attempts:
        return f"after attempt {run.event.attempt} of {task.max_attempts}"
    return ""


def _after_failure(model: Model, run: Run, over: Event) -> str:
    """Say what is wrong with giving a message up whose handler, or fallback, failed; nothing if all is well."""
    end, last, task = run.end, run.fallback_end, model.task(run.copy)
    assert end is not None
    if over.kind == "acked":
        if last is None or last.outcome != "error":
            return ""
        return f"{named(run.copy)} was acknowledged at {at(over.t)} though its fallback had failed at {at(last.t)}"
    if task is None or not task.fallback or run.fallbacks or run.copy.corrupted or "DecodeError" in end.reason:
        return ""
    if run.event.attempt < task.max_attempts:
        return ""
    return f"{named(run.copy)} was put aside at {at(over.t)} without its fallback, after it failed for good at {at(end.t)}"


# -- 26, 27


@invariant(
    26,
    "in flight",
    "The number of messages in flight is never negative, and 0 at rest.",
    "at_rest;",
    "None.",
)
def in_flight(model: Model) -> Iterator[Violation]:
    """Yield consumers that count wrongly."""
    for event, _, _, _ in model.noticed.leftovers:
        count = (event.data or {}).get("in_flight", 0)
        if count:
            sentence = f"{event.process} counted {count} messages of queue {event.queue} as in flight at {at(event.t)}, at rest"
            yield broken(26, sentence, "", event)


@invariant(
    27,
    "stop",
    "A stopped consumer starts nothing more and keeps neither reservations nor tasks, threads and sockets.",
    "consumer at_rest; start reserved released crash suspend cut fault",
    "Reservations that a consumer could not give back because it was cut off or hit by a fault, or that it never heard of, run "
    "out by themselves.",
)
def stop(model: Model) -> Iterator[Violation]:
    """Yield what consumers did or kept after they had stopped."""
    for stopped, start in model.noticed.after_stop:
        sentence = (
            f"message {start.message} ran on {start.process} at {at(start.t)} though its consumer had stopped at {at(stopped.t)}"
        )
        yield broken(27, sentence, start.message, stopped, start)
    for event, said, stopping, owned in model.noticed.leftovers:
        if said is None or said.outcome != "stopped":
            continue
        data = event.data or {}
        kept = [f"{data[name]} {name}" for name in _KEEPS if data.get(name)]
        if data.get("owned") and _could_give_back(model, event, stopping or said, owned):
            kept.append(f"{data['owned']} reservations")
        if kept:
            sentence = f"{event.process} had stopped on queue {event.queue} and still had {' and '.join(kept)} at {at(event.t)}"
            yield broken(27, sentence, "", said, event)


def _could_give_back(model: Model, event: Event, since: Event, owned: list[Event]) -> bool:
    """Return whether nothing kept a consumer from giving back what it owned."""
    if _in_trouble(model, event.process, since.t, event.t):
        return False
    if not model.complete:
        return True
    return any(not _in_trouble(model, event.process, renewed.t, event.t) for renewed in owned)


# -- 29, 31


@invariant(
    29,
    "independence",
    "What becomes of a message does not depend on a damaged one: it is put aside only for a reason of its own.",
    "corrupted; dead start end reserved",
    "Its own body is damaged, a run of it failed for good, it was delivered too often, or no consumer knew its task.",
)
def independence(model: Model) -> Iterator[Violation]:
    """Yield messages that were put aside when others were damaged."""
    if not model.noticed.corruptions:
        return
    first = model.noticed.corruptions[0]
    for copy in model.every:
        limit = copy.queue.poison_limit
        for lease in copy.leases:
            over = lease.over
            if over is None or over.kind != "dead" or over.seq < first.seq or copy.corrupted or lease.runs:
                continue
            own = any(words in over.reason for words in ("its task", "its arguments"))
            if limit is not None and lease.number <= limit and not own:
                sentence = (
                    f"{named(copy)} was put aside at {at(over.t)} without having run or been damaged, after message "
                    f"{first.message} was damaged at {at(first.t)}"
                )
                yield broken(29, sentence, copy.message.name, first, over)


@invariant(
    31,
    "hooks",
    "Each start that hooks are told of is followed by one settling, and nothing turns a success into a failure.",
    "hook settled released dead; start end acked consumer crash",
    "A run that was interrupted, by a crash, a lost reservation or a stop, has no settling. A stopping or cut-off consumer may "
    "give back what ended well. Copies of one message in one batch are not told apart.",
)
def hooks(model: Model) -> Iterator[Violation]:
    """Yield hooks that were told too little or too much, and successes that were altered."""
    for number, told in model.noticed.hooks.items():
        if not number:
            continue  # nobody knows which run it was
        run = model.runs.get(number)
        why = _unpaired(told, run)
        if why and not (run is not None and len(run.copy.message.copies) > 1 and model.is_batch(run.copy)):
            message = told[0].message
            yield broken(31, f"of message {message} the hooks of {told[0].process} were told: {why}", message, *told)
    for run, by in model.noticed.altered:
        what = f"decided on {by.outcome}" if by.kind == "settled" else "put aside" if by.kind == "dead" else by.kind
        if by.kind == "settled" and model.is_batch(run.copy):
            continue
        if by.kind == "settled" or not _in_trouble(model, run.event.process, run.event.t, by.t):
            assert run.end is not None
            sentence = (
                f"a run of {named(run.copy)} ended well at {at(run.end.t)} on {run.event.process}, and the message was {what} at "
                f"{at(by.t)}"
            )
            yield broken(31, sentence, run.copy.message.name, run.event, run.end, by)


def _in_trouble(model: Model, process: str, begin: int, end: int) -> bool:
    """Return whether a process was hit by something between two moments, alone or with everybody."""
    return model.trouble.touches(process, begin, end) or model.trouble.touches("", begin, end)


def _unpaired(told: list[Event], run: Run | None) -> str:
    """Say what hooks were told wrongly of a run; nothing if all is well."""
    outcomes = [event.outcome for event in told]
    if outcomes == ["start", "settle"]:
        return ""
    if outcomes != ["start"]:
        return ", ".join(outcomes)
    lease = run.lease if run is not None else None
    if lease is None or lease.over is None or lease.over.kind != "acked" or lease.runs[-1] is not run:
        return ""
    if lease.over.process != lease.process:
        return ""  # lost to its owner of before a rollback
    return "start alone"
