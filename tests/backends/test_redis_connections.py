"""Where the Redis backend connects: URLs, clients, and what cannot be read."""

import sys

import pytest
import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel

import taskq
from taskq.backends.redis.connections import Address, connector_for, from_client
from taskq.errors import ConfigError


def settings(connector, *names, address=None):
    connection = connector.servers.asyncio(address)
    return [getattr(connection, name) for name in names]


@pytest.mark.parametrize(
    ("url", "where", "kind", "db"),
    [
        ("redis://localhost", "localhost:6379", "Connection", 0),
        ("redis://ada:secret@db:7000/3", "db:7000", "Connection", 3),
        ("rediss://db:7000/1", "db:7000", "SSLConnection", 1),
        ("unix:///run/redis.sock?db=2", "/run/redis.sock", "UnixDomainSocketConnection", 2),
        ("redis+cluster://a:1,b:2", "a:1,b:2", "Connection", 0),
        ("redis+sentinel://a:1,b/main/4", "main of a:1,b:26379", "Connection", 4),
        ("rediss+cluster://a", "a:6379", "SSLConnection", 0),
    ],
)
def test_urls_are_read(url, where, kind, db):
    """Each kind of URL leads to connections of its kind, asyncio and blocking; what people see has no password."""
    connector = connector_for(url)
    assert connector.where == where
    for connection in (connector.servers.asyncio(None), connector.servers.blocking(None)):
        assert type(connection).__name__ == kind
        assert int(connection.db) == db
        assert connection.protocol == 2
    assert settings(connector, "socket_timeout") == [None]
    assert connector.is_cluster == ("cluster" in url)


def test_several_servers_are_read():
    """Nodes, sentinels, the service, and who we are, of each."""
    cluster = connector_for("rediss+cluster://ada:p%40ss@a:1,[::1]:2?ssl_ca_certs=/ca.pem")
    assert cluster.nodes == (Address("a", 1), Address("::1", 2))
    assert settings(cluster, "host", "port", "username", "password", address=Address("n", 9)) == ["n", 9, "ada", "p@ss"]
    url = "redis+sentinel://:pw@a,b:5/main?sentinel_password=spw"
    managed = connector_for(url)
    assert (managed.service, managed.nodes) == ("main", (Address("a", 26379), Address("b", 5)))
    assert settings(managed, "password") == ["pw"]
    assert managed.sentinels.asyncio(Address("a", 26379)).password == "spw"


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost:port",
        "redis+cluster://",
        "redis+cluster://a/1",
        "redis+sentinel://a:1",
        "redis+cluster://a?nonsense=1",
        "redis://localhost?nonsense=1",
        "redis+sentinel://a/main/db",
    ],
)
def test_a_wrong_url_says_so_without_its_secrets(url):
    """A URL that cannot be read is refused when the app is made."""
    secret = url.replace("://", "://ada:secret@") if "://a" in url or "localhost" in url else url
    with pytest.raises(ConfigError, match="the Redis URL cannot be read") as caught:
        taskq.App(secret)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("module", [redis, redis.asyncio])
def test_clients_say_where_and_who(module):
    """Server, database, credentials and TLS are taken from a client; its timeouts and retries are not."""
    plain = from_client(module.Redis(host="db", port=7, db=3, username="ada", password="pw", socket_timeout=99))
    assert settings(plain, "host", "port", "db", "username", "password", "socket_timeout") == ["db", 7, 3, "ada", "pw", None]
    assert type(from_client(module.Redis(host="db", ssl=True)).servers.blocking(None)).__name__ == "SSLConnection"
    assert from_client(module.Redis(unix_socket_path="/s")).where == "/s"


def test_clients_of_several_servers():
    """A cluster's client names its nodes, a sentinel's its service."""
    cluster = from_client(redis.asyncio.RedisCluster(host="a", port=1, password="pw"))
    assert (cluster.nodes, cluster.is_cluster) == ((Address("a", 1),), True)
    assert settings(cluster, "password") == ["pw"]
    for module in (redis.sentinel, redis.asyncio.sentinel):
        manager = module.Sentinel([("a", 1), ("b", 2)], sentinel_kwargs={"password": "spw"})
        managed = from_client(manager.master_for("main", password="pw", db=2))
        assert (managed.service, managed.nodes) == ("main", (Address("a", 1), Address("b", 2)))
        assert settings(managed, "password", "db") == ["pw", 2]
        assert managed.sentinels.blocking(Address("a", 1)).password == "spw"


class Strange(redis.Connection):
    """A connection that nobody knows."""


@pytest.mark.parametrize(
    ("client", "says"),
    [
        (object(), "a object is no redis-py client"),
        (redis.Redis(connection_pool=redis.ConnectionPool(connection_class=Strange)), "of the class Strange are not known"),
    ],
)
def test_other_clients_are_refused(client, says):
    """What is no client of redis-py, or makes connections of its own, is refused with a sentence."""
    with pytest.raises(ConfigError, match=says):
        taskq.App("redis://", client=client)


def test_a_missing_extra_says_what_to_install(monkeypatch):
    """Without redis-py the error names the extra."""
    for module in [name for name in sys.modules if name.startswith("taskq.backends.redis")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delattr(taskq.backends, "redis", raising=False)
    with pytest.raises(ConfigError, match=r"redis:// needs redis-py .*; install taskq\[redis\]"):
        taskq.App("redis://localhost")
