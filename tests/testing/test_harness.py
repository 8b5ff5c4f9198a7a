"""An app in virtual time: what waits, what runs when, what is raised, and that everything is put back."""

import asyncio
import contextvars
import threading
import time
import traceback
from datetime import UTC, datetime, timedelta

import pytest

import taskq
import taskq_testing
from taskq.backends.base import Capabilities
from taskq.backends.memory import MemoryBroker
from taskq_testing import ANY, Harness, NotReached, Stuck


class Jobs:
    """An app with one task of each kind, and what they did."""

    def __init__(self):
        self.app = taskq.App(hooks=())
        self.mail = self.app.queue("mail")
        self.ran = []
        self.failing = set()

        @self.mail.task(max_attempts=3, min_backoff=10, max_backoff=15)
        def greet(name: str, language: str = "en") -> str:
            self.ran.append(name)
            if name in self.failing:
                raise ValueError(f"cannot greet {name}")
            return f"hello {name}"

        @self.mail.task
        async def sleep(seconds: float) -> float:
            await asyncio.sleep(seconds)
            self.ran.append(seconds)
            return seconds * 2

        @self.mail.task
        def chain(left: int) -> None:
            self.ran.append(left)
            if left:
                chain.enqueue(left - 1)

        self.greet, self.sleep, self.chain = greet, sleep, chain


@pytest.fixture
def jobs():
    return Jobs()


@pytest.fixture
def sim(jobs):
    with Harness(jobs.app, wall="off") as harness:
        yield harness


def later(task, seconds, *args):
    return task._producer.enqueue(task.message(*args).delayed(seconds))


# -- what waits


def test_messages_wait_until_the_test_processes_them(jobs, sim):
    """Enqueueing runs nothing; draining runs what is ready and says how it went."""
    jobs.greet.enqueue("ada")
    assert jobs.ran == []
    (message,) = sim.assert_enqueued(jobs.greet, args=("ada",), delay=0, queue="mail", attempt=1)
    assert (message.args, message.state) == (("ada", "en"), "ready")
    assert sim.drain() == taskq_testing.Drained(processed=1)
    assert jobs.ran == ["ada"]
    sim.refute_enqueued(jobs.greet)


def test_an_assertion_fails_with_the_nearest_miss(jobs, sim):
    """The failure shows what waits and where it differs."""
    later(jobs.greet, 3600, "bob")
    with pytest.raises(AssertionError, match="expected 'ada'\n.*but is   'bob'"):
        sim.assert_enqueued(jobs.greet, args=("ada",))
    with pytest.raises(AssertionError, match="1 message matches greet.*expected are 2"):
        sim.assert_enqueued(jobs.greet, count=2)
    with pytest.raises(AssertionError, match="1 message matches greet.*expected is none"):
        sim.refute_enqueued(jobs.greet, args=("bob",))
    sim.refute_enqueued(jobs.greet, args=("ada",))
    sim.assert_enqueued(jobs.greet, count=1)
    sim.assert_enqueued(jobs.greet, args=("ada",), count=0)


def test_a_failure_says_what_ran_and_what_was_refused(jobs, sim):
    """What is no longer, or was never, in the queue is told too."""
    jobs.greet.enqueue("ada")
    sim.drain()
    for _ in range(2):
        jobs.mail.enqueue(jobs.greet.message("bob").named("bob"))
    with pytest.raises(AssertionError) as failure:
        sim.assert_enqueued(jobs.greet, args=("eve",))
    text = str(failure.value)
    assert "Ran already:\n  greet('ada', 'en') attempt 1 ran at 0 s: ok" in text
    assert "Refused, as their name was taken:\n  greet('bob', 'en') on mail" in text


def test_names_and_periods_are_seen(jobs, sim):
    """What a message was named, or limited by, can be asserted though it does not travel."""
    jobs.mail.enqueue(jobs.greet.message("ada").named("hello-ada"))
    jobs.mail.enqueue(jobs.greet.message("bob").once_in(timedelta(hours=1)))
    jobs.mail.enqueue(jobs.greet.message("eve").once())
    sim.assert_enqueued(jobs.greet, name="hello-ada", once=False)
    sim.assert_enqueued(jobs.greet, args=("bob",), name=None, once=timedelta(hours=1), delay=timedelta(hours=1))
    sim.assert_enqueued(jobs.greet, args=("eve",), once=True)
    sim.assert_enqueued(jobs.greet, once=True, count=2)


def test_the_delay_is_what_is_left_of_it(jobs, sim):
    """As time passes a message comes nearer."""
    later(jobs.greet, 3600, "ada")
    sim.assert_enqueued(jobs.greet, delay=3600)
    sim.advance(minutes=20)
    sim.assert_enqueued(jobs.greet, delay=timedelta(minutes=40))


def test_a_task_may_be_given_by_name(jobs, sim):
    """A name that is registered nowhere is refused, unless it is a foreign task's and its queue is given."""
    jobs.greet.enqueue("ada")
    jobs.mail.enqueue(jobs.mail.message("foreign", 1, 2))
    sim.assert_enqueued("greet", kwargs={"name": "ada"})
    sim.assert_enqueued("foreign", args=(1, 2))
    sim.refute_enqueued("abroad", queue="mail")
    for wrong in (sim.assert_enqueued, sim.refute_enqueued):
        with pytest.raises(LookupError, match="no task 'gret' is registered; known are: chain, greet, sleep"):
            wrong("gret")
    with pytest.raises(TypeError, match="neither a task nor a name"):
        sim.assert_enqueued(len)


