"""Delays beyond what a backend keeps, and calls that share trips: in virtual time, on a backend that can do little at once."""

import asyncio

import msgspec
import pytest

import taskq
from taskq.backends.memory import MemoryBackend, MemoryBroker
from taskq.core.delay import REST
from taskq.errors import BackendUnavailable
from taskq_testing.clock import VirtualClock
from taskq_testing.loop import VirtualLoop

STEP = 60.0


class Short(MemoryBackend):
    """Keeps no delay over a minute, and notes what it is asked."""

    def __init__(self, broker, options):
        super().__init__(broker, options)
        self.capabilities = msgspec.structs.replace(self.capabilities, max_delay=STEP)
        self.delays = []
        self.knows_since = False

    def send_blocking(self, batch):
        self.delays += [outgoing.delay for outgoing in batch]
        return super().send_blocking(batch)

    async def reserve(self, n, wait):
        taken = await super().reserve(n, wait)
        if taken:
            await asyncio.sleep(3.0)  # it was available before it came
        since = self._monotonic() - 3.0 if self.knows_since else None
        return [msgspec.structs.replace(each, available_at=since) for each in taken]

    async def release(self, reservation, delay):
        self.delays.append(delay)
        await super().release(reservation, delay)


class Broker(MemoryBroker):
    def queue(self, name, options):
        return Short(self, options)


@pytest.fixture
def loop():
    loop = VirtualLoop()
    yield loop
    loop.close()


@pytest.fixture
def queue(loop):
    """The queue of an app whose backend keeps no delay over a minute."""
    clock = VirtualClock(loop)
    app = taskq.App(clock=clock)
    with app.rebound(Broker(clock), clock):
        yield app.queue("q", reserve_wait=10.0)


def consume(loop, queue, seconds):
    """Run a consumer for so long."""

    async def scenario():
        consumer = queue._owner.consumer(queue)
        await consumer.start()
        await asyncio.sleep(seconds)
        await consumer.stop()

    loop.run_until_complete(scenario())


def register(queue, **options):
    """Return a task, and when its handler ran, with the attempt and the headers that it saw."""
    seen = []

    @queue.task(**options)
    async def task(context: taskq.Context, fail: float = -1.0) -> None:
        seen.append((queue._owner.clock.monotonic(), context.attempt, context.message.headers))
        if context.attempt == 1 and fail >= 0:
            raise taskq.Retry(after=fail)

    return task, seen


@pytest.mark.parametrize("knows_since", [True, False])
@pytest.mark.parametrize("delay", [59.0, 60.0, 60.5, 200.0, 3600.0])
def test_a_long_delay_is_kept_step_by_step(loop, queue, delay, knows_since):
    """No step is longer than the backend keeps; the handler runs once, as at a first attempt, and not early."""
    queue.backend.knows_since = knows_since
    task, seen = register(queue)
    loop.run_until_complete(queue.enqueue_async(task.message().delayed(delay)))
    consume(loop, queue, 2 * delay)
    ((at, attempt, headers),) = seen
    steps = -(-delay // STEP)
    assert delay <= at <= delay + 3.0 * (steps if not knows_since else 1)
    assert (attempt, headers) == (1, None)
    assert max(queue.backend.delays) <= STEP
    assert loop.run_until_complete(queue.size()) == taskq.backends.base.Size()


def test_a_long_retry_is_kept_step_by_step(loop, queue):
    """The second attempt comes after the delay that was asked for, and is counted as the second."""
    queue.backend.knows_since = True
    task, seen = register(queue)
    loop.run_until_complete(task.enqueue_async(500.0))
    consume(loop, queue, 1000)
    (first, second) = seen
    assert second[1:] == (2, None)
    assert 500 <= second[0] - first[0] <= 510
    assert max(queue.backend.delays) <= STEP


def test_a_message_that_waits_is_not_judged(loop, queue):
    """Before its time a message of an unknown task costs it no attempt, and a pause delays nothing of it."""
    queue.backend.knows_since = True
    loop.run_until_complete(queue.enqueue_async(queue.message("later").delayed(500.0)))
    consume(loop, queue, 300)
    _, seen = register(queue, name="later")
    consume(loop, queue, 300)
    assert [attempt for _, attempt, _ in seen] == [1]


def test_other_headers_stay(loop, queue):
    """What travels beside the arguments is there after the wait, without what the wait added."""
    task, seen = register(queue)
    message = msgspec.structs.replace(task.message(), headers={"a": "b", REST: "12345"}).delayed(100.0)
    loop.run_until_complete(queue.enqueue_async(message))
    consume(loop, queue, 300)
    assert [headers for _, _, headers in seen] == [{"a": "b"}]


# -- calls that share trips


class Shared(MemoryBackend):
    """Has room for three calls on one trip, which takes a tenth of a second; one of all calls may fail."""

    def __init__(self, broker, options):
        super().__init__(broker, options)
        self.capabilities = msgspec.structs.replace(self.capabilities, together=3)
        self.under_way = self.most = self.calls = self.failing = 0

    async def trip(self):
        self.calls += 1
        number, self.under_way = self.calls, self.under_way + 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(0.1)
        self.under_way -= 1
        if number == self.failing:
            raise BackendUnavailable("the trip failed")

    async def release(self, reservation, delay):
        await self.trip()
        await super().release(reservation, delay)

    async def extend(self, reservation, by):
        await self.trip()
        return await super().extend(reservation, by)


@pytest.fixture
def shared(loop):
    """The queue of an app whose backend makes three calls at the price of one."""

    class Broker(MemoryBroker):
        def queue(self, name, options):
            return Shared(self, options)

    clock = VirtualClock(loop)
    app = taskq.App(clock=clock)
    with app.rebound(Broker(clock), clock):
        yield app.queue("q", reserve_wait=10.0, reservation_timeout=60.0, min_workers=7)


def test_releases_are_made_side_by_side(loop, shared):
    """Three are under way at a time, and one that fails is tried again alone."""
    task, seen = register(shared)
    shared.backend.failing = 2

    async def scenario():
        for _ in range(7):
            await task.enqueue_async(1.0)
        return await shared._owner.consumer(shared).process_all()

    loop.run_until_complete(scenario())
    assert shared.backend.most == 3
    assert shared.backend.calls == 8
    assert loop.run_until_complete(shared.size()).delayed + len(seen) >= 7


def test_a_stop_in_the_middle_settles_each_once(loop, shared):
    """Whatever a stop interrupts is decided once: what failed comes again as its second attempt, never as its first."""
    task, seen = register(shared)

    async def scenario(moment):
        for _ in range(7):
            await task.enqueue_async(100.0)
        consumer = shared._owner.consumer(shared)
        await consumer.start()
        await asyncio.sleep(moment)
        await consumer.stop(0.0)
        return await shared.size()

    for moment in (0.05, 0.1, 0.15, 0.25):
        seen.clear()
        size = loop.run_until_complete(scenario(moment))
        assert (size.ready, size.delayed, size.reserved) == (0, 7, 0)
        assert [attempt for _, attempt, _ in seen] == [1] * 7
        assert loop.run_until_complete(shared.purge()) == 7


def test_reservations_are_extended_side_by_side(loop, shared):
    """While handlers run, what is due for extension is extended three at a time, and all of it is kept."""
    runs = []

    @shared.task
    async def slow() -> None:
        runs.append(loop.time())
        await asyncio.sleep(300.0)

    async def scenario():
        for _ in range(7):
            await slow.enqueue_async()
        return await shared._owner.consumer(shared).process_all()

    assert loop.run_until_complete(scenario()) == 7
    assert len(runs) == 7
    assert shared.backend.most >= 3
