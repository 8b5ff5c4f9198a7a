"""Processes that die, seen from the service: from one moment on nothing of theirs arrives."""

from __future__ import annotations

import asyncio

from taskq.backends.base import Outgoing, Size
from taskq_conformance.bench import Bench
from taskq_conformance.check import between, holds, same
from taskq_conformance.place import Behaviour, Place, Ran
from taskq_conformance.scenario import scenario


def _two(bench: Bench, timeout: float, behave: Behaviour | None = None) -> tuple[Place, Place]:
    """Return the place of a process that can be killed, and of one that lives."""
    victim = bench.place(behave, on=bench.process("victim", gated=True), reservation_timeout=timeout)
    heir = bench.place(behave, on=bench.process("heir"), like=victim, reservation_timeout=timeout)
    return victim, heir


@scenario("G39")
async def what_ran_in_a_process_that_died_runs_elsewhere(bench: Bench) -> None:
    """A handler whose process is killed is run again by another, when the reservation ends and not before."""
    timeout = bench.long(8)

    async def behave(ran: Ran) -> None:
        if ran.process == "victim":
            await asyncio.sleep(bench.seconds(1000))

    victim, heir = _two(bench, timeout, behave)
    await victim.add("x")
    began = bench.now()
    await victim.begin()
    await bench.until_runs(victim, 1)
    await victim.process.die()
    ended = bench.now()
    async with heir.consuming():
        await bench.until_runs(heir, 2)
        await bench.until_done(heir)
    same([ran.process for ran in heir.runs], ["victim", "heir"], "where it ran")
    # It may have been extended shortly before the end.
    between(heir.runs[1].at, began + timeout, ended + timeout + bench.late_expiry(timeout), "when it ran again")


@scenario("G39")
async def what_a_dead_process_had_reserved_runs_elsewhere(bench: Bench) -> None:
    """Messages that it had reserved and not begun run too, and all of them once."""
    timeout = bench.long(8)

    async def behave(ran: Ran) -> None:
        if ran.process == "victim":
            await asyncio.sleep(bench.seconds(1000))

    victim, heir = _two(bench, timeout, behave)
    await victim.add_many(6)
    await victim.begin()
    await bench.until_runs(victim, 1)
    await bench.sleep(1)
    await victim.process.die()
    async with heir.consuming():
        await bench.until_done(heir)
    same(sorted(ran.args[0] for ran in heir.runs if ran.process == "heir"), list(range(6)), "what ran in the other process")


@scenario("G39")
async def what_was_done_before_the_end_stays_done(bench: Bench) -> None:
    """What the dead process had finished and acknowledged does not run again."""
    victim, heir = _two(bench, bench.seconds(6))
    await victim.add_many(4)
    await victim.begin()
    await bench.until_runs(victim, 4)
    await bench.until_done(victim)
    await victim.process.die()
    async with heir.consuming():
        await bench.quiet(heir, 10, "what is done does not run again")
    same(sorted(heir.numbers()), list(range(4)), "the runs")


@scenario("G39")
async def a_death_between_result_and_acknowledgement_costs_one_run(bench: Bench) -> None:
    """A process that dies after a handler succeeded and before anybody heard of it costs exactly one more run."""

    async def dying(ran: Ran) -> None:
        if ran.process == "victim":
            victim.process.gate.open = False

    victim, heir = _two(bench, bench.seconds(6), dying)
    await heir.add("x")
    await victim.begin()
    await bench.until_runs(victim, 1)
    await bench.sleep(1)
    await victim.process.die()
    async with heir.consuming():
        await bench.until_runs(heir, 2)
        await bench.until_done(heir)
        await bench.quiet(heir, 8, "one death costs one run")
    same([ran.process for ran in heir.runs], ["victim", "heir"], "where it ran")


