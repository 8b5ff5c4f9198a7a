"""rq: one job at a time in each process, by default in a fork of its own."""

import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace

from probe import URL, done, now
from redis import Redis
from rq import Queue, SimpleWorker, Worker
from rq.worker_pool import WorkerPool

REQUIREMENTS = ["rq", "redis[hiredis]"]
IMPORT = "import rq"
TASKS = ["noop_sync", "sleep_sync"]
WORKERS = {
    "SimpleWorker, no fork": {"run": "peer_rq.py simple", "jobs": {"noop": 1000, "sleep": 1000}},
    "Worker, fork per job": {"run": "peer_rq.py fork", "jobs": {"noop": 400, "sleep": 200, "latency": 60}},
    "WorkerPool, 2 processes": {"run": "peer_rq.py pool", "jobs": {"noop": 400, "sleep": 200, "latency": 60}, "processes": 2},
}
SETTINGS = (
    "A worker script of our own that imports the jobs before the fork, as rq's notes on performance advise; result_ttl=0 (a job "
    "is deleted on success); bulk is Queue.enqueue_many; logs at WARNING."
)


def noop_sync(_):
    done()


def sleep_sync(_):
    started = now()
    time.sleep(0.001)
    done(started)


@contextmanager
def sending():
    queue = Queue(connection=Redis.from_url(URL))

    def send(task, i):
        queue.enqueue(f"peer_rq.{task}", i, result_ttl=0)

    def send_many(task, numbers):
        queue.enqueue_many([Queue.prepare_data(f"peer_rq.{task}", (i,), result_ttl=0) for i in numbers])

    yield SimpleNamespace(send=send, send_many=send_many)


def work(kind):
    import peer_rq  # noqa: F401, PLC0415 - under its own name, before any fork

    redis = Redis.from_url(URL)
    if kind == "pool":
        WorkerPool(["default"], connection=redis, num_workers=2).start(logging_level="WARNING")
    else:
        {"fork": Worker, "simple": SimpleWorker}[kind](["default"], connection=redis).work(logging_level="WARNING")


if __name__ == "__main__":
    work(sys.argv[1])
