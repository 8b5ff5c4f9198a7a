"""How attempts are counted, and where they end."""

from __future__ import annotations

from taskq_conformance.bench import Bench
from taskq_conformance.check import holds, same
from taskq_conformance.place import Place, Ran
from taskq_conformance.scenario import scenario
from taskq_conformance.scenarios.backoff import failing


@scenario("G18")
async def attempts_count_from_one(bench: Bench) -> None:
    """Attempts are 1, 2, 3, whatever each run came to."""
    place = bench.place(failing, task={"max_attempts": 3})
    async with place.consuming():
        await place.add()
        await bench.until_runs(place, 3)
        await bench.until_done(place, dead=1)
    same(place.attempts, [1, 2, 3], "the attempts")


@scenario("G19")
async def the_last_attempt_is_the_last(bench: Bench) -> None:
    """After the last attempt nothing comes, for much longer than the backoff."""
    place = bench.place(failing, task={"max_attempts": 2})
    async with place.consuming():
        await place.add()
        await bench.until_runs(place, 2)
        await bench.until_done(place, dead=1)
        await bench.quiet(place, 12, "a message that was given up does not run")
    same(place.attempts, [1, 2], "the attempts")


@scenario("G19")
async def one_attempt_is_one(bench: Bench) -> None:
    """With a single attempt allowed a failure is final."""
    place = bench.place(failing, task={"max_attempts": 1})
    async with place.consuming():
        await place.add()
        await bench.until_done(place, dead=1)
    same(place.attempts, [1], "the attempts")


@scenario("G18")
async def attempts_travel_between_processes(bench: Bench) -> None:
    """The second attempt is the second one in another process too."""
    task = {"min_backoff": bench.long(20), "max_backoff": bench.long(20)}
    first = bench.place(failing, on=bench.process("one"), task=task)
    second = bench.place(on=bench.process("two"), like=first)
    async with first.consuming():
        await first.add("x")
        await bench.until_runs(first, 1)
        await bench.until_async(lambda: _settled(first), "the failure is settled")
    async with second.consuming():
        await bench.until_runs(first, 2)
        await bench.until_done(second)
    same([(ran.process, ran.attempt) for ran in first.runs], [("one", 1), ("two", 2)], "where each attempt ran")


@scenario("G18")
async def a_delay_costs_no_attempt(bench: Bench) -> None:
    """A message that waited is at its first attempt, and at its second after one failure."""

    def behave(ran: Ran) -> None:
        if ran.attempt == 1:
            failing(ran)

    place = bench.place(behave)
    async with place.consuming():
        await place.add(delay=bench.seconds(3))
        await bench.until_runs(place, 2)
        await bench.until_done(place)
    same(place.attempts, [1, 2], "the attempts")


@scenario("G18")
async def messages_count_for_themselves(bench: Bench) -> None:
    """Failures of one message are no attempts of another."""

    def behave(ran: Ran) -> None:
        if ran.args[0] % 2:
            failing(ran)

    place = bench.place(behave, task={"max_attempts": 3, "min_backoff": 0.0, "max_backoff": 0.0})
    await place.add_many(6)
    async with place.consuming():
        await bench.until_runs(place, 12)
        await bench.until_done(place, dead=3)
    for number in range(6):
        wanted = [1, 2, 3] if number % 2 else [1]
        same([ran.attempt for ran in place.of(number)], wanted, f"the attempts of message {number}")


@scenario("G18")
async def the_id_stays_the_same(bench: Bench) -> None:
    """All attempts of a message have the id that its producer was told."""
    place = bench.place(failing, task={"max_attempts": 3, "min_backoff": 0.0, "max_backoff": 0.0})
    result = await place.add()
    async with place.consuming():
        await bench.until_runs(place, 3)
        await bench.until_done(place, dead=1)
    holds(all(ran.message.id == result.message_id for ran in place.runs), "every attempt has the id of its message")


async def _settled(place: Place) -> bool:
    stats, size = place.consumer.stats(), await place.size()
    return bool(stats.retries == 1 and size.ready + size.delayed >= 1 and size.reserved == 0)
