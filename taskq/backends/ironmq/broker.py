"""The broker: the queues of one app in one project of an IronMQ, and the stores beside it."""

from __future__ import annotations

import httpx

from taskq.backends.base import Clock, Stores
from taskq.backends.ironmq.link import Links
from taskq.backends.ironmq.queue import IronMQBackend
from taskq.backends.ironmq.settings import Settings
from taskq.backends.stores import BesideStores
from taskq.options import QueueOptions

__all__ = ["IronMQBroker"]


class IronMQBroker(BesideStores):
    """All queues of one app in one project.

    Args:
        settings: where and who.
        clock: time.
        stores: where names, rate limits and locks are kept, for the service keeps none.
        transport: what carries requests instead of a socket, for instance to a server in the same process; on one event loop.
    """

    def __init__(
        self, settings: Settings, clock: Clock, stores: Stores, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._clock = clock
        self._stores = stores
        self._links = Links(settings, transport)
        self._queues: dict[str, IronMQBackend] = {}

    def queue(self, name: str, options: QueueOptions) -> IronMQBackend:
        """Return the one backend of this queue."""
        backend = self._queues.get(name)
        if backend is None:
            backend = self._queues[name] = IronMQBackend(self._links, self._clock, name, options)
        return backend

    async def aclose(self) -> None:
        """Close the connections of this event loop, and the stores; those of other loops close with their loops."""
        await self._links.link().aclose()
        await self._stores.aclose()
