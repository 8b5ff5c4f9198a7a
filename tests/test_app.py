"""The app: modes for testing, running and stopping, and producers of every kind."""

import asyncio
import signal
import threading

import msgspec
import pytest
from support import FakeClock, run, until

import taskq
from taskq.backends.base import Size
from taskq.backends.memory import MemoryBroker
from taskq.errors import TaskqError
from taskq.options import QueueSettings, TaskSettings


def test_inline_runs_inside_enqueue(app):
    """In inline mode a message has run when enqueue returns, from sync and async code, and what it enqueues too."""
    queue, ran = app.queue("q"), []

    @queue.task
    def first(x: int) -> None:
        ran.append(("first", x))
        second.enqueue(x)

    @queue.task
    async def second(x: int) -> None:
        ran.append(("second", x))
        if x:
            await second.enqueue_async(0)

    async def scenario():
        await first.enqueue_async(2)
        await queue.enqueue_many_async([second.message(0)])

    with app.inline():
        first.enqueue(1)
        assert ran == [("first", 1), ("second", 1), ("second", 0)]
        queue.enqueue_many([second.message(0), second.message(0)])
        run(scenario())
    assert len(ran) == 9
    first.enqueue(3)
    assert len(ran) == 9


def test_no_delay_adds_at_once(app):
    """In no-delay mode delays are dropped."""
    queue = app.queue("q")
    with app.no_delay():
        queue.enqueue(queue.message("t").delayed(3600))
    queue.enqueue(queue.message("t").delayed(3600))
    size = run(queue.size())
    assert (size.ready, size.delayed) == (1, 1)


def test_run_serves_all_queues_until_stopped(app):
    """One run serves every queue; stop ends it."""
    queues, ran = [app.queue("a"), app.queue("b")], []
    for queue in queues:
        queue.task(name="t")(lambda: ran.append(1))

    async def scenario():
        running = asyncio.create_task(app.run())
        for queue in queues:
            await queue.enqueue_async(queue.message("t"))
        await until(lambda: len(ran) == 2)
        assert await app.stop() == 0
        await running
        assert await queues[0].purge() == 0

    run(scenario())
    assert len(ran) == 2


@pytest.mark.parametrize("signals", [1, 2])
def test_signals_stop_a_run(app, signals):
    """The first signal drains, the second interrupts what still runs."""
    queue, begun = app.queue("q"), []

    @queue.task
    async def hangs() -> None:
        begun.append(1)
        if signals == 2:
            await asyncio.get_running_loop().create_future()

    async def scenario():
        hangs.enqueue()
        running = asyncio.create_task(app.run(signals=True))
        await until(lambda: begun)
        for _ in range(signals):
            signal.raise_signal(signal.SIGTERM)
            for _ in range(20):
                await asyncio.sleep(0)
        await asyncio.gather(running, return_exceptions=True)
        return await queue.size()

    size = run(scenario())
    assert (size.ready, size.reserved) == (signals - 1, 0)


def test_running_nothing_is_refused(app):
    """An app without queues, or a queue it does not have, is a mistake."""
    with pytest.raises(taskq.ConfigError, match="no queue to consume"):
        run(app.run())
    with pytest.raises(taskq.ConfigError, match="no queue 'x'"):
        run(app.run(["x"]))


def test_an_app_is_a_context():
    """Leaving an async app closes it."""

    async def scenario():
        async with taskq.App() as app:
            assert repr(app.queue("q")) == "<Queue 'q'>"
        assert app.closed

    run(scenario())


def test_sync_producers_use_a_portal_where_the_backend_only_awaits(app):
    """A backend without a blocking send is reached through a background loop, from several threads."""
    queue = app.queue("q")

    class OnlyAsync:
        capabilities = queue.backend.capabilities

        def __init__(self, inner):
            self.send = inner.send
            self.size = inner.size
            self.aclose = inner.aclose

    queue.backend = OnlyAsync(queue.backend)
    threads = [threading.Thread(target=lambda: queue.enqueue(queue.message("t"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.accepted for result in queue.enqueue_many([queue.message("t")] * 3)] == [True] * 3
    assert run(queue.size()).ready == 7


def test_a_refusal_of_the_backend_raises(app):
    """An answer that is neither accepted nor duplicate is raised by enqueue, as a BackendError."""
    queue = app.queue("q")
    for answer in (taskq.MessageTooLarge(5, 4), ValueError("odd")):
        queue.backend.send_blocking = lambda batch, answer=answer: [answer]
        with pytest.raises(taskq.BackendError):
            queue.enqueue(queue.message("t"))


def test_results_say_what_happened(app):
    """Accepted, duplicate and the way to make a duplicate an error."""
    queue = app.queue("q")
    message = queue.message("t").named("n")
    assert queue.enqueue(message).raise_if_duplicate().accepted
    again = queue.enqueue(message)
    assert again.duplicate
    assert not again.accepted
    with pytest.raises(taskq.DuplicateMessageError):
        again.raise_if_duplicate()


def test_hooks_may_change_what_is_enqueued():
    """before_enqueue returns another message, on_enqueue sees the result; one that fails does no harm."""
    seen = []

    class Adds(taskq.Hook):
        def before_enqueue(self, queue, message):
            return msgspec.structs.replace(message, headers={"by": queue})

        def on_enqueue(self, queue, message, result):
            seen.append((message.headers, result.message_id == message.id))
            raise RuntimeError

    class Fails(taskq.Hook):
        def before_enqueue(self, queue, message):
            raise RuntimeError

    app = taskq.App(hooks=[Adds(), Fails()])
    queue = app.queue("q")
    assert queue.enqueue(queue.message("t")).accepted
    assert seen == [({"by": "q"}, True)]
    app.close()


def test_messages_without_a_decoder_say_so():
    """A message made by hand carries bytes; reading its arguments names the way."""
    with pytest.raises(taskq.DecodeError, match="task.message"):
        taskq.Message(task="t").args  # noqa: B018
    assert str(taskq.UnknownTaskError("t", "q")).startswith("task 't' is not registered")
    assert taskq.Message(task="t", id=b"\xff").id_text == "ff"


@pytest.mark.parametrize(("options", "settings"), [(taskq.QueueOptions, QueueSettings), (taskq.TaskOptions, TaskSettings)])
def test_keywords_and_options_agree(options, settings):
    """Every option has a typed keyword, in the same order."""
    assert list(settings.__annotations__) == list(options.__struct_fields__)


def test_an_app_is_bound_to_another_broker_for_a_while(app):
    """Messages go to the other broker and its clock; afterwards everything is as it was, for queues made meanwhile too."""
    queue, other = app.queue("q"), FakeClock()
    queue.enqueue(queue.message("before"))
    with app.rebound(MemoryBroker(other), other):
        assert run(queue.size()) == Size()
        late = app.queue("late")
        queue.enqueue(queue.message("t").delayed(5))
        late.enqueue(late.message("t"))
        other.time += 5
        assert run(queue.size()) == Size(ready=1)
        assert app.clock is other
    assert run(queue.size()) == Size(ready=1)
    assert run(late.size()) == Size()
    assert app.clock is not other


def test_a_running_consumer_is_not_pulled_from_under(app):
    """While a consumer runs the app stays where it is."""
    queue = app.queue("q")

    async def scenario():
        consumer = app.consumer(queue)
        await consumer.start()
        assert consumer.running
        with pytest.raises(TaskqError, match="stop it before"), app.rebound(app.broker, app.clock):
            pass
        await consumer.stop()
        assert not consumer.running

    run(scenario())
