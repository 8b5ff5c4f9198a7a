"""Adding many messages in one call."""

from __future__ import annotations

from taskq.backends.base import Size
from taskq.errors import BackendUnavailable, MessageTooLarge
from taskq_conformance.bench import Bench
from taskq_conformance.capabilities import Max
from taskq_conformance.check import Broken, holds, same
from taskq_conformance.scenario import scenario
from taskq_conformance.scenarios.payload import noise


@scenario("G3")
async def a_batch_runs_whole(bench: Bench) -> None:
    """Of 25 messages that are added together each runs once."""
    place = bench.place()
    results = await place.add_many(25)
    same(len({result.message_id for result in results}), 25, "how many different ids 25 messages have")
    async with place.consuming():
        await bench.until_runs(place, 25)
        await bench.until_done(place)
    same(sorted(place.numbers()), list(range(25)), "the runs")


@scenario("G3")
async def a_large_batch_runs_whole(bench: Bench) -> None:
    """More messages than the service takes in one call are added together all the same."""
    limit = bench.claims.batch.value if isinstance(bench.claims.batch, Max) else 100.0
    count = int(min(limit, 100.0)) + 5
    place = bench.place()
    results = await place.add_many(count)
    same(len(results), count, "how many answers come")
    await bench.until_size(place, Size(ready=count))
    async with place.consuming():
        await bench.until_runs(place, count)
        await bench.until_done(place)
    same(sorted(place.numbers()), list(range(count)), "the runs")


@scenario("G3")
async def one_that_is_too_large_fails_no_other(bench: Bench) -> None:
    """A message of a batch that is too large is refused, by an answer of its own; the others run."""
    place = bench.place(max_message_size=2000, compress_from=None)
    messages = [place.task.message("a"), place.task.message("b" * 3000), place.task.message("c")]
    results = await place.queue.enqueue_many_async(messages)
    same([result.accepted for result in results], [True, False, True], "what was accepted")
    holds(isinstance(results[1].error, MessageTooLarge), f"the answer says that it is too large, not {results[1].error!r}")
    async with place.consuming():
        await bench.until_runs(place, 2)
        await bench.until_done(place)
    same(sorted(place.numbers()), ["a", "c"], "the runs")


@scenario("G3", needs=("dedup",))
async def duplicates_of_a_batch_have_answers_of_their_own(bench: Bench) -> None:
    """In a batch with the same name twice the first is accepted and the second a duplicate; answers keep the order."""
    place = bench.place()
    names = ["x", "y", "x", None, "y"]
    messages = [place.task.message(number) for number in range(5)]
    named = [message.named(name) if name else message for message, name in zip(messages, names, strict=True)]
    results = await place.queue.enqueue_many_async(named)
    same([result.duplicate for result in results], [False, False, True, False, True], "which are duplicates")
    holds(all(result.error is None for result in results), "a duplicate is an answer, not an error")
    async with place.consuming():
        await bench.until_runs(place, 3)
        await bench.until_done(place)
    same(sorted(place.numbers()), [0, 1, 3], "the runs")


@scenario("G3")
async def each_message_of_a_batch_has_its_own_delay(bench: Bench) -> None:
    """Delays of one batch are kept one by one."""
    place = bench.place()
    delays = [0.0, 2 * bench.long(4), bench.long(4)]
    began = bench.now()
    await place.queue.enqueue_many_async([place.task.message(delay).delayed(delay) for delay in delays])
    async with place.consuming():
        await bench.until_runs(place, 3)
    same(place.numbers(), sorted(delays), "the order of the runs")
    holds(all(ran.at - began >= ran.args[0] for ran in place.runs), "none of them is early")


@scenario("G3")
async def an_empty_batch_adds_nothing(bench: Bench) -> None:
    """Adding no messages is no error, and has no answers."""
    place = bench.place()
    same(list(await place.queue.enqueue_many_async([])), [], "the answers")
    await bench.until_size(place, Size())


@scenario("G8")
async def a_reserve_of_a_batch_gives_each_message_once(bench: Bench) -> None:
    """Of ten messages that are reserved in several calls none comes twice."""
    place = bench.place()
    await place.add_many(10)
    taken = await place.take(10)
    same(len({reservation.body for reservation in taken}), 10, "how many different messages were reserved")
    await place.nothing_comes("all ten are reserved", 3)
    same(list(await place.backend.ack(taken)), [True] * 10, "the answers to the acknowledgements")
    await bench.until_done(place)


@scenario("G1")
async def a_batch_of_many_bytes_is_whole(bench: Bench) -> None:
    """A batch of more bytes than one call takes is accepted and is there, whole and once."""
    place = bench.place()
    batch = [place.outgoing(number, noise(100_000)) for number in range(14)]
    same(list(await place.backend.send(batch)), [None] * 14, "the answers")
    taken = await place.take(14)
    same({each.body for each in taken}, {each.body for each in batch}, "what is there")


@scenario("G4")
async def a_batch_that_cannot_be_sent_is_told(bench: Bench) -> None:
    """A batch that is sent while the service is away raises, and nothing of it is there."""
    place = bench.place(on=bench.process("a", gated=True), send_timeout=bench.seconds(2))
    place.process.gate.open = False
    try:
        await place.queue.enqueue_many_async([place.task.message(number) for number in range(3)])
    except BackendUnavailable:
        pass
    else:
        raise Broken("a batch that cannot be sent raises BackendUnavailable")
    place.process.gate.open = True
    await bench.until_size(place, Size())


def _more_than_a_call(bench: Bench) -> int:
    """Return how many messages are more than the service takes in one call."""
    return int(bench.claims.batch.value) + 100 if isinstance(bench.claims.batch, Max) else 105


@scenario("G3", long=True)
async def a_very_large_batch_is_whole(bench: Bench) -> None:
    """Of hundreds of messages that are added together none is missing."""
    place, count = bench.place(), max(300, _more_than_a_call(bench))
    same(len(await place.add_many(count)), count, "how many answers come")
    await bench.until_size(place, Size(ready=count))


@scenario("G1", long=True)
async def all_that_come_due_together_run(bench: Bench) -> None:
    """Of more messages than one call takes, whose delays end at one time, each runs."""
    place, count = bench.place(), _more_than_a_call(bench)
    await place.queue.enqueue_many_async([place.task.message(n).delayed(bench.seconds(3)) for n in range(count)])
    async with place.consuming():
        await bench.until_runs(place, count)
        await bench.until_done(place)
    same(sorted(place.numbers()), list(range(count)), "the runs")
