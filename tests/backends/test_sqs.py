"""The SQS backend on servers that speak SQS: moto by default, others by name or address.

TASKQ_TEST_SQS_SERVERS names servers (moto, ministack, localstack), TASKQ_LOCALSTACK=1 adds LocalStack, and
TASKQ_TEST_SQS_ENDPOINT names any other, which may be AWS itself.
"""

import asyncio
import contextlib
import itertools
import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from sqs_support import SERVERS, given_server, set_credentials, until_soon
from support import run

import taskq
from taskq.backends.base import BlockingSender, Chores, DeadLetters, Outgoing, Size
from taskq.backends.sqs import in_group
from taskq.backends.sqs.polls import Polls
from taskq.cli import main
from taskq.errors import DuplicateMessageError, MessageTooLarge, ReservationLost
from taskq.options import QueueOptions
from taskq.wire import args as wire_args
from taskq.wire import ascii85, envelope
from taskq_testing.services.sqs import localstack_server, ministack_server, moto_server

pytestmark = pytest.mark.slow

MAKERS = {"moto": moto_server, "ministack": ministack_server, "localstack": localstack_server}
VECTORS = json.loads((Path(__file__).parents[1] / "data" / "go_v3_public.json").read_text())
OPTIONS = QueueOptions(reservation_timeout=30.0, send_timeout=0.5)
_numbers = itertools.count(1)


@pytest.fixture(scope="module", params=SERVERS)
def server(request):
    """A server that speaks SQS."""
    if request.param == "given":
        yield given_server()
        return
    with MAKERS[request.param]() as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    """A plain client, to look behind the backend's back."""
    client = server.client(read_timeout=40, max_pool_connections=20)
    yield client
    client.close()


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    """What boto3 insists on."""
    set_credentials(monkeypatch)


@pytest.fixture
def name():
    """The name of a queue that nobody has used."""
    return f"q{os.getpid()}-{next(_numbers)}"


@pytest.fixture
def make(server, client, name):
    """Return backends of one queue, each with a broker of its own, like processes; the queues are deleted afterwards."""
    apps, names = [], set()

    def make(name=name, url="sqs://", **options):
        app = taskq.App(url, client=client)
        apps.append(app)
        names.add(name)
        return app.broker.queue(name, msgspec.structs.replace(OPTIONS, **options))

    yield make
    for app in apps:
        app.close()
    for each in names:
        for queue in (each, f"{each.removesuffix('.fifo')}-dead{'.fifo' if each.endswith('.fifo') else ''}"):
            with contextlib.suppress(client.exceptions.QueueDoesNotExist):
                client.delete_queue(QueueUrl=client.get_queue_url(QueueName=queue)["QueueUrl"])


@pytest.fixture
def queue(make):
    return make()


def messages(*bodies, delay=0.0):
    return [Outgoing(body, body, delay) for body in bodies]


def url_of(client, name):
    return client.get_queue_url(QueueName=name)["QueueUrl"]


def raw(client, name, wait=0):
    """What one plain receive brings, with everything that stands beside."""
    return client.receive_message(
        QueueUrl=url_of(client, name),
        MaxNumberOfMessages=10,
        AttributeNames=["All"],
        MessageAttributeNames=["All"],
        WaitTimeSeconds=wait,
    ).get("Messages", [])


# -- adding and reserving


def test_messages_lie_where_go_looks_for_them(queue, client, name):
    """The body is Go's text, and the queue has the name and the visibility timeout that Go gives it."""
    assert run(queue.send(messages(b"some body"))) == [None]
    (message,) = raw(client, name)
    assert message["Body"] == ascii85.encode(b"some body")
    assert "MessageAttributes" not in message
    attributes = client.get_queue_attributes(QueueUrl=url_of(client, name), AttributeNames=["All"])["Attributes"]
    assert attributes["VisibilityTimeout"] == "30"
    assert isinstance(queue, DeadLetters)
    assert not isinstance(queue, BlockingSender | Chores)


def test_messages_come_once_while_they_are_owned(queue):
    """Reserved messages come no more than asked for, and not again; they know how often they were delivered."""

    async def scenario():
        await queue.send(messages(b"a", b"b", b"c"))
        first, rest = await queue.reserve(2, 0), await queue.reserve(9, 0)
        assert await queue.reserve(9, 0) == []
        return sorted((each.body, each.deliveries) for each in first + rest), len(first)

    assert run(scenario()) == ([(b"a", 1), (b"b", 1), (b"c", 1)], 2)


