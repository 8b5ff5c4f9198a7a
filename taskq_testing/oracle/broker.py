"""Reading what the broker did: each event takes its copy through one move of the message table.

What the table does not know is noted as impossible and then believed, so that the rest of the history still makes sense.
A broker need not say that something came due or expired: once its time has passed, that is taken as said.
"""

from __future__ import annotations

from collections.abc import Callable

from taskq.core.lifecycle import MESSAGE
from taskq_testing.history import Event
from taskq_testing.oracle.model import FOREVER, GONE, Copy, Impossible, Lease, Model, Queue, nanoseconds
from taskq_testing.oracle.workers import run_settled

__all__ = ["READERS"]

_MOVES = MESSAGE.moves
_AFTER = {move: after for moves in _MOVES.values() for move, after in moves.items()}
_LATE = nanoseconds(5.0)
"""What a consumer may sleep between two tries when its broker was down."""


def _move(model: Model, event: Event, copy: Copy, move: str, why: str = "state") -> None:
    """Take a copy through a move, possible or not; `why` it is not, where its state alone does not say that."""
    state = copy.state
    after = _MOVES[state].get(move)
    if after is None:
        model.noticed.impossible.append(Impossible(event, copy, state, why, copy.lease))
        after = _AFTER[move]
    if after != state:
        counts = copy.queue.counts
        counts[state] -= 1
        counts[after] += 1
        copy.state = after


def _can_be_had(copy: Copy, event: Event, due: int) -> None:
    """Note from when on the copy can be reserved."""
    copy.due = due
    if due > 0:
        copy.was_delayed = True
        copy.since = due
        copy.ready_at = FOREVER
    else:
        copy.since = copy.ready_at = event.t


def _stored(model: Model, event: Event) -> None:
    copy = model.copies.get((event.message, event.copy))
    if event.op:
        model.stores[event.op].append(event)
    if event.key:
        _claim(model, event)
    if copy is not None and copy.state != GONE and event.op and copy.born.op == event.op:
        return  # the same add, carried out twice
    if copy is None or copy.state == "done":
        copy = model.new_copy(event)
    copy.message.task = event.task or copy.message.task
    _move(model, event, copy, "send_delayed" if event.due > 0 else "send")
    copy.born = event
    copy.undone = False
    copy.earliest = event.due
    op = model.ops.get(event.op or event.message)
    if op is not None and op.add is not None and op.add.delay > 0:
        copy.earliest = max(event.due, event.t + nanoseconds(op.add.delay))
    _can_be_had(copy, event, event.due)


def _claim(model: Model, event: Event) -> None:
    """Note that an add took its key."""
    until = event.t + nanoseconds(event.ttl)
    model.claims[event.key].append(event)
    model.held[event.key] = max(until, model.held.get(event.key, 0))
    model.ever_held[event.key] = max(until, model.ever_held.get(event.key, 0))


def _denied(model: Model, event: Event) -> None:
    model.denied.add(event.message)
    until = model.held.get(event.key)
    if until is None or until + model.queue(event.queue).resolution < event.t:
        model.noticed.unfounded.append(event)


def _due(model: Model, event: Event) -> None:
    copy = model.copy(event)
    _move(model, event, copy, "due", "promoted" if copy.was_delayed else "state")
    copy.since = min(copy.since, event.t)
    copy.ready_at = event.t


