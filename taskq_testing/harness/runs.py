"""What a harness sees through hooks: what was enqueued, which handlers ran, and what came of it. Values and one hook."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

import msgspec

from taskq.core.retry import Ack, Decision, Release, describe
from taskq.errors import Retry
from taskq.hooks.base import Hook
from taskq.hooks.events import Settled, Started
from taskq.message import Enqueued, Message
from taskq_testing.harness.assertions import duration
from taskq_testing.harness.matching import show

__all__ = ["OUTCOMES", "Performance", "RunLog", "raise_first"]

OUTCOMES = ("ok", "retried", "failed")

_NOTED = 5

Decode = Callable[[str, Message], tuple[Any, ...]]


class Performance(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a handler, from its start to its end.

    Attributes:
        task: name of the task.
        queue: name of the queue.
        args: the arguments as the handler got them.
        attempt: the number of this attempt, from 1.
        outcome: "ok", "retried" (it failed and will be tried again) or "failed" (for good).
        decision: what the consumer decided: `Ack`, `Release(delay)`, `Fallback(reason)` or `DeadLetter(reason)`.
        error: what the handler raised; None after success.
        started: when it began, in virtual seconds since the test began.
        ended: when it ended.
        id: the message's id.
    """

    task: str
    queue: str
    args: tuple[Any, ...]
    attempt: int
    outcome: str
    decision: Decision
    error: BaseException | None
    started: float
    ended: float
    id: bytes

    def __str__(self) -> str:
        """Return it in one line, as it is shown where an assertion fails."""
        what = self.outcome if self.error is None else f"{self.outcome}, {describe(self.error)}"
        again = f"; again in {duration(self.decision.delay)}" if isinstance(self.decision, Release) else ""
        call = f"{self.task}({', '.join(map(show, self.args))})"
        return f"{call} attempt {self.attempt} ran at {duration(self.started)}: {what}{again}"


class RunLog(Hook):
    """Remembers what one app's hooks are told during a test.

    Args:
        now: returns the virtual seconds since the test began.
        decode: returns the arguments of a queue's message as its handler gets them.

    Attributes:
        enqueued: what was accepted, by id, as it was given to `enqueue`.
        duplicates: queue and message of each enqueue that was refused because its name was taken.
        performances: the runs that ended, in that order.
        moves: how often a run began or ended.
    """

    def __init__(self, now: Callable[[], float], decode: Decode) -> None:
        self._now = now
        self._decode = decode
        self._begun: dict[tuple[bytes, int], tuple[Started, float]] = {}
        self.enqueued: dict[bytes, Message] = {}
        self.duplicates: list[tuple[str, Message]] = []
        self.performances: list[Performance] = []
        self.moves = 0

    def on_enqueue(self, queue: str, message: Message, result: Enqueued) -> None:
        """Remember the message."""
        if result.accepted:
            self.enqueued[message.id] = message
        elif result.duplicate:
            self.duplicates.append((queue, message))

    def on_start(self, event: Started) -> None:
        """Note when the run began."""
        self.moves += 1
        self._begun[event.message.id, event.message.attempt] = (event, self._now())

    def on_settle(self, event: Settled) -> None:
        """Remember the run."""
        self.moves += 1
        now, message = self._now(), event.message
        _, began = self._begun.pop((message.id, message.attempt), (None, now))
        outcome = {Ack: "ok", Release: "retried"}.get(type(event.decision), "failed")
        self.performances.append(
            Performance(
                task=message.task,
                queue=event.queue,
                args=self._decode(event.queue, message),
                attempt=message.attempt,
                outcome=outcome,
                decision=event.decision,
                error=event.error,
                started=began,
                ended=now,
                id=message.id,
            )
        )

    def running(self) -> list[str]:
        """Return a line for each run that began and has not ended."""
        return [
            f"{event.message.task}({', '.join(map(show, self._decode(event.queue, event.message)))}) "
            f"attempt {event.message.attempt} runs since {duration(began)}"
            for event, began in self._begun.values()
        ]


def raise_first(performances: Sequence[Performance], *, raise_errors: bool) -> None:
    """Raise the first error of a handler, with its own traceback; `Retry` is none, and Ctrl-C is raised in any case."""
    __tracebackhide__ = True
    failed = [performance for performance in performances if _is_error(performance.error, raise_errors=raise_errors)]
    if not failed:
        return
    error = failed[0].error
    assert error is not None
    error.add_note(f"in {failed[0]}")
    for performance in failed[1:_NOTED]:
        error.add_note(f"and {performance}")
    if len(failed) > _NOTED:
        error.add_note(f"and {len(failed) - _NOTED} more")
    raise error.with_traceback(_of_handler(error.__traceback__))


def _is_error(error: BaseException | None, *, raise_errors: bool) -> bool:
    if raise_errors:
        return error is not None and not isinstance(error, Retry)
    return isinstance(error, KeyboardInterrupt)


def _of_handler(traceback: TracebackType | None) -> TracebackType | None:
    """Return the part of a traceback that begins in the handler; all of it where no frame is the handler's."""
    part = traceback
    while part is not None and part.tb_frame.f_globals.get("__name__", "").partition(".")[0] in ("taskq", "taskq_testing"):
        part = part.tb_next
    return part or traceback
