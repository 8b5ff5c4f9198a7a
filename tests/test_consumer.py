"""The consumer end to end on the in-memory backend: outcomes, limits, pauses, batches, stops."""

import asyncio
import contextlib
import contextvars
import threading
import time

import msgspec
import pytest
from support import FakeClock, run, until

import taskq
from taskq.backends.base import Size
from taskq.backends.memory import MemoryBackend
from taskq.errors import BackendUnavailable, ReservationLost
from taskq.hooks.base import Hook
from taskq.runtime import scaler
from taskq.runtime.clock import SystemClock
from taskq.wire import envelope


def process(app, queue):
    return run(app.consumer(queue).process_all())


def letters(queue):
    return run(queue.backend.dead_letters(99))


class Recorder(Hook):
    def __init__(self):
        self.events = []

    def on_start(self, event):
        self.events.append(("start", event.message.args, event.message.attempt))

    def on_settle(self, event):
        self.events.append(("settle", event.message.args, type(event.decision).__name__))

    def on_pause(self, event):
        self.events.append(("pause", event.task, event.seconds))


# -- outcomes


def test_every_form_of_handler_runs(app):
    """No argument, typed arguments, a message, each led by a context, sync and async: all are called as they ask."""
    queue, seen = app.queue("q"), []
    note = seen.append

    @queue.task
    def nothing() -> None:
        note("nothing")

    @queue.task
    async def typed(context: taskq.Context, name: str, age: int = 7) -> None:
        note((name, age, context.attempt, context.queue, context.cancelled))

    @queue.task
    def message(message: taskq.Message) -> None:
        note(message.args)

    @queue.task
    async def both(context: taskq.Context, message: taskq.Message) -> None:
        note(context.message is message)

    class Callable:
        async def __call__(self, x: int) -> None:
            note(x)

    called = queue.task(Callable())
    for task, args in ((nothing, ()), (typed, ("ada",)), (message, (1, "x")), (both, ()), (called, (5,))):
        task.enqueue(*args)
    assert process(app, queue) == 5
    assert sorted(map(str, seen)) == sorted(map(str, ["nothing", ("ada", 7, 1, "q", False), (1, "x"), True, 5]))
    nothing()
    assert seen[-1] == "nothing"


def test_failures_are_retried_with_counted_attempts(app):
    """A failing handler runs max_attempts times, with the attempt counted, then its fallback once."""
    queue, attempts, fallen = app.queue("q"), [], []

    @queue.task(max_attempts=3, min_backoff=0)
    async def fails(context: taskq.Context, x: int) -> None:
        attempts.append(context.attempt)
        raise ValueError(x)

    @fails.fallback
    def failed(message: taskq.Message) -> None:
        fallen.append((message.args, message.attempt))

    fails.enqueue(7)
    process(app, queue)
    assert (attempts, fallen) == ([1, 2, 3], [((7,), 3)])
    stats = app.consumer(queue).stats()
    assert (stats.retries, stats.fails, stats.processed, stats.dead) == (2, 1, 0, 0)
    assert run(queue.size()) == taskq.backends.base.Size()


@pytest.mark.parametrize("with_fallback", [True, False])
def test_what_fails_for_good_is_kept(app, with_fallback):
    """Without a fallback, or when that fails too, the message is put aside with the whole reason."""
    queue = app.queue("q")

    @queue.task(max_attempts=1)
    def fails(x: int) -> None:
        raise ValueError("first")

    if with_fallback:

        @fails.fallback
        async def failed(x: int) -> None:
            raise KeyError("second")

    fails.enqueue(1)
    process(app, queue)
    assert [("first" in letter.reason, "second" in letter.reason) for letter in letters(queue)] == [(True, with_fallback)]


def test_a_handler_sets_its_own_delay(app):
    """Retry(after) releases with that delay, and the backoff is not used."""
    queue = app.queue("q")

    @queue.task(min_backoff=0)
    async def later() -> None:
        raise taskq.Retry(after=3600)

    later.enqueue()
    process(app, queue)
    assert run(queue.size()).delayed == 1


def test_the_catch_all_task_takes_what_nobody_knows(app):
    """Messages of unknown tasks go to the task "*"."""
    queue, seen = app.queue("q"), []

    @queue.task(name="*")
    def anything(message: taskq.Message) -> None:
        seen.append((message.task, message.args))

    queue.enqueue(queue.message("unknown", 1))
    process(app, queue)
    assert seen == [("unknown", (1,))]


