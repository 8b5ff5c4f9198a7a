"""Counting."""

from __future__ import annotations

from taskq.backends.base import Size
from taskq_conformance.bench import Bench
from taskq_conformance.check import same
from taskq_conformance.place import Ran
from taskq_conformance.scenario import scenario


@scenario("G47")
async def a_queue_that_was_never_used_is_empty(bench: Bench) -> None:
    """Its size is zero, and looking at it makes nothing."""
    place = bench.place()
    same(await place.size(), Size(), "the size")
    same(await place.process_all(), 0, "how many messages it had")
    same(await place.size(), Size(), "the size after that")


@scenario("G46", needs=("states",))
async def each_state_is_counted(bench: Bench) -> None:
    """Three ready, two delayed, one reserved and one dead message are counted as such."""
    place = bench.place()
    await place.add_many(5)
    one, two = await place.take(2)
    await place.backend.dead_letter(one, "for the count")
    for _ in range(2):
        await place.add("later", delay=bench.seconds(500))
    await bench.until_size(place, Size(ready=3, delayed=2, reserved=1, dead=1))
    await place.backend.ack([two])
    await bench.until_size(place, Size(ready=3, delayed=2, dead=1))


@scenario("G46", needs=("states",))
async def a_release_moves_the_count(bench: Bench) -> None:
    """What is given back is ready, with a delay it is delayed, and it is counted once."""
    place = bench.place()
    await place.add_many(2)
    one, two = await place.take(2)
    await bench.until_size(place, Size(reserved=2))
    await place.backend.release(one, 0.0)
    await place.backend.release(two, bench.seconds(500))
    await bench.until_size(place, Size(ready=1, delayed=1))


@scenario("G46", needs=("states",))
async def what_comes_due_is_ready(bench: Bench) -> None:
    """A delayed message is counted as ready when its delay is over."""
    place = bench.place()
    delay = bench.long(3)
    await place.add("x", delay=delay)
    await bench.until_size(place, Size(delayed=1))
    await bench.sleep(delay / bench.tick + bench.lag)
    await bench.until_size(place, Size(ready=1))


@scenario("G47")
async def a_done_queue_is_empty(bench: Bench) -> None:
    """After all of thirty messages ran, and some were retried, nothing is counted."""

    def behave(ran: Ran) -> None:
        if ran.attempt == 1 and ran.args[0] % 5 == 0:
            raise ValueError(ran.args)

    place = bench.place(behave)
    await place.add_many(30)
    async with place.consuming():
        await bench.until_runs(place, 36)
        await bench.until_done(place)
    same(sum(ran.attempt == 2 for ran in place.runs), 6, "how many second attempts there were")
