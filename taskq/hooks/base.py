"""The no-op `Hook`, and `Hooks`, the list that calls them. A failing hook is logged and never alters an outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from taskq.hooks.events import Paused, Settled, Started
from taskq.message import Enqueued, Message

__all__ = ["Hook", "Hooks"]

logger = logging.getLogger("taskq")


class Hook:
    """Override what you want to see; what is not overridden costs nothing.

    `on_start`, `on_settle` and `on_failure` of one run are called on the event loop, in the same contextvars context as
    its handler, so that what they set the handler sees, in its thread too. None of them may block.
    """

    def before_enqueue(self, queue: str, message: Message) -> Message:  # noqa: ARG002 - for those who override it
        """Return the message to enqueue instead, for example with more headers."""
        return message

    def on_enqueue(self, queue: str, message: Message, result: Enqueued) -> None:
        """See what became of a message that was given to the backend."""

    def on_start(self, event: Started) -> None:
        """See a handler about to run."""

    def on_settle(self, event: Settled) -> None:
        """See the end of a run, whatever its outcome."""

    def on_failure(self, event: Settled) -> None:
        """See the end of a run whose handler failed; called after `on_settle`."""

    def on_pause(self, event: Paused) -> None:
        """See a task or a queue pause."""


class Hooks:
    """The hooks of one app, sorted once by what each overrides, so that an event without listeners costs one test."""

    __slots__ = ("before_enqueue", "listed", "on_enqueue", "on_failure", "on_pause", "on_settle", "on_start")

    def __init__(self, hooks: Iterable[Hook] = ()) -> None:
        self.listed = listed = tuple(hooks)
        self.before_enqueue = _overriding(listed, "before_enqueue")
        self.on_enqueue = _overriding(listed, "on_enqueue")
        self.on_start = _overriding(listed, "on_start")
        self.on_settle = _overriding(listed, "on_settle")
        self.on_failure = _overriding(listed, "on_failure")
        self.on_pause = _overriding(listed, "on_pause")

    def prepare(self, queue: str, message: Message) -> Message:
        """Return the message after every `before_enqueue`; one that fails leaves it as it was."""
        for hook in self.before_enqueue:
            try:
                message = hook(queue, message)
            except Exception:
                logger.exception("hook %r failed; the message is enqueued without it", hook)
        return message

    @staticmethod
    def tell(listeners: list[Callable[..., Any]], *event: Any) -> None:
        """Call each listener; log one that fails and go on."""
        for listener in listeners:
            try:
                listener(*event)
            except Exception:
                logger.exception("hook %r failed; the outcome stands", listener)

    def settled(self, event: Settled) -> None:
        """Tell `on_settle`, then `on_failure` if the handler failed."""
        self.tell(self.on_settle, event)
        if event.error is not None:
            self.tell(self.on_failure, event)


def _overriding(hooks: Iterable[Hook], method: str) -> list[Callable[..., Any]]:
    return [getattr(hook, method) for hook in hooks if getattr(type(hook), method) is not getattr(Hook, method)]
