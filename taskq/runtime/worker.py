"""One message's way through a worker: admit, invoke, decide, settle. The steps in order; each decision is the core's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context as ContextVars
from contextvars import copy_context
from functools import partial
from typing import Any

from taskq.binding import Binder
from taskq.context import Context
from taskq.core import retry
from taskq.core.batching import Accumulator
from taskq.core.pause import EVERYTHING
from taskq.core.retry import ACK, Ack, DeadLetter, Decision, Fallback, Release
from taskq.errors import DecodeError
from taskq.hooks.events import Paused, Settled, Started
from taskq.message import MessageBatch
from taskq.runtime.admit import admit
from taskq.runtime.invoke import FINISHED, Remainder, begin
from taskq.runtime.leases import Leases
from taskq.runtime.series import Entry, Series, length
from taskq.runtime.settle import GIVE_BACK
from taskq.runtime.state import ConsumerState, Delivery
from taskq.task import Task

__all__ = ["Worker", "Workshop"]

_PATIENCE = 0.01
"""Seconds after which messages that wait in a worker's series are left to other workers."""


class Workshop:
    """What the workers of one consumer share beside its state: locks, open batches, their allowed number."""

    def __init__(self, state: ConsumerState, leases: Leases) -> None:
        self.state = state
        self.leases = leases
        self.allowed = state.options.max_workers
        self.suspects = 0
        self.thread_s: float | None = None
        self.workers: dict[int, asyncio.Task[None]] = {}
        self._batches: dict[str, Accumulator[Delivery]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    @property
    def most(self) -> int:
        """How many workers there may be: those that are planned, and within the limit one more for each suspect that runs.

        A suspect was delivered before without an outcome. Should it kill this process after a while, what came behind it would
        have waited for its worker until then, and would be a suspect next, though it never ran.
        """
        return max(self.allowed, min(self.allowed + self.suspects, self.state.options.max_workers))

    def learn(self, seconds: float) -> None:
        """Note how long a sync handler took."""
        self.thread_s = seconds if self.thread_s is None else self.thread_s + (seconds - self.thread_s) / 8

    def collect(self, delivery: Delivery, task: Task[Any]) -> None:
        """Put a message into its task's open batch."""
        assert task.options.batch is not None
        open_batch = self._batches.get(task.name)
        if open_batch is None:
            open_batch = self._batches[task.name] = Accumulator(task.options.batch)
        full = open_batch.add(delivery, len(delivery.reservation.body), self.state.monotonic())
        self.state.progress.set()
        if full:
            self.state.buffer.put(full)
        if len(open_batch) == 1:
            self._timers[task.name] = self.state.loop.call_later(task.options.batch.age, self.close_batch, task.name)
        elif not open_batch and (timer := self._timers.pop(task.name, None)) is not None:
            timer.cancel()

    def close_batch(self, name: str) -> None:
        """Hand an open batch to the workers, whatever it holds."""
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()
        items = self._batches[name].close()
        if items:
            self.state.buffer.put([items])

    def close_batches(self) -> bool:
        """Hand all open batches to the workers; False if none was open."""
        names = [name for name, batch in self._batches.items() if batch]
        for name in names:
            self.close_batch(name)
        return bool(names)


class Worker:
    """Takes messages from the buffer, one at a time."""

    def __init__(self, shop: Workshop, number: int) -> None:
        self._shop = shop
        self._state = shop.state
        self._number = number

    async def work(self) -> None:
        """Work until cancelled, or there are more workers than there may be."""
        buffer, shop = self._state.buffer, self._shop
        limited = shop.leases.limit is not None
        try:
            while len(shop.workers) <= shop.most and not self._state.aborting:
                if not buffer.items:
                    if limited:
                        await shop.leases.drop(self._number)
                    await buffer.wait()
                    continue
                if limited:
                    await shop.leases.hold(self._number)
                item = buffer.take()
                if item is not None:
                    await self._take(item)
                    if buffer.fetching:
                        buffer.fetching = False
                        await asyncio.sleep(0)
        finally:
            shop.workers.pop(self._number, None)
            await shop.leases.drop(self._number)
            buffer.hand_over()

    async def _take(self, item: Delivery | list[Delivery]) -> None:
        if isinstance(item, list) or item.reservation.deliveries == 1:
            await self.process(item)
            return
        self._shop.suspects += 1
        try:
            await self.process(item)
        finally:
            self._shop.suspects -= 1

    async def process(self, item: Delivery | list[Delivery]) -> None:
        """Take one message, or one closed batch, through all steps."""
        if isinstance(item, list):
            await self._run_batch(item)
        elif (task := admit(self._state, item)) is not None:
            if task.options.batch is not None:
                self._shop.collect(item, task)
            elif task.binder.is_async:
                await self._run(item, task)
            else:
                await self._run_in_thread(item, task)

    # -- invoke

    async def _run(self, delivery: Delivery, task: Task[Any]) -> None:
        state = self._state
        context = copy_context()
        if state.hooks.on_start:
            self._tell(context, delivery)
        began = state.monotonic()
        error = await self._attempt(delivery, partial(self._call, delivery, task.handler, task.binder), context)
        seconds = state.monotonic() - began
        state.recorder.timed(seconds)
        await self._conclude(delivery, task, error, seconds, context)

    async def _run_in_thread(self, delivery: Delivery, task: Task[Any]) -> None:
        """Run a sync handler, and with it those of the next messages while a trip to a thread takes longer than they do."""
        state, series = self._state, Series(self._state.monotonic)
        self._line_up(series, delivery, task)
        state.recorder.started(state.monotonic())
        impatient = state.loop.call_later(_PATIENCE, self._take_back, series)
        try:
            future = state.threads.submit(series.run)
            state.buffer.hand_over()
            await future
        except asyncio.CancelledError:  # the consumer stops; a handler that still runs is on its own
            for entry in series.begun:
                entry.delivery.cancelled = entry.delivery.cancelled or not entry.finished
            raise
        finally:
            impatient.cancel()
            state.recorder.ended(state.monotonic())
            self._take_back(series)
            state.buffer.spend(series.borrowed)
            for entry in series.begun:
                self._shop.learn(entry.seconds)
                state.recorder.timed(entry.seconds)
                await self._conclude(entry.delivery, entry.task, entry.error, entry.seconds, entry.context)

    def _line_up(self, series: Series, delivery: Delivery, task: Task[Any]) -> None:
        """Fill a series: the message that was taken, and those behind it that run in threads as well."""
        state = self._state
        # Whoever watches the starts is to see each when it happens.
        count = 1 if state.hooks.on_start else length(self._shop.thread_s)
        self._add(series, delivery, task)
        while len(series.waiting) < count and (item := state.buffer.borrow()) is not None:
            following = admit(state, item)
            series.borrowed += 1
            if following is None:
                continue
            if following.options.batch is not None:
                self._shop.collect(item, following)
            elif following.binder.is_async:
                series.borrowed -= 1
                state.buffer.put_back([item])
                return
            else:
                self._add(series, item, following)

    def _add(self, series: Series, delivery: Delivery, task: Task[Any]) -> None:
        context = copy_context()
        if self._state.hooks.on_start:
            self._tell(context, delivery)
        delivery.worker = self._number
        entry = Entry(delivery, task, context)
        try:
            entry.call = self._call(delivery, task.handler, task.binder)
        except DecodeError as error:
            entry.error = error
            series.begun.append(entry)
        else:
            series.waiting.append(entry)

    def _take_back(self, series: Series) -> None:
        """Give what has not begun back to the buffer, for others to take."""
        deliveries = series.take_back()
        series.borrowed -= len(deliveries)
        self._state.buffer.put_back(deliveries)

    async def _run_batch(self, collected: list[Delivery]) -> None:
        state = self._state
        deliveries = [delivery for delivery in collected if not delivery.cancelled]
        for delivery in collected:
            if delivery.cancelled:
                state.outbox.leave(delivery, GIVE_BACK)  # lost while its batch was collected: the others run without it
        if not deliveries:
            return
        task = deliveries[0].task
        assert task is not None
        context = copy_context()
        batch = MessageBatch([delivery.message for delivery in deliveries])
        for delivery in deliveries if state.hooks.on_start else ():
            self._tell(context, delivery)
        began = state.monotonic()
        error = await self._attempt(deliveries[0], partial(self._call_batch, deliveries[0], task, batch), context)
        seconds = state.monotonic() - began
        state.recorder.timed(seconds)
        failures = batch.failures
        for index, delivery in enumerate(deliveries):
            delivery.cancelled = delivery.cancelled or (error is not None and deliveries[0].cancelled)
            await self._conclude(delivery, task, error or failures.get(index), seconds, context)

    def _tell(self, context: ContextVars, delivery: Delivery) -> None:
        event = Started(self._state.queue, delivery.message, self._number, delivery.reservation)
        context.run(self._state.hooks.tell, self._state.hooks.on_start, event)

    def _call(self, delivery: Delivery, handler: Callable[..., Any], binder: Binder) -> Callable[[], Any]:
        """Return the call of a handler or fallback with its arguments bound; bad arguments raise DecodeError here."""
        message = delivery.message
        args = (message,) if binder.form == "message" else binder.decode(message.args_bytes)
        if binder.wants_context:
            args = (Context(message, self._state.queue, delivery), *args)
        return partial(handler, *args) if args else handler

    def _call_batch(self, delivery: Delivery, task: Task[Any], batch: MessageBatch) -> Callable[[], Any]:
        if task.binder.wants_context:
            return partial(task.handler, Context(delivery.message, self._state.queue, delivery), batch)
        return partial(task.handler, batch)

    async def _attempt(
        self,
        delivery: Delivery,
        prepare: Callable[[], Callable[[], Any]],
        context: ContextVars,
        *,
        fallback: bool = False,
    ) -> BaseException | None:
        """Run a handler once and return what it raised."""
        state = self._state
        state.recorder.started(state.monotonic())
        delivery.worker = self._number
        try:
            call = prepare()
            assert delivery.task is not None
            binder = delivery.task.fallback_binder if fallback else delivery.task.binder
            if binder is not None and binder.is_async:
                await self._on_loop(delivery, call, context)
            else:
                failure = await self._in_thread(call, context)
                if failure is not None:
                    return failure
        except asyncio.CancelledError as error:
            return self._cancelled(delivery, error)
        except BaseException as error:  # noqa: BLE001 - SystemExit from a handler fails its message, not the consumer
            return error
        finally:
            delivery.runner = None
            state.recorder.ended(state.monotonic())
        if delivery.interrupted and (task := asyncio.current_task()) is not None:
            task.uncancel()  # the handler swallowed its cancellation; it must not hit the next one
        return None

    async def _on_loop(self, delivery: Delivery, call: Callable[[], Any], context: ContextVars) -> None:
        delivery.runner = None
        coroutine = context.run(call)
        waiting = begin(coroutine, context)
        if waiting is FINISHED:
            return
        delivery.runner = asyncio.current_task()
        self._state.buffer.hand_over()
        await Remainder(coroutine, context, waiting)

    async def _in_thread(self, call: Callable[[], Any], context: ContextVars) -> BaseException | None:
        future = self._state.threads.submit(partial(context.run, call))
        self._state.buffer.hand_over()
        return await future

    def _cancelled(self, delivery: Delivery, error: asyncio.CancelledError) -> BaseException:
        task = asyncio.current_task()
        assert task is not None
        if delivery.interrupted:
            task.uncancel()
        if task.cancelling():  # its worker is cancelled, beside this run or alone: the consumer stops
            self._state.outbox.leave(delivery, GIVE_BACK)
            raise error
        return error  # otherwise the handler raised it by itself, which is a failure like any other

    # -- decide and settle

    async def _conclude(
        self, delivery: Delivery, task: Task[Any], error: BaseException | None, seconds: float, context: ContextVars
    ) -> None:
        state = self._state
        if delivery.cancelled:
            # Lost, or stopped from outside: who owns it now decides. If we still do, this gives it back.
            state.outbox.leave(delivery, GIVE_BACK)
            return
        decision: Decision = ACK
        if error is not None:
            decision = self._decide(delivery, task, error)
        else:
            state.pause.succeeded(task.name)
            state.recorder.processed += 1
        if state.hooks.on_settle or (error is not None and state.hooks.on_failure):
            context.run(state.hooks.settled, Settled(state.queue, delivery.message, decision, error, seconds))
        if isinstance(decision, Fallback):
            decision = await self._fall_back(delivery, task, decision, context)
        if isinstance(decision, Ack):
            state.outbox.ack(delivery)
        else:
            state.outbox.leave(delivery, decision)

    def _decide(self, delivery: Delivery, task: Task[Any], error: BaseException) -> Decision:
        state = self._state
        if isinstance(error, DecodeError):
            decision: Decision = DeadLetter(f"its arguments cannot be read: {error}")
        else:
            draw = state.clock.random() if task.options.jitter else 0.0
            has_fallback = task.fallback_handler is not None
            decision = retry.decide(error, delivery.message.attempt, task.options, has_fallback=has_fallback, draw=draw)
        if isinstance(decision, Release):
            state.recorder.retries += 1
        else:
            state.recorder.fails += 1
        paused = state.pause.failed(task.name, state.monotonic())
        if paused:
            scope = task.name if state.options.pause_scope == "task" else EVERYTHING
            state.hooks.tell(state.hooks.on_pause, Paused(state.queue, scope, paused))
        return decision

    async def _fall_back(self, delivery: Delivery, task: Task[Any], decision: Fallback, context: ContextVars) -> Decision:
        assert task.fallback_handler is not None
        assert task.fallback_binder is not None
        prepare = partial(self._call, delivery, task.fallback_handler, task.fallback_binder)
        error = await self._attempt(delivery, prepare, context, fallback=True)
        if error is None:
            return ACK
        return DeadLetter(f"{decision.reason}; then its fallback failed: {type(error).__name__}: {error}")
