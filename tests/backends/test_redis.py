"""The Redis backend on a real server: what it promises, how it lies in Redis, and that it lets nothing be lost or undone."""

import asyncio
import contextlib
import gc
import os
import threading

import msgspec
import pytest
import redis
from support import run, until

import taskq
from taskq.backends import redis as backend_module
from taskq.backends.base import BlockingSender, Chores, DeadLetters, Outgoing, Size
from taskq.backends.redis import queue as queue_module
from taskq.core.dedup import Claim
from taskq.errors import BackendError, BackendUnavailable, ConfigError, DuplicateMessageError, ReservationLost
from taskq.options import QueueOptions
from taskq.runtime.clock import SystemClock

OPTIONS = QueueOptions(reservation_timeout=30.0, send_timeout=0.5)


def broker_at(url, **settings):
    return backend_module.RedisBroker(backend_module.connector_for(url), settings.pop("clock", SystemClock()))


@pytest.fixture
def make(redis_url, name):
    """Return backends of one queue, each with a broker of its own, like processes."""

    def make(**options):
        return broker_at(redis_url).queue(name, msgspec.structs.replace(OPTIONS, **options))

    return make


@pytest.fixture
def queue(make):
    return make()


def messages(*bodies, delay=0.0):
    return [Outgoing(body, body, delay) for body in bodies]


def stream(server, name):
    return [(fields[b"body"], fields.get(b"deliveries")) for _, fields in server.xrange(f"taskq:{{{name}}}:stream")]


def expire(server, name):
    """Make all that is reserved look as if nobody had touched it for an hour."""
    key = f"taskq:{{{name}}}:stream"
    for pending in server.xpending_range(key, "taskq", "-", "+", 1000):
        server.xclaim(key, "taskq", pending["consumer"], 0, [pending["message_id"]], idle=3_600_000, justid=True)


# -- adding and reserving


def test_messages_lie_where_go_looks_for_them(queue, server, name):
    """A message is an entry of Go's stream with one field, a delayed one a member of Go's sorted set with its due time."""
    before = server.time()
    run(queue.send([*messages(b"now"), *messages(b"later", delay=1.5)]))
    assert server.xrange(f"taskq:{{{name}}}:stream")[0][1] == {b"body": b"now"}
    ((body, due),) = server.zrange(f"taskq:{{{name}}}:zset", 0, -1, withscores=True)
    assert body == b"later"
    assert 1500 <= due - (before[0] * 1000 + before[1] / 1000) < 60_000
    run(queue.reserve(1, 0))
    assert server.xinfo_groups(f"taskq:{{{name}}}:stream")[0]["name"] == b"taskq"
    assert isinstance(queue, BlockingSender)
    assert isinstance(queue, Chores)
    assert isinstance(queue, DeadLetters)


def test_messages_come_in_order_and_once(queue):
    """Reserved messages come as they were added, no more than asked for, and not again."""

    async def scenario():
        await queue.send(messages(b"a", b"b", b"c"))
        first, rest = await queue.reserve(2, 0), await queue.reserve(9, 0)
        assert await queue.reserve(9, 0) == []
        return [[(each.body, each.deliveries) for each in taken] for taken in (first, rest)]

    assert run(scenario()) == [[(b"a", 1), (b"b", 1)], [(b"c", 1)]]


def test_a_reserve_waits_for_a_message(queue):
    """A waiting reserve ends with the message that comes, and after its time with none."""

    async def scenario():
        waiting = asyncio.create_task(queue.reserve(1, 20.0))
        await asyncio.sleep(0)
        await queue.send(messages(b"a"))
        return [each.body for each in await waiting], await queue.reserve(1, 0.001)

    assert run(scenario()) == ([b"a"], [])


