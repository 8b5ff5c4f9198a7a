"""The small stores that the queues of one in-memory broker share: dedup names, rate limits, locks. No policy."""

from __future__ import annotations

import heapq
import threading
from typing import Protocol

from taskq.backends.base import Clock
from taskq.core import rate_limit
from taskq.core.rate_limit import Grant
from taskq.options import RateLimit

__all__ = ["MemoryDedup", "MemoryLocks", "MemoryRateLimiter"]


class Shared(Protocol):
    """What the stores hang on; their broker."""

    @property
    def clock(self) -> Clock:
        """By whose monotonic time they pass."""

    @property
    def lock(self) -> threading.Lock:
        """What guards them."""


class MemoryDedup:
    """Names and when they become free."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.taken: dict[bytes, float] = {}
        self.expiry: list[tuple[float, bytes]] = []

    def take(self, key: bytes, ttl: float, now: float) -> bool:
        """Take a key; the caller holds the broker's lock."""
        while self.expiry and self.expiry[0][0] <= now:
            until, old = heapq.heappop(self.expiry)
            if self.taken.get(old) == until:
                del self.taken[old]
        if key in self.taken:
            return False
        self.taken[key] = now + ttl
        heapq.heappush(self.expiry, (now + ttl, key))
        return True

    async def claim(self, key: bytes, ttl: float) -> bool:
        """Take a key for `ttl` seconds; False if it is taken."""
        with self._shared.lock:
            return self.take(key, ttl, self._shared.clock.monotonic())

    async def unclaim(self, key: bytes) -> None:
        """Free a key."""
        with self._shared.lock:
            self.taken.pop(key, None)


class MemoryRateLimiter:
    """Theoretical arrival times by key."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.tats: dict[str, float] = {}

    async def take(self, key: str, limit: RateLimit, n: int) -> Grant:
        """Ask to start up to `n` messages now."""
        with self._shared.lock:
            now = self._shared.clock.monotonic()
            grant, self.tats[key] = rate_limit.take(self.tats.get(key, now), now, limit, n)
        return grant

    async def refund(self, key: str, limit: RateLimit, unused: int, grant: Grant) -> None:
        """Give back what was granted and not used."""
        with self._shared.lock:
            now = self._shared.clock.monotonic()
            self.tats[key] = rate_limit.refund(self.tats.get(key, now), now, limit, unused, grant)


class MemoryLocks:
    """Owners of locks and until when they hold them."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.held: dict[str, tuple[str, float]] = {}

    async def acquire(self, key: str, owner: str, ttl: float) -> bool:
        """Take or renew a lock; False if another holds it."""
        with self._shared.lock:
            now = self._shared.clock.monotonic()
            holder, until = self.held.get(key, (owner, 0.0))
            if holder != owner and until > now:
                return False
            self.held[key] = (owner, now + ttl)
        return True

    async def unlock(self, key: str, owner: str) -> None:
        """Free a lock that `owner` holds."""
        with self._shared.lock:
            if self.held.get(key, ("", 0.0))[0] == owner:
                del self.held[key]
