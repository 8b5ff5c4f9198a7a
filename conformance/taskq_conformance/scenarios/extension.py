"""Reservations that are prolonged, by hand and while a handler runs."""

from __future__ import annotations

import asyncio
from typing import Any

from taskq.backends.base import Size
from taskq.errors import BackendError
from taskq_conformance.bench import Bench
from taskq_conformance.check import between, holds, same
from taskq_conformance.place import Ran
from taskq_conformance.scenario import scenario


@scenario("G36", needs=("extension",))
async def an_extended_reservation_lasts(bench: Bench) -> None:
    """What is extended every few ticks stays owned for three times its timeout, and ends after the last one."""
    timeout = bench.long(8)
    place = bench.place(reservation_timeout=timeout)
    await place.add("x")
    (reservation,) = await place.take()
    for _ in range(5):
        await bench.sleep(timeout / 2 / bench.tick)
        began = bench.now()
        reservation = await place.backend.extend(reservation, timeout)
        ended = bench.now()
        await place.nothing_comes("an extended reservation goes on")
    await place.take()
    between(bench.now(), began + timeout, ended + timeout + bench.late_expiry(timeout), "when it could be reserved again")


@scenario("G36", needs=("extension",))
async def an_extension_says_until_when(bench: Bench) -> None:
    """The reservation that an extension returns ends later than the one before, and can be settled."""
    place = bench.place(reservation_timeout=bench.long(10))
    await place.add("x")
    (first,) = await place.take()
    await bench.sleep(4)
    second = await place.backend.extend(first, bench.long(10))
    holds(second.expires_at >= first.expires_at + bench.seconds(3), "an extension ends later")
    same(list(await place.backend.ack([second])), [True], "the acknowledgement of what was extended")
    await bench.until_done(place)


@scenario("G36", needs=("extension",))
async def a_long_job_runs_once(bench: Bench) -> None:
    """A handler that takes ten times the reservation, three times in real time, runs once, though another consumer waits."""
    timeout = bench.long(6)

    async def behave(_: Ran) -> None:
        await asyncio.sleep((10 if bench.virtual else 3) * timeout)

    one = bench.place(behave, on=bench.process("one"), reservation_timeout=timeout)
    two = bench.place(behave, on=bench.process("two"), like=one, reservation_timeout=timeout)
    await one.add("x")
    async with one.consuming(), two.consuming():
        await bench.until(lambda: one.runs and one.runs[0].ended is not None, "the job ends")
        await bench.until_done(one)
        await bench.quiet(one, 8, "a long job is done when it is done")
    same(len(one.runs), 1, "how often it ran")


@scenario("G36", needs=("extension",))
async def a_context_extends_by_hand(bench: Bench) -> None:
    """A handler extends its own reservation."""
    done = []

    async def behave(ran: Ran) -> None:
        assert ran.context is not None
        await ran.context.extend_async()
        done.append(ran.context.cancelled)

    place = bench.place(behave)
    await place.add("x")
    async with place.consuming():
        await bench.until_done(place)
    same(done, [False], "whether the run was cancelled")


@scenario("G36", needs=("extension",))
async def what_waits_in_the_buffer_is_kept(bench: Bench) -> None:
    """Messages that a busy consumer has reserved and not begun are extended too: each runs once."""
    timeout = bench.long(6)

    async def behave(_: Ran) -> None:
        await asyncio.sleep(timeout * 2 / 3)

    place = bench.place(behave, on=bench.process("one"), reservation_timeout=timeout, max_workers=1, buffer_size=8)
    other = bench.place(behave, on=bench.process("two"), like=place, reservation_timeout=timeout, max_workers=1, buffer_size=8)
    await place.add_many(6)
    async with place.consuming():
        await bench.until_runs(place, 1)
        async with other.consuming():
            await bench.until_runs(place, 6)
            await bench.until_done(place)
    same(sorted(place.numbers()), list(range(6)), "the runs")
    same(set(place.attempts), {1}, "the attempts")


@scenario("G38", needs=("extension",))
async def an_extension_under_way_foils_no_acknowledgement(bench: Bench) -> None:
    """Whoever extends and acknowledges at the same time has acknowledged."""
    place = bench.place()
    await place.add_many(3)
    taken = await place.take(3)

    async def extend(reservation: Any) -> None:
        try:
            await place.backend.extend(reservation, bench.seconds(30))
        except Exception as error:  # noqa: BLE001 - it may come too late, and say so
            holds("no longer owned" in str(error) or "owned" in str(error), f"a late extension says that it is late: {error!r}")

    extending = asyncio.gather(*(extend(each) for each in taken))
    answers = await asyncio.gather(*(place.backend.ack([each]) for each in taken))
    await extending
    same([list(answer) for answer in answers], [[True]] * 3, "the answers of the acknowledgements")
    await bench.until_size(place, Size())


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


@scenario("G36", needs=("extension",))
async def an_extension_is_held_for_as_long_as_it_says(bench: Bench) -> None:
    """Whatever was asked for, the message is owned until the end that the extension tells."""
    timeout = bench.long(6)
    place = bench.place(on=bench.process("owner"), reservation_timeout=timeout)
    other = bench.place(on=bench.process("other"), like=place, reservation_timeout=timeout)
    await place.add("x")
    (reservation,) = await place.take()
    began = bench.now()
    extended = await place.backend.extend(reservation, 3 * timeout)
    until = began + extended.expires_at - place.process.clock.monotonic()
    holds(until >= began + timeout - bench.margin, "an extension by more than the timeout is one by the timeout at least")
    while bench.now() < until - bench.margin:
        await other.nothing_comes("it is extended")
        await bench.sleep(0.5)


@scenario("G8", needs=("extension", "waiting"))
async def what_is_extended_is_not_taken_for_lost(bench: Bench) -> None:
    """Who extends a message for several timeouts, and then gives up a wait for others, keeps the one it has."""
    timeout = bench.long(8)
    place = bench.place(reservation_timeout=timeout)
    await place.add("x")
    (reservation,) = await place.take()
    for number in range(12 if bench.virtual else 6):
        if number == 4:
            waiting = asyncio.ensure_future(place.backend.reserve(1, timeout))
            await bench.sleep(0.5)
            waiting.cancel()
            await asyncio.wait([waiting])
        await bench.sleep(timeout / 2 / bench.tick)
        await place.nothing_comes("an extended reservation goes on")
        reservation = await place.backend.extend(reservation, timeout)
    same(list(await place.backend.ack([reservation])), [True], "the answer to its acknowledgement")


@scenario("G36", needs=("extension", "longer_extensions"), long=True)
async def what_is_extended_lasts_for_days(bench: Bench) -> None:
    """A message that is extended every hour is owned for thirty hours, with a reservation of two."""
    timeout = 7200.0
    place = bench.place(on=bench.process("owner"), reservation_timeout=timeout)
    other = bench.place(on=bench.process("other"), like=place, reservation_timeout=timeout)
    await place.add("x")
    (reservation,) = await place.take()
    for _ in range(30):
        await bench.sleep(3600 / bench.tick)
        reservation = await place.backend.extend(reservation, timeout)
        await other.nothing_comes("it is extended")
    same(list(await place.backend.ack([reservation])), [True], "the answer to its acknowledgement")
