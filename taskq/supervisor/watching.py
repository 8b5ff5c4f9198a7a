"""Waits until a source file changes. Comparing tells what did; watchfiles, where installed, only says when to compare."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

__all__ = ["SourceWatch"]

_POLL = 0.5
"""Seconds between two comparisons without watchfiles."""

_CALM = 0.1
"""Seconds without another change after which a change counts as whole: editors write several files, or one in steps."""

_TIMEOUT_MS = 1000
"""Milliseconds after which the files are compared even if watchfiles saw nothing."""

_State = dict[Path, tuple[int, int]]


class SourceWatch:
    """The `.py` files that lie right in some folders.

    A folder is compared with how it was when it was last found changed, at first with how it was at a moment that is given:
    nothing that happens while nobody waits is missed.
    """

    def __init__(self, wait: Callable[[Iterable[Path]], Awaitable[None]] | None = None) -> None:
        self._wait = wait or _chosen_wait()
        self._folders: dict[Path, _State] = {}

    def follow(self, folders: Iterable[str], since: float) -> None:
        """Watch these folders too.

        Args:
            folders: where they are.
            since: unix seconds; a file that is newer counts as changed, for a process that began then may have read it before.
        """
        for folder in map(Path, folders):
            if folder not in self._folders:
                self._folders[folder] = {path: facts for path, facts in _state(folder).items() if facts[0] < since * 1e9}

    async def changed(self) -> list[Path]:
        """Wait until files changed, appeared or went, and return them once nothing more changes."""
        while not (found := self._differences()):
            await self._wait(self._folders)
        while True:
            await asyncio.sleep(_CALM)
            if not (more := self._differences()):
                return sorted(found)
            found |= more

    def _differences(self) -> set[Path]:
        found: set[Path] = set()
        for folder, before in self._folders.items():
            now = self._folders[folder] = _state(folder)
            found |= {path for path in before.keys() | now.keys() if before.get(path) != now.get(path)}
        return found


def _state(folder: Path) -> _State:
    state: _State = {}
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.suffix == ".py":
                with contextlib.suppress(OSError):  # it went just now
                    facts = path.stat()
                    state[path] = (facts.st_mtime_ns, facts.st_size)
    return state


def _chosen_wait() -> Callable[[Iterable[Path]], Awaitable[None]]:
    try:
        import watchfiles  # noqa: PLC0415 - an extra
    except ImportError:
        return poll
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # it tells of each file, also of those that change nothing here

    async def stirred(folders: Iterable[Path]) -> None:
        existing = [folder for folder in folders if folder.is_dir()]
        if not existing:
            await poll(folders)
            return
        changes = watchfiles.awatch(
            *existing, watch_filter=_is_source, recursive=False, rust_timeout=_TIMEOUT_MS, yield_on_timeout=True
        )
        async with contextlib.aclosing(changes):
            await anext(changes)

    return stirred


def _is_source(_: object, path: str) -> bool:
    return path.endswith(".py")


async def poll(folders: Iterable[Path]) -> None:  # noqa: ARG001 - it compares them all anyway
    """Wait for the next comparison."""
    await asyncio.sleep(_POLL)
