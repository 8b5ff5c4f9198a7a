"""Names: what was accepted under one is not accepted again while it is remembered."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence
from typing import Any

from taskq.backends.base import Outgoing, Size
from taskq.core.dedup import Claim
from taskq.errors import BackendError, BackendUnavailable, DuplicateMessageError, MessageTooLarge
from taskq_conformance.bench import Bench
from taskq_conformance.check import holds, same
from taskq_conformance.scenario import scenario


@scenario("G23", needs=("dedup",))
async def a_name_is_accepted_once(bench: Bench) -> None:
    """The second message of a name is told to be a duplicate, and only the first runs."""
    place = bench.place()
    first, second = await place.add(1, name="n"), await place.add(2, name="n")
    same((first.duplicate, second.duplicate), (False, True), "which is a duplicate")
    await bench.until_size(place, Size(ready=1))
    async with place.consuming():
        await bench.until_runs(place, 1)
        await bench.until_done(place)
        await bench.quiet(place, 3, "a duplicate does not run")
    same(place.numbers(), [1], "the runs")


@scenario("G23", needs=("dedup",))
async def a_name_stays_taken_after_the_run(bench: Bench) -> None:
    """That its message is done frees no name."""
    place = bench.place()
    await place.add(1, name="n")
    async with place.consuming():
        await bench.until_runs(place, 1)
        await bench.until_done(place)
    same((await place.add(2, name="n")).duplicate, True, "whether the name is still taken")


@scenario("G23", needs=("dedup",))
async def a_duplicate_changes_nothing(bench: Bench) -> None:
    """A duplicate with a shorter delay makes the first message no earlier."""
    place = bench.place()
    began = bench.now()
    await place.add(1, name="n", delay=bench.seconds(6))
    same((await place.add(2, name="n")).duplicate, True, "whether the second is a duplicate")
    async with place.consuming():
        await bench.until_runs(place, 1)
    same(place.numbers(), [1], "the runs")
    holds(place.runs[0].at - began >= bench.seconds(6), "the first message keeps its delay")


@scenario("G23", needs=("dedup",))
async def plain_messages_are_no_duplicates(bench: Bench) -> None:
    """Without a name, equal messages are all accepted."""
    place = bench.place()
    results = [await place.add("same") for _ in range(4)]
    same([result.duplicate for result in results], [False] * 4, "which are duplicates")
    await bench.until_size(place, Size(ready=4))


@scenario("G23", needs=("dedup",))
async def names_are_known_to_other_processes(bench: Bench) -> None:
    """A name that one process took is taken for another."""
    place = bench.place(on=bench.process("one"))
    other = bench.place(on=bench.process("two"), like=place)
    await place.add(1, name="n")
    same((await other.add(2, name="n")).duplicate, True, "whether it is taken for the other process")


@scenario("G24", needs=("dedup",))
async def a_name_is_free_when_its_window_is_over(bench: Bench) -> None:
    """Within the window a name is taken, after it is free, and taken again then."""
    place = bench.place(dedup_window=bench.seconds(8))
    began = bench.now()
    await place.add(1, name="n")
    while bench.now() - began < bench.seconds(6):
        answer = await place.add(2, name="n")
        holds(answer.duplicate or bench.now() - began >= bench.seconds(8), "within its window the name is taken")
        await bench.sleep(2)
    await bench.sleep(8 - (bench.now() - began) / bench.tick + bench.lag + 0.5)
    same((await place.add(3, name="n")).duplicate, False, "whether it is taken after its window")
    same((await place.add(4, name="n")).duplicate, True, "whether it is taken again then")


@scenario("G24", needs=("dedup",))
async def a_refused_duplicate_prolongs_nothing(bench: Bench) -> None:
    """Who tries a name that is taken does not keep it taken."""
    place = bench.place(dedup_window=bench.seconds(6))
    await place.add(1, name="n")
    await bench.sleep(4)
    if not (await place.add(2, name="n")).duplicate:
        holds(bench.elapsed >= bench.seconds(6), "within its window the name is taken")
        return  # the machine was too busy to try again in time
    await bench.sleep(3 + bench.lag)
    same((await place.add(3, name="n")).duplicate, False, "whether the name is taken after its window")


@scenario("G29", needs=("dedup",))
async def a_name_is_taken_until_its_message_may_run(bench: Bench) -> None:
    """With a delay beyond the window the name is taken until the delay is over."""
    place = bench.place(dedup_window=bench.seconds(2))
    began = bench.now()
    await place.add(1, name="n", delay=bench.seconds(9))
    await bench.sleep(6)
    answer = await place.add(2, name="n", delay=bench.seconds(9))
    holds(answer.duplicate or bench.now() - began >= bench.seconds(9), "the name is taken while its message waits")


@scenario("G29", needs=("dedup",), long=True)
async def a_name_outlasts_a_day(bench: Bench) -> None:
    """A message that waits for two days keeps its name for two days."""
    place = bench.place()
    await place.add(1, name="n", delay=172_800.0)
    await bench.sleep(100_000 / bench.tick)
    same((await place.add(2, name="n", delay=172_800.0)).duplicate, True, "whether it is taken after 28 hours")


@scenario("G26", needs=("dedup",))
async def of_many_at_once_one_is_accepted(bench: Bench) -> None:
    """Twelve producers of three processes use one name at the same time: one is accepted, and it runs once."""
    place = bench.place(on=bench.process("0"))
    places = [place, *(bench.place(on=bench.process(str(number)), like=place) for number in (1, 2))]
    results = await asyncio.gather(*(places[number % 3].add(number, name="n") for number in range(12)))
    same(sum(result.accepted for result in results), 1, "how many were accepted")
    same(sum(result.duplicate for result in results), 11, "how many were duplicates")
    async with place.consuming():
        await bench.until_runs(place, 1)
        await bench.until_done(place)
        await bench.quiet(place, 3, "no duplicate runs")


@scenario("G28", needs=("dedup",))
async def queues_have_names_of_their_own(bench: Bench) -> None:
    """The same name on another queue is another name."""
    one, two = bench.place(), bench.place()
    await one.add(1, name="n")
    same((await two.add(1, name="n")).duplicate, False, "whether the name is taken on the other queue")


@scenario("G28", needs=("dedup",))
async def tasks_have_names_of_their_own(bench: Bench) -> None:
    """The same name of another task is another name."""
    place = bench.place()

    async def other() -> None:
        """Do nothing."""

    task = place.queue.task(other)
    await place.add(1, name="n")
    answer = await place.queue.enqueue_async(task.message().named("n"))
    same(answer.duplicate, False, "whether the name is taken for the other task")


@scenario("G28", needs=("dedup",))
async def names_that_look_alike_differ(bench: Bench) -> None:
    """Names that differ in case, in a blank, in their kind or only when they are not joined with the task's are different."""
    place = bench.place()
    names: list[str | bytes] = ["a", "A", "a ", "a\x00", "ä", "a\u0308", b"\xff\x00", b"\xff", "bc", "work", "1", "01"]
    for name in names:
        answer = await place.queue.enqueue_async(place.task.message().named(name))
        same(answer.duplicate, False, f"whether {name!r} is taken")
    for name in names:
        answer = await place.queue.enqueue_async(place.task.message().named(name))
        same(answer.duplicate, True, f"whether {name!r} is taken by itself")