def test_many_are_sent_and_reserved_in_few_calls(queue):
    """More than ten go and come in several calls, each message once."""

    async def scenario():
        bodies = [b"%03d" % number for number in range(57)]
        assert await queue.send(messages(*bodies)) == [None] * 57
        taken = []
        while len(taken) < 57:
            taken += await queue.reserve(57 - len(taken), 1.0)
        assert await queue.ack(taken) == [True] * 57
        return [each.body for each in taken] and sorted(each.body for each in taken) == bodies, await queue.size()

    assert run(scenario()) == (True, Size())


def test_a_reserve_waits_for_a_message(queue):
    """A waiting reserve ends with the message that comes, and after its time with none."""

    async def scenario():
        await queue.size()
        waiting = asyncio.create_task(queue.reserve(1, 60.0))
        await until_soon(lambda: queue._service._pools.get(64))
        await queue.send(messages(b"a"))
        return [each.body for each in await waiting], await queue.reserve(1, 0.05)

    assert run(scenario()) == ([b"a"], [])


def test_delays_are_whole_seconds_and_never_nothing(queue):
    """A short delay is rounded up; the message is delayed, and comes when that is over."""

    async def scenario():
        began = asyncio.get_running_loop().time()
        await queue.send(messages(b"a", delay=0.2))
        (late,) = await queue.reserve(1, 60.0)
        passed = asyncio.get_running_loop().time() - began
        await queue.send(messages(b"b", delay=299.2))
        return late.body, passed, await queue.reserve(1, 0), await queue.size()

    body, passed, early, size = run(scenario())
    assert (body, early, size) == (b"a", [], Size(reserved=1, delayed=1))
    assert passed > 0.9


def test_a_long_delay_is_sent_as_go_sends_it(client, name, make):
    """Over 15 minutes a message goes with 15 minutes, with its own rest in itself, and with Go's attribute beside."""
    sent = []

    class Noting:
        def __init__(self, inner):
            self.meta, self.inner = inner.meta, inner

        def __getattr__(self, operation):
            def call(**parameters):
                if operation == "send_message_batch":
                    sent.extend(parameters["Entries"])
                return getattr(self.inner, operation)(**parameters)

            return call

    app = taskq.App("sqs://", client=Noting(client))
    queue = app.queue(name)
    before = datetime.now(UTC).timestamp()
    queue.enqueue(queue.message("later", 1).delayed(3600))
    after = datetime.now(UTC).timestamp()
    app.close()
    assert run(make().size()) == Size(delayed=1)
    (entry,) = sent
    message = envelope.decode(ascii85.decode(entry["MessageBody"]))
    assert entry["DelaySeconds"] == 900
    assert message.headers == {"taskq-rest": "2700.0"}
    moment = datetime.fromisoformat(entry["MessageAttributes"]["TaskqDelayUntil"]["StringValue"]).timestamp()
    assert before + 900 + 2 * 2700 <= moment <= after + 900 + 2 * 2700 + 30


@pytest.mark.parametrize("vector", VECTORS["messages"][::9], ids=lambda v: v["desc"])
def test_messages_of_go_are_received(queue, client, name, vector):
    """What Go put there, as Go writes it, is read as it was meant."""
    run(queue.size())
    run(queue.reserve(1, 0))
    body = bytes.fromhex(vector["message_hex"])
    client.send_message(QueueUrl=url_of(client, name), MessageBody=ascii85.encode(body) or "_")
    (taken,) = run(queue.reserve(1, 5.0))
    assert taken.body == body
    assert envelope.decode(taken.body).task == vector["task"]


