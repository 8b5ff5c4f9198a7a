"""A Hypothesis state machine of an app: its queues are used at random, and compared with a simple model after every step.

```python
class Orders(QueueMachine):
    app = app
    calls = st.builds(charge.message, st.integers(1, 9))

    @invariant()
    def nobody_is_charged_twice(self): ...

TestOrders = Orders.TestCase
```

What has to hold: no message is lost, runs before its time, after its end, or with another attempt than its next; what is due
runs when a worker is there; a failed one waits as its task says; a name is accepted once in its window.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Callable
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from taskq.app import App
from taskq.core.retry import Release, backoff
from taskq.message import Message
from taskq.queue import Queue
from taskq.task import Task
from taskq_testing.harness.assertions import Pending
from taskq_testing.harness.harness import Harness
from taskq_testing.harness.runs import Performance
from taskq_testing.loop.wall import Tool

__all__ = ["Injected", "QueueMachine"]

_EXACT = 1e-6
_DELAYS = st.sampled_from((0.0, 0.001, 1.0, 30.0, 60.0, 3600.0, 86400.0)) | st.floats(0, 1e6)


class Injected(Exception):  # noqa: N818 - it is no error of the program under test
    """What a machine lets a handler fail with."""


@dataclasses.dataclass
class _Expected:
    """What the model knows of one message."""

    message: Message
    queue: Queue
    due: float = 0.0
    attempt: int = 1
    finished: str = ""

    def __str__(self) -> str:
        return f"{self.message.task}{self.message.args} ({self.message.id_text})"


class QueueMachine(RuleBasedStateMachine):
    """Enqueues, names, delays, processes, fails, purges and lets time pass. Subclass it and add rules of your own.

    Attributes:
        app: the app under test; to be set.
        calls: a strategy for messages of its tasks; to be set.
        names: a strategy for the names of named messages; the app itself should use others.
        delays: a strategy for delays, and for how much time passes, in seconds.
        allowed: types of errors that handlers may raise; others fail the test.
        threads: where sync handlers run, see `Harness`.
        wall: whether the time of day follows, see `Harness`.
        sim: the harness, for rules and invariants of your own.
    """

    app: ClassVar[App]
    calls: ClassVar[st.SearchStrategy[Message]]
    names: ClassVar[st.SearchStrategy[str]] = st.sampled_from(("a", "b", "c"))
    delays: ClassVar[st.SearchStrategy[float]] = _DELAYS
    allowed: ClassVar[tuple[type[BaseException], ...]] = ()
    threads: ClassVar[str] = "inline"
    wall: ClassVar[Tool] = "off"

    def __init__(self) -> None:
        super().__init__()
        self.sim = Harness(self.app, threads=self.threads, wall=self.wall)
        self._expected: dict[bytes, _Expected] = {}
        self._names: dict[tuple[str, str, str], float] = {}
        self._seen = 0
        self._failures = 0
        self._handlers: dict[Task[Any], Callable[..., Any]] = {}

    @initialize()
    def begin(self) -> None:
        """Bind the app."""
        self.sim.__enter__()
        for queue in self.app.queues.values():
            for name in queue.tasks.names:
                task = queue.tasks.find(name)
                assert task is not None
                self._handlers[task] = task.handler
                task.handler = self._failing(task)

    def _failing(self, task: Task[Any]) -> Callable[..., Any]:
        """Return a task's handler that fails as often as `fail` says, before it does anything."""
        handler = task.handler

        def fail() -> None:
            if self._failures:
                self._failures -= 1
                raise Injected

        @functools.wraps(handler)
        def in_thread(*args: Any) -> Any:
            fail()
            return handler(*args)

        @functools.wraps(handler)
        async def on_loop(*args: Any) -> Any:
            fail()
            return await handler(*args)

        return on_loop if task.binder.is_async else in_thread

    # -- rules

    @rule(
        message=st.runner().flatmap(lambda self: self.calls), delay=st.just(0.0) | st.runner().flatmap(lambda self: self.delays)
    )
    def enqueue(self, message: Message, delay: float) -> None:
        """Enqueue a message, with a delay or without."""
        queue = self.queue_of(message)
        result = queue.enqueue(message.delayed(delay))
        assert result.accepted
        self._expect(result.message_id, message, queue, self.sim.elapsed + delay)

    @rule(message=st.runner().flatmap(lambda self: self.calls), name=st.runner().flatmap(lambda self: self.names))
    def enqueue_named(self, message: Message, name: str) -> None:
        """Enqueue a named message; it is a duplicate exactly while its name is taken."""
        queue = self.queue_of(message)
        key = (queue.name, message.task, name)
        is_taken = self._names.get(key, -1.0) > self.sim.elapsed
        result = queue.enqueue(message.named(name))
        assert result.duplicate is is_taken, (
            f"name {name!r} of {message.task} is {'taken' if is_taken else 'free'}, but: {result}"
        )
        if result.accepted:
            self._names[key] = self.sim.elapsed + queue.options.dedup_window
            self._expect(result.message_id, message, queue, self.sim.elapsed)

    @rule(seconds=st.runner().flatmap(lambda self: self.delays))
    def advance(self, seconds: float) -> None:
        """Let time pass while workers run; what was due has run."""
        self.sim.advance(seconds, raise_errors=False)
        self.check()
        self._check_nothing_due()

    @rule(seconds=st.runner().flatmap(lambda self: self.delays))
    def travel(self, seconds: float) -> None:
        """Let time pass without workers."""
        self.sim.travel(seconds)
        self.check()

    @rule()
    def process(self) -> None:
        """Process what is ready."""
        self.sim.drain(raise_errors=False)
        self.check()
        self._check_nothing_due()

    @rule()
    def process_one(self) -> None:
        """Process one message."""
        running = sum(message.state == "reserved" for message in self.sim.all_enqueued())
        done = self.sim.drain(limit=1, raise_errors=False)
        runs = done.processed + done.retried + done.failed
        assert runs <= 1 + running, f"one message was to be processed, and {running} handlers were running, but {runs} ended"
        self.check()

    @rule(times=st.sampled_from((1, 2, 3, 12)))
    def fail(self, times: int) -> None:
        """Let the next handlers fail before they do anything."""
        self._failures = times

    @precondition(lambda self: self._expected)
    @rule()
    def purge(self) -> None:
        """Drop what waits; nothing else is dropped."""
        waiting = [message for message in self.sim.all_enqueued() if message.state != "reserved"]
        assert self.sim.clear() == len(waiting)
        for message in waiting:
            self._expected[message.id].finished = "purged"
        self.check()

    # -- the model

    def queue_of(self, message: Message) -> Queue:
        """Return the queue that a message's task belongs to."""
        return next(queue for queue in self.app.queues.values() if message.task in queue.tasks.names)

    def _expect(self, identity: bytes, message: Message, queue: Queue, due: float) -> None:
        self._expected[identity] = _Expected(message, queue, due)

    @invariant()
    def check(self) -> None:
        """Compare everything with the model. Runs after every rule."""
        waiting = {message.id: message for message in self.sim.all_enqueued()}
        for message in waiting.values():
            if message.id not in self._expected:  # a handler has enqueued it
                self._adopt(message.id, message.queue, message.delay)
        for performance in self.sim.performances()[self._seen :]:
            self._seen += 1
            self._note(performance)
        dead = {message.id for message in self.sim.dead_letters()}
        for identity, expected in self._expected.items():
            if identity in dead:
                expected.finished = "dead"
            self._check_one(expected, waiting.get(identity), is_dead=identity in dead)

    def _check_one(self, expected: _Expected, message: Pending | None, *, is_dead: bool) -> None:
        assert is_dead is (expected.finished == "dead"), f"{expected} was put aside and is gone"
        if expected.finished:
            assert message is None, f"{expected} is {expected.finished} and waits"
            return
        assert message is not None, f"{expected} is lost"
        if message.state != "reserved":
            left = max(0.0, expected.due - self.sim.elapsed)
            assert abs(message.delay - left) <= _EXACT, f"{expected} is to wait {left} s and waits {message.delay} s"

    def _adopt(self, identity: bytes, queue: str, delay: float) -> None:
        message = Message(task="(enqueued by a handler)", id=identity)
        self._expect(identity, message, self.app.queues[queue], self.sim.elapsed + delay)

    def _note(self, performance: Performance) -> None:
        if performance.id not in self._expected:
            self._adopt(performance.id, performance.queue, performance.started - self.sim.elapsed)
        expected = self._expected[performance.id]
        assert not expected.finished, f"{expected} is {expected.finished} and ran again: {performance}"
        assert performance.started >= expected.due - _EXACT, (
            f"{expected} was due at {expected.due} s and ran early: {performance}"
        )
        assert performance.attempt == expected.attempt, f"{expected} was to be attempt {expected.attempt}: {performance}"
        assert performance.outcome != "ok" or performance.error is None, f"{expected} failed and is taken for done: {performance}"
        if performance.error is not None and not isinstance(performance.error, (Injected, *self.allowed)):
            raise performance.error
        if isinstance(performance.decision, Release):
            self._check_backoff(expected, performance, performance.decision.delay)
            expected.due = performance.ended + performance.decision.delay
            expected.attempt += 1
        else:
            expected.finished = "done" if performance.outcome == "ok" else "given up"

    @staticmethod
    def _check_backoff(expected: _Expected, performance: Performance, delay: float) -> None:
        if not isinstance(performance.error, Injected):
            return
        task = expected.queue.tasks.find(performance.task)
        assert task is not None
        plain = backoff(performance.attempt, task.options.min_backoff, task.options.max_backoff)
        most = min(plain * (1 + task.options.jitter), task.options.max_backoff)
        assert performance.attempt < task.options.max_attempts, f"{expected} was tried too often: {performance}"
        assert plain - _EXACT <= delay <= most + _EXACT, f"{expected} waits {delay} s, not {plain} to {most} s: {performance}"

    def _check_nothing_due(self) -> None:
        """Check that workers left nothing that they could have run."""
        waiting = self.sim.all_enqueued()
        held_up = {message.queue for message in waiting if message.state == "reserved"}
        held_up |= {name for name, queue in self.app.queues.items() if self._may_hold_up(queue)}
        for message in waiting:
            assert message.queue in held_up or message.state != "ready", f"{message} was not run though no worker was busy"

    def _may_hold_up(self, queue: Queue) -> bool:
        """Whether limits, or a pause, can keep a queue's ready messages waiting."""
        options = queue.options
        failures = sum(run.outcome != "ok" for run in self.sim.performances() if run.queue == queue.name)
        is_paused = 0 < options.pause_threshold <= failures
        return options.rate_limit is not None or options.worker_limit is not None or is_paused

    # -- the end

    def settle(self) -> None:
        """Run everything that is left to its end, and check that nothing is."""
        self.sim.run_until_idle(raise_errors=False)
        self.check()
        assert self.sim.all_enqueued() == []

    def teardown(self) -> None:
        """Settle, unless a step failed, and put the app back."""
        try:
            if sys.exc_info()[0] is None:
                self.settle()
        finally:
            for task, handler in self._handlers.items():
                task.handler = handler
            self.sim.close()
