"""Emptying a queue."""

from __future__ import annotations

import msgspec

from taskq.backends.base import Size
from taskq_conformance.bench import Bench
from taskq_conformance.capabilities import Purging
from taskq_conformance.check import holds, lost, same
from taskq_conformance.scenario import scenario


@scenario("G44")
async def a_purge_drops_what_is_ready(bench: Bench) -> None:
    """It says how many, and nothing of it runs."""
    place = bench.place()
    await place.add_many(7)
    await bench.until_size(place, Size(ready=7))
    same(await place.queue.purge(), 7, "how many were dropped")
    await bench.until_size(place, Size())
    async with place.consuming():
        await bench.quiet(place, 5, "what was dropped does not run")


@scenario("G44")
async def a_purge_drops_what_is_delayed(bench: Bench) -> None:
    """What waits is dropped too, and does not come later."""
    place = bench.place()
    await place.add("now")
    await place.add("later", delay=bench.long(4))
    await bench.until_size(place, Size(ready=1, delayed=1))
    same(await place.queue.purge(), 2, "how many were dropped")
    async with place.consuming():
        await bench.quiet(place, bench.long(4) / bench.tick + 4, "what was dropped does not run later")


@scenario("G44")
async def a_purge_of_nothing_is_nothing(bench: Bench) -> None:
    """An empty queue, and one that was never used, are purged without an error."""
    place = bench.place()
    same(await place.queue.purge(), 0, "how many were dropped of a queue that was never used")
    await place.add(1)
    await place.queue.purge()
    same(await place.queue.purge(), 0, "how many were dropped the second time")


@scenario("G44", needs=("dead_letters",))
async def a_purge_leaves_what_is_dead(bench: Bench) -> None:
    """Dead letters stay."""
    place = bench.place()
    await place.add("dead")
    (reservation,) = await place.take()
    await place.backend.dead_letter(reservation, "for the purge")
    await place.add("alive")
    same(await place.queue.purge(), 1, "how many were dropped")
    await bench.until_done(place, dead=1)
    same(len(await place.letters()), 1, "how many dead letters are left")


@scenario("G45", needs=("gentle_purge",))
async def a_purge_leaves_what_is_reserved(bench: Bench) -> None:
    """What somebody owns stays with its owner, who settles it."""
    place = bench.place()
    await place.add("owned")
    (reservation,) = await place.take()
    await place.add("dropped")
    same(await place.queue.purge(), 1, "how many were dropped")
    await bench.until_size(place, Size(reserved=1))
    same(list(await place.backend.ack([reservation])), [True], "the acknowledgement of what was owned")
    await bench.until_done(place)


@scenario("G44")
async def a_purged_queue_is_used_on(bench: Bench) -> None:
    """A consumer that runs, and a producer, go on as if nothing had been."""
    place = bench.place()
    async with place.consuming():
        await place.add("before")
        await bench.until_runs(place, 1)
        await bench.until_done(place)
        await place.queue.purge()
        await place.add("after")
        await place.add("later", delay=bench.long(2))
        await bench.until_runs(place, 3)
        await bench.until_done(place)
    same(place.numbers(), ["before", "after", "later"], "the runs")


@scenario("G48")
async def a_purge_is_of_one_queue(bench: Bench) -> None:
    """Another queue keeps its messages."""
    one, two = bench.place(), bench.place()
    await one.add(1)
    await two.add(2)
    await two.add(3, delay=bench.long(2))
    await one.queue.purge()
    await bench.until_size(two, Size(ready=1, delayed=1))
    async with two.consuming():
        await bench.until_runs(two, 2)
        await bench.until_done(two)
    same(two.numbers(), [2, 3], "the runs of the other queue")


@scenario("G44")
async def a_purge_of_many_is_whole(bench: Bench) -> None:
    """Of more messages than one call takes none is left, and all are counted."""
    place, count = bench.place(), 130
    results = await place.queue.enqueue_many_async([place.task.message(number) for number in range(count)])
    holds(all(each.accepted for each in results), "all are accepted")
    await bench.until_size(place, Size(ready=count))
    same(await place.queue.purge(), count, "how many were dropped")
    await bench.until_size(place, Size())


@scenario("G45", needs=("gentle_purge",))
async def a_purge_of_what_waits_spares_what_is_reserved(bench: Bench) -> None:
    """With one message reserved and others ready and delayed, what is reserved can still be acknowledged after a purge."""
    place = bench.place()
    await place.add("reserved")
    (reservation,) = await place.take()
    await place.add("ready")
    await place.add("delayed", delay=bench.seconds(300))
    await bench.until_size(place, Size(ready=1, delayed=1, reserved=1))
    await place.queue.purge()
    same(list(await place.backend.ack([reservation])), [True], "the answer to its acknowledgement")


@scenario("G44")
async def a_purge_while_it_runs_leaves_one_or_none(bench: Bench) -> None:
    """What is reserved during a purge comes back by its retry where a purge spares it, and does not where it drops it."""
    place = bench.place()
    await place.add("runs")
    (reservation,) = await place.take()
    await place.queue.purge()
    again = place.outgoing("again")
    changed = msgspec.structs.replace(reservation, body=again.body)
    if bench.claims.purging is Purging.EVERYTHING:
        await lost(place.backend.release(changed, 0.0), "a release of what was purged")
    else:
        await place.backend.release(changed, 0.0)
        (found,) = await place.take()
        same(found.body, again.body, "what comes back")
    await place.nothing_comes("there is no more", 2)


@scenario("G44")
async def a_purge_drops_what_waits_to_be_tried_again(bench: Bench) -> None:
    """What was given back with a delay is dropped and counted like any other."""
    place = bench.place()
    await place.add("x")
    (reservation,) = await place.take()
    await place.backend.release(reservation, bench.seconds(300))
    await bench.until_size(place, Size(delayed=1))
    same(await place.queue.purge(), 1, "how many were dropped")
    await bench.until_size(place, Size())


@scenario("G45", needs=("gentle_purge",))
async def what_a_purge_spares_stays_apart_from_what_comes(bench: Bench) -> None:
    """What was reserved during a purge and what is reserved afterwards are settled each by its owner."""
    place = bench.place()
    await place.add("before")
    held = await place.take()
    await place.queue.purge()
    await place.add_many(3)
    taken = await place.take(3)
    await bench.until_size(place, Size(reserved=4))
    same(list(await place.backend.ack([*held, *taken])), [True] * 4, "the answers")
    await bench.until_done(place)


@scenario("G24", needs=("dedup",))
async def a_purge_frees_no_name(bench: Bench) -> None:
    """The name of a message that has run stays taken for its window though the queue is purged."""
    place = bench.place()
    await place.add(1, name="n")
    async with place.consuming():
        await bench.until_runs(place, 1)
        await bench.until_done(place)
    await place.queue.purge()
    same((await place.add(2, name="n")).duplicate, True, "whether the second is a duplicate")