def test_tasks_of_the_same_name_are_told_apart(jobs, sim):
    """A task stands for its own queue only; its name stands for all queues."""
    post = jobs.app.queue("post")

    @post.task(name="greet")
    def greet_by_post(name: str) -> None: ...

    greet_by_post.enqueue("ada")
    sim.refute_enqueued(jobs.greet)
    sim.assert_enqueued(greet_by_post)
    sim.assert_enqueued("greet", args=("ada",))
    sim.drain()
    assert [sim.performed(task) for task in (jobs.greet, greet_by_post, "greet")] == [0, 1, 1]


def test_a_task_of_another_app_is_refused(jobs, sim):
    """What this harness cannot see is no silent success."""
    with pytest.raises(LookupError, match="not of this harness's app"):
        sim.refute_enqueued(Jobs().greet)


def test_all_enqueued_lists_what_waits(jobs, sim):
    """Ready ones first, then delayed ones by when they are due, of one task or queue or all."""
    later(jobs.greet, 20, "second")
    later(jobs.greet, 10, "first")
    jobs.chain.enqueue(1)
    assert [message.args for message in sim.all_enqueued()] == [(1,), ("first", "en"), ("second", "en")]
    assert [message.delay for message in sim.all_enqueued(jobs.greet)] == [10, 20]
    assert sim.all_enqueued(queue="other") == []


def test_an_unreadable_message_is_listed(jobs, sim):
    """A body that nobody can read neither hides the others nor fails the test that looks."""
    sim._stage.broker.backends["mail"].send_blocking([taskq.backends.base.Outgoing(b"x", b"\xff")])
    jobs.mail.enqueue(jobs.mail.message("greet", [1]))
    assert [(message.task, message.args) for message in sim.all_enqueued()] == [("(unreadable)", ()), ("greet", ([1],))]
    assert sim.drain(raise_errors=False) == taskq_testing.Drained(failed=1, dead=2)


# -- what runs when


def test_a_delayed_message_runs_at_its_moment(jobs, sim):
    """Time moves only by the test's word; a message runs when it is due, neither before nor with the next look."""
    later(jobs.greet, 3600, "ada")
    assert sim.advance(3599.999) == taskq_testing.Drained()
    assert sim.advance(0.001).processed == 1
    assert sim.elapsed == 3600
    assert [run.started for run in sim.performances(jobs.greet)] == [3600]


@pytest.mark.parametrize("steps", [(0.1, 0.2), (0.3, 0.6), (1 / 3, 2 / 3), (1e-3, 86400.1)])
def test_sums_of_floats_come_due_in_time(jobs, sim, steps):
    """Advancing by exactly a message's delay runs it, whatever fractions of a second went before."""
    first, delay = steps
    sim.advance(first)
    later(jobs.greet, delay, "ada")
    assert sim.advance(delay).processed == 1


def test_every_unit_of_time_is_understood(jobs, sim):
    """Seconds, timedeltas and the larger units add up; time never goes back."""
    begin = sim.now
    sim.advance(timedelta(seconds=1), minutes=1, hours=1, days=1)
    assert sim.elapsed == 90061
    assert (sim.now - begin).total_seconds() == pytest.approx(90061)
    for wrong in (-1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="time cannot move by"):
            sim.advance(wrong)


def test_time_begins_where_it_is_told(jobs):
    """The start is now, or what is given; a moment without a time zone is refused."""
    start = datetime(2030, 1, 1, tzinfo=UTC)
    with Harness(jobs.app, wall="off", start=start) as sim:
        assert sim.now == start
    with Harness(jobs.app, wall="off") as sim:
        assert abs(sim.now.timestamp() - time.time()) < 10
    with pytest.raises(ValueError, match="no time zone"):
        Harness(jobs.app, start=datetime(2030, 1, 1))


def test_a_message_for_a_moment_waits_for_it(jobs, sim):
    """`Message.at` is understood by the harness's time of day."""
    jobs.mail.enqueue(jobs.greet.message("ada").at(sim.now + timedelta(minutes=5)))
    sim.assert_enqueued(jobs.greet, delay=timedelta(minutes=5))


def test_retries_follow_the_backoff(jobs, sim):
    """A failing message is tried at 0, 10 and 25 seconds, then put aside with its reason."""
    jobs.failing.add("ada")
    jobs.greet.enqueue("ada")
    assert sim.drain(raise_errors=False) == taskq_testing.Drained(retried=1)
    sim.assert_enqueued(jobs.greet, attempt=2, delay=10)
    assert sim.run_until_idle(raise_errors=False) == taskq_testing.Drained(retried=1, failed=1, dead=1)
    runs = sim.performances(jobs.greet)
    assert [(run.attempt, run.outcome, run.started) for run in runs] == [(1, "retried", 0), (2, "retried", 10), (3, "failed", 25)]
    assert [type(run.error) for run in runs] == [ValueError] * 3
    (letter,) = sim.dead_letters(jobs.greet)
    assert letter.reason == "failed 3 times: ValueError: cannot greet ada"
    sim.refute_enqueued(jobs.greet)


