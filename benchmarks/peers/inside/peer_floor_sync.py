"""The limit for synchronous Python with redis-py on a stream: hand-written, no features, no safety."""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import msgpack
import redis as redis_py
from floor import BATCH, BLOCK_MS, CONSUMER, GROUP, SLOTS, STREAM, entries_of
from probe import URL, done, now

REQUIREMENTS = ["redis[hiredis]", "msgpack", "uvloop"]
IMPORT = "import redis, msgpack"
VENV = "floor"
TASKS = ["noop_sync", "sleep_sync"]
WORKERS = {"inline": {"run": "peer_floor_sync.py"}}
JOBS = {"noop": 100_000, "sleep": 20_000, "bulk": 100_000, "enqueue": 10_000, "latency": 300, "idle": 20}
SETTINGS = (
    "redis-py's blocking client with hiredis; XREADGROUP COUNT 100, one pipelined XACK and XDEL a batch; no-ops in the read "
    "loop, sleeping jobs in 32 threads, batch by batch."
)


def noop(_):
    done()


def sleep(_):
    started = now()
    time.sleep(0.001)
    done(started)


HANDLERS = {"noop_sync": noop, "sleep_sync": sleep}


def take(redis, pool, entries):
    ids, running = [], []
    for entry_id, fields in entries:
        ids.append(entry_id)
        name, argument = msgpack.unpackb(fields[b"m"])
        handler = HANDLERS[name]
        if handler is noop:
            handler(argument)
        else:
            running.append(pool.submit(handler, argument))
    for job in running:
        job.result()
    pipe = redis.pipeline(transaction=False)
    pipe.xack(STREAM, GROUP, *ids)
    pipe.xdel(STREAM, *ids)
    pipe.execute()


def work(redis):
    with contextlib.suppress(redis_py.ResponseError):
        redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    with ThreadPoolExecutor(SLOTS) as pool:
        while True:
            reply = redis.xreadgroup(GROUP, CONSUMER, {STREAM: ">"}, count=BATCH, block=BLOCK_MS)
            if reply:
                take(redis, pool, entries_of(reply))


@contextmanager
def sending():
    redis = redis_py.from_url(URL)

    def send(task, i):
        redis.xadd(STREAM, {"m": msgpack.packb((task, i))})

    def send_many(task, numbers):
        pipe = redis.pipeline(transaction=False)
        for i in numbers:
            pipe.xadd(STREAM, {"m": msgpack.packb((task, i))})
        pipe.execute()

    yield SimpleNamespace(send=send, send_many=send_many)


if __name__ == "__main__":
    work(redis_py.from_url(URL))
