"""Counting and timing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.core.stats import Histogram, Recorder

times = st.lists(st.floats(1e-6, 80_000), min_size=1, max_size=300)


@given(times, st.sampled_from([0.5, 0.9, 0.99]))
def test_quantiles_are_within_four_percent(samples, q):
    """A quantile is at most four percent off the sample that has that rank."""
    histogram = Histogram()
    for sample in samples:
        histogram.add(sample)
    exact = sorted(samples)[max(0, -int(-q * len(samples) // 1) - 1)]
    assert histogram.quantile(q) == pytest.approx(exact, rel=0.041)


def test_times_beyond_the_ends_count_at_the_ends():
    """Nothing is too short or too long to be counted."""
    histogram = Histogram()
    histogram.add(0.0)
    assert histogram.quantile(1.0) == pytest.approx(1e-6, rel=0.05)
    histogram.add(1e9)
    assert histogram.quantile(1.0) == pytest.approx(86400, rel=0.1)
    assert Histogram().quantile(0.5) == 0.0


def test_old_samples_fade():
    """After two windows of other samples the old ones are forgotten."""
    histogram = Histogram()
    for seconds in (5.0, 0.001, 0.001):
        for _ in range(10_000):
            histogram.add(seconds)
    assert histogram.quantile(0.999) == pytest.approx(0.001, rel=0.05)


@given(times)
def test_the_mean_stays_between_the_extremes(samples):
    """The decaying mean begins at the first sample and never leaves the range of samples."""
    recorder = Recorder()
    for sample in samples:
        recorder.timed(sample)
        assert min(samples) * 0.999 <= recorder.mean_s <= max(samples) * 1.001
    assert recorder.snapshot().mean_s == recorder.mean_s


def test_a_snapshot_holds_the_counters():
    """What was counted is in the snapshot, which does not change afterwards."""
    recorder = Recorder()
    recorder.processed, recorder.retries, recorder.fails, recorder.dead, recorder.lost = 1, 2, 3, 4, 5
    snapshot = recorder.snapshot()
    recorder.processed = 9
    assert (snapshot.processed, snapshot.retries, snapshot.fails, snapshot.dead, snapshot.lost) == (1, 2, 3, 4, 5)
    assert snapshot.p50_s == snapshot.p99_s == snapshot.in_flight == 0


def test_busy_seconds_are_an_integral():
    """Two handlers that overlap for a second were busy for the sum of their times; one that still runs counts until now."""
    recorder = Recorder()
    recorder.started(10.0)
    recorder.started(11.0)
    assert (recorder.busy_s(12.0), recorder.in_flight) == (3.0, 2)
    recorder.ended(12.0)
    assert (recorder.busy_s(15.0), recorder.in_flight) == (6.0, 1)
    recorder.ended(15.0)
    assert (recorder.busy_s(99.0), recorder.in_flight) == (6.0, 0)
