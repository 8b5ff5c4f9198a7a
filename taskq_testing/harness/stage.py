"""An app on a virtual loop for the time of a test: bound to it, run on it, and put back as it was. No assertions here."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import inspect
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from taskq.app import App
from taskq.backends.memory import Held
from taskq.errors import DecodeError
from taskq.hooks.base import Hooks
from taskq.message import Message
from taskq.runtime.portal import Portal
from taskq.wire import envelope
from taskq_testing.harness.assertions import Pending, duration
from taskq_testing.harness.crew import FOREVER, TEST, WORKER, Crew, Gate, GatedBroker
from taskq_testing.harness.diary import Call, Diary, first_error
from taskq_testing.harness.inline import StageClock, no_running_loop
from taskq_testing.harness.runs import RunLog
from taskq_testing.loop import VirtualLoop
from taskq_testing.loop.stuck import describe_tasks
from taskq_testing.loop.wall import Tool, wall_clock
from taskq_testing.outcome import Outcome
from taskq_testing.simulator.broker import at_once
from taskq_testing.tape import Draw

__all__ = ["Stage", "Stuck"]

T = TypeVar("T")

PATIENCE = 86400.0
"""Virtual seconds in which a run has to begin or end while somebody waits for it."""

MOST_MESSAGES = 100_000
"""How many messages one call may process before it is taken for endless."""

_STEPS = 10_000_000
_STOP = 3600.0


def _do_nothing() -> None:
    """Stand in until somebody wants to know."""


class Stuck(AssertionError):  # noqa: N818 - named for what it reports
    """What a test waits for does not come; the text says what runs, and what waits."""


class _VirtualPortal(Portal):
    """The way from sync code to coroutines while an app is on stage."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the virtual loop."""
        return self._stage.run(coroutine, working=False)

    @property
    def inside(self) -> bool:
        """Whether the loop runs."""
        return self._stage.loop.is_running()

    def close(self) -> None:
        """Do nothing: the loop is closed by whoever made it."""


