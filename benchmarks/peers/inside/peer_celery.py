"""celery: threads, forked processes or greenlets, lists on Redis by way of kombu."""

import time
from contextlib import contextmanager
from types import SimpleNamespace

from celery import Celery, group
from probe import URL, done, now

REQUIREMENTS = ["celery[redis,gevent]", "hiredis"]
IMPORT = "import celery, kombu.transport.redis; celery.Celery().tasks"
TASKS = ["noop_sync", "sleep_sync"]
WORKERS = {
    "32 threads": {
        "run": "-m celery -A peer_celery worker -P threads -c 32 -l WARNING "
        "--without-gossip --without-mingle --without-heartbeat",
    },
    "prefork 1": {
        "run": "-m celery -A peer_celery worker -P prefork -c 1 -l WARNING --without-gossip --without-mingle --without-heartbeat",
    },
    "prefork 2": {
        "run": "-m celery -A peer_celery worker -P prefork -c 2 -l WARNING --without-gossip --without-mingle --without-heartbeat",
        "processes": 2,
    },
    "gevent 32": {
        "run": "-m celery -A peer_celery worker -P gevent -c 32 -l WARNING --without-gossip --without-mingle --without-heartbeat",
    },
}
JOBS = {"noop": 3000, "sleep": 1500, "enqueue": 2000, "bulk": 2000}
SETTINGS = (
    "task_ignore_result, no result backend, JSON, worker_prefetch_multiplier=64 (its optimizing guide's figure for short tasks), "
    "no gossip, mingle or heartbeat. Bulk is group(...).apply_async(), which still publishes one by one."
)

app = Celery("bench", broker=URL)
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=64, broker_connection_retry_on_startup=True)


@app.task(name="noop_sync")
def noop_sync(_):
    done()


@app.task(name="sleep_sync")
def sleep_sync(_):
    started = now()
    time.sleep(0.001)
    done(started)


@contextmanager
def sending():
    tasks = {"noop_sync": noop_sync, "sleep_sync": sleep_sync}

    def send(task, i):
        tasks[task].delay(i)

    def send_many(task, numbers):
        group(tasks[task].s(i) for i in numbers).apply_async()

    yield SimpleNamespace(send=send, send_many=send_many)
