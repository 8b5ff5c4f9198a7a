"""The policy of queues and tasks as a history states it."""

from __future__ import annotations

from typing import Any

from taskq.backends.base import Capabilities
from taskq.options import QueueOptions, TaskOptions

__all__ = ["queue_policy", "task_policy"]

_PROMOTION = 0.5
"""Seconds at most between two looks for delayed messages that are due."""

_STATED = (
    "reservation_timeout", "buffer", "worker_limit", "pause_threshold", "pause_period", "pause_scope", "poison_limit",
    "dedup_window",
)  # fmt: skip


def queue_policy(options: QueueOptions, capabilities: Capabilities, resolution: float) -> dict[str, Any]:
    """Return the `data` of a `queue` event."""
    rate = options.rate_limit
    wait = capabilities.wait if options.reserve_wait is None else options.reserve_wait
    return {name: getattr(options, name) for name in _STATED} | {
        "rate": None if rate is None else {"rate": rate.rate, "per": rate.per, "burst": rate.capacity},
        "fifo": capabilities.fifo,
        "atomic": capabilities.dedup,
        "extend": capabilities.extend,
        "resolution": max(resolution, capabilities.resolution),
        "poll": wait + _PROMOTION,
    }


def task_policy(options: TaskOptions, *, fallback: bool) -> dict[str, Any]:
    """Return the `data` of a `task` event."""
    return {
        "max_attempts": options.max_attempts,
        "min_backoff": options.min_backoff,
        "max_backoff": options.max_backoff,
        "jitter": options.jitter,
        "fallback": fallback,
        "batch": options.batch is not None,
    }