def test_jump_to_next_goes_from_one_due_message_to_the_next(jobs, sim):
    """It returns how far the next message was, runs it, and fails where none is delayed."""
    later(jobs.greet, 30, "ada")
    later(jobs.greet, 90, "bob")
    assert sim.jump_to_next() == 30
    assert jobs.ran == ["ada"]
    assert sim.jump_to_next() == 60
    assert (jobs.ran, sim.elapsed) == (["ada", "bob"], 90)
    with pytest.raises(AssertionError, match="no message is delayed"):
        sim.jump_to_next()


def test_travel_moves_time_without_workers(jobs, sim):
    """What comes due while no worker is there waits for the next one."""
    later(jobs.greet, 30, "ada")
    sim.travel(minutes=10)
    assert (jobs.ran, sim.elapsed) == ([], 600)
    sim.assert_enqueued(jobs.greet, delay=0)
    sim.drain()
    assert sim.performances()[0].started == 600


def test_travel_lets_what_runs_go_on(jobs, sim):
    """A handler that is running ends at its time, and its worker takes nothing further."""
    jobs.sleep.enqueue(10)
    sim.advance(1)
    jobs.greet.enqueue("ada")
    sim.travel(60)
    assert jobs.ran == [10]
    sim.assert_enqueued(jobs.greet)


def test_async_handlers_sleep_in_virtual_time_side_by_side(jobs, sim):
    """Handlers that wait do so at the same time, and advance stops in the middle of them."""
    for seconds in (3600, 60, 600):
        jobs.sleep.enqueue(seconds)
    sim.advance(minutes=5)
    assert jobs.ran == [60]
    assert [message.state for message in sim.all_enqueued()] == ["reserved", "reserved"]
    sim.advance(minutes=5)
    assert jobs.ran == [60, 600]
    assert sim.drain().processed == 1
    assert sim.elapsed == 3600


def test_drain_waits_for_what_runs_and_not_for_what_is_delayed(jobs, sim):
    """Draining lets time pass for running handlers only; `until` adds what is due by then, and time stays at the last."""
    jobs.sleep.enqueue(100)
    later(jobs.greet, 200, "ada")
    later(jobs.greet, 300, "bob")
    assert sim.drain().processed == 1
    assert sim.elapsed == 100
    assert sim.drain(until=timedelta(seconds=150)).processed == 1
    assert (jobs.ran, sim.elapsed) == ([100, "ada"], 200)
    assert sim.drain(until=99.9).processed == 0
    assert sim.elapsed == 200


def test_a_sync_handler_sleeps_in_virtual_time(jobs, sim):
    """`time.sleep` in a handler moves the clock and nothing else."""

    @jobs.mail.task
    def nap() -> None:
        time.sleep(400)  # longer than the reservation lasts
        jobs.ran.append(sim.elapsed)

    began = time.monotonic()
    nap.enqueue()
    nap.enqueue()
    sim.drain()
    assert jobs.ran == [400, 800]
    assert time.monotonic() - began < 200


def test_in_turns_sync_handlers_sleep_side_by_side(jobs):
    """Threads that take turns sleep at the same time, as real ones do."""

    @jobs.mail.task
    def nap() -> None:
        time.sleep(400)
        jobs.ran.append(threading.current_thread() is threading.main_thread())

    with Harness(jobs.app, wall="off", threads="turns") as sim:
        nap.enqueue()
        nap.enqueue()
        sim.drain()
        assert (jobs.ran, sim.elapsed) == ([False, False], 400)


def test_sync_handlers_run_on_the_tests_thread_without_a_loop(jobs, sim):
    """A handler sees the thread-local state of the test, and may use an event loop of its own."""
    local = threading.local()
    local.connection = "the test's"

    @jobs.mail.task
    def query() -> None:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        jobs.ran.append((local.connection, asyncio.run(asyncio.sleep(0, "own loop"))))

    query.enqueue()
    sim.drain()
    assert jobs.ran == [("the test's", "own loop")]


def test_a_sync_handler_may_extend_its_reservation(jobs, sim):
    """`Context.extend` works on the test's thread."""

    @jobs.mail.task
    def long(context: taskq.Context) -> None:
        context.extend(5000)
        jobs.ran.append(context.attempt)

    long.enqueue()
    assert sim.drain().processed == 1
    assert jobs.ran == [1]


def test_what_cannot_wait_on_the_tests_thread_says_so(sim):
    """A wait that takes time needs threads that take turns."""
    loop = sim._stage.loop

    async def wait():
        await loop.create_future()

    with pytest.raises(RuntimeError, match='set threads="turns"'):
        sim._stage.clock.threads(loop, "test").wait(wait())


def test_rate_limits_take_their_time(jobs, sim):
    """Three messages at one a minute are done after two minutes."""
    slow = jobs.app.queue("slow", rate_limit=taskq.RateLimit(1, per=60))

    @slow.task
    def tick() -> None:
        jobs.ran.append(sim.elapsed)

    slow.enqueue_many(tick.message() for _ in range(3))
    sim.drain()
    assert jobs.ran == pytest.approx([0, 60, 120], abs=0.01)


