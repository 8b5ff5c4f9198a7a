"""Bugs planted by hand in the production code, one or more for each family of invariants; the simulator has to find them.

Each is a context manager that patches one thing while it lasts. The names say what is wrong.
"""

import contextlib
from collections import deque
from unittest.mock import patch

import msgspec

from taskq.backends import memory
from taskq.backends.memory_stores import MemoryDedup, MemoryLocks
from taskq.core import extension, rate_limit, retry
from taskq.core.pause import Pause
from taskq.core.retry import DeadLetter, Fallback, Release
from taskq.runtime import settle, worker
from taskq.runtime.leases import Leases
from taskq.runtime.settle import GIVE_BACK
from taskq.runtime.state import Outbox
from taskq.runtime.worker import Worker
from taskq_testing.simulator import broker as sim

BUGS = {}


def planted(invariants):
    """Register a bug with the invariants that may show it, any of which counts as found."""

    def register(function):
        BUGS[function.__name__] = (contextlib.contextmanager(function), frozenset(invariants))
        return function

    return register


@planted({1, 6})
def acknowledged_before_it_ran():
    original = Worker._run

    async def run(self, delivery, task):
        await self._state.backend.ack([delivery.reservation])
        await original(self, delivery, task)

    with patch.object(Worker, "_run", run):
        yield


@planted({1, 18, 24})
def an_expired_reservation_is_forgotten():
    def expire(self, receipt, entry):
        del self._reserved[receipt]
        self._record("expired", entry.id, entry.copy, receipt=receipt)

    with patch.object(sim.SimQueue, "_expire", expire):
        yield


@planted({8, 9, 2, 3})
def acknowledged_whoever_owns_it():
    async def ack(self, reservations):
        answers = []
        for reservation in reservations:
            mine = [r for r, entry in self._reserved.items() if entry.id == reservation.id]
            for receipt in mine:
                entry = self._reserved.pop(receipt)
                self._record("acked", entry.id, entry.copy, receipt=reservation.receipt)
            answers.append(bool(mine))
        self._scribe.settled()
        return answers

    with patch.object(sim.SimQueue, "ack", ack):
        yield


@planted({11, 10, 7})
def nothing_is_extended():
    with patch.object(extension, "due", lambda expires_at, now, timeout, share: False):
        yield


@planted({11})
def extended_too_late():
    with patch.object(extension, "interval", lambda timeout, share, *, idle: timeout * 0.8):
        yield


@planted({12})
def names_are_free_too_early():
    original = MemoryDedup.take

    def take(self, key, ttl, now):
        return original(self, key, ttl / 4, now)

    with patch.object(MemoryDedup, "take", take):
        yield


@planted({12, 13})
def a_taken_name_is_taken_again():
    original = MemoryDedup.take

    def take(self, key, ttl, now):
        self.taken.pop(key, None)
        return original(self, key, ttl, now)

    with patch.object(MemoryDedup, "take", take):
        yield


@planted({14, 15, 16})
def attempts_are_not_counted():
    original = settle._release

    async def release(state, delivery, decision):
        if decision is not GIVE_BACK:
            delivery.message = msgspec.structs.replace(delivery.message, attempt=delivery.message.attempt - 1)
        await original(state, delivery, decision)

    with patch.object(settle, "_release", release):
        yield


@planted({14, 25})
def one_attempt_too_many():
    original = retry.decide

    def decide(error, attempt, options, **rest):
        return original(error, attempt - 1, options, **rest)

    with patch.object(worker.retry, "decide", decide):
        yield


@planted({16})
def backoff_forgets_to_wait():
    original = settle._release

    async def release(state, delivery, decision):
        await original(state, delivery, decision if decision is GIVE_BACK else Release(decision.delay / 2))

    with patch.object(settle, "_release", release):
        yield


@planted({17})
def delays_end_early():
    original = memory.MemoryBackend._put

    def put(self, entry, delay):
        original(self, entry, delay * 0.9)

    with patch.object(memory.MemoryBackend, "_put", put):
        yield


@planted({20})
def the_bucket_is_too_large():
    original = rate_limit.take

    def take(tat, now, limit, n):
        return original(tat, now, msgspec.structs.replace(limit, burst=limit.capacity * 2), n)

    with patch("taskq.backends.memory_stores.rate_limit.take", take):
        yield


