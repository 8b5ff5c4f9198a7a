"""Beyond the limits that are claimed: run where none is claimed, and otherwise a probe that shows an under-claim."""

from __future__ import annotations

from taskq_conformance.bench import Bench
from taskq_conformance.capabilities import Max, Unlimited, Window
from taskq_conformance.check import between, holds, same
from taskq_conformance.scenario import scenario
from taskq_conformance.scenarios.payload import noise


def _twice(claim: Max | Unlimited, otherwise: float) -> float:
    return claim.value * 2 if isinstance(claim, Max) else otherwise


@scenario("G54", needs=("longer_delays",), long=True)
async def a_long_delay_is_one_step(bench: Bench) -> None:
    """One send keeps a delay of a month, or of twice the claimed limit, whole."""
    place, delay = bench.place(), _twice(bench.claims.delay, 30 * 86400.0)
    began = bench.now()
    await place.backend.send([place.outgoing("long", delay=delay)])
    while (left := began + delay - bench.now()) > 60.0:
        await bench.sleep(min(left - 30.0, 40_000.0) / bench.tick)
        await place.nothing_comes("its delay is not over")
    await place.take(1, patience=200)
    between(bench.now() - began, delay, delay + bench.late + 0.5 * bench.tick, "when it could be reserved")


@scenario("G54", needs=("larger_payloads",))
async def a_huge_message_is_one_message(bench: Bench) -> None:
    """One send takes a message of two million bytes, or of twice the claimed limit, and brings it back whole."""
    place = bench.place()
    outgoing = place.outgoing(noise(int(_twice(bench.claims.payload, 2e6))))
    same(list(await place.backend.send([outgoing])), [None], "the answer")
    (reservation,) = await place.take(1, patience=40)
    holds(reservation.body == outgoing.body, "the body comes back whole")


@scenario("G54", needs=("larger_batches",))
async def a_huge_batch_is_one_call(bench: Bench) -> None:
    """One send, and one acknowledgement, take 150 messages, or twice the claimed limit."""
    place, count = bench.place(), int(_twice(bench.claims.batch, 150))
    answers = await place.backend.send([place.outgoing(number) for number in range(count)])
    same(list(answers), [None] * count, "the answers")
    taken = await place.take(count, patience=400)
    same(list(await place.backend.ack(taken)), [True] * count, "the acknowledgements")
    await bench.until_done(place)


@scenario("G54", needs=("dedup", "longer_windows"), long=True)
async def a_name_is_remembered_for_two_months(bench: Bench) -> None:
    """The store keeps a name for sixty days, or for twice the claimed limit."""
    claim = bench.claims.dedup
    finite = isinstance(claim, Window) and claim.longest < 1e12
    await _remembered(bench, claim.longest * 2 if isinstance(claim, Window) and finite else 60 * 86400.0)


@scenario("G24", needs=("dedup",), long=True)
async def a_name_is_remembered_for_the_longest_window(bench: Bench) -> None:
    """The store keeps a name for as long as is claimed, or for thirty days, and not longer."""
    claim = bench.claims.dedup
    await _remembered(bench, min(claim.longest, 30 * 86400.0) if isinstance(claim, Window) else 0.0)


async def _remembered(bench: Bench, seconds: float) -> None:
    place = bench.place()
    store, key = place.process.broker.dedup, f"{place.queue.name}:long".encode()
    same(await store.claim(key, seconds), True, "the first claim")
    await bench.sleep((seconds - 60.0) / bench.tick)
    same(await store.claim(key, seconds), False, "the claim a minute before the end")
    await bench.sleep(60.0 / bench.tick + bench.lag + 1)
    same(await store.claim(key, seconds), True, "the claim after the end")