class Stage:
    """One app, one virtual loop, one broker in memory.

    Args:
        app: what is tested; it may have any backend, which is left alone.
        wall: what lets `time.time` and `datetime.now` follow virtual time, see `wall_clock`.
        threads: where sync handlers run: "inline", on the test's thread, or "turns", in threads that take turns.
        start: unix seconds at which virtual time begins; None means now.

    Attributes:
        on_enqueue: called after each enqueue that does not come from a handler.
        diary: what is written down of the test, while somebody wants to know.
    """

    def __init__(self, app: App, *, wall: Tool = "auto", threads: str = "inline", start: float | None = None) -> None:
        self.app = app
        self.loop = VirtualLoop()
        self.loop.step_limit = _STEPS
        epoch = time.time() if start is None else start
        self.clock = StageClock(self.loop, "test", epoch=epoch)
        self.clock.in_turns = threads == "turns"
        self.gate = Gate()
        self.gate.on_change = self._look
        self.broker = GatedBroker(self.clock, self.gate)
        self.log = RunLog(self.clock.monotonic, self.decode)
        self.domain = self.loop.domain(TEST)
        self.crew = Crew(app, self.loop.domain(WORKER), self.broker)
        self.diary: Diary | None = None
        self._wall: Tool = wall
        self._lock = threading.RLock()
        self._bound = contextlib.ExitStack()
        self.on_enqueue: Callable[[], None] = _do_nothing

    # -- binding

    def bind(self) -> None:
        """Put the app on the stage.

        Raises:
            TaskqError: one of the app's consumers runs.
        """
        app = self.app
        before = (app.hooks, app.portal, app.closed)
        with contextlib.ExitStack() as stack:
            stack.enter_context(app.rebound(self.broker, self.clock))
            stack.callback(_restore, app, *before)
            app.hooks, app.portal = Hooks((*app.hooks.listed, self.log)), _VirtualPortal(self)
            stack.enter_context(wall_clock(self.clock, tool=self._wall))
            self._bound = stack.pop_all()

    def unbind(self) -> None:
        """Put the app back as it was."""
        self._bound.close()

    def close(self) -> list[str]:
        """End everything, put the app back, and return a line for each thing that was left over."""
        left = self.log.running()
        try:
            with self._driving():
                left += self._end_consumers()
                left += self._end_tasks()
            left += [f"unhandled: {context.get('message')}: {context.get('exception')!r}" for context in self.loop.unhandled]
        finally:
            self.unbind()
            self.domain.kill()
            self.crew.kill()
            self.loop.close()
        return left

    def _end_consumers(self) -> list[str]:
        stopping = self.domain.create_task(self.crew.stop())
        self.loop.run_until_idle()
        if not stopping.done():
            self.loop.advance(_STOP)
        return [] if stopping.done() else ["a handler does not end though it is cancelled"]

    def _end_tasks(self) -> list[str]:
        tasks = [task for task in asyncio.all_tasks(self.loop) if not task.done()]
        lines = describe_tasks(tasks).splitlines()
        for task in tasks:
            task.cancel()
        self.loop.run_until_idle()
        return [f"a task was left running: {line.strip()}" for line in lines]

    # -- running

    def _is_inside(self) -> bool:
        """Whether the caller is a handler, or something else that the loop runs."""
        return self.loop.is_running() and threading.get_ident() == self.loop._owner  # noqa: SLF001 - whose turn it is

    @contextlib.contextmanager
    def _driving(self) -> Iterator[None]:
        """Let the calling thread run the loop, whether or not another loop runs in it."""
        if self._is_inside():
            raise RuntimeError("a handler runs now; what moves time or runs messages is for the test, not for handlers")
        with self._lock, no_running_loop():
            yield

    def run(self, coroutine: Coroutine[Any, Any, T], *, working: bool) -> T:
        """Run a coroutine on the virtual loop and return its result; workers take nothing meanwhile unless `working`."""
        with self._driving(), self._noted(working=working), self._opened(working=working):
            return self.loop.run_until_complete(self.domain.create_task(coroutine))

    def work(self, until: float, *, left: float = FOREVER, only: set[bytes] | None = None) -> None:
        """Process what is ready, and what becomes due until then (in the loop's seconds), until nothing runs.

        Args:
            until: when to stop waiting for what is delayed; time moves no further than to the last that is due.
            left: how many messages may be taken.
            only: their ids; None means all.

        Raises:
            Stuck: it does not end.
        """
        if self.diary is not None:
            self.diary.worked(until, left, only)
        with self._driving(), self._opened(left, only):
            self.loop.run_until_complete(self.domain.create_task(self._patiently(self.crew.quiet(until))))

    def pass_time(self, seconds: float, *, working: bool, meanwhile: Sequence[Call] = ()) -> None:
        """Let time pass, with workers that process what becomes due, or without; call queues meanwhile.

        Raises:
            Stuck: the messages have no end.
        """
        for call in meanwhile:
            self.loop.call_later(call.after, call.again, self, context=self.domain.context())
        with self._driving(), self._noted(working=working), self._opened(working=working):
            self.loop.advance(seconds)

    def ask(self, call: Call) -> None:
        """Have a queue do what a test had one do before."""
        done = getattr(self.broker.backends[call.queue], call.what)(*call.args)
        if inspect.iscoroutine(done):
            at_once(done)

    # -- being written down

    def write_diary(self) -> Diary:
        """Write down from now on what the test does and what happens."""
        self.diary = Diary(self.app, self.broker, self.crew, {})
        return self.diary

    def close_diary(self) -> None:
        """Write nothing more."""
        if self.diary is not None:
            self.diary.close()
        self.diary = None

    def _noted(self, *, working: bool) -> contextlib.AbstractContextManager[None]:
        return self.diary.passing(working=working) if self.diary is not None else contextlib.nullcontext()

    def again(self, diary: Diary, entries: Mapping[Draw, int]) -> Outcome:
        """Do again what a diary says the test did, on a stage of its own, and return what comes of it."""
        self.unbind()
        try:
            other = Stage(self.app, wall=self._wall, threads="turns" if self.clock.in_turns else "inline", start=self.clock.epoch)
            try:
                other.bind()
                return other.replayed(diary, entries)
            finally:
                other.close()
        finally:
            self.bind()

    def replayed(self, diary: Diary, entries: Mapping[Draw, int]) -> Outcome:
        """Do here, where nothing was done yet, what a diary says, and return what comes of it."""
        self.loop.advance(diary.begun)
        mine = self.diary = Diary(self.app, self.broker, self.crew, entries, diary.tasks)
        error: BaseException | None = None
        try:
            for deed in list(diary.deeds):
                deed.again(self)
        except Stuck as stuck:
            error = stuck
        return mine.outcome(error or first_error(self.log.performances))

    @contextlib.contextmanager
    def _opened(self, left: float = FOREVER, only: set[bytes] | None = None, *, working: bool = True) -> Iterator[None]:
        self.gate.open(min(left, MOST_MESSAGES), only)
        self.crew.works = working
        self.crew.look()
        try:
            yield
            self.crew.raise_errors()
            if self.gate.left <= 0 and left > MOST_MESSAGES:
                busiest = collections.Counter(performance.task for performance in self.log.performances).most_common(3)
                raise Stuck(
                    f"{MOST_MESSAGES} messages were processed in one call and there are more; does a task enqueue itself? "
                    f"Most often ran: {', '.join(f'{task} ({count})' for task, count in busiest)}"
                )
        finally:
            self.crew.works = False
            self.gate.open()

    async def _patiently(self, coroutine: Coroutine[Any, Any, None]) -> None:
        waiting = asyncio.create_task(coroutine)
        while not waiting.done():
            moves = self.log.moves + self.crew.rounds
            await asyncio.wait({waiting}, timeout=PATIENCE)
            if not waiting.done() and self.crew.busy and self.log.moves + self.crew.rounds == moves:
                waiting.cancel()
                raise Stuck(self._why_stuck())
        await waiting

    def _why_stuck(self) -> str:
        running = self.log.running() or ["nothing runs: a queue is paused, or its limits let nothing start"]
        return "\n  ".join([f"no run began or ended for {duration(PATIENCE)} of virtual time:", *running, *self.crew.busy])

    def _look(self) -> None:
        """Notice that a message was added or given back."""
        if self._is_inside():
            self.crew.look()
        elif not self.loop.is_running():
            self.on_enqueue()

    # -- looking

    def decode(self, queue: str, message: Message) -> tuple[Any, ...]:
        """Return a message's arguments as its handler gets them; plain values where no handler is known or they do not fit."""
        task = self.app.queues[queue].tasks.find(message.task) if queue in self.app.queues else None
        with contextlib.suppress(DecodeError):
            if task is not None and task.binder.form == "args":
                return task.binder.decode(message.args_bytes)
        with contextlib.suppress(DecodeError):
            return message.args
        return ()

    def pending(self) -> list[Pending]:
        """Return everything that is in the app's queues."""
        return [
            self._pending(name, held, self.broker.clock.monotonic())
            for name, backend in self.broker.backends.items()
            for held in backend.messages()
        ]

    def _pending(self, queue: str, held: Held, now: float) -> Pending:
        try:
            message = envelope.decode(held.body)
        except DecodeError:
            message = Message(task="(unreadable)")
        added = self.log.enqueued.get(held.id)
        dedup = added.dedup if added is not None else None
        once = None if dedup is None else dedup.period or (True if dedup.delayed else None)
        return Pending(
            task=message.task,
            queue=queue,
            args=self.decode(queue, message),
            delay=held.at - now if held.state == "delayed" else 0.0,
            attempt=max(1, message.attempt),
            name=dedup.name if dedup is not None else None,
            once=once,
            state=held.state,
            id=held.id,
            headers=message.headers or {},
            reason=held.reason,
        )


def _restore(app: App, hooks: Hooks, portal: Portal, closed: bool) -> None:
    app.hooks, app.portal, app.closed = hooks, portal, closed
