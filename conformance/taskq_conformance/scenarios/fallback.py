"""What runs when a message has failed for good."""

from __future__ import annotations

import asyncio

from taskq_conformance.bench import Bench
from taskq_conformance.check import holds, same
from taskq_conformance.place import Behaviour, Place, Ran
from taskq_conformance.scenario import scenario
from taskq_conformance.scenarios.backoff import failing


def _fine(ran: Ran) -> None:
    """Do nothing."""


def _once(bench: Bench, fallback: Behaviour = _fine, **task: int) -> Place:
    return bench.place(failing, task={"max_attempts": 2, **task}, fallback=fallback)


@scenario("G20")
async def a_fallback_runs_once(bench: Bench) -> None:
    """After the last attempt the fallback runs once, and nothing is left: no dead letter either."""
    place = _once(bench)
    async with place.consuming():
        await place.add("x")
        await bench.until_runs(place, 3)
        await bench.until_done(place)
        await bench.quiet(place, 6, "after its fallback a message is done")
    same([ran.kind for ran in place.runs], ["work", "work", "fallback"], "what ran")


@scenario("G20")
async def a_fallback_has_the_arguments(bench: Bench) -> None:
    """The fallback is given the arguments, the id and the last attempt of its message."""
    place = _once(bench)
    async with place.consuming():
        result = await place.add("x", b"\x00", [1, None])
        await bench.until_runs(place, 3)
        await bench.until_done(place)
    last = place.runs[-1]
    same(
        (last.args, last.message.id, last.attempt),
        (("x", b"\x00", [1, None]), result.message_id, 2),
        "what the fallback was given",
    )


@scenario("G20")
async def a_success_needs_no_fallback(bench: Bench) -> None:
    """The fallback of a message that succeeds in the end does not run."""

    def behave(ran: Ran) -> None:
        if ran.attempt == 1:
            failing(ran)

    place = bench.place(behave, fallback=_fine)
    async with place.consuming():
        await place.add()
        await bench.until_runs(place, 2)
        await bench.until_done(place)
        await bench.quiet(place, 4, "a message that succeeded has no fallback")
    same([ran.kind for ran in place.runs], ["work", "work"], "what ran")


@scenario("G21", needs=("dead_letters",))
async def a_fallback_that_fails_buries(bench: Bench) -> None:
    """A message whose fallback fails is a dead letter, with both errors in its reason; the fallback runs once."""

    def broken(ran: Ran) -> None:
        raise KeyError(ran.attempt)

    place = _once(bench, broken)
    async with place.consuming():
        await place.add("x")
        await bench.until_runs(place, 3)
        await bench.until_done(place, dead=1)
        await bench.quiet(place, 6, "a dead letter does not run")
    (letter,) = await place.letters()
    holds("ValueError" in letter.reason and "KeyError" in letter.reason, f"the reason tells both errors: {letter.reason}")
    same([ran.kind for ran in place.runs], ["work", "work", "fallback"], "what ran")


@scenario("G20")
async def a_fallback_in_a_thread(bench: Bench) -> None:
    """A synchronous handler with a synchronous fallback: both run in threads, the fallback once."""
    seen: list[tuple[str, str]] = []
    place = bench.place()

    @place.queue.task(name="sync", max_attempts=2, min_backoff=0.0, max_backoff=0.0)
    def work(what: str) -> None:
        seen.append(("work", what))
        raise ValueError(what)

    @work.fallback
    def _(what: str) -> None:
        seen.append(("fallback", what))

    async with place.consuming():
        await work.enqueue_async("x")
        await bench.until(lambda: len(seen) >= 3, "two attempts and a fallback run")
        await bench.until_done(place)
    same(seen, [("work", "x"), ("work", "x"), ("fallback", "x")], "what ran")


@scenario("G20")
async def a_fallback_may_be_of_another_kind(bench: Bench) -> None:
    """A fallback that waits runs for a task that does not, and one that does not for a task that does."""
    place = bench.place()
    seen: list[str] = []

    def blocking(what: str) -> None:
        raise ValueError(what)

    async def waiting(what: str) -> None:
        raise ValueError(what)

    async def fall_back_waiting(what: str) -> None:
        await asyncio.sleep(0)
        seen.append(what)
        bench.tell()

    def fall_back_blocking(what: str) -> None:
        seen.append(what)

    one, two = place.queue.task(max_attempts=1)(blocking), place.queue.task(max_attempts=1)(waiting)
    one.fallback(fall_back_waiting)
    two.fallback(fall_back_blocking)
    await one.enqueue_async("waits")
    await two.enqueue_async("blocks")
    async with place.consuming():
        await bench.until(lambda: len(seen) == 2, "both fallbacks run")
        await bench.until_done(place)
    same(sorted(seen), ["blocks", "waits"], "what ran")
