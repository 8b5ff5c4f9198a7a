"""arq: asyncio, a sorted set that is polled."""

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import uvloop
from arq import create_pool
from arq.connections import RedisSettings
from probe import URL, done, now

REQUIREMENTS = ["arq", "uvloop"]
IMPORT = "import arq"
TASKS = ["noop_async", "sleep_async"]
WORKERS = {
    "tuned": {"run": "-m arq peer_arq.Tuned --custom-log-dict peer_arq.LOGGING"},
    # The gap covers a period of its poll, or each message would just miss it.
    "defaults": {
        "run": "-m arq peer_arq.Defaults --custom-log-dict peer_arq.LOGGING",
        "jobs": {"noop": 1000, "sleep": 1000, "latency": 60},
        "gap": (0.02, 0.52),
    },
}
SETTINGS = (
    "max_jobs=32, keep_result=0, log_results off, uvloop, logs at WARNING. `tuned` also sets poll_delay=0.01 (default 0.5 s) and "
    "queue_read_limit=1000; its docs recommend neither. No bulk call."
)

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
LOGGING = {"version": 1, "disable_existing_loggers": False, "root": {"level": "WARNING"}}
SERVER = RedisSettings.from_dsn(URL)


async def noop_async(_context, _):
    done()


async def sleep_async(_context, _):
    started = now()
    await asyncio.sleep(0.001)
    done(started)


class Defaults:
    functions = (noop_async, sleep_async)
    redis_settings = SERVER
    max_jobs = 32
    keep_result = 0
    log_results = False


class Tuned:  # arq reads no inherited settings
    functions = (noop_async, sleep_async)
    redis_settings = SERVER
    max_jobs = 32
    keep_result = 0
    log_results = False
    poll_delay = 0.01
    queue_read_limit = 1000


@asynccontextmanager
async def sending_async():
    pool = await create_pool(SERVER)

    async def send(task, i):
        await pool.enqueue_job(task, i)

    yield SimpleNamespace(send=send)
    await pool.aclose()
