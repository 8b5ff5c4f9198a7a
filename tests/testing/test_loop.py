"""The virtual loop: time, order, executors, what goes wrong, and asyncio's own tools on it."""

import asyncio
import contextvars
import gc
import random
import signal
import sys
import threading
import time
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq_testing.explore.strategies import Uniform
from taskq_testing.loop import RealIO, VirtualLoop, awaitables, garbage
from taskq_testing.loop.handles import nanoseconds
from taskq_testing.loop.virtual import DELAYS
from taskq_testing.tape import Tape

SECOND = 1_000_000_000


@pytest.fixture
def loop():
    """A loop that is closed afterwards."""
    loop = VirtualLoop()
    yield loop
    loop.close()


# -- time


def test_time_begins_at_zero_and_jumps(loop):
    """A day's sleep takes the loop a day and the test no time."""
    began = time.monotonic()
    assert (loop.now, loop.time()) == (0, 0.0)
    loop.run_until_complete(asyncio.sleep(86_400))
    assert (loop.now, loop.time()) == (86_400 * SECOND, 86_400.0)
    assert time.monotonic() - began < 8_640


@given(st.floats(0, 4e6))
def test_seconds_are_rounded_up_to_nanoseconds(seconds):
    """The loop's time for a moment is the first that is not before it."""
    count = nanoseconds(seconds)
    assert count / 1e9 >= seconds
    assert count == 0 or (count - 1) / 1e9 < seconds


@pytest.mark.slow
def test_a_million_timers_do_not_drift(loop):
    """A million delays of a tenth of a second are a hundred thousand seconds, to the nanosecond."""
    left, ended = 1_000_000, []

    def tick():
        nonlocal left
        left -= 1
        if left:
            loop.call_later(0.1, tick)
        else:
            ended.append(loop.now)

    loop.call_later(0.1, tick)
    loop.advance(200_000)
    assert (left, ended) == (0, [100_000 * SECOND])


def _chain(loop, left, times):
    times.append(loop.now)
    if left:
        loop.call_later(0.1, _chain, loop, left - 1, times)


