"""The production IronMQ adapter and runtime in virtual time: crashes, pauses, lost requests and answers, long jobs and delays."""

import asyncio
import collections
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from testing.ironmq_world import STORM, World

import taskq
from taskq.backends.base import Size
from taskq.backends.ironmq.link import Call
from taskq.errors import BackendError, BackendUnavailable
from taskq.wire import args, ascii85, envelope

HOUR = 3600.0


def recording(seconds=0.0):
    """Return what defines a task that takes its time and notes its runs, and the notes."""
    runs = []

    def define(queue, process):
        @queue.task(max_attempts=20, min_backoff=1, max_backoff=10)
        async def work(number):
            runs.append((process.world.loop.time(), process.name, number))
            await asyncio.sleep(seconds(number) if callable(seconds) else seconds)

        return work

    return define, runs


async def until(condition, patience=HOUR):
    async with asyncio.timeout(patience):
        while not condition():
            await asyncio.sleep(0.5)


def empty(world):
    return not world.texts("q")


# -- without faults


def test_a_job_longer_than_its_reservation_runs_once():
    """A hundred times as long: it is extended all the while, and other consumers do not get it."""
    define, runs = recording(seconds=100 * 10.0)

    async def scenario():
        processes = [world.process(name, define, reservation_timeout=10) for name in ("one", "two")]
        await processes[0].task.enqueue_async(1)
        for process in processes:
            process.consume()
        await until(lambda: empty(world))
        return world.loop.time()

    world = World()
    assert 1000 < world.run(scenario()) < 1005
    assert len(runs) == 1
    touches = [path for _, path, _ in world.requests if path.endswith("/touch")]
    assert 100 < len(touches) < 350


def test_sync_handlers_are_extended_too():
    """A handler in a thread that blocks for ten reservations runs once."""
    runs = []

    def define(queue, process):
        @queue.task
        def work():
            runs.append(process.name)
            import time

            time.sleep(300)

        return work

    async def scenario():
        processes = [world.process(name, define, reservation_timeout=30) for name in ("one", "two")]
        await processes[0].task.enqueue_async()
        for process in processes:
            process.consume()
        await until(lambda: empty(world))
        return world.loop.time()

    world = World()
    assert world.run(scenario()) >= 300
    assert len(runs) == 1


@pytest.mark.parametrize("skew", [0.0, 600.0, -600.0])
def test_a_delay_is_never_early(skew):
    """By the service's time, whatever a process takes for the time of day; late by less than two seconds."""
    define, runs = recording()
    delays = [0.001, 0.5, 1.0, 1.5, 59.9, 599.0]

    async def scenario():
        producer, consumer = world.process("producer", define), world.process("consumer", define)
        consumer.clock.jump(skew)
        for number, delay in enumerate(delays):
            await producer.queue.enqueue_async(producer.task.message(number).delayed(delay))
        consumer.consume()
        await asyncio.sleep(300)
        consumer.clock.jump(-2 * skew)
        await until(lambda: len(runs) == len(delays), patience=HOUR)

    world = World()
    world.run(scenario())
    late = [time - delays[number] for time, _, number in runs]
    assert all(0 <= each < 2 for each in late)
    assert [number for _, _, number in runs] == [*range(len(delays))]


def test_retries_come_with_their_backoff_and_count():
    """Attempts travel in the body: each is a copy, none is early, and after the last the message is a dead letter."""
    times = []

    def define(queue, process):
        @queue.task(max_attempts=4, min_backoff=2, max_backoff=5)
        async def work(context: taskq.Context):
            times.append((process.world.loop.time(), context.attempt))
            raise ValueError("no")

        return work

    async def scenario():
        process = world.process("one", define)
        await process.task.enqueue_async()
        process.consume()
        await until(lambda: empty(world) and times)
        (letter,) = await process.queue.dead_letters()
        return letter.reason

    world = World()
    assert "failed 4 times: ValueError: no" in world.run(scenario())
    assert [attempt for _, attempt in times] == [1, 2, 3, 4]
    gaps = [after[0] - before[0] for before, after in itertools.pairwise(times)]
    assert [least <= gap < least + 2 for gap, least in zip(gaps, (2, 4, 5), strict=True)] == [True] * 3


def test_a_body_that_cannot_be_read_stops_nobody():
    """One among a thousand: it becomes a dead letter as it is, the others are handled on time."""
    define, runs = recording()

    async def scenario():
        process = world.process("one", define)
        await process.queue.enqueue_many_async(process.task.message(number) for number in range(500))
        world.service.projects["project"].post("q", [("garbage ~", 0, {})], world.loop.time())
        await process.queue.enqueue_many_async(process.task.message(number) for number in range(500, 1000))
        process.consume()
        await until(lambda: empty(world), patience=10)
        (letter,) = await process.queue.dead_letters()
        return letter.body

    world = World()
    assert world.run(scenario()) == b"garbage ~"
    assert sorted(number for _, _, number in runs) == [*range(1000)]


