"""Calling an async handler on the loop without a task of its own. Nothing is decided here.

Each run has its own contextvars context, a copy of its worker's, so that nothing leaks from one message to the next.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import Any

__all__ = ["FINISHED", "Remainder", "begin"]

FINISHED = object()


def begin(coroutine: Coroutine[Any, Any, Any], context: Context) -> Any:
    """Run a coroutine to its first suspension; return what it waits for, or FINISHED."""
    try:
        return context.run(coroutine.send, None)
    except StopIteration:
        return FINISHED


class Remainder:
    """Awaits the rest of a coroutine that `begin` started, each step in its own context."""

    __slots__ = ("_context", "_coroutine", "_waiting")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], context: Context, waiting: Any) -> None:
        self._coroutine = coroutine
        self._context = context
        self._waiting = waiting

    def __await__(self) -> Generator[Any, Any, None]:
        run, coroutine, waiting = self._context.run, self._coroutine, self._waiting
        while True:
            try:
                try:
                    value = yield waiting
                except GeneratorExit:
                    run(coroutine.close)
                    raise
                except BaseException as error:  # noqa: BLE001 - whatever it is, the handler's await gets it
                    waiting = run(coroutine.throw, error)
                else:
                    waiting = run(coroutine.send, value)
            except StopIteration:
                return