def test_delays_add_up_exactly(loop):
    """Each of a chain of delays of a tenth of a second ends where integers say."""
    times = []
    loop.call_later(0.1, _chain, loop, 9_999, times)
    loop.advance(1000)
    assert times == [number * SECOND // 10 for number in range(1, 10_001)]


def test_a_timer_is_never_early(loop):
    """At its time, `time()` is not before `when`, for moments that no nanosecond hits."""
    rng = random.Random(1)
    moments = [rng.random() * 10 ** rng.randrange(6) for _ in range(500)]
    early = []
    for moment in moments:
        loop.call_at(moment, lambda moment=moment: early.append(moment) if loop.time() < moment else None)
    loop.advance(1e6)
    assert early == []
    assert loop.next_timer() is None


def test_equal_timers_come_first_come_first_served(loop):
    """Timers of one moment run in the order in which they were made, and earlier ones before them."""
    order = []
    for number in range(8):
        loop.call_at(1.0, order.append, number)
    loop.call_later(0.5, order.append, "earlier")
    loop.call_at_ns(SECOND, order.append, "last")
    loop.call_at(-5, order.append, "past")
    loop.advance(1)
    assert order == ["past", "earlier", *range(8), "last"]


def test_advance_runs_what_falls_due_and_ends_on_time(loop):
    """Each callback sees its own moment; time ends where it was sent, timers later than that stay."""
    seen = []
    for seconds in (3, 1, 2, 5):
        loop.call_later(seconds, lambda: seen.append(loop.time()))
    told = []
    loop.on_advance = told.append
    loop.advance(timedelta(seconds=4))
    assert seen == [1.0, 2.0, 3.0]
    assert told == [SECOND, 2 * SECOND, 3 * SECOND, 4 * SECOND]
    assert (loop.now, loop.next_timer()) == (4 * SECOND, 5 * SECOND)
    loop.advance(0)
    assert told[-1:] == [4 * SECOND]


def test_run_until_idle_leaves_timers(loop):
    """What is ready runs to its end, with what it makes ready; what is due later stays."""
    order = []
    loop.call_soon(loop.call_soon, order.append, "second")
    loop.call_soon(order.append, "first")
    loop.call_later(0, order.append, "due now")
    loop.call_later(1, order.append, "later")
    loop.run_until_idle()
    assert order == ["first", "second", "due now"]
    assert (loop.now, loop.next_timer()) == (0, SECOND)


def test_infinity_never_comes_and_nothing_is_not_a_time(loop):
    """An endless delay is no timer to wait for; a delay that is no number is refused."""
    handle = loop.call_later(float("inf"), print)
    assert handle.when() == float("inf")
    assert loop.next_timer() is None
    with pytest.raises(ValueError, match="NaN"):
        loop.call_later(float("nan"), print)


def test_cancelled_timers_are_forgotten(loop):
    """A cancelled timer does not run, is not waited for, and ten thousand of them are not kept."""
    ran = []
    timers = [loop.call_later(1 + number, ran.append, number) for number in range(10_000)]
    for timer in timers[:-1]:
        timer.cancel()
        timer.cancel()
    assert len(loop._heap) < 200
    assert loop.next_timer() == 10_000 * SECOND
    assert timers[0].cancelled()
    assert not timers[-1].cancelled()
    assert timers[-1].when() == 10_000.0
    loop.advance(20_000)
    assert ran == [9_999]
    timers[-1].cancel()
    assert len({*timers}) == 10_000


# -- order


def test_a_callback_can_be_cancelled_by_the_one_before(loop):
    """What is cancelled does not run, even if it was ready."""
    order = []
    loop.call_soon(lambda: victim.cancel())  # noqa: PLW0108 - it is not there yet
    victim = loop.call_soon(order.append, 1)
    loop.call_soon(order.append, 2)
    loop.run_until_idle()
    assert order == [2]
    assert "cancelled" in repr(victim)
    assert "print" in repr(loop.call_soon(print))


def _mixed_program(loop, seed):
    """Callbacks that schedule callbacks, ready and due at once, in an order drawn from a seed."""
    rng, order = random.Random(seed), []

    def act(name, depth):
        order.append(name)
        for child in range(rng.randrange(3) if depth else 0):
            schedule = rng.choice([loop.call_soon, loop.call_soon, lambda *args: loop.call_later(0, *args)])
            schedule(act, f"{name}.{child}", depth - 1)

    for number in range(4):
        loop.call_soon(act, str(number), 4)
    loop.call_later(0.01, loop.stop)
    loop.run_forever()
    return order


@pytest.mark.parametrize("seed", range(12))
def test_the_order_is_that_of_asyncio(loop, seed):
    """Where asyncio promises an order, of callbacks that are ready and timers that are due, the virtual loop has the same."""
    stock = asyncio.new_event_loop()
    try:
        expected = _mixed_program(stock, seed)
    finally:
        stock.close()
    assert len(expected) > 4
    assert _mixed_program(loop, seed) == expected


def test_stop_ends_the_turn(loop):
    """What was ready with the call of `stop` still runs, what that makes ready does not, and the next run begins with it."""
    order = []
    loop.call_soon(loop.stop)
    loop.call_soon(lambda: loop.call_soon(order.append, "next"))
    loop.call_soon(order.append, "same turn")
    loop.run_forever()
    assert order == ["same turn"]
    loop.run_until_idle()
    assert order == ["same turn", "next"]


# -- asyncio's own tools


def test_asyncios_tools_work():
    """Groups, timeouts, queues, events, waits and threads do on this loop what they do on any."""

    async def main():
        queue, done = asyncio.Queue(1), asyncio.Event()

        async def produce():
            for number in range(3):
                await asyncio.sleep(1)
                await queue.put(number)
            done.set()

        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            got = [await queue.get() for _ in range(3)]
            await asyncio.wait_for(done.wait(), 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await asyncio.Event().wait()
        assert await asyncio.gather(asyncio.to_thread(sum, [1, 2]), asyncio.shield(asyncio.sleep(0, "x"))) == [3, "x"]
        return got, asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(main()) == ([0, 1, 2], 8.0)


def test_async_generators_are_closed_in_order():
    """Generators that are left over at the end are closed one after another in the order in which they began."""
    order = []

    async def numbers(name):
        try:
            while True:
                yield 1
        finally:
            await asyncio.sleep(0)
            order.append(name)

    async def failing():
        try:
            yield 1
        finally:
            raise ValueError("in the end")

    async def main():
        generators = [numbers(name) for name in range(9)] + [failing()]
        for generator in generators:
            await anext(generator)
        return generators

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        kept = runner.run(main())
        loop = runner.get_loop()
    assert kept
    assert order == list(range(9))
    assert [type(context["exception"]) for context in loop.unhandled] == [ValueError]


def test_a_dropped_async_generator_is_closed_on_the_loop(loop):
    """A generator that nobody refers to any more is finished by the loop."""
    closed = []

    async def numbers():
        try:
            yield 1
        finally:
            await asyncio.sleep(1)
            closed.append(loop.time())

    async def main():
        await anext(numbers())
        await asyncio.sleep(5)

    loop.run_until_complete(main())
    assert closed == [1.0]


def test_context_variables_travel(loop):
    """Callbacks, timers and tasks run in the context in which they were made, or in the one that is given."""
    variable, seen = contextvars.ContextVar("variable", default="default"), []
    given_context = contextvars.Context()
    given_context.run(variable.set, "given")

    async def main():
        variable.set("main")
        loop.call_soon(lambda: seen.append(variable.get()))
        loop.call_later(1, lambda: seen.append(variable.get()))
        loop.call_soon(lambda: seen.append(variable.get()), context=given_context)
        await asyncio.create_task(asyncio.sleep(2), context=given_context)
        seen.append(await asyncio.to_thread(variable.get))
        seen.append(await loop.run_in_executor(None, variable.get))

    loop.run_until_complete(main())
    assert seen == ["main", "given", "main", "main", "default"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_passes_through(loop, error):
    """An interrupt comes out of the run at once; what was ready stays ready."""
    order = []

    def interrupt():
        raise error

    loop.call_soon(interrupt)
    loop.call_soon(order.append, "after")
    with pytest.raises(error):
        loop.run_until_idle()
    assert order == []
    loop.run_until_idle()
    assert order == ["after"]


def test_an_interrupt_from_the_keyboard_cancels_the_main_task():
    """On SIGINT `asyncio.Runner` cancels the main coroutine, which may clean up, and raises KeyboardInterrupt."""
    cleaned = []

    async def main():
        try:
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(1)
        finally:
            cleaned.append(True)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    try:
        with pytest.raises(KeyboardInterrupt), asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(main())
    finally:
        signal.signal(signal.SIGINT, before)
    assert cleaned == [True]


# -- tasks


def test_tasks_are_named_by_their_number_on_the_loop():
    """Names do not depend on what ran before in the process."""

    async def main():
        return [task.get_name() for task in [asyncio.create_task(asyncio.sleep(0)) for _ in range(3)]]

    for _ in range(2):
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            assert runner.run(main()) == ["Task-2", "Task-3", "Task-4"]


def test_eager_tasks_are_refused(loop):
    """A factory of tasks, and tasks that begin at once, are refused with what to do; None is no factory."""
    with pytest.raises(RuntimeError, match="leave out the task factory and eager_start"):
        loop.set_task_factory(getattr(asyncio, "eager_task_factory", asyncio.Task))
    coroutine = asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="leave out the task factory and eager_start"):
        loop.create_task(coroutine, eager_start=True)
    coroutine.close()
    loop.set_task_factory(None)
    assert loop.get_task_factory() is None


# -- executors


def test_an_executor_answers_with_results_and_errors(loop):
    """A function's result or error arrives, an interrupt is the caller's, and StopIteration becomes what a future can carry."""

    async def main():
        assert await asyncio.to_thread(int, "7") == 7
        for raised, expected in ((ValueError, ValueError), (SystemExit, SystemExit), (StopIteration, RuntimeError)):
            with pytest.raises(expected):
                await loop.run_in_executor(None, _raise, raised)
        waiting = loop.run_in_executor(None, pytest.fail)
        waiting.cancel()
        await asyncio.sleep(1)
        loop.set_default_executor(None)
        await loop.shutdown_default_executor()

    loop.run_until_complete(main())


def _raise(error):
    raise error


def test_when_an_executor_runs_is_drawn():
    """Without the tape saying otherwise a call runs with the next step; else after one of the delays."""
    found = set()
    for seed in range(60):
        loop = VirtualLoop(Tape(seed, Uniform()), likely=0.9)
        loop.run_until_complete(asyncio.to_thread(int))
        found.add(loop.now)
        loop.close()
    assert found == {*DELAYS}


def test_sleep_in_an_executor_delays_its_result(loop):
    """`time.sleep` in an executor takes no real time, and the result comes that much later; a cancelled one is dropped."""

    def work():
        time.sleep(30)
        time.sleep(0.5)
        return loop.time()

    async def main():
        assert await asyncio.to_thread(work) == 0.0
        assert loop.time() == 30.5
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(work), 1)
        await asyncio.sleep(60)

    loop.run_until_complete(main())
    assert loop.unhandled == []


def test_sleep_on_the_loop_is_refused(loop):
    """`time.sleep` in a coroutine is an error that says what to write; after the run it is the real one again."""
    real = time.sleep

    async def main():
        time.sleep(3)  # noqa: ASYNC251 - that is the point

    with pytest.raises(RuntimeError, match=r"use `await asyncio.sleep\(3\)`"):
        loop.run_until_complete(main())
    assert time.sleep is real


def test_other_threads_really_sleep(loop):
    """A thread that has nothing to do with the loop sleeps in real time while the loop runs."""
    slept = []

    def other():
        began = time.monotonic()
        time.sleep(0.02)
        slept.append(time.monotonic() - began)

    async def main():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    loop.run_until_complete(main())
    assert slept[0] >= 0.02


# -- threads that the loop does not know


def test_foreign_threads_are_refused(loop):
    """A callback from a thread that the loop does not schedule is refused; from its own thread it is like any other."""
    errors, ran = [], []

    def foreign():
        try:
            loop.call_soon_threadsafe(ran.append, "foreign")
        except RealIO as error:
            errors.append(str(error))

    thread = threading.Thread(target=foreign)
    thread.start()
    thread.join()
    assert "asyncio.to_thread() or loop.run_in_executor()" in errors[0]
    loop.call_soon_threadsafe(ran.append, "own")
    loop.run_until_idle()
    assert ran == ["own"]


def test_waiting_for_the_loop_in_an_executor_is_refused(loop):
    """A function in an executor that would wait for a coroutine of the loop is told so, for it would wait for ever."""
    coroutine = asyncio.sleep(0)

    def work():
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    async def main():
        with pytest.raises(RealIO, match="would wait for ever here"):
            await asyncio.to_thread(work)
        await coroutine
        await asyncio.to_thread(loop.call_soon_threadsafe, print)

    loop.run_until_complete(main())


# -- what goes wrong


def test_errors_of_callbacks_are_kept_and_logged(loop, caplog):
    """An exception in a callback goes to the log and to `unhandled`, and the loop goes on."""
    loop.call_soon(_raise, ValueError("of a callback"))
    loop.call_soon(_raise, asyncio.CancelledError())
    loop.run_until_idle()
    assert [type(context["exception"]) for context in loop.unhandled] == [ValueError, asyncio.CancelledError]
    assert "Exception in callback" in caplog.text
    assert "of a callback" in caplog.text


def test_an_exception_handler_is_told(loop, caplog):
    """A handler gets what would be logged; if it fails, both are logged."""
    seen = []
    loop.set_exception_handler(lambda _, context: seen.append(context["message"]))
    assert loop.get_exception_handler() is not None
    loop.call_soon(_raise, ValueError)
    loop.run_until_idle()
    assert "Exception in callback" in seen[0]
    loop.set_exception_handler(lambda *_: 1 / 0)
    loop.call_soon(_raise, ValueError)
    loop.run_until_idle()
    assert "Unhandled error in exception handler" in caplog.text
    assert len(loop.unhandled) == 2


@pytest.mark.skipif(sys.version_info < (3, 12), reason="handles and tasks tell their context since Python 3.12")
def test_an_exception_handler_runs_where_it_went_wrong(loop):
    """The handler sees the context variables of the callback that failed."""
    variable, seen = contextvars.ContextVar("variable"), []
    loop.set_exception_handler(lambda *_: seen.append(variable.get()))
    context = contextvars.Context()
    context.run(variable.set, "of the callback")
    loop.call_soon(_raise, ValueError, context=context)
    loop.run_until_idle()
    assert seen == ["of the callback"]


# -- beginning and end


def test_a_closed_loop_refuses(loop):
    """Nothing can be scheduled or run on a closed loop; closing it twice is nothing, and so is a second end of its timers."""
    timer = loop.call_later(1, print)
    loop.close()
    loop.close()
    timer.cancel()
    coroutine = asyncio.sleep(0)
    refused = (
        lambda: loop.call_soon(print),
        lambda: loop.call_later(1, print),
        lambda: loop.create_task(coroutine),
        lambda: loop.run_in_executor(None, print),
        loop.run_until_idle,
    )
    for call in refused:
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            call()
    coroutine.close()
    assert loop.is_closed()
    assert "closed" in repr(loop)


def test_a_running_loop_refuses_to_run(loop):
    """Code on the loop can neither run nor close it, and no loop runs inside another."""
    other = VirtualLoop()

    async def main():
        assert loop.is_running()
        assert "running" in repr(loop)
        for call, words in ((lambda: loop.advance(1), "awaits"), (loop.close, "Cannot close"), (other.run_until_idle, "another")):
            with pytest.raises(RuntimeError, match=words):
                call()

    loop.run_until_complete(main())
    other.close()
    assert not loop.is_running()


def test_what_the_loop_changes_is_put_back():
    """Garbage collection, asyncio's sets, generator hooks and `time.sleep` are as before once the loop is closed."""
    before = (dict(vars(asyncio.tasks)), sys.get_asyncgen_hooks(), time.sleep, gc.isenabled())
    loops = [VirtualLoop(), VirtualLoop()]

    async def main():
        return gc.isenabled(), vars(asyncio.tasks) == before[0]

    assert [loop.run_until_complete(main()) for loop in loops] == [(False, False)] * 2
    for loop in loops:
        loop.close()
    assert (dict(vars(asyncio.tasks)), sys.get_asyncgen_hooks(), time.sleep, gc.isenabled()) == before


@pytest.mark.slow
def test_garbage_is_collected_at_fixed_steps(loop, monkeypatch):
    """A long run collects cycles on its way, at the same steps in every run, unless the user switched that off."""
    collected = []
    monkeypatch.setattr(gc, "collect", collected.append)

    async def main():
        for _ in range(210_000):
            await asyncio.sleep(0)

    loop.run_until_complete(main())
    assert collected == [1, 1, 1, 1]
    gc.disable()
    try:
        loop.run_until_complete(main())
        assert not gc.isenabled()
    finally:
        gc.enable()
    assert len(collected) == 4


def test_a_forgotten_loop_says_so():
    """A loop that is dropped without being closed warns, and puts back what it changed."""
    before = awaitables._users
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        VirtualLoop().__del__()
    gc.collect()
    assert awaitables._users == before


def test_debug_mode(loop):
    """Debug mode can be switched; tasks then know where they were made."""
    loop.set_debug(True)
    assert loop.get_debug()
    task = loop.create_task(asyncio.sleep(0))
    assert __file__ in "".join(line.filename for line in task._source_traceback)
    loop.run_until_complete(task)


def test_the_collector_is_held_as_long_as_anybody_holds_it():
    """Blocks may be nested; the collector comes back with the last, and where the program switched it off it stays off."""
    with garbage.held():
        with garbage.held():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert (gc.isenabled(), garbage.held_here) == (True, 0)
    gc.disable()
    try:
        with garbage.held():
            assert garbage.held_here == 0
        assert not gc.isenabled()
    finally:
        gc.enable()
