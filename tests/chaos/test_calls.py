"""Calls that are broken off at any byte of their conversation lose nothing and add nothing twice (rows 5 and 44)."""

import asyncio

import pytest

from tests.chaos import calls

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("how", ["cut", "swallow", "cancel"])
def test_a_call_that_is_broken_off_leaves_no_trace(server, how):
    """Whatever was cut, swallowed or cancelled, in the end each message is where it should be, once, and answers fit."""
    made = calls.CALLS + (calls.IN_THREADS if how == "cut" else ())
    counts = asyncio.run(calls.break_off_all(server.url, how, every=80 if how == "swallow" else 40, calls=made))
    assert min(counts.values()) > 4


def test_the_end_of_a_wait_that_is_broken_off_loses_nothing(server):
    """A message that comes while a wait is cancelled, and the connection cut, is had by the next reserve; answers fit."""
    assert asyncio.run(calls.break_partings_off(server.url, every=8)) == 20
