"""Pauses: after failures in a row, and by hand."""

from __future__ import annotations

from typing import Any

from taskq.hooks.base import Hook
from taskq.hooks.events import Paused
from taskq_conformance.bench import Bench
from taskq_conformance.check import between, holds, same
from taskq_conformance.place import Place, Ran
from taskq_conformance.scenario import scenario
from taskq_conformance.scenarios.backoff import failing


def _fails_if_bad(ran: Ran) -> None:
    if ran.args[0] == "bad":
        failing(ran)


def _pausing(bench: Bench, **options: Any) -> Place:
    """Return a queue that pauses after three failures for ten ticks, with one worker."""
    task = {"max_attempts": 50, "min_backoff": 0.0, "max_backoff": 0.0}
    pause = {"pause_threshold": 3, "pause_period": bench.long(10), "max_workers": 1, "max_fetchers": 1}
    return bench.place(_fails_if_bad, task=task, **{**pause, **options})


def _good_task(place: Place) -> list[str]:
    """Register a second task that succeeds, and return where it notes its runs."""
    seen: list[str] = []

    async def good(what: str) -> None:
        seen.append(what)

    place.queue.task(good)
    return seen


async def _sits_out_a_pause(bench: Bench, place: Place) -> None:
    """Let a message fail until its task is paused, and insist that it runs again when the pause is over, and not before."""
    await place.add("bad")
    async with place.consuming():
        await bench.until_runs(place, 3)
        third = place.runs[2].at
        await bench.until(lambda: place.consumer.stats().paused, "the task is paused")
        await bench.quiet(place, 6, "a paused task does not run")
        await bench.until_runs(place, 4)
    between(place.runs[3].at - third, bench.long(10), bench.long(10) + bench.tick + 3 * bench.late, "how long the pause lasted")


@scenario("G30")
async def failures_in_a_row_pause(bench: Bench) -> None:
    """After the threshold nothing runs for the period; then the message is tried again."""
    await _sits_out_a_pause(bench, _pausing(bench))


@scenario("G30")
async def a_paused_task_waits_though_others_run(bench: Bench) -> None:
    """While another task of the queue may run, messages of the paused one wait, and that costs them no attempt."""
    place = _pausing(bench)
    _good_task(place)
    await _sits_out_a_pause(bench, place)
    same(place.attempts[:4], [1, 2, 3, 4], "the attempts")


@scenario("G30")
async def a_pause_costs_no_attempt(bench: Bench) -> None:
    """The attempts go on where they were before the pause."""
    place = _pausing(bench, pause_period=bench.seconds(4))
    await place.add("bad")
    async with place.consuming():
        await bench.until_runs(place, 6)
    same(place.attempts[:6], [1, 2, 3, 4, 5, 6], "the attempts")


@scenario("G30")
async def a_success_ends_the_count(bench: Bench) -> None:
    """Failures that are not in a row pause nothing."""
    place = _pausing(bench, pause_period=bench.seconds(100))
    task = place.queue.task(name="mixed", max_attempts=1)(_fails_if_bad_args)
    async with place.consuming():
        for number in range(9):
            await task.enqueue_async("bad" if number % 3 else "good")
            await bench.until(lambda n=number: _ended(place) > n, "the message runs")  # type: ignore[misc]
        same(place.consumer.stats().paused, {}, "what is paused")


@scenario("G30")
async def a_success_of_another_task_ends_no_count(bench: Bench) -> None:
    """A task that only fails is paused though messages of another one succeed in between."""
    place = _pausing(bench, pause_period=bench.seconds(100))
    seen = _good_task(place)
    bad = place.queue.task(name="bad", max_attempts=1)(_fails_if_bad_args)
    async with place.consuming():
        for number in range(3):
            await place.queue.enqueue_async(place.queue.message("good", "x"))
            await bench.until(lambda n=number: len(seen) > n, "the other task runs")  # type: ignore[misc]
            await bad.enqueue_async("bad")
            await bench.until(lambda n=number: _ended(place) > 2 * n + 1, "the message runs")  # type: ignore[misc]
        same(list(place.consumer.stats().paused), ["bad"], "what is paused")


async def _fails_if_bad_args(what: str) -> None:
    if what == "bad":
        raise ValueError(what)


def _ended(place: Place) -> int:
    stats = place.consumer.stats()
    return stats.processed + stats.fails


@scenario("G31")
async def a_pause_of_a_task_stops_no_other(bench: Bench) -> None:
    """Another task of the queue runs while one is paused."""
    place = _pausing(bench, pause_period=bench.seconds(60))
    seen = _good_task(place)
    await place.add("bad")
    async with place.consuming():
        await bench.until(lambda: place.consumer.stats().paused, "the task is paused")
        await place.queue.enqueue_async(place.queue.message("good", "x"))
        await bench.until(lambda: seen, "the other task runs", ticks=30)
        holds("work" in place.consumer.stats().paused, "the first task is still paused")
    same(seen, ["x"], "the runs of the other task")


