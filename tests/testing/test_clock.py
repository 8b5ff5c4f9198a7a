"""The clock of a simulated process."""

import asyncio
import datetime as dt

import pytest

from taskq_testing.clock import EPOCH, VirtualClock
from taskq_testing.loop import VirtualLoop


@pytest.fixture
def loop():
    """A loop that is closed afterwards."""
    loop = VirtualLoop()
    yield loop
    loop.close()


def test_it_begins_in_2026_and_follows_the_loop(loop):
    """Wall time is the epoch plus the loop's time; monotonic time is the loop's."""
    clock = VirtualClock(loop)
    assert dt.datetime.fromtimestamp(clock.now(), dt.UTC) == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    loop.advance(dt.timedelta(days=400, milliseconds=250))
    assert clock.monotonic() == loop.time() == 400 * 86_400 + 0.25
    assert clock.now() == EPOCH + 400 * 86_400 + 0.25
    assert VirtualClock(loop, epoch=100.0).now() == 100.0 + 400 * 86_400 + 0.25


def test_small_steps_are_not_lost_in_a_large_epoch(loop):
    """A nanosecond is seen by monotonic time, though wall time is too coarse for it."""
    clock = VirtualClock(loop)
    before = clock.monotonic()
    loop.advance(1e-9)
    assert clock.monotonic() - before == 1e-9


def test_skew_and_jumps_move_the_wall_clock_only(loop):
    """A clock that is wrong, or set back, is so for one process, and its monotonic time knows nothing of it."""
    right, wrong = VirtualClock(loop, "right"), VirtualClock(loop, "wrong")
    wrong.skew = 30.0
    loop.advance(1)
    assert wrong.now() - right.now() == 30.0
    wrong.jump(-3600)
    assert wrong.now() - right.now() == -3570.0
    assert (wrong.monotonic(), right.now()) == (1.0, EPOCH + 1)


def test_ids_can_be_read_and_never_repeat(loop):
    """An id is the process's name and a number that goes on, whoever asks."""
    clock, other = VirtualClock(loop, "worker-1"), VirtualClock(loop, "worker-2")
    assert [clock.new_id(), clock.new_id(), other.new_id()] == [b"worker-1:1", b"worker-1:2", b"worker-2:1"]


def test_randomness_is_the_seeds_and_the_names(loop):
    """A process draws the same in each run of a seed, and something else than other processes and seeds."""

    def draws(name, seed):
        clock = VirtualClock(loop, name, seed=seed)
        return tuple(clock.random() for _ in range(5))

    assert draws("a", 1) == draws("a", 1)
    assert len({draws("a", 1), draws("a", 2), draws("b", 1)}) == 3
    assert all(0 <= draw < 1 for draw in draws("a", 1))


def test_work_beside_is_a_task_that_can_be_ended(loop):
    """It runs on the loop in the same process; ending it waits until its clean-up is over, whether or not it has ended."""
    clock, log = VirtualClock(loop), []

    async def work():
        try:
            while True:
                await asyncio.sleep(1)
                log.append(loop.time())
        finally:
            await asyncio.sleep(0.25)
            log.append("cleaned up")

    async def nothing():
        pass

    async def main():
        stop = clock.beside(work, "watcher")
        stop_nothing = clock.beside(nothing, "nothing")
        assert {task.get_name() for task in asyncio.all_tasks()} >= {"watcher", "nothing"}
        await asyncio.sleep(2.5)
        await stop()
        log.append(loop.time())
        await stop_nothing()

    loop.run_until_complete(main())
    assert log == [1.0, 2.0, "cleaned up", 2.75]


def test_the_machines_load_is_what_a_test_says(loop):
    """All is free until a test says otherwise; a process has one machine."""
    machine = VirtualClock(loop).machine()
    assert (machine.cpu_free(1.0), machine.memory_free()) == (1.0, 1.0)
    clock = VirtualClock(loop)
    clock.machine().cpu, clock.machine().memory = 0.5, 0.01
    assert (clock.machine().cpu_free(1.0), clock.machine().memory_free()) == (0.5, 0.01)


def test_threads_are_of_its_loop(loop):
    """The clock's threads take turns with the loop that is given."""
    ran = []
    threads = VirtualClock(loop).threads(loop, "handlers")

    async def main():
        return await threads.submit(lambda: ran.append(loop.time()))

    assert loop.run_until_complete(main()) is None
    assert ran == [0.0]
