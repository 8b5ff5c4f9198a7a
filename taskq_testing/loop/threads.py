"""Sync handlers in virtual time: real threads that take turns, with the loop and with each other, so that one runs at a time.

Whoever runs holds the baton. A handler gives it back when it ends, when it waits for a coroutine and when it sleeps, and gets
it again at a point in virtual time. Between these points nothing else runs, so a run repeats exactly.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from taskq_testing.loop.blocking import patched, scheduled_by
from taskq_testing.loop.domain import bare_context
from taskq_testing.loop.handles import nanoseconds
from taskq_testing.loop.stuck import Deadlock
from taskq_testing.loop.virtual import VirtualLoop

__all__ = ["VirtualThreads", "in_virtual_thread"]

T = TypeVar("T")


_START_DELAYS = (0, 1_000, 100_000, 10_000_000)
"""Nanoseconds that a thread may take to start."""


class VirtualThreads:
    """Implements `taskq.backends.base.Threads` on a virtual loop. The threads themselves are shared by all of one loop.

    Attributes:
        patience: real seconds that a handler may hold the baton before that is reported as a `Deadlock`.
    """

    patience = 30.0

    def __init__(self, loop: VirtualLoop, name: str) -> None:
        self._loop = loop
        self._name = name
        self._pool = _pool_of(loop)

    def submit(self, call: Callable[[], Any]) -> asyncio.Future[BaseException | None]:
        """Run `call` in a thread from a point that the tape draws; return a future of what it raises, or None."""
        future = self._loop.create_future()
        self._loop.call_drawn("thread", self._start, partial(bare_context().run, call), future, delays=_START_DELAYS)
        return future

    def _start(self, call: Callable[[], Any], future: asyncio.Future[BaseException | None]) -> None:
        if future.cancelled():
            return
        self._pool.thread(self._name).start_call(call, future, self.patience)

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and return its result; the handler that calls this waits for it.

        Raises:
            concurrent.futures.CancelledError: the coroutine was cancelled.
            RuntimeError: the caller is not in one of these threads.
        """
        thread = threading.current_thread()
        if not isinstance(thread, _Thread):
            coroutine.close()
            raise RuntimeError("wait() is for sync handlers, which run in a thread; on the loop, await the coroutine")  # noqa: TRY004
        if thread.pool.closing:
            coroutine.close()
            raise _End
        task = self._loop.create_task(coroutine)
        task.add_done_callback(thread.resume)
        thread.pause()
        try:
            return task.result()
        except asyncio.CancelledError:
            raise concurrent.futures.CancelledError from None

    def close(self) -> None:
        """Do nothing: the threads end with the loop."""


def in_virtual_thread() -> bool:
    """Return whether this is one of these threads, so that `VirtualThreads.wait` can be called here."""
    return isinstance(threading.current_thread(), _Thread)


class _End(BaseException):
    """Raised in a handler that waits when its loop is closed, so that its thread ends."""


class _Pool:
    """The threads of one loop."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.baton = threading.Lock()  # free while the loop has it
        self.baton.acquire()
        self.threads: list[_Thread] = []
        self.idle: list[_Thread] = []
        self.closing = False
        loop.at_close(self.close)

    def thread(self, name: str) -> _Thread:
        if self.idle:
            return self.idle.pop()
        thread = _Thread(self, f"{name}-{len(self.threads) + 1}")
        self.threads.append(thread)
        thread.start()
        return thread

    def close(self) -> None:
        """End all threads, one after another."""
        self.closing = True
        with patched():
            for thread in self.threads:
                thread.turn.release()
                thread.join(0.0 if thread.astray else thread.patience)
                if thread.is_alive():
                    warnings.warn(f"{thread.describe()} does not end though its loop is closed", RuntimeWarning, stacklevel=2)
        self.threads.clear()
        self.idle.clear()
        del _pools[self.loop]  # it holds the loop, and would for ever


class _Thread(threading.Thread):
    """One thread. `turn` is released to let it run."""

    def __init__(self, pool: _Pool, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.pool = pool
        self.turn = threading.Lock()
        self.turn.acquire()
        self.patience = VirtualThreads.patience
        self.astray = False  # it did not come back with the baton
        self._call: Callable[[], Any] | None = None
        self._future: asyncio.Future[BaseException | None] | None = None
        self._error: BaseException | None = None

    # -- on the loop's thread

    def start_call(self, call: Callable[[], Any], future: asyncio.Future[BaseException | None], patience: float) -> None:
        self._call, self._future, self.patience = call, future, patience
        self.resume()

    def resume(self, _: object = None) -> None:
        """Give the baton to this thread and wait until it comes back."""
        with self.pool.loop.lent_to(self.ident):
            self.astray = True
            self.turn.release()
            self.astray = not self.pool.baton.acquire(timeout=self.patience)
            if self.astray:
                raise Deadlock(
                    f"{self.describe()} has not come back for {self.patience} s of real time; let it wait by time.sleep() and "
                    "Context only, not for another thread or a future of another loop"
                )
        if self._call is None and self._future is not None:
            future, self._future = self._future, None
            error, self._error = self._error, None
            self.pool.idle.append(self)
            if not future.cancelled():
                future.set_result(error)

    def describe(self) -> str:
        frame = sys._current_frames().get(self.ident or 0)  # noqa: SLF001 - the only way to see where a thread is
        where = traceback.extract_stack(frame)[-1] if frame is not None else None
        return f"thread {self.name}" + (f" at {where.filename}:{where.lineno}" if where else "")

    # -- in this thread

    def run(self) -> None:
        self.turn.acquire()
        with scheduled_by(self.pool.loop, self._sleep):
            while not self.pool.closing and self._call is not None:
                try:
                    self._call()
                except _End:
                    return
                except BaseException as error:  # noqa: BLE001 - SystemExit in a handler must not end its thread
                    self._error = error
                self._call = None
                try:
                    self.pause()
                except _End:
                    return

    def pause(self) -> None:
        """Give the baton back and wait for the next turn."""
        if not self.pool.closing:
            self.pool.baton.release()
            self.turn.acquire()
        if self.pool.closing:
            raise _End

    def _sleep(self, seconds: float) -> None:
        if not self.pool.closing:
            loop = self.pool.loop
            loop.call_at_ns(loop.now + nanoseconds(seconds), self.resume)
        self.pause()


_pools: dict[VirtualLoop, _Pool] = {}


def _pool_of(loop: VirtualLoop) -> _Pool:
    pool = _pools.get(loop)
    if pool is None:
        pool = _pools[loop] = _Pool(loop)
    return pool
