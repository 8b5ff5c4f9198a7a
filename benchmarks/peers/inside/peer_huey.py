"""huey: threads, a list that is popped; at most once."""

import time
from contextlib import contextmanager
from types import SimpleNamespace

from huey import RedisHuey
from probe import URL, done, now

REQUIREMENTS = ["huey", "redis[hiredis]"]
IMPORT = "from huey import RedisHuey"
TASKS = ["noop_sync", "sleep_sync"]
WORKERS = {
    "4 threads": {"run": "-m huey.bin.huey_consumer peer_huey.huey -k thread -w 4 -n -q"},
    "32 threads": {"run": "-m huey.bin.huey_consumer peer_huey.huey -k thread -w 32 -n -q"},
    "2 processes": {"run": "-m huey.bin.huey_consumer peer_huey.huey -k process -w 2 -n -q", "processes": 2},
}
SETTINGS = "RedisHuey (blocking pop), results=False, nothing periodic, quiet log. No bulk call (map() sends one by one)."

huey = RedisHuey("bench", url=URL, results=False)


@huey.task()
def noop_sync(_):
    done()


@huey.task()
def sleep_sync(_):
    started = now()
    time.sleep(0.001)
    done(started)


@contextmanager
def sending():
    tasks = {"noop_sync": noop_sync, "sleep_sync": sleep_sync}

    def send(task, i):
        tasks[task](i)

    yield SimpleNamespace(send=send)
