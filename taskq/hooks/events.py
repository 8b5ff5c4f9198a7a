"""What hooks are told: frozen events. Values only."""

from __future__ import annotations

import msgspec

from taskq.core.retry import Decision
from taskq.message import Message, Reservation

__all__ = ["Paused", "Settled", "Started"]


class Started(msgspec.Struct, frozen=True):
    """A handler is about to run.

    Attributes:
        queue: name of the queue.
        message: what it runs; `message.attempt` counts from 1.
        worker: a number that tells the consumer's workers apart.
        reservation: how it is owned: its receipt, how often it was delivered, until when.
    """

    queue: str
    message: Message
    worker: int
    reservation: Reservation | None = None


class Settled(msgspec.Struct, frozen=True):
    """A run ended and it is decided what becomes of its message.

    Attributes:
        queue: name of the queue.
        message: what ran.
        decision: `Ack`, `Release(delay)`, `Fallback` or `DeadLetter(reason)`.
        error: what the handler raised; None after success.
        seconds: how long the handler ran.
    """

    queue: str
    message: Message
    decision: Decision
    error: BaseException | None
    seconds: float


class Paused(msgspec.Struct, frozen=True):
    """A task, or the whole queue, stops being run for a while.

    Attributes:
        queue: name of the queue.
        task: the task, or "" for the whole queue.
        seconds: how long, unless it is resumed by hand.
    """

    queue: str
    task: str
    seconds: float
