"""What taskq is to reach, as a table, and whether it did. Pure.

A goal is a number of taskq's: as it is, or as a ratio to the same number of a floor or of the fastest peer, taken within one
repetition.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

from benchmarks.peers.results import Figure, Key, Results

__all__ = ["FLOOR_ASYNC", "FLOOR_SYNC", "GOALS", "TASKQ", "Goal", "measured", "met", "rivals"]

TASKQ = ("taskq", "one process")
FLOOR_ASYNC = ("floor_async", "inline")
FLOOR_SYNC = ("floor_sync", "inline")
PEERS = "peers"
"""Stands for the peer that drains no-ops fastest from one process."""


@dataclass(frozen=True)
class Goal:
    """One line of the table.

    Attributes:
        what: in words.
        phase: the cell.
        limit: what is to be reached.
        name: the number in the cell; of rates more is better, of everything else less.
        to: what it is a ratio to: a floor's peer and worker, PEERS, or None for the number itself.
        unit: of a number that is no ratio.
    """

    what: str
    phase: str
    limit: float
    name: str = "rate"
    to: tuple[str, str] | str | None = None
    unit: str = ""

    @property
    def reaches(self) -> str:
        """The relation that holds when it is reached."""
        return ">=" if self.name == "rate" else "<="


GOALS = (
    Goal("drain, async no-op", "noop_async", 0.6, to=FLOOR_ASYNC),
    Goal("drain, async no-op", "noop_async", 10, to=PEERS),
    Goal("drain, sync no-op", "noop_sync", 5, to=PEERS),
    Goal("drain, 1 ms handlers, 32 at once", "sleep_async", 0.85, to=FLOOR_ASYNC),
    Goal("enqueue_many", "bulk_sync", 0.5, to=FLOOR_SYNC),
    Goal("enqueue_many_async", "bulk_async", 0.5, to=FLOOR_ASYNC),
    Goal("enqueue, one by one", "enqueue_sync", 0.85, to=FLOOR_SYNC),
    Goal("enqueue_async, one by one", "enqueue_async", 0.85, to=FLOOR_ASYNC),
    Goal("latency p50", "latency", 1.3, "p50_ms", FLOOR_ASYNC),
    Goal("latency p99", "latency", 1.3, "p99_ms", FLOOR_ASYNC),
    Goal("latency p50 after 2 s of idleness", "idle", 1.3, "p50_ms", FLOOR_ASYNC),
    Goal("latency p99 after 2 s of idleness", "idle", 1.3, "p99_ms", FLOOR_ASYNC),
    Goal("worker CPU a no-op job", "noop_async", 15, "worker_us", unit="µs"),
    Goal("server commands a no-op job", "noop_async", 0.1, "commands"),
    Goal("peak RSS", "noop_async", 60, "rss_mb", unit="MB"),
    Goal("cost of a message at a backlog above 10³, to that at 10³", "backlog", 1.2, "growth"),
)


def measured(goal: Goal, results: Results, *, awake: bool) -> Figure | None:
    """Return the number a goal is about, None if it was not measured in this state of the machine."""
    key = _key(TASKQ, goal)
    if goal.to is None:
        return results.figure(key, awake=awake)
    other = results.fastest(rivals(results), awake=awake) if goal.to == PEERS else _key(goal.to, goal)
    return results.ratio(key, other, awake=awake) if other is not None else None


def rivals(results: Results) -> list[Key]:
    """Return how fast each peer drains no-ops from one process, floors and taskq left out."""
    return [
        Key(peer=name, worker=label, phase=task)
        for name, peer in results.peers.items()
        if name != "taskq" and not name.startswith("floor")
        for label, processes in peer["workers"].items()
        if processes == 1
        for task in peer["tasks"]
        if task.startswith("noop")
    ]


def met(goal: Goal, found: Figure) -> bool:
    """Whether the median reaches the limit."""
    relation = operator.ge if goal.reaches == ">=" else operator.le
    return relation(found.median, goal.limit)


def _key(who: tuple[str, str] | str, goal: Goal) -> Key:
    assert not isinstance(who, str)
    peer, worker = who
    return Key(peer=peer, worker=None if goal.phase.startswith(("enqueue", "bulk")) else worker, phase=goal.phase, name=goal.name)