def test_a_delayed_message_is_promoted_when_it_is_due(make, server, name, monkeypatch):
    """Before its time a message is delayed; a look tells when to look again, and makes it ready once."""
    monkeypatch.setattr(queue_module, "_POLL", 1000.0)
    queue = make(reservation_timeout=1e6)
    queue._recover_at = 1e9

    async def scenario():
        await queue.send(messages(b"a", delay=60.0))
        assert await queue.reserve(1, 0) == []
        pause = await queue.chores()
        assert await queue.size() == Size(delayed=1)
        server.zadd(f"taskq:{{{name}}}:zset", {b"a": 1})  # its time is over
        await asyncio.gather(*(queue.chores() for _ in range(5)))
        assert await queue.size() == Size(ready=1)
        return pause, [each.body for each in await queue.reserve(9, 0)]

    pause, bodies = run(scenario())
    assert 1 < pause <= 60.01
    assert bodies == [b"a"]


def test_a_running_scheduler_of_go_is_left_to_it(queue, server, name):
    """While a Go process holds its lock nothing is promoted, or both would move the same messages."""

    async def scenario():
        await queue.send(messages(b"a", delay=5.0))
        server.zadd(f"taskq:{{{name}}}:zset", {b"a": 1})
        server.set(f"taskq:{name}:scheduler-lock:delayed", "somebody", ex=60)
        await queue.chores()
        held = await queue.size()
        server.delete(f"taskq:{name}:scheduler-lock:delayed")
        await queue.chores()
        return held, await queue.size()

    assert run(scenario()) == (Size(delayed=1), Size(ready=1))


# -- names


def named(body, key=b"k", ttl=60.0, delay=0.0):
    return Outgoing(body, body, delay, Claim(key, ttl))


def test_a_name_is_taken_once(queue):
    """Of two messages with a name the second is a duplicate, in one trip and in two; another name is free."""
    first, second, other = run(queue.send([named(b"a"), named(b"b"), named(b"c", key=b"other")]))
    assert (first, other) == (None, None)
    assert isinstance(second, DuplicateMessageError)
    assert isinstance(run(queue.send([named(b"d", delay=9.0)]))[0], DuplicateMessageError)
    assert run(queue.size()) == Size(ready=2)


def test_a_refused_message_frees_its_name_and_spares_the_others(queue, server, name):
    """Where one message cannot be added its name is free afterwards, and the others of the trip are added."""
    server.set(f"taskq:{{{name}}}:zset", "no sorted set")
    refused, added = run(queue.send([named(b"a", delay=9.0), Outgoing(b"b", b"b")]))
    assert type(refused) is BackendError
    assert "WRONGTYPE" in str(refused)
    assert added is None
    server.delete(f"taskq:{{{name}}}:zset")
    assert run(queue.send([named(b"a", delay=9.0)])) == [None]


def test_names_expire_and_those_of_go_lie_where_go_looks(queue, server, name):
    """A name has the lifetime it was given, rounded up; a key in Go's form is Go's own key."""
    go = b"tq:" + os.urandom(16)
    run(queue.send([named(b"a", key=b"ours", ttl=12.3456), named(b"b", key=go, ttl=86400.0)]))
    assert 0 < server.pttl(f"taskq:{{{name}}}:once:ours") <= 12_346
    assert 86_000 <= server.ttl(go) <= 86_400
    assert server.get(go) == b""
    server.delete(go)


# -- sends that are repeated


def test_a_trip_that_is_sent_again_adds_once(queue):
    """A trip whose answer was lost is answered as it was the first time, and adds nothing more (F5)."""
    link, lane = queue._deployment.blocking_link(), queue._deployment.new_lane()
    batch = [named(b"a"), named(b"b"), *messages(b"c"), *messages(b"d", delay=9.0)]
    answers = []
    for _ in range(3):
        lane.trips = 6
        answers.append([type(answer) for answer in link.do(queue.trip(link, lane, batch))])
    assert answers == [[type(None), DuplicateMessageError, type(None), type(None)]] * 3
    assert run(queue.size()) == Size(ready=2, delayed=1)


