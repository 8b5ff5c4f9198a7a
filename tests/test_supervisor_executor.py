"""The threads behind `asyncio.to_thread` in a worker process."""

import asyncio
import threading
from concurrent.futures import Future
from contextlib import contextmanager

import pytest

from taskq.supervisor import executor
from taskq.supervisor.executor import LoopThreads

PATIENCE = 60.0
pytestmark = pytest.mark.slow


@contextmanager
def held():
    """Something that a thread waits for until the block ends."""
    event = threading.Event()
    try:
        yield event
    finally:
        event.set()


def meet(barrier):
    return barrier.wait(PATIENCE) >= 0


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_loops_take_it_for_their_own(loop):
    """Results and errors come back through both kinds of loops, and calls run side by side, in threads that end with the loop."""
    factory = pytest.importorskip("uvloop").new_event_loop if loop == "uvloop" else None
    threads = LoopThreads(PATIENCE)

    async def scenario():
        asyncio.get_running_loop().set_default_executor(threads)
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 / 0)
        barrier = threading.Barrier(2)
        return await asyncio.gather(*(asyncio.to_thread(meet, barrier) for _ in range(2)))

    with asyncio.Runner(loop_factory=factory) as runner:
        assert runner.run(scenario()) == [True, True]
    assert threads._serving
    assert not any(thread.is_alive() for thread in threads._serving)


def test_threads_are_as_many_as_are_needed_and_no_more(monkeypatch):
    """A thread that is free takes the next call; beyond the most, calls wait for one, in order."""
    monkeypatch.setattr(executor, "_MOST", 2)
    threads, seen = LoopThreads(PATIENCE), []
    assert threads.submit(int, "1").result(PATIENCE) == 1
    with held() as event:
        waiting = [threads.submit(event.wait) for _ in range(2)]
        later = [threads.submit(seen.append, number) for number in range(20)]
        assert not any(future.done() for future in (*waiting, *later))
        event.set()
        for future in (*waiting, *later):
            future.result(PATIENCE)
    assert sorted(seen) == list(range(20))
    assert len(threads._serving) == 2
    threads.shutdown()


def test_what_does_not_end_is_left_behind(caplog):
    """Its end does not wait for ever for a call that goes on, tells of it, and waits for those that do end."""
    threads = LoopThreads(0.01)
    with held() as event:
        stuck = threads.submit(event.wait)
        assert threads.submit(int, "1").result(PATIENCE) == 1
        threads.shutdown()
        assert not stuck.done()
    assert "what handlers began in threads of asyncio's still runs" in caplog.text
    assert stuck.result(PATIENCE)


def test_an_end_waits_for_what_ends():
    """A call that ends in time has its result, and nothing is said."""
    threads = LoopThreads(PATIENCE)
    with held() as event:
        going = threads.submit(event.wait)
        threading.Timer(0.01, event.set).start()
        threads.shutdown()
        assert going.done()


def test_after_its_end_nothing_begins(monkeypatch):
    """A new call is refused; of those that wait, those that are cancelled do not run, and the others do."""
    monkeypatch.setattr(executor, "_MOST", 1)
    for cancels in (True, False):
        threads, seen = LoopThreads(PATIENCE), []
        with held() as event:
            threads.submit(event.wait)
            later: Future[None] = threads.submit(seen.append, 1)
            threads.shutdown(wait=False, cancel_futures=cancels)
            assert later.cancelled() is cancels
            with pytest.raises(RuntimeError, match="after shutdown"):
                threads.submit(int)
        threads.shutdown()
        assert seen == ([] if cancels else [1])
