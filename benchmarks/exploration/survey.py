"""Explores the mixed scenario and generated fleets for a while, and says what was seen."""

from __future__ import annotations

import time
from collections import Counter

from taskq_testing.explore.strategies import named
from taskq_testing.faults import faults_of
from taskq_testing.outcome import Outcome
from taskq_testing.simulator import scenario
from taskq_testing.simulator.services import service_of
from taskq_testing.tape import Tape
from tests.testing.fleets import generated, mixed, mixed_app


def report(seconds: float, first: int, backend: str = "memory") -> bool:
    """Explore for so many seconds of processor time; print what fired and what failed, and return whether nothing did."""
    fired: Counter[str] = Counter()
    covered: set[tuple[str, str, str]] = set()
    failures: list[str] = []
    events = seeds = 0
    virtual = 0.0
    explorer = named("mixed")
    faults = faults_of(service_of(backend).places)
    run = scenario(mixed, app=mixed_app(), workers=3, faults="all", backend=backend)
    began = time.process_time()
    while time.process_time() - began < seconds:
        seed = first + seeds
        tape = Tape(seed, explorer.for_run(seed))
        if seed % 2:
            app, body, workers = generated(seed)
            outcome: Outcome = scenario(body, app=app, workers=workers, faults="all", backend=backend)(tape)
        else:
            outcome = run(tape)
        seeds += 1
        fired.update(outcome.fired)
        covered |= outcome.coverage
        events += len(outcome.history)
        virtual += outcome.virtual
        if outcome.failed:
            sentence = outcome.violations[0].sentence if outcome.violations else repr(outcome.error)
            failures.append(f"seed {seed}: {outcome.signature}: {sentence}")
    spent = time.process_time() - began
    rate = f"{seeds} seeds from {first} in {spent:.0f} s ({seeds / spent:.0f}/s)"
    print(f"{rate}, {events} events, {virtual / 3600:.1f} hours of virtual time")
    print("faults: " + ", ".join(f"{name} {fired[name]}" for name in faults))
    print(f"met: {len(covered)} combinations of a message's state, a fault and a phase")
    print("never fired: " + (", ".join(name for name in faults if not fired[name]) or "none"))
    print(f"failures: {len(failures)}", *failures, sep="\n  ")
    return not failures
