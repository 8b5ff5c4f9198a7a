"""Posting for many callers: those that come while requests are under way share the next ones. One event loop each."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from taskq.backends.ironmq.calls import MOST, Draft
from taskq.errors import BackendError

__all__ = ["OVERHEAD", "Posted", "Sender"]

Posted = list[str | BackendError]
"""For each message its id, or why it was refused."""

OVERHEAD = 64
"""Bytes that a message takes in a request beside its text, and more than the request takes beside its messages."""

_LANES = 4


class Sender:
    """Makes requests of what it is given, a few at a time.

    Args:
        post: posts what one request carries.
        limit: bytes of a request at most.
    """

    def __init__(self, post: Callable[[Sequence[Draft]], Awaitable[Posted]], limit: int) -> None:
        self._post = post
        self._room = limit - OVERHEAD
        self._waiting: deque[tuple[Sequence[Draft], int, asyncio.Future[Posted]]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()

    async def send(self, written: Iterable[Sequence[Draft]]) -> Posted:
        """Post messages, a few requests at a time; the first are on their way while the others are written.

        What is under way goes on though the caller is cancelled.

        Args:
            written: the messages in order, some at a time.

        Raises:
            BackendError: each request failed; nothing is known to be posted.
        """
        parts: list[tuple[Sequence[Draft], asyncio.Task[Posted | Exception]]] = []
        async with asyncio.TaskGroup() as group:
            for drafts in written:
                parts += [(part, group.create_task(self._share(part, size))) for part, size in self._parts(drafts)]
                await asyncio.sleep(0)
        answers: Posted = []
        failures = []
        for part, task in parts:
            outcome = task.result()
            if isinstance(outcome, BackendError):
                failures.append(outcome)
                answers += [outcome] * len(part)
            elif isinstance(outcome, Exception):
                raise outcome
            else:
                answers += outcome
        if failures and len(failures) == len(parts):
            raise failures[0]
        return answers

    def _parts(self, drafts: Sequence[Draft]) -> list[tuple[Sequence[Draft], int]]:
        """Split messages into what a request carries, and its bytes."""
        parts: list[tuple[Sequence[Draft], int]] = []
        start = size = 0
        for index, draft in enumerate(drafts):
            if index - start == MOST or (size and size + OVERHEAD + draft.size > self._room):
                parts.append((drafts[start:index], size))
                start, size = index, 0
            size += OVERHEAD + draft.size
        if start < len(drafts):
            parts.append((drafts[start:], size))
        return parts

    async def _share(self, part: Sequence[Draft], size: int) -> Posted | Exception:
        future: asyncio.Future[Posted] = asyncio.get_running_loop().create_future()
        self._waiting.append((part, size, future))
        if len(self._under_way) < _LANES:
            self._start()
        try:
            return await future
        except Exception as error:  # noqa: BLE001 - for whoever asked
            return error

    def _start(self) -> None:
        task = asyncio.create_task(self._travel())
        self._under_way.add(task)
        task.add_done_callback(self._arrived)

    async def _travel(self) -> None:
        """Post until nobody waits."""
        while load := self._load():
            try:
                answers = await self._post([draft for part, _ in load for draft in part])
            except asyncio.CancelledError:
                for _, future in load:
                    future.cancel()
                raise
            except Exception as error:  # noqa: BLE001 - it is theirs who wait
                for _, future in load:
                    _settle(future, error)
            else:
                for part, future in load:
                    _settle(future, answers[: len(part)])
                    answers = answers[len(part) :]

    def _load(self) -> list[tuple[Sequence[Draft], asyncio.Future[Posted]]]:
        """Take as many from those that wait as one request carries; those who are gone are left out."""
        load: list[tuple[Sequence[Draft], asyncio.Future[Posted]]] = []
        count = total = 0
        while self._waiting:
            part, size, future = self._waiting[0]
            if load and (count + len(part) > MOST or total + size > self._room):
                break
            self._waiting.popleft()
            if not future.done():
                load.append((part, future))
                count, total = count + len(part), total + size
        return load

    def _arrived(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if task.cancelled():  # with the loop: nobody posts any more
            while self._waiting:
                self._waiting.popleft()[2].cancel()
        elif self._waiting:  # somebody came when it had looked for the last time
            self._start()


def _settle(future: asyncio.Future[Any], outcome: Posted | Exception) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
