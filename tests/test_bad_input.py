"""Every bad input gets a clear error where it is made, and nothing is lost."""

import asyncio
import logging
from datetime import datetime, timedelta

import pytest
from support import run, until

import taskq
from taskq.backends.base import Outgoing


@pytest.fixture
def queue(app):
    return app.queue("mail")


@pytest.fixture
def greet(queue):
    @queue.task(max_attempts=1)
    def greet(name: str, age: int = 0) -> None: ...

    return greet


class Opaque:
    pass


@pytest.mark.parametrize(
    ("args", "kwargs", "says"),
    [
        ((Opaque(),), {}, "Opaque cannot travel"),
        ((), {}, "missing a required argument: 'name'"),
        (("a", 1, 2), {}, "too many positional"),
        ((1,), {}, "Expected `str`, got `int` - at `name`"),
        (("a",), {"age": "old"}, "got `str` - at `age`"),
        (("a",), {"size": 1}, "unexpected keyword argument 'size'"),
        (("a", 2**70), {}, "cannot travel"),
    ],
)
def test_wrong_arguments_raise_at_enqueue(greet, queue, args, kwargs, says):
    """An argument that cannot travel, a wrong count, name or type raises TypeError there, and nothing is added."""
    with pytest.raises(TypeError, match=says):
        greet.enqueue(*args, **kwargs)
    assert run(queue.size()).ready == 0


def test_naive_datetimes_are_refused(queue, greet):
    """A moment without a time zone is refused, as a time to run and as an argument."""

    @queue.task
    def at(moment: datetime) -> None: ...

    naive = datetime(2030, 1, 1)
    with pytest.raises(taskq.ConfigError, match="time zone"):
        greet.message("a").at(naive)
    with pytest.raises(taskq.ConfigError, match="time zone"):
        greet.message("a").once_at(naive)
    with pytest.raises(TypeError, match="time zone"):
        at.enqueue(naive)


@pytest.mark.parametrize("delay", [-1, timedelta(seconds=-1), float("nan"), float("inf"), 1e12, "soon", True])
def test_impossible_delays_are_refused(greet, delay):
    """A delay that is negative, endless or no duration raises ConfigError."""
    for change in (greet.message("a").delayed, greet.message("a").once):
        with pytest.raises(taskq.ConfigError, match="delay"):
            change(delay)


def test_impossible_periods_and_names_are_refused(greet):
    """A period of nothing and an empty name raise ConfigError; Retry(-1) raises ValueError."""
    with pytest.raises(taskq.ConfigError, match="period"):
        greet.message("a").once_in(0)
    for name in ("", b"", 7):
        with pytest.raises(taskq.ConfigError, match="name"):
            greet.message("a").named(name)
    with pytest.raises(ValueError, match="negative"):
        taskq.Retry(-1)


@pytest.mark.parametrize(
    "options",
    [{name: value} for name in ("min_workers", "max_workers", "max_fetchers", "reservation_size") for value in (0, -1, 1.5, True)]
    + [{name: 0} for name in ("reservation_timeout", "dedup_window", "buffer_size", "worker_limit", "max_message_size")]
    + [{name: -1} for name in ("pause_period", "stop_timeout", "unknown_delay", "pause_threshold", "reserve_wait")]
    + [{"min_workers": 9, "max_workers": 3}, {"pause_scope": "world"}, {"colour": "red"}],
    ids=str,
)
def test_impossible_queue_options_are_refused(app, options):
    """Options of zero, below zero or unknown raise ConfigError, which names them."""
    with pytest.raises(taskq.ConfigError, match=next(iter(options))):
        app.queue("other", **options)


@pytest.mark.parametrize(
    "options",
    [{"max_attempts": 0}, {"min_backoff": -1}, {"min_backoff": 9, "max_backoff": 3}, {"jitter": 2}, {"colour": 1}],
    ids=str,
)
def test_impossible_task_options_are_refused(queue, options):
    """The same holds for tasks."""
    with pytest.raises(taskq.ConfigError, match=list(options)[-1]):
        queue.task(**options)(print)


@pytest.mark.parametrize(
    "make",
    [
        lambda: taskq.RateLimit(0),
        lambda: taskq.RateLimit(1, per=0),
        lambda: taskq.RateLimit(1, burst=0),
        lambda: taskq.Batch(size=0),
        lambda: taskq.Batch(age=-1),
        lambda: taskq.Batch(bytes=0),
        lambda: taskq.App("redis"),
        lambda: taskq.App("nope://x"),
        lambda: taskq.App().queue(""),
        lambda: taskq.App().queue("q").task(name="")(print),
    ],
)
def test_impossible_values_are_refused(make):
    """Limits of nothing, unknown services and empty names raise ConfigError."""
    with pytest.raises(taskq.ConfigError):
        make()


def test_names_are_unique(app, queue, greet):
    """A second task, queue or fallback of the same name is refused."""
    with pytest.raises(taskq.ConfigError, match="another name"):
        queue.task(name="greet")(lambda: None)
    with pytest.raises(taskq.ConfigError, match="exists"):
        app.queue("mail")
    greet.fallback(lambda message: None)
    with pytest.raises(taskq.ConfigError, match="fallback already"):
        greet.fallback(lambda message: None)


