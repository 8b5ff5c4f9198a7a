"""Simulated processes: their interleaving, suspension and death."""

import asyncio
import gc
import logging
import random
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from taskq_testing.explore.strategies import Uniform
from taskq_testing.loop import Deadlock, VirtualLoop, current_domain
from taskq_testing.tape import Quiet, Tape

ROOT = Path(__file__).parents[2]


@pytest.fixture
def loop():
    """A loop without a tape, closed afterwards."""
    loop = VirtualLoop()
    yield loop
    loop.close()


def seeded(seed, likely=0.5):
    """A loop whose free choices are drawn."""
    return VirtualLoop(Tape(seed, Uniform()), likely=likely)


async def tick(order, name, count=5, pause=1.0):
    """Write a name and the time again and again."""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        await asyncio.sleep(pause)
        order.append((name, loop.time()))


# -- order


def test_without_a_tape_all_is_first_come_first_served(loop):
    """Callbacks and equal timers of several domains run in the order in which they were scheduled."""
    order = []
    domains = [loop.domain(name) for name in "abc"]
    loop.call_soon(order.append, "root")
    for number in range(6):
        domains[number % 3].call_soon(order.append, number)
    for number in range(6, 12):
        loop.call_later(1, order.append, number, context=domains[number % 3].context())
    loop.advance(1)
    assert order == ["root", *range(12)]


@pytest.mark.parametrize("timers", [False, True], ids=["ready", "due"])
def test_across_domains_the_order_is_drawn_and_within_one_it_is_kept(timers):
    """Seeds give many interleavings, of callbacks and of equal timers, and each keeps the order of each domain."""
    orders = set()
    for seed in range(30):
        loop, order = seeded(seed), []
        domains = [loop.domain(name) for name in "abc"]
        for number in range(12):
            context = domains[number % 3].context()
            if timers:
                loop.call_at(1.0, order.append, number, context=context)
            else:
                loop.call_soon(order.append, number, context=context)
        loop.advance(1)
        loop.close()
        orders.add(tuple(order))
        assert sorted(order) == list(range(12))
        for domain in range(3):
            assert [number for number in order if number % 3 == domain] == list(range(domain, 12, 3))
    assert len(orders) > 20


def test_any_ready_domain_can_be_next():
    """A choice of k means the domain whose oldest callback comes after those of k others; its key is whose turn it was."""
    for choice in range(3):
        tape = Tape(0, Quiet(), recorded={("schedule", "a", 0): choice})
        loop, order = VirtualLoop(tape), []
        asked = []
        tape.listener = lambda draw, value, n, tape=tape, asked=asked: asked.append((draw[0], value, n, list(tape.ready())))
        for name in "abc":
            domain = loop.domain(name)
            domain.call_soon(order.append, name)
            domain.call_soon(order.append, name.upper())
        loop.run_until_idle()
        loop.close()
        assert order[0] == "abc"[choice]
        assert asked == ([("schedule", choice, 3, ["a", "b", "c"])] if choice else [])


def test_nothing_is_drawn_where_nothing_is_free():
    """One domain alone, or none, costs no draw."""
    tape = Tape(0, Uniform())
    loop, order = VirtualLoop(tape), []
    loop.run_until_complete(tick(order, "none"))
    domain = loop.domain("one")
    domain.create_task(tick(order, "one"))
    loop.advance(10)
    assert tape.draws == 0
    assert len(order) == 10
    for name in "ab":
        loop.domain(name).create_task(tick(order, name))
    loop.advance(10)
    loop.close()
    assert tape.draws > 0


def test_a_domain_made_on_the_way_takes_part(loop):
    """A domain that is made by a callback, while others wait in the same turn, loses and repeats nothing."""
    order = []

    def make():
        domain = loop.domain("late")
        domain.call_soon(order.append, "late")
        order.append("made")

    loop.call_soon(make)
    for number in range(3):
        loop.call_soon(order.append, number)
    loop.run_until_idle()
    assert order == ["made", 0, 1, 2, "late"]
    assert loop._busy == 0


# -- belonging