def test_a_trip_that_comes_too_late_adds_nothing(queue):
    """A trip that was given up, and reaches the server after the lane's next one, is not carried out; other lanes' are."""
    link, lane, other = queue._deployment.blocking_link(), queue._deployment.new_lane(), queue._deployment.new_lane()
    for number, name in ((2, b"b"), (1, b"late"), (3, b"c")):
        lane.trips = number - 1
        link.do(queue.trip(link, lane, messages(name)))
    link.do(queue.trip(link, other, messages(b"d")))
    assert [each.body for each in run(queue.reserve(9, 0))] == [b"b", b"c", b"d"]


# -- settling, by whoever owns it and by nobody else


def test_done_is_gone(queue, server, name):
    """An acknowledged message leaves nothing behind, and is not owned a second time."""

    async def scenario():
        await queue.send(messages(b"a", b"b"))
        taken = await queue.reserve(2, 0)
        return await queue.ack(taken), await queue.ack(taken), await queue.ack([]), await queue.size()

    assert run(scenario()) == ([True, True], [False, False], [], Size())
    assert server.xlen(f"taskq:{{{name}}}:stream") == 0


def test_an_answer_for_each_acknowledged_message(make, server, name):
    """Of a batch, exactly those that others own meanwhile are told as lost, and stay theirs."""
    mine, other = make(), make()

    async def scenario():
        await mine.send(messages(b"a", b"b", b"c"))
        a, b, c = await mine.reserve(3, 0)
        server.xclaim(f"taskq:{{{name}}}:stream", "taskq", "x", 0, [b.receipt], idle=3_600_000, justid=True)
        await other.chores()
        (again,) = await other.reserve(9, 0)
        owned = await mine.ack([a, b, c])
        return owned, again.body, again.deliveries, await mine.size(), await other.ack([again])

    assert run(scenario()) == ([True, False, True], b"b", 2, Size(reserved=1), [True])


def test_a_release_puts_back_what_it_is_given(queue):
    """A released message comes back with its new body, now or later, as one delivered for the first time."""

    async def scenario():
        await queue.send(messages(b"a", b"b"))
        a, b = await queue.reserve(2, 0)
        await queue.release(msgspec.structs.replace(a, body=b"a2"), 0.0)
        await queue.release(msgspec.structs.replace(b, body=b"b2"), 60.0)
        size, (again,) = await queue.size(), await queue.reserve(9, 0)
        return size, again.body, again.deliveries

    assert run(scenario()) == (Size(ready=1, delayed=1), b"a2", 1)


@pytest.mark.parametrize("late", ["release", "delayed release", "dead letter", "extension", "acknowledgement"])
def test_whoever_lost_a_message_changes_nothing(make, server, name, late):
    """A consumer that was away past its reservation cannot settle or extend what another one owns."""
    paused, other = make(), make()
    ways = {
        "release": lambda held: paused.release(held, 0.0),
        "delayed release": lambda held: paused.release(held, 9.0),
        "dead letter": lambda held: paused.dead_letter(held, "late"),
        "extension": lambda held: paused.extend(held, 30.0),
    }

    async def scenario():
        await paused.send(messages(b"a"))
        (held,) = await paused.reserve(1, 0)
        expire(server, name)
        await other.chores()
        (theirs,) = await other.reserve(1, 0)
        if late == "acknowledgement":
            assert await paused.ack([held]) == [False]
        else:
            with pytest.raises(ReservationLost, match="no longer owned; nothing was changed"):
                await ways[late](held)
        assert await other.size() == Size(reserved=1)
        return await other.ack([theirs])

    assert run(scenario()) == [True]


