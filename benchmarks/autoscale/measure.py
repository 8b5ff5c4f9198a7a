"""What a run is worth: the best fixed size, the time to reach it, and the overshoot. Only arithmetic over results.

- The *best fixed size* is the smallest of a sweep whose goodput is within 1 % of the sweep's best and whose mean time in the
  queue and the handler is within 10 % of the best among those. Retries count to the time, not to the goodput.
- *Time to 95 %* is the last moment at which a policy had completed less than 95 % of what the best fixed size had completed by
  then, over the same arrivals: a drop later on counts as much as a slow start, and noise does not end it early.
- *Overshoot* is how far the pool got above the best fixed size, and the worker-seconds it spent there.
- Without work the time is that until the pool is and stays at `min_workers` after the last message, and the overshoot is what it
  spends above that from then on.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import asdict, dataclass
from statistics import fmean

from benchmarks.autoscale.policies import Fixed, Ours
from benchmarks.autoscale.roulette import Roulette
from benchmarks.autoscale.simulation import Policy, Result, Simulation, Work
from benchmarks.autoscale.workloads import IDLE, WORKLOADS
from taskq.options import QueueOptions

# Both sides fetch as Go does, ten messages at a time, so that nothing but the sizes of the pools is compared.
OPTIONS = QueueOptions(min_workers=1, max_workers=64, max_fetchers=16, reservation_size=10, buffer_size=10)
"""The same limits for everybody: the defaults on a machine of two CPUs."""
SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20, 22, 24, 26, 28, 32, 36, 40, 48, 56, 64)
FETCHERS = (1, 2, 3, 4, 6, 8)
STEPS = 600
"""Into so many parts a run is cut to find the time to 95 %."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One policy on one workload, means over the seeds; `reached` is the share of runs that got to 95 % before the end."""

    time_s: float
    reached: float
    overshoot: float
    overshoot_s: float
    fetchers: float
    wait_s: float


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    workload: str
    best_workers: int
    best_fetchers: int
    ours: Score
    roulette: Score

    @property
    def better(self) -> bool:
        """Whether ours is faster and spends less above the best size, or nothing where the other spends nothing either."""
        ours, other = (self.ours.time_s, self.ours.overshoot_s), (self.roulette.time_s, self.roulette.overshoot_s)
        return all(a < b or a == b == 0 for a, b in zip(ours, other, strict=True))

    def as_dict(self) -> dict[str, object]:
        return {**asdict(self), "better": self.better}


def _run(work: Work, policy: Policy, seed: int) -> Result:
    return Simulation(work, policy, OPTIONS, random.Random(seed)).run()


def best_fixed(work: Work, seed: int) -> tuple[int, int]:
    """Sweep the workers with fetchers to spare, then the fetchers."""
    workers = _smallest({size: _run(work, Fixed(size, FETCHERS[-1]), seed) for size in SIZES})
    fetchers = _smallest({count: _run(work, Fixed(workers, count), seed) for count in FETCHERS})
    return workers, fetchers


def _smallest(results: dict[int, Result]) -> int:
    goodput = max(len(result.done) for result in results.values())
    enough = {size: result for size, result in results.items() if len(result.done) >= 0.99 * goodput}
    wait = min(_wait(result) for result in enough.values())
    return min(size for size, result in enough.items() if _wait(result) <= 1.1 * wait)


def _wait(result: Result) -> float:
    return result.waits / len(result.done) if result.done else 0.0


def time_to_95(result: Result, best: Result, horizon: float) -> float:
    late = 0.0
    for step in range(1, STEPS + 1):
        at = horizon * step / STEPS
        # One message less is no delay: the first ones of a run come in whole numbers.
        if bisect_right(result.done, at) < 0.95 * bisect_right(best.done, at) - 1:
            late = at
    return late


def time_to_min(sizes: list[tuple[float, int]], since: float, horizon: float) -> float:
    late = since
    for index, (_, size) in enumerate(sizes):
        until = sizes[index + 1][0] if index + 1 < len(sizes) else horizon
        if size > OPTIONS.min_workers:
            late = max(late, until)
    return late - since


def overshoot(sizes: list[tuple[float, int]], best: int, span: tuple[float, float]) -> tuple[int, float]:
    """Return the most workers above `best`, and the worker-seconds above it, from `span[0]` to `span[1]`."""
    most, spent = 0, 0.0
    for index, (at, size) in enumerate(sizes):
        until = sizes[index + 1][0] if index + 1 < len(sizes) else span[1]
        seconds = min(until, span[1]) - max(at, span[0])
        if size > best and seconds > 0:
            most = max(most, size - best)
            spent += (size - best) * seconds
    return most, spent


def _judge(name: str, work: Work, policy: Policy, sizes: tuple[int, int], seed: int) -> Score:
    result = _run(work, policy, seed)
    if name in IDLE:
        since = work.arrivals[-1] if work.arrivals else 0.0
        time_s = time_to_min(result.sizes, since, work.horizon)
        end = work.horizon - since
    else:
        since, end = 0.0, work.horizon
        time_s = time_to_95(result, _run(work, Fixed(*sizes), seed), work.horizon)
    most, spent = overshoot(result.sizes, sizes[0], (since, work.horizon))
    return Score(
        time_s=time_s,
        reached=float(time_s < end),
        overshoot=most,
        overshoot_s=spent,
        fetchers=max(count for _, count in result.fetchers),
        wait_s=_wait(result),
    )


def _mean(scores: list[Score]) -> Score:
    return Score(**{name: fmean(getattr(score, name) for score in scores) for name in asdict(scores[0])})


def compare(name: str, seeds: range, *, stretch: float = 1.0, interval: float = 1.0, best: tuple[int, int] | None = None) -> Row:
    """Run one workload under both policies, once per seed; the best size is found on the first seed if it is not given."""
    works = [WORKLOADS[name](random.Random(seed), stretch) for seed in seeds]
    if best is None:
        best = (OPTIONS.min_workers, 1) if name in IDLE else best_fixed(works[0], seeds[0])
    ours, roulette = [], []
    for seed, work in zip(seeds, works, strict=True):
        ours.append(_judge(name, work, Ours(OPTIONS, interval), best, seed))
        roulette.append(_judge(name, work, Roulette(OPTIONS, random.Random(seed + 1)), best, seed))
    return Row(workload=name, best_workers=best[0], best_fetchers=best[1], ours=_mean(ours), roulette=_mean(roulette))
