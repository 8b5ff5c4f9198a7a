"""Where connections come from: a URL, or a client that the user made. redis-py makes them; nothing is decided here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import redis.asyncio.connection as async_connection
import redis.connection as blocking_connection
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from taskq.errors import ConfigError

__all__ = ["Address", "Connector", "connector_for", "from_client"]

CONNECT_TIMEOUT = 5.0
"""Seconds until a server that does not take a connection, or a blocking one that does not answer, counts as unreachable."""

_CLUSTER_PORT = 6379
_SENTINEL_PORT = 26379
_Kinds = tuple[type[Any], type[Any]]
_PLAIN: _Kinds = (async_connection.Connection, blocking_connection.Connection)
_TLS: _Kinds = (async_connection.SSLConnection, blocking_connection.SSLConnection)
_UNIX: _Kinds = (async_connection.UnixDomainSocketConnection, blocking_connection.UnixDomainSocketConnection)
_KEPT = ("host", "port", "db", "username", "password", "credential_provider", "path", "client_name")


class Address(NamedTuple):
    """One server of several."""

    host: str
    port: int


class Opener(NamedTuple):
    """Makes connections, to the server it is given, or to the one it knows.

    Attributes:
        asyncio: returns a new asyncio connection, not connected yet.
        blocking: returns a new blocking one; None where there is none.
    """

    asyncio: Callable[[Address | None], Any]
    blocking: Callable[[Address | None], Any] | None


class Connector(NamedTuple):
    """One deployment of Redis.

    Attributes:
        where: the server, without credentials, for people.
        servers: makes connections to those that hold data.
        sentinels: makes connections to those that know who the primary is.
        nodes: where to ask first, of a cluster or of the sentinels; empty for a single server.
        service: the name that the sentinels know the primary by; empty without them.
    """

    where: str
    servers: Opener
    sentinels: Opener | None = None
    nodes: tuple[Address, ...] = ()
    service: str = ""

    @property
    def is_cluster(self) -> bool:
        """Whether keys are spread over the nodes."""
        return bool(self.nodes) and not self.service


def connector_for(url: str) -> Connector:
    """Return what connects to a URL; no connection is made.

    `redis://`, `rediss://` (TLS) and `unix://` as redis-py reads them; `redis+cluster://` and `rediss+cluster://` with nodes
    separated by commas; `redis+sentinel://` and `rediss+sentinel://` likewise with sentinels, and `/service/db` behind them.

    Raises:
        ConfigError: the URL cannot be read.
    """
    scheme = url.partition("://")[0]
    try:
        if scheme.endswith("+cluster"):
            return _cluster(_Parts.of(url, _CLUSTER_PORT))
        if scheme.endswith("+sentinel"):
            return _sentinel(_Parts.of(url, _SENTINEL_PORT))
        return _single(url)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"the Redis URL cannot be read ({error}); give redis://[user:password@]host:port/db") from None


def from_client(client: Any) -> Connector:
    """Return what connects as a redis-py client does, asyncio or blocking; the client itself is left alone.

    Raises:
        ConfigError: it is no redis-py client, or its connections are of a class of its own.
    """
    nodes = getattr(client, "nodes_manager", None)
    if nodes is not None:
        addresses = tuple(Address(node.host, int(node.port)) for node in nodes.startup_nodes.values())
        kinds = _TLS if issubclass(nodes.connection_kwargs.get("connection_class", _PLAIN[0]), _TLS) else _PLAIN
        return Connector(_joined(addresses), _opener(kinds, _given(nodes.connection_kwargs)), nodes=addresses)
    pool = getattr(client, "connection_pool", None)
    if pool is None:
        raise ConfigError(f"a {type(client).__name__} is no redis-py client; give a redis.Redis or a redis.asyncio.Redis")
    given, manager = _given(pool.connection_kwargs), getattr(pool, "sentinel_manager", None)
    if manager is not None:
        sources = [each.connection_pool.connection_kwargs for each in manager.sentinels]
        addresses = tuple(Address(source["host"], int(source["port"])) for source in sources)
        kinds = _TLS if issubclass(pool.connection_class, _TLS) else _PLAIN
        sentinels = _opener(_PLAIN, _given(manager.sentinel_kwargs))
        where = f"{pool.service_name} of {_joined(addresses)}"
        return Connector(where, _opener(kinds, given), sentinels, addresses, pool.service_name)
    for kinds in (_PLAIN, _TLS, _UNIX):
        if pool.connection_class in kinds:
            return Connector(_where(given), _opener(kinds, given))
    raise ConfigError(f"connections of the class {pool.connection_class.__name__} are not known here; give a URL instead")


def _given(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what says where and who; how long to wait and how often to try is ours to set."""
    return {name: value for name, value in kwargs.items() if value is not None and (name in _KEPT or name.startswith("ssl_"))}


