"""The limit for asyncio Python with redis-py on a stream: hand-written, no features, no safety."""

import asyncio
import contextlib
import sys
from contextlib import asynccontextmanager
from types import SimpleNamespace

import msgpack
import uvloop
from floor import BATCH, BLOCK_MS, CONSUMER, GROUP, SLOTS, STREAM, entries_of
from probe import URL, done, now
from redis import asyncio as redis_asyncio
from redis.exceptions import ResponseError

REQUIREMENTS = ["redis[hiredis]", "msgpack", "uvloop"]
IMPORT = "import redis.asyncio, msgpack"
VENV = "floor"
TASKS = ["noop_async", "sleep_async"]
WORKERS = {
    "inline": {"run": "peer_floor_async.py"},
    "task per job": {"run": "peer_floor_async.py tasks"},
}
JOBS = {"noop": 100_000, "sleep": 20_000, "bulk": 100_000, "enqueue": 10_000, "latency": 300, "idle": 20}
BACKLOGS = [1_000, 10_000, 100_000, 1_000_000]
SETTINGS = (
    "redis-py asyncio with hiredis, uvloop; XREADGROUP COUNT 100, one pipelined XACK and XDEL a batch. `inline` awaits no-ops in "
    "the loop that reads and runs sleeping jobs as tasks, 32 at once; `task per job` runs every job as a task."
)


async def noop(_):
    done()


async def sleep(_):
    started = now()
    await asyncio.sleep(0.001)
    done(started)


HANDLERS = {"noop_async": noop, "sleep_async": sleep}


class Worker:
    def __init__(self, redis, always_tasks):
        self.redis, self.always_tasks = redis, always_tasks
        self.slots = asyncio.Semaphore(SLOTS)
        self.background = set()

    async def work(self):
        with contextlib.suppress(ResponseError):
            await self.redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        while True:
            reply = await self.redis.xreadgroup(GROUP, CONSUMER, {STREAM: ">"}, count=BATCH, block=BLOCK_MS)
            if reply:
                await self.take(entries_of(reply))

    async def take(self, entries):
        ids, running = [], []
        for entry_id, fields in entries:
            ids.append(entry_id)
            name, argument = msgpack.unpackb(fields[b"m"])
            handler = HANDLERS[name]
            if handler is noop and not self.always_tasks:
                await handler(argument)
            else:
                await self.slots.acquire()
                running.append(asyncio.create_task(self.run(handler, argument)))
        if not running:
            await self.acknowledge(ids, running)
            return
        settling = asyncio.create_task(self.acknowledge(ids, running))  # and read on meanwhile
        self.background.add(settling)
        settling.add_done_callback(self.background.discard)

    async def run(self, handler, argument):
        try:
            await handler(argument)
        finally:
            self.slots.release()

    async def acknowledge(self, ids, running):
        await asyncio.gather(*running)
        pipe = self.redis.pipeline(transaction=False)
        pipe.xack(STREAM, GROUP, *ids)
        pipe.xdel(STREAM, *ids)
        await pipe.execute()


@asynccontextmanager
async def sending_async():
    redis = redis_asyncio.from_url(URL)

    async def send(task, i):
        await redis.xadd(STREAM, {"m": msgpack.packb((task, i))})

    async def send_many(task, numbers):
        pipe = redis.pipeline(transaction=False)
        for i in numbers:
            pipe.xadd(STREAM, {"m": msgpack.packb((task, i))})
        await pipe.execute()

    yield SimpleNamespace(send=send, send_many=send_many)
    await redis.aclose()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Worker(redis_asyncio.from_url(URL), "tasks" in sys.argv).work())