def test_poison_is_put_aside(app):
    """A message delivered too often without any outcome does not run again."""
    queue = app.queue("q", poison_limit=2, reservation_timeout=0.001)
    queue.enqueue(queue.message("t"))

    async def crash_three_times():
        for _ in range(2):
            assert await queue.backend.reserve(1, 1.0)

    run(crash_three_times())

    async def scenario():
        assert await app.consumer(queue).process_one(wait=1.0)

    run(scenario())
    assert "without an outcome" in letters(queue)[0].reason


def test_a_suspect_holds_up_nothing_that_comes_after_it(app, monkeypatch):
    """What was delivered before without an outcome has a worker beside those that are planned: it may kill its process later."""
    monkeypatch.setattr(scaler, "INTERVAL", 1e6)
    queue, came = app.queue("q", max_workers=2), asyncio.Event()

    @queue.task
    async def waits() -> None:
        await came.wait()

    @queue.task
    async def comes() -> None:
        came.set()

    async def scenario():
        await waits.enqueue_async()
        queue.backend._timeout, timeout = 0.0, queue.backend._timeout
        assert await queue.backend.reserve(1, 1.0)
        queue.backend._timeout = timeout
        consumer = app.consumer(queue)
        await consumer.start()
        await until(lambda: consumer.stats().in_flight == 1)
        await comes.enqueue_async()
        await until(lambda: consumer.stats().processed == 2)
        await consumer.stop()

    run(scenario())


# -- contexts, threads, extension


def test_context_variables_reach_handlers_and_do_not_leak(app):
    """What a hook sets the handler sees, in its thread too; what a handler sets the next one does not."""
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []

    class Sets(Hook):
        def on_start(self, event):
            seen.append(variable.get())
            variable.set(event.message.task)

    app.hooks = taskq.hooks.base.Hooks([Sets()])
    queue = app.queue("q")

    @queue.task
    def in_thread() -> None:
        seen.append((variable.get(), threading.current_thread() is threading.main_thread()))
        variable.set("leaked")

    @queue.task
    async def on_loop() -> None:
        await asyncio.sleep(0)
        seen.append(variable.get())
        variable.set("leaked")

    for task in (in_thread, on_loop, in_thread):
        task.enqueue()
    process(app, queue)
    assert seen.count("unset") == 3
    assert seen.count(("in_thread", False)) == 2
    assert "on_loop" in seen


def test_sync_handlers_do_not_block_the_loop(app):
    """While a sync handler waits, async ones run; here the sync one waits for the async one."""
    queue, released = app.queue("q"), threading.Event()

    @queue.task
    def waits() -> None:
        assert released.wait(10)

    @queue.task
    async def releases() -> None:
        released.set()

    waits.enqueue()
    releases.enqueue()
    assert process(app, queue) == 2
    assert app.consumer(queue).stats().processed == 2


def test_handlers_that_wait_run_side_by_side(app):
    """As many handlers as there may be workers run at once, though one starts them all."""
    queue = app.queue("q", reservation_size=8, max_workers=8)
    barrier, together = [], asyncio.Event()

    @queue.task
    async def meets() -> None:
        barrier.append(1)
        if len(barrier) == 8:
            together.set()
        await together.wait()

    queue.enqueue_many(meets.message() for _ in range(8))
    assert process(app, queue) == 8


@pytest.mark.slow
@pytest.mark.parametrize("blocks_the_loop", [True, False])
def test_a_job_outlives_its_reservation(app, blocks_the_loop):
    """A handler much longer than its reservation runs once, even one that blocks the event loop."""
    # Time is real here, so the reservation is long enough for a machine that is busy with other things.
    queue, starts, ended = app.queue("q", reservation_timeout=0.5), [], asyncio.Event()

    @queue.task
    async def slow() -> None:
        starts.append(1)
        if blocks_the_loop:
            threading.Event().wait(1.8)
        else:
            await asyncio.to_thread(threading.Event().wait, 1.8)
        ended.set()

    async def scenario():
        consumer = app.consumer(queue)
        slow.enqueue()
        await consumer.start()
        await ended.wait()
        await until(lambda: consumer.stats().processed)
        await consumer.stop()

    run(scenario())
    assert (starts, app.consumer(queue).stats().lost) == ([1], 0)


def test_a_handler_extends_by_hand(app):
    """Context.extend from a thread and extend_async from the loop move the expiry."""
    queue, moved = app.queue("q"), []

    @queue.task
    def in_thread(context: taskq.Context) -> None:
        before = context._run.reservation.expires_at
        context.extend(1000.0)
        moved.append(context._run.reservation.expires_at - before > 600)

    @queue.task
    async def on_loop(context: taskq.Context) -> None:
        before = context._run.reservation.expires_at
        await context.extend_async()
        moved.append(context._run.reservation.expires_at >= before)

    in_thread.enqueue()
    on_loop.enqueue()
    process(app, queue)
    assert moved == [True, True]


