"""The proxy does what it was told to the byte, between raw sockets, between redis-py and a real server, and for HTTP."""

import asyncio
import contextlib
import http.client
import http.server
import os
import select
import socket
import ssl
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
import redis.asyncio
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from taskq_testing.services import Proxy, ServiceError, redis_server
from taskq_testing.services.resp import Commands, error_command

pytestmark = pytest.mark.slow

LARGE = os.urandom(1 << 20) * 5


class Line:
    """Raw clients and their server's ends, by way of a proxy."""

    def __init__(self, listener, proxy):
        self.listener, self.proxy = listener, proxy
        self._sockets = []

    def connect(self):
        """Open one connection and return both of its ends."""
        client = socket.create_connection((self.proxy.host, self.proxy.port), timeout=60)
        server, _ = self.listener.accept()
        server.settimeout(60)
        self._sockets += [client, server]
        return client, server

    def close(self):
        for each in self._sockets:
            each.close()


@pytest.fixture
def line():
    """A proxy before a listening socket of the test."""
    with socket.create_server(("127.0.0.1", 0)) as listener, Proxy(f"127.0.0.1:{listener.getsockname()[1]}") as proxy:
        listener.settimeout(60)
        line = Line(listener, proxy)
        yield line
        line.close()


@pytest.fixture
def proxy(line):
    return line.proxy


@pytest.fixture(scope="module")
def server():
    """A real server for all tests of this file."""
    with redis_server(password="secret") as server:
        yield server


@pytest.fixture
def broken(server):
    """A proxy before the real server, emptied for each test."""
    server.cli("FLUSHALL")
    with Proxy(server.url) as proxy:
        yield proxy


@contextlib.contextmanager
def client(url, **options):
    """A client with one connection that tries once."""
    options = {"socket_timeout": 60, "retry": Retry(NoBackoff(), 0), "decode_responses": True} | options
    with redis.Redis.from_url(url, single_connection_client=True, **options) as client:
        yield client


def ends(client, server, to):
    """Who writes and who reads bytes to a side."""
    return (client, server) if to == "server" else (server, client)


def read(source, size):
    """Read so many bytes."""
    parts = []
    while size:
        parts.append(source.recv(min(size, 1 << 16)))
        assert parts[-1], "the connection ended"
        size -= len(parts[-1])
    return b"".join(parts)


def read_to_reset(source):
    """Read until the connection is reset; an orderly end is none."""
    parts = []
    try:
        while True:
            parts.append(source.recv(1 << 16))
            assert parts[-1], "the connection ended in order"
    except ConnectionResetError:
        return b"".join(parts)


def silent(*sockets):
    """Whether there is nothing to read, not even an end."""
    return not select.select(sockets, [], [], 0)[0]


def sending(target, data):
    """Send in the background; the future's exception says whether it could."""
    executor = ThreadPoolExecutor(1)
    future = executor.submit(target.sendall, data)
    executor.shutdown(wait=False)
    return future


SIDES = pytest.mark.parametrize("to", ["server", "client"])


# -- passing


@SIDES
def test_bytes_and_their_end_pass(line, proxy, to):
    """Five megabytes arrive as they were sent, and so does the end, while the other direction stays open."""
    pair = line.connect()
    source, target = ends(*pair, to)
    sent = sending(source, LARGE)
    assert read(target, len(LARGE)) == LARGE
    assert sent.exception() is None
    source.shutdown(socket.SHUT_WR)
    assert target.recv(1) == b""
    target.sendall(b"still open")
    assert read(source, 10) == b"still open"
    assert (proxy.accepted, proxy.open) == (1, 1)
    other = "client" if to == "server" else "server"
    assert (proxy.passed(to), proxy.passed(other)) == (len(LARGE), 10)
    target.close()
    assert source.recv(1) == b""
    while proxy.open:
        time.sleep(0.001)


@SIDES
def test_a_reset_of_one_side_is_a_reset_of_the_other(line, to):
    """A peer that resets its connection is not taken for one that ends it."""
    source, target = ends(*line.connect(), to)
    source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    source.close()
    assert read_to_reset(target) == b""


