"""One place among the workers, with a process that is only played: when it is replaced, how long that waits, what it is told."""

import asyncio
import logging

import pytest
from support import FakeClock, run, until

from taskq.supervisor.options import WorkerOptions
from taskq.supervisor.place import Place, Shared
from taskq.supervisor.reports import Found, Ready, Report


class PlayedChild:
    """A process that does what a test says."""

    def __init__(self, pid):
        self.pid = pid
        self.told = self.killed = 0
        self.hear = None
        self.ended = asyncio.get_running_loop().create_future()

    async def run(self, hear):
        self.hear = hear
        return await asyncio.shield(self.ended)

    def terminate(self):
        self.told += 1

    def kill(self):
        self.killed += not self.ended.done()


class Stage:
    """A place, its processes, and the waits between them."""

    def __init__(self, **options):
        self.children, self.waits, self.followed, self.forgotten = [], [], [], []
        self.clock = FakeClock()
        self.made = asyncio.Event()
        self.made.set()
        shared = Shared(WorkerOptions(app="jobs:app", **options), self.clock, {}, self.follow, self.forgotten.append)
        self.place = Place(shared, 7)
        self.keeping = None

    def follow(self, folders, since):
        self.followed.append((folders, since - self.clock.now()))

    async def start(self, options, number, environment):
        self.clock.time += 5
        assert number == 7
        child = PlayedChild(100 + len(self.children))
        self.children.append(child)
        await self.made.wait()
        return child

    async def wait_for(self, waiting, delay):
        self.waits.append(delay)
        task = asyncio.ensure_future(waiting)
        await asyncio.sleep(0)
        if not task.done():
            task.cancel()
            raise TimeoutError

    async def begin(self, *, ready=True):
        self.keeping = asyncio.create_task(self.place.keep())
        await self.child(1, ready=ready)

    async def child(self, number, *, ready=True):
        await until(lambda: len(self.children) == number and self.children[-1].hear)
        if ready:
            self.children[-1].hear(Ready(3.0))
        return self.children[-1]

    async def end(self, code, lived=1.0):
        self.clock.time += lived
        self.children[-1].ended.set_result(code)


@pytest.fixture
def stage(monkeypatch, caplog):
    """Make stages: inside of a loop, and without real processes or waits."""
    caplog.set_level(logging.INFO, logger="taskq")

    def make(**options):
        stage = Stage(**options)
        monkeypatch.setattr("taskq.supervisor.place.Child.start", stage.start)
        monkeypatch.setattr("taskq.supervisor.place.asyncio.wait_for", stage.wait_for)
        return stage

    return make


def test_deaths_are_waited_for_longer_and_longer(stage, caplog):
    """Each replacement comes after the wait that the log announces; a process that lived for a minute begins anew."""

    async def play():
        it = stage(processes=2)
        await it.begin()
        for number, lived in enumerate((1.0, 1.0, 1.0, 60.0, 1.0), start=2):
            await it.end(7, lived)
            await it.child(number)
        assert it.waits == [0.5, 1.0, 2.0, 0.5, 1.0]
        it.place.close(1)
        await it.end(0)
        await it.keeping
        assert it.place.status == 0
        assert it.forgotten == [7] * 6

    run(play())
    assert caplog.messages[1] == "process 7 (pid 101) ended with status 7; another one starts in 1.0 s"


def test_an_end_in_good_order_is_not_waited_for(stage, caplog):
    """A recycled process has its successor at once."""

    async def play():
        it = stage(processes=2)
        await it.begin()
        await it.end(0, 0.0)
        await it.child(2)
        assert it.waits == []
        it.keeping.cancel()
        await asyncio.gather(it.keeping, return_exceptions=True)
        assert it.children[-1].killed == 1  # its parent gives up: it must not live on

    run(play())
    assert caplog.messages == ["process 7 (pid 100) ended in good order and is replaced"]


def test_a_stop_ends_the_wait(stage, monkeypatch):
    """No process is started after it; what died before counts no more."""

    async def play():
        it = stage(processes=2)

        async def wait_on(waiting, delay):
            it.waits.append(delay)
            await waiting

        monkeypatch.setattr("taskq.supervisor.place.asyncio.wait_for", wait_on)
        await it.begin()
        await it.end(7)
        await until(lambda: it.waits)
        it.place.close(1)
        await it.keeping
        assert (len(it.children), it.place.status) == (1, 0)

    run(play())


