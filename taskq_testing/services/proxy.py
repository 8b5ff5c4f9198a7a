"""A TCP proxy between a client and its server that breaks connections when a test says so."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import parse_qs, urlencode, urlsplit

from taskq_testing.services.certificates import server_context
from taskq_testing.services.child import ServiceError
from taskq_testing.services.faults import Conditions, Fault, Side
from taskq_testing.services.pipes import Connection, close_with_reset
from taskq_testing.services.ports import HOST, Port

__all__ = ["Proxy"]

T = TypeVar("T")

_SIDES: tuple[Side, Side] = ("server", "client")
_PORTS = {"redis": 6379, "http": 80}
_SECURE = {"redis": "rediss", "http": "https", "": ""}


class Proxy:
    """A proxy in a thread of its own, for the time of a `with` block.

    It passes bytes, whatever they mean; only `inject_error` looks for the commands of Redis in them. A method has taken effect
    when it returns. Bytes are counted for each connection by itself: from the call for those that are open then, from their
    beginning for later ones.

    Args:
        upstream: the URL of the server: `redis://`, `unix://`, `http://`, or `host:port`. A server with TLS cannot be proxied.
        tls: whether clients speak TLS to the proxy. Needs the package trustme, which makes the certificate.

    Attributes:
        host: where it listens.
        port: where it listens; nobody else gets the port while connections are refused.
        accepted: how many connections it has accepted.
        authority: the certificate that clients have to trust, in PEM, with `tls`.
    """

    host: str
    port: int
    authority: str

    def __init__(self, upstream: str, *, tls: bool = False) -> None:
        self._upstream = urlsplit(upstream if "://" in upstream else f"//{upstream}")
        if self._upstream.scheme not in ("unix", *_SECURE):
            raise ValueError(f"{self._upstream.scheme}:// cannot be proxied; give redis://, unix://, http:// or host:port")
        self._tls = tls
        self._context: ssl.SSLContext | None = None
        self._conditions = Conditions()
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._listener: socket.socket | None = None
        self.accepted = 0

    def __enter__(self) -> Self:
        if self._tls:
            self._context, self.authority = server_context()
        self._port = Port()
        self.host, self.port = HOST, self._port.number
        self._loop = asyncio.SelectorEventLoop()  # whatever loop the tests use
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{self.port}", daemon=True)
        self._thread.start()
        self.accept()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._await(self._end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._port.close()

    # -- what passes

    @property
    def url(self) -> str:
        """The URL of the server, credentials included, by way of the proxy; with TLS also the authority, for redis-py."""
        scheme, path, query = self._upstream.scheme, self._upstream.path, self._upstream.query
        if scheme == "unix":
            scheme, path, query = "redis", f"/{parse_qs(query).get('db', ['0'])[0]}", ""
        if self._tls:
            scheme = _SECURE[scheme]
            query = "&".join(filter(None, (query, urlencode({"ssl_ca_data": self.authority})))) if scheme == "rediss" else query
        credentials, at, _ = self._upstream.netloc.rpartition("@")
        place = self._upstream._replace(scheme=scheme, netloc=f"{credentials}{at}{self.host}:{self.port}", path=path, query=query)
        return place.geturl().removeprefix("//")

    @property
    def open(self) -> int:
        """How many connections are open now."""
        return self._do(lambda: len(self._connections))

    def passed(self, to: Side) -> int:
        """Return how many bytes have been passed on to one side, by all connections."""
        return self._do(lambda: self._conditions.passed[to])

    # -- faults

    def cut(self) -> None:
        """Reset all connections now; new ones are accepted."""
        self._await(self._cut)

    def cut_after(self, count: int, *, to: Side, times: int | None = 1) -> Fault:
        """Reset a connection as soon as `count` bytes have arrived at one side; nothing passes to the other side meanwhile.

        With 0 the next byte brings it about, and does not arrive.

        Args:
            count: bytes.
            to: the side they go to.
            times: how many connections are cut; None for each one, until `heal`.
        """
        return self._arm(Fault("cut", to, after=count, times=times))

    def swallow(self, *, to: Side, after: int = 0, times: int | None = None) -> Fault:
        """Let bytes to one side vanish after the first `after`, and the end of the connection too: it is half-open.

        A connection that has lost bytes stays mute, also after `heal`, until it is closed or cut.

        Args:
            to: the side that hears nothing any more.
            after: bytes that still arrive.
            times: how many connections are hit; None for each one, until `heal`.
        """
        return self._arm(Fault("swallow", to, after=after, times=times))

    def hold(self, *, to: Side, after: int = 0, times: int | None = None) -> Fault:
        """Hold back the bytes to one side after the first `after`, until `release`. Nothing is lost.

        Args:
            to: the side that waits.
            after: bytes that still arrive.
            times: how many connections are hit; None for each one, until `release`.
        """
        return self._arm(Fault("hold", to, after=after, times=times))

    def release(self) -> None:
        """Let go what was held back, and hold back nothing more."""
        self._do(self._release)

    def delay(self, seconds: float, *, to: Side | None = None) -> None:
        """Let each piece wait before it is passed on, to one side or both; 0 ends it, but not for pieces that wait already."""
        self._do(lambda: self._conditions.delay.update(dict.fromkeys(_SIDES if to is None else (to,), seconds)))

    def throttle(self, rate: float | None, *, to: Side | None = None) -> None:
        """Pass at most so many bytes a second on each connection, to one side or both; None ends it."""
        if rate is not None and rate <= 0:
            raise ValueError(f"rate={rate}: give bytes a second, or None for no limit; hold() stops them all")
        self._do(lambda: self._conditions.rate.update(dict.fromkeys(_SIDES if to is None else (to,), rate)))

    def inject_error(self, text: str, *, matching: bytes = b"", times: int | None = 1) -> Fault:
        r"""Answer commands of Redis with an error; they do not reach the server.

        The server gets a command in their place that it answers with this error, so that it comes in its turn among the
        answers. The server has to accept EVAL: a client that has yet to authenticate gets NOAUTH, and in a transaction the error
        is among the results.

        Args:
            text: the error, such as "READONLY You can't write against a read only replica."
            matching: bytes that the command contains, as the client writes them: `b"\r\nSET\r\n"` is the command SET, and
                `b"SET"` also `CLIENT SETINFO`, with which redis-py begins; every command contains the empty bytes.
            times: how many commands; None for all, until `heal`.
        """
        fault = Fault("error", "server", times=times)
        fault.text, fault.matching = text, matching
        return self._arm(fault)

    def refuse(self) -> None:
        """Refuse new connections, as a server does that is down; those that are open stay."""
        self._do(self._refuse)

    def accept(self) -> None:
        """Accept connections again."""
        self._do(self._accept)

    def heal(self) -> None:
        """End all that was told: bytes and connections pass as if there was no proxy."""
        self._do(self._heal)
        self.accept()

    # -- in the proxy's thread

    def _do(self, action: Callable[[], T]) -> T:
        """Run it in the proxy's thread and return what it returns."""

        async def act() -> T:
            return action()

        return self._await(act)

    def _await(self, action: Callable[[], Coroutine[None, None, T]]) -> T:
        if self._loop.is_closed():
            raise ServiceError("the proxy is closed; use it within its `with` block")
        return asyncio.run_coroutine_threadsafe(action(), self._loop).result()

    def _arm(self, fault: Fault) -> Fault:
        def arm() -> None:
            for connection in self._connections:
                for pipe in connection.pipes:
                    fault.count_from(pipe, pipe.passed)
            self._conditions.faults.append(fault)

        self._do(arm)
        return fault

    def _heal(self) -> None:
        self._conditions.heal()
        self._release()

    def _release(self) -> None:
        self._conditions.faults = [fault for fault in self._conditions.faults if fault.kind != "hold"]
        for connection in self._connections:
            for pipe in connection.pipes:
                pipe.gate.set()

    def _refuse(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self) -> None:
        if self._listener is None:
            self._listener = socket.create_server((self.host, self.port))
            self._listener.setblocking(False)
            self._loop.add_reader(self._listener, self._welcome, self._listener)

    def _welcome(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except OSError:  # it has given up already
            return
        sock.setblocking(False)
        self.accepted += 1
        connection = Connection(self._conditions, sock)
        task = self._connections[connection] = self._loop.create_task(connection.run(self._context, self._connect))
        task.add_done_callback(partial(self._forget, connection))

    def _forget(self, connection: Connection, _: object) -> None:
        connection.close()
        del self._connections[connection]

    async def _cut(self) -> None:
        tasks = list(self._connections.values())
        for connection in self._connections:
            connection.abort()
        for task in tasks:  # they may wait for the server, or for a delay to pass
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _end(self) -> None:
        self._refuse()
        await self._cut()

    async def _connect(self) -> socket.socket:
        parts = self._upstream
        unix = parts.scheme == "unix"
        sock = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        sock.setblocking(False)
        try:
            address = parts.path if unix else (parts.hostname, parts.port or _PORTS.get(parts.scheme, 0))
            await self._loop.sock_connect(sock, address)
        except BaseException:
            close_with_reset(sock)  # a cut may come when the server already takes it for connected
            raise
        return sock
