"""An app whose backend is Redis is tested without a server, and is as it was afterwards."""

import asyncio

import pytest

import taskq
from taskq.backends.redis import RedisBroker
from taskq.errors import BackendUnavailable
from taskq_testing import Harness


@pytest.fixture
def app():
    """An app on a server that does not exist."""
    return taskq.App("redis://127.0.0.1:1/0", hooks=())


def test_an_app_on_redis_needs_no_server(app):
    """Messages wait and run in virtual time; outside the harness the same enqueue looks for the server again."""
    queue, ran = app.queue("mail", send_timeout=0.0), []

    @queue.task
    def greet(name: str) -> None:
        ran.append(name)

    with Harness(app, wall="off") as sim:
        queue.enqueue(greet.message("Ada").delayed(3600))
        greet.enqueue("Bob")
        sim.assert_enqueued(greet, args=("Ada",), delay=3600)
        sim.advance(hours=1)
        assert sorted(ran) == ["Ada", "Bob"]
    assert isinstance(app.broker, RedisBroker)
    with pytest.raises(BackendUnavailable, match="cannot be reached"):
        greet.enqueue("Eve")
    with pytest.raises(BackendUnavailable):
        asyncio.run(greet.enqueue_async("Eve"))
