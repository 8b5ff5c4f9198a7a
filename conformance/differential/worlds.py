"""Real services whose time can be moved: a server of Redis's, and moto over HTTP. Each brings a backend of a new queue."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
from collections.abc import Coroutine, Iterator
from typing import Any, Protocol, TypeVar
from unittest.mock import patch

from taskq.backends import connect
from taskq.backends.base import Backend
from taskq.options import QueueOptions
from taskq.runtime.clock import SystemClock
from taskq_testing.services import redis_server
from taskq_testing.services.sqs import CREDENTIALS, moto_server

__all__ = ["ManualClock", "World", "sqs", "valkey"]

T = TypeVar("T")

_numbers = itertools.count(1)


class ManualClock(SystemClock):
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 1_800_000_000.0

    def now(self) -> float:
        """Return unix seconds."""
        return self.time

    def monotonic(self) -> float:
        """Return seconds."""
        return self.time


class World(Protocol):
    """One service.

    Attributes:
        name: what it is called.
        unit: seconds of a step of time, much longer than an example takes in real time.
        claims: whether it takes names in one step with the message.
        clock: by which its backends go.
    """

    name: str
    unit: float
    claims: bool
    clock: ManualClock

    def backend(self, options: QueueOptions) -> Backend:
        """Return the backend of a new queue."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of a backend to its end."""

    def advance(self, backend: Any, seconds: float) -> None:
        """Move its time."""


class _World:
    def __init__(self, url: str, store: str | None = None) -> None:
        self.clock = ManualClock()
        self._loop = asyncio.new_event_loop()
        self._broker = connect(url, self.clock, None, store)

    def backend(self, options: QueueOptions) -> Backend:
        return self._broker.queue(f"differential-{next(_numbers)}", options)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)

    def close(self) -> None:
        self.run(self._broker.aclose())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


class _Valkey(_World):
    name, unit, claims = "valkey", 3000.0, True

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._client: Any = importlib.import_module("redis").Redis.from_url(url)

    def advance(self, backend: Any, seconds: float) -> None:
        """Make due times sooner, idle times longer and names shorter."""
        self.clock.time += seconds
        milliseconds = round(seconds * 1000)
        keys, client = backend.keys, self._client
        for member in client.zrange(keys.delayed, 0, -1):
            client.zincrby(keys.delayed, -milliseconds, member)
        for row in self._pending(keys.stream):
            idle = row["time_since_delivered"] + milliseconds
            where = (keys.stream, "taskq", row["consumer"])
            client.xclaim(*where, 0, [row["message_id"]], idle=idle, justid=True)
        for name in client.keys(keys.once(b"") + b"*"):
            left = client.pttl(name) - milliseconds
            client.pexpire(name, left) if left > 0 else client.delete(name)

    def _pending(self, stream: bytes) -> list[dict[str, Any]]:
        errors: Any = importlib.import_module("redis.exceptions")
        try:
            return list(self._client.xpending_range(stream, "taskq", "-", "+", 10_000))
        except errors.ResponseError:  # nothing was reserved yet
            return []

    def close(self) -> None:
        super().close()
        self._client.close()


class _Sqs(_World):
    name, unit, claims = "sqs", 300.0, False

    def advance(self, backend: Any, seconds: float) -> None:  # noqa: ARG002 - moto goes by the clock
        """Move the clock, by which moto goes."""
        self.clock.time += seconds


@contextlib.contextmanager
def valkey() -> Iterator[World]:
    """Run a server of Redis's, the first that is installed, for the time of a `with` block."""
    with redis_server() as server:
        world = _Valkey(server.url)
        try:
            yield world
        finally:
            world.close()


@contextlib.contextmanager
def sqs() -> Iterator[World]:
    """Run moto behind HTTP, by a clock of ours, for the time of a `with` block."""
    with patch.dict("os.environ", CREDENTIALS), moto_server() as server:
        world = _Sqs(f"{server.url}&long_poll=no", "memory://")
        models = importlib.import_module("moto.sqs.models")
        times: dict[str, Any] = {"unix_time": lambda: world.clock.time, "unix_time_millis": lambda: world.clock.time * 1000}
        try:
            with patch.multiple(models, **times):
                yield world
        finally:
            world.close()
