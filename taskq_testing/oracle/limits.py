"""Invariants of limits that processes share, and of what one process may hold: rate, worker limit, locks, buffers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from taskq_testing.history import NANOSECONDS, Event
from taskq_testing.oracle.invariant import at, broken, invariant
from taskq_testing.oracle.model import FOREVER, Lockless, Model, Queue
from taskq_testing.outcome import Violation

__all__ = ["buffers", "locks", "rate", "worker_limit"]

_ROUNDING = 1e-6


# -- 20


@invariant(
    20,
    "rate",
    "In any stretch of time the limiter grants at most burst + rate * time over all processes, and nothing starts without a "
    "grant; a refund gives back at most what was not used, and wears off.",
    "grant; refund start rolled_back",
    "A rollback of the limiter's state. Starts may come later than their grants, for messages wait in buffers.",
)
def rate(model: Model) -> Iterator[Violation]:
    """Yield grants beyond the rate, starts without grants, refunds of what was used."""
    for queue in model.queues.values():
        if queue.rate is not None:
            yield from _Bucket(queue).judge(model.grants.get(f"rate:{queue.name}", []))


class _Bucket:
    """Counts the grants of one queue."""

    def __init__(self, queue: Queue) -> None:
        assert queue.rate is not None
        self.queue = queue
        self.per_second: float = queue.rate["rate"] / queue.rate["per"]
        self.burst: int = queue.rate["burst"]
        self.slack = 1.0 - _ROUNDING + queue.resolution / NANOSECONDS * self.per_second
        self.granted = self.refunded = self.started = 0
        self.net = 0.0  # grants that count, since the last rollback
        self.least: tuple[float, Event | None] = (0.0, None)  # of `net` before a grant, less what time has earned
        self.unused: dict[str, list[Event]] = {}  # by process: grants that may still be given back

    def judge(self, events: list[Event]) -> Iterator[Violation]:
        """Yield what is wrong with the grants, refunds and starts of a queue."""
        for event in events:
            kind = event.kind
            if kind == "start":
                self.started += 1
                wrong = None if self.started <= self.granted - self.refunded else self._ungranted(event)
            elif kind == "grant":
                wrong = self._grant(event)
            elif kind == "refund":
                wrong = self._refund(event)
            else:
                self.net, self.least, wrong = 0.0, (0.0, None), None
            if wrong is not None:
                yield wrong

    def _ungranted(self, event: Event) -> Violation:
        sentence = (
            f"message {event.message} started at {at(event.t)} as the {self.started}th of queue {self.queue.name} though "
            f"{self.granted - self.refunded} starts were granted"
        )
        return broken(20, sentence, event.message, event)

    def _grant(self, event: Event) -> Violation | None:
        earned = event.t / NANOSECONDS * self.per_second
        if self.least[1] is None or self.net - earned < self.least[0]:
            self.least = (self.net - earned, event)
        self.granted += event.n
        self.net += event.n
        self.unused.setdefault(event.process, []).append(event)
        least, first = self.least
        beyond = self.net - earned - least - self.burst
        if beyond <= self.slack or first is None:
            return None
        count = beyond + self.burst + (event.t - first.t) / NANOSECONDS * self.per_second
        sentence = (
            f"queue {self.queue.name} was granted {count:.0f} starts from {at(first.t)} to {at(event.t)}, more than its burst of "
            f"{self.burst} and {self.per_second:g} a second"
        )
        return broken(20, sentence, "", first, event)

    def _refund(self, event: Event) -> Violation | None:
        grant = self._take_back(event)
        self.refunded += event.n
        if grant is None or self.refunded + self.started > self.granted:
            sentence = (
                f"{event.process} gave back {event.n} starts of queue {self.queue.name} at {at(event.t)}, more than it had unused"
            )
            return broken(20, sentence, "", grant, event)
        age = (event.t - grant.t) / NANOSECONDS
        self.net -= max(0.0, min(event.n, grant.n - age * self.per_second))
        return None

    def _take_back(self, event: Event) -> Event | None:
        """Return the grant that a refund is of and forget it: that of its moment, or of any if that is not known."""
        grants, moment = self.unused.get(event.process, []), event.due
        index = bisect_left(grants, moment, key=_moment)
        fits = []
        while index < len(grants) and grants[index].t == moment:
            if grants[index].n >= event.n:
                fits.append(index)
            index += 1
        if fits:
            # Fetchers may have grants of one moment. The largest may be what is given back, and is left for what comes next.
            fits.sort(key=lambda fit: grants[fit].n)
            largest = grants[fits[-1]]
            del grants[fits[0]]
            return largest
        for last in range(len(grants) - 1, -1, -1) if not moment else ():
            if grants[last].n >= event.n:
                return grants.pop(last)
        return None


def _moment(event: Event) -> int:
    return event.t


# -- 21, 28


@invariant(
    21,
    "worker limit",
    "At most worker_limit workers run something at one time, each with a lock of its own that nobody else holds.",
    "start locked; end unlocked crash consumer suspend cut fault rolled_back",
    "A lock that ran out, or was undone by a rollback, while its process stood still, was cut off or hit by a fault.",
)
def worker_limit(model: Model) -> Iterator[Violation]:
    """Yield runs without a lock, runs beyond the limit, and locks given to two."""
    for run, lacks in model.noticed.lockless:
        event = run.event
        if _excused(model, lacks, event):
            continue
        how = f"whose lock {lacks.key} was gone since {at(lacks.gone)}" if lacks.key else "which never had one"
        sentence = f"message {event.message} ran at {at(event.t)} on worker {event.worker} of {event.process}, {how}"
        yield broken(21, sentence, event.message, lacks.since, event)
    for queue, event, count, without in model.noticed.crowds:
        counted = count - sum(_excused(model, lacks, event) for lacks in without)
        if queue.worker_limit is not None and counted > queue.worker_limit:
            sentence = (
                f"{counted} workers of queue {queue.name} ran something at {at(event.t)} though its worker_limit is "
                f"{queue.worker_limit}"
            )
            yield broken(21, sentence, event.message, event)
    for lock, event in model.noticed.stolen:
        sentence = (
            f"lock {event.key} was given to {event.owner} at {at(event.t)} though {lock.owner} held it until {at(lock.expires)}"
        )
        yield broken(21, sentence, "", lock.event, event)


def _excused(model: Model, lacks: Lockless, event: Event) -> bool:
    """Return whether a worker has an excuse for having no good lock at an event."""
    if lacks.excused or lacks.freed or lacks.since is None:
        return lacks.excused
    since, trouble = lacks.since.t, model.trouble
    return trouble.touches(lacks.process, since, event.t) or trouble.touches("", since, event.t)


@invariant(
    28,
    "locks end",
    "Every lock that is held has a living owner or a time at which it ends.",
    "locked; unlocked crash",
    "None.",
)
def locks(model: Model) -> Iterator[Violation]:
    """Yield locks without an end whose owner is dead."""
    for lock, crash in model.noticed.eternal:
        sentence = f"lock {lock.key} has no end, and its owner {lock.owner} died with {crash.process} at {at(crash.t)}"
        yield broken(28, sentence, "", lock.event, crash)


# -- 30


@invariant(
    30,
    "buffers",
    "A consumer holds at most `buffer` messages that wait for a worker, and decodes no more bytes than its cap.",
    "buffered;",
    "None.",
)
def buffers(model: Model) -> Iterator[Violation]:
    """Yield buffers that hold too much."""
    for event in model.noticed.buffered:
        data = event.data or {}
        bound = model.queue(event.queue).buffer
        if bound is not None and event.n > bound:
            sentence = f"{event.process} buffered {event.n} messages of queue {event.queue} at {at(event.t)}, and may {bound}"
        else:
            sentence = f"{event.process} decoded {data.get('bytes')} bytes at {at(event.t)}, and may {data.get('cap', FOREVER)}"
        yield broken(30, sentence, event.message, event)