@pytest.fixture(scope="module")
def mutants():
    """A process that consumes what a test puts into the service."""
    world, done = World(), []

    def define(queue, process):
        queue.task(done.append, name="t")

    yield world, world.process("one", define, unknown_delay=5), done
    world.loop.close()


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_mutated_bodies_crash_nothing_and_are_kept(mutants, data):
    """Whatever the text or the bytes of a message become: it runs, or waits for its task, or is put aside as it came."""
    world, process, done = mutants
    body = envelope.encode(taskq.Message(task="t", args_bytes=args.encode(("x",)), id=b"i" * 16, attempt=3))
    if data.draw(st.booleans()):
        text = ascii85.encode(mutated(data, body)) or "_"
    else:
        text = mutated(data, ascii85.encode(body).encode()).decode(errors="replace") or "_"

    async def scenario():
        content = {"messages": [{"body": text}]}
        await process.app.broker._links.do(Call("POST", "/queues/q/messages", content))
        await process.app.consumer("q").process_all()
        buried, waiting = world.texts("q-dead"), world.texts("q")
        await process.queue.discard(await process.queue.dead_letters(9))
        await process.queue.purge()
        return buried, waiting

    done.clear()
    buried, waiting = world.loop.run_until_complete(scenario())
    assert len(done) + len(buried) + len(waiting) == 1
    assert all(state == "delayed" for _, state in waiting)
    assert all(each.endswith(f"\n{text}") for each, _ in buried)


def mutated(data, body):
    index = data.draw(st.integers(0, len(body) - 1))
    return body[:index] + data.draw(st.binary(min_size=0, max_size=3)) + body[index + data.draw(st.integers(0, 2)) :]


def test_an_unknown_task_waits_for_its_deploy():
    """During a rolling deploy it comes back until a process knows it; one that nobody ever knows becomes a dead letter."""
    define, runs = recording()
    options = {"unknown_delay": 10, "unknown_max_delay": 40, "unknown_attempts": 6}

    async def scenario():
        old, new = world.process("old", **options), world.process("new", define, **options)
        await new.task.enqueue_async(1)
        await new.queue.enqueue_async(new.queue.message("nobody"))
        consuming = old.consume()
        await asyncio.sleep(60)
        assert not runs
        await old.app.stop()
        await consuming
        new.consume()
        await until(lambda: empty(world))
        return [letter.reason for letter in await new.queue.dead_letters()]

    world = World()
    (reason,) = world.run(scenario())
    assert "no consumer knew its task in 6 attempts" in reason
    assert len(runs) == 1


def test_stopping_gives_back_what_is_not_done():
    """No message is taken after the stop, one that runs is finished, what waits is there again at once, and nothing is lost."""
    define, runs = recording(seconds=lambda number: 5.0 if number < 2 else 0.0)

    async def scenario():
        first = world.process("first", define, min_workers=2, max_workers=2)
        await first.queue.enqueue_many_async(first.task.message(number) for number in range(50))
        consuming = first.consume()
        await until(lambda: len(runs) >= 2)
        began = world.loop.time()
        reserves = sum(path.endswith("/reservations") for _, path, _ in world.requests)
        left = await first.app.stop(timeout=6)
        await consuming
        stopped = world.loop.time() - began
        later = sum(path.endswith("/reservations") for _, path, _ in world.requests) - reserves
        states = collections.Counter(state for _, state in world.texts("q"))
        world.process("second", define).consume()
        await until(lambda: empty(world), patience=60)
        return stopped, left, later, states

    world = World()
    stopped, left, later, states = world.run(scenario())
    assert stopped < 7
    assert (left, later) == (0, 0)
    assert set(states) <= {"ready"}
    assert collections.Counter(number for _, _, number in runs) == collections.Counter(range(50))


def test_an_interrupted_stop_leaves_no_reservation():
    """What still runs when the time is over is interrupted and given back: another consumer has it at once."""
    define, runs = recording(seconds=lambda number: 1000.0 if len(runs) <= 3 else 0.0)

    async def scenario():
        first = world.process("first", define)
        await first.queue.enqueue_many_async(first.task.message(number) for number in range(3))
        consuming = first.consume()
        await until(lambda: len(runs) == 3)
        left = await first.app.stop(timeout=0)
        await consuming
        before = world.loop.time()
        world.process("second", define).consume()
        await until(lambda: empty(world))
        return left, world.loop.time() - before

    world = World()
    left, spent = world.run(scenario())
    assert left == 3
    assert spent < 5
    assert len(runs) == 6


# -- processes that die or stand still


