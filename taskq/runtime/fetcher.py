"""The reserve loop: asks pause, rate limit and buffer what it may take, takes it, and fills the buffer."""

from __future__ import annotations

import asyncio
import logging

from taskq.core.prefetch import prefetch
from taskq.core.rate_limit import Grant
from taskq.core.retry import backoff, suspects_last
from taskq.errors import BackendError
from taskq.runtime.state import ConsumerState

__all__ = ["fetch", "fetch_forever", "fetch_one"]

logger = logging.getLogger("taskq")

_EARLY, _EARLY_MAX = 0.01, 1.0
_ERROR, _ERROR_MAX = 0.1, 5.0


async def fetch_forever(state: ConsumerState) -> None:
    """Fetch until cancelled. A backend that is down is asked again and again, more and more slowly."""
    wait = state.options.reserve_wait if state.options.reserve_wait is not None else state.backend.capabilities.wait
    early = failed = 0
    while not state.draining:
        began = state.monotonic()
        try:
            count = await fetch(state, wait)
        except BackendError as error:
            failed += 1
            logger.warning("queue %r cannot be reserved from, trying again: %s", state.queue, error)
            await asyncio.sleep(backoff(failed, _ERROR, _ERROR_MAX))
            continue
        failed = 0
        if count:
            state.buffer.fetching = True
            await asyncio.sleep(0)  # the first message starts before the next reserve is sent
        # A backend that answers "nothing" before the wait is over would be asked in a tight loop.
        early = early + 1 if not count and state.monotonic() - began < wait / 2 else 0
        if early:
            await asyncio.sleep(backoff(early, _EARLY, _EARLY_MAX))


async def fetch(state: ConsumerState, wait: float) -> int:
    """Reserve once, as much as may run and fits, and return how many messages came."""
    state.buffer.size = prefetch(state.options.buffer, state.recorder.in_flight, state.recorder.mean_s)
    places = await state.buffer.room(state.options.reservation_size)
    try:
        return await _take(state, places, wait)
    finally:
        state.buffer.free(places)


async def _take(state: ConsumerState, n: int, wait: float) -> int:
    while (left := state.pause.fetch_remaining(state.registry.names, state.monotonic())) > 0:  # noqa: ASYNC110 - time passes
        await asyncio.sleep(min(left, 1.0))  # short looks: it may be resumed by hand
    limit, grant = state.options.rate_limit, None
    if limit is not None:
        while not (grant := await state.broker.limiter.take(f"rate:{state.queue}", limit, n)).allowed:  # noqa: ASYNC110
            await asyncio.sleep(grant.retry_after)
        n = grant.allowed
    return await _reserve(state, n, wait, grant)


async def fetch_one(state: ConsumerState, wait: float) -> int:
    """Reserve one message, if the rate limit grants it and it comes within `wait` seconds; return how many came."""
    limit, grant, end = state.options.rate_limit, None, state.monotonic() + wait
    if limit is not None:
        while not (grant := await state.broker.limiter.take(f"rate:{state.queue}", limit, 1)).allowed:
            left = end - state.monotonic()
            if left <= 0:
                return 0
            await asyncio.sleep(min(grant.retry_after, left))
    return await _reserve(state, 1, max(0.0, end - state.monotonic()), grant)


async def _reserve(state: ConsumerState, n: int, wait: float, grant: Grant | None) -> int:
    limit = state.options.rate_limit
    taken = 0
    try:
        reservations = await state.backend.reserve(n, wait)
        taken = len(reservations)
        state.buffer.put(state.own(suspects_last(reservations)))
    finally:
        if limit is not None and grant is not None and taken < n:
            await state.broker.limiter.refund(f"rate:{state.queue}", limit, n - taken, grant)
    state.reserve_calls += 1
    state.reserved += taken
    state.full_reserves += taken == n
    return taken