@pytest.mark.parametrize("late", ["release", "dead letter", "extension"])
def test_an_entry_that_is_given_out_again_is_its_new_owners(make, server, name, late):
    """A server that lost its group gives out what was given out; who had it first cannot put it elsewhere or keep it."""
    first, second, key = make(), make(), f"taskq:{{{name}}}:stream"
    ways = {
        "release": lambda held: first.release(held, 0.0),
        "dead letter": lambda held: first.dead_letter(held, "late"),
        "extension": lambda held: first.extend(held, 30.0),
    }

    async def scenario():
        await first.send(messages(b"a"))
        (held,) = await first.reserve(1, 0)
        server.xgroup_destroy(key, "taskq")
        (theirs,) = await second.reserve(1, 0)
        assert theirs.receipt == held.receipt
        with pytest.raises(ReservationLost, match="no longer owned; nothing was changed"):
            await ways[late](held)
        (pending,) = server.xpending_range(key, "taskq", "-", "+", 9)
        return pending["consumer"] == second.consumer, await second.size(), await second.ack([theirs])

    assert run(scenario()) == (True, Size(reserved=1), [True])


def test_what_is_here_already_is_not_taken_again(queue, server, name):
    """A message that a consumer works on does not come a second time when the server, having lost its group, gives it out."""

    async def scenario():
        await queue.send(messages(b"a"))
        (held,) = await queue.reserve(1, 0)
        server.xgroup_destroy(f"taskq:{{{name}}}:stream", "taskq")
        again = await queue.reserve(9, 0)
        return again, await queue.ack([held]), await queue.size()

    assert run(scenario()) == ([], [True], Size())


def test_an_extension_keeps_a_message(make, server, name):
    """What is extended is not recovered, until the extension is over; none is longer than a whole timeout."""
    queue, other, key = make(reservation_timeout=100.0), make(reservation_timeout=100.0), f"taskq:{{{name}}}:stream"

    async def scenario():
        await queue.send(messages(b"a"))
        (held,) = await queue.reserve(1, 0)
        expire(server, name)
        long = await queue.extend(held, 3600.0)
        short = await queue.extend(held, 40.0)
        idle = server.xpending_range(key, "taskq", "-", "+", 1)[0]["time_since_delivered"]
        await other.chores()
        return long.expires_at - short.expires_at, idle, await other.size()

    apart, idle, size = run(scenario())
    assert apart == pytest.approx(60.0, abs=30.0)
    assert 60_000 <= idle < 90_000
    assert size == Size(reserved=1)


def test_dead_letters_are_kept_listed_put_back_and_discarded(queue):
    """A dead letter is intact and tells why; it can be made ready with another body, or deleted, once."""

    async def scenario():
        await queue.send(messages(b"a", b"b", b"c"))
        for held in await queue.reserve(3, 0):
            await queue.dead_letter(held, f"why {held.body.decode()} \udc80")
        letters = await queue.dead_letters(2)
        assert await queue.dead_letters(0) == []
        assert [(letter.body, letter.reason) for letter in letters] == [(b"a", "why a ?"), (b"b", "why b ?")]
        anew = msgspec.structs.replace(letters[0], body=b"new")
        assert (await queue.redrive([anew]), await queue.redrive([anew])) == (1, 0)
        assert (await queue.discard(letters), await queue.discard(letters), await queue.discard([])) == (1, 0, 0)
        return await queue.size(), [each.body for each in await queue.reserve(9, 0)]

    assert run(scenario()) == (Size(ready=1, dead=1), [b"new"])


# -- recovery


def test_what_a_dead_consumer_owned_is_ready_again(make, server, name):
    """After its reservation a message is ready again and counts its deliveries; a fresh one stays where it is."""
    dead, alive = make(), make()

    async def scenario():
        await dead.send(messages(b"a"))
        counts = []
        for _ in range(3):
            (held,) = await dead.reserve(1, 0)
            counts.append(held.deliveries)
            await alive.chores()
            assert await alive.size() == Size(reserved=1)
            expire(server, name)
            alive._recover_at = -1e9
            await alive.chores()
        (held,) = await alive.reserve(1, 0)
        await alive.release(held, 0.0)
        (fresh,) = await alive.reserve(1, 0)
        return counts, held.deliveries, fresh.deliveries

    assert run(scenario()) == ([1, 2, 3], 4, 1)