@pytest.mark.parametrize("noticed", [True, False])
def test_the_messages_of_a_dead_worker_run_again(noticed):
    """After their reservation, and not much later, with one delivery more."""
    define, runs = recording(seconds=lambda number: 1000.0 if len(runs) == 1 else 0.0)

    async def scenario():
        first, second = (world.process(name, define, reservation_timeout=30) for name in ("first", "second"))
        await first.task.enqueue_async(1)
        first.consume()
        await until(lambda: runs)
        died = world.loop.time()
        first.kill(noticed=noticed)
        second.consume()
        await until(lambda: empty(world))
        return runs[1][0] - died

    world = World()
    assert world.run(scenario()) <= 31
    assert [name for _, name, _ in runs] == ["first", "second"]


def test_a_message_that_kills_its_workers_becomes_a_dead_letter():
    """After as many deliveries as the queue allows, exactly, however often it was extended before."""
    deaths = []

    def define(queue, process):
        @queue.task
        async def work():
            await asyncio.sleep(100.0)
            deaths.append(process.world.loop.time())
            process.kill()
            await asyncio.sleep(0)

        return work

    async def scenario():
        process = world.process("one", define, reservation_timeout=30, poison_limit=4)
        await process.task.enqueue_async()
        for _ in range(10):
            process.consume()
            await asyncio.sleep(300)
            if process.domain.state == "dead":
                process.start()
        (letter,) = await process.queue.dead_letters()
        return letter.reason, await process.queue.size()

    world = World()
    reason, size = world.run(scenario())
    assert len(deaths) == 4
    assert "delivered 4 times" in reason
    assert size == Size(dead=1)


def test_a_long_job_whose_worker_died_is_no_poison():
    """A job that was extended a hundred times before its worker died runs again, and is no dead letter."""
    define, runs = recording(seconds=lambda number: 1200.0)

    async def scenario():
        process = world.process("one", define, reservation_timeout=30, poison_limit=3)
        await process.task.enqueue_async(1)
        process.consume()
        await asyncio.sleep(1190)
        process.kill()
        process.start()
        process.consume()
        await until(lambda: empty(world), patience=HOUR)
        return await process.queue.size()

    world = World()
    assert world.run(scenario()) == Size()
    assert len(runs) == 2


@pytest.mark.parametrize("fails", [False, True])
def test_a_paused_process_changes_nothing_when_it_wakes(fails):
    """It stood still past its reservation, and another one did the job: its late outcome is refused, and its run is cancelled."""
    runs, ends = [], []

    def define(queue, process):
        @queue.task(min_backoff=1)
        async def work():
            runs.append(process.name)
            if process.name == "first":
                await asyncio.sleep(10)
                if fails:
                    raise ValueError("late")
            ends.append(process.name)

        return work

    async def scenario():
        first, second = (world.process(name, define, reservation_timeout=30) for name in ("first", "second"))
        await first.task.enqueue_async()
        first.consume()
        await until(lambda: runs)
        await asyncio.sleep(2)
        first.domain.suspend()
        second.consume()
        await until(lambda: ends)
        await asyncio.sleep(5)
        first.domain.wake()
        await asyncio.sleep(300)
        return world.texts("q"), await second.queue.size()

    world = World()
    assert world.run(scenario()) == ([], Size())
    assert runs == ["first", "second"]
    assert ends[0] == "second"


def test_a_producer_that_dies_has_added_once_or_not_at_all():
    """Killed at each step of its enqueue: what was confirmed is there, what was not is there once at most."""
    define, _ = recording()
    outcomes = collections.Counter()
    for steps in range(60):
        world = World(seed=steps, faults={"slow": 1.0})
        confirmed = []

        async def scenario(world=world, confirmed=confirmed, steps=steps):
            process = world.process("producer", define)

            async def produce():
                confirmed.append(await process.task.enqueue_async(1))

            process.do(produce())
            await asyncio.sleep(steps * 0.15)
            process.kill()
            await asyncio.sleep(60)

        world.run(scenario())
        added = len(world.texts("q"))
        assert len(confirmed) <= added <= 1
        outcomes[len(confirmed), added] += 1
    assert outcomes[0, 0]
    assert outcomes[1, 1]


# -- names


def test_a_failed_add_frees_its_name():
    """Whatever happened to the request: the name can be used again, and then it is taken."""
    define, _ = recording()
    for fault in ("refused", "busy", "request lost"):
        world = World(faults={fault: 1.0})

        async def scenario(world=world):
            process = world.process("one", define, send_timeout=1)
            with pytest.raises(BackendUnavailable):
                await process.queue.enqueue_async(process.task.message(1).named("n"))
            world.faults = {}
            answers = [await process.queue.enqueue_async(process.task.message(1).named("n")) for _ in range(2)]
            return [answer.duplicate for answer in answers]

        assert world.run(scenario()) == [False, True]
        assert len(world.texts("q")) == 1


