"""taskiq on its list broker: asyncio, at most once."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

from probe import URL, done, now
from taskiq_redis import ListQueueBroker

REQUIREMENTS = ["taskiq", "taskiq-redis", "hiredis", "uvloop"]
IMPORT = "import taskiq, taskiq_redis"
VENV = "taskiq"
TASKS = ["noop_async", "sleep_async"]
WORKERS = {
    "32 tasks": {
        "run": "-m taskiq worker peer_taskiq_list:broker --workers 1 --max-async-tasks 32 --max-prefetch 32 --log-level WARNING",
    },
}
SETTINGS = "One worker process, 32 tasks, prefetch 32, no results, uvloop (its default where installed). No bulk call."

broker = ListQueueBroker(URL)


@broker.task(task_name="noop_async")
async def noop_async(_: int) -> None:
    done()


@broker.task(task_name="sleep_async")
async def sleep_async(_: int) -> None:
    started = now()
    await asyncio.sleep(0.001)
    done(started)


@asynccontextmanager
async def sending_async():
    tasks = {"noop_async": noop_async, "sleep_async": sleep_async}

    async def send(task, i):
        await tasks[task].kiq(i)

    await broker.startup()
    yield SimpleNamespace(send=send)
    await broker.shutdown()
