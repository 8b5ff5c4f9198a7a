"""What the oracle knows of a run: its queues, messages, copies, reservations and runs, and what it noticed on the way.

Values that the readers (`broker`, `workers`, `world`) fill in one pass over a history and the checks look at afterwards.
Nothing is judged here. All times are integer nanoseconds by the broker's clock.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

from taskq.core.lifecycle import MESSAGE
from taskq.task import CATCH_ALL
from taskq_testing.history import NANOSECONDS, Event
from taskq_testing.oracle.spans import Spans

__all__ = [
    "FOREVER",
    "GONE",
    "Copy",
    "Impossible",
    "Lease",
    "Lock",
    "Lockless",
    "Message",
    "Model",
    "Op",
    "Pair",
    "Pause",
    "Queue",
    "Run",
    "Task",
    "nanoseconds",
]

FOREVER = 1 << 62
GONE = MESSAGE.start
"""The state of what the broker does not have: not yet, or not any more."""


def nanoseconds(seconds: float) -> int:
    """Return a stretch of time in nanoseconds; infinity is for ever."""
    return round(seconds * NANOSECONDS) if seconds < FOREVER / NANOSECONDS else FOREVER


class Queue:
    """A queue, its policy and what is in it. Without a `queue` event nothing is promised."""

    __slots__ = (
        "atomic", "buffer", "counts", "extends", "fifo", "name", "pause_period", "pause_scope", "poison_limit", "poll",
        "rate", "reservation", "resolution", "threshold", "worker_limit", "workers", "youngest",
    )  # fmt: skip

    def __init__(self, name: str, data: dict[str, Any]) -> None:
        get = data.get
        self.name = name
        self.resolution = nanoseconds(get("resolution") or 0.0)
        self.poll = nanoseconds(float("inf") if get("poll") is None else get("poll", 0.0))
        self.reservation = nanoseconds(get("reservation_timeout") or 0.0)
        self.extends = get("extend", True)
        self.atomic = get("atomic", True)
        self.buffer: int | None = get("buffer")
        self.rate: dict[str, Any] | None = get("rate")
        self.worker_limit: int | None = get("worker_limit")
        self.threshold: int = get("pause_threshold") or 0
        self.pause_period = nanoseconds(get("pause_period") or 0.0)
        self.pause_scope: str = get("pause_scope", "task")
        self.poison_limit: int | None = get("poison_limit")
        self.fifo = bool(get("fifo"))
        self.counts = dict.fromkeys(MESSAGE.moves, 0)
        self.workers: dict[tuple[str, int], int] = {}  # process and number of those that run something -> how many runs
        self.youngest: Lease | None = None  # of those reserved, the one that was ready last

    @property
    def patience(self) -> int:
        """How much younger a message may be that overtakes another."""
        return self.poll + self.resolution + (0 if self.fifo else self.reservation)


class Task:
    """A task's policy."""

    __slots__ = ("batch", "fallback", "jitter", "max_attempts", "max_backoff", "min_backoff")

    def __init__(self, data: dict[str, Any]) -> None:
        self.max_attempts: int = data["max_attempts"]
        self.min_backoff: float = data["min_backoff"]
        self.max_backoff: float = data["max_backoff"]
        self.jitter: float = data.get("jitter") or 0.0
        self.fallback = bool(data.get("fallback"))
        self.batch = bool(data.get("batch"))

    def backoff(self, attempt: int) -> float:
        """Return the shortest wait after the failure of an attempt, in seconds."""
        return float(min(self.min_backoff * 2.0 ** min(attempt - 1, 1000), self.max_backoff))


class Op:
    """One add as its producer sees it."""

    __slots__ = ("add", "answered", "hopeful", "lost", "message")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.add: Event | None = None
        self.answered: Event | None = None
        self.hopeful = False  # it was accepted, or its answer was lost
        self.lost = False  # its answer was lost


class Message:
    """One message, by its name."""

    __slots__ = ("accepted", "copies", "faulted", "leases", "name", "ops", "started", "task")

    def __init__(self, name: str) -> None:
        self.name = name
        self.task = ""
        self.ops: list[Op] = []
        self.copies: list[Copy] = []
        self.leases: dict[int, Lease] = {}
        self.accepted: Event | None = None
        self.started: Event | None = None
        self.faulted = False


