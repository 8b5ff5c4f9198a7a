"""The oracle: judges a recorded history by the 32 invariants of the queue.

`judge` reads a history once into a model of its messages, reservations and runs, and lets each invariant look at that. What
the events do not prove is not reported; what an invariant needs and what excuses it is in `INVARIANTS`, and `docs/oracle.md`
is made of that. Histories of the simulator and of real servers are judged alike: `judged` says by which invariants.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from taskq_testing.history import History
from taskq_testing.oracle.conduct import fallback, hooks, in_flight, independence, stop
from taskq_testing.oracle.conservation import conservation, fencing, finality, no_ghost, no_orphan, promoted_once
from taskq_testing.oracle.delivery import at_least_once, duplicate_licence, extension, no_loss, no_phantom, single_runner
from taskq_testing.oracle.flow import fifo, liveness, pause, starvation
from taskq_testing.oracle.invariant import Invariant
from taskq_testing.oracle.limits import buffers, locks, rate, worker_limit
from taskq_testing.oracle.policy import attempts, backoff, deduplication, delay, duplicates, monotone_attempt
from taskq_testing.oracle.reading import read, recorded
from taskq_testing.oracle.repeat import repeatable, same
from taskq_testing.outcome import Violation

__all__ = ["INVARIANTS", "Invariant", "judge", "judged", "same", "table"]

INVARIANTS: Mapping[int, Invariant] = MappingProxyType({
    invariant.number: invariant
    for invariant in (
        no_loss, conservation, no_orphan, no_ghost, no_phantom, at_least_once, duplicate_licence, fencing, finality,
        single_runner, extension, deduplication, duplicates, attempts, monotone_attempt, backoff, delay, liveness,
        promoted_once, rate, worker_limit, pause, fifo, starvation, fallback, in_flight, stop, locks, independence, buffers,
        hooks, repeatable,
    )
})  # fmt: skip
"""Every invariant by its number."""


def judge(history: History, *, only: Collection[int] | None = None) -> list[Violation]:
    """Return the breaches that a history proves, in the order in which they became evident.

    Args:
        history: what happened.
        only: the numbers of the invariants to judge by; None means all.
    """
    model = read(history)
    known = model.recorded
    found: list[Violation] = []
    for number, invariant in INVARIANTS.items():
        if (only is None or number in only) and invariant.needs <= known:
            found.extend(invariant.check(model))
    model.let_go()
    found.sort(key=_evident)
    return found


def _evident(violation: Violation) -> tuple[int, int]:
    """Return the event with which a breach became evident, and for one event the invariant's number."""
    return (violation.events[-1] if violation.events else -1, violation.invariant)


def judged(history: History) -> set[int]:
    """Return the invariants whose silence means something for this history.

    Those for which it gives an occasion (an event of `Invariant.when`), and for which everything that they need is recorded.
    """
    known = recorded(history)
    there = {event.kind for event in history.events}
    return {number for number, invariant in INVARIANTS.items() if invariant.needs <= known and invariant.when & there}


def table() -> str:
    """Return all invariants as a Markdown table: number, promise, occasions, what else has to be recorded, what excuses it."""
    lines = ["| # | name | promise | occasion | needs as well | licence |", "|---|---|---|---|---|---|"]
    for number, invariant in INVARIANTS.items():
        others = invariant.needs - invariant.when
        lines.append(
            f"| {number} | {invariant.name} | {invariant.promise} | {_listed(invariant.when)} | {_listed(others)} | "
            f"{invariant.licence} |"
        )
    return "\n".join(lines) + "\n"


def _listed(kinds: Collection[str]) -> str:
    return ", ".join(f"`{kind}`" for kind in sorted(kinds))