# -- limits and pauses


def test_a_failing_task_pauses_alone(app):
    """After its failures in a row a task is not run, its messages keep their attempt, and the other task runs on."""
    recorder = Recorder()
    app.hooks = taskq.hooks.base.Hooks([recorder])
    queue = app.queue("q", pause_threshold=3, pause_period=3600, max_workers=1)

    @queue.task(max_attempts=50, min_backoff=3600, max_backoff=3600)
    async def fails(x: int) -> None:
        raise ValueError

    @queue.task
    async def works() -> None: ...

    queue.enqueue_many([fails.message(1), fails.message(2), fails.message(3), fails.message(4), works.message()])
    process(app, queue)
    assert ("pause", "fails", 3600.0) in recorder.events
    assert ("start", (4,), 1) not in recorder.events
    assert app.consumer(queue).stats().processed == 1
    assert app.consumer(queue).stats().paused["fails"] > 3500
    assert run(queue.size()).delayed == 4


@pytest.mark.parametrize(("period", "delay"), [(0, 60.0), (5, 5.0)])
def test_a_task_paused_by_hand_comes_back_to_look(app, period, delay):
    """What is put back while its task is paused by hand, which has no end, becomes due again and keeps its attempt."""
    queue = app.queue("q", pause_period=period)

    @queue.task
    def other() -> None: ...

    @queue.task
    def works() -> None: ...

    works.enqueue()
    app.consumer(queue).pause("works")
    process(app, queue)
    [held] = queue.backend.messages()
    assert held.state == "delayed"
    assert held.at - app.clock.monotonic() == pytest.approx(delay, abs=1)
    assert envelope.decode(held.body).attempt == 1


def test_stop_waits_for_a_run_that_somebody_else_began(app):
    """stop() returns when nothing runs any more and says what was given back, also where run() is a caller's own task."""
    queue, ran = app.queue("q"), []

    @queue.task
    async def works() -> None:
        ran.append("begun")
        for _ in range(5):
            await asyncio.sleep(0)
        ran.append("ended")

    @queue.task
    async def hangs() -> None:
        await asyncio.get_running_loop().create_future()

    async def scenario():
        consumer = app.consumer(queue)
        running = asyncio.create_task(consumer.run())
        works.enqueue()
        await until(lambda: ran)
        assert await consumer.stop() == 0
        assert ran == ["begun", "ended"]
        await running
        running = asyncio.create_task(consumer.run())
        hangs.enqueue()
        await until(lambda: consumer.stats().in_flight)
        assert await consumer.stop(0) == 1
        await running
        return await consumer.stop()

    assert run(scenario()) == 1


def test_a_paused_queue_stops_at_once_and_resumes_by_hand(app):
    """While paused nothing starts; a resume starts it; a stop does not wait for the pause."""
    queue, ran = app.queue("q"), []

    @queue.task
    async def works() -> None:
        ran.append(1)

    async def scenario():
        consumer = app.consumer(queue)
        consumer.pause()
        works.enqueue()
        await consumer.start()
        for _ in range(50):
            await asyncio.sleep(0)
        assert not ran
        assert await asyncio.wait_for(consumer.stop(), 1.0) == 0
        consumer.resume()
        await consumer.start()
        await until(lambda: ran)
        await consumer.stop()

    run(scenario())
    assert ran == [1]


def test_the_rate_limit_holds_and_gives_back(app):
    """No more messages start than burst and rate allow, and grants that found no message are given back."""
    queue = app.queue("q", rate_limit=taskq.RateLimit(0.001, per=1.0, burst=3), reservation_size=10)
    ran = []

    @queue.task
    async def works() -> None:
        ran.append(1)

    async def scenario():
        consumer = app.consumer(queue)
        assert await consumer.process_all() == 0
        queue.enqueue_many(works.message() for _ in range(5))
        await consumer.start()
        await until(lambda: len(ran) == 3)
        for _ in range(20):
            await asyncio.sleep(0)
        await asyncio.wait_for(consumer.stop(), 1.0)

    run(scenario())
    assert len(ran) == 3
    assert run(queue.size()).ready == 2


def test_the_rate_limit_holds_for_one_message_by_hand(app):
    """Processing one message takes a grant, waits for it no longer than for a message, and gives it back if none came."""
    queue = app.queue("q", rate_limit=taskq.RateLimit(0.001, per=1.0, burst=1))
    ran = []

    @queue.task
    async def works() -> None:
        ran.append(1)

    async def scenario():
        consumer = app.consumer(queue)
        assert not await consumer.process_one()
        queue.enqueue_many(works.message() for _ in range(2))
        assert [await consumer.process_one(wait) for wait in (0.0, 0.0, 0.01)] == [True, False, False]

    run(scenario())
    assert ran == [1]
    assert run(queue.size()).ready == 1


