"""The smaller parts of the runtime: locks, extension, chores, scaling, the portal, the clock, threads."""

import asyncio
import os
import threading

import pytest
from support import FakeClock, run, until

import taskq
from taskq.backends.memory import MemoryBroker
from taskq.core import autoscale, extension
from taskq.core.stats import Recorder
from taskq.errors import BackendUnavailable, ReservationLost
from taskq.runtime import chores, clock, extend, scaler
from taskq.runtime.chores import do_chores_forever
from taskq.runtime.clock import SystemClock, SystemMachine
from taskq.runtime.finish import finish
from taskq.runtime.invoke import FINISHED, Remainder, begin
from taskq.runtime.leases import Leases
from taskq.runtime.portal import Portal
from taskq.runtime.scaler import scale_forever
from taskq.runtime.state import Buffer, ConsumerState
from taskq.runtime.threads import HandlerThreads
from taskq.runtime.worker import Worker, Workshop
from taskq_testing.clock import VirtualClock
from taskq_testing.loop import VirtualLoop


def leases(broker, limit, timeout=10.0):
    return Leases("q", limit, timeout, locks=broker.locks, clock=broker.clock)


def test_a_worker_waits_for_a_lock():
    """With the limit reached a worker waits until another gives its lock back; without a limit nobody waits."""
    broker = MemoryBroker(FakeClock())

    async def scenario():
        first, second = leases(broker, 1), leases(broker, 1)
        await first.hold(1)
        await first.hold(1)
        waiting = asyncio.create_task(second.hold(1))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        await first.drop(1)
        await waiting
        await second.drop(1)
        await second.drop(1)
        await leases(broker, None).hold(1)

    run(scenario())
    assert broker.locks.held == {}


def test_locks_are_renewed_or_reported_lost():
    """A lock past a third of its time is renewed; one that another took after its time is reported."""
    broker = MemoryBroker(FakeClock())

    async def scenario():
        mine, other = leases(broker, 1), leases(broker, 1)
        await mine.hold(1)
        assert await mine.renew(broker.clock.time, extension.FIRST) == []
        broker.clock.time += 15
        assert await mine.renew(broker.clock.time, extension.FIRST) == []
        assert mine._held[1][1] == broker.clock.time + 20, "a renewed lock is due again a third of its time later, not at once"
        broker.clock.time += 15
        waiting = asyncio.create_task(other.hold(1))
        await asyncio.sleep(0)
        assert not waiting.done()
        broker.clock.time += 10
        await waiting
        return await mine.renew(broker.clock.time, extension.FIRST)

    assert run(scenario()) == [1]


def test_a_lock_store_that_is_down_is_asked_again():
    """A worker that cannot take or free its lock waits, or leaves it to its end; neither stops the consumer."""
    broker = MemoryBroker(FakeClock())
    mine, answers = leases(broker, 1), []

    class Store:
        async def acquire(self, key, owner, ttl):
            answers.append(key)
            if len(answers) < 3:
                raise BackendUnavailable("down")
            return True

        async def unlock(self, key, owner):
            raise BackendUnavailable("down")

    async def scenario():
        mine._locks = Store()
        await mine.hold(1)
        await mine.drop(1)
        return mine._held

    assert run(scenario()) == {}
    assert len(answers) == 3


def test_a_lock_store_that_is_down_takes_no_lock_away():
    """A lock that cannot be renewed is held until its time is over, and lost from then on."""
    broker = MemoryBroker(FakeClock())
    mine = leases(broker, 1)

    async def down(key, owner, ttl):
        raise BackendUnavailable("down")

    async def scenario():
        await mine.hold(1)
        broker.locks.acquire = down
        return [await mine.renew(broker.clock.time + later, extension.FIRST) for later in (10, 19, 20, 21)]

    assert run(scenario()) == [[], [], [1], []]


def state_of(app, queue):
    return ConsumerState(app.wiring(queue), None, Recorder())


