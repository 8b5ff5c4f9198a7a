"""How many workers and fetchers a consumer should run: one pure function from what was measured to a plan.

Here live the measurements (`Load`), the plan, what the policy remembers between two plans, and the policy. Measuring and
resizing belong to `runtime.scaler`.
"""

from __future__ import annotations

import math

import msgspec
from msgspec.structs import replace

from taskq.options import QueueOptions

__all__ = ["START", "Load", "ScalePlan", "ScaleState", "plan"]

SATURATED = 0.9
"""Share of workers that must run a handler before more of them can help."""
FAILING = 0.75
"""Share of failures from which more workers would only fail more."""
CAUTION = 60.0
"""Seconds after such failures in which growth is by a tenth: what comes back is not to be run over by what waited for it."""
CPU_FLOOR = 0.1
MEMORY_FLOOR = 0.1
"""Idle CPU and free memory, as shares, below which nothing grows."""
PATIENCE = 2.0
HINT = 5
"""Seconds that a growth is given to show, at most, and how many times as long where the handlers seem to get slower."""
STALL = 10.0
"""Seconds without a success from which busy CPUs are no reason to stay: such handlers wait, or hang, and block all others."""
SMALL = 8
GROWTH = 4 / 3
"""Up to the first size the pool doubles in a second, above it grows by this factor: the second overshoots less."""
LEAP = 2.5
"""The most it grows by at once, where plans are seconds apart."""
PROBE = 1.5
"""How far above a size that was the best so far it is tried again."""
FIRST_HOLD, LAST_HOLD = 30.0, 600.0
"""Seconds before that: doubling, so that a probe in vain gets rarer."""
ENOUGH = 10
"""Successes that are needed to judge a size."""
WORTH = 0.4
"""Share of what more workers should bring to the throughput from which they pay."""
SMOOTHING = 10.0
MEMORY = 60.0
SURGE = 4.0
"""Time constants in seconds: of the measured demand, of forgetting its peak, and of giving back what only caught up."""
SPARE = 0.8
"""Workers to spare, in square roots of the demand."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What one consumer measured since its last plan.

    Args:
        now: monotonic seconds at the end of the interval.
        interval: seconds that the counts cover, above 0.
        workers: pool size during the interval.
        fetchers: reserve loops during the interval.
        busy: mean number of workers that ran a handler (integral over the interval / interval).
        buffered: reserved messages that wait for a worker now.
        buffer_size: how many may wait.
        processed: handler runs that ended in the interval, failed ones included.
        failed: those of them that raised.
        mean_s: mean run time of handlers in seconds; 0 when none has ended yet.
        reserve_calls: reserve trips that ended in the interval.
        reserved: messages that they brought.
        full_reserves: those trips that brought as many as they asked for.
        cpu_free: idle share, 0 to 1, of the CPUs that this process can use; 1 if unknown.
        memory_free: available share, 0 to 1, of the machine's memory; 1 if unknown.

    Raises:
        ValueError: a number is negative, not finite or beyond its range.
    """

    now: float
    interval: float
    workers: int
    fetchers: int
    busy: float
    buffered: int
    buffer_size: int
    processed: int
    failed: int
    mean_s: float
    reserve_calls: int
    reserved: int
    full_reserves: int
    cpu_free: float = 1.0
    memory_free: float = 1.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not math.isfinite(value) or (value < 0 and name != "now"):
                raise ValueError(f"Load.{name}={value!r} is out of range; give a number of at least 0")
        if self.interval == 0 or self.failed > self.processed or self.full_reserves > self.reserve_calls:
            raise ValueError("Load covers no time, or counts more failures or full reserves than there were in all")
        if self.cpu_free > 1 or self.memory_free > 1:
            raise ValueError(f"Load.cpu_free={self.cpu_free!r}, memory_free={self.memory_free!r}: give shares from 0 to 1")

    @property
    def deep(self) -> bool:
        """Whether an unknown number of messages waits beyond the buffer."""
        return self.buffered >= self.buffer_size > 0 or 0 < self.reserve_calls <= 2 * self.full_reserves

    @property
    def failing(self) -> bool:
        """Whether most handlers fail."""
        return self.processed > 0 and self.failed >= FAILING * self.processed

    @property
    def saturated(self) -> bool:
        """Whether the workers are all taken and messages wait for one."""
        return self.busy >= SATURATED * self.workers and (self.buffered > 0 or self.deep)

    @property
    def starved(self) -> bool:
        """Whether workers idle on a dry buffer while every reserve trip comes back full."""
        dry = self.buffered == 0 and self.busy < SATURATED * self.workers
        return dry and 0 < self.reserve_calls == self.full_reserves


