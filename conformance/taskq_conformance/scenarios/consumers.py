"""Several consumers of one queue."""

from __future__ import annotations

import asyncio
from typing import Any

from taskq_conformance.bench import Bench
from taskq_conformance.check import holds, same
from taskq_conformance.place import Behaviour, Place, Ran
from taskq_conformance.scenario import scenario


def _three(bench: Bench, behave: Behaviour | None = None, **options: Any) -> list[Place]:
    first = bench.place(behave, on=bench.process("0"), **options)
    return [first, *(bench.place(behave, on=bench.process(str(n)), like=first, **options) for n in (1, 2))]


@scenario("G50")
async def consumers_share_the_work(bench: Bench) -> None:
    """Of sixty messages three consumers run each once, and every consumer runs some."""

    async def behave(_: Ran) -> None:
        await asyncio.sleep(bench.seconds(0.5))

    places = _three(bench, behave, max_workers=2, reservation_size=2, buffer_size=2)
    await places[0].add_many(60)
    for place in places:
        await place.begin()
    await bench.until_runs(places[0], 60)
    await bench.until_done(places[0])
    for place in places:
        await place.end()
    same(sorted(places[0].numbers()), list(range(60)), "the runs")
    holds(not bench.virtual or {ran.process for ran in places[0].runs} == {"0", "1", "2"}, "each consumer has a share")


@scenario("G50")
async def one_that_stops_leaves_the_rest_to_others(bench: Bench) -> None:
    """A consumer that stops in the middle takes nothing with it."""

    async def behave(_: Ran) -> None:
        await asyncio.sleep(bench.seconds(0.5))

    places = _three(bench, behave, max_workers=2)
    await places[0].add_many(30)
    for place in places:
        await place.begin()
    await bench.until_runs(places[0], 8)
    await places[0].end(timeout=0.0)
    await bench.until_done(places[1])
    for place in places[1:]:
        await place.end()
    finished = sorted({ran.args[0] for ran in places[0].runs})
    same(finished, list(range(30)), "what ran")
    same({ran.attempt for ran in places[0].runs}, {1}, "the attempts")


@scenario("G50")
async def producers_and_consumers_at_the_same_time(bench: Bench) -> None:
    """Three producers add while three consumers run: each message runs once."""
    places = _three(bench)

    async def produce(place: Place, first: int) -> None:
        for number in range(first, first + 12):
            await place.add(number)
            await bench.sleep(0.1)

    for place in places:
        await place.begin()
    await asyncio.gather(*(produce(place, 100 * number) for number, place in enumerate(places)))
    await bench.until_runs(places[0], 36)
    await bench.until_done(places[0])
    for place in places:
        await place.end()
    same(sorted(places[0].numbers()), [100 * n + k for n in range(3) for k in range(12)], "the runs")


@scenario("G50")
async def handlers_run_side_by_side(bench: Bench) -> None:
    """One consumer runs several handlers at once: ten that wait two ticks take much less than twenty."""

    async def behave(_: Ran) -> None:
        await asyncio.sleep(bench.seconds(2))

    place = bench.place(behave, min_workers=5, max_workers=5)
    await place.add_many(10)
    began = bench.now()
    async with place.consuming():
        await bench.until_runs(place, 10)
        await bench.until_done(place)
    holds(not bench.virtual or bench.now() - began < bench.seconds(16), "handlers that wait run side by side")
    same(sorted(place.numbers()), list(range(10)), "the runs")


@scenario("G50")
async def threads_and_tasks_mix(bench: Bench) -> None:
    """Synchronous handlers, which run in threads, and asynchronous ones are served by the same consumer."""
    place = bench.place()
    seen: list[int] = []

    def threaded(number: int) -> None:
        seen.append(number)

    task = place.queue.task(threaded)
    for number in range(8):
        await task.enqueue_async(number)
        await place.add(number)
    async with place.consuming():
        await bench.until(lambda: len(seen) == 8 and len(place.runs) == 8, "all run")
        await bench.until_done(place)
    same((sorted(seen), sorted(place.numbers())), (list(range(8)), list(range(8))), "the runs of both kinds")


@scenario("G50")
async def who_closes_leaves_what_others_own(bench: Bench) -> None:
    """When one process closes its app, what another one owns stays its own."""
    one = bench.place(on=bench.process("one"))
    two = bench.place(on=bench.process("two"), like=one)
    three = bench.place(on=bench.process("three"), like=one)
    await one.add("x")
    (reservation,) = await one.take()
    await two.process.app.aclose()
    await three.nothing_comes("it is owned", 2)
    same(list(await one.backend.ack([reservation])), [True], "the answer to its acknowledgement")