@pytest.mark.parametrize(
    ("error", "expires_in", "cancelled"),
    [(ReservationLost(""), 5, True), (BackendUnavailable(""), 5, False)] + [(BackendUnavailable(""), -1, True)],
)
def test_a_failed_extension_cancels_only_what_is_lost(app, error, expires_in, cancelled):
    """A lost message's run is cancelled; while the backend is only unreachable the run goes on until it expires."""
    queue = app.queue("q", reservation_timeout=30.0)

    class Failing:
        async def extend(self, reservation, by):
            raise error

    async def scenario():
        state = state_of(app, queue)
        state.backend = Failing()
        reservation = taskq.message.Reservation(b"i", b"", 1, 1, state.monotonic() + expires_in)
        delivery = state.own([reservation])[0]
        await extend._extend(state, delivery)
        await asyncio.sleep(0)
        return delivery.cancelled

    assert run(scenario()) is cancelled


def test_an_adapter_that_breaks_its_contract_ends_no_extension(app, caplog):
    """An error that is none of ours is logged, and the next look extends what it can."""
    queue, calls = app.queue("q", reservation_timeout=0.06), []

    class Broken:
        capabilities = queue.backend.capabilities

        async def extend(self, reservation, by):
            calls.append(1)
            raise ZeroDivisionError

    async def scenario():
        state = state_of(app, queue)
        state.backend = Broken()
        state.own([taskq.message.Reservation(b"i", b"", 1, 1, state.monotonic())])
        async with extend.extending(state, leases(app.broker, None)):
            await until(lambda: len(calls) > 2)

    run(scenario())
    assert "could not all be extended; trying again" in caplog.text


def test_a_lost_lock_cancels_its_workers_run(app):
    """Only the run of the worker whose lock is gone is cancelled, once."""
    queue = app.queue("q")

    async def scenario():
        state = state_of(app, queue)
        deliveries = state.own([taskq.message.Reservation(b"i", b"", n) for n in range(2)])
        for number, delivery in enumerate(deliveries):
            delivery.worker = number
        extend._cancel_worker(state, 1)
        await asyncio.sleep(0)
        deliveries[1].cancel()
        return [delivery.cancelled for delivery in deliveries]

    assert run(scenario()) == [False, True]


def test_chores_go_on_after_a_failure(monkeypatch):
    """Housekeeping is done again and again, and a failed round is not the last."""
    monkeypatch.setattr(chores, "_RETRY", 0.0)
    rounds = []

    class Backend:
        async def chores(self):
            rounds.append(1)
            if len(rounds) == 1:
                raise BackendUnavailable("down")
            return 0.0

    async def scenario():
        task = asyncio.create_task(do_chores_forever(Backend(), "q"))
        await until(lambda: len(rounds) > 2)
        task.cancel()

    run(scenario())
    assert len(rounds) >= 3


def test_the_scaler_carries_plans_out(app, monkeypatch):
    """Measured load becomes a plan, and the plan the allowed number of workers and fetchers."""
    monkeypatch.setattr(scaler, "INTERVAL", 0.01)
    queue, fetchers = app.queue("q", min_workers=1, max_workers=8), []

    class Shop:
        allowed = 1

    async def scenario():
        state, shop = state_of(app, queue), Shop()
        state.recorder.started(state.monotonic())
        state.buffer.items.extend([None] * 10)

        def set_fetchers(count):
            fetchers.append(count)
            return count

        task = asyncio.create_task(scale_forever(state, shop, set_fetchers, SystemMachine(lambda: 0.0)))
        while shop.allowed < 2:
            state.recorder.processed += 10
            if state.recorder.in_flight < shop.allowed:
                state.recorder.started(state.monotonic())
            await asyncio.sleep(0)
        task.cancel()
        return shop.allowed

    assert 2 <= run(scenario()) <= 8
    assert fetchers[0] == 1


