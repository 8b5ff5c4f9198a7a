"""Several queues of one service."""

from __future__ import annotations

from taskq.backends.base import Size
from taskq_conformance.bench import Bench
from taskq_conformance.check import same
from taskq_conformance.place import Ran
from taskq_conformance.scenario import scenario


@scenario("G48")
async def queues_do_not_mix(bench: Bench) -> None:
    """A consumer gets the messages of its own queue alone, though the tasks have one name."""
    places = [bench.place() for _ in range(3)]
    for number, place in enumerate(places):
        await place.add_many(3 + number)
    async with places[1].consuming():
        await bench.until_runs(places[1], 4)
        await bench.until_done(places[1])
        await bench.quiet(places[1], 3, "messages of other queues do not run here")
    await bench.until_size(places[0], Size(ready=3))
    await bench.until_size(places[2], Size(ready=5))


@scenario("G48")
async def one_app_consumes_several(bench: Bench) -> None:
    """One process consumes two queues at the same time, each by its own handler."""
    one, two = bench.place(), bench.place()
    await one.add_many(5)
    await two.add_many(4)
    async with one.consuming(), two.consuming():
        await bench.until_runs(one, 5)
        await bench.until_runs(two, 4)
        await bench.until_done(one)
        await bench.until_done(two)
    same((sorted(one.numbers()), sorted(two.numbers())), (list(range(5)), list(range(4))), "the runs")


@scenario("G48")
async def a_handler_feeds_another_queue(bench: Bench) -> None:
    """Messages pass from queue to queue: each of five makes one on the next."""

    async def pass_on(ran: Ran) -> None:
        await two.add(ran.args[0] * 10)

    two = bench.place()
    one = bench.place(pass_on)
    await one.add_many(5)
    async with one.consuming(), two.consuming():
        await bench.until_runs(two, 5)
        await bench.until_done(one)
        await bench.until_done(two)
    same(sorted(two.numbers()), [0, 10, 20, 30, 40], "the runs of the second queue")


@scenario("G48")
async def names_of_queues_that_begin_alike_differ(bench: Bench) -> None:
    """A queue whose name is the beginning of another's is another queue, whatever is done to the first."""
    one = bench.place(task={"max_attempts": 1})
    longer = bench.process().app.queue(f"{one.queue.name}-b", reservation_timeout=bench.seconds(60))
    await one.add("x")
    await longer.enqueue_async(longer.message("work", "y").delayed(bench.seconds(500)))
    async with one.consuming():
        await bench.until_runs(one, 1)
        await bench.until_done(one)
    await one.queue.purge()
    size = await longer.size()
    same(size.ready + size.delayed, 1, "how many messages the other queue has")
    await longer.purge()