@scenario("G27", needs=("dedup",))
async def a_refused_message_leaves_its_name_free(bench: Bench) -> None:
    """A message that is too large takes no name: the corrected one is accepted."""
    place = bench.place(max_message_size=1000, compress_from=None)
    try:
        await place.add("x" * 2000, name="n")
    except MessageTooLarge:
        pass
    else:
        holds(False, "a message that is too large is refused")
    same((await place.add("x", name="n")).duplicate, False, "whether its name was taken")


@scenario("G27", needs=("dedup",))
async def a_send_that_fails_leaves_its_name_free(bench: Bench) -> None:
    """A message that certainly was not added takes no name."""
    process = bench.process("p", gated=True)
    place = bench.place(on=process)
    process.gate.open = False
    try:
        await place.add(1, name="n")
    except BackendUnavailable:
        pass
    else:
        holds(False, "an enqueue that does not get through raises")
    process.gate.open = True
    same((await place.add(2, name="n")).duplicate, False, "whether its name was taken")
    same((await place.add(3, name="n")).duplicate, True, "whether it is taken now")


@scenario("G23", needs=("atomic_dedup",))
async def a_claim_travels_with_its_message(bench: Bench) -> None:
    """The backend itself takes the name with the message: a second send of the key is answered as a duplicate."""
    place = bench.place()
    claim = Claim(f"{place.queue.name}:key".encode(), bench.seconds(50))
    batch = [place.outgoing(1, claim=claim), place.outgoing(2, claim=claim), place.outgoing(3)]
    answers = await place.backend.send(batch)
    kinds = [type(answer) for answer in answers]
    same(kinds, [type(None), DuplicateMessageError, type(None)], "the answers")
    await bench.until_size(place, Size(ready=2))


@scenario("G24", needs=("dedup",))
async def the_store_keeps_a_name_for_its_time(bench: Bench) -> None:
    """The store of names itself: a key is taken for as long as was said, and is free when it is given back."""
    place = bench.place()
    store, key = place.process.broker.dedup, f"{place.queue.name}:store".encode()
    same(await store.claim(key, bench.long(60)), True, "the first claim")
    same(await store.claim(key, bench.long(60)), False, "the second claim")
    await store.unclaim(key)
    same(await store.claim(key, bench.seconds(5)), True, "the claim after it was given back")
    await bench.sleep(5.5 + bench.lag)
    same(await store.claim(key, bench.seconds(5)), True, "the claim after its time")
    await store.unclaim(key)