def test_batches_are_closed_by_drain(jobs, sim):
    """A batch handler gets all that waits, and may fail one."""

    @jobs.mail.task(batch=taskq.Batch(size=10), max_attempts=2)
    def digest(batch: taskq.MessageBatch) -> None:
        jobs.ran.append(len(batch))
        batch.fail(batch[0], ValueError("the first"))

    for number in range(3):
        digest.enqueue(number)
    assert sim.drain(raise_errors=False) == taskq_testing.Drained(processed=2, retried=1)
    assert (jobs.ran, sim.elapsed) == ([3], 0)
    assert sim.performances(digest)[0].args == (0,)


@pytest.mark.parametrize("tool", ["time_machine", "freezegun"])
def test_the_time_of_day_follows(jobs, tool):
    """Handlers and the test see the virtual time of day, sync or async, and real time is back afterwards."""
    pytest.importorskip(tool)
    start = datetime(2030, 1, 1, tzinfo=UTC)

    @jobs.mail.task
    def look() -> None:
        jobs.ran.append((datetime.now(UTC), time.time()))

    @jobs.mail.task
    async def look_twice() -> None:
        look()
        await asyncio.sleep(60)
        look()

    with Harness(jobs.app, wall=tool, start=start) as sim:
        assert datetime.now(UTC) == sim.now == start
        later(look, 3600)
        later(look_twice, 7200)
        sim.run_until_idle()
        assert datetime.now(UTC) == sim.now == start + timedelta(seconds=7260)
        with sim.off():
            assert datetime.now(UTC) < start
    moments = [start + timedelta(seconds=seconds) for seconds in (3600, 7200, 7260)]
    assert jobs.ran == [(moment, moment.timestamp()) for moment in moments]
    assert datetime.now(UTC) < start


# -- drain


def test_a_limit_bounds_what_is_taken(jobs, sim):
    """The rest waits in its order."""
    for name in "abcde":
        jobs.greet.enqueue(name)
    assert sim.drain(limit=2).processed == 2
    assert sim.drain(limit=2).processed == 2
    assert jobs.ran == list("abcd")
    assert sim.drain(limit=0).processed == 0
    assert sim.drain().processed == 1


def test_a_limit_holds_across_queues(jobs, sim):
    """The limit counts messages of all queues together."""
    other = jobs.app.queue("other")

    @other.task
    def note() -> None:
        jobs.ran.append("note")

    note.enqueue()
    note.enqueue()
    jobs.greet.enqueue("ada")
    assert sim.drain(limit=2).processed == 2
    assert len(sim.all_enqueued()) == 1


def test_a_recursive_drain_follows_what_handlers_enqueue(jobs, sim):
    """Without recursion what is enqueued meanwhile stays, and each message runs once."""
    jobs.chain.enqueue(3)
    jobs.greet.enqueue("ada")
    assert sim.drain(recursive=False).processed == 2
    sim.assert_enqueued(jobs.chain, args=(2,))
    assert sim.drain().processed == 3
    assert jobs.ran == [3, "ada", 2, 1, 0]


def test_a_drain_without_recursion_tries_each_message_once(jobs, sim):
    """A message that is to be tried again at once is left for the next drain."""

    @jobs.mail.task(min_backoff=0, max_backoff=0, max_attempts=5)
    def fails() -> None:
        raise ValueError

    fails.enqueue()
    assert sim.drain(recursive=False, raise_errors=False).retried == 1
    assert sim.drain(raise_errors=False) == taskq_testing.Drained(retried=3, failed=1, dead=1)


def test_handlers_may_enqueue_into_every_queue(jobs, sim):
    """A drain ends when all queues are empty, whichever was filled last."""
    first, second = jobs.app.queue("first"), jobs.app.queue("second")

    @first.task
    def ping(left: int) -> None:
        if left:
            pong.enqueue(left - 1)

    @second.task
    async def pong(left: int) -> None:
        await asyncio.sleep(1)
        if left:
            await ping.enqueue_async(left - 1)

    ping.enqueue(9)
    assert sim.drain().processed == 10
    assert sim.elapsed == 5


def test_a_handler_that_runs_on_holds_up_nobody(jobs, sim):
    """What it enqueues into other queues runs at once, or when it is due, not when the handler ends."""
    other = jobs.app.queue("other")

    @other.task
    def note() -> None:
        pass

    @jobs.mail.task
    async def long() -> None:
        await note.enqueue_async()
        await other.enqueue_async(note.message().delayed(10))
        await asyncio.sleep(100)

    long.enqueue()
    sim.drain()
    assert [run.started for run in sim.performances(note)] == [0, 10]


def test_endless_work_is_reported(jobs, sim, monkeypatch):
    """A task that enqueues itself for ever does not hang the test, at one instant or over time."""
    monkeypatch.setattr("taskq_testing.harness.stage.MOST_MESSAGES", 100)

    @jobs.mail.task
    def again(delay: float) -> None:
        jobs.mail.enqueue(again.message(delay).delayed(delay))

    again.enqueue(0)
    with pytest.raises(Stuck, match=r"100 messages were processed in one call and there are more.*again \(100\)"):
        sim.drain()
    sim.clear()
    again.enqueue(60)
    with pytest.raises(Stuck, match="does a task enqueue itself"):
        sim.run_until_idle()
    assert sim.clear() == 1


