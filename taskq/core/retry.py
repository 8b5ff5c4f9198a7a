"""What becomes of a message after a run: acknowledge, release with a delay, fallback, dead letter. Decisions only."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import msgspec

from taskq.errors import Retry
from taskq.message import Reservation
from taskq.options import MAX_DELAY, QueueOptions, TaskOptions

__all__ = [
    "ACK",
    "Ack",
    "DeadLetter",
    "Decision",
    "Fallback",
    "Release",
    "backoff",
    "decide",
    "decide_poison",
    "decide_unknown",
    "describe",
    "requested_delay",
    "suspects_last",
]

_REASON_LENGTH = 500


class Ack(msgspec.Struct, frozen=True):
    """The message is done."""


class Release(msgspec.Struct, frozen=True):
    """The message is tried again, no earlier than `delay` seconds from now."""

    delay: float


class Fallback(msgspec.Struct, frozen=True):
    """The message failed for good and its task has a fallback: run that, then acknowledge.

    Attributes:
        reason: why it was given up; the dead letter's reason if the fallback fails too.
    """

    reason: str


class DeadLetter(msgspec.Struct, frozen=True):
    """The message is put aside, intact, with the reason in one sentence."""

    reason: str


Decision = Ack | Release | Fallback | DeadLetter
ACK = Ack()


def backoff(attempt: int, min_backoff: float, max_backoff: float) -> float:
    """Return the seconds to wait after the failure of `attempt` (from 1): min, doubled each time, up to max.

    Source: Go taskq v3, `exponentialBackoff`, without its overflow from attempt 30 on.
    """
    if attempt <= 1 or min_backoff <= 0:
        return min(min_backoff, max_backoff)
    doublings = min(attempt - 1, 1023 - math.frexp(min_backoff)[1])  # what a float can hold
    return min(math.ldexp(min_backoff, doublings), max_backoff)


def requested_delay(error: BaseException) -> float | None:
    """Return the seconds that an error asks for, by `Retry(after)` or a `delay()` method; None for the task's backoff.

    A `delay()` that is missing, fails, or returns no duration from 0 up counts as not asking. Ten years are the most.
    """
    try:
        value: Any = error.after if isinstance(error, Retry) else error.delay()  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001 - a broken delay() must not hide the handler's own error
        return None
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return None
    return float(min(value, MAX_DELAY))


def describe(error: BaseException) -> str:
    """Return an error's type and text for a reason: at most 500 characters, UTF-8, whatever the error does."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an error that cannot print itself must not stop the consumer
        text = "(no text: its __str__ failed)"
    readable = f"{type(error).__name__}: {text[:_REASON_LENGTH]}".encode(errors="backslashreplace").decode()
    return readable[:_REASON_LENGTH]


def decide(error: BaseException | None, attempt: int, options: TaskOptions, *, has_fallback: bool, draw: float = 0.0) -> Decision:
    """Decide after a run.

    Args:
        error: what the handler raised; None after success.
        attempt: the number of this attempt, from 1.
        options: the task's policy.
        has_fallback: whether the task has a fallback.
        draw: a random draw from [0, 1) for the jitter.
    """
    if error is None:
        return ACK
    if attempt >= options.max_attempts:
        reason = f"failed {attempt} times: {describe(error)}"[:_REASON_LENGTH]
        return Fallback(reason) if has_fallback else DeadLetter(reason)
    delay = requested_delay(error)
    if delay is None:
        plain = backoff(attempt, options.min_backoff, options.max_backoff)
        delay = min(plain * (1.0 + options.jitter * draw), options.max_backoff)
    return Release(delay)


def decide_unknown(attempt: int, options: QueueOptions) -> Decision:
    """Decide about a message whose task is not registered here: a newer process may know it, so wait, but not for ever."""
    if attempt >= options.unknown_attempts:
        return DeadLetter(f"no consumer knew its task in {attempt} attempts; register the task, then redrive")
    return Release(backoff(attempt, options.unknown_delay, options.unknown_max_delay))


def decide_poison(deliveries: int, options: QueueOptions) -> DeadLetter | None:
    """Give up a message that was delivered again and again without any outcome: it kills or stalls its workers."""
    if deliveries <= options.poison_limit:
        return None
    return DeadLetter(f"delivered {deliveries - 1} times without an outcome; it may kill its worker")


def suspects_last(reservations: list[Reservation]) -> list[Reservation]:
    """Put what was delivered before without any outcome behind the rest, what was delivered most often last.

    One of them may have killed its worker, and that worker had begun with the first of them: the others are done before it
    has its next victim, and are not taken for poison. Messages that come for the first time keep their order.
    """
    if all(reservation.deliveries == 1 for reservation in reservations):
        return reservations
    fresh = [reservation for reservation in reservations if reservation.deliveries == 1]
    suspects = [reservation for reservation in reversed(reservations) if reservation.deliveries > 1]
    return fresh + sorted(suspects, key=lambda reservation: reservation.deliveries)