def test_what_go_delayed_is_not_early(client, name, make):
    """A message of Go's that comes with its attribute waits for what it says, and comes with nothing of that."""
    make()
    app = taskq.App("sqs://", client=client)
    queue, seen = app.queue(name, reserve_wait=1.0), []

    @queue.task
    async def later(context: taskq.Context, x: int) -> None:
        seen.append((datetime.now(UTC), x, context.attempt, context.message.headers))

    async def scenario():
        await queue.backend.reserve(1, 0)
        body = envelope.encode(queue.message("later", 7))
        until = datetime.fromtimestamp(int(datetime.now(UTC).timestamp()) + 2, UTC)
        client.send_message(
            QueueUrl=url_of(client, name),
            MessageBody=ascii85.encode(body),
            MessageAttributes={"TaskqDelayUntil": {"DataType": "String", "StringValue": until.strftime("%Y-%m-%dT%H:%M:%SZ")}},
        )
        consumer = app.consumer(queue)
        await consumer.start()
        await until_soon(lambda: seen)
        await consumer.stop()
        await app.aclose()
        return until

    until = run(scenario())
    ((at, x, attempt, headers),) = seen
    assert at >= until
    assert (x, attempt, headers) == (7, 1, None)


# -- settling, by whoever owns it and by nobody else


def test_done_is_gone(queue):
    """An acknowledged message leaves nothing behind, and is not owned a second time."""

    async def scenario():
        await queue.send(messages(b"a", b"b"))
        taken = await queue.reserve(2, 1.0)
        return await queue.ack(taken), await queue.ack(taken), await queue.size()

    assert run(scenario()) == ([True, True], [False, False], Size())


def test_a_release_puts_back_what_it_is_given(queue):
    """A released message comes back with its new body, now or later, as one delivered for the first time."""

    async def scenario():
        await queue.send(messages(b"aaaa", b"bbbb"))
        a, b = sorted(await queue.reserve(2, 1.0), key=lambda each: each.body)
        await queue.release(msgspec.structs.replace(a, body=b"a2a2"), 0.0)
        await queue.release(msgspec.structs.replace(b, body=b"b2b2"), 60.0)
        size, (again,) = await queue.size(), await queue.reserve(9, 1.0)
        return size, again.body, again.deliveries

    assert run(scenario()) == (Size(ready=1, delayed=1), b"a2a2", 1)


def test_what_is_given_back_is_there_at_once_and_counted(queue):
    """A message that was given back unchanged is the same one, delivered once more."""

    async def scenario():
        await queue.send(messages(b"aaaa"))
        (held,) = await queue.reserve(1, 1.0)
        await queue.release(held, 0.0)
        (again,) = await queue.reserve(1, 1.0)
        return again.id == held.id, again.body, again.deliveries, await queue.ack([held]), await queue.ack([again])

    assert run(scenario()) == (True, b"aaaa", 2, [False], [True])


def with_more_time(scenario):
    """Run what takes seconds as short as possible; with more of them where a busy machine lost what it had for so short."""
    for seconds in (1.0, 6.0, 30.0):
        try:
            return run(scenario(seconds))
        except (ReservationLost, Missed):
            continue
    raise AssertionError("half a minute was too short")


class Missed(Exception):
    """A message was reserved for so short that it was over before it arrived."""


async def reserved(queue):
    taken = await queue.reserve(1, 0.0)
    if not taken:
        raise Missed
    return taken[0]


def test_an_expired_message_is_anothers(make, name):
    """What one consumer held for too long comes to another, and the first one can do nothing to it any more."""

    async def scenario(seconds):
        each = f"{name}-{seconds:.0f}"
        slow, other = make(each, reservation_timeout=seconds), make(each)
        await slow.send(messages(b"aaaa"))
        held = await reserved(slow)
        (theirs,) = await other.reserve(1, 60.0)
        assert await slow.ack([held]) == [False]
        for late in (slow.release(held, 0.0), slow.extend(held, 9.0), slow.dead_letter(held, "late")):
            with pytest.raises(ReservationLost):
                await late
        return theirs.deliveries, await other.size(), await other.ack([theirs])

    assert with_more_time(scenario) == (2, Size(reserved=1), [True])


def test_an_extension_keeps_a_message(make, name):
    """What is extended is nobody else's until the extension is over."""

    async def scenario(seconds):
        each = f"{name}-{seconds:.0f}"
        queue, other = make(each, reservation_timeout=seconds), make(each)
        await queue.send(messages(b"aaaa"))
        held = await reserved(queue)
        held = await queue.extend(held, 60.0)
        nothing = await other.reserve(1, seconds + 1.0)
        held = await queue.extend(held, 1.0)
        return nothing, (await other.reserve(1, 60.0))[0].deliveries

    assert with_more_time(scenario) == ([], 2)


