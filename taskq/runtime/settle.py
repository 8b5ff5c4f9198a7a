"""Carrying decisions out: acknowledgements in one trip, the rest one by one, again while a backend is down."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from taskq.core.delay import postponed, split
from taskq.core.retry import DeadLetter, Decision, Release, backoff
from taskq.errors import BackendError, ReservationLost
from taskq.message import printable
from taskq.runtime.state import ConsumerState, Delivery
from taskq.wire import envelope

__all__ = ["GIVE_BACK", "flush", "settle_forever"]

logger = logging.getLogger("taskq")

GIVE_BACK = Release(-1.0)
"""Given back at once by a stopping consumer; the attempt does not count."""

_RETRY, _RETRY_MAX = 0.1, 2.0


async def settle_forever(state: ConsumerState) -> None:
    """Flush the outbox whenever something is in it."""
    failed = 0
    while True:
        await state.outbox.filled.wait()
        failed = 0 if await flush(state) else failed + 1
        if failed:
            await asyncio.sleep(backoff(failed, _RETRY, _RETRY_MAX))


async def flush(state: ConsumerState) -> bool:
    """Settle what is in the outbox; False if the backend was down and something is in it still."""
    acks, others = state.outbox.empty()
    ok = True
    size = state.backend.capabilities.max_batch or len(acks) or 1
    together = state.backend.capabilities.together
    acked = settled = 0
    try:
        for acked in range(0, len(acks), size):
            ok = await _ack(state, acks[acked : acked + size]) and ok
        acked = len(acks)
        for settled in range(0, len(others), together):
            ok = await _settle_side_by_side(state, others[settled : settled + together]) and ok
        settled = len(others)
    finally:  # cancelled in the middle: what is decided stays decided, or a stopping consumer would give it back as it was
        for delivery in acks[acked:]:
            state.outbox.ack(delivery)
        for delivery, decision in others[settled:]:
            if id(delivery) in state.owned:
                state.outbox.leave(delivery, decision)
    return ok


async def _ack(state: ConsumerState, deliveries: list[Delivery]) -> bool:
    try:
        owned = await state.backend.ack([delivery.reservation for delivery in deliveries])
    except BackendError as error:
        for delivery in deliveries:
            if _worth_another_try(state, delivery, error):
                state.outbox.ack(delivery)
        return False
    for delivery, was_owned in zip(deliveries, owned, strict=True):
        if not was_owned:
            state.recorder.lost += 1
        state.disown(delivery)
    return True


async def _settle_side_by_side(state: ConsumerState, others: list[tuple[Delivery, Decision]]) -> bool:
    if len(others) == 1:
        return await _settle(state, *others[0])
    return all(await asyncio.gather(*(_settle(state, delivery, decision) for delivery, decision in others)))


async def _settle(state: ConsumerState, delivery: Delivery, decision: Decision) -> bool:
    try:
        if isinstance(decision, DeadLetter):
            await state.backend.dead_letter(delivery.reservation, decision.reason)
            state.recorder.dead += 1
        else:
            assert isinstance(decision, Release)
            await _release(state, delivery, decision)
    except ReservationLost:
        state.recorder.lost += 1
    except BackendError as error:
        if _worth_another_try(state, delivery, error):
            state.outbox.leave(delivery, decision)
            return False
    state.disown(delivery)
    return True


async def _release(state: ConsumerState, delivery: Delivery, decision: Release) -> None:
    if decision is GIVE_BACK:
        await state.backend.release(delivery.reservation, 0.0)
        return
    delay, rest = split(decision.delay, state.backend.capabilities.max_delay)
    following = msgspec.structs.replace(delivery.message, attempt=delivery.message.attempt + 1)
    body = envelope.encode(postponed(following, rest) if rest else following, compress_from=state.options.compress_from)
    await state.backend.release(msgspec.structs.replace(delivery.reservation, body=body), delay)


def _worth_another_try(state: ConsumerState, delivery: Delivery, error: BackendError) -> bool:
    if delivery.reservation.expires_at > state.monotonic():
        return True
    state.recorder.lost += 1
    state.disown(delivery)
    logger.warning("message %s on queue %r could not be settled in time and will run again: %s",
                   printable(delivery.reservation.id), state.queue, error)  # fmt: skip
    return False
