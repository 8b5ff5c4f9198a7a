"""Thin wrappers round what one process calls: each writes down what the caller is told, and changes nothing.

They are put on the objects themselves, so that a backend keeps its kind and all that it can do besides.

What takes ownership is written with the time of its answer, what gives it up with the time of the call: so the events of
several processes are in an order that is possible, whatever the answers were delayed by.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import taskq
from taskq.backends.base import Broker, Outgoing
from taskq.consumer import Consumer
from taskq.errors import BackendError, DuplicateMessageError, ReservationLost
from taskq.message import Reservation
from taskq_testing.history import NANOSECONDS
from taskq_testing.recording.journal import Journal
from taskq_testing.recording.receipts import name_of, number_of

__all__ = ["watch_consumer", "watch_queue", "watch_stores"]

Call = Callable[..., Any]

_CALLED: ContextVar[object] = ContextVar("_CALLED", default=None)
"""The queue that is asked for something here: what its backend calls of itself then is its own business."""


def _now() -> int:
    return time.monotonic_ns()


def _replace(owner: Any, **wrappers: Callable[[Call], Call]) -> None:
    """Wrap those of an object's methods that it has."""
    for name, wrap in wrappers.items():
        if hasattr(owner, name):
            setattr(owner, name, wrap(getattr(owner, name)))


@contextmanager
def _called(journal: Journal, queue: str, operation: str) -> Iterator[int]:
    """Give the moment of a call, and write down that it failed, which excuses what comes of that."""
    began = _now()
    try:
        yield began
    except ReservationLost:
        raise
    except BackendError as error:
        delay = (_now() - began) / NANOSECONDS
        journal.write(
            "fault", t=began, queue=queue, outcome="unavailable", delay=delay, reason=operation, data={"error": str(error)}
        )
        raise


# -- queues


def watch_queue(journal: Journal, queue: taskq.Queue) -> None:
    """Write down what a queue's backend is asked for and answers."""
    watch = _Backend(journal, queue.name)
    wraps = (watch.send, watch.send_blocking, watch.reserve, watch.ack, watch.release, watch.extend, watch.dead_letter)
    _replace(queue.backend, **{wrap.__name__: _outermost(wrap, watch) for wrap in wraps})


def _outermost(wrap: Callable[[Call], Call], watch: object) -> Callable[[Call], Call]:
    """Return a wrapper that leaves alone what is called inside another wrapped call of the same queue."""

    def wrapped(call: Call) -> Call:
        recorded = wrap(call)

        def blocking(*args: Any) -> Any:
            with _calling(watch) as first:
                return (recorded if first else call)(*args)

        async def waiting(*args: Any) -> Any:
            with _calling(watch) as first:
                return await (recorded if first else call)(*args)

        return waiting if inspect.iscoroutinefunction(recorded) else blocking

    return wrapped


@contextmanager
def _calling(watch: object) -> Iterator[bool]:
    """Tell whether nobody is asking for something already."""
    first = _CALLED.get() is not watch
    token = _CALLED.set(watch)
    try:
        yield first
    finally:
        _CALLED.reset(token)