class ScalePlan(msgspec.Struct, frozen=True, kw_only=True):
    """The sizes to run from now on.

    Args:
        workers: from `min_workers` to `max_workers`.
        fetchers: from 1 to `max_fetchers`.
        reason: a short sentence for the log and for people.
    """

    workers: int
    fetchers: int
    reason: str


class ScaleState(msgspec.Struct, frozen=True, kw_only=True):
    """What the policy remembers between two plans.

    Attributes:
        demand: smoothed number of busy workers, while they keep up.
        held: its peak, slowly forgotten; the pool shrinks towards it.
        trips: fetchers' worth of full reserves, as a peak slowly forgotten.
        waited: seconds for which messages have been waiting for a worker.
        work: worker-seconds done in them.
        failed_at: when most handlers failed last.
        grown_at: when the pool last changed while messages waited.
        anchor: the last size known to have paid while messages waited; 0 for none.
        anchor_rate: successes per second at that size.
        anchor_done: successes behind that rate.
        done: successes since the last change took effect, while messages waited.
        spent: seconds in which they were counted.
        ceiling: the size above which more did not pay; 0 for none.
        probe_at: when a larger size may be tried again.
        hold: seconds that the next ceiling will stand.
    """

    demand: float = 0.0
    held: float = 0.0
    trips: float = 0.0
    waited: float = 0.0
    work: float = 0.0
    failed_at: float = -math.inf
    grown_at: float = -math.inf
    anchor: int = 0
    anchor_rate: float = 0.0
    anchor_done: int = 0
    done: int = 0
    spent: float = 0.0
    ceiling: int = 0
    probe_at: float = -math.inf
    hold: float = FIRST_HOLD


START = ScaleState()
"""What a consumer knows before it has measured anything."""


def plan(load: Load, options: QueueOptions, state: ScaleState) -> tuple[ScalePlan, ScaleState]:
    """Decide the sizes for the next interval.

    While messages wait and all workers are taken the pool grows by a factor, as far as the idle CPU carries and as long as
    throughput follows; it falls back to the knee when that does not. It shrinks to the demand of the last minute, and its
    square root to spare (Halfin and Whitt, 1981).

    Args:
        load: what was measured since the last plan.
        options: the limits.
        state: what the last call returned; `START` at first.
    """
    state = _observe(load, state)
    if load.saturated:
        workers, reason, state = _saturated(load, state)
    else:
        workers, reason = _relaxed(load, state)
        state = replace(state, anchor=0, done=0, spent=0.0)
    clamped = min(max(workers, options.min_workers), options.max_workers)
    if load.saturated and clamped != load.workers:
        state = replace(state, grown_at=load.now, done=0, spent=0.0)
    fetchers = min(max(_fetchers(load, state), 1), options.max_fetchers)
    return ScalePlan(workers=clamped, fetchers=fetchers, reason=reason), state


