"""Signals between handlers and tests, in threads and on event loops."""

import asyncio
import threading

import pytest
from support import run

from taskq_testing.harness.probes import NotReached, Signal


def in_threads(*targets):
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    return threads


def test_a_wait_returns_the_value_of_a_point_already_reached():
    """What was reached before the wait counts."""
    signal = Signal()
    signal.reached("sent", 1)
    signal.reached("sent", 2)
    assert signal.wait("sent") == 1
    assert signal.wait("sent", count=2) == 2
    assert signal.values("sent") == [1, 2]
    assert signal.values("other") == []


def test_a_coroutine_sees_what_was_reached_before():
    """So does a wait on a loop, without any further arrival."""
    signal = Signal()
    signal.reached("sent", 1)
    assert run(signal.wait_async("sent", timeout=3600)) == 1
    assert signal.wait("sent", timeout=3600) == 1


def test_a_thread_wakes_a_waiting_one():
    """Two threads answer each other without sleeping, a hundred times."""
    signal = Signal()

    def answer():
        for n in range(1, 101):
            signal.reached("answer", signal.wait("question", count=n) * 2)

    (thread,) = in_threads(answer)
    for n in range(1, 101):
        signal.reached("question", n)
        assert signal.wait("answer", count=n) == n * 2
    thread.join()


def test_every_waiting_thread_is_woken():
    """One arrival ends the waits of all threads, and a wait for a later one goes on."""
    signal, results = Signal(), []
    waits = [lambda: results.append(signal.wait("go")) for _ in range(4)]
    threads = in_threads(*waits, lambda: results.append(signal.wait("go", count=2)))
    signal.reached("go", "first")
    for thread in threads[:4]:
        thread.join()
    assert results == ["first"] * 4
    signal.reached("go", "second")
    threads[4].join()
    assert results[4] == "second"


def test_a_point_that_is_not_reached_fails_the_wait():
    """The error names what was reached instead, and is an assertion's."""
    signal = Signal()
    signal.reached("began")
    signal.reached("began")
    with pytest.raises(NotReached, match=r"point 'sent' was not reached once within 0.01 s; reached were: 'began' \(2\)"):
        signal.wait("sent", timeout=0.01)
    with pytest.raises(AssertionError, match="'began' was not reached 3 times"):
        signal.wait("began", count=3, timeout=0.01)
    assert signal._waiters == []


def test_a_thread_wakes_a_coroutine():
    """A coroutine waits for what a handler's thread reaches."""
    signal = Signal()

    async def main():
        waiting = asyncio.create_task(signal.wait_async("sent"))
        await asyncio.sleep(0)
        (thread,) = in_threads(lambda: signal.reached("sent", "by thread"))
        value = await waiting
        await asyncio.to_thread(thread.join)
        return value

    assert run(main()) == "by thread"


def test_coroutines_of_one_loop_signal_each_other():
    """On one loop nothing but the signal is needed, and a point reached twice wakes its waiter once."""
    signal = Signal()

    async def main():
        waiting = [asyncio.create_task(signal.wait_async("sent")) for _ in range(3)]
        await asyncio.sleep(0)
        signal.reached("sent", 5)
        signal.reached("sent", 6)
        return await asyncio.gather(*waiting), await signal.wait_async("sent", count=2)

    assert run(main()) == ([5, 5, 5], 6)
    assert signal._waiters == []


def test_a_coroutine_gives_up_too():
    """A wait in a coroutine ends by its loop's time."""

    async def main():
        with pytest.raises(NotReached, match="reached were: none"):
            await Signal().wait_async("sent", timeout=0.001)

    run(main())


def test_a_signal_of_a_harness_waits_in_the_time_of_whoever_runs_it():
    """The wait of such a signal is the coroutine's, run by what made the signal."""
    signal = Signal(run)
    signal.reached("sent", 7)
    assert signal.wait("sent") == 7
    with pytest.raises(NotReached, match="within 0.001 s"):
        signal.wait("sent", count=2, timeout=0.001)