def test_the_worker_limit_holds_over_consumers():
    """Two consumers of one queue together never run more handlers than the limit."""
    app = taskq.App()
    queue = app.queue("q", worker_limit=2, reservation_size=4)
    running, most = [], []

    @queue.task
    async def works() -> None:
        running.append(1)
        most.append(len(running))
        await asyncio.sleep(0)
        running.pop()

    queue.enqueue_many(works.message() for _ in range(20))

    async def scenario():
        consumers = [taskq.Consumer(app.wiring(queue)) for _ in range(2)]
        for consumer in consumers:
            await consumer.start()
        await until(lambda: len(most) == 20)
        for consumer in consumers:
            await consumer.stop()

    run(scenario())
    assert max(most) == 2
    app.close()


# -- batches


def test_batches_close_by_size_and_age(app):
    """A batch handler gets full batches, and what is left when it is old enough."""
    queue, sizes = app.queue("q", reservation_size=10), []

    @queue.task(batch=taskq.Batch(size=4, age=0.01))
    async def many(messages: taskq.MessageBatch) -> None:
        sizes.append([message.args[0] for message in messages])

    async def scenario():
        consumer = app.consumer(queue)
        queue.enqueue_many(many.message(i) for i in range(10))
        await consumer.start()
        await until(lambda: len(sizes) == 3)
        await consumer.stop()

    run(scenario())
    assert sizes == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_messages_of_a_batch_fail_one_by_one(app):
    """Those that the handler fails are retried alone; an exception fails all; a stranger is refused."""
    queue, seen = app.queue("q"), []

    @queue.task(batch=taskq.Batch(size=3, age=0.01), min_backoff=0, max_attempts=2)
    def many(context: taskq.Context, messages: taskq.MessageBatch) -> None:
        seen.append(sorted((m.args[0], m.attempt) for m in messages))
        assert isinstance(messages[0], taskq.Message)
        for message in messages:
            if message.args[0] == 1 and message.attempt == 1:
                messages.fail(message, ValueError("one"))
        with pytest.raises(ValueError, match="not of this batch"):
            messages.fail(taskq.Message(task="x"), ValueError())

    queue.enqueue_many(many.message(i) for i in range(3))
    process(app, queue)
    assert seen == [[(0, 1), (1, 1), (2, 1)], [(1, 2)]]
    assert app.consumer(queue).stats().processed == 3


def test_one_lost_message_does_not_take_its_batch_with_it(app):
    """A message whose reservation is lost while its batch is collected is given back; the others run, once."""
    queue, ran = app.queue("q"), []

    @queue.task(batch=taskq.Batch(size=2, age=60.0))
    async def collects(messages: taskq.MessageBatch) -> None:
        ran.append([message.args[0] for message in messages])

    async def scenario():
        consumer = app.consumer(queue)
        await consumer.start()
        collects.enqueue(1)
        await until(lambda: consumer._shop._batches)
        next(iter(consumer._state.owned.values())).cancel()
        collects.enqueue(2)
        await until(lambda: ran)
        collects.enqueue(3)
        await until(lambda: len(ran) == 2)
        await consumer.stop()
        return await queue.size()

    assert run(scenario()) == Size()
    assert [sorted(batch) for batch in ran] == [[2], [1, 3]]


def test_process_one_closes_its_batch(app):
    """process_one runs a batch handler at once with the one message it reserved."""
    queue, seen = app.queue("q"), []

    @queue.task(batch=taskq.Batch(size=9, age=60.0))
    async def many(messages: taskq.MessageBatch) -> None:
        seen.append(len(messages))

    many.enqueue(1)
    assert [run(app.consumer(queue).process_one()), run(app.consumer(queue).process_one())] == [True, False]
    assert seen == [1]


# -- stopping


def test_a_graceful_stop_finishes_what_runs(app):
    """stop() lets running handlers end and fetches nothing more."""
    queue, gate, ended = app.queue("q", reservation_size=1, max_workers=1), asyncio.Event(), []

    @queue.task
    async def works(x: int) -> None:
        await gate.wait()
        ended.append(x)

    async def scenario():
        consumer = app.consumer(queue)
        works.enqueue(1)
        await consumer.start()
        await until(lambda: consumer.stats().in_flight)
        stopping = asyncio.create_task(consumer.stop())
        await asyncio.sleep(0)
        works.enqueue(2)
        gate.set()
        return await stopping

    assert run(scenario()) == 0
    assert ended == [1]
    assert run(queue.size()).ready == 1


