"""The object behind the `taskq_sim` fixture: an app in virtual time, what was enqueued there, and what came of it."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, get_args

import msgspec

from taskq.app import App
from taskq.core.retry import Fallback
from taskq.message import Message
from taskq.task import Task
from taskq_testing.debug import Journey
from taskq_testing.explore.replay import NotReproducible, difference
from taskq_testing.harness.crew import FOREVER
from taskq_testing.harness.diary import Diary
from taskq_testing.harness.performing import Performed, perform
from taskq_testing.harness.probes import Signal
from taskq_testing.harness.runs import raise_first
from taskq_testing.harness.stage import Stage
from taskq_testing.harness.witness import Witness
from taskq_testing.loop.wall import Tool
from taskq_testing.outcome import Outcome
from taskq_testing.tape import Draw

__all__ = ["Drained", "Harness"]

T = TypeVar("T")

MODES = ("manual", "inline", "off")
THREADS = ("inline", "turns")


class Drained(msgspec.Struct, frozen=True, kw_only=True):
    """What one call processed.

    Attributes:
        processed: runs that ended well.
        retried: runs that failed and will be tried again.
        failed: runs that failed for good.
        fallbacks: how many of those had a fallback, which ran.
        dead: messages that were put aside, with or without a run.
    """

    processed: int = 0
    retried: int = 0
    failed: int = 0
    fallbacks: int = 0
    dead: int = 0


class Harness(Witness):
    """One app for the time of one test: in memory, in virtual time, whatever its backend is. A context manager.

    Messages wait until the test processes them, with `drain`, `advance` or `run_until_idle`; handlers run as a consumer runs
    them, and what they raise is raised there. All methods are sync and may be called from async tests too: whatever loop
    runs there stands still meanwhile, and handlers run on the virtual one.

    Args:
        app: what is tested.
        mode: "manual", "inline" (each message runs inside the `enqueue` that adds it) or "off" (the app's own backend).
        wall: what lets `time.time` and `datetime.now` follow virtual time: "time_machine", "freezegun", "auto" (what is
            installed of them) or "off".
        threads: where sync handlers run: "inline", on the test's thread, where they see its transactions, or "turns", in
            threads that take turns, where two that sleep do so at the same time.
        start: the aware moment at which virtual time begins; None means now.
    """

    def __init__(
        self, app: App, *, mode: str = "manual", wall: Tool = "auto", threads: str = "inline", start: datetime | None = None
    ) -> None:
        for name, value, known in (("mode", mode, MODES), ("threads", threads, THREADS), ("wall", wall, get_args(Tool))):
            if value not in known:
                raise ValueError(f"{name}={value!r} is unknown; give one of: {', '.join(known)}")
        if start is not None and start.utcoffset() is None:
            raise ValueError(f"start={start!r} has no time zone; give an aware datetime")
        super().__init__(Stage(app, wall=wall, threads=threads, start=start.timestamp() if start is not None else None))
        self._stage.on_enqueue = self._after_enqueue
        self.app = app
        self._mode = mode
        self._leftovers: list[str] = []

    # -- beginning and end

    def __enter__(self) -> Self:
        if self._mode != "off":
            try:
                self._stage.bind()
            except BaseException:
                self._stage.close()
                raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> list[str]:
        """End everything, put the app back as it was, and return a line for each thing that was left over.

        A message that an assertion has matched, or `all_enqueued` returned, is not left over.
        """
        if not self._stage.loop.is_closed():
            waiting = [message for message in self._stage.pending() if message.state in ("ready", "delayed")]
            self._leftovers = [str(message) for message in waiting if message.id not in self._seen]
            self._leftovers += self._stage.close()
        return self._leftovers

    # -- modes

    def manual(self) -> contextlib.AbstractContextManager[Self]:
        """Let messages wait until the test processes them, inside the block."""
        return self._in_mode("manual")

    def inline(self) -> contextlib.AbstractContextManager[Self]:
        """Run each message inside the `enqueue` that adds it, inside the block; what its handler raises is raised there.

        What is delayed, or tried again later, waits.
        """
        return self._in_mode("inline")

    def off(self) -> contextlib.AbstractContextManager[Self]:
        """Leave the app alone inside the block: its own backend, real time, nothing seen here."""
        return self._in_mode("off")

    @contextlib.contextmanager
    def _in_mode(self, mode: str) -> Iterator[Self]:
        before = self._mode
        self._switch(mode)
        try:
            yield self
        finally:
            self._switch(before)

    def _switch(self, mode: str) -> None:
        before, self._mode = self._mode, mode
        if mode == "off" != before:
            self._stage.unbind()
        elif before == "off" != mode:
            self._stage.bind()

    def _after_enqueue(self) -> None:
        if self._mode == "inline":
            self.drain()

    def _check_on(self) -> None:
        if self._mode == "off":
            raise RuntimeError("the harness is off, so it sees nothing and runs nothing; do this outside of `with sim.off()`")

    # -- looking into it

    @contextlib.contextmanager
    def debug(self) -> Iterator[Journey]:
        """Write down what happens inside the block, and yield a way through it: `step`, `back`, `until`, `why`, `what_if`.

        Going through it changes nothing. `what_if` does again what the test did in the block, on queues of its own, with one
        thing being otherwise; the handlers run again, with all that they do.

        Raises:
            RuntimeError: messages were enqueued before, of which nothing would be known.
        """
        self._check_on()
        stage = self._stage
        if stage.diary is not None:  # written down already, as in all tests under `pytest --taskq-debug`
            yield self._journey(stage.diary)
            return
        if stage.log.enqueued or stage.log.performances:
            raise RuntimeError("messages were enqueued before; begin `with sim.debug()` before the first, to know all of it")
        diary = stage.write_diary()
        try:
            yield self._journey(diary)
        finally:
            stage.close_diary()

    def _journey(self, diary: Diary) -> Journey:
        return Journey(diary.history, diary.faults.tape.choices, partial(self._again, diary))

    def _again(self, diary: Diary, entries: Mapping[Draw, int]) -> Outcome:
        self._check_on()
        where = difference(diary.history, self._stage.again(diary, {}).history)
        if where:
            raise NotReproducible(
                f"what the test did comes out otherwise when it is done again: {where}; what handlers find beside their "
                "messages, a database or a patched function for instance, is as the test has left it"
            )
        return self._stage.again(diary, entries)

    # -- time

    @property
    def now(self) -> datetime:
        """The virtual time of day, in UTC."""
        return datetime.fromtimestamp(self._stage.clock.now(), UTC)

    @property
    def elapsed(self) -> float:
        """Virtual seconds since the test began."""
        return self._stage.loop.time()

    def advance(
        self,
        seconds: float | timedelta = 0.0,
        *,
        minutes: float = 0.0,
        hours: float = 0.0,
        days: float = 0.0,
        raise_errors: bool = True,
    ) -> Drained:
        """Let time pass while workers run what is ready and what becomes due, each message at its moment.

        What still runs at the end goes on with the next call.

        Raises:
            Exception: the first that a handler raised, other than `Retry`, unless `raise_errors` is False.
        """
        __tracebackhide__ = True
        length = _length(seconds, minutes, hours, days)
        return self._process(lambda: self._stage.pass_time(length, working=True), raise_errors=raise_errors)

    def travel(self, seconds: float | timedelta = 0.0, *, minutes: float = 0.0, hours: float = 0.0, days: float = 0.0) -> None:
        """Let time pass while no worker starts anything, as if they were all down."""
        length = _length(seconds, minutes, hours, days)
        self._process(lambda: self._stage.pass_time(length, working=False), raise_errors=True)

    def jump_to_next(self, *, raise_errors: bool = True) -> float:
        """Go to the moment at which the next delayed message is due, process what is due then, and return the seconds.

        Raises:
            AssertionError: no message is delayed.
        """
        __tracebackhide__ = True
        self._check_on()
        due = self._stage.crew.next_due()
        if due == FOREVER:
            raise AssertionError("no message is delayed, so there is nothing to jump to")
        length = max(0.0, due - self.elapsed)
        self.advance(length, raise_errors=raise_errors)
        return length

    # -- processing

    def drain(
        self,
        *,
        limit: int | None = None,
        recursive: bool = True,
        until: float | timedelta | None = None,
        raise_errors: bool = True,
    ) -> Drained:
        """Process what is ready until nothing is; time passes only as handlers and limits need it.

        Args:
            limit: at most so many messages, attempts counted one by one.
            recursive: whether what is enqueued meanwhile is processed too.
            until: also what becomes due within so many seconds (or a timedelta); time moves to the last of them.
            raise_errors: whether to raise the first exception of a handler, other than `Retry`, when all is done.

        Raises:
            Stuck: it does not end.
        """
        __tracebackhide__ = True
        end = self.elapsed if until is None else self.elapsed + _length(until)
        left = FOREVER if limit is None else limit
        only = None if recursive else {message.id for message in self._stage.pending() if message.delay <= end - self.elapsed}
        return self._process(lambda: self._stage.work(end, left=left, only=only), raise_errors=raise_errors)

    def run_until_idle(self, *, raise_errors: bool = True) -> Drained:
        """Process everything, also what is delayed and what is tried again, until no message is left.

        Raises:
            Stuck: there is no end, because a task enqueues itself for instance.
        """
        __tracebackhide__ = True
        return self._process(lambda: self._stage.work(FOREVER), raise_errors=raise_errors)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of the app on the virtual loop, as an async test would, and return its result."""
        self._check_on()
        result = self._stage.run(coroutine, working=self._mode == "inline")
        self._after_enqueue()
        return result

    def perform(self, task: Task[Any] | str, *args: Any, attempt: int = 1, raise_errors: bool = True, **kwargs: Any) -> Performed:
        """Run one handler alone, with arguments that went through the codec, and decide as a consumer decides.

        Args:
            task: the task, or its name.
            args: its arguments; or one message, whose headers and id are kept.
            attempt: which attempt it is, from 1.
            raise_errors: whether to raise what the handler raises, other than `Retry`.
            kwargs: more arguments.
        """
        __tracebackhide__ = True
        _, found = self._find(task)
        if found is None:
            raise LookupError(f"no task {task!r} is registered on this app; give one of its tasks")
        message = args[0] if args and isinstance(args[0], Message) else found.message(*args, **kwargs)
        message = msgspec.structs.replace(message, attempt=attempt)
        performed = perform(self._stage, self._queue_of(found), found, message)
        raise_first([performed], raise_errors=raise_errors)
        return performed

    def _process(self, work: Callable[[], None], *, raise_errors: bool) -> Drained:
        __tracebackhide__ = True
        self._check_on()
        performances, gate = self._stage.log.performances, self._stage.gate
        before, dead = len(performances), gate.dead
        work()
        done = performances[before:]
        counts = Counter(performance.outcome for performance in done)
        raise_first(done, raise_errors=raise_errors)
        return Drained(
            processed=counts["ok"],
            retried=counts["retried"],
            failed=counts["failed"],
            fallbacks=sum(isinstance(performance.decision, Fallback) for performance in done),
            dead=gate.dead - dead,
        )

    def clear(self) -> int:
        """Drop what waits and return how many messages that were."""
        self._check_on()
        return sum(self._stage.run(backend.purge(), working=False) for backend in self._stage.broker.backends.values())

    def signal(self) -> Signal:
        """Return a signal whose `wait` runs the workers in virtual time until the point is reached."""
        return Signal(lambda waiting: self._stage.run(waiting, working=True))


def _length(seconds: float | timedelta, minutes: float = 0.0, hours: float = 0.0, days: float = 0.0) -> float:
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    length = seconds + 60.0 * minutes + 3600.0 * hours + 86400.0 * days
    if not 0 <= length < FOREVER:
        raise ValueError(f"time cannot move by {length} s; give seconds from 0 up")
    return length
