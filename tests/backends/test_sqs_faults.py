"""The SQS backend while connections break and processes die: a proxy in front of moto, and workers that are killed."""

import asyncio
import contextlib
import itertools
import os
import signal
import threading
from collections import Counter

import msgspec
import pytest
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sqs.models import sqs_backends
from sqs_support import set_credentials, until_soon
from support import run

import taskq
from taskq.backends.base import Outgoing, Size
from taskq.backends.sqs.texts import body_of
from taskq.errors import BackendUnavailable
from taskq.options import QueueOptions
from taskq.wire import envelope
from taskq_testing.services import Processes, Proxy
from taskq_testing.services.sqs import CREDENTIALS, SqsServer, moto_server

pytestmark = pytest.mark.slow

_numbers = itertools.count(1)
SAMPLES = 24
"""Bytes at which a request, or its answer, is cut."""

STRIDE = 150
"""Bytes between two places where a settlement is cut."""

LONG = 60.0
"""Seconds for which an answer is waited for that will come, however busy the machine is."""

PATIENCES = {"cut": (LONG,), "swallow": (1.0, 5.0, 25.0)}
"""Seconds for which an answer is waited for that will not; more if that was too short to let the bytes pass before."""


@pytest.fixture(scope="module")
def server():
    with moto_server() as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    """A client that nothing happens to."""
    client = server.client()
    yield client
    client.close()


@pytest.fixture(scope="module")
def proxy(server):
    with Proxy(server.endpoint) as proxy:
        yield proxy


@pytest.fixture(autouse=True)
def healed(proxy, monkeypatch):
    """A network in order, before and after each test."""
    set_credentials(monkeypatch)
    proxy.heal()
    yield
    proxy.heal()


@pytest.fixture
def name():
    return f"broken{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def broken(proxy):
    """A client by way of the proxy."""
    client = SqsServer("proxy", proxy.url).client(read_timeout=60.0, connect_timeout=60.0)
    yield client
    client.close()


def drained(client, name):
    """Take everything out of a queue and return how often each body was there."""
    url, bodies = client.get_queue_url(QueueName=name)["QueueUrl"], Counter()
    while messages := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
        bodies.update(message["Body"] for message in messages)
    return bodies


class Moody:
    """A client by way of the proxy that waits for an answer as long as it is told to, and long if it is not told."""

    def __init__(self, proxy):
        self._server, self._clients, self.patience = SqsServer("proxy", proxy.url), {}, LONG
        self.meta = self._client().meta

    def _client(self):
        if self.patience not in self._clients:
            waits = {"read_timeout": self.patience, "connect_timeout": self.patience}
            self._clients[self.patience] = self._server.client(**waits)
        return self._clients[self.patience]

    def __getattr__(self, operation):
        return getattr(self._client(), operation)

    def close(self):
        for client in self._clients.values():
            client.close()


@pytest.fixture
def moody(proxy):
    client = Moody(proxy)
    yield client
    client.close()


# -- producers


def passing(proxy, to, action):
    """Return how many bytes go to one side while something is done."""
    before = proxy.passed(to)
    action()
    return proxy.passed(to) - before