@planted({20})
def refunds_never_wear_off():
    def refund(tat, now, limit, unused, grant):
        return tat - (unused + 1) * limit.interval

    with patch("taskq.backends.memory_stores.rate_limit.refund", refund):
        yield


@planted({21})
def workers_run_without_a_lock():
    async def hold(self, number):
        if self.limit is not None:
            self._held.setdefault(number, ("none", float("inf")))

    with patch.object(Leases, "hold", hold):
        yield


@planted({21, 28})
def a_lock_can_be_held_twice():
    original = MemoryLocks.acquire

    async def acquire(self, key, owner, ttl):
        self.held.pop(key, None)
        return await original(self, key, owner, ttl)

    with patch.object(MemoryLocks, "acquire", acquire):
        yield


@planted({22})
def a_pause_pauses_nothing():
    with patch.object(Pause, "remaining", lambda self, task, now: 0.0):
        yield


@planted({23})
def the_last_comes_first():
    original = memory.MemoryBackend._take

    def take(self, n, now):
        self._promote(now)
        self._ready = deque(reversed(self._ready))
        return original(self, n, now)

    with patch.object(memory.MemoryBackend, "_take", take):
        yield


@planted({25})
def a_fallback_after_success():
    original = Worker._conclude

    async def conclude(self, delivery, task, error, seconds, context):
        await original(self, delivery, task, error, seconds, context)
        if error is None and task.fallback_handler is not None and not delivery.cancelled:
            await self._fall_back(delivery, task, Fallback("for luck"), context)

    def decide(error, attempt, options, *, has_fallback, draw=0.0):
        return Fallback("gave up early") if has_fallback else retry_decide(error, attempt, options, has_fallback=False, draw=draw)

    retry_decide = retry.decide
    with patch.object(Worker, "_conclude", conclude), patch.object(worker.retry, "decide", decide):
        yield


@planted({26})
def in_flight_leaks():
    original = Worker._attempt

    async def attempt(self, delivery, prepare, context, *, fallback=False):
        error = await original(self, delivery, prepare, context, fallback=fallback)
        if error is not None:
            self._state.recorder.in_flight += 1
        return error

    with patch.object(Worker, "_attempt", attempt):
        yield


@planted({27, 1})
def stopping_keeps_what_it_owns():
    async def give_back(state):
        state.outbox.empty()

    with patch("taskq.consumer.Consumer._give_back", staticmethod(give_back)):
        yield


@planted({29, 1, 18})
def a_corrupt_body_is_kept_for_ever():
    original = Outbox.leave

    def leave(self, delivery, decision):
        if delivery.task is not None or not isinstance(decision, DeadLetter):
            original(self, delivery, decision)

    with patch.object(Outbox, "leave", leave):
        yield


@planted({30})
def the_buffer_has_no_bottom():
    async def room(self, most):
        return 1000

    with patch("taskq.runtime.state.Buffer.room", room):
        yield


@planted({31})
def a_settling_that_hooks_do_not_see():
    original = Worker._conclude

    async def conclude(self, delivery, task, error, seconds, context):
        if error is None and delivery.message.attempt > 1:
            self._state.recorder.processed += 1
            self._state.outbox.ack(delivery)
            return
        await original(self, delivery, task, error, seconds, context)

    with patch.object(Worker, "_conclude", conclude):
        yield


@planted({31, 7})
def success_counts_as_failure():
    original = Worker._conclude

    async def conclude(self, delivery, task, error, seconds, context):
        if error is None and delivery.reservation.deliveries > 1:
            error = ValueError("seen before")
        await original(self, delivery, task, error, seconds, context)

    with patch.object(Worker, "_conclude", conclude):
        yield


@planted({5})
def an_add_is_made_twice():
    original = memory.MemoryBackend.send_blocking

    def send_blocking(self, batch):
        if len(self._delayed) > 1:
            for outgoing in batch:
                self._add(msgspec.structs.replace(outgoing, claim=None))
        return original(self, batch)

    with patch.object(memory.MemoryBackend, "send_blocking", send_blocking):
        yield


@planted({2, 4, 19})
def a_due_message_stays_delayed_too():
    original = sim.SimQueue._come_due

    def come_due(self, entry):
        original(self, entry)
        if entry.deliveries == 0 and entry.id.endswith((b"5", b"6")):
            self._sequence += 1
            self._ready.append(msgspec.structs.replace(entry))

    with patch.object(sim.SimQueue, "_come_due", come_due):
        yield


__all__ = ["BUGS"]
