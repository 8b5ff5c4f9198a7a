"""Jobs that outlast their reservations run once, and whoever lost one changes nothing (rows 12, 13 and 14)."""

import pytest

from tests.chaos import holding
from tests.chaos.figures import figures
from tests.chaos.fleet import verdict

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("names", [("work", "thread"), ("block",), ("spin",)], ids="-".join)
def test_a_job_that_outlasts_its_reservation_runs_once(fleet, names):
    """It is extended all the time, in a thread too, and behind a handler that blocks the loop, waiting or computing."""
    history = holding.long(fleet(reservation_timeout=1.5), names=names, times=3)
    assert verdict(history, 1, 7, 10, 11) == []
    found = figures(history)
    assert found.lost == 0
    assert found.runs == len(names) or found.stalls, "it ran more than once although the machine kept up"
    extensions = [event for event in history.of("extended") if event.process == "worker-1"]
    assert len(extensions) >= 3 * len(names)


@pytest.mark.parametrize("name", ["gated", "flaky", "doomed"])
def test_a_process_that_stood_still_changes_nothing(fleet, name):
    """It has lost the job that it finishes: its late success, failure or last failure leaves the other one's run alone."""
    history, meanwhile = holding.paused(fleet(), name=name)
    assert meanwhile == (0, 0, 1, 0)
    assert verdict(history, 1, 2, 7, 8, 10, 11) == []
    outcome = {"gated": "acked", "flaky": "acked", "doomed": "dead"}[name]
    assert [event.process for event in history.of(outcome)] == ["other"]
    assert {event.process for event in history.of("stale")} == {"worker-1"}
