"""The sockets: one `Link` per event loop, one `BlockingLink` for all threads. They carry steps out, and decide nothing.

A connection on which anything but a whole answer was read is thrown away, so that no answer is ever taken for another's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Any, NamedTuple, TypeVar

from hiredis import pack_command
from redis.exceptions import RedisError

from taskq.backends.redis.connections import Address, Connector
from taskq.backends.redis.errors import Replied, translate
from taskq.backends.redis.routes import Pause, Routes, Step, Steps

__all__ = ["BlockingLink", "Link", "Links", "Rescued"]

T = TypeVar("T")

_ANSWER = 2.0
"""Seconds in which an answer has to come, or more of it: twice as long as a reserve waits, so that the dead are found in time."""

_SLOWEST = 1 << 18
"""Bytes a second of the slowest network that will do; so much longer large requests may take."""

_LATE = 0.8
"""The same for one that the server may take its time for, beyond that time."""

_PARTING = 0.3
"""The same for the end of a wait that nobody needs any more: whoever stops cannot stay for a server that is away."""

_FAILURES = (RedisError, OSError, TimeoutError)
_Place = tuple[Address | None, bool]


def _encoded(step: Step) -> bytes:
    words: bytes = pack_command(step.words)
    return pack_command((b"ASKING",)) + words if step.asking else words


class Rescued(asyncio.CancelledError):
    """A wait was cancelled when its answer was on the way; here it is, so that nothing of it is lost."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer


