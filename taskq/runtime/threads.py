"""The threads that sync handlers run in."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from queue import SimpleQueue
from typing import Any, TypeVar

__all__ = ["HandlerThreads"]

T = TypeVar("T")


class HandlerThreads:
    """Threads for sync handlers: they grow with demand, and wake the loop once for all that finished meanwhile."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._loop = loop
        self._name = name
        self._work: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[BaseException | None]] | None] = SimpleQueue()
        self._done: deque[tuple[asyncio.Future[BaseException | None], BaseException | None]] = deque()
        self._threads = 0
        self._busy = 0
        self._notified = False

    def submit(self, call: Callable[[], Any]) -> asyncio.Future[BaseException | None]:
        """Run `call` in a thread and return a future of what it raises, or None. To be called on the loop."""
        future = self._loop.create_future()
        self._busy += 1
        self._work.put((call, future))
        if self._busy > self._threads:
            self._threads += 1
            threading.Thread(target=self._serve, name=f"{self._name}-{self._threads}", daemon=True).start()
        return future

    def wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and return its result. To be called in one of the threads, which waits for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def close(self) -> None:
        """Let the threads end when they are free."""
        for _ in range(self._threads):
            self._work.put(None)

    def _serve(self) -> None:
        while (item := self._work.get()) is not None:
            call, future = item
            error: BaseException | None = None
            try:
                if not future.cancelled():  # given up before it began: nobody wants it run
                    call()
            except BaseException as raised:  # noqa: BLE001 - SystemExit in a handler must not end its thread
                error = raised
            self._done.append((future, error))
            if not self._notified:
                self._notified = True
                try:
                    self._loop.call_soon_threadsafe(self._deliver)
                except RuntimeError:  # the loop is closed: the run was given up and nobody waits
                    return
            del item, call, future, error

    def _deliver(self) -> None:
        self._notified = False
        while self._done:
            future, error = self._done.popleft()
            self._busy -= 1
            if future.cancelled():
                continue
            future.set_result(error)  # as a value: GeneratorExit and StopIteration mean other things to a loop
