"""The in-memory backend keeps what its capabilities promise."""

import asyncio
import os
import threading

import pytest
from support import FakeClock, run, until

import taskq
from taskq.backends import connect
from taskq.backends.base import Outgoing
from taskq.backends.memory import Held, MemoryBroker
from taskq.core.dedup import Claim
from taskq.errors import ConfigError, DuplicateMessageError, MessageTooLarge, ReservationLost
from taskq.options import QueueOptions, RateLimit


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def queue(clock):
    return MemoryBroker(clock).queue("q", QueueOptions(reservation_timeout=10.0))


def outgoing(name, delay=0.0, claim=None):
    return Outgoing(name, b"body " + name, delay, claim)


def add(queue, *names, delay=0.0):
    assert queue.send_blocking([outgoing(name, delay) for name in names]) == [None] * len(names)


def ids(reservations):
    return [reservation.id for reservation in reservations]


def counts(queue):
    size = run(queue.size())
    return size.ready, size.delayed, size.reserved, size.dead


def test_messages_come_in_order_and_once(queue):
    """Messages are reserved in the order they were added, each by one consumer."""
    add(queue, b"a", b"b", b"c")
    assert ids(run(queue.reserve(2, 0))) == [b"a", b"b"]
    assert ids(run(queue.reserve(2, 0))) == [b"c"]
    assert run(queue.reserve(2, 0)) == []
    assert counts(queue) == (0, 0, 3, 0)


def test_delays_are_kept(queue, clock):
    """A delayed message comes at its time and not before, the earlier first."""
    add(queue, b"late", delay=20.0)
    add(queue, b"soon", delay=5.0)
    clock.time += 4.999
    assert run(queue.reserve(9, 0)) == []
    assert counts(queue) == (0, 2, 0, 0)
    clock.time += 0.001
    soon = run(queue.reserve(9, 0))
    assert ids(soon) == [b"soon"]
    assert run(queue.ack(soon)) == [True]
    clock.time += 15
    assert ids(run(queue.reserve(9, 0))) == [b"late"]


def test_names_are_taken_until_they_expire(queue, clock):
    """A taken name refuses a second message, and is free after its time."""
    named = outgoing(b"a", claim=Claim(b"k", 60.0))
    assert queue.send_blocking([named])[0] is None
    assert isinstance(queue.send_blocking([named])[0], DuplicateMessageError)
    clock.time += 60
    assert queue.send_blocking([named])[0] is None
    assert counts(queue)[0] == 2


def test_the_dedup_store_claims_and_frees(clock):
    """A key is claimed once, and again after it was given back."""
    store = MemoryBroker(clock).dedup
    assert [run(store.claim(b"k", 5.0)), run(store.claim(b"k", 5.0))] == [True, False]
    run(store.unclaim(b"k"))
    assert run(store.claim(b"k", 50.0))
    clock.time += 6  # the first claim's end is not the second's
    assert not run(store.claim(b"k", 5.0))


def test_a_reservation_expires_and_its_receipt_with_it(queue, clock):
    """After its time a message is another's, and nothing done with the old receipt changes anything."""
    add(queue, b"a")
    old = run(queue.reserve(1, 0))[0]
    clock.time += 10
    new = run(queue.reserve(1, 0))[0]
    assert (old.deliveries, new.deliveries, new.expires_at) == (1, 2, clock.time + 10)
    assert run(queue.ack([old])) == [False]
    for late in (queue.release(old, 0), queue.extend(old, 5), queue.dead_letter(old, "x")):
        with pytest.raises(ReservationLost):
            run(late)
    assert counts(queue) == (0, 0, 1, 0)
    assert run(queue.ack([new])) == [True]
    assert counts(queue) == (0, 0, 0, 0)


