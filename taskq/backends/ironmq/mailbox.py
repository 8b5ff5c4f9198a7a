"""One queue of the service by what can be done with its messages: posted, deleted, shifted to another queue. No policy."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from taskq.backends.base import Clock
from taskq.backends.ironmq.calls import Calls, Draft, Owned
from taskq.backends.ironmq.errors import Lost, Refusal
from taskq.backends.ironmq.link import Links
from taskq.core.retry import backoff
from taskq.errors import BackendError, BackendUnavailable

__all__ = ["GONE", "OK", "Mailbox", "patiently"]

T = TypeVar("T")

OK, GONE = 200, 404
_REFUSED = (400, 403, GONE)
_TOO_MUCH = (400, 413)
_RETRY, _RETRY_MAX = 0.1, 2.0


async def patiently(attempt: Callable[[], Awaitable[T]], clock: Clock, patience: float, *, repeatable: bool = False) -> T:
    """Try again and again for some seconds while the service cannot be reached or cannot do it now.

    Args:
        attempt: makes one attempt.
        clock: time.
        patience: seconds.
        repeatable: whether it may be done twice, so that it is tried again after a lost answer too.

    Raises:
        BackendError: what the last attempt raised.
    """
    deadline, failed = clock.monotonic() + patience, 0
    while True:
        try:
            return await attempt()
        except BackendUnavailable as error:
            failed += 1
            pause = backoff(failed, _RETRY, _RETRY_MAX)
            if (isinstance(error, Lost) and not repeatable) or clock.monotonic() + pause > deadline:
                raise
        await asyncio.sleep(pause)


class Mailbox:
    """One queue, which is made when it turns out to be missing.

    Args:
        links: the way to the service.
        name: of the queue.
        timeout: seconds that whoever names no time reserves for, if the queue has to be made.
    """

    def __init__(self, links: Links, name: str, timeout: int) -> None:
        self.calls = Calls(name)
        self.name = name
        self.do = links.do
        self._timeout = timeout
        self._exists = False
        self._making: asyncio.Task[None] | None = None

    async def ensure(self) -> None:
        """Make the queue if it does not exist; one that does stays as it is set.

        Raises:
            BackendError: it is a push queue, or the service refuses.
        """
        if self._exists:
            return
        making = self._making
        if making is None or making.done() or making.get_loop() is not asyncio.get_running_loop():
            making = self._making = asyncio.create_task(self._make())
        await asyncio.shield(making)

    async def _make(self) -> None:
        if await self.size() is None:
            await self.do(self.calls.create(self._timeout))
        self._exists = True

    def forget(self) -> None:
        """Look again whether the queue exists before it is used next."""
        self._exists = False

    async def size(self) -> int | None:
        """Return how many messages it holds, in whatever state; None if it does not exist."""
        try:
            queue = (await self.do(self.calls.describe())).get("queue")
        except Refusal as refusal:
            if queue_is_missing(refusal):
                return None
            raise
        found = queue if isinstance(queue, dict) else {}
        if found.get("type", "pull") != "pull":
            raise BackendError(f"queue {self.name!r} of IronMQ is a push queue; taskq needs a pull queue, so give another name")
        return int(found.get("size", 0))

    async def post(self, drafts: Sequence[Draft]) -> list[str | BackendError]:
        """Post what one request carries; return an id for each message, or why it was refused.

        Raises:
            BackendUnavailable: nothing of it is known to be posted.
        """
        await self.ensure()
        try:
            ids = (await self.do(self.calls.post(drafts))).get("ids")
        except Refusal as refusal:
            if len(drafts) == 1 or refusal.status not in _TOO_MUCH:
                return [refusal] * len(drafts)
        else:
            if not isinstance(ids, list) or len(ids) != len(drafts):
                raise Lost(f"IronMQ answered with other ids than messages were posted to queue {self.name!r}")
            return [str(each) for each in ids]
        half = len(drafts) // 2  # too much for one request, or one of them cannot be taken: the others can
        return await self._post_parts((drafts[:half], drafts[half:]))

    async def _post_parts(self, parts: Sequence[Sequence[Draft]]) -> list[str | BackendError]:
        answers: list[str | BackendError] = []
        for part in parts:
            try:
                answers += await self.post(part)
            except BackendUnavailable as error:
                if not any(isinstance(answer, str) for answer in answers):
                    raise
                answers += [error] * len(part)
        return answers

    async def delete(self, owned: Sequence[Owned]) -> list[int]:
        """Delete messages; return a status for each: `OK`, `GONE`, or another one for those that somebody else has reserved.

        Raises:
            BackendUnavailable: it is not known which were deleted.
        """
        if not owned:
            return []
        try:
            await self.do(self.calls.delete(owned))
        except Refusal as refusal:
            if refusal.status not in _REFUSED:
                raise
            if len(owned) == 1 or queue_is_missing(refusal):
                return [refusal.status] * len(owned)
        else:
            return [OK] * len(owned)
        half = len(owned) // 2  # one of them is refused: the others are not to blame
        return [*await self.delete(owned[:half]), *await self.delete(owned[half:])]


def queue_is_missing(refusal: Refusal) -> bool:
    """Return whether a refusal says that the queue does not exist."""
    return refusal.status == GONE and refusal.text == "Queue not found"
