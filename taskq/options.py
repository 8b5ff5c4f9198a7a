"""Every option and its default, frozen and checked when built. No behaviour lives here.

The defaults are those of Go taskq v3 unless a comment says what was measured instead.
"""

from __future__ import annotations

import math
import os
from datetime import timedelta
from typing import Any, TypedDict, TypeVar

import msgspec

from taskq.errors import ConfigError

__all__ = [
    "MAX_DELAY",
    "Batch",
    "QueueOptions",
    "QueueSettings",
    "RateLimit",
    "TaskOptions",
    "TaskSettings",
    "build",
    "seconds",
]

Options = TypeVar("Options")

MAX_DELAY = 10 * 365 * 86400.0
"""The longest delay or period in seconds that is taken for meant (ten years)."""


def seconds(value: float | timedelta, what: str, *, zero: bool = True) -> float:
    """Return a duration as float seconds.

    Args:
        value: seconds, or a timedelta.
        what: the option's name, for the error's text.
        zero: whether 0 is allowed.

    Raises:
        ConfigError: negative, not a number, infinite, over ten years, or 0 where `zero` is False.
    """
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{what} is a {type(value).__name__}; give seconds as a number, or a timedelta")
    if not math.isfinite(value) or value < 0 or value > MAX_DELAY or (value == 0 and not zero):
        raise ConfigError(f"{what}={value!r} is out of range; give seconds {'from' if zero else 'above'} 0 up to ten years")
    return float(value)


