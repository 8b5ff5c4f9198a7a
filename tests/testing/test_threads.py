"""Sync handlers under the virtual loop: real threads, one at a time, in an order that repeats."""

import asyncio
import concurrent.futures
import contextvars
import gc
import threading
import time
import weakref
from functools import partial

import pytest

from taskq_testing.explore.strategies import Uniform
from taskq_testing.loop import Deadlock, RealIO, VirtualLoop, current_domain
from taskq_testing.loop.threads import VirtualThreads
from taskq_testing.tape import Tape


@pytest.fixture
def loop():
    """A loop that is closed afterwards, and leaves no thread behind."""
    before = threading.active_count()
    loop = VirtualLoop()
    yield loop
    loop.close()
    assert threading.active_count() == before


@pytest.fixture
def threads(loop):
    """Threads on that loop."""
    return VirtualThreads(loop, "handlers")


def run(loop, *futures):
    """Run until all futures are done and return their results."""

    async def main():
        return await asyncio.gather(*(future() for future in futures))

    return loop.run_until_complete(main())


def test_what_a_handler_raises_is_a_value(loop, threads):
    """A future says None or the exception, whatever it is; the thread survives it and is used again."""
    idents = set()

    def handler(error):
        idents.add(threading.get_ident())
        if error is not None:
            raise error

    errors = [None, ValueError("x"), SystemExit(3), GeneratorExit(), StopIteration(), KeyboardInterrupt()]

    async def main():
        return [await threads.submit(lambda error=error: handler(error)) for error in errors]

    assert loop.run_until_complete(main()) == errors
    assert len(idents) == 1
    assert idents != {threading.get_ident()}
    threads.close()


def test_one_runs_at_a_time_and_sleep_passes_the_baton(loop, threads):
    """Handlers alternate where they sleep, in virtual time and in an order that is fixed; between sleeps nothing else runs."""
    log, inside = [], []

    def handler(name, pause):
        for _ in range(3):
            inside.append(name)
            assert inside == [name]
            time.monotonic()
            inside.remove(name)
            log.append((name, loop.time()))
            time.sleep(pause)

    async def other():
        for _ in range(3):
            await asyncio.sleep(450)
            assert inside == []
            log.append(("loop", loop.time()))

    began = time.monotonic()
    run(loop, lambda: threads.submit(lambda: handler("a", 300)), lambda: threads.submit(lambda: handler("b", 600)), other)
    assert log == [
        ("a", 0.0),
        ("b", 0.0),
        ("a", 300.0),
        ("loop", 450.0),
        ("b", 600.0),
        ("a", 600.0),
        ("loop", 900.0),
        ("b", 1200.0),
        ("loop", 1350.0),
    ]
    assert time.monotonic() - began < 900


def test_a_handler_waits_for_a_coroutine(loop, threads):
    """`wait` runs a coroutine on the loop, in the handler's context, and gives back its result, its error or its cancellation."""
    variable, log = contextvars.ContextVar("variable", default="none"), []

    async def answer():
        await asyncio.sleep(2)
        return variable.get()

    async def fail():
        raise ValueError("of a coroutine")

    async def cancelled():
        raise asyncio.CancelledError

    def handler():
        variable.set("handler")
        log.append(threads.wait(answer()))
        with pytest.raises(ValueError, match="of a coroutine"):
            threads.wait(fail())
        with pytest.raises(concurrent.futures.CancelledError):
            threads.wait(cancelled())
        log.append(loop.time())

    assert run(loop, lambda: threads.submit(handler)) == [None]
    assert log == ["handler", 2.0]


def test_waiting_on_the_loop_is_refused(threads):
    """`wait` from code that is not in a thread says what to do instead."""
    with pytest.raises(RuntimeError, match="await the coroutine"):
        threads.wait(asyncio.sleep(0))


def test_callbacks_from_a_handler_are_welcome_and_waiting_by_hand_is_refused(loop, threads):
    """A handler may hand the loop a callback; waiting for `run_coroutine_threadsafe` would block everything and is refused."""
    seen = []
    coroutine = asyncio.sleep(0)

    def handler():
        loop.call_soon_threadsafe(seen.append, "callback")
        with pytest.raises(RealIO, match="would wait for ever"):
            asyncio.run_coroutine_threadsafe(coroutine, loop)

    assert run(loop, lambda: threads.submit(handler), lambda: coroutine) == [None, None]
    assert seen == ["callback"]


def test_a_thread_knows_its_domain_and_nothing_else(loop, threads):
    """A handler runs in the domain that submitted it, with none of its context variables, as in any new thread."""
    variable, seen = contextvars.ContextVar("variable", default="none"), []
    domain = loop.domain("worker")

    async def main():
        variable.set("of the loop")
        await threads.submit(lambda: seen.append((current_domain(), variable.get())))

    loop.run_until_complete(domain.create_task(main()))
    assert seen == [(domain, "none")]


