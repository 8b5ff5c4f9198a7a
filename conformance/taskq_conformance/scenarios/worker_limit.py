"""The worker limit, over all processes."""

from __future__ import annotations

import asyncio

from taskq_conformance.bench import Bench
from taskq_conformance.check import holds, same
from taskq_conformance.place import Place, Ran
from taskq_conformance.scenario import scenario


class _Busy:
    """Counts how many handlers run at once."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = self.most = 0

    async def __call__(self, _: Ran) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.now -= 1


async def _run(bench: Bench, places: list[Place], count: int) -> None:
    await places[0].add_many(count)
    for place in places:
        await place.begin()
    await bench.until_runs(places[0], count)
    await bench.until_done(places[0])
    for place in places:
        await place.end()
    same(sorted(places[0].numbers()), list(range(count)), "the runs")


@scenario("G34", needs=("shared_limits",))
async def one_at_a_time(bench: Bench) -> None:
    """With a limit of one no two handlers run at once, and all run."""
    busy = _Busy(bench.seconds(1))
    await _run(bench, [bench.place(busy, worker_limit=1)], 5)
    same(busy.most, 1, "how many ran at once")


@scenario("G34", needs=("shared_limits",))
async def processes_share_the_limit(bench: Bench) -> None:
    """Three processes with a limit of two run two handlers at once, and two they do run."""
    busy = _Busy(bench.seconds(2))
    first = bench.place(busy, on=bench.process("0"), worker_limit=2, reservation_size=1)
    others = [bench.place(busy, on=bench.process(str(n)), like=first, worker_limit=2, reservation_size=1) for n in (1, 2)]
    await _run(bench, [first, *others], 9)
    same(busy.most, 2, "how many ran at once at most")


@scenario("G34", needs=("shared_limits", "extension"))
async def a_long_job_keeps_its_place(bench: Bench) -> None:
    """A job longer than any lock lasts is alone all the while."""
    busy = _Busy(bench.seconds(20) + 25.0)
    timeout = max(bench.seconds(4), 4.0)
    first = bench.place(busy, on=bench.process("0"), worker_limit=1, reservation_timeout=timeout)
    second = bench.place(busy, on=bench.process("1"), like=first, worker_limit=1, reservation_timeout=timeout)
    await _run(bench, [first, second], 2)
    same(busy.most, 1, "how many ran at once")
    same(first.attempts, [1, 1], "the attempts")


@scenario("G34", needs=("shared_limits",))
async def without_a_limit_they_run_together(bench: Bench) -> None:
    """The limit of one queue does not hold for another, where handlers do run at once."""
    busy = _Busy(bench.seconds(3))
    limited, free = bench.place(worker_limit=1), bench.place(busy, min_workers=4)
    await limited.add("x")
    async with limited.consuming():
        await _run(bench, [free], 4)
        await bench.until_done(limited)
    holds(busy.most >= 2, f"without a limit handlers run together: {busy.most} did")


@scenario("G34", needs=("shared_limits",))
async def a_lock_has_one_owner(bench: Bench) -> None:
    """The store of locks itself: one owner at a time, for its time, unless it frees the lock; another cannot free it."""
    place = bench.place()
    locks, key, ttl = place.process.broker.locks, f"{place.queue.name}:lock", bench.long(6)
    same(await locks.acquire(key, "one", ttl), True, "the first owner")
    same(await locks.acquire(key, "two", ttl), False, "another owner")
    await locks.unlock(key, "two")
    same(await locks.acquire(key, "two", ttl), False, "another owner after it tried to free the lock")
    await bench.sleep(ttl * 2 / 3 / bench.tick)
    same(await locks.acquire(key, "one", ttl), True, "the owner, who renews it")
    await bench.sleep(ttl * 2 / 3 / bench.tick)
    renewed = await locks.acquire(key, "two", ttl)
    holds(not renewed or not bench.virtual, "a renewed lock is held beyond its first time")
    await locks.unlock(key, "one")
    same(await locks.acquire(key, "two", ttl), True, "another owner after it was freed")
    await bench.sleep(ttl / bench.tick + 0.5 + bench.lag)
    same(await locks.acquire(key, "three", ttl), True, "another owner after its time")
    await locks.unlock(key, "three")


@scenario("G34")
async def a_consumer_runs_no_more_than_its_workers(bench: Bench) -> None:
    """With two workers two handlers run at once, and not three."""
    running: list[int] = []
    most: list[int] = []

    async def behave(_: Ran) -> None:
        running.append(1)
        most.append(len(running))
        await bench.sleep(1)
        running.pop()

    place = bench.place(behave, max_workers=2, min_workers=2)
    await place.add_many(8)
    async with place.consuming():
        await bench.until_done(place)
    same(max(most), 2, "how many ran at once")
