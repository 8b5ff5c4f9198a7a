"""Invariants of flow: what is due is taken, a pause holds and ends, order and fairness where they are promised."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise

from taskq.core.pause import EVERYTHING
from taskq_testing.history import Event
from taskq_testing.oracle.invariant import at, broken, invariant, lasting, named
from taskq_testing.oracle.model import FOREVER, Copy, Lease, Model, Queue, Run, nanoseconds
from taskq_testing.outcome import Violation

__all__ = ["fifo", "liveness", "pause", "starvation"]

_SLACK = nanoseconds(5.0)
"""What a consumer may sleep between two tries: after errors of its broker, and after replies that came early and empty."""


# -- 18


@invariant(
    18,
    "liveness",
    "Once faults are over, what is due runs within the queue's poll time while a consumer has nothing else to do.",
    "heal; stored due reserved released expired start end consumer paused resumed rest",
    "A consumer that runs something, is paused, was refused by the rate limit or a lock, or stops is not idle. On top of `poll` "
    "come the five seconds that a consumer may sleep between two tries. A batch waits for its age.",
)
def liveness(model: Model) -> Iterator[Violation]:
    """Yield waits beside an idle consumer."""
    healed, rest = model.healed, model.rest
    if healed is None:
        return
    begin = healed.t + _SLACK
    waits = [*model.noticed.waits, *_left_waiting(model, rest, begin)]
    held = list(_held_back(model, rest, healed.t))
    if not waits and not held:
        return
    idle = _Idle(model, begin)
    for copy, since, until, event in waits:
        process = idle.beside(copy, since, until)
        if process:
            sentence = (
                f"{named(copy)} could be had from {at(since)} and was not taken for {lasting(until - since)} though {process} "
                f"was idle"
            )
            yield broken(18, sentence, copy.message.name, copy.born, event)
    for lease, since, until, event in held:
        if idle.gap((lease.process, lease.copy.queue.name), lease.copy, since, until):
            sentence = (
                f"{lease.process} owned {named(lease.copy)} from {at(lease.event.t)} and did not run it for "
                f"{lasting(until - since)} though it was idle"
            )
            yield broken(18, sentence, lease.copy.message.name, lease.event, event)


def _left_waiting(model: Model, rest: Event | None, begin: int) -> Iterator[tuple[Copy, int, int, Event]]:
    """Return what could be had and never was."""
    for copy in model.every if rest is not None else ():
        if copy.state in ("ready", "delayed"):
            since = max(copy.since, begin)
            assert rest is not None
            if rest.t - since > copy.queue.poll + _SLACK:
                yield copy, since, rest.t, rest


def _held_back(model: Model, rest: Event | None, healed: int) -> Iterator[tuple[Lease, int, int, Event]]:
    """Return what was reserved after all faults, so that its owner knows of it, and lay there without being run."""
    for copy in model.every:
        for lease in copy.leases if not model.is_batch(copy) else ():
            last = lease.runs[0].event if lease.runs else lease.over or rest
            if lease.event.t < healed or last is None:
                continue
            since = max(lease.event.t, healed + _SLACK)
            if last.t - since > copy.queue.poll + _SLACK:
                yield lease, since, last.t, last


class _Idle:
    """When each consumer had nothing to do, for longer than its queue's poll time."""

    def __init__(self, model: Model, begin: int) -> None:
        self._model = model
        busy: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for run in model.runs.values():
            until = _over(run)
            if until >= begin:
                busy.setdefault((run.event.process, run.copy.queue.name), []).append((run.event.t, until))
        self._gaps: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for place in model.serving.owners():
            self._gaps[place] = list(self._find(place, busy.get(place, []), begin))

    def _find(self, place: tuple[str, str], busy: list[tuple[int, int]], begin: int) -> Iterator[tuple[int, int]]:
        model, (process, name) = self._model, place
        queue = model.queue(name)
        stops = [
            *busy,
            *model.trouble.of(process),
            *model.trouble.of(""),
            *model.standing.of((process, name, EVERYTHING)),
            *((t, t) for t in model.refusals.get(process, ())),
        ]
        stops.sort()
        for start, end in model.serving.of(place):
            free = max(start, begin)
            for stop, until in [*((s, u) for s, u in stops if u >= free and s <= end), (end, end)]:
                if stop - free > queue.poll + _SLACK:
                    yield free, stop
                free = max(free, until)

    def beside(self, copy: Copy, since: int, until: int) -> str:
        """Return the process of a consumer that was idle while a copy waited, or nothing."""
        for place in self._gaps:
            if place[1] == copy.queue.name and self.gap(place, copy, since, until):
                return place[0]
        return ""

    def gap(self, place: tuple[str, str], copy: Copy, since: int, until: int) -> bool:
        """Return whether a consumer was idle for too long between two moments."""
        gaps = self._gaps.get(place, [])
        bound = copy.queue.poll + _SLACK
        index = max(0, bisect_right(gaps, (since, FOREVER)) - 1)
        for begin, end in gaps[index:]:
            if begin > until:
                return False
            if min(end, until) - max(begin, since) > bound:
                return not self._model.standing.touches((*place, self._model.taker(copy.queue, copy.message)), since, until)
        return False


def _over(run: Run) -> int:
    """Return when a run was over, its fallback included."""
    ended = run.died or run.fallback_end or (run.end if not run.fallbacks else None)
    return ended.t if ended is not None else FOREVER


# -- 22


