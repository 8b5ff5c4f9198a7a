"""The autoscaler of Go taskq v3 ("roulette"), ported for comparison only; nothing of ours uses it.

Mirrors consumer_config.go (configRoulette, its scores and neighbours) and the autotune loop, the votes and the decaying timing of
consumer.go, vmihailenco/taskq v3, quirks included: the base configuration is cloned with a score of 0 before the score's rise is
looked at, so that any score counts as a significant rise; and a score of 0 is taken for none.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from benchmarks.autoscale.simulation import CPUS
from taskq.core.autoscale import Load
from taskq.options import QueueOptions

SELECTED_ENOUGH = 20
QUORUM = 7


@dataclass(eq=False)
class Config:
    """A pair of sizes on trial, and how it did."""

    fetchers: int
    workers: int
    tps: float = 0.0
    error_rate: float = 0.0
    timing: float = 0.0
    selected: int = 0
    score: float = 0.0

    def set_score(self, score: float) -> None:
        self.score = score if self.score == 0 else (self.score + score) / 2

    def same_sizes(self, other: Config) -> bool:
        return (self.fetchers, self.workers) == (other.fetchers, other.workers)


class Roulette:
    """Tries neighbouring configurations by turns and moves to the one with the best score."""

    def __init__(self, options: QueueOptions, rng: random.Random) -> None:
        self._options, self._rng = options, rng
        self._timing = 0.0
        self._votes = 0
        self._next = 0
        self._max_tps = self._max_timing = 0.0
        self._best: Config | None = None

    def first(self, start: int) -> tuple[int, int]:
        self._reset(Config(1, start), queue_empty=False, resources=True)
        return self._select()

    def vote(self, sign: int) -> None:
        self._votes = min(max(self._votes + sign, -QUORUM), QUORUM)

    def ran(self, seconds: float) -> None:
        self._timing = self._timing * 0.9 + seconds * 0.1 if self._timing else seconds

    def interval(self) -> float:
        # Until a handler has run Go only looks again every quarter of a second.
        return min(max(10 * self._timing, 0.5), 60.0) if self._timing else 0.25

    def decide(self, load: Load, load_average: float, /) -> tuple[int, int]:
        if not self._timing:
            return load.workers, load.fetchers
        current = self._current
        current.tps = (load.processed - load.failed) / (load.interval * 1000)
        current.error_rate = load.failed / load.processed if load.processed else 0.0
        current.timing = self._timing
        self._update_scores(current)
        resources = load.memory_free >= 0.05 and load_average <= 1.5 * CPUS
        self._check_scores(queue_empty=self._votes >= 3, resources=resources)
        return self._select()

    def _select(self) -> tuple[int, int]:
        if self._best is None or self._rng.random() <= 0.15:
            self._current = self._configs[self._next % len(self._configs)]
            self._next += 1
        else:
            self._current = self._best
        self._current.selected += 1
        return self._current.workers, self._current.fetchers

    def _update_scores(self, current: Config) -> None:
        dirty = current.tps > self._max_tps or current.timing > self._max_timing
        self._max_tps = max(self._max_tps, current.tps)
        self._max_timing = max(self._max_timing, current.timing)
        current.set_score(self._score(current))
        self._best = None
        for config in self._configs:
            if config.selected == 0:
                self._best = None
                break
            if dirty and config is not current:
                config.set_score(self._score(config))
            if self._best is None or config.score - self._best.score >= 0.01:
                self._best = config

    def _score(self, config: Config) -> float:
        if config.tps == 0:
            return 0.0
        score = 0.35 * (1 - min(10 * config.error_rate, 1.0))
        score += 0.35 * config.tps / self._max_tps if self._max_tps else 0.0
        return score + (0.3 * (1 - config.timing / self._max_timing) if self._max_timing else 0.0)

    def _check_scores(self, *, queue_empty: bool, resources: bool) -> None:
        best = self._best
        if best is None or best.same_sizes(self._base) or best.selected < SELECTED_ENOUGH:
            return
        if queue_empty and best.workers > self._base.workers:
            return
        self._reset(best, queue_empty=queue_empty, resources=resources)

    def _reset(self, best: Config, *, queue_empty: bool, resources: bool) -> None:
        self._configs = list(self._neighbours(best, queue_empty=queue_empty, resources=resources))
        self._max_tps = self._max_timing = 0.0
        self._best = None

    def _neighbours(self, best: Config, *, queue_empty: bool, resources: bool) -> list[Config]:
        options, configs = self._options, []
        if best.fetchers > 1:
            configs.append(Config(best.fetchers - 1, best.workers))
        if best.workers > options.min_workers:
            configs.append(Config(best.fetchers, self._within(best.workers - self._step(best.workers // 4))))
        self._base = Config(best.fetchers, best.workers)
        configs.append(self._base)
        if not resources:
            return configs
        if queue_empty:
            return [*configs, Config(best.fetchers, self._within(best.workers + 2))]
        if best.workers < options.max_workers:
            step = self._step(options.max_workers // 4) if best.score - self._base.score > 0.05 else 2
            configs.append(Config(best.fetchers, self._within(best.workers + step)))
        if best.fetchers < options.max_fetchers:
            configs.append(Config(best.fetchers + 1, best.workers))
        return configs

    @staticmethod
    def _step(count: int) -> int:
        return min(max(count, 1), 10)

    def _within(self, workers: int) -> int:
        return min(max(workers, self._options.min_workers), self._options.max_workers)