@pytest.mark.parametrize("body", [envelope.encode(taskq.Message(task="t", args_bytes=wire_args.encode((1,)))), b""])
def test_dead_letters_are_kept_listed_put_back_and_discarded(make, client, name, body):
    """A dead letter is intact and tells why; it can be made ready with another body, or deleted, once."""
    queue = make(url="sqs://?long_poll=no")

    async def scenario():
        await queue.send(messages(body, body, body))
        for number, held in enumerate(await queue.reserve(3, 1.0)):
            await queue.dead_letter(held, f"why {number} \udc80")
        letters = await queue.dead_letters(2)
        assert await queue.dead_letters(0) == []
        assert len(await queue.dead_letters(9)) == 3
        assert [(letter.body, letter.reason[:4]) for letter in letters] == [(body, "why ")] * 2
        anew = msgspec.structs.replace(letters[0], body=b"new body")
        assert (await queue.redrive([anew]), await queue.redrive([anew])) == (1, 0)
        assert (await queue.discard(letters), await queue.discard(letters), await queue.discard([])) == (1, 0, 0)
        return await queue.size(), [each.body for each in await queue.reserve(9, 1.0)]

    assert run(scenario()) == (Size(ready=1, dead=1), [b"new body"])


def test_what_is_no_message_is_kept_as_it_came(queue, client, name):
    """A text that nobody can read is put aside as it was, character by character, and put back the same way (F45)."""
    text = "{'this is': \"no message\"} ü"

    async def scenario():
        assert await queue.reserve(1, 0) == []
        client.send_message(QueueUrl=url_of(client, name), MessageBody=text)
        (held,) = await queue.reserve(1, 5.0)
        await queue.dead_letter(held, "unreadable")
        (letter,) = await queue.dead_letters(9)
        assert raw(client, f"{name}-dead")[0]["Body"] == text
        client.purge_queue(QueueUrl=url_of(client, f"{name}-dead"))
        return letter.body

    assert run(scenario()) == text.encode()


def test_unreadable_letters_go_back_as_they_came(queue, client, name):
    """Redriving what cannot be read sends the same text again, not a text of that text."""
    text = "no message at all"

    async def scenario():
        assert await queue.reserve(1, 0) == []
        client.send_message(QueueUrl=url_of(client, name), MessageBody=text)
        (held,) = await queue.reserve(1, 5.0)
        await queue.dead_letter(held, "unreadable")
        return await queue.redrive(await queue.dead_letters(9))

    assert run(scenario()) == 1
    assert [message["Body"] for message in raw(client, name, wait=5)] == [text]


def test_a_purge_drops_what_is_ready_and_delayed(queue):
    """They are counted and gone; dead letters stay."""

    async def scenario():
        await queue.send(messages(b"dead"))
        await queue.dead_letter((await queue.reserve(1, 1.0))[0], "why")
        await queue.send([*messages(*(b"%04d" % number for number in range(12))), *messages(b"late", delay=60.0)])
        return await queue.purge(), await queue.size()

    assert run(scenario()) == (13, Size(dead=1))


def test_a_purge_spares_what_is_reserved(queue, caplog):
    """SQS's own purge would drop it too, so delayed messages stay where something is reserved, and the log says so."""

    async def scenario():
        await queue.send([*messages(b"held", b"here"), *messages(b"late", delay=60.0)])
        held = await queue.reserve(1, 1.0)
        count, size = await queue.purge(), await queue.size()
        return count, size, await queue.ack(held)

    assert run(scenario()) == (1, Size(reserved=1, delayed=1), [True])
    assert "keeps 1 delayed messages" in caplog.text


# -- polls that nobody waits for


def test_a_message_that_comes_to_nobody_is_given_back(make):
    """A reserve that is cancelled while it waits leaves a poll behind; what that brings is there for others at once."""
    leaving, other = make(reservation_timeout=600.0), make()

    async def scenario():
        await leaving.size()
        await leaving.reserve(1, 0)
        waiting = asyncio.create_task(leaving.reserve(1, 20.0))
        await until_soon(lambda: leaving._service._pools.get(64))
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await other.send(messages(b"aaaa"))
        await leaving._service.aclose()  # its poll is over
        (taken,) = await other.reserve(1, 60.0)
        return taken.body, taken.deliveries

    assert run(scenario()) == (b"aaaa", 2)


