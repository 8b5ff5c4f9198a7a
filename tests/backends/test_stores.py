"""Names, rate limits and locks beside services that keep none."""

import logging

import pytest
from support import FakeClock, run

import taskq
from taskq.backends import with_stores
from taskq.backends.memory import MemoryBroker
from taskq.backends.stores import LocalStores, take_store
from taskq.errors import ConfigError
from taskq.options import RateLimit


@pytest.mark.parametrize(
    ("url", "place", "store"),
    [
        ("sqs://", "sqs://", None),
        ("sqs://?region=eu", "sqs://?region=eu", None),
        ("sqs://?store=memory://", "sqs://", "memory://"),
        (
            "ironmq://a:b@h/?a=1&store=redis%3A%2F%2Fu%3Ap%40h%2F1%3Fx%3D2&b=%20",
            "ironmq://a:b@h/?a=1&b=%20",
            "redis://u:p@h/1?x=2",
        ),
    ],
)
def test_a_url_is_read_without_its_store(url, place, store):
    """The parameter is decoded and taken out; the others stay as they are written."""
    assert take_store(url) == (place, store)


def test_a_store_is_a_url_an_object_or_this_process():
    """The argument and the parameter mean the same, an object is used as it is, and without either it is this process."""
    clock, own = FakeClock(), MemoryBroker(FakeClock())
    assert isinstance(with_stores("sqs://?store=memory://", clock, None)[1], MemoryBroker)
    assert type(with_stores("sqs://", clock, "redis://localhost")[1]).__name__ == "RedisBroker"
    assert with_stores("sqs://?region=eu", clock, own) == ("sqs://?region=eu", own)
    assert isinstance(with_stores("sqs://", clock, None)[1], LocalStores)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: take_store("sqs://?store=a&store=b"), "names two stores"),
        (lambda: with_stores("sqs://?store=memory://", FakeClock(), "redis://h"), "give one of them"),
        (lambda: with_stores("sqs://", FakeClock(), "sqs://"), "sqs:// keeps no names, rate limits and locks"),
        (lambda: taskq.App("memory://", store="memory://"), "leave out store"),
    ],
)
def test_stores_that_cannot_work_are_refused(call, text):
    """Two stores, one of a service that keeps none, and one for a backend that needs none."""
    with pytest.raises(ConfigError, match=text):
        call()


@pytest.mark.parametrize(
    "use",
    [
        lambda stores: stores.dedup.claim(b"k", 1.0),
        lambda stores: stores.limiter.take("k", RateLimit(1), 1),
        lambda stores: stores.locks.acquire("k", "me", 1.0),
    ],
)
def test_local_stores_warn_once_when_they_are_used(use, caplog):
    """Whoever uses names, rates or locks that no other process sees is told so, a single time."""
    stores = LocalStores(FakeClock(), "sqs://")
    assert caplog.records == []
    with caplog.at_level(logging.WARNING, "taskq"):
        run(use(stores))
        run(stores.dedup.claim(b"other", 1.0))
    assert [record.getMessage().partition(" keeps")[0] for record in caplog.records] == ["sqs://"]


def test_local_stores_keep_what_they_are_told():
    """A name is taken once until it is freed or its time is over, a lock has one owner, and a rate is kept."""
    clock = FakeClock()
    stores = LocalStores(clock, "sqs://")

    async def scenario():
        claims = [await stores.dedup.claim(b"k", 5.0) for _ in range(2)]
        await stores.dedup.unclaim(b"k")
        claims.append(await stores.dedup.claim(b"k", 5.0))
        clock.time += 5.0
        claims.append(await stores.dedup.claim(b"k", 5.0))
        locks = [await stores.locks.acquire("l", owner, 5.0) for owner in "aab"]
        grants = [(await stores.limiter.take("r", RateLimit(2), 5)).allowed for _ in range(2)]
        await stores.aclose()
        return claims, locks, grants

    assert run(scenario()) == ([True, False, True, True], [True, True, False], [2, 0])
