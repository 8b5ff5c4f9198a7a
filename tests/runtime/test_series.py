"""Sync handlers that share a trip to a thread: what runs, what comes back, and that nobody waits behind a long one."""

import asyncio
import threading
from contextvars import copy_context

import pytest
from support import run, until

import taskq
from taskq.message import Reservation
from taskq.runtime.series import Entry, Series, length
from taskq.runtime.state import Buffer, Delivery

now_is = [0.0]


def series_of(*calls):
    series = Series(lambda: now_is[0])
    for call in calls:
        entry = Entry(Delivery(Reservation(b"i", b"", 1), None), None, copy_context())
        entry.call = call
        series.waiting.append(entry)
    return series


def test_handlers_run_in_order_and_are_timed():
    """Each handler runs after the one before, and its own time is kept."""
    ran = []

    def take(seconds):
        ran.append(seconds)
        now_is[0] += seconds

    series = series_of(lambda: take(1.0), lambda: take(2.0))
    series.run()
    assert ran == [1.0, 2.0]
    assert [(entry.finished, entry.error, entry.seconds) for entry in series.begun] == [(True, None, 1.0), (True, None, 2.0)]
    assert not series.waiting


@pytest.mark.parametrize(("error", "leaves"), [(ValueError, False), (SystemExit, True)])
def test_a_failure_ends_a_series(error, leaves):
    """What comes after a failure is not begun: its task may pause now. What is no Exception leaves the thread's hands, too."""

    def fails():
        raise error

    series = series_of(lambda: None, fails, lambda: None)
    if leaves:
        with pytest.raises(error):
            series.run()
    else:
        series.run()
    assert [type(entry.error) for entry in series.begun] == [type(None), error]
    assert len(series.take_back()) == 1


def test_what_was_lost_meanwhile_is_not_run():
    """A message that is cancelled before its turn does not run, and those behind it do."""
    ran = []
    series = series_of(lambda: ran.append(1), lambda: ran.append(2))
    series.waiting[0].delivery.cancelled = True
    series.run()
    assert ran == [2]
    assert [entry.finished for entry in series.begun] == [False, True]


def test_what_has_not_begun_can_be_taken_back():
    """The loop takes back what waits, in order, also while the thread runs."""
    taken = []
    series = series_of(lambda: taken.extend(series.take_back()), lambda: None, lambda: None)
    behind = [entry.delivery for entry in list(series.waiting)[1:]]
    series.run()
    assert taken == behind
    assert len(series.begun) == 1
    assert series.take_back() == []


@pytest.mark.parametrize(
    ("mean_s", "expected"), [(None, 1), (0.0, 64), (1e-9, 64), (0.0001, 10), (0.0004, 2), (0.001, 1), (60.0, 1)]
)
def test_a_trip_takes_a_millisecond_of_work(mean_s, expected):
    """Short handlers travel together, up to 64, and long ones alone; so does what is not known yet."""
    assert length(mean_s) == expected


def test_borrowed_messages_keep_their_places():
    """What is borrowed from the buffer counts until it is spent, so that no fetcher fills its place before."""

    async def scenario():
        buffer, woken = Buffer(4), []
        buffer.grow = lambda: woken.append(1)
        deliveries = [Delivery(Reservation(b"%d" % n, b"", n), None) for n in range(4)]
        buffer.put([*deliveries, [deliveries[0]]])
        assert [buffer.borrow(), buffer.borrow(), buffer.borrow()] == deliveries[:3]
        room = asyncio.create_task(buffer.room(9))
        await asyncio.sleep(0)
        assert not room.done()
        buffer.put_back(deliveries[1:3])
        assert list(buffer.items)[:3] == deliveries[1:]
        assert len(woken) == 2
        buffer.take()
        buffer.take()
        await asyncio.sleep(0)
        assert not room.done()
        buffer.spend(1)
        assert await room == 2
        buffer.take()
        return buffer.borrow()  # a closed batch is no single message

    assert run(scenario()) is None


@pytest.mark.slow
def test_short_handlers_share_trips_and_nobody_waits_behind_a_long_one(app):
    """Short sync handlers run in few trips, in order; when one takes long, those behind it are left to other workers."""
    queue, ran, gate = app.queue("q", min_workers=2, max_workers=2), [], threading.Event()
    trips = []

    @queue.task
    def short(n: int) -> None:
        ran.append(n)
        if n == 150:
            gate.wait(20)

    @queue.task
    async def other(n: int) -> None:
        ran.append(n)

    consumer = app.consumer(queue)

    async def scenario():
        queue.enqueue_many([(other if n == 120 else short).message(n) for n in range(200)])
        await consumer.start()
        submit = consumer._state.threads.submit
        consumer._state.threads.submit = lambda call: trips.append(call.__self__) or submit(call)
        consumer._state.monotonic = lambda: 0.0  # however busy the machine, a handler that does nothing is a short one
        await until(lambda: len(ran) == 200)
        assert not gate.is_set()
        gate.set()
        await consumer.stop()

    run(scenario())
    assert sorted(ran) == list(range(200))
    first = [entry.delivery.message.args[0] for entry in trips[0].begun]  # what is put back later may come in another order
    assert first == list(range(first[0], first[0] + len(first)))
    assert len(trips) < 100
    assert consumer.stats().processed == 200


@pytest.mark.slow
def test_a_stop_in_a_series_settles_what_is_done_and_gives_back_the_rest(app):
    """Interrupted in a series, finished messages are acknowledged, and the others are ready again, each once."""
    queue, ran = app.queue("q", min_workers=1, max_workers=1), []

    @queue.task
    def work(n: int) -> None:
        ran.append(n)
        if n == 40:
            raise_later.wait(20)

    raise_later = threading.Event()
    consumer = app.consumer(queue)

    async def scenario():
        queue.enqueue_many(work.message(n) for n in range(100))
        await consumer.start()
        await until(lambda: 40 in ran)
        left = await consumer.stop(0)
        raise_later.set()
        return left, await queue.size()

    left, size = run(scenario())
    assert size == taskq.backends.base.Size(ready=60)
    assert left == 60
    assert ran == list(range(41))


def test_arguments_that_do_not_fit_spare_their_neighbours(app):
    """A message whose arguments cannot be bound is put aside, and the others of its series run."""
    queue, ran = app.queue("q"), []

    @queue.task
    def work(n: int) -> None:
        ran.append(n)

    for n in range(30):
        queue.enqueue(queue.message("work", "seven" if n == 20 else n))
    run(app.consumer(queue).process_all())
    assert ran == [n for n in range(30) if n != 20]
    assert len(run(queue.dead_letters())) == 1
