"""One worker process as its parent holds it: started, listened to, signalled, and killed if it has to be."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping

import msgspec

from taskq.supervisor.options import WorkerOptions
from taskq.supervisor.reports import Note, decode

__all__ = ["Child"]

_LONGEST_LINE = 1 << 20


class Child:
    """A process and the socket that ties it to its parent.

    It has a process group of its own: a Ctrl-C in the terminal reaches the parent alone, so that the process sees one signal,
    not two, and what its handlers have started sees none. The socket tells it when the parent is gone, however that ended.

    Attributes:
        pid: its process id.
    """

    def __init__(self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = process.pid
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, options: WorkerOptions, number: int, environment: Mapping[str, str]) -> Child:
        """Start the process for one of the parent's places.

        Args:
            options: what the parent was asked for.
            number: which place it is, from 1.
            environment: variables to set beside the parent's own.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "taskq.supervisor"),
                *(msgspec.json.encode(options).decode(), str(number), str(theirs.fileno())),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                process_group=0,
                env={**os.environ, **environment},
            )
        reader, writer = await asyncio.open_connection(sock=ours, limit=_LONGEST_LINE)
        return cls(process, reader, writer)

    async def run(self, hear: Callable[[Note], None]) -> int:
        """Hand on what the process tells until it ends; return its exit code, negative for the signal that ended it."""
        listening = asyncio.create_task(self._listen(hear))
        try:
            code = await self._process.wait()
            # What it told last is in the socket. Its end is not waited for: a program that a handler left may hold it open.
            await asyncio.wait([listening], timeout=0.1)
            return code
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            self._writer.close()

    async def _listen(self, hear: Callable[[Note], None]) -> None:
        with contextlib.suppress(ConnectionError):
            async for line in self._reader:
                hear(decode(line))

    def terminate(self) -> None:
        """Send SIGTERM: the first drains, the second interrupts."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        """Kill the process, and what its handlers have started in its group."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
