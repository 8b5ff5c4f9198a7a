"""What `time.sleep` and `time.monotonic` do under virtual time: it depends on the thread that calls them.

A thread that a virtual loop schedules sleeps in virtual time, code on the loop is told to await, all other threads really sleep.
`time.sleep` is patched while a virtual loop runs, `time.monotonic` by `taskq_testing.loop.wall`. Names that were imported from
`time` before are the real ones whoever calls them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

__all__ = ["may_block", "monotonic", "monotonic_ns", "on_the_loop", "patched", "scheduled_by", "sleeping"]

_REAL: dict[str, Any] = {"sleep": time.sleep, "monotonic_ns": time.monotonic_ns}
"""In a dict because freezegun replaces what modules hold by name."""
_users = 0
_lock = threading.Lock()


class _Here(threading.local):
    """What is special about this thread: the loop that schedules it, and how it sleeps."""

    loop: Any = None
    sleep: Callable[[float], object] = staticmethod(_REAL["sleep"])


_here = _Here()


def monotonic_ns() -> int:
    """Return the nanoseconds of the virtual loop that runs in this thread or schedules it; else those of the machine."""
    loop = _here.loop
    return _REAL["monotonic_ns"]() if loop is None else loop.now  # type: ignore[no-any-return]


def monotonic() -> float:
    """Return the same in seconds."""
    return monotonic_ns() / 1_000_000_000


def may_block() -> bool:
    """Return whether this is code that a loop waits for: a function in an executor, or a handler in a thread."""
    return _here.loop is not None and _here.sleep is not _refuse


def _sleep(seconds: float) -> None:
    _here.sleep(seconds)


def _refuse(seconds: float) -> NoReturn:
    raise RuntimeError(
        f"time.sleep({seconds!r}) blocks the event loop, and moves no virtual time: use `await asyncio.sleep({seconds!r})`."
    )


@contextmanager
def sleeping(sleep: Callable[[float], object]) -> Iterator[None]:
    """Have `time.sleep` call `sleep` in this thread while the block runs and a virtual loop runs somewhere."""
    before, _here.sleep = _here.sleep, sleep
    try:
        yield
    finally:
        _here.sleep = before


@contextmanager
def scheduled_by(loop: Any, sleep: Callable[[float], object]) -> Iterator[None]:
    """Let this thread live in the loop's time while the block runs."""
    before, _here.loop = _here.loop, loop
    try:
        with sleeping(sleep):
            yield
    finally:
        _here.loop = before


@contextmanager
def patched() -> Iterator[None]:
    """Patch `time.sleep` while the block runs."""
    global _users  # noqa: PLW0603 - the time module is one per process, and so is this count
    with _lock:
        _users += 1
        vars(time)["sleep"] = _sleep
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users and time.sleep is _sleep:
                vars(time)["sleep"] = _REAL["sleep"]


@contextmanager
def on_the_loop(loop: Any) -> Iterator[None]:
    """Patch `time.sleep`, and refuse it in this thread, which runs the loop."""
    with patched(), scheduled_by(loop, _refuse):
        yield
