"""Single calls of the backend, each broken off at one byte of its conversation with the server (rows 5 and 44).

The connection is cut, an answer is swallowed, or the caller is cancelled, before or after each byte of the request and of the
answer. Whoever is told that a call failed calls again, as the runtime does. Then everything has to be as if nothing had
happened: no message lost, none added twice, and no answer taken for another's.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

from taskq.backends import redis as redis_backend
from taskq.backends.base import Outgoing, Size
from taskq.backends.redis import links
from taskq.backends.redis import queue as queue_module
from taskq.core.dedup import Claim
from taskq.errors import BackendUnavailable, ReservationLost
from taskq.options import QueueOptions
from taskq.runtime.clock import SystemClock
from taskq_testing.services import Proxy
from tests.chaos.jobs import wait

OPTIONS = QueueOptions(reservation_timeout=30.0, send_timeout=20.0)
ANSWER, PATIENCE, STRAY = 0.3, 30.0, 0.05
"""Seconds for which those wait whose connections go mute, and all others, for the machine may be busy; in life two and three."""

SIDES = ("server", "client")
_numbers = itertools.count()


def backend_at(url, name, answer):
    """Return the backend of a queue, with connections of its own."""
    made = links.Links(asyncio=partial(links.Link, answer=answer))
    return redis_backend.RedisBroker(redis_backend.connector_for(url), SystemClock(), made).queue(name, OPTIONS)


@dataclass(frozen=True)
class Call:
    """One kind of call.

    Attributes:
        name: for people.
        prepare: makes what the call is about, with a backend behind a proxy and one that is near the server.
        act: calls, and calls again while the server cannot be reached; not for sends, which do that by themselves.
        check: looks at what came of it, from near by, and leaves nothing.
    """

    name: str
    prepare: Callable[[Any, Any], Awaitable[Any]]
    act: Callable[[Any, Any], Awaitable[None]]
    check: Callable[[Any, Any], Awaitable[None]]
    sends: bool = False


def outgoing(*names, **more):
    """Return messages to send, with bodies unlike any other."""
    return [Outgoing(name, name + b"-%d" % next(_numbers), **more) for name in names]


async def again(call):
    """Call until it is not said that the server cannot be reached; done before, and lost meanwhile, are answers too."""
    while True:
        try:
            return await call()
        except BackendUnavailable:
            await wait(0.001)
        except ReservationLost:
            return None


# -- the calls


def sending(name, make, *, blocking=False):
    """Return the sending of some messages."""

    async def prepare(far, near):
        return make()

    async def act(far, batch):
        answers = await (asyncio.to_thread(far.send_blocking, batch) if blocking else far.send(batch))
        assert answers == [None] * len(batch)

    async def check(near, batch):
        delayed = sum(each.delay > 0 for each in batch)
        assert await near.size() == Size(ready=len(batch) - delayed, delayed=delayed)
        taken = await near.reserve(99, 0.0)
        assert [each.body for each in taken] == [each.body for each in batch if not each.delay]
        await near.ack(taken)
        await near.purge()

    return Call(name, prepare, act, check, sends=True)


async def reserved(far, seconds=0.0):
    """Reserve until there is a message; one whose answer was lost comes again."""
    while True:
        if taken := await again(lambda: far.reserve(1, seconds)):
            return taken
        far._recover_at = float("-inf")
        await again(far.chores)


def reserving(name, seconds):
    """Return the reservation of a message."""

    async def prepare(far, near):
        (sent,) = batch = outgoing(b"a")
        await near.send(batch)
        return sent.body, []

    async def act(far, it):
        _, taken = it
        if not taken:
            taken += await reserved(far, seconds)

    async def check(near, it):
        body, taken = it
        assert [each.body for each in taken] == [body]
        assert await near.size() == Size(reserved=1)
        await near.ack(taken)

    return Call(name, prepare, act, check)


def settling(name, settle, left):
    """Return the settling, or extension, of a message that is reserved."""

    async def prepare(far, near):
        await near.send(outgoing(b"a"))
        (held,) = await reserved(far)
        return held

    async def act(far, held):
        await again(lambda: settle(far, held))

    async def check(near, held):
        assert await near.size() == left
        await near.ack([held, *await near.reserve(9, 0.0)])
        await near.purge()
        await near.discard(await near.dead_letters(9))
        assert await near.size() == Size()

    return Call(name, prepare, act, check)


CALLS = (
    sending("enqueue", lambda: outgoing(b"a")),
    sending("enqueue many", lambda: outgoing(b"a", b"b", b"c", b"d")),
    sending("enqueue delayed", lambda: outgoing(b"a", delay=60.0)),
    sending("enqueue named", lambda: outgoing(b"a", claim=Claim(b"k%d" % next(_numbers), 60.0))),
    reserving("reserve", 0.0),
    reserving("reserve, waiting", 0.03),
    settling("ack", lambda far, held: far.ack([held]), Size()),
    settling("release", lambda far, held: far.release(held, 0.0), Size(ready=1)),
    settling("release delayed", lambda far, held: far.release(held, 60.0), Size(delayed=1)),
    settling("dead letter", lambda far, held: far.dead_letter(held, "why"), Size(dead=1)),
    settling("extend", lambda far, held: far.extend(held, 30.0), Size(reserved=1)),
)
IN_THREADS = (sending("enqueue, from a thread", lambda: outgoing(b"a", b"b"), blocking=True),)
"""What cannot be cancelled, and has five seconds to wait for an answer."""


# -- breaking them off


class Line:
    """One call, made again and again by way of a proxy that breaks it off."""

    def __init__(self, url, call, proxy, answer=PATIENCE):
        name = f"line-{next(_numbers)}"
        self.call, self.proxy = call, proxy
        self.far, self.near = backend_at(proxy.url, name, answer=answer), backend_at(url, name, answer=PATIENCE)
        self.sent, self.given_up = [], []

    async def lengths(self):
        """Make the call once as it should be, and return its bytes to each side."""
        await self.whole()
        it = await self.call.prepare(self.far, self.near)
        before = [self.proxy.passed(side) for side in SIDES]
        await self.call.act(self.far, it)
        lengths = [self.proxy.passed(side) - count for side, count in zip(SIDES, before, strict=True)]
        await self.call.check(self.near, it)
        return dict(zip(SIDES, lengths, strict=True))

    async def whole(self):
        """Make the call, undisturbed."""
        it = await self.call.prepare(self.far, self.near)
        await self.call.act(self.far, it)
        await self.call.check(self.near, it)

    async def cut(self, side, count):
        """Cut the connection when so many bytes have arrived at one side."""
        it = await self.call.prepare(self.far, self.near)
        self.proxy.cut_after(count, to=side)
        await self._act_and_check(it)

    async def swallow(self, side, count):
        """Let everything vanish that goes to one side after so many bytes."""
        it = await self.call.prepare(self.far, self.near)
        self.proxy.swallow(to=side, after=count, times=1)
        await self._act_and_check(it)

    async def _act_and_check(self, it):
        await self.call.act(self.far, it)
        self.proxy.heal()
        await self.call.check(self.near, it)
        await self.echo()

    async def cancel(self, side, count):
        """Cancel the caller when so many bytes have arrived at one side."""
        it = await self.call.prepare(self.far, self.near)
        held = self.proxy.hold(to=side, after=count, times=1)
        task = asyncio.create_task(self.call.act(self.far, it))
        while not held.fired and not task.done():
            await wait(0.0005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.proxy.heal()
        await asyncio.gather(self.echo(), self.echo())
        if self.call.sends:
            # What was given up may still arrive, once; what is sent after it by the same sender has to.
            self.given_up += it
            following = await self.call.prepare(self.far, self.near)
            await self.call.act(self.far, following)
            self.sent += following
        else:
            await self.call.act(self.far, it)
            await self.call.check(self.near, it)

    async def account(self):
        """Count what has been sent since it was not counted for each call."""
        do, keys = self.near._deployment.call, self.near.keys
        entries = await do(keys.stream, b"XRANGE", keys.stream, b"-", b"+")
        delayed = await do(keys.delayed, b"ZRANGE", keys.delayed, 0, -1)
        there = Counter([*(fields[1] for _, fields in entries), *delayed])
        assert all(there[each.body] == 1 for each in self.sent)
        assert all(there[each.body] <= 1 for each in self.given_up)
        assert len(there) <= len(self.sent) + len(self.given_up)

    async def echo(self):
        """Ask something that has one answer."""
        token = b"%d" % next(_numbers)
        assert await again(lambda: self.far._deployment.call(b"x", b"ECHO", token)) == token


class Parting(Line):
    """A reserve that is cancelled while it waits at the server, with or without a message that comes in this moment."""

    LONGEST = 40
    """Bytes of the end of a wait, to either side."""

    def __init__(self, url, proxy):
        super().__init__(url, None, proxy)

    async def end(self, side, count, *, message):
        """End a wait, of which the proxy cuts a connection after so many bytes more; then look for the message."""
        waiting = asyncio.create_task(self.far.reserve(1, 20.0))
        while not await self._blocked():
            assert not waiting.done(), waiting
            await wait(0.001)
        self.proxy.cut_after(count, to=side)
        if message:
            (sent,) = batch = outgoing(b"a")
            await self.near.send(batch)
        waiting.cancel()
        (end,) = await asyncio.gather(waiting, return_exceptions=True)
        self.proxy.heal()
        await self.echo()
        if not message:
            (sent,) = batch = outgoing(b"b")
            await self.near.send(batch)
        if isinstance(end, list):  # it came before it could be cancelled
            assert [each.body for each in end] == [sent.body]
            await self.near.ack(end)
        else:
            reserve = reserving("", 0.0)
            await reserve.act(self.far, it := (sent.body, []))
            await reserve.check(self.near, it)

    async def _blocked(self):
        return b"blocked_clients:1" in await self.near._deployment.call(b"x", b"INFO", b"CLIENTS")


async def break_partings_off(url, *, every):
    """Break the end of a wait off at every so many bytes; return how often."""
    count = 0
    with patch.object(queue_module, "_STRAY", STRAY), Proxy(url) as proxy:
        line = Parting(url, proxy)
        await reserving("", 0.0).prepare(line.far, line.near)
        await line.near.ack(await line.far.reserve(1, 0.0))
        for side in SIDES:
            for position in range(0, Parting.LONGEST, every):
                for message in (False, True):
                    await line.end(side, position, message=message)
                    count += 1
    return count


async def break_off(url, call, how, *, every):
    """Break one kind of call off at every so many bytes, and at the last ones, of both directions; return how often."""
    count = 0
    with Proxy(url) as proxy:
        line = Line(url, call, proxy, ANSWER if how == "swallow" else PATIENCE)
        for side, length in (await line.lengths()).items():
            for position in sorted({*range(0, length, every), length - 1, length}):
                await getattr(line, how)(side, position)
                count += 1
        await line.account()
    return count


async def break_off_all(url, how, *, every, calls=CALLS):
    """Do that with some kinds of call, side by side; return how often for each."""
    with patch.object(queue_module, "_STRAY", STRAY):
        counts = await asyncio.gather(*(break_off(url, call, how, every=every) for call in calls))
    return {call.name: count for call, count in zip(calls, counts, strict=True)}
