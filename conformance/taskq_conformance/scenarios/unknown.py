"""Messages of tasks that nobody has registered."""

from __future__ import annotations

from taskq.backends.base import Size
from taskq.message import Message
from taskq.wire import envelope
from taskq_conformance.bench import Bench
from taskq_conformance.check import between, holds, same
from taskq_conformance.scenario import scenario


@scenario("G41", needs=("dead_letters",))
async def an_unknown_task_becomes_a_dead_letter(bench: Bench) -> None:
    """After its grace it is put aside with its arguments, and the reason says that nobody knew it."""
    place = bench.place(unknown_delay=bench.seconds(1), unknown_max_delay=bench.seconds(1), unknown_attempts=3)
    await place.queue.enqueue_async(place.queue.message("nobody", 7))
    async with place.consuming():
        await bench.until_done(place, dead=1)
    (letter,) = await place.letters()
    message = envelope.decode(letter.body)
    same((message.task, message.args), ("nobody", (7,)), "the dead letter")
    holds("no consumer knew its task" in letter.reason, f"the reason: {letter.reason}")


@scenario("G41")
async def an_unknown_task_waits(bench: Bench) -> None:
    """Until then it waits, longer each time, and is not dropped."""
    place = bench.place(unknown_delay=bench.seconds(300), unknown_max_delay=bench.seconds(600), unknown_attempts=5)
    await place.queue.enqueue_async(place.queue.message("nobody"))
    async with place.consuming():
        await bench.until_size(place, Size(delayed=1))


@scenario("G41")
async def a_newer_process_runs_it(bench: Bench) -> None:
    """A process that knows the task, such as one of a newer version, runs it after the wait."""
    old = bench.place(on=bench.process("old"), unknown_delay=bench.seconds(4), unknown_max_delay=bench.seconds(4))
    new = bench.place(on=bench.process("new"), like=old)
    seen: list[float] = []

    async def novel() -> None:
        seen.append(bench.now())

    new.queue.task(novel)
    await old.queue.enqueue_async(old.queue.message("novel"))
    began = bench.now()
    async with old.consuming():
        await bench.until_size(old, Size(delayed=1))
        await bench.sleep(0.5)
    async with new.consuming():
        await bench.until(lambda: seen, "the newer process runs it")
        await bench.until_done(new)
    between(seen[0] - began, bench.seconds(3.9), bench.seconds(8) + 2 * bench.late + (0.0 if bench.virtual else bench.patience),
            "when it ran")  # fmt: skip


@scenario("G41")
async def a_catch_all_runs_it(bench: Bench) -> None:
    """A task named "*" is given the messages of all tasks that are not registered."""
    place = bench.place()
    seen: list[tuple[str, tuple[object, ...]]] = []

    async def rest(message: Message) -> None:
        seen.append((message.task, message.args))

    place.queue.task(name="*")(rest)
    await place.queue.enqueue_async(place.queue.message("nobody", 1, "x"))
    await place.add("known")
    async with place.consuming():
        await bench.until(lambda: seen and place.runs, "both run")
        await bench.until_done(place)
    same((seen, place.numbers()), ([("nobody", (1, "x"))], ["known"]), "what ran where")


@scenario("G41")
async def an_unknown_task_holds_up_nothing(bench: Bench) -> None:
    """Other messages run while it waits, and a pause is not begun for it."""
    place = bench.place(unknown_delay=bench.seconds(300), unknown_max_delay=bench.seconds(300), pause_threshold=1, max_workers=1)
    for number in range(3):
        await place.queue.enqueue_async(place.queue.message("nobody", number))
        await place.add(number)
    async with place.consuming():
        await bench.until_runs(place, 3)
        await bench.until_size(place, Size(delayed=3))
        same(place.consumer.stats().paused, {}, "what is paused")
    same(sorted(place.numbers()), [0, 1, 2], "the runs")


@scenario("G41")
async def an_unknown_task_waits_no_longer_than_its_cap(bench: Bench) -> None:
    """A message of an unknown task waits longer each time, up to the cap, so that it is given up when it should be."""
    wait, attempts = bench.seconds(2), 6
    place = bench.place(unknown_delay=wait / 2, unknown_max_delay=wait, unknown_attempts=attempts)
    began = bench.now()
    await place.backend.send([place.outgoing(1, task="nobody knows it")])
    async with place.consuming():
        await bench.until_done(place, dead=1)
    most = attempts * (wait + 2 * bench.late + bench.seconds(0.5)) + (0.0 if bench.virtual else bench.patience)
    between(bench.now() - began, (attempts - 2) * wait, most, "when it was given up")