@pytest.mark.parametrize("to", ["server", "client"])
@pytest.mark.parametrize("way", ["cut", "swallow"])
def test_whatever_becomes_of_a_request_it_adds_once_at_most(proxy, moody, client, name, to, way):
    """Cut or swallowed at any byte, of the request or of its answer: what was confirmed is there once, the rest once at most."""
    app = taskq.App("sqs://", client=moody)
    client.create_queue(QueueName=name)
    backend = app.broker.queue(name, QueueOptions(send_timeout=0.0))

    def send(number):
        (answer,) = run(backend.send([Outgoing(b"", b"body %06d" % number)]))
        if answer is not None:
            raise answer

    send(0)
    size = passing(proxy, to, lambda: send(1))
    confirmed = {0, 1}
    samples = SAMPLES if way == "cut" else 4
    points = sorted({*(size * index // samples for index in range(samples)), size - 1, size})
    numbers = itertools.count(2)
    for point in points:
        for moody.patience in PATIENCES[way]:
            fault = proxy.cut_after(point, to=to) if way == "cut" else proxy.swallow(to=to, after=point, times=1)
            number = next(numbers)
            with contextlib.suppress(BackendUnavailable):
                send(number)
                confirmed.add(number)
            fired = fault.fired
            proxy.heal()
            proxy.cut()
            if fired or point == size:
                break
        assert fired or point == size
    app.close()
    found = drained(client, name)
    assert max(found.values()) == 1
    assert len(confirmed) <= len(found)
    assert {b"body %06d" % number for number in confirmed} <= {body_of(text) for text in found}


def test_a_server_that_is_away_is_waited_for(proxy, broken, client, name):
    """An enqueue that finds nobody tries again until somebody is there, and adds once."""
    app = taskq.App("sqs://", client=broken)
    queue = app.queue(name, send_timeout=LONG)
    queue.enqueue(queue.message("t", 1))
    proxy.refuse()
    proxy.cut()
    back = threading.Timer(0.4, proxy.accept)
    back.start()
    queue.enqueue(queue.message("t", 2))
    back.join()
    app.close()
    assert sorted(drained(client, name).values()) == [1, 1]


def test_a_server_that_stays_away_is_told(proxy, broken, name):
    """After `send_timeout` the error is one sentence that names the queue."""
    app = taskq.App("sqs://", client=broken)
    queue = app.queue(name, send_timeout=0.3)
    proxy.refuse()
    with pytest.raises(BackendUnavailable, match=f"SQS queue '{name}' cannot be reached"):
        queue.enqueue(queue.message("t", 1))
    app.close()


# -- consumers


def test_nothing_is_lost_while_connections_break(proxy, broken, name, server):
    """Ten cuts among 100 messages: each is done, and only what was in hand may be done twice; then all is quiet (5, 6)."""
    app, producer = taskq.App("sqs://?long_poll=no", client=broken), taskq.App("sqs://", client=server.client())
    queue = app.queue(name, reservation_timeout=6.0, reserve_wait=0.5, reservation_size=10)
    done = Counter()

    @queue.task
    async def work(number: int) -> None:
        done[number] += 1

    async def scenario():
        sender = producer.queue(name, reservation_timeout=6.0)
        consumer = app.consumer(queue)
        await consumer.start()
        for cut in range(10):
            await sender.enqueue_many_async([queue.message("work", cut * 10 + index) for index in range(10)])
            fault = proxy.cut_after(700 + 97 * cut, to="server" if cut % 2 else "client")
            await asyncio.to_thread(fault.wait)
        proxy.heal()
        await until_soon(lambda: len(done) == 100)
        await consumer.drain(5.0)
        await consumer.stop()
        while (size := await sender.size()) != Size():
            await app.consumer(queue).process_one(wait=1.0)
        await app.aclose()
        await producer.aclose()
        return size

    assert asyncio.run(asyncio.wait_for(scenario(), 200)) == Size()
    assert len(done) == 100
    assert sum(done.values()) <= 100 + 10 * 20


def test_an_acknowledgement_without_an_answer_is_repeated(proxy, moody, client, name):
    """Deleting twice is deleting once: the message is gone, and its consumer is told that it was its own."""
    client.create_queue(QueueName=name)
    app = taskq.App("sqs://?long_poll=no", client=moody)
    backend = app.broker.queue(name, QueueOptions())

    async def scenario():
        await backend.send([Outgoing(b"", b"body body")])
        (held,) = await backend.reserve(1, 0)
        fault = proxy.swallow(to="client")
        for moody.patience in PATIENCES["swallow"]:
            with pytest.raises(BackendUnavailable):
                await backend.ack([held])
            if fault.fired:
                break
        proxy.heal()
        moody.patience = LONG
        owned = await backend.ack([held])
        return owned, await backend.size()

    assert run(scenario()) == ([True], Size())
    app.close()


SETTLEMENTS = {
    "ack": (lambda queue, held, changed: queue.ack([held]), {Size()}),
    "give back": (lambda queue, held, changed: queue.release(held, 0.0), {Size(ready=1)}),
    "retry": (lambda queue, held, changed: queue.release(changed, 0.0), {Size(ready=1), Size(ready=2)}),
    "extend": (lambda queue, held, changed: queue.extend(held, 60.0), {Size(reserved=1)}),
    "bury": (lambda queue, held, changed: queue.dead_letter(held, "why"), {Size(dead=1), Size(dead=2)}),
}
"""What is done about a message, and what there may be afterwards: a copy too many only where the answer to one was lost."""


@pytest.mark.parametrize("to", ["server", "client"])
@pytest.mark.parametrize("what", SETTLEMENTS)
def test_whatever_becomes_of_a_settlement_it_can_be_repeated(proxy, broken, name, what, to):
    """Cut at one byte after another and asked again, as the runtime does, it is done: nothing is lost, nobody is told "lost"."""
    settle, allowed = SETTLEMENTS[what]
    app = taskq.App("sqs://?long_poll=no", client=broken)
    seen = []

    async def once(point):
        backend = app.broker.queue(f"{name}-{point}", QueueOptions())
        await backend.send([Outgoing(b"", b"body body")])
        (held,) = await backend.reserve(1, 0)
        changed = msgspec.structs.replace(held, body=b"changed body")
        fault, lost = proxy.cut_after(point, to=to), False
        try:
            answer = await settle(backend, held, changed)
        except BackendUnavailable:
            lost = True
            proxy.heal()
            answer = await settle(backend, held, changed)
        assert answer in (None, [True]) or answer.id == held.id
        proxy.heal()
        return fault.fired > 0, lost, await backend.size()

    point, hit = 0, True
    while hit:
        hit, lost, size = run(once(point))
        seen.append(size)
        assert size in allowed
        assert lost or size.ready + size.dead <= 1
        point += STRIDE
    app.close()
    assert len(seen) > 3


# -- processes


PROGRAM = """
import os, signal, threading
import taskq

app = taskq.App(os.environ["SQS_URL"])
queue = app.queue(os.environ["SQS_NAME"], reservation_timeout=float(os.environ["SQS_TIMEOUT"]), reserve_wait=1.0,
                  poison_limit=int(os.environ["SQS_POISON"]), stop_timeout=60.0, max_workers=4, reservation_size=4, buffer_size=4)

def note(line):
    with open(os.environ["SQS_LOG"], "a") as log:
        log.write(line + "\\n")

@queue.task
def work(number: int, seconds: float) -> None:
    note(f"begin {number}")
    threading.Event().wait(seconds)
    note(f"end {number}")

@queue.task
def wait(path: str) -> None:
    note("begin 1")
    while not os.path.exists(path):
        threading.Event().wait(0.01)
    note("end 1")

@queue.task
def kills() -> None:
    note("killed")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def fleet(server, name, tmp_path):
    """Start workers of one queue; what they do is in a log."""
    (tmp_path / "jobs.py").write_text(PROGRAM)
    log = tmp_path / "log"
    log.touch()
    env = {**CREDENTIALS, "SQS_URL": server.url, "SQS_NAME": name, "SQS_LOG": str(log), "AWS_EC2_METADATA_DISABLED": "true"}

    class Fleet:
        app = taskq.App("sqs://", client=server.client(max_pool_connections=20))
        queue = app.queue(name)

        def start(self, timeout=5.0, poison_limit=2):
            return processes.worker("jobs:app", env={"SQS_TIMEOUT": str(timeout), "SQS_POISON": str(poison_limit)})

        def lines(self, word):
            return [int(line.split()[1]) for line in log.read_text().splitlines() if line.startswith(word + " ")]

        def text(self):
            return log.read_text()

        def write(self, path):
            (tmp_path / path).touch()

        def send(self, *messages):
            self.queue.enqueue_many(messages)

        def size(self):
            return run(self.queue.size())

        def reserved(self):
            """The numbers of the jobs that somebody has reserved, as moto has it."""
            messages = sqs_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].queues[name]._messages
            return {envelope.decode(body_of(each.body)).args[0] for each in messages if not each.visible}

    with Processes(cwd=tmp_path, env=env) as processes:
        fleet = Fleet()
        yield fleet
        fleet.app.close()


def eventually(condition, what):
    """Wait until something is so, or fail."""
    over = threading.Event()
    for _ in range(2400):
        if condition():
            return
        over.wait(0.05)
    raise AssertionError(what())


def test_killed_workers_lose_nothing(fleet):
    """Three workers killed with -9 in the middle of their work: every job ends, and only those in hand begin twice (2, 16)."""
    fleet.send(*(fleet.queue.message("work", number, 0.02) for number in range(80)))
    in_hand = Counter()
    for begun in (6, 14, 22):
        worker = fleet.start(poison_limit=10)  # a message may be in the hands of all three
        eventually(lambda begun=begun: len(fleet.lines("begin")) >= begun, fleet.text)
        worker.kill(children=True)
        in_hand.update(fleet.reserved())
    fleet.start(poison_limit=10)
    eventually(lambda: len(set(fleet.lines("end"))) == 80, fleet.text)
    eventually(lambda: fleet.size() == Size(), lambda: str(fleet.size()))
    repeated = Counter({number: times - 1 for number, times in Counter(fleet.lines("begin")).items()})
    assert repeated <= in_hand


def test_a_worker_that_was_stopped_changes_nothing_when_it_goes_on(fleet):
    """One is frozen past its reservation; another does its job; when the first goes on, its late word is not heard (14)."""
    fleet.send(fleet.queue.message("wait", "go"))
    frozen = fleet.start()
    eventually(lambda: fleet.lines("begin"), fleet.text)
    os.killpg(os.getpgid(frozen.pid), signal.SIGSTOP)
    other = fleet.start()
    eventually(lambda: len(fleet.lines("begin")) == 2, fleet.text)
    fleet.write("go")
    eventually(lambda: fleet.lines("end") == [1], fleet.text)
    eventually(lambda: fleet.size() == Size(), lambda: str(fleet.size()))
    fleet.send(fleet.queue.message("work", 2, 0.01))
    os.killpg(os.getpgid(frozen.pid), signal.SIGCONT)
    eventually(lambda: fleet.lines("end").count(1) == 2 and 2 in fleet.lines("end"), fleet.text)
    frozen.terminate()
    other.terminate()
    frozen.wait()
    other.wait()
    assert fleet.lines("begin").count(1) == 2
    assert fleet.size() == Size()


def test_a_job_that_kills_its_worker_is_put_aside(fleet):
    """Delivered twice without an outcome it is given up, whole, and its queue goes on (20)."""
    fleet.send(fleet.queue.message("kills"))
    for _ in range(2):
        assert fleet.start().wait() == -signal.SIGKILL
    fleet.start()
    eventually(lambda: fleet.size() == Size(dead=1), lambda: f"{fleet.text()} {fleet.size()}")
    fleet.send(fleet.queue.message("work", 1, 0.0))
    eventually(lambda: fleet.lines("end") == [1], fleet.text)
    assert fleet.text().count("killed") == 2
    (letter,) = run(fleet.queue.dead_letters())
    assert envelope.decode(letter.body).task == "kills"


def test_a_worker_that_is_told_to_stop_gives_back_what_it_has(fleet):
    """After SIGTERM it takes nothing new, finishes or gives back what it holds, and leaves nothing reserved (22)."""
    fleet.send(*(fleet.queue.message("work", number, 0.05) for number in range(40)))
    worker = fleet.start(timeout=60.0)
    eventually(lambda: len(fleet.lines("begin")) >= 4, fleet.text)
    worker.terminate()
    assert worker.wait() == 0
    begun, size = len(fleet.lines("begin")), fleet.size()
    assert size.reserved == 0
    assert len(set(fleet.lines("end"))) + size.ready == 40
    assert begun - len(fleet.lines("end")) == 0
    fleet.start()
    eventually(lambda: len(set(fleet.lines("end"))) == 40, fleet.text)