def test_the_scaler_measures_between_its_looks(app, monkeypatch):
    """A handler that ran for half of the time between two plans kept half a worker busy, whenever that was."""
    queue, loads, clock = app.queue("q"), [], VirtualClock(loop := VirtualLoop())
    plan = autoscale.ScalePlan(workers=1, fetchers=1, reason="")
    monkeypatch.setattr(scaler.autoscale, "plan", lambda load, options, memory: loads.append(load) or (plan, memory))

    class Shop:
        allowed = 1

    async def begin():
        state = state_of(app, queue)
        return state, asyncio.create_task(scale_forever(state, Shop(), lambda count: count, clock.machine()))

    with app.rebound(MemoryBroker(clock), clock):
        state, task = loop.run_until_complete(begin())
        loop.advance(0.01)
        state.recorder.started(loop.time())
        loop.advance(0.5)
        state.recorder.ended(loop.time())
        loop.advance(2.0)
        task.cancel()
        loop.run_until_idle()
    loop.close()
    assert [load.busy for load in loads] == [pytest.approx(0.5), 0.0]


def test_an_idle_worker_that_is_not_needed_leaves(app):
    """Woken with nothing to take, a worker sees that there are more than allowed, and ends; the other one waits on."""

    async def scenario():
        state = state_of(app, app.queue("q"))
        shop = Workshop(state, leases(app.broker, None))
        shop.allowed = 2
        for number in (1, 2):
            shop.workers[number] = asyncio.create_task(Worker(shop, number).work())
        await asyncio.sleep(0)
        shop.allowed = 1
        for _ in range(2):
            state.buffer.wake_idle()
            for _ in range(5):
                await asyncio.sleep(0)
        left = list(shop.workers.values())
        for worker in left:
            worker.cancel()
        return len(left)

    assert run(scenario()) == 1


def test_the_machine_tells_shares(monkeypatch):
    """CPU and memory are shares from 0 to 1, and 1 where nothing is known."""
    spent = iter([0.0, 0.25, 9.0])
    machine = SystemMachine(lambda: next(spent))
    assert [machine.cpu_free(1.0), machine.cpu_free(1.0)] == [0.75, 0.0]
    assert 0 < SystemMachine().memory_free() <= 1

    def missing(*args, **kwargs):
        raise OSError

    monkeypatch.setattr("builtins.open", missing)
    assert SystemMachine.memory_free() == 1.0


def test_the_portal_knows_its_own_thread():
    """A coroutine runs on the portal's thread; closing ends it, and a closed or unused one can be closed again."""
    portal = Portal()
    portal.close()

    async def inside():
        return portal.inside

    assert (portal.call(inside()), portal.inside) == (True, False)
    portal.close()
    assert portal.call(inside())
    portal.close()


def test_a_forked_portal_starts_anew(monkeypatch):
    """In a child process the parent's loop is not used, and closing leaves the parent's alone."""
    portal = Portal()

    async def one():
        return 1

    portal.call(one())
    parent = portal._loop
    real = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: real + 1)
    portal.close()
    assert portal._loop is parent
    assert portal.call(one()) == 1
    assert portal._loop is not parent
    portal.close()
    parent.call_soon_threadsafe(parent.stop)
    while parent.is_running():
        threading.Event().wait(0.001)
    parent.close()


def test_work_beside_the_loop_ends_when_cancelled():
    """The clock runs a coroutine on a thread of its own; cancelling waits for its end, twice does no harm."""
    threads, begun = [], threading.Event()

    async def work():
        threads.append(threading.current_thread())
        begun.set()
        await asyncio.get_running_loop().create_future()

    cancel = SystemClock().beside(work, "beside")
    begun.wait(5)
    run(cancel())
    run(cancel())
    assert threads[0] is not threading.current_thread()
    assert not threads[0].is_alive()


def test_work_beside_the_loop_that_is_over_at_once_never_begins(monkeypatch):
    """What is cancelled before its grace is over costs a thread that wakes up and ends, and no loop."""
    monkeypatch.setattr(clock, "_GRACE", 60.0)
    begun = []

    async def work():
        begun.append(1)

    before = threading.active_count()
    run(SystemClock().beside(work, "beside")())
    assert (begun, threading.active_count()) == ([], before)