def test_a_store_that_fails_is_an_error():
    """It is no answer: nothing is added, and nothing is called a duplicate."""
    define, _ = recording()
    world = World()

    async def scenario():
        process = world.process("one", define)

        class Away:
            async def claim(self, key, ttl):
                raise BackendUnavailable("the store is away")

        process.app.broker._stores = type("Stores", (), {"dedup": Away()})()
        with pytest.raises(BackendError, match="the store is away"):
            await process.queue.enqueue_async(process.task.message(1).named("n"))
        return world.texts("q")

    assert world.run(scenario()) == []


def test_a_name_stays_taken_for_its_delay_and_period():
    """As long as the message may wait, even beyond the window of names."""
    define, _ = recording()
    world = World()

    async def scenario():
        process = world.process("one", define, dedup_window=60)
        named = process.task.message(1).named("n").delayed(3600)
        answers = [await process.queue.enqueue_async(named)]
        await asyncio.sleep(3599)
        answers.append(await process.queue.enqueue_async(named))
        await asyncio.sleep(2)
        answers.append(await process.queue.enqueue_async(named))
        return [answer.duplicate for answer in answers]

    assert world.run(scenario()) == [False, True, False]


# -- a network that fails


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(24))
def test_a_fleet_loses_nothing_in_a_storm(seed):
    """Requests and answers lost or late, refused connections, crashes, pauses; when it is over, all that was accepted is done.

    What was confirmed ran to its end at least once, what was refused for good never ran, and nothing is left.
    """
    world = World(seed, faults=STORM)
    draws = world.random
    ended, confirmed, unsure = collections.Counter(), [], []

    def define(queue, process):
        @queue.task(max_attempts=1000, min_backoff=1, max_backoff=20)
        async def work(number):
            await asyncio.sleep(world.while_(0.01, 100.0))
            if draws.random() < 0.2:
                raise ValueError("by chance")
            ended[number] += 1

        return work

    async def produce(process):
        for number in range(12):
            message = process.task.message(number)
            if draws.random() < 0.3:
                message = message.delayed(world.while_(0.1, 60.0))
            try:
                await process.queue.enqueue_async(message)
                confirmed.append(number)
            except BackendUnavailable:
                unsure.append(number)
            await asyncio.sleep(world.while_(0.01, 10.0))

    async def harm(workers):
        for _ in range(6):
            await asyncio.sleep(world.while_(5.0, 60.0))
            worker = draws.choice(workers)
            if draws.random() < 0.5:
                worker.kill(noticed=draws.random() < 0.7)
                await asyncio.sleep(world.while_(0.1, 20.0))
                worker.start()
                worker.consume()
            else:
                worker.domain.suspend()
                await asyncio.sleep(world.while_(1.0, 120.0))
                worker.domain.wake()

    async def scenario():
        producer = world.process("producer", define, send_timeout=3)
        workers = [world.process(f"worker {number}", define, reservation_timeout=30, poison_limit=100) for number in range(3)]
        for worker in workers:
            worker.consume()
        await producer.do(produce(producer))
        await harm(workers)
        world.faults = {}
        await until(lambda: empty(world), patience=HOUR)
        return await producer.queue.size()

    assert world.run(scenario()) == Size()
    assert set(confirmed) <= set(ended)
    assert set(ended) <= {*confirmed, *unsure}
    assert sum(world.happened.values()) > 20


def test_every_fault_of_the_storm_happens():
    """Over a few hundred requests each fault is drawn, so that the tests above mean something."""
    world = World(7, faults=STORM)
    for _ in range(500):
        world.draw()
    world.loop.close()
    assert all(world.happened.values())


@pytest.mark.parametrize("seed", range(5))
def test_a_slow_network_alone_doubles_nothing(seed):
    """Without losses, crashes or pauses each message runs exactly once, however its calls overlap."""
    world = World(seed, faults={"slow": 0.7})
    define, runs = recording(seconds=lambda number: world.while_(0.01, 200.0))

    async def scenario():
        processes = [world.process(name, define, reservation_timeout=30) for name in ("one", "two")]
        for process in processes:
            process.consume()
        await processes[0].queue.enqueue_many_async(processes[0].task.message(number) for number in range(40))
        await until(lambda: empty(world), patience=HOUR)

    world.run(scenario())
    assert collections.Counter(number for _, _, number in runs) == collections.Counter(range(40))
    assert world.happened["slow"] > 20


def test_texts_in_the_service_are_messages():
    """What these tests look at is what the adapter wrote."""
    define, _ = recording()
    world = World()

    async def scenario():
        process = world.process("one", define)
        await process.task.enqueue_async(1)

    world.run(scenario())
    ((text, state),) = world.texts("q")
    assert state == "ready"
    assert b"work" in ascii85.decode(text)
