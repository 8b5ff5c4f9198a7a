"""Tasks that are given many messages at once."""

from __future__ import annotations

from typing import Any

from taskq.message import MessageBatch
from taskq.options import Batch
from taskq_conformance.bench import Bench
from taskq_conformance.check import between, holds, same
from taskq_conformance.scenario import scenario
from taskq_conformance.scenarios.payload import noise


@scenario("G53")
async def a_batch_closes_when_it_is_full(bench: Bench) -> None:
    """Ten messages of a task with batches of five are handed over in two calls, each message once."""
    place = bench.place()
    sizes: list[list[object]] = []

    async def many(batch: MessageBatch) -> None:
        sizes.append([message.args[0] for message in batch])

    place.queue.task(batch=Batch(size=5, age=bench.seconds(500)))(many)
    await place.queue.enqueue_many_async([place.queue.message("many", number) for number in range(10)])
    async with place.consuming():
        await bench.until(lambda: len(sizes) == 2, "two batches are handed over")
        await bench.until_done(place)
    same([len(each) for each in sizes], [5, 5], "the sizes of the batches")
    same(sorted(str(number) for each in sizes for number in each), [str(number) for number in range(10)], "what was handed over")


@scenario("G53")
async def a_batch_closes_by_its_age(bench: Bench) -> None:
    """Three messages do not wait for more than the age of their batch."""
    place = bench.place()
    seen: list[tuple[float, int]] = []

    async def many(batch: MessageBatch) -> None:
        seen.append((bench.now(), len(batch)))

    place.queue.task(batch=Batch(size=100, age=bench.long(5)))(many)
    began = bench.now()
    async with place.consuming():
        await place.queue.enqueue_many_async([place.queue.message("many", number) for number in range(3)])
        await bench.until(lambda: seen, "the batch is handed over")
        await bench.until_done(place)
    same([count for _, count in seen], [3], "the sizes of the batches")
    between(seen[0][0] - began, bench.long(5) - 1e-3, bench.long(5) + bench.tick + 2 * bench.late, "when it was handed over")


@scenario("G53")
async def messages_of_a_batch_fail_one_by_one(bench: Bench) -> None:
    """One message that is marked as failed is retried alone; the others are done."""
    place = bench.place()
    seen: list[list[tuple[object, int]]] = []

    async def many(batch: MessageBatch) -> None:
        seen.append([(message.args[0], message.attempt) for message in batch])
        for message in batch:
            if message.args == (1,) and message.attempt == 1:
                batch.fail(message, ValueError("this one"))

    place.queue.task(batch=Batch(size=3, age=bench.long(3)), min_backoff=bench.tick, max_backoff=bench.tick)(many)
    await place.queue.enqueue_many_async([place.queue.message("many", number) for number in range(3)])
    async with place.consuming():
        await bench.until(lambda: len(seen) == 2, "the one that failed comes again")
        await bench.until_done(place)
    same((sorted(map(str, seen[0])), seen[1]), (["(0, 1)", "(1, 1)", "(2, 1)"], [(1, 2)]), "what was handed over")


@scenario("G53")
async def a_batch_whose_handler_fails_comes_again(bench: Bench) -> None:
    """An error of the handler fails all messages of the batch; all are tried again."""
    place = bench.place()
    seen: list[tuple[object, int]] = []

    async def many(batch: MessageBatch) -> None:
        seen.extend((message.args[0], message.attempt) for message in batch)
        if any(message.attempt == 1 for message in batch):
            raise ValueError("all of them")

    place.queue.task(batch=Batch(size=2, age=bench.seconds(2)), min_backoff=0.0, max_backoff=0.0)(many)
    await place.queue.enqueue_many_async([place.queue.message("many", number) for number in range(2)])
    async with place.consuming():
        await bench.until(lambda: len(seen) == 4, "both come again")
        await bench.until_done(place)
    same(sorted(map(str, seen)), ["(0, 1)", "(0, 2)", "(1, 1)", "(1, 2)"], "what was handed over")


@scenario("G53")
async def a_batch_closes_by_its_bytes(bench: Bench) -> None:
    """A batch that would have more bytes than it may is closed before."""
    place, sizes = bench.place(), []

    @place.queue.task(name="together", batch=Batch(size=50, age=bench.seconds(2), bytes=5000))
    async def together(batch: MessageBatch) -> None:
        sizes.append(len(batch))
        bench.tell()

    await place.queue.enqueue_many_async([together.message(noise(2000)) for _ in range(6)])
    async with place.consuming():
        await bench.until(lambda: sum(sizes) == 6, "six messages are handed over")
        await bench.until_done(place)
    holds(max(sizes) <= 2, f"no batch has more than 5,000 bytes: {sizes} messages of 2,000 were handed over")
    holds(len(sizes) <= 4, f"and none is closed much too early: {sizes}")


@scenario("G53")
async def the_first_of_a_batch_may_fail(bench: Bench) -> None:
    """Of three messages that are handed over together the one that stood first fails, and it alone is tried again."""
    place = bench.place()
    seen: list[list[Any]] = []

    @place.queue.task(name="together", batch=Batch(size=3, age=bench.seconds(3)), min_backoff=bench.tick, max_backoff=bench.tick)
    async def together(batch: MessageBatch) -> None:
        seen.append([message.args[0] for message in batch])
        if len(seen) == 1:
            batch.fail(batch[0], ValueError("the first"))
        bench.tell()

    await place.queue.enqueue_many_async([place.queue.message("together", number) for number in range(3)])
    async with place.consuming():
        await bench.until(lambda: sum(map(len, seen)) >= 4, "one comes again")
        await bench.until_done(place)
    same(seen[-1], [seen[0][0]], "what came again")
