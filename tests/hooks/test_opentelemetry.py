from __future__ import annotations

import asyncio
import importlib.util
import sys
from contextvars import copy_context

import msgspec
import pytest
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import taskq.hooks.opentelemetry as module
from taskq.core.retry import ACK, DeadLetter, Fallback, Release
from taskq.errors import ConfigError
from taskq.hooks.events import Settled, Started
from taskq.hooks.opentelemetry import OpenTelemetryHook
from taskq.message import Enqueued, Message
from taskq.wire import envelope

MESSAGE = Message(task="greet", id=b"\xab\x01", attempt=3)
FOREIGN = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


class Spans:
    """A hook with its own provider, and what it exported."""

    def __init__(self, propagator=None, sampler=None):
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.hook = OpenTelemetryHook(self.provider, propagator)
        self.tracer = self.provider.get_tracer("test")

    def __getitem__(self, name):
        [span] = [span for span in self.exporter.get_finished_spans() if span.name == name]
        return span

    @property
    def names(self):
        return [span.name for span in self.exporter.get_finished_spans()]

    def run(self, message, decision=ACK, error=None, queue="mail"):
        """Run one message whose handler makes a span named after its task."""
        self.hook.on_start(Started(queue, message, 0))
        self.tracer.start_span(message.task).end()
        self.hook.on_settle(Settled(queue, message, decision, error, 0.1))


@pytest.fixture
def spans():
    return Spans()


@pytest.fixture(autouse=True)
def no_leaks(caplog):
    """Every test leaves no span current and makes OpenTelemetry log nothing, in a context of its own or in ours."""
    yield
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert module._RUNS.get() == ()
    assert caplog.records == []


def carried(spans, message=MESSAGE, queue="mail"):
    return spans.hook.before_enqueue(queue, message)


def test_enqueue_and_run_share_a_trace(spans):
    """The run's span is a child of, and linked to, the producer's, which is a child of the caller's."""
    with spans.tracer.start_as_current_span("request"):
        message = carried(spans)
    copy_context().run(spans.run, message)
    request, sent, ran, inner = (spans[name] for name in ("request", "mail publish", "mail process", "greet"))
    assert {span.context.trace_id for span in (sent, ran, inner)} == {request.context.trace_id}
    parents = (sent.parent.span_id, ran.parent.span_id, inner.parent.span_id)
    assert parents == (request.context.span_id, sent.context.span_id, ran.context.span_id)
    assert [link.context.span_id for link in ran.links] == [sent.context.span_id]
    assert (sent.kind, ran.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)


def test_attributes_follow_the_messaging_conventions(spans):
    """Both spans carry the conventions' attributes and the task; the run's adds its attempt and decision."""
    spans.run(carried(spans))
    common = {
        "messaging.system": "taskq",
        "messaging.destination.name": "mail",
        "messaging.message.id": "ab01",
        "taskq.task": "greet",
    }
    sent = {"messaging.operation.name": "publish", "messaging.operation.type": "send"}
    ran = {"messaging.operation.name": "process", "messaging.operation.type": "process"}
    assert dict(spans["mail publish"].attributes) == common | sent
    assert dict(spans["mail process"].attributes) == common | ran | {"taskq.attempt": 3, "taskq.decision": "Ack"}
    assert spans["mail process"].status.status_code is StatusCode.UNSET


def test_an_id_that_is_not_made_yet_is_left_out(spans):
    """A message that has no id before it is enqueued gets no empty message id."""
    carried(spans, Message(task="greet"))
    assert "messaging.message.id" not in spans["mail publish"].attributes


