"""Backends: `connect` turns a URL into a broker. One module per service; `base` says what each has to do."""

from __future__ import annotations

from typing import Any

from taskq.backends.base import Broker, Clock, Stores
from taskq.backends.memory import MemoryBroker
from taskq.backends.stores import LocalStores, take_store
from taskq.errors import ConfigError

__all__ = ["SCHEMES", "connect"]

REDIS = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel")
COMPLETE = ("memory", *REDIS)
"""What keeps names, rate limits and locks itself, and for other services too."""

IRONMQ = ("ironmq", "ironmq+http")
SCHEMES = (*COMPLETE, *IRONMQ, "sqs")


def connect(url: str, clock: Clock, client: Any = None, store: str | Stores | None = None) -> Broker:
    """Return the broker for a URL. No connection is made yet.

    Args:
        url: where messages live.
        clock: time and randomness.
        client: a client of the service; where it is, and who it is there, counts instead of what the URL says.
        store: where names, rate limits and locks live if the service keeps none: a URL, or an object of one's own; None
            means the parameter `store` of `url`, and without it this process alone.

    Raises:
        ConfigError: the URL cannot be read, nothing here serves its scheme, or what serves it is not installed.
    """
    if not isinstance(url, str) or "://" not in url:
        raise ConfigError("the backend URL names no service; give one such as memory://")
    scheme = url.partition("://")[0]
    if scheme in COMPLETE and store is not None:
        raise ConfigError(f"{scheme}:// keeps names, rate limits and locks itself; leave out store")
    if scheme == "memory":
        return MemoryBroker(clock)
    if scheme in REDIS:
        try:
            from taskq.backends import redis  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ConfigError(f"{scheme}:// needs redis-py ({error}); install taskq[redis]") from None
        return redis.RedisBroker(redis.connector_for(url) if client is None else redis.from_client(client), clock)
    if scheme in IRONMQ:
        return _ironmq(scheme, url, clock, client, store)
    if scheme == "sqs":
        return _sqs(url, clock, client, store)
    known = ", ".join(f"{name}://" for name in SCHEMES)
    raise ConfigError(f"no backend serves URLs that begin with {scheme}://; give {known}")


def _ironmq(scheme: str, url: str, clock: Clock, client: Any, store: str | Stores | None) -> Broker:
    try:
        from taskq.backends import ironmq  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(f"{scheme}:// needs httpx ({error}); install taskq[ironmq]") from None
    if client is not None:
        raise ConfigError(f"{scheme}:// makes its own client for each event loop; leave out client")
    place, stores = with_stores(url, clock, store)
    return ironmq.IronMQBroker(ironmq.configured(place), clock, stores)


def _sqs(url: str, clock: Clock, client: Any, store: str | Stores | None) -> Broker:
    try:
        from taskq.backends import sqs  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(f"sqs:// needs boto3 ({error}); install taskq[sqs]") from None
    place, stores = with_stores(url, clock, store)
    return sqs.SqsBroker(sqs.access_for(place) if client is None else sqs.from_client(client, place), clock, stores)


def with_stores(url: str, clock: Clock, store: str | Stores | None) -> tuple[str, Stores]:
    """Return a URL without its parameter `store`, and the stores that it or the argument names.

    Raises:
        ConfigError: both name one, or it is of a service that keeps none.
    """
    place, named = take_store(url)
    if named is not None and store is not None:
        raise ConfigError("the backend URL names a store and store=... another; give one of them")
    chosen = named if store is None else store
    if chosen is None:
        return place, LocalStores(clock, f"{url.partition('://')[0]}://")
    if not isinstance(chosen, str):
        return place, chosen
    scheme = chosen.partition("://")[0]
    if scheme not in COMPLETE:
        raise ConfigError(f"{scheme}:// keeps no names, rate limits and locks; give store='redis://...' or store='memory://'")
    return place, connect(chosen, clock)
