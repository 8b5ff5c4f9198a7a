"""Connections that are cut, or that nobody tells they are dead, cost nothing but a moment (rows 6 and 11)."""

import pytest

from tests.chaos import network
from tests.chaos.figures import figures
from tests.chaos.fleet import verdict

pytestmark = pytest.mark.slow


def test_cuts_under_load_lose_nothing(fleet):
    """Messages are sent once and done although all connections are cut again and again, and work goes on soon after."""
    history, gaps = network.cuts(fleet(reservation_timeout=30.0), jobs=3000, cuts=6, seed=3)
    assert verdict(history, 1, 2, 5, 7, 8, 9, 10, 23) == []
    found = figures(history)
    assert (found.accepted, found.lost, found.twice, found.unsure, found.again) == (3000, 0, 0, 0, 0)
    assert len(gaps) == 6


def test_connections_that_died_in_silence_are_replaced(fleet):
    """A consumer whose connections are dead notices it a second after the answer to its wait was due, and has others."""
    history, found, ran = network.half_open(fleet(), times=2)
    assert verdict(history, 1, 7) == []
    assert (len(found), len(ran)) == (2, 2)


def test_large_messages_come_over_a_slow_network(fleet):
    """An answer may take as long as it needs while its bytes keep coming: it arrives whole, once."""
    history = network.slow(fleet(reservation_timeout=30.0), messages=10, size=100_000, rate=400_000)
    assert verdict(history, 1, 7, 10) == []
    found = figures(history)
    assert (found.accepted, found.lost, found.runs) == (10, 0, 10)
    assert sum(event.kind == "reserved" for event in history) == 10
