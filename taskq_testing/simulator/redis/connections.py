"""The client's end of a simulated connection, with the part of redis-py's interface that `taskq.backends.redis.links` uses."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from hiredis import Reader
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from taskq.backends.redis.connections import CONNECT_TIMEOUT, Address, Connector, Opener
from taskq.backends.redis.links import BlockingLink, Link, Links
from taskq_testing.loop.threads import VirtualThreads, in_virtual_thread
from taskq_testing.simulator.redis.commands import Command
from taskq_testing.simulator.redis.wires import Line, Wire, Wires

__all__ = ["BlockingConnection", "Connection", "connector_of", "links_of"]

T = TypeVar("T")

_CONNECT = Command((b"CONNECT",), "connect", "", (), ())


class _Transport(NamedTuple):
    """What stands for a connection's socket."""

    abort: Callable[[], object]


class _Writer(NamedTuple):
    """Where a connection of redis-py keeps its transport."""

    transport: _Transport


class Connection:
    """An asyncio connection. Its hash is its number, so that a set of them has one order in every run."""

    def __init__(self, wires: Wires, line: Line) -> None:
        self.wire = Wire(line)
        self._number = wires.next_number()
        self._wires = wires
        self._news: asyncio.Future[None] | None = None
        self.wire.on_news = self._wake
        self._writer = _Writer(_Transport(self._close))
        self.redis_connect_func: Callable[[Connection], Coroutine[Any, Any, None]] | None = None
        line.wires[self.wire] = None

    async def connect(self) -> None:
        """Connect.

        Raises:
            redis.exceptions.ConnectionError: the server refuses, or the connection broke.
        """
        self._wires.send(self.wire, _CONNECT)
        await self._receive()
        if self.redis_connect_func is not None:
            await self.redis_connect_func(self)

    async def on_connect(self) -> None:
        """Say who we are: here that came with the connection."""

    async def send_packed_command(self, command: Sequence[bytes], check_health: bool = True) -> None:  # noqa: ARG002
        """Send one packed command.

        Raises:
            redis.exceptions.ConnectionError: the connection is closed.
        """
        reader = Reader()
        for part in command:
            reader.feed(part)
        self._send(reader.gets())

    async def send_command(self, *words: bytes | int, check_health: bool = True) -> None:  # noqa: ARG002
        """Send one command; raises what `send_packed_command` does."""
        self._send([word if isinstance(word, bytes) else b"%d" % word for word in words])

    def _send(self, words: Sequence[bytes]) -> None:
        if self.wire.closed:
            raise RedisConnectionError("Connection closed")
        self._wires.send(self.wire, Command.of(words))

    async def read_response(self, *, disable_decoding: bool = False, disconnect_on_error: bool = True) -> Any:  # noqa: ARG002
        """Return the next answer.

        Raises:
            redis.exceptions.RedisError: the answer is an error, or the connection is closed or broke.
        """
        try:
            answer = await self._receive()
        except BaseException:
            if disconnect_on_error:
                await self.disconnect()
            raise
        if isinstance(answer, ResponseError):
            raise answer
        return answer

    async def _receive(self) -> Any:
        """Take what has arrived, which may be an error that is an answer; a reader that is cancelled takes nothing."""
        wire = self.wire
        while not wire.inbox:
            if wire.closed:
                raise RedisConnectionError("Connection closed")
            self._news = self._wires.loop.create_future()
            await self._news
        answer = wire.inbox.popleft()
        if isinstance(answer, RedisConnectionError):  # also what a server says that is still loading
            raise answer
        return answer

    def __hash__(self) -> int:
        return self._number

    __eq__ = object.__eq__

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def disconnect(self, nowait: bool = False) -> None:  # noqa: ARG002
        """Close the connection."""
        self._close()

    def _close(self) -> None:
        if not self.wire.closed:
            self._wires.close(self.wire)
            self._wake()


class BlockingConnection:
    """A connection for threads: in one that a virtual loop schedules it waits, on the loop itself all is done at one instant."""

    def __init__(self, wires: Wires, line: Line) -> None:
        self._connection = Connection(wires, line)
        self._wires = wires
        self._command: Command = _CONNECT

    def connect(self) -> None:
        """Connect; raises what `Connection.connect` does, and TimeoutError."""
        if in_virtual_thread():
            self._wait(self._connection.connect)
        else:
            self._wires.carry(self._connection.wire, _CONNECT)

    def send_packed_command(self, command: Sequence[bytes], check_health: bool = True) -> None:  # noqa: ARG002
        """Send one packed command; raises what `Connection.send_packed_command` does."""
        reader = Reader()
        for part in command:
            reader.feed(part)
        self._command = Command.of(reader.gets())

    def read_response(self, *, disable_decoding: bool = False) -> Any:  # noqa: ARG002
        """Return the next answer; raises what `Connection.read_response` does, and TimeoutError."""
        if in_virtual_thread():
            return self._wait(self._talk)
        answer = self._wires.carry(self._connection.wire, self._command)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _talk(self) -> Any:
        await self._connection.send_command(*self._command.words)
        return await self._connection.read_response()

    def _wait(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async def bounded() -> T:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    return await call()
            except TimeoutError as error:
                raise RedisTimeoutError("Timeout reading from socket") from error

        return VirtualThreads(self._wires.loop, "redis").wait(bounded())

    def disconnect(self) -> None:
        """Close the connection."""
        if not self._connection.wire.closed:
            self._wires.close(self._connection.wire)


class _Nap(threading.Event):
    """How a blocking link waits between two tries; it is never set."""

    def __init__(self, wires: Wires) -> None:
        super().__init__()
        self._wires = wires

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep in virtual time.

        Raises:
            redis.exceptions.ConnectionError: this is the loop's own thread, where time stands still: no use to try again.
        """
        if not in_virtual_thread():
            raise RedisConnectionError("a sync call on the virtual loop cannot wait and try again; await the async one")
        VirtualThreads(self._wires.loop, "redis").wait(asyncio.sleep(timeout or 0.0))
        return False


class _BlockingLink(BlockingLink):
    """The production link, but for its naps."""

    def __init__(self, connector: Connector, wires: Wires) -> None:
        super().__init__(connector)
        self._nap = _Nap(wires)


def connector_of(wires: Wires, line: Line) -> Connector:
    """Return how one process connects to the simulated server."""

    def asynchronous(_address: Address | None) -> Connection:
        return Connection(wires, line)

    def blocking(_address: Address | None) -> BlockingConnection:
        return BlockingConnection(wires, line)

    return Connector("the simulated server", Opener(asynchronous, blocking))


def links_of(wires: Wires) -> Links:
    """Return the production links; the blocking one naps in virtual time."""
    return Links(Link, partial(_BlockingLink, wires=wires), lambda: f"{wires.link().process}:pid:1")
