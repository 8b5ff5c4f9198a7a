"""The production backend in virtual time, on moto in this process: what takes hours or days, and what dies at each step.

moto is asked without waiting (`long_poll=no`), calls run inline, and the wall clock follows the loop, so moto's does too.
"""

import asyncio
import contextlib
from datetime import UTC, datetime
from itertools import pairwise
from unittest.mock import patch

import boto3
import botocore.exceptions as aws
import moto
import pytest
from botocore.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st
from moto.core.utils import unix_time_millis
from moto.sqs.models import SQSBackend
from sqs_support import CREDENTIALS, Scripted, set_credentials

import taskq
from taskq.backends.base import Outgoing, Size
from taskq.backends.sqs import in_group
from taskq.errors import BackendError, BackendUnavailable
from taskq.wire import args, ascii85, envelope
from taskq_testing.clock import VirtualClock
from taskq_testing.loop import VirtualLoop
from taskq_testing.loop.wall import wall_clock

pytestmark = pytest.mark.slow

LAST = 2.1
"""Seconds that a message may be late: SQS knows whole seconds, and without long polls we look each second."""


@pytest.fixture(scope="module")
def client():
    """A client of moto in this process."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        set_credentials(monkeypatch)
        client = boto3.client(
            "sqs",
            region_name="us-east-1",
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"total_max_attempts": 1}),
        )
        yield client


class World:
    """Several programs on one moto, in one virtual time."""

    def __init__(self, client, loop):
        self.client, self.loop = client, loop
        self.clock = VirtualClock(loop, "wall")

    def app(self, name="p", skew=0.0, client=None):
        """Return the app of another program, whose own clock may be wrong."""
        clock = VirtualClock(self.loop, name)
        clock.skew = skew
        return taskq.App("sqs://?long_poll=no", client=client or self.client, clock=clock, hooks=())

    def run(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    def pass_to(self, moment):
        """Let time pass until so many seconds after its beginning."""
        self.loop.advance(moment - self.loop.time())

    @contextlib.contextmanager
    def consuming(self, app, queue):
        """Consume while the block runs."""
        consumer = app.consumer(queue)
        self.run(consumer.start())
        yield consumer
        self.run(consumer.stop())


@pytest.fixture
def world(client, monkeypatch):
    """An empty SQS."""
    set_credentials(monkeypatch)
    loop = VirtualLoop()
    world = World(client, loop)
    with moto.mock_aws(), wall_clock(world.clock):
        yield world
    loop.close()


@contextlib.contextmanager
def looking_every(seconds):
    """Look so seldom for messages while the block runs."""
    with patch("taskq.backends.sqs.polls._LOOK", seconds), patch("taskq.backends.sqs.polls._LOOK_MAX", seconds):
        yield


def register(world, queue, name="work", **options):
    """Return a task, and when it ran, with its attempt."""
    seen = []

    @queue.task(name=name, **options)
    async def work(context: taskq.Context, lasts: float = 0.0, fails: float = -1.0) -> None:
        seen.append((world.loop.time(), context.attempt))
        if lasts:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), lasts)
        if fails >= 0 and context.attempt == 1:
            raise taskq.Retry(after=fails)

    return work, seen


# -- delays


@pytest.mark.parametrize("delay", [0.0, 0.3, 1.0, 7.5, 899.5, 900.0, 900.2, 2500.0])
def test_a_delay_is_never_early_and_hardly_late(world, delay):
    """Short ones, fractions, and those that SQS keeps in several steps: none is early, and none a look later (27)."""
    app = world.app()
    queue = app.queue("q", reserve_wait=10.0)
    work, seen = register(world, queue)
    world.run(queue.enqueue_async(work.message().delayed(delay)))
    world.pass_to(max(0.0, delay - 3))
    with world.consuming(app, queue):
        world.pass_to(delay + 3)
    assert len(seen) == 1
    assert delay <= seen[0][0] <= delay + LAST


def hops(world, app, queue, until):
    """Look at the queue every 15 minutes, as a consumer does that has nothing else to do, and at the very end all the time."""
    consumer = app.consumer(queue)
    while world.loop.time() < until - 5:
        world.run(consumer.process_all())
        world.pass_to(min(world.loop.time() + 900.0, until - 5))
    with world.consuming(app, queue):
        world.pass_to(until + 5)


def test_a_day_is_kept_to_the_second(world):
    """24 hours take 96 steps and end after 24 hours, not after 12 (F20), as a first attempt, and nothing is left of it."""
    app = world.app()
    queue = app.queue("q", reserve_wait=10.0)
    work, seen = register(world, queue)
    world.run(queue.enqueue_async(work.message().delayed(86400.0)))
    hops(world, app, queue, 86400.0)
    ((at, attempt),) = seen
    assert 86400.0 <= at <= 86400.0 + LAST
    assert attempt == 1
    assert world.run(queue.size()) == Size()


@pytest.mark.parametrize(("producer", "consumer"), [(-600.0, 600.0), (600.0, -600.0)])
def test_clocks_that_are_wrong_make_no_delay_early(world, producer, consumer):
    """Ten minutes of skew, and a jump in the middle, change nothing: durations travel, and SQS's own time is asked (28)."""
    sender, app = world.app("a", producer), world.app("b", consumer)
    world.run(sender.queue("q").enqueue_async(sender.queues["q"].message("work").delayed(4000.0)))
    queue = app.queue("q", reserve_wait=10.0)
    _, seen = register(world, queue)
    hops(world, app, queue, 1800.0)
    app.clock.jump(-2 * consumer)
    hops(world, app, queue, 4000.0)
    assert [attempt for _, attempt in seen] == [1]
    assert 4000.0 <= seen[0][0] <= 4000.0 + LAST