def _count(value: int, what: str, minimum: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ConfigError(f"{what}={value!r} is out of range; give a whole number of at least {minimum}")


class RateLimit(msgspec.Struct, frozen=True):
    """How many messages of a queue may start: `rate` per `per` seconds, at most `burst` at once.

    Args:
        rate: messages per period, above 0.
        per: the period in seconds.
        burst: how many may start at one instant after a quiet time; None means `rate`, at least 1.
    """

    rate: float
    per: float = 1.0
    burst: int | None = None

    def __post_init__(self) -> None:
        seconds(self.per, "RateLimit.per", zero=False)
        if not (isinstance(self.rate, int | float) and math.isfinite(self.rate) and self.rate > 0):
            raise ConfigError(f"RateLimit.rate={self.rate!r} is out of range; give a number above 0")
        if self.burst is not None:
            _count(self.burst, "RateLimit.burst", 1)

    @property
    def interval(self) -> float:
        """Seconds between two messages at the steady rate."""
        return self.per / self.rate

    @property
    def capacity(self) -> int:
        """How many messages may start at one instant."""
        return self.burst if self.burst is not None else max(1, int(self.rate))


class Batch(msgspec.Struct, frozen=True):
    """When a batch closes, whichever comes first.

    Args:
        size: number of messages.
        age: seconds since its first message.
        bytes: sum of the encoded bodies; None means no limit.
    """

    size: int = 100
    age: float = 3.0
    bytes: int | None = None

    def __post_init__(self) -> None:
        _count(self.size, "Batch.size", 1)
        seconds(self.age, "Batch.age")
        if self.bytes is not None:
            _count(self.bytes, "Batch.bytes", 1)


class TaskOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The policy of one task.

    Args:
        max_attempts: how often a message is tried in all (Go: RetryLimit).
        min_backoff: seconds before the second attempt; doubles with each further one.
        max_backoff: the cap of the backoff, seconds.
        jitter: share of the backoff, 0 to 1, that is drawn at random and added.
        batch: given for a handler that takes a `MessageBatch`.
    """

    max_attempts: int = 64
    min_backoff: float = 30.0
    max_backoff: float = 1800.0
    jitter: float = 0.0
    batch: Batch | None = None

    def __post_init__(self) -> None:
        _count(self.max_attempts, "max_attempts", 1)
        seconds(self.min_backoff, "min_backoff")
        seconds(self.max_backoff, "max_backoff")
        if self.max_backoff < self.min_backoff:
            raise ConfigError(f"max_backoff={self.max_backoff!r} is below min_backoff={self.min_backoff!r}; raise it")
        if not (isinstance(self.jitter, int | float) and 0 <= self.jitter <= 1):
            raise ConfigError(f"jitter={self.jitter!r} is out of range; give a share from 0 to 1")


_CPUS = os.cpu_count() or 1


class QueueOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The policy of one queue and of the consumers that serve it.

    Args:
        min_workers: worker count below which the scaler never goes.
        max_workers: worker count above which it never goes (sync and async handlers together).
        max_fetchers: reserve loops at most.
        reservation_size: messages per reserve call at most; with slow handlers fewer are asked for.
        reservation_timeout: seconds a message is owned before others may take it; extended while its handler runs.
        reserve_wait: seconds one reserve call waits for messages; None means the backend's own default.
        buffer_size: reserved messages that may wait for a worker at most; None means twice `reservation_size`.
        pause_threshold: consecutive failures after which a task, or the queue, pauses; 0 switches it off.
        pause_period: seconds of a pause.
        pause_scope: "task" (others run on) or "queue" (one failing task stops all, as in Go).
        rate_limit: how fast messages may start, over all processes.
        worker_limit: how many messages may run at once, over all processes.
        poison_limit: deliveries without any outcome (crashes, expiries) after which a message is dead-lettered.
        unknown_delay: seconds before a message of an unknown task is tried again; doubles up to `unknown_max_delay`.
        unknown_max_delay: the cap of that delay.
        unknown_attempts: deliveries of an unknown task before it is dead-lettered.
        compress_from: argument bytes from which compression is tried; None switches it off.
        max_message_size: encoded bytes above which enqueue refuses; None means the backend's own limit.
        dedup_window: seconds a plain name stays taken.
        stop_timeout: seconds a stop waits for running handlers.
        send_timeout: seconds for which an enqueue tries again while the backend cannot be reached; then it raises.
        dedup_compatible: whether dedup keys are those of Go taskq v3 (which collide: F36), to share names with Go.
    """

    min_workers: int = 1
    max_workers: int = 32 * _CPUS
    max_fetchers: int = 8 * _CPUS
    reservation_size: int = 100
    reservation_timeout: float = 300.0
    reserve_wait: float | None = None
    buffer_size: int | None = None
    pause_threshold: int = 100
    pause_period: float = 60.0
    pause_scope: str = "task"
    rate_limit: RateLimit | None = None
    worker_limit: int | None = None
    poison_limit: int = 16
    unknown_delay: float = 30.0
    unknown_max_delay: float = 1800.0
    unknown_attempts: int = 64
    compress_from: int | None = 512
    max_message_size: int | None = None
    dedup_window: float = 86400.0
    stop_timeout: float = 30.0
    send_timeout: float = 10.0
    dedup_compatible: bool = False

    def __post_init__(self) -> None:
        for name, minimum in _COUNTS.items():
            _count(getattr(self, name), name, minimum)
        for name in _OPTIONAL_COUNTS:
            if getattr(self, name) is not None:
                _count(getattr(self, name), name, 1)
        for name in _DURATIONS:
            seconds(getattr(self, name), name, zero=name in _MAY_BE_ZERO)
        if self.reserve_wait is not None:
            seconds(self.reserve_wait, "reserve_wait")
        if self.max_workers < self.min_workers:
            raise ConfigError(f"max_workers={self.max_workers} is below min_workers={self.min_workers}; raise it")
        if self.pause_scope not in ("task", "queue"):
            raise ConfigError(f'pause_scope={self.pause_scope!r} is unknown; give "task" or "queue"')

    @property
    def buffer(self) -> int:
        """How many reserved messages may wait for a worker at most."""
        return self.buffer_size if self.buffer_size is not None else 2 * self.reservation_size


_COUNTS = {
    "min_workers": 1,
    "max_workers": 1,
    "max_fetchers": 1,
    "reservation_size": 1,
    "pause_threshold": 0,
    "poison_limit": 1,
    "unknown_attempts": 1,
}
_OPTIONAL_COUNTS = ("buffer_size", "worker_limit", "compress_from", "max_message_size")
_DURATIONS = (
    "reservation_timeout",
    "pause_period",
    "unknown_delay",
    "unknown_max_delay",
    "dedup_window",
    "stop_timeout",
    "send_timeout",
)
_MAY_BE_ZERO = ("pause_period", "unknown_delay", "unknown_max_delay", "stop_timeout", "send_timeout")


class TaskSettings(TypedDict, total=False):
    """The keywords of `Queue.task`; see `TaskOptions`. Durations are seconds or timedeltas."""

    max_attempts: int
    min_backoff: float | timedelta
    max_backoff: float | timedelta
    jitter: float
    batch: Batch | None


class QueueSettings(TypedDict, total=False):
    """The keywords of `App.queue`; see `QueueOptions`. Durations are seconds or timedeltas."""

    min_workers: int
    max_workers: int
    max_fetchers: int
    reservation_size: int
    reservation_timeout: float | timedelta
    reserve_wait: float | timedelta | None
    buffer_size: int | None
    pause_threshold: int
    pause_period: float | timedelta
    pause_scope: str
    rate_limit: RateLimit | None
    worker_limit: int | None
    poison_limit: int
    unknown_delay: float | timedelta
    unknown_max_delay: float | timedelta
    unknown_attempts: int
    compress_from: int | None
    max_message_size: int | None
    dedup_window: float | timedelta
    stop_timeout: float | timedelta
    send_timeout: float | timedelta
    dedup_compatible: bool


def build(kind: type[Options], settings: dict[str, Any]) -> Options:
    """Return options from keywords.

    Raises:
        ConfigError: a keyword is unknown, or its value out of range.
    """
    known = kind.__struct_fields__  # type: ignore[attr-defined]
    for name in settings:
        if name not in known:
            raise ConfigError(f"{name!r} is not an option; the options are: {', '.join(known)}")
    plain = {name: value.total_seconds() if isinstance(value, timedelta) else value for name, value in settings.items()}
    return kind(**plain)
