"""Reading what consumers and their workers did: runs, fallbacks, decisions, pauses, and what they say of themselves."""

from __future__ import annotations

from collections.abc import Callable

from taskq.core.pause import EVERYTHING
from taskq_testing.history import Event
from taskq_testing.oracle.model import FOREVER, Impossible, Lease, Lock, Lockless, Model, Pair, Pause, Run, nanoseconds

__all__ = ["READERS", "run_settled", "stops_running"]

_STOPPING = ("stopping", "stopped")


# -- runs


def _start(model: Model, event: Event) -> None:
    lease = _lease_of(model, event)
    copy = lease.copy if lease is not None else model.copy(event)
    run = Run(event, copy, lease)
    message = copy.message
    if message.started is None:
        message.started = event
        message.task = message.task or event.task
    soon = event.t + copy.queue.resolution
    if soon < copy.earliest and not copy.clone:
        model.noticed.early.append((copy, event))
    if lease is None:
        if event.receipt:
            model.noticed.impossible.append(Impossible(event, copy, copy.state, "receipt", None))
    else:
        _start_under(model, event, run, lease)
    copy.runs.append(run)
    copy.running.append(run)
    model.runs[event.run] = run
    model.alive[event.process].add(run)
    if model.pauses or model.overdue:
        _start_in_pause(model, run)
    if copy.queue.worker_limit is not None:
        _start_with_lock(model, run, copy.queue.worker_limit)
    if copy.queue.rate is not None and (lease is None or len(lease.runs) == 1):
        model.grants[f"rate:{copy.queue.name}"].append(event)
    said = model.consumers.get((event.process, event.queue))
    if said is not None and said.outcome == "stopped":
        model.noticed.after_stop.append((said, event))


def _lease_of(model: Model, event: Event) -> Lease | None:
    """Return the reservation that a run goes by."""
    lease = model.message(event.message).leases.get(event.receipt)
    if lease is not None and lease.over is not None and lease.over.kind in ("acked", "released", "dead"):
        # Its owner has settled it: if the same process has the message again, that is what it runs.
        current = lease.copy.lease
        if current is not None and current.process == event.process:
            return current
    return lease


def _start_under(model: Model, event: Event, run: Run, lease: Lease) -> None:
    copy = lease.copy
    soon = event.t + copy.queue.resolution
    if copy.runs:
        _note_pairs(model, event, run, lease)
    lease.runs.append(run)
    if lease is copy.lease and not copy.corrupted and event.attempt:
        floor = copy.floor
        if floor is None or event.attempt > floor[0]:
            copy.floor = (event.attempt, event)
        elif event.attempt < floor[0]:
            model.noticed.regressions.append((floor, event, copy))
    asked = copy.asked
    if asked is not None and soon < asked[0] and lease.event.seq > asked[1].seq:
        model.noticed.hasty.append((asked, event))
    limit = copy.queue.poison_limit
    if limit is not None and lease.number > limit:
        model.noticed.poisoned.append((lease, event))


def _note_pairs(model: Model, event: Event, run: Run, lease: Lease) -> None:
    """Note the runs of the same copy that go before and after this one, by their reservations, and those that overlap it."""
    before = after = None
    for other in lease.copy.runs:
        if other.lease is None:
            continue
        if other.lease.index <= lease.index:
            before = other if before is None or _index(before) <= other.lease.index else before
        elif after is None or other.lease.index < _index(after):
            after = other
    redriven = lease.copy.redriven
    if before is not None and (redriven is None or redriven.seq < before.event.seq):
        model.noticed.repeats.append(_pair(before, run, event))
    if after is not None:
        model.noticed.repeats.append(_pair(run, after, event))
    for other in lease.copy.running:
        if other.lease is not None:
            first, second = (other, run) if other.lease.index <= lease.index else (run, other)
            model.noticed.overlaps.append(_pair(first, second, event))


def _pair(before: Run, after: Run, event: Event) -> Pair:
    lease = before.lease
    assert lease is not None
    return Pair(before, after, event, lease.expires, lease.over)


def _index(run: Run) -> int:
    return run.lease.index if run.lease is not None else -1


def stops_running(model: Model, run: Run) -> None:
    """Take a run out of those that go on."""
    running = run.copy.running
    if run not in running:
        return
    running.remove(run)
    model.alive[run.event.process].discard(run)
    workers = run.copy.queue.workers
    key = (run.event.process, run.event.worker)
    if workers and key in workers:
        workers[key] -= 1
        if not workers[key]:
            del workers[key]


