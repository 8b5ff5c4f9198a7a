"""Batches close by count, bytes and age, and lose nothing."""

from hypothesis import given
from hypothesis import strategies as st

from taskq.core.batching import Accumulator
from taskq.options import Batch

limits = st.builds(Batch, size=st.integers(1, 5), age=st.floats(0, 10), bytes=st.none() | st.integers(1, 50))


@given(limits, st.lists(st.tuples(st.integers(0, 60), st.floats(0, 5))))
def test_nothing_is_lost_and_no_limit_exceeded(limits, steps):
    """Items come out once, in order; no batch exceeds count or bytes unless one item alone does."""
    batches, open_batch, now = [], Accumulator(limits), 0.0
    for index, (size, wait) in enumerate(steps):
        now += wait
        if due := open_batch.due(now):
            batches.append(due)
        batches += open_batch.add((index, size), size, now)
        assert len(open_batch) < limits.size
        assert (open_batch.deadline is None) is (len(open_batch) == 0)
        assert open_batch.deadline is None or open_batch.deadline <= now + limits.age
    if rest := open_batch.close():
        batches.append(rest)
    assert [item[0] for batch in batches for item in batch] == list(range(len(steps)))
    for batch in batches:
        assert len(batch) <= limits.size
        assert limits.bytes is None or len(batch) == 1 or sum(size for _, size in batch) <= limits.bytes


def test_age_counts_from_the_first_item():
    """A batch is due when its first item is old enough, not its last."""
    open_batch = Accumulator(Batch(size=9, age=3.0))
    open_batch.add("a", 1, 10.0)
    open_batch.add("b", 1, 12.0)
    assert open_batch.due(12.9) == []
    assert open_batch.due(13.0) == ["a", "b"]
    assert open_batch.due(99.0) == []
