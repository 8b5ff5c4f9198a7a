"""The production Redis adapter in virtual time: it keeps its promises under all faults, and bugs planted in it are found."""

import contextlib

import pytest

from taskq_testing.explore.strategies import named
from taskq_testing.faults import FAULTS, faults_of
from taskq_testing.simulator import scenario
from taskq_testing.simulator.redis import RedisService
from taskq_testing.tape import Tape
from tests.testing.planted_redis import BUGS, eager
from tests.testing.redis_fleets import PLAYS

LIMIT = 240.0


def runs(play, seeds, faults="all"):
    """Play a scenario with some seeds, each with the next strategy."""
    body, make = PLAYS[play]
    run = scenario(body, app=make(), workers=3, faults=faults, limit=LIMIT, backend="redis")
    explorer = named("mixed")
    for seed in seeds:
        yield run(Tape(seed, explorer.for_run(seed)))


@pytest.mark.slow
@pytest.mark.parametrize("play", PLAYS)
def test_the_adapter_keeps_its_promises(play):
    """Whatever fails on the way and in the server, no invariant is broken in any scenario."""
    for outcome in runs(play, range(3)):
        assert not outcome.failed, (outcome.seed, outcome.error, outcome.violations)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name):
    """Each bug in the adapter or one of its scripts breaks an invariant that stands for it, within a few seeds."""
    bug, invariants, faults, play = BUGS[name]
    with bug(), eager(faults) if faults else contextlib.nullcontext():
        found = (violation.invariant for outcome in runs(play, range(30), faults or "all") for violation in outcome.violations)
        assert any(invariant in invariants for invariant in found)


@pytest.mark.slow
def test_every_fault_happens():
    """What only Redis does to its clients does happen to this adapter, each thing within some seeds."""
    missing = set(faults_of(RedisService.places)) - set(FAULTS)
    with eager(missing):
        for outcome in runs("adding", range(200), sorted(missing)):
            missing -= {name for name, count in outcome.fired.items() if count}
            if not missing:
                break
    assert missing == set()


def test_a_run_can_be_repeated():
    """The same tape makes the same run, to the last event."""
    first, second = runs("adding", [5, 5])
    assert (first.trace, first.draws) == (second.trace, second.draws)
    assert len(first.history) > 50