def _observe(load: Load, state: ScaleState) -> ScaleState:
    trips = load.fetchers * load.full_reserves / load.reserve_calls if load.reserve_calls else 0.0
    # What ends right after a change was started before it and says nothing about the new size.
    settled = load.now - load.interval / 2 >= state.grown_at + load.mean_s
    state = replace(
        state,
        held=float(load.workers) if state == START else state.held * math.exp(-load.interval / MEMORY),
        trips=max(trips, state.trips * math.exp(-load.interval / MEMORY)),
        failed_at=load.now if load.failing else state.failed_at,
        done=state.done + (load.processed - load.failed if settled else 0),
        spent=state.spent + (load.interval if settled else 0.0),
    )
    if state.spent > MEMORY:
        state = replace(state, done=state.done // 2, spent=state.spent / 2)
    span, work = state.waited + load.interval, state.work + load.busy * load.interval
    if load.saturated:
        return replace(state, waited=span, work=work)
    # All that arrived while messages waited is done by now, so the mean of the busy workers since is what the traffic needed:
    # Little's law. What they did at their busiest was partly to catch up.
    demand = state.demand + (work / span - state.demand) * min(span / SMOOTHING, 1.0)
    return replace(state, waited=0.0, work=0.0, demand=demand, held=max(state.held, demand))


def _saturated(load: Load, state: ScaleState) -> tuple[int, str, ScaleState]:
    if state.done >= ENOUGH and state.spent >= load.mean_s:
        low, high = _gain(state)
        worth = 1 + WORTH * (load.workers / state.anchor - 1) if state.anchor else 0.0
        if load.workers > state.anchor and high < worth:
            return _fallen_back(load, state)
        if load.workers > state.anchor and low >= worth:
            state = _anchored(load, state)
            if load.workers > state.ceiling:
                state = replace(state, ceiling=0, hold=FIRST_HOLD)
        elif load.workers <= state.anchor and (state.done >= state.anchor_done or state.spent >= MEMORY / 2):
            state = _anchored(load, state)
    obstacle = _obstacle(load, state)
    if obstacle:
        return load.workers, obstacle, state
    return _more(load, state), "messages wait and all workers are taken", state


def _fallen_back(load: Load, state: ScaleState) -> tuple[int, str, ScaleState]:
    knee = round(state.anchor * max(state.done / state.spent / state.anchor_rate, 1.0))
    state = replace(state, ceiling=knee, probe_at=load.now + state.hold, hold=min(2 * state.hold, LAST_HOLD))
    return knee, f"{load.workers} workers bring no more than {knee}", state


def _anchored(load: Load, state: ScaleState) -> ScaleState:
    return replace(state, anchor=load.workers, anchor_rate=state.done / state.spent, anchor_done=state.done)


def _gain(state: ScaleState) -> tuple[float, float]:
    """Return the bounds, two standard errors apart from the middle, of the throughput as a multiple of the anchor's."""
    if not state.anchor:
        return 1.0, math.inf
    gain = state.done / state.spent / state.anchor_rate
    # Counts are taken as Poisson, and their ratio as log-normal: that holds for small ones too.
    doubt = math.exp(2 * math.sqrt(1 / state.done + 1 / state.anchor_done))
    return gain / doubt, gain * doubt


def _obstacle(load: Load, state: ScaleState) -> str:
    if load.memory_free < MEMORY_FLOOR:
        return "memory is short"
    if load.cpu_free <= CPU_FLOOR and (state.done or state.spent < STALL):
        return "the CPUs are busy"
    if load.failing:
        return "most handlers fail"
    # By Little's law the anchor's handlers took anchor / anchor_rate seconds; slower ones are a hint that is worth a wait.
    slower = load.mean_s * state.anchor_rate > (state.anchor + load.workers) / 2
    cautious = load.now - state.failed_at < CAUTION
    judged = load.mean_s and state.spent >= load.mean_s and not slower and not cautious
    if not judged and load.now - state.grown_at < (HINT if slower else 1) * PATIENCE:
        return "the last change has not shown yet"
    if state.ceiling and (load.now < state.probe_at or load.workers > state.ceiling):
        return "more workers did not pay"
    return ""


def _more(load: Load, state: ScaleState) -> int:
    workers = load.workers
    factor = (2 if workers < SMALL else GROWTH) ** max(load.interval, 1.0)
    wanted = round(workers * min(factor, LEAP))
    if state.waited < PATIENCE or not load.deep:
        # Little's law for what is in sight: so many more workers finish it in a second.
        wanted = min(wanted, workers + math.ceil(load.buffered * min(load.mean_s or 1.0, 1.0)))
    if load.now - state.failed_at < CAUTION:
        wanted = min(wanted, workers + math.ceil(workers / 10))
    if load.cpu_free < 1:
        wanted = min(wanted, round(workers / (1 - load.cpu_free)))
    if state.ceiling:
        wanted = min(wanted, math.ceil(state.ceiling * PROBE))
    return max(wanted, workers + 1)


def _relaxed(load: Load, state: ScaleState) -> tuple[int, str]:
    needed = math.ceil(state.held + SPARE * math.sqrt(state.held))
    kept = math.floor(load.workers * math.exp(-load.interval / SURGE))
    if needed < SATURATED * load.workers:
        return max(needed, kept), f"{needed} workers are enough for what runs"
    return load.workers, "the workers keep up"


def _fetchers(load: Load, state: ScaleState) -> int:
    if load.starved and load.memory_free >= MEMORY_FLOOR:
        ratio = load.workers / load.busy if load.busy else 2.0
        return math.ceil(load.fetchers * min(ratio, 2.0))
    # A quarter to spare, so that the smaller number does not run dry at once and grow back.
    return min(load.fetchers, math.ceil(state.trips * 1.25))
