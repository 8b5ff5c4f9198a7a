"""A reserve that waits at the simulated broker: what it brings, when it gives up, and whom a wake-up is for."""

import pytest

from taskq_testing.loop import VirtualLoop, current_domain
from taskq_testing.simulator.waiting import Waiting


class Shelf:
    """Messages are numbers; those who wait are woken one for each that is put."""

    def __init__(self, loop):
        self.loop = loop
        self.ready = []
        self.due = float("inf")
        self.wakers = []
        self.looks = 0

    def look(self, n):
        self.looks += 1
        taken, self.ready = self.ready[:n], self.ready[n:]
        return taken

    def join(self, waker):
        self.wakers.append(waker)
        return self.due

    def leave(self, waker):
        if waker in self.wakers:
            self.wakers.remove(waker)

    def wake_another(self):
        if self.wakers:
            self.wakers.pop(0).set_result(None)

    def put(self, *messages):
        self.ready.extend(messages)
        for _ in messages:
            self.wake_another()


@pytest.fixture
def shelf():
    loop = VirtualLoop()
    yield Shelf(loop)
    assert loop.unhandled == []
    loop.close()


def wait(shelf, n=10, seconds=5.0):
    """Return a waiting reserve, and the list of what it answers."""
    answers, waiting = [], Waiting(shelf, n, shelf.loop.time() + seconds)
    waiting.answered = answers.append
    return waiting, answers


def test_it_answers_when_a_message_comes(shelf):
    """Nothing is answered before, the message then, once, and no timer is left behind."""
    _, answers = wait(shelf, n=1)
    shelf.loop.advance(1.0)
    assert (answers, shelf.looks) == ([], 0)
    shelf.put("a")
    shelf.loop.run_until_idle()
    assert (answers, shelf.wakers, shelf.loop.next_timer()) == ([["a"]], [], None)


def test_it_gives_up_at_its_deadline(shelf):
    """The answer is empty, at the deadline and not before."""
    _, answers = wait(shelf, seconds=5.0)
    shelf.loop.advance(4.999)
    assert answers == []
    shelf.loop.advance(0.001)
    assert (answers, shelf.wakers) == ([[]], [])


def test_it_looks_when_one_falls_due(shelf):
    """It looks when the shelf says that a message may be ready by itself, and goes on waiting if none is."""
    shelf.due = 2.0
    _, answers = wait(shelf)
    shelf.due = 3.0
    shelf.loop.advance(2.5)
    assert (shelf.looks, answers) == (1, [])
    shelf.ready.append("delayed")
    shelf.loop.advance(0.5)
    assert answers == [["delayed"]]


def test_a_message_and_the_deadline_at_one_moment_are_one_answer(shelf):
    """The wake-up that comes with the deadline does not answer a second time."""
    shelf.loop.call_later(5.0, shelf.put, "a", "b")
    _, answers = wait(shelf, n=1, seconds=5.0)
    shelf.loop.advance(6.0)
    assert (answers, shelf.ready) == ([["a"]], ["b"])


def test_a_wake_up_after_the_message_was_taken_is_for_nothing(shelf):
    """Who is woken in vain waits on until its deadline."""
    _, answers = wait(shelf)
    shelf.put("a")
    shelf.ready.clear()
    shelf.loop.run_until_idle()
    assert (answers, len(shelf.wakers)) == ([], 1)
    shelf.loop.advance(5.0)
    assert answers == [[]]


def test_one_that_is_cancelled_says_so_once(shelf):
    """The answer is None, and cancelling again, or the deadline, changes nothing."""
    waiting, answers = wait(shelf)
    waiting.cancel()
    waiting.cancel()
    shelf.loop.advance(10.0)
    assert (answers, shelf.wakers, shelf.looks) == ([None], [], 0)


def test_one_that_is_cancelled_hands_its_wake_up_on(shelf):
    """A message whose news was for somebody who leaves goes to the next, and does not lie there until a deadline."""
    first, gone = wait(shelf)
    _, answers = wait(shelf)
    shelf.put("a")
    first.cancel()
    shelf.loop.run_until_idle()
    assert (gone, answers) == ([None], [["a"]])


def test_one_that_was_not_woken_wakes_nobody(shelf):
    """Cancelling one that waits leaves the others as they are."""
    first, _ = wait(shelf)
    _, answers = wait(shelf)
    first.cancel()
    shelf.loop.run_until_idle()
    assert (answers, shelf.looks) == ([], 0)


def test_it_runs_in_the_context_of_who_asked(shelf):
    """What it records belongs to the process that waits, not to the one that sends."""
    loop, seen = shelf.loop, []

    async def asks():
        waiting, _ = wait(shelf, n=1)
        waiting.answered = lambda _: seen.append(current_domain().name)

    for name in ("first", "second"):
        loop.domain(name).create_task(asks())
        loop.run_until_idle()
    shelf.put("a", "b")
    loop.run_until_idle()
    assert seen == ["first", "second"]