def test_signatures_that_cannot_travel_are_refused(queue):
    """*args, **kwargs, unknown annotations and batch handlers without a batch raise where they are registered."""

    def unreadable(x: "Nowhere"): ...  # noqa: F821

    def batch(messages: taskq.MessageBatch): ...

    for handler in (lambda *names: None, lambda **names: None, lambda *, a: None, unreadable, batch):
        with pytest.raises(taskq.ConfigError):
            queue.task(name="other")(handler)
    with pytest.raises(taskq.ConfigError, match="batch"):
        queue.task(name="other", batch=taskq.Batch())(lambda: None)


def test_large_messages_are_refused_before_they_are_sent(app):
    """A message over the limit raises; among many only the large one is refused."""
    queue = app.queue("small", max_message_size=200, compress_from=None)
    large, fine = queue.message("t", "x" * 500), queue.message("t", "x")
    with pytest.raises(taskq.MessageTooLarge) as caught:
        queue.enqueue(large)
    assert caught.value.size > caught.value.limit == 200
    results = queue.enqueue_many([fine, large, fine])
    assert [result.accepted for result in results] == [True, False, True]
    assert isinstance(results[1].error, taskq.MessageTooLarge)


def test_only_messages_are_enqueued(queue):
    """Anything else raises TypeError with the way to make one."""
    with pytest.raises(TypeError, match="task.message"):
        queue.enqueue("greet")


def test_a_closed_app_refuses():
    """Enqueueing after close raises; closing twice does not."""
    app = taskq.App()
    queue = app.queue("q")
    app.close()
    app.close()
    with pytest.raises(taskq.TaskqError, match="closed"):
        queue.enqueue(queue.message("t"))


def test_closing_from_a_loop_says_how(app):
    """close() inside a running loop says what to do instead."""

    async def scenario():
        with pytest.raises(taskq.TaskqError, match="aclose"):
            app.close()

    run(scenario())


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(), StopIteration(1)]
)
@pytest.mark.parametrize("is_async", [True, False])
def test_any_exception_of_a_handler_fails_only_its_message(app, queue, error, is_async):
    """Whatever a handler raises, the consumer goes on and the message is put aside with the reason."""

    @queue.task(name="sync", max_attempts=1)
    def sync() -> None:
        raise error

    @queue.task(name="async", max_attempts=1)
    async def asynchronous() -> None:
        raise error

    (asynchronous if is_async else sync).enqueue()
    assert run(app.consumer(queue).process_all()) == 1
    letters = run(queue.backend.dead_letters(9))
    assert len(letters) == 1
    assert letters[0].reason.startswith("failed 1 times: ")
    assert run(queue.size()).reserved == 0


def test_a_handler_that_returns_after_cancellation_changes_nothing(app, queue):
    """A handler that swallows its cancellation is not acknowledged; its message is given back, its worker lives on."""
    begun = []

    @queue.task
    async def stubborn(number: int) -> None:
        begun.append(number)
        if len(begun) == 1:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                return

    async def scenario():
        consumer = app.consumer(queue)
        stubborn.enqueue(1)
        await consumer.start()
        await until(lambda: begun)
        next(iter(consumer._state.owned.values())).cancel()
        await until(lambda: len(begun) == 2)
        stubborn.enqueue(2)
        await until(lambda: len(begun) == 3)
        await consumer.stop()
        return consumer.stats()

    stats = run(scenario())
    assert begun == [1, 1, 2]
    assert (stats.processed, stats.in_flight) == (2, 0)


def test_corrupt_bodies_are_kept(app, queue, greet):
    """A body that cannot be read, or whose arguments do not fit, is put aside intact and the others run on time."""
    bad = [b"\xc1garbage", b"", b"\x82\xa13\xc4\x02\x91\x07\xa15\xa5greet", b"\x82\xa13\xc4\x01\x05\xa15\xa5greet"]
    for number, body in enumerate(bad):
        queue.backend.send_blocking([Outgoing(b"bad %d" % number, body)])
    greet.enqueue("good")
    run(app.consumer(queue).process_all())
    assert [letter.body for letter in run(queue.backend.dead_letters(9))] == bad
    assert app.consumer(queue).stats().processed == 1


def test_unknown_tasks_wait_and_are_then_put_aside(app):
    """A message of an unknown task is delayed, and after its attempts put aside; never dropped."""
    queue = app.queue("q", unknown_attempts=3, unknown_delay=0)
    queue.enqueue(queue.message("nobody", 1))
    run(app.consumer(queue).process_all())
    letter = run(queue.backend.dead_letters(9))[0]
    assert "no consumer knew its task" in letter.reason
    assert taskq.queue.envelope.decode(letter.body).attempt == 3
    slow = app.queue("slow")
    slow.enqueue(slow.message("nobody"))
    run(app.consumer(slow).process_all())
    assert run(slow.size()).delayed == 1


def test_failures_are_logged_without_arguments(app, queue, caplog):
    """A failing handler is logged with task and reason; its arguments, which may be secrets, are not."""

    @queue.task(max_attempts=1)
    def charge(card: str) -> None:
        raise ValueError("declined")

    charge.enqueue("4111-canary")
    with caplog.at_level(logging.DEBUG):
        run(app.consumer(queue).process_all())
    assert "declined" in caplog.text
    assert "canary" not in caplog.text
    assert "canary" not in repr(charge.message("4111-canary"))
