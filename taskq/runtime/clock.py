"""The only module that reads time, makes randomness or decides where background work runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

from taskq.runtime.threads import HandlerThreads

__all__ = ["SystemClock", "SystemMachine"]

_clocks: weakref.WeakSet[SystemClock] = weakref.WeakSet()


class SystemClock:
    """Real time. A forked child draws other ids than its parent."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self.reseed()
        _clocks.add(self)

    def reseed(self) -> None:
        """Start the random source anew from the operating system."""
        self._random = random.Random()  # noqa: S311 - ids and jitter, no secrets
        self.random = self._random.random
        self._bits = self._random.getrandbits

    def new_id(self) -> bytes:
        """Return 128 random bits as 32 characters, which any wire carries as text."""
        return b"%032x" % self._bits(128)

    def beside(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> Callable[[], Coroutine[Any, Any, None]]:
        """Run a coroutine where a blocked event loop cannot starve it; return what cancels it and waits for its end.

        Here that is a thread with a loop of its own.
        """
        return _Beside(work, name).cancel

    def threads(self, loop: asyncio.AbstractEventLoop, name: str) -> HandlerThreads:
        """Return threads for the sync handlers of one consumer."""
        return HandlerThreads(loop, name)

    def machine(self) -> SystemMachine:
        """Return what measures this machine."""
        return SystemMachine()


class SystemMachine:
    """What is free of this machine; 1.0 where it cannot be known."""

    def __init__(self, cpu_seconds: Callable[[], float] | None = None) -> None:
        self._cpu_seconds = cpu_seconds or (lambda: sum(os.times()[:2]))
        self._before = self._cpu_seconds()

    def cpu_free(self, interval: float) -> float:
        """Return the share of one CPU that this process left unused: Python code runs on one at a time."""
        now = self._cpu_seconds()
        used, self._before = now - self._before, now
        return min(1.0, max(0.0, 1.0 - used / interval))

    @staticmethod
    def memory_free() -> float:
        """Return the share of the machine's memory that is available (Linux)."""
        try:
            with open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123 - one short read a second
                sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
            return sizes["MemAvailable"] / sizes["MemTotal"]
        except (OSError, KeyError, ValueError, IndexError):
            return 1.0


_GRACE = 0.02
"""Seconds before a thread makes its loop: what is over sooner, such as one short handler, costs no loop."""


class _Beside:
    """One coroutine on a daemon thread with its own loop."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._ended.wait(_GRACE)
        with self._lock:
            if self._ended.is_set():
                return
            self._loop = asyncio.new_event_loop()
            self._task = self._loop.create_task(self._work())
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())  # what is tied to the loop, such as connections
            self._loop.close()

    async def cancel(self) -> None:
        """Cancel the work and wait for its thread."""
        with self._lock:
            self._ended.set()
            loop, task = self._loop, self._task
        if loop is None or task is None:
            self._thread.join()  # it only has to wake up and return
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: the work is over
            loop.call_soon_threadsafe(task.cancel)
        await asyncio.to_thread(self._thread.join)


def _reseed_all() -> None:
    for clock in list(_clocks):
        clock.reseed()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reseed_all)
