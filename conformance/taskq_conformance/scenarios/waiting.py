"""Reserves that wait."""

from __future__ import annotations

import asyncio

from taskq_conformance.bench import Bench
from taskq_conformance.check import between, same
from taskq_conformance.scenario import scenario


@scenario("G10", needs=("waiting",))
async def a_waiting_reserve_is_woken(bench: Bench) -> None:
    """A reserve that waits ends when a message comes, long before its time is over."""
    place = bench.place()
    waiting = asyncio.ensure_future(place.backend.reserve(1, 4 * bench.long(5)))
    await bench.sleep(3)
    same(waiting.done(), False, "whether it ended without a message")
    await place.add("x")
    began = bench.now()
    taken = await waiting
    between(bench.now() - began, 0.0, bench.late if bench.virtual else 3 * bench.long(5), "how long the message took")
    same(len(taken), 1, "how many came")


@scenario("G10", needs=("waiting",))
async def a_waiting_reserve_ends(bench: Bench) -> None:
    """Without a message it ends when its time is over, with nothing."""
    place = bench.place()
    began = bench.now()
    taken = await place.backend.reserve(1, bench.seconds(3))
    same(list(taken), [], "what came")
    between(bench.now() - began, bench.seconds(2), bench.seconds(4) if bench.virtual else bench.patience, "how long it waited")


@scenario("G10")
async def a_reserve_that_does_not_wait(bench: Bench) -> None:
    """A reserve of an empty queue that is not to wait ends at once."""
    place = bench.place()
    began = bench.now()
    same(list(await place.backend.reserve(5, 0.0)), [], "what came")
    between(bench.now() - began, 0.0, bench.seconds(1) if bench.virtual else bench.patience, "how long it took")


@scenario("G8", needs=("waiting",))
async def a_cancelled_reserve_takes_nothing(bench: Bench) -> None:
    """Who stops waiting owns nothing: a message that comes then goes to another."""
    one = bench.place(on=bench.process("one"))
    two = bench.place(on=bench.process("two"), like=one)
    waiting = asyncio.ensure_future(one.backend.reserve(1, bench.seconds(20)))
    await bench.sleep(2)
    waiting.cancel()
    await asyncio.wait([waiting])
    await one.add("x")
    taken = await two.take(1, patience=40 if bench.virtual else None)
    same(len(taken), 1, "how many the other got")


@scenario("G10", needs=("waiting",))
async def a_waiting_consumer_runs_what_comes_at_once(bench: Bench) -> None:
    """A consumer that has been idle runs a message as soon as it comes."""
    place = bench.place()
    async with place.consuming():
        await bench.sleep(25)
        began = bench.now()
        await place.add("x")
        await bench.until_runs(place, 1)
    between(place.runs[0].at - began, 0.0, bench.late if bench.virtual else bench.patience, "how long it took")
