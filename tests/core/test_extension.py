"""What is due for extension."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.core.extension import BACKSTOP, FIRST, due, interval

shares = pytest.mark.parametrize("share", [FIRST, BACKSTOP])


@shares
@given(over=st.floats(0, 1), timeout=st.floats(0.1, 1000))
def test_due_past_its_share(share, over, timeout):
    """A reservation is due when its share of the time is over, and not before."""
    if abs(over - share) > 1e-9:
        assert due(timeout, over * timeout, timeout, share) is (over > share)


@shares
@given(timeout=st.floats(0.1, 1000), phase=st.floats(0, 0.999), idle=st.booleans())
def test_looking_at_the_interval_is_often_enough(share, timeout, phase, idle):
    """Each reservation is found due twice before it expires, at whatever moment between two looks it came, idle before or not."""
    assert sum(due(timeout, look, timeout, share) and look < timeout for look in looks(timeout, share, phase, idle)) >= 2


@given(timeout=st.floats(0.1, 1000), phase=st.floats(0, 0.999), idle=st.booleans())
def test_a_loop_that_runs_leaves_the_backstop_nothing(timeout, phase, idle):
    """What is past its first share has been looked at by the loop before the backstop may touch it."""
    first = next(look for look in looks(timeout, FIRST, phase, idle) if due(timeout, look, timeout, FIRST))
    assert first <= timeout * BACKSTOP * (1 + 1e-9)


def looks(timeout, share, phase, idle):
    """Return the ages at which a reservation is looked at that came when `phase` of the pause between two looks was left."""
    first = phase * interval(timeout, share, idle=idle)
    return [first + count * interval(timeout, share, idle=False) for count in range(7)]
