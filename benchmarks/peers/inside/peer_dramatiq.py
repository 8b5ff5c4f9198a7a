"""dramatiq: threads, acknowledged jobs on Redis lists."""

import time
from contextlib import contextmanager
from types import SimpleNamespace

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from probe import URL, done, now

REQUIREMENTS = ["dramatiq[redis]", "hiredis"]
IMPORT = "import dramatiq, dramatiq.brokers.redis"
TASKS = ["noop_sync", "sleep_sync"]
WORKERS = {
    "32 threads, prefetch 1000": {
        "run": "-m dramatiq peer_dramatiq --processes 1 --threads 32",
        "env": {"dramatiq_queue_prefetch": "1000"},
    },
    "32 threads": {"run": "-m dramatiq peer_dramatiq --processes 1 --threads 32"},
    "8 threads, prefetch 1000": {
        "run": "-m dramatiq peer_dramatiq --processes 1 --threads 8",
        "env": {"dramatiq_queue_prefetch": "1000"},
    },
    "2 processes x 16 threads": {"run": "-m dramatiq peer_dramatiq --processes 2 --threads 16", "processes": 2},
}
SETTINGS = "Default middleware, no results; prefetch is twice the threads where not said. It has no bulk call."

dramatiq.set_broker(RedisBroker(url=URL))


@dramatiq.actor
def noop_sync(_):
    done()


@dramatiq.actor
def sleep_sync(_):
    started = now()
    time.sleep(0.001)
    done(started)


@contextmanager
def sending():
    actors = {"noop_sync": noop_sync, "sleep_sync": sleep_sync}

    def send(task, i):
        actors[task].send(i)

    yield SimpleNamespace(send=send)
