"""Reservations that end by themselves."""

from __future__ import annotations

from taskq.backends.base import Size
from taskq.message import Reservation
from taskq_conformance.bench import Bench
from taskq_conformance.check import Broken, between, holds, same
from taskq_conformance.scenario import scenario


@scenario("G35")
async def a_reservation_ends(bench: Bench) -> None:
    """A message that nobody settles can be reserved again when its time is over, and not before."""
    timeout = bench.long(8)
    place = bench.place(reservation_timeout=timeout)
    await place.add("x")
    began = bench.now()
    (first,) = await place.take()
    ended = bench.now()
    while bench.now() < began + timeout - bench.margin:
        await place.nothing_comes("before its reservation ends")
        await bench.sleep(0.5)
    (second,) = await place.take()
    between(bench.now(), began + timeout, ended + timeout + bench.late_expiry(timeout), "when it could be reserved again")
    same(second.body, first.body, "the body that came again")


@scenario("G35")
async def what_is_reserved_is_counted_so(bench: Bench) -> None:
    """While it is owned a message is counted as reserved; afterwards as ready."""
    timeout = bench.long(6)
    place = bench.place(reservation_timeout=timeout)
    await place.add("x")
    await place.take()
    await bench.until_size(place, Size(reserved=1))
    await bench.sleep(timeout / bench.tick + bench.lag_of_expiry(timeout))
    await bench.until_size(place, Size(ready=1))


@scenario("G35")
async def what_expired_runs(bench: Bench) -> None:
    """A message that somebody took and forgot is run by a consumer, once, at its first attempt or its second delivery."""
    place = bench.place(reservation_timeout=bench.seconds(6))
    await place.add("x")
    await place.take()
    async with place.consuming():
        await bench.until_runs(place, 1)
        await bench.until_done(place)
        await bench.quiet(place, 8, "what is done does not come again")
    same(place.numbers(), ["x"], "the runs")


@scenario("G35")
async def each_reservation_has_its_own_end(bench: Bench) -> None:
    """A message that was reserved later is owned for longer."""
    timeout = bench.long(10)
    place = bench.place(reservation_timeout=timeout)
    await place.add("early")
    (early,) = await place.take()
    await bench.sleep(timeout / 2 / bench.tick)
    await place.add("late")
    (late,) = await place.take()
    taken_late = bench.now()
    (again,) = await place.take()
    same(again.body, early.body, "which came first")
    holds(bench.now() < taken_late + timeout or not bench.virtual, "the later one is still owned then")
    (last,) = await place.take()
    same(last.body, late.body, "which came second")


@scenario("G40", needs=("poison",))
async def deliveries_are_counted(bench: Bench) -> None:
    """A message that comes again after its reservation ended says that this is its second delivery, then its third."""
    place = bench.place(reservation_timeout=bench.seconds(5))
    await place.add("x")
    counts = []
    for _ in range(3):
        (reservation,) = await place.take()
        counts.append(reservation.deliveries)
    same(counts, [1, 2, 3], "the deliveries")


@scenario("G9")
async def a_reserve_brings_no_more_than_asked(bench: Bench) -> None:
    """Of ten messages a reserve of three brings three at most; all come in the end."""
    place = bench.place()
    await place.add_many(10)
    taken: list[Reservation] = []
    while len(taken) < 10:
        got = await place.backend.reserve(3, 0.0)
        between(len(got), 0, 3, "how many came where three were asked for")
        taken += got
        holds(bench.elapsed < bench.patience, "all messages come")
        if not got:
            await bench.sleep(0.1)
    same(len({reservation.body for reservation in taken}), 10, "how many different ones came")


@scenario("G8")
async def two_processes_own_different_messages(bench: Bench) -> None:
    """What one process owns another does not get."""
    one = bench.place(on=bench.process("one"))
    two = bench.place(on=bench.process("two"), like=one)
    await one.add_many(6)
    first = await one.take(3)
    second = await two.take(3)
    same(len({reservation.body for reservation in (*first, *second)}), 6, "how many different messages they own")
    await two.nothing_comes("all are owned", 2)
    await one.nothing_comes("all are owned", 2)


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


@scenario("G35")
async def what_expired_comes_though_others_are_ready(bench: Bench) -> None:
    """A message whose reservation ended is had again though there is always another one that is ready."""
    timeout = bench.long(6)
    place = bench.place(reservation_timeout=timeout)
    await place.add("held")
    (held,) = await place.take()
    await bench.sleep(timeout / bench.tick + bench.lag_of_expiry(timeout))
    await place.add_many(3)
    for number in range(50):
        (taken,) = await place.take()
        await place.backend.ack([taken])
        if taken.body == held.body:
            return
        await place.add(number)
    raise Broken("what expired comes again: fifty messages came before it")


@scenario("G9")
async def a_reserve_of_many_brings_no_more_than_asked(bench: Bench) -> None:
    """Of forty messages a reserve of fifteen brings fifteen at most, and one of eleven eleven."""
    place = bench.place()
    await place.add_many(40)
    await bench.until_size(place, Size(ready=40))
    for asked in (15, 11):
        between(len(await place.backend.reserve(asked, 0.0)), 1, asked, f"how many came where {asked} were asked for")
