"""Prometheus metrics of the producer and the consumer. Figures only: what to do about them is decided elsewhere.

This module imports without prometheus-client, so that a missing package is reported in one sentence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskq.errors import ConfigError
from taskq.hooks.base import Hook

try:
    import prometheus_client
except ImportError:
    _INSTALLED = False
else:
    _INSTALLED = True

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from taskq.hooks.events import Paused, Settled, Started
    from taskq.message import Enqueued, Message

__all__ = ["PrometheusHook"]

# Jobs run longer than the web requests that the client's own buckets are made for.
_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0)


class PrometheusHook(Hook):
    """Count messages, runs and pauses, and time the handlers.

    It holds nothing of its app: one hook may serve several apps of a process.

    Args:
        registry: where the metrics are registered; None means the client's default registry.

    Raises:
        ConfigError: prometheus-client is not installed, or the registry has metrics of these names already.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        if not _INSTALLED:
            raise ConfigError("PrometheusHook needs prometheus-client; run: pip install 'taskq[prometheus]'")
        try:
            self._register(prometheus_client.REGISTRY if registry is None else registry)
        except ValueError as error:
            raise ConfigError(
                "the registry has taskq's metrics already; share one PrometheusHook, or give each its own registry"
            ) from error

    def _register(self, registry: CollectorRegistry) -> None:
        counter = prometheus_client.Counter
        self._enqueued = counter(
            "taskq_enqueued_total", "Messages given to the backend.", ("queue", "task", "result"), registry=registry
        )
        self._processed = counter(
            "taskq_processed_total", "Runs that ended, by decision.", ("queue", "task", "outcome"), registry=registry
        )
        self._pauses = counter("taskq_pauses_total", "Pauses of a task or a queue.", registry=registry)
        self._run_seconds = prometheus_client.Histogram(
            "taskq_run_seconds", "How long handlers ran.", ("queue", "task"), buckets=_BUCKETS, registry=registry
        )
        self._in_flight = prometheus_client.Gauge(
            "taskq_in_flight",
            "Messages that are running.",
            ("queue",),
            registry=registry,
            # Processes that share a directory of figures add up, and one that died holds nothing.
            multiprocess_mode="livesum",
        )

    def on_enqueue(self, queue: str, message: Message, result: Enqueued) -> None:
        """Count the message as accepted, duplicate or refused."""
        answer = "accepted" if result.accepted else "duplicate" if result.duplicate else "refused"
        self._enqueued.labels(queue, message.task, answer).inc()

    def on_start(self, event: Started) -> None:
        """Count the message as in flight."""
        self._in_flight.labels(event.queue).inc()

    def on_settle(self, event: Settled) -> None:
        """Count the run by its decision and observe how long it took; each message of a batch took the batch's time."""
        self._in_flight.labels(event.queue).dec()
        self._processed.labels(event.queue, event.message.task, type(event.decision).__name__).inc()
        self._run_seconds.labels(event.queue, event.message.task).observe(event.seconds)

    def on_pause(self, event: Paused) -> None:  # noqa: ARG002 - one figure for all queues and tasks
        """Count the pause."""
        self._pauses.inc()
