"""The machine that drives both sides and compares. What may differ is a `Difference`, with its reason; all else is a divergence.

All durations are whole units of time, and each step forward is a little more than whole units, so that nothing is ever due at
the very moment of a look, however long an example takes in real time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from conformance.differential.worlds import ManualClock, World
from taskq.backends.base import Backend, Chores, DeadLetter, DeadLetters, Outgoing
from taskq.backends.memory import MemoryBroker
from taskq.core.dedup import Claim
from taskq.message import Reservation
from taskq.options import QueueOptions

__all__ = ["DIFFERENCES", "Difference", "Divergence", "machine"]


class Divergence(AssertionError):  # noqa: N818 - what it says of two backends
    """Two backends answered differently, and nothing says that they may."""


class Difference(msgspec.Struct, frozen=True):
    """Something in which a service may differ from the backend in memory.

    Attributes:
        name: what the machine calls it.
        services: where.
        what: what is different, for the published list.
        why: the reason.
    """

    name: str
    services: tuple[str, ...]
    what: str
    why: str


DIFFERENCES = (
    Difference(
        "order of what came back",
        ("valkey", "sqs"),
        "Messages that were delayed, given back or expired come in another order.",
        "Order is promised for messages that are neither delayed nor retried; on Redis what comes due goes to the end of the "
        "stream when somebody looks, and SQS's standard queues keep no order.",
    ),
    Difference(
        "order of plain messages",
        ("sqs",),
        "Plain messages come in another order.",
        "SQS's standard queues promise none; moto keeps it all the same, most of the time.",
    ),
    Difference(
        "deliveries after a release",
        ("sqs",),
        "A message that was given back unchanged may go on with its count of deliveries; in memory it starts a new one.",
        "The first time it is made visible again instead of being sent anew, and SQS counts each receive.",
    ),
    Difference(
        "extension beyond the timeout",
        ("valkey",),
        "An extension by more than the reservation timeout lasts for one timeout.",
        "Redis counts idle time from the last sign of life, and everybody takes what was idle for a timeout.",
    ),
    Difference(
        "delayed messages survive a purge",
        ("sqs",),
        "A purge leaves what is delayed while something is reserved.",
        "SQS drops delayed messages only together with those that are reserved, which a purge has to spare.",
    ),
)

_BY_NAME = {each.name: each for each in DIFFERENCES}
_TIMEOUT = 2
_MORE = 10.0
"""Seconds by which a step forward is more than whole units."""


_MOMENT = 0.01
"""Seconds that pass before each question, by the clocks of both sides: on SQS what is given back is visible after it."""


class _Pair(msgspec.Struct):
    """One reservation on both sides."""

    memory: Reservation
    real: Reservation


def machine(world: World, seen: set[str]) -> type[RuleBasedStateMachine]:
    """Return a state machine for `hypothesis.stateful.run_state_machine_as_test`.

    Args:
        world: the service.
        seen: gets the names of the differences that were seen.
    """
    return type("Lockstep", (_Lockstep,), {"world": world, "seen": seen})


class _Sides:
    """Both backends, and what asks both."""

    def __init__(self, world: World) -> None:
        options = QueueOptions(reservation_timeout=_TIMEOUT * world.unit)
        self.world = world
        self.clock = ManualClock()
        self.memory: Backend = MemoryBroker(self.clock).queue("q", options)
        self.real = world.backend(options)
        self._loop = asyncio.new_event_loop()

    def ask(self, call: Callable[[Backend, int], Coroutine[Any, Any, Any]]) -> tuple[Any, Any]:
        """Ask both, and return their answers; an error is one, by its name. A moment passes before, as it always does."""
        self.clock.time += _MOMENT
        self.world.clock.time += _MOMENT
        return self._answer(self._loop.run_until_complete, call(self.memory, 0)), self._answer(self.world.run, call(self.real, 1))

    @staticmethod
    def _answer(run: Callable[[Any], Any], work: Coroutine[Any, Any, Any]) -> Any:
        try:
            return run(work)
        except Exception as error:  # noqa: BLE001 - which error it is, is what is compared
            return type(error).__name__

    def advance(self, seconds: float) -> None:
        """Move both times, and let the service look after what is due."""
        self.clock.time += seconds
        self.world.advance(self.real, seconds)
        for _ in range(2):
            if isinstance(self.real, Chores):
                self.world.run(self.real.chores())

    def close(self) -> None:
        """Let go of the loop."""
        self._loop.close()


class _Lockstep(RuleBasedStateMachine):
    world: World
    seen: set[str]

    @initialize()
    def begin(self) -> None:
        self.sides = _Sides(self.world)
        self.held: dict[bytes, _Pair] = {}
        self.stale: list[_Pair] = []
        self.plain: set[bytes] = set()
        self.number = 0

    def teardown(self) -> None:
        if hasattr(self, "sides"):
            self.sides.close()

    # -- comparing

    def same(self, what: str, answers: tuple[Any, Any]) -> Any:
        """Insist that both answered alike, and return the answer."""
        if answers[0] != answers[1]:
            raise Divergence(f"{what}: in memory {answers[0]!r}, on {self.world.name} {answers[1]!r}")
        return answers[0]

    def may_differ(self, name: str) -> None:
        """Note a difference that is known here; one that is not is a divergence."""
        if self.world.name not in _BY_NAME[name].services:
            raise Divergence(f"{name}, which is no known difference of {self.world.name}")
        self.seen.add(name)

    def both(self, what: str, call: Callable[[Backend, int], Coroutine[Any, Any, Any]]) -> Any:
        """Ask both and insist."""
        return self.same(what, self.sides.ask(call))

    def body(self) -> bytes:
        """Return a body that no other message has."""
        self.number += 1
        return b"message %d \x00\xff" % self.number

    def any_held(self, data: st.DataObject) -> _Pair:
        """Draw one of the reservations that are held."""
        return self.held[data.draw(st.sampled_from(sorted(self.held)), "held")]

    # -- what is done

    @rule(
        delays=st.lists(st.integers(0, 3), min_size=1, max_size=4),
        names=st.lists(st.sampled_from(["", "", "a", "b"]), min_size=4, max_size=4),
        ttl=st.integers(1, 3),
    )
    def send(self, delays: list[int], names: list[str], ttl: int) -> None:
        self._send(delays, names, ttl)

    @rule(count=st.integers(1, 5))
    def send_plain(self, count: int) -> None:
        self._send([0] * count, [""] * count, 1)

    def _send(self, delays: list[int], names: list[str], ttl: int) -> None:
        batch = []
        for delay, name in zip(delays, names, strict=False):
            body, seconds = self.body(), delay * self.world.unit
            claim = Claim(b"name-" + name.encode(), (delay + ttl) * self.world.unit) if name and self.world.claims else None
            batch.append(Outgoing(body, body, seconds, claim))
        answers = self.sides.ask(lambda backend, _: backend.send(batch))
        told = self.same("send", (_named(answers[0]), _named(answers[1])))
        self.plain.update(each.body for each, answer in zip(batch, told, strict=True) if answer is None and not each.delay)

    @rule(n=st.integers(1, 5))
    def reserve(self, n: int) -> None:
        # Where the order is not promised nobody can say which of them come: then all are taken.
        size = self.both("size", lambda backend, _: backend.size())
        ordered = self.world.name not in _BY_NAME["order of plain messages"].services and self._ready_are_plain(size.ready)
        count = n if ordered else size.ready + 1
        memory, real = self.sides.ask(lambda backend, _: backend.reserve(count, 0.0))
        if isinstance(memory, str) or isinstance(real, str):
            raise Divergence(f"reserve: in memory {memory}, on {self.world.name} {real}")
        found = {each.body: each for each in real}
        self.same("what is reserved", (sorted(each.body for each in memory), sorted(found)))
        self._compare_order([each.body for each in memory], [each.body for each in real])
        for each in memory:
            other = found[each.body]
            if each.deliveries != other.deliveries:
                self.may_differ("deliveries after a release")
            self.held[each.body] = _Pair(each, other)
        self.plain -= set(found)

    def _ready_are_plain(self, ready: int) -> bool:
        return ready == len(self.plain)

    def _compare_order(self, memory: list[bytes], real: list[bytes]) -> None:
        if [body for body in memory if body in self.plain] != [body for body in real if body in self.plain]:
            self.may_differ("order of plain messages")
        elif memory != real:
            self.may_differ("order of what came back")

    @precondition(lambda self: self.held)
    @rule(data=st.data(), late=st.booleans())
    def ack(self, data: st.DataObject, late: bool) -> None:
        bodies = data.draw(st.lists(st.sampled_from(sorted(self.held)), min_size=1, unique=True), "acked")
        pairs = [self.held.pop(body) for body in bodies] + (self.stale[-2:] if late else [])
        self.both("ack", lambda backend, side: backend.ack([_side(pair, side) for pair in pairs]))
        self.stale += pairs

    @precondition(lambda self: self.held)
    @rule(data=st.data(), delay=st.integers(0, 3), changed=st.booleans())
    def release(self, data: st.DataObject, delay: int, changed: bool) -> None:
        pair = self.any_held(data)
        del self.held[pair.memory.body]
        body = self.body() if changed else pair.memory.body
        await_ = delay * self.world.unit

        def call(backend: Backend, side: int) -> Coroutine[Any, Any, Any]:
            return backend.release(msgspec.structs.replace(_side(pair, side), body=body), await_)

        self.both("release", call)
        self.stale.append(pair)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), units=st.integers(1, 3))
    def extend(self, data: st.DataObject, units: int) -> None:
        pair = self.any_held(data)
        if units > _TIMEOUT and self.world.name in _BY_NAME["extension beyond the timeout"].services:
            self.may_differ("extension beyond the timeout")
            units = _TIMEOUT
        answers = self.sides.ask(lambda backend, side: backend.extend(_side(pair, side), units * self.world.unit))
        told = tuple(each if isinstance(each, str) else round(each.expires_at - clock.time) for each, clock in zip(
            answers, (self.sides.clock, self.world.clock), strict=True))  # fmt: skip
        self.same("extend", (told[0], told[1]))
        if not isinstance(answers[0], str):
            self.held[pair.memory.body] = _Pair(*answers)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def bury(self, data: st.DataObject) -> None:
        pair = self.any_held(data)
        del self.held[pair.memory.body]
        reason = f"reason {self.number}, with ünïcode"
        self.both("dead_letter", lambda backend, side: backend.dead_letter(_side(pair, side), reason))
        self.stale.append(pair)

    @precondition(lambda self: self.stale)
    @rule(data=st.data(), what=st.sampled_from(["release", "extend", "dead_letter", "ack"]))
    def settle_late(self, data: st.DataObject, what: str) -> None:
        pair = data.draw(st.sampled_from(self.stale), "stale")
        calls: dict[str, Callable[[Backend, Any], Coroutine[Any, Any, Any]]] = {
            "release": lambda backend, each: backend.release(each, 0.0),
            "extend": lambda backend, each: backend.extend(each, self.world.unit),
            "dead_letter": lambda backend, each: backend.dead_letter(each, "late"),
            "ack": lambda backend, each: backend.ack([each]),
        }
        self.both(f"a late {what}", lambda backend, side: calls[what](backend, _side(pair, side)))

    # -- looking after

    @rule(chance=st.integers(0, 9))
    def purge(self, chance: int) -> None:
        if chance:  # or there would be little to look at
            self.send_plain(1 + chance % 4)
            return
        size = self.both("size", lambda backend, _: backend.size())
        if size.delayed and size.reserved and self.world.name in _BY_NAME["delayed messages survive a purge"].services:
            self.may_differ("delayed messages survive a purge")
            return
        self.both("purge", lambda backend, _: backend.purge())
        self.plain.clear()

    @rule(data=st.data(), what=st.sampled_from(["look", "redrive", "discard"]))
    def dead_letters(self, data: st.DataObject, what: str) -> None:
        memory, real = self.sides.ask(lambda backend, _: _dead(backend).dead_letters(100))
        told = [sorted((each.body, each.reason) for each in letters) for letters in (memory, real)]
        self.same("dead letters", (told[0], told[1]))
        self.sides.advance(_MORE / 1000)  # SQS hides for a moment what was looked at
        if what == "look" or not memory:
            return
        chosen = data.draw(st.lists(st.sampled_from([each.body for each in memory]), min_size=1, unique=True), what)
        sides = [[each for each in letters if each.body in chosen] for letters in (memory, real)]

        def call(backend: Backend, side: int) -> Coroutine[Any, Any, int]:
            letters: Sequence[DeadLetter] = sides[side]
            return _dead(backend).redrive(letters) if what == "redrive" else _dead(backend).discard(letters)

        self.both(what, call)

    @rule(units=st.integers(0, 3))
    def advance(self, units: int) -> None:
        self.sides.advance(units * self.world.unit + _MORE)
        now = self.sides.clock.time
        for body, pair in list(self.held.items()):
            if pair.memory.expires_at <= now:
                self.stale.append(self.held.pop(body))
        self.both("size", lambda backend, _: backend.size())


def _side(pair: _Pair, side: int) -> Reservation:
    return pair.real if side else pair.memory


def _named(answers: Any) -> Any:
    return answers if isinstance(answers, str) else [None if each is None else type(each).__name__ for each in answers]


def _dead(backend: Backend) -> DeadLetters:
    assert isinstance(backend, DeadLetters)
    return backend
