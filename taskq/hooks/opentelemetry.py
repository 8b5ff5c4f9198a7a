"""Traces that cross the queue: one span where a message is enqueued, one where it runs. No metrics, no logs.

Only opentelemetry-api is needed. This module imports without it, so that a missing package is reported in one sentence.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

import msgspec

from taskq.core.retry import Release
from taskq.errors import ConfigError
from taskq.hooks.base import Hook
from taskq.message import printable

try:
    from opentelemetry import context, propagate, trace
except ImportError:
    _INSTALLED = False
else:
    _INSTALLED = True

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import Span, TracerProvider

    from taskq.hooks.events import Settled, Started
    from taskq.message import Enqueued, Message

__all__ = ["OpenTelemetryHook"]


class _Run(msgspec.Struct, frozen=True):
    owner: OpenTelemetryHook
    message: Message
    span: Span
    outside: Context


# One variable for all hooks, because two of them nest: each must see what the other entered. A tuple, never changed in
# place, because a handler's tasks copy the context and must not alter the original's runs.
_RUNS: ContextVar[tuple[_Run, ...]] = ContextVar("taskq_traced_runs", default=())


class OpenTelemetryHook(Hook):
    """Trace messages from the caller of enqueue, through any backend, to the handler and what it calls.

    A producer span is over before its message is sent: an enqueue that raises reports no result, so a span that waited
    for one would stay open for ever. A duplicate or a refused message gets a second span that says so.

    Args:
        tracer_provider: makes the tracer; None means the global one, also if it is set later.
        propagator: writes and reads the headers; None means the global one (W3C trace context and baggage by default).

    Raises:
        ConfigError: opentelemetry-api is not installed.

    Source: OpenTelemetry semantic conventions for messaging spans.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None, propagator: TextMapPropagator | None = None) -> None:
        if not _INSTALLED:
            raise ConfigError("OpenTelemetryHook needs opentelemetry-api; run: pip install 'taskq[opentelemetry]'")
        self._tracer = trace.get_tracer("taskq", tracer_provider=tracer_provider)
        self._propagator = propagator

    def before_enqueue(self, queue: str, message: Message) -> Message:
        """Record the send in a producer span and return the message with that span's context in its headers."""
        span = self._tracer.start_span(
            f"{queue} publish",
            kind=trace.SpanKind.PRODUCER,
            attributes=_attributes(queue, message, "publish", "send"),
        )
        span.end()
        propagator = self._textmap()
        # A message that is sent on may bring headers; a tracestate of its old trace must not join the new traceparent.
        headers = {key: value for key, value in (message.headers or {}).items() if key not in propagator.fields}
        propagator.inject(headers, trace.set_span_in_context(span))
        return msgspec.structs.replace(message, headers=headers or None)

    def on_enqueue(self, queue: str, message: Message, result: Enqueued) -> None:
        """Record a message that was not added, in a span below its producer span."""
        if result.accepted:
            return
        span = self._tracer.start_span(
            f"{queue} refuse",
            context=self._sent(message),
            attributes={
                **_attributes(queue, message, "publish", "send"),
                "messaging.message.id": printable(result.message_id),
                "taskq.duplicate": result.duplicate,
            },
        )
        _finish(span, result.error)

    def on_start(self, event: Started) -> None:
        """Start a consumer span below the producer's, and make it current for the handler."""
        sent = self._sent(event.message)
        origin = trace.get_current_span(sent).get_span_context()
        span = self._tracer.start_span(
            f"{event.queue} process",
            context=sent,
            kind=trace.SpanKind.CONSUMER,
            attributes={
                **_attributes(event.queue, event.message, "process", "process"),
                "taskq.attempt": event.message.attempt,
            },
            links=[trace.Link(origin)] if origin.is_valid else None,
        )
        run = _Run(self, event.message, span, context.get_current())
        context.attach(trace.set_span_in_context(span, sent))
        _RUNS.set((*_RUNS.get(), run))

    def on_settle(self, event: Settled) -> None:
        """End the run's span with its decision and its error, and restore the context from before it."""
        runs = _RUNS.get()
        mine = (i for i, run in enumerate(runs) if run.owner is self and run.message is event.message)
        index = next(mine, None)
        if index is None:
            return
        span = runs[index].span
        _RUNS.set(_leave(runs, index))
        span.set_attribute("taskq.decision", type(event.decision).__name__)
        if isinstance(event.decision, Release):
            span.set_attribute("taskq.retry_delay", event.decision.delay)
        _finish(span, event.error)

    def _textmap(self) -> TextMapPropagator:
        return self._propagator or propagate.get_global_textmap()

    def _sent(self, message: Message) -> Context:
        # An empty context, because a worker that was started inside a span would gather every message into that trace.
        return self._textmap().extract(message.headers or {}, context.Context())


def _attributes(queue: str, message: Message, name: str, kind: str) -> dict[str, str | int | bool]:
    attributes: dict[str, str | int | bool] = {
        "messaging.system": "taskq",
        "messaging.destination.name": queue,
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
        "taskq.task": message.task,
    }
    if message.id:
        attributes["messaging.message.id"] = message.id_text
    return attributes


def _finish(span: Span, error: BaseException | None) -> None:
    try:
        if error is not None:
            span.set_attribute("error.type", type(error).__qualname__)
            span.record_exception(error)
            span.set_status(trace.Status(trace.StatusCode.ERROR, f"{type(error).__name__}: {error}"))
    finally:  # an error whose text cannot be made must not leave the span open
        span.end()


def _leave(runs: tuple[_Run, ...], index: int) -> tuple[_Run, ...]:
    """Take one run out of the context, in any order: a batch starts a, b, c and settles a, b, c.

    Tokens cannot do this: detaching a's, then b's, makes a's ended span current again. So the run entered last restores
    what is outside of it, and one that others were entered in gives its outside to the run above it.
    """
    outside = runs[index].outside
    if index + 1 == len(runs):
        context.attach(outside)
        return runs[:index]
    above = msgspec.structs.replace(runs[index + 1], outside=outside)
    return (*runs[:index], above, *runs[index + 2 :])
