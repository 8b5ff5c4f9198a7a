"""The worker limit over all processes: a worker holds one of N named locks while it has work."""

from __future__ import annotations

import asyncio
import logging

from taskq.backends.base import Clock, LockStore
from taskq.core import extension
from taskq.core.retry import backoff
from taskq.errors import BackendError

__all__ = ["Leases"]

logger = logging.getLogger("taskq")

_MARGIN = 10.0
_RETRY, _RETRY_MAX = 0.05, 1.0


class Leases:
    """The locks that one consumer's workers hold; without a limit every call is free."""

    def __init__(self, queue: str, limit: int | None, timeout: float, *, locks: LockStore, clock: Clock) -> None:
        self.limit = limit
        self._queue = queue
        self._ttl = timeout + _MARGIN
        self._locks = locks
        self._clock = clock
        self._owner = clock.new_id().decode()
        self._held: dict[int, tuple[str, float]] = {}

    @property
    def held(self) -> bool:
        """Whether any worker holds a lock."""
        return bool(self._held)

    async def hold(self, worker: int) -> None:
        """Wait until this worker holds a lock."""
        if self.limit is None or worker in self._held:
            return
        tries = 0
        while not await self._try(worker):
            tries += 1
            await asyncio.sleep(backoff(tries, _RETRY, _RETRY_MAX))

    async def _try(self, worker: int) -> bool:
        try:
            return await self._acquire_one(worker)
        except BackendError as error:
            logger.warning("no worker lock of queue %r can be taken now: %s", self._queue, error)
            return False

    async def _acquire_one(self, worker: int) -> bool:
        assert self.limit is not None
        first = int(self._clock.random() * self.limit)
        for offset in range(self.limit):
            key = f"{self._queue}:worker:lock:{(first + offset) % self.limit}"
            expires_at = self._clock.monotonic() + self._ttl
            if await self._locks.acquire(key, f"{self._owner}:{worker}", self._ttl):
                self._held[worker] = (key, expires_at)
                return True
        return False

    async def drop(self, worker: int) -> None:
        """Free this worker's lock; one that cannot be freed now is free when its time is over."""
        held = self._held.pop(worker, None)
        if held is None:
            return
        try:
            await self._locks.unlock(held[0], f"{self._owner}:{worker}")
        except BackendError as error:
            logger.warning("a worker lock of queue %r cannot be freed now: %s", self._queue, error)

    async def renew(self, now: float, share: float) -> list[int]:
        """Renew what is past this share of its time; return the workers whose lock somebody else holds now."""
        lost = []
        for worker, (key, expires_at) in list(self._held.items()):
            if extension.due(expires_at, now, self._ttl, share) and not await self._renew(worker, key, expires_at, now):
                self._held.pop(worker, None)
                lost.append(worker)
        return lost

    async def _renew(self, worker: int, key: str, expires_at: float, now: float) -> bool:
        try:
            held = await self._locks.acquire(key, f"{self._owner}:{worker}", self._ttl)
        except BackendError as error:
            logger.warning("a worker lock of queue %r cannot be renewed: %s", self._queue, error)
            return expires_at > now
        if held and worker in self._held:
            self._held[worker] = (key, now + self._ttl)
        return held