def test_a_server_that_is_away_is_a_reset():
    """While the server is down clients are reset, and afterwards they are served by the same proxy."""
    with redis_server() as server, Proxy(server.socket_url) as proxy:
        server.kill()
        with pytest.raises(redis.ConnectionError), client(proxy.url):
            pass
        server.start()
        with client(proxy.url) as known:
            assert known.ping()


def test_the_url_leads_to_the_server_by_way_of_the_proxy(server):
    """Credentials, path and query are those of the server, also if that is known by its unix socket."""
    for url in (server.url, server.socket_url):
        with Proxy(url) as proxy:
            assert proxy.url == f"redis://:secret@127.0.0.1:{proxy.port}/0"
            with client(proxy.url) as known:
                assert known.ping()
    with Proxy("redis://somewhere/3?protocol=2") as proxy:
        assert proxy.url == f"redis://127.0.0.1:{proxy.port}/3?protocol=2"
    with Proxy("somewhere:99") as proxy:
        assert proxy.url == f"127.0.0.1:{proxy.port}"
    with pytest.raises(ValueError, match="rediss:// cannot be proxied; give redis://"):
        Proxy("rediss://somewhere")


# -- cuts


@SIDES
def test_all_connections_are_cut(line, proxy, to):
    """Both sides of each connection are reset, and new ones are accepted."""
    pairs = [line.connect() for _ in range(3)]
    proxy.cut()
    assert proxy.open == 0
    for pair in pairs:
        assert read_to_reset(pair[to == "server"]) == b""
    source, target = line.connect()
    source.sendall(b"again")
    assert read(target, 5) == b"again"
    assert proxy.accepted == 4


@SIDES
@pytest.mark.parametrize("count", [1, 7, 65536, 65537, 3_000_000])
def test_exactly_so_many_bytes_arrive_before_a_cut(line, proxy, to, count):
    """A slow reader gets each byte up to the cut and none behind it; then both sides are reset."""
    source, target = ends(*line.connect(), to)
    fault = proxy.cut_after(count, to=to)
    sent = sending(source, LARGE)
    if count < 100_000:
        fault.wait()  # the reset is there before anything is read
    assert read_to_reset(target) == LARGE[:count]
    assert sent.exception() or read_to_reset(source) == b""
    fault.wait()
    assert proxy.passed(to) == count


@SIDES
def test_a_cut_after_the_last_byte_needs_no_other(line, proxy, to):
    """The connection is cut as soon as the last byte has arrived, and not when the next one comes."""
    source, target = ends(*line.connect(), to)
    proxy.cut_after(3, to=to)
    source.sendall(b"abc")
    assert read_to_reset(target) == b"abc"


@SIDES
def test_a_cut_after_nothing_waits_for_a_byte(line, proxy, to):
    """With 0 nothing happens until a byte comes, or the end; that one does not arrive."""
    source, target = ends(*line.connect(), to)
    fault = proxy.cut_after(0, to=to)
    target.sendall(b"x")
    assert read(source, 1) == b"x"
    assert fault.fired == 0
    source.shutdown(socket.SHUT_WR)
    assert read_to_reset(target) == b""
    assert fault.fired == 1


def test_nothing_passes_the_other_way_before_a_cut(line, proxy):
    """Between the last byte and the reset, which a throttle puts far apart here, no answer passes."""
    client, server = line.connect()
    proxy.throttle(10)
    proxy.cut_after(2, to="server")
    client.sendall(b"ab")
    assert read(server, 2) == b"ab"
    server.sendall(b"answer")
    assert read_to_reset(client) == b""


def test_a_side_that_goes_away_does_not_hold_up_a_cut(line, proxy):
    """A cut waits for a slow reader to get its bytes, but not for one that resets the connection itself."""
    line.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client, server = line.connect()
    fault = proxy.cut_after(100_000, to="server")
    client.sendall(LARGE[:200_000])
    while proxy.passed("server") < 100_000:
        time.sleep(0.001)
    assert silent(client)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    server.close()
    fault.wait()
    assert read_to_reset(client) == b""