def test_a_hard_stop_gives_back_with_the_attempt_unchanged(app):
    """stop(0) interrupts what runs; it comes back as the attempt it was, with nothing left reserved."""
    queue = app.queue("q", reservation_size=2, min_workers=2)
    finished = []

    @queue.task
    async def hangs() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            finished.append(1)

    @queue.task
    def hangs_in_thread(context: taskq.Context) -> None:
        while not context.cancelled:
            time.sleep(0)

    async def scenario():
        consumer = app.consumer(queue)
        hangs.enqueue()
        hangs_in_thread.enqueue()
        await consumer.start()
        await until(lambda: consumer.stats().in_flight == 2)
        return await consumer.stop(0)

    assert run(scenario()) == 2
    size = run(queue.size())
    assert (size.ready, size.reserved, finished) == (2, 0, [1])
    assert [envelope.decode(r.body).attempt for r in run(queue.backend.reserve(9, 0))] == [0, 0]


def test_a_hard_stop_gives_back_what_no_worker_took(app):
    """What waited in the buffer is ready at once for others, its attempt unchanged, and is counted as given back."""
    queue = app.queue("q", max_workers=1, reservation_size=4)

    @queue.task
    async def hangs(x: int) -> None:
        await asyncio.get_running_loop().create_future()

    async def scenario():
        consumer = app.consumer(queue)
        queue.enqueue_many(hangs.message(x) for x in range(4))
        await consumer.start()
        await until(lambda: consumer.stats().in_flight == 1 and consumer.stats().buffered == 3)
        return await consumer.stop(0)

    assert run(scenario()) == 4
    size = run(queue.size())
    assert (size.ready, size.reserved) == (4, 0)
    assert [envelope.decode(held.body).attempt for held in queue.backend.messages()] == [0] * 4


def test_a_worker_outlives_handlers_that_deal_in_cancellation(app):
    """A handler that swallowed its cancellation leaves its worker as it was: the next one may raise CancelledError itself."""
    queue, begun = app.queue("q", max_workers=1), []

    @queue.task
    async def swallows() -> None:
        begun.append("swallows")
        if len(begun) == 1:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.get_running_loop().create_future()

    @queue.task(max_attempts=1)
    async def raises() -> None:
        begun.append("raises")
        raise asyncio.CancelledError

    async def scenario():
        consumer = app.consumer(queue)
        swallows.enqueue()
        await consumer.start()
        await until(lambda: begun)
        next(iter(consumer._state.owned.values())).cancel()
        await until(lambda: len(begun) == 2)
        raises.enqueue()
        await until(lambda: consumer.stats().fails)
        await consumer.stop()

    run(scenario())
    assert begun == ["swallows", "swallows", "raises"]
    assert len(letters(queue)) == 1


async def all_of(consumer):
    """Process one by one, as a caller of process_one would."""
    while await consumer.process_one():
        pass


async def stopped(consumer):
    """Run, and stop gracefully after some steps: later cancellations hit the drain."""
    running = asyncio.create_task(consumer.run())
    try:
        for _ in range(12):
            await asyncio.sleep(0)
        await asyncio.gather(consumer.stop(), running)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


WAYS = {"run": lambda consumer: consumer.run(), "all": lambda consumer: consumer.process_all(), "one": all_of, "stop": stopped}
COUNT = 8


class OneThread(SystemClock):
    """Real time; what runs beside the loop is a task on it, so that steps of the loop do not depend on threads."""

    beside = FakeClock.beside


async def cancel_after(way, steps, again):
    """Cancel a consumer after some steps of the loop, and once more some steps later; say whether it had done all by then."""
    app = taskq.App(hooks=(), clock=OneThread())
    queue = app.queue("q", reservation_size=3, min_workers=3, rate_limit=taskq.RateLimit(1e6), worker_limit=3)
    done = []

    @queue.task(min_backoff=0)
    async def works(context: taskq.Context, x: int) -> None:
        await asyncio.sleep(0)
        if context.attempt == 1 and x % 3 == 0:
            raise ValueError
        await asyncio.sleep(0)
        done.append(x)

    @queue.task(batch=taskq.Batch(size=2, age=60.0))
    async def batched(messages: taskq.MessageBatch) -> None:
        await asyncio.sleep(0)
        done.extend(x for message in messages for x in message.args)

    queue.enqueue_many((batched if x % 4 == 3 else works).message(x) for x in range(COUNT))
    consumer = app.consumer(queue)
    running = asyncio.create_task(WAYS[way](consumer))
    for _ in range(steps):
        await asyncio.sleep(0)
    running.cancel()
    for _ in range(again or 0):
        await asyncio.sleep(0)
    if again is not None:
        running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    size, stats = await queue.size(), consumer.stats()
    assert (size.reserved, stats.in_flight, stats.buffered, stats.workers) == (0, 0, 0, 0)
    assert stats.processed + size.ready + size.delayed == COUNT
    assert app.broker.locks.held == {}
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await consumer.process_all()
    assert set(done) == set(range(COUNT))
    return stats.processed == COUNT and (way == "run" or not running.cancelled())


