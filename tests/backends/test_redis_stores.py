"""What queues share on Redis: rate limits and locks in Go's layout, and names."""

import asyncio

import pytest
from support import run

from taskq.backends.redis import RedisBroker, connector_for
from taskq.options import RateLimit
from taskq.runtime.clock import SystemClock

GO_EPOCH = 1483228800


@pytest.fixture
def brokers(redis_url):
    return [RedisBroker(connector_for(redis_url), SystemClock()) for _ in range(8)]


def test_a_rate_is_stored_as_go_stores_it(brokers, server, name):
    """The theoretical arrival time is a number of seconds since 2017 under Go's key, and it ends by itself."""
    limit, key = RateLimit(10, per=1000.0, burst=5), f"rate:{name}"
    grant = run(brokers[0].limiter.take(key, limit, 3))
    seconds, _ = server.time()
    assert grant.allowed == 3
    assert float(server.get(key)) == pytest.approx(seconds - GO_EPOCH + 300, abs=100)
    assert 0 < server.pttl(key) <= 300_000


def test_what_go_stored_counts(brokers, server, name):
    """A burst that a Go process has used up is used up here too."""
    limit, key = RateLimit(1, per=60.0, burst=2), f"rate:{name}"
    seconds, _ = server.time()
    server.set(key, f"{seconds - GO_EPOCH + 120}")
    grant = run(brokers[0].limiter.take(key, limit, 5))
    assert grant.allowed == 0
    assert 1 < grant.retry_after <= 61


def test_processes_share_a_rate(brokers, name):
    """Eight processes that ask at once get no more than the burst together, and one is told when to ask again."""
    limit, key = RateLimit(1, per=3600.0, burst=20), f"rate:{name}"

    async def scenario():
        return await asyncio.gather(*(broker.limiter.take(key, limit, 2) for broker in brokers * 3))

    grants = run(scenario())
    assert sum(grant.allowed for grant in grants) == 20
    assert all(grant.retry_after > 0 for grant in grants if not grant.allowed)


def test_a_grant_that_took_long_counts_from_its_end(brokers, server, name):
    """Others may start and be forgotten between the read and the write of a grant: what it stores leaves no room for them."""
    limit, key = RateLimit(1000, per=1.0, burst=5), f"rate:{name}"
    first, second = brokers[0].limiter, brokers[1].limiter

    async def scenario():
        stored, now = await first._read(key.encode())
        grant = await second.take(key, limit, 5)
        while server.exists(key):
            pass  # a few milliseconds, which the server counts
        before = server.time()
        assert await first._swap(key.encode(), stored, now + 3600.0, now)
        return stored, grant.allowed, before

    stored, allowed, (seconds, microseconds) = run(scenario())
    assert (stored, allowed) == (b"", 5)
    assert float(server.get(key)) + GO_EPOCH - 3600.0 >= seconds + microseconds / 1e6 - 1e-5


def test_what_was_not_used_is_given_back(brokers, server, name):
    """Unused starts can be granted again; where nothing is stored any more there is nothing to give back to."""
    limit, key = RateLimit(1, per=3600.0, burst=4), f"rate:{name}"

    async def scenario():
        limiter = brokers[0].limiter
        grant = await limiter.take(key, limit, 4)
        assert (await limiter.take(key, limit, 1)).allowed == 0
        await asyncio.gather(limiter.refund(key, limit, 3, grant), brokers[1].limiter.take(key, limit, 1))
        again = await limiter.take(key, limit, 4)
        server.delete(key)
        await limiter.refund(key, limit, 4, grant)
        return again.allowed

    assert run(scenario()) in (2, 3)
    assert server.get(f"rate:{name}") is None


def test_a_lock_has_one_owner(brokers, server, name):
    """A lock is taken once, renewed by its owner alone, freed by its owner alone, and ends by itself."""
    one, other, key = brokers[0].locks, brokers[1].locks, f"{name}:worker:lock:0"

    async def scenario():
        answers = [await one.acquire(key, "one", 0.5), await other.acquire(key, "other", 60.0)]
        await other.unlock(key, "other")
        answers += [await one.acquire(key, "one", 60.0)]
        ttl = server.pttl(key)
        await one.unlock(key, "one")
        return [*answers, await other.acquire(key, "other", 60.0)], ttl

    answers, ttl = run(scenario())
    assert answers == [True, False, True, True]
    assert 500 < ttl <= 60_000
    assert server.get(f"{name}:worker:lock:0") == b"other"


def test_a_name_is_claimed_and_freed(brokers, server, name):
    """Where a queue cannot claim and add in one step, names are claimed here."""
    key = name.encode()

    async def scenario():
        dedup = brokers[0].dedup
        answers = [await dedup.claim(key, 60.0), await brokers[1].dedup.claim(key, 60.0)]
        await dedup.unclaim(key)
        return [*answers, await dedup.claim(key, 90.0)]

    assert run(scenario()) == [True, False, True]
    assert 30_000 < server.pttl(key) <= 90_000
