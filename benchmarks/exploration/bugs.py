"""How many seeds each strategy needs to find each planted bug."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from taskq_testing.explore.strategies import named
from taskq_testing.simulator import scenario
from taskq_testing.tape import Tape
from tests.testing import planted, planted_redis
from tests.testing.fleets import mixed, mixed_app
from tests.testing.redis_fleets import PLAYS

STRATEGIES = ("uniform", "pct", "delay-bounded", "swarm", "mixed")


class Case(NamedTuple):
    """A bug, and the scenario that can show it.

    Attributes:
        bug: makes what patches it in while it lasts.
        invariants: those that stand for it.
        body: of the scenario.
        app: makes its app.
        faults: those that may happen.
        limit: virtual seconds within which the scenario has to end.
    """

    bug: Callable[[], contextlib.AbstractContextManager[Any]]
    invariants: Collection[int]
    body: Any = mixed
    app: Callable[[], Any] = mixed_app
    faults: str | Collection[str] = "all"
    limit: float = 120.0


def cases(backend: str) -> dict[str, Case]:
    """Return the bugs planted in what a backend needs, by name."""
    if backend == "memory":
        return {name: Case(bug, invariants) for name, (bug, invariants) in planted.BUGS.items()}
    found = {}
    for name, (bug, invariants, faults, play) in planted_redis.BUGS.items():
        found[name] = Case(_among(bug, faults), invariants, *PLAYS[play], faults or "all", 240.0)
    return found


def _among(bug: Callable[[], Any], faults: Collection[str]) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    @contextlib.contextmanager
    def both() -> Any:
        with bug(), planted_redis.eager(faults) if faults else contextlib.nullcontext():
            yield

    return both


def seeds_to_kill(case: Case, strategy: str, most: int, backend: str) -> int | None:
    """Return how many seeds it took until an invariant that stands for this bug was broken; None if none did."""
    explorer = named(strategy)
    with case.bug():
        run = scenario(case.body, app=case.app(), workers=3, faults=case.faults, limit=case.limit, backend=backend)
        for seed in range(most):
            outcome = run(Tape(seed, explorer.for_run(seed)))
            if set(case.invariants) & {violation.invariant for violation in outcome.violations}:
                return seed + 1
    return None


def report(most: int, backend: str = "memory") -> bool:
    """Print the table; return whether every bug was found by at least one strategy."""
    print(f"| planted bug | shows as invariant | {' | '.join(STRATEGIES)} |")
    print(f"|---|---|{'---|' * len(STRATEGIES)}")
    ok = True
    for name, case in cases(backend).items():
        counts = [seeds_to_kill(case, strategy, most, backend) for strategy in STRATEGIES]
        shown = " | ".join(str(count) if count is not None else f"> {most}" for count in counts)
        invariants = sorted(case.invariants)
        told = ", ".join(map(str, invariants)) if len(invariants) < 9 else "any"
        print(f"| {name.replace('_', ' ')} | {told} | {shown} |", flush=True)
        ok = ok and any(count is not None for count in counts)
    return ok
