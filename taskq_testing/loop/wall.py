"""The wall clock of the process made to follow virtual time: `datetime.now()`, `time.time()` and their like.

The time is asked for at each read, so it is right between two timers, after a jump of the clock, and in each of several
simulated processes if the clock is one that tells them apart. `time.monotonic()` follows the loop where a virtual loop runs or
schedules the thread, and is real everywhere else: real event loops, pytest and its timeouts go on.
"""

from __future__ import annotations

import datetime as dt
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Literal, Protocol

from taskq_testing.loop import blocking

__all__ = ["Tool", "WallClock", "wall_clock"]

Tool = Literal["auto", "time_machine", "freezegun", "off"]
_PERF_COUNTERS = {name: getattr(time, name) for name in ("perf_counter", "perf_counter_ns")}
_KEPT = ("_pytest.runner", "_pytest.timing", "subprocess", "threading")
"""Modules that wait or measure in real time; freezegun would have them wait for ever, or report tests that last for decades."""


class WallClock(Protocol):
    """What is followed."""

    def now(self) -> float:
        """Return unix seconds."""


@contextmanager
def wall_clock(clock: WallClock, tool: Tool = "auto") -> Iterator[None]:
    """Let the wall clock of this process follow `clock` while the block runs. Blocks nest; the innermost counts.

    Args:
        clock: a `VirtualClock`, or anything with a `now()`. It is asked with microseconds.
        tool: what patches the standard library. "auto" takes time-machine, which is much faster, else freezegun, else nothing.

    Raises:
        ValueError: there is no such tool.
        ImportError: the tool is not installed.
    """
    if tool not in {"auto", "off", *_TOOLS}:
        raise ValueError(f"tool={tool!r} is unknown; use one of auto, off, {', '.join(_TOOLS)}")
    names = list(_TOOLS) if tool == "auto" else [tool]
    with ExitStack() as stack:
        for name in names:
            if name == "off" or (tool == "auto" and not _installed(name)):
                continue
            stack.enter_context(_TOOLS[name](lambda: round(clock.now() * 1e6)))
            stack.enter_context(_patched({"monotonic": blocking.monotonic, "monotonic_ns": blocking.monotonic_ns}))
            break
        yield


def _installed(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


@contextmanager
def _patched(replacements: dict[str, Callable[[], float]]) -> Iterator[None]:
    """Replace functions of the time module."""
    before = {name: getattr(time, name) for name in replacements}
    vars(time).update(replacements)
    try:
        yield
    finally:
        vars(time).update(before)


@contextmanager
def _time_machine(microseconds: Callable[[], int]) -> Iterator[None]:
    """Follow with time-machine, whose traveller is asked for the time at each read."""
    time_machine = importlib.import_module("time_machine")
    with time_machine.travel(microseconds() / 1e6, tick=False) as traveller:
        traveller.time_ns = lambda: microseconds() * 1000
        yield


@contextmanager
def _freezegun(microseconds: Callable[[], int]) -> Iterator[None]:
    """Follow with freezegun, whose factory is asked for the time at each read.

    It tells the real time to code that `threading` called, as handlers in threads are, and it stops what measures real time.
    Both are put right here.
    """
    freezegun = importlib.import_module("freezegun")
    kept = [(vars(sys.modules[name]), dict(vars(sys.modules[name]))) for name in _KEPT if name in sys.modules]
    freezer = freezegun.freeze_time(_moment(microseconds()), tick=False)
    freezer.ignore = tuple(name for name in freezer.ignore if name != "threading")
    with freezer as factory:
        for module, before in kept:
            module.update(before)
        factory.__class__ = type("Following", (type(factory),), {"__call__": lambda _: _moment(microseconds())})
        with _patched(_PERF_COUNTERS):
            yield


def _moment(microseconds: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=microseconds)


_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - freezegun's times are UTC and say nothing of it
_TOOLS: dict[str, Callable[[Callable[[], int]], AbstractContextManager[None]]] = {
    "time_machine": _time_machine,
    "freezegun": _freezegun,
}
