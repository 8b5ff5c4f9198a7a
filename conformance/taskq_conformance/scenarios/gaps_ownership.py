"""What mutants survived once: payloads, ownership, settling, telling."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import msgspec

from taskq.backends.base import Size
from taskq.errors import BackendError, ReservationLost
from taskq.hooks.base import Hook
from taskq_conformance.bench import Bench
from taskq_conformance.capabilities import Max, Purging
from taskq_conformance.check import Broken, between, same
from taskq_conformance.place import Place, Ran
from taskq_conformance.scenario import scenario
from taskq_conformance.scenarios.backoff import failing
from taskq_conformance.scenarios.payload import noise


async def nothing_happens(_: Ran) -> None:
    """Succeed."""


async def lost(call: Any, what: str) -> None:
    """Insist that a call says that its message is not owned."""
    try:
        await call
    except ReservationLost:
        return
    raise Broken(f"{what}: it raises ReservationLost")


# -- payloads and ids


@scenario("G5", needs=("payload_limit",))
async def the_backend_itself_refuses_what_is_too_large(bench: Bench) -> None:
    """Of three messages that are sent past the queue the one that is too large is refused, and the others are there."""
    place = bench.place()
    claim = bench.claims.payload
    assert isinstance(claim, Max)
    batch = [place.outgoing(1), place.outgoing(noise(int(claim.value * 1.3))), place.outgoing(2)]
    answers = await place.backend.send(batch)
    same([isinstance(answer, BackendError) for answer in answers], [False, True, False], "which were refused")
    taken = await place.take(2)
    same({each.body for each in taken}, {batch[0].body, batch[2].body}, "what is there")
    await place.nothing_comes("what was refused is not there", 1)


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


@scenario("G2")
async def a_map_keeps_its_order(bench: Bench) -> None:
    """The keys of a map arrive in the order in which they were given."""
    place = bench.place()
    await place.add({"b": 1, "a": 2, "c": 0})
    async with place.consuming():
        await bench.until_runs(place, 1)
    same(list(place.runs[0].args[0].items()), [("b", 1), ("a", 2), ("c", 0)], "the map")


@scenario("G12")
async def the_last_word_on_a_delay_counts(bench: Bench) -> None:
    """A message for a moment far away that is then delayed by two ticks runs after two ticks."""
    place = bench.place()
    far = dt.datetime.fromtimestamp(place.process.clock.now() + 4000, dt.UTC)
    began = bench.now()
    await place.queue.enqueue_async(place.task.message("soon").at(far).delayed(bench.seconds(2)))
    async with place.consuming():
        await bench.until_runs(place, 1)
    between(place.runs[0].at - began, bench.seconds(2), 1000.0, "when it ran")


# -- ownership


@scenario("G35", needs=("extension",))
async def an_extension_may_be_shorter(bench: Bench) -> None:
    """Whoever extends by less than the timeout owns the message for that long from now on, and no longer."""
    timeout, shorter = bench.seconds(60), bench.seconds(6)
    place = bench.place(reservation_timeout=timeout)
    await place.add()
    (reservation,) = await place.take()
    began = bench.now()
    extended = await place.backend.extend(reservation, shorter)
    between(extended.expires_at - place.process.clock.monotonic(), 0.0, shorter + bench.late, "until when it is owned")
    await place.take(1, patience=200)
    between(bench.now() - began, shorter, shorter + bench.late_expiry(timeout), "when it could be reserved again")


@scenario("G36", needs=("extension",))
async def a_handler_hears_that_it_cannot_extend(bench: Bench) -> None:
    """A handler that asks for an extension while its process is cut off is told so."""
    heard: list[BaseException] = []

    async def behave(ran: Ran) -> None:
        assert ran.context is not None
        await ran.context.extend_async()
        place.process.gate.open = False
        try:
            await ran.context.extend_async()
        except BackendError as error:
            heard.append(error)
        place.process.gate.open = True

    place = bench.place(behave, on=bench.process("a", gated=True))
    await place.add()
    async with place.consuming():
        await bench.until_done(place)
    same(len(heard), 1, "how many errors it heard")


@scenario("G39")
async def all_that_a_dead_consumer_owned_comes_at_once(bench: Bench) -> None:
    """Twenty messages of a consumer that died are ready together when their time is over, not one after the other."""
    timeout = bench.seconds(8)
    place = bench.place(on=bench.process("dead"), reservation_timeout=timeout)
    other = bench.place(on=bench.process("alive"), like=place, reservation_timeout=timeout)
    await place.add_many(20)
    await place.take(20)
    began = bench.now()
    await other.take(20, patience=200)
    between(bench.now() - began, 0.0, timeout + bench.late_expiry(timeout) + bench.seconds(1), "when all could be reserved")


@scenario("G39", needs=("durable",))
async def what_was_reserved_when_its_process_said_goodbye_is_not_lost(bench: Bench) -> None:
    """A process that closes its app while it owns a message leaves it to others, when its time is over."""
    timeout = bench.seconds(6)
    place = bench.place(on=bench.process("leaves"), reservation_timeout=timeout)
    other = bench.place(on=bench.process("stays"), like=place, reservation_timeout=timeout)
    await place.add("kept")
    await place.take()
    await place.process.app.aclose()
    place.process.dead = True
    (reservation,) = await other.take(1, patience=200)
    same(list(await other.backend.ack([reservation])), [True], "the answer to its acknowledgement")


@scenario("G35", long=True)
async def a_reservation_of_many_hours_lasts(bench: Bench) -> None:
    """What is owned for ten hours is not lost though its owner says nothing for seven, while others look after the queue."""
    timeout = 10 * 3600.0
    place = bench.place(on=bench.process("owner"), reservation_timeout=timeout)
    other = bench.place(on=bench.process("other"), like=place, reservation_timeout=timeout)
    await place.add("kept")
    await place.take()
    for _ in range(7):
        await other.nothing_comes("it is owned")
        await bench.sleep(3600 / bench.tick)
    await other.nothing_comes("it is owned")
    await bench.sleep((3 * 3600 + timeout / 10) / bench.tick)
    await other.take(1, patience=4000)


@scenario("G49")
async def what_has_ended_when_its_consumer_is_cancelled_is_done(bench: Bench) -> None:
    """A handler that has returned when its consumer is cancelled is not run again: its outcome stands."""
    place = bench.place(nothing_happens)
    await place.add("once")
    await place.begin()
    await bench.until(lambda: place.runs and place.runs[0].ended is not None, "the handler ends")
    await place.interrupt()
    other = bench.place(on=bench.process("other"), like=place)
    async with other.consuming():
        await bench.quiet(place, 3, "it is done")
        await bench.until_done(other)


@scenario("G49")
async def a_consumer_that_drains_claims_nothing(bench: Bench) -> None:
    """While a stopping consumer waits for a long handler, what is added then is left alone, however long that takes."""
    gate = asyncio.Event()

    async def behave(ran: Ran) -> None:
        if ran.args == ("long",):
            await gate.wait()

    place = bench.place(behave)
    await place.begin()
    await place.add("long")
    await bench.until_runs(place, 1)
    stopping = asyncio.get_running_loop().create_task(place.end())
    await bench.sleep(1)
    await place.add("later")
    await bench.quiet(place, 5, "a stopping consumer claims nothing")
    gate.set()
    await stopping
    same(place.numbers(), ["long"], "the runs")
    await bench.until_size(place, Size(ready=1))


# -- settling


@scenario("G38")
async def what_is_done_cannot_be_put_back(bench: Bench) -> None:
    """A release with another body of what was acknowledged changes nothing and says so."""
    place = bench.place()
    await place.add("done")
    (reservation,) = await place.take()
    same(list(await place.backend.ack([reservation])), [True], "the answer")
    changed = msgspec.structs.replace(reservation, body=place.outgoing("again").body)
    await lost(place.backend.release(changed, 0.0), "a release of what is done")
    await place.nothing_comes("what is done is done", 2)


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


@scenario("G42", needs=("dead_letters",))
async def a_body_of_nothing_is_kept_as_nothing(bench: Bench) -> None:
    """An empty body becomes a dead letter with an empty body."""
    place = bench.place()
    await place.send_body(b"")
    async with place.consuming():
        await bench.until_done(place, dead=1)
    same([letter.body for letter in await place.letters()], [b""], "the bodies of the dead letters")


@scenario("G22", needs=("dead_letters",))
async def what_is_put_back_twice_is_there_once(bench: Bench) -> None:
    """Whoever puts back what somebody else has put back already adds nothing."""
    place = bench.place(failing, task={"max_attempts": 1})
    await place.add_many(2)
    async with place.consuming():
        await bench.until_done(place, dead=2)
    letters = await place.letters()
    same(await place.put_back(letters), 2, "how many were put back")
    same(await place.put_back(letters), 0, "how many were put back the second time")
    await bench.until_size(place, Size(ready=2))


# -- telling


@scenario("G51")
async def every_hook_is_told(bench: Bench) -> None:
    """Of two hooks both are told of everything, each once."""

    class Counting(Hook):
        """Notes what it is told."""

        def __init__(self) -> None:
            self.told: list[str] = []

        def on_enqueue(self, *_: Any) -> None:
            """Note it."""
            self.told.append("enqueue")

        def on_start(self, *_: Any) -> None:
            """Note it."""
            self.told.append("start")

        def on_settle(self, *_: Any) -> None:
            """Note it."""
            self.told.append("settle")

    first, second = Counting(), Counting()
    place = bench.place(on=bench.process("a", hooks=(first, second)))
    async with place.consuming():
        await place.add()
        await bench.until_done(place)
    for hook in (first, second):
        same(sorted(hook.told), ["enqueue", "settle", "start"], "what a hook was told")


@scenario("G52")
async def what_waits_in_a_consumer_is_counted(bench: Bench) -> None:
    """With one worker and five messages one runs and four are counted as waiting for it."""
    gate = asyncio.Event()

    async def behave(_: Ran) -> None:
        await gate.wait()

    place = bench.place(behave, max_workers=1)
    await place.add_many(5)
    async with place.consuming() as consumer:
        await bench.until(lambda: _figures(place) == (1, 4), "one message runs and four wait")
        gate.set()
        await bench.until(lambda: consumer.stats().processed == 5, "all are processed")
        same(_figures(place), (0, 0), "what runs and what waits in the end")


def _figures(place: Place) -> tuple[int, int]:
    stats = place.consumer.stats()
    return stats.in_flight, stats.buffered