def test_what_a_call_brought_before_it_was_cancelled_is_given_back(make, monkeypatch):
    """Between the end of a call and its waiter lies a moment in which the waiter can be cancelled; nothing is lost in it."""
    leaving, other = make(reservation_timeout=600.0), make()
    came, go_on = threading.Event(), threading.Event()
    receive = Polls._receive

    def held_up(self, poll, n, seconds):
        reply = receive(self, poll, n, seconds)
        if self is leaving._polls:
            came.set()
            assert go_on.wait(60)
        return reply

    monkeypatch.setattr(Polls, "_receive", held_up)

    async def scenario():
        await other.send(messages(b"aaaa"))
        waiting = asyncio.create_task(leaving.reserve(1, 0))
        await until_soon(came.is_set)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        go_on.set()
        (taken,) = await other.reserve(1, 60.0)
        return taken.body, taken.deliveries

    assert run(scenario()) == (b"aaaa", 2)


def test_closing_waits_for_polls(make):
    """After an app is closed no thread of it is left that could take a message."""
    queue = make()

    async def scenario():
        await queue.size()
        await queue.reserve(1, 0)
        waiting = asyncio.create_task(queue.reserve(1, 1.0))
        await until_soon(lambda: queue._service._pools.get(64))
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await queue._service.aclose()

    before = {thread for thread in threading.enumerate() if "taskq-sqs" in thread.name}
    run(scenario())
    assert {thread for thread in threading.enumerate() if "taskq-sqs" in thread.name} <= before


# -- order


def fifo(name):
    return f"{name}.fifo"


def grouped(body, group, number=0, **more):
    message = taskq.Message(task="t", id=b"%s-%d" % (body, number))
    encoded = envelope.encode(in_group(message, group, **more))
    return Outgoing(message.id, encoded)


def ids(taken):
    return [envelope.decode(each.body).id.decode() for each in taken]


def test_a_fifo_queue_keeps_the_order_of_each_group(make, name):
    """Messages of a group come in order and one at a time; other groups do not wait for them."""
    queue = make(fifo(name))

    async def scenario():
        batch = [grouped(b"a", "one", n) for n in range(3)] + [grouped(b"b", "two", n) for n in range(3)]
        await queue.send(batch)
        rounds = []
        for _ in range(3):
            taken = await queue.reserve(9, 1.0)
            rounds.append(sorted(ids(taken)))
            await queue.ack(taken)
        return rounds, await queue.size()

    rounds, size = run(scenario())
    assert rounds == [["a-0", "b-0"], ["a-1", "b-1"], ["a-2", "b-2"]]
    assert size == Size()


def test_nobody_of_a_group_passes_one_that_comes_back(make, name):
    """A released message stays the first of its group, and how often it came is its attempt."""
    queue = make(fifo(name))

    async def scenario():
        await queue.send([grouped(b"a", "one", n) for n in range(2)])
        (first,) = await queue.reserve(9, 1.0)
        message = envelope.decode(first.body)
        later = envelope.encode(msgspec.structs.replace(message, attempt=message.attempt + 1))
        await queue.release(msgspec.structs.replace(first, body=later), 0.0)
        (second,) = await queue.reserve(9, 1.0)
        await queue.release(second, 0.0)
        (third,) = await queue.reserve(9, 1.0)
        attempts = [envelope.decode(each.body).attempt for each in (first, second, third)]
        await queue.ack([third])
        return attempts, ids([second, third]), ids(await queue.reserve(9, 1.0))

    assert run(scenario()) == ([1, 2, 3], ["a-0", "a-0"], ["a-1"])


def test_a_send_to_a_fifo_queue_that_is_repeated_adds_once(make, name):
    """A message's own id is its dedup id, so SQS drops what comes again; another id of one's own does the same."""
    queue = make(fifo(name))

    async def scenario():
        await queue.send([grouped(b"a", "one"), grouped(b"a", "one")])
        await queue.send([grouped(b"a", "one"), grouped(b"b", "one", dedup_id="x"), grouped(b"c", "one", dedup_id="x")])
        return await queue.size()

    assert run(scenario()) == Size(ready=2)