def test_entries_that_are_no_messages_stop_nobody(make, server, name):
    """An entry without a body is put aside as it is, one that was deleted under its owner is forgotten, the others run."""
    queue, key = make(), f"taskq:{{{name}}}:stream"

    async def scenario():
        await queue.send(messages(b"a"))
        server.xadd(key, {"bodi": "x", "more": "y"})
        await queue.send(messages(b"b", b"c"))
        taken = await queue.reserve(9, 0)
        server.xdel(key, taken[1].receipt)
        expire(server, name)
        await queue.chores()
        letters = await queue.dead_letters(9)
        return [each.body for each in taken], [each.body for each in await queue.reserve(9, 0)], letters

    taken, again, (letter,) = run(scenario())
    assert (taken, again) == ([b"a", b"b", b"c"], [b"a", b"c"])
    assert "no body" in letter.reason
    assert server.xrange(f"taskq:{{{name}}}:dead")[0][1][b"bodi"] == b"x"
    assert run(queue.size()) == Size(reserved=2, dead=1)


def test_a_recovered_entry_keeps_what_it_holds(make, server, name):
    """Fields that others wrote beside the body survive a recovery."""
    queue, key = make(), f"taskq:{{{name}}}:stream"

    async def scenario():
        await queue.reserve(1, 0)
        server.xadd(key, {"body": "a", "deliveries": "many", "origin": "go"})
        (held,) = await queue.reserve(1, 0)
        expire(server, name)
        queue._recover_at = -1e9
        await queue.chores()
        return held.deliveries

    assert run(scenario()) == 1
    assert server.xrange(key)[0][1] == {b"body": b"a", b"origin": b"go", b"deliveries": b"1"}


def test_what_never_arrived_is_ready_again(make, server, name, monkeypatch):
    """Messages in an answer that was lost come back soon, though their owner is alive; what it holds stays."""
    monkeypatch.setattr(queue_module, "_STRAY", 0.0)
    queue, key = make(), f"taskq:{{{name}}}:stream"

    async def scenario():
        await queue.send(messages(b"held", b"lost"))
        (held,) = await queue.reserve(1, 0)
        server.xreadgroup("taskq", queue.consumer, {key: ">"}, count=1)  # its answer went astray
        queue._suspect()
        await queue.chores()
        (again,) = await queue.reserve(9, 0)
        return held.body, again.body, await queue.ack([held, again])

    assert run(scenario()) == (b"held", b"lost", [True, True])


def blocked(server, queue):
    """Return whether this queue's consumer waits at the server."""
    ours = {str(number) for number in queue._deployment.link()._ids.values()}
    return any("b" in client["flags"] and client["id"] in ours for client in server.client_list())


def test_a_cancelled_wait_gives_back_what_was_on_its_way(make, server):
    """A reserve that is cancelled just when a message came for it does not take the message with it."""
    queue, other = make(), make()

    async def scenario():
        await queue.reserve(1, 0)
        waiting = asyncio.create_task(queue.reserve(1, 20.0))
        await until(lambda: blocked(server, queue))
        other.send_blocking(messages(b"a"))  # the answer lies in the socket, and this loop has not looked
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        return await other.size(), len(queue._deployment.link()._open), [each.body for each in await queue.reserve(1, 0)]

    size, connections, bodies = run(scenario())
    assert (size, bodies) == (Size(ready=1), [b"a"])
    assert connections == 2


def test_a_cancelled_wait_that_cannot_give_back_is_cancelled_all_the_same(make, server, monkeypatch):
    """If what came for it cannot be released, the message is looked for later, and the cancellation is not lost."""
    monkeypatch.setattr(queue_module, "_STRAY", 0.0)
    queue, other = make(), make()

    async def refuse(*_):
        raise BackendUnavailable("away")

    async def scenario():
        await queue.reserve(1, 0)
        waiting = asyncio.create_task(queue.reserve(1, 20.0))
        await until(lambda: blocked(server, queue))
        other.send_blocking(messages(b"a"))
        monkeypatch.setattr(queue, "release", refuse)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await other.size() == Size(reserved=1)
        await queue.chores()
        return await other.size()

    assert run(scenario()) == Size(ready=1)


