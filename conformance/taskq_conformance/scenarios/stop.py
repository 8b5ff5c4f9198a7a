"""Stopping and draining: nothing is lost, nothing is held back."""

from __future__ import annotations

import asyncio
from typing import Any

from taskq.backends.base import Size
from taskq_conformance.bench import Bench
from taskq_conformance.check import between, holds, same
from taskq_conformance.place import Place, Ran
from taskq_conformance.scenario import scenario


def _slow(bench: Bench, ticks: float, **options: Any) -> Place:
    async def behave(_: Ran) -> None:
        await asyncio.sleep(bench.seconds(ticks))

    return bench.place(behave, **options)


@scenario("G49")
async def what_runs_is_finished(bench: Bench) -> None:
    """A stop waits for the handler that runs, and its message is done."""
    place = _slow(bench, 4)
    await place.add("x")
    await place.begin()
    await bench.until_runs(place, 1)
    same(await place.end(), 0, "how many messages were given back")
    holds(place.runs[0].ended is not None, "the handler came to its end")
    await bench.until_done(place)


@scenario("G49")
async def what_was_not_begun_is_given_back_at_once(bench: Bench) -> None:
    """What a busy consumer had reserved is ready for others as soon as it has stopped, at the attempt that it had."""
    place = _slow(bench, 300, on=bench.process("one"), max_workers=1)
    other = bench.place(on=bench.process("two"), like=place)
    await place.add_many(5)
    await place.begin()
    await bench.until_runs(place, 1)
    await bench.sleep(1)
    given_back = await place.end(timeout=0.0)
    holds(given_back >= 1, f"the stop says what it gave back: {given_back}")
    began = bench.now()
    async with other.consuming():
        await bench.until_runs(place, 6)
        await bench.until_done(other)
    late = [ran for ran in place.runs if ran.process == "two"]
    same((sorted(ran.args[0] for ran in late), {ran.attempt for ran in late}), (list(range(5)), {1}), "what ran elsewhere")
    between(late[-1].at - began, 0.0, bench.late + bench.seconds(2) if bench.virtual else bench.patience, "how long it took")


@scenario("G49")
async def a_stop_has_a_deadline(bench: Bench) -> None:
    """A handler that does not end in time is interrupted, and its message is given back."""
    place = _slow(bench, 5000)
    await place.add("x")
    await place.begin()
    await bench.until_runs(place, 1)
    began = bench.now()
    same(await place.end(timeout=bench.seconds(3)), 1, "how many messages were given back")
    between(
        bench.now() - began, bench.seconds(3) - 0.001, bench.seconds(5) if bench.virtual else bench.patience, "how long it took"
    )
    await bench.until_size(place, Size(ready=1))


@scenario("G49")
async def a_stopped_consumer_claims_nothing(bench: Bench) -> None:
    """What is added after a stop stays."""
    place = bench.place()
    await place.add("before")
    await place.begin()
    await bench.until_runs(place, 1)
    await place.end()
    await place.add("after")
    await bench.quiet(place, 5, "a consumer that has stopped runs nothing")
    await bench.until_size(place, Size(ready=1))


@scenario("G49")
async def an_idle_consumer_stops_at_once(bench: Bench) -> None:
    """A consumer that waits for messages stops without waiting for one."""
    place = bench.place()
    await place.begin()
    await bench.sleep(3)
    began = bench.now()
    await place.end()
    between(bench.now() - began, 0.0, bench.seconds(3) if bench.virtual else bench.patience, "how long the stop took")


@scenario("G49")
async def a_stop_during_a_wait_takes_nothing(bench: Bench) -> None:
    """A message that comes while a waiting consumer stops is run by another, without the end of a reservation."""
    one = bench.place(on=bench.process("one"))
    two = bench.place(on=bench.process("two"), like=one)
    await one.begin()
    await bench.sleep(2)
    stopping = asyncio.ensure_future(one.end())
    await one.add("x")
    await stopping
    began = bench.now()
    async with two.consuming():
        await bench.until_runs(one, 1)
        await bench.until_done(two)
    between(bench.now() - began, 0.0, bench.seconds(20) if bench.virtual else bench.patience, "how long it took")


