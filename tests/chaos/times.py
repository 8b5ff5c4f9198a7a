"""Old backlogs, clocks that are wrong and jump, and consumers that come and go (rows 15, 28 and 34)."""

import asyncio
import time

from taskq.backends.redis import queue as backend
from taskq.runtime.clock import SystemClock
from tests.chaos.fleet import STREAM, Serving


class SkewedClock(SystemClock):
    """A clock whose time of day is wrong by `skew` seconds; its monotonic time is right, as it is in life."""

    def __init__(self, skew):
        super().__init__()
        self.skew = skew
        self.now = lambda: time.time() + self.skew


def old_backlog(fleet, *, jobs, seconds, age):
    """Have two consumers work through messages that were added so many seconds ago by their ids (row 15)."""
    work = fleet.task("work")
    then = int((time.time() - age) * 1000)
    with Serving(fleet.build("first")[0]), Serving(fleet.build("second")[0]):
        fleet.journals.wait_for("consumer", process="first", outcome="running")
        fleet.journals.wait_for("consumer", process="second", outcome="running")  # so that neither has done all before
        for number in range(jobs):
            message, outgoing = fleet.queue._prepare(work.message(number, seconds))
            for kind in ("add", "accepted"):
                fleet.journal.write(kind, queue="chaos", message=message.id_text, task="work", op=number + 1, delay=0.0)
            fleet.server.cli("XADD", STREAM, f"{then}-{number}", "body", outgoing.body)
        fleet.drain()
    return fleet.history()


def wrong_clocks(fleet, *, jobs, skew):
    """Let clocks be wrong, each by something else, and jump to the other side meanwhile (row 28)."""
    clocks = [SkewedClock(skew), SkewedClock(-skew), SkewedClock(skew)]
    seconds = fleet.options["reservation_timeout"] * 2
    with Serving(fleet.build("fast", clock=clocks[0])[0]), Serving(fleet.build("slow", clock=clocks[1])[0]):
        _, queue = fleet.build("sender", clock=clocks[2])
        work = queue.tasks.find("work")
        queue.enqueue_many(work.message(n, seconds).delayed(0.2 + 0.1 * n).named(f"job {n}") for n in range(jobs))
        fleet.journals.wait_for("start", times=jobs // 2)
        for clock in clocks:
            clock.skew = -clock.skew
        again = queue.enqueue_many(work.message(n, seconds).named(f"job {n}") for n in range(jobs))
        assert all(each.duplicate for each in again)
        fleet.drain()
    return fleet.history()


def comings_and_goings(fleet, *, jobs, rounds):
    """Let consumers begin and stop over and over, and another sweep away who owns nothing, while messages come (row 34).

    Returns:
        the history, and the names of the consumers that were there.
    """
    names = set()

    async def consume(number):
        app, queue = fleet.build(f"guest-{number}")
        names.add(queue.backend.consumer)
        async with app:
            consumer = app.consumer(queue)
            await consumer.start()
            await asyncio.to_thread(fleet.journals.wait, lambda: fleet.journals.counts["end"] >= jobs * number // (rounds + 1))
            await consumer.stop()

    async def sweep(queue, over):
        while not over.is_set():
            await _sweep(queue)
            await asyncio.sleep(0)

    async def main():
        over = asyncio.Event()
        sweeping = asyncio.create_task(sweep(fleet.queue, over))
        work = fleet.task("work")
        await fleet.queue.enqueue_many_async(work.message(n, 0.001) for n in range(jobs))
        for number in range(rounds):
            await consume(number)
        over.set()
        await sweeping

    asyncio.run(main())
    with Serving(fleet.build("last")[0]):
        fleet.drain()
    asyncio.run(_sweep(fleet.queue))  # those who could not say goodbye in time on a busy machine
    return fleet.history(), names


async def _sweep(queue):
    """Have the server forget the consumers that own nothing."""
    await queue.backend._deployment.run(backend.SWEEP, (queue.backend.keys.stream,), backend.GROUP, 0)
