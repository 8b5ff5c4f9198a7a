"""What happened in one run, as events in order: recorded by the simulator or on a real server, kept as JSON lines.

Each event is one `Event`; fields that do not apply are left out of the file. The first line of a file is `{"schema": 1}`.
Times are integer nanoseconds by the broker's clock. The oracle, the timeline and `why` read nothing else.
What the table leaves open:

- The set-up comes first. Events are in the order in which they happened, so that `t` never goes back.
- `message` and `copy` name one entry of the broker. An added entry is copy 0, and each `cloned` one has a number of its own.
  Reservations, settlings and runs are told apart by `receipt`, which a broker gives out once.
- `delay` of an `add` is what the broker was asked for: seconds from then, also where the producer gave a moment.
- A broker that hands out what a dead or silent consumer owned says `expired` first, then `reserved`. It need not say `due` or
  `expired` at the moment itself: what is past its time may be reserved without it.
- Each message of a batch has its own run, with its own `start` and `end`; `end` says what came of that message.
- A worker's lock has the key `<queue>:worker:lock:<n>` and an owner that ends in `:<worker>`; the `process` is the worker's.
  `expires` 0 is a lock without an end. A rate limit has the key `rate:<queue>`.
- A pause by hand has a `reason`, and without a period `delay` -1: it lasts until `resumed`.
- A message that is processed by hand (`process_one`) is run by a consumer that is `running`, too.
- A `fault` hits its `process`, or everybody if that is empty or "broker"; it lasts for `delay` seconds. If it hit a call,
  `reason` is the operation. What happens at the very moment of a rollback's `due` may be on either side of it.
- On a real server, a recorder that sees only what clients are answered says so in `records`; it sets `resolution` to no less
  than a round trip, and a loop that stood still for longer than a third of a reservation is a `fault` ("stall").

====================  =====================================================================================================
kind                  meaning, and the fields that it carries beside `seq`, `t`, `kind`, `process`
====================  =====================================================================================================
**set-up**
``queue``             a queue's policy: `queue`, `data` (see `QUEUE_FIELDS`)
``task``              a task's policy: `queue`, `task`, `data` (see `TASK_FIELDS`)
**producers, as they see it**
``add``               an enqueue begins: `op`, `queue`, `message`, `task`, `delay`, and `key`, `ttl` where deduplicated
``accepted``          it returned: `op`, `message`
``duplicate``         it was told that the key is taken: `op`, `message`, `key`
``refused``           it raised, and nothing was added: `op`, `message`, `reason`
``unknown``           it raised, and may have been added (a lost reply): `op`, `message`, `reason`
**the broker, which is the truth**
``stored``            a message was added: `queue`, `message`, `task`, `op`, `due` (0: ready now), `key`, `ttl`
``denied``            its key was taken: `queue`, `message`, `key`
``due``               a delayed message became ready: `queue`, `message`, `copy`
``reserved``          `process` owns it until `expires`: `queue`, `message`, `copy`, `receipt`, `expires`, `n` (delivery count)
``extended``          `receipt`, `message`, `copy`, `expires`
``acked``             removed, done: `receipt`, `message`, `copy`
``released``          given back: `receipt`, `message`, `copy`, `due` (0: ready now), `attempt` (of its next run)
``dead``              put aside: `receipt`, `message`, `copy`, `reason`
``expired``           its reservation ran out, it is ready again: `receipt`, `message`, `copy`
``stale``             `outcome` (ack, release, extend, dead_letter) came with a receipt that owns nothing: `receipt`, `message`
``purged``            dropped on request: `message`, `copy`
``redriven``          a dead letter made ready: `message`, `copy`
``cloned``            a fault made a second copy of it, ready: `message`, `copy` (the new one)
``corrupted``         a fault damaged its body: `message`, `copy`
``rolled_back``       the broker restarted without its last writes, those after `due` (ns); a `restored` event follows for
                      each message that it still has, and nothing else exists any more
``restored``          `message`, `copy`, `outcome` (its state), and `due`, `receipt`, `expires` as they are now
``size``              the broker counted: `queue`, `data` (ready, delayed, reserved, dead)
``grant``             the rate limiter allowed `n` starts (0: none): `key`
``refund``            it took `n` unused starts back: `key`, `due` (when they were granted, where that is known)
``locked``            `owner` holds lock `key` until `expires`
``lock_denied``       another holds it: `owner`, `key`
``unlocked``          `owner`, `key`
**workers**
``start``             a handler begins: `run`, `queue`, `message`, `copy`, `receipt`, `task`, `attempt`, `worker`
``end``               it ended: `run`, `outcome` (ok, error, cancelled), `reason` (the exception), `delay` (asked for by Retry)
``fallback``          a fallback begins: `run`, `queue`, `message`, `task`
``fallback_end``      it ended: `run`, `outcome`, `reason`
``hook``              the consumer told its hooks: `run`, `message`, `outcome` (start, settle)
``settled``           what the consumer decided: `run`, `message`, `outcome` (ack, release, fallback, dead), `delay`, `reason`
``paused``            a queue or task pauses for `delay` seconds: `queue`, `task` ("": all of it)
``resumed``           by hand: `queue`, `task`
``buffered``          messages wait in a consumer's buffer: `queue`, `n`, and `data` (bytes, cap) where bytes are counted
``consumer``          `queue`, `outcome` (running, stopping, stopped), `n` (messages given back, when stopped)
``at_rest``           what a stopped or idle consumer still holds: `queue`, `data` (owned, in_flight, tasks, threads, sockets)
**processes and faults**
``crash``             nothing of `process` runs on
``spawn``             `process` begins (again)
``suspend``           `process` stands still (SIGSTOP)
``wake``              it goes on
``cut``               its messages are lost in one direction: `outcome` (requests, replies, both)
``mended``            its link works again
``fault``             anything injected: `outcome` (the fault's name), `message` where it hit one, `delay` where it took time,
                      `reason` (the operation) where it hit a call
``heal``              from here on no faults: what is left must drain within `delay` seconds
``rest``              the run is over
====================  =====================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["KINDS", "NANOSECONDS", "QUEUE_FIELDS", "SCHEMA", "TASK_FIELDS", "Event", "History"]

SCHEMA = 1
NANOSECONDS = 1_000_000_000

KINDS = frozenset({
    "queue", "task", "add", "accepted", "duplicate", "refused", "unknown", "stored", "denied", "due", "reserved",
    "extended", "acked", "released", "dead", "expired", "stale", "purged", "redriven", "cloned", "corrupted",
    "rolled_back", "restored", "size", "grant", "refund", "locked", "lock_denied", "unlocked", "start", "end",
    "fallback", "fallback_end", "hook", "settled", "paused", "resumed", "buffered", "consumer", "at_rest", "crash",
    "spawn", "suspend", "wake", "cut", "mended", "fault", "heal", "rest",
})  # fmt: skip

QUEUE_FIELDS = (
    "reservation_timeout",  # seconds
    "buffer",  # messages that a consumer may hold unstarted
    "rate",  # {"rate": starts, "per": seconds, "burst": starts} or None
    "worker_limit",  # runs at once over all processes, or None
    "pause_threshold",  # consecutive failures; 0: never
    "pause_period",  # seconds
    "pause_scope",  # "task" or "queue"
    "poison_limit",  # deliveries without an outcome before a message is put aside
    "dedup_window",  # seconds
    "fifo",  # whether order is promised
    "resolution",  # seconds
    "poll",  # seconds at most between a message being due and an idle consumer seeing it
    "extend",  # whether consumers prolong what they own; true if left out
    "atomic",  # whether a message and its dedup key are added in one step; true if left out
    "records",  # the kinds of events that are recorded where they happen; all of them if left out
)
TASK_FIELDS = ("max_attempts", "min_backoff", "max_backoff", "jitter", "fallback", "batch")


class Event(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One thing that happened; which fields mean something is said by its kind (see the module)."""

    seq: int
    t: int
    kind: str
    process: str = ""
    queue: str = ""
    message: str = ""
    task: str = ""
    copy: int = 0
    receipt: int = 0
    run: int = 0
    op: int = 0
    attempt: int = 0
    worker: int = 0
    n: int = 0
    due: int = 0
    expires: int = 0
    delay: float = -1.0
    ttl: float = 0.0
    key: str = ""
    owner: str = ""
    outcome: str = ""
    reason: str = ""
    data: dict[str, Any] | None = None


