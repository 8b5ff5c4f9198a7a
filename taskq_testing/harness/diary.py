"""What a test does to its app, and what happens then, written down so that one can step through it and do it again."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from taskq.app import App
from taskq.errors import Retry
from taskq.hooks.base import Hooks
from taskq.runtime.state import Wiring
from taskq_testing.clock import VirtualClock
from taskq_testing.faults import Fault, Undisturbed
from taskq_testing.harness.crew import Crew, GatedBroker
from taskq_testing.harness.runs import Performance
from taskq_testing.harness.whims import WhatIf, Whims
from taskq_testing.history import History
from taskq_testing.outcome import Outcome
from taskq_testing.recording.policy import queue_policy, task_policy
from taskq_testing.simulator.handlers import RecordingHook, instrumented
from taskq_testing.tape import Draw

__all__ = ["Call", "Deed", "Diary", "Passed", "Player", "Worked", "first_error"]


Tasks = tuple[tuple[str, str], ...]
"""Names of queues, and of a task of each."""


class Player(Protocol):
    """Who can do what a test did; a stage."""

    @property
    def clock(self) -> VirtualClock:
        """Its time, and the ids that it gives out."""

    def ask(self, call: Call) -> None:
        """Have a queue do something."""

    def work(self, until: float, *, left: float, only: set[bytes] | None) -> None:
        """Process messages; see `Stage.work`."""

    def pass_time(self, seconds: float, *, working: bool, meanwhile: Sequence[Call] = ()) -> None:
        """Let time pass; see `Stage.pass_time`."""


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a test did.

    Attributes:
        ids: how many ids the test's clock had given out, so that handlers are given the same ones again.
    """

    ids: int

    def again(self, player: Player) -> None:
        """Do it again."""
        player.clock.ids = self.ids


class Call(Deed, frozen=True, kw_only=True):
    """The test, and no handler, called a queue: it added messages, dropped them, or put dead letters back.

    Attributes:
        queue: name of the queue.
        what: name of the backend's method.
        args: its arguments.
        after: seconds since the time began to pass in which it was done.
    """

    queue: str
    what: str
    args: tuple[Any, ...]
    after: float = 0.0

    def again(self, player: Player) -> None:
        """Call it again."""
        super().again(player)
        player.ask(self)


class Worked(Deed, frozen=True, kw_only=True):
    """Messages were processed until nothing was left; see `Stage.work`, `until` is in seconds from then."""

    until: float
    left: float
    only: frozenset[bytes] | None

    def again(self, player: Player) -> None:
        """Process again."""
        super().again(player)
        only = set(self.only) if self.only is not None else None
        player.work(player.clock.monotonic() + self.until, left=self.left, only=only)


class Passed(Deed, frozen=True, kw_only=True):
    """Time passed, with workers or without, and meanwhile the test called queues."""

    seconds: float
    working: bool
    meanwhile: tuple[Call, ...]

    def again(self, player: Player) -> None:
        """Let as much time pass again."""
        super().again(player)
        player.pass_time(self.seconds, working=self.working, meanwhile=self.meanwhile)


