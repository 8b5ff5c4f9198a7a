"""Calling coroutines from sync code: one background thread with its own event loop, made when first needed."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["Portal"]

T = TypeVar("T")


class Portal:
    """The way from threads without a loop to coroutines. A forked child gets a thread of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the background loop and return its result; the calling thread waits."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running()).result()

    @property
    def inside(self) -> bool:
        """Whether the caller is on the background loop's own thread, where `call` would wait for itself."""
        return threading.current_thread() is self._thread

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._pid != os.getpid():
            self._lock = threading.Lock()  # a lock that another thread held at the fork is never released here
            self._loop, self._pid = None, os.getpid()
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="taskq-portal", daemon=True)
                self._thread.start()
            return self._loop

    def close(self) -> None:
        """End the background thread, if there is one."""
        if self._loop is None or self._pid != os.getpid() or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())  # what is tied to the loop, such as connections
        self._loop.close()
        self._loop = self._thread = None
