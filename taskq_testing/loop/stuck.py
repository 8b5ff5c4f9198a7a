"""Reports of a program that cannot go on: which tasks wait, where, and for what."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from typing import Any

__all__ = ["SHOWN", "Deadlock", "Livelock", "describe_callback", "describe_tasks", "describe_threads"]

SHOWN = 12
_FRAMES = ("cr_frame", "gi_frame", "ag_frame")
_AWAITED = ("cr_await", "gi_yieldfrom", "ag_await")


class Deadlock(Exception):  # noqa: N818 - named for what it reports
    """Nothing is ready and no timer is left, but something is still awaited. The text names the tasks that wait."""


class Livelock(Exception):  # noqa: N818 - named for what it reports
    """The program takes steps without end while time stands still. The text names the callbacks that spin."""


def describe_tasks(tasks: Iterable[asyncio.Task[Any]]) -> str:
    """Return one line for each task: its process, name, coroutine, and the line where it waits."""
    lines = []
    for task in tasks:
        domain = getattr(task, "domain", None)
        process = f"{domain.name} ({domain.state}): " if domain is not None else ""
        coroutine: Any = task.get_coro()
        lines.append(f"  {process}{task.get_name()}: {_name(coroutine)} waits at {_position(coroutine)}")
    if len(lines) > SHOWN:
        lines[SHOWN:] = [f"  and {len(lines) - SHOWN} more"]
    return "\n".join(lines)


def describe_threads() -> str:
    """Return a line about threads that no virtual loop schedules, if there are any: perhaps one of them is waited for."""
    others = [thread for thread in threading.enumerate() if not hasattr(thread, "pool") and thread is not threading.main_thread()]
    names = ", ".join(thread.name for thread in others if thread is not threading.current_thread())
    if not names:
        return ""
    return (
        f"\nother threads run ({names}), which a virtual loop does not wait for; start their work by asyncio.to_thread() or "
        "loop.run_in_executor()"
    )


def describe_callback(callback: Any) -> str:
    """Return what a callback is in a few words; a task's step is named by its task."""
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        coroutine: Any = owner.get_coro()
        return f"{owner.get_name()}: {_name(coroutine)} at {_position(coroutine)}"
    return _name(callback)


def _name(thing: Any) -> str:
    return str(getattr(thing, "__qualname__", None) or repr(thing))


def _position(coroutine: Any) -> str:
    """Return where a chain of awaits stands: file:line of the last frame outside of asyncio, and what that awaits."""
    position = awaits = ""
    while coroutine is not None:
        frame = next((f for key in _FRAMES if (f := getattr(coroutine, key, None))), None)
        if frame is not None and frame.f_globals.get("__name__", "").startswith("asyncio."):
            awaits = awaits or f" in {_name(coroutine)}"
        elif frame is not None:
            position, awaits = f"{frame.f_code.co_filename}:{frame.f_lineno}", ""
        coroutine = next((a for key in _AWAITED if (a := getattr(coroutine, key, None)) is not None), None)
    return (position or "its start") + awaits