@invariant(
    22,
    "pause",
    "After pause_threshold failures in a row, and no fewer, a process runs nothing of the task, or queue, for pause_period.",
    "settled paused; start resumed crash",
    "A pause by hand (`reason`) needs no failures. Runs that began within `poll` of the pause, and batches collected before it, "
    "go on. Each process counts for itself, and begins anew after a crash.",
)
def pause(model: Model) -> Iterator[Violation]:
    """Yield runs in a pause, and pauses without enough failures."""
    for start, causes in model.noticed.impatient:
        cause = causes[-1]
        if cause.kind == "paused":
            paused = f"paused {_what(cause)} at {at(cause.t)}"
            sentence = f"{start.process} ran message {start.message} at {at(start.t)} though it {paused}"
        else:
            sentence = (
                f"{start.process} ran message {start.message} at {at(start.t)} and did not pause after {len(causes)} failures in "
                f"a row, the last at {at(cause.t)}"
            )
        yield broken(22, sentence, start.message, *causes, start)
    for event, failures in model.noticed.too_early:
        threshold = model.queue(event.queue).threshold
        sentence = (
            f"{event.process} paused {_what(event)} at {at(event.t)} after {failures} failures in a row though pause_threshold "
            f"is {threshold}"
        )
        yield broken(22, sentence, "", event)
    for event in model.noticed.wrong_length:
        period = lasting(model.queue(event.queue).pause_period)
        sentence = (
            f"{event.process} paused {_what(event)} at {at(event.t)} for {event.delay:.3f} s though pause_period is {period}"
        )
        yield broken(22, sentence, "", event)


def _what(event: Event) -> str:
    return f"queue {event.queue}" if not event.task else f"task {event.task}"


# -- 23, 24


@invariant(
    23,
    "order",
    "Where order is promised, messages without delay or retry are reserved as they were added, and one consumer starts them so.",
    "start reserved; stored released expired cloned rolled_back restored fault",
    "A message that was ever released, expired, restored, cloned or hit by a fault; batches; different workers within `poll`; a "
    "queue that several processes consume, as to starts.",
)
def fifo(model: Model) -> Iterator[Violation]:
    """Yield what overtook an earlier message."""
    for queue in model.queues.values():
        if not queue.fifo:
            continue
        plain = [copy for copy in model.every if copy.queue is queue and _is_plain(model, copy)]
        plain.sort(key=lambda copy: copy.born.seq)
        for earlier, later in pairwise(plain):
            first, second = earlier.leases[0], later.leases[0]
            if second.event.seq < first.event.seq:
                sentence = (
                    f"{named(later)} was reserved at {at(second.event.t)}, before {named(earlier)}, which was added before it, "
                    f"at {at(first.event.t)}"
                )
                yield broken(23, sentence, later.message.name, earlier.born, later.born, first.event, second.event)
        if len({lease.process for copy in model.every if copy.queue is queue for lease in copy.leases}) == 1:
            yield from _start_order(model, queue, plain)


def _is_plain(model: Model, copy: Copy) -> bool:
    """Return whether order is promised to a copy."""
    if len(copy.leases) != 1 or copy.was_delayed or copy.clone or len(copy.message.copies) != 1 or copy.message.faulted:
        return False
    lease = copy.leases[0]
    if lease.over is not None and lease.over.kind not in ("acked", "dead"):
        return False
    return not model.rolled_back_since(copy.born)


def _start_order(model: Model, queue: Queue, plain: list[Copy]) -> Iterator[Violation]:
    started = [copy for copy in plain if copy.leases[0].runs and not model.is_batch(copy)]
    for earlier, later in pairwise(started):
        first, second = earlier.leases[0].runs[0].event, later.leases[0].runs[0].event
        if second.seq > first.seq:
            continue
        near = first.t - second.t <= queue.poll + queue.resolution
        if near and first.worker != second.worker:
            continue
        lease = earlier.leases[0]
        if model.trouble.touches(lease.process, lease.event.t, first.t) or model.trouble.touches("", lease.event.t, first.t):
            continue
        sentence = f"{named(later)} ran at {at(second.t)}, before {named(earlier)}, which was added before it, at {at(first.t)}"
        yield broken(23, sentence, later.message.name, earlier.born, later.born, first, second)


@invariant(
    24,
    "no starvation",
    "No ready message is passed over for younger ones, and a failing task pauses no other.",
    "reserved paused; stored due released expired fault rolled_back restored",
    "Younger means ready later by more than `poll`, and where order is not promised by more than a reservation on top. A message "
    'that a fault moved. With pause_scope "queue" one task pauses all.',
)
def starvation(model: Model) -> Iterator[Violation]:
    """Yield messages that others overtook, and pauses that are too wide."""
    for event in model.noticed.wide:
        sentence = f"{event.process} paused all of queue {event.queue} at {at(event.t)} though its pause_scope is a task"
        yield broken(24, sentence, "", event)
    for copy, ready_at, other, event in model.noticed.overtaken:
        if not copy.message.faulted and not other.copy.message.faulted:
            yield _overtaken(copy, ready_at, other, event)
    for copy in model.every:
        youngest = copy.queue.youngest
        if copy.state != "ready" or youngest is None or copy.message.faulted or youngest.copy.message.faulted:
            continue
        if copy.ready_at + copy.queue.patience < youngest.ready_at:
            yield _overtaken(copy, copy.ready_at, youngest, model.rest)


def _overtaken(copy: Copy, ready_at: int, other: Lease, event: Event | None) -> Violation:
    sentence = (
        f"{named(copy)} was ready at {at(ready_at)} and passed over for {named(other.copy)}, which was ready at "
        f"{at(other.ready_at)} and reserved at {at(other.event.t)}"
    )
    return broken(24, sentence, copy.message.name, copy.born, other.event, event)
