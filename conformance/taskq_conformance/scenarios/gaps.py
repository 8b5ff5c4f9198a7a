"""What mutants survived once: waking, retries, pauses, limits, batches, names."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from taskq.backends.base import Outgoing, Size
from taskq.errors import BackendError, Retry
from taskq.message import MessageBatch
from taskq.options import Batch, RateLimit
from taskq_conformance.bench import Bench
from taskq_conformance.check import between, holds, same
from taskq_conformance.place import Ran
from taskq_conformance.scenario import scenario
from taskq_conformance.scenarios.backoff import failing
from taskq_conformance.scenarios.payload import noise

# -- waking, waiting


@scenario("G22", needs=("dead_letters",))
async def what_is_put_back_wakes_a_waiting_consumer(bench: Bench) -> None:
    """A dead letter that is put back runs at once, though the consumer was idle."""
    place = bench.place(failing, task={"max_attempts": 1})
    async with place.consuming():
        await place.add("once")
        await bench.until_done(place, dead=1)
        await bench.sleep(2)
        began = bench.now()
        await place.put_back(await place.letters())
        await bench.until_runs(place, 2)
    between(place.runs[1].at - began, 0.0, 2 * bench.late + 0.02 if bench.virtual else bench.patience, "how long it took")


@scenario("G1")
async def a_handler_may_fill_its_own_queue(bench: Bench) -> None:
    """A handler that adds a hundred messages to its own queue, one by one, with one worker, comes to its end."""
    count = 100 if bench.virtual else 20

    async def behave(ran: Ran) -> None:
        if ran.args == ("all",):
            for number in range(count):
                await place.add(number)

    place = bench.place(behave, max_workers=1)
    await place.add("all")
    async with place.consuming():
        await bench.until_runs(place, count + 1)
        await bench.until_done(place)
    same(sorted(ran.args[0] for ran in place.runs[1:]), list(range(count)), "the runs")


# -- retries


@scenario("G17")
async def a_retry_after_a_fraction_is_not_early(bench: Bench) -> None:
    """`Retry(after)` of half a tick waits for half a tick, or as long as the backend's resolution has it."""

    def behave(ran: Ran) -> None:
        if ran.attempt == 1:
            raise Retry(after=bench.seconds(0.5))

    place = bench.place(behave)
    async with place.consuming():
        await place.add()
        await bench.until_runs(place, 2)
    between(place.runs[1].at - place.runs[0].at, bench.seconds(0.5), bench.seconds(1) + 2 * bench.late, "when it came")


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


# -- pauses and limits


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


@scenario("G33", needs=("shared_limits",))
async def what_is_given_back_is_what_was_not_used(bench: Bench) -> None:
    """Of five starts four are given back: four may start then, and no more, at whatever fraction of a second it is."""
    await bench.sleep(0.37)
    place = bench.place()
    limiter, limit = place.process.broker.limiter, _limit(bench, 5)
    key = f"rate:{place.queue.name}"
    grant = await limiter.take(key, limit, 9)
    same(grant.allowed, 5, "how many may start at first")
    await limiter.refund(key, limit, 4, grant)
    same((await limiter.take(key, limit, 9)).allowed, 4, "how many may start when four were given back")
    await bench.sleep(0.37)
    same((await limiter.take(key, limit, 9)).allowed, 0, "how many may start then")


@scenario("G33", needs=("shared_limits",))
async def a_trickle_may_use_the_whole_burst(bench: Bench) -> None:
    """Of a burst of five each message may start as it comes, though a consumer asks for more starts than there are messages."""
    place = bench.place(rate_limit=_limit(bench, 5))
    async with place.consuming():
        for number in range(5):
            await bench.sleep(1)
            began = bench.now()
            await place.add(number)
            await bench.until_runs(place, number + 1)
            most = 2 * bench.late + bench.seconds(1) if bench.virtual else bench.patience
            between(place.runs[-1].at - began, -1.0, most, f"how long message {number} took")


def _limit(bench: Bench, burst: int) -> Any:
    return RateLimit(1, per=bench.seconds(100), burst=burst)


@scenario("G34")
async def a_consumer_runs_no_more_than_its_workers(bench: Bench) -> None:
    """With two workers two handlers run at once, and not three."""
    running: list[int] = []
    most: list[int] = []

    async def behave(_: Ran) -> None:
        running.append(1)
        most.append(len(running))
        await bench.sleep(1)
        running.pop()

    place = bench.place(behave, max_workers=2, min_workers=2)
    await place.add_many(8)
    async with place.consuming():
        await bench.until_done(place)
    same(max(most), 2, "how many ran at once")


# -- batches


@scenario("G53")
async def a_batch_closes_by_its_bytes(bench: Bench) -> None:
    """A batch that would have more bytes than it may is closed before."""
    place, sizes = bench.place(), []

    @place.queue.task(name="together", batch=Batch(size=50, age=bench.seconds(2), bytes=5000))
    async def together(batch: MessageBatch) -> None:
        sizes.append(len(batch))
        bench.tell()

    await place.queue.enqueue_many_async([together.message(noise(2000)) for _ in range(6)])
    async with place.consuming():
        await bench.until(lambda: sum(sizes) == 6, "six messages are handed over")
        await bench.until_done(place)
    holds(max(sizes) <= 2, f"no batch has more than 5,000 bytes: {sizes} messages of 2,000 were handed over")


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


# -- names


@scenario("G25", needs=("dedup",))
async def periods_are_those_of_the_calendar(bench: Bench) -> None:
    """Late in one period and early in the next are two; early and late in one are the same."""
    place, period = bench.place(), bench.seconds(20)
    clock = place.process.clock

    async def until_share(share: float) -> None:
        await bench.sleep((period - clock.now() % period + share * period) / bench.tick)

    async def add() -> bool:
        return (await place.queue.enqueue_async(place.task.message("x").once_in(period))).duplicate

    await until_share(0.2)
    same(await add(), False, "whether the first is a duplicate")
    await bench.sleep(0.5 * period / bench.tick)
    same(await add(), True, "whether a second one of that period is")
    await until_share(0.1)
    same(await add(), False, "whether the first of the next period is")


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
