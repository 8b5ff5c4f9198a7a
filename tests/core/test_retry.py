"""Backoff and the decisions after a run."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.core import retry
from taskq.core.retry import ACK, DeadLetter, Fallback, Release, backoff
from taskq.errors import Retry
from taskq.message import Reservation
from taskq.options import MAX_DELAY, QueueOptions, TaskOptions

attempts = st.integers(0, 10**6)
durations = st.floats(0, 1e6)


@given(attempts, durations, durations)
def test_backoff_grows_to_its_cap(attempt, low, high):
    """For attempts up to a million the backoff never falls, stays between its bounds and reaches the cap."""
    low, high = sorted((low, high))
    now, following = backoff(attempt, low, high), backoff(attempt + 1, low, high)
    assert low <= now <= following <= high
    if low > 1e-3:
        assert backoff(10**6, low, high) == high


@given(st.integers(1, 20), st.floats(1e-3, 10))
def test_backoff_doubles(attempt, low):
    """Below the cap each failure doubles the wait."""
    assert backoff(attempt + 1, low, 1e9) == 2 * backoff(attempt, low, 1e9) == low * 2**attempt


@given(st.integers(1, 63), st.floats(0, 1), st.floats(0, 1, exclude_max=True))
def test_jitter_adds_at_most_its_share(attempt, jitter, draw):
    """Jitter lengthens the wait by at most its share, and never beyond the cap."""
    options = TaskOptions(jitter=jitter)
    plain = backoff(attempt, options.min_backoff, options.max_backoff)
    decision = retry.decide(ValueError(), attempt, options, has_fallback=False, draw=draw)
    assert plain <= decision.delay <= min(plain * (1 + jitter), options.max_backoff)


def test_success_is_acknowledged():
    """No error, no retry, whatever the attempt."""
    assert retry.decide(None, 10**6, TaskOptions(), has_fallback=True) is ACK


@pytest.mark.parametrize(("attempt", "has_fallback"), [(3, True), (4, True), (3, False), (9, False)])
def test_the_last_attempt_gives_up(attempt, has_fallback):
    """From max_attempts on a failure goes to the fallback, or to the dead letters, with the reason."""
    decision = retry.decide(ValueError("boom"), attempt, TaskOptions(max_attempts=3), has_fallback=has_fallback)
    assert type(decision) is (Fallback if has_fallback else DeadLetter)
    assert decision.reason == f"failed {attempt} times: ValueError: boom"


def test_reasons_are_short():
    """A huge error text does not travel whole."""
    decision = retry.decide(ValueError("x" * 10_000), 64, TaskOptions(), has_fallback=False)
    assert len(decision.reason) == 500


class Asks(Exception):
    def __init__(self, answer):
        self.answer = answer

    def delay(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Retry(after=5), 5.0),
        (Retry(after=timedelta(minutes=1)), 60.0),
        (Retry(after=0), 0.0),
        (Retry(), None),
        (Retry(after=1e30), MAX_DELAY),
        (Asks(7), 7.0),
        (Asks(timedelta(seconds=3)), 3.0),
        (Asks(1e30), MAX_DELAY),
        (Asks(-1), None),
        (Asks(float("nan")), None),
        (Asks("soon"), None),
        (Asks(True), None),
        (Asks(RuntimeError()), None),
        (ValueError(), None),
    ],
)
def test_errors_ask_for_a_delay(error, expected):
    """Retry(after) and delay() are heard if they name a duration, and ignored if not."""
    assert retry.requested_delay(error) == expected
    delay = retry.decide(error, 1, TaskOptions(), has_fallback=False).delay
    assert delay == (30.0 if expected is None else expected)


@given(st.integers(1, 200))
def test_unknown_tasks_wait_then_die(attempt):
    """A message nobody knows is delayed with backoff, and put aside after its attempts."""
    decision = retry.decide_unknown(attempt, QueueOptions())
    if attempt >= 64:
        assert isinstance(decision, DeadLetter)
    else:
        assert decision == Release(backoff(attempt, 30.0, 1800.0))


@given(st.integers(1, 50), st.integers(1, 20))
def test_poison_is_put_aside(deliveries, limit):
    """Only more deliveries without an outcome than allowed make a message poison."""
    decision = retry.decide_poison(deliveries, QueueOptions(poison_limit=limit))
    assert (decision is not None) is (deliveries > limit)


def test_an_error_that_cannot_print_itself_has_a_reason():
    """A handler's error whose text fails is still given a reason, in text that any wire carries."""

    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    assert retry.describe(Mute()) == "Mute: (no text: its __str__ failed)"
    assert retry.describe(ValueError("\ud800")) == "ValueError: \\ud800"


@pytest.mark.parametrize(
    ("deliveries", "order"),
    [([], ""), ([1, 1, 1], "abc"), ([2, 2, 2], "cba"), ([3, 1, 2, 1, 2], "bdeca"), ([2, 1], "ba")],
)
def test_suspects_come_last(deliveries, order):
    """What is new keeps its order; what was delivered before comes after it, the first of a batch and the worst last."""
    reserved = [Reservation(bytes([name]), b"", name, count) for name, count in zip(b"abcde", deliveries, strict=False)]
    assert b"".join(each.id for each in retry.suspects_last(reserved)) == order.encode()
