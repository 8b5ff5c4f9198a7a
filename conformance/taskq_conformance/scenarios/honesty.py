"""What a backend declares, what its profile claims, and what it is."""

from __future__ import annotations

from collections.abc import Sequence

from taskq.backends.base import DeadLetters
from taskq_conformance.bench import Bench
from taskq_conformance.capabilities import Max, Ordering, Unlimited, Window
from taskq_conformance.check import holds, same
from taskq_conformance.scenario import scenario


def _limit(claim: Max | Unlimited) -> float | None:
    return claim.value if isinstance(claim, Max) else None


@scenario("G54")
async def declared_and_claimed_are_the_same(bench: Bench) -> None:
    """The backend declares to the runtime what its profile claims to the suite."""
    declared, claims = bench.place().backend.capabilities, bench.claims
    same(declared.fifo, claims.ordering is Ordering.FIFO, "fifo, against ordering")
    same(declared.max_delay, _limit(claims.delay), "max_delay, against delay")
    same(declared.max_message_size, _limit(claims.payload), "max_message_size, against payload")
    same(declared.dedup, isinstance(claims.dedup, Window) and claims.dedup.atomic, "dedup, against dedup")
    same(declared.max_batch, _limit(claims.batch), "max_batch, against batch")
    same(declared.extend, claims.lacks("extension") is None, "extend, against extension")
    same(declared.durable, claims.lacks("durable") is None, "durable, against durable")
    holds(declared.resolution <= bench.tick, f"the tick of {bench.tick} s is at least the resolution of {declared.resolution} s")


@scenario("G54", needs=("dead_letters",))
async def it_can_do_what_it_claims(bench: Bench) -> None:
    """A backend that claims dead letters that can be looked at has the methods for it."""
    holds(isinstance(bench.place().backend, DeadLetters), "it has dead_letters, redrive and discard")


@scenario("G54")
async def answers_have_the_shape_of_the_protocol(bench: Bench) -> None:
    """As many answers as questions, in sequences; receipts and bodies of reservations are there."""
    place = bench.place()
    answers = await place.backend.send([place.outgoing(number) for number in range(3)])
    holds(isinstance(answers, Sequence) and list(answers) == [None] * 3, f"three answers to three messages: {answers!r}")
    taken = await place.take(3)
    for reservation in taken:
        holds(isinstance(reservation.body, bytes) and isinstance(reservation.id, bytes), "bodies and ids are bytes")
        holds(reservation.receipt is not None and reservation.deliveries >= 1, "there is a receipt, and a count of deliveries")
    acked = await place.backend.ack(taken)
    holds(isinstance(acked, Sequence) and list(acked) == [True] * 3, f"three answers to three acknowledgements: {acked!r}")
    same(list(await place.backend.ack([])), [], "the answers to no acknowledgement")


@scenario("G35")
async def a_reservation_says_until_when(bench: Bench) -> None:
    """It ends about one timeout from now, by the process's own clock."""
    place = bench.place(reservation_timeout=bench.seconds(40))
    await place.add("x")
    before = place.process.clock.monotonic()
    (reservation,) = await place.take()
    after = place.process.clock.monotonic()
    holds(
        before + bench.seconds(39) <= reservation.expires_at <= after + bench.seconds(41),
        f"a reservation of {bench.seconds(40):g} s ends {reservation.expires_at - before:g} s from now",
    )
