"""GCRA: never more than burst plus rate in any window, whatever is given back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.core.rate_limit import Grant, refund, take
from taskq.options import RateLimit

limits = st.builds(RateLimit, st.integers(1, 50), per=st.sampled_from([0.5, 1.0, 60.0]), burst=st.none() | st.integers(1, 20))
steps = st.lists(st.tuples(st.floats(0, 3), st.integers(1, 20), st.integers(0, 20)), max_size=40)


@given(limits, st.lists(st.tuples(st.floats(0, 3), st.integers(1, 20), st.integers(0, 20), st.integers(0, 4)), max_size=40))
def test_no_window_exceeds_burst_and_rate(limit, steps):
    """In every window the starts that were used stay within burst + rate × window, however late the others are given back."""
    now, tat, used, open_grants = 0.0, 0.0, [], []
    for wait, wanted, unused, late in steps:
        now += wait * limit.interval
        for entry in [entry for entry in open_grants if entry[0] <= len(used)]:
            open_grants.remove(entry)
            tat = refund(tat, now, limit, *entry[1:])
        grant, tat = take(tat, now, limit, wanted)
        assert grant.allowed <= wanted
        unused = min(unused, grant.allowed)
        used.append((now, grant.allowed - unused))
        open_grants.append((len(used) + late, unused, grant))
    for i, (begin, _) in enumerate(used):
        total = 0
        for moment, count in used[i:]:
            total += count
            assert total <= limit.capacity + math.ceil((moment - begin) / limit.interval + 1e-6)


@pytest.mark.parametrize(("age", "left"), [(0.0, 3), (1.0, 3), (2.5, 1.5), (4.0, 0), (60.0, 0), (-1.0, 3)])
def test_a_grant_wears_off(age, left):
    """Four starts of which three were not used are worth three for a second, and nothing after four."""
    limit = RateLimit(1, per=1.0, burst=9)
    grant, tat = take(100.0, 100.0, limit, 4)
    assert (grant.allowed, grant.granted_at) == (4, 100.0)
    assert tat - refund(tat, 100.0 + age, limit, 3, grant) == pytest.approx(left)


@given(limits, steps)
def test_a_refusal_says_when_to_come_back(limit, steps):
    """After the time it names, and not much before, at least one start is granted."""
    now, tat = 0.0, 0.0
    for wait, wanted, _ in steps:
        now += wait * limit.interval
        grant, tat = take(tat, now, limit, wanted)
        if grant.allowed:
            assert grant.retry_after == 0.0
            continue
        assert take(tat, now + grant.retry_after, limit, 1)[0].allowed == 1
        assert take(tat, now + grant.retry_after - 0.01 * limit.interval, limit, 1)[0].allowed == 0


def test_a_full_burst_after_a_quiet_time():
    """The burst comes back in full, and not more than it."""
    limit = RateLimit(10, per=1.0, burst=4)
    grant, tat = take(0.0, 100.0, limit, 9)
    assert grant.allowed == 4
    assert take(tat, 100.1, limit, 9)[0].allowed == 1
    assert take(tat, 1e6, limit, 9)[0].allowed == 4


@pytest.mark.parametrize(("unused", "granted"), [(2, 1), (-1, 1)])
def test_more_than_was_granted_is_not_given_back(unused, granted):
    """Giving back what one never had raises (F24)."""
    with pytest.raises(ValueError, match="at most"):
        refund(5.0, 0.0, RateLimit(1), unused, Grant(granted, 0.0, 0.0))