@pytest.mark.slow
@pytest.mark.parametrize("again", [None, 0, 1, 3])
@pytest.mark.parametrize("way", WAYS)
def test_cancellation_at_every_step_leaks_nothing(way, again):
    """Cancelled at any step, once or twice, a consumer leaves messages settled or ready, and no reservation, lock or task."""
    steps = 0
    while not run(cancel_after(way, steps, again)) or steps < 40:  # beyond the work, too: when idle, and when it is over
        steps += 1
        assert steps < 1000


def test_drain_waits_for_what_is_reserved(app):
    """drain() fetches nothing more and returns when all is settled; without a run there is nothing to do."""
    queue, ran = app.queue("q"), []

    @queue.task
    async def works() -> None:
        await asyncio.sleep(0)
        ran.append(1)

    async def scenario():
        consumer = app.consumer(queue)
        assert await consumer.drain() == 0
        works.enqueue()
        await consumer.start()
        await until(lambda: consumer.stats().in_flight)
        assert await consumer.drain(5.0) == 0
        assert ran == [1]
        with pytest.raises(taskq.TaskqError, match="runs already"):
            await consumer.start()
        with pytest.raises(taskq.TaskqError, match="runs already"):
            await consumer.process_one()
        await consumer.stop()

    run(scenario())


# -- more than one


def test_handlers_enqueue_to_their_own_full_queue(app):
    """A handler that enqueues to its own queue never waits for room, however small the buffer (F33)."""
    queue, ran = app.queue("q", buffer_size=1, reservation_size=1, max_workers=1), []

    @queue.task
    async def spawns(depth: int) -> None:
        ran.append(depth)
        if depth:
            queue.enqueue_many([spawns.message(depth - 1), spawns.message(depth - 1)])

    spawns.enqueue(5)
    assert process(app, queue) == 63
    assert len(ran) == 63


def test_several_consumers_share_a_queue(app):
    """Three consumers in one process run each message once."""
    queue, ran = app.queue("q", reservation_size=2), []

    @queue.task
    async def works(x: int) -> None:
        await asyncio.sleep(0)
        ran.append(x)

    queue.enqueue_many(works.message(x) for x in range(50))

    async def scenario():
        await asyncio.gather(*(taskq.Consumer(app.wiring(queue)).process_all() for _ in range(3)))

    run(scenario())
    assert sorted(ran) == list(range(50))


def test_hooks_see_everything_in_order(app):
    """Start and settle pair for each run, batches included."""
    recorder = Recorder()
    app.hooks = taskq.hooks.base.Hooks([recorder])
    queue = app.queue("q", max_workers=1)

    @queue.task(max_attempts=2, min_backoff=0)
    async def fails(x: int) -> None:
        raise ValueError

    @queue.task(batch=taskq.Batch(size=2, age=9.0))
    async def many(messages: taskq.MessageBatch) -> None: ...

    fails.enqueue(1)
    queue.enqueue_many([many.message(2), many.message(3)])
    process(app, queue)
    assert sorted(recorder.events) == sorted(
        [("start", (1,), 1), ("settle", (1,), "Release"), ("start", (1,), 2), ("settle", (1,), "DeadLetter")]
        + [("start", (2,), 1), ("start", (3,), 1), ("settle", (2,), "Ack"), ("settle", (3,), "Ack")]
    )