def test_what_a_domain_starts_belongs_to_it(loop):
    """Tasks, timers, callbacks, executors and their callbacks run in the domain that started them, and others' in theirs."""
    seen = []

    def note(what):
        domain = current_domain()
        seen.append((what, domain.name if domain else None))

    async def main():
        note("task")
        loop.call_soon(note, "callback")
        loop.call_later(1, note, "timer")
        await asyncio.create_task(inner())
        await asyncio.to_thread(note, "thread")
        await loop.run_in_executor(None, note, "executor")
        await asyncio.sleep(2)
        note("end")

    async def inner():
        note("inner")

    domain = loop.domain("worker")
    loop.run_until_complete(domain.create_task(main()))
    note("outside")
    names = dict(seen)
    assert set(names) == {"task", "callback", "timer", "inner", "thread", "executor", "end", "outside"}
    assert {what for what, name in names.items() if name != "worker"} == {"outside"}
    assert "worker" in repr(domain)


def test_a_domain_of_another_loop_counts_for_nothing(loop):
    """Code that carries the domain of another loop belongs to the root of the one that it is on."""
    other = VirtualLoop()
    ran = []
    foreign = other.domain("foreign")
    loop.domain("own")
    loop.call_soon(ran.append, 1, context=foreign.context())
    foreign.kill()
    loop.call_soon(ran.append, 2, context=foreign.context())
    loop.run_until_idle()
    other.close()
    assert ran == [1, 2]


# -- suspension


def test_a_suspended_domain_stands_still_and_catches_up(loop):
    """What becomes ready or due meanwhile waits, and runs after the wake in that order; others and time go on."""
    order = []
    stopped, other = loop.domain("stopped"), loop.domain("other")
    stopped.create_task(tick(order, "stopped", 4))
    other.create_task(tick(order, "other", 4))
    loop.advance(1)
    stopped.call_soon(order.append, "was ready")
    stopped.suspend()
    stopped.suspend()
    for number in range(3):
        loop.call_later(1 + number, order.append, f"due {number}", context=stopped.context())
    stopped.call_soon(order.append, "sent")
    loop.advance(2.5)
    assert [name for name, _ in order[2:]] == ["other", "other"]
    stopped.wake()
    stopped.wake()
    loop.run_until_idle()
    assert order[4:] == ["was ready", "sent", "due 0", "due 1", ("stopped", 3.5)]
    loop.advance(5)
    assert order[-1] == ("stopped", 5.5)


def test_a_sleep_that_ended_meanwhile_ends_at_the_wake(loop):
    """A process that slept through its alarm goes on when it is woken, and measures from there."""
    order = []
    domain = loop.domain("sleeper")
    domain.create_task(tick(order, "sleeper", 2))
    loop.advance(0.5)
    domain.suspend()
    loop.advance(100)
    domain.wake()
    loop.advance(1)
    assert order == [("sleeper", 100.5), ("sleeper", 101.5)]


# -- death


class Careless:
    """A coroutine with every kind of clean-up that a dead process must not do, and that must not disturb its end."""

    def __init__(self):
        self.ran, self.kept = [], []

    async def nested(self):
        try:
            await asyncio.sleep(3600)
        finally:
            self.ran.append("nested")
            await asyncio.sleep(1)

    async def raising(self):
        try:
            await self.nested()
        finally:
            self.ran.append("raising")
            raise ValueError("of a dead process")

    async def stubborn(self):
        for _ in range(1000):  # more often than anybody tries to end it
            try:
                await asyncio.sleep(3600)
            except BaseException:
                self.ran.append("stubborn")

    async def spawning(self):
        self.kept.append(asyncio.Event())  # or nobody held this task, and it might be collected before it dies
        try:
            await self.kept[-1].wait()
        finally:
            self.ran.append("spawning")
            self.task = asyncio.create_task(self.nested())

    async def forgetful(self):
        def steps():
            try:
                yield 1
            finally:
                raise ValueError("where nobody can catch it")

        left_open = steps()
        next(left_open)
        try:
            await asyncio.sleep(3600)
        finally:
            self.ran.append("forgetful")
            self.nested()

    async def grouped(self):
        async with asyncio.TaskGroup() as group:
            group.create_task(self.raising())
            group.create_task(self.spawning())

    async def generating(self):
        async def numbers():
            try:
                yield 1
            finally:
                self.ran.append("numbers")

        generator = numbers()
        await anext(generator)
        await asyncio.sleep(3600)

    def all(self):
        return [self.raising(), self.stubborn(), self.spawning(), self.forgetful(), self.grouped(), self.generating()]


