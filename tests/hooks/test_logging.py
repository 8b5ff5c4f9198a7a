from __future__ import annotations

import asyncio
import logging
from contextvars import copy_context

import pytest

import taskq.hooks.logging as module
from taskq.core.retry import ACK, DeadLetter, Fallback, Release
from taskq.hooks.events import Paused, Settled, Started
from taskq.hooks.logging import LogContextHook, LoggingHook, RunContextFilter
from taskq.message import Message

MESSAGE = Message(task="greet", id=b"\xab\x01", attempt=3, args_bytes=b"\x91\xa6canary")
NAMES = ("taskq_queue", "taskq_task", "taskq_message_id", "taskq_attempt")
OUTSIDE = (None, None, None, None)


def failed(decision):
    try:
        raise OSError("no route to host")
    except OSError as error:
        return Settled("mail", MESSAGE, decision, error, 0.5)


def named(**given):
    """Return what the filter writes on a new record."""
    record = logging.makeLogRecord({"msg": "hello", **given})
    assert RunContextFilter().filter(record) is True
    return tuple(getattr(record, name) for name in NAMES)


@pytest.fixture(autouse=True)
def no_leaks():
    """Every test leaves no run behind in its context."""
    yield
    assert module._RUNS.get() == ()


@pytest.mark.parametrize(
    ("decision", "level", "outcome"),
    [
        (Release(2.5), logging.WARNING, "it runs again in 2.500 s"),
        (Fallback("failed 3 times"), logging.ERROR, "it is given up, its fallback runs"),
        (DeadLetter("failed 3 times"), logging.ERROR, "it is given up"),
    ],
)
def test_a_failure_is_one_record(caplog, decision, level, outcome):
    """A retried failure is a warning and a final one an error, with names, outcome, error and traceback."""
    event = failed(decision)
    LoggingHook().on_failure(event)
    [record] = caplog.records
    text = "task greet on queue mail failed (message ab01, attempt 3), {}: OSError: no route to host"
    assert (record.name, record.levelno, record.getMessage()) == ("taskq", level, text.format(outcome))
    assert record.exc_info[1] is event.error
    assert tuple(getattr(record, name) for name in NAMES) == ("mail", "greet", "ab01", 3)


@pytest.mark.parametrize(("task", "who"), [("greet", "task greet"), ("", "all tasks")])
def test_a_pause_is_a_warning(caplog, task, who):
    """A pause is one warning that names who pauses and for how long."""
    LoggingHook().on_pause(Paused("mail", task, 60.0))
    [record] = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.WARNING, f"{who} on queue mail paused for 60.000 s")


def test_the_given_logger_is_used(caplog):
    """A logger given to the hook receives its records instead of taskq's own."""
    LoggingHook(logging.getLogger("mine")).on_failure(failed(Release(1.0)))
    assert [record.name for record in caplog.records] == ["mine"]


@pytest.mark.parametrize("decision", [Release(1.0), Fallback("failed"), DeadLetter("failed")])
def test_arguments_are_never_logged(caplog, decision):
    """Neither the text, the traceback nor any attribute of a record holds the arguments or the message."""
    LoggingHook().on_failure(failed(decision))
    [record] = caplog.records
    assert "no route" in caplog.text
    assert "canary" not in caplog.text + repr(vars(record))
    held = [*record.args, *vars(record).values()]
    assert not any(isinstance(value, Message | Settled) for value in held)


def test_records_inside_a_run_name_it():
    """A record made between start and settle carries the run's names; one made before or after carries None."""
    hook = LogContextHook()
    assert named() == OUTSIDE
    hook.on_start(Started("mail", MESSAGE, 0))
    assert named() == ("mail", "greet", "ab01", 3)
    hook.on_settle(Settled("mail", MESSAGE, ACK, None, 0.1))
    assert named() == OUTSIDE


def test_a_record_that_brings_its_own_names_keeps_them():
    """Names given with `extra`, as LoggingHook gives them, are not overwritten."""
    assert named(taskq_queue="mail", taskq_attempt=3) == ("mail", None, None, 3)


def test_interleaved_runs_keep_their_own_names():
    """Runs that take turns on one loop, each in its own context, never log each other's names."""
    hook, seen = LogContextHook(), {}

    async def run(message):
        hook.on_start(Started("mail", message, 0))
        await asyncio.sleep(0)
        seen[message.task] = named()[1]
        await asyncio.sleep(0)
        hook.on_settle(Settled("mail", message, ACK, None, 0.1))
        assert named() == OUTSIDE

    async def main():
        await asyncio.gather(*(run(Message(task=f"task{n}")) for n in range(5)))

    asyncio.run(main())
    assert seen == {f"task{n}": f"task{n}" for n in range(5)}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_a_batch_settles_in_any_order(order):
    """Messages started together in one context may settle in any order; a batch logs under its last message."""
    hook, messages = LogContextHook(), [Message(task="greet", attempt=n) for n in range(3)]
    for message in messages:
        hook.on_start(Started("mail", message, 0))
    assert named()[3] == 2
    for index in order:
        hook.on_settle(Settled("mail", messages[index], ACK, None, 0.1))
    assert named() == OUTSIDE


def test_a_run_inside_a_handler_restores_the_handlers_names():
    """A message run inline, in a copied context, logs under its own names and leaves the handler's alone."""
    hook, inner = LogContextHook(), Message(task="inner")

    def run_inline():
        hook.on_start(Started("sms", inner, 0))
        seen = named()
        hook.on_settle(Settled("sms", inner, ACK, None, 0.1))
        return seen[:2], named()[:2]

    hook.on_start(Started("mail", MESSAGE, 0))
    assert copy_context().run(run_inline) == (("sms", "inner"), ("mail", "greet"))
    hook.on_settle(Settled("mail", MESSAGE, ACK, None, 0.1))


def test_the_filter_serves_a_format_string(monkeypatch):
    """A handler with the filter formats the four names for its own records and for other loggers' alike."""
    lines = []

    class Lines(logging.Handler):
        def emit(self, record):
            lines.append(self.format(record))

    handler, logger, hook = Lines(), logging.getLogger("app"), LogContextHook()
    handler.setFormatter(logging.Formatter("%(taskq_task)s/%(taskq_attempt)s %(message)s"))
    handler.addFilter(RunContextFilter())
    monkeypatch.setattr(logger, "handlers", [handler])
    hook.on_start(Started("mail", MESSAGE, 0))
    logger.warning("inside")
    hook.on_settle(Settled("mail", MESSAGE, ACK, None, 0.1))
    logger.warning("outside")
    assert lines == ["greet/3 inside", "None/None outside"]