@scenario("G3", needs=("dedup",))
async def a_duplicate_stops_nothing_behind_it(bench: Bench) -> None:
    """In a batch that holds a duplicate what stands behind it is accepted, and each answer is its own."""
    place = bench.place()
    await place.add("first", name="taken")
    work = place.task.message
    batch = [work(0), work(1).named("taken"), work(2), work(3).named("free"), work(4).named("free"), work(5)]
    results = await place.queue.enqueue_many_async(batch)
    same([result.duplicate for result in results], [False, True, False, False, True, False], "which are duplicates")
    same([result.error for result in results], [None] * 6, "the errors")
    async with place.consuming():
        await bench.until_done(place)
    same(sorted(map(str, place.numbers())), ["0", "2", "3", "5", "first"], "the runs")


@scenario("G3", needs=("dedup",))
async def batches_at_the_same_time_have_their_own_answers(bench: Bench) -> None:
    """Batches that are sent side by side are answered each for itself."""
    place = bench.place()
    await place.add("first", name="taken")

    def batch(number: int) -> list[Any]:
        messages = [place.task.message(number, index) for index in range(5)]
        return [each.named("taken") if index == number else each for index, each in enumerate(messages)]

    answers = await asyncio.gather(*(place.queue.enqueue_many_async(batch(number)) for number in range(5)))
    found = [[result.duplicate for result in each] for each in answers]
    same(found, [[index == number for index in range(5)] for number in range(5)], "which are duplicates")
    await bench.until_size(place, Size(ready=21))


class _Refusing:
    """A backend that refuses messages that say so, as a service may for reasons of its own."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    async def send(self, batch: Sequence[Outgoing]) -> Sequence[Exception | None]:
        """Send what is not to be refused."""
        answers = iter(await self._backend.send([each for each in batch if b"refuse me" not in each.body]))
        return [BackendError("refused, as the suite wants it") if b"refuse me" in each.body else next(answers) for each in batch]


@scenario("G27", needs=("dedup",))
async def a_message_that_the_service_refuses_leaves_its_name_free(bench: Bench) -> None:
    """In a batch of which one is refused that one is told as refused, and its name can be used again."""
    place = bench.place()
    place.queue.backend = _Refusing(place.backend)
    bad, good = place.task.message("refuse me").named("a"), place.task.message("good").named("b")
    results = await place.queue.enqueue_many_async([bad, good])
    same([(each.accepted, each.duplicate) for each in results], [(False, False), (True, False)], "the answers")
    same(isinstance(results[0].error, BackendError), True, "whether the first has an error")
    same((await place.add("again", name="a")).duplicate, False, "whether the refused one's name is taken")
    same((await place.add("again", name="b")).duplicate, True, "whether the accepted one's name is")


@scenario("G28", needs=("dedup",))
async def names_and_tasks_do_not_join(bench: Bench) -> None:
    """Task `a` with the name `bc` is another message than task `ab` with the name `c`, and so are two queues."""
    place, other = bench.place(), bench.place()
    for task, name in (("a", "bc"), ("ab", "c"), ("abc", "name"), ("", "abc")):
        for queue in (place.queue, other.queue):
            answer = await queue.enqueue_async(queue.message(task or "x", 1).named(name))
            same(answer.duplicate, False, f"whether {name!r} of task {task!r} is taken")


@scenario("G28", needs=("dedup",))
async def many_names_do_not_meet(bench: Bench) -> None:
    """Two hundred names are two hundred: each is accepted, and each is a duplicate the second time."""
    place = bench.place()
    for duplicate in (False, True):
        results = await place.queue.enqueue_many_async([place.task.message(n).named(f"name {n}") for n in range(200)])
        same({result.duplicate for result in results}, {duplicate}, "which are duplicates")
    await bench.until_size(place, Size(ready=200))


@scenario("G24", needs=("dedup",))
async def the_name_of_a_delayed_message_lasts_for_its_window(bench: Bench) -> None:
    """Where the delay is shorter than the window, the name is taken until the window is over."""
    place = bench.place(dedup_window=bench.long(60))
    await place.add(1, name="n", delay=bench.seconds(2))
    async with place.consuming():
        await bench.until_runs(place, 1)
        await bench.until_done(place)
        await bench.sleep(3)
    same((await place.add(2, name="n")).duplicate, True, "whether the second is a duplicate")


@scenario("G29", needs=("dedup",))
async def a_name_lasts_until_the_moment_of_its_message(bench: Bench) -> None:
    """The name of a message that is to run at a moment is taken until then, though its window is shorter."""
    place = bench.place(dedup_window=bench.seconds(2))
    moment = dt.datetime.fromtimestamp(place.process.clock.now() + bench.long(60), dt.UTC)
    for duplicate in (False, True):
        result = await place.queue.enqueue_async(place.task.message(1).at(moment).named("n"))
        same(result.duplicate, duplicate, "whether it is a duplicate")
        await bench.sleep(6)
