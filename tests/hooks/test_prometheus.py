from __future__ import annotations

import importlib.util
import sys

import prometheus_client
import pytest

import taskq.hooks.prometheus as module
from taskq.core.retry import ACK, DeadLetter, Fallback, Release
from taskq.errors import ConfigError
from taskq.hooks.events import Paused, Settled, Started
from taskq.hooks.prometheus import PrometheusHook
from taskq.message import Enqueued, Message

MESSAGE = Message(task="greet", id=b"\x01", attempt=1, args_bytes=b"\x91\xa6canary")


@pytest.fixture
def registry():
    return prometheus_client.CollectorRegistry()


@pytest.mark.parametrize(
    ("result", "label"),
    [
        (Enqueued(message_id=b"\x01"), "accepted"),
        (Enqueued(message_id=b"\x01", duplicate=True), "duplicate"),
        (Enqueued(message_id=b"\x01", error=OSError("full")), "refused"),
    ],
)
def test_enqueued_messages_are_counted_by_result(registry, result, label):
    """Each enqueued message counts once, under what became of it."""
    PrometheusHook(registry).on_enqueue("mail", MESSAGE, result)
    [metric] = [metric for metric in registry.collect() if metric.name == "taskq_enqueued"]
    found = {tuple(s.labels.items()): s.value for s in metric.samples if s.name == "taskq_enqueued_total"}
    assert found == {(("queue", "mail"), ("task", "greet"), ("result", label)): 1.0}


@pytest.mark.parametrize("decision", [ACK, Release(1.0), Fallback("failed"), DeadLetter("failed")])
def test_runs_are_counted_by_decision_and_timed(registry, decision):
    """A run counts under its decision's name and its time lands in the histogram, in seconds."""
    hook = PrometheusHook(registry)
    hook.on_start(Started("mail", MESSAGE, 0))
    hook.on_settle(Settled("mail", MESSAGE, decision, None, 0.25))
    labels = {"queue": "mail", "task": "greet"}
    outcome = labels | {"outcome": type(decision).__name__}
    assert registry.get_sample_value("taskq_processed_total", outcome) == 1
    assert registry.get_sample_value("taskq_run_seconds_sum", labels) == 0.25
    assert registry.get_sample_value("taskq_run_seconds_bucket", labels | {"le": "0.1"}) == 0
    assert registry.get_sample_value("taskq_run_seconds_bucket", labels | {"le": "0.5"}) == 1


def test_in_flight_counts_started_and_not_settled(registry):
    """The gauge of each queue follows its running messages and returns to zero."""
    hook = PrometheusHook(registry)
    figures = []
    for queue, begins in [("mail", True), ("mail", True), ("sms", True), ("mail", False), ("mail", False)]:
        if begins:
            hook.on_start(Started(queue, MESSAGE, 0))
        else:
            hook.on_settle(Settled(queue, MESSAGE, ACK, None, 0.1))
        figures.append(registry.get_sample_value("taskq_in_flight", {"queue": queue}))
    assert figures == [1, 2, 1, 1, 0]
    assert registry.get_sample_value("taskq_in_flight", {"queue": "sms"}) == 1


def test_pauses_are_counted(registry):
    """Each pause counts, of a task or of a whole queue."""
    hook = PrometheusHook(registry)
    for task in ("greet", ""):
        hook.on_pause(Paused("mail", task, 60.0))
    assert registry.get_sample_value("taskq_pauses_total") == 2


def test_the_default_registry_is_the_clients(monkeypatch, registry):
    """Without a registry the metrics are where the client's own exporters look."""
    monkeypatch.setattr(prometheus_client, "REGISTRY", registry)
    PrometheusHook().on_pause(Paused("mail", "", 60.0))
    assert registry.get_sample_value("taskq_pauses_total") == 1


def test_a_second_hook_on_one_registry_is_refused(registry):
    """A second hook on a registry raises a ConfigError that says to share one, and leaves the first at work."""
    first = PrometheusHook(registry)
    with pytest.raises(ConfigError, match="share one PrometheusHook"):
        PrometheusHook(registry)
    first.on_pause(Paused("mail", "", 60.0))
    assert registry.get_sample_value("taskq_pauses_total") == 1


def test_arguments_never_reach_the_metrics(registry):
    """What is exported holds nothing of a message's arguments, nor its id."""
    hook = PrometheusHook(registry)
    hook.on_enqueue("mail", MESSAGE, Enqueued(message_id=b"\x01"))
    hook.on_start(Started("mail", MESSAGE, 0))
    hook.on_settle(Settled("mail", MESSAGE, ACK, ValueError("canary"), 0.1))
    exported = prometheus_client.generate_latest(registry).decode()
    assert "canary" not in exported
    assert 'queue="mail"' in exported


def test_a_missing_package_is_one_sentence(monkeypatch):
    """Without prometheus-client the module imports, and building the hook says what to install."""
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    spec = importlib.util.spec_from_file_location("taskq_hooks_without_package", module.__file__)
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    with pytest.raises(ConfigError, match=r"pip install 'taskq\[prometheus\]'"):
        copy.PrometheusHook()