def test_everything_that_is_held_can_be_looked_at(queue, clock):
    """Each message shows with its state and what it waits for, in the order in which it would come."""
    add(queue, b"dead", b"mine", b"ready")
    dead, mine = run(queue.reserve(2, 0))
    run(queue.dead_letter(dead, "why not"))
    add(queue, b"later", delay=9.0)
    add(queue, b"soon", delay=3.0)
    now = clock.time
    assert queue.messages() == [
        Held(b"ready", b"body ready", "ready"),
        Held(b"soon", b"body soon", "delayed", now + 3.0),
        Held(b"later", b"body later", "delayed", now + 9.0),
        Held(b"mine", b"body mine", "reserved", mine.expires_at),
        Held(b"dead", b"body dead", "dead", reason="why not"),
    ]


def test_extending_for_hours_takes_no_memory(queue, clock):
    """However often a reservation is extended, shortened or looked at, its expiry is noted once or twice, and ends it."""
    add(queue, b"a")
    kept = run(queue.reserve(1, 0))[0]
    for by in (10.0, 30.0, 1.0) * 100:
        kept = run(queue.extend(kept, by))
        clock.time += 0.9
        assert counts(queue) == (0, 0, 1, 0)
    assert len(queue._expiry) < 100
    clock.time += 0.1
    assert counts(queue) == (1, 0, 0, 0)


def test_an_extended_reservation_lasts(queue, clock):
    """Extended again and again it is nobody else's; then it expires as any other."""
    add(queue, b"a", b"b")
    kept, other = run(queue.reserve(2, 0))
    for _ in range(5):
        clock.time += 8
        kept = run(queue.extend(kept, 10.0))
        assert kept.expires_at == clock.time + 10
        assert other.id not in ids([kept])
    assert ids(run(queue.reserve(9, 0))) == [b"b"]
    clock.time += 10
    assert sorted(ids(run(queue.reserve(9, 0)))) == [b"a", b"b"]


def test_release_puts_back_with_the_new_body_and_delay(queue, clock):
    """A released message comes back after its delay, with the body it was given, counted from one again."""
    add(queue, b"a")
    reservation = run(queue.reserve(1, 0))[0]
    run(queue.release(taskq.message.msgspec.structs.replace(reservation, body=b"new"), 3.0))
    assert counts(queue) == (0, 1, 0, 0)
    clock.time += 3
    again = run(queue.reserve(1, 0))[0]
    assert (again.body, again.deliveries) == (b"new", 1)


def test_dead_letters_are_kept_and_come_back(queue):
    """A dead letter is intact with its reason, and ready again after a redrive."""
    add(queue, b"a", b"b")
    for reservation in run(queue.reserve(2, 0)):
        run(queue.dead_letter(reservation, "why"))
    letters = run(queue.dead_letters(9))
    assert [(letter.id, letter.body, letter.reason) for letter in letters] == [(b"a", b"body a", "why"), (b"b", b"body b", "why")]
    assert len(run(queue.dead_letters(0))) == 0
    assert run(queue.redrive([taskq.message.msgspec.structs.replace(letters[0], body=b"new")])) == 1
    assert counts(queue) == (1, 0, 0, 1)
    assert run(queue.redrive(letters[:1])) == 0
    assert run(queue.discard(letters)) == 1
    assert counts(queue) == (1, 0, 0, 0)
    again = run(queue.reserve(1, 0))[0]
    assert (again.body, again.deliveries) == (b"new", 1)


def test_purge_drops_what_nobody_owns(queue):
    """Purge drops ready and delayed messages; reserved and dead ones stay."""
    add(queue, b"a", b"b", b"c")
    first, second = run(queue.reserve(2, 0))
    run(queue.dead_letter(first, "x"))
    add(queue, b"d", delay=5.0)
    assert run(queue.purge()) == 2
    assert counts(queue) == (0, 0, 1, 1)
    assert run(queue.ack([second])) == [True]


def test_large_messages_are_refused_alone(clock):
    """One message over the limit is refused, its neighbours are accepted."""
    queue = MemoryBroker(clock).queue("q", QueueOptions(max_message_size=10))
    answers = queue.send_blocking([outgoing(b"a"), outgoing(b"a" * 20), outgoing(b"b")])
    assert [type(answer) for answer in answers] == [type(None), MessageTooLarge, type(None)]


