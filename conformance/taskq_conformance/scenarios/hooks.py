"""Hooks: what they see, and that they change nothing."""

from __future__ import annotations

from typing import Any

import msgspec

from taskq.core.retry import Ack, DeadLetter, Fallback, Release
from taskq.hooks.base import Hook
from taskq.hooks.events import Settled, Started
from taskq.message import Enqueued, Message
from taskq_conformance.bench import Bench
from taskq_conformance.check import holds, same
from taskq_conformance.place import Place, Ran
from taskq_conformance.scenario import scenario


class _Listening(Hook):
    """Notes all that it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []

    def on_enqueue(self, queue: str, message: Message, result: Enqueued) -> None:
        """Note what became of a message."""
        self.told.append(("enqueue", (queue, message.task, result)))

    def on_start(self, event: Started) -> None:
        """Note the beginning of a run."""
        self.told.append(("start", event))

    def on_settle(self, event: Settled) -> None:
        """Note its end."""
        self.told.append(("settle", event))

    def on_failure(self, event: Settled) -> None:
        """Note its failure."""
        self.told.append(("failure", event))

    @property
    def kinds(self) -> list[str]:
        """The kinds of what it was told."""
        return [kind for kind, _ in self.told]


class _Failing(Hook):
    """Fails whatever it is asked."""

    def before_enqueue(self, queue: str, message: Message) -> Message:
        """Fail."""
        raise RuntimeError(f"{queue}: {message.task}")

    def on_enqueue(self, queue: str, message: Message, result: Enqueued) -> None:
        """Fail."""
        raise RuntimeError(f"{queue}: {message.task}: {result}")

    def on_start(self, event: Started) -> None:
        """Fail."""
        raise RuntimeError(event.queue)

    def on_settle(self, event: Settled) -> None:
        """Fail."""
        raise RuntimeError(event.queue)


def _once(ran: Ran) -> None:
    if ran.attempt == 1:
        raise ValueError(ran.attempt)


async def _consumed(bench: Bench, place: Place, runs: int, dead: int = 0) -> None:
    await place.add("x")
    async with place.consuming():
        await bench.until_runs(place, runs)
        await bench.until_done(place, dead)


@scenario("G51")
async def a_run_is_told_from_beginning_to_end(bench: Bench) -> None:
    """A message that fails once and then succeeds is told in this order, with its decisions."""
    hook = _Listening()
    place = bench.place(_once, on=bench.process("hooked", hooks=[hook]))
    await _consumed(bench, place, 2)
    same(hook.kinds, ["enqueue", "start", "settle", "failure", "start", "settle"], "what was told")
    settled = [event for kind, event in hook.told if kind == "settle" and isinstance(event, Settled)]
    first, second = settled
    holds(isinstance(first.decision, Release) and isinstance(first.error, ValueError), f"the first end: {first.decision}")
    holds(isinstance(second.decision, Ack) and second.error is None, f"the second end: {second.decision}")
    same([event.message.attempt for event in settled], [1, 2], "the attempts that were told")


@scenario("G51")
async def the_end_of_the_line_is_told(bench: Bench) -> None:
    """The last failure is told as what it is: with a fallback, or as a dead letter."""
    hook = _Listening()
    process = bench.process("hooked", hooks=[hook])

    def fails(ran: Ran) -> None:
        raise ValueError(ran.attempt)

    await _consumed(bench, bench.place(fails, on=process, task={"max_attempts": 1}), 1, dead=1)
    await _consumed(bench, bench.place(fails, on=process, task={"max_attempts": 1}, fallback=lambda _: None), 2)
    decisions = [type(event.decision) for kind, event in hook.told if kind == "settle" and isinstance(event, Settled)]
    same(decisions, [DeadLetter, Fallback], "the decisions")


@scenario("G51")
async def a_failing_hook_alters_nothing(bench: Bench) -> None:
    """With a hook that always fails a message is enqueued, fails once, is retried and done as without."""
    place = bench.place(_once, on=bench.process("hooked", hooks=[_Failing()]))
    await _consumed(bench, place, 2)
    same((place.attempts, [ran.args for ran in place.runs]), ([1, 2], [("x",), ("x",)]), "the runs")


@scenario("G51", needs=("dedup",))
async def a_duplicate_is_told(bench: Bench) -> None:
    """A hook is told of a duplicate that it is one."""
    hook = _Listening()
    place = bench.place(on=bench.process("hooked", hooks=[hook]))
    await place.add(1, name="n")
    await place.add(2, name="n")
    results = [event[2].duplicate for kind, event in hook.told if kind == "enqueue" and isinstance(event, tuple)]
    same(results, [False, True], "what was told of duplicates")


@scenario("G51")
async def a_hook_may_change_what_is_enqueued(bench: Bench) -> None:
    """What `before_enqueue` returns is what travels."""

    class Changing(Hook):
        """Delays everything."""

        def before_enqueue(self, queue: str, message: Message) -> Message:  # noqa: ARG002 - all alike
            return msgspec.structs.replace(message, delay=bench.seconds(4))

    place = bench.place(on=bench.process("hooked", hooks=[Changing()]))
    began = bench.now()
    await _consumed(bench, place, 1)
    holds(place.runs[0].at - began >= bench.seconds(4), "the delay that a hook gave is kept")


@scenario("G51")
async def how_a_message_is_owned_is_told(bench: Bench) -> None:
    """`on_start` is told the reservation: how often it was delivered, and that it ends later."""
    hook = _Listening()
    place = bench.place(on=bench.process("hooked", hooks=[hook]))
    await _consumed(bench, place, 1)
    (event,) = [event for kind, event in hook.told if kind == "start" and isinstance(event, Started)]
    assert event.reservation is not None
    same((event.queue, event.message.task, event.reservation.deliveries), (place.queue.name, "work", 1), "what was told")


@scenario("G51")
async def a_message_is_prepared_once(bench: Bench) -> None:
    """A hook that may change what is enqueued is asked once for each message."""

    class Counting(Hook):
        """Counts."""

        def __init__(self) -> None:
            self.count = 0

        def before_enqueue(self, queue: str, message: Message) -> Message:  # noqa: ARG002 - what hooks are given
            """Count one."""
            self.count += 1
            return message

    hook = Counting()
    place = bench.place(on=bench.process("a", hooks=(hook,)))
    await place.add()
    await place.add_many(3)
    same(hook.count, 4, "how often it was asked")


@scenario("G51")
async def every_hook_is_told(bench: Bench) -> None:
    """Of two hooks both are told of everything, each once."""

    class Counting(Hook):
        """Notes what it is told."""

        def __init__(self) -> None:
            self.told: list[str] = []

        def on_enqueue(self, *_: Any) -> None:
            """Note it."""
            self.told.append("enqueue")

        def on_start(self, *_: Any) -> None:
            """Note it."""
            self.told.append("start")

        def on_settle(self, *_: Any) -> None:
            """Note it."""
            self.told.append("settle")

    first, second = Counting(), Counting()
    place = bench.place(on=bench.process("a", hooks=(first, second)))
    async with place.consuming():
        await place.add()
        await bench.until_done(place)
    for hook in (first, second):
        same(sorted(hook.told), ["enqueue", "settle", "start"], "what a hook was told")


class _OfFailures(Hook):
    def __init__(self) -> None:
        self.heard: list[object] = []

    def on_failure(self, event: Settled) -> None:
        self.heard.append(event.error)


@scenario("G51")
async def a_hook_may_listen_to_failures_alone(bench: Bench) -> None:
    """One that is interested in nothing else is told of each failure."""
    hook = _OfFailures()
    place = bench.place(_once, on=bench.process("hooked", hooks=[hook]))
    await _consumed(bench, place, 2)
    same([type(error) for error in hook.heard], [ValueError], "what it heard of")
