"""The broker: the queues of one app in one account of SQS, and the stores beside it."""

from __future__ import annotations

from taskq.backends.base import Clock, Stores
from taskq.backends.sqs.fifo import FifoSqsBackend
from taskq.backends.sqs.queue import SqsBackend
from taskq.backends.sqs.service import Access, Service
from taskq.backends.sqs.settings import is_fifo
from taskq.backends.stores import BesideStores
from taskq.options import QueueOptions

__all__ = ["SqsBroker"]


class SqsBroker(BesideStores):
    """All queues of one app in one account.

    Args:
        access: how to reach the account.
        clock: time.
        stores: where names, rate limits and locks are kept, for SQS keeps none.
    """

    def __init__(self, access: Access, clock: Clock, stores: Stores) -> None:
        self._service = Service(access, clock)
        self._stores = stores
        self._queues: dict[str, SqsBackend] = {}

    def queue(self, name: str, options: QueueOptions) -> SqsBackend:
        """Return the one backend of this queue; one whose name ends in `.fifo` keeps order.

        Raises:
            ConfigError: SQS takes no such name, or lets nobody own a message for so long.
        """
        backend = self._queues.get(name)
        if backend is None:
            kind = FifoSqsBackend if is_fifo(name) else SqsBackend
            backend = self._queues[name] = kind(self._service, name, options)
        return backend

    async def aclose(self) -> None:
        """Wait for the calls that are under way, polls included, and let clients, threads and stores go."""
        await self._service.aclose()
        await self._stores.aclose()
