"""What waits for workers: short handlers have many messages waiting, long ones few."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.core.prefetch import LEAST, prefetch


@pytest.mark.parametrize(
    ("limit", "running", "mean_s", "expected"),
    [
        (200, 0, 0.0, 10),  # nothing is known yet
        (4, 0, 0.0, 4),
        (200, 0, 0.00001, 200),  # no-ops
        (200, 32, 0.001, 200),
        (200, 1, 0.01, 25),
        (200, 64, 0.1, 160),
        (200, 1, 60.0, 10),
        (4, 64, 0.1, 4),
    ],
)
def test_what_waits_is_a_quarter_of_a_second_of_work(limit, running, mean_s, expected):
    """As many wait as the workers finish in a quarter of a second, ten at least, and never more than the queue allows."""
    assert prefetch(limit, running, mean_s) == expected


@given(limit=st.integers(1, 10_000), running=st.integers(0, 10_000), mean_s=st.floats(0, 1e9))
def test_it_stays_within_its_limits(limit, running, mean_s):
    """Whatever was measured, something may wait, and no more than the limit."""
    assert min(limit, LEAST) <= prefetch(limit, running, mean_s) <= limit
