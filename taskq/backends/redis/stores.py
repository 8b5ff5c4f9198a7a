"""What the queues of one deployment share: rate limits and locks in Go's layout, and names where a queue cannot claim them."""

from __future__ import annotations

import math

from taskq.backends.redis.deployment import Deployment
from taskq.backends.redis.scripts import LOCK, READ_RATE, SWAP, UNLOCK
from taskq.core import rate_limit
from taskq.core.rate_limit import Grant
from taskq.options import RateLimit

__all__ = ["RedisDedup", "RedisLocks", "RedisRateLimiter"]

_GO_EPOCH = 1483228800
"""2017-01-01, from which Go's redis_rate counts, so that its numbers keep more digits."""


class _Store:
    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment


class RedisDedup(_Store):
    """Names, each under a key of its own."""

    async def claim(self, key: bytes, ttl: float) -> bool:
        """Take a key for `ttl` seconds; False if it is taken."""
        return await self._deployment.call(key, b"SET", key, b"", b"NX", b"PX", math.ceil(ttl * 1000)) is not None

    async def unclaim(self, key: bytes) -> None:
        """Free a key whose message was not added."""
        await self._deployment.call(key, b"DEL", key)


class RedisRateLimiter(_Store):
    """Theoretical arrival times by the server's clock, as Go's redis_rate stores them.

    What is granted is `core.rate_limit`'s to say. Whoever finds that another was faster decides anew.
    """

    async def take(self, key: str, limit: RateLimit, n: int) -> Grant:
        """Ask to start up to `n` messages now."""
        name = key.encode()
        while True:
            stored, now = await self._read(name)
            tat = _GO_EPOCH + float(stored) if stored else now
            grant, following = rate_limit.take(tat, now, limit, n)
            if not grant.allowed or await self._swap(name, stored, following, now):
                return grant

    async def refund(self, key: str, limit: RateLimit, unused: int, grant: Grant) -> None:
        """Give back what was granted and not used."""
        name = key.encode()
        while True:
            stored, now = await self._read(name)
            if not stored:
                return
            following = rate_limit.refund(_GO_EPOCH + float(stored), now, limit, unused, grant)
            if await self._swap(name, stored, following, now):
                return

    async def _read(self, key: bytes) -> tuple[bytes, float]:
        stored, seconds, microseconds = await self._deployment.run(READ_RATE, (key,))
        return stored or b"", int(seconds) + int(microseconds) / 1e6

    async def _swap(self, key: bytes, stored: bytes, tat: float, now: float) -> bool:
        ttl = max(1, math.ceil((tat - now) * 1000))
        return bool(await self._deployment.run(SWAP, (key,), stored, b"%.6f" % (tat - _GO_EPOCH), ttl, b"%.6f" % now))


class RedisLocks(_Store):
    """Locks that hold the name of their owner."""

    async def acquire(self, key: str, owner: str, ttl: float) -> bool:
        """Take or renew a lock; False if another holds it."""
        return bool(await self._deployment.run(LOCK, (key.encode(),), owner, math.ceil(ttl * 1000)))

    async def unlock(self, key: str, owner: str) -> None:
        """Free a lock that `owner` holds."""
        await self._deployment.run(UNLOCK, (key.encode(),), owner)
