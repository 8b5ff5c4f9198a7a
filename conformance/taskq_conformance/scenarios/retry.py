"""Attempts after a failure, and errors that say when the next one shall be."""

from __future__ import annotations

import datetime as dt

from taskq.backends.base import Size
from taskq.errors import Retry
from taskq_conformance.bench import Bench
from taskq_conformance.check import between, same
from taskq_conformance.place import Ran
from taskq_conformance.scenario import scenario


class _Busy(Exception):  # noqa: N818 - an error of a user's own
    """An error that says when to come back, without knowing taskq."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def delay(self) -> dt.timedelta:
        """Return when."""
        return dt.timedelta(seconds=self.seconds)


@scenario("G16")
async def what_fails_is_run_again(bench: Bench) -> None:
    """A message whose first attempt fails has a second one, with the same arguments, and is done then."""

    def behave(ran: Ran) -> None:
        if ran.attempt == 1:
            raise ValueError("once")

    place = bench.place(behave)
    async with place.consuming():
        await place.add("x", 7)
        await bench.until_runs(place, 2)
        await bench.until_done(place)
        await bench.quiet(place, 4, "what succeeded in the end does not come again")
    same([(ran.args, ran.attempt) for ran in place.runs], [(("x", 7), 1), (("x", 7), 2)], "the runs")


@scenario("G17")
async def a_retry_comes_when_it_was_asked_for(bench: Bench) -> None:
    """`Retry(after)` is kept instead of the backoff, though that is much longer."""

    def behave(ran: Ran) -> None:
        if ran.attempt == 1:
            raise Retry(after=bench.seconds(4))

    place = bench.place(behave, task={"min_backoff": bench.seconds(500), "max_backoff": bench.seconds(500)})
    async with place.consuming():
        await place.add()
        await bench.until_runs(place, 2)
        await bench.until_done(place)
    wait = place.runs[1].at - place.runs[0].at
    between(wait, bench.seconds(4), bench.seconds(4) + 2 * bench.late, "when the retry came")


@scenario("G17")
async def a_retry_may_be_longer_than_the_cap(bench: Bench) -> None:
    """What a handler asks for is not cut to the cap of the backoff."""

    def behave(ran: Ran) -> None:
        if ran.attempt == 1:
            raise Retry(after=dt.timedelta(seconds=bench.seconds(9)))

    place = bench.place(behave, task={"min_backoff": bench.seconds(1), "max_backoff": bench.seconds(2)})
    async with place.consuming():
        await place.add()
        await bench.until_runs(place, 2)
    wait = place.runs[1].at - place.runs[0].at
    between(wait, bench.seconds(9), bench.seconds(9) + 2 * bench.late, "when the retry came")


@scenario("G17")
async def an_error_may_say_when(bench: Bench) -> None:
    """Any error with a `delay()` is asked for it."""

    def behave(ran: Ran) -> None:
        if ran.attempt == 1:
            raise _Busy(bench.seconds(6))

    place = bench.place(behave)
    async with place.consuming():
        await place.add()
        await bench.until_runs(place, 2)
    wait = place.runs[1].at - place.runs[0].at
    between(wait, bench.seconds(6), bench.seconds(6) + 2 * bench.late, "when the retry came")


@scenario("G17")
async def a_retry_at_once_is_at_once(bench: Bench) -> None:
    """`Retry(after=0)` runs again without a wait, and counts as an attempt."""

    def behave(ran: Ran) -> None:
        if ran.attempt < 3:
            raise Retry(after=0)

    place = bench.place(behave, task={"max_attempts": 5, "min_backoff": bench.seconds(500), "max_backoff": bench.seconds(500)})
    async with place.consuming():
        await place.add()
        await bench.until_runs(place, 3)
        await bench.until_done(place)
    same(place.attempts, [1, 2, 3], "the attempts")
    between(place.runs[2].at - place.runs[0].at, 0.0, 4 * bench.late, "how long two retries took")


@scenario("G16")
async def what_waits_for_its_retry_is_delayed(bench: Bench) -> None:
    """Between two attempts a message is counted as delayed, once."""

    def behave(ran: Ran) -> None:
        raise ValueError(ran.attempt)

    place = bench.place(behave, task={"min_backoff": bench.seconds(300), "max_backoff": bench.seconds(300)})
    async with place.consuming():
        await place.add()
        await bench.until_runs(place, 1)
        await bench.until_size(place, Size(delayed=1))


@scenario("G16")
async def an_exit_of_a_handler_is_a_failure(bench: Bench) -> None:
    """A handler that calls `sys.exit` fails its message, which is run again; the consumer goes on."""

    def behave(ran: Ran) -> None:
        if ran.args == ("exit",) and ran.attempt == 1:
            raise SystemExit(3)

    place = bench.place(behave)
    async with place.consuming():
        await place.add("exit")
        await bench.until_runs(place, 1)
        await place.add("other")
        await bench.until_runs(place, 3)
        await bench.until_done(place)
    same(sorted((ran.args[0], ran.attempt) for ran in place.runs), [("exit", 1), ("exit", 2), ("other", 1)], "the runs")


@scenario("G17")
async def a_retry_after_a_fraction_is_not_early(bench: Bench) -> None:
    """`Retry(after)` of half a tick waits for half a tick, or as long as the backend's resolution has it."""

    def behave(ran: Ran) -> None:
        if ran.attempt == 1:
            raise Retry(after=bench.seconds(0.5))

    place = bench.place(behave)
    async with place.consuming():
        await place.add()
        await bench.until_runs(place, 2)
    between(place.runs[1].at - place.runs[0].at, bench.seconds(0.5), bench.seconds(1) + 2 * bench.late, "when it came")


@scenario("G19")
async def a_retry_cannot_be_asked_for_for_ever(bench: Bench) -> None:
    """A handler that asks for another time at its last attempt has had its last attempt."""

    def behave(_: Ran) -> None:
        raise Retry(after=bench.seconds(1))

    place = bench.place(behave, task={"max_attempts": 3})
    await place.add()
    async with place.consuming():
        await bench.until_done(place, dead=1)
    same(place.attempts, [1, 2, 3], "the attempts")
