"""Which cell is measured when. Pure: a list of steps, in the order in which they are taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.peers.catalog import Peer, Worker

__all__ = ["FULL", "PHASES", "QUICK", "Plan", "Step", "steps"]

PHASES = (
    "import",
    "enqueue_sync",
    "enqueue_async",
    "bulk_sync",
    "bulk_async",
    "noop_async",
    "noop_sync",
    "sleep_async",
    "sleep_sync",
    "latency",
    "idle",
    "backlog",
)
_DRAINS = ("noop_async", "noop_sync", "sleep_async", "sleep_sync")
_WITHOUT_WORKER = ("import", "enqueue_sync", "enqueue_async", "bulk_sync", "bulk_async")
FLOOR_ASYNC, FLOOR_SYNC, TASKQ = "floor_async", "floor_sync", "taskq"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run is asked for.

    Attributes:
        repetitions: how often each cell is measured.
        phases: what is measured.
        awake: the states of the machine: cores left alone, kept awake, or both one after the other.
        goals_only: whether only what the goals need is measured: the first worker of each peer, and no-ops of the peers.
        scale: what job counts are multiplied with.
    """

    repetitions: int = 3
    phases: tuple[str, ...] = PHASES
    awake: tuple[bool, ...] = (False, True)
    goals_only: bool = False
    scale: float = 1.0


FULL = Plan()
QUICK = Plan(
    repetitions=5,
    phases=tuple(phase for phase in PHASES if phase not in ("import", "sleep_sync", "idle", "backlog")),
    awake=(False,),
    goals_only=True,
    scale=0.5,
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One cell to be measured."""

    peer: Peer
    worker: Worker | None
    phase: str
    repetition: int
    awake: bool


def steps(plan: Plan, peers: Sequence[Peer]) -> Iterator[Step]:
    """Yield all cells: everybody's turn at one phase, then at the next; every second repetition in reverse.

    So what is compared was measured within minutes, and a slow drift of the machine favours nobody.
    """
    for repetition in range(plan.repetitions):
        order = list(peers) if repetition % 2 == 0 else list(reversed(peers))
        for awake in plan.awake:
            for phase in plan.phases:
                for peer in order:
                    for worker in _workers(peer, phase):
                        step = Step(peer=peer, worker=worker, phase=phase, repetition=repetition, awake=awake)
                        if _matters(step, plan):
                            yield step


def _workers(peer: Peer, phase: str) -> Sequence[Worker | None]:
    if phase in _WITHOUT_WORKER:
        return (None,)
    if phase in _DRAINS and phase not in peer.tasks:
        return ()
    if phase == "backlog":
        return peer.workers[:1] if peer.backlogs else ()
    return peer.workers


def _matters(step: Step, plan: Plan) -> bool:
    """Whether a cell tells enough for the seconds that it takes: goals are measured each time, the rest of the table once."""
    first_time = step.repetition == 0 and step.awake == plan.awake[0]
    in_goals = step.peer.name in (FLOOR_ASYNC, FLOOR_SYNC, TASKQ)
    if step.worker not in (None, step.peer.workers[0]):
        return not plan.goals_only and first_time and step.phase != "idle"
    if step.phase in ("import", "backlog"):  # neither waits for the other side of a round trip
        return step.awake == plan.awake[0]
    if step.phase == "idle":
        return first_time or step.peer.name in (FLOOR_ASYNC, TASKQ)
    if plan.goals_only and not in_goals:
        return step.phase.startswith("noop")
    return not (plan.goals_only and step.phase == "latency" and step.peer.name == FLOOR_SYNC)