def test_nothing_of_a_dead_domain_runs_on():
    """No callback, timer, cancellation or `finally` of it runs, though garbage is collected, until the loop is closed."""
    loop, careless, order = VirtualLoop(), Careless(), []
    domain = loop.domain("victim")
    for coroutine in careless.all():
        domain.create_task(coroutine)
    domain.create_task(tick(order, "victim"))
    loop.call_later(9, order.append, "timer", context=domain.context())
    loop.advance(1)
    domain.call_soon(order.append, "ready")
    domain.kill()
    domain.kill()
    domain.call_soon(order.append, "sent")
    domain.create_task(tick(order, "started"))
    domain.wake()
    domain.suspend()
    assert loop.next_timer() is None
    gc.collect()
    loop.advance(10_000)
    gc.collect()
    assert order == [("victim", 1.0)]
    assert careless.ran == []
    assert asyncio.all_tasks(loop) == set()
    loop.close()


@pytest.mark.parametrize("suspended", [False, True], ids=["running", "suspended"])
def test_closing_a_loop_with_dead_domains_is_quiet(caplog, suspended):
    """When their coroutines are closed at last, nothing that they do in their clean-up is heard of."""
    loop, careless, heard = VirtualLoop(), Careless(), []
    domain = loop.domain("victim")
    tasks = [domain.create_task(coroutine) for coroutine in careless.all()]
    unstarted = domain.create_task(careless.nested()) if suspended else None
    if suspended:
        loop.run_until_idle()
        domain.suspend()
        domain.create_task(careless.nested())
    loop.advance(1)
    domain.kill()
    hook, sys.unraisablehook = sys.unraisablehook, heard.append
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            caplog.set_level(logging.DEBUG)
            loop.close()
            del tasks, domain, unstarted
            gc.collect()
    finally:
        sys.unraisablehook = hook
    assert {"nested", "raising", "stubborn", "spawning", "forgetful"} <= {*careless.ran}
    assert [str(warning.message) for warning in warned] == []
    assert heard == []
    assert caplog.text == ""


@pytest.mark.slow
def test_a_coroutine_that_cannot_be_ended_does_not_hang_the_interpreter():
    """What catches every end that it is given is left alone, also when Python exits and closes what it still finds."""
    code = """
import asyncio
from taskq_testing.loop import VirtualLoop

async def stubborn():
    while True:
        try:
            await asyncio.sleep(1)
        except BaseException:
            pass

loop = VirtualLoop()
domain = loop.domain("victim")
domain.create_task(stubborn())
loop.advance(1)
domain.kill()
loop.close()
print("closed")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=200, check=True)
    assert (done.stdout, done.stderr) == ("closed\n", "")


def test_a_process_that_kills_itself_stops_at_its_next_await(loop):
    """The step in which it dies runs to its await; nothing after that does."""
    order = []
    domain = loop.domain("victim")

    async def main():
        try:
            order.append("before")
            domain.kill()
            order.append("same step")
            await asyncio.sleep(0)
            order.append("after")
        finally:
            order.append("finally")

    domain.create_task(main())
    loop.advance(100)
    assert order == ["before", "same step"]


def test_what_a_dead_process_waited_for_may_still_come(loop, caplog):
    """An answer to a dead process wakes nobody, and an error among the answers is not reported as forgotten."""
    order = []
    domain = loop.domain("victim")
    answers = [loop.create_future(), loop.create_future()]

    async def main(answer):
        order.append(await answer)

    for answer in answers:
        domain.create_task(main(answer))
    loop.run_until_idle()
    domain.kill()
    answers[0].set_result(1)
    answers[1].set_exception(ConnectionError("lost"))
    loop.run_until_idle()
    del answers, answer
    loop.close()
    gc.collect()
    assert order == []
    assert caplog.text == ""


def test_errors_that_a_dead_process_never_saw_are_not_reported(loop, caplog):
    """A task that failed before its process died, unseen by those who would have awaited it, is nobody's oversight."""
    domain = loop.domain("victim")

    async def fail():
        raise ConnectionError("unseen")

    async def main():
        tasks = [asyncio.create_task(fail())]
        await asyncio.sleep(1)
        await tasks[0]

    domain.create_task(main())
    loop.run_until_idle()
    domain.kill()
    loop.close()
    gc.collect()
    assert (loop.unhandled, caplog.text) == ([], "")