class _Backend:
    def __init__(self, journal: Journal, queue: str) -> None:
        self._journal = journal
        self._queue = queue

    def _write(self, kind: str, **fields: Any) -> None:
        self._journal.write(kind, queue=self._queue, **fields)

    def _called(self, operation: str) -> Any:
        return _called(self._journal, self._queue, operation)

    # -- adding

    def send(self, send: Call) -> Call:
        async def recorded(batch: Sequence[Outgoing]) -> Sequence[Exception | None]:
            with self._adding(batch) as told:
                told.extend(await send(batch))
            return told

        return recorded

    def send_blocking(self, send: Call) -> Call:
        def recorded(batch: Sequence[Outgoing]) -> Sequence[Exception | None]:
            with self._adding(batch) as told:
                told.extend(send(batch))
            return told

        return recorded

    @contextmanager
    def _adding(self, batch: Sequence[Outgoing]) -> Iterator[list[Exception | None]]:
        """Write down the adds, and the answers that the caller puts into the list; one who is cancelled hears none."""
        adds = [self._add(outgoing) for outgoing in batch]
        told: list[Exception | None] = []
        try:
            with self._called("send"):
                yield told
        except BackendError as error:
            for fields in adds:
                self._write("unknown", reason=type(error).__name__, **fields)
            raise
        for fields, answer, outgoing in zip(adds, told, batch, strict=True):
            self._answer(fields, answer, outgoing)

    def _add(self, outgoing: Outgoing) -> dict[str, Any]:
        message, task, _ = name_of(outgoing.body, outgoing.id)
        fields = {"message": message, "op": number_of(outgoing.id)}
        claim = {} if outgoing.claim is None else {"key": outgoing.claim.key.hex(), "ttl": outgoing.claim.ttl}
        self._write("add", task=task, delay=outgoing.delay, **fields, **claim)
        return fields

    def _answer(self, fields: dict[str, Any], answer: Exception | None, outgoing: Outgoing) -> None:
        if answer is None:
            self._write("accepted", **fields)
        elif isinstance(answer, DuplicateMessageError):
            assert outgoing.claim is not None
            key, now = outgoing.claim.key.hex(), _now()
            self._write("denied", t=now, message=fields["message"], key=key)
            self._write("duplicate", t=now, key=key, **fields)
        else:
            self._write("refused", reason=str(answer), **fields)

    # -- reserving and settling

    def reserve(self, reserve: Call) -> Call:
        async def recorded(n: int, wait: float) -> list[Reservation]:
            with self._called("reserve"):
                taken: list[Reservation] = await reserve(n, wait)
            for each in taken:
                expires = round(each.expires_at * NANOSECONDS)
                self._write("reserved", expires=expires, n=each.deliveries, **_of(each))
            return taken

        return recorded

    def ack(self, ack: Call) -> Call:
        async def recorded(reservations: Sequence[Reservation]) -> Sequence[bool]:
            with self._called("ack") as began:
                owned: Sequence[bool] = await ack(reservations)
            for each, was_owned in zip(reservations, owned, strict=True):
                if was_owned:
                    self._write("acked", t=began, **_of(each))
                else:
                    self._write("stale", outcome="ack", **_of(each))
            return owned

        return recorded

    def release(self, release: Call) -> Call:
        async def recorded(reservation: Reservation, delay: float) -> None:
            with self._settling("release", reservation) as began:
                await release(reservation, delay)
            due = began + round(delay * NANOSECONDS) if delay > 0 else 0
            attempt = name_of(reservation.body, reservation.id)[2]
            self._write("released", t=began, due=due, attempt=attempt, **_of(reservation))

        return recorded

    def dead_letter(self, dead_letter: Call) -> Call:
        async def recorded(reservation: Reservation, reason: str) -> None:
            with self._settling("dead_letter", reservation) as began:
                await dead_letter(reservation, reason)
            self._write("dead", t=began, reason=reason, **_of(reservation))

        return recorded

    def extend(self, extend: Call) -> Call:
        async def recorded(reservation: Reservation, by: float) -> Reservation:
            with self._settling("extend", reservation):
                extended: Reservation = await extend(reservation, by)
            self._write("extended", expires=round(extended.expires_at * NANOSECONDS), **_of(reservation))
            return extended

        return recorded

    @contextmanager
    def _settling(self, operation: str, reservation: Reservation) -> Iterator[int]:
        try:
            with self._called(operation) as began:
                yield began
        except ReservationLost:
            self._write("stale", outcome=operation, **_of(reservation))
            raise


def _of(reservation: Reservation) -> dict[str, Any]:
    return {"message": name_of(reservation.body, reservation.id)[0], "receipt": number_of(reservation.receipt)}


# -- consumers


def watch_consumer(journal: Journal, consumer: Consumer, queue: str) -> None:
    """Write down when a consumer runs, stops and has stopped, and what it holds then."""

    def running(run: Call) -> Call:
        async def recorded(*args: Any) -> Any:
            journal.write("consumer", queue=queue, outcome="running")
            try:
                return await run(*args)
            finally:
                journal.write("consumer", queue=queue, outcome="stopped")
                journal.write("at_rest", queue=queue, data={"in_flight": consumer.in_flight})

        return recorded

    def stopping(stop: Call) -> Call:
        async def recorded(timeout: float | None = None) -> int:
            if consumer.running:
                journal.write("consumer", queue=queue, outcome="stopping")
            return int(await stop(timeout))

        return recorded

    _replace(consumer, run=running, process_one=running, process_all=running, stop=stopping)


# -- what queues share


def watch_stores(journal: Journal, broker: Broker) -> None:
    """Write down what the rate limiter and the locks are asked for and answer."""
    watch = _Stores(journal)
    _replace(broker.limiter, take=watch.take, refund=watch.refund)
    _replace(broker.locks, acquire=watch.acquire, unlock=watch.unlock)


class _Stores:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def take(self, take: Call) -> Call:
        async def recorded(key: str, limit: Any, n: int) -> Any:
            with _called(self._journal, "", "take"):
                grant = await take(key, limit, n)
            self._journal.write("grant", key=key, n=grant.allowed)
            return grant

        return recorded

    def refund(self, refund: Call) -> Call:
        async def recorded(key: str, limit: Any, unused: int, grant: Any) -> None:
            with _called(self._journal, "", "refund") as began:
                await refund(key, limit, unused, grant)
            self._journal.write("refund", t=began, key=key, n=unused)

        return recorded

    def acquire(self, acquire: Call) -> Call:
        async def recorded(key: str, owner: str, ttl: float) -> bool:
            with _called(self._journal, "", "acquire") as began:
                held = bool(await acquire(key, owner, ttl))
            expires = began + round(ttl * NANOSECONDS) if held else 0
            self._journal.write("locked" if held else "lock_denied", key=key, owner=owner, expires=expires)
            return held

        return recorded

    def unlock(self, unlock: Call) -> Call:
        async def recorded(key: str, owner: str) -> None:
            with _called(self._journal, "", "unlock") as began:
                await unlock(key, owner)
            self._journal.write("unlocked", t=began, key=key, owner=owner)

        return recorded
