"""Delays that are longer than a backend keeps in one step, and those at its limit. Hours: in virtual time alone."""

from __future__ import annotations

from taskq.backends.base import Size
from taskq.errors import Retry
from taskq_conformance.bench import Bench
from taskq_conformance.check import between, holds, same
from taskq_conformance.place import Place, Ran
from taskq_conformance.scenario import scenario

_DAY = 86400.0


async def _kept_for(bench: Bench, place: Place, delay: float) -> None:
    """Let a message wait, look at the queue now and then as a consumer does, and hold its run to the delay."""
    began = bench.now()
    await place.add("long", delay=delay)
    while (left := began + delay - bench.now()) > 60.0:
        await bench.sleep(min(left - 30.0, 890.0) / bench.tick)
        await place.process_all()
    async with place.consuming():
        await bench.until_runs(place, 1)
        await bench.until_done(place)
    ran = place.runs[0]
    between(ran.at - began, delay, delay + bench.late, f"when {delay:g} s are over")
    same((len(place.runs), ran.attempt), (1, 1), "how many runs there are, and the attempt of the last")


@scenario("G14", long=True)
async def twenty_minutes_are_kept(bench: Bench) -> None:
    """A delay of 20 minutes ends after 20 minutes."""
    await _kept_for(bench, bench.place(), 1200.0)


@scenario("G14", long=True)
async def a_day_is_kept(bench: Bench) -> None:
    """A delay of 24 hours ends after 24 hours, as a first attempt."""
    await _kept_for(bench, bench.place(), _DAY)


@scenario("G14", long=True)
async def a_long_retry_is_kept(bench: Bench) -> None:
    """A handler that asks for a retry after an hour gets it then, as its second attempt."""

    def behave(ran: Ran) -> None:
        if ran.attempt == 1:
            raise Retry(after=3600.0)

    place = bench.place(behave)
    await place.add()
    await place.process_all()
    first = place.runs[0].at
    while first + 3600.0 - bench.now() > 60.0:
        await bench.sleep(min(first + 3600.0 - bench.now() - 30.0, 890.0) / bench.tick)
        await place.process_all()
    async with place.consuming():
        await bench.until_runs(place, 2)
        await bench.until_done(place)
    between(place.runs[1].at - first, 3600.0, 3600.0 + bench.late, "when the retry came")
    same(place.attempts, [1, 2], "the attempts")


@scenario("G14", needs=("delay_limit",), long=True)
async def the_longest_step_is_kept(bench: Bench) -> None:
    """A send with the longest delay that is claimed for one step is accepted and kept whole."""
    place, longest = bench.place(), bench.longest_step
    assert longest is not None
    began = bench.now()
    await place.backend.send([place.outgoing("edge", delay=longest)])
    while (left := began + longest - bench.now()) > 60.0:
        await bench.sleep(min(left - 30.0, 43_000.0) / bench.tick)
        await place.nothing_comes("the longest step is not over")
    await place.take(1)
    between(bench.now() - began, longest, longest + bench.late + 0.5 * bench.tick, "when it could be reserved")


@scenario("G14", long=True)
async def a_week_is_not_early(bench: Bench) -> None:
    """A message for a week from now is not there after six days and 23 hours, and is after seven days."""
    place = bench.place()
    began = bench.now()
    await place.add("week", delay=7 * _DAY)
    while bench.now() - began < 7 * _DAY - 3600.0:
        await bench.sleep(min(21_600.0, 7 * _DAY - 3600.0 - (bench.now() - began)) / bench.tick)
        await place.process_all()
    holds(not place.runs, "a message is not run an hour before its week is over")
    same(bench.alike(await place.size(), Size(delayed=1)), True, "that it still waits")
    while not place.runs and bench.now() - began < 7 * _DAY + 900.0:
        await bench.sleep(300.0 / bench.tick)
        await place.process_all()
    same(place.attempts, [1], "the attempts after a week and a quarter of an hour")
    holds(place.runs[0].at - began >= 7 * _DAY, "it is not early")
