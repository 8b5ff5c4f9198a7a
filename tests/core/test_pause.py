"""When failures pause a task, or the queue."""

import math

from hypothesis import given
from hypothesis import strategies as st

from taskq.core.pause import EVERYTHING, Pause
from taskq.options import QueueOptions


def pause(threshold=3, period=60.0, scope="task"):
    return Pause(QueueOptions(pause_threshold=threshold, pause_period=period, pause_scope=scope))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans())), st.integers(1, 5))
def test_a_task_pauses_after_consecutive_failures_of_its_own(outcomes, threshold):
    """A pause begins exactly at the n-th failure in a row of one task, whatever the others do, and ends by itself."""
    state, rows = pause(threshold), {"a": 0, "b": 0}
    for step, (task, failed) in enumerate(outcomes):
        if not failed:
            state.succeeded(task)
            rows[task] = 0
            continue
        rows[task] += 1
        began = state.failed(task, now=step * 60.0)
        assert (began == 60.0) is (rows[task] == threshold)
        rows[task] %= threshold


def test_one_failing_task_leaves_the_others_alone():
    """The other task runs on, and fetching goes on while one of them may run."""
    state = pause(1)
    state.failed("a", 100.0)
    assert state.remaining("a", 110.0) == 50.0
    assert state.remaining("b", 110.0) == 0.0
    assert state.fetch_remaining(["a", "b"], 110.0) == 0.0
    assert state.fetch_remaining(["a"], 110.0) == 50.0
    assert state.remaining("a", 160.0) == 0.0
    assert state.fetch_remaining(["a"], 160.0) == 0.0


def test_a_queue_that_says_so_pauses_as_one():
    """With scope "queue" failures of any task add up, a success of any resets, and everything pauses."""
    state = pause(2, scope="queue")
    state.failed("a", 0.0)
    state.succeeded("b")
    assert state.failed("a", 0.0) == 0.0
    assert state.failed("b", 0.0) == 60.0
    assert state.remaining("c", 1.0) == state.fetch_remaining([], 1.0) == 59.0
    assert state.paused(1.0) == {EVERYTHING: 59.0}


def test_pauses_by_hand():
    """One pauses and resumes a task, or everything, by hand; without a period it lasts until resumed."""
    state = pause()
    state.pause(0.0)
    state.pause(0.0, 5.0, "a")
    assert state.remaining("b", 1e9) == math.inf
    assert state.paused(1.0) == {EVERYTHING: math.inf, "a": 4.0}
    state.resume("a")
    assert state.paused(1.0) == {EVERYTHING: math.inf}
    state.resume()
    assert state.remaining("b", 1.0) == 0.0


def test_resuming_forgets_failures():
    """After a resume the count begins anew, for one task and for all."""
    for target in ("a", EVERYTHING):
        state = pause(2)
        state.failed("a", 0.0)
        state.resume(target)
        assert state.failed("a", 0.0) == 0.0


def test_threshold_zero_never_pauses():
    """Switched off is off."""
    state = pause(0)
    assert not any(state.failed("a", 0.0) for _ in range(1000))


def test_what_fails_during_a_pause_was_running_when_it_began():
    """It neither prolongs the pause nor counts towards the next one."""
    state = pause(2)
    assert [state.failed("a", 0.0), state.failed("a", 0.0)] == [0.0, 60.0]
    assert [state.failed("a", 59.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert state.remaining("a", 59.0) == 1.0
    assert [state.failed("a", 60.0), state.failed("a", 60.0)] == [0.0, 60.0]
