"""Go and Python on one queue: what Go writes is run here, and what is written here Go's commands find.

Go's commands are those recorded from the real library (taskq v3.2.9 on Redis 7), and its bodies the golden vectors.
"""

import json
from pathlib import Path

import pytest
import redis
from support import run

import taskq
from taskq.backends.base import Size
from taskq.wire import args as wire_args
from taskq.wire import envelope, names

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "go_v3_public.json").read_text())
BODIES = [bytes.fromhex(vector["message_hex"]) for vector in VECTORS["messages"]]


class Go:
    """A Go process, as its commands were recorded."""

    def __init__(self, server, name):
        self.server, self.name = server, name
        self.stream, self.zset = f"taskq:{{{name}}}:stream", f"taskq:{{{name}}}:zset"

    def add(self, body, delay_ms=0):
        if delay_ms:
            seconds, micros = self.server.time()
            self.server.zadd(self.zset, {body: seconds * 1000 + micros // 1000 + delay_ms})
        else:
            self.server.xadd(self.stream, {"body": body})

    def reserve(self):
        try:
            return self._read()
        except redis.ResponseError:  # NOGROUP
            self.server.xgroup_create(self.stream, "taskq", "0", mkstream=True)
            return self._read()

    def _read(self):
        answer = self.server.xreadgroup("taskq", "host:pid:1:1", {self.stream: ">"}, count=10)
        return [(entry, fields[b"body"]) for _, entries in answer for entry, fields in entries]

    def delete(self, entry):
        self.server.xack(self.stream, "taskq", entry)
        self.server.xdel(self.stream, entry)

    def release(self, entry, body, delay_ms=0):
        message = envelope.decode(body)
        count = message.attempt or 1
        again = envelope.encode(taskq.message.msgspec.structs.replace(message, id=entry, attempt=count + 1))
        pipe = self.server.pipeline(transaction=True)
        pipe.xack(self.stream, "taskq", entry)
        pipe.xdel(self.stream, entry)
        if delay_ms:
            pipe.zadd(self.zset, {again: self.server.time()[0] * 1000 + delay_ms})
        else:
            pipe.xadd(self.stream, {"body": again})
        pipe.execute()


@pytest.fixture
def go(server, name):
    return Go(server, name)


@pytest.fixture
def app(redis_url):
    app = taskq.App(redis_url)
    yield app
    app.close()


def test_every_message_of_go_is_run_here(app, go, name):
    """Each golden body that a Go producer added reaches the handler with its task, id and arguments, and is gone then."""
    queue, ran = app.queue(name), []

    @queue.task(name="*")
    async def anything(message: taskq.Message) -> None:
        ran.append((message.task, message.id, bytes(message.args_bytes)))

    for body in BODIES:
        go.add(body)
    run(app.consumer(queue).process_all())
    expected = [envelope.decode(body) for body in BODIES]
    assert len(ran) == len(BODIES) > 100
    assert [(task, args) for task, _, args in ran] == [(message.task, bytes(message.args_bytes)) for message in expected]
    assert all(found == message.id or not message.id for (_, found, _), message in zip(ran, expected, strict=True))
    assert run(queue.size()) == Size()


def test_what_is_enqueued_here_go_reads(app, go, name):
    """Go reserves what Python enqueued, with arguments it understands and a raw id, and deletes it."""
    queue = app.queue(name)

    @queue.task
    def greet(who: str, times: int) -> None: ...

    greet.enqueue("Ada", 3)
    ((entry, body),) = go.reserve()
    message = envelope.decode(body)
    assert (message.task, wire_args.decode(message.args_bytes)) == ("greet", ("Ada", 3))
    assert body.startswith(b"\x83\xa11\xd9")
    go.delete(entry)
    assert run(queue.size()) == Size()


def test_a_message_that_go_gave_back_comes_with_its_attempt(app, go, name):
    """Go counts the attempt in the body and puts the old entry's id there; the next consumer may be Python, and the other way."""
    queue, seen = app.queue(name), []

    @queue.task(min_backoff=0.0, max_attempts=9)
    async def flaky(context: taskq.Context) -> None:
        seen.append((context.attempt, context.message.id))
        if context.attempt == 3:
            raise OSError

    flaky.enqueue()
    ((entry, body),) = go.reserve()
    go.release(entry, body)
    ((second, body),) = go.reserve()
    go.release(second, body)

    async def one_attempt():
        await app.consumer(queue).process_one()

    run(one_attempt())
    assert seen == [(3, second)]
    ((third, body),) = go.reserve()
    assert (envelope.decode(body).attempt, envelope.decode(body).id) == (4, second)
    go.delete(third)


def test_what_go_delayed_is_run_in_time(app, go, name, server):
    """A member of Go's sorted set becomes ready when its time is over, and not before."""
    queue, ran = app.queue(name), []

    @queue.task(name="*")
    async def anything(message: taskq.Message) -> None:
        ran.append(message.task)

    go.add(BODIES[5], delay_ms=60_000)

    async def scenario():
        await queue.backend.chores()
        before = await queue.size()
        server.zadd(go.zset, {BODIES[5]: 1})
        await queue.backend.chores()
        await app.consumer(queue).process_all()
        return before

    assert run(scenario()) == Size(delayed=1)
    assert ran == [envelope.decode(BODIES[5]).task]


def test_names_are_shared_with_go_where_a_queue_says_so(app, go, name, server):
    """With `dedup_compatible` a name that Go took is taken here, for Go's day, and the other way round."""
    queue = app.queue(name, dedup_compatible=True)
    theirs = names.go_dedup_key(name, "t", b"theirs")
    assert server.set(theirs, "", ex=86400, nx=True)
    assert queue.enqueue(queue.message("t").named("theirs")).duplicate
    assert not queue.enqueue(queue.message("t").named("ours")).duplicate
    ours = names.go_dedup_key(name, "t", b"ours")
    assert not server.set(ours, "", ex=86400, nx=True)
    assert 86_000 < server.ttl(ours) <= 86_400
    server.delete(theirs, ours)


def test_worker_locks_and_rates_lie_where_go_looks(redis_url, server, name):
    """A worker holds one of Go's locks while it works, for the reservation timeout and ten seconds; the rate has Go's key."""
    app = taskq.App(redis_url)
    queue = app.queue(name, worker_limit=1, rate_limit=taskq.RateLimit(1, per=60.0, burst=5), reservation_timeout=60.0)
    seen = []

    @queue.task
    async def look() -> None:
        seen.append((server.ttl(f"{name}:worker:lock:0"), server.exists(f"rate:{name}")))

    async def scenario():
        await look.enqueue_async()
        await app.consumer(queue).process_all()
        await app.aclose()

    run(scenario())
    ((ttl, rate),) = seen
    assert 60 < ttl <= 70
    assert rate == 1
    assert server.get(f"{name}:worker:lock:0") is None
