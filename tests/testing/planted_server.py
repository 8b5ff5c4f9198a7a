"""Bugs planted in the scripts of the Redis adapter: what a recorded history of a real fleet has to show."""

import hashlib
from contextlib import contextmanager
from unittest.mock import patch

from taskq.backends.redis import queue, sending
from taskq.backends.redis.scripts import Script

BUGS = {
    "a trip is not remembered": (sending, "SEND", ">= tonumber(ARGV[1]) then", "< 0 then", {5}),
    "a name is not taken": (sending, "SEND", "'NX', 'PX', ttl) then", "'PX', ttl) then", {12}),
    "a delayed message is not added": (sending, "SEND", "redis.pcall('ZADD', KEYS[2], string.format", "pcall(string.format", {1}),
    "a delay is forgotten": (sending, "SEND", "math.ceil(now + delay)", "math.ceil(now)", {17}),
    "what is done stays": (queue, "ACK", "redis.call('XDEL', KEYS[1], unpack(ARGV, 2))", "", {2}),
    "what is done is not told": (queue, "ACK", "redis.call('XACK', KEYS[1], unpack(ARGV))", "0", {4, 18}),
    "a backoff is forgotten": (queue, "RELEASE", "tonumber(ARGV[5])", "0", {16}),
    "a late release counts": (queue, "RELEASE", "~= ARGV[2] then return 0 end", "~= ARGV[2] then end", {2, 5}),
    "a dead letter is dropped": (queue, "BURY", "redis.call('XADD', KEYS[2], '*', unpack(ARGV, 4))", "", {6}),
    "a promotion leaves it": (queue, "PROMOTE", "redis.call('ZREM', KEYS[2], body)", "", {2, 19}),
    "a promotion is early": (queue, "PROMOTE", "'-inf', now,", "'-inf', now + 60000,", {17}),
    "a recovery is early": (queue, "RECOVER", "'IDLE', ARGV[2]", "'IDLE', 0", {7, 10}),
    "a recovery drops it": (
        queue,
        "RECOVER",
        "redis.call('XADD', KEYS[1], '*', 'deliveries', deliveries, unpack(fields))",
        "",
        {6},
    ),
    "an extension does nothing": (queue, "EXTEND", "redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0", "pcall(string.len", {11}),
    "a consumer takes its messages with it": (queue, "LEAVE", "or #pending > 0", "", {1, 18}),
}
"""By name: the module and the script, what to replace by what, and the invariants of which one has to be broken at least."""


@contextmanager
def planted(name):
    """Plant a bug for a while."""
    module, script, old, new, _ = BUGS[name]
    text = getattr(module, script).text.replace(old.encode(), new.encode())
    assert text != getattr(module, script).text, "the script does not look as it did"
    with patch.object(module, script, Script(text, hashlib.sha1(text).hexdigest().encode())):
        yield
