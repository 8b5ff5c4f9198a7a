"""An asyncio event loop in virtual time: time stands still while anything is ready, and jumps to the next timer when nothing is.

Integer nanoseconds, equal timers first come first served, no socket, no wait. With a tape, the order in which simulated
processes (`Domain`) take their steps is drawn; within one process it is what asyncio promises.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import warnings
import weakref
from asyncio.base_events import _run_until_complete_cb  # type: ignore[attr-defined]  # anyio knows the root task by it
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context
from datetime import timedelta
from functools import partial
from typing import Any, NoReturn, TypeVar, TypeVarTuple

from taskq_testing.loop import garbage
from taskq_testing.loop.awaitables import Future, Task, ordered_sets, plain_sets
from taskq_testing.loop.blocking import on_the_loop
from taskq_testing.loop.domain import CURRENT, Domain, bare_context, current_domain, unheard
from taskq_testing.loop.executor import call_into
from taskq_testing.loop.handles import NEVER, SECOND, nanoseconds
from taskq_testing.loop.real_io import RealIO
from taskq_testing.loop.scheduling import Scheduler
from taskq_testing.loop.stuck import Deadlock, Livelock, describe_tasks, describe_threads
from taskq_testing.tape import Tape

__all__ = ["Deadlock", "Domain", "Livelock", "RealIO", "VirtualLoop", "current_domain"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
logger = logging.getLogger("asyncio")
_ASYNCIO = frozenset({"asyncio.queues", "asyncio.locks"})
_SLEEP = asyncio.sleep.__code__
_NO_EAGER = (
    "a virtual loop makes its tasks itself and lets none begin early, so that runs repeat; "
    "leave out the task factory and eager_start"
)

DELAYS = (0, 1_000, 100_000, 10_000_000, SECOND // 10, SECOND, 10 * SECOND, 100 * SECOND)
"""What a call may wait for a thread, in nanoseconds."""


class VirtualLoop(Scheduler):
    """An event loop that never waits.

    Args:
        tape: decides what is free; without one everything takes the boring way.
        likely: the share of free choices that should not be boring.

    Attributes:
        now: nanoseconds of virtual time since the loop was made; `time()` is the same in seconds.
        step_limit: callbacks that may run at one instant before that is reported as a `Livelock`.
        on_advance: called with `now` after time moved and before anything that is due then runs.
        explain: returns what to add to the report of a deadlock, such as the messages that are blocked.
        unhandled: every context that went to the exception handler; a test may insist that there is none.
    """

    def __init__(self, tape: Tape | None = None, *, likely: float = 0.05) -> None:
        super().__init__(tape, likely)
        self.explain: Callable[[], str] | None = None
        self.unhandled: list[dict[str, Any]] = []
        self._numbers = 0
        self._running = False
        self._debug: bool = asyncio.coroutines._is_debug_mode()  # type: ignore[attr-defined]  # noqa: SLF001 - as asyncio's own
        self._handler: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None = None
        self._asyncgens: dict[int, tuple[weakref.ref[Any], Domain | None]] = {}
        self._closers: list[Callable[[], object]] = []
        ordered_sets()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "running" if self._running else "idle"
        return f"<VirtualLoop {state} at {self.now / SECOND} s>"

    # -- running

    def run_until_complete(self, future: Generator[Any, None, T] | Awaitable[T]) -> T:
        """Run until a future or coroutine is done and return its result.

        Raises:
            Deadlock: it can never be done.
            Livelock: the program spins while time stands still.
        """
        mine = not asyncio.isfuture(future)
        task: asyncio.Future[T] = asyncio.ensure_future(future, loop=self)  # type: ignore[arg-type]
        if mine:
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - a deadlock is reported once
        task.add_done_callback(_run_until_complete_cb)
        try:
            self.run_forever()
        except BaseException:
            if mine and task.done() and not task.cancelled():
                task.exception()  # it is being raised
            raise
        finally:
            task.remove_done_callback(_run_until_complete_cb)
        return task.result()

    def run_forever(self) -> None:
        """Run until `stop`.

        Raises:
            Deadlock: nothing is ready, no timer is left, and so nothing will ever call `stop`.
            Livelock: the program spins while time stands still.
        """
        with self._run_state():
            self._run(NEVER)
            stopped, self._stopping = self._stopping, False
            if not stopped:
                self._report_deadlock()

    def advance(self, seconds: float | timedelta) -> None:
        """Let this much virtual time pass and run what falls due on the way. Not for code on the loop, which sleeps."""
        target = self.now + nanoseconds(seconds.total_seconds() if isinstance(seconds, timedelta) else seconds)
        with self._run_state():
            self._run(target)
            self._move(target)

    def run_until_idle(self) -> None:
        """Run until nothing is ready; time stands still and timers stay."""
        with self._run_state():
            self._run(self.now)

    def stop(self) -> None:
        """Let `run_forever` return after what is ready now has run."""
        self._stopping = True

    @contextmanager
    def _run_state(self) -> Iterator[None]:
        self._check_open()
        if self._running:
            raise RuntimeError("this loop is running; code on it awaits, it does not run the loop")
        if asyncio._get_running_loop() is not None:  # noqa: SLF001
            raise RuntimeError("another event loop runs in this thread; use the virtual loop from sync code")
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=self._asyncgen_begins, finalizer=self._asyncgen_dropped)
        asyncio._set_running_loop(self)  # noqa: SLF001
        self._running, self._owner = True, threading.get_ident()
        try:
            with garbage.held(), on_the_loop(self):
                yield
        finally:
            self._running = False
            asyncio._set_running_loop(None)  # noqa: SLF001
            sys.set_asyncgen_hooks(*hooks)

    @contextmanager
    def lent_to(self, thread: int | None) -> Iterator[None]:
        """Let a thread that the loop waits for schedule callbacks while the block runs."""
        owner, self._owner = self._owner, thread or 0
        try:
            yield
        finally:
            self._owner = owner

    def _report_deadlock(self) -> NoReturn:
        tasks = sorted(asyncio.all_tasks(self), key=hash)
        waiting = f"these wait:\n{describe_tasks(tasks)}" if tasks else "what is waited for is not done"
        text = f"nothing is ready at {self.now / SECOND} s and no timer is left, but {waiting}"
        if self.explain is not None:
            text += f"\n{self.explain()}"
        raise Deadlock(text + describe_threads())

    # -- tasks and futures

    def next_number(self) -> int:
        """Return the number of the next task or future that is hashed."""
        self._numbers += 1
        return self._numbers

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future; those that asyncio keeps to itself are the plain ones, which are faster to await."""
        frame = sys._getframe(1)  # noqa: SLF001 - the cheapest way to know, and the same in every run
        if frame.f_globals["__name__"] in _ASYNCIO or frame.f_code is _SLEEP:
            return asyncio.Future(loop=self)
        return Future(loop=self)

    def create_task(
        self,
        coro: Generator[Any, None, T] | Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
        eager_start: bool | None = None,
    ) -> asyncio.Task[T]:
        """Start a task; its first step is taken when the loop comes to it.

        Raises:
            RuntimeError: the loop is closed, or `eager_start` is true.
        """
        self._check_open()
        if eager_start:
            raise RuntimeError(_NO_EAGER)
        task = Task(coro, loop=self, name=name or f"Task-{self._numbers + 1}", context=context)
        if self._domains:
            domain = current_domain() if context is None else context.get(CURRENT)
            if domain is not None:
                domain.adopt(task)
        return task

    def set_task_factory(self, factory: Any) -> None:
        """Refuse every factory but None.

        Raises:
            RuntimeError: tasks that another factory makes are hashed by address, and eager ones run out of order.
        """
        if factory is not None:
            raise RuntimeError(_NO_EAGER)

    def get_task_factory(self) -> None:
        """Return None."""

    # -- executors

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:  # noqa: ARG002 - one for all
        """Call a function on the loop's own thread at a point that the tape draws, and return a future of its result."""
        self._check_open()
        future = self.create_future()
        self.call_drawn("executor", call_into, self, future, partial(bare_context().run, func, *args))
        return future

    def call_drawn(self, label: str, callback: Callable[..., object], *args: Any, delays: Sequence[int] = DELAYS) -> None:
        """Schedule a callback at a point that the tape draws: with the next step, or one of `delays` (nanoseconds) from now."""
        delay = delays[self.tape.draw(label, len(delays), likely=self.likely)] if self.tape is not None else 0
        if delay:
            self.call_at_ns(self.now + delay, callback, *args)
        else:
            self.call_soon(callback, *args)

    def set_default_executor(self, executor: Any) -> None:
        """Do nothing: no executor is used."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Do nothing: no executor is used."""

    # -- what goes wrong

    def get_exception_handler(self) -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None:
        """Return the exception handler, or None for the default one."""
        return self._handler

    def set_exception_handler(self, handler: Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object] | None) -> None:
        """Set the exception handler; None for the default one."""
        self._handler = handler

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Log it."""
        details = "".join(f"\n{key}: {value!r}" for key, value in sorted(context.items()) if key not in {"message", "exception"})
        logger.error(
            "%s%s", context.get("message") or "Unhandled exception in event loop", details, exc_info=context.get("exception")
        )

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Remember what went wrong in `unhandled` and tell the exception handler, in the context where it went wrong."""
        origin = context.get("task") or context.get("future") or context.get("handle")
        domain = getattr(origin, "domain", None)
        if domain is not None and domain.state == "dead":
            return  # nobody is left who could have asked for the result
        self.unhandled.append(context)
        if self._handler is None:
            self.default_exception_handler(context)
            return
        get_context: Callable[[], Context] | None = getattr(origin, "get_context", None)  # since Python 3.12
        run = get_context().run if get_context is not None else _call
        try:
            run(self._handler, self, context)
        except Exception as error:  # noqa: BLE001 - as asyncio does
            self.default_exception_handler(
                {"message": "Unhandled error in exception handler", "exception": error, "context": context}
            )

    def get_debug(self) -> bool:
        """Return whether debug mode is on."""
        return self._debug

    def set_debug(self, enabled: bool) -> None:
        """Switch debug mode, which keeps tracebacks of where tasks and futures were made."""
        self._debug = enabled

    # -- async generators

    def _asyncgen_begins(self, agen: Any) -> None:
        self._asyncgens[id(agen)] = (weakref.ref(agen), current_domain())

    def _asyncgen_dropped(self, agen: Any) -> None:
        _, domain = self._asyncgens.pop(id(agen), (None, None))
        if domain is not None and domain.state == "dead":
            domain.bury(agen)
        elif not self._closed:
            self.call_soon(self._close_asyncgen, agen, context=domain.context() if domain is not None else None)

    def _close_asyncgen(self, agen: Any) -> None:
        self.create_task(agen.aclose())

    async def shutdown_asyncgens(self) -> None:
        """Close the async generators that are left, in the order in which they began."""
        begun = list(self._asyncgens.items())
        left = [agen for _, (ref, domain) in begun if _lives(domain) and (agen := ref()) is not None]
        for agen in left:
            del self._asyncgens[id(agen)]
        for agen, result in zip(left, await asyncio.gather(*(a.aclose() for a in left), return_exceptions=True), strict=True):
            if isinstance(result, Exception):
                message = f"an error occurred during closing of asynchronous generator {agen!r}"
                self.call_exception_handler({"message": message, "exception": result, "asyncgen": agen})

    # -- the end

    def is_running(self) -> bool:
        """Return whether the loop is running."""
        return self._running

    def is_closed(self) -> bool:
        """Return whether the loop is closed."""
        return self._closed

    def at_close(self, callback: Callable[[], object]) -> None:
        """Have something called when the loop is closed."""
        self._closers.append(callback)

    def close(self) -> None:
        """Drop what is scheduled, and let go of killed domains: their coroutines are closed, whatever they raise."""
        if self._running:
            raise RuntimeError("Cannot close a running event loop")
        if self._closed:
            return
        for callback in self._closers:
            callback()
        self._close_domains()
        self._closed = True
        self._ready = _Closed()
        self._heap.clear()
        plain_sets()

    def _close_domains(self) -> None:
        """Close what was left of dead domains, on a loop that still takes what they schedule but runs none of it."""
        dead = [domain for domain in self._domains if domain.state == "dead"]
        if not dead:
            return
        running = asyncio._get_running_loop()  # noqa: SLF001
        asyncio._set_running_loop(self)  # noqa: SLF001
        try:
            with unheard():
                for domain in dead:
                    domain.close()
        finally:
            asyncio._set_running_loop(running)  # noqa: SLF001

    def __del__(self) -> None:
        if not self._closed and not sys.is_finalizing():
            try:
                warnings.warn(f"unclosed event loop {self!r}", ResourceWarning, source=self, stacklevel=2)
            finally:
                self.close()


class _Closed(deque[Any]):
    """What a closed loop has ready: nothing, ever."""

    def append(self, _: Any) -> NoReturn:
        raise RuntimeError("Event loop is closed")


def _lives(domain: Domain | None) -> bool:
    return domain is None or domain.state != "dead"


def _call(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)
