"""Seeing, and disturbing, what handlers do: the tasks of an app with recording handlers, and the hook that goes with them.

The production runtime runs unchanged. It is given copies of the user's tasks whose handlers write down that they begin and
end, and where a fault can make them slow, or take their process away.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Protocol

from taskq.core import retry
from taskq.core.retry import Ack, DeadLetter, Release
from taskq.hooks.base import Hook
from taskq.hooks.events import Paused, Settled, Started
from taskq.message import MessageBatch
from taskq.task import Registry, Task
from taskq_testing.faults import Disturbing, Fault
from taskq_testing.simulator.recorded import printable

__all__ = ["Recorder", "RecordingHook", "instrumented"]

Runs = tuple[tuple[int, Started], ...]
"""The number of each run that one call of a handler is, and what the hooks were told; more than one for a batch."""

_RUNS: ContextVar[Runs] = ContextVar("runs", default=())
_SETTLED: ContextVar[tuple[int, ...]] = ContextVar("settled", default=())


class Recorder(Protocol):
    """What handlers and hooks write to; the simulator."""

    @property
    def faults(self) -> Disturbing:
        """What disturbs."""

    def record(self, kind: str, **fields: Any) -> None:
        """Write an event of the process that runs now."""

    def next_run(self) -> int:
        """Return the number of the run that begins."""

    def delivery(self, queue: str, receipt: Any) -> tuple[int, int]:
        """Return the number of a receipt in the history, and which copy of its message it is for."""

    def buffered(self, queue: str) -> int:
        """Return how many messages of a queue wait in the process that runs now."""

    def happens(self, fault: Fault, message: str) -> None:
        """Let a fault hit the process that runs now."""


class RecordingHook(Hook):
    """Writes down what a consumer tells its hooks."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def on_start(self, event: Started) -> None:
        """Number the run that is about to begin."""
        recorder, queue = self.recorder, event.queue
        run = recorder.next_run()
        _RUNS.set((*_RUNS.get(), (run, event)))
        recorder.record("hook", run=run, queue=queue, message=printable(event.message.id), outcome="start")
        recorder.record("buffered", queue=queue, n=recorder.buffered(queue))

    def on_settle(self, event: Settled) -> None:
        """Write down what was decided."""
        message = printable(event.message.id)
        settled = _SETTLED.get()  # a batch may hold two copies of one message, which are settled in their order
        run = 0
        for number, started in _RUNS.get():
            if started.message.id == event.message.id and number not in settled:
                run = number
                break
        _SETTLED.set((*settled, run))
        decision, queue, record = event.decision, event.queue, self.recorder.record
        record("hook", run=run, queue=queue, message=message, outcome="settle")
        if isinstance(decision, Ack):
            record("settled", run=run, queue=queue, message=message, outcome="ack")
        elif isinstance(decision, Release):
            record("settled", run=run, queue=queue, message=message, outcome="release", delay=decision.delay)
        else:
            outcome = "dead" if isinstance(decision, DeadLetter) else "fallback"
            record("settled", run=run, queue=queue, message=message, outcome=outcome, reason=decision.reason)

    def on_pause(self, event: Paused) -> None:
        """Write down that a task pauses."""
        self.recorder.record("paused", queue=event.queue, task=event.task, delay=event.seconds)


def instrumented(registry: Registry, queue: str, recorder: Recorder) -> Registry:
    """Return the same tasks with handlers that record their runs."""
    found = Registry(queue)
    for name in registry.names:
        original = registry.find(name)
        assert original is not None
        task = copy.copy(original)
        task.handler = _recording(original.handler, original, recorder, fallback=False)
        if original.fallback_handler is not None:
            task.fallback_handler = _recording(original.fallback_handler, original, recorder, fallback=True)
        found.add(task)
    return found


def _recording(handler: Callable[..., Any], task: Task[Any], recorder: Recorder, *, fallback: bool) -> Callable[..., Any]:
    binder = task.fallback_binder if fallback else task.binder
    assert binder is not None
    call = _Call(handler, task, recorder, fallback=fallback)
    return call.on_loop if binder.is_async else call.in_thread


class _Call:
    """One handler, or fallback, with its runs written down."""

    def __init__(self, handler: Callable[..., Any], task: Task[Any], recorder: Recorder, *, fallback: bool) -> None:
        self._handler = handler
        self._task = task
        self._recorder = recorder
        self._fallback = fallback

    async def on_loop(self, *args: Any) -> Any:
        runs = self._begun()
        try:
            before, after = self._disturbed(runs)
            if before:
                await asyncio.sleep(before)
            result: Awaitable[Any] = self._handler(*args)
            await result
            if after:
                await asyncio.sleep(after)
        except BaseException as error:
            self._ended(runs, dict.fromkeys(range(len(runs)), error))
            raise
        self._ended(runs, _failures(args))

    def in_thread(self, *args: Any) -> Any:
        runs = self._begun()
        try:
            before, after = self._disturbed(runs)
            if before:
                time.sleep(before)
            self._handler(*args)
            if after:
                time.sleep(after)
        except BaseException as error:
            self._ended(runs, dict.fromkeys(range(len(runs)), error))
            raise
        self._ended(runs, _failures(args))

    def _begun(self) -> Runs:
        runs = _RUNS.get()
        for run, started in runs:
            self._begins(run, started)
        return runs

    def _begins(self, run: int, started: Started) -> None:
        message = started.message
        fields: dict[str, Any] = {"run": run, "queue": started.queue, "message": printable(message.id), "task": self._task.name}
        if self._fallback:
            self._recorder.record("fallback", **fields)
            return
        assert started.reservation is not None
        receipt, number = self._recorder.delivery(started.queue, started.reservation.receipt)
        fields |= {"attempt": message.attempt, "worker": started.worker, "receipt": receipt, "copy": number}
        self._recorder.record("start", **fields)

    def _ended(self, runs: Runs, errors: dict[int, BaseException]) -> None:
        kind = "fallback_end" if self._fallback else "end"
        for index, (run, started) in enumerate(runs):
            error = errors.get(index)
            fields: dict[str, Any] = {"run": run, "queue": started.queue, "message": printable(started.message.id)}
            if error is None:
                self._recorder.record(kind, outcome="ok", **fields)
            elif isinstance(error, asyncio.CancelledError):
                self._recorder.record(kind, outcome="cancelled", **fields)
            else:
                asked = retry.requested_delay(error)
                delay = -1.0 if asked is None else asked
                self._recorder.record(kind, outcome="error", reason=type(error).__name__, delay=delay, **fields)

    def _disturbed(self, runs: Runs) -> tuple[float, float]:
        """Let a fault hit the run that begins; return for how long it stands still before and after the handler."""
        if not runs:
            return 0.0, 0.0
        message = runs[0][1].message
        text = printable(message.id)
        fault = self._recorder.faults.at("handler", f"{text}#{message.attempt}")
        if fault is None:
            return 0.0, 0.0
        self._recorder.happens(fault, text)
        if fault.name != "slow_handler":
            return 0.0, 0.0
        shares = ((1.0, 0.0), (0.0, 1.0), (0.5, 0.5))[fault.variant]
        return fault.seconds * shares[0], fault.seconds * shares[1]


def _failures(args: tuple[Any, ...]) -> dict[int, BaseException]:
    """Return what went wrong with single messages of a batch, if the handler was given one."""
    for arg in args:
        if isinstance(arg, MessageBatch):
            return dict(arg.failures)
    return {}
