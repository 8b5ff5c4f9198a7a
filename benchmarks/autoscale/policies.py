"""What is compared: sizes that never change, and the policy of `taskq.core.autoscale` as the runtime drives it."""

from __future__ import annotations

from taskq.core.autoscale import START, Load, ScaleState, plan
from taskq.options import QueueOptions

INTERVAL = 1.0


class Fixed:
    """Keeps the sizes it was given."""

    def __init__(self, workers: int, fetchers: int) -> None:
        self._sizes = workers, fetchers

    def first(self, _start: int, /) -> tuple[int, int]:
        return self._sizes

    def vote(self, _sign: int, /) -> None:
        pass

    def ran(self, _seconds: float, /) -> None:
        pass

    def interval(self) -> float:
        return INTERVAL

    def decide(self, _load: Load, _load_average: float, /) -> tuple[int, int]:
        return self._sizes


class Ours(Fixed):
    """Asks `plan` at every interval."""

    def __init__(self, options: QueueOptions, interval: float = INTERVAL) -> None:
        super().__init__(options.min_workers, 1)
        self._options, self._interval = options, interval
        self._state: ScaleState = START

    def first(self, start: int, /) -> tuple[int, int]:
        return start, 1

    def interval(self) -> float:
        return self._interval

    def decide(self, load: Load, _load_average: float, /) -> tuple[int, int]:
        sizes, self._state = plan(load, self._options, self._state)
        return sizes.workers, sizes.fetchers
