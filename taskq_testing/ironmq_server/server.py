"""A server in a thread of this process, for the time of a `with` block; and the one that `__main__` runs in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar
from urllib.parse import quote

from taskq_testing.ironmq_server.driver import Clock, Driver, ManualClock
from taskq_testing.ironmq_server.http import Connection
from taskq_testing.ironmq_server.options import Options
from taskq_testing.ironmq_server.service import Service
from taskq_testing.ironmq_server.values import Answer, Request

__all__ = ["IronMQServer", "Listener", "ironmq_server"]

T = TypeVar("T")

HOST = "127.0.0.1"
_REMEMBERED = 10_000


class Listener:
    """A listening socket and its connections, on the event loop that runs.

    Args:
        driver: what answers.
        record: told each request and its answer.
    """

    def __init__(self, driver: Driver, record: Callable[[Request, Answer], object] | None = None) -> None:
        self._driver = driver
        self._record = record
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> int:
        """Listen and return the port; 0 takes one that is free."""
        self._server = await asyncio.start_server(self._welcome, host, port, backlog=1024)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """End all connections and listen no more."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._driver.close()

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await Connection(self._driver, reader, writer, self._record).run()
        except asyncio.CancelledError:
            pass  # the server stops
        finally:
            self._tasks.discard(task)


class IronMQServer:
    """A server that runs; `ironmq_server` makes one.

    Attributes:
        host: where it listens; loopback unless it was told otherwise.
        port: where it listens.
        token: what clients have to say.
        project: the only project that it has.
        requests: what it was asked last and what it answered, in order; ten thousand of them at most.
    """

    def __init__(self, token: str, project: str, service: Service, clock: Clock | None) -> None:
        self.host, self.port = HOST, 0
        self.token = token
        self.project = project
        self.requests: deque[tuple[Request, Answer]] = deque(maxlen=_REMEMBERED)
        self._service = service
        self._clock = clock
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ironmq-server", daemon=True)

    @property
    def url(self) -> str:
        """The URL for a taskq app, with project and token."""
        return f"ironmq+http://{quote(self.project, safe='')}:{quote(self.token, safe='')}@{self.host}:{self.port}/"

    @property
    def base_url(self) -> str:
        """The URL that paths of the documentation come behind."""
        return f"http://{self.host}:{self.port}/3/projects/{quote(self.project, safe='')}"

    def look(self, at: Callable[[Service], T]) -> T:
        """Call a function with the service, in the server's thread, and return its result."""

        async def call() -> T:
            return at(self._service)

        return self._wait(call())

    def advance(self, seconds: float) -> None:
        """Let time pass; for a server with a manual clock."""

        async def advance() -> None:
            self._driver.advance(seconds)

        self._wait(advance())

    def _start(self) -> None:
        self._thread.start()
        self.port = self._wait(self._listen())

    async def _listen(self) -> int:
        self._driver = Driver(self._service, self._clock)
        self._listener = Listener(self._driver, lambda request, answer: self.requests.append((request, answer)))
        return await self._listener.start(self.host, 0)

    def _stop(self) -> None:
        self._wait(self._listener.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


@contextlib.contextmanager
def ironmq_server(
    *,
    token: str = "token",  # noqa: S107 - of a server on loopback that holds nothing but tests
    project: str = "project",
    options: Options | None = None,
    manual: bool = False,
    seed: int | None = 0,
) -> Iterator[IronMQServer]:
    """Run a server on a free port of the loopback interface for the time of a `with` block.

    Args:
        token: what clients have to say.
        project: the only project that it has.
        options: what the sources leave open.
        manual: whether its time stands still but for `advance`.
        seed: where ids begin; None for somewhere else each time.
    """
    service = Service(token=token, project=project, options=options, seed=seed)
    server = IronMQServer(token, project, service, ManualClock() if manual else None)
    server._start()  # noqa: SLF001 - of this module
    try:
        yield server
    finally:
        server._stop()  # noqa: SLF001