def test_a_cancelled_wait_keeps_its_connection(queue, server):
    """A reserve that is cancelled while nothing comes ends its wait at the server, and its connection serves again."""

    async def scenario():
        await queue.reserve(1, 0)
        waiting = asyncio.create_task(queue.reserve(1, 20.0))
        await until(lambda: blocked(server, queue))
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        link = queue._deployment.link()
        (idle,) = link._idle.values()
        assert not blocked(server, queue)
        assert set(idle) == link._open
        await queue.send(messages(b"a"))
        return [each.body for each in await queue.reserve(1, 0)], len(link._open)

    assert run(scenario()) == ([b"a"], 2)


# -- what the server may do to us


def test_a_flushed_server_is_set_up_again(own_server, name):
    """After FLUSHALL, or a group that was deleted, the next reserve makes the group anew and takes what comes."""
    queue = broker_at(own_server.url).queue(name, OPTIONS)
    harms = [("FLUSHALL",), ("XGROUP", "DESTROY", f"taskq:{{{name}}}:stream", "taskq")]

    async def scenario():
        bodies = []
        for harm in harms:
            await queue.send(messages(b"x"))
            await queue.ack(await queue.reserve(1, 0))
            own_server.cli(*harm)
            await queue.send(messages(b"a"))
            await queue.chores()
            taken = await queue.reserve(9, 0)
            bodies += [each.body for each in taken]
            await queue.ack(taken)
        return bodies

    assert run(scenario()) == [b"a", b"a"]


def test_a_group_that_is_deleted_ends_a_wait(queue, server, name):
    """A reserve that waits when its group is deleted makes it anew and waits on."""

    async def scenario():
        await queue.reserve(1, 0)
        waiting = asyncio.create_task(queue.reserve(1, 20.0))
        await until(lambda: blocked(server, queue))
        server.xgroup_destroy(f"taskq:{{{name}}}:stream", "taskq")
        await until(lambda: not blocked(server, queue))
        await until(lambda: blocked(server, queue))
        await queue.send(messages(b"a"))
        return [each.body for each in await waiting]

    assert run(scenario()) == [b"a"]


def test_scripts_that_the_server_forgot_are_sent_again(queue, server):
    """After SCRIPT FLUSH everything works as before."""
    run(queue.send(messages(b"a")))
    server.script_flush()
    assert run(queue.send(messages(b"b"))) == [None]
    server.script_flush()
    assert queue.send_blocking(messages(b"c")) == [None]
    assert run(queue.size()) == Size(ready=3)


def test_a_server_that_is_not_there_is_told_in_one_sentence(name):
    """Nothing listens: the error says where, without the password, and the same for threads."""
    queue = broker_at("redis://ada:secret@127.0.0.1:1/0").queue(name, QueueOptions(send_timeout=0.0))
    for attempt in (lambda: run(queue.send(messages(b"a"))), lambda: queue.send_blocking(messages(b"a"))):
        with pytest.raises(BackendUnavailable, match=r"Redis at 127\.0\.0\.1:1 cannot be reached") as caught:
            attempt()
        assert "secret" not in str(caught.value)
    with pytest.raises(BackendUnavailable):
        run(queue.reserve(1, 0))


def test_an_evicting_server_is_told_at_the_start(own_server, name, caplog):
    """A server that drops keys when its memory is full is warned about, once."""
    queue = broker_at(own_server.url).queue(name, OPTIONS)
    own_server.config_set("maxmemory", "1gb")
    own_server.config_set("maxmemory-policy", "allkeys-lru")
    try:
        queue._sweep_at = -1e9
        run(queue.chores())
        queue._sweep_at = -1e9
        run(queue.chores())
    finally:
        own_server.config_set("maxmemory-policy", "noeviction")
        own_server.config_set("maxmemory", "0")
    warnings = [record.message for record in caplog.records if "evicts" in record.message]
    assert len(warnings) == 1
    assert "set noeviction" in warnings[0]


