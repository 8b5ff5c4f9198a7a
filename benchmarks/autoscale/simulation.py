"""One consumer in virtual time: a queue, fetchers, a buffer, a resizable pool, shared resources. No policy lives here.

Everything random is drawn from the seed: arrivals and handler times per message, before the run, so that every policy meets the
same work. The pool and the buffer follow the design that Go and Python share: a fetcher asks for `reservation_size` messages and
hands them over one by one, waiting while the buffer is full; a worker that is surplus ends after its message.
"""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from taskq.core.autoscale import Load
from taskq.options import QueueOptions

CPUS = 2
LOAD_PERIOD = 5.0
"""Seconds between samples of the load average, as in Linux; it fades over 60 s."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one run serves.

    Args:
        horizon: seconds after which the run ends.
        arrivals: seconds, ascending.
        wait: per message, seconds its handler waits for something that serves everybody at once.
        cpu: per message, CPU seconds; the CPUs are shared.
        remote: per message, seconds of a remote service that serves `remote_slots` callers at full speed and slows down above.
        fails: share of handler runs that raise at their end.
        outage: from and until when all of them do.
        trip: seconds of one reserve trip.
        start: pool size at the beginning.
        cpu_known: whether the policy is told the idle share of the CPUs.
    """

    horizon: float
    arrivals: list[float]
    wait: list[float]
    cpu: list[float]
    remote: list[float]
    remote_slots: float = math.inf
    fails: float = 0.0
    outage: tuple[float, float] = (0.0, 0.0)
    trip: float = 0.01
    start: int = 1
    cpu_known: bool = True


class Policy(Protocol):
    """What decides the sizes. `vote` is told what Go counts to tell an empty queue: +1 empty, -1 full."""

    def first(self, start: int, /) -> tuple[int, int]: ...
    def vote(self, sign: int, /) -> None: ...
    def ran(self, seconds: float, /) -> None: ...
    def interval(self) -> float: ...
    def decide(self, load: Load, load_average: float, /) -> tuple[int, int]: ...


class Shared:
    """A resource that serves `slots` users at full speed and shares itself evenly among more (processor sharing)."""

    def __init__(self, slots: float) -> None:
        self.slots = slots
        self.used = 0.0
        self._served = 0.0
        self._at = 0.0
        self._heap: list[tuple[float, int, int]] = []
        self._order = 0
        self.version = 0

    def __len__(self) -> int:
        return len(self._heap)

    def advance(self, now: float) -> None:
        users = len(self._heap)
        if users:
            self._served += (now - self._at) * min(1.0, self.slots / users)
            self.used += (now - self._at) * min(users, self.slots)
        self._at = now

    def enter(self, now: float, seconds: float, message: int) -> None:
        self.advance(now)
        self._order += 1
        self.version += 1
        heapq.heappush(self._heap, (self._served + seconds, self._order, message))

    def leave(self, now: float) -> int:
        self.advance(now)
        self.version += 1
        return heapq.heappop(self._heap)[2]

    def next_at(self) -> float:
        return self._at + max(0.0, self._heap[0][0] - self._served) / min(1.0, self.slots / len(self._heap))


@dataclass(kw_only=True)
class Result:
    """What one run gave: when messages were done, seconds they took from arrival in all, and (time, size) at each change."""

    done: list[float] = field(default_factory=list)
    waits: float = 0.0
    sizes: list[tuple[float, int]] = field(default_factory=list)
    fetchers: list[tuple[float, int]] = field(default_factory=list)


@dataclass(slots=True)
class _Counts:
    busy_s: float = 0.0
    processed: int = 0
    failed: int = 0
    run_s: float = 0.0
    calls: int = 0
    reserved: int = 0
    full: int = 0
    cpu: float = 0.0
    since: float = 0.0


