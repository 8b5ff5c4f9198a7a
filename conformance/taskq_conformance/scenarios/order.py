"""The order of messages, where one is promised."""

from __future__ import annotations

from taskq_conformance.bench import Bench
from taskq_conformance.check import same
from taskq_conformance.place import Ran
from taskq_conformance.scenario import scenario


@scenario("G11", needs=("order",))
async def messages_come_in_their_order(bench: Bench) -> None:
    """One consumer with one worker runs messages in the order in which they were added, one by one."""
    place = bench.place(max_workers=1, max_fetchers=1)
    for number in range(20):
        await place.add(number)
    async with place.consuming():
        await bench.until_runs(place, 20)
    same(place.numbers(), list(range(20)), "the order of the runs")


@scenario("G11", needs=("order",))
async def a_batch_comes_in_its_order(bench: Bench) -> None:
    """The order within a batch is kept too, and that of two batches."""
    place = bench.place(max_workers=1, max_fetchers=1)
    for first in (0, 15):
        await place.queue.enqueue_many_async([place.task.message(first + number) for number in range(15)])
    async with place.consuming():
        await bench.until_runs(place, 30)
    same(place.numbers(), list(range(30)), "the order of the runs")


@scenario("G11", needs=("order",))
async def messages_are_reserved_in_their_order(bench: Bench) -> None:
    """Reserving a few at a time gives them in order."""
    place = bench.place()
    outgoing = [place.outgoing(number) for number in range(9)]
    await place.backend.send(outgoing)
    taken = []
    for _ in range(3):
        taken += await place.take(3)
    same([reservation.body for reservation in taken], [each.body for each in outgoing], "the bodies in their order")


@scenario("G11", needs=("order",))
async def what_was_given_back_does_not_hide_the_rest(bench: Bench) -> None:
    """A message that is retried comes later; the others keep their order."""

    def behave(ran: Ran) -> None:
        if ran.args == (2,) and ran.attempt == 1:
            raise ValueError(ran.args)

    place = bench.place(behave, max_workers=1, max_fetchers=1)
    await place.add_many(6)
    async with place.consuming():
        await bench.until_runs(place, 7)
    same([number for number in place.numbers() if number != 2], [0, 1, 3, 4, 5], "the order of the others")
    same([ran.attempt for ran in place.of(2)], [1, 2], "the attempts of the one that failed")


@scenario("G11", needs=("order",))
async def handlers_in_threads_keep_the_order(bench: Bench) -> None:
    """Handlers that run in threads, one worker at a time, begin in order, also behind one that fails."""
    place = bench.place(max_workers=1, max_fetchers=1)
    runs: list[int] = []

    @place.queue.task(name="plain", min_backoff=bench.tick, max_backoff=bench.tick)
    def plain(number: int) -> None:
        runs.append(number)
        if number in (4, 9) and runs.count(number) == 1:
            raise ValueError(number)

    await place.queue.enqueue_many_async([plain.message(number) for number in range(20)])
    async with place.consuming():
        await bench.until_done(place)
    same(list(dict.fromkeys(runs)), list(range(20)), "the order in which they began")
