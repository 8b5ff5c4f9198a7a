"""Names, rate limits and locks beside a service that keeps none: those of another backend, or of this process. No policy.

SQS and IronMQ hold messages and nothing else. A broker of theirs hands out `dedup`, `limiter` and `locks` of its stores, and
closes them with itself; `taskq.backends.connect` chooses the stores and gives them to the broker.
"""

from __future__ import annotations

import logging
import threading
from urllib.parse import unquote

from taskq.backends.base import Clock, DedupStore, LockStore, RateLimiter, Stores
from taskq.backends.memory import MemoryBroker
from taskq.backends.memory_stores import MemoryDedup, MemoryLocks, MemoryRateLimiter
from taskq.core.rate_limit import Grant
from taskq.errors import ConfigError
from taskq.options import RateLimit

__all__ = ["BesideStores", "LocalStores", "take_store"]

logger = logging.getLogger("taskq")


class BesideStores:
    """The part of a broker that its service has not: names, rate limits and locks are those of stores beside it."""

    _stores: Stores

    @property
    def dedup(self) -> DedupStore:
        """Remembers names."""
        return self._stores.dedup

    @property
    def limiter(self) -> RateLimiter:
        """Limits rates."""
        return self._stores.limiter

    @property
    def locks(self) -> LockStore:
        """Holds locks."""
        return self._stores.locks


def take_store(url: str) -> tuple[str, str | None]:
    """Return a URL without its parameter `store`, and what that says, percent-decoded; None where there is none.

    Raises:
        ConfigError: it is there twice.
    """
    place, mark, query = url.partition("?")
    parameters = query.split("&")
    found = [unquote(each.partition("=")[2]) for each in parameters if each.partition("=")[0] == "store"]
    if len(found) > 1:
        raise ConfigError("the backend URL names two stores; give one")
    rest = "&".join(each for each in parameters if each.partition("=")[0] != "store")
    return place + (mark + rest if rest else ""), found[0] if found else None


class LocalStores:
    """Names, rate limits and locks that this process alone knows; says so once, when the first of them is used.

    Args:
        clock: by whose monotonic time they pass.
        service: what keeps none itself, for the warning.
    """

    def __init__(self, clock: Clock, service: str) -> None:
        self.clock = clock
        self.dedup: DedupStore = _Dedup(self)
        self.limiter: RateLimiter = _RateLimiter(self)
        self.locks: LockStore = _Locks(self)
        self._broker = MemoryBroker(clock)
        self._service = service
        self._told = False

    @property
    def lock(self) -> threading.Lock:
        """What guards them; a forked child has another one."""
        return self._broker.lock

    def tell(self) -> None:
        """Warn, the first time."""
        if not self._told:
            self._told = True
            logger.warning(
                "%s keeps no names, rate limits or worker limits, and this process shares its own with no other; "
                "give taskq.App(..., store='redis://...') to share them, or store='memory://' if it is the only one",
                self._service,
            )

    async def aclose(self) -> None:
        """Do nothing: they live as long as this object."""


class _Dedup(MemoryDedup):
    _shared: LocalStores

    async def claim(self, key: bytes, ttl: float) -> bool:
        """Warn, and take a key."""
        self._shared.tell()
        return await super().claim(key, ttl)


class _RateLimiter(MemoryRateLimiter):
    _shared: LocalStores

    async def take(self, key: str, limit: RateLimit, n: int) -> Grant:
        """Warn, and ask to start."""
        self._shared.tell()
        return await super().take(key, limit, n)


class _Locks(MemoryLocks):
    _shared: LocalStores

    async def acquire(self, key: str, owner: str, ttl: float) -> bool:
        """Warn, and take a lock."""
        self._shared.tell()
        return await super().acquire(key, owner, ttl)
