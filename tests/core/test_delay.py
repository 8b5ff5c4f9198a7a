"""When a message may run."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.core.delay import REST, delay_of, postponed, remaining, rest_of, split
from taskq.message import Message
from taskq.options import MAX_DELAY


@given(st.floats(0, 1e9), st.floats(0, 2e9))
def test_a_moment_becomes_a_delay(now, moment):
    """run_at counts from now and is never negative; delay counts as it is."""
    at = datetime.fromtimestamp(moment, UTC)
    assert delay_of(Message(task="t").at(at), now) == max(0.0, at.timestamp() - now)
    assert delay_of(Message(task="t", delay=moment), now) == moment


@given(st.floats(0, 1e6), st.none() | st.floats(1, 1e4))
def test_a_split_delay_is_never_early(delay, maximum):
    """The two parts add up, and the first is what the backend can keep."""
    first, rest = split(delay, maximum)
    assert first + rest >= delay * (1 - 1e-12)
    assert first <= (delay if maximum is None else maximum)
    assert rest >= 0


@given(st.floats(0, 1e9), st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2))
def test_the_rest_of_a_delay_travels_beside_other_headers(rest, headers):
    """What is left to wait can be read again, exactly, and is taken off again without a trace."""
    message = Message(task="t", headers=headers or None)
    waiting = postponed(message, rest)
    assert rest_of(waiting) == min(rest, MAX_DELAY)
    assert postponed(waiting, 0.0) == message
    assert rest_of(message) == 0.0


@pytest.mark.parametrize("text", ["", "soon", "nan", "inf", "-inf", "-5"])
def test_a_rest_that_makes_no_sense_is_none(text):
    """A stranger's header of that name delays nothing and breaks nothing."""
    assert rest_of(Message(task="t", headers={REST: text})) == 0.0
    assert rest_of(Message(task="t", headers={"other": text})) == 0.0


def test_what_remains_counts_from_when_it_became_available():
    """Time since then is taken off, never more than that, and nothing where it is not known."""
    message = postponed(Message(task="t"), 100.0)
    assert remaining(message, 50.0, 80.0) == 70.0
    assert remaining(message, 50.0, 151.0) == 0.0
    assert remaining(message, 90.0, 80.0) == 100.0
    assert remaining(message, None, 80.0) == 100.0
