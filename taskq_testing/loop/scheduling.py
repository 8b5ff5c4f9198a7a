"""The order of things in a virtual loop: what is ready, what is due, whose step is next, and when time moves."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from heapq import heapify, heappop, heappush
from typing import Any, TypeVarTuple

from taskq_testing.loop import garbage
from taskq_testing.loop.blocking import may_block
from taskq_testing.loop.domain import CURRENT, Domain
from taskq_testing.loop.handles import NEVER, SECOND, Handle, Timer, nanoseconds
from taskq_testing.loop.real_io import NoRealIO, RealIO
from taskq_testing.loop.stuck import SHOWN, Deadlock, Livelock, describe_callback
from taskq_testing.tape import Tape

__all__ = ["Scheduler"]

Ts = TypeVarTuple("Ts")
ENDING = (SystemExit, KeyboardInterrupt, Deadlock)
COLLECT_EVERY = 50_000
_new = object.__new__  # a call of the class, and what it calls, would cost every step
_WAKE = asyncio.futures._set_result_unless_cancelled  # type: ignore[attr-defined]  # noqa: SLF001 - what `asyncio.sleep` waits by


def _boring(label: str, n: int, key: str = "", likely: float = 1.0) -> int:  # noqa: ARG001 - as a tape's draw
    return 0


class Scheduler(NoRealIO):
    """The part of `VirtualLoop` that schedules; see there for its arguments and attributes."""

    def __init__(self, tape: Tape | None, likely: float) -> None:
        self.now = 0
        self.tape = tape
        self.likely = likely
        self._draw = _boring
        if tape is not None:
            self._draw, tape.ready = tape.draw, self._ready_names
        self.step_limit = 1_000_000
        self.on_advance: Callable[[int], None] | None = None
        self._ready: deque[Any] = deque()
        self._heap: list[tuple[int, int, Timer]] = []
        self._seq = 0
        self._cancelled = 0
        self._left = COLLECT_EVERY  # steps until the next pause
        self._paused_at = -1
        self._still = 0  # steps since time moved, as far as pauses can tell
        self._collections = 0
        self._stopping = self._closed = False
        self._owner = threading.get_ident()
        self.context = copy_context()  # what every domain begins with
        self._root = Domain(self, "")
        self._domains: list[Domain] = []
        self._busy = 0  # domains with something ready

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("Event loop is closed")

    # -- time

    def time(self) -> float:
        """Return seconds of virtual time since the loop was made."""
        return self.now / SECOND

    def next_timer(self) -> int | None:
        """Return when the earliest timer is due, in nanoseconds since the loop was made; None if none ever is."""
        heap = self._heap
        while heap and heap[0][2]._callback is None:  # noqa: SLF001 - a handle's fields are this loop's
            heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap and heap[0][0] < NEVER else None

    def _move(self, when: int) -> None:
        if when > self.now:
            self.now = when
            if self.on_advance is not None:
                self.on_advance(when)

    # -- scheduling

    def call_soon(self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> Handle:
        """Schedule a callback for the next step."""
        if context is None:
            context = copy_context()
        handle = _new(Handle)
        handle._callback, handle._args, handle._context = callback, args, context  # noqa: SLF001 - its only maker
        if self._domains:
            domain = context.get(CURRENT)
            if domain is None or domain.loop is not self:
                domain = self._root
            if domain.state != "running":
                domain.keep(handle)
                return handle
            handle.domain = domain
            if not domain.ready:
                self._busy += 1
            domain.ready += 1
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> Handle:
        """Schedule a callback; from the loop's own thread and from those that it schedules only."""
        if threading.get_ident() != self._owner:
            raise RealIO(
                "call_soon_threadsafe() came from a thread that the virtual loop does not schedule; start that work by "
                "asyncio.to_thread() or loop.run_in_executor(), or run this test on a real loop."
            )
        if may_block() and getattr(callback, "__qualname__", "") == "run_coroutine_threadsafe.<locals>.callback":
            raise RealIO(
                "asyncio.run_coroutine_threadsafe() would wait for ever here, for the virtual loop waits for this thread; "
                "await the coroutine in an async handler, or call sync code here."
            )
        return self.call_soon(callback, *args, context=context)

    def call_later(self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> Timer:
        """Schedule a callback `delay` seconds from now, never earlier; an infinite delay never comes."""
        return self._timer(self.now + nanoseconds(delay), callback, args, context)

    def call_at(self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> Timer:
        """Schedule a callback for when `time()` is at least `when` seconds; infinity never comes."""
        return self._timer(nanoseconds(when), callback, args, context)

    def call_at_ns(self, when: int, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> Timer:
        """Schedule a callback for `when` nanoseconds since the loop was made."""
        return self._timer(when, callback, args, context)

    def _timer(self, when: int, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None) -> Timer:
        if self._closed:
            self._check_open()
        timer = _new(Timer)
        timer.due, timer._callback, timer._args = when, callback, args  # noqa: SLF001 - its only maker
        timer._context = context if context is not None else copy_context()  # noqa: SLF001
        timer._loop = self  # noqa: SLF001
        self._seq = seq = self._seq + 1
        heappush(self._heap, (when, seq, timer))
        return timer

    def timer_cancelled(self) -> None:
        """Note that a timer in the heap was cancelled; drop all such when they are the greater part."""
        self._cancelled += 1
        if self._cancelled > 64 and self._cancelled * 2 > len(self._heap):
            self._heap[:] = [entry for entry in self._heap if not entry[2].cancelled()]
            heapify(self._heap)
            self._cancelled = 0

    def _collect_due(self) -> None:
        """Make ready what is due, first come first served; across domains the next turn chooses."""
        heap, now = self._heap, self.now
        while heap and heap[0][0] <= now:
            timer = heappop(heap)[2]
            timer._loop = None  # noqa: SLF001
            callback = timer._callback  # noqa: SLF001
            if callback is None:
                self._cancelled -= 1
            elif callback is _WAKE and self.domain_of(timer).state == "running":
                callback(*timer._args)  # noqa: SLF001 - no step of the program's: whoever sleeps becomes ready, and is chosen
            elif self._domains:
                self._place(timer)
            else:
                self._ready.append(timer)

    # -- running

    def _run(self, horizon: int) -> None:
        """Run until stopped, or until nothing is ready and no timer is due by the horizon (in nanoseconds)."""
        heap = self._heap
        self._left = min(self._left, self._interval())
        while True:
            if self._domains:
                self._turn()
            else:
                self._turn_alone()
            if heap and heap[0][0] <= self.now:
                self._collect_due()
            if self._stopping:
                return
            if not self._ready:
                when = self.next_timer()
                if when is None or when > horizon:
                    return
                self._move(when)
                self._collect_due()
            elif self._left < 0:
                self._pause()

    def _turn_alone(self) -> None:
        """Run what is ready, where there is no domain; when one is made meanwhile, it takes the rest over."""
        ready = self._ready
        count = len(ready)
        self._left -= count
        while count and ready:
            count -= 1
            handle = ready.popleft()
            callback = handle._callback  # noqa: SLF001 - a handle's fields are this loop's
            if callback is not None:
                try:
                    handle._context.run(callback, *handle._args)  # noqa: SLF001
                except ENDING:
                    raise
                except BaseException as error:  # noqa: BLE001 - whatever a callback raises is reported
                    self._failed(handle, error)

    def _turn(self) -> None:
        """Run as many callbacks as are ready, each of the domain that the tape chooses."""
        ready, draw, likely = self._ready, self._draw, self.likely
        count = len(ready)
        self._left -= count
        for _ in range(count):
            if self._busy > 1 and (choice := draw("schedule", self._busy, ready[0].domain.name, likely)):
                handle = self._take(choice)
            elif ready:
                handle = ready.popleft()
            else:
                return  # its domain was suspended or killed meanwhile
            domain = handle.domain
            domain.ready -= 1
            if not domain.ready:
                self._busy -= 1
            callback = handle._callback  # noqa: SLF001
            if callback is not None:
                try:
                    handle._context.run(callback, *handle._args)  # noqa: SLF001
                except ENDING:
                    raise
                except BaseException as error:  # noqa: BLE001
                    self._failed(handle, error)

    def _ready_names(self) -> list[str]:
        """Return the names of the domains that have something ready, in the order in which choices number them."""
        return [domain.name for domain in dict.fromkeys([handle.domain for handle in self._ready])]

    def _take(self, choice: int) -> Any:
        """Take the oldest callback of the domain whose oldest callback comes after those of `choice` others."""
        seen: list[Domain] = []
        for index, handle in enumerate(self._ready):
            if handle.domain not in seen:
                if len(seen) == choice:
                    del self._ready[index]
                    return handle
                seen.append(handle.domain)
        raise AssertionError("fewer domains are ready than were counted")

    def _failed(self, handle: Any, error: BaseException) -> None:
        self.call_exception_handler({"message": f"Exception in callback {handle!r}", "exception": error, "handle": handle})

    def _pause(self) -> None:
        """Every so many steps: collect garbage where runs that repeat do it too, and see whether time moves at all."""
        interval = self._interval()
        self._still = self._still + interval if self.now == self._paused_at else 0
        self._paused_at, self._left = self.now, interval
        if self._still >= self.step_limit:
            spinning = dict.fromkeys(describe_callback(handle._callback) for handle in self._ready)  # noqa: SLF001
            raise Livelock(
                f"more than {self.step_limit} callbacks ran at {self.now / SECOND} s without time moving; let what spins sleep "
                "for longer than 0 seconds. Ready now:\n" + "\n".join(f"  {name}" for name in list(spinning)[:SHOWN])
            )
        if garbage.held_here:  # as the virtual loop does, unless the collector is switched off by the program itself
            self._collections += 1
            gc.collect(2 if self._collections % 20 == 0 else 1)

    def _interval(self) -> int:
        return min(COLLECT_EVERY, self.step_limit)

    # -- domains

    def domain(self, name: str) -> Domain:
        """Make a new simulated process."""
        if not self._domains:
            alone, self._ready = self._ready, deque()
            for handle in alone:
                self.enqueue(handle, self._root)
            alone.clear()
        domain = Domain(self, name)
        self._domains.append(domain)
        return domain

    def domain_of(self, handle: Any) -> Domain:
        """Return the domain whose code scheduled a callback."""
        domain: Domain | None = handle._context.get(CURRENT)  # noqa: SLF001
        return domain if domain is not None and domain.loop is self else self._root

    def _place(self, handle: Any) -> None:
        """Make a timer's callback ready, or have its domain keep it; `enqueue` once more, for each call costs every step."""
        domain = handle._context.get(CURRENT)  # noqa: SLF001
        if domain is None or domain.loop is not self:
            domain = self._root
        if domain.state != "running":
            domain.keep(handle)
            return
        handle.domain = domain
        if not domain.ready:
            self._busy += 1
        domain.ready += 1
        self._ready.append(handle)

    def enqueue(self, handle: Any, domain: Domain) -> None:
        """Make a callback of a domain ready."""
        handle.domain = domain
        if not domain.ready:
            self._busy += 1
        domain.ready += 1
        self._ready.append(handle)

    def take_ready(self, domain: Domain) -> list[Any]:
        """Take what is ready of a domain out of the loop."""
        taken = [handle for handle in self._ready if handle.domain is domain]
        if taken:
            kept = [handle for handle in self._ready if handle.domain is not domain]
            self._ready.clear()
            self._ready.extend(kept)
            domain.ready = 0
            self._busy -= 1
        return taken

    def take_timers(self, domain: Domain) -> list[Timer]:
        """Take the timers of a domain out of the loop, in the order in which they would have run."""
        taken = [entry for entry in sorted(self._heap) if self.domain_of(entry[2]) is domain]
        if taken:
            gone = {seq for _, seq, _ in taken}
            self._heap[:] = [entry for entry in self._heap if entry[1] not in gone]
            heapify(self._heap)
        live = [timer for _, _, timer in taken if timer.leave_heap()]
        self._cancelled -= len(taken) - len(live)
        return live
