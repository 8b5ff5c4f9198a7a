"""One place among the workers: a process, the one that replaces it when it ends, and so on until the place is closed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from typing import Any, NamedTuple

from taskq.backends.base import Clock
from taskq.supervisor.child import Child
from taskq.supervisor.exits import WRONG, describe_exit, shell_status
from taskq.supervisor.options import WorkerOptions
from taskq.supervisor.reports import Found, Note, Ready, Report
from taskq.supervisor.restarts import Restarts

__all__ = ["Place", "Shared"]

logger = logging.getLogger("taskq")


class Shared(NamedTuple):
    """What all places share.

    Attributes:
        options: what was asked for.
        clock: the time.
        environment: variables that the processes have beside the parent's own.
        follow: takes the folders of the sources that a process was made from, and the unix seconds when it began.
        forget: takes the number of a place whose process ended.
    """

    options: WorkerOptions
    clock: Clock
    environment: dict[str, str]
    follow: Callable[[list[str], float], Any]
    forget: Callable[[int], Any]


class Place:
    """Keeps one process running.

    Attributes:
        works: set once a process consumed here.
        report: the last report of its process, or of the one before until that has one.
        status: the exit status of its last process.
    """

    def __init__(self, shared: Shared, number: int) -> None:
        self.works = asyncio.Event()
        self.report = Report()
        self.status = 0
        self._shared = shared
        self._number = number
        self._restarts = Restarts()
        self._woken = asyncio.Event()
        self._stopping = False
        self._replacing = False
        self._child: Child | None = None
        self._ready: Ready | None = None
        self._told = 0
        self._born = 0.0
        self._deadline: asyncio.TimerHandle | None = None

    # -- running

    async def keep(self) -> None:
        """Run one process after another until the place is closed, or its first process ended before it consumed."""
        going_on = not self._stopping
        while going_on:
            self._woken.clear()
            self._replacing, self._ready, self._told = False, None, 0
            began, self._born = self._shared.clock.monotonic(), self._shared.clock.now()
            child = self._child = await Child.start(self._shared.options, self._number, self._shared.environment)
            if self._stopping or self._replacing:
                self._tell(1)  # it was told to end while it was being made
            try:
                code = await child.run(self._hear)
            finally:
                self._leave(child)
            going_on = await self._goes_on(child, code, self._shared.clock.monotonic() - began)

    def _hear(self, note: Note) -> None:
        match note:
            case Found():
                self._shared.follow(note.folders, self._born)
            case Ready():
                self._ready = note
                self.works.set()
                if self._deadline is not None and self._child is not None:
                    self._set_deadline(self._child)  # it was told to end when it had just begun, and may own something
            case Report():
                self.report = note

    def _leave(self, child: Child) -> None:
        """Let go of a process; one that still runs, because its parent fails, is killed."""
        child.kill()
        self._child = None
        self._drop_deadline()
        self._shared.forget(self._number)

    async def _goes_on(self, child: Child, code: int, lived: float) -> bool:
        """Wait until the next process is due; False if there is to be none."""
        who = f"process {self._number} (pid {child.pid})"
        if self._stopping:
            unready = self._ready is None and code == -signal.SIGTERM  # it was ended before it listened, and owned nothing
            self.status = 0 if unready else shell_status(code)
            return False
        if self._replacing:
            return True
        if self._ready is None and self._shared.options.reload:
            logger.error("%s %s before it consumed; waiting for a change of the sources", who, describe_exit(code))
            await self._woken.wait()
            return not self._stopping
        if not self.works.is_set():
            self.status = shell_status(code)
            if code != WRONG:  # otherwise it has said itself what is wrong
                logger.error("%s %s before it consumed", who, describe_exit(code))
            return False
        if code == 0:
            logger.info("%s ended in good order and is replaced", who)
            return True
        delay = self._restarts.after(lived)
        logger.error("%s %s; another one starts in %.1f s", who, describe_exit(code), delay)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), delay)
        return not self._stopping

    # -- ending

    def replace(self) -> None:
        """Drain the process and start another one in its place."""
        self._replacing = True
        self._woken.set()
        self._tell(1)

    def close(self, times: int) -> None:
        """Drain the process and start none after it; the second time interrupt it, the third time kill it."""
        self._stopping = True
        self._woken.set()
        if times <= _INTERRUPT:
            self._tell(times)
        elif self._child is not None:
            self._child.kill()

    def _tell(self, times: int) -> None:
        """Have the process know of so many signals in all, and be patient with it from the first on."""
        if self._child is None or self._told >= times:
            return
        self._told = times
        self._child.terminate()
        if self._deadline is None:
            self._set_deadline(self._child)

    def _set_deadline(self, child: Child) -> None:
        """Kill a process once it had the time that it may take."""
        self._drop_deadline()
        patience = self._shared.options.grace + (self._ready.stop_timeout if self._ready is not None else 0.0)
        self._deadline = asyncio.get_running_loop().call_later(patience, self._lose_patience, child, patience)

    def _drop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _lose_patience(self, child: Child, patience: float) -> None:
        logger.error("process %d (pid %d) did not end within %.1f s and is killed", self._number, child.pid, patience)
        child.kill()


_INTERRUPT = 2
"""The signal that interrupts; those after it kill."""