def test_bytes_are_counted_from_the_call_and_by_connection(line, proxy):
    """What passed before does not count, nor what passes on other connections; a new connection counts from its beginning."""
    (first, first_end), (second, second_end) = line.connect(), line.connect()
    first.sendall(b"before")
    assert read(first_end, 6) == b"before"
    fault = proxy.cut_after(4, to="server", times=2)
    second.sendall(b"abc")
    assert read(second_end, 3) == b"abc"
    first.sendall(b"abc")
    assert read(first_end, 3) == b"abc"
    third, third_end = line.connect()
    third.sendall(b"abc")
    assert read(third_end, 3) == b"abc"
    assert fault.fired == 0
    third.sendall(b"de")
    assert read_to_reset(third_end) == b"d"
    first.sendall(b"de")
    assert read_to_reset(first_end) == b"d"
    fault.wait(2)
    second.sendall(b"de")
    assert read(second_end, 2) == b"de"


def test_each_connection_is_cut_until_healed(line, proxy):
    """Without a number of times all connections are hit; after heal none is."""
    fault = proxy.cut_after(1, to="client", times=None)
    for _ in range(3):
        source, target = line.connect()
        target.sendall(b"ab")
        assert read_to_reset(source) == b"a"
    assert fault.fired == 3
    proxy.heal()
    source, target = line.connect()
    target.sendall(b"ab")
    assert read(source, 2) == b"ab"
    assert fault.fired == 3


def test_a_fault_that_does_not_happen_is_told(proxy):
    """Waiting for it ends with an error that says so."""
    fault = proxy.cut_after(1, to="server")
    with pytest.raises(ServiceError, match=r"the fault \(cut to the server\) happened 0 of 1 times in 0.01 s; did bytes pass"):
        fault.wait(timeout=0.01)


def test_what_a_request_brings_about_never_passes_a_cut(broken, server):
    """A command whose last byte is the last before the cut is done by the server, and its answer never arrives."""
    with client(broken.url) as known:
        known.ping()
        size = broken.passed("server")
        known.incr("counter")
        size = broken.passed("server") - size
        for number in range(2, 102):
            answered = broken.passed("client")
            broken.cut_after(size, to="server")
            with pytest.raises(redis.ConnectionError):
                known.incr("counter")
            assert broken.passed("client") == answered
            while server.cli("GET", "counter") != str(number):
                time.sleep(0.001)
            known.ping()


def test_a_command_is_cut_at_each_byte(broken, server):
    """Before its last byte a command is never done; at its last byte it is; and the client always sees an error."""
    command = b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n"
    with client(broken.url) as known:
        for count in range(len(command) + 1):
            server.cli("DEL", "key")
            known.ping()
            fault = broken.cut_after(count, to="server")
            with pytest.raises(redis.ConnectionError):
                known.set("key", "value")
            fault.wait()
            if count == len(command):
                while server.cli("GET", "key") is None:
                    time.sleep(0.001)
            assert server.cli("GET", "key") == ("value" if count == len(command) else None)


def test_an_answer_is_cut_at_each_byte(broken, server):
    """The command is done whatever becomes of its answer, and the client sees an error for each answer that is not whole."""
    with client(broken.url) as known:
        for count in range(len(b"+OK\r\n")):
            known.ping()
            broken.cut_after(count, to="client")
            with pytest.raises(redis.ConnectionError):
                known.set("key", count)
            assert server.cli("GET", "key") == str(count)


# -- silence


@SIDES
def test_bytes_are_held_back_and_let_go(line, proxy, to):
    """After the first bytes nothing arrives, not even the end, until they are released; nothing is lost."""
    source, target = ends(*line.connect(), to)
    fault = proxy.hold(to=to, after=3)
    source.sendall(b"abcdef")
    source.shutdown(socket.SHUT_WR)
    fault.wait()
    assert read(target, 3) == b"abc"
    target.sendall(b"the other way")
    assert read(source, 13) == b"the other way"
    late, late_end = ends(*line.connect(), to)
    late.sendall(b"abcd")
    fault.wait(2)
    assert read(late_end, 3) == b"abc"
    assert silent(target, late_end)
    proxy.release()
    assert read(target, 3) == b"def"
    assert target.recv(1) == b""
    assert read(late_end, 1) == b"d"
    late.sendall(b"efghi")
    assert read(late_end, 5) == b"efghi"