class Simulation:
    """Runs `work` under `policy`; `run` once."""

    def __init__(self, work: Work, policy: Policy, options: QueueOptions, rng: random.Random) -> None:
        self.work, self.policy, self.options, self.rng = work, policy, options, rng
        self.now = 0.0
        self.result = Result()
        self._events: list[tuple[float, int, Callable[..., None], int]] = []
        self._sequence = 0
        self._queue: deque[int] = deque()
        self._buffer: deque[int] = deque()
        self._idle: deque[float] = deque()
        self._polling = 0
        self._blocked: deque[deque[int]] = deque()
        self._fetching = 0
        self._busy = 0
        self._workers, self._fetchers = policy.first(work.start)
        self._cpu, self._remote = Shared(CPUS), Shared(work.remote_slots)
        self._attempts: dict[int, int] = {}
        self._started: dict[int, float] = {}
        self._counts = _Counts()
        self._busy_at = 0.0
        self._load_average = 0.0
        self._mean = 0.0

    def run(self) -> Result:
        for index, at in enumerate(self.work.arrivals):
            self._at(at, self._arrive, index)
        self._resize(self._workers, self._fetchers)
        self._at(self.policy.interval(), self._tick)
        self._at(1.0, self._watch_idle)
        self._at(LOAD_PERIOD, self._watch_load)
        while self._events and self._events[0][0] <= self.work.horizon:
            self.now, _, what, argument = heapq.heappop(self._events)
            what(argument)
        return self.result

    def _at(self, when: float, what: Callable[..., None], argument: int = 0) -> None:
        self._sequence += 1
        heapq.heappush(self._events, (when, self._sequence, what, argument))

    # -- the queue and its fetchers

    def _arrive(self, message: int) -> None:
        self._queue.append(message)
        if self._polling:
            # A reserve that waits is answered as soon as there is something.
            self._polling -= 1
            self._at(self.now + self.work.trip / 2, self._trip_ends)

    def _fetch(self) -> None:
        self._fetching += 1
        self._at(self.now + self.work.trip, self._trip_ends)

    def _trip_ends(self, _: int) -> None:
        if not self._queue:
            self._polling += 1
            return
        asked = self.options.reservation_size
        brought = deque(self._queue.popleft() for _ in range(min(asked, len(self._queue))))
        full = len(brought) == asked
        self._counts.calls += 1
        self._counts.reserved += len(brought)
        self._counts.full += full
        self.policy.vote(-1 if full else 1)
        self._hand_over(brought)

    def _hand_over(self, brought: deque[int]) -> None:
        while brought and self._idle:
            self._idle.popleft()
            self._start(brought.popleft())
        while brought and len(self._buffer) < self.options.buffer:
            self._buffer.append(brought.popleft())
        if brought:
            self._blocked.append(brought)
            return
        self._fetching -= 1
        if self._fetching < self._fetchers:
            self._fetch()

    def _take(self) -> int:
        message = self._buffer.popleft()
        if self._blocked:
            self._buffer.append(self._blocked[0].popleft())
            if not self._blocked[0]:
                self._hand_over(self._blocked.popleft())
        return message

    # -- the pool and its handlers

    def _count_busy(self, change: int) -> None:
        self._counts.busy_s += self._busy * (self.now - self._busy_at)
        self._busy += change
        self._busy_at = self.now

    def _start(self, message: int) -> None:
        self._count_busy(1)
        self._started[message] = self.now
        if self.work.wait[message]:
            self._at(self.now + self.work.wait[message], self._use_remote, message)
        else:
            self._use_remote(message)

    def _use_remote(self, message: int) -> None:
        if self.work.remote[message]:
            self._enter(self._remote, self.work.remote[message], message)
        else:
            self._use_cpu(message)

    def _use_cpu(self, message: int) -> None:
        if self.work.cpu[message]:
            self._enter(self._cpu, self.work.cpu[message], message)
        else:
            self._finish(message)

    def _enter(self, resource: Shared, seconds: float, message: int) -> None:
        resource.enter(self.now, seconds, message)
        self._await(resource)

    def _await(self, resource: Shared) -> None:
        if len(resource):
            leave = self._leave_cpu if resource is self._cpu else self._leave_remote
            self._at(resource.next_at(), leave, resource.version)

    def _leave_cpu(self, version: int) -> None:
        if version == self._cpu.version:
            message = self._cpu.leave(self.now)
            self._await(self._cpu)
            self._finish(message)

    def _leave_remote(self, version: int) -> None:
        if version == self._remote.version:
            message = self._remote.leave(self.now)
            self._await(self._remote)
            self._use_cpu(message)

    def _finish(self, message: int) -> None:
        seconds = self.now - self._started.pop(message)
        self._count_busy(-1)
        self._counts.processed += 1
        self._counts.run_s += seconds
        self.policy.ran(seconds)
        begin, end = self.work.outage
        if begin <= self.now < end or self.rng.random() < self.work.fails:
            self._retry(message)
        else:
            self.result.done.append(self.now)
            self.result.waits += self.now - self.work.arrivals[message]
        self._next()

    def _retry(self, message: int) -> None:
        self._counts.failed += 1
        attempt = self._attempts[message] = self._attempts.get(message, 0) + 1
        self._at(self.now + min(2.0 ** (attempt - 1), 30.0), self._arrive, message)

    def _next(self) -> None:
        if self._busy + len(self._idle) >= self._workers:
            return
        if self._buffer:
            self._start(self._take())
        else:
            self._idle.append(self.now)

    def _resize(self, workers: int, fetchers: int) -> None:
        self._workers, self._fetchers = workers, fetchers
        self.result.sizes.append((self.now, workers))
        self.result.fetchers.append((self.now, fetchers))
        while self._idle and self._busy + len(self._idle) > workers:
            self._idle.pop()
        while self._busy + len(self._idle) < workers:
            self._next()
        while self._fetching < fetchers:
            self._fetch()
        while self._polling and self._fetching > fetchers:
            self._polling -= 1
            self._fetching -= 1

    # -- what is measured

    def _tick(self, _: int) -> None:
        workers, fetchers = self.policy.decide(self._measure(), self._load_average)
        if (workers, fetchers) != (self._workers, self._fetchers):
            self._resize(workers, fetchers)
        self._at(self.now + self.policy.interval(), self._tick)

    def _measure(self) -> Load:
        self._count_busy(0)
        self._cpu.advance(self.now)
        counts, interval = self._counts, self.now - self._counts.since
        used = (self._cpu.used - counts.cpu) / (interval * CPUS)
        if counts.processed:
            self._mean = counts.run_s / counts.processed
        self._counts = _Counts(since=self.now, cpu=self._cpu.used)
        return Load(
            now=self.now,
            interval=interval,
            workers=self._workers,
            fetchers=self._fetchers,
            busy=counts.busy_s / interval,
            buffered=len(self._buffer),
            buffer_size=self.options.buffer,
            processed=counts.processed,
            failed=counts.failed,
            mean_s=self._mean,
            reserve_calls=counts.calls,
            reserved=counts.reserved,
            full_reserves=counts.full,
            cpu_free=min(1.0, max(0.0, 1 - used)) if self.work.cpu_known else 1.0,
        )

    def _watch_idle(self, _: int) -> None:
        # Idle workers are served in turn, so those at the front have waited longest.
        for since in self._idle:
            if since > self.now - 1.0:
                break
            self.policy.vote(1)
        self._at(self.now + 1.0, self._watch_idle)

    def _watch_load(self, _: int) -> None:
        fade = math.exp(-LOAD_PERIOD / 60)
        self._load_average = self._load_average * fade + len(self._cpu) * (1 - fade)
        self._at(self.now + LOAD_PERIOD, self._watch_load)
