"""The connections of an event loop to a real server: nothing of them stays open, whenever a call ends or a loop does."""

import asyncio
import contextlib
import gc
import threading
import warnings

import pytest
from support import run

from taskq.backends import redis as backend_module
from taskq.backends.redis.links import Link
from taskq.errors import BackendUnavailable
from taskq.options import QueueOptions
from taskq.runtime.clock import SystemClock
from taskq_testing.services import Proxy, redis_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def guarded():
    """A server that asks for a password, so that a connection has to wait for an answer before it is one."""
    with redis_server(password="s3cret") as server:
        yield server


def queue_at(url):
    return backend_module.RedisBroker(backend_module.connector_for(url), SystemClock()).queue("q", QueueOptions())


def unclosed(scenario):
    """Run a coroutine and return what was left open when its loop had ended."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(scenario())
        gc.collect()
    return [str(each.message) for each in caught if each.category is ResourceWarning]


async def asked(proxy):
    """Wait until the server was asked for something."""
    while not await asyncio.to_thread(proxy.passed, "server"):
        await asyncio.sleep(0)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_a_greeting_that_is_broken_off_leaves_nothing_open(guarded, tls):
    """Cancelled while the password is checked, a call closes its connection, though over TLS the other side says no goodbye."""

    async def scenario():
        task = asyncio.create_task(queue_at(proxy.url).size())
        await asked(proxy)
        proxy._loop.call_soon_threadsafe(over.wait, 60)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    over = threading.Event()
    with Proxy(guarded.url, tls=tls) as proxy:
        proxy.hold(to="client")
        left = unclosed(scenario)
        over.set()
    assert left == []


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
def test_a_greeting_that_takes_too_long_leaves_nothing_open(guarded, tls):
    """A server that takes the connection and says nothing is given up, and so is its socket."""

    async def scenario():
        link = Link(backend_module.connector_for(proxy.url), answer=0.5)
        with pytest.raises(BackendUnavailable):
            await link.do(link.routes.call(b"q", (b"PING",)))
        assert not link._open

    with Proxy(guarded.url, tls=tls) as proxy:
        proxy.hold(to="client")
        assert unclosed(scenario) == []


def test_a_link_that_is_closed_under_a_call_ends_with_it(guarded):
    """In whatever step of its connection a call is when all is closed: it ends one way or the other, and nothing stays open."""

    async def closed_after(steps):
        queue = queue_at(guarded.url)
        link = queue._deployment.link()
        task = asyncio.create_task(queue.size())
        for _ in range(steps):
            await asyncio.sleep(0)
        early.append(not task.done())
        await link.aclose()
        with contextlib.suppress(BackendUnavailable):
            await task

    early = []
    assert [unclosed(lambda steps=steps: closed_after(steps)) for steps in range(1, 30)] == [[]] * 29
    assert early[0]