def test_one_connection_is_held(line, proxy):
    """With one time, the first connection that comes to it is hit and no other."""
    (first, first_end), (second, second_end) = line.connect(), line.connect()
    fault = proxy.hold(to="server", times=1)
    first.sendall(b"x")
    fault.wait()
    second.sendall(b"y")
    assert read(second_end, 1) == b"y"
    assert silent(first_end)
    proxy.heal()
    assert read(first_end, 1) == b"x"


@SIDES
def test_bytes_are_swallowed(line, proxy, to):
    """After the first bytes one side hears nothing any more, not even the end; the other does; healing brings nothing back."""
    source, target = ends(*line.connect(), to)
    fault = proxy.swallow(to=to, after=3)
    source.sendall(b"abcdef")
    fault.wait()
    assert read(target, 3) == b"abc"
    proxy.heal()
    source.sendall(b"more")
    target.sendall(b"the other way")
    assert read(source, 13) == b"the other way"
    source.shutdown(socket.SHUT_WR)
    late, late_end = ends(*line.connect(), to)
    late.sendall(b"abcdef")
    assert read(late_end, 6) == b"abcdef"
    assert silent(target)
    assert proxy.open == 2
    proxy.cut()
    assert read_to_reset(target) == b""


def test_a_half_open_connection_is_not_noticed_by_redis(broken, server):
    """A client that is gone without a word is still a client for the server."""
    with client(broken.url) as known:
        known.client_setname("gone")
        for side in ("server", "client"):
            broken.swallow(to=side)
        known.connection.send_command("PING")
    assert "name=gone" in server.cli("CLIENT", "LIST")
    broken.heal()
    broken.cut()
    while "name=gone" in server.cli("CLIENT", "LIST"):
        time.sleep(0.001)


def test_a_cancelled_command_leaves_no_answer_for_the_next(broken):
    """The asyncio client is cancelled with half an answer read, and its next command gets its own answer."""

    async def main():
        retry = AsyncRetry(NoBackoff(), 0)
        # With a timeout redis-py sends under asyncio.wait_for, which before Python 3.12 may lose a cancellation.
        async with redis.asyncio.Redis.from_url(broken.url, socket_timeout=None, retry=retry) as known:
            await known.mset({"first": "1" * 100, "second": "2" * 100})
            fault = broken.hold(to="client", after=20)
            waiting = asyncio.create_task(known.get("first"))
            await asyncio.to_thread(fault.wait)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            broken.release()
            return await known.get("second")

    assert asyncio.run(main()) == b"2" * 100


# -- slowness


@SIDES
def test_bytes_are_delayed_on_one_side(line, proxy, to):
    """Each piece waits as long as was said, and those of the other direction do not."""
    source, target = ends(*line.connect(), to)
    proxy.delay(0.05, to=to)
    began = time.monotonic()
    for piece in (b"a", b"b"):
        source.sendall(piece)
        assert read(target, 1) == piece
    assert time.monotonic() - began >= 0.1
    proxy.delay(30, to=to)
    target.sendall(b"at once")
    assert read(source, 7) == b"at once"
    proxy.delay(0)
    source.sendall(b"c")
    assert read(target, 1) == b"c"


def test_both_sides_are_delayed(line, proxy):
    """Without a side the delay is that of each way."""
    pair = line.connect()
    proxy.delay(0.05)
    began = time.monotonic()
    for to in ("server", "client"):
        source, target = ends(*pair, to)
        source.sendall(b"a")
        assert read(target, 1) == b"a"
    assert time.monotonic() - began >= 0.1


@SIDES
def test_bytes_are_throttled(line, proxy, to):
    """Bytes take the time that the rate says, in pieces, until the limit is taken away."""
    source, target = ends(*line.connect(), to)
    proxy.throttle(100_000, to=to)
    began = time.monotonic()
    source.sendall(LARGE[:20_000])
    read(target, 20_000)
    assert time.monotonic() - began >= 0.15
    target.sendall(LARGE[:100_000])  # a second's worth
    read(source, 100_000)
    proxy.throttle(1, to=to)
    source.sendall(b"ab")
    assert read(target, 1) == b"a"
    assert silent(target)
    proxy.heal()
    sent = sending(source, LARGE)
    assert read(target, 1 + len(LARGE)) == b"b" + LARGE
    assert sent.exception() is None