@pytest.mark.parametrize(
    ("decision", "attributes"),
    [
        (Release(2.5), {"taskq.decision": "Release", "taskq.retry_delay": 2.5}),
        (Fallback("failed 3 times"), {"taskq.decision": "Fallback"}),
        (DeadLetter("failed 3 times"), {"taskq.decision": "DeadLetter"}),
    ],
)
def test_a_failure_is_recorded(spans, decision, attributes):
    """A failed run is an error with its exception and says what became of the message."""
    spans.run(carried(spans), decision, KeyError("ada"))
    span = spans["mail process"]
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "KeyError: 'ada'")
    [event] = span.events
    assert (event.name, event.attributes["exception.type"]) == ("exception", "KeyError")
    found = {key: value for key, value in span.attributes.items() if key in ("taskq.decision", "taskq.retry_delay")}
    assert found == attributes
    assert span.attributes["error.type"] == "KeyError"


def test_each_attempt_is_a_span_of_the_same_trace(spans):
    """A retried message carries its headers on, so that all its attempts hang below one producer span."""
    first = carried(spans, msgspec.structs.replace(MESSAGE, attempt=1))
    spans.run(first, Release(1.0), OSError("down"))
    spans.run(msgspec.structs.replace(first, attempt=2))
    runs = [span for span in spans.exporter.get_finished_spans() if span.name == "mail process"]
    assert [span.attributes["taskq.attempt"] for span in runs] == [1, 2]
    assert {span.parent.span_id for span in runs} == {spans["mail publish"].context.span_id}


def test_an_error_whose_text_cannot_be_made_still_ends_the_span(spans):
    """An exception with a broken __str__ fails the hook, not the span and not the context."""

    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("mute")

    spans.hook.on_start(Started("mail", MESSAGE, 0))
    with pytest.raises(RuntimeError, match="mute"):
        spans.hook.on_settle(Settled("mail", MESSAGE, ACK, Mute(), 0.1))
    assert spans["mail process"].attributes["error.type"].endswith("Mute")


def test_the_producer_span_is_over_before_the_send(spans):
    """An enqueue that raises afterwards, and so reports no result, leaves no span open."""
    carried(spans)
    assert spans.names == ["mail publish"]


def test_accepted_messages_get_no_second_span(spans):
    """A message that was added is recorded by its producer span alone."""
    message = carried(spans)
    spans.hook.on_enqueue("mail", message, Enqueued(message_id=b"\xab\x01"))
    assert spans.names == ["mail publish"]


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (Enqueued(message_id=b"\xcd", duplicate=True), StatusCode.UNSET),
        (Enqueued(message_id=b"\xcd", error=OSError("full")), StatusCode.ERROR),
    ],
    ids=["duplicate", "refused"],
)
def test_a_message_that_was_not_added_says_why(spans, result, status):
    """A duplicate or refused message gets a span below its producer span, under the id it was refused with."""
    spans.hook.on_enqueue("mail", carried(spans), result)
    span = spans["mail refuse"]
    assert span.parent.span_id == spans["mail publish"].context.span_id
    assert (span.attributes["taskq.duplicate"], span.status.status_code) == (result.duplicate, status)
    assert span.attributes["messaging.message.id"] == "cd"
    assert [event.name for event in span.events] == ["exception"] * (result.error is not None)


def test_headers_are_w3c_and_keep_the_users_own(spans):
    """The producer span's traceparent and the caller's baggage join the headers; the message is otherwise the same."""
    token = context.attach(baggage.set_baggage("tenant", "7"))
    message = carried(spans, msgspec.structs.replace(MESSAGE, headers={"color": "red"}))
    context.detach(token)
    sent = spans["mail publish"].context
    traceparent = f"00-{sent.trace_id:032x}-{sent.span_id:016x}-{sent.trace_flags:02x}"
    assert message.headers == {"color": "red", "traceparent": traceparent, "baggage": "tenant=7"}
    assert msgspec.structs.replace(message, headers=None) == MESSAGE


def test_headers_survive_the_wire(spans):
    """A message that was encoded and decoded carries the same headers and runs below its producer span."""
    sent = carried(spans)
    received = envelope.decode(envelope.encode(sent))
    spans.run(received)
    assert received.headers == sent.headers
    assert spans["mail process"].parent.span_id == spans["mail publish"].context.span_id


