"""Programs that cannot go on are reported, with names and places, and never hang."""

import asyncio
import gc
import re
import threading

import pytest

from taskq_testing.loop import Deadlock, Livelock, VirtualLoop


@pytest.fixture
def loop():
    """A loop that is closed afterwards; what tests leave hanging on it is theirs."""
    loop = VirtualLoop()
    yield loop
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_idle()
    loop.close()


async def wait_for_nothing():
    await asyncio.Event().wait()


async def through_layers():
    await wait_for_nothing()


def line_of(function):
    return f"{__file__}:{function.__code__.co_firstlineno + 1}"


def test_a_deadlock_names_who_waits_and_where(loop):
    """The report has the time, and for each task its process, name, coroutine, line in the user's code, and what it awaits."""
    loop.explain = lambda: "message 7 is reserved by nobody"
    domain = loop.domain("worker-1")
    domain.create_task(through_layers(), name="consumer")
    sleeping = loop.domain("worker-2")
    sleeping.create_task(asyncio.sleep(1), name="stopped")
    loop.run_until_idle()
    sleeping.suspend()
    loop.advance(2.5)
    with pytest.raises(Deadlock) as caught:
        loop.run_until_complete(loop.create_task(wait_for_nothing(), name="main"))
    text = str(caught.value)
    assert text.startswith("nothing is ready at 2.5 s and no timer is left, but these wait:\n")
    assert f"  worker-1 (running): consumer: through_layers waits at {line_of(wait_for_nothing)} in Event.wait\n" in text
    assert "  worker-2 (suspended): stopped: sleep waits at its start in sleep\n" in text
    assert f"  main: wait_for_nothing waits at {line_of(wait_for_nothing)} in Event.wait\n" in text
    assert "\nmessage 7 is reserved by nobody" in text
    sleeping.wake()


def test_a_future_that_nobody_will_set_is_a_deadlock(loop):
    """So is a bare future, and a loop that is to run until somebody stops it."""
    with pytest.raises(Deadlock, match="but what is waited for is not done"):
        loop.run_until_complete(loop.create_future())
    with pytest.raises(Deadlock):
        loop.run_forever()


def test_an_endless_sleep_is_a_deadlock(loop):
    """A sleep without end is waiting for nothing."""
    with pytest.raises(Deadlock, match="in sleep"):
        loop.run_until_complete(asyncio.sleep(float("inf")))


def test_a_long_report_is_cut(loop):
    """Of many waiting tasks twelve are named and the others counted."""
    tasks = [loop.create_task(wait_for_nothing()) for _ in range(30)]
    with pytest.raises(Deadlock) as caught:
        loop.run_until_complete(asyncio.gather(*tasks))
    assert str(caught.value).count("wait_for_nothing") == 12
    assert "\n  and 18 more" in str(caught.value)


def test_a_deadlock_is_raised_once(loop, caplog):
    """After it the loop can run again, and nothing more is said of the task."""
    gc.collect()  # what other tests left behind is complained about here, and not below
    caplog.clear()
    with pytest.raises(Deadlock):
        loop.run_until_complete(wait_for_nothing())
    assert loop.run_until_complete(asyncio.sleep(1, "fine")) == "fine"
    assert caplog.text == ""


async def spin():
    while True:
        await asyncio.sleep(0)


def test_a_livelock_names_who_spins(loop):
    """A program that takes steps while time stands still is stopped, and the report says what was about to run."""
    loop.step_limit = 1000
    loop.run_until_complete(asyncio.sleep(3))
    with pytest.raises(Livelock) as caught:
        loop.run_until_complete(loop.create_task(spin(), name="spinner"))
    assert re.match(r"more than 1000 callbacks ran at 3.0 s without time moving; let what spins sleep", str(caught.value))
    assert f"spinner: spin at {__file__}:" in str(caught.value)


@pytest.mark.parametrize("domains", [0, 2])
def test_callbacks_that_call_themselves_are_a_livelock(loop, domains):
    """So do callbacks, ready ones and timers that are due at once, in one domain or in several."""
    loop.step_limit, over = 500, []

    def again(delay):
        if over:
            return
        if delay is None:
            loop.call_soon(again, delay)
        else:
            loop.call_later(delay, again, delay)

    contexts = [loop.domain(str(number)).context() for number in range(domains)] or [None]
    for delay in (None, 0):
        for context in contexts:
            loop.call_soon(again, delay, context=context)
        with pytest.raises(Livelock, match="again"):
            loop.advance(1)
        over.append(True)
        loop.run_until_idle()
        over.clear()


def test_threads_that_the_loop_does_not_know_are_named(loop):
    """Whoever waits for a thread of their own is told of it, and how such work is started here; else threads are no matter."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="a thread of mine")
    thread.start()
    with pytest.raises(Deadlock, match=r"other threads run \(.*a thread of mine.*\).* start their work by asyncio.to_thread"):
        loop.run_until_complete(wait_for_nothing())
    end.set()
    thread.join()
    with pytest.raises(Deadlock) as caught:
        loop.run_until_complete(wait_for_nothing())
    assert "a thread of mine" not in str(caught.value)


def test_much_work_is_no_livelock(loop):
    """Many steps at one instant are fine below the limit, and any number of them while time moves."""
    loop.step_limit = 1000

    async def busy():
        for _ in range(5):
            for _ in range(600):
                await asyncio.sleep(0)
            await asyncio.sleep(1e-9)

    loop.run_until_complete(busy())
    assert loop.now == 5