class Link:
    """Connections of one event loop, closed when that loop shuts down its async generators, as asyncio.run does.

    Args:
        connector: makes them.
        answer: seconds in which an answer has to come, or more of it.
    """

    def __init__(self, connector: Connector, answer: float = _ANSWER) -> None:
        self.routes = Routes(connector)
        self._answer = answer
        self._connector = connector
        self._idle: dict[_Place, list[Any]] = {}
        self._ids: dict[int, int] = {}
        self._open: set[Any] = set()
        self._transports: dict[int, asyncio.WriteTransport] = {}
        self._patience: dict[int, asyncio.Timeout] = {}
        self._end: AsyncGenerator[None] | None = None

    async def do(self, steps: Steps[T]) -> T:
        """Carry steps out and return their result.

        Raises:
            BackendUnavailable: the server cannot be reached, or cannot answer now.
            BackendError: it refuses.
        """
        try:
            step = next(steps)
            while True:
                try:
                    answer = await (asyncio.sleep(step.seconds) if isinstance(step, Pause) else self._talk(step))
                except _FAILURES as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        except _FAILURES as error:
            raise translate(error, self._connector.where) from error

    async def _talk(self, step: Step) -> Any:
        place = step.address, step.of_sentinel
        connection = await self._take(place)
        try:
            answer = await self._exchange(connection, step)
        except Replied:
            await self._keep(place, connection)
            raise
        except asyncio.CancelledError as error:
            if step.wait and (answer := await self._end_wait(place, connection)):
                raise Rescued(answer) from error
            if not step.wait:
                await self._drop(connection)
            raise
        except BaseException:
            await self._drop(connection)
            await self._drop_idle(place)  # they go to the same server and would fail one after the other
            raise
        await self._keep(place, connection)
        return answer

    async def _exchange(self, connection: Any, step: Step) -> Any:
        request = _encoded(step)
        async with asyncio.timeout((step.wait + _LATE if step.wait else self._answer) + len(request) / _SLOWEST) as patience:
            self._patience[id(connection)] = patience
            try:
                await connection.send_packed_command([request], check_health=False)
                if step.asking:
                    await connection.read_response(disable_decoding=True)
                return await connection.read_response(disable_decoding=True, disconnect_on_error=not step.wait)
            finally:
                del self._patience[id(connection)]

    async def _take(self, place: _Place) -> Any:
        if self._end is None:
            await self._tie()
        idle = self._idle.get(place)
        return idle.pop() if idle else await self._connect(place)

    async def _connect(self, place: _Place) -> Any:
        address, of_sentinel = place
        opener = self._connector.sentinels if of_sentinel else self._connector.servers
        assert opener is not None
        connection = opener.asyncio(address)
        connection.redis_connect_func = self._greet
        self._open.add(connection)
        try:
            async with asyncio.timeout(self._answer):
                await connection.connect()
                with contextlib.suppress(Replied):  # who may not know its own number cannot be unblocked
                    await connection.send_command(b"CLIENT", b"ID", check_health=False)
                    self._ids[id(connection)] = await connection.read_response()
        except BaseException:
            await self._drop(connection)
            raise
        return connection

    async def _greet(self, connection: Any) -> None:
        """Begin to talk; know the transport before, for redis-py lets go of it when an answer fails to come."""
        self._transports[id(connection)] = connection._writer.transport  # noqa: SLF001
        self._listen(connection)
        await connection.on_connect()

    def _listen(self, connection: Any) -> None:
        """Give an answer more time whenever bytes of it come: large ones take long, and only the dead are silent."""
        reader = getattr(connection, "_reader", None)
        if reader is None:  # a simulated one, on which answers come whole
            return
        key, feed, time = id(connection), reader.feed_data, asyncio.get_running_loop().time

        def heard(data: bytes) -> None:
            feed(data)
            patience = self._patience.get(key)
            end = None if patience is None or patience.expired() else patience.when()
            if patience is not None and end is not None and end - time() < self._answer / 2:
                patience.reschedule(time() + self._answer)

        reader.feed_data = heard

    async def _end_wait(self, place: _Place, connection: Any) -> Any:
        """End a wait at the server; return its answer, if one was on the way. If that fails the connection is closed."""
        number = self._ids.get(id(connection))
        if number is None:
            await self._drop(connection)
            return None
        try:
            async with asyncio.timeout(_PARTING):
                await self._talk(Step((b"CLIENT", b"UNBLOCK", number), place[0]))
                answer = await connection.read_response(disable_decoding=True)
        except (*_FAILURES, asyncio.CancelledError):
            await self._drop(connection)
            return None
        await self._keep(place, connection)
        return answer

    async def _keep(self, place: _Place, connection: Any) -> None:
        """Let others use a connection, unless this link was closed meanwhile, which nobody would do a second time."""
        if connection in self._open:
            self._idle.setdefault(place, []).append(connection)
        else:
            await self._drop(connection)

    async def _drop(self, connection: Any) -> None:
        self._open.discard(connection)
        self._ids.pop(id(connection), None)
        await self._close(connection, nowait=True)

    async def _close(self, connection: Any, *, nowait: bool) -> None:
        transport = self._transports.pop(id(connection), None)
        with contextlib.suppress(*_FAILURES):
            await connection.disconnect(nowait=nowait)
        if transport is not None:  # with TLS a close is not over before the server has said goodbye, too
            transport.abort()

    async def _drop_idle(self, place: _Place) -> None:
        for connection in self._idle.pop(place, []):
            await self._drop(connection)

    async def _tie(self) -> None:
        """Have the loop close this link in its last steps."""
        self._end = self._until_the_end()
        await anext(self._end)

    async def _until_the_end(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            self._idle.clear()
            self._ids.clear()
            while self._open:
                await self._close(self._open.pop(), nowait=False)
            await asyncio.sleep(0)  # what was aborted is closed in the loop's next turn

    async def aclose(self) -> None:
        """Close all connections; the next step opens new ones."""
        if self._end is not None:
            end, self._end = self._end, None
            await end.aclose()


class BlockingLink:
    """Connections that threads share, one at a time each."""

    def __init__(self, connector: Connector) -> None:
        self.routes = Routes(connector)
        self._connector = connector
        self._idle: dict[_Place, list[Any]] = {}
        self._nap = threading.Event()

    def do(self, steps: Steps[T]) -> T:
        """Carry steps out and return their result; raises what `Link.do` does."""
        try:
            step = next(steps)
            while True:
                try:
                    answer = self._nap.wait(step.seconds) if isinstance(step, Pause) else self._talk(step)
                except _FAILURES as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        except _FAILURES as error:
            raise translate(error, self._connector.where) from error

    def _talk(self, step: Step) -> Any:
        place = step.address, step.of_sentinel
        idle = self._idle.setdefault(place, [])
        try:
            connection = idle.pop()
        except IndexError:
            connection = self._connect(place)
        try:
            connection.send_packed_command([_encoded(step)], check_health=False)
            if step.asking:
                connection.read_response(disable_decoding=True)
            answer = connection.read_response(disable_decoding=True)
        except Replied:
            idle.append(connection)
            raise
        except BaseException:
            connection.disconnect()
            self.close(place)
            raise
        idle.append(connection)
        return answer

    def _connect(self, place: _Place) -> Any:
        address, of_sentinel = place
        opener = self._connector.sentinels if of_sentinel else self._connector.servers
        assert opener is not None
        assert opener.blocking is not None
        connection = opener.blocking(address)
        connection.connect()
        return connection

    def close(self, place: _Place | None = None) -> None:
        """Close the idle connections, all or those to one server."""
        for each in [place] if place is not None else list(self._idle):
            idle = self._idle.get(each, [])
            while idle:
                idle.pop().disconnect()


def _here() -> str:
    return f"{socket.gethostname()}:pid:{os.getpid()}"


class Links(NamedTuple):
    """What carries steps out, and where; a simulator has its own.

    Attributes:
        asyncio: makes the link of an event loop.
        blocking: makes the link of all threads.
        here: names this process, as Go does.
    """

    asyncio: Callable[[Connector], Link] = Link
    blocking: Callable[[Connector], BlockingLink] = BlockingLink
    here: Callable[[], str] = _here
