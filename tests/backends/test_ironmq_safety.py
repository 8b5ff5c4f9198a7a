"""The IronMQ backend behind a proxy that cuts and swallows bytes, and in worker processes that are killed; on real HTTP."""

import asyncio
import contextlib
import json

import msgspec
import pytest
from backends.ironmq import messages, queue_at
from support import run

import taskq
from taskq.backends.base import Size
from taskq.backends.ironmq import link
from taskq.backends.ironmq.errors import Lost
from taskq.errors import BackendUnavailable, ReservationLost
from taskq_testing.ironmq_server import ironmq_server
from taskq_testing.services import Processes, Proxy

pytestmark = pytest.mark.slow

EVERY = {"cut_after": 75, "swallow": 150}
"""Bytes between two places where a conversation is broken off."""

MUTE = (0.5, 5.0, 30.0)
"""Seconds for which bytes that were swallowed are waited for, in life ten; more if the machine was too busy for the others."""


@pytest.fixture(scope="module")
def server():
    with ironmq_server(manual=True) as server:
        yield server


@pytest.fixture
def proxy(server):
    with Proxy(f"http://{server.host}:{server.port}") as proxy:
        yield proxy


def behind(server, proxy, name, **options):
    url = f"ironmq+http://{server.project}:{server.token}@{proxy.host}:{proxy.port}/"
    return queue_at(url, name, **{"send_timeout": 0.0, **options})


def held(server, name):
    """Return the bodies of the messages that a queue holds, by their bytes."""

    def look(service):
        return [each.body for each in service.projects["project"].queues[name].messages.by_id.values()]

    return server.look(look)


@pytest.fixture(params=["cut_after", "swallow"])
def break_off(request, server, proxy):
    """Return what breaks one kind of call off at one byte after another, in both directions, until it is not hit any more."""
    how = request.param
    patiences = MUTE if how == "swallow" else MUTE[-1:]

    def break_off(prepare, call, check):
        async def once(to, count, patience):
            queue = behind(server, proxy, f"{request.node.name}-{to}-{count}-{patience}")
            prepared = await prepare(queue)
            fault = proxy.cut_after(count, to=to) if how == "cut_after" else proxy.swallow(after=count, to=to, times=1)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(link, "ANSWER", patience)
                outcome = await call(queue, prepared)
            hit = fault.fired > 0
            proxy.heal()
            await check(queue, prepared, outcome)
            return hit

        hits = 0
        for to in ("server", "client"):
            count = 0
            while any(run(once(to, count, patience)) for patience in patiences):
                count += EVERY[how]
                hits += 1
        assert hits > 300 // EVERY[how]

    return break_off


async def trying(call):
    """Return the result of a call, or the error that it raised."""
    try:
        return await call()
    except (BackendUnavailable, ReservationLost) as error:
        return error


async def again(call):
    """Call until the service can be reached, as the runtime does, and return the result."""
    while True:
        outcome = await trying(call)
        if not isinstance(outcome, BackendUnavailable):
            return outcome


async def one_message(queue):
    await queue.send(messages(b"original" * 3))
    (reservation,) = await queue.reserve(1, 0)
    return reservation


def test_a_send_that_is_broken_off(server, break_off):
    """What was confirmed is there, once; what was not is there once at most, and nothing is sent twice."""

    async def prepare(queue):
        await queue.send(messages(b"first" * 3))

    async def call(queue, _):
        return await trying(lambda: queue.send(messages(b"second" * 3)))

    async def check(queue, _, outcome):
        found = len(held(server, queue._name)) - 1
        assert found == 1 if outcome == [None] else found in (0, 1)
        seen.add((outcome == [None], found))

    seen = set()
    break_off(prepare, call, check)
    assert seen == {(True, 1), (False, 1), (False, 0)}


def test_an_acknowledgement_that_is_broken_off(server, break_off):
    """Repeated it tells that the message is done, whether the first one arrived or not."""

    async def call(queue, reservation):
        return await trying(lambda: queue.ack([reservation]))

    async def check(queue, reservation, outcome):
        seen.add((isinstance(outcome, list), len(held(server, queue._name))))
        if isinstance(outcome, BackendUnavailable):
            outcome = await again(lambda: queue.ack([reservation]))
        assert (outcome, held(server, queue._name)) == ([True], [])

    seen = set()
    break_off(one_message, call, check)
    assert seen == {(True, 0), (False, 0), (False, 1)}


