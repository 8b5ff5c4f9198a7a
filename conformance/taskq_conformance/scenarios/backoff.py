"""How long a message waits between attempts."""

from __future__ import annotations

from collections.abc import Sequence

from taskq_conformance.bench import Bench
from taskq_conformance.check import between, same
from taskq_conformance.place import Place, Ran, gaps
from taskq_conformance.scenario import scenario


def failing(ran: Ran) -> None:
    """Fail, whatever the attempt."""
    raise ValueError(f"attempt {ran.attempt} fails, as the suite wants it")


async def _waits(bench: Bench, place: Place, runs: int) -> list[float]:
    """Let a message fail so often, and return how long it waited between the end of each run and the next."""
    async with place.consuming():
        await place.add()
        await bench.until_runs(place, runs)
        await bench.until_async(lambda: _nothing_runs(place), "the last run is settled")
    return gaps([ran.at for ran in place.runs])


async def _nothing_runs(place: Place) -> bool:
    return all(ran.ended is not None for ran in place.runs)


def _held(bench: Bench, waits: list[float], law: Sequence[float]) -> None:
    same(len(waits), len(law), "how many waits there were")
    for number, (wait, least) in enumerate(zip(waits, law, strict=True), start=1):
        between(wait, bench.seconds(least), bench.seconds(least) + 2 * bench.late, f"the wait after attempt {number}")


@scenario("G16")
async def a_backoff_doubles(bench: Bench) -> None:
    """Each wait is twice the one before: 1, 2 and 4 ticks."""
    task = {"max_attempts": 4, "min_backoff": bench.seconds(1), "max_backoff": bench.seconds(64)}
    _held(bench, await _waits(bench, bench.place(failing, task=task), 4), [1, 2, 4])


@scenario("G16")
async def a_backoff_ends_at_its_cap(bench: Bench) -> None:
    """It grows to the cap and stays there: 2, 4, 5, 5 ticks."""
    task = {"max_attempts": 5, "min_backoff": bench.seconds(2), "max_backoff": bench.seconds(5)}
    _held(bench, await _waits(bench, bench.place(failing, task=task), 5), [2, 4, 5, 5])


@scenario("G16")
async def a_backoff_of_nothing_is_at_once(bench: Bench) -> None:
    """Without a backoff the next attempt comes at once."""
    task = {"max_attempts": 4, "min_backoff": 0.0, "max_backoff": 0.0}
    _held(bench, await _waits(bench, bench.place(failing, task=task), 4), [0, 0, 0])


@scenario("G16")
async def jitter_stays_within_its_share(bench: Bench) -> None:
    """What jitter adds is a share of the backoff at most, and it takes nothing away."""
    task = {"max_attempts": 3, "min_backoff": bench.seconds(4), "max_backoff": bench.seconds(32), "jitter": 0.5}
    waits = await _waits(bench, bench.place(failing, task=task), 3)
    between(waits[0], bench.seconds(4), bench.seconds(6) + 2 * bench.late, "the wait after attempt 1")
    between(waits[1], bench.seconds(8), bench.seconds(12) + 2 * bench.late, "the wait after attempt 2")


@scenario("G16", long=True)
async def thirty_attempts_stay_at_the_cap(bench: Bench) -> None:
    """The law holds for thirty attempts: no overflow, no wait but the cap in the end."""
    task = {"max_attempts": 30, "min_backoff": bench.seconds(1), "max_backoff": bench.seconds(16)}
    waits = await _waits(bench, bench.place(failing, task=task, pause_threshold=0), 30)
    _held(bench, waits, [1, 2, 4, 8] + [16] * 25)


@scenario("G15")
async def a_backoff_holds_up_nothing(bench: Bench) -> None:
    """While one message waits for its next attempt others run."""

    def behave(ran: Ran) -> None:
        if ran.args == ("bad",):
            failing(ran)

    task = {"max_attempts": 2, "min_backoff": bench.seconds(30), "max_backoff": bench.seconds(30)}
    place = bench.place(behave, task=task, max_workers=1)
    async with place.consuming():
        await place.add("bad")
        await bench.until_runs(place, 1)
        began = bench.now()
        for number in range(3):
            await place.add(number)
        await bench.until_runs(place, 4)
    same(place.numbers(), ["bad", 0, 1, 2], "the runs") if not bench.claims.lacks("order") else None
    between(place.runs[-1].at - began, 0.0, bench.late + bench.seconds(10), "how long the others took")


@scenario("G16", long=True)
async def the_law_of_the_backoff_has_no_end(bench: Bench) -> None:
    """Of thirty-six attempts each wait after the first is the cap: nothing overflows at the thirtieth, or the thirty-second."""
    task = {"max_attempts": 36, "min_backoff": bench.seconds(1), "max_backoff": bench.seconds(2)}
    place = bench.place(failing, task=task, pause_threshold=0)
    await place.add()
    async with place.consuming():
        await bench.until_runs(place, 36)
    for number, wait in enumerate(gaps([ran.at for ran in place.runs]), start=1):
        law = bench.seconds(1 if number == 1 else 2)
        between(wait, law, law + 2 * bench.late, f"the wait after attempt {number}")
    same(place.attempts, list(range(1, 37)), "the attempts")


@scenario("G16")
async def a_backoff_begins_when_the_handler_ends(bench: Bench) -> None:
    """A handler that ran for longer than its backoff and failed is tried again after that backoff, not before."""
    backoff = bench.seconds(4)

    async def behave(ran: Ran) -> None:
        if ran.attempt == 1:
            await bench.sleep(6)
            raise ValueError(ran.attempt)

    place = bench.place(behave, task={"max_attempts": 2, "min_backoff": backoff, "max_backoff": backoff})
    await place.add("x")
    async with place.consuming():
        await bench.until_runs(place, 2)
        await bench.until_done(place)
    first, second = place.runs
    assert first.ended is not None
    between(second.at - first.ended, backoff, backoff + 2 * bench.late + bench.tick, "the wait")
