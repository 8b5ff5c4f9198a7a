"""Scenarios for the Redis adapter beside the mixed one, each with the app that it is for."""

import asyncio
from contextlib import suppress
from types import SimpleNamespace

import taskq
from taskq.errors import BackendError
from taskq_testing.faults import Fault
from taskq_testing.loop import current_domain
from tests.testing.fleets import mixed, mixed_app

_stage = SimpleNamespace(world=None, deaths=0)
"""Where a handler finds the world that it is run in, and how often it has died."""


SMALL = {"reservation_timeout": 1.0, "reserve_wait": 0.5, "stop_timeout": 2.0, "pause_period": 0.5, "poison_limit": 3}
"""Short times, for what is lost is waited for as long as a message may take at most."""


def small_app(**options):
    app = taskq.App()
    queue = app.queue("q", **(SMALL | options))

    @queue.task(max_attempts=5, min_backoff=0.1, max_backoff=0.4)
    async def steady(n: int) -> None:
        await asyncio.sleep(0.05 * (n % 3))

    @queue.task(max_attempts=2, min_backoff=0.1)
    async def failing(n: int) -> None:
        await asyncio.sleep(0.9)
        raise ValueError(n)

    @queue.task(max_attempts=5, min_backoff=0.1)
    async def half(n: int) -> None:
        await asyncio.sleep(0.5)

    @queue.task(max_attempts=3, min_backoff=0.1)
    async def deadly(n: int) -> None:
        _stage.deaths += 1
        if _stage.deaths < 6:
            process = _stage.world.processes[current_domain().name]
            asyncio.get_running_loop().call_soon(process.crash, Fault("crash", 0.1))
            await asyncio.sleep(1.0)

    return app


def brief_app():
    """An app whose messages end soon, one way or the other: what is lost for ever is waited for the shortest time."""
    app = taskq.App()
    queue = app.queue("q", **(SMALL | {"reservation_timeout": 0.5, "poison_limit": 1}))

    @queue.task(max_attempts=1)
    async def steady(n: int) -> None:
        await asyncio.sleep(0.4)

    return app


async def _enqueue(queue, task, count, **settings):
    for n in range(count):
        with suppress(BackendError):
            message = queue.message(task, n)
            await queue.enqueue_async(message.delayed(settings["delay"]) if settings else message)


async def failing(world):
    """Messages that fail for good, each in a handler that takes nearly as long as its reservation."""
    await world.producer("api", _enqueue(world.app.queues["q"], "failing", 6))
    await world.drained()


async def deadly(world):
    """A message that kills five workers, among others that kill none."""
    _stage.world, _stage.deaths = world, 0
    await world.producer("api", _enqueue(world.app.queues["q"], "deadly", 1))
    await world.producer("api", _enqueue(world.app.queues["q"], "steady", 3))
    await world.drained()


async def adding(world):
    """Named messages, several at once, each added again by a producer that was told that it was not added."""
    queue = world.app.queues["q"]

    async def add(n):
        for _ in range(3):
            try:
                await queue.enqueue_async(queue.message("steady", n).named(f"name {n}"))
            except BackendError:
                continue
            break

    async def produce(first):
        for n in range(first, first + 15, 3):
            await asyncio.gather(*(add(n + each) for each in range(3)))

    await asyncio.gather(*(world.producer(f"api-{first}", produce(first)) for first in (0, 100)))
    await world.drained()


async def deploying(world):
    """A stream of messages while one worker after the other is stopped and begins again."""

    async def produce():
        for _ in range(40):
            await _enqueue(world.app.queues["q"], "steady", 1)
            await world.sleep(0.05)

    producing = world.producer("api", produce())
    for process in world.processes.values():
        await world.sleep(0.5)
        await process.restart(timeout=0.0)
    await producing
    await world.drained()


async def lengthy(world):
    """Messages whose handlers take half a second each, for some seconds."""

    async def produce():
        for _ in range(10):
            await _enqueue(world.app.queues["q"], "half", 3)
            await world.sleep(0.4)

    await world.producer("api", produce())
    await world.drained()


async def early(world):
    """Messages that are there before anybody consumes, on a server that knows nothing."""
    queue = world.app.queues["q"]
    for process in world.processes.values():
        process.kill()
    await _enqueue(queue, "steady", 3)
    for process in world.processes.values():
        process.start()
    await world.drained()


async def brief(world):
    """A few messages, one after the other."""
    queue = world.app.queues["q"]

    async def produce():
        for _ in range(6):
            await _enqueue(queue, "steady", 1)
            await world.sleep(0.2)

    await world.producer("api", produce())
    await world.drained()


async def purged(world):
    """A queue that is purged while some of it is reserved, some ready and some delayed."""
    queue = world.app.queues["q"]
    await _enqueue(queue, "failing", 3)
    await world.sleep(0.1)
    await _enqueue(queue, "steady", 3, delay=1.0)
    await queue.purge()
    await world.drained()


PLAYS = {
    "mixed": (mixed, mixed_app),
    "failing": (failing, small_app),
    "deadly": (deadly, lambda: small_app(poison_limit=2)),
    "early": (early, brief_app),
    "brief": (brief, brief_app),
    "adding": (adding, small_app),
    "deploying": (deploying, small_app),
    "lengthy": (lengthy, small_app),
    "purged": (purged, small_app),
}