def test_a_message_that_nobody_received_in_time_waits_no_longer(world):
    """Where no consumer ran for an hour, what fell due meanwhile runs at once: the time it lay there counts."""
    app = world.app()
    queue = app.queue("q", reserve_wait=10.0)
    work, seen = register(world, queue)
    world.run(queue.enqueue_async(work.message().delayed(3000.0)))
    world.pass_to(4000.0)
    with world.consuming(app, queue):
        world.pass_to(4010.0)
    assert [at for at, _ in seen] == [pytest.approx(4000.0, abs=LAST)]


def test_a_long_retry_is_kept_too(world):
    """What a handler asked for is waited for in steps, and the next attempt is the second."""
    app = world.app()
    queue = app.queue("q", reserve_wait=10.0)
    work, seen = register(world, queue)
    world.run(work.enqueue_async(0.0, 2000.0))
    world.run(app.consumer(queue).process_all())
    hops(world, app, queue, 2000.0)
    assert [attempt for _, attempt in seen] == [1, 2]
    assert 2000.0 <= seen[1][0] - seen[0][0] <= 2000.0 + LAST


def test_a_delay_that_go_wrote_is_kept_whole(world, client):
    """A message that Go sent with a delay of three hours runs after three hours here, not after Go's half of it (F20)."""
    app = world.app()
    queue = app.queue("q", reserve_wait=10.0)
    _, seen = register(world, queue)
    world.run(queue.backend.reserve(1, 0))
    until = datetime.fromtimestamp(int(world.clock.now() + 10_800 - 900), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    client.send_message(
        QueueUrl=client.get_queue_url(QueueName="q")["QueueUrl"],
        MessageBody=ascii85.encode(envelope.encode(queue.message("work"))),
        DelaySeconds=900,
        MessageAttributes={"TaskqDelayUntil": {"DataType": "String", "StringValue": until}},
    )
    hops(world, app, queue, 10_800.0)
    ((at, attempt),) = seen
    assert 10_800.0 <= at <= 10_800.0 + 1 + LAST
    assert attempt == 1


# -- ownership


def test_a_job_may_last_a_hundred_times_its_reservation(world):
    """It is extended all the while, and runs once (12)."""
    app, other = world.app("a"), world.app("b")
    queue = app.queue("q", reservation_timeout=6.0, reserve_wait=60.0)
    work, seen = register(world, queue)
    theirs = other.queue("q", reservation_timeout=6.0, reserve_wait=60.0)
    _, stolen = register(world, theirs)
    world.run(work.enqueue_async(600.0))
    with looking_every(5.0), world.consuming(app, queue) as consumer:
        world.loop.advance(1.0)
        with world.consuming(other, theirs):
            world.loop.advance(620.0)
    assert len(seen) == 1
    assert stolen == []
    assert consumer.stats().lost == 0


def test_twelve_hours_are_the_end_of_a_run(world):
    """SQS lets nobody own a message for longer: the run is cancelled then, and the message comes again."""
    app = world.app()
    queue = app.queue("q", reservation_timeout=7200.0, reserve_wait=3600.0)
    work, seen = register(world, queue, max_attempts=1)
    world.run(work.enqueue_async(50_000.0))
    with received_counts(), looking_every(600.0), world.consuming(app, queue) as consumer:
        world.pass_to(43_000.0)
        assert consumer.in_flight == 1
        world.pass_to(46_000.0)
        assert consumer.stats().lost == 1
        assert len(seen) == 2
        world.run(consumer.stop(0.0))


def test_what_a_dead_worker_owned_runs_after_its_reservation(world):
    """Another worker has it a look after the reservation is over, and no earlier (16)."""
    dead, app = world.app("a"), world.app("b")
    queue = app.queue("q", reservation_timeout=30.0, reserve_wait=10.0)
    work, seen = register(world, queue)
    world.run(work.enqueue_async())
    assert world.run(dead.queue("q", reservation_timeout=30.0).backend.reserve(1, 0))
    with world.consuming(app, queue):
        world.pass_to(40.0)
    ((at, attempt),) = seen
    assert 30.0 <= at <= 30.0 + LAST
    assert attempt == 1


def test_a_message_that_kills_its_workers_is_given_up(world):
    """After so many deliveries without an outcome it is put aside, and not run once more (20)."""
    app = world.app()
    queue = app.queue("q", reservation_timeout=30.0, poison_limit=3)
    work, seen = register(world, queue)
    world.run(work.enqueue_async())
    for _ in range(3):
        victim = world.app("victim").queue("q", reservation_timeout=30.0, poison_limit=3)
        assert world.run(victim.backend.reserve(1, 0))
        world.loop.advance(31.0)
    world.run(app.consumer(queue).process_all())
    assert seen == []
    (letter,) = world.run(queue.dead_letters())
    assert "delivered 3 times without an outcome" in letter.reason
    assert envelope.decode(letter.body).task == "work"


def test_an_unknown_task_waits_and_is_kept(world):
    """During a rolling deploy it is delayed, again and again, then put aside; it is never dropped (21)."""
    app = world.app()
    queue = app.queue("q", unknown_attempts=3, unknown_delay=60.0, reserve_wait=10.0)
    world.run(queue.enqueue_async(queue.message("newer", 5)))
    times = []
    for _ in range(3):
        world.run(app.consumer(queue).process_all())
        times.append(world.run(queue.size()))
        world.loop.advance(121.0)
    assert times == [Size(delayed=1), Size(delayed=1), Size(dead=1)]
    (letter,) = world.run(queue.dead_letters())
    assert envelope.decode(letter.body).args == (5,)
    assert "no consumer knew its task in 3 attempts" in letter.reason


def test_a_stop_asks_for_nothing_more(world):
    """After it no message is taken; what runs is finished, what waits for a worker is given back, and nothing is lost (22)."""
    noting = Noting(world.client)
    app = world.app(client=noting)
    queue = app.queue("q", max_workers=2, reserve_wait=10.0)
    work, seen = register(world, queue)
    world.run(queue.enqueue_many_async([work.message(5.0) for _ in range(30)]))
    consumer = app.consumer(queue)
    world.run(consumer.start())
    world.loop.advance(2.0)
    noting.operations.clear()
    world.run(consumer.stop(6.0))
    assert "receive_message" not in noting.operations
    world.loop.advance(0.01)  # moto shows again what was given back in this very moment
    size = world.run(queue.size())
    assert (size.reserved, size.ready + consumer.stats().processed) == (0, 30)
    other = world.app("other")
    theirs = other.queue("q")
    _, later = register(world, theirs)
    world.run(other.consumer(theirs).process_all())
    assert len(later) == size.ready
    assert 0 < len(seen) < 10


class Noting:
    """A client whose calls are noted."""

    def __init__(self, client):
        self.meta, self._client = client.meta, client
        self.operations = []

    def __getattr__(self, operation):
        def call(**parameters):
            self.operations.append(operation)
            return getattr(self._client, operation)(**parameters)

        return call


# -- what is no message


def test_one_corrupt_message_stops_no_other(world, client):
    """The others run at once, and what cannot be read is put aside, character by character (17)."""
    app = world.app()
    queue = app.queue("q", reserve_wait=10.0)
    work, seen = register(world, queue)
    world.run(queue.backend.reserve(1, 0))
    url = client.get_queue_url(QueueName="q")["QueueUrl"]
    client.send_message(QueueUrl=url, MessageBody="\ufffd this is no message")
    world.run(queue.enqueue_many_async([work.message() for _ in range(60)]))
    world.run(app.consumer(queue).process_all())
    assert len(seen) == 60
    assert {at for at, _ in seen} == {0.0}
    assert world.run(queue.size()) == Size(dead=1)
    dead = client.get_queue_url(QueueName="q-dead")["QueueUrl"]
    assert client.receive_message(QueueUrl=dead)["Messages"][0]["Body"] == "\ufffd this is no message"


def mutated(data, body):
    index = data.draw(st.integers(0, len(body) - 1))
    return body[:index] + data.draw(st.binary(min_size=0, max_size=3)) + body[index + data.draw(st.integers(0, 2)) :]


@pytest.fixture(scope="module")
def mutants():
    """A consumer of a queue that holds what a test puts into its client."""

    def answer(operation, parameters):
        if operation == "receive_message":
            taken, client.messages = client.messages, []
            return {"Messages": taken}
        return {"Successful": [{"Id": each["Id"]} for each in parameters["Entries"]]}

    client, loop, work = Scripted(answer), VirtualLoop(), []
    client.messages = []
    app = taskq.App("sqs://?long_poll=no", client=client, clock=VirtualClock(loop), hooks=())
    app.queue("q", unknown_delay=5.0).task(work.append, name="t")
    yield client, loop, app, work
    loop.close()


@given(data=st.data())
@settings(max_examples=300)
def test_mutated_bodies_crash_nothing_and_are_kept(mutants, data):
    """Whatever the text or the bytes of a message become: it runs, or waits for its task, or is put aside as it came (18)."""
    body = envelope.encode(taskq.Message(task="t", args_bytes=args.encode(("x", 1)), id=b"i" * 16, attempt=3))
    if data.draw(st.booleans()):
        text = ascii85.encode(mutated(data, body)) or "_"
    else:
        text = mutated(data, ascii85.encode(body).encode()).decode(errors="replace") or "_"
    message = {"MessageId": "m", "ReceiptHandle": "r", "Body": text, "Attributes": {"ApproximateReceiveCount": "1"}}
    client, loop, app, work = mutants
    client.calls.clear()
    work.clear()
    client.messages.append(message)
    loop.run_until_complete(app.consumer("q").process_all())
    sent = client.of("send_message_batch")
    assert len(client.of("delete_message_batch")) == 1
    assert bool(work) != bool(sent)
    if sent:
        (entry,) = sent[0]["Entries"]
        assert entry["MessageBody"] == text or "DelaySeconds" in entry


# -- dying at each step


class Dying:
    """A client whose program is killed at its `at`-th call, before or after that has its effect."""

    def __init__(self, client, at, after):
        self.meta, self._client, self._at, self._after = client.meta, client, at, after
        self.calls = 0
        self.dead = False

    def __getattr__(self, operation):
        def call(**parameters):
            if self.dead:
                raise aws.ConnectionClosedError(endpoint_url="http://dead")
            self.calls += 1
            if self.calls - 1 != self._at:
                return getattr(self._client, operation)(**parameters)
            self.dead = True
            if self._after:
                getattr(self._client, operation)(**parameters)
            raise aws.ConnectionClosedError(endpoint_url="http://dead")

        return call


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_producer_that_dies_at_any_step_loses_nothing_it_was_told(world, client, after):
    """What was confirmed is there once; what was not is there once at most (4, 5)."""
    for at in range(8):
        name = f"q{at}"
        dying = Dying(client, at, after)
        producer = world.app("p", client=dying).queue(name, send_timeout=0.0)
        confirmed = 0
        for number in range(6):
            try:
                world.run(producer.enqueue_async(producer.message("work", number)))
            except BackendError:
                continue
            confirmed += 1
        size = world.run(world.app("c").queue(name).size())
        assert confirmed <= size.ready <= confirmed + 1
        assert confirmed < 6 or not dying.dead


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_consumer_that_dies_at_any_step_loses_nothing(world, client, after):
    """Killed before or after each of its calls, between a run and its acknowledgement too: all is done in the end, what was
    given up is kept, and only what the dead one had in hand may run once more (3).
    """
    for at in range(14):
        name, runs = f"q{at}", {}

        def build(client, name=name, runs=runs):
            app = world.app("c", client=client)
            queue = app.queue(name, reservation_timeout=30.0, reserve_wait=0.0)

            @queue.task(max_attempts=2, min_backoff=1.0, max_backoff=1.0)
            async def work(context: taskq.Context, what: str) -> None:
                runs.setdefault(what, []).append(context.attempt)
                if what == "fails" or (what == "retried" and context.attempt == 1):
                    raise ValueError(what)

            return app, queue

        _, queue = build(client)
        world.run(queue.enqueue_many_async([queue.message("work", each) for each in ("done", "retried", "fails")]))
        dying = Dying(client, at, after)
        app, queue = build(dying)
        consumer = app.consumer(queue)
        for _ in range(2):
            task = world.loop.create_task(consumer.process_all())
            world.loop.advance(5.0)
            task.cancel()
            with contextlib.suppress(BaseException):  # whatever becomes of what died
                world.run(task)
        app, queue = build(client)
        for _ in range(6):
            world.loop.advance(31.0)
            world.run(app.consumer(queue).process_all())
        assert world.run(queue.size()) in ((Size(dead=1),) if not dying.dead else (Size(dead=1), Size(dead=2)))
        assert max(runs["done"]) == 1
        assert max(runs["retried"]) == max(runs["fails"]) == 2
        if not dying.dead:
            assert runs == {"done": [1], "retried": [1, 2], "fails": [1, 2]}
        assert all(len(runs[each]) <= 2 * times for each, times in {"done": 1, "retried": 2, "fails": 2}.items())


def test_a_step_of_a_long_delay_that_dies_loses_nothing(world, client):
    """Whoever dies while it puts a message back for the rest of its delay leaves the old one, or both; nothing is early."""
    for at in range(6):
        for after in (False, True):
            name = f"q{at}{after}"
            began = world.loop.time()
            producer = world.app("p").queue(name)
            world.run(producer.enqueue_async(producer.message("work").delayed(1500.0)))
            world.loop.advance(900.0)
            dying = Dying(client, at, after)
            app = world.app("c", client=dying)
            queue = app.queue(name, reservation_timeout=30.0)
            register(world, queue)
            task = world.loop.create_task(app.consumer(queue).process_all())
            world.loop.advance(2.0)
            task.cancel()
            with contextlib.suppress(BaseException):  # whatever becomes of what died
                world.run(task)
            app = world.app("d")
            queue = app.queue(name, reservation_timeout=30.0)
            _, seen = register(world, queue)
            for _ in range(12):
                world.run(app.consumer(queue).process_all())
                world.loop.advance(60.0)
            assert 1 <= len(seen) <= 1 + dying.dead
            assert all(at_ >= began + 1500.0 for at_, _ in seen)
            assert world.run(queue.size()) == Size()


def test_a_store_that_fails_says_so_and_nothing_is_sent(world):
    """A name that cannot be asked for is no duplicate (F3): the enqueue raises, and the queue stays empty (25)."""

    class Failing:
        async def claim(self, key, ttl):
            raise BackendUnavailable("the store is down")

    class Stores:
        dedup = limiter = locks = Failing()

        async def aclose(self):
            """Hold nothing."""

    app = taskq.App("sqs://?long_poll=no", client=world.client, clock=VirtualClock(world.loop), store=Stores())
    queue = app.queue("q")
    with pytest.raises(BackendUnavailable, match="the store is down"):
        world.run(queue.enqueue_async(queue.message("t").named("n")))
    assert world.run(queue.size()) == Size()


def test_a_name_stays_taken_for_its_delay_and_beyond(world):
    """As long as its message may wait, though names are kept for a minute here; then it can be used again (26)."""
    app = taskq.App("sqs://?long_poll=no", client=world.client, clock=VirtualClock(world.loop), store="memory://")
    queue = app.queue("q", dedup_window=60.0)
    named = queue.message("t").named("n").delayed(3600.0)
    answers = [world.run(queue.enqueue_async(named)).duplicate]
    for seconds in (3599.0, 2.0):
        world.loop.advance(seconds)
        answers.append(world.run(queue.enqueue_async(named)).duplicate)
    assert answers == [False, True, False]
    assert world.run(queue.size()).delayed == 1


def test_a_send_that_fails_frees_its_name(world, client):
    """The corrected retry is no duplicate (F4), where the message certainly was not added (25)."""
    dying = Dying(client, 2, after=False)
    app = world.app(client=dying)
    queue = app.queue("q", send_timeout=0.0)
    message = queue.message("t").named("n")
    with pytest.raises(BackendUnavailable):
        world.run(queue.enqueue_async(message))
    dying.dead = False
    assert not world.run(queue.enqueue_async(message)).duplicate
    assert world.run(queue.enqueue_async(message)).duplicate
    assert world.run(queue.size()) == Size(ready=1)


# -- order


@contextlib.contextmanager
def received_counts():
    """Count moto's twelve hours from the delivery of a message, as SQS does, not from when it was sent."""
    change = SQSBackend.change_message_visibility

    def changed(self, queue_name, receipt_handle, visibility_timeout):
        found = [each for each in self.get_queue(queue_name)._messages if each.had_receipt_handle(receipt_handle)]
        before = [each.sent_timestamp for each in found]
        for each in found:
            each.sent_timestamp = unix_time_millis()
        try:
            return change(self, queue_name, receipt_handle, visibility_timeout)
        finally:
            for each, sent in zip(found, before, strict=True):
                each.sent_timestamp = sent

    with patch.object(SQSBackend, "change_message_visibility", changed):
        yield


def test_order_is_kept_through_failures(world):
    """Each group is worked through in its order, also while its first message fails; other groups go on."""
    app = world.app()
    queue, seen = app.queue("q.fifo", reserve_wait=10.0), []

    @queue.task(min_backoff=60.0)
    async def work(context: taskq.Context, group: str, number: int) -> None:
        seen.append((group, number, context.attempt, round(world.loop.time())))
        if (group, number) == ("a", 1) and context.attempt < 3:
            raise ValueError(group)

    batch = [in_group(work.message(group, number), group) for number in range(3) for group in "ab"]
    world.run(queue.enqueue_many_async(batch))
    with looking_every(1.0), world.consuming(app, queue):
        world.pass_to(250.0)
    assert [each[1:3] for each in seen if each[0] == "a"] == [(0, 1), (1, 1), (1, 2), (1, 3), (2, 1)]
    assert [each[1:3] for each in seen if each[0] == "b"] == [(0, 1), (1, 1), (2, 1)]
    moments = [each[3] for each in seen if each[:2] == ("a", 1)]
    assert [later - sooner >= wait for (sooner, later), wait in zip(pairwise(moments), (60, 120), strict=True)] == [True, True]
    assert max(each[3] for each in seen if each[0] == "b") < 10


def test_a_delay_where_order_is_kept(world):
    """SQS delays no single messages of a FIFO queue: one is kept back here, for days, and its group with it, at no attempt."""
    app = world.app()
    queue, seen = app.queue("q.fifo", reserve_wait=10.0), []

    @queue.task(min_backoff=10.0, max_backoff=10.0, max_attempts=3)
    async def work(context: taskq.Context, number: int) -> None:
        seen.append((number, context.attempt, world.loop.time()))
        if number == 0 and context.attempt == 1:
            raise ValueError(number)

    with received_counts():
        world.run(queue.enqueue_many_async([work.message(0).delayed(100_000.0), work.message(1)]))
        hops(world, app, queue, 100_000.0)
        world.run(app.consumer(queue).process_all())
        world.loop.advance(30.0)
        world.run(app.consumer(queue).process_all())
    assert [each[:2] for each in seen] == [(0, 1), (0, 2), (1, 1)]
    assert 100_000.0 <= seen[0][2] <= 100_000.0 + LAST
    assert world.run(queue.size()) == Size()


def test_a_retry_where_order_is_kept_that_is_longer_than_sqs_waits(world):
    """Over twelve hours it is sent anew, behind its group, for nothing may be early; it is kept back there."""
    app = world.app()
    queue = app.queue("q.fifo", reserve_wait=10.0)
    work, seen = register(world, queue)
    with received_counts():
        world.run(work.enqueue_async(0.0, 60_000.0))
        world.run(app.consumer(queue).process_all())
        hops(world, app, queue, 60_000.0)
    assert [attempt for _, attempt in seen] == [1, 2]
    assert 60_000.0 <= seen[1][0] - seen[0][0] <= 60_000.0 + LAST


def test_a_killer_in_a_group_is_given_up_and_the_group_goes_on(world):
    """Where SQS alone counts, all deliveries count; the message is put aside and the next one of its group runs (20)."""
    app = world.app()
    queue = app.queue("q.fifo", reservation_timeout=30.0, poison_limit=2, reserve_wait=0.0)
    work, seen = register(world, queue)
    world.run(queue.enqueue_many_async([work.message(), work.message()]))
    for _ in range(2):
        (held,) = world.run(world.app("v").queue("q.fifo", reservation_timeout=30.0).backend.reserve(9, 0))
        world.loop.advance(31.0)
    world.run(app.consumer(queue).process_all())
    world.run(app.consumer(queue).process_all())
    assert len(seen) == 1
    assert world.run(queue.size()) == Size(dead=1)
    assert held.deliveries == 2


def test_no_body_no_attempt(world):
    """What cannot be read in a FIFO queue is put aside as it came, too."""
    app = world.app()
    queue = app.queue("q.fifo", reserve_wait=0.0)
    world.run(queue.backend.send([Outgoing(b"i", b"\x01")]))
    (held,) = world.run(queue.backend.reserve(1, 0))
    assert held.body == b"\x01"
    world.run(queue.backend.release(held, 0.0))
    world.loop.advance(0.01)
    world.run(app.consumer(queue).process_all())
    assert world.run(queue.size()) == Size(dead=1)
