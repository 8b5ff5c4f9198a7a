"""taskq: a task queue that shares its queues with Go and lets you test yours.

The way of a message:

    task.message(args) -> queue.enqueue -> core.dedup -> wire.envelope -> backend.send
      => fetcher (core.pause, core.rate_limit) -> backend.reserve -> buffer -> worker -> invoke -> core.retry.decide
      -> settle: ack | release(delay) | fallback, then ack | dead_letter

`App` is where to begin.
"""

from taskq.app import App
from taskq.consumer import Consumer
from taskq.context import Context
from taskq.core.stats import Stats
from taskq.errors import (
    BackendError,
    BackendUnavailable,
    ConfigError,
    DecodeError,
    DuplicateMessageError,
    MessageTooLarge,
    NotSupported,
    ReservationLost,
    Retry,
    TaskqError,
    UnknownTaskError,
    WireError,
)
from taskq.hooks.base import Hook
from taskq.message import Enqueued, Message, MessageBatch
from taskq.options import Batch, QueueOptions, RateLimit, TaskOptions
from taskq.queue import Queue
from taskq.task import Task

__all__ = [
    "App",
    "BackendError",
    "BackendUnavailable",
    "Batch",
    "ConfigError",
    "Consumer",
    "Context",
    "DecodeError",
    "DuplicateMessageError",
    "Enqueued",
    "Hook",
    "Message",
    "MessageBatch",
    "MessageTooLarge",
    "NotSupported",
    "Queue",
    "QueueOptions",
    "RateLimit",
    "ReservationLost",
    "Retry",
    "Stats",
    "Task",
    "TaskOptions",
    "TaskqError",
    "UnknownTaskError",
    "WireError",
]
