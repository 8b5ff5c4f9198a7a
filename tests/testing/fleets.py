"""Apps and scenarios that several tests play: small fleets with every feature of a queue in use."""

import asyncio
import random
from contextlib import suppress

import taskq
from taskq.errors import BackendError


def mixed_app():
    """An app whose one queue uses everything that can go wrong: retries, fallbacks, dedup, delays, sync and async handlers."""
    app = taskq.App()
    queue = app.queue(
        "q",
        reservation_timeout=1.0,
        reserve_wait=0.5,
        reservation_size=4,
        buffer_size=4,
        pause_threshold=2,
        pause_period=0.8,
        dedup_window=2.0,
        worker_limit=4,
        rate_limit=taskq.RateLimit(50, per=1.0, burst=10),
        max_workers=4,
        stop_timeout=5.0,
    )

    @queue.task(max_attempts=4, min_backoff=0.1, max_backoff=0.4)
    async def steady(n: int) -> None:
        await asyncio.sleep(0.05)

    @queue.task(max_attempts=4, min_backoff=0.1, max_backoff=0.4)
    async def lengthy(n: int) -> None:
        await asyncio.sleep(1.3)

    @queue.task(max_attempts=3, min_backoff=0.1, max_backoff=0.4)
    async def fragile(context: taskq.Context, n: int) -> None:
        await asyncio.sleep(0.01)
        if context.attempt < 2:
            raise ValueError(n)

    @queue.task(max_attempts=4, min_backoff=0.1, max_backoff=0.2)
    async def hopeless(n: int) -> None:
        raise KeyError(n)

    @hopeless.fallback
    async def gave_up(message: taskq.Message) -> None:
        pass

    @queue.task(max_attempts=3, min_backoff=0.1)
    def in_thread(n: int) -> None:
        if n % 2:
            raise taskq.Retry(after=0.2)

    return app


async def mixed(world):
    """Twelve messages: plain, lengthy, failing, hopeless, named twice, delayed, synchronous; a worker is restarted meanwhile."""
    queue = world.app.queues["q"]
    messages = [
        queue.message("hopeless", 1),
        queue.message("lengthy", 2),
        queue.message("steady", 3).named("once"),
        queue.message("steady", 4).named("once"),
        queue.message("steady", 5).delayed(0.3),
        queue.message("steady", 6).delayed(1.1),
        queue.message("fragile", 7),
        queue.message("fragile", 8),
        queue.message("hopeless", 9),
        queue.message("in_thread", 10),
        queue.message("in_thread", 12),
    ]

    async def produce():
        for message in messages:
            with suppress(BackendError):
                await queue.enqueue_async(message)
        await world.sleep(1.0)
        with suppress(BackendError):
            await queue.enqueue_async(queue.message("steady", 4).named("once"))

    producing = world.producer("api", produce())
    await world.sleep(0.3)
    await world.processes["worker-1"].restart(timeout=0.1)
    await producing
    await world.drained()


def generated(seed):
    """Return an app, a scenario and a number of workers that are all drawn from a seed."""
    rng = random.Random(f"fleet:{seed}")
    app = taskq.App()
    queues = [_queue(app, f"q{number}", rng) for number in range(rng.choice([1, 1, 2]))]
    plan = [(rng.choice(queues), _message(rng, number)) for number in range(rng.randint(3, 12))]

    async def scenario(world):
        async def produce(share):
            for queue, (task, argument, change) in share:
                with suppress(BackendError):
                    await queue.enqueue_async(change(queue.message(task, argument)))
                await world.sleep(0.01 * world.choose("pause", 3))

        shares = [plan[::2], plan[1::2]] if len(plan) > 6 else [plan]
        producing = [world.producer(f"api-{number}", produce(share)) for number, share in enumerate(shares)]
        await asyncio.gather(*producing)
        await world.drained()

    return app, scenario, rng.randint(1, 3)


def _queue(app, name, rng):
    queue = app.queue(
        name,
        reservation_timeout=rng.choice([0.5, 1.0, 3.0]),
        reserve_wait=rng.choice([0.2, 1.0]),
        pause_threshold=rng.choice([0, 2, 100]),
        pause_period=0.5,
        pause_scope=rng.choice(["task", "queue"]),
        dedup_window=2.0,
        worker_limit=rng.choice([None, None, 2]),
        rate_limit=rng.choice([None, None, taskq.RateLimit(20, per=1.0, burst=3)]),
        max_workers=rng.choice([1, 4]),
        stop_timeout=2.0,
    )

    @queue.task(max_attempts=3, min_backoff=0.1, max_backoff=1.0)
    async def sleeps(n: int) -> None:
        await asyncio.sleep(0.01 * n)

    @queue.task(max_attempts=3, min_backoff=0.1, max_backoff=1.0, jitter=0.5)
    async def fails(context: taskq.Context, n: int) -> None:
        await asyncio.sleep(0)
        if context.attempt <= n % 4:
            raise ValueError(n)

    @queue.task(max_attempts=2, min_backoff=0.1)
    def blocks(n: int) -> None:
        if n % 3 == 0:
            raise taskq.Retry(after=0.3)

    @queue.task(batch=taskq.Batch(size=3, age=0.2), max_attempts=2, min_backoff=0.1)
    async def gathers(batch: taskq.MessageBatch) -> None:
        await asyncio.gather(*(asyncio.sleep(0.01 * len(message.args)) for message in batch))

    return queue


def _message(rng, number):
    changes = [
        lambda message: message,
        lambda message: message,
        lambda message: message.delayed(0.7),
        lambda message: message.named("one"),
        lambda message: message.once(0.2),
    ]
    return rng.choice(["sleeps", "fails", "blocks", "gathers"]), number, rng.choice(changes)