def _end(model: Model, event: Event) -> None:
    run = model.runs.get(event.run)
    if run is None or run.end is not None:
        return
    run.end = event
    if run.died is not None:
        return
    stops_running(model, run)
    if event.outcome == "ok" and run.copy.ok is None:
        run.copy.ok = event


def _fallback(model: Model, event: Event) -> None:
    run = model.runs.get(event.run)
    if run is not None:
        model.noticed.fallbacks.append((event, run))
        run.fallbacks.append(event)


def _fallback_end(model: Model, event: Event) -> None:
    run = model.runs.get(event.run)
    if run is not None:
        run.fallback_end = event
        if event.outcome == "ok" and run.copy.ok is None:
            run.copy.ok = event


def run_settled(model: Model, event: Event, lease: Lease) -> None:
    """Draw the conclusions from the settling of a reservation under which something ran."""
    run, copy = lease.runs[-1], lease.copy
    said = model.consumers.get((lease.process, copy.queue.name))
    stopping = said is not None and said.outcome in _STOPPING
    end = run.end
    if event.kind == "released" and stopping and (end is None or end.outcome == "ok"):
        lease.given_back = True
        if end is None:
            stops_running(model, run)  # what goes on is a thread without a master
    if end is None:
        return
    if end.outcome == "ok":
        if event.kind != "acked" and not lease.given_back:
            model.noticed.altered.append((run, event))
    elif end.outcome == "error":
        if event.kind != "released":
            model.noticed.given_up.append((run, event))
        _failed(model, event, run, interrupted=stopping or copy.queue.worker_limit is not None)


def _failed(model: Model, event: Event, run: Run, *, interrupted: bool) -> None:
    """Count the error of a run, and note what wait it asked for."""
    copy, end = run.copy, run.end
    task = model.task(copy)
    assert end is not None
    again = event.kind == "released" and event.attempt == run.event.attempt != 0
    if again and interrupted and run.settled is None:
        return  # a run that was interrupted is given back as it was, whatever it raised
    copy.errors += 1
    if task is not None and copy.errors > task.max_attempts:
        model.noticed.excess.append((copy, copy.errors, end))
    if event.kind != "released" or again:
        return
    if end.delay >= 0:
        copy.asked = (event.t + nanoseconds(end.delay), event, run)
    elif task is not None:
        copy.asked = (event.t + nanoseconds(task.backoff(run.event.attempt)), event, run)


# -- worker locks


def _start_with_lock(model: Model, run: Run, limit: int) -> None:
    event, workers = run.event, run.copy.queue.workers
    lacks = _lacks(model, event, event.process, event.worker)
    if lacks is not None:
        model.noticed.lockless.append((run, lacks))
    key = (event.process, event.worker)
    workers[key] = workers.get(key, 0) + 1
    if len(workers) > limit:
        without = [lacks for process, worker in workers if (lacks := _lacks(model, event, process, worker)) is not None]
        model.noticed.crowds.append((run.copy.queue, event, len(workers), without))


def _lacks(model: Model, event: Event, process: str, worker: int) -> Lockless | None:
    """Return what is wrong with the lock of a worker at an event; None if it has a good one."""
    locks = model.worker_locks.get((process, event.queue, worker))
    if not locks:
        return Lockless(process, "", None, 0, freed=True, excused=False)
    lock = max(locks.values(), key=_goodness) if len(locks) > 1 else next(iter(locks.values()))
    undone = model.rolled_back_since(lock.event)
    freed = lock.unlocked
    if freed is None and not undone and lock.expires > event.t:
        return None
    gone = freed.t if freed is not None else lock.expires
    excused = undone or (freed is not None and (process, event.queue) in model.stopping)
    return Lockless(process, lock.key, lock.event, gone, freed is not None, excused)


def _goodness(lock: Lock) -> tuple[bool, int]:
    return (lock.unlocked is None, lock.expires)


# -- decisions, pauses


