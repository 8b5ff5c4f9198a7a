"""Consumers stop in time, whatever is in the way, and lose nothing (rows 22 and 24)."""

import pytest

import taskq
from tests.chaos import stopping
from tests.chaos.figures import figures
from tests.chaos.fleet import verdict

pytestmark = pytest.mark.slow


def test_a_signal_drains_a_worker(fleet):
    """After SIGTERM nothing more is claimed, what ends in time is settled, the rest is given back at once for others."""
    history, _ = stopping.on_a_signal(fleet(stop_timeout=1.0, max_workers=4), jobs=60)
    assert verdict(history, 1, 6, 7, 10, 26, 27) == []
    found = figures(history)
    assert (found.accepted, found.lost) == (61, 0)
    assert stopping.taken_back(history, "worker-1") == []
    interrupted = [event.process for event in history.of("end") if event.outcome == "cancelled"]
    assert interrupted == ["worker-1"]


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
@pytest.mark.parametrize("obstacle", ["paused", "limited", "refused", "silent", "frozen"])
def test_a_stop_is_not_held_up(fleet, obstacle, busy):
    """A consumer that waits for a pause, a rate or a server stops all the same."""
    limit = taskq.RateLimit(1 + busy, per=3600.0, burst=1 + busy) if obstacle == "limited" else None
    took = stopping.stop_in(fleet(pause_threshold=3, rate_limit=limit), obstacle, busy=busy)
    assert took < 30.0  # what takes a moment takes longer on a busy machine; what waits for a limit or a server, for ever


def test_a_consumer_without_a_server_does_not_spin(fleet):
    """A worker that is cut off takes next to nothing of a processor, also while it is stopping."""
    assert stopping.busy_share(fleet(stop_timeout=30.0), "refused", busy=True, seconds=0.7) < 0.5