def test_a_rate_of_nothing_is_refused(proxy):
    """A limit that passes no byte is another thing."""
    with pytest.raises(ValueError, match=r"rate=0: give bytes a second, or None for no limit; hold\(\) stops them all"):
        proxy.throttle(0)
    for wrong in ({"after": -1}, {"times": 0}):
        with pytest.raises(ValueError, match="give a number of bytes from 0, and a number of times from 1"):
            proxy.hold(to="server", **wrong)


def test_new_connections_are_refused(line, proxy):
    """While it refuses, new connections fail and those that are open live on; afterwards the same port accepts."""
    old, old_end = line.connect()
    for again in (proxy.accept, proxy.heal):
        proxy.refuse()
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((proxy.host, proxy.port))
        old.sendall(b"x")
        assert read(old_end, 1) == b"x"
        again()
        proxy.accept()
        source, target = line.connect()
        source.sendall(b"y")
        assert read(target, 1) == b"y"


# -- errors of Redis

ERRORS = [
    "READONLY You can't write against a read only replica.",
    "LOADING Redis is loading the dataset in memory",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "NOSCRIPT No matching script. Please use EVAL.",
    "MISCONF Errors writing to the AOF file: No space left on device",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "CLUSTERDOWN The cluster is down",
    "UNBLOCKED client unblocked via CLIENT UNBLOCK",
    "MOVED 3999 127.0.0.1:6381",
]


