"""Keeping what is owned: reservations and worker locks are prolonged while they are needed.

What is due is decided in `core.extension`. The consumer's own loop does it. Behind it stands a second pair of eyes where the
clock puts it (a thread with a loop of its own in real time, a task in virtual time), for a handler may block the loop. The
thread alone would not do: a loop that is merely busy gives up the GIL so often and so briefly that a thread can wait seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from taskq.core import extension
from taskq.errors import BackendError, ReservationLost
from taskq.message import printable
from taskq.runtime.finish import finish
from taskq.runtime.leases import Leases
from taskq.runtime.state import ConsumerState, Delivery

__all__ = ["extending"]

logger = logging.getLogger("taskq")


@contextlib.asynccontextmanager
async def extending(state: ConsumerState, leases: Leases) -> AsyncIterator[None]:
    """Keep everything that is owned from expiring, on this loop and beside it."""
    stop_watching = state.clock.beside(lambda: _extend_forever(state, leases, extension.BACKSTOP), f"taskq-extend-{state.queue}")
    task = asyncio.create_task(_extend_forever(state, leases, extension.FIRST))
    try:
        yield
    finally:
        await finish(_stop_extending(task, stop_watching))


async def _stop_extending(task: asyncio.Task[None], stop_watching: Callable[[], Coroutine[Any, Any, None]]) -> None:
    task.cancel()
    await stop_watching()
    await asyncio.gather(task, return_exceptions=True)


async def _extend_forever(state: ConsumerState, leases: Leases, share: float) -> None:
    timeout, together = state.options.reservation_timeout, state.backend.capabilities.together
    while True:
        await asyncio.sleep(extension.interval(timeout, share, idle=not state.owned and not leases.held))
        try:
            due: list[Delivery] = []
            for delivery in list(state.owned.values()):
                if extension.due(delivery.reservation.expires_at, state.monotonic(), timeout, share):
                    due.append(delivery)
                if len(due) == together:
                    await _extend_side_by_side(state, due)
                    due = []
            await _extend_side_by_side(state, due)
            for worker in await leases.renew(state.monotonic(), share):
                _cancel_worker(state, worker)
        except Exception:  # an adapter that raises what it should not must not cost everything that is owned
            logger.exception("reservations of queue %r could not all be extended; trying again", state.queue)


async def _extend_side_by_side(state: ConsumerState, due: list[Delivery]) -> None:
    if len(due) == 1:
        await _extend(state, due[0])
    elif due:
        await asyncio.gather(*(_extend(state, delivery) for delivery in due))


async def _extend(state: ConsumerState, delivery: Delivery) -> None:
    try:
        await delivery.extend(None)
    except ReservationLost:
        _lose(state, delivery)
    except BackendError as error:
        if delivery.reservation.expires_at <= state.monotonic():
            _lose(state, delivery)
        logger.warning("message %s on queue %r cannot be extended: %s", printable(delivery.reservation.id), state.queue, error)


def _lose(state: ConsumerState, delivery: Delivery) -> None:
    if state.owned.get(id(delivery)) is delivery and not delivery.lost:
        delivery.lost = True  # a handler in a thread may run on for long; this is told once
        logger.warning("message %s on queue %r was lost to another consumer; its run is cancelled",
                       printable(delivery.reservation.id), state.queue)  # fmt: skip
        state.loop.call_soon_threadsafe(delivery.cancel)


def _cancel_worker(state: ConsumerState, worker: int) -> None:
    for delivery in list(state.owned.values()):
        if delivery.worker == worker:
            state.loop.call_soon_threadsafe(delivery.cancel)
