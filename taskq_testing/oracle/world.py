"""Reading what surrounds the messages: policies, producers, shared limits and locks, processes and what befalls them."""

from __future__ import annotations

from collections.abc import Callable

from taskq_testing.history import Event
from taskq_testing.oracle.model import FOREVER, GONE, Copy, Lease, Lock, Model, Op, Queue, Task, nanoseconds
from taskq_testing.oracle.workers import stops_running

__all__ = ["HARMLESS", "READERS"]

HARMLESS = frozenset({"slow_handler", "reorder", "duplicate", "corrupt", "clock_skew", "clock_jump", "memory_pressure"})
"""Faults that keep no process from extending what it owns, and no consumer from taking what is due."""

_EVERYBODY = ("", "broker")
_ROUNDING = nanoseconds(0.001)


# -- set-up


def _queue(model: Model, event: Event) -> None:
    queue = model.queues[event.queue] = Queue(event.queue, event.data or {})
    if queue.poll < FOREVER:
        model.longest_poll = max(model.longest_poll, queue.poll)


def _task(model: Model, event: Event) -> None:
    model.tasks[event.queue, event.task] = Task(event.data or {})


# -- producers


def _add(model: Model, event: Event) -> None:
    message = model.message(event.message)
    message.task = message.task or event.task
    _op(model, event).add = event


def _op(model: Model, event: Event) -> Op:
    key = event.op or event.message
    op = model.ops.get(key)
    if op is None:
        message = model.message(event.message)
        op = model.ops[key] = Op(message)
        message.ops.append(op)
    return op


def _accepted(model: Model, event: Event) -> None:
    op = _op(model, event)
    op.answered = event
    op.hopeful = True
    if op.message.accepted is None:
        op.message.accepted = event


def _unknown(model: Model, event: Event) -> None:
    op = _op(model, event)
    op.answered = event
    op.hopeful = op.lost = True


def _refused(model: Model, event: Event) -> None:
    _op(model, event).answered = event


def _duplicate(model: Model, event: Event) -> None:
    op = _op(model, event)
    op.answered = event
    key = event.key or (op.add.key if op.add is not None else "")
    since = op.add.t if op.add is not None else event.t
    if key and event.message not in model.denied and model.ever_held.get(key, -1) < since:
        model.noticed.unfounded.append(event)


# -- limits and locks


def _grant(model: Model, event: Event) -> None:
    if event.n:
        model.grants[event.key].append(event)
    else:
        model.refusals[event.process].append(event.t)


def _refund(model: Model, event: Event) -> None:
    model.grants[event.key].append(event)


def _locked(model: Model, event: Event) -> None:
    lock = model.locks.get(event.key)
    if lock is not None and lock.owner == event.owner:
        lock.event = event
        lock.expires = event.expires or FOREVER
    else:
        if lock is not None and lock.expires > event.t and not model.rolled_back_since(lock.event):
            model.noticed.stolen.append((lock, event))
        lock = model.locks[event.key] = Lock(event)
    queue, found, _ = event.key.rpartition(":worker:lock:")
    number = event.owner.rpartition(":")[2]
    if found and number.isdigit():
        model.worker_locks[event.process, queue, int(number)][event.owner] = lock


def _lock_denied(model: Model, event: Event) -> None:
    model.refusals[event.process].append(event.t)


def _unlocked(model: Model, event: Event) -> None:
    lock = model.locks.get(event.key)
    if lock is not None and lock.owner == event.owner:
        lock.unlocked = event
        del model.locks[event.key]


# -- processes


def _crash(model: Model, event: Event) -> None:
    process = event.process
    model.crashes[process].append(event)
    model.trouble.open(process, "dead", event.t)
    # A call that was on its way when its process died may still be carried out, for nobody.
    model.trouble.add(process, event.t, event.t + model.longest_poll + _ROUNDING)
    for run in list(model.alive.get(process, ())):
        run.died = event
        stops_running(model, run)
    for place in [place for place in model.consumers if place[0] == process]:
        del model.consumers[place]
        model.stopping.pop(place, None)
        model.serving.close(place, "runs", event.t)
    _forget_failures(model, event)
    for lock in model.locks.values():
        if lock.expires == FOREVER and lock.event.process == process:
            model.noticed.eternal.append((lock, event))
    for owned in [owned for owned in model.worker_locks if owned[0] == process]:
        del model.worker_locks[owned]


def _spawn(model: Model, event: Event) -> None:
    model.trouble.close(event.process, "dead", event.t)
    _forget_failures(model, event)