class Copy:
    """One entry of a message in the broker; there is more than one where a fault cloned it."""

    __slots__ = (
        "acked", "asked", "barren", "born", "clone", "corrupted", "due", "earliest", "errors", "floor", "lease", "leases",
        "message", "number", "ok", "outcomes", "queue", "ready_at", "redriven", "running", "runs", "since", "state", "undone",
        "was_delayed",
    )  # fmt: skip

    def __init__(self, message: Message, number: int, queue: Queue, born: Event) -> None:
        self.message = message
        self.number = number
        self.queue = queue
        self.born = born  # stored or cloned; whatever named it first if neither is in the history
        self.clone = born.kind == "cloned"
        self.state = GONE
        self.due = 0
        self.since = born.t  # it could be reserved from here on
        self.ready_at = FOREVER  # the same, but only where the broker said so
        self.was_delayed = False
        self.earliest = 0  # no first start before
        self.undone = False  # forgotten, and a rollback is the reason
        self.corrupted = False
        self.lease: Lease | None = None
        self.leases: list[Lease] = []
        self.runs: list[Run] = []
        self.running: list[Run] = []
        self.acked: Event | None = None
        self.outcomes: list[Event] = []  # done, dead, purged
        self.ok: Event | None = None  # a run that ended well
        self.barren = 0  # deliveries since the last outcome
        self.errors = 0  # handler errors that counted
        self.floor: tuple[int, Event] | None = None  # the attempt below which nothing starts, and since when
        self.asked: tuple[int, Event, Run] | None = None  # not before, as a release said after a failed run
        self.redriven: Event | None = None


class Lease:
    """One reservation."""

    __slots__ = (
        "copy", "event", "expires", "given_back", "index", "number", "over", "process", "ready_at", "receipt", "renewed", "runs",
    )  # fmt: skip

    def __init__(self, copy: Copy, event: Event) -> None:
        self.copy = copy
        self.event = event
        self.process = event.process
        self.receipt = event.receipt
        self.expires = event.expires
        self.renewed = event  # reserved, or the last extension
        self.index = len(copy.leases)
        self.number = copy.barren + 1  # which delivery without an outcome this is
        self.ready_at = copy.ready_at
        self.over: Event | None = None  # what ended it
        self.given_back = False  # by a consumer that stops, while its run was not over or had ended well
        self.runs: list[Run] = []


class Run:
    """One run of a handler."""

    __slots__ = ("copy", "died", "end", "event", "fallback_end", "fallbacks", "lease", "settled")

    def __init__(self, event: Event, copy: Copy, lease: Lease | None) -> None:
        self.event = event
        self.copy = copy
        self.lease = lease
        self.end: Event | None = None
        self.died: Event | None = None
        self.fallbacks: list[Event] = []
        self.fallback_end: Event | None = None
        self.settled: Event | None = None


class Lock:
    """One named lock, held by one owner."""

    __slots__ = ("event", "expires", "key", "owner", "unlocked")

    def __init__(self, event: Event) -> None:
        self.key = event.key
        self.owner = event.owner
        self.event = event  # when it was taken, or renewed last
        self.expires = event.expires or FOREVER
        self.unlocked: Event | None = None


class Lockless(NamedTuple):
    """A worker that runs something without a good lock, as things stood when it was noticed."""

    process: str
    key: str  # of the lock that it had, if any
    since: Event | None  # when it had taken or renewed that
    gone: int  # when that ended
    freed: bool  # because it was given back
    excused: bool  # a rollback undid it, or its consumer gave it back when it stopped


class Pause:
    """One stretch of time in which a process runs nothing of a task, or of a queue."""

    __slots__ = ("event", "until")

    def __init__(self, event: Event, until: int) -> None:
        self.event = event
        self.until = until


class Impossible(NamedTuple):
    """Something that the broker did and that cannot happen to a message in its state."""

    event: Event
    copy: Copy
    state: str
    why: str  # "state", "receipt", "early", "promoted", "finished" or "refused"
    lease: Lease | None


class Pair(NamedTuple):
    """Two runs of one copy, the one under the earlier reservation first, as things stood when the second of them began."""

    before: Run
    after: Run
    at: Event
    expires: int  # of the earlier reservation
    over: Event | None  # what had ended it


class Noticed:
    """What was worth a look on the way, for the checks to judge when everything is known."""

    def __init__(self) -> None:
        self.impossible: list[Impossible] = []
        self.miscounts: list[tuple[int, str, int, Event]] = []
        self.repeats: list[Pair] = []
        self.overlaps: list[Pair] = []
        self.unearned: list[Event] = []
        self.lapses: list[tuple[Lease, int, Event, Event]] = []  # with its expiry, what extended it last, and the proof
        self.early: list[tuple[Copy, Event]] = []
        self.hasty: list[tuple[tuple[int, Event, Run], Event]] = []
        self.regressions: list[tuple[tuple[int, Event], Event, Copy]] = []
        self.poisoned: list[tuple[Lease, Event]] = []
        self.excess: list[tuple[Copy, int, Event]] = []
        self.waits: list[tuple[Copy, int, int, Event]] = []
        self.overtaken: list[tuple[Copy, int, Lease, Event]] = []
        self.unfounded: list[Event] = []
        self.stolen: list[tuple[Lock, Event]] = []
        self.lockless: list[tuple[Run, Lockless]] = []
        self.crowds: list[tuple[Queue, Event, int, list[Lockless]]] = []
        self.eternal: list[tuple[Lock, Event]] = []
        self.impatient: list[tuple[Event, list[Event]]] = []
        self.too_early: list[tuple[Event, int]] = []
        self.wrong_length: list[Event] = []
        self.wide: list[Event] = []
        self.hooks: defaultdict[int, list[Event]] = defaultdict(list)
        self.altered: list[tuple[Run, Event]] = []
        self.fallbacks: list[tuple[Event, Run]] = []
        self.given_up: list[tuple[Run, Event]] = []
        self.buffered: list[Event] = []
        self.leftovers: list[tuple[Event, Event | None, Event | None, list[Event]]] = []
        self.after_stop: list[tuple[Event, Event]] = []
        self.corruptions: list[Event] = []


