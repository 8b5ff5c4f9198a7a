"""The workloads: what arrives when, and what its handlers need. Pure data from a seed; `stretch` multiplies handler times.

Where handlers get slower, arrivals get rarer by the same factor, so that the load stays what the workload's name says.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from benchmarks.autoscale.simulation import Work

Rate = Callable[[float], float]


def _arrivals(rng: random.Random, rate: Rate, top: float, horizon: float) -> list[float]:
    # Thinning: a Poisson process at the top rate, each point kept with the share that the rate has there.
    def points() -> Iterator[float]:
        now = rng.expovariate(top)
        while now < horizon:
            if rng.random() * top < rate(now):
                yield now
            now += rng.expovariate(top)

    return list(points())


def _exponential(rng: random.Random, count: int, mean: float) -> list[float]:
    return [rng.expovariate(1 / mean) for _ in range(count)] if mean else [0.0] * count


def _work(rng: random.Random, arrivals: list[float], means: tuple[float, float, float], **more: float) -> Work:
    wait, cpu, remote = (_exponential(rng, len(arrivals), mean) for mean in means)
    return Work(arrivals=arrivals, wait=wait, cpu=cpu, remote=remote, **more)  # type: ignore[arg-type]


def _steady(rng: random.Random, stretch: float) -> Work:
    """40 messages a second that wait for 0.25 s: ten busy workers."""
    horizon = 300 * stretch
    return _work(rng, _arrivals(rng, lambda _: 40 / stretch, 40 / stretch, horizon), (0.25 * stretch, 0, 0), horizon=horizon)


def _bursty(rng: random.Random, stretch: float) -> Work:
    """Every minute ten seconds of 100 a second, else 2: ten busy workers, then hardly one."""
    top, horizon = 100 / stretch, 360 * stretch
    arrivals = _arrivals(rng, lambda now: top if now / stretch % 60 < 10 else top / 50, top, horizon)
    return _work(rng, arrivals, (0.1 * stretch, 0, 0), horizon=horizon)


def _slow(rng: random.Random, stretch: float) -> Work:
    """4 a second that wait for 5 s: twenty busy workers."""
    horizon = 7200 * stretch
    return _work(rng, _arrivals(rng, lambda _: 4 / stretch, 4 / stretch, horizon), (5 * stretch, 0, 0), horizon=horizon)


def _cpu(rng: random.Random, stretch: float) -> Work:
    """0.05 CPU seconds each, 85 % of two CPUs: a third worker brings nothing."""
    rate, horizon = 34 / stretch, 300 * stretch
    return _work(rng, _arrivals(rng, lambda _: rate, rate, horizon), (0, 0.05 * stretch, 0), horizon=horizon)


def _blind(rng: random.Random, stretch: float) -> Work:
    """The same, three times as much as the CPUs can do, and the idle share of the CPUs cannot be measured."""
    rate, horizon = 120 / stretch, 120 * stretch
    arrivals = _arrivals(rng, lambda _: rate, rate, horizon)
    return _work(rng, arrivals, (0, 0.05 * stretch, 0), horizon=horizon, cpu_known=False)


def _remote(rng: random.Random, stretch: float) -> Work:
    """A database that serves eight callers at full speed, 75 % used."""
    rate, horizon = 60 / stretch, 300 * stretch
    arrivals = _arrivals(rng, lambda _: rate, rate, horizon)
    return _work(rng, arrivals, (0, 0, 0.1 * stretch), horizon=horizon, remote_slots=8)


def _failing(rng: random.Random, stretch: float) -> Work:
    """20 a second that wait for 0.2 s; 40 % of the runs fail and are retried after 1 s, 2 s, 4 s ..."""
    rate, horizon = 20 / stretch, 300 * stretch
    return _work(rng, _arrivals(rng, lambda _: rate, rate, horizon), (0.2 * stretch, 0, 0), horizon=horizon, fails=0.4)


def _outage(rng: random.Random, stretch: float) -> Work:
    """20 a second that wait for 0.2 s; from 60 s to 120 s every run fails."""
    rate, horizon = 20 / stretch, 360 * stretch
    arrivals = _arrivals(rng, lambda _: rate, rate, horizon)
    return _work(rng, arrivals, (0.2 * stretch, 0, 0), horizon=horizon, outage=(60 * stretch, 120 * stretch))  # type: ignore[arg-type]


def _backlog(rng: random.Random, stretch: float) -> Work:
    """20000 messages wait at the start; each waits for 0.2 s."""
    return _work(rng, [0.0] * 20000, (0.2 * stretch, 0, 0), horizon=600 * stretch)


def _ramp(rng: random.Random, stretch: float) -> Work:
    """From 0 to 80 a second in 150 s and back, 0.2 s each: up to sixteen busy workers."""
    top, horizon = 80 / stretch, 300 * stretch
    arrivals = _arrivals(rng, lambda now: top * (1 - abs(2 * now / horizon - 1)), top, horizon)
    return _work(rng, arrivals, (0.2 * stretch, 0, 0), horizon=horizon)


def _far(rng: random.Random, stretch: float) -> Work:
    """A reserve trip of 0.2 s for ten messages, 100 messages a second: one fetcher brings half of them."""
    rate, horizon = 100 / stretch, 240 * stretch
    arrivals = _arrivals(rng, lambda _: rate, rate, horizon)
    return _work(rng, arrivals, (0.1 * stretch, 0, 0), horizon=horizon, trip=0.2 * stretch)


def _drained(rng: random.Random, stretch: float) -> Work:
    """A pool of 32 that serves 100 a second for a minute, 0.25 s each; then nothing for ten minutes."""
    arrivals = _arrivals(rng, lambda _: 100 / stretch, 100 / stretch, 60 * stretch)
    return _work(rng, arrivals, (0.25 * stretch, 0, 0), horizon=660 * stretch, start=32)


def _empty(rng: random.Random, stretch: float) -> Work:
    """Never a message."""
    return _work(rng, [], (0, 0, 0), horizon=300 * stretch)


WORKLOADS: dict[str, Callable[[random.Random, float], Work]] = {
    "steady": _steady,
    "bursty": _bursty,
    "slow": _slow,
    "cpu": _cpu,
    "failing": _failing,
    "drained": _drained,
    "empty": _empty,
    "cpu, blind": _blind,
    "database": _remote,
    "outage": _outage,
    "backlog": _backlog,
    "ramp": _ramp,
    "far": _far,
}
IDLE = frozenset({"drained", "empty"})
"""Those without work, where the pool is to get small instead of fast."""
