"""The consumer of one queue: starts the runtime's parts, and stops them without losing or leaking a reservation."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from functools import lru_cache
from typing import cast

import msgspec

from taskq.backends.base import Chores
from taskq.core.pause import EVERYTHING, Pause
from taskq.core.stats import Recorder, Stats
from taskq.errors import TaskqError
from taskq.options import seconds
from taskq.runtime.chores import do_chores_forever
from taskq.runtime.extend import extending
from taskq.runtime.fetcher import fetch, fetch_forever, fetch_one
from taskq.runtime.finish import finish
from taskq.runtime.leases import Leases
from taskq.runtime.scaler import scale_forever
from taskq.runtime.settle import GIVE_BACK, flush, settle_forever
from taskq.runtime.state import ConsumerState, Wiring
from taskq.runtime.worker import Worker, Workshop

__all__ = ["Consumer"]

_FLUSH_PAUSE = 0.05
_MOMENT = 0.1
"""Seconds that handlers may take before what comes meanwhile is waited for: to end such a wait may cost a connection."""

_SILENCE = 0.4
"""Seconds after which a stopping consumer gives up if its backend took nothing of what it gives back meanwhile."""


@lru_cache(maxsize=64)
def _has_chores(backend: type) -> bool:
    return issubclass(backend, Chores)  # a look at a protocol is slow


class Consumer:
    """Reserves the messages of one queue and runs their handlers, one `run` or `process_...` at a time."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._pause = Pause(wiring.options)
        self._recorder = Recorder()
        self._state: ConsumerState | None = None
        self._shop: Workshop | None = None
        self._fetchers: list[asyncio.Task[None]] = []
        self._running: asyncio.Task[None] | None = None
        self._stop_requested: asyncio.Event | None = None
        self._ended: asyncio.Event | None = None
        self._stop_timeout = wiring.options.stop_timeout
        self._left = 0
        self._numbers = 0

    # -- running

    async def run(self) -> None:
        """Fetch and process until `stop` is called. Cancelling it stops at once: what runs is interrupted and given back."""
        with self._started() as (state, shop):
            stop = self._stop_requested = asyncio.Event()
            self._ended = asyncio.Event()
            self._stop_timeout = self._wiring.options.stop_timeout
            async with extending(state, shop.leases), asyncio.TaskGroup() as group:
                helpers = self._start_helpers(group, state, shop)
                try:
                    await stop.wait()
                    await self._drain(state, shop, self._stop_timeout)
                finally:  # also when cancelled, while it drains too
                    await finish(self._wind_down(state, shop, helpers))

    def _start_helpers(self, group: asyncio.TaskGroup, state: ConsumerState, shop: Workshop) -> list[asyncio.Task[None]]:
        def grow() -> None:
            if len(shop.workers) < shop.most and not state.aborting:
                self._numbers += 1
                shop.workers[self._numbers] = group.create_task(Worker(shop, self._numbers).work())

        def set_fetchers(count: int) -> int:
            while len(self._fetchers) > count:
                self._fetchers.pop().cancel()
            while len(self._fetchers) < count and not state.draining:
                self._fetchers.append(group.create_task(fetch_forever(state)))
            return len(self._fetchers)

        state.buffer.grow = grow
        shop.allowed = state.options.min_workers
        helpers = [group.create_task(scale_forever(state, shop, set_fetchers, state.clock.machine()))]
        if _has_chores(type(state.backend)):
            helpers.append(group.create_task(do_chores_forever(cast(Chores, state.backend), state.queue)))
        helpers.append(group.create_task(settle_forever(state)))
        return helpers

    async def start(self) -> None:
        """Run in a task of the current loop; `stop` ends it.

        Raises:
            TaskqError: it runs already.
        """
        if self._state is not None:
            raise TaskqError(f"the consumer of queue {self._wiring.queue!r} runs already; stop it first")
        self._running = asyncio.create_task(self.run())
        while self._stop_requested is None and not self._running.done():  # noqa: ASYNC110 - a few steps of the loop
            await asyncio.sleep(0)

    async def stop(self, timeout: float | None = None) -> int:
        """Fetch nothing more, finish what is reserved, give back what is left after `timeout` seconds; then return.

        Not for handlers, which would wait for themselves.

        Args:
            timeout: seconds; None means the queue's `stop_timeout`, 0 interrupts at once.

        Returns:
            How many messages were given back unfinished.
        """
        if timeout is not None:
            self._stop_timeout = seconds(timeout, "timeout")
        if self._stop_requested is not None:
            self._stop_requested.set()
        running, self._running = self._running, None
        if running is not None:
            await running
        elif self._ended is not None:
            await self._ended.wait()
        return self._left

    async def drain(self, timeout: float | None = None) -> int:
        """Fetch nothing more and wait until what is reserved is settled; return how many messages are not."""
        state, shop = self._state, self._shop
        if state is None or shop is None:
            return 0
        await self._drain(state, shop, self._stop_timeout if timeout is None else seconds(timeout, "timeout"))
        return len(state.owned)

    async def _drain(self, state: ConsumerState, shop: Workshop, timeout: float) -> None:
        await self._stop_fetching(state)
        if not state.owned:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while state.owned:
                    shop.close_batches()
                    state.progress.clear()
                    await state.progress.wait()

    async def _stop_fetching(self, state: ConsumerState) -> None:
        state.draining = True
        await self._end_fetchers()

    async def _end_fetchers(self) -> None:
        for fetcher in self._fetchers:
            fetcher.cancel()
        if self._fetchers:
            await asyncio.wait(self._fetchers)
            self._fetchers.clear()

    async def _wind_down(self, state: ConsumerState, shop: Workshop, helpers: list[asyncio.Task[None]]) -> None:
        """Interrupt what still runs and give back what is left."""
        await self._stop_fetching(state)
        state.aborting = True
        workers = list(shop.workers.values())
        for task in (*workers, *helpers):
            task.cancel()
        await asyncio.gather(*workers, *helpers, return_exceptions=True)
        self._left = await self._give_back(state)

    async def _leave(self, state: ConsumerState, shop: Workshop) -> None:
        await self._give_back(state)
        await shop.leases.drop(0)

    @staticmethod
    async def _give_back(state: ConsumerState) -> int:
        """Settle what is decided, and release what no worker took or finished; return how many messages that were."""
        decided = {id(delivery) for delivery in state.outbox.acks}
        decided |= {id(delivery) for delivery, _ in state.outbox.others}
        for key, delivery in list(state.owned.items()):
            if key not in decided:
                delivery.cancelled = True
                state.outbox.leave(delivery, GIVE_BACK)
        left = sum(decision is GIVE_BACK for _, decision in state.outbox.others)
        await _settle_the_rest(state)
        return left

    @contextlib.contextmanager
    def _started(self) -> Iterator[tuple[ConsumerState, Workshop]]:
        if self._state is not None:
            raise TaskqError(f"the consumer of queue {self._wiring.queue!r} runs already; stop it first")
        wiring = self._wiring
        state = self._state = ConsumerState(wiring, self._pause, self._recorder)
        options = wiring.options
        leases = Leases(
            wiring.queue,
            options.worker_limit,
            options.reservation_timeout,
            locks=wiring.broker.locks,
            clock=wiring.clock,
        )
        shop = self._shop = Workshop(state, leases)
        self._left = 0
        try:
            yield state, shop
        finally:
            state.buffer.grow = _nobody_comes  # a circle less for the collector of garbage
            state.threads.close()
            if self._ended is not None:
                self._ended.set()
            self._state = self._shop = self._stop_requested = self._ended = None

    # -- processing by hand

    async def process_one(self, wait: float = 0.0) -> bool:
        """Reserve one message, run it here and settle it; False if none came within `wait` seconds."""
        with self._started() as (state, shop):
            async with extending(state, shop.leases):
                try:
                    await fetch_one(state, wait)
                    worker = Worker(shop, 0)
                    found = bool(state.owned)
                    while (item := state.buffer.take()) is not None or shop.close_batches():
                        if item is not None:
                            await shop.leases.hold(0)
                            await worker.process(item)
                finally:  # also when cancelled
                    await finish(self._leave(state, shop))
            return found

    async def process_all(self) -> int:
        """Process until nothing is ready or reserved, and return how many messages were settled.

        What is delayed stays; what handlers enqueue meanwhile is processed too.
        """
        before = self._settled()
        with self._started() as (state, shop):
            async with extending(state, shop.leases), asyncio.TaskGroup() as group:
                helpers = self._start_helpers(group, state, shop)
                shop.allowed = state.options.max_workers
                helpers[0].cancel()  # no scaling: it is over when the queue is empty
                try:
                    await self._until_empty(state, shop)
                finally:
                    await finish(self._wind_down(state, shop, helpers))
        return self._settled() - before

    async def _until_empty(self, state: ConsumerState, shop: Workshop) -> None:
        while True:
            alone = not state.owned  # what is owned may be given back while the backend looks
            if await fetch(state, 0.0):
                continue
            if not state.owned:
                if alone:
                    return
                continue
            state.progress.clear()
            if not shop.close_batches() or state.owned:
                await self._until_progress(state, shop)

    async def _until_progress(self, state: ConsumerState, shop: Workshop) -> None:
        """Wait until something is settled; where that takes its time, until all is, and fetch what comes meanwhile."""
        try:
            async with asyncio.timeout(_MOMENT):
                await state.progress.wait()
        except TimeoutError:
            self._fetchers.append(asyncio.create_task(fetch_forever(state)))
            while state.owned:
                await state.progress.wait()
                state.progress.clear()
                shop.close_batches()
            await self._end_fetchers()

    def _settled(self) -> int:
        recorder = self._recorder
        return recorder.processed + recorder.retries + recorder.fails

    # -- looking and steering

    @property
    def running(self) -> bool:
        """Whether it fetches, processes or stops now."""
        return self._state is not None

    def stats(self) -> Stats:
        """Return what this consumer did so far, and does now."""
        shop = self._shop
        return msgspec.structs.replace(
            self._recorder.snapshot(),
            buffered=self.buffered,
            workers=len(shop.workers) if shop is not None else 0,
            fetchers=len(self._fetchers),
            paused=self._pause.paused(self._wiring.clock.monotonic()),
        )

    @property
    def buffered(self) -> int:
        """How many messages are reserved and wait for a worker."""
        return len(self._state.buffer.items) if self._state is not None else 0

    @property
    def in_flight(self) -> int:
        """How many handlers run now."""
        return self._recorder.in_flight

    def pause(self, task: str = EVERYTHING) -> None:
        """Start nothing more of a task, or of the queue, until `resume`."""
        self._pause.pause(self._wiring.clock.monotonic(), task=task)

    def resume(self, task: str = EVERYTHING) -> None:
        """End the pause of a task, or with none given every pause, also one that failures began."""
        self._pause.resume(task)


async def _settle_the_rest(state: ConsumerState) -> None:
    """Settle everything that is owned, for as long as some of it gets through; what does not, runs out by itself."""
    if not state.owned and not state.outbox.acks and not state.outbox.others:
        return
    settling = asyncio.create_task(_settle_all(state))
    before = len(state.owned) + 1
    while not settling.done() and len(state.owned) < before:
        before = len(state.owned)
        await asyncio.wait((settling,), timeout=_SILENCE)
    settling.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await settling


async def _settle_all(state: ConsumerState) -> None:
    while True:
        if await flush(state) and not state.owned:
            return
        await asyncio.sleep(_FLUSH_PAUSE)


def _nobody_comes() -> None:
    """Stand in for the growth of a consumer that is over."""
