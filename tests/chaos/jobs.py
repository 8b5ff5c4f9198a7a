"""The app whose fleet goes through chaos; producers and workers build the same."""

import asyncio
import os
import signal
import threading

import taskq

QUEUE = "chaos"
_LOOK = 0.005


def pause(seconds):
    """Block this thread, as a handler does that does not yield."""
    threading.Event().wait(seconds)


async def wait(seconds):
    """Let time pass, as a handler does that waits for something."""
    await asyncio.wait([asyncio.get_running_loop().create_future()], timeout=seconds)


async def opened(gate):
    """Wait until a test opens a gate, which is a file, for everybody or for this process."""
    while not any(map(os.path.exists, (gate, f"{gate}.{os.getpid()}"))):
        await wait(_LOOK)


def build(url, *, clock=None, **options):
    """Return the app and its queue; a rate limit may have travelled as JSON."""
    if isinstance(options.get("rate_limit"), dict):
        options["rate_limit"] = taskq.RateLimit(**options["rate_limit"])
    app = taskq.App(url, hooks=(), clock=clock)
    queue = app.queue(QUEUE, **options)

    @queue.task(name="work")
    async def work(number: int, seconds: float) -> None:
        if seconds:
            await wait(seconds)

    @queue.task(name="large")
    async def large(number: int, load: bytes) -> None:
        pass

    @queue.task(name="thread")
    def thread(number: int, seconds: float) -> None:
        pause(seconds)

    @queue.task(name="block")
    async def block(seconds: float) -> None:
        pause(seconds)

    @queue.task(name="spin")
    async def spin(seconds: float) -> None:
        end = app.clock.monotonic() + seconds
        while app.clock.monotonic() < end:
            pass

    @queue.task(name="gated")
    async def gated(gate: str) -> None:
        await opened(gate)

    @queue.task(name="flaky", max_attempts=9, min_backoff=0.05, max_backoff=0.1)
    async def flaky(context: taskq.Context, gate: str, times: int) -> None:
        if gate:
            await opened(gate)
        if context.attempt <= times:
            raise ValueError(gate)

    @queue.task(name="later")
    async def later(context: taskq.Context, seconds: float) -> None:
        if context.attempt == 1:
            raise taskq.Retry(after=seconds)

    @queue.task(name="doomed", max_attempts=1)
    async def doomed(gate: str) -> None:
        await opened(gate)
        raise ValueError(gate)

    @queue.task(name="killer")
    def killer() -> None:
        pause(1.0)  # in which others settle what they have finished
        os.kill(os.getpid(), signal.SIGKILL)
        pause(60.0)

    return app, queue