def test_a_retry_that_is_broken_off(server, break_off):
    """The original is gone and its copy there; a second copy only where the answer to the first was lost."""

    async def call(queue, reservation):
        changed = msgspec.structs.replace(reservation, body=b"changed" * 3)
        return await trying(lambda: queue.release(changed, 0)), changed

    async def check(queue, _, outcome):
        first, changed = outcome
        result = first
        if isinstance(result, BackendUnavailable):
            result = await again(lambda: queue.release(changed, 0))
        assert result is None
        found = held(server, queue._name)
        assert len(set(found)) == 1
        seen.add((isinstance(first, Lost), len(found)))

    seen = set()
    break_off(one_message, call, check)
    assert {(False, 1), (True, 2)} <= seen <= {(False, 1), (True, 1), (True, 2)}


def test_giving_back_that_is_broken_off(server, break_off):
    """It is there again, once, whatever was lost."""

    async def call(queue, reservation):
        return await trying(lambda: queue.release(reservation, 0))

    async def check(queue, reservation, outcome):
        if isinstance(outcome, BackendUnavailable):
            outcome = await again(lambda: queue.release(reservation, 0))
        assert outcome is None or isinstance(outcome, ReservationLost)
        assert len(held(server, queue._name)) == 1
        assert len([*await queue.reserve(1, 0), *await queue.reserve(1, 0)]) == 1

    break_off(one_message, call, check)


def test_an_extension_that_is_broken_off(server, break_off):
    """If its answer is lost so is the reservation, for nobody knows its name; the message is not: it comes back."""

    async def call(queue, reservation):
        return await trying(lambda: queue.extend(reservation, 60))

    async def check(queue, reservation, outcome):
        if isinstance(outcome, BackendUnavailable):
            outcome = await again(lambda: queue.extend(reservation, 60))
        lost = isinstance(outcome, ReservationLost)
        seen.add(lost)
        assert await queue.ack([reservation]) == [not lost]
        server.advance(60)
        assert len(await queue.reserve(1, 0)) == lost

    seen = set()
    break_off(one_message, call, check)
    assert seen == {True, False}


def test_burying_that_is_broken_off(server, break_off):
    """The message is among the dead letters and nowhere else; twice only where an answer was lost."""

    async def call(queue, reservation):
        return await trying(lambda: queue.dead_letter(reservation, "reason"))

    async def check(queue, reservation, outcome):
        if isinstance(outcome, BackendUnavailable):
            outcome = await again(lambda: queue.dead_letter(reservation, "reason"))
        assert outcome is None
        letters = await queue.dead_letters(9)
        assert held(server, queue._name) == []
        assert {letter.body for letter in letters} == {b"original" * 3}
        assert len(letters) in (1, 2)

    break_off(one_message, call, check)


# -- consumers


def test_a_consumer_survives_its_connections():
    """Cut again and again while it works, it loses nothing that was confirmed, and goes on at once."""
    done, confirmed = [], []

    async def scenario(proxy):
        app = taskq.App(f"ironmq+http://project:token@{proxy.host}:{proxy.port}/", hooks=())
        queue = app.queue("q", reservation_timeout=2, reservation_size=10, send_timeout=5, max_fetchers=2)
        progress = asyncio.Event()

        @queue.task(min_backoff=0.1)
        async def work(number):
            done.append(number)
            progress.set()

        async def produce():
            for start in range(0, 300, 15):
                with contextlib.suppress(BackendUnavailable):
                    results = await queue.enqueue_many_async(work.message(number) for number in range(start, start + 15))
                    confirmed.extend(start + index for index, result in enumerate(results) if result.accepted)

        consuming, producing = asyncio.create_task(app.run()), asyncio.create_task(produce())
        for _ in range(10):
            await progress.wait()
            progress.clear()
            await asyncio.to_thread(proxy.cut)
        await producing
        while not set(confirmed) <= set(done):
            await progress.wait()
            progress.clear()
        while (await queue.size()).ready:
            pass
        await app.stop()
        await consuming
        await app.aclose()

    with ironmq_server() as live, Proxy(f"http://{live.host}:{live.port}") as proxy:
        asyncio.run(asyncio.wait_for(scenario(proxy), 200))
    assert len(confirmed) > 100
    assert set(confirmed) <= set(done)


