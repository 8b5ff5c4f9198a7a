"""The figures of a consumer."""

from __future__ import annotations

import asyncio
from typing import Any

from taskq.hooks.base import Hook
from taskq.hooks.events import Started
from taskq_conformance.bench import Bench
from taskq_conformance.check import between, holds, same
from taskq_conformance.place import Place, Ran
from taskq_conformance.scenario import scenario


@scenario("G52")
async def outcomes_are_counted(bench: Bench) -> None:
    """Five that succeed, two that succeed at the second attempt, one that never does: each is counted once."""

    def behave(ran: Ran) -> None:
        if ran.args[0] == 7 or (ran.args[0] in (5, 6) and ran.attempt == 1):
            raise ValueError(ran.args)

    place = bench.place(behave, task={"max_attempts": 2})
    await place.add_many(8)
    async with place.consuming() as consumer:
        await bench.until_runs(place, 11)
        await bench.until_done(place, dead=1)
        stats = consumer.stats()
    found = {name: getattr(stats, name) for name in ("processed", "retries", "fails", "dead", "lost", "in_flight")}
    same(found, {"processed": 7, "retries": 3, "fails": 1, "dead": 1, "lost": 0, "in_flight": 0}, "the figures")


@scenario("G52")
async def what_runs_is_counted(bench: Bench) -> None:
    """While handlers run they are counted, and what waits for a worker is."""

    async def behave(_: Ran) -> None:
        await gate.wait()

    gate = asyncio.Event()
    place = bench.place(behave, min_workers=2, max_workers=2, reservation_size=10)
    await place.add_many(6)
    async with place.consuming() as consumer:
        await bench.until(lambda: consumer.stats().in_flight == 2, "two handlers run")
        between(consumer.stats().buffered, 0, 4, "how many wait for a worker")
        same(consumer.in_flight, 2, "how many run")
        gate.set()
        await bench.until_runs(place, 6)
        await bench.until_done(place)
        same((consumer.stats().in_flight, consumer.stats().processed), (0, 6), "what runs, and what was done")


@scenario("G52")
async def how_long_handlers_run_is_known(bench: Bench) -> None:
    """The mean and the percentiles of handlers that take two ticks are about two ticks."""

    async def behave(_: Ran) -> None:
        await asyncio.sleep(bench.seconds(2))

    place = bench.place(behave)
    await place.add_many(4)
    async with place.consuming() as consumer:
        await bench.until_runs(place, 4)
        await bench.until_done(place)
        stats = consumer.stats()
    most = bench.seconds(2) * 1.1 if bench.virtual else bench.patience
    for name in ("mean_s", "p50_s", "p99_s"):
        between(getattr(stats, name), bench.seconds(2) * 0.95, most, name)


@scenario("G52")
async def a_dead_letter_is_counted(bench: Bench) -> None:
    """What was put aside is counted as dead in the figures and in the size."""

    def behave(ran: Ran) -> None:
        raise ValueError(ran.args)

    place = bench.place(behave, task={"max_attempts": 1})
    await place.add_many(3)
    async with place.consuming() as consumer:
        await bench.until_done(place, dead=3)
        await bench.until(lambda: consumer.stats().dead == 3, "three are counted as dead")
        same(consumer.stats().fails, 3, "how many failed for good")
    holds((await place.size()).dead == 3, "the size counts them too")


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


class _Owned(Hook):
    """Notes how messages are owned."""

    def __init__(self) -> None:
        self.reservations: list[Any] = []

    def on_start(self, event: Started) -> None:
        """Note it."""
        self.reservations.append(event.reservation)


@scenario("G52", needs=("fencing",))
async def what_was_lost_is_counted(bench: Bench) -> None:
    """A run whose message is settled behind its back counts as lost."""
    hook = _Owned()

    async def behave(_: Ran) -> None:
        await place.backend.ack(hook.reservations)

    place = bench.place(behave, on=bench.process("a", hooks=(hook,)))
    await place.add()
    async with place.consuming() as consumer:
        await bench.until(lambda: consumer.stats().lost == 1, "the run counts as lost")
        await bench.until_done(place)
