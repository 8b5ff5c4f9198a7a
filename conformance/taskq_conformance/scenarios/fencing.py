"""Settlements that come too late, or twice: they change nothing, and say so."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from taskq.backends.base import Size
from taskq.message import Reservation
from taskq_conformance.bench import Bench
from taskq_conformance.check import lost, same
from taskq_conformance.place import Place, Ran
from taskq_conformance.scenario import scenario


async def _expired(bench: Bench) -> tuple[Place, Place, Reservation, Reservation]:
    """Return two processes; the reservation of the first has ended, and the second owns the message now."""
    timeout = bench.long(6)
    one = bench.place(on=bench.process("one"), reservation_timeout=timeout)
    two = bench.place(on=bench.process("two"), like=one, reservation_timeout=timeout)
    await one.add("x")
    (late,) = await one.take()
    (owned,) = await two.take()
    return one, two, late, owned


@scenario("G37", needs=("fencing",))
async def a_late_acknowledgement_changes_nothing(bench: Bench) -> None:
    """It answers False, and who owns the message now still does."""
    one, two, late, owned = await _expired(bench)
    same(list(await one.backend.ack([late])), [False], "the late answer")
    await bench.until_size(two, Size(reserved=1))
    same(list(await two.backend.ack([owned])), [True], "the owner's answer")
    await bench.until_done(two)


@scenario("G37", needs=("fencing",))
async def a_late_release_changes_nothing(bench: Bench) -> None:
    """It raises, and the message is neither doubled nor taken from its owner."""
    one, two, late, owned = await _expired(bench)
    await lost(one.backend.release(late, 0.0), "a late release")
    await two.nothing_comes("the message is still owned")
    same(list(await two.backend.ack([owned])), [True], "the owner's answer")
    await bench.until_done(two)
    await two.nothing_comes("a late release leaves no copy", 8)


@scenario("G37", needs=("fencing",))
async def a_late_release_with_a_new_body_changes_nothing(bench: Bench) -> None:
    """A late retry, whose body counts another attempt, raises and leaves no copy either."""
    one, two, late, owned = await _expired(bench)
    changed = msgspec.structs.replace(late, body=one.outgoing("other").body)
    await lost(one.backend.release(changed, bench.seconds(1)), "a late release with another body")
    same(list(await two.backend.ack([owned])), [True], "the owner's answer")
    await bench.until_done(two)
    await two.nothing_comes("a late retry leaves no copy", 8)


@scenario("G37", needs=("fencing", "extension"))
async def a_late_extension_changes_nothing(bench: Bench) -> None:
    """It raises, and the owner keeps the message."""
    one, two, late, owned = await _expired(bench)
    await lost(one.backend.extend(late, bench.seconds(60)), "a late extension")
    same(list(await two.backend.ack([owned])), [True], "the owner's answer")
    await bench.until_done(two)


@scenario("G37", needs=("fencing",))
async def a_late_burial_changes_nothing(bench: Bench) -> None:
    """It raises, and there is no dead letter."""
    one, two, late, owned = await _expired(bench)
    await lost(one.backend.dead_letter(late, "too late"), "a late burial")
    same(list(await two.backend.ack([owned])), [True], "the owner's answer")
    await bench.until_done(two, dead=0)


@scenario("G37", needs=("fencing",))
async def a_late_acknowledgement_of_a_ready_message_changes_nothing(bench: Bench) -> None:
    """Where the reservation ended and nobody has taken the message yet, it answers False and the message stays."""
    timeout = bench.long(6)
    place = bench.place(reservation_timeout=timeout)
    await place.add("x")
    (late,) = await place.take()
    await bench.sleep(timeout / bench.tick + bench.lag_of_expiry(timeout))
    await place.look_after()
    same(list(await place.backend.ack([late])), [False], "the late answer")
    async with place.consuming():
        await bench.until_runs(place, 1)
        await bench.until_done(place)
    same(place.numbers(), ["x"], "the runs")


@scenario("G38", needs=("fencing",))
async def what_is_done_is_not_done_again(bench: Bench) -> None:
    """A second acknowledgement answers False; a release afterwards raises and brings nothing back."""
    place = bench.place()
    await place.add("x")
    (reservation,) = await place.take()
    same(list(await place.backend.ack([reservation])), [True], "the first answer")
    same(list(await place.backend.ack([reservation])), [False], "the second answer")
    await lost(place.backend.release(reservation, 0.0), "a release of what is done")
    await bench.until_done(place)
    await place.nothing_comes("what is done does not come back", 3)


@scenario("G38", needs=("fencing",))
async def what_was_given_back_is_not_owned(bench: Bench) -> None:
    """After a release the old receipt owns nothing: its acknowledgement answers False, and the message runs."""
    place = bench.place()
    await place.add("x")
    (reservation,) = await place.take()
    await place.backend.release(reservation, 0.0)
    same(list(await place.backend.ack([reservation])), [False], "the answer after a release")
    async with place.consuming():
        await bench.until_runs(place, 1)
        await bench.until_done(place)
    same(place.numbers(), ["x"], "the runs")


@scenario("G38", needs=("fencing",))
async def answers_are_given_one_by_one(bench: Bench) -> None:
    """Among several acknowledgements the one that was settled before answers False, the others True."""
    place = bench.place()
    await place.add_many(4)
    taken = await place.take(4)
    await place.backend.ack([taken[1]])
    same(list(await place.backend.ack(taken)), [True, False, True, True], "the answers")
    await bench.until_done(place)


@scenario("G37", needs=("fencing",))
async def a_run_that_was_lost_does_not_count(bench: Bench) -> None:
    """A consumer whose reservation ended while it was cut off settles nothing: the other's run counts, and only once."""
    timeout = bench.seconds(6)
    ended: list[str] = []

    async def behave(ran: Ran) -> None:
        if ran.process == "cut":
            one.process.gate.open = False
            await asyncio.sleep(3 * timeout)
            one.process.gate.open = True
        ended.append(ran.process)

    one = bench.place(behave, on=bench.process("cut", gated=True), reservation_timeout=timeout)
    two = bench.place(behave, on=bench.process("other"), like=one, reservation_timeout=timeout)
    await one.add("x")
    async with one.consuming():
        await bench.until_runs(one, 1)
        async with two.consuming():
            await bench.until(lambda: "other" in ended, "another process runs it")
            await bench.sleep(4 * timeout / bench.tick)
            await bench.until_done(two)
    same([ran.process for ran in one.runs], ["cut", "other"], "where it ran")


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


