"""The whole life of messages on every kind of deployment: a socket, TLS, a password, Sentinel, a cluster; and when it changes."""

import asyncio

import pytest
from support import run, until

import taskq
from taskq.backends.base import Size
from taskq.errors import BackendError
from taskq_testing.services import Proxy, redis_binaries, redis_cluster, redis_sentinel, redis_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    with redis_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def sentinel():
    with redis_sentinel() as sentinel:
        yield sentinel


def live(url, queues=("q",)):
    """Lead messages through everything on some queues of an app; return what ran and what is left of each."""
    app = taskq.App(url)
    ran = {name: [] for name in queues}

    def define(name):
        queue = app.queue(name, rate_limit=taskq.RateLimit(10_000, per=1.0), worker_limit=4)

        @queue.task(min_backoff=0.0, max_attempts=3)
        async def work(context: taskq.Context, what: str) -> None:
            if what == "hopeless" or (what == "flaky" and context.attempt < 3):
                raise ValueError(what)
            ran[name].append(what)

        return queue, work

    async def one(queue, work):
        await work.enqueue_async("async")
        await queue.enqueue_async(work.message("later").delayed(3600))
        await app.consumer(queue).process_all()
        (letter,) = await queue.dead_letters()
        assert await queue.redrive([letter]) == 1
        await app.consumer(queue).process_all()
        assert await queue.discard(await queue.dead_letters()) == 1
        size = await queue.size()
        assert await queue.purge() == 1
        return size

    async def scenario(pairs):
        sizes = [await one(*pair) for pair in pairs]
        await app.aclose()
        return sizes

    pairs = [define(name) for name in queues]
    for queue, work in pairs:
        work.enqueue("sync")
        names = [work.message("named").named("n") for _ in range(2)]
        results = queue.enqueue_many([*names, work.message("flaky"), work.message("hopeless")])
        assert [result.duplicate for result in results] == [False, True, False, False]
    sizes = run(scenario(pairs))
    return [sorted(each) for each in ran.values()], sizes


async def in_peace(coroutine):
    """Give asyncio the turns in which it closes a connection whose handshake failed."""
    try:
        return await coroutine
    finally:
        for _ in range(20):
            await asyncio.sleep(0)


def assert_lived(answer, queues=1):
    ran, sizes = answer
    assert ran == [["async", "flaky", "named", "sync"]] * queues
    assert sizes == [Size(delayed=1)] * queues


def test_a_socket(own_server):
    """A server on this machine is reached over its socket."""
    own_server.cli("FLUSHALL")
    assert_lived(live(own_server.socket_url))


def test_a_password_and_tls():
    """A server that asks for a password over TLS, with an authority of its own; a wrong password is told as such."""
    with redis_server(password="s3cret") as server, Proxy(server.url, tls=True) as proxy:
        assert_lived(live(proxy.url))
        for url, says in ((proxy.url.replace("s3cret", "oops"), "refuses this user"), (proxy.url.split("?")[0], "CERTIFICATE")):
            app = taskq.App(url)
            queue = app.queue("q", send_timeout=0.0)
            with pytest.raises(BackendError, match=says) as caught:
                queue.enqueue(queue.message("t"))
            with pytest.raises(BackendError, match=says):
                run(in_peace(queue.enqueue_async(queue.message("t"))))
            assert not {"s3cret", "oops"} & {*str(caught.value).split()}
            app.close()


@pytest.mark.parametrize("binary", redis_binaries(), ids=str)
def test_every_server_that_is_installed(binary):
    """Redis and Valkey of each version found here."""
    with redis_server(binary=binary) as server:
        assert_lived(live(server.url))


def test_a_cluster(cluster):
    """Queues spread over the nodes, each whole on one of them."""
    queues = [f"queue {n}" for n in range(6)]
    assert len({cluster.node_of(f"taskq:{{{name}}}:stream").port for name in queues}) > 1
    assert_lived(live(cluster.url, queues), len(queues))


def test_go_names_in_a_cluster(cluster):
    """Go's keys lie in other slots: the name is taken first, and given back where the message cannot be added."""
    app = taskq.App(cluster.url)
    queue = app.queue("go", dedup_compatible=True, send_timeout=0.0)
    message = queue.message("t").named("n")
    key = "taskq:{go}:stream"
    cluster.node_of(key).cli("SET", key, "no stream")
    with pytest.raises(BackendError, match="WRONGTYPE"):
        queue.enqueue(message)
    cluster.node_of(key).cli("DEL", key)
    assert [queue.enqueue(message).duplicate for _ in range(2)] == [False, True]
    app.close()


def test_a_slot_that_moves(cluster):
    """While a queue's slot moves to another node, and after that, messages are added, run and lost never."""
    app, ran = taskq.App(cluster.url), []
    queue = app.queue("moving", reserve_wait=0.05)

    @queue.task
    async def work(n: int) -> None:
        ran.append(n)

    key = "taskq:{moving}:stream"
    work.enqueue(0)
    source = cluster.node_of(key)
    target = next(node for node in cluster.nodes if node is not source)
    slot, ids = source.cli("CLUSTER", "KEYSLOT", key), {node: node.cli("CLUSTER", "MYID") for node in (source, target)}

    async def scenario():
        consumer = app.consumer(queue)
        await consumer.start()
        target.cli("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        source.cli("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        sending = asyncio.create_task(queue.enqueue_many_async(work.message(n) for n in range(1, 50)))
        await asyncio.sleep(0)
        while keys := source.cli("CLUSTER", "GETKEYSINSLOT", slot, 10):
            source.cli("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        for node in cluster.nodes:
            node.cli("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
        await sending
        await queue.enqueue_async(work.message(50))
        await until(lambda: len(set(ran)) == 51)
        await consumer.stop()
        await app.aclose()

    run(scenario())
    assert set(ran) == set(range(51))
    assert cluster.node_of(key) is target


def test_a_sentinel(sentinel):
    """The sentinels say where the primary is."""
    assert_lived(live(sentinel.url))


def test_a_fail_over(sentinel):
    """While another primary takes over, producers and consumers go on as soon as it is known; nothing accepted is lost."""
    app, ran, accepted = taskq.App(sentinel.url), set(), set()
    queue = app.queue("failing over", reserve_wait=0.2, send_timeout=30.0)

    @queue.task
    async def work(n: int) -> None:
        ran.add(n)

    async def scenario():
        consumer = app.consumer(queue)
        await consumer.start()
        over = asyncio.create_task(asyncio.to_thread(sentinel.failover))
        n = 0
        while not over.done() or n < 100:
            await work.enqueue_async(n)
            accepted.add(n)
            n += 1
        await over
        await work.enqueue_async(-1)
        await until(lambda: -1 in ran and accepted <= ran)
        await consumer.stop()
        await app.aclose()

    run(scenario())
    assert accepted <= ran
