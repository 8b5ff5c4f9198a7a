"""Whether a reserved message may run now. Nothing runs here; what may not is left to be settled, with the reason."""

from __future__ import annotations

from typing import Any

import msgspec

from taskq.core import retry
from taskq.core.delay import postponed, remaining
from taskq.core.retry import DeadLetter, Release
from taskq.errors import DecodeError
from taskq.message import Message, Reservation
from taskq.options import QueueOptions
from taskq.runtime.settle import GIVE_BACK
from taskq.runtime.state import ConsumerState, Delivery
from taskq.task import Task
from taskq.wire import envelope

__all__ = ["admit"]

_LOOK = 60.0
"""Seconds between two looks at a task that was paused by hand, on a queue without a pause period of its own."""


def admit(state: ConsumerState, delivery: Delivery) -> Task[Any] | None:
    """Decode a message and find its task; None if it must not run now, and is on its way to be settled."""
    if delivery.cancelled:
        state.outbox.leave(delivery, GIVE_BACK)  # lost before it began; if it is still ours after all, others may have it
        return None
    message = _read(delivery.reservation, state.options)
    if isinstance(message, DeadLetter):
        state.outbox.leave(delivery, message)
        return None
    delivery.message = message
    if message.headers is not None:
        delivery.message = postponed(message, 0.0)
        rest = remaining(message, delivery.reservation.available_at, state.monotonic())
        if rest > 0:
            _put_back(state, delivery, rest)
            return None
    task = state.registry.find(message.task)
    if task is None:
        state.outbox.leave(delivery, retry.decide_unknown(message.attempt, state.options))
        return None
    paused = state.pause.remaining(task.name, state.monotonic())
    if paused > 0:
        # One by hand has no end, so that its messages come back now and then to see whether it was resumed.
        _put_back(state, delivery, min(paused, state.options.pause_period or _LOOK))
        return None
    delivery.task = task
    return task


def _read(reservation: Reservation, options: QueueOptions) -> Message | DeadLetter:
    if reservation.deliveries > options.poison_limit:
        poison = retry.decide_poison(reservation.deliveries, options)
        assert poison is not None
        return poison
    try:
        message = envelope.decode(reservation.body)
    except DecodeError as error:
        return DeadLetter(f"the body cannot be read: {error}")
    if message.attempt < 1 or not message.id:
        message = msgspec.structs.replace(message, attempt=max(1, message.attempt), id=message.id or reservation.id)
    return message


def _put_back(state: ConsumerState, delivery: Delivery, delay: float) -> None:
    """Release a message with the attempt it has: that it does not run now is no failure of its own."""
    delivery.message = msgspec.structs.replace(delivery.message, attempt=delivery.message.attempt - 1)
    state.outbox.leave(delivery, Release(delay))