@scenario("G37")
async def a_run_that_was_lost_has_no_consequences(bench: Bench) -> None:
    """A process that is cut off until others have its message stops its run, and neither fallback nor dead letter comes of it."""
    timeout = bench.seconds(6)

    async def behave(ran: Ran) -> None:
        if ran.process == "cut off":
            place.process.gate.open = False
            await bench.sleep(4000)

    task = {"max_attempts": 1}
    options: dict[str, Any] = {"reservation_timeout": timeout, "task": task, "fallback": lambda _: None}
    place = bench.place(behave, on=bench.process("cut off", gated=True), **options)
    other = bench.place(on=bench.process("other"), like=place, reservation_timeout=timeout, task=task)
    await place.add("once")
    await place.begin()
    await bench.until_runs(place, 1)
    await other.begin()
    await bench.until_runs(place, 2)
    place.process.gate.open = True
    await bench.until(lambda: place.runs[0].ended is not None, "the run that was lost is stopped", ticks=200)
    await bench.quiet(place, 4, "nothing comes of it")
    await bench.until_done(other)
    same([(ran.process, ran.kind) for ran in place.runs], [("cut off", "work"), ("other", "work")], "the runs")


@scenario("G37", needs=("fencing",))
async def a_receipt_is_never_good_again(bench: Bench) -> None:
    """Not even when the message was given back by its next owner, and somebody owns it for the third time."""
    one, two, late, owned = await _expired(bench)
    await two.backend.release(owned, 0.0)
    (last,) = await two.take()
    same(list(await one.backend.ack([late])), [False], "the answer to the first owner")
    same(list(await two.backend.ack([owned])), [False], "the answer to the second owner")
    same(list(await two.backend.ack([last])), [True], "the answer to who owns it")
    await bench.until_done(two)


@scenario("G37", needs=("fencing",))
async def a_late_acknowledgement_among_others_changes_nothing(bench: Bench) -> None:
    """One that comes late together with others says so, and the others count; who has the message now keeps it."""
    one, two, late, owned = await _expired(bench)
    await one.add("other")
    (other,) = await one.take()
    same(list(await one.backend.ack([late, other])), [False, True], "the answers")
    same(list(await two.backend.ack([owned])), [True], "the owner's answer")
    await bench.until_done(two)
