"""What is old is not late, a wrong clock decides nothing, and consumers come and go without a trace (rows 15, 28 and 34)."""

import pytest

import taskq
from tests.chaos import times
from tests.chaos.figures import figures
from tests.chaos.fleet import STREAM, verdict

pytestmark = pytest.mark.slow


def test_an_old_backlog_runs_once(fleet):
    """Messages that were added long before, ten reservations and an hour, are run once each by whoever reserved them."""
    fleet = fleet(reservation_timeout=2.0, max_workers=2)
    history = times.old_backlog(fleet, jobs=60, seconds=0.05, age=3600.0)
    assert verdict(history, 1, 7, 10, 11) == []
    found = figures(history)
    assert (found.accepted, found.lost) == (60, 0)
    assert found.runs == 60 or found.stalls
    assert {event.process for event in history.of("start")} == {"first", "second"}


def test_wrong_clocks_decide_nothing(fleet):
    """With clocks ten minutes fast and slow, that jump, nothing is early, expires or runs twice, and names stay taken."""
    fleet = fleet(reservation_timeout=1.5, worker_limit=3, rate_limit=taskq.RateLimit(50))
    history = times.wrong_clocks(fleet, jobs=6, skew=600.0)
    assert verdict(history, 1, 7, 10, 11, 12, 13, 17, 20, 21, 28) == []
    found = figures(history)
    assert (found.accepted, found.lost) == (6, 0)
    assert found.runs == 6 or found.stalls


def test_consumers_come_and_go(fleet):
    """Consumers have names of their own, and one that leaves, or is swept away, takes no message with it."""
    fleet = fleet(reservation_timeout=10.0)
    history, names = times.comings_and_goings(fleet, jobs=400, rounds=5)
    assert verdict(history, 1, 2, 7, 10, 27) == []
    found = figures(history)
    assert (len(names), found.accepted, found.lost, found.again) == (5, 400, 0, 0)
    assert fleet.server.cli("XINFO", "CONSUMERS", STREAM, "taskq") == []