def test_async_generators_of_a_dead_process_stay_as_they_are(loop):
    """Neither the end of the loop's generators nor their collection runs the `finally` of a dead process's generator."""
    ran, kept = [], []
    domain = loop.domain("victim")

    async def numbers():
        try:
            yield 1
        finally:
            ran.append("finally")

    async def main():
        kept.append(numbers())
        await anext(kept[0])
        await asyncio.sleep(5)

    domain.create_task(main())
    loop.run_until_idle()
    domain.kill()
    loop.run_until_complete(loop.shutdown_asyncgens())
    kept.clear()
    loop.close()
    gc.collect()
    assert ran == []


def test_waiting_for_a_dead_process_is_a_deadlock(loop):
    """Whoever waits for a task of a process that was killed gets no answer, and the report says who waits."""
    domain = loop.domain("victim")
    task = domain.create_task(asyncio.sleep(5))

    async def main():
        await asyncio.sleep(1)
        domain.kill()
        await task

    with pytest.raises(Deadlock, match=r"main waits at .*test_domain.py:\d+"):
        loop.run_until_complete(main())


def test_a_killed_process_can_come_back(loop):
    """Another domain of the same name runs, whatever became of the first."""
    order = []
    first = loop.domain("worker")
    first.create_task(tick(order, "first"))
    loop.advance(2)
    first.kill()
    loop.domain("worker").create_task(tick(order, "second", 2))
    loop.advance(10)
    assert order == [("first", 1.0), ("first", 2.0), ("second", 3.0), ("second", 4.0)]


@pytest.mark.parametrize("seed", range(8))
def test_a_storm_of_domains_keeps_its_books(seed):
    """Under random suspensions, wakes and kills no callback is lost, repeated or out of its domain's order."""
    rng = random.Random(seed)
    loop, ran, sent, dead = seeded(seed), [], {}, set()
    domains = [loop.domain(f"d{number}") for number in range(5)]

    def send(domain, number):
        if rng.random() < 0.5:
            loop.call_later(rng.randrange(3), ran.append, (domain, number, "timer"), context=domain.context())
        else:
            domain.call_soon(ran.append, (domain, number, "ready"))
            sent.setdefault(domain, []).append(number)

    for number in range(400):
        domain = rng.choice(domains)
        rng.choice([send] * 12 + [lambda d, _: d.suspend(), lambda d, _: d.wake()])(domain, number)
        if rng.random() < 0.01 and len(dead) < 3:
            domain.kill()
            dead.add(domain)
        if rng.random() < 0.3:
            loop.advance(rng.random())
        assert loop._busy == len({handle.domain for handle in loop._ready})
    for domain in domains:
        domain.wake()
    loop.advance(10)
    for domain in set(domains) - dead:
        assert [number for who, number, kind in ran if who is domain and kind == "ready"] == sent[domain]
    assert len(ran) == len(set(ran))
    loop.close()


def test_a_domain_knows_its_tasks():
    """Those that are not done, in order of creation, however many came and went; those of others are not among them."""
    loop = VirtualLoop()
    domain, other = loop.domain("mine"), loop.domain("other")

    async def lasts():
        await asyncio.sleep(1000)

    async def ends():
        pass

    other.create_task(lasts())
    first = domain.create_task(lasts(), name="first")
    for number in range(1000):
        domain.create_task(ends(), name=str(number))
        loop.run_until_idle()
    second = domain.create_task(lasts(), name="second")
    assert domain.tasks() == [first, second]
    assert len(domain._tasks) < 200
    domain.kill()
    other.kill()
    assert domain.tasks() == [first, second]
    loop.close()
