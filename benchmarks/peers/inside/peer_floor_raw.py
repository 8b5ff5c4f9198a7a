"""What is left when the client library goes too: asyncio streams, hiredis to parse and to pack, nothing else.

Acknowledging one batch and asking for the next go out in one write, so a batch of 100 costs one round trip.
"""

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from types import SimpleNamespace
from urllib.parse import urlsplit

import hiredis
import msgpack
import uvloop
from floor import BATCH, BLOCK_MS, CONSUMER, GROUP, SLOTS, STREAM
from probe import URL, done, now

REQUIREMENTS = ["redis[hiredis]", "msgpack", "uvloop"]
IMPORT = "import asyncio, hiredis, msgpack"
VENV = "floor"
TASKS = ["noop_async", "sleep_async"]
WORKERS = {"inline": {"run": "peer_floor_raw.py"}}
JOBS = {"noop": 100_000, "sleep": 20_000, "bulk": 100_000, "enqueue": 10_000, "latency": 300, "idle": 20}
SETTINGS = "asyncio streams and hiredis without redis-py, uvloop; one round trip a batch; otherwise as floor_async."

FETCH = ("XREADGROUP", "GROUP", GROUP, CONSUMER, "COUNT", str(BATCH), "BLOCK", str(BLOCK_MS), "STREAMS", STREAM, ">")


class Connection:
    """For one caller at a time."""

    async def open(self):
        url = urlsplit(URL)
        self.reader, self.writer = await asyncio.open_connection(url.hostname, url.port, limit=2**20)
        self.parser = hiredis.Reader()
        return self

    async def call(self, *commands):
        self.writer.write(b"".join(map(hiredis.pack_command, commands)))
        replies = []
        while len(replies) < len(commands):
            reply = self.parser.gets()
            if reply is False:
                self.parser.feed(await self.reader.read(65536))
            else:
                replies.append(reply)
        return replies


async def noop(_):
    done()


async def sleep(_):
    started = now()
    await asyncio.sleep(0.001)
    done(started)


HANDLERS = {"noop_async": noop, "sleep_async": sleep}


def acknowledgement(ids):
    return ("XACK", STREAM, GROUP, *ids), ("XDEL", STREAM, *ids)


class Worker:
    def __init__(self, reading, settling):
        self.reading, self.settling = reading, settling
        self.slots = asyncio.Semaphore(SLOTS)
        self.batches = deque()  # ids and tasks of those that still run
        self.wake = asyncio.Event()

    async def work(self):
        await self.reading.call(("XGROUP", "CREATE", STREAM, GROUP, "0", "MKSTREAM"))
        settler = asyncio.create_task(self.settle())
        ids = []
        while not settler.done():
            *_, reply = await self.reading.call(*(acknowledgement(ids) if ids else ()), FETCH)
            ids, running = await self.take(reply[0][1] if reply else ())
            if running:
                self.batches.append((ids, running))
                self.wake.set()
                ids = []

    async def take(self, entries):
        ids, running = [], []
        for entry_id, fields in entries:
            ids.append(entry_id)
            name, argument = msgpack.unpackb(fields[1])
            handler = HANDLERS[name]
            if handler is noop:
                await handler(argument)
            else:
                await self.slots.acquire()
                running.append(asyncio.create_task(self.run(handler, argument)))
        return ids, running

    async def run(self, handler, argument):
        try:
            await handler(argument)
        finally:
            self.slots.release()

    async def settle(self):
        while True:
            while self.batches:
                ids, running = self.batches.popleft()
                await asyncio.gather(*running)
                await self.settling.call(*acknowledgement(ids))
            self.wake.clear()
            await self.wake.wait()


async def main():
    await Worker(await Connection().open(), await Connection().open()).work()


@asynccontextmanager
async def sending_async():
    connection = await Connection().open()

    async def send(task, i):
        await connection.call(("XADD", STREAM, "*", "m", msgpack.packb((task, i))))

    async def send_many(task, numbers):
        await connection.call(*(("XADD", STREAM, "*", "m", msgpack.packb((task, i))) for i in numbers))

    yield SimpleNamespace(send=send, send_many=send_many)
    connection.writer.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
