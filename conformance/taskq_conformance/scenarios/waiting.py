"""Reserves that wait."""

from __future__ import annotations

import asyncio
from typing import Any

from taskq_conformance.bench import Bench
from taskq_conformance.check import between, holds, same
from taskq_conformance.place import Place, Ran
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
    between(bench.now() - began, bench.seconds(2.99), bench.seconds(4) if bench.virtual else bench.patience, "how long it waited")


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


def _waiting(place: Place, wait: float) -> asyncio.Task[Any]:
    """Begin a reserve that waits."""
    return asyncio.get_running_loop().create_task(place.backend.reserve(1, wait))


@scenario("G10", needs=("waiting",))
async def who_leaves_hands_the_wake_up_on(bench: Bench) -> None:
    """Of two who wait one is cancelled as a message comes: the other has it soon, and not only when its wait is over."""
    place, wait = bench.place(), bench.seconds(40)
    leaves, stays = _waiting(place, wait), _waiting(place, wait)
    await bench.sleep(1)
    began = bench.now()
    await place.backend.send([place.outgoing(1)])
    leaves.cancel()
    await asyncio.wait([leaves])
    taken: list[Any] = [] if leaves.cancelled() else list(leaves.result())
    while not taken:
        await place.look_after()
        done, _ = await asyncio.wait([stays], timeout=bench.seconds(0.5))
        taken += stays.result() if done else []
        holds(bench.now() - began < wait * 3 / 4, "what came as one left is had by the other")
    stays.cancel()
    await asyncio.wait([stays])


@scenario("G10", needs=("waiting",))
async def a_batch_wakes_all_who_wait(bench: Bench) -> None:
    """Two who wait for one message each are both served by a batch of two."""
    place, wait = bench.place(), bench.seconds(40)
    waiting = [_waiting(place, wait), _waiting(place, wait)]
    await bench.sleep(1)
    began = bench.now()
    await place.backend.send([place.outgoing(1), place.outgoing(2)])
    taken = [reservation for each in await asyncio.gather(*waiting) for reservation in each]
    same(len({reservation.id for reservation in taken}), 2, "how many different messages came")
    between(bench.now() - began, 0.0, wait / 2, "how long it took")


@scenario("G10")
async def a_look_is_over_at_once(bench: Bench) -> None:
    """A reserve that is not to wait is over within the backend's resolution, whether something is there or not."""
    place = bench.place()
    for _ in range(3):
        began = bench.now()
        await place.backend.reserve(1, 0.0)
        between(bench.now() - began, 0.0, bench.late + 0.1 if bench.virtual else bench.patience, "how long a look took")


@scenario("G8", needs=("waiting",))
async def who_stops_waiting_takes_nothing_from_others(bench: Bench) -> None:
    """A process that gave up a wait, and looks for what may have been on its way, leaves alone what another one runs."""

    async def behave(_: Ran) -> None:
        await bench.sleep(20)

    timeout = bench.seconds(60)
    one = bench.place(behave, on=bench.process("one"), reservation_timeout=timeout)
    two = bench.place(behave, on=bench.process("two"), like=one, reservation_timeout=timeout)
    await one.add("x")
    await one.begin()
    await bench.until_runs(one, 1)
    await two.begin()
    waiting = asyncio.ensure_future(two.backend.reserve(1, bench.seconds(20)))
    await bench.sleep(1)
    waiting.cancel()
    await asyncio.wait([waiting])
    await bench.until_done(one)
    same([ran.process for ran in one.runs], ["one"], "where it ran")


@scenario("G10", needs=("waiting",))
async def a_wait_that_is_disturbed_ends_in_time(bench: Bench) -> None:
    """What comes while a reserve waits and is not due yet makes its wait neither shorter nor longer."""
    place = bench.place()
    began = bench.now()
    waiting = _waiting(place, bench.seconds(4))
    await bench.sleep(2)
    await place.add("later", delay=bench.seconds(300))
    same(list(await waiting), [], "what came")
    between(bench.now() - began, bench.seconds(3), bench.seconds(5) if bench.virtual else bench.patience, "how long it waited")


@scenario("G50", needs=("waiting",))
async def who_closes_leaves_others_waiting(bench: Bench) -> None:
    """When one process closes its app, a reserve of another one is woken by what comes as before."""
    one = bench.place(on=bench.process("one"))
    two = bench.place(on=bench.process("two"), like=one)
    waiting = _waiting(one, 4 * bench.long(5))
    await bench.sleep(1)
    await two.process.app.aclose()
    began = bench.now()
    await one.add("x")
    same(len(await waiting), 1, "how many came")
    between(bench.now() - began, 0.0, bench.late if bench.virtual else 3 * bench.long(5), "how long the message took")