def test_spans_of_producer_and_consumer_share_a_trace(app):
    """With the OpenTelemetry hook the run's span belongs to the trace in which its message was enqueued."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from taskq.hooks.opentelemetry import OpenTelemetryHook

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app.hooks = taskq.hooks.base.Hooks([OpenTelemetryHook(provider)])
    queue = app.queue("mail")

    @queue.task(max_attempts=2, min_backoff=0)
    def fails() -> None:
        raise ValueError

    fails.enqueue()
    process(app, queue)
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["mail publish", "mail process", "mail process"]
    assert len({span.context.trace_id for span in spans}) == 1
    assert [span.status.is_ok for span in spans[1:]] == [False, False]


# -- backends that fail


class Flaky:
    """A backend whose calls fail now and then before they do anything."""

    def __init__(self, inner, failures, **capabilities):
        self._inner = inner
        self._failures = dict(failures)
        self.capabilities = msgspec.structs.replace(inner.capabilities, **capabilities)

    def __getattr__(self, name):
        if name == "send_blocking":
            raise AttributeError(name)
        method = getattr(self._inner, name)

        async def call(*args):
            if self._failures.get(name, 0) > 0:
                self._failures[name] -= 1
                raise BackendUnavailable(f"{name} failed")
            return await method(*args)

        return call


@pytest.mark.slow
@pytest.mark.parametrize("method", ["reserve", "ack", "release", "dead_letter", "extend"])
def test_a_backend_that_is_down_is_asked_again(app, method):
    """A call that fails is repeated until it works, and nothing is lost or run twice."""
    queue, ran = app.queue("q", reservation_timeout=2.0), []
    queue.backend = Flaky(queue.backend, {method: 2})

    @queue.task(max_attempts=2, min_backoff=0)
    async def works(x: int) -> None:
        ran.append(x)
        if x == 2:
            raise ValueError

    async def scenario():
        consumer = app.consumer(queue)
        await queue.enqueue_many_async([works.message(1), works.message(2)])
        await consumer.start()
        while (size := await queue.size()).ready + size.reserved + size.delayed:
            await asyncio.sleep(0)
        await consumer.stop()
        return size

    assert run(scenario()).dead == 1
    assert sorted(ran) == [1, 2, 2]


def test_names_and_messages_stand_or_fall_together(app):
    """Where the backend cannot claim names, a failed send frees the name again, and duplicates are refused."""
    queue = app.queue("q")
    queue.backend = Flaky(queue.backend, {"send": 1}, dedup=False)
    message = queue.message("t").named("n")
    with pytest.raises(BackendUnavailable):
        queue.enqueue(message)
    assert not queue.enqueue(message).duplicate
    assert queue.enqueue(message).duplicate
    results = queue.enqueue_many([message, queue.message("t"), queue.message("t").named("m")])
    assert [result.duplicate for result in results] == [True, False, False]
    assert run(queue.size()).ready == 3


def test_an_error_of_the_dedup_store_is_raised(app, monkeypatch):
    """A store that is down is no answer: enqueue raises and adds nothing (F3)."""
    queue = app.queue("q")
    queue.backend = Flaky(queue.backend, {}, dedup=False)

    async def down(key, ttl):
        raise BackendUnavailable("store")

    monkeypatch.setattr(app.broker.dedup, "claim", down)
    with pytest.raises(BackendUnavailable, match="store"):
        queue.enqueue(queue.message("t").named("n"))
    assert run(queue.size()).ready == 0


def test_a_lost_reservation_cancels_the_run(app, monkeypatch):
    """When an extension says that the message is another's, the handler is cancelled and its outcome is dropped."""
    queue, cancelled = app.queue("q", reservation_timeout=0.05), []

    async def lost(self, reservation, by):
        raise ReservationLost("gone")

    @queue.task
    async def works() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            cancelled.append(1)
            raise

    async def scenario():
        consumer = app.consumer(queue)
        works.enqueue()
        monkeypatch.setattr(MemoryBackend, "extend", lost)
        await consumer.start()
        await until(lambda: cancelled)
        await consumer.stop(0)
        return consumer.stats()

    assert run(scenario()).processed == 0


def test_a_loss_is_told_once(app, monkeypatch, caplog):
    """While a handler in a thread runs on, each look finds its message lost again; the log says so once for each delivery."""
    queue, looks, ends = app.queue("q", reservation_timeout=0.05), [], threading.Event()

    async def lost(self, reservation, by):
        looks.append(reservation.receipt)
        raise ReservationLost("gone")

    @queue.task
    def works() -> None:
        assert ends.wait(60)

    async def scenario():
        consumer = app.consumer(queue)
        works.enqueue()
        monkeypatch.setattr(MemoryBackend, "extend", lost)
        await consumer.start()
        await until(lambda: len(looks) >= len(set(looks)) + 3)
        ends.set()
        await consumer.stop()

    run(scenario())
    told = [record.getMessage() for record in caplog.records if " was lost " in record.getMessage()]
    assert len(told) == len(set(looks))