@scenario("G31")
async def a_catch_all_that_fails_stops_no_other(bench: Bench) -> None:
    """A pause of the task named "*" is of that task alone, and so is its end by hand."""
    place = _pausing(bench, pause_period=bench.seconds(60))
    seen = _good_task(place)
    place.queue.task(name="*", max_attempts=50, min_backoff=0.0, max_backoff=0.0)(_fails_if_bad_args)
    await place.queue.enqueue_async(place.queue.message("nobody", "bad"))
    async with place.consuming():
        await bench.until(lambda: "*" in place.consumer.stats().paused, "the catch-all is paused")
        await place.queue.enqueue_async(place.queue.message("good", "x"))
        await bench.until(lambda: seen, "another task runs", ticks=30)
        place.consumer.pause("work")
        place.consumer.resume("*")
        same(list(place.consumer.stats().paused), ["work"], "what is paused still")
    same(seen, ["x"], "the runs of the other task")


@scenario("G31")
async def a_pause_of_a_queue_stops_all_of_it(bench: Bench) -> None:
    """With pause_scope="queue" a good task waits as well, and runs when the pause is over."""
    place = _pausing(bench, pause_scope="queue", pause_period=bench.long(8))
    seen = _good_task(place)
    await place.add("bad")
    async with place.consuming():
        await bench.until(lambda: place.consumer.stats().paused, "the queue is paused")
        await place.queue.enqueue_async(place.queue.message("good", "x"))
        await bench.sleep(4)
        same(seen, [], "the runs of the other task during the pause")
        await bench.until(lambda: seen, "the other task runs after the pause")


@scenario("G31")
async def a_pause_of_a_queue_stops_no_other_queue(bench: Bench) -> None:
    """Another queue of the same app is not paused."""
    place, other = _pausing(bench, pause_scope="queue", pause_period=bench.seconds(60)), bench.place()
    await place.add("bad")
    async with place.consuming(), other.consuming():
        await bench.until(lambda: place.consumer.stats().paused, "the queue is paused")
        await other.add("x")
        await bench.until_runs(other, 1)
    same(other.numbers(), ["x"], "the runs of the other queue")


@scenario("G32")
async def a_pause_by_hand_holds_until_it_is_ended(bench: Bench) -> None:
    """Nothing runs between `pause` and `resume`, and everything after it."""
    place = bench.place()
    async with place.consuming() as consumer:
        consumer.pause()
        await place.add("x")
        await bench.quiet(place, 6, "what is paused by hand does not run")
        consumer.resume()
        await bench.until_runs(place, 1)
        await bench.until_done(place)
    same([(ran.args, ran.attempt) for ran in place.runs], [(("x",), 1)], "the runs")


@scenario("G32")
async def a_pause_can_be_ended_early(bench: Bench) -> None:
    """A pause that failures began is ended by hand."""
    place = _pausing(bench, pause_period=bench.seconds(5000))
    await place.add("bad")
    async with place.consuming() as consumer:
        await bench.until(lambda: consumer.stats().paused, "the task is paused")
        consumer.resume()
        await place.add("good")
        await bench.until(lambda: "good" in place.numbers(), "a message runs after the pause was ended")


@scenario("G32")
async def a_stop_does_not_wait_for_a_pause(bench: Bench) -> None:
    """A paused consumer stops at once, and loses nothing."""
    place = _pausing(bench, pause_period=bench.seconds(4000))
    await place.add("bad")
    await place.begin()
    await bench.until(lambda: place.consumer.stats().paused, "the task is paused")
    began = bench.now()
    await place.end()
    between(bench.now() - began, 0.0, bench.seconds(3) if bench.virtual else bench.patience, "how long the stop took")
    size = await place.size()
    same(size.ready + size.delayed + size.reserved, 1, "how many messages are left")


@scenario("G30")
async def a_pause_is_told(bench: Bench) -> None:
    """A hook is told which task is paused and for how long."""
    told: list[Paused] = []

    class Listening(Hook):
        """Notes pauses."""

        def on_pause(self, event: Paused) -> None:
            told.append(event)

    process = bench.process("hooked", hooks=[Listening()])
    place = _pausing(bench, on=process)
    await place.add("bad")
    async with place.consuming():
        await bench.until(lambda: told, "the hook is told")
    same((told[0].queue, told[0].task, told[0].seconds), (place.queue.name, "work", bench.long(10)), "what it was told")


@scenario("G31")
async def a_task_paused_by_hand_stops_no_other(bench: Bench) -> None:
    """A pause of one task by hand leaves the others running."""
    place, ran = bench.place(), []

    @place.queue.task(name="other")
    async def other() -> None:
        ran.append(bench.now())
        bench.tell()

    async with place.consuming():
        place.consumer.pause("work")
        await place.add()
        await place.queue.enqueue_async(other.message())
        await bench.until(lambda: ran, "the other task runs")
        await bench.quiet(place, 2, "the paused task does not run")
        place.consumer.resume("work")
