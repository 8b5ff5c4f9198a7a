"""Writing down what one process does: its app's producers, consumers and handlers. The production code runs as it is."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

import taskq
from taskq.hooks.base import Hooks
from taskq_testing.faults import Fault, Faults
from taskq_testing.recording.journal import Journal
from taskq_testing.recording.policy import queue_policy, task_policy
from taskq_testing.recording.receipts import number_of
from taskq_testing.recording.stalls import Stalls
from taskq_testing.recording.watching import watch_consumer, watch_queue, watch_stores
from taskq_testing.simulator.handlers import RecordingHook, instrumented
from taskq_testing.tape import Quiet, Tape

__all__ = ["Recorder"]

_STALL = 1 / 3
"""The share of a reservation for which a process may stand still before that is a fault of the machine's."""


class Recorder:
    """Keeps the journal of one process.

    Args:
        directory: where the journals of the fleet are.
        process: the name of this process in the history.

    Attributes:
        journal: where it writes.
    """

    def __init__(self, directory: str | Path, process: str) -> None:
        self.journal = Journal(directory, process)
        self.faults = Faults(Tape(0, Quiet()), (), ())  # real ones come from outside
        self._runs = itertools.count(int.from_bytes(os.urandom(5)) << 20)  # no two processes use the same numbers
        self._apps: dict[str, taskq.App] = {}
        self._stalls: Stalls | None = None

    def attach(self, app: taskq.App, *, resolution: float = 0.05) -> None:
        """Have an app's doings written down, from now on; before its consumers are made and its messages enqueued.

        Args:
            app: whose queues and tasks are all there already.
            resolution: seconds that the history cannot tell apart: no less than a round trip to the server on a busy machine.
        """
        app.hooks = Hooks((*app.hooks.listed, RecordingHook(self)))
        for queue in app.queues.values():
            self._apps[queue.name] = app
            self._describe(queue, resolution)
            queue.tasks = instrumented(queue.tasks, queue.name, self)
            watch_queue(self.journal, queue)
            watch_consumer(self.journal, app.consumer(queue), queue.name)
        watch_stores(self.journal, app.broker)
        self._stalls = Stalls(self.journal, min(q.options.reservation_timeout for q in app.queues.values()) * _STALL)

    def _describe(self, queue: taskq.Queue, resolution: float) -> None:
        owner = getattr(queue.backend, "consumer", b"").decode()
        data = queue_policy(queue.options, queue.backend.capabilities, resolution)
        self.journal.write("queue", queue=queue.name, data=data, owner=owner)
        for name in queue.tasks.names:
            task = queue.tasks.find(name)
            assert task is not None
            data = task_policy(task.options, fallback=task.fallback_handler is not None)
            self.journal.write("task", queue=queue.name, task=name, data=data)

    def close(self) -> None:
        """Write nothing more."""
        if self._stalls is not None:
            self._stalls.close()
        self.journal.close()

    # -- what handlers and hooks write to

    def record(self, kind: str, **fields: Any) -> None:
        """Write an event."""
        self.journal.write(kind, **fields)

    def next_run(self) -> int:
        """Return the number of the run that begins."""
        return next(self._runs)

    def delivery(self, queue: str, receipt: Any) -> tuple[int, int]:  # noqa: ARG002 - a simulator tells copies apart
        """Return the number of a receipt in the history, and which copy of its message it is for."""
        return number_of(receipt), 0

    def buffered(self, queue: str) -> int:
        """Return how many messages of a queue wait for a worker."""
        return self._apps[queue].consumer(queue).buffered

    def happens(self, fault: Fault, message: str) -> None:
        """Let a fault happen, of which there are none."""
