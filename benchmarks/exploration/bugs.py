"""How many seeds each strategy needs to find each planted bug."""

from __future__ import annotations

from taskq_testing.explore.strategies import named
from taskq_testing.simulator import scenario
from taskq_testing.tape import Tape
from tests.testing.fleets import mixed, mixed_app
from tests.testing.planted import BUGS

STRATEGIES = ("uniform", "pct", "delay-bounded", "swarm", "mixed")


def seeds_to_kill(name: str, strategy: str, most: int) -> int | None:
    """Return how many seeds it took until an invariant that stands for this bug was broken; None if none did."""
    bug, invariants = BUGS[name]
    explorer = named(strategy)
    with bug():
        run = scenario(mixed, app=mixed_app(), workers=3, faults="all", limit=120.0)
        for seed in range(most):
            outcome = run(Tape(seed, explorer.for_run(seed)))
            if invariants & {violation.invariant for violation in outcome.violations}:
                return seed + 1
    return None


def report(most: int) -> bool:
    """Print the table; return whether every bug was found by at least one strategy."""
    print(f"| planted bug | shows as invariant | {' | '.join(STRATEGIES)} |")
    print(f"|---|---|{'---|' * len(STRATEGIES)}")
    ok = True
    for name, (_, invariants) in BUGS.items():
        counts = [seeds_to_kill(name, strategy, most) for strategy in STRATEGIES]
        shown = " | ".join(str(count) if count is not None else f"> {most}" for count in counts)
        print(f"| {name.replace('_', ' ')} | {', '.join(map(str, sorted(invariants)))} | {shown} |", flush=True)
        ok = ok and any(count is not None for count in counts)
    return ok
