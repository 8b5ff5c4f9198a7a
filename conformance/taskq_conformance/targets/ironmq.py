"""The production IronMQ adapter on our emulator of the service, without a socket and in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from taskq.backends.base import Clock
from taskq.backends.ironmq import IronMQBroker, settings_for
from taskq.backends.memory import MemoryBroker
from taskq_conformance.capabilities import Capabilities, Counting, Max, Ordering, Purging, Unsupported, Window
from taskq_conformance.profile import Connect, Profile
from taskq_testing.ironmq_server import IronMQTransport, Service

__all__ = ["ironmq"]


class _Network(IronMQTransport):
    """Lets others have a turn on the way to the service and back, as any network does: a call is no single step."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        response = await super().handle_async_request(request)
        await asyncio.sleep(0)
        return response


@contextmanager
def _service(clock: Clock) -> Iterator[Connect]:
    transport = _Network(Service(token="token", project="project"))  # noqa: S106 - a fake for a fake
    stores = MemoryBroker(clock)  # beside the service, shared by all processes
    settings = settings_for("ironmq+http://project:token@ironmq/", {})
    yield lambda own: IronMQBroker(settings, own, stores, transport)


ironmq = Profile(
    name="ironmq",
    service=_service,
    capabilities=Capabilities(
        delay=Max(604_800.0),
        dedup=Window(),
        payload=Max(206_438.0),
        batch=Max(100.0),
        counting=Counting.TOTAL,
        purging=Purging.EVERYTHING,
        ordering=Ordering.NONE,
        repeated_sends=Unsupported("the service does not compare ids"),
    ),
    late=1.0 + 1e-3,
    expected={
        "payload.the_largest_message_is_accepted": "what fits depends on the bytes: quotes and backslashes of ascii85 are "
        "escaped in JSON, so that up to 2.4 % less than the declared limit is accepted; the rest is refused as too large"
    },
    about="the IronMQ backend on our emulator, in virtual time",
)
