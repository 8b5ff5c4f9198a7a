"""Bugs planted by hand in the Redis adapter and its scripts; the simulator has to find them in the production code.

Each is a context manager that patches one thing while it lasts, registered with the invariants that may show it and with the
faults that bring it about. The names say what is wrong.
"""

import contextlib
from unittest.mock import AsyncMock, patch

from taskq.backends.redis import queue, scripts, sending, stores
from taskq.backends.redis.links import Link
from taskq.backends.redis.queue import RedisBackend
from taskq.backends.redis.routes import Pause
from taskq_testing.simulator.redis import RedisService

BUGS = {}


def planted(invariants, *faults, play="mixed"):
    """Register a bug with the invariants that may show it, the faults that bring it about, and the scenario that can show it."""

    def register(function):
        BUGS[function.__name__] = (contextlib.contextmanager(function), frozenset(invariants), faults, play)
        return function

    return register


@contextlib.contextmanager
def eager(faults):
    """Let a run have only these faults, and those often."""
    often = {"network": 0.1, "chores": 0.02, "delivery": 0.2, "handler": 0.3, "spawn": 0.5, "broker": 1.0}
    places = {
        place: (often[place], tuple(name for name in names if name in faults))
        for place, (_, names) in RedisService.places.items()
        if set(names) & set(faults)
    }
    with patch.object(RedisService, "places", places):
        yield


@contextlib.contextmanager
def rewritten(module, name, *changes):
    """Patch a script as a module knows it."""
    text = getattr(module, name).text.decode()
    for before, after in changes:
        assert before in text, (name, before)
        text = text.replace(before, after)
    with patch.object(module, name, scripts._script(text)):
        yield


OWNED = "if not one or one[2] ~= ARGV[2] then return 0 end\n"


@planted({8, 9}, "suspend", "partition", "slow_network")
def released_whoever_owns_it():
    with rewritten(queue, "RELEASE", (OWNED, "")):
        yield


@planted({8, 1}, "suspend", "partition", "slow_network", play="failing")
def put_aside_whoever_owns_it():
    with rewritten(queue, "BURY", (OWNED, "")):
        yield


@planted({8}, "group_lost", "broker_rollback")
def an_extension_takes_what_is_anothers():
    with rewritten(queue, "EXTEND", (OWNED, "")):
        yield


@planted({2, 7, 10})
def recovered_while_its_owner_works():
    with rewritten(queue, "RECOVER", ("'IDLE', ARGV[2],", "'IDLE', 0,")):
        yield


@planted({1, 2, 18}, "crash", "suspend", play="brief")
def nothing_is_recovered():
    with rewritten(queue, "RECOVER", ("for _, one in ipairs(pending) do", "for _, one in ipairs({}) do")):
        yield


@planted({14}, play="deadly")
def deliveries_are_not_counted():
    with rewritten(queue, "RECOVER", ("'deliveries', deliveries, unpack(fields)", "unpack(fields)")):
        yield


@planted({2, 19})
def promoted_and_kept():
    now_and_then = "if redis.call('XLEN', KEYS[1]) % 2 == 0 then redis.call('ZREM', KEYS[2], body) end"
    with rewritten(queue, "PROMOTE", ("redis.call('ZREM', KEYS[2], body)", now_and_then)):
        yield


@planted({17})
def delays_end_early():
    with rewritten(queue, "PROMOTE", ("local now = time[1] * 1000 +", "local now = 100 + time[1] * 1000 +")):
        yield


@planted({2})
def done_but_not_deleted():
    with rewritten(queue, "ACK", ("redis.call('XDEL', KEYS[1], unpack(ARGV, 2))\n", "")):
        yield


@planted({5}, "lost_reply", "reset", play="adding")
def trips_are_not_remembered():
    with rewritten(sending, "SEND", (">= tonumber(ARGV[1]) then", "< 0 then")):
        yield


@planted({5}, "lost_reply", "reset", play="adding")
def a_retry_is_a_new_trip():
    def sending_anew(routes, keys, lane, batch, clock, patience):
        deadline = clock.monotonic() + patience
        while True:
            try:
                return (yield from original(routes, keys, lane, batch, clock, 0.0))
            except Exception as error:
                if not sending.passing(error) or clock.monotonic() > deadline:
                    raise
                yield Pause(0.1)

    original = queue.sending
    with patch.object(queue, "sending", sending_anew):
        yield


@planted({12, 13}, "storage_error", play="adding")
def a_refused_add_keeps_its_name():
    with rewritten(sending, "SEND", ("if name then redis.call('DEL', name) end", "")):
        yield


@planted({12})
def a_taken_name_is_taken_again():
    with rewritten(sending, "SEND", ("'NX', 'PX', ttl", "'PX', ttl")):
        yield


@planted({1, 2, 3}, "lost_reply", "reset", play="deploying")
def a_consumer_leaves_with_what_it_owns():
    with rewritten(queue, "LEAVE", ("if pending.err or #pending > 0 then return 0 end", "if pending.err then return 0 end")):
        yield


@planted({7, 10}, "refused", "reset", play="lengthy")
def strays_include_what_is_owned():
    original = RedisBackend._recover_strays

    async def recover_strays(self):
        owned, self._owned = self._owned, {}
        await original(self)
        self._owned = owned

    with patch.object(RedisBackend, "_recover_strays", recover_strays), patch.object(queue, "_STRAY", 0.1):
        yield


@planted({1, 2, 18}, "group_lost", play="lengthy")
def a_lost_group_is_not_made_again():
    with patch.object(queue, "_group_is_missing", lambda error: False):
        yield


@planted(range(1, 32), "slow_network")
def an_answer_is_taken_for_anothers():
    async def keep(self, connection):
        self._idle.setdefault((None, False), []).append(connection)

    with patch.object(Link, "_drop", keep), patch.object(Link, "_drop_idle", AsyncMock()):
        yield


@planted({1}, "slow_network", play="adding")
def sends_of_one_lane_overtake_each_other():
    async def send(self, batch):
        return await self._travel(batch)

    with patch.object(queue._Sender, "send", send):
        yield


@planted({1, 2, 18}, play="early")
def the_group_begins_at_the_end():
    async def make_group(self):
        words = (b"XGROUP", b"CREATE", self.keys.stream, queue.GROUP, b"$", b"MKSTREAM")
        await self._deployment.call(self.keys.stream, *words)

    with patch.object(RedisBackend, "_make_group", make_group):
        yield


@planted({4}, play="purged")
def a_purge_takes_what_is_reserved():
    with rewritten(queue, "PURGE", ("after = '(' .. facts['last-delivered-id']", "after = '-'")):
        yield


@planted({21, 28})
def a_lock_can_be_held_twice():
    with rewritten(stores, "LOCK", ("if owner then return 0 end", "")):
        yield


@planted({20})
def the_fastest_does_not_win():
    with rewritten(stores, "SWAP", ("if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end", "")):
        yield
