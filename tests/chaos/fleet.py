"""A fleet that goes through chaos: workers as processes or in a thread, a producer, what they wrote down, and the judgement."""

import asyncio
import contextlib
import threading
import time
from pathlib import Path

import msgspec

from taskq_testing.oracle import judge, judged
from taskq_testing.recording import Journal, Journals, Recorder, gather
from taskq_testing.services import redis_server
from tests.chaos.jobs import QUEUE, build

ROOT = Path(__file__).parents[2]
RECORDED = {"auto-aof-rewrite-percentage": 0}
"""What a server needs so that its append-only file tells all that it did."""

_COUNT = "return redis.call('XLEN', KEYS[1]) + redis.call('ZCARD', KEYS[2])"
STREAM, DELAYED, DEAD = (f"taskq:{{{QUEUE}}}:{suffix}" for suffix in ("stream", "zset", "dead"))


def recorded_server(appendonly="everysec", **config):
    """Return a context manager of a server that writes down what it does."""
    return redis_server(appendonly=appendonly, config=RECORDED | config)


class Fleet:
    """Everything that one chaos test starts.

    Attributes:
        server: its own server.
        journals: what all have written down.
        journal: where the test writes what it does to others.
        app, queue: the producer's, in this process.
    """

    def __init__(self, directory, server, processes, **options):
        self.server = server
        self.options = {"reservation_timeout": 2.0, "reserve_wait": 0.5, "send_timeout": 60.0, **options}
        self.journals = Journals(directory)
        self.journal = Journal(directory, "test")
        self._directory = Path(directory)
        self._processes = processes
        self._count = 0
        self.app, self.queue = self.build("producer")

    def build(self, process, url=None, **more):
        """Return an app and its queue, with all that they do written down."""
        app, queue = build(url or self.server.url, **self.options | more)
        Recorder(self._directory, process).attach(app)
        return app, queue

    def task(self, name):
        """Return a task of the queue."""
        return self.queue.tasks.find(name)

    def gate(self, name):
        """Return the path of a gate that is closed; it opens with `touch`."""
        return self._directory / f"{name}.gate"

    # -- worker processes

    def start(self, *, url=None, wait=True):
        """Start a worker process, and wait until it consumes."""
        self._count += 1
        name = f"worker-{self._count}"
        told = {
            "url": url or self.server.url,
            "directory": str(self._directory),
            "process": name,
            "options": self.options,
        }
        worker = self._processes.python("-m", "tests.chaos.worker", env={"TASKQ_CHAOS": msgspec.json.encode(told).decode()})
        worker.name = name
        if wait:
            self.journals.wait_for("consumer", process=name, outcome="running")
        return worker

    def kill(self, worker):
        """Kill a worker process, and write that down."""
        worker.kill()
        self.died(worker)

    def died(self, worker):
        """Write down that a worker process has died."""
        self.journal.write("crash", process=worker.name)
        self.journals.read()

    def stop(self, *workers):
        """Have workers stop by themselves."""
        for worker in workers:
            self.journals.wait_for("consumer", process=worker.name, outcome="running")  # or the signal would end it
            worker.terminate()
        for worker in workers:
            assert worker.wait() == 0, worker.output

    def pause(self, worker):
        """Freeze a worker process, and write that down."""
        self.journal.write("suspend", process=worker.name)
        worker.pause()

    def resume(self, worker):
        """Let it go on, and write that down."""
        worker.resume()
        self.journal.write("wake", process=worker.name)

    # -- what becomes of it

    @property
    def left(self):
        """How many messages are ready, reserved or delayed."""
        return self.server.cli("EVAL", _COUNT, 2, STREAM, DELAYED)  # in one step, for messages move

    def drain(self, timeout=50.0):
        """Wait until nothing is left; all faults are over."""
        self.journal.write("heal", delay=0.0)
        self.journals.wait(lambda: self.left == 0, timeout=timeout)

    def history(self):
        """Stop writing, and return the history; everything is over."""
        ready, delayed, reserved, dead = self.counts()
        size = {"ready": ready, "delayed": delayed, "reserved": reserved, "dead": dead}
        self.journal.write("size", queue=QUEUE, data=size)
        self.journal.write("rest")
        return gather(self._directory, server=self.server.directory)

    def counts(self):
        """Return how many messages are ready, delayed, reserved and dead."""

        async def size():
            return await self.queue.size()

        found = asyncio.run(size())
        return found.ready, found.delayed, found.reserved, found.dead

    def close(self):
        """Let go of the server."""
        self.app.close()


class Serving:
    """An app that consumes in a thread of its own, for the time of a `with` block."""

    def __init__(self, app):
        self.app = app
        self._loop = None
        self._running = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self):
        async def main():
            self._loop = asyncio.get_running_loop()
            self._running.set()
            async with self.app:
                await self.app.run()

        asyncio.run(main())

    def do(self, coroutine):
        """Run a coroutine on the app's loop and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    def stop(self, timeout=None):
        """Stop consuming and close the app; return the seconds that it took."""
        began = time.monotonic()
        self.do(self.app.stop(timeout))
        self._thread.join(30)
        return time.monotonic() - began

    def __enter__(self):
        self._thread.start()
        self._running.wait(10)
        return self

    def __exit__(self, *exc):
        if self._thread.is_alive():
            with contextlib.suppress(Exception):
                self.stop(0.0)
        self._thread.join(30)


def verdict(history, *expected):
    """Return what the oracle found wrong; the history has to give occasion to judge by the invariants that are expected."""
    missing = set(expected) - judged(history)
    assert not missing, f"the history gives no occasion for {sorted(missing)}"
    return [violation.sentence for violation in judge(history)]
