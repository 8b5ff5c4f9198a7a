"""What mutants survived once: runs that are lost, outcomes that cannot be told at once, long series of attempts."""

from __future__ import annotations

from typing import Any

from taskq.hooks.base import Hook
from taskq.hooks.events import Started
from taskq.message import MessageBatch
from taskq.options import Batch
from taskq_conformance.bench import Bench
from taskq_conformance.check import between, holds, same
from taskq_conformance.place import Ran, gaps
from taskq_conformance.scenario import scenario
from taskq_conformance.scenarios.backoff import failing


@scenario("G16", long=True)
async def the_law_of_the_backoff_has_no_end(bench: Bench) -> None:
    """Of thirty-six attempts each wait after the first is the cap: nothing overflows at the thirtieth, or the thirty-second."""
    task = {"max_attempts": 36, "min_backoff": bench.seconds(1), "max_backoff": bench.seconds(2)}
    place = bench.place(failing, task=task, pause_threshold=0)
    await place.add()
    async with place.consuming():
        await bench.until_runs(place, 36)
    for number, wait in enumerate(gaps([ran.at for ran in place.runs]), start=1):
        law = bench.seconds(1 if number == 1 else 2)
        between(wait, law, law + 2 * bench.late, f"the wait after attempt {number}")
    same(place.attempts, list(range(1, 37)), "the attempts")


@scenario("G28", needs=("dedup",))
async def names_and_tasks_do_not_join(bench: Bench) -> None:
    """Task `a` with the name `bc` is another message than task `ab` with the name `c`, and so are two queues."""
    place, other = bench.place(), bench.place()
    for task, name in (("a", "bc"), ("ab", "c"), ("abc", "name"), ("", "abc")):
        for queue in (place.queue, other.queue):
            answer = await queue.enqueue_async(queue.message(task or "x", 1).named(name))
            same(answer.duplicate, False, f"whether {name!r} of task {task!r} is taken")


@scenario("G53")
async def the_first_of_a_batch_may_fail(bench: Bench) -> None:
    """Of three messages that are handed over together the one that stood first fails, and it alone is tried again."""
    place = bench.place()
    seen: list[list[Any]] = []

    @place.queue.task(name="together", batch=Batch(size=3, age=bench.seconds(3)), min_backoff=bench.tick, max_backoff=bench.tick)
    async def together(batch: MessageBatch) -> None:
        seen.append([message.args[0] for message in batch])
        if len(seen) == 1:
            batch.fail(batch[0], ValueError("the first"))
        bench.tell()

    await place.queue.enqueue_many_async([place.queue.message("together", number) for number in range(3)])
    async with place.consuming():
        await bench.until(lambda: sum(map(len, seen)) >= 4, "one comes again")
        await bench.until_done(place)
    same(seen[-1], [seen[0][0]], "what came again")


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


async def _settled_while_cut_off(bench: Bench, *, fails: bool) -> list[Ran]:
    """Let a handler end while its process is cut off for two ticks, and return the runs when all is settled."""

    def behave(ran: Ran) -> None:
        if len(place.runs) == 1:
            place.process.gate.open = False
        if fails and len(place.runs) == 1:
            raise ValueError(ran.attempt)

    timeout = bench.seconds(30)
    place = bench.place(behave, on=bench.process("a", gated=True), reservation_timeout=timeout)
    await place.add()
    async with place.consuming():
        await bench.until_runs(place, 1)
        await bench.sleep(2)
        place.process.gate.open = True
        if fails:
            await bench.until_runs(place, 2)
        await bench.until_done(place)
        if bench.virtual:
            await bench.quiet(place, 2 * timeout / bench.tick, "what is settled stays settled")
    return place.runs


@scenario("G38")
async def a_success_is_told_when_the_service_is_back(bench: Bench) -> None:
    """A handler that succeeds while its process is cut off for a moment is not run again."""
    runs = await _settled_while_cut_off(bench, fails=False)
    same(len(runs), 1, "how many runs there were")


@scenario("G16")
async def a_failure_is_told_when_the_service_is_back(bench: Bench) -> None:
    """A handler that fails while its process is cut off has its second attempt soon after, not when its reservation ends."""
    runs = await _settled_while_cut_off(bench, fails=True)
    same([ran.attempt for ran in runs], [1, 2], "the attempts")
    holds(runs[1].at - runs[0].at < bench.seconds(25), f"the second attempt is soon: after {runs[1].at - runs[0].at:.3g} s")