@scenario("G49")
async def a_consumer_can_begin_again(bench: Bench) -> None:
    """After a stop the same consumer starts anew, and nothing is lost between."""
    place = bench.place()
    for number in range(3):
        await place.add(number)
        async with place.consuming():
            await bench.until_runs(place, number + 1)
            await bench.until_done(place)
        await place.add(f"between {number}")
        await bench.until_size(place, Size(ready=1))
        await bench.until_async(place.process_all, "a message is processed by hand")
        place.runs.pop()
    same(place.numbers(), [0, 1, 2], "the runs")


@scenario("G49")
async def a_cancelled_consumer_gives_back(bench: Bench) -> None:
    """Cancelling a consumer interrupts what runs, and its message is ready again at the attempt that it had."""
    place = _slow(bench, 5000)
    await place.add("x")
    await place.begin()
    await bench.until_runs(place, 1)
    await place.interrupt()
    await bench.until_size(place, Size(ready=1))
    (reservation,) = await place.take()
    await place.backend.release(reservation, 0.0)
    await place.begin()
    await bench.until_runs(place, 2)
    same(place.attempts, [1, 1], "the attempts")
    await place.end(timeout=0.0)


@scenario("G49")
async def process_one_takes_one(bench: Bench) -> None:
    """Processing one message by hand runs one, and leaves the others."""
    place = bench.place()
    await place.add_many(3)
    same(await place.consumer.process_one(), True, "whether there was one")
    same(len(place.runs), 1, "how many ran")
    await bench.until_size(place, Size(ready=2))
    same(await place.process_all(), 2, "how many were processed then")
    same(await place.consumer.process_one(), False, "whether there was another one")


@scenario("G49")
async def a_closed_app_consumes_nothing(bench: Bench) -> None:
    """When an app is closed its consumers have stopped, and what is added then is left to others."""
    place = bench.place(on=bench.process("closes"))
    other = bench.place(on=bench.process("other"), like=place)
    await place.begin()
    await bench.sleep(1)
    await place.process.app.aclose()
    place.process.dead = True
    holds(not place.consumer.running, "the consumer of a closed app does not run")
    await other.add("later")
    await bench.quiet(place, 3, "nobody consumes")
    await bench.until_size(other, Size(ready=1))


@scenario("G49")
async def a_stop_without_patience_interrupts_at_once(bench: Bench) -> None:
    """A stop with no time at all interrupts what runs, gives it back, and says so."""

    async def behave(_: Ran) -> None:
        await bench.sleep(4000)

    place = bench.place(behave)
    await place.begin()
    await place.add()
    await bench.until_runs(place, 1)
    began = bench.now()
    same(await place.end(0), 1, "how many were given back")
    between(bench.now() - began, 0.0, bench.late + bench.seconds(2) if bench.virtual else bench.seconds(25), "how long it took")
    await bench.until_size(place, Size(ready=1))


@scenario("G49")
async def what_has_ended_when_its_consumer_is_cancelled_is_done(bench: Bench) -> None:
    """A handler that has returned when its consumer is cancelled is not run again: its outcome stands."""
    place = bench.place()
    await place.add("once")
    await place.begin()
    await bench.until(lambda: place.runs and place.runs[0].ended is not None, "the handler ends")
    await place.interrupt()
    other = bench.place(on=bench.process("other"), like=place)
    async with other.consuming():
        await bench.quiet(place, 3, "it is done")
        await bench.until_done(other)


@scenario("G49")
async def a_consumer_that_drains_claims_nothing(bench: Bench) -> None:
    """While a stopping consumer waits for a long handler, what is added then is left alone, however long that takes."""
    gate = asyncio.Event()

    async def behave(ran: Ran) -> None:
        if ran.args == ("long",):
            await gate.wait()

    place = bench.place(behave)
    await place.begin()
    await place.add("long")
    await bench.until_runs(place, 1)
    stopping = asyncio.get_running_loop().create_task(place.end())
    await bench.sleep(1)
    await place.add("later")
    await bench.quiet(place, 5, "a stopping consumer claims nothing")
    gate.set()
    await stopping
    same(place.numbers(), ["long"], "the runs")
    await bench.until_size(place, Size(ready=1))