def test_what_has_to_finish_finishes():
    """Work goes on to its end though its caller is cancelled twice, who is cancelled then; an error of its own is raised."""
    ended = []

    async def gives_back(gate):
        await gate.wait()
        ended.append(1)
        if len(ended) == 2:
            raise ValueError

    async def scenario(cancellations):
        gate = asyncio.Event()
        caller = asyncio.create_task(finish(gives_back(gate)))
        for _ in range(cancellations):
            await asyncio.sleep(0)
            caller.cancel()
        await asyncio.sleep(0)
        assert not caller.done()
        gate.set()
        return (await asyncio.gather(caller, return_exceptions=True))[0]

    results = [run(scenario(cancellations)) for cancellations in (2, 1, 1, 0)]
    assert [type(result) for result in results] == [asyncio.CancelledError, ValueError, asyncio.CancelledError, type(None)]
    assert len(ended) == 4


def test_ids_differ_after_a_fork():
    """Reseeding gives other ids; each is 32 characters of text."""
    clock = SystemClock()
    first = clock.new_id()
    clock._random.seed(1)
    one = clock.new_id()
    clock._random.seed(1)
    clock.reseed()
    assert len({first, one, clock.new_id()}) == 3
    assert len(first.decode()) == 32


def test_a_coroutine_goes_on_where_it_was_begun():
    """Begin runs to the first wait, Remainder the rest; closing it closes the coroutine."""
    import contextvars

    steps = []

    async def work(future):
        steps.append("begun")
        try:
            await future
        finally:
            steps.append("ended")

    async def scenario():
        context = contextvars.copy_context()
        future = asyncio.get_running_loop().create_future()
        coroutine = work(future)
        waiting = begin(coroutine, context)
        assert waiting is not FINISHED
        rest = Remainder(coroutine, context, waiting).__await__()
        next(rest)
        rest.close()
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        assert begin(work(done), context) is FINISHED

    run(scenario())
    assert steps == ["begun", "ended", "begun", "ended"]


def test_threads_report_to_a_loop_that_is_gone():
    """A thread whose loop closed meanwhile ends without noise, and a cancelled future is left alone."""
    loop = asyncio.new_event_loop()
    threads = HandlerThreads(loop, "t")
    gate = threading.Event()
    future = loop.run_until_complete(submit(threads, gate))
    future.cancel()
    gate.set()
    while threads._busy:
        loop.run_until_complete(asyncio.sleep(0))
    gate.clear()
    loop.run_until_complete(submit(threads, gate))
    loop.close()
    gate.set()
    for thread in threading.enumerate():
        if thread.name.startswith("t-"):
            thread.join(5)
    assert future.cancelled()
    threads.close()


def test_fetches_side_by_side_share_the_buffer():
    """Places that a fetch asks for are nobody else's until its messages have come, however many fetch."""

    async def scenario():
        buffer = Buffer(10)
        buffer.size = 8
        asked = [await buffer.room(6), await buffer.room(6)]
        third = asyncio.create_task(buffer.room(6))
        await asyncio.sleep(0)
        assert not third.done()
        buffer.put(["a", "b"])
        buffer.free(6)
        return asked, await third

    assert run(scenario()) == ([6, 4], 4)


async def submit(threads, gate):
    return threads.submit(lambda: gate.wait(5))


def test_the_buffer_wakes_who_waits():
    """A cancelled waiter hands its wake-up on; fetchers are woken when half is free; who is woken looks."""

    async def scenario():
        buffer = Buffer(2)
        first, second = asyncio.create_task(buffer.wait()), asyncio.create_task(buffer.wait())
        await asyncio.sleep(0)
        buffer.put(["a", "b"])
        first.cancel()
        await second
        room = asyncio.create_task(buffer.room(9))
        await asyncio.sleep(0)
        assert not room.done()
        assert buffer.take() == "a"
        assert await room == 1
        assert buffer.take() == "b"
        assert buffer.take() is None
        waiting = asyncio.create_task(buffer.wait())
        await asyncio.sleep(0)
        assert not waiting.done()
        buffer.wake_idle()
        await waiting

    run(scenario())
