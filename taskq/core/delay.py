"""When a message may run, also where a backend keeps no delay as long as that. Durations and moments only.

A delay beyond `Capabilities.max_delay` is kept step by step: the backend waits for as long as it can, and the message says how
much is left. Whoever receives it too soon puts it back with the rest. Durations alone travel, so that no two clocks have to
agree, and nothing is early.
"""

from __future__ import annotations

import math

import msgspec

from taskq.message import Message
from taskq.options import MAX_DELAY

__all__ = ["REST", "delay_of", "postponed", "remaining", "rest_of", "split"]

REST = "taskq-rest"
"""The header that says how many seconds a message has to wait after it became available."""


def delay_of(message: Message, now: float) -> float:
    """Return the seconds from `now` (unix seconds) until the message may run, at least 0."""
    if message.run_at is None:
        return message.delay
    return max(0.0, message.run_at.timestamp() - now)


def split(delay: float, maximum: float | None) -> tuple[float, float]:
    """Return what a backend can keep of a delay, and the rest, so that nothing runs early (Go does: F20).

    Args:
        delay: seconds.
        maximum: the longest delay that the backend keeps; None means any.
    """
    if maximum is None or delay <= maximum:
        return delay, 0.0
    return maximum, delay - maximum


def postponed(message: Message, rest: float) -> Message:
    """Return a copy that has to wait `rest` seconds after it became available; with 0, one that has not."""
    headers = {name: text for name, text in (message.headers or {}).items() if name != REST}
    if rest > 0:
        headers[REST] = repr(rest)
    return msgspec.structs.replace(message, headers=headers or None)


def rest_of(message: Message) -> float:
    """Return how many seconds a message has to wait after it became available; 0 where it says nothing that makes sense."""
    if message.headers is None or REST not in message.headers:
        return 0.0
    try:
        rest = float(message.headers[REST])
    except ValueError:
        return 0.0
    return min(rest, MAX_DELAY) if math.isfinite(rest) and rest > 0 else 0.0


def remaining(message: Message, available_at: float | None, now: float) -> float:
    """Return how many seconds are left before a message that was received may run, at least 0.

    Args:
        message: the message.
        available_at: when it became available, at the latest; None means now, for all that is known.
        now: the present, by the same clock.
    """
    rest = rest_of(message)
    return rest if available_at is None else max(0.0, rest - max(0.0, now - available_at))
