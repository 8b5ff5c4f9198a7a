"""saq: asyncio, acknowledged jobs on Redis lists."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import uvloop
from probe import URL, done, now
from saq import Queue

REQUIREMENTS = ["saq[hiredis]", "typing_extensions", "uvloop"]  # saq 0.26.4 needs the second without declaring it
IMPORT = "import saq, saq.queue.redis"
TASKS = ["noop_async", "sleep_async"]
WORKERS = {"concurrency 32": {"run": "-m saq peer_saq.settings"}}
SETTINGS = "concurrency=32, ttl=-1 (a job is deleted when done), uvloop, logs at WARNING. No bulk call."

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
queue = Queue.from_url(URL)


async def noop_async(_context, *, i):  # noqa: ARG001 - by this name it travels
    done()


async def sleep_async(_context, *, i):  # noqa: ARG001 - by this name it travels
    started = now()
    await asyncio.sleep(0.001)
    done(started)


settings = {"queue": queue, "functions": [noop_async, sleep_async], "concurrency": 32}


@asynccontextmanager
async def sending_async():
    async def send(task, i):
        await queue.enqueue(task, ttl=-1, i=i)

    await queue.connect()
    yield SimpleNamespace(send=send)
    await queue.disconnect()
