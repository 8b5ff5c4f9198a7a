"""Functions given to an executor: they run on the loop's own thread, at a point that the loop chose."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from taskq_testing.loop.blocking import sleeping
from taskq_testing.loop.handles import nanoseconds

__all__ = ["call_into"]


class Timers(Protocol):
    """What a function that sleeps needs of its loop."""

    now: int

    def call_at_ns(self, when: int, callback: Callable[..., object], *args: Any) -> object:
        """Schedule a callback for `when` nanoseconds since the loop was made."""


def call_into(loop: Timers, future: asyncio.Future[Any], call: Callable[[], Any]) -> None:
    """Call a function and put what comes of it into a future; `time.sleep` in it makes that come later."""
    slept = 0

    def sleep(seconds: float) -> None:
        nonlocal slept
        slept += nanoseconds(seconds)

    if future.cancelled():
        return
    error: BaseException | None = None
    result = None
    try:
        with sleeping(sleep):
            result = call()
    except StopIteration as raised:
        error = RuntimeError(f"a function in an executor raised {raised!r}, which a future cannot carry")
    except BaseException as raised:  # noqa: BLE001 - whatever it raises is its caller's
        error = raised
    if slept:
        loop.call_at_ns(loop.now + slept, _deliver, future, result, error)
    else:
        _deliver(future, result, error)


def _deliver(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