class Model:
    """Everything that the checks look at."""

    def __init__(self, recorded: frozenset[str]) -> None:
        self.recorded = recorded
        self.noticed = Noticed()
        self.queues: dict[str, Queue] = {}
        self.tasks: dict[tuple[str, str], Task] = {}
        self.longest_poll = 0
        self.messages: dict[str, Message] = {}
        self.copies: dict[tuple[str, int], Copy] = {}
        self.every: list[Copy] = []
        self.ops: dict[int | str, Op] = {}
        self.stores: defaultdict[int, list[Event]] = defaultdict(list)  # by operation
        self.runs: dict[int, Run] = {}
        self.alive: defaultdict[str, set[Run]] = defaultdict(set)  # by process: the runs that go on
        # Names that are taken, limits and locks.
        self.claims: defaultdict[str, list[Event]] = defaultdict(list)
        self.held: dict[str, int] = {}
        self.ever_held: dict[str, int] = {}
        self.denied: set[str] = set()
        self.grants: defaultdict[str, list[Event]] = defaultdict(list)
        self.refusals: defaultdict[str, list[int]] = defaultdict(list)
        self.locks: dict[str, Lock] = {}
        self.worker_locks: defaultdict[tuple[str, str, int], dict[str, Lock]] = defaultdict(dict)
        # Pauses, by process, queue and task ("": all).
        self.failures: dict[tuple[str, str, str], list[Event]] = {}
        self.overdue: dict[tuple[str, str, str], list[Event]] = {}
        self.pauses: dict[tuple[str, str, str], Pause] = {}
        self.standing: Spans[tuple[str, str, str]] = Spans()
        # What processes go through.
        self.consumers: dict[tuple[str, str], Event] = {}
        self.stopping: dict[tuple[str, str], Event] = {}
        self.serving: Spans[tuple[str, str]] = Spans()  # (process, queue): a consumer runs
        self.trouble: Spans[str] = Spans()  # process: dead, still, cut off, hit by a fault
        self.crashes: defaultdict[str, list[Event]] = defaultdict(list)
        self.rollbacks: list[Event] = []
        self.healed: Event | None = None
        self.rest: Event | None = None

    def queue(self, name: str) -> Queue:
        """Return a queue, known or not."""
        queue = self.queues.get(name)
        if queue is None:
            queue = self.queues[name] = Queue(name, {})
        return queue

    def message(self, name: str) -> Message:
        """Return a message, known or not."""
        message = self.messages.get(name)
        if message is None:
            message = self.messages[name] = Message(name)
        return message

    def copy(self, event: Event) -> Copy:
        """Return the copy that an event is about, known or not."""
        copy = self.copies.get((event.message, event.copy))
        return copy if copy is not None else self.new_copy(event)

    def new_copy(self, event: Event) -> Copy:
        """Return a new copy that an event brings about."""
        message = self.message(event.message)
        name = event.queue
        if not name and message.copies:
            name = message.copies[0].queue.name
        copy = self.copies[event.message, event.copy] = Copy(message, event.copy, self.queue(name), event)
        message.copies.append(copy)
        self.every.append(copy)
        copy.queue.counts[GONE] += 1
        return copy

    def task(self, copy: Copy) -> Task | None:
        """Return the policy of a copy's task, None if it is not known."""
        return self.tasks.get((copy.queue.name, self.taker(copy.queue, copy.message)))

    def taker(self, queue: Queue, message: Message) -> str:
        """Return the name of the task that a message is for: its own, or the catch-all if only that is there."""
        own, catch_all = (queue.name, message.task), (queue.name, CATCH_ALL)
        return CATCH_ALL if own not in self.tasks and catch_all in self.tasks else message.task

    def is_batch(self, copy: Copy) -> bool:
        """Return whether the copy's task takes batches, or may for all that is known."""
        task = self.task(copy)
        return task is not None and task.batch

    def rolled_back_since(self, event: Event) -> bool:
        """Return whether the broker went back after an event."""
        return bool(self.rollbacks) and self.rollbacks[-1].seq > event.seq

    def let_go(self) -> None:
        """Open the circles between messages and what is about them, so that all of it is freed at once: nobody asks any more."""
        for message in self.messages.values():
            message.ops.clear()
            message.copies.clear()
            message.leases.clear()
        for queue in self.queues.values():
            queue.youngest = None
        for copy in self.every:
            for lease in copy.leases:
                lease.runs.clear()
            copy.lease = copy.asked = None
            copy.leases.clear()
            copy.runs.clear()
            copy.running.clear()

    @property
    def complete(self) -> bool:
        """Whether the broker itself was recorded, and not only what its clients heard."""
        return "expired" in self.recorded and "stored" in self.recorded
