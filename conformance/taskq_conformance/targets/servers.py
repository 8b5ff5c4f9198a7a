"""What targets in real time share: claims, ticks, and how a service is started for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from taskq.backends import connect
from taskq.backends.base import Clock
from taskq.backends.memory import MemoryBroker
from taskq_conformance.capabilities import Capabilities
from taskq_conformance.listening import Kept
from taskq_conformance.profile import Connect, Profile, Service, Unavailable, of_url
from taskq_conformance.targets.fakeredis import CLAIMS as REDIS
from taskq_conformance.targets.moto import CLAIMS as SQS

__all__ = ["kept", "redis_profile", "sqs_connect", "sqs_profile", "sqs_started", "started", "variable"]


def redis_profile(name: str, service: Service, about: str, versions: Callable[[], Mapping[str, str]] = dict) -> Profile:
    """Return the profile of a real server of Redis or Valkey."""
    return Profile(
        name=name, service=service, about=about, versions=versions,
        capabilities=REDIS, time="real", tick=0.5, late=1.0, width=24, default=False,
    )  # fmt: skip


def sqs_profile(
    name: str, service: Service, about: str, *, claims: Capabilities = SQS, expected: Mapping[str, str] | None = None
) -> Profile:
    """Return the profile of a service that speaks SQS; names, rate limits and locks are kept in this process."""
    return Profile(
        name=name, service=service, about=about, capabilities=claims, expected=expected or {},
        time="real", tick=1.0, late=2.1, width=32, default=False,
    )  # fmt: skip


def started(
    server: Callable[[], AbstractContextManager[Any]], connecting: Callable[[Any, Clock], Connect] | None = None
) -> Service:
    """Return a service that starts something, and says why it cannot.

    Args:
        server: starts it, and gives what there is to connect to.
        connecting: makes a connection of what it gave; without it, that is a connection or has a URL.
    """

    @contextmanager
    def service(clock: Clock) -> Iterator[Connect]:
        from taskq_testing.services import ServiceError  # noqa: PLC0415 - it needs redis-py

        with ExitStack() as running:
            try:
                found = running.enter_context(server())
            except (ServiceError, ImportError) as error:
                raise Unavailable(str(error)) from None
            if connecting is not None:
                yield connecting(found, clock)
            else:
                yield of_url(found.url) if hasattr(found, "url") else found

    return service


@contextmanager
def kept(binary: Any) -> Iterator[Kept]:
    """Run a server that writes down all that it does, and give what connects to it."""
    from taskq_testing.services import redis_server  # noqa: PLC0415 - it needs redis-py

    with redis_server(binary, appendonly="everysec", config={"auto-aof-rewrite-percentage": 0}) as server:
        yield Kept(of_url(server.url), server.directory)


def sqs_started(server: Callable[[], AbstractContextManager[Any]]) -> Service:
    """Return the same for a server that speaks SQS; its processes share one client and one store."""
    return started(server, lambda found, clock: sqs_connect(found.client(max_pool_connections=200), clock))


def sqs_connect(client: Any, clock: Clock) -> Connect:
    """Return what connects processes by one client, with names, rate limits and locks in one store."""
    stores = MemoryBroker(clock)
    return lambda own: connect("sqs://", own, client, stores)


def variable(name: str) -> str:
    """Return a variable of the environment.

    Raises:
        Unavailable: it is not set.
    """
    value = os.environ.get(name)
    if not value:
        raise Unavailable(f"{name} is not set; give it the URL of a service")
    return value
