"""A domain is one simulated process: what was started from within it lives, sleeps and dies with it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context, ContextVar
from typing import Any, Literal, TypeVar

from taskq_testing.loop.awaitables import Task

__all__ = ["CURRENT", "Domain", "bare_context", "current_domain", "unheard"]

T = TypeVar("T")
CURRENT: ContextVar[Domain | None] = ContextVar("taskq_testing.loop.domain", default=None)
_STUBBORN = 100
_FEW = 64


current_domain: Callable[[], Domain | None] = CURRENT.get
"""Return the domain that is running, or None outside of every domain."""


def bare_context() -> Context:
    """Return a context that carries the current domain and nothing else, as in a new thread."""
    context = Context()
    context.run(CURRENT.set, CURRENT.get())
    return context


class Domain:
    """One simulated process on a virtual loop; made by `VirtualLoop.domain`.

    A callback belongs to the domain whose code scheduled it (a context variable, which tasks, timers and threads inherit).

    Attributes:
        name: for reports.
        state: "running", "suspended" or "dead".
    """

    def __init__(self, loop: Any, name: str) -> None:
        self.loop = loop
        self.name = name
        # Its own from the start: whoever starts it, or sends it something, leaves nothing of themselves in it.
        self._context: Context = loop.context.copy()
        self._context.run(CURRENT.set, self)
        self.state: Literal["running", "suspended", "dead"] = "running"
        self.ready = 0
        self._tasks: list[weakref.ref[Task]] = []  # in order of creation; those that are done are dropped now and then
        self._most = _FEW
        self._held: deque[Any] = deque()
        self._grave: list[Any] = []

    def __repr__(self) -> str:
        return f"<Domain {self.name!r} {self.state}>"

    def create_task(self, coroutine: Coroutine[Any, Any, T], *, name: str | None = None) -> asyncio.Task[T]:
        """Start a task that belongs to this domain."""
        return self.loop.create_task(coroutine, name=name, context=self.context())  # type: ignore[no-any-return]

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> asyncio.Handle:
        """Schedule a callback that belongs to this domain."""
        return self.loop.call_soon(callback, *args, context=self.context())  # type: ignore[no-any-return]

    def context(self) -> Context:
        """Return a context whose callbacks belong to this domain."""
        return self._context.copy()

    def adopt(self, task: Task) -> None:
        """Take a task that begins; of a dead domain it never does."""
        task.domain = self
        if self.state == "dead":
            self.bury_task(task)
            return
        self._tasks.append(weakref.ref(task))
        if len(self._tasks) > self._most:
            self._tasks = [weakref.ref(task) for task in self.tasks()]
            self._most = max(_FEW, 2 * len(self._tasks))

    def tasks(self) -> list[Task]:
        """Return the tasks of this domain that are not done, in order of creation."""
        return [task for ref in self._tasks if (task := ref()) is not None and not task.done()]

    def suspend(self) -> None:
        """Stop it where it is, as SIGSTOP does: what becomes ready or due waits for `wake`. Time goes on."""
        if self.state == "running":
            self.state = "suspended"
            self._held.extend(self.loop.take_ready(self))

    def wake(self) -> None:
        """Go on, as after SIGCONT: all that became ready or due meanwhile runs now, in that order."""
        if self.state == "suspended":
            self.state = "running"
            while self._held:
                self.loop.enqueue(self._held.popleft(), self)

    def kill(self) -> None:
        """End it, as SIGKILL does: no callback of it runs on, no `finally`, no cancellation.

        Code that kills its own domain runs to its next await and no further. The coroutines are kept until the loop is closed,
        so that none is collected, which would run its `finally`. Then they are closed, and what they raise is ignored.
        """
        if self.state == "dead":
            return
        self.state = "dead"
        for handle in (*self._held, *self.loop.take_ready(self), *self.loop.take_timers(self)):
            self.bury(handle)
        self._held.clear()
        for task in self.tasks():
            self.bury_task(task)

    def keep(self, handle: Any) -> None:
        """Keep a callback that may not become ready: until the wake, or for ever."""
        if self.state == "suspended":
            self._held.append(handle)
        else:
            self.bury(handle)

    def bury(self, thing: Any) -> None:
        """Keep something of a dead domain from being collected until the loop is closed."""
        self._grave.append(thing)

    def bury_task(self, task: asyncio.Task[Any]) -> None:
        """Keep a task of a dead domain from being collected, from being complained about, and from being found."""
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - no public name
        asyncio.tasks._unregister_task(task)  # noqa: SLF001 - no public name
        self._grave.append(task)

    def close(self) -> None:
        """Close the coroutines of a dead domain, without a word of what they do then. To be called once, at the very end."""
        context = self.context()
        for thing in self._grave:  # which grows meanwhile by what they start
            if isinstance(thing, asyncio.Task):
                _close(thing.get_coro(), context)
            for answer in getattr(thing, "_args", None) or ():
                if isinstance(answer, asyncio.Future) and answer.done() and not answer.cancelled():
                    answer.exception()  # who waited for it is dead: asyncio should not complain that nobody asked
        self._grave.clear()


def _close(coroutine: Any, context: Context) -> None:
    """Close a coroutine that may raise, and may await something instead of ending."""
    for _ in range(_STUBBORN):
        with contextlib.suppress(BaseException):
            context.run(coroutine.close)
        if getattr(coroutine, "cr_frame", None) is None:
            return
    import ctypes  # noqa: PLC0415 - hardly ever needed

    # It catches whatever would end it. Python closes what it collects, also when the interpreter ends, and would complain or
    # hang there: so it is never collected, which takes a reference that nobody holds.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(coroutine))


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Say nothing of warnings and of exceptions that nobody can catch while the block runs."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.unraisablehook = hook