def _settled(model: Model, event: Event) -> None:
    run = model.runs.get(event.run)
    if run is not None:
        run.settled = event
        if event.outcome != "ack" and run.end is not None and run.end.outcome == "ok":
            model.noticed.altered.append((run, event))
    queue = run.copy.queue if run is not None else model.queue(event.queue)
    if not queue.threshold:
        return
    task = model.taker(queue, model.message(event.message))
    scope = task if queue.pause_scope == "task" else EVERYTHING
    place = (event.process, queue.name, scope)
    if event.outcome == "ack":
        model.failures.pop(place, None)
        return
    pause = model.pauses.get(place)
    if pause is not None and event.t < pause.until:
        return  # what fails in a pause was running when it began
    failures = model.failures.setdefault(place, [])
    failures.append(event)
    if len(failures) >= queue.threshold:
        model.overdue[place] = failures
        del model.failures[place]


def _paused(model: Model, event: Event) -> None:
    queue = model.queue(event.queue)
    task = event.task
    place = (event.process, event.queue, task)
    until = FOREVER if event.delay < 0 else event.t + nanoseconds(event.delay)
    failures = model.failures.pop(place, [])
    overdue = model.overdue.pop(place, None)
    if not event.reason:  # not by hand
        if overdue is None and len(failures) < queue.threshold - 1:
            model.noticed.too_early.append((event, len(failures) + 1))
        if queue.threshold and abs(until - event.t - queue.pause_period) > queue.resolution:
            model.noticed.wrong_length.append(event)
        if task == EVERYTHING and queue.pause_scope == "task":
            model.noticed.wide.append(event)
    model.pauses[place] = Pause(event, until)
    if until == FOREVER:
        model.standing.open(place, "by hand", event.t)
    else:
        model.standing.add(place, event.t, until)


def _resumed(model: Model, event: Event) -> None:
    task = event.task
    for places in (model.pauses, model.failures, model.overdue):
        for place in [p for p in places if p[:2] == (event.process, event.queue) and task in (EVERYTHING, p[2])]:
            del places[place]
            model.standing.close(place, "by hand", event.t)


def _start_in_pause(model: Model, run: Run) -> None:
    event, copy = run.event, run.copy
    grace = copy.queue.poll + copy.queue.resolution
    batch = model.is_batch(copy)
    for task in (model.taker(copy.queue, copy.message), EVERYTHING):
        place = (event.process, event.queue, task)
        pause = model.pauses.get(place)
        if pause is not None and event.t + copy.queue.resolution >= pause.until:
            del model.pauses[place]
        elif pause is not None and event.t > pause.event.t + grace and not batch:
            model.noticed.impatient.append((event, [pause.event]))
        overdue = model.overdue.get(place)
        if overdue is not None and event.t > overdue[-1].t + grace and not batch:
            model.noticed.impatient.append((event, overdue))
            del model.overdue[place]


# -- what consumers say of themselves


def _hook(model: Model, event: Event) -> None:
    model.noticed.hooks[event.run].append(event)


def _buffered(model: Model, event: Event) -> None:
    queue = model.queue(event.queue)
    data = event.data
    if (queue.buffer is not None and event.n > queue.buffer) or (data and data.get("bytes", 0) > data.get("cap", FOREVER)):
        model.noticed.buffered.append(event)


def _consumer(model: Model, event: Event) -> None:
    place = (event.process, event.queue)
    model.consumers[place] = event
    if event.outcome == "running":
        model.serving.open(place, "runs", event.t)
        return
    model.serving.close(place, "runs", event.t)
    if event.outcome == "stopping":
        model.stopping[place] = event


def _at_rest(model: Model, event: Event) -> None:
    place = (event.process, event.queue)
    model.noticed.leftovers.append((event, model.consumers.get(place), model.stopping.get(place), _owned(model, event)))


def _owned(model: Model, event: Event) -> list[Event]:
    """Return since when a process owns what it owns by the broker's word, where it says that it owns something."""
    if not (event.data or {}).get("owned"):
        return []
    crashes = model.crashes.get(event.process)
    since = crashes[-1].seq if crashes else -1
    return [
        lease.renewed  # as it is now: a rollback may renew it once more
        for copy in model.every
        if (lease := copy.lease) is not None
        and copy.queue.name == event.queue
        and lease.process == event.process
        and lease.event.seq > since
    ]


READERS: dict[str, Callable[[Model, Event], None]] = {
    "start": _start,
    "end": _end,
    "fallback": _fallback,
    "fallback_end": _fallback_end,
    "settled": _settled,
    "paused": _paused,
    "resumed": _resumed,
    "hook": _hook,
    "buffered": _buffered,
    "consumer": _consumer,
    "at_rest": _at_rest,
}