def test_a_handler_that_waits_for_ever_is_reported(jobs, sim):
    """After a day of virtual time without any progress the test is told what runs."""

    @jobs.mail.task
    async def hang(name: str) -> None:
        await asyncio.Event().wait()

    hang.enqueue("ada")
    with pytest.raises(Stuck, match=r"no run began or ended for 1 d of virtual time:\n  hang\('ada'\) attempt 1 runs since 0 s"):
        sim.drain()
    sim.advance(days=1)


def test_a_pause_that_has_no_end_is_reported(jobs, sim, monkeypatch):
    """A queue that nobody resumes does not hang the test."""
    monkeypatch.setattr("taskq_testing.harness.stage.PATIENCE", 3600.0)
    jobs.greet.enqueue("ada")
    sim.drain()
    sim._stage.crew._consumers["mail"].pause()
    jobs.greet.enqueue("bob")
    with pytest.raises(Stuck, match="nothing runs: a queue is paused"):
        sim.drain()


def test_a_distant_message_is_no_reason_to_give_up(jobs, sim):
    """Waiting for what is delayed by a year is no standstill."""
    later(jobs.greet, 365 * 86400, "ada")
    assert sim.run_until_idle().processed == 1
    assert sim.elapsed == 365 * 86400


@pytest.mark.slow
def test_a_year_of_idle_time_costs_nothing(jobs, sim):
    """Nothing polls: a year takes a few timers."""
    jobs.greet.enqueue("ada")
    sim.advance(days=365)
    timers = sim._stage.loop._seq
    for _ in range(99):
        sim.advance(days=365)
    assert jobs.ran == ["ada"]
    assert sim._stage.loop._seq - timers < 99 * 10


# -- errors


def test_a_handlers_error_is_raised_with_its_traceback(jobs, sim):
    """The last frames are the handler's, and a note says which message it was and what becomes of it."""
    jobs.failing |= {"ada", "bob"}
    jobs.greet.enqueue("ada")
    jobs.greet.enqueue("bob")
    with pytest.raises(ValueError, match="cannot greet ada") as failure:
        sim.drain()
    frames = traceback.extract_tb(failure.value.__traceback__)
    assert frames[-1].name == "greet"
    assert frames[-2].name == "raise_first", "the frames of the runtime are left out"
    assert failure.value.__notes__ == [
        "in greet('ada', 'en') attempt 1 ran at 0 s: retried, ValueError: cannot greet ada; again in 10 s",
        "and greet('bob', 'en') attempt 1 ran at 0 s: retried, ValueError: cannot greet bob; again in 10 s",
    ]


def test_many_errors_are_counted(jobs, sim):
    """Five messages are named, and how many more failed."""
    jobs.failing |= set("abcdefg")
    for name in "abcdefg":
        jobs.greet.enqueue(name)
    with pytest.raises(ValueError, match="cannot greet a") as failure:
        sim.drain()
    assert (len(failure.value.__notes__), failure.value.__notes__[-1]) == (6, "and 2 more")


def test_a_consumers_own_error_is_raised(jobs, sim, monkeypatch):
    """What goes wrong in the runtime itself is not taken for a quiet queue."""

    async def broken(self, reservations):
        raise RuntimeError("a bug in the backend")

    monkeypatch.setattr("taskq_testing.harness.crew.GatedBackend.ack", broken)
    jobs.greet.enqueue("ada")
    with pytest.raises(BaseException) as failure:
        sim.drain()
    assert "a bug in the backend" in "".join(traceback.format_exception(failure.value))


def test_an_error_is_raised_once(jobs, sim):
    """What was raised is not raised again by the next call, and all that was ready is processed before."""
    jobs.failing.add("ada")
    jobs.greet.enqueue("ada")
    jobs.greet.enqueue("bob")
    with pytest.raises(ValueError, match="ada"):
        sim.drain()
    assert jobs.ran == ["ada", "bob"]
    assert sim.drain() == taskq_testing.Drained()


def test_errors_of_async_handlers_are_raised_too(jobs, sim):
    """Also from advance, after time has passed as it should."""

    @jobs.mail.task
    async def fails() -> None:
        await asyncio.sleep(5)
        raise LookupError("missing")

    fails.enqueue()
    with pytest.raises(LookupError, match="missing") as failure:
        sim.advance(minutes=1)
    assert traceback.extract_tb(failure.value.__traceback__)[-1].name == "fails"
    assert sim.elapsed == 60


def test_retry_is_no_error(jobs, sim):
    """A handler that asks to be run again is not raised, and runs when it asked for."""

    @jobs.mail.task
    def poll(context: taskq.Context) -> None:
        if context.attempt < 3:
            raise taskq.Retry(after=7)

    poll.enqueue()
    assert sim.drain() == taskq_testing.Drained(retried=1)
    assert sim.advance(14) == taskq_testing.Drained(processed=1, retried=1)
    assert [run.started for run in sim.performances(poll)] == [0, 7, 14]


def test_an_interrupt_in_a_handler_ends_the_test(jobs, sim):
    """Ctrl-C is raised even where errors are not."""

    @jobs.mail.task
    def interrupted() -> None:
        raise KeyboardInterrupt

    interrupted.enqueue()
    with pytest.raises(KeyboardInterrupt):
        sim.drain(raise_errors=False)


