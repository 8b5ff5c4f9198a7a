"""The broker: the queues of one app on one deployment of Redis, and what they share."""

from __future__ import annotations

from taskq.backends.base import Clock
from taskq.backends.redis.connections import Connector
from taskq.backends.redis.deployment import Deployment
from taskq.backends.redis.links import Links
from taskq.backends.redis.queue import BlockingRedisBackend, RedisBackend
from taskq.backends.redis.stores import RedisDedup, RedisLocks, RedisRateLimiter
from taskq.options import QueueOptions

__all__ = ["RedisBroker"]


class RedisBroker:
    """All queues of one app on one deployment."""

    def __init__(self, connector: Connector, clock: Clock, links: Links | None = None) -> None:
        self._deployment = Deployment(connector, clock, links or Links())
        self.dedup = RedisDedup(self._deployment)
        self.limiter = RedisRateLimiter(self._deployment)
        self.locks = RedisLocks(self._deployment)
        self._queues: dict[str, RedisBackend] = {}

    def queue(self, name: str, options: QueueOptions) -> RedisBackend:
        """Return the one backend of this queue."""
        backend = self._queues.get(name)
        if backend is None:
            kind = BlockingRedisBackend if self._deployment.connector.servers.blocking is not None else RedisBackend
            backend = self._queues[name] = kind(self._deployment, name, options)
        return backend

    async def aclose(self) -> None:
        """Close the connections of this loop and of the threads; those of other loops close with their loops."""
        await self._deployment.aclose()
