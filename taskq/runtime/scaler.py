"""Carrying scale plans out: measures what the consumer did, asks `core.autoscale`, changes the number of workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from taskq.backends.base import Machine
from taskq.core import autoscale
from taskq.runtime.state import ConsumerState
from taskq.runtime.worker import Workshop

__all__ = ["scale_forever"]

INTERVAL = 1.0


async def scale_forever(state: ConsumerState, shop: Workshop, set_fetchers: Callable[[int], int], machine: Machine) -> None:
    """Plan once a second; workers come on demand up to the plan, and leave when there are more."""
    memory = autoscale.START
    processed = failed = 0
    fetchers = set_fetchers(1)
    recorder = state.recorder
    while True:
        calls, reserved, full = state.reserve_calls, state.reserved, state.full_reserves
        began = state.monotonic()
        busy = recorder.busy_s(began)
        await asyncio.sleep(INTERVAL)
        now = state.monotonic()
        done, bad = recorder.processed + recorder.retries + recorder.fails, recorder.retries + recorder.fails
        load = autoscale.Load(
            now=now,
            interval=now - began,
            workers=shop.allowed,
            fetchers=fetchers,
            busy=max(0.0, recorder.busy_s(now) - busy) / (now - began),
            buffered=len(state.buffer.items),
            buffer_size=state.buffer.size,
            processed=done - processed,
            failed=bad - failed,
            mean_s=recorder.mean_s,
            reserve_calls=state.reserve_calls - calls,
            reserved=state.reserved - reserved,
            full_reserves=state.full_reserves - full,
            cpu_free=machine.cpu_free(now - began),
            memory_free=machine.memory_free(),
        )
        processed, failed = done, bad
        plan, memory = autoscale.plan(load, state.options, memory)
        fetchers = set_fetchers(plan.fetchers)
        shop.allowed = plan.workers
        state.buffer.wake_idle()
        state.buffer.hand_over()
