"""This project, with the defaults that a user gets: only what a cell names is set."""

import asyncio
import os
import time
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace

from probe import URL, done, now

import taskq

REQUIREMENTS = ["-e", "{project}[redis,uvloop]"]
IMPORT = "import taskq, taskq.backends.redis"
TASKS = ["noop_async", "noop_sync", "sleep_async", "sleep_sync"]
WORKERS = {
    "one process": {"run": "-m taskq worker peer_taskq:app"},
    "scaled by load": {"run": "-m taskq worker peer_taskq:app", "env": {"TASKQ_BENCH_SCALED": "1"}},
}
JOBS = {"noop": 100_000, "sleep": 20_000, "bulk": 100_000, "enqueue": 10_000, "latency": 300, "idle": 20}
BACKLOGS = [1_000, 10_000, 100_000, 1_000_000]
SETTINGS = (
    "`taskq worker` with its defaults, but for the 1 ms handlers, whose queue has 32 workers from the start, as their cell says; "
    "`scaled by load` leaves those to the default too, which begins with one worker and looks once a second."
)

app = taskq.App(URL or "memory://")
noops = app.queue("noops")
sleeps = app.queue("sleeps") if "TASKQ_BENCH_SCALED" in os.environ else app.queue("sleeps", min_workers=32, max_workers=32)


@noops.task
async def noop_async(_: int) -> None:
    done()


@noops.task
def noop_sync(_: int) -> None:
    done()


@sleeps.task
async def sleep_async(_: int) -> None:
    started = now()
    await asyncio.sleep(0.001)
    done(started)


@sleeps.task
def sleep_sync(_: int) -> None:
    started = now()
    time.sleep(0.001)
    done(started)


ALL = {"noop_async": noop_async, "noop_sync": noop_sync, "sleep_async": sleep_async, "sleep_sync": sleep_sync}
QUEUES = {"noop_async": noops, "noop_sync": noops, "sleep_async": sleeps, "sleep_sync": sleeps}


@contextmanager
def sending():
    def send(task, i):
        ALL[task].enqueue(i)

    def send_many(task, numbers):
        message = ALL[task].message
        QUEUES[task].enqueue_many(message(i) for i in numbers)

    yield SimpleNamespace(send=send, send_many=send_many)
    app.close()


@asynccontextmanager
async def sending_async():
    async def send(task, i):
        await ALL[task].enqueue_async(i)

    async def send_many(task, numbers):
        message = ALL[task].message
        await QUEUES[task].enqueue_many_async(message(i) for i in numbers)

    yield SimpleNamespace(send=send, send_many=send_many)
    await app.aclose()
