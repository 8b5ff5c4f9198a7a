"""Consumers whose connections are cut under load, or die without a word (rows 6 and 11)."""

import math
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor

from redis.exceptions import RedisError

from taskq_testing.services import Proxy
from tests.chaos.fleet import Serving
from tests.chaos.jobs import pause

_CHUNK, _AHEAD = 200, 600
"""Messages that are sent at once, and that may wait."""


def cuts(fleet, *, jobs, cuts, seed=0, tell=None):
    """Cut all connections of a producer and a consumer at random moments while they send and work (row 6).

    Returns:
        the history, and for each cut the seconds until messages came again; those that were here already ran meanwhile.
    """
    draw, journals, gaps = random.Random(seed), fleet.journals, []
    with Proxy(fleet.server.url) as proxy, Serving(fleet.build("consumer", proxy.url)[0]):
        _, queue = fleet.build("sender", proxy.url)
        with ThreadPoolExecutor(1) as threads:
            sending = threads.submit(send, fleet, queue, jobs)
            for moment in sorted(draw.uniform(0.05, 0.95) * jobs for _ in range(cuts)):
                reach(fleet, moment, sending)
                gaps.append(_cut(fleet, proxy))
                if tell is not None:
                    tell(f"{len(gaps)} of {cuts} cuts, {journals.counts['end']} runs")
            sending.result()
        fleet.drain()
    return fleet.history(), gaps


def send(fleet, queue, jobs):
    """Send messages, not too far ahead of the consumer."""
    work = queue.tasks.find("work")
    for first in range(0, jobs, _CHUNK):
        while _waiting(fleet) > _AHEAD:
            pause(0.005)
        queue.enqueue_many(work.message(n, 0.0005) for n in range(first, min(first + _CHUNK, jobs)))


def reach(fleet, moment, sending):
    """Wait until so many runs have ended; raise what ended the sender, if it cannot come to that."""

    def reached():
        if sending.done():
            sending.result()
        return fleet.journals.counts["end"] >= moment

    fleet.journals.wait(reached)


def _waiting(fleet):
    """Return how many messages wait; more than any, while the server is away."""
    try:
        return fleet.left
    except (RedisError, OSError):
        return math.inf


def _cut(fleet, proxy):
    """Cut everything; return the seconds until messages came again."""
    seen = len(fleet.journals.read())
    proxy.cut()
    began = time.monotonic()
    fleet.journals.wait(lambda: fleet.journals.of("reserved", since=seen) or fleet.left == 0)
    return time.monotonic() - began


def half_open(fleet, *, times):
    """Let all connections of a consumer die without a word, again and again (row 11).

    Returns:
        the history, for each time the seconds until there was another connection, and until a message ran that had been
        given to a dead one.
    """
    found, ran, journals = [], [], fleet.journals
    with Proxy(fleet.server.url) as proxy, Serving(fleet.build("consumer", proxy.url)[0]):
        for number in range(times):
            fleet.task("work").enqueue(number, 0.0)
            journals.wait_for("acked", times=2 * number + 1)
            _die_in_silence(proxy)
            accepted, began = proxy.accepted, time.monotonic()
            fleet.task("work").enqueue(number, 0.0)
            journals.wait(lambda accepted=accepted: proxy.accepted > accepted)
            found.append(time.monotonic() - began)
            journals.wait_for("start", times=2 * number + 2)
            ran.append(time.monotonic() - began)
        fleet.drain()
    return fleet.history(), found, ran


def _die_in_silence(proxy):
    """Make the connections that are open now half-open, on both sides; later ones are not."""

    def die():
        for connection in proxy._connections:
            for pipe in connection.pipes:
                pipe.silent = True

    proxy._do(die)


def slow(fleet, *, messages, size, rate):
    """Send large messages to a consumer on a slow network, whose answers take longer than it waits for their beginning."""
    large, load = fleet.task("large"), os.urandom(size)
    fleet.queue.enqueue_many(large.message(n, load) for n in range(messages))
    with Proxy(fleet.server.url) as proxy:
        proxy.throttle(rate, to="client")
        with Serving(fleet.build("consumer", proxy.url)[0]):
            fleet.drain()
    return fleet.history()
