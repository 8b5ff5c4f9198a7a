"""Giving back by hand: the adapter's own part of retries."""

from __future__ import annotations

import msgspec

from taskq_conformance.bench import Bench
from taskq_conformance.check import between, same
from taskq_conformance.scenario import scenario


@scenario("G38")
async def what_is_given_back_comes_again(bench: Bench) -> None:
    """Released without a delay it is ready at once, with the same body."""
    place = bench.place()
    await place.add("x")
    (first,) = await place.take()
    began = bench.now()
    await place.backend.release(first, 0.0)
    (second,) = await place.take()
    same(second.body, first.body, "the body")
    between(bench.now() - began, 0.0, bench.late + bench.tick if bench.virtual else bench.patience, "how long it took")
    await place.nothing_comes("there is one of it", 2)


@scenario("G12")
async def what_is_given_back_with_a_delay_is_not_early(bench: Bench) -> None:
    """Released with a delay it cannot be reserved before, and can in time."""
    place, delay = bench.place(), bench.long(5)
    await place.add("x")
    (first,) = await place.take()
    began = bench.now()
    await place.backend.release(first, delay)
    ended = bench.now()
    while bench.now() < began + delay - bench.margin:
        await place.nothing_comes("before its delay is over")
        await bench.sleep(0.5)
    await place.take()
    between(bench.now(), began + delay, ended + delay + bench.tick / 2 + bench.late, "when it came")


@scenario("G2")
async def a_changed_body_takes_the_place_of_the_old(bench: Bench) -> None:
    """Released with another body it comes with that one, and the old one is gone."""
    place = bench.place()
    await place.add("old")
    (first,) = await place.take()
    body = place.outgoing("new").body
    await place.backend.release(msgspec.structs.replace(first, body=body), 0.0)
    (second,) = await place.take()
    same(second.body, body, "the body")
    await place.nothing_comes("there is one of it", 2)
    same(list(await place.backend.ack([second])), [True], "the acknowledgement")
    await bench.until_done(place)


@scenario("G40", needs=("poison",))
async def a_changed_body_starts_a_new_count(bench: Bench) -> None:
    """A retry is an outcome: the deliveries before it are not counted on."""
    place = bench.place(reservation_timeout=bench.long(5))
    await place.add("x")
    await place.take()
    (second,) = await place.take()
    same(second.deliveries, 2, "the deliveries after one without an outcome")
    body = place.outgoing("next").body
    await place.backend.release(msgspec.structs.replace(second, body=body), 0.0)
    (third,) = await place.take()
    same(third.deliveries, 1, "the deliveries after a retry")


@scenario("G15")
async def a_short_wait_is_not_behind_a_long_one(bench: Bench) -> None:
    """What is given back for a moment is not held up by what was given back for long before it."""
    place = bench.place()
    await place.add_many(2)
    long, short = await place.take(2)
    await place.backend.release(long, bench.seconds(300))
    await place.backend.release(short, bench.seconds(2))
    (taken,) = await place.take(1, patience=100 if bench.virtual else None)
    same(taken.body, short.body, "what comes first")