def test_fallbacks_run_and_are_counted(jobs, sim):
    """A message that failed for good goes to its fallback, or is put aside if that fails too."""

    @jobs.mail.task(max_attempts=1)
    def fails(name: str) -> None:
        raise ValueError(name)

    @fails.fallback
    def give_up(message: taskq.Message) -> None:
        jobs.ran.append(message.args)
        if message.args == ("both",):
            raise RuntimeError("too")

    fails.enqueue("once")
    assert sim.drain(raise_errors=False) == taskq_testing.Drained(failed=1, fallbacks=1)
    fails.enqueue("both")
    assert sim.drain(raise_errors=False) == taskq_testing.Drained(failed=1, fallbacks=1, dead=1)
    assert jobs.ran == [("once",), ("both",)]
    assert "then its fallback failed: RuntimeError: too" in sim.dead_letters()[0].reason


def test_performed_counts_by_outcome(jobs, sim):
    """Runs that ended well are counted unless another outcome is asked for."""
    jobs.failing.add("bob")
    jobs.greet.enqueue("ada")
    jobs.greet.enqueue("bob")
    sim.run_until_idle(raise_errors=False)
    counts = [sim.performed(jobs.greet, outcome=outcome) for outcome in ("ok", "retried", "failed", None)]
    assert (sim.performed(), sim.performed("greet"), counts) == (1, 1, [1, 2, 1, 4])
    assert sim.performed(jobs.chain) == 0
    with pytest.raises(ValueError, match="outcome='done' is unknown; give one of: ok, retried, failed"):
        sim.performed(outcome="done")
    with pytest.raises(LookupError, match="'gret'"):
        sim.performed("gret")


# -- one handler alone


def test_perform_runs_one_handler_through_the_codec(jobs, sim):
    """The result comes back, the arguments went through bytes, and the queues of the test are not touched."""

    @jobs.mail.task
    def arrived(when: datetime, tags: tuple[str, ...]) -> tuple:
        return when, tags

    jobs.greet.enqueue("waiting")
    assert sim.perform(jobs.greet, "ada").result == "hello ada"
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    assert sim.perform(arrived, moment, tags=("a", "b")).result == (moment, ("a", "b"))
    assert sim.perform("sleep", 60).result == 120
    assert sim.elapsed == 60
    assert jobs.ran == ["ada", 60]
    assert (sim.performed(), len(sim.all_enqueued())) == (0, 1)
    with pytest.raises(TypeError, match="greet"):
        sim.perform(jobs.greet, 1)
    with pytest.raises(LookupError, match="no task 'nothing'"):
        sim.perform("nothing")


def test_perform_decides_as_a_consumer_does(jobs, sim):
    """The attempt is what is given; the decision, its fallback and its reason are returned."""
    jobs.failing.add("ada")
    with pytest.raises(ValueError, match="cannot greet ada"):
        sim.perform(jobs.greet, "ada")
    second = sim.perform(jobs.greet, "ada", attempt=2, raise_errors=False)
    assert (second.outcome, second.decision, second.result) == ("retried", taskq.core.retry.Release(15.0), None)
    last = sim.perform(jobs.greet, "ada", attempt=3, raise_errors=False)
    assert (last.outcome, last.attempt, last.reason) == ("failed", 3, "failed 3 times: ValueError: cannot greet ada")
    assert isinstance(last.error, ValueError)


def test_perform_takes_a_message_as_it_is(jobs, sim):
    """A message keeps its headers and id, and a handler of messages sees them; what it enqueues waits."""

    @jobs.mail.task
    def raw(message: taskq.Message) -> tuple:
        jobs.chain.enqueue(0)
        return message.id, message.headers, message.attempt

    message = taskq.Message(task="raw", id=b"mine", headers={"a": "1"})
    assert sim.perform(raw, message, attempt=4).result == (b"mine", {"a": "1"}, 4)
    sim.assert_enqueued(jobs.chain)
    assert jobs.ran == []


def test_perform_starts_nothing_else(jobs, sim):
    """Time that passes in a handler that is performed does not run what waits."""
    later(jobs.greet, 10, "ada")
    sim.perform(jobs.sleep, 60)
    assert jobs.ran == [60]
    sim.assert_enqueued(jobs.greet, delay=0)


# -- modes


def test_inline_runs_each_message_where_it_is_enqueued(jobs, sim):
    """Inside of the block messages run at once, with what they enqueue, and their errors are raised there."""
    with sim.inline():
        jobs.chain.enqueue(2)
        assert jobs.ran == [2, 1, 0]
        jobs.mail.enqueue_many([jobs.greet.message("ada"), jobs.greet.message("bob")])
        assert jobs.ran[3:] == ["ada", "bob"]
        later(jobs.greet, 60, "later")
        jobs.failing.add("eve")
        with pytest.raises(ValueError, match="cannot greet eve"):
            jobs.greet.enqueue("eve")
    jobs.greet.enqueue("waits")
    assert "waits" not in jobs.ran
    sim.assert_enqueued(jobs.greet, args=("later",), delay=60)
    with sim.inline(), sim.manual():
        jobs.greet.enqueue("waits too")
    assert "waits too" not in jobs.ran


def test_inline_from_another_thread(jobs, sim):
    """A thread of the program under test may enqueue; its message runs there."""
    with sim.inline():
        thread = threading.Thread(target=jobs.greet.enqueue, args=("ada",))
        thread.start()
        thread.join()
    assert jobs.ran == ["ada"]


