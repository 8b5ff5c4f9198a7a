"""streaq: asyncio (anyio), streams."""

from contextlib import asynccontextmanager
from types import SimpleNamespace

import anyio
import coredis
from probe import URL, done, now
from streaq import Worker

REQUIREMENTS = ["streaq", "uvloop"]
IMPORT = "import streaq"
TASKS = ["noop_async", "sleep_async"]
WORKERS = {"concurrency 32": {"run": "-m streaq run peer_streaq:worker"}}
SETTINGS = (
    "concurrency=32, uvloop, coredis.Config.optimized (as in its own benchmark), ttl=0 (no result kept), silent tasks (no log "
    "lines). It reads in the older of its two ways on every server that lacks XREADGROUP MAXCOUNT, as this one does."
)

coredis.Config.optimized = True
worker = Worker(redis_url=URL, concurrency=32, anyio_kwargs={"use_uvloop": True})


@worker.task(ttl=0, silent=True)
async def noop_async(_):
    done()


@worker.task(ttl=0, silent=True)
async def sleep_async(_):
    started = now()
    await anyio.sleep(0.001)
    done(started)


@asynccontextmanager
async def sending_async():
    tasks = {"noop_async": noop_async, "sleep_async": sleep_async}

    async def send(task, i):
        await tasks[task].enqueue(i)

    async def send_many(task, numbers):
        enqueue = tasks[task].enqueue
        await worker.enqueue_many([enqueue(i) for i in numbers])

    async with worker:
        yield SimpleNamespace(send=send, send_many=send_many)
