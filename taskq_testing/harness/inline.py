"""Sync handlers on the thread of the test, so that they see its thread-local state: open transactions, connections, sessions.

One runs at a time and from start to end. `time.sleep` in it moves virtual time, and nothing else runs meanwhile; handlers
that have to interleave need `taskq_testing.loop.threads`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from taskq.backends.base import Threads
from taskq.errors import TaskqError
from taskq_testing.clock import VirtualClock
from taskq_testing.loop import VirtualLoop
from taskq_testing.loop.blocking import sleeping
from taskq_testing.loop.handles import nanoseconds

__all__ = ["InlineThreads", "StageClock", "no_running_loop"]

T = TypeVar("T")


class InlineThreads:
    """Implements `taskq.backends.base.Threads` without a thread."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def submit(self, call: Callable[[], Any]) -> asyncio.Future[BaseException | None]:
        """Run `call` with the next step of the loop and return a future of what it raises, or None."""
        future = self._loop.create_future()
        self._loop.call_soon(self._run, call, future)
        return future

    def _run(self, call: Callable[[], Any], future: asyncio.Future[BaseException | None]) -> None:
        error: BaseException | None = None
        try:
            with no_running_loop(), sleeping(self._sleep):
                call()
        except BaseException as raised:  # noqa: BLE001 - whatever a handler raises is a value to its consumer
            error = raised
        if not future.cancelled():
            future.set_result(error)

    def _sleep(self, seconds: float) -> None:
        self._loop._move(self._loop.now + nanoseconds(seconds))  # noqa: SLF001 - time passes while a callback runs

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine that waits for nothing, as those of the in-memory backend, and return its result."""
        try:
            coroutine.send(None)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        coroutine.close()
        raise RuntimeError('a sync handler on the test\'s own thread cannot wait for a coroutine; set threads="turns"')

    def close(self) -> None:
        """Do nothing: there is no thread."""


class StageClock(VirtualClock):
    """A virtual clock for an app in a test.

    Attributes:
        in_turns: whether sync handlers run in threads that take turns, or else on the thread that runs the loop.
    """

    in_turns = False

    def threads(self, loop: asyncio.AbstractEventLoop, name: str) -> Threads:  # type: ignore[override]  # both are `Threads`
        """Return what runs sync handlers.

        Raises:
            TaskqError: the loop is a real one.
        """
        if not isinstance(loop, VirtualLoop):
            raise TaskqError("a test has put this app into virtual time, where no consumer runs on a real loop; use sim.drain()")
        return super().threads(loop, name) if self.in_turns else InlineThreads(loop)


@contextmanager
def no_running_loop() -> Iterator[None]:
    """Hide the event loop that runs in this thread, if one does, so that sync code may run another and knows of none."""
    loop = asyncio._get_running_loop()  # noqa: SLF001 - the documented form raises where no loop runs
    task = asyncio.current_task(loop) if loop is not None else None
    if loop is not None and task is not None:
        asyncio.tasks._leave_task(loop, task)  # noqa: SLF001 - what C code does between two steps of a task
    asyncio._set_running_loop(None)  # noqa: SLF001 - for whoever implements or nests loops
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)  # noqa: SLF001
        if loop is not None and task is not None:
            asyncio.tasks._enter_task(loop, task)  # noqa: SLF001