def test_what_was_given_up_before_it_began_does_not_run(loop, threads):
    """A call whose future is cancelled before its turn is left out, as in production; after it began, only its result is."""
    ran = []

    async def main():
        first = threads.submit(lambda: ran.append("first"))
        first.cancel()
        second = threads.submit(lambda: (ran.append("begun"), time.sleep(5), ran.append("ended")))
        await asyncio.sleep(1)
        second.cancel()
        await asyncio.sleep(10)

    loop.run_until_complete(main())
    assert ran == ["begun", "ended"]


def test_when_a_handler_starts_is_drawn_and_a_seed_repeats():
    """Seeds give several orders of handlers that start together, and each seed always the same."""

    def order(seed):
        loop, log = VirtualLoop(Tape(seed, Uniform()), likely=0.7), []
        threads = VirtualThreads(loop, "handlers")

        def handler(name):
            log.append((name, loop.now))
            time.sleep(0.001)
            log.append((name, loop.now))

        run(loop, *(lambda name=name: threads.submit(lambda: handler(name)) for name in "abcd"))
        loop.close()
        return tuple(log)

    assert len({order(seed) for seed in range(12)}) > 6
    assert order(5) == order(5)


def test_a_killed_process_takes_its_threads_with_it(loop, threads):
    """A handler that waits when its process dies never goes on: not at its time, and not when garbage is collected."""
    log = []
    domain = loop.domain("worker")

    def handler(wait):
        try:
            log.append("begun")
            wait()
            log.append("went on")
        except Exception:
            log.append("failed")

    async def main():
        await asyncio.gather(
            threads.submit(lambda: handler(lambda: time.sleep(5))),
            threads.submit(lambda: handler(lambda: threads.wait(asyncio.sleep(5)))),
        )

    domain.create_task(main())
    loop.advance(1)
    domain.kill()
    gc.collect()
    loop.advance(100)
    assert log == ["begun", "begun"]
    loop.close()
    assert log == ["begun", "begun"]


def test_threads_end_with_the_loop():
    """Closing a loop ends its threads: idle ones, ones that wait, and ones that wait again in their clean-up."""
    before = threading.active_count()
    loop, log = VirtualLoop(), []
    threads = VirtualThreads(loop, "handlers")
    domain = loop.domain("worker")

    def tidy():
        try:
            time.sleep(3600)
        finally:
            log.append("clean-up")
            try:
                time.sleep(1)
            finally:
                threads.wait(asyncio.sleep(1))
                log.append("never")

    threads.submit(lambda: time.sleep(0.5))
    domain.call_soon(threads.submit, tidy)
    loop.advance(1)
    domain.kill()
    assert threading.active_count() == before + 2
    assert log == []
    loop.close()
    assert threading.active_count() == before
    assert log == ["clean-up"]


def test_a_suspended_process_holds_its_threads(loop, threads):
    """A handler that sleeps in a process that stands still goes on when that is woken."""
    log = []
    domain = loop.domain("worker")
    domain.call_soon(threads.submit, lambda: (time.sleep(2), log.append(loop.time())))
    loop.advance(1)
    domain.suspend()
    loop.advance(9)
    assert log == []
    domain.wake()
    loop.advance(1)
    assert log == [10.0]


@pytest.mark.slow
def test_a_handler_that_waits_for_the_real_world_is_reported():
    """A handler that keeps the baton too long is named with its place, instead of a test that hangs."""
    loop, release = VirtualLoop(), threading.Event()
    threads = VirtualThreads(loop, "handlers")
    threads.patience = 0.1

    def blocked():
        release.wait()

    async def main():
        await threads.submit(blocked)

    with pytest.raises(Deadlock, match=r"thread handlers-1 at .*threading.py:\d+ has not come back for 0.1 s of real time"):
        loop.run_until_complete(main())
    with pytest.warns(RuntimeWarning, match="thread handlers-1 at .* does not end though its loop is closed"):
        loop.close()
    release.set()
    for thread in threading.enumerate():
        if thread.name.startswith("handlers"):
            thread.join(10)
            assert not thread.is_alive()


def test_a_closed_loop_is_forgotten():
    """Nothing of a loop that had threads stays behind, however many runs there are."""
    loop = VirtualLoop()
    threads = VirtualThreads(loop, "handlers")
    run(loop, partial(threads.submit, lambda: None))
    loop.close()
    gone = weakref.ref(loop)
    del loop, threads
    gc.collect()
    assert gone() is None