def test_the_apps_own_inline_mode_works_on_the_virtual_loop(jobs, sim):
    """An app that switches to inline mode itself runs in virtual time too."""
    with jobs.app.inline():
        jobs.sleep.enqueue(60)
    assert (jobs.ran, sim.elapsed) == ([60], 60)


def test_off_leaves_the_app_alone(jobs, sim):
    """Inside of the block messages go to the app's own backend, and the harness refuses to look."""
    jobs.greet.enqueue("before")
    with sim.off():
        jobs.greet.enqueue("real")
        assert asyncio.run(jobs.mail.size()).ready == 1
        for look in (sim.drain, sim.all_enqueued, sim.clear, sim.advance, sim.jump_to_next, sim.run_until_idle):
            with pytest.raises(RuntimeError, match="the harness is off"):
                look()
    jobs.greet.enqueue("after")
    assert [message.args[0] for message in sim.all_enqueued()] == ["before", "after"]
    sim.drain()
    assert jobs.ran == ["before", "after"]


def test_a_harness_may_begin_off(jobs):
    """With mode off the app is bound only inside of a block of another mode."""
    with Harness(jobs.app, wall="off", mode="off") as sim:
        own = jobs.mail.backend
        with sim.manual():
            assert jobs.mail.backend is not own
            jobs.greet.enqueue("ada")
            assert sim.drain().processed == 1
        assert jobs.mail.backend is own
    with pytest.raises(ValueError, match="mode='eager' is unknown; give one of: manual, inline, off"):
        Harness(jobs.app, mode="eager")


# -- async tests


def test_every_method_works_while_another_loop_runs(jobs, sim):
    """Inside of a running loop the same methods work, its task goes on afterwards, and inline mode too."""

    async def main():
        task = asyncio.current_task()
        await jobs.greet.enqueue_async("ada")
        sim.assert_enqueued(jobs.greet)
        sim.drain()
        await jobs.mail.enqueue_async(jobs.greet.message("bob").delayed(60))
        sim.advance(minutes=1)
        jobs.sleep.enqueue(5)
        sim.drain()
        with sim.inline():
            await jobs.greet.enqueue_async("eve")
        assert asyncio.current_task() is task
        async with asyncio.timeout(5):
            await asyncio.sleep(0.001)
        return sim.run(jobs.sleep.handler(3))

    assert asyncio.run(main()) == 6
    assert jobs.ran == ["ada", "bob", 5, "eve", 3]


def test_run_takes_a_coroutine_of_the_app(jobs, sim):
    """Async code of the program runs on the virtual loop from a sync test; workers start nothing, unless inline."""

    async def signup(name):
        await asyncio.sleep(10)
        await jobs.greet.enqueue_async(name)
        await asyncio.sleep(10)
        return name.upper()

    assert sim.run(signup("ada")) == "ADA"
    assert (jobs.ran, sim.elapsed) == ([], 20)
    with sim.inline():
        sim.run(signup("bob"))
    assert jobs.ran == ["ada", "bob"]


def test_a_handler_cannot_move_time(jobs, sim):
    """Calling the harness from within a handler is a clear error, not a hang."""

    @jobs.mail.task
    def meddle() -> None:
        sim.advance(1)

    meddle.enqueue()
    with pytest.raises(RuntimeError, match="a handler runs now"):
        sim.drain()


def test_contextvars_of_a_test_do_not_leak_between_handlers(jobs, sim):
    """Each run has its own context."""
    variable = contextvars.ContextVar("variable", default="unset")

    @jobs.mail.task
    def leak() -> None:
        jobs.ran.append(variable.get())
        variable.set("leaked")

    leak.enqueue()
    leak.enqueue()
    sim.drain()
    assert jobs.ran == ["unset", "unset"]
    assert variable.get() == "unset"


# -- signals


def test_a_signal_waits_in_virtual_time(jobs, sim):
    """The wait runs the workers to the very point, and what goes on after it is still running."""
    signal = sim.signal()

    @jobs.mail.task
    async def upload() -> None:
        await asyncio.sleep(30)
        signal.reached("half", 50)
        await asyncio.sleep(30)
        signal.reached("done", 100)

    upload.enqueue()
    assert signal.wait("half", timeout=60) == 50
    assert (sim.elapsed, sim.performed(upload)) == (30, 0)
    with pytest.raises(NotReached, match="point 'done' was not reached once within 10 s"):
        signal.wait("done", timeout=10)
    assert signal.wait("done", timeout=60) == 100
    assert sim.elapsed == 60


# -- the end


def snapshot(app):
    return (app.broker, app.clock, app.hooks, app.portal, app.closed, {name: queue.backend for name, queue in app.queues.items()})


def test_the_app_is_put_back_as_it_was(jobs):
    """After the block nothing of the app is changed, even if it fails, and even if the app was closed meanwhile."""
    before = snapshot(jobs.app)

    def fail():
        with Harness(jobs.app, wall="off") as sim:
            jobs.greet.enqueue("ada")
            assert snapshot(jobs.app) != before
            asyncio.run(jobs.app.aclose())
            assert sim.all_enqueued()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert snapshot(jobs.app) == before
    assert jobs.greet.enqueue("ada").accepted