def _forget_failures(model: Model, event: Event) -> None:
    """A process counts failures for itself; another under its name, or after it, begins anew."""
    for places in (model.pauses, model.failures, model.overdue):
        for pause in [pause for pause in places if pause[0] == event.process]:
            del places[pause]
            model.standing.close(pause, "by hand", event.t)


def _suspend(model: Model, event: Event) -> None:
    model.trouble.open(event.process, "still", event.t)


def _wake(model: Model, event: Event) -> None:
    model.trouble.close(event.process, "still", event.t)


def _cut(model: Model, event: Event) -> None:
    model.trouble.open(event.process, "cut off", event.t)


def _mended(model: Model, event: Event) -> None:
    model.trouble.close(event.process, "cut off", event.t)


def _fault(model: Model, event: Event) -> None:
    if event.outcome in HARMLESS:
        if event.message:
            model.message(event.message).faulted = True
        return
    process = "" if event.process in _EVERYBODY else event.process
    until = event.t + (nanoseconds(event.delay) if event.delay > 0 else 0)
    if event.reason == "reserve":
        until += model.longest_poll  # it waits at the broker before its answer is hit
    model.trouble.add(process, event.t, until)


def _heal(model: Model, event: Event) -> None:
    model.healed = event
    model.trouble.close_all("still", event.t)
    model.trouble.close_all("cut off", event.t)


def _rest(model: Model, event: Event) -> None:
    model.rest = event


# -- going back


def _rolled_back(model: Model, event: Event) -> None:
    """Forget what the broker forgot. What happened at the very moment of `due` may be on either side of it."""
    due = event.due
    model.rollbacks.append(event)
    model.trouble.add("", event.t, event.t)
    for copy in model.every:
        lease = copy.lease
        if lease is not None and lease.over is None:
            lease.over = event
        copy.lease = None
        copy.asked = copy.floor = None
        copy.barren = copy.errors = 0
        forgotten = copy.born.t >= due
        if copy.state not in ("done", GONE):
            copy.undone = forgotten
            _put(copy, GONE)
        elif forgotten and copy.state == "done":
            copy.undone = True
            copy.acked = None
            _put(copy, GONE)
        if copy.undone:
            copy.outcomes = []
    for op, stores in model.stores.items():
        model.stores[op] = [stored for stored in stores if stored.t < due]
    model.held.clear()
    for key, claims in model.claims.items():
        kept = model.claims[key] = [stored for stored in claims if stored.t <= due]
        if kept:
            model.held[key] = max(stored.t + nanoseconds(stored.ttl) for stored in kept)
    for events in model.grants.values():
        events.append(event)


def _put(copy: Copy, state: str) -> None:
    counts = copy.queue.counts
    counts[copy.state] -= 1
    counts[state] += 1
    copy.state = state


def _restored(model: Model, event: Event) -> None:
    copy = model.copy(event)
    _put(copy, event.outcome)
    since = model.rollbacks[-1].due if model.rollbacks else event.t
    copy.undone = False
    copy.outcomes = [outcome for outcome in copy.outcomes if outcome.t < since]
    if copy.acked is not None and copy.acked.t >= since:
        copy.acked = None
    for undone in copy.leases if model.rollbacks else ():
        if undone.over is not None and undone.over.t >= since:
            undone.over = model.rollbacks[-1]
    copy.due = event.due
    copy.since = event.due or event.t
    copy.ready_at = event.t if event.outcome == "ready" else FOREVER
    copy.was_delayed = copy.was_delayed or event.outcome == "delayed"
    if event.outcome == "reserved":
        lease = copy.message.leases.get(event.receipt)
        if lease is None:
            lease = copy.message.leases[event.receipt] = Lease(copy, event)
            copy.leases.append(lease)
        lease.over = None
        lease.expires = event.expires
        lease.renewed = event
        copy.lease = lease
    elif event.outcome == "dead" and not copy.outcomes:
        copy.outcomes.append(event)


READERS: dict[str, Callable[[Model, Event], None]] = {
    "queue": _queue,
    "task": _task,
    "add": _add,
    "accepted": _accepted,
    "duplicate": _duplicate,
    "refused": _refused,
    "unknown": _unknown,
    "grant": _grant,
    "refund": _refund,
    "locked": _locked,
    "lock_denied": _lock_denied,
    "unlocked": _unlocked,
    "crash": _crash,
    "spawn": _spawn,
    "suspend": _suspend,
    "wake": _wake,
    "cut": _cut,
    "mended": _mended,
    "fault": _fault,
    "heal": _heal,
    "rest": _rest,
    "rolled_back": _rolled_back,
    "restored": _restored,
}
