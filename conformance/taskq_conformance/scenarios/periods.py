"""Once in a period: by the arguments or by a key, and at the period's end."""

from __future__ import annotations

from taskq.message import Message
from taskq_conformance.bench import Bench
from taskq_conformance.check import between, holds, same
from taskq_conformance.place import Place
from taskq_conformance.scenario import scenario

_LONG = 90 * 86400.0
"""Seconds of a period whose end no scenario meets, but for once in a million runs."""


async def _at_the_beginning(bench: Bench, place: Place, period: float) -> None:
    """Wait until a period of the calendar is young, so that what follows falls into one."""
    age = place.process.clock.now() % period
    if age > period / 4:
        await bench.sleep((period - age) / bench.tick + 0.01)


async def _add(place: Place, message: Message) -> bool:
    """Enqueue, and return whether it was a duplicate."""
    return (await place.queue.enqueue_async(message)).duplicate


@scenario("G25", needs=("dedup",))
async def once_in_a_period(bench: Bench) -> None:
    """Of a hundred equal messages in one period one is accepted, and it runs when a period is over."""
    place, period = bench.place(), bench.seconds(8)
    await _at_the_beginning(bench, place, period)
    count = 100 if bench.virtual else 10
    began = bench.now()
    duplicates = [await _add(place, place.task.message("World", "Europe").once_in(period)) for _ in range(count)]
    holds(bench.now() - began > period / 2 or duplicates == [False] + [True] * (count - 1), "the first is accepted, no other is")
    async with place.consuming():
        await bench.until_runs(place, 1)
        await bench.until_done(place)
    between(place.runs[0].at - began, period, period + bench.late + (0.0 if bench.virtual else period), "when it ran")


@scenario("G25", needs=("dedup",))
async def each_period_has_one(bench: Bench) -> None:
    """In the next period one is accepted again."""
    place, period = bench.place(), bench.seconds(5)
    await _at_the_beginning(bench, place, period)
    same(await _add(place, place.task.message(1).once_in(period)), False, "whether the first is a duplicate")
    await bench.sleep(2 * period / bench.tick + bench.lag + 0.2)
    same(await _add(place, place.task.message(1).once_in(period)), False, "whether it is one two periods later")


@scenario("G25", needs=("dedup",))
async def arguments_make_the_difference(bench: Bench) -> None:
    """Different arguments are different messages, and the order of a map is no difference."""
    place, period = bench.place(), _LONG
    same(await _add(place, place.task.message("a", "bc").once_in(period)), False, "(a, bc)")
    same(await _add(place, place.task.message("ab", "c").once_in(period)), False, "(ab, c)")
    same(await _add(place, place.task.message({"x": 1, "y": 2}).once_in(period)), False, "a map")
    same(await _add(place, place.task.message({"y": 2, "x": 1}).once_in(period)), True, "the same map in another order")


@scenario("G25", needs=("dedup",))
async def a_key_stands_for_the_arguments(bench: Bench) -> None:
    """With a key of one's own the arguments do not count."""
    place, period = bench.place(), _LONG
    same(await _add(place, place.task.message("Ada").once_in(period, "World", "Europe")), False, "the first")
    same(await _add(place, place.task.message("Bob").once_in(period, "World", "Europe")), True, "other arguments, the same key")
    same(await _add(place, place.task.message("Ada").once_in(period, "World", "Asia")), False, "the same arguments, another key")


@scenario("G25", needs=("dedup",))
async def once_with_a_delay(bench: Bench) -> None:
    """`once` with a delay is accepted once by its arguments, and runs when the delay is over."""
    place = bench.place()
    began = bench.now()
    same(await _add(place, place.task.message(1).once(bench.seconds(4))), False, "the first")
    same(await _add(place, place.task.message(1).once(bench.seconds(4))), True, "the second")
    same(await _add(place, place.task.message(2).once(bench.seconds(4))), False, "other arguments")
    ended = bench.now()
    async with place.consuming():
        await bench.until_runs(place, 2)
    same(sorted(place.numbers()), [1, 2], "the runs")
    for ran in place.runs:
        between(ran.at, began + bench.seconds(4), ended + bench.seconds(4) + bench.late, "when they ran")


@scenario("G25", needs=("dedup",))
async def periods_are_those_of_the_calendar(bench: Bench) -> None:
    """Late in one period and early in the next are two; early and late in one are the same."""
    place, period = bench.place(), bench.seconds(20)
    clock = place.process.clock

    async def until_share(share: float) -> None:
        await bench.sleep((period - clock.now() % period + share * period) / bench.tick)

    async def add() -> bool:
        return (await place.queue.enqueue_async(place.task.message("x").once_in(period))).duplicate

    await until_share(0.2)
    same(await add(), False, "whether the first is a duplicate")
    await bench.sleep(0.5 * period / bench.tick)
    same(await add(), True, "whether a second one of that period is")
    await until_share(0.1)
    same(await add(), False, "whether the first of the next period is")