def _reserved(model: Model, event: Event) -> None:
    copy = model.copies.get((event.message, event.copy))
    if copy is None:
        copy = model.new_copy(event)
    state, now = copy.state, event.t
    lease = copy.lease
    if state != "ready":
        _become_ready(model, event, copy)
    finished = copy.acked is not None
    if finished and state != "done":
        model.noticed.impossible.append(Impossible(event, copy, copy.state, "finished", lease))
    healed = model.healed
    if healed is not None and copy.state == "ready":
        since = max(copy.since, healed.t + _LATE)
        if now - since > copy.queue.poll + _LATE:
            model.noticed.waits.append((copy, since, now, event))
    _move(model, event, copy, "reserve", "finished" if finished and state == "done" else "state")
    if lease is not None and lease.over is None:
        lease.over = event
    lease = Lease(copy, event)
    copy.barren += 1
    copy.lease = lease
    copy.leases.append(lease)
    copy.message.leases[event.receipt] = lease
    queue, ready_at = copy.queue, copy.ready_at
    if ready_at < FOREVER:
        youngest = queue.youngest
        if youngest is None or ready_at > youngest.ready_at:
            queue.youngest = lease
        elif ready_at + queue.patience < youngest.ready_at:
            model.noticed.overtaken.append((copy, ready_at, youngest, event))


def _become_ready(model: Model, event: Event, copy: Copy) -> None:
    """Take it as said that a copy came due, or that its reservation ended, if it is time."""
    soon = event.t + copy.queue.resolution
    if copy.state == "delayed" and copy.due <= soon:
        _move(model, event, copy, "due")
        copy.ready_at = event.t
    elif copy.state == "reserved" and copy.lease is not None and copy.lease.expires <= soon:
        _end(model, copy.lease, event)
        _move(model, event, copy, "expire")
        copy.ready_at = event.t
        copy.lease = None


def _end(model: Model, lease: Lease, event: Event) -> None:
    """Note that a reservation ran out."""
    if lease.over is None:
        lease.over = event
        model.noticed.lapses.append((lease, lease.expires, lease.renewed, event))


def _expired(model: Model, event: Event) -> None:
    copy = model.copy(event)
    lease = copy.lease
    if copy.state == "reserved" and lease is not None:
        if lease.receipt != event.receipt:
            model.noticed.impossible.append(Impossible(event, copy, copy.state, "receipt", lease))
        elif event.t + copy.queue.resolution < lease.expires and not _died(model, lease):
            model.noticed.impossible.append(Impossible(event, copy, copy.state, "early", lease))
        _end(model, lease, event)
    _move(model, event, copy, "expire")
    copy.lease = None
    _can_be_had(copy, event, 0)


def _died(model: Model, lease: Lease) -> bool:
    """Return whether the owner of a reservation died since it got it."""
    crashes = model.crashes.get(lease.process)
    return crashes is not None and crashes[-1].seq > lease.event.seq


def _own(model: Model, event: Event, move: str) -> tuple[Copy, Lease | None]:
    """Take a copy through a move that only its owner can make; return it with the reservation that it was made under."""
    copy = model.copies.get((event.message, event.copy))
    if copy is None:
        copy = model.new_copy(event)
    lease = copy.lease
    if copy.state == "reserved" and lease is not None and lease.receipt != event.receipt:
        former = copy.message.leases.get(event.receipt)
        if move == "ack" and former is not None and former.over is not None and former.over.kind == "rolled_back":
            _move(model, event, copy, move)
            return copy, former
        model.noticed.impossible.append(Impossible(event, copy, copy.state, "receipt", lease))
        _move(model, event, copy, move)
        return copy, copy.message.leases.get(event.receipt)
    _move(model, event, copy, move)
    return copy, lease if lease is not None else copy.message.leases.get(event.receipt)


def _extended(model: Model, event: Event) -> None:
    copy, lease = _own(model, event, "extend")
    if lease is not None:
        lease.expires = event.expires
        lease.renewed = event
        copy.lease = lease


def _settled(model: Model, event: Event, move: str) -> Copy:
    """Take a copy through a move that ends its reservation."""
    copy, lease = _own(model, event, move)
    current, copy.lease = copy.lease, None
    for ended in (current, lease):
        if ended is not None and ended.over is None:
            ended.over = event
    copy.barren = 0
    if lease is not None and lease.over is event and lease.runs:
        run_settled(model, event, lease)
    return copy


def _acked(model: Model, event: Event) -> None:
    copy = _settled(model, event, "ack")
    if copy.ok is None:
        model.noticed.unearned.append(event)
    copy.acked = event
    copy.outcomes.append(event)