def _where(given: Mapping[str, Any]) -> str:
    return str(given.get("path") or f"{given.get('host', 'localhost')}:{given.get('port', 6379)}")


def _joined(addresses: tuple[Address, ...]) -> str:
    return ",".join(f"{host}:{port}" for host, port in addresses)


def _opener(kinds: _Kinds, given: dict[str, Any]) -> Opener:
    ours: dict[str, Any] = {"protocol": 2, "socket_connect_timeout": CONNECT_TIMEOUT, "health_check_interval": 0}
    if kinds is not _UNIX:
        ours["socket_keepalive"] = True

    def connect(kind: Any, settings: dict[str, Any], address: Address | None) -> Any:
        where = {} if address is None else address._asdict()
        return kind(**given | ours | settings | where)

    def asynchronous(address: Address | None) -> Any:
        return connect(kinds[0], {"retry": AsyncRetry(NoBackoff(), 0), "socket_timeout": None}, address)

    def blocking(address: Address | None) -> Any:
        return connect(kinds[1], {"retry": Retry(NoBackoff(), 0), "socket_timeout": CONNECT_TIMEOUT}, address)

    blocking(None)  # a setting that no connection knows is told when the app is made
    return Opener(asynchronous, blocking)


def _single(url: str) -> Connector:
    given: dict[str, Any] = dict(parse_url(url))
    kinds = {_TLS[0]: _TLS, _UNIX[0]: _UNIX}.get(given.pop("connection_class", None), _PLAIN)
    return Connector(_where(given), _opener(kinds, given))


def _cluster(parts: _Parts) -> Connector:
    if parts.path.strip("/") not in ("", "0"):
        raise ValueError("a cluster has database 0 only")
    return Connector(_joined(parts.addresses), _opener(parts.kinds, parts.given), nodes=parts.addresses)


def _sentinel(parts: _Parts) -> Connector:
    service, _, db = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError("the name of the service is missing behind the sentinels: redis+sentinel://host:port/service")
    own = {name: parts.given.pop(f"sentinel_{name}") for name in ("username", "password") if f"sentinel_{name}" in parts.given}
    servers, sentinels = _opener(parts.kinds, parts.given | {"db": int(db or 0)}), _opener(_PLAIN, own)
    return Connector(f"{service} of {_joined(parts.addresses)}", servers, sentinels, parts.addresses, service)


class _Parts(NamedTuple):
    """What a URL of several servers says."""

    kinds: _Kinds
    addresses: tuple[Address, ...]
    path: str
    given: dict[str, Any]

    @classmethod
    def of(cls, url: str, port: int) -> _Parts:
        scheme, _, rest = url.partition("://")
        kind = scheme.partition("+")[0]
        if kind not in ("redis", "rediss"):
            raise ValueError(f"{scheme}:// is unknown")
        place, _, query = rest.partition("?")
        authority, _, path = place.partition("/")
        credentials, _, hosts = authority.rpartition("@")
        user, _, password = (unquote(part) for part in credentials.partition(":"))
        addresses = tuple(_address(text, port) for text in hosts.split(",") if text)
        if not addresses:
            raise ValueError("it names no host")
        given: dict[str, Any] = dict(parse_qsl(query))
        given |= {"username": user} if user else {}
        given |= {"password": password} if password else {}
        return cls(_TLS if kind == "rediss" else _PLAIN, addresses, path, given)


def _address(text: str, port: int) -> Address:
    split = urlsplit(f"//{text}")
    if not split.hostname:
        raise ValueError(f"{text!r} is no host")
    return Address(split.hostname, split.port or port)
