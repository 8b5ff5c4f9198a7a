"""A server may restart, forget, refuse and fill up: the fleet goes on, and says what is wrong (rows 7, 8, 9 and 45)."""

import asyncio
import logging

import pytest

from taskq.backends.redis.sending import SEND
from taskq_testing.services import Proxy
from tests.chaos import server as scenarios
from tests.chaos.figures import figures
from tests.chaos.fleet import Serving, recorded_server, verdict

pytestmark = pytest.mark.slow


@pytest.fixture
def durable():
    """A server that has written down what it says it did."""
    with recorded_server("always") as server:
        yield server


def test_restarts_lose_nothing_that_was_written(make_fleet, durable):
    """Nothing that was accepted is lost, and nothing runs again without need, whether the server stopped or was killed."""
    history = scenarios.restarts(make_fleet(durable, reservation_timeout=30.0), jobs=600, restarts=3, seed=5)
    assert verdict(history, 1, 2, 5, 7, 8, 9, 10) == []
    found = figures(history)
    assert (found.accepted, found.lost, found.twice) == (600, 0, 0)


@pytest.mark.parametrize("how", ["everything", "group"])
def test_a_server_that_forgot_is_set_up_anew(fleet, how, caplog):
    """After FLUSHALL, or without its group, a queue works on, which is logged, and nobody asks in a tight loop."""
    caplog.set_level(logging.INFO, "taskq")
    history, spent = scenarios.forgets(fleet(), how)
    assert verdict(history, 1, 2) == []
    found = figures(history)
    assert found.lost == (2 if how == "everything" else 1)  # one waits for its time, one ran and was forgotten
    assert sum("was set up on Redis" in record.message for record in caplog.records) == 2
    assert spent < 500


@pytest.mark.parametrize("first", [0, 4, 8])
def test_a_refusal_that_will_pass_is_waited_out(fleet, first):
    """Whichever command is refused, the call is made again, no consumer ends, and each message comes to its end once."""
    fleet = fleet(reservation_timeout=1.5, reserve_wait=0.2)
    scenarios.refuses(fleet, first)
    history = fleet.history()
    assert verdict(history, 1, 5, 6, 7, 8, 10) == []
    found = figures(history)
    assert (found.accepted, found.lost, found.dead, found.twice) == (7, 0, 1, 0)


def test_a_refused_send_is_made_again(fleet):
    """Whatever the server answers that it will not answer for ever, enqueue returns once the message is there."""
    fleet = fleet()
    with Proxy(fleet.server.url) as proxy:
        _, queue = fleet.build("sender", proxy.url)
        queue.enqueue(queue.message("work", 0, 0.0))
        for error in scenarios.ERRORS:
            refused = proxy.inject_error(error, matching=SEND.sha)
            assert queue.enqueue(queue.message("work", 0, 0.0)).accepted
            assert asyncio.run(queue.enqueue_async(queue.message("work", 0, 0.0))).accepted
            assert refused.fired == 1
    assert fleet.left == 1 + 2 * len(scenarios.ERRORS)


def test_a_server_that_may_evict_messages_is_reported(fleet, caplog):
    """A consumer says at its start that the server drops keys when its memory is full, and with them messages."""
    fleet = fleet()
    fleet.server.config_set("maxmemory", "1gb")
    fleet.server.config_set("maxmemory-policy", "allkeys-lru")
    with Serving(fleet.build("consumer")[0]):
        fleet.journals.wait(lambda: "maxmemory-policy allkeys-lru" in caplog.text)
    (warning,) = [record for record in caplog.records if "evicts" in record.message]
    assert warning.levelno == logging.WARNING
