"""Delays that a backend keeps in one step: never early, and not late."""

from __future__ import annotations

import datetime as dt

from taskq.backends.base import Size
from taskq_conformance.bench import Bench
from taskq_conformance.check import between, same
from taskq_conformance.place import Place
from taskq_conformance.scenario import scenario


async def _kept(bench: Bench, place: Place, delays: list[float]) -> None:
    """Enqueue one message with each delay, and hold each run to it. What was asked for is the first argument."""
    sent = {}
    async with place.consuming():
        for number, delay in enumerate(delays):
            began = bench.now()
            await place.add(number, delay=delay)
            sent[number] = began, bench.now()
        await bench.until_runs(place, len(delays))
        await bench.until_done(place)
    same(sorted(place.numbers()), list(range(len(delays))), "the runs")
    for ran in place.runs:
        delay, (began, ended) = delays[ran.args[0]], sent[ran.args[0]]
        between(ran.at, began + delay, ended + delay + bench.late, f"the moment at which {delay:g} s are over")
        same(ran.attempt, 1, "the attempt of a delayed message")


@scenario("G12")
async def a_delay_is_not_early(bench: Bench) -> None:
    """A delay of a few ticks is kept whole, and ends in time."""
    await _kept(bench, bench.place(), [bench.seconds(5)])


@scenario("G12")
async def a_fraction_of_a_tick_is_a_delay(bench: Bench) -> None:
    """A delay below the backend's resolution is rounded up, never cut to none."""
    await _kept(bench, bench.place(), [bench.seconds(0.3), bench.seconds(1.4)])


@scenario("G13")
async def a_delay_is_not_late(bench: Bench) -> None:
    """Delays of several lengths end in time though a consumer was idle all the while."""
    await _kept(bench, bench.place(), [bench.seconds(ticks) for ticks in (2, 3, 7, 11)])


@scenario("G13")
async def a_minute_is_not_late(bench: Bench) -> None:
    """A delay of some length is not late either."""
    await _kept(bench, bench.place(), [bench.seconds(40)])


@scenario("G12")
async def delays_end_in_their_own_order(bench: Bench) -> None:
    """A shorter delay that was added later ends first."""
    place = bench.place()
    gap = bench.long(3 + bench.lag)
    for number, delay in enumerate([3 * gap, 2 * gap, gap]):
        await place.add(number, delay=delay)
    async with place.consuming():
        await bench.until_runs(place, 3)
    same(place.numbers(), [2, 1, 0], "the order of the runs")


@scenario("G15")
async def a_delay_holds_up_nothing(bench: Bench) -> None:
    """Messages without a delay pass one that waits."""
    place = bench.place()
    await place.add("later", delay=bench.seconds(600))
    await place.add("now")
    async with place.consuming():
        await bench.until_runs(place, 1)
        await bench.until_size(place, Size(delayed=1))
    same(place.numbers(), ["now"], "the runs")


@scenario("G9")
async def what_is_delayed_cannot_be_reserved(bench: Bench) -> None:
    """A message that waits is counted as delayed, and no reserve brings it."""
    place = bench.place()
    await place.backend.send([place.outgoing("later", delay=bench.seconds(30))])
    await bench.until_size(place, Size(delayed=1))
    await place.nothing_comes("a message that waits is not due", 5)


@scenario("G12")
async def a_moment_is_not_early(bench: Bench) -> None:
    """A message for a moment of the calendar runs then."""
    place = bench.place()
    began, wall = bench.now(), place.process.clock.now()
    moment = dt.datetime.fromtimestamp(wall + bench.seconds(6), dt.UTC)
    async with place.consuming():
        await place.queue.enqueue_async(place.task.message("then").at(moment))
        ended = bench.now()
        await bench.until_runs(place, 1)
    # 10 ms for a wall clock that is corrected meanwhile, and for the microseconds of a datetime.
    between(place.runs[0].at, began + bench.seconds(6) - 0.01, ended + bench.seconds(6) + bench.late, "the moment of the run")


@scenario("G12")
async def a_moment_that_is_past_is_now(bench: Bench) -> None:
    """A message for a moment that is over runs at once."""
    place = bench.place()
    moment = dt.datetime.fromtimestamp(place.process.clock.now() - 3600, dt.UTC)
    async with place.consuming():
        await place.queue.enqueue_async(place.task.message("past").at(moment))
        sent = bench.now()
        await bench.until_runs(place, 1)
    between(place.runs[0].at - sent, -bench.patience, bench.late, "how long it took")


@scenario("G13")
async def many_delays_end_at_one_moment(bench: Bench) -> None:
    """Thirty messages that are due together all run then, and none is lost among them."""
    place = bench.place()
    began = bench.now()
    delay = bench.seconds(5)
    await place.queue.enqueue_many_async([place.task.message(number).delayed(delay) for number in range(30)])
    ended = bench.now()
    async with place.consuming():
        await bench.until_runs(place, 30)
        await bench.until_done(place)
    same(sorted(place.numbers()), list(range(30)), "the runs")
    for ran in place.runs:
        between(ran.at, began + delay, ended + delay + 2 * bench.late, "the moment of each run")


@scenario("G13")
async def a_consumer_that_comes_late_finds_what_is_due(bench: Bench) -> None:
    """What came due while nobody consumed runs as soon as somebody does."""
    place = bench.place()
    await place.add(1, delay=bench.seconds(2))
    await bench.sleep(8)
    began = bench.now()
    async with place.consuming():
        await bench.until_runs(place, 1)
    between(place.runs[0].at - began, 0.0, bench.late, "how long it took")


@scenario("G12")
async def the_last_word_on_a_delay_counts(bench: Bench) -> None:
    """A message for a moment far away that is then delayed by two ticks runs after two ticks."""
    place = bench.place()
    far = dt.datetime.fromtimestamp(place.process.clock.now() + 4000, dt.UTC)
    began = bench.now()
    await place.queue.enqueue_async(place.task.message("soon").at(far).delayed(bench.seconds(2)))
    async with place.consuming():
        await bench.until_runs(place, 1)
    between(place.runs[0].at - began, bench.seconds(2), 1000.0, "when it ran")


@scenario("G13")
async def a_delay_that_begins_while_others_wait_is_not_late(bench: Bench) -> None:
    """A consumer that has been idle for a while runs in time what is added with a delay then."""
    place, delay = bench.place(), bench.seconds(3)
    async with place.consuming():
        await bench.sleep(5.3)
        began = bench.now()
        await place.add("x", delay=delay)
        ended = bench.now()
        await bench.until_runs(place, 1)
    between(place.runs[0].at, began + delay, ended + delay + bench.late, "when it ran")