PROGRAM = """
import asyncio, os, threading
import taskq

app = taskq.App({url!r})
queue = app.queue("q", reservation_timeout={timeout}, poison_limit=2, stop_timeout=1, max_workers=4)

@queue.task
async def fast(number):
    print("fast", number, flush=True)

@queue.task
async def slow(seconds):
    print("slow begins", flush=True)
    await asyncio.to_thread(threading.Event().wait, seconds)
    print("slow ends", flush=True)

@queue.task
async def blocking(seconds):
    print("blocking begins", flush=True)
    threading.Event().wait(seconds)
    print("blocking ends", flush=True)

@queue.task
async def deadly():
    print("deadly begins", flush=True)
    os._exit(7)
"""


@pytest.fixture
def fleet(tmp_path):
    """A server, an app that enqueues, and what starts worker processes."""
    with ironmq_server() as server, Processes(cwd=tmp_path) as processes, contextlib.ExitStack() as stack:

        def make(timeout):
            (tmp_path / "jobs.py").write_text(PROGRAM.format(url=server.url, timeout=timeout))
            app = stack.enter_context(contextlib.closing(taskq.App(server.url, hooks=())))  # also where a test fails
            return app.queue("q"), lambda: processes.python("-m", "taskq", "worker", "jobs:app"), server

        yield make


def waits(condition):
    async def scenario():
        while not await condition():
            with contextlib.suppress(TimeoutError):  # and leave the machine to the workers meanwhile
                await asyncio.wait_for(asyncio.Event().wait(), 0.02)

    run(scenario())


def test_a_killed_workers_message_runs_again(fleet):
    """A worker that is killed with -9 in the middle of a job: another one does it after the reservation, and nothing is left."""
    queue, start, server = fleet(2)
    first = start()
    queue.enqueue(queue.message("slow", 600))
    queue.enqueue_many(queue.message("fast", number) for number in range(50))
    first.wait_for("slow begins")
    first.wait_for(r"fast \d+", times=50)

    async def acknowledged():
        return await queue.size() == Size(ready=1)

    waits(acknowledged)
    first.kill()
    server.requests.clear()
    second = start()
    second.wait_for("slow begins")
    times = [request.target for request, _ in server.requests]
    assert any(target.endswith("/reservations") for target in times)
    assert "fast" not in second.output


def test_a_message_that_kills_real_workers_becomes_a_dead_letter(fleet):
    """After two deliveries, which is the limit here; the next worker lives on and does the rest."""
    queue, start, _ = fleet(3)
    queue.enqueue(queue.message("deadly"))
    for _ in range(2):
        worker = start()
        worker.wait_for("deadly begins")
        assert worker.wait() == 7
    last = start()
    queue.enqueue(queue.message("fast", 1))
    last.wait_for("fast 1")

    async def buried():
        return await queue.size() == Size(dead=1)

    waits(buried)
    (letter,) = run(queue.dead_letters())
    assert "delivered 2 times" in letter.reason
    assert b"deadly" in letter.body
    assert last.running


def test_a_job_that_blocks_its_loop_runs_once(fleet):
    """Longer than its reservation: a thread beside the loop extends it, and the other worker does not get it."""
    queue, start, server = fleet(5)
    workers = [start(), start()]
    queue.enqueue(queue.message("blocking", 9))

    async def done():
        return await queue.size() == Size()

    waits(done)
    output = "".join(worker.output for worker in workers)
    assert (output.count("blocking begins"), output.count("blocking ends")) == (1, 1)
    assert sum(request.target.endswith("/touch") for request, _ in server.requests) >= 3


def test_a_terminated_worker_gives_back_what_it_has_not_done(fleet):
    """SIGTERM: after its time the job that still runs is given back, at once, and the worker ends by itself."""
    queue, start, server = fleet(300)
    first = start()
    queue.enqueue(queue.message("slow", 600))
    first.wait_for("slow begins")
    first.terminate()
    assert first.wait() == 0
    second = start()
    second.wait_for("slow begins")
    (released,) = [request for request, _ in server.requests if request.target.endswith("/release")]
    assert json.loads(released.body)["delay"] == 0
    assert "token" not in first.output