def test_dead_letters_of_a_fifo_queue(make, name):
    """They lie in a FIFO queue of their own, do not hide each other, and go back to their group."""
    queue = make(fifo(name), url="sqs://?long_poll=no")

    async def scenario():
        await queue.send([grouped(b"a", "one", n) for n in range(3)])
        for _ in range(2):
            (held,) = await queue.reserve(1, 1.0)
            await queue.dead_letter(held, "why")
        letters = await queue.dead_letters(9)
        assert await queue.redrive(letters[:1]) == 1
        assert len(await queue.dead_letters(9)) == 1
        (next_one,) = await queue.reserve(1, 1.0)
        await queue.ack([next_one])
        return len(letters), ids([next_one]), ids(await queue.reserve(1, 1.0)) == ids(letters[:1]), await queue.size()

    assert run(scenario()) == (2, ["a-2"], True, Size(reserved=1, dead=1))


# -- from one end to the other


def test_an_app_on_sqs(server, name, make):
    """Tasks run, fail, are retried, fall back, are given up, come late and come once, with a store for names."""
    make()
    app = taskq.App(server.url, store="memory://")
    queue, seen = app.queue(name, reserve_wait=1.0), []

    @queue.task(max_attempts=2, min_backoff=0.1)
    async def work(context: taskq.Context, what: str) -> None:
        seen.append((what, context.attempt))
        if what in ("once", "never") and (what == "never" or context.attempt == 1):
            raise ValueError(what)

    @queue.task
    def sync(what: str) -> None:
        seen.append((what, 0))

    async def scenario():
        results = await queue.enqueue_many_async(
            [
                work.message("good"),
                work.message("once"),
                work.message("never"),
                sync.message("thread"),
                work.message("late").delayed(1),
                work.message("named").named("x"),
                work.message("named").named("x"),
            ]
        )
        assert [result.duplicate for result in results] == [False] * 6 + [True]
        consumer = app.consumer(queue)
        await consumer.start()
        await until_soon(lambda: len(seen) == 8 and consumer.stats().dead)
        await consumer.stop()
        size = await queue.size()
        await app.aclose()
        return size, consumer.stats()

    size, stats = run(scenario())
    assert sorted(seen) == sorted(
        [("good", 1), ("once", 1), ("once", 2), ("never", 1), ("never", 2), ("thread", 0), ("late", 1), ("named", 1)]
    )
    assert size == Size(dead=1)
    assert (stats.processed, stats.retries, stats.fails, stats.dead, stats.lost) == (5, 2, 1, 1, 0)


def test_threads_share_trips(client, name, make):
    """Producers in threads enqueue side by side without an event loop of their own, and share calls."""
    backend = make()
    app = taskq.App("sqs://", client=client)
    queue = app.queue(name)
    calls = []
    original = app.broker._service.call

    def call(operation, **parameters):
        calls.append(operation)
        return original(operation, **parameters)

    app.broker._service.call = call
    threads = [threading.Thread(target=queue.enqueue, args=(queue.message("t", number),)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run(backend.size()).ready == 20
    assert calls.count("send_message_batch") < 20
    app.close()


def test_names_are_taken_in_the_store(client, name, make):
    """A duplicate is told; a message that could not be sent gives its name back (F4)."""
    make()
    app = taskq.App("sqs://?store=memory%3A%2F%2F", client=client)
    queue = app.queue(name)
    huge = queue.message("t", os.urandom(2_000_000))
    with pytest.raises(MessageTooLarge):
        queue.enqueue(huge.named("n"))
    assert not queue.enqueue(queue.message("t").named("n")).duplicate
    assert queue.enqueue(queue.message("t").named("n")).duplicate
    with pytest.raises(DuplicateMessageError):
        queue.enqueue(queue.message("t").named("n")).raise_if_duplicate()
    app.close()


def test_the_demo_runs(server, make, capsys):
    """Every feature of the queue over real files, on this backend, with nothing left."""
    for name in ("words", "mail"):
        make(name)
    assert main(["demo", "--backend", server.url, "--limit", "12", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["files"], report["left"], report["fallbacks"], report["duplicates"]) == (12, 0, 2, 12)