def test_a_forwarded_message_leaves_its_old_trace(spans):
    """Headers of an earlier trace are replaced as a whole: an old tracestate does not join the new traceparent."""
    old = {"traceparent": FOREIGN, "tracestate": "vendor=1", "baggage": "tenant=6", "color": "red"}
    message = carried(spans, msgspec.structs.replace(MESSAGE, headers=old))
    assert set(message.headers) == {"traceparent", "color"}
    assert message.headers["traceparent"] != FOREIGN


def test_baggage_and_tracestate_reach_the_handler(spans):
    """What the caller put into its context is current in the handler, whose own messages carry it on."""
    headers = {"traceparent": FOREIGN, "tracestate": "vendor=1", "baggage": "tenant=7"}

    def run():
        spans.hook.on_start(Started("mail", msgspec.structs.replace(MESSAGE, headers=headers), 0))
        return baggage.get_baggage("tenant"), carried(spans, Message(task="next")).headers

    tenant, onward = copy_context().run(run)
    assert tenant == "7"
    assert (onward["baggage"], onward["tracestate"]) == ("tenant=7", "vendor=1")
    assert onward["traceparent"].split("-")[1] == "a" * 32


@pytest.mark.parametrize("propagator", [None, W3CBaggagePropagator()], ids=["global", "baggage"])
@pytest.mark.parametrize("headers", [None, {}, {"traceparent": "garbage"}, {"color": "red"}])
def test_without_a_context_the_run_begins_a_trace(headers, propagator):
    """A message without a readable context, such as one from Go, begins a trace even if its worker is inside a span."""
    spans = Spans(propagator)
    with spans.tracer.start_as_current_span("worker"):
        spans.run(msgspec.structs.replace(MESSAGE, headers=headers))
    assert spans["mail process"].parent is None


def test_without_a_context_the_run_is_linked_to_nothing():
    """A sampler is shown no link where there is nothing to link to."""
    shown = []

    class Watching(Sampler):
        def should_sample(self, parent_context, trace_id, name, kind=None, attributes=None, links=None, **more):
            shown.append((name, list(links or ())))
            return ALWAYS_ON.should_sample(parent_context, trace_id, name)

        def get_description(self):
            return "watching"

    spans = Spans(sampler=Watching())
    spans.run(MESSAGE)
    assert shown == [("mail process", []), ("greet", [])]


def test_without_a_provider_nothing_is_added():
    """With the API alone, enqueueing and running record nothing, add no headers and raise nothing."""
    hook = OpenTelemetryHook(trace.NoOpTracerProvider())
    message = hook.before_enqueue("mail", MESSAGE)
    assert message.headers is None
    hook.on_start(Started("mail", message, 0))
    hook.on_settle(Settled("mail", message, ACK, None, 0.1))


def test_the_propagator_is_the_given_one_or_the_global_one(spans, monkeypatch):
    """A propagator given to the hook wins; without one the global is asked at each message."""
    given = OpenTelemetryHook(spans.provider, TraceContextTextMapPropagator())
    monkeypatch.setattr(propagate, "_HTTP_TEXT_FORMAT", W3CBaggagePropagator())
    token = context.attach(baggage.set_baggage("tenant", "7"))
    headers = [hook.before_enqueue("mail", MESSAGE).headers for hook in (given, spans.hook)]
    context.detach(token)
    assert [set(each) for each in headers] == [{"traceparent"}, {"baggage"}]