def _released(model: Model, event: Event) -> None:
    copy = _settled(model, event, "release_delayed" if event.due > 0 else "release")
    _can_be_had(copy, event, event.due)
    if event.attempt and (copy.floor is None or event.attempt > copy.floor[0]):
        copy.floor = (event.attempt, event)


def _dead(model: Model, event: Event) -> None:
    copy = _settled(model, event, "dead_letter")
    copy.outcomes.append(event)


def _stale(model: Model, event: Event) -> None:
    message = model.message(event.message)
    lease = message.leases.get(event.receipt)
    if lease is None or lease.copy.lease is not lease:
        return
    if event.t + lease.copy.queue.resolution < lease.expires:
        model.noticed.impossible.append(Impossible(event, lease.copy, lease.copy.state, "refused", lease))


def _purged(model: Model, event: Event) -> None:
    copy = model.copy(event)
    _move(model, event, copy, "purge")
    copy.outcomes.append(event)
    if copy.lease is not None:
        copy.lease.over = copy.lease.over or event
        copy.lease = None


def _redriven(model: Model, event: Event) -> None:
    copy = model.copy(event)
    _move(model, event, copy, "redrive")
    copy.outcomes = [outcome for outcome in copy.outcomes if outcome.kind not in ("dead", "restored")]
    copy.redriven = event
    copy.floor = copy.asked = None
    copy.errors = 0
    _can_be_had(copy, event, 0)


def _cloned(model: Model, event: Event) -> None:
    if (event.message, event.copy) not in model.copies:
        copy = model.new_copy(event)
        _move(model, event, copy, "send")
        copy.ready_at = event.t


def _corrupted(model: Model, event: Event) -> None:
    copy = model.copy(event)
    copy.corrupted = True
    model.noticed.corruptions.append(event)


def _size(model: Model, event: Event) -> None:
    queue, said = model.queue(event.queue), event.data or {}
    counts = queue.counts
    if all(said.get(state, counts[state]) == counts[state] for state in ("ready", "delayed", "reserved", "dead")):
        return
    due, lapsed = _overdue(model, queue, event.t + queue.resolution)
    delayed, reserved = said.get("delayed", counts["delayed"]), said.get("reserved", counts["reserved"])
    ready = counts["ready"] + counts["delayed"] + counts["reserved"] - delayed - reserved
    miscounts = model.noticed.miscounts
    if reserved > counts["reserved"]:
        miscounts.append((3, "reserved", counts["reserved"], event))
    elif reserved < counts["reserved"] - lapsed:
        miscounts.append((2, "reserved", counts["reserved"], event))
    elif not counts["delayed"] - due <= delayed <= counts["delayed"]:
        miscounts.append((2, "delayed", counts["delayed"], event))
    elif said.get("ready", ready) != ready:
        miscounts.append((2, "ready", ready, event))
    elif said.get("dead", counts["dead"]) != counts["dead"]:
        miscounts.append((2, "dead", counts["dead"], event))


def _overdue(model: Model, queue: Queue, now: int) -> tuple[int, int]:
    """Return how many copies are delayed beyond their time, and how many reserved beyond it."""
    here = [copy for copy in model.every if copy.queue is queue]
    due = sum(copy.state == "delayed" and copy.due <= now for copy in here)
    lapsed = sum(copy.state == "reserved" and copy.lease is not None and copy.lease.expires <= now for copy in here)
    return due, lapsed


READERS: dict[str, Callable[[Model, Event], None]] = {
    "stored": _stored,
    "denied": _denied,
    "due": _due,
    "reserved": _reserved,
    "extended": _extended,
    "acked": _acked,
    "released": _released,
    "dead": _dead,
    "expired": _expired,
    "stale": _stale,
    "purged": _purged,
    "redriven": _redriven,
    "cloned": _cloned,
    "corrupted": _corrupted,
    "size": _size,
}
