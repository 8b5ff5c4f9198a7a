"""What `call_soon` and `call_later` return, as small as asyncio allows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any

from taskq_testing.loop.stuck import describe_callback

__all__ = ["NEVER", "SECOND", "Handle", "Timer", "nanoseconds"]

SECOND = 1_000_000_000
NEVER = 1 << 100


def nanoseconds(seconds: float) -> int:
    """Return the smallest number of nanoseconds that is not less than `seconds`, as floats compare; NEVER for infinity.

    From 48 days on, floats of seconds are coarser than nanoseconds; it still is not less.
    """
    if seconds == float("inf"):
        return NEVER
    count = round(seconds * 1e9)
    return count if count / 1e9 >= seconds else count + 1


def _repr(handle: Any) -> str:
    what = "cancelled" if handle.cancelled() else describe_callback(handle._callback)  # noqa: SLF001 - of this module's handles
    return f"<{type(handle).__name__} {what}>"


class Handle(asyncio.Handle):
    """A callback that is ready to run; `Scheduler.call_soon` makes it and sets its fields."""

    __slots__ = ("domain",)

    domain: Any
    _callback: Callable[..., object]
    _args: tuple[Any, ...]
    _context: Context

    def cancel(self) -> None:
        """Keep the callback from running."""
        self._callback = self._args = None  # type: ignore[assignment]

    def cancelled(self) -> bool:
        """Return whether it was cancelled."""
        return self._callback is None

    __repr__ = _repr


class Timer(asyncio.TimerHandle):
    """A callback that runs when its time has come; the loop makes it and sets its fields.

    Attributes:
        due: when, in nanoseconds since the loop was made.
    """

    __slots__ = ("domain", "due")

    due: int
    _callback: Callable[..., object]
    _args: tuple[Any, ...]
    _context: Context
    _loop: Any  # while it is in the loop's heap

    def when(self) -> float:
        """Return when it is due, in seconds of the loop's time."""
        return self.due / SECOND if self.due < NEVER else float("inf")

    def cancel(self) -> None:
        """Keep the callback from running."""
        if self._callback is not None:
            self._callback = self._args = None  # type: ignore[assignment]
            if self._loop is not None:
                self._loop.timer_cancelled()

    def leave_heap(self) -> bool:
        """Note that it is in the heap no more; return whether it is still to run."""
        self._loop = None
        return self._callback is not None

    def cancelled(self) -> bool:
        """Return whether it was cancelled."""
        return self._callback is None

    __repr__ = _repr
    __eq__ = object.__eq__
    __hash__ = object.__hash__
