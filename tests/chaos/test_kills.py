"""Processes that are killed while they work: nothing is lost, and what runs again has a licence (rows 2, 3, 16 and 20)."""

import pytest

from tests.chaos import kills
from tests.chaos.figures import figures
from tests.chaos.fleet import verdict

pytestmark = pytest.mark.slow


def test_workers_that_are_killed_lose_nothing(fleet):
    """Each message is done although workers die at random moments, and runs again only where its reservation was over."""
    history = kills.at_random(fleet(), jobs=240, kills=3, seed=7)
    assert verdict(history, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 26, 27, 31) == []
    found = figures(history)
    assert (found.accepted, found.lost, found.dead, found.twice) == (240, 0, 0, 0)


@pytest.mark.parametrize(("reached", "runs"), [(False, 3), (True, 2)])
def test_a_worker_that_dies_with_its_result(fleet, reached, runs):
    """A result that never reached the server costs exactly one more run; one that did, none, though nobody heard of it."""
    history = kills.before_the_answer(fleet(), reached=reached)
    assert verdict(history, 1, 6, 7, 10, 11) == []
    found = figures(history)
    assert (found.accepted, found.runs, found.again, found.lost) == (2, runs, runs - 2, 0)


def test_a_message_that_kills_its_worker_is_put_aside(fleet):
    """After as many deliveries as the limit says it goes to the dead letters, and what was delivered with it is done."""
    history = kills.by_its_message(fleet(poison_limit=3, reservation_timeout=1.5), others=20, deaths=3)
    assert verdict(history, 1, 7, 14) == []
    found = figures(history)
    assert (found.accepted, found.dead, found.lost) == (21, 1, 0)
    assert [event.reason for event in history.of("dead")] == ["delivered 3 times without an outcome; it may kill its worker"]
