"""Log records about failures and pauses, and the run's names on every record. Arguments are never logged."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING

from taskq.core.retry import Fallback, Release
from taskq.hooks.base import Hook

if TYPE_CHECKING:
    from taskq.hooks.events import Paused, Settled, Started
    from taskq.message import Message

__all__ = ["LogContextHook", "LoggingHook", "RunContextFilter"]

# A tuple, never changed in place, because a handler's tasks copy the context and must not alter the original's runs.
_RUNS: ContextVar[tuple[Started, ...]] = ContextVar("taskq_logged_runs", default=())


class LoggingHook(Hook):
    """Log a failed run as a warning while it is retried and as an error once it is given up; log pauses as warnings.

    A failure's record carries the attributes that `RunContextFilter` describes, with or without that filter.

    Args:
        logger: where to log; None means the logger "taskq".
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logging.getLogger("taskq") if logger is None else logger

    def on_failure(self, event: Settled) -> None:
        """Log the failure, with its traceback."""
        if isinstance(event.decision, Release):
            level, outcome = logging.WARNING, f"it runs again in {event.decision.delay:.3f} s"
        elif isinstance(event.decision, Fallback):
            level, outcome = logging.ERROR, "it is given up, its fallback runs"
        else:
            level, outcome = logging.ERROR, "it is given up"
        self._logger.log(
            level,
            "task %s on queue %s failed (message %s, attempt %d), %s: %s: %s",
            event.message.task,
            event.queue,
            event.message.id_text,
            event.message.attempt,
            outcome,
            type(event.error).__name__,
            event.error,
            exc_info=event.error,
            extra=_names(event.queue, event.message),
        )

    def on_pause(self, event: Paused) -> None:
        """Log who is paused and how long."""
        who = f"task {event.task}" if event.task else "all tasks"
        self._logger.warning("%s on queue %s paused for %.3f s", who, event.queue, event.seconds)


class LogContextHook(Hook):
    """Note which message runs, so that `RunContextFilter` can write it on the records that its handler logs."""

    def on_start(self, event: Started) -> None:
        """Enter the run."""
        _RUNS.set((*_RUNS.get(), event))

    def on_settle(self, event: Settled) -> None:
        """Leave the run, in any order: a batch starts a, b, c and settles a, b, c."""
        _RUNS.set(tuple(run for run in _RUNS.get() if run.message is not event.message))


class RunContextFilter(logging.Filter):
    """Add `taskq_queue`, `taskq_task`, `taskq_message_id` and `taskq_attempt` to every record; drop none.

    It needs a `LogContextHook` in the app. Add it to a `logging.Handler` (a logger's filters do not see the records of
    its children) that is called in the thread that logs: to a `QueueHandler`, not behind it. Outside a run the four are
    None; in a batch they name its last message; a record that brings its own keeps them.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the four attributes."""
        runs = _RUNS.get()
        names = _names(runs[-1].queue, runs[-1].message) if runs else _NOTHING
        for name, value in names.items():
            record.__dict__.setdefault(name, value)
        return True


_NOTHING = dict.fromkeys(("taskq_queue", "taskq_task", "taskq_message_id", "taskq_attempt"))


def _names(queue: str, message: Message) -> dict[str, str | int]:
    return {
        "taskq_queue": queue,
        "taskq_task": message.task,
        "taskq_message_id": message.id_text,
        "taskq_attempt": message.attempt,
    }
