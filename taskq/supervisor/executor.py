"""The threads of `asyncio.to_thread` in a worker process, which do not keep it from ending.

Python's own executor waits for its threads however long that takes, at the end of the loop and once more at the end of the
process. What still runs there after a drain belongs to handlers that were given up, and their messages were given back.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

from taskq.runtime.clock import SystemClock

__all__ = ["LoopThreads"]

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger("taskq")

_MOST = min(32, (os.cpu_count() or 1) + 4)
"""Threads at most, as many as Python's own executor has."""


class LoopThreads(ThreadPoolExecutor):
    """What a loop runs blocking calls in; its end waits for them for some seconds, and then leaves them behind.

    Args:
        patience: those seconds.
    """

    def __init__(self, patience: float) -> None:
        super().__init__(_MOST)  # loops take no executor of another kind; nothing of it is used
        self._patience = patience
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._guard = threading.Lock()
        self._serving: list[threading.Thread] = []
        self._wanted = 0
        self._ended = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a call in a thread."""
        future: Future[T] = Future()
        with self._guard:
            if self._ended:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._wanted += 1
            self._calls.put((future, partial(fn, *args, **kwargs)))
            if len(self._serving) < min(self._wanted, _MOST):
                thread = threading.Thread(target=self._serve, name=f"taskq-loop-{len(self._serving) + 1}", daemon=True)
                self._serving.append(thread)
                thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls, and wait for those that are there; not for ever, and the log tells how many are left behind."""
        with self._guard:
            self._ended = True
            while cancel_futures and not self._calls.empty():
                if (item := self._calls.get()) is not None:
                    item[0].cancel()
            for _ in self._serving:
                self._calls.put(None)
        if not wait:
            return
        clock = SystemClock()
        deadline = clock.monotonic() + self._patience
        for thread in self._serving:
            thread.join(max(0.0, deadline - clock.monotonic()))
        if left := sum(thread.is_alive() for thread in self._serving):
            logger.warning(
                "what handlers began in threads of asyncio's still runs in %d of them; the process ends without them", left
            )

    def _serve(self) -> None:
        while (item := self._calls.get()) is not None:
            future, call = item
            if future.set_running_or_notify_cancel():
                try:
                    result = call()
                except BaseException as error:  # noqa: BLE001 - it is for whoever asked
                    future.set_exception(error)
                else:
                    future.set_result(result)
                    del result
            with self._guard:
                self._wanted -= 1
            del item, future, call