class Diary:
    """The history of a test from now on, and the deeds that made it. Implements `simulator.handlers.Recorder`.

    Args:
        app: whose doings are written down.
        broker: its broker in the test, which writes from now on.
        crew: its consumers.
        entries: draws that are not boring.
        tasks: the queues and tasks that the history begins with; None means those that there are.

    Attributes:
        history: what happened.
        tasks: the queues and tasks that it begins with; others are told when their first message comes.
        deeds: what the test did.
        faults: what could have gone otherwise.
        begun: virtual seconds since the test began at which this begins.
    """

    def __init__(
        self, app: App, broker: GatedBroker, crew: Crew, entries: Mapping[Draw, int], tasks: Tasks | None = None
    ) -> None:
        self.history = broker.history = History()
        self.deeds: list[Deed] = []
        self.faults = broker.faults = Whims(entries)
        self.faults.tape.position = self.history.__len__
        self.begun = broker.clock.monotonic()
        self.buffered = crew.buffered
        self._broker = broker
        self._clock = broker.clock
        self._runs = 0
        self._began = 0.0
        self._meanwhile: list[Call] | None = None
        self._app = app
        self._told: set[tuple[str, str]] = set()
        self.tasks = tuple((queue.name, name) for queue in app.queues.values() for name in queue.tasks.names)
        if tasks is not None:
            self.tasks = tasks
        broker.writes, broker.called, broker.introduce, crew.wired = True, self.called, self.introduce, self.observed
        for queue, task in self.tasks:
            self.introduce(queue, task)

    def introduce(self, queue: str, task: str) -> None:
        """Write down the policies of a queue and of a task, unless they are known already."""
        known, found = self._app.queues.get(queue), self._told
        if known is not None and (queue, "") not in found:
            found.add((queue, ""))
            self.record("queue", queue=queue, data=queue_policy(known.options, known.backend.capabilities, 0.0))
        policy = known.tasks.find(task) if known is not None and (queue, task) not in found else None
        if policy is not None:
            found.add((queue, task))
            data = task_policy(policy.options, fallback=policy.fallback_handler is not None)
            self.record("task", queue=queue, task=task, data=data)

    def observed(self, wiring: Wiring) -> Wiring:
        """Return what a consumer is made from, with all that it does written down."""
        hooks = Hooks((*wiring.hooks.listed, RecordingHook(self)))
        return msgspec.structs.replace(wiring, hooks=hooks, registry=instrumented(wiring.registry, wiring.queue, self))

    # -- what the test does

    def called(self, queue: str, what: str, args: tuple[Any, ...]) -> None:
        """Note that the test called a queue."""
        after = self._clock.monotonic() - self._began
        call = Call(ids=self._clock.ids, queue=queue, what=what, args=args, after=after)
        if self._meanwhile is None:
            self.deeds.append(call)
        else:
            self._meanwhile.append(call)

    def worked(self, until: float, left: float, only: set[bytes] | None) -> None:
        """Note that the test had messages processed."""
        chosen = frozenset(only) if only is not None else None
        self.deeds.append(Worked(ids=self._clock.ids, until=until - self._clock.monotonic(), left=left, only=chosen))

    @contextlib.contextmanager
    def passing(self, *, working: bool) -> Iterator[None]:
        """Note that time passes while the block runs, and which calls are made meanwhile."""
        ids, began = self._clock.ids, self._clock.monotonic()
        calls: list[Call] = []
        self._began, self._meanwhile = began, calls
        try:
            yield
        finally:
            self._meanwhile = None
            seconds = self._clock.monotonic() - began
            self.deeds.append(Passed(ids=ids, seconds=seconds, working=working, meanwhile=tuple(calls)))

    def outcome(self, error: BaseException | None) -> Outcome:
        """Return what came of it. Nothing is judged: a test does with its messages what no fleet may do."""
        history, tape = self.history, self.faults.tape
        return Outcome(
            seed=tape.seed,
            entries=tape.entries,
            draws=tape.draws,
            history=history,
            violations=[],
            error=error,
            trace=hashlib.blake2b(msgspec.msgpack.encode(history.events), digest_size=16).hexdigest(),
            virtual=self._clock.monotonic(),
            fired=dict(self.faults.fired),
        )

    def close(self) -> None:
        """Write nothing more."""
        self._broker.writes = False
        self._broker.faults = Undisturbed()

    # -- what handlers and hooks write to

    def record(self, kind: str, **fields: Any) -> None:
        """Write an event of the process that runs now."""
        if self._broker.writes:
            self._broker.write(kind, fields)

    def next_run(self) -> int:
        """Return the number of the run that begins."""
        self._runs += 1
        return self._runs

    def delivery(self, queue: str, receipt: Any) -> tuple[int, int]:
        """Return the number of a receipt in the history, and which copy of its message it is for."""
        return self._broker.backends[queue].delivery(receipt, "")

    def happens(self, fault: Fault, message: str) -> None:
        """Let a whim hit the handler that is about to run.

        Raises:
            WhatIf: it fails.
        """
        self.faults.fired[fault.name] += 1
        fails = fault.name == "handler_error"
        self.record("fault", outcome=fault.name, message=message, delay=-1.0 if fails else fault.seconds)
        if fails:
            raise WhatIf("what if this handler failed?")


def first_error(performances: Sequence[Performance]) -> BaseException | None:
    """Return what the first handler that failed raised; `Retry` is no failure."""
    errors = (performance.error for performance in performances)
    return next((error for error in errors if error is not None and not isinstance(error, Retry)), None)