def test_interleaved_runs_keep_their_own_spans(spans):
    """Runs that take turns on one loop, each in its own context, never see each other's span."""

    async def run(message):
        spans.hook.on_start(Started("mail", message, 0))
        await asyncio.sleep(0)
        spans.tracer.start_span(message.task).end()
        await asyncio.sleep(0)
        spans.hook.on_settle(Settled("mail", message, ACK, None, 0.1))

    async def main():
        await asyncio.gather(*(run(Message(task=f"task{n}", attempt=n)) for n in range(5)))

    asyncio.run(main())
    runs = {s.attributes["taskq.task"]: s for s in spans.exporter.get_finished_spans() if s.name == "mail process"}
    assert len(runs) == 5
    for name, span in runs.items():
        assert spans[name].parent.span_id == span.context.span_id


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0)])
def test_a_batch_settles_in_any_order(spans, order):
    """Messages started together in one context may settle in any order; then what was outside is current again."""
    messages = [Message(task=f"task{n}", attempt=n) for n in range(3)]
    with spans.tracer.start_as_current_span("outside") as outside:
        for message in messages:
            spans.hook.on_start(Started("mail", message, 0))
        spans.tracer.start_span("inner").end()
        for index in order:
            spans.hook.on_settle(Settled("mail", messages[index], ACK, None, 0.1))
        assert trace.get_current_span() is outside
    runs = [span for span in spans.exporter.get_finished_spans() if span.name == "mail process"]
    assert [span.attributes["taskq.attempt"] for span in runs] == list(order)
    [last] = [span for span in runs if span.attributes["taskq.attempt"] == 2]
    assert spans["inner"].parent.span_id == last.context.span_id


def test_a_run_inside_a_handler_restores_the_handlers_span(spans):
    """A message that a handler runs inline has its own span, and the handler's is current again afterwards."""
    outer, inner = Message(task="outer"), Message(task="inner")
    spans.hook.on_start(Started("mail", outer, 0))
    handler = trace.get_current_span()
    copy_context().run(spans.run, inner, queue="sms")
    spans.run(inner, queue="push")
    assert trace.get_current_span() is handler
    spans.hook.on_settle(Settled("mail", outer, ACK, None, 0.1))
    assert sorted(span for span in spans.names if span.endswith("process")) == [
        "mail process",
        "push process",
        "sms process",
    ]


def test_two_hooks_nest(spans):
    """Two hooks of one app each end their own span and together restore the context."""
    other = Spans()
    for hook in (spans.hook, other.hook):
        hook.on_start(Started("mail", MESSAGE, 0))
    for hook in (spans.hook, other.hook):
        hook.on_settle(Settled("mail", MESSAGE, ACK, None, 0.1))
    assert spans.names == other.names == ["mail process"]


def test_a_settle_without_its_start_is_ignored(spans):
    """A run that this hook did not see begin, of an equal message or seen by another hook, ends no span."""
    spans.hook.on_start(Started("mail", MESSAGE, 0))
    spans.hook.on_settle(Settled("mail", msgspec.structs.replace(MESSAGE), ACK, None, 0.1))
    Spans().hook.on_settle(Settled("mail", MESSAGE, ACK, None, 0.1))
    assert spans.names == []
    spans.hook.on_settle(Settled("mail", MESSAGE, ACK, None, 0.1))
    assert spans.names == ["mail process"]


def test_arguments_never_reach_a_span(spans):
    """No attribute, event or header holds anything of the arguments."""
    message = carried(spans, msgspec.structs.replace(MESSAGE, args_bytes=b"\x91\xa6canary"))
    spans.run(message, DeadLetter("failed"), OSError("down"))
    spans.hook.on_enqueue("mail", message, Enqueued(message_id=b"\x01", error=OSError("down")))
    exported = "".join(span.to_json() for span in spans.exporter.get_finished_spans())
    assert "canary" not in exported + repr(message.headers)
    assert "down" in exported


def test_a_missing_package_is_one_sentence(monkeypatch):
    """Without opentelemetry-api the module imports, and building the hook says what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    spec = importlib.util.spec_from_file_location("taskq_hooks_without_package", module.__file__)
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    with pytest.raises(ConfigError, match=r"pip install 'taskq\[opentelemetry\]'"):
        copy.OpenTelemetryHook()
