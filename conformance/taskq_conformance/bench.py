"""What a scenario is given: queues of its own, processes, time in ticks, and the means to wait for something to happen.

A scenario knows no backend's name. It asks the bench for what is claimed, and counts in ticks.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import taskq
from taskq.backends.base import Clock, Size
from taskq.hooks.base import Hook
from taskq_conformance.capabilities import Capabilities, Max
from taskq_conformance.check import Broken, holds
from taskq_conformance.gate import Gate, GatedBroker
from taskq_conformance.place import Behaviour, Place, Process, Ran
from taskq_conformance.profile import Connect, Profile
from taskq_conformance.scenario import Body

__all__ = ["Bench"]

_LIMIT = {"virtual": 90 * 86400.0, "real": 150.0}
_PATIENCE = {"virtual": 600.0, "real": 60.0}
_STEP = 0.25
_LONG = 15.0
"""Seconds in real time within which a few calls are certainly done."""

_BUSY = 30.0
"""Seconds that a busy machine may take for anything."""


class Bench:
    """One scenario's own corner of a backend.

    Args:
        profile: the backend's.
        connect: makes the broker of a process.
        clock_of: makes the clock of a process, by its name.
        prefix: what the names of its queues begin with; nobody else's do.

    Attributes:
        claims: what the backend claims.
        tick: seconds of the unit of time.
        late: seconds by which a message may come later than due: what is claimed in virtual time, and generous in real time,
            where the machine may be busy.
        lag: ticks after which what is due has come.
        virtual: whether time is virtual, so that waiting costs nothing and bounds are exact.
        strict: whether sizes are compared by state though that is not claimed, to see whether it is true.
        patience: seconds for which something may be waited for that has to happen soon.
    """

    def __init__(self, profile: Profile, connect: Connect, clock_of: Callable[[str], Clock], prefix: str) -> None:
        self.claims: Capabilities = profile.capabilities
        self.tick = profile.tick
        self.virtual = profile.time == "virtual"
        self.late = profile.late if self.virtual else profile.late + _BUSY
        self.lag = profile.late / profile.tick
        self.patience = max(_PATIENCE[profile.time], 100 * profile.tick)
        self.strict = False
        self._limit = max(_LIMIT[profile.time], 300 * profile.tick)
        self._connect = connect
        self._clock_of = clock_of
        self._prefix = prefix
        self._processes: dict[str, Process] = {}
        self._runs: dict[str, list[Ran]] = {}
        self._news = asyncio.Event()
        self._begun = asyncio.get_running_loop().time()

    async def play(self, body: Body) -> None:
        """Play a scenario to its end and clean up behind it.

        Raises:
            Exception: whatever it raises, and TimeoutError where it does not end.
        """
        try:
            async with asyncio.timeout(self._limit):
                await body(self)
        finally:
            await self._close()

    # -- time

    def now(self) -> float:
        """Return seconds by the loop."""
        return asyncio.get_running_loop().time()

    @property
    def elapsed(self) -> float:
        """Seconds since the scenario began."""
        return self.now() - self._begun

    async def sleep(self, ticks: float) -> None:
        """Let time pass."""
        await asyncio.sleep(ticks * self.tick)

    def seconds(self, ticks: float) -> float:
        """Return ticks as seconds."""
        return ticks * self.tick

    def long(self, ticks: float) -> float:
        """Return ticks as seconds, in real time so many that a busy machine does not stumble over their end."""
        return self.seconds(ticks) if self.virtual else max(self.seconds(ticks), _LONG)

    @property
    def margin(self) -> float:
        """Seconds before the end of something at which it certainly is not over yet, also for a call that takes its time."""
        return self.tick if self.virtual else _LONG / 3

    def late_expiry(self, timeout: float) -> float:
        """Return by how many seconds the end of a reservation may be seen later than it is: a tenth of its time."""
        return max(self.late, timeout / 10) + self.late + _STEP * self.tick

    def lag_of_expiry(self, timeout: float) -> float:
        """Return after how many ticks the end of a reservation has been seen."""
        return max(self.lag, timeout / 10 / self.tick) + self.lag + _STEP

    # -- waiting

    def tell(self) -> None:
        """Wake who waits for something to happen."""
        self._news.set()

    async def until(self, condition: Callable[[], object], what: str, *, ticks: float | None = None) -> None:
        """Wait until something is so.

        Args:
            condition: whether it is.
            what: what is waited for, for the failure's text.
            ticks: after how many it is a failure; None means very many.

        Raises:
            Broken: it does not become so.
        """

        async def ask() -> object:
            return condition()

        await self.until_async(ask, what, ticks=ticks)

    async def until_async(self, condition: Callable[[], Awaitable[object]], what: str, *, ticks: float | None = None) -> None:
        """Do the same with a question that has to be awaited."""
        deadline = self.now() + (self.patience if ticks is None else ticks * self.tick)
        began = self.now()
        while not await condition():
            left = deadline - self.now()
            # What is soon is seen soon; to ask all the time for what takes long would cost more than it tells.
            step = min(max(_STEP * self.tick, (self.now() - began) / 10), 5 * self.tick)
            if left <= 0:
                raise Broken(f"{what}: it does not happen")
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, step)):
                    await self._news.wait()

    async def until_runs(self, place: Place, count: int) -> None:
        """Wait until so many runs have begun."""
        await self.until(lambda: len(place.runs) >= count, f"{count} runs begin (there are {len(place.runs)} now)")

    async def until_size(self, place: Place, size: Size) -> None:
        """Wait until the queue has a size; where states are not told apart, until the sum is right."""
        seen: list[Size] = []

        async def ask() -> bool:
            seen[:] = [await place.size()]
            return self.alike(seen[0], size)

        try:
            await self.until_async(ask, "")
        except Broken:
            raise Broken(f"the queue's size becomes {size}: it is {seen[0]}") from None

    def alike(self, found: Size, wanted: Size) -> bool:
        """Return whether two sizes are the same, as far as the backend tells states apart."""
        if self.strict or self.claims.lacks("states") is None:
            return found == wanted
        return (found.ready + found.delayed + found.reserved, found.dead) == (
            wanted.ready + wanted.delayed + wanted.reserved, wanted.dead,
        )  # fmt: skip

    async def until_done(self, place: Place, dead: int = 0) -> None:
        """Wait until nothing is left but so many dead letters."""
        await self.until_size(place, Size(dead=dead))

    async def quiet(self, place: Place, ticks: float, what: str) -> None:
        """Insist that no run begins for a while."""
        before = len(place.runs)
        await self.sleep(ticks)
        holds(len(place.runs) == before, f"{what}: {len(place.runs) - before} runs began")

    # -- processes and queues

    def process(self, name: str = "a", *, gated: bool = False, hooks: Iterable[Hook] = ()) -> Process:
        """Return a process; it is made when it is first asked for.

        Args:
            name: its name.
            gated: whether it can be cut off.
            hooks: of its app.
        """
        if name not in self._processes:
            clock = self._clock_of(name)
            app = taskq.App(clock=clock, hooks=tuple(hooks))
            gate = Gate()
            broker = self._connect(clock)
            app.broker = GatedBroker(broker, gate) if gated else broker
            self._processes[name] = Process(name=name, app=app, gate=gate)
        return self._processes[name]

    def place(
        self,
        behave: Behaviour | None = None,
        *,
        on: Process | None = None,
        task: dict[str, Any] | None = None,
        fallback: Behaviour | None = None,
        like: Place | None = None,
        **options: Any,
    ) -> Place:
        """Make a queue with a task that notes its runs.

        Args:
            behave: what the task does then.
            on: the process; None means the first.
            task: the options of the task. Without any a failure is retried after one tick, three times in all.
            fallback: what its fallback does, if it has one.
            like: a place of another process whose queue it is.
            options: of the queue.
        """
        process = on if on is not None else self.process()
        name = like.queue.name if like is not None else f"{self._prefix}-{len(self._runs) + 1}"
        place = Place(self, process, name, self._runs.setdefault(name, []), {**self._usual(), **options})
        usual = {"max_attempts": 3, "min_backoff": self.tick, "max_backoff": self.tick}
        place.register(behave, {**usual, **(task or {})}, fallback)
        watch = getattr(self._connect, "watch", None)  # a service that writes down what happens
        if watch is not None:
            watch(place)
        return place

    def _usual(self) -> dict[str, Any]:
        usual = {"max_workers": 8, "max_fetchers": 2, "reservation_timeout": 60 * self.tick, "stop_timeout": 30 * self.tick}
        return usual if self.virtual else {**usual, "reserve_wait": 2 * self.tick}

    @property
    def longest_step(self) -> float | None:
        """Seconds that the backend claims to keep of a delay in one step; None for any."""
        return self.claims.delay.value if isinstance(self.claims.delay, Max) else None

    # -- the end

    async def _close(self) -> None:
        """Stop everything, drop what is left of the queues, and close the apps."""
        for process in self._processes.values():
            for place in process.places:
                with contextlib.suppress(taskq.TaskqError):
                    await place.interrupt()
        if not self.virtual:
            await self._sweep()
        for process in self._processes.values():
            await process.app.aclose()

    async def _sweep(self) -> None:
        swept = set()
        for process in self._processes.values():
            for place in process.places if not process.dead else ():
                if place.queue.name in swept:
                    continue
                swept.add(place.queue.name)
                with contextlib.suppress(taskq.TaskqError):
                    await place.queue.purge()
                    await place.queue.discard(await place.queue.dead_letters(100))
