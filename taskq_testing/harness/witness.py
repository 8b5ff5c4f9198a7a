"""What a test asks about its messages: what was enqueued, what ran, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from taskq.queue import Queue
from taskq.task import Task
from taskq_testing.harness.assertions import Expectation, Expected, Pending, expect, no_match, unwanted
from taskq_testing.harness.runs import OUTCOMES, Performance
from taskq_testing.harness.stage import Stage

__all__ = ["AnyTask", "Witness"]

AnyTask = Task[Any] | str | None
"""A task, its name, or None for all."""

_SHOWN = 5


class Witness:
    """The part of a harness that looks and never acts."""

    _stage: Stage

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._seen: set[bytes] = set()

    def _check_on(self) -> None:
        """Raise where nothing can be seen."""

    # -- what waits

    def assert_enqueued(self, task: AnyTask = None, *, count: int | None = None, **expected: Unpack[Expected]) -> list[Pending]:
        """Check that a message waits, or runs now, that is as expected, and return all that are.

        Args:
            task: the task, or its name; None for any.
            count: how many there have to be; None for at least one.
            expected: see `Expected`; what is not said is not compared.

        Raises:
            AssertionError: there is none, or another number; the text shows the nearest ones and how they differ.
            TypeError: the handler does not take such arguments.
            LookupError: no task of that name is registered.
        """
        __tracebackhide__ = True
        expectation, waiting = self._compare(task, expected)
        matching = [message for message in waiting if not expectation.differences(message)]
        self._seen.update(message.id for message in matching)
        if len(matching) != count if count is not None else not matching:
            raise AssertionError(no_match(expectation, waiting, count=count, beside=self._beside(expectation)))
        return matching

    def refute_enqueued(self, task: AnyTask = None, **expected: Unpack[Expected]) -> None:
        """Check that no message waits, or runs now, that is as described; see `assert_enqueued`."""
        __tracebackhide__ = True
        expectation, waiting = self._compare(task, expected)
        matching = [message for message in waiting if not expectation.differences(message)]
        if matching:
            raise AssertionError(unwanted(expectation, matching))

    def all_enqueued(self, task: AnyTask = None, *, queue: str | None = None) -> list[Pending]:
        """Return what waits, or runs now: what is ready in its order, then what is delayed by the time it is due."""
        expectation, waiting = self._compare(task, {} if queue is None else {"queue": queue})
        matching = [message for message in waiting if not expectation.differences(message)]
        self._seen.update(message.id for message in matching)
        return matching

    def dead_letters(self, task: AnyTask = None) -> list[Pending]:
        """Return the messages that were put aside, with the reason of each."""
        expectation, _ = self._compare(task, {})
        return [message for message in self._stage.pending() if message.state == "dead" and not expectation.differences(message)]

    def _compare(self, task: AnyTask, expected: Expected) -> tuple[Expectation, list[Pending]]:
        self._check_on()
        waiting = [message for message in self._stage.pending() if message.state != "dead"]
        name, found = self._find(task)
        if isinstance(task, Task) and len(self._queues_with(task.name)) > 1 and "queue" not in expected:
            expected["queue"] = self._queue_of(task).name
        if "queue" not in expected:
            self._check_name(name, seen=[message.task for message in waiting])
        return expect(name, found, expected), waiting

    def _beside(self, expectation: Expectation) -> list[str]:
        """Return lines about what is not in the queues, but was enqueued."""
        name = expectation.task
        ran = [str(performance) for performance in self._stage.log.performances if name in (None, performance.task)]
        refused = [
            f"{message.task}({', '.join(map(repr, self._stage.decode(queue, message)))}) on {queue}"
            for queue, message in self._stage.log.duplicates
            if name in (None, message.task)
        ]
        dead = [str(message) for message in self._stage.pending() if message.state == "dead" and name in (None, message.task)]
        return [
            *_section("Ran already:", ran),
            *_section("Refused, as their name was taken:", refused),
            *_section("Put aside:", dead),
        ]

    # -- what ran

    def performances(self, task: AnyTask = None) -> list[Performance]:
        """Return the runs that ended, in that order."""
        name, found = self._find(task)
        self._check_name(name, seen=[performance.task for performance in self._stage.log.performances])
        queue = self._queue_of(found).name if isinstance(task, Task) and found is not None else None
        return [
            performance
            for performance in self._stage.log.performances
            if name in (None, performance.task) and queue in (None, performance.queue)
        ]

    def performed(self, task: AnyTask = None, *, outcome: str | None = "ok") -> int:
        """Return how many runs ended so: "ok", "retried", "failed", or None for any outcome.

        Raises:
            ValueError: there is no such outcome.
        """
        if outcome is not None and outcome not in OUTCOMES:
            raise ValueError(f"outcome={outcome!r} is unknown; give one of: {', '.join(OUTCOMES)}, or None for all")
        return sum(outcome in (None, performance.outcome) for performance in self.performances(task))

    # -- finding

    def _queues_with(self, name: str) -> list[Queue]:
        return [queue for queue in self._stage.app.queues.values() if name in queue.tasks.names]

    def _find(self, task: AnyTask) -> tuple[str | None, Task[Any] | None]:
        """Return a task's name, and the task; None where the name is of several tasks or of none.

        Raises:
            TypeError: it is neither a task nor a name.
            LookupError: it is a task of another app.
        """
        if isinstance(task, Task):
            self._queue_of(task)
            return task.name, task
        if task is not None and not isinstance(task, str):
            raise TypeError(f"{task!r} is neither a task nor a name; give what @queue.task returned")
        queues = self._queues_with(task) if task is not None else []
        return task, queues[0].tasks.find(task) if task is not None and len(queues) == 1 else None

    def _check_name(self, name: str | None, *, seen: Iterable[str]) -> None:
        """Refuse a name that no task has and no message had: it would be found nowhere, whatever happens."""
        if name is not None and not self._queues_with(name) and name not in seen:
            known = ", ".join(sorted(name for queue in self._stage.app.queues.values() for name in queue.tasks.names)) or "none"
            raise LookupError(f"no task {name!r} is registered; known are: {known}. For a task of another program give queue=")

    def _queue_of(self, task: Task[Any]) -> Queue:
        for queue in self._queues_with(task.name):
            if queue.tasks.find(task.name) is task:
                return queue
        raise LookupError(f"{task!r} is not of this harness's app; bind the app that has it")


def _section(title: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    more = [f"  and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return ["", title, *(f"  {line}" for line in lines[:_SHOWN]), *more]
