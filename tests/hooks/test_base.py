from __future__ import annotations

import logging

import pytest

from taskq.core.retry import ACK, DeadLetter, Release
from taskq.hooks.base import Hook, Hooks
from taskq.hooks.events import Paused, Settled, Started
from taskq.message import Enqueued, Message

MESSAGE = Message(task="greet", id=b"\x01", attempt=1)
RESULT = Enqueued(message_id=b"\x01")
STARTED = Started("mail", MESSAGE, 0)
DONE = Settled("mail", MESSAGE, ACK, None, 0.5)
FAILED = Settled("mail", MESSAGE, Release(1.0), OSError("down"), 0.5)
PAUSED = Paused("mail", "greet", 60.0)
EVENTS = ("before_enqueue", "on_enqueue", "on_start", "on_settle", "on_failure", "on_pause")


class Recorder(Hook):
    """A user's own hook: it notes every call and marks the messages it prepares."""

    def __init__(self, mark: str = "seen"):
        self.calls = []
        self.mark = mark

    def before_enqueue(self, queue, message):
        self.calls.append(("before_enqueue", queue, message))
        return Message(task=message.task, headers={**(message.headers or {}), self.mark: queue})

    def on_enqueue(self, queue, message, result):
        self.calls.append(("on_enqueue", queue, message, result))

    def on_start(self, event):
        self.calls.append(("on_start", event))

    def on_settle(self, event):
        self.calls.append(("on_settle", event))

    def on_failure(self, event):
        self.calls.append(("on_failure", event))

    def on_pause(self, event):
        self.calls.append(("on_pause", event))


class Broken(Hook):
    """A hook that fails wherever it is called."""

    def before_enqueue(self, queue, message):
        raise RuntimeError("broken")

    def on_settle(self, event):
        raise RuntimeError("broken")


def drive(hooks: Hooks) -> None:
    hooks.prepare("mail", MESSAGE)
    hooks.tell(hooks.on_enqueue, "mail", MESSAGE, RESULT)
    hooks.tell(hooks.on_start, STARTED)
    hooks.settled(FAILED)
    hooks.tell(hooks.on_pause, PAUSED)


def test_a_subclass_sees_every_event():
    """A user's hook that overrides every method is told every event with its values, in order."""
    hook = Recorder()
    drive(Hooks([hook]))
    assert hook.calls == [
        ("before_enqueue", "mail", MESSAGE),
        ("on_enqueue", "mail", MESSAGE, RESULT),
        ("on_start", STARTED),
        ("on_settle", FAILED),
        ("on_failure", FAILED),
        ("on_pause", PAUSED),
    ]


def test_success_is_no_failure():
    """A run without an error is told to on_settle and not to on_failure."""
    hook = Recorder()
    Hooks([hook]).settled(DONE)
    assert hook.calls == [("on_settle", DONE)]


@pytest.mark.parametrize("event", EVENTS)
def test_only_overridden_methods_listen(event):
    """A hook is listed for the one method it overrides and for no other."""
    kind = type("Partial", (Hook,), {event: getattr(Recorder, event)})
    hooks = Hooks([Hook(), kind()])
    assert {name: len(getattr(hooks, name)) for name in EVENTS} == {name: int(name == event) for name in EVENTS}


def test_an_inherited_override_listens():
    """A method overridden in a parent class counts as overridden."""
    assert len(Hooks([type("Child", (Recorder,), {})()]).on_start) == 1


def test_the_plain_hook_changes_nothing():
    """Every method of the base class may be called by a subclass and does nothing."""
    hook = Hook()
    assert hook.before_enqueue("mail", MESSAGE) is MESSAGE
    answers = [hook.on_enqueue("mail", MESSAGE, RESULT), hook.on_start(STARTED), hook.on_settle(DONE)]
    assert [*answers, hook.on_failure(FAILED), hook.on_pause(PAUSED)] == [None] * 5


def test_without_hooks_the_message_is_itself():
    """Preparing without hooks returns the very same message."""
    assert Hooks().prepare("mail", MESSAGE) is MESSAGE


def test_each_hook_prepares_what_the_one_before_it_returned():
    """Messages pass through the hooks in the order they are listed."""
    hooks = [Recorder("first"), Recorder("second")]
    assert Hooks(hooks).prepare("mail", MESSAGE).headers == {"first": "mail", "second": "mail"}
    assert hooks[1].calls[0][2].headers == {"first": "mail"}


def test_a_hook_that_fails_to_prepare_is_skipped(caplog):
    """A failing before_enqueue is logged with its traceback and the other hooks still prepare the message."""
    prepared = Hooks([Recorder("first"), Broken(), Recorder("second")]).prepare("mail", MESSAGE)
    assert prepared.headers == {"first": "mail", "second": "mail"}
    [record] = caplog.records
    assert (record.name, record.levelno, record.exc_info[0]) == ("taskq", logging.ERROR, RuntimeError)
    assert "enqueued without it" in record.message


def test_a_hook_that_fails_is_logged_and_harmless(caplog):
    """A failing listener is logged once and neither stops the others nor hides the failure event."""
    before, after = Recorder(), Recorder()
    Hooks([before, Broken(), after]).settled(Settled("mail", MESSAGE, DeadLetter("late"), OSError("down"), 0.0))
    assert [call[0] for call in before.calls] == [call[0] for call in after.calls] == ["on_settle", "on_failure"]
    [record] = caplog.records
    assert (record.levelno, record.exc_info[0]) == (logging.ERROR, RuntimeError)
    assert "Broken.on_settle" in record.message
    assert "the outcome stands" in record.message


def test_a_hook_cannot_swallow_cancellation():
    """What is not an Exception, such as a cancellation or an interrupt, passes through."""

    class Interrupted(Hook):
        def on_start(self, event):
            raise KeyboardInterrupt

    hooks = Hooks([Interrupted()])
    with pytest.raises(KeyboardInterrupt):
        hooks.tell(hooks.on_start, STARTED)
