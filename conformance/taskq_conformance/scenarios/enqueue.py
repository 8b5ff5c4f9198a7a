"""Adding one message."""

from __future__ import annotations

import msgspec

from taskq.backends.base import Size
from taskq.errors import BackendUnavailable, TaskqError
from taskq_conformance.bench import Bench
from taskq_conformance.check import holds, same
from taskq_conformance.place import Place, Ran
from taskq_conformance.scenario import scenario


@scenario("G1")
async def what_was_accepted_is_there(bench: Bench) -> None:
    """A message that was accepted is in the queue before anybody consumes it."""
    place = bench.place()
    result = await place.add(1)
    holds(result.accepted and result.message_id, "an accepted message has an id")
    await bench.until_size(place, Size(ready=1))


@scenario("G1")
async def a_message_runs_once(bench: Bench) -> None:
    """A message runs once and is done: nothing of it is left, and it does not come again."""
    place = bench.place()
    async with place.consuming():
        await place.add("hello", 1)
        await bench.until_runs(place, 1)
        await bench.until_done(place)
        await bench.quiet(place, 5, "a message that is done does not run again")
    same([(ran.args, ran.attempt) for ran in place.runs], [(("hello", 1), 1)], "the runs")


@scenario("G1")
async def a_message_that_was_there_before_the_consumer_runs(bench: Bench) -> None:
    """A consumer that begins later finds what was added before."""
    place = bench.place()
    await place.add(1)
    await bench.sleep(3)
    async with place.consuming():
        await bench.until_done(place)
    same(place.numbers(), [1], "the runs")


@scenario("G1")
async def a_message_from_a_handler_runs(bench: Bench) -> None:
    """A handler may add messages to its own queue; they run too, even if it is the only worker."""

    async def behave(ran: Ran) -> None:
        if ran.args[0] < 3:
            await place.add(ran.args[0] + 1)

    place = bench.place(behave, max_workers=1)
    async with place.consuming():
        await place.add(0)
        await bench.until_runs(place, 4)
        await bench.until_done(place)
    same(place.numbers(), [0, 1, 2, 3], "the runs")


@scenario("G2")
async def the_id_that_was_told_is_the_one_that_runs(bench: Bench) -> None:
    """A handler sees the id that the producer was told."""
    place = bench.place()
    results = [await place.add(number) for number in range(3)]
    await bench.until_async(lambda: _processed(place, 3), "three messages run")
    same({ran.args[0]: ran.message.id for ran in place.runs},
         {number: result.message_id for number, result in enumerate(results)}, "the ids")  # fmt: skip


@scenario("G4")
async def a_service_that_is_away_is_told(bench: Bench) -> None:
    """While the backend cannot be reached an enqueue raises, and nothing is added."""
    process = bench.process("p", gated=True)
    place = bench.place(on=process)
    process.gate.open = False
    try:
        await place.add(1)
    except BackendUnavailable:
        pass
    else:
        holds(False, "an enqueue that does not get through raises BackendUnavailable")
    process.gate.open = True
    same((await place.size()).ready, 0, "the size after an enqueue that failed")
    await place.add(2)
    await bench.until_async(lambda: _processed(place, 1), "the next message runs")
    same(place.numbers(), [2], "the runs")


@scenario("G4")
async def a_closed_app_accepts_nothing(bench: Bench) -> None:
    """After its app is closed a queue raises instead of accepting."""
    place = bench.place()
    await place.add(1)
    await place.process.app.aclose()
    try:
        await place.add(2)
    except TaskqError:
        return
    holds(False, "an enqueue on a closed app raises")


async def _processed(place: Place, count: int) -> bool:
    await place.process_all()
    return len(place.runs) >= count


@scenario("G1")
async def a_handler_may_fill_its_own_queue(bench: Bench) -> None:
    """A handler that adds a hundred messages to its own queue, one by one, with one worker, comes to its end."""
    count = 100 if bench.virtual else 20

    async def behave(ran: Ran) -> None:
        if ran.args == ("all",):
            for number in range(count):
                await place.add(number)

    place = bench.place(behave, max_workers=1)
    await place.add("all")
    async with place.consuming():
        await bench.until_runs(place, count + 1)
        await bench.until_done(place)
    same(sorted(ran.args[0] for ran in place.runs[1:]), list(range(count)), "the runs")


@scenario("G2")
async def an_id_of_ones_own_is_kept(bench: Bench) -> None:
    """A message that brings its own id arrives with it, and is told by it."""
    place = bench.place()
    message = msgspec.structs.replace(place.task.message(1), id=b"order-4711")
    same((await place.queue.enqueue_async(message)).message_id, b"order-4711", "the id that is told")
    async with place.consuming():
        await bench.until_runs(place, 1)
    same(place.runs[0].message.id, b"order-4711", "the id that arrives")


@scenario("G2")
async def ids_need_not_be_text(bench: Bench) -> None:
    """An id of any bytes, as Go makes them, arrives as it is."""
    place, identifier = bench.place(), bytes(range(240, 256))
    await place.queue.enqueue_async(msgspec.structs.replace(place.task.message(1), id=identifier))
    async with place.consuming():
        await bench.until_runs(place, 1)
    same(place.runs[0].message.id, identifier, "the id that arrives")