def test_an_old_server_is_refused(queue, monkeypatch):
    """A server before 6.2 lacks commands that are needed; the error says so."""

    async def info(*_words):
        return b"redis_version:5.0.14\r\n"

    monkeypatch.setattr(queue._deployment, "call", info)
    with pytest.raises(ConfigError, match=r"is version 5\.0\.14; taskq needs 6\.2"):
        run(queue._deployment.inspect())


# -- looking after


def test_a_purge_leaves_what_is_owned_and_nothing_else(make, server, name, monkeypatch):
    """Ready and delayed messages are dropped and counted; reserved ones and dead letters stay, and no entry without a body."""
    monkeypatch.setattr(queue_module, "_MANY", 3)
    queue = make()

    async def scenario():
        await queue.send(messages(*(b"%d" % n for n in range(10))))
        (held, dead) = await queue.reserve(2, 0)
        await queue.dead_letter(dead, "why")
        await queue.send(messages(b"x", b"y", delay=9.0))
        dropped = await queue.purge()
        size = await queue.size()
        assert await queue.ack([held]) == [True]
        return dropped, size, await queue.purge()

    assert run(scenario()) == (10, Size(reserved=1, dead=1), 0)
    assert server.xlen(f"taskq:{{{name}}}:stream") == 0


def test_a_queue_that_nobody_consumed_is_purged_too(queue, server, name):
    """Before there is a group everything is ready; a purge leaves no stream behind."""
    run(queue.send(messages(b"a", b"b")))
    assert run(queue.size()) == Size(ready=2)
    assert run(queue.purge()) == 2
    assert not server.exists(f"taskq:{{{name}}}:stream")


def consumers(server, name):
    return {each["name"] for each in server.xinfo_consumers(f"taskq:{{{name}}}:stream", "taskq")}


def test_a_consumer_signs_off_only_when_it_owns_nothing(make, server, name):
    """Closing deletes the consumer, but never together with what it still owns (F1)."""
    clean, owning = make(), make()

    async def scenario():
        await clean.send(messages(b"a", b"b"))
        await clean.ack(await clean.reserve(1, 0))  # before Redis 7.2 only who was given something is a consumer
        await owning.reserve(1, 0)
        both = consumers(server, name)
        await clean.aclose()
        await owning.aclose()
        return both

    assert run(scenario()) == {clean.consumer, owning.consumer}
    assert consumers(server, name) == {owning.consumer}
    assert run(clean.size()) == Size(reserved=1)
    assert clean.consumer != owning.consumer


def test_consumers_that_went_away_are_swept_but_not_what_they_own(make, server, name, monkeypatch):
    """A consumer that was away long enough is deleted if it owns nothing (F2)."""
    monkeypatch.setattr(queue_module, "_AWAY", 0.0)
    gone, owning, alive = make(), make(), make()

    async def scenario():
        await gone.reserve(1, 0)
        await alive.send(messages(b"a"))
        await owning.reserve(1, 0)
        await alive.chores()

    run(scenario())
    assert consumers(server, name) == {owning.consumer}


# -- connections