def test_a_waiting_reserve_is_woken(queue):
    """A reserve that waits gets a message as soon as one is added, from another thread too."""

    async def scenario():
        waiting = asyncio.create_task(queue.reserve(1, 60.0))
        await until(lambda: queue._waiters)
        add(queue, b"a")
        assert ids(await waiting) == [b"a"]
        waiting = asyncio.create_task(queue.reserve(1, 60.0))
        await until(lambda: queue._waiters)
        thread = threading.Thread(target=add, args=(queue, b"b"))
        thread.start()
        assert ids(await waiting) == [b"b"]
        thread.join()

    run(scenario())


def test_a_cancelled_reserve_hands_its_wake_up_on(queue):
    """A waiter that is cancelled in the moment it is woken leaves the message to the next one."""

    async def scenario():
        first, second = (asyncio.create_task(queue.reserve(1, 60.0)) for _ in range(2))
        await until(lambda: len(queue._waiters) == 2)
        add(queue, b"a")
        first.cancel()
        assert ids(await second) == [b"a"]
        assert first.cancelled() or ids(await first) == []
        assert not queue._waiters

    run(scenario())


def test_a_waiting_reserve_sees_what_becomes_due():
    """A reserve that waits gets a delayed message when it is due, by real time."""

    async def scenario():
        broker = connect("memory://", taskq.App().clock)
        queue = broker.queue("q", QueueOptions())
        add(queue, b"a", delay=0.02)
        assert ids(await queue.reserve(1, 5.0)) == [b"a"]
        assert await queue.reserve(1, 0.01) == []
        await queue.aclose()
        await broker.aclose()

    run(scenario())


def test_a_closed_loop_is_no_obstacle(queue):
    """A waiter whose loop was closed does not stop anybody from adding."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(queue.reserve(1, 60.0))
    loop.run_until_complete(asyncio.sleep(0))
    waiter = queue._waiters[0]
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    queue._waiters.append(waiter)
    add(queue, b"a")
    assert counts(queue)[0] == 1


def test_limiter_and_locks(clock):
    """The rate limiter grants and takes back; a lock has one owner until it is freed or expires."""
    broker = MemoryBroker(clock)
    limit = RateLimit(1, per=1.0, burst=2)
    grant = run(broker.limiter.take("r", limit, 5))
    assert grant.allowed == 2
    assert run(broker.limiter.take("r", limit, 5)).allowed == 0
    run(broker.limiter.refund("r", limit, 1, grant))
    assert run(broker.limiter.take("r", limit, 5)).allowed == 1
    clock.time += 2
    assert run(broker.limiter.take("r", limit, 5)).allowed == 2
    run(broker.limiter.refund("r", limit, 1, grant))  # of that grant others have long used the room
    assert run(broker.limiter.take("r", limit, 5)).allowed == 0
    locks = broker.locks
    assert [run(locks.acquire("l", "me", 5.0)), run(locks.acquire("l", "you", 5.0)), run(locks.acquire("l", "me", 5.0))] == [
        True,
        False,
        True,
    ]
    run(locks.unlock("l", "you"))
    assert not run(locks.acquire("l", "you", 5.0))
    run(locks.unlock("l", "me"))
    assert run(locks.acquire("l", "you", 5.0))
    clock.time += 5
    assert run(locks.acquire("l", "me", 5.0))


@pytest.mark.parametrize("url", ["redis", "", None, "nope://x", "http://[bad"])
def test_wrong_urls_are_refused_in_a_sentence(url):
    """A URL that names no service, or one that nobody serves, raises ConfigError."""
    with pytest.raises(ConfigError, match="memory://"):
        connect(url, FakeClock())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python 3.12 warns about forks beside threads
def test_a_forked_child_enqueues(app):
    """A child forked while the lock is held by another thread enqueues without waiting, under an id of its own."""
    queue = app.queue("q")
    read, write = os.pipe()
    app.broker.lock.acquire()
    pid = os.fork()
    if not pid:
        os.write(write, queue.enqueue(queue.message("t")).message_id)
        os._exit(0)
    app.broker.lock.release()
    assert os.waitpid(pid, 0)[1] == 0
    child = os.read(read, 100)
    assert len(child) == 32
    assert child != queue.enqueue(queue.message("t")).message_id
