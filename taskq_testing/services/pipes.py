"""The connections of a proxy: bytes go from one side to the other, and meet the faults on their way. All in the proxy's loop."""

from __future__ import annotations

import asyncio
import fcntl
import socket
import ssl
import struct
import termios
from collections.abc import Awaitable, Callable

from taskq_testing.services.faults import Conditions, Fault, Side
from taskq_testing.services.resp import Commands

__all__ = ["Connection", "close_with_reset"]

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connector = Callable[[], Awaitable[socket.socket]]

_CHUNK = 65536
_GRAIN = 0.01
"""Seconds between the pieces of a throttled connection."""
_POLL = 0.001


async def open_stream(sock: socket.socket, context: ssl.SSLContext | None = None) -> Stream:
    """Return a reader and a writer of a connected socket, after the handshake if the peer is to speak TLS.

    Raises:
        OSError: the handshake failed, or the peer is gone. The socket is closed, then and when this is cancelled.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    try:
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, sock, ssl=context)
    except BaseException:
        close_with_reset(sock)
        raise
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def close_with_reset(sock: socket.socket) -> None:
    """Close a socket that has no transport any more."""
    _reset_when_closed(sock)
    sock.close()


def _reset_when_closed(sock: socket.socket) -> None:
    """Let the end of a TCP socket be a reset, and take back what it has not sent; a unix socket knows no resets."""
    if sock.family != socket.AF_UNIX and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Connection:
    """One client and, once it is connected, its server.

    Attributes:
        cut: whether nothing passes any more.
        pipes: the two directions, once there are both.
    """

    def __init__(self, conditions: Conditions, client: socket.socket) -> None:
        self.cut = False
        self.pipes: list[Pipe] = []
        self._conditions = conditions
        self._sockets = [client]
        self._writers: list[asyncio.StreamWriter] = []

    async def run(self, context: ssl.SSLContext | None, connect: Connector) -> None:
        """Connect to the server and pass bytes until both sides have ended; a server that is away resets the client."""
        try:
            client_reader, client_writer = await open_stream(self._sockets[0], context)
            self._writers.append(client_writer)
            server = await connect()
            server_reader, server_writer = await open_stream(server)
            self._sockets.append(server)
            self._writers.append(server_writer)
            self.pipes = [
                Pipe(self, self._conditions, "server", client_reader, server_writer),
                Pipe(self, self._conditions, "client", server_reader, client_writer),
            ]
            async with asyncio.TaskGroup() as group:
                for pipe in self.pipes:
                    group.create_task(pipe.run())
        except* OSError:  # a reset, of a side or of ours: it ends both directions
            self.abort()

    def abort(self) -> None:
        """End it with a reset on both sides, at the loop's next turn."""
        self.cut = True
        for sock in self._sockets:
            _reset_when_closed(sock)
        for writer in self._writers:
            writer.transport.abort()

    def close(self) -> None:
        """Let go of what is open when it has run, or will not: the task of `run` may end before it begins."""
        for writer in self._writers:
            writer.close()
        if not self._writers:
            close_with_reset(self._sockets[0])


class Pipe:
    """One direction of a connection.

    Attributes:
        to: the side it leads to.
        passed: how many bytes it has passed on.
        silent: whether it swallows what comes, the end included.
        gate: closed while it holds back.
    """

    def __init__(
        self, connection: Connection, conditions: Conditions, to: Side, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.to = to
        self.passed = 0
        self.silent = False
        self.gate = asyncio.Event()
        self.gate.set()
        self._connection, self._conditions = connection, conditions
        self._reader, self._writer = reader, writer
        self._commands = Commands() if to == "server" else None

    async def run(self) -> None:
        """Pass on what comes until it ends, and then the end.

        Raises:
            OSError: the connection is to be reset.
        """
        broken = await self._stream()
        await self._pass(b"")
        if self.silent or self._connection.cut:
            return
        if broken:
            raise ConnectionResetError
        if self._writer.can_write_eof():
            self._writer.write_eof()
        else:
            self._writer.close()  # TLS has no half-closed connections

    async def _stream(self) -> bool:
        """Pass bytes on until they end, and return whether that was by a reset."""
        while True:
            try:
                data = await self._reader.read(_CHUNK)
            except OSError:
                return True
            if not data:
                return False
            if self._commands is not None:
                data = self._commands.feed(data, self._conditions.replace if self._conditions.injects else None)
            await self._pass(data)

    async def _pass(self, data: bytes) -> None:
        """Pass on bytes, or nothing, through whatever faults are due."""
        if self._conditions.delay[self.to]:
            await asyncio.sleep(self._conditions.delay[self.to])
        while True:
            await self.gate.wait()
            if self.silent or self._connection.cut:
                return
            fault, room = self._conditions.next_for(self.to, self, self.passed)
            if fault is not None and room == 0:
                fault.take()
                await self._suffer(fault)
                continue
            if not data:
                return
            piece = data[: self._piece(len(data) if fault is None else room)]
            data = data[len(piece) :]
            if fault is not None and len(piece) == room:
                await self._pass_last(piece, fault)
            else:
                await self._write(piece)

    def _piece(self, size: int) -> int:
        rate = self._conditions.rate[self.to]
        return size if rate is None else min(size, max(int(rate * _GRAIN), 1))

    async def _pass_last(self, piece: bytes, fault: Fault) -> None:
        fault.take()
        if fault.kind == "cut":  # before the bytes go: what they bring about on the other side does not pass
            self._connection.cut = True
        await self._write(piece)
        await self._suffer(fault)

    async def _write(self, piece: bytes) -> None:
        self.passed += len(piece)
        self._conditions.passed[self.to] += len(piece)
        self._writer.write(piece)
        await self._writer.drain()
        rate = self._conditions.rate[self.to]
        if rate is not None:
            await asyncio.sleep(len(piece) / rate)

    async def _suffer(self, fault: Fault) -> None:
        if fault.kind == "hold":
            self.gate.clear()
        elif fault.kind == "swallow":
            self.silent = True
        else:
            self._connection.cut = True
            await self._arrived()
            self._connection.abort()
            await asyncio.sleep(0)  # in which the loop closes the sockets
        fault.done()
        if fault.kind == "cut":
            raise ConnectionAbortedError

    async def _arrived(self) -> None:
        """Wait until the other side's kernel has all bytes, or is gone: a reset takes back what is still on its way."""
        transport, sock = self._writer.transport, self._writer.get_extra_info("socket")

        def on_its_way() -> bool:
            return transport.get_write_buffer_size() > 0 or any(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4)))

        while not transport.is_closing() and on_its_way():  # noqa: ASYNC110 - nothing tells it
            await asyncio.sleep(_POLL)