@scenario("G40", needs=("poison", "dead_letters"))
async def what_kills_its_workers_is_given_up(bench: Bench) -> None:
    """A message that kills every process that takes it becomes a dead letter after so many deliveries; it does not run then."""
    timeout = bench.seconds(5)
    place = bench.place(reservation_timeout=timeout, poison_limit=3)
    await place.add("killer")
    for _ in range(3):
        await place.take()
    async with place.consuming():
        await bench.until_done(place, dead=1)
    same(place.runs, [], "the runs")
    (letter,) = await place.letters()
    holds("without an outcome" in letter.reason, f"the reason says why: {letter.reason}")


@scenario("G40", needs=("poison",))
async def an_outcome_starts_a_new_count(bench: Bench) -> None:
    """Deliveries that ended in an outcome, a failure too, are not counted against a message."""

    def behave(ran: Ran) -> None:
        if ran.attempt < 6:
            raise ValueError(ran.attempt)

    place = bench.place(behave, task={"max_attempts": 10, "min_backoff": 0.0, "max_backoff": 0.0}, poison_limit=2)
    await place.add("x")
    async with place.consuming():
        await bench.until_runs(place, 6)
        await bench.until_done(place, dead=0)
    same(place.attempts, [1, 2, 3, 4, 5, 6], "the attempts")


@scenario("G7", needs=("durable",))
async def messages_outlive_their_producer(bench: Bench) -> None:
    """What a process enqueued before it died is run by another."""
    producer = bench.place(on=bench.process("producer", gated=True))
    await producer.add_many(3)
    await producer.add("later", delay=bench.seconds(3))
    await producer.process.die()
    await producer.process.app.aclose()
    consumer = bench.place(on=bench.process("consumer"), like=producer)
    async with consumer.consuming():
        await bench.until_runs(consumer, 4)
        await bench.until_done(consumer)
    same(sorted(map(str, consumer.numbers())), ["0", "1", "2", "later"], "the runs")


@scenario("G6", needs=("repeated_sends",))
async def a_send_that_is_repeated_adds_once(bench: Bench) -> None:
    """A producer whose answer was lost sends the same message again: it is added once, delayed or not."""
    place = bench.place()
    batch: list[Outgoing] = [place.outgoing("now"), place.outgoing("later", delay=bench.seconds(600))]
    await place.backend.send(batch)
    answers = await place.backend.send(batch)
    same(list(answers), [None, None], "the answers to the second send")
    await bench.until_size(place, Size(ready=1, delayed=1))


@scenario("G39")
async def the_others_go_on(bench: Bench) -> None:
    """While one process is dead the other works on what is new."""
    victim, heir = _two(bench, bench.seconds(200))
    await victim.add("lost for a while")
    await victim.take()
    await victim.process.die()
    async with heir.consuming():
        await heir.add_many(5)
        await bench.until_runs(heir, 5)
        await bench.until_size(heir, Size(reserved=1))
    same(sorted(heir.numbers()), list(range(5)), "the runs")


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


@scenario("G40", needs=("poison", "extension"))
async def an_extension_is_no_outcome_and_no_delivery(bench: Bench) -> None:
    """Deliveries of a message that was extended each time, and forgotten, are counted one by one all the same."""
    timeout = bench.long(5)
    place, counts = bench.place(reservation_timeout=timeout), []
    await place.add("x")
    for _ in range(3):
        (reservation,) = await place.take()
        await place.backend.extend(reservation, timeout)
        counts.append(reservation.deliveries)
    same(counts, [1, 2, 3], "the deliveries")


@scenario("G49", needs=("poison",))
async def what_is_given_back_is_no_poison(bench: Bench) -> None:
    """A message that consumers gave back unfinished, more often than the limit of deliveries, runs all the same."""
    place = bench.place(poison_limit=3)
    await place.add("x")
    for _ in range(10):
        (reservation,) = await place.take()
        await place.backend.release(reservation, 0.0)
    async with place.consuming():
        await bench.until_runs(place, 1)
        await bench.until_done(place)
