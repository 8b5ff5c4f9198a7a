"""A real Redis server for the tests of the Redis backend: one a session, or the one that TASKQ_TEST_REDIS_URL names."""

import itertools
import os

import pytest
import redis

from taskq.backends.redis import links, queue
from taskq.runtime import portal
from taskq_testing.services import redis_server

_numbers = itertools.count(1)
_PATIENCE = 60.0


@pytest.fixture(autouse=True)
def _portals(monkeypatch):
    """What an app that a failed test never closed holds open is closed here, and not found by a later test."""
    made, make = [], portal.Portal.__init__

    def noted(self):
        make(self)
        made.append(self)

    monkeypatch.setattr(portal.Portal, "__init__", noted)
    yield
    for each in made:
        each.close()


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """A server that a busy machine keeps waiting is away for nobody; what giving up means is tried where it is asked for."""
    monkeypatch.setattr(links.Link.__init__, "__defaults__", (_PATIENCE,))
    monkeypatch.setattr(links, "_LATE", _PATIENCE)
    monkeypatch.setattr(links, "_PARTING", _PATIENCE)
    monkeypatch.setattr(queue, "_FAREWELL", _PATIENCE)


@pytest.fixture(scope="session")
def own_server():
    """A real server of our own, to which anything may be done."""
    with redis_server() as server:
        yield server


@pytest.fixture(scope="session")
def redis_url(request):
    """Where a real server listens, which others may use too."""
    return os.environ.get("TASKQ_TEST_REDIS_URL") or request.getfixturevalue("own_server").url


@pytest.fixture
def server(redis_url):
    """A plain client, to look behind the backend's back."""
    client = redis.Redis.from_url(redis_url)
    yield client
    client.close()


@pytest.fixture
def name(server):
    """The name of a queue that nobody has used, and of which nothing stays."""
    name = f"q{os.getpid()}-{next(_numbers)}"
    yield name
    for key in server.scan_iter(match=f"*{name}*"):
        server.delete(key)
