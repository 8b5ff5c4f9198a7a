"""Tasks and futures that sets keep in order of creation, and the same for asyncio's own sets while a virtual loop exists.

CPython iterates a set by the hashes of what is in it, and hashes tasks by their address, which differs from run to run.
"""

from __future__ import annotations

import asyncio
import asyncio.tasks
from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["Future", "Task", "ordered_sets", "plain_sets"]


class Future(asyncio.Future[Any]):
    """A future whose hash is its number on its loop: how many were hashed there before it."""

    __slots__ = ("_number",)
    _number: int

    def __hash__(self) -> int:
        try:
            return self._number
        except AttributeError:
            self._number = number = self.get_loop().next_number()  # type: ignore[attr-defined]
            return number  # type: ignore[no-any-return]


class Task(asyncio.Task[Any]):
    """A task whose hash is its number on its loop; asyncio hashes each when it is made."""

    __slots__ = ("_number", "domain")
    _number: int
    domain: Any

    __hash__ = Future.__hash__


class _GatheringFuture(asyncio.tasks._GatheringFuture, Future):  # type: ignore[name-defined,misc]  # noqa: SLF001 - no public name
    """What `asyncio.gather` returns, hashed by its number."""

    __hash__ = Future.__hash__


_NUMBERED = (Future, Task)


def _set(items: Iterable[Any] = ()) -> Iterable[Any]:
    """Return a set, or the distinct items in their order where some have hashes that differ from run to run."""
    items = list(items)
    for item in items:
        if not isinstance(item, _NUMBERED):
            return list(dict.fromkeys(items))
    return set(items)


class _InOrder:
    """A weak set of tasks as asyncio keeps it, iterated in order of creation."""

    def __init__(self, tasks: Any) -> None:
        self._tasks = tasks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tasks, name)

    def __iter__(self) -> Iterator[Any]:
        return iter(sorted(self._tasks, key=hash))


_REGISTRY = next(name for name in ("_scheduled_tasks", "_all_tasks") if hasattr(asyncio.tasks, name))
_PLAIN: dict[str, Any] = {}
_users = 0


def ordered_sets() -> None:
    """Make `asyncio.wait`, `as_completed`, `gather` and `all_tasks` iterate in one order, until `plain_sets` as often."""
    global _users  # noqa: PLW0603 - asyncio.tasks is one per process, and so is this count
    _users += 1
    if _users == 1:
        _PLAIN.update({name: vars(asyncio.tasks)[name] for name in ("_GatheringFuture", _REGISTRY)})
        replaced = {"set": _set, "_GatheringFuture": _GatheringFuture, _REGISTRY: _InOrder(_PLAIN[_REGISTRY])}
        vars(asyncio.tasks).update(replaced)


def plain_sets() -> None:
    """Undo one `ordered_sets`."""
    global _users  # noqa: PLW0603
    _users -= 1
    if _users == 0:
        vars(asyncio.tasks).update(_PLAIN)
        del vars(asyncio.tasks)["set"]