def test_a_decision_outlives_a_stop_in_the_middle_of_its_settling(app):
    """A release that is on its way when the consumer stops is made again, not replaced by giving back as it was."""
    queue = app.queue("q")
    backend, under_way = queue.backend, []

    class Slow(Flaky):
        async def release(self, reservation, delay):
            if not under_way:
                under_way.append(delay)
                await asyncio.get_running_loop().create_future()
            await backend.release(reservation, delay)

    queue.backend = Slow(backend, {})

    @queue.task(min_backoff=50.0)
    async def fails() -> None:
        raise ValueError

    async def scenario():
        consumer = app.consumer(queue)
        fails.enqueue()
        await consumer.start()
        await until(lambda: under_way)
        await consumer.stop(0)

    run(scenario())
    (held,) = backend.messages()
    assert (held.state, envelope.decode(held.body).attempt) == ("delayed", 2)


def test_process_all_sees_what_is_given_back_while_the_backend_looks(app):
    """A message that is released between the backend's look and its answer is processed, too, before it is over."""
    queue = app.queue("q")
    backend, ran = queue.backend, []

    class Late(Flaky):
        async def reserve(self, n, wait):
            taken = await backend.reserve(n, wait)
            for _ in range(50):  # the answer is on its way
                await asyncio.sleep(0)
            return taken

    queue.backend = Late(backend, {})

    @queue.task(min_backoff=0.0)
    async def fails_first(context: taskq.Context) -> None:
        ran.append(context.attempt)
        if context.attempt < 4:
            raise ValueError

    fails_first.enqueue()
    run(app.consumer(queue).process_all())
    assert ran == [1, 2, 3, 4]


def test_process_all_waits_for_messages_instead_of_asking_again_and_again(app):
    """While a handler takes its time the backend is asked once, and what comes meanwhile is processed beside it."""
    queue = app.queue("q", reserve_wait=600.0)
    backend, asked, ran = queue.backend, [], []
    ends, came = asyncio.Event(), asyncio.Event()

    class Counting(Flaky):
        async def reserve(self, n, wait):
            asked.append(wait)
            return await backend.reserve(n, wait)

    queue.backend = Counting(backend, {})

    @queue.task
    async def slow() -> None:
        await ends.wait()
        ran.append("slow")

    @queue.task
    async def late() -> None:
        ran.append("late")
        came.set()

    async def scenario():
        slow.enqueue()
        processing = asyncio.create_task(app.consumer(queue).process_all())
        await until(lambda: 600.0 in asked)
        for _ in range(100):
            await asyncio.sleep(0)
        before = len(asked)
        late.enqueue()
        await asyncio.wait_for(came.wait(), 60)
        ends.set()
        assert await asyncio.wait_for(processing, 60) == 2
        return before

    assert run(scenario()) <= 5
    assert ran == ["late", "slow"]
    assert run(queue.size()) == Size()


@pytest.mark.parametrize("swallows", [True, False])
def test_a_stop_ends_though_a_handler_hides_the_cancellation(app, swallows):
    """A run that is lost at the moment of a hard stop, or a handler that swallows the stop, does not keep its worker waiting."""
    queue, began = app.queue("q", min_workers=2), []

    @queue.task
    async def stubborn() -> None:
        began.append(1)
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            if not swallows:
                raise

    @queue.task
    def in_thread() -> None:
        began.append(1)
        while consumer._state is None or not consumer._state.aborting:
            threading.Event().wait(0.001)

    consumer = app.consumer(queue)

    async def scenario():
        queue.enqueue_many([stubborn.message(), in_thread.message()])
        await consumer.start()
        await until(lambda: len(began) == 2)
        for delivery in consumer._state.owned.values():
            delivery.cancel()
        return await consumer.stop(0)

    run(scenario())
    assert run(queue.size()) == Size(ready=2)
    assert not consumer.running


@pytest.mark.slow
@pytest.mark.parametrize("answers", [0, 3])
def test_a_stop_does_not_wait_for_a_backend_that_is_silent(app, answers, monkeypatch):
    """What the backend takes is given back, as long as it takes any; a call without an answer is given up."""
    queue, began = app.queue("q", min_workers=5), []

    @queue.task
    async def long(number: int) -> None:
        began.append(number)
        await asyncio.get_running_loop().create_future()

    release = queue.backend.release

    async def taken(reservation, delay):
        if (await queue.size()).ready >= answers:
            await asyncio.get_running_loop().create_future()
        await release(reservation, delay)

    monkeypatch.setattr(queue.backend, "release", taken)

    async def scenario():
        await queue.enqueue_many_async(long.message(n) for n in range(5))
        consumer = app.consumer(queue)
        await consumer.start()
        await until(lambda: len(began) == 5)
        return await consumer.stop(0.0), await queue.size()

    assert run(scenario()) == (5, Size(ready=answers, reserved=5 - answers))