@pytest.mark.parametrize("text", ERRORS, ids=lambda text: text.split()[0])
def test_an_error_arrives_as_it_was_given(broken, text):
    """The client reads the error's bytes as a real server sends them, once, and then the command is done."""
    fault = broken.inject_error(text, matching=b"ECHO")
    with socket.create_connection((broken.host, broken.port), timeout=60) as raw:
        raw.sendall(b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n" + 2 * b"*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n")
        wanted = b"+OK\r\n-" + text.encode() + b"\r\n$2\r\nhi\r\n"
        assert read(raw, len(wanted)) == wanted
    assert fault.fired == 1


def test_a_command_that_is_answered_with_an_error_is_not_done(broken, server):
    """The error stands in its place among the answers of a pipeline, as often as was said, and nothing is written."""
    with client(broken.url) as known:
        fault = broken.inject_error("READONLY no", matching=b"\r\nINCR", times=2)
        with known.pipeline(transaction=False) as pipe:
            pipe.set("a", 1).incrby("a", 10).get("a").incrby("a", 100).incrby("a", 1000).get("a")
            answers = pipe.execute(raise_on_error=False)
        assert [type(answer).__name__ for answer in answers] == ["bool", "ReadOnlyError", "str", "ReadOnlyError", "int", "str"]
        assert answers[2::3] == ["1", "1001"]
        assert fault.fired == 2


def test_errors_are_injected_until_healed(broken):
    """Without a number of times each command that matches gets the error, on each connection."""
    fault = broken.inject_error("OOM no", matching=b"\r\nSET\r\n", times=None)
    for _ in range(2):
        with client(broken.url) as known:
            with pytest.raises(redis.exceptions.OutOfMemoryError):
                known.set("a", 1)
            assert known.get("a") is None
    broken.heal()
    with client(broken.url) as known:
        assert known.set("a", 1)
    assert fault.fired == 2


def test_the_asyncio_client_gets_the_error(broken):
    """A script that the server is said not to know is loaded by redis-py, and runs."""

    async def main():
        async with redis.asyncio.Redis.from_url(broken.url) as known:
            script = known.register_script("return redis.call('INCR', KEYS[1])")
            assert await script(["counter"]) == 1
            fault = broken.inject_error("NOSCRIPT No matching script", matching=b"EVALSHA")
            assert await script(["counter"]) == 2
            return fault.fired

    assert asyncio.run(main()) == 1


def test_a_command_in_many_pieces_is_recognised(broken):
    """A command that comes byte by byte is held back until it is whole, and then answered with the error."""
    broken.inject_error("OOM no", matching=b"value")
    with socket.create_connection((broken.host, broken.port), timeout=60) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw.sendall(b"*2\r\n$4\r\nAUTH\r\n$6\r\nsecret\r\n")
        assert read(raw, 5) == b"+OK\r\n"
        for byte in b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nvalue\r\n":
            raw.sendall(bytes([byte]))
        assert read(raw, 9) == b"-OOM no\r\n"


# -- TLS and HTTP


def test_clients_speak_tls_to_the_proxy(server):
    """A client that trusts the authority is served and cut; one that does not hangs up."""
    with Proxy(server.url, tls=True) as proxy:
        assert proxy.url.startswith(f"rediss://:secret@127.0.0.1:{proxy.port}/0?ssl_ca_data=-----BEGIN+CERTIFICATE-----")
        with client(proxy.url) as known:
            known.set("a", "b" * 100_000)
            assert known.get("a") == "b" * 100_000
            fault = proxy.cut_after(50_000, to="client")
            with pytest.raises(redis.ConnectionError):
                known.get("a")
            fault.wait()
            assert known.delete("a") == 1
        with pytest.raises(redis.ConnectionError, match="CERTIFICATE_VERIFY"), client(proxy.url.partition("?")[0]):
            pass
        context = ssl.create_default_context(cadata=proxy.authority)
        raw = socket.create_connection((proxy.host, proxy.port))
        with context.wrap_socket(raw, server_hostname="localhost") as secure:
            assert secure.version() == "TLSv1.3"
    with Proxy("redis://somewhere/0?protocol=3", tls=True) as proxy:
        assert f"{proxy.port}/0?protocol=3&ssl_ca_data=" in proxy.url
    with Proxy("http://somewhere/path", tls=True) as proxy:
        assert proxy.url == f"https://127.0.0.1:{proxy.port}/path"


def test_tls_without_the_package_that_makes_certificates(monkeypatch):
    """Without trustme the error says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "trustme", None)
    with pytest.raises(ServiceError, match="`pip install trustme`"), Proxy("somewhere:1", tls=True):
        pass


class Page(http.server.BaseHTTPRequestHandler):
    """Answers everything with the same page."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"x" * 1000)

    def log_message(self, *args):
        pass


def test_http_is_proxied_and_cut():
    """A page passes whole, and is cut in its middle."""
    with http.server.HTTPServer(("127.0.0.1", 0), Page) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        with Proxy(f"http://127.0.0.1:{pages.server_port}/page") as proxy:
            with urllib.request.urlopen(proxy.url, timeout=60) as answer:
                assert answer.read() == b"x" * 1000
            size = proxy.passed("client")
            proxy.inject_error("ERR no")  # means nothing here
            proxy.cut_after(size - 300, to="client")
            with (
                urllib.request.urlopen(proxy.url, timeout=60) as answer,
                pytest.raises((http.client.IncompleteRead, ConnectionResetError)),
            ):
                answer.read()
        pages.shutdown()


# -- the end


@pytest.fixture
def nothing_left():
    """No thread and no open file is left of a proxy."""

    def kept():
        return threading.enumerate(), len(list(Path("/proc/self/fd").iterdir()))

    before = kept()
    yield
    assert kept() == before


def test_a_proxy_ends_whatever_its_connections_do(nothing_left):
    """Connections that are held, delayed, throttled, mute, idle or still at their handshake do not hold up the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:
        for tls in (False, True):
            with Proxy(f"127.0.0.1:{listener.getsockname()[1]}", tls=tls) as proxy:

                def connect(proxy=proxy, tls=tls):
                    raw = stack.enter_context(socket.create_connection((proxy.host, proxy.port), timeout=60))
                    if tls:
                        context = ssl.create_default_context(cadata=proxy.authority)
                        raw = stack.enter_context(context.wrap_socket(raw, server_hostname="127.0.0.1"))
                    stack.enter_context(listener.accept()[0])
                    return raw

                sockets = [connect() for _ in range(5)]
                for fault in (proxy.hold(to="server", times=1), proxy.swallow(to="server", times=1)):
                    sockets.pop().sendall(b"x")
                    fault.wait()
                proxy.delay(1000, to="server")
                sockets.pop().sendall(b"x")
                proxy.throttle(1, to="server")
                sockets.pop().sendall(b"x" * 100)
                stack.enter_context(socket.create_connection((proxy.host, proxy.port)))
        assert not proxy._thread.is_alive()


def test_a_proxy_ends_while_it_connects(nothing_left):
    """A server that does not accept, for its queue is full, holds up neither a cut nor the end."""
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with Proxy(f"127.0.0.1:{full.getsockname()[1]}") as proxy:
            for count in (5, 10):
                for _ in range(5):
                    stack.enter_context(socket.create_connection((proxy.host, proxy.port)))
                while proxy.accepted < count:
                    time.sleep(0.001)
                proxy.cut()
                assert proxy.open == 0


def test_a_proxy_that_is_closed_says_so(nothing_left):
    """Nothing can be asked of it after its block."""
    with Proxy("somewhere:1") as proxy:
        fault = proxy.hold(to="server")
    for call in (proxy.cut, proxy.heal, proxy.refuse, proxy.accept, lambda: proxy.open, lambda: proxy.cut_after(1, to="client")):
        with pytest.raises(ServiceError, match="the proxy is closed; use it within its `with` block"):
            call()
    assert fault.fired == 0


# -- commands

words = st.lists(st.binary(max_size=12), min_size=1, max_size=4)
commands = st.one_of(
    words.map(lambda all_: b"*%d\r\n" % len(all_) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in all_)),
    st.sampled_from([b"PING\r\n", b"ECHO hi\r\n"]),
)


def pieces(data, sizes):
    """Cut bytes into pieces of these sizes, over and over."""
    while data:
        size = sizes[0]
        sizes = [*sizes[1:], size]
        yield data[:size]
        data = data[size:]


@given(commands=st.lists(commands), sizes=st.lists(st.integers(1, 40), min_size=1), tail=st.binary(max_size=20))
def test_commands_are_found_in_any_pieces(commands, sizes, tail):
    """However the bytes are cut, none is lost or added; and each whole command is offered once, in order, as it is."""
    data = b"".join(commands)
    plain, watched, offered = Commands(), Commands(), []
    for piece in pieces(data + tail, sizes):
        assert plain.feed(piece, None) == piece

    def keep(command):
        offered.append(command)
        return b"<%b>" % command

    out = b"".join(watched.feed(piece, keep) for piece in pieces(data, sizes))
    if data.startswith(b"*"):
        assert offered == commands
        assert out == b"".join(b"<%b>" % command for command in commands)
    else:
        assert (out, offered) == (data, [])  # no client of Redis begins like that: the bytes are left alone


def test_a_command_that_is_half_gone_is_let_go():
    """What began to be passed on before errors were asked for passes whole; the command behind it is replaced."""
    parser, command = Commands(), b"*1\r\n$4\r\nPING\r\n"
    assert parser.feed(command[:5], None) == command[:5]
    assert parser.feed(command[5:8], lambda _: b"!") == command[5:8]
    assert parser.feed(command[8:] + command + command[:4], lambda _: b"!") == command[8:] + b"!"
    assert parser.feed(command[4:], lambda _: b"?") == b"?"


def test_bytes_that_only_look_like_commands_pass():
    """Something that begins like a command and is none passes as it is, from there on."""
    parser = Commands()
    assert parser.feed(b"*1\r\n$4\r\nPING\r\n*no\r\n", lambda _: b"!") == b"!*no\r\n"
    assert parser.feed(b"*1\r\n$4\r\nPING\r\n", lambda _: b"!") == b"*1\r\n$4\r\nPING\r\n"


def test_the_command_for_an_error():
    """It is a script that returns its argument as an error."""
    assert error_command("OOM é") == b"*4\r\n$4\r\nEVAL\r\n$20\r\nreturn {err=ARGV[1]}\r\n$1\r\n0\r\n$6\r\nOOM \xc3\xa9\r\n"