def test_sends_that_come_together_travel_together(queue):
    """A hundred sends at once need a few trips; each gets its own answer."""

    async def scenario():
        await queue.send(messages(b"x"))
        answers = await asyncio.gather(*(queue.send([named(b"%d" % n, key=b"%d" % (n // 2))]) for n in range(100)))
        (sender,) = queue._senders.values()
        return [answer[0] is None for answer in answers], sender._lane.trips

    accepted, trips = run(scenario())
    assert accepted == [True, False] * 50
    assert trips == 3


def test_a_cancelled_send_leaves_the_others_alone(queue):
    """Whoever is cancelled while a trip is under way or waiting does not keep the others from being sent."""

    async def scenario():
        sends = [asyncio.create_task(queue.send(messages(b"%d" % n))) for n in range(6)]
        await asyncio.sleep(0)
        sends[0].cancel()
        sends[3].cancel()
        answers = await asyncio.gather(*sends, return_exceptions=True)
        await queue.send(messages(b"last"))
        return answers, {each.body for each in await queue.reserve(9, 0)}

    answers, bodies = run(scenario())
    assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [True, False, False, True, False, False]
    assert bodies >= {b"1", b"2", b"4", b"5", b"last"}


def test_threads_send_side_by_side(queue):
    """Producers in threads share nothing that breaks; every message is added once."""

    def produce(thread):
        for n in range(50):
            assert queue.send_blocking(messages(b"%d %d" % (thread, n))) == [None]

    threads = [threading.Thread(target=produce, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bodies = [each.body for each in run(queue.reserve(1000, 0))]
    assert len(bodies) == len(set(bodies)) == 300


def test_a_forked_child_sends_on_connections_of_its_own(queue):
    """After a fork parent and child both send, and neither reads the other's answers."""
    queue.send_blocking(messages(b"before"))
    child = os.fork()
    if child == 0:
        answers = [queue.send_blocking(messages(b"child %d" % n)) for n in range(20)]
        os._exit(0 if answers == [[None]] * 20 else 1)
    answers = [queue.send_blocking(messages(b"parent %d" % n)) for n in range(20)]
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert answers == [[None]] * 20
    assert run(queue.size()) == Size(ready=41)


def test_a_forked_child_is_a_consumer_of_its_own(queue):
    """After a fork no two living consumers share a name; each has the form that Go's have."""
    read, write = os.pipe()
    parent = queue.consumer
    child = os.fork()
    if child == 0:
        os.write(write, queue.consumer)
        os._exit(0)
    os.waitpid(child, 0)
    names = {parent, queue.consumer, os.read(read, 999)}
    assert len(names) == 2
    assert {name.split(b":")[1] for name in names} == {b"pid"}
    assert {int(name.split(b":")[2]) for name in names} == {os.getpid(), child}
    os.close(read)
    os.close(write)


def test_a_loop_that_ends_takes_its_connections_with_it(queue, server):
    """One asyncio.run after the other leaves no connection open, and no warning."""
    numbers = set()

    async def ask():
        await queue.size()
        numbers.update(map(str, queue._deployment.link()._ids.values()))

    for _ in range(5):
        run(ask())
    gc.collect()
    assert len(numbers) == 5
    run(until(lambda: not numbers & {client["id"] for client in server.client_list()}))


def test_a_large_batch_is_split(queue):
    """A batch beyond one trip is added in order, with an answer for each."""
    bodies = [b"%d " % n + bytes(3000) for n in range(1200)]
    assert run(queue.send(messages(*bodies))) == [None] * 1200
    assert [each.body for each in run(queue.reserve(2000, 0))] == bodies


@pytest.mark.parametrize("asynchronous", [True, False])
def test_an_app_takes_an_existing_client(redis_url, name, asynchronous, server):
    """A redis-py client, asyncio or blocking, says where the server is; the client itself is left alone."""
    client = redis.asyncio.Redis.from_url(redis_url) if asynchronous else redis.Redis.from_url(redis_url)
    app = taskq.App("redis://", client=client)
    queue = app.queue(name)
    queue.enqueue(queue.message("t", 1))
    assert run(queue.size()) == Size(ready=1)
    assert server.xlen(f"taskq:{{{name}}}:stream") == 1
    app.close()


def test_no_clock_of_a_client_decides_anything(redis_url, name):
    """Whatever this process believes about the time of day, the server's time rules: nothing here asks for it."""

    class Blind(SystemClock):
        def now(self):
            raise AssertionError("the time of day was asked for")

    queue = broker_at(redis_url, clock=Blind()).queue(name, OPTIONS)

    async def scenario():
        await queue.send([*messages(b"a", b"b", b"c"), named(b"d", delay=60.0)])
        a, b, c = await queue.reserve(3, 0)
        await queue.ack([a])
        await queue.release(await queue.extend(b, 9.0), 60.0)
        await queue.dead_letter(c, "why")
        await queue.chores()
        return await queue.size()

    assert run(scenario()) == Size(delayed=2, dead=1)
