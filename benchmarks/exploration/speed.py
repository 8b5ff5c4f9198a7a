"""How fast virtual time is: seeds a second, and a day of a busy queue; beside the speed of the stock loop in the same run.

Everything is measured in seconds of processor time, which a busy machine does not stretch as it does the clock's.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import statistics
import time
from contextlib import suppress

import taskq
from taskq.backends.memory import MemoryBroker
from taskq.errors import BackendUnavailable
from taskq_testing.clock import VirtualClock
from taskq_testing.explore.strategies import named
from taskq_testing.loop import VirtualLoop
from taskq_testing.outcome import Run
from taskq_testing.simulator import scenario
from taskq_testing.simulator.world import World
from taskq_testing.tape import Tape

_DAY = 86400.0
_ROUND = 50


async def _hand_over(count: int) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(1)

    async def give() -> None:
        for number in range(count):
            await queue.put(number)

    async def take() -> None:
        for _ in range(count):
            await queue.get()

    await asyncio.gather(give(), take())


def hand_offs(loop: asyncio.AbstractEventLoop, count: int = 100_000) -> float:
    """Return hand-offs over a queue of one per second of a loop, which is closed."""
    try:
        began = time.process_time()
        loop.run_until_complete(_hand_over(count))
        return count / (time.process_time() - began)
    finally:
        loop.close()


def twelve_messages() -> Run:
    """Return a run of twelve messages, three workers and all faults, judged."""
    app = taskq.App()
    queue = app.queue("q", reservation_timeout=1.0, reserve_wait=1.0)

    @queue.task(max_attempts=5, min_backoff=0.1, max_backoff=0.4)
    async def work(context: taskq.Context, number: int) -> None:
        await asyncio.sleep(0.02)
        if number % 4 == 0 and context.attempt < 2:
            raise ValueError(number)

    async def body(world: World) -> None:
        async def produce() -> None:
            for number in range(12):
                with suppress(BackendUnavailable):
                    await work.enqueue_async(number)

        await world.producer("api", produce())
        await world.drained()

    return scenario(body, app=app, workers=3, faults="all")


def seeds_beside_stock(seconds: float) -> tuple[float, float]:
    """Return seeds a second, and seeds for 1,000 hand-offs of the stock loop: the medians of rounds that measure both."""
    run, explorer, seeds = twelve_messages(), named("mixed"), itertools.count()
    rates, ratios = [], []
    gc.collect()
    gc.freeze()
    while sum(_ROUND / rate for rate in rates) < seconds:
        began = time.process_time()
        for seed in itertools.islice(seeds, _ROUND):
            outcome = run(Tape(seed, explorer.for_run(seed)))
            assert not outcome.failed, outcome
        rates.append(_ROUND / (time.process_time() - began))
        ratios.append(rates[-1] / hand_offs(asyncio.new_event_loop(), 20_000) * 1000)
    return statistics.median(rates), statistics.median(ratios)


def a_day(messages: int) -> float:
    """Return the seconds that 24 virtual hours of a queue take, in which so many messages fall due one after another."""
    app, loop = taskq.App(hooks=()), VirtualLoop()
    clock = VirtualClock(loop, "day")
    ran = 0
    began = time.process_time()
    with app.rebound(MemoryBroker(clock), clock):
        queue = app.queue("q")

        @queue.task
        async def work() -> None:
            nonlocal ran
            ran += 1
            await asyncio.sleep(0.5)

        async def whole_day() -> None:
            queue.enqueue_many(work.message().delayed(_DAY * number / messages) for number in range(messages))
            consumer = app.consumer(queue)
            await consumer.start()
            await asyncio.sleep(_DAY)
            await consumer.stop()

        loop.run_until_complete(whole_day())
    loop.close()
    assert ran == messages
    return time.process_time() - began


def report(seconds: float) -> bool:
    """Print the figures."""
    loops = [(hand_offs(asyncio.new_event_loop()), hand_offs(VirtualLoop())) for _ in range(5)]
    stock, ours = (statistics.median(column) for column in zip(*loops, strict=True))
    ratio = statistics.median(virtual / real for real, virtual in loops)
    print(f"hand-offs a second: stock loop {stock / 1000:.0f}k, virtual loop {ours / 1000:.0f}k, ratio {ratio:.2f}")
    rate, beside = seeds_beside_stock(seconds)
    print(
        f"12 messages, 3 workers, all faults: {rate:.0f} seeds/s, {1000 / rate:.2f} ms each; "
        f"{beside:.2f} seeds for 1,000 stock hand-offs"
    )
    print(f"24 virtual hours, 100,000 messages: {a_day(100_000):.1f} s")
    return True