class History:
    """The events of one run, in the order in which they happened."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.events: list[Event] = list(events)

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def record(self, t: int, kind: str, **fields: Any) -> None:
        """Add an event at `t` nanoseconds."""
        self.events.append(Event(len(self.events), t, kind, **fields))

    def add(self, t: int, kind: str, process: str, fields: Mapping[str, Any]) -> None:
        """Do the same for those who have the fields together already: a run writes hundreds of events."""
        self.events.append(Event(len(self.events), t, kind, process, **fields))

    def of(self, *kinds: str) -> Iterator[Event]:
        """Return the events of some kinds."""
        return (event for event in self.events if event.kind in kinds)

    def about(self, message: str) -> list[Event]:
        """Return everything that carries this message."""
        return [event for event in self.events if event.message == message]

    def dumps(self) -> bytes:
        """Return the history as JSON lines."""
        return msgspec.json.Encoder().encode_lines([{"schema": SCHEMA}, *self.events])

    @classmethod
    def loads(cls, data: bytes) -> History:
        """Read JSON lines.

        Raises:
            ValueError: a line is no event, of an unknown kind, or of another schema. The text names the line.
        """
        lines = data.splitlines()
        if not lines or _decode(lines[0], 1, dict[str, Any]).get("schema") != SCHEMA:
            raise ValueError(
                f'line 1 of a history has to be {{"schema": {SCHEMA}}}; record it with this version of taskq_testing'
            )
        events = []
        for number, line in enumerate(lines[1:], start=2):
            event = _decode(line, number, Event)
            if event.kind not in KINDS:
                raise ValueError(f"line {number} of the history is of no known kind: {event.kind!r}")
            events.append(event)
        return cls(events)

    def save(self, path: str | Path) -> None:
        """Write the history to a file."""
        Path(path).write_bytes(self.dumps())

    @classmethod
    def load(cls, path: str | Path) -> History:
        """Read the history from a file."""
        return cls.loads(Path(path).read_bytes())


def _decode(line: bytes, number: int, kind: Any) -> Any:
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.MsgspecError as error:
        raise ValueError(f"line {number} of the history is no event: {error}") from None