def test_signals_are_told_once_each(stage):
    """The first twice is the first; one to be replaced knows of the first already; the third kills."""

    async def play():
        it = stage(processes=2)
        await it.begin()
        (child,) = it.children
        for act, told, killed in (
            (it.place.replace, 1, 0),
            (it.place.replace, 1, 0),
            (lambda: it.place.close(1), 1, 0),
            (lambda: it.place.close(2), 2, 0),
            (lambda: it.place.close(3), 2, 1),
            (lambda: it.place.close(4), 2, 2),
        ):
            act()
            assert (child.told, child.killed) == (told, killed)
        await it.end(-9)
        await it.keeping
        assert (len(it.children), it.place.status) == (1, 137)

    run(play())


@pytest.mark.parametrize("act", ["replace", "close"])
def test_a_process_that_was_being_made_is_told_too(stage, act):
    """What is decided while it starts is not forgotten."""

    async def play():
        it = stage(processes=2)
        it.made.clear()
        it.keeping = asyncio.create_task(it.place.keep())
        await until(lambda: it.children)
        it.place.replace() if act == "replace" else it.place.close(1)
        it.made.set()
        child = await it.child(1)
        assert child.told == 1
        await it.end(0)
        if act == "replace":
            assert (await it.child(2)).told == 0
            it.place.close(1)
            await it.end(0)
        await it.keeping

    run(play())


def test_patience_ends(stage, caplog):
    """After the stop timeout that the process told, and the grace; never for one that ended in time."""

    async def play():
        it = stage(processes=2, grace=0.0)
        await it.begin(ready=False)
        it.children[0].hear(Ready(0.0))
        it.place.replace()
        await until(lambda: it.children[0].killed)
        await it.end(-9)
        await it.child(2)
        it.place.close(1)
        deadline = it.place._deadline
        assert not deadline.cancelled()
        await it.end(0)
        await it.keeping
        assert deadline.cancelled()

    run(play())
    assert caplog.messages == ["process 7 (pid 100) did not end within 0.0 s and is killed"]


def test_patience_grows_with_late_news(stage):
    """A process that was told to end when it had just begun has the time to drain that it asks for."""

    async def play():
        it = stage(processes=2, grace=2.0)
        await it.begin(ready=False)
        it.place.close(1)
        first = it.place._deadline
        it.children[0].hear(Ready(30.0))
        assert first.cancelled()
        assert it.place._deadline.when() - first.when() >= 30.0
        await it.end(0)
        await it.keeping

    run(play())


def test_notes_are_heard(stage):
    """Folders are handed on, the last report is kept, also over a death, and the first consumer proves that the app works."""

    async def play():
        it = stage(processes=2)
        await it.begin(ready=False)
        assert not it.place.works.is_set()
        it.children[0].hear(Found(["/a"]))
        it.children[0].hear(Ready(1.0))
        it.children[0].hear(Report(pid=3))
        assert (it.followed, it.place.works.is_set(), it.place.report.pid) == ([(["/a"], -5)], True, 3)
        await it.end(1)
        await it.child(2, ready=False)
        assert it.place.report.pid == 3
        it.place.close(1)
        await it.end(-15)
        await it.keeping
        assert it.place.status == 0  # it was ended before it consumed

    run(play())


@pytest.mark.parametrize(("code", "status", "said"), [(2, 2, 0), (9, 9, 1), (-11, 139, 1)])
def test_a_first_start_that_fails_is_the_last(stage, caplog, code, status, said):
    """The place has that status; what has not told its own error is told here."""

    async def play():
        it = stage(processes=2)
        await it.begin(ready=False)
        await it.end(code)
        await it.keeping
        assert (it.place.status, it.waits, len(it.children)) == (status, [], 1)

    run(play())
    assert len(caplog.messages) == said


def test_reloading_waits_for_a_change(stage):
    """However often a start fails; one that worked and died is replaced as ever."""

    async def play():
        it = stage(reload=True)
        await it.begin(ready=False)
        for number in (2, 3):
            await it.end(2)
            await until(lambda: it.place._child is None)
            it.place.replace()
            await it.child(number, ready=number == 3)
        assert it.waits == []
        await it.end(1)
        await it.child(4)
        assert it.waits == [0.5]
        it.place.close(1)
        await it.end(0)
        await it.keeping

    run(play())