def test_leftovers_are_told(jobs):
    """What nobody processed or looked at is told, what was asserted is not; handlers that run are interrupted."""
    ended = []

    @jobs.mail.task
    async def patient() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            ended.append(True)

    with Harness(jobs.app, wall="off") as sim:
        patient.enqueue()
        sim.advance(1)
        jobs.greet.enqueue("asserted")
        sim.assert_enqueued(jobs.greet, args=("asserted",))
        jobs.greet.enqueue("forgotten")
        later(jobs.greet, 60, "late")
    assert sim.close() == [
        "greet('forgotten', 'en') on mail, due now",
        "greet('late', 'en') on mail, due in 1 min",
        "patient() attempt 1 runs since 0 s",
    ]
    assert ended == [True]


def test_tasks_that_handlers_leave_behind_are_told(jobs):
    """A background task of a handler is cancelled and named; an error that nobody saw is told."""

    async def background():
        await asyncio.sleep(1000)

    kept = []

    @jobs.mail.task
    async def spawn() -> None:
        kept.append(asyncio.create_task(background()))
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)

    with Harness(jobs.app, wall="off") as sim:
        spawn.enqueue()
        sim.drain()
    (task, unhandled) = sim.close()
    assert "a task was left running" in task
    assert "background" in task
    assert "ZeroDivisionError" in unhandled
    assert kept[0].cancelled()


def test_a_handler_that_ignores_its_end_is_told(jobs):
    """A handler that swallows every cancellation does not hang the end of the test."""

    @jobs.mail.task
    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                continue

    with Harness(jobs.app, wall="off") as sim:
        stubborn.enqueue()
        sim.advance(1)
    assert any("does not end though it is cancelled" in line for line in sim.close())


def test_no_thread_and_no_loop_is_left(jobs):
    """A harness leaves neither threads nor an open loop, and a running loop is no obstacle to the next."""
    before = threading.active_count()
    for threads in ("inline", "turns"):
        with Harness(jobs.app, wall="off", threads=threads) as sim:
            jobs.greet.enqueue("ada")
            sim.drain()
        assert sim._stage.loop.is_closed()
    assert threading.active_count() == before


@pytest.mark.parametrize("threads", ["inline", "turns"])
def test_a_consumer_on_a_real_loop_is_refused(jobs, threads):
    """A program that starts a worker of its own while it is tested is told what to do instead."""
    refusal = pytest.raises(taskq.TaskqError, match=r"no consumer runs on a real loop; use sim.drain\(\)")
    with Harness(jobs.app, wall="off", threads=threads), refusal:
        asyncio.run(jobs.app.consumer("mail").process_all())


def test_a_consumer_of_the_apps_own_works_on_the_virtual_loop(jobs, sim):
    """Code that processes its queue itself can be run."""
    jobs.greet.enqueue("ada")
    assert sim.run(jobs.app.consumer("mail").process_all()) == 1


def test_a_running_consumer_is_refused(jobs):
    """An app whose consumer runs cannot be bound, and the harness that tried leaves nothing open."""

    async def main():
        consumer = jobs.app.consumer("mail")
        await consumer.start()
        harness = Harness(jobs.app, wall="off")
        with pytest.raises(taskq.TaskqError, match="a consumer of this app runs"):
            harness.__enter__()
        await consumer.stop()
        return harness

    assert asyncio.run(main())._stage.loop.is_closed()


# -- any backend


class NoBackend:
    """A broker that must not be touched."""

    def __init__(self, clock):
        self._memory = MemoryBroker(clock)
        self.calls = []

    def queue(self, name, options):
        return Forbidden(self.calls)

    async def aclose(self):
        self.calls.append("aclose")


class Forbidden:
    """A backend that may be looked at, and not be called."""

    capabilities = Capabilities(dedup=True)

    def __init__(self, calls):
        self._calls = calls

    def __getattr__(self, name):
        def touched(*_args):
            self._calls.append(name)
            raise AssertionError(f"the app's own backend was touched: {name}")

        return touched


def test_an_app_on_a_server_is_tested_without_it(monkeypatch):
    """Whatever the URL names is neither connected to nor asked for anything."""
    brokers = []

    def connect(url, clock, *_others):
        assert url == "redis://production:6379/0"
        brokers.append(NoBackend(clock))
        return brokers[-1]

    monkeypatch.setattr("taskq.app.connect", connect)
    app = taskq.App("redis://production:6379/0", hooks=())
    queue = app.queue("mail")
    ran = []

    @queue.task
    def greet(name: str) -> None:
        ran.append(name)

    with Harness(app, wall="off") as sim:
        greet.enqueue("ada")
        queue.enqueue_many([greet.message("bob").delayed(60), greet.message("eve").named("eve")])
        sim.assert_enqueued(greet, count=3)
        sim.run_until_idle()
        sim.perform(greet, "alone")
        with sim.inline():
            greet.enqueue("inline")
        asyncio.run(app.aclose())
    assert ran == ["ada", "eve", "bob", "alone", "inline"]
    assert brokers[0].calls == []
    with pytest.raises(AssertionError, match="own backend was touched"):
        greet.enqueue("real")


def test_an_expectation_may_use_wildcards(jobs, sim):
    """ANY, types and functions stand for values, as everywhere."""
    jobs.greet.enqueue("ada")
    sim.assert_enqueued(jobs.greet, args=(ANY, str), delay=lambda seconds: seconds < 1, queue=str)
